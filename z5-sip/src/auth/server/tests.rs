//! The verifier against answers that are right, wrong, old, repeated and malformed.

use bytes::Bytes;

use super::*;

#[expect(clippy::disallowed_methods, reason = "tests only need some instant to count from")]
fn now() -> Instant {
    Instant::now()
}

fn lookup(user: &str) -> Option<String> {
    (user == "bob").then(|| "zanzibar".to_owned())
}

fn request(authorization: &str) -> Message {
    let text = format!("REGISTER sip:biloxi.com SIP/2.0\r\nAuthorization: {authorization}\r\nl: 0\r\n\r\n");
    Message::parse_datagram(Bytes::from(text)).unwrap()
}

/// A right answer to `nonce`, with count `nc`.
fn right(nonce: &str, nc: u32) -> String {
    let response = digest::response(&Inputs {
        algorithm: Algorithm::Md5,
        username: "bob",
        realm: "biloxi.com",
        password: "zanzibar",
        nonce,
        usage: Some(Use { qop: Qop::Auth, nonce_count: nc, cnonce: "0a4f113b" }),
        legacy: false,
        method: "REGISTER",
        uri: "sip:biloxi.com",
        body: b"",
    });
    format!(
        "Digest username=\"bob\", realm=\"biloxi.com\", nonce=\"{nonce}\", uri=\"sip:biloxi.com\", qop=auth, \
         nc={nc:08x}, cnonce=\"0a4f113b\", response=\"{response}\""
    )
}

struct World {
    verifier: Verifier,
    nonce: String,
    start: Instant,
}

fn world() -> World {
    let start = now();
    let mut verifier = Verifier::new("biloxi.com");
    let fields = verifier.challenge(false, &mut Ident::from_seed(1), start);
    assert_eq!(fields.len(), 2);
    let challenge = Challenge::parse(fields[1].1.as_bytes()).unwrap();
    assert_eq!(challenge.param("algorithm").as_deref(), Some("MD5"));
    let nonce = challenge.param("nonce").unwrap().into_owned();
    World { verifier, nonce, start }
}

fn accepted() -> Check {
    Check::Accepted { username: "bob".into() }
}

#[test]
fn a_right_answer_counts_up_and_never_counts_twice() {
    let World { mut verifier, nonce, start } = world();
    let mut check = |text: &str| verifier.check(&request(text), lookup, start);
    assert_eq!(check(&right(&nonce, 1)), accepted());
    assert_eq!(check(&right(&nonce, 1)), Check::Stale);
    assert_eq!(check(&right(&nonce, 10)), accepted());
    assert_eq!(check(&right(&nonce, 9)), Check::Stale);
    assert_eq!(check(&right(&nonce, 11)), accepted());
}

#[test]
fn nonces_of_others_and_old_ones_are_stale() {
    let World { mut verifier, nonce, start } = world();
    assert_eq!(verifier.check(&request(&right("other", 1)), lookup, start), Check::Stale);
    let late = start + Duration::from_secs(301);
    assert_eq!(verifier.check(&request(&right(&nonce, 1)), lookup, late), Check::Stale);
    let in_time = start + Duration::from_secs(300);
    assert_eq!(verifier.check(&request(&right(&nonce, 1)), lookup, in_time), accepted());
}

#[test]
fn wrong_answers_are_refused_and_use_nothing_up() {
    let World { mut verifier, nonce, start } = world();
    let good = right(&nonce, 1);
    let refused = |name: &str| Check::Refused { username: name.into() };
    let mut check = |text: &str| verifier.check(&request(text), lookup, start);
    assert_eq!(check(&good.replace("nc=00000001", "nc=000000ff")), refused("bob"));
    assert_eq!(check(&good.replace("\"bob\"", "\"eve\"")), refused("eve"));
    assert_eq!(check(&good), accepted());
}

#[test]
fn what_is_not_for_us_and_what_is_malformed() {
    let World { mut verifier, nonce, start } = world();
    let good = right(&nonce, 1);
    let mut check = |text: &str| verifier.check(&request(text), lookup, start);
    assert_eq!(check("NoOneKnows x=y"), Check::None);
    assert_eq!(check(&good.replace("realm=\"biloxi.com\"", "realm=\"other\"")), Check::None);
    for (from, to) in [
        ("uri=\"sip:biloxi.com\"", "uri=\"sip:other.com\""),
        ("nc=00000001", "nc=1"),
        ("nc=00000001", "nc=zzzzzzzz"),
        ("cnonce=\"0a4f113b\", ", ""),
        ("qop=auth, ", ""),
        ("qop=auth, ", "qop=auth-int, "),
        ("qop=auth, ", "algorithm=SHA-512-256, qop=auth, "),
        ("qop=auth, ", "algorithm=WHAT, qop=auth, "),
        ("username=\"bob\", ", ""),
        ("response=", "esnopser="),
    ] {
        assert!(good.contains(from));
        assert_eq!(check(&good.replace(from, to)), Check::Malformed, "{to}");
    }
    assert_eq!(check(&good), accepted());
}

#[test]
fn the_store_of_nonces_is_bounded() {
    let World { mut verifier, nonce, start } = world();
    let mut ident = Ident::from_seed(2);
    for second in 0..5000 {
        verifier.challenge(true, &mut ident, start + Duration::from_millis(second));
    }
    assert_eq!(verifier.nonces.len(), NONCES);
    assert!(!verifier.nonces.contains_key(&nonce));
}
