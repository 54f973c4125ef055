//! Makes up lost audio: repeats the last pitch period and fades it out (the idea of ITU-T G.711 appendix I, simplified).

/// Samples at 8 kHz: of history kept.
const HISTORY: usize = 480;
/// Shortest and longest pitch period looked for, in samples at 8 kHz (200 to 50 Hz at most; multiples fit too).
const MIN_LAG: usize = 40;
const MAX_LAG: usize = 160;
/// Samples at 8 kHz compared when the period is looked for.
const COMPARED: usize = 160;
/// Samples at 8 kHz at full level before the fade.
const HOLD: usize = 80;
/// Samples at 8 kHz until silence.
const FADE: usize = 480;
/// Samples at 8 kHz over which real audio is blended in after a loss.
const BLEND: usize = 32;

/// State of the concealment of one stream.
#[derive(Debug, Clone)]
pub struct Concealer {
    /// Samples for one at 8 kHz.
    scale: usize,
    /// What was played last, round and round: the oldest sample is at `oldest`. In order while anything is made up.
    history: Vec<i16>,
    oldest: usize,
    /// Samples made up since the last real one; 0 while audio is real.
    made_up: usize,
    lag: usize,
}

impl Concealer {
    /// For audio of that many samples a second, a multiple of 8000.
    #[must_use]
    pub fn new(sample_rate: u32) -> Self {
        let scale = (sample_rate as usize / 8000).max(1);
        Self { scale, history: vec![0; HISTORY * scale], oldest: 0, made_up: 0, lag: MAX_LAG * scale }
    }

    /// Tells real audio that is about to be played; its start is blended with what was made up before it.
    pub fn real(&mut self, samples: &mut [i16]) {
        if self.made_up > 0 {
            let blend = (BLEND * self.scale).min(samples.len());
            for (n, sample) in samples.iter_mut().take(blend).enumerate() {
                let weight = (n + 1) as f32 / (BLEND * self.scale + 1) as f32;
                let old = f32::from(self.next_sample());
                *sample = (old + (f32::from(*sample) - old) * weight) as i16;
            }
            self.made_up = 0;
        }
        let history = self.history.len();
        let (mut at, mut newest) = (self.oldest, &samples[samples.len() - samples.len().min(history)..]);
        while !newest.is_empty() {
            let (now, later) = newest.split_at(newest.len().min(history - at));
            self.history[at..at + now.len()].copy_from_slice(now);
            (at, newest) = ((at + now.len()) % history, later);
        }
        self.oldest = at;
    }

    /// Fills `samples` in place of audio that is missing.
    pub fn conceal(&mut self, samples: &mut [i16]) {
        if self.made_up == 0 && !samples.is_empty() {
            self.history.rotate_left(std::mem::take(&mut self.oldest));
            self.lag = self.find_lag();
        }
        for sample in samples {
            *sample = self.next_sample();
        }
    }

    fn next_sample(&mut self) -> i16 {
        let n = self.made_up;
        self.made_up += 1;
        let (hold, fade) = (HOLD * self.scale, FADE * self.scale);
        if n >= hold + fade {
            return 0;
        }
        let sample = f32::from(self.history[self.history.len() - self.lag + n % self.lag]);
        let level = 1.0 - n.saturating_sub(hold) as f32 / fade as f32;
        (sample * level) as i16
    }

    /// The lag at which the end of the history resembles itself most: first in steps of a sample at 8 kHz, then between.
    fn find_lag(&self) -> usize {
        let (scale, newest) = (self.scale, self.history.len());
        let compared = COMPARED * scale;
        // In whole numbers, scaled so that no sum overflows: such sums go many at a time, and on a bad path this is most of
        // what a call costs. At higher rates as many products are summed as at 8 kHz.
        let product = |a: i16, b: i16| (i32::from(a) * i32::from(b)) >> 7;
        let score = |lag: usize| {
            let end = self.history[newest - compared..].iter();
            let earlier = self.history[newest - compared - lag..newest - lag].iter();
            let (mut cross, mut energy) = (0_i32, 0_i32);
            let mut sum = |a: i16, b: i16| {
                cross += product(a, b);
                energy += product(b, b);
            };
            if scale == 1 {
                end.zip(earlier).for_each(|(a, b)| sum(*a, *b));
            } else {
                end.zip(earlier).step_by(scale).for_each(|(a, b)| sum(*a, *b));
            }
            cross as f32 / (energy as f32 + 1.0).sqrt()
        };
        let best = |lags: &mut dyn Iterator<Item = usize>| {
            let mut best = (MAX_LAG * scale, score(MAX_LAG * scale));
            for lag in lags {
                let found = score(lag);
                if found > best.1 {
                    best = (lag, found);
                }
            }
            best.0
        };
        let rough = best(&mut (MIN_LAG * scale..MAX_LAG * scale).step_by(scale));
        if scale == 1 {
            return rough;
        }
        let (from, to) = ((rough - scale).max(MIN_LAG * scale), (rough + scale).min(MAX_LAG * scale));
        best(&mut (from..=to))
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
    fn what_is_made_up_does_not_depend_on_the_pieces_in_which_audio_came() {
        let (mut whole, mut pieces) = (Concealer::new(8000), Concealer::new(8000));
        whole.real(&mut tone(520, 480));
        for (from, len) in [(0, 160), (160, 80), (240, 600), (840, 7), (847, 153)] {
            pieces.real(&mut tone(from, len));
        }
        for from in [1200, 1560] {
            let (mut a, mut b) = ([0; 200], [0; 200]);
            whole.conceal(&mut a);
            pieces.conceal(&mut b);
            assert!(a == b && a.iter().any(|sample| *sample != 0));
            whole.real(&mut tone(from, 160));
            pieces.real(&mut tone(from, 100));
            pieces.real(&mut tone(from + 100, 60));
        }
    }

    #[test]
    fn a_tone_goes_on_and_fades() {
        let mut concealer = Concealer::new(8000);
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
            let mut concealer = Concealer::new(8000);
            concealer.real(&mut [sample; 480]);
            let mut made = [0; 40];
            concealer.conceal(&mut made);
            assert_eq!(made, [sample; 40]);
        }
    }

    #[test]
    fn a_tone_goes_on_at_every_rate_of_a_stream() {
        for rate in [16_000_u32, 48_000] {
            let tone = |from: usize, len: usize| -> Vec<i16> {
                let turns = |n: usize| n as f64 * 300.0 / f64::from(rate);
                (from..from + len)
                    .map(|n| ((turns(n) * std::f64::consts::TAU).sin() * 10000.0) as i16)
                    .collect()
            };
            let mut concealer = Concealer::new(rate);
            let second = rate as usize;
            concealer.real(&mut tone(0, second));
            let mut made = vec![0; second / 100];
            concealer.conceal(&mut made);
            let wanted = tone(second, second / 100);
            let error = made.iter().zip(&wanted).map(|(a, b)| (i32::from(*a) - i32::from(*b)).abs()).max();
            assert!(error.unwrap() < 1500, "{rate} Hz: {error:?}");
        }
    }

    #[test]
    fn real_audio_after_a_loss_is_blended_in() {
        let mut concealer = Concealer::new(8000);
        concealer.real(&mut [8000; 480]);
        concealer.conceal(&mut [0; 80]);
        let mut real = vec![0; 160];
        concealer.real(&mut real);
        assert!(real[0] > 7000 && real[31] < 1000 && real[32] == 0, "{real:?}");
    }
}
