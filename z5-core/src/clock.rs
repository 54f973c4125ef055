//! The only file of this crate that reads a clock. Machines get `now` as an argument; wall time enters them as a
//! [`WallAnchor`] taken once, so that a test holds both.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Monotonic time: that of tokio, which is the system's unless a simulation has paused it.
#[expect(clippy::disallowed_methods, reason = "this file owns the clock")]
pub fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// Wall time tied to a monotonic instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WallAnchor {
    /// The monotonic instant at which the wall clock was read.
    pub at: Instant,
    /// Seconds since 1970-01-01 UTC at that instant.
    pub unix_s: u64,
}

impl WallAnchor {
    /// Reads both clocks. A wall clock before 1970 counts as 1970: everything dated is then "not yet valid", which is
    /// what the user must be told.
    #[expect(clippy::disallowed_methods, reason = "this file owns the clock")]
    pub fn read() -> Self {
        let unix_s = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs();
        Self { at: now(), unix_s }
    }

    /// Seconds since 1970 at `now`.
    pub fn unix_s(&self, now: Instant) -> u64 {
        self.unix_s.saturating_add(now.saturating_duration_since(self.at).as_secs())
    }
}

/// Milliseconds between two instants with microsecond resolution.
pub(crate) fn ms(from: Instant, to: Instant) -> f64 {
    (to.saturating_duration_since(from).as_secs_f64() * 1e6).round() / 1e3
}

/// Waits until `at` on the tokio timer.
pub(crate) async fn sleep_until(at: Instant) {
    tokio::time::sleep_until(tokio::time::Instant::from_std(at)).await;
}

/// Beats this far apart, the first one after the first pause. One that was missed is left out.
pub(crate) fn ticks(every: Duration) -> tokio::time::Interval {
    let every = every.max(Duration::from_millis(10));
    let mut ticks = tokio::time::interval_at(tokio::time::Instant::from_std(now()) + every, every);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    ticks
}
