//! Requests that overtake the 200 of the REGISTER whose binding they come by.

use super::script::{FLOW, OFFER, Script};
use crate::flow::FlowEnd;
use crate::ua::{CallFailure, Event, Input, Side};
use crate::wire::{Message, Name, Transport};

/// A REGISTER over UDP that is not answered yet.
fn registering() -> (Script, Message) {
    let mut script = Script::with(Transport::Udp, |_| {});
    script.command(crate::ua::Command::Register);
    let register = script.next();
    (script, register)
}

fn grant(script: &mut Script, register: &Message) {
    let contact = register.text(Name::Contact).unwrap().into_owned();
    script.reply(register, 200, &[(Name::Contact, &contact)]);
}

/// An INVITE of carol, or another request of the same transaction.
fn invite(method: &str) -> Vec<u8> {
    let (kind, body) = match method {
        "INVITE" => ("Content-Type: application/sdp\r\n", OFFER),
        _ => ("", ""),
    };
    format!(
        "{method} sip:alice@127.0.0.1:40001 SIP/2.0\r\nVia: SIP/2.0/UDP p.example.com;branch=z9hG4bKin1\r\nMax-Forwards: 69\r\n\
         From: <sip:carol@example.com>;tag=caroltag\r\nTo: <sip:alice@example.com>\r\nCall-ID: incoming1\r\n\
         CSeq: 10 {method}\r\nContact: <sip:carol@192.0.2.3>\r\n{kind}Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

fn hear(script: &mut Script, bytes: &[u8]) {
    script.input(Input::Received { flow: FLOW, bytes });
}

#[test]
fn a_call_that_overtakes_the_200_of_the_register_is_told_when_that_comes() {
    let (mut script, register) = registering();
    hear(&mut script, &invite("INVITE"));
    script.next_status(100);
    hear(&mut script, &invite("INVITE"));
    script.next_status(100);
    assert!(script.take_events().is_empty(), "nothing is told before");
    grant(&mut script, &register);
    let events = script.take_events();
    assert!(matches!(events[..], [Event::Registered { .. }, Event::Incoming { .. }]), "{events:#?}");
    hear(&mut script, &invite("CANCEL"));
    script.sent.retain(|message| message.status() != Some(100));
    script.next_status(200);
    script.next_status(487);
}

#[test]
fn what_is_heard_before_a_refused_register_is_refused_with_it() {
    let (mut script, register) = registering();
    hear(&mut script, &invite("INVITE"));
    script.next_status(100);
    script.reply(&register, 403, &[]);
    script.next_status(403);
    let incoming = |event: &Event| matches!(event, Event::Incoming { .. });
    assert!(!script.events.iter().any(incoming), "{:?}", script.events);
    // Without a REGISTER on its way nobody waits.
    let (mut script, _) = registering();
    let mut idle = Script::with(Transport::Udp, |_| {});
    hear(&mut idle, &invite("INVITE"));
    idle.next_status(403);
    // And no crowd.
    for number in 0..20 {
        let text = String::from_utf8(invite("INVITE")).unwrap();
        let text =
            text.replace("in1", &format!("in{number}")).replace("incoming1", &format!("incoming{number}"));
        hear(&mut script, text.as_bytes());
    }
    let count = |status| script.sent.iter().filter(|message| message.status() == Some(status)).count();
    assert_eq!((count(100), count(403)), (16, 4));
}

#[test]
fn a_call_that_waits_can_be_taken_back_and_goes_with_its_flow() {
    let (mut script, register) = registering();
    hear(&mut script, &invite("INVITE"));
    hear(&mut script, &invite("CANCEL"));
    script.next_status(100);
    script.next_status(200);
    script.next_status(487);
    grant(&mut script, &register);
    let events = script.take_events();
    assert!(matches!(events[..], [Event::Registered { .. }]), "{events:#?}");
    let (mut script, _) = registering();
    hear(&mut script, &invite("INVITE"));
    script.input(Input::FlowDown { flow: FLOW, why: FlowEnd::Refused });
    let told = |event: &Event| {
        matches!(
            event,
            Event::Incoming { .. }
                | Event::Failed { failure: CallFailure::Cancelled { by: Side::Remote, .. }, .. }
        )
    };
    assert!(!script.events.iter().any(told), "{:?}", script.events);
}
