//! Telephone events (RFC 4733): each key press is one event, told once, when it ends.
//!
//! An event is repeated and its end is sent three times; packets may be lost. An event is known by its RTP timestamp.

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
    pub duration: u16,
}

/// Turns the stream of payloads into key presses.
#[derive(Debug, Clone, Default)]
pub struct Presses {
    /// Timestamp, latest payload, and whether it was told.
    current: Option<(u32, Payload, bool)>,
}

impl Presses {
    /// Takes a payload. An event whose end was lost is told when the next one begins.
    pub fn take(&mut self, timestamp: u32, payload: Payload) -> [Option<Press>; 2] {
        let mut told = [None, None];
        match &mut self.current {
            Some((current, last, done)) if *current == timestamp => {
                // Reordered reports may carry an earlier duration.
                if payload.duration >= last.duration {
                    *last = Payload { end: last.end || payload.end, ..payload };
                }
                if payload.end && !*done {
                    *done = true;
                    told[1] = press(payload);
                }
            }
            // A late packet of an event before this one.
            Some((current, ..)) if timestamp.wrapping_sub(*current) > 0x8000_0000 => {}
            Some(_) | None => {
                if let Some((_, last, false)) = self.current {
                    told[0] = press(last);
                }
                self.current = Some((timestamp, payload, payload.end));
                if payload.end {
                    told[1] = press(payload);
                }
            }
        }
        told
    }
}

fn press(payload: Payload) -> Option<Press> {
    digit(payload.event).map(|digit| Press { digit, duration: payload.duration })
}

#[cfg(test)]
mod tests {
    use super::*;

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
