//! Large requests on a UDP flow (RFC 3261 section 18.1.1).

use super::script::{FLOW, Script};
use super::world::SERVER;
use crate::flow::{FlowEnd, FlowId};
use crate::ua::{Command, Event, Input};
use crate::wire::{Message, Name, Transport};

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
