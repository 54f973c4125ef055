//! The small typed values of a configuration and how each is written.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
pub use z5_media::{AudioCodec, SrtpSuite};

/// How an address book is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ContactsProtocol {
    /// Card by card (RFC 6352).
    #[default]
    CardDav,
    /// The whole list as one document, by GET and POST (RFC 9248 section 7.2, RFC 6351).
    Xcard,
}

/// Which steps a session walks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Profile {
    /// The five documented steps.
    #[default]
    Z5,
    /// Any SIP account: steps 2 and 3 are skipped.
    Generic,
}

/// Transport of SIP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Transport {
    /// TCP.
    #[default]
    Tcp,
    /// TLS over TCP.
    Tls,
    /// UDP, with TCP for what is larger than 1300 bytes (RFC 3261 section 18.1.1).
    Udp,
    /// What the domain's NAPTR and SRV records say (RFC 3263); in profile `z5`, what ZDial says.
    Auto,
}

impl FromStr for Transport {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "tcp" => Ok(Self::Tcp),
            "tls" => Ok(Self::Tls),
            "udp" => Ok(Self::Udp),
            "auto" => Ok(Self::Auto),
            _ => Err(none_of("transport", text, &["tcp", "tls", "udp", "auto"])),
        }
    }
}

/// What keeps the way to a UDP server open (RFC 5626 section 4.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum UdpKeepAlive {
    /// STUN where the registrar says that the first hop supports outbound, else `Crlf`.
    #[default]
    Auto,
    /// STUN: the server is known to answer it. An answer that stays away, or that names another address of ours than
    /// before, ends the flow, and a new one is registered.
    Stun,
    /// Line ends that nobody answers.
    Crlf,
}

/// Encryption of media by SDES keys (RFC 4568).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SrtpMode {
    /// Never.
    #[default]
    Off,
    /// Offered; a call without it is carried too.
    Optional,
    /// A call without it fails.
    Required,
}

/// What is done about media that stays away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WhenSilent {
    /// An event tells; the call goes on.
    #[default]
    Tell,
    /// The call is ended, too; not one with emergency services.
    HangUp,
}

impl FromStr for SrtpMode {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "off" => Ok(Self::Off),
            "optional" => Ok(Self::Optional),
            "required" => Ok(Self::Required),
            _ => Err(none_of("encryption of media", text, &["off", "optional", "required"])),
        }
    }
}

/// The audio codec of an encoding name, without regard to case.
///
/// # Errors
/// Which names there are, and the one most like it.
pub fn audio_codec(text: &str) -> Result<AudioCodec, String> {
    AudioCodec::from_name(text)
        .ok_or_else(|| unknown("audio codec", text, &AudioCodec::ALL.map(AudioCodec::name)))
}

/// The SRTP suite of an SDES name, without regard to case.
///
/// # Errors
/// Which names there are, and the one most like it.
pub fn srtp_suite(text: &str) -> Result<SrtpSuite, String> {
    SrtpSuite::from_name(text)
        .ok_or_else(|| unknown("SRTP suite", text, &SrtpSuite::ALL.map(SrtpSuite::name)))
}

fn unknown(what: &str, text: &str, names: &[&str]) -> String {
    if text.eq_ignore_ascii_case(AudioCodec::Opus.name()) {
        return format!(
            "this z5 was built without Opus (the cargo feature `opus`); it has {}",
            names.join(", ")
        );
    }
    none_of(what, text, names)
}

/// A word that stands where one of these names belongs.
pub(super) fn none_of(what: &str, text: &str, names: &[&str]) -> String {
    let nearest = match nearest(text, names) {
        Some(name) => format!("; did you mean `{name}`?"),
        None => ";".to_owned(),
    };
    format!("`{text}` is no {what}{nearest} there are: {}", names.join(", "))
}

/// The name most like `text`, when one is like it at all.
pub(super) fn nearest<'a>(text: &str, names: &[&'a str]) -> Option<&'a str> {
    let like = |name: &str| strsim::jaro_winkler(&name.to_ascii_lowercase(), &text.to_ascii_lowercase());
    let best = names.iter().map(|name| (like(name), *name)).max_by(|a, b| a.0.total_cmp(&b.0));
    best.filter(|(score, _)| *score >= super::schema::ALIKE).map(|(_, name)| name)
}

/// A list of names, each read by `read`.
fn listed<'de, D: Deserializer<'de>, T>(
    deserializer: D,
    read: impl Fn(&str) -> Result<T, String>,
) -> Result<Vec<T>, D::Error> {
    let names = Vec::<String>::deserialize(deserializer)?;
    names.iter().map(|name| read(name).map_err(de::Error::custom)).collect()
}

pub(super) fn audio_codecs<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<AudioCodec>, D::Error> {
    listed(deserializer, audio_codec)
}

pub(super) fn srtp_suites<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<SrtpSuite>, D::Error> {
    listed(deserializer, srtp_suite)
}

/// What a session does when it does not become ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RetryMode {
    /// It tries again for as long as it lives, and stops only at what trying again cannot mend: for applications that stay
    /// reachable.
    #[default]
    Supervised,
    /// It stops with the exact error of the first failure: for scripts and tests. A session that was ready once mends its
    /// connection all the same.
    Once,
}

/// A duration written as a whole number of milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(transparent)]
pub struct Millis(pub u64);

impl Millis {
    /// As a [`Duration`].
    pub const fn duration(self) -> Duration {
        Duration::from_millis(self.0)
    }
}

/// An inclusive range of ports, written `first-last` or as one port.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct PortRange {
    first: u16,
    last: u16,
}

impl PortRange {
    /// The system picks.
    pub const ANY: Self = Self { first: 0, last: 0 };

    /// `first` to `last`, both included; exchanged when in the wrong order.
    pub const fn new(first: u16, last: u16) -> Self {
        if first <= last { Self { first, last } } else { Self { first: last, last: first } }
    }

    /// One port.
    pub const fn single(port: u16) -> Self {
        Self { first: port, last: port }
    }

    /// The first port.
    pub const fn first(self) -> u16 {
        self.first
    }

    /// The last port.
    pub const fn last(self) -> u16 {
        self.last
    }

    /// As a standard range.
    pub const fn inclusive(self) -> std::ops::RangeInclusive<u16> {
        self.first..=self.last
    }

    /// True for [`PortRange::ANY`].
    pub const fn is_any(self) -> bool {
        self.first == 0 && self.last == 0
    }
}

impl fmt::Display for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.first == self.last {
            write!(f, "{}", self.first)
        } else {
            write!(f, "{}-{}", self.first, self.last)
        }
    }
}

impl fmt::Debug for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for PortRange {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong =
            || format!("`{text}` is not a port range; write it as `20000-20999`, each port from 1 to 65535");
        let port = |part: &str| part.trim().parse::<u16>().map_err(|_| wrong());
        let (first, last) = match text.split_once('-') {
            Some((first, last)) => (port(first)?, port(last)?),
            None => (port(text)?, port(text)?),
        };
        if first > last {
            return Err(format!("the port range `{text}` ends before it begins"));
        }
        if first == 0 && last != 0 {
            return Err(wrong());
        }
        Ok(Self { first, last })
    }
}

impl<'de> Deserialize<'de> for PortRange {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

impl Serialize for PortRange {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A host (name or address, IPv6 in brackets when a port follows) with an optional port.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct HostPort {
    /// Name or address, without brackets.
    pub host: String,
    /// The port, when one was written.
    pub port: Option<u16>,
}

impl FromStr for HostPort {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is not `host` or `host:port` with a port from 1 to 65535");
        let port = |part: &str| part.parse::<u16>().ok().filter(|port| *port != 0).ok_or_else(wrong);
        if text.parse::<std::net::Ipv6Addr>().is_ok() {
            return Ok(Self { host: text.to_owned(), port: None });
        }
        let (host, port) = if let Some(rest) = text.strip_prefix('[') {
            let (host, after) = rest.split_once(']').ok_or_else(wrong)?;
            host.parse::<std::net::Ipv6Addr>().map_err(|_| wrong())?;
            match after.strip_prefix(':') {
                Some(digits) => (host, Some(port(digits)?)),
                None if after.is_empty() => (host, None),
                None => return Err(wrong()),
            }
        } else {
            match text.split_once(':') {
                Some((host, digits)) => (host, Some(port(digits)?)),
                None => (text, None),
            }
        };
        let usable = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_' | ':');
        if host.is_empty() || !host.chars().all(usable) {
            return Err(wrong());
        }
        Ok(Self { host: host.to_owned(), port })
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.port, self.host.contains(':')) {
            (Some(port), true) => write!(f, "[{}]:{port}", self.host),
            (Some(port), false) => write!(f, "{}:{port}", self.host),
            (None, _) => f.write_str(&self.host),
        }
    }
}

impl<'de> Deserialize<'de> for HostPort {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}
