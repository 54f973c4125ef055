//! A far end, or a stranger, that means harm: every packet is counted under one reason, none costs memory without bound, and
//! what is good goes on through it. Sans-IO and with fake time; the same over real sockets stands at the end.
//!
//! Memory is what this thread has allocated and not freed, counted by the allocator.

#![expect(clippy::unwrap_used, reason = "a test stops at what cannot happen")]
#![expect(
    unsafe_code,
    reason = "a global allocator cannot be written without it; it only counts and passes on"
)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use z5_media::clock::{self, WallAnchor};
use z5_media::codec::telephone_event::{Payload, Presses};
use z5_media::playout::AudioPlayout;
use z5_media::rtp::{HEADER_LEN, Header};
use z5_media::srtp::{SrtpParams, SrtpSuite};
use z5_media::stats::DropReason;
use z5_media::stream::{FeedbackConfig, Session, SessionConfig};
use z5_media::text::TextReceiver;
use z5_media::video::VideoReceiver;
use z5_media::{
    AudioCodec, AudioConfig, AudioOptions, Direction, Engine, EngineConfig, StreamConfig, StreamEvent,
    StreamKind, StreamStats, TelephoneEvent, rtcp,
};

struct Counting;

thread_local! {
    static LIVE: Cell<i64> = const { Cell::new(0) };
}

fn count(bytes: i64) {
    // A thread that ends has no cell any more; nothing is measured then.
    let _ = LIVE.try_with(|live| live.set(live.get() + bytes));
}

// SAFETY: every call is passed to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as i64);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(-(layout.size() as i64));
        // SAFETY: the caller's promise is passed on.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size as i64 - layout.size() as i64);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Bytes this thread holds more after `work` than before it.
fn grown(work: impl FnOnce()) -> i64 {
    let before = LIVE.with(Cell::get);
    work();
    LIVE.with(Cell::get) - before
}

const NEAR: &str = "127.0.0.1:4000";
const FAR: &str = "127.0.0.2:5000";
const ALL: FeedbackConfig = FeedbackConfig {
    nack: true,
    pli: true,
    fir: true,
    tmmbr: true,
    reduced_size: true,
    extended_reports: true,
};

fn addr(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// The session of one end; `ssrc` is its own.
fn session(
    remote: &str,
    ssrc: u32,
    srtp: Option<SrtpParams>,
    feedback: FeedbackConfig,
    start: Instant,
) -> Session {
    let remote = addr(remote);
    Session::new(SessionConfig {
        remote,
        remote_rtcp: remote,
        receive: true,
        srtp: srtp.map(|params| params.contexts().unwrap()),
        ssrc,
        first_sequence: 100,
        first_timestamp: 0,
        clock_rate: 8000,
        cname: "c".into(),
        payload_types: vec![0],
        feedback,
        start,
        anchor: WallAnchor::new(start, Duration::from_secs(1_000_000)),
    })
}

/// The end that means well (SSRC 1) and ours (SSRC 2), which has heard it once.
fn pair(suite: Option<SrtpSuite>, feedback: FeedbackConfig, start: Instant) -> (Session, Session) {
    let keys = suite.map(|suite| {
        let (a, b) = (vec![1; suite.key_and_salt_len()], vec![2; suite.key_and_salt_len()]);
        (SrtpParams::new(suite, &a, &b).unwrap(), SrtpParams::new(suite, &b, &a).unwrap())
    });
    let (a, b) = keys.unzip();
    let mut ends = (session(FAR, 1, a, feedback, start), session(NEAR, 2, b, feedback, start));
    assert!(good(&mut ends, start), "the first packet");
    ends
}

fn sealed(session: &mut Session, payload: &[u8], now: Instant) -> Vec<u8> {
    let mut wire = vec![0; HEADER_LEN + payload.len() + SrtpSuite::MAX_OVERHEAD];
    wire[HEADER_LEN..][..payload.len()].copy_from_slice(payload);
    let len = session.send(&mut wire, payload.len(), 0, false, 160, now).unwrap();
    wire.truncate(len);
    wire
}

/// A packet of the end that means well is taken.
fn good((near, ours): &mut (Session, Session), now: Instant) -> bool {
    let mut wire = sealed(near, &[0x55; 160], now);
    ours.receive_rtp(&mut wire, addr(NEAR), now).is_ok()
}

fn forged(ssrc: u32, sequence: u16, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0; HEADER_LEN];
    Header { payload_type: 0, marker: false, sequence, timestamp: 160, ssrc }
        .write(packet.first_chunk_mut().unwrap());
    packet.extend_from_slice(payload);
    packet
}

fn suites() -> [Option<SrtpSuite>; 3] {
    [None, Some(SrtpSuite::AesCm128HmacSha1_80), Some(SrtpSuite::AeadAes256Gcm)]
}

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

/// A compound of our making, as the far end would protect it: in the clear here.
fn lie(ours: &mut Session, compound: &[u8], now: Instant) -> Result<z5_media::stream::Told, DropReason> {
    ours.receive_rtcp(&mut compound.to_vec(), addr(NEAR), now)
}

fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_be_bytes()).collect()
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

#[test]
fn a_flood_of_keys_is_bounded_and_each_press_is_told_once() {
    let mut presses = Presses::default();
    let mut told = 0;
    let grown = grown(|| {
        for n in 0..100_000_u32 {
            let payload = Payload {
                event: (n % 256) as u8,
                end: n % 5 == 4,
                volume: 10,
                duration: (n % 5 * 160) as u16,
            };
            told += presses.take(n / 5 * 800, payload).into_iter().flatten().count();
        }
    });
    // Of the codes only 0 to 16 are keys, and five packets make one press.
    assert!(told <= 20_000, "{told}");
    assert_eq!(grown, 0);
}

#[test]
fn fragments_that_never_end_are_given_up() {
    let start = clock::now();
    let mut receiver = VideoReceiver::new(Duration::from_millis(200), start);
    let mut shown = 0;
    let grown = grown(|| {
        // FU-A of a key frame: a start, then middles for ever (30 MB), in order, in one picture.
        for n in 0..25_000_u64 {
            let mut fragment = vec![0x3c; 1200];
            fragment[..2].copy_from_slice(&[0x7c, if n == 0 { 0x85 } else { 0x05 }]);
            let now = start + Duration::from_millis(n);
            let _ = receiver.take(1000 + n, 90, false, &fragment, now, &mut |_| shown += 1);
        }
    });
    assert_eq!(shown, 0);
    assert!(
        grown < 9 << 20,
        "{grown} bytes: an access unit has at most 4 MB, and its buffer at most twice that"
    );
    // Starts without ends, each of another picture; and holes, so that nothing can be put together.
    let grown = self::grown(|| {
        for n in 0..25_000_u64 {
            let mut fragment = vec![0x3c; 1200];
            fragment[..2].copy_from_slice(&[0x7c, 0x85]);
            let now = start + Duration::from_secs(60) + Duration::from_millis(n);
            let _ =
                receiver.take(100_000 + 2 * n, n as u32 * 3000, false, &fragment, now, &mut |_| shown += 1);
        }
    });
    assert_eq!(shown, 0);
    assert!(grown < 2 << 20, "{grown} bytes");
}

#[test]
fn text_that_never_follows_on_is_bounded() {
    let start = clock::now();
    let mut receiver = TextReceiver::new(98, Some(99));
    let mut shown = String::with_capacity(1 << 20);
    let grown = grown(|| {
        for n in 0..50_000_u64 {
            // Every second packet is missing, and what comes claims to be large.
            let _ = receiver.take(1000 + 2 * n, 98, &[b'a'; 1000], start, &mut shown);
            shown.clear();
        }
    });
    assert!(grown < 256 << 10, "{grown} bytes");
}

#[test]
fn sound_with_absurd_times_is_bounded_and_playing_goes_on() {
    let start = clock::now();
    let mut playout = AudioPlayout::new(AudioCodec::Pcmu, &[]);
    let mut frame = [0_i16; 160];
    let mut random = 1_u32;
    let grown = grown(|| {
        for n in 0..50_000_u32 {
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let now = start + Duration::from_millis(u64::from(n) / 10);
            let _ = playout.insert(u64::from(random >> 8), random, &[0x55; 160], now);
            if n % 200 == 0 {
                playout.pull(&mut frame, now);
            }
        }
    });
    assert!(grown < 1 << 20, "{grown} bytes");
    // A far end that makes sense again is heard.
    playout.restart();
    let then = start + Duration::from_secs(100);
    for n in 0..50_u32 {
        let now = then + Duration::from_millis(20) * n;
        playout.insert(u64::from(n) + (1 << 40), n * 160, &[0x10; 160], now).unwrap();
        playout.pull(&mut frame, now);
    }
    assert!(frame.iter().all(|sample| *sample != 0));
}

#[test]
fn no_compound_of_any_content_makes_the_reader_say_more_than_it_holds() {
    // A compound of 2048 bytes of the smallest packets says at most one thing per four bytes.
    let mut told = 0;
    let compound: Vec<u8> = words(&[0x80c9_0001, 1]).repeat(256);
    rtcp::read(&compound, |_| told += 1).unwrap();
    assert_eq!(told, 256);
}

/// An engine's stream that a socket of the test talks to.
struct Attacked {
    engine: Engine,
    stream: z5_media::StreamId,
    events: std::sync::mpsc::Receiver<StreamEvent>,
    rtp: SocketAddr,
    rtcp: SocketAddr,
    far_end: std::net::UdpSocket,
}

impl Attacked {
    fn new(feedback: FeedbackConfig) -> Self {
        let (told, events) = std::sync::mpsc::channel();
        let engine = Engine::start(EngineConfig::new(move |event| drop(told.send(event)))).unwrap();
        let port = engine.reserve(addr(NEAR).ip(), 0..=0).unwrap();
        let far_end = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let (rtp, rtcp, remote) = (port.rtp_addr(), port.rtcp_addr(), far_end.local_addr().unwrap());
        let config = StreamConfig {
            kind: StreamKind::Audio(AudioConfig {
                codec: AudioCodec::Pcmu,
                send_payload_type: 0,
                receive_payload_type: 0,
                telephone_event: Some(TelephoneEvent {
                    send_payload_type: 101,
                    receive_payload_type: 101,
                    clock_rate: 8000,
                }),
                ptime_ms: 20,
                source: Box::new(z5_media::source::Silence),
                sink: Box::new(z5_media::sink::Null),
                options: AudioOptions { feedback, ..AudioOptions::default() },
            }),
            remote,
            remote_rtcp: remote,
            rtcp_mux: false,
            direction: Direction::BOTH,
            srtp: None,
            ssrc: 2,
            first_sequence: 1,
            first_timestamp: 1,
            cname: "c".into(),
        };
        let stream = engine.start_stream(port, config).unwrap();
        Self { engine, stream, events, rtp, rtcp, far_end }
    }

    /// Sends so few that they fit the socket's buffer, and waits until `seen` says that they were taken.
    fn send(&self, datagrams: &[Vec<u8>], seen: impl Fn(&StreamStats) -> bool) -> StreamStats {
        for datagram in datagrams {
            self.far_end.send_to(datagram, self.rtp).unwrap();
        }
        // Each look asks both threads, which take what waits before they answer.
        std::iter::repeat_with(|| self.engine.stats(self.stream).unwrap()).find(seen).unwrap()
    }
}

fn dropped(stats: &StreamStats) -> u64 {
    stats.dropped.values().sum()
}

#[test]
fn over_real_sockets_all_of_it_is_counted_and_sound_goes_on() {
    let attacked = Attacked::new(ALL);
    let good = |n: u16| forged(1, n, &[0x55; 160]);
    attacked.send(&[good(1), good(2)], |stats| stats.packets_received == 2);
    let with_type = |payload_type: u8| {
        let mut packet = good(3);
        packet[1] = payload_type;
        packet
    };
    let mut extension = good(3);
    (extension[0], extension[14], extension[15]) = (0x90, 0xff, 0xff);
    let cases = [
        (vec![0x80; 5], DropReason::TooShort),
        (vec![0x80; 4000], DropReason::TooLong),
        (vec![0x80; 65_000], DropReason::TooLong),
        (vec![0x00; 60], DropReason::BadVersion),
        (extension, DropReason::BadHeader),
        (with_type(96), DropReason::UnknownPayloadType),
        (forged(77, 3, &[0; 160]), DropReason::ForeignSsrc),
        (forged(1, 40_000, &[0; 160]), DropReason::SequenceJump),
        (good(2), DropReason::Duplicate),
    ];
    for (n, (datagram, reason)) in cases.iter().enumerate() {
        let stats = attacked.send(std::slice::from_ref(datagram), |stats| dropped(stats) == n as u64 + 1);
        assert!(stats.dropped.contains_key(reason), "{reason:?}: {:?}", stats.dropped);
    }
    // A zero-length datagram, and reports full of lies on the port for reports.
    let lies = [
        vec![],
        words(&[0x81cd_0004, 1, 2, 0x0000_ffff, 0x0011_ffff]),
        words(&[0x83cd_0004, 1, 0, 2, 0]),
        words(&[0x81c9_0007, 1, 2, 0xffff_ffff, 9, u32::MAX, 1, 1]),
        words(&[0x81cb_0001, 99]),
    ];
    for lie in &lies {
        attacked.far_end.send_to(lie, attacked.rtcp).unwrap();
    }
    let counted = cases.len() as u64 + 1;
    let stats = attacked.send(&[], |stats| stats.remote_report.is_some() && dropped(stats) == counted);
    assert!(!stats.bye_received, "{stats:?}");
    let stats = attacked.send(&[good(4)], |stats| stats.packets_received == 3);
    assert_eq!((stats.remote_ssrc, stats.source), (Some(1), attacked.far_end.local_addr().ok()));
    // And it is played, when the buffer has filled.
    attacked.send(&[], |stats| stats.playout.is_some_and(|playout| playout.played_ms > 0.0));
}

#[test]
fn a_flood_of_keys_over_a_real_socket_is_told_at_most_once_each_and_what_is_too_much_is_counted() {
    let attacked = Attacked::new(FeedbackConfig::default());
    let (mut sequence, mut stats) = (0_u16, None);
    for batch in 0..50_u32 {
        let datagrams: Vec<Vec<u8>> = (0..40)
            .map(|n| {
                sequence += 1;
                let payload = Payload { event: (n % 20) as u8, end: true, volume: 10, duration: 160 };
                let mut packet = forged(1, sequence, &payload.to_bytes());
                packet[1] = 101;
                packet[4..8].copy_from_slice(&((batch * 40 + n) * 800).to_be_bytes());
                packet
            })
            .collect();
        let wanted = u64::from(batch + 1) * 40;
        stats = Some(attacked.send(&datagrams, |stats| stats.packets_received == wanted));
    }
    let stopped = attacked.engine.stop_stream(attacked.stream).unwrap();
    assert_eq!(stats.unwrap().packets_received, 2000);
    let told =
        attacked.events.try_iter().filter(|event| matches!(event, StreamEvent::Digit { .. })).count() as u64;
    let overflow = stopped.dropped.get(&DropReason::Overflow).copied().unwrap_or(0);
    // Seventeen of twenty codes are keys; what the worker had no room for was counted.
    assert!(told <= 1700 && told + overflow >= 1700, "{told} told, {:?}", stopped.dropped);
}
