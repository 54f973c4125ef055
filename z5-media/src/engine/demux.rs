//! Which stream a datagram on a shared socket belongs to: by the address it came from and its SSRC.
//!
//! The table knows only what streams claimed when they started, so it is bounded by their number and nothing from the
//! network makes it grow. An address is claimed either by one stream alone, whatever SSRC comes from there, or by any
//! number of streams that each name the SSRC they expect.

use std::collections::HashMap;
use std::net::SocketAddr;

use crate::rtp;

/// Two streams would want the same datagrams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Claimed;

#[derive(Debug)]
enum Claim {
    Alone(u32),
    BySsrc(HashMap<u32, u32>),
}

/// The claims on one socket.
#[derive(Debug, Default)]
pub(super) struct Demux(HashMap<SocketAddr, Claim>);

impl Demux {
    /// Gives the stream in `slot` what comes from `address`, or of that only what carries `ssrc`.
    pub(super) fn claim(&mut self, address: SocketAddr, ssrc: Option<u32>, slot: u32) -> Result<(), Claimed> {
        match (self.0.get_mut(&address), ssrc) {
            (None, None) => {
                self.0.insert(address, Claim::Alone(slot));
                Ok(())
            }
            (None, Some(ssrc)) => {
                self.0.insert(address, Claim::BySsrc(HashMap::from([(ssrc, slot)])));
                Ok(())
            }
            (Some(Claim::BySsrc(streams)), Some(ssrc)) if !streams.contains_key(&ssrc) => {
                streams.insert(ssrc, slot);
                Ok(())
            }
            (Some(_), _) => Err(Claimed),
        }
    }

    /// Takes a claim back.
    pub(super) fn release(&mut self, address: SocketAddr, ssrc: Option<u32>) {
        let empty = match (self.0.get_mut(&address), ssrc) {
            (Some(Claim::Alone(_)), None) => true,
            (Some(Claim::BySsrc(streams)), Some(ssrc)) => {
                streams.remove(&ssrc);
                streams.is_empty()
            }
            (Some(_), _) | (None, _) => false,
        };
        if empty {
            self.0.remove(&address);
        }
    }

    /// The slot of the stream that claims this datagram.
    pub(super) fn find(&self, datagram: &[u8], rtcp: bool, from: SocketAddr) -> Option<usize> {
        let slot = match self.0.get(&from)? {
            Claim::Alone(slot) => *slot,
            Claim::BySsrc(streams) => *streams.get(&sender(datagram, rtcp)?)?,
        };
        Some(slot as usize)
    }
}

/// Who sent a packet, by its own words: RTP at byte 8 (RFC 3550 section 5.1), RTCP at byte 4 (section 6.4).
fn sender(datagram: &[u8], is_rtcp: bool) -> Option<u32> {
    if is_rtcp {
        return datagram.get(4..8)?.first_chunk().map(|bytes| u32::from_be_bytes(*bytes));
    }
    (datagram.len() >= rtp::HEADER_LEN).then(|| rtp::ssrc(datagram))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(ssrc: u32) -> [u8; 12] {
        let mut packet = [0x80; 12];
        packet[8..].copy_from_slice(&ssrc.to_be_bytes());
        packet
    }

    #[test]
    fn streams_are_told_apart_by_address_and_ssrc_and_nothing_else_is_let_in() {
        let (a, b): (SocketAddr, SocketAddr) =
            ("127.0.0.1:4000".parse().unwrap(), "127.0.0.1:4002".parse().unwrap());
        let mut demux = Demux::default();
        demux.claim(a, Some(7), 0).unwrap();
        demux.claim(a, Some(8), 1).unwrap();
        demux.claim(b, None, 2).unwrap();
        assert_eq!(demux.find(&packet(7), false, a), Some(0));
        assert_eq!(demux.find(&packet(8), false, a), Some(1));
        assert_eq!(demux.find(&packet(9), false, a), None);
        assert_eq!(demux.find(&packet(9), false, b), Some(2));
        assert_eq!(demux.find(&packet(7), false, "127.0.0.1:4001".parse().unwrap()), None);
        assert_eq!(demux.find(&[0x80; 11], false, a), None);
        // RTCP names its sender in its second word.
        assert_eq!(demux.find(&[0x80, 200, 0, 1, 0, 0, 0, 8], true, a), Some(1));
        assert_eq!(demux.find(&[0x80, 200, 0, 1, 0, 0, 0], true, a), None);
    }

    #[test]
    fn an_address_is_claimed_alone_or_by_ssrc_and_never_both() {
        let a: SocketAddr = "127.0.0.1:4000".parse().unwrap();
        let mut demux = Demux::default();
        demux.claim(a, Some(7), 0).unwrap();
        assert_eq!(demux.claim(a, Some(7), 1), Err(Claimed));
        assert_eq!(demux.claim(a, None, 1), Err(Claimed));
        // Somebody else's claim is not taken back.
        demux.release(a, None);
        demux.release(a, Some(9));
        assert_eq!(demux.find(&packet(7), false, a), Some(0));
        demux.release(a, Some(7));
        demux.claim(a, None, 1).unwrap();
        assert_eq!(demux.claim(a, Some(7), 2), Err(Claimed));
        demux.release(a, None);
        assert!(demux.0.is_empty());
    }
}
