//! Frame rate, freezes and first picture, by the moments pictures are shown.
//!
//! A freeze is what the W3C calls one (webrtc-stats, `freezeCount`): the time to the next picture is at least three times the
//! mean of the last thirty, or that mean and 150 ms, whichever is more. One that no picture has ended yet counts as well, as
//! long as pictures may come: not while the stream is held, nor after the far end's goodbye.

use std::time::{Duration, Instant};

/// Intervals the mean is taken over.
const INTERVALS: usize = 30;
/// What a freeze is longer than the mean at least.
const LEAST_EXCESS: Duration = Duration::from_millis(150);

/// Moments of pictures, digested.
#[derive(Debug, Clone, Default)]
pub(super) struct Smoothness {
    first: Option<Instant>,
    /// The last picture, as long as the next one is expected.
    last: Option<Instant>,
    /// Intervals between pictures that were expected, and their sum.
    measured: u64,
    span: Duration,
    intervals: Vec<Duration>,
    at: usize,
    freezes: u64,
    frozen: Duration,
}

impl Smoothness {
    /// A picture is shown.
    pub(super) fn shown(&mut self, now: Instant) {
        self.first.get_or_insert(now);
        let Some(last) = self.last.replace(now) else { return };
        let interval = now.saturating_duration_since(last);
        self.measured += 1;
        self.span += interval;
        if self.is_freeze(interval) {
            self.freezes += 1;
            self.frozen += interval;
        }
        if self.intervals.len() == INTERVALS {
            self.intervals[self.at] = interval;
        } else {
            self.intervals.push(interval);
        }
        self.at = (self.at + 1) % INTERVALS;
    }

    /// No picture is expected until the next one comes.
    pub(super) fn pause(&mut self) {
        self.last = None;
    }

    /// Is that too long a time between two pictures? Never before thirty intervals were seen.
    fn is_freeze(&self, interval: Duration) -> bool {
        let mean = self.intervals.iter().sum::<Duration>() / INTERVALS as u32;
        self.intervals.len() == INTERVALS && interval >= (mean * 3).max(mean + LEAST_EXCESS)
    }

    pub(super) fn first(&self) -> Option<Instant> {
        self.first
    }

    /// Pictures per second while they were expected; `None` before the second.
    pub(super) fn frame_rate(&self) -> Option<f64> {
        self.span().map(|span| self.measured as f64 / span.as_secs_f64())
    }

    /// From the first picture to the last one, pauses left out; `None` before the second.
    pub(super) fn span(&self) -> Option<Duration> {
        (!self.span.is_zero()).then_some(self.span)
    }

    /// Number and whole length of freezes up to now; `None` before thirty intervals were seen, for then none could be told.
    pub(super) fn freezes(&self, now: Instant) -> Option<(u64, Duration)> {
        let open = self.last.map(|last| now.saturating_duration_since(last));
        let open = open.filter(|open| self.is_freeze(*open));
        (self.intervals.len() == INTERVALS)
            .then(|| (self.freezes + u64::from(open.is_some()), self.frozen + open.unwrap_or_default()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    /// Thirty-one pictures, 40 ms apart, and when the last one was shown.
    fn flowing() -> (Smoothness, Instant) {
        let mut now = clock::now();
        let mut smoothness = Smoothness::default();
        assert_eq!((smoothness.frame_rate(), smoothness.freezes(now)), (None, None));
        smoothness.shown(now);
        for _ in 0..INTERVALS {
            now += Duration::from_millis(40);
            smoothness.shown(now);
        }
        (smoothness, now)
    }

    #[test]
    fn freezes_are_told_by_the_w3c_rule_on_both_sides_of_its_edge() {
        let (mut smoothness, mut now) = flowing();
        assert!((smoothness.frame_rate().unwrap() - 25.0).abs() < 1e-6);
        // Three times 40 ms is less than 40 and 150 ms.
        now += Duration::from_millis(189);
        smoothness.shown(now);
        assert_eq!(smoothness.freezes(now), Some((0, Duration::ZERO)));
        now += Duration::from_millis(400);
        smoothness.shown(now);
        assert_eq!(smoothness.freezes(now), Some((1, Duration::from_millis(400))));
        let (mut smoothness, now) = flowing();
        smoothness.shown(now + Duration::from_millis(190));
        assert_eq!(smoothness.freezes(now).map(|(count, _)| count), Some(1));
    }

    #[test]
    fn a_freeze_that_nothing_ended_counts_unless_no_picture_was_expected() {
        let (mut smoothness, now) = flowing();
        let after = |ms| now + Duration::from_millis(ms);
        assert_eq!(smoothness.freezes(after(189)), Some((0, Duration::ZERO)));
        assert_eq!(smoothness.freezes(after(7000)), Some((1, Duration::from_secs(7))));
        // Held, or the far end has said goodbye.
        smoothness.pause();
        assert_eq!(smoothness.freezes(after(7000)), Some((0, Duration::ZERO)));
        smoothness.shown(after(9000));
        smoothness.shown(after(9040));
        assert_eq!(smoothness.freezes(after(9050)), Some((0, Duration::ZERO)));
        assert!((smoothness.frame_rate().unwrap() - 25.0).abs() < 1e-6, "the pause counts for nothing");
    }
}
