//! A reliable provisional response on its way (RFC 3262 section 3): repeated by the callee, over every transport, until
//! its PRACK comes. The interval starts at T1 and doubles without a cap.

use std::time::{Duration, Instant};

use super::Due;
use crate::outbox::Deadline;
use crate::transaction::Timers;
use crate::wire::{Message, Method};

/// One reliable provisional response that waits for its PRACK.
#[derive(Debug)]
pub struct Provisional {
    response: Message,
    rseq: u32,
    cseq: u32,
    repeat_at: Instant,
    interval: Duration,
    gives_up: Instant,
}

impl Provisional {
    /// The response was just sent under this RSeq in answer to the INVITE with this CSeq.
    #[must_use]
    pub fn new(response: Message, rseq: u32, cseq: u32, timers: Timers, now: Instant) -> Self {
        let (repeat_at, interval, gives_up) = (now + timers.t1, timers.t1, now + timers.long());
        Self { response, rseq, cseq, repeat_at, interval, gives_up }
    }

    /// Whether a PRACK acknowledges it: RAck repeats RSeq, and CSeq of the INVITE.
    #[must_use]
    pub fn is_acknowledged_by(&self, prack: &Message) -> bool {
        prack.rack().is_ok_and(|rack| {
            rack.rseq == self.rseq && rack.cseq.number == self.cseq && rack.cseq.method == Method::Invite
        })
    }

    /// Whether it carries a session description: a 2xx has to wait for its PRACK then.
    #[must_use]
    pub fn is_described(&self) -> bool {
        !self.response.body().is_empty()
    }

    /// When to come back.
    #[must_use]
    pub fn next_deadline(&self) -> Deadline {
        if self.gives_up <= self.repeat_at {
            Deadline::new(self.gives_up, "no PRACK came for our provisional response")
        } else {
            Deadline::new(self.repeat_at, "repeat the provisional response until its PRACK comes")
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
        self.interval = self.interval.saturating_mul(2);
        self.repeat_at = now + self.interval;
        Due::Repeat(self.response.clone())
    }
}
