//! The `--audio` argument: a tone, silence, a WAV file, or no sound at all.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use crate::expect::nearest;
use crate::read::meant;

/// What a call sends.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum AudioArg {
    /// No sound at all: the call has none.
    None,
    /// Digital silence, sent as packets so that the path stays open.
    Silence,
    /// A sine of `hz` at `dbm0`.
    Tone {
        /// Frequency in hertz.
        hz: f64,
        /// Level in dBm0 (RFC 7874 asks -19 for speech; tones for tests are louder).
        dbm0: f64,
    },
    /// A WAV file, played once.
    Wav(PathBuf),
}

/// What can be sent without a file.
const WORDS: [&str; 3] = ["tone", "silence", "none"];

/// Level of `tone` when none is named: as loud as a digital milliwatt test tone is often sent, clear of clipping.
pub(crate) const TONE_DBM0: f64 = -10.0;
/// Frequency of `tone` when none is named.
pub(crate) const TONE_HZ: f64 = 1000.0;

impl FromStr for AudioArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut parts = text.split(':');
        match parts.next() {
            Some("silence") if text == "silence" => Ok(Self::Silence),
            Some("none") if text == "none" => Ok(Self::None),
            Some("tone") => {
                let hz = number(parts.next(), TONE_HZ, "frequency in hertz", 50.0, 3800.0)?;
                let dbm0 = number(parts.next(), TONE_DBM0, "level in dBm0", -60.0, 3.0)?;
                match parts.next() {
                    None => Ok(Self::Tone { hz, dbm0 }),
                    Some(more) => Err(format!("\":{more}\" is one part too many; a tone is tone:HZ:DBM0")),
                }
            }
            _ if text.is_empty() => Err("name a WAV file, \"tone\", \"silence\" or \"none\"".to_owned()),
            // a slip of the pen is not looked for on the disk
            Some(word) if !text.contains(['.', '/', '\\']) && nearest(word, WORDS).is_some() => {
                let near = meant(word, WORDS);
                Err(format!("\"{text}\" is no sound{near}; a file of that name is written ./{text}"))
            }
            _ => Ok(Self::Wav(PathBuf::from(text))),
        }
    }
}

fn number(part: Option<&str>, default: f64, what: &str, low: f64, high: f64) -> Result<f64, String> {
    let Some(part) = part else { return Ok(default) };
    match part.parse::<f64>() {
        Ok(value) if (low..=high).contains(&value) => Ok(value),
        _ => Err(format!("\"{part}\" is not a {what} between {low} and {high}")),
    }
}

impl fmt::Display for AudioArg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("none"),
            Self::Silence => f.write_str("silence"),
            Self::Tone { hz, dbm0 } => write!(f, "tone {hz} Hz, {dbm0} dBm0"),
            Self::Wav(path) => write!(f, "{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tones_have_defaults_for_what_is_not_named() {
        assert_eq!("tone".parse(), Ok(AudioArg::Tone { hz: 1000.0, dbm0: -10.0 }));
        assert_eq!("tone:440".parse(), Ok(AudioArg::Tone { hz: 440.0, dbm0: -10.0 }));
        assert_eq!("tone:440:-20".parse(), Ok(AudioArg::Tone { hz: 440.0, dbm0: -20.0 }));
    }

    #[test]
    fn what_is_no_tone_says_why() {
        for (text, word) in [
            ("tone:9000", "3800"),
            ("tone:a", "hertz"),
            ("tone:440:-20:1", "too many"),
            ("", "WAV"),
            ("tonne", "did you mean `tone`?"),
            ("silance", "did you mean `silence`?"),
            ("noon", "written ./noon"),
        ] {
            let why = text.parse::<AudioArg>().unwrap_err();
            assert!(why.contains(word), "{text}: {why}");
        }
    }

    #[test]
    fn anything_else_is_a_file() {
        assert_eq!("none".parse(), Ok(AudioArg::None));
        assert_eq!("none.wav".parse(), Ok(AudioArg::Wav("none.wav".into())));
        assert_eq!("./tones".parse(), Ok(AudioArg::Wav("./tones".into())));
        assert_eq!("hello".parse(), Ok(AudioArg::Wav("hello".into())));
        assert_eq!("tones/a.wav".parse(), Ok(AudioArg::Wav("tones/a.wav".into())));
    }
}
