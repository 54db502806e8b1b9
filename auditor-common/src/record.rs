//! The records that the kernel side puts into the ring.
//!
//! Each record is a [`Header`], a fixed part that depends on [`Header::kind`], and `len` bytes of payload. Records
//! may be longer than that (payload areas come in few sizes); what follows is not defined.

/// Bytes of a stream, or with `len` 0 only the fact that `span` bytes moved.
pub const DATA: u8 = 1;
/// What a stream is: followed by an [`Object`].
pub const OBJECT: u8 = 2;
/// A stream's end, as its reader (end of file) or its writer (broken pipe, reset) was told.
pub const END: u8 = 3;
/// A process was born: followed by a [`Birth`].
pub const FORK: u8 = 4;
/// A process runs another program: followed by an [`Exec`] and its strings.
pub const EXEC: u8 = 5;
/// A process ended.
pub const EXIT: u8 = 6;
/// A cgroup was made: `stream` is its id, `generation` its hierarchy (0 is version 2), the payload its path.
pub const CGROUP: u8 = 7;
/// A TLS session was bound to its connection: the header's stream goes on under another key. Followed by a [`Bind`].
pub const BIND: u8 = 8;
/// A process mapped an executable file that was not seen before: `stream` is its inode, `generation` its device
/// (`major << 20 | minor`), `pos` the address.
pub const MAPPED: u8 = 9;
/// A process that serves MCP, or a descendant of one, did something: followed by a [`Deed`] and its strings. `end` is its
/// kind, see [`deed`]; `lost` counts the deeds of this process that were left out before it.
pub const DEED: u8 = 10;
/// Deeds of a process are told from here on; with `lost` not 0, that many or more were left out before.
pub const SERVING: u8 = 11;

/// The end of a stream at which something was seen.
pub mod end {
    /// Where bytes go in.
    pub const WRITE: u8 = 0;
    /// Where bytes come out.
    pub const READ: u8 = 1;
}

/// Kinds of kernel objects.
pub mod object {
    /// Pipe or FIFO.
    pub const PIPE: u8 = 1;
    /// Unix stream socket.
    pub const UNIX: u8 = 2;
    /// Pseudo-terminal.
    pub const PTY: u8 = 3;
    /// TCP socket.
    pub const TCP: u8 = 4;
    /// TLS session: the plaintext, as the program handed it to its library.
    pub const TLS: u8 = 5;
}

/// How a TLS session was bound to its TCP connection.
pub mod binding {
    /// Not at all.
    pub const NONE: u8 = 0;
    /// The library's own object of the connection names the socket.
    pub const OBJECT: u8 = 1;
    /// The socket was used inside the library's call, on the same thread.
    pub const CALL: u8 = 2;
    /// The thread moved a TLS record of just this length next, on a connection that no other session has.
    pub const RECORD: u8 = 3;
}

/// Bits of [`Header::flags`].
pub mod flag {
    /// Bytes before this record were judged not to be MCP and left out.
    pub const SKIPPED: u8 = 1;
    /// Bytes before this record were lost because the ring was full.
    pub const LOST: u8 = 2;
    /// The bytes of this record could not be read from the program's memory.
    pub const UNREADABLE: u8 = 4;
    /// The bytes of this record moved by a way whose bytes are not read (`splice`, `io_uring` ...).
    pub const UNHEARD: u8 = 8;
    /// The stream existed before the probes: positions of its two ends cannot be compared.
    pub const UNALIGNED: u8 = 16;
    /// An [`END`](super::END) by reset, not in good order.
    pub const RESET: u8 = 32;
    /// The stream is being copied because it may be MCP.
    pub const CAPTURING: u8 = 64;
    /// The stream of a TLS session that is not bound to its connection yet.
    pub const UNBOUND: u8 = 128;
    /// In a record of an [`EXEC`](super::EXEC), alone: the process serves MCP, or descends from one that does.
    pub const SERVES: u8 = 1;
}

/// Kinds of [`Deed`]s.
pub mod deed {
    /// A file was opened.
    pub const OPEN: u8 = 1;
    /// Bytes were written to an open file: told once for a file and a message that the process has read.
    pub const WRITE: u8 = 2;
    /// A name was taken away.
    pub const DELETE: u8 = 3;
    /// A name was given up for another.
    pub const RENAME_FROM: u8 = 4;
    /// The other name.
    pub const RENAME_TO: u8 = 5;
    /// A name was made: a directory or a link.
    pub const CREATE: u8 = 6;
    /// A file was cut or extended by its name.
    pub const TRUNCATE: u8 = 7;
    /// A socket was connected, or began to be.
    pub const CONNECT: u8 = 8;
}

/// Words of a value of the map `SERVING`, whose keys are processes.
pub mod serving {
    /// Number of the words.
    pub const WORDS: usize = 6;
    /// Start of the process, nanoseconds since boot; 0 where that is not known exactly.
    pub const START: usize = 0;
    /// Its deeds are told until then, nanoseconds since boot: [`ALWAYS`] for a server, [`NEVER`] for what is none.
    pub const UNTIL: usize = 1;
    /// Messages that it has read.
    pub const READS: usize = 2;
    /// The stretch of time in which deeds are counted.
    pub const WINDOW: usize = 3;
    /// Deeds in it.
    pub const USED: usize = 4;
    /// Deeds left out and not told yet.
    pub const LOST: usize = 5;
    /// See [`UNTIL`].
    pub const ALWAYS: u64 = u64::MAX;
    /// See [`UNTIL`].
    pub const NEVER: u64 = 0;
}

/// Difference between the key of a TCP stream and that of the plaintext on it.
pub const LAYER: u64 = 0x5bd1_e995_9e37_79b9;

/// Begins every record.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Header {
    /// One of the kinds above.
    pub kind: u8,
    /// See [`end`].
    pub end: u8,
    /// See [`object`].
    pub object: u8,
    /// See [`flag`].
    pub flags: u8,
    /// Payload bytes in this record.
    pub len: u32,
    /// Nanoseconds since boot, suspend included.
    pub time: u64,
    /// Start of the current process, nanoseconds since boot.
    pub start: u64,
    /// The current process.
    pub tgid: u32,
    /// The current thread.
    pub tid: u32,
    /// The stream: one direction of one kernel object.
    pub stream: u64,
    /// When this stream was first seen; tells apart streams whose key is reused.
    pub generation: u64,
    /// Position in the stream of the first byte that this record stands for.
    pub pos: u64,
    /// Bytes of the stream that this record stands for; at least `len`.
    pub span: u32,
    /// How often the kernel side began to copy this stream; names the decision that the daemon may revoke.
    pub epoch: u32,
    /// Bytes lost in this stream (ring full) since the record before.
    pub lost: u64,
}

/// What a stream is.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Object {
    /// The stream of the other direction, 0 when there is none.
    pub twin: u64,
    /// Inode number of the file at the end where it was seen.
    pub inode: u64,
    /// Sender's address: IPv4 in the first four bytes, or IPv6.
    pub source: [u8; 16],
    /// Receiver's address.
    pub destination: [u8; 16],
    /// Sender's port.
    pub source_port: u16,
    /// Receiver's port.
    pub destination_port: u16,
    /// 4, 6, or 0 when there are no addresses.
    pub ip: u8,
    /// For a pty: 1 when the sender is the master.
    pub master: u8,
    /// For a TLS session, see [`binding`].
    pub binding: u8,
    /// For Unix sockets: 1 when one of the two ends has a name, as the end that listened has.
    pub named: u8,
    /// Inode number of the network namespace.
    pub netns: u32,
    /// For Unix sockets, inode number of the receiving end's file; 0 where it has none.
    pub twin_inode: u32,
}

/// The plaintext stream of a connection, to which a session's stream turned out to belong.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Bind {
    /// Its key.
    pub stream: u64,
    /// Its generation.
    pub generation: u64,
}

/// A process's birth; the header names the child's parent.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Birth {
    /// Start of the child, nanoseconds since boot.
    pub start: u64,
    /// The child.
    pub tgid: u32,
    /// Zero.
    pub pad: u32,
}

/// A program that a process runs; the payload is its path, then its arguments.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Exec {
    /// Inode number of the program.
    pub inode: u64,
    /// Its size in bytes.
    pub size: u64,
    /// Time of its last change, seconds.
    pub ctime: u64,
    /// Id of the process's cgroup version 2.
    pub cgroup: u64,
    /// Start of the parent, nanoseconds since boot.
    pub parent_start: u64,
    /// The parent.
    pub parent: u32,
    /// Device of the program, as the kernel numbers it (`major << 20 | minor`).
    pub device: u32,
    /// Real user id in the root user namespace.
    pub uid: u32,
    /// Real group id in the root user namespace.
    pub gid: u32,
    /// Bytes of the path: components separated by NUL, innermost first.
    pub path_len: u32,
    /// Bytes of the arguments after it, separated by NUL.
    pub args_len: u32,
}

/// What a process did; the payload is the path of a file or directory, then the name that the call gave.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Deed {
    /// The peer's address: IPv4 in the first four bytes, or IPv6.
    pub address: [u8; 16],
    /// Inode number of the file.
    pub inode: u64,
    /// Flags of the call that opened it (`O_*`).
    pub flags: u64,
    /// The peer's port.
    pub port: u16,
    /// 4, 6, or 0 when there is no address.
    pub ip: u8,
    /// The socket's protocol (6 for TCP, 17 for UDP).
    pub protocol: u8,
    /// `f_mode` of the file.
    pub file_mode: u32,
    /// `i_mode` of the inode.
    pub inode_mode: u16,
    /// 1 where the path was followed up to its root.
    pub is_whole: u16,
    /// 0, or the error of a call that goes on (`EINPROGRESS`).
    pub error: i32,
    /// Bytes of the path: components separated by NUL, innermost first. Of the file, or of what the given name begins at.
    pub path_len: u32,
    /// Bytes of the name as the call gave it, with its NUL.
    pub given_len: u32,
    /// Zero.
    pub pad: u64,
}

const _: () = {
    // The kernel side builds both in one place.
    assert!(size_of::<Deed>() == size_of::<Exec>());
    assert!(align_of::<Deed>() == align_of::<Exec>());
    assert!(size_of::<Header>() == 72);
    assert!(size_of::<Object>() == 64);
    assert!(size_of::<Bind>() == 16);
    assert!(size_of::<Birth>() == 16);
    assert!(size_of::<Exec>() == 64);
};
