//! Calls of TLS libraries: their plaintext, before it is sealed and after it is opened.
//!
//! A probe's cookie says which library it sits in and how the call tells what it moved. Bytes are read as the call
//! returns: only then is it known how many were taken. A call inside another of the same thread (TLS through TLS)
//! hides the outer one.

use auditor_common::{
    cookie::{self, form},
    record::{self, binding, end},
};
use aya_ebpf::{
    helpers::generated as bpf,
    macros::{uprobe, uretprobe},
    programs::{ProbeContext, RetProbeContext},
};

use crate::{
    copy::Source,
    io,
    kernel::{ids, is_self, now, read_user},
    object::{self, Target},
    session::{self, Call, Key},
    slot,
};

/// Reads a register. All are read before any is chosen: the verifier refuses a choice of places in the context.
macro_rules! register {
    ($context:expr, $name:ident) => {
        // SAFETY: the context of a uprobe is `struct pt_regs`.
        unsafe { core::ptr::read_volatile(&raw const (*$context.regs).$name) }
    };
}
pub(crate) use register;

/// A call begins: its arguments are in their registers.
#[uprobe]
pub fn tls_enter(context: ProbeContext) -> u32 {
    let (Some(handle), Some(buffer)) = (context.arg::<u64>(0), context.arg::<u64>(1)) else {
        return 0;
    };
    if let Some(thread) = session::thread_or_new() {
        thread.call = Call {
            handle,
            buffer,
            told: [
                context.arg::<u64>(3).unwrap_or(0),
                context.arg::<u64>(4).unwrap_or(0),
            ],
            begun: now(),
            library: cookie::library(place(&context)),
            pad: 0,
        };
    }
    0
}

/// A call returns.
#[uretprobe]
pub fn tls_return(context: RetProbeContext) -> u32 {
    returned::<true>(&context);
    0
}

/// The same for kernels without `bpf_loop` (before 5.17).
#[uretprobe]
pub fn tls_return_bounded(context: RetProbeContext) -> u32 {
    returned::<false>(&context);
    0
}

/// A call of Go's crypto/tls has moved its bytes: on its way out, with its arguments in their spill slots.
#[uprobe]
pub fn tls_go(context: ProbeContext) -> u32 {
    go::<true>(&context);
    0
}

/// The same for kernels without `bpf_loop`.
#[uprobe]
pub fn tls_go_bounded(context: ProbeContext) -> u32 {
    go::<false>(&context);
    0
}

/// A session is freed: its handle may be used again.
#[uprobe]
pub fn tls_free(context: ProbeContext) -> u32 {
    if let Some(handle) = context.arg::<u64>(0) {
        session::forget(&session::key(handle));
    }
    0
}

#[inline(always)]
pub(crate) fn place(context: &impl aya_ebpf::EbpfContext) -> u64 {
    // SAFETY: the helper is there for programs of this type.
    unsafe { bpf::bpf_get_attach_cookie(context.as_ptr()) }
}

#[inline(always)]
fn returned<const LOOP: bool>(context: &RetProbeContext) {
    let Some(thread) = session::thread() else {
        return;
    };
    let call = thread.call;
    thread.call = Call::NONE;
    if call.handle == 0 || is_self(ids().0) {
        return;
    }
    let form = cookie::form(place(context));
    let result = context.ret::<u64>();
    let len = match form {
        form::WRITE | form::READ if result as i32 > 0 => u64::from(result as u32),
        form::WRITE_EX | form::READ_EX if result as i32 == 1 => {
            read_user(call.told[0]).unwrap_or(0)
        }
        form::GNUTLS_SEND | form::GNUTLS_RECEIVE if result as i64 > 0 && call.buffer != 0 => result,
        form::WRITE_EX2 if result as i32 == 1 => read_user(call.told[1]).unwrap_or(0),
        _ => 0,
    };
    let side = if matches!(form, form::READ | form::READ_EX | form::GNUTLS_RECEIVE) {
        end::READ
    } else {
        end::WRITE
    };
    if len != 0 {
        heard::<LOOP>(&call, side, len, Kind::Whole);
    }
}

#[inline(always)]
fn go<const LOOP: bool>(context: &ProbeContext) {
    let place = place(context);
    let stack = register!(context, rsp);
    let (rax, rcx, rdx) = (
        register!(context, rax),
        register!(context, rcx),
        register!(context, rdx),
    );
    let (rbx, rsi, rdi) = (
        register!(context, rbx),
        register!(context, rsi),
        register!(context, rdi),
    );
    let count = match cookie::register(place) {
        0 => rax,
        1 => rcx,
        2 => rdx,
        3 => rbx,
        6 => rsi,
        7 => rdi,
        _ => 0,
    };
    let added = match cookie::added(place) {
        0 => Some(0),
        above => read_user(stack + above),
    };
    let Some(added) = added else {
        return;
    };
    let len = count.wrapping_add(added) as i64;
    if len <= 0 || is_self(ids().0) {
        return;
    }
    let [connection, buffer] = cookie::stack(place);
    let (Some(connection), Some(buffer)) =
        (read_user(stack + connection), read_user(stack + buffer))
    else {
        return;
    };
    let side = if cookie::form(place) == form::GO_READ {
        end::READ
    } else {
        end::WRITE
    };
    let call = Call {
        handle: connection,
        buffer,
        library: cookie::library(place),
        ..Call::NONE
    };
    heard::<LOOP>(&call, side, len as u64, Kind::Go);
}

/// Binds a `tls.Conn` to the socket of the `net.TCPConn` that it holds, if that is what it holds.
#[inline(never)]
fn go_bind(key: &Key, library: u32, side: u8, socket: &mut Target) {
    let Some(descriptor) = go_descriptor(key.handle()) else {
        return;
    };
    if object::locate(descriptor, side, socket) && socket.object == record::object::TCP {
        session::bind(key, socket, side, binding::OBJECT, library);
    }
}

/// The descriptor of a `tls.Conn`: its field `conn` holds a `*net.TCPConn`, whose only field is a `*net.netFD`.
///
/// That it is one shows in the fields `family` and `sotype`, which a wrapper of another type would have to imitate.
#[inline(always)]
fn go_descriptor(connection: u64) -> Option<u32> {
    const AF_INET: u64 = 2;
    const AF_INET6: u64 = 10;
    const SOCK_STREAM: u64 = 1;
    let held: u64 = read_user(connection + 8)?;
    let net: u64 = read_user(held)?;
    let descriptor: u64 = read_user(net + 16)?;
    let [family, kind] = read_user::<[u64; 2]>(net + 56)?;
    let is_net = (family == AF_INET || family == AF_INET6) && kind == SOCK_STREAM;
    (is_net && descriptor < u64::from(u32::MAX)).then_some(descriptor as u32)
}

/// What a handle stands for.
#[derive(Clone, Copy, Eq, PartialEq)]
pub(crate) enum Kind {
    /// A session.
    Whole,
    /// A `tls.Conn` of Go, which tells its socket.
    Go,
    /// The key of one direction.
    Half,
}

/// Plaintext passed through a session.
#[inline(always)]
pub(crate) fn heard<const LOOP: bool>(call: &Call, side: u8, len: u64, kind: Kind) {
    let key = session::key(call.handle);
    if kind != Kind::Go {
        session::forget_closed(&key, side);
    }
    let Some(thread) = session::thread_or_new() else {
        return;
    };
    thread.slot = slot::acquire();
    // Read again, so that the verifier does not go through everything for each slot.
    // SAFETY: points to a field.
    let slot = unsafe { core::ptr::read_volatile(&raw const thread.slot) };
    if kind == Kind::Go
        && slot != slot::TRACEPOINT
        && let Some(work) = io::work(slot)
    {
        go_bind(&key, call.library, side, &mut work.target);
    }
    let Some(session) = session::of(&key, call.library, kind == Kind::Half) else {
        return slot::release(slot);
    };
    if side == end::READ && session.binding == binding::NONE {
        session::bind_received(&key, call.library, len);
    }
    if slot == slot::TRACEPOINT {
        return session.note_lost(side, len);
    }
    if let Some(work) = io::work(slot) {
        io::tell_moved(work, session);
        work.target = session.target(side);
        work.source = Source::buffer(call.buffer, len);
        work.time = match (side, kind) {
            // There is no safe place to see it begin; its record was sent when it had.
            (end::WRITE, Kind::Go) => session::sent(session),
            (end::WRITE, _) => call.begun,
            _ => 0,
        };
        io::take::<LOOP>(work, side, len);
    }
    slot::release(slot);
    if side == end::WRITE {
        session::note_written(session, call.handle, len);
    }
}
