//! Bounds of the kernel side, known to both sides.

/// Streams (directions of kernel objects) remembered at once; the least recently used goes first.
pub const STREAMS: u32 = 65_536;

/// Bytes at the beginning of a stream that are copied whatever they are.
pub const PROBE_BYTES: u64 = 1_024;

/// The same while a TCP stream begins as a handshake of TLS that is not encrypted: certificates are in it.
pub const HANDSHAKE_BYTES: u64 = 8_192;

/// Sizes, in bytes, of the payload areas that are reserved; the smallest that fits is taken.
pub const PAYLOADS: [usize; 4] = [64, 512, 4_096, 32_768];

/// Largest payload of one record, in bytes.
pub const PAYLOAD_MAX: usize = PAYLOADS[3];

/// Steps of the copy loop of one system call where `bpf_loop` exists: payloads and buffers together.
pub const STEPS: u32 = 8_192;

/// The same where it does not (before Linux 5.17): what is beyond is a gap.
pub const STEPS_BOUNDED: u32 = 64;

/// Times that the daemon may find a stream's weak signs wrong before they count only once a second.
pub const STRIKES: u8 = 8;

/// Bytes of path and arguments in a record of an exec.
pub const EXEC_BYTES: usize = 8_192;

/// Directories of a path that are followed in the kernel.
pub const PATH_DEPTH: u32 = 32;

/// Default size of the ring between kernel and daemon, in bytes; a power of two.
pub const RING_BYTES: u32 = 16 << 20;

/// TLS sessions, and threads that speak TLS, remembered at once; the least recently used goes first.
pub const SESSIONS: u32 = 16_384;

/// Files whose TLS stack can be probed at once.
pub const LIBRARIES: u32 = 4_096;

/// Programs that may be at work on one processor at once: a tracepoint's, and those of preempted user probes.
pub const SLOTS: u32 = 16;

/// Processes that serve MCP, with their descendants, whose deeds are told; the least recently used goes first.
pub const SERVING: u32 = 16_384;

/// Deeds of one process that are told in [`DEED_WINDOW`] nanoseconds; those beyond are counted.
pub const DEEDS: u64 = 1_024;

/// About an eighth of a second; a power of two.
pub const DEED_WINDOW: u64 = 1 << 27;

/// Nanoseconds that the deeds of a process which may serve MCP are told before the daemon has said whether it does.
pub const DEED_TRIAL: u64 = 2_000_000_000;

/// Nanoseconds before it is tried again.
pub const DEED_RETRY: u64 = 30_000_000_000;

/// Bytes of a name as a call gave it, with its NUL.
pub const GIVEN_BYTES: usize = 4_096;
