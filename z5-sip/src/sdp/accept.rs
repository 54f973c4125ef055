//! Taking the answer to our offer (RFC 3264 section 7).
//!
//! The answer's numbers tell us what to send; what arrives has the numbers that our offer wrote, which are the session's
//! own when it stood before. An answer that renumbers is legal and taken by name. A key must repeat the tag and the suite
//! of one that we offered.

use sdp_types::Media;

use super::answer::{no_common_codec, refused_codec};
use super::capability::{Capabilities, Codec, MediaCapability, MediaKind, Security};
use super::description::SessionDescription;
use super::dtls;
use super::feedback;
use super::formats::{self, Format, Profile};
use super::negotiated::{
    Negotiated, NegotiatedCodec, NegotiatedCrypto, NegotiatedMedia, NegotiationFailure, RefusedCodec,
    RefusedMedia, RefusedWhy,
};

/// Reads the answer to an offer made of `capabilities`.
///
/// # Errors
/// [`NegotiationFailure::LinesDiffer`] when the answer's lines are not those of the offer,
/// [`NegotiationFailure::NothingInCommon`] when no line carries media.
pub fn accept_answer(
    offer: &SessionDescription,
    answer: &SessionDescription,
    capabilities: &Capabilities,
) -> Result<Negotiated, NegotiationFailure> {
    let (offered, answered) = (&offer.session.medias, &answer.session.medias);
    let same_kinds = offered.iter().zip(answered).all(|(ours, theirs)| ours.media == theirs.media);
    if offered.len() != answered.len() || !same_kinds {
        return Err(NegotiationFailure::LinesDiffer { offered: offered.len(), answered: answered.len() });
    }
    let mut outcome = Negotiated::default();
    for (index, (ours, theirs)) in offered.iter().zip(answered).enumerate() {
        match accept_line(answer, ours, theirs, index, capabilities) {
            Ok(media) => outcome.media.push(media),
            Err(why) => {
                let kind = MediaKind::from_token(&theirs.media);
                outcome.refused.push(RefusedMedia { kind, index, why, codecs: Vec::new() });
            }
        }
    }
    if outcome.media.is_empty() {
        return Err(NegotiationFailure::NothingInCommon { refused: outcome.refused });
    }
    Ok(outcome)
}

fn accept_line(
    answer: &SessionDescription,
    ours: &Media,
    theirs: &Media,
    index: usize,
    capabilities: &Capabilities,
) -> Result<NegotiatedMedia, RefusedWhy> {
    // A line of ours is known by its port; one without was closed, or never ours.
    let is_line = |medium: &&MediaCapability| medium.port == ours.port && medium.kind.as_str() == ours.media;
    let medium = capabilities.media.iter().find(is_line).filter(|medium| medium.port != 0);
    let medium = medium.ok_or(RefusedWhy::ClosedByUs)?;
    if theirs.port == 0 {
        return Err(RefusedWhy::RefusedByPeer);
    }
    let offered_dtls = matches!(medium.security, Security::Dtls(_));
    let profile = formats::profile(&answer.session, theirs, offered_dtls)?;
    let dtls = match (offered_dtls, profile) {
        (true, _) => Some(dtls::accepted(&answer.session, theirs)?),
        (false, Profile::Dtls) => return Err(RefusedWhy::Dtls { proto: theirs.proto.clone() }),
        (false, Profile::Clear | Profile::Secure) => None,
    };
    let secure = profile == Profile::Secure;
    let (codecs, refused_codecs) = answered_codecs(ours, theirs, medium)?;
    let address =
        formats::address(&answer.session, theirs).map_err(|address| RefusedWhy::Address { address })?;
    if address.rtp.is_ipv4() != capabilities.address.is_ipv4() {
        return Err(RefusedWhy::Address { address: address.rtp.ip().to_string() });
    }
    let crypto = accept_key(theirs, medium, secure)?;
    let mut direction = formats::direction(&answer.session, theirs).reversed().and(medium.direction);
    if address.rtp.ip().is_unspecified() {
        direction = super::Direction::new(false, direction.receives());
    }
    // An answer cannot introduce sharing one port, only take it (RFC 5761 section 5.1.1).
    let shared = address.rtcp_mux && ours.has_attribute("rtcp-mux");
    let rtcp = if address.rtcp_mux && !shared {
        std::net::SocketAddr::new(address.rtp.ip(), address.rtp.port().saturating_add(1))
    } else {
        address.rtcp
    };
    let numbers: Vec<u8> = codecs.iter().map(|codec| codec.send_payload_type).collect();
    let feedback = feedback::common(theirs, &numbers, &medium.feedback);
    Ok(NegotiatedMedia {
        index,
        kind: medium.kind,
        local_port: medium.port,
        remote: address.rtp,
        remote_rtcp: rtcp,
        rtcp_mux: shared,
        marks: medium.marks.common(theirs),
        codecs,
        direction,
        crypto,
        dtls,
        ptime_ms: formats::ptime(theirs),
        feedback,
        bandwidth_bps: formats::bandwidth(&answer.session, theirs),
        refused_codecs,
        refused_keys: Vec::new(),
    })
}

/// A codec of ours under the number that our offer gave it.
struct Offered<'a> {
    payload_type: u8,
    codec: &'a Codec,
}

/// What our line offered. Its numbers are those of the line: a session that stands keeps the ones it was given, which may
/// be others than those of our capabilities.
fn offered_codecs<'a>(ours: &Media, medium: &'a MediaCapability) -> Vec<Offered<'a>> {
    let offered = |format: &Format<'_>| {
        let codec = medium.codecs.iter().find(|codec| format.matches(codec))?;
        Some(Offered { payload_type: format.payload_type?, codec })
    };
    formats::of_line(ours).iter().filter_map(offered).collect()
}

fn answered_codecs(
    ours: &Media,
    theirs: &Media,
    medium: &MediaCapability,
) -> Result<(Vec<NegotiatedCodec>, Vec<RefusedCodec>), RefusedWhy> {
    let offered = offered_codecs(ours, medium);
    let formats = formats::of_line(theirs);
    let mut codecs: Vec<NegotiatedCodec> = Vec::new();
    let mut refused = Vec::new();
    for format in &formats {
        match answered_codec(format, &offered) {
            Ok(codec) => codecs.push(codec),
            Err(why) => refused.push(refused_codec(format, why)),
        }
    }
    if !codecs.iter().any(|codec| !codec.codec.is_auxiliary()) {
        return Err(no_common_codec(&formats, medium));
    }
    Ok((codecs, refused))
}

fn answered_codec(format: &Format<'_>, offered: &[Offered<'_>]) -> Result<NegotiatedCodec, &'static str> {
    let number = format.payload_type.ok_or("not a payload type")?;
    // An answer may leave the rtpmap of a number that we gave a meaning to ourselves.
    let ours = match &format.encoding {
        Some(_) => {
            let by_name = || offered.iter().filter(|ours| format.matches(ours.codec));
            by_name().find(|ours| ours.payload_type == number).or_else(|| by_name().next())
        }
        None => offered.iter().find(|ours| ours.payload_type == number),
    };
    let Offered { payload_type, codec } = ours.ok_or("answered, but never offered")?;
    Ok(NegotiatedCodec {
        codec: Codec {
            name: codec.name.clone(),
            payload_type: number,
            fmtp: format.fmtp.map(str::to_owned),
            ..**codec
        },
        send_payload_type: number,
        receive_payload_type: *payload_type,
    })
}

fn accept_key(
    theirs: &Media,
    medium: &MediaCapability,
    secure: bool,
) -> Result<Option<NegotiatedCrypto>, RefusedWhy> {
    let required = match &medium.security {
        Security::Clear if secure => return Err(RefusedWhy::CryptoNotConfigured),
        // We offered no key, so one in the answer has no meaning.
        Security::Clear | Security::Dtls(_) => return Ok(None),
        Security::SdesOptional(_) => secure,
        Security::SdesRequired(_) => true,
    };
    match formats::keys(theirs).into_iter().next() {
        None if required => Err(RefusedWhy::CryptoRequired { errors: Vec::new() }),
        None => Ok(None),
        Some(Err(error)) => Err(RefusedWhy::CryptoRequired { errors: vec![error] }),
        Some(Ok(remote)) => {
            let matches =
                |local: &&super::SdesKey| local.tag() == remote.tag() && local.suite() == remote.suite();
            let local = medium.security.keys().iter().find(matches).ok_or(RefusedWhy::CryptoMismatch)?;
            Ok(Some(NegotiatedCrypto { suite: remote.suite(), local: local.clone(), remote }))
        }
    }
}
