//! The only file of this crate that reads a clock: everything else takes `now` as an argument.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Seconds between the NTP era (1900) and the Unix epoch (1970), RFC 5905 section 6.
const NTP_UNIX_OFFSET: u64 = 2_208_988_800;

/// The monotonic clock.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "this file owns the clock of z5-media")]
pub fn now() -> Instant {
    Instant::now()
}

/// What an engine takes for the time.
#[derive(Clone)]
pub(crate) enum Clock {
    /// The monotonic clock.
    System,
    /// Somebody else's, in simulated time.
    Given(Arc<dyn Fn() -> Instant + Send + Sync>),
}

impl Clock {
    pub(crate) fn now(&self) -> Instant {
        match self {
            Self::System => now(),
            Self::Given(clock) => clock(),
        }
    }
}

/// Ties the monotonic clock to wall time, for the NTP stamps of RTCP sender reports (RFC 3550 section 6.4.1).
///
/// Read once when the engine starts; a later step of the wall clock does not disturb lip sync.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WallAnchor {
    at: Instant,
    since_unix: Duration,
}

impl WallAnchor {
    /// Reads both clocks.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "this file owns the clock of z5-media")]
    pub fn read() -> Self {
        let since_unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { at: now(), since_unix }
    }

    /// An anchor made of given values, for tests with fake time.
    #[must_use]
    pub fn new(at: Instant, since_unix: Duration) -> Self {
        Self { at, since_unix }
    }

    /// Nanoseconds since the Unix epoch.
    #[must_use]
    pub fn unix_nanos(&self, now: Instant) -> u64 {
        (self.since_unix + now.saturating_duration_since(self.at)).as_nanos() as u64
    }

    /// The 64-bit NTP timestamp (32.32 fixed point, seconds since 1900) of `now`.
    #[must_use]
    pub fn ntp(&self, now: Instant) -> u64 {
        let wall = self.since_unix + now.saturating_duration_since(self.at);
        let seconds = wall.as_secs().wrapping_add(NTP_UNIX_OFFSET);
        let fraction = (u64::from(wall.subsec_nanos()) << 32) / 1_000_000_000;
        (seconds << 32) | fraction
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_unix_epoch_is_known_in_ntp() {
        let at = now();
        let anchor = WallAnchor::new(at, Duration::ZERO);
        assert_eq!(anchor.ntp(at) >> 32, NTP_UNIX_OFFSET);
        assert_eq!(anchor.ntp(at + Duration::from_millis(500)) & 0xffff_ffff, 0x8000_0000);
    }
}
