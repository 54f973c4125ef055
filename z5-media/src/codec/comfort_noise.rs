//! Comfort noise (RFC 3389): what is sent and played in place of silence.
//!
//! Only the level is used, not the spectrum: reflection coefficients are passed over and none are sent.

/// Level of a full-scale square wave in the payload: 0 dBov; larger numbers are quieter.
const QUIETEST: u8 = 127;
/// Below this a frame counts as silence, in dBov.
const SILENCE_DBOV: f64 = -55.0;
/// Milliseconds of silence before sending stops, so that the ends of words are heard.
const HANGOVER_MS: u32 = 200;
/// Milliseconds between two descriptions while nothing changes.
const REPEAT_MS: u32 = 500;
/// A change of level worth a description, in dB.
const CHANGE: u8 = 3;

/// The level of a comfort noise payload in -dBov; `None` when it is empty.
#[must_use]
pub fn level(payload: &[u8]) -> Option<u8> {
    payload.first().map(|level| level & 0x7f)
}

/// Makes noise of a level.
#[derive(Debug, Clone)]
pub struct Noise {
    state: u32,
}

impl Default for Noise {
    fn default() -> Self {
        Self { state: 0x1357_9bdf }
    }
}

impl Noise {
    /// Fills `samples` with white noise of that level in -dBov.
    pub fn fill(&mut self, level: u8, samples: &mut [i16]) {
        let rms = 32767.0 * 10_f32.powf(-f32::from(level.min(QUIETEST)) / 20.0);
        // Even distribution: the peak is the root of three above the mean.
        let peak = rms * 3_f32.sqrt();
        for sample in samples {
            self.state ^= self.state << 13;
            self.state ^= self.state >> 17;
            self.state ^= self.state << 5;
            *sample = (peak * (self.state as i32 as f32 / 2_147_483_648.0)) as i16;
        }
    }
}

/// What to send in place of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Send {
    /// The frame itself. `begins`: it is the first after silence and carries the marker bit.
    Frame {
        /// First of a talkspurt.
        begins: bool,
    },
    /// A comfort noise payload of one byte.
    Noise([u8; 1]),
    /// Nothing.
    Nothing,
}

/// Decides frame by frame what is sent (discontinuous transmission).
#[derive(Debug, Clone, Default)]
pub struct Detector {
    silent_ms: u32,
    /// Level described last, and how long ago.
    described: Option<(u8, u32)>,
}

impl Detector {
    /// Judges the next frame of `duration_ms` milliseconds.
    pub fn judge(&mut self, frame: &[i16], duration_ms: u32) -> Send {
        let energy: f64 = frame.iter().map(|s| f64::from(*s) * f64::from(*s)).sum();
        let mean = energy / frame.len().max(1) as f64;
        let dbov = 10.0 * (mean / (32767.0 * 32767.0)).max(1e-13).log10();
        if dbov >= SILENCE_DBOV {
            self.silent_ms = 0;
            return Send::Frame { begins: self.described.take().is_some() };
        }
        self.silent_ms = self.silent_ms.saturating_add(duration_ms);
        if self.silent_ms <= HANGOVER_MS {
            return Send::Frame { begins: false };
        }
        let level = (-dbov).clamp(0.0, f64::from(QUIETEST)) as u8;
        match &mut self.described {
            Some((last, age)) if level.abs_diff(*last) < CHANGE && *age + duration_ms < REPEAT_MS => {
                *age += duration_ms;
                Send::Nothing
            }
            described => {
                *described = Some((level, 0));
                Send::Noise([level])
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn noise_has_the_level_that_was_described() {
        for wanted in [30, 50, 65] {
            let mut samples = vec![0; 16000];
            Noise::default().fill(wanted, &mut samples);
            let mean: f64 = samples.iter().map(|s| f64::from(*s) * f64::from(*s)).sum::<f64>() / 16000.0;
            let dbov = 10.0 * (mean / (32767.0 * 32767.0)).log10();
            assert!((dbov + f64::from(wanted)).abs() < 0.8, "{wanted} {dbov}");
        }
        assert_eq!((level(&[200, 1]), level(&[])), (Some(72), None));
    }

    #[test]
    fn silence_is_described_after_a_hangover_and_speech_begins_with_a_marker() {
        let (speech, silence) = ([3000; 160], [10; 160]);
        let mut detector = Detector::default();
        assert_eq!(detector.judge(&speech, 20), Send::Frame { begins: false });
        for _ in 0..10 {
            assert_eq!(detector.judge(&silence, 20), Send::Frame { begins: false });
        }
        assert_eq!(detector.judge(&silence, 20), Send::Noise([70]));
        let noises = (0..100).filter(|_| matches!(detector.judge(&silence, 20), Send::Noise(_))).count();
        assert_eq!(noises, 4);
        // A louder room is described at once.
        assert_eq!(detector.judge(&[20; 160], 20), Send::Noise([64]));
        assert_eq!(detector.judge(&speech, 20), Send::Frame { begins: true });
        assert_eq!(detector.judge(&speech, 20), Send::Frame { begins: false });
    }
}
