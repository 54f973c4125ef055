//! Both ways, every refusal, and rsip as a second opinion where it is right.

use bytes::Bytes;
use proptest::prelude::*;
use rsip::prelude::*;

use super::*;

const INVITE: &[u8] = include_bytes!("../../../benches/invite.sip");

fn parse(text: &str) -> Message {
    Message::parse_datagram(Bytes::copy_from_slice(text.as_bytes())).unwrap()
}

#[test]
fn a_plain_message_survives_the_round_trip() {
    let message = Message::parse_datagram(Bytes::from_static(INVITE)).unwrap();
    let theirs = to_rsip(&message).unwrap();
    assert!(matches!(&theirs, SipMessage::Request(request) if request.method == rsip::Method::Invite));
    assert_eq!(from_rsip(&theirs).unwrap().as_bytes(), message.as_bytes());
}

#[test]
fn what_rsip_gets_wrong_by_itself_is_right_through_here() {
    let message = parse(
        "SIP/2.0 200 Fine by me\r\nv: SIP/2.0/TCP a;branch=z9hG4bK1, SIP/2.0/TCP b;branch=z9hG4bK2\r\n\
         f: sip:bob.smith@h;tag=1\r\nt: <sip:h>\r\ni: x\r\nCSeq: 1\r\n INVITE\r\nX-Own: 1\r\nl: 2\r\n\r\n\x01\x7f",
    );
    let theirs = to_rsip(&message).unwrap();
    let SipMessage::Response(response) = &theirs else { panic!("a response") };
    assert_eq!(response.status_code, rsip::StatusCode::Other(200, "Fine by me".into()));
    assert_eq!(response.headers.iter().filter(|h| matches!(h, Header::Via(_))).count(), 2);
    let back = from_rsip(&theirs).unwrap();
    assert_eq!((back.reason().as_deref(), back.vias().count()), (Some("Fine by me"), 2));
    assert_eq!(back.from().unwrap().uri.user(), Some("bob.smith"));
    assert_eq!((back.body(), back.cseq().unwrap().method), (&[1, 0x7f][..], Method::Invite));
    assert_eq!(back.header(Name::Other("x-own")), Some(&b"1"[..]));
    let uri = parse("OPTIONS sip:bob.smith@h:5070;transport=tcp;lr;x=y SIP/2.0\r\nl: 0\r\n\r\n");
    let uri = uri_to_rsip(uri.request_uri().unwrap().unwrap()).unwrap();
    assert_eq!((uri.user(), uri.port().map(|p| *p.value())), (Some("bob.smith"), Some(5070)));
    assert_eq!(uri.transport(), Some(&rsip::Transport::Tcp));
}

#[test]
fn every_refusal_has_its_reason() {
    let refuse = |line: &str| to_rsip(&parse(&format!("{line}\r\nl: 0\r\n\r\n"))).err();
    assert_eq!(refuse("FOO sip:h SIP/2.0"), Some(Refusal::Method("FOO".into())));
    assert_eq!(refuse("BYE sip:h SIP/3.0"), Some(Refusal::Version));
    assert_eq!(refuse("BYE tel:+1 SIP/2.0"), Some(Refusal::Scheme("tel".into())));
    assert_eq!(refuse("BYE urn:service:sos SIP/2.0"), Some(Refusal::Scheme("urn".into())));
    assert_eq!(refuse("BYE sip:[::1] SIP/2.0"), Some(Refusal::Ipv6));
    assert_eq!(refuse("BYE sip:h?a=b SIP/2.0"), Some(Refusal::UriHeaders));
    assert_eq!(refuse("BYE sip: SIP/2.0"), Some(Refusal::Uri(UriError::Host(HostError::Empty))));
    assert_eq!(refuse("SIP/2.0 999 X"), Some(Refusal::Status));
    let latin1 = [b"BYE sip:h SIP/2.0\r\nSubject: Zo\xeb\r\nl: 0\r\n\r\n".as_slice()].concat();
    let latin1 = Message::parse_datagram(latin1.into()).unwrap();
    assert_eq!(to_rsip(&latin1).err(), Some(Refusal::NotText("Subject".into())));
}

#[test]
fn what_comes_from_rsip_is_checked() {
    let request = |change: &dyn Fn(&mut rsip::Request)| {
        let Ok(SipMessage::Request(mut request)) = to_rsip(&Message::parse_datagram(INVITE.into()).unwrap())
        else {
            panic!("a request")
        };
        change(&mut request);
        from_rsip(&request.into()).err()
    };
    let unsafe_value = |name: &str| Some(Refusal::Build(BuildError::UnsafeValue { name: name.into() }));
    assert_eq!(request(&|r| r.headers.push(Header::Subject("a\r\nX: y".into()))), unsafe_value("Subject"));
    assert_eq!(request(&|r| r.headers.push(Header::Other("X-A".into(), "a\nb".into()))), unsafe_value("X-A"));
    assert_eq!(
        request(&|r| r.headers.push(Header::Other("X\r\nY".into(), "a".into()))),
        Some(Refusal::Build(BuildError::BadName))
    );
    assert_eq!(
        request(&|r| r.uri.host_with_port.host = rsip::Host::from("a b")),
        Some(Refusal::Uri(UriError::UnexpectedByte))
    );
    assert_eq!(
        request(&|r| r.uri.scheme = Some(RsipScheme::Other("x".into()))),
        Some(Refusal::Scheme("x".into()))
    );
    assert_eq!(request(&|r| r.version = rsip::Version::V1), Some(Refusal::Version));
}

proptest! {
    /// On plain messages, the subset where rsip is right, both parsers see the same.
    #[test]
    fn rsip_as_a_second_opinion(
        method in prop::sample::select(vec!["INVITE", "ACK", "BYE", "CANCEL", "REGISTER", "OPTIONS", "MESSAGE"]),
        user in "[a-z][a-z0-9]{0,8}",
        host in "[a-z]{1,8}\\.example",
        port in prop::option::of(1024_u16..),
        branch in "z9hG4bK[a-z0-9]{1,12}",
        tag in "[a-z0-9]{1,10}",
        display in prop::option::of("[A-Za-z]{1,10}"),
        cseq in 1_u32..0x7fff_ffff,
        body in "[ -~]{0,40}",
    ) {
        let display = display.map_or(String::new(), |name| format!("\"{name}\" "));
        let port = port.map_or(String::new(), |port| format!(":{port}"));
        let text = format!(
            "{method} sip:{user}@{host}{port} SIP/2.0\r\nVia: SIP/2.0/UDP {host}{port};branch={branch}\r\n\
             From: {display}<sip:{user}@{host}>;tag={tag}\r\nTo: <sip:{user}@{host}>\r\nCall-ID: {tag}@{host}\r\n\
             CSeq: {cseq} {method}\r\nContact: <sip:{user}@{host}{port}>\r\nMax-Forwards: 70\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let ours = parse(&text);
        let theirs = rsip::Request::try_from(text.as_bytes()).unwrap();

        let uri = ours.request_uri().unwrap().unwrap();
        prop_assert_eq!(theirs.method.to_string(), method);
        prop_assert_eq!(theirs.uri.to_string(), uri.as_str());
        prop_assert_eq!(theirs.uri.user(), uri.user());
        prop_assert_eq!(theirs.uri.port().map(|p| *p.value()), uri.port());
        let via = theirs.via_header().unwrap().typed().unwrap();
        prop_assert_eq!(via.branch().map(|b| b.value()), ours.via().unwrap().branch());
        prop_assert_eq!(via.uri.host().to_string(), ours.via().unwrap().host.to_string());
        let from = theirs.from_header().unwrap().typed().unwrap();
        let own_from = ours.from().unwrap();
        prop_assert_eq!(from.tag().map(|t| t.value()), own_from.tag());
        prop_assert_eq!(from.uri.to_string(), own_from.uri.as_str());
        // rsip leaves the quotes on.
        let own_name = own_from.display.map(|name| String::from_utf8_lossy(name).into_owned());
        prop_assert_eq!(from.display_name, own_name);
        let number = theirs.cseq_header().unwrap().typed().unwrap();
        prop_assert_eq!((number.seq, number.method.to_string()), (cseq, ours.cseq().unwrap().method.to_string()));
        prop_assert_eq!(theirs.call_id_header().unwrap().value(), ours.call_id().unwrap());
        prop_assert_eq!(&theirs.body[..], ours.body());
        let back = from_rsip(&to_rsip(&ours).unwrap()).unwrap();
        prop_assert_eq!(back.as_bytes(), text.as_bytes());
    }

    /// The same for responses: everything but the phrase, which rsip forgets.
    #[test]
    fn rsip_as_a_second_opinion_on_responses(
        status in prop::sample::select(vec![100_u16, 180, 183, 200, 202, 302, 401, 404, 486, 487, 500, 503, 603]),
        vias in 1_usize..4,
        branch in "z9hG4bK[a-z0-9]{1,12}",
        tags in ("[a-z0-9]{1,10}", "[a-z0-9]{1,10}"),
        cseq in 1_u32..0x7fff_ffff,
        expires in prop::option::of(0_u32..100_000),
        body in "[ -~]{0,40}",
    ) {
        let via: String = (0..vias).map(|n| format!("Via: SIP/2.0/TCP h{n}.example:5060;branch={branch}{n}\r\n")).collect();
        let expires_line = expires.map_or(String::new(), |seconds| format!("Expires: {seconds}\r\n"));
        let text = format!(
            "SIP/2.0 {status} Some Words\r\n{via}From: <sip:a@h.example>;tag={}\r\nTo: <sip:b@h.example>;tag={}\r\n\
             Call-ID: x@h\r\nCSeq: {cseq} INVITE\r\n{expires_line}Content-Length: {}\r\n\r\n{body}",
            tags.0, tags.1, body.len()
        );
        let ours = parse(&text);
        let theirs = rsip::Response::try_from(text.as_bytes()).unwrap();
        prop_assert_eq!(Some(u16::from(theirs.status_code.clone())), ours.status());
        prop_assert_eq!(theirs.headers.iter().filter(|header| matches!(header, Header::Via(_))).count(), ours.vias().count());
        let (from, to) = (theirs.from_header().unwrap().typed().unwrap(), theirs.to_header().unwrap().typed().unwrap());
        prop_assert_eq!(from.tag().map(|tag| tag.value()), ours.from().unwrap().tag());
        prop_assert_eq!(to.tag().map(|tag| tag.value()), ours.to().unwrap().tag());
        let number = theirs.cseq_header().unwrap().typed().unwrap();
        prop_assert_eq!(number.seq, ours.cseq().unwrap().number);
        prop_assert_eq!(theirs.expires_header().map(|value| value.seconds().unwrap()), ours.expires().unwrap());
        prop_assert_eq!(expires, ours.expires().unwrap());
        prop_assert_eq!(&theirs.body[..], ours.body());
        let back = from_rsip(&to_rsip(&ours).unwrap()).unwrap();
        prop_assert_eq!(back.as_bytes(), text.as_bytes());
    }
}
