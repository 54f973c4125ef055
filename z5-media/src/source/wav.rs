//! A WAV file as audio source: 16-bit PCM, mono or stereo, at the usual rates, converted to the codec's rate.

use std::fs::File;
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};

use hound::{SampleFormat, WavReader, WavSpec};

use super::resample::Resampler;
use super::{AudioSource, SourceState};
use crate::file::{self, Limit};

/// It is read while it plays, so that its length does not matter.
const SOUND: Limit = Limit::of("a WAV file", u64::MAX);

/// Sample rates that are read.
const RATES: [u32; 9] = [8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000];

/// Why a file cannot be played.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WavError {
    /// The file cannot be opened or read.
    #[error("cannot read {}: {}", path.display(), file::words::system(source))]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It is no WAV file, or a broken one.
    #[error("{} is not a playable WAV file: {why}; convert it: {}", path.display(), convert(path))]
    NotWav {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// A WAV file of a kind that is not read.
    #[error(
        "{} holds {seen}; z5 reads 16-bit PCM, mono or stereo, 8 to 48 kHz; convert it: {}",
        path.display(), convert(path)
    )]
    Unsupported {
        /// The file.
        path: PathBuf,
        /// What it holds.
        seen: String,
    },
    /// It holds no samples.
    #[error("{} holds no audio", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
}

/// The command that makes a readable file of it.
fn convert(path: &Path) -> String {
    format!("ffmpeg -i {} -ac 1 -ar 16000 -c:a pcm_s16le converted.wav", path.display())
}

/// Plays a WAV file, once or again and again.
pub struct Wav {
    path: PathBuf,
    reader: WavReader<BufReader<File>>,
    spec: WavSpec,
    resampler: Option<Resampler>,
    looping: bool,
    ended: bool,
}

impl std::fmt::Debug for Wav {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Wav").field("path", &self.path).field("spec", &self.spec).finish_non_exhaustive()
    }
}

impl Wav {
    /// Opens a file and checks that it can be played.
    ///
    /// # Errors
    /// When it cannot be read, is no WAV file, or is of a kind that is not read.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, WavError> {
        let path = path.as_ref().to_owned();
        let file = match file::open(&path, SOUND) {
            Ok(file) => file,
            Err(why) => return Err(WavError::Unreadable { path, source: why.into() }),
        };
        let reader = match WavReader::new(BufReader::new(file)) {
            Ok(reader) => reader,
            // This is how hound reports a file that ends too early.
            Err(hound::Error::IoError(source))
                if matches!(source.kind(), io::ErrorKind::Other | io::ErrorKind::UnexpectedEof) =>
            {
                return Err(WavError::NotWav { path, why: "it ends within its header".into() });
            }
            Err(hound::Error::IoError(source)) => return Err(WavError::Unreadable { path, source }),
            Err(hound::Error::Unsupported) => {
                return Err(WavError::Unsupported { path, seen: "compressed or unusual audio".into() });
            }
            Err(error) => return Err(WavError::NotWav { path, why: error.to_string() }),
        };
        let spec = reader.spec();
        let readable = spec.sample_format == SampleFormat::Int
            && spec.bits_per_sample == 16
            && (1..=2).contains(&spec.channels)
            && RATES.contains(&spec.sample_rate);
        if !readable {
            return Err(WavError::Unsupported { path, seen: describe(spec) });
        }
        if reader.duration() == 0 {
            return Err(WavError::Empty { path });
        }
        Ok(Self { path, reader, spec, resampler: None, looping: false, ended: false })
    }

    /// Begins again at the end.
    #[must_use]
    pub fn looping(mut self) -> Self {
        self.looping = true;
        self
    }

    /// Length of the file in milliseconds.
    #[must_use]
    pub fn duration_ms(&self) -> u64 {
        u64::from(self.reader.duration()) * 1000 / u64::from(self.spec.sample_rate)
    }
}

fn describe(spec: WavSpec) -> String {
    let format = match spec.sample_format {
        SampleFormat::Float => "floating point",
        SampleFormat::Int => "PCM",
    };
    format!("{}-bit {format}, {} channels, {} Hz", spec.bits_per_sample, spec.channels, spec.sample_rate)
}

/// The next sample, both channels of a stereo file as their mean; `None` at the end (or where the file breaks off).
fn next_sample(reader: &mut WavReader<BufReader<File>>, channels: u16) -> Option<i16> {
    let mut samples = reader.samples::<i16>();
    let first = samples.next()?.ok()?;
    if channels == 1 {
        return Some(first);
    }
    let second = samples.next()?.ok()?;
    Some(((i32::from(first) + i32::from(second)) / 2) as i16)
}

impl AudioSource for Wav {
    fn open(&mut self, sample_rate: u32) {
        if sample_rate != self.spec.sample_rate {
            self.resampler = Some(Resampler::new(self.spec.sample_rate, sample_rate));
        }
    }

    fn fill(&mut self, frame: &mut [i16]) -> SourceState {
        let Self { reader, spec, resampler, looping, path, .. } = self;
        let mut input = || {
            next_sample(reader, spec.channels).or_else(|| {
                if !*looping {
                    return None;
                }
                if let Err(error) = reader.seek(0) {
                    tracing::warn!(%error, path = %path.display(), "cannot begin the file again");
                    return None;
                }
                next_sample(reader, spec.channels)
            })
        };
        for sample in frame.iter_mut() {
            let next = match resampler {
                Some(resampler) if !self.ended => resampler.next(&mut input),
                None if !self.ended => input(),
                Some(_) | None => None,
            };
            self.ended |= next.is_none();
            *sample = next.unwrap_or(0);
        }
        if self.ended { SourceState::Ended } else { SourceState::Playing }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quality::Listener;

    fn write(path: &Path, channels: u16, sample_rate: u32, seconds: u32) {
        let spec = WavSpec { channels, sample_rate, bits_per_sample: 16, sample_format: SampleFormat::Int };
        let mut writer = hound::WavWriter::create(path, spec).unwrap();
        for n in 0..sample_rate * seconds {
            let turns = f64::from(n) * 1000.0 / f64::from(sample_rate);
            let sample = ((turns * std::f64::consts::TAU).sin() * 8000.0) as i16;
            for _ in 0..channels {
                writer.write_sample(sample).unwrap();
            }
        }
        writer.finalize().unwrap();
    }

    #[test]
    fn every_rate_and_both_channel_counts_play_at_the_codecs_rate() {
        let dir = tempfile::tempdir().unwrap();
        for sample_rate in RATES {
            for channels in [1, 2] {
                let path = dir.path().join("tone.wav");
                write(&path, channels, sample_rate, 1);
                let mut wav = Wav::open(&path).unwrap();
                assert_eq!(wav.duration_ms(), 1000);
                wav.open(8000);
                let mut listener = Listener::new(8000);
                let mut frame = [0; 160];
                let mut frames = 0;
                while wav.fill(&mut frame) == SourceState::Playing {
                    listener.hear(&frame);
                    frames += 1;
                }
                assert!((49..=51).contains(&frames), "{sample_rate} {channels} {frames}");
                let heard = listener.heard().unwrap();
                assert!((heard.dominant_hz.unwrap() - 1000.0).abs() < 1.0, "{sample_rate} {heard:?}");
                assert!(heard.tone_share.unwrap() > 0.99, "{sample_rate} {heard:?}");
            }
        }
    }

    #[test]
    fn a_looping_file_does_not_end() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("tone.wav");
        write(&path, 1, 8000, 1);
        let mut wav = Wav::open(&path).unwrap().looping();
        wav.open(8000);
        let mut frame = [0; 8000];
        assert_eq!((0..3).map(|_| wav.fill(&mut frame)).collect::<Vec<_>>(), [SourceState::Playing; 3]);
        assert!(frame[100..].iter().any(|s| *s > 7000));
    }

    #[test]
    fn what_cannot_be_played_is_named_with_the_way_out() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.wav");
        assert!(matches!(Wav::open(&path), Err(WavError::Unreadable { .. })));
        std::fs::write(&path, "this is no sound, it is text that goes on and on for a while").unwrap();
        let error = Wav::open(&path).unwrap_err();
        assert!(matches!(error, WavError::NotWav { .. }), "{error:?}");
        std::fs::write(&path, b"RIFF").unwrap();
        assert!(matches!(Wav::open(&path), Err(WavError::NotWav { .. })));
        let spec = WavSpec {
            channels: 6,
            sample_rate: 96000,
            bits_per_sample: 32,
            sample_format: SampleFormat::Float,
        };
        hound::WavWriter::create(&path, spec).unwrap().finalize().unwrap();
        let text = Wav::open(&path).unwrap_err().to_string();
        assert!(text.contains("32-bit floating point, 6 channels, 96000 Hz"), "{text}");
        assert!(text.contains("ffmpeg -i ") && text.contains("pcm_s16le"), "{text}");
        write(&path, 1, 8000, 0);
        assert!(matches!(Wav::open(&path), Err(WavError::Empty { .. })));
    }
}
