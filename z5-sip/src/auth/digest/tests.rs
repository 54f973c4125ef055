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

/// The values printed in the RFC were made with SHA-512 cut to 256 bits; these are those of its erratum,
/// made with SHA-512/256 and its own initial values.
#[test]
fn rfc_7616_section_3_9_2_as_corrected() {
    let username = "J\u{e4}s\u{f8}n Doe";
    let inputs = Inputs {
        username,
        realm: "api@example.org",
        password: "Secret, or not?",
        nonce: "5TsQWLVdgBdmrQ0XsxbDODV+57QdFR34I9HAbC/RVvkK",
        usage: Some(Use {
            qop: Qop::Auth,
            nonce_count: 1,
            cnonce: "NTg6RKcb9boFIAS3KrFK9BGeh+iDa/sm6jUMp2wds69v",
        }),
        uri: "/doe.json",
        ..inputs(Algorithm::Sha512_256)
    };
    assert_eq!(
        Algorithm::Sha512_256.hash(&[username.as_bytes(), b"api@example.org"]),
        "793263caabb707a56211940d90411ea4a575adeccb7e360aeb624ed06ece9b0b"
    );
    assert_eq!(response(&inputs), "3798d4131c277846293534c3edc11bd8a5e4cdcbff78b05db9d95eeb1cec68a5");
}

/// Made with another implementation of the hashes, following the RFC's formulas by hand; the count is the
/// tenth use, where decimal and hex part.
#[test]
fn every_algorithm_and_protection_by_hand() {
    for (algorithm, qop, expected) in [
        (Algorithm::Md5, Qop::Auth, "c00172f4c2aeb435c44a793300cd7ea4"),
        (Algorithm::Md5, Qop::AuthInt, "41adc28cda198ea6ec10060738022fd1"),
        (Algorithm::Md5Sess, Qop::Auth, "6f49242af3355e7f69fc8d3fbeeeb38e"),
        (Algorithm::Md5Sess, Qop::AuthInt, "9babd0270b52ae3dc2e451b7b4d20149"),
        (Algorithm::Sha256, Qop::Auth, "390fed996cbd6cb5cb045cb12d95a7173312ffe6350b0e77b7e782081e2693e1"),
        (Algorithm::Sha256, Qop::AuthInt, "8b52c73dd99bed9dcafff4555ca404eff931c2f7dbb4d8158d38b9fa773a306f"),
        (
            Algorithm::Sha256Sess,
            Qop::Auth,
            "4022ebfb90f01a28c5481ef321e1c9d6cb08d2ae538244e9aa260bc938557890",
        ),
        (
            Algorithm::Sha256Sess,
            Qop::AuthInt,
            "a9f27dd2e9bd6434aee53b09711e2117802415387a598ac41ce936375c90d0cb",
        ),
        (
            Algorithm::Sha512_256,
            Qop::Auth,
            "7db489f18a1d06388f8a88542141528cb6034478a956541beaff815bc049b1b5",
        ),
        (
            Algorithm::Sha512_256,
            Qop::AuthInt,
            "ddf4bc317dbbc7a1ad5899701614b19436f21384bd8c98b784ea72021ecf535e",
        ),
        (
            Algorithm::Sha512_256Sess,
            Qop::Auth,
            "e9c31ffdafb31373202239180616727455f0164c6ae0d0af52f3c298c3102841",
        ),
        (
            Algorithm::Sha512_256Sess,
            Qop::AuthInt,
            "bbee228d4a8566d90f2847dacbca89cd53b72cd2fbe07fdf0fda3c35c58ce303",
        ),
    ] {
        let inputs = Inputs {
            algorithm,
            username: "bob",
            realm: "biloxi.com",
            password: "zanzibar",
            nonce: "dcd98b71",
            usage: Some(Use { qop, nonce_count: 10, cnonce: "0a4f113b" }),
            legacy: false,
            method: "INVITE",
            uri: "sip:bob@biloxi.com",
            body: b"v=0\r\n",
        };
        assert_eq!(response(&inputs), expected, "{algorithm} {qop:?}");
    }
}
