//! RTP packets (RFC 3550 section 5): parsing through rtp-rs, and what it lacks beside it: RFC 8285 header
//! extensions, bounds that hold before authentication, sequence extension and reception figures.

mod extension;
mod reception;

pub use extension::{Extension, extensions};
pub use reception::{Accepted, Reception};

use rtp_rs::{RtpReader, RtpReaderError};

use crate::stats::DropReason;

/// Bytes of a header without CSRCs and extension.
pub const HEADER_LEN: usize = 12;

/// Bytes of the whole header: fixed part, CSRC list and extension. Believes nothing beyond what it needs.
///
/// # Errors
/// When this is no RTP packet or its header runs past the end.
pub fn header_len(packet: &[u8]) -> Result<usize, DropReason> {
    let fixed = packet.first_chunk::<HEADER_LEN>().ok_or(DropReason::TooShort)?;
    if fixed[0] >> 6 != 2 {
        return Err(DropReason::BadVersion);
    }
    let mut len = HEADER_LEN + 4 * usize::from(fixed[0] & 0x0f);
    if fixed[0] & 0x10 != 0 {
        let words = packet.get(len + 2..len + 4).ok_or(DropReason::BadHeader)?;
        len += 4 + 4 * usize::from(u16::from_be_bytes([words[0], words[1]]));
    }
    if len > packet.len() {
        return Err(DropReason::BadHeader);
    }
    Ok(len)
}

/// The sequence number of a packet that passed [`header_len`]; 0 of anything shorter.
#[must_use]
pub fn sequence(packet: &[u8]) -> u16 {
    packet.get(2..4).map_or(0, |b| u16::from_be_bytes([b[0], b[1]]))
}

/// The SSRC of a packet that passed [`header_len`]; 0 of anything shorter.
#[must_use]
pub fn ssrc(packet: &[u8]) -> u32 {
    packet.get(8..12).map_or(0, |b| u32::from_be_bytes([b[0], b[1], b[2], b[3]]))
}

/// On a multiplexed port, is this RTCP (RFC 5761 section 4)?
#[must_use]
pub fn is_rtcp(packet: &[u8]) -> bool {
    packet.get(1).is_some_and(|second| (192..=223).contains(second))
}

/// A parsed packet in the clear.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Packet<'a> {
    /// Payload type, 0 to 127.
    pub payload_type: u8,
    /// Marker bit.
    pub marker: bool,
    /// Sequence number.
    pub sequence: u16,
    /// RTP timestamp in the payload's clock units.
    pub timestamp: u32,
    /// Synchronisation source.
    pub ssrc: u32,
    /// The first contributing source, where a mixer names any (section 7).
    pub csrc: Option<u32>,
    /// Profile and data of the header extension.
    pub extension: Option<(u16, &'a [u8])>,
    /// The payload without padding.
    pub payload: &'a [u8],
}

impl<'a> Packet<'a> {
    /// Parses a packet in the clear.
    ///
    /// # Errors
    /// When header or padding violate RFC 3550 section 5.1.
    pub fn parse(packet: &'a [u8]) -> Result<Self, DropReason> {
        let header = header_len(packet)?;
        // Padding that reaches into the header would make the payload's length negative.
        if packet[0] & 0x20 != 0 && usize::from(packet[packet.len() - 1]) > packet.len() - header {
            return Err(DropReason::BadHeader);
        }
        let reader = RtpReader::new(packet).map_err(|error| match error {
            RtpReaderError::BufferTooShort(_) => DropReason::TooShort,
            RtpReaderError::UnsupportedVersion(_) => DropReason::BadVersion,
            RtpReaderError::HeadersTruncated { .. } | RtpReaderError::PaddingLengthInvalid(_) => {
                DropReason::BadHeader
            }
        })?;
        Ok(Self {
            payload_type: reader.payload_type(),
            marker: reader.mark(),
            sequence: reader.sequence_number().into(),
            timestamp: reader.timestamp(),
            ssrc: reader.ssrc(),
            csrc: packet
                .get(HEADER_LEN..HEADER_LEN + 4)
                .filter(|_| packet[0] & 0x0f > 0)
                .map(|b| u32::from_be_bytes([b[0], b[1], b[2], b[3]])),
            extension: reader.extension(),
            payload: reader.payload(),
        })
    }
}

/// The header fields of a packet to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Payload type, 0 to 127.
    pub payload_type: u8,
    /// Marker bit.
    pub marker: bool,
    /// Sequence number.
    pub sequence: u16,
    /// RTP timestamp.
    pub timestamp: u32,
    /// Our SSRC.
    pub ssrc: u32,
}

impl Header {
    /// Writes the fixed header (no CSRC, no extension, no padding).
    pub fn write(&self, to: &mut [u8; HEADER_LEN]) {
        to[0] = 0x80;
        to[1] = (u8::from(self.marker) << 7) | (self.payload_type & 0x7f);
        to[2..4].copy_from_slice(&self.sequence.to_be_bytes());
        to[4..8].copy_from_slice(&self.timestamp.to_be_bytes());
        to[8..12].copy_from_slice(&self.ssrc.to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_written_header_is_read_back() {
        let header =
            Header { payload_type: 96, marker: true, sequence: 65535, timestamp: 0xdead_beef, ssrc: 7 };
        let mut packet = [0_u8; 14];
        header.write(packet.first_chunk_mut().unwrap());
        packet[12..].copy_from_slice(b"hi");
        let read = Packet::parse(&packet).unwrap();
        assert_eq!(
            (read.payload_type, read.marker, read.sequence, read.timestamp, read.ssrc, read.payload),
            (96, true, 65535, 0xdead_beef, 7, &b"hi"[..])
        );
        assert_eq!((sequence(&packet), ssrc(&packet), is_rtcp(&packet)), (65535, 7, false));
    }

    #[test]
    fn padding_is_taken_off_and_bounded() {
        let mut packet = vec![0xa0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 9, 9, 0, 0, 3];
        assert_eq!(Packet::parse(&packet).unwrap().payload, [9, 9]);
        for bad in [0, 6, 255] {
            *packet.last_mut().unwrap() = bad;
            assert_eq!(Packet::parse(&packet), Err(DropReason::BadHeader), "{bad}");
        }
    }

    #[test]
    fn headers_past_the_end_are_refused() {
        let mut packet = vec![0x8f; 20];
        assert_eq!(header_len(&packet), Err(DropReason::BadHeader));
        packet[0] = 0x90;
        packet.truncate(14);
        assert_eq!(header_len(&packet), Err(DropReason::BadHeader));
        packet[0] = 0x40;
        assert_eq!(header_len(&packet), Err(DropReason::BadVersion));
        assert_eq!(header_len(&packet[..11]), Err(DropReason::TooShort));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64), first in 0x80_u8..=0xbf) {
            let mut bytes = bytes;
            if let Some(b) = bytes.first_mut() { *b = first; }
            if let Ok(packet) = Packet::parse(&bytes) {
                if let Some((profile, data)) = packet.extension {
                    let _ = extensions(profile, data).count();
                }
                prop_assert!(packet.payload.len() <= bytes.len() - HEADER_LEN);
            }
        }
    }
}
