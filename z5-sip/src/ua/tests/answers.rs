//! A defined answer for everything that comes, counted; a call that stands survives all of it; and every message of ours
//! says which program wrote it.

use std::time::Duration;

use super::script::{FLOW, OFFER, Script};
use super::world::{World, capabilities, uri};
use crate::ident::Ident;
use crate::ua::compose::{ACCEPT, ALLOW, SUPPORTED};
use crate::ua::subscribing::ALLOW_EVENTS;
use crate::ua::{
    Body, CallKey, Command, Event, Input, MessageKey, Package, ProbeKey, SubscriptionKey, Transport,
};
use crate::wire::{Frame, Framer, Limits, Message, Method, Name, Rules, Verdict, media_types};

/// What comes of a request.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Comes {
    Answer(u16),
    /// No answer, and a reason that is counted.
    Drop(&'static str),
}
use Comes::{Answer, Drop};

/// A request that is in order, outside any dialog.
fn request(method: &str) -> String {
    format!(
        "{method} sip:alice@127.0.0.1:40001 SIP/2.0\nVia: SIP/2.0/TCP h;branch=z9hG4bKa{method}\nMax-Forwards: 70\n\
         From: <sip:x@h>;tag=1\nTo: <sip:alice@example.com>\nCall-ID: a{method}\nCSeq: 1 {method}\n\
         Contact: <sip:x@h>\nContent-Length: 0\n\n"
    )
}

const METHODS: [&str; 13] = [
    "INVITE",
    "ACK",
    "CANCEL",
    "BYE",
    "OPTIONS",
    "UPDATE",
    "PRACK",
    "REFER",
    "NOTIFY",
    "INFO",
    "MESSAGE",
    "SUBSCRIBE",
    "FROBNICATE",
];

/// The final answer that a registered user agent without calls gives, or why it gives none. An INVITE that rings counts
/// as 180.
fn comes_of(text: &str) -> Option<Comes> {
    let mut script = Script::registered();
    script.raw(text);
    let answer = script.sent.iter().filter_map(|message| message.status()).find(|status| *status >= 200);
    if script.events.iter().any(|event| matches!(event, Event::Incoming { .. })) {
        return Some(Answer(180));
    }
    let reason = script.agent.drops().map(|(what, _)| what).next();
    answer.map(Answer).or(reason.map(Drop))
}

#[test]
fn every_method_with_every_defect_has_its_answer() {
    type Defect = (&'static str, fn(&str) -> String, fn(&str) -> Comes);
    let defects: &[Defect] = &[
        (
            "nothing",
            |text| text.to_owned(),
            |method| match method {
                "INVITE" => Answer(180),
                "ACK" => Drop("an ACK for nothing"),
                "OPTIONS" | "MESSAGE" => Answer(200),
                "NOTIFY" | "SUBSCRIBE" => Answer(489),
                "FROBNICATE" => Answer(405),
                "REFER" => Answer(403),
                // It does not say what it acknowledges.
                "PRACK" => Answer(400),
                _ => Answer(481),
            },
        ),
        (
            "another version",
            |text| text.replacen(" SIP/2.0\n", " SIP/7.0\n", 1),
            |method| if method == "ACK" { Drop("a malformed ACK") } else { Answer(505) },
        ),
        ("no From", |text| text.replace("From: <sip:x@h>;tag=1\n", ""), bad),
        ("no To", |text| text.replace("To: <sip:alice@example.com>\n", ""), bad),
        ("no Call-ID", |text| without(text, "Call-ID"), bad),
        ("no CSeq", |text| without(text, "CSeq"), bad),
        ("two To", |text| text.replace("To:", "To: <sip:b@h>\nTo:"), bad),
        ("a malformed From", |text| text.replace("From: <sip:x@h>", "From: \"x <sip:x@h>"), bad),
        ("a malformed Via parameter", |text| text.replace(";branch=", ";;branch="), bad),
        ("a CSeq of another method", |text| text.replace("CSeq: 1 ", "CSeq: 1 X"), bad),
        ("a CSeq that is no number", |text| text.replace("CSeq: 1 ", "CSeq: one "), bad),
        ("a CSeq beyond its range", |text| text.replace("CSeq: 1 ", "CSeq: 4294967296 "), bad),
        (
            "Max-Forwards that is no number",
            |text| text.replace("Max-Forwards: 70", "Max-Forwards: many"),
            bad,
        ),
        ("Expires that is no number", |text| text.replace("Contact:", "Expires: soon\nContact:"), bad),
        (
            "a Date in another zone",
            |text| text.replace("Contact:", "Date: Fri, 01 Jan 2010 16:00:00 EST\nContact:"),
            bad,
        ),
        (
            "a scheme nobody knows",
            |text| text.replace(" sip:alice@127.0.0.1:40001 ", " nobody:alice "),
            |method| if method == "ACK" { Drop("a malformed ACK") } else { Answer(416) },
        ),
        (
            "an extension nobody knows",
            |text| text.replace("Contact:", "Require: teleport\nContact:"),
            |method| match method {
                // Required of an ACK or CANCEL, it means nothing (RFC 3261 section 8.2.2.3).
                "ACK" => Drop("an ACK for nothing"),
                "CANCEL" => Answer(481),
                "FROBNICATE" => Answer(405),
                _ => Answer(420),
            },
        ),
        (
            "a dialog nobody knows",
            |text| text.replace("To: <sip:alice@example.com>", "To: <sip:alice@example.com>;tag=none"),
            |method| match method {
                "ACK" => Drop("an ACK for nothing"),
                "SUBSCRIBE" => Answer(489),
                "FROBNICATE" => Answer(405),
                "PRACK" => Answer(400),
                _ => Answer(481),
            },
        ),
        (
            "a body nobody reads",
            |text| text.replace("Content-Length: 0\n\n", "Content-Type: image/png\nContent-Length: 3\n\npng"),
            |method| match method {
                "INVITE" | "UPDATE" | "PRACK" | "NOTIFY" | "MESSAGE" => Answer(415),
                "ACK" => Drop("an ACK for nothing"),
                "OPTIONS" => Answer(200),
                "SUBSCRIBE" => Answer(489),
                "FROBNICATE" => Answer(405),
                "REFER" => Answer(403),
                _ => Answer(481),
            },
        ),
    ];
    let mut wrong = Vec::new();
    for (defect, make, expected) in defects {
        for method in METHODS {
            let (comes, expected) = (comes_of(&make(&request(method))), expected(method));
            if comes != Some(expected) {
                wrong.push(format!("{method} with {defect}: {comes:?}, not {expected:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

fn bad(method: &str) -> Comes {
    if method == "ACK" { Drop("a malformed ACK") } else { Answer(400) }
}

fn without(text: &str, name: &str) -> String {
    text.lines().filter(|line| !line.starts_with(name)).map(|line| format!("{line}\n")).collect()
}

#[test]
fn a_response_nobody_waits_for_is_dropped_and_counted() {
    let mut script = Script::registered();
    let response = |head: &str| {
        format!(
            "{head}\nVia: SIP/2.0/TCP 127.0.0.1:40001;branch=z9hG4bKnone\nFrom: <sip:a@h>;tag=1\n\
             To: <sip:b@h>;tag=2\nCall-ID: x\nCSeq: 1 INVITE\nContent-Length: 0\n\n"
        )
    };
    script.raw(&response("SIP/2.0 200 OK"));
    script.raw(&response("SIP/2.0 200 OK"));
    script.raw(&response("SIP/2.0 200 OK").replace("CSeq: 1", "CSeq: one"));
    script.raw(&response("SIP/2.0 200 OK").replace("Via:", "Via: SIP/2.0/TCP else;branch=z9hG4bKx\nVia:"));
    assert!(script.sent.is_empty());
    let drops: Vec<(&str, u64)> = script.agent.drops().collect();
    assert_eq!(
        drops,
        [("a malformed response", 1), ("a response for someone else", 1), ("a response to nothing", 2)]
    );
}

#[test]
fn refusals_are_counted_by_status() {
    let mut script = Script::registered();
    script.raw(&request("FROBNICATE"));
    script.raw(&request("BYE"));
    script.raw(&request("UPDATE"));
    assert_eq!(script.agent.refusals().collect::<Vec<_>>(), [(405, 1), (481, 2)]);
}

/// A call that stands on datagrams, so that one broken message is one message.
fn standing() -> (Script, Message) {
    let mut script = Script::with(Transport::Udp, |config| config.session_interval = None);
    script.command(Command::Register);
    let register = script.next();
    let contact = register.text(Name::Contact).unwrap().into_owned();
    script.reply(&register, 200, &[(Name::Contact, &contact)]);
    let invite = script.invite();
    script.accept(&invite, "bobtag");
    let ack = script.next_request(Method::Ack);
    script.take_events();
    (script, ack)
}

#[test]
fn no_broken_message_ends_a_call_that_stands() {
    for seed in 1..=40 {
        let (mut script, ack) = standing();
        let mut chance = Ident::from_seed(seed);
        let (from, to) = (ack.text(Name::To).unwrap(), ack.text(Name::From).unwrap());
        for round in 0..60 {
            let method = METHODS[usize::try_from(chance.number() % 13).unwrap()];
            // A good BYE or a good Replaces would end it, as they should.
            if method == "BYE" {
                continue;
            }
            let mut bytes = format!(
                "{method} sip:alice@127.0.0.1:40001 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.7;branch=z9hG4bK{seed}x{round}\r\n\
                 Max-Forwards: 70\r\nFrom: {from}\r\nTo: {to}\r\nCall-ID: {}\r\nCSeq: {} {method}\r\n\
                 Contact: <sip:bob@192.0.2.8:6000>\r\nContent-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{OFFER}",
                ack.call_id().unwrap(),
                2 + round,
                OFFER.len()
            )
            .into_bytes();
            for _ in 0..=chance.number() % 4 {
                let at = usize::try_from(chance.number()).unwrap_or_default() % bytes.len();
                bytes[at] = u8::try_from(chance.number() % 256).unwrap();
            }
            script.input(Input::Received { flow: FLOW, bytes: &bytes });
            script.sent.clear();
        }
        script.pass(Duration::from_secs(1));
        let over = |event: &Event| matches!(event, Event::Ended { call: super::script::CALL, .. });
        assert!(!script.events.iter().any(over), "seed {seed}: {:#?}", script.events);
    }
}

/// Every message that an end of a world wrote.
fn messages(world: &World, end: usize) -> Vec<Message> {
    let mut framer = Framer::new(Limits::default());
    let mut messages = Vec::new();
    for write in &world.ends[end].writes {
        framer.push(write);
        while let Some(frame) = framer.next() {
            if let Ok(Frame::Message(message)) = frame {
                messages.push(message);
            }
        }
    }
    messages
}

#[test]
fn every_message_says_which_program_wrote_it() {
    let mut world = World::with(71, &["alice", "bob"], Transport::Tcp, |config| {
        config.user_agent = "Program/1.2 (platform)".to_owned();
    });
    world.register_all();
    // A call that stands and changes, with a message in it.
    let (near, far) = world.connect_call();
    world.command(0, Command::Renegotiate { call: near, offer: capabilities(20_000) });
    world.settle();
    let message = |call| Command::Message {
        message: MessageKey(1),
        call,
        target: Some(uri("sip:bob@example.com")),
        content_type: "text/plain".to_owned(),
        body: Body::from("x"),
    };
    world.command(0, message(Some(near)));
    world.command(0, message(None));
    world.command(0, Command::Probe { probe: ProbeKey(1), target: uri("sip:bob@example.com") });
    world.command(0, Command::FetchBindings);
    world.settle();
    world.command(1, Command::Hangup { call: far });
    world.settle();
    // One that is refused, and one that is taken back.
    world.call(CallKey(2), "bob");
    world.run_until("it arrives", |world| world.ends[1].agent.calls() == 1);
    let call = world.incoming(1).unwrap();
    world.command(1, Command::Reject { call, status: 486 });
    world.settle();
    world.call(CallKey(3), "bob");
    world.run_until("it arrives", |world| world.ends[1].agent.calls() == 1);
    let call = world.incoming(1).unwrap();
    world.command(1, Command::Ring { call, offer: None });
    world.settle();
    world.command(0, Command::Hangup { call: CallKey(3) });
    world.settle();
    let (subscription, target) = (SubscriptionKey(1), uri("sip:bob@example.com"));
    let (package, expires) = (Package::MessageSummary, Duration::from_secs(60));
    world.command(0, Command::Subscribe { subscription, target, package, expires });
    world.settle();
    world.command(0, Command::Unregister);
    world.settle();
    let all: Vec<Message> = messages(&world, 0).into_iter().chain(messages(&world, 1)).collect();
    for message in &all {
        let name = if message.is_request() { Name::UserAgent } else { Name::Server };
        let text = String::from_utf8_lossy(message.as_bytes());
        assert_eq!(message.header(name), Some(&b"Program/1.2 (platform)"[..]), "{text}");
    }
    let sent = |method: Method| all.iter().any(|message| message.method() == Some(method.clone()));
    for method in ["REGISTER", "INVITE", "ACK", "CANCEL", "BYE", "MESSAGE", "OPTIONS", "SUBSCRIBE"] {
        assert!(sent(Method::from_bytes(method.as_bytes()).unwrap()), "{method}");
    }
    for status in [100, 180, 200, 486, 487, 489] {
        assert!(all.iter().any(|message| message.status() == Some(status)), "{status}");
    }
}

#[test]
fn what_we_say_of_ourselves_is_what_we_do() {
    // Every method of Allow has an answer other than 405, and no other one has.
    for method in METHODS {
        let listed = ALLOW.split(", ").any(|allowed| allowed == method);
        let served = comes_of(&request(method)) != Some(Answer(405));
        assert_eq!(listed, served, "{method}");
    }
    // Every extension of Supported may be required, by the user agent and by who judges in its name.
    let required = |tag: &str| {
        request("OPTIONS").replace("Contact:", &format!("Require: {tag}\nContact:")).replace('\n', "\r\n")
    };
    for tag in SUPPORTED.split(", ") {
        assert_eq!(comes_of(&required(tag).replace("\r\n", "\n")), Some(Answer(200)), "{tag}");
        let message = Message::parse_datagram(required(tag).into()).unwrap();
        assert_eq!(Rules::user_agent().validate(&message), Verdict::Accept, "{tag}");
    }
    assert_eq!(Rules::user_agent().extensions, SUPPORTED.split(", ").collect::<Vec<_>>());
    // Every body of Accept is read by a method, and every one that is read of its own accord stands in Accept. A fragment
    // of SIP only comes in a dialog that asked for it.
    let read: Vec<&str> = METHODS
        .iter()
        .filter_map(|method| Method::from_bytes(method.as_bytes()))
        .flat_map(|method| media_types(&method))
        .copied()
        .collect();
    for kind in ACCEPT.split(", ") {
        assert!(read.contains(&kind), "{kind} is accepted and read by no method");
    }
    for kind in read.iter().filter(|kind| **kind != "message/sipfrag") {
        assert!(ACCEPT.split(", ").any(|accepted| accepted == *kind), "{kind} is read and not accepted");
    }
    // Every event package of Allow-Events is taken.
    for package in ALLOW_EVENTS.split(", ") {
        let notify = request("NOTIFY").replace("Contact:", &format!("Event: {package}\nContact:"));
        assert_ne!(comes_of(&notify), Some(Answer(489)), "{package}");
    }
}
