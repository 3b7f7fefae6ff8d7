//! Asks the processor for memory before it is needed.
//!
//! Events of one batch belong to people and items whose records lie far apart. One event waits for each of its places in
//! turn; asked for together, the places of many events arrive together. Only time depends on this module, never a result.

/// Lines of one place that are asked for: more than this the processor finds by itself.
const LINES_MAX: usize = 8;
const LINE_BYTES: usize = 64;

/// Asks for what a reference points to.
#[inline]
pub fn fetch<T: ?Sized>(place: &T) {
    let start = std::ptr::from_ref(place).cast::<u8>();
    let lines = std::mem::size_of_val(place).div_ceil(LINE_BYTES).min(LINES_MAX);
    for line in 0..lines {
        line_at(start.wrapping_add(line * LINE_BYTES));
    }
}

#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn line_at(address: *const u8) {
    use std::arch::x86_64::{_mm_prefetch, _MM_HINT_T0};
    // SAFETY: a prefetch reads nothing into the program and cannot fault, whatever the address.
    unsafe { _mm_prefetch::<_MM_HINT_T0>(address.cast()) }
}

#[cfg(not(target_arch = "x86_64"))]
#[inline(always)]
fn line_at(_: *const u8) {}
