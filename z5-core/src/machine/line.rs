//! The SIP connection and the user agent on it.
//!
//! The connection is opened as soon as step 1 knows where to, so that it stands when step 4 needs it; nothing is sent on it before.
//! A connection lost later is opened again with growing pauses, and the user agent registers anew on it.
//!
//! Targets are tried in order, those of one transport beside each other (RFC 8305), the next transport when all of one failed
//! (RFC 3263 section 4.3). After a certificate that is not good nothing unencrypted is tried: whoever can spoil a certificate
//! must not get the call in the clear.

mod again;
mod pauses;
mod spares;
mod streams;

use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use z5_sip::ident::Ident;
use z5_sip::locate::Target;
use z5_sip::outbox::{Deadline, Outbox};
use z5_sip::ua::{self, FlowDeath, FlowEnd, FlowId, Transport, UserAgent};

#[cfg(test)]
pub(crate) use self::pauses::{RESTART, left_of, pause, pause_for_restart};
pub(crate) use self::spares::Loss;
use self::spares::Spare;
use self::streams::Stream;
use super::io::Effect;
use crate::error::{Attempt, AttemptOutcome};
use crate::events::EventKind;

/// What a server may say before it was asked anything. One that says more is left; step 4 tries again.
const MAX_EARLY: usize = 64 * 1024;

/// The connection and the user agent.
pub(crate) struct Line {
    targets: Vec<Target>,
    /// Those not found wanting in this round.
    left: Vec<Target>,
    /// What failed in this round.
    tried: Vec<Attempt>,
    link: Link,
    /// The server that was reached last.
    server: Option<(Transport, SocketAddr)>,
    /// It has taken a registration on this connection.
    served: bool,
    /// The TCP connections beside UDP flows.
    streams: Vec<Stream>,
    /// The connections beside this one.
    spares: Vec<Spare>,
    last_flow: u64,
    agent: Option<Box<UserAgent>>,
    /// The connection that the user agent knows as the first.
    introduced: Option<FlowId>,
    /// What came on the first connection before the user agent knew it.
    early: Vec<u8>,
    again: Option<Instant>,
    failures: u32,
    /// Those that were remembered when the connection was lost.
    failures_before: u32,
    /// The same where a server refused connections since: nothing more is remembered then, for its clients come back apart as it is.
    failures_apart: Option<u32>,
    /// Before which the server does not want to be asked again (Retry-After).
    not_before: Option<Instant>,
    /// Somebody waits for a registration: pauses are short until there is one, also at a server that restarts.
    awaited: bool,
    /// Since when a registration stands.
    standing_since: Option<Instant>,
    registering_since: Option<Instant>,
}

/// How the connection stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Link {
    None,
    Connecting(FlowId),
    Up {
        flow: FlowId,
        transport: Transport,
        local: SocketAddr,
        remote: SocketAddr,
    },
    /// No target is left; [`Line::tried`] tells.
    Failed,
    Lost {
        why: String,
        outcome: AttemptOutcome,
    },
}

/// What the end of a connection says about its server.
fn outcome(why: FlowDeath) -> AttemptOutcome {
    match why {
        FlowDeath::Down(FlowEnd::Refused) => AttemptOutcome::Refused,
        FlowDeath::Down(FlowEnd::Closed | FlowEnd::Reset | FlowEnd::Local) => AttemptOutcome::Reset,
        FlowDeath::Down(FlowEnd::Stuck)
        | FlowDeath::NoPong
        | FlowDeath::NoStunAnswer
        | FlowDeath::AddressChanged
        | FlowDeath::Framing(_)
        | FlowDeath::RequestTimedOut => AttemptOutcome::Failed { why: why.to_string() },
    }
}

/// As it is written in reports.
pub(crate) const fn transport_name(transport: Transport) -> &'static str {
    match transport {
        Transport::Udp => "udp",
        Transport::Tcp => "tcp",
        Transport::Tls => "tls",
        Transport::Sctp => "sctp",
        Transport::Ws => "ws",
        Transport::Wss => "wss",
    }
}

impl Line {
    pub(crate) const fn new() -> Self {
        Self {
            targets: Vec::new(),
            left: Vec::new(),
            tried: Vec::new(),
            link: Link::None,
            server: None,
            served: false,
            streams: Vec::new(),
            spares: Vec::new(),
            last_flow: 0,
            agent: None,
            introduced: None,
            early: Vec::new(),
            again: None,
            failures: 0,
            failures_before: 0,
            failures_apart: None,
            not_before: None,
            awaited: false,
            standing_since: None,
            registering_since: None,
        }
    }

    pub(crate) const fn link(&self) -> &Link {
        &self.link
    }

    /// What failed in this round of targets.
    pub(crate) fn tried(&self) -> &[Attempt] {
        &self.tried
    }

    /// The name that certificates must be for, for errors.
    pub(crate) fn name(&self) -> &str {
        self.targets.first().map_or("", |target| target.name.as_str())
    }

    /// The first of the servers.
    pub(crate) fn first_target(&self) -> Option<SocketAddr> {
        self.targets.first().map(|target| target.address)
    }

    /// From which address the first of the servers is reached, where the connection leads to it.
    pub(crate) fn home(&self) -> Option<IpAddr> {
        match self.link {
            Link::Up { local, remote, .. } if self.first_target() == Some(remote) => Some(local.ip()),
            Link::Up { .. } | Link::None | Link::Connecting(_) | Link::Failed | Link::Lost { .. } => None,
        }
    }

    /// Whether the first connection stands.
    pub(crate) const fn is_up(&self) -> bool {
        matches!(self.link, Link::Up { .. })
    }

    /// What carries the connection that stands.
    pub(crate) const fn transport(&self) -> Option<Transport> {
        match self.link {
            Link::Up { transport, .. } => Some(transport),
            Link::None | Link::Connecting(_) | Link::Failed | Link::Lost { .. } => None,
        }
    }

    /// Both ends of the connection, or of one that stands beside it.
    pub(crate) fn ends(&self) -> Option<(SocketAddr, SocketAddr)> {
        match self.link {
            Link::Up { local, remote, .. } => Some((local, remote)),
            Link::None | Link::Connecting(_) | Link::Failed | Link::Lost { .. } => self.spare_ends(),
        }
    }

    /// Connects to these targets, unless that is what already stands or is under way.
    pub(crate) fn open(&mut self, targets: Vec<Target>, out: &mut Outbox<Effect>) {
        let same =
            |own: &Target, other: &Target| own.transport == other.transport && own.address == other.address;
        let all_same = targets.len() == self.targets.len()
            && targets.iter().zip(&self.targets).all(|(own, other)| same(own, other));
        let usable = match &self.link {
            Link::Up { transport, remote, .. } => {
                targets.iter().any(|target| target.transport == *transport && target.address == *remote)
            }
            Link::Connecting(_) => all_same,
            Link::None | Link::Failed | Link::Lost { .. } => false,
        };
        if usable {
            self.left = targets.clone();
            self.targets = targets;
            return;
        }
        self.close_first(out);
        self.targets = targets;
        self.begin_round(out);
    }

    /// The same where nothing stands or is under way.
    pub(crate) fn open_unless_standing(&mut self, targets: Vec<Target>, out: &mut Outbox<Effect>) {
        if !matches!(self.link, Link::Connecting(_) | Link::Up { .. }) {
            self.open(targets, out);
        }
    }

    /// The network is another one: whatever stands is given up and every server has another chance, at once.
    pub(crate) fn begin_anew(&mut self, now: Instant, out: &mut Outbox<Effect>) -> Vec<ua::Event> {
        let events = self.give_up(now, out);
        self.close(out);
        self.forget_failures();
        self.begin_round(out);
        events
    }

    /// Where to connect from the next round on.
    pub(crate) fn retarget(&mut self, targets: Vec<Target>) {
        self.targets = targets;
    }

    /// All targets have another chance.
    fn begin_round(&mut self, out: &mut Outbox<Effect>) {
        self.left = self.targets.clone();
        self.tried.clear();
        self.connect(out);
    }

    /// Connects to what is left, the first transport of it.
    fn connect(&mut self, out: &mut Outbox<Effect>) {
        self.again = None;
        let transport = self.left.first().map(|target| target.transport);
        let targets: Vec<Target> =
            self.left.iter().take_while(|target| Some(target.transport) == transport).cloned().collect();
        if targets.is_empty() {
            self.link = Link::Failed;
            return;
        }
        let flow = self.next_flow();
        self.link = Link::Connecting(flow);
        out.push(Effect::Connect { flow, targets });
    }

    const fn next_flow(&mut self) -> FlowId {
        self.last_flow += 1;
        FlowId(self.last_flow)
    }

    /// Takes targets out that failed, and what must not be tried after them.
    fn cross_out(&mut self, attempts: Vec<Attempt>, out: &mut Outbox<Effect>) {
        for attempt in attempts {
            self.left.retain(|target| {
                target.address != attempt.address
                    || Some(transport_name(target.transport)) != attempt.transport
            });
            if matches!(attempt.outcome, AttemptOutcome::Tls { .. }) {
                self.left.retain(|target| target.transport.is_secure());
            }
            out.push(Effect::Emit(EventKind::ServerFailed {
                server: attempt.address,
                transport: attempt.transport.unwrap_or_default(),
                outcome: attempt.outcome.clone(),
            }));
            self.tried.push(attempt);
        }
    }

    /// The server that was reached is of no use (RFC 3263 section 4.3): the next one, with what the user agent says to the end of
    /// the connection; nothing when no server is left.
    pub(crate) fn move_on(
        &mut self,
        outcome: AttemptOutcome,
        now: Instant,
        out: &mut Outbox<Effect>,
    ) -> Option<Vec<ua::Event>> {
        // The user agent and the driver may both tell of one loss: it is counted once.
        let Some((transport, address)) = self.server.take() else {
            return matches!(self.link, Link::Connecting(_)).then(Vec::new);
        };
        let attempt = Attempt { address, transport: Some(transport_name(transport)), outcome };
        self.cross_out(vec![attempt], out);
        if self.left.is_empty() {
            return None;
        }
        let events = self.give_up(now, out);
        self.connect(out);
        Some(events)
    }

    /// Whether this connection has not yet done what it is for.
    pub(crate) const fn is_unproved(&self) -> bool {
        !self.served
    }

    /// Whether another server could be tried when this one fails.
    pub(crate) fn has_more(&self) -> bool {
        self.left.len() > 1
    }

    /// Closes whatever stands.
    pub(crate) fn close(&mut self, out: &mut Outbox<Effect>) {
        self.close_first(out);
        self.close_spares(out);
    }

    fn close_first(&mut self, out: &mut Outbox<Effect>) {
        match self.link {
            Link::Connecting(flow) | Link::Up { flow, .. } => {
                self.close_streams_beside(flow, out);
                out.push(Effect::Close { flow });
            }
            Link::None | Link::Failed | Link::Lost { .. } => {}
        }
        self.link = Link::None;
        self.again = None;
    }

    /// Closes whatever stands; the user agent goes with it, there are no calls.
    pub(crate) fn retire(&mut self, out: &mut Outbox<Effect>) {
        self.close(out);
        self.agent = None;
    }

    /// Puts the user agent on the line.
    pub(crate) fn install(&mut self, config: ua::UaConfig, ident: Ident) {
        self.agent = Some(Box::new(UserAgent::new(config, ident)));
        self.introduced = None;
    }

    /// True when this connection is the current one.
    fn is_current(&self, flow: FlowId) -> bool {
        match self.link {
            Link::Connecting(own) | Link::Up { flow: own, .. } => own == flow,
            Link::None | Link::Failed | Link::Lost { .. } => false,
        }
    }

    pub(crate) fn on_connected(
        &mut self,
        flow: FlowId,
        transport: Transport,
        (local, remote): (SocketAddr, SocketAddr),
        tried: Vec<Attempt>,
        out: &mut Outbox<Effect>,
    ) -> bool {
        let current = self.is_current(flow);
        if current {
            self.cross_out(tried, out);
            self.server = Some((transport, remote));
            self.served = false;
            self.early.clear();
            self.link = Link::Up { flow, transport, local, remote };
        }
        current
    }

    /// True when nothing is left to try.
    pub(crate) fn on_connect_failed(
        &mut self,
        flow: FlowId,
        attempts: Vec<Attempt>,
        out: &mut Outbox<Effect>,
    ) -> bool {
        if !self.is_current(flow) {
            return false;
        }
        // What failed without an address of its own (no socket to be had) fails for all.
        let transport = self.left.first().map(|target| target.transport);
        self.cross_out(attempts, out);
        if self.left.first().map(|target| target.transport) == transport {
            self.left.retain(|target| Some(target.transport) != transport);
        }
        self.connect(out);
        self.link == Link::Failed
    }

    pub(crate) fn on_closed(&mut self, flow: FlowId, why: FlowDeath, out: &mut Outbox<Effect>) -> bool {
        self.forget_stream(flow);
        self.close_streams_beside(flow, out);
        let current = self.is_current(flow);
        if current {
            self.link = Link::Lost { why: why.to_string(), outcome: outcome(why) };
        }
        current
    }

    /// How much the user agent remembers.
    #[cfg(test)]
    pub(crate) fn remembered(&self) -> usize {
        self.agent.as_ref().map_or(0, |agent| agent.remembered())
    }

    #[cfg(test)]
    pub(crate) const fn is_connecting(&self) -> bool {
        matches!(self.link, Link::Connecting(_))
    }

    #[cfg(test)]
    pub(crate) const fn flow(&self) -> Option<FlowId> {
        match self.link {
            Link::Connecting(flow) | Link::Up { flow, .. } => Some(flow),
            Link::None | Link::Failed | Link::Lost { .. } => None,
        }
    }

    #[cfg(test)]
    pub(crate) const fn pause_until(&self) -> Option<Instant> {
        self.again
    }

    #[cfg(test)]
    pub(crate) const fn failures(&self) -> u32 {
        self.failures
    }

    /// The registration came to nothing: the next one is timed anew.
    pub(crate) const fn registration_failed(&mut self) {
        self.registering_since = None;
    }

    /// Registered again: what failed before is forgiven little by little.
    pub(crate) fn healthy(&mut self, now: Instant) {
        self.standing_since.get_or_insert(now);
        self.served = true;
        self.awaited = false;
        self.not_before = None;
        self.registering_since = None;
    }

    /// Connects when the pause is over.
    pub(crate) fn on_deadline(&mut self, now: Instant, out: &mut Outbox<Effect>) {
        if self.again.is_some_and(|at| at <= now) {
            self.begin_round(out);
        }
        self.open_spares(now, out);
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
        let (mut closed, mut wanted) = (Vec::new(), Vec::new());
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
                    closed.push((flow, why));
                }
                ua::Effect::OpenStream { beside } => wanted.push(beside),
                ua::Effect::Event(event) => events.push(event),
            }
        }
        for (flow, why) in closed {
            self.on_closed(flow, why, out);
        }
        for beside in wanted {
            if !self.open_stream(beside, out) {
                events.extend(self.agent(ua::Input::StreamFailed { beside }, now, out));
            }
        }
        events
    }

    /// Tells the user agent that the connection stands, and what has come on it.
    pub(crate) fn introduce(&mut self, now: Instant, out: &mut Outbox<Effect>) -> Vec<ua::Event> {
        let Link::Up { flow, transport, local, remote } = self.link else { return Vec::new() };
        self.introduced = Some(flow);
        let mut events =
            self.agent(ua::Input::FlowUp { flow, transport, local, remote, reg_id: 1 }, now, out);
        let early = std::mem::take(&mut self.early);
        if !early.is_empty() {
            events.extend(self.agent(ua::Input::Received { flow, bytes: &early }, now, out));
        }
        events
    }

    /// Bytes came. A connection that is opened before there is a user agent keeps them for it: a server that speaks something else than
    /// SIP is known by what it says unasked.
    pub(crate) fn on_received(
        &mut self,
        flow: FlowId,
        bytes: &[u8],
        now: Instant,
        out: &mut Outbox<Effect>,
    ) -> Vec<ua::Event> {
        if !self.is_current(flow) || self.introduced == Some(flow) {
            return self.agent(ua::Input::Received { flow, bytes }, now, out);
        }
        self.early.extend_from_slice(bytes);
        if self.early.len() > MAX_EARLY {
            self.early = Vec::new();
            out.push(Effect::Close { flow });
            self.on_closed(flow, FlowDeath::Down(FlowEnd::Local), out);
        }
        Vec::new()
    }

    /// Closes a connection that is of no use any more, and tells the user agent.
    pub(crate) fn give_up(&mut self, now: Instant, out: &mut Outbox<Effect>) -> Vec<ua::Event> {
        let Link::Up { flow, .. } = self.link else { return Vec::new() };
        self.close_first(out);
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
        let again = Deadline::earlier(again, self.spares_deadline());
        Deadline::earlier(again, self.agent.as_ref().and_then(|agent| agent.next_deadline()))
    }
}
