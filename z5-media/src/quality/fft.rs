//! A radix-2 Fourier transform with a Hann window, for power spectra of real blocks. Its tables are made once for all.

use std::f32::consts::TAU;
use std::sync::LazyLock;

/// Samples of a block.
pub(super) const BLOCK: usize = 1024;

struct Tables {
    window: [f32; BLOCK],
    /// Cosine and sine of each step around half the circle.
    twiddles: [(f32, f32); BLOCK / 2],
}

static TABLES: LazyLock<Tables> = LazyLock::new(|| {
    let angle = |n: usize| TAU * n as f32 / BLOCK as f32;
    Tables {
        window: std::array::from_fn(|n| 0.5 - 0.5 * angle(n).cos()),
        twiddles: std::array::from_fn(|n| (angle(n).cos(), -angle(n).sin())),
    }
});

/// Adds the power of the lower half of the bins of `block` to `spectrum`.
pub(super) fn add_power(block: &[f32; BLOCK], spectrum: &mut [f32]) {
    let tables = &*TABLES;
    let mut work = [(0.0_f32, 0.0_f32); BLOCK];
    for (n, (sample, window)) in block.iter().zip(&tables.window).enumerate() {
        let reversed = n.reverse_bits() >> (usize::BITS - BLOCK.trailing_zeros());
        work[reversed] = (sample * window, 0.0);
    }
    let mut half = 1;
    while half < BLOCK {
        let step = BLOCK / (2 * half);
        for group in work.chunks_exact_mut(2 * half) {
            let (low, high) = group.split_at_mut(half);
            for (n, (a, b)) in low.iter_mut().zip(high).enumerate() {
                let (cos, sin) = tables.twiddles[n * step];
                let turned = (b.0 * cos - b.1 * sin, b.0 * sin + b.1 * cos);
                *b = (a.0 - turned.0, a.1 - turned.1);
                *a = (a.0 + turned.0, a.1 + turned.1);
            }
        }
        half *= 2;
    }
    for (sum, (re, im)) in spectrum.iter_mut().zip(&work) {
        *sum += re * re + im * im;
    }
}
