//! What video mail keeps of the media that comes: sound and text are counted, H.264 is put together to pictures (RFC 6184 sections 5.6 to
//! 5.8: single NAL units, STAP-A, FU-A), written apart from z5-media so that the two can disagree.

use super::rtp::HEADER_BYTES;
use crate::mail::Recording;

/// The start code of a byte stream (ITU-T H.264 annex B.1).
const START: [u8; 4] = [0, 0, 0, 1];
/// Types of NAL units in RTP (RFC 6184 table 1).
const STAP_A: u8 = 24;
const FU_A: u8 = 28;
/// A picture that is larger is no picture.
const MAX_PICTURE: usize = 1024 * 1024;

/// What a line carries, as far as it is looked into.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Carries {
    Sound,
    Text,
    /// Pictures; these payload types are H.264.
    Pictures(Vec<u8>),
}

/// The recorder of one line.
#[derive(Clone, Debug)]
pub(super) struct Tape {
    recording: Recording,
    carries: Carries,
    /// The picture that is being put together.
    picture: Vec<u8>,
    /// Of its first packet.
    timestamp: Option<u32>,
    sequence: Option<u16>,
    broken: bool,
}

impl Tape {
    pub(super) fn new(recording: Recording, carries: Carries) -> Self {
        Self { recording, carries, picture: Vec::new(), timestamp: None, sequence: None, broken: false }
    }

    /// One RTP packet, in the clear.
    pub(super) fn packet(&mut self, packet: &[u8]) {
        let h264 = match &self.carries {
            Carries::Sound => return self.recording.with(|recorded| recorded.sound_packets += 1),
            Carries::Text => return self.recording.with(|recorded| recorded.text_packets += 1),
            Carries::Pictures(types) => types.contains(&(packet[1] & 0x7f)),
        };
        let Some(payload) = payload(packet).filter(|_| h264) else { return };
        let sequence = u16::from_be_bytes([packet[2], packet[3]]);
        let timestamp = u32::from_be_bytes([packet[4], packet[5], packet[6], packet[7]]);
        if let Some(last) = self.sequence {
            let ahead = sequence.wrapping_sub(last);
            // What comes again, or too late, changes nothing.
            if ahead == 0 || ahead >= 0x8000 {
                return;
            }
            self.broken |= ahead > 1;
        }
        self.sequence = Some(sequence);
        if self.timestamp.is_some_and(|begun| begun != timestamp) {
            // Its last packet, with the marker, did not come.
            self.broken = true;
            self.end();
        }
        self.timestamp = Some(timestamp);
        self.broken |= !self.take(payload) || self.picture.len() > MAX_PICTURE;
        if self.broken {
            self.picture.clear();
        }
        if packet[1] & 0x80 != 0 {
            self.end();
        }
    }

    /// Adds the NAL units of a payload; false when it is none of the known forms.
    fn take(&mut self, payload: &[u8]) -> bool {
        match payload.first().map(|first| first & 0x1f) {
            Some(1..=23) => self.unit(payload),
            Some(STAP_A) => {
                let mut rest = &payload[1..];
                while let [high, low, more @ ..] = rest {
                    let length = usize::from(u16::from_be_bytes([*high, *low]));
                    let Some((unit, behind)) = more.split_at_checked(length) else { return false };
                    self.unit(unit);
                    rest = behind;
                }
                return rest.is_empty();
            }
            Some(FU_A) => {
                let [indicator, header, part @ ..] = payload else { return false };
                if header & 0x80 != 0 {
                    self.picture.extend_from_slice(&START);
                    self.picture.push((indicator & 0xe0) | (header & 0x1f));
                }
                self.picture.extend_from_slice(part);
            }
            Some(_) | None => return false,
        }
        true
    }

    fn unit(&mut self, unit: &[u8]) {
        self.picture.extend_from_slice(&START);
        self.picture.extend_from_slice(unit);
    }

    /// The picture is as whole as it gets.
    fn end(&mut self) {
        let (picture, broken) = (std::mem::take(&mut self.picture), std::mem::take(&mut self.broken));
        self.timestamp = None;
        self.recording.with(|recorded| match broken || picture.is_empty() {
            true => recorded.broken += 1,
            false => recorded.picture(&picture),
        });
    }
}

/// Behind the header, its sources and its extension, without padding (RFC 3550 section 5.1).
fn payload(packet: &[u8]) -> Option<&[u8]> {
    let mut at = HEADER_BYTES + 4 * usize::from(packet[0] & 0x0f);
    if packet[0] & 0x10 != 0 {
        let words = packet.get(at + 2..at + 4)?;
        at += 4 + 4 * usize::from(u16::from_be_bytes([words[0], words[1]]));
    }
    let padding = if packet[0] & 0x20 != 0 { usize::from(*packet.last()?) } else { 0 };
    packet.get(at..packet.len().checked_sub(padding)?)
}

#[cfg(test)]
mod tests {
    use super::super::rtp;
    use super::*;

    /// Of packets with these sequence numbers, timestamps and payloads; each second number is whether it has the marker.
    fn recorded(packets: &[(u16, u32, bool, &[u8])]) -> crate::mail::Recorded {
        let recording = Recording::default();
        let mut tape = Tape::new(recording.clone(), Carries::Pictures(vec![97]));
        for (sequence, timestamp, marker, payload) in packets {
            let header = rtp::header(97, *marker, *sequence, *timestamp, 1);
            tape.packet(&[&header[..], payload].concat());
        }
        let mut seen = crate::mail::Recorded::default();
        recording.with(|recorded| seen = recorded.clone());
        seen
    }

    #[test]
    fn pictures_come_from_single_units_aggregates_and_fragments() {
        let aggregate = [24, 0, 2, 0x67, 1, 0, 3, 0x68, 2, 3];
        let seen = recorded(&[
            (1, 0, false, &aggregate),
            (2, 0, false, &[0x7c, 0x85, 9, 9]),
            (3, 0, true, &[0x7c, 0x45, 8]),
            (4, 3600, true, &[0x41, 7]),
        ]);
        assert_eq!((seen.pictures, seen.broken), (2, 0));
        assert_eq!(seen.kept[0], [0, 0, 0, 1, 0x67, 1, 0, 0, 0, 1, 0x68, 2, 3, 0, 0, 0, 1, 0x65, 9, 9, 8]);
        assert_eq!(seen.kept[1], [0, 0, 0, 1, 0x41, 7]);
    }

    #[test]
    fn what_is_missing_breaks_its_picture_and_no_other() {
        let seen = recorded(&[
            (1, 0, true, &[0x41, 1]),
            (3, 3600, true, &[0x41, 2]),
            (3, 3600, true, &[0x41, 2]),
            (2, 3600, false, &[0x41, 3]),
            (4, 7200, true, &[0x41, 4]),
            (5, 9000, false, &[0x41, 5]),
            (6, 9900, true, &[0x41, 6]),
            (7, 9990, true, &[30]),
            (8, 9991, true, &[24, 0, 9, 1]),
        ]);
        assert_eq!((seen.pictures, seen.broken), (3, 4), "{seen:?}");
    }

    #[test]
    fn a_packet_has_sources_extensions_and_padding() {
        let mut packet = rtp::header(97, true, 1, 2, 3).to_vec();
        packet[0] |= 0x31;
        packet.extend_from_slice(&[0, 0, 0, 9, 0xbe, 0xde, 0, 1, 1, 1, 1, 1, 0x41, 5, 0, 2]);
        assert_eq!(payload(&packet), Some(&[0x41, 5][..]));
        packet.truncate(13);
        assert_eq!(payload(&packet), None);
    }
}
