//! Datagrams kept for a while, so that they can be sent again when the far end misses them (RFC 4585 section 6.2.1).
//!
//! The wire form is kept: the receiver has not seen that packet, so with SRTP its index is still good. Each packet goes
//! out again a bounded number of times, so that forged questions do not make us a hose.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Packets kept: more than a second of video at two megabits.
const KEPT: usize = 256;
/// How often one packet is sent again.
const MAX_TIMES: u8 = 3;
/// Least time between two sendings of the same packet.
const LEAST_GAP: Duration = Duration::from_millis(20);
/// Questions that wait to be answered.
const MAX_WAITING: usize = 128;

#[derive(Debug, Default)]
struct Kept {
    sequence: Option<u16>,
    sent: Option<Instant>,
    times: u8,
    wire: Vec<u8>,
}

/// The packets sent last.
#[derive(Debug)]
pub(super) struct History {
    kept: Vec<Kept>,
    waiting: VecDeque<u16>,
}

impl History {
    pub(super) fn new() -> Self {
        Self {
            kept: std::iter::repeat_with(Kept::default).take(KEPT).collect(),
            waiting: VecDeque::with_capacity(MAX_WAITING),
        }
    }

    /// Keeps a datagram as it leaves.
    pub(super) fn keep(&mut self, sequence: u16, wire: &[u8], now: Instant) {
        let kept = &mut self.kept[usize::from(sequence) % KEPT];
        (kept.sequence, kept.sent, kept.times) = (Some(sequence), Some(now), 0);
        kept.wire.clear();
        kept.wire.extend_from_slice(wire);
    }

    /// The far end misses that packet.
    pub(super) fn ask(&mut self, sequence: u16) {
        if self.waiting.len() < MAX_WAITING && !self.waiting.contains(&sequence) {
            self.waiting.push_back(sequence);
        }
    }

    /// Copies the next datagram to be sent again into `buffer`.
    pub(super) fn next(&mut self, buffer: &mut [u8], now: Instant) -> Option<usize> {
        while let Some(sequence) = self.waiting.pop_front() {
            let kept = &mut self.kept[usize::from(sequence) % KEPT];
            let fresh = kept.times > 0
                && kept.sent.is_some_and(|sent| now.saturating_duration_since(sent) < LEAST_GAP);
            if kept.sequence != Some(sequence) || kept.times >= MAX_TIMES || fresh {
                continue;
            }
            let Some(room) = buffer.get_mut(..kept.wire.len()) else { continue };
            room.copy_from_slice(&kept.wire);
            kept.times += 1;
            kept.sent = Some(now);
            return Some(kept.wire.len());
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    #[test]
    fn a_kept_packet_is_sent_again_at_most_three_times_and_a_forgotten_one_never() {
        let mut now = clock::now();
        let mut history = History::new();
        let mut buffer = [0; 100];
        for sequence in 65500..65500 + 300_u32 {
            history.keep(sequence as u16, &[sequence as u8; 3], now);
        }
        history.ask(65500);
        assert_eq!(history.next(&mut buffer, now), None);
        let mut sent = 0;
        for _ in 0..6 {
            history.ask(10);
            history.ask(10);
            while let Some(len) = history.next(&mut buffer, now) {
                assert_eq!(buffer[..len], [(65536 + 10) as u8; 3]);
                sent += 1;
            }
            now += LEAST_GAP;
        }
        assert_eq!(sent, 3);
        for sequence in 0..1000 {
            history.ask(sequence);
        }
        assert_eq!(history.waiting.len(), MAX_WAITING);
    }
}
