//! A sine tone whose phase is exact however long it runs.

use std::f64::consts::TAU;
use std::time::Duration;

use super::{AudioSource, SourceState};
use crate::quality::FULL_SCALE_SINE_DBM0;

/// Samples between two exact phases; the error of turning on is below a millionth of a step until then.
const RUN: usize = 80;
/// Samples computed side by side, each from the one so many before it. A whole number of times in a [`RUN`].
const LANES: usize = 8;

/// A sine at a given frequency and level, endless or of a given duration.
#[derive(Debug, Clone)]
pub struct Tone {
    frequency_hz: f64,
    amplitude: f64,
    duration: Option<Duration>,
    sample_rate: u32,
    /// Samples produced so far.
    position: u64,
    /// Sine and cosine of how far each of the lanes is ahead of the first, and of how far all go in a step.
    lanes: [(f64, f64); LANES],
    step: (f64, f64),
}

impl Tone {
    /// `frequency_hz` at `level_dbm0` (0 dBm0 is 3.17 dB below a full-scale sine, ITU-T G.711).
    ///
    /// Levels above full scale are cut to full scale.
    #[must_use]
    pub fn new(frequency_hz: f64, level_dbm0: f64) -> Self {
        let amplitude = 10_f64.powf((level_dbm0 - FULL_SCALE_SINE_DBM0) / 20.0).min(1.0) * 32767.0;
        let mut tone = Self {
            frequency_hz,
            amplitude,
            duration: None,
            sample_rate: 8000,
            position: 0,
            lanes: [(0.0, 1.0); LANES],
            step: (0.0, 1.0),
        };
        tone.open(8000);
        tone
    }

    /// Ends after `duration`.
    #[must_use]
    pub fn lasting(mut self, duration: Duration) -> Self {
        self.duration = Some(duration);
        self
    }

    fn cycles_per_sample(&self) -> f64 {
        self.frequency_hz / f64::from(self.sample_rate)
    }

    fn length(&self) -> u64 {
        self.duration.map_or(u64::MAX, |d| (d.as_secs_f64() * f64::from(self.sample_rate)) as u64)
    }
}

/// The integer nearest to a level within 16 bits. Next to so great a number a double has no room for fractions, and its lowest bits
/// are the integer; a cast would have to look at each for what does not fit.
fn nearest(level: f64) -> i16 {
    const ROUND: f64 = (3_u64 << 51) as f64;
    (level + ROUND).to_bits() as i16
}

impl AudioSource for Tone {
    fn open(&mut self, sample_rate: u32) {
        self.sample_rate = sample_rate;
        self.position = 0;
        let cycles_per_sample = self.cycles_per_sample();
        let turned = |samples: usize| (samples as f64 * cycles_per_sample * TAU).sin_cos();
        self.lanes = std::array::from_fn(turned);
        self.step = turned(LANES);
    }

    fn fill(&mut self, frame: &mut [i16]) -> SourceState {
        let length = self.length();
        let cycles_per_sample = self.cycles_per_sample();
        let sounding = usize::try_from(length.saturating_sub(self.position)).unwrap_or(usize::MAX);
        let (sounding, silent) = frame.split_at_mut(sounding.min(frame.len()));
        let (step_sin, step_cos) = self.step;
        for run in sounding.chunks_mut(RUN) {
            // The phase is computed from the position, not summed, so no error can grow; cut to one turn before the
            // sine so that it stays exact after hours. Within a run it is turned on, which costs a tenth of a sine.
            let turns = (self.position as f64 * cycles_per_sample).fract();
            let (sin, cos) = (turns * TAU).sin_cos();
            let (sin, cos) = (sin * self.amplitude, cos * self.amplitude);
            let mut at = self.lanes.map(|(ahead_sin, ahead_cos)| {
                (sin * ahead_cos + cos * ahead_sin, cos * ahead_cos - sin * ahead_sin)
            });
            for samples in run.chunks_mut(LANES) {
                let levels = at.map(|(level, _)| nearest(level));
                samples.copy_from_slice(&levels[..samples.len()]);
                at = at.map(|(sin, cos)| (sin * step_cos + cos * step_sin, cos * step_cos - sin * step_sin));
            }
            self.position += run.len() as u64;
        }
        silent.fill(0);
        if self.position >= length { SourceState::Ended } else { SourceState::Playing }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_phase_does_not_depend_on_the_frame_size() {
        let (mut a, mut b) = (Tone::new(997.0, -10.0), Tone::new(997.0, -10.0));
        let mut one = [0_i16; 800];
        assert_eq!(a.fill(&mut one), SourceState::Playing);
        for part in one.chunks(80) {
            let mut frame = [0_i16; 80];
            b.fill(&mut frame);
            assert_eq!(part, frame);
        }
    }

    #[test]
    fn levels_are_cut_to_the_nearest_integer() {
        let levels = [0.0, 0.49, -0.49, 0.51, -0.51, 1.5, -1.5, 32_766.7, -32_767.3, 12_345.25];
        let nearest = levels.map(nearest);
        assert_eq!(nearest, [0, 0, 0, 1, -1, 2, -2, 32_767, -32_767, 12_345]);
    }

    #[test]
    fn samples_are_those_of_the_sine_itself() {
        let mut tone = Tone::new(997.0, -3.0);
        tone.open(48_000);
        let mut frame = [0_i16; 960];
        (0..20).for_each(|_| assert_eq!(tone.fill(&mut frame), SourceState::Playing));
        for (n, sample) in frame.iter().enumerate() {
            let at = (19 * 960 + n) as f64 * 997.0 / 48_000.0;
            let exact = tone.amplitude * (at * TAU).sin();
            assert!((f64::from(*sample) - exact).abs() < 0.501, "{n}: {sample} and {exact}");
        }
    }

    #[test]
    fn it_ends_exactly_after_its_duration() {
        let mut tone = Tone::new(1000.0, 0.0).lasting(Duration::from_millis(30));
        tone.open(8000);
        let mut frame = [1_i16; 160];
        assert_eq!(tone.fill(&mut frame), SourceState::Playing);
        assert_eq!(tone.fill(&mut frame), SourceState::Ended);
        assert!(frame[80..].iter().all(|s| *s == 0));
    }

    #[test]
    fn the_level_is_the_asked_one() {
        let mut tone = Tone::new(1000.0, 0.0);
        tone.open(8000);
        let mut frame = [0_i16; 8000];
        tone.fill(&mut frame);
        let rms = (frame.iter().map(|s| f64::from(*s).powi(2)).sum::<f64>() / 8000.0).sqrt();
        // 0 dBm0: a sine 3.17 dB below full scale.
        let expected = 32767.0 / 2_f64.sqrt() / 10_f64.powf(3.17 / 20.0);
        assert!((rms - expected).abs() < 1.0, "{rms} {expected}");
    }
}
