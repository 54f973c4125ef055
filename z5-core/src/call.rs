//! A call as the application sees it: what it asks for, and what it gets told at the end.

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use z5_media::loopback::{self, EchoSink};
use z5_media::{AudioSink, AudioSource, StreamStats, sink, source};

use crate::error::CallError;
use crate::events::{CallTimings, MediaKind};
use crate::location::Location;
use crate::machine::io::Wanted;

pub(crate) mod outcome;
mod video;

pub use outcome::{FormatLeft, FormatTaken, FormatUse, LineOutcome};
pub use video::{VideoIn, VideoOut};

/// Names a call within its session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct CallId(pub(crate) u64);

impl CallId {
    /// The name of the call with that number, for bindings that carry numbers. It names a call only where [`Self::number`] gave it.
    pub const fn from_number(number: u64) -> Self {
        Self(number)
    }

    /// The number, for logs and bindings.
    pub const fn number(self) -> u64 {
        self.0
    }
}

impl fmt::Display for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Names a message within its session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct MessageId(pub(crate) u64);

impl MessageId {
    /// The number, for logs and bindings.
    pub const fn number(self) -> u64 {
        self.0
    }
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One end of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Side {
    /// Us.
    Local,
    /// The far end (or a server on the way).
    Remote,
    /// Neither: the connection was lost or a timer ran out.
    Network,
}

/// How an incoming call is turned down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// Nobody takes it, on any device (603).
    Decline,
    /// This device is busy; another one of the account may take it (486).
    Busy,
    /// Nobody is there now (480).
    Unavailable,
    /// Somebody else takes it: digits, an E.164 number with plus, `user@host` or a `sip:` URI, as of a call (302).
    Redirect(String),
}

/// A call to be made.
#[derive(Debug)]
pub struct CallRequest {
    /// Digits, an E.164 number with plus, `911`, `user@host` or a `sip:` URI.
    pub target: String,
    /// What is sent and what is done with what comes.
    pub media: CallMedia,
    /// Do not let the far end learn who calls (RFC 3323).
    pub anonymous: bool,
    /// Where the caller is (RFC 6442). An emergency call without one takes the configuration's.
    pub location: Option<Location>,
}

impl CallRequest {
    /// A call with silence out and nothing recorded.
    pub fn to(target: impl Into<String>) -> Self {
        Self { target: target.into(), media: CallMedia::default(), anonymous: false, location: None }
    }

    /// Without our number or name in any header that the far end sees (RFC 3323, RFC 9248 section 5.2.1).
    #[must_use]
    pub fn anonymous(mut self) -> Self {
        self.anonymous = true;
        self
    }

    /// From this place (RFC 6442), as an emergency call says it.
    #[must_use]
    pub fn from_location(mut self, location: Location) -> Self {
        self.location = Some(location);
        self
    }

    /// With this media.
    #[must_use]
    pub fn with(mut self, media: CallMedia) -> Self {
        self.media = media;
        self
    }
}

/// What a call sends and what is done with what comes.
#[derive(Debug)]
pub struct CallMedia {
    /// Offer or accept audio.
    pub audio: bool,
    /// What is sent as sound.
    pub audio_in: AudioIn,
    /// Where the sound of the far end goes.
    pub audio_out: AudioOut,
    /// Offer or accept real-time text; none means as configured.
    pub text: Option<bool>,
    /// What is sent as video; none means as configured.
    pub video_in: Option<VideoIn>,
    /// Where the pictures of the far end go.
    pub video_out: VideoOut,
    /// Text and keys of the far end go back to it as they come, and what is asked for and not licensed is left out.
    pub echo: bool,
}

impl Default for CallMedia {
    fn default() -> Self {
        Self {
            audio: true,
            audio_in: AudioIn::Silence,
            audio_out: AudioOut::Nothing,
            text: None,
            video_in: None,
            video_out: VideoOut::Nothing,
            echo: false,
        }
    }
}

impl CallMedia {
    /// An echo: what comes goes back, be it sound, pictures, text or keys; everything that is offered is taken. For a test number. Two
    /// of them in one call would never fall silent: let an echo follow no transfer.
    #[must_use]
    pub fn echo() -> Self {
        Self {
            audio_in: AudioIn::Echo,
            text: Some(true),
            video_in: Some(VideoIn::Echo),
            echo: true,
            ..Self::default()
        }
    }

    /// Which media are asked for.
    pub(crate) fn wanted(&self) -> Wanted {
        let video = self.video_in.as_ref().map(|video| !matches!(video, VideoIn::Off));
        let record = matches!(self.audio_out, AudioOut::Wav { .. }) || self.video_out.records();
        Wanted { audio: self.audio, text: self.text, video, record, echo: self.echo }
    }

    /// Whether the files can be used, without waiting for a call: opens the sources (and closes them again) and checks
    /// that the directories of recordings exist.
    ///
    /// # Errors
    /// [`CallError::AudioFile`], [`CallError::VideoSource`] or [`CallError::Recording`].
    pub fn check(&self) -> Result<(), CallError> {
        self.video_in.as_ref().map_or(Ok(()), VideoIn::check)?;
        self.video_out.check()?;
        if let AudioIn::Wav { path, .. } = &self.audio_in {
            open_wav(path)?;
        }
        if let AudioOut::Wav { path } = &self.audio_out {
            check_folder(path)?;
        }
        Ok(())
    }
}

/// A recording's folder must be there.
fn check_folder(path: &Path) -> Result<(), CallError> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    match directory.filter(|directory| !directory.is_dir()) {
        Some(directory) => {
            let why = format!("there is no directory {}", directory.display());
            Err(CallError::Recording { path: path.to_owned(), why })
        }
        None => Ok(()),
    }
}

/// What is sent as sound.
pub enum AudioIn {
    /// Silence.
    Silence,
    /// A sine tone.
    Tone {
        /// Frequency.
        hz: f64,
        /// Level; 0 dBm0 is 3.17 dB below the clipping sine.
        level_dbm0: f64,
    },
    /// A WAV file (PCM), once or again and again.
    Wav {
        /// The file.
        path: PathBuf,
        /// Start again at its end.
        looping: bool,
    },
    /// What is heard, as soon as it is; [`AudioOut`] gets it too.
    Echo,
    /// The application's own.
    Custom(Box<dyn AudioSource>),
}

/// Where the sound of the far end goes.
pub enum AudioOut {
    /// Nowhere; it is still judged (level, tone) for the report.
    Nothing,
    /// Into a WAV file, playable whatever happens.
    Wav {
        /// The file.
        path: PathBuf,
    },
    /// The application's own.
    Custom(Box<dyn AudioSink>),
}

impl fmt::Debug for AudioIn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Silence => f.write_str("Silence"),
            Self::Tone { hz, level_dbm0 } => write!(f, "Tone({hz} Hz, {level_dbm0} dBm0)"),
            Self::Wav { path, .. } => write!(f, "Wav({})", path.display()),
            Self::Echo => f.write_str("Echo"),
            Self::Custom(_) => f.write_str("Custom"),
        }
    }
}

impl fmt::Debug for AudioOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => f.write_str("Nothing"),
            Self::Wav { path } => write!(f, "Wav({})", path.display()),
            Self::Custom(_) => f.write_str("Custom"),
        }
    }
}

fn open_wav(path: &Path) -> Result<source::Wav, CallError> {
    source::Wav::open(path)
        .map_err(|error| CallError::AudioFile { path: path.to_owned(), why: error.to_string() })
}

impl AudioIn {
    /// The running source, and for an echo the sink that feeds it.
    pub(crate) fn open(self) -> Result<(Box<dyn AudioSource>, Option<EchoSink>), CallError> {
        let source: Box<dyn AudioSource> = match self {
            Self::Silence => Box::new(source::Silence),
            Self::Tone { hz, level_dbm0 } => Box::new(source::Tone::new(hz, level_dbm0)),
            Self::Wav { path, looping: false } => Box::new(open_wav(&path)?),
            Self::Wav { path, looping: true } => Box::new(open_wav(&path)?.looping()),
            Self::Echo => {
                let (sink, source) = loopback::echo(0);
                return Ok((Box::new(source), Some(sink)));
            }
            Self::Custom(source) => source,
        };
        Ok((source, None))
    }
}

impl AudioOut {
    /// The running sink.
    pub(crate) fn open(self) -> Result<Box<dyn AudioSink>, CallError> {
        Ok(match self {
            Self::Nothing => Box::new(sink::Null),
            Self::Wav { path } => Box::new(
                sink::WavSink::create(&path)
                    .map_err(|error| CallError::Recording { path: path.clone(), why: error.to_string() })?,
            ),
            Self::Custom(sink) => sink,
        })
    }
}

/// What was agreed for a call.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct EstablishedMedia {
    /// The media that flow.
    pub streams: Vec<StreamAgreement>,
    /// The media that were refused, with the reason.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub refused: Vec<String>,
    /// What became of each m-line and each of its formats, in the order of the description.
    pub lines: Vec<LineOutcome>,
}

/// One agreed medium.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StreamAgreement {
    /// What it is.
    pub kind: MediaKind,
    /// The codec, for example `PCMU`, or `t140` with `red`.
    pub codec: String,
    /// Our payload type number for sending.
    pub payload_type: u8,
    /// Our address.
    pub local: SocketAddr,
    /// Where packets go.
    pub remote: SocketAddr,
    /// The SRTP suite, when encrypted.
    pub crypto: Option<&'static str>,
    /// Packets are sent.
    pub send: bool,
    /// Packets are expected.
    pub receive: bool,
}

/// What was measured of a running call up to now.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct CallFigures {
    /// Figures of the sound.
    pub audio: Option<StreamStats>,
    /// Figures of the text.
    pub text: Option<StreamStats>,
    /// Figures of the video.
    pub video: Option<StreamStats>,
    /// As [`CallReport::skew_ms`].
    pub skew_ms: Option<f64>,
}

/// Figures of a call.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct CallReport {
    /// From the answer to the end.
    pub duration_ms: f64,
    /// Its set-up.
    pub timings: CallTimings,
    /// What was agreed.
    pub media: EstablishedMedia,
    /// Figures of the sound.
    pub audio: Option<StreamStats>,
    /// Figures of the text.
    pub text: Option<StreamStats>,
    /// Figures of the video.
    pub video: Option<StreamStats>,
    /// How much later pictures were shown than the sound that was captured with them, in milliseconds; none until both came
    /// with the far end's reports.
    pub skew_ms: Option<f64>,
    /// All text that came.
    pub text_received: Option<String>,
    /// The keys that came (RFC 4733); none when the far end did not agree to telephone events.
    pub digits_received: Option<String>,
}
