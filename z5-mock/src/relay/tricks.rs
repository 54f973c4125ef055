//! What a hostile or clumsy network does to the media a caller receives: forged, replayed, moved and spoiled packets.

use std::net::SocketAddr;

use super::Side;
use super::path::{Outlet, Port};
use crate::fault::{Fault, Faults};

/// Packets after which the relay moves: a second of audio.
const MOVES_AFTER: u64 = 50;
/// The first packet is replayed with every so many.
const REPLAY_EACH: u64 = 10;
/// Fields of an RTP header (RFC 3550 section 5.1).
const SEQUENCE: std::ops::Range<usize> = 2..4;
const TIMESTAMP: std::ops::Range<usize> = 4..8;
const SSRC: std::ops::Range<usize> = 8..12;
/// A dynamic payload type that nobody negotiates.
const FOREIGN_PAYLOAD: u8 = 125;
/// How many bytes a truncated packet has: less than a header.
const TRUNCATED: usize = 7;
/// What a stream that begins anew differs by.
const ANEW: u8 = 0x3c;
/// What forged packets are made of.
const FORGED: u8 = 0x2a;

/// The memory of one direction of a media line.
#[derive(Default)]
pub(super) struct Tricks {
    sent: u64,
    first: Vec<u8>,
}

impl Tricks {
    /// Sends an RTP packet, and what the armed faults make of it. Each packet is an occasion.
    pub(super) fn send(
        &mut self,
        faults: &Faults,
        out: &mut impl Outlet,
        mut packet: Vec<u8>,
        to: SocketAddr,
    ) -> bool {
        const HERE: Port = Port::Facing(Side::Caller);
        self.sent += 1;
        if self.first.is_empty() {
            self.first.clone_from(&packet);
        }
        let whole = packet.len() > SSRC.end;
        if faults.strikes(Fault::SpoofedMedia) && whole {
            // Forgeries that are lost harm nobody.
            let _ = out.send(Port::Other, &forged(&packet), to);
        }
        // Of two sources at one address nobody can tell in the clear which is the right one but by which came first: the real one.
        let foreign = (faults.strikes(Fault::ForeignSource) && whole).then(|| forged(&packet));
        if faults.strikes(Fault::ReplayedMedia) && self.sent.is_multiple_of(REPLAY_EACH) {
            let _ = out.send(HERE, &self.first, to);
        }
        if faults.strikes(Fault::WrongPayload) && whole {
            packet[1] = (packet[1] & 0x80) | FOREIGN_PAYLOAD;
        }
        if faults.strikes(Fault::MediaReset) && self.sent > MOVES_AFTER && whole {
            for field in [SEQUENCE, TIMESTAMP, SSRC] {
                packet[field].iter_mut().for_each(|byte| *byte ^= ANEW);
            }
        }
        if faults.strikes(Fault::MediaGarbage) {
            packet.fill(FORGED);
        }
        if faults.strikes(Fault::MediaTruncated) {
            packet.truncate(TRUNCATED);
        }
        if faults.strikes(Fault::RelayMoves) && self.sent > MOVES_AFTER {
            return out.send(Port::Other, &packet, to);
        }
        let sent = out.send(HERE, &packet, to);
        if let Some(foreign) = foreign {
            let _ = out.send(HERE, &foreign, to);
        }
        sent
    }
}

/// The same packet as from somebody else.
fn forged(packet: &[u8]) -> Vec<u8> {
    let mut forged = packet.to_vec();
    forged[SSRC].iter_mut().for_each(|byte| *byte ^= 0x5a);
    forged[SSRC.end..].fill(FORGED);
    forged
}
