//! The echo of pictures: access units leave as they came, with the time between them that the far end gave them.
//!
//! Nothing is decoded. Whoever wants a key frame of the echo gets one of the far end, which is asked for it; a rate that is too
//! high for the way back is not changed.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Receiver;
use std::time::Duration;

use crate::sink::SinkError;
use crate::stats::SeenFigures;
use crate::video::{
    CLOCK_RATE, FrameSink, OwnedFrame, VideoFrame, VideoPoll, VideoSink, VideoSource, frames,
};

/// A timestamp so far from its arrival begins a new count: the far end's source is another one.
const FAR: Duration = Duration::from_millis(500);
/// Least time between two pictures: their timestamps differ and go on.
const LEAST: Duration = Duration::from_millis(1);
/// A source that is asked with each picture that comes need not look by itself.
const LOOK: Duration = Duration::from_secs(1);

/// The sink half.
pub struct PictureSink {
    frames: FrameSink,
    /// The source was asked for a key frame.
    wish: Arc<AtomicBool>,
    beside: Option<Box<dyn VideoSink>>,
}

/// The source half.
#[derive(Debug)]
pub struct PictureSource {
    frames: Receiver<OwnedFrame>,
    wish: Arc<AtomicBool>,
    /// A timestamp, and the moment after the start that it stands for.
    anchor: Option<(u32, Duration)>,
    last: Option<Duration>,
}

/// An echo of pictures. Both halves belong to the same stream.
#[must_use]
pub fn pictures() -> (PictureSink, PictureSource) {
    let (sink, frames) = frames();
    let wish = Arc::new(AtomicBool::new(false));
    let source = PictureSource { frames, wish: Arc::clone(&wish), anchor: None, last: None };
    (PictureSink { frames: sink, wish, beside: None }, source)
}

impl PictureSink {
    /// The same pictures go to another sink too, such as a recording. When that one fails the echo ends with it.
    #[must_use]
    pub fn beside(mut self, other: Box<dyn VideoSink>) -> Self {
        self.beside = Some(other);
        self
    }
}

impl fmt::Debug for PictureSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PictureSink").field("wish", &self.wish).finish_non_exhaustive()
    }
}

impl VideoSink for PictureSink {
    fn write(&mut self, frame: &VideoFrame<'_>) -> Result<(), SinkError> {
        self.frames.write(frame)?;
        if self.frames.is_behind() {
            // What was left out is missing at the far end too.
            self.wish.store(true, Ordering::Relaxed);
        }
        self.beside.as_mut().map_or(Ok(()), |other| other.write(frame))
    }

    fn finish(&mut self) -> Result<(), SinkError> {
        self.beside.as_mut().map_or(Ok(()), |other| other.finish())
    }

    fn seen(&self) -> Option<SeenFigures> {
        self.beside.as_ref().and_then(|other| other.seen())
    }

    fn wants_key_frame(&mut self) -> bool {
        let other = self.beside.as_mut().is_some_and(|other| other.wants_key_frame());
        self.wish.swap(false, Ordering::Relaxed) || other
    }
}

impl PictureSource {
    /// The moment of a timestamp that came now.
    fn moment(&mut self, timestamp: u32, now: Duration) -> Duration {
        let (first, at) = *self.anchor.get_or_insert((timestamp, now));
        // Both ways: a picture that was overtaken is no new count.
        let ticks = i64::from(timestamp.wrapping_sub(first).cast_signed());
        let apart = Duration::from_secs_f64(ticks.unsigned_abs() as f64 / f64::from(CLOCK_RATE));
        let said = if ticks < 0 { at.checked_sub(apart) } else { Some(at + apart) };
        let at = said.filter(|said| said.abs_diff(now) <= FAR).unwrap_or(now);
        // From here on: the count may run for days, and a difference of 32 bits for half of one.
        self.anchor = Some((timestamp, at));
        let at = self.last.map_or(at, |last| at.max(last + LEAST));
        self.last = Some(at);
        at
    }
}

impl VideoSource for PictureSource {
    fn next(&mut self, now: Duration, unit: &mut Vec<u8>) -> VideoPoll {
        // The sink lives as long as the stream, or has failed: then there is nothing more to show.
        let Ok(frame) = self.frames.try_recv() else { return VideoPoll::Wait { until: now + LOOK } };
        *unit = frame.data;
        VideoPoll::Picture { at: self.moment(frame.timestamp, now) }
    }

    fn want_key_frame(&mut self) {
        self.wish.store(true, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    const MS: Duration = Duration::from_millis(1);

    fn write(sink: &mut PictureSink, timestamp: u32, key_frame: bool) {
        sink.write(&VideoFrame { timestamp, data: &[timestamp as u8], key_frame, at: clock::now() }).unwrap();
    }

    fn next(source: &mut PictureSource, now: Duration) -> Option<(u8, Duration)> {
        let mut unit = Vec::new();
        match source.next(now, &mut unit) {
            VideoPoll::Picture { at } => Some((unit[0], at)),
            VideoPoll::Wait { until } => {
                assert_eq!(until, now + LOOK);
                None
            }
            VideoPoll::Ended => panic!("an echo does not end by itself"),
        }
    }

    #[test]
    fn pictures_leave_as_they_came_and_as_far_apart_as_they_were_taken() {
        let (mut sink, mut source) = pictures();
        assert_eq!(next(&mut source, 5 * MS), None);
        // 40 ms apart over the wrap of the timestamp, with jitter on the way.
        for (n, arrives) in [(0, 100), (1, 155), (2, 178), (3, 222)] {
            let timestamp = u32::MAX.wrapping_sub(5399).wrapping_add(3600 * n);
            write(&mut sink, timestamp, n == 0);
            let expected = (timestamp as u8, (100 + 40 * n) * MS);
            assert_eq!(next(&mut source, arrives * MS), Some(expected), "{n}");
        }
        assert_eq!(next(&mut source, 300 * MS), None);
    }

    #[test]
    fn another_source_begins_a_new_count_and_time_never_goes_back() {
        let (mut sink, mut source) = pictures();
        write(&mut sink, 1000, true);
        assert_eq!(next(&mut source, 50 * MS), Some((232, 50 * MS)));
        write(&mut sink, 0x8000_0000, true);
        assert_eq!(next(&mut source, 90 * MS), Some((0, 90 * MS)));
        write(&mut sink, 0x8000_0000 - 900, false);
        assert_eq!(next(&mut source, 91 * MS), Some((124, 91 * MS)));
    }

    #[test]
    fn a_wish_for_a_key_frame_goes_to_the_far_end_once() {
        let (mut sink, mut source) = pictures();
        assert!(!sink.wants_key_frame());
        source.want_key_frame();
        assert!(sink.wants_key_frame() && !sink.wants_key_frame());
        // Nobody takes them: what is left out makes a key frame needed.
        write(&mut sink, 0, true);
        assert!(!sink.wants_key_frame());
        (1..40).for_each(|n| write(&mut sink, n, false));
        assert!(sink.wants_key_frame());
    }
}
