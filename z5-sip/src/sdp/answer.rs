//! Answering an offer (RFC 3264 section 6).
//!
//! Every offered line is answered in its place: taken, or refused with port 0 and a reason kept for the user. The
//! offerer's payload numbers and order of codecs are kept. A line that demands more than we can do (another profile,
//! encryption that is off) is refused, the others go on.

use sdp_types::Media;

use super::capability::{Capabilities, Codec, MediaCapability, MediaKind, Security};
use super::crypto::{CryptoError, SdesKey};
use super::description::{Origin, SessionDescription};
use super::dtls::{self, NegotiatedDtls};
use super::feedback;
use super::formats::{self, Format, Profile};
use super::h264;
use super::negotiated::{
    Negotiated, NegotiatedCodec, NegotiatedCrypto, NegotiatedMedia, NegotiationFailure, RefusedCodec,
    RefusedMedia, RefusedWhy,
};
use super::offer::{AnswerLine, empty_line, finish_line, write_codecs};

/// Answers `offer` with what `capabilities` have in common with it.
///
/// # Errors
/// [`NegotiationFailure::NothingInCommon`] when every line is refused; the request is then answered 488.
pub fn answer(
    offer: &SessionDescription,
    capabilities: &Capabilities,
    origin: Origin,
) -> Result<(SessionDescription, Negotiated), NegotiationFailure> {
    answer_within(offer, capabilities, origin, None)
}

/// The same within a session that stands: a handshake that was agreed on keeps its roles.
pub(crate) fn answer_within(
    offer: &SessionDescription,
    capabilities: &Capabilities,
    origin: Origin,
    before: Option<&Negotiated>,
) -> Result<(SessionDescription, Negotiated), NegotiationFailure> {
    let mut ours = SessionDescription::ours(capabilities.address, origin);
    // RFC 3264 section 6: the times of the answer equal those of the offer.
    ours.session.times.clone_from(&offer.session.times);
    let mut outcome = Negotiated::default();
    let mut taken = vec![false; capabilities.media.len()];
    for (index, theirs) in offer.session.medias.iter().enumerate() {
        let agreed = before.and_then(|before| before.media.iter().find(|media| media.index == index));
        let agreed = agreed.and_then(|media| media.dtls.as_ref());
        match answer_line(offer, theirs, (index, agreed), capabilities, &mut taken) {
            Ok((line, media)) => {
                ours.session.medias.push(line);
                outcome.media.push(media);
            }
            Err(Refusal { why, codecs }) => {
                let mut line = empty_line(&theirs.media, 0, &theirs.proto);
                line.fmt.clone_from(&theirs.fmt);
                ours.session.medias.push(line);
                let kind = MediaKind::from_token(&theirs.media);
                outcome.refused.push(RefusedMedia { kind, index, why, codecs });
            }
        }
    }
    if outcome.media.is_empty() {
        return Err(NegotiationFailure::NothingInCommon { refused: outcome.refused });
    }
    Ok((ours, outcome))
}

fn answer_line(
    offer: &SessionDescription,
    theirs: &Media,
    (index, agreed): (usize, Option<&NegotiatedDtls>),
    capabilities: &Capabilities,
    taken: &mut [bool],
) -> Result<(Media, NegotiatedMedia), Refusal> {
    let kind = MediaKind::from_token(&theirs.media)
        .ok_or_else(|| RefusedWhy::UnknownKind { token: theirs.media.clone() })?;
    if theirs.port == 0 {
        return Err(RefusedWhy::OfferedClosed.into());
    }
    let may_take = |medium: &MediaCapability| medium.dtls_identity().is_some() && medium.kind == kind;
    let profile = formats::profile(&offer.session, theirs, capabilities.media.iter().any(may_take))?;
    let (slot, medium) = capabilities
        .media
        .iter()
        .enumerate()
        .find(|&(slot, medium)| medium.kind == kind && medium.port != 0 && !taken[slot])
        .ok_or(RefusedWhy::NotWanted { kind })?;
    let (codecs, refused_codecs) = common_codecs(theirs, medium)?;
    let address =
        formats::address(&offer.session, theirs).map_err(|address| RefusedWhy::Address { address })?;
    if address.rtp.is_ipv4() != capabilities.address.is_ipv4() {
        return Err(RefusedWhy::Address { address: address.rtp.ip().to_string() }.into());
    }
    let (dtls, Keys { crypto, refused: refused_keys }) = match (profile, medium.dtls_identity()) {
        (Profile::Dtls, Some(identity)) => {
            let theirs = dtls::answered(&offer.session, theirs, agreed).map_err(RefusedWhy::from)?;
            (Some((identity, theirs)), Keys { crypto: None, refused: Vec::new() })
        }
        (Profile::Dtls, None) => return Err(RefusedWhy::Dtls { proto: theirs.proto.clone() }.into()),
        (Profile::Clear | Profile::Secure, _) => (None, choose_key(theirs, medium, profile)?),
    };
    taken[slot] = true;

    let mut direction = formats::direction(&offer.session, theirs).reversed().and(medium.direction);
    if address.rtp.ip().is_unspecified() {
        // The hold of RFC 2543: an address to which nothing can be sent.
        direction = super::Direction::new(false, direction.receives());
    }
    let mut line = empty_line(&theirs.media, medium.port, &theirs.proto);
    write_codecs(&mut line, codecs.iter().map(|codec| &codec.answered));
    let key = crypto.as_ref().map(|crypto| &crypto.local);
    let numbers: Vec<u8> = codecs.iter().map(|codec| codec.answered.payload_type).collect();
    let feedback = feedback::common(theirs, &numbers, &medium.feedback);
    let answering = AnswerLine {
        key,
        dtls: dtls.as_ref().map(|(identity, agreed)| (*identity, agreed.role)),
        rtcp_mux: address.rtcp_mux,
        offered: theirs,
        numbers: &numbers,
        feedback: &feedback,
    };
    finish_line(&mut line, medium, direction, Some(answering));
    let media = NegotiatedMedia {
        index,
        kind,
        local_port: medium.port,
        remote: address.rtp,
        remote_rtcp: address.rtcp,
        rtcp_mux: address.rtcp_mux,
        marks: medium.marks.common(theirs),
        codecs: codecs.into_iter().map(|codec| codec.negotiated).collect(),
        direction,
        crypto,
        dtls: dtls.map(|(_, agreed)| agreed),
        ptime_ms: formats::ptime(theirs),
        feedback,
        bandwidth_bps: formats::bandwidth(&offer.session, theirs),
        refused_codecs,
        refused_keys,
    };
    Ok((line, media))
}

struct Common {
    answered: Codec,
    negotiated: NegotiatedCodec,
}

/// The codecs of a line that we can do, in the offerer's order and with the offerer's numbers.
fn common_codecs(
    theirs: &Media,
    medium: &MediaCapability,
) -> Result<(Vec<Common>, Vec<RefusedCodec>), Refusal> {
    let offered = formats::of_line(theirs);
    let mut common: Vec<Common> = Vec::new();
    let mut refused = Vec::new();
    for format in &offered {
        match common_codec(format, &offered, medium) {
            Ok(codec) => common.push(codec),
            Err(why) => refused.push(refused_codec(format, why)),
        }
    }
    if !common.iter().any(|codec| !codec.answered.is_auxiliary()) {
        let alone = common.iter().map(|codec| RefusedCodec {
            format: codec.answered.payload_type.to_string(),
            encoding: Some(format!("{}/{}", codec.answered.name, codec.answered.clock_rate)),
            why: "of no use without another codec",
        });
        refused.extend(alone);
        return Err(Refusal { why: no_common_codec(&offered, medium), codecs: refused });
    }
    Ok((common, refused))
}

fn common_codec(
    format: &Format<'_>,
    line: &[Format<'_>],
    medium: &MediaCapability,
) -> Result<Common, &'static str> {
    let number = format.payload_type.ok_or("not a payload type")?;
    if format.encoding.is_none() {
        return Err("no rtpmap, and not a static payload type");
    }
    let ours = medium.codecs.iter().find(|codec| format.matches(codec));
    let ours = ours.ok_or_else(|| format.why_none(&medium.codecs))?;
    let redundant = ours.name.eq_ignore_ascii_case("red");
    if redundant && !redundancy_is_ours(format, line, medium) {
        return Err("redundancy of a format that is not ours");
    }
    // Redundancy names payload types of the offer: those are the ones that hold.
    let fmtp = match redundant {
        true => format.fmtp.map(str::to_owned),
        false if formats::is_h264(ours) => Some(h264::answered(ours.fmtp.as_deref(), format.fmtp)),
        false => ours.fmtp.clone(),
    };
    let answered = Codec { name: ours.name.clone(), payload_type: number, fmtp, ..*ours };
    let codec = Codec { name: answered.name.clone(), fmtp: format.fmtp.map(str::to_owned), ..answered };
    let negotiated = NegotiatedCodec { codec, send_payload_type: number, receive_payload_type: number };
    Ok(Common { answered, negotiated })
}

/// `red` is of use only when every generation it names is a format of this line that we can do.
fn redundancy_is_ours(red: &Format<'_>, line: &[Format<'_>], medium: &MediaCapability) -> bool {
    let Some(fmtp) = red.fmtp else { return false };
    fmtp.split('/').all(|token| {
        let generation = line.iter().find(|format| format.token == token.trim());
        generation.is_some_and(|format| {
            medium.codecs.iter().any(|codec| !codec.name.eq_ignore_ascii_case("red") && format.matches(codec))
        })
    })
}

/// What came of the keys of a line.
struct Keys {
    crypto: Option<NegotiatedCrypto>,
    /// Why earlier keys, or all of them, are not used.
    refused: Vec<CryptoError>,
}

/// The key pair of a line: the first of theirs whose suite is one of ours (RFC 4568 section 5.1.2).
fn choose_key(theirs: &Media, medium: &MediaCapability, profile: Profile) -> Result<Keys, RefusedWhy> {
    let secure = profile == Profile::Secure;
    let (ours, required): (&[SdesKey], bool) = match &medium.security {
        Security::Clear if secure => return Err(RefusedWhy::CryptoNotConfigured),
        Security::Clear => return Ok(Keys { crypto: None, refused: Vec::new() }),
        Security::SdesOptional(keys) => (keys, secure),
        Security::SdesRequired(keys) => (keys, true),
        Security::Dtls(_) => return Err(RefusedWhy::DtlsRequired),
    };
    let mut refused = Vec::new();
    for key in formats::keys(theirs) {
        match key {
            Ok(remote) => {
                let suite = remote.suite();
                if let Some(local) = ours.iter().find(|local| local.suite() == suite) {
                    // The answer repeats the tag of the line it takes.
                    let local = local.with_tag(remote.tag());
                    return Ok(Keys { crypto: Some(NegotiatedCrypto { suite, local, remote }), refused });
                }
                refused.push(CryptoError::NotEnabled { suite });
            }
            Err(error) => refused.push(error),
        }
    }
    if required {
        Err(RefusedWhy::CryptoRequired { errors: refused })
    } else {
        Ok(Keys { crypto: None, refused })
    }
}

/// Why a line is refused, with the reasons of its formats where they are the cause.
struct Refusal {
    why: RefusedWhy,
    codecs: Vec<RefusedCodec>,
}

impl From<RefusedWhy> for Refusal {
    fn from(why: RefusedWhy) -> Self {
        Self { why, codecs: Vec::new() }
    }
}

pub(super) fn refused_codec(format: &Format<'_>, why: &'static str) -> RefusedCodec {
    RefusedCodec {
        format: format.token.to_owned(),
        encoding: format.encoding.as_ref().map(|_| format.label()),
        why,
    }
}

pub(super) fn no_common_codec(theirs: &[Format<'_>], medium: &MediaCapability) -> RefusedWhy {
    RefusedWhy::NoCommonCodec {
        theirs: theirs.iter().map(Format::label).collect(),
        ours: medium.codecs.iter().map(|codec| format!("{}/{}", codec.name, codec.clock_rate)).collect(),
    }
}
