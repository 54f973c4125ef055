//! How the binding is sent: the glue between [`Registration`](crate::registration::Registration) and the transactions.

use super::failure::RegisterFailure;
use super::options::Privacy;
use super::schedule::Sleeper;
use super::transactions::{Owner, StartError};
use super::types::Effect as UaEffect;
use super::{Turn, UserAgent};
use crate::flow::FlowDeath;
use crate::ident::Ident;
use crate::outbox::Outbox;
use crate::registration::Effect;
use crate::request::Outline;
use crate::wire::{Message, Method, Name};

/// What stays the same over all REGISTERs (RFC 3261 section 10.2): one Call-ID, a CSeq that counts up.
#[derive(Debug)]
pub(super) struct Identity {
    call_id: String,
    tag: String,
    cseq: u32,
}

impl Identity {
    pub(super) fn new(ident: &mut Ident) -> Self {
        Self { call_id: ident.call_id(), tag: ident.tag(), cseq: ident.cseq() }
    }
}

impl UserAgent {
    pub(super) fn on_register(&mut self, turn: &mut Turn<'_>) {
        let mut effects = Outbox::new();
        self.registration.register(&mut effects);
        self.carry_out_registration(effects, turn);
    }

    pub(super) fn on_unregister(&mut self, turn: &mut Turn<'_>) {
        let mut effects = Outbox::new();
        self.registration.unregister(&mut effects);
        self.carry_out_registration(effects, turn);
    }

    pub(super) fn on_registration_deadline(&mut self, turn: &mut Turn<'_>) {
        let mut effects = Outbox::new();
        self.registration.on_deadline(turn.now, &mut effects);
        self.carry_out_registration(effects, turn);
    }

    pub(super) fn on_binding_lost(&mut self, turn: &mut Turn<'_>) {
        self.bound = None;
        self.service_route.clear();
        let mut effects = Outbox::new();
        self.registration.on_flow_lost(turn.now, &mut effects);
        self.carry_out_registration(effects, turn);
    }

    /// The final response to a REGISTER of ours, challenges aside.
    pub(super) fn on_register_response(&mut self, number: u64, response: &Message, turn: &mut Turn<'_>) {
        let Some(client) = self.transactions.clients.get(&number) else { return };
        let flow = self.principal(client.flow);
        let taking_back = takes_back(&client.outline);
        let status = response.status().unwrap_or_default();
        if status == 439 && self.outbound {
            // The first hop does not support outbound: without it, then (RFC 5626 section 11.6, R16).
            self.outbound = false;
            let outline = self.register_outline(if taking_back { 0 } else { self.registration.asked() });
            return self.send_register(outline, turn);
        }
        if (200..300).contains(&status) && !taking_back {
            self.bound = Some(flow);
            if response.lists_token(Name::Require, "outbound")
                && let Some(flow) = self.flows.get_mut(&flow)
            {
                flow.expect_pongs();
            }
            self.authenticator.bind_to_known_realms();
            let routes = response.values(Name::ServiceRoute);
            self.service_route = routes.map(|route| String::from_utf8_lossy(route).into_owned()).collect();
        }
        let contact = self.flows.get(&flow).map(|flow| self.contact_uri(flow)).unwrap_or_default();
        let mut effects = Outbox::new();
        self.registration.on_response(response, &contact, turn.now, &mut effects);
        self.carry_out_registration(effects, turn);
        if self.bound == Some(flow) && self.registration.is_bound(turn.now) {
            self.move_calls(flow, turn);
            self.move_subscriptions(turn);
        }
    }

    /// A REGISTER of ours came to nothing.
    pub(super) fn on_register_failed(&mut self, failure: RegisterFailure, turn: &mut Turn<'_>) {
        let mut effects = Outbox::new();
        self.registration.on_failed(failure, turn.now, &mut effects);
        self.carry_out_registration(effects, turn);
    }

    /// A REGISTER was never answered: the flow is of no use any more (RFC 5626 section 4.4).
    pub(super) fn on_register_timeout(&mut self, number: u64, timer: &'static str, turn: &mut Turn<'_>) {
        let flow = self.transactions.clients.get(&number).map(|client| client.flow);
        self.on_register_failed(RegisterFailure::TimedOut { timer }, turn);
        if let Some(flow) = flow {
            self.close_flow(flow, FlowDeath::RequestTimedOut, turn);
        }
    }

    /// A REGISTER goes out once more, with credentials.
    pub(super) fn repeat_register(&mut self, mut outline: Outline, turn: &mut Turn<'_>) {
        self.identity.cseq += 1;
        outline.cseq = self.identity.cseq;
        self.send_register(Ok(outline), turn);
    }

    fn carry_out_registration(&mut self, mut effects: Outbox<Effect>, turn: &mut Turn<'_>) {
        self.dirty.push(Sleeper::Registration);
        while let Some(effect) = effects.pop() {
            match effect {
                Effect::Send { expires } => {
                    let outline = self.register_outline(expires);
                    self.send_register(outline, turn);
                }
                Effect::Event(event) => {
                    if !self.registration.is_bound(turn.now) {
                        self.bound = None;
                    }
                    turn.out.push(UaEffect::Event(event));
                }
            }
        }
    }

    fn register_outline(&mut self, expires: u32) -> Result<Outline, StartError> {
        let flow = self.bound.filter(|_| expires == 0).or(self.current).ok_or(StartError::NoFlow)?;
        let connection = self.flows.get(&flow).ok_or(StartError::NoFlow)?;
        let contact = self.register_contact(connection, expires);
        self.identity.cseq += 1;
        let outline = Outline {
            method: Method::Register,
            uri: self.config.registrar.to_string(),
            routes: self.outbound_route(),
            from: self.sender(&self.identity.tag, Privacy::Off).map_err(StartError::Build)?,
            to: format!("<{}>", self.config.aor),
            call_id: self.identity.call_id.clone(),
            cseq: self.identity.cseq,
            headers: vec![(Name::Contact, contact), (Name::Expires, expires.to_string())],
            body: None,
        };
        let supported =
            if self.config.instance_id.is_some() && self.outbound { "path, outbound" } else { "path" };
        Ok(self.signed(outline.with(Name::Supported, supported)))
    }

    fn send_register(&mut self, outline: Result<Outline, StartError>, turn: &mut Turn<'_>) {
        let started = outline.and_then(|outline| {
            let taking_back = takes_back(&outline);
            let flow = self.bound.filter(|_| taking_back).or(self.current).ok_or(StartError::NoFlow)?;
            self.start_client(outline, flow, Owner::Register, turn)
        });
        match started {
            Ok(_) => self.registration.on_sent(),
            Err(StartError::NoFlow) => self.on_register_failed(RegisterFailure::NoFlow, turn),
            Err(StartError::Build(why)) => {
                self.on_register_failed(RegisterFailure::Unbuildable { why: why.to_string() }, turn);
            }
        }
    }
}

/// Whether a REGISTER removes its binding.
fn takes_back(outline: &Outline) -> bool {
    outline.headers.iter().any(|(name, value)| *name == Name::Expires && value == "0")
}
