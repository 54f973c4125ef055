//! The test pattern as a live picture, encoded and decoded by OpenH264 (feature `openh264`).
//!
//! Encoder and decoder run on threads of their own: a picture takes longer than the worker thread may be away from audio.

use std::num::NonZeroU32;
use std::thread::JoinHandle;
use std::time::Duration;

use openh264::OpenH264API;
use openh264::decoder::Decoder;
use openh264::encoder::{
    BitRate, Encoder, EncoderConfig, FrameRate, IntraFramePeriod, Profile, RateControlMode, UsageType,
};
use openh264::formats::{YUVSlices, YUVSource};

use super::feed::{FeedSource, FrameSink};
use super::{OwnedFrame, Picture, Rung, Stamp, VideoFeed, feed, frames, rung};
use crate::clock;

/// Pictures between key frames nobody asked for: about ten seconds.
const KEY_FRAME_EVERY: u32 = 300;
/// Bits per second before the path is known.
const START_RATE: u64 = 500_000;

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
}

impl std::fmt::Debug for PictureEncoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PictureEncoder")
            .field("bits_per_second", &self.bits_per_second)
            .finish_non_exhaustive()
    }
}

fn encoder(frame_rate: u32, bits_per_second: u64) -> Result<Encoder, CodecError> {
    let bits = u32::try_from(bits_per_second).unwrap_or(u32::MAX).max(10_000);
    let config = EncoderConfig::new()
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
        Ok(Self { encoder: encoder(frame_rate, bits_per_second)?, frame_rate, bits_per_second })
    }

    /// Goes on at another rate, with a key frame.
    ///
    /// # Errors
    /// When OpenH264 refuses.
    pub fn set_rate(&mut self, frame_rate: u32, bits_per_second: u64) -> Result<(), CodecError> {
        if (frame_rate, bits_per_second) != (self.frame_rate, self.bits_per_second) {
            *self = Self::new(frame_rate, bits_per_second)?;
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

/// The pattern as a source, at most as large and fast as `most`; size and rate follow the target by [`rung`].
///
/// # Errors
/// When OpenH264 refuses or there is no thread.
pub fn pattern(most: Rung) -> Result<FeedSource, CodecError> {
    let (feed, source) = feed();
    let encoder = PictureEncoder::new(most.frame_rate, START_RATE)?;
    std::thread::Builder::new()
        .name("z5-media-draw".into())
        .spawn(move || {
            if let Err(error) = draw(&feed, encoder, most) {
                tracing::error!(%error, "the pattern ends");
            }
        })
        .map_err(|error| CodecError { why: error.to_string() })?;
    Ok(source)
}

/// Draws until the stream has ended.
fn draw(feed: &VideoFeed, mut encoder: PictureEncoder, most: Rung) -> Result<(), CodecError> {
    let start = clock::now();
    let mut due = start;
    let mut number = 0;
    loop {
        let mut now = clock::now();
        while now < due {
            std::thread::park_timeout(due - now);
            now = clock::now();
        }
        let target = feed.target().unwrap_or(START_RATE);
        let at = rung(target, most);
        encoder.set_rate(at.frame_rate, target)?;
        if feed.take_key_frame_wish() {
            encoder.force_key_frame();
        }
        let mut picture = Picture::new(at.width as usize, at.height as usize);
        picture.draw_pattern(Stamp { number, at: now - start });
        match feed.push(encoder.encode(&picture)?) {
            Ok(()) => {}
            Err(full) if full.ended => return Ok(()),
            // The next picture would build upon one that was never sent.
            Err(_) => encoder.force_key_frame(),
        }
        number = number.wrapping_add(1);
        due = now.max(due + Duration::from_secs(1) / at.frame_rate.max(1));
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::h264::nal_units;
    use crate::video::feed::LOOK;
    use crate::video::{VideoPoll, VideoSource, sequence_parameters};

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

    /// The next picture of a source that lives on another thread.
    fn next(source: &mut FeedSource) -> Vec<u8> {
        let mut unit = Vec::new();
        while source.next(Duration::ZERO, &mut unit) == (VideoPoll::Wait { until: LOOK }) {
            std::thread::park_timeout(LOOK);
        }
        unit
    }

    #[test]
    fn the_pattern_follows_its_target_and_gives_key_frames_when_asked() {
        let most = Rung { width: 640, height: 480, frame_rate: 30 };
        let mut source = pattern(most).unwrap();
        let key = |unit: &[u8]| nal_units(unit).any(|nal| nal[0] & 0x1f == 5);
        assert!(key(&next(&mut source)) && !key(&next(&mut source)));
        source.want_key_frame();
        assert!((0..20).any(|_| key(&next(&mut source))));
        source.set_target(150_000);
        let small =
            |unit: &[u8]| nal_units(unit).find_map(sequence_parameters).is_some_and(|set| set.width < 640);
        assert!((0..20).any(|_| small(&next(&mut source))));
    }
}
