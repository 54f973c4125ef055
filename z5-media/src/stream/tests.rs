//! Two sessions and fake time: frames, reports, spoofing, wrong keys.

use super::*;
use crate::clock;
use crate::srtp::{SrtpParams, SrtpSuite};

const NEAR: &str = "127.0.0.1:4000";
const FAR: &str = "127.0.0.2:5000";

fn addr(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

struct Side {
    session: Session,
    address: SocketAddr,
}

const EVERYTHING: FeedbackConfig = FeedbackConfig {
    nack: true,
    pli: true,
    fir: true,
    tmmbr: true,
    reduced_size: true,
    extended_reports: true,
};

fn side(own: &str, remote: &str, ssrc: u32, srtp: Option<SrtpParams>, start: Instant) -> Side {
    side_with(own, remote, ssrc, srtp, FeedbackConfig::default(), start)
}

fn side_with(
    own: &str,
    remote: &str,
    ssrc: u32,
    srtp: Option<SrtpParams>,
    feedback: FeedbackConfig,
    start: Instant,
) -> Side {
    let session = Session::new(SessionConfig {
        remote: addr(remote),
        remote_rtcp: addr(remote),
        receive: true,
        srtp: srtp.map(|params| params.contexts().unwrap()),
        ssrc,
        first_sequence: 65530,
        first_timestamp: 0xffff_ff00,
        clock_rate: 8000,
        cname: "c@z5.invalid".into(),
        feedback,
        payload_types: vec![0],
        start,
        anchor: WallAnchor::new(start, Duration::from_secs(1_000_000)),
    });
    Side { session, address: addr(own) }
}

fn keys() -> (SrtpParams, SrtpParams) {
    let suite = SrtpSuite::AesCm128HmacSha1_80;
    let (a, b) = ([1; 30], [2; 30]);
    (SrtpParams::new(suite, &a, &b).unwrap(), SrtpParams::new(suite, &b, &a).unwrap())
}

fn pair(srtp: bool, start: Instant) -> (Side, Side) {
    let (a, b) = keys();
    (side(NEAR, FAR, 1, srtp.then_some(a), start), side(FAR, NEAR, 2, srtp.then_some(b), start))
}

impl Side {
    fn send(&mut self, payload: &[u8], timestamp: u32, now: Instant) -> Vec<u8> {
        let mut buffer = vec![0; HEADER_LEN + payload.len() + SrtpSuite::MAX_OVERHEAD];
        buffer[HEADER_LEN..][..payload.len()].copy_from_slice(payload);
        let len = self.session.send(&mut buffer, payload.len(), 0, false, timestamp, now).unwrap();
        buffer.truncate(len);
        buffer
    }

    fn take(&mut self, mut datagram: Vec<u8>, from: SocketAddr, now: Instant) -> Result<Vec<u8>, DropReason> {
        self.session.receive_rtp(&mut datagram, from, now).map(|frame| frame.payload.to_vec())
    }
}

#[test]
fn a_new_key_of_the_far_end_is_taken_over_while_ours_goes_on() {
    let now = clock::now();
    let (mut near, mut far) = pair(true, now);
    let suite = SrtpSuite::AesCm128HmacSha1_80;
    // the far end sends under a new key and keeps ours
    let theirs = SrtpParams::new(suite, &[3; 30], &[1; 30]).unwrap();
    let ours = SrtpParams::new(suite, &[1; 30], &[3; 30]).unwrap();
    let mut changed = side(FAR, NEAR, 3, Some(theirs), now);
    let datagram = changed.send(b"x", 0, now);
    assert_eq!(near.take(datagram, addr(FAR), now), Err(DropReason::AuthenticationFailed));
    near.session.set_receiver(ours.contexts().unwrap().1);
    let datagram = changed.send(b"y", 160, now);
    assert_eq!(near.take(datagram, addr(FAR), now), Ok(b"y".to_vec()));
    let datagram = near.send(b"z", 0, now);
    assert_eq!(far.take(datagram, addr(NEAR), now), Ok(b"z".to_vec()), "what we send is opened as before");
}

#[test]
fn frames_pass_in_the_clear_and_with_srtp() {
    for srtp in [false, true] {
        let now = clock::now();
        let (mut a, mut b) = pair(srtp, now);
        for n in 0..20_u8 {
            let wire = a.send(&[n; 160], u32::from(n) * 160, now);
            assert_eq!(b.take(wire, a.address, now).unwrap(), [n; 160]);
        }
        let figures = b.session.figures();
        assert_eq!((figures.packets_received, figures.bytes_received, figures.lost), (20, 3200, Some(0)));
        assert_eq!(figures.source, Some(a.address));
        assert_eq!(a.session.figures().lost, None);
    }
}

#[test]
fn nothing_out_of_reach_is_learned_in_the_clear_or_with_srtp() {
    for srtp in [false, true] {
        let now = clock::now();
        let (mut near, mut far) = pair(srtp, now);
        let outside = addr("198.51.100.9:4000");
        near.session.set_reach(Reach::new(move |source| source.ip() != outside.ip()));
        let stray = far.send(b"x", 0, now);
        assert_eq!(near.take(stray, outside, now), Err(DropReason::ForeignSource));
        let mut report = [0; 300];
        let later = now + Duration::from_secs(10);
        let len = far.session.report(&mut report, later).unwrap();
        let told = near.session.receive_rtcp(&mut report[..len], outside, later);
        assert_eq!(told.map(|told| told.bye), Err(DropReason::ForeignSource));
        let ends = [near.session.destination(), near.session.rtcp_destination()];
        assert_eq!(ends, [addr(FAR); 2], "nothing is led there");
        let good = far.send(b"y", 160, later);
        assert_eq!(near.take(good, addr(FAR), later), Ok(b"y".to_vec()));
    }
}

#[test]
fn reports_give_loss_and_round_trip() {
    for srtp in [false, true] {
        let start = clock::now();
        let (mut a, mut b) = pair(srtp, start);
        for n in 0..10_u8 {
            let wire = a.send(&[n; 160], u32::from(n) * 160, start);
            if n != 4 {
                b.take(wire, a.address, start).unwrap();
            }
        }
        let mut buffer = [0; 300];
        // The sender's report takes 30 ms, the receiver answers 2 s later, the answer takes 20 ms.
        let len = a.session.report(&mut buffer, start).unwrap();
        assert_eq!(a.session.report(&mut [0; 300], start), None);
        let at_b = start + Duration::from_millis(30);
        assert_eq!(
            b.session.receive_rtcp(&mut buffer[..len], a.address, at_b).map(|told| told.bye),
            Ok(false)
        );
        let answered = at_b + Duration::from_secs(2);
        let len = b.session.report(&mut buffer, answered).unwrap();
        let back = answered + Duration::from_millis(20);
        a.session.receive_rtcp(&mut buffer[..len], b.address, back).unwrap();
        let figures = a.session.figures();
        let round_trip = figures.round_trip.unwrap().as_secs_f64();
        assert!((round_trip - 0.050).abs() < 0.001, "{round_trip}");
        let report = figures.remote_report.unwrap();
        assert_eq!((report.lost, report.fraction_lost), (1, 25.0 / 256.0));
    }
}

#[test]
fn goodbye_is_heard_only_from_the_source_listened_to() {
    let now = clock::now();
    let (mut a, mut b) = pair(true, now);
    let mut buffer = [0; 300];
    let len = a.session.goodbye(&mut buffer, now).unwrap();
    assert_eq!(
        b.session.receive_rtcp(&mut buffer[..len].to_vec(), a.address, now).map(|told| told.bye),
        Ok(false)
    );
    let wire = a.send(b"x", 0, now);
    b.take(wire, a.address, now).unwrap();
    let len = a.session.goodbye(&mut buffer, now).unwrap();
    assert_eq!(b.session.receive_rtcp(&mut buffer[..len], a.address, now).map(|told| told.bye), Ok(true));
    assert!(b.session.figures().bye);
}

#[test]
fn a_spoofed_source_is_counted_and_changes_nothing() {
    let now = clock::now();
    let (mut a, mut b) = pair(false, now);
    let first = a.send(b"one", 0, now);
    b.take(first, a.address, now).unwrap();
    let later = now + Duration::from_secs(5);
    let mut stranger = side("127.0.0.9:9", FAR, 66, None, now);
    for n in 0..5 {
        let wire = stranger.send(b"spoof", n, later);
        assert_eq!(b.take(wire, stranger.address, later), Err(DropReason::ForeignSource));
    }
    // A stranger who forges the address as well must first bring two packets in a row.
    let wire = stranger.send(b"spoof", 9, later);
    assert_eq!(b.take(wire, a.address, later), Err(DropReason::ForeignSsrc));
    let second = a.send(b"two", 160, later);
    assert_eq!(b.take(second, a.address, later).unwrap(), b"two");
    let figures = b.session.figures();
    assert_eq!(figures.drops.of(DropReason::ForeignSource), 5);
    assert_eq!(figures.drops.of(DropReason::ForeignSsrc), 1);
    assert_eq!(b.session.destination(), a.address);
    let mut buffer = [0; 300];
    let len = stranger.session.goodbye(&mut buffer, later).unwrap();
    assert_eq!(
        b.session.receive_rtcp(&mut buffer[..len], stranger.address, later),
        Err(DropReason::ForeignSource)
    );
}

#[test]
fn a_wrong_key_is_counted_and_latches_nothing() {
    let now = clock::now();
    let (_, mut b) = pair(true, now);
    let wrong = SrtpParams::new(SrtpSuite::AesCm128HmacSha1_80, &[9; 30], &[9; 30]).unwrap();
    let mut stranger = side("127.0.0.9:9", FAR, 1, Some(wrong), now);
    for n in 0..7 {
        let wire = stranger.send(b"noise", n, now);
        assert_eq!(b.take(wire, stranger.address, now), Err(DropReason::AuthenticationFailed));
    }
    let figures = b.session.figures();
    assert_eq!(figures.drops.of(DropReason::AuthenticationFailed), 7);
    assert_eq!((figures.source, figures.first_packet), (None, None));
    assert_eq!(b.session.destination(), addr(NEAR));
}

#[test]
fn with_srtp_the_far_end_may_move_and_take_a_new_ssrc() {
    let now = clock::now();
    let (key_a, key_b) = keys();
    let mut a = side(NEAR, FAR, 1, Some(key_a.clone()), now);
    let mut b = side(FAR, NEAR, 2, Some(key_b), now);
    let wire = a.send(b"one", 0, now);
    b.take(wire, a.address, now).unwrap();
    let moved = addr("127.0.0.7:7000");
    let wire = a.send(b"two", 160, now);
    b.take(wire, moved, now).unwrap();
    assert_eq!(b.session.destination(), moved);
    let mut again = side(NEAR, FAR, 3, Some(key_a), now);
    let mut wire = again.send(b"three", 0, now);
    let frame = b.session.receive_rtp(&mut wire, moved, now).unwrap();
    assert!(frame.restarted && !frame.first);
    assert_eq!(b.session.figures().remote_ssrc, Some(3));
}

#[test]
fn a_held_stream_counts_and_drops() {
    let now = clock::now();
    let (mut a, mut b) = pair(false, now);
    b.session.set_receive(false);
    let wire = a.send(b"x", 0, now);
    assert_eq!(b.take(wire, a.address, now), Err(DropReason::NotReceiving));
    assert_eq!(b.session.destination(), a.address);
    b.session.set_receive(true);
    let wire = a.send(b"y", 0, now);
    assert!(b.take(wire, a.address, now).is_ok());
}

#[test]
fn other_payload_types_are_refused_before_they_latch() {
    let now = clock::now();
    let (mut a, mut b) = pair(false, now);
    let mut buffer = [0; 40];
    let len = a.session.send(&mut buffer, 4, 96, false, 0, now).unwrap();
    assert_eq!(
        b.session.receive_rtp(&mut buffer[..len], a.address, now),
        Err(DropReason::UnknownPayloadType)
    );
    assert_eq!(b.session.figures().source, None);
}

#[test]
fn an_announced_new_address_is_learned_anew() {
    let now = clock::now();
    let (mut a, mut b) = pair(false, now);
    let wire = a.send(b"one", 0, now);
    b.take(wire, a.address, now).unwrap();
    let moved = addr("127.0.0.7:7000");
    let wire = a.send(b"two", 160, now);
    assert_eq!(b.take(wire, moved, now), Err(DropReason::ForeignSource));
    b.session.set_remote(moved, moved);
    assert_eq!((b.session.destination(), b.session.rtcp_destination()), (moved, moved));
    let wire = a.send(b"three", 320, now);
    assert_eq!(b.take(wire, moved, now).unwrap(), b"three");
}

#[test]
fn a_forger_that_is_quicker_in_the_clear_loses_to_the_announced_address() {
    let now = clock::now();
    let (mut a, mut b) = pair(false, now);
    let forger = addr("127.0.0.3:6000");
    let mut heard = 0;
    for n in 0..50_u8 {
        let wire = a.send(&[n; 160], u32::from(n) * 160, now);
        let mut forged = wire.clone();
        forged[8..12].iter_mut().for_each(|byte| *byte ^= 0x5a);
        forged[HEADER_LEN..].fill(0x2a);
        let taken = b.take(forged, forger, now);
        assert_eq!(taken.is_ok(), n == 0, "only the very first forgery, before anything else was known");
        heard += usize::from(b.take(wire, a.address, now).is_ok_and(|payload| payload == [n; 160]));
    }
    assert_eq!(heard, 50);
    let figures = b.session.figures();
    assert_eq!(figures.source, Some(a.address));
    assert_eq!(b.session.figures().drops.of(DropReason::ForeignSource), 49);
}

/// What one side has to say now, to the other; returns what it was told.
fn speak(from: &mut Side, to: &mut Side, now: Instant) -> Option<Told> {
    let mut buffer = [0; 600];
    let len = from.session.report(&mut buffer, now)?;
    Some(to.session.receive_rtcp(&mut buffer[..len], from.address, now).unwrap())
}

fn feedback_pair(srtp: bool, start: Instant) -> (Side, Side) {
    let (key_a, key_b) = keys();
    let (mut a, mut b) = (
        side_with(NEAR, FAR, 1, srtp.then_some(key_a), EVERYTHING, start),
        side_with(FAR, NEAR, 2, srtp.then_some(key_b), EVERYTHING, start),
    );
    let wire = a.send(b"first", 0, start);
    b.take(wire, a.address, start).unwrap();
    speak(&mut a, &mut b, start).unwrap();
    speak(&mut b, &mut a, start).unwrap();
    (a, b)
}

#[test]
fn lost_packets_are_asked_for_and_sent_again() {
    for srtp in [false, true] {
        let start = clock::now();
        let (mut a, mut b) = feedback_pair(srtp, start);
        let mut got = Vec::new();
        for n in 0..20_u8 {
            let wire = a.send(&[n; 50], u32::from(n) * 160, start);
            if !(5..9).contains(&n) {
                got.push(b.take(wire, a.address, start).unwrap()[0]);
            }
        }
        let asked = b.session.next_deadline();
        assert_eq!(asked, start + Duration::from_millis(10));
        let told = speak(&mut b, &mut a, asked).unwrap();
        assert!(told.resend && !told.key_frame_wanted);
        let mut buffer = [0; 200];
        while let Some(len) = a.session.resend(&mut buffer, asked) {
            got.push(b.take(buffer[..len].to_vec(), a.address, asked).unwrap()[0]);
        }
        got.sort_unstable();
        assert_eq!(got, (0..20).collect::<Vec<_>>(), "srtp {srtp}");
        let (sent, received) = (a.session.figures().feedback.unwrap(), b.session.figures());
        assert_eq!((sent.nacks_received, sent.packets_resent), (1, 4));
        let feedback = received.feedback.unwrap();
        assert_eq!((feedback.nacks_sent, feedback.packets_asked_for, feedback.packets_recovered), (1, 4, 4));
        assert_eq!(received.lost, Some(0));
        assert!(b.session.next_deadline() > asked + Duration::from_secs(1));
    }
}

#[test]
fn a_key_frame_and_a_limit_are_asked_for_and_heard() {
    let start = clock::now();
    let (mut a, mut b) = feedback_pair(true, start);
    let now = start + Duration::from_millis(100);
    assert!(b.session.want_key_frame(now));
    assert!(speak(&mut b, &mut a, now).unwrap().key_frame_wanted);
    b.session.key_frame_came();
    let now = now + Duration::from_millis(50);
    b.session.request_limit(128_000, now);
    assert_eq!(speak(&mut b, &mut a, now).unwrap().limit, Some(128_000));
    let now = now + Duration::from_millis(50);
    // The notice ends the asking.
    speak(&mut a, &mut b, now).unwrap();
    // A regular report may be due.
    let later = speak(&mut b, &mut a, now + Duration::from_secs(1));
    assert!(later.is_none_or(|told| told.limit.is_none()));
    let heard = a.session.figures().feedback.unwrap();
    assert_eq!((heard.plis_received, heard.limits_received), (1, 1));
}

#[test]
fn without_agreement_nothing_is_asked_and_packets_are_not_kept() {
    let start = clock::now();
    let (mut a, mut b) = pair(false, start);
    let wire = a.send(b"x", 0, start);
    b.take(wire, a.address, start).unwrap();
    speak(&mut b, &mut a, start).unwrap();
    assert!(!b.session.want_key_frame(start));
    b.session.request_limit(1, start);
    assert!(speak(&mut b, &mut a, start + Duration::from_secs(1)).is_none());
    assert_eq!(a.session.resend(&mut [0; 100], start), None);
    assert_eq!(b.session.figures().feedback, None);
}

#[test]
fn a_receiver_that_sends_nothing_measures_the_round_trip_by_extended_reports() {
    let start = clock::now();
    let (mut a, mut b) = feedback_pair(true, start);
    // Both have spoken at the start; the second reports carry the answers.
    let mut buffer = [0; 600];
    let later = start + Duration::from_secs(7);
    let len = b.session.report(&mut buffer, later).unwrap();
    a.session.receive_rtcp(&mut buffer[..len], b.address, later + Duration::from_millis(15)).unwrap();
    let answered = later + Duration::from_secs(7);
    let len = a.session.report(&mut buffer, answered).unwrap();
    b.session.receive_rtcp(&mut buffer[..len], a.address, answered + Duration::from_millis(25)).unwrap();
    let round_trip = b.session.figures().round_trip.unwrap().as_secs_f64();
    assert!((round_trip - 0.040).abs() < 0.001, "{round_trip}");
}

#[test]
fn a_colliding_ssrc_is_given_up_once_with_a_goodbye() {
    for srtp in [false, true] {
        let start = clock::now();
        let (key_a, key_b) = keys();
        let mut a = side(NEAR, FAR, 7, srtp.then_some(key_a), start);
        let mut b = side(FAR, NEAR, 7, srtp.then_some(key_b), start);
        let wire = a.send(b"one", 0, start);
        assert_eq!(b.take(wire, a.address, start).unwrap(), b"one");
        assert!(!speak(&mut b, &mut a, start).unwrap().bye);
        let wire = b.send(b"two", 0, start);
        assert_ne!(a.take(wire, b.address, start), Err(DropReason::AuthenticationFailed));
        assert_ne!(a.session.figures().remote_ssrc, Some(7));
        // A's own SSRC still is 7 and nobody else uses it; a reflection of it is taken without another change.
        let figures = b.session.figures().feedback.unwrap();
        assert_eq!(figures.ssrc_collisions, 1);
        assert_eq!(a.session.figures().feedback, None);
    }
}

/// The types of the packets of a compound in the clear.
fn kinds(compound: &[u8]) -> Vec<u8> {
    let (mut rest, mut kinds) = (compound, Vec::new());
    while let [_, kind, high, low, ..] = rest {
        kinds.push(*kind);
        rest = &rest[4 * usize::from(u16::from_be_bytes([*high, *low])) + 4..];
    }
    kinds
}

#[test]
fn feedback_travels_without_a_report_only_where_reduced_size_was_agreed() {
    for (reduced_size, wanted) in [(true, vec![206]), (false, vec![201, 202, 206])] {
        let start = clock::now();
        let config = FeedbackConfig { pli: true, reduced_size, ..FeedbackConfig::default() };
        let mut a = side(NEAR, FAR, 1, None, start);
        let mut b = side_with(FAR, NEAR, 2, None, config, start);
        let wire = a.send(b"first", 0, start);
        b.take(wire, a.address, start).unwrap();
        speak(&mut b, &mut a, start).unwrap();
        let now = start + Duration::from_millis(100);
        b.session.want_key_frame(now);
        let mut buffer = [0; 600];
        let len = b.session.report(&mut buffer, now).unwrap();
        assert_eq!(kinds(&buffer[..len]), wanted);
    }
}

#[test]
fn who_stops_sending_reports_as_a_receiver_after_two_intervals_and_the_end_is_a_report_with_a_goodbye() {
    let mut now = clock::now();
    let mut a = side(NEAR, FAR, 1, None, now);
    let mut buffer = [0; 600];
    let mut said = Vec::new();
    for n in 0..6_u8 {
        if n < 2 {
            a.send(b"x", 0, now);
        }
        now = now.max(a.session.next_deadline());
        let len = a.session.report(&mut buffer, now).unwrap();
        said.push(kinds(&buffer[..len])[0]);
        // RFC 3550 section 6.3.1: half to one and a half times five seconds, compensated.
        let next = (a.session.next_deadline() - now).as_secs_f64();
        assert!((2.05..6.16).contains(&next), "{next}");
        now += Duration::from_secs(1);
    }
    assert_eq!(said, [200, 200, 200, 201, 201, 201], "sender reports, then receiver reports (section 6.4)");
    let len = a.session.goodbye(&mut buffer, now).unwrap();
    assert_eq!(kinds(&buffer[..len]), [201, 202, 203], "report, source description, goodbye (section 6.1)");
}

#[test]
fn what_was_heard_is_told_in_extended_reports_only_where_they_were_agreed() {
    for extended_reports in [true, false] {
        let start = clock::now();
        let config = FeedbackConfig { extended_reports, ..FeedbackConfig::default() };
        let mut a = side_with(NEAR, FAR, 1, None, config, start);
        let mut b = side_with(FAR, NEAR, 2, None, config, start);
        for n in 0..10_u8 {
            let wire = a.send(&[n; 160], u32::from(n) * 160, start);
            if n != 4 {
                b.take(wire, a.address, start).unwrap();
            }
        }
        speak(&mut b, &mut a, start).unwrap();
        assert_eq!(a.session.figures().remote_voip, None, "nothing was played yet");
        let delay = Duration::from_millis(60);
        b.session.set_voice(VoiceHeard { concealed: 0.1, late: 2, delay, g711: true });
        speak(&mut b, &mut a, start + Duration::from_secs(7)).unwrap();
        let told = a.session.figures().remote_voip;
        assert_eq!(told.is_some(), extended_reports);
        if let Some(voip) = told {
            assert_eq!(
                (voip.loss, voip.discard),
                (25.0 / 256.0, 51.0 / 256.0),
                "a tenth and a fifth, in 1/256"
            );
            assert_eq!((voip.jitter_buffer_ms, voip.r_factor), (60, None), "no round trip, no rating");
            assert!(voip.mos_listening.is_some_and(|mos| (3.0..3.9).contains(&mos)), "{voip:?}");
        }
    }
}

/// What `b` measured of the way from `a`: each way takes 30 ms, and the clock of `b` is ahead by so much.
fn one_way(ahead: Duration) -> (Option<Duration>, Option<Duration>) {
    let start = clock::now();
    let (mut a, mut b) = pair(false, start);
    b.session.reporting = Reporting::new(
        start,
        WallAnchor::new(start, Duration::from_secs(1_000_000) + ahead),
        7,
        addr(NEAR),
        0,
    );
    let at = |ms: u64| start + Duration::from_millis(ms);
    let mut buffer = [0; 600];
    let wire = a.send(b"x", 0, at(0));
    b.take(wire, a.address, at(30)).unwrap();
    let wire = b.send(b"y", 0, at(0));
    a.take(wire, b.address, at(30)).unwrap();
    for (from_b, sent) in [(true, 200), (false, 1000)] {
        let (from, to) = if from_b { (&mut b, &mut a) } else { (&mut a, &mut b) };
        let len = from.session.report(&mut buffer, at(sent)).unwrap();
        to.session.receive_rtcp(&mut buffer[..len], from.address, at(sent + 30)).unwrap();
    }
    let wire = a.send(b"z", 8800, at(1100));
    b.take(wire, a.address, at(1130)).unwrap();
    let figures = b.session.figures();
    (figures.round_trip, figures.one_way)
}

#[test]
fn one_way_is_told_only_where_clocks_may_be_in_step() {
    let near = |measured: Option<Duration>, ms: f64| {
        measured.is_some_and(|time| (time.as_secs_f64() * 1000.0 - ms).abs() < 0.5)
    };
    let (round_trip, in_step) = one_way(Duration::ZERO);
    assert!(near(round_trip, 60.0) && near(in_step, 30.0), "{round_trip:?} {in_step:?}");
    // Within the round trip nobody can tell that a clock is wrong.
    assert!(near(one_way(Duration::from_millis(20)).1, 50.0));
    assert_eq!(one_way(Duration::from_millis(90)), (round_trip, None));
    assert_eq!(one_way(Duration::from_secs(3600)), (round_trip, None));
}
