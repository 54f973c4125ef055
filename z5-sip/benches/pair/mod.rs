//! Two registered user agents on one wire in memory with time as an argument, with or without a proxy that asks for
//! credentials: what the exchange bench runs and the memory test weighs.

mod proxy;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use z5_sip::flow::FlowId;
use z5_sip::ident::Ident;
use z5_sip::outbox::Outbox;
use z5_sip::sdp::{Capabilities, Codec, MediaCapability, MediaKind};
use z5_sip::ua::{CallKey, Command, Effect, Event, Input, Transport, UaConfig, UserAgent};
use z5_sip::wire::{Message, Name, ResponseBuilder, Uri};

pub use proxy::Way;
use proxy::{Proxy, credentials};

const FLOW: FlowId = FlowId(1);

/// Audio and text, as a videophone offers them.
pub fn capabilities(port: u16) -> Capabilities {
    let audio = vec![Codec::pcmu(), Codec::pcma(), Codec::telephone_event(101)];
    let text = vec![Codec::text_red(100, 98), Codec::t140(98)];
    Capabilities {
        address: [127, 0, 0, 1].into(),
        media: vec![
            MediaCapability::new(MediaKind::Audio, port, audio),
            MediaCapability::new(MediaKind::Text, port + 2, text),
        ],
    }
}

struct End {
    agent: UserAgent,
    out: Outbox<Effect>,
    events: Vec<Event>,
}

impl End {
    fn new(user: &str, local: SocketAddr, remote: SocketAddr, now: Instant) -> Self {
        let mut config = UaConfig::new(
            format!("sip:{user}@example.com").parse().unwrap(),
            "sip:example.com".parse().unwrap(),
        );
        config.keep_alive = None;
        config.credentials = vec![credentials(user)];
        let agent = UserAgent::new(config, Ident::from_seed(u64::from(local.port())));
        let mut end = Self { agent, out: Outbox::new(), events: Vec::new() };
        end.input(Input::FlowUp { flow: FLOW, transport: Transport::Tcp, local, remote, reg_id: 1 }, now);
        let register = end.input(Input::Command(Command::Register), now);
        let register = Message::parse_datagram(register.into()).unwrap();
        let contact = String::from_utf8(register.header(Name::Contact).unwrap().to_vec()).unwrap();
        let granted = ResponseBuilder::to_request(&register, 200, "")
            .to_tag("r")
            .header(Name::Contact, contact.split(";expires=").next().unwrap());
        // The binding stands for as long as a bench runs; the Contact's own lifetime would come first.
        let granted = granted.header(Name::Expires, "1000000000").build().unwrap();
        end.input(Input::Received { flow: FLOW, bytes: granted.as_bytes() }, now);
        assert!(end.agent.is_registered(now));
        end.events.clear();
        end
    }

    /// One turn; gives what is to be written.
    fn input(&mut self, input: Input<'_>, now: Instant) -> Vec<u8> {
        self.agent.handle(input, now, &mut self.out);
        let mut write = Vec::new();
        for effect in self.out.drain() {
            match effect {
                Effect::Send { bytes, .. } => write.extend_from_slice(&bytes),
                Effect::Event(event) => self.events.push(event),
                Effect::CloseFlow { why, .. } => panic!("{why}"),
                Effect::OpenStream { .. } => panic!("no stream stands beside another one"),
            }
        }
        write
    }
}

/// A caller, a callee, what stands between them, and time.
pub struct Pair {
    caller: End,
    callee: End,
    way: Way,
    proxy: Option<Proxy>,
    pub now: Instant,
    target: Uri,
    offer: Capabilities,
    answer: Capabilities,
    calls: u64,
}

impl Pair {
    pub fn new(way: Way) -> Self {
        #[expect(clippy::disallowed_methods, reason = "one instant to count from; it never moves by itself")]
        let now = Instant::now();
        let (here, there) =
            (SocketAddr::from(([127, 0, 0, 1], 40_000)), SocketAddr::from(([127, 0, 0, 1], 40_001)));
        Self {
            caller: End::new("alice", here, there, now),
            callee: End::new("bob", there, here, now),
            way,
            proxy: Proxy::on(way),
            now,
            target: "sip:bob@127.0.0.1:40001;transport=tcp".parse().unwrap(),
            offer: capabilities(20_000),
            answer: capabilities(30_000),
            calls: 0,
        }
    }

    /// Lets the bytes go to and fro until both ends are silent.
    fn talk(&mut self, mut to_callee: Vec<u8>, mut to_caller: Vec<u8>) {
        while !to_callee.is_empty() || !to_caller.is_empty() {
            let (onward, mut back) = match &mut self.proxy {
                Some(proxy) => proxy.admit(&to_callee, self.now),
                None => (to_callee, Vec::new()),
            };
            if !onward.is_empty() {
                back.extend(self.callee.input(Input::Received { flow: FLOW, bytes: &onward }, self.now));
            }
            let forth = match to_caller.is_empty() {
                true => Vec::new(),
                false => self.caller.input(Input::Received { flow: FLOW, bytes: &to_caller }, self.now),
            };
            (to_callee, to_caller) = (forth, back);
        }
    }

    fn command_caller(&mut self, command: Command) {
        let write = self.caller.input(Input::Command(command), self.now);
        self.talk(write, Vec::new());
    }

    fn command_callee(&mut self, command: Command) {
        let write = self.callee.input(Input::Command(command), self.now);
        self.talk(Vec::new(), write);
    }

    /// INVITE, 100, 180, 200, ACK, with offer and answer; 407, ACK and INVITE before that where the way asks for
    /// credentials. Gives the caller's key.
    pub fn establish(&mut self) -> CallKey {
        self.calls += 1;
        let call = CallKey(self.calls);
        let (target, offer) = (self.target.clone(), self.offer.clone());
        self.command_caller(Command::Invite { call, target, offer, options: Box::default() });
        let incoming = self
            .callee
            .events
            .drain(..)
            .find_map(|event| if let Event::Incoming { call, .. } = event { Some(call) } else { None });
        let incoming = incoming.unwrap();
        self.command_callee(Command::Ring { call: incoming, offer: None });
        self.command_callee(Command::Accept { call: incoming, answer: self.answer.clone() });
        assert!(self.caller.events.drain(..).any(|event| matches!(event, Event::Established { .. })));
        assert!(self.callee.events.drain(..).any(|event| matches!(event, Event::Established { .. })));
        call
    }

    /// BYE and its 200.
    pub fn hang_up(&mut self, call: CallKey) {
        self.command_caller(Command::Hangup { call });
        assert!(self.caller.events.drain(..).any(|event| matches!(event, Event::Ended { .. })));
        assert!(self.callee.events.drain(..).any(|event| matches!(event, Event::Ended { .. })));
    }

    /// Time passes, and every timer that is due by then is served.
    pub fn pass(&mut self, time: Duration) {
        self.now += time;
        let now = self.now;
        while self.caller.agent.next_deadline().is_some_and(|deadline| deadline.at <= now) {
            let write = self.caller.input(Input::Deadline, now);
            self.talk(write, Vec::new());
        }
        while self.callee.agent.next_deadline().is_some_and(|deadline| deadline.at <= now) {
            let write = self.callee.input(Input::Deadline, now);
            self.talk(Vec::new(), write);
        }
    }

    /// Whether the calls took the way that they were to take.
    pub fn is_as_meant(&self) -> bool {
        self.proxy.as_ref().map_or(0, |proxy| proxy.challenges) == self.way.challenges(self.calls)
    }

    /// Calls that stand at either end.
    pub fn calls(&self) -> usize {
        self.caller.agent.calls() + self.callee.agent.calls()
    }
}
