//! One subscription to an event package (RFC 6665 section 4.1): made, kept fresh by the duration that was granted, begun
//! anew after what the notifier calls a passing end, and taken back.
//!
//! It decides what to ask and when; the user agent sends, answers challenges, keeps the dialog, and reports what came.
//! Every new beginning waits longer than the one before, so that a notifier which ends it at once is never asked in a
//! loop.

use std::time::{Duration, Instant};

use crate::outbox::{Deadline, Outbox};
use crate::ua::{Event, RequestFailure, SubscriptionEnd, SubscriptionKey};
use crate::wire::Message;

/// How often a 423 is followed within one request.
const INTERVALS_TRIED: u32 = 3;

/// A duration nobody means: Min-Expires above a day is not followed, nor is a longer grant believed.
const LONGEST: u32 = 86_400;

/// The first wait before a new beginning that has no time of its own, and the wait that they grow to.
const FIRST_WAIT: Duration = Duration::from_secs(60);
const LAST_WAIT: Duration = Duration::from_secs(3600);

/// A subscription that lived this long shows that its next end is another matter than its last one.
const LASTING: Duration = Duration::from_secs(60);

/// What a subscription wants.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "one at a time, gone within its turn")]
pub enum Effect {
    /// Send a SUBSCRIBE with this duration in seconds; zero ends it.
    Send {
        /// Seconds.
        expires: u32,
        /// Outside the dialog that was: a new one begins.
        anew: bool,
    },
    /// Tell the application.
    Event(Event),
    /// It is over: forget it.
    Gone,
}

/// What Subscription-State says (RFC 6665 section 8.2.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// `active`, `pending`, `terminated` or an extension, in small letters.
    pub name: String,
    /// Seconds that are left.
    pub expires: Option<u32>,
    /// Why it is terminated, in small letters.
    pub reason: Option<String>,
    /// Seconds to wait before a new beginning.
    pub retry_after: Option<u32>,
}

/// The state of one subscription.
#[derive(Debug)]
pub struct Subscription {
    key: SubscriptionKey,
    /// The duration in seconds that is asked for: the application's, or what a 423 demanded.
    asked: u32,
    intervals: u32,
    /// New beginnings in a row.
    restarts: u32,
    leaving: bool,
    phase: Phase,
    request: Request,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// No notifier holds it.
    Off,
    /// It begins anew at this moment.
    Waiting(Instant),
    /// Over for the application; the last NOTIFY is still taken until then.
    Leaving(Instant),
    /// A notifier holds it.
    Held {
        since: Instant,
        refresh_at: Instant,
        expires_at: Instant,
        /// The first NOTIFY is due by then (timer N, RFC 6665 section 4.1.2.4).
        notify_by: Option<Instant>,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Request {
    None,
    Making,
    TakingBack,
}

impl Subscription {
    /// Nothing asked yet; `expires` is the duration that we want.
    #[must_use]
    pub fn new(key: SubscriptionKey, expires: Duration) -> Self {
        Self {
            key,
            asked: u32::try_from(expires.as_secs()).unwrap_or(LONGEST).clamp(1, LONGEST),
            intervals: 0,
            restarts: 0,
            leaving: false,
            phase: Phase::Off,
            request: Request::None,
        }
    }

    /// Asks, or refreshes what stands.
    pub fn subscribe(&mut self, out: &mut Outbox<Effect>) {
        if self.request == Request::None && !self.leaving {
            self.request = Request::Making;
            self.intervals = 0;
            out.push(Effect::Send { expires: self.asked, anew: !self.is_held() });
        }
    }

    /// Takes it back.
    pub fn unsubscribe(&mut self, out: &mut Outbox<Effect>) {
        if std::mem::replace(&mut self.leaving, true) {
            return;
        }
        match (self.request, self.is_held()) {
            (Request::None, true) => self.take_back(out),
            (Request::None, false) => self.end(SubscriptionEnd::Unsubscribed, out),
            // The answer comes first.
            (Request::Making | Request::TakingBack, _) => {}
        }
    }

    /// A new flow is bound: NOTIFYs come over it as soon as the notifier knows.
    pub fn on_flow_up(&mut self, out: &mut Outbox<Effect>) {
        if !self.leaving && self.phase != Phase::Off {
            self.subscribe(out);
        }
    }

    /// Whether a notifier holds it.
    #[must_use]
    pub fn is_held(&self) -> bool {
        matches!(self.phase, Phase::Held { .. })
    }

    /// The final response to our SUBSCRIBE; challenges were answered before it comes here. `patience` is timer N.
    pub fn on_response(
        &mut self,
        response: &Message,
        patience: Duration,
        now: Instant,
        out: &mut Outbox<Effect>,
    ) {
        let status = response.status().unwrap_or_default();
        match std::mem::replace(&mut self.request, Request::None) {
            Request::None => {}
            Request::TakingBack if status < 300 && self.is_held() => {
                self.phase = Phase::Leaving(now + patience);
                let why = SubscriptionEnd::Unsubscribed;
                out.push(Effect::Event(Event::SubscriptionEnded { subscription: self.key, why }));
            }
            Request::TakingBack => self.end(SubscriptionEnd::Unsubscribed, out),
            Request::Making if (200..300).contains(&status) => self.on_accepted(response, patience, now, out),
            Request::Making if self.leaving => self.end(SubscriptionEnd::Unsubscribed, out),
            Request::Making if status == 423 && self.follow_interval(response) => {
                self.request = Request::Making;
                out.push(Effect::Send { expires: self.asked, anew: !self.is_held() });
            }
            Request::Making => {
                let failure = RequestFailure::from_response(response);
                match status {
                    // The notifier has forgotten it: a new one takes its place (section 4.1.2.2).
                    481 if self.is_held() => {
                        self.begin_anew(SubscriptionEnd::Failed(failure), None, now, out)
                    }
                    _ => self.on_failure(failure, now, out),
                }
            }
        }
    }

    /// Our SUBSCRIBE came to nothing without a response: lost, unanswered, or refused credentials.
    pub fn on_failed(&mut self, failure: RequestFailure, now: Instant, out: &mut Outbox<Effect>) {
        match std::mem::replace(&mut self.request, Request::None) {
            Request::None => {}
            Request::TakingBack => self.end(SubscriptionEnd::Unsubscribed, out),
            Request::Making if self.leaving => self.end(SubscriptionEnd::Unsubscribed, out),
            Request::Making => self.on_failure(failure, now, out),
        }
    }

    /// A NOTIFY came, perhaps before the answer to our SUBSCRIBE (section 4.1.2.4).
    pub fn on_notify(&mut self, state: &State, now: Instant, out: &mut Outbox<Effect>) {
        if matches!(self.phase, Phase::Leaving(_)) {
            if state.name == "terminated" {
                out.push(Effect::Gone);
            }
            return;
        }
        if state.name == "terminated" {
            return self.on_terminated(state, now, out);
        }
        let seconds = state.expires.unwrap_or(self.asked).min(LONGEST);
        let told = self.is_held();
        self.hold(Duration::from_secs(seconds.into()), None, now);
        if !told && !self.leaving {
            self.tell_subscribed(Duration::from_secs(seconds.into()), out);
        }
    }

    /// When to come back.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Deadline> {
        match self.phase {
            Phase::Off => None,
            Phase::Waiting(at) => Some(Deadline::new(at, "subscribe anew")),
            Phase::Leaving(at) => Some(Deadline::new(at, "no last NOTIFY comes")),
            Phase::Held { refresh_at, expires_at, notify_by, .. } => {
                let first = match self.request {
                    Request::None => Deadline::new(refresh_at, "refresh the subscription"),
                    Request::Making | Request::TakingBack => {
                        Deadline::new(expires_at, "the subscription runs out")
                    }
                };
                let first = Some(first).filter(|first| first.at < expires_at);
                let last = Some(Deadline::new(expires_at, "the subscription runs out"));
                let notify = notify_by.map(|at| Deadline::new(at, "the first NOTIFY is overdue"));
                Deadline::earlier(Deadline::earlier(first, last), notify)
            }
        }
    }

    /// Time to look.
    pub fn on_deadline(&mut self, now: Instant, out: &mut Outbox<Effect>) {
        match self.phase {
            Phase::Waiting(at) if now >= at => {
                self.phase = Phase::Off;
                self.subscribe(out);
            }
            Phase::Leaving(at) if now >= at => out.push(Effect::Gone),
            Phase::Held { notify_by: Some(at), .. } if now >= at => {
                self.end(SubscriptionEnd::NoNotify, out);
            }
            Phase::Held { expires_at, .. } if now >= expires_at => {
                self.phase = Phase::Off;
                if self.request == Request::None {
                    self.begin_anew(SubscriptionEnd::Expired, None, now, out);
                }
            }
            Phase::Held { refresh_at, .. } if now >= refresh_at => self.subscribe(out),
            Phase::Off | Phase::Waiting(_) | Phase::Leaving(_) | Phase::Held { .. } => {}
        }
    }

    fn on_accepted(
        &mut self,
        response: &Message,
        patience: Duration,
        now: Instant,
        out: &mut Outbox<Effect>,
    ) {
        self.intervals = 0;
        // A 2xx has Expires; without it what was asked holds. It may be shorter, never longer (section 4.2.1.1).
        let seconds = response.expires().ok().flatten().unwrap_or(self.asked).min(self.asked);
        if seconds == 0 {
            return self
                .end(SubscriptionEnd::Failed(RequestFailure::BadReply { why: "it grants no time" }), out);
        }
        let granted = Duration::from_secs(seconds.into());
        let notified = self.is_held();
        self.hold(granted, (!notified).then(|| now + patience), now);
        if self.leaving {
            return self.take_back(out);
        }
        self.tell_subscribed(granted, out);
    }

    fn tell_subscribed(&self, granted: Duration, out: &mut Outbox<Effect>) {
        out.push(Effect::Event(Event::Subscribed { subscription: self.key, granted }));
    }

    fn hold(&mut self, granted: Duration, notify_by: Option<Instant>, now: Instant) {
        let since = match self.phase {
            Phase::Held { since, .. } => since,
            Phase::Off | Phase::Waiting(_) | Phase::Leaving(_) => now,
        };
        let (refresh_at, expires_at) = (now + refresh_after(granted), now + granted);
        self.phase = Phase::Held { since, refresh_at, expires_at, notify_by };
    }

    /// Section 4.1.3: what each reason means for a new beginning.
    fn on_terminated(&mut self, state: &State, now: Instant, out: &mut Outbox<Effect>) {
        if self.leaving || self.request == Request::TakingBack {
            return self.end(SubscriptionEnd::Unsubscribed, out);
        }
        self.look_back(now);
        let retry_after = state.retry_after.map(|seconds| Duration::from_secs(seconds.into()));
        let why = SubscriptionEnd::Terminated { reason: state.reason.clone() };
        match state.reason.as_deref() {
            Some("rejected" | "noresource" | "invariant") => self.end(why, out),
            // At once, unless that was tried already.
            Some("deactivated" | "timeout") if retry_after.is_none() && self.restarts == 0 => {
                self.begin_anew(why, Some(Duration::ZERO), now, out);
            }
            _ => self.begin_anew(why, retry_after, now, out),
        }
    }

    fn on_failure(&mut self, failure: RequestFailure, now: Instant, out: &mut Outbox<Effect>) {
        let retry_after = failure.retry_after();
        match self.phase {
            // What ends a subscription's dialog, or says that asking again is no use (RFC 6665 section 4.1.2.2).
            _ if failure.is_lasting() => self.end(SubscriptionEnd::Failed(failure), out),
            Phase::Held { expires_at, .. } => {
                let left = expires_at.saturating_duration_since(now);
                let retry_in = retry_after.unwrap_or(left / 2).max(Duration::from_secs(1));
                if retry_in >= left {
                    return self.begin_anew(SubscriptionEnd::Failed(failure), retry_after, now, out);
                }
                if let Phase::Held { refresh_at, .. } = &mut self.phase {
                    *refresh_at = now + retry_in;
                }
                let why = SubscriptionEnd::Failed(failure);
                out.push(Effect::Event(Event::SubscriptionDelayed { subscription: self.key, why, retry_in }));
            }
            Phase::Off | Phase::Waiting(_) | Phase::Leaving(_) => {
                self.begin_anew(SubscriptionEnd::Failed(failure), retry_after, now, out);
            }
        }
    }

    /// A subscription that lasted is no part of a row of failures.
    fn look_back(&mut self, now: Instant) {
        if matches!(self.phase, Phase::Held { since, .. } if now.saturating_duration_since(since) >= LASTING)
        {
            self.restarts = 0;
        }
    }

    /// Waits for the next beginning: the time that was asked for, and at least a minute, doubled each time up to an
    /// hour, unless it is the first of a row.
    fn begin_anew(
        &mut self,
        why: SubscriptionEnd,
        after: Option<Duration>,
        now: Instant,
        out: &mut Outbox<Effect>,
    ) {
        self.look_back(now);
        let doubled = FIRST_WAIT.saturating_mul(1 << self.restarts.min(6)).min(LAST_WAIT);
        let least = if self.restarts == 0 { Duration::ZERO } else { doubled };
        let longest = Duration::from_secs(LONGEST.into());
        let retry_in = after.unwrap_or(doubled).clamp(least, longest);
        self.restarts = self.restarts.saturating_add(1);
        self.request = Request::None;
        self.phase = Phase::Waiting(now + retry_in);
        out.push(Effect::Event(Event::SubscriptionDelayed { subscription: self.key, why, retry_in }));
    }

    fn take_back(&mut self, out: &mut Outbox<Effect>) {
        self.request = Request::TakingBack;
        out.push(Effect::Send { expires: 0, anew: false });
    }

    fn follow_interval(&mut self, response: &Message) -> bool {
        let shortest = response.min_expires().ok().flatten().unwrap_or_default();
        let sensible = shortest > self.asked && shortest <= LONGEST && self.intervals < INTERVALS_TRIED;
        if sensible {
            self.asked = shortest;
            self.intervals += 1;
        }
        sensible
    }

    fn end(&mut self, why: SubscriptionEnd, out: &mut Outbox<Effect>) {
        self.phase = Phase::Off;
        self.request = Request::None;
        out.push(Effect::Event(Event::SubscriptionEnded { subscription: self.key, why }));
        out.push(Effect::Gone);
    }
}

/// As for a registration: half of a short duration, so that a lost refresh can be repeated; all but ten minutes of a
/// long one.
fn refresh_after(granted: Duration) -> Duration {
    let margin = Duration::from_secs(600);
    if granted > margin * 2 { granted - margin } else { granted / 2 }
}
