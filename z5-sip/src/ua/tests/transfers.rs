//! Transfers from all three ends (RFC 3515, RFC 5589), calls that replace calls (RFC 3891), and INFO.

use std::time::Duration;

use super::script::{ANSWER, CALL, FLOW, OFFER, Script};
use super::world::{Cut, World, capabilities, uri};
use crate::ua::{
    CallFailure, CallKey, CallOptions, Command, DECIDE_WITHIN, Event, Info, Input, Side, TransferTarget,
    UaConfig,
};
use crate::wire::{Message, Method, Name, Transport};

fn text(message: &Message) -> String {
    String::from_utf8_lossy(message.as_bytes()).into_owned()
}

/// A report of bob's on a transfer of ours.
fn notify(script: &mut Script, ack: &Message, cseq: u32, event: &str, state: &str, line: &str) {
    let body = if line.is_empty() { String::new() } else { format!("{line}\r\n") };
    let kind = if line.is_empty() { "" } else { "Content-Type: message/sipfrag;version=2.0\n" };
    let (from, to) = (ack.text(Name::To).unwrap().into_owned(), ack.text(Name::From).unwrap().into_owned());
    let call_id = ack.call_id().unwrap().to_owned();
    let state = if state.is_empty() { String::new() } else { format!("Subscription-State: {state}\n") };
    script.raw(&format!(
        "NOTIFY sip:alice@127.0.0.1:40001;transport=tcp SIP/2.0\nVia: SIP/2.0/TCP 192.0.2.7;branch=z9hG4bKN{cseq}\n\
         Max-Forwards: 70\nFrom: {from}\nTo: {to}\nCall-ID: {call_id}\nCSeq: {cseq} NOTIFY\n\
         Contact: <sip:bob@192.0.2.7>\nEvent: {event}\n{state}{kind}Content-Length: {}\n\n",
        body.len()
    ));
    script.input(Input::Received { flow: FLOW, bytes: body.as_bytes() });
}

fn blind() -> Command {
    Command::Transfer { call: CALL, to: TransferTarget::Blind(uri("sip:carol@example.com")) }
}

#[test]
fn a_blind_transfer_is_asked_for_reported_and_ends_the_call() {
    let (mut script, ack) = Script::established();
    script.command(blind());
    let refer = script.next_request(Method::Refer);
    assert_eq!(refer.header(Name::ReferTo), Some(&b"<sip:carol@example.com>"[..]));
    assert_eq!(refer.header(Name::ReferredBy), Some(&b"<sip:alice@example.com>"[..]));
    assert!(refer.contact().is_ok() && refer.header(Name::ReferSub).is_none());
    script.command(blind());
    assert!(matches!(script.events.pop(), Some(Event::CommandRefused { .. })), "one at a time");
    script.reply_with(&refer, 202, "bobtag", &[], None);
    let event = format!("refer;id={}", refer.cseq().unwrap().number);
    notify(&mut script, &ack, 1, &event, "active;expires=60", "SIP/2.0 100 Trying");
    script.next_status(200);
    notify(&mut script, &ack, 2, "refer", "active;expires=60", "SIP/2.0 180 Ringing");
    script.next_status(200);
    let told = script.take_events();
    assert!(
        matches!(&told[..], [Event::TransferProgress { status: 100, .. }, Event::TransferProgress { status: 180, reason, .. }] if reason == "Ringing"),
        "{told:?}"
    );
    notify(&mut script, &ack, 3, &event, "terminated;reason=noresource", "SIP/2.0 200 OK");
    script.next_status(200);
    assert!(matches!(script.take_events()[..], [Event::Transferred { call: CALL }]));
    let bye = script.next_request(Method::Bye);
    script.reply(&bye, 200, &[]);
    assert!(matches!(script.take_events()[..], [Event::Ended { by: Side::Local, .. }]));
    notify(&mut script, &ack, 4, &event, "terminated", "SIP/2.0 200 OK");
    script.next_status(481);
}

#[test]
fn a_transfer_that_fails_leaves_the_call() {
    for (status, line) in [(603, ""), (405, ""), (202, "SIP/2.0 486 Busy Here"), (202, "SIP/2.0 100 Trying")]
    {
        let (mut script, ack) = Script::established();
        script.command(blind());
        let refer = script.next_request(Method::Refer);
        script.reply_with(&refer, status, "bobtag", &[], None);
        if status == 202 {
            notify(&mut script, &ack, 1, "refer", "terminated;reason=noresource", line);
            script.next_status(200);
        }
        let Some(Event::TransferFailed { failure, .. }) = script.events.pop() else { panic!("{status}") };
        match (status, line.is_empty(), line.contains("486")) {
            (603, _, _) => assert!(matches!(failure, CallFailure::Declined { status: 603, .. })),
            (405, _, _) => assert!(matches!(failure, CallFailure::Refused { status: 405, .. })),
            (_, _, true) => assert!(matches!(failure, CallFailure::Busy { status: 486 })),
            (_, _, false) => assert!(matches!(failure, CallFailure::TimedOut { timer: "subscription" })),
        }
        assert_eq!(script.agent.calls(), 1);
        script.command(blind());
        script.next_request(Method::Refer);
    }
}

#[test]
fn a_transfer_that_nobody_reports_on_runs_out() {
    let (mut script, ack) = Script::established();
    script.command(blind());
    let refer = script.next_request(Method::Refer);
    script.reply_with(&refer, 202, "bobtag", &[], None);
    notify(&mut script, &ack, 1, "refer", "active;expires=120", "SIP/2.0 100 Trying");
    script.next_status(200);
    script.take_events();
    script.pass(Duration::from_secs(119));
    assert!(!script.events.iter().any(|event| matches!(event, Event::TransferFailed { .. })));
    script.pass(Duration::from_secs(1));
    assert!(script.events.iter().any(|event| matches!(
        event,
        Event::TransferFailed { failure: CallFailure::TimedOut { timer: "subscription" }, .. }
    )));
}

#[test]
fn a_far_end_that_forgot_the_call_ends_it_with_the_transfer() {
    let (mut script, _) = Script::established();
    script.command(blind());
    let refer = script.next_request(Method::Refer);
    script.reply_with(&refer, 481, "bobtag", &[], None);
    let bye = script.next_request(Method::Bye);
    script.reply_with(&bye, 481, "bobtag", &[], None);
    assert!(matches!(
        script.take_events()[..],
        [Event::TransferFailed { .. }, Event::Ended { by: Side::Network, .. }]
    ));
}

#[test]
fn a_refer_is_challenged_and_its_new_number_names_the_subscription() {
    let (mut script, ack) = Script::established();
    script.command(blind());
    let refer = script.next_request(Method::Refer);
    let challenge = "Digest realm=\"example.com\", nonce=\"n1\", qop=\"auth\", algorithm=MD5";
    script.reply(&refer, 407, &[(Name::ProxyAuthenticate, challenge)]);
    let again = script.next_request(Method::Refer);
    assert_eq!(again.cseq().unwrap().number, refer.cseq().unwrap().number + 1);
    let event = |refer: &Message| format!("refer;id={}", refer.cseq().unwrap().number);
    notify(&mut script, &ack, 1, &event(&refer), "active", "SIP/2.0 100 Trying");
    script.next_status(481);
    // It may come before the 202 (RFC 6665 section 4.1.2.4).
    notify(&mut script, &ack, 2, &event(&again), "active", "SIP/2.0 100 Trying");
    script.next_status(200);
}

#[test]
fn reports_that_are_not_understood_are_refused() {
    let (mut script, ack) = Script::established();
    notify(&mut script, &ack, 1, "refer", "active", "SIP/2.0 100 Trying");
    script.next_status(481);
    script.command(blind());
    let refer = script.next_request(Method::Refer);
    script.reply_with(&refer, 202, "bobtag", &[], None);
    notify(&mut script, &ack, 2, "refer", "", "SIP/2.0 100 Trying");
    script.next_status(400);
    script.inside(&ack, "NOTIFY", 3, "Event: refer\nSubscription-State: active\n", ANSWER);
    script.next_status(415);
    notify(&mut script, &ack, 5, "refer", "active", "");
    script.next_status(200);
    notify(&mut script, &ack, 4, "refer", "active", "SIP/2.0 180 Ringing");
    script.next_status(500);
    assert!(script.take_events().iter().all(|event| matches!(event, Event::Unexpected { .. })));
}

#[test]
fn without_reports_a_transfer_is_done_when_it_is_agreed_to() {
    let mut script = Script::registered_with(|config| config.transfer_reports = false);
    let invite = script.invite();
    script.accept(&invite, "bobtag");
    script.next_request(Method::Ack);
    script.take_events();
    script.command(blind());
    let refer = script.next_request(Method::Refer);
    assert_eq!(refer.header(Name::ReferSub), Some(&b"false"[..]));
    assert!(refer.lists_token(Name::Supported, "norefersub"));
    script.reply_with(&refer, 202, "bobtag", &[(Name::ReferSub, "false")], None);
    assert!(matches!(script.take_events()[..], [Event::Transferred { .. }]));
    script.next_request(Method::Bye);
}

#[test]
fn reports_outlive_the_call() {
    let (mut script, ack) = Script::established();
    script.command(blind());
    let refer = script.next_request(Method::Refer);
    script.reply_with(&refer, 202, "bobtag", &[], None);
    script.inside(&ack, "BYE", 1, "", "");
    script.next_status(200);
    assert!(matches!(script.take_events()[..], [Event::Ended { .. }]));
    notify(&mut script, &ack, 2, "refer", "terminated", "SIP/2.0 200 OK");
    script.next_status(200);
    assert!(matches!(script.take_events()[..], [Event::Transferred { .. }]));
    assert!(script.sent.is_empty());
}

#[test]
fn a_refer_is_judged_before_anyone_is_asked() {
    let (mut script, ack) = Script::established();
    script.raw(
        "REFER sip:alice@127.0.0.1:40001 SIP/2.0\nVia: SIP/2.0/TCP h;branch=z9hG4bKout\nMax-Forwards: 70\n\
         From: <sip:x@h>;tag=1\nTo: <sip:alice@example.com>\nCall-ID: out\nCSeq: 1 REFER\nContact: <sip:x@h>\n\
         Refer-To: <sip:premium@example.com>\nContent-Length: 0\n\n",
    );
    assert!(script.next_status(403).header(Name::Warning).is_some());
    for (cseq, extra, status) in [
        (1, "", 400),
        (2, "Refer-To: <mailto:carol@example.com>\n", 416),
        (3, "Refer-To: <sip:carol@example.com;method=BYE>\n", 501),
        (4, "Refer-To: <sip:carol@example.com?Replaces=x>\n", 400),
        (5, "Refer-To: <sip:carol@example.com?Replaces=x%3Bto-tag%3Da%0D%0AEvil%3A1%3Bfrom-tag%3Db>\n", 400),
        (6, "Refer-To: <sip:carol@example.com>\nRefer-To: <sip:dave@example.com>\n", 400),
    ] {
        script.inside(&ack, "REFER", cseq, extra, "");
        script.next_status(status);
    }
    assert!(!script.events.iter().any(|event| matches!(event, Event::TransferRequested { .. })));
    script.inside(&ack, "REFER", 7, "Refer-To: <sip:carol@example.com>\n", "");
    script.inside(&ack, "REFER", 8, "Refer-To: <sip:carol@example.com>\n", "");
    script.next_status(491);
    script.command(Command::RejectTransfer { call: CALL, status: 200 });
    script.command(Command::RejectTransfer { call: CALL, status: 603 });
    script.next_status(603);
    script.command(Command::RejectTransfer { call: CALL, status: 603 });
    assert_eq!(script.events.iter().filter(|event| matches!(event, Event::CommandRefused { .. })).count(), 2);
    // Nobody decides.
    script.inside(&ack, "REFER", 9, "Refer-To: <sip:carol@example.com>\n", "");
    script.pass(DECIDE_WITHIN);
    script.next_status(603);
    // The call ends before anyone decides.
    script.inside(&ack, "REFER", 10, "Refer-To: <sip:carol@example.com>\n", "");
    script.inside(&ack, "BYE", 11, "", "");
    script.next_status(200);
    script.next_status(487);
}

/// The call that a REFER with this asks for, and the agent after it was agreed to.
fn referred(extra: &str) -> (Script, Message) {
    let (mut script, ack) = Script::established();
    script.inside(&ack, "REFER", 1, extra, "");
    assert!(matches!(script.events.pop(), Some(Event::TransferRequested { call: CALL, .. })));
    let offer = capabilities(21_000);
    script.command(Command::AcceptTransfer { call: CALL, new_call: CALL, offer: offer.clone() });
    assert!(matches!(script.events.pop(), Some(Event::CommandRefused { .. })), "the key is taken");
    script.command(Command::AcceptTransfer { call: CALL, new_call: CallKey(8), offer });
    assert!(script.next_status(202).contact().is_ok());
    (script, ack)
}

#[test]
fn a_transfer_of_ours_is_carried_out_and_reported() {
    let extra = "Refer-To: <sip:carol@example.com;method=INVITE?Replaces=c1%40h%3Bto-tag%3Dx%3Bfrom-tag%3Dy&Subject=z>\n\
        Referred-By: <sip:bob@example.com>;cid=\"1@h\"\n";
    let (mut script, _) = referred(extra);
    let trying = script.next_request(Method::Notify);
    assert_eq!(trying.header(Name::Event), Some(&b"refer;id=1"[..]));
    assert!(text(&trying).contains("Subscription-State: active;expires=300\r\n"));
    assert_eq!(trying.content_type(), Some("message/sipfrag"));
    assert_eq!(trying.body(), b"SIP/2.0 100 Trying\r\n");
    let invite = script.next_request(Method::Invite);
    assert_eq!(invite.request_uri().unwrap().unwrap().as_str(), "sip:carol@example.com");
    assert_eq!(invite.header(Name::Replaces), Some(&b"c1@h;to-tag=x;from-tag=y"[..]));
    assert!(invite.lists_token(Name::Require, "replaces") && invite.header(Name::Subject).is_none());
    assert_eq!(invite.header(Name::ReferredBy), Some(&b"<sip:bob@example.com>;cid=\"1@h\""[..]));
    // What happens while a report is on its way goes out next, the newest only.
    script.reply_with(&invite, 180, "caroltag", &[], None);
    script.reply_with(&invite, 183, "caroltag", &[], None);
    assert!(script.sent.is_empty());
    script.reply_with(&trying, 200, "bobtag", &[], None);
    let ringing = script.next_request(Method::Notify);
    assert_eq!(ringing.body(), b"SIP/2.0 183 Session Progress\r\n");
    script.reply_with(&ringing, 200, "bobtag", &[], None);
    script.reply_with(&invite, 200, "caroltag", &[(Name::Contact, "<sip:carol@192.0.2.9>")], Some(ANSWER));
    script.next_request(Method::Ack);
    let done = script.next_request(Method::Notify);
    assert!(text(&done).contains("Subscription-State: terminated;reason=noresource\r\n"));
    assert_eq!(done.body(), b"SIP/2.0 200 OK\r\n");
    script.reply_with(&done, 200, "bobtag", &[], None);
    assert_eq!(script.agent.calls(), 2);
}

#[test]
fn a_transfer_that_comes_to_nothing_is_reported_with_its_status() {
    let (mut script, ack) = referred("Refer-To: <sip:carol@example.com>\n");
    let trying = script.next_request(Method::Notify);
    let invite = script.next_request(Method::Invite);
    // Who asked does not wait for the outcome with its call.
    script.inside(&ack, "BYE", 2, "", "");
    script.next_status(200);
    script.reply_with(&trying, 200, "bobtag", &[], None);
    script.reply(&invite, 486, &[]);
    script.next_request(Method::Ack);
    let done = script.next_request(Method::Notify);
    assert_eq!(done.body(), b"SIP/2.0 486 Busy Here\r\n");
    assert_eq!(done.cseq().unwrap().number, trying.cseq().unwrap().number + 1, "in the dialog of the call");
}

#[test]
fn who_does_not_listen_gets_no_more_reports() {
    let (mut script, _) = referred("Refer-To: <sip:carol@example.com>\n");
    let trying = script.next_request(Method::Notify);
    let invite = script.next_request(Method::Invite);
    script.reply_with(&trying, 481, "bobtag", &[], None);
    script.reply_with(&invite, 180, "caroltag", &[], None);
    assert!(script.sent.is_empty());
    let (mut script, _) =
        referred("Refer-To: <sip:carol@example.com>\nRefer-Sub: false\nRequire: norefersub\n");
    script.next_request(Method::Invite);
    assert!(script.sent.is_empty());
}

#[test]
fn reports_run_out() {
    let (mut script, _) = referred("Refer-To: <sip:carol@example.com>\n");
    let trying = script.next_request(Method::Notify);
    let invite = script.next_request(Method::Invite);
    script.reply_with(&trying, 200, "bobtag", &[], None);
    script.reply_with(&invite, 180, "caroltag", &[], None);
    let ringing = script.next_request(Method::Notify);
    script.reply_with(&ringing, 200, "bobtag", &[], None);
    script.pass(Duration::from_secs(299));
    script.sent.clear();
    script.pass(Duration::from_secs(1));
    // Among other things: the binding is refreshed by now.
    script.sent.retain(|message| message.method() == Some(Method::Notify));
    let last = script.next_request(Method::Notify);
    assert!(text(&last).contains("terminated;reason=timeout") && last.body() == b"SIP/2.0 180 Ringing\r\n");
}

/// How a SUBSCRIBE in the dialog of the call is answered.
fn listen(script: &mut Script, ack: &Message, cseq: u32, extra: &str) -> Message {
    script.inside(ack, "SUBSCRIBE", cseq, extra, "");
    script.next()
}

#[test]
fn who_asked_for_a_transfer_listens_longer_or_no_more() {
    let (mut script, ack) = referred("Refer-To: <sip:carol@example.com>\n");
    let trying = script.next_request(Method::Notify);
    script.next_request(Method::Invite);
    script.reply_with(&trying, 200, "bobtag", &[], None);
    script.pass(Duration::from_secs(20));
    let ok = listen(&mut script, &ack, 2, "Event: refer;id=1\nExpires: 9999\n");
    assert_eq!((ok.status(), ok.header(Name::Expires)), (Some(200), Some(&b"300"[..])));
    assert!(ok.contact().is_ok());
    let state = script.next_request(Method::Notify);
    assert!(text(&state).contains("Subscription-State: active;expires=300\r\n"), "{}", text(&state));
    assert_eq!(state.body(), b"SIP/2.0 100 Trying\r\n");
    script.reply_with(&state, 200, "bobtag", &[], None);
    // Neither another one nor out of order.
    assert_eq!(listen(&mut script, &ack, 3, "Event: refer;id=7\n").status(), Some(481));
    assert_eq!(listen(&mut script, &ack, 1, "Event: refer\n").status(), Some(500));
    // It says goodbye, and once it has there is nothing to hear.
    let ok = listen(&mut script, &ack, 4, "Event: refer\nExpires: 0\n");
    assert_eq!(ok.header(Name::Expires), Some(&b"0"[..]));
    let last = script.next_request(Method::Notify);
    assert!(text(&last).contains("terminated;reason=timeout"));
    script.reply_with(&last, 200, "bobtag", &[], None);
    assert_eq!(listen(&mut script, &ack, 5, "Event: refer\n").status(), Some(481));
    assert_eq!(script.agent.calls(), 2);
}

#[test]
fn nobody_subscribes_to_anything_but_the_transfer_it_asked_for() {
    let outside = |event: &str| {
        let mut script = Script::registered();
        script.raw(&format!(
            "SUBSCRIBE sip:alice@127.0.0.1:40001 SIP/2.0\nVia: SIP/2.0/TCP h;branch=z9hG4bKs1\nMax-Forwards: 70\n\
             From: <sip:x@h>;tag=1\nTo: <sip:alice@example.com>\nCall-ID: s\nCSeq: 1 SUBSCRIBE\nContact: <sip:x@h>\n{event}\
             Content-Length: 0\n\n"
        ));
        let answer = script.next();
        (answer.status(), answer.text(Name::AllowEvents).map(|events| events.into_owned()))
    };
    assert_eq!(outside("Event: refer\n"), (Some(403), None));
    for other in ["Event: presence\n", ""] {
        assert_eq!(outside(other), (Some(489), Some("refer".to_owned())), "{other}");
    }
    let (mut script, ack) = Script::established();
    assert_eq!(listen(&mut script, &ack, 1, "Event: refer\n").status(), Some(481), "no transfer, no reports");
    assert_eq!(script.agent.calls(), 1);
}

#[test]
fn the_last_report_waits_for_the_one_before_without_a_deadline_in_the_past() {
    // Over TCP a NOTIFY goes out once; the one on its way when the 300 s are over is unanswered for a while, with or without
    // an outcome behind it.
    for outcome in [None, Some(486)] {
        let (mut script, _) = referred("Refer-To: <sip:carol@example.com>\n");
        let trying = script.next_request(Method::Notify);
        let invite = script.next_request(Method::Invite);
        script.reply_with(&trying, 200, "bobtag", &[], None);
        script.reply_with(&invite, 180, "caroltag", &[], None);
        let ringing = script.next_request(Method::Notify);
        script.reply_with(&ringing, 200, "bobtag", &[], None);
        script.pass(Duration::from_secs(290));
        script.sent.clear();
        script.reply_with(&invite, 183, "caroltag", &[], None);
        let progress = script.next_request(Method::Notify);
        if let Some(status) = outcome {
            script.reply(&invite, status, &[]);
            script.next_request(Method::Ack);
        }
        script.pass(Duration::from_secs(9));
        script.now += Duration::from_secs(1);
        script.input(Input::Deadline);
        let next = script.agent.next_deadline().unwrap();
        assert!(next.at > script.now, "{outcome:?}: {}", next.why);
        script.sent.clear();
        script.reply_with(&progress, 200, "bobtag", &[], None);
        let last = script.next_request(Method::Notify);
        let (state, status) = match outcome {
            None => ("terminated;reason=timeout", "183 Session Progress"),
            Some(_) => ("terminated;reason=noresource", "486 Busy Here"),
        };
        assert!(text(&last).contains(state), "{}", text(&last));
        assert_eq!(last.body(), format!("SIP/2.0 {status}\r\n").as_bytes());
    }
}

/// The Replaces that names the call of `established`.
fn naming(ack: &Message) -> String {
    let tag = |address: crate::wire::NameAddr<'_>| address.tag().unwrap().to_owned();
    format!(
        "Replaces: {};to-tag={};from-tag={}",
        ack.call_id().unwrap(),
        tag(ack.from().unwrap()),
        tag(ack.to().unwrap())
    )
}

#[test]
fn a_call_that_replaces_one_ends_it_when_it_is_taken() {
    let (mut script, ack) = Script::established();
    script.incoming(&format!("{}\nRequire: replaces\n", naming(&ack)), OFFER);
    script.next_status(100);
    let call = script.incoming_call();
    let Some(Event::Incoming { replaces: Some(CALL), .. }) = script.events.pop() else {
        panic!("{:?}", script.events)
    };
    script.command(Command::Accept { call, answer: capabilities(30_000) });
    script.next_status(200);
    let bye = script.next_request(Method::Bye);
    script.reply(&bye, 200, &[]);
    let ended = |event: &Event| matches!(event, Event::Ended { call: CALL, by: Side::Local, .. });
    assert!(script.events.iter().any(ended));
    assert_eq!(script.agent.calls(), 1);
}

#[test]
fn what_cannot_be_replaced_is_refused() {
    let (mut script, ack) = Script::established();
    let refused = |script: &mut Script, replaces: &str, status: u16| {
        script.incoming(&format!("{replaces}\n"), OFFER);
        script.next_status(status);
        // The next one is another request.
        let ack = "ACK sip:alice@127.0.0.1:40001;transport=tcp SIP/2.0\nVia: SIP/2.0/TCP p.example.com;branch=z9hG4bKin1\n\
             Max-Forwards: 70\nFrom: <sip:carol@example.com>;tag=caroltag\nTo: <sip:alice@example.com>;tag=x\n\
             Call-ID: incoming1\nCSeq: 10 ACK\nContent-Length: 0\n\n";
        script.raw(ack);
        script.pass(Duration::from_secs(33));
    };
    refused(&mut script, "Replaces: nonsense", 400);
    refused(&mut script, "Replaces: x;to-tag=a;from-tag=b", 481);
    refused(&mut script, &format!("{};early-only", naming(&ack)), 486);
    script.inside(&ack, "BYE", 1, "", "");
    script.next_status(200);
    refused(&mut script, &naming(&ack), 603);
}

#[test]
fn an_early_dialog_is_replaced_by_who_opened_it_only() {
    // Ours: it is taken back.
    let mut script = Script::registered();
    let invite = script.invite();
    script.reply_with(&invite, 180, "bobtag", &[(Name::Contact, "<sip:bob@192.0.2.7>")], None);
    let local = invite.from().unwrap().tag().unwrap().to_owned();
    let call_id = invite.call_id().unwrap().to_owned();
    script.incoming(&format!("Replaces: {call_id};to-tag={local};from-tag=bobtag;early-only\n"), OFFER);
    script.next_status(100);
    let call = script.incoming_call();
    script.command(Command::Accept { call, answer: capabilities(30_000) });
    script.next_status(200);
    script.next_request(Method::Cancel);
    // Another's, that rings here: not.
    let mut script = Script::registered();
    script.incoming("", OFFER);
    script.next_status(100);
    let call = script.incoming_call();
    script.command(Command::Ring { call, offer: None });
    let ringing = script.next_status(180);
    let tag = ringing.to().unwrap().tag().unwrap();
    script.raw(&format!(
        "INVITE sip:alice@127.0.0.1:40001 SIP/2.0\nVia: SIP/2.0/TCP h;branch=z9hG4bKother\nMax-Forwards: 70\n\
         From: <sip:dave@h>;tag=1\nTo: <sip:alice@example.com>\nCall-ID: other\nCSeq: 1 INVITE\nContact: <sip:dave@h>\n\
         Replaces: incoming1;to-tag={tag};from-tag=caroltag\nContent-Length: 0\n\n"
    ));
    script.next_status(481);
}

#[test]
fn an_offer_in_the_200_is_answered_in_our_ack_and_one_in_a_reliable_183_in_our_prack() {
    let late = || {
        let mut script = Script::registered();
        let options = Box::new(CallOptions { late_offer: true, ..CallOptions::default() });
        let target = uri("sip:bob@example.com");
        script.command(Command::Invite { call: CALL, target, offer: capabilities(20_000), options });
        let invite = script.next_request(Method::Invite);
        assert!(invite.body().is_empty());
        (script, invite)
    };
    let contact = (Name::Contact, "<sip:bob@192.0.2.7>");
    let (mut script, invite) = late();
    script.reply_with(&invite, 200, "bobtag", &[contact], Some(OFFER));
    let ack = script.next_request(Method::Ack);
    assert!(text(&ack).contains("m=audio 20000 RTP/AVP 0 96\r\n"), "{}", text(&ack));
    assert!(matches!(script.events.pop(), Some(Event::Established { .. })));
    let (mut script, invite) = late();
    let headers = [contact, (Name::Require, "100rel"), (Name::RSeq, "9")];
    script.reply_with(&invite, 183, "bobtag", &headers, Some(OFFER));
    let prack = script.next_request(Method::Prack);
    assert!(text(&prack).contains("m=audio 20000 RTP/AVP 0 96\r\n"), "{}", text(&prack));
    script.reply_with(&prack, 200, "bobtag", &[], None);
    script.reply_with(&invite, 200, "bobtag", &[contact], None);
    assert!(script.next_request(Method::Ack).body().is_empty());
    assert!(matches!(script.events.pop(), Some(Event::Established { .. })));
}

#[test]
fn info_goes_out_within_the_call() {
    let (mut script, _) = Script::established();
    script.command(Command::SendInfo { call: CALL, info: Info::PictureFastUpdate });
    let info = script.next_request(Method::Info);
    assert_eq!(info.content_type(), Some("application/media_control+xml"));
    assert!(text(&info).contains("<to_encoder><picture_fast_update/></to_encoder>"));
    script.reply_with(&info, 200, "bobtag", &[], None);
    script.command(Command::SendInfo { call: CALL, info: Info::Dtmf { digit: '#', duration_ms: 120 } });
    let info = script.next_request(Method::Info);
    assert_eq!(info.body(), b"Signal=#\r\nDuration=120\r\n");
    script.reply_with(&info, 415, "bobtag", &[], None);
    assert!(matches!(script.take_events()[..], [Event::InfoFailed { status: 415, .. }]));
    let other =
        Info::Other { content_type: "text/x\r\nEvil: 1".to_owned(), body: bytes::Bytes::from_static(b"x") };
    script.command(Command::SendInfo { call: CALL, info: other });
    assert!(matches!(script.take_events()[..], [Event::InfoFailed { status: 500, .. }]));
    assert!(script.sent.is_empty());
    script.command(Command::SendInfo { call: CALL, info: Info::Dtmf { digit: 'x', duration_ms: 1 } });
    script.command(Command::SendInfo { call: CallKey(99), info: Info::PictureFastUpdate });
    assert_eq!(script.take_events().len(), 2, "no key, no call");
    script.command(Command::SendInfo { call: CALL, info: Info::PictureFastUpdate });
    let info = script.next_request(Method::Info);
    script.reply_with(&info, 481, "bobtag", &[], None);
    let bye = script.next_request(Method::Bye);
    script.reply_with(&bye, 481, "bobtag", &[], None);
    assert!(matches!(script.take_events()[..], [Event::InfoFailed { status: 481, .. }, Event::Ended { .. }]));
}

#[test]
fn info_that_arrives_is_told_or_refused_with_what_is_read() {
    let info = |script: &mut Script, ack: &Message, cseq: u32, kind: &str, body: &str| {
        let extra = format!("Content-Type: {kind}\nX-Long: y\n");
        let (from, to) =
            (ack.text(Name::To).unwrap().into_owned(), ack.text(Name::From).unwrap().into_owned());
        script.raw(&format!(
            "INFO sip:alice@127.0.0.1:40001 SIP/2.0\nVia: SIP/2.0/TCP h;branch=z9hG4bKI{cseq}\nMax-Forwards: 70\nFrom: {from}\n\
             To: {to}\nCall-ID: {}\nCSeq: {cseq} INFO\n{extra}Content-Length: {}\n\n",
            ack.call_id().unwrap(),
            body.len()
        ));
        script.input(Input::Received { flow: FLOW, bytes: body.as_bytes() });
    };
    let mut script =
        Script::registered_with(|config: &mut UaConfig| config.info_types = vec!["text/plain".to_owned()]);
    let invite = script.invite();
    script.accept(&invite, "bobtag");
    let ack = script.next_request(Method::Ack);
    script.take_events();
    let picture = "<?xml version=\"1.0\"?>\n<media_control>\n<vc_primitive><to_encoder>\n<picture_fast_update>\n</picture_fast_update>";
    info(&mut script, &ack, 1, "application/media_control+xml", picture);
    script.next_status(200);
    info(&mut script, &ack, 2, "application/dtmf-relay", "Signal=5\r\nDuration=160\r\n");
    script.next_status(200);
    info(&mut script, &ack, 3, "text/plain; charset=utf-8", "hello");
    script.next_status(200);
    let told = script.take_events();
    assert!(
        matches!(&told[..], [
            Event::Info { info: Info::PictureFastUpdate, .. },
            Event::Info { info: Info::Dtmf { digit: '5', duration_ms: 160 }, .. },
            Event::Info { info: Info::Other { content_type, .. }, .. },
        ] if content_type == "text/plain; charset=utf-8"),
        "{told:?}"
    );
    info(&mut script, &ack, 4, "application/x-unknown", "?");
    let refused = script.next_status(415);
    assert!(
        refused.lists_token(Name::Accept, "application/dtmf-relay")
            && refused.lists_token(Name::Accept, "text/plain")
    );
    info(&mut script, &ack, 5, "application/dtmf-relay", "Signal=nonsense");
    script.next_status(400);
    script.inside(&ack, "INFO", 6, "", "");
    script.next_status(200);
    script.inside(&ack, "INFO", 7, "Info-Package: foo\n", "");
    script.next_status(469);
    // The far end cannot: it is not asked again (RFC 5168).
    info(
        &mut script,
        &ack,
        8,
        "application/media_control+xml",
        "<media_control><general_error>no</general_error></media_control>",
    );
    script.next_status(200);
    script.command(Command::SendInfo { call: CALL, info: Info::PictureFastUpdate });
    assert!(matches!(script.take_events()[..], [Event::InfoFailed { status: 403, .. }]));
    script.raw(
        "INFO sip:alice@127.0.0.1:40001 SIP/2.0\nVia: SIP/2.0/TCP h;branch=z9hG4bKIo\nMax-Forwards: 70\n\
         From: <sip:x@h>;tag=1\nTo: <sip:alice@example.com>\nCall-ID: o\nCSeq: 1 INFO\nContent-Length: 0\n\n",
    );
    script.next_status(481);
}

fn three(seed: u64, transport: Transport) -> World {
    let mut world = World::with(seed, &["alice", "bob", "carol"], transport, |_| {});
    world.register_all();
    world
}

fn incoming(world: &World, end: usize) -> CallKey {
    world.incoming(end).unwrap_or_else(|| panic!("no call at {end}\n{}", world.story()))
}

/// A call between two ends of a world that stands.
fn connect(world: &mut World, from: usize, call: CallKey, to: usize, user: &str) -> CallKey {
    let count = |world: &World, end: usize| world.count(end, |event| matches!(event, Event::Incoming { .. }));
    let before = count(world, to);
    let target = uri(&format!("sip:{user}@example.com"));
    let options = Box::default();
    world.command(from, Command::Invite { call, target, offer: capabilities(22_000), options });
    world.run_until("the call arrives", |world| count(world, to) > before);
    let far = incoming(world, to);
    world.command(to, Command::Accept { call: far, answer: capabilities(32_000) });
    let stands = |event: &Event| matches!(event, Event::Established { call: which, .. } if *which == call);
    world.run_until("the call stands", |world| world.has(from, stands));
    world.settle();
    far
}

fn transferred(world: &World) -> bool {
    world.has(0, |event| matches!(event, Event::Transferred { .. }))
}

fn ended(world: &World, end: usize, call: CallKey) -> bool {
    world.has(end, |event| matches!(event, Event::Ended { call: which, .. } if *which == call))
}

#[test]
fn three_ends_transfer_a_call_blindly() {
    for transport in [Transport::Tcp, Transport::Udp] {
        let mut world = three(51, transport);
        let far = connect(&mut world, 0, CallKey(1), 1, "bob");
        world.command(
            0,
            Command::Transfer { call: CallKey(1), to: TransferTarget::Blind(uri("sip:carol@example.com")) },
        );
        world.run_until("bob is asked", |world| {
            world.has(1, |event| matches!(event, Event::TransferRequested { replaces: false, referred_by: Some(by), .. } if by == "<sip:alice@example.com>"))
        });
        world.command(
            1,
            Command::AcceptTransfer { call: far, new_call: CallKey(5), offer: capabilities(33_000) },
        );
        world.run_until("carol rings", |world| world.incoming(2).is_some());
        let carol = incoming(&world, 2);
        world.command(2, Command::Ring { call: carol, offer: None });
        world.run_until("alice hears it", |world| {
            world.has(0, |event| matches!(event, Event::TransferProgress { status: 180, .. }))
        });
        world.command(2, Command::Accept { call: carol, answer: capabilities(34_000) });
        world.run_until("all is done", |world| {
            transferred(world) && ended(world, 0, CallKey(1)) && ended(world, 1, far)
        });
        world.pass(Duration::from_secs(60));
        assert_eq!([0, 1, 2].map(|end: usize| world.ends[end].agent.calls()), [0, 1, 1], "{}", world.story());
        assert!(!world.has(0, |event| matches!(event, Event::Unexpected { .. })), "{}", world.story());
    }
}

#[test]
fn three_ends_transfer_a_call_that_was_announced_while_the_first_is_on_hold() {
    let mut world = three(52, Transport::Tcp);
    world.cut = Cut::EveryByte;
    let bob = connect(&mut world, 0, CallKey(1), 1, "bob");
    let mut held = capabilities(22_000);
    held.media.iter_mut().for_each(|medium| medium.direction = crate::sdp::Direction::SendOnly);
    world.command(0, Command::Renegotiate { call: CallKey(1), offer: held });
    world.settle();
    let carol = connect(&mut world, 0, CallKey(2), 2, "carol");
    world.command(0, Command::Transfer { call: CallKey(1), to: TransferTarget::Attended(CallKey(2)) });
    world.run_until("bob is asked", |world| {
        world.has(1, |event| matches!(event, Event::TransferRequested { replaces: true, .. }))
    });
    world
        .command(1, Command::AcceptTransfer { call: bob, new_call: CallKey(5), offer: capabilities(33_000) });
    world.run_until("it arrives in the place of the other", |world| {
        world
            .has(2, |event| matches!(event, Event::Incoming { replaces: Some(which), .. } if *which == carol))
    });
    let second = incoming(&world, 2);
    world.command(2, Command::Accept { call: second, answer: capabilities(34_000) });
    world.run_until("all is done", |world| {
        transferred(world)
            && ended(world, 0, CallKey(1))
            && ended(world, 0, CallKey(2))
            && ended(world, 2, carol)
    });
    world.pass(Duration::from_secs(60));
    assert_eq!([0, 1, 2].map(|end: usize| world.ends[end].agent.calls()), [0, 1, 1], "{}", world.story());
}
