//! Reliable provisional responses (RFC 3262), early dialogs, and offers before the call stands (RFC 3311).

use std::time::Duration;

use super::script::{ANSWER, CALL, OFFER, Script};
use super::world::{Cut, World, capabilities};
use crate::sdp::{Direction, MediaKind};
use crate::ua::{CallFailure, Command, CommandRefusal, Event, ReliableProvisionals, Side, UaConfig};
use crate::wire::{Message, Method, Name, Transport};

const CONTACT: (Name<'static>, &str) = (Name::Contact, "<sip:bob@192.0.2.7>");
const REQUIRED: (Name<'static>, &str) = (Name::Require, "100rel");
const UPDATES: (Name<'static>, &str) = (Name::Allow, "INVITE, ACK, BYE, CANCEL, PRACK, UPDATE");

fn text(message: &Message) -> String {
    String::from_utf8_lossy(message.as_bytes()).into_owned()
}

/// A provisional response that wants a PRACK.
fn reliably(script: &mut Script, invite: &Message, tag: &str, rseq: &str, sdp: Option<&str>) -> Message {
    let headers = [CONTACT, REQUIRED, UPDATES, (Name::RSeq, rseq)];
    script.reply_with(invite, 183, tag, &headers, sdp)
}

fn rack(prack: &Message) -> String {
    prack.text(Name::RAck).unwrap().into_owned()
}

/// A request of carol within the dialog of her call.
fn carol(script: &mut Script, method: &str, cseq: u32, tag: &str, extra: &str, body: &str) {
    let kind = if body.is_empty() { "" } else { "Content-Type: application/sdp\n" };
    script.raw(&format!(
        "{method} sip:alice@127.0.0.1:40001;transport=tcp SIP/2.0\nVia: SIP/2.0/TCP 192.0.2.3;branch=z9hG4bKc{method}{cseq}\n\
         Max-Forwards: 70\nFrom: \"Carol\" <sip:carol@example.com>;tag=caroltag\nTo: <sip:alice@example.com>;tag={tag}\n\
         Call-ID: incoming1\nCSeq: {cseq} {method}\nContact: <sip:carol@192.0.2.3:5062;transport=tcp>\n{extra}{kind}Content-Length: {}\n\n",
        body.len()
    ));
    let body = body.as_bytes();
    script.input(crate::ua::Input::Received { flow: super::script::FLOW, bytes: body });
}

fn tag(response: &Message) -> String {
    response.to().unwrap().tag().unwrap().to_owned()
}

/// The RAck for a response of ours.
fn acknowledges(response: &Message) -> String {
    format!("RAck: {} 10 INVITE\n", response.rseq().unwrap().unwrap())
}

#[test]
fn a_reliable_response_is_acknowledged_in_its_dialog_and_its_answer_holds() {
    let mut script = Script::registered();
    let invite = script.invite();
    assert!(invite.lists_token(Name::Supported, "100rel") && !invite.lists_token(Name::Require, "100rel"));
    reliably(&mut script, &invite, "bobtag", "5", Some(ANSWER));
    let prack = script.next_request(Method::Prack);
    assert_eq!(rack(&prack), format!("5 {} INVITE", invite.cseq().unwrap().number));
    assert_eq!(prack.cseq().unwrap().number, invite.cseq().unwrap().number + 1);
    assert_eq!(prack.request_uri().unwrap().unwrap().as_str(), "sip:bob@192.0.2.7");
    assert_eq!(prack.to().unwrap().tag(), Some("bobtag"));
    script.reply(&prack, 200, &[]);
    let Some(Event::Progress { early_media: Some(early), fork: 0, .. }) = script.events.pop() else {
        panic!("{:?}", script.events)
    };
    assert_eq!(early.media[0].remote.port(), 7000);
    // The 2xx has nothing to say about the session any more, whatever it says.
    let other = ANSWER.replace("7000", "7999");
    script.reply_with(&invite, 200, "bobtag", &[CONTACT], Some(&other));
    script.next_request(Method::Ack);
    let Some(Event::Established { negotiated, .. }) = script.events.pop() else { panic!() };
    assert_eq!(negotiated.media[0].remote.port(), 7000);
    script.command(Command::Hangup { call: CALL });
    let bye = script.next_request(Method::Bye);
    assert_eq!(bye.cseq().unwrap().number, prack.cseq().unwrap().number + 1, "one order of requests");
}

#[test]
fn repeated_and_early_reliable_responses_are_not_acknowledged_again() {
    let mut script = Script::registered();
    let invite = script.invite();
    let first = reliably(&mut script, &invite, "bobtag", "5", None);
    let prack = script.next_request(Method::Prack);
    script.reply(&prack, 200, &[]);
    script.receive(&first);
    reliably(&mut script, &invite, "bobtag", "7", None);
    assert!(script.sent.is_empty(), "7 comes before 6");
    assert_eq!(script.events.len(), 1, "{:?}", script.events);
    reliably(&mut script, &invite, "bobtag", "6", None);
    assert_eq!(rack(&script.next_request(Method::Prack)).split(' ').next(), Some("6"));
    reliably(&mut script, &invite, "bobtag", "7", None);
    script.next_request(Method::Prack);
    assert_eq!(script.events.len(), 3);
}

/// A provisional response that wants a PRACK, of a far end that takes no UPDATE.
fn reliably_without_update(script: &mut Script, invite: &Message, rseq: &str, sdp: Option<&str>) {
    script.reply_with(invite, 183, "bobtag", &[CONTACT, REQUIRED, (Name::RSeq, rseq)], sdp);
}

/// What we can do, and want nothing back.
fn one_way() -> crate::sdp::Capabilities {
    let mut offer = capabilities(20_000);
    offer.media[0].direction = Direction::SendOnly;
    offer
}

/// A call of ours whose first exchange is over before it stands, and an offer that waits.
fn offer_held() -> (Script, Message) {
    let mut script = Script::registered();
    let invite = script.invite();
    reliably_without_update(&mut script, &invite, "1", Some(ANSWER));
    let prack = script.next_request(Method::Prack);
    assert!(prack.body().is_empty());
    script.reply(&prack, 200, &[]);
    script.command(Command::Renegotiate { call: CALL, offer: one_way() });
    assert!(script.sent.is_empty(), "the far end takes no UPDATE");
    script.take_events();
    (script, invite)
}

#[test]
fn our_own_offer_goes_with_a_prack_and_is_answered_in_its_200() {
    let (mut script, invite) = offer_held();
    reliably_without_update(&mut script, &invite, "2", None);
    let prack = script.next_request(Method::Prack);
    assert!(text(&prack).contains("a=sendonly"), "{}", text(&prack));
    let answer = ANSWER.replace("m=audio 7000 RTP/AVP 8\r\n", "m=audio 7000 RTP/AVP 8\r\na=recvonly\r\n");
    script.reply_with(&prack, 200, "bobtag", &[], Some(&answer));
    let changed = |event: &Event| match event {
        Event::Renegotiated { negotiated, .. } => negotiated.media[0].direction == Direction::SendOnly,
        _ => false,
    };
    assert!(script.events.iter().any(changed), "{:?}", script.events);
    script.reply_with(&invite, 200, "bobtag", &[CONTACT], None);
    assert!(script.next_request(Method::Ack).body().is_empty());
    assert!(script.sent.is_empty(), "the offer has been made");

    // Refused, it changes nothing.
    let (mut script, invite) = offer_held();
    reliably_without_update(&mut script, &invite, "2", None);
    let prack = script.next_request(Method::Prack);
    script.reply(&prack, 488, &[]);
    let told = |event: &Event| matches!(event, Event::RenegotiationFailed { .. });
    assert!(script.events.iter().any(told), "{:?}", script.events);
    script.reply_with(&invite, 200, "bobtag", &[CONTACT], None);
    script.next_request(Method::Ack);
    assert!(script.events.iter().any(|event| matches!(event, Event::Established { .. })));
}

#[test]
fn a_prack_with_an_offer_that_is_refused_after_the_2xx_leaves_the_call() {
    for status in [405, 408, 481] {
        let (mut script, invite) = offer_held();
        reliably_without_update(&mut script, &invite, "2", None);
        let prack = script.next_request(Method::Prack);
        script.reply_with(&invite, 200, "bobtag", &[CONTACT], None);
        script.next_request(Method::Ack);
        script.take_events();
        // The 2xx overtook the PRACK, and the far end knows nothing of what is acknowledged any more.
        script.reply_with(&prack, status, "bobtag", &[], None);
        assert!(
            matches!(script.events[..], [Event::RenegotiationFailed { .. }]),
            "{status} {:?}",
            script.events
        );
        assert!(script.sent.is_empty() && script.agent.calls() == 1, "{status}");
        // The next one is free to go.
        script.command(Command::Renegotiate { call: CALL, offer: one_way() });
        assert!(text(&script.next_request(Method::Invite)).contains("a=sendonly"));
    }
}

#[test]
fn an_offer_that_no_prack_came_for_goes_by_invite_once_the_call_stands() {
    let (mut script, invite) = offer_held();
    script.reply_with(&invite, 200, "bobtag", &[CONTACT], None);
    script.next_request(Method::Ack);
    let again = script.next_request(Method::Invite);
    assert!(again.to().unwrap().tag() == Some("bobtag") && text(&again).contains("a=sendonly"));
}

#[test]
fn a_prack_is_challenged_like_any_request() {
    let mut script = Script::registered();
    let invite = script.invite();
    reliably(&mut script, &invite, "bobtag", "5", None);
    let prack = script.next_request(Method::Prack);
    let challenge = "Digest realm=\"example.com\", nonce=\"n1\", qop=\"auth\", algorithm=MD5";
    script.reply(&prack, 407, &[(Name::ProxyAuthenticate, challenge)]);
    let again = script.next_request(Method::Prack);
    assert_eq!(rack(&again), rack(&prack));
    assert_eq!(again.cseq().unwrap().number, prack.cseq().unwrap().number + 1);
    assert!(again.header(Name::ProxyAuthorization).is_some());
}

#[test]
fn two_devices_that_ring_have_a_dialog_each_and_the_second_takes_the_call() {
    let mut script = Script::registered();
    let invite = script.invite();
    reliably(&mut script, &invite, "one", "5", Some(ANSWER));
    let first = script.next_request(Method::Prack);
    reliably(&mut script, &invite, "two", "900", Some(&ANSWER.replace("7000", "7300")));
    let second = script.next_request(Method::Prack);
    assert_eq!((first.to().unwrap().tag(), second.to().unwrap().tag()), (Some("one"), Some("two")));
    let forks: Vec<u32> = script
        .take_events()
        .iter()
        .filter_map(|event| match event {
            Event::Progress { fork, .. } => Some(*fork),
            _ => None,
        })
        .collect();
    assert_eq!(forks, [0, 1]);
    script.reply_with(&invite, 200, "two", &[CONTACT], None);
    assert_eq!(script.next_request(Method::Ack).to().unwrap().tag(), Some("two"));
    let Some(Event::Established { negotiated, .. }) = script.events.pop() else { panic!() };
    assert_eq!(negotiated.media[0].remote.port(), 7300, "the answer of its own fork");
    // The first device answers all the same: it is acknowledged and ended.
    script.reply_with(&invite, 200, "one", &[CONTACT], None);
    assert_eq!(script.next_request(Method::Ack).to().unwrap().tag(), Some("one"));
    assert_eq!(script.next_request(Method::Bye).to().unwrap().tag(), Some("one"));
    assert!(script.take_events().is_empty());
    assert_eq!(script.agent.calls(), 1);
}

#[test]
fn an_unusable_answer_in_a_reliable_response_takes_the_call_back() {
    let mut script = Script::registered();
    let invite = script.invite();
    reliably(&mut script, &invite, "bobtag", "5", Some(&ANSWER.replace("RTP/AVP 8", "RTP/AVP 18")));
    script.next_request(Method::Prack);
    script.next_request(Method::Cancel);
    script.reply(&invite, 487, &[]);
    assert!(matches!(script.events.pop(), Some(Event::Failed { failure: CallFailure::Negotiation(_), .. })));
}

#[test]
fn without_the_extension_nothing_is_acknowledged_and_what_requires_it_is_refused() {
    let off = |config: &mut UaConfig| config.reliable_provisionals = ReliableProvisionals::Off;
    let mut script = Script::registered_with(off);
    let invite = script.invite();
    assert!(!invite.lists_token(Name::Supported, "100rel"));
    reliably(&mut script, &invite, "bobtag", "5", None);
    assert!(script.sent.is_empty());
    let mut script = Script::registered_with(off);
    script.incoming("Require: 100rel\n", OFFER);
    assert_eq!(script.next_status(420).header(Name::Unsupported), Some(&b"100rel"[..]));
}

#[test]
fn a_call_that_requires_it_says_so() {
    let mut script = Script::registered_with(|config| {
        config.reliable_provisionals = ReliableProvisionals::Required;
    });
    assert!(script.invite().lists_token(Name::Require, "100rel"));
}

#[test]
fn ringing_is_reliable_for_a_caller_that_requires_it_and_repeated_until_its_prack() {
    let mut script = Script::registered_with(|config| config.keep_alive = None);
    script.incoming("Require: 100rel\n", OFFER);
    let call = script.incoming_call();
    script.next_status(100);
    script.command(Command::Ring { call, offer: None });
    let ringing = script.next_status(180);
    assert!(ringing.lists_token(Name::Require, "100rel") && ringing.contact().is_ok());
    assert_eq!(ringing.record_routes().count(), 2);
    script.pass(Duration::from_millis(3500));
    assert_eq!(
        (script.next(), script.next(), script.next()),
        (ringing.clone(), ringing.clone(), ringing.clone())
    );
    carol(&mut script, "PRACK", 11, &tag(&ringing), "RAck: 1 10 INVITE\n", "");
    script.next_status(481);
    carol(&mut script, "PRACK", 12, &tag(&ringing), "", "");
    script.next_status(400);
    carol(&mut script, "PRACK", 13, &tag(&ringing), &acknowledges(&ringing), "");
    script.next_status(200);
    carol(&mut script, "PRACK", 14, &tag(&ringing), &acknowledges(&ringing), "");
    script.next_status(481);
    script.pass(Duration::from_secs(40));
    assert!(script.sent.is_empty());
    script.command(Command::Accept { call, answer: capabilities(30_000) });
    assert!(!script.next_status(200).body().is_empty());
}

#[test]
fn a_reliable_response_that_nobody_acknowledges_ends_the_call_with_5xx() {
    let mut script = Script::registered_with(|config| config.keep_alive = None);
    script.incoming("Require: 100rel\n", OFFER);
    let call = script.incoming_call();
    script.command(Command::Ring { call, offer: None });
    script.pass(Duration::from_secs(32));
    assert_eq!(script.sent.back().unwrap().status(), Some(504));
    let failed = |event: &Event| {
        matches!(event, Event::Failed { failure: CallFailure::TimedOut { timer: "PRACK" }, .. })
    };
    assert!(script.events.iter().any(failed), "{:?}", script.events);
    assert_eq!(script.agent.calls(), 0);
}

#[test]
fn a_200_waits_for_the_prack_of_an_answer_and_repeats_nothing() {
    let mut script = Script::registered();
    script.incoming("Supported: 100rel\n", OFFER);
    let call = script.incoming_call();
    script.next_status(100);
    script.command(Command::Progress { call, answer: capabilities(30_000) });
    let early = script.next_status(183);
    assert!(early.lists_token(Name::Require, "100rel") && text(&early).contains("m=audio 30000 "));
    assert!(matches!(script.events.pop(), Some(Event::EarlyMedia { .. })));
    script.command(Command::Accept { call, answer: capabilities(30_000) });
    assert!(script.sent.is_empty(), "the 200 is held back");
    carol(&mut script, "PRACK", 11, &tag(&early), &acknowledges(&early), "");
    script.next_status(200);
    let ok = script.next_status(200);
    assert_eq!(ok.cseq().unwrap().method, Method::Invite);
    assert!(ok.body().is_empty(), "the answer was given: {}", text(&ok));
    assert!(matches!(script.events.pop(), Some(Event::Established { .. })));
}

#[test]
fn a_200_does_not_wait_for_the_prack_of_mere_ringing_which_is_still_taken() {
    let mut script = Script::registered();
    script.incoming("Require: 100rel\n", OFFER);
    let call = script.incoming_call();
    script.next_status(100);
    script.command(Command::Ring { call, offer: None });
    let ringing = script.next_status(180);
    script.command(Command::Accept { call, answer: capabilities(30_000) });
    script.next_status(200);
    carol(&mut script, "PRACK", 11, &tag(&ringing), &acknowledges(&ringing), "");
    assert_eq!(script.next_status(200).cseq().unwrap().method, Method::Prack);
}

#[test]
fn a_caller_without_an_offer_gets_ours_in_the_first_reliable_response() {
    let mut script = Script::registered();
    script.incoming("Require: 100rel\n", "");
    let call = script.incoming_call();
    script.next_status(100);
    script.command(Command::Ring { call, offer: None });
    script.command(Command::Accept { call, answer: capabilities(30_000) });
    let ok = script.next_status(200);
    assert!(text(&ok).contains("m=audio 30000 "), "nothing reliable came before: {}", text(&ok));
    carol(&mut script, "ACK", 10, &tag(&ok), "", ANSWER);
    assert!(matches!(script.events.pop(), Some(Event::Established { .. })), "{:?}", script.events);

    // Early media makes the offer; that it rings follows.
    let mut script = Script::registered();
    script.incoming("Require: 100rel\n", "");
    let call = script.incoming_call();
    script.next_status(100);
    script.command(Command::Ring { call, offer: None });
    script.command(Command::Progress { call, answer: capabilities(30_000) });
    let early = script.next_status(183);
    assert!(text(&early).contains("m=audio 30000 ") && script.sent.is_empty());
    carol(&mut script, "PRACK", 11, &tag(&early), &acknowledges(&early), ANSWER);
    script.next_status(200);
    assert!(script.next_status(180).lists_token(Name::Require, "100rel"));

    // Where it is we who want reliable responses, this one is an exception.
    let mut script = Script::registered_with(|config| {
        config.reliable_provisionals = ReliableProvisionals::Required;
    });
    script.incoming("Supported: 100rel\n", "");
    let call = script.incoming_call();
    script.next_status(100);
    script.command(Command::Ring { call, offer: None });
    assert!(script.next_status(180).header(Name::RSeq).is_none());
}

#[test]
fn ringing_brings_our_offer_to_a_caller_that_has_none_and_takes_nothing_unreliable() {
    let mut script = Script::registered();
    script.incoming("Require: 100rel\n", "");
    let told = |event: &Event| matches!(event, Event::Incoming { ring_with_offer: true, .. });
    assert!(script.events.iter().any(told), "{:?}", script.events);
    let call = script.incoming_call();
    script.next_status(100);
    // Too early, then with what it takes; said again it is not offered again.
    script.command(Command::Ring { call, offer: None });
    assert!(script.sent.is_empty());
    script.command(Command::Ring { call, offer: Some(capabilities(30_000)) });
    let ringing = script.next_status(180);
    assert!(text(&ringing).contains("m=audio 30000 ") && ringing.lists_token(Name::Require, "100rel"));
    // Taken before the PRACK: the 200 waits for it, and has nothing to add.
    script.command(Command::Accept { call, answer: capabilities(31_000) });
    assert!(script.sent.is_empty(), "{:?}", script.sent);
    carol(&mut script, "PRACK", 11, &tag(&ringing), &acknowledges(&ringing), ANSWER);
    script.next_status(200);
    let ok = script.next_status(200);
    assert!(ok.body().is_empty());
    carol(&mut script, "ACK", 10, &tag(&ok), "", "");
    let agreed = |event: &Event| matches!(event, Event::Established { negotiated, .. } if negotiated.media[0].local_port == 30_000);
    assert!(script.events.iter().any(agreed) && script.sent.is_empty(), "{:?}", script.events);

    // Who offers, or takes what is unreliable, is rung as ever.
    for (extra, body) in [("Require: 100rel\n", OFFER), ("Supported: 100rel\n", ""), ("", "")] {
        let mut script = Script::registered();
        script.incoming(extra, body);
        let told = |event: &Event| matches!(event, Event::Incoming { ring_with_offer: false, .. });
        assert!(script.events.iter().any(told), "{:?}", script.events);
        let call = script.incoming_call();
        script.next_status(100);
        script.command(Command::Ring { call, offer: Some(capabilities(30_000)) });
        assert!(script.next_status(180).body().is_empty());
    }
}

#[test]
fn a_late_prack_of_mere_ringing_is_no_answer_to_the_offer_of_a_2xx() {
    let mut script = Script::registered();
    script.incoming("Require: 100rel\n", OFFER);
    let call = script.incoming_call();
    script.next_status(100);
    script.command(Command::Ring { call, offer: None });
    let ringing = script.next_status(180);
    script.command(Command::Accept { call, answer: capabilities(30_000) });
    script.next_status(200);
    carol(&mut script, "ACK", 10, &tag(&ringing), "", "");
    // An INVITE that leaves the offer to us, and the PRACK before its ACK.
    carol(&mut script, "INVITE", 11, &tag(&ringing), "", "");
    let offer = script.next_status(200);
    assert!(!offer.body().is_empty());
    carol(&mut script, "PRACK", 12, &tag(&ringing), &acknowledges(&ringing), "");
    script.next_status(200);
    script.take_events();
    carol(&mut script, "ACK", 11, &tag(&ringing), "", &OFFER.replace("9000", "9500"));
    assert!(matches!(script.events.pop(), Some(Event::Renegotiated { .. })), "{:?}", script.events);
}

#[test]
fn reliable_responses_go_out_one_after_the_other() {
    let mut script = Script::registered();
    script.incoming("Require: 100rel\n", OFFER);
    let call = script.incoming_call();
    script.next_status(100);
    script.command(Command::Ring { call, offer: None });
    script.command(Command::Progress { call, answer: capabilities(30_000) });
    let ringing = script.next_status(180);
    assert!(script.sent.is_empty(), "the 183 waits for the PRACK of the 180");
    carol(&mut script, "PRACK", 11, &tag(&ringing), &acknowledges(&ringing), "");
    script.next_status(200);
    let early = script.next_status(183);
    assert_eq!(early.rseq().unwrap().unwrap(), ringing.rseq().unwrap().unwrap() + 1);
    script.command(Command::Progress { call, answer: capabilities(30_000) });
    assert!(matches!(script.events.pop(), Some(Event::CommandRefused { .. })), "one answer is enough");
}

#[test]
fn early_media_for_a_caller_without_the_extension_is_repeated_in_the_200() {
    let mut script = Script::registered();
    script.incoming("", OFFER);
    let call = script.incoming_call();
    script.next_status(100);
    script.command(Command::Progress { call, answer: capabilities(30_000) });
    let early = script.next_status(183);
    assert!(early.header(Name::RSeq).is_none());
    script.command(Command::Accept { call, answer: capabilities(40_000) });
    assert_eq!(script.next_status(200).body(), early.body(), "exactly the same answer");
}

#[test]
fn an_offer_in_a_reliable_response_is_answered_in_the_prack() {
    let mut script = Script::registered();
    script.incoming("Supported: 100rel\n", "");
    let call = script.incoming_call();
    script.next_status(100);
    script.command(Command::Progress { call, answer: capabilities(30_000) });
    let early = script.next_status(183);
    assert!(text(&early).contains("m=audio 30000 RTP/AVP 0 8 101\r\n"));
    // A second offer cannot cross it.
    carol(&mut script, "UPDATE", 11, &tag(&early), "", ANSWER);
    script.next_status(491);
    carol(&mut script, "PRACK", 12, &tag(&early), &acknowledges(&early), ANSWER);
    script.next_status(200);
    assert!(matches!(script.events.pop(), Some(Event::EarlyMedia { .. })));
    script.command(Command::Accept { call, answer: capabilities(30_000) });
    assert!(script.next_status(200).body().is_empty());
    assert!(matches!(script.events.pop(), Some(Event::Established { .. })));
}

#[test]
fn a_prack_without_the_answer_that_is_due_ends_the_call() {
    let mut script = Script::registered();
    script.incoming("Supported: 100rel\n", "");
    let call = script.incoming_call();
    script.next_status(100);
    script.command(Command::Progress { call, answer: capabilities(30_000) });
    let early = script.next_status(183);
    carol(&mut script, "PRACK", 11, &tag(&early), &acknowledges(&early), "");
    script.next_status(488);
    assert_eq!(script.next_status(488).cseq().unwrap().method, Method::Invite);
    let failed =
        |event: &Event| matches!(event, Event::Failed { failure: CallFailure::NoAnswerDescription, .. });
    assert!(script.events.iter().any(failed));
}

/// An incoming call with early media that is acknowledged.
fn early() -> (Script, crate::ua::CallKey, String) {
    let mut script = Script::registered();
    script.incoming("Supported: 100rel\nAllow: INVITE, ACK, BYE, UPDATE, PRACK\n", OFFER);
    let call = script.incoming_call();
    script.next_status(100);
    script.command(Command::Progress { call, answer: capabilities(30_000) });
    let early = script.next_status(183);
    let tag = tag(&early);
    carol(&mut script, "PRACK", 11, &tag, &acknowledges(&early), "");
    script.next_status(200);
    script.take_events();
    (script, call, tag)
}

#[test]
fn an_offer_in_a_prack_is_answered_in_its_200() {
    let mut script = Script::registered();
    script.incoming("Supported: 100rel\n", OFFER);
    let call = script.incoming_call();
    script.next_status(100);
    script.command(Command::Progress { call, answer: capabilities(30_000) });
    let early = script.next_status(183);
    script.take_events();
    let moved = OFFER.replace("9000", "9100");
    carol(&mut script, "PRACK", 11, &tag(&early), &acknowledges(&early), &moved);
    let ok = script.next_status(200);
    assert!(text(&ok).contains("m=audio 30000 "), "{}", text(&ok));
    let Some(Event::Renegotiated { negotiated, .. }) = script.events.pop() else { panic!() };
    assert_eq!(negotiated.media[0].remote.port(), 9100);
}

#[test]
fn updates_in_an_early_dialog_go_both_ways() {
    let (mut script, call, tag) = early();
    carol(&mut script, "UPDATE", 12, &tag, "", &OFFER.replace("9000", "9100"));
    assert!(text(&script.next_status(200)).contains("m=audio 30000 "));
    assert!(matches!(script.events.pop(), Some(Event::Renegotiated { .. })));
    let mut held = capabilities(30_000);
    held.media[0].direction = Direction::SendOnly;
    script.command(Command::Renegotiate { call, offer: held });
    let update = script.next_request(Method::Update);
    assert!(text(&update).contains("a=sendonly\r\n"));
    // An offer of the far end crosses ours.
    carol(&mut script, "UPDATE", 13, &tag, "", &OFFER.replace("9000", "9200"));
    script.next_status(491);
    let answer = OFFER.replace("RTP/AVP 0 96\r\n", "RTP/AVP 0\r\na=recvonly\r\n");
    // The text line of ours is new in this offer.
    let answer = format!("{answer}m=text 0 RTP/AVP 98\r\n");
    script.reply_with(&update, 200, "caroltag", &[CONTACT], Some(&answer));
    let Some(Event::Renegotiated { negotiated, .. }) = script.events.pop() else {
        panic!("{:?}", script.events)
    };
    assert_eq!(negotiated.media[0].direction, Direction::SendOnly);
}

#[test]
fn an_offer_in_a_prack_that_crosses_ours_is_refused_and_what_it_acknowledges_is_not() {
    let mut script = Script::registered();
    script.incoming("Require: 100rel\nAllow: INVITE, ACK, BYE, UPDATE, PRACK\n", OFFER);
    let call = script.incoming_call();
    script.next_status(100);
    script.command(Command::Progress { call, answer: capabilities(30_000) });
    let early = script.next_status(183);
    carol(&mut script, "PRACK", 11, &tag(&early), &acknowledges(&early), "");
    script.next_status(200);
    let mut held = capabilities(30_000);
    held.media.truncate(1);
    held.media[0].direction = Direction::SendOnly;
    script.command(Command::Renegotiate { call, offer: held });
    let update = script.next_request(Method::Update);
    script.command(Command::Ring { call, offer: None });
    let ringing = script.next_status(180);
    script.take_events();
    carol(&mut script, "PRACK", 12, &tag(&early), &acknowledges(&ringing), &OFFER.replace("9000", "9500"));
    script.next_status(491);
    assert!(script.events.is_empty(), "{:?}", script.events);
    script.reply_with(&update, 200, "caroltag", &[], Some(&OFFER.replace("t=0 0", "t=0 0\r\na=recvonly")));
    let Some(Event::Renegotiated { negotiated, .. }) = script.events.pop() else { panic!() };
    assert_eq!(negotiated.media[0].remote.port(), 9000);
    script.command(Command::Accept { call, answer: capabilities(30_000) });
    script.next_status(200);
}

#[test]
fn an_update_before_the_invite_is_answered_is_too_early() {
    let mut script = Script::registered();
    script.incoming("", OFFER);
    script.next_status(100);
    let call = script.incoming_call();
    script.command(Command::Ring { call, offer: None });
    let ringing = script.next_status(180);
    carol(&mut script, "UPDATE", 11, &tag(&ringing), "", OFFER);
    assert!(script.next_status(500).retry_after().unwrap().is_some_and(|seconds| seconds <= 10));
    carol(&mut script, "INVITE", 12, &tag(&ringing), "", OFFER);
    assert!(script.next_status(500).retry_after().unwrap().is_some());
    carol(&mut script, "UPDATE", 13, &tag(&ringing), "", "");
    script.next_status(200);
    script.command(Command::Renegotiate { call, offer: capabilities(1) });
    assert!(matches!(script.events.pop(), Some(Event::CommandRefused { .. })), "nothing is agreed on");
}

#[test]
fn the_caller_updates_its_early_dialog_and_takes_updates_in_it() {
    let mut script = Script::registered();
    let invite = script.invite();
    script.command(Command::Renegotiate { call: CALL, offer: capabilities(1) });
    assert!(matches!(script.events.pop(), Some(Event::CommandRefused { .. })));
    reliably(&mut script, &invite, "bobtag", "5", Some(ANSWER));
    let prack = script.next_request(Method::Prack);
    script.reply(&prack, 200, &[]);
    script.take_events();
    let mut held = capabilities(20_000);
    held.media[0].direction = Direction::Inactive;
    script.command(Command::Renegotiate { call: CALL, offer: held });
    let update = script.next_request(Method::Update);
    assert_eq!(update.to().unwrap().tag(), Some("bobtag"));
    // Both offer at once: ours waits and goes out again.
    script.inside(&prack, "UPDATE", 1, "", ANSWER);
    script.next_status(491);
    script.reply_with(&update, 491, "bobtag", &[], None);
    script.pass(Duration::from_secs(5));
    let update = script.next_request(Method::Update);
    script.reply_with(
        &update,
        200,
        "bobtag",
        &[CONTACT],
        Some(&ANSWER.replace("AVP 8\r\n", "AVP 8\r\na=inactive\r\n")),
    );
    assert!(matches!(script.events.pop(), Some(Event::Renegotiated { .. })));
    // Only afterwards comes the far end's.
    script.inside(&prack, "UPDATE", 2, "", &ANSWER.replace("7000", "7400"));
    script.next_status(200);
    assert!(matches!(script.events.pop(), Some(Event::Renegotiated { .. })));
    script.inside(&prack, "INVITE", 3, "", ANSWER);
    script.next_status(491);
    script.inside(&prack, "BYE", 4, "", "");
    script.next_status(481);
    script.reply_with(&invite, 200, "bobtag", &[CONTACT], None);
    let Some(Event::Established { negotiated, .. }) = script.events.pop() else { panic!() };
    assert_eq!(negotiated.media[0].remote.port(), 7400);
}

#[test]
fn an_update_that_is_not_taken_in_an_early_dialog_leaves_it_as_it_was() {
    let mut script = Script::registered();
    let invite = script.invite();
    reliably(&mut script, &invite, "bobtag", "5", Some(ANSWER));
    script.next_request(Method::Prack);
    for (status, retried) in [(488, false), (500, true), (405, false)] {
        script.take_events();
        script.command(Command::Renegotiate { call: CALL, offer: capabilities(20_000) });
        let mut update = script.next_request(Method::Update);
        if retried {
            script.reply_with(&update, 500, "bobtag", &[(Name::RetryAfter, "3")], None);
            script.pass(Duration::from_secs(3));
            update = script.next_request(Method::Update);
            script.reply_with(&update, 504, "bobtag", &[], None);
        } else {
            script.reply_with(&update, status, "bobtag", &[], None);
        }
        assert!(matches!(script.events.pop(), Some(Event::RenegotiationFailed { .. })), "{status}");
    }
    script.command(Command::Renegotiate { call: CALL, offer: capabilities(20_000) });
    assert!(
        script.events.is_empty() && script.sent.is_empty(),
        "it takes no UPDATE: the offer waits for a PRACK"
    );
}

#[test]
fn a_new_medium_is_for_the_application_to_decide() {
    let more = format!("{ANSWER}m=video 7010 RTP/AVP 99\r\na=rtpmap:99 H264/90000\r\n");
    let (mut script, ack) = Script::established();
    script.inside(&ack, "INVITE", 5, "", &more);
    script.next_status(100);
    let Some(Event::Offered { call, offered }) = script.events.pop() else { panic!("{:?}", script.events) };
    assert_eq!(offered.media[2].kind, Some(MediaKind::Video));
    // Until then nothing else goes on.
    script.inside(&ack, "UPDATE", 6, "", ANSWER);
    script.next_status(500);
    script.command(Command::Renegotiate { call, offer: capabilities(20_000) });
    let open = CommandRefusal::OfferOpen;
    assert!(matches!(script.events.pop(), Some(Event::CommandRefused { why, .. }) if why == open));
    let mut answer = capabilities(20_000);
    let mut video = answer.media[0].clone();
    (video.kind, video.port) = (MediaKind::Video, 20_010);
    video.codecs = vec![crate::sdp::Codec::new("H264", 90_000, 99)];
    answer.media.push(video);
    script.command(Command::AnswerOffer { call, answer });
    let ok = script.next_status(200);
    assert!(text(&ok).contains("m=video 20010 "), "{}", text(&ok));
    let told = script.take_events();
    let [.., Event::Renegotiated { negotiated, by_us: false, .. }, Event::MayOffer { .. }] = &told[..] else {
        panic!("{told:#?}")
    };
    assert!(negotiated.first(MediaKind::Video).is_some());
    script.inside(&ack, "ACK", 5, "", "");
    // Now it flows: the same again is nothing new.
    script.inside(&ack, "INVITE", 7, "", &more);
    script.next_status(200);
}

#[test]
fn an_offer_that_the_application_refuses_or_ignores() {
    let more = format!("{ANSWER}m=video 7010 RTP/AVP 99\r\na=rtpmap:99 H264/90000\r\n");
    let (mut script, ack) = Script::established();
    script.inside(&ack, "UPDATE", 5, "", &more);
    assert!(script.sent.is_empty(), "a request other than INVITE has no 100");
    script.command(Command::RefuseOffer { call: CALL });
    script.next_status(488);
    script.command(Command::RefuseOffer { call: CALL });
    assert!(matches!(script.events.pop(), Some(Event::CommandRefused { .. })));
    script.inside(&ack, "UPDATE", 6, "", &more);
    script.pass(crate::ua::ANSWER_WITHIN);
    let ok = script.next_status(200);
    assert!(text(&ok).contains("m=video 0 "), "as things are: {}", text(&ok));
    // It was refused, so it is not asked for again.
    script.inside(&ack, "UPDATE", 7, "", &more);
    script.next_status(200);
}

#[test]
fn an_offer_that_waits_is_answered_when_it_is_taken_back_or_the_call_ends() {
    let more = format!("{ANSWER}m=video 7010 RTP/AVP 99\r\na=rtpmap:99 H264/90000\r\n");
    let (mut script, ack) = Script::established();
    script.inside(&ack, "INVITE", 5, "", &more);
    script.next_status(100);
    let (from, to) = (ack.text(Name::To).unwrap().into_owned(), ack.text(Name::From).unwrap().into_owned());
    let call_id = ack.call_id().unwrap().to_owned();
    script.raw(&format!(
        "CANCEL sip:alice@127.0.0.1:40001;transport=tcp SIP/2.0\nVia: SIP/2.0/TCP 192.0.2.7;branch=z9hG4bKINVITE5\n\
         Max-Forwards: 70\nFrom: {from}\nTo: {to}\nCall-ID: {call_id}\nCSeq: 5 CANCEL\nContent-Length: 0\n\n"
    ));
    script.next_status(200);
    script.next_status(487);
    script.command(Command::RefuseOffer { call: CALL });
    assert!(matches!(script.events.pop(), Some(Event::CommandRefused { .. })), "nothing waits any more");
    script.inside(&ack, "UPDATE", 6, "", &more);
    script.inside(&ack, "BYE", 7, "", "");
    let statuses: Vec<_> = script.sent.drain(..).map(|message| message.status()).collect();
    assert_eq!(statuses, [Some(200), Some(487)]);
    assert!(script.events.iter().any(|event| matches!(event, Event::Ended { by: Side::Remote, .. })));
    script.pass(Duration::from_secs(40));
    assert!(!script.sent.iter().any(|message| message.status() == Some(200)));
}

/// Every offer of ours against every offer of the far end that crosses it.
#[test]
fn offers_that_cross_are_refused_in_every_combination() {
    for theirs in ["INVITE", "UPDATE"] {
        let (mut script, ack) = Script::established();
        script.command(Command::Renegotiate { call: CALL, offer: capabilities(20_000) });
        let ours = script.next_request(Method::Invite);
        script.inside(&ack, theirs, 5, "", ANSWER);
        script.next_status(491);
        if theirs == "UPDATE" {
            script.inside(&ack, "UPDATE", 6, "", "");
            script.next_status(200);
        }
        script.reply_with(&ours, 491, "bobtag", &[], None);
        script.next_request(Method::Ack);
        script.pass(Duration::from_secs(4));
        let again = script.next_request(Method::Invite);
        script.reply_with(&again, 200, "bobtag", &[CONTACT], Some(ANSWER));
        script.next_request(Method::Ack);
        assert!(matches!(script.take_events()[..], [Event::Renegotiated { .. }]));
    }
    // Ours in a 200 that waits for the answer in its ACK.
    for theirs in ["INVITE", "UPDATE"] {
        let (mut script, ack) = Script::established();
        script.inside(&ack, "INVITE", 5, "", "");
        script.next_status(200);
        script.inside(&ack, theirs, 6, "", ANSWER);
        script.next_status(491);
    }
}

#[test]
fn early_media_and_a_call_over_every_transport() {
    for (transport, cut) in [(Transport::Tcp, Cut::EveryByte), (Transport::Udp, Cut::Whole)] {
        let mut world = World::with(41, &["alice", "bob"], transport, |config| {
            config.reliable_provisionals = ReliableProvisionals::Required;
        });
        world.cut = cut;
        world.register_all();
        world.call(crate::ua::CallKey(1), "bob");
        world.run_until("the call arrives", |world| world.incoming(1).is_some());
        let far = world.incoming(1).unwrap();
        world.command(1, Command::Ring { call: far, offer: None });
        world.command(1, Command::Progress { call: far, answer: capabilities(30_000) });
        let early =
            |event: &Event| matches!(event, Event::Progress { status: 183, early_media: Some(_), .. });
        world.run_until("early media", |world| world.has(0, early));
        assert!(world.has(1, |event| matches!(event, Event::EarlyMedia { .. })));
        world.command(1, Command::Accept { call: far, answer: capabilities(30_000) });
        world.run_until("the call stands", |world| {
            world.has(0, |event| matches!(event, Event::Established { .. }))
                && world.has(1, |event| matches!(event, Event::Established { .. }))
        });
        world.settle();
        assert!(!world.has(0, |event| matches!(event, Event::Unexpected { .. })), "{}", world.story());
    }
}
