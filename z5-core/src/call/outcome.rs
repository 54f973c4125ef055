//! What became of each m-line of an offer and its answer (RFC 3264), and why: for a person who asks why a codec was or was not used.

use serde::Serialize;
use z5_sip::sdp::{MediaKind, Negotiated, NegotiatedCodec, NegotiatedMedia, RefusedCodec, RefusedMedia};

/// One m-line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LineOutcome {
    /// Its place, from zero.
    pub index: usize,
    /// `audio`, `text`, `video`, or what z5 does not carry: `other`.
    pub kind: &'static str,
    /// It carries media.
    pub taken: bool,
    /// Why it does not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// The formats that both have, in the order that holds for the call.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub formats: Vec<FormatTaken>,
    /// The formats that are not used.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<FormatLeft>,
    /// What we do: `sendrecv`, `sendonly`, `recvonly` or `inactive`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub direction: Option<&'static str>,
    /// RTP and RTCP share one port (RFC 5761).
    pub rtcp_mux: bool,
    /// The duration of a packet that the far end asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ptime_ms: Option<u32>,
    /// RTCP feedback that both act on (RFC 4585, RFC 5104).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub feedback: Vec<&'static str>,
    /// The most the far end wants to receive, in bits per second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bandwidth_bps: Option<u64>,
    /// The SRTP suite.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub crypto: Option<&'static str>,
    /// Why keys that stood before the one in use are not used.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub keys_left: Vec<String>,
}

/// What a format is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum FormatUse {
    /// The one we send with.
    Sent,
    /// Beside it: keys, comfort noise, redundancy.
    Beside,
    /// The far end may send it at any time.
    Understood,
}

/// A format that both have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FormatTaken {
    /// `NAME/RATE`.
    pub encoding: String,
    /// Parameters of the far end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fmtp: Option<String>,
    /// The payload type that we write.
    pub send_payload_type: u8,
    /// The payload type that comes.
    pub receive_payload_type: u8,
    /// What it is for.
    pub used: FormatUse,
}

/// A format that is not used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FormatLeft {
    /// As it stands in the m-line.
    pub format: String,
    /// `NAME/RATE` where the description says one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub encoding: Option<String>,
    /// Why.
    pub why: &'static str,
}

/// Every line in its place.
pub(crate) fn lines(negotiated: &Negotiated) -> Vec<LineOutcome> {
    let taken = negotiated.media.iter().map(taken);
    let mut all: Vec<LineOutcome> = taken.chain(negotiated.refused.iter().map(refused)).collect();
    all.sort_by_key(|line| line.index);
    all
}

fn taken(media: &NegotiatedMedia) -> LineOutcome {
    // The same choice as that of the media driver: H.264 whose pictures may be split goes first.
    let split = |format: &&NegotiatedCodec| format.h264().is_some_and(|terms| terms.packetization_mode == 1);
    let sent = media.codecs.iter().find(split).or_else(|| media.primary());
    let formats = media.codecs.iter().map(|format| FormatTaken {
        encoding: format!("{}/{}", format.codec.name, format.codec.clock_rate),
        fmtp: format.codec.fmtp.clone(),
        send_payload_type: format.send_payload_type,
        receive_payload_type: format.receive_payload_type,
        used: match sent {
            _ if format.codec.is_auxiliary() => FormatUse::Beside,
            Some(sent) if sent == format => FormatUse::Sent,
            Some(_) | None => FormatUse::Understood,
        },
    });
    LineOutcome {
        index: media.index,
        kind: media.kind.as_str(),
        taken: true,
        why: None,
        formats: formats.collect(),
        left_out: media.refused_codecs.iter().map(left).collect(),
        direction: Some(media.direction.as_str()),
        rtcp_mux: media.rtcp_mux,
        ptime_ms: media.ptime_ms,
        feedback: media.feedback.iter().map(|feedback| feedback.as_str()).collect(),
        bandwidth_bps: media.bandwidth_bps,
        crypto: media.crypto.as_ref().map(|crypto| crypto.suite.as_str()),
        keys_left: media.refused_keys.iter().map(ToString::to_string).collect(),
    }
}

fn refused(media: &RefusedMedia) -> LineOutcome {
    LineOutcome {
        index: media.index,
        kind: media.kind.map_or("other", MediaKind::as_str),
        taken: false,
        why: Some(media.why.to_string()),
        formats: Vec::new(),
        left_out: media.codecs.iter().map(left).collect(),
        direction: None,
        rtcp_mux: false,
        ptime_ms: None,
        feedback: Vec::new(),
        bandwidth_bps: None,
        crypto: None,
        keys_left: Vec::new(),
    }
}

fn left(codec: &RefusedCodec) -> FormatLeft {
    FormatLeft { format: codec.format.clone(), encoding: codec.encoding.clone(), why: codec.why }
}
