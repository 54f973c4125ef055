//! How `max_bitrate` of licence and group is shared: it counts all media of a call together. Sound comes first, then text, and
//! pictures get what is left.
//!
//! The bits are those of payloads, as `b=TIAS` counts them (RFC 3890 section 6.2). What sound and text need is kept for them
//! while they do not flow: either can be added to a call at any time, and no picture that is sent has to shrink for it.

use z5_media::AudioCodec;

/// G.711 and G.722 (RFC 3551 sections 4.5.14 and 4.5.2), in bits per second like all that follows.
const FIXED: u64 = 64_000;
/// The least and the most that z5 makes Opus of (RFC 6716 section 2.1.1).
const OPUS: std::ops::RangeInclusive<u64> = 6_000..=32_000;
/// 30 characters a second of up to four octets, each sent three times, with the headers of RFC 2198 (RFC 4103): rounded up.
const TEXT: u64 = 4_000;
/// As the least `media.video_kbps`: with less, pictures are of no use.
const VIDEO_LEAST: u64 = 60_000;

/// What a call may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limits {
    /// Bits per second of video, each way.
    pub(crate) video: u64,
    /// Bits per second of Opus, each way; none where nobody limits it.
    pub(crate) opus: Option<u32>,
}

/// Who gets how much.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::machine) struct Shares {
    limited: Option<Limited>,
    /// Video as it is configured.
    video: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Limited {
    sound: u64,
    text: u64,
    left: u64,
}

/// What a codec cannot do without.
fn least(codec: AudioCodec) -> u64 {
    if codec == AudioCodec::Opus { *OPUS.start() } else { FIXED }
}

impl Shares {
    /// `most` for a call that may have sound in one of these codecs, and text; `video` is what is configured.
    pub(in crate::machine) fn new(most: Option<u64>, codecs: &[AudioCodec], text: bool, video: u64) -> Self {
        let limited = most.map(|most| {
            let cheapest = codecs.iter().copied().map(least).filter(|least| *least <= most).min();
            let text = if text && cheapest.unwrap_or(0) + TEXT <= most { TEXT } else { 0 };
            let room = most - text;
            let fits = codecs.iter().copied().filter(|codec| least(*codec) <= room);
            let wants = |codec| if codec == AudioCodec::Opus { room.min(*OPUS.end()) } else { FIXED };
            let sound = fits.map(wants).max().unwrap_or(0);
            Limited { sound, text, left: room - sound }
        });
        Self { limited, video }
    }

    /// Whether a codec has room.
    pub(in crate::machine) fn fits(&self, codec: AudioCodec) -> bool {
        self.limited.is_none_or(|limited| least(codec) <= limited.sound)
    }

    /// Whether text has room beside sound.
    pub(in crate::machine) fn has_text(&self) -> bool {
        self.limited.is_none_or(|limited| limited.text > 0)
    }

    /// Bits per second of video; none where too little is left.
    pub(in crate::machine) fn video(&self) -> Option<u64> {
        match self.limited {
            None => Some(self.video),
            Some(Limited { left, .. }) => Some(left.min(self.video)).filter(|_| left >= VIDEO_LEAST),
        }
    }

    /// What a call may use; an emergency call what is configured. A call that carries pictures already when too little is left
    /// for them keeps the least.
    pub(in crate::machine) fn limits(&self, emergency: bool) -> Limits {
        match self.limited.filter(|_| !emergency) {
            None => Limits { video: self.video, opus: None },
            Some(Limited { sound, .. }) => Limits {
                video: self.video().unwrap_or(VIDEO_LEAST),
                // A call that stands keeps its sound where none has room, and no less may be asked for (RFC 7587 section 6.1).
                opus: Some(u32::try_from(sound.max(*OPUS.start())).unwrap_or(u32::MAX)),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [AudioCodec; 3] = [AudioCodec::Opus, AudioCodec::G722, AudioCodec::Pcmu];
    const CONFIGURED: u64 = 1_500_000;

    #[test]
    fn the_shares_of_a_call_are_never_more_than_the_whole() {
        for codecs in [&[][..], &ALL[..1], &ALL[1..], &ALL] {
            for most in (0..2_000_000).step_by(500) {
                for text in [false, true] {
                    let shares = Shares::new(Some(most), codecs, text, CONFIGURED);
                    let Limited { sound, text: share, left } = shares.limited.unwrap();
                    assert_eq!(sound + share + left, most);
                    let sent = codecs.iter().filter(|codec| shares.fits(**codec)).map(|codec| least(*codec));
                    let video = shares.video().unwrap_or(0);
                    assert!(sent.max().unwrap_or(0) <= sound && sound + share + video <= most, "{most}");
                    assert!(video <= CONFIGURED && (video == 0 || video >= VIDEO_LEAST));
                }
            }
        }
    }

    #[test]
    fn sound_comes_first_then_text_then_pictures() {
        let of = |most, codecs: &[AudioCodec]| {
            let shares = Shares::new(Some(most), codecs, true, CONFIGURED);
            let codecs = codecs.iter().filter(|codec| shares.fits(**codec)).count();
            (codecs, shares.limits(false).opus, shares.has_text(), shares.video())
        };
        assert_eq!(of(5_999, &ALL), (0, Some(6_000), true, None));
        assert_eq!(of(6_000, &ALL), (1, Some(6_000), false, None));
        assert_eq!(of(20_000, &ALL), (1, Some(16_000), true, None));
        assert_eq!(of(64_000, &ALL), (1, Some(32_000), true, None), "one codec gives way before text does");
        assert_eq!(of(64_000, &ALL[1..]), (2, Some(64_000), false, None));
        assert_eq!(of(68_000, &ALL), (3, Some(64_000), true, None));
        assert_eq!(of(127_999, &ALL), (3, Some(64_000), true, None));
        assert_eq!(of(128_000, &ALL), (3, Some(64_000), true, Some(60_000)));
        assert_eq!(of(300_000, &ALL), (3, Some(64_000), true, Some(232_000)));
        assert_eq!(of(4_000_000, &ALL), (3, Some(64_000), true, Some(CONFIGURED)));
        let free = Shares::new(None, &ALL, true, CONFIGURED);
        assert_eq!((free.limits(false), free.video()), (free.limits(true), Some(CONFIGURED)));
    }
}
