//! The only file of the mock that reads a clock.
//!
//! Wall time is needed for licence dates and the certificates' validity, monotonic time for the relay's
//! impairment and the far ends' packet pace. Everything else is driven by what arrives.

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

/// Monotonic now.
#[expect(clippy::disallowed_methods, reason = "this file owns the mock's clock")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Seconds since 1970-01-01 UTC, the `NumericDate` of RFC 7519 section 2.
#[expect(clippy::disallowed_methods, reason = "this file owns the mock's clock")]
pub(crate) fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// Completes `pause` from now.
pub(crate) fn after(pause: Duration) -> impl Future<Output = ()> + Send {
    tokio::time::sleep_until(now() + pause)
}

/// What the servers take for the time.
#[derive(Clone, Debug)]
pub(crate) enum Clock {
    /// That of the system.
    System,
    /// That of a simulation, which says what time it is.
    Simulated(Arc<Mutex<Simulated>>),
}

/// A moment, what the calendar says then, and now.
#[derive(Debug)]
pub(crate) struct Simulated {
    anchor: std::time::Instant,
    unix_s: u64,
    now: std::time::Instant,
}

impl Clock {
    pub(crate) fn simulated(now: std::time::Instant, unix_s: u64) -> Self {
        Self::Simulated(Arc::new(Mutex::new(Simulated { anchor: now, unix_s, now })))
    }

    /// Time goes on, never back.
    pub(crate) fn set(&self, now: std::time::Instant) {
        if let Self::Simulated(simulated) = self {
            let mut simulated = simulated.lock().unwrap_or_else(PoisonError::into_inner);
            simulated.now = simulated.now.max(now);
        }
    }

    /// Monotonic now.
    pub(crate) fn now(&self) -> Instant {
        match self {
            Self::System => now(),
            Self::Simulated(simulated) => {
                Instant::from_std(simulated.lock().unwrap_or_else(PoisonError::into_inner).now)
            }
        }
    }

    /// Seconds since 1970-01-01 UTC.
    pub(crate) fn unix_seconds(&self) -> u64 {
        match self {
            Self::System => unix_seconds(),
            Self::Simulated(simulated) => {
                let simulated = simulated.lock().unwrap_or_else(PoisonError::into_inner);
                simulated.unix_s + simulated.now.saturating_duration_since(simulated.anchor).as_secs()
            }
        }
    }
}
