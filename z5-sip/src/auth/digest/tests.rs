//! The vectors of RFC 2617 section 3.5, RFC 7616 section 3.9 and RFC 8760's algorithms, and hashes known
//! from elsewhere.

use super::*;

fn inputs(algorithm: Algorithm) -> Inputs<'static> {
    Inputs {
        algorithm,
        username: "Mufasa",
        realm: "http-auth@example.org",
        password: "Circle of Life",
        nonce: "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v",
        usage: Some(Use {
            qop: Qop::Auth,
            nonce_count: 1,
            cnonce: "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ",
        }),
        legacy: false,
        method: "GET",
        uri: "/dir/index.html",
        body: b"",
    }
}

#[test]
fn rfc_7616_section_3_9_1() {
    assert_eq!(response(&inputs(Algorithm::Md5)), "8ca523f5e9506fed4657c9700eebdbec");
    assert_eq!(
        response(&inputs(Algorithm::Sha256)),
        "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"
    );
}

#[test]
fn rfc_2617_section_3_5() {
    let inputs = Inputs {
        realm: "testrealm@host.com",
        password: "Circle Of Life",
        nonce: "dcd98b7102dd2f0e8b11d0f600bfb0c093",
        usage: Some(Use { qop: Qop::Auth, nonce_count: 1, cnonce: "0a4f113b" }),
        ..inputs(Algorithm::Md5)
    };
    assert_eq!(response(&inputs), "6629fae49393a05397450978507c4ef1");
    let legacy = Inputs { legacy: true, ..inputs };
    assert_eq!(response(&legacy), "670fd8c2df070c60b045671b8b24ff02");
}

#[test]
fn hashes_of_abc() {
    assert_eq!(Algorithm::Md5.hash(&[b"abc"]), "900150983cd24fb0d6963f7d28e17f72");
    assert_eq!(
        Algorithm::Sha256.hash(&[b"abc"]),
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    );
    assert_eq!(
        Algorithm::Sha512_256.hash(&[b"abc"]),
        "53048e2681941ef99b2e29b76b4c7dabe4c2d0c634fc6d46e0e2f13107e7af23"
    );
    assert_eq!(Algorithm::Md5.hash(&[b"a", b"c"]), Algorithm::Md5.hash(&[b"a:c"]));
}

#[test]
fn names_are_read_without_case_and_ordered_by_strength() {
    assert_eq!(Algorithm::from_token("sha-512-256-SESS"), Some(Algorithm::Sha512_256Sess));
    assert_eq!(Algorithm::from_token("SHA-512"), None);
    assert!(Algorithm::ALL.windows(2).all(|pair| pair[0].strength() >= pair[1].strength()));
    assert_eq!(Qop::from_token("AUTH-INT"), Some(Qop::AuthInt));
}

#[test]
fn body_session_and_count_all_reach_the_response() {
    let plain = inputs(Algorithm::Sha512_256);
    let usage = Use { qop: Qop::AuthInt, nonce_count: 1, cnonce: "c" };
    let with_body = Inputs { usage: Some(usage), body: b"v=0", ..plain };
    let variants = [
        response(&plain),
        response(&with_body),
        response(&Inputs { body: b"v=1", ..with_body }),
        response(&Inputs { algorithm: Algorithm::Sha512_256Sess, ..with_body }),
        response(&Inputs { usage: Some(Use { nonce_count: 10, ..usage }), ..with_body }),
        response(&Inputs { method: "", ..with_body }),
    ];
    for (i, one) in variants.iter().enumerate() {
        assert_eq!(one.len(), 64);
        assert!(variants[i + 1..].iter().all(|other| other != one));
    }
}
