//! Does the server know the password too? Its Authentication-Info says so with `rspauth` (RFC 7616 section 3.5).
//!
//! A server need not prove it; one that tries and fails is not the one that the credentials are for.

use subtle::ConstantTimeEq;

use super::Credentials;
use super::digest::{self, Algorithm, Inputs, Qop, Use};
use crate::wire::{AuthParams, Challenge};

/// What an answer proves of the server that sent it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum ServerProof {
    /// Nothing: no credentials went out, or the answer says nothing about them.
    #[default]
    None,
    /// The server knows the password.
    Proven,
    /// The server tried and failed: it does not know the password, or someone changed its answer.
    Wrong,
}

/// Judges the `rspauth` in `info` against the credentials `used` in the request and the body of the answer.
pub(super) fn judge(
    own: &Credentials,
    used: &Challenge<'_>,
    info: AuthParams<'_>,
    body: &[u8],
) -> ServerProof {
    let Some(given) = info.get("rspauth") else { return ServerProof::None };
    match expected(own, used, info, body) {
        Some(expected) if bool::from(expected.as_bytes().ct_eq(given.to_ascii_lowercase().as_bytes())) => {
            ServerProof::Proven
        }
        Some(_) | None => ServerProof::Wrong,
    }
}

/// `None` when what the answer repeats of the request is not what the request said.
fn expected(own: &Credentials, used: &Challenge<'_>, info: AuthParams<'_>, body: &[u8]) -> Option<String> {
    let (realm, nonce, uri) = (used.param("realm")?, used.param("nonce")?, used.param("uri")?);
    let algorithm = match used.param("algorithm") {
        None => Algorithm::Md5,
        Some(token) => Algorithm::from_token(&token)?,
    };
    let qop = used.param("qop").and_then(|token| Qop::from_token(&token));
    let cnonce = used.param("cnonce");
    let count = used.param("nc").and_then(|count| u32::from_str_radix(&count, 16).ok());
    let differs = |name: &str, ours: Option<&str>| {
        info.get(name).is_some_and(|theirs| ours.is_none_or(|ours| !theirs.eq_ignore_ascii_case(ours)))
    };
    if info.get("cnonce").is_some_and(|theirs| cnonce.as_deref() != Some(&*theirs))
        || differs("nc", used.param("nc").as_deref())
    {
        return None;
    }
    // The server says which protection its answer has; without a word it is that of the request.
    let qop = match info.get("qop") {
        Some(token) => Some(Qop::from_token(&token)?),
        None => qop,
    };
    let usage = cnonce.as_deref().map(|cnonce| Use {
        qop: qop.unwrap_or(Qop::Auth),
        nonce_count: count.unwrap_or(1),
        cnonce,
    });
    Some(digest::response(&Inputs {
        algorithm,
        username: own.username(),
        realm: &realm,
        password: own.password(),
        nonce: &nonce,
        usage,
        legacy: qop.is_none(),
        method: "",
        uri: &uri,
        body,
    }))
}
