//! Step 3: licence and address book.

use super::network::Tried;
use super::sign_in::wait;
use super::{Attempt, Step, TlsFailure, codes};

/// Why the MCS gave no licence or no address book.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProvisionError {
    /// No address answered.
    #[error("the MCS ({host}) cannot be reached over HTTPS: {}", Tried(attempts))]
    Unreachable {
        /// The server.
        host: String,
        /// What was seen at each address.
        attempts: Vec<Attempt>,
    },
    /// The server is not who it should be.
    #[error("the MCS ({host}) is not trusted: {why}")]
    Tls {
        /// The server.
        host: String,
        /// Why.
        why: TlsFailure,
    },
    /// The connection broke in the middle.
    #[error("the connection to the MCS ({host}) was lost during {phase}: {why}")]
    ConnectionLost {
        /// The server.
        host: String,
        /// What was being done.
        phase: &'static str,
        /// What was seen.
        why: String,
    },
    /// The credentials that ZDial gave are rejected.
    #[error("the MCS rejects the credentials for {phase} (HTTP 401)")]
    BadCredentials {
        /// What was being done.
        phase: &'static str,
    },
    /// Unknown kind of authentication.
    #[error("the MCS asks for authentication that z5 does not offer: {offered}")]
    NoUsableChallenge {
        /// The schemes it asked for.
        offered: String,
    },
    /// There is no licence for this account.
    #[error("there is no licence for this account, says the MCS (HTTP {status}): {detail}")]
    LicenceMissing {
        /// HTTP status.
        status: u16,
        /// The server's words.
        detail: String,
    },
    /// The licence is denied.
    #[error("the licence is denied, says the MCS (HTTP {status}): {detail}")]
    LicenceDenied {
        /// HTTP status.
        status: u16,
        /// The server's words.
        detail: String,
    },
    /// All seats are taken.
    #[error("all seats of the licence are in use, says the MCS: {detail}")]
    SeatsUsed {
        /// The server's words.
        detail: String,
    },
    /// The licence has run out.
    #[error("the licence expired {ago_s} s ago (at {at_unix_s} seconds since 1970)")]
    LicenceExpired {
        /// The `exp` claim.
        at_unix_s: u64,
        /// Seconds since then.
        ago_s: u64,
    },
    /// The licence begins later.
    #[error(
        "the licence is valid only in {in_s} s (from {at_unix_s} seconds since 1970); is this machine's clock right?"
    )]
    LicenceNotYetValid {
        /// The `nbf` claim.
        at_unix_s: u64,
        /// Seconds until then.
        in_s: u64,
    },
    /// Made for another device.
    #[error("the licence is for another device than this one")]
    LicenceWrongDevice,
    /// Made for another number.
    #[error("the licence is for another number than this one")]
    LicenceWrongNumber,
    /// From another issuer.
    #[error("the licence is issued by `{seen}`, expected `{expected}`")]
    LicenceWrongIssuer {
        /// Configured.
        expected: String,
        /// In the licence.
        seen: String,
    },
    /// For another audience.
    #[error("the licence is not for `{expected}`")]
    LicenceWrongAudience {
        /// Configured.
        expected: String,
    },
    /// The signature does not match: forged or damaged.
    #[error("the signature of the licence is wrong (key `{kid}`): it is forged or damaged")]
    LicenceBadSignature {
        /// The key it names.
        kid: String,
    },
    /// Signed with a key that is not pinned.
    #[error("the licence is signed with the key `{kid}`, which is not among `licence.keys`")]
    LicenceUnknownKey {
        /// The key it names.
        kid: String,
    },
    /// Not a licence at all.
    #[error("the licence cannot be read: {why}")]
    LicenceBadDocument {
        /// What is wrong.
        why: String,
    },
    /// Too many requests.
    #[error("the MCS asks to wait{}: too many requests (HTTP 429)", wait(*retry_after_s))]
    RateLimited {
        /// Seconds to wait.
        retry_after_s: Option<u64>,
    },
    /// Under maintenance or overloaded.
    #[error("the MCS is not available for {phase}{} (HTTP {status}): {detail}", wait(*retry_after_s))]
    Unavailable {
        /// What was being done.
        phase: &'static str,
        /// HTTP status.
        status: u16,
        /// The server's words.
        detail: String,
        /// Seconds to wait.
        retry_after_s: Option<u64>,
    },
    /// The address book was refused.
    #[error("the MCS refused {phase} with HTTP {status}: {detail}")]
    Refused {
        /// What was being done.
        phase: &'static str,
        /// HTTP status.
        status: u16,
        /// The server's words.
        detail: String,
    },
    /// The reply does not have the documented form.
    #[error("the reply of the MCS to {phase} cannot be used: {field}: {why}")]
    BadReply {
        /// What was being done.
        phase: &'static str,
        /// The part.
        field: String,
        /// What is wrong with it.
        why: String,
    },
    /// Credentials would have to go where they must not.
    #[error(
        "{by} leads to `{server}`, but the credentials of the address book go only to {ours}; name the host in `contacts.servers` if it may have them"
    )]
    ForeignServer {
        /// What leads there.
        by: &'static str,
        /// Host and port.
        server: String,
        /// Where they go, for people.
        ours: String,
    },
    /// The domain has no address book.
    #[error("`{domain}` says that it has no address book over TLS (its SRV records name no server)")]
    NotOffered {
        /// The domain.
        domain: String,
    },
    /// The server of the address book has no address.
    #[error("the server of the address book, `{host}`, has no address: {why}")]
    Unresolved {
        /// The server.
        host: String,
        /// What the nameservers say.
        why: String,
    },
    /// The step took too long.
    #[error("the MCS ({host}) did not complete {phase} in {after_ms} ms")]
    TimedOut {
        /// The server.
        host: String,
        /// What was being done.
        phase: &'static str,
        /// How long was waited.
        after_ms: u64,
    },
}

codes!(ProvisionError, Step::Provision, {
    Self::Unreachable { .. } => "provision.unreachable", CheckNetwork;
    Self::Tls { why: TlsFailure::UnknownIssuer, .. } => "provision.tls-unknown-issuer", CheckSettings;
    Self::Tls { why: TlsFailure::Expired, .. } => "provision.tls-expired", AskCarrier;
    Self::Tls { why: TlsFailure::NotYetValid, .. } => "provision.tls-not-yet-valid", CheckSettings;
    Self::Tls { why: TlsFailure::WrongName, .. } => "provision.tls-wrong-name", AskCarrier;
    Self::Tls { why: TlsFailure::Revoked, .. } => "provision.tls-revoked", AskCarrier;
    Self::Tls { why: TlsFailure::BadCertificate, .. } => "provision.tls-bad-certificate", AskCarrier;
    Self::Tls { why: TlsFailure::Protocol, .. } => "provision.tls-protocol", CheckNetwork;
    Self::ConnectionLost { .. } => "provision.connection-lost", RetryNow;
    Self::BadCredentials { .. } => "provision.bad-credentials", SignInAgain;
    Self::NoUsableChallenge { .. } => "provision.no-usable-challenge", UpdateApp;
    Self::LicenceMissing { .. } => "provision.licence-missing", AskCarrier;
    Self::LicenceDenied { .. } => "provision.licence-denied", AskCarrier;
    Self::SeatsUsed { .. } => "provision.seats-used", AskCarrier;
    Self::LicenceExpired { .. } => "provision.licence-expired", AskCarrier;
    Self::LicenceNotYetValid { .. } => "provision.licence-not-yet-valid", CheckSettings;
    Self::LicenceWrongDevice => "provision.licence-wrong-device", AskCarrier;
    Self::LicenceWrongNumber => "provision.licence-wrong-number", AskCarrier;
    Self::LicenceWrongIssuer { .. } => "provision.licence-wrong-issuer", CheckSettings;
    Self::LicenceWrongAudience { .. } => "provision.licence-wrong-audience", CheckSettings;
    Self::LicenceBadSignature { .. } => "provision.licence-bad-signature", AskCarrier;
    Self::LicenceUnknownKey { .. } => "provision.licence-unknown-key", CheckSettings;
    Self::LicenceBadDocument { .. } => "provision.licence-bad-document", AskCarrier;
    Self::RateLimited { .. } => "provision.rate-limited", RetryAfter;
    Self::Unavailable { .. } => "provision.unavailable", RetryAfter;
    Self::Refused { .. } => "provision.refused", AskCarrier;
    Self::BadReply { .. } => "provision.bad-reply", AskCarrier;
    Self::ForeignServer { .. } => "provision.foreign-server", CheckSettings;
    Self::NotOffered { .. } => "provision.not-offered", AskCarrier;
    Self::Unresolved { .. } => "provision.unresolved", CheckNetwork;
    Self::TimedOut { .. } => "provision.timed-out", CheckNetwork;
});

impl ProvisionError {
    /// Seconds to wait, when the server said so.
    pub fn retry_after_s(&self) -> Option<u64> {
        if let Self::RateLimited { retry_after_s } | Self::Unavailable { retry_after_s, .. } = self {
            *retry_after_s
        } else {
            None
        }
    }
}
