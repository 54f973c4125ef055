//! Sends text as RFC 4103 says: T.140 in RED with two redundant generations, one packet each 300 ms.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

/// Redundant generations (RFC 4103 section 4.2).
const GENERATIONS: usize = 2;
/// Characters in one packet: 30 a second (RFC 4103 section 6).
const CHARACTERS_PER_PACKET: usize = 9;
/// The largest block that the RED header can describe (RFC 2198 section 3: 10 bits).
const MAX_BLOCK_BYTES: usize = 1023;

/// What is typed while a call stands; the line that sends it takes it from here.
#[derive(Clone, Debug, Default)]
pub(super) struct Typing(Arc<Mutex<String>>);

impl Typing {
    pub(super) fn push(&self, text: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push_str(text);
    }

    pub(super) fn take(&self) -> String {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Makes the payloads that carry a text.
pub(super) struct Writer {
    left: VecDeque<char>,
    t140: u8,
    red: Option<u8>,
    /// Timestamp and data of what was sent before, oldest first.
    sent: VecDeque<(u32, Vec<u8>)>,
    /// Empty packets that must still follow so that all redundancy gets out.
    trailing: usize,
}

pub(super) struct Payload {
    pub(super) payload_type: u8,
    pub(super) marker: bool,
    pub(super) bytes: Vec<u8>,
}

impl Writer {
    pub(super) fn new(text: &str, t140: u8, red: Option<u8>) -> Self {
        Self { left: text.chars().collect(), t140, red, sent: VecDeque::new(), trailing: GENERATIONS }
    }

    /// More to say; after a pause it begins anew, without what was said before it.
    pub(super) fn push(&mut self, text: &str) {
        if self.left.is_empty() && self.trailing == 0 {
            self.sent.clear();
        }
        self.left.extend(text.chars());
        self.trailing = GENERATIONS;
    }

    /// The payload of the packet at `timestamp` (milliseconds); `None` when all is sent.
    pub(super) fn next(&mut self, timestamp: u32) -> Option<Payload> {
        let count = self.left.len().min(CHARACTERS_PER_PACKET);
        let block: String = self.left.drain(..count).collect();
        if block.is_empty() {
            self.trailing = self.trailing.checked_sub(1)?;
        }
        let primary = block.into_bytes();
        let Some(red) = self.red else {
            let payload = (!primary.is_empty()).then_some(Payload {
                payload_type: self.t140,
                marker: self.sent.is_empty(),
                bytes: primary.clone(),
            });
            self.sent.push_back((timestamp, primary));
            return payload;
        };
        let marker = self.sent.is_empty();
        let mut bytes = Vec::new();
        for (at, data) in &self.sent {
            let offset = timestamp.wrapping_sub(*at) & 0x3fff;
            let length = data.len().min(MAX_BLOCK_BYTES) as u32;
            bytes.push(0x80 | self.t140);
            bytes.extend_from_slice(&((offset << 10) | length).to_be_bytes()[1..]);
        }
        bytes.push(self.t140);
        for (_, data) in &self.sent {
            bytes.extend_from_slice(data);
        }
        bytes.extend_from_slice(&primary);
        self.sent.push_back((timestamp, primary));
        if self.sent.len() > GENERATIONS {
            self.sent.pop_front();
        }
        Some(Payload { payload_type: red, marker, bytes })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_packet_repeats_the_two_before_it() {
        let mut writer = Writer::new("Welcome to z5.", 98, Some(100));
        let packets: Vec<_> = (0..5).map_while(|index| writer.next(index * 300)).collect();
        assert_eq!(packets.len(), 4, "two with text, two more for its redundancy");
        assert!(packets[0].marker && !packets[1].marker);
        assert_eq!(packets[0].bytes, [&[98][..], b"Welcome t"].concat());
        let second = [&[0xe2, 0x04, 0xb0, 0x09, 98][..], b"Welcome to z5."].concat();
        assert_eq!(packets[1].bytes, second);
        assert!(packets[3].bytes.ends_with(b"o z5."));
        // After a pause.
        writer.push("Bye");
        let later: Vec<_> = (100..105).map_while(|index| writer.next(index * 300)).collect();
        assert_eq!(later.len(), 3);
        assert!(later[0].marker && later[0].bytes == [&[98][..], b"Bye"].concat());
    }
}
