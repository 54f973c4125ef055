//! Between calls and session descriptions: what we can do, and what was agreed, as plain plans for the media driver.

use std::net::IpAddr;

use z5_media::{
    AudioCodec, AudioFormat, AudioOptions, FeedbackConfig, OpusOptions, SrtpSuite, TelephoneEvent,
};
use z5_sip::sdp::{
    Capabilities, Codec, CryptoSuite, Direction, Feedback, Marks, MediaCapability, MediaKind as SdpKind,
    Negotiated, NegotiatedCodec, NegotiatedMedia, OpusFormat, SdesKey, Security, characters_per_second,
};

use super::calls::Limits;
use super::io::{CodecPlan, KeyAndSalt, ReadyMedium, SrtpPlan, StreamPlan, VideoPlan};
use crate::call::{EstablishedMedia, StreamAgreement, outcome};
use crate::config::{Media, SrtpMode};
use crate::error::CallError;
use crate::events::MediaKind;

/// Payload type numbers of our offers (RFC 3551 leaves 96 to 127 to the offer).
const TELEPHONE_EVENT: u8 = 101;
const T140: u8 = 98;
const RED: u8 = 99;
const OPUS: u8 = 96;
const WIDE_TELEPHONE_EVENT: u8 = 102;
/// Clock rate of the one comfort noise that has a payload type.
const CN_CLOCK: u32 = 8000;
/// Characters per second towards a far end that does not say (RFC 4103 section 6).
const CHARACTERS_PER_SECOND: u32 = 30;
/// H.264 whose NAL units may be split (packetization mode 1), and whose may not (mode 0).
const H264: u8 = 96;
const H264_WHOLE: u8 = 97;
/// The level we decode, times ten: 1280 by 720 at 30 a second.
const H264_LEVEL: u8 = 31;
/// Packet time of sound.
const PTIME_MS: u32 = 20;

/// What we can do, on the ports that were made ready, with at most so many bits per second of Opus; on hold nothing is wanted from the far end (RFC 3264 section 8.4).
///
/// A stream that runs keeps its suite: going back to an earlier one would protect new packets with a key and a count that
/// were used before.
pub(crate) fn capabilities<'a>(
    ready: impl IntoIterator<Item = &'a ReadyMedium>,
    (media, opus_limit): (&Media, Option<u32>),
    running: &[(MediaKind, SrtpPlan)],
    address: IpAddr,
    hold: bool,
) -> Result<Capabilities, CallError> {
    let media = ready
        .into_iter()
        .map(|medium| {
            let (kind, codecs, ptime_ms) = match medium.kind {
                MediaKind::Audio => (SdpKind::Audio, audio_codecs(media, opus_limit), Some(PTIME_MS)),
                MediaKind::Text => (SdpKind::Text, vec![Codec::text_red(RED, T140), Codec::t140(T140)], None),
                MediaKind::Video => (SdpKind::Video, video_codecs(medium.fragments), None),
            };
            let video = medium.kind == MediaKind::Video;
            Ok(MediaCapability {
                rtcp_port: Some(medium.ports.rtcp.port()),
                direction: Direction::new(true, !hold),
                security: security(medium, media, running)?,
                ptime_ms,
                marks: marks(medium.kind),
                feedback: feedback(medium.kind),
                bandwidth_bps: video.then(|| media.video_kbps.saturating_mul(1000)),
                ..MediaCapability::new(kind, medium.ports.rtp.port(), codecs)
            })
        })
        .collect::<Result<Vec<_>, CallError>>()?;
    Ok(Capabilities { address, media })
}

/// H.264 in both packetization modes, or in the one that what we send can travel in.
fn video_codecs(fragments: bool) -> Vec<Codec> {
    let whole = (!fragments).then(|| Codec::h264(H264_WHOLE, 0, H264_LEVEL));
    std::iter::once(Codec::h264(H264, 1, H264_LEVEL)).chain(whole).collect()
}

/// What we understand beside the codecs.
fn marks(kind: MediaKind) -> Marks {
    let audio = kind == MediaKind::Audio;
    Marks { reduced_size: audio, extended_reports: audio, text_mixer: kind == MediaKind::Text }
}

/// Sound and pictures that were lost may be sent again; text has its own redundancy.
fn feedback(kind: MediaKind) -> Vec<Feedback> {
    match kind {
        MediaKind::Audio => vec![Feedback::Nack],
        MediaKind::Text => Vec::new(),
        MediaKind::Video => Feedback::ALL.to_vec(),
    }
}

fn audio_codecs(media: &Media, opus_limit: Option<u32>) -> Vec<Codec> {
    // Redundancy against losses is always of use to us; silence that is not sent only where we do the same.
    let opus = OpusFormat {
        in_band_fec: true,
        dtx: media.silence_suppression,
        max_average_bit_rate: opus_limit,
        ..OpusFormat::default()
    };
    let own = media.audio_codecs.iter().filter_map(|codec| match codec {
        AudioCodec::Pcmu => Some(Codec::pcmu()),
        AudioCodec::Pcma => Some(Codec::pcma()),
        AudioCodec::G722 => Some(Codec::g722()),
        AudioCodec::Opus => Some(Codec::opus(OPUS, &opus)),
        _ => None,
    });
    let has = |clock_rate| media.audio_codecs.iter().any(|codec| codec.clock_rate() == clock_rate);
    // Opus describes silence itself; the others need comfort noise (RFC 7874 section 3).
    let noise = has(CN_CLOCK).then(Codec::comfort_noise);
    let events = has(CN_CLOCK).then(|| Codec::telephone_event(TELEPHONE_EVENT));
    let wide = AudioCodec::Opus.clock_rate();
    let wide_events = has(wide).then(|| Codec::telephone_event_at(WIDE_TELEPHONE_EVENT, wide));
    own.chain(noise).chain(events).chain(wide_events).collect()
}

fn refused(why: String) -> CallError {
    CallError::CryptoRefused { why }
}

fn crypto_suite(suite: SrtpSuite) -> Result<CryptoSuite, CallError> {
    CryptoSuite::from_token(suite.name()).ok_or_else(|| refused(format!("{} has no SDES name", suite.name())))
}

fn security(
    medium: &ReadyMedium,
    media: &Media,
    running: &[(MediaKind, SrtpPlan)],
) -> Result<Security, CallError> {
    let key = |(tag, suite): (u32, &SrtpSuite)| {
        SdesKey::new(tag, crypto_suite(*suite)?, medium.keys.of(*suite))
            .map_err(|error| refused(error.to_string()))
    };
    let used = running.iter().find(|(kind, _)| *kind == medium.kind).map(|(_, plan)| plan.suite);
    let suites = (1..).zip(&media.srtp_suites).filter(|(_, suite)| used.is_none_or(|used| used == **suite));
    let keys = || suites.map(key).collect::<Result<Vec<_>, CallError>>();
    Ok(match media.srtp {
        SrtpMode::Off => Security::Clear,
        SrtpMode::Optional => Security::SdesOptional(keys()?),
        SrtpMode::Required => Security::SdesRequired(keys()?),
    })
}

/// What was agreed, for the media driver and for the application. `suppress`: silence may go unsent.
pub(crate) fn agreed(
    negotiated: &Negotiated,
    ready: &[ReadyMedium],
    suppress: bool,
    limits: Limits,
) -> Result<(Vec<StreamPlan>, EstablishedMedia), CallError> {
    let mut plans = Vec::new();
    let mut told = EstablishedMedia::default();
    for media in &negotiated.media {
        let kind = match media.kind {
            SdpKind::Audio => MediaKind::Audio,
            SdpKind::Text => MediaKind::Text,
            SdpKind::Video => MediaKind::Video,
        };
        let of_kind = || ready.iter().rev().filter(|own| own.kind == kind);
        let agreed = |own: &&ReadyMedium| own.ports.rtp.port() == media.local_port;
        // Media that have moved may still be agreed where they were.
        let Some(own) = of_kind().find(agreed).or_else(|| of_kind().next()) else { continue };
        let (codec, name, payload_type) = codec_plan(media, kind, suppress, limits)?;
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
    told.lines = outcome::lines(negotiated);
    Ok((plans, told))
}

/// Events by the clock of the sound; by another one when the far end has no other (RFC 4733 section 2.1 forbids that, some
/// do it all the same).
fn telephone_event(media: &NegotiatedMedia, clock_rate: u32) -> Option<TelephoneEvent> {
    let name = "telephone-event";
    let agreed = media.codec_at(name, clock_rate).or_else(|| media.codec(name))?;
    Some(TelephoneEvent {
        send_payload_type: agreed.send_payload_type,
        receive_payload_type: agreed.receive_payload_type,
        clock_rate: agreed.codec.clock_rate,
    })
}

/// Packet times that the media engine can keep: tens of milliseconds from 10 to 60.
fn ptime(wanted: Option<u32>) -> u32 {
    wanted.map_or(PTIME_MS, |ms| (ms / 10 * 10).clamp(10, 60))
}

/// What goes with the codec that is sent. `suppress`: silence is described in place of being sent.
fn audio_options(
    media: &NegotiatedMedia,
    codec: AudioCodec,
    suppress: bool,
    opus_limit: Option<u32>,
) -> AudioOptions {
    let known = |agreed: &NegotiatedCodec| {
        let other = AudioCodec::from_name(&agreed.codec.name).filter(|other| *other != codec)?;
        Some((agreed.receive_payload_type, other))
    };
    let opus = media.codec(AudioCodec::Opus.name()).map(|agreed| {
        let wish = OpusFormat::parse(agreed.codec.fmtp.as_deref());
        OpusOptions {
            fec: wish.in_band_fec,
            dtx: wish.dtx && suppress,
            constant_rate: wish.constant_rate,
            max_bits_per_second: wish.max_average_bit_rate.into_iter().chain(opus_limit).min(),
            max_playback_rate: wish.max_playback_rate,
        }
    });
    let noise = media.codec_at("CN", codec.clock_rate()).filter(|_| suppress);
    AudioOptions {
        also_received: media.codecs.iter().filter_map(known).collect(),
        comfort_noise: noise.map(|noise| noise.send_payload_type),
        opus: opus.unwrap_or_default(),
        feedback: FeedbackConfig {
            nack: media.feedback.contains(&Feedback::Nack),
            reduced_size: media.marks.reduced_size,
            extended_reports: media.marks.extended_reports,
            ..FeedbackConfig::default()
        },
    }
}

fn codec_plan(
    media: &NegotiatedMedia,
    kind: MediaKind,
    suppress: bool,
    limits: Limits,
) -> Result<(CodecPlan, String, u8), CallError> {
    let missing = |what: &str| CallError::NoCommonCodec { why: format!("{what} was not agreed") };
    match kind {
        MediaKind::Audio => {
            let primary = media.primary().ok_or_else(|| missing("an audio codec"))?;
            let name = primary.codec.name.clone();
            let codec = AudioCodec::from_name(&name).ok_or_else(|| missing("a codec that z5 has"))?;
            let format = AudioFormat {
                codec,
                send_payload_type: primary.send_payload_type,
                receive_payload_type: primary.receive_payload_type,
                telephone_event: telephone_event(media, codec.clock_rate()),
                options: audio_options(media, codec, suppress, limits.opus),
            };
            let plan = CodecPlan::Audio { format, ptime_ms: ptime(media.ptime_ms) };
            Ok((plan, name, primary.send_payload_type))
        }
        MediaKind::Text => {
            let t140 = media.codec("t140").ok_or_else(|| missing("t140"))?;
            let red = media.codec("red").map(|codec| (codec.send_payload_type, codec.receive_payload_type));
            let plan = CodecPlan::Text {
                send: t140.send_payload_type,
                receive: t140.receive_payload_type,
                red,
                characters_per_second: characters_per_second(t140.codec.fmtp.as_deref())
                    .unwrap_or(CHARACTERS_PER_SECOND),
            };
            let name = if red.is_some() { "t140 with red" } else { "t140" };
            Ok((plan, name.to_owned(), red.map_or(t140.send_payload_type, |red| red.0)))
        }
        MediaKind::Video => {
            let plan = video_plan(media, limits.video).ok_or_else(|| missing("H.264"))?;
            let payload_type = plan.send;
            Ok((CodecPlan::Video(plan), "H264".to_owned(), payload_type))
        }
    }
}

fn video_plan(media: &NegotiatedMedia, most: u64) -> Option<VideoPlan> {
    // Mode 1 where it was agreed, whatever its place: a file's large pictures fit no packet whole.
    let of_h264 = || media.codecs.iter().filter_map(|codec| Some((codec, codec.h264()?)));
    let split = of_h264().find(|(_, terms)| terms.packetization_mode == 1);
    let (codec, terms) = split.or_else(|| of_h264().next())?;
    // The other packetization mode is read alike, whichever of the two the far end uses.
    let others = media.codecs.iter().filter(|other| other.h264().is_some());
    let others =
        others.map(|other| other.receive_payload_type).filter(|other| *other != codec.receive_payload_type);
    let agreed = |feedback| media.feedback.contains(&feedback);
    Some(VideoPlan {
        send: codec.send_payload_type,
        receive: codec.receive_payload_type,
        also_received: others.collect(),
        packetization_mode: terms.packetization_mode,
        level: terms.level,
        feedback: FeedbackConfig {
            nack: agreed(Feedback::Nack),
            pli: agreed(Feedback::PictureLoss),
            fir: agreed(Feedback::FullIntra),
            tmmbr: agreed(Feedback::BitRate),
            ..FeedbackConfig::default()
        },
        max_bits_per_second: media.bandwidth_bps.unwrap_or(most).min(most),
    })
}

fn srtp(media: &NegotiatedMedia) -> Result<Option<SrtpPlan>, CallError> {
    let Some(crypto) = &media.crypto else { return Ok(None) };
    let suite = SrtpSuite::from_name(crypto.suite.as_str())
        .ok_or_else(|| refused(format!("{} cannot be carried out", crypto.suite.as_str())))?;
    let bytes = |key: &SdesKey| KeyAndSalt(zeroize::Zeroizing::new(key.key_and_salt().to_vec()));
    Ok(Some(SrtpPlan { suite, local: bytes(&crypto.local), remote: bytes(&crypto.remote) }))
}
