//! A sink that keeps nothing; what was heard is measured all the same.

use super::{AudioSink, SinkError};

/// Discards audio.
#[derive(Debug, Clone, Copy, Default)]
pub struct Null;

impl AudioSink for Null {
    fn open(&mut self, _sample_rate: u32) -> Result<(), SinkError> {
        Ok(())
    }

    fn write(&mut self, _frame: &[i16]) -> Result<(), SinkError> {
        Ok(())
    }

    fn finish(&mut self) -> Result<(), SinkError> {
        Ok(())
    }
}
