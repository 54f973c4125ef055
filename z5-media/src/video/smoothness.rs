//! Frame rate, freezes and first picture, by the moments pictures are shown.
//!
//! A freeze is what the W3C calls one (webrtc-stats, `freezeCount`): the time to the next picture exceeds three times the
//! mean of the last thirty, or that mean and 150 ms, whichever is more.

use std::time::{Duration, Instant};

/// Intervals the mean is taken over.
const INTERVALS: usize = 30;
/// What a freeze is longer than the mean at least.
const LEAST_EXCESS: Duration = Duration::from_millis(150);

/// Moments of pictures, digested.
#[derive(Debug, Clone, Default)]
pub(super) struct Smoothness {
    first: Option<Instant>,
    last: Option<Instant>,
    pictures: u64,
    intervals: Vec<Duration>,
    at: usize,
    freezes: u64,
    frozen: Duration,
}

impl Smoothness {
    /// A picture is shown.
    pub(super) fn shown(&mut self, now: Instant) {
        self.first.get_or_insert(now);
        self.pictures += 1;
        let Some(last) = self.last.replace(now) else { return };
        let interval = now.saturating_duration_since(last);
        if self.intervals.len() == INTERVALS {
            let mean = self.intervals.iter().sum::<Duration>() / INTERVALS as u32;
            if interval > (mean * 3).max(mean + LEAST_EXCESS) {
                self.freezes += 1;
                self.frozen += interval;
            }
            self.intervals[self.at] = interval;
        } else {
            self.intervals.push(interval);
        }
        self.at = (self.at + 1) % INTERVALS;
    }

    pub(super) fn first(&self) -> Option<Instant> {
        self.first
    }

    /// Pictures per second between the first and the last one; `None` before the second.
    pub(super) fn frame_rate(&self) -> Option<f64> {
        self.span().map(|span| (self.pictures - 1) as f64 / span.as_secs_f64())
    }

    /// From the first picture to the last one; `None` before the second.
    pub(super) fn span(&self) -> Option<Duration> {
        let span = self.last?.saturating_duration_since(self.first?);
        (self.pictures > 1 && !span.is_zero()).then_some(span)
    }

    /// Number and whole length of freezes; `None` before thirty intervals were seen, for then none could be told.
    pub(super) fn freezes(&self) -> Option<(u64, Duration)> {
        (self.intervals.len() == INTERVALS).then_some((self.freezes, self.frozen))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    #[test]
    fn freezes_are_told_by_the_w3c_rule_on_both_sides_of_its_edge() {
        let mut now = clock::now();
        let mut smoothness = Smoothness::default();
        assert_eq!((smoothness.frame_rate(), smoothness.freezes()), (None, None));
        smoothness.shown(now);
        for _ in 0..INTERVALS {
            now += Duration::from_millis(40);
            smoothness.shown(now);
        }
        assert!((smoothness.frame_rate().unwrap() - 25.0).abs() < 1e-6);
        // Three times 40 ms is less than 40 and 150 ms.
        now += Duration::from_millis(190);
        smoothness.shown(now);
        assert_eq!(smoothness.freezes(), Some((0, Duration::ZERO)));
        now += Duration::from_millis(400);
        smoothness.shown(now);
        assert_eq!(smoothness.freezes(), Some((1, Duration::from_millis(400))));
    }
}
