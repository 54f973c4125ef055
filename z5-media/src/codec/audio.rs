//! The audio codecs behind one face: samples in, bytes out, and back.

use super::g711::Law;
use super::g722;
use crate::engine::AudioCodec;

/// Encodes one stream.
#[derive(Debug)]
pub(crate) enum Encoder {
    G711(Law),
    G722(Box<g722::Encoder>),
}

impl Encoder {
    pub(crate) fn new(codec: AudioCodec) -> Self {
        match codec {
            AudioCodec::Pcmu => Self::G711(Law::Mu),
            AudioCodec::Pcma => Self::G711(Law::A),
            AudioCodec::G722 => Self::G722(Box::default()),
        }
    }

    /// Encodes a frame into the front of `encoded`; returns how many bytes were written.
    pub(crate) fn encode(&mut self, samples: &[i16], encoded: &mut [u8]) -> usize {
        match self {
            Self::G711(law) => law.encode(samples, encoded),
            Self::G722(encoder) => encoder.encode(samples, encoded),
        }
    }
}

/// Decodes one stream.
#[derive(Debug)]
pub(crate) enum Decoder {
    G711(Law),
    G722(Box<g722::Decoder>),
}

impl Decoder {
    pub(crate) fn new(codec: AudioCodec) -> Self {
        match codec {
            AudioCodec::Pcmu => Self::G711(Law::Mu),
            AudioCodec::Pcma => Self::G711(Law::A),
            AudioCodec::G722 => Self::G722(Box::default()),
        }
    }

    /// Samples a payload holds.
    pub(crate) fn samples(&self, payload: &[u8]) -> usize {
        match self {
            Self::G711(_) => payload.len(),
            Self::G722(_) => 2 * payload.len(),
        }
    }

    /// Decodes a payload into the front of `samples`.
    pub(crate) fn decode(&mut self, payload: &[u8], samples: &mut [i16]) {
        match self {
            Self::G711(law) => law.decode(payload, samples),
            Self::G722(decoder) => decoder.decode(payload, samples),
        };
    }
}
