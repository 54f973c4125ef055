//! RTP that is bad, forged or not the far end's.

use super::*;

#[test]
fn each_kind_of_bad_packet_has_its_reason_and_what_is_good_goes_on() {
    let start = clock::now();
    for suite in suites() {
        let mut ends = pair(suite, FeedbackConfig::default(), start);
        let authentic = |reason| if suite.is_some() { DropReason::AuthenticationFailed } else { reason };
        let change = |at: usize, byte: u8| {
            let mut packet = forged(1, 101, &[0x55; 60]);
            packet[at] = byte;
            packet
        };
        let mut cases: Vec<(Vec<u8>, DropReason)> =
            (0..HEADER_LEN).map(|len| (forged(1, 101, &[])[..len].to_vec(), DropReason::TooShort)).collect();
        cases.extend([0x00, 0x40, 0xc0].map(|version| (change(0, version), DropReason::BadVersion)));
        // Fifteen CSRCs and nothing behind them; an extension of 255 KB.
        cases.push((change(0, 0x8f)[..40].to_vec(), DropReason::BadHeader));
        let mut extension = forged(1, 101, &[0xff; 60]);
        extension[0] = 0x90;
        cases.push((extension, DropReason::BadHeader));
        // Padding that reaches into the header, and padding of nothing.
        for padding in [0, 61, 255] {
            let mut padded = change(0, 0xa0);
            *padded.last_mut().unwrap() = padding;
            cases.push((padded, authentic(DropReason::BadHeader)));
        }
        cases.push((change(1, 77), authentic(DropReason::UnknownPayloadType)));
        cases.push((forged(99, 101, &[0x55; 60]), authentic(DropReason::ForeignSsrc)));
        cases.push((forged(1, 30_000, &[0x55; 60]), authentic(DropReason::SequenceJump)));
        let before = ends.1.figures().packets_received;
        for (n, (packet, reason)) in cases.iter().enumerate() {
            let counted = ends.1.figures().drops.of(*reason);
            let taken = ends.1.receive_rtp(&mut packet.clone(), addr(NEAR), start).map(|_| ());
            assert_eq!(taken, Err(*reason), "case {n} of {suite:?}");
            assert_eq!(ends.1.figures().drops.of(*reason), counted + 1, "case {n} is counted");
        }
        // Twice the same: replayed under SRTP, a duplicate in the clear.
        let mut wire = sealed(&mut ends.0, b"x", start);
        assert!(ends.1.receive_rtp(&mut wire.clone(), addr(NEAR), start).is_ok());
        let again = if suite.is_some() { DropReason::Replayed } else { DropReason::Duplicate };
        assert_eq!(ends.1.receive_rtp(&mut wire, addr(NEAR), start).map(|_| ()), Err(again));
        assert!(good(&mut ends, start));
        let figures = ends.1.figures();
        let dropped: u64 = figures.drops.to_map().values().sum();
        assert_eq!(dropped, cases.len() as u64 + 1, "each under exactly one reason");
        assert_eq!((figures.packets_received, figures.remote_ssrc), (before + 2, Some(1)));
    }
}

#[test]
fn floods_of_sources_and_of_forged_reports_make_no_state() {
    let start = clock::now();
    for suite in suites() {
        let mut ends = pair(suite, ALL, start);
        let grown = grown(|| {
            for n in 0..50_000_u32 {
                let from = addr(if n % 3 == 0 { "127.0.0.9:9" } else { NEAR });
                let mut packet = forged(n.wrapping_mul(0x9e37_79b9), n as u16, &[0x55; 20]);
                assert!(ends.1.receive_rtp(&mut packet, from, start).is_err());
                // A receiver report of a made-up source with a made-up tag and the E bit set.
                let mut report = vec![0x80, 201, 0, 1];
                report.extend_from_slice(&n.to_be_bytes());
                report.extend_from_slice(&[0xff; 24]);
                let _ = ends.1.receive_rtcp(&mut report, from, start);
            }
        });
        assert!(grown < 1024, "{grown} bytes kept, {suite:?}");
        assert!(good(&mut ends, start), "{suite:?}");
        assert_eq!(ends.1.figures().remote_ssrc, Some(1));
    }
}

#[test]
fn a_far_end_that_changes_its_source_for_ever_is_bounded() {
    let start = clock::now();
    let suite = SrtpSuite::AesCm128HmacSha1_80;
    let (key, other) = (vec![1; 30], vec![2; 30]);
    let mut ours = session(NEAR, 2, Some(SrtpParams::new(suite, &other, &key).unwrap()), ALL, start);
    let (mut taken, mut refused) = (0, 0);
    let grown = grown(|| {
        for ssrc in 1000..1200 {
            let params = SrtpParams::new(suite, &key, &other).unwrap();
            let mut theirs = session(FAR, ssrc, Some(params), ALL, start);
            let mut wire = sealed(&mut theirs, b"x", start);
            match ours.receive_rtp(&mut wire, addr(NEAR), start) {
                Ok(_) => taken += 1,
                Err(reason) => {
                    assert_eq!(reason, DropReason::SsrcLimit);
                    refused += 1;
                }
            }
        }
    });
    assert_eq!((taken, refused), (64, 136), "transfers and hold music take a few, nobody takes hundreds");
    assert!(grown < 16 << 10, "{grown} bytes");
}

#[test]
fn a_loop_of_our_own_packets_changes_our_source_once_and_does_not_take_the_far_ends_place() {
    let start = clock::now();
    for suite in suites() {
        let mut ends = pair(suite, FeedbackConfig::default(), start);
        for _ in 0..50 {
            let mut reflected = sealed(&mut ends.1, &[0x11; 160], start);
            let _ = ends.1.receive_rtp(&mut reflected, addr(NEAR), start);
            assert!(good(&mut ends, start), "{suite:?}");
        }
        let figures = ends.1.figures();
        assert_eq!(figures.remote_ssrc, Some(1), "{suite:?}");
        // Under SRTP each direction has its own key, so that a reflection is not even authentic.
        let collisions = figures.feedback.map_or(0, |feedback| feedback.ssrc_collisions);
        assert_eq!(collisions, u64::from(suite.is_none()));
    }
}
