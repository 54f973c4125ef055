//! Power spectra of real blocks with a Hann window. A block of n samples goes as n/2 complex ones through a radix-2 Fourier
//! transform that sorts itself (Stockham's), and is taken apart afterwards: half the work of a transform of n. Its tables are
//! made once for all.

use std::f32::consts::TAU;
use std::sync::LazyLock;

/// Samples of a block.
pub(super) const BLOCK: usize = 1024;
/// Complex values that are transformed.
const HALF: usize = BLOCK / 2;

/// Real or imaginary parts, apart from each other so that many go at a time.
type Parts = [f32; HALF];

struct Tables {
    window: [f32; BLOCK],
    /// Cosine and negative sine of each step around half the circle.
    cos: Parts,
    sin: Parts,
}

static TABLES: LazyLock<Tables> = LazyLock::new(|| {
    let angle = |n: usize| TAU * n as f32 / BLOCK as f32;
    Tables {
        window: std::array::from_fn(|n| 0.5 - 0.5 * angle(n).cos()),
        cos: std::array::from_fn(|n| angle(n).cos()),
        sin: std::array::from_fn(|n| -angle(n).sin()),
    }
});

/// Adds the power of the lower half of the bins of `block` ([`BLOCK`] samples) to `spectrum` ([`HALF`] bins).
pub(super) fn add_power(block: &[i16], spectrum: &mut [f32]) {
    let tables = &*TABLES;
    let mut buffers = [[[0.0_f32; HALF]; 2]; 2];
    let [from, to] = &mut buffers;
    let (mut from, mut to) = (from, to);
    let windowed = |(sample, window): (&i16, &f32)| f32::from(*sample) * window;
    let pairs = block.as_chunks::<2>().0.iter().zip(tables.window.as_chunks::<2>().0);
    for (n, (samples, window)) in pairs.enumerate().take(HALF) {
        // Even samples are the real parts, odd ones the imaginary.
        from[0][n] = windowed((&samples[0], &window[0]));
        from[1][n] = windowed((&samples[1], &window[1]));
    }
    let mut runs = HALF / 2;
    while runs > 0 {
        // Short runs of a known length go without a loop each.
        match HALF / 2 / runs {
            1 => step(1, from, to, tables),
            2 => step(2, from, to, tables),
            4 => step(4, from, to, tables),
            len => step(len, from, to, tables),
        }
        std::mem::swap(&mut from, &mut to);
        runs /= 2;
    }
    let [re, im] = &*from;
    let Some((first, sums)) = spectrum.split_first_mut() else { return };
    *first += (re[0] + im[0]).powi(2);
    // The transforms of even and odd samples are the parts of this one that mirror themselves and that do not.
    let bins = re[1..].iter().zip(&im[1..]);
    let mirrored = re.iter().zip(im).rev();
    let turns = tables.cos[1..].iter().zip(&tables.sin[1..]);
    for (sum, ((bin, mirrored), (cos, sin))) in sums.iter_mut().zip(bins.zip(mirrored).zip(turns)) {
        let even = (bin.0 + mirrored.0, bin.1 - mirrored.1);
        let odd = (bin.1 + mirrored.1, mirrored.0 - bin.0);
        let (re, im) = (even.0 + odd.0 * cos - odd.1 * sin, even.1 + odd.0 * sin + odd.1 * cos);
        *sum += (re * re + im * im) * 0.25;
    }
}

/// One of the steps: from runs of `len` in both halves of `from`, pairs of runs in `to`.
#[inline(always)]
fn step(len: usize, from: &[Parts; 2], to: &mut [Parts; 2], tables: &Tables) {
    let [(re_a, re_b), (im_a, im_b)] = from.each_ref().map(|parts| parts.split_at(HALF / 2));
    let [to_re, to_im] = to;
    let a = re_a.chunks_exact(len).zip(im_a.chunks_exact(len));
    let b = re_b.chunks_exact(len).zip(im_b.chunks_exact(len));
    let to = to_re.chunks_exact_mut(2 * len).zip(to_im.chunks_exact_mut(2 * len));
    for (run, ((a, b), to)) in a.zip(b).zip(to).enumerate() {
        let at = run * len * 2;
        let (cos, sin) = (tables.cos[at], tables.sin[at]);
        let ((sum_re, turned_re), (sum_im, turned_im)) = (to.0.split_at_mut(len), to.1.split_at_mut(len));
        for n in 0..len {
            let (re, im) = (a.0[n] - b.0[n], a.1[n] - b.1[n]);
            sum_re[n] = a.0[n] + b.0[n];
            sum_im[n] = a.1[n] + b.1[n];
            turned_re[n] = re * cos - im * sin;
            turned_im[n] = re * sin + im * cos;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_power_spectrum_is_that_of_the_definition_and_adds_up() {
        let mut state = 1_u32;
        let block: Vec<i16> = (0..BLOCK)
            .map(|n| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                let tone = (n as f64 * 0.3).sin() * 9000.0 + (n as f64 * 2.9).cos() * 500.0;
                tone as i16 + ((state >> 22) as i16 - 512)
            })
            .collect();
        let mut spectrum = vec![0.0; HALF];
        add_power(&block, &mut spectrum);
        let once = spectrum.clone();
        add_power(&block, &mut spectrum);
        let turn = |n: usize| std::f64::consts::TAU * n as f64 / BLOCK as f64;
        let powers: Vec<f64> = (0..HALF)
            .map(|bin| {
                let sum = block.iter().enumerate().fold((0.0, 0.0), |sum, (n, sample)| {
                    let windowed = f64::from(*sample) * (0.5 - 0.5 * turn(n).cos());
                    let (sin, cos) = turn(n * bin % BLOCK).sin_cos();
                    (sum.0 + windowed * cos, sum.1 - windowed * sin)
                });
                sum.0 * sum.0 + sum.1 * sum.1
            })
            .collect();
        let most = powers.iter().copied().fold(0.0, f64::max);
        for (bin, power) in powers.iter().enumerate() {
            let error = (f64::from(once[bin]) - power).abs();
            assert!(error < 1e-4 * power.max(most * 1e-6), "{bin}: {} and {power}", once[bin]);
            assert!((spectrum[bin] - 2.0 * once[bin]).abs() <= once[bin] * 1e-5, "{bin}");
        }
    }
}
