//! Step 2: ZDial.

use super::network::Tried;
use super::{Attempt, Step, TlsFailure, codes};
use crate::events::NumberOffer;

/// Why ZDial did not let us in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignInError {
    /// No address answered.
    #[error("ZDial ({host}) cannot be reached: {}", Tried(attempts))]
    Unreachable {
        /// The server.
        host: String,
        /// What was seen at each address.
        attempts: Vec<Attempt>,
    },
    /// The server is not who it should be.
    #[error("ZDial ({host}) is not trusted: {why}")]
    Tls {
        /// The server.
        host: String,
        /// Why.
        why: TlsFailure,
    },
    /// The connection broke in the middle.
    #[error("the connection to ZDial ({host}) was lost during {phase}: {why}")]
    ConnectionLost {
        /// The server.
        host: String,
        /// What was being done.
        phase: &'static str,
        /// What was seen.
        why: String,
    },
    /// User name or password is wrong.
    #[error("ZDial ({host}) rejects the user name or password (HTTP 401)")]
    BadCredentials {
        /// The server.
        host: String,
    },
    /// The server asks for a kind of authentication that z5 does not have.
    #[error("ZDial ({host}) asks for authentication that z5 does not offer: {offered}")]
    NoUsableChallenge {
        /// The server.
        host: String,
        /// The schemes it asked for.
        offered: String,
    },
    /// The account is suspended.
    #[error("the account is suspended, says ZDial (HTTP {status}): {detail}")]
    AccountLocked {
        /// HTTP status.
        status: u16,
        /// The server's words.
        detail: String,
    },
    /// Several numbers and none chosen.
    #[error(
        "the account has {} numbers and none is chosen: {}; choose one with `zdial.number` or when asked",
        numbers.len(), offered(numbers)
    )]
    NumberRequired {
        /// What is on offer.
        numbers: Vec<NumberOffer>,
    },
    /// The chosen number is not one of the account's.
    #[error("the number {number} is not one of the account's: {}", offered(numbers))]
    UnknownNumber {
        /// The choice.
        number: String,
        /// What is on offer.
        numbers: Vec<NumberOffer>,
    },
    /// The number is in use elsewhere.
    #[error("the number {number} is in use on another device, says ZDial: {detail}")]
    NumberInUse {
        /// The number.
        number: String,
        /// The server's words.
        detail: String,
    },
    /// The account has no number.
    #[error("the account has no number that can be used, says ZDial")]
    NoNumbers,
    /// Too many requests.
    #[error("ZDial asks to wait{}: too many requests (HTTP 429)", wait(*retry_after_s))]
    RateLimited {
        /// Seconds to wait.
        retry_after_s: Option<u64>,
    },
    /// Under maintenance or overloaded.
    #[error("ZDial is not available{} (HTTP {status}): {detail}", wait(*retry_after_s))]
    Unavailable {
        /// HTTP status.
        status: u16,
        /// The server's words.
        detail: String,
        /// Seconds to wait.
        retry_after_s: Option<u64>,
    },
    /// Any other refusal.
    #[error("ZDial refused {phase} with HTTP {status}: {detail}")]
    Refused {
        /// What was being done.
        phase: &'static str,
        /// HTTP status.
        status: u16,
        /// The server's words.
        detail: String,
    },
    /// The step took too long.
    #[error("ZDial ({host}) did not complete {phase} in {after_ms} ms")]
    TimedOut {
        /// The server.
        host: String,
        /// What was being done.
        phase: &'static str,
        /// How long was waited.
        after_ms: u64,
    },
    /// SIP is to go over TLS, and every proxy that ZDial names is over something else.
    #[error("`sip.transport` is \"tls\", and ZDial names no SIP proxy over TLS: {}", offered.join(", "))]
    NoSecureProxy {
        /// The proxies as named.
        offered: Vec<String>,
    },
    /// The reply does not have the documented form.
    #[error("the reply of ZDial to {phase} cannot be used: {field}: {why}")]
    BadReply {
        /// What was being done.
        phase: &'static str,
        /// The member.
        field: String,
        /// What is wrong with it.
        why: String,
    },
}

codes!(SignInError, Step::SignIn, {
    Self::Unreachable { .. } => "sign-in.unreachable", CheckNetwork;
    Self::Tls { why: TlsFailure::UnknownIssuer, .. } => "sign-in.tls-unknown-issuer", CheckSettings;
    Self::Tls { why: TlsFailure::Expired, .. } => "sign-in.tls-expired", AskCarrier;
    Self::Tls { why: TlsFailure::NotYetValid, .. } => "sign-in.tls-not-yet-valid", CheckSettings;
    Self::Tls { why: TlsFailure::WrongName, .. } => "sign-in.tls-wrong-name", AskCarrier;
    Self::Tls { why: TlsFailure::Revoked, .. } => "sign-in.tls-revoked", AskCarrier;
    Self::Tls { why: TlsFailure::BadCertificate, .. } => "sign-in.tls-bad-certificate", AskCarrier;
    Self::Tls { why: TlsFailure::Protocol, .. } => "sign-in.tls-protocol", CheckNetwork;
    Self::ConnectionLost { .. } => "sign-in.connection-lost", RetryNow;
    Self::BadCredentials { .. } => "sign-in.bad-credentials", SignInAgain;
    Self::NoUsableChallenge { .. } => "sign-in.no-usable-challenge", UpdateApp;
    Self::AccountLocked { .. } => "sign-in.account-locked", AskCarrier;
    Self::NumberRequired { .. } => "sign-in.number-required", CheckSettings;
    Self::UnknownNumber { .. } => "sign-in.unknown-number", CheckSettings;
    Self::NumberInUse { .. } => "sign-in.number-in-use", AskCarrier;
    Self::NoNumbers => "sign-in.no-numbers", AskCarrier;
    Self::RateLimited { .. } => "sign-in.rate-limited", RetryAfter;
    Self::Unavailable { .. } => "sign-in.unavailable", RetryAfter;
    Self::Refused { .. } => "sign-in.refused", AskCarrier;
    Self::TimedOut { .. } => "sign-in.timed-out", CheckNetwork;
    Self::NoSecureProxy { .. } => "sign-in.no-secure-proxy", CheckSettings;
    Self::BadReply { .. } => "sign-in.bad-reply", AskCarrier;
});

impl SignInError {
    /// Seconds to wait, when the server said so.
    pub fn retry_after_s(&self) -> Option<u64> {
        if let Self::RateLimited { retry_after_s } | Self::Unavailable { retry_after_s, .. } = self {
            *retry_after_s
        } else {
            None
        }
    }
}

fn offered(numbers: &[NumberOffer]) -> String {
    numbers.iter().map(|offer| offer.number.as_str()).collect::<Vec<_>>().join(", ")
}

pub(super) fn wait(seconds: Option<u64>) -> String {
    seconds.map_or_else(String::new, |seconds| format!(" for {seconds} s"))
}
