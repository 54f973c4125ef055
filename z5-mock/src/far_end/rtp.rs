//! As much RTP and RTCP (RFC 3550) as a far end needs, written apart from z5-media so that the two can disagree.

/// Length of an RTP header without contributing sources or extension.
pub(super) const HEADER_BYTES: usize = 12;

/// Whether a datagram on an RTP port is RTP at all: version 2 and no RTCP packet type (RFC 5761 section 4).
pub(super) fn is_rtp(packet: &[u8]) -> bool {
    packet.len() >= HEADER_BYTES && packet[0] >> 6 == 2 && !(64..96).contains(&(packet[1] & 0x7f))
}

pub(super) fn header(
    payload_type: u8,
    marker: bool,
    sequence: u16,
    timestamp: u32,
    ssrc: u32,
) -> [u8; HEADER_BYTES] {
    let mut header = [0; HEADER_BYTES];
    header[0] = 0x80;
    header[1] = (u8::from(marker) << 7) | (payload_type & 0x7f);
    header[2..4].copy_from_slice(&sequence.to_be_bytes());
    header[4..8].copy_from_slice(&timestamp.to_be_bytes());
    header[8..12].copy_from_slice(&ssrc.to_be_bytes());
    header
}

/// The sender and the middle of the NTP timestamp of the first sender report in a compound packet.
pub(super) fn sender_report(packet: &[u8]) -> Option<(u32, u32)> {
    let word =
        |at: usize| packet.get(at..at + 4).and_then(|bytes| bytes.try_into().ok()).map(u32::from_be_bytes);
    (packet.len() >= 28 && packet[0] >> 6 == 2 && packet[1] == 200)
        .then_some(())
        .and_then(|()| Some((word(4)?, (word(8)? << 16) | (word(12)? >> 16))))
}

/// A compound packet: a receiver report on `about` that echoes its last sender report without delay, and the CNAME.
pub(super) fn receiver_report(
    ssrc: u32,
    about: u32,
    last_sender_report: u32,
    highest_sequence: u32,
) -> Vec<u8> {
    let mut packet = vec![0x81, 201, 0, 7];
    for word in [ssrc, about, 0, highest_sequence, 0, last_sender_report, 0] {
        packet.extend_from_slice(&word.to_be_bytes());
    }
    let cname = b"far-end@z5.test";
    let mut item = vec![1, cname.len() as u8];
    item.extend_from_slice(cname);
    item.push(0);
    item.resize(item.len().next_multiple_of(4), 0);
    packet.extend_from_slice(&[0x81, 202, 0, (1 + item.len() / 4) as u8]);
    packet.extend_from_slice(&ssrc.to_be_bytes());
    packet.extend_from_slice(&item);
    packet
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_are_whole_words_and_read_back() {
        let report = receiver_report(1, 2, 0x1234_5678, 9);
        assert_eq!(report.len() % 4, 0);
        assert_eq!((report[1], report[33]), (201, 202));
        assert_eq!(u16::from_be_bytes([report[34], report[35]]) as usize, (report.len() - 32) / 4 - 1);
        let mut sender = vec![0x80, 200, 0, 6, 0, 0, 0, 5, 0xaa, 0xaa, 0x12, 0x34, 0x56, 0x78, 0xbb, 0xbb];
        sender.resize(28, 0);
        assert_eq!(sender_report(&sender), Some((5, 0x1234_5678)));
        assert_eq!(sender_report(&report), None);
    }

    #[test]
    fn rtcp_and_short_packets_are_no_rtp() {
        assert!(is_rtp(&header(0, true, 1, 2, 3)));
        assert!(!is_rtp(&receiver_report(1, 2, 3, 4)));
        assert!(!is_rtp(&[0x80; 11]));
    }
}
