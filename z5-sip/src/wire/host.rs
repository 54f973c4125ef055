//! Hosts: names, IPv4 addresses, IPv6 references (RFC 3261 section 25.1, RFC 5954).
//!
//! Resolves nothing.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::chars;

/// The host of a URI or a Via.
#[derive(Debug, Clone, Copy)]
pub enum Host<'a> {
    /// A domain name, letters as written.
    Name(&'a str),
    /// An IPv4 address.
    V4(Ipv4Addr),
    /// An IPv6 address; printed in brackets.
    V6(Ipv6Addr),
}

/// Why bytes are no host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HostError {
    /// Nothing where a host must stand.
    #[error("the host is empty")]
    Empty,
    /// A byte that no host has.
    #[error("the host has a byte that no host may have")]
    UnexpectedByte,
    /// Brackets around something that is no IPv6 address.
    #[error("no IPv6 address between the brackets")]
    BadIpv6,
    /// A port that is not a number from 0 to 65535.
    #[error("the port is not a number from 0 to 65535")]
    BadPort,
}

impl<'a> Host<'a> {
    /// A host as it stands in a URI or Via: IPv6 only in brackets.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, HostError> {
        match bytes {
            [] => Err(HostError::Empty),
            [b'[', inner @ .., b']'] => {
                chars::text(inner).and_then(ipv6).map(Self::V6).ok_or(HostError::BadIpv6)
            }
            _ if !chars::all_host(bytes) => Err(HostError::UnexpectedByte),
            _ => {
                let text = chars::text(bytes).ok_or(HostError::UnexpectedByte)?;
                // Only a digit can open an address, and most names open with a letter.
                if bytes[0].is_ascii_digit()
                    && let Ok(address) = text.parse()
                {
                    return Ok(Self::V4(address));
                }
                Ok(Self::Name(text))
            }
        }
    }

    /// An address or name that may also be an IPv6 address without brackets, as `received` and `maddr`
    /// carry it (RFC 5118 section 4.5).
    pub fn parse_lenient(bytes: &'a [u8]) -> Result<Self, HostError> {
        match chars::text(bytes).and_then(ipv6) {
            Some(address) => Ok(Self::V6(address)),
            None => Self::parse(bytes),
        }
    }

    /// Splits at the port's colon; see [`Self::parse_with_port`].
    pub(crate) fn split_port(bytes: &[u8]) -> Result<(&[u8], Option<u16>), HostError> {
        let colon = match bytes.first() {
            Some(b'[') => {
                let close = memchr::memchr(b']', bytes).ok_or(HostError::BadIpv6)?;
                memchr::memchr(b':', &bytes[close..]).map(|at| close + at)
            }
            _ => memchr::memchr(b':', bytes),
        };
        match colon {
            None => Ok((bytes, None)),
            Some(at) => {
                let port = chars::decimal(chars::trim_start(&bytes[at + 1..]));
                let port = port.and_then(|p| u16::try_from(p).ok()).ok_or(HostError::BadPort)?;
                Ok((chars::trim_end(&bytes[..at]), Some(port)))
            }
        }
    }

    /// That bytes are a host, for those who need only that.
    pub(crate) fn check(bytes: &[u8]) -> Result<(), HostError> {
        if chars::all_host(bytes) && !bytes.is_empty() { Ok(()) } else { Host::parse(bytes).map(|_| ()) }
    }

    /// Host with an optional port: `example.com`, `192.0.2.1:5060`, `[2001:db8::1]:5061`. White space
    /// may stand around the colon, as the Via grammar allows.
    pub fn parse_with_port(bytes: &'a [u8]) -> Result<(Self, Option<u16>), HostError> {
        let (host, port) = Self::split_port(bytes)?;
        Ok((Self::parse(host)?, port))
    }

    /// The address, when it is one.
    pub fn ip(&self) -> Option<IpAddr> {
        match *self {
            Self::Name(_) => None,
            Self::V4(address) => Some(IpAddr::V4(address)),
            Self::V6(address) => Some(IpAddr::V6(address)),
        }
    }
}

/// An IPv6 address; the grammar of RFC 3261 also yields three colons before an embedded IPv4 address, which
/// RFC 5118 section 4.10 asks to accept.
fn ipv6(text: &str) -> Option<Ipv6Addr> {
    if let Ok(address) = text.parse() {
        return Some(address);
    }
    let (before, after) = text.split_once(":::")?;
    after.parse::<Ipv4Addr>().ok()?;
    format!("{before}::{after}").parse().ok()
}

impl From<IpAddr> for Host<'_> {
    fn from(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(address) => Self::V4(address),
            IpAddr::V6(address) => Self::V6(address),
        }
    }
}

/// Names compare without letter case; an address never equals a name.
impl PartialEq for Host<'_> {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Name(a), Self::Name(b)) => a.eq_ignore_ascii_case(b),
            (Self::V4(a), Self::V4(b)) => a == b,
            (Self::V6(a), Self::V6(b)) => a == b,
            (Self::Name(_) | Self::V4(_) | Self::V6(_), _) => false,
        }
    }
}

impl Eq for Host<'_> {}

impl fmt::Display for Host<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::V4(address) => address.fmt(f),
            Self::V6(address) => write!(f, "[{address}]"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_addresses() {
        assert_eq!(Host::parse(b"Example.COM"), Ok(Host::Name("example.com")));
        assert_eq!(Host::parse(b"192.0.2.1").map(|h| h.ip()), Ok(Some([192, 0, 2, 1].into())));
        assert_eq!(Host::parse(b"1.2.3.4.example"), Ok(Host::Name("1.2.3.4.example")));
        assert_eq!(Host::parse(b"[2001:db8::9:1]").map(|h| h.to_string()), Ok("[2001:db8::9:1]".into()));
        assert_eq!(Host::parse(b""), Err(HostError::Empty));
        assert_eq!(Host::parse(b"2001:db8::10"), Err(HostError::UnexpectedByte));
        assert_eq!(Host::parse(b"[hello]"), Err(HostError::BadIpv6));
        assert_eq!(Host::parse(b"a b"), Err(HostError::UnexpectedByte));
    }

    #[test]
    fn ports_stand_outside_the_brackets() {
        assert_eq!(Host::parse_with_port(b"[::1] : 5061").map(|h| h.1), Ok(Some(5061)));
        assert_eq!(Host::parse_with_port(b"h:5060").map(|h| h.1), Ok(Some(5060)));
        // RFC 5118 section 4.3: a port inside the brackets is a part of the address.
        assert_eq!(Host::parse_with_port(b"[2001:db8::10:5070]").map(|h| h.1), Ok(None));
        assert_eq!(Host::parse_with_port(b"h:65536"), Err(HostError::BadPort));
        assert_eq!(Host::parse_with_port(b"h:"), Err(HostError::BadPort));
        assert_eq!(Host::parse_with_port(b"[::1"), Err(HostError::BadIpv6));
        assert_eq!(Host::parse_with_port(b"[::1]x"), Err(HostError::UnexpectedByte));
    }

    #[test]
    fn three_colons_and_bare_ipv6_where_they_are_tolerated() {
        let host = Host::parse(b"[2001:db8:::192.0.2.1]").map(|h| h.ip());
        assert_eq!(host, Ok("2001:db8::192.0.2.1".parse().ok()));
        assert_eq!(Host::parse_lenient(b"2001:db8::9:255"), Host::parse(b"[2001:db8::9:255]"));
        assert_eq!(Host::parse_lenient(b"[2001:db8::9:255]"), Host::parse(b"[2001:db8::9:255]"));
    }
}
