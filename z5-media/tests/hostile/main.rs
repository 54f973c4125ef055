//! A far end, or a stranger, that means harm: every packet is counted under one reason, none costs memory without bound, and
//! what is good goes on through it. Sans-IO and with fake time; the same over real sockets in `sockets`.
//!
//! Memory is what this thread has allocated and not freed, counted by the allocator.

#![expect(clippy::unwrap_used, reason = "a test stops at what cannot happen")]
#![expect(
    unsafe_code,
    reason = "a global allocator cannot be written without it; it only counts and passes on"
)]

mod media;
mod packets;
mod reports;
mod sockets;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use z5_media::clock::{self, WallAnchor};
use z5_media::rtp::{HEADER_LEN, Header};
use z5_media::srtp::{SrtpParams, SrtpSuite};
use z5_media::stats::DropReason;
use z5_media::stream::{FeedbackConfig, Session, SessionConfig};
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

fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_be_bytes()).collect()
}
