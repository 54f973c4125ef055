//! A 2xx to an INVITE on its way (RFC 3261 section 13.3.1.4): repeated by the callee itself, over every transport,
//! until the ACK comes, because a proxy on the way may use UDP.

use std::time::{Duration, Instant};

use crate::outbox::Deadline;
use crate::transaction::Timers;
use crate::wire::Message;

/// One 2xx that waits for its ACK.
#[derive(Debug)]
pub struct Acceptance {
    response: Message,
    cseq: u32,
    timers: Timers,
    repeat_at: Instant,
    interval: Duration,
    gives_up: Instant,
}

/// What is due of a response that we repeat.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Due {
    /// Nothing yet.
    Nothing,
    /// Send the response again.
    Repeat(Message),
    /// 64 x T1 without an ACK or PRACK: the call is to be ended.
    GiveUp,
}

impl Acceptance {
    /// The 2xx was just sent in answer to the INVITE with this CSeq.
    #[must_use]
    pub fn new(response: Message, cseq: u32, timers: Timers, now: Instant) -> Self {
        Self {
            response,
            cseq,
            timers,
            repeat_at: now + timers.t1,
            interval: timers.t1,
            gives_up: now + timers.long(),
        }
    }

    /// Whether an ACK with this CSeq is the one waited for.
    #[must_use]
    pub fn is_acknowledged_by(&self, cseq: u32) -> bool {
        self.cseq == cseq
    }

    /// When to come back.
    #[must_use]
    pub fn next_deadline(&self) -> Deadline {
        if self.gives_up <= self.repeat_at {
            Deadline::new(self.gives_up, "no ACK came for our 2xx")
        } else {
            Deadline::new(self.repeat_at, "repeat the 2xx until its ACK comes")
        }
    }

    /// What is due now.
    pub fn on_deadline(&mut self, now: Instant) -> Due {
        if now >= self.gives_up {
            return Due::GiveUp;
        }
        if now < self.repeat_at {
            return Due::Nothing;
        }
        self.interval = self.interval.saturating_mul(2).min(self.timers.t2);
        self.repeat_at = now + self.interval;
        Due::Repeat(self.response.clone())
    }
}
