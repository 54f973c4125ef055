//! Frames between the packet thread and the worker thread: a byte ring per direction, one writer, one reader, no lock
//! and no allocation. A frame is written whole or not at all.

use rtrb::{Consumer, Producer, RingBuffer};

/// Bytes before each payload in the ring.
const HEAD_LEN: usize = 28;

/// Payload types from here on are no RTP: words between the two threads, in order with the frames.
pub(super) mod word {
    /// To the worker: the far end wants a key frame. To the packet thread: ask the far end for one.
    pub(in crate::engine) const KEY_FRAME: u8 = 0x80;
    /// To the packet thread: the key frame came.
    pub(in crate::engine) const KEY_FRAME_CAME: u8 = 0x81;
    /// To the worker: a limit, 8 bytes of bits per second.
    pub(in crate::engine) const LIMIT: u8 = 0x82;
    /// To the packet thread: what was heard, as `VoiceHeard` packs it.
    pub(in crate::engine) const VOICE: u8 = 0x84;
    /// To the worker: a report came, 8 bytes with the share lost in 1/2^32.
    pub(in crate::engine) const LOSS: u8 = 0x83;
    /// To the worker: the far end said goodbye.
    pub(in crate::engine) const BYE: u8 = 0x85;
    /// To the worker: a compound, which may say what sources are called.
    pub(in crate::engine) const COMPOUND: u8 = 0x86;
}

/// What travels beside a payload.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct FrameHead {
    pub(super) payload_type: u8,
    pub(super) marker: bool,
    /// Received: a new source or sequence begins here.
    pub(super) restarted: bool,
    pub(super) timestamp: u32,
    /// Received: extended sequence number.
    pub(super) sequence: u64,
    /// Received: nanoseconds since the engine's start.
    pub(super) at_nanos: u64,
    /// Received: the first contributing source.
    pub(super) csrc: Option<u32>,
}

/// The writing end.
#[derive(Debug)]
pub(super) struct FrameWriter(Producer<u8>);

/// The reading end.
#[derive(Debug)]
pub(super) struct FrameReader(Consumer<u8>);

/// A ring that holds `bytes` bytes of heads and payloads.
pub(super) fn ring(bytes: usize) -> (FrameWriter, FrameReader) {
    let (producer, consumer) = RingBuffer::new(bytes);
    (FrameWriter(producer), FrameReader(consumer))
}

impl FrameWriter {
    /// Writes a frame; `false` when there is no room for it.
    pub(super) fn push(&mut self, head: &FrameHead, payload: &[u8]) -> bool {
        let Ok(len) = u16::try_from(payload.len()) else { return false };
        let mut bytes = [0_u8; HEAD_LEN];
        bytes[0..2].copy_from_slice(&len.to_ne_bytes());
        bytes[2] = head.payload_type;
        bytes[3] = u8::from(head.marker) | u8::from(head.restarted) << 1 | u8::from(head.csrc.is_some()) << 2;
        bytes[4..8].copy_from_slice(&head.timestamp.to_ne_bytes());
        bytes[8..16].copy_from_slice(&head.sequence.to_ne_bytes());
        bytes[16..24].copy_from_slice(&head.at_nanos.to_ne_bytes());
        bytes[24..28].copy_from_slice(&head.csrc.unwrap_or(0).to_ne_bytes());
        let Ok(mut chunk) = self.0.write_chunk(HEAD_LEN + payload.len()) else { return false };
        let (first, second) = chunk.as_mut_slices();
        copy_across(first, second, 0, &bytes);
        copy_across(first, second, HEAD_LEN, payload);
        // One commit for both parts, so that the reader never sees half a frame.
        chunk.commit_all();
        true
    }
}

impl FrameWriter {
    /// Writes a word; when there is no room it is said again with the next occasion.
    pub(super) fn say(&mut self, word: u8, value: u64) {
        let head = FrameHead { payload_type: word, ..FrameHead::default() };
        let _ = self.push(&head, &value.to_ne_bytes());
    }
}

/// The value of a word.
pub(super) fn value(payload: &[u8]) -> u64 {
    payload.first_chunk::<8>().map_or(0, |bytes| u64::from_ne_bytes(*bytes))
}

/// Copies `bytes` to place `at` of a chunk that the ring's end may cut in two.
fn copy_across(first: &mut [u8], second: &mut [u8], at: usize, bytes: &[u8]) {
    let in_first = first.len().saturating_sub(at).min(bytes.len());
    let (head, tail) = bytes.split_at(in_first);
    if in_first > 0 {
        first[at..at + in_first].copy_from_slice(head);
    }
    if !tail.is_empty() {
        let start = at + in_first - first.len();
        second[start..start + tail.len()].copy_from_slice(tail);
    }
}

impl FrameReader {
    /// Reads the next frame's payload into `payload`, cut to its length; `None` when there is none.
    pub(super) fn pop(&mut self, payload: &mut [u8]) -> Option<(FrameHead, usize)> {
        let mut bytes = [0_u8; HEAD_LEN];
        self.0.pop_entire_slice(&mut bytes).ok()?;
        let [l0, l1, payload_type, flags, t0, t1, t2, t3, rest @ ..] = bytes;
        let len = usize::from(u16::from_ne_bytes([l0, l1]));
        let (sequence, rest) = rest.split_at(8);
        let (at, csrc) = rest.split_at(8);
        let head = FrameHead {
            payload_type,
            marker: flags & 1 != 0,
            restarted: flags & 2 != 0,
            timestamp: u32::from_ne_bytes([t0, t1, t2, t3]),
            sequence: sequence.first_chunk().map_or(0, |b| u64::from_ne_bytes(*b)),
            csrc: csrc.first_chunk().map(|b| u32::from_ne_bytes(*b)).filter(|_| flags & 4 != 0),
            at_nanos: at.first_chunk().map_or(0, |b| u64::from_ne_bytes(*b)),
        };
        let chunk = self.0.read_chunk(len).ok()?;
        let kept = len.min(payload.len());
        let (first, second) = chunk.as_slices();
        let from_first = kept.min(first.len());
        payload[..from_first].copy_from_slice(&first[..from_first]);
        payload[from_first..kept].copy_from_slice(&second[..kept - from_first]);
        chunk.commit_all();
        Some((head, kept))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_pass_whole_around_the_end_and_a_full_ring_takes_none() {
        let (mut writer, mut reader) = ring(100);
        let mut out = [0; 64];
        for n in 0..50_u8 {
            let head = FrameHead {
                payload_type: n,
                marker: n % 2 == 0,
                restarted: n % 3 == 0,
                timestamp: u32::from(n) * 160,
                sequence: u64::from(n) << 40,
                at_nanos: u64::MAX - u64::from(n),
                csrc: (n % 5 == 0).then_some(u32::from(n) << 20),
            };
            let payload = vec![n; usize::from(n) % 40];
            assert!(writer.push(&head, &payload));
            assert!(!writer.push(&head, &[0; 64]));
            let (read, len) = reader.pop(&mut out).unwrap();
            assert_eq!((read, &out[..len]), (head, &payload[..]));
            assert_eq!(reader.pop(&mut out), None);
        }
    }
}
