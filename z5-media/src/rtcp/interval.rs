//! When the next report is due (RFC 3550 section 6.2 and 6.3, for two participants).
//!
//! With two members the five-second minimum always exceeds the bandwidth rule, so that rule is left out; group
//! membership and timer reconsideration have nothing to reconsider. Of video with feedback (RTP/AVPF) the minimum is no more
//! (RFC 4585 section 3.4), and a report a second is below its share of the bandwidth: losses are told, and answered, sooner.

use std::time::{Duration, Instant};

/// The fixed minimum Tmin (section 6.2).
const MINIMUM: Duration = Duration::from_secs(5);
/// Between reports where the minimum does not hold: with 5 % for RTCP (section 6.2), 100 bytes a second fit 16 kbit/s.
const WITH_FEEDBACK: Duration = Duration::from_secs(1);
/// e - 3/2, which compensates for the randomisation (section 6.3.1).
const COMPENSATION: f64 = std::f64::consts::E - 1.5;

/// The schedule of one stream's reports.
#[derive(Debug, Clone)]
pub struct Interval {
    next: Instant,
    minimum: Duration,
    random: u64,
}

impl Interval {
    /// The first report is due at once, as unicast sessions may (section 6.2); it opens the relay's RTCP port.
    #[must_use]
    pub fn new(start: Instant, seed: u64) -> Self {
        Self { next: start, minimum: MINIMUM, random: seed | 1 }
    }

    /// The profile with feedback was agreed for video: reports are about a second apart.
    pub(crate) fn with_feedback(&mut self) {
        self.minimum = WITH_FEEDBACK;
    }

    /// When the next report is due.
    #[must_use]
    pub fn next(&self) -> Instant {
        self.next
    }

    /// The next report is due at once: the far end waits for the clock of a stream that just began (RFC 6051 section 2.1).
    pub(crate) fn hurry(&mut self, now: Instant) {
        self.next = self.next.min(now);
    }

    /// A report was sent: draws the next moment, between 0.5 and 1.5 times the interval.
    pub fn sent(&mut self, now: Instant) {
        self.turn();
        let share = (self.random >> 11) as f64 / (1_u64 << 53) as f64;
        self.next = now + self.minimum.mul_f64((0.5 + share) / COMPENSATION);
    }

    /// A number drawn from the same sequence, for an SSRC after a collision.
    pub(crate) fn draw(&mut self) -> u32 {
        self.turn();
        (self.random >> 32) as u32
    }

    /// xorshift64: the draw keeps stations apart, it protects nothing.
    fn turn(&mut self) {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    #[test]
    fn reports_are_due_at_once_and_then_between_two_and_seven_seconds() {
        let start = clock::now();
        let mut interval = Interval::new(start, 42);
        assert_eq!(interval.next(), start);
        let mut sum = 0.0;
        for _ in 0..1000 {
            let before = interval.next();
            interval.sent(before);
            let seconds = (interval.next() - before).as_secs_f64();
            assert!((2.05..6.16).contains(&seconds), "{seconds}");
            sum += seconds;
        }
        assert!((sum / 1000.0 - 4.1).abs() < 0.2, "{sum}");
        interval.with_feedback();
        let before = interval.next();
        interval.sent(before);
        assert!(interval.next() - before < Duration::from_millis(1300));
    }
}
