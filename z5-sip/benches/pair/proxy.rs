//! What stands between the two ends: nothing, or a proxy in memory that asks the caller for digest credentials
//! (RFC 3261 section 22.3, RFC 7616) and judges them with the verifier that servers of this project use.
//!
//! It reads every message and judges every request but ACK. It adds no Via and no Record-Route, and takes no credentials
//! out, so the ends carry what they would carry next to each other.

use std::time::{Duration, Instant};

use z5_sip::auth::digest::Algorithm;
use z5_sip::auth::{Check, Credentials, Verifier};
use z5_sip::ident::Ident;
use z5_sip::wire::{Frame, Framer, Limits, Message, Method, ResponseBuilder};

const REALM: &str = "example.com";
const PASSWORD: &str = "correct horse battery staple";

/// The account that the proxy lets through.
pub fn credentials(user: &str) -> Credentials {
    Credentials::new(user, PASSWORD).for_realm(REALM)
}

/// How calls get from the caller to the callee.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Straight.
    Open,
    /// A nonce is good for one call: every INVITE brings that of the call before, is answered 407 and sent again.
    Challenged(Algorithm),
    /// A nonce stays good: after the first call the caller uses it unasked, with a count that goes up.
    Reused(Algorithm),
}

impl Way {
    /// All that are measured, with their names.
    pub const ALL: [(&str, Self); 5] = [
        ("open", Self::Open),
        ("challenged-sha-256", Self::Challenged(Algorithm::Sha256)),
        ("challenged-md5", Self::Challenged(Algorithm::Md5)),
        ("reused-sha-256", Self::Reused(Algorithm::Sha256)),
        ("reused-md5", Self::Reused(Algorithm::Md5)),
    ];

    /// How many challenges so many calls take; the first call has no credentials to bring in any case.
    pub fn challenges(self, calls: u64) -> u64 {
        match self {
            Self::Open => 0,
            Self::Challenged(_) => calls,
            Self::Reused(_) => calls.min(1),
        }
    }
}

/// A proxy that lets requests through when their credentials are good.
pub struct Proxy {
    verifier: Verifier,
    ident: Ident,
    framer: Framer,
    /// The branch of the request that was refused last: its ACK goes no further.
    refused: Option<String>,
    /// How many requests were refused so far.
    pub challenges: u64,
}

impl Proxy {
    /// None where the way is open.
    pub fn on(way: Way) -> Option<Self> {
        let (algorithm, lifetime) = match way {
            Way::Open => return None,
            // calls are at least 10 ms apart, and over at the instant at which they began
            Way::Challenged(algorithm) => (algorithm, Duration::from_millis(5)),
            Way::Reused(algorithm) => (algorithm, Duration::from_secs(1_000_000_000)),
        };
        Some(Self {
            verifier: Verifier::new(REALM).proxy().algorithms(&[algorithm]).lifetime(lifetime),
            ident: Ident::from_seed(3),
            framer: Framer::accepting(Limits::default()),
            refused: None,
            challenges: 0,
        })
    }

    /// Takes what the caller wrote. Gives what goes on to the callee, and what goes back.
    pub fn admit(&mut self, written: &[u8], now: Instant) -> (Vec<u8>, Vec<u8>) {
        let (mut onward, mut back) = (Vec::new(), Vec::new());
        self.framer.push(written);
        while let Some(frame) = self.framer.next() {
            let Frame::Message(message) = frame.unwrap() else { panic!("a ping between calls") };
            match message.method() {
                None => onward.extend_from_slice(message.as_bytes()),
                Some(Method::Ack) if message.branch() == self.refused.as_deref() => {}
                Some(Method::Ack) => onward.extend_from_slice(message.as_bytes()),
                Some(_) => match self.refusal(&message, now) {
                    Some(refusal) => back.extend_from_slice(refusal.as_bytes()),
                    None => onward.extend_from_slice(message.as_bytes()),
                },
            }
        }
        (onward, back)
    }

    /// The 407 to a request whose credentials are missing or old.
    fn refusal(&mut self, request: &Message, now: Instant) -> Option<Message> {
        let password = |user: &str| (user == "alice").then(|| PASSWORD.to_owned());
        let stale = match self.verifier.check(request, password, now) {
            Check::Accepted { .. } => return None,
            Check::None => false,
            Check::Stale => true,
            Check::Refused { .. } | Check::Malformed => panic!("the caller's credentials are right"),
        };
        self.challenges += 1;
        self.refused = request.branch().map(str::to_owned);
        let mut refusal =
            ResponseBuilder::to_request(request, self.verifier.status(), "").to_tag(&self.ident.tag());
        for (name, value) in self.verifier.challenge(stale, &mut self.ident, now) {
            refusal = refusal.header(name, value);
        }
        Some(refusal.build().unwrap())
    }
}
