//! The sessions of the designs that use this crate, and packets sealed for them.

use z5_media::jitter::ReorderBuffer;
use z5_media::rtp::{HEADER_LEN, Header, Packet, Reception};
use z5_media::srtp::{Receiver, Sender, SrtpParams, SrtpSuite};

/// The suite compared.
pub(crate) const SUITE: SrtpSuite = SrtpSuite::AeadAes128Gcm;

/// One call's state.
pub(crate) struct Call {
    sender: Sender,
    receiver: Receiver,
    reception: Option<Reception>,
    buffer: ReorderBuffer,
    sequence: u16,
}

/// Keys of every call.
pub(crate) fn params() -> SrtpParams {
    let key: Vec<u8> = (0..SUITE.key_and_salt_len() as u8).collect();
    SrtpParams::new(SUITE, &key, &key).expect("the suite's own length")
}

impl Call {
    /// A call that has seen nothing.
    pub(crate) fn new() -> Self {
        let (sender, receiver) = params().contexts().expect("keys");
        Self { sender, receiver, reception: None, buffer: ReorderBuffer::default(), sequence: 0 }
    }

    /// Unprotects, parses, reorders, and seals the packet that is next into `out`. Returns its length.
    pub(crate) fn echo(&mut self, datagram: &mut [u8], out: &mut [u8]) -> Option<usize> {
        let len = self.receiver.unprotect_rtp(datagram).ok()?;
        let packet = Packet::parse(&datagram[..len]).ok()?;
        let reception = self.reception.get_or_insert_with(|| Reception::new(8000, packet.sequence));
        let at = super::now();
        let sequence = reception.accept(packet.sequence, packet.timestamp, at).ok()?.sequence;
        self.buffer.insert(sequence, u64::from(packet.timestamp), 160, packet.payload).ok()?;
        let head = self.buffer.head()?;
        let len = HEADER_LEN + head.payload.len();
        out[HEADER_LEN..len].copy_from_slice(head.payload);
        self.buffer.take_head();
        let header = Header {
            payload_type: packet.payload_type,
            marker: false,
            sequence: self.sequence,
            timestamp: packet.timestamp,
            ssrc: 99,
        };
        self.sequence = self.sequence.wrapping_add(1);
        header.write(out.first_chunk_mut()?);
        self.sender.protect_rtp(out, len).ok()
    }
}

/// Packets of all calls in the order they are sent: each call's n-th packet after each other.
pub(crate) fn seal(calls: usize, size: usize, rounds: usize) -> Vec<Vec<u8>> {
    let mut senders: Vec<Sender> = (0..calls).map(|_| params().contexts().expect("keys").0).collect();
    let mut wires = Vec::with_capacity(calls * rounds);
    for round in 0..rounds {
        for (call, sender) in senders.iter_mut().enumerate() {
            let mut wire = vec![0x55; size + SrtpSuite::MAX_OVERHEAD];
            let header = Header {
                payload_type: 0,
                marker: false,
                sequence: round as u16,
                timestamp: round as u32 * 160,
                ssrc: call as u32,
            };
            header.write(wire.first_chunk_mut().expect("long enough"));
            let len = sender.protect_rtp(&mut wire, size).expect("room");
            wire.truncate(len);
            wires.push(wire);
        }
    }
    wires
}
