//! One binding at a registrar (RFC 3261 section 10, RFC 5626 for instance and reg-id): made, kept fresh by the lifetime
//! that the registrar granted, and taken back. Path (RFC 3327) and GRUU (RFC 5627) are kept as it said them.
//!
//! It decides what to ask and when; the user agent sends, answers challenges, and reports one outcome per request. A
//! refusal ends it, so that there is never a loop of registrations; only a refresh that is put off for a while
//! (503, 500) while the binding still holds is tried again by itself.

use std::time::{Duration, Instant};

use crate::outbox::{Deadline, Outbox};
use crate::ua::{Event, RegisterFailure};
use crate::wire::{Message, Name, NameAddr, Uri, UriRef};

/// How often a 423 is followed within one registration.
const INTERVALS_TRIED: u32 = 3;

/// A lifetime nobody means: Min-Expires above a day is not followed.
const LONGEST: u32 = 86_400;

/// A lifetime that would be refreshed again and again: a grant below this is not taken.
const SHORTEST: u32 = 5;

/// How many addresses of 3xx are tried within one registration (RFC 3261 section 8.1.3.4).
const REDIRECTS: usize = 5;

/// What a registration wants.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "one at a time, gone within its turn")]
pub enum Effect {
    /// Send a REGISTER with this lifetime in seconds; zero takes the binding back.
    Send {
        /// Seconds.
        expires: u32,
    },
    /// Tell the application.
    Event(Event),
}

/// The addresses that the registrar made for our instance (RFC 5627 section 4.2).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Gruu {
    /// Says who we are and leads to this very instance.
    pub public: Option<Uri>,
    /// Leads to this instance without saying who we are.
    pub temporary: Option<Uri>,
}

/// The state of one binding.
#[derive(Debug)]
pub struct Registration {
    /// Which of our flows to the registrar it is (RFC 5626 section 4.2.1).
    reg_id: u32,
    /// What the configuration asks for, in seconds.
    wanted: u32,
    /// What is asked for now: `wanted`, or what a 423 demanded.
    asked: u32,
    intervals: u32,
    /// Requests since the registration or refresh began.
    round_trips: u32,
    wish: Wish,
    request: Request,
    binding: Option<Binding>,
    gruu: Gruu,
    /// Where a 3xx has sent us, best last of those that are left.
    elsewhere: Option<Uri>,
    left: Vec<Uri>,
    tried: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wish {
    Nothing,
    Registered,
    Unregistered,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Request {
    None,
    Making,
    TakingBack,
}

#[derive(Clone, Copy, Debug)]
struct Binding {
    expires_at: Instant,
    refresh_at: Instant,
}

impl Registration {
    /// Nothing registered.
    #[must_use]
    pub fn new(reg_id: u32, expires: Duration) -> Self {
        let wanted = u32::try_from(expires.as_secs()).unwrap_or(LONGEST).clamp(1, LONGEST);
        Self {
            reg_id,
            wanted,
            asked: wanted,
            intervals: 0,
            round_trips: 0,
            wish: Wish::Nothing,
            request: Request::None,
            binding: None,
            gruu: Gruu::default(),
            elsewhere: None,
            left: Vec::new(),
            tried: Vec::new(),
        }
    }

    /// The addresses that the registrar made for our instance, while the binding stands.
    #[must_use]
    pub fn gruu(&self) -> &Gruu {
        &self.gruu
    }

    /// Where to ask instead of the configured registrar, after a 3xx.
    #[must_use]
    pub fn elsewhere(&self) -> Option<&Uri> {
        self.elsewhere.as_ref()
    }

    /// Whether the registrar holds our binding.
    #[must_use]
    pub fn is_bound(&self, now: Instant) -> bool {
        self.binding.is_some_and(|binding| now < binding.expires_at)
    }

    /// Whether a REGISTER is on its way.
    #[must_use]
    pub fn is_asking(&self) -> bool {
        self.request != Request::None
    }

    /// Whether one that makes the binding is.
    #[must_use]
    pub fn is_making(&self) -> bool {
        self.request == Request::Making
    }

    /// The lifetime that is asked for now, in seconds.
    #[must_use]
    pub fn asked(&self) -> u32 {
        self.asked
    }

    /// Make the binding, or refresh it now.
    pub fn register(&mut self, out: &mut Outbox<Effect>) {
        self.wish = Wish::Registered;
        self.asked = self.wanted;
        self.intervals = 0;
        if !self.is_asking() {
            self.elsewhere = None;
            self.left.clear();
            self.tried.clear();
        }
        self.pursue(out);
    }

    /// Take the binding back.
    pub fn unregister(&mut self, out: &mut Outbox<Effect>) {
        self.wish = Wish::Unregistered;
        self.pursue(out);
    }

    /// A REGISTER went out, the first or one with credentials.
    pub fn on_sent(&mut self) {
        self.round_trips += 1;
    }

    /// The final response to our REGISTER; challenges were answered before it comes here.
    pub fn on_response(&mut self, response: &Message, contact: &str, now: Instant, out: &mut Outbox<Effect>) {
        match std::mem::replace(&mut self.request, Request::None) {
            Request::None => return,
            Request::TakingBack => self.on_taken_back(out),
            Request::Making => match response.status().unwrap_or_default() {
                200..300 => self.on_bound(response, contact, now, out),
                423 if self.intervals < INTERVALS_TRIED && self.follow_interval(response) => {}
                300..400 if self.follow(response) => {}
                // One of several addresses that a 3xx named refused: the next one may not.
                400.. if self.wish == Wish::Registered && self.go_elsewhere() => {}
                _ => self.on_failure(RegisterFailure::from_response(response), now, out),
            },
        }
        self.pursue(out);
    }

    /// Our REGISTER came to nothing without a response: lost, unanswered, or refused credentials.
    pub fn on_failed(&mut self, failure: RegisterFailure, now: Instant, out: &mut Outbox<Effect>) {
        match std::mem::replace(&mut self.request, Request::None) {
            Request::None => return,
            // Nothing more can be done: the binding will run out by itself.
            Request::TakingBack => self.on_taken_back(out),
            Request::Making => self.on_failure(failure, now, out),
        }
        self.pursue(out);
    }

    /// The flow that the binding belongs to is gone.
    pub fn on_flow_lost(&mut self, now: Instant, out: &mut Outbox<Effect>) {
        self.unbind();
        if self.is_asking() {
            self.on_failed(RegisterFailure::ConnectionLost, now, out);
        } else if self.wish == Wish::Unregistered {
            self.on_taken_back(out);
        } else {
            self.wish = Wish::Nothing;
        }
    }

    /// When to come back.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Deadline> {
        let binding = self.binding.filter(|_| !self.is_asking())?;
        Some(Deadline::new(binding.refresh_at, "refresh the registration"))
    }

    /// Time to look at the refresh.
    pub fn on_deadline(&mut self, now: Instant, out: &mut Outbox<Effect>) {
        if self.wish == Wish::Nothing && self.next_deadline().is_some_and(|deadline| now >= deadline.at) {
            self.register(out);
        }
    }

    /// Sends what the wish needs, unless a request is on its way already.
    fn pursue(&mut self, out: &mut Outbox<Effect>) {
        if self.is_asking() {
            return;
        }
        match self.wish {
            Wish::Nothing => {}
            Wish::Registered => {
                self.request = Request::Making;
                out.push(Effect::Send { expires: self.asked });
            }
            Wish::Unregistered if self.binding.is_some() => {
                self.request = Request::TakingBack;
                out.push(Effect::Send { expires: 0 });
            }
            Wish::Unregistered => self.on_taken_back(out),
        }
    }

    fn unbind(&mut self) {
        self.binding = None;
        self.gruu = Gruu::default();
    }

    /// Takes the addresses of a 3xx, the best first, each once; true when there is one to try.
    fn follow(&mut self, response: &Message) -> bool {
        let mut targets = crate::ua::targets(response);
        targets.reverse();
        for target in targets.into_iter().filter(|target| target.as_ref().is_sip()) {
            let text = target.as_str().to_owned();
            if self.tried.len() < REDIRECTS && !self.tried.contains(&text) {
                self.tried.push(text);
                self.left.push(target);
            }
        }
        self.go_elsewhere()
    }

    fn go_elsewhere(&mut self) -> bool {
        let next = self.left.pop();
        let found = next.is_some();
        if found {
            self.elsewhere = next;
        }
        found
    }

    fn on_taken_back(&mut self, out: &mut Outbox<Effect>) {
        self.unbind();
        self.round_trips = 0;
        if self.wish == Wish::Unregistered {
            self.wish = Wish::Nothing;
            out.push(Effect::Event(Event::Unregistered));
        }
    }

    fn on_bound(&mut self, response: &Message, contact: &str, now: Instant, out: &mut Outbox<Effect>) {
        let (seconds, gruu) = match granted(response, contact) {
            Ok(granted) => granted,
            Err(why) => return self.on_failure(RegisterFailure::BadReply { why }, now, out),
        };
        let granted = Duration::from_secs(u64::from(seconds));
        let refresh_in = refresh_after(granted);
        self.binding = Some(Binding { expires_at: now + granted, refresh_at: now + refresh_in });
        self.intervals = 0;
        let round_trips = std::mem::take(&mut self.round_trips);
        if self.wish == Wish::Registered {
            self.wish = Wish::Nothing;
            let path = response.values(Name::Path);
            let path = path.map(|hop| String::from_utf8_lossy(hop).into_owned()).collect();
            let (reg_id, gruu) = (self.reg_id, gruu.public.clone());
            out.push(Effect::Event(Event::Registered {
                granted,
                refresh_in,
                round_trips,
                reg_id,
                path,
                gruu,
            }));
        }
        self.gruu = gruu;
    }

    /// True when the registrar's shortest lifetime is asked for next.
    fn follow_interval(&mut self, response: &Message) -> bool {
        let shortest = response.min_expires().ok().flatten().unwrap_or_default();
        let sensible = shortest > self.asked && shortest <= LONGEST;
        if sensible {
            self.asked = shortest;
            self.intervals += 1;
        }
        sensible
    }

    fn on_failure(&mut self, failure: RegisterFailure, now: Instant, out: &mut Outbox<Effect>) {
        self.round_trips = 0;
        if self.wish == Wish::Unregistered {
            return;
        }
        self.wish = Wish::Nothing;
        if let RegisterFailure::Unavailable { retry_after, .. } = &failure
            && let Some(binding) = &mut self.binding
            && let left = binding.expires_at.saturating_duration_since(now)
            && let retry_in = retry_after.unwrap_or(left / 2)
            && retry_in < left
            && retry_in >= Duration::from_secs(1)
        {
            binding.refresh_at = now + retry_in;
            out.push(Effect::Event(Event::RegistrationDelayed { failure, retry_in }));
            return;
        }
        self.unbind();
        out.push(Effect::Event(Event::RegistrationFailed(failure)));
    }
}

/// The lifetime that a 2xx grants to `contact`: its own parameter, else the Expires header; and its GRUUs.
fn granted(response: &Message, contact: &str) -> Result<(u32, Gruu), &'static str> {
    let long_enough = |seconds: u32, gruu| match seconds {
        0 => Err("it grants no time"),
        1..SHORTEST => Err("it grants less than five seconds"),
        _ => Ok((seconds.min(LONGEST * 7), gruu)),
    };
    let ours = UriRef::parse(contact.as_bytes()).map_err(|_| "our own contact is malformed")?;
    let header = response.expires().ok().flatten();
    let mut others = 0;
    for address in response.contacts().filter_map(Result::ok).filter_map(|contact| contact.addr()) {
        if is_ours(&address, &ours) {
            let seconds = address.expires().or(header).ok_or("it does not say for how long")?;
            let uri = |name| address.params.get(name).and_then(|uri| Uri::parse(uri).ok());
            return long_enough(seconds, Gruu { public: uri("pub-gruu"), temporary: uri("temp-gruu") });
        }
        others += 1;
    }
    match (others, header) {
        (0, Some(seconds @ 1..)) => long_enough(seconds, Gruu::default()),
        _ => Err("our binding is not in it"),
    }
}

/// Whether a binding leads to the contact of ours that is written so.
pub(crate) fn is_same(address: &NameAddr<'_>, contact: &str) -> bool {
    UriRef::parse(contact.as_bytes()).is_ok_and(|ours| is_ours(address, &ours))
}

/// User, host and port tell bindings apart; registrars change parameters.
fn is_ours(address: &NameAddr<'_>, ours: &UriRef<'_>) -> bool {
    address.uri.user() == ours.user()
        && address.uri.host() == ours.host()
        && address.uri.port() == ours.port()
}

/// When a lifetime is refreshed: half of a short one, so that a lost refresh can be repeated; all but ten minutes of a
/// long one.
fn refresh_after(granted: Duration) -> Duration {
    let margin = Duration::from_secs(600);
    if granted > margin * 2 { granted - margin } else { granted / 2 }
}

impl RegisterFailure {
    /// What a final response other than a challenge means.
    #[must_use]
    pub fn from_response(response: &Message) -> Self {
        let status = response.status().unwrap_or_default();
        let reason = response.reason().unwrap_or_default().into_owned();
        let retry_after = response.retry_after().ok().flatten();
        let retry_after = retry_after.map(|seconds| Duration::from_secs(u64::from(seconds)));
        match status {
            300..400 => Self::Redirected { status, targets: crate::ua::targets(response) },
            403 => Self::Forbidden { reason },
            404 | 604 => Self::UnknownAccount { reason },
            408 => Self::TimedOut { timer: "F" },
            423 => Self::IntervalTooBrief {
                min_expires: response.min_expires().ok().flatten().unwrap_or_default(),
            },
            // Whatever else comes with a time is not for ever; 429 is what RFC 6585 section 4 has of HTTP, and registrars say it too.
            429 | 480 | 500 | 503 | 600 => Self::Unavailable { status, reason, retry_after },
            _ if retry_after.is_some() => Self::Unavailable { status, reason, retry_after },
            _ => {
                let warning = response.text(Name::Warning).map(|text| crate::ua::warning_text(&text));
                Self::Refused { status, reason, warning }
            }
        }
    }
}
