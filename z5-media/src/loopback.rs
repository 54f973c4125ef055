//! A sink and a source tied together: what is heard is sent back a little later. The media half of an echo far end.

use rtrb::{Consumer, Producer, RingBuffer};

use crate::sink::{AudioSink, SinkError};
use crate::source::{AudioSource, SourceState};

/// Longest delay of the echo, in milliseconds.
const MAX_DELAY_MS: u32 = 5000;
/// Room beyond the delay for frames that arrive in bursts, in milliseconds.
const SLACK_MS: u32 = 200;
/// Samples per second at most.
const MAX_RATE: u32 = 48000;

/// The sink half.
#[derive(Debug)]
pub struct EchoSink(Producer<i16>);

/// The source half.
#[derive(Debug)]
pub struct EchoSource {
    samples: Consumer<i16>,
    delay_ms: u32,
    /// Samples that must be held before the first one is given.
    hold: usize,
}

/// An echo with at least `delay_ms` milliseconds between hearing and sending (at most 5000).
#[must_use]
pub fn echo(delay_ms: u32) -> (EchoSink, EchoSource) {
    let delay_ms = delay_ms.min(MAX_DELAY_MS);
    let (producer, samples) = RingBuffer::new(((delay_ms + SLACK_MS) * (MAX_RATE / 1000)) as usize);
    (EchoSink(producer), EchoSource { samples, delay_ms, hold: 0 })
}

impl AudioSink for EchoSink {
    fn open(&mut self, _sample_rate: u32) -> Result<(), SinkError> {
        Ok(())
    }

    fn write(&mut self, frame: &[i16]) -> Result<(), SinkError> {
        if self.0.is_abandoned() {
            return Err(SinkError::Closed);
        }
        // When the source does not keep up, the newest audio is left out.
        let _ = self.0.push_partial_slice(frame);
        Ok(())
    }

    fn finish(&mut self) -> Result<(), SinkError> {
        Ok(())
    }
}

impl AudioSource for EchoSource {
    fn open(&mut self, sample_rate: u32) {
        self.hold = (self.delay_ms * (sample_rate / 1000)) as usize;
    }

    fn fill(&mut self, frame: &mut [i16]) -> SourceState {
        frame.fill(0);
        if self.samples.slots() >= self.hold.max(frame.len()) {
            self.hold = 0;
            let _ = self.samples.pop_partial_slice(frame);
        }
        SourceState::Playing
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_heard_comes_back_after_the_delay() {
        let (mut sink, mut source) = echo(40);
        source.open(8000);
        let mut heard = Vec::new();
        for n in 1..=6 {
            let mut frame = [99; 160];
            sink.write(&[n; 160]).unwrap();
            source.fill(&mut frame);
            heard.push(frame[0]);
        }
        assert_eq!(heard, [0, 1, 2, 3, 4, 5]);
        drop(source);
        assert!(matches!(sink.write(&[1; 160]), Err(SinkError::Closed)));
    }
}
