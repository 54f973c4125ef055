//! No Debug form of a type that holds bytes of a message shows a password, an answer to a challenge, a key, a number or a
//! name: neither as text nor as a list of byte values.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail their test")]

use std::fmt::Debug;

use bytes::Bytes;
use z5_sip::auth::{Authenticator, Credentials, Verifier};
use z5_sip::flow::{Flow, FlowId};
use z5_sip::sdp::{
    Capabilities, Codec, CryptoSuite, MediaCapability, MediaKind, Origin, SdesKey, Security, make_offer,
};
use z5_sip::ua::{Effect, Input, Transport, UaConfig};
use z5_sip::wire::{
    Address, Challenge, Edit, Framer, Indexed, Limits, Message, Name, RequestBuilder, ResponseBuilder, Uri,
};

/// What may stand in no log.
const SECRETS: [&str; 6] = ["hunter2", "c0ffee11", "deadbeef", "15555550123", "Evelyn", "QUFBQUFBQUFBQUFB"];

const MESSAGE: &str = "INVITE sip:+15555550123:hunter2@example.com SIP/2.0\r\nVia: SIP/2.0/TCP h;branch=z9hG4bK1\r\n\
    From: \"Evelyn\" <sip:+15555550123@example.com>;tag=1;who=Evelyn\r\nTo: Evelyn <sip:Evelyn@example.com>\r\n\
    Call-ID: Evelyn-15555550123\r\nCSeq: 1 INVITE\r\nContact: <sip:Evelyn:hunter2@h>;x=hunter2\r\n\
    Authorization: Digest username=\"Evelyn\", realm=\"r\", nonce=\"deadbeef\", response=\"c0ffee11\"\r\n\
    P-Asserted-Identity: <tel:+15555550123>\r\nX-Secret: hunter2\r\nContent-Type: application/sdp\r\nContent-Length: 47\r\n\r\n\
    v=0\r\ns=Evelyn\r\na=crypto:1 x inline:QUFBQUFBQUFBQUFB";

fn check(what: &str, value: &impl Debug) {
    for shown in [format!("{value:?}"), format!("{value:#?}")] {
        let flat: String = shown.split_whitespace().collect::<Vec<_>>().join(" ");
        for secret in SECRETS {
            assert!(!shown.contains(secret), "{what} shows {secret}: {shown}");
            let bytes: Vec<String> = secret.bytes().take(5).map(|byte| byte.to_string()).collect();
            assert!(!flat.contains(&bytes.join(", ")), "{what} shows the bytes of {secret}: {flat}");
        }
    }
}

#[test]
fn no_debug_form_shows_a_secret() {
    let message = Message::parse_datagram(Bytes::from_static(MESSAGE.as_bytes())).unwrap();
    assert!(SECRETS.iter().all(|secret| MESSAGE.contains(secret)));
    check("a message", &message);
    check("a view", &message.view());
    check("an indexed message", &Indexed::parse_datagram(MESSAGE.as_bytes(), &Limits::default()).unwrap());
    check("a start line", &message.start());
    check("a Request-URI", &message.request_uri());
    check("a From", &message.from());
    check("a To", &message.to());
    check("a Contact", &message.contacts().collect::<Vec<_>>());
    check("an identity", &message.addresses(Name::PAssertedIdentity).collect::<Vec<_>>());
    check("parameters", &message.header_params(Name::From));
    check("credentials on the wire", &Challenge::parse(message.header(Name::Authorization).unwrap()));
    check("an edit", &Edit::new(&message).set(Name::Authorization, "Digest response=c0ffee11"));
    let to = Address::named("Evelyn", &Uri::parse("sip:Evelyn@h").unwrap());
    check("an address", &to);
    check("a URI", &Uri::parse("sip:Evelyn:hunter2@h;x=c0ffee11").unwrap());
    check("a number", &Uri::parse("tel:+15555550123").unwrap());
    check(
        "a request",
        &RequestBuilder::new(z5_sip::wire::Method::Invite, "sip:Evelyn@h").to(&to).body("x", "hunter2"),
    );
    check("a response", &ResponseBuilder::to_request(&message, 200, "").contact(&to).body("x", "hunter2"));

    let mut framer = Framer::new(Limits::default());
    framer.push(&MESSAGE.as_bytes()[..MESSAGE.len() - 20]);
    assert!(framer.next().is_none());
    check("a framer", &framer);
    #[expect(clippy::disallowed_methods, reason = "a test needs one instant to count from")]
    let now = std::time::Instant::now();
    let address = "127.0.0.1:5060".parse().unwrap();
    let mut flow = Flow::new(Transport::Tcp, address, address, None, now);
    flow.on_bytes(&MESSAGE.as_bytes()[..200]);
    check("a flow", &flow);

    let credentials = Credentials::new("Evelyn", "hunter2");
    check("credentials", &credentials);
    check("an authenticator", &Authenticator::new(vec![credentials.clone()]));
    check("a verifier", &Verifier::new("r"));
    let mut config = UaConfig::new(Uri::parse("sip:h").unwrap(), Uri::parse("sip:h").unwrap());
    config.credentials = vec![credentials];
    check("a configuration", &config);
    check("an input", &Input::Received { flow: FlowId(1), bytes: MESSAGE.as_bytes() });
    check("an effect", &Effect::Send { flow: FlowId(1), bytes: Bytes::from_static(MESSAGE.as_bytes()) });

    let key = SdesKey::new(1, CryptoSuite::AesCm128HmacSha1_80, &[b'A'; 30]).unwrap();
    check("a key", &key);
    let security = Security::SdesRequired(vec![key]);
    let audio =
        MediaCapability { security, ..MediaCapability::new(MediaKind::Audio, 4000, vec![Codec::pcmu()]) };
    let capabilities = Capabilities { address: [127, 0, 0, 1].into(), media: vec![audio] };
    check("capabilities", &capabilities);
    check("a description", &make_offer(&capabilities, Origin { id: 1, version: 1 }));
}
