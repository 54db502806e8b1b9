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
    io::Work,
    kernel::{ids, now, read_user, seed},
    object::{LAYER, Target, mix},
    stream::{self, Stream},
};

/// Content type of records that carry application data (RFC 8446, section 5.1).
const APPLICATION_DATA: u8 = 23;
/// Bytes of plaintext that one record holds.
const RECORD_MAX: u64 = 16_384;
/// Lengths of received records that a thread remembers; a power of two.
const RECEIVED: usize = 8;
/// Records of one chunk whose lengths are looked at.
const RECORDS: usize = 6;

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
    /// Whether the handle stands for one direction only.
    is_half: u8,
    pad: u8,
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
    /// When a TLS record was sent last, and on which stream.
    sent: u64,
    sent_on: u64,
    /// The slot of the program at work, see [`crate::slot`].
    pub(crate) slot: u32,
    pad: u32,
    /// The streams and the socket on which TLS records came last, and the records' lengths.
    received: [u64; 2],
    received_sock: u64,
    /// The next of the lengths to be replaced.
    next: u64,
    lengths: [u16; RECEIVED],
}

/// A call of a TLS library that has not returned.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Call {
    /// The library's session; 0 when there is no call.
    pub(crate) handle: u64,
    /// Where the plaintext is or will be.
    pub(crate) buffer: u64,
    /// Where the function tells how many bytes it moved, or what else is to be known at its return, by its form.
    pub(crate) told: [u64; 2],
    /// When it began; 0 when that is not known.
    pub(crate) begun: u64,
    /// Its library.
    pub(crate) library: u32,
    pub(crate) pad: u32,
}

impl Call {
    pub(crate) const NONE: Self = Self {
        handle: 0,
        buffer: 0,
        told: [0; 2],
        begun: 0,
        library: 0,
        pad: 0,
    };
}

/// What a thread is that did nothing yet. Not on the stack, which Linux 6.1 counts.
static IDLE: Thread = Thread {
    call: Call::NONE,
    written: 0,
    written_len: 0,
    sent: 0,
    sent_on: 0,
    slot: 0,
    pad: 0,
    received: [0; 2],
    received_sock: 0,
    next: 0,
    lengths: [0; RECEIVED],
};

#[map]
static SESSIONS: LruHashMap<Key, Session> = LruHashMap::with_max_entries(limit::SESSIONS, 0);

#[map]
static THREADS: LruHashMap<u32, Thread> = LruHashMap::with_max_entries(limit::SESSIONS, 0);

/// Which session a connection carries, by its ends: see [`at`].
#[map]
static OWNERS: LruHashMap<u64, Key> = LruHashMap::with_max_entries(limit::SESSIONS, 0);

/// One end of one stream: both ends may be on this host.
#[inline(always)]
fn at(stream: u64, side: u8) -> u64 {
    if side == end::READ {
        stream ^ LAYER
    } else {
        stream
    }
}

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
pub(crate) fn of(key: &Key, library: u32, is_half: bool) -> Option<&'static mut Session> {
    if let Some(session) = find(key) {
        return Some(session);
    }
    let name = mix(seed() ^ key.handle, u64::from(key.tgid) << 32 ^ now()) & !(1 << 63 | 1);
    let session = Session {
        streams: [name, name | 1],
        sock: 0,
        binding: binding::NONE,
        moved: 0,
        is_half: u8::from(is_half),
        pad: 0,
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

/// Forgets when a connection was made: its addresses mean another one.
#[inline(always)]
pub(crate) fn forget_connection(out: u64, back: u64) {
    let _ = CONNECTIONS.remove(&(out ^ back));
}

/// Forgets whose a connection is: it is being closed, and handles of its session may soon be used again.
#[inline(always)]
pub(crate) fn disown(out: u64, back: u64) {
    let _ = OWNERS.remove(&at(out, end::WRITE));
    let _ = OWNERS.remove(&at(back, end::READ));
}

/// Forgets a session whose connection was closed: not every library tells that its handle was freed.
///
/// Not a whole one that is bound otherwise than by its records: the next call binds it anew.
#[inline(always)]
pub(crate) fn forget_closed(key: &Key, side: u8) {
    let Some(session) = find(key) else { return };
    if session.binding == binding::NONE
        || (session.is_half == 0 && session.binding != binding::RECORD)
    {
        return;
    }
    let stream = session.streams[usize::from(side & 1)] ^ LAYER;
    // SAFETY: the value is plain data.
    let is_owner = unsafe { OWNERS.get(&at(stream, side)) }.is_some_and(|owner| *owner == *key);
    if !is_owner {
        forget(key);
    }
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
        let is_alone = self.is_half != 0 && self.binding == binding::NONE;
        Target {
            stream: self.streams[index],
            twin: if is_alone { 0 } else { self.streams[index ^ 1] },
            inode: 0,
            sock: self.sock,
            file: 0,
            object: object::TLS,
            master: false,
            binding: self.binding,
        }
    }

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

/// When this thread sent the last record of a session that was written to; 0 when it did not.
#[inline(always)]
pub(crate) fn sent(session: &Session) -> u64 {
    match thread() {
        Some(thread) if thread.sent_on ^ LAYER == session.streams[0] => thread.sent,
        _ => 0,
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
    if !has_received(thread, len) {
        return;
    }
    thread.lengths = [0; RECEIVED];
    let [stream, twin] = thread.received;
    let socket = connection(stream, twin, thread.received_sock);
    bind(key, &socket, end::READ, binding::RECORD, library);
}

/// Whether a thread received a record for this much plaintext. Out of line for the sake of the caller's stack.
#[inline(never)]
fn has_received(thread: &Thread, len: u64) -> bool {
    let mut found = 0;
    for index in 0..RECEIVED {
        found |= is_record_of(thread.lengths[index], len);
    }
    found != 0
}

/// Whether `len` bytes of plaintext make a record of this length: with the content type and the tag of TLS 1.3 (and
/// the 16 bytes of padding that Java adds), or the explicit nonce and the tag (or only the tag) of TLS 1.2.
///
/// 1 or 0, without branches for the verifier's sake.
#[inline(always)]
fn is_record_of(record: u16, len: u64) -> u64 {
    let more = u64::from(record).wrapping_sub(if len > RECORD_MAX { RECORD_MAX } else { len });
    is_zero(more ^ 17) | is_zero(more ^ 24) | is_zero(more ^ 16) | is_zero(more ^ 33)
}

/// 1 for 0, else 0.
#[inline(always)]
fn is_zero(value: u64) -> u64 {
    // The highest bit is set in one of the two for all but 0.
    !(value | value.wrapping_neg()) >> 63
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
pub(crate) fn note_socket(work: &mut Work, side: u8) -> u64 {
    let Some(stream) = stream::find(work.target.stream) else {
        return 0;
    };
    if !stream.may_be_tls() {
        return 0;
    }
    // From sequence numbers: whoever asks again gets the same.
    work.records.at = stream.advance(&work.target, side, work.records.span);
    work.records.source = work.source;
    let is_record = work.records.read(stream, side);
    let (tcp, lengths) = (&work.target, &work.records.lengths);
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
        thread.sent = now();
        thread.sent_on = tcp.stream;
        let (handle, len) = (thread.written, thread.written_len);
        thread.written = 0;
        let mut found = 0;
        for length in lengths {
            found |= is_record_of(*length, len);
        }
        if handle == 0 || found == 0 {
            return 0;
        }
        bind(&key(handle), tcp, side, binding::RECORD, 0);
        return handle;
    }
    if thread.received[0] != tcp.stream {
        thread.received = [tcp.stream, tcp.twin];
        thread.received_sock = tcp.sock;
        thread.lengths = [0; RECEIVED];
    }
    // A record may be opened only after the next ones were received.
    for length in lengths {
        if *length != 0 {
            thread.lengths[thread.next as usize & (RECEIVED - 1)] = *length;
            thread.next += 1;
        }
    }
    0
}

/// Looks for the TLS records that begin in a chunk. In a map, where the verifier does not follow its values.
#[repr(C)]
pub(crate) struct Records {
    /// The chunk, from the position `at` on.
    source: Source,
    at: u64,
    /// Bytes of the chunk.
    pub(crate) span: u64,
    /// Where the next record begins.
    next: u64,
    /// Lengths of those with application data.
    lengths: [u16; RECORDS],
}

impl Records {
    /// Reads the lengths; false when no record begins in the chunk.
    #[inline(never)]
    fn read(&mut self, stream: &mut Stream, side: u8) -> bool {
        let index = usize::from(side & 1);
        let begin = self.at;
        let stop = begin + self.span;
        self.next = stream.record[index];
        if self.next < begin {
            // Not known: one may begin here.
            self.next = begin;
        }
        self.lengths = [0; RECORDS];
        let mut is_record = false;
        for found in 0..RECORDS {
            if self.next + 5 > stop || !self.pass() {
                break;
            }
            let Some([kind, major, minor, high, low]) = read_user::<[u8; 5]>(self.source.base)
            else {
                break;
            };
            if major != 3 || minor > 4 || !(20..=APPLICATION_DATA).contains(&kind) {
                self.next = 0;
                stream.seal();
                break;
            }
            is_record = true;
            let len = u64::from(high) << 8 | u64::from(low);
            if kind == APPLICATION_DATA {
                self.lengths[found] = len as u16;
                stream.seal();
            }
            self.next += 5 + len;
        }
        stream.record[index] = self.next;
        stream.note_tls(self.next > begin);
        is_record
    }

    /// Goes to the next record; false where it is more than four buffers away.
    #[inline(never)]
    fn pass(&mut self) -> bool {
        for _ in 0..4 {
            if !self.source.find_segment() {
                return false;
            }
            let left = self.next - self.at;
            if left < self.source.rem {
                self.source.skip(left);
                self.at = self.next;
                return true;
            }
            self.at += self.source.rem;
            self.source.skip(self.source.rem);
        }
        false
    }
}

/// Binds a session to the connection of which `tcp` is the stream at the end `side`.
#[inline(never)]
pub(crate) fn bind(key: &Key, tcp: &Target, side: u8, how: u8, library: u32) {
    let Some(session) = of(key, library, false) else {
        return;
    };
    let (out, back) = if side == end::WRITE {
        (tcp.stream, tcp.twin)
    } else {
        (tcp.twin, tcp.stream)
    };
    if session.streams[0] == out ^ LAYER && session.binding != binding::NONE {
        return;
    }
    if how == binding::RECORD {
        // SAFETY: the value is plain data.
        if unsafe { OWNERS.get(&at(tcp.stream, side)) }.is_some_and(|owner| *owner != *key) {
            return;
        }
    }
    let _ = OWNERS.insert(&at(tcp.stream, side), key, 0);
    if session.is_half == 0 {
        let _ = OWNERS.insert(&at(tcp.twin, side ^ 1), key, 0);
    }
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
