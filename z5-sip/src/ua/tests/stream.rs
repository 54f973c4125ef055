//! Large requests on a UDP flow (RFC 3261 section 18.1.1).

use super::script::{CALL, FLOW, OFFER, Script};
use super::world::{SERVER, capabilities, uri};
use crate::flow::{FlowEnd, FlowId};
use crate::ua::{Body, CallFailure, Command, Event, Info, Input, MessageKey, RequestFailure};
use crate::wire::{Message, Method, Name, ResponseBuilder, Transport};

const STREAM: FlowId = FlowId(2);

/// An account whose name makes every request larger than a datagram may be, or not.
fn script(name: usize) -> Script {
    Script::with(Transport::Udp, |config| config.display_name = Some("A".repeat(name)))
}

fn stream_up(script: &mut Script) {
    stream_up_as(script, STREAM);
}

fn stream_up_as(script: &mut Script, flow: FlowId) {
    let local = "127.0.0.1:40002".parse().unwrap();
    script.input(Input::StreamUp { flow, beside: FLOW, local, remote: SERVER.into() });
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
fn a_call_over_the_stream_moves_when_its_datagrams_are_lost_and_the_stream_with_them() {
    let (mut script, _) = established();
    script.input(Input::FlowDown { flow: FLOW, why: FlowEnd::Closed });
    let (transport, local) = (Transport::Udp, "127.0.0.1:40003".parse().unwrap());
    script.input(Input::FlowUp { flow: FlowId(3), transport, local, remote: SERVER.into(), reg_id: 1 });
    script.command(Command::Register);
    script.input(Input::StreamFailed { beside: FlowId(3) });
    let register = script.next_request(Method::Register);
    let bytes =
        ResponseBuilder::to_request(&register, 200, "").to_tag("t").header(Name::Contact, contact(&register));
    let bytes = bytes.build().unwrap().to_bytes();
    script.input(Input::Received { flow: FlowId(3), bytes: &bytes });
    script.input(Input::StreamFailed { beside: FlowId(3) });
    let refresh = script.next_request(Method::Invite);
    assert!(contact(&refresh).contains("127.0.0.1:40003"), "{}", contact(&refresh));
}

#[test]
fn a_call_that_came_over_the_stream_moves_with_its_datagrams() {
    let mut script = registered();
    let theirs =
        from_the_server("From: <sip:bob@example.com>;tag=b\nTo: <sip:alice@example.com>\nCall-ID: in\n");
    script.input(Input::Received { flow: STREAM, bytes: theirs.as_bytes() });
    let call = script.incoming_call();
    script.command(Command::Accept { call, answer: capabilities(20_000) });
    script.sent.clear();
    script.input(Input::FlowDown { flow: FLOW, why: FlowEnd::Closed });
    assert!(script.closed, "the stream is of no use without them");
    let (transport, local) = (Transport::Udp, "127.0.0.1:40003".parse().unwrap());
    script.input(Input::FlowUp { flow: FlowId(3), transport, local, remote: SERVER.into(), reg_id: 1 });
    script.command(Command::Register);
    script.input(Input::StreamFailed { beside: FlowId(3) });
    let register = script.next_request(Method::Register);
    let ok = ResponseBuilder::to_request(&register, 200, "").to_tag("t");
    let bytes = ok.header(Name::Contact, contact(&register)).build().unwrap().to_bytes();
    script.input(Input::Received { flow: FlowId(3), bytes: &bytes });
    script.input(Input::StreamFailed { beside: FlowId(3) });
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
    // The stream goes: the binding stands, and what is large waits for another one.
    script.input(Input::FlowDown { flow: STREAM, why: FlowEnd::Closed });
    assert!(script.agent.is_registered(script.now));
    script.command(Command::Register);
    assert_eq!((script.sent.len(), &script.opening[..]), (0, &[FLOW][..]));
    stream_up_as(&mut script, FlowId(3));
    assert_eq!(next_over(&mut script).1, Transport::Tcp);
}

#[test]
fn a_large_request_waits_for_the_stream_and_is_a_datagram_where_there_is_none() {
    let mut script = script(1400);
    script.command(Command::Register);
    assert_eq!((script.sent.len(), &script.opening[..]), (0, &[FLOW][..]));
    script.input(Input::StreamFailed { beside: FLOW });
    let (register, transport) = next_over(&mut script);
    assert_eq!((register.as_bytes().len() > 1300, transport), (true, Transport::Udp));
    // That holds until the registrar has taken a binding again.
    let invite = script.invite();
    assert_eq!((via_token(&invite).as_str(), script.opening.len()), ("UDP", 1));
    script.reply(&register, 200, &[(Name::Contact, &contact(&register))]);
    assert_eq!(script.opening, [FLOW, FLOW]);
    script.command(Command::Register);
    assert!(script.sent.is_empty());
    stream_up(&mut script);
    assert_eq!(next_over(&mut script).1, Transport::Tcp);
}

#[test]
fn a_small_request_waits_for_nobody_and_the_stream_is_asked_for_once_the_binding_stands() {
    let mut script = script(10);
    script.command(Command::Register);
    let (register, transport) = next_over(&mut script);
    assert_eq!((transport, script.opening.len()), (Transport::Udp, 0));
    script.reply(&register, 200, &[(Name::Contact, &contact(&register))]);
    assert_eq!(script.opening, [FLOW]);
    script.command(Command::Register);
    assert_eq!(next_over(&mut script).1, Transport::Udp);
}

#[test]
fn a_call_that_waits_for_the_stream_is_taken_back_without_a_word() {
    let mut script = script(1400);
    script.call();
    script.command(Command::Hangup { call: CALL });
    assert!(matches!(
        script.events.pop(),
        Some(Event::Failed { failure: CallFailure::Cancelled { .. }, .. })
    ));
    stream_up(&mut script);
    assert!(script.sent.is_empty(), "{:?}", script.sent);
    assert_eq!(
        script.agent.next_deadline().map(|due| due.why),
        Some("ping the idle flow"),
        "nothing is left over"
    );
}

#[test]
fn a_call_that_waits_for_the_stream_fails_with_its_datagrams() {
    let mut script = script(1400);
    script.call();
    script.input(Input::FlowDown { flow: FLOW, why: FlowEnd::Refused });
    let failed = |event: &Event| matches!(event, Event::Failed { failure: CallFailure::ConnectionLost, .. });
    assert!(script.events.iter().any(failed), "{:?}", script.events);
    // The stream comes too late: it is closed.
    stream_up(&mut script);
    assert!(script.closed && script.sent.is_empty());
}

#[test]
fn what_follows_a_waiting_request_in_its_dialog_waits_behind_it() {
    let (mut script, _) = established();
    script.input(Input::FlowDown { flow: STREAM, why: FlowEnd::Closed });
    script.command(Command::Renegotiate { call: CALL, offer: capabilities(20_000) });
    script.command(Command::SendInfo { call: CALL, info: Info::Dtmf { digit: '5', duration_ms: 100 } });
    assert!(script.sent.is_empty(), "{:?}", script.sent);
    stream_up_as(&mut script, FlowId(3));
    let (invite, info) = (script.next_request(Method::Invite), script.next_request(Method::Info));
    assert!(invite.cseq().unwrap().number < info.cseq().unwrap().number);
}

#[test]
fn a_message_that_waits_is_refused_where_only_a_datagram_is_left() {
    let mut script = script(10);
    let message = MessageKey(1);
    let body = Body(bytes::Bytes::from(vec![b'x'; 1400]));
    let (content_type, target) = ("text/plain".to_owned(), Some(uri("sip:bob@example.com")));
    script.command(Command::Message { message, call: None, target, content_type, body });
    assert_eq!((script.sent.len(), &script.opening[..]), (0, &[FLOW][..]));
    script.input(Input::StreamFailed { beside: FLOW });
    let told = script.events.pop();
    assert!(
        matches!(told, Some(Event::MessageFailed { failure: RequestFailure::TooLarge { .. }, .. })),
        "{told:?}"
    );
    assert!(script.sent.is_empty());
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
