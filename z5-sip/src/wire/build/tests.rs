//! What the builders write, byte by byte.

use super::*;
use crate::wire::{Method, Transport, Uri};

fn uri(text: &str) -> Uri {
    Uri::parse(text).unwrap()
}

fn invite() -> RequestBuilder {
    RequestBuilder::new(Method::Invite, uri("sip:bob@example.com"))
        .via(Transport::Tcp, "127.0.0.1:5070", "z9hG4bK1")
        .max_forwards(70)
        .from(&Address::named("Al \"x\" \\", &uri("sip:alice@example.com")).tag("f"))
        .to(&Address::new(&uri("sip:bob@example.com")))
        .call_id("c1")
        .cseq(7)
}

#[test]
fn a_request_byte_by_byte() {
    let message = invite()
        .contact(&Address::new(&uri("sip:a@127.0.0.1:5070;transport=tcp")))
        .body("text/plain", "hi")
        .build()
        .unwrap();
    let expected = "INVITE sip:bob@example.com SIP/2.0\r\n\
        Via: SIP/2.0/TCP 127.0.0.1:5070;branch=z9hG4bK1;rport\r\n\
        Max-Forwards: 70\r\n\
        From: \"Al \\\"x\\\" \\\\\" <sip:alice@example.com>;tag=f\r\n\
        To: <sip:bob@example.com>\r\n\
        Call-ID: c1\r\n\
        CSeq: 7 INVITE\r\n\
        Contact: <sip:a@127.0.0.1:5070;transport=tcp>\r\n\
        Content-Type: text/plain\r\n\
        Content-Length: 2\r\n\r\nhi";
    assert_eq!(String::from_utf8_lossy(message.as_bytes()), expected);
    assert_eq!(message.from().unwrap().display_name().as_deref(), Some("Al \"x\" \\"));
}

#[test]
fn a_response_copies_what_it_must() {
    let request = "INVITE sip:b@h SIP/2.0\r\nv: SIP/2.0/TCP p;branch=z9hG4bK2,\r\n SIP/2.0/TCP a;branch=z9hG4bK1\r\n\
        Record-Route: <sip:p;lr>\r\nf: <sip:a@h>;tag=1\r\nt: sip:b@h\r\ni: x\r\nCSeq: 1 INVITE\r\n\r\n";
    let request = Message::parse_datagram(Bytes::from(request)).unwrap();
    let ok =
        ResponseBuilder::to_request(&request, 200, "").to_tag("t").record_route(&request).build().unwrap();
    let expected = "SIP/2.0 200 OK\r\nVia: SIP/2.0/TCP p;branch=z9hG4bK2,   SIP/2.0/TCP a;branch=z9hG4bK1\r\n\
        From: <sip:a@h>;tag=1\r\nTo: sip:b@h;tag=t\r\nCall-ID: x\r\nCSeq: 1 INVITE\r\n\
        Record-Route: <sip:p;lr>\r\nContent-Length: 0\r\n\r\n";
    assert_eq!(String::from_utf8_lossy(ok.as_bytes()), expected);
    assert_eq!(ok.to().unwrap().tag(), Some("t"));
    // A second tag is not added.
    let again =
        ResponseBuilder::to_request(&request, 180, "Hold on").to_tag("t").to_tag("u").build().unwrap();
    assert_eq!((again.to().unwrap().tag(), again.reason().as_deref()), (Some("t"), Some("Hold on")));
    assert_eq!(ResponseBuilder::to_request(&ok, 200, "").build(), Err(BuildError::WrongKind));
    assert_eq!(ResponseBuilder::to_request(&request, 99, "").build(), Err(BuildError::BadStatus(99)));
}

#[test]
fn cancel_and_ack_follow_their_request() {
    let request = invite().header(Name::Route, "<sip:p;lr>").build().unwrap();
    let cancel = RequestBuilder::cancel(&request).unwrap().build().unwrap();
    assert_eq!(cancel.method(), Some(Method::Cancel));
    assert_eq!(cancel.header(Name::Via), request.header(Name::Via));
    assert_eq!(cancel.header(Name::Route), Some(&b"<sip:p;lr>"[..]));
    assert_eq!(cancel.cseq().unwrap().to_owned(), crate::wire::CSeq { number: 7, method: Method::Cancel });
    let busy = ResponseBuilder::to_request(&request, 486, "").to_tag("t").build().unwrap();
    let ack = RequestBuilder::ack(&request, &busy).unwrap().build().unwrap();
    assert_eq!(ack.to().unwrap().tag(), Some("t"));
    assert_eq!(ack.header(Name::CallId), Some(&b"c1"[..]));
}

#[test]
fn line_breaks_are_errors_everywhere() {
    let unsafe_value = |result: Result<Message, BuildError>| {
        assert!(
            matches!(
                result,
                Err(BuildError::UnsafeValue { .. }
                    | BuildError::BadParam { .. }
                    | BuildError::BadUri { .. }
                    | BuildError::BadName)
            ),
            "{result:?}"
        );
    };
    for evil in ["a\r\nX: y", "a\nb", "a\rb", "a\0b"] {
        unsafe_value(invite().header(Name::Subject, evil).build());
        unsafe_value(invite().header(Name::Other(evil), "x").build());
        unsafe_value(invite().call_id(evil).build());
        unsafe_value(invite().from(&Address::named(evil, &uri("sip:a@h"))).build());
        unsafe_value(invite().from(&Address::new(&uri("sip:a@h")).tag(evil)).build());
        unsafe_value(invite().from(&Address::new(&uri("sip:a@h")).param(evil, None)).build());
        unsafe_value(invite().via(Transport::Udp, evil, "z9hG4bK1").build());
        unsafe_value(invite().via(Transport::Udp, "h", evil).build());
        unsafe_value(invite().body(evil, "x").build());
        unsafe_value(RequestBuilder::new(Method::Invite, evil).build());
        let request = invite().build().unwrap();
        unsafe_value(ResponseBuilder::to_request(&request, 200, evil).build());
        unsafe_value(ResponseBuilder::to_request(&request, 200, "").to_tag(evil).build());
        unsafe_value(ResponseBuilder::to_request(&request, 200, "").header(Name::Server, evil).build());
        assert_eq!(
            RequestBuilder::new(Method::Other(evil.into()), "sip:h").build(),
            Err(BuildError::BadMethod)
        );
    }
}
