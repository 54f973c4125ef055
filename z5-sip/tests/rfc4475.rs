//! The 49 messages of RFC 4475, byte for byte: the verdict of each and the values in it.
//!
//! The messages are not part of the project. They are read from the folder named by `Z5_CORPUS`, or from
//! `shared/corpus` beside the checkout; without either, `tests/torture.rs` covers the same points alone.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests fail their test"
)]

mod agree;

use std::path::PathBuf;

use z5_sip::wire::{
    Contact, DropReason, Fault, Flaw, HeaderError, Host, Message, Method, Name, Rules, Scheme, UriError,
    Verdict, validate,
};

fn folder() -> Option<PathBuf> {
    let beside = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/corpus");
    let folder = std::env::var_os("Z5_CORPUS").map_or(beside, PathBuf::from).join("rfc4475");
    folder.is_dir().then_some(folder)
}

/// The message, unless the corpus is not here.
fn load(name: &str) -> Option<Message> {
    let bytes = std::fs::read(folder()?.join(format!("{name}.dat"))).expect("every message of the corpus");
    Some(Message::parse_datagram(bytes.into()).expect(name))
}

/// What RFC 4475 asks a user agent to do.
enum Expected {
    Accept,
    Refuse(u16, Fault),
    Drop(DropReason),
}
use Expected::{Accept, Drop, Refuse};

fn header(name: &'static str, why: HeaderError) -> Fault {
    Fault::Header { name, why }
}

fn expectations() -> Vec<(&'static str, Expected)> {
    let flaw = |flaw| Refuse(400, Fault::Flaw(flaw));
    let bad = |name, why| Refuse(400, header(name, why));
    let tags = ["nothingSupportsThis", "nothingSupportsThisEither"].map(str::to_owned).to_vec();
    vec![
        // Section 3.1.1: valid.
        ("wsinv", Accept),
        ("intmeth", Accept),
        ("esc01", Accept),
        ("escnull", Accept),
        ("esc02", Accept),
        ("lwsdisp", Accept),
        ("longreq", Accept),
        ("dblreq", Accept),
        ("semiuri", Accept),
        ("transports", Accept),
        ("mpart01", Accept),
        ("unreason", Accept),
        ("noreason", Accept),
        // Section 3.1.2: invalid.
        ("badinv01", bad("Via", HeaderError::BadParams)),
        ("clerr", flaw(Flaw::BodyTooShort)),
        ("ncl", flaw(Flaw::ContentLength)),
        ("scalar02", bad("CSeq", HeaderError::BadNumber)),
        ("scalarlg", Drop(DropReason::Response(header("CSeq", HeaderError::BadNumber)))),
        ("quotbal", bad("To", HeaderError::UnterminatedQuote)),
        ("ltgtruri", Refuse(400, Fault::RequestUri(UriError::UnexpectedByte))),
        ("lwsruri", flaw(Flaw::StartLine)),
        ("lwsstart", flaw(Flaw::StartLine)),
        ("trws", flaw(Flaw::StartLine)),
        ("escruri", Refuse(400, Fault::RequestUriHeaders)),
        ("baddate", Refuse(400, Fault::Date)),
        ("regbadct", bad("Contact", HeaderError::NeedsAngleBrackets)),
        ("badaspec", bad("To", HeaderError::Uri(UriError::UnexpectedByte))),
        // The message in the archive also lacks its empty line.
        ("baddn", flaw(Flaw::NoEmptyLine)),
        ("badvers", Refuse(505, Fault::Version)),
        ("mismatch01", Refuse(400, Fault::CSeqMethod)),
        ("mismatch02", Refuse(400, Fault::CSeqMethod)),
        ("bigcode", Drop(DropReason::Response(Fault::Flaw(Flaw::StatusCode)))),
        // Section 3.2 and 3.3: transaction and application layer.
        ("badbranch", Accept),
        ("insuf", Refuse(400, Fault::Missing("From"))),
        ("unkscm", Refuse(416, Fault::Scheme)),
        ("novelsc", Refuse(416, Fault::Scheme)),
        ("unksm2", Accept),
        ("bext01", Refuse(420, Fault::Extensions(tags))),
        ("invut", Refuse(415, Fault::MediaType)),
        ("regaut01", Accept),
        ("multi01", Refuse(400, Fault::Repeated("From"))),
        ("mcl01", flaw(Flaw::SecondContentLength)),
        ("bcast", Drop(DropReason::NotForUs)),
        ("zeromf", Accept),
        ("cparam01", Accept),
        ("cparam02", Accept),
        ("regescrt", Accept),
        ("sdp01", Refuse(406, Fault::NotAcceptable)),
        // Section 3.4: RFC 2543.
        ("inv2543", Accept),
    ]
}

#[test]
fn all_49_verdicts() {
    let expectations = expectations();
    assert_eq!(expectations.len(), 49);
    let mut wrong = Vec::new();
    for (name, expected) in expectations {
        let Some(message) = load(name) else { return };
        let verdict = validate(&message);
        let right = match (&expected, &verdict) {
            (Accept, Verdict::Accept) => true,
            (Refuse(wanted, why), Verdict::Refuse { status, fault, .. }) => wanted == status && why == fault,
            (Drop(reason), Verdict::Drop { why }) => reason == why,
            (Accept | Refuse(..) | Drop(_), _) => false,
        };
        if !right {
            wrong.push(format!("{name}: {verdict:?}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn what_is_explained_is_what_a_user_agent_does() {
    let mut other = Vec::new();
    for (name, expected) in expectations() {
        let Some(folder) = folder() else { return };
        let bytes = std::fs::read(folder.join(format!("{name}.dat"))).unwrap();
        let (verdict, status) = agree::assert_agrees(name, &bytes);
        let right = match expected {
            Accept => verdict == z5_sip::explain::Verdict::Accept,
            Refuse(wanted, _) => status == Some(wanted),
            Drop(_) => verdict == z5_sip::explain::Verdict::Drop,
        };
        if !right {
            other.push(format!("{name}: {verdict:?} {status:?}"));
        }
    }
    assert!(other.is_empty(), "{other:#?}");
}

/// Runs the assertions when the message is here.
fn with(name: &str, check: impl FnOnce(&Message)) {
    if let Some(message) = load(name) {
        check(&message);
    }
}

#[test]
fn every_whole_message_keeps_its_bytes() {
    for (name, _) in expectations() {
        let Some(folder) = folder() else { return };
        let bytes = std::fs::read(folder.join(format!("{name}.dat"))).unwrap();
        let message = load(name).unwrap();
        assert_eq!(message.as_bytes(), &bytes[..message.as_bytes().len()], "{name}");
        assert!(name == "dblreq" || name == "mcl01" || message.as_bytes().len() == bytes.len(), "{name}");
        let edited = z5_sip::wire::Edit::new(&message).build().unwrap();
        assert_eq!(edited.as_bytes(), message.as_bytes(), "{name}");
    }
}

#[test]
fn wsinv_through_every_fold() {
    with("wsinv", |m| {
        assert_eq!(m.method(), Some(Method::Invite));
        let uri = m.request_uri().unwrap().unwrap();
        assert_eq!((uri.user(), uri.host()), (Some("vivekg"), Some(Host::Name("chair-dnrc.example.com"))));
        assert!(uri.params().has("unknownparam"));
        let to = m.to().unwrap();
        assert_eq!((to.uri.as_str(), to.tag()), ("sip:vivekg@chair-dnrc.example.com", Some("1918181833n")));
        let from = m.from().unwrap();
        assert_eq!(from.display_name().as_deref(), Some("J Rosenberg \\\""));
        assert_eq!((from.uri.as_str(), from.tag()), ("sip:jdrosen@example.com", Some("98asjd8")));
        assert_eq!(m.max_forwards(), Ok(Some(68)));
        assert_eq!(m.call_id(), Ok("wsinv.ndaksdj@192.0.2.1"));
        let cseq = m.cseq().unwrap();
        assert_eq!((cseq.number, cseq.method), (9, Method::Invite));
        let vias: Vec<_> = m.vias().map(Result::unwrap).collect();
        let shown: Vec<_> = vias.iter().map(|v| (v.transport, v.host.to_string(), v.branch())).collect();
        assert_eq!(
            shown,
            [
                ("UDP", "192.0.2.2".into(), Some("390skdjuw")),
                ("TCP", "spindle.example.com".into(), Some("z9hG4bK9ikj8")),
                ("UDP", "192.168.255.111".into(), Some("z9hG4bK30239")),
            ]
        );
        assert_eq!(m.header(Name::Subject), Some(&b""[..]));
        let folded = m.text(Name::Other("newfangledheader")).unwrap();
        assert_eq!(folded, "newfangled value continued newfangled value");
        assert_eq!(m.header(Name::Other("UnknownHeaderWithUnusualValue")), Some(&b";;,,;;,;"[..]));
        let route = m.routes().next().unwrap().unwrap();
        assert!(route.uri.is_loose_router() && route.uri.params().has("unknown-no-value"));
        let contact = m.contact().unwrap();
        assert_eq!(contact.display_name().as_deref(), Some("Quoted string \"\""));
        assert_eq!((contact.params.get("newparam"), contact.q_thousandths()), (Some("newvalue"), 330));
        assert_eq!((m.content_type(), m.body().len()), (Some("application/sdp"), 150));
    });
}

#[test]
fn intmeth_keeps_every_odd_byte() {
    with("intmeth", |m| {
        let method = "!interesting-Method0123456789_*+`.%indeed'~";
        assert_eq!(m.method(), Some(Method::Other(method.into())));
        assert_eq!(m.cseq().unwrap().method.as_str(), method);
        let uri = m.request_uri().unwrap().unwrap();
        assert_eq!(uri.user(), Some("1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*"));
        assert_eq!(uri.password(), Some("&it+has=1,weird!*pas$wo~d_too.(doesn't-it)"));
        assert_eq!(m.to().unwrap().display_name().as_deref(), Some("BEL:\u{7} NUL:\0 DEL:\u{7f}"));
        let from = m.from().unwrap();
        assert_eq!(from.display_name().as_deref(), Some("token1~` token2'+_ token3*%!.-"));
        assert_eq!(from.params.get("fromParam''~+*_!.-%"), Some("работающий"));
        assert_eq!(from.tag(), Some("_token~1'+`*%!-."));
        assert_eq!(m.call_id(), Ok("intmeth.word%ZK-!.*_+'@word`~)(><:\\/\"][?}{"));
        assert_eq!(m.via().unwrap().branch(), Some("z9hG4bK-.!%66*_+`'~"));
        assert_eq!(m.max_forwards(), Ok(Some(255)));
        let extension = m.text(Name::Other("extensionHeader-!.%*+_`'~")).unwrap();
        assert_eq!(extension, "\u{feff}大停電");
    });
}

#[test]
fn escapes_are_kept_and_understood() {
    with("esc01", |m| {
        let uri = m.request_uri().unwrap().unwrap();
        assert_eq!(uri.user_unescaped().as_deref(), Some("sips:user@example.com"));
        assert_eq!(uri.host(), Some(Host::Name("example.net")));
        assert_eq!(m.to().unwrap().uri.user_unescaped().as_deref(), Some("user"));
        assert_eq!(m.from().unwrap().uri.user_unescaped().as_deref(), Some("I have spaces"));
        assert_eq!(m.contact().unwrap().uri.user_unescaped().as_deref(), Some("caller"));
    });
    with("esc02", |m| {
        assert_eq!(m.method(), Some(Method::Other("RE%47IST%45R".into())));
        assert_eq!(m.contacts().count(), 2);
        assert!(m.header(Name::Other("C%6Fntact")).is_some());
        assert_eq!(m.to().unwrap().display_name().as_deref(), Some("%Z%45"));
        assert_eq!(m.via().unwrap().branch(), Some("z9hG4bK209%fzsnel234"));
    });
    with("escnull", |m| {
        assert_eq!(m.to().unwrap().uri.user_unescaped().as_deref(), Some("null-\0-null"));
        let users: Vec<_> = m.contacts().map(|c| c.unwrap().addr().unwrap().uri.user()).collect();
        assert_eq!(users, [Some("%00"), Some("%00%00")]);
    });
}

#[test]
fn the_other_valid_ones() {
    with("lwsdisp", |m| {
        assert_eq!(m.from().unwrap().display_name().as_deref(), Some("caller"));
    });
    with("longreq", |m| {
        assert_eq!(m.vias().count(), 34);
        assert!(m.vias().last().unwrap().unwrap().branch().unwrap().ends_with("longbranchvalue"));
        assert_eq!(m.to().unwrap().uri.port(), Some(6000));
        assert!(m.to().unwrap().display_name().unwrap().ends_with("proportion"));
        assert!(m.call_id().unwrap().starts_with("longreq.onereally"));
        assert_eq!(m.body().len(), 150);
    });
    with("dblreq", |m| {
        assert_eq!((m.method(), m.body().len()), (Some(Method::Register), 0));
        assert!(m.as_bytes().ends_with(b"Content-Length: 0\r\n\r\n"));
    });
    with("semiuri", |m| {
        let uri = m.request_uri().unwrap().unwrap();
        assert_eq!(uri.user_unescaped().as_deref(), Some("user;par=u@example.net"));
        assert_eq!(m.values(Name::Accept).count(), 6);
    });
    with("transports", |m| {
        let transports: Vec<_> = m.vias().map(|via| via.unwrap().transport).collect();
        assert_eq!(transports, ["UDP", "SCTP", "TLS", "UNKNOWN", "TCP"]);
    });
    with("mpart01", |m| {
        assert_eq!((m.method(), m.body().len()), (Some(Method::Message), 553));
        assert_eq!(m.content_type(), Some("multipart/mixed"));
        assert_eq!(m.header_params(Name::ContentType).get("boundary"), Some("7a9cbec02ceef655"));
        assert!(m.body().contains(&0) && m.via().unwrap().rport() == Some(None));
    });
    with("unreason", |m| {
        let reason = m.reason().unwrap();
        assert_eq!(reason, "= 2**3 * 5**2 но сто девяносто девять - простое");
        assert_eq!(m.status(), Some(200));
    });
    with("noreason", |m| {
        assert_eq!((m.status(), m.reason().as_deref()), (Some(100), Some("")));
    });
}

#[test]
fn application_layer_ones_carry_their_values() {
    with("badbranch", |m| assert_eq!(m.via().unwrap().branch(), Some("z9hG4bK")));
    with("unkscm", |m| {
        let uri = m.request_uri().unwrap().unwrap();
        assert_eq!((uri.scheme(), uri.scheme_text()), (Scheme::Other, "nobodyKnowsThisScheme"));
    });
    with("unksm2", |m| {
        assert_eq!(m.to().unwrap().uri.as_str(), "isbn:2983792873");
        assert_eq!(m.from().unwrap().uri.as_str(), "http://www.example.com");
        assert_eq!(m.contact().unwrap().uri.as_str(), "name:John_Smith");
    });
    with("regaut01", |m| {
        let value = m.header(Name::Authorization).unwrap();
        assert_eq!(z5_sip::wire::Challenge::parse(value).unwrap().scheme, "NoOneKnowsThisScheme");
    });
    with("cparam01", |m| assert!(m.contact().unwrap().params.has("unknownparam")));
    with("cparam02", |m| {
        let contact = m.contact().unwrap();
        assert!(contact.params.is_empty() && contact.uri.params().has("unknownparam"));
    });
    with("regescrt", |m| {
        let Contact::Addr(contact) = m.contacts().next().unwrap().unwrap() else { panic!("an address") };
        assert_eq!(contact.uri.headers(), Some("Route=%3Csip:sip.example.com%3E"));
    });
    with("zeromf", |m| {
        assert_eq!(m.max_forwards(), Ok(Some(0)));
        let verdict = Rules::proxy().validate(m);
        assert!(matches!(verdict, Verdict::Refuse { status: 483, fault: Fault::Hops, .. }));
    });
    with("bext01", |m| {
        let verdict = Rules::proxy().validate(m);
        assert!(matches!(verdict, Verdict::Refuse { status: 420, .. }), "{verdict:?}");
    });
    with("bcast", |m| {
        assert_eq!(Rules::proxy().validate(m), Verdict::Accept);
        assert_eq!(m.vias().nth(1).unwrap().unwrap().host.to_string(), "255.255.255.255");
    });
    with("inv2543", |m| {
        assert_eq!((m.from().unwrap().tag(), m.via().unwrap().branch()), (None, None));
        assert_eq!((m.max_forwards(), m.header(Name::ContentLength)), (Ok(None), None));
        assert_eq!(m.body().len(), 105);
        assert!(m.from().unwrap().uri.params().has("user"));
        assert!(m.to().unwrap().params.has("user"));
    });
}
