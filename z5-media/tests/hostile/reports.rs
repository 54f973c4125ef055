//! RTCP that lies, asks for too much or comes from beside the far end.

use super::*;

/// A compound of our making, as the far end would protect it: in the clear here.
fn lie(ours: &mut Session, compound: &[u8], now: Instant) -> Result<z5_media::stream::Told, DropReason> {
    ours.receive_rtcp(&mut compound.to_vec(), addr(NEAR), now)
}

#[test]
fn lies_in_reports_are_told_as_what_they_are_and_change_nothing_else() {
    let start = clock::now();
    let mut ends = pair(None, ALL, start);
    let now = start + Duration::from_secs(1);
    // A receiver report on us with every field at its most absurd.
    for (loss, lost, jitter, last, delay) in [
        (255_u32, 0x7f_ffff_u32, u32::MAX, 1, 0),
        (0, 0x80_0000, 0, u32::MAX, u32::MAX),
        (255, 0xff_ffff, 1, 7, 9),
    ] {
        let report = words(&[0x81c9_0007, 1, 2, loss << 24 | lost, u32::MAX, jitter, last, delay]);
        assert!(lie(&mut ends.1, &report, now).unwrap().reported);
        let figures = ends.1.figures();
        let told = figures.remote_report.unwrap();
        assert!((0.0..=1.0).contains(&told.fraction_lost) && told.jitter_ms.is_finite());
        assert!((-(1 << 23)..1 << 23).contains(&told.lost));
        assert!(
            figures.round_trip.is_none_or(|time| time < Duration::from_secs(60)),
            "{:?}",
            figures.round_trip
        );
    }
    // A report on somebody else is nothing to us.
    let other = words(&[0x81c9_0007, 1, 77, 0, 0, 0, 1, 0]);
    assert!(!lie(&mut ends.1, &other, now).unwrap().reported);
    // The clock of a source that we do not listen to is not believed; that of ours is.
    let clock = |ssrc| words(&[0x80c8_0006, ssrc, 0xffff_ffff, 0xffff_ffff, 5, 6, 7]);
    lie(&mut ends.1, &clock(77), now).unwrap();
    assert_eq!(ends.1.figures().sender_clock, None);
    lie(&mut ends.1, &clock(1), now).unwrap();
    assert_eq!(ends.1.figures().sender_clock, Some((u64::MAX, 5)));
    // Goodbye of others, of thirty-one of them.
    let mut bye = words(&[0x9fcb_001f]);
    bye.extend(words(&(100..131).collect::<Vec<_>>()));
    assert!(!lie(&mut ends.1, &bye, now).unwrap().bye);
    assert!(!ends.1.figures().bye);
    assert!(good(&mut ends, now));
    // Wrong lengths, versions and counts tell nothing at all, wherever they stand.
    let right = words(&[0x80c9_0001, 1]);
    for (bad, reason) in [
        (words(&[0x80c9_ffff, 1]), DropReason::BadRtcp),
        (words(&[0x9fc9_0001, 1]), DropReason::BadRtcp),
        (words(&[0x40c9_0001, 1]), DropReason::BadVersion),
        (vec![0x80], DropReason::BadRtcp),
        (words(&[0xa0c9_0001, 0xffff_ffff]), DropReason::BadRtcp),
    ] {
        let compound: Vec<u8> = right.iter().chain(&bad).copied().collect();
        assert_eq!(lie(&mut ends.1, &compound, now), Err(reason));
    }
}

#[test]
fn a_port_beside_the_far_ends_takes_neither_its_reports_nor_ends_its_stream() {
    let start = clock::now();
    let mut ends = pair(None, FeedbackConfig::default(), start);
    let report = words(&[0x80c9_0001, 1]);
    assert!(lie(&mut ends.1, &report, start).is_ok());
    let beside = addr("127.0.0.1:4444");
    let later = start + Duration::from_secs(10);
    let bye = words(&[0x81cb_0001, 1]);
    let taken = ends.1.receive_rtcp(&mut bye.clone(), beside, later);
    assert_eq!(taken, Err(DropReason::ForeignSource));
    assert_eq!((ends.1.rtcp_destination(), ends.1.figures().bye), (addr(NEAR), false));
    assert!(lie(&mut ends.1, &bye, later).unwrap().bye, "from the port that is known it counts");
}

#[test]
fn a_giant_list_of_missing_packets_makes_no_hose_of_us() {
    let start = clock::now();
    let (mut near, mut ours) = pair(None, ALL, start);
    for _ in 0..300 {
        let wire = sealed(&mut ours, &[7; 160], start);
        near.receive_rtp(&mut wire.clone(), addr(FAR), start).unwrap();
    }
    // Five hundred pairs, seventeen packets each: every sequence number there is, many times over.
    let mut nack = words(&[0x81cd_0000 | 502, 1, 2]);
    for n in 0..500_u32 {
        nack.extend(words(&[(n * 17 % 500) << 16 | 0xffff]));
    }
    let (mut asked, mut resent, mut buffer) = (0_u64, 0_u64, [0; 2048]);
    let mut now = start + Duration::from_secs(1);
    let grown = grown(|| {
        for _ in 0..200 {
            assert!(lie(&mut ours, &nack, now).unwrap().resend);
            asked += nack.len() as u64;
            while let Some(len) = ours.resend(&mut buffer, now) {
                resent += len as u64;
            }
            now += Duration::from_millis(25);
        }
    });
    // 256 packets are kept, and each leaves again three times at most.
    assert!(resent <= 256 * 3 * (160 + 12), "{resent} bytes sent for {asked}");
    assert!(grown < 4096, "{grown} bytes");
}

#[test]
fn limits_and_key_frames_are_granted_only_as_agreed_and_a_repeated_wish_is_one() {
    let start = clock::now();
    let tmmbr = |limit: u32| words(&[0x83cd_0004, 1, 0, 2, limit << 9 & 0x03ff_fe00]);
    let mut without = pair(None, FeedbackConfig::default(), start).1;
    assert_eq!(lie(&mut without, &tmmbr(0), start).unwrap().limit, None, "nobody agreed to that");
    let mut ours = pair(None, ALL, start).1;
    assert_eq!(lie(&mut ours, &tmmbr(0), start).unwrap().limit, Some(0));
    let fir = |number: u32| words(&[0x84ce_0004, 1, 0, 2, number << 24]);
    let wanted = |ours: &mut Session, number| lie(ours, &fir(number), start).unwrap().key_frame_wanted;
    let wishes = (0..1000).filter(|_| wanted(&mut ours, 9)).count();
    assert_eq!((wishes, wanted(&mut ours, 10)), (1, true));
    assert_eq!(ours.figures().feedback.unwrap().firs_received, 2);
}

#[test]
fn no_compound_of_any_content_makes_the_reader_say_more_than_it_holds() {
    // A compound of 2048 bytes of the smallest packets says at most one thing per four bytes.
    let mut told = 0;
    let compound: Vec<u8> = words(&[0x80c9_0001, 1]).repeat(256);
    rtcp::read(&compound, |_| told += 1).unwrap();
    assert_eq!(told, 256);
}
