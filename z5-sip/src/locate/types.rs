//! What goes into a search for servers and what comes out of it.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use crate::wire::{Host, Transport, UriRef};

/// What is to be reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Destination {
    pub(super) host: Place,
    /// What a certificate must be for.
    pub(super) name: String,
    pub(super) port: Option<u16>,
    pub(super) transport: Option<Transport>,
    pub(super) secure: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Address(IpAddr),
    Name(String),
}

impl Place {
    fn of(host: &str) -> Self {
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        bare.parse().map_or_else(|_| Self::Name(canonical(host)), Self::Address)
    }
}

/// A name without letter case and without the dot of the root.
pub(super) fn canonical(name: &str) -> String {
    name.trim_end_matches('.').to_ascii_lowercase()
}

impl Destination {
    /// A domain or an address; a port and a transport where they are given.
    #[must_use]
    pub fn new(host: &str, port: Option<u16>, transport: Option<Transport>) -> Self {
        let host = Place::of(host);
        let name = match &host {
            Place::Address(address) => address.to_string(),
            Place::Name(name) => name.clone(),
        };
        Self { host, name, port, transport, secure: false }
    }

    /// The target of a `sip` or `sips` URI: its `maddr`, else its host (RFC 3263 section 4).
    ///
    /// # Errors
    /// [`LocateError::NoHost`] for any other URI, [`LocateError::Unsupported`] for a transport that nobody knows.
    pub fn of(uri: UriRef<'_>) -> Result<Self, LocateError> {
        let host = uri.host().filter(|_| uri.is_sip()).ok_or(LocateError::NoHost)?;
        let text = match host {
            Host::Name(name) => name.to_owned(),
            Host::V4(address) => address.to_string(),
            Host::V6(address) => address.to_string(),
        };
        let transport = match uri.param("transport") {
            None => None,
            Some(token) => Some(
                Transport::from_token(token)
                    .ok_or_else(|| LocateError::Unsupported { transport: token.to_ascii_lowercase() })?,
            ),
        };
        let mut destination = Self::new(&text, uri.port(), transport);
        destination.secure = uri.scheme_text().eq_ignore_ascii_case("sips");
        if let Some(maddr) = uri.param("maddr") {
            destination.host = Place::of(maddr);
        }
        Ok(destination)
    }

    /// The domain or address that was given; what a certificate must be for.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Only ever over TLS, as a `sips` URI asks.
    #[must_use]
    pub fn secure(mut self) -> Self {
        self.secure = true;
        self
    }
}

/// What this end can do and likes best.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Abilities {
    /// Transports in order of preference.
    pub transports: Vec<Transport>,
    /// Addresses of IP version 4 can be reached.
    pub ipv4: bool,
    /// Addresses of IP version 6 can be reached.
    pub ipv6: bool,
}

impl Abilities {
    /// These transports, over both versions of IP.
    #[must_use]
    pub fn over(transports: &[Transport]) -> Self {
        Self { transports: transports.to_vec(), ipv4: true, ipv6: true }
    }

    pub(super) fn family(&self, address: IpAddr) -> bool {
        if address.is_ipv4() { self.ipv4 } else { self.ipv6 }
    }
}

/// A kind of record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RecordKind {
    /// RFC 3403.
    Naptr,
    /// RFC 2782.
    Srv,
    /// An address of version 4.
    A,
    /// An address of version 6.
    Aaaa,
}

impl RecordKind {
    /// As it is written in a zone.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Naptr => "NAPTR",
            Self::Srv => "SRV",
            Self::A => "A",
            Self::Aaaa => "AAAA",
        }
    }
}

/// A lookup that is wanted.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Question {
    /// The name in lower case, without the root's dot.
    pub name: String,
    /// The kind of record.
    pub kind: RecordKind,
}

impl fmt::Display for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.name, self.kind.as_str())
    }
}

/// A NAPTR record (RFC 3403 section 4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Naptr {
    /// Lowest first.
    pub order: u16,
    /// Lowest first among equals of `order`.
    pub preference: u16,
    /// `s` for SIP.
    pub flags: String,
    /// Such as `SIPS+D2T`.
    pub service: String,
    /// Empty for SIP.
    pub regexp: String,
    /// The name that has SRV records.
    pub replacement: String,
}

/// An SRV record (RFC 2782).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Srv {
    /// Lowest first.
    pub priority: u16,
    /// The share among equals of `priority`.
    pub weight: u16,
    /// The port.
    pub port: u16,
    /// The host; `.` when the service is not offered.
    pub target: String,
}

/// What a lookup found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// NAPTR records.
    pub naptr: Vec<Naptr>,
    /// SRV records.
    pub srv: Vec<Srv>,
    /// Addresses of the name itself.
    pub addresses: Vec<IpAddr>,
    /// Addresses of other names that came along (the additional section).
    pub additional: Vec<(String, IpAddr)>,
}

/// Why a lookup found nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Miss {
    /// NXDOMAIN.
    #[error("no such name")]
    NameNotFound,
    /// The name has no record of this kind.
    #[error("no such record")]
    NoRecords,
    /// No answer that says either; in the resolver's words.
    #[error("{0}")]
    Failed(String),
}

/// One lookup and what came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lookup {
    /// What was asked.
    pub question: Question,
    /// Records found, or why none; nothing while the answer is awaited.
    pub outcome: Option<Result<usize, Miss>>,
}

/// What the driver tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// Start.
    Begin,
    /// A lookup ended.
    Answered {
        /// Which.
        question: Question,
        /// How.
        outcome: Result<Answer, Miss>,
    },
    /// No more waiting: what is known by now is used.
    TimeUp,
}

/// What the driver must do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Look this up; answer with [`Input::Answered`].
    Ask(Question),
    /// The end: the targets in the order in which they are to be tried; never empty.
    Located(Vec<Target>),
    /// The end: there is no target.
    Failed(LocateError),
}

/// One place to try.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// How.
    pub transport: Transport,
    /// Where.
    pub address: SocketAddr,
    /// The domain or address that was asked for: what a certificate must be for, and what SNI says.
    pub name: String,
    /// Why here.
    pub origin: Origin,
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.transport.as_str().to_ascii_lowercase(), self.address)
    }
}

/// Where a target came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// An address was given.
    Given,
    /// The addresses of the name itself.
    Host,
    /// An SRV record.
    Srv {
        /// The name that has it, such as `_sip._tcp.example.com`.
        service: String,
        /// Its target.
        host: String,
        /// Its priority.
        priority: u16,
        /// Its weight.
        weight: u16,
    },
}

/// Why there is no target.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LocateError {
    /// The URI names no host.
    #[error("the URI names no host that SIP could reach")]
    NoHost,
    /// The URI wants a transport that this end does not have, or none that this end has.
    #[error("no transport for `{transport}` here")]
    Unsupported {
        /// What was wanted.
        transport: String,
    },
    /// Every service of the domain says so with the target `.` (RFC 2782).
    #[error("`{name}` says that it offers no SIP")]
    NotOffered {
        /// The domain.
        name: String,
    },
    /// The name does not exist.
    #[error("`{name}` does not exist")]
    NameNotFound {
        /// The domain.
        name: String,
    },
    /// Nothing that was looked up has an address.
    #[error("`{name}` has no address")]
    NoAddress {
        /// The domain.
        name: String,
    },
    /// No nameserver said yes or no.
    #[error("`{name}` cannot be looked up: {why}")]
    LookupFailed {
        /// The domain.
        name: String,
        /// The last failure, in the resolver's words.
        why: String,
    },
}
