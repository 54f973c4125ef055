//! IP packets around payloads: IPv4 (RFC 791) or IPv6 (RFC 8200), UDP (RFC 768) or TCP (RFC 9293), with right check sums.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};

use super::Transport;

/// Bytes of payload in one packet at most; longer ones are cut.
pub(super) const MAX_PAYLOAD: usize = 60_000;
/// TCP flows remembered; beyond that all begin anew.
const MAX_FLOWS: usize = 4096;
const UDP: u8 = 17;
const TCP: u8 = 6;
const UDP_HEAD: usize = 8;
const TCP_HEAD: usize = 20;
/// Flags PSH and ACK.
const PUSH_ACK: u8 = 0x18;
/// Where sequence numbers begin, so that none is zero.
const FIRST_SEQUENCE: u32 = 1;

/// Sequence numbers of the TCP streams seen.
#[derive(Debug, Default)]
pub(super) struct Flows {
    next: HashMap<(SocketAddr, SocketAddr), u32>,
}

impl Flows {
    /// Writes a packet to `out`; `false` when the addresses are of different families.
    pub(super) fn write(
        &mut self,
        transport: Transport,
        from: SocketAddr,
        to: SocketAddr,
        payload: &[u8],
        out: &mut Vec<u8>,
    ) -> bool {
        let payload = &payload[..payload.len().min(MAX_PAYLOAD)];
        let (protocol, head) = match transport {
            Transport::Udp => (UDP, UDP_HEAD),
            Transport::Tcp => (TCP, TCP_HEAD),
        };
        let Some(pseudo) = ip_head(from.ip(), to.ip(), protocol, head + payload.len(), out) else {
            return false;
        };
        let start = out.len();
        out.extend_from_slice(&from.port().to_be_bytes());
        out.extend_from_slice(&to.port().to_be_bytes());
        let sum_at = match transport {
            Transport::Udp => {
                out.extend_from_slice(&((UDP_HEAD + payload.len()) as u16).to_be_bytes());
                out.extend_from_slice(&[0; 2]);
                start + 6
            }
            Transport::Tcp => {
                let (sequence, acknowledged) = self.numbers(from, to, payload.len() as u32);
                out.extend_from_slice(&sequence.to_be_bytes());
                out.extend_from_slice(&acknowledged.to_be_bytes());
                out.extend_from_slice(&[(TCP_HEAD / 4 * 16) as u8, PUSH_ACK, 0xff, 0xff, 0, 0, 0, 0]);
                start + 16
            }
        };
        out.extend_from_slice(payload);
        let sum = checksum(pseudo, &out[start..]);
        // A UDP sum of zero would mean that there is none.
        let sum = if sum == 0 && transport == Transport::Udp { 0xffff } else { sum };
        out[sum_at..sum_at + 2].copy_from_slice(&sum.to_be_bytes());
        true
    }

    /// Sequence and acknowledgement number of a piece of a stream.
    fn numbers(&mut self, from: SocketAddr, to: SocketAddr, len: u32) -> (u32, u32) {
        if self.next.len() >= MAX_FLOWS {
            self.next.clear();
        }
        let acknowledged = self.next.get(&(to, from)).copied().unwrap_or(FIRST_SEQUENCE);
        let next = self.next.entry((from, to)).or_insert(FIRST_SEQUENCE);
        let sequence = *next;
        *next = next.wrapping_add(len);
        (sequence, acknowledged)
    }
}

/// Writes the IP header; returns the sum of the pseudo header.
fn ip_head(from: IpAddr, to: IpAddr, protocol: u8, len: usize, out: &mut Vec<u8>) -> Option<u32> {
    let mut pseudo = u32::from(protocol) + len as u32;
    match (from, to) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            let start = out.len();
            out.extend_from_slice(&[0x45, 0]);
            out.extend_from_slice(&((20 + len) as u16).to_be_bytes());
            // No identification, "don't fragment", 64 hops.
            out.extend_from_slice(&[0, 0, 0x40, 0, 64, protocol, 0, 0]);
            out.extend_from_slice(&from.octets());
            out.extend_from_slice(&to.octets());
            let sum = checksum(0, &out[start..]);
            out[start + 10..start + 12].copy_from_slice(&sum.to_be_bytes());
            pseudo = add(add(pseudo, &from.octets()), &to.octets());
        }
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            out.extend_from_slice(&[0x60, 0, 0, 0]);
            out.extend_from_slice(&(len as u16).to_be_bytes());
            out.extend_from_slice(&[protocol, 64]);
            out.extend_from_slice(&from.octets());
            out.extend_from_slice(&to.octets());
            pseudo = add(add(pseudo, &from.octets()), &to.octets());
        }
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => return None,
    }
    Some(pseudo)
}

fn add(sum: u32, bytes: &[u8]) -> u32 {
    bytes
        .chunks(2)
        .fold(sum, |sum, pair| sum + (u32::from(pair[0]) << 8 | u32::from(pair.get(1).copied().unwrap_or(0))))
}

/// The internet check sum (RFC 1071).
fn checksum(start: u32, bytes: &[u8]) -> u16 {
    let mut sum = add(start, bytes);
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(flows: &mut Flows, transport: Transport, from: &str, to: &str, payload: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        assert!(flows.write(transport, from.parse().unwrap(), to.parse().unwrap(), payload, &mut out));
        out
    }

    /// The example of RFC 1071 section 3.
    #[test]
    fn the_sum_of_rfc_1071() {
        assert_eq!(checksum(0, &[0, 1, 0xf2, 3, 0xf4, 0xf5, 0xf6, 0xf7]), !0xddf2);
    }

    #[test]
    fn every_sum_proves_right() {
        let mut flows = Flows::default();
        for transport in [Transport::Udp, Transport::Tcp] {
            for payload in [&b""[..], b"odd", b"even"] {
                let v4 = write(&mut flows, transport, "192.0.2.1:5060", "192.0.2.2:6000", payload);
                assert_eq!(checksum(0, &v4[..20]), 0);
                let pseudo = add(u32::from(v4[9]) + (v4.len() - 20) as u32, &v4[12..20]);
                assert_eq!(checksum(pseudo, &v4[20..]), 0, "{transport:?}");
                assert_eq!(usize::from(u16::from_be_bytes([v4[2], v4[3]])), v4.len());
                let v6 = write(&mut flows, transport, "[::1]:5060", "[::2]:6000", payload);
                let pseudo = add(u32::from(v6[6]) + (v6.len() - 40) as u32, &v6[8..40]);
                assert_eq!(checksum(pseudo, &v6[40..]), 0, "{transport:?}");
            }
        }
    }

    #[test]
    fn a_tcp_stream_counts_on_in_both_directions() {
        let mut flows = Flows::default();
        let (a, b) = ("192.0.2.1:5060", "192.0.2.2:6000");
        let numbers = |packet: &[u8]| {
            let word = |at: usize| u32::from_be_bytes(packet[at..at + 4].try_into().unwrap());
            (word(24), word(28))
        };
        assert_eq!(numbers(&write(&mut flows, Transport::Tcp, a, b, b"INVITE")), (1, 1));
        assert_eq!(numbers(&write(&mut flows, Transport::Tcp, b, a, b"200")), (1, 7));
        assert_eq!(numbers(&write(&mut flows, Transport::Tcp, a, b, b"ACK")), (7, 4));
    }
}
