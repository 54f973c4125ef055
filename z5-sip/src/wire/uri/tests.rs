//! URIs: the parts of each kind, and the comparison examples of RFC 3261 section 19.1.4.

use super::*;

fn uri(text: &str) -> Uri {
    Uri::parse(text).unwrap_or_else(|why| panic!("{text}: {why}"))
}

#[test]
fn every_part_of_a_sip_uri() {
    let owned = uri("sip:alice:secret@example.com:5070;transport=tcp;lr?subject=hi&x=y");
    let uri = owned.as_ref();
    assert_eq!(uri.scheme(), Scheme::Sip);
    assert_eq!((uri.user(), uri.password()), (Some("alice"), Some("secret")));
    assert_eq!((uri.host(), uri.port()), (Some(Host::Name("example.com")), Some(5070)));
    assert_eq!(uri.param("Transport"), Some("tcp"));
    assert!(uri.is_loose_router());
    assert_eq!(uri.headers(), Some("subject=hi&x=y"));
}

#[test]
fn users_with_every_allowed_mark() {
    let owned = uri(
        "sip:1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*:&it+has=1,weird!*pas$wo~d_too.(doesn't-it)@example.com",
    );
    assert_eq!(owned.user(), Some("1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*"));
    assert_eq!(owned.as_ref().password(), Some("&it+has=1,weird!*pas$wo~d_too.(doesn't-it)"));
    assert_eq!(owned.host(), Some(Host::Name("example.com")));
    let owned = uri("sip:user;par=u%40example.net@example.com");
    assert_eq!(owned.user(), Some("user;par=u%40example.net"));
    assert!(owned.as_ref().params().is_empty());
    assert_eq!(uri("sip:bob.smith@h").user(), Some("bob.smith"));
    assert_eq!(uri("sip:%75se%72@h").as_ref().user_unescaped().as_deref(), Some("user"));
    assert_eq!(uri("sip:null-%00-null@h").as_ref().user_unescaped().as_deref(), Some("null-\0-null"));
}

#[test]
fn ipv6_and_hosts_alone() {
    let owned = uri("sip:[2001:db8::10]:5070;lr");
    assert_eq!(owned.host().map(|h| h.to_string()).as_deref(), Some("[2001:db8::10]"));
    assert_eq!(owned.port(), Some(5070));
    assert_eq!(owned.user(), None);
    assert_eq!(uri("sip:[2001:db8::10:5070]").port(), None);
    assert_eq!(uri("sips:example.com").scheme(), Scheme::Sips);
    assert_eq!(uri("SIP:example.com").scheme(), Scheme::Sip);
}

#[test]
fn other_schemes_are_kept_whole() {
    let tel = uri("tel:+1-201-555-0123;ext=4");
    assert_eq!(
        (tel.scheme(), tel.user(), tel.param("ext")),
        (Scheme::Tel, Some("+1-201-555-0123"), Some("4"))
    );
    assert_eq!(tel.host(), None);
    let sos = uri("urn:service:sos");
    assert_eq!((sos.scheme(), sos.user()), (Scheme::Urn, None));
    let other = uri("soap.beep://192.0.2.103:3002");
    assert_eq!((other.scheme(), other.as_ref().scheme_text()), (Scheme::Other, "soap.beep"));
    assert_eq!(other.as_str(), "soap.beep://192.0.2.103:3002");
}

#[test]
fn faults_have_their_own_names() {
    for (text, why) in [
        ("", UriError::NoScheme),
        ("example.com", UriError::NoScheme),
        (":x", UriError::NoScheme),
        ("1sip:x", UriError::BadScheme),
        ("sip:", UriError::Host(HostError::Empty)),
        ("sip:@h", UriError::BadUser),
        ("sip:a@", UriError::Host(HostError::Empty)),
        ("sip:a@b@c", UriError::Host(HostError::UnexpectedByte)),
        ("sip:2001:db8::10", UriError::Host(HostError::BadPort)),
        ("sip:h:99999", UriError::Host(HostError::BadPort)),
        ("sip:a b@h", UriError::UnexpectedByte),
        ("sip:a@h\r\nX: y", UriError::UnexpectedByte),
        ("<sip:a@h>", UriError::UnexpectedByte),
        ("sip:h;;x", UriError::BadParams),
    ] {
        assert_eq!(Uri::parse(text).err(), Some(why), "{text}");
    }
    assert_eq!(Uri::parse(&format!("sip:{}", "a".repeat(70_000))).err(), Some(UriError::TooLong));
}

#[test]
fn equal_as_rfc_3261_says() {
    for (a, b) in [
        ("sip:%61lice@atlanta.com;transport=TCP", "sip:alice@AtLanTa.CoM;Transport=tcp"),
        ("sip:carol@chicago.com", "sip:carol@chicago.com;newparam=5"),
        ("sip:carol@chicago.com", "sip:carol@chicago.com;security=on"),
        ("sip:carol@chicago.com;newparam=5", "sip:carol@chicago.com;security=on"),
        (
            "sip:biloxi.com;transport=tcp;method=REGISTER?to=sip:bob%40biloxi.com",
            "sip:biloxi.com;method=REGISTER;transport=tcp?to=sip:bob%40biloxi.com",
        ),
        (
            "sip:alice@atlanta.com?subject=project%20x&priority=urgent",
            "sip:alice@atlanta.com?priority=urgent&subject=project%20x",
        ),
        ("tel:+1-201-555-0123", "tel:+12015550123"),
        ("urn:service:SOS", "URN:service:sos"),
    ] {
        assert_eq!(uri(a), uri(b));
        assert_eq!(uri(b), uri(a));
    }
}

#[test]
fn unequal_as_rfc_3261_says() {
    for (a, b) in [
        ("SIP:ALICE@AtLanTa.CoM;Transport=udp", "sip:alice@AtLanTa.CoM;Transport=UDP"),
        ("sip:bob@biloxi.com", "sip:bob@biloxi.com:5060"),
        ("sip:bob@biloxi.com", "sip:bob@biloxi.com;transport=udp"),
        ("sip:bob@biloxi.com", "sip:bob@biloxi.com:6000;transport=tcp"),
        ("sip:carol@chicago.com", "sip:carol@chicago.com?Subject=next%20meeting"),
        ("sip:bob@phone21.boxesbybob.com", "sip:bob@192.0.2.4"),
        ("sip:carol@chicago.com;security=on", "sip:carol@chicago.com;security=off"),
        ("sip:bob@biloxi.com", "sips:bob@biloxi.com"),
        ("sip:bob%3bx@biloxi.com", "sip:bob;x@biloxi.com"),
        ("tel:+12015550123", "tel:+12015550123;ext=1"),
    ] {
        assert_ne!(uri(a), uri(b));
        assert_ne!(uri(b), uri(a));
    }
}
