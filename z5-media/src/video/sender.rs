//! Access units to RTP payloads, spread over time.
//!
//! Parameter sets go before each key frame that lacks them. A picture's packets are spread over part of its interval, so
//! that a key frame does not overflow the queues on the way; what is left of one picture goes before the next.

use std::collections::VecDeque;
use std::ops::Range;
use std::time::{Duration, Instant};

use super::sequence_parameters;
use crate::codec::h264::{Mode, PacketizeError, Packetizer, nal_units};

/// Longest time the packets of one picture are spread over.
const MAX_SPREAD: Duration = Duration::from_millis(25);
/// Share of the interval between pictures it is spread over at most.
const SPREAD_SHARE: f64 = 0.75;
/// Packets that leave together without a pause.
const BURST: usize = 4;
/// Interval assumed before two pictures were seen.
const USUAL_INTERVAL: Duration = Duration::from_millis(33);
/// Least time between two key frames the far end asks for.
const LEAST_BETWEEN_WISHES: Duration = Duration::from_millis(200);
/// Packets waiting at most; a picture that does not fit is left out.
const MAX_WAITING: usize = 4096;
const START_CODE: [u8; 4] = [0, 0, 0, 1];
const IDR: u8 = 5;
const SPS: u8 = 7;
const PPS: u8 = 8;

/// A payload to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VideoPacket {
    /// Bytes written.
    pub len: usize,
    /// The last packet of its picture.
    pub marker: bool,
    /// RTP timestamp.
    pub timestamp: u32,
}

/// The sending half of a video stream.
#[derive(Debug)]
pub struct VideoSender {
    mode: Mode,
    max_payload: usize,
    sps: Vec<u8>,
    pps: Vec<u8>,
    with_sets: Vec<u8>,
    payloads: Vec<u8>,
    waiting: VecDeque<(Range<usize>, bool, u32)>,
    scratch: Vec<u8>,
    next: Instant,
    pause: Duration,
    burst: usize,
    last: Option<Instant>,
    interval: Duration,
    pictures: u64,
    key_frames: u64,
    left_out: u64,
    last_wish: Option<Instant>,
}

impl VideoSender {
    /// A sender of payloads of at most `max_payload` bytes (at least 64, at most 1400).
    #[must_use]
    pub fn new(mode: Mode, max_payload: usize, start: Instant) -> Self {
        let max_payload = max_payload.clamp(64, 1400);
        Self {
            mode,
            max_payload,
            sps: Vec::new(),
            pps: Vec::new(),
            with_sets: Vec::new(),
            payloads: Vec::new(),
            waiting: VecDeque::new(),
            scratch: vec![0; max_payload],
            next: start,
            pause: Duration::ZERO,
            burst: BURST,
            last: None,
            interval: USUAL_INTERVAL,
            pictures: 0,
            key_frames: 0,
            left_out: 0,
            last_wish: None,
        }
    }

    /// May a wish of the far end for a key frame reach the encoder? Not closer than 200 ms to the one before: a flood of
    /// wishes must not make every picture a key frame, and who still misses one asks again.
    pub fn admits_wish(&mut self, now: Instant) -> bool {
        let admitted =
            self.last_wish.is_none_or(|last| now.saturating_duration_since(last) >= LEAST_BETWEEN_WISHES);
        if admitted {
            self.last_wish = Some(now);
        }
        admitted
    }

    /// Width and height of the source's pictures; `None` before its first parameter set.
    #[must_use]
    pub fn size(&self) -> Option<(u32, u32)> {
        sequence_parameters(&self.sps).map(|set| (set.width, set.height))
    }

    /// Takes a picture that is none of the source's and brings its own parameter sets: those of the source stay remembered.
    ///
    /// # Errors
    /// When a NAL unit of it cannot be sent in this mode; then none of its packets leaves.
    pub fn push_apart(&mut self, unit: &[u8], timestamp: u32, now: Instant) -> Result<(), PacketizeError> {
        let kept = (std::mem::take(&mut self.sps), std::mem::take(&mut self.pps));
        let pushed = self.push(unit, timestamp, now);
        (self.sps, self.pps) = kept;
        pushed
    }

    /// The next pictures are of another source, which brings parameter sets of its own.
    pub fn forget_sets(&mut self) {
        self.sps.clear();
        self.pps.clear();
    }

    /// When the next wish will be admitted; `None` before the first.
    #[must_use]
    pub fn next_wish(&self) -> Option<Instant> {
        self.last_wish.map(|last| last + LEAST_BETWEEN_WISHES)
    }

    /// Takes a picture. Its first packet may leave at once.
    ///
    /// # Errors
    /// When a NAL unit of it cannot be sent in this mode; then none of its packets leaves.
    pub fn push(&mut self, unit: &[u8], timestamp: u32, now: Instant) -> Result<(), PacketizeError> {
        let key_frame = self.note_sets(unit);
        if let Some(last) = self.last.replace(now) {
            let interval = now.saturating_duration_since(last);
            self.interval = interval.clamp(Duration::from_millis(5), Duration::from_millis(200));
        }
        if self.waiting.is_empty() {
            self.payloads.clear();
        }
        let before = (self.waiting.len(), self.payloads.len());
        let with_sets = std::mem::take(&mut self.with_sets);
        let packed = self.pack(if with_sets.is_empty() { unit } else { &with_sets }, timestamp);
        self.with_sets = with_sets;
        self.with_sets.clear();
        let fits = matches!(packed, Ok(true));
        if !fits {
            self.waiting.truncate(before.0);
            self.payloads.truncate(before.1);
            self.left_out += 1;
            return packed.map(|_| ());
        }
        self.pictures += 1;
        self.key_frames += u64::from(key_frame);
        let spread = self.interval.mul_f64(SPREAD_SHARE).min(MAX_SPREAD);
        self.pause = spread * BURST as u32 / (self.waiting.len() as u32).max(BURST as u32);
        self.next = self.next.max(now);
        if before.0 == 0 {
            (self.next, self.burst) = (now, BURST);
        }
        Ok(())
    }

    /// Remembers parameter sets, and makes a copy with them of a key frame that lacks them. Is it a key frame?
    fn note_sets(&mut self, unit: &[u8]) -> bool {
        let (mut key_frame, mut has_sets) = (false, false);
        for nal in nal_units(unit) {
            match nal[0] & 0x1f {
                SPS => {
                    self.sps.clear();
                    self.sps.extend_from_slice(nal);
                    has_sets = true;
                }
                PPS => {
                    self.pps.clear();
                    self.pps.extend_from_slice(nal);
                }
                IDR => key_frame = true,
                _ => {}
            }
        }
        if key_frame && !has_sets && !self.sps.is_empty() {
            for part in [&self.sps, &self.pps] {
                self.with_sets.extend_from_slice(&START_CODE);
                self.with_sets.extend_from_slice(part);
            }
            self.with_sets.extend_from_slice(unit);
        }
        key_frame
    }

    /// Queues the payloads of a picture; `false` when too many wait.
    fn pack(&mut self, unit: &[u8], timestamp: u32) -> Result<bool, PacketizeError> {
        let mut packetizer = Packetizer::new(self.mode, self.max_payload, unit);
        while let Some((len, marker)) = packetizer.next(&mut self.scratch)? {
            if self.waiting.len() >= MAX_WAITING {
                return Ok(false);
            }
            let start = self.payloads.len();
            self.payloads.extend_from_slice(&self.scratch[..len]);
            self.waiting.push_back((start..start + len, marker, timestamp));
        }
        Ok(true)
    }

    /// When [`poll`](Self::poll) has something; `None` while nothing waits.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Instant> {
        (!self.waiting.is_empty()).then_some(self.next)
    }

    /// Writes the next payload that is due into `out`.
    pub fn poll(&mut self, now: Instant, out: &mut [u8]) -> Option<VideoPacket> {
        if now < self.next {
            return None;
        }
        let (range, marker, timestamp) = self.waiting.pop_front()?;
        let payload = self.payloads.get(range)?;
        let len = payload.len();
        out.get_mut(..len)?.copy_from_slice(payload);
        self.burst = self.burst.saturating_sub(1);
        if self.burst == 0 {
            self.burst = BURST;
            self.next = now + self.pause;
        }
        Some(VideoPacket { len, marker, timestamp })
    }

    /// Forgets what waits, when sending is stopped (hold).
    pub fn clear(&mut self) {
        self.waiting.clear();
        self.payloads.clear();
    }

    /// Pictures, key frames among them, and pictures that were left out.
    #[must_use]
    pub fn counts(&self) -> (u64, u64, u64) {
        (self.pictures, self.key_frames, self.left_out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;
    use crate::video::annexb::tests::stream;

    fn drain(sender: &mut VideoSender, mut now: Instant) -> (Vec<u8>, Duration, usize) {
        let start = now;
        let (mut kinds, mut out, mut markers) = (Vec::new(), [0; 1400], 0);
        while let Some(at) = sender.next_deadline() {
            now = now.max(at);
            let packet = sender.poll(now, &mut out).unwrap();
            kinds.push(out[0] & 0x1f);
            markers += usize::from(packet.marker);
        }
        (kinds, now - start, markers)
    }

    #[test]
    fn a_large_picture_is_spread_and_a_small_one_leaves_at_once() {
        let start = clock::now();
        let mut sender = VideoSender::new(Mode::NonInterleaved, 1200, start);
        sender.push(&stream(1, 1, 30), 0, start).unwrap();
        let (kinds, took, markers) = drain(&mut sender, start);
        // Everything fits one aggregate.
        assert_eq!((kinds, took, markers), (vec![24], Duration::ZERO, 1));
        let next = start + Duration::from_millis(40);
        sender.push(&stream(1, 1, 30_000), 3600, next).unwrap();
        let (kinds, took, markers) = drain(&mut sender, next);
        assert!(kinds.len() > 50 && markers == 1, "{}", kinds.len());
        assert!((Duration::from_millis(20)..=MAX_SPREAD).contains(&took), "{took:?}");
        assert_eq!(sender.counts(), (2, 2, 0));
    }

    #[test]
    fn parameter_sets_are_repeated_before_a_key_frame_that_lacks_them() {
        let start = clock::now();
        let mut sender = VideoSender::new(Mode::SingleNal, 1200, start);
        sender.push(&stream(1, 1, 30), 0, start).unwrap();
        assert_eq!(drain(&mut sender, start).0, [7, 8, 5, 5]);
        let bare = [0, 0, 0, 1, 0x65, 0x88, 1, 2];
        sender.push(&bare, 3600, start).unwrap();
        assert_eq!(drain(&mut sender, start).0, [7, 8, 5]);
        sender.push(&[0, 0, 0, 1, 0x41, 0x88, 1, 2], 7200, start).unwrap();
        assert_eq!(drain(&mut sender, start).0, [1]);
    }

    #[test]
    fn a_picture_that_does_not_fit_its_mode_is_left_out_whole() {
        let start = clock::now();
        let mut sender = VideoSender::new(Mode::SingleNal, 1200, start);
        let error = sender.push(&stream(1, 1, 1300), 0, start);
        assert!(matches!(error, Err(PacketizeError::TooLarge { .. })));
        assert_eq!((sender.next_deadline(), sender.counts()), (None, (0, 0, 1)));
        // And so is one for which there is no room.
        let mut sender = VideoSender::new(Mode::NonInterleaved, 64, start);
        for _ in 0..5 {
            sender.push(&stream(1, 1, 40_000), 0, start).unwrap();
        }
        assert!(sender.counts().2 > 0);
        assert_eq!(drain(&mut sender, start).2 as u64, sender.counts().0);
    }

    #[test]
    fn a_flood_of_wishes_for_key_frames_is_thinned_out() {
        let start = clock::now();
        let mut sender = VideoSender::new(Mode::NonInterleaved, 1200, start);
        let admitted = (0..1000).filter(|ms| sender.admits_wish(start + Duration::from_millis(*ms))).count();
        assert_eq!(admitted, 5);
    }
}
