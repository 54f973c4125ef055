//! The only file of the mock that reads a clock.
//!
//! Wall time is needed for licence dates and the certificates' validity, monotonic time for the relay's
//! impairment and the far ends' packet pace. Everything else is driven by what arrives.

use std::future::Future;
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
