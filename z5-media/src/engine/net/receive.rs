//! What comes: sockets that are ready take turns, a bounded number of datagrams each; those of a shared socket are dealt out.

use std::io;
use std::net::SocketAddr;
use std::time::Instant;

use super::send::transmit;
use super::stream::{Feed, Sockets, Taken};
use super::{DATAGRAMS_PER_SOCKET, DATAGRAMS_PER_TURN, FIRST_BATCH, LEVELS, Net, RECEIVE_BATCH, SHARED};
use crate::batch::MAX_BATCH;
use crate::rtp;
use crate::stats::DropReason;

impl Net {
    /// Whether a socket waits in the ready queue; none when there never was such a socket.
    fn queued(&mut self, socket: usize) -> Option<&mut bool> {
        match socket.checked_sub(SHARED) {
            Some(shared) => Some(&mut self.sharing.get_mut(shared / 2)?.queued[socket % 2]),
            None => self.queued.get_mut(socket),
        }
    }

    /// Puts a socket (two per slot, then two per shared pair) into the ready queue once.
    pub(super) fn queue(&mut self, socket: usize) {
        if let Some(queued) = self.queued(socket)
            && !std::mem::replace(queued, true)
        {
            self.ready.push_back(socket);
        }
    }

    /// Takes the next socket out of the ready queue, and asks for the memory of the ones after it.
    fn next_ready(&mut self) -> Option<usize> {
        let socket = self.ready.pop_front()?;
        if let Some(queued) = self.queued(socket) {
            *queued = false;
        }
        if let Some(stream) = self.ready.get(1).and_then(|after| self.at(after / 2)) {
            stream.prefetch();
        }
        if let Some(stream) = self.ready.front().and_then(|next| self.at(next / 2)) {
            stream.session.prefetch_opening();
        }
        Some(socket)
    }

    /// Takes datagrams from ready sockets, a bounded number; returns how many.
    pub(super) fn receive(&mut self, now: Instant) -> usize {
        let mut taken = 0;
        while taken < DATAGRAMS_PER_TURN {
            let Some(socket) = self.next_ready() else { break };
            let (more, count) = if socket >= SHARED {
                self.drain_shared(socket - SHARED, DATAGRAMS_PER_TURN - taken, now)
            } else {
                self.drain(socket, (DATAGRAMS_PER_TURN - taken).min(DATAGRAMS_PER_SOCKET), now)
            };
            taken += count;
            if more {
                self.queue(socket);
            }
        }
        self.behind = !self.ready.is_empty();
        taken
    }

    /// Takes at most `share` datagrams of one socket; returns whether more may wait, and how many there were.
    fn drain(&mut self, socket: usize, share: usize, now: Instant) -> (bool, usize) {
        let Some(Some(stream)) = self.streams.get_mut(socket / 2) else { return (false, 0) };
        let (mut sum, mut taken, mut more) = (Taken::default(), 0, true);
        // Most often one waits, and to ask for many costs more than to ask again.
        let single = LEVELS && !stream.gives_many(now) && !self.behind;
        let mut wanted = if single { 1 } else { FIRST_BATCH };
        while taken < share {
            wanted = wanted.min(share - taken);
            let Sockets::Own { rtp, rtcp } = &stream.sockets else { return (false, 0) };
            let source = if socket.is_multiple_of(2) { rtp } else { rtcp };
            let received = if single {
                self.inbox.receive_one(|room| source.recv_from(room))
            } else {
                self.inbox.receive(source, wanted)
            };
            let got = match received {
                Ok(got) => got,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    more = false;
                    break;
                }
                // Some systems tell errors of earlier sends here; the next read goes on.
                Err(_) => {
                    taken += 1;
                    continue;
                }
            };
            taken += got;
            for (datagram, from) in self.inbox.iter_mut() {
                let taken = stream.take(datagram, from, socket % 2, (now, self.epoch), &self.events);
                sum.woke |= taken.woke;
                sum.asked |= taken.asked;
            }
            if single || got < wanted {
                // Nothing more waits, or it will be told; asking again would cost a system call to hear it.
                more = false;
                break;
            }
            wanted = RECEIVE_BATCH;
        }
        self.follow(socket / 2, sum, now);
        (more, taken)
    }

    /// Takes at most about `share` datagrams of a shared socket and deals them out.
    fn drain_shared(&mut self, socket: usize, share: usize, now: Instant) -> (bool, usize) {
        let (index, end) = (socket / 2, socket % 2);
        let Some(mut inbox) = self.wide.take() else { return (false, 0) };
        let (mut taken, mut more) = (0, true);
        while taken < share {
            let Some(sharing) = self.sharing.get(index) else { break };
            match inbox.receive(&sharing.sockets[end], MAX_BATCH) {
                Ok(got) => more = got == MAX_BATCH,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    more = false;
                    break;
                }
                Err(_) => {
                    taken += 1;
                    continue;
                }
            }
            taken += inbox.len();
            // Two datagrams ahead: so long does memory take to come. The key is one ahead, as the stream says where it lies.
            let mut datagrams = inbox.iter_mut();
            let [mut next, mut after] =
                [(); 2].map(|()| datagrams.next().map(|next| self.find(index, end, next)));
            while let Some((found, datagram, from)) = next {
                next = after;
                if let Some(stream) = next.as_ref().and_then(|(found, ..)| self.at((*found)?)) {
                    stream.session.prefetch_opening();
                }
                after = datagrams.next().map(|next| self.find(index, end, next));
                self.deal((index, end), found, datagram, from, now);
            }
            if !more {
                break;
            }
        }
        self.wide = Some(inbox);
        (more, taken)
    }

    /// Finds the stream that claims a datagram of a shared socket, and asks for its memory.
    fn find<'d>(
        &self,
        index: usize,
        end: usize,
        (datagram, from): (&'d mut [u8], SocketAddr),
    ) -> (Option<usize>, &'d mut [u8], SocketAddr) {
        let is_rtcp = end == 1 || rtp::is_rtcp(datagram);
        let found =
            self.sharing.get(index).and_then(|sharing| sharing.tables[end].find(datagram, is_rtcp, from));
        if let Some(stream) = found.and_then(|slot| self.at(slot)) {
            stream.prefetch();
        }
        (found, datagram, from)
    }

    /// Gives a datagram of a shared socket to the stream that claims it.
    fn deal(
        &mut self,
        (index, end): (usize, usize),
        found: Option<usize>,
        datagram: &mut [u8],
        from: SocketAddr,
        now: Instant,
    ) {
        let Some((slot, Some(stream))) =
            found.and_then(|slot| Some((slot, self.streams.get_mut(slot)?.as_mut())))
        else {
            if let Some(sharing) = self.sharing.get(index) {
                sharing.drops.count(DropReason::UnknownStream);
            }
            return;
        };
        let taken = stream.take(datagram, from, end, (now, self.epoch), &self.events);
        self.follow(slot, taken, now);
    }

    /// Takes a datagram that was not read from a socket, in simulated time.
    pub(in crate::engine) fn take(&mut self, slot: usize, end: usize, datagram: &mut [u8], from: SocketAddr) {
        let now = self.clock.now();
        let Some(Some(stream)) = self.streams.get_mut(slot) else { return };
        let taken = stream.take(datagram, from, end, (now, self.epoch), &self.events);
        self.follow(slot, taken, now);
    }

    /// What a stream's datagrams made to be done.
    pub(super) fn follow(&mut self, slot: usize, taken: Taken, now: Instant) {
        let Some(Some(stream)) = self.streams.get_mut(slot) else { return };
        if taken.asked {
            while let Some(len) = stream.session.resend(&mut self.buffer[..], now) {
                let to = stream.session.destination();
                transmit(stream, &mut self.sharing, &self.buffer[..len], (to, false), now);
            }
        }
        if taken.woke && matches!(stream.feed, Feed::Worker { wake: true, .. }) {
            // Full: the worker is far behind; it finds the frames at the stream's next announcement or deadline.
            let _ = self.readable.push(slot as u32);
            if let Some(worker) = &self.worker {
                worker.unpark();
            }
        }
        self.arm(slot);
    }
}
