//! Whatever the bytes: no panic, no allocation out of proportion, and nothing from a caller breaks its line.

#![allow(clippy::expect_used, clippy::unwrap_used, reason = "helpers of tests fail their test")]

use bytes::Bytes;
use proptest::prelude::*;
use z5_sip::auth::{Asker, Authenticator, Credentials, Verifier};
use z5_sip::ident::Ident;
use z5_sip::wire::{
    Address, Contact, Edit, Frame, Framer, Host, Limits, Message, Method, Name, NameAddr, Params,
    RequestBuilder, ResponseBuilder, Rules, Transport, Uri, UriRef, Via, redact, validate,
};

const SEEDS: &[&str] = &[
    "INVITE sip:bob@example.com;transport=tcp?x=y SIP/2.0\r\nVia: SIP/2.0/TCP [2001:db8::1]:5060;branch=z9hG4bK1;rport;received=192.0.2.1,\r\n SIP/2.0/UDP h\r\n\
     Max-Forwards: 70\r\nFrom: \"A \\\" B\" <sip:a:b@h>;tag=1\r\nTo: tel:+1-555;x\r\ni: c@h\r\nCSeq: 1 INVITE\r\nm: *, <sip:a@h;ob>;expires=5;q=0.5\r\n\
     Route: <sip:p;lr>, <sip:q>\r\nSession-Expires: 90;refresher=uac\r\nRAck: 1 2 INVITE\r\nDate: Sat, 13 Nov 2010 23:29:00 GMT\r\n\
     Authorization: Digest username=\"a\", realm=\"r\", nonce=\"n\", uri=\"sip:h\", response=\"00\", qop=auth, nc=00000001, cnonce=\"c\"\r\n\
     Content-Type: application/sdp\r\nContent-Length: 3\r\n\r\nv=0",
    "SIP/2.0 401 Unauthorized\r\nVia: SIP/2.0/TCP h;branch=z9hG4bK1\r\nf: <sip:a@h>;tag=1\r\nt: <sip:b@h>;tag=2\r\ni: x\r\nCSeq: 1 REGISTER\r\n\
     WWW-Authenticate: Digest realm=\"r\", nonce=\"n\", qop=\"auth,auth-int\", algorithm=SHA-256, stale=true\r\n\
     Proxy-Authenticate: Digest realm=\"p\\\"\", nonce=\"m\", opaque=\"o\"\r\nRetry-After: 5 (busy);duration=3\r\nl: 0\r\n\r\n",
];

/// Every reader there is.
fn read_all(message: &Message) {
    let _ =
        (message.start(), message.reason(), message.request_uri().map(|uri| uri.map(|uri| uri_parts(uri))));
    let _ = message.all_headers().map(|(name, value)| name.as_str().len() + value.len()).sum::<usize>();
    for via in message.vias().flatten() {
        let _ = (via.branch(), via.received(), via.rport(), via.maddr(), via.port_or_default());
    }
    for address in [message.from(), message.to(), message.contact()].into_iter().flatten() {
        let _ = (address.display_name(), address.tag(), address.expires(), address.q_thousandths());
        uri_parts(address.uri);
    }
    let _ = message.contacts().flatten().filter_map(|contact: Contact<'_>| contact.addr()).count();
    let _ = (message.cseq(), message.call_id(), message.max_forwards(), message.expires(), message.rack());
    let _ = (message.retry_after(), message.session_expires(), message.min_expires(), message.rseq());
    let _ = (message.routes().count(), message.record_routes().count(), message.content_type());
    let _ = message.header_params(Name::SessionExpires).is_well_formed();
    for (_, challenge) in message.challenges() {
        let _ = challenge.map(|challenge| challenge.params.iter().count());
    }
    let _ = (redact(message), format!("{message:?}"), validate(message), Rules::proxy().validate(message));
    let _ = ResponseBuilder::to_request(message, 400, "").to_tag("t").build();
    let _ = (
        RequestBuilder::cancel(message).map(RequestBuilder::build),
        RequestBuilder::ack(message, message).map(RequestBuilder::build),
    );
    let edited = Edit::new(message).pop_via().stamp_received(([127, 0, 0, 1], 5060).into()).build();
    let _ = edited.map(|edited| edited.as_bytes().len());
    let mut auth = Authenticator::new(vec![Credentials::new("a", "b")]);
    let _ = auth.on_challenge(Asker::Registrar, message, message);
    auth.on_response(message, message);
    let _ = auth.authorize(&Method::Register, "sip:h", message.body(), &mut Ident::from_seed(1));
    #[expect(clippy::disallowed_methods, reason = "the test only needs some instant")]
    let now = std::time::Instant::now();
    let _ = Verifier::new("r").check(message, |_| Some("b".into()), now);
    #[cfg(feature = "rsip")]
    let _ = z5_sip::interop::rsip::to_rsip(message).map(|theirs| z5_sip::interop::rsip::from_rsip(&theirs));
}

fn uri_parts(uri: UriRef<'_>) {
    let _ = (
        uri.user_unescaped(),
        uri.password(),
        uri.host(),
        uri.headers(),
        uri.is_loose_router(),
        uri == uri.to_uri().as_ref(),
    );
    assert_eq!(Uri::parse(uri.as_str()).map(|copy| copy.as_str().to_owned()).as_deref(), Ok(uri.as_str()));
}

fn feed(bytes: &[u8]) {
    if let Ok(message) = Message::parse_datagram(Bytes::copy_from_slice(bytes)) {
        read_all(&message);
        let same = Edit::new(&message).build().expect("what was read can be written");
        assert_eq!(same.as_bytes(), message.as_bytes());
    }
    for mut framer in [Framer::new(Limits::default()), Framer::accepting(Limits::default())] {
        framer.push(bytes);
        while let Some(Ok(frame)) = framer.next() {
            if let Frame::Message(message) = frame {
                read_all(&message);
            }
        }
    }
    let _ = (NameAddr::parse(bytes).is_ok(), Via::parse(bytes).is_ok(), UriRef::parse(bytes).is_ok());
    let _ = (Host::parse_with_port(bytes), Host::parse_lenient(bytes), Params::new(bytes).is_well_formed());
}

/// Headers that have a reader of their own.
const READ_NAMES: &[&str] =
    &["Via", "From", "Contact", "CSeq", "Authorization", "WWW-Authenticate", "Retry-After", "Date", "RAck"];

/// Letters that mean something to a parser, and any byte.
fn noise() -> impl Strategy<Value = Vec<u8>> {
    let sharp = prop::sample::select(b"\r\n \t:;,<>\"\\@?=%[]()/*+-.0199azZ\0\x7f\xff".to_vec());
    prop::collection::vec(prop_oneof![3 => sharp, 1 => any::<u8>()], 0..80)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_bytes_never_panic(
        bytes in noise(),
        seed in 0..SEEDS.len(),
        name in prop::sample::select(READ_NAMES),
    ) {
        feed(&bytes);
        let mut message = SEEDS[seed].as_bytes().to_vec();
        let at = memchr::memmem::find(&message, b"\r\n").unwrap() + 2;
        message.splice(at..at, [name.as_bytes(), b": ", &bytes, b"\r\n"].concat());
        feed(&message);
    }

    #[test]
    fn mutated_messages_never_panic(
        seed in 0..SEEDS.len(),
        edits in prop::collection::vec((any::<prop::sample::Index>(), 0..3_u8, noise()), 1..6),
    ) {
        let mut bytes = SEEDS[seed].as_bytes().to_vec();
        for (at, kind, insert) in edits {
            if bytes.is_empty() { break; }
            let at = at.index(bytes.len());
            match kind {
                0 => bytes[at] = *insert.first().unwrap_or(&0),
                1 => { bytes.splice(at..at, insert); }
                _ => { bytes.drain(at..(at + insert.len()).min(bytes.len())); }
            }
        }
        feed(&bytes);
    }

    /// Whatever goes into any setter, what comes out has the header fields that were asked for and no other.
    #[test]
    fn no_setter_can_be_made_to_inject(evil in prop::collection::vec(prop::sample::select(
        vec!['\r', '\n', '\0', ':', ' ', 'a', 'X', '"', '\\', '<', '>', ';', ',', '@', '\u{e9}', '\u{2028}', '\u{85}']), 0..12)
    ) {
        let evil: String = evil.into_iter().collect();
        let breaks = evil.contains(['\r', '\n', '\0']);
        let me = Uri::parse("sip:a@h").unwrap();
        let base = || RequestBuilder::new(Method::Options, "sip:h").via(Transport::Tcp, "h", "z9hG4bK1");
        let request = base().from(&Address::new(&me).tag("1")).to(&Address::new(&me)).call_id("c").cseq(1).build().unwrap();
        let results = [
            ("Via Subject Content-Length", base().header(Name::Subject, &evil).build()),
            ("Via Call-ID Content-Length", base().call_id(&evil).build()),
            ("Via From Content-Length", base().from(&Address::named(&evil, &me)).build()),
            ("Via From Content-Length", base().from(&Address::new(&me).param("p", Some(&evil))).build()),
            ("Via From Content-Length", base().from(&Address::new(&me).tag(&evil)).build()),
            ("Via From Content-Length", base().from(&Address::new(&me).param(&evil, None)).build()),
            ("Via Content-Type Content-Length", base().body(&evil, "x").build()),
            ("Via Content-Length", RequestBuilder::new(Method::Options, "sip:h").via(Transport::Tcp, &evil, "b").build()),
            ("Via Content-Length", RequestBuilder::new(Method::Options, "sip:h").via(Transport::Tcp, "h", &evil).build()),
            ("Content-Length", RequestBuilder::new(Method::Options, &evil).build()),
            ("Content-Length", RequestBuilder::new(Method::Other(evil.as_str().into()), "sip:h").build()),
            ("Via From To Call-ID CSeq Content-Length", ResponseBuilder::to_request(&request, 200, &evil).build()),
            ("Via From To Call-ID CSeq Content-Length", ResponseBuilder::to_request(&request, 200, "").to_tag(&evil).build()),
            ("Via From To Call-ID CSeq Server Content-Length", ResponseBuilder::to_request(&request, 200, "").header(Name::Server, &evil).build()),
            ("Via Via From To Call-ID CSeq Content-Length", Edit::new(&request).push_via(&evil).build()),
            ("Via From To Call-ID CSeq Content-Length Subject", Edit::new(&request).set(Name::Subject, &evil).build()),
            ("Via From To Call-ID CSeq Content-Length Subject", Edit::new(&request).append(Name::Subject, &evil).build()),
            ("Subject Via From To Call-ID CSeq Content-Length", Edit::new(&request).insert_first(Name::Subject, &evil).build()),
            ("Via From To Call-ID CSeq Content-Length", Edit::new(&request).request_uri(&evil).build()),
        ];
        for (names, result) in results {
            let Ok(message) = result else { continue };
            prop_assert!(!breaks, "{:?}", message.as_bytes());
            let shown: Vec<_> = message.all_headers().map(|(name, _)| name.as_str()).collect();
            prop_assert_eq!(shown.join(" "), names);
            prop_assert_eq!(message.flaw(), None);
        }
        // Names: either a field of that very name, or an error.
        if let Ok(message) = base().header(Name::Other(&evil), "v").build() {
            prop_assert_eq!(message.count(Name::Other(&evil)), 1);
        }
    }

    /// A display name comes out as it went in.
    #[test]
    fn display_names_survive(name in "\\PC{1,20}") {
        let me = Uri::parse("sip:a@h").unwrap();
        let message = RequestBuilder::new(Method::Options, "sip:h").from(&Address::named(&name, &me)).build().unwrap();
        let from = message.from().unwrap();
        let shown = from.display_name();
        prop_assert_eq!(shown.as_deref(), Some(name.as_str()));
        prop_assert_eq!(from.uri.as_str(), "sip:a@h");
    }
}

#[test]
fn work_grows_with_the_message_and_not_faster() {
    // Each of these made some parser quadratic; a quadratic one would need minutes here.
    for piece in [",", ";", "\"", "<", "\\", "a=", ",\"", "\"\\\"", ";a=\"", "sip:", "%", "[", ":", "\r\n "] {
        let value = piece.repeat(60_000 / piece.len());
        let text = format!(
            "INVITE sip:h SIP/2.0\r\nVia: SIP/2.0/TCP h;{value}\r\nFrom: {value}\r\nContact: {value}\r\nWWW-Authenticate: Digest {value}\r\nl: 0\r\n\r\n"
        );
        let limits = Limits { line: 1 << 20, head: 1 << 20, ..Limits::default() };
        if let Ok(message) = Message::parse_datagram_within(text.into(), &limits) {
            read_all(&message);
        }
    }
}
