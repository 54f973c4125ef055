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

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::{IpAddr, SocketAddr};

use crate::ident::Ident;
use crate::outbox::Outbox;
use crate::wire::{Host, Transport, UriRef};
use order::{Service, default_port, interleave, services, weighted};

/// The longest list of targets: enough for two families of eight servers.
pub const MAX_TARGETS: usize = 16;
/// Hosts whose addresses are asked for. A zone with more is no help to a client and could be an attack on its resolver.
pub const MAX_HOSTS: usize = 8;
/// Services whose SRV records are asked for.
pub const MAX_SERVICES: usize = 6;

/// What is to be reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Destination {
    host: Place,
    /// What a certificate must be for.
    name: String,
    port: Option<u16>,
    transport: Option<Transport>,
    secure: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Place {
    Address(IpAddr),
    Name(String),
}

impl Place {
    fn of(host: &str) -> Self {
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        bare.parse().map_or_else(|_| Self::Name(canonical(host)), Self::Address)
    }
}

/// A name without letter case and without the dot of the root.
fn canonical(name: &str) -> String {
    name.trim_end_matches('.').to_ascii_lowercase()
}

impl Destination {
    /// A domain or an address; a port and a transport where they are given.
    #[must_use]
    pub fn new(host: &str, port: Option<u16>, transport: Option<Transport>) -> Self {
        let host = Place::of(host);
        let name = match &host {
            Place::Address(address) => address.to_string(),
            Place::Name(name) => name.clone(),
        };
        Self { host, name, port, transport, secure: false }
    }

    /// The target of a `sip` or `sips` URI: its `maddr`, else its host (RFC 3263 section 4).
    ///
    /// # Errors
    /// [`LocateError::NoHost`] for any other URI, [`LocateError::Unsupported`] for a transport that nobody knows.
    pub fn of(uri: UriRef<'_>) -> Result<Self, LocateError> {
        let host = uri.host().filter(|_| uri.is_sip()).ok_or(LocateError::NoHost)?;
        let text = match host {
            Host::Name(name) => name.to_owned(),
            Host::V4(address) => address.to_string(),
            Host::V6(address) => address.to_string(),
        };
        let transport = match uri.param("transport") {
            None => None,
            Some(token) => Some(
                Transport::from_token(token)
                    .ok_or_else(|| LocateError::Unsupported { transport: token.to_ascii_lowercase() })?,
            ),
        };
        let mut destination = Self::new(&text, uri.port(), transport);
        destination.secure = uri.scheme_text().eq_ignore_ascii_case("sips");
        if let Some(maddr) = uri.param("maddr") {
            destination.host = Place::of(maddr);
        }
        Ok(destination)
    }

    /// The domain or address that was given; what a certificate must be for.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Only ever over TLS, as a `sips` URI asks.
    #[must_use]
    pub fn secure(mut self) -> Self {
        self.secure = true;
        self
    }
}

/// What this end can do and likes best.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Abilities {
    /// Transports in order of preference.
    pub transports: Vec<Transport>,
    /// Addresses of IP version 4 can be reached.
    pub ipv4: bool,
    /// Addresses of IP version 6 can be reached.
    pub ipv6: bool,
}

impl Abilities {
    /// These transports, over both versions of IP.
    #[must_use]
    pub fn over(transports: &[Transport]) -> Self {
        Self { transports: transports.to_vec(), ipv4: true, ipv6: true }
    }

    fn family(&self, address: IpAddr) -> bool {
        if address.is_ipv4() { self.ipv4 } else { self.ipv6 }
    }
}

/// A kind of record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RecordKind {
    /// RFC 3403.
    Naptr,
    /// RFC 2782.
    Srv,
    /// An address of version 4.
    A,
    /// An address of version 6.
    Aaaa,
}

impl RecordKind {
    /// As it is written in a zone.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Naptr => "NAPTR",
            Self::Srv => "SRV",
            Self::A => "A",
            Self::Aaaa => "AAAA",
        }
    }
}

/// A lookup that is wanted.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Question {
    /// The name in lower case, without the root's dot.
    pub name: String,
    /// The kind of record.
    pub kind: RecordKind,
}

impl fmt::Display for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.name, self.kind.as_str())
    }
}

/// A NAPTR record (RFC 3403 section 4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Naptr {
    /// Lowest first.
    pub order: u16,
    /// Lowest first among equals of `order`.
    pub preference: u16,
    /// `s` for SIP.
    pub flags: String,
    /// Such as `SIPS+D2T`.
    pub service: String,
    /// Empty for SIP.
    pub regexp: String,
    /// The name that has SRV records.
    pub replacement: String,
}

/// An SRV record (RFC 2782).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Srv {
    /// Lowest first.
    pub priority: u16,
    /// The share among equals of `priority`.
    pub weight: u16,
    /// The port.
    pub port: u16,
    /// The host; `.` when the service is not offered.
    pub target: String,
}

/// What a lookup found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// NAPTR records.
    pub naptr: Vec<Naptr>,
    /// SRV records.
    pub srv: Vec<Srv>,
    /// Addresses of the name itself.
    pub addresses: Vec<IpAddr>,
    /// Addresses of other names that came along (the additional section).
    pub additional: Vec<(String, IpAddr)>,
}

/// Why a lookup found nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Miss {
    /// NXDOMAIN.
    #[error("no such name")]
    NameNotFound,
    /// The name has no record of this kind.
    #[error("no such record")]
    NoRecords,
    /// No answer that says either; in the resolver's words.
    #[error("{0}")]
    Failed(String),
}

/// One lookup and what came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lookup {
    /// What was asked.
    pub question: Question,
    /// Records found, or why none; nothing while the answer is awaited.
    pub outcome: Option<Result<usize, Miss>>,
}

/// What the driver tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// Start.
    Begin,
    /// A lookup ended.
    Answered {
        /// Which.
        question: Question,
        /// How.
        outcome: Result<Answer, Miss>,
    },
    /// No more waiting: what is known by now is used.
    TimeUp,
}

/// What the driver must do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Look this up; answer with [`Input::Answered`].
    Ask(Question),
    /// The end: the targets in the order in which they are to be tried; never empty.
    Located(Vec<Target>),
    /// The end: there is no target.
    Failed(LocateError),
}

/// One place to try.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// How.
    pub transport: Transport,
    /// Where.
    pub address: SocketAddr,
    /// The domain or address that was asked for: what a certificate must be for, and what SNI says.
    pub name: String,
    /// Why here.
    pub origin: Origin,
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.transport.as_str().to_ascii_lowercase(), self.address)
    }
}

/// Where a target came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// An address was given.
    Given,
    /// The addresses of the name itself.
    Host,
    /// An SRV record.
    Srv {
        /// The name that has it, such as `_sip._tcp.example.com`.
        service: String,
        /// Its target.
        host: String,
        /// Its priority.
        priority: u16,
        /// Its weight.
        weight: u16,
    },
}

/// Why there is no target.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LocateError {
    /// The URI names no host.
    #[error("the URI names no host that SIP could reach")]
    NoHost,
    /// The URI wants a transport that this end does not have, or none that this end has.
    #[error("no transport for `{transport}` here")]
    Unsupported {
        /// What was wanted.
        transport: String,
    },
    /// Every service of the domain says so with the target `.` (RFC 2782).
    #[error("`{name}` says that it offers no SIP")]
    NotOffered {
        /// The domain.
        name: String,
    },
    /// The name does not exist.
    #[error("`{name}` does not exist")]
    NameNotFound {
        /// The domain.
        name: String,
    },
    /// Nothing that was looked up has an address.
    #[error("`{name}` has no address")]
    NoAddress {
        /// The domain.
        name: String,
    },
    /// No nameserver said yes or no.
    #[error("`{name}` cannot be looked up: {why}")]
    LookupFailed {
        /// The domain.
        name: String,
        /// The last failure, in the resolver's words.
        why: String,
    },
}

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
