//! Births and ends of TCP connections: a flow's key may be reused, and not every close is followed by a read.

use core::ffi::c_void;

use auditor_common::record::{self, end, object};
use aya_ebpf::{macros::btf_tracepoint, programs::BtfTracePointContext};

use crate::{
    emit,
    kernel::{offset, read},
    object as objects, stream,
};

const SOCK_STREAM: u16 = 1;
const TCP_ESTABLISHED: i32 = 1;
const TCP_SYN_SENT: i32 = 2;
const TCP_CLOSE: i32 = 7;

/// `TP_PROTO(const struct sock *sk, const int oldstate, const int newstate)`.
#[btf_tracepoint(function = "inet_sock_set_state")]
pub fn inet_sock_set_state(context: BtfTracePointContext) -> i32 {
    let sock = context.arg::<*const c_void>(0) as u64;
    let old = context.arg::<i32>(1);
    let new = context.arg::<i32>(2);
    if read::<u16>(sock, offset!(sock_type)) != SOCK_STREAM {
        return 0;
    }
    if new == TCP_ESTABLISHED && old == TCP_SYN_SENT {
        // The connecting end is first: nothing has moved yet.
        let flow = objects::flow(sock);
        stream::forget(flow.key(false));
        stream::forget(flow.key(true));
    } else if new == TCP_CLOSE {
        let flow = objects::flow(sock);
        close(flow.key(false), flow.key(true));
    }
    0
}

/// Tells that nothing more goes out on a stream.
#[inline(always)]
fn close(out: u64, back: u64) {
    let Some(stream) = stream::find(out) else {
        return;
    };
    if !stream.is_capturing() && !stream::find(back).is_some_and(|twin| twin.is_capturing()) {
        return;
    }
    let mut header = emit::header(record::END);
    header.end = end::WRITE;
    header.object = object::TCP;
    header.stream = out;
    header.generation = stream.generation;
    header.pos = stream.position();
    header.flags = stream.flags();
    // What runs here is often the network, not the process whose socket it is.
    header.tgid = 0;
    header.tid = 0;
    header.start = 0;
    emit::bare(&header);
}
