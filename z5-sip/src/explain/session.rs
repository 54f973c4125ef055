//! A session description line by line: what would be answered to it, and why the rest would not. Keys are never shown.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::Serialize;

use super::Judgement;
use crate::sdp::{
    Capabilities, DtlsRole, Feedback, Negotiated, NegotiatedMedia, NegotiationFailure, OfferedDtls, Origin,
    RefusedCodec, RefusedMedia, SessionDescription, answer,
};

/// A session description.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SessionSeen {
    /// Whether it can be answered at all: `refuse` 400 when it cannot be read, 488 when nothing is in common.
    #[serde(flatten)]
    pub judgement: Judgement,
    /// Whether it stands where an offer stands; a description in a response or an ACK may be an answer, whose offer is
    /// not known here. It is then shown as if it were offered, and changes no verdict.
    pub as_offer: bool,
    /// The line of the description where it stops making sense.
    pub bad_line: Option<usize>,
    /// Every m-line in its place.
    pub media: Vec<LineSeen>,
}

/// One m-line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LineSeen {
    /// Its position, from zero.
    pub index: usize,
    /// `audio`, `video`, `text` or another token.
    pub kind: String,
    /// The port offered.
    pub port: u16,
    /// The transport profile; an answer repeats it.
    pub profile: String,
    /// What the writer wants to do.
    pub direction: &'static str,
    /// Whether the line is taken.
    pub taken: bool,
    /// Why it is not.
    pub why: Option<String>,
    /// The codecs taken, under the offered numbers and in the offered order.
    pub codecs: Vec<Chosen>,
    /// The formats that are not taken.
    pub refused: Vec<Refused>,
    /// The key that is taken.
    pub crypto: Option<Key>,
    /// Why keys are not taken.
    pub refused_keys: Vec<String>,
    /// What it says of a DTLS handshake, when it shows a fingerprint.
    pub dtls: Option<Handshake>,
    /// What we would do.
    pub answered_direction: Option<&'static str>,
    /// Where our RTP would go.
    pub remote: Option<String>,
    /// Where our RTCP would go.
    pub remote_rtcp: Option<String>,
    /// Whether RTP and RTCP share one port.
    pub rtcp_mux: bool,
    /// The RTCP feedback offered that z5 knows.
    pub feedback: Vec<&'static str>,
    /// The most the writer wants to receive, in bits per second.
    pub bandwidth_bps: Option<u64>,
    /// Attributes that play no part in the answer.
    pub unknown_attributes: Vec<String>,
}

/// A codec that is taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Chosen {
    /// The payload type in the answer.
    pub payload_type: u8,
    /// `NAME/RATE`.
    pub encoding: String,
    /// The far end's parameters.
    pub fmtp: Option<String>,
}

/// A format that is not taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Refused {
    /// As it stands in the m-line.
    pub format: String,
    /// `NAME/RATE` where the description says one.
    pub encoding: Option<String>,
    /// Why.
    pub why: &'static str,
}

/// A key that is taken; its bytes are nobody's business.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Key {
    /// The offered tag, which the answer repeats.
    pub tag: u32,
    /// The suite.
    pub suite: &'static str,
}

/// What a line says of a DTLS handshake.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Handshake {
    /// The hashes of the fingerprints that can be checked.
    pub hashes: Vec<&'static str>,
    /// Why others cannot.
    pub refused: Vec<String>,
    /// Who is to begin, as written: `active`, `passive`, `actpass` or another token.
    pub setup: Option<String>,
    /// What we would be, `client` or `server`, when the line is taken with it.
    pub role: Option<&'static str>,
}

/// Attributes of a line that the answer depends on.
const READ: [&str; 16] = [
    "rtpmap",
    "fmtp",
    "rtcp",
    "rtcp-mux",
    "rtcp-fb",
    "ptime",
    "crypto",
    "fingerprint",
    "setup",
    "tls-id",
    "sendrecv",
    "sendonly",
    "recvonly",
    "inactive",
    "maxptime",
    "label",
];

/// Explains a description.
pub(super) fn explain(bytes: &[u8], capabilities: &Capabilities, as_offer: bool) -> SessionSeen {
    let description = match SessionDescription::parse(bytes) {
        Ok(description) => description,
        Err(error) => {
            let why = format!("the session description cannot be read: {error}");
            return SessionSeen {
                judgement: Judgement::refuse(400, "Bad Request", why),
                as_offer,
                bad_line: error.line,
                media: Vec::new(),
            };
        }
    };
    let capabilities = of_family(&description, capabilities);
    let (judgement, outcome, refused) =
        match answer(&description, &capabilities, Origin { id: 1, version: 1 }) {
            Ok((_, outcome)) => (Judgement::accept(), outcome.clone(), outcome.refused),
            Err(failure) => {
                let judgement = Judgement::refuse(488, "Not Acceptable Here", failure.to_string());
                let refused = match failure {
                    NegotiationFailure::NothingInCommon { refused } => refused,
                    NegotiationFailure::Description(_) | NegotiationFailure::LinesDiffer { .. } => Vec::new(),
                };
                (judgement, Negotiated::default(), refused)
            }
        };
    let summary = description.summary();
    let lines = description.session().medias.iter().zip(&summary.media).enumerate();
    let media = lines.map(|(index, (line, offered))| {
        let taken = outcome.media.iter().find(|media| media.index == index);
        let why = refused.iter().find(|media| media.index == index);
        LineSeen {
            index,
            kind: line.media.clone(),
            port: line.port,
            profile: line.proto.clone(),
            direction: offered.direction.as_str(),
            taken: taken.is_some(),
            why: why.map(|refused| refused.why.to_string()),
            codecs: taken.map(chosen).unwrap_or_default(),
            refused: refused_formats(taken, why),
            crypto: taken
                .and_then(|media| media.crypto.as_ref())
                .map(|crypto| Key { tag: crypto.local.tag(), suite: crypto.suite.as_str() }),
            refused_keys: taken
                .map(|media| media.refused_keys.iter().map(ToString::to_string).collect())
                .unwrap_or_default(),
            dtls: offered.dtls.as_ref().map(|offered| handshake(offered, taken)),
            answered_direction: taken.map(|media| media.direction.as_str()),
            remote: taken.map(|media| media.remote.to_string()),
            remote_rtcp: taken.map(|media| media.remote_rtcp.to_string()),
            rtcp_mux: offered.rtcp_mux,
            feedback: offered.feedback.iter().copied().map(Feedback::as_str).collect(),
            bandwidth_bps: offered.bandwidth_bps,
            unknown_attributes: unknown(line),
        }
    });
    SessionSeen { judgement, as_offer, bad_line: None, media: media.collect() }
}

/// An end that has both answers from an address of the family that is asked for (RFC 9248 section 4).
fn of_family(description: &SessionDescription, capabilities: &Capabilities) -> Capabilities {
    let session = description.session();
    let lines = session.medias.iter().flat_map(|line| &line.connections);
    let asked = session.connection.iter().chain(lines).find_map(|connection| {
        connection.connection_address.parse::<IpAddr>().ok().filter(|address| !address.is_unspecified())
    });
    let address = match (asked, capabilities.address) {
        (Some(IpAddr::V6(_)), IpAddr::V4(_)) => IpAddr::V6(Ipv6Addr::LOCALHOST),
        (Some(IpAddr::V4(_)), IpAddr::V6(_)) => IpAddr::V4(Ipv4Addr::LOCALHOST),
        (Some(_) | None, own) => own,
    };
    Capabilities { address, ..capabilities.clone() }
}

fn handshake(offered: &OfferedDtls, taken: Option<&NegotiatedMedia>) -> Handshake {
    let role = taken.and_then(|media| media.dtls.as_ref()).map(|agreed| match agreed.role {
        DtlsRole::Client => "client",
        DtlsRole::Server => "server",
    });
    Handshake {
        hashes: offered.fingerprints.iter().map(|fingerprint| fingerprint.hash().as_str()).collect(),
        refused: offered.refused.iter().map(ToString::to_string).collect(),
        setup: offered.setup.clone(),
        role,
    }
}

fn chosen(media: &NegotiatedMedia) -> Vec<Chosen> {
    let each = media.codecs.iter().map(|codec| Chosen {
        payload_type: codec.send_payload_type,
        encoding: format!("{}/{}", codec.codec.name, codec.codec.clock_rate),
        fmtp: codec.codec.fmtp.clone(),
    });
    each.collect()
}

fn refused_formats(taken: Option<&NegotiatedMedia>, why: Option<&RefusedMedia>) -> Vec<Refused> {
    let of_taken = taken.into_iter().flat_map(|media| &media.refused_codecs);
    let of_refused = why.into_iter().flat_map(|media| &media.codecs);
    let shown = |codec: &RefusedCodec| Refused {
        format: codec.format.clone(),
        encoding: codec.encoding.clone(),
        why: codec.why,
    };
    of_taken.chain(of_refused).map(shown).collect()
}

/// Names only: a value may be a key or a password.
fn unknown(line: &sdp_types::Media) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for attribute in &line.attributes {
        let name = &attribute.attribute;
        if !READ.iter().any(|read| name.eq_ignore_ascii_case(read)) && !names.contains(name) {
            names.push(name.clone());
        }
    }
    names
}
