//! Makes up lost audio: repeats the last pitch period and fades it out (the idea of ITU-T G.711 appendix I, simplified).

/// Samples of history kept.
const HISTORY: usize = 480;
/// Shortest and longest pitch period looked for, in samples at 8 kHz (200 to 50 Hz at most; multiples fit too).
const MIN_LAG: usize = 40;
const MAX_LAG: usize = 160;
/// Samples compared when the period is looked for.
const COMPARED: usize = 160;
/// Samples at full level before the fade.
const HOLD: usize = 80;
/// Samples until silence.
const FADE: usize = 480;
/// Samples over which real audio is blended in after a loss.
const BLEND: usize = 32;

/// State of the concealment of one stream.
#[derive(Debug, Clone)]
pub struct Concealer {
    history: [i16; HISTORY],
    /// Samples made up since the last real one; 0 while audio is real.
    made_up: usize,
    lag: usize,
}

impl Default for Concealer {
    fn default() -> Self {
        Self { history: [0; HISTORY], made_up: 0, lag: MAX_LAG }
    }
}

impl Concealer {
    /// Tells real audio that is about to be played; its start is blended with what was made up before it.
    pub fn real(&mut self, samples: &mut [i16]) {
        if self.made_up > 0 {
            let blend = BLEND.min(samples.len());
            for (n, sample) in samples.iter_mut().take(blend).enumerate() {
                let weight = (n + 1) as f32 / (BLEND + 1) as f32;
                let old = f32::from(self.next_sample());
                *sample = (old + (f32::from(*sample) - old) * weight) as i16;
            }
            self.made_up = 0;
        }
        let keep = samples.len().min(HISTORY);
        self.history.copy_within(keep.., 0);
        self.history[HISTORY - keep..].copy_from_slice(&samples[samples.len() - keep..]);
    }

    /// Fills `samples` in place of audio that is missing.
    pub fn conceal(&mut self, samples: &mut [i16]) {
        if self.made_up == 0 {
            self.lag = self.find_lag();
        }
        for sample in samples {
            *sample = self.next_sample();
        }
    }

    /// Forgets what was played, at the start of another source.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    fn next_sample(&mut self) -> i16 {
        let n = self.made_up;
        self.made_up += 1;
        if n >= HOLD + FADE {
            return 0;
        }
        let sample = f32::from(self.history[HISTORY - self.lag + n % self.lag]);
        let level = 1.0 - n.saturating_sub(HOLD) as f32 / FADE as f32;
        (sample * level) as i16
    }

    /// The lag at which the end of the history resembles itself most.
    fn find_lag(&self) -> usize {
        let end = &self.history[HISTORY - COMPARED..];
        // In whole numbers, scaled so that no sum overflows: such sums go many at a time, and on a bad path this is most of
        // what a call costs.
        let product = |a: i16, b: i16| (i32::from(a) * i32::from(b)) >> 7;
        let score = |lag: usize| {
            let earlier = &self.history[HISTORY - COMPARED - lag..HISTORY - lag];
            let (mut cross, mut energy) = (0_i32, 0_i32);
            for (a, b) in end.iter().zip(earlier) {
                cross += product(*a, *b);
                energy += product(*b, *b);
            }
            cross as f32 / (energy as f32 + 1.0).sqrt()
        };
        let mut best = (MAX_LAG, score(MAX_LAG));
        for lag in MIN_LAG..MAX_LAG {
            let found = score(lag);
            if found > best.1 {
                best = (lag, found);
            }
        }
        best.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tone(from: usize, len: usize) -> Vec<i16> {
        (from..from + len)
            .map(|n| ((n as f64 * 440.0 / 8000.0 * std::f64::consts::TAU).sin() * 10000.0) as i16)
            .collect()
    }

    #[test]
    fn a_tone_goes_on_and_fades() {
        let mut concealer = Concealer::default();
        concealer.real(&mut tone(0, 480));
        let mut made = vec![0; 160];
        concealer.conceal(&mut made);
        let expected = tone(480, 160);
        let error = made[..80]
            .iter()
            .zip(&expected)
            .map(|(a, b)| (i32::from(*a) - i32::from(*b)).abs())
            .max()
            .unwrap();
        assert!(error < 1500, "{error}");
        let mut rest = vec![0; 800];
        concealer.conceal(&mut rest);
        assert!(rest[500..].iter().all(|s| *s == 0));
    }

    #[test]
    fn the_loudest_audio_overflows_nothing() {
        for sample in [i16::MIN, i16::MAX] {
            let mut concealer = Concealer::default();
            concealer.real(&mut [sample; 480]);
            let mut made = [0; 40];
            concealer.conceal(&mut made);
            assert_eq!(made, [sample; 40]);
        }
    }

    #[test]
    fn real_audio_after_a_loss_is_blended_in() {
        let mut concealer = Concealer::default();
        concealer.real(&mut [8000; 480]);
        concealer.conceal(&mut [0; 80]);
        let mut real = vec![0; 160];
        concealer.real(&mut real);
        assert!(real[0] > 7000 && real[31] < 1000 && real[32] == 0, "{real:?}");
    }
}
