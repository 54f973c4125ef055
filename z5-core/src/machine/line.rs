//! The SIP connection and the user agent on it.
//!
//! The connection is opened as soon as step 1 knows where to, so that it stands when step 4 needs it; nothing is sent on it before.
//! A connection lost later is opened again with growing pauses, and the user agent registers anew on it.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use z5_sip::ident::Ident;
use z5_sip::outbox::{Deadline, Outbox};
use z5_sip::ua::{self, FlowEnd, FlowId, Transport, UserAgent};

use super::io::Effect;
use crate::error::Attempt;

/// The first pause before a lost connection is opened again, doubled each time up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// The connection and the user agent.
pub(crate) struct Line {
    targets: Vec<SocketAddr>,
    link: Link,
    last_flow: u64,
    agent: Option<Box<UserAgent>>,
    again: Option<Instant>,
    failures: u32,
    registering_since: Option<Instant>,
}

/// How the connection stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Link {
    None,
    Connecting(FlowId),
    Up { flow: FlowId, local: SocketAddr, remote: SocketAddr },
    Failed(Vec<Attempt>),
    Lost(String),
}

impl Line {
    pub(crate) const fn new() -> Self {
        Self {
            targets: Vec::new(),
            link: Link::None,
            last_flow: 0,
            agent: None,
            again: None,
            failures: 0,
            registering_since: None,
        }
    }

    pub(crate) const fn link(&self) -> &Link {
        &self.link
    }

    /// Both ends of the connection.
    pub(crate) const fn ends(&self) -> Option<(SocketAddr, SocketAddr)> {
        match self.link {
            Link::Up { local, remote, .. } => Some((local, remote)),
            Link::None | Link::Connecting(_) | Link::Failed(_) | Link::Lost(_) => None,
        }
    }

    /// Connects to these targets, unless that is what already stands or is under way.
    pub(crate) fn open(&mut self, targets: Vec<SocketAddr>, out: &mut Outbox<Effect>) {
        let usable = match &self.link {
            Link::Up { remote, .. } => targets.contains(remote),
            Link::Connecting(_) => targets == self.targets,
            Link::None | Link::Failed(_) | Link::Lost(_) => false,
        };
        if usable {
            return;
        }
        self.close(out);
        self.targets = targets;
        self.connect(out);
    }

    fn connect(&mut self, out: &mut Outbox<Effect>) {
        self.last_flow += 1;
        let flow = FlowId(self.last_flow);
        self.link = Link::Connecting(flow);
        self.again = None;
        out.push(Effect::Connect { flow, targets: self.targets.clone() });
    }

    /// Closes whatever stands.
    pub(crate) fn close(&mut self, out: &mut Outbox<Effect>) {
        match self.link {
            Link::Connecting(flow) | Link::Up { flow, .. } => out.push(Effect::Close { flow }),
            Link::None | Link::Failed(_) | Link::Lost(_) => {}
        }
        self.link = Link::None;
        self.again = None;
    }

    /// Puts the user agent on the line.
    pub(crate) fn install(&mut self, config: ua::UaConfig, ident: Ident) {
        self.agent = Some(Box::new(UserAgent::new(config, ident)));
    }

    /// True when this connection is the current one.
    fn is_current(&self, flow: FlowId) -> bool {
        match self.link {
            Link::Connecting(own) | Link::Up { flow: own, .. } => own == flow,
            Link::None | Link::Failed(_) | Link::Lost(_) => false,
        }
    }

    pub(crate) fn on_connected(&mut self, flow: FlowId, local: SocketAddr, remote: SocketAddr) -> bool {
        let current = self.is_current(flow);
        if current {
            self.link = Link::Up { flow, local, remote };
        }
        current
    }

    pub(crate) fn on_connect_failed(&mut self, flow: FlowId, attempts: Vec<Attempt>) -> bool {
        let current = self.is_current(flow);
        if current {
            self.link = Link::Failed(attempts);
        }
        current
    }

    pub(crate) fn on_closed(&mut self, flow: FlowId, why: String) -> bool {
        let current = self.is_current(flow);
        if current {
            self.link = Link::Lost(why);
        }
        current
    }

    /// Plans the next attempt; `spread` is a random number that keeps clients apart (full jitter). It is not made before
    /// `at_least` (a Retry-After). While a pause runs already, or a connection is being made, the same loss is not counted again.
    pub(crate) fn connect_again_later(&mut self, now: Instant, spread: u64, at_least: Duration) {
        if let Some(again) = &mut self.again {
            *again = (*again).max(now + at_least);
            return;
        }
        if matches!(self.link, Link::Connecting(_) | Link::Up { .. }) {
            return;
        }
        let pause = FIRST_PAUSE.saturating_mul(1 << self.failures.min(7)).min(LONGEST_PAUSE);
        let pause = pause.mul_f64((spread % 1000) as f64 / 1000.0);
        self.failures = self.failures.saturating_add(1);
        self.again = Some(now + pause.max(at_least));
    }

    #[cfg(test)]
    pub(crate) const fn failures(&self) -> u32 {
        self.failures
    }

    /// The registration came to nothing: the next one is timed anew.
    pub(crate) const fn registration_failed(&mut self) {
        self.registering_since = None;
    }

    /// Registered again: the next loss starts with the shortest pause.
    pub(crate) const fn healthy(&mut self) {
        self.failures = 0;
        self.registering_since = None;
    }

    /// Connects when the pause is over.
    pub(crate) fn on_deadline(&mut self, now: Instant, out: &mut Outbox<Effect>) {
        if self.again.is_some_and(|at| at <= now) {
            self.connect(out);
        }
    }

    /// Hands something to the user agent; its bytes go to `out`, its events come back in order.
    pub(crate) fn agent(
        &mut self,
        input: ua::Input<'_>,
        now: Instant,
        out: &mut Outbox<Effect>,
    ) -> Vec<ua::Event> {
        let Some(agent) = &mut self.agent else { return Vec::new() };
        let mut effects = Outbox::new();
        agent.handle(input, now, &mut effects);
        let mut events = Vec::new();
        let mut closed = Vec::new();
        for effect in effects.drain() {
            match effect {
                ua::Effect::Send { flow, bytes } => {
                    if bytes.starts_with(b"REGISTER ") {
                        self.registering_since.get_or_insert(now);
                    }
                    out.push(Effect::Write { flow, bytes });
                }
                ua::Effect::CloseFlow { flow, why } => {
                    out.push(Effect::Close { flow });
                    closed.push((flow, why.to_string()));
                }
                ua::Effect::Event(event) => events.push(event),
            }
        }
        for (flow, why) in closed {
            self.on_closed(flow, why);
        }
        events
    }

    /// Tells the user agent that the connection stands.
    pub(crate) fn introduce(&mut self, now: Instant, out: &mut Outbox<Effect>) -> Vec<ua::Event> {
        let Link::Up { flow, local, remote } = self.link else { return Vec::new() };
        self.agent(ua::Input::FlowUp { flow, transport: Transport::Tcp, local, remote }, now, out)
    }

    /// Closes a connection that is of no use any more, and tells the user agent.
    pub(crate) fn give_up(&mut self, now: Instant, out: &mut Outbox<Effect>) -> Vec<ua::Event> {
        let Link::Up { flow, .. } = self.link else { return Vec::new() };
        self.close(out);
        self.bury(flow, FlowEnd::Local, now, out)
    }

    /// Since when a REGISTER waits for its final answer.
    pub(crate) const fn registering_since(&self) -> Option<Instant> {
        self.registering_since
    }

    /// Tells the user agent that a connection is gone.
    pub(crate) fn bury(
        &mut self,
        flow: FlowId,
        why: FlowEnd,
        now: Instant,
        out: &mut Outbox<Effect>,
    ) -> Vec<ua::Event> {
        self.agent(ua::Input::FlowDown { flow, why }, now, out)
    }

    pub(crate) fn next_deadline(&self) -> Option<Deadline> {
        let again = self.again.map(|at| Deadline::new(at, "step 4: connect again"));
        Deadline::earlier(again, self.agent.as_ref().and_then(|agent| agent.next_deadline()))
    }
}
