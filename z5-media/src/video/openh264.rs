//! Encoding and decoding by OpenH264 (feature `openh264`). Sources that encode are in `drawn`.
//!
//! Encoder and decoder run on threads of their own: a picture takes longer than the worker thread may be away from audio.

mod drawn;

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

pub use drawn::{Camera, Drawn, camera, pattern, y4m};
use openh264::OpenH264API;
use openh264::decoder::Decoder;
use openh264::encoder::{
    BitRate, Encoder, EncoderConfig, FrameRate, IntraFramePeriod, Profile, RateControlMode, UsageType,
};
use openh264::formats::{YUVSlices, YUVSource};

use super::feed::FrameSink;
use super::{OwnedFrame, Picture, Seen, VideoFrame, VideoSink, frames, write_png};
use crate::clock::{self, WallAnchor};
use crate::sink::SinkError;
use crate::stats::SeenFigures;

/// Pictures between key frames nobody asked for: about ten seconds.
const KEY_FRAME_EVERY: u32 = 300;
/// Least time between two snapshots.
const SNAPSHOT_EVERY: Duration = Duration::from_secs(2);

/// The encoder or decoder refused, or there is no thread for it.
#[derive(Debug, thiserror::Error)]
#[error("OpenH264: {why}")]
pub struct CodecError {
    /// What it said.
    pub why: String,
}

impl From<openh264::Error> for CodecError {
    fn from(error: openh264::Error) -> Self {
        Self { why: error.to_string() }
    }
}

/// Encodes pictures at a rate that may change.
pub struct PictureEncoder {
    encoder: Encoder,
    frame_rate: u32,
    bits_per_second: u64,
    largest_unit: Option<u32>,
}

impl std::fmt::Debug for PictureEncoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PictureEncoder")
            .field("bits_per_second", &self.bits_per_second)
            .finish_non_exhaustive()
    }
}

fn encoder(frame_rate: u32, bits_per_second: u64, largest_unit: Option<u32>) -> Result<Encoder, CodecError> {
    let bits = u32::try_from(bits_per_second).unwrap_or(u32::MAX).max(10_000);
    let config = match largest_unit {
        Some(largest) => EncoderConfig::new().max_slice_len(largest),
        None => EncoderConfig::new(),
    };
    let config = config
        .bitrate(BitRate::from_bps(bits))
        .max_frame_rate(FrameRate::from_hz(frame_rate as f32))
        .rate_control_mode(RateControlMode::Bufferbased)
        .usage_type(UsageType::CameraVideoRealTime)
        .profile(Profile::Baseline)
        .intra_frame_period(IntraFramePeriod::from_num_frames(KEY_FRAME_EVERY))
        .num_threads(1)
        .skip_frames(false);
    Ok(Encoder::with_api_config(OpenH264API::from_source(), config)?)
}

impl PictureEncoder {
    /// An encoder of constrained baseline.
    ///
    /// # Errors
    /// When OpenH264 refuses.
    pub fn new(frame_rate: u32, bits_per_second: u64) -> Result<Self, CodecError> {
        let frame_rate = NonZeroU32::new(frame_rate).map_or(1, NonZeroU32::get);
        Self::of(frame_rate, bits_per_second, None)
    }

    fn of(frame_rate: u32, bits_per_second: u64, largest_unit: Option<u32>) -> Result<Self, CodecError> {
        let encoder = encoder(frame_rate, bits_per_second, largest_unit)?;
        Ok(Self { encoder, frame_rate, bits_per_second, largest_unit })
    }

    /// The same with NAL units of at most so many bytes, for packetization mode 0.
    ///
    /// # Errors
    /// When OpenH264 refuses.
    pub fn with_largest_unit(self, bytes: usize) -> Result<Self, CodecError> {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        Self::of(self.frame_rate, self.bits_per_second, Some(bytes))
    }

    /// Goes on at another rate, with a key frame.
    ///
    /// # Errors
    /// When OpenH264 refuses.
    pub fn set_rate(&mut self, frame_rate: u32, bits_per_second: u64) -> Result<(), CodecError> {
        if (frame_rate, bits_per_second) != (self.frame_rate, self.bits_per_second) {
            *self = Self::of(frame_rate, bits_per_second, self.largest_unit)?;
        }
        Ok(())
    }

    /// The next picture will be a key frame.
    pub fn force_key_frame(&mut self) {
        self.encoder.force_intra_frame();
    }

    /// Encodes a picture to an access unit.
    ///
    /// # Errors
    /// When OpenH264 refuses.
    pub fn encode(&mut self, picture: &Picture) -> Result<Vec<u8>, CodecError> {
        let [y, u, v] = picture.split();
        let (width, height) = (picture.width(), picture.height());
        let slices = YUVSlices::new((y, u, v), (width, height), (width, width / 2, width / 2));
        Ok(self.encoder.encode(&slices)?.to_vec())
    }
}

/// Decodes access units.
pub struct PictureDecoder(Decoder);

impl std::fmt::Debug for PictureDecoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PictureDecoder").finish_non_exhaustive()
    }
}

impl PictureDecoder {
    /// A decoder that has seen nothing.
    ///
    /// # Errors
    /// When OpenH264 refuses.
    pub fn new() -> Result<Self, CodecError> {
        Ok(Self(Decoder::new()?))
    }

    /// Decodes an access unit; `None` when it makes no picture yet.
    ///
    /// # Errors
    /// When it cannot be decoded.
    pub fn decode(&mut self, unit: &[u8]) -> Result<Option<Picture>, CodecError> {
        let Some(decoded) = self.0.decode(unit)? else { return Ok(None) };
        let (y, u, v) = decoded.strides();
        Ok(Picture::of_planes(decoded.dimensions(), [decoded.y(), decoded.u(), decoded.v()], [y, u, v]))
    }
}

/// A sink that decodes and shows each picture to `show` with the moment it arrived; the thread returns `show` when the
/// stream has ended.
///
/// # Errors
/// When OpenH264 refuses or there is no thread.
pub fn watch<F>(mut show: F) -> Result<(FrameSink, JoinHandle<F>), CodecError>
where
    F: FnMut(&Picture, &OwnedFrame) + Send + 'static,
{
    let (sink, pictures) = frames();
    let mut decoder = PictureDecoder::new()?;
    let thread = std::thread::Builder::new()
        .name("z5-media-watch".into())
        .spawn(move || {
            while let Ok(frame) = pictures.recv() {
                match decoder.decode(&frame.data) {
                    Ok(Some(picture)) => show(&picture, &frame),
                    Ok(None) => {}
                    Err(error) => tracing::debug!(%error, "a picture was not decoded"),
                }
            }
            show
        })
        .map_err(|error| CodecError { why: error.to_string() })?;
    Ok((sink, thread))
}

/// A sink that decodes what comes and judges it: [`VideoSink::seen`].
#[derive(Debug)]
pub struct Eye {
    frames: FrameSink,
    seen: Arc<Mutex<Seen>>,
}

/// A sink that judges decoded pictures and, if asked to, keeps the first and from then on every two seconds the latest as a PNG
/// file. The thread ends with the sink.
///
/// # Errors
/// When OpenH264 refuses or there is no thread.
pub fn eye(snapshot: Option<PathBuf>) -> Result<(Eye, JoinHandle<()>), CodecError> {
    let (frames, pictures) = frames();
    let mut decoder = PictureDecoder::new()?;
    let seen = Arc::new(Mutex::new(Seen::default()));
    let shared = Arc::clone(&seen);
    let anchor = WallAnchor::read();
    let mut snapshots = snapshot.map(|path| Snapshots { path, last: None });
    let thread = std::thread::Builder::new()
        .name("z5-media-eye".into())
        .spawn(move || {
            while let Ok(frame) = pictures.recv() {
                let decoded = decoder.decode(&frame.data);
                let now = clock::now();
                let mut seen = shared.lock().unwrap_or_else(PoisonError::into_inner);
                match decoded {
                    Ok(Some(picture)) => {
                        seen.picture(&picture, Duration::from_nanos(anchor.unix_nanos(now)));
                        drop(seen);
                        if let Some(snapshots) = &mut snapshots {
                            snapshots.take(&picture, now);
                        }
                    }
                    Ok(None) => {}
                    Err(_) => seen.undecodable(),
                }
            }
        })
        .map_err(|error| CodecError { why: error.to_string() })?;
    Ok((Eye { frames, seen }, thread))
}

impl VideoSink for Eye {
    fn write(&mut self, frame: &VideoFrame<'_>) -> Result<(), SinkError> {
        self.frames.write(frame)
    }

    fn seen(&self) -> Option<SeenFigures> {
        Some(self.seen.lock().unwrap_or_else(PoisonError::into_inner).figures())
    }
}

struct Snapshots {
    path: PathBuf,
    last: Option<Instant>,
}

impl Snapshots {
    fn take(&mut self, picture: &Picture, now: Instant) {
        if self.last.is_some_and(|last| now.saturating_duration_since(last) < SNAPSHOT_EVERY) {
            return;
        }
        self.last = Some(now);
        let mut bytes = Vec::new();
        let written = write_png(picture, &mut bytes).and_then(|()| std::fs::write(&self.path, bytes));
        if let Err(error) = written {
            tracing::warn!(path = %self.path.display(), %error, "a snapshot was not written");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::h264::nal_units;
    use crate::video::Stamp;

    #[test]
    fn stamps_survive_the_codec_at_low_rates() {
        for (width, height, bits) in [(176, 144, 64_000), (352, 288, 150_000), (640, 480, 300_000)] {
            let mut encoder = PictureEncoder::new(25, bits).unwrap();
            let mut decoder = PictureDecoder::new().unwrap();
            for number in 0..25 {
                let stamp = Stamp { number, at: Duration::from_millis(u64::from(number) * 40) };
                let mut picture = Picture::new(width, height);
                picture.draw_pattern(stamp);
                let unit = encoder.encode(&picture).unwrap();
                let seen = decoder.decode(&unit).unwrap().unwrap();
                assert_eq!((seen.width(), seen.height(), seen.stamp()), (width, height, Some(stamp)));
            }
        }
    }

    #[test]
    fn units_stay_below_the_limit_of_packetization_mode_0() {
        let mut encoder = PictureEncoder::new(25, 2_000_000).unwrap().with_largest_unit(1100).unwrap();
        for number in 0..5 {
            let mut picture = Picture::new(352, 288);
            picture.draw_pattern(Stamp { number, at: Duration::ZERO });
            let unit = encoder.encode(&picture).unwrap();
            let longest = nal_units(&unit).map(<[u8]>::len).max();
            assert!(longest.is_some_and(|longest| longest <= 1100), "{longest:?}");
        }
    }

    #[test]
    fn an_eye_judges_what_it_sees_and_takes_snapshots() {
        let dir = tempfile::tempdir().unwrap();
        let png = dir.path().join("seen.png");
        let (mut eye, thread) = eye(Some(png.clone())).unwrap();
        for unit in film_units() {
            let key_frame = nal_units(&unit).any(|nal| nal[0] & 0x1f == 5);
            // The decoder is behind: a sink never waits for it.
            let frame = VideoFrame { timestamp: 0, data: &unit, key_frame, at: clock::now() };
            eye.write(&frame).unwrap();
        }
        drop(eye.frames);
        thread.join().unwrap();
        let seen = eye.seen.lock().unwrap().figures();
        assert!(seen.decoded >= 25 && seen.changed + 1 >= seen.decoded, "{seen:?}");
        assert_eq!((seen.undecodable, seen.stamped), (0, seen.decoded));
        assert!(std::fs::read(png).unwrap().starts_with(b"\x89PNG"));
    }

    fn film_units() -> Vec<Vec<u8>> {
        let mut source = crate::video::AnnexBSource::of(crate::video::FILM.to_vec()).unwrap();
        let mut units = Vec::new();
        loop {
            let mut unit = Vec::new();
            match crate::video::VideoSource::next(&mut source, Duration::from_secs(3600), &mut unit) {
                crate::video::VideoPoll::Picture { .. } => units.push(unit),
                crate::video::VideoPoll::Wait { .. } | crate::video::VideoPoll::Ended => return units,
            }
        }
    }
}
