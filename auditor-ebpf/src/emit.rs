//! Puts records into the ring, and counts those for which there was no room.

use core::{ffi::c_void, mem::MaybeUninit, ptr};

use auditor_common::{
    limit::{PAYLOADS, RING_BYTES},
    record::{Header, Object, flag},
};
use aya_ebpf::{
    bindings::{BPF_RB_AVAIL_DATA, BPF_RB_FORCE_WAKEUP},
    helpers::generated as bpf,
    macros::map,
    maps::{LruHashMap, PerCpuArray, RingBuf},
};

use crate::{
    kernel::{current_start, ids, now, zero},
    object::{self as objects, Target},
    stream::fetch_add,
};

#[map]
static RING: RingBuf = RingBuf::with_byte_size(RING_BYTES, 0);

/// Per CPU: records that found no room; bytes of streams in them; records written; bytes unreadable.
#[map]
static COUNTS: PerCpuArray<u64> = PerCpuArray::with_max_entries(4, 0);

/// Where bytes were lost last, by stream: (generation, position after them).
#[map]
static LOSSES: LruHashMap<u64, [u64; 2]> = LruHashMap::with_max_entries(4_096, 0);

const REFUSED: u32 = 0;
const LOST_BYTES: u32 = 1;
const WRITTEN: u32 = 2;
const UNREADABLE_BYTES: u32 = 3;

/// A header and `N` bytes of payload.
#[repr(C)]
struct Sized<const N: usize> {
    header: Header,
    payload: [u8; N],
}

/// A header of kind `kind` that names the current process.
#[inline(always)]
pub(crate) fn header(kind: u8) -> Header {
    let mut header = MaybeUninit::<Header>::uninit();
    // SAFETY: `begin` sets every field, and reads none.
    unsafe {
        begin(&mut *header.as_mut_ptr(), kind);
        header.assume_init()
    }
}

/// Makes `header` one of kind `kind` that names the current process.
#[inline(always)]
pub(crate) fn begin(header: &mut Header, kind: u8) {
    let (tgid, tid) = ids();
    header.kind = kind;
    header.end = 0;
    header.object = 0;
    header.flags = 0;
    header.len = 0;
    header.time = now();
    header.start = current_start();
    header.tgid = tgid;
    header.tid = tid;
    header.stream = zero();
    header.generation = zero();
    header.pos = zero();
    header.span = 0;
    header.epoch = 0;
    header.lost = zero();
}

/// Copies a header: by words, where an assignment may call `memmove`, which goes by bytes.
#[inline(always)]
pub(crate) fn put(header: &Header, into: *mut Header) {
    // SAFETY: the caller has room for a header, in which `header` is not.
    unsafe { ptr::copy_nonoverlapping(header, into, 1) };
}

/// Emits a header and a fixed part.
#[inline(always)]
pub(crate) fn fixed<T: Copy + 'static>(header: &Header, part: &T) -> bool {
    #[repr(C)]
    struct Record<T> {
        header: Header,
        part: T,
    }
    let Some(mut entry) = RING.reserve::<Record<T>>(0) else {
        refuse(0);
        return false;
    };
    // SAFETY: the entry has room for a record. Field by field, for the sake of the stack.
    unsafe {
        let record = entry.as_mut_ptr();
        put(header, &raw mut (*record).header);
        (&raw mut (*record).part).write(*part);
    }
    entry.submit(0);
    count(WRITTEN, 1);
    true
}

/// Emits a header and what the stream of `target` is, told at the header's end of it.
#[inline(always)]
pub(crate) fn object(header: &Header, target: &Target) -> bool {
    #[repr(C)]
    struct Record {
        header: Header,
        object: Object,
    }
    let Some(mut entry) = RING.reserve::<Record>(0) else {
        refuse(0);
        return false;
    };
    // SAFETY: the entry has room for a record, and both parts are plain data that is written whole.
    unsafe {
        let record = entry.as_mut_ptr();
        put(header, &raw mut (*record).header);
        objects::describe(target, header.end, &mut (*record).object);
    }
    entry.submit(0);
    count(WRITTEN, 1);
    true
}

/// Emits a header alone.
#[inline(always)]
pub(crate) fn bare(header: &Header) -> bool {
    fixed(header, &())
}

/// Emits bytes that are a whole record.
#[inline(always)]
pub(crate) fn bytes(record: *const u8, len: u32) -> bool {
    // SAFETY: the caller's buffer has `len` bytes; the verifier checks it.
    let failed = unsafe {
        bpf::bpf_ringbuf_output(
            (&raw const RING).cast_mut().cast(),
            record.cast_mut().cast(),
            u64::from(len),
            0,
        )
    };
    if failed != 0 {
        refuse(0);
    } else {
        count(WRITTEN, 1);
    }
    failed == 0
}

/// Emits `header.len` bytes of the current process's memory at `address`, with their header. Out of line, for it is
/// large.
#[inline(never)]
pub(crate) fn payload(header: &mut Header, address: u64) -> bool {
    let len = header.len as usize;
    if len <= PAYLOADS[0] {
        sized::<{ PAYLOADS[0] }>(header, address, 0)
    } else if len <= PAYLOADS[1] {
        sized::<{ PAYLOADS[1] }>(header, address, 0)
    } else if len <= PAYLOADS[2] {
        sized::<{ PAYLOADS[2] }>(header, address, 0)
    } else {
        sized::<{ PAYLOADS[3] }>(header, address, wake_when_filling())
    }
}

#[inline(always)]
fn sized<const N: usize>(header: &mut Header, address: u64, wake: u64) -> bool {
    let Some(mut entry) = RING.reserve::<Sized<N>>(0) else {
        refuse(u64::from(header.len));
        return false;
    };
    // SAFETY: the entry has room for a header and N bytes; all of it is written before it is read.
    let record = unsafe { &mut *entry.as_mut_ptr() };
    put(header, &raw mut record.header);
    // Read again, so that the verifier sees the mask on the register it checks. N is a power of two: 1..=N.
    // SAFETY: points to a field.
    let len = unsafe { core::ptr::read_volatile(&raw const header.len) };
    let len = (len.wrapping_sub(1) & (N as u32 - 1)) + 1;
    // SAFETY: at most N bytes into the payload.
    let failed = unsafe {
        bpf::bpf_probe_read_user(
            record.payload.as_mut_ptr().cast(),
            len,
            address as *const c_void,
        )
    };
    if failed != 0 {
        record.header.flags |= flag::UNREADABLE;
        count(UNREADABLE_BYTES, u64::from(len));
    }
    entry.submit(wake);
    count(WRITTEN, 1);
    true
}

/// Wakes the daemon ahead of its time when a quarter of the ring is full.
#[inline(always)]
fn wake_when_filling() -> u64 {
    // SAFETY: RING is a ring buffer.
    let filled = unsafe {
        bpf::bpf_ringbuf_query(
            (&raw const RING).cast_mut().cast(),
            u64::from(BPF_RB_AVAIL_DATA),
        )
    };
    if filled > u64::from(RING_BYTES / 4) {
        u64::from(BPF_RB_FORCE_WAKEUP)
    } else {
        0
    }
}

/// Notes for the daemon where bytes of a stream were lost, in case no later record tells.
#[inline(always)]
pub(crate) fn note_loss(header: &Header, to: u64) {
    // The two ends lose in any order: the farthest counts.
    // SAFETY: the value is two plain numbers.
    let known = unsafe { LOSSES.get(&header.stream) };
    if known.is_some_and(|[generation, end]| *generation == header.generation && *end >= to) {
        return;
    }
    let _ = LOSSES.insert(header.stream, [header.generation, to], 0);
}

/// Counts bytes that were not even tried.
#[inline(always)]
pub(crate) fn count_lost(bytes: u64) {
    count(LOST_BYTES, bytes);
}

#[inline(always)]
fn refuse(bytes: u64) {
    count(REFUSED, 1);
    count(LOST_BYTES, bytes);
}

#[inline(always)]
fn count(index: u32, amount: u64) {
    if let Some(counter) = COUNTS.get_ptr_mut(index) {
        // SAFETY: a word that is only changed by `fetch_add`.
        fetch_add(unsafe { &mut *counter }, amount);
    }
}
