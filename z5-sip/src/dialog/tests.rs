//! Who is who, the way of requests, their order, the life of a 2xx, and what is offered when.

use std::time::{Duration, Instant};

use super::*;
use crate::sdp::{
    Capabilities, Codec, Direction, MediaCapability, MediaKind, Negotiated, NegotiatedCodec,
    NegotiationFailure,
};
use crate::transaction::Timers;

fn parse(text: &str) -> Message {
    Message::parse_datagram(bytes::Bytes::from(text.replace('\n', "\r\n"))).unwrap()
}

const INVITE: &str = "INVITE sip:bob@example.com SIP/2.0\nVia: SIP/2.0/TCP a;branch=z9hG4bK1\n\
    From: \"Alice, A.\" <sip:alice@example.com>;tag=at\nTo: <sip:bob@example.com>\nCall-ID: c\nCSeq: 7 INVITE\n\
    Contact: <sip:alice@192.0.2.1:5070;transport=tcp?Subject=x>\nRecord-Route: <sip:p1;lr>, <sip:p2;lr=on>;x=y\n\n";

const OK: &str = "SIP/2.0 200 OK\nVia: SIP/2.0/TCP a;branch=z9hG4bK1\nFrom: \"Alice, A.\" <sip:alice@example.com>;tag=at\n\
    To: Bob <sip:bob@example.com>;tag=bt\nCall-ID: c\nCSeq: 7 INVITE\nContact: <sip:bob@192.0.2.2>\n\
    Record-Route: <sip:p2;lr>\nRecord-Route: <sip:p1;lr>\n\n";

#[test]
fn both_ends_see_one_dialog() {
    let caller = Dialog::from_response(&parse(INVITE), &parse(OK)).unwrap();
    let callee = Dialog::from_request(&parse(INVITE), "bt").unwrap();
    assert_eq!((caller.id().local_tag.as_str(), caller.id().remote_tag.as_str()), ("at", "bt"));
    assert_eq!((callee.id().local_tag.as_str(), callee.id().remote_tag.as_str()), ("bt", "at"));
    assert_eq!(caller.remote_target(), "sip:bob@192.0.2.2");
    assert_eq!(callee.remote_target(), "sip:alice@192.0.2.1:5070;transport=tcp", "without its headers");
}

#[test]
fn the_caller_reverses_the_route_and_the_callee_keeps_it() {
    let mut caller = Dialog::from_response(&parse(INVITE), &parse(OK)).unwrap();
    let bye = caller.next(Method::Bye);
    assert_eq!(bye.routes, ["<sip:p1;lr>", "<sip:p2;lr>"]);
    assert_eq!((bye.uri.as_str(), bye.cseq), ("sip:bob@192.0.2.2", 8));
    assert_eq!(bye.to, "Bob <sip:bob@example.com>;tag=bt");
    let mut callee = Dialog::from_request(&parse(INVITE), "bt").unwrap();
    let bye = callee.next(Method::Bye);
    assert_eq!(bye.routes, ["<sip:p1;lr>", "<sip:p2;lr=on>;x=y"]);
    assert_eq!(bye.to, "\"Alice, A.\" <sip:alice@example.com>;tag=at");
    assert_eq!((bye.from.as_str(), bye.cseq), ("<sip:bob@example.com>;tag=bt", 1));
}

#[test]
fn a_strict_router_stands_in_the_request_uri() {
    let invite = parse(&INVITE.replace("<sip:p1;lr>, ", "<sip:strict;transport=tcp>, "));
    let mut callee = Dialog::from_request(&invite, "bt").unwrap();
    let bye = callee.next(Method::Bye);
    assert_eq!(bye.uri, "sip:strict;transport=tcp");
    assert_eq!(bye.routes, ["<sip:p2;lr=on>;x=y", "<sip:alice@192.0.2.1:5070;transport=tcp>"]);
}

#[test]
fn an_ack_has_the_number_of_its_invite() {
    let mut caller = Dialog::from_response(&parse(INVITE), &parse(OK)).unwrap();
    caller.next(Method::Invite);
    assert_eq!(caller.ack(7).cseq, 7);
    assert_eq!(caller.next(Method::Bye).cseq, 9);
    caller.advance_to(20);
    assert_eq!(caller.next(Method::Bye).cseq, 21);
}

#[test]
fn requests_must_come_in_order_but_may_leave_gaps() {
    let mut callee = Dialog::from_request(&parse(INVITE), "bt").unwrap();
    assert_eq!(callee.admit(7), Err(OutOfOrder { received: 7, last: 7 }));
    assert_eq!(callee.admit(9), Ok(()));
    assert_eq!(callee.admit(8), Err(OutOfOrder { received: 8, last: 9 }));
    let mut caller = Dialog::from_response(&parse(INVITE), &parse(OK)).unwrap();
    assert_eq!(caller.admit(1), Ok(()), "the first request of the far end may have any number");
}

#[test]
fn a_target_refresh_moves_the_target_only() {
    let mut caller = Dialog::from_response(&parse(INVITE), &parse(OK)).unwrap();
    caller.refresh_target(&parse(&OK.replace("192.0.2.2", "192.0.2.99")));
    let bye = caller.next(Method::Bye);
    assert_eq!((bye.uri.as_str(), bye.routes.len()), ("sip:bob@192.0.2.99", 2));
    caller.refresh_target(&parse(&OK.replace("Contact: <sip:bob@192.0.2.2>\n", "")));
    assert_eq!(caller.remote_target(), "sip:bob@192.0.2.99");
}

#[test]
fn a_peer_without_tag_or_contact_is_borne() {
    let old = parse(
        &INVITE
            .replace(";tag=at", "")
            .replace("Contact: <sip:alice@192.0.2.1:5070;transport=tcp?Subject=x>\n", ""),
    );
    let callee = Dialog::from_request(&old, "bt").unwrap();
    assert_eq!((callee.id().remote_tag.as_str(), callee.remote_target()), ("", "sip:alice@example.com"));
    let bare = parse(&OK.replace("Contact: <sip:bob@192.0.2.2>\n", ""));
    let caller = Dialog::from_response(&parse(INVITE), &bare).unwrap();
    assert_eq!(caller.remote_target(), "sip:bob@example.com");
    let untagged = parse(&OK.replace(";tag=bt", ""));
    assert!(Dialog::from_response(&parse(INVITE), &untagged).is_err());
}

#[test]
fn a_2xx_is_repeated_until_it_is_given_up() {
    #[expect(clippy::disallowed_methods, reason = "a table needs one instant to count from")]
    let now = Instant::now();
    let mut acceptance = Acceptance::new(parse(OK), 7, Timers::default(), now);
    assert!(acceptance.is_acknowledged_by(7) && !acceptance.is_acknowledged_by(8));
    let mut at = Vec::new();
    loop {
        let deadline = acceptance.next_deadline();
        match acceptance.on_deadline(deadline.at) {
            Due::Nothing => panic!("woken for nothing"),
            Due::Repeat(_) => at.push((deadline.at - now).as_millis()),
            Due::GiveUp => {
                assert_eq!(deadline.at - now, Duration::from_secs(32));
                break;
            }
        }
    }
    assert_eq!(at, [500, 1500, 3500, 7500, 11_500, 15_500, 19_500, 23_500, 27_500, 31_500]);
}

fn audio(port: u16, direction: Direction) -> Capabilities {
    let medium =
        MediaCapability { direction, ..MediaCapability::new(MediaKind::Audio, port, vec![Codec::pcmu()]) };
    Capabilities { address: [127, 0, 0, 1].into(), media: vec![medium] }
}

fn version(body: &[u8]) -> u64 {
    crate::sdp::SessionDescription::parse(body).unwrap().session().origin.sess_version
}

#[test]
fn the_version_grows_only_with_what_is_new() {
    let mut here = Session::new(99, audio(1000, Direction::SendReceive));
    let mut there = Session::new(77, audio(2000, Direction::SendReceive));
    let offer = here.offer(audio(1000, Direction::SendReceive));
    let (answer, _) = there.answer(&offer).unwrap();
    here.accept(&answer).unwrap();
    assert_eq!((version(&offer), version(&answer)), (1, 1));
    let same = here.offer(audio(1000, Direction::SendReceive));
    assert_eq!(version(&same), 1);
    here.withdraw();
    let held = here.offer(audio(1000, Direction::Inactive));
    assert_eq!(version(&held), 2);
    let (answer, negotiated) = there.answer(&held).unwrap();
    assert_eq!((version(&answer), negotiated.media[0].direction), (2, Direction::Inactive));
    here.accept(&answer).unwrap();
    assert_eq!(version(&here.offer(audio(1000, Direction::SendReceive))), 3);
}

#[test]
fn a_failed_exchange_leaves_what_held() {
    let mut here = Session::new(99, audio(1000, Direction::SendReceive));
    let mut there = Session::new(77, audio(2000, Direction::SendReceive));
    let (answer, _) = there.answer(&here.offer(audio(1000, Direction::SendReceive))).unwrap();
    let before = here.accept(&answer).unwrap();
    here.offer(audio(1000, Direction::Inactive));
    assert!(here.is_offering());
    assert!(matches!(here.accept(b"rubbish"), Err(NegotiationFailure::Description(_))));
    assert!(!here.is_offering());
    assert_eq!(here.negotiated(), Some(&before));
    assert!(here.answer(b"rubbish").is_err());
    assert_eq!(here.negotiated(), Some(&before));
}

#[test]
fn a_refresh_offers_what_flows_and_no_more() {
    let mut both = audio(1000, Direction::SendReceive);
    both.media.push(MediaCapability::new(MediaKind::Text, 1002, vec![Codec::t140(98)]));
    let mut here = Session::new(99, both.clone());
    let mut there = Session::new(77, audio(2000, Direction::SendReceive));
    let (answer, _) = there.answer(&here.offer(both)).unwrap();
    here.accept(&answer).unwrap();
    assert_eq!(here.flowing(), audio(1000, Direction::SendReceive), "text was refused");
    assert_eq!(here.capabilities().media.len(), 2);
}

#[test]
fn what_arrives_after_a_new_offer_of_ours_has_the_numbers_that_the_session_had() {
    const OFFER: &str = "v=0\no=- 5 5 IN IP4 192.0.2.7\ns=-\nc=IN IP4 192.0.2.7\nt=0 0\n\
        m=audio 7000 RTP/AVP 111 126\na=rtpmap:111 opus/48000/2\na=rtpmap:126 telephone-event/48000\n\
        m=video 7002 RTP/AVP 121 120\na=rtpmap:121 H264/90000\na=fmtp:121 profile-level-id=42E01F;packetization-mode=1\n\
        a=rtpmap:120 H264/90000\na=fmtp:120 profile-level-id=42E01F\n";
    let mut sound = vec![Codec::new("opus", 48_000, 96), Codec::telephone_event_at(97, 48_000)];
    sound[0].channels = Some(2);
    let pictures = vec![Codec::h264(111, 1, 31), Codec::h264(99, 0, 31)];
    let media = vec![
        MediaCapability::new(MediaKind::Audio, 20_000, sound),
        MediaCapability::new(MediaKind::Video, 20_002, pictures),
    ];
    let ours = Capabilities { address: [127, 0, 0, 1].into(), media };
    let expected = |negotiated: &Negotiated| -> Vec<Vec<u8>> {
        let numbers =
            |codecs: &[NegotiatedCodec]| codecs.iter().map(|codec| codec.receive_payload_type).collect();
        negotiated.media.iter().map(|media| numbers(&media.codecs)).collect()
    };
    let mut session = Session::new(8, ours.clone());
    let (_, before) = session.answer(OFFER.replace('\n', "\r\n").as_bytes()).unwrap();
    assert_eq!(expected(&before), [[111, 126], [121, 120]]);
    // Twice: what came of the first new offer is what the second goes on from.
    for _ in 0..2 {
        let offer = String::from_utf8(session.offer(ours.clone())).unwrap();
        assert!(offer.contains("m=audio 20000 RTP/AVP 111 126\r\n"), "{offer}");
        assert!(offer.contains("m=video 20002 RTP/AVP 121 120\r\n"), "{offer}");
        let after = session.accept(OFFER.replace('\n', "\r\n").as_bytes()).unwrap();
        assert_eq!(expected(&after), expected(&before));
    }
    // The far end may send under numbers of its own choice all the same.
    session.offer(ours);
    let renumbered = OFFER.replace("111", "100").replace('\n', "\r\n");
    let after = session.accept(renumbered.as_bytes()).unwrap();
    let opus = after.media[0].codec("opus").unwrap();
    assert_eq!((opus.send_payload_type, opus.receive_payload_type), (100, 111));
}
