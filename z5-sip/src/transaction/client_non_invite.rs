//! Non-INVITE client transaction (RFC 3261 section 17.1.2).
//!
//! ```text
//! Trying --1xx--> Proceeding --200-699--> Completed --timer K--> Terminated
//!    |---------------200-699----------------^
//!    |--timer F, flow lost--> Terminated (from Proceeding too)
//! ```

use std::time::{Duration, Instant};

use super::{ClientEffect, ClientInput, Timers};
use crate::outbox::{Deadline, Outbox};
use crate::wire::Message;

/// One request other than INVITE and ACK on its way to a final response.
#[derive(Debug)]
pub struct ClientNonInvite {
    request: Message,
    reliable: bool,
    timers: Timers,
    state: State,
}

#[derive(Debug)]
enum State {
    /// Timer E only on an unreliable transport; `proceeding` once a provisional response came.
    Waiting {
        proceeding: bool,
        repeat: Option<(Instant, Duration)>,
        gives_up: Instant,
    },
    Completed {
        ends: Instant,
    },
    Terminated,
}

impl ClientNonInvite {
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
        let state = State::Waiting { proceeding: false, repeat, gives_up: now + timers.long() };
        Self { request, reliable, timers, state }
    }

    /// The request.
    #[must_use]
    pub fn request(&self) -> &Message {
        &self.request
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
            State::Waiting { proceeding: false, .. } => "trying",
            State::Waiting { proceeding: true, .. } => "proceeding",
            State::Completed { .. } => "completed",
            State::Terminated => "terminated",
        }
    }

    /// One turn.
    pub fn handle(&mut self, input: ClientInput, now: Instant, out: &mut Outbox<ClientEffect>) {
        match input {
            ClientInput::Response(response) => self.on_response(response, now, out),
            ClientInput::FlowLost => {
                if matches!(self.state, State::Waiting { .. }) {
                    out.push(ClientEffect::FlowLost);
                }
                self.state = State::Terminated;
            }
            // Timer F ends it.
            ClientInput::Abandon => {}
            ClientInput::Deadline => self.on_deadline(now, out),
        }
    }

    /// When to come back.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Deadline> {
        match &self.state {
            State::Waiting { repeat, gives_up, .. } => {
                let repeat = repeat.map(|(at, _)| Deadline::new(at, "timer E: repeat the request"));
                Deadline::earlier(
                    repeat,
                    Some(Deadline::new(*gives_up, "timer F: the request is unanswered")),
                )
            }
            State::Completed { ends } => Some(Deadline::new(*ends, "timer K: absorb repeated responses")),
            State::Terminated => None,
        }
    }

    fn on_response(&mut self, response: Message, now: Instant, out: &mut Outbox<ClientEffect>) {
        let State::Waiting { proceeding, .. } = &mut self.state else { return };
        match response.status().unwrap_or_default() {
            100..200 => *proceeding = true,
            200..700 => {
                // Timer K is zero on a reliable transport.
                self.state = if self.reliable {
                    State::Terminated
                } else {
                    State::Completed { ends: now + self.timers.t4 }
                };
            }
            _ => return,
        }
        out.push(ClientEffect::Response(response));
    }

    fn on_deadline(&mut self, now: Instant, out: &mut Outbox<ClientEffect>) {
        match &mut self.state {
            State::Waiting { gives_up, .. } if now >= *gives_up => {
                self.state = State::Terminated;
                out.push(ClientEffect::TimedOut("F"));
            }
            State::Waiting { proceeding, repeat: Some((at, interval)), .. } if now >= *at => {
                *interval = if *proceeding { self.timers.t2 } else { self.timers.doubled(*interval) };
                *at = now + *interval;
                out.push(ClientEffect::Send(self.request.clone()));
            }
            State::Completed { ends } if now >= *ends => self.state = State::Terminated,
            State::Waiting { .. } | State::Completed { .. } | State::Terminated => {}
        }
    }
}
