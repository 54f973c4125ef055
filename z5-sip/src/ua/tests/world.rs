//! A world in memory: user agents, links with latency, cuts and loss, and a registrar with digest that is a stateless
//! proxy as well. Time is an argument and moves from event to event; one seed decides everything.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::auth::digest::{Algorithm, Qop};
use crate::auth::{Check, Credentials, Verifier};
use crate::flow::{FlowEnd, FlowId};
use crate::ident::Ident;
use crate::outbox::Outbox;
use crate::sdp::{Capabilities, Codec, MediaCapability, MediaKind};
use crate::ua::{CallKey, Command, Effect, Event, Input, UaConfig, UserAgent};
use crate::wire::{Edit, Frame, Framer, Limits, Message, Method, Name, ResponseBuilder, Transport, Uri};

pub(super) const SERVER: ([u8; 4], u16) = ([127, 0, 0, 1], 5060);

/// How a write arrives at the other end of a stream.
#[derive(Clone, Copy, Debug)]
pub(super) enum Cut {
    Whole,
    EveryByte,
    Random,
}

/// One user agent with its driver.
pub(super) struct End {
    pub(super) agent: UserAgent,
    pub(super) events: Vec<Event>,
    /// The flow that is up.
    pub(super) flow: Option<FlowId>,
    pub(super) local: SocketAddr,
    /// Every write: what left in one turn on one flow.
    pub(super) writes: Vec<Vec<u8>>,
    out: Outbox<Effect>,
    flows: u64,
}

enum Arrival {
    AtServer { end: usize, flow: FlowId, bytes: Vec<u8> },
    AtEnd { end: usize, flow: FlowId, bytes: Vec<u8> },
}

pub(super) struct World {
    pub(super) now: Instant,
    pub(super) ends: Vec<End>,
    pub(super) server: Server,
    pub(super) cut: Cut,
    /// Datagrams lost, in percent. Streams lose nothing.
    pub(super) loss: u64,
    pub(super) transport: Transport,
    /// Everything for the server is swallowed: a black hole.
    pub(super) swallow: bool,
    chance: Ident,
    arrivals: BTreeMap<(Instant, u64), Arrival>,
    /// A stream keeps its order: nothing arrives before what was sent before it.
    last: HashMap<(usize, bool), Instant>,
    count: u64,
}

pub(super) fn capabilities(port: u16) -> Capabilities {
    let medium = MediaCapability::new;
    let audio = vec![Codec::pcmu(), Codec::pcma(), Codec::telephone_event(101)];
    let text = vec![Codec::text_red(100, 98), Codec::t140(98)];
    Capabilities {
        address: [127, 0, 0, 1].into(),
        media: vec![medium(MediaKind::Audio, port, audio), medium(MediaKind::Text, port + 2, text)],
    }
}

pub(super) fn uri(text: &str) -> Uri {
    Uri::parse(text).unwrap()
}

pub(super) fn start() -> Instant {
    #[expect(clippy::disallowed_methods, reason = "a world needs one instant to count from")]
    Instant::now()
}

impl World {
    /// A world with these users, each with a flow that is up and nothing registered.
    pub(super) fn new(seed: u64, users: &[&str]) -> Self {
        Self::with(seed, users, Transport::Tcp, |_| {})
    }

    pub(super) fn with(
        seed: u64,
        users: &[&str],
        transport: Transport,
        tune: impl Fn(&mut UaConfig),
    ) -> Self {
        let mut world = Self {
            now: start(),
            ends: Vec::new(),
            server: Server::new(seed ^ 0x5E4),
            cut: Cut::Whole,
            loss: 0,
            transport,
            swallow: false,
            chance: Ident::from_seed(seed),
            arrivals: BTreeMap::new(),
            last: HashMap::new(),
            count: 0,
        };
        for (index, user) in users.iter().enumerate() {
            let mut config = UaConfig::new(uri(&format!("sip:{user}@example.com")), uri("sip:example.com"));
            config.credentials = vec![Credentials::new(*user, format!("{user}-secret"))];
            tune(&mut config);
            let agent = UserAgent::new(config, Ident::from_seed(seed * 31 + index as u64));
            let end = End {
                agent,
                events: Vec::new(),
                flow: None,
                local: SocketAddr::from(([127, 0, 0, 1], 40_000 + 100 * index as u16)),
                writes: Vec::new(),
                out: Outbox::new(),
                flows: 0,
            };
            world.ends.push(end);
            world.connect(index);
        }
        world
    }

    /// Opens a new flow from a new port.
    pub(super) fn connect(&mut self, end: usize) {
        let this = &mut self.ends[end];
        this.flows += 1;
        let flow = FlowId(this.flows);
        this.local.set_port(this.local.port() + 1);
        this.flow = Some(flow);
        let (local, transport) = (this.local, self.transport);
        self.server.accept(end, flow, local, transport.is_reliable());
        self.input(end, Input::FlowUp { flow, transport, local, remote: SERVER.into(), reg_id: 1 });
    }

    /// Cuts the connection: both ends see it.
    pub(super) fn disconnect(&mut self, end: usize) {
        let Some(flow) = self.ends[end].flow.take() else { return };
        self.server.connections.remove(&(end, flow));
        self.input(end, Input::FlowDown { flow, why: FlowEnd::Reset });
    }

    pub(super) fn command(&mut self, end: usize, command: Command) {
        self.input(end, Input::Command(command));
    }

    fn input(&mut self, end: usize, input: Input<'_>) {
        let this = &mut self.ends[end];
        this.agent.handle(input, self.now, &mut this.out);
        let effects: Vec<Effect> = this.out.drain().collect();
        let mut writes: Vec<(FlowId, Vec<u8>)> = Vec::new();
        let mut without_tcp = Vec::new();
        for effect in effects {
            match effect {
                Effect::Send { flow, bytes } if self.transport.is_reliable() => match writes.last_mut() {
                    Some((last, write)) if *last == flow => write.extend_from_slice(&bytes),
                    Some(_) | None => writes.push((flow, bytes.to_vec())),
                },
                Effect::Send { flow, bytes } => writes.push((flow, bytes.to_vec())),
                Effect::CloseFlow { flow, .. } => {
                    self.server.connections.remove(&(end, flow));
                    if self.ends[end].flow == Some(flow) {
                        self.ends[end].flow = None;
                    }
                }
                Effect::OpenStream { beside } => without_tcp.push(beside),
                Effect::Event(event) => self.ends[end].events.push(event),
            }
        }
        for (flow, bytes) in writes {
            self.ends[end].writes.push(bytes.clone());
            self.travel(end, flow, bytes, true);
        }
        // This server has UDP alone.
        for beside in without_tcp {
            self.input(end, Input::StreamFailed { beside });
        }
    }

    /// Puts bytes on a link.
    fn travel(&mut self, end: usize, flow: FlowId, bytes: Vec<u8>, to_server: bool) {
        if to_server && self.swallow {
            return;
        }
        let reliable = self.transport.is_reliable();
        if !reliable && self.chance.number() % 100 < self.loss {
            return;
        }
        let pieces: Vec<Vec<u8>> = match self.cut {
            Cut::EveryByte if reliable => bytes.iter().map(|&byte| vec![byte]).collect(),
            Cut::Random if reliable => self.random_pieces(&bytes),
            Cut::Whole | Cut::EveryByte | Cut::Random => vec![bytes],
        };
        let mut at = self.now + Duration::from_millis(1 + self.chance.number() % 20);
        if reliable {
            at = at.max(self.last.get(&(end, to_server)).copied().unwrap_or(at));
        }
        for bytes in pieces {
            self.count += 1;
            let arrival = match to_server {
                true => Arrival::AtServer { end, flow, bytes },
                false => Arrival::AtEnd { end, flow, bytes },
            };
            self.arrivals.insert((at, self.count), arrival);
        }
        self.last.insert((end, to_server), at);
    }

    fn random_pieces(&mut self, bytes: &[u8]) -> Vec<Vec<u8>> {
        let mut rest = bytes;
        let mut pieces = Vec::new();
        while !rest.is_empty() {
            let at = 1 + (self.chance.number() as usize) % rest.len();
            pieces.push(rest[..at].to_vec());
            rest = &rest[at..];
        }
        pieces
    }

    /// The next thing that happens; false when nothing is left to happen.
    pub(super) fn step(&mut self) -> bool {
        let arrival = self.arrivals.keys().next().map(|(at, _)| *at);
        let deadlines = self
            .ends
            .iter()
            .enumerate()
            .filter_map(|(end, this)| this.agent.next_deadline().map(|deadline| (deadline.at, end)));
        let deadline = deadlines.min();
        match (arrival, deadline) {
            (Some(at), Some((due, end))) if due < at => self.wake(due, end),
            (Some(_), _) => self.arrive(),
            (None, Some((due, end))) => self.wake(due, end),
            (None, None) => return false,
        }
        true
    }

    fn wake(&mut self, due: Instant, end: usize) {
        self.now = self.now.max(due);
        self.input(end, Input::Deadline);
    }

    fn arrive(&mut self) {
        let Some(((at, _), arrival)) = self.arrivals.pop_first() else { return };
        self.now = self.now.max(at);
        match arrival {
            Arrival::AtEnd { end, flow, bytes } => {
                if self.ends[end].flow == Some(flow) {
                    self.input(end, Input::Received { flow, bytes: &bytes });
                }
            }
            Arrival::AtServer { end, flow, bytes } => {
                for (end, flow, bytes) in self.server.receive(end, flow, &bytes, self.now) {
                    self.travel(end, flow, bytes, false);
                }
            }
        }
    }

    /// Lets the world go on until `until` holds.
    pub(super) fn run_until(&mut self, what: &str, until: impl Fn(&Self) -> bool) {
        let end = self.now + Duration::from_secs(3600);
        while !until(self) {
            assert!(self.step() && self.now < end, "never: {what}\n{}", self.story());
        }
    }

    /// Lets everything on the links arrive, without waiting for timers.
    pub(super) fn settle(&mut self) {
        while !self.arrivals.is_empty() {
            self.step();
        }
    }

    /// Lets time pass.
    pub(super) fn pass(&mut self, time: Duration) {
        let until = self.now + time;
        loop {
            let arrival = self.arrivals.keys().next().map(|(at, _)| *at);
            let deadline =
                self.ends.iter().filter_map(|end| end.agent.next_deadline()).map(|due| due.at).min();
            let next = arrival.into_iter().chain(deadline).min();
            if next.is_none_or(|next| next > until) {
                self.now = until;
                return;
            }
            self.step();
        }
    }

    pub(super) fn register_all(&mut self) {
        for end in 0..self.ends.len() {
            self.command(end, Command::Register);
        }
        self.run_until("all registered", |world| {
            world.ends.iter().all(|end| end.agent.is_registered(world.now))
        });
    }

    /// A call from the first end to `user`.
    pub(super) fn call(&mut self, call: CallKey, user: &str) {
        let target = uri(&format!("sip:{user}@example.com"));
        self.command(
            0,
            Command::Invite { call, target, offer: capabilities(20_000), options: Box::default() },
        );
    }

    /// The key of the call that arrived last at an end.
    pub(super) fn incoming(&self, end: usize) -> Option<CallKey> {
        self.ends[end].events.iter().rev().find_map(|event| match event {
            Event::Incoming { call, .. } => Some(*call),
            _ => None,
        })
    }

    /// Registers both, calls from the first to the second, who takes it.
    pub(super) fn established(seed: u64) -> (Self, CallKey, CallKey) {
        let mut world = Self::new(seed, &["alice", "bob"]);
        world.register_all();
        let (near, far) = world.connect_call();
        (world, near, far)
    }

    pub(super) fn connect_call(&mut self) -> (CallKey, CallKey) {
        let near = CallKey(1);
        self.call(near, "bob");
        self.run_until("the call arrives", |world| world.incoming(1).is_some());
        let far = self.incoming(1).unwrap();
        self.command(1, Command::Ring { call: far, offer: None });
        self.command(1, Command::Accept { call: far, answer: capabilities(30_000) });
        self.run_until("the call stands", |world| {
            world.has(0, |event| matches!(event, Event::Established { .. }))
        });
        self.settle();
        (near, far)
    }

    pub(super) fn has(&self, end: usize, which: impl Fn(&Event) -> bool) -> bool {
        self.ends[end].events.iter().any(which)
    }

    pub(super) fn count(&self, end: usize, which: impl Fn(&Event) -> bool) -> usize {
        self.ends[end].events.iter().filter(|event| which(event)).count()
    }

    /// What happened, for a failing test.
    pub(super) fn story(&self) -> String {
        let mut story = String::new();
        for (index, end) in self.ends.iter().enumerate() {
            story.push_str(&format!("end {index}: {:#?}\n", end.events));
            for write in &end.writes {
                story.push_str(&format!("---- end {index} wrote\n{}\n", String::from_utf8_lossy(write)));
            }
        }
        story.push_str(&format!("server: {:#?}\n", self.server.log));
        story
    }
}

type Outgoing = Vec<(usize, FlowId, Vec<u8>)>;

pub(super) struct Connection {
    framer: Framer,
    address: SocketAddr,
    reliable: bool,
}

/// A registrar with digest and a stateless proxy (RFC 3261 section 16.11) that stays in the way of dialogs.
pub(super) struct Server {
    pub(super) connections: HashMap<(usize, FlowId), Connection>,
    /// User to end, flow and when the binding ends.
    pub(super) bindings: HashMap<String, (usize, FlowId)>,
    pub(super) verifier: Verifier,
    pub(super) proxy_verifier: Option<Verifier>,
    /// Asks calls for credentials as the server of the domain does (401), at once with the proxy.
    pub(super) home_verifier: Option<Verifier>,
    /// The longest lifetime granted, in seconds.
    pub(super) grants: u32,
    /// A lifetime below this is refused 423.
    pub(super) shortest: u32,
    /// Answer every REGISTER with this status instead.
    pub(super) refuse: Option<(u16, Vec<(Name<'static>, String)>)>,
    /// First line of everything that came.
    pub(super) log: Vec<String>,
    /// The branches of requests that it refused itself: their ACKs are its own.
    refused: HashSet<String>,
    /// The branches of requests whose credentials were good: a repetition is not judged again.
    admitted: HashSet<String>,
    ident: Ident,
}

impl Server {
    fn new(seed: u64) -> Self {
        Self {
            connections: HashMap::new(),
            bindings: HashMap::new(),
            verifier: Verifier::new("example.com")
                .algorithms(&[Algorithm::Sha256, Algorithm::Md5])
                .qop(&[Qop::Auth]),
            proxy_verifier: Some(Verifier::new("example.com").proxy()),
            home_verifier: None,
            grants: 600,
            shortest: 1,
            refuse: None,
            log: Vec::new(),
            refused: HashSet::new(),
            admitted: HashSet::new(),
            ident: Ident::from_seed(seed),
        }
    }

    fn accept(&mut self, end: usize, flow: FlowId, address: SocketAddr, reliable: bool) {
        let framer = Framer::accepting(Limits::default());
        self.connections.insert((end, flow), Connection { framer, address, reliable });
    }

    fn receive(&mut self, end: usize, flow: FlowId, bytes: &[u8], now: Instant) -> Outgoing {
        let mut outgoing = Vec::new();
        let Some(connection) = self.connections.get_mut(&(end, flow)) else { return outgoing };
        let mut messages = Vec::new();
        if connection.reliable {
            connection.framer.push(bytes);
            while let Some(frame) = connection.framer.next() {
                match frame.unwrap() {
                    Frame::Message(message) => messages.push(message),
                    Frame::Ping => outgoing.push((end, flow, b"\r\n".to_vec())),
                    Frame::Pong => panic!("a pong at a server"),
                }
            }
        } else if !bytes.iter().all(|byte| matches!(byte, b'\r' | b'\n')) {
            messages.push(Message::parse_datagram(bytes::Bytes::copy_from_slice(bytes)).unwrap());
        }
        for message in messages {
            let first =
                String::from_utf8_lossy(message.as_bytes()).lines().next().unwrap_or_default().to_owned();
            self.log.push(format!("{end}: {first}"));
            outgoing.extend(self.on_message(end, flow, &message, now));
        }
        outgoing
    }

    fn on_message(&mut self, end: usize, flow: FlowId, message: &Message, now: Instant) -> Outgoing {
        if !message.is_request() {
            return self.forward_response(message);
        }
        match message.method() {
            Some(Method::Register) => vec![(end, flow, self.register(end, flow, message, now))],
            _ => self.forward_request(end, flow, message, now),
        }
    }

    fn register(&mut self, end: usize, flow: FlowId, request: &Message, now: Instant) -> Vec<u8> {
        if let Some((status, headers)) = self.refuse.clone() {
            return self.reply(request, status, &headers);
        }
        match self.verifier.check(request, |user| Some(format!("{user}-secret")), now) {
            Check::Accepted { .. } => {}
            other => {
                let headers = self.verifier.challenge(other == Check::Stale, &mut self.ident, now);
                return self.reply(request, 401, &headers);
            }
        }
        let user = request.to().unwrap().uri.user().unwrap().to_owned();
        // Without a Contact it only asks.
        let Ok(contact) = request.contact() else { return self.reply(request, 200, &[]) };
        let asked = contact.expires().unwrap();
        if asked == 0 {
            self.bindings.remove(&user);
            return self.reply(request, 200, &[]);
        }
        if asked < self.shortest {
            return self.reply(request, 423, &[(Name::MinExpires, self.shortest.to_string())]);
        }
        self.bindings.insert(user, (end, flow));
        let contact = request.contact().unwrap().uri;
        let granted = asked.min(self.grants);
        self.reply(request, 200, &[(Name::Contact, format!("<{contact}>;expires={granted}"))])
    }

    fn reply(&mut self, request: &Message, status: u16, headers: &[(Name<'static>, String)]) -> Vec<u8> {
        let mut builder = ResponseBuilder::to_request(request, status, "");
        if status > 100 {
            builder = builder.to_tag(&self.ident.tag());
        }
        for (name, value) in headers {
            builder = builder.header(*name, value);
        }
        builder.build().unwrap().to_bytes().to_vec()
    }

    fn forward_request(&mut self, end: usize, flow: FlowId, request: &Message, now: Instant) -> Outgoing {
        let inside = request.to().unwrap().tag().is_some();
        let method = request.method().unwrap();
        let branch = request.via().unwrap().branch().unwrap().to_owned();
        if method == Method::Ack && self.refused.contains(&branch) {
            return Vec::new();
        }
        if !inside && method == Method::Invite && !self.admitted.contains(&branch) {
            let (mut status, mut headers) = (407, Vec::new());
            let asking = [(407, &mut self.proxy_verifier), (401, &mut self.home_verifier)];
            for (asks, verifier) in asking.into_iter().filter_map(|(asks, it)| Some((asks, it.as_mut()?))) {
                let check = verifier.check(request, |user| Some(format!("{user}-secret")), now);
                if !matches!(check, Check::Accepted { .. }) {
                    headers.extend(verifier.challenge(check == Check::Stale, &mut self.ident, now));
                    status = asks;
                }
            }
            if !headers.is_empty() {
                self.refused.insert(branch);
                return vec![(end, flow, self.reply(request, status, &headers))];
            }
            self.admitted.insert(branch.clone());
        }
        let uri = request.request_uri().unwrap().unwrap();
        let by_address = self.connections.iter().find(|(_, connection)| {
            uri.host().and_then(|host| host.ip()) == Some(connection.address.ip())
                && uri.port() == Some(connection.address.port())
        });
        let target = match by_address.map(|(key, _)| *key) {
            Some(target) => Some(target),
            None => uri.user().and_then(|user| self.bindings.get(user)).copied(),
        };
        let Some(target) = target.filter(|target| self.connections.contains_key(target)) else {
            // An ACK without a way, as the one for our own refusal, has arrived.
            if method == Method::Ack {
                return Vec::new();
            }
            self.refused.insert(branch);
            let status = if inside { 480 } else { 404 };
            return vec![(end, flow, self.reply(request, status, &[]))];
        };
        let branch: String = request.via().unwrap().branch().unwrap().chars().rev().take(20).collect();
        let transport = if self.connections[&target].reliable { "TCP" } else { "UDP" };
        let mut edit = Edit::new(request)
            .push_via(format!("SIP/2.0/{transport} 127.0.0.1:5060;branch=z9hG4bK{branch}"))
            .set(Name::MaxForwards, "69");
        if request.routes().next().is_some() {
            edit = edit.remove_first_value(Name::Route);
        }
        if !inside {
            edit = edit.insert_first(Name::RecordRoute, "<sip:127.0.0.1:5060;lr>");
            let contact = self.connections[&target].address;
            let user = uri.user().unwrap_or_default().to_owned();
            edit = edit.request_uri(format!("sip:{user}@{contact}"));
        }
        let forwarded = edit.build().unwrap();
        vec![(target.0, target.1, forwarded.to_bytes().to_vec())]
    }

    fn forward_response(&mut self, response: &Message) -> Outgoing {
        let next = response.vias().nth(1).unwrap().unwrap();
        let to = self.connections.iter().find(|(_, connection)| {
            next.host.ip() == Some(connection.address.ip()) && next.port == Some(connection.address.port())
        });
        let Some((&(end, flow), _)) = to else { return Vec::new() };
        let forwarded = Edit::new(response).pop_via().build().unwrap();
        vec![(end, flow, forwarded.to_bytes().to_vec())]
    }
}
