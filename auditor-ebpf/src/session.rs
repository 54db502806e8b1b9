//! TLS sessions: which stream their plaintext takes, and the proof of the connection that they ride on.
//!
//! A session begins with a stream of its own. Once it is bound to a TCP connection, its plaintext takes the streams
//! of that connection, which both ends share when both are on this host. It is bound by what a thread does next to
//! the library's call, never by what it did last: see [`binding`]. What cannot be proven stays unbound.
//! At most [`limit::SESSIONS`] sessions and as many threads are remembered.

use auditor_common::{
    limit,
    record::{self, Bind, binding, end, object},
};
use aya_ebpf::{
    bindings::BPF_NOEXIST,
    macros::map,
    maps::{Array, LruHashMap},
};

use crate::{
    copy::Source,
    emit,
    kernel::{ids, now, read_user, seed},
    object::{LAYER, Target, mix},
    stream::{self, Stream},
};

/// Content type of records that carry application data (RFC 8446, section 5.1).
const APPLICATION_DATA: u8 = 23;
/// Bytes of plaintext that one record holds.
const RECORD_MAX: u64 = 16_384;
/// Records of one chunk whose lengths are looked at.
const RECORDS: usize = 4;

/// A session of a process, by its library's handle.
#[repr(C)]
#[derive(Clone, Copy, Eq, PartialEq)]
pub(crate) struct Key {
    handle: u64,
    tgid: u32,
    pad: u32,
}

impl Key {
    /// The library's handle.
    #[inline(always)]
    pub(crate) fn handle(&self) -> u64 {
        self.handle
    }
}

/// Where a session's plaintext goes.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Session {
    /// The streams of what is written and of what is read.
    streams: [u64; 2],
    /// The `struct sock` that it is bound to.
    sock: u64,
    /// See [`binding`].
    pub(crate) binding: u8,
    /// Bit per end: its stream has just gone on as that of the connection, which is not told yet.
    moved: u8,
    pad: [u8; 2],
    /// The library that it belongs to.
    library: u32,
}

/// What a thread does that may bind a session.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Thread {
    /// The call under way.
    pub(crate) call: Call,
    /// A session that was written to, and the bytes; its record is about to be sent.
    written: u64,
    written_len: u64,
    /// The streams and the socket on which TLS records came last, and the records' lengths.
    received: [u64; 2],
    received_sock: u64,
    lengths: [u16; RECORDS],
}

/// A call of a TLS library that has not returned.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Call {
    /// The library's session; 0 when there is no call.
    pub(crate) handle: u64,
    /// The buffer, and its size.
    pub(crate) buffer: u64,
    /// Where the function tells how many bytes it moved, by its form.
    pub(crate) told: [u64; 2],
    /// Its library.
    pub(crate) library: u32,
    pub(crate) pad: u32,
}

impl Call {
    pub(crate) const NONE: Self = Self {
        handle: 0,
        buffer: 0,
        told: [0; 2],
        library: 0,
        pad: 0,
    };
}

/// What a thread is that did nothing yet. Not on the stack, which Linux 6.1 counts.
static IDLE: Thread = Thread {
    call: Call::NONE,
    written: 0,
    written_len: 0,
    received: [0; 2],
    received_sock: 0,
    lengths: [0; RECORDS],
};

#[map]
static SESSIONS: LruHashMap<Key, Session> = LruHashMap::with_max_entries(limit::SESSIONS, 0);

#[map]
static THREADS: LruHashMap<u32, Thread> = LruHashMap::with_max_entries(limit::SESSIONS, 0);

/// Which session a connection carries, by the key of the stream that it sends on.
#[map]
static OWNERS: LruHashMap<u64, Key> = LruHashMap::with_max_entries(limit::SESSIONS, 0);

/// When connections were made, by the keys of their streams, combined.
#[map]
static CONNECTIONS: LruHashMap<u64, u64> = LruHashMap::with_max_entries(limit::STREAMS, 0);

/// When all probes of a library were in place, by its number; 0 before. Filled in by the daemon.
#[map]
static LIBRARIES: Array<u64> = Array::with_max_entries(limit::LIBRARIES, 0);

/// The current thread, if it ever did something of interest.
#[inline(always)]
pub(crate) fn thread() -> Option<&'static mut Thread> {
    // SAFETY: only the thread itself changes its entry.
    THREADS
        .get_ptr_mut(&ids().1)
        .map(|thread| unsafe { &mut *thread })
}

/// The current thread, remembered from now on.
#[inline(never)]
pub(crate) fn thread_or_new() -> Option<&'static mut Thread> {
    if let Some(thread) = thread() {
        return Some(thread);
    }
    let _ = THREADS.insert(&ids().1, &IDLE, u64::from(BPF_NOEXIST));
    thread()
}

/// The current process's session with this handle.
#[inline(always)]
pub(crate) fn key(handle: u64) -> Key {
    Key {
        handle,
        tgid: ids().0,
        pad: 0,
    }
}

#[inline(always)]
pub(crate) fn find(key: &Key) -> Option<&'static mut Session> {
    // SAFETY: values of a hash map stay valid while the program runs; threads that use one session at once are the
    // program's own fault, and mix up no more than its streams.
    SESSIONS
        .get_ptr_mut(key)
        .map(|session| unsafe { &mut *session })
}

/// The session, remembered from now on.
#[inline(never)]
pub(crate) fn of(key: &Key, library: u32) -> Option<&'static mut Session> {
    if let Some(session) = find(key) {
        return Some(session);
    }
    let name = mix(seed() ^ key.handle, u64::from(key.tgid) << 32 ^ now()) & !(1 << 63 | 1);
    let session = Session {
        streams: [name, name | 1],
        sock: 0,
        binding: binding::NONE,
        moved: 0,
        pad: [0; 2],
        library,
    };
    let _ = SESSIONS.insert(key, &session, 0);
    find(key)
}

/// Forgets a session: its handle is about to mean another one.
#[inline(always)]
pub(crate) fn forget(key: &Key) {
    let _ = SESSIONS.remove(key);
}

/// Notes that a connection was made.
#[inline(always)]
pub(crate) fn note_connection(out: u64, back: u64) {
    let _ = CONNECTIONS.insert(&(out ^ back), &now(), u64::from(BPF_NOEXIST));
}

/// Forgets a connection: its addresses may mean another one.
#[inline(always)]
pub(crate) fn forget_connection(out: u64, back: u64) {
    let _ = CONNECTIONS.remove(&(out ^ back));
    let _ = OWNERS.remove(&out);
    let _ = OWNERS.remove(&back);
}

impl Session {
    /// Whether a direction has just gone on as the connection's; once.
    #[inline(always)]
    pub(crate) fn take_moved(&mut self, side: u8) -> bool {
        let bit = 1 << side;
        let is_moved = self.moved & bit != 0;
        self.moved &= !bit;
        is_moved
    }

    /// What goes in or comes out of the session, as a stream.
    #[inline(always)]
    pub(crate) fn target(&self, side: u8) -> Target {
        let index = usize::from(side & 1);
        Target {
            stream: self.streams[index],
            twin: self.streams[index ^ 1],
            inode: 0,
            sock: self.sock,
            file: 0,
            object: object::TLS,
            master: false,
            binding: self.binding,
        }
    }
}

impl Session {
    /// Notes that plaintext passed for which there was no room on this CPU.
    #[inline(never)]
    pub(crate) fn note_lost(&self, side: u8, len: u64) {
        let target = self.target(side);
        if let Some(stream) = stream::find(target.stream) {
            let pos = stream.advance(&target, side, len);
            if stream.is_capturing() {
                stream.note_lost(pos, pos + len);
                emit::count_lost(len);
            }
        }
    }
}

/// Notes that a session was written to; its record is about to be sent by this thread.
#[inline(always)]
pub(crate) fn note_written(session: &Session, handle: u64, len: u64) {
    if session.binding == binding::NONE
        && let Some(thread) = thread_or_new()
    {
        thread.written = handle;
        thread.written_len = len;
    }
}

/// Binds a session that gave `len` bytes to the connection on which this thread received just such a record last.
#[inline(never)]
pub(crate) fn bind_received(key: &Key, library: u32, len: u64) {
    let Some(thread) = thread() else { return };
    let mut is_found = false;
    for index in 0..RECORDS {
        is_found |= is_record_of(thread.lengths[index], len);
    }
    if is_found {
        thread.lengths = [0; RECORDS];
        let [stream, twin] = thread.received;
        let sock = thread.received_sock;
        bind(
            key,
            &connection(stream, twin, sock),
            end::READ,
            binding::RECORD,
            library,
        );
    }
}

/// Whether `len` bytes of plaintext make a record of this length: with the content type and the tag of TLS 1.3 (and
/// the 16 bytes of padding that Java adds), or the explicit nonce and the tag (or only the tag) of TLS 1.2.
#[inline(always)]
fn is_record_of(record: u16, len: u64) -> bool {
    let more = u64::from(record).wrapping_sub(if len > RECORD_MAX { RECORD_MAX } else { len });
    more == 17 || more == 24 || more == 16 || more == 33
}

fn connection(stream: u64, twin: u64, sock: u64) -> Target {
    Target {
        stream,
        twin,
        inode: 0,
        sock,
        file: 0,
        object: object::TCP,
        master: false,
        binding: binding::NONE,
    }
}

/// Looks whether a chunk of a TCP connection binds a session of this thread; its handle, or 0.
#[inline(never)]
pub(crate) fn note_socket(tcp: &Target, side: u8, source: &Source) -> u64 {
    let Some(stream) = stream::find(tcp.stream) else {
        return 0;
    };
    if !stream.may_be_tls() {
        return 0;
    }
    let mut lengths = [0; RECORDS];
    let is_record = records(source, &mut lengths);
    stream.note_tls(is_record);
    let thread = if side == end::READ && is_record {
        thread_or_new()
    } else {
        thread()
    };
    let Some(thread) = thread else { return 0 };
    let handle = thread.call.handle;
    if handle != 0 {
        bind(&key(handle), tcp, side, binding::CALL, thread.call.library);
        return handle;
    }
    if side == end::WRITE {
        let (handle, len) = (thread.written, thread.written_len);
        thread.written = 0;
        let is_found = is_record_of(lengths[0], len)
            || is_record_of(lengths[1], len)
            || is_record_of(lengths[2], len)
            || is_record_of(lengths[3], len);
        if handle == 0 || !is_found {
            return 0;
        }
        bind(&key(handle), tcp, side, binding::RECORD, 0);
        return handle;
    }
    if is_record || thread.received[0] != tcp.stream {
        thread.received = [tcp.stream, tcp.twin];
        thread.received_sock = tcp.sock;
        thread.lengths = lengths;
    }
    0
}

/// Reads the lengths of the records that a chunk begins with; false when it begins with none.
#[inline(never)]
fn records(source: &Source, lengths: &mut [u16; RECORDS]) -> bool {
    let mut source = *source;
    let mut is_record = false;
    for index in 0..RECORDS {
        if !source.find_segment() || source.rem < 5 {
            break;
        }
        let Some([kind, major, minor, high, low]) = read_user::<[u8; 5]>(source.base) else {
            break;
        };
        if major != 3 || minor > 4 || !(20..=APPLICATION_DATA).contains(&kind) {
            break;
        }
        is_record = true;
        let len = u64::from(high) << 8 | u64::from(low);
        if kind == APPLICATION_DATA {
            lengths[index] = len as u16;
        }
        if source.rem < 5 + len {
            break;
        }
        source.skip(5 + len);
    }
    is_record
}

/// Binds a session to the connection of which `tcp` is the stream at the end `side`.
#[inline(never)]
pub(crate) fn bind(key: &Key, tcp: &Target, side: u8, how: u8, library: u32) {
    let Some(session) = of(key, library) else {
        return;
    };
    let (out, back) = if side == end::WRITE {
        (tcp.stream, tcp.twin)
    } else {
        (tcp.twin, tcp.stream)
    };
    if session.streams[0] == out ^ LAYER {
        return;
    }
    if how == binding::RECORD {
        // SAFETY: the value is plain data.
        if unsafe { OWNERS.get(&out) }.is_some_and(|owner| *owner != *key) {
            return;
        }
    }
    let _ = OWNERS.insert(&out, key, 0);
    let before = session.streams;
    let was_unbound = session.binding == binding::NONE;
    session.streams = [out ^ LAYER, back ^ LAYER];
    session.sock = tcp.sock;
    session.binding = how;
    let is_aligned = is_from_beginning(out ^ back, session.library);
    go_on(before[0], session, was_unbound, is_aligned, end::WRITE);
    go_on(before[1], session, was_unbound, is_aligned, end::READ);
}

/// Lets one direction of a session, which was the stream `before`, go on as that of its connection.
#[inline(never)]
fn go_on(before: u64, session: &mut Session, was_unbound: bool, is_aligned: bool, side: u8) {
    let key = session.streams[usize::from(side & 1)];
    stream::create(key, 0, !is_aligned);
    let Some(stream) = stream::find(key) else {
        return;
    };
    if !is_aligned {
        stream.disalign();
    }
    if was_unbound && adopt(before, stream, key, side) {
        session.moved |= 1 << side;
    }
}

/// Whether the library's probes were in place before the connection was made.
#[inline(always)]
fn is_from_beginning(connection: u64, library: u32) -> bool {
    // SAFETY: the value is a plain number.
    let made = unsafe { CONNECTIONS.get(&connection) }.copied();
    let probed = LIBRARIES.get(library).copied();
    match (made, probed) {
        (Some(made), Some(probed)) => probed != 0 && probed < made,
        _ => false,
    }
}

/// Lets what was the stream `before` go on as `stream`; false when there was nothing yet.
#[inline(never)]
fn adopt(before: u64, stream: &mut Stream, key: u64, side: u8) -> bool {
    let Some(unbound) = stream::find(before) else {
        return false;
    };
    stream.adopt(unbound, side);
    let mut header = emit::header(record::BIND);
    header.end = side;
    header.object = object::TLS;
    header.stream = before;
    header.generation = unbound.generation;
    let bind = Bind {
        stream: key,
        generation: stream.generation,
    };
    emit::fixed(&header, &bind);
    stream::forget(before);
    true
}
