//! Bytes that move through `io_uring`: told as unheard.

use core::ffi::c_void;

use auditor_common::record::end;
use aya_ebpf::{macros::btf_tracepoint, programs::BtfTracePointContext};

use crate::{
    io,
    kernel::{ids, is_self, offset, read},
    object::{self, Target},
    stream,
};

/// Operations of `enum io_uring_op` that move bytes, by direction.
const READS: u64 = 1 << 1 | 1 << 4 | 1 << 10 | 1 << 22 | 1 << 27;
const WRITES: u64 = 1 << 2 | 1 << 5 | 1 << 9 | 1 << 23 | 1 << 26 | 1 << 47 | 1 << 48;

/// `TP_PROTO(struct io_ring_ctx *ctx, void *req, u64 user_data, int res, ...)`: Linux 5.19 to 6.16.
#[btf_tracepoint(function = "io_uring_complete")]
pub fn io_uring_complete(context: BtfTracePointContext) -> i32 {
    completed(
        context.arg::<*const c_void>(1) as u64,
        context.arg::<i32>(3),
    );
    0
}

/// `TP_PROTO(struct io_ring_ctx *ctx, void *req, struct io_uring_cqe *cqe)`: later.
#[btf_tracepoint(function = "io_uring_complete")]
pub fn io_uring_complete_cqe(context: BtfTracePointContext) -> i32 {
    // struct io_uring_cqe: user_data, then res.
    let entry = context.arg::<*const c_void>(2) as u64;
    completed(context.arg::<*const c_void>(1) as u64, read(entry, 8));
    0
}

/// A request has moved `moved` bytes, if that is what it was for.
#[inline(always)]
fn completed(request: u64, moved: i32) {
    if moved <= 0 || request == 0 || is_self(ids().0) {
        return;
    }
    let operation = read::<u8>(request, offset!(request_opcode));
    let bit = if operation < 64 { 1u64 << operation } else { 0 };
    let side = if bit & READS != 0 {
        end::READ
    } else if bit & WRITES != 0 {
        end::WRITE
    } else {
        return;
    };
    let mut target = Target::none();
    if !object::find(read(request, offset!(request_file)), side, &mut target) {
        return;
    }
    if let Some(stream) = stream::of(&target) {
        io::unheard(stream, &target, side, moved as u64);
    }
}
