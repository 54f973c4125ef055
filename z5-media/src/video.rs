//! H.264 video between RTP and its ends: sources and sinks, pacing of what is sent, order and repair of what is received.
//!
//! Nothing is encoded or decoded here but by the feature `openh264`. An access unit is an Annex-B byte stream (ITU-T H.264 annex B) of one picture; RTP timestamps
//! count 90 000 a second (RFC 6184 section 5.1).

mod adapt;
mod annexb;
mod blank;
mod chooser;
mod feed;
mod files;
mod level;
#[cfg(feature = "openh264")]
pub mod openh264;
mod picture;
mod receiver;
mod scale;
mod seen;
mod sender;
mod smoothness;
mod sps;
mod steady;

use std::time::{Duration, Instant};

pub use adapt::{Adaptation, Rung, rung};
pub use annexb::{AnnexBError, AnnexBSink, AnnexBSource};
pub use blank::blank;
pub use chooser::Chooser;
pub use feed::{FeedFull, FeedSource, FrameSink, OwnedFrame, VideoFeed, feed, frames};
pub use files::{Y4mError, Y4mReader, Y4mWriter, write_png};
pub use level::Level;
pub use picture::{Picture, Stamp};
pub use receiver::VideoReceiver;
pub use seen::Seen;
pub use sender::{VideoPacket, VideoSender};
pub use sps::{SequenceParameters, sequence_parameters};
pub use steady::SteadyFilm;

use crate::sink::SinkError;
use crate::stats::SeenFigures;

/// Bytes of the largest NAL unit that fits one packet: with SRTP, RTP, UDP and IPv6 below an MTU of 1280.
pub const LARGEST_WHOLE_UNIT: usize = 1180;

/// RTP clock rate of video.
pub const CLOCK_RATE: u32 = 90_000;

/// Two seconds of our own test pattern, 320 by 240, 25 pictures a second, a key frame every second, as an Annex-B byte
/// stream: a film where there is no encoder. `cargo run --example film --features openh264` made it.
pub const FILM: &[u8] = include_bytes!("../assets/film.h264");

/// What was agreed that a source must know before its first picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terms {
    /// What the far end's decoder can take (`profile-level-id`); `None` when it was not said.
    pub level: Option<Level>,
    /// The largest NAL unit in bytes, where none may be split (packetization mode 0); `None` where they may.
    pub largest_unit: Option<usize>,
    /// Bits per second to begin with.
    pub bits_per_second: u64,
}

/// What a source says when asked for a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VideoPoll {
    /// The access unit was written; it belongs to this moment after the stream's start.
    Picture {
        /// Since the stream's start.
        at: Duration,
    },
    /// Nothing yet: ask again at that moment after the stream's start.
    Wait {
        /// Since the stream's start.
        until: Duration,
    },
    /// There will be no more.
    Ended,
}

/// Something that gives H.264 access units, pulled by the media worker thread. It should not block for longer than a few
/// milliseconds.
pub trait VideoSource: Send {
    /// Called again and again with the time since the stream's start, at the moment that it named at the latest; writes at most
    /// one access unit to `unit`, which comes empty.
    fn next(&mut self, now: Duration, unit: &mut Vec<u8>) -> VideoPoll;

    /// Called once before the first picture. A source that cannot choose what it sends ignores it.
    fn begin(&mut self, terms: &Terms) {
        let _ = terms;
    }

    /// Bytes of the largest NAL unit it will send, where it cannot choose: above [`LARGEST_WHOLE_UNIT`] a far end that takes no
    /// fragments (packetization mode 0) cannot be sent it.
    fn largest_unit(&self) -> Option<usize> {
        None
    }

    /// The far end cannot decode: the next picture is to be a key frame, as soon as the source can.
    fn want_key_frame(&mut self);

    /// The path carries about so many bits per second. A source that cannot change its rate ignores it.
    fn set_target(&mut self, bits_per_second: u64) {
        let _ = bits_per_second;
    }
}

/// One received picture that can be decoded: nothing it builds upon was lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VideoFrame<'a> {
    /// RTP timestamp, 90 kHz.
    pub timestamp: u32,
    /// Annex-B byte stream.
    pub data: &'a [u8],
    /// Decoding may start here.
    pub key_frame: bool,
    /// When its last packet came.
    pub at: Instant,
}

/// Something that takes received pictures, fed by the media worker thread.
pub trait VideoSink: Send {
    /// Takes the next picture. The first one is a key frame, and so is the first one after a loss.
    ///
    /// # Errors
    /// When it could not be taken; the sink is not used again.
    fn write(&mut self, frame: &VideoFrame<'_>) -> Result<(), SinkError>;

    /// Called once at the end of the stream.
    ///
    /// # Errors
    /// When what was written could not be completed.
    fn finish(&mut self) -> Result<(), SinkError> {
        Ok(())
    }

    /// What was seen in the pictures so far, if the sink decodes them.
    fn seen(&self) -> Option<SeenFigures> {
        None
    }

    /// Does the sink need a key frame that no loss on the way explains? Asked again and again; yes is said once for each wish, which
    /// stands until a key frame comes.
    fn wants_key_frame(&mut self) -> bool {
        false
    }
}

/// Takes pictures and forgets them; they are measured all the same.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoPicture;

impl VideoSink for NoPicture {
    fn write(&mut self, _frame: &VideoFrame<'_>) -> Result<(), SinkError> {
        Ok(())
    }
}

impl VideoSource for NoPicture {
    fn next(&mut self, _now: Duration, _unit: &mut Vec<u8>) -> VideoPoll {
        VideoPoll::Ended
    }

    fn want_key_frame(&mut self) {}
}

/// A stream framed like video, for tests of other files.
#[cfg(test)]
pub(crate) mod tests_support {
    pub(crate) use super::annexb::tests::stream;
}
