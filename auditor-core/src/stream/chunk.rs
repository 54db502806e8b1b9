//! What this stage hands on: channels and their chunks. Types only.

use std::net::SocketAddr;

use bytes::Bytes;

use crate::key::{ChannelId, Side, Time};

/// A kernel object that carries bytes between two ends.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Channel {
    /// Its id, opaque and stable.
    pub id: ChannelId,
    /// What it is.
    pub kind: ChannelKind,
    /// Inode number of end A's file, where known.
    pub inode: Option<u64>,
    /// Inode number of end B's file, where known and different.
    pub peer_inode: Option<u64>,
    /// Addresses, for TCP.
    pub socket: Option<Socket>,
    /// For the plaintext of a TLS session, how it was bound to its connection.
    pub tls: Option<Binding>,
}

/// How a TLS session was bound to its TCP connection.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub enum Binding {
    /// Not at all: the other end is not known.
    #[default]
    None,
    /// The library's own object of the connection names the socket.
    Object,
    /// The socket was used inside the library's call.
    Call,
    /// The thread moved a TLS record of just this length next.
    Record,
}

/// Kinds of channels.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum ChannelKind {
    /// An anonymous pipe or a named FIFO: one direction.
    Pipe,
    /// A Unix stream socket from `socketpair`.
    Unix,
    /// A Unix stream socket that was connected to a name.
    NamedUnix,
    /// A pseudo-terminal: end A is the master.
    Pty,
    /// A TCP connection, or a TLS session on one.
    Tcp,
}

/// The addresses of a TCP connection.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Socket {
    /// Address of end A.
    pub a: SocketAddr,
    /// Address of end B.
    pub b: SocketAddr,
    /// Inode number of the network namespace in which it was seen.
    pub netns: u32,
}

/// The next piece of one direction of one channel.
///
/// Pieces of one direction come in order of `pos`, without overlap; what is missing is a
/// [`Content::Gap`].
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Chunk {
    /// The channel.
    pub channel: ChannelId,
    /// The sender.
    pub from: Side,
    /// Position of the first byte in this direction's stream.
    pub pos: u64,
    /// When the kernel saw it.
    pub time: Time,
    /// Bytes, or what stands in their place.
    pub content: Content,
}

/// What a chunk holds.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Content {
    /// Bytes of the stream; never empty.
    Bytes(Bytes),
    /// Bytes that were not captured.
    Gap {
        /// How many.
        bytes: u64,
        /// Why.
        cause: GapCause,
    },
    /// This direction ends here.
    End(EndCause),
}

/// Why bytes are missing from a stream.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum GapCause {
    /// The stream was joined after it had begun.
    Joined,
    /// The kernel side judged these bytes not to be MCP. Not a loss.
    Skipped,
    /// The ring between kernel and daemon was full.
    RingFull,
    /// The bytes could not be read from the program's memory.
    Unreadable,
    /// They moved by a way that is not heard (`io_uring`, `splice`, `sendfile` ...).
    Unheard,
    /// A bound of the daemon was reached.
    Bound,
    /// They are encoded in a way that is not known here, or not as their head says.
    Undecodable,
    /// A TLS connection whose plaintext is not seen.
    TlsUnheard,
}

/// Why a direction ended.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum EndCause {
    /// The reader saw the end of the stream, or the writer had nobody to write to.
    Closed,
    /// The connection was reset.
    Reset,
    /// The process that held the end is gone.
    Exited,
}
