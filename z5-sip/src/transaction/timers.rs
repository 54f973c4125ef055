//! The timers of RFC 3261 table 4, all made of T1, T2 and T4.

use std::time::Duration;

/// The three values that all transaction timers are made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timers {
    /// T1: the round-trip time estimate. Default 500 ms (RFC 3261 section 17.1.1.1).
    pub t1: Duration,
    /// T2: the longest interval between repetitions of a non-INVITE request or INVITE response. Default 4 s.
    pub t2: Duration,
    /// T4: how long a message can live in the network. Default 5 s.
    pub t4: Duration,
}

impl Default for Timers {
    fn default() -> Self {
        Self { t1: Duration::from_millis(500), t2: Duration::from_secs(4), t4: Duration::from_secs(5) }
    }
}

impl Timers {
    /// 64 x T1: timers B, F, H, J, L and M, and how long a 2xx is repeated. Default 32 s.
    #[must_use]
    pub fn long(&self) -> Duration {
        self.t1.saturating_mul(64)
    }

    /// Timer D: at least 32 s on an unreliable transport (RFC 3261 section 17.1.1.2).
    pub(super) fn d(&self) -> Duration {
        self.long().max(Duration::from_secs(32))
    }

    /// The next interval of timers E and G: doubled, capped at T2.
    pub(super) fn doubled(&self, interval: Duration) -> Duration {
        interval.saturating_mul(2).min(self.t2)
    }
}
