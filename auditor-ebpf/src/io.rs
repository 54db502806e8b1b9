//! System calls that move bytes, seen as they return: only then are the pages they used in memory for sure.
//!
//! Covers the whole read and write family. What moves bytes without showing them (`splice`, `sendfile`, messages in
//! lists) is told as unheard. Calls by 32-bit programs are not seen.

use auditor_common::{
    limit::SLOTS,
    record::{self, end, flag},
};
use aya_ebpf::{
    macros::{btf_tracepoint, map, tracepoint},
    maps::PerCpuArray,
    programs::{BtfTracePointContext, TracePointContext},
};

use crate::{
    arch::{Call, number},
    copy::{self, Source},
    deed, emit,
    kernel::{ids, is_self, read_user},
    object::{self, Target},
    process,
    session::{self, Records, Session},
    slot,
    stream::{self, Action, Stream},
};

const EPIPE: i64 = -32;
const ECONNRESET: i64 = -104;
const MSG_PEEK: u64 = 0x2;
const MSG_TRUNC: u64 = 0x20;
const MSG_ERRQUEUE: u64 = 0x2000;
/// Messages of one `sendmmsg` or `recvmmsg` whose sizes are added up.
const MESSAGES: u64 = 64;

/// `TP_PROTO(struct pt_regs *regs, long ret)`.
#[btf_tracepoint(function = "sys_exit")]
pub fn sys_exit(context: BtfTracePointContext) -> i32 {
    handle::<true>(Call::new(&context));
    0
}

/// The same for kernels without `bpf_loop` (before 5.17).
#[btf_tracepoint(function = "sys_exit")]
pub fn sys_exit_bounded(context: BtfTracePointContext) -> i32 {
    handle::<false>(Call::new(&context));
    0
}

/// The same for kernels that may preempt the programs above (since 7.0), and then leave them out for other tasks: by way
/// of perf, which keeps preemption off.
#[tracepoint]
pub fn sys_exit_perf(context: TracePointContext) -> u32 {
    handle::<true>(Call::of_task(&context));
    0
}

/// What one call moves. In a map, where the verifier does not follow its values, and not on the stack.
#[repr(C)]
pub(crate) struct Work {
    pub(crate) target: Target,
    pub(crate) source: Source,
    header: record::Header,
    /// When the bytes moved; 0 for now.
    pub(crate) time: u64,
    /// TLS records in the bytes.
    pub(crate) records: Records,
    /// See [`slot`].
    slot: u32,
}

#[map]
static WORK: PerCpuArray<Work> = PerCpuArray::with_max_entries(SLOTS, 0);

#[inline(always)]
fn handle<const LOOP: bool>(call: Call) {
    let number = call.number();
    if number > number::OPENAT2 {
        return;
    }
    let ret = call.ret;
    let span = if ret > 0 { ret as u64 } else { 0 };
    let (side, source) = match number {
        number::READ | number::RECVFROM => (end::READ, Source::buffer(call.arg1(), span)),
        number::WRITE | number::SENDTO => (end::WRITE, Source::buffer(call.arg1(), span)),
        number::READV | number::PREADV2 => {
            (end::READ, Source::vector(call.arg1(), call.arg2(), span))
        }
        // At a pipe's reading end `vmsplice` maps pages out of the pipe, which nobody does.
        number::WRITEV | number::PWRITEV2 | number::VMSPLICE => {
            (end::WRITE, Source::vector(call.arg1(), call.arg2(), span))
        }
        number::RECVMSG | number::SENDMSG => {
            // struct msghdr: msg_iov at 16, msg_iovlen at 24.
            let [iov, iovs] = read_user::<[u64; 2]>(call.arg1() + 16).unwrap_or([0; 2]);
            let side = if number == number::RECVMSG {
                end::READ
            } else {
                end::WRITE
            };
            (side, Source::vector(iov, iovs, span))
        }
        number::SPLICE | number::TEE | number::SENDFILE | number::RECVMMSG | number::SENDMMSG => {
            return unusual(call, number);
        }
        number::MMAP => return process::mapped(call),
        number::OPEN
        | number::OPENAT
        | number::OPENAT2
        | number::CREAT
        | number::CONNECT
        | number::PWRITE64
        | number::PWRITEV
        | number::FTRUNCATE
        | number::COPY_FILE_RANGE
        | number::TRUNCATE
        | number::MKDIR..=number::RMDIR
        | number::RENAME
        | number::LINK..=number::SYMLINK
        | number::MKDIRAT
        | number::UNLINKAT..=number::SYMLINKAT
        | number::RENAMEAT2 => return deed::done(call, number),
        _ => return,
    };
    if ret > 0 {
        let flags = match number {
            number::RECVFROM => call.arg3(),
            number::RECVMSG => call.arg2(),
            _ => 0,
        };
        if side == end::READ && flags & (MSG_PEEK | MSG_ERRQUEUE) != 0 {
            // Will be read once more, or is no data.
            return;
        }
        let fd = call.arg0() as u32;
        if side == end::READ && flags & MSG_TRUNC != 0 {
            moved_unheard(fd, side, span);
        } else if let Some(work) = work(slot::TRACEPOINT) {
            work.source = source;
            moved::<LOOP>(work, fd, side, span);
        }
    } else if (ret == 0 && side == end::READ) || ret == EPIPE || ret == ECONNRESET {
        ended(call, number, side);
    }
}

/// The work of the program that has this slot on this CPU.
#[inline(always)]
pub(crate) fn work(slot: u32) -> Option<&'static mut Work> {
    // SAFETY: per CPU, and a slot belongs to one program at a time.
    let work = WORK.get_ptr_mut(slot).map(|work| unsafe { &mut *work })?;
    work.slot = slot;
    Some(work)
}

/// Bytes moved on a descriptor that can be read from the program's memory.
#[inline(always)]
fn moved<const LOOP: bool>(work: &mut Work, fd: u32, side: u8, span: u64) {
    if !object::locate(fd, side, &mut work.target) {
        if side == end::WRITE {
            deed::wrote(fd);
        }
    } else if !is_self(ids().0) {
        let mut handle = 0;
        if work.target.object == record::object::TCP {
            // The first chunk may be all of a handshake that is not encrypted.
            let _ = stream::of(&work.target);
            work.records.span = span;
            handle = session::note_socket(work, side);
        }
        take::<LOOP>(work, side, span);
        if handle != 0
            && let Some(session) = session::find(&session::key(handle))
        {
            tell_moved(work, session);
        }
    }
}

/// Bytes moved on the stream of `work` that can be read from the program's memory.
///
/// Kept out of line: it is large, and called from several places.
#[inline(never)]
pub(crate) fn take<const LOOP: bool>(work: &mut Work, side: u8, span: u64) {
    let Some(stream) = stream::of(&work.target) else {
        return;
    };
    let pos = stream.advance(&work.target, side, span);
    let action = stream.judge::<LOOP>(&work.target, side, pos, span, &work.source, work.slot);
    if action == Action::NOTHING {
        return;
    }
    if side == end::READ && stream.is_convincing() {
        deed::heard();
    }
    describe(stream, &work.target, side, &mut work.header);
    announce(stream, &work.target, &mut work.header);
    if work.time != 0 {
        work.header.time = work.time;
    }
    work.header.pos = pos;
    work.header.span = span as u32;
    if action == Action::TESTIFY {
        emit::bare(&work.header);
        return;
    }
    let skip = action.from() - pos;
    if skip != 0 {
        work.header.span = skip as u32;
        emit::bare(&work.header);
        work.header.pos += skip;
    }
    work.header.flags |= stream.take_flags();
    work.header.lost = stream.lost;
    stream.lost = 0;
    copy::run::<LOOP>(stream, &mut work.header, &mut work.source, skip, work.slot);
}

/// Tells what the connection is on which a session's streams go on, before anything else of it comes.
#[inline(never)]
pub(crate) fn tell_moved(work: &mut Work, session: &mut Session) {
    for side in [end::WRITE, end::READ] {
        if !session.take_moved(side) {
            continue;
        }
        work.target = session.target(side);
        if let Some(stream) = stream::find(work.target.stream) {
            describe(stream, &work.target, side, &mut work.header);
            announce(stream, &work.target, &mut work.header);
        }
    }
}

/// Bytes moved that cannot be read.
#[inline(never)]
fn moved_unheard(fd: u32, side: u8, span: u64) {
    let Some(work) = work(slot::TRACEPOINT) else {
        return;
    };
    if is_self(ids().0) || !object::locate(fd, side, &mut work.target) {
        return;
    }
    if let Some(stream) = stream::of(&work.target) {
        unheard(stream, &work.target, side, span);
    }
}

/// Tells that bytes moved which cannot be read. On a stream that is not being copied it only moves the position.
#[inline(always)]
pub(crate) fn unheard(stream: &mut Stream, target: &Target, side: u8, span: u64) {
    let pos = stream.advance(target, side, span);
    if !stream.is_capturing() {
        stream.pending |= flag::SKIPPED;
        return;
    }
    let mut header = emit::header(record::DATA);
    describe(stream, target, side, &mut header);
    announce(stream, target, &mut header);
    header.pos = pos;
    header.span = span as u32;
    header.flags |= flag::UNHEARD;
    emit::bare(&header);
}

/// Calls whose bytes are not in a buffer of the program, or whose buffers are in lists of lists.
#[inline(always)]
fn unusual(call: Call, number: u64) {
    if call.ret <= 0 {
        return;
    }
    let span = call.ret as u64;
    match number {
        number::SPLICE => {
            moved_unheard(call.arg0() as u32, end::READ, span);
            moved_unheard(call.arg2() as u32, end::WRITE, span);
        }
        number::TEE => moved_unheard(call.arg1() as u32, end::WRITE, span),
        number::SENDFILE => moved_unheard(call.arg0() as u32, end::WRITE, span),
        _ => {
            let side = if number == number::RECVMMSG {
                end::READ
            } else {
                end::WRITE
            };
            let total = sum_messages(call.arg1(), span);
            moved_unheard(call.arg0() as u32, side, total);
        }
    }
}

/// Adds up `msg_len` of `struct mmsghdr` (64 bytes each, at 56).
#[inline(always)]
fn sum_messages(list: u64, count: u64) -> u64 {
    let mut total = 0;
    for index in 0..MESSAGES {
        if index >= count {
            break;
        }
        total += u64::from(read_user::<u32>(list + index * 64 + 56).unwrap_or(0));
    }
    total
}

/// A reader was told that nothing more comes, or a writer that nobody reads.
#[inline(never)]
fn ended(call: Call, number: u64, side: u8) {
    if is_self(ids().0) || (matches!(number, number::READ | number::RECVFROM) && call.arg2() == 0) {
        return;
    }
    let mut target = Target::none();
    if !object::locate(call.arg0() as u32, side, &mut target) {
        return;
    }
    let Some(stream) = stream::find(target.stream) else {
        return;
    };
    if !stream.is_capturing() && !is_twin_capturing(&target) {
        return;
    }
    let mut header = emit::header(record::DATA);
    describe(stream, &target, side, &mut header);
    header.kind = record::END;
    header.pos = stream.position();
    header.flags = stream.take_flags();
    header.lost = stream.lost;
    stream.lost = 0;
    if call.ret == ECONNRESET {
        header.flags |= flag::RESET;
    }
    emit::bare(&header);
}

#[inline(always)]
fn is_twin_capturing(target: &Target) -> bool {
    target.twin != 0 && stream::find(target.twin).is_some_and(|twin| twin.is_capturing())
}

/// Begins a data record's header for what the current process does at an end of a stream.
#[inline(always)]
pub(crate) fn describe(stream: &Stream, target: &Target, side: u8, header: &mut record::Header) {
    emit::begin(header, record::DATA);
    header.end = side;
    header.object = target.object;
    header.flags = stream.flags();
    if target.object == record::object::TLS && target.binding == record::binding::NONE {
        header.flags |= flag::UNBOUND;
    }
    header.stream = target.stream;
    header.generation = stream.generation;
    header.epoch = stream.epoch;
}

/// Tells once per end what the stream is, with the header that is about to be used. Out of line for the sake of the caller's stack.
#[inline(never)]
pub(crate) fn announce(stream: &mut Stream, target: &Target, header: &mut record::Header) {
    let bit = 1 << header.end;
    if stream.announced & bit != 0 {
        return;
    }
    header.kind = record::OBJECT;
    if emit::object(header, target) {
        stream.announced |= bit;
    }
    header.kind = record::DATA;
}
