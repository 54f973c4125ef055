//! Telephone events (RFC 4733): received, each key press is told once, when it ends; sent, each is repeated as it grows.
//!
//! An event is repeated and its end is sent three times; packets may be lost. An event is known by its RTP timestamp.

use std::collections::VecDeque;

/// Payload length (RFC 4733 section 2.3).
pub const PAYLOAD_LEN: usize = 4;

/// One report of an event in progress or ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Payload {
    /// Event code: 0 to 15 are DTMF, 16 is flash.
    pub event: u8,
    /// The event has ended.
    pub end: bool,
    /// Power level in -dBm0, 0 to 63.
    pub volume: u8,
    /// Duration so far in timestamp units.
    pub duration: u16,
}

impl Payload {
    /// Reads a payload.
    #[must_use]
    pub fn parse(payload: &[u8]) -> Option<Self> {
        let [event, flags, high, low] = *payload.first_chunk::<PAYLOAD_LEN>()?;
        Some(Self {
            event,
            end: flags & 0x80 != 0,
            volume: flags & 0x3f,
            duration: u16::from_be_bytes([high, low]),
        })
    }

    /// Writes the payload.
    #[must_use]
    pub fn to_bytes(self) -> [u8; PAYLOAD_LEN] {
        let [high, low] = self.duration.to_be_bytes();
        [self.event, (u8::from(self.end) << 7) | (self.volume & 0x3f), high, low]
    }
}

/// The character of an event code, if it is one of RFC 4733's 0 to 16.
#[must_use]
pub fn digit(event: u8) -> Option<char> {
    b"0123456789*#ABCD!".get(usize::from(event)).map(|c| char::from(*c))
}

/// A key press that ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Press {
    /// One of 0-9, *, #, A-D, ! (flash).
    pub digit: char,
    /// In timestamp units.
    pub duration: u32,
}

/// Turns the stream of payloads into key presses.
#[derive(Debug, Clone, Default)]
pub struct Presses {
    current: Option<Pressed>,
}

/// A press that is on, or the last one.
#[derive(Debug, Clone, Copy)]
struct Pressed {
    /// Timestamp of its present segment.
    timestamp: u32,
    last: Payload,
    /// Units of the segments before it (RFC 4733 section 2.5.1.3).
    before: u32,
    told: bool,
}

impl Pressed {
    fn press(&self) -> Option<Press> {
        let duration = self.before.saturating_add(self.last.duration.into());
        digit(self.last.event).map(|digit| Press { digit, duration })
    }

    /// Is that the next segment of the same press? It begins where a segment of the longest length ends.
    fn goes_on(&self, timestamp: u32, event: u8) -> bool {
        let end = self.timestamp.wrapping_add(LONGEST_SEGMENT);
        !self.told && event == self.last.event && timestamp == end
    }
}

impl Presses {
    /// Takes a payload. An event whose end was lost is told when the next one begins.
    pub fn take(&mut self, timestamp: u32, payload: Payload) -> [Option<Press>; 2] {
        let mut told = [None, None];
        match &mut self.current {
            Some(current) if current.timestamp == timestamp => {
                // Reordered reports may carry an earlier duration.
                if payload.duration >= current.last.duration {
                    current.last = Payload { end: current.last.end || payload.end, ..payload };
                }
                if payload.end && !current.told {
                    current.told = true;
                    told[1] = current.press();
                }
            }
            // A late packet of an event before this one.
            Some(current) if timestamp.wrapping_sub(current.timestamp) > 0x8000_0000 => {}
            Some(_) | None => {
                let before = match self.current {
                    Some(current) if current.goes_on(timestamp, payload.event) => {
                        current.before.saturating_add(LONGEST_SEGMENT)
                    }
                    Some(current) => {
                        told[0] = current.press().filter(|_| !current.told);
                        0
                    }
                    None => 0,
                };
                let pressed = Pressed { timestamp, last: payload, before, told: payload.end };
                self.current = Some(pressed);
                told[1] = pressed.press().filter(|_| payload.end);
            }
        }
        told
    }
}

/// The event code of a character, the reverse of [`digit`].
#[must_use]
pub fn event(digit: char) -> Option<u8> {
    b"0123456789*#ABCD!".iter().position(|c| char::from(*c) == digit.to_ascii_uppercase()).map(|at| at as u8)
}

/// A payload to be sent in place of audio.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Emission {
    /// Timestamp of the event's beginning.
    pub timestamp: u32,
    /// The first packet of the event.
    pub marker: bool,
    /// The payload.
    pub payload: Payload,
}

/// Volume of the events sent, in -dBm0.
const VOLUME: u8 = 10;
/// Longest duration one segment of an event can tell; a longer event goes on in another one (RFC 4733 section 2.5.1.3).
const LONGEST_SEGMENT: u32 = 0xffff;
/// Events that may wait to be sent; more are refused.
pub const MAX_QUEUED: usize = 64;
/// The end of an event is sent this often (RFC 4733 section 2.5.1.4).
const END_PACKETS: u32 = 3;

/// An event being sent.
#[derive(Debug, Clone, Copy)]
struct Sending {
    event: u8,
    /// Length of the event in ticks.
    ticks: u32,
    /// Ticks since its beginning.
    age: u32,
    /// Units told in segments before the present one, and where that one begins.
    before: u32,
    segment: u32,
}

/// Sends queued key presses, one packet per tick.
#[derive(Debug, Clone, Default)]
pub struct Dialer {
    /// Event codes and their length in ticks.
    queue: VecDeque<(u8, u32)>,
    current: Option<Sending>,
    /// Ticks from the end of one event to the beginning of the next.
    gap: u32,
}

impl Dialer {
    /// A dialer that leaves `gap` ticks between events.
    #[must_use]
    pub fn new(gap: u32) -> Self {
        Self { queue: VecDeque::new(), current: None, gap }
    }

    /// Queues an event of that many ticks. Returns `false` when too many wait already.
    pub fn push(&mut self, event: u8, ticks: u32) -> bool {
        let room = self.queue.len() < MAX_QUEUED;
        if room {
            self.queue.push_back((event, ticks.max(1)));
        }
        room
    }

    /// What this tick sends instead of audio, if anything. `timestamp` is the tick's own, `samples` its length in units of
    /// the events' clock.
    pub fn tick(&mut self, timestamp: u32, samples: u32) -> Option<Emission> {
        if self.current.is_none() {
            let (event, ticks) = self.queue.pop_front()?;
            self.current = Some(Sending { event, ticks, age: 0, before: 0, segment: timestamp });
        }
        let sending = self.current.as_mut()?;
        sending.age += 1;
        let units = sending.age.min(sending.ticks).saturating_mul(samples);
        if units.saturating_sub(sending.before) > LONGEST_SEGMENT {
            sending.before += LONGEST_SEGMENT;
            sending.segment = sending.segment.wrapping_add(LONGEST_SEGMENT);
        }
        let Sending { event, segment, before, ticks, age, .. } = *sending;
        if age >= ticks + self.gap.max(END_PACKETS - 1) {
            self.current = None;
        }
        // Past the end and its repetitions it is audio's turn again, until the gap is over.
        (age < ticks + END_PACKETS).then(|| Emission {
            timestamp: segment,
            marker: age == 1,
            payload: Payload {
                event,
                end: age >= ticks,
                volume: VOLUME,
                duration: u16::try_from(units.saturating_sub(before)).unwrap_or(u16::MAX),
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_dialled_is_heard_once_each_with_its_length() {
        let mut dialer = Dialer::new(4);
        for c in "1#d".chars() {
            assert!(dialer.push(event(c).unwrap(), 5));
        }
        let (mut presses, mut heard, mut packets, mut markers) = (Presses::default(), Vec::new(), 0, 0);
        for tick in 0..40 {
            let Some(sent) = dialer.tick(tick * 160, 160) else { continue };
            packets += 1;
            markers += u32::from(sent.marker);
            // Every second packet is lost, the first end among them.
            if packets % 2 == 0 {
                let payload = Payload::parse(&sent.payload.to_bytes()).unwrap();
                heard.extend(presses.take(sent.timestamp, payload).into_iter().flatten());
            }
        }
        let expected = ['1', '#', 'D'].map(|digit| Press { digit, duration: 800 });
        assert_eq!((heard.as_slice(), packets, markers), (&expected[..], 3 * 7, 3));
        assert_eq!(event('x'), None);
    }

    #[test]
    fn a_long_press_goes_in_segments_and_is_told_as_one() {
        // 8 seconds at 48 kHz in frames of 20 ms: six segments.
        let mut dialer = Dialer::new(4);
        dialer.push(16, 400);
        let (mut presses, mut heard, mut segments) = (Presses::default(), Vec::new(), Vec::new());
        for tick in 0..420_u32 {
            let Some(sent) = dialer.tick(7_u32.wrapping_add(tick * 960), 960) else { continue };
            if segments.last() != Some(&sent.timestamp) {
                segments.push(sent.timestamp);
            }
            heard.extend(presses.take(sent.timestamp, sent.payload).into_iter().flatten());
        }
        assert_eq!(segments, (0..6).map(|n| 7 + n * LONGEST_SEGMENT).collect::<Vec<_>>());
        assert_eq!(heard, [Press { digit: '!', duration: 400 * 960 }]);
    }

    #[test]
    fn no_more_events_wait_than_a_person_could_press() {
        let mut dialer = Dialer::new(4);
        let taken = (0..1000).filter(|_| dialer.push(1, 5)).count();
        assert_eq!(taken, MAX_QUEUED);
    }

    fn payload(event: u8, end: bool, duration: u16) -> Payload {
        Payload { event, end, volume: 10, duration }
    }

    #[test]
    fn a_press_is_told_once_at_its_end() {
        let mut presses = Presses::default();
        assert_eq!(presses.take(100, payload(5, false, 160)), [None, None]);
        assert_eq!(presses.take(100, payload(5, false, 320)), [None, None]);
        let end = Some(Press { digit: '5', duration: 800 });
        assert_eq!(presses.take(100, payload(5, true, 800)), [None, end]);
        assert_eq!(presses.take(100, payload(5, true, 800)), [None, None]);
    }

    #[test]
    fn an_event_whose_end_was_lost_is_told_by_the_next() {
        let mut presses = Presses::default();
        presses.take(100, payload(1, false, 640));
        let told = presses.take(2000, payload(2, true, 800));
        assert_eq!(told.map(|p| p.map(|p| p.digit)), [Some('1'), Some('2')]);
        assert_eq!(presses.take(100, payload(1, true, 800)), [None, None]);
    }

    #[test]
    fn payloads_round_trip_and_unknown_events_are_no_digit() {
        let sample = payload(11, true, 0x1234);
        assert_eq!(Payload::parse(&sample.to_bytes()), Some(sample));
        assert_eq!(Payload::parse(&[1, 2, 3]), None);
        assert_eq!((digit(11), digit(16), digit(17), digit(255)), (Some('#'), Some('!'), None, None));
    }
}
