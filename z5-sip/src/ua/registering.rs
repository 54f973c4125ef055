//! How bindings are sent: the glue between [`Registration`](crate::registration::Registration) and the transactions, one
//! of each for every way to the registrar (RFC 5626 section 4.2.1).

use std::time::{Duration, Instant};

use super::failure::RegisterFailure;
use super::options::Privacy;
use super::schedule::Sleeper;
use super::transactions::{Owner, StartError};
use super::types::{Effect as UaEffect, Event};
use super::{Turn, UserAgent};
use crate::flow::{FlowDeath, FlowId};
use crate::ident::Ident;
use crate::outbox::{Deadline, Outbox};
use crate::registration::{Effect, Gruu, Registration};
use crate::request::Outline;
use crate::wire::{Message, Method, Name};

/// The `reg-id` of a user agent that has no flow yet.
const FIRST: u32 = 1;

/// Our binding over one way to the registrar.
pub(super) struct Binding {
    machine: Registration,
    identity: Identity,
    /// The newest flow of this way.
    flow: Option<FlowId>,
    /// The flow that it leads to.
    bound: Option<FlowId>,
    service_route: Vec<String>,
}

/// What stays the same over all its REGISTERs (RFC 3261 section 10.2): one Call-ID, a CSeq that counts up.
#[derive(Debug)]
struct Identity {
    call_id: String,
    tag: String,
    cseq: u32,
}

impl Identity {
    fn new(ident: &mut Ident) -> Self {
        Self { call_id: ident.call_id(), tag: ident.tag(), cseq: ident.cseq() }
    }
}

impl Binding {
    /// Whether the registrar holds it on a flow that is up.
    pub(super) fn is_bound(&self, now: Instant) -> bool {
        self.bound.is_some() && self.machine.is_bound(now)
    }

    /// Whether a REGISTER for it is on its way over this flow.
    pub(super) fn is_made_over(&self, flow: FlowId) -> bool {
        self.flow == Some(flow) && self.machine.is_making()
    }

    /// Whether it was made over this flow.
    pub(super) fn leads_to(&self, flow: FlowId) -> bool {
        self.bound == Some(flow)
    }
}

impl UserAgent {
    /// A flow is up. It carries new requests unless another way is bound: that one is known to work.
    pub(super) fn on_flow_up(&mut self, flow: FlowId, reg_id: u32, now: Instant) {
        self.binding(reg_id).flow = Some(flow);
        let mut others = self.bindings.iter().filter(|(id, _)| **id != reg_id);
        if self.current.is_none() || !others.any(|(_, binding)| binding.is_bound(now)) {
            self.current = Some(flow);
        }
    }

    /// A flow is gone: the lowest way that is bound carries new requests, else the newest flow that is left.
    pub(super) fn choose_current(&mut self, lost: FlowId, now: Instant) {
        if self.current != Some(lost) {
            return;
        }
        let mut bound = self.bindings.values().filter(|binding| binding.is_bound(now));
        let bound = bound.find_map(|binding| binding.bound.filter(|flow| self.flows.contains_key(flow)));
        let own = |flow: &&FlowId| !self.is_stream(**flow);
        self.current = bound.or_else(|| self.flows.keys().rev().find(own).copied());
    }

    fn binding(&mut self, reg_id: u32) -> &mut Binding {
        let (ident, expires) = (&mut self.ident, self.config.expires);
        self.bindings.entry(reg_id).or_insert_with(|| Binding {
            machine: Registration::new(reg_id, expires),
            identity: Identity::new(ident),
            flow: None,
            bound: None,
            service_route: Vec::new(),
        })
    }

    /// The routes that the registrar gave for the flow that carries new requests (RFC 3608).
    pub(super) fn service_route(&self) -> Option<&[String]> {
        let current = self.current?;
        let binding = self.bindings.values().find(|binding| binding.leads_to(current))?;
        Some(&binding.service_route)
    }

    /// The addresses that the registrar made for this instance; the same over all ways.
    pub(super) fn gruu(&self) -> Option<&Gruu> {
        let mut bound = self.bindings.values().filter(|binding| binding.bound.is_some());
        bound.find(|binding| binding.machine.gruu().public.is_some()).map(|binding| binding.machine.gruu())
    }

    pub(super) fn on_register(&mut self, turn: &mut Turn<'_>) {
        let up = |binding: &Binding| binding.flow.is_some_and(|flow| self.flows.contains_key(&flow));
        let ways = self.bindings.iter().filter(|(_, binding)| up(binding));
        let mut ways: Vec<u32> = ways.map(|(reg_id, _)| *reg_id).collect();
        if ways.is_empty() {
            ways.push(FIRST);
        }
        for reg_id in ways {
            self.with_registration(reg_id, turn, |machine, _, out| machine.register(out));
        }
    }

    pub(super) fn on_register_way(&mut self, reg_id: u32, turn: &mut Turn<'_>) {
        self.with_registration(reg_id, turn, |machine, _, out| machine.register(out));
    }

    pub(super) fn on_unregister(&mut self, turn: &mut Turn<'_>) {
        self.binding(FIRST);
        let ways: Vec<u32> = self.bindings.keys().copied().collect();
        for reg_id in ways {
            self.with_registration(reg_id, turn, |machine, _, out| machine.unregister(out));
        }
    }

    pub(super) fn on_registration_deadline(&mut self, reg_id: u32, turn: &mut Turn<'_>) {
        self.with_registration(reg_id, turn, |machine, now, out| machine.on_deadline(now, out));
    }

    pub(super) fn registration_deadline(&self, reg_id: u32) -> Option<Deadline> {
        self.bindings.get(&reg_id)?.machine.next_deadline()
    }

    /// A flow is gone, and with it the binding that led to it. Calls go on over another way at once.
    pub(super) fn on_bound_flow_lost(&mut self, flow: FlowId, turn: &mut Turn<'_>) {
        let ways = self.bindings.iter().filter(|(_, binding)| binding.leads_to(flow));
        let ways: Vec<u32> = ways.map(|(reg_id, _)| *reg_id).collect();
        for &reg_id in &ways {
            let binding = self.binding(reg_id);
            binding.bound = None;
            binding.service_route.clear();
            self.with_registration(reg_id, turn, |machine, now, out| machine.on_flow_lost(now, out));
        }
        let mut left = self.bindings.values().filter(|binding| binding.is_bound(turn.now));
        if let Some(to) = left.find_map(|binding| binding.bound).filter(|_| !ways.is_empty()) {
            self.move_calls(to, turn);
            self.move_subscriptions(turn);
        }
    }

    /// The final response to a REGISTER of ours, challenges aside.
    pub(super) fn on_register_response(
        &mut self,
        reg_id: u32,
        number: u64,
        response: &Message,
        turn: &mut Turn<'_>,
    ) {
        let Some(client) = self.transactions.clients.get(&number) else { return };
        let flow = self.principal(client.flow);
        let taking_back = takes_back(&client.outline);
        let status = response.status().unwrap_or_default();
        if status == 439 && self.outbound {
            // The first hop does not support outbound: without it, then (RFC 5626 section 11.6, R16).
            self.outbound = false;
            let asked = self.binding(reg_id).machine.asked();
            let outline = self.register_outline(reg_id, if taking_back { 0 } else { asked });
            return self.send_register(reg_id, outline, turn);
        }
        if (200..300).contains(&status) && !taking_back {
            self.refused = 0;
            self.on_granted_flow(flow, response, turn.now);
            self.want_stream(flow, turn);
            self.authenticator.learn_realms();
            let routes = response.values(Name::ServiceRoute);
            let routes = routes.map(|route| String::from_utf8_lossy(route).into_owned()).collect();
            let binding = self.binding(reg_id);
            binding.bound = Some(flow);
            binding.service_route = routes;
        }
        let contact = self.flows.get(&flow).map(|flow| self.contact_uri(flow)).unwrap_or_default();
        self.with_registration(reg_id, turn, |machine, now, out| {
            machine.on_response(response, &contact, now, out);
        });
        let now = turn.now;
        if self.bindings.get(&reg_id).is_some_and(|binding| binding.leads_to(flow) && binding.is_bound(now)) {
            self.move_calls(flow, turn);
            self.move_subscriptions(turn);
        }
    }

    /// What the registrar says of the flow itself (RFC 5626 sections 4.2.1 and 4.4).
    fn on_granted_flow(&mut self, flow: FlowId, response: &Message, now: Instant) {
        let seconds = response.text(Name::FlowTimer).and_then(|value| value.trim().parse::<u32>().ok());
        let timer = seconds.filter(|&seconds| seconds > 0).map(|seconds| Duration::from_secs(seconds.into()));
        let timer = timer.map(|timer| self.jittered(timer));
        let Some(connection) = self.flows.get_mut(&flow) else { return };
        if timer.is_some() || response.lists_token(Name::Require, "outbound") {
            connection.expect_answers(now);
        }
        if let Some(timer) = timer {
            connection.hasten(timer, now);
        }
        self.dirty.push(Sleeper::Flow(flow));
    }

    /// A REGISTER of ours came to nothing.
    pub(super) fn on_register_failed(&mut self, reg_id: u32, failure: RegisterFailure, turn: &mut Turn<'_>) {
        self.with_registration(reg_id, turn, |machine, now, out| machine.on_failed(failure, now, out));
    }

    /// Refused credentials say how often that was so in a row (R19, R20).
    pub(super) fn counted(&mut self, failure: RegisterFailure) -> RegisterFailure {
        let RegisterFailure::CredentialsRefused { realm, .. } = failure else { return failure };
        self.refused += 1;
        RegisterFailure::CredentialsRefused { realm, times: self.refused }
    }

    /// A REGISTER was never answered: the flow is of no use any more (RFC 5626 section 4.4).
    pub(super) fn on_register_timeout(
        &mut self,
        reg_id: u32,
        number: u64,
        timer: &'static str,
        turn: &mut Turn<'_>,
    ) {
        let flow = self.transactions.clients.get(&number).map(|client| client.flow);
        self.on_register_failed(reg_id, RegisterFailure::TimedOut { timer }, turn);
        if let Some(flow) = flow {
            self.close_flow(flow, FlowDeath::RequestTimedOut, turn);
        }
    }

    /// A REGISTER goes out once more, with credentials.
    pub(super) fn repeat_register(&mut self, reg_id: u32, mut outline: Outline, turn: &mut Turn<'_>) {
        let identity = &mut self.binding(reg_id).identity;
        identity.cseq += 1;
        outline.cseq = identity.cseq;
        self.send_register(reg_id, Ok(outline), turn);
    }

    /// One turn of the machine, and what follows from it.
    fn with_registration(
        &mut self,
        reg_id: u32,
        turn: &mut Turn<'_>,
        act: impl FnOnce(&mut Registration, Instant, &mut Outbox<Effect>),
    ) {
        let mut effects = Outbox::new();
        act(&mut self.binding(reg_id).machine, turn.now, &mut effects);
        self.dirty.push(Sleeper::Registration(reg_id));
        while let Some(effect) = effects.pop() {
            match effect {
                Effect::Send { expires } => {
                    let outline = self.register_outline(reg_id, expires);
                    self.send_register(reg_id, outline, turn);
                }
                Effect::Event(event) => {
                    let now = turn.now;
                    let binding = self.binding(reg_id);
                    if !binding.machine.is_bound(now) {
                        binding.bound = None;
                    }
                    self.tell_registration(reg_id, event, turn);
                }
            }
        }
    }

    /// One of several bindings is no whole registration.
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "two of the machine's events depend on the other bindings"
    )]
    fn tell_registration(&self, reg_id: u32, event: Event, turn: &mut Turn<'_>) {
        let (mut held, mut asking) = (false, false);
        for (_, other) in self.bindings.iter().filter(|(id, _)| **id != reg_id) {
            held |= other.is_bound(turn.now);
            asking |= other.machine.is_asking();
        }
        match event {
            Event::RegistrationFailed(failure) if held => {
                turn.out.push(UaEffect::Event(Event::BindingLost { reg_id, failure }));
            }
            // The last one tells.
            Event::Unregistered if held || asking => {}
            event => turn.out.push(UaEffect::Event(event)),
        }
    }

    /// The flow of a REGISTER: one that takes the binding back follows it.
    fn registering_flow(&self, reg_id: u32, taking_back: bool) -> Result<FlowId, StartError> {
        let binding = self.bindings.get(&reg_id).ok_or(StartError::NoFlow)?;
        let flow = binding.bound.filter(|_| taking_back).or(binding.flow).ok_or(StartError::NoFlow)?;
        if self.flows.contains_key(&flow) { Ok(flow) } else { Err(StartError::NoFlow) }
    }

    fn register_outline(&mut self, reg_id: u32, expires: u32) -> Result<Outline, StartError> {
        let flow = self.registering_flow(reg_id, expires == 0)?;
        let connection = self.flows.get(&flow).ok_or(StartError::NoFlow)?;
        let contact = self.register_contact(connection, reg_id, expires);
        let identity = &mut self.binding(reg_id).identity;
        identity.cseq += 1;
        let (call_id, tag, cseq) = (identity.call_id.clone(), identity.tag.clone(), identity.cseq);
        let mut outline = self.register_request(call_id, &tag, cseq)?;
        if let Some(elsewhere) = self.bindings.get(&reg_id).and_then(|binding| binding.machine.elsewhere()) {
            outline.uri = elsewhere.to_string();
        }
        let supported = match self.config.instance_id.is_some() {
            true if self.outbound => "path, gruu, outbound",
            true => "path, gruu",
            false => "path",
        };
        let outline = outline
            .with(Name::Contact, contact)
            .with(Name::Expires, expires.to_string())
            .with(Name::Supported, supported);
        match expires {
            0 => Ok(outline),
            _ => self.with_location(outline).map_err(StartError::Build),
        }
    }

    /// A REGISTER without a Contact, which only asks.
    pub(super) fn register_request(
        &self,
        call_id: String,
        tag: &str,
        cseq: u32,
    ) -> Result<Outline, StartError> {
        Ok(self.signed(Outline {
            method: Method::Register,
            uri: self.config.registrar.to_string(),
            routes: self.outbound_route(),
            from: self.sender(tag, Privacy::Off).map_err(StartError::Build)?,
            to: format!("<{}>", self.config.aor),
            call_id,
            cseq,
            headers: Vec::new(),
            body: None,
        }))
    }

    fn send_register(&mut self, reg_id: u32, outline: Result<Outline, StartError>, turn: &mut Turn<'_>) {
        let started = outline.and_then(|outline| {
            let flow = self.registering_flow(reg_id, takes_back(&outline))?;
            self.start_client(outline, flow, Owner::Register(reg_id), turn)
        });
        match started {
            Ok(_) => self.binding(reg_id).machine.on_sent(),
            Err(StartError::NoFlow) => self.on_register_failed(reg_id, RegisterFailure::NoFlow, turn),
            Err(StartError::Build(why)) => {
                let failure = RegisterFailure::Unbuildable { why: why.to_string() };
                self.on_register_failed(reg_id, failure, turn);
            }
            Err(StartError::TooLarge { bytes }) => {
                let why = format!("{bytes} bytes are more than a datagram may have");
                self.on_register_failed(reg_id, RegisterFailure::Unbuildable { why }, turn);
            }
        }
    }
}

/// Whether a REGISTER removes its binding.
fn takes_back(outline: &Outline) -> bool {
    outline.headers.iter().any(|(name, value)| *name == Name::Expires && value == "0")
}
