//! Asks the processor for a stream's memory before it is needed. With a thousand calls the state of the next one is in
//! no near cache, and its lines would be waited for one after the other.

/// Bytes of a line.
const LINE: usize = 64;

/// Asks for the first `bytes` of `value`. Changes nothing but the time that passes.
#[cfg(target_arch = "x86_64")]
#[expect(unsafe_code, reason = "the instruction has no safe form; see the SAFETY comment")]
pub(crate) fn prefetch<T>(value: &T, bytes: usize) {
    use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
    let start = std::ptr::from_ref(value).cast::<i8>();
    for line in 0..bytes.min(size_of::<T>()).div_ceil(LINE) {
        // SAFETY: a prefetch reads nothing and never faults, whatever the address.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(start.wrapping_add(line * LINE)) };
    }
}

/// Elsewhere there is no stable way to say it.
#[cfg(not(target_arch = "x86_64"))]
pub(crate) fn prefetch<T>(_value: &T, _bytes: usize) {
    let _ = LINE;
}
