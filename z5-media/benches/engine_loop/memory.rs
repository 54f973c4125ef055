//! Bytes per call beyond the first: what the process holds, and what the allocator gave out.

#![expect(
    unsafe_code,
    reason = "a global allocator cannot be written without it; it only counts and passes on"
)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use z5_media::{Engine, SrtpParams, SrtpSuite, StreamKind};

use super::{calls, cpu, traffic};

/// Calls beyond the first.
const CALLS: u32 = 400;

struct Counting;

static BYTES: AtomicI64 = AtomicI64::new(0);
static COUNTING: AtomicBool = AtomicBool::new(false);

fn count(bytes: i64) {
    if COUNTING.load(Ordering::Relaxed) {
        BYTES.fetch_add(bytes, Ordering::Relaxed);
    }
}

// SAFETY: every call is passed to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as i64);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as i64);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc_zeroed(layout) }
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

/// Resident bytes of this process.
fn resident() -> i64 {
    let text = std::fs::read_to_string("/proc/self/statm").expect("Linux tells memory there");
    let pages: i64 = text.split(' ').nth(1).and_then(|n| n.parse().ok()).expect("a number");
    pages * 4096
}

/// Kinds of calls, each measured in a process of its own: what another one freed would be used again.
const KINDS: [&str; 5] = [
    "with codec, own sockets, in the clear",
    "with codec, own sockets, AEAD_AES_128_GCM",
    "with codec, own sockets, AES_CM_128_HMAC_SHA1_80",
    "pre-encoded, own sockets, AEAD_AES_128_GCM",
    "pre-encoded, shared socket, AEAD_AES_128_GCM",
];

/// Measures calls with codec, in the clear and with SRTP, and pre-encoded ones.
pub(crate) fn run() {
    println!("memory per G.711 call beyond the first, {CALLS} calls");
    let program = std::env::current_exe().expect("this program");
    for kind in 0..KINDS.len() {
        let status = std::process::Command::new(&program).arg(format!("{ONE}{kind}")).status();
        assert!(status.expect("this program").success());
    }
}

/// The argument, with its number, by which this program measures one kind only.
pub(crate) const ONE: &str = "memory-";

/// Measures one kind.
pub(crate) fn one(kind: &str) {
    COUNTING.store(true, Ordering::Relaxed);
    let media = calls::tone();
    let gcm = || Some(traffic::params());
    let name = kind.parse().ok().and_then(|n: usize| KINDS.get(n)).expect("a kind");
    match kind {
        "0" => measure(name, calls::g711, || None, false),
        "1" => measure(name, calls::g711, gcm, false),
        "2" => {
            let keys =
                || Some(SrtpParams::new(SrtpSuite::AesCm128HmacSha1_80, &[1; 30], &[1; 30]).expect("keys"));
            measure(name, calls::g711, keys, false);
        }
        "3" => measure(name, || calls::load(&media), gcm, false),
        _ => measure(name, || calls::load(&media), gcm, true),
    }
}

/// Pairs of calls of one engine talk to each other, so that every buffer is used.
fn measure(name: &str, make: impl Fn() -> StreamKind, keys: impl Fn() -> Option<SrtpParams>, shared: bool) {
    let engine = calls::engine();
    let ports = shared.then(|| [(); 2].map(|()| engine.share(calls::LOCAL, 0..=0).expect("a port")));
    let pair = |engine: &Engine, n: u32| {
        let (left, right) = (2 * n, 2 * n + 1);
        let [a, b] = match &ports {
            Some([a, b]) => [a.port(Some(right)), b.port(Some(left))],
            None => [(); 2].map(|()| engine.reserve(calls::LOCAL, 0..=0).expect("a port")),
        };
        let config_a = calls::stream(make(), b.rtp_addr(), left, keys());
        let config_b = calls::stream(make(), a.rtp_addr(), right, keys());
        engine.start_stream(a, config_a).expect("started");
        engine.start_stream(b, config_b).expect("started");
    };
    let settle = || cpu::pass(Duration::from_secs(2));
    pair(&engine, 0);
    settle();
    let before = (BYTES.load(Ordering::Relaxed), resident());
    for n in 1..=CALLS / 2 {
        pair(&engine, n);
    }
    settle();
    let after = (BYTES.load(Ordering::Relaxed), resident());
    let per_call = |after: i64, before: i64| (after - before) as f64 / f64::from(CALLS) / 1024.0;
    println!(
        "  {name:<46} allocator {:>6.1} KB   resident {:>6.1} KB",
        per_call(after.0, before.0),
        per_call(after.1, before.1)
    );
}
