//! A video call over a simulated path that carries only so many bits per second, with fake time: two sessions, their reports and
//! feedback, the adaptation, the choice of the picture, pacing, repair. Under a limit of the path, of the far end (TMMBR) or of
//! the description (`b=`), quality and size go down and twenty pictures a second stay; afterwards the size comes back.
//!
//! The encoder is one in name only: it makes as many bytes as it is told, which a real one does at best.
#![expect(clippy::unwrap_used, reason = "a test stops at what cannot happen")]

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use z5_media::clock::{self, WallAnchor};
use z5_media::codec::h264::Mode;
use z5_media::rtp::{HEADER_LEN, is_rtcp};
use z5_media::srtp::SrtpSuite;
use z5_media::stream::{FeedbackConfig, Session, SessionConfig};
use z5_media::video::{Adaptation, Chooser, Rung, VideoFrame, VideoReceiver, VideoSender};

const NEAR: &str = "127.0.0.1:4000";
const FAR: &str = "127.0.0.2:5000";
const HD: Rung = Rung { width: 1280, height: 720, frame_rate: 30 };
/// How long a packet travels when nothing stands before it, and how long a queue the path has.
const TRAVEL: Duration = Duration::from_millis(20);
const QUEUE: Duration = Duration::from_millis(300);

/// One direction of a path.
struct Path {
    bits_per_second: u64,
    free_at: Instant,
    under_way: VecDeque<(Instant, Vec<u8>)>,
}

impl Path {
    fn new(bits_per_second: u64, now: Instant) -> Self {
        Self { bits_per_second, free_at: now, under_way: VecDeque::new() }
    }

    /// Takes a packet, or loses it when the queue is full.
    fn send(&mut self, packet: Vec<u8>, now: Instant) {
        let begins = self.free_at.max(now);
        if begins - now > QUEUE {
            return;
        }
        // IPv4 and UDP come on top.
        let bits = 8 * (packet.len() as u64 + 28);
        self.free_at = begins + Duration::from_nanos(bits * 1_000_000_000 / self.bits_per_second);
        self.under_way.push_back((self.free_at + TRAVEL, packet));
    }

    fn arrive(&mut self, now: Instant) -> Option<Vec<u8>> {
        self.under_way.front().filter(|(at, _)| *at <= now)?;
        self.under_way.pop_front().map(|(_, packet)| packet)
    }
}

/// What happened in one second of a call.
#[derive(Debug, Clone, Copy, Default)]
struct Second {
    /// Of the largest picture.
    width: u32,
    sent: usize,
    shown: usize,
    /// Bits of video that left, repairs and headers included.
    bits: u64,
}

struct Call {
    now: Instant,
    a: Session,
    b: Session,
    there: Path,
    back: Path,
    adaptation: Adaptation,
    chooser: Chooser,
    sender: VideoSender,
    receiver: VideoReceiver,
    made: Option<(Rung, u64)>,
    next_picture: Instant,
    pictures: u32,
    wish: bool,
}

fn session(remote: &str, ssrc: u32, start: Instant) -> Session {
    let remote: SocketAddr = remote.parse().unwrap();
    Session::new(SessionConfig {
        remote,
        remote_rtcp: remote,
        receive: true,
        srtp: None,
        ssrc,
        first_sequence: 5,
        first_timestamp: 0,
        clock_rate: 90_000,
        cname: "c".into(),
        feedback: FeedbackConfig { nack: true, pli: true, tmmbr: true, ..FeedbackConfig::default() },
        payload_types: vec![98],
        start,
        anchor: WallAnchor::new(start, Duration::from_secs(1_000_000)),
    })
}

impl Call {
    /// A call for which `agreed` bits per second were agreed, on a path that carries `carried`.
    fn new(agreed: u64, carried: u64) -> Self {
        let now = clock::now();
        let adaptation = Adaptation::new(agreed);
        Self {
            now,
            a: session(FAR, 5, now),
            b: session(NEAR, 6, now),
            there: Path::new(carried, now),
            back: Path::new(1_000_000, now),
            chooser: Chooser::new(HD, adaptation.target()),
            adaptation,
            sender: VideoSender::new(Mode::NonInterleaved, 1180, now),
            receiver: VideoReceiver::new(Duration::from_millis(200), now),
            made: None,
            next_picture: now,
            pictures: 0,
            wish: false,
        }
    }

    /// Lets seconds pass.
    fn run(&mut self, seconds: u64) -> Vec<Second> {
        let second = |call: &mut Self| {
            let mut second = Second::default();
            (0..1000).for_each(|_| call.millisecond(&mut second));
            second
        };
        (0..seconds).map(|_| second(self)).collect()
    }

    fn millisecond(&mut self, second: &mut Second) {
        self.now += Duration::from_millis(1);
        let now = self.now;
        if now >= self.next_picture {
            let at = self.chooser.next(self.adaptation.target(), now);
            let bits = self.chooser.bits_per_second();
            // A picture of another size or rate begins anew, as the real encoder does.
            let key_frame =
                std::mem::take(&mut self.wish) | (self.made.replace((at, bits)) != Some((at, bits)));
            let size = bits / 8 / u64::from(at.frame_rate) * if key_frame { 4 } else { 1 };
            self.sender.push(&unit(size as usize, key_frame), self.pictures * 3000, now).unwrap();
            self.chooser.took(Duration::from_millis(10));
            self.pictures += 1;
            self.next_picture += Duration::from_secs(1) / at.frame_rate;
            (second.width, second.sent) = (second.width.max(at.width), second.sent + 1);
        }
        let mut out = [0; 1400];
        while let Some(packet) = self.sender.poll(now, &mut out) {
            let mut wire = vec![0; HEADER_LEN + packet.len + SrtpSuite::MAX_OVERHEAD];
            wire[HEADER_LEN..][..packet.len].copy_from_slice(&out[..packet.len]);
            let len = self.a.send(&mut wire, packet.len, 98, packet.marker, packet.timestamp, now).unwrap();
            wire.truncate(len);
            self.leave(wire, second);
        }
        let show = &mut |_: VideoFrame<'_>| second.shown += 1;
        while let Some(mut wire) = self.there.arrive(now) {
            let from = NEAR.parse().unwrap();
            if is_rtcp(&wire) {
                self.b.receive_rtcp(&mut wire, from, now).unwrap();
            } else if let Ok(frame) = self.b.receive_rtp(&mut wire, from, now) {
                let (sequence, marker, payload) = (frame.sequence, frame.marker, frame.payload);
                let _ = self.receiver.take(sequence, frame.timestamp, marker, payload, now, show);
            }
        }
        self.receiver.expire(now, show);
        match self.receiver.wants_key_frame() {
            Some(_) => drop(self.b.want_key_frame(now)),
            None => self.b.key_frame_came(),
        }
        self.reports(second);
    }

    /// What both ends report, and what the sender does about it.
    fn reports(&mut self, second: &mut Second) {
        let (now, mut out) = (self.now, [0; 1400]);
        if now >= self.a.next_deadline()
            && let Some(len) = self.a.report(&mut out, now)
        {
            self.leave(out[..len].to_vec(), second);
        }
        if now >= self.b.next_deadline()
            && let Some(len) = self.b.report(&mut out, now)
        {
            self.back.send(out[..len].to_vec(), now);
        }
        while let Some(mut wire) = self.back.arrive(now) {
            let told = self.a.receive_rtcp(&mut wire, FAR.parse().unwrap(), now).unwrap();
            self.wish |= told.key_frame_wanted && self.sender.admits_wish(now);
            if let Some(limit) = told.limit {
                self.adaptation.on_limit(limit);
            }
            if let Some(report) = self.a.figures().remote_report.filter(|_| told.reported) {
                self.adaptation.on_loss(report.fraction_lost, now);
            }
            while let Some(len) = self.a.resend(&mut out, now) {
                self.leave(out[..len].to_vec(), second);
            }
        }
    }

    fn leave(&mut self, wire: Vec<u8>, second: &mut Second) {
        second.bits += 8 * wire.len() as u64;
        self.there.send(wire, self.now);
    }
}

/// A picture of so many bytes; a key frame brings its parameter sets.
fn unit(size: usize, key_frame: bool) -> Vec<u8> {
    let mut bytes = Vec::new();
    if key_frame {
        for kind in [0x67, 0x68] {
            bytes.extend_from_slice(&[0, 0, 0, 1, kind, 0x42, 0xc0, 0x1e, 0x80]);
        }
    }
    bytes.extend_from_slice(&[0, 0, 0, 1, if key_frame { 0x65 } else { 0x41 }, 0x88]);
    bytes.resize(bytes.len() + size, 0xaa);
    bytes
}

/// Fewest pictures a second for signing (EN 301 549 section 6.5.3).
const LEAST: usize = 20;

#[test]
fn on_a_path_that_carries_little_the_picture_gets_smaller_and_keeps_moving() {
    for carried in [200_000, 300_000, 500_000] {
        let mut call = Call::new(1_500_000, carried);
        let first = call.run(1)[0];
        assert_eq!(first.width, 1280, "what was agreed is tried");
        let seconds = call.run(59);
        assert!(seconds.iter().all(|second| second.sent >= LEAST), "{carried}: {seconds:?}");
        // Half a minute later it has settled: small enough to come through.
        let settled = &seconds[29..];
        assert!(settled.iter().all(|second| second.width <= 640), "{carried}: {settled:?}");
        let shown: usize = settled.iter().map(|second| second.shown).sum();
        assert!(shown >= LEAST * settled.len(), "{carried}: {shown} pictures in {} s", settled.len());
        // The path is free again: so is the picture.
        call.there.bits_per_second = 4_000_000;
        let after = call.run(60);
        assert_eq!(after.last().map(|second| second.width), Some(1280), "{carried}: {after:?}");
        assert!(after[10..].iter().all(|second| second.shown >= LEAST), "{carried}: {after:?}");
    }
}

#[test]
fn what_the_far_end_asks_for_is_kept_and_the_picture_keeps_moving() {
    for limit in [100_000, 250_000, 700_000] {
        let mut call = Call::new(1_500_000, 4_000_000);
        assert!(call.run(5).iter().all(|second| second.width == 1280 && second.sent >= 29));
        call.b.request_limit(limit, call.now);
        let seconds = call.run(20);
        assert!(
            seconds.iter().all(|second| second.sent >= 29 && second.shown >= LEAST),
            "{limit}: {seconds:?}"
        );
        let settled = &seconds[2..];
        let bits = settled.iter().map(|second| second.bits).sum::<u64>() / settled.len() as u64;
        // Headers and reports come on top of what a codec makes.
        assert!(bits <= limit * 6 / 5, "{limit}: {bits} bits a second");
        assert!(settled.iter().all(|second| second.width < 1280), "{limit}: {settled:?}");
        call.b.request_limit(2_000_000, call.now);
        let after = call.run(60);
        assert_eq!(after.last().map(|second| second.width), Some(1280), "{limit}: {after:?}");
    }
}

#[test]
fn what_was_agreed_holds_from_the_first_picture_on() {
    for (agreed, width) in [(100_000, 320), (384_000, 640), (1_500_000, 1280)] {
        let seconds = Call::new(agreed, 4_000_000).run(10);
        assert!(
            seconds.iter().all(|second| second.width == width && second.sent >= 29),
            "{agreed}: {seconds:?}"
        );
    }
}
