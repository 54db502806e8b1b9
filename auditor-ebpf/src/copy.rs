//! Copies the bytes of one system call into the ring, piece by piece.
//!
//! The state of the copy lives in a per-CPU map value: the verifier does not follow values there, so that the loop
//! costs it one iteration. Pieces have the sizes of [`limit::PAYLOADS`].

use core::ffi::c_void;

use auditor_common::{
    limit::{self, PAYLOAD_MAX},
    record::{Header, flag},
};
use aya_ebpf::{helpers::generated as bpf, macros::map, maps::PerCpuArray};

use crate::{
    emit,
    kernel::{read_user, zero},
    stream::Stream,
};

/// Where the bytes of a system call are: one buffer, or a list of them, in the program's memory.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Source {
    /// The current buffer, and what is left of it.
    pub(crate) base: u64,
    pub(crate) rem: u64,
    /// The next `struct iovec`, and how many are left.
    iov: u64,
    iovs: u64,
    /// Bytes left in all.
    left: u64,
}

impl Source {
    /// `len` bytes at `base`.
    #[inline(always)]
    pub(crate) fn buffer(base: u64, len: u64) -> Self {
        Self {
            base,
            rem: len,
            iov: zero(),
            iovs: zero(),
            left: len,
        }
    }

    /// The first `len` bytes of `iovs` buffers.
    #[inline(always)]
    pub(crate) fn vector(iov: u64, iovs: u64, len: u64) -> Self {
        Self {
            base: zero(),
            rem: zero(),
            iov,
            iovs,
            left: len,
        }
    }

    /// Moves on to a buffer that is not empty; false at the end, or after eight empty ones.
    #[inline(always)]
    pub(crate) fn find_segment(&mut self) -> bool {
        for _ in 0..8 {
            if self.rem != 0 || !self.next_segment() {
                break;
            }
        }
        self.rem != 0 && self.left != 0
    }

    #[inline(always)]
    fn next_segment(&mut self) -> bool {
        if self.iovs == 0 || self.left == 0 {
            return false;
        }
        let Some([base, len]) = read_user::<[u64; 2]>(self.iov) else {
            self.iovs = 0;
            return false;
        };
        self.iov += 16;
        self.iovs -= 1;
        self.base = base;
        self.rem = if len > self.left { self.left } else { len };
        true
    }

    /// Passes over `len` bytes of the current buffer.
    #[inline(always)]
    pub(crate) fn skip(&mut self, len: u64) {
        self.base += len;
        self.rem -= len;
        self.left -= len;
    }
}

/// A copy under way.
#[repr(C)]
struct Copy {
    header: Header,
    source: Source,
    /// Bytes still to be passed over, for the other end has copied them.
    skip: u64,
    /// Extent of what could not be delivered.
    lost_from: u64,
    lost_to: u64,
}

#[map]
static COPY: PerCpuArray<Copy> = PerCpuArray::with_max_entries(limit::SLOTS, 0);

/// Copies the bytes from `skip` on. `header` describes the first of them.
///
/// `LOOP` says whether the kernel has `bpf_loop`. Out of line for the sake of the caller's stack.
#[inline(never)]
pub(crate) fn run<const LOOP: bool>(
    stream: &mut Stream,
    header: &mut Header,
    source: &mut Source,
    skip: u64,
    mut slot: u32,
) {
    let stop = header.pos + source.left - skip;
    if source.rem == 0 {
        source.next_segment();
    }
    if skip == 0 && source.rem == source.left && source.left <= PAYLOAD_MAX as u64 {
        return whole(stream, header, source.base, stop);
    }
    let Some(copy) = COPY.get_ptr_mut(slot) else {
        return;
    };
    // SAFETY: per CPU, and a slot belongs to one program at a time.
    let copy = unsafe { &mut *copy };
    // In place, for the sake of the stack.
    emit::put(header, &raw mut copy.header);
    copy.source = *source;
    copy.skip = skip;
    copy.lost_from = zero();
    copy.lost_to = zero();
    if LOOP {
        // SAFETY: `step_at` has the form that the helper calls.
        unsafe {
            bpf::bpf_loop(
                limit::STEPS,
                step_at as *mut c_void,
                (&raw mut slot).cast(),
                0,
            )
        };
    } else {
        for _ in 0..limit::STEPS_BOUNDED {
            if step(copy) != 0 {
                break;
            }
        }
    }
    if copy.header.pos < stop {
        // More pieces than steps, or a list of buffers that could not be read.
        copy.note_lost(stop);
        emit::count_lost(stop - copy.header.pos);
    }
    // What no record could tell is told with the next.
    stream.lost += copy.header.lost;
    stream.pending |= copy.header.flags & (flag::SKIPPED | flag::LOST);
    stream.note_copied(stop);
    if copy.lost_to != 0 {
        stream.note_lost(copy.lost_from, copy.lost_to);
        emit::note_loss(&copy.header, copy.lost_to);
    }
}

/// Copies up to `stop` what is one piece of one buffer, as nearly everything is.
#[inline(always)]
fn whole(stream: &mut Stream, header: &mut Header, base: u64, stop: u64) {
    let pos = header.pos;
    header.len = (stop - pos) as u32;
    header.span = header.len;
    if !emit::payload(header, base) {
        stream.lost += header.lost;
        stream.pending |= header.flags & (flag::SKIPPED | flag::LOST);
        stream.note_lost(pos, stop);
        emit::note_loss(header, stop);
    }
    stream.note_copied(stop);
}

extern "C" fn step_at(_index: u32, slot: *mut c_void) -> i64 {
    // SAFETY: points to what `run` handed over.
    match COPY.get_ptr_mut(unsafe { *slot.cast() }) {
        // SAFETY: as in `run`.
        Some(copy) => step(unsafe { &mut *copy }),
        None => 1,
    }
}

/// One step: the next buffer, or the next piece of it. Not 0 at the end.
#[inline(never)]
fn step(copy: &mut Copy) -> i64 {
    if copy.source.left == 0 {
        return 1;
    }
    if copy.source.rem == 0 {
        return i64::from(!copy.source.next_segment());
    }
    if copy.skip != 0 {
        let len = if copy.skip > copy.source.rem {
            copy.source.rem
        } else {
            copy.skip
        };
        copy.skip -= len;
        copy.source.skip(len);
        return 0;
    }
    let len = if copy.source.rem > PAYLOAD_MAX as u64 {
        PAYLOAD_MAX as u64
    } else {
        copy.source.rem
    };
    copy.header.len = len as u32;
    copy.header.span = len as u32;
    if emit::payload(&mut copy.header, copy.source.base) {
        // Told once.
        copy.header.flags &= !(flag::SKIPPED | flag::LOST);
        copy.header.lost = 0;
    } else {
        copy.note_lost(copy.header.pos + len);
    }
    copy.header.pos += len;
    copy.source.skip(len);
    0
}

impl Copy {
    #[inline(always)]
    fn note_lost(&mut self, to: u64) {
        if self.lost_to == 0 {
            self.lost_from = self.header.pos;
        }
        self.lost_to = to;
    }
}
