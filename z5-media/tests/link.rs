//! Two sessions over a simulated link with fake time: any pattern of loss, reordering and duplication, drawn from a
//! seed, in the clear and with SRTP, for audio into the playout, for text into the redundancy and for video with
//! packets that are asked for again.
#![expect(clippy::unwrap_used, reason = "a test stops at what cannot happen")]

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use z5_media::clock::{self, WallAnchor};
use z5_media::codec::g711::Law;
use z5_media::codec::h264::Mode;
use z5_media::playout::AudioPlayout;
use z5_media::rtp::HEADER_LEN;
use z5_media::srtp::{SrtpParams, SrtpSuite};
use z5_media::stats::DropReason;
use z5_media::stream::{FeedbackConfig, Session, SessionConfig};
use z5_media::text::{REORDER_WAIT, TextReceiver, TextSender};
use z5_media::video::{VideoFrame, VideoReceiver, VideoSender};

const NEAR: &str = "127.0.0.1:4000";
const FAR: &str = "127.0.0.2:5000";

fn session(
    remote: &str,
    srtp: Option<SrtpParams>,
    clock_rate: u32,
    feedback: FeedbackConfig,
    start: Instant,
) -> Session {
    let remote: SocketAddr = remote.parse().unwrap();
    Session::new(SessionConfig {
        remote,
        remote_rtcp: remote,
        receive: true,
        srtp: srtp.map(|params| params.contexts().unwrap()),
        ssrc: if remote.port() == 4000 { 5 } else { 6 },
        first_sequence: 65500,
        first_timestamp: u32::MAX - 2000,
        clock_rate,
        cname: "c".into(),
        feedback,
        payload_types: vec![0, 98, 99],
        start,
        anchor: WallAnchor::new(start, Duration::from_secs(1_000_000)),
    })
}

fn pair(suite: Option<SrtpSuite>, clock_rate: u32, start: Instant) -> (Session, Session) {
    pair_with(suite, clock_rate, FeedbackConfig::default(), start)
}

fn pair_with(
    suite: Option<SrtpSuite>,
    clock_rate: u32,
    feedback: FeedbackConfig,
    start: Instant,
) -> (Session, Session) {
    let keys = suite.map(|suite| {
        let (a, b) = (vec![1; suite.key_and_salt_len()], vec![2; suite.key_and_salt_len()]);
        (SrtpParams::new(suite, &a, &b).unwrap(), SrtpParams::new(suite, &b, &a).unwrap())
    });
    let (a, b) = keys.unzip();
    (session(FAR, a, clock_rate, feedback, start), session(NEAR, b, clock_rate, feedback, start))
}

/// What happens to a packet: lost, on time, late by so many milliseconds, or twice.
#[derive(Debug, Clone, Copy)]
enum Fate {
    Lost,
    Delayed(u16),
    Twice(u16),
}

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![
        1 => Just(Fate::Lost),
        8 => (0_u16..40).prop_map(Fate::Delayed),
        1 => (0_u16..90).prop_map(Fate::Delayed),
        1 => (0_u16..40).prop_map(Fate::Twice),
    ]
}

/// Packets under way, by arrival.
#[derive(Default)]
struct Link {
    packets: BTreeMap<(Instant, usize), Vec<u8>>,
    count: usize,
}

impl Link {
    fn send(&mut self, wire: Vec<u8>, fate: Fate, now: Instant) {
        let mut put = |wire, ms: u16| {
            self.count += 1;
            self.packets.insert((now + Duration::from_millis(u64::from(ms)), self.count), wire);
        };
        match fate {
            Fate::Lost => {}
            Fate::Delayed(ms) => put(wire, ms),
            Fate::Twice(ms) => {
                put(wire.clone(), ms);
                put(wire, ms + 1);
            }
        }
    }

    fn arrive(&mut self, now: Instant) -> Option<(Instant, Vec<u8>)> {
        let ((at, _), _) = self.packets.first_key_value()?;
        if *at > now {
            return None;
        }
        self.packets.pop_first().map(|((at, _), wire)| (at, wire))
    }
}

fn seal(session: &mut Session, payload: &[u8], payload_type: u8, timestamp: u32, now: Instant) -> Vec<u8> {
    let mut wire = vec![0; HEADER_LEN + payload.len() + SrtpSuite::MAX_OVERHEAD];
    wire[HEADER_LEN..][..payload.len()].copy_from_slice(payload);
    let len = session.send(&mut wire, payload.len(), payload_type, false, timestamp, now).unwrap();
    wire.truncate(len);
    wire
}

fn suites() -> impl Strategy<Value = Option<SrtpSuite>> {
    proptest::sample::select(vec![None, Some(SrtpSuite::AesCm128HmacSha1_80), Some(SrtpSuite::AeadAes256Gcm)])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn audio_survives_any_link(suite in suites(), fates in proptest::collection::vec(fate(), 60..200)) {
        let start = clock::now();
        let (mut a, mut b) = pair(suite, 8000, start);
        let mut playout = AudioPlayout::g711(Law::Mu);
        let (mut link, mut delivered, mut dropped) = (Link::default(), 0_u64, BTreeMap::<DropReason, u64>::new());
        let mut frame = [0_i16; 160];
        for n in 0..fates.len() + 10 {
            let now = start + Duration::from_millis(20) * n as u32;
            if let Some(fate) = fates.get(n) {
                let wire = seal(&mut a, &[0x9e; 160], 0, n as u32 * 160, now);
                link.send(wire, *fate, now);
            }
            while let Some((at, mut wire)) = link.arrive(now) {
                delivered += 1;
                let taken = b
                    .receive_rtp(&mut wire, NEAR.parse().unwrap(), at)
                    .and_then(|frame| playout.insert(frame.sequence, frame.timestamp, frame.payload, at));
                if let Err(reason) = taken {
                    *dropped.entry(reason).or_default() += 1;
                }
            }
            playout.pull(&mut frame, now);
        }
        let figures = b.figures();
        // Every packet that came is either accepted or counted under a reason.
        let session_drops: u64 = figures.drops.to_map().values().sum();
        prop_assert_eq!(figures.packets_received + session_drops, delivered);
        let allowed = [DropReason::Replayed, DropReason::Duplicate, DropReason::Late];
        prop_assert!(dropped.keys().all(|reason| allowed.contains(reason)), "{:?}", dropped);
        let twice = fates.iter().filter(|f| matches!(f, Fate::Twice(_))).count() as u64;
        prop_assert_eq!(session_drops, twice);
        // Losses are counted exactly, but for those before the first and after the last packet.
        let lost = fates.iter().filter(|f| matches!(f, Fate::Lost)).count() as u64;
        prop_assert!(figures.lost.unwrap_or(0) <= lost);
        if let Some(played) = playout.figures() {
            let missing = (figures.lost.unwrap_or(0) + dropped.get(&DropReason::Late).copied().unwrap_or(0)) as f64;
            // What is concealed: lost and late frames, the tail of the call, and the growth of the delay.
            prop_assert!(played.concealed_ms <= missing * 20.0 + 600.0, "{:?} {}", played, missing);
        }
    }

    #[test]
    fn text_survives_any_link_that_never_loses_three_in_a_row(
        suite in suites(), text in "[a-z ]{1,300}", fates in proptest::collection::vec(fate(), 80)
    ) {
        let start = clock::now();
        let (mut a, mut b) = pair(suite, 1000, start);
        let mut sender = TextSender::new(98, Some(99), 30, start, 0);
        let mut receiver = TextReceiver::new(98, Some(99));
        let (mut link, mut shown, mut losses, mut sent) = (Link::default(), String::new(), 0, 0);
        sender.push(&text);
        let mut now = start;
        let end = start + Duration::from_secs(40);
        while now < end {
            let mut payload = [0; 1200];
            if let Some(packet) = sender.poll(now, &mut payload) {
                let wire = seal(&mut a, &payload[..packet.len], packet.payload_type, packet.timestamp, now);
                // The first packet arrives, so that what follows has a beginning; then at most two losses in a row.
                let mut fate = fates[sent % fates.len()];
                if matches!(fate, Fate::Lost) && (sent == 0 || losses == 2) {
                    fate = Fate::Delayed(1);
                }
                losses = if matches!(fate, Fate::Lost) { losses + 1 } else { 0 };
                sent += 1;
                link.send(wire, fate, now);
            }
            while let Some((at, mut wire)) = link.arrive(now) {
                if let Ok(frame) = b.receive_rtp(&mut wire, NEAR.parse().unwrap(), at) {
                    receiver.take(frame.sequence, frame.payload_type, frame.payload, at, &mut shown).unwrap();
                }
            }
            receiver.expire(now, &mut shown);
            now += Duration::from_millis(50);
        }
        receiver.expire(now + REORDER_WAIT, &mut shown);
        prop_assert_eq!(shown, text);
    }

    #[test]
    fn video_shows_only_whole_pictures_on_any_link_and_all_of_them_when_every_loss_is_mended(
        suite in suites(), sizes in proptest::collection::vec(20_usize..6000, 40),
        fates in proptest::collection::vec(fate(), 300),
    ) {
        let start = clock::now();
        let feedback = FeedbackConfig { nack: true, pli: true, ..FeedbackConfig::default() };
        let (mut a, mut b) = pair_with(suite, 90_000, feedback, start);
        let mut sender = VideoSender::new(Mode::NonInterleaved, 1180, start);
        let mut receiver = VideoReceiver::new(Duration::from_millis(200), start);
        let (mut link, mut back) = (Link::default(), Link::default());
        let (mut sent, mut shown) = (Vec::new(), Vec::new());
        let (mut fate, mut wish, mut out) = (0, true, [0; 1400]);
        // A second more than the film, so that the last losses are mended.
        for ms in 0..2600_u64 {
            let now = start + Duration::from_millis(ms);
            if ms % 40 == 0 && let Some(size) = sizes.get((ms / 40) as usize) {
                let n = sent.len() as u32;
                let unit = unit(n, *size, std::mem::take(&mut wish));
                sender.push(&unit, n * 3600, now).unwrap();
                sent.push(unit);
            }
            while let Some(packet) = sender.poll(now, &mut out) {
                let mut wire = vec![0; HEADER_LEN + packet.len + SrtpSuite::MAX_OVERHEAD];
                wire[HEADER_LEN..][..packet.len].copy_from_slice(&out[..packet.len]);
                let len = a.send(&mut wire, packet.len, 98, packet.marker, packet.timestamp, now).unwrap();
                wire.truncate(len);
                // The first picture comes in order: before it nobody knows where the stream begins. And so does the
                // last one: after it nothing would tell that something is missing.
                let edge = sent.len() < 2 || sent.len() == sizes.len();
                let drawn = if edge { Fate::Delayed(1) } else { fates[fate % fates.len()] };
                link.send(wire, drawn, now);
                fate += 1;
            }
            while let Some((at, mut wire)) = link.arrive(now) {
                if let Ok(frame) = b.receive_rtp(&mut wire, NEAR.parse().unwrap(), at) {
                    let mut show = |frame: VideoFrame<'_>| shown.push((frame.timestamp / 3600, frame.data.to_vec()));
                    let (sequence, marker, payload) = (frame.sequence, frame.marker, frame.payload);
                    let _ = receiver.take(sequence, frame.timestamp, marker, payload, at, &mut show);
                }
            }
            receiver.expire(now, &mut |frame| shown.push((frame.timestamp / 3600, frame.data.to_vec())));
            if receiver.wants_key_frame().is_some() {
                b.want_key_frame(now);
            } else {
                b.key_frame_came();
            }
            let mut compound = [0; 1400];
            if let Some(len) = b.report(&mut compound, now) {
                back.send(compound[..len].to_vec(), Fate::Delayed(15), now);
            }
            while let Some((at, mut wire)) = back.arrive(now) {
                wish |= a.receive_rtcp(&mut wire, FAR.parse().unwrap(), at).unwrap().key_frame_wanted;
                while let Some(len) = a.resend(&mut compound, now) {
                    link.send(compound[..len].to_vec(), Fate::Delayed(15), now);
                }
            }
        }
        let figures = receiver.figures(start + Duration::from_millis(2600));
        prop_assert_eq!(figures.pictures_received as usize, shown.len());
        prop_assert!(shown.windows(2).all(|pair| pair[0].0 < pair[1].0), "in order");
        for (n, data) in &shown {
            prop_assert!(sent[*n as usize] == *data, "picture {} is not what was sent", n);
        }
        // What is sent again always arrives, a round trip is 30 ms, and each packet is waited for 200 ms.
        prop_assert_eq!(shown.len(), sent.len(), "{:?} {:?}", figures, b.figures().feedback);
    }
}

/// A picture of two slices framed like H.264; its number is in every byte. A key frame brings its parameter sets, without
/// which it would be none.
fn unit(n: u32, size: usize, key_frame: bool) -> Vec<u8> {
    let mut bytes = Vec::new();
    if key_frame {
        for kind in [0x67, 0x68] {
            bytes.extend_from_slice(&[0, 0, 0, 1, kind, 0x42, 0xc0, 0x1e, 0x80]);
        }
    }
    for first in [0x88, 0x08] {
        bytes.extend_from_slice(&[0, 0, 0, 1, if key_frame { 0x65 } else { 0x41 }, first]);
        bytes.resize(bytes.len() + size, n as u8 | 0x80);
    }
    bytes
}
