//! The machine against the mock carrier, both in simulated time: what crosses between them is what would cross the wire. Nothing of
//! the carrier is imitated here; only drivers are, each answer taking the link's round trip.

use std::collections::BTreeMap;
use std::net::IpAddr;

use z5_mock::sim::{Answered, HttpsOutcome, NameRecord, Opened, RecordKind, Said, Sim};
use z5_mock::{Builder, CertificateFault};
use z5_sip::locate::{Naptr, Srv};
use z5_sip::ua::Transport;

use super::*;
use crate::error::{Attempt, AttemptOutcome, TlsFailure};
use crate::machine::io::{DnsTransport, HeaderText, HttpsFailure, LookupFailure};

mod abandoned;
mod contacts;
mod day;
mod discovery;
mod leaving;
mod moving;
mod nuisances;
mod policy;
mod seeds;

/// From us to the carrier and back.
const ROUND_TRIP: Duration = Duration::from_millis(40);
/// As long as the driver of HTTPS lets one address be silent when there is another.
const SILENCE: Duration = Duration::from_secs(4);

/// What the drivers owe the machine.
enum Fact {
    Looked(LookupId, Result<LookupAnswer, LookupFailure>),
    Https(u64, RequestId, Result<HttpsReply, HttpsFailure>),
    Connected(FlowId, Transport, std::net::SocketAddr, Vec<Attempt>),
    ConnectFailed(FlowId, Vec<Attempt>),
    Received(FlowId, Bytes),
    Closed(FlowId),
}

/// A machine, a carrier, and the network between them.
struct Net {
    machine: Machine,
    sim: Sim,
    now: Instant,
    events: Vec<EventKind>,
    /// In the order of their time.
    facts: BTreeMap<(Instant, u64), Fact>,
    owed: u64,
    /// HTTPS requests of an older network are forgotten.
    https_age: u64,
    flows: BTreeMap<FlowId, u64>,
    /// Our own address.
    home: IpAddr,
    client_port: u16,
    /// How many questions, requests and connections were made.
    asked: usize,
    registers: usize,
    /// The ports that media were prepared on.
    prepared: Vec<crate::config::PortRange>,
    /// The last streams that were started.
    plans: Vec<io::StreamPlan>,
    /// Every name that was asked for, with the kind of record.
    looked: Vec<String>,
}

impl Net {
    fn new(builder: Builder, seed: u64, change: impl FnOnce(&mut Config), retry: RetryMode) -> Self {
        let now = clock::now();
        let sim = Sim::new(builder.seed(seed).recorder_capacity(256), now, UNIX_S).unwrap();
        let text = sim.client_config("alice").unwrap().to_toml().unwrap();
        let mut config = Config::parse(&text, "z5.toml").unwrap();
        change(&mut config);
        let options = StartOptions { retry, ..StartOptions::default() };
        let plan = Plan::new(&config, &[], DEVICE.to_owned(), &options).unwrap();
        let wall = WallAnchor { at: now, unix_s: UNIX_S };
        let machine = Machine::new(plan, Ident::from_seed(seed), wall, Arc::new(AtomicU64::new(1)), now);
        Self {
            machine,
            sim,
            now,
            events: Vec::new(),
            facts: BTreeMap::new(),
            owed: 0,
            https_age: 0,
            flows: BTreeMap::new(),
            home: Ipv4Addr::LOCALHOST.into(),
            client_port: 20_000,
            asked: 0,
            registers: 0,
            prepared: Vec::new(),
            plans: Vec::new(),
            looked: Vec::new(),
        }
    }

    fn input(&mut self, input: Input<'_>) {
        let mut out = Outbox::new();
        self.machine.handle(input, self.now, &mut out);
        let wishes: Vec<Effect> = out.drain().collect();
        for wish in wishes {
            self.perform(wish);
        }
        self.hear();
    }

    fn owe(&mut self, after: Duration, fact: Fact) {
        self.owed += 1;
        self.facts.insert((self.now + after, self.owed), fact);
    }

    /// What the carrier has said is on its way.
    fn hear(&mut self) {
        for said in self.sim.said() {
            // Nobody in this world speaks SIP over UDP.
            let (Said::Bytes(id, _) | Said::Closed(id)) = &said else { continue };
            let Some(flow) = self.flows.iter().find(|(_, of)| *of == id).map(|(flow, _)| *flow) else {
                continue;
            };
            match said {
                Said::Bytes(_, bytes) => self.owe(ROUND_TRIP, Fact::Received(flow, bytes)),
                Said::Closed(_) | Said::Datagram(_) => self.owe(ROUND_TRIP, Fact::Closed(flow)),
            }
        }
    }

    fn perform(&mut self, wish: Effect) {
        match wish {
            Effect::Emit(kind) => self.events.push(kind),
            Effect::Lookup { id, name, record, server, transport, patience } => {
                self.look(id, &name, record, (server.ip(), transport), patience);
            }
            Effect::Https { id, request } => self.https(id, &request),
            Effect::EndHttps => self.https_age += 1,
            Effect::Connect { flow, targets } => self.connect(flow, targets),
            Effect::Write { flow, bytes } => {
                self.registers += usize::from(bytes.starts_with(b"REGISTER"));
                if let Some(id) = self.flows.get(&flow) {
                    self.sim.received(*id, &bytes, self.now);
                }
            }
            Effect::Close { flow } => {
                if let Some(id) = self.flows.remove(&flow) {
                    self.sim.closed(id, self.now);
                }
            }
            Effect::PrepareMedia { call, kinds, ports, .. } => {
                self.prepared.push(ports);
                let ready =
                    kinds.into_iter().zip((40_000..).step_by(4)).map(|(kind, port)| io::ReadyMedium {
                        fragments: false,
                        kind,
                        ports: io::PortPair {
                            rtp: ([127, 0, 0, 1], port).into(),
                            rtcp: ([127, 0, 0, 1], port + 1).into(),
                        },
                        keys: io::KeyPool(zeroize::Zeroizing::new([7; io::KeyPool::LEN])),
                    });
                let outcome = Ok(ready.collect());
                self.input(Input::MediaReady { call, outcome });
            }
            Effect::StartMedia { call, streams } => {
                self.plans = streams;
                self.input(Input::MediaStarted { call, outcome: Ok(()) });
            }
            Effect::MoveMedia { call, bind, streams, .. } => {
                let pair =
                    |port: u16| io::PortPair { rtp: (bind, port).into(), rtcp: (bind, port + 1).into() };
                let moved =
                    streams.iter().zip((41_000..).step_by(4)).map(|((kind, _), port)| (*kind, pair(port)));
                let outcome = Ok(moved.collect());
                self.input(Input::MediaMoved { call, outcome });
            }
            Effect::StopMedia { call } => self.input(Input::MediaStopped { call, figures: Box::default() }),
            // Nothing that these worlds ask about.
            Effect::EndLookups(_)
            | Effect::DirectMedia { .. }
            | Effect::Privacy { .. }
            | Effect::SwitchSource { .. }
            | Effect::SendKeyFrame { .. }
            | Effect::ForgetWish { .. }
            | Effect::SendText { .. }
            | Effect::SendDigits { .. }
            | Effect::Recall
            | Effect::Keep(_) => {}
        }
    }

    fn look(
        &mut self,
        id: LookupId,
        name: &str,
        record: Record,
        (server, transport): (IpAddr, DnsTransport),
        patience: Duration,
    ) {
        self.asked += 1;
        self.looked.push(format!("{name} {}", record.name()));
        let kind = match record {
            Record::A => RecordKind::A,
            Record::Aaaa => RecordKind::Aaaa,
            Record::Srv => RecordKind::Srv,
            Record::Naptr => RecordKind::Naptr,
            Record::Txt => RecordKind::Txt,
        };
        let answered = self.sim.name(server, name, kind, transport == DnsTransport::Udp, self.now);
        let outcome = match answered {
            Answered::Records(records, ttl_s) => {
                let mut answer = LookupAnswer { ttl_s, ..LookupAnswer::default() };
                for record in records {
                    match record {
                        NameRecord::Address(address) => answer.addresses.push(address),
                        NameRecord::Srv { priority, weight, port, target } => {
                            answer.srv.push(Srv { priority, weight, port, target });
                        }
                        NameRecord::Naptr { order, preference, flags, service, replacement } => {
                            let regexp = String::new();
                            answer.naptr.push(Naptr {
                                order,
                                preference,
                                flags,
                                service,
                                regexp,
                                replacement,
                            });
                        }
                        NameRecord::Txt(strings) => answer.txt.extend(strings),
                    }
                }
                if answer.count(record) == 0 { Err(LookupFailure::NoRecords) } else { Ok(answer) }
            }
            Answered::NotFound => Err(LookupFailure::NameNotFound),
            Answered::Failed => Err(LookupFailure::ServerFailed("SERVFAIL".into())),
            Answered::Refuses => Err(LookupFailure::Refused),
            Answered::Truncated => Err(LookupFailure::Truncated),
            Answered::Silent => return self.owe(patience, Fact::Looked(id, Err(LookupFailure::TimedOut))),
            Answered::Closed => Err(LookupFailure::Unreachable("connection refused".into())),
        };
        self.owe(ROUND_TRIP, Fact::Looked(id, outcome));
    }

    /// As the driver: the addresses in turn, while one after the other cannot serve.
    fn https(&mut self, id: RequestId, request: &HttpsRequest) {
        let (mut after, mut attempts, mut said) = (ROUND_TRIP, Vec::new(), None);
        for (index, address) in request.addresses.iter().enumerate() {
            self.asked += 1;
            let server = std::net::SocketAddr::new(*address, request.port);
            let failed = |outcome| Attempt { address: server, transport: None, outcome };
            let headers = request.headers.iter().map(|(name, value)| {
                let value = match value {
                    HeaderText::Plain(text) => text.clone(),
                    HeaderText::Secret(secret) => secret.expose().to_owned(),
                };
                ((*name).to_owned(), value)
            });
            let wired = z5_mock::sim::HttpsRequest {
                server,
                method: request.method.to_owned(),
                target: request.target.clone(),
                headers: headers.collect(),
                body: request.body.clone(),
            };
            let outcome = match self.sim.https(wired, self.now) {
                HttpsOutcome::Reply { status, headers, body } => {
                    let texts = |name: &str| {
                        let all = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
                        all.map(str::to_owned).collect::<Vec<_>>()
                    };
                    let retry_after_s = texts("retry-after").first().and_then(|text| text.parse().ok());
                    let reply = HttpsReply {
                        status,
                        challenges: texts("www-authenticate"),
                        retry_after_s,
                        etag: texts("etag").into_iter().next(),
                        location: texts("location").into_iter().next(),
                        body,
                    };
                    Ok(reply)
                }
                HttpsOutcome::Refused => {
                    attempts.push(failed(AttemptOutcome::Refused));
                    continue;
                }
                HttpsOutcome::Reset => {
                    attempts.push(failed(AttemptOutcome::Reset));
                    continue;
                }
                HttpsOutcome::Silent if index + 1 < request.addresses.len() => {
                    attempts.push(failed(AttemptOutcome::TimedOut { after_ms: 4000 }));
                    after += SILENCE;
                    continue;
                }
                HttpsOutcome::Silent => return,
                HttpsOutcome::Broken => Err(HttpsFailure::Broken("reset".into())),
                HttpsOutcome::NoTls => Err(HttpsFailure::Tls(TlsFailure::Protocol)),
                HttpsOutcome::Certificate(fault) => Err(HttpsFailure::Tls(judged(fault))),
            };
            let served = matches!(&outcome, Ok(reply) if reply.status < 500);
            if served {
                return self.owe(after, Fact::Https(self.https_age, id, outcome));
            }
            said.get_or_insert(outcome);
        }
        let outcome = said.unwrap_or(Err(HttpsFailure::Unreachable(attempts)));
        self.owe(after, Fact::Https(self.https_age, id, outcome));
    }

    fn connect(&mut self, flow: FlowId, targets: Vec<z5_sip::locate::Target>) {
        let (mut attempts, mut after) = (Vec::new(), ROUND_TRIP);
        for target in targets {
            self.asked += 1;
            let failed = |outcome| Attempt {
                address: target.address,
                transport: Some(if target.transport.is_secure() { "tls" } else { "tcp" }),
                outcome,
            };
            self.client_port = if self.client_port > 60_000 { 20_000 } else { self.client_port + 1 };
            let client = (self.home, self.client_port).into();
            match self.sim.connect(target.address, target.transport.is_secure(), client, self.now) {
                Opened::Stands(id) => {
                    self.flows.insert(flow, id);
                    return self
                        .owe(ROUND_TRIP, Fact::Connected(flow, target.transport, target.address, attempts));
                }
                Opened::Refused => attempts.push(failed(AttemptOutcome::Refused)),
                Opened::Certificate(fault) => {
                    attempts.push(failed(AttemptOutcome::Tls { why: judged(fault) }))
                }
                Opened::NoTls => attempts.push(failed(AttemptOutcome::Tls { why: TlsFailure::Protocol })),
                Opened::Silent => {
                    attempts.push(failed(AttemptOutcome::TimedOut { after_ms: 10_000 }));
                    after = Duration::from_secs(10);
                }
            }
        }
        self.owe(after, Fact::ConnectFailed(flow, attempts));
    }

    fn deliver(&mut self, fact: Fact) {
        match fact {
            Fact::Looked(id, outcome) => self.input(Input::Looked { id, outcome }),
            Fact::Https(age, id, outcome) if age == self.https_age => {
                self.input(Input::Https { id, outcome })
            }
            Fact::Https(..) => {}
            Fact::Connected(flow, transport, remote, tried) => {
                // Closed by us in the meantime.
                if self.flows.contains_key(&flow) {
                    let local = (self.home, self.client_port).into();
                    self.input(Input::Connected { flow, transport, local, remote, tried });
                }
            }
            Fact::ConnectFailed(flow, attempts) => self.input(Input::ConnectFailed { flow, attempts }),
            Fact::Received(flow, bytes) if self.flows.contains_key(&flow) => {
                self.input(Input::Received { flow, bytes: &bytes });
            }
            Fact::Closed(flow) if self.flows.remove(&flow).is_some() => {
                self.input(Input::Closed { flow, why: FlowEnd::Closed });
            }
            Fact::Received(..) | Fact::Closed(_) => {}
        }
    }

    /// Lets time pass; what is due first happens first. Gives how many things happened.
    fn live(&mut self, time: Duration) -> usize {
        let until = self.now + time;
        let mut happened = 0;
        loop {
            let fact = self.facts.keys().next().copied();
            let (machine, carrier) =
                (self.machine.next_deadline().map(|deadline| deadline.at), self.sim.next_deadline());
            let next = [fact.map(|(at, _)| at), machine, carrier].into_iter().flatten().min();
            let Some(next) = next.filter(|next| *next <= until) else { break };
            self.now = self.now.max(next);
            happened += 1;
            assert!(
                happened < 400_000,
                "the same moment again and again: {:?}",
                self.machine.next_deadline()
            );
            if let Some(key) = fact.filter(|(at, _)| *at <= self.now) {
                if let Some(fact) = self.facts.remove(&key) {
                    self.deliver(fact);
                }
            } else if carrier.is_some_and(|at| at <= self.now) {
                self.sim.on_deadline(self.now);
                self.hear();
            } else {
                self.input(Input::Deadline);
            }
        }
        self.now = until;
        happened
    }

    fn command(&mut self, command: Command) {
        self.input(Input::Command(command));
    }

    fn call(&mut self, call: u64, target: &str) {
        let (call, target, wanted) = (CallId(call), target.to_owned(), SOUND);
        self.command(Command::Call { call, target, wanted, anonymous: false, location: None });
    }

    fn state(&self) -> SessionState {
        self.machine.view().state
    }

    /// The error that ended the session.
    fn end(&self) -> Option<SessionError> {
        self.events
            .iter()
            .rev()
            .find_map(|event| if let EventKind::Stopped { error, .. } = event { error.clone() } else { None })
    }
}

fn judged(fault: CertificateFault) -> TlsFailure {
    match fault {
        CertificateFault::UnknownCa => TlsFailure::UnknownIssuer,
        CertificateFault::Expired => TlsFailure::Expired,
        CertificateFault::WrongName => TlsFailure::WrongName,
        CertificateFault::NotYetValid => TlsFailure::NotYetValid,
        CertificateFault::WrongPurpose => TlsFailure::BadCertificate,
    }
}

/// The five steps, a call that is answered and hung up by the far end, and the way out, over the same bytes as on a wire.
#[test]
fn five_steps_and_a_call_against_the_carrier_itself() {
    // One codec, so that the offer is the same with and without Opus in the build.
    let plain =
        |config: &mut Config| config.media.audio_codecs = vec![crate::config::audio_codec("PCMU").unwrap()];
    let mut net = Net::new(z5_mock::Carrier::builder(), 1, plain, RetryMode::Once);
    net.input(Input::Start);
    net.live(Duration::from_secs(2));
    assert_eq!(net.state(), SessionState::Ready, "{:?}", net.events);
    net.call(50, "hangup");
    net.live(Duration::from_secs(3));
    let ended = net
        .events
        .iter()
        .any(|event| matches!(event, EventKind::CallEnded { by: crate::call::Side::Remote, .. }));
    assert!(ended, "{:?}", net.events);
    net.command(Command::Stop);
    net.live(Duration::from_secs(2));
    // Everything that crossed the wire, from the first question to the last answer, without secrets and numbers.
    insta::assert_snapshot!("the_whole_wire", net.sim.recorder().to_stable_text());
    assert!(net.events.contains(&EventKind::Unregistered { confirmed: true }), "{:?}", net.events);
    let sizes = net.sim.sizes();
    assert_eq!(
        (sizes.bindings, sizes.calls, sizes.far_end_calls, sizes.connections),
        (0, 0, 0, 0),
        "{sizes:?}"
    );
}
