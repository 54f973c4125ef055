//! Calls: set up, changed and ended from both sides, and the races between.

use std::time::Duration;

use super::script::{ANSWER, CALL, FLOW, OFFER, Script};
use super::world::{Cut, World, capabilities};
use crate::flow::FlowEnd;
use crate::sdp::{Direction, MediaKind};
use crate::ua::{CallFailure, CallKey, Command, Event, Input, Side};
use crate::wire::{Message, Method, Name, Uri};

fn ended(by: Side) -> impl Fn(&Event) -> bool {
    move |event| matches!(event, Event::Ended { by: who, .. } if *who == by)
}

fn text(message: &Message) -> String {
    String::from_utf8_lossy(message.as_bytes()).into_owned()
}

#[test]
fn a_call_stands_with_media_both_ways_and_the_caller_ends_it() {
    let (mut world, near, _) = World::established(1);
    let media = |world: &World, end: usize| {
        world.ends[end].events.iter().find_map(|event| match event {
            Event::Established { negotiated, .. } => Some(negotiated.clone()),
            _ => None,
        })
    };
    let (ours, theirs) = (media(&world, 0).unwrap(), media(&world, 1).unwrap());
    assert_eq!(ours.first(MediaKind::Audio).unwrap().remote.port(), 30_000);
    assert_eq!(theirs.first(MediaKind::Audio).unwrap().remote.port(), 20_000);
    assert_eq!(ours.first(MediaKind::Text).unwrap().codec("red").unwrap().send_payload_type, 100);
    assert!(world.has(0, |event| matches!(event, Event::Progress { status: 180, .. })));
    world.command(0, Command::Hangup { call: near });
    world.run_until("over", |world| world.has(0, ended(Side::Local)) && world.has(1, ended(Side::Remote)));
    assert_eq!((world.ends[0].agent.calls(), world.ends[1].agent.calls()), (0, 0));
}

#[test]
fn the_callee_ends_it() {
    let (mut world, _, far) = World::established(2);
    world.command(1, Command::Hangup { call: far });
    world.run_until("over", |world| world.has(1, ended(Side::Local)) && world.has(0, ended(Side::Remote)));
}

#[test]
fn a_second_call_needs_no_second_challenge() {
    let (mut world, near, _) = World::established(3);
    let challenged = |world: &World| world.server.log.iter().filter(|line| line.contains("INVITE")).count();
    assert_eq!(challenged(&world), 2);
    world.command(0, Command::Hangup { call: near });
    world.settle();
    world.call(CallKey(2), "bob");
    world.settle();
    assert_eq!(challenged(&world), 3, "{:?}", world.server.log);
}

#[test]
fn the_ack_of_a_challenge_and_the_next_invite_leave_in_one_write() {
    let (world, _, _) = World::established(4);
    let together = world.ends[0].writes.iter().any(|write| {
        let text = String::from_utf8_lossy(write);
        text.starts_with("ACK ") && text.contains("\r\n\r\nINVITE ")
    });
    assert!(together, "{}", world.story());
}

#[test]
fn streams_may_be_cut_at_every_byte() {
    let mut world = World::new(5, &["alice", "bob"]);
    world.cut = Cut::EveryByte;
    world.register_all();
    let (near, _) = world.connect_call();
    world.command(0, Command::Hangup { call: near });
    world.run_until("over", |world| world.has(0, ended(Side::Local)) && world.has(1, ended(Side::Remote)));
}

#[test]
fn who_is_not_there_is_not_found() {
    let mut world = World::new(6, &["alice"]);
    world.register_all();
    world.call(CallKey(1), "nobody");
    world.settle();
    assert!(world.has(0, |event| matches!(
        event,
        Event::Failed { failure: CallFailure::NotFound { status: 404, .. }, .. }
    )));
}

#[test]
fn the_ack_goes_to_the_contact_along_the_recorded_route() {
    let (_, ack) = Script::established();
    assert_eq!(ack.request_uri().unwrap().unwrap().as_str(), "sip:bob@192.0.2.7:5999;transport=tcp");
    let routes: Vec<String> = ack.routes().map(|route| route.unwrap().uri.as_str().to_owned()).collect();
    assert_eq!(
        routes,
        ["sip:p1.example.com;lr", "sip:p2.example.com;lr"],
        "the reverse of what was recorded"
    );
    assert_eq!(ack.to().unwrap().tag(), Some("bobtag"));
    assert_eq!(ack.cseq().unwrap().method, Method::Ack);
    assert!(ack.header(Name::UserAgent).is_some());
}

#[test]
fn a_strict_router_gets_its_own_uri() {
    let mut script = Script::registered();
    let invite = script.invite();
    let headers = [(Name::Contact, "<sip:bob@192.0.2.7>"), (Name::RecordRoute, "<sip:strict.example.com>")];
    script.reply_with(&invite, 200, "t", &headers, Some(ANSWER));
    let ack = script.next_request(Method::Ack);
    assert_eq!(ack.request_uri().unwrap().unwrap().as_str(), "sip:strict.example.com");
    assert_eq!(ack.header(Name::Route), Some(&b"<sip:bob@192.0.2.7>"[..]));
}

#[test]
fn the_credentials_of_an_invite_go_with_its_ack() {
    let mut script = Script::registered();
    let invite = script.invite();
    let challenge = "Digest realm=\"example.com\", nonce=\"n1\", qop=\"auth\", algorithm=MD5";
    script.reply(&invite, 407, &[(Name::ProxyAuthenticate, challenge)]);
    let refused = script.next_request(Method::Ack);
    assert_eq!(refused.via().unwrap().branch(), invite.via().unwrap().branch());
    let invite = script.next_request(Method::Invite);
    script.accept(&invite, "bobtag");
    let ack = script.next_request(Method::Ack);
    assert_eq!(ack.header(Name::ProxyAuthorization), invite.header(Name::ProxyAuthorization));
    assert!(ack.header(Name::ProxyAuthorization).is_some());
    assert_eq!(ack.cseq().unwrap().number, invite.cseq().unwrap().number);
    assert_ne!(ack.via().unwrap().branch(), invite.via().unwrap().branch());
    script.command(Command::Hangup { call: CALL });
    let bye = script.next_request(Method::Bye);
    assert_eq!(bye.cseq().unwrap().number, invite.cseq().unwrap().number + 1);
    assert!(text(&bye).contains("nc=00000002"), "the nonce serves again: {}", text(&bye));
}

#[test]
fn a_repeated_200_gets_the_same_ack_again() {
    let mut script = Script::registered();
    let invite = script.invite();
    let response = script.accept(&invite, "bobtag");
    let ack = script.next_request(Method::Ack);
    script.pass(Duration::from_millis(500));
    script.receive(&response);
    assert_eq!(script.next(), ack);
    assert_eq!(script.events.len(), 1, "{:?}", script.events);
}

#[test]
fn another_fork_that_answers_is_acknowledged_and_ended() {
    let mut script = Script::registered();
    let invite = script.invite();
    script.accept(&invite, "first");
    script.next_request(Method::Ack);
    let second = script.accept(&invite, "second");
    let ack = script.next_request(Method::Ack);
    assert_eq!(ack.to().unwrap().tag(), Some("second"));
    let bye = script.next_request(Method::Bye);
    assert_eq!(bye.to().unwrap().tag(), Some("second"));
    script.receive(&second);
    assert_eq!(script.next(), ack);
    assert!(script.sent.is_empty());
    assert_eq!(script.events.len(), 1, "the first call goes on: {:?}", script.events);
    assert_eq!(script.agent.calls(), 1);
}

#[test]
fn a_cancel_waits_for_a_provisional_response() {
    let mut script = Script::registered();
    let invite = script.invite();
    script.command(Command::Hangup { call: CALL });
    assert!(script.sent.is_empty());
    script.reply(&invite, 100, &[]);
    let cancel = script.next_request(Method::Cancel);
    assert_eq!(cancel.via().unwrap().branch(), invite.via().unwrap().branch());
    assert_eq!(cancel.cseq().unwrap().number, invite.cseq().unwrap().number);
    assert!(cancel.header(Name::UserAgent).is_some());
    script.reply(&cancel, 200, &[]);
    script.reply(&invite, 487, &[]);
    script.next_request(Method::Ack);
    assert!(matches!(
        script.take_events()[..],
        [Event::Failed { failure: CallFailure::Cancelled { by: Side::Local, .. }, .. }]
    ));
}

#[test]
fn a_200_that_overtakes_the_cancel_is_ended() {
    let mut script = Script::registered();
    let invite = script.invite();
    script.reply(&invite, 180, &[]);
    script.command(Command::Hangup { call: CALL });
    script.next_request(Method::Cancel);
    script.accept(&invite, "bobtag");
    script.next_request(Method::Ack);
    let bye = script.next_request(Method::Bye);
    assert_eq!(bye.to().unwrap().tag(), Some("bobtag"));
    let failed = |event: &Event| {
        matches!(event, Event::Failed { failure: CallFailure::Cancelled { by: Side::Local, .. }, .. })
    };
    assert_eq!(script.events.iter().filter(|event| failed(event)).count(), 1);
    assert_eq!(script.agent.calls(), 0);
}

#[test]
fn a_cancelled_call_without_a_final_response_is_given_up() {
    let mut script = Script::registered();
    let invite = script.invite();
    script.reply(&invite, 180, &[]);
    script.command(Command::Hangup { call: CALL });
    let cancel = script.next_request(Method::Cancel);
    script.reply(&cancel, 200, &[]);
    script.pass(Duration::from_secs(32));
    assert!(matches!(
        script.events.pop(),
        Some(Event::Failed { failure: CallFailure::Cancelled { .. }, .. })
    ));
    // What still comes is dealt with.
    script.accept(&invite, "late");
    script.next_request(Method::Ack);
    script.next_request(Method::Bye);
}

#[test]
fn an_unanswered_invite_times_out_and_a_ringing_one_does_not() {
    let mut script = Script::registered();
    script.invite();
    script.pass(Duration::from_secs(32));
    assert!(matches!(
        script.events.pop(),
        Some(Event::Failed { failure: CallFailure::TimedOut { timer: "B" }, .. })
    ));
    let mut script = Script::registered_with(|config| config.keep_alive = None);
    let invite = script.invite();
    script.reply(&invite, 180, &[]);
    script.take_events();
    script.pass(Duration::from_secs(180));
    assert!(script.take_events().is_empty(), "three minutes of patience");
}

#[test]
fn every_refusal_has_its_failure() {
    let failure = |status: u16, headers: &[(Name<'static>, &str)]| {
        let mut script = Script::registered_with(|config| config.redirects = 0);
        let invite = script.invite();
        script.reply(&invite, status, headers);
        script.next_request(Method::Ack);
        match script.events.pop() {
            Some(Event::Failed { failure, .. }) => failure,
            other => panic!("{status}: {other:?}"),
        }
    };
    assert!(matches!(failure(486, &[]), CallFailure::Busy { status: 486 }));
    assert!(matches!(failure(600, &[]), CallFailure::Busy { status: 600 }));
    assert!(matches!(failure(603, &[]), CallFailure::Declined { status: 603, .. }));
    assert!(matches!(failure(480, &[]), CallFailure::Unavailable { .. }));
    assert!(matches!(failure(404, &[]), CallFailure::NotFound { status: 404, .. }));
    assert!(matches!(failure(604, &[]), CallFailure::NotFound { status: 604, .. }));
    assert!(matches!(failure(408, &[]), CallFailure::NoAnswer { status: 408 }));
    assert!(matches!(failure(487, &[]), CallFailure::NoAnswer { status: 487 }));
    for status in [488, 606] {
        let failure = failure(status, &[(Name::Warning, "304 h \"no codec in common\"")]);
        assert!(
            matches!(failure, CallFailure::NotAcceptable { warning: Some(text), .. } if text == "no codec in common")
        );
    }
    let moved = failure(302, &[(Name::Contact, "<sip:bob@elsewhere.example.com>")]);
    assert!(
        matches!(moved, CallFailure::Moved { targets, .. } if targets == [Uri::parse("sip:bob@elsewhere.example.com").unwrap()])
    );
    assert!(matches!(failure(500, &[]), CallFailure::Refused { status: 500, warning: None, .. }));
}

#[test]
fn an_answer_that_cannot_be_used_is_acknowledged_and_ended() {
    for sdp in [None, Some("v=0\r\nnonsense"), Some(&ANSWER.replace("RTP/AVP 8", "RTP/AVP 18")[..])] {
        let mut script = Script::registered();
        let invite = script.invite();
        script.reply_with(&invite, 200, "t", &[(Name::Contact, "<sip:bob@192.0.2.7>")], sdp);
        script.next_request(Method::Ack);
        let bye = script.next_request(Method::Bye);
        assert!(text(&bye).contains("Reason: SIP;cause=488"));
        let Some(Event::Failed { failure, .. }) = script.events.pop() else { panic!("{:?}", script.events) };
        assert!(
            matches!(failure, CallFailure::Negotiation(_) | CallFailure::NoAnswerDescription),
            "{failure}"
        );
    }
}

#[test]
fn early_media_is_told_and_the_answer_may_still_differ() {
    let mut script = Script::registered();
    let invite = script.invite();
    script.reply_with(&invite, 183, "bobtag", &[(Name::Contact, "<sip:bob@192.0.2.7>")], Some(ANSWER));
    let Some(Event::Progress { status: 183, early_media: Some(early), .. }) = script.events.pop() else {
        panic!("{:?}", script.events)
    };
    assert_eq!(early.media[0].remote.port(), 7000);
    let answer = ANSWER.replace("7000", "7100");
    script.reply_with(&invite, 200, "bobtag", &[(Name::Contact, "<sip:bob@192.0.2.7>")], Some(&answer));
    let Some(Event::Established { negotiated, .. }) = script.events.pop() else {
        panic!("{:?}", script.events)
    };
    assert_eq!(negotiated.media[0].remote.port(), 7100);
}

#[test]
fn a_lost_flow_fails_what_has_not_stood_and_nothing_else() {
    let mut script = Script::registered();
    let invite = script.invite();
    script.reply(&invite, 180, &[]);
    script.input(Input::FlowDown { flow: FLOW, why: FlowEnd::Reset });
    assert!(
        script
            .events
            .iter()
            .any(|event| { matches!(event, Event::Failed { failure: CallFailure::ConnectionLost, .. }) })
    );
    assert_eq!(script.agent.calls(), 0);
}

#[test]
fn a_call_outlives_its_flow() {
    let (mut world, near, _) = World::established(7);
    world.disconnect(0);
    assert!(!world.has(0, |event| matches!(event, Event::Ended { .. } | Event::Failed { .. })));
    world.connect(0);
    world.register_all();
    world.command(0, Command::Hangup { call: near });
    world.run_until("over", |world| world.has(0, ended(Side::Local)) && world.has(1, ended(Side::Remote)));
}

#[test]
fn a_hangup_without_any_flow_ends_the_call_here() {
    let (mut world, near, _) = World::established(8);
    world.disconnect(0);
    world.command(0, Command::Hangup { call: near });
    assert!(world.has(0, ended(Side::Local)));
}

#[test]
fn a_bye_carries_its_reason_and_a_second_one_finds_nothing() {
    let (mut script, ack) = Script::established();
    script.inside(&ack, "BYE", 1, "Reason: Q.850;cause=16;text=\"Normal, clearing\"\n", "");
    script.next_status(200);
    let Some(Event::Ended { by: Side::Remote, reason: Some(reason), .. }) = script.events.pop() else {
        panic!("{:?}", script.events)
    };
    assert_eq!((reason.cause, reason.text.as_deref()), (Some(16), Some("Normal, clearing")));
    script.inside(&ack, "BYE", 2, "", "");
    script.next_status(481);
    assert!(script.take_events().is_empty());
}

#[test]
fn byes_that_cross_end_the_call_once() {
    let (mut world, near, far) = World::established(9);
    world.command(0, Command::Hangup { call: near });
    world.command(1, Command::Hangup { call: far });
    world.settle();
    for end in [0, 1] {
        assert_eq!(world.count(end, |event| matches!(event, Event::Ended { .. })), 1, "{}", world.story());
    }
}

#[test]
fn a_bye_without_an_answer_ends_the_call_all_the_same() {
    let (mut script, _) = Script::established();
    script.command(Command::Hangup { call: CALL });
    script.next_request(Method::Bye);
    assert!(script.take_events().is_empty());
    script.pass(Duration::from_secs(32));
    assert!(script.events.iter().any(ended(Side::Local)));
}

#[test]
fn an_incoming_call_is_told_rung_and_taken() {
    let mut script = Script::registered();
    script.incoming("", OFFER);
    script.next_status(100);
    let call = script.incoming_call();
    let Some(Event::Incoming { from, display_name, offered, .. }) = script.events.pop() else { panic!() };
    assert_eq!((from.as_str(), display_name.as_deref()), ("sip:carol@example.com", Some("Carol")));
    assert_eq!(offered.to_string(), "audio (PCMU/8000 telephone-event/8000)");
    script.command(Command::Ring { call, offer: None });
    let ringing = script.next_status(180);
    assert_eq!(ringing.vias().count(), 2);
    assert_eq!(ringing.record_routes().count(), 2);
    script.command(Command::Accept { call, answer: capabilities(30_000) });
    let ok = script.next_status(200);
    assert_eq!(ok.to().unwrap().tag(), ringing.to().unwrap().tag());
    assert!(ok.header(Name::Server).is_some() && ok.contact().is_ok());
    assert!(text(&ok).contains("m=audio 30000 RTP/AVP 0 96\r\n"), "{}", text(&ok));
    assert!(matches!(script.events.pop(), Some(Event::Established { .. })));
}

fn ack_incoming(script: &mut Script, ok: &Message, cseq: u32, body: &str) {
    let tag = ok.to().unwrap().tag().unwrap().to_owned();
    let kind = if body.is_empty() { "" } else { "Content-Type: application/sdp\n" };
    script.raw(&format!(
        "ACK sip:alice@127.0.0.1:40001;transport=tcp SIP/2.0\nVia: SIP/2.0/TCP 192.0.2.3;branch=z9hG4bKack{cseq}\n\
         Max-Forwards: 70\nFrom: \"Carol\" <sip:carol@example.com>;tag=caroltag\nTo: <sip:alice@example.com>;tag={tag}\n\
         Call-ID: incoming1\nCSeq: {cseq} ACK\n{kind}Content-Length: {}\n\n",
        body.len()
    ));
    script.input(Input::Received { flow: FLOW, bytes: body.as_bytes() });
}

#[test]
fn a_200_is_repeated_until_its_ack_and_the_bye_waits_for_it() {
    let mut script = Script::registered();
    script.incoming("", OFFER);
    let call = script.incoming_call();
    script.command(Command::Accept { call, answer: capabilities(30_000) });
    script.next_status(100);
    let ok = script.next_status(200);
    script.pass(Duration::from_millis(1500));
    assert_eq!((script.next(), script.next()), (ok.clone(), ok.clone()), "after 500 ms and 1500 ms");
    script.command(Command::Hangup { call });
    assert!(script.sent.is_empty(), "no BYE before the ACK");
    ack_incoming(&mut script, &ok, 10, "");
    let bye = script.next_request(Method::Bye);
    assert_eq!(bye.request_uri().unwrap().unwrap().as_str(), "sip:carol@192.0.2.3:5062;transport=tcp");
    let routes: Vec<String> = bye.routes().map(|route| route.unwrap().uri.as_str().to_owned()).collect();
    assert_eq!(routes, ["sip:p1.example.com;lr", "sip:p2.example.com;lr"]);
    script.pass(Duration::from_secs(4));
    assert!(script.sent.is_empty(), "the 200 is not repeated any more");
}

#[test]
fn a_200_that_is_never_acknowledged_ends_in_a_bye() {
    let mut script = Script::registered_with(|config| config.keep_alive = None);
    script.incoming("", OFFER);
    let call = script.incoming_call();
    script.command(Command::Accept { call, answer: capabilities(30_000) });
    script.pass(Duration::from_secs(32));
    let bye = script.sent.pop_back().unwrap();
    assert_eq!(bye.method(), Some(Method::Bye));
    script.reply(&bye, 200, &[]);
    assert!(script.events.iter().any(ended(Side::Network)), "{:?}", script.events);
}

#[test]
fn a_stray_ack_changes_nothing() {
    let (mut script, ack) = Script::established();
    script.inside(&ack, "ACK", 99, "", "");
    script.raw(
        "ACK sip:alice@h SIP/2.0\nVia: SIP/2.0/TCP x;branch=z9hG4bKzz\nMax-Forwards: 70\nFrom: <sip:x@h>;tag=1\n\
         To: <sip:alice@h>;tag=2\nCall-ID: zz\nCSeq: 1 ACK\nContent-Length: 0\n\n",
    );
    assert!(script.sent.is_empty());
    assert!(matches!(script.take_events()[..], [Event::Unexpected { .. }]));
    assert_eq!(script.agent.calls(), 1);
}

#[test]
fn an_offer_in_the_200_is_answered_in_the_ack() {
    let mut script = Script::registered();
    script.incoming("", "");
    let call = script.incoming_call();
    script.command(Command::Accept { call, answer: capabilities(30_000) });
    script.next_status(100);
    let ok = script.next_status(200);
    assert!(text(&ok).contains("m=audio 30000 RTP/AVP 0 8 101\r\n"));
    assert!(!script.events.iter().any(|event| matches!(event, Event::Established { .. })));
    ack_incoming(&mut script, &ok, 10, ANSWER);
    assert!(matches!(script.events.pop(), Some(Event::Established { .. })));
}

#[test]
fn an_ack_without_the_answer_ends_the_call() {
    let mut script = Script::registered();
    script.incoming("", "");
    let call = script.incoming_call();
    script.command(Command::Accept { call, answer: capabilities(30_000) });
    script.next_status(100);
    let ok = script.next_status(200);
    ack_incoming(&mut script, &ok, 10, "");
    let bye = script.next_request(Method::Bye);
    script.reply(&bye, 200, &[]);
    let failed =
        |event: &Event| matches!(event, Event::Failed { failure: CallFailure::NoAnswerDescription, .. });
    assert!(script.events.iter().any(failed), "{:?}", script.events);
}

#[test]
fn the_caller_takes_an_incoming_call_back() {
    let mut script = Script::registered();
    script.incoming("", OFFER);
    script.next_status(100);
    script.raw(
        "CANCEL sip:alice@127.0.0.1:40001;transport=tcp SIP/2.0\nVia: SIP/2.0/TCP p.example.com;branch=z9hG4bKin1\n\
         Max-Forwards: 70\nFrom: \"Carol\" <sip:carol@example.com>;tag=caroltag\nTo: <sip:alice@example.com>\n\
         Call-ID: incoming1\nCSeq: 10 CANCEL\nReason: SIP;cause=200;text=\"Call completed elsewhere\"\nContent-Length: 0\n\n",
    );
    let ok = script.next_status(200);
    let terminated = script.next_status(487);
    assert_eq!(ok.to().unwrap().tag(), terminated.to().unwrap().tag());
    let Some(Event::Failed {
        failure: CallFailure::Cancelled { by: Side::Remote, reason: Some(reason) },
        ..
    }) = script.events.pop()
    else {
        panic!("{:?}", script.events)
    };
    assert!(reason.is_answered_elsewhere());
}

/// RFC 3261 section 21.3.3: the answer says who takes it.
#[test]
fn an_incoming_call_is_sent_to_somebody_else() {
    let mut script = Script::registered_with(|config| config.keep_alive = None);
    script.incoming("", OFFER);
    let call = script.incoming_call();
    script.command(Command::Redirect { call, to: Uri::parse("sip:carol@example.com;user=phone").unwrap() });
    script.next_status(100);
    let answer = script.next_status(302);
    assert_eq!(answer.text(Name::Contact).as_deref(), Some("<sip:carol@example.com;user=phone>"));
    assert!(matches!(
        script.events.pop(),
        Some(Event::Failed { failure: CallFailure::Rejected { status: 302 }, .. })
    ));
    assert_eq!(script.agent.calls(), 0);
}

#[test]
fn an_incoming_call_is_turned_down_or_rings_out() {
    let mut script = Script::registered_with(|config| config.keep_alive = None);
    script.incoming("", OFFER);
    let call = script.incoming_call();
    script.command(Command::Reject { call, status: 200 });
    assert!(matches!(script.events.pop(), Some(Event::CommandRefused { .. })));
    script.command(Command::Reject { call, status: 486 });
    script.next_status(100);
    script.next_status(486);
    assert!(matches!(
        script.events.pop(),
        Some(Event::Failed { failure: CallFailure::Rejected { status: 486 }, .. })
    ));

    let mut script = Script::registered_with(|config| config.keep_alive = None);
    script.incoming("Expires: 20\n", OFFER);
    script.next_status(100);
    script.pass(Duration::from_secs(20));
    script.next_status(480);
    assert_eq!(script.agent.calls(), 0);
}

#[test]
fn an_offer_with_nothing_in_common_is_refused_with_the_reason() {
    let mut script = Script::registered();
    script.incoming("", &OFFER.replace("RTP/AVP 0 96", "RTP/AVP 18"));
    let call = script.incoming_call();
    script.command(Command::Accept { call, answer: capabilities(30_000) });
    script.next_status(100);
    let refused = script.next_status(488);
    assert!(
        text(&refused).contains("Warning: 304 z5 \"no medium in common: line 0: no common codec"),
        "{}",
        text(&refused)
    );
    assert!(matches!(script.events.pop(), Some(Event::Failed { failure: CallFailure::Negotiation(_), .. })));
}

#[test]
fn a_reinvite_is_answered_and_changes_what_flows() {
    let (mut script, ack) = Script::established();
    let hold = ANSWER.replace("RTP/AVP 8\r\n", "RTP/AVP 8\r\na=sendonly\r\n");
    script.inside(&ack, "INVITE", 5, "", &hold);
    let ok = script.next_status(200);
    assert!(text(&ok).contains("a=recvonly\r\n") && text(&ok).contains("m=text 0 "), "{}", text(&ok));
    let Some(Event::Renegotiated { negotiated, .. }) = script.events.pop() else {
        panic!("{:?}", script.events)
    };
    assert_eq!(negotiated.media[0].direction, Direction::ReceiveOnly);
    script.inside(&ack, "ACK", 5, "", "");
    // The target moved with it.
    script.command(Command::Hangup { call: CALL });
    let bye = script.next_request(Method::Bye);
    assert_eq!(bye.request_uri().unwrap().unwrap().as_str(), "sip:bob@192.0.2.8:6000;transport=tcp");
}

#[test]
fn a_reinvite_with_nothing_in_common_leaves_the_call_alone() {
    let (mut script, ack) = Script::established();
    script.inside(&ack, "INVITE", 5, "", &ANSWER.replace("RTP/AVP 8", "RTP/AVP 18"));
    script.next_status(488);
    script.inside(&ack, "INVITE", 5, "", "");
    script.next_status(488);
    script.inside(&ack, "INVITE", 4, "", ANSWER);
    assert!(script.next_status(500).header(Name::RetryAfter).is_some(), "out of order");
    assert_eq!(script.agent.calls(), 1);
}

#[test]
fn a_reinvite_without_an_offer_gets_ours() {
    let (mut script, ack) = Script::established();
    script.inside(&ack, "INVITE", 5, "", "");
    let ok = script.next_status(200);
    assert!(text(&ok).contains("m=audio 20000 RTP/AVP 0 8 101\r\n"), "{}", text(&ok));
    script.inside(&ack, "ACK", 5, "", &ANSWER.replace("7000", "7200"));
    let Some(Event::Renegotiated { negotiated, .. }) = script.events.pop() else {
        panic!("{:?}", script.events)
    };
    assert_eq!(negotiated.media[0].remote.port(), 7200);
}

#[test]
fn hold_and_resume_from_here() {
    let (mut world, near, _) = World::established(10);
    let mut held = capabilities(20_000);
    held.media[0].direction = Direction::SendOnly;
    world.command(0, Command::Renegotiate { call: near, offer: held });
    world.settle();
    let direction = |world: &World, end: usize| {
        world.ends[end].events.iter().rev().find_map(|event| match event {
            Event::Renegotiated { negotiated, .. } => Some(negotiated.media[0].direction),
            _ => None,
        })
    };
    assert_eq!(
        (direction(&world, 0), direction(&world, 1)),
        (Some(Direction::SendOnly), Some(Direction::ReceiveOnly))
    );
    world.command(0, Command::Renegotiate { call: near, offer: capabilities(20_000) });
    world.settle();
    assert_eq!(
        (direction(&world, 0), direction(&world, 1)),
        (Some(Direction::SendReceive), Some(Direction::SendReceive))
    );
}

#[test]
fn offers_that_cross_are_both_refused_and_made_again() {
    let (mut world, near, far) = World::established(11);
    world.command(0, Command::Renegotiate { call: near, offer: capabilities(20_000) });
    world.command(1, Command::Renegotiate { call: far, offer: capabilities(30_000) });
    world.pass(Duration::from_secs(10));
    assert!(world.server.log.iter().filter(|line| line.contains(" 491 ")).count() >= 1, "{}", world.story());
    for end in [0, 1] {
        assert_eq!(
            world.count(end, |event| matches!(event, Event::Renegotiated { .. })),
            1,
            "{}",
            world.story()
        );
        assert!(!world.has(end, |event| matches!(event, Event::RenegotiationFailed { .. })));
    }
}

#[test]
fn commands_for_no_call_are_told() {
    let mut script = Script::registered();
    for command in [
        Command::Hangup { call: CALL },
        Command::Ring { call: CALL, offer: None },
        Command::Accept { call: CALL, answer: capabilities(1) },
        Command::Reject { call: CALL, status: 486 },
        Command::Renegotiate { call: CALL, offer: capabilities(1) },
    ] {
        script.command(command);
        assert!(matches!(script.events.pop(), Some(Event::CommandRefused { .. })));
    }
    script.invite();
    let target = Uri::parse("sip:x@h").unwrap();
    script.command(Command::Invite { call: CALL, target, offer: capabilities(1), options: Box::default() });
    assert!(matches!(script.events.pop(), Some(Event::CommandRefused { .. })));
    assert!(script.sent.is_empty());
}

#[test]
fn a_session_that_nobody_refreshes_ends() {
    let mut script = Script::registered_with(|config| config.keep_alive = None);
    let invite = script.invite();
    assert_eq!(invite.session_expires(), Ok(Some(1800)));
    assert!(invite.lists_token(Name::Supported, "timer"));
    let headers = [
        (Name::Contact, "<sip:bob@192.0.2.7>"),
        (Name::SessionExpires, "90;refresher=uas"),
        (Name::Require, "timer"),
    ];
    script.reply_with(&invite, 200, "bobtag", &headers, Some(ANSWER));
    let ack = script.next_request(Method::Ack);
    script.pass(Duration::from_secs(50));
    script.inside(&ack, "UPDATE", 1, "Supported: timer\nSession-Expires: 90;refresher=uac\n", "");
    let ok = script.next_status(200);
    assert_eq!(ok.session_expires(), Ok(Some(90)));
    assert!(ok.lists_token(Name::Require, "timer") && ok.body().is_empty());
    script.pass(Duration::from_secs(59));
    assert!(script.sent.is_empty());
    script.pass(Duration::from_secs(2));
    let bye = script.next_request(Method::Bye);
    script.reply(&bye, 200, &[]);
    assert!(script.events.iter().any(ended(Side::Network)), "{:?}", script.events);
}

#[test]
fn a_session_is_refreshed_by_update_or_by_invite() {
    let (mut script, _) = timed("Allow: INVITE, ACK, BYE, UPDATE");
    script.pass(Duration::from_secs(45));
    let update = script.next_request(Method::Update);
    assert!(update.body().is_empty());
    assert_eq!(update.header(Name::SessionExpires), Some(&b"90;refresher=uac"[..]));
    script.reply(&update, 200, &[(Name::SessionExpires, "90;refresher=uac")]);
    script.pass(Duration::from_secs(45));
    let update = script.next_request(Method::Update);
    script.reply(&update, 405, &[]);
    let invite = script.next_request(Method::Invite);
    assert!(
        text(&invite).contains("m=audio 20000 ") && text(&invite).contains("m=text 0 "),
        "what holds now"
    );
    let headers = [(Name::Contact, "<sip:bob@192.0.2.7>"), (Name::SessionExpires, "90;refresher=uac")];
    script.reply_with(&invite, 200, "bobtag", &headers, Some(ANSWER));
    script.next_request(Method::Ack);
    assert!(script.take_events().is_empty(), "nothing changed, nothing is told");
    script.pass(Duration::from_secs(45));
    script.next_request(Method::Invite);
    // Never answered: the far end is gone.
    script.pass(Duration::from_secs(32));
    script.next_request(Method::Bye);
}

/// A call whose session we refresh every 45 s, with this in the 200.
pub(super) fn timed(extra: &str) -> (Script, Message) {
    let mut script = Script::registered_with(|config| config.keep_alive = None);
    let invite = script.invite();
    let (name, value) = extra.split_once(": ").unwrap();
    assert_eq!(name, "Allow");
    let headers = [
        (Name::Contact, "<sip:bob@192.0.2.7>"),
        (Name::Allow, value),
        (Name::SessionExpires, "90;refresher=uac"),
    ];
    script.reply_with(&invite, 200, "bobtag", &headers, Some(ANSWER));
    let ack = script.next_request(Method::Ack);
    script.take_events();
    (script, ack)
}

#[test]
fn an_interval_too_small_is_raised_from_both_sides() {
    let mut script = Script::registered_with(|config| {
        config.session_interval = Some(Duration::from_secs(100));
    });
    let invite = script.invite();
    script.reply(&invite, 422, &[(Name::MinSe, "600")]);
    script.next_request(Method::Ack);
    let longer = script.next_request(Method::Invite);
    assert_eq!(longer.session_expires(), Ok(Some(600)));
    assert_eq!(longer.header(Name::MinSe), Some(&b"600"[..]));
    script.reply(&longer, 422, &[(Name::MinSe, "600")]);
    script.next_request(Method::Ack);
    assert!(matches!(
        script.events.pop(),
        Some(Event::Failed { failure: CallFailure::Refused { status: 422, .. }, .. })
    ));

    let mut script = Script::registered();
    script.incoming("Supported: timer\nSession-Expires: 30\n", OFFER);
    assert_eq!(script.next_status(422).header(Name::MinSe), Some(&b"90"[..]));
}

#[test]
fn an_interval_is_raised_three_times_and_to_a_day_at_most() {
    let calling = || {
        let mut script =
            Script::registered_with(|config| config.session_interval = Some(Duration::from_secs(100)));
        let invite = script.invite();
        (script, invite)
    };
    let too_small = |script: &mut Script, invite: &Message, least: &str| {
        script.reply(invite, 422, &[(Name::MinSe, least)]);
        script.next_request(Method::Ack);
    };
    let (mut script, mut invite) = calling();
    for least in ["101", "102", "103"] {
        too_small(&mut script, &invite, least);
        invite = script.next_request(Method::Invite);
    }
    too_small(&mut script, &invite, "104");
    assert!(script.sent.is_empty());
    assert!(matches!(
        script.events.pop(),
        Some(Event::Failed { failure: CallFailure::Refused { status: 422, .. }, .. })
    ));
    for (least, again) in [("86400", 1), ("86401", 0), ("4294967295", 0)] {
        let (mut script, invite) = calling();
        too_small(&mut script, &invite, least);
        assert_eq!(script.sent.len(), again, "{least}");
    }
}

#[test]
fn a_2xx_to_a_re_invite_is_acknowledged_even_after_the_call() {
    let (mut script, ack) = Script::established();
    script.command(Command::Renegotiate { call: CALL, offer: capabilities(20_000) });
    let invite = script.next_request(Method::Invite);
    script.inside(&ack, "BYE", 5, "", "");
    script.next_status(200);
    assert!(matches!(script.events.pop(), Some(Event::Ended { by: Side::Remote, .. })));
    for _ in 0..2 {
        script.reply_with(&invite, 200, "bobtag", &[(Name::Contact, "<sip:bob@192.0.2.7>")], Some(ANSWER));
        let late = script.next_request(Method::Ack);
        assert_eq!(late.cseq().unwrap().number, invite.cseq().unwrap().number);
        for name in [Name::Route, Name::From, Name::To, Name::CallId] {
            assert!(late.headers(name).eq(invite.headers(name)), "{}", text(&late));
        }
        assert!(late.body().is_empty() && late.header(Name::Contact).is_none(), "{}", text(&late));
    }
    assert!(script.sent.is_empty() && script.events.is_empty());
}

#[test]
fn an_update_with_an_offer_changes_what_flows() {
    let (mut script, ack) = Script::established();
    let hold = ANSWER.replace("RTP/AVP 8\r\n", "RTP/AVP 8\r\na=sendonly\r\n");
    script.inside(&ack, "UPDATE", 5, "", &hold);
    let ok = script.next_status(200);
    assert!(text(&ok).contains("a=recvonly\r\n"));
    assert!(matches!(script.events.pop(), Some(Event::Renegotiated { .. })));
    script.pass(Duration::from_secs(3));
    assert!(script.sent.is_empty(), "an UPDATE has no ACK");
}

#[test]
fn the_far_end_learns_where_a_rebuilt_flow_is() {
    let (mut world, _, far) = World::established(12);
    world.disconnect(0);
    world.connect(0);
    world.register_all();
    world.settle();
    assert!(world.server.log.iter().any(|line| line.starts_with("0: UPDATE ")), "{}", world.story());
    assert!(!world.has(1, |event| matches!(event, Event::Renegotiated { .. })));
    world.command(1, Command::Hangup { call: far });
    world.run_until("over", |world| world.has(1, ended(Side::Local)) && world.has(0, ended(Side::Remote)));
    let here = format!("1: BYE sip:alice@{};transport=tcp SIP/2.0", world.ends[0].local);
    assert!(world.server.log.contains(&here), "{here}\n{}", world.story());
}
