//! The whole machine with fake time: the steps' order, the early connection, every deadline, leaving.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use z5_sip::ua::{FlowEnd, FlowId};
use z5_sip::wire::{Message, Name, ResponseBuilder};

use super::io::{HttpsReply, HttpsRequest, LookupAnswer, LookupId, Record, RequestId};
use super::*;
use crate::account::licence::tests as licence;
use crate::clock;
use crate::config::{Config, RetryMode};
use crate::session::StartOptions;
use crate::store::{Recalled, Store};

mod book;
mod carrier;
mod discovery;
mod echo;
mod emergency;
mod farewell;
mod flows;
mod kept;
mod memory;
mod mid_call;
mod moving;
mod outage;
mod restart;
mod retry;
mod ringing;
mod round_trips;
mod secrets;
mod servers;
mod standing;
mod video;
mod wake;
mod worlds;

const DEVICE: &str = "00000000-0000-4000-8000-000000000001";
const UNIX_S: u64 = 1_800_000_000;

const CONFIG: &str = r#"
[dns]
servers = ["127.0.0.1:15353"]
[names]
zdial = "zdial.test"
mcs_lb = "lb.test"
mcs = "mcs.test"
mcs_node1 = "mcs1.test"
mcs_node2 = "mcs2.test"
[zdial]
username = "alice"
password = "wonderland"
[licence]
issuer = "mcs"
audience = "z5"
keys = [{ kid = "k1", x = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo" }]
[device]
instance_id = "00000000-0000-4000-8000-000000000001"
[timeouts]
dns = 1000
sign_in = 2000
provision = 3000
register = 4000
"#;

/// Sound, and the rest as configured.
const SOUND: io::Wanted = io::Wanted { audio: true, text: None, video: None, record: false, echo: false };

/// A machine, its time, and what it wished that nobody has done yet.
struct World {
    machine: Machine,
    now: Instant,
    wishes: VecDeque<Effect>,
    events: Vec<EventKind>,
    /// Names of what was done, for the order.
    trail: Vec<String>,
    /// What the servers do not answer any more.
    silent: &'static str,
    /// Names with this end are not answered for.
    lost: &'static str,
    /// Servers of the address book: port and name, the first one first.
    services: Vec<(u16, String)>,
    /// What the domain of the address book says of it.
    hint: Option<&'static str>,
    /// Requests that stay without an answer.
    unanswered: Vec<RequestId>,
    /// Where every name is.
    address: &'static str,
    /// Our own address.
    home: IpAddr,
    /// What the server at this port says to whoever connects.
    greeting: (u16, &'static [u8]),
    /// The last attempt to connect.
    connecting: Option<(FlowId, Vec<z5_sip::locate::Target>)>,
    /// What the registrar answers, with headers of its own.
    registrar: (u16, Vec<(Name<'static>, &'static str)>),
    /// What ZDial names as its proxies.
    proxies: &'static str,
    /// What the licence includes, when not everything.
    features: Option<&'static [&'static str]>,
    /// The Contact of the last REGISTER.
    contact: String,
    /// The last change of running streams.
    changes: Vec<io::MediaChange>,
    prepared: Vec<crate::events::MediaKind>,
    /// What is made ready as video fits no packet whole.
    fragments: bool,
    started: Vec<crate::events::MediaKind>,
    /// The last streams that were started.
    plans: Vec<io::StreamPlan>,
    /// What was wished of a call's video.
    pictured: Vec<Effect>,
    /// Connections that were closed here: nothing may be written to them.
    closed: Vec<FlowId>,
    /// Every SIP message of ours.
    sent: Vec<String>,
    /// What a test answers in place of the servers.
    hook: Option<Hook>,
    /// How many HTTPS requests were given up.
    https_ended: usize,
    /// The registrar asks who registers.
    challenging: bool,
    /// Answers the machine at once; none never answers.
    store: Option<Arc<dyn Store>>,
}

type Hook = Box<dyn FnMut(&HttpsRequest) -> Option<Result<HttpsReply, io::HttpsFailure>>>;

impl World {
    fn new() -> Self {
        Self::with(CONFIG, false)
    }

    fn with(text: &str, interactive_number: bool) -> Self {
        Self::of(text, StartOptions { interactive_number, retry: RetryMode::Once, ..StartOptions::default() })
    }

    fn of(text: &str, options: StartOptions) -> Self {
        let config = Config::parse(text, "z5.toml").unwrap();
        let plan = Plan::new(&config, &[], String::new(), &options).unwrap();
        let now = clock::now();
        let wall = WallAnchor { at: now, unix_s: UNIX_S };
        let machine = Machine::new(plan, Ident::from_seed(1), wall, Arc::new(AtomicU64::new(1)), now);
        Self {
            machine,
            now,
            wishes: VecDeque::new(),
            events: Vec::new(),
            trail: Vec::new(),
            silent: "",
            lost: "",
            services: Vec::new(),
            hint: None,
            unanswered: Vec::new(),
            address: "127.0.0.1",
            home: Ipv4Addr::LOCALHOST.into(),
            greeting: (0, b""),
            connecting: None,
            registrar: (200, Vec::new()),
            proxies: "sip:lb.test:5060;transport=tcp",
            features: None,
            contact: String::new(),
            changes: Vec::new(),
            prepared: Vec::new(),
            fragments: false,
            started: Vec::new(),
            plans: Vec::new(),
            pictured: Vec::new(),
            closed: Vec::new(),
            sent: Vec::new(),
            hook: None,
            https_ended: 0,
            challenging: false,
            store: options.store,
        }
    }

    fn input(&mut self, input: Input<'_>) {
        let mut out = Outbox::new();
        self.machine.handle(input, self.now, &mut out);
        self.wishes.extend(out.drain());
    }

    /// Does everything that is wished, each taking 1 ms.
    fn settle(&mut self) {
        while let Some(wish) = self.wishes.pop_front() {
            self.now += Duration::from_millis(1);
            self.perform(wish);
        }
    }

    fn perform(&mut self, wish: Effect) {
        match wish {
            Effect::Emit(kind) => self.events.push(kind),
            Effect::Lookup { id, name, record, .. } => self.look(id, &name, record),
            Effect::Https { id, request } => self.serve(id, &request),
            Effect::Connect { flow, targets } => {
                self.trail.push("connect".into());
                self.connecting = Some((flow, targets.clone()));
                if self.silent == "refuse" {
                    let attempts = vec![crate::error::Attempt {
                        address: targets[0].address,
                        transport: Some("tcp"),
                        outcome: crate::error::AttemptOutcome::Refused,
                    }];
                    self.input(Input::ConnectFailed { flow, attempts });
                } else if self.silent != "connect" {
                    // The first is at 40000.
                    let port = 39_999 + u16::try_from(flow.0).unwrap();
                    let local = (self.home, port).into();
                    let (transport, remote) = (targets[0].transport, targets[0].address);
                    self.input(Input::Connected { flow, transport, local, remote, tried: Vec::new() });
                    if remote.port() == self.greeting.0 {
                        self.input(Input::Received { flow, bytes: self.greeting.1 });
                    }
                }
            }
            Effect::Write { flow, bytes } => {
                assert!(!self.closed.contains(&flow), "written to a closed connection");
                self.register(flow, &bytes);
            }
            Effect::Close { flow } => {
                self.closed.push(flow);
                self.trail.push("close".into());
            }
            Effect::StopMedia { call } => self.input(Input::MediaStopped { call, figures: Box::default() }),
            Effect::DirectMedia { changes, .. } => self.changes = changes,
            Effect::PrepareMedia { kinds, .. } => self.prepared = kinds,
            Effect::MoveMedia { call, bind, streams, .. } => {
                let port = |at: u16| (bind, 31_000 + at).into();
                let pair = |at: u16| io::PortPair { rtp: port(2 * at), rtcp: port(2 * at + 1) };
                let moved = (0..).zip(&streams).map(|(at, (kind, _))| (*kind, pair(at))).collect();
                let outcome = match self.silent == "ports" {
                    true => Err(crate::error::CallError::LocalPort { why: "none".to_owned() }),
                    false => Ok(moved),
                };
                self.input(Input::MediaMoved { call, outcome });
            }
            Effect::StartMedia { streams, .. } => {
                self.started = streams.iter().map(|plan| plan.kind).collect();
                self.plans = streams;
            }
            Effect::EndHttps => self.https_ended += 1,
            Effect::Privacy { .. } | Effect::SendKeyFrame { .. } => self.pictured.push(wish),
            Effect::Recall => {
                let recalled = self.store.as_ref().map(|store| Recalled::read(&**store));
                if let Some(recalled) = recalled {
                    self.input(Input::Recalled(Box::new(recalled)));
                }
            }
            Effect::Keep(record) => {
                if let Some(store) = &self.store {
                    record.write(&**store).unwrap();
                }
            }
            Effect::EndLookups(_)
            | Effect::ForgetWish { .. }
            | Effect::SwitchSource { .. }
            | Effect::SendText { .. }
            | Effect::SendDigits { .. } => {}
        }
    }

    fn look(&mut self, id: LookupId, name: &str, record: Record) {
        if self.silent == "dns" {
            return;
        }
        if !self.lost.is_empty() && name.ends_with(self.lost) {
            return self.trail.push(format!("look {name}"));
        }
        let srv = |(priority, (port, target)): (u16, &(u16, String))| z5_sip::locate::Srv {
            priority,
            weight: 0,
            port: *port,
            target: target.clone(),
        };
        let outcome = match record {
            Record::Srv if !self.services.is_empty() => Ok(LookupAnswer {
                srv: (0..).zip(&self.services).map(srv).collect(),
                ttl_s: 60,
                ..LookupAnswer::default()
            }),
            Record::Txt if self.hint.is_some() => Ok(LookupAnswer {
                txt: self.hint.into_iter().map(str::to_owned).collect(),
                ttl_s: 60,
                ..LookupAnswer::default()
            }),
            Record::A => Ok(LookupAnswer {
                addresses: vec![self.address.parse().unwrap()],
                ttl_s: 60,
                ..LookupAnswer::default()
            }),
            Record::Aaaa | Record::Srv | Record::Naptr | Record::Txt => Err(io::LookupFailure::NoRecords),
        };
        self.trail.push(format!("look {name}"));
        self.input(Input::Looked { id, outcome });
    }

    fn serve(&mut self, id: RequestId, request: &HttpsRequest) {
        let path = request.target.split('?').next().unwrap();
        self.trail.push(format!("{} {path}", request.method));
        if self.silent == request.host {
            return self.unanswered.push(id);
        }
        if let Some(outcome) = self.hook.as_mut().and_then(|hook| hook(request)) {
            return self.input(Input::Https { id, outcome });
        }
        let authorized = request.headers.iter().any(|(name, _)| *name == "authorization");
        let numbers = r#"{"numbers":[{"phone-number":"+15555550101","state":"available"}]}"#;
        let configuration = r#"{"phone-number":"+15555550101","provider-domain":"c.test","user-name":"15555550101","sip-password":"s",
            "outbound-proxies":["PROXIES"],"x-z5":{"license-uri":"https://mcs.test/mcs/v1/license",
            "address-book-uri":"https://mcs.test/carddav/a/","rtp-port-range":[30000,30099]}}"#;
        let configuration = configuration.replace("PROXIES", self.proxies);
        let mut claims = licence::claims(UNIX_S, DEVICE);
        if let Some(features) = self.features {
            claims["features"] = features.into();
        }
        let token = licence::sign(&licence::header(), &claims);
        let (status, body) = match path {
            _ if !authorized => (401, String::new()),
            "/zdial/v1/numbers" => (200, numbers.to_owned()),
            "/rum/v1/RueConfig" => (200, configuration),
            "/mcs/v1/license" => (200, format!("{{\"license\":\"{token}\"}}")),
            _ => (207, r#"<d:multistatus xmlns:d="DAV:"/>"#.to_owned()),
        };
        let challenges = vec![r#"Digest realm="z", nonce="n", qop="auth", algorithm=SHA-256"#.to_owned()];
        let reply = HttpsReply {
            status,
            challenges,
            retry_after_s: None,
            etag: None,
            location: None,
            body: Bytes::from(body),
        };
        self.input(Input::Https { id, outcome: Ok(reply) });
    }

    fn register(&mut self, flow: FlowId, bytes: &Bytes) {
        if bytes.as_ref() == b"\r\n\r\n" {
            return self.input(Input::Received { flow, bytes: b"\r\n" });
        }
        self.sent.push(String::from_utf8_lossy(bytes).into_owned());
        if bytes.starts_with(b"SIP/2.0") {
            return;
        }
        let request = Message::parse_datagram(bytes.clone()).unwrap();
        let method = request.method().map_or_else(String::new, |method| method.as_str().to_owned());
        self.trail.push(method.clone());
        if self.silent == "sip" || method != "REGISTER" {
            return;
        }
        let contact =
            request.header(Name::Contact).map(|value| String::from_utf8_lossy(value).into_owned()).unwrap();
        self.contact = contact.split(['<', '>']).nth(1).unwrap_or_default().to_owned();
        let (status, headers) = match self.challenging && request.header(Name::Authorization).is_none() {
            true => {
                let challenge = r#"Digest realm="sip", nonce="n", qop="auth", algorithm=SHA-256"#;
                (401, vec![(Name::WwwAuthenticate, challenge)])
            }
            false => self.registrar.clone(),
        };
        let mut response = ResponseBuilder::to_request(&request, status, "Words").to_tag("t");
        for (name, value) in headers {
            response = response.header(name, value);
        }
        if status == 200 && !contact.contains("expires=0") && request.header(Name::Expires) != Some(b"0") {
            response = response.header(Name::Contact, format!("{contact};expires=60"));
        }
        let response = response.build().unwrap();
        self.input(Input::Received { flow, bytes: response.as_bytes() });
    }

    fn start(mut self) -> Self {
        self.input(Input::Start);
        self.settle();
        self
    }

    /// Lets time pass until the machine says something.
    fn wait(&mut self) {
        let before = self.events.len();
        while self.events.len() == before {
            let Some(deadline) = self.machine.next_deadline() else {
                panic!("nothing to wait for: {:?}", self.events)
            };
            self.now = self.now.max(deadline.at);
            self.input(Input::Deadline);
            self.settle();
        }
    }

    fn failure(&self) -> (&'static str, Option<SessionError>) {
        let stopped = self.events.last();
        match stopped {
            Some(EventKind::Stopped { error: Some(error), .. }) => (error.code(), Some(error.clone())),
            _ => ("", None),
        }
    }

    fn names(&self) -> Vec<&'static str> {
        self.events.iter().map(EventKind::name).collect()
    }
}

#[test]
fn five_steps_in_order_with_the_sip_connection_opened_early() {
    let world = World::new().start();
    assert_eq!(world.machine.view().state, SessionState::Ready);
    insta::assert_snapshot!(world.trail.join("\n"));
    insta::assert_snapshot!("events", world.names().join("\n"));
}

#[test]
fn each_of_two_requests_side_by_side_is_challenged_once() {
    let world = World::new().start();
    let count = |what: &str| world.trail.iter().filter(|line| line.starts_with(what)).count();
    assert_eq!(count("GET /zdial/v1/numbers"), 2);
    assert_eq!(count("GET /rum/v1/RueConfig"), 2);
    // The MCS said what it wants while ZDial was asked.
    assert_eq!(count("OPTIONS /mcs/v1/license"), 2);
    assert_eq!((count("POST /mcs/v1/license"), count("REPORT ")), (1, 1));
    assert_eq!(count("connect"), 1);
}

#[test]
fn every_step_ends_at_its_own_deadline() {
    for (silent, code, after_ms) in [
        ("dns", "resolve.timed-out", 1000),
        ("zdial.test", "sign-in.timed-out", 2000),
        ("mcs.test", "provision.timed-out", 3000),
        ("connect", "register.timed-out", 4000),
        ("sip", "register.timed-out", 4000),
    ] {
        let mut world = World::new();
        world.silent = silent;
        let mut world = world.start();
        let began = world.now;
        world.wait();
        assert_eq!(world.failure().0, code, "{silent}");
        let waited = (world.now - began).as_millis();
        // Each wish of the fake network takes 1 ms.
        assert!(waited <= after_ms + 20 && waited + 100 >= after_ms, "{silent}: {waited} ms");
        assert!(world.machine.next_deadline().is_none(), "nothing is wanted after the end");
    }
}

#[test]
fn an_early_connection_that_is_lost_is_made_again_for_step_4() {
    let mut world = World::new();
    world.silent = "zdial.test";
    let mut world = world.start();
    world.input(Input::Closed { flow: FlowId(1), why: FlowEnd::Closed });
    world.settle();
    assert_eq!(
        world.machine.view().state,
        SessionState::SigningIn,
        "the loss of what is not needed yet is no failure"
    );
}

#[test]
fn a_lost_connection_is_replaced_and_registered_again() {
    let mut world = World::new().start();
    world.input(Input::Closed { flow: FlowId(1), why: FlowEnd::Reset });
    world.settle();
    assert_eq!(world.machine.view().state, SessionState::Registering);
    while world.machine.view().state != SessionState::Ready {
        world.wait();
    }
    assert_eq!(world.trail.iter().filter(|line| *line == "connect").count(), 2);
}

#[test]
fn leaving_unregisters_and_closes() {
    let mut world = World::new().start();
    world.input(Input::Command(Command::Stop));
    world.settle();
    assert!(matches!(world.events.last(), Some(EventKind::Stopped { error: None, fault: None })));
    assert!(world.events.contains(&EventKind::Unregistered { confirmed: true }));
    assert_eq!(world.trail.last().map(String::as_str), Some("close"));
}

#[test]
fn leaving_takes_less_than_a_second_when_nobody_answers() {
    let mut world = World::new().start();
    world.silent = "sip";
    let began = world.now;
    world.input(Input::Command(Command::Stop));
    world.settle();
    while !world.machine.is_stopped() {
        world.wait();
    }
    assert!(world.events.contains(&EventKind::Unregistered { confirmed: false }));
    assert!(world.now - began <= Duration::from_secs(1));
}

#[test]
fn stopping_in_any_step_stops() {
    for silent in ["dns", "zdial.test", "mcs.test", "connect", "sip"] {
        let mut world = World::new();
        world.silent = silent;
        let mut world = world.start();
        world.input(Input::Command(Command::Stop));
        world.settle();
        while !world.machine.is_stopped() {
            world.wait();
        }
        assert!(matches!(world.events.last(), Some(EventKind::Stopped { error: None, .. })), "{silent}");
    }
}

#[test]
fn a_call_before_ready_is_refused() {
    let mut world = World::new();
    world.silent = "mcs.test";
    let mut world = world.start();
    world.input(Input::Command(Command::Call {
        call: CallId(9),
        target: "echo".into(),
        wanted: SOUND,
        anonymous: false,
        location: None,
    }));
    world.settle();
    let Some(EventKind::CallFailed { error, .. }) = world.events.last() else { panic!("{:?}", world.events) };
    assert_eq!(error.code(), "call.not-ready");
}

#[test]
fn the_ports_of_the_group_are_used_for_media() {
    let mut world = World::new().start();
    world.input(Input::Command(Command::Call {
        call: CallId(9),
        target: "echo".into(),
        wanted: SOUND,
        anonymous: false,
        location: None,
    }));
    let prepared = world.wishes.iter().find_map(|wish| {
        if let Effect::PrepareMedia { ports, kinds, .. } = wish {
            Some((ports.to_string(), kinds.len()))
        } else {
            None
        }
    });
    assert_eq!(prepared, Some(("30000-30099".to_owned(), 2)));
}

impl World {
    fn call(&mut self, call: u64, target: &str) -> &'static str {
        let (call, before) = (CallId(call), self.events.len());
        self.input(Input::Command(Command::Call {
            call,
            target: target.into(),
            wanted: SOUND,
            anonymous: false,
            location: None,
        }));
        self.settle();
        let failed = self.events[before..].iter().find_map(|event| {
            if let EventKind::CallFailed { error, .. } = event { Some(error.code()) } else { None }
        });
        failed.unwrap_or("going")
    }
}

#[test]
fn calls_end_before_the_session_does() {
    let mut world = World::new().start();
    world.call(1, "echo");
    world.input(Input::Command(Command::Stop));
    world.settle();
    while !world.machine.is_stopped() {
        world.wait();
    }
    let names = world.names();
    let at = |name| names.iter().position(|seen| *seen == name).unwrap();
    assert!(at("call-failed") < at("stopped"), "{names:?}");
    assert_eq!(names.last(), Some(&"stopped"));
}
