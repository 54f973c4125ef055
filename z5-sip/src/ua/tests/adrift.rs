//! Requests of a call whose flow is lost before they are answered.

use std::time::Duration;

use super::script::{ANSWER, CALL, FLOW, Script};
use super::world::{SERVER, capabilities};
use crate::flow::{FlowEnd, FlowId};
use crate::ua::{CallFailure, Command, Event, Input, Side};
use crate::wire::{Message, Method, Name, ResponseBuilder, Transport};

const NEXT: FlowId = FlowId(2);

fn established() -> (Script, Message) {
    let (mut script, ack) = Script::established();
    script.take_events();
    (script, ack)
}

fn lose(script: &mut Script) {
    script.input(Input::FlowDown { flow: FLOW, why: FlowEnd::Reset });
}

/// Answers a request over the new flow.
fn answer(script: &mut Script, request: &Message, sdp: Option<&str>) {
    let mut ok = ResponseBuilder::to_request(request, 200, "");
    if request.to_tag().is_none() {
        ok = ok.to_tag("r");
    }
    ok = match request.method() {
        Some(Method::Register) => ok.header(Name::Contact, request.text(Name::Contact).unwrap().into_owned()),
        _ => ok.header(Name::Contact, "<sip:bob@192.0.2.7:5999;transport=tcp>"),
    };
    if let Some(sdp) = sdp {
        ok = ok.body("application/sdp", sdp.to_owned());
    }
    let bytes = ok.build().unwrap().to_bytes();
    script.input(Input::Received { flow: NEXT, bytes: &bytes });
}

/// A new flow is up and bound; what goes out on it then.
fn rebuilt(script: &mut Script) {
    let (transport, local) = (Transport::Tcp, "127.0.0.1:40009".parse().unwrap());
    script.input(Input::FlowUp { flow: NEXT, transport, local, remote: SERVER.into(), reg_id: 1 });
    script.command(Command::Register);
    let register = script.next_request(Method::Register);
    answer(script, &register, None);
    // Offers go out by their deadline, which has come.
    script.input(Input::Deadline);
}

fn sent(script: &mut Script, method: &Method) -> Message {
    let found = script.sent.iter().position(|message| message.method().as_ref() == Some(method));
    let at = found.unwrap_or_else(|| panic!("no {method} among {:?}", script.sent));
    script.sent.remove(at).unwrap()
}

fn failed(event: &Event) -> bool {
    matches!(event, Event::RenegotiationFailed { .. })
}

#[test]
fn an_offer_whose_flow_is_lost_is_made_again_over_the_next_one() {
    let (mut script, _) = established();
    script.command(Command::Renegotiate { call: CALL, offer: capabilities(20_100) });
    let first = script.next_request(Method::Invite);
    lose(&mut script);
    rebuilt(&mut script);
    let again = sent(&mut script, &Method::Invite);
    assert_eq!(again.body(), first.body(), "the same offer in the same version");
    assert!(again.cseq().unwrap().number > first.cseq().unwrap().number);
    assert!(again.text(Name::Contact).unwrap().contains("40009"));
    answer(&mut script, &again, Some(ANSWER));
    script.next_request(Method::Ack);
    assert!(!script.events.iter().any(failed), "{:?}", script.events);
    let agreed = |event: &Event| matches!(event, Event::Renegotiated { negotiated, .. } if negotiated.media[0].local_port == 20_100);
    assert!(script.events.iter().any(agreed), "{:?}", script.events);
}

#[test]
fn an_offer_for_which_no_flow_comes_has_failed_once() {
    let (mut script, _) = established();
    script.command(Command::Renegotiate { call: CALL, offer: capabilities(20_100) });
    lose(&mut script);
    script.pass(Duration::from_secs(31));
    assert!(!script.events.iter().any(failed), "{:?}", script.events);
    script.pass(Duration::from_secs(2));
    let told =
        |event: &Event| matches!(event, Event::RenegotiationFailed { failure: CallFailure::NoFlow, .. });
    assert_eq!(script.events.iter().filter(|event| told(event)).count(), 1, "{:?}", script.events);
    script.sent.clear();
    rebuilt(&mut script);
    let body = |message: &Message| String::from_utf8_lossy(message.body()).contains("20100");
    assert!(!script.sent.iter().any(body), "it is not made any more");
}

#[test]
fn a_bye_whose_flow_is_lost_or_missing_is_sent_over_the_next_one() {
    for hang_up_first in [true, false] {
        let (mut script, ack) = established();
        if hang_up_first {
            script.command(Command::Hangup { call: CALL });
            script.next_request(Method::Bye);
            lose(&mut script);
        } else {
            lose(&mut script);
            script.command(Command::Hangup { call: CALL });
        }
        let ended = |event: &Event| matches!(event, Event::Ended { by: Side::Local, .. });
        assert_eq!(script.events.iter().filter(|event| ended(event)).count(), 1);
        rebuilt(&mut script);
        let bye = sent(&mut script, &Method::Bye);
        assert!(bye.cseq().unwrap().number > ack.cseq().unwrap().number);
        assert_eq!((bye.call_id().unwrap(), bye.to_tag()), (ack.call_id().unwrap(), ack.to_tag()));
        answer(&mut script, &bye, None);
        assert_eq!(script.agent.calls(), 0);
    }
}

#[test]
fn what_nobody_waits_for_any_more_is_not_sent() {
    let (mut script, _) = established();
    script.command(Command::Hangup { call: CALL });
    lose(&mut script);
    script.pass(Duration::from_secs(33));
    script.sent.clear();
    rebuilt(&mut script);
    assert!(script.sent.is_empty(), "{:?}", script.sent);
}

#[test]
fn a_prack_whose_flow_is_lost_is_sent_over_the_next_one() {
    let mut script = Script::registered();
    let invite = script.invite();
    let headers = [
        (Name::Contact, "<sip:bob@192.0.2.7:5999;transport=tcp>"),
        (Name::Require, "100rel"),
        (Name::RSeq, "5"),
    ];
    script.reply_with(&invite, 180, "bobtag", &headers, None);
    let first = script.next_request(Method::Prack);
    // The 2xx does not wait for the PRACK of mere ringing.
    script.accept(&invite, "bobtag");
    script.next_request(Method::Ack);
    lose(&mut script);
    rebuilt(&mut script);
    let again = sent(&mut script, &Method::Prack);
    assert_eq!(again.text(Name::RAck), first.text(Name::RAck));
    assert!(again.cseq().unwrap().number > first.cseq().unwrap().number);
}
