//! In place of Opus in a build without the feature `opus`: a codec that there is none of.

use crate::engine::OpusOptions;

/// As in Opus itself; no packet is made or taken here.
pub(super) const SILENCE_PACKET: usize = 2;

/// There is no Opus in this build.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Refused;

/// Cannot be made.
#[derive(Debug)]
pub(crate) enum Encoder {}

impl Encoder {
    pub(crate) fn new(_: u32, _: &OpusOptions) -> Result<Self, Refused> {
        Err(Refused)
    }

    pub(crate) fn encode(&mut self, _: &[i16], _: &mut [u8]) -> usize {
        match *self {}
    }
}

/// Cannot be made.
#[derive(Debug)]
pub(crate) enum Decoder {}

impl Decoder {
    pub(crate) fn new(_: u32) -> Result<Self, Refused> {
        Err(Refused)
    }

    pub(crate) fn samples(&self, _: &[u8]) -> Option<usize> {
        match *self {}
    }

    pub(crate) fn decode(&mut self, _: &[u8], _: &mut [i16]) -> bool {
        match *self {}
    }

    pub(crate) fn recover(&mut self, _: &[u8], _: &mut [i16]) -> bool {
        match *self {}
    }

    pub(crate) fn conceal(&mut self, _: &mut [i16]) {
        match *self {}
    }
}
