//! MESSAGE and OPTIONS: within calls and outside, out and in.

use std::time::Duration;

use super::script::{CALL, FLOW, Script};
use super::world::{World, uri};
use crate::flow::FlowEnd;
use crate::ua::{
    Body, CallKey, Command, Event, Input, MessageKey, ProbeKey, RequestFailure, Side, Transport,
};
use crate::wire::{Message, Method, Name};

const KEY: MessageKey = MessageKey(3);

fn to_bob(text: &str) -> Command {
    Command::Message {
        message: KEY,
        call: None,
        target: Some(uri("sip:bob@example.com")),
        content_type: "text/plain;charset=UTF-8".to_owned(),
        body: Body::from(text),
    }
}

fn message(branch: &str, kind: &str, extra: &str, body: &str) -> String {
    format!(
        "MESSAGE sip:alice@127.0.0.1:40001 SIP/2.0\nVia: SIP/2.0/TCP h;branch=z9hG4bK{branch}\nMax-Forwards: 70\n\
         From: <sip:bob@example.com>;tag=1\nTo: <sip:alice@example.com>\nCall-ID: {branch}\nCSeq: 1 MESSAGE\n\
         {extra}Content-Type: {kind}\nContent-Length: {}\n\n{body}",
        body.len()
    )
}

fn failure(script: &mut Script) -> RequestFailure {
    match script.events.pop() {
        Some(Event::MessageFailed { message: KEY, failure }) => failure,
        other => panic!("{other:?}"),
    }
}

#[test]
fn messages_go_both_ways_within_a_call_and_outside_any() {
    let (mut world, near, far) = World::established(41);
    world.command(0, to_bob("hello \u{1F44B}"));
    world.settle();
    let outside = |event: &Event| {
        matches!(event, Event::MessageReceived { from, call: None, content_type, body }
        if from.as_str() == "sip:alice@example.com" && content_type == "text/plain" && body.as_text() == Some("hello \u{1F44B}"))
    };
    assert!(world.has(1, outside), "{}", world.story());
    let inside = |call: CallKey, text: &str| Command::Message {
        message: KEY,
        call: Some(call),
        target: None,
        content_type: "text/plain".to_owned(),
        body: Body::from(text),
    };
    world.command(1, inside(far, "back"));
    world.command(0, inside(near, "there"));
    world.settle();
    let got = |world: &World, end: usize, call: CallKey, text: &str| {
        world.has(end, |event| matches!(event, Event::MessageReceived { call: Some(of), body, .. } if *of == call && body.as_text() == Some(text)))
    };
    assert!(got(&world, 0, near, "back") && got(&world, 1, far, "there"), "{}", world.story());
    let delivered = |event: &Event| matches!(event, Event::MessageDelivered { message: KEY, status: 200 });
    assert_eq!((world.count(0, delivered), world.count(1, delivered)), (2, 1));
    assert_eq!(world.ends[0].agent.calls(), 1);
}

#[test]
fn a_message_has_no_contact_and_its_answer_no_body() {
    let mut script = Script::registered();
    script.command(to_bob("hi"));
    let sent = script.next_request(Method::Message);
    assert!(sent.header(Name::Contact).is_none() && sent.header(Name::UserAgent).is_some());
    assert_eq!(sent.header(Name::ContentType), Some(&b"text/plain;charset=UTF-8"[..]));
    script.reply(&sent, 202, &[]);
    assert!(matches!(script.events.pop(), Some(Event::MessageDelivered { message: KEY, status: 202 })));
    script.raw(&message("m1", "text/plain", "", "hi"));
    let ok = script.next_status(200);
    assert!(ok.header(Name::Contact).is_none() && ok.body().is_empty());
}

#[test]
fn a_challenged_message_goes_out_again_and_a_refused_one_is_told() {
    let mut script = Script::registered();
    script.command(to_bob("hi"));
    let first = script.next_request(Method::Message);
    let challenge = "Digest realm=\"example.com\", nonce=\"n\", qop=\"auth\", algorithm=MD5";
    script.reply(&first, 407, &[(Name::ProxyAuthenticate, challenge)]);
    let second = script.next_request(Method::Message);
    assert!(second.header(Name::ProxyAuthorization).is_some());
    assert_eq!(second.cseq().unwrap().number, first.cseq().unwrap().number + 1);
    assert_eq!((second.call_id(), second.body()), (first.call_id(), first.body()));
    script.reply(&second, 503, &[(Name::RetryAfter, "30")]);
    let refused = failure(&mut script);
    assert!(matches!(&refused, RequestFailure::Refused { status: 503, .. }));
    assert_eq!(refused.retry_after(), Some(Duration::from_secs(30)));
}

#[test]
fn what_cannot_be_sent_fails_at_once() {
    let mut script = Script::registered();
    let mut fails = |call: Option<CallKey>, target: Option<&str>, content_type: &str| {
        let (target, content_type) = (target.map(uri), content_type.to_owned());
        script.command(Command::Message { message: KEY, call, target, content_type, body: Body::from("x") });
        assert!(script.sent.is_empty());
        failure(&mut script)
    };
    assert_eq!(fails(None, None, "text/plain"), RequestFailure::NoTarget);
    assert_eq!(fails(Some(CALL), None, "text/plain"), RequestFailure::NoCall);
    let smuggled = fails(None, Some("sip:b@h"), "text/plain\r\nX: y");
    assert!(matches!(smuggled, RequestFailure::Unbuildable { .. }), "{smuggled}");
    script.input(Input::FlowDown { flow: FLOW, why: FlowEnd::Closed });
    script.take_events();
    script.command(to_bob("x"));
    assert_eq!(failure(&mut script), RequestFailure::NoFlow);
}

#[test]
fn an_unanswered_message_fails_and_so_does_one_whose_flow_is_lost() {
    let mut script = Script::registered_with(|config| config.keep_alive = None);
    script.command(to_bob("x"));
    script.pass(Duration::from_secs(33));
    assert_eq!(failure(&mut script), RequestFailure::TimedOut { timer: "F" });
    script.command(to_bob("x"));
    script.input(Input::FlowDown { flow: FLOW, why: FlowEnd::Reset });
    let lost =
        |event: &Event| matches!(event, Event::MessageFailed { failure: RequestFailure::ConnectionLost, .. });
    assert!(script.events.iter().any(lost), "{:?}", script.events);
}

#[test]
fn a_large_message_outside_a_call_stays_off_datagrams() {
    let text = "x".repeat(1300);
    let mut script = Script::with(Transport::Udp, |_| {});
    script.command(to_bob(&text));
    assert!(script.sent.is_empty());
    script.input(Input::StreamFailed { beside: FLOW });
    assert!(matches!(failure(&mut script), RequestFailure::TooLarge { bytes } if bytes > 1300));
    script.command(to_bob(&text[..800]));
    assert!(script.next_request(Method::Message).as_bytes().len() <= 1300);
    let mut script = Script::registered();
    script.command(to_bob(&text));
    script.next_request(Method::Message);
}

#[test]
fn a_message_that_cannot_be_shown_is_refused_with_what_can() {
    let mut script = Script::registered();
    script.raw(&message("m1", "image/png", "", "x"));
    let refused = script.next_status(415);
    assert!(refused.lists_token(Name::Accept, "text/plain"));
    script.take_events();
    // What may be passed over is no reason to refuse.
    script.raw(&message("m2", "image/png", "Content-Disposition: render;handling=optional\n", "x"));
    script.next_status(200);
    script.raw(&message("m3", "TEXT/Plain ; charset=UTF-8", "", "x"));
    script.next_status(200);
    let inside = message("m4", "text/plain", "", "x")
        .replace("To: <sip:alice@example.com>", "To: <sip:alice@example.com>;tag=none");
    script.raw(&inside);
    script.next_status(481);
    let received = |event: &Event| matches!(event, Event::MessageReceived { .. });
    assert_eq!(script.events.iter().filter(|event| received(event)).count(), 2);
}

#[test]
fn a_stranger_without_our_binding_sends_us_no_message() {
    let mut script = Script::new();
    script.raw(&message("m1", "text/plain", "", "x"));
    script.next_status(403);
    assert!(!script.events.iter().any(|event| matches!(event, Event::MessageReceived { .. })));
}

#[test]
fn a_message_out_of_order_in_a_call_is_refused_and_the_call_stands() {
    let (mut script, ack) = Script::established();
    script.inside(&ack, "MESSAGE", 7, "Content-Type: text/plain\n", "");
    script.next_status(200);
    script.inside(&ack, "MESSAGE", 6, "", "");
    script.next_status(500);
    assert_eq!(script.agent.calls(), 1);
    assert!(!script.events.iter().any(|event| matches!(event, Event::Ended { by: Side::Remote, .. })));
}

#[test]
fn what_people_say_is_in_no_debug_line() {
    let mut script = Script::registered();
    assert!(!format!("{:?}", to_bob("secret words")).contains("secret"));
    script.raw(&message("m1", "text/plain", "", "secret words"));
    assert!(script.events.iter().any(|event| matches!(event, Event::MessageReceived { .. })));
    assert!(!format!("{:?}", script.events).contains("secret"));
}

fn probe(script: &mut Script) -> Message {
    script.command(Command::Probe { probe: ProbeKey(9), target: uri("sip:bob@example.com") });
    script.next_request(Method::Options)
}

#[test]
fn a_probe_tells_what_the_far_end_can_do() {
    let (mut world, ..) = World::established(42);
    world.command(0, Command::Probe { probe: ProbeKey(1), target: uri("sip:bob@example.com") });
    world.settle();
    let probed = |event: &Event| {
        matches!(event, Event::Probed { probe: ProbeKey(1), status: 200, allow, supported, accept }
        if allow.iter().any(|method| method == "MESSAGE") && supported.iter().any(|tag| tag == "timer")
            && accept.iter().any(|kind| kind == "application/sdp"))
    };
    assert!(world.has(0, probed), "{}", world.story());
    let mut script = Script::registered();
    let options = probe(&mut script);
    assert!(options.header(Name::Accept).is_some() && options.header(Name::Contact).is_some());
    script.reply(&options, 404, &[]);
    assert!(matches!(script.events.pop(), Some(Event::Probed { status: 404, .. })));
}

#[test]
fn a_probe_without_an_answer_fails() {
    let mut script = Script::registered_with(|config| config.keep_alive = None);
    probe(&mut script);
    script.pass(Duration::from_secs(33));
    let timed_out = RequestFailure::TimedOut { timer: "F" };
    assert!(matches!(script.events.pop(), Some(Event::ProbeFailed { failure, .. }) if failure == timed_out));
    let options = probe(&mut script);
    script.reply(&options, 401, &[(Name::WwwAuthenticate, "Basic realm=\"x\"")]);
    let Some(Event::ProbeFailed { failure, .. }) = script.events.pop() else { panic!() };
    assert!(matches!(failure, RequestFailure::NoUsableChallenge { .. }));
}
