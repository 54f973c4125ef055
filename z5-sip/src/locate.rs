//! Where a request goes: RFC 3263 section 4, as pure logic.
//!
//! A URI (or a domain, with what is known of port and transport) goes in; lookups are asked for (NAPTR, then SRV, then A and
//! AAAA), their answers come in, and an ordered list of [`Target`]s goes out, each with transport, address, the name its
//! certificate must be for (RFC 5922 section 4: the domain that was asked for, never a name that DNS made of it), and where
//! it came from. Everything that was looked up stays readable in [`Locator::lookups`].
//!
//! Beyond the letter: services and transports that RFC 3263 would leave out after the first choice follow it in the list, for
//! failover; a list has at most [`MAX_TARGETS`]. Not here: resolving a CNAME (the resolver's work), ENUM, and stopping a
//! lookup that takes too long (the driver says [`Input::TimeUp`]).

mod order;
mod types;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use crate::ident::Ident;
use crate::outbox::Outbox;
use crate::wire::Transport;
pub use order::weighted;
use order::{Service, default_port, interleave, services};
pub use types::{
    Abilities, Answer, Destination, Effect, Input, LocateError, Lookup, Miss, Naptr, Origin, Question,
    RecordKind, Srv, Target,
};
use types::{Place, canonical};

/// The longest list of targets: enough for two families of eight servers.
pub const MAX_TARGETS: usize = 16;
/// Hosts whose addresses are asked for. A zone with more is no help to a client and could be an attack on its resolver.
pub const MAX_HOSTS: usize = 8;
/// Services whose SRV records are asked for.
pub const MAX_SERVICES: usize = 6;

/// The search for the targets of one destination.
#[derive(Debug)]
pub struct Locator {
    destination: Destination,
    abilities: Abilities,
    ident: Ident,
    phase: Phase,
    lookups: Vec<Lookup>,
    /// By host; what is known of its addresses.
    addresses: BTreeMap<String, Vec<IpAddr>>,
}

#[derive(Debug)]
enum Phase {
    Idle,
    Naptr,
    Srv(Vec<Service>),
    Addresses(Vec<Candidate>),
    Done,
}

/// A host to be tried in its turn, when its addresses are known.
#[derive(Debug)]
struct Candidate {
    transport: Transport,
    host: String,
    port: u16,
    origin: Origin,
}

impl Locator {
    /// A search that has not begun. `ident` draws the lots of RFC 2782's weights.
    #[must_use]
    pub fn new(destination: Destination, abilities: Abilities, ident: Ident) -> Self {
        let (lookups, addresses) = (Vec::new(), BTreeMap::new());
        Self { destination, abilities, ident, phase: Phase::Idle, lookups, addresses }
    }

    /// Everything that was looked up, in the order in which it was asked.
    #[must_use]
    pub fn lookups(&self) -> &[Lookup] {
        &self.lookups
    }

    /// True once the end was told.
    #[must_use]
    pub fn is_done(&self) -> bool {
        matches!(self.phase, Phase::Done)
    }

    /// Takes one fact. An answer to what was not asked, or was answered before, is passed over.
    pub fn handle(&mut self, input: Input, out: &mut Outbox<Effect>) {
        match input {
            Input::Begin if matches!(self.phase, Phase::Idle) => self.begin(out),
            Input::Begin => {}
            Input::Answered { question, outcome } => {
                let open = |lookup: &&mut Lookup| lookup.question == question && lookup.outcome.is_none();
                let Some(lookup) = self.lookups.iter_mut().find(open) else { return };
                let found = |answer: &Answer| match question.kind {
                    RecordKind::Naptr => answer.naptr.len(),
                    RecordKind::Srv => answer.srv.len(),
                    RecordKind::A | RecordKind::Aaaa => answer.addresses.len(),
                };
                let outcome = match outcome {
                    Ok(answer) if found(&answer) == 0 => Err(Miss::NoRecords),
                    other => other,
                };
                lookup.outcome = Some(outcome.as_ref().map(found).map_err(Clone::clone));
                if !self.is_done() {
                    self.take(&question, outcome.unwrap_or_default());
                    self.advance(false, out);
                }
            }
            Input::TimeUp => {
                if !matches!(self.phase, Phase::Idle | Phase::Done) {
                    self.advance(true, out);
                }
            }
        }
    }

    fn begin(&mut self, out: &mut Outbox<Effect>) {
        let transports = match self.transports() {
            Ok(transports) => transports,
            Err(error) => return self.fail(error, out),
        };
        match (&self.destination.host, self.destination.port) {
            // Section 4.1: a numeric host, or an explicit port, leaves nothing for NAPTR to say; section 4.2 the same for SRV.
            (Place::Address(address), port) => {
                let address = *address;
                let targets = transports.iter().map(|transport| Target {
                    transport: *transport,
                    address: SocketAddr::new(address, port.unwrap_or(default_port(*transport))),
                    name: self.destination.name.clone(),
                    origin: Origin::Given,
                });
                let targets = targets.collect();
                self.finish(targets, out);
            }
            (Place::Name(_), Some(_)) => self.ask_host(&transports, out),
            // Section 4.2: the transport is known, its SRV records are asked for at once.
            (Place::Name(name), None) if self.destination.transport.is_some() => {
                let services = transports.iter().map(|transport| Service::named(*transport, name)).collect();
                self.ask_services(services, out);
            }
            (Place::Name(name), None) => {
                let question = Question { name: name.clone(), kind: RecordKind::Naptr };
                self.phase = Phase::Naptr;
                self.ask(question, out);
            }
        }
    }

    /// The transports that the destination leaves, the one to be used first.
    fn transports(&self) -> Result<Vec<Transport>, LocateError> {
        let able = |transport: &Transport| self.abilities.transports.contains(transport);
        let unsupported = |wanted: &str| Err(LocateError::Unsupported { transport: wanted.to_owned() });
        if let Some(transport) = self.destination.transport {
            // `sips` with transport=tcp means TLS over TCP (RFC 3261 section 26.2.2); over UDP there is no such thing.
            let meant = match (self.destination.secure, transport) {
                (true, Transport::Tcp | Transport::Tls) => Transport::Tls,
                (true, Transport::Ws | Transport::Wss) => Transport::Wss,
                (true, Transport::Udp | Transport::Sctp) => return unsupported("sips over this transport"),
                (false, other) => other,
            };
            return match able(&meant) {
                true => Ok(vec![meant]),
                false => unsupported(&meant.as_str().to_ascii_lowercase()),
            };
        }
        if self.destination.secure {
            return if able(&Transport::Tls) { Ok(vec![Transport::Tls]) } else { unsupported("sips") };
        }
        // Section 4.1: UDP for a SIP URI that says nothing; the others follow for when it does not work.
        let plain = |transport: &&Transport| matches!(**transport, Transport::Tcp | Transport::Sctp);
        let mut transports: Vec<Transport> =
            [Transport::Udp].into_iter().filter(|transport| able(transport)).collect();
        transports.extend(self.abilities.transports.iter().filter(plain));
        if transports.is_empty() {
            transports.clone_from(&self.abilities.transports);
        }
        if transports.is_empty() { unsupported("sip") } else { Ok(transports) }
    }

    /// Keeps what an answer says.
    fn take(&mut self, question: &Question, answer: Answer) {
        for (name, address) in answer.additional {
            self.keep(canonical(&name), address);
        }
        for address in answer.addresses {
            self.keep(question.name.clone(), address);
        }
        match &mut self.phase {
            Phase::Naptr if question.kind == RecordKind::Naptr => {
                let found = services(&answer.naptr, &self.abilities.transports, self.destination.secure);
                self.phase = Phase::Srv(found);
            }
            Phase::Srv(services) if question.kind == RecordKind::Srv => {
                for service in services.iter_mut().filter(|service| service.name == question.name) {
                    service.records = Some(answer.srv.clone());
                }
            }
            Phase::Naptr | Phase::Srv(_) | Phase::Addresses(_) | Phase::Idle | Phase::Done => {}
        }
    }

    fn keep(&mut self, host: String, address: IpAddr) {
        let known = self.addresses.entry(host).or_default();
        if known.len() < MAX_TARGETS && !known.contains(&address) {
            known.push(address);
        }
    }

    /// Goes on where the answers so far allow it; `over` is for not waiting any longer.
    fn advance(&mut self, over: bool, out: &mut Outbox<Effect>) {
        if over && matches!(self.phase, Phase::Naptr) {
            return self.finish(Vec::new(), out);
        }
        if let Phase::Srv(services) = &mut self.phase {
            let services = std::mem::take(services);
            let asked = |service: &Service| {
                self.lookups.iter().any(|lookup| {
                    lookup.question.name == service.name && lookup.question.kind == RecordKind::Srv
                })
            };
            if services.is_empty() {
                // Section 4.1: no NAPTR record, so an SRV query for each transport that is supported, in our order.
                return match &self.destination.host {
                    Place::Name(name) if !over => {
                        let own =
                            order::own_services(&self.abilities.transports, self.destination.secure, name);
                        self.ask_services(own, out)
                    }
                    Place::Name(_) | Place::Address(_) => self.finish(Vec::new(), out),
                };
            }
            if !services.iter().all(asked) {
                return self.ask_services(services, out);
            }
            if !over && self.is_waiting(RecordKind::Srv) {
                self.phase = Phase::Srv(services);
                return;
            }
            return self.after_services(&services, over, out);
        }
        if let Phase::Addresses(candidates) = &mut self.phase {
            let candidates = std::mem::take(candidates);
            if !over && (self.is_waiting(RecordKind::A) || self.is_waiting(RecordKind::Aaaa)) {
                self.phase = Phase::Addresses(candidates);
                return;
            }
            let targets = candidates.iter().flat_map(|candidate| self.targets_of(candidate)).collect();
            self.finish(targets, out);
        }
    }

    fn is_waiting(&self, kind: RecordKind) -> bool {
        self.lookups.iter().any(|lookup| lookup.question.kind == kind && lookup.outcome.is_none())
    }

    fn ask_services(&mut self, mut services: Vec<Service>, out: &mut Outbox<Effect>) {
        if services.is_empty() {
            return self.after_services(&[], false, out);
        }
        services.truncate(MAX_SERVICES);
        let names: Vec<String> = services.iter().map(|service| service.name.clone()).collect();
        self.phase = Phase::Srv(services);
        for name in names {
            self.ask(Question { name, kind: RecordKind::Srv }, out);
        }
    }

    /// The SRV records are there: their hosts in order, or the name itself when there are none.
    fn after_services(&mut self, services: &[Service], over: bool, out: &mut Outbox<Effect>) {
        let records = |service: &Service| service.records.as_ref().is_some_and(|records| !records.is_empty());
        if !services.iter().any(records) {
            return match self.transports() {
                Ok(_) if over => self.finish(Vec::new(), out),
                Ok(transports) => self.ask_host(&transports, out),
                Err(error) => self.fail(error, out),
            };
        }
        let (mut candidates, mut hosts) = (Vec::new(), BTreeSet::new());
        for service in services {
            for record in weighted(service.records.as_deref().unwrap_or_default(), &mut self.ident) {
                let host = canonical(&record.target);
                // RFC 2782: a target of "." says that the service is decidedly not here. A port of 0 reaches nobody.
                if host.is_empty() || record.port == 0 || candidates.len() == MAX_TARGETS {
                    continue;
                }
                if hosts.len() == MAX_HOSTS && !hosts.contains(&host) {
                    continue;
                }
                hosts.insert(host.clone());
                let origin = Origin::Srv {
                    service: service.name.clone(),
                    host: host.clone(),
                    priority: record.priority,
                    weight: record.weight,
                };
                candidates.push(Candidate { transport: service.transport, host, port: record.port, origin });
            }
        }
        if candidates.is_empty() {
            let name = self.destination.name.clone();
            return self.fail(LocateError::NotOffered { name }, out);
        }
        self.ask_addresses(candidates, out);
        if over {
            self.advance(true, out);
        }
    }

    /// Section 4.2: no SRV record, or a port given: the addresses of the name itself.
    fn ask_host(&mut self, transports: &[Transport], out: &mut Outbox<Effect>) {
        let Place::Name(host) = self.destination.host.clone() else { return };
        let candidates = transports.iter().map(|transport| Candidate {
            transport: *transport,
            host: host.clone(),
            port: self.destination.port.unwrap_or(default_port(*transport)),
            origin: Origin::Host,
        });
        let candidates = candidates.collect();
        self.ask_addresses(candidates, out);
    }

    fn ask_addresses(&mut self, candidates: Vec<Candidate>, out: &mut Outbox<Effect>) {
        let mut questions = Vec::new();
        for candidate in &candidates {
            // An SRV target may be written as an address, which RFC 2782 forbids and some zones do all the same.
            if let Ok(address) = candidate.host.parse::<IpAddr>() {
                self.addresses.entry(candidate.host.clone()).or_insert_with(|| vec![address]);
                continue;
            }
            let known = self.addresses.get(&candidate.host).map_or(&[][..], Vec::as_slice);
            for (kind, wanted, has) in [
                (RecordKind::Aaaa, self.abilities.ipv6, known.iter().any(IpAddr::is_ipv6)),
                (RecordKind::A, self.abilities.ipv4, known.iter().any(IpAddr::is_ipv4)),
            ] {
                let question = Question { name: candidate.host.clone(), kind };
                if wanted && !has && !questions.contains(&question) {
                    questions.push(question);
                }
            }
        }
        self.phase = Phase::Addresses(candidates);
        for question in questions {
            self.ask(question, out);
        }
        self.advance(false, out);
    }

    fn targets_of(&self, candidate: &Candidate) -> Vec<Target> {
        let known = self.addresses.get(&candidate.host).map_or(&[][..], Vec::as_slice);
        let usable: Vec<IpAddr> =
            known.iter().copied().filter(|address| self.abilities.family(*address)).collect();
        let target = |address| Target {
            transport: candidate.transport,
            address: SocketAddr::new(address, candidate.port),
            name: self.destination.name.clone(),
            origin: candidate.origin.clone(),
        };
        interleave(&usable).into_iter().map(target).collect()
    }

    /// Asks once; the answer of a question that was asked before is already known.
    fn ask(&mut self, question: Question, out: &mut Outbox<Effect>) {
        if !self.lookups.iter().any(|lookup| lookup.question == question) {
            self.lookups.push(Lookup { question: question.clone(), outcome: None });
            out.push(Effect::Ask(question));
        }
    }

    fn finish(&mut self, all: Vec<Target>, out: &mut Outbox<Effect>) {
        let mut targets: Vec<Target> = Vec::new();
        for target in all {
            let same = |seen: &Target| seen.transport == target.transport && seen.address == target.address;
            if targets.len() < MAX_TARGETS && !targets.iter().any(same) {
                targets.push(target);
            }
        }
        if targets.is_empty() {
            return self.fail(self.nothing(), out);
        }
        self.phase = Phase::Done;
        out.push(Effect::Located(targets));
    }

    fn fail(&mut self, error: LocateError, out: &mut Outbox<Effect>) {
        self.phase = Phase::Done;
        out.push(Effect::Failed(error));
    }

    /// Why nothing was found. An authoritative no is worth more than a failure, an address that is missing more than a name.
    fn nothing(&self) -> LocateError {
        let name = self.destination.name.clone();
        let misses: Vec<Option<&Miss>> = self
            .lookups
            .iter()
            .map(|lookup| lookup.outcome.as_ref().and_then(|outcome| outcome.as_ref().err()))
            .collect();
        let failed = misses.iter().rev().find_map(|miss| match miss {
            Some(Miss::Failed(why)) => Some(why.clone()),
            Some(Miss::NameNotFound | Miss::NoRecords) | None => None,
        });
        let waiting = self.lookups.iter().any(|lookup| lookup.outcome.is_none());
        match failed {
            Some(why) => LocateError::LookupFailed { name, why },
            None if waiting => LocateError::LookupFailed { name, why: "no answer".to_owned() },
            None if misses.iter().all(|miss| matches!(miss, Some(Miss::NameNotFound))) => {
                LocateError::NameNotFound { name }
            }
            None => LocateError::NoAddress { name },
        }
    }
}

#[cfg(test)]
mod tests;
