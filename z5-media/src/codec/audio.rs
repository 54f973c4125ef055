//! The audio codecs behind one face: samples in, bytes out, and back, at the one sample rate of a stream.
//!
//! A stream keeps its sample rate for life, because its source and its recording do; a codec of another rate is resampled
//! here. Opus needs no resampling: it encodes and decodes at any of our rates.

use super::g711::Law;
use super::g722;
use super::opus;
use crate::engine::{AudioCodec, OpusOptions};
use crate::source::Resampler;

/// Room that the longest payload of a frame needs.
pub const MAX_ENCODED: usize = 1275;

/// This build has no such codec, or it does not run at that sample rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this build has no such codec, or not at that sample rate")]
pub struct NoCodec;

/// Encodes one stream.
#[derive(Debug)]
pub struct Encoder {
    kind: EncoderKind,
    resampler: Option<Resampler>,
    native: Vec<i16>,
}

#[derive(Debug)]
enum EncoderKind {
    G711(Law),
    G722(Box<g722::Encoder>),
    Opus(opus::Encoder),
}

impl Encoder {
    /// An encoder that is given samples at `sample_rate`.
    ///
    /// # Errors
    /// When this build has no such codec, or it does not run at that sample rate.
    pub fn new(codec: AudioCodec, sample_rate: u32, options: &OpusOptions) -> Result<Self, NoCodec> {
        let kind = match codec {
            AudioCodec::Pcmu => EncoderKind::G711(Law::Mu),
            AudioCodec::Pcma => EncoderKind::G711(Law::A),
            AudioCodec::G722 => EncoderKind::G722(Box::default()),
            AudioCodec::Opus => {
                EncoderKind::Opus(opus::Encoder::new(sample_rate, options).map_err(|_| NoCodec)?)
            }
        };
        let native = native_rate(codec, sample_rate);
        let resampler = (native != sample_rate).then(|| Resampler::streaming(sample_rate, native));
        Ok(Self { kind, resampler, native: Vec::new() })
    }

    /// Encodes a frame into the front of `encoded` (at least [`MAX_ENCODED`] bytes and a byte per sample); returns how many
    /// bytes were written, 0 when nothing needs to be sent.
    pub fn encode(&mut self, samples: &[i16], encoded: &mut [u8]) -> usize {
        let samples = match &mut self.resampler {
            Some(resampler) => {
                self.native.clear();
                resampler.convert(samples, &mut self.native);
                self.native.as_slice()
            }
            None => samples,
        };
        match &mut self.kind {
            EncoderKind::G711(law) => law.encode(samples, encoded),
            EncoderKind::G722(encoder) => encoder.encode(samples, encoded),
            EncoderKind::Opus(encoder) => encoder.encode(samples, encoded),
        }
    }
}

/// Decodes one stream.
#[derive(Debug)]
pub(crate) struct Decoder {
    kind: DecoderKind,
    clock_rate: u32,
    native_rate: u32,
    sample_rate: u32,
    resampler: Option<Resampler>,
    native: Vec<i16>,
    converted: Vec<i16>,
}

#[derive(Debug)]
enum DecoderKind {
    G711(Law),
    G722(Box<g722::Decoder>),
    Opus(opus::Decoder),
}

impl Decoder {
    /// A decoder that gives samples at `sample_rate`.
    pub(crate) fn new(codec: AudioCodec, sample_rate: u32) -> Result<Self, NoCodec> {
        let kind = match codec {
            AudioCodec::Pcmu => DecoderKind::G711(Law::Mu),
            AudioCodec::Pcma => DecoderKind::G711(Law::A),
            AudioCodec::G722 => DecoderKind::G722(Box::default()),
            AudioCodec::Opus => DecoderKind::Opus(opus::Decoder::new(sample_rate).map_err(|_| NoCodec)?),
        };
        let native_rate = native_rate(codec, sample_rate);
        let resampler = (native_rate != sample_rate).then(|| Resampler::streaming(native_rate, sample_rate));
        let clock_rate = codec.clock_rate();
        Ok(Self {
            kind,
            clock_rate,
            native_rate,
            sample_rate,
            resampler,
            native: Vec::new(),
            converted: Vec::new(),
        })
    }

    /// RTP timestamp units per second.
    pub(crate) fn clock_rate(&self) -> u32 {
        self.clock_rate
    }

    /// Samples a payload gives; `None` when it cannot be read.
    pub(crate) fn samples(&self, payload: &[u8]) -> Option<usize> {
        let native = match &self.kind {
            DecoderKind::G711(_) => payload.len(),
            DecoderKind::G722(_) => 2 * payload.len(),
            DecoderKind::Opus(decoder) => decoder.samples(payload)?,
        };
        Some(native * self.sample_rate as usize / self.native_rate as usize).filter(|samples| *samples > 0)
    }

    /// Decodes a payload into `samples`, which has the length that [`samples`](Self::samples) told. Returns `false` when it
    /// turns out to be malformed.
    pub(crate) fn decode(&mut self, payload: &[u8], samples: &mut [i16]) -> bool {
        let Some(resampler) = &mut self.resampler else {
            return decode_native(&mut self.kind, payload, samples);
        };
        self.native.clear();
        self.native.resize(samples.len() * self.native_rate as usize / self.sample_rate as usize, 0);
        let fine = decode_native(&mut self.kind, payload, &mut self.native);
        self.converted.clear();
        resampler.convert(&self.native, &mut self.converted);
        let len = self.converted.len().min(samples.len());
        samples[..len].copy_from_slice(&self.converted[..len]);
        fine
    }

    /// Does the codec itself make up what is missing?
    pub(crate) fn conceals(&self) -> bool {
        match &self.kind {
            DecoderKind::G711(_) | DecoderKind::G722(_) => false,
            DecoderKind::Opus(_) => true,
        }
    }

    /// Makes up what is missing, a multiple of 2.5 ms, where [`conceals`](Self::conceals).
    pub(crate) fn conceal(&mut self, samples: &mut [i16]) {
        match &mut self.kind {
            DecoderKind::G711(_) | DecoderKind::G722(_) => samples.fill(0),
            DecoderKind::Opus(decoder) => decoder.conceal(samples),
        }
    }

    /// Rebuilds what was lost right before `payload` from redundancy in it; `false` where there is none.
    pub(crate) fn recover(&mut self, payload: &[u8], samples: &mut [i16]) -> bool {
        match &mut self.kind {
            DecoderKind::G711(_) | DecoderKind::G722(_) => false,
            DecoderKind::Opus(decoder) => {
                let unit = self.sample_rate as usize / 400;
                !payload.is_empty() && samples.len().is_multiple_of(unit) && decoder.recover(payload, samples)
            }
        }
    }

    /// Does the payload say that there is silence from now on?
    pub(crate) fn says_silence(&self, payload: &[u8]) -> bool {
        match &self.kind {
            DecoderKind::G711(_) | DecoderKind::G722(_) => false,
            DecoderKind::Opus(_) => payload.len() <= opus::SILENCE_PACKET,
        }
    }
}

fn decode_native(kind: &mut DecoderKind, payload: &[u8], samples: &mut [i16]) -> bool {
    match kind {
        DecoderKind::G711(law) => {
            law.decode(payload, samples);
            true
        }
        DecoderKind::G722(decoder) => {
            decoder.decode(payload, samples);
            true
        }
        DecoderKind::Opus(decoder) => decoder.decode(payload, samples),
    }
}

/// The rate the codec works at in a stream of that sample rate.
fn native_rate(codec: AudioCodec, sample_rate: u32) -> u32 {
    match codec {
        AudioCodec::Opus => sample_rate,
        AudioCodec::Pcmu | AudioCodec::Pcma | AudioCodec::G722 => codec.sample_rate(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A second of a tone through encoder and decoder at that sample rate, in frames of 20 ms.
    fn through(codec: AudioCodec, sample_rate: u32) -> Vec<f64> {
        let mut encoder = Encoder::new(codec, sample_rate, &OpusOptions::default()).unwrap();
        let mut decoder = Decoder::new(codec, sample_rate).unwrap();
        let frame = sample_rate as usize / 50;
        let mut heard = Vec::new();
        for n in 0..50 {
            let sample = |at: usize| {
                let time = (n * frame + at) as f64 / f64::from(sample_rate);
                ((time * 1000.0 * std::f64::consts::TAU).sin() * 10_000.0) as i16
            };
            let samples: Vec<i16> = (0..frame).map(sample).collect();
            let mut encoded = vec![0; MAX_ENCODED.max(frame)];
            let len = encoder.encode(&samples, &mut encoded);
            assert_eq!(decoder.samples(&encoded[..len]), Some(frame), "{codec:?} at {sample_rate}");
            let mut out = vec![0; frame];
            assert!(decoder.decode(&encoded[..len], &mut out));
            heard.extend(out.into_iter().map(f64::from));
        }
        heard
    }

    #[test]
    fn every_codec_runs_at_every_rate_of_a_stream() {
        for codec in AudioCodec::ALL {
            for sample_rate in [8000, 16_000, 48_000] {
                let heard = through(codec, sample_rate);
                let middle = &heard[heard.len() / 4..heard.len() * 3 / 4];
                let rms = (middle.iter().map(|s| s * s).sum::<f64>() / middle.len() as f64).sqrt();
                let level = 20.0 * (rms / 7071.0).log10();
                assert!(level.abs() < 1.0, "{codec:?} at {sample_rate} Hz: {level} dB");
            }
        }
    }
}
