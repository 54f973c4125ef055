//! Sinks and sources tied together: what is heard and seen is sent back. The media half of an echo far end; text and keys are
//! events, and whoever takes them sends them back.
//!
//! Sound is decoded, played out and encoded anew; [`pictures`] leave as they came, without a decoder.

mod pictures;

use std::fmt;

pub use pictures::{PictureSink, PictureSource, pictures};
use rtrb::{Consumer, Producer, RingBuffer};

use crate::sink::{AudioSink, SinkError};
use crate::source::{AudioSource, SourceState};

/// Longest delay of the echo, in milliseconds.
const MAX_DELAY_MS: u32 = 5000;
/// Room beyond the delay for frames that arrive in bursts, in milliseconds. Who has more than that was not asked for long.
const SLACK_MS: u32 = 200;
/// Samples per second at most.
const MAX_RATE: u32 = 48000;

/// The sink half.
pub struct EchoSink {
    samples: Producer<i16>,
    beside: Option<Box<dyn AudioSink>>,
}

/// The source half.
#[derive(Debug)]
pub struct EchoSource {
    samples: Consumer<i16>,
    delay_ms: u32,
    /// The delay in samples.
    delay: usize,
    /// More samples than that are of before a hold.
    most: usize,
    /// Samples that must be held before the first one is given.
    hold: usize,
}

/// An echo with at least `delay_ms` milliseconds between hearing and sending (at most 5000).
#[must_use]
pub fn echo(delay_ms: u32) -> (EchoSink, EchoSource) {
    let delay_ms = delay_ms.min(MAX_DELAY_MS);
    let (samples, held) = RingBuffer::new(((delay_ms + 2 * SLACK_MS) * (MAX_RATE / 1000)) as usize);
    let source = EchoSource { samples: held, delay_ms, delay: 0, most: 0, hold: 0 };
    (EchoSink { samples, beside: None }, source)
}

impl EchoSink {
    /// The same sound goes to another sink too, such as a recording. When that one fails the echo ends with it.
    #[must_use]
    pub fn beside(mut self, other: Box<dyn AudioSink>) -> Self {
        self.beside = Some(other);
        self
    }
}

impl fmt::Debug for EchoSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EchoSink").finish_non_exhaustive()
    }
}

impl AudioSink for EchoSink {
    fn open(&mut self, sample_rate: u32) -> Result<(), SinkError> {
        self.beside.as_mut().map_or(Ok(()), |other| other.open(sample_rate))
    }

    fn write(&mut self, frame: &[i16]) -> Result<(), SinkError> {
        if self.samples.is_abandoned() {
            return Err(SinkError::Closed);
        }
        // When the source does not keep up, the newest audio is left out.
        let _ = self.samples.push_partial_slice(frame);
        self.beside.as_mut().map_or(Ok(()), |other| other.write(frame))
    }

    fn finish(&mut self) -> Result<(), SinkError> {
        self.beside.as_mut().map_or(Ok(()), |other| other.finish())
    }
}

impl AudioSource for EchoSource {
    fn open(&mut self, sample_rate: u32) {
        let per_ms = sample_rate / 1000;
        self.delay = (self.delay_ms * per_ms) as usize;
        self.most = ((self.delay_ms + SLACK_MS) * per_ms) as usize;
        self.hold = self.delay;
    }

    fn fill(&mut self, frame: &mut [i16]) -> SourceState {
        frame.fill(0);
        let held = self.samples.slots();
        if held > self.most {
            // Held or muted meanwhile: what was heard then is no answer to what is said now.
            if let Ok(old) = self.samples.read_chunk(held) {
                old.commit_all();
            }
            self.hold = self.delay;
        } else if held >= self.hold.max(frame.len()) {
            self.hold = 0;
            let _ = self.samples.pop_partial_slice(frame);
        }
        SourceState::Playing
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    /// Keeps what it hears where the test sees it.
    struct Keeps(Arc<Mutex<Vec<i16>>>);

    impl AudioSink for Keeps {
        fn open(&mut self, sample_rate: u32) -> Result<(), SinkError> {
            self.0.lock().unwrap().push(sample_rate as i16);
            Ok(())
        }

        fn write(&mut self, frame: &[i16]) -> Result<(), SinkError> {
            self.0.lock().unwrap().extend_from_slice(frame);
            Ok(())
        }

        fn finish(&mut self) -> Result<(), SinkError> {
            Err(SinkError::Closed)
        }
    }

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

    #[test]
    fn after_a_hold_the_echo_is_of_what_is_said_then() {
        let (mut sink, mut source) = echo(0);
        source.open(8000);
        let mut frame = [0; 160];
        // Two seconds in which nothing is sent.
        (0..100).for_each(|_| sink.write(&[7; 160]).unwrap());
        let heard: Vec<i16> = (1..=3)
            .map(|n| {
                sink.write(&[n; 160]).unwrap();
                source.fill(&mut frame);
                frame[0]
            })
            .collect();
        assert_eq!(heard, [0, 2, 3], "at once and in time again");
    }

    #[test]
    fn what_comes_back_can_be_recorded_too() {
        let kept = Arc::default();
        let (sink, mut source) = echo(0);
        let mut sink = sink.beside(Box::new(Keeps(Arc::clone(&kept))));
        sink.open(8000).unwrap();
        source.open(8000);
        sink.write(&[5; 2]).unwrap();
        let mut frame = [0; 2];
        source.fill(&mut frame);
        assert_eq!((frame, kept.lock().unwrap().as_slice()), ([5; 2], &[8000, 5, 5][..]));
        assert!(sink.finish().is_err(), "what the recording says is told");
    }
}
