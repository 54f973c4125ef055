//! INVITE client transaction (RFC 3261 section 17.1.1, RFC 6026 section 7.2).
//!
//! ```text
//! Calling --1xx--> Proceeding --2xx--> Accepted --timer M--> Terminated
//!    |                 |------300-699--> Completed --timer D--> Terminated
//!    |--timer B, flow lost--> Terminated
//! ```
//! Once a provisional response came, how long to wait is the transaction user's to decide (a CANCEL ends it).

use std::time::{Duration, Instant};

use super::{ClientEffect, ClientInput, Timers};
use crate::outbox::{Deadline, Outbox};
use crate::wire::{Message, Name, RequestBuilder};

/// One INVITE on its way to a final response.
#[derive(Debug)]
pub struct ClientInvite {
    request: Message,
    reliable: bool,
    timers: Timers,
    state: State,
}

#[derive(Debug)]
enum State {
    /// Timer A only on an unreliable transport.
    Calling {
        repeat: Option<(Instant, Duration)>,
        gives_up: Instant,
    },
    /// With an end once it is abandoned.
    Proceeding {
        ends: Option<Instant>,
    },
    /// 300 to 699 was received; the ACK is kept for its repetitions.
    Completed {
        ack: Option<Message>,
        ends: Instant,
    },
    /// 2xx was received.
    Accepted {
        ends: Instant,
    },
    Terminated,
}

impl ClientInvite {
    /// Sends `request`.
    pub fn new(
        request: Message,
        reliable: bool,
        timers: Timers,
        now: Instant,
        out: &mut Outbox<ClientEffect>,
    ) -> Self {
        out.push(ClientEffect::Send(request.clone()));
        let repeat = (!reliable).then(|| (now + timers.t1, timers.t1));
        let state = State::Calling { repeat, gives_up: now + timers.long() };
        Self { request, reliable, timers, state }
    }

    /// The INVITE, for a CANCEL and for the ACK of a 2xx.
    #[must_use]
    pub fn request(&self) -> &Message {
        &self.request
    }

    /// Whether a provisional response came and no final one: only then may a CANCEL go out (RFC 3261 section 9.1).
    #[must_use]
    pub fn is_proceeding(&self) -> bool {
        matches!(self.state, State::Proceeding { .. })
    }

    /// Whether it is over and can be forgotten.
    #[must_use]
    pub fn is_terminated(&self) -> bool {
        matches!(self.state, State::Terminated)
    }

    /// The state's name in RFC 3261.
    #[must_use]
    pub fn state(&self) -> &'static str {
        match self.state {
            State::Calling { .. } => "calling",
            State::Proceeding { .. } => "proceeding",
            State::Completed { .. } => "completed",
            State::Accepted { .. } => "accepted",
            State::Terminated => "terminated",
        }
    }

    /// One turn.
    pub fn handle(&mut self, input: ClientInput, now: Instant, out: &mut Outbox<ClientEffect>) {
        match input {
            ClientInput::Response(response) => self.on_response(response, now, out),
            ClientInput::FlowLost => self.on_flow_lost(out),
            ClientInput::Abandon => {
                if let State::Proceeding { ends } = &mut self.state {
                    ends.get_or_insert(now + self.timers.long());
                }
            }
            ClientInput::Deadline => self.on_deadline(now, out),
        }
    }

    /// When to come back.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Deadline> {
        match &self.state {
            State::Calling { repeat, gives_up } => {
                let repeat = repeat.map(|(at, _)| Deadline::new(at, "timer A: repeat the INVITE"));
                Deadline::earlier(repeat, Some(Deadline::new(*gives_up, "timer B: the INVITE is unanswered")))
            }
            State::Proceeding { ends } => {
                ends.map(|at| Deadline::new(at, "the abandoned INVITE is forgotten"))
            }
            State::Terminated => None,
            State::Completed { ends, .. } => Some(Deadline::new(*ends, "timer D: absorb repeated responses")),
            State::Accepted { ends } => Some(Deadline::new(*ends, "timer M: absorb repeated 2xx")),
        }
    }

    fn on_response(&mut self, response: Message, now: Instant, out: &mut Outbox<ClientEffect>) {
        let status = response.status().unwrap_or_default();
        match (&self.state, status) {
            (State::Calling { .. } | State::Proceeding { .. }, 100..200) => {
                if let State::Calling { .. } = self.state {
                    self.state = State::Proceeding { ends: None };
                }
                out.push(ClientEffect::Response(response));
            }
            (State::Calling { .. } | State::Proceeding { .. }, 200..300) => {
                self.state = State::Accepted { ends: now + self.timers.long() };
                out.push(ClientEffect::Response(response));
            }
            (State::Calling { .. } | State::Proceeding { .. }, 300..700) => {
                self.on_refusal(response, now, out)
            }
            // Forks and repetitions alike: the transaction user tells them apart.
            (State::Accepted { .. }, 200..300) => out.push(ClientEffect::Response(response)),
            (State::Completed { ack: Some(ack), .. }, 300..700) => out.push(ClientEffect::Send(ack.clone())),
            (_, _) => {}
        }
    }

    fn on_refusal(&mut self, response: Message, now: Instant, out: &mut Outbox<ClientEffect>) {
        // A response that no ACK can be built from is malformed; it still ends the transaction.
        let agent = self.request.header(Name::UserAgent);
        let ack = RequestBuilder::ack(&self.request, &response)
            .and_then(|ack| ack.header_opt(Name::UserAgent, agent).build())
            .ok();
        if let Some(ack) = &ack {
            out.push(ClientEffect::Send(ack.clone()));
        }
        // Timer D is zero on a reliable transport.
        self.state = if self.reliable {
            State::Terminated
        } else {
            State::Completed { ack, ends: now + self.timers.d() }
        };
        out.push(ClientEffect::Response(response));
    }

    fn on_flow_lost(&mut self, out: &mut Outbox<ClientEffect>) {
        if matches!(self.state, State::Calling { .. } | State::Proceeding { .. }) {
            out.push(ClientEffect::FlowLost);
        }
        self.state = State::Terminated;
    }

    fn on_deadline(&mut self, now: Instant, out: &mut Outbox<ClientEffect>) {
        match &mut self.state {
            State::Calling { gives_up, .. } if now >= *gives_up => {
                self.state = State::Terminated;
                out.push(ClientEffect::TimedOut("B"));
            }
            State::Calling { repeat: Some((at, interval)), .. } if now >= *at => {
                // Timer A doubles without a cap (RFC 3261 section 17.1.1.2).
                *interval = interval.saturating_mul(2);
                *at = now + *interval;
                out.push(ClientEffect::Send(self.request.clone()));
            }
            State::Proceeding { ends: Some(ends) }
            | State::Completed { ends, .. }
            | State::Accepted { ends }
                if now >= *ends =>
            {
                self.state = State::Terminated;
            }
            State::Calling { .. }
            | State::Proceeding { .. }
            | State::Completed { .. }
            | State::Accepted { .. }
            | State::Terminated => {}
        }
    }
}
