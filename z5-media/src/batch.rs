//! Many datagrams in one system call: recvmmsg and sendmmsg (with segmentation offload) on Linux, one call
//! each elsewhere.
//!
//! This, `engine/priority.rs`, `engine/limits.rs`, `prefetch.rs` and `srtp/gcm.rs` are the only files of the crate with `unsafe`. It
//! knows nothing of RTP.

#[cfg(target_os = "linux")]
#[expect(unsafe_code, reason = "recvmmsg and sendmmsg have no safe form; see the SAFETY comments")]
mod linux;
#[cfg(any(test, not(target_os = "linux")))]
mod portable;

use std::io;
use std::net::SocketAddr;

#[cfg(target_os = "linux")]
pub use linux::Socket;
#[cfg(target_os = "linux")]
pub(crate) use linux::tell_while_readable;
#[cfg(target_os = "linux")]
use linux::{coalesce, receive, send};
#[cfg(not(target_os = "linux"))]
pub use portable::Socket;
#[cfg(not(target_os = "linux"))]
use portable::{coalesce, receive, send};

/// Bytes of a slot; a datagram that fills one may have been cut off.
pub const SLOT: usize = 2048;
/// Datagrams of one system call at most.
pub const MAX_BATCH: usize = 64;
/// Bytes of a slot that takes what the system coalesced. Not a power of two, so that the beginnings of slots do not meet
/// in the same lines of the cache.
const WIDE_SLOT: usize = 65_536 + 320;
/// Datagrams the system makes one of at most (`UDP_GRO_CNT_MAX` and `UDP_MAX_SEGMENTS` of Linux are 64 and 128).
const MAX_COALESCED: usize = 128;

/// Where a datagram lies.
#[derive(Debug, Clone, Copy)]
struct Piece {
    start: usize,
    len: usize,
    /// Whom it came from, or goes to.
    address: SocketAddr,
}

/// Slots for datagrams, allocated once.
#[derive(Debug)]
pub struct Batch {
    arena: Vec<u8>,
    /// Bytes of a slot.
    slot: usize,
    /// The datagrams held, in the order of the arena.
    filled: Vec<Piece>,
    capacity: usize,
}

impl Batch {
    /// Room for `capacity` datagrams, 1 to [`MAX_BATCH`].
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        let capacity = capacity.clamp(1, MAX_BATCH);
        Self { arena: vec![0; SLOT * capacity], slot: SLOT, filled: Vec::with_capacity(capacity), capacity }
    }

    /// Room for `capacity` messages of a socket that [coalesces](Self::coalesce), each of many datagrams. Memory is used
    /// as far as messages reach only.
    #[must_use]
    pub fn wide(capacity: usize) -> Self {
        let capacity = capacity.clamp(1, MAX_BATCH);
        let filled = Vec::with_capacity(capacity * MAX_COALESCED);
        Self { arena: vec![0; WIDE_SLOT * capacity], slot: WIDE_SLOT, filled, capacity }
    }

    /// Asks the system to hand over datagrams of one length from one address as one (UDP_GRO, udp(7)). A socket asked so
    /// must be read by a [wide](Self::wide) batch. Returns `false` where there is no such thing.
    pub fn coalesce(socket: &impl Socket) -> bool {
        coalesce(socket)
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
        self.filled.len() >= self.capacity
    }

    /// Forgets the datagrams.
    pub fn clear(&mut self) {
        self.filled.clear();
    }

    /// The datagrams and where they came from (or go to).
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (&mut [u8], SocketAddr)> {
        let (mut rest, mut at) = (&mut self.arena[..], 0);
        self.filled.iter().map(move |piece| {
            let (_, tail) = std::mem::take(&mut rest).split_at_mut(piece.start - at);
            let (datagram, tail) = tail.split_at_mut(piece.len);
            (rest, at) = (tail, piece.start + piece.len);
            (datagram, piece.address)
        })
    }

    /// A free slot to be filled, and closed by [`commit`](Self::commit); `None` when the batch is full.
    pub fn free_slot(&mut self) -> Option<&mut [u8; SLOT]> {
        if self.is_full() {
            return None;
        }
        self.arena.get_mut(self.filled.len() * self.slot..)?.first_chunk_mut()
    }

    /// Closes the slot last given: its first `len` bytes go to `to`.
    pub fn commit(&mut self, len: usize, to: SocketAddr) {
        if !self.is_full() {
            let start = self.filled.len() * self.slot;
            self.filled.push(Piece { start, len: len.min(SLOT), address: to });
        }
    }

    /// Replaces the content by what waits at `socket`, at most `limit` messages; returns how many there were. A message is a
    /// datagram, or on a socket that coalesces a run of them. Fewer than asked for means that nothing more waits.
    ///
    /// # Errors
    /// `WouldBlock` when nothing waits; what the system says otherwise.
    pub fn receive(&mut self, socket: &impl Socket, limit: usize) -> io::Result<usize> {
        self.filled.clear();
        receive(socket, &mut self.arena, self.slot, limit.min(self.capacity), &mut self.filled)
    }

    /// Replaces the content by one datagram that `take` writes into a slot, saying how long it is and whom it came from.
    ///
    /// # Errors
    /// What `take` says.
    pub fn receive_one(
        &mut self,
        take: impl FnOnce(&mut [u8]) -> io::Result<(usize, SocketAddr)>,
    ) -> io::Result<usize> {
        self.filled.clear();
        let (len, address) = take(&mut self.arena[..self.slot])?;
        self.filled.push(Piece { start: 0, len: len.min(self.slot), address });
        Ok(1)
    }

    /// Sends every datagram and clears the batch. Returns how many the system refused.
    pub fn send(&mut self, socket: &impl Socket) -> usize {
        let mut count = 0;
        self.send_each(socket, |_| count += 1);
        count
    }

    /// The same, telling the number of each datagram the system refused.
    pub fn send_each(&mut self, socket: &impl Socket, mut refused: impl FnMut(usize)) {
        send(socket, &self.arena, &self.filled, &mut refused);
        self.filled.clear();
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, UdpSocket};

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

    /// What other systems than Linux run, on this one.
    #[test]
    fn the_portable_calls_do_the_same() {
        let (a, b) = (UdpSocket::bind("127.0.0.1:0").unwrap(), UdpSocket::bind("127.0.0.1:0").unwrap());
        b.set_nonblocking(true).unwrap();
        let (to, from) = (b.local_addr().unwrap(), a.local_addr().unwrap());
        let (mut arena, mut filled) = (vec![0; 8 * SLOT], Vec::new());
        let error = portable::receive(&b, &mut arena, SLOT, 8, &mut filled).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
        let mut out: Vec<Piece> = (0..8)
            .map(|n| {
                arena[n * SLOT..n * SLOT + 10 * n].fill(n as u8);
                Piece { start: n * SLOT, len: 10 * n, address: to }
            })
            .collect();
        // An address of the other family cannot be sent to from this socket.
        out[3].address = "[::1]:9".parse().unwrap();
        let mut refused = Vec::new();
        portable::send(&a, &arena, &out, &mut |n| refused.push(n));
        assert_eq!(refused, [3]);
        arena.fill(0xff);
        assert_eq!(portable::receive(&b, &mut arena, SLOT, 5, &mut filled).unwrap(), 5);
        assert_eq!(filled.iter().map(|piece| piece.len).collect::<Vec<_>>(), [0, 10, 20, 40, 50]);
        for piece in &filled {
            let datagram = &arena[piece.start..piece.start + piece.len];
            assert!(datagram.iter().all(|byte| usize::from(*byte) * 10 == piece.len), "{datagram:?}");
            assert_eq!(piece.address, from);
        }
        filled.clear();
        assert_eq!(portable::receive(&b, &mut arena, SLOT, 5, &mut filled).unwrap(), 2);
        assert!(!portable::coalesce(&b));
    }

    /// A socket that answers as told, then has nothing; `None` is what Windows says of a closed port at the far end.
    struct Told<'a>(std::cell::RefCell<std::slice::Iter<'a, Option<u8>>>);

    impl portable::Socket for Told<'_> {
        fn take(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
            match self.0.borrow_mut().next() {
                Some(Some(byte)) => {
                    buffer[0] = *byte;
                    Ok((1, SocketAddr::from((Ipv4Addr::LOCALHOST, 9))))
                }
                Some(None) => Err(io::ErrorKind::ConnectionReset.into()),
                None => Err(io::ErrorKind::WouldBlock.into()),
            }
        }

        fn give(&self, _buffer: &[u8], _to: SocketAddr) -> io::Result<usize> {
            Err(io::ErrorKind::ConnectionReset.into())
        }
    }

    #[test]
    fn an_error_among_datagrams_hides_none_of_them_and_only_an_empty_socket_ends_a_read() {
        let (mut arena, mut filled) = (vec![0; 4 * SLOT], Vec::new());
        let mut read = |answers: &[Option<u8>]| {
            filled.clear();
            let socket = Told(answers.iter().into());
            let got = portable::receive(&socket, &mut arena, SLOT, 4, &mut filled);
            let bytes: Vec<u8> = filled.iter().map(|piece: &Piece| arena[piece.start]).collect();
            (got.map_err(|error| error.kind()), bytes)
        };
        assert_eq!(read(&[Some(1), None, Some(2)]), (Ok(3), vec![1, 2]), "fewer than asked for: it is empty");
        assert_eq!(read(&[None, None, Some(1), None]), (Ok(4), vec![1]), "more may wait");
        assert_eq!(read(&[None]), (Ok(1), vec![]), "an error, and nothing else");
        assert_eq!(read(&[None; 4]), (Err(io::ErrorKind::ConnectionReset), vec![]), "more may wait");
        assert_eq!(read(&[]), (Err(io::ErrorKind::WouldBlock), vec![]));
    }

    #[test]
    fn a_wide_batch_takes_apart_what_the_system_put_together() {
        let (a, b) = (UdpSocket::bind("127.0.0.1:0").unwrap(), UdpSocket::bind("127.0.0.1:0").unwrap());
        b.set_nonblocking(true).unwrap();
        let coalesces = Batch::coalesce(&b);
        let mut outbox = Batch::new(MAX_BATCH);
        let lens: Vec<usize> = [188; 30].into_iter().chain([100, 1200, 1200, 7]).collect();
        for (n, len) in lens.iter().enumerate() {
            outbox.free_slot().unwrap()[..*len].fill(n as u8);
            outbox.commit(*len, b.local_addr().unwrap());
        }
        assert_eq!(outbox.send(&a), 0);
        let mut inbox = Batch::wide(MAX_BATCH);
        let messages = inbox.receive(&b, MAX_BATCH).unwrap();
        assert!(if coalesces { messages < lens.len() } else { messages == lens.len() }, "{messages}");
        assert_eq!(inbox.len(), lens.len());
        for ((n, len), (datagram, from)) in lens.iter().enumerate().zip(inbox.iter_mut()) {
            assert_eq!((&*datagram, from), (&vec![n as u8; *len][..], a.local_addr().unwrap()));
        }
        assert_eq!(inbox.receive(&b, MAX_BATCH).unwrap_err().kind(), io::ErrorKind::WouldBlock);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_socket_told_of_by_levels_is_told_of_until_it_is_empty() {
        let mut poll = mio::Poll::new().unwrap();
        let mut socket = mio::net::UdpSocket::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        poll.registry().register(&mut socket, mio::Token(7), mio::Interest::READABLE).unwrap();
        tell_while_readable(poll.registry(), &socket, 7).unwrap();
        let far = UdpSocket::bind("127.0.0.1:0").unwrap();
        let to = socket.local_addr().unwrap();
        (1..=3_u8).for_each(|n| assert_eq!(far.send_to(&[n], to).unwrap(), 1));
        let (mut events, mut batch) = (mio::Events::with_capacity(4), Batch::new(1));
        let mut read = Vec::new();
        loop {
            poll.poll(&mut events, Some(std::time::Duration::ZERO)).unwrap();
            let Some(event) = events.iter().next() else { break };
            assert_eq!(event.token(), mio::Token(7));
            assert_eq!(batch.receive_one(|room| socket.recv_from(room)).unwrap(), 1);
            read.extend(batch.iter_mut().map(|(datagram, from)| (datagram.to_vec(), from)));
        }
        let from = far.local_addr().unwrap();
        assert_eq!(read, [1, 2, 3].map(|n| (vec![n], from)));
        let error = batch.receive_one(|room| socket.recv_from(room)).unwrap_err();
        assert!(error.kind() == io::ErrorKind::WouldBlock && batch.is_empty());
        poll.registry().deregister(&mut socket).unwrap();
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
