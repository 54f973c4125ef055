//! Further connections to other servers, each with a binding of its own (RFC 5626 section 4.2.1: `reg-id` 2 and on), so that
//! calls and the registration go on over one of them when the first is lost.
//!
//! A spare one is opened once the first has registered, to a server that no other connection leads to; with fewer servers than
//! wished there are fewer. Its own loss costs the session nothing: it is opened again with growing pauses. One that the
//! registrar refuses for good is not tried again.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use z5_sip::locate::Target;
use z5_sip::outbox::{Deadline, Outbox};
use z5_sip::ua::{self, FlowId, Transport};

use super::pauses::pause_after;
use super::{Line, Link, transport_name};
use crate::error::{Attempt, AttemptOutcome};
use crate::events::EventKind;
use crate::machine::io::Effect;

/// One way beside the first.
pub(super) struct Spare {
    reg_id: u32,
    link: SpareLink,
    /// The registrar holds its binding.
    bound: bool,
    again: Option<Instant>,
    failures: u32,
}

#[derive(Debug, Clone, Copy)]
enum SpareLink {
    None,
    Connecting(FlowId),
    Up {
        flow: FlowId,
        transport: Transport,
        local: SocketAddr,
        remote: SocketAddr,
    },
    /// The registrar does not want it.
    GivenUp,
}

/// When a spare connection was lost, and what its pause is drawn from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Loss {
    pub(crate) now: Instant,
    pub(crate) spread: u64,
}

impl Line {
    /// How many connections there are to be, the first included.
    pub(crate) fn keep_flows(&mut self, flows: u32) {
        let spare = |reg_id| Spare { reg_id, link: SpareLink::None, bound: false, again: None, failures: 0 };
        self.spares = (2..=flows).map(spare).collect();
    }

    /// Both ends of a spare connection whose binding stands.
    pub(super) fn spare_ends(&self) -> Option<(SocketAddr, SocketAddr)> {
        self.spares.iter().filter(|spare| spare.bound).find_map(|spare| match spare.link {
            SpareLink::Up { local, remote, .. } => Some((local, remote)),
            SpareLink::Connecting(_) | SpareLink::None | SpareLink::GivenUp => None,
        })
    }

    /// Whether the registrar can reach us over another connection than the first.
    pub(crate) fn is_covered(&self) -> bool {
        self.spare_ends().is_some()
    }

    pub(crate) fn is_spare(&self, flow: FlowId) -> bool {
        self.spares.iter().any(|spare| spare.flow() == Some(flow))
    }

    /// The server of a spare connection.
    pub(super) fn spare_server(&self, flow: FlowId) -> Option<SocketAddr> {
        self.spares.iter().find(|spare| spare.flow() == Some(flow)).and_then(Spare::remote)
    }

    fn spare(&mut self, flow: FlowId) -> Option<&mut Spare> {
        self.spares.iter_mut().find(|spare| spare.flow() == Some(flow))
    }

    /// Opens the spare connections that are missing and whose pause is over. Nothing before the first has registered.
    pub(crate) fn open_spares(&mut self, now: Instant, out: &mut Outbox<Effect>) {
        let Link::Up { transport, remote, .. } = self.link else { return };
        // One at a time: which server the one before reaches is not known yet.
        let connecting = |spare: &Spare| matches!(spare.link, SpareLink::Connecting(_));
        if !self.served || self.spares.iter().any(connecting) {
            return;
        }
        let is_due = |spare: &Spare| {
            matches!(spare.link, SpareLink::None) && spare.again.is_none_or(|again| again <= now)
        };
        let Some(index) = self.spares.iter().position(is_due) else { return };
        let reached = |target: &Target| {
            target.address == remote || self.spares.iter().any(|spare| spare.remote() == Some(target.address))
        };
        let free = |target: &&Target| target.transport == transport && !reached(target);
        // Another server before another address of one that is reached.
        let same_server = |target: &Target| {
            let of =
                |other: &Target| other.name == target.name && other.address.port() == target.address.port();
            self.targets.iter().any(|other| of(other) && reached(other))
        };
        let mut targets: Vec<Target> = self.targets.iter().filter(free).cloned().collect();
        targets.sort_by_key(same_server);
        self.spares[index].again = None;
        if targets.is_empty() {
            return;
        }
        let flow = self.next_flow();
        self.spares[index].link = SpareLink::Connecting(flow);
        out.push(Effect::Connect { flow, targets });
    }

    /// A spare connection stands: the user agent registers on it.
    pub(crate) fn on_spare_connected(
        &mut self,
        flow: FlowId,
        transport: Transport,
        (local, remote): (SocketAddr, SocketAddr),
        now: Instant,
        out: &mut Outbox<Effect>,
    ) -> Vec<ua::Event> {
        let Some(spare) = self.spare(flow) else { return Vec::new() };
        spare.link = SpareLink::Up { flow, transport, local, remote };
        let reg_id = spare.reg_id;
        let mut events = self.agent(ua::Input::FlowUp { flow, transport, local, remote, reg_id }, now, out);
        events.extend(self.agent(ua::Input::Command(ua::Command::RegisterWay { reg_id }), now, out));
        self.open_spares(now, out);
        events
    }

    pub(crate) fn on_spare_failed(
        &mut self,
        flow: FlowId,
        attempts: Vec<Attempt>,
        loss: Loss,
        out: &mut Outbox<Effect>,
    ) {
        let refused = attempts.iter().any(|attempt| attempt.outcome == AttemptOutcome::Refused);
        for attempt in attempts {
            out.push(Effect::Emit(EventKind::ServerFailed {
                server: attempt.address,
                transport: attempt.transport.unwrap_or_default(),
                outcome: attempt.outcome,
            }));
        }
        if let Some(spare) = self.spare(flow) {
            spare.link = SpareLink::None;
            spare.wait(loss, Duration::ZERO, refused);
        }
    }

    /// The registrar holds the binding of a spare connection.
    pub(crate) fn on_spare_registered(&mut self, reg_id: u32, out: &mut Outbox<Effect>) {
        let Some(spare) = self.spares.iter_mut().find(|spare| spare.reg_id == reg_id) else { return };
        let SpareLink::Up { transport, local, remote, .. } = spare.link else { return };
        spare.failures = 0;
        if !std::mem::replace(&mut spare.bound, true) {
            let transport = transport_name(transport);
            out.push(Effect::Emit(EventKind::FlowRegistered { reg_id, transport, local, server: remote }));
        }
    }

    /// A spare connection is gone.
    pub(crate) fn on_spare_closed(&mut self, flow: FlowId, why: &str, loss: Loss, out: &mut Outbox<Effect>) {
        self.close_streams_beside(flow, out);
        let Some(spare) = self.spare(flow) else { return };
        spare.link = SpareLink::None;
        spare.lose(why, out);
        spare.wait(loss, Duration::ZERO, false);
    }

    /// The registrar does not want a spare binding: the connection is closed, and tried again after `wait` or never.
    pub(crate) fn on_spare_refused(
        &mut self,
        reg_id: u32,
        why: &str,
        loss: Loss,
        wait: Option<Duration>,
        out: &mut Outbox<Effect>,
    ) -> Vec<ua::Event> {
        let Some(spare) = self.spares.iter_mut().find(|spare| spare.reg_id == reg_id) else {
            return Vec::new();
        };
        let flow = spare.flow();
        spare.lose(why, out);
        spare.link = match wait {
            Some(at_least) => {
                spare.wait(loss, at_least, false);
                SpareLink::None
            }
            None => SpareLink::GivenUp,
        };
        let Some(flow) = flow else { return Vec::new() };
        self.close_streams_beside(flow, out);
        out.push(Effect::Close { flow });
        self.bury(flow, ua::FlowEnd::Local, loss.now, out)
    }

    pub(crate) fn close_spares(&mut self, out: &mut Outbox<Effect>) {
        let flows: Vec<FlowId> = self.spares.iter().filter_map(Spare::flow).collect();
        for flow in flows {
            self.close_streams_beside(flow, out);
            out.push(Effect::Close { flow });
        }
        for spare in &mut self.spares {
            (spare.link, spare.bound, spare.again) = (SpareLink::None, false, None);
        }
    }

    pub(super) fn spares_deadline(&self) -> Option<Deadline> {
        let standing = self.served && matches!(self.link, Link::Up { .. });
        let at = self.spares.iter().filter_map(|spare| spare.again).min().filter(|_| standing)?;
        Some(Deadline::new(at, "step 4: the spare connection again"))
    }
}

impl Spare {
    const fn flow(&self) -> Option<FlowId> {
        match self.link {
            SpareLink::Connecting(flow) | SpareLink::Up { flow, .. } => Some(flow),
            SpareLink::None | SpareLink::GivenUp => None,
        }
    }

    const fn remote(&self) -> Option<SocketAddr> {
        match self.link {
            SpareLink::Up { remote, .. } => Some(remote),
            SpareLink::Connecting(_) | SpareLink::None | SpareLink::GivenUp => None,
        }
    }

    fn lose(&mut self, why: &str, out: &mut Outbox<Effect>) {
        if std::mem::take(&mut self.bound) {
            let (reg_id, why) = (self.reg_id, why.to_owned());
            out.push(Effect::Emit(EventKind::FlowLost { reg_id, why }));
        }
    }

    fn wait(&mut self, loss: Loss, at_least: Duration, refused: bool) {
        self.again = Some(loss.now + pause_after(refused, at_least, self.failures, loss.spread));
        self.failures = self.failures.saturating_add(1);
    }
}
