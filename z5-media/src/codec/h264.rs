//! H.264 over RTP (RFC 6184): access units to payloads and back, packetization modes 0 and 1.
//!
//! Single NAL units, STAP-A and FU-A; interleaved mode is not negotiated and its types are refused. Nothing is encoded
//! or decoded here. Payloads are expected in sequence order; a gap makes the access unit it falls into incomplete.

mod assemble;
mod nal;
mod packetize;

pub use assemble::{AccessUnit, Assembler};
pub use nal::{NalUnits, nal_units};
pub use packetize::{Mode, PacketizeError, Packetizer};

/// NAL unit types this file must know (RFC 6184 section 5.2, ITU-T H.264 table 7-1).
mod kind {
    /// Slice of an instantaneous decoder refresh picture: decoding may start here.
    pub(super) const IDR: u8 = 5;
    /// Largest type of a single NAL unit.
    pub(super) const LAST_SINGLE: u8 = 23;
    pub(super) const STAP_A: u8 = 24;
    pub(super) const FU_A: u8 = 28;
}

/// Type bits of a NAL unit's first byte.
const TYPE: u8 = 0x1f;
/// Importance bits (nal_ref_idc) of it.
const REF: u8 = 0x60;
/// Forbidden bit of it.
const FORBIDDEN: u8 = 0x80;
/// Start bit of a fragment's second byte.
const START: u8 = 0x80;
/// End bit of it.
const END: u8 = 0x40;

#[cfg(test)]
mod tests;
