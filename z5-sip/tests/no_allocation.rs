//! From bytes to typed headers without one allocation, counted.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::hint::black_box;

use z5_sip::wire::{Indexed, Limits};

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

/// The system's allocator, counting on the thread that asks.
struct Counting;

#[expect(
    unsafe_code,
    reason = "the trait is unsafe to implement; every call goes on to the system's allocator"
)]
// SAFETY: each method passes its arguments on unchanged to `System`, which upholds the contract.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        // SAFETY: the caller upholds the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the block came from `System` through `alloc`.
        unsafe { System.dealloc(block, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn allocations(work: impl FnOnce()) -> usize {
    let before = ALLOCATIONS.with(Cell::get);
    work();
    ALLOCATIONS.with(Cell::get) - before
}

#[test]
fn the_counter_counts() {
    assert_eq!(allocations(|| drop(black_box(vec![1_u8]))), 1);
}

#[test]
fn index_and_six_typed_headers_allocate_nothing() {
    let bytes = include_bytes!("../benches/invite.sip");
    let limits = Limits::default();
    let count = allocations(|| {
        let indexed = Indexed::parse_datagram(bytes, &limits).unwrap();
        let message = indexed.message();
        black_box(message.via().unwrap().branch());
        black_box(message.from().unwrap().tag());
        black_box(message.to().unwrap().tag());
        black_box(message.cseq().unwrap().number);
        black_box(message.contact().unwrap().uri.host());
        black_box(message.call_id().unwrap());
        black_box(message.request_uri().unwrap().unwrap());
        assert_eq!(message.vias().count(), 1);
        assert_eq!(message.body().len(), 240);
    });
    assert_eq!(count, 0);
}
