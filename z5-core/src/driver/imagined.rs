//! The driver's wires in simulated time: the network answers at once, and what it said arrives when its time is over.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use z5_sip::locate::{Naptr, Srv, Target};
use z5_sip::ua::{FlowEnd, FlowId, Transport};

use super::{Fact, Facts, race, sip};
use crate::clock::{self, WallAnchor};
use crate::error::{Attempt, AttemptOutcome, millis};
use crate::machine::io::{
    Asker, DnsTransport, HeaderText, HttpsFailure, HttpsReply, HttpsRequest, Look, LookupAnswer,
    LookupFailure, LookupId, Record, RequestId, Route,
};
use crate::machine::transport_name;
use crate::simulation::{
    self, ConnectAnswer, Heard, HttpsAnswer, NameAnswer, NameRecord, Question, RecordKind, Simulation,
    SipTransport,
};

/// As long as an address may be silent when there is another one.
const SILENCE: Duration = Duration::from_secs(4);
/// What a datagram carries at most: 65 535 octets with both headers (RFC 768, RFC 791).
const MAX_PAYLOAD: usize = 65_507;

/// One session's part of the simulation.
pub(super) struct Imagined {
    simulation: Simulation,
    facts: Facts,
    flows: BTreeMap<FlowId, Flow>,
    /// What is under way, in the order it arrives.
    owed: BTreeMap<(Instant, u64), Fact>,
    count: u64,
}

/// A connection.
#[derive(Debug, Clone, Copy)]
struct Flow {
    /// Its number in the network.
    connection: u64,
    /// Each message is a datagram of its own.
    datagrams: bool,
}

impl Imagined {
    pub(super) fn new(simulation: Simulation, facts: Facts) -> Self {
        Self { simulation, facts, flows: BTreeMap::new(), owed: BTreeMap::new(), count: 0 }
    }

    fn owe(&mut self, after: Duration, fact: Fact) {
        self.count += 1;
        self.owed.insert((clock::now() + after, self.count), fact);
    }

    pub(super) async fn arrived(&mut self) -> Fact {
        loop {
            match self.owed.first_key_value() {
                Some((&(at, _), _)) => clock::sleep_until(at).await,
                None => std::future::pending().await,
            }
            // Nothing is taken out before its time, so that giving up this wait loses nothing.
            if let Some((_, fact)) = self.owed.pop_first() {
                return fact;
            }
        }
    }

    pub(super) fn lookup(
        &mut self,
        id: LookupId,
        name: String,
        record: Record,
        (server, transport): (SocketAddr, DnsTransport),
        patience: Duration,
    ) {
        let kind = match record {
            Record::A => RecordKind::A,
            Record::Aaaa => RecordKind::Aaaa,
            Record::Srv => RecordKind::Srv,
            Record::Naptr => RecordKind::Naptr,
            Record::Txt => RecordKind::Txt,
        };
        let question = Question { server, name, kind, udp: transport == DnsTransport::Udp };
        let mut after = self.simulation.round_trip;
        let outcome = match self.simulation.network.name(&question) {
            NameAnswer::Records(records, ttl_s) => {
                let answer = answer(records, ttl_s);
                if answer.count(record) == 0 { Err(LookupFailure::NoRecords) } else { Ok(answer) }
            }
            NameAnswer::NotFound => Err(LookupFailure::NameNotFound),
            NameAnswer::Failed => Err(LookupFailure::ServerFailed("SERVFAIL".into())),
            NameAnswer::Refused => Err(LookupFailure::Refused),
            NameAnswer::Truncated => Err(LookupFailure::Truncated),
            NameAnswer::Silent => {
                after = patience;
                Err(LookupFailure::TimedOut)
            }
            NameAnswer::Closed => Err(LookupFailure::Unreachable("connection refused".into())),
        };
        self.owe(after, Fact::Looked { id, outcome });
    }

    pub(super) fn end_lookups(&mut self, of: Asker) {
        self.owed.retain(|_, fact| !matches!(fact, Fact::Looked { id, .. } if id.of == of));
    }

    /// The addresses in turn, while one after the other cannot serve, as over sockets.
    pub(super) fn https(&mut self, id: RequestId, request: &HttpsRequest) {
        let (mut after, mut attempts, mut said) = (self.simulation.round_trip, Vec::new(), None);
        for (index, address) in request.addresses.iter().enumerate() {
            let server = SocketAddr::new(*address, request.port);
            let failed = |outcome| Attempt { address: server, transport: None, outcome };
            let headers = request.headers.iter().map(|(name, value)| {
                let value = match value {
                    HeaderText::Plain(text) => text.clone(),
                    HeaderText::Secret(secret) => secret.expose().to_owned(),
                };
                ((*name).to_owned(), value)
            });
            let wired = simulation::HttpsRequest {
                server,
                method: request.method,
                target: request.target.clone(),
                headers: headers.collect(),
                body: request.body.clone(),
            };
            let outcome = match self.simulation.network.https(&wired) {
                HttpsAnswer::Reply { status, headers, body } => Ok(reply(status, &headers, body)),
                HttpsAnswer::Refused => {
                    attempts.push(failed(AttemptOutcome::Refused));
                    continue;
                }
                // Before anything was asked: nobody was reached.
                HttpsAnswer::Reset => {
                    attempts.push(failed(AttemptOutcome::Reset));
                    continue;
                }
                HttpsAnswer::Silent if index + 1 < request.addresses.len() => {
                    attempts.push(failed(AttemptOutcome::TimedOut { after_ms: millis(SILENCE) }));
                    after += SILENCE;
                    continue;
                }
                // The machine has a deadline of its own.
                HttpsAnswer::Silent => return,
                HttpsAnswer::Broken => Err(HttpsFailure::Broken("reset".into())),
                HttpsAnswer::Tls(why) => Err(HttpsFailure::Tls(why)),
            };
            if matches!(&outcome, Ok(reply) if reply.status < 500) {
                said = Some(outcome);
                break;
            }
            said.get_or_insert(outcome);
        }
        let outcome = said.unwrap_or(Err(HttpsFailure::Unreachable(attempts)));
        self.owe(after, Fact::Https { id, outcome });
    }

    pub(super) fn end_https(&mut self) {
        self.owed.retain(|_, fact| !matches!(fact, Fact::Https { .. }));
    }

    /// The targets in turn; the next one is tried while one is silent, as over sockets.
    pub(super) fn connect(&mut self, flow: FlowId, targets: Vec<Target>) {
        let (mut tried, mut silent, mut began) = (Vec::new(), Vec::new(), Duration::ZERO);
        for target in targets {
            let (remote, transport) = (target.address, target.transport);
            let failed =
                |outcome| Attempt { address: remote, transport: Some(transport_name(transport)), outcome };
            let carrier = match transport {
                Transport::Tcp => SipTransport::Tcp,
                Transport::Tls => SipTransport::Tls,
                Transport::Udp => SipTransport::Udp,
                Transport::Sctp | Transport::Ws | Transport::Wss => {
                    let why = "z5 does not have this transport".to_owned();
                    tried.push(failed(AttemptOutcome::Failed { why }));
                    continue;
                }
            };
            let facts = self.facts.clone();
            let hear = Box::new(move |heard| drop(facts.send(Fact::Heard { flow, heard })));
            match self.simulation.network.connect(remote, carrier, hear) {
                ConnectAnswer::Stands { connection, local } => {
                    let datagrams = carrier == SipTransport::Udp;
                    self.flows.insert(flow, Flow { connection, datagrams });
                    let link = sip::Link::Simulated(sip::Ends { transport, local, remote });
                    // A socket for datagrams asks nobody.
                    let after = if datagrams { Duration::ZERO } else { self.simulation.round_trip };
                    return self.owe(began + after, Fact::Connected { flow, link, remote, tried });
                }
                ConnectAnswer::Refused => tried.push(failed(AttemptOutcome::Refused)),
                ConnectAnswer::Tls(why) => tried.push(failed(AttemptOutcome::Tls { why })),
                ConnectAnswer::Silent => {
                    silent.push(failed(AttemptOutcome::TimedOut { after_ms: millis(race::PATIENCE) }));
                    began += race::PACE;
                }
            }
        }
        let after = match silent.is_empty() {
            true => self.simulation.round_trip,
            // The last one that is silent is given up last.
            false => began.saturating_sub(race::PACE) + race::PATIENCE,
        };
        tried.extend(silent);
        self.owe(after, Fact::ConnectFailed { flow, attempts: tried });
    }

    pub(super) fn write(&mut self, flow: FlowId, messages: &[bytes::Bytes]) {
        match self.flows.get(&flow) {
            Some(Flow { connection, datagrams: true }) => {
                // A larger one is lost here, as in a system that does not take it: the transaction notices.
                let fit = messages.iter().filter(|message| message.len() <= MAX_PAYLOAD);
                fit.for_each(|message| self.simulation.network.send(*connection, message));
            }
            Some(Flow { connection, datagrams: false }) => {
                self.simulation.network.send(*connection, &messages.concat());
            }
            None => {}
        }
    }

    pub(super) fn close(&mut self, flow: FlowId) {
        if let Some(Flow { connection, .. }) = self.flows.remove(&flow) {
            self.simulation.network.close(connection);
            self.owed.retain(|_, fact| !fact.is_of(flow));
        }
    }

    pub(super) fn closed(&mut self, flow: FlowId) {
        // What the network keeps of it is free again.
        if let Some(Flow { connection, .. }) = self.flows.remove(&flow) {
            self.simulation.network.close(connection);
        }
    }

    pub(super) fn heard(&mut self, flow: FlowId, heard: Heard) {
        if !self.flows.contains_key(&flow) {
            return;
        }
        let fact = match heard {
            Heard::Bytes(bytes) => Fact::Received { flow, bytes, room: None },
            Heard::Closed => Fact::Closed { flow, why: FlowEnd::Closed },
            Heard::Refused => Fact::Closed { flow, why: FlowEnd::Refused },
        };
        self.owe(self.simulation.round_trip, fact);
    }

    pub(super) fn look(&self) -> Look {
        let now = clock::now();
        let wall = WallAnchor { at: now, unix_s: self.simulation.wall.unix_s(now) };
        Look { wall, route: Route::Unknown }
    }
}

impl Fact {
    /// It is about this connection.
    fn is_of(&self, connection: FlowId) -> bool {
        match self {
            Self::Connected { flow, .. } | Self::Received { flow, .. } | Self::Closed { flow, .. } => {
                *flow == connection
            }
            Self::Looked { .. }
            | Self::Https { .. }
            | Self::ConnectFailed { .. }
            | Self::Heard { .. }
            | Self::Stream { .. }
            | Self::Recalled(_)
            | Self::NotKept(_) => false,
        }
    }
}

fn answer(records: Vec<NameRecord>, ttl_s: u32) -> LookupAnswer {
    let mut answer = LookupAnswer { ttl_s, ..LookupAnswer::default() };
    for record in records {
        match record {
            NameRecord::Address(address) => answer.addresses.push(address),
            NameRecord::Srv { priority, weight, port, target } => {
                answer.srv.push(Srv { priority, weight, port, target });
            }
            NameRecord::Naptr { order, preference, flags, service, replacement } => {
                let regexp = String::new();
                answer.naptr.push(Naptr { order, preference, flags, service, regexp, replacement });
            }
            NameRecord::Txt(strings) => answer.txt.extend(strings),
        }
    }
    answer
}

fn reply(status: u16, headers: &[(String, String)], body: bytes::Bytes) -> HttpsReply {
    let texts = |name: &str| {
        let all = headers.iter().filter(|(known, _)| known == name);
        all.map(|(_, value)| value.clone()).collect::<Vec<_>>()
    };
    HttpsReply {
        status,
        challenges: texts("www-authenticate"),
        retry_after_s: texts("retry-after").first().and_then(|text| text.parse().ok()),
        etag: texts("etag").into_iter().next(),
        location: texts("location").into_iter().next(),
        body,
    }
}
