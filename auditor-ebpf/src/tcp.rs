//! Births and ends of TCP connections: a flow's key may be reused, and not every close is followed by a read.

use core::ffi::c_void;

use auditor_common::record::{self, end, object};
use aya_ebpf::{macros::btf_tracepoint, programs::BtfTracePointContext};

use crate::{
    emit,
    kernel::{offset, read},
    object::{self as objects, LAYER},
    session, stream,
};

const SOCK_STREAM: u16 = 1;
const TCP_ESTABLISHED: i32 = 1;
const TCP_SYN_SENT: i32 = 2;
const TCP_FIN_WAIT1: i32 = 4;
const TCP_CLOSE: i32 = 7;
const TCP_LAST_ACK: i32 = 9;

/// `TP_PROTO(const struct sock *sk, const int oldstate, const int newstate)`.
#[btf_tracepoint(function = "inet_sock_set_state")]
pub fn inet_sock_set_state(context: BtfTracePointContext) -> i32 {
    let sock = context.arg::<*const c_void>(0) as u64;
    let old = context.arg::<i32>(1);
    let new = context.arg::<i32>(2);
    if read::<u16>(sock, offset!(sock_type)) != SOCK_STREAM {
        return 0;
    }
    if new == TCP_ESTABLISHED {
        let flow = objects::flow(sock);
        let (out, back) = (flow.key(false), flow.key(true));
        if old == TCP_SYN_SENT {
            // The connecting end is first: nothing has moved yet.
            for key in [out, back, out ^ LAYER, back ^ LAYER] {
                stream::forget(key);
            }
            session::forget_connection(out, back);
        }
        session::note_connection(out, back);
    } else if new == TCP_FIN_WAIT1 || new == TCP_LAST_ACK {
        let flow = objects::flow(sock);
        session::disown(flow.key(false), flow.key(true));
    } else if new == TCP_CLOSE {
        let flow = objects::flow(sock);
        let (out, back) = (flow.key(false), flow.key(true));
        session::disown(out, back);
        close(out, back, object::TCP);
        close(out ^ LAYER, back ^ LAYER, object::TLS);
    }
    0
}

/// Tells that nothing more goes out on a stream.
#[inline(never)]
fn close(out: u64, back: u64, kind: u8) {
    let Some(stream) = stream::find(out) else {
        return;
    };
    if !stream.is_capturing() && !stream::find(back).is_some_and(|twin| twin.is_capturing()) {
        return;
    }
    let mut header = emit::header(record::END);
    header.end = end::WRITE;
    header.object = kind;
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
