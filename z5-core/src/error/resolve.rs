//! Step 1: names.

use std::net::SocketAddr;

use super::{Step, codes};

/// Why a name has no address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ResolveError {
    /// Not a host name at all.
    #[error("`{name}` is not a host name")]
    InvalidName {
        /// As configured.
        name: String,
    },
    /// The nameserver says that it does not exist.
    #[error("the name `{name}` does not exist, says the nameserver {server}")]
    NameNotFound {
        /// The name.
        name: String,
        /// Who said so.
        server: SocketAddr,
    },
    /// It exists without an address.
    #[error("the name `{name}` has no address (neither A nor AAAA), says the nameserver {server}")]
    NoRecords {
        /// The name.
        name: String,
        /// Who said so.
        server: SocketAddr,
    },
    /// The nameservers failed at it.
    #[error("the nameservers could not answer for `{name}`: {}", tried(servers))]
    ServerFailed {
        /// The name.
        name: String,
        /// What each said last.
        servers: Vec<(SocketAddr, String)>,
    },
    /// The nameservers refuse to answer.
    #[error("the nameservers refuse to answer for `{name}`: {}", tried(servers))]
    Refused {
        /// The name.
        name: String,
        /// What each said last.
        servers: Vec<(SocketAddr, String)>,
    },
    /// Nobody answered in time.
    #[error("no answer for `{name}` in {after_ms} ms over UDP or TCP from {}", list(servers))]
    TimedOut {
        /// The name.
        name: String,
        /// How long was waited.
        after_ms: u64,
        /// Who was asked.
        servers: Vec<SocketAddr>,
    },
    /// Port 53 is closed for us on every nameserver.
    #[error("no nameserver could be reached for `{name}`: {}", tried(servers))]
    Blocked {
        /// The name.
        name: String,
        /// What was seen at each.
        servers: Vec<(SocketAddr, String)>,
    },
    /// Its SRV records say that there is no SIP service (a target of `.`, RFC 2782).
    #[error("`{name}` says in its SRV records that it offers no SIP service")]
    NoSipService {
        /// The domain.
        name: String,
    },
    /// There is nobody to ask.
    #[error("no nameserver to ask for `{name}`: none is configured and the system has none")]
    NoNameservers {
        /// The name.
        name: String,
    },
}

codes!(ResolveError, Step::Resolve, {
    Self::InvalidName { .. } => "resolve.invalid-name", CheckSettings;
    Self::NameNotFound { .. } => "resolve.name-not-found", CheckSettings;
    Self::NoRecords { .. } => "resolve.no-records", AskCarrier;
    Self::NoSipService { .. } => "resolve.no-sip-service", CheckSettings;
    Self::ServerFailed { .. } => "resolve.server-failed", RetryAfter;
    Self::Refused { .. } => "resolve.refused", CheckSettings;
    Self::TimedOut { .. } => "resolve.timed-out", CheckNetwork;
    Self::Blocked { .. } => "resolve.blocked", CheckNetwork;
    Self::NoNameservers { .. } => "resolve.no-nameservers", CheckSettings;
});

fn tried(servers: &[(SocketAddr, String)]) -> String {
    servers.iter().map(|(server, said)| format!("{server}: {said}")).collect::<Vec<_>>().join(", ")
}

fn list(servers: &[SocketAddr]) -> String {
    servers.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
