//! Challenges of every kind, answered, refused or left alone; and both ends together.

use std::time::{Duration, Instant};

use bytes::Bytes;

use super::*;
use crate::auth::{Asker, Check, Verifier};
use crate::wire::{Address, RequestBuilder, ResponseBuilder, Transport, Uri};

#[expect(clippy::disallowed_methods, reason = "tests only need some instant to count from")]
fn now() -> Instant {
    Instant::now()
}

const URI: &str = "sip:example.com";

fn request(fields: &[(Name<'static>, String)], body: &str) -> Message {
    request_to(URI, fields, body)
}

fn request_to(uri: &str, fields: &[(Name<'static>, String)], body: &str) -> Message {
    let me = Uri::parse("sip:alice@example.com").unwrap();
    let mut builder = RequestBuilder::new(Method::Register, uri)
        .via(Transport::Tcp, "127.0.0.1:5060", "z9hG4bK1")
        .from(&Address::new(&me).tag("f"))
        .to(&Address::new(&me))
        .call_id("c")
        .cseq(1);
    for (name, value) in fields {
        builder = builder.header(*name, value);
    }
    builder.body("text/plain", Bytes::copy_from_slice(body.as_bytes())).build().unwrap()
}

fn response(status: u16, fields: &[(Name<'static>, &str)]) -> Message {
    let mut builder = ResponseBuilder::to_request(&request(&[], ""), status, "");
    for (name, value) in fields {
        builder = builder.header(*name, *value);
    }
    builder.build().unwrap()
}

fn alice() -> Authenticator {
    Authenticator::new(vec![Credentials::new("alice", "secret")])
}

fn answer(auth: &mut Authenticator, ident: &mut Ident) -> Vec<(Name<'static>, String)> {
    auth.authorize(&Method::Register, URI, b"", ident)
}

fn param(fields: &[(Name<'static>, String)], name: &str) -> Option<String> {
    let challenge = Challenge::parse(fields[0].1.as_bytes()).unwrap();
    challenge.param(name).map(|value| value.into_owned())
}

const WWW: Name<'static> = Name::WwwAuthenticate;
const PROXY: Name<'static> = Name::ProxyAuthenticate;

#[test]
fn the_strongest_supported_challenge_wins_wherever_it_stands() {
    let offers = [
        (WWW, "Digest realm=\"r\", nonce=\"m\", algorithm=MD5, qop=\"auth\""),
        (WWW, "Basic realm=\"r\""),
        (WWW, "Digest realm=\"r\", nonce=\"u\", algorithm=SHA-1024, qop=\"auth\""),
        (WWW, "Digest realm=\"r\", nonce=\"s\", algorithm=SHA-256, qop=\"auth\""),
        (WWW, "Digest realm=\"r\", nonce=\"t\", algorithm=SHA-256, qop=\"auth\""),
    ];
    let mut auth = alice();
    auth.on_challenge(Asker::Registrar, &request(&[], ""), &response(401, &offers)).unwrap();
    let fields = answer(&mut auth, &mut Ident::from_seed(1));
    assert_eq!(fields.len(), 1);
    assert_eq!(param(&fields, "nonce").as_deref(), Some("s"));
    let mut auth = alice().prefer(Preference::Topmost);
    auth.on_challenge(Asker::Registrar, &request(&[], ""), &response(401, &offers)).unwrap();
    assert_eq!(param(&answer(&mut auth, &mut Ident::from_seed(1)), "nonce").as_deref(), Some("m"));
}

#[test]
fn the_header_has_the_form_of_the_rfc() {
    let mut auth = Authenticator::new(vec![Credentials::new("al\"ice", "secret")]);
    let offer =
        "digest Realm=\"a \\\"b\\\"\", NONCE=\"n\", Algorithm=sha-256, qop=\"auth-int, auth\", opaque=\"o\"";
    auth.on_challenge(Asker::Registrar, &request(&[], ""), &response(401, &[(WWW, offer)])).unwrap();
    let (name, value) = answer(&mut auth, &mut Ident::from_seed(1)).remove(0);
    assert_eq!(name, Name::Authorization);
    let cnonce = Ident::from_seed(1).cnonce();
    let start = "Digest username=\"al\\\"ice\", realm=\"a \\\"b\\\"\", nonce=\"n\", uri=\"sip:example.com\", response=\"";
    let end = format!("\", algorithm=SHA-256, cnonce=\"{cnonce}\", opaque=\"o\", qop=auth, nc=00000001");
    assert!(value.starts_with(start) && value.ends_with(&end), "{value}");
}

#[test]
fn counts_are_hex_and_belong_to_the_nonce() {
    let mut auth = alice();
    let mut ident = Ident::from_seed(1);
    let offer = response(401, &[(WWW, "Digest realm=\"r\", nonce=\"n\", qop=\"auth\"")]);
    auth.on_challenge(Asker::Registrar, &request(&[], ""), &offer).unwrap();
    let counts: Vec<_> = (0..17).map(|_| param(&answer(&mut auth, &mut ident), "nc").unwrap()).collect();
    assert_eq!(
        (&*counts[0], &*counts[9], &*counts[15], &*counts[16]),
        ("00000001", "0000000a", "00000010", "00000011")
    );
    assert_eq!(param(&answer(&mut auth, &mut ident), "algorithm"), None);
    let sent = request(&answer(&mut auth, &mut ident), "");
    auth.on_response(&sent, &response(200, &[(Name::AuthenticationInfo, "nextnonce=\"n2\"")]));
    let fields = answer(&mut auth, &mut ident);
    assert_eq!(
        (param(&fields, "nonce").as_deref(), param(&fields, "nc").as_deref()),
        (Some("n2"), Some("00000001"))
    );
}

#[test]
fn both_kinds_and_several_realms_at_once() {
    let mut auth = Authenticator::new(vec![
        Credentials::new("a", "1").for_realm("one"),
        Credentials::new("b", "2").for_realm("two"),
    ]);
    let both = response(
        401,
        &[
            (WWW, "Digest realm=\"one\", nonce=\"n1\", qop=\"auth\""),
            (PROXY, "Digest realm=\"two\", nonce=\"n2\", qop=\"auth\""),
            (PROXY, "Digest realm=\"three\", nonce=\"n3\", qop=\"auth\""),
        ],
    );
    auth.on_challenge(Asker::Registrar, &request(&[], ""), &both).unwrap();
    let fields = answer(&mut auth, &mut Ident::from_seed(1));
    let shown: Vec<_> = fields
        .iter()
        .map(|(name, value)| {
            (*name, Challenge::parse(value.as_bytes()).unwrap().param("username").unwrap().into_owned())
        })
        .collect();
    assert_eq!(shown, [(Name::Authorization, "a".to_owned()), (Name::ProxyAuthorization, "b".to_owned())]);
}

#[test]
fn credentials_answer_only_their_own_realm() {
    let mut auth = Authenticator::new(vec![Credentials::new("a", "1").for_realm("mine")]);
    let other = response(407, &[(PROXY, "Digest realm=\"theirs\", nonce=\"n\", qop=\"auth\"")]);
    assert_eq!(
        auth.on_challenge(Asker::Registrar, &request(&[], ""), &other),
        Err(AuthFailure::NoCredentials { realms: vec!["theirs".into()] })
    );
    assert!(answer(&mut auth, &mut Ident::from_seed(1)).is_empty());
}

/// Whether a challenge with this realm is answered, and if not why.
fn asked(
    auth: &mut Authenticator,
    asker: Asker,
    sent: &Message,
    (name, realm): (Name<'static>, &str),
) -> Result<(), AuthFailure> {
    let status = if name == PROXY { 407 } else { 401 };
    let challenge = format!("Digest realm=\"{realm}\", nonce=\"crack me\", algorithm=MD5, qop=\"auth\"");
    auth.on_challenge(asker, sent, &response(status, &[(name, &challenge)]))
}

#[test]
fn credentials_without_a_realm_are_for_the_domain_and_for_what_its_registrar_calls_itself() {
    for never_challenged in [true, false] {
        let mut auth = alice().at_home("example.com");
        if !never_challenged {
            asked(&mut auth, Asker::Registrar, &request(&[], ""), (WWW, "registrar")).unwrap();
        }
        auth.learn_realms();
        let refused = |realm: &str| Err(AuthFailure::NoCredentials { realms: vec![realm.to_owned()] });
        for name in [WWW, PROXY] {
            assert_eq!(asked(&mut auth.clone(), Asker::Home, &request(&[], ""), (name, "x")), refused("x"));
            assert_eq!(asked(&mut auth.clone(), Asker::Home, &request(&[], ""), (name, "")), refused(""));
            assert_eq!(
                asked(&mut auth.clone(), Asker::Home, &request(&[], ""), (name, "EXAMPLE.com")),
                Ok(())
            );
            let learned = asked(&mut auth.clone(), Asker::Home, &request(&[], ""), (name, "registrar"));
            assert_eq!(learned.is_ok(), !never_challenged);
        }
        // A registrar may call itself something else at any time.
        assert_eq!(asked(&mut auth, Asker::Registrar, &request(&[], ""), (WWW, "other")), Ok(()));
    }
}

#[test]
fn a_far_end_is_not_answered_whatever_realm_it_writes() {
    let mut auth = alice().at_home("example.com");
    let mut ident = Ident::from_seed(1);
    let refused = Err(AuthFailure::NoCredentials { realms: vec!["example.com".to_owned()] });
    // On another host: proxies on the way may ask, who is asked for may not.
    let plain = request(&[], "");
    assert_eq!(asked(&mut auth.clone(), Asker::Stranger, &plain, (WWW, "example.com")), refused);
    assert_eq!(asked(&mut auth.clone(), Asker::Stranger, &plain, (PROXY, "example.com")), Ok(()));
    // At home, behind a proxy that has let these credentials through.
    asked(&mut auth, Asker::Home, &plain, (PROXY, "example.com")).unwrap();
    let sent = request(&answer(&mut auth, &mut ident), "");
    assert_eq!(asked(&mut auth.clone(), Asker::Home, &sent, (WWW, "example.com")), refused);
    // Credentials that are meant for the realm are for every server of it.
    let own = vec![Credentials::new("alice", "secret").for_realm("example.com")];
    let mut meant = Authenticator::new(own).at_home("example.com");
    assert_eq!(asked(&mut meant.clone(), Asker::Home, &sent, (WWW, "example.com")), Ok(()));
    assert_eq!(asked(&mut meant, Asker::Stranger, &plain, (WWW, "example.com")), refused);
}

#[test]
fn a_realm_that_asks_as_proxy_and_as_server_goes_on_to_be_answered_as_both() {
    let mut auth = alice().at_home("r");
    let both = |nonce: &str, stale: &str| {
        let challenge = format!("Digest realm=\"r\", nonce=\"{nonce}\", qop=\"auth\"{stale}");
        response(401, &[(WWW, &challenge), (PROXY, &challenge)])
    };
    auth.on_challenge(Asker::Home, &request(&[], ""), &both("1", "")).unwrap();
    let sent = request(&answer(&mut auth, &mut Ident::from_seed(1)), "");
    auth.on_challenge(Asker::Home, &sent, &both("2", ", stale=true")).unwrap();
    assert_eq!(answer(&mut auth, &mut Ident::from_seed(1)).len(), 2);
}

#[test]
fn a_server_s_answer_goes_to_no_one_else_and_a_proxy_s_with_every_request() {
    let mut auth = alice();
    let mut ident = Ident::from_seed(1);
    let both = [(WWW, "Digest realm=\"r\", nonce=\"1\""), (PROXY, "Digest realm=\"r\", nonce=\"2\"")];
    auth.on_challenge(Asker::Registrar, &request(&[], ""), &response(401, &both)).unwrap();
    let names = |fields: Vec<(Name<'static>, String)>| fields.iter().map(|field| field.0).collect::<Vec<_>>();
    assert_eq!(names(answer(&mut auth, &mut ident)), [Name::Authorization, Name::ProxyAuthorization]);
    let call = auth.authorize(&Method::Invite, "sip:bob@example.com", b"", &mut ident);
    assert_eq!(names(call), [Name::ProxyAuthorization]);
}

#[test]
fn refused_credentials_are_not_tried_again() {
    let mut auth = alice();
    let mut ident = Ident::from_seed(1);
    let offer = |nonce: &str, stale: &str| {
        response(401, &[(WWW, &format!("Digest realm=\"r\", nonce=\"{nonce}\", qop=\"auth\"{stale}"))])
    };
    auth.on_challenge(Asker::Registrar, &request(&[], ""), &offer("1", "")).unwrap();
    let first = request(&answer(&mut auth, &mut ident), "");
    // Stale: once more. Not stale on the fresh nonce: refused.
    auth.on_challenge(Asker::Registrar, &first, &offer("2", ", stale=TRUE")).unwrap();
    let second = request(&answer(&mut auth, &mut ident), "");
    assert_eq!(
        auth.on_challenge(Asker::Registrar, &second, &offer("3", "")),
        Err(AuthFailure::Rejected { realm: "r".into() })
    );
}

#[test]
fn an_old_nonce_may_run_out_without_a_word() {
    let mut auth = alice();
    let mut ident = Ident::from_seed(1);
    let offer = |nonce: &str| {
        response(401, &[(WWW, &format!("Digest realm=\"r\", nonce=\"{nonce}\", qop=\"auth\""))])
    };
    auth.on_challenge(Asker::Registrar, &request(&[], ""), &offer("1")).unwrap();
    let first = request(&answer(&mut auth, &mut ident), "");
    auth.on_response(&first, &response(200, &[]));
    let second = request(&answer(&mut auth, &mut ident), "");
    assert_eq!(auth.on_challenge(Asker::Registrar, &second, &offer("2")), Ok(()));
}

/// Without qop no nonce count tells the first use from a later one (RFC 2617 section 3.2.1).
#[test]
fn an_old_nonce_without_qop_may_run_out_as_well_and_a_fresh_one_may_not() {
    let mut auth = alice();
    let mut ident = Ident::from_seed(1);
    let offer = |nonce: &str| response(401, &[(WWW, &format!("Digest realm=\"r\", nonce=\"{nonce}\""))]);
    auth.on_challenge(Asker::Registrar, &request(&[], ""), &offer("1")).unwrap();
    let first = request(&answer(&mut auth, &mut ident), "");
    auth.on_response(&first, &response(200, &[]));
    let second = request(&answer(&mut auth, &mut ident), "");
    assert_eq!(auth.on_challenge(Asker::Registrar, &second, &offer("2")), Ok(()));
    let third = request(&answer(&mut auth, &mut ident), "");
    assert_eq!(
        auth.on_challenge(Asker::Registrar, &third, &offer("3")),
        Err(AuthFailure::Rejected { realm: "r".into() })
    );
}

#[test]
fn a_server_that_calls_everything_stale_is_given_up() {
    let mut auth = alice();
    let mut ident = Ident::from_seed(1);
    let mut sent = request(&[], "");
    let mut tries = 0;
    let end = loop {
        let offer = format!("Digest realm=\"r\", nonce=\"{tries}\", qop=\"auth\", stale=true");
        match auth.on_challenge(Asker::Registrar, &sent, &response(401, &[(WWW, &offer)])) {
            Ok(()) => sent = request(&answer(&mut auth, &mut ident), ""),
            Err(why) => break why,
        }
        tries += 1;
        assert!(tries < 10);
    };
    assert_eq!((end, tries), (AuthFailure::Rejected { realm: "r".into() }, 3));
}

/// A response to a request for one Request-URI says nothing of the nonce of another in the same realm.
#[test]
fn request_uris_of_one_realm_are_judged_apart() {
    const BOB: &str = "sip:bob@example.com";
    let mut auth = alice();
    let mut ident = Ident::from_seed(1);
    let offer = |nonce: &str| {
        let stale = if nonce == "1" { "" } else { ", stale=true" };
        response(401, &[(WWW, &format!("Digest realm=\"r\", nonce=\"{nonce}\", qop=\"auth\"{stale}"))])
    };
    // The nonce rotates more often than a realm may ask in a row.
    for uri in [URI, BOB] {
        for round in 1..=5 {
            let unsure = request_to(uri, &auth.authorize(&Method::Register, uri, b"", &mut ident), "");
            assert_eq!(
                auth.on_challenge(Asker::Registrar, &unsure, &offer(&round.to_string())),
                Ok(()),
                "{uri} {round}"
            );
            let sure = request_to(uri, &auth.authorize(&Method::Register, uri, b"", &mut ident), "");
            auth.on_response(&sure, &response(200, &[]));
        }
    }
    for uri in [URI, BOB] {
        let sent = request_to(uri, &auth.authorize(&Method::Register, uri, b"", &mut ident), "");
        let next = format!("nextnonce=\"for {uri}\"");
        auth.on_response(&sent, &response(200, &[(Name::AuthenticationInfo, &next)]));
        let fields = auth.authorize(&Method::Register, uri, b"", &mut ident);
        assert_eq!(param(&fields, "nonce"), Some(format!("for {uri}")));
    }
}

#[test]
fn what_cannot_be_answered_is_told() {
    let mut auth = alice();
    let mut judge = |fields: &[(Name<'static>, &str)]| {
        auth.on_challenge(Asker::Registrar, &request(&[], ""), &response(401, fields)).err()
    };
    assert_eq!(judge(&[]), Some(AuthFailure::NoChallenge));
    let offered = |list: &[&str]| {
        Some(AuthFailure::NoUsableChallenge { offered: list.iter().map(|text| (*text).to_owned()).collect() })
    };
    assert_eq!(
        judge(&[(WWW, "Basic realm=\"r\""), (WWW, "Digest realm=\"r\", nonce=\"n\", algorithm=SHA-1")]),
        offered(&["Basic", "Digest SHA-1"])
    );
    for hostile in [
        "Digest",
        "Digest ,,,",
        "Digest realm=\"r\"",
        "Digest nonce=\"n\"",
        "Digest realm=\"r\", nonce=\"n\", qop=\"\"",
        "Digest realm=\"r\", nonce=\"n\", qop=\"rot13\"",
        "Digest realm=\"open, nonce=",
    ] {
        assert_eq!(judge(&[(WWW, hostile)]), offered(&["Digest"]), "{hostile}");
    }
    assert_eq!(judge(&[(WWW, "=;=")]), offered(&["malformed"]));
}

#[test]
fn a_fold_in_a_challenge_never_reaches_our_header() {
    let text = "SIP/2.0 401 No\r\nWWW-Authenticate: Digest realm=\"a\r\n b\", nonce=\"n\", qop=\"auth\"\r\nl: 0\r\n\r\n";
    let response = Message::parse_datagram(Bytes::from(text)).unwrap();
    assert!(matches!(
        alice().on_challenge(Asker::Registrar, &request(&[], ""), &response),
        Err(AuthFailure::NoUsableChallenge { .. })
    ));
}

/// Both ends, every algorithm and quality of protection.
#[test]
fn both_ends_agree() {
    let now = now();
    for algorithm in Algorithm::ALL {
        for qop in [&[][..], &[Qop::Auth], &[Qop::AuthInt], &[Qop::Auth, Qop::AuthInt]] {
            let mut ident = Ident::from_seed(3);
            let mut server = Verifier::new("r").algorithms(&[algorithm]).qop(qop);
            let mut auth = alice();
            let challenge = server.challenge(false, &mut ident, now);
            let challenge: Vec<_> = challenge.iter().map(|(name, value)| (*name, value.as_str())).collect();
            auth.on_challenge(Asker::Registrar, &request(&[], ""), &response(401, &challenge)).unwrap();
            let lookup = |user: &str| (user == "alice").then(|| "secret".to_owned());
            for _ in 0..12 {
                let fields = auth.authorize(&Method::Register, URI, b"body", &mut ident);
                let sent = request(&fields, "body");
                let check = server.check(&sent, lookup, now + Duration::from_secs(1));
                assert_eq!(check, Check::Accepted { username: "alice".into() }, "{algorithm} {qop:?}");
            }
            let fields = auth.authorize(&Method::Register, URI, b"body", &mut ident);
            let changed = server.check(&request(&fields, "ydob"), lookup, now);
            let protects_body = qop == [Qop::AuthInt];
            assert_eq!(matches!(changed, Check::Refused { .. }), protects_body, "{algorithm} {qop:?}");
        }
    }
}

#[test]
fn userhash_hides_the_name() {
    let mut auth = alice();
    let offer = "Digest realm=\"r\", nonce=\"n\", qop=\"auth\", algorithm=SHA-256, userhash=true";
    auth.on_challenge(Asker::Registrar, &request(&[], ""), &response(401, &[(WWW, offer)])).unwrap();
    let fields = answer(&mut auth, &mut Ident::from_seed(1));
    assert_eq!(param(&fields, "username"), Some(Algorithm::Sha256.hash(&[b"alice", b"r"])));
    assert_eq!(param(&fields, "userhash").as_deref(), Some("true"));
}

#[test]
fn nothing_secret_in_debug() {
    let mut auth = alice();
    auth.on_challenge(
        Asker::Registrar,
        &request(&[], ""),
        &response(401, &[(WWW, "Digest realm=\"r\", nonce=\"n0nce\"")]),
    )
    .unwrap();
    let fields = answer(&mut auth, &mut Ident::from_seed(1));
    let shown = format!("{auth:?} {:?} {:?}", Credentials::new("alice", "secret"), request(&fields, ""));
    let answer = param(&fields, "response").unwrap();
    for secret in ["secret", "alice", "n0nce", &answer] {
        assert!(!shown.contains(secret), "{shown}");
    }
}

/// What a server that knows `password` says to the credentials of `sent`.
fn rspauth(sent: &Message, password: &str, qop: Qop, body: &[u8]) -> String {
    let used = Challenge::parse(sent.header(Name::Authorization).unwrap()).unwrap();
    let (cnonce, nonce) = (used.param("cnonce").unwrap(), used.param("nonce").unwrap());
    let count = u32::from_str_radix(&used.param("nc").unwrap(), 16).unwrap();
    digest::response(&Inputs {
        algorithm: used
            .param("algorithm")
            .map_or(Algorithm::Md5, |token| Algorithm::from_token(&token).unwrap()),
        username: "alice",
        realm: "r",
        password,
        nonce: &nonce,
        usage: Some(Use { qop, nonce_count: count, cnonce: &cnonce }),
        legacy: false,
        method: "",
        uri: URI,
        body,
    })
}

#[test]
fn a_server_that_proves_itself_is_told_from_one_that_cannot() {
    for algorithm in ["MD5", "SHA-256", "SHA-512-256", "SHA-256-sess"] {
        let mut auth = alice();
        let mut ident = Ident::from_seed(1);
        let offer = format!("Digest realm=\"r\", nonce=\"n\", algorithm={algorithm}, qop=\"auth\"");
        auth.on_challenge(Asker::Registrar, &request(&[], ""), &response(401, &[(WWW, &offer)])).unwrap();
        let sent = request(&answer(&mut auth, &mut ident), "");
        let info = |text: &str| response(200, &[(Name::AuthenticationInfo, text)]);
        assert_eq!(auth.on_response(&sent, &response(200, &[])), ServerProof::None);
        assert_eq!(auth.on_response(&sent, &info("nextnonce=\"n\"")), ServerProof::None);

        let right = rspauth(&sent, "secret", Qop::Auth, b"");
        let cnonce = param(
            &[(
                Name::Authorization,
                String::from_utf8_lossy(sent.header(Name::Authorization).unwrap()).into_owned(),
            )],
            "cnonce",
        );
        let cnonce = cnonce.unwrap();
        for fine in [
            format!("rspauth=\"{right}\""),
            format!("qop=auth, rspauth=\"{}\", cnonce=\"{cnonce}\", nc=00000001", right.to_uppercase()),
        ] {
            assert_eq!(auth.on_response(&sent, &info(&fine)), ServerProof::Proven, "{algorithm} {fine}");
        }
        let forged = rspauth(&sent, "guessed", Qop::Auth, b"");
        for wrong in [
            format!("rspauth=\"{forged}\", nextnonce=\"evil\""),
            "rspauth=\"\", nextnonce=\"evil\"".to_owned(),
            format!("rspauth=\"{right}\", nc=00000002"),
            format!("rspauth=\"{right}\", cnonce=\"another\""),
            format!("rspauth=\"{right}\", qop=auth-int"),
        ] {
            assert_eq!(auth.on_response(&sent, &info(&wrong)), ServerProof::Wrong, "{algorithm} {wrong}");
        }
        assert_eq!(
            param(&answer(&mut auth, &mut ident), "nonce").as_deref(),
            Some("n"),
            "no nonce of a liar"
        );
    }
}

#[test]
fn the_proof_covers_the_body_of_the_answer() {
    let mut auth = alice();
    let offer = response(401, &[(WWW, "Digest realm=\"r\", nonce=\"n\", qop=\"auth-int\"")]);
    auth.on_challenge(Asker::Registrar, &request(&[], ""), &offer).unwrap();
    let sent = request(&answer(&mut auth, &mut Ident::from_seed(1)), "");
    let with_body = |body: &'static str| {
        let proof = rspauth(&sent, "secret", Qop::AuthInt, b"v=0");
        ResponseBuilder::to_request(&sent, 200, "")
            .header(Name::AuthenticationInfo, format!("qop=auth-int, rspauth=\"{proof}\""))
            .body("application/sdp", body)
            .build()
            .unwrap()
    };
    assert_eq!(auth.on_response(&sent, &with_body("v=0")), ServerProof::Proven);
    assert_eq!(auth.on_response(&sent, &with_body("v=1")), ServerProof::Wrong);
}
