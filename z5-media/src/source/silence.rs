//! Digital silence without end.

use super::{AudioSource, SourceState};

/// Sends zero samples for as long as the stream runs.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silence;

impl AudioSource for Silence {
    fn open(&mut self, _sample_rate: u32) {}

    fn fill(&mut self, frame: &mut [i16]) -> SourceState {
        frame.fill(0);
        SourceState::Playing
    }
}
