//! Two sessions over a simulated link with fake time: any pattern of loss, reordering and duplication, drawn from a
//! seed, in the clear and with SRTP, for audio into the playout and for text into the redundancy.
#![expect(clippy::unwrap_used, reason = "a test stops at what cannot happen")]

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use z5_media::clock::{self, WallAnchor};
use z5_media::codec::g711::Law;
use z5_media::playout::AudioPlayout;
use z5_media::rtp::HEADER_LEN;
use z5_media::srtp::{SrtpParams, SrtpSuite};
use z5_media::stats::DropReason;
use z5_media::stream::{Session, SessionConfig};
use z5_media::text::{REORDER_WAIT, TextReceiver, TextSender};

const NEAR: &str = "127.0.0.1:4000";
const FAR: &str = "127.0.0.2:5000";

fn session(remote: &str, srtp: Option<SrtpParams>, clock_rate: u32, start: Instant) -> Session {
    let remote: SocketAddr = remote.parse().unwrap();
    Session::new(SessionConfig {
        remote,
        remote_rtcp: remote,
        receive: true,
        srtp: srtp.map(|params| params.contexts().unwrap()),
        ssrc: 5,
        first_sequence: 65500,
        first_timestamp: u32::MAX - 2000,
        clock_rate,
        cname: "c".into(),
        feedback: Default::default(),
        payload_types: vec![0, 98, 99],
        start,
        anchor: WallAnchor::new(start, Duration::from_secs(1_000_000)),
    })
}

fn pair(suite: Option<SrtpSuite>, clock_rate: u32, start: Instant) -> (Session, Session) {
    let keys = suite.map(|suite| {
        let (a, b) = (vec![1; suite.key_and_salt_len()], vec![2; suite.key_and_salt_len()]);
        (SrtpParams::new(suite, &a, &b).unwrap(), SrtpParams::new(suite, &b, &a).unwrap())
    });
    let (a, b) = keys.unzip();
    (session(FAR, a, clock_rate, start), session(NEAR, b, clock_rate, start))
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
}
