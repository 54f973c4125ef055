//! Licences: JSON Web Signatures by Ed25519 (RFC 7515, RFC 8037) with the claims of docs/wire/licence.md.
//!
//! The key pair is made at start and lives as long as the carrier. Faults make every licence wrong in one exact way.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State as Shared;
use axum::http::StatusCode;
use axum::{Extension, Json};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use rcgen::{KeyPair, PKCS_ED25519};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Mcs, SipUser};
use crate::account::Number;
use crate::fault::{At, Fault};
use crate::http::Here;
use crate::http::problem::Problem;
use crate::recorder::Service;
use crate::state::State;

/// The `kid` of the carrier's key.
const KEY_ID: &str = "mock-1";
/// The `typ` of a licence; anything else must be refused (RFC 8725 section 3.11).
const TYPE: &str = "z5-licence+jwt";
/// The audience a client checks for.
pub(crate) const AUDIENCE: &str = "z5";
const DAY_SECONDS: u64 = 86_400;
/// How long a licence lasts that is made short on purpose, for clients that let clocks differ by a minute (RFC 7519 section
/// 4.1.4: "usually no more than a few minutes").
const SHORT_SECONDS: u64 = 4;
const LEEWAY_SECONDS: u64 = 60;

/// What licences allow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LicenceOptions {
    /// The `features` claim.
    pub features: Vec<String>,
    /// Calls at the same time.
    pub max_calls: u32,
    /// Bits per second, all media of a call together.
    pub max_bitrate: u64,
    /// From issue to `exp`.
    pub lifetime: Duration,
    /// How long past `exp` a licence may be used when the server cannot be reached.
    pub grace: Duration,
    /// From issue to `refresh_after`.
    pub refresh_after: Duration,
}

impl Default for LicenceOptions {
    fn default() -> Self {
        Self {
            features: ["audio", "video", "text", "record"].map(str::to_owned).to_vec(),
            max_calls: 2,
            max_bitrate: 4_000_000,
            lifetime: Duration::from_secs(7 * DAY_SECONDS),
            grace: Duration::from_secs(DAY_SECONDS),
            refresh_after: Duration::from_secs(DAY_SECONDS),
        }
    }
}

/// The public half of the carrier's licence key, as a client pins it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LicenceKey {
    /// The key's name in a licence's header.
    pub kid: String,
    /// The Ed25519 public key, base64url without padding (RFC 8037 `x`).
    pub x: String,
}

/// Why the signer could not be made.
#[derive(Debug, thiserror::Error)]
#[error("making the licence key: {0}")]
pub struct LicenceKeyError(#[from] rcgen::Error);

pub(crate) struct Signer {
    options: LicenceOptions,
    issuer: String,
    public: LicenceKey,
    key: EncodingKey,
    foreign: EncodingKey,
}

#[derive(Deserialize)]
pub(super) struct Application {
    #[serde(rename = "instanceId")]
    instance_id: String,
    #[serde(rename = "phone-number")]
    phone_number: String,
}

impl Signer {
    pub(crate) fn new(options: LicenceOptions, mcs: &str) -> Result<Self, LicenceKeyError> {
        let pair = KeyPair::generate_for(&PKCS_ED25519)?;
        let foreign = KeyPair::generate_for(&PKCS_ED25519)?;
        Ok(Self {
            options,
            issuer: format!("https://{mcs}"),
            public: LicenceKey { kid: KEY_ID.to_owned(), x: URL_SAFE_NO_PAD.encode(pair.public_key_raw()) },
            key: EncodingKey::from_ed_der(pair.serialized_der()),
            foreign: EncodingKey::from_ed_der(foreign.serialized_der()),
        })
    }

    pub(crate) fn public(&self) -> &LicenceKey {
        &self.public
    }

    pub(crate) fn issuer(&self) -> &str {
        &self.issuer
    }

    fn sign(
        &self,
        (faults, now): (At<'_>, u64),
        id: String,
        phone_number: &str,
        instance_id: &str,
    ) -> Option<String> {
        let claims = self.claims((faults, now), id, phone_number, instance_id);
        if faults.strikes(Fault::LicenceUnsigned) {
            let header = json!({ "alg": "none", "typ": TYPE, "kid": KEY_ID });
            let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
            return Some(format!("{}.{}.", part(&header), part(&claims)));
        }
        let mut header = Header::new(Algorithm::EdDSA);
        header.typ = Some(TYPE.to_owned());
        header.kid = Some(KEY_ID.to_owned());
        let mut key = &self.key;
        if faults.strikes(Fault::LicenceForged) {
            key = &self.foreign;
        }
        if faults.strikes(Fault::LicenceForeignKey) {
            header.kid = Some("another-key".to_owned());
            key = &self.foreign;
        }
        jsonwebtoken::encode(&header, &claims, key).ok()
    }

    fn claims(
        &self,
        (faults, now): (At<'_>, u64),
        id: String,
        phone_number: &str,
        instance_id: &str,
    ) -> Value {
        let options = &self.options;
        let strikes = |fault| faults.strikes(fault);

        let (mut issued, mut not_before) = (now, now);
        if strikes(Fault::LicenceExpired) {
            // Past its grace too, so that nothing makes it usable.
            issued = now.saturating_sub(options.lifetime.as_secs() + options.grace.as_secs() + DAY_SECONDS);
            not_before = issued;
        } else if strikes(Fault::LicenceNotYetValid) {
            not_before = now + DAY_SECONDS;
        }
        let audience = if strikes(Fault::LicenceWrongAudience) { "another-product" } else { AUDIENCE };
        let issuer = if strikes(Fault::LicenceWrongIssuer) {
            "https://another-carrier.test"
        } else {
            self.issuer.as_str()
        };
        let device = if strikes(Fault::LicenceWrongDevice) {
            "00000000-0000-4000-8000-000000000000"
        } else {
            instance_id
        };
        let mut expires = issued + options.lifetime.as_secs();
        let mut refresh_after = issued + options.refresh_after.as_secs();
        let mut grace = options.grace.as_secs();
        if strikes(Fault::LicenceShort) {
            let end = (now + SHORT_SECONDS).saturating_sub(LEEWAY_SECONDS);
            (expires, refresh_after, grace) = (end, end, 0);
        }
        let features = if strikes(Fault::LicenceNoFeatures) { &[][..] } else { &options.features };
        let max_calls = if strikes(Fault::LicenceNoCalls) { 0 } else { options.max_calls };
        let subject = if strikes(Fault::LicenceWrongNumber) { "+15555550000" } else { phone_number };
        json!({
            "iss": issuer,
            "aud": audience,
            "sub": subject,
            "jti": id,
            "iat": issued,
            "nbf": not_before,
            "exp": expires,
            "cnf": { "instanceId": device },
            "features": features,
            "max_calls": max_calls,
            "max_bitrate": options.max_bitrate,
            "grace_s": grace,
            "refresh_after": refresh_after,
        })
    }
}

pub(super) async fn issue(
    Shared(mcs): Shared<Arc<Mcs>>,
    Extension(SipUser(user)): Extension<SipUser>,
    Extension(Here(here)): Extension<Here>,
    body: axum::body::Bytes,
) -> Result<Json<Value>, Box<Problem>> {
    let state: &State = &mcs.state;
    let faults = state.faults.at(here);
    let application: Application = serde_json::from_slice(&body).map_err(|error| {
        let problem = Problem::new(StatusCode::BAD_REQUEST, "bad-request", "The request is not complete");
        Box::new(problem.detail(error.to_string()))
    })?;
    let refusals = [
        (Fault::LicenceMissing, StatusCode::NOT_FOUND, "no-licence", "There is no licence for this number"),
        (Fault::LicenceDenied, StatusCode::FORBIDDEN, "licence-denied", "The licence is denied"),
        (Fault::SeatsUsed, StatusCode::CONFLICT, "seats-used", "Every seat of the licence is used"),
    ];
    for (fault, status, code, title) in refusals {
        if faults.strikes(fault) {
            return Err(Box::new(Problem::new(status, code, title)));
        }
    }
    let belongs = |number: &Number| number.sip_user == user && number.e164 == application.phone_number;
    if !state.accounts.iter().flat_map(|account| account.numbers()).any(belongs) {
        let problem =
            Problem::new(StatusCode::NOT_FOUND, "no-licence", "There is no licence for this number");
        return Err(Box::new(problem.detail("the number is not that of the credentials")));
    }
    if faults.strikes(Fault::MissingMember(Service::Mcs)) {
        return Ok(Json(json!({})));
    }
    let signed = state.signer.sign(
        (faults, state.clock.unix_seconds()),
        state.dice.token(),
        &application.phone_number,
        &application.instance_id,
    );
    let licence = signed.ok_or_else(|| {
        Box::new(Problem::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "signing-failed",
            "The licence could not be signed",
        ))
    })?;
    let mut reply = json!({ "license": licence });
    if let (Some(members), Some(policy)) = (reply.as_object_mut(), state.policy.member()) {
        members.insert("policy".to_owned(), policy);
    }
    Ok(Json(reply))
}
