//! What becomes of our offers and refreshes within a call when the far end refuses them, and of the session timer
//! (RFC 3261 section 12.2.1.2, RFC 4028 section 7.4).

use std::time::Duration;

use super::calls::timed;
use super::script::CALL;
use super::world::{capabilities, uri};
use crate::ua::{Command, Event, Info, Side, TransferTarget};
use crate::wire::Method;

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
