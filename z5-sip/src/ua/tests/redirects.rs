//! An INVITE that is sent elsewhere (RFC 3261 section 8.1.3.4), and refusals that say when to try again.

use std::time::Duration;

use super::script::{CALL, Script};
use crate::ua::{CallFailure, Command, Event, UaConfig};
use crate::wire::{Message, Method, Name};

fn uri(message: &Message) -> String {
    message.request_uri().unwrap().unwrap().as_str().to_owned()
}

/// Answers the INVITE and takes the ACK of the refusal.
fn refuse(script: &mut Script, invite: &Message, status: u16, contact: &str) {
    let headers: &[(Name<'static>, &str)] =
        if contact.is_empty() { &[] } else { &[(Name::Contact, contact)] };
    script.reply(invite, status, headers);
    script.next_request(Method::Ack);
}

#[test]
fn a_moved_callee_is_called_at_the_best_address_first() {
    let mut script = Script::registered();
    let invite = script.invite();
    refuse(
        &mut script,
        &invite,
        302,
        "<sip:low@x.example.com>;q=0.1, <sip:high@x.example.com?Subject=x>;q=0.7, <mailto:b@h>",
    );
    let high = script.next_request(Method::Invite);
    assert_eq!(uri(&high), "sip:high@x.example.com");
    assert_eq!((high.call_id(), high.header(Name::To)), (invite.call_id(), invite.header(Name::To)));
    assert_eq!(high.header(Name::From), invite.header(Name::From));
    assert!(high.cseq().unwrap().number > invite.cseq().unwrap().number && high.body() == invite.body());
    let told = |event: &Event| matches!(event, Event::Redirected { call: CALL, status: 302, .. });
    assert!(script.take_events().iter().any(told));
    refuse(&mut script, &high, 404, "");
    let low = script.next_request(Method::Invite);
    assert_eq!(uri(&low), "sip:low@x.example.com");
    script.accept(&low, "bobtag");
    script.next_request(Method::Ack);
    assert!(matches!(script.events.pop(), Some(Event::Established { call: CALL, .. })));
}

#[test]
fn addresses_that_point_at_each_other_are_tried_once_each() {
    let mut script = Script::registered();
    let mut invite = script.invite();
    let mut seen = vec![uri(&invite)];
    loop {
        refuse(
            &mut script,
            &invite,
            301,
            "<sip:a@x.example.com>, <sip:b@x.example.com>, <sip:bob@example.com>",
        );
        match script.sent.pop_front() {
            Some(next) => invite = next,
            None => break,
        }
        seen.push(uri(&invite));
    }
    assert_eq!(seen, ["sip:bob@example.com", "sip:a@x.example.com", "sip:b@x.example.com"]);
    let moved = |event: &Event| {
        matches!(event, Event::Failed { failure: CallFailure::Moved { status: 301, .. }, .. })
    };
    assert!(script.take_events().iter().any(moved));
    assert_eq!(script.agent.calls(), 0);
}

#[test]
fn always_another_address_comes_to_an_end() {
    let followed = |most: u32| {
        let mut script = Script::registered_with(|config: &mut UaConfig| config.redirects = most);
        let mut next = Some(script.invite());
        let mut count = 0;
        while let Some(invite) = next {
            refuse(&mut script, &invite, 302, &format!("<sip:n{count}@x.example.com>"));
            next = script.sent.pop_front();
            count += 1;
        }
        count - 1
    };
    assert_eq!((followed(0), followed(1), followed(5)), (0, 1, 5));
}

#[test]
fn a_global_refusal_a_proxy_to_use_and_a_call_taken_back_end_it() {
    let mut script = Script::registered();
    let invite = script.invite();
    refuse(&mut script, &invite, 300, "<sip:a@x.example.com>, <sip:b@x.example.com>");
    let first = script.next_request(Method::Invite);
    refuse(&mut script, &first, 603, "");
    assert!(script.sent.is_empty());
    assert!(matches!(script.events.pop(), Some(Event::Failed { failure: CallFailure::Declined { .. }, .. })));
    for status in [305, 380] {
        let mut script = Script::registered();
        let invite = script.invite();
        refuse(&mut script, &invite, status, "<sip:a@x.example.com>");
        assert!(matches!(
            script.events.pop(),
            Some(Event::Failed { failure: CallFailure::Moved { .. }, .. })
        ));
    }
    let mut script = Script::registered();
    let invite = script.invite();
    script.reply(&invite, 180, &[]);
    script.command(Command::Hangup { call: CALL });
    script.next_request(Method::Cancel);
    refuse(&mut script, &invite, 302, "<sip:a@x.example.com>");
    assert!(script.sent.is_empty());
    assert!(matches!(
        script.events.pop(),
        Some(Event::Failed { failure: CallFailure::Cancelled { .. }, .. })
    ));
}

#[test]
fn a_challenge_at_the_new_address_is_answered() {
    let mut script = Script::registered();
    let invite = script.invite();
    refuse(&mut script, &invite, 302, "<sip:a@x.example.com>");
    let second = script.next_request(Method::Invite);
    let challenge = "Digest realm=\"example.com\", nonce=\"n\", qop=\"auth\", algorithm=MD5";
    script.reply(&second, 407, &[(Name::ProxyAuthenticate, challenge)]);
    script.next_request(Method::Ack);
    let third = script.next_request(Method::Invite);
    assert_eq!(uri(&third), "sip:a@x.example.com");
    assert!(third.header(Name::ProxyAuthorization).is_some());
}

#[test]
fn a_refusal_keeps_when_to_try_again() {
    let failure = |status: u16, after: &str| {
        let mut script = Script::registered();
        let invite = script.invite();
        script.reply(&invite, status, &[(Name::RetryAfter, after)]);
        match script.events.pop() {
            Some(Event::Failed { failure, .. }) => failure,
            other => panic!("{other:?}"),
        }
    };
    let wait = Some(Duration::from_secs(120));
    assert!(
        matches!(failure(503, "120;duration=60"), CallFailure::Refused { status: 503, retry_after, .. } if retry_after == wait)
    );
    assert!(
        matches!(failure(480, "120 (lunch)"), CallFailure::Unavailable { retry_after, .. } if retry_after == wait)
    );
}
