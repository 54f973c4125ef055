//! Where sent audio comes from: the [`AudioSource`] seam and the sources that ship with z5.
//!
//! A source is pulled by the media worker thread once per packet interval, never by the packet loop. It should not
//! block for longer than a few milliseconds.

/// Something that produces mono 16-bit PCM.
pub trait AudioSource: Send {
    /// Called once before the first [`fill`](Self::fill) with the sample rate in Hz that the codec wants.
    fn open(&mut self, sample_rate: u32);

    /// Fills the whole of `frame`; what the source cannot fill it sets to zero.
    ///
    /// After [`SourceState::Ended`] the stream sends silence (it never stops sending by itself) and this source is
    /// not asked again.
    fn fill(&mut self, frame: &mut [i16]) -> SourceState;
}

/// What a source says after a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SourceState {
    /// More will come.
    Playing,
    /// This frame holds the last samples, or none.
    Ended,
}

mod resample;
pub(crate) use resample::Resampler;
mod silence;
mod tone;
mod wav;

pub use silence::Silence;
pub use tone::Tone;
pub use wav::{Wav, WavError};
