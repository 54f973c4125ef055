//! What a run is for, and what its call sends and keeps.

use std::path::PathBuf;
use std::time::Duration;

use z5_core::config::VideoSetting;
use z5_core::{AudioIn, AudioOut, CallMedia, Location, VideoIn, VideoOut};

use crate::act::Act;
use crate::audio::AudioArg;

/// RFC 4103 section 3 and T.140: one line is ended by U+2028.
const LINE_SEPARATOR: &str = "\u{2028}";

/// What a run is for.
#[derive(Debug)]
pub(crate) enum Plan {
    /// Register, stay, leave.
    Register {
        /// How long to stay.
        stay: Duration,
    },
    /// Place one call.
    Call {
        /// Whom.
        target: String,
        /// Do not tell who calls.
        anonymous: bool,
        /// Where the call comes from.
        location: Option<Location>,
        /// What is sent and kept.
        media: Media,
    },
    /// Send one text message.
    Message {
        /// To whom.
        target: String,
        /// What.
        text: String,
    },
    /// Wait for one call.
    Answer {
        /// How long to wait.
        wait: Duration,
        /// How long it rings.
        ring: Duration,
        /// What is sent and kept.
        media: Media,
    },
    /// Answer every call with its echo. What becomes of one is its caller's business.
    Echo {
        /// How long.
        stay: Duration,
    },
}

impl Plan {
    /// What comes goes back.
    pub(super) fn is_echo(&self) -> bool {
        match self {
            Self::Call { media, .. } | Self::Answer { media, .. } => media.echo,
            Self::Echo { .. } => true,
            Self::Register { .. } | Self::Message { .. } => false,
        }
    }

    /// What is to be done in the call.
    pub(super) fn acts(&self) -> &[Act] {
        match self {
            Self::Call { media, .. } | Self::Answer { media, .. } => &media.acts,
            Self::Register { .. } | Self::Message { .. } | Self::Echo { .. } => &[],
        }
    }
}

/// What a call sends and keeps.
#[derive(Debug)]
pub(crate) struct Media {
    /// What is sent.
    pub(crate) audio: AudioArg,
    /// What is sent as video, where the configuration's is not.
    pub(crate) video: Option<VideoSetting>,
    /// What is kept.
    pub(crate) kept: Kept,
    /// Lines to type.
    pub(crate) text: Vec<String>,
    /// At how many characters a second; at once when nothing is said.
    pub(crate) typing: Option<f64>,
    /// What is done in the call, by time.
    pub(crate) acts: Vec<Act>,
    /// Hang up this long after the answer.
    pub(crate) duration: Option<Duration>,
    /// What comes goes back; `audio` and `video` are not sent.
    pub(crate) echo: bool,
}

impl Media {
    /// As the session takes it.
    pub(crate) fn to_call_media(&self) -> CallMedia {
        let audio_out = match &self.kept.recording {
            Some(path) => AudioOut::Wav { path: path.clone() },
            None => AudioOut::Nothing,
        };
        let video_out = VideoOut::Watched {
            film: self.kept.film.clone(),
            snapshot: self.kept.snapshot.clone(),
            pictures: self.kept.pictures.clone(),
        };
        if self.echo {
            return CallMedia { audio_out, video_out, ..CallMedia::echo() };
        }
        let audio_in = match &self.audio {
            AudioArg::None | AudioArg::Silence => AudioIn::Silence,
            AudioArg::Tone { hz, dbm0 } => AudioIn::Tone { hz: *hz, level_dbm0: *dbm0 },
            AudioArg::Wav(path) => AudioIn::Wav { path: path.clone(), looping: false },
        };
        let video_in = self.video.as_ref().map(VideoIn::from);
        let audio = self.audio != AudioArg::None;
        CallMedia { audio, audio_in, audio_out, video_in, video_out, ..CallMedia::default() }
    }

    /// When the character with this number (from 0) is typed, after the first.
    pub(super) fn typed_after(&self, number: usize) -> Duration {
        let speed = self.typing.unwrap_or(f64::INFINITY);
        Duration::try_from_secs_f64(number as f64 / speed).unwrap_or(Duration::MAX)
    }

    /// Everything that is typed.
    pub(crate) fn typed(&self) -> Option<String> {
        (!self.text.is_empty()).then(|| self.text.join(LINE_SEPARATOR))
    }
}

/// The files of a call.
#[derive(Debug, Clone, Default)]
pub(crate) struct Kept {
    /// What was heard.
    pub(crate) recording: Option<PathBuf>,
    /// What was seen.
    pub(crate) film: Option<PathBuf>,
    /// The latest picture of it.
    pub(crate) snapshot: Option<PathBuf>,
    /// Every picture, uncompressed.
    pub(crate) pictures: Option<PathBuf>,
}

impl Kept {
    /// Every file.
    pub(crate) fn files(&self) -> impl Iterator<Item = &PathBuf> {
        [&self.recording, &self.film, &self.snapshot, &self.pictures].into_iter().flatten()
    }
}
