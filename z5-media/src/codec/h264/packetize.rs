//! Access units to RTP payloads.

use super::nal::{NalUnits, nal_units};
use super::{END, FORBIDDEN, REF, START, TYPE, kind};

/// What the far end agreed to take (`packetization-mode`, RFC 6184 section 8.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Mode 0: each payload is one NAL unit.
    SingleNal,
    /// Mode 1: also aggregates (STAP-A) and fragments (FU-A).
    NonInterleaved,
}

/// Why an access unit cannot be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PacketizeError {
    /// Mode 0 has no way to send a NAL unit that does not fit a packet; the encoder must make smaller slices.
    #[error(
        "a NAL unit of {len} bytes does not fit a packet of {max} bytes, and packetization mode 0 has no fragments"
    )]
    TooLarge {
        /// Bytes of the NAL unit.
        len: usize,
        /// Bytes of a payload.
        max: usize,
    },
    /// The output buffer is smaller than a payload may be.
    #[error("the output buffer is smaller than a payload")]
    NoRoom,
}

/// The payloads of one access unit, one after the other.
#[derive(Debug, Clone)]
pub struct Packetizer<'a> {
    mode: Mode,
    max: usize,
    units: std::iter::Peekable<NalUnits<'a>>,
    /// What is left of a NAL unit being fragmented, and its first byte.
    fragment: Option<(u8, &'a [u8])>,
}

impl<'a> Packetizer<'a> {
    /// The payloads of an access unit (an Annex-B byte stream), none longer than `max` bytes (at least 16).
    #[must_use]
    pub fn new(mode: Mode, max: usize, access_unit: &'a [u8]) -> Self {
        Self { mode, max: max.max(16), units: nal_units(access_unit).peekable(), fragment: None }
    }

    /// Writes the next payload into `out`. Returns its length and whether it is the last one, which carries the marker
    /// bit; `None` when the access unit is done.
    ///
    /// # Errors
    /// When a NAL unit cannot be sent in this mode, or `out` is too small.
    pub fn next(&mut self, out: &mut [u8]) -> Result<Option<(usize, bool)>, PacketizeError> {
        let max = self.max;
        let out = out.get_mut(..max).ok_or(PacketizeError::NoRoom)?;
        let len = match self.fragment.take() {
            Some((first, rest)) => self.fragment(first, rest, false, out),
            None => match self.units.next() {
                None => return Ok(None),
                Some(unit) if unit.len() > self.max => {
                    if self.mode == Mode::SingleNal {
                        return Err(PacketizeError::TooLarge { len: unit.len(), max: self.max });
                    }
                    self.fragment(unit[0], &unit[1..], true, out)
                }
                Some(unit) => self.single_or_aggregate(unit, out),
            },
        };
        Ok(Some((len, self.fragment.is_none() && self.units.peek().is_none())))
    }

    /// A fragment: indicator, header, bytes (RFC 6184 section 5.8).
    fn fragment(&mut self, first: u8, rest: &'a [u8], start: bool, out: &mut [u8]) -> usize {
        let take = rest.len().min(self.max - 2);
        let (now, later) = rest.split_at(take);
        out[0] = first & (FORBIDDEN | REF) | kind::FU_A;
        out[1] = first & TYPE;
        if start {
            out[1] |= START;
        }
        if later.is_empty() {
            out[1] |= END;
        } else {
            self.fragment = Some((first, later));
        }
        out[2..2 + take].copy_from_slice(now);
        2 + take
    }

    /// One NAL unit, or several small ones together (RFC 6184 section 5.7.1).
    fn single_or_aggregate(&mut self, unit: &'a [u8], out: &mut [u8]) -> usize {
        let fits = |at: usize, next: &&[u8]| at + 2 + next.len() <= self.max && next.len() <= 0xffff;
        let together = 1 + 2 + unit.len();
        if self.mode == Mode::SingleNal || !self.units.peek().is_some_and(|next| fits(together, next)) {
            out[..unit.len()].copy_from_slice(unit);
            return unit.len();
        }
        // Forbidden bit if any has it, importance of the most important.
        let (mut forbidden, mut importance) = (unit[0] & FORBIDDEN, unit[0] & REF);
        let mut at = append(out, 1, unit);
        while let Some(next) = self.units.peek().copied().filter(|next| fits(at, next)) {
            forbidden |= next[0] & FORBIDDEN;
            importance = importance.max(next[0] & REF);
            at = append(out, at, next);
            self.units.next();
        }
        out[0] = forbidden | importance | kind::STAP_A;
        at
    }
}

/// Appends length and unit to an aggregate; returns where it ends.
fn append(out: &mut [u8], at: usize, unit: &[u8]) -> usize {
    let start = at + 2;
    out[at..start].copy_from_slice(&(unit.len() as u16).to_be_bytes());
    out[start..start + unit.len()].copy_from_slice(unit);
    start + unit.len()
}
