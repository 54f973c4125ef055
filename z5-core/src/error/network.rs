//! What was seen when a server was contacted, address by address.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use serde::Serialize;

/// One address that was tried.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Attempt {
    /// The address.
    pub address: SocketAddr,
    /// `tcp`, `tls` or `udp` for SIP; none for HTTPS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transport: Option<&'static str>,
    /// What happened there.
    pub outcome: AttemptOutcome,
}

/// How a try at one address ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum AttemptOutcome {
    /// The port refused the connection.
    Refused,
    /// No answer in time.
    TimedOut {
        /// How long was waited.
        after_ms: u64,
    },
    /// The network says there is no way there.
    Unreachable,
    /// The local system does not permit it (a firewall on this machine).
    NotPermitted,
    /// The configuration does not permit it (`egress.guard`).
    OutsidePolicy,
    /// The connection was made and then broken.
    Reset,
    /// TLS was not made, or the certificate is not good.
    Tls {
        /// Why.
        why: TlsFailure,
    },
    /// The server answered, with a status that sends us elsewhere (RFC 3263 section 4.3).
    Answered {
        /// The SIP status.
        status: u16,
    },
    /// Something else; the system's words.
    Failed {
        /// The words.
        why: String,
    },
}

impl AttemptOutcome {
    /// From the error of a socket.
    pub fn from_io(error: &std::io::Error, waited: Duration) -> Self {
        use std::io::ErrorKind;
        let kind = error.kind();
        if kind == ErrorKind::ConnectionRefused {
            Self::Refused
        } else if kind == ErrorKind::TimedOut {
            Self::TimedOut { after_ms: millis(waited) }
        } else if kind == ErrorKind::HostUnreachable || kind == ErrorKind::NetworkUnreachable {
            Self::Unreachable
        } else if kind == ErrorKind::PermissionDenied {
            Self::NotPermitted
        } else if kind == ErrorKind::ConnectionReset
            || kind == ErrorKind::ConnectionAborted
            || kind == ErrorKind::BrokenPipe
            || kind == ErrorKind::UnexpectedEof
        {
            Self::Reset
        } else {
            Self::Failed { why: z5_media::file::words::system(error) }
        }
    }
}

pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

impl fmt::Display for AttemptOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused => f.write_str("connection refused"),
            Self::TimedOut { after_ms } => write!(f, "no answer in {after_ms} ms"),
            Self::Unreachable => f.write_str("network unreachable"),
            Self::NotPermitted => f.write_str("not permitted by this machine"),
            Self::OutsidePolicy => f.write_str(crate::egress::OUTSIDE),
            Self::Reset => f.write_str("connection broken"),
            Self::Tls { why } => why.fmt(f),
            Self::Answered { status } => write!(f, "SIP {status}"),
            Self::Failed { why } => f.write_str(why),
        }
    }
}

impl fmt::Display for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(transport) = self.transport {
            write!(f, "{transport} ")?;
        }
        write!(f, "{}: {}", self.address, self.outcome)
    }
}

/// A list of attempts as one phrase.
pub(crate) struct Tried<'a>(pub(crate) &'a [Attempt]);

impl fmt::Display for Tried<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("no address was left to try");
        }
        for (index, attempt) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str(", ")?;
            }
            write!(f, "{attempt}")?;
        }
        Ok(())
    }
}

/// What was tried before the failure that is told; nothing when nothing was.
pub(crate) fn before(tried: &[Attempt]) -> String {
    if tried.is_empty() { String::new() } else { format!(" (tried before: {})", Tried(tried)) }
}

/// Why a TLS connection was not trusted or not made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum TlsFailure {
    /// Signed by an authority that is not believed.
    UnknownIssuer,
    /// The certificate is out of date.
    Expired,
    /// The certificate is not valid yet.
    NotYetValid,
    /// The certificate is for another name.
    WrongName,
    /// The certificate was revoked.
    Revoked,
    /// The certificate is otherwise unusable.
    BadCertificate,
    /// No common version or cipher, or the answer was not TLS.
    Protocol,
}

impl fmt::Display for TlsFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::UnknownIssuer => "the certificate is signed by an unknown issuer",
            Self::Expired => "the certificate has expired",
            Self::NotYetValid => "the certificate is not valid yet (is this machine's clock right?)",
            Self::WrongName => "the certificate is for another name",
            Self::Revoked => "the certificate was revoked",
            Self::BadCertificate => "the certificate cannot be used",
            Self::Protocol => "the server does not speak TLS 1.2 or 1.3 with us",
        })
    }
}
