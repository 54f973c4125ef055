//! Where heard audio goes: the [`AudioSink`] seam and the sinks that ship with z5.
//!
//! A sink is fed by the media worker thread, one frame per packet interval, never by the packet loop.

use std::io;

use crate::file::words::system;

/// Something that takes mono 16-bit PCM at the pace it is heard.
pub trait AudioSink: Send {
    /// Called once before the first [`write`](Self::write) with the sample rate in Hz.
    ///
    /// # Errors
    /// When the sink cannot be used; the stream goes on without it and an event says so.
    fn open(&mut self, sample_rate: u32) -> Result<(), SinkError>;

    /// Takes the next frame. Frames follow each other without gaps: lost audio arrives concealed.
    ///
    /// # Errors
    /// When the frame could not be taken; the sink is not used again.
    fn write(&mut self, frame: &[i16]) -> Result<(), SinkError>;

    /// Called once at the end of the stream, also when the engine is dropped.
    ///
    /// # Errors
    /// When what was written could not be completed.
    fn finish(&mut self) -> Result<(), SinkError>;
}

/// Why a sink could not take audio.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SinkError {
    /// The file could not be created, written or completed.
    #[error("cannot {action} the recording {path}: {}", system(source))]
    File {
        /// What was being done: "create", "write" or "complete".
        action: &'static str,
        /// The file.
        path: String,
        /// What the system said.
        source: io::Error,
    },
    /// The embedder's sink is gone (its other end was dropped).
    #[error("the receiver of the audio is gone")]
    Closed,
}

mod null;
mod wav;

pub use null::Null;
pub use wav::WavSink;
