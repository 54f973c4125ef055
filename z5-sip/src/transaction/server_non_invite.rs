//! Non-INVITE server transaction (RFC 3261 section 17.2.2).
//!
//! ```text
//! Trying --1xx sent--> Proceeding --200-699 sent--> Completed --timer J--> Terminated
//! ```
//! It stays for timer J on an unreliable transport, so that a repetition gets the same answer and is not carried out
//! twice.

use std::time::Instant;

use super::{ServerEffect, ServerInput, Timers};
use crate::outbox::{Deadline, Outbox};
use crate::wire::Message;

/// One request other than INVITE and ACK received.
#[derive(Debug)]
pub struct ServerNonInvite {
    request: Message,
    reliable: bool,
    timers: Timers,
    state: State,
}

#[derive(Debug)]
enum State {
    Trying,
    Proceeding { last: Message },
    Completed { response: Message, ends: Instant },
    Terminated,
}

impl ServerNonInvite {
    /// For a request that matched no transaction.
    #[must_use]
    pub fn new(request: Message, reliable: bool, timers: Timers) -> Self {
        Self { request, reliable, timers, state: State::Trying }
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
            State::Trying => "trying",
            State::Proceeding { .. } => "proceeding",
            State::Completed { .. } => "completed",
            State::Terminated => "terminated",
        }
    }

    /// One turn.
    pub fn handle(&mut self, input: ServerInput, now: Instant, out: &mut Outbox<ServerEffect>) {
        match input {
            ServerInput::Repeated => self.on_repeated(out),
            ServerInput::Ack => {}
            ServerInput::Respond(response) => self.on_respond(response, now, out),
            ServerInput::FlowLost => {
                if matches!(self.state, State::Trying | State::Proceeding { .. }) {
                    out.push(ServerEffect::FlowLost);
                }
                self.state = State::Terminated;
            }
            ServerInput::Deadline => {
                if matches!(self.state, State::Completed { ends, .. } if now >= ends) {
                    self.state = State::Terminated;
                }
            }
        }
    }

    /// When to come back.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Deadline> {
        match &self.state {
            State::Completed { ends, .. } => Some(Deadline::new(*ends, "timer J: absorb repeated requests")),
            State::Trying | State::Proceeding { .. } | State::Terminated => None,
        }
    }

    fn on_repeated(&self, out: &mut Outbox<ServerEffect>) {
        match &self.state {
            State::Proceeding { last: response } | State::Completed { response, .. } => {
                out.push(ServerEffect::Send(response.clone()));
            }
            State::Trying | State::Terminated => {}
        }
    }

    fn on_respond(&mut self, response: Message, now: Instant, out: &mut Outbox<ServerEffect>) {
        if !matches!(self.state, State::Trying | State::Proceeding { .. }) {
            return;
        }
        out.push(ServerEffect::Send(response.clone()));
        self.state = match response.status().unwrap_or_default() {
            100..200 => State::Proceeding { last: response },
            // Timer J is zero on a reliable transport.
            _ if self.reliable => State::Terminated,
            _ => State::Completed { response, ends: now + self.timers.long() },
        };
    }
}
