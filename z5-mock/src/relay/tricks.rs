//! What a hostile or clumsy network does to the media a caller receives: forged, replayed and moved packets.

use std::net::SocketAddr;

use tokio::net::UdpSocket;

use crate::fault::{Fault, Faults};

/// Packets after which the relay moves: a second of audio.
const MOVES_AFTER: u64 = 50;
/// The first packet is replayed with every so many.
const REPLAY_EACH: u64 = 10;
/// Where the synchronisation source stands in an RTP header (RFC 3550 section 5.1).
const SSRC: std::ops::Range<usize> = 8..12;

/// The memory of one direction of a media line.
#[derive(Default)]
pub(super) struct Tricks {
    sent: u64,
    first: Vec<u8>,
    other: Option<std::net::UdpSocket>,
}

impl Tricks {
    /// Sends an RTP packet, and what the armed faults add to it.
    pub(super) fn send(
        &mut self,
        faults: &Faults,
        socket: &UdpSocket,
        packet: &[u8],
        to: SocketAddr,
    ) -> bool {
        self.sent += 1;
        if self.first.is_empty() {
            self.first = packet.to_vec();
        }
        let moved = self.sent > MOVES_AFTER && faults.is_armed(Fault::RelayMoves);
        if faults.is_armed(Fault::SpoofedMedia) && packet.len() > SSRC.end {
            let mut forged = packet.to_vec();
            forged[SSRC].iter_mut().for_each(|byte| *byte ^= 0x5a);
            forged[SSRC.end..].fill(0x2a);
            // Forgeries that are lost harm nobody.
            let _ = self.other(socket).map(|other| other.send_to(&forged, to));
        }
        if self.sent.is_multiple_of(REPLAY_EACH) && faults.is_armed(Fault::ReplayedMedia) {
            let _ = socket.try_send_to(&self.first, to);
        }
        if moved {
            return self.other(socket).is_some_and(|other| other.send_to(packet, to).is_ok());
        }
        socket.try_send_to(packet, to).is_ok()
    }

    /// A socket on another port of the same address; it does not block and is only sent from.
    fn other(&mut self, socket: &UdpSocket) -> Option<&std::net::UdpSocket> {
        if self.other.is_none() {
            let address = socket.local_addr().ok()?.ip();
            let other = std::net::UdpSocket::bind(SocketAddr::new(address, 0)).ok()?;
            other.set_nonblocking(true).ok()?;
            self.other = Some(other);
        }
        self.other.as_ref()
    }
}
