//! Asks for memory before it is needed: the processor for lines, the system for large pages.
//!
//! Events of one batch belong to people and items whose records lie far apart. One event waits for each of its places in
//! turn; asked for together, the places of many events arrive together. A table of many megabytes that is read at random
//! is found sooner in large pages: fewer levels of page tables to walk, and these in the cache. Only tables that grow
//! seldom are worth it, because the first touch of a large page takes a tenth of a millisecond and more. Only time depends
//! on this module, never a result.

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

/// A table below this lies in too few large pages to matter.
#[cfg(target_os = "linux")]
const TABLE_BYTES_MIN: usize = 4 << 20;
#[cfg(target_os = "linux")]
const LARGE_PAGE_BYTES: usize = 2 << 20;

/// Asks for large pages for a table whose capacity has just grown. Nothing changes where the system has none.
#[cfg(target_os = "linux")]
pub fn in_large_pages<T>(table: &Vec<T>) {
    let (start, bytes) = (table.as_ptr() as usize, table.capacity() * std::mem::size_of::<T>());
    if bytes < TABLE_BYTES_MIN {
        return;
    }
    let from = start.next_multiple_of(LARGE_PAGE_BYTES);
    let length = (start + bytes).saturating_sub(from) / LARGE_PAGE_BYTES * LARGE_PAGE_BYTES;
    // SAFETY: the range lies within one allocation, and the advice does not change what is in it.
    unsafe { libc::madvise(from as *mut libc::c_void, length, libc::MADV_HUGEPAGE) };
}

#[cfg(not(target_os = "linux"))]
pub fn in_large_pages<T>(_: &Vec<T>) {}

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
