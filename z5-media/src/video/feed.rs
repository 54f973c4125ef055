//! The embedder's own source and sink: access units in and out through bounded channels.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::Duration;

use super::{VideoFrame, VideoPoll, VideoSink, VideoSource};
use crate::sink::SinkError;

/// How often the worker looks for a new picture.
pub(super) const LOOK: Duration = Duration::from_millis(4);
/// Pictures that wait in a channel.
const WAITING: usize = 8;

/// What both ends of a feed share.
#[derive(Debug, Default)]
struct Wishes {
    key_frame: AtomicBool,
    target: AtomicU64,
    ended: AtomicBool,
}

/// The embedder's end: takes encoded pictures.
#[derive(Debug, Clone)]
pub struct VideoFeed {
    units: SyncSender<Vec<u8>>,
    wishes: Arc<Wishes>,
}

/// The engine's end.
#[derive(Debug)]
pub struct FeedSource {
    units: Receiver<Vec<u8>>,
    wishes: Arc<Wishes>,
}

/// The picture was not taken: the stream is behind, or has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the picture was not taken: {}", if *.ended { "the stream has ended" } else { "too many wait already" })]
pub struct FeedFull {
    /// The stream has ended.
    pub ended: bool,
}

/// A source an embedder feeds with access units as its encoder makes them (Annex-B byte streams).
#[must_use]
pub fn feed() -> (VideoFeed, FeedSource) {
    let (sender, units) = sync_channel(WAITING);
    let wishes = Arc::new(Wishes::default());
    (VideoFeed { units: sender, wishes: Arc::clone(&wishes) }, FeedSource { units, wishes })
}

impl VideoFeed {
    /// Hands over the next picture. It is sent as soon as the worker looks, every 4 ms.
    ///
    /// # Errors
    /// When eight wait already or the stream has ended.
    pub fn push(&self, unit: Vec<u8>) -> Result<(), FeedFull> {
        self.units.try_send(unit).map_err(|error| match error {
            TrySendError::Full(_) => FeedFull { ended: false },
            TrySendError::Disconnected(_) => FeedFull { ended: true },
        })
    }

    /// Does the far end want a key frame? Asking answers for the last time a wish was heard.
    #[must_use]
    pub fn take_key_frame_wish(&self) -> bool {
        self.wishes.key_frame.swap(false, Ordering::AcqRel)
    }

    /// Has the stream ended? No picture is taken then.
    #[must_use]
    pub fn is_ended(&self) -> bool {
        self.wishes.ended.load(Ordering::Acquire)
    }

    /// Bits per second the path carries; `None` until that was told.
    #[must_use]
    pub fn target(&self) -> Option<u64> {
        Some(self.wishes.target.load(Ordering::Acquire)).filter(|target| *target > 0)
    }
}

impl Drop for FeedSource {
    fn drop(&mut self) {
        self.wishes.ended.store(true, Ordering::Release);
    }
}

impl VideoSource for FeedSource {
    fn next(&mut self, now: Duration, unit: &mut Vec<u8>) -> VideoPoll {
        match self.units.try_recv() {
            Ok(next) => {
                *unit = next;
                VideoPoll::Picture { at: now }
            }
            Err(std::sync::mpsc::TryRecvError::Empty) => VideoPoll::Wait { until: now + LOOK },
            Err(std::sync::mpsc::TryRecvError::Disconnected) => VideoPoll::Ended,
        }
    }

    fn want_key_frame(&mut self) {
        self.wishes.key_frame.store(true, Ordering::Release);
    }

    fn set_target(&mut self, bits_per_second: u64) {
        self.wishes.target.store(bits_per_second, Ordering::Release);
    }
}

/// A received picture that owns its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnedFrame {
    /// RTP timestamp, 90 kHz.
    pub timestamp: u32,
    /// Annex-B byte stream.
    pub data: Vec<u8>,
    /// Decoding may start here.
    pub key_frame: bool,
    /// When its last packet came.
    pub at: std::time::Instant,
}

/// Hands received pictures to an embedder; when it does not keep up, whole runs up to the next key frame are left out.
#[derive(Debug)]
pub struct FrameSink {
    frames: SyncSender<OwnedFrame>,
    broken: bool,
}

/// A sink whose pictures come out of the receiver. It ends when the receiver is dropped.
#[must_use]
pub fn frames() -> (FrameSink, Receiver<OwnedFrame>) {
    let (frames, receiver) = sync_channel(4 * WAITING);
    (FrameSink { frames, broken: false }, receiver)
}

impl FrameSink {
    /// Pictures were left out and no key frame came since.
    pub(crate) fn is_behind(&self) -> bool {
        self.broken
    }
}

impl VideoSink for FrameSink {
    fn write(&mut self, frame: &VideoFrame<'_>) -> Result<(), SinkError> {
        if self.broken && !frame.key_frame {
            return Ok(());
        }
        let owned = OwnedFrame {
            timestamp: frame.timestamp,
            data: frame.data.to_vec(),
            key_frame: frame.key_frame,
            at: frame.at,
        };
        match self.frames.try_send(owned) {
            Ok(()) => self.broken = false,
            Err(TrySendError::Full(_)) => self.broken = true,
            Err(TrySendError::Disconnected(_)) => return Err(SinkError::Closed),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    #[test]
    fn a_feed_passes_pictures_and_wishes_and_is_bounded() {
        let (feed, mut source) = feed();
        let mut unit = Vec::new();
        assert_eq!(source.next(Duration::ZERO, &mut unit), VideoPoll::Wait { until: LOOK });
        for _ in 0..WAITING {
            feed.push(vec![1]).unwrap();
        }
        assert_eq!(feed.push(vec![2]), Err(FeedFull { ended: false }));
        let now = Duration::from_millis(7);
        assert_eq!((source.next(now, &mut unit), &unit[..]), (VideoPoll::Picture { at: now }, &[1][..]));
        assert!(!feed.take_key_frame_wish() && feed.target().is_none());
        source.want_key_frame();
        source.set_target(5);
        assert!(feed.take_key_frame_wish() && !feed.take_key_frame_wish());
        assert_eq!(feed.target(), Some(5));
        assert!(!feed.is_ended());
        drop(source);
        assert!(feed.is_ended());
        assert_eq!(feed.push(vec![2]), Err(FeedFull { ended: true }));
    }

    #[test]
    fn a_slow_embedder_gets_whole_runs_from_a_key_frame_on() {
        let (mut sink, receiver) = frames();
        let at = clock::now();
        let mut write = |key_frame, timestamp| {
            sink.write(&VideoFrame { timestamp, data: &[1], key_frame, at }).unwrap();
        };
        (0..4 * WAITING as u32 + 1).for_each(|n| write(n == 0, n));
        while receiver.try_recv().is_ok() {}
        write(false, 90);
        write(true, 91);
        assert_eq!(receiver.recv().unwrap().timestamp, 91);
        drop(receiver);
        assert!(sink.write(&VideoFrame { timestamp: 0, data: &[1], key_frame: true, at }).is_err());
    }
}
