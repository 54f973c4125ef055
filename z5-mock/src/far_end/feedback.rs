//! RTCP feedback of a far end with video (RFC 4585, RFC 5104), both ways: what is missing is asked for and given again, and
//! wishes for a whole picture are read. Written apart from z5-media so that the two can disagree.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

/// Packets that can be given again: some seconds of video.
const KEPT: usize = 1024;
/// A gap wider than this is no loss but another stream.
const WIDEST_GAP: u16 = 256;
/// Between two questions for the same packet, and how many there are.
const REPEAT: Duration = Duration::from_millis(40);
const QUESTIONS: u8 = 4;

/// What a feedback packet asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Feedback {
    /// These packets once more.
    Missing(Vec<u16>),
    /// A whole picture (PLI or FIR).
    Picture,
}

/// What the feedback packets of a compound ask for.
pub(super) fn read(mut compound: &[u8]) -> Vec<Feedback> {
    let mut asked = Vec::new();
    while let [first, kind, high, low, ..] = *compound {
        let length = (usize::from(u16::from_be_bytes([high, low])) + 1) * 4;
        let Some(packet) = compound.get(..length) else { break };
        match (kind, first & 0x1f) {
            (205, 1) => {
                let pairs = packet.get(12..).unwrap_or_default().chunks_exact(4);
                let numbers = pairs.flat_map(|pair| {
                    let first = u16::from_be_bytes([pair[0], pair[1]]);
                    let following = u16::from_be_bytes([pair[2], pair[3]]);
                    let named = (0..16_u16).filter(move |bit| following >> bit & 1 == 1);
                    std::iter::once(first).chain(named.map(move |bit| first.wrapping_add(bit + 1)))
                });
                asked.push(Feedback::Missing(numbers.collect()));
            }
            (206, 1 | 4) => asked.push(Feedback::Picture),
            _ => {}
        }
        compound = compound.get(length..).unwrap_or_default();
    }
    asked
}

/// A generic NACK for packets of `media`.
pub(super) fn nack(ssrc: u32, media: u32, missing: &[u16]) -> Vec<u8> {
    let mut packet = vec![0x81, 205, 0, 2 + missing.len() as u8];
    packet.extend_from_slice(&ssrc.to_be_bytes());
    packet.extend_from_slice(&media.to_be_bytes());
    for number in missing {
        packet.extend_from_slice(&number.to_be_bytes());
        packet.extend_from_slice(&[0, 0]);
    }
    packet
}

/// A picture loss indication about `media`.
pub(super) fn picture_loss(ssrc: u32, media: u32) -> Vec<u8> {
    let mut packet = vec![0x81, 206, 0, 2];
    packet.extend_from_slice(&ssrc.to_be_bytes());
    packet.extend_from_slice(&media.to_be_bytes());
    packet
}

/// What one end of a video stream remembers of the packets both ways.
#[derive(Default)]
pub(super) struct Recovery {
    sent: VecDeque<(u16, Vec<u8>)>,
    highest: Option<u16>,
    missing: Vec<(u16, u8, Instant)>,
}

impl Recovery {
    /// Keeps a packet as it went out.
    pub(super) fn sent(&mut self, sequence: u16, packet: &[u8]) {
        if self.sent.len() == KEPT {
            self.sent.pop_front();
        }
        self.sent.push_back((sequence, packet.to_vec()));
    }

    /// The packet once more; a number that went out twice means the latest.
    pub(super) fn again(&self, sequence: u16) -> Option<&[u8]> {
        self.sent.iter().rev().find(|(number, _)| *number == sequence).map(|(_, packet)| packet.as_slice())
    }

    /// A packet came; those before it that did not are missing.
    pub(super) fn received(&mut self, sequence: u16, now: Instant) {
        let highest = *self.highest.get_or_insert(sequence);
        let ahead = sequence.wrapping_sub(highest);
        if ahead == 0 || ahead > u16::MAX / 2 {
            self.missing.retain(|(number, ..)| *number != sequence);
            return;
        }
        self.highest = Some(sequence);
        if ahead <= WIDEST_GAP {
            self.missing.extend((1..ahead).map(|step| (highest.wrapping_add(step), 0, now)));
        } else {
            self.missing.clear();
        }
    }

    /// What is to be asked for now, at most sixteen.
    pub(super) fn due(&mut self, now: Instant) -> Vec<u16> {
        self.missing.retain(|(_, asked, next)| *asked < QUESTIONS || *next > now);
        let due = self.missing.iter_mut().filter(|(_, _, next)| *next <= now).take(16);
        due.map(|(number, asked, next)| {
            *asked += 1;
            *next = now + REPEAT;
            *number
        })
        .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    #[test]
    fn questions_are_read_as_they_are_written() {
        let compound = [nack(1, 2, &[65535, 3]), picture_loss(1, 2)].concat();
        assert_eq!(read(&compound), [Feedback::Missing(vec![65535, 3]), Feedback::Picture]);
        let with_mask = [0x81, 205, 0, 3, 0, 0, 0, 1, 0, 0, 0, 2, 0xff, 0xff, 0b1000_0000, 0b101];
        assert_eq!(read(&with_mask), [Feedback::Missing(vec![65535, 0, 2, 15])]);
        for length in 0..compound.len() {
            read(&compound[..length]);
        }
    }

    #[test]
    fn what_is_missing_is_asked_for_until_it_comes_or_no_more() {
        let now = clock::now();
        let mut recovery = Recovery::default();
        for sequence in [65534, 65535, 2, 4] {
            recovery.received(sequence, now);
        }
        assert_eq!(recovery.due(now), [0, 1, 3]);
        assert!(recovery.due(now).is_empty());
        recovery.received(1, now);
        for round in 1..QUESTIONS {
            assert_eq!(recovery.due(now + REPEAT * round.into()), [0, 3]);
        }
        assert!(recovery.due(now + REPEAT * 10).is_empty());
        recovery.sent(7, &[1]);
        assert_eq!((recovery.again(7), recovery.again(8)), (Some(&[1][..]), None));
    }
}
