//! What becomes of our offers and refreshes within a call when the far end refuses them, and of the session timer
//! (RFC 3261 section 12.2.1.2, RFC 4028 section 7.4).

use std::time::Duration;

use super::calls::timed;
use super::script::{ANSWER, CALL, Script};
use super::world::{capabilities, uri};
use crate::ua::{Command, Event, Info, Side, TransferTarget};
use crate::wire::{Method, Name};

const REFRESHED: (Name<'static>, &str) = (Name::SessionExpires, "200;refresher=uac");

fn renegotiate(script: &mut Script) {
    script.command(Command::Renegotiate { call: CALL, offer: capabilities(20_000) });
}

#[test]
fn an_offer_whose_turn_comes_while_another_waits_is_put_off_again() {
    let (mut script, ack) = Script::established();
    renegotiate(&mut script);
    let ours = script.next_request(Method::Invite);
    script.reply_with(&ours, 491, "bobtag", &[], None);
    script.next_request(Method::Ack);
    script.inside(&ack, "INVITE", 5, "", "");
    script.next_status(200);
    script.pass(Duration::from_secs(5));
    assert!(script.sent.drain(..).all(|message| message.status() == Some(200)), "ours waits for the ACK");
    script.inside(&ack, "ACK", 5, "", ANSWER);
    script.take_events();
    script.pass(Duration::from_secs(1));
    let again = script.next_request(Method::Invite);
    script.reply_with(&again, 200, "bobtag", &[(Name::Contact, "<sip:bob@192.0.2.7>")], Some(ANSWER));
    script.next_request(Method::Ack);
    assert!(matches!(script.take_events()[..], [Event::Renegotiated { .. }]));
}

#[test]
fn a_refresh_that_is_refused_for_a_while_is_made_again() {
    for (allow, method) in
        [("Allow: INVITE, ACK, BYE, UPDATE", Method::Update), ("Allow: INVITE, ACK, BYE", Method::Invite)]
    {
        let (mut script, _) = timed(allow);
        let mut wait = 45;
        let refusals = [
            (503, None, 12),
            (491, None, 4),
            (500, Some((Name::RetryAfter, "3")), 3),
            (422, Some((Name::MinSe, "150")), 0),
            (422, Some((Name::MinSe, "200")), 0),
        ];
        for (status, header, next) in refusals {
            script.pass(Duration::from_secs(wait));
            let refresh = script.next_request(method.clone());
            script.reply_with(&refresh, status, "bobtag", header.as_slice(), None);
            if method == Method::Invite {
                script.next_request(Method::Ack);
            }
            wait = next;
        }
        script.pass(Duration::from_secs(0));
        for _ in 0..2 {
            let refresh = script.next_request(method.clone());
            assert_eq!(refresh.header(Name::SessionExpires), Some(&b"200;refresher=uac"[..]));
            assert_eq!(refresh.header(Name::MinSe), Some(&b"200"[..]), "it is kept");
            if method == Method::Invite {
                let contact = (Name::Contact, "<sip:bob@192.0.2.7>");
                script.reply_with(&refresh, 200, "bobtag", &[contact, REFRESHED], Some(ANSWER));
                script.next_request(Method::Ack);
            } else {
                script.reply_with(&refresh, 200, "bobtag", &[REFRESHED], None);
            }
            assert!(script.sent.is_empty());
            script.pass(Duration::from_secs(100));
        }
        assert!(script.take_events().is_empty(), "a refresh is not told");
    }
}

#[test]
fn a_refresh_that_is_refused_for_good_ends_the_call_with_its_interval() {
    let (mut script, _) = timed("Allow: INVITE, ACK, BYE, UPDATE");
    script.pass(Duration::from_secs(45));
    let mut tries = 0;
    let mut sent = script.next();
    while sent.method() == Some(Method::Update) {
        tries += 1;
        script.reply_with(&sent, 503, "bobtag", &[], None);
        script.pass(Duration::from_secs(12));
        sent = script.next();
    }
    assert_eq!((tries, sent.method()), (4, Some(Method::Bye)));
}

#[test]
fn a_refresh_that_is_due_while_an_offer_of_ours_is_open_is_made_later() {
    let (mut script, _) = timed("Allow: INVITE, ACK, BYE");
    script.pass(Duration::from_secs(44));
    renegotiate(&mut script);
    let hold = script.next_request(Method::Invite);
    script.pass(Duration::from_secs(2));
    script.reply_with(&hold, 488, "bobtag", &[], None);
    script.next_request(Method::Ack);
    script.pass(Duration::from_secs(12));
    script.next_request(Method::Invite);
}

#[test]
fn who_refreshes_stays_as_it_was_agreed() {
    let mut script = Script::registered_with(|config| config.keep_alive = None);
    let invite = script.invite();
    let headers = [(Name::Contact, "<sip:bob@192.0.2.7>"), (Name::SessionExpires, "90;refresher=uas")];
    script.reply_with(&invite, 200, "bobtag", &headers, Some(ANSWER));
    script.next_request(Method::Ack);
    renegotiate(&mut script);
    let hold = script.next_request(Method::Invite);
    assert_eq!(hold.header(Name::SessionExpires), Some(&b"90;refresher=uas"[..]));
}

#[test]
fn a_call_that_the_far_end_knows_no_more_ends_with_a_bye() {
    let info = Command::SendInfo { call: CALL, info: Info::PictureFastUpdate };
    let transfer = Command::Transfer { call: CALL, to: TransferTarget::Blind(uri("sip:carol@example.com")) };
    let hold = Command::Renegotiate { call: CALL, offer: capabilities(20_000) };
    let cases = [
        (Some(hold.clone()), 408),
        (Some(hold), 481),
        (Some(transfer.clone()), 408),
        (Some(transfer), 481),
        (Some(info), 481),
        (None, 408),
        (None, 481),
    ];
    for (command, status) in cases {
        let (mut script, _) = timed("Allow: INVITE, ACK, BYE, UPDATE");
        match command {
            Some(command) => script.command(command),
            None => script.pass(Duration::from_secs(45)),
        }
        let request = script.next();
        script.reply_with(&request, status, "bobtag", &[], None);
        if request.method() == Some(Method::Invite) {
            script.next_request(Method::Ack);
        }
        let bye = script.next_request(Method::Bye);
        script.reply_with(&bye, 481, "bobtag", &[], None);
        assert!(script.sent.is_empty());
        let ended = script.events.iter().filter(|event| matches!(event, Event::Ended { .. }));
        assert!(matches!(ended.collect::<Vec<_>>()[..], [Event::Ended { by: Side::Network, .. }]));
    }
}
