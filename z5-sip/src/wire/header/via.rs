//! Via (RFC 3261 section 20.42, RFC 3581 for `rport`).

use std::fmt;

use super::HeaderError;
use crate::wire::chars;
use crate::wire::host::Host;
use crate::wire::params::Params;

/// The transports this crate can name; a Via may carry any other token, see [`Via::transport`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Transport {
    /// RFC 3261.
    Udp,
    /// RFC 3261.
    Tcp,
    /// RFC 3261 section 26.
    Tls,
    /// RFC 4168.
    Sctp,
    /// RFC 7118.
    Ws,
    /// RFC 7118.
    Wss,
}

impl Transport {
    /// From its token, without letter case.
    pub fn from_token(token: &str) -> Option<Self> {
        [Self::Udp, Self::Tcp, Self::Tls, Self::Sctp, Self::Ws, Self::Wss]
            .into_iter()
            .find(|transport| transport.as_str().eq_ignore_ascii_case(token))
    }

    /// As it stands in a Via.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Udp => "UDP",
            Self::Tcp => "TCP",
            Self::Tls => "TLS",
            Self::Sctp => "SCTP",
            Self::Ws => "WS",
            Self::Wss => "WSS",
        }
    }

    /// False only for UDP: everything else retransmits by itself (RFC 3261 section 17).
    pub fn is_reliable(&self) -> bool {
        !matches!(self, Self::Udp)
    }

    /// True when the bytes are encrypted on the way.
    pub fn is_secure(&self) -> bool {
        matches!(self, Self::Tls | Self::Wss)
    }

    /// The port that a sent-by without one means (RFC 3261 section 18.2.2, RFC 7118).
    pub fn default_port(&self) -> u16 {
        match self {
            Self::Udp | Self::Tcp | Self::Sctp => 5060,
            Self::Tls => 5061,
            Self::Ws => 80,
            Self::Wss => 443,
        }
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One hop a request took.
#[derive(Debug, Clone, Copy)]
pub struct Via<'a> {
    /// The transport's token as written; open, see [`Via::known_transport`].
    pub transport: &'a str,
    /// The host of sent-by.
    pub host: Host<'a>,
    /// The port of sent-by, when written.
    pub port: Option<u16>,
    /// All parameters.
    pub params: Params<'a>,
}

impl<'a> Via<'a> {
    /// From one element of a Via header.
    pub fn parse(value: &'a [u8]) -> Result<Self, HeaderError> {
        let (protocol, rest) = until_slash(value)?;
        let (version, rest) = until_slash(rest)?;
        if !protocol.eq_ignore_ascii_case(b"SIP") || version != b"2.0" {
            return Err(HeaderError::BadProtocol);
        }
        let rest = chars::trim_start(rest);
        let end = rest.iter().position(|&b| !chars::is_token(b)).unwrap_or(rest.len());
        let transport =
            chars::text(&rest[..end]).filter(|t| !t.is_empty()).ok_or(HeaderError::BadProtocol)?;
        if !rest.get(end).is_some_and(|&b| chars::is_space(b)) {
            return Err(HeaderError::BadProtocol);
        }
        let rest = chars::trim_start(&rest[end..]);
        let end = memchr::memchr(b';', rest).unwrap_or(rest.len());
        let (host, port) = Host::parse_with_port(chars::trim_end(&rest[..end]))?;
        Ok(Self { transport, host, port, params: Params(&rest[end..]) })
    }

    /// The transport, when this crate has a name for it.
    pub fn known_transport(&self) -> Option<Transport> {
        Transport::from_token(self.transport)
    }

    /// The transaction's branch.
    pub fn branch(&self) -> Option<&'a str> {
        self.params.get("branch")
    }

    /// The address the request really came from; IPv6 with or without brackets.
    pub fn received(&self) -> Option<Host<'a>> {
        self.host_param("received")
    }

    /// `Some(None)` when the sender asks for it, `Some(Some(port))` once filled in (RFC 3581).
    pub fn rport(&self) -> Option<Option<u16>> {
        let param = self.params.find("rport")?;
        Some(param.value.and_then(chars::decimal).and_then(|port| u16::try_from(port).ok()))
    }

    /// The multicast address.
    pub fn maddr(&self) -> Option<Host<'a>> {
        self.host_param("maddr")
    }

    /// The port of sent-by, or the transport's own one.
    pub fn port_or_default(&self) -> u16 {
        self.port.unwrap_or_else(|| self.known_transport().map_or(5060, |transport| transport.default_port()))
    }

    fn host_param(&self, name: &str) -> Option<Host<'a>> {
        self.params.get(name).and_then(|host| Host::parse_lenient(host.as_bytes()).ok())
    }
}

/// The part before a slash and what comes behind, white space around both dropped.
fn until_slash(value: &[u8]) -> Result<(&[u8], &[u8]), HeaderError> {
    let slash = memchr::memchr(b'/', value).ok_or(HeaderError::BadProtocol)?;
    Ok((chars::trim(&value[..slash]), &value[slash + 1..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain() -> Result<(), HeaderError> {
        let via = Via::parse(b"SIP/2.0/TCP host.example.com:5061;branch=z9hG4bK1;rport")?;
        assert_eq!((via.transport, via.known_transport()), ("TCP", Some(Transport::Tcp)));
        assert_eq!((via.host, via.port), (Host::Name("host.example.com"), Some(5061)));
        assert_eq!((via.branch(), via.rport()), (Some("z9hG4bK1"), Some(None)));
        assert_eq!(Via::parse(b"SIP/2.0/TLS h")?.port_or_default(), 5061);
        Ok(())
    }

    #[test]
    fn with_every_space_the_grammar_allows() -> Result<(), HeaderError> {
        let via = Via::parse(
            b"SIP  / 2.0\r\n / TCP     spindle.example.com : 5070  ;\r\n  branch  =   z9hG4bK9ikj8 ",
        )?;
        assert_eq!((via.transport, via.port, via.branch()), ("TCP", Some(5070), Some("z9hG4bK9ikj8")));
        Ok(())
    }

    #[test]
    fn ipv6_in_sent_by_and_received() -> Result<(), HeaderError> {
        for received in ["2001:db8::9:255", "[2001:db8::9:255]"] {
            let text =
                format!("SIP/2.0/UDP [2001:db8::9:1];received={received};branch=z9hG4bKas3-111;rport=99");
            let via = Via::parse(text.as_bytes())?;
            assert_eq!(via.host.to_string(), "[2001:db8::9:1]");
            assert_eq!(via.received().map(|h| h.to_string()).as_deref(), Some("[2001:db8::9:255]"));
            assert_eq!(via.rport(), Some(Some(99)));
        }
        Ok(())
    }

    #[test]
    fn unknown_transports_are_kept_and_faults_are_told() -> Result<(), HeaderError> {
        let via = Via::parse(b"SIP/2.0/UNKNOWN t4.example.com;branch=z9hG4bKasd0f3en")?;
        assert_eq!((via.transport, via.known_transport()), ("UNKNOWN", None));
        assert_eq!(Via::parse(b"SIP/7.0/UDP h").err(), Some(HeaderError::BadProtocol));
        assert_eq!(Via::parse(b"SIP/2.0/UDP").err(), Some(HeaderError::BadProtocol));
        assert_eq!(Via::parse(b"").err(), Some(HeaderError::BadProtocol));
        assert!(matches!(Via::parse(b"SIP/2.0/UDP ;x").err(), Some(HeaderError::Host(_))));
        assert!(matches!(Via::parse(b"SIP/2.0/UDP a b;x").err(), Some(HeaderError::Host(_))));
        Ok(())
    }
}
