//! A WAV recording that plays after any end, also after a kill: the header is brought up to date every half second.

use std::fs::File;
use std::io::{self, BufWriter};
use std::path::{Path, PathBuf};

use hound::{SampleFormat, WavSpec, WavWriter};

use super::{AudioSink, SinkError};

/// Samples between two updates of the header, as a share of the sample rate.
const UPDATES_PER_SECOND: u32 = 2;
/// Rate of the header written before the codec is known.
const EARLY_RATE: u32 = 8000;

/// Records mono 16-bit PCM to a file.
pub struct WavSink {
    path: PathBuf,
    writer: Option<WavWriter<BufWriter<File>>>,
    sample_rate: u32,
    /// Samples written since the header was last updated.
    pending: u32,
}

impl std::fmt::Debug for WavSink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WavSink").field("path", &self.path).finish_non_exhaustive()
    }
}

impl WavSink {
    /// Creates (or empties) the file at once, so that a wrong path is known before a call is made.
    ///
    /// # Errors
    /// When the file cannot be created.
    pub fn create(path: impl AsRef<Path>) -> Result<Self, SinkError> {
        let mut sink =
            Self { path: path.as_ref().to_owned(), writer: None, sample_rate: EARLY_RATE, pending: 0 };
        sink.begin(EARLY_RATE)?;
        Ok(sink)
    }

    fn begin(&mut self, sample_rate: u32) -> Result<(), SinkError> {
        let spec =
            WavSpec { channels: 1, sample_rate, bits_per_sample: 16, sample_format: SampleFormat::Int };
        self.sample_rate = sample_rate;
        let begun = WavWriter::create(&self.path, spec).and_then(|mut writer| {
            writer.flush()?;
            Ok(writer)
        });
        self.writer = Some(begun.map_err(|error| self.failed("create", error))?);
        Ok(())
    }

    fn failed(&self, action: &'static str, error: hound::Error) -> SinkError {
        let source = match error {
            hound::Error::IoError(source) => source,
            other @ (hound::Error::FormatError(_)
            | hound::Error::TooWide
            | hound::Error::UnfinishedSample
            | hound::Error::Unsupported
            | hound::Error::InvalidSampleFormat) => io::Error::other(other),
        };
        SinkError::File { action, path: self.path.display().to_string(), source }
    }
}

impl AudioSink for WavSink {
    fn open(&mut self, sample_rate: u32) -> Result<(), SinkError> {
        if sample_rate == self.sample_rate { Ok(()) } else { self.begin(sample_rate) }
    }

    fn write(&mut self, frame: &[i16]) -> Result<(), SinkError> {
        let Some(writer) = &mut self.writer else { return Err(SinkError::Closed) };
        self.pending += frame.len() as u32;
        let update = self.pending >= self.sample_rate / UPDATES_PER_SECOND;
        let written = frame
            .iter()
            .try_for_each(|sample| writer.write_sample(*sample))
            .and_then(|()| if update { writer.flush() } else { Ok(()) });
        if update {
            self.pending = 0;
        }
        written.map_err(|error| self.failed("write", error))
    }

    fn finish(&mut self) -> Result<(), SinkError> {
        let Some(writer) = self.writer.take() else { return Ok(()) };
        writer.finalize().map_err(|error| self.failed("complete", error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(path: &Path) -> (u32, Vec<i16>) {
        let mut reader = hound::WavReader::open(path).unwrap();
        (reader.spec().sample_rate, reader.samples().map(Result::unwrap).collect())
    }

    #[test]
    fn a_finished_recording_holds_every_sample() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.wav");
        let mut sink = WavSink::create(&path).unwrap();
        sink.open(16000).unwrap();
        sink.write(&[1, -2, 3]).unwrap();
        sink.write(&[4]).unwrap();
        sink.finish().unwrap();
        assert_eq!(read(&path), (16000, vec![1, -2, 3, 4]));
        assert!(matches!(sink.write(&[1]), Err(SinkError::Closed)));
    }

    #[test]
    fn it_is_playable_at_any_moment_without_an_orderly_end() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("killed.wav");
        let mut sink = WavSink::create(&path).unwrap();
        assert_eq!(read(&path), (8000, vec![]));
        sink.open(8000).unwrap();
        for n in 0..60 {
            sink.write(&[n; 160]).unwrap();
            let (_, samples) = read(&path);
            assert_eq!(samples.len(), (n as usize + 1) / 25 * 25 * 160);
        }
        // As a kill does: no destructor runs.
        std::mem::forget(sink);
        assert_eq!(read(&path).1.len(), 8000);
    }

    #[test]
    fn a_path_that_cannot_be_written_is_named() {
        let error = WavSink::create("/nonexistent-directory/a.wav").unwrap_err();
        assert!(error.to_string().starts_with("cannot create the recording /nonexistent-directory/a.wav"));
    }
}
