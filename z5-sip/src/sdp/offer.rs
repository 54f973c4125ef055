//! Writing our side of a description: an offer (RFC 3264 sections 5 and 8), and what an answered line shares with it.

use sdp_types::{Attribute, Bandwidth, Media};

use super::capability::{Capabilities, Codec, Direction, MediaCapability, Security};
use super::crypto::SdesKey;
use super::description::{Origin, SessionDescription};
use super::dtls::{DtlsIdentity, DtlsRole, Setup};
use super::feedback::{self, Feedback};
use super::formats;
use super::negotiated::{Negotiated, NegotiatedCodec, NegotiatedMedia};

/// Offers everything in `capabilities`, one m-line each, in their order.
#[must_use]
pub fn make_offer(capabilities: &Capabilities, origin: Origin) -> SessionDescription {
    let mut description = SessionDescription::ours(capabilities.address, origin);
    description.session.medias = capabilities.media.iter().map(offered_line).collect();
    description
}

/// Offers `capabilities` anew in a session that stands: lines keep their place, a line without a medium is closed, one that
/// was closed or refused is used again for a medium of its kind, a medium of a new kind is added at the end, and payload
/// numbers keep their meaning (RFC 3264 section 8).
#[must_use]
pub fn reoffer(
    capabilities: &Capabilities,
    origin: Origin,
    agreed: &SessionDescription,
    negotiated: &Negotiated,
) -> SessionDescription {
    let mut description = SessionDescription::ours(capabilities.address, origin);
    let mut used = vec![false; capabilities.media.len()];
    let mut take = |kind: &str| {
        let fits = |slot: &usize| !used[*slot] && capabilities.media[*slot].kind.as_str() == kind;
        let slot = (0..used.len()).find(fits)?;
        used[slot] = true;
        Some(slot)
    };
    let flowing = |index| negotiated.media.iter().find(|media| media.index == index);
    // What flows comes first: no line that was closed takes its medium.
    let lines = || agreed.session.medias.iter().enumerate();
    let mut slots: Vec<Option<usize>> =
        lines().map(|(index, _)| flowing(index).and_then(|before| take(before.kind.as_str()))).collect();
    for (index, line) in lines().filter(|(index, _)| flowing(*index).is_none()) {
        slots[index] = take(&line.media);
    }
    for (index, line) in lines() {
        let next = match (flowing(index), slots[index]) {
            (Some(before), Some(slot)) => {
                let mut medium = capabilities.media[slot].clone();
                medium.codecs = same_numbers(&medium.codecs, before);
                // What shares one port now cannot be told apart from a new stream on two.
                medium.rtcp_mux |= before.rtcp_mux;
                let mut next = offered_line(&medium);
                next.proto.clone_from(&line.proto);
                next
            }
            (None, Some(slot)) => offered_line(&capabilities.media[slot]),
            (Some(_) | None, None) => {
                let mut closed = empty_line(&line.media, 0, &line.proto);
                closed.fmt.clone_from(&line.fmt);
                closed
            }
        };
        description.session.medias.push(next);
    }
    // Two lines of one kind are more than anybody wished for.
    let is_new = |medium: &MediaCapability| {
        agreed.session.medias.iter().all(|line| line.media != medium.kind.as_str())
    };
    let added = capabilities.media.iter().filter(|medium| is_new(medium));
    description.session.medias.extend(added.map(offered_line));
    description
}

/// Our codecs under the numbers that the session has given them. A number that means something else by now is not used
/// for a codec that had none.
fn same_numbers(codecs: &[Codec], before: &NegotiatedMedia) -> Vec<Codec> {
    let taken = |number| before.codecs.iter().any(|codec| codec.receive_payload_type == number);
    let known = |codec: &Codec| {
        let same = |known: &&NegotiatedCodec| formats::same_format(&known.codec, codec);
        before.codecs.iter().find(same)
    };
    let number = |codec: &Codec| match known(codec) {
        Some(known) => Some(known.receive_payload_type),
        None => (!taken(codec.payload_type)).then_some(codec.payload_type),
    };
    let renumbered = codecs.iter().filter_map(|codec| {
        let mut same = codec.clone();
        same.payload_type = number(codec)?;
        if let Some(generations) = codec.fmtp.as_deref().filter(|_| codec.name.eq_ignore_ascii_case("red")) {
            // Its parameters are payload numbers: they move along, or redundancy is of no use.
            let moved = generations.split('/').map(|token| {
                let named = codecs.iter().find(|other| other.payload_type.to_string() == token.trim());
                named.and_then(number).map(|number| number.to_string())
            });
            same.fmtp = Some(moved.collect::<Option<Vec<_>>>()?.join("/"));
        }
        Some(same)
    });
    renumbered.collect()
}

fn offered_line(medium: &MediaCapability) -> Media {
    // Best effort is offered as RTP/AVP: a far end that knows nothing of keys can still take it.
    let proto = match (&medium.security, medium.feedback_profile) {
        (Security::Clear | Security::SdesOptional(_), false) => "RTP/AVP",
        (Security::Clear | Security::SdesOptional(_), true) => "RTP/AVPF",
        (Security::SdesRequired(_), false) => "RTP/SAVP",
        (Security::SdesRequired(_), true) => "RTP/SAVPF",
        (Security::Dtls(_), false) => "UDP/TLS/RTP/SAVP",
        (Security::Dtls(_), true) => "UDP/TLS/RTP/SAVPF",
    };
    let mut line = empty_line(medium.kind.as_str(), medium.port, proto);
    write_codecs(&mut line, medium.codecs.iter());
    if medium.port == 0 {
        return line;
    }
    for key in medium.security.keys() {
        push(&mut line, "crypto", key.to_attribute());
    }
    if let Security::Dtls(identity) = &medium.security {
        // Either end may begin, also when a session stands (RFC 5763 section 5, RFC 8842 section 5.5).
        identity.write(&mut line, Setup::Either);
    }
    finish_line(&mut line, medium, medium.direction, None);
    line
}

/// A line without formats and attributes.
pub(super) fn empty_line(kind: &str, port: u16, proto: &str) -> Media {
    Media {
        media: kind.to_owned(),
        port,
        num_ports: None,
        proto: proto.to_owned(),
        fmt: String::new(),
        media_title: None,
        connections: Vec::new(),
        bandwidths: Vec::new(),
        key: None,
        attributes: Vec::new(),
    }
}

/// The formats of a line with an `rtpmap` each, even the static ones: it costs little and helps whoever reads traces.
pub(super) fn write_codecs<'a>(line: &mut Media, codecs: impl Iterator<Item = &'a Codec>) {
    line.attributes.reserve(8);
    for codec in codecs {
        let (number, rate) = (codec.payload_type.to_string(), codec.clock_rate.to_string());
        if !line.fmt.is_empty() {
            line.fmt.push(' ');
        }
        line.fmt.push_str(&number);
        let channels = codec.channels.filter(|&channels| channels > 1).map(|channels| format!("/{channels}"));
        let channels = channels.as_deref().unwrap_or_default();
        push(line, "rtpmap", [&number, " ", &codec.name, "/", &rate, channels].concat());
        if let Some(fmtp) = &codec.fmtp {
            push(line, "fmtp", [&number, " ", fmtp].concat());
        }
    }
}

/// What closes an offered and an answered line alike.
pub(super) fn finish_line(
    line: &mut Media,
    medium: &MediaCapability,
    direction: Direction,
    answer: Option<AnswerLine<'_>>,
) {
    if let Some(AnswerLine { key: Some(key), .. }) = &answer {
        push(line, "crypto", key.to_attribute());
    }
    if let Some(AnswerLine { dtls: Some((identity, role)), .. }) = &answer {
        identity.write(line, role.setup());
    }
    if let Some(bps) = medium.bandwidth_bps {
        let kbps = u64::from(bps.div_ceil(1000));
        line.bandwidths = [("AS", kbps), ("TIAS", u64::from(bps))]
            .map(|(name, bandwidth)| Bandwidth { bwtype: name.to_owned(), bandwidth })
            .to_vec();
    }
    if let Some(ptime) = medium.ptime_ms {
        push(line, "ptime", ptime.to_string());
    }
    match &answer {
        Some(answer) => {
            for (token, feedback) in feedback::of_line(answer.offered) {
                if feedback::applies(token, answer.numbers) && answer.feedback.contains(&feedback) {
                    push(line, "rtcp-fb", format!("{token} {}", feedback.as_str()));
                }
            }
        }
        None => {
            for feedback in &medium.feedback {
                push(line, "rtcp-fb", format!("* {}", feedback.as_str()));
            }
        }
    }
    let mux = answer.as_ref().map_or(medium.rtcp_mux, |answer| answer.rtcp_mux);
    if mux {
        line.attributes.push(Attribute::new("rtcp-mux"));
    }
    // An offered RTCP port is for a far end that does not share; an answer that shares has none (RFC 5761 section 5.1.1).
    if let Some(port) = medium.rtcp_port.filter(|&port| Some(port) != medium.port.checked_add(1))
        && !(mux && answer.is_some())
    {
        push(line, "rtcp", port.to_string());
    }
    let marks = answer.as_ref().map_or(medium.marks, |answer| medium.marks.common(answer.offered));
    for (name, value) in marks.lines() {
        match value {
            Some(value) => push(line, name, value.to_owned()),
            None => line.attributes.push(Attribute::new(name)),
        }
    }
    line.attributes.push(Attribute::new(direction.as_str()));
}

/// What only an answered line says.
#[derive(Clone, Copy)]
pub(super) struct AnswerLine<'a> {
    pub(super) key: Option<&'a SdesKey>,
    /// The handshake.
    pub(super) dtls: Option<(&'a DtlsIdentity, DtlsRole)>,
    pub(super) rtcp_mux: bool,
    /// The line that is answered.
    pub(super) offered: &'a Media,
    /// The payload types that are taken.
    pub(super) numbers: &'a [u8],
    /// The feedback that is taken.
    pub(super) feedback: &'a [Feedback],
}

fn push(line: &mut Media, name: &str, value: String) {
    line.attributes.push(Attribute { attribute: name.to_owned(), value: Some(value) });
}
