//! From a file descriptor to the stream behind it.
//!
//! A stream is one direction of one kernel object. Its key is an address (pipe, sending socket, writing end of a
//! pty), or for TCP a hash of the flow, so that both ends of a connection on this host name the same stream.

use auditor_common::record::{Object, binding, end, object};
use aya_ebpf::{macros::map, maps::PerCpuArray};

use crate::kernel::{Block, Typed, least, offset, read, seed, zero};

const S_IFMT: u16 = 0o170_000;
const S_IFIFO: u16 = 0o010_000;
const S_IFSOCK: u16 = 0o140_000;
const S_IFCHR: u16 = 0o020_000;
const AF_UNIX: u16 = 1;
const AF_INET: u16 = 2;
const AF_INET6: u16 = 10;
const SOCK_STREAM: u16 = 1;
const IPPROTO_TCP: u16 = 6;
/// `MKDEV(5, 2)`: /dev/ptmx.
const PTMX: u32 = 5 << 20 | 2;
/// Majors of all terminals, which share their file operations with ptys: 4 to 143.
const TTY_MAJORS: core::ops::RangeInclusive<u32> = 4..=143;
/// Majors of pty slaves: 136 to 143.
const PTS_MAJORS: core::ops::RangeInclusive<u32> = 136..=143;

pub(crate) use auditor_common::record::LAYER;

/// A stream, and the object behind it.
#[derive(Clone, Copy)]
pub(crate) struct Target {
    /// The stream's key.
    pub(crate) stream: u64,
    /// The key of the other direction, 0 for none.
    pub(crate) twin: u64,
    /// Inode number of the sending end's file, 0 where it has none (any more).
    pub(crate) inode: u64,
    /// For TCP, the `struct sock`.
    pub(crate) sock: u64,
    /// The file at this end.
    pub(crate) file: u64,
    /// See [`object`].
    pub(crate) object: u8,
    /// For a pty: whether the sender is the master.
    pub(crate) master: bool,
    /// For a TLS session, see [`binding`].
    pub(crate) binding: u8,
}

/// Addresses of a TCP socket, from its own point of view.
#[derive(Clone, Copy)]
pub(crate) struct Flow {
    pub(crate) local: [u64; 2],
    pub(crate) remote: [u64; 2],
    pub(crate) local_port: u16,
    pub(crate) remote_port: u16,
    pub(crate) ip: u8,
    pub(crate) netns: u32,
}

/// The open file behind a descriptor of the current process, 0 for none.
#[inline(always)]
pub(crate) fn file(fd: u32) -> u64 {
    let table = Typed::task()
        .follow(offset!(task_files))
        .follow(offset!(files_fdt));
    read(table.word(offset!(fdt_fd)) + u64::from(fd) * 8, 0)
}

/// Finds the stream behind a descriptor.
#[inline(always)]
pub(crate) fn locate(fd: u32, side: u8, into: &mut Target) -> bool {
    find(file(fd), side, into)
}

/// Finds the stream that bytes take which go in (`WRITE`) or come out (`READ`) at `file`. Out of line, for it is large;
/// best into a map value: the verifier then forgets which way led there.
#[inline(never)]
pub(crate) fn find(file: u64, side: u8, into: &mut Target) -> bool {
    if file == 0 {
        return false;
    }
    let mut members = Block::<4>::new();
    members.read(file, least!(file_operations file_private file_inode));
    let operations: u64 = members.get(offset!(file_operations));
    let Some(kinds) = kinds() else { return false };
    if kinds.is_other(operations) {
        return false;
    }
    let private: u64 = members.get(offset!(file_private));
    let inode: u64 = members.get(offset!(file_inode));
    into.file = file;
    if operations == kinds.pipe {
        return pipe(private, inode, into);
    }
    if operations == kinds.socket {
        return socket(kinds, private, inode, side, into);
    }
    let mode: u16 = read(inode, offset!(inode_mode));
    match mode & S_IFMT {
        S_IFIFO => {
            kinds.pipe = operations;
            pipe(private, inode, into)
        }
        S_IFSOCK => {
            kinds.socket = operations;
            socket(kinds, private, inode, side, into)
        }
        S_IFCHR => {
            let device: u32 = read(inode, offset!(inode_rdev));
            if !TTY_MAJORS.contains(&(device >> 20)) {
                kinds.note_other(operations);
            }
            pty(private, device, side, into)
        }
        _ => {
            kinds.note_other(operations);
            false
        }
    }
}

/// What files with these operations (`struct file_operations *`) are, to know it without looking at their inode.
#[repr(C)]
struct Kinds {
    pipe: u64,
    socket: u64,
    /// The operations of Unix stream sockets (`struct proto_ops *`), which no other sockets have.
    unix: u64,
    /// No streams.
    others: [u64; 4],
    next: u64,
}

#[map]
static KINDS: PerCpuArray<Kinds> = PerCpuArray::with_max_entries(1, 0);

#[inline(always)]
fn kinds() -> Option<&'static mut Kinds> {
    // SAFETY: per CPU; each word is read and written whole, and any mixture of them is right.
    KINDS.get_ptr_mut(0).map(|kinds| unsafe { &mut *kinds })
}

impl Kinds {
    #[inline(always)]
    fn is_other(&self, operations: u64) -> bool {
        self.others[0] == operations
            || self.others[1] == operations
            || self.others[2] == operations
            || self.others[3] == operations
    }

    #[inline(always)]
    fn note_other(&mut self, operations: u64) {
        self.others[self.next as usize & 3] = operations;
        self.next += 1;
    }
}

impl Target {
    /// Sets all but the file.
    #[inline(always)]
    fn set(&mut self, object: u8, stream: u64, twin: u64, inode: u64, sock: u64) {
        self.stream = stream;
        self.twin = twin;
        self.inode = inode;
        self.sock = sock;
        self.object = object;
        self.master = false;
        self.binding = binding::NONE;
    }

    /// None yet.
    #[inline(always)]
    pub(crate) fn none() -> Self {
        Self {
            stream: zero(),
            twin: zero(),
            inode: zero(),
            sock: zero(),
            file: zero(),
            object: 0,
            master: false,
            binding: binding::NONE,
        }
    }
}

#[inline(always)]
fn pipe(pipe: u64, inode: u64, into: &mut Target) -> bool {
    let number = read(inode, offset!(inode_number));
    into.set(object::PIPE, pipe, zero(), number, zero());
    pipe != 0
}

#[inline(always)]
fn socket(kinds: &mut Kinds, socket: u64, inode: u64, side: u8, into: &mut Target) -> bool {
    let mut members = Block::<2>::new();
    members.read(socket, least!(socket_sock socket_operations));
    let sock: u64 = members.get(offset!(socket_sock));
    let operations: u64 = members.get(offset!(socket_operations));
    if operations == kinds.unix && operations != 0 {
        return unix(sock, inode, side, into);
    }
    if read::<u16>(sock, offset!(sock_type)) != SOCK_STREAM {
        return false;
    }
    match read::<u16>(sock, offset!(sock_family)) {
        AF_UNIX => {
            kinds.unix = operations;
            unix(sock, inode, side, into)
        }
        AF_INET | AF_INET6 if read::<u16>(sock, offset!(sock_protocol)) == IPPROTO_TCP => {
            tcp(sock, side, into);
            true
        }
        _ => false,
    }
}

#[inline(always)]
fn unix(sock: u64, inode: u64, side: u8, into: &mut Target) -> bool {
    let peer: u64 = read(sock, offset!(unix_peer));
    if side == end::WRITE {
        let number = read(inode, offset!(inode_number));
        into.set(object::UNIX, sock, peer, number, zero());
    } else {
        into.set(object::UNIX, peer, sock, socket_inode(peer), zero());
    }
    peer != 0
}

/// Inode number of a `struct sock`'s file; 0 once it is closed.
#[inline(always)]
fn socket_inode(sock: u64) -> u64 {
    let socket: u64 = read(sock, offset!(sock_socket));
    if socket == 0 {
        return 0;
    }
    // `struct socket` is the first member of `struct socket_alloc`.
    read(
        socket + u64::from(offset!(socket_inode)),
        offset!(inode_number),
    )
}

/// Whether a Unix socket has a name; one that was accepted has that of the listening one.
#[inline(always)]
fn is_named(sock: u64) -> bool {
    read::<u64>(sock, offset!(unix_address)) != 0
}

#[inline(always)]
fn tcp(sock: u64, side: u8, into: &mut Target) {
    let flow = flow(sock);
    let (out, back) = (flow.key(false), flow.key(true));
    let (stream, twin) = if side == end::WRITE {
        (out, back)
    } else {
        (back, out)
    };
    into.set(object::TCP, stream, twin, zero(), sock);
}

#[inline(always)]
fn pty(private: u64, device: u32, side: u8, into: &mut Target) -> bool {
    let is_master = device == PTMX;
    if !is_master && !PTS_MAJORS.contains(&(device >> 20)) {
        return false;
    }
    let tty: u64 = read(private, offset!(tty_of_file));
    let link: u64 = read(tty, offset!(tty_link));
    if tty == 0 || link == 0 {
        return false;
    }
    if side == end::WRITE {
        into.set(object::PTY, tty, link, zero(), zero());
        into.master = is_master;
    } else {
        into.set(object::PTY, link, tty, zero(), zero());
        into.master = !is_master;
    }
    true
}

/// What the daemon is told of a stream, seen at one of its ends. In place, for the sake of the stack.
#[inline(always)]
pub(crate) fn describe(target: &Target, side: u8, told: &mut Object) {
    *told = Object {
        twin: target.twin,
        inode: target.inode,
        source: bytes([zero(); 2]),
        destination: bytes([zero(); 2]),
        source_port: 0,
        destination_port: 0,
        ip: 0,
        master: 0,
        binding: 0,
        named: 0,
        netns: 0,
        twin_inode: 0,
    };
    if target.object == object::PTY {
        told.master = u8::from(target.master);
    }
    if target.object == object::UNIX {
        told.twin_inode = socket_inode(target.twin) as u32;
        told.named = u8::from(is_named(target.stream) || is_named(target.twin));
    }
    if target.object == object::TCP {
        let inode: u64 = read(target.file, offset!(file_inode));
        told.inode = read(inode, offset!(inode_number));
    }
    if target.object == object::TCP || is_connected(target, side) {
        told.binding = target.binding;
        let flow = flow(target.sock);
        let (local, remote) = (bytes(flow.local), bytes(flow.remote));
        if side == end::WRITE {
            told.source = local;
            told.destination = remote;
            told.source_port = flow.local_port;
            told.destination_port = flow.remote_port;
        } else {
            told.source = remote;
            told.destination = local;
            told.source_port = flow.remote_port;
            told.destination_port = flow.local_port;
        }
        told.ip = flow.ip & !Flow::LOOPBACK;
        told.netns = flow.netns;
    }
}

/// Whether the socket of a TLS session is still the one that it was bound to: another may be at its address.
#[inline(never)]
fn is_connected(target: &Target, side: u8) -> bool {
    target.object == object::TLS
        && target.binding != binding::NONE
        && flow(target.sock).key(side == end::READ) ^ LAYER == target.stream
}

#[inline(always)]
pub(crate) fn bytes(address: [u64; 2]) -> [u8; 16] {
    // SAFETY: same size, and every pattern is a value of both.
    unsafe { core::mem::transmute(address) }
}

/// Addresses of a TCP `struct sock`. IPv4 in IPv6 is told as IPv4, for its peer may be a plain IPv4 socket.
#[inline(always)]
pub(crate) fn flow(sock: u64) -> Flow {
    let mut flow = Flow {
        local: [zero(); 2],
        remote: [zero(); 2],
        local_port: u16::from_be(read(sock, offset!(inet_port))),
        remote_port: u16::from_be(read(sock, offset!(sock_ports))),
        ip: 4,
        netns: 0,
    };
    let mut loopback = false;
    let mut plain = read::<u16>(sock, offset!(sock_family)) == AF_INET;
    if !plain {
        flow.ip = 6;
        flow.remote = read(sock, offset!(sock_ipv6_destination));
        flow.local = read(sock, offset!(sock_ipv6_source));
        plain = flow.remote[0] == 0 && flow.remote[1] as u32 == 0xffff_0000;
        loopback = flow.remote[0] == 0 && flow.remote[1] == 1u64 << 56;
    }
    if plain {
        // Destination first, then source: the kernel's order, which its own look-ups rely on.
        let [destination, source] = read::<[u32; 2]>(sock, offset!(sock_ipv4));
        flow.ip = 4;
        flow.remote = [u64::from(destination), zero()];
        flow.local = [u64::from(source), zero()];
        loopback = destination as u8 == 127 || destination == source;
    }
    let net: u64 = read(sock, offset!(sock_net));
    flow.netns = read(net, offset!(net_inode));
    if !loopback {
        // Both ends may be on this host in two namespaces: only loopback addresses repeat between them.
        return flow;
    }
    flow.ip |= Flow::LOOPBACK;
    flow
}

impl Flow {
    /// Bit of `ip`: the addresses mean something else in every network namespace.
    pub(crate) const LOOPBACK: u8 = 0x80;

    /// Key of the stream from the local to the remote address, or back.
    #[inline(always)]
    pub(crate) fn key(&self, back: bool) -> u64 {
        let (from, to) = if back {
            (&self.remote, &self.local)
        } else {
            (&self.local, &self.remote)
        };
        let ports = if back {
            u64::from(self.remote_port) << 16 | u64::from(self.local_port)
        } else {
            u64::from(self.local_port) << 16 | u64::from(self.remote_port)
        };
        let netns = if self.ip & Self::LOOPBACK == 0 {
            0
        } else {
            u64::from(self.netns)
        };
        let mut key = mix(seed() ^ from[0], from[1]);
        key = mix(key ^ to[0], to[1]);
        key = mix(key ^ ports, netns);
        // Addresses have the highest bit set; this keeps hashes apart from them.
        key & !(1 << 63)
    }
}

/// Spreads two words over one (the finaliser of MurmurHash3, twice).
#[inline(always)]
pub(crate) fn mix(a: u64, b: u64) -> u64 {
    let mut x = a ^ b.rotate_left(32).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    x ^= x >> 33;
    x = x.wrapping_mul(0xff51_afd7_ed55_8ccd);
    x ^= x >> 33;
    x = x.wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    x ^ x >> 33
}
