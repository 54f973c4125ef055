//! The outcome of an offer and its answer: what flows where, and why the rest does not.
//!
//! Every m-line of the description is accounted for: it is either in [`Negotiated::media`] or, with the reason, in
//! [`Negotiated::refused`].

use std::fmt;
use std::net::SocketAddr;

use super::capability::{Codec, Direction, Marks, MediaKind};
use super::crypto::{CryptoError, CryptoSuite, SdesKey};
use super::description::SdpError;
use super::dtls::{DtlsError, NegotiatedDtls, OfferedDtls};
use super::feedback::Feedback;
use super::{formats, h264};

/// What both ends agreed on.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Negotiated {
    /// The lines that carry media, in the order of the description.
    pub media: Vec<NegotiatedMedia>,
    /// The lines that do not, with the reason for each.
    pub refused: Vec<RefusedMedia>,
}

impl Negotiated {
    /// The first accepted line of a kind.
    #[must_use]
    pub fn first(&self, kind: MediaKind) -> Option<&NegotiatedMedia> {
        self.media.iter().find(|media| media.kind == kind)
    }
}

/// One m-line that carries media.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NegotiatedMedia {
    /// The position of the m-line, from zero.
    pub index: usize,
    /// Audio, video or text.
    pub kind: MediaKind,
    /// Our RTP port.
    pub local_port: u16,
    /// Where our RTP goes.
    pub remote: SocketAddr,
    /// Where our RTCP goes.
    pub remote_rtcp: SocketAddr,
    /// RTP and RTCP share one port (RFC 5761).
    pub rtcp_mux: bool,
    /// Marks that both sides wrote.
    pub marks: Marks,
    /// What both can do, in the order of preference that holds for the call. Never empty.
    pub codecs: Vec<NegotiatedCodec>,
    /// What we do.
    pub direction: Direction,
    /// The keys, when the line is encrypted with keys of the description.
    pub crypto: Option<NegotiatedCrypto>,
    /// The handshake, when it is encrypted with keys that come of one: nothing may be sent or believed before.
    pub dtls: Option<NegotiatedDtls>,
    /// The packet duration the far end asked for, in milliseconds.
    pub ptime_ms: Option<u32>,
    /// The RTCP feedback that both act on.
    pub feedback: Vec<Feedback>,
    /// The most the far end wants to receive, in bits per second (`b=TIAS`, or `b=AS` times 1000).
    pub bandwidth_bps: Option<u64>,
    /// Formats of this line that are not used, with the reason for each.
    pub refused_codecs: Vec<RefusedCodec>,
    /// Why keys of this line are not used, in the far end's order up to the one that is.
    pub refused_keys: Vec<CryptoError>,
}

impl NegotiatedMedia {
    /// The codec to send with: the first that can carry a call on its own.
    #[must_use]
    pub fn primary(&self) -> Option<&NegotiatedCodec> {
        self.codecs.iter().find(|codec| !codec.codec.is_auxiliary())
    }

    /// A codec by its name and clock rate.
    #[must_use]
    pub fn codec_at(&self, name: &str, clock_rate: u32) -> Option<&NegotiatedCodec> {
        let same = |codec: &Codec| codec.name.eq_ignore_ascii_case(name) && codec.clock_rate == clock_rate;
        self.codecs.iter().find(|codec| same(&codec.codec))
    }

    /// A codec by its name, without regard to case.
    #[must_use]
    pub fn codec(&self, name: &str) -> Option<&NegotiatedCodec> {
        self.codecs.iter().find(|codec| codec.codec.name.eq_ignore_ascii_case(name))
    }
}

/// A codec that both ends can do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NegotiatedCodec {
    /// The codec; its format parameters are the far end's, because they tell us how to send.
    pub codec: Codec,
    /// The payload type to write into what we send.
    pub send_payload_type: u8,
    /// The payload type that arrives.
    pub receive_payload_type: u8,
}

impl NegotiatedCodec {
    /// What the far end takes of H.264; `None` for another codec.
    #[must_use]
    pub fn h264(&self) -> Option<H264Terms> {
        formats::is_h264(&self.codec).then(|| h264::terms(self.codec.fmtp.as_deref()))
    }
}

/// What the far end takes of H.264 (RFC 6184 section 8.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct H264Terms {
    /// `packetization-mode`, 0 when it says none.
    pub packetization_mode: u8,
    /// Ten times its level: 31 is level 3.1; 9 is level 1b. Level 1 when it says none.
    pub level: u8,
}

/// The keys of an encrypted line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NegotiatedCrypto {
    /// The suite both use.
    pub suite: CryptoSuite,
    /// The key that protects what we send.
    pub local: SdesKey,
    /// The key that protects what we receive.
    pub remote: SdesKey,
}

/// One m-line that carries no media.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedMedia {
    /// Its kind, or `None` for one that z5 does not carry.
    pub kind: Option<MediaKind>,
    /// The position of the m-line, from zero.
    pub index: usize,
    /// Why.
    pub why: RefusedWhy,
    /// With [`RefusedWhy::NoCommonCodec`]: the formats of the line and the reason for each.
    pub codecs: Vec<RefusedCodec>,
}

impl RefusedMedia {
    /// Whether it was this end that did not want or could not do what was offered.
    pub(crate) fn is_ours(&self) -> bool {
        !matches!(self.why, RefusedWhy::OfferedClosed | RefusedWhy::RefusedByPeer | RefusedWhy::ClosedByUs)
    }
}

/// A format of an m-line that is not used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedCodec {
    /// The format as it stands in the m-line: a payload type, or a word.
    pub format: String,
    /// Its name and clock rate where the description gives one, such as `G729/8000`.
    pub encoding: Option<String>,
    /// Why.
    pub why: &'static str,
}

/// Why an m-line carries no media.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RefusedWhy {
    /// A kind of medium that z5 does not carry.
    #[error("media of the kind {token:?} is not supported")]
    UnknownKind {
        /// The token of the m-line.
        token: String,
    },
    /// We have no medium of this kind, or all of them are taken by earlier lines.
    #[error("no {} was offered or is left on our side", .kind.as_str())]
    NotWanted {
        /// The kind.
        kind: MediaKind,
    },
    /// The far end offered the line with port 0.
    #[error("the far end offered it closed (port 0)")]
    OfferedClosed,
    /// The far end answered our line with port 0.
    #[error("the far end refused it (port 0)")]
    RefusedByPeer,
    /// We closed the line ourselves.
    #[error("we closed it (port 0)")]
    ClosedByUs,
    /// A transport profile that z5 does not speak.
    #[error("the transport {proto:?} is not supported")]
    Transport {
        /// The profile of the m-line.
        proto: String,
    },
    /// A line that is keyed by DTLS (RFC 5764), and this end has no certificate.
    #[error("the line is keyed by DTLS ({proto}), for which there is no certificate on this side")]
    Dtls {
        /// The profile of the m-line.
        proto: String,
    },
    /// A line that is keyed by DTLS and says of the handshake what cannot be used.
    #[error("the line is keyed by DTLS, and {0}")]
    DtlsUnusable(#[from] DtlsError),
    /// A line that is not keyed by DTLS where nothing else will do.
    #[error("this side takes keys by DTLS alone, and the line has none")]
    DtlsRequired,
    /// Nothing in common.
    #[error("no common codec: the far end has {}, we have {}", list(.theirs), list(.ours))]
    NoCommonCodec {
        /// What the far end listed, as `NAME/RATE`.
        theirs: Vec<String>,
        /// What we listed.
        ours: Vec<String>,
    },
    /// We require encryption and the line has no key that we can use.
    #[error("encryption is required and no offered key can be used{}", because(.errors))]
    CryptoRequired {
        /// What was wrong with each `a=crypto` line there was.
        errors: Vec<CryptoError>,
    },
    /// The line demands encryption and we have none.
    #[error("the far end demands encryption, which is off on this side")]
    CryptoNotConfigured,
    /// The answer's key does not belong to the offer.
    #[error("the answered key does not match an offered one")]
    CryptoMismatch,
    /// The line has no address that we can send to.
    #[error("the address {address:?} cannot be used")]
    Address {
        /// The address as written.
        address: String,
    },
}

fn list(names: &[String]) -> String {
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

fn because(errors: &[CryptoError]) -> String {
    errors.iter().map(|error| format!("; {error}")).collect()
}

/// Why nothing was agreed on at all.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NegotiationFailure {
    /// The description cannot be read.
    #[error("the session description cannot be read: {0}")]
    Description(#[from] SdpError),
    /// No line carries media: each with its reason.
    #[error("no medium in common: {}", reasons(.refused))]
    NothingInCommon {
        /// Every line and why.
        refused: Vec<RefusedMedia>,
    },
    /// The answer has not as many lines as the offer (RFC 3264 section 6), or they are of other kinds.
    #[error("the answer has {answered} media lines where the offer has {offered}, or in another order")]
    LinesDiffer {
        /// Lines of the offer.
        offered: usize,
        /// Lines of the answer.
        answered: usize,
    },
}

fn reasons(refused: &[RefusedMedia]) -> String {
    if refused.is_empty() {
        return "there is no media line".to_owned();
    }
    refused.iter().map(|media| format!("line {}: {}", media.index, media.why)).collect::<Vec<_>>().join("; ")
}

/// What a far end offers, for showing and for preparing an answer; no session description text.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct OfferSummary {
    /// Every line in order. Empty when the request carried no offer (the offer is then ours to make).
    pub media: Vec<OfferedMedia>,
}

/// One offered m-line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OfferedMedia {
    /// Its kind, or `None` for one that z5 does not carry.
    pub kind: Option<MediaKind>,
    /// The transport profile as written.
    pub proto: String,
    /// The encodings as `NAME/RATE`, in the far end's order.
    pub codecs: Vec<String>,
    /// What the far end wants to do, seen from its side.
    pub direction: Direction,
    /// The line carries at least one `a=crypto`.
    pub encrypted: bool,
    /// What it says of a DTLS handshake, when it shows a fingerprint.
    pub dtls: Option<OfferedDtls>,
    /// The line was offered with port 0.
    pub closed: bool,
    /// RTP and RTCP may share one port.
    pub rtcp_mux: bool,
    /// The RTCP feedback offered, each kind once.
    pub feedback: Vec<Feedback>,
    /// The most the far end wants to receive, in bits per second.
    pub bandwidth_bps: Option<u64>,
    /// Why the line can be taken by no capabilities whatever: its kind, its transport, its address, or that it is closed.
    pub unusable: Option<RefusedWhy>,
}

impl fmt::Display for OfferSummary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, media) in self.media.iter().enumerate() {
            if index > 0 {
                f.write_str(", ")?;
            }
            write!(f, "{} ({})", media.kind.map_or("other", MediaKind::as_str), media.codecs.join(" "))?;
        }
        Ok(())
    }
}
