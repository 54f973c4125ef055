//! What this end can do in a call: one entry per medium, in the order it is offered.
//!
//! These are plain data that the caller fills in after it has reserved its ports. They carry no session
//! description text: see `offer` and `answer` for how they meet the far end's.

use std::net::IpAddr;

use super::crypto::SdesKey;
use super::dtls::DtlsIdentity;
use super::feedback::Feedback;
use super::parameters::OpusFormat;

/// Everything this end can do in one call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// The address on which the far end reaches us, written into `c=` and `o=`.
    pub address: IpAddr,
    /// The media in the order in which they are offered (one m-line each).
    pub media: Vec<MediaCapability>,
}

/// One medium: an m-line in an offer, or what answers an m-line of the same kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MediaCapability {
    /// Audio, video or text.
    pub kind: MediaKind,
    /// The local RTP port. Zero offers the line as closed (RFC 3264 section 5.1).
    pub port: u16,
    /// The local RTCP port when it is not `port + 1`; written as `a=rtcp` (RFC 3605).
    pub rtcp_port: Option<u16>,
    /// Codecs in order of preference.
    pub codecs: Vec<Codec>,
    /// What we are willing to do.
    pub direction: Direction,
    /// Whether and how the medium is encrypted.
    pub security: Security,
    /// Keys by DTLS are taken where the far end offers them, in place of what `security` says of a line.
    pub dtls: Option<DtlsIdentity>,
    /// The packet duration we ask for, in milliseconds.
    pub ptime_ms: Option<u32>,
    /// Offer RTP and RTCP on one port (RFC 5761). An offer of the far end that asks for it is taken in any case.
    pub rtcp_mux: bool,
    /// Marks without a value that hold where both sides write them.
    pub marks: Marks,
    /// The RTCP feedback we act on, offered for all payload types of the line.
    pub feedback: Vec<Feedback>,
    /// Offer the profile that goes with feedback (RTP/AVPF, RTP/SAVPF; RFC 4585). False offers the feedback under
    /// RTP/AVP or RTP/SAVP: older far ends refuse a profile that they do not know, and newer ones read the attributes.
    pub feedback_profile: bool,
    /// The most we want to receive, in bits per second without the headers below RTP; written as `b=TIAS` and `b=AS`.
    pub bandwidth_bps: Option<u32>,
}

impl MediaCapability {
    /// A medium in both directions, in the clear, with nothing beside its codecs.
    #[must_use]
    pub fn new(kind: MediaKind, port: u16, codecs: Vec<Codec>) -> Self {
        Self {
            kind,
            port,
            rtcp_port: None,
            codecs,
            direction: Direction::SendReceive,
            security: Security::Clear,
            dtls: None,
            ptime_ms: None,
            rtcp_mux: false,
            marks: Marks::default(),
            feedback: Vec::new(),
            feedback_profile: false,
            bandwidth_bps: None,
        }
    }
}

impl MediaCapability {
    /// What this end brings to a handshake, if it can have one.
    pub(super) fn dtls_identity(&self) -> Option<&DtlsIdentity> {
        match &self.security {
            Security::Dtls(identity) => Some(identity),
            Security::Clear | Security::SdesOptional(_) | Security::SdesRequired(_) => self.dtls.as_ref(),
        }
    }
}

/// Attributes that say only that something is understood. What holds for a call is what both sides wrote.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Marks {
    /// `a=rtcp-rsize`: RTCP feedback may leave without a report (RFC 5506).
    pub reduced_size: bool,
    /// `a=rtcp-xr`: extended reports with the round trip of receivers and VoIP metrics (RFC 3611 section 5.1).
    pub extended_reports: bool,
    /// `a=rtt-mixer`: text of several people is told apart by its sources (RFC 9071).
    pub text_mixer: bool,
}

impl Marks {
    /// The lines of an offer or answer.
    pub(super) fn lines(self) -> impl Iterator<Item = (&'static str, Option<&'static str>)> {
        let all = [
            (self.reduced_size, "rtcp-rsize", None),
            (self.extended_reports, "rtcp-xr", Some("rcvr-rtt=all voip-metrics")),
            (self.text_mixer, "rtt-mixer", None),
        ];
        all.into_iter().filter(|(on, ..)| *on).map(|(_, name, value)| (name, value))
    }

    /// What of these the far end writes too.
    pub(super) fn common(self, theirs: &sdp_types::Media) -> Self {
        Self {
            reduced_size: self.reduced_size && theirs.has_attribute("rtcp-rsize"),
            extended_reports: self.extended_reports && theirs.has_attribute("rtcp-xr"),
            text_mixer: self.text_mixer && theirs.has_attribute("rtt-mixer"),
        }
    }
}

/// A kind of medium that z5 can carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MediaKind {
    /// `m=audio`
    Audio,
    /// `m=video`
    Video,
    /// `m=text` (RFC 4103)
    Text,
}

impl MediaKind {
    /// The token of the m-line.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Audio => "audio",
            Self::Video => "video",
            Self::Text => "text",
        }
    }

    /// Reads the token of an m-line; `None` for a kind that z5 does not carry.
    #[must_use]
    pub fn from_token(token: &str) -> Option<Self> {
        [Self::Audio, Self::Video, Self::Text]
            .into_iter()
            .find(|kind| token.eq_ignore_ascii_case(kind.as_str()))
    }
}

/// An encoding with its RTP parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Codec {
    /// The encoding name as in `a=rtpmap`; compared without regard to case.
    pub name: String,
    /// The RTP clock rate in hertz.
    pub clock_rate: u32,
    /// Channels; `None` means one, and nothing is written.
    pub channels: Option<u8>,
    /// The payload type we offer and want to receive. In an answer the offered number replaces it.
    pub payload_type: u8,
    /// Format parameters without the payload type, as in `a=fmtp`.
    pub fmtp: Option<String>,
}

impl Codec {
    /// A codec without parameters and with one channel.
    #[must_use]
    pub fn new(name: &str, clock_rate: u32, payload_type: u8) -> Self {
        Self { name: name.to_owned(), clock_rate, channels: None, payload_type, fmtp: None }
    }

    /// The same codec with format parameters.
    #[must_use]
    pub fn with_fmtp(mut self, fmtp: &str) -> Self {
        self.fmtp = Some(fmtp.to_owned());
        self
    }

    /// G.711 mu-law, static payload type 0 (RFC 3551).
    #[must_use]
    pub fn pcmu() -> Self {
        Self::new("PCMU", 8000, 0)
    }

    /// G.711 A-law, static payload type 8 (RFC 3551).
    #[must_use]
    pub fn pcma() -> Self {
        Self::new("PCMA", 8000, 8)
    }

    /// G.722, static payload type 9; its clock counts 8000 although it samples at 16 kHz (RFC 3551 section 4.5.2).
    #[must_use]
    pub fn g722() -> Self {
        Self::new("G722", 8000, 9)
    }

    /// Opus (RFC 7587): always 48 kHz and two channels in the description, whatever is sent.
    #[must_use]
    pub fn opus(payload_type: u8, format: &OpusFormat) -> Self {
        Self { channels: Some(2), ..Self::new("opus", 48_000, payload_type).with_fmtp(&format.to_fmtp()) }
    }

    /// Comfort noise for codecs with a clock of 8 kHz, static payload type 13 (RFC 3389).
    #[must_use]
    pub fn comfort_noise() -> Self {
        Self::new("CN", 8000, 13)
    }

    /// DTMF and other telephone events (RFC 4733): digits 0 to 9, star, hash, A to D, and flash.
    #[must_use]
    pub fn telephone_event(payload_type: u8) -> Self {
        Self::telephone_event_at(payload_type, 8000)
    }

    /// The same beside a codec of another clock rate: events count by the clock of the sound (RFC 4733 section 2.1).
    #[must_use]
    pub fn telephone_event_at(payload_type: u8, clock_rate: u32) -> Self {
        Self::new("telephone-event", clock_rate, payload_type).with_fmtp("0-16")
    }

    /// H.264 Constrained Baseline (RFC 6184) up to `level` times ten, such as 31, under a packetization mode of 0 or 1.
    #[must_use]
    pub fn h264(payload_type: u8, packetization_mode: u8, level: u8) -> Self {
        Self::new("H264", 90_000, payload_type)
            .with_fmtp(&format!("profile-level-id=42E0{level:02X};packetization-mode={packetization_mode}"))
    }

    /// Real-time text (RFC 4103).
    #[must_use]
    pub fn t140(payload_type: u8) -> Self {
        Self::new("t140", 1000, payload_type)
    }

    /// Redundant real-time text (RFC 4103, RFC 2198): one primary and two redundant generations of `t140`.
    #[must_use]
    pub fn text_red(payload_type: u8, t140: u8) -> Self {
        Self::new("red", 1000, payload_type).with_fmtp(&format!("{t140}/{t140}/{t140}"))
    }

    /// Whether this only accompanies another codec: a call cannot live on it alone.
    #[must_use]
    pub fn is_auxiliary(&self) -> bool {
        ["telephone-event", "red", "CN", "rtx", "ulpfec"]
            .iter()
            .any(|name| self.name.eq_ignore_ascii_case(name))
    }
}

/// Who may send, seen from this end (RFC 3264 section 5.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Direction {
    /// Both ways.
    #[default]
    SendReceive,
    /// We only send.
    SendOnly,
    /// We only receive.
    ReceiveOnly,
    /// Neither sends.
    Inactive,
}

impl Direction {
    /// From its two halves.
    #[must_use]
    pub fn new(send: bool, receive: bool) -> Self {
        match (send, receive) {
            (true, true) => Self::SendReceive,
            (true, false) => Self::SendOnly,
            (false, true) => Self::ReceiveOnly,
            (false, false) => Self::Inactive,
        }
    }

    /// Whether this end sends.
    #[must_use]
    pub fn sends(self) -> bool {
        matches!(self, Self::SendReceive | Self::SendOnly)
    }

    /// Whether this end receives.
    #[must_use]
    pub fn receives(self) -> bool {
        matches!(self, Self::SendReceive | Self::ReceiveOnly)
    }

    /// The same stream seen from the other end.
    #[must_use]
    pub fn reversed(self) -> Self {
        Self::new(self.receives(), self.sends())
    }

    /// What both of two wishes of the same end allow.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self::new(self.sends() && other.sends(), self.receives() && other.receives())
    }

    /// The attribute's name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::SendReceive => "sendrecv",
            Self::SendOnly => "sendonly",
            Self::ReceiveOnly => "recvonly",
            Self::Inactive => "inactive",
        }
    }

    /// Reads an attribute's name.
    #[must_use]
    pub fn from_attribute(name: &str) -> Option<Self> {
        [Self::SendReceive, Self::SendOnly, Self::ReceiveOnly, Self::Inactive]
            .into_iter()
            .find(|direction| name.eq_ignore_ascii_case(direction.as_str()))
    }
}

/// How a medium is protected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Security {
    /// Plain RTP only; a line that demands encryption is refused.
    Clear,
    /// Best effort: offered as RTP/AVP with `a=crypto` lines; encrypted when the far end takes one, plain otherwise.
    SdesOptional(Vec<SdesKey>),
    /// Offered as RTP/SAVP; a far end that answers without a key is refused.
    SdesRequired(Vec<SdesKey>),
    /// Offered as UDP/TLS/RTP/SAVP; every line that is not keyed by DTLS is refused (RFC 8827 section 6.5).
    Dtls(DtlsIdentity),
}

impl Security {
    /// The keys offered, in order of preference; empty when clear.
    #[must_use]
    pub fn keys(&self) -> &[SdesKey] {
        match self {
            Self::Clear | Self::Dtls(_) => &[],
            Self::SdesOptional(keys) | Self::SdesRequired(keys) => keys,
        }
    }
}
