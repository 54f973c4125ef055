//! What is in received pictures: whether something moves, and what the stamps of the test pattern say of order and delay.

use std::time::Duration;

use super::{Picture, Stamp};
use crate::stats::SeenFigures;

/// Every so many luma samples one is compared with the picture before.
const STRIDE: usize = 7;
/// Mean difference of those samples above which a picture has changed; a codec alone makes less of one that stands still.
const CHANGED: f64 = 1.5;
/// Delays are counted in steps of a millisecond up to here.
const LONGEST: Duration = Duration::from_secs(60);
/// Steps that are kept apart; all longer ones are one.
const STEPS: usize = 2048;

/// Gathers figures picture by picture.
#[derive(Debug, Clone)]
pub struct Seen {
    before: Vec<u8>,
    number: Option<u32>,
    delays: Vec<u32>,
    delayed: u64,
    figures: SeenFigures,
}

impl Default for Seen {
    fn default() -> Self {
        Self {
            before: Vec::new(),
            number: None,
            delays: vec![0; STEPS],
            delayed: 0,
            figures: SeenFigures::default(),
        }
    }
}

impl Seen {
    /// Takes a decoded picture; `wall` is the time since the Unix epoch, against which stamps are held.
    pub fn picture(&mut self, picture: &Picture, wall: Duration) {
        self.figures.decoded += 1;
        let [luma, ..] = picture.split();
        let samples = luma.iter().step_by(STRIDE);
        if samples.len() == self.before.len() {
            let apart: u64 = samples.clone().zip(&self.before).map(|(a, b)| u64::from(a.abs_diff(*b))).sum();
            self.figures.changed += u64::from(apart as f64 / self.before.len() as f64 > CHANGED);
        }
        self.before.clear();
        self.before.extend(samples);
        if let Some(stamp) = picture.stamp() {
            self.stamp(stamp, wall);
        }
    }

    fn stamp(&mut self, stamp: Stamp, wall: Duration) {
        self.figures.stamped += 1;
        if let Some(before) = self.number.replace(stamp.number) {
            // A film that begins anew, or another one, skips nothing.
            let ahead = stamp.number.wrapping_sub(before);
            self.figures.stamps_skipped += u64::from(ahead.saturating_sub(1)) * u64::from(ahead < 1 << 16);
        }
        // Both count milliseconds and wrap after 49 days.
        let ms = (wall.as_millis() as u32).wrapping_sub(stamp.at.as_millis() as u32);
        if u128::from(ms) < LONGEST.as_millis() {
            self.delays[(ms as usize).min(STEPS - 1)] += 1;
            self.delayed += 1;
        }
    }

    /// A picture could not be decoded.
    pub fn undecodable(&mut self) {
        self.figures.undecodable += 1;
    }

    /// The figures so far.
    #[must_use]
    pub fn figures(&self) -> SeenFigures {
        SeenFigures { delay_p50_ms: self.delay(0.5), delay_p95_ms: self.delay(0.95), ..self.figures }
    }

    fn delay(&self, share: f64) -> Option<f64> {
        let wanted = (self.delayed as f64 * share).ceil() as u64;
        let mut count = 0;
        let reached = |step: &u32| {
            count += u64::from(*step);
            count >= wanted
        };
        (self.delayed > 0).then(|| self.delays.iter().position(reached)).flatten().map(|ms| ms as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn movement_gaps_and_delays_are_read_from_pictures() {
        let mut seen = Seen::default();
        let wall = Duration::from_secs(1_800_000_000);
        let draw = |number: u32, at: Duration| {
            let mut picture = Picture::new(176, 144);
            picture.draw_pattern(Stamp { number, at });
            picture
        };
        for number in [0, 1, 2, 5] {
            seen.picture(&draw(number, wall), wall + Duration::from_millis(40));
        }
        seen.picture(&draw(5, wall), wall + Duration::from_millis(90));
        let figures = seen.figures();
        assert_eq!((figures.decoded, figures.changed, figures.stamped), (5, 3, 5));
        assert_eq!(
            (figures.stamps_skipped, figures.delay_p50_ms, figures.delay_p95_ms),
            (2, Some(40.0), Some(90.0))
        );
    }

    #[test]
    fn without_stamps_of_our_time_no_delay_is_told() {
        let mut seen = Seen::default();
        seen.picture(&Picture::new(176, 144), Duration::from_secs(5));
        let mut old = Picture::new(176, 144);
        old.draw_pattern(Stamp { number: 9, at: Duration::from_secs(7) });
        seen.picture(&old, Duration::from_secs(100_000));
        seen.undecodable();
        let figures = seen.figures();
        assert_eq!((figures.stamped, figures.undecodable, figures.delay_p50_ms), (1, 1, None));
    }
}
