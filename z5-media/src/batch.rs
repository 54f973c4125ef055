//! Many datagrams in one system call: recvmmsg and sendmmsg (with segmentation offload) on Linux, one call
//! each elsewhere.
//!
//! This and `engine/priority.rs` are the only files of the crate with `unsafe`. It knows nothing of RTP.

#[cfg(target_os = "linux")]
#[expect(unsafe_code, reason = "recvmmsg and sendmmsg have no safe form; see the SAFETY comments")]
mod linux;
#[cfg(not(target_os = "linux"))]
mod portable;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};

#[cfg(target_os = "linux")]
use linux::{Socket, receive, send};
#[cfg(not(target_os = "linux"))]
use portable::{Socket, receive, send};

/// Bytes of a slot; a datagram that fills one may have been cut off.
pub const SLOT: usize = 2048;
/// Datagrams of one system call at most.
pub const MAX_BATCH: usize = 64;

/// Slots for datagrams, allocated once.
#[derive(Debug)]
pub struct Batch {
    slots: Vec<[u8; SLOT]>,
    /// Length and address of each filled slot.
    filled: Vec<(usize, SocketAddr)>,
    capacity: usize,
}

impl Batch {
    /// Room for `capacity` datagrams, 1 to [`MAX_BATCH`].
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        let capacity = capacity.clamp(1, MAX_BATCH);
        Self { slots: vec![[0; SLOT]; capacity], filled: Vec::with_capacity(capacity), capacity }
    }

    /// Datagrams held.
    #[must_use]
    pub fn len(&self) -> usize {
        self.filled.len()
    }

    /// No datagram is held.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.filled.is_empty()
    }

    /// No room is left.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.filled.len() == self.capacity
    }

    /// Forgets the datagrams.
    pub fn clear(&mut self) {
        self.filled.clear();
    }

    /// The datagrams and where they came from (or go to).
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (&mut [u8], SocketAddr)> {
        self.slots.iter_mut().zip(&self.filled).map(|(slot, (len, address))| (&mut slot[..*len], *address))
    }

    /// A free slot to be filled, and closed by [`commit`](Self::commit); `None` when the batch is full.
    pub fn free_slot(&mut self) -> Option<&mut [u8; SLOT]> {
        self.slots.get_mut(self.filled.len())
    }

    /// Closes the slot last given: its first `len` bytes go to `to`.
    pub fn commit(&mut self, len: usize, to: SocketAddr) {
        if !self.is_full() {
            self.filled.push((len.min(SLOT), to));
        }
    }

    /// Replaces the content by what waits at `socket`, at most `limit` datagrams. Fewer than asked for means that
    /// nothing more waits.
    ///
    /// # Errors
    /// `WouldBlock` when nothing waits; what the system says otherwise.
    pub fn receive(&mut self, socket: &impl Socket, limit: usize) -> io::Result<usize> {
        self.filled.clear();
        let limit = limit.min(self.capacity);
        receive(socket, &mut self.slots[..limit], &mut self.filled)?;
        Ok(self.filled.len())
    }

    /// Sends every datagram and clears the batch. Returns how many the system refused.
    pub fn send(&mut self, socket: &impl Socket) -> usize {
        let refused = send(socket, &self.slots, &self.filled);
        self.filled.clear();
        refused
    }
}

/// Address of a slot whose sender the system did not name.
const NOWHERE: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;

    use super::*;

    fn exchange(local: &str) {
        let (a, b) = (UdpSocket::bind(local).unwrap(), UdpSocket::bind(local).unwrap());
        b.set_nonblocking(true).unwrap();
        let mut batch = Batch::new(8);
        let error = batch.receive(&b, 8).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
        for n in 0..8_u8 {
            let slot = batch.free_slot().unwrap();
            slot[..usize::from(n)].fill(n);
            batch.commit(usize::from(n), b.local_addr().unwrap());
        }
        assert!(batch.is_full() && batch.free_slot().is_none());
        assert_eq!(batch.send(&a), 0);
        assert!(batch.is_empty());
        assert_eq!(batch.receive(&b, 5).unwrap(), 5);
        for (n, (datagram, from)) in batch.iter_mut().enumerate() {
            assert_eq!((&*datagram, from), (&vec![n as u8; n][..], a.local_addr().unwrap()));
        }
        assert_eq!(batch.receive(&b, 8).unwrap(), 3);
        assert_eq!(batch.iter_mut().next().unwrap().0, [5; 5]);
        assert!(batch.receive(&b, 8).is_err());
    }

    #[test]
    fn a_batch_passes_over_both_address_families() {
        exchange("127.0.0.1:0");
        exchange("[::1]:0");
    }

    #[test]
    fn datagrams_of_one_picture_arrive_apart_and_whole() {
        let (a, b) = (UdpSocket::bind("127.0.0.1:0").unwrap(), UdpSocket::bind("127.0.0.1:0").unwrap());
        b.set_nonblocking(true).unwrap();
        let mut batch = Batch::new(MAX_BATCH);
        let lens: Vec<usize> = [1200; 20].into_iter().chain([700, 700, 33, 1200, 1200]).collect();
        for (n, len) in lens.iter().enumerate() {
            batch.free_slot().unwrap()[..*len].fill(n as u8);
            batch.commit(*len, b.local_addr().unwrap());
        }
        assert_eq!(batch.send(&a), 0);
        assert_eq!(batch.receive(&b, MAX_BATCH).unwrap(), lens.len());
        for ((n, len), (datagram, _)) in lens.iter().enumerate().zip(batch.iter_mut()) {
            assert_eq!(datagram, vec![n as u8; *len]);
        }
    }

    #[test]
    fn a_refused_datagram_does_not_stop_the_others() {
        let (a, b) = (UdpSocket::bind("127.0.0.1:0").unwrap(), UdpSocket::bind("127.0.0.1:0").unwrap());
        b.set_nonblocking(true).unwrap();
        let mut batch = Batch::new(3);
        // An address of the other family cannot be sent to from this socket.
        let targets = [b.local_addr().unwrap(), "[::1]:9".parse().unwrap(), b.local_addr().unwrap()];
        for to in targets {
            batch.commit(4, to);
        }
        assert_eq!(batch.send(&a), 1);
        assert_eq!(batch.receive(&b, 3).unwrap(), 2);
    }
}
