//! Sample rate conversion by a polyphase windowed-sinc filter, exact in rate for any ratio of whole numbers.

/// Taps per side at equal rates; more when the rate goes down, so that the stop band starts at the lower Nyquist rate.
const SIDE_TAPS: usize = 24;
/// Share of the lower Nyquist frequency that passes.
const PASS_BAND: f64 = 0.92;

/// Converts a stream of samples.
#[derive(Debug, Clone)]
pub(crate) struct Resampler {
    /// Output advances by this many input steps of `1 / phases` sample.
    step: usize,
    phases: usize,
    taps: usize,
    /// `taps` coefficients per phase.
    filter: Vec<f32>,
    /// The last `taps` inputs, kept twice so that they are always in one piece.
    history: Vec<f32>,
    at: usize,
    /// Position between inputs, in phases.
    phase: usize,
    /// Inputs still to be read before the next output.
    needed: usize,
    ended: usize,
}

impl Resampler {
    /// From `input` Hz to `output` Hz.
    pub(super) fn new(input: u32, output: u32) -> Self {
        let divisor = gcd(input, output);
        let (phases, step) = ((output / divisor) as usize, (input / divisor) as usize);
        let ratio = (f64::from(output) / f64::from(input)).min(1.0);
        let side = (SIDE_TAPS as f64 / ratio).ceil() as usize;
        let taps = 2 * side;
        let mut filter = Vec::with_capacity(phases * taps);
        for phase in 0..phases {
            let offset = phase as f64 / phases as f64;
            let row: Vec<f64> = (0..taps)
                .map(|tap| weight((side - 1) as f64 + offset - tap as f64, side as f64, ratio))
                .collect();
            // Every phase passes a constant unchanged.
            let sum: f64 = row.iter().sum();
            filter.extend(row.iter().map(|w| (w / sum) as f32));
        }
        // The first output is centred on the first input.
        Self {
            step,
            phases,
            taps,
            filter,
            history: vec![0.0; 2 * taps],
            at: 0,
            phase: 0,
            needed: side + 1,
            ended: 0,
        }
    }

    /// The same for a stream without end that is converted frame by frame: what comes out is later by half the filter.
    pub(crate) fn streaming(input: u32, output: u32) -> Self {
        Self { needed: 1, ..Self::new(input, output) }
    }

    /// Converts a frame; appends as many samples as the ratio of the rates gives (exactly, over whole frames).
    pub(crate) fn convert(&mut self, frame: &[i16], out: &mut Vec<i16>) {
        let mut left = frame;
        while left.len() >= self.needed {
            let taken = self.next(|| {
                let (first, rest) = left.split_first()?;
                left = rest;
                Some(*first)
            });
            let Some(sample) = taken else { return };
            out.push(sample);
        }
        // Too few for another output: they are part of the next one's history.
        for sample in left {
            self.push(f32::from(*sample));
            self.needed -= 1;
        }
    }

    fn push(&mut self, sample: f32) {
        self.history[self.at] = sample;
        self.history[self.at + self.taps] = sample;
        self.at = (self.at + 1) % self.taps;
    }

    /// The next output sample; `None` once the input has ended and its tail was given.
    pub(super) fn next(&mut self, mut input: impl FnMut() -> Option<i16>) -> Option<i16> {
        while self.needed > 0 {
            let sample = match input() {
                Some(sample) => f32::from(sample),
                None => {
                    self.ended += 1;
                    0.0
                }
            };
            self.push(sample);
            self.needed -= 1;
        }
        if self.ended > self.taps / 2 {
            return None;
        }
        let row = &self.filter[self.phase * self.taps..(self.phase + 1) * self.taps];
        let sum: f32 = row.iter().zip(&self.history[self.at..self.at + self.taps]).map(|(w, s)| w * s).sum();
        self.phase += self.step;
        self.needed = self.phase / self.phases;
        self.phase %= self.phases;
        Some(sum.round() as i16)
    }
}

/// A sinc at the cut-off, under a Blackman window `side` samples wide to each side.
fn weight(distance: f64, side: f64, ratio: f64) -> f64 {
    let x = distance / side;
    if x.abs() >= 1.0 {
        return 0.0;
    }
    let window = 0.42 + 0.5 * (std::f64::consts::PI * x).cos() + 0.08 * (std::f64::consts::TAU * x).cos();
    let angle = std::f64::consts::PI * distance * ratio * PASS_BAND;
    let sinc = if angle == 0.0 { 1.0 } else { angle.sin() / angle };
    sinc * window
}

fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn convert(input: u32, output: u32, hz: f64) -> Vec<f64> {
        let mut resampler = Resampler::new(input, output);
        let mut n = 0_u32;
        let mut out = Vec::new();
        while let Some(sample) = resampler.next(|| {
            n += 1;
            let turns = f64::from(n - 1) * hz / f64::from(input);
            (n <= input).then(|| ((turns * std::f64::consts::TAU).sin() * 10000.0) as i16)
        }) {
            out.push(f64::from(sample));
        }
        out
    }

    fn rms(samples: &[f64]) -> f64 {
        (samples.iter().map(|s| s * s).sum::<f64>() / samples.len() as f64).sqrt()
    }

    #[test]
    fn a_second_stays_a_second_and_the_pass_band_keeps_its_level() {
        for input in [8000, 11025, 16000, 22050, 32000, 44100, 48000] {
            for output in [8000, 16000] {
                let out = convert(input, output, 1000.0);
                assert!(out.len().abs_diff(output as usize) <= 1, "{input} {output} {}", out.len());
                let middle = &out[out.len() / 4..out.len() * 3 / 4];
                assert!((rms(middle) / 7071.0 - 1.0).abs() < 0.01, "{input} {output} {}", rms(middle));
                // In phase: the first output stands where the first input stood.
                let expected = (1.0 / 8.0 * std::f64::consts::TAU).sin() * 10000.0;
                assert!(
                    (out[output as usize / 8000 + 400 * output as usize / 8000] - expected).abs() < 150.0
                );
            }
        }
    }

    #[test]
    fn what_the_lower_rate_cannot_carry_is_stopped() {
        for hz in [4600.0, 6000.0, 10000.0] {
            let out = convert(48000, 8000, hz);
            assert!(rms(&out[1000..7000]) < 7.0, "{hz} {}", rms(&out[1000..7000]));
        }
    }
}
