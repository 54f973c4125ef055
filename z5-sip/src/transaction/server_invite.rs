//! INVITE server transaction (RFC 3261 section 17.2.1, RFC 6026 section 7.1).
//!
//! ```text
//! Proceeding --300-699 sent--> Completed --ACK--> Confirmed --timer I--> Terminated
//!    |                             |--timer H: not acknowledged--> Terminated
//!    |--2xx sent--> Accepted --timer L--> Terminated
//! ```
//! The user agent answers 100 at once, so there is no 200 ms wait here. Repetitions of a 2xx are the dialog's.

use std::time::{Duration, Instant};

use super::{ServerEffect, ServerInput, Timers};
use crate::outbox::{Deadline, Outbox};
use crate::wire::Message;

/// One INVITE received.
#[derive(Debug)]
pub struct ServerInvite {
    request: Message,
    reliable: bool,
    timers: Timers,
    state: State,
}

#[derive(Debug)]
enum State {
    Proceeding {
        last: Option<Message>,
    },
    /// Timer G only on an unreliable transport.
    Completed {
        response: Message,
        repeat: Option<(Instant, Duration)>,
        gives_up: Instant,
    },
    Confirmed {
        ends: Instant,
    },
    Accepted {
        ends: Instant,
    },
    Terminated,
}

impl ServerInvite {
    /// For an INVITE that matched no transaction.
    #[must_use]
    pub fn new(request: Message, reliable: bool, timers: Timers) -> Self {
        Self { request, reliable, timers, state: State::Proceeding { last: None } }
    }

    /// The INVITE.
    #[must_use]
    pub fn request(&self) -> &Message {
        &self.request
    }

    /// Whether no final response was given yet.
    #[must_use]
    pub fn is_proceeding(&self) -> bool {
        matches!(self.state, State::Proceeding { .. })
    }

    /// Whether it is over and can be forgotten.
    #[must_use]
    pub fn is_terminated(&self) -> bool {
        matches!(self.state, State::Terminated)
    }

    /// The state's name in RFC 3261 and RFC 6026.
    #[must_use]
    pub fn state(&self) -> &'static str {
        match self.state {
            State::Proceeding { .. } => "proceeding",
            State::Completed { .. } => "completed",
            State::Confirmed { .. } => "confirmed",
            State::Accepted { .. } => "accepted",
            State::Terminated => "terminated",
        }
    }

    /// One turn.
    pub fn handle(&mut self, input: ServerInput, now: Instant, out: &mut Outbox<ServerEffect>) {
        match input {
            ServerInput::Repeated => self.on_repeated(out),
            ServerInput::Ack => self.on_ack(now),
            ServerInput::Respond(response) => self.on_respond(response, now, out),
            ServerInput::FlowLost => self.on_flow_lost(out),
            ServerInput::Deadline => self.on_deadline(now, out),
        }
    }

    /// When to come back.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Deadline> {
        match &self.state {
            State::Proceeding { .. } | State::Terminated => None,
            State::Completed { repeat, gives_up, .. } => {
                let repeat = repeat.map(|(at, _)| Deadline::new(at, "timer G: repeat the final response"));
                Deadline::earlier(repeat, Some(Deadline::new(*gives_up, "timer H: no ACK came")))
            }
            State::Confirmed { ends } => Some(Deadline::new(*ends, "timer I: absorb repeated ACKs")),
            State::Accepted { ends } => Some(Deadline::new(*ends, "timer L: absorb repeated INVITEs")),
        }
    }

    fn on_repeated(&self, out: &mut Outbox<ServerEffect>) {
        match &self.state {
            State::Proceeding { last: Some(response) } | State::Completed { response, .. } => {
                out.push(ServerEffect::Send(response.clone()));
            }
            State::Proceeding { last: None }
            | State::Confirmed { .. }
            | State::Accepted { .. }
            | State::Terminated => {}
        }
    }

    fn on_ack(&mut self, now: Instant) {
        if matches!(self.state, State::Completed { .. }) {
            // Timer I is zero on a reliable transport.
            self.state = if self.reliable {
                State::Terminated
            } else {
                State::Confirmed { ends: now + self.timers.t4 }
            };
        }
    }

    fn on_respond(&mut self, response: Message, now: Instant, out: &mut Outbox<ServerEffect>) {
        let status = response.status().unwrap_or_default();
        match &mut self.state {
            State::Proceeding { last } => {
                out.push(ServerEffect::Send(response.clone()));
                match status {
                    200..300 => self.state = State::Accepted { ends: now + self.timers.long() },
                    300..700 => {
                        let repeat = (!self.reliable).then(|| (now + self.timers.t1, self.timers.t1));
                        let gives_up = now + self.timers.long();
                        self.state = State::Completed { response, repeat, gives_up };
                    }
                    _ => *last = Some(response),
                }
            }
            // The dialog repeats its 2xx through here until the ACK comes.
            State::Accepted { .. } if (200..300).contains(&status) => out.push(ServerEffect::Send(response)),
            State::Accepted { .. }
            | State::Completed { .. }
            | State::Confirmed { .. }
            | State::Terminated => {}
        }
    }

    fn on_flow_lost(&mut self, out: &mut Outbox<ServerEffect>) {
        if matches!(self.state, State::Proceeding { .. }) {
            out.push(ServerEffect::FlowLost);
        }
        self.state = State::Terminated;
    }

    fn on_deadline(&mut self, now: Instant, out: &mut Outbox<ServerEffect>) {
        match &mut self.state {
            State::Completed { gives_up, .. } if now >= *gives_up => {
                self.state = State::Terminated;
                out.push(ServerEffect::NotAcknowledged);
            }
            State::Completed { response, repeat: Some((at, interval)), .. } if now >= *at => {
                *interval = self.timers.doubled(*interval);
                *at = now + *interval;
                out.push(ServerEffect::Send(response.clone()));
            }
            State::Confirmed { ends } | State::Accepted { ends } if now >= *ends => {
                self.state = State::Terminated;
            }
            State::Proceeding { .. }
            | State::Completed { .. }
            | State::Confirmed { .. }
            | State::Accepted { .. }
            | State::Terminated => {}
        }
    }
}
