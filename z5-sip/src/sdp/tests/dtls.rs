//! Keys by DTLS: who offers which certificate, who begins, and what of it cannot be used.

use super::*;

fn identity(fill: u8) -> DtlsIdentity {
    DtlsIdentity::new(Fingerprint::new(FingerprintHash::Sha256, &[fill; 32]).unwrap())
}

/// Audio of an end that has DTLS alone, and of one that has it beside what it offers.
fn only(port: u16, identity: DtlsIdentity) -> MediaCapability {
    MediaCapability { security: Security::Dtls(identity), ..audio(port) }
}

fn also(port: u16, security: Security) -> MediaCapability {
    MediaCapability { security, dtls: Some(identity(9)), ..audio(port) }
}

fn hex(fill: u8, bytes: usize) -> String {
    vec![format!("{fill:02X}"); bytes].join(":")
}

fn offered(attributes: &[&str], proto: &str) -> SessionDescription {
    let line = format!("m=audio 4000 {proto} 0");
    let mut lines = vec![line.as_str()];
    lines.extend(attributes);
    parse(&lines)
}

#[test]
fn two_ends_agree_on_a_handshake_and_the_answerer_begins_it() {
    for (feedback_profile, proto) in [(false, "UDP/TLS/RTP/SAVP"), (true, "UDP/TLS/RTP/SAVPF")] {
        let named = identity(1).with_tls_id("abc3de65cddef001be82").unwrap();
        let ours = caps(vec![MediaCapability { feedback_profile, ..only(1000, named) }]);
        let offer = make_offer(&ours, ORIGIN);
        let text = text_of(&offer);
        assert!(text.contains(&format!("m=audio 1000 {proto} 0 8 101\r\n")), "{text}");
        let fingerprint = format!("a=fingerprint:sha-256 {}\r\n", hex(1, 32));
        assert!(text.contains(&fingerprint) && text.contains("a=setup:actpass\r\n"), "{text}");
        assert!(
            text.contains("a=tls-id:abc3de65cddef001be82\r\n") && !text.contains("a=connection"),
            "{text}"
        );

        for theirs in [only(2000, identity(9)), also(2000, Security::Clear)] {
            let (description, answered) = answer(&offer, &caps(vec![theirs]), ORIGIN).unwrap();
            let text = text_of(&description);
            assert!(
                text.contains(&format!("m=audio 2000 {proto} ")) && text.contains("a=setup:active\r\n"),
                "{text}"
            );
            let accepted = accept_answer(&offer, &description, &ours).unwrap();
            let (far, near) =
                (answered.media[0].dtls.as_ref().unwrap(), accepted.media[0].dtls.as_ref().unwrap());
            assert_eq!((far.role, near.role), (DtlsRole::Client, DtlsRole::Server));
            assert_eq!(far.fingerprints[0].value(), [1; 32]);
            assert_eq!(near.fingerprints[0].value(), [9; 32]);
            assert_eq!((far.tls_id.as_deref(), near.tls_id.as_deref()), (Some("abc3de65cddef001be82"), None));
            assert!(answered.media[0].crypto.is_none() && accepted.media[0].crypto.is_none());
        }
    }
}

#[test]
fn each_token_that_means_a_handshake_is_answered_as_offered() {
    let fingerprint = format!("a=fingerprint:SHA-256 {}", hex(1, 32).to_lowercase());
    for proto in ["UDP/TLS/RTP/SAVPF", "UDP/TLS/RTP/SAVP", "RTP/SAVPF", "RTP/SAVP", "RTP/AVPF", "RTP/AVP"] {
        let offer = offered(&[&fingerprint, "a=setup:actpass"], proto);
        let ours = caps(vec![also(1000, Security::SdesOptional(vec![key(1, 1)]))]);
        let (description, outcome) = answer(&offer, &ours, ORIGIN).unwrap();
        assert!(outcome.media[0].dtls.is_some(), "{proto}");
        let text = text_of(&description);
        assert!(
            text.contains(&format!("m=audio 1000 {proto} 0\r\n")) && !text.contains("a=crypto"),
            "{text}"
        );
    }
}

#[test]
fn who_begins_follows_the_offer() {
    let fingerprint = format!("a=fingerprint:sha-384 {}", hex(1, 48));
    for (setup, role, said) in [
        ("a=setup:actpass", DtlsRole::Client, "active"),
        ("a=setup:ACTIVE", DtlsRole::Server, "passive"),
        ("a=setup:passive", DtlsRole::Client, "active"),
        ("a=ptime:20", DtlsRole::Server, "passive"),
    ] {
        let offer = offered(&[&fingerprint, setup], "UDP/TLS/RTP/SAVPF");
        let (description, outcome) = answer(&offer, &caps(vec![only(1000, identity(9))]), ORIGIN).unwrap();
        assert_eq!(outcome.media[0].dtls.as_ref().unwrap().role, role, "{setup}");
        assert!(text_of(&description).contains(&format!("a=setup:{said}\r\n")), "{setup}");
    }
}

#[test]
fn what_stands_at_session_level_holds_for_every_line_without_its_own() {
    let all = format!("a=fingerprint:sha-256 {}", hex(1, 32));
    let own = format!("a=fingerprint:sha-256 {}", hex(2, 32));
    let offer = parse(&[
        &all,
        "a=setup:actpass",
        "m=audio 4000 UDP/TLS/RTP/SAVPF 0",
        "m=audio 4002 UDP/TLS/RTP/SAVPF 0",
        &own,
        "a=setup:passive",
    ]);
    let ours = caps(vec![only(1000, identity(9)), only(1002, identity(9))]);
    let (_, outcome) = answer(&offer, &ours, ORIGIN).unwrap();
    let seen: Vec<u8> =
        outcome.media.iter().map(|media| media.dtls.as_ref().unwrap().fingerprints[0].value()[0]).collect();
    assert_eq!(seen, [1, 2]);
}

#[test]
fn a_handshake_that_proves_nothing_or_that_nobody_begins_is_refused_with_the_reason() {
    let good = format!("a=fingerprint:sha-256 {}", hex(1, 32));
    for (attributes, words) in [
        (vec!["a=setup:actpass"], "it has no fingerprint"),
        (vec!["a=fingerprint:sha-256 AA:BB", "a=setup:actpass"], "has 2 bytes where the hash gives 32"),
        (vec!["a=fingerprint:md5 AA:BB", "a=setup:actpass"], "by \"md5\" proves nothing"),
        (vec!["a=fingerprint:sha-256", "a=setup:actpass"], "is no hash and its value"),
        (vec!["a=fingerprint:sha-256 A:+1", "a=setup:actpass"], "is no hash and its value"),
        (vec![&good, "a=setup:holdconn"], "nobody can begin the handshake: setup is \"holdconn\""),
        (vec![&good, "a=setup:actpass", "a=tls-id:short"], "the tls-id is not"),
    ] {
        let offer = offered(&attributes, "UDP/TLS/RTP/SAVPF");
        let failure = answer(&offer, &caps(vec![only(1000, identity(9))]), ORIGIN).unwrap_err();
        assert!(failure.to_string().contains(words), "{attributes:?}: {failure}");
    }
    // One that can be checked is enough.
    let offer = offered(&["a=fingerprint:sha-1 AA:BB", &good, "a=setup:actpass"], "UDP/TLS/RTP/SAVPF");
    let (_, outcome) = answer(&offer, &caps(vec![only(1000, identity(9))]), ORIGIN).unwrap();
    assert_eq!(outcome.media[0].dtls.as_ref().unwrap().fingerprints.len(), 1);
    assert!(Fingerprint::new(FingerprintHash::Sha512, &[0; 32]).is_err());
    assert!(identity(1).with_tls_id("twenty characters ok").is_err());
}

#[test]
fn an_answer_without_a_handshake_is_not_taken_for_one() {
    let ours = caps(vec![only(1000, identity(1))]);
    let offer = make_offer(&ours, ORIGIN);
    let good = format!("a=fingerprint:sha-256 {}", hex(3, 32));
    for (attributes, words) in [
        (vec!["a=setup:active"], "it has no fingerprint"),
        (vec![&good, "a=setup:actpass"], "setup is \"actpass\""),
    ] {
        let answered = offered(&attributes, "UDP/TLS/RTP/SAVP");
        let failure = accept_answer(&offer, &answered, &ours).unwrap_err();
        assert!(failure.to_string().contains(words), "{failure}");
    }
    for (attributes, role) in
        [(vec![good.as_str()], DtlsRole::Client), (vec![&good, "a=setup:active"], DtlsRole::Server)]
    {
        let answered = offered(&attributes, "UDP/TLS/RTP/SAVP");
        assert_eq!(
            accept_answer(&offer, &answered, &ours).unwrap().media[0].dtls.as_ref().unwrap().role,
            role
        );
    }
    // Nor is one taken that was not offered.
    let plain = caps(vec![audio(1000)]);
    let answered = offered(&[&good, "a=setup:active"], "UDP/TLS/RTP/SAVP");
    assert!(accept_answer(&make_offer(&plain, ORIGIN), &answered, &plain).is_err());
}

#[test]
fn where_dtls_alone_will_do_nothing_else_is_taken_and_where_both_are_offered_it_is_preferred() {
    let crypto = format!("a=crypto:{}", key(1, 3).to_attribute());
    for (proto, attributes) in [("RTP/AVP", vec![]), ("RTP/SAVP", vec![crypto.as_str()])] {
        let offer = offered(&attributes, proto);
        let failure = answer(&offer, &caps(vec![only(1000, identity(9))]), ORIGIN).unwrap_err();
        assert!(failure.to_string().contains("takes keys by DTLS alone"), "{failure}");
    }
    let good = format!("a=fingerprint:sha-256 {}", hex(3, 32));
    let offer = offered(&[&crypto, &good, "a=setup:actpass"], "RTP/SAVP");
    let sdes = Security::SdesRequired(vec![key(1, 1)]);
    let (_, outcome) = answer(&offer, &caps(vec![also(1000, sdes.clone())]), ORIGIN).unwrap();
    assert!(outcome.media[0].dtls.is_some() && outcome.media[0].crypto.is_none());
    // Without a certificate the key of the description does.
    let without = MediaCapability { security: sdes, ..audio(1000) };
    let (_, outcome) = answer(&offer, &caps(vec![without]), ORIGIN).unwrap();
    assert!(outcome.media[0].dtls.is_none() && outcome.media[0].crypto.is_some());
}

#[test]
fn a_session_that_stands_keeps_its_roles_while_it_is_the_same_association() {
    use crate::dialog::Session;
    let good = |fill| format!("a=fingerprint:sha-256 {}", hex(fill, 32));
    let says = |attributes: &[&str]| offered(attributes, "UDP/TLS/RTP/SAVPF").to_bytes();
    let mut session = Session::new(1, caps(vec![only(1000, identity(9))]));
    let first = says(&[&good(1), "a=setup:active"]);
    let role = |negotiated: &Negotiated| negotiated.media[0].dtls.as_ref().unwrap().role;
    assert_eq!(role(&session.answer(&first).unwrap().1), DtlsRole::Server);
    // The same again, open to both: what was agreed holds on, and the application is not asked.
    let again = says(&[&good(1), "a=setup:actpass"]);
    assert!(!session.asks_more(&again));
    assert_eq!(role(&session.answer(&again).unwrap().1), DtlsRole::Server);
    // Another certificate is another handshake: the application's to decide.
    let another = says(&[&good(2), "a=setup:actpass"]);
    assert!(session.asks_more(&another));
    assert_eq!(role(&session.answer(&another).unwrap().1), DtlsRole::Client);
    // Our own next offer stays with DTLS.
    let own = String::from_utf8(session.offer(caps(vec![only(1000, identity(9))]))).unwrap();
    assert!(own.contains("UDP/TLS/RTP/SAVPF") && own.contains("a=setup:actpass"), "{own}");
}
