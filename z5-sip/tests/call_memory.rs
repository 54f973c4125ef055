//! What a call weighs: bytes that stay allocated per standing call, both ends counted, and that none stays when it is over.
//!
//! `cargo test -p z5-sip --test call_memory -- --nocapture` prints the figures of docs/performance.md.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    missing_docs,
    unreachable_pub,
    reason = "helpers of tests fail their test"
)]

#[path = "../benches/pair/mod.rs"]
mod pair;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::time::Duration;

thread_local! {
    static HELD: Cell<isize> = const { Cell::new(0) };
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

/// The system's allocator, counting what the thread holds.
struct Counting;

#[expect(
    unsafe_code,
    reason = "the trait is unsafe to implement; every call goes on to the system's allocator"
)]
// SAFETY: each method passes its arguments on unchanged to `System`, which upholds the contract.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        HELD.with(|held| held.set(held.get() + layout.size() as isize));
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        // SAFETY: the caller upholds the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        HELD.with(|held| held.set(held.get() - layout.size() as isize));
        // SAFETY: the block came from `System` through `alloc`.
        unsafe { System.dealloc(block, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const CALLS: usize = 200;
/// Longer than every timer of a transaction (64 x T1, RFC 3261 section 17).
const QUIET: Duration = Duration::from_secs(40);

/// All calls of a round, from the first INVITE until every timer has run out.
fn round(pair: &mut pair::Pair, calls: usize) {
    let calls: Vec<_> = (0..calls).map(|_| pair.establish()).collect();
    for call in calls {
        pair.hang_up(call);
    }
    pair.pass(QUIET);
}

#[test]
fn a_call_is_light_and_leaves_nothing_behind() {
    // calls of one instant share a nonce even where it is good for one call only, so two ways are all there are
    for (name, way) in pair::Way::ALL {
        if matches!(name, "open" | "reused-sha-256") {
            weigh(name, way);
        }
    }
}

#[expect(clippy::print_stdout, reason = "it is there to tell figures too")]
fn weigh(name: &str, way: pair::Way) {
    let held = || HELD.with(Cell::get);
    let mut pair = pair::Pair::new(way);
    // With room for twice as many a hash table never grows again, however its (random) order leaves the gaps.
    round(&mut pair, 2 * CALLS);
    let before = held();
    let allocations = ALLOCATIONS.with(Cell::get);
    let mut calls = Vec::with_capacity(CALLS);
    for _ in 0..CALLS {
        calls.push(pair.establish());
    }
    let busy = (held() - before) / CALLS as isize;
    pair.pass(QUIET);
    let standing = (held() - before) / CALLS as isize;
    for call in calls {
        pair.hang_up(call);
    }
    let made = (ALLOCATIONS.with(Cell::get) - allocations) / CALLS;
    pair.pass(QUIET);
    (0..4).for_each(|_| round(&mut pair, CALLS));
    let after = held() - before;
    println!(
        "{name}: bytes per call, both ends: {busy} just answered, {standing} standing; {made} allocations in its life"
    );
    assert_eq!(pair.calls(), 0);
    assert!(pair.is_as_meant());
    assert!(standing / 2 < 16_000, "{standing} bytes for two ends of one call");
    assert!(after < 5 * CALLS as isize * 20, "{after} bytes are left of {} calls", 5 * CALLS);
}
