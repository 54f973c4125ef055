//! Licences good and bad, with the key pair of RFC 8037 appendix A.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{DecodingKey, EncodingKey, Header};
use serde_json::{Value, json};

use super::*;

const DEVICE: &str = "00000000-0000-4000-8000-000000000001";
const NOW: u64 = 1_800_000_000;
const X: &str = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
const D: &str = "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A";
/// PKCS #8 of an Ed25519 key up to its 32 bytes (RFC 8410 section 7).
const PKCS8: [u8; 16] = [0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];

/// Signs claims; shared with the machine's tests.
pub(crate) fn sign(header: &Header, claims: &Value) -> String {
    let der = [PKCS8.as_slice(), &URL_SAFE_NO_PAD.decode(D).unwrap()].concat();
    jsonwebtoken::encode(header, claims, &EncodingKey::from_ed_der(&der)).unwrap()
}

pub(crate) fn header() -> Header {
    let mut header = Header::new(Algorithm::EdDSA);
    header.typ = Some("z5-licence+jwt".into());
    header.kid = Some("k1".into());
    header
}

pub(crate) fn claims(now: u64, device: &str) -> Value {
    json!({
        "iss": "mcs", "aud": "z5", "sub": "+15555550101", "jti": "1", "iat": now, "nbf": now - 10, "exp": now + 1000,
        "cnf": {"instanceId": device}, "features": ["audio", "text"], "max_calls": 2,
    })
}

fn trust() -> McsPlan {
    McsPlan {
        host: "mcs.test".into(),
        https_port: 443,
        issuer: "mcs".into(),
        audience: "z5".into(),
        keys: BTreeMap::from([("k1".to_owned(), DecodingKey::from_ed_components(X).unwrap())]),
    }
}

const NUMBER: &str = "+1 555 555 0101";

/// This time of the wall clock, now.
fn at(unix_s: u64) -> (WallAnchor, Instant) {
    let now = crate::clock::now();
    (WallAnchor { at: now, unix_s }, now)
}

fn code(token: &str) -> &'static str {
    Licence::verify(token, &trust(), DEVICE, NUMBER, at(NOW)).map_or_else(|error| error.code(), |_| "valid")
}

fn with(member: &str, value: Value) -> &'static str {
    let mut claims = claims(NOW, DEVICE);
    claims[member] = value;
    code(&sign(&header(), &claims))
}

#[test]
fn a_good_licence_is_believed() {
    let token = sign(&header(), &claims(NOW, DEVICE));
    let licence = Licence::verify(&token, &trust(), DEVICE, NUMBER, at(NOW)).unwrap();
    assert!(licence.allows("text") && !licence.allows("video"));
    assert_eq!(licence.max_calls(), 2);
    assert_eq!(licence.report(NOW).expires_in_s, 1000);
    let at = |seconds| licence.validity(at(NOW).0, crate::clock::now() + Duration::from_secs(seconds));
    assert_eq!((at(1058), at(1061)), (Validity::Valid, Validity::Over));
}

#[test]
fn every_claim_is_judged() {
    assert_eq!(with("iss", json!("other")), "provision.licence-wrong-issuer");
    assert_eq!(with("aud", json!("other")), "provision.licence-wrong-audience");
    assert_eq!(with("aud", json!(["other", "z5"])), "valid");
    assert_eq!(with("cnf", json!({"instanceId": "other"})), "provision.licence-wrong-device");
    assert_eq!(with("cnf", json!({})), "provision.licence-bad-document");
    assert_eq!(with("sub", json!("+15555550102")), "provision.licence-wrong-number");
    assert_eq!(with("sub", json!(null)), "provision.licence-bad-document");
    assert_eq!(with("iat", json!(NOW + 61)), "provision.licence-not-yet-valid");
    assert_eq!(with("max_bitrate", json!("much")), "provision.licence-bad-document");
    assert_eq!(with("exp", json!(NOW - 60)), "provision.licence-expired");
    assert_eq!(with("exp", json!(NOW - 59)), "valid");
    assert_eq!(with("nbf", json!(NOW + 61)), "provision.licence-not-yet-valid");
    assert_eq!(with("nbf", json!(NOW + 60)), "valid");
    assert_eq!(with("exp", json!("soon")), "provision.licence-bad-document");
}

#[test]
fn the_header_is_judged_first() {
    let good = claims(NOW, DEVICE);
    let mut header = header();
    header.typ = Some("JWT".into());
    assert_eq!(code(&sign(&header, &good)), "provision.licence-bad-document");
    header.typ = Some("application/z5-licence+jwt".into());
    assert_eq!(code(&sign(&header, &good)), "valid");
    header.kid = Some("k2".into());
    assert_eq!(code(&sign(&header, &good)), "provision.licence-unknown-key");
    header.kid = None;
    assert_eq!(code(&sign(&header, &good)), "provision.licence-unknown-key");
}

#[test]
fn what_is_forged_or_broken_is_refused() {
    let token = sign(&header(), &claims(NOW, DEVICE));
    let mut parts: Vec<&str> = token.split('.').collect();
    let forged =
        URL_SAFE_NO_PAD.encode(claims(NOW, DEVICE).to_string().replace("\"max_calls\":2", "\"max_calls\":9"));
    parts[1] = &forged;
    assert_eq!(code(&parts.join(".")), "provision.licence-bad-signature");
    // RFC 8725 section 3.1: neither "none" nor a key used with another algorithm.
    let none = URL_SAFE_NO_PAD.encode(r#"{"alg":"none","typ":"z5-licence+jwt","kid":"k1"}"#);
    assert_eq!(code(&format!("{none}.{}.", parts[1])), "provision.licence-bad-document");
    let mac = URL_SAFE_NO_PAD.encode(r#"{"alg":"HS256","typ":"z5-licence+jwt","kid":"k1"}"#);
    assert_eq!(code(&format!("{mac}.{}.{}", parts[1], parts[2])), "provision.licence-bad-document");
    for broken in ["", ".", "..", "a.b.c", "eyJ"] {
        assert_eq!(code(broken), "provision.licence-bad-document", "{broken:?}");
    }
}

#[test]
fn the_grace_follows_the_end_and_a_clock_set_back_changes_neither() {
    let mut claims = claims(NOW, DEVICE);
    claims["grace_s"] = json!(500);
    claims["refresh_after"] = json!(NOW + 600);
    let (wall, now) = at(NOW);
    let licence = Licence::verify(&sign(&header(), &claims), &trust(), DEVICE, NUMBER, (wall, now)).unwrap();
    let after = |seconds| now + Duration::from_secs(seconds);
    let set_back = WallAnchor { at: now, unix_s: NOW - 86_400 };
    for wall in [wall, set_back] {
        assert_eq!(licence.validity(wall, after(1059)), Validity::Valid);
        assert_eq!(licence.validity(wall, after(1060)), Validity::Grace);
        assert_eq!(licence.validity(wall, after(1560)), Validity::Over);
        assert_eq!(licence.refresh_at(wall, now), after(600));
    }
    let set_forward = WallAnchor { at: now, unix_s: NOW + 86_400 };
    assert_eq!(licence.validity(set_forward, now), Validity::Over);
    assert_eq!(licence.validity(wall, now), Validity::Valid, "and right again when the clock is");
}
