//! Step 4: SIP registration.

use super::network::{Tried, before};
use super::sign_in::wait;
use super::{Attempt, Step, TlsFailure, codes};

/// Why the registrar did not accept us.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RegisterError {
    /// No address answered.
    #[error("the SIP server cannot be reached: {}", Tried(attempts))]
    Unreachable {
        /// What was seen at each address.
        attempts: Vec<Attempt>,
    },
    /// TLS was not made, or the certificate is not good.
    #[error("no TLS with the SIP server for `{host}`: {why}{}", before(tried))]
    Tls {
        /// The name that the certificate must be for.
        host: String,
        /// Why.
        why: TlsFailure,
        /// What was seen at other addresses.
        tried: Vec<Attempt>,
    },
    /// The connection broke.
    #[error("the SIP connection was lost: {why}{}", before(tried))]
    ConnectionLost {
        /// What was seen.
        why: String,
        /// What was seen at other addresses before.
        tried: Vec<Attempt>,
    },
    /// The step took too long.
    #[error("no registration in {after_ms} ms: {waiting_for}{}", before(tried))]
    TimedOut {
        /// What was waited for.
        waiting_for: &'static str,
        /// How long.
        after_ms: u64,
        /// What was seen at other addresses before.
        tried: Vec<Attempt>,
    },
    /// No challenge that we can answer.
    #[error("the registrar asks for authentication that z5 does not offer: {offered}")]
    NoUsableChallenge {
        /// What it asked for.
        offered: String,
    },
    /// The password is wrong.
    #[error("the registrar rejects the SIP credentials for realm `{realm}`")]
    CredentialsRefused {
        /// The realm.
        realm: String,
    },
    /// We may not register.
    #[error("the registrar forbids it: SIP {status} {reason}")]
    Forbidden {
        /// SIP status.
        status: u16,
        /// Its phrase.
        reason: String,
    },
    /// No such user.
    #[error("the registrar does not know this user: SIP {status} {reason}")]
    UnknownUser {
        /// SIP status.
        status: u16,
        /// Its phrase.
        reason: String,
    },
    /// Overloaded.
    #[error("the registrar is not available{}: SIP {status} {reason}{}", wait(*retry_after_s), before(tried))]
    Unavailable {
        /// SIP status.
        status: u16,
        /// Its phrase.
        reason: String,
        /// Seconds to wait.
        retry_after_s: Option<u64>,
        /// What was seen at other addresses before.
        tried: Vec<Attempt>,
    },
    /// Any other refusal.
    #[error("the registrar refuses: SIP {status} {reason}")]
    Refused {
        /// SIP status.
        status: u16,
        /// Its phrase.
        reason: String,
    },
    /// The answer does not have the form of RFC 3261.
    #[error("the registrar's answer cannot be used: {why}")]
    BadAnswer {
        /// What is wrong.
        why: String,
    },
}

codes!(RegisterError, Step::Register, {
    Self::Unreachable { .. } => "register.unreachable", CheckNetwork;
    Self::Tls { why: TlsFailure::UnknownIssuer, .. } => "register.tls-unknown-issuer", CheckSettings;
    Self::Tls { why: TlsFailure::Expired, .. } => "register.tls-expired", AskCarrier;
    Self::Tls { why: TlsFailure::NotYetValid, .. } => "register.tls-not-yet-valid", CheckSettings;
    Self::Tls { why: TlsFailure::WrongName, .. } => "register.tls-wrong-name", AskCarrier;
    Self::Tls { why: TlsFailure::Revoked, .. } => "register.tls-revoked", AskCarrier;
    Self::Tls { why: TlsFailure::BadCertificate, .. } => "register.tls-bad-certificate", AskCarrier;
    Self::Tls { why: TlsFailure::Protocol, .. } => "register.tls-protocol", CheckNetwork;
    Self::ConnectionLost { .. } => "register.connection-lost", RetryNow;
    Self::TimedOut { .. } => "register.timed-out", CheckNetwork;
    Self::NoUsableChallenge { .. } => "register.no-usable-challenge", UpdateApp;
    Self::CredentialsRefused { .. } => "register.credentials-refused", SignInAgain;
    Self::Forbidden { .. } => "register.forbidden", AskCarrier;
    Self::UnknownUser { .. } => "register.unknown-user", CheckSettings;
    Self::Unavailable { .. } => "register.unavailable", RetryAfter;
    Self::Refused { .. } => "register.refused", AskCarrier;
    Self::BadAnswer { .. } => "register.bad-answer", AskCarrier;
});

impl RegisterError {
    /// Seconds to wait, when the server said so.
    pub fn retry_after_s(&self) -> Option<u64> {
        if let Self::Unavailable { retry_after_s, .. } = self { *retry_after_s } else { None }
    }
}
