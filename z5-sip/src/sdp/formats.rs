//! Typed reading of the attributes that z5 negotiates: formats with `rtpmap` and `fmtp`, direction, address,
//! `rtcp`, `ptime`, `crypto`, the profile and the bandwidth. Feedback is in `feedback`.
//!
//! A malformed attribute is read as absent; what that costs is then said as the reason of the line or the format.

use std::net::{IpAddr, SocketAddr};

use sdp_types::{Media, Session};

use super::capability::{Codec, Direction, MediaKind};
use super::crypto::{CryptoError, SdesKey};
use super::dtls;
use super::h264;
use super::negotiated::RefusedWhy;

/// One format of an m-line with what its attributes say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Format<'a> {
    /// As it stands in the m-line.
    pub(super) token: &'a str,
    /// The token as a payload type.
    pub(super) payload_type: Option<u8>,
    /// Name, clock rate and channels, from `rtpmap` or the static table of RFC 3551.
    pub(super) encoding: Option<Encoding<'a>>,
    /// The parameters of `fmtp`.
    pub(super) fmtp: Option<&'a str>,
}

/// The value of an `rtpmap`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Encoding<'a> {
    pub(super) name: &'a str,
    pub(super) clock_rate: u32,
    pub(super) channels: Option<u8>,
}

impl Format<'_> {
    /// `NAME/RATE` for showing; the bare token when nothing is known about it.
    pub(super) fn label(&self) -> String {
        match &self.encoding {
            Some(encoding) => format!("{}/{}", encoding.name, encoding.clock_rate),
            None => self.token.to_owned(),
        }
    }

    /// Whether `codec` is the same encoding, with parameters that go together.
    pub(super) fn matches(&self, codec: &Codec) -> bool {
        self.fits(codec).is_ok()
    }

    /// The same, with what keeps them apart.
    fn fits(&self, codec: &Codec) -> Result<(), Apart> {
        let encoding = self.encoding.as_ref().ok_or(Apart::Name)?;
        if !encoding.name.eq_ignore_ascii_case(&codec.name) {
            return Err(Apart::Name);
        }
        if encoding.clock_rate != codec.clock_rate
            || encoding.channels.unwrap_or(1) != codec.channels.unwrap_or(1)
        {
            return Err(Apart::Rate);
        }
        if is_h264(codec) {
            h264::fit(codec.fmtp.as_deref(), self.fmtp).map_err(|mismatch| match mismatch {
                h264::Mismatch::PacketizationMode => Apart::PacketizationMode,
                h264::Mismatch::Profile => Apart::Profile,
            })?;
        }
        Ok(())
    }

    /// Why none of `codecs` is this format: what the nearest of them differs in.
    pub(super) fn why_none(&self, codecs: &[Codec]) -> &'static str {
        match codecs.iter().filter_map(|codec| self.fits(codec).err()).max() {
            Some(Apart::Name) | None => "not a codec of ours",
            Some(Apart::Rate) => "a codec of ours, but at another clock rate or number of channels",
            Some(Apart::Profile) => "H.264 of a profile that is not ours",
            Some(Apart::PacketizationMode) => "H.264 in a packetization mode that is not ours",
        }
    }
}

/// What sets a format and a codec apart, the nearest miss last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Apart {
    Name,
    Rate,
    Profile,
    PacketizationMode,
}

pub(super) fn is_h264(codec: &Codec) -> bool {
    codec.name.eq_ignore_ascii_case("H264")
}

/// Whether two codecs are one format, whatever their numbers.
pub(super) fn same_format(one: &Codec, other: &Codec) -> bool {
    one.name.eq_ignore_ascii_case(&other.name)
        && one.clock_rate == other.clock_rate
        && one.channels.unwrap_or(1) == other.channels.unwrap_or(1)
        && (!is_h264(one) || h264::fit(one.fmtp.as_deref(), other.fmtp.as_deref()).is_ok())
}

/// The formats of a line in their order.
pub(super) fn of_line(media: &Media) -> Vec<Format<'_>> {
    media.fmt.split_ascii_whitespace().map(|token| format(media, token)).collect()
}

fn format<'a>(media: &'a Media, token: &'a str) -> Format<'a> {
    let payload_type = token.parse::<u8>().ok().filter(|&number| number < 128);
    let mapped = attribute_for(media, "rtpmap", token).and_then(parse_encoding);
    Format {
        token,
        payload_type,
        encoding: mapped.or_else(|| payload_type.and_then(static_encoding)),
        fmtp: attribute_for(media, "fmtp", token),
    }
}

/// The value of `a=name:token value`, without the token.
fn attribute_for<'a>(media: &'a Media, name: &str, token: &str) -> Option<&'a str> {
    values(media, name).find_map(|value| {
        let rest = value.strip_prefix(token).or_else(|| value.trim_start().strip_prefix(token))?;
        rest.strip_prefix(' ').map(str::trim)
    })
}

/// Attribute values of a line by name.
pub(super) fn values<'a>(media: &'a Media, name: &str) -> impl Iterator<Item = &'a str> {
    media
        .attributes
        .iter()
        .filter(move |attribute| attribute.attribute.eq_ignore_ascii_case(name))
        .filter_map(|attribute| attribute.value.as_deref())
}

fn parse_encoding(value: &str) -> Option<Encoding<'_>> {
    let mut parts = value.split('/');
    let name = parts.next().filter(|name| !name.is_empty())?.trim();
    let clock_rate = parts.next()?.trim().parse().ok()?;
    let channels = match parts.next() {
        Some(text) => Some(text.trim().parse().ok()?),
        None => None,
    };
    Some(Encoding { name, clock_rate, channels })
}

/// The static payload types still met in the field (RFC 3551 sections 6, tables 4 and 5).
fn static_encoding(payload_type: u8) -> Option<Encoding<'static>> {
    let (name, clock_rate) = match payload_type {
        0 => ("PCMU", 8000),
        3 => ("GSM", 8000),
        4 => ("G723", 8000),
        8 => ("PCMA", 8000),
        9 => ("G722", 8000),
        13 => ("CN", 8000),
        15 => ("G728", 8000),
        18 => ("G729", 8000),
        26 => ("JPEG", 90_000),
        31 => ("H261", 90_000),
        34 => ("H263", 90_000),
        _ => return None,
    };
    Some(Encoding { name, clock_rate, channels: None })
}

/// What the writer of the description wants to do with a line: its own attribute, else the session's, else both ways.
pub(super) fn direction(session: &Session, media: &Media) -> Direction {
    let of = |attributes: &[sdp_types::Attribute]| {
        attributes.iter().find_map(|attribute| Direction::from_attribute(&attribute.attribute))
    };
    of(&media.attributes).or_else(|| of(&session.attributes)).unwrap_or_default()
}

/// Where RTP and RTCP of a line go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Address {
    pub(super) rtp: SocketAddr,
    pub(super) rtcp: SocketAddr,
    pub(super) rtcp_mux: bool,
}

/// Reads the address of a line. A host name, a multicast group and a missing `c=` cannot be used.
///
/// # Errors
/// The address as written.
pub(super) fn address(session: &Session, media: &Media) -> Result<Address, String> {
    let connection = media.connections.first().or(session.connection.as_ref()).ok_or_else(String::new)?;
    let text = &connection.connection_address;
    let ip: IpAddr = text.parse().map_err(|_| text.clone())?;
    if ip.is_multicast() {
        return Err(text.clone());
    }
    let rtcp_mux = media.has_attribute("rtcp-mux");
    let rtp = SocketAddr::new(ip, media.port);
    let rtcp = if rtcp_mux {
        rtp
    } else {
        values(media, "rtcp").find_map(|value| rtcp_address(value, ip)).unwrap_or_else(|| {
            // The next port (RFC 3550 section 11); the last port of all has no next one.
            SocketAddr::new(ip, media.port.checked_add(1).unwrap_or(media.port))
        })
    };
    Ok(Address { rtp, rtcp, rtcp_mux })
}

/// `port [nettype addrtype address]` (RFC 3605).
fn rtcp_address(value: &str, default: IpAddr) -> Option<SocketAddr> {
    let mut words = value.split_ascii_whitespace();
    let port = words.next()?.parse().ok()?;
    let ip = words.nth(2).and_then(|word| word.parse().ok()).unwrap_or(default);
    Some(SocketAddr::new(ip, port))
}

/// The packet duration a line asks for, in milliseconds.
pub(super) fn ptime(media: &Media) -> Option<u32> {
    values(media, "ptime").find_map(|value| value.trim().parse().ok()).filter(|&ms| (1..=1000).contains(&ms))
}

/// Every `a=crypto` of a line, read or refused, in the writer's order.
pub(super) fn keys(media: &Media) -> Vec<Result<SdesKey, CryptoError>> {
    values(media, "crypto").map(SdesKey::parse).collect()
}

/// What a transport profile asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Profile {
    /// RTP/AVP, RTP/AVPF.
    Clear,
    /// RTP/SAVP, RTP/SAVPF.
    Secure,
    /// UDP/TLS/RTP/SAVP, UDP/TLS/RTP/SAVPF, or what means them.
    Dtls,
}

/// Reads the profile of a line. `dtls`: this end has a certificate, and would rather have keys by a handshake where a line
/// offers both (RFC 8643 section 4). A fingerprint without a key means DTLS whatever the token says (RFC 8829 section 5.1.2);
/// one on RTP/AVP is a mere offer to whoever can.
///
/// # Errors
/// Why the line cannot be carried: a profile that z5 does not speak.
pub(super) fn profile(session: &Session, media: &Media, dtls: bool) -> Result<Profile, RefusedWhy> {
    let is = |names: &[&str]| names.iter().any(|name| media.proto.eq_ignore_ascii_case(name));
    let shown = || dtls::has_fingerprint(session, media);
    let keyed = || media.has_attribute("crypto");
    if is(&["RTP/AVP", "RTP/AVPF"]) {
        Ok(if dtls && shown() { Profile::Dtls } else { Profile::Clear })
    } else if is(&["RTP/SAVP", "RTP/SAVPF"]) {
        Ok(if shown() && (dtls || !keyed()) { Profile::Dtls } else { Profile::Secure })
    } else if is(&["UDP/TLS/RTP/SAVP", "UDP/TLS/RTP/SAVPF"]) {
        Ok(Profile::Dtls)
    } else {
        Err(RefusedWhy::Transport { proto: media.proto.clone() })
    }
}

/// The most that the writer of a description wants to receive on a line, in bits per second: `TIAS` of the line, else its
/// `AS`, else those of the session (RFC 8866 section 5.8, RFC 3890).
pub(super) fn bandwidth(session: &Session, media: &Media) -> Option<u64> {
    let of = |lines: &[sdp_types::Bandwidth]| {
        let named = |name: &str| lines.iter().find(|line| line.bwtype.eq_ignore_ascii_case(name));
        let tias = named("TIAS").map(|line| line.bandwidth);
        tias.or_else(|| named("AS").map(|line| line.bandwidth.saturating_mul(1000)))
    };
    of(&media.bandwidths).or_else(|| of(&session.bandwidths))
}

/// Why no capabilities whatever can take a line.
pub(super) fn unusable(session: &Session, media: &Media) -> Option<RefusedWhy> {
    if MediaKind::from_token(&media.media).is_none() {
        return Some(RefusedWhy::UnknownKind { token: media.media.clone() });
    }
    if media.port == 0 {
        return Some(RefusedWhy::OfferedClosed);
    }
    let unreachable = || address(session, media).err().map(|address| RefusedWhy::Address { address });
    profile(session, media, true).err().or_else(unreachable)
}
