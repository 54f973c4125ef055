//! One user agent against a server that a test plays itself, message by message.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::world::{SERVER, capabilities, start, uri};
use crate::auth::Credentials;
use crate::flow::FlowId;
use crate::ident::Ident;
use crate::outbox::Outbox;
use crate::ua::{CallKey, Command, Effect, Event, Input, UaConfig, UserAgent};
use crate::wire::{Frame, Framer, Limits, Message, Method, Name, ResponseBuilder, Transport};

pub(super) const FLOW: FlowId = FlowId(1);
pub(super) const CALL: CallKey = CallKey(7);

pub(super) struct Script {
    pub(super) agent: UserAgent,
    pub(super) now: Instant,
    pub(super) sent: VecDeque<Message>,
    pub(super) events: Vec<Event>,
    pub(super) closed: bool,
    pub(super) pings: usize,
    /// UDP flows beside which a TCP connection is wanted.
    pub(super) opening: Vec<FlowId>,
    /// STUN requests.
    pub(super) asked: Vec<Vec<u8>>,
    out: Outbox<Effect>,
}

impl Script {
    pub(super) fn new() -> Self {
        Self::with(Transport::Tcp, |_| {})
    }

    pub(super) fn with(transport: Transport, tune: impl FnOnce(&mut UaConfig)) -> Self {
        let mut config = UaConfig::new(uri("sip:alice@example.com"), uri("sip:example.com"));
        config.credentials = vec![Credentials::new("alice", "alice-secret")];
        config.display_name = Some("Alice".to_owned());
        tune(&mut config);
        let mut script = Self {
            agent: UserAgent::new(config, Ident::from_seed(5)),
            now: start(),
            sent: VecDeque::new(),
            events: Vec::new(),
            closed: false,
            pings: 0,
            opening: Vec::new(),
            asked: Vec::new(),
            out: Outbox::new(),
        };
        let local = "127.0.0.1:40001".parse().unwrap();
        script.input(Input::FlowUp { flow: FLOW, transport, local, remote: SERVER.into(), reg_id: 1 });
        script
    }

    /// With a binding that stands.
    pub(super) fn registered() -> Self {
        Self::registered_with(|_| {})
    }

    pub(super) fn registered_with(tune: impl FnOnce(&mut UaConfig)) -> Self {
        let mut script = Self::with(Transport::Tcp, tune);
        script.command(Command::Register);
        let register = script.next();
        let contact = String::from_utf8_lossy(register.header(Name::Contact).unwrap()).into_owned();
        script.reply(&register, 200, &[(Name::Contact, &contact)]);
        assert!(matches!(script.events.pop(), Some(Event::Registered { .. })));
        script
    }

    pub(super) fn input(&mut self, input: Input<'_>) {
        self.agent.handle(input, self.now, &mut self.out);
        for effect in self.out.drain() {
            match effect {
                Effect::Send { bytes, .. } if &bytes[..] == b"\r\n\r\n" => self.pings += 1,
                Effect::Send { bytes, .. } if crate::stun::is_stun(&bytes) => self.asked.push(bytes.to_vec()),
                Effect::Send { bytes, .. } => {
                    let mut framer = Framer::new(Limits::default());
                    framer.push(&bytes);
                    match framer.next() {
                        Some(Ok(Frame::Message(message))) => self.sent.push_back(message),
                        other => panic!("not one message: {other:?}"),
                    }
                    assert_eq!(framer.buffered(), 0);
                }
                Effect::CloseFlow { .. } => self.closed = true,
                Effect::OpenStream { beside } => self.opening.push(beside),
                Effect::Event(event) => self.events.push(event),
            }
        }
    }

    pub(super) fn command(&mut self, command: Command) {
        self.input(Input::Command(command));
    }

    /// Raw bytes from the server; `\n` stands for a line break.
    pub(super) fn raw(&mut self, text: &str) {
        let bytes = text.replace('\n', "\r\n").into_bytes();
        self.input(Input::Received { flow: FLOW, bytes: &bytes });
    }

    pub(super) fn receive(&mut self, message: &Message) {
        self.input(Input::Received { flow: FLOW, bytes: message.as_bytes() });
    }

    /// Answers a request of the agent's; a tag is added above 100.
    pub(super) fn reply(
        &mut self,
        request: &Message,
        status: u16,
        headers: &[(Name<'static>, &str)],
    ) -> Message {
        self.reply_with(request, status, "servertag", headers, None)
    }

    pub(super) fn reply_with(
        &mut self,
        request: &Message,
        status: u16,
        tag: &str,
        headers: &[(Name<'static>, &str)],
        sdp: Option<&str>,
    ) -> Message {
        let mut builder = ResponseBuilder::to_request(request, status, "");
        if status > 100 {
            builder = builder.to_tag(tag);
        }
        for (name, value) in headers {
            builder = builder.header(*name, value);
        }
        if let Some(sdp) = sdp {
            builder = builder.body("application/sdp", sdp.to_owned());
        }
        let response = builder.build().unwrap();
        self.receive(&response);
        response
    }

    /// The next message that the agent sent.
    pub(super) fn next(&mut self) -> Message {
        self.sent.pop_front().unwrap_or_else(|| panic!("nothing was sent; events: {:#?}", self.events))
    }

    /// The next one, which is this request.
    pub(super) fn next_request(&mut self, method: Method) -> Message {
        let message = self.next();
        assert_eq!(message.method(), Some(method), "{}", String::from_utf8_lossy(message.as_bytes()));
        message
    }

    /// The next one, which is a response with this status.
    pub(super) fn next_status(&mut self, status: u16) -> Message {
        let message = self.next();
        assert_eq!(message.status(), Some(status), "{}", String::from_utf8_lossy(message.as_bytes()));
        message
    }

    /// Lets time pass, timer by timer.
    pub(super) fn pass(&mut self, time: Duration) {
        let until = self.now + time;
        while let Some(deadline) = self.agent.next_deadline().filter(|deadline| deadline.at <= until) {
            self.now = self.now.max(deadline.at);
            self.input(Input::Deadline);
        }
        self.now = until;
    }

    /// Sends an INVITE to bob and gives it.
    pub(super) fn invite(&mut self) -> Message {
        self.call();
        self.next_request(Method::Invite)
    }

    /// Calls bob.
    pub(super) fn call(&mut self) {
        let target = uri("sip:bob@example.com");
        self.command(Command::Invite {
            call: CALL,
            target,
            offer: capabilities(20_000),
            options: Box::default(),
        });
    }

    /// A call that stands, over two proxies that record a route.
    pub(super) fn established() -> (Self, Message) {
        let mut script = Self::registered();
        let invite = script.invite();
        script.accept(&invite, "bobtag");
        let ack = script.next_request(Method::Ack);
        assert!(matches!(script.events.pop(), Some(Event::Established { .. })));
        (script, ack)
    }

    pub(super) fn accept(&mut self, invite: &Message, tag: &str) -> Message {
        let headers = [
            (Name::Contact, "<sip:bob@192.0.2.7:5999;transport=tcp>"),
            (Name::RecordRoute, "<sip:p2.example.com;lr>, <sip:p1.example.com;lr>"),
        ];
        self.reply_with(invite, 200, tag, &headers, Some(ANSWER))
    }

    /// A request of the far end in the call that `established` made.
    pub(super) fn inside(&mut self, ack: &Message, method: &str, cseq: u32, extra: &str, body: &str) {
        let from = ack.text(Name::To).unwrap().into_owned();
        let to = ack.text(Name::From).unwrap().into_owned();
        let call_id = ack.call_id().unwrap().to_owned();
        let contact = "sip:alice@127.0.0.1:40001;transport=tcp";
        let kind = if body.is_empty() { "" } else { "Content-Type: application/sdp\n" };
        self.raw(&format!(
            "{method} {contact} SIP/2.0\nVia: SIP/2.0/TCP 192.0.2.7;branch=z9hG4bK{method}{cseq}\nMax-Forwards: 70\n\
             From: {from}\nTo: {to}\nCall-ID: {call_id}\nCSeq: {cseq} {method}\n\
             Contact: <sip:bob@192.0.2.8:6000;transport=tcp>\n{extra}{kind}Content-Length: {}\n\n",
            body.len()
        ));
        self.input(Input::Received { flow: FLOW, bytes: body.as_bytes() });
    }

    /// An INVITE from carol with an offer or without one.
    pub(super) fn incoming(&mut self, extra: &str, body: &str) {
        let kind = if body.is_empty() { "" } else { "Content-Type: application/sdp\n" };
        self.raw(&format!(
            "INVITE sip:alice@127.0.0.1:40001;transport=tcp SIP/2.0\n\
             Via: SIP/2.0/TCP p.example.com;branch=z9hG4bKin1\nVia: SIP/2.0/TCP 192.0.2.3;branch=z9hG4bKin0\n\
             Record-Route: <sip:p1.example.com;lr>\nRecord-Route: <sip:p2.example.com;lr>\nMax-Forwards: 69\n\
             From: \"Carol\" <sip:carol@example.com>;tag=caroltag\nTo: <sip:alice@example.com>\n\
             Call-ID: incoming1\nCSeq: 10 INVITE\nContact: <sip:carol@192.0.2.3:5062;transport=tcp>\n\
             {extra}{kind}Content-Length: {}\n\n",
            body.len()
        ));
        self.input(Input::Received { flow: FLOW, bytes: body.as_bytes() });
    }

    /// The call that came in.
    pub(super) fn incoming_call(&self) -> CallKey {
        let found = self.events.iter().find_map(|event| match event {
            Event::Incoming { call, .. } => Some(*call),
            _ => None,
        });
        found.unwrap_or_else(|| panic!("no call came in: {:#?}", self.events))
    }

    pub(super) fn take_events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }
}

pub(super) const ANSWER: &str = "v=0\r\no=- 5 5 IN IP4 192.0.2.7\r\ns=-\r\nc=IN IP4 192.0.2.7\r\nt=0 0\r\n\
    m=audio 7000 RTP/AVP 8\r\nm=text 0 RTP/AVP 98\r\n";

pub(super) const OFFER: &str = "v=0\r\no=- 9 9 IN IP4 192.0.2.3\r\ns=-\r\nc=IN IP4 192.0.2.3\r\nt=0 0\r\n\
    m=audio 9000 RTP/AVP 0 96\r\na=rtpmap:96 telephone-event/8000\r\n";
