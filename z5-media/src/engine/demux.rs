//! Which stream a datagram on a shared socket belongs to: by the address it came from and its SSRC.
//!
//! The table knows only what streams claimed when they started, so it is bounded by their number and nothing from the
//! network makes it grow. An address is claimed either by one stream alone, whatever SSRC comes from there, or by any
//! number of streams that each name the SSRC they expect.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hash, Hasher};
use std::net::{IpAddr, SocketAddr};

use crate::rtp;

/// Two streams would want the same datagrams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Claimed;

/// The claims on one socket.
#[derive(Debug, Default)]
pub(super) struct Demux {
    alone: HashMap<Place, u32, Seed>,
    /// Flat, so that a datagram costs one look-up.
    by_ssrc: HashMap<(Place, u32), u32, Seed>,
}

impl Demux {
    /// Gives the stream in `slot` what comes from `address`, or of that only what carries `ssrc`.
    pub(super) fn claim(&mut self, address: SocketAddr, ssrc: Option<u32>, slot: u32) -> Result<(), Claimed> {
        let place = Place::from(address);
        if self.alone.contains_key(&place) {
            return Err(Claimed);
        }
        let taken = match ssrc {
            None => self.by_ssrc.keys().any(|(claimed, _)| *claimed == place),
            Some(ssrc) => self.by_ssrc.contains_key(&(place, ssrc)),
        };
        if taken {
            return Err(Claimed);
        }
        match ssrc {
            None => self.alone.insert(place, slot),
            Some(ssrc) => self.by_ssrc.insert((place, ssrc), slot),
        };
        Ok(())
    }

    /// Takes a claim back.
    pub(super) fn release(&mut self, address: SocketAddr, ssrc: Option<u32>) {
        let place = Place::from(address);
        match ssrc {
            None => self.alone.remove(&place),
            Some(ssrc) => self.by_ssrc.remove(&(place, ssrc)),
        };
    }

    /// The slot of the stream that claims this datagram.
    pub(super) fn find(&self, datagram: &[u8], rtcp: bool, from: SocketAddr) -> Option<usize> {
        let place = Place::from(from);
        let alone = if self.alone.is_empty() { None } else { self.alone.get(&place) };
        let slot = match alone {
            Some(slot) => slot,
            None => self.by_ssrc.get(&(place, sender(datagram, rtcp)?))?,
        };
        Some(*slot as usize)
    }
}

/// An address as three words, which are hashed and compared quicker than the many cases of a `SocketAddr`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    ip: [u64; 2],
    /// Port, scope of a link-local address, and family.
    rest: u64,
}

impl From<SocketAddr> for Place {
    fn from(address: SocketAddr) -> Self {
        let (ip, scope, family) = match (address.ip(), address) {
            (IpAddr::V4(ip), _) => (u128::from(u32::from(ip)), 0, 4),
            (IpAddr::V6(ip), SocketAddr::V6(v6)) => (u128::from(ip), v6.scope_id(), 6),
            (IpAddr::V6(ip), SocketAddr::V4(_)) => (u128::from(ip), 0, 6),
        };
        let rest = u64::from(scope) << 32 | u64::from(address.port()) << 8 | family;
        Self { ip: [(ip >> 64) as u64, ip as u64], rest }
    }
}

impl Hash for Place {
    fn hash<H: Hasher>(&self, state: &mut H) {
        [self.ip[0], self.ip[1], self.rest].into_iter().for_each(|word| state.write_u64(word));
    }
}

/// Begins each table's hashes at random.
#[derive(Debug)]
struct Seed(u64);

impl Default for Seed {
    fn default() -> Self {
        Self(RandomState::new().hash_one(0_u64))
    }
}

impl BuildHasher for Seed {
    type Hasher = Mixer;

    fn build_hasher(&self) -> Mixer {
        Mixer(self.0)
    }
}

/// A hash of few words. It need not withstand an adversary: nothing from the network enters a table, and what is in one is
/// bounded.
struct Mixer(u64);

impl Hasher for Mixer {
    fn write_u64(&mut self, word: u64) {
        // Both halves of the product: each bit of the word reaches each bit of the hash.
        let product = u128::from(self.0 ^ word) * 0x9e37_79b9_7f4a_7c15;
        self.0 = ((product >> 64) as u64 ^ (product as u64)).rotate_left(23);
    }

    fn write_u32(&mut self, word: u32) {
        self.write_u64(u64::from(word));
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u64(u64::from(*byte)));
    }

    fn finish(&self) -> u64 {
        self.0
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
    fn the_hash_spreads_addresses_and_sources_that_differ_little() {
        let seed = Seed(1);
        let places = (0..64_u16).map(|n| SocketAddr::from(([127, 0, 0, (n / 8) as u8], 4000 + n % 8)));
        let keys = places.flat_map(|address| (0..64).map(move |ssrc| (Place::from(address), ssrc)));
        let (mut low, mut high) = (vec![0; 256], vec![0; 128]);
        for key in keys {
            let hash = seed.hash_one(key);
            low[hash as usize % 256] += 1;
            high[(hash >> 57) as usize] += 1;
        }
        // Sixteen and thirty-two on average.
        assert!(low.iter().all(|count| (1..=40).contains(count)), "{low:?}");
        assert!(high.iter().all(|count| (8..=64).contains(count)), "{high:?}");
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
        assert!(demux.alone.is_empty() && demux.by_ssrc.is_empty());
    }
}
