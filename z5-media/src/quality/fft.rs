//! A radix-2 Fourier transform with a Hann window, for power spectra of real blocks.

use std::f32::consts::TAU;

/// Tables for one block length.
#[derive(Debug)]
pub(super) struct Fft {
    window: Vec<f32>,
    /// Cosine and sine of each step around the circle.
    twiddles: Vec<(f32, f32)>,
    work: Vec<(f32, f32)>,
}

impl Fft {
    /// For blocks of `len` samples, a power of two.
    pub(super) fn new(len: usize) -> Self {
        let angle = |n: usize| TAU * n as f32 / len as f32;
        Self {
            window: (0..len).map(|n| 0.5 - 0.5 * angle(n).cos()).collect(),
            twiddles: (0..len / 2).map(|n| (angle(n).cos(), -angle(n).sin())).collect(),
            work: vec![(0.0, 0.0); len],
        }
    }

    /// Adds the power of the lower half of the bins of `block` to `spectrum`.
    pub(super) fn add_power(&mut self, block: &[f32], spectrum: &mut [f64]) {
        let bits = self.work.len().trailing_zeros();
        for (n, (sample, window)) in block.iter().zip(&self.window).enumerate() {
            let reversed = n.reverse_bits() >> (usize::BITS - bits);
            self.work[reversed] = (sample * window, 0.0);
        }
        let mut half = 1;
        while half < self.work.len() {
            let step = self.work.len() / (2 * half);
            for group in self.work.chunks_exact_mut(2 * half) {
                let (low, high) = group.split_at_mut(half);
                for (n, (a, b)) in low.iter_mut().zip(high).enumerate() {
                    let (cos, sin) = self.twiddles[n * step];
                    let turned = (b.0 * cos - b.1 * sin, b.0 * sin + b.1 * cos);
                    *b = (a.0 - turned.0, a.1 - turned.1);
                    *a = (a.0 + turned.0, a.1 + turned.1);
                }
            }
            half *= 2;
        }
        for (sum, (re, im)) in spectrum.iter_mut().zip(&self.work) {
            *sum += f64::from(re * re + im * im);
        }
    }
}
