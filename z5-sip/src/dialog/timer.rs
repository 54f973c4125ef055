//! Session timers (RFC 4028): a call whose far end is gone without a BYE does not stand for ever.
//!
//! One end refreshes at half of the interval; the other ends the call when no refresh came in time. Who it is, the
//! answer of the request that set the interval says.

use std::time::{Duration, Instant};

use crate::outbox::Deadline;
use crate::wire::{Message, Name};

/// The shortest interval anyone may ask for (RFC 4028 section 4).
pub const SHORTEST: u32 = 90;

/// The timer of one call.
#[derive(Clone, Copy, Debug)]
pub struct SessionTimer {
    interval: Duration,
    ours: bool,
    /// When our next refresh goes out; `None` while one is under way, and where the far end refreshes.
    refresh_at: Option<Instant>,
    /// When the call ends unless a refresh gets through.
    ends_at: Instant,
    /// A refresh was tried since the interval began.
    tried: bool,
}

/// What a session timer wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimerDue {
    /// Nothing yet.
    Nothing,
    /// Send a refresh.
    Refresh,
    /// No refresh came, or ours failed: end the call.
    Expired,
}

/// What a 2xx of ours says about the timer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimerAnswer {
    /// The value of Session-Expires.
    pub value: String,
    /// The far end must support timers, because it refreshes.
    pub required: bool,
    /// Seconds.
    pub interval: u32,
    /// We refresh.
    pub ours: bool,
}

/// The interval asked for is below [`SHORTEST`]: the request is answered 422.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the session interval is below 90 s")]
pub struct IntervalTooSmall;

impl TimerAnswer {
    /// What answers a request's Session-Expires; `None` when it has none (section 9).
    ///
    /// # Errors
    /// [`IntervalTooSmall`] when the sender understands what that means.
    pub fn to_request(request: &Message) -> Result<Option<Self>, IntervalTooSmall> {
        let Some(interval) = request.session_expires().ok().flatten() else { return Ok(None) };
        let supported =
            request.lists_token(Name::Supported, "timer") || request.lists_token(Name::Require, "timer");
        if interval < SHORTEST && supported {
            return Err(IntervalTooSmall);
        }
        // An interval that a proxy put there for a caller that knows nothing of timers is ours to keep.
        let interval = interval.max(SHORTEST);
        let ours = match request.header_params(Name::SessionExpires).get("refresher") {
            Some(refresher) => refresher.eq_ignore_ascii_case("uas"),
            None => false,
        } || !supported;
        let refresher = if ours { "uas" } else { "uac" };
        Ok(Some(Self { value: format!("{interval};refresher={refresher}"), required: !ours, interval, ours }))
    }

    /// The timer that it starts.
    #[must_use]
    pub fn timer(&self, now: Instant) -> SessionTimer {
        SessionTimer::new(self.interval, self.ours, now)
    }
}

impl SessionTimer {
    fn new(seconds: u32, ours: bool, now: Instant) -> Self {
        let interval = Duration::from_secs(u64::from(seconds.max(SHORTEST)));
        // The one that waits gives up a little early, so that its BYE still finds state in proxies (section 10).
        let margin = Duration::from_secs(32).min(interval / 3);
        let refresh_at = ours.then(|| now + interval / 2);
        let ends_at = if ours { now + interval } else { now + interval - margin };
        Self { interval, ours, refresh_at, ends_at, tried: false }
    }

    /// The timer that a 2xx to a request of ours starts (section 7.2); `None` when the far end wants none.
    #[must_use]
    pub fn from_response(response: &Message, now: Instant) -> Option<Self> {
        let seconds = response.session_expires().ok().flatten()?;
        let refresher = response.header_params(Name::SessionExpires).get("refresher");
        // Refreshing too often does no harm, not at all does.
        let ours = refresher.is_none_or(|refresher| refresher.eq_ignore_ascii_case("uac"));
        Some(Self::new(seconds, ours, now))
    }

    /// The value of Session-Expires in a request of ours, not below the Min-SE that the dialog has seen (in seconds). Who
    /// refreshes goes on to do so (section 7.4).
    #[must_use]
    pub fn value(&self, min_se: u32) -> String {
        let refresher = if self.ours { "uac" } else { "uas" };
        format!("{};refresher={refresher}", self.seconds().max(u64::from(min_se)))
    }

    /// The interval that is agreed on, in seconds.
    #[must_use]
    pub fn seconds(&self) -> u64 {
        self.interval.as_secs()
    }

    /// A refresh is on its way: the next deadline ends the call.
    pub fn on_refreshing(&mut self, now: Instant) {
        self.refresh_at = None;
        if !self.tried {
            self.tried = true;
            // From now, not from the start: who wakes up late still gets an answer.
            self.ends_at = now + self.interval / 2;
        }
    }

    /// The refresh did not get through: another one after this time, or after an eighth of the interval, unless the call
    /// ends before.
    pub fn put_off(&mut self, wait: Option<Duration>, now: Instant) {
        let again = now + wait.unwrap_or(self.interval / 8);
        if self.ours && again < self.ends_at {
            self.refresh_at = Some(again);
        }
    }

    /// When to come back.
    #[must_use]
    pub fn next_deadline(&self) -> Deadline {
        match self.refresh_at {
            Some(at) => Deadline::new(at, "refresh the session"),
            None => Deadline::new(self.ends_at, "the session was not refreshed"),
        }
    }

    /// What is due.
    #[must_use]
    pub fn due(&self, now: Instant) -> TimerDue {
        match self.refresh_at {
            Some(at) if now >= at => TimerDue::Refresh,
            None if now >= self.ends_at => TimerDue::Expired,
            Some(_) | None => TimerDue::Nothing,
        }
    }
}
