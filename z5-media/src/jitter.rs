//! The reorder buffer: packets by sequence number in a fixed number of slots, read by media time.
//!
//! It orders and remembers; when to play what is the playout's business. Slots have room for usual packets from the start
//! and keep what they grow for larger ones, so that packets cost no allocation.

use crate::stats::DropReason;

/// Slots; at 20 ms per packet 640 ms.
const SLOTS: usize = 32;
/// Bytes of payload a slot has room for from the start: 30 ms of G.711 and a byte that says so.
const USUAL_PAYLOAD: usize = 241;

#[derive(Debug, Clone, Default)]
struct Slot {
    full: bool,
    sequence: u64,
    timestamp: u64,
    duration: u32,
    payload: Vec<u8>,
}

/// A packet at the head of the buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head<'b> {
    /// Extended sequence number.
    pub sequence: u64,
    /// Extended timestamp.
    pub timestamp: u64,
    /// Samples it holds; 0 for a packet that carries no sound.
    pub duration: u32,
    /// Its payload.
    pub payload: &'b [u8],
}

/// The buffer.
#[derive(Debug, Clone)]
pub struct ReorderBuffer {
    slots: Vec<Slot>,
    filled: usize,
    /// Sequence numbers below this were taken out.
    next: Option<u64>,
    /// End of the newest packet held or taken, in media time.
    newest_end: u64,
}

impl Default for ReorderBuffer {
    fn default() -> Self {
        let slot = || Slot { payload: Vec::with_capacity(USUAL_PAYLOAD), ..Slot::default() };
        Self {
            slots: std::iter::repeat_with(slot).take(SLOTS).collect(),
            filled: 0,
            next: None,
            newest_end: 0,
        }
    }
}

impl ReorderBuffer {
    /// Stores a packet.
    ///
    /// # Errors
    /// When its place was taken out already, is occupied by itself, or lies further ahead than there are slots.
    pub fn insert(
        &mut self,
        sequence: u64,
        timestamp: u64,
        duration: u32,
        payload: &[u8],
    ) -> Result<(), DropReason> {
        self.insert_parts(sequence, timestamp, duration, [&[], payload])
    }

    /// The same with a payload in two parts, which are put together here.
    ///
    /// # Errors
    /// As [`insert`](Self::insert).
    pub fn insert_parts(
        &mut self,
        sequence: u64,
        timestamp: u64,
        duration: u32,
        payload: [&[u8]; 2],
    ) -> Result<(), DropReason> {
        if self.next.is_some_and(|next| sequence < next) {
            return Err(DropReason::Late);
        }
        let slot = &mut self.slots[(sequence % SLOTS as u64) as usize];
        if slot.full {
            let same = slot.sequence == sequence;
            return Err(if same { DropReason::Duplicate } else { DropReason::Overflow });
        }
        slot.full = true;
        slot.sequence = sequence;
        slot.timestamp = timestamp;
        slot.duration = duration;
        slot.payload.clear();
        payload.into_iter().for_each(|part| slot.payload.extend_from_slice(part));
        self.filled += 1;
        self.newest_end = self.newest_end.max(timestamp + u64::from(duration));
        Ok(())
    }

    /// The packet with the lowest sequence number.
    #[must_use]
    pub fn head(&self) -> Option<Head<'_>> {
        self.head_slot().map(|at| {
            let slot = &self.slots[at];
            Head {
                sequence: slot.sequence,
                timestamp: slot.timestamp,
                duration: slot.duration,
                payload: &slot.payload,
            }
        })
    }

    fn head_slot(&self) -> Option<usize> {
        if self.filled == 0 {
            return None;
        }
        // Normally the expected packet is there; otherwise look for the lowest one.
        if let Some(next) = self.next {
            let at = (next % SLOTS as u64) as usize;
            if self.slots[at].full && self.slots[at].sequence == next {
                return Some(at);
            }
        }
        (0..SLOTS).filter(|at| self.slots[*at].full).min_by_key(|at| self.slots[*at].sequence)
    }

    /// Takes the head out. Returns whether the packets before it were all seen.
    pub fn take_head(&mut self) -> bool {
        let Some(at) = self.head_slot() else { return true };
        let sequence = self.slots[at].sequence;
        let contiguous = self.next.is_none_or(|next| next == sequence);
        self.slots[at].full = false;
        self.filled -= 1;
        self.next = Some(sequence + 1);
        contiguous
    }

    /// Would the head follow what was taken last?
    #[must_use]
    pub fn head_follows(&self) -> bool {
        self.next.is_none_or(|next| self.head().is_some_and(|head| head.sequence == next))
    }

    /// Packets held.
    #[must_use]
    pub fn len(&self) -> usize {
        self.filled
    }

    /// No packet is held.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.filled == 0
    }

    /// End of the newest packet in media time.
    #[must_use]
    pub fn newest_end(&self) -> u64 {
        self.newest_end
    }

    /// Forgets everything, also what was taken.
    pub fn clear(&mut self) {
        self.slots.iter_mut().for_each(|slot| slot.full = false);
        self.filled = 0;
        self.next = None;
        self.newest_end = 0;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn late_double_and_far_packets_are_told_apart() {
        let mut buffer = ReorderBuffer::default();
        buffer.insert(10, 0, 160, b"a").unwrap();
        assert_eq!(buffer.insert(10, 0, 160, b"a"), Err(DropReason::Duplicate));
        assert_eq!(buffer.insert(10 + SLOTS as u64, 0, 160, b"z"), Err(DropReason::Overflow));
        assert!(buffer.take_head());
        assert_eq!(buffer.insert(10, 0, 160, b"a"), Err(DropReason::Late));
        buffer.insert(12, 320, 160, b"c").unwrap();
        assert!(!buffer.head_follows());
        buffer.insert(11, 160, 160, b"b").unwrap();
        assert_eq!(buffer.head().unwrap().payload, b"b");
        assert_eq!(buffer.newest_end(), 480);
    }

    proptest! {
        #[test]
        fn any_arrival_order_within_the_slots_comes_out_sorted(
            sequences in Just((1000..1000 + SLOTS as u64).collect::<Vec<_>>()).prop_shuffle(), kept in 1..SLOTS
        ) {
            let mut buffer = ReorderBuffer::default();
            for sequence in &sequences[..kept] {
                buffer.insert(*sequence, sequence * 160, 160, &sequence.to_be_bytes()).unwrap();
            }
            let mut out = Vec::new();
            while let Some(head) = buffer.head() {
                prop_assert_eq!(head.payload, &head.sequence.to_be_bytes()[..]);
                out.push(head.sequence);
                buffer.take_head();
            }
            let mut sorted = sequences[..kept].to_vec();
            sorted.sort_unstable();
            prop_assert_eq!(out, sorted);
        }
    }
}
