//! Encoding and decoding by OpenH264 (feature `openh264`). Sources that encode are in `drawn`.
//!
//! Encoder and decoder run on threads of their own: a picture takes longer than the worker thread may be away from audio.

mod drawn;
mod eye;

use std::num::NonZeroU32;
use std::thread::JoinHandle;

pub use drawn::{Camera, Drawn, camera, pattern, simulated_pattern, simulated_y4m, y4m};
pub use eye::{Eye, Kept, eye, simulated_eye};
use openh264::OpenH264API;
use openh264::decoder::Decoder;
use openh264::encoder::{
    BitRate, Encoder, EncoderConfig, FrameRate, IntraFramePeriod, Profile, RateControlMode, UsageType,
};
use openh264::formats::{YUVSlices, YUVSource};

use super::feed::FrameSink;
use super::{OwnedFrame, Picture, frames};

/// Pictures between key frames nobody asked for: about ten seconds.
const KEY_FRAME_EVERY: u32 = 300;

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

#[cfg(test)]
mod tests {
    use std::time::Duration;

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
}
