//! What a call sends as video and where the far end's pictures go.

use std::fmt;
use std::path::{Path, PathBuf};

use z5_media::engine::simulated::Network;
use z5_media::loopback::{self, PictureSink};
#[cfg(feature = "openh264")]
use z5_media::video::openh264;
use z5_media::video::{
    AnnexBSink, AnnexBSource, FILM, NoPicture, Rung, VideoFrame, VideoPoll, VideoSink, VideoSource, blank,
};
use z5_media::{SeenFigures, SinkError};

use super::check_folder;
use crate::config::{VideoSetting, is_y4m};
use crate::error::CallError;

/// What is sent as video.
pub enum VideoIn {
    /// No video is offered or accepted.
    Off,
    /// A blank picture; the far end's is received.
    Blank,
    /// The test pattern, at most so large and fast. It carries a stamp that the far end can read (feature `openh264`).
    Pattern(Rung),
    /// Two seconds of it that are built in, again and again; they need no encoder.
    Film,
    /// An H.264 byte stream (Annex B) or, by its name, a Y4M file (feature `openh264`), again and again.
    File {
        /// The file.
        path: PathBuf,
        /// Pictures a second; none means as the file says.
        rate: Option<f64>,
    },
    /// What is seen, without decoding it; [`VideoOut`] gets it too.
    Echo,
    /// The application's own: [`z5_media::video::feed`] takes encoded pictures, `z5_media::video::openh264::camera` raw ones;
    /// neither ever waits.
    Custom(Box<dyn VideoSource>),
}

/// Where the pictures of the far end go.
pub enum VideoOut {
    /// Nowhere; frame rate, losses and freezes are measured all the same.
    Nothing,
    /// They are decoded and judged (feature `openh264`; without it only measured), and kept in files.
    Watched {
        /// An H.264 byte stream, playable whatever happens.
        film: Option<PathBuf>,
        /// A PNG file with the first picture and, every two seconds, the latest (feature `openh264`).
        snapshot: Option<PathBuf>,
        /// A Y4M file of every picture, uncompressed, at a steady rate (feature `openh264`).
        pictures: Option<PathBuf>,
    },
    /// The application's own: [`z5_media::video::frames`] gives access units, `z5_media::video::openh264::watch` pictures.
    Custom(Box<dyn VideoSink>),
}

impl fmt::Debug for VideoIn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off => f.write_str("Off"),
            Self::Blank => f.write_str("Blank"),
            Self::Film => f.write_str("Film"),
            Self::Pattern(rung) => write!(f, "Pattern({}x{}@{})", rung.width, rung.height, rung.frame_rate),
            Self::File { path, .. } => write!(f, "File({})", path.display()),
            Self::Echo => f.write_str("Echo"),
            Self::Custom(_) => f.write_str("Custom"),
        }
    }
}

impl fmt::Debug for VideoOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => f.write_str("Nothing"),
            Self::Watched { film, snapshot, pictures } => {
                write!(f, "Watched({film:?}, {snapshot:?}, {pictures:?})")
            }
            Self::Custom(_) => f.write_str("Custom"),
        }
    }
}

impl From<&VideoSetting> for VideoIn {
    fn from(setting: &VideoSetting) -> Self {
        match setting {
            VideoSetting::Off => Self::Off,
            VideoSetting::Blank => Self::Blank,
            VideoSetting::Film => Self::Film,
            VideoSetting::Pattern(rung) => Self::Pattern(*rung),
            VideoSetting::File { path, rate } => Self::File { path: path.clone(), rate: *rate },
        }
    }
}

impl VideoIn {
    /// What it is called in an error: the file, or its kind.
    pub(crate) fn name(&self) -> String {
        match self {
            Self::Off => "off".to_owned(),
            Self::Blank => "blank".to_owned(),
            Self::Pattern(_) => "pattern".to_owned(),
            Self::Film => "film".to_owned(),
            Self::File { path, .. } => path.display().to_string(),
            Self::Echo => "echo".to_owned(),
            Self::Custom(_) => "source of the application".to_owned(),
        }
    }

    /// Whether it can be sent.
    pub(super) fn check(&self) -> Result<(), CallError> {
        match self {
            Self::Off | Self::Blank | Self::Film | Self::Echo | Self::Custom(_) => Ok(()),
            Self::Pattern(rung) => pattern(*rung).map(drop),
            Self::File { path, rate } => file(path, *rate).map(drop),
        }
    }

    /// The running source, and for an echo the sink that feeds it; `network` for one in simulated time.
    pub(crate) fn open(
        self,
        network: Option<&Network>,
    ) -> Result<(Box<dyn VideoSource>, Option<PictureSink>), CallError> {
        if let Self::Echo = self {
            let (sink, source) = loopback::pictures();
            return Ok((Box::new(source), Some(sink)));
        }
        let source = match (self, network) {
            (Self::Pattern(rung), Some(network)) => simulated_pattern(rung, network),
            (Self::File { path, rate }, Some(network)) if is_y4m(&path) => {
                simulated_y4m(&path, rate, network)
            }
            (source, _) => source.running(),
        };
        source.map(|source| (source, None))
    }

    fn running(self) -> Result<Box<dyn VideoSource>, CallError> {
        match self {
            Self::Off | Self::Echo => Ok(Box::new(NoPicture)),
            Self::Blank => Ok(Box::new(Blank::default())),
            Self::Pattern(rung) => pattern(rung),
            Self::Film => match AnnexBSource::of(FILM.to_vec()) {
                Some(film) => Ok(Box::new(film.looping())),
                None => Err(refused("film", "it is not in this build")),
            },
            Self::File { path, rate } => file(&path, rate),
            Self::Custom(source) => Ok(source),
        }
    }
}

fn refused(what: impl Into<String>, why: impl fmt::Display) -> CallError {
    CallError::VideoSource { what: what.into(), why: why.to_string() }
}

#[cfg(not(feature = "openh264"))]
const NO_CODEC: &str =
    "this z5 was built without OpenH264 (`--features openh264`); an H.264 file can be sent";

#[cfg(feature = "openh264")]
fn pattern(most: Rung) -> Result<Box<dyn VideoSource>, CallError> {
    match openh264::pattern(most) {
        Ok(source) => Ok(Box::new(source)),
        Err(error) => Err(refused("pattern", error)),
    }
}

#[cfg(feature = "openh264")]
fn simulated_pattern(most: Rung, network: &Network) -> Result<Box<dyn VideoSource>, CallError> {
    openh264::simulated_pattern(most, network).map_err(|error| refused("pattern", error))
}

#[cfg(not(feature = "openh264"))]
fn simulated_pattern(_most: Rung, _network: &Network) -> Result<Box<dyn VideoSource>, CallError> {
    Err(refused("pattern", NO_CODEC))
}

#[cfg(not(feature = "openh264"))]
fn pattern(_most: Rung) -> Result<Box<dyn VideoSource>, CallError> {
    Err(refused("pattern", NO_CODEC))
}

fn file(path: &Path, rate: Option<f64>) -> Result<Box<dyn VideoSource>, CallError> {
    let failed = |why: &dyn fmt::Display| refused(path.display().to_string(), why);
    if is_y4m(path) {
        return y4m(path, rate);
    }
    let source = AnnexBSource::open(path).map_err(|error| failed(&error))?.looping();
    match rate {
        Some(rate) => Ok(Box::new(source.at_rate(rate).map_err(|error| failed(&error))?)),
        None => Ok(Box::new(source)),
    }
}

#[cfg(feature = "openh264")]
fn y4m(path: &Path, rate: Option<f64>) -> Result<Box<dyn VideoSource>, CallError> {
    match openh264::y4m(path, rate) {
        Ok(source) => Ok(Box::new(source)),
        Err(error) => Err(refused(path.display().to_string(), error)),
    }
}

#[cfg(feature = "openh264")]
fn simulated_y4m(
    path: &Path,
    rate: Option<f64>,
    network: &Network,
) -> Result<Box<dyn VideoSource>, CallError> {
    openh264::simulated_y4m(path, rate, network).map_err(|error| refused(path.display().to_string(), error))
}

#[cfg(not(feature = "openh264"))]
fn simulated_y4m(
    path: &Path,
    _rate: Option<f64>,
    _network: &Network,
) -> Result<Box<dyn VideoSource>, CallError> {
    Err(refused(path.display().to_string(), NO_CODEC))
}

#[cfg(not(feature = "openh264"))]
fn y4m(path: &Path, _rate: Option<f64>) -> Result<Box<dyn VideoSource>, CallError> {
    Err(refused(path.display().to_string(), NO_CODEC))
}

/// How often the blank picture is repeated, well below the 15 s after which paths close (RFC 6263).
const REPEAT: std::time::Duration = std::time::Duration::from_secs(5);
/// Its size.
const BLANK_SIZE: (u32, u32) = (352, 288);

/// The blank picture as a source.
#[derive(Debug, Default)]
struct Blank {
    due: std::time::Duration,
    number: u32,
}

impl VideoSource for Blank {
    fn next(&mut self, now: std::time::Duration, unit: &mut Vec<u8>) -> VideoPoll {
        if now < self.due {
            return VideoPoll::Wait { until: self.due };
        }
        let (width, height) = BLANK_SIZE;
        unit.extend_from_slice(&blank(width, height, self.number));
        self.number = self.number.wrapping_add(1);
        self.due = now + REPEAT;
        VideoPoll::Picture { at: now }
    }

    fn want_key_frame(&mut self) {
        self.due = std::time::Duration::ZERO;
    }
}

impl VideoOut {
    /// Whether pictures are kept in files.
    pub(super) fn records(&self) -> bool {
        match self {
            Self::Nothing | Self::Custom(_) => false,
            Self::Watched { film, snapshot, pictures } => {
                [film, snapshot, pictures].into_iter().any(Option::is_some)
            }
        }
    }

    /// Whether its files can be written.
    pub(super) fn check(&self) -> Result<(), CallError> {
        let Self::Watched { film, snapshot, pictures } = self else { return Ok(()) };
        #[cfg(not(feature = "openh264"))]
        if let Some(path) = snapshot.as_ref().or(pictures.as_ref()) {
            return Err(CallError::Recording { path: path.clone(), why: NO_CODEC.to_owned() });
        }
        film.iter().chain(snapshot).chain(pictures).try_for_each(|path| check_folder(path))
    }

    /// The running sink; `network` for one in simulated time, where each picture is decoded as it comes.
    pub(crate) fn open(self, network: Option<&Network>) -> Result<Box<dyn VideoSink>, CallError> {
        match self {
            Self::Nothing => Ok(Box::new(NoPicture)),
            Self::Watched { film, snapshot, pictures } => {
                Ok(Box::new(Watched::open(film, snapshot, pictures, network)?))
            }
            Self::Custom(sink) => Ok(sink),
        }
    }
}

fn recording(path: PathBuf) -> Result<AnnexBSink, CallError> {
    AnnexBSink::create(&path).map_err(|error| CallError::Recording { path, why: error.to_string() })
}

/// Keeps pictures in a file, and has them judged where they can be decoded.
struct Watched {
    film: Option<AnnexBSink>,
    #[cfg(feature = "openh264")]
    eye: Box<dyn VideoSink>,
}

impl Watched {
    fn open(
        film: Option<PathBuf>,
        snapshot: Option<PathBuf>,
        pictures: Option<PathBuf>,
        network: Option<&Network>,
    ) -> Result<Self, CallError> {
        let film = film.map(recording).transpose()?;
        #[cfg(feature = "openh264")]
        {
            let failed = |error: openh264::CodecError| CallError::Media { why: error.to_string() };
            let raw = |path: PathBuf| {
                std::fs::File::create(&path)
                    .map_err(|error| CallError::Recording { path, why: error.to_string() })
            };
            let kept = openh264::Kept { snapshot, film: pictures.map(raw).transpose()? };
            let eye: Box<dyn VideoSink> = match network {
                None => Box::new(openh264::eye(kept).map_err(failed)?.0),
                Some(network) => openh264::simulated_eye(kept, network).map_err(failed)?,
            };
            Ok(Self { film, eye })
        }
        #[cfg(not(feature = "openh264"))]
        let _ = network;
        #[cfg(not(feature = "openh264"))]
        match snapshot.or(pictures) {
            Some(path) => Err(CallError::Recording { path, why: NO_CODEC.to_owned() }),
            None => Ok(Self { film }),
        }
    }
}

impl VideoSink for Watched {
    fn write(&mut self, frame: &VideoFrame<'_>) -> Result<(), SinkError> {
        #[cfg(feature = "openh264")]
        self.eye.write(frame)?;
        self.film.as_mut().map_or(Ok(()), |film| film.write(frame))
    }

    fn finish(&mut self) -> Result<(), SinkError> {
        self.film.as_mut().map_or(Ok(()), |film| film.finish())
    }

    #[cfg(feature = "openh264")]
    fn seen(&self) -> Option<SeenFigures> {
        self.eye.seen()
    }

    #[cfg(not(feature = "openh264"))]
    fn seen(&self) -> Option<SeenFigures> {
        None
    }
}
