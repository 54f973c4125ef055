//! SUBSCRIBE and NOTIFY of message-summary (RFC 6665, RFC 3842).

use std::time::Duration;

use super::script::{FLOW, Script};
use super::world::{SERVER, uri};
use crate::flow::{FlowEnd, FlowId};
use crate::mwi::MessageClass;
use crate::ua::{
    Command, CommandRefusal, Event, Input, Package, RequestFailure, SubscriptionEnd, SubscriptionKey,
    Transport,
};
use crate::wire::{Message, Method, Name};

const KEY: SubscriptionKey = SubscriptionKey(4);
const WAITING: &str = "Messages-Waiting: yes\r\nMessage-Account: sip:alice@vm.example.com\r\n\
    Voice-Message: 2/1 (0/0)\r\nMultimedia-Message: 1/0\r\n";
const SUMMARY: &str = "Content-Type: application/simple-message-summary\n";

fn subscribe(script: &mut Script) -> Message {
    script.command(Command::Subscribe {
        subscription: KEY,
        target: uri("sip:alice@vm.example.com"),
        package: Package::MessageSummary,
        expires: Duration::from_secs(600),
    });
    script.next_request(Method::Subscribe)
}

fn accept(script: &mut Script, subscribe: &Message, expires: &str) {
    let headers = [(Name::Contact, "<sip:vm@192.0.2.9;transport=tcp>"), (Name::Expires, expires)];
    script.reply_with(subscribe, 200, "vmtag", &headers, None);
}

/// A NOTIFY in the dialog of a SUBSCRIBE.
fn notify(script: &mut Script, subscribe: &Message, tag: &str, cseq: u32, state: &str, body: &str) {
    let from = subscribe.text(Name::To).unwrap();
    let from = from.split(";tag=").next().unwrap();
    let (to, call_id) = (subscribe.text(Name::From).unwrap(), subscribe.call_id().unwrap());
    let state = if state.is_empty() { String::new() } else { format!("Subscription-State: {state}\n") };
    let kind = if body.is_empty() { "" } else { SUMMARY };
    script.raw(&format!(
        "NOTIFY sip:alice@127.0.0.1:40001;transport=tcp SIP/2.0\nVia: SIP/2.0/TCP 192.0.2.9;branch=z9hG4bK{tag}{cseq}\n\
         Max-Forwards: 70\nFrom: {from};tag={tag}\nTo: {to}\nCall-ID: {call_id}\nCSeq: {cseq} NOTIFY\n\
         Contact: <sip:vm@192.0.2.10;transport=tcp>\nEvent: message-summary\n{state}{kind}Content-Length: {}\n\n{}",
        body.len(),
        body.replace("\r\n", "\n")
    ));
}

/// Subscribed for 600 s, the first NOTIFY answered.
fn subscribed() -> (Script, Message) {
    let mut script = Script::registered_with(|config| {
        config.keep_alive = None;
        config.expires = Duration::from_secs(86_000);
    });
    let request = subscribe(&mut script);
    accept(&mut script, &request, "600");
    notify(&mut script, &request, "vmtag", 1, "active;expires=600", WAITING);
    script.next_status(200);
    assert!(matches!(
        script.take_events()[..],
        [Event::Subscribed { subscription: KEY, granted }, Event::MessageWaiting(_)] if granted.as_secs() == 600
    ));
    (script, request)
}

/// The one event of this turn that says it goes on later.
fn delayed(script: &mut Script) -> (SubscriptionEnd, Duration) {
    match &script.take_events()[..] {
        [Event::SubscriptionDelayed { subscription: KEY, why, retry_in }] => (why.clone(), *retry_in),
        other => panic!("{other:#?}"),
    }
}

fn ended(script: &mut Script) -> SubscriptionEnd {
    match &script.take_events()[..] {
        [Event::SubscriptionEnded { subscription: KEY, why }] => why.clone(),
        other => panic!("{other:#?}"),
    }
}

#[test]
fn a_mailbox_is_watched_and_told() {
    let mut script = Script::registered();
    let request = subscribe(&mut script);
    assert_eq!(request.header(Name::Event), Some(&b"message-summary"[..]));
    assert_eq!(request.header(Name::Accept), Some(&b"application/simple-message-summary"[..]));
    assert_eq!(request.expires(), Ok(Some(600)));
    assert!(request.header(Name::Contact).is_some() && request.header(Name::UserAgent).is_some());
    accept(&mut script, &request, "300");
    assert!(
        matches!(script.events.pop(), Some(Event::Subscribed { granted, .. }) if granted.as_secs() == 300)
    );
    notify(&mut script, &request, "vmtag", 1, "active;expires=299", WAITING);
    script.next_status(200);
    let Some(Event::MessageWaiting(summary)) = script.events.pop() else { panic!("{:?}", script.events) };
    assert!(summary.waiting);
    assert_eq!((summary.of(&MessageClass::Voice).new, summary.of(&MessageClass::Multimedia).new), (2, 1));
}

#[test]
fn the_answer_of_another_fork_leaves_the_dialog_of_the_first_notify() {
    let mut script = Script::registered_with(|config| {
        config.keep_alive = None;
        config.expires = Duration::from_secs(86_000);
    });
    let request = subscribe(&mut script);
    notify(&mut script, &request, "vmtag2", 1, "active;expires=600", WAITING);
    script.next_status(200);
    accept(&mut script, &request, "600");
    script.pass(Duration::from_secs(300));
    let refresh = script.next_request(Method::Subscribe);
    assert_eq!(refresh.to().unwrap().tag(), Some("vmtag2"));
    assert_eq!(refresh.request_uri().unwrap().unwrap().as_str(), "sip:vm@192.0.2.10;transport=tcp");
}

#[test]
fn it_is_refreshed_within_its_dialog_before_it_runs_out() {
    let (mut script, request) = subscribed();
    script.pass(Duration::from_secs(299));
    assert!(script.sent.is_empty());
    script.pass(Duration::from_secs(1));
    let refresh = script.next_request(Method::Subscribe);
    assert_eq!(refresh.to().unwrap().tag(), Some("vmtag"));
    assert_eq!(refresh.call_id(), request.call_id());
    assert!(refresh.cseq().unwrap().number > request.cseq().unwrap().number);
    assert_eq!(refresh.request_uri().unwrap().unwrap().as_str(), "sip:vm@192.0.2.10;transport=tcp");
    accept(&mut script, &refresh, "60");
    script.take_events();
    // What is granted now decides.
    script.pass(Duration::from_secs(30));
    script.next_request(Method::Subscribe);
}

#[test]
fn a_notify_may_overtake_the_answer() {
    let mut script = Script::registered();
    let request = subscribe(&mut script);
    notify(&mut script, &request, "vmtag", 1, "active;expires=500", WAITING);
    script.next_status(200);
    assert!(matches!(script.take_events()[..], [Event::MessageWaiting(_), Event::Subscribed { .. }]));
    // Another fork's is refused, which ends it there.
    notify(&mut script, &request, "other", 1, "active;expires=500", WAITING);
    script.next_status(481);
    accept(&mut script, &request, "500");
    script.take_events();
    notify(&mut script, &request, "vmtag", 2, "active", "");
    script.next_status(200);
}

#[test]
fn a_challenge_is_answered_outside_and_within_the_dialog() {
    let challenge = "Digest realm=\"example.com\", nonce=\"n\", qop=\"auth\", algorithm=MD5";
    let mut script = Script::registered_with(|config| {
        config.keep_alive = None;
        config.expires = Duration::from_secs(86_000);
    });
    let first = subscribe(&mut script);
    script.reply(&first, 401, &[(Name::WwwAuthenticate, challenge)]);
    let second = script.next_request(Method::Subscribe);
    assert!(second.header(Name::Authorization).is_some());
    accept(&mut script, &second, "600");
    notify(&mut script, &second, "vmtag", 1, "active;expires=600", "");
    script.next_status(200);
    script.pass(Duration::from_secs(300));
    let refresh = script.next_request(Method::Subscribe);
    let stale = "Digest realm=\"example.com\", nonce=\"m\", qop=\"auth\", algorithm=MD5, stale=true";
    script.reply(&refresh, 401, &[(Name::WwwAuthenticate, stale)]);
    let again = script.next_request(Method::Subscribe);
    assert!(again.cseq().unwrap().number > refresh.cseq().unwrap().number);
    assert_eq!(again.to().unwrap().tag(), Some("vmtag"));
}

#[test]
fn a_notifier_that_wants_longer_gets_it_and_one_that_makes_no_sense_does_not() {
    let mut script = Script::registered();
    let request = subscribe(&mut script);
    script.reply(&request, 423, &[(Name::MinExpires, "1800")]);
    let longer = script.next_request(Method::Subscribe);
    assert_eq!(longer.expires(), Ok(Some(1800)));
    script.reply(&longer, 423, &[(Name::MinExpires, "60")]);
    assert!(matches!(
        ended(&mut script),
        SubscriptionEnd::Failed(RequestFailure::Refused { status: 423, .. })
    ));
    assert!(script.sent.is_empty());
}

#[test]
fn a_forgotten_subscription_begins_anew() {
    let (mut script, request) = subscribed();
    script.pass(Duration::from_secs(300));
    let refresh = script.next_request(Method::Subscribe);
    script.reply_with(&refresh, 481, "vmtag", &[], None);
    let (why, retry_in) = delayed(&mut script);
    assert!(matches!(why, SubscriptionEnd::Failed(RequestFailure::Refused { status: 481, .. })));
    script.pass(retry_in);
    let anew = script.next_request(Method::Subscribe);
    assert!(anew.to().unwrap().tag().is_none() && anew.call_id() != request.call_id());
    accept(&mut script, &anew, "600");
    assert!(matches!(script.events.pop(), Some(Event::Subscribed { .. })));
    // The old dialog is no more.
    notify(&mut script, &request, "vmtag", 9, "active", "");
    script.next_status(481);
}

#[test]
fn refusals_that_last_end_it() {
    for status in [403, 404, 405, 489, 603] {
        let mut script = Script::registered_with(|config| config.keep_alive = None);
        let request = subscribe(&mut script);
        script.reply(&request, status, &[]);
        assert!(matches!(
            ended(&mut script),
            SubscriptionEnd::Failed(RequestFailure::Refused { status: got, .. }) if got == status
        ));
        script.pass(Duration::from_secs(200));
        assert!(script.sent.is_empty());
        // The number is free again.
        subscribe(&mut script);
    }
}

#[test]
fn a_server_out_of_order_is_asked_again_when_it_said() {
    let mut script = Script::registered_with(|config| {
        config.keep_alive = None;
        config.expires = Duration::from_secs(86_000);
    });
    let request = subscribe(&mut script);
    script.reply(&request, 503, &[(Name::RetryAfter, "100")]);
    let (_, retry_in) = delayed(&mut script);
    assert_eq!(retry_in, Duration::from_secs(100));
    script.pass(Duration::from_secs(99));
    assert!(script.sent.is_empty());
    script.pass(Duration::from_secs(1));
    script.next_request(Method::Subscribe);
    // A refresh that is put off leaves what stands.
    let (mut script, _) = subscribed();
    script.pass(Duration::from_secs(300));
    let refresh = script.next_request(Method::Subscribe);
    script.reply_with(&refresh, 500, "vmtag", &[(Name::RetryAfter, "20")], None);
    assert_eq!(delayed(&mut script).1, Duration::from_secs(20));
    script.pass(Duration::from_secs(20));
    assert_eq!(script.next_request(Method::Subscribe).to().unwrap().tag(), Some("vmtag"));
}

#[test]
fn each_reason_of_an_end_means_what_rfc_6665_says() {
    let after = |reason: &str| {
        let (mut script, request) = subscribed();
        notify(&mut script, &request, "vmtag", 2, &format!("terminated{reason}"), "");
        script.next_status(200);
        script
    };
    for lasting in [";reason=rejected", ";reason=noresource", ";reason=Invariant"] {
        let mut script = after(lasting);
        assert!(matches!(ended(&mut script), SubscriptionEnd::Terminated { reason: Some(_) }));
        script.pass(Duration::from_secs(7200));
        assert!(script.sent.is_empty());
    }
    for (passing, wait) in [
        (";reason=deactivated", 0),
        (";reason=timeout", 0),
        (";reason=probation;retry-after=120", 120),
        (";reason=giveup;retry-after=7", 7),
        (";reason=giveup", 60),
        (";reason=something-new", 60),
        ("", 60),
    ] {
        let mut script = after(passing);
        let (why, retry_in) = delayed(&mut script);
        assert!(matches!(why, SubscriptionEnd::Terminated { .. }));
        assert_eq!(retry_in, Duration::from_secs(wait), "{passing}");
        script.pass(retry_in);
        assert!(script.next_request(Method::Subscribe).to().unwrap().tag().is_none());
    }
}

#[test]
fn a_notifier_that_ends_it_at_once_is_never_asked_in_a_loop() {
    let mut script = Script::registered_with(|config| {
        config.keep_alive = None;
        config.expires = Duration::from_secs(86_000);
    });
    let mut request = subscribe(&mut script);
    let began = script.now;
    let mut asked = 1;
    while script.now - began < Duration::from_secs(6 * 3600) {
        accept(&mut script, &request, "600");
        notify(&mut script, &request, "vmtag", 1, "terminated;reason=deactivated;retry-after=0", "");
        let due = script.agent.next_deadline().unwrap().at;
        script.pass(due - script.now);
        while let Some(message) = script.sent.pop_front() {
            if message.method() == Some(Method::Subscribe) {
                request = message;
                asked += 1;
            }
        }
    }
    assert!((5..20).contains(&asked), "{asked} in six hours");
}

#[test]
fn an_accepted_subscription_without_a_notify_is_given_up() {
    let mut script = Script::registered_with(|config| config.keep_alive = None);
    let request = subscribe(&mut script);
    accept(&mut script, &request, "600");
    script.take_events();
    script.pass(Duration::from_secs(33));
    assert_eq!(ended(&mut script), SubscriptionEnd::NoNotify);
}

#[test]
fn it_is_taken_back_within_its_dialog() {
    let (mut script, request) = subscribed();
    script.command(Command::Unsubscribe { subscription: KEY });
    let last = script.next_request(Method::Subscribe);
    assert_eq!((last.expires(), last.to().unwrap().tag()), (Ok(Some(0)), Some("vmtag")));
    accept(&mut script, &last, "0");
    assert_eq!(ended(&mut script), SubscriptionEnd::Unsubscribed);
    notify(&mut script, &request, "vmtag", 2, "terminated;reason=timeout", "");
    script.next_status(200);
    assert!(script.take_events().is_empty());
    notify(&mut script, &request, "vmtag", 3, "terminated", "");
    script.next_status(481);
    script.command(Command::Unsubscribe { subscription: KEY });
    let refused = CommandRefusal::UnknownSubscription;
    assert!(matches!(script.events.pop(), Some(Event::CommandRefused { why, .. }) if why == refused));
}

#[test]
fn taken_back_before_the_answer_it_ends_when_the_answer_comes() {
    let mut script = Script::registered();
    let request = subscribe(&mut script);
    script.command(Command::Unsubscribe { subscription: KEY });
    assert!(script.sent.is_empty());
    accept(&mut script, &request, "600");
    let last = script.next_request(Method::Subscribe);
    assert_eq!(last.expires(), Ok(Some(0)));
    script.reply_with(&last, 481, "vmtag", &[], None);
    assert_eq!(ended(&mut script), SubscriptionEnd::Unsubscribed);
}

#[test]
fn a_second_subscription_needs_a_number_of_its_own() {
    let mut script = Script::registered();
    subscribe(&mut script);
    script.command(Command::Subscribe {
        subscription: KEY,
        target: uri("sip:x@h"),
        package: Package::MessageSummary,
        expires: Duration::from_secs(1),
    });
    let taken = CommandRefusal::KeyTaken;
    assert!(matches!(script.events.pop(), Some(Event::CommandRefused { why, .. }) if why == taken));
    assert!(script.sent.is_empty());
}

#[test]
fn a_new_flow_is_told_to_the_notifier_as_soon_as_it_is_bound() {
    let (mut script, _) = subscribed();
    script.input(Input::FlowDown { flow: FLOW, why: FlowEnd::Reset });
    let (flow, local) = (FlowId(2), "127.0.0.1:40002".parse().unwrap());
    script.input(Input::FlowUp { flow, transport: Transport::Tcp, local, remote: SERVER.into(), reg_id: 1 });
    script.command(Command::Register);
    let register = script.next_request(Method::Register);
    let contact = register.text(Name::Contact).unwrap().into_owned();
    let ok = crate::wire::ResponseBuilder::to_request(&register, 200, "").to_tag("t");
    let ok = ok.header(Name::Contact, contact).build().unwrap();
    script.input(Input::Received { flow, bytes: ok.as_bytes() });
    let refresh = script.next_request(Method::Subscribe);
    assert_eq!(refresh.to().unwrap().tag(), Some("vmtag"));
    assert!(refresh.text(Name::Contact).unwrap().contains("40002"));
}

fn unsolicited(body: &str, extra: &str) -> String {
    let body = body.replace("\r\n", "\n");
    format!(
        "NOTIFY sip:alice@127.0.0.1:40001 SIP/2.0\nVia: SIP/2.0/TCP h;branch=z9hG4bKu{}\nMax-Forwards: 70\n\
         From: <sip:vm@example.com>;tag=1\nTo: <sip:alice@example.com>\nCall-ID: u{}\nCSeq: 1 NOTIFY\n\
         {extra}Content-Length: {}\n\n{body}",
        extra.len(),
        extra.len(),
        body.len() + body.matches('\n').count()
    )
}

#[test]
fn our_own_server_may_tell_unasked() {
    let mut script = Script::registered();
    let event = "Event: message-summary\n";
    script.raw(&unsolicited(WAITING, &format!("{event}{SUMMARY}")));
    script.next_status(200);
    let told = |event: &Event| matches!(event, Event::MessageWaiting(summary) if summary.waiting);
    assert!(script.take_events().iter().any(told));
    // Of other matters we know nothing; a broken one or an empty one says nothing.
    script.raw(&unsolicited("", "Event: presence\n"));
    let refused = script.next_status(489);
    assert!(refused.lists_token(Name::AllowEvents, "message-summary"));
    script.raw(&unsolicited("", ""));
    script.next_status(489);
    script.raw(&unsolicited("noise\n", &format!("{event}{SUMMARY}X: 1\n")));
    script.next_status(400);
    script.raw(&unsolicited("", event));
    script.next_status(400);
    script.raw(&unsolicited("x", &format!("{event}Content-Type: text/html\n")));
    assert!(script.next_status(415).lists_token(Name::Accept, "application/simple-message-summary"));
    assert!(!script.events.iter().any(told));
    // Nor from a flow that our binding does not lead to.
    let mut script = Script::new();
    script.raw(&unsolicited(WAITING, &format!("{event}{SUMMARY}")));
    script.next_status(403);
}

#[test]
fn a_notify_that_does_not_name_its_state_or_comes_too_late_is_refused() {
    let (mut script, request) = subscribed();
    notify(&mut script, &request, "vmtag", 2, "", WAITING);
    script.next_status(400);
    notify(&mut script, &request, "vmtag", 1, "active", "x");
    script.next_status(400);
    notify(&mut script, &request, "vmtag", 5, "active", "");
    script.next_status(200);
    notify(&mut script, &request, "vmtag", 4, "active", "");
    script.next_status(500);
}
