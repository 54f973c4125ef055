//! Edits touch what they name and nothing else.

use bytes::Bytes;

use super::*;

const INVITE: &str = "INVITE sip:b@h SIP/2.0\r\nX-Odd  :  kept \r\n  as it is\r\nv: SIP/2.0/TCP 10.0.0.1:5070 ;branch=z9hG4bK2;rport,\r\n SIP/2.0/UDP a;branch=z9hG4bK1\r\n\
    Route: <sip:p1;lr>, <sip:p2;lr>\r\nf: \"Zo\" <sip:a@h>;tag=1\r\nt: sip:b@h\r\ni: x\r\nCSeq: 1 INVITE\r\nl: 3\r\n\r\n\0\u{1}z";

fn message() -> Message {
    Message::parse_datagram(Bytes::from(INVITE)).unwrap()
}

fn text(edit: Edit<'_>) -> String {
    String::from_utf8_lossy(edit.build().unwrap().as_bytes()).into_owned()
}

#[test]
fn nothing_changed_is_nothing_changed() {
    assert_eq!(text(Edit::new(&message())), INVITE);
}

#[test]
fn push_and_pop_give_the_original_back() {
    let pushed = Edit::new(&message()).push_via("SIP/2.0/TCP me;branch=z9hG4bK3").build().unwrap();
    assert_eq!(pushed.vias().count(), 3);
    assert_eq!(pushed.via().unwrap().branch(), Some("z9hG4bK3"));
    assert_eq!(text(Edit::new(&pushed).pop_via()), INVITE);
}

#[test]
fn one_of_several_on_a_line_goes() {
    let message = message();
    let popped = text(Edit::new(&message).pop_via().remove_first_value(Name::Route));
    let expected = INVITE
        .replace("v: SIP/2.0/TCP 10.0.0.1:5070 ;branch=z9hG4bK2;rport,\r\n ", "Via: ")
        .replace("<sip:p1;lr>, ", "");
    assert_eq!(popped, expected);
    let gone = Edit::new(&message).pop_via().pop_via().remove(Name::Route).build().unwrap();
    assert_eq!((gone.count(Name::Via), gone.count(Name::Route)), (0, 0));
}

#[test]
fn the_source_is_stamped_into_the_top_via_only() {
    let from: SocketAddr = "127.0.0.1:40000".parse().unwrap();
    let stamped = Edit::new(&message()).stamp_received(from).build().unwrap();
    let via = stamped.via().unwrap();
    assert_eq!((via.branch(), via.rport()), (Some("z9hG4bK2"), Some(Some(40_000))));
    assert_eq!(via.received().and_then(|host| host.ip()), Some(from.ip()));
    assert_eq!(stamped.vias().count(), 2);
    assert!(stamped.vias().nth(1).unwrap().unwrap().received().is_none());
    let v6: SocketAddr = "[::1]:9".parse().unwrap();
    let stamped = Edit::new(&stamped).stamp_received(v6).build().unwrap();
    assert_eq!(stamped.via().unwrap().received().and_then(|host| host.ip()), Some(v6.ip()));
}

#[test]
fn uri_fields_and_body_change() {
    let message = message();
    let edited = Edit::new(&message)
        .request_uri("sip:b@[::1]:5060;ob")
        .set(Name::MaxForwards, "69")
        .set(Name::CallId, "y")
        .append(Name::Other("X-New"), "1")
        .body("four")
        .build()
        .unwrap();
    let expected = INVITE
        .replace("sip:b@h SIP", "sip:b@[::1]:5060;ob SIP")
        .replace("i: x", "Call-ID: y")
        .replace("l: 3\r\n\r\n\0\u{1}z", "Content-Length: 4\r\nMax-Forwards: 69\r\nX-New: 1\r\n\r\nfour");
    assert_eq!(String::from_utf8_lossy(edited.as_bytes()), expected);
}

#[test]
fn line_breaks_are_errors() {
    let message = message();
    for evil in ["a\r\nb", "a\n", "\0"] {
        assert!(Edit::new(&message).push_via(evil).build().is_err());
        assert!(Edit::new(&message).set(Name::Subject, evil).build().is_err());
        assert!(Edit::new(&message).append(Name::Other(evil), "x").build().is_err());
        assert!(Edit::new(&message).insert_first(Name::Subject, evil).build().is_err());
        assert!(Edit::new(&message).request_uri(evil).build().is_err());
    }
}
