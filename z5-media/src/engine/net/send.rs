//! What leaves: frames of the worker, and pre-encoded media when the wheel says so.

use std::net::SocketAddr;
use std::time::Instant;

use super::stream::{Feed, NetStream, Next, Sockets};
use super::{Net, Sharing};
use crate::engine::wheel::Again;

impl Net {
    /// Sends the frames the worker has announced.
    pub(super) fn send(&mut self, now: Instant) {
        while let Ok(slot) = self.sendable.pop() {
            self.send_frames(slot as usize, now);
        }
    }

    pub(super) fn send_frames(&mut self, slot: usize, now: Instant) {
        let Some(Some(stream)) = self.streams.get_mut(slot) else { return };
        match &stream.sockets {
            Sockets::Own { .. } | Sockets::Simulated(_) => {
                loop {
                    if self.outbox.is_full() {
                        stream.flush(&mut self.outbox);
                    }
                    // Full and flushed: there is a free slot.
                    let Some(room) = self.outbox.free_slot() else { break };
                    match stream.next_packet(room, now) {
                        Next::Packet(len) => self.outbox.commit(len, stream.session.destination()),
                        Next::Nothing => {}
                        Next::End => break,
                    }
                }
                stream.flush(&mut self.outbox);
            }
            Sockets::Shared(claim) => {
                let index = claim.place.index;
                loop {
                    let Some(sharing) = self.sharing.get_mut(index) else { return };
                    let Some(room) = sharing.room(&mut self.streams) else { break };
                    let Some(Some(stream)) = self.streams.get_mut(slot) else { return };
                    match stream.next_packet(room, now) {
                        Next::Packet(len) => {
                            let to = stream.session.destination();
                            stream.record_sent(to, 0, &room[..len], now);
                            sharing.commit(len, to, slot);
                        }
                        Next::Nothing => {}
                        Next::End => break,
                    }
                }
            }
        }
        // The first packet and wishes of the worker make a report or feedback due.
        self.arm(slot);
    }

    /// Sends pre-encoded media that is due, or within a millisecond will be; returns how many packets.
    pub(super) fn turn_wheel(&mut self, now: Instant, ahead: bool) -> usize {
        let Some(mut wheel) = self.wheel.take() else { return 0 };
        let mut sent = 0;
        wheel.turn(now, ahead, |slot, id, [next, after], moment| {
            sent += 1;
            if let Some(stream) = after.and_then(|after| self.at(after as usize)) {
                stream.prefetch();
            }
            if let Some(stream) = next.and_then(|next| self.at(next as usize)) {
                stream.session.prefetch_sealing();
            }
            self.send_load(slot as usize, id, now)?;
            self.again(slot as usize, moment)
        });
        self.wheel = Some(wheel);
        sent
    }

    /// When a stream of pre-encoded media sends again after its place at `moment`.
    fn again(&mut self, slot: usize, moment: Instant) -> Option<Again> {
        match &mut self.streams.get_mut(slot)?.as_mut()?.feed {
            Feed::Load(load) => Some(load.again(moment)),
            Feed::Worker { .. } => None,
        }
    }

    /// Sends the next packet of a stream of pre-encoded media; returns in how many milliseconds it sends again, or `None`
    /// when it is gone.
    pub(super) fn send_load(&mut self, slot: usize, id: u32, now: Instant) -> Option<u64> {
        let stream = self.streams.get_mut(slot)?.as_mut().filter(|stream| stream.id.0 as u32 == id)?;
        let Feed::Load(load) = &stream.feed else { return None };
        let ticks = u64::from(load.ptime_ms);
        match &stream.sockets {
            Sockets::Own { .. } | Sockets::Simulated(_) => {
                if let Next::Packet(len) = stream.next_load(&mut self.buffer, now) {
                    let to = stream.session.destination();
                    stream.transmit(&self.buffer[..len], to, false, now);
                }
            }
            Sockets::Shared(claim) => {
                let sharing = self.sharing.get_mut(claim.place.index)?;
                let room = sharing.room(&mut self.streams)?;
                let stream = self.streams.get_mut(slot)?.as_mut()?;
                if let Next::Packet(len) = stream.next_load(room, now) {
                    let to = stream.session.destination();
                    stream.record_sent(to, 0, &room[..len], now);
                    sharing.commit(len, to, slot);
                }
            }
        }
        self.arm(slot);
        Some(ticks)
    }

    /// Sends what was gathered for shared sockets.
    pub(super) fn flush_shared(&mut self) {
        for sharing in &mut self.sharing {
            sharing.flush(&mut self.streams);
        }
    }
}

/// Sends one datagram of a stream at once, RTP or RTCP.
pub(super) fn transmit(
    stream: &mut NetStream,
    sharing: &mut [Sharing],
    datagram: &[u8],
    (to, is_rtcp): (SocketAddr, bool),
    now: Instant,
) {
    match &stream.sockets {
        Sockets::Own { .. } | Sockets::Simulated(_) => stream.transmit(datagram, to, is_rtcp, now),
        Sockets::Shared(claim) => {
            if let Some(sharing) = sharing.get_mut(claim.place.index) {
                sharing.transmit(stream, datagram, to, is_rtcp, now);
            }
        }
    }
}
