//! Received payloads to pictures that can be decoded: order, a short wait for what is missing, and the wish for a key
//! frame when something is lost for good.
//!
//! A picture leaves as soon as it is complete; the wait begins only where a packet is missing. After a loss nothing is given
//! out until the next complete key frame, because what is shown in between would be wrong.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::time::{Duration, Instant};

use super::smoothness::Smoothness;
use super::{VideoFrame, sequence_parameters};
use crate::codec::h264::{AccessUnit, Assembler, nal_units};
use crate::stats::{DropReason, VideoFigures};

/// Packets held while one before them is missing.
const MAX_HELD: usize = 1024;
const SPS: u8 = 7;
const PPS: u8 = 8;

#[derive(Debug)]
struct Held {
    timestamp: u32,
    marker: bool,
    payload: Vec<u8>,
    at: Instant,
}

/// The receiving half of a video stream.
#[derive(Debug)]
pub struct VideoReceiver {
    start: Instant,
    /// How long a missing packet is waited for.
    patience: Duration,
    assembler: Assembler,
    next: Option<u64>,
    held: BTreeMap<u64, Held>,
    missing_since: Option<Instant>,
    /// Since when nothing can be shown; `None` while pictures follow each other.
    broken_since: Option<Instant>,
    /// Nothing was shown yet: the first picture is no recovery.
    begun: bool,
    /// A sequence and a picture parameter set came: without them no key frame can be decoded.
    sets: [bool; 2],
    smoothness: Smoothness,
    last_shown: Option<(u32, Instant)>,
    /// Bytes of the pictures after the first.
    bytes: u64,
    figures: VideoFigures,
}

/// What both handling functions pass along.
struct Pass<'p> {
    now: Instant,
    show: &'p mut dyn FnMut(VideoFrame<'_>),
}

impl VideoReceiver {
    /// A receiver that waits `patience` for a missing packet: about a round trip and a half where packets are asked for
    /// again, little where they are not.
    #[must_use]
    pub fn new(patience: Duration, start: Instant) -> Self {
        Self {
            start,
            patience,
            assembler: Assembler::default(),
            next: None,
            held: BTreeMap::new(),
            missing_since: None,
            broken_since: None,
            begun: false,
            sets: [false; 2],
            smoothness: Smoothness::default(),
            last_shown: None,
            bytes: 0,
            figures: VideoFigures::default(),
        }
    }

    /// Takes a packet; pictures it completes go to `show`.
    ///
    /// # Errors
    /// When it came twice, too late, or its payload is malformed.
    pub fn take(
        &mut self,
        sequence: u64,
        timestamp: u32,
        marker: bool,
        payload: &[u8],
        now: Instant,
        show: &mut dyn FnMut(VideoFrame<'_>),
    ) -> Result<(), DropReason> {
        let next = *self.next.get_or_insert(sequence);
        if sequence < next {
            return Err(DropReason::Late);
        }
        let mut pass = Pass { now, show };
        let taken = if sequence == next {
            self.assemble(sequence, timestamp, marker, payload, now, &mut pass)
        } else if let Entry::Vacant(place) = self.held.entry(sequence) {
            place.insert(Held { timestamp, marker, payload: payload.to_vec(), at: now });
            Ok(())
        } else {
            Err(DropReason::Duplicate)
        };
        self.release(&mut pass);
        taken
    }

    /// Gives up what was waited for too long.
    pub fn expire(&mut self, now: Instant, show: &mut dyn FnMut(VideoFrame<'_>)) {
        self.release(&mut Pass { now, show });
    }

    /// When [`expire`](Self::expire) wants to be called.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Instant> {
        self.missing_since.map(|since| since + self.patience)
    }

    /// Does the picture stand still until a key frame comes, and since when?
    #[must_use]
    pub fn wants_key_frame(&self) -> Option<Instant> {
        self.broken_since
    }

    /// Begins anew with another source or sequence.
    pub fn restart(&mut self, now: Instant) {
        self.held.clear();
        self.next = None;
        self.missing_since = None;
        self.assembler = Assembler::default();
        if self.begun {
            self.broken_since.get_or_insert(now);
        }
    }

    /// Takes held packets that follow, or that need not wait any longer.
    fn release(&mut self, pass: &mut Pass<'_>) {
        loop {
            let Some((sequence, at)) =
                self.held.first_key_value().map(|(sequence, held)| (*sequence, held.at))
            else {
                self.missing_since = None;
                return;
            };
            if self.next != Some(sequence) {
                let since = *self.missing_since.get_or_insert(at);
                let over = pass.now.saturating_duration_since(since) >= self.patience;
                if !over && self.held.len() <= MAX_HELD {
                    return;
                }
                self.next = Some(sequence);
            }
            self.missing_since = None;
            if let Some(held) = self.held.remove(&sequence) {
                // Malformed ones were counted as nothing yet; here they only break their picture.
                let _ = self.assemble(sequence, held.timestamp, held.marker, &held.payload, held.at, pass);
            }
        }
    }

    fn assemble(
        &mut self,
        sequence: u64,
        timestamp: u32,
        marker: bool,
        payload: &[u8],
        at: Instant,
        pass: &mut Pass<'_>,
    ) -> Result<(), DropReason> {
        self.next = Some(sequence + 1);
        let Self { assembler, broken_since, begun, sets, smoothness, last_shown, bytes, figures, .. } = self;
        let was_sound = assembler.is_sound();
        match assembler.take(sequence, timestamp, marker, payload) {
            Ok(Some(unit)) => {
                note_sets(&unit, sets);
                let decodable = *sets == [true; 2];
                let shown = judge(&unit, decodable, broken_since, begun, figures, pass.now);
                if shown {
                    if last_shown.is_some() {
                        *bytes += unit.data.len() as u64;
                    }
                    smoothness.shown(pass.now);
                    *last_shown = Some((timestamp, pass.now));
                    (pass.show)(VideoFrame { timestamp, data: unit.data, key_frame: unit.key_frame, at });
                }
                Ok(())
            }
            Ok(None) => {
                // Seen at the first packet after the gap, not only when its picture ends.
                if was_sound && !assembler.is_sound() && *begun {
                    broken_since.get_or_insert(pass.now);
                }
                Ok(())
            }
            Err(reason) => {
                broken_since.get_or_insert(pass.now);
                Err(reason)
            }
        }
    }

    /// RTP timestamp of the last picture shown, and when that was.
    #[must_use]
    pub fn shown(&self) -> Option<(u32, Instant)> {
        self.last_shown
    }

    /// No picture is expected any more: the stream is held, or the far end said goodbye. What is missing then is no freeze.
    pub fn pause(&mut self) {
        self.smoothness.pause();
    }

    /// Figures up to `now`; the sending half's are not in them.
    #[must_use]
    pub fn figures(&self, now: Instant) -> VideoFigures {
        let freezes = self.smoothness.freezes(now);
        let ms = |time: Duration| time.as_secs_f64() * 1000.0;
        VideoFigures {
            first_frame_ms: self.smoothness.first().map(|at| ms(at.saturating_duration_since(self.start))),
            frame_rate: self.smoothness.frame_rate(),
            freezes: freezes.map(|(count, _)| count),
            frozen_ms: freezes.map(|(_, time)| ms(time)),
            received_bits_per_second: self
                .smoothness
                .span()
                .map(|span| self.bytes as f64 * 8.0 / span.as_secs_f64()),
            ..self.figures
        }
    }
}

/// Notes the parameter sets of a unit. One that was lost with a picture is asked for with the next.
fn note_sets(unit: &AccessUnit<'_>, sets: &mut [bool; 2]) {
    if *sets != [true; 2] {
        for unit in nal_units(unit.data) {
            sets[0] |= unit[0] & 0x1f == SPS;
            sets[1] |= unit[0] & 0x1f == PPS;
        }
    }
}

/// Counts a picture and says whether it can be shown.
fn judge(
    unit: &AccessUnit<'_>,
    decodable: bool,
    broken_since: &mut Option<Instant>,
    begun: &mut bool,
    figures: &mut VideoFigures,
    now: Instant,
) -> bool {
    if !unit.complete || !decodable || (!unit.key_frame && (broken_since.is_some() || !*begun)) {
        broken_since.get_or_insert(now);
        figures.pictures_dropped += 1;
        return false;
    }
    if let Some(since) = broken_since.take()
        && *begun
    {
        let took = now.saturating_duration_since(since).as_secs_f64() * 1000.0;
        figures.recoveries += 1;
        figures.longest_recovery_ms =
            Some(figures.longest_recovery_ms.map_or(took, |longest| longest.max(took)));
    }
    *begun = true;
    figures.pictures_received += 1;
    if unit.key_frame {
        figures.key_frames_received += 1;
        let set = nal_units(unit.data).find(|nal| nal[0] & 0x1f == SPS).and_then(sequence_parameters);
        if let Some(set) = set {
            (figures.width, figures.height) = (Some(set.width), Some(set.height));
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;
    use crate::codec::h264::{Mode, Packetizer};
    use crate::video::annexb::tests::stream;

    const PATIENCE: Duration = Duration::from_millis(100);

    /// Payloads of so many pictures, every fifth a key frame: sequence, timestamp, marker, payload.
    fn packets(pictures: usize) -> Vec<(u64, u32, bool, Vec<u8>)> {
        let mut out = Vec::new();
        let mut buffer = [0; 500];
        for n in 0..pictures {
            // One picture of a stream that starts with a key frame or not.
            let whole = stream(2, 2, 900);
            let split = stream(1, 1, 900).len();
            let unit = if n % 5 == 0 { &whole[..split] } else { &whole[split..] };
            let mut packetizer = Packetizer::new(Mode::NonInterleaved, 500, unit);
            while let Some((len, marker)) = packetizer.next(&mut buffer).unwrap() {
                out.push((100 + out.len() as u64, n as u32 * 3000, marker, buffer[..len].to_vec()));
            }
        }
        out
    }

    fn shown(
        receiver: &mut VideoReceiver,
        packets: &[(u64, u32, bool, Vec<u8>)],
        now: Instant,
    ) -> Vec<(u32, bool)> {
        let mut frames = Vec::new();
        for (sequence, timestamp, marker, payload) in packets {
            let mut show = |frame: VideoFrame<'_>| frames.push((frame.timestamp / 3000, frame.key_frame));
            receiver.take(*sequence, *timestamp, *marker, payload, now, &mut show).unwrap();
        }
        frames
    }

    #[test]
    fn a_key_frame_without_parameter_sets_is_none_until_they_came() {
        let now = clock::now();
        let mut receiver = VideoReceiver::new(PATIENCE, now);
        let key = |sets: bool| {
            let stream = stream(1, 1, 100);
            let units = nal_units(&stream).filter(|unit| sets || !matches!(unit[0] & 0x1f, SPS | PPS));
            units.map(<[u8]>::to_vec).collect::<Vec<_>>()
        };
        let (mut sequence, mut shown) = (0, Vec::new());
        for (n, sets) in [false, true, false].into_iter().enumerate() {
            let units = key(sets);
            for (at, unit) in units.iter().enumerate() {
                let mut show = |frame: VideoFrame<'_>| shown.push(frame.timestamp);
                receiver.take(sequence, n as u32, at + 1 == units.len(), unit, now, &mut show).unwrap();
                sequence += 1;
            }
            assert_eq!(receiver.wants_key_frame().is_some(), n == 0, "picture {n}");
        }
        assert_eq!(shown, [1, 2]);
    }

    #[test]
    fn pictures_come_out_in_order_whatever_the_order_of_their_packets() {
        let now = clock::now();
        let mut packets = packets(10);
        for chunk in packets[1..].chunks_mut(7) {
            chunk.reverse();
        }
        let mut receiver = VideoReceiver::new(PATIENCE, now);
        let frames = shown(&mut receiver, &packets, now);
        assert_eq!(frames.iter().map(|(n, _)| *n).collect::<Vec<_>>(), (0..10).collect::<Vec<_>>());
        let figures = receiver.figures(now);
        assert_eq!(
            (figures.pictures_received, figures.key_frames_received, figures.width),
            (10, 2, Some(352))
        );
        assert_eq!((receiver.wants_key_frame(), figures.recoveries), (None, 0));
    }

    #[test]
    fn after_a_loss_nothing_is_shown_until_the_next_whole_key_frame() {
        let start = clock::now();
        let mut receiver = VideoReceiver::new(PATIENCE, start);
        let mut all = packets(10);
        let lost = all.iter().position(|(_, timestamp, ..)| *timestamp == 2 * 3000).unwrap() + 1;
        all.remove(lost);
        let (before, after): (Vec<_>, Vec<_>) =
            all.into_iter().partition(|(_, timestamp, ..)| *timestamp < 4 * 3000);
        assert_eq!(shown(&mut receiver, &before, start), [(0, true), (1, false)]);
        assert_eq!(receiver.wants_key_frame(), None);
        // The wait ends, and the loss is seen.
        let given_up = start + PATIENCE;
        assert_eq!(receiver.next_deadline(), Some(given_up));
        receiver.expire(given_up, &mut |_| panic!("nothing can be shown"));
        assert_eq!(receiver.wants_key_frame(), Some(given_up));
        let later = given_up + Duration::from_millis(80);
        assert_eq!(shown(&mut receiver, &after, later)[0], (5, true));
        let figures = receiver.figures(later);
        assert_eq!((figures.recoveries, figures.longest_recovery_ms), (1, Some(80.0)));
        assert_eq!((figures.pictures_dropped, receiver.wants_key_frame()), (3, None));
    }

    #[test]
    fn a_packet_sent_again_in_time_costs_nothing() {
        let start = clock::now();
        let mut receiver = VideoReceiver::new(PATIENCE, start);
        let mut all = packets(5);
        let late = all.remove(5);
        assert_eq!(shown(&mut receiver, &all, start).len(), 1);
        let frames = shown(&mut receiver, std::slice::from_ref(&late), start + PATIENCE / 2);
        assert_eq!(frames.len(), 4);
        assert_eq!((receiver.figures(start).pictures_dropped, receiver.wants_key_frame()), (0, None));
        let again = receiver.take(late.0, late.1, late.2, &late.3, start, &mut |_| ());
        assert_eq!(again, Err(DropReason::Late));
    }

    #[test]
    fn who_joins_in_the_middle_wants_a_key_frame_at_once() {
        let start = clock::now();
        let mut receiver = VideoReceiver::new(PATIENCE, start);
        let all: Vec<_> = packets(7).into_iter().filter(|(_, timestamp, ..)| *timestamp >= 3000).collect();
        let frames = shown(&mut receiver, &all, start + Duration::from_millis(30));
        assert_eq!(frames, [(5, true), (6, false)]);
        let figures = receiver.figures(start);
        assert_eq!((figures.recoveries, figures.longest_recovery_ms), (0, None));
        assert!((figures.first_frame_ms.unwrap() - 30.0).abs() < 0.1);
        receiver.restart(start);
        assert_eq!(receiver.wants_key_frame(), Some(start));
    }

    #[test]
    fn what_is_held_is_bounded() {
        let start = clock::now();
        let mut receiver = VideoReceiver::new(PATIENCE, start);
        for n in 0..3000 {
            // One of two is missing for ever.
            let _ = receiver.take(2 * n, 0, false, &[0x41, 0x88], start, &mut |_| ());
            assert!(receiver.held.len() <= MAX_HELD + 1);
        }
    }
}
