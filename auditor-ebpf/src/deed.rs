//! What processes that serve MCP do beside talking: files they open, change and take away, connections they make.
//!
//! A process is followed once it has read from a stream that looks like MCP, and its children from their birth. Until
//! the daemon says what it is that lasts a moment only; all others cost one look into a map. Seen as calls return, so what
//! failed is not told. Bounds: [`limit::SERVING`] processes, [`limit::DEEDS`] deeds of each in a moment; those left out
//! are counted and told.

use core::ffi::c_void;

use auditor_common::{
    limit::{self, GIVEN_BYTES, PATH_DEPTH},
    record::{
        self, Deed, deed,
        serving::{ALWAYS, LOST, NEVER, READS, START, UNTIL, USED, WINDOW, WORDS},
    },
};
use aya_ebpf::{helpers::generated as bpf, macros::map, maps::LruHashMap};

use crate::{
    arch::{Call, number},
    emit,
    kernel::{current_start, ids, now, offset, read, read_user, task},
    object,
    process::{self, HALF, Scratch},
};

/// Processes whose deeds are told, or that were looked at: see [`record::serving`].
#[map]
static SERVING: LruHashMap<u32, [u64; WORDS]> = LruHashMap::with_max_entries(limit::SERVING, 0);

/// When writing to an open file was told last, by the file: the message that was read before it, and the time.
#[map]
static WRITTEN: LruHashMap<u64, [u64; 2]> = LruHashMap::with_max_entries(limit::SERVING, 0);

const EINPROGRESS: i64 = -115;
const AT_FDCWD: u64 = -100_i64 as u64;
/// Nanoseconds after which writing to the same file is told again.
const WRITES: u64 = 100_000_000;
const S_IFMT: u16 = 0o170_000;
const S_IFREG: u16 = 0o100_000;
const S_IFSOCK: u16 = 0o140_000;
const AF_UNIX: u16 = 1;
const AF_INET: u16 = 2;
const AF_INET6: u16 = 10;
/// `O_WRONLY | O_CREAT | O_TRUNC`.
const CREAT: u64 = 0o1101;

/// The current process has read from a stream that looks like MCP.
#[inline(never)]
pub(crate) fn heard() {
    let (tgid, _) = ids();
    let time = now();
    if let Some(state) = look_up(tgid) {
        state[READS] += 1;
        let until = state[UNTIL];
        let is_settled = until == NEVER || time < until || time - until < limit::DEED_RETRY;
        if is_settled && is_it(state) {
            if state[READS] == 1 && until != NEVER {
                // It descends from a server and was followed from its birth: the daemon is to know.
                emit::bare(&emit::header(record::SERVING));
            }
            return;
        }
    }
    let mut state = [0; WORDS];
    state[START] = current_start();
    state[UNTIL] = time + limit::DEED_TRIAL;
    if SERVING.insert(&tgid, &state, 0).is_ok() {
        emit::bare(&emit::header(record::SERVING));
    }
}

/// The current process has a child.
#[inline(always)]
pub(crate) fn inherit(child: u32, start: u64) {
    let (tgid, _) = ids();
    let Some(parent) = look_up(tgid) else { return };
    let mut state = [0; WORDS];
    state[START] = start;
    state[UNTIL] = parent[UNTIL];
    if state[UNTIL] != NEVER {
        let _ = SERVING.insert(&child, &state, 0);
    }
}

/// The current process ends.
#[inline(always)]
pub(crate) fn forget() {
    let (tgid, _) = ids();
    if let Some(state) = look_up(tgid) {
        if state[LOST] != 0 {
            let mut header = emit::header(record::SERVING);
            header.lost = state[LOST];
            emit::bare(&header);
        }
        let _ = SERVING.remove(&tgid);
    }
}

/// Whether deeds of the current process are told.
#[inline(always)]
pub(crate) fn is_serving() -> bool {
    current().is_some()
}

/// A system call that may be a deed returns.
#[inline(never)]
pub(crate) fn done(call: Call, number: u64) {
    let is_begun = number == number::CONNECT && call.ret == EINPROGRESS;
    if (call.ret < 0 && !is_begun) || current().is_none() {
        return;
    }
    let cwd = AT_FDCWD;
    match number {
        number::OPEN => opened(call.ret as u32, call.arg1()),
        number::OPENAT => opened(call.ret as u32, call.arg2()),
        number::OPENAT2 => opened(call.ret as u32, read_user(call.arg2()).unwrap_or(0)),
        number::CREAT => opened(call.ret as u32, CREAT),
        number::CONNECT => connected(call.arg0() as u32, call.arg1(), call.ret),
        number::PWRITE64 | number::PWRITEV | number::FTRUNCATE => wrote(call.arg0() as u32),
        number::COPY_FILE_RANGE => wrote(call.arg2() as u32),
        number::TRUNCATE => named(deed::TRUNCATE, cwd, call.arg0()),
        number::UNLINK | number::RMDIR => named(deed::DELETE, cwd, call.arg0()),
        number::UNLINKAT => named(deed::DELETE, call.arg0(), call.arg1()),
        number::MKDIR => named(deed::CREATE, cwd, call.arg0()),
        number::MKDIRAT => named(deed::CREATE, call.arg0(), call.arg1()),
        number::LINK | number::SYMLINK => named(deed::CREATE, cwd, call.arg1()),
        number::SYMLINKAT => named(deed::CREATE, call.arg1(), call.arg2()),
        number::LINKAT => named(deed::CREATE, call.arg2(), call.arg3()),
        number::RENAME => {
            named(deed::RENAME_FROM, cwd, call.arg0());
            named(deed::RENAME_TO, cwd, call.arg1());
        }
        number::RENAMEAT | number::RENAMEAT2 => {
            named(deed::RENAME_FROM, call.arg0(), call.arg1());
            named(deed::RENAME_TO, call.arg2(), call.arg3());
        }
        _ => {}
    }
}

/// Bytes went into what is no stream. Not told of the standard outputs, which whoever started the process chose.
#[inline(never)]
pub(crate) fn wrote(fd: u32) {
    if fd == 1 || fd == 2 {
        return;
    }
    let Some(state) = current() else { return };
    let file = object::file(fd);
    let inode: u64 = read(file, offset!(file_inode));
    if read::<u16>(inode, offset!(inode_mode)) & S_IFMT != S_IFREG {
        return;
    }
    let time = now();
    let during = state[START].wrapping_add(state[READS]);
    // SAFETY: the value is two plain numbers.
    if let Some([told, when]) = unsafe { WRITTEN.get(&file) }
        && *told == during
        && time - *when < WRITES
    {
        return;
    }
    let _ = WRITTEN.insert(&file, &[during, time], 0);
    if let Some(scratch) = begin(deed::WRITE) {
        describe_file(scratch, file);
        send(scratch, 0);
    }
}

/// A file was opened.
#[inline(never)]
fn opened(fd: u32, flags: u64) {
    let file = object::file(fd);
    // Another file was at this address when writing to it was told.
    let _ = WRITTEN.remove(&file);
    if let Some(scratch) = begin(deed::OPEN) {
        part(scratch).flags = flags;
        describe_file(scratch, file);
        send(scratch, 0);
    }
}

/// Something was done to a name, which begins at a directory.
#[inline(never)]
fn named(kind: u8, directory: u64, name: u64) {
    let Some(scratch) = begin(kind) else { return };
    // The kernel looks at the lower half of the register only.
    if directory as u32 == AT_FDCWD as u32 {
        let fs: u64 = read(task(), offset!(task_fs));
        scratch.dentry = read(fs, offset!(fs_dentry));
        scratch.mount = read(fs, offset!(fs_mount));
    } else {
        let file = object::file(directory as u32);
        scratch.dentry = read(file, offset!(file_dentry));
        scratch.mount = read(file, offset!(file_mount));
    }
    walk(scratch);
    send(scratch, name);
}

/// A socket was connected, or will be.
#[inline(never)]
fn connected(fd: u32, address: u64, ret: i64) {
    let file = object::file(fd);
    let inode: u64 = read(file, offset!(file_inode));
    if read::<u16>(inode, offset!(inode_mode)) & S_IFMT != S_IFSOCK {
        return;
    }
    let socket: u64 = read(file, offset!(file_private));
    let sock: u64 = read(socket, offset!(socket_sock));
    let family: u16 = read(sock, offset!(sock_family));
    let Some(scratch) = begin(deed::CONNECT) else {
        return;
    };
    let told = part(scratch);
    told.error = if ret < 0 { -ret as i32 } else { 0 };
    if family == AF_UNIX {
        // `sun_path` of `struct sockaddr_un`; a name without a file begins with NUL, and is not told.
        return send(scratch, address + 2);
    }
    if family != AF_INET && family != AF_INET6 {
        return;
    }
    told.protocol = read::<u16>(sock, offset!(sock_protocol)) as u8;
    let flow = object::flow(sock);
    told.address = object::bytes(flow.remote);
    told.port = flow.remote_port;
    told.ip = flow.ip & !object::Flow::LOOPBACK;
    send(scratch, 0);
}

/// The state of the current process, if its deeds are told.
#[inline(always)]
fn current() -> Option<&'static mut [u64; WORDS]> {
    let (tgid, _) = ids();
    let state = look_up(tgid)?;
    if state[UNTIL] != ALWAYS && state[UNTIL] < now() {
        return None;
    }
    is_it(state).then_some(state)
}

/// Whether a state is the current process's, not that of one whose number it has got.
#[inline(always)]
fn is_it(state: &[u64; WORDS]) -> bool {
    state[START] == 0 || state[START] == current_start()
}

#[inline(always)]
fn look_up(tgid: u32) -> Option<&'static mut [u64; WORDS]> {
    // SAFETY: values of a hash map stay valid while the program runs; a word that two CPUs change at once counts a few
    // deeds or messages wrongly.
    SERVING
        .get_ptr_mut(&tgid)
        .map(|state| unsafe { &mut *state })
}

/// Begins a deed of the current process; `None` where there were too many.
#[inline(never)]
fn begin(kind: u8) -> Option<&'static mut Scratch> {
    let state = current()?;
    let window = now() / limit::DEED_WINDOW;
    if state[WINDOW] != window {
        state[WINDOW] = window;
        state[USED] = 0;
    }
    state[USED] += 1;
    if state[USED] > limit::DEEDS {
        state[LOST] += 1;
        if state[LOST] == 1 {
            // In case no deed comes that could tell.
            let mut header = emit::header(record::SERVING);
            header.lost = 1;
            emit::bare(&header);
        }
        return None;
    }
    let scratch = process::scratch_of_deeds()?;
    emit::begin(&mut scratch.header, record::DEED);
    scratch.header.end = kind;
    scratch.header.lost = state[LOST];
    state[LOST] = 0;
    scratch.path_len = 0;
    let told = part(scratch);
    told.address = [0; 16];
    told.inode = 0;
    told.flags = 0;
    told.port = 0;
    told.ip = 0;
    told.protocol = 0;
    told.file_mode = 0;
    told.inode_mode = 0;
    told.is_whole = 0;
    told.error = 0;
    told.path_len = 0;
    told.given_len = 0;
    told.pad = 0;
    Some(scratch)
}

/// The fixed part of the record.
#[inline(always)]
fn part(scratch: &mut Scratch) -> &'static mut Deed {
    // SAFETY: it is as large and as aligned as what it stands in place of, which lives in a map; plain data.
    unsafe { &mut *(&raw mut scratch.exec).cast::<Deed>() }
}

#[inline(always)]
fn describe_file(scratch: &mut Scratch, file: u64) {
    let inode: u64 = read(file, offset!(file_inode));
    let told = part(scratch);
    told.inode = read(inode, offset!(inode_number));
    told.inode_mode = read(inode, offset!(inode_mode));
    told.file_mode = read(file, offset!(file_mode));
    scratch.dentry = read(file, offset!(file_dentry));
    scratch.mount = read(file, offset!(file_mount));
    walk(scratch);
}

/// Writes the names of the directories from where `scratch` is up to the root.
#[inline(never)]
fn walk(scratch: &mut Scratch) {
    for _ in 0..PATH_DEPTH {
        if process::climb(scratch) != 0 {
            part(scratch).is_whole = 1;
            break;
        }
    }
}

/// Sends what was put together, with the text at `name` where that is not 0.
#[inline(never)]
fn send(scratch: &mut Scratch, name: u64) {
    let path = scratch.path_len as u32 & (HALF - 1);
    let told = part(scratch);
    told.path_len = path;
    if name != 0 {
        // SAFETY: at most half of the strings, behind a path of less than the other half.
        let got = unsafe {
            let into = scratch.strings.as_mut_ptr().add(path as usize);
            bpf::bpf_probe_read_user_str(into.cast(), GIVEN_BYTES as u32, name as *const c_void)
        };
        if got > 0 {
            told.given_len = got as u32 & (HALF * 2 - 1);
        }
    }
    scratch.header.len = path + told.given_len;
    // Read again, so that Linux 6.1 sees the mask on what it checks.
    // SAFETY: points to a field.
    let len = unsafe { core::ptr::read_volatile(&raw const scratch.header.len) } & (HALF * 2 - 1);
    emit::bytes(
        (&raw const *scratch).cast(),
        (size_of::<record::Header>() + size_of::<Deed>()) as u32 + len,
    );
}
