//! What was heard: level, audible or silent, and the dominant frequency with its share of the energy.
//!
//! Spectra of 1024 samples (Hann window) are averaged over the active blocks; the peak is interpolated between bins,
//! which is exact to well under 1 Hz for a steady tone at 8 kHz.

pub mod emodel;
mod fft;

use fft::BLOCK;

use crate::stats::Heard;

/// Level of a full-scale sine in dBm0 (the mu-law overload point of ITU-T G.711).
pub const FULL_SCALE_SINE_DBM0: f64 = 3.17;
/// Level of a full-scale sine in dBov: 3.01 dB below a full-scale square wave (RFC 6464).
const FULL_SCALE_SINE_DBOV: f64 = -3.0103;
/// Below this mean square a frame counts as silence: -55 dBov.
const SILENCE: f64 = 32767.0 * 32767.0 * 3.162_277_66e-6;
/// Active time from which a stream counts as audible.
const AUDIBLE_MS: f64 = 100.0;
/// Spectra are averaged until this many were taken; the level goes on.
const MAX_SPECTRA: u32 = 256;
/// So many are taken of each block, then of one in [`SPARSE`]: a second tells a tone, a mean over a call needs no more.
const DENSE: u32 = 8;
const SPARSE: usize = 4;

/// Measures played audio.
#[derive(Debug)]
pub struct Listener {
    sample_rate: u32,
    frames: u64,
    active_samples: u64,
    active_energy: f64,
    /// What came since the last spectrum; as 16-bit samples, because there are many listeners.
    block: Vec<i16>,
    spectrum: Vec<f32>,
    spectra: u32,
    /// Samples that no spectrum is made of.
    skip: usize,
}

impl Listener {
    /// A listener of audio at `sample_rate` Hz.
    #[must_use]
    pub fn new(sample_rate: u32) -> Self {
        Self {
            sample_rate,
            frames: 0,
            active_samples: 0,
            active_energy: 0.0,
            block: Vec::with_capacity(BLOCK),
            spectrum: vec![0.0; BLOCK / 2],
            spectra: 0,
            skip: 0,
        }
    }

    /// Takes the next frame as it is played.
    pub fn hear(&mut self, frame: &[i16]) {
        self.frames += 1;
        // In whole numbers: such a sum goes many samples at a time.
        let energy: u64 = frame.iter().map(|s| u64::from(i32::from(*s).unsigned_abs().pow(2))).sum();
        let energy = energy as f64;
        if frame.is_empty() || energy / (frame.len() as f64) < SILENCE {
            // A spectrum is of one piece.
            self.block.clear();
            return;
        }
        self.active_samples += frame.len() as u64;
        self.active_energy += energy;
        if self.spectra >= MAX_SPECTRA {
            return;
        }
        let skipped = self.skip.min(frame.len());
        self.skip -= skipped;
        let mut frame = &frame[skipped..];
        while !frame.is_empty() {
            let (now, later) = frame.split_at(frame.len().min(BLOCK - self.block.len()));
            self.block.extend_from_slice(now);
            frame = later;
            if self.block.len() == BLOCK {
                fft::add_power(&self.block, &mut self.spectrum);
                self.spectra += 1;
                self.block.clear();
                if self.spectra >= DENSE {
                    let passed = frame.len().min((SPARSE - 1) * BLOCK);
                    self.skip = (SPARSE - 1) * BLOCK - passed;
                    frame = &frame[passed..];
                }
            }
        }
    }

    /// What was heard so far; `None` before the first frame.
    #[must_use]
    pub fn heard(&self) -> Option<Heard> {
        if self.frames == 0 {
            return None;
        }
        let active_ms = self.active_samples as f64 * 1000.0 / f64::from(self.sample_rate);
        let level_dbov =
            (self.active_samples > 0).then(|| to_dbov(self.active_energy / self.active_samples as f64));
        let peak = self.peak();
        Some(Heard {
            audible: active_ms >= AUDIBLE_MS,
            active_ms,
            level_dbov,
            level_dbm0: level_dbov.map(|dbov| dbov - FULL_SCALE_SINE_DBOV + FULL_SCALE_SINE_DBM0),
            dominant_hz: peak.map(|(hz, _)| hz),
            tone_share: peak.map(|(_, share)| share),
        })
    }

    /// Frequency of the strongest bin, interpolated, and the share of its neighbourhood in all energy.
    fn peak(&self) -> Option<(f64, f64)> {
        if self.spectra == 0 {
            return None;
        }
        // The lowest bins hold the offset, not a tone.
        let inner = 2..self.spectrum.len() - 2;
        let at = inner.max_by(|a, b| self.spectrum[*a].total_cmp(&self.spectrum[*b]))?;
        let total: f64 = self.spectrum.iter().copied().map(f64::from).sum();
        // A Hann window spreads a tone over its main lobe of two bins to each side.
        let tone: f64 = self.spectrum[at - 2..=at + 2].iter().copied().map(f64::from).sum();
        let [left, middle, right] = [-1_isize, 0, 1]
            .map(|d| f64::from(self.spectrum[at.saturating_add_signed(d)]).max(f64::MIN_POSITIVE).sqrt());
        // With a Hann window the two greatest amplitudes give the place between bins exactly.
        let offset = if right >= left {
            let ratio = right / middle;
            (2.0 * ratio - 1.0) / (ratio + 1.0)
        } else {
            let ratio = left / middle;
            -(2.0 * ratio - 1.0) / (ratio + 1.0)
        };
        let hz = (at as f64 + offset) * f64::from(self.sample_rate) / BLOCK as f64;
        Some((hz, if total > 0.0 { tone / total } else { 0.0 }))
    }
}

/// Level of a mean square against a full-scale square wave.
fn to_dbov(mean_square: f64) -> f64 {
    10.0 * (mean_square / (32767.0 * 32767.0)).max(1e-12).log10()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::g711::Law;
    use crate::source::{AudioSource, Tone};

    fn listen(hz: f64, dbm0: f64, law: Option<Law>, seconds: usize) -> Heard {
        let mut tone = Tone::new(hz, dbm0);
        tone.open(8000);
        let mut listener = Listener::new(8000);
        let mut frame = [0; 160];
        for _ in 0..seconds * 50 {
            tone.fill(&mut frame);
            if let Some(law) = law {
                let mut wire = [0; 160];
                law.encode(&frame, &mut wire);
                law.decode(&wire, &mut frame);
            }
            listener.hear(&frame);
        }
        listener.heard().unwrap()
    }

    #[test]
    fn a_tone_through_g711_reads_right() {
        for law in [None, Some(Law::Mu), Some(Law::A)] {
            for hz in [300.0, 440.0, 997.3, 1000.0, 1004.0, 3400.0] {
                for dbm0 in [-40.0, -19.0, -10.0, 0.0, 3.0] {
                    let heard = listen(hz, dbm0, law, 1);
                    assert!((heard.dominant_hz.unwrap() - hz).abs() < 0.5, "{law:?} {hz} {dbm0} {heard:?}");
                    assert!((heard.level_dbm0.unwrap() - dbm0).abs() < 0.3, "{law:?} {hz} {dbm0} {heard:?}");
                    assert!(heard.tone_share.unwrap() > 0.98, "{law:?} {hz} {dbm0} {heard:?}");
                    assert!(heard.audible);
                }
            }
        }
    }

    #[test]
    fn silence_is_not_audible_and_has_no_level() {
        let mut listener = Listener::new(8000);
        assert_eq!(listener.heard(), None);
        (0..50).for_each(|_| listener.hear(&[3; 160]));
        let heard = listener.heard().unwrap();
        assert!(!heard.audible);
        assert_eq!((heard.level_dbov, heard.dominant_hz, heard.active_ms), (None, None, 0.0));
    }

    #[test]
    fn noise_is_no_tone() {
        let mut listener = Listener::new(8000);
        let mut state = 1_u32;
        for _ in 0..100 {
            let frame: Vec<i16> = (0..160)
                .map(|_| {
                    state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    (state >> 16) as i16 / 4
                })
                .collect();
            listener.hear(&frame);
        }
        assert!(listener.heard().unwrap().tone_share.unwrap() < 0.2);
    }
}
