//! Sequences of operations on whole machines of z5-media: two sessions with a link between them, SRTP under replay and
//! forgery, telephone events into sound.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use z5_media::clock::{self, WallAnchor};
use z5_media::codec::telephone_event::{Payload, Presses};
use z5_media::playout::AudioPlayout;
use z5_media::rtp::{HEADER_LEN, Header};
use z5_media::stream::{FeedbackConfig, Flow, Session, SessionConfig};
use z5_media::{AudioCodec, SrtpParams, SrtpSuite};

const NEAR: SocketAddr =
    SocketAddr::V4(std::net::SocketAddrV4::new(std::net::Ipv4Addr::new(127, 0, 0, 1), 4000));
const FAR: SocketAddr =
    SocketAddr::V4(std::net::SocketAddrV4::new(std::net::Ipv4Addr::new(127, 0, 0, 2), 5000));
/// The host of the near end, another port.
const BESIDE: SocketAddr =
    SocketAddr::V4(std::net::SocketAddrV4::new(std::net::Ipv4Addr::new(127, 0, 0, 1), 4444));

/// Keys of both directions, as each end has them.
fn keys(suite: SrtpSuite) -> Option<(SrtpParams, SrtpParams)> {
    let (a, b) = (vec![1; suite.key_and_salt_len()], vec![2; suite.key_and_salt_len()]);
    Some((SrtpParams::new(suite, &a, &b).ok()?, SrtpParams::new(suite, &b, &a).ok()?))
}

fn session(remote: SocketAddr, ssrc: u32, srtp: Option<&SrtpParams>, start: Instant) -> Session {
    Session::new(SessionConfig {
        remote,
        remote_rtcp: remote,
        receive: true,
        srtp: srtp.and_then(|params| params.contexts().ok()),
        ssrc,
        first_sequence: 65_000,
        first_timestamp: 7,
        clock_rate: 8000,
        cname: "c".to_owned(),
        payload_types: vec![0, 101],
        feedback: FeedbackConfig {
            nack: true,
            pli: true,
            fir: true,
            tmmbr: true,
            reduced_size: ssrc == 1,
            extended_reports: true,
        },
        start,
        anchor: WallAnchor::new(start, Duration::from_secs(1_000_000)),
    })
}

/// Two sessions; each pair of bytes is an operation and its argument.
///
/// # Panics
/// When a packet is not counted exactly once, a figure is impossible, a deadline never passes, or silence is told of a stream
/// that is not to receive.
pub fn media_session(bytes: &[u8]) {
    let Some((kind, mut rest)) = bytes.split_first() else { return };
    let suite = match kind % 3 {
        0 => None,
        1 => Some(SrtpSuite::AesCm128HmacSha1_80),
        _ => Some(SrtpSuite::AeadAes128Gcm),
    };
    let keys = suite.and_then(keys);
    let mut now = clock::now();
    let mut near = session(FAR, 1, keys.as_ref().map(|keys| &keys.0), now);
    let mut ours = session(NEAR, 2, keys.as_ref().map(|keys| &keys.1), now);
    ours.set_patience(Some(Duration::from_secs(3)));
    let (mut receive, mut given, mut timestamp, mut sent) = (true, 0_u64, 0_u32, 0_u64);
    let mut buffer = [0; 2048];
    while let [operation, argument, tail @ ..] = rest {
        rest = tail;
        match operation % 12 {
            // A packet of the near end: lost, as it is, twice, or with a bit that fell over.
            0..=3 => {
                timestamp = timestamp.wrapping_add(160);
                let Ok(len) = near.send(&mut buffer, 40, 0, false, timestamp, now) else { return };
                sent += 1;
                let mut wire = buffer[..len].to_vec();
                let times = match operation % 12 {
                    0 => 0,
                    1 => 1,
                    2 => 2,
                    _ => {
                        wire[usize::from(*argument) % len] ^= 1 << (argument % 8);
                        1
                    }
                };
                for _ in 0..times {
                    given += 1;
                    let _ = ours.receive_rtp(&mut wire.clone(), NEAR, now);
                }
            }
            4 => pass(&mut near, &mut ours, NEAR, *argument, now),
            5 => {
                pass(&mut ours, &mut near, FAR, *argument, now);
                let mut again = 0;
                while let Some(len) = near.resend(&mut buffer, now) {
                    again += 1;
                    assert!(again <= 256, "no more is sent again than is kept");
                    given += 1;
                    let _ = ours.receive_rtp(&mut buffer[..len].to_vec(), NEAR, now);
                }
            }
            // What the rest of the input says, from the right place, the host beside it, or elsewhere.
            6 | 7 => {
                let len = rest.len().min(usize::from(*argument));
                let (wire, after) = rest.split_at(len);
                let from = [NEAR, BESIDE, FAR][len % 3];
                if operation % 12 == 6 {
                    given += 1;
                    let _ = ours.receive_rtp(&mut wire.to_vec(), from, now);
                } else {
                    let _ = ours.receive_rtcp(&mut wire.to_vec(), from, now);
                }
                rest = after;
            }
            8 => {
                receive = argument % 2 == 0;
                ours.set_receive(receive);
            }
            9 => now += Duration::from_millis(u64::from(*argument) * 20),
            10 => {
                ours.want_key_frame(now);
                ours.request_limit(u64::from(*argument) << (argument % 60), now);
            }
            _ => ours.set_remote(if argument % 2 == 0 { NEAR } else { BESIDE }, NEAR),
        }
        if let Some(Flow::Silent(silence)) = ours.flow(now) {
            assert!(receive, "what is not to come is not missed");
            assert!(silence.lasted >= Duration::from_secs(3), "{silence:?}");
        }
        // Doing what is due moves the deadline on: no loop of an engine spins for ever.
        let mut turns = 0;
        while ours.next_deadline() <= now {
            turns += 1;
            assert!(turns <= 8, "the deadline stays where it is");
            let _ = (ours.report(&mut buffer, now), ours.flow(now));
        }
        check(&ours, given, sent);
    }
}

/// What one side has to say, with a byte that is wrong when the argument says so.
fn pass(from: &mut Session, to: &mut Session, address: SocketAddr, argument: u8, now: Instant) {
    let mut buffer = [0; 2048];
    let Some(len) = from.report(&mut buffer, now) else { return };
    if argument % 4 == 3 {
        buffer[usize::from(argument) % len] ^= 0x11;
    }
    let _ = to.receive_rtcp(&mut buffer[..len].to_vec(), address, now);
}

fn check(ours: &Session, given: u64, sent: u64) {
    let figures = ours.figures();
    let dropped: u64 = figures.drops.to_map().values().sum();
    // Reports that were dropped are counted, too; packets are accepted and then refused while on hold.
    assert!(figures.packets_received <= given, "{figures:?}");
    assert!(figures.packets_received + dropped >= given, "{figures:?}");
    assert!(figures.lost.is_none_or(|lost| lost < 1 << 33), "{figures:?}");
    assert!(figures.duplicates + figures.reordered <= given, "{figures:?}");
    assert!(figures.jitter.is_none_or(|jitter| jitter < Duration::from_secs(1)), "{figures:?}");
    assert!(figures.round_trip.is_none_or(|time| time < Duration::from_secs(60)), "{figures:?}");
    if let Some(report) = figures.remote_report {
        assert!((0.0..=1.0).contains(&report.fraction_lost) && report.jitter_ms.is_finite(), "{report:?}");
    }
    if let Some(feedback) = figures.feedback {
        assert!(feedback.packets_recovered <= feedback.packets_asked_for, "{feedback:?}");
        assert!(feedback.ssrc_collisions <= 1 && sent <= 1 << 32, "{feedback:?}");
    }
}

/// Packets sealed in order, each three bytes: how far the sequence number steps, when it is delivered, what happens to it.
/// Whatever is opened is what was sealed, once; what was changed is refused.
///
/// # Panics
/// When something opens that should not, or a packet opens twice.
pub fn srtp_operations(bytes: &[u8]) {
    let Some((kind, mut rest)) = bytes.split_first() else { return };
    let suite = SrtpSuite::ALL[usize::from(*kind) % SrtpSuite::ALL.len()];
    let Some((seal, open)) = keys(suite) else { return };
    let (Ok((mut sender, _)), Ok((_, mut receiver))) = (seal.contexts(), open.contexts()) else { return };
    let mut sequence = u16::from(*kind) << 8 | 0xf0;
    let (mut waiting, mut opened) = (Vec::new(), std::collections::BTreeSet::new());
    let mut count = 0_u64;
    while let [step, when, what, tail @ ..] = rest {
        rest = tail;
        sequence = sequence.wrapping_add(u16::from(*step) << (step % 6));
        let mut packet = vec![0; HEADER_LEN + 8 + SrtpSuite::MAX_OVERHEAD];
        let header = Header { payload_type: 0, marker: false, sequence, timestamp: 0, ssrc: 5 };
        if let Some(head) = packet.first_chunk_mut() {
            header.write(head);
        }
        packet[HEADER_LEN..HEADER_LEN + 8].copy_from_slice(&count.to_be_bytes());
        count += 1;
        let Ok(len) = sender.protect_rtp(&mut packet, HEADER_LEN + 8) else { return };
        packet.truncate(len);
        waiting.push(packet);
        let at = usize::from(*when) % waiting.len();
        let mut wire = if what % 3 == 0 { waiting[at].clone() } else { waiting.swap_remove(at) };
        let changed = what % 7 == 6;
        if changed {
            let at = usize::from(*what) % wire.len();
            wire[at] ^= 0x40;
        }
        if let Ok(len) = receiver.unprotect_rtp(&mut wire) {
            assert!(!changed, "a changed packet was opened");
            let number = wire.get(HEADER_LEN..len).and_then(|payload| payload.first_chunk::<8>());
            let number = number.map(|number| u64::from_be_bytes(*number));
            assert!(
                number.is_some_and(|number| number < count && opened.insert(number)),
                "{number:?} twice or wrong"
            );
        }
    }
}

/// Telephone events and sound mixed, each six bytes: a step of the timestamp, four bytes of payload, and which it is.
///
/// # Panics
/// When a press is told that is no key, or more presses than packets.
pub fn telephone_event(mut bytes: &[u8]) {
    let mut presses = Presses::default();
    let mut playout = AudioPlayout::new(AudioCodec::Pcmu, &[]);
    let start = clock::now();
    let (mut timestamp, mut told, mut frame) = (0_u32, 0, [0; 160]);
    for n in 0_u64.. {
        let [step, a, b, c, d, which, tail @ ..] = bytes else { break };
        bytes = tail;
        let now = start + Duration::from_millis(n);
        timestamp = timestamp.wrapping_add(u32::from(*step) << (step % 24));
        let payload = [*a, *b, *c, *d];
        let payload = &payload[..usize::from(which % 5)];
        if let Some(event) = Payload::parse(payload) {
            playout.insert_soundless(n, timestamp);
            for press in presses.take(timestamp, event).into_iter().flatten() {
                assert!("0123456789*#ABCD!".contains(press.digit), "{press:?}");
                told += 1;
            }
            assert_eq!(Payload::parse(&event.to_bytes()), Some(event), "written as it was read");
        } else if which % 2 == 0 {
            playout.insert_comfort_noise(n, timestamp, *a);
        } else {
            let _ = playout.insert(n, timestamp, payload, now);
        }
        playout.pull(&mut frame, now);
        assert!(told <= n + 1, "more presses than packets");
    }
}
