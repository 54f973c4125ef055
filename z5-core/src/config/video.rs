//! What is sent as video, as it is written: `off`, `blank`, `film`, `pattern`, or a file.

use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, de};
pub use z5_media::video::Rung;

use super::values::nearest;

/// Whether this build encodes and decodes pictures (feature `openh264`). Without it, H.264 files are sent and recorded all the
/// same.
pub const VIDEO_CODEC: bool = cfg!(feature = "openh264");

/// Size and rate of the pattern when none is named: what EN 301 549 section 6.5 calls usable for signing, and more pictures.
const USUAL: Rung = Rung { width: 352, height: 288, frame_rate: 30 };
const FORMS: &str = "off, blank, film, pattern, pattern:WIDTHxHEIGHT, pattern:WIDTHxHEIGHT@FPS, FILE.h264, FILE.y4m, or a file with \
                     @FPS behind it";

/// What is sent as video.
#[derive(Debug, Clone, Default, PartialEq)]
pub enum VideoSetting {
    /// Video is neither offered nor accepted.
    #[default]
    Off,
    /// A blank picture; the far end's is received.
    Blank,
    /// The test pattern, at most so large and fast.
    Pattern(Rung),
    /// Two seconds of it that are built in, again and again; they need no encoder.
    Film,
    /// A file, again and again: an H.264 byte stream (Annex B), or Y4M.
    File {
        /// The file.
        path: PathBuf,
        /// Pictures a second; none means as the file says.
        rate: Option<f64>,
    },
}

impl VideoSetting {
    /// Whether calls may carry video.
    pub const fn is_on(&self) -> bool {
        !matches!(self, Self::Off)
    }

    /// Whether it has to be encoded.
    pub fn needs_codec(&self) -> bool {
        match self {
            Self::Off | Self::Blank | Self::Film => false,
            Self::Pattern(_) => true,
            Self::File { path, .. } => is_y4m(path),
        }
    }
}

/// Whether a file is uncompressed, by its name.
pub(crate) fn is_y4m(path: &std::path::Path) -> bool {
    path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("y4m"))
}

impl FromStr for VideoSetting {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "off" => return Ok(Self::Off),
            "blank" => return Ok(Self::Blank),
            "film" => return Ok(Self::Film),
            "pattern" => return Ok(Self::Pattern(USUAL)),
            _ => {}
        }
        if let Some(size) = text.strip_prefix("pattern:") {
            return pattern(size).ok_or_else(|| {
                format!(
                    "\"{size}\" is no size: write for example pattern:640x480@25; width and height even, from 176x144 to \
                     1280x720, 1 to 60 pictures a second"
                )
            });
        }
        let (name, rate) = match text.rsplit_once('@').map(|(name, rate)| (name, rate.parse::<f64>())) {
            Some((name, Ok(rate))) if (1.0..=120.0).contains(&rate) => (name, Some(rate)),
            Some((_, Ok(_))) => return Err(format!("\"{text}\": 1 to 120 pictures a second can be sent")),
            Some((_, Err(_))) | None => (text, None),
        };
        let path = PathBuf::from(name);
        let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
        match extension.to_ascii_lowercase().as_str() {
            "h264" | "264" | "avc" | "y4m" => Ok(Self::File { path, rate }),
            _ => {
                let near = nearest(text, &["off", "blank", "film", "pattern"]);
                let near = near.map_or_else(String::new, |near| format!("; did you mean `{near}`?"));
                Err(format!("\"{text}\" is no video{near}; there are: {FORMS}"))
            }
        }
    }
}

fn pattern(size: &str) -> Option<VideoSetting> {
    let (size, frame_rate) = match size.split_once('@') {
        Some((size, rate)) => (size, rate.parse().ok()?),
        None => (size, USUAL.frame_rate),
    };
    let (width, height) = size.split_once('x')?;
    let (width, height): (u32, u32) = (width.parse().ok()?, height.parse().ok()?);
    let even = width.is_multiple_of(2) && height.is_multiple_of(2);
    let fits =
        (176..=1280).contains(&width) && (144..=720).contains(&height) && (1..=60).contains(&frame_rate);
    (even && fits).then_some(VideoSetting::Pattern(Rung { width, height, frame_rate }))
}

impl<'de> Deserialize<'de> for VideoSetting {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sent_is_read() {
        let file = |path: &str, rate| VideoSetting::File { path: path.into(), rate };
        let small = Rung { width: 320, height: 240, frame_rate: 15 };
        for (text, setting) in [
            ("off", VideoSetting::Off),
            ("blank", VideoSetting::Blank),
            ("film", VideoSetting::Film),
            ("pattern", VideoSetting::Pattern(USUAL)),
            ("pattern:320x240@15", VideoSetting::Pattern(small)),
            ("pattern:320x240", VideoSetting::Pattern(Rung { frame_rate: 30, ..small })),
            ("a/film.h264", file("a/film.h264", None)),
            ("film.Y4M@12.5", file("film.Y4M", Some(12.5))),
            ("me@home/film.264", file("me@home/film.264", None)),
        ] {
            assert_eq!(text.parse(), Ok(setting), "{text}");
        }
        for text in
            ["", "on", "film.mp4", "pattern:1x1", "pattern:321x240", "pattern:320x240@0", "film.h264@0"]
        {
            assert!(text.parse::<VideoSetting>().is_err(), "{text}");
        }
        assert!(VideoSetting::Pattern(USUAL).needs_codec() && file("a.y4m", None).needs_codec());
        assert!(!file("a.h264", None).needs_codec() && !VideoSetting::Blank.needs_codec());
    }
}
