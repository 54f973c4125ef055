//! Which media a call may carry: what is asked for or configured, and what the licence allows.

use std::borrow::Cow;

use super::Desk;
use crate::account::licence::Validity;
use crate::config::Media;
use crate::error::CallError;
use crate::events::MediaKind;
use crate::machine::io::Wanted;

/// What G.711 needs (RFC 3551 section 4.5.14), in bits per second.
const AUDIO_BITRATE: u64 = 64_000;
/// The feature of a licence that lets z5 keep what comes in files; what an application does with its own sinks is not known here.
const RECORD: &str = "record";

/// A licence that has run out carries no new call, except within its grace while no server can be asked for another; what it
/// says about media is judged by [`licensed`].
pub(super) fn check_licence(desk: &Desk<'_>) -> Result<(), CallError> {
    if let Some(why) = &desk.account.lack {
        return Err(CallError::Unlicensed { why: why.to_string() });
    }
    let Some(licence) = &desk.account.licence else { return Ok(()) };
    match licence.validity(desk.wall, desk.now) {
        Validity::Valid => Ok(()),
        Validity::Grace if desk.grace => Ok(()),
        Validity::Grace | Validity::Over => Err(CallError::LicenceExpired),
    }
}

/// Bits per second of video at most: what is configured, and what licence and group allow.
pub(in crate::machine) fn video_rate(desk: &Desk<'_>) -> u64 {
    let configured = desk.plan.media.video_bits_per_second();
    desk.account.max_bitrate().map_or(configured, |most| most.min(configured))
}

/// What is asked for, and what is configured where nothing is said, whatever the licence: for emergency calls.
pub(super) fn configured(wanted: Wanted, desk: &Desk<'_>) -> Vec<MediaKind> {
    let Wanted { audio, text, video, record: _, echo: _ } = wanted;
    let text = text.unwrap_or(desk.plan.media.text);
    let video = video.unwrap_or(desk.plan.media.video.is_on());
    let all = [(MediaKind::Audio, audio), (MediaKind::Text, text), (MediaKind::Video, video)];
    all.into_iter().filter_map(|(kind, wanted)| wanted.then_some(kind)).collect()
}

/// Settings of media with the audio codecs that the group permits; in an emergency call with all that are configured.
pub(super) fn media<'a>(desk: &Desk<'a>, emergency: bool) -> Cow<'a, Media> {
    let media = &desk.plan.media;
    let policy = &desk.account.policy;
    if emergency || media.audio_codecs.iter().all(|codec| policy.permits(*codec)) {
        return Cow::Borrowed(media);
    }
    let mut held = media.clone();
    held.audio_codecs.retain(|codec| policy.permits(*codec));
    Cow::Owned(held)
}

/// Sound needs a codec that client and group both have.
fn check_codecs(desk: &Desk<'_>) -> Result<(), CallError> {
    if !media(desk, false).audio_codecs.is_empty() {
        return Ok(());
    }
    let own: Vec<&str> = desk.plan.media.audio_codecs.iter().map(|codec| codec.name()).collect();
    let group = desk.account.policy.audio_codecs.as_deref().unwrap_or_default().join(", ");
    let why = format!("the group permits {group}; `media.audio_codecs` has {}", own.join(", "));
    Err(CallError::NoCommonCodec { why })
}

/// The same as far as the licence goes, and the policy of the group. Text or video that nobody insists on is left out when it is not licensed.
pub(super) fn licensed(wanted: Wanted, desk: &Desk<'_>) -> Result<Vec<MediaKind>, CallError> {
    let mut kinds = configured(wanted, desk);
    if wanted.audio {
        check_codecs(desk)?;
    }
    let Some(licence) = &desk.account.licence else { return Ok(kinds) };
    if wanted.audio && desk.account.max_bitrate().is_some_and(|bitrate| bitrate < AUDIO_BITRATE) {
        let feature = match licence.max_bitrate().is_some_and(|bitrate| bitrate < AUDIO_BITRATE) {
            true => "the bit rate of audio (64 kbit/s)",
            false => "the bit rate of audio (64 kbit/s) within the policy of the group",
        };
        return Err(CallError::LicenceForbids { feature });
    }
    if wanted.record && !licence.allows(RECORD) {
        return Err(CallError::LicenceForbids { feature: RECORD });
    }
    let insisted = [
        (MediaKind::Audio, wanted.audio),
        (MediaKind::Text, wanted.text == Some(true)),
        (MediaKind::Video, wanted.video == Some(true)),
    ];
    for (kind, insisted) in insisted {
        let feature = kind.name();
        if licence.allows(feature) {
            continue;
        }
        // An echo takes what it may.
        if insisted && !wanted.echo {
            return Err(CallError::LicenceForbids { feature });
        }
        kinds.retain(|other| *other != kind);
    }
    Ok(kinds)
}
