//! Annex-B files as source and sink (ITU-T H.264 annex B): what `ffmpeg -c:v libx264 out.h264` writes and players read.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{SequenceParameters, VideoFrame, VideoPoll, VideoSink, VideoSource, sequence_parameters};
use crate::codec::h264::nal_units;
use crate::file::{self, FileError, Limit};
use crate::sink::SinkError;

/// Largest file that is played: it is kept in memory.
const MAX_FILE: u64 = 512 << 20;
/// Pictures per second where neither the file nor the caller says.
const USUAL_RATE: f64 = 25.0;

/// Why a file cannot be played.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AnnexBError {
    /// The file cannot be read.
    #[error("cannot read {}: {}", path.display(), crate::file::words::system(source))]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It is larger than what is kept in memory.
    #[error("{} is larger than {} MiB", path.display(), MAX_FILE >> 20)]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// It holds no picture to start with.
    #[error(
        "{} is no H.264 byte stream with a key frame; make one: ffmpeg -i {} -an -c:v libx264 -profile:v baseline -bf 0 \
         -x264-params keyint=50 video.h264",
        path.display(), path.display()
    )]
    NoVideo {
        /// The file.
        path: PathBuf,
    },
    /// The rate asked for is none.
    #[error("{rate} pictures per second cannot be played: 1 to 120 can")]
    Rate {
        /// What was asked for.
        rate: f64,
    },
}

/// Plays an Annex-B file, paced by its timing, or as told, or at 25 pictures a second.
#[derive(Debug)]
pub struct AnnexBSource {
    bytes: Vec<u8>,
    units: Vec<Unit>,
    parameters: Option<SequenceParameters>,
    interval: Duration,
    looping: bool,
    next: usize,
    /// Pictures given.
    given: u32,
}

#[derive(Debug, Clone)]
struct Unit {
    bytes: Range<usize>,
    key_frame: bool,
}

impl AnnexBSource {
    /// Opens a file; playing starts at its first key frame.
    ///
    /// # Errors
    /// When it cannot be read or holds no key frame.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, AnnexBError> {
        let path = path.as_ref().to_owned();
        let limit = Limit::of("a video file", MAX_FILE);
        match file::read(&path, limit) {
            Ok(bytes) => Self::of(bytes).ok_or(AnnexBError::NoVideo { path }),
            Err(FileError::TooLong { .. }) => Err(AnnexBError::TooLarge { path }),
            Err(why) => Err(AnnexBError::Unreadable { path, source: why.into() }),
        }
    }

    /// Plays a byte stream in memory; `None` when it holds no key frame.
    #[must_use]
    pub fn of(bytes: Vec<u8>) -> Option<Self> {
        let (units, parameters) = access_units(&bytes);
        let next = units.iter().position(|unit| unit.key_frame)?;
        let rate = parameters.and_then(|set| set.frame_rate).unwrap_or(USUAL_RATE);
        let interval = Duration::from_secs_f64(1.0 / rate);
        Some(Self { bytes, units, parameters, interval, looping: false, next, given: 0 })
    }

    /// Plays so many pictures a second, whatever the file says.
    ///
    /// # Errors
    /// When the rate is not between 1 and 120.
    pub fn at_rate(mut self, rate: f64) -> Result<Self, AnnexBError> {
        if !(1.0..=120.0).contains(&rate) {
            return Err(AnnexBError::Rate { rate });
        }
        self.interval = Duration::from_secs_f64(1.0 / rate);
        Ok(self)
    }

    /// Begins again at the end.
    #[must_use]
    pub fn looping(mut self) -> Self {
        self.looping = true;
        self
    }

    /// Picture size and timing, where the file says them.
    #[must_use]
    pub fn parameters(&self) -> Option<SequenceParameters> {
        self.parameters
    }

    /// Pictures in the file.
    #[must_use]
    pub fn pictures(&self) -> usize {
        self.units.len()
    }
}

impl VideoSource for AnnexBSource {
    fn next(&mut self, now: Duration, unit: &mut Vec<u8>) -> VideoPoll {
        let at = self.interval * self.given;
        if self.next >= self.units.len() {
            match self.units.iter().position(|unit| unit.key_frame) {
                Some(first) if self.looping => self.next = first,
                Some(_) | None => return VideoPoll::Ended,
            }
        }
        if at > now {
            return VideoPoll::Wait { until: at };
        }
        if let Some(found) = self.units.get(self.next) {
            unit.extend_from_slice(self.bytes.get(found.bytes.clone()).unwrap_or_default());
        }
        self.next += 1;
        self.given += 1;
        VideoPoll::Picture { at }
    }

    fn largest_unit(&self) -> Option<usize> {
        nal_units(&self.bytes).map(<[u8]>::len).max()
    }

    /// Goes on with the next key frame of the file, or with its first one: a file cannot make one.
    fn want_key_frame(&mut self) {
        let later = self.units.iter().skip(self.next).position(|unit| unit.key_frame);
        let first = self.units.iter().position(|unit| unit.key_frame);
        if let Some(next) = later.map(|n| n + self.next).or(first) {
            self.next = next;
        }
    }
}

/// Where each access unit begins and ends, and the first parameters found.
fn access_units(bytes: &[u8]) -> (Vec<Unit>, Option<SequenceParameters>) {
    let mut units: Vec<Unit> = Vec::new();
    let mut parameters = None;
    // Start of the unit being gathered, whether a slice was seen in it, and whether that was of a key frame.
    let (mut start, mut sliced, mut key_frame) = (0, false, false);
    for unit in nal_units(bytes) {
        let at = unit.as_ptr() as usize - bytes.as_ptr() as usize;
        let code = bytes[..at].iter().rev().skip(1).take_while(|byte| **byte == 0).count() + 1;
        let kind = unit[0] & 0x1f;
        let slice = matches!(kind, 1 | 5);
        // A new picture: parameter sets, delimiters and supplements after a slice, or a slice that begins at macroblock 0
        // (section 7.4.1.2.3; first_mb_in_slice is the first Exp-Golomb number of the slice header).
        let first_of_picture =
            if slice { unit.get(1).is_some_and(|byte| byte & 0x80 != 0) } else { matches!(kind, 6..=9) };
        if sliced && first_of_picture {
            units.push(Unit { bytes: start..at - code, key_frame });
            (start, sliced, key_frame) = (at - code, false, false);
        }
        sliced |= slice;
        key_frame |= kind == 5;
        if kind == 7 && parameters.is_none() {
            parameters = sequence_parameters(unit);
        }
    }
    if sliced {
        units.push(Unit { bytes: start..bytes.len(), key_frame });
    }
    (units, parameters)
}

/// Writes received pictures one after the other. The file plays after any end, also after a kill: it has no header.
#[derive(Debug)]
pub struct AnnexBSink {
    path: PathBuf,
    file: BufWriter<File>,
}

impl AnnexBSink {
    /// Creates (or empties) the file at once, so that a wrong path is known before a call is made.
    ///
    /// # Errors
    /// When the file cannot be created.
    pub fn create(path: impl AsRef<Path>) -> Result<Self, SinkError> {
        let path = path.as_ref().to_owned();
        match File::create(&path) {
            Ok(file) => Ok(Self { path, file: BufWriter::new(file) }),
            Err(source) => {
                Err(SinkError::File { action: "create", path: path.display().to_string(), source })
            }
        }
    }

    fn failed(&self, action: &'static str, source: io::Error) -> SinkError {
        SinkError::File { action, path: self.path.display().to_string(), source }
    }
}

impl VideoSink for AnnexBSink {
    fn write(&mut self, frame: &VideoFrame<'_>) -> Result<(), SinkError> {
        // Each picture reaches the file whole, so that a kill costs none.
        let written = self.file.write_all(frame.data).and_then(|()| self.file.flush());
        written.map_err(|source| self.failed("write", source))
    }

    fn finish(&mut self) -> Result<(), SinkError> {
        let done = self.file.flush();
        done.map_err(|source| self.failed("complete", source))
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::clock;

    /// A byte stream of so many pictures, each of two slices, every `every`-th a key frame with its parameter sets.
    /// The bytes are no decodable video, but framed like one; byte 2 of each slice counts the pictures.
    pub(crate) fn stream(pictures: usize, every: usize, slice: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut put = |unit: &[u8]| {
            bytes.extend_from_slice(&[0, 0, 0, 1]);
            bytes.extend_from_slice(unit);
        };
        for n in 0..pictures {
            let key = n % every == 0;
            if key {
                put(&[0x67, 0x42, 0xc0, 0x0b, 0x8c, 0x8d, 0x40, 0xb0, 0x4b, 0x20]);
                put(&[0x68, 0xce, 0x3c, 0x80]);
            }
            for part in 0..2 {
                let mut unit = vec![0x55; slice.max(4)];
                unit[0] = if key { 0x65 } else { 0x41 };
                unit[1] = if part == 0 { 0x88 } else { 0x08 };
                unit[2] = n as u8 | 1;
                put(&unit);
            }
        }
        bytes
    }

    #[test]
    fn a_file_is_cut_into_pictures_and_paced() {
        let bytes = stream(6, 3, 20);
        let mut source = AnnexBSource::of(bytes.clone()).unwrap().at_rate(50.0).unwrap();
        assert_eq!((source.pictures(), source.parameters().map(|p| p.width)), (6, Some(352)));
        let (mut whole, mut times, mut now) = (Vec::new(), Vec::new(), Duration::ZERO);
        loop {
            let mut unit = Vec::new();
            match source.next(now, &mut unit) {
                VideoPoll::Picture { at } => times.push(at.as_millis()),
                VideoPoll::Wait { until } => now = until,
                VideoPoll::Ended => break,
            }
            whole.extend(unit);
        }
        assert_eq!(whole, bytes);
        assert_eq!(times, [0, 20, 40, 60, 80, 100]);
    }

    #[test]
    fn a_wanted_key_frame_is_the_files_next_one_or_its_first() {
        let mut source = AnnexBSource::of(stream(6, 3, 20)).unwrap();
        let take = |source: &mut AnnexBSource| {
            let mut unit = Vec::new();
            source.next(Duration::from_secs(9), &mut unit);
            nal_units(&unit).any(|nal| nal[0] & 0x1f == 5)
        };
        assert!(take(&mut source));
        source.want_key_frame();
        assert!(take(&mut source));
        assert!(!take(&mut source));
        source.want_key_frame();
        assert!(take(&mut source));
    }

    #[test]
    fn what_is_no_video_is_refused_with_the_way_out() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.h264");
        assert!(matches!(AnnexBSource::open(&path), Err(AnnexBError::Unreadable { .. })));
        std::fs::write(&path, "no video").unwrap();
        let error = AnnexBSource::open(&path).unwrap_err();
        assert!(error.to_string().contains("ffmpeg -i "), "{error}");
        // Pictures, but none to start with.
        assert!(AnnexBSource::of(vec![0, 0, 1, 0x41, 0x88, 1]).is_none());
        assert!(matches!(
            AnnexBSource::of(stream(1, 1, 9)).unwrap().at_rate(0.0),
            Err(AnnexBError::Rate { .. })
        ));
    }

    #[test]
    fn a_recording_holds_what_was_received_at_every_moment() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("heard.h264");
        let mut sink = AnnexBSink::create(&path).unwrap();
        let unit = stream(1, 1, 50);
        for n in 1..=3 {
            let frame = VideoFrame { timestamp: 0, data: &unit, key_frame: true, at: clock::now() };
            sink.write(&frame).unwrap();
            assert_eq!(std::fs::read(&path).unwrap().len(), n * unit.len());
        }
        sink.finish().unwrap();
        assert!(AnnexBSink::create(dir.path().join("no/such/place")).is_err());
    }
}
