//! The licence: a JWS signed with Ed25519, verified offline against pinned keys (RFC 7519, RFC 8037, RFC 8725).
//!
//! Verified here: algorithm (EdDSA and nothing else), `typ`, `kid` among the pinned keys, signature, `iss`, `aud`, `sub`, `iat`, `nbf`, `exp`
//! and the device (`cnf.instanceId`). Emergency calls never ask for a licence; that rule stands with the calls.

use std::time::{Duration, Instant};

use jsonwebtoken::{Algorithm, Validation};
use serde::Deserialize;

use crate::clock::WallAnchor;
use crate::error::ProvisionError;
use crate::events::LicenceReport;
use crate::machine::plan::McsPlan;

/// The `typ` of a licence (RFC 8725 section 3.11: a token of another kind is no licence).
const TYPE: &str = "z5-licence+jwt";
/// How far two clocks may be apart.
const LEEWAY_S: u64 = 60;
/// Calls at once when the licence does not say.
const DEFAULT_MAX_CALLS: u32 = 1;

/// A verified licence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Licence {
    features: Vec<String>,
    max_calls: u32,
    max_bitrate: Option<u64>,
    expires_unix_s: u64,
    grace_s: u64,
    refresh_unix_s: u64,
    kid: String,
    /// When the server said that it was issued, tied to when it came: our clock is never behind that.
    issued: WallAnchor,
}

/// Whether a licence carries new calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Validity {
    /// Before `exp`.
    Valid,
    /// After `exp`, within the grace that is signed in it.
    Grace,
    /// Over.
    Over,
}

#[derive(Deserialize)]
struct Claims {
    iss: String,
    aud: Audience,
    sub: String,
    iat: u64,
    nbf: Option<u64>,
    exp: u64,
    cnf: Confirmation,
    #[serde(default)]
    features: Vec<String>,
    max_calls: Option<u32>,
    max_bitrate: Option<u64>,
    #[serde(default)]
    grace_s: u64,
    refresh_after: Option<u64>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Several(Vec<String>),
}

#[derive(Deserialize)]
struct Confirmation {
    #[serde(rename = "instanceId")]
    instance_id: String,
}

impl Licence {
    /// Verifies a token for this device and number at this time.
    pub(crate) fn verify(
        token: &str,
        trust: &McsPlan,
        instance_id: &str,
        number: &str,
        (wall, now): (WallAnchor, Instant),
    ) -> Result<Self, ProvisionError> {
        let licence = Self::read(token, trust, instance_id, number, (wall, now))?;
        let (at_unix_s, now_unix_s) = (licence.expires_unix_s, wall.unix_s(now));
        if at_unix_s.saturating_add(LEEWAY_S) <= now_unix_s {
            return Err(ProvisionError::LicenceExpired { at_unix_s, ago_s: now_unix_s - at_unix_s });
        }
        Ok(licence)
    }

    /// The same for a token that was kept since another run, whose grace may count. Its time goes on from the latest that is known,
    /// `wall`, so that a clock that is set back later changes nothing.
    pub(crate) fn recall(
        token: &str,
        trust: &McsPlan,
        instance_id: &str,
        number: &str,
        (wall, now): (WallAnchor, Instant),
    ) -> Result<Self, ProvisionError> {
        let mut licence = Self::read(token, trust, instance_id, number, (wall, now))?;
        licence.issued = WallAnchor { at: now, unix_s: licence.issued.unix_s.max(wall.unix_s(now)) };
        Ok(licence)
    }

    /// Everything but whether it is over.
    fn read(
        token: &str,
        trust: &McsPlan,
        instance_id: &str,
        number: &str,
        (wall, now): (WallAnchor, Instant),
    ) -> Result<Self, ProvisionError> {
        let now_unix_s = wall.unix_s(now);
        let bad = |why: String| ProvisionError::LicenceBadDocument { why };
        let header = jsonwebtoken::decode_header(token).map_err(|error| bad(error.to_string()))?;
        if header.alg != Algorithm::EdDSA {
            return Err(bad(format!("its algorithm is {:?}, not EdDSA", header.alg)));
        }
        let kind = header.typ.unwrap_or_default();
        let kind = kind.strip_prefix("application/").unwrap_or(&kind);
        if !kind.eq_ignore_ascii_case(TYPE) {
            return Err(bad(format!("its type is `{kind}`, not `{TYPE}`")));
        }
        let kid = header.kid.unwrap_or_default();
        let key =
            trust.keys.get(&kid).ok_or_else(|| ProvisionError::LicenceUnknownKey { kid: kid.clone() })?;

        // Times, issuer and audience are judged below, with exact errors and with the time that was handed in.
        let mut validation = Validation::new(Algorithm::EdDSA);
        validation.validate_exp = false;
        validation.validate_nbf = false;
        validation.validate_aud = false;
        validation.required_spec_claims.clear();
        let claims = jsonwebtoken::decode::<Claims>(token, key, &validation)
            .map_err(|error| {
                if matches!(error.kind(), jsonwebtoken::errors::ErrorKind::InvalidSignature) {
                    ProvisionError::LicenceBadSignature { kid: kid.clone() }
                } else {
                    bad(error.to_string())
                }
            })?
            .claims;

        if claims.iss != trust.issuer {
            return Err(ProvisionError::LicenceWrongIssuer {
                expected: trust.issuer.clone(),
                seen: claims.iss,
            });
        }
        let for_us = match &claims.aud {
            Audience::One(one) => *one == trust.audience,
            Audience::Several(all) => all.contains(&trust.audience),
        };
        if !for_us {
            return Err(ProvisionError::LicenceWrongAudience { expected: trust.audience.clone() });
        }
        if !claims.cnf.instance_id.eq_ignore_ascii_case(instance_id) {
            return Err(ProvisionError::LicenceWrongDevice);
        }
        if !same_digits(&claims.sub, number) {
            return Err(ProvisionError::LicenceWrongNumber);
        }
        let begins = claims.nbf.unwrap_or(claims.iat).max(claims.iat);
        if let Some(nbf) = Some(begins).filter(|nbf| *nbf > now_unix_s.saturating_add(LEEWAY_S)) {
            return Err(ProvisionError::LicenceNotYetValid { at_unix_s: nbf, in_s: nbf - now_unix_s });
        }
        Ok(Self {
            features: claims.features,
            max_calls: claims.max_calls.unwrap_or(DEFAULT_MAX_CALLS),
            max_bitrate: claims.max_bitrate,
            expires_unix_s: claims.exp,
            grace_s: claims.grace_s,
            // Without a word: when three quarters of its life are over.
            refresh_unix_s: claims
                .refresh_after
                .unwrap_or_else(|| claims.iat + claims.exp.saturating_sub(claims.iat) / 4 * 3),
            kid,
            issued: WallAnchor { at: now, unix_s: claims.iat },
        })
    }

    /// Whether a feature is included.
    pub fn allows(&self, feature: &str) -> bool {
        self.features.iter().any(|own| own == feature)
    }

    /// Calls at once.
    pub const fn max_calls(&self) -> u32 {
        self.max_calls
    }

    /// Bits per second, all media of a call together.
    pub const fn max_bitrate(&self) -> Option<u64> {
        self.max_bitrate
    }

    /// Seconds since 1970 as they count for this licence: what this machine's clock says, but not less than the server's time
    /// at its issue and what has passed since. A clock that is set back does not make it last longer.
    pub(crate) fn clock(&self, wall: WallAnchor, now: Instant) -> u64 {
        wall.unix_s(now).max(self.issued.unix_s(now))
    }

    /// Whether it carries new calls.
    pub(crate) fn validity(&self, wall: WallAnchor, now: Instant) -> Validity {
        let (unix_s, over) = (self.clock(wall, now), self.expires_unix_s.saturating_add(LEEWAY_S));
        if unix_s < over {
            Validity::Valid
        } else if unix_s < over.saturating_add(self.grace_s) {
            Validity::Grace
        } else {
            Validity::Over
        }
    }

    /// When a new one is to be asked for.
    pub(crate) fn refresh_at(&self, wall: WallAnchor, now: Instant) -> Instant {
        now + Duration::from_secs(self.refresh_unix_s.saturating_sub(self.clock(wall, now)))
    }

    /// What it says, for people.
    pub fn report(&self, now_unix_s: u64) -> LicenceReport {
        LicenceReport {
            features: self.features.clone(),
            max_calls: self.max_calls,
            expires_unix_s: self.expires_unix_s,
            expires_in_s: self.expires_unix_s.saturating_sub(now_unix_s),
            grace_s: self.grace_s,
            max_bitrate: self.max_bitrate,
            kid: self.kid.clone(),
        }
    }
}

/// A number is the same whatever stands between its digits.
fn same_digits(a: &str, b: &str) -> bool {
    let digits = |text: &str| text.chars().filter(char::is_ascii_digit).collect::<String>();
    digits(a) == digits(b)
}

#[cfg(test)]
pub(crate) mod tests;
