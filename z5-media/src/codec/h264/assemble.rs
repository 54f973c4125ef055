//! RTP payloads to access units.

use super::{END, FORBIDDEN, REF, START, TYPE, kind};
use crate::stats::DropReason;

/// Largest access unit kept: a key frame of 1080p at a generous rate is far below.
const MAX_ACCESS_UNIT: usize = 4 << 20;
const START_CODE: [u8; 4] = [0, 0, 0, 1];

/// One assembled picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AccessUnit<'a> {
    /// RTP timestamp, 90 kHz.
    pub timestamp: u32,
    /// NAL units with start codes, as decoders and Annex-B files want them.
    pub data: &'a [u8],
    /// No packet of it was missing. An incomplete picture damages those after it until the next key frame.
    pub complete: bool,
    /// Holds an IDR slice: decoding may start here.
    pub key_frame: bool,
}

/// Gathers payloads of one source into access units.
#[derive(Debug, Default)]
pub struct Assembler {
    data: Vec<u8>,
    timestamp: Option<u32>,
    complete: bool,
    key_frame: bool,
    /// A fragmented NAL unit is open; it began at that place.
    fragment: Option<usize>,
    next_sequence: Option<u64>,
    /// Too large: the rest of it is left out.
    overflowed: bool,
    finished: bool,
}

impl Assembler {
    /// Takes the next payload in sequence order and returns the access unit it completes by its marker bit. A picture
    /// whose marker packet was lost is given up when the next one begins.
    ///
    /// # Errors
    /// When the payload is malformed or of a type that was not negotiated; the picture it belongs to is incomplete then.
    pub fn take(
        &mut self,
        sequence: u64,
        timestamp: u32,
        marker: bool,
        payload: &[u8],
    ) -> Result<Option<AccessUnit<'_>>, DropReason> {
        let gap = self.next_sequence.is_some_and(|next| next != sequence);
        self.next_sequence = Some(sequence + 1);
        if self.finished || self.timestamp != Some(timestamp) {
            // Whether the gap cut the end of the old picture or the beginning of this one cannot be known.
            self.begin(timestamp);
        }
        if gap {
            self.complete = false;
            self.abandon_fragment();
        }
        let appended = self.append(payload);
        if appended.is_err() {
            self.complete = false;
        }
        self.finished = marker;
        appended?;
        if !marker {
            return Ok(None);
        }
        self.abandon_fragment();
        Ok((!self.data.is_empty()).then_some(AccessUnit {
            timestamp,
            data: &self.data,
            complete: self.complete && !self.overflowed,
            key_frame: self.key_frame,
        }))
    }

    /// Nothing is missing of the picture being gathered.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.finished || self.timestamp.is_none() || (self.complete && !self.overflowed)
    }

    fn begin(&mut self, timestamp: u32) {
        self.data.clear();
        self.timestamp = Some(timestamp);
        self.complete = true;
        self.key_frame = false;
        self.fragment = None;
        self.overflowed = false;
        self.finished = false;
    }

    /// A fragmented NAL unit whose end never came is taken out again.
    fn abandon_fragment(&mut self) {
        if let Some(start) = self.fragment.take() {
            self.data.truncate(start);
            self.complete = false;
        }
    }

    fn append(&mut self, payload: &[u8]) -> Result<(), DropReason> {
        let (first, rest) = payload.split_first().ok_or(DropReason::MalformedPayload)?;
        match first & TYPE {
            kind::FU_A => self.append_fragment(*first, rest),
            kind::STAP_A => {
                self.abandon_fragment();
                self.append_aggregate(rest)
            }
            1..=kind::LAST_SINGLE => {
                self.abandon_fragment();
                self.append_unit(payload);
                Ok(())
            }
            _ => Err(DropReason::MalformedPayload),
        }
    }

    fn append_unit(&mut self, unit: &[u8]) {
        self.key_frame |= unit[0] & TYPE == kind::IDR;
        self.extend(&START_CODE);
        self.extend(unit);
    }

    fn append_aggregate(&mut self, mut rest: &[u8]) -> Result<(), DropReason> {
        while let Some((len, tail)) = rest.split_first_chunk::<2>() {
            let len = usize::from(u16::from_be_bytes(*len));
            let (unit, tail) = tail.split_at_checked(len).ok_or(DropReason::MalformedPayload)?;
            if unit.is_empty() {
                return Err(DropReason::MalformedPayload);
            }
            self.append_unit(unit);
            rest = tail;
        }
        if rest.is_empty() { Ok(()) } else { Err(DropReason::MalformedPayload) }
    }

    fn append_fragment(&mut self, indicator: u8, rest: &[u8]) -> Result<(), DropReason> {
        let (header, bytes) = rest.split_first().ok_or(DropReason::MalformedPayload)?;
        if header & START != 0 {
            self.abandon_fragment();
            self.fragment = Some(self.data.len());
            self.key_frame |= header & TYPE == kind::IDR;
            self.extend(&START_CODE);
            self.extend(&[indicator & (FORBIDDEN | REF) | header & TYPE]);
        } else if self.fragment.is_none() {
            // Its beginning was lost; what follows is of no use.
            self.complete = false;
            return Ok(());
        }
        self.extend(bytes);
        if header & END != 0 {
            self.fragment = None;
        }
        Ok(())
    }

    fn extend(&mut self, bytes: &[u8]) {
        if self.data.len() + bytes.len() > MAX_ACCESS_UNIT {
            self.overflowed = true;
            return;
        }
        self.data.extend_from_slice(bytes);
    }
}
