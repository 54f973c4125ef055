//! Which media a call may carry: what is asked for or configured, and what the licence allows.

use std::borrow::Cow;

use z5_media::AudioCodec;

use super::Desk;
use super::bitrate::{Limits, Shares};
use crate::account::licence::Validity;
use crate::config::Media;
use crate::error::CallError;
use crate::events::MediaKind;
use crate::machine::io::Wanted;

/// The feature of a licence that lets z5 keep what comes in files; what an application does with its own sinks is not known here.
const RECORD: &str = "record";
/// What is lacking when the bits per second of a call, as licence or group have them, do not suffice.
const SOUND_RATE: &str = "the bit rate that sound needs (max_bitrate of licence and group)";
const TEXT_RATE: &str = "the bit rate that text needs beside sound (max_bitrate of licence and group)";
const VIDEO_RATE: &str =
    "the bit rate that video needs beside sound and text (max_bitrate of licence and group)";

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

/// How the bits per second that licence and group allow a call are shared.
pub(in crate::machine) fn shares(desk: &Desk<'_>) -> Shares {
    let licence = desk.account.licence.as_ref();
    let licensed = |feature| licence.is_none_or(|licence| licence.allows(feature));
    let codecs = if licensed(MediaKind::Audio.name()) { permitted(desk) } else { Vec::new() };
    let video = desk.plan.media.video_bits_per_second();
    Shares::new(desk.account.max_bitrate(), &codecs, licensed(MediaKind::Text.name()), video)
}

/// The codecs that client and group both have, in the client's order.
fn permitted(desk: &Desk<'_>) -> Vec<AudioCodec> {
    let codecs = desk.plan.media.audio_codecs.iter().copied();
    codecs.filter(|codec| desk.account.policy.permits(*codec)).collect()
}

/// What is asked for, and what is configured where nothing is said, whatever the licence: for emergency calls.
pub(super) fn configured(wanted: Wanted, desk: &Desk<'_>) -> Vec<MediaKind> {
    let Wanted { audio, text, video, record: _, echo: _ } = wanted;
    let text = text.unwrap_or(desk.plan.media.text);
    let video = video.unwrap_or(desk.plan.media.video.is_on());
    let all = [(MediaKind::Audio, audio), (MediaKind::Text, text), (MediaKind::Video, video)];
    all.into_iter().filter_map(|(kind, wanted)| wanted.then_some(kind)).collect()
}

/// Settings of media with what the group permits and the bit rate has room for; in an emergency call those that are configured. A
/// call that stands keeps its sound when no codec is left.
pub(super) fn media<'a>(desk: &Desk<'a>, emergency: bool) -> (Cow<'a, Media>, Limits) {
    let (media, shares) = (&desk.plan.media, shares(desk));
    let limits = shares.limits(emergency);
    if emergency {
        return (Cow::Borrowed(media), limits);
    }
    let mut held = media.clone();
    let left: Vec<AudioCodec> = permitted(desk).into_iter().filter(|codec| shares.fits(*codec)).collect();
    if !left.is_empty() {
        held.audio_codecs = left;
    }
    held.video_kbps = u32::try_from(limits.video / 1000).unwrap_or(u32::MAX);
    (Cow::Owned(held), limits)
}

/// Sound needs a codec that client and group both have.
fn check_codecs(desk: &Desk<'_>) -> Result<(), CallError> {
    if !permitted(desk).is_empty() {
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
    let shares = shares(desk);
    let insisted = [
        (MediaKind::Audio, wanted.audio),
        (MediaKind::Text, wanted.text == Some(true)),
        (MediaKind::Video, wanted.video == Some(true)),
    ];
    for (kind, insisted) in insisted {
        let lack = match kind {
            _ if !licence.allows(kind.name()) => kind.name(),
            MediaKind::Audio if !permitted(desk).into_iter().any(|codec| shares.fits(codec)) => SOUND_RATE,
            MediaKind::Text if !shares.has_text() => TEXT_RATE,
            MediaKind::Video if shares.video().is_none() => VIDEO_RATE,
            MediaKind::Audio | MediaKind::Text | MediaKind::Video => continue,
        };
        // An echo takes what it may.
        if insisted && !wanted.echo {
            return Err(CallError::LicenceForbids { feature: lack });
        }
        kinds.retain(|other| *other != kind);
    }
    if wanted.record && !licence.allows(RECORD) {
        return Err(CallError::LicenceForbids { feature: RECORD });
    }
    Ok(kinds)
}
