//! Between calls and session descriptions: what we can do, and what was agreed, as plain plans for the media driver.

use std::net::IpAddr;

use z5_media::AudioCodec as MediaCodec;
use z5_sip::sdp::{
    Capabilities, Codec, CryptoSuite, Direction, MediaCapability, MediaKind as SdpKind, Negotiated,
    NegotiatedMedia, SdesKey, Security,
};

use super::io::{CodecPlan, KeyAndSalt, ReadyMedium, StreamPlan};
use crate::call::{EstablishedMedia, StreamAgreement};
use crate::config::{AudioCodec, Media, SrtpMode};
use crate::error::CallError;
use crate::events::MediaKind;

/// Payload type numbers of our offers (RFC 3551 leaves 96 to 127 to the offer).
const TELEPHONE_EVENT: u8 = 101;
const T140: u8 = 98;
const RED: u8 = 99;
/// Packet time of sound.
const PTIME_MS: u32 = 20;

/// What we can do, on the ports that were made ready; on hold nothing is wanted from the far end (RFC 3264 section 8.4).
pub(crate) fn capabilities<'a>(
    ready: impl IntoIterator<Item = &'a ReadyMedium>,
    media: &Media,
    address: IpAddr,
    hold: bool,
) -> Result<Capabilities, CallError> {
    let media = ready
        .into_iter()
        .map(|medium| {
            let (kind, codecs, ptime_ms) = match medium.kind {
                MediaKind::Audio => (SdpKind::Audio, audio_codecs(media), Some(PTIME_MS)),
                MediaKind::Text => (SdpKind::Text, vec![Codec::text_red(RED, T140), Codec::t140(T140)], None),
            };
            Ok(MediaCapability {
                rtcp_port: Some(medium.ports.rtcp.port()),
                direction: Direction::new(true, !hold),
                security: security(medium, media.srtp)?,
                ptime_ms,
                ..MediaCapability::new(kind, medium.ports.rtp.port(), codecs)
            })
        })
        .collect::<Result<Vec<_>, CallError>>()?;
    Ok(Capabilities { address, media })
}

fn audio_codecs(media: &Media) -> Vec<Codec> {
    let own = media.codecs.iter().map(|codec| match codec {
        AudioCodec::Pcmu => Codec::pcmu(),
        AudioCodec::Pcma => Codec::pcma(),
    });
    own.chain([Codec::telephone_event(TELEPHONE_EVENT)]).collect()
}

fn security(medium: &ReadyMedium, mode: SrtpMode) -> Result<Security, CallError> {
    let keys = || {
        SdesKey::new(1, CryptoSuite::AesCm128HmacSha1_80, medium.key.0.as_slice())
            .map(|key| vec![key])
            .map_err(|error| CallError::CryptoRefused { why: error.to_string() })
    };
    Ok(match mode {
        SrtpMode::Off => Security::Clear,
        SrtpMode::Optional => Security::SdesOptional(keys()?),
        SrtpMode::Required => Security::SdesRequired(keys()?),
    })
}

/// What was agreed, for the media driver and for the application.
pub(crate) fn agreed(
    negotiated: &Negotiated,
    ready: &[ReadyMedium],
) -> Result<(Vec<StreamPlan>, EstablishedMedia), CallError> {
    let mut plans = Vec::new();
    let mut told = EstablishedMedia::default();
    for media in &negotiated.media {
        let kind = match media.kind {
            SdpKind::Audio => MediaKind::Audio,
            SdpKind::Text => MediaKind::Text,
            SdpKind::Video => continue,
        };
        let Some(own) = ready.iter().find(|own| own.kind == kind && own.ports.rtp.port() == media.local_port)
        else {
            continue;
        };
        let (codec, name, payload_type) = codec_plan(media, kind)?;
        let srtp = srtp(media)?;
        let (send, receive) = (media.direction.sends(), media.direction.receives());
        told.streams.push(StreamAgreement {
            kind,
            codec: name,
            payload_type,
            local: own.ports.rtp,
            remote: media.remote,
            crypto: media.crypto.as_ref().map(|crypto| crypto.suite.as_str()),
            send,
            receive,
        });
        plans.push(StreamPlan {
            kind,
            remote: media.remote,
            remote_rtcp: media.remote_rtcp,
            rtcp_mux: media.rtcp_mux,
            send,
            receive,
            codec,
            srtp,
        });
    }
    for refused in &negotiated.refused {
        let kind = refused.kind.map_or("a medium", SdpKind::as_str);
        told.refused.push(format!("{kind}: {}", refused.why));
    }
    Ok((plans, told))
}

fn codec_plan(media: &NegotiatedMedia, kind: MediaKind) -> Result<(CodecPlan, String, u8), CallError> {
    let missing = |what: &str| CallError::NoCommonCodec { why: format!("{what} was not agreed") };
    match kind {
        MediaKind::Audio => {
            let primary = media.primary().ok_or_else(|| missing("an audio codec"))?;
            let name = primary.codec.name.clone();
            let codec = MediaCodec::from_name(&name).ok_or_else(|| missing("a codec that z5 has"))?;
            let telephone_event = media
                .codec("telephone-event")
                .map(|codec| (codec.send_payload_type, codec.receive_payload_type));
            let plan = CodecPlan::Audio {
                codec,
                send: primary.send_payload_type,
                receive: primary.receive_payload_type,
                telephone_event,
                ptime_ms: media.ptime_ms.unwrap_or(PTIME_MS),
            };
            Ok((plan, name, primary.send_payload_type))
        }
        MediaKind::Text => {
            let t140 = media.codec("t140").ok_or_else(|| missing("t140"))?;
            let red = media.codec("red").map(|codec| (codec.send_payload_type, codec.receive_payload_type));
            let plan =
                CodecPlan::Text { send: t140.send_payload_type, receive: t140.receive_payload_type, red };
            let name = if red.is_some() { "t140 with red" } else { "t140" };
            Ok((plan, name.to_owned(), red.map_or(t140.send_payload_type, |red| red.0)))
        }
    }
}

fn srtp(media: &NegotiatedMedia) -> Result<Option<(KeyAndSalt, KeyAndSalt)>, CallError> {
    let Some(crypto) = &media.crypto else { return Ok(None) };
    Ok(Some((bytes(&crypto.local)?, bytes(&crypto.remote)?)))
}

fn bytes(key: &SdesKey) -> Result<KeyAndSalt, CallError> {
    let bytes: [u8; 30] = key
        .key_and_salt()
        .try_into()
        .map_err(|_| CallError::CryptoRefused { why: "the key has not 30 bytes".to_owned() })?;
    Ok(KeyAndSalt(zeroize::Zeroizing::new(bytes)))
}
