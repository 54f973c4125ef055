//! Large requests on a UDP flow (RFC 3261 section 18.1.1).

use super::script::{CALL, FLOW, OFFER, Script};
use super::world::{SERVER, capabilities};
use crate::flow::{FlowEnd, FlowId};
use crate::ua::{Command, Event, Input};
use crate::wire::{Message, Method, Name, ResponseBuilder, Transport};

const STREAM: FlowId = FlowId(2);

/// An account whose name makes every request larger than a datagram may be, or not.
fn script(name: usize) -> Script {
    Script::with(Transport::Udp, |config| config.display_name = Some("A".repeat(name)))
}

fn stream_up(script: &mut Script) {
    let local = "127.0.0.1:40002".parse().unwrap();
    script.input(Input::StreamUp { flow: STREAM, beside: FLOW, local, remote: SERVER.into() });
}

/// The next request, and what carries it by its Via.
fn next_over(script: &mut Script) -> (Message, Transport) {
    let message = script.next();
    let transport = Transport::from_token(&via_token(&message)).unwrap();
    (message, transport)
}

fn via_token(message: &Message) -> String {
    let via = String::from_utf8_lossy(message.header(Name::Via).unwrap()).into_owned();
    via.trim_start_matches("SIP/2.0/").split(' ').next().unwrap_or_default().to_owned()
}

/// With a stream and a binding, every request being large.
fn registered() -> Script {
    let mut script = script(1400);
    stream_up(&mut script);
    script.command(Command::Register);
    let register = script.next();
    script.reply(&register, 200, &[(Name::Contact, &contact(&register))]);
    assert!(matches!(script.events.pop(), Some(Event::Registered { .. })), "{:?}", script.events);
    script
}

/// A call of ours whose INVITE took the stream, and its ACK.
fn established() -> (Script, Message) {
    let mut script = registered();
    let invite = script.invite();
    assert_eq!((via_token(&invite).as_str(), names_the_datagrams(&invite)), ("TCP", true));
    script.accept(&invite, "bobtag");
    let ack = script.next_request(Method::Ack);
    (script, ack)
}

fn contact(message: &Message) -> String {
    String::from_utf8_lossy(message.header(Name::Contact).unwrap()).into_owned()
}

fn names_the_datagrams(message: &Message) -> bool {
    contact(message).contains("127.0.0.1:40001") && !contact(message).contains("transport=tcp")
}

/// An INVITE with an offer that came on the stream.
fn from_the_server(head: &str) -> String {
    let length = OFFER.len();
    let kind = "Content-Type: application/sdp";
    let head = format!(
        "INVITE sip:alice@127.0.0.1:40001 SIP/2.0\nVia: SIP/2.0/TCP p.example.com;branch=z9hG4bKs1\nMax-Forwards: 69\n\
         {head}CSeq: 10 INVITE\nContact: <sip:bob@192.0.2.7>\n{kind}\nContent-Length: {length}\n\n"
    );
    head.replace('\n', "\r\n") + OFFER
}

#[test]
fn a_call_over_the_stream_has_its_contact_on_the_datagrams_and_goes_on_without_it() {
    let (mut script, ack) = established();
    // Both ends' next offers, the far end's over the stream.
    let text = |name| ack.text(name).unwrap().into_owned();
    let (from, to, call_id) = (text(Name::To), text(Name::From), ack.call_id().unwrap());
    let theirs = from_the_server(&format!("From: {from}\nTo: {to}\nCall-ID: {call_id}\n"));
    script.input(Input::Received { flow: STREAM, bytes: theirs.as_bytes() });
    assert!(names_the_datagrams(&script.next_status(200)));
    script.inside(&ack, "ACK", 10, "", "");
    script.command(Command::Renegotiate { call: CALL, offer: capabilities(20_000) });
    let (ours, transport) = next_over(&mut script);
    assert_eq!((transport, names_the_datagrams(&ours)), (Transport::Tcp, true), "{}", contact(&ours));
    // The stream goes: the offer, too.
    script.input(Input::FlowDown { flow: STREAM, why: FlowEnd::Closed });
    let (again, transport) = next_over(&mut script);
    assert_eq!((transport, names_the_datagrams(&again)), (Transport::Udp, true));
    assert_eq!(script.agent.calls(), 1);
}

#[test]
fn a_call_over_the_stream_moves_when_its_datagrams_are_lost_and_the_stream_is_not() {
    let (mut script, _) = established();
    script.input(Input::FlowDown { flow: FLOW, why: FlowEnd::Closed });
    let (transport, local) = (Transport::Udp, "127.0.0.1:40003".parse().unwrap());
    script.input(Input::FlowUp { flow: FlowId(3), transport, local, remote: SERVER.into(), reg_id: 1 });
    script.command(Command::Register);
    let register = script.next_request(Method::Register);
    let bytes =
        ResponseBuilder::to_request(&register, 200, "").to_tag("t").header(Name::Contact, contact(&register));
    let bytes = bytes.build().unwrap().to_bytes();
    script.input(Input::Received { flow: FlowId(3), bytes: &bytes });
    let refresh = script.next_request(Method::Invite);
    assert!(contact(&refresh).contains("127.0.0.1:40003"), "{}", contact(&refresh));
}

#[test]
fn a_call_that_came_over_the_stream_has_its_contact_on_the_datagrams() {
    let mut script = registered();
    let theirs =
        from_the_server("From: <sip:bob@example.com>;tag=b\nTo: <sip:alice@example.com>\nCall-ID: in\n");
    script.input(Input::Received { flow: STREAM, bytes: theirs.as_bytes() });
    script.next_status(100);
    let call = script.incoming_call();
    script.command(Command::Accept { call, answer: capabilities(20_000) });
    let ok = script.next_status(200);
    assert!(names_the_datagrams(&ok), "{}", contact(&ok));
}

#[test]
fn a_request_above_1300_bytes_takes_the_stream_and_the_binding_stays_with_the_datagrams() {
    let mut script = script(1400);
    stream_up(&mut script);
    script.command(Command::Register);
    let (register, transport) = next_over(&mut script);
    assert!(register.as_bytes().len() > 1300);
    assert_eq!(transport, Transport::Tcp);
    let contact = String::from_utf8_lossy(register.header(Name::Contact).unwrap()).into_owned();
    assert!(contact.contains("127.0.0.1:40001") && !contact.contains("transport=tcp"), "{contact}");
    script.reply(&register, 200, &[(Name::Contact, &contact)]);
    assert!(matches!(script.events.pop(), Some(Event::Registered { .. })), "{:?}", script.events);
    // The stream goes: the binding stands, and what is large takes the datagrams again.
    script.input(Input::FlowDown { flow: STREAM, why: FlowEnd::Closed });
    assert!(script.agent.is_registered(script.now));
    script.command(Command::Register);
    assert_eq!(next_over(&mut script).1, Transport::Udp);
}

#[test]
fn without_a_stream_a_large_request_is_a_datagram_all_the_same() {
    let mut script = script(1400);
    script.command(Command::Register);
    let (register, transport) = next_over(&mut script);
    assert_eq!((register.as_bytes().len() > 1300, transport), (true, Transport::Udp));
}

#[test]
fn a_small_request_stays_a_datagram_beside_a_stream() {
    let mut script = script(10);
    stream_up(&mut script);
    script.command(Command::Register);
    assert_eq!(next_over(&mut script).1, Transport::Udp);
}

#[test]
fn a_stream_beside_nothing_is_nothing() {
    let mut script = script(10);
    let (local, remote) = ("127.0.0.1:40002".parse().unwrap(), SERVER.into());
    script.input(Input::StreamUp { flow: STREAM, beside: FlowId(9), local, remote });
    script.input(Input::FlowDown { flow: FLOW, why: FlowEnd::Closed });
    script.command(Command::Register);
    assert!(script.sent.is_empty(), "a stream is never the newest flow");
}

#[test]
fn a_large_request_whose_stream_is_lost_before_an_answer_goes_as_a_datagram() {
    let mut script = script(1400);
    stream_up(&mut script);
    script.command(Command::Register);
    let (first, transport) = next_over(&mut script);
    assert_eq!(transport, Transport::Tcp);
    script.input(Input::FlowDown { flow: STREAM, why: FlowEnd::Reset });
    let (again, transport) = next_over(&mut script);
    assert_eq!(transport, Transport::Udp);
    assert_eq!(again.cseq().unwrap().number, first.cseq().unwrap().number);
    let contact = String::from_utf8_lossy(again.header(Name::Contact).unwrap()).into_owned();
    script.reply(&again, 200, &[(Name::Contact, &contact)]);
    assert!(matches!(script.events.pop(), Some(Event::Registered { .. })), "{:?}", script.events);
}
