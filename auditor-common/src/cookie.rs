//! What a probe in a TLS library is told of its place: the number of the library, and the form of the call.

/// Forms of calls: how their arguments and results say which bytes moved.
pub mod form {
    /// `int SSL_write(SSL *, const void *, int)`: returns the bytes written.
    pub const WRITE: u8 = 1;
    /// `int SSL_read(SSL *, void *, int)`: returns the bytes read.
    pub const READ: u8 = 2;
    /// `int SSL_write_ex(SSL *, const void *, size_t, size_t *)`: returns 1, and tells the bytes written.
    pub const WRITE_EX: u8 = 3;
    /// `int SSL_read_ex(SSL *, void *, size_t, size_t *)`: returns 1, and tells the bytes read.
    pub const READ_EX: u8 = 4;
    /// The same with flags before the last argument (`SSL_write_ex2`).
    pub const WRITE_EX2: u8 = 5;
    /// `ssize_t gnutls_record_send2(session, const void *, size_t, ...)`: returns the bytes taken; without a buffer it
    /// tells of bytes that were taken before.
    pub const GNUTLS_SEND: u8 = 8;
    /// `ssize_t gnutls_record_recv(session, void *, size_t)`: returns the bytes read.
    pub const GNUTLS_RECEIVE: u8 = 9;
    /// `EVP_AEAD_CTX_seal` of AWS-LC: one record, as it is about to be sealed.
    pub const AEAD_SEAL: u8 = 10;
    /// `EVP_AEAD_CTX_seal_scatter`: the same with the last bytes apart.
    pub const AEAD_SEAL_SCATTER: u8 = 11;
    /// `EVP_AEAD_CTX_open`: one record, as it was opened.
    pub const AEAD_OPEN: u8 = 12;
    /// `aead::seal` of ring.
    pub const RING_SEAL: u8 = 13;
    /// `aead::open` of ring.
    pub const RING_OPEN: u8 = 14;
    /// `func (c *Conn) Write(b []byte) (int, error)` of Go's crypto/tls.
    pub const GO_WRITE: u8 = 6;
    /// `func (c *Conn) Read(b []byte) (int, error)`.
    pub const GO_READ: u8 = 7;
}

/// The cookie of a probe: number of the library, below [`LIBRARIES`](crate::limit::LIBRARIES), form of the call, and
/// for Go where connection and buffer are, in bytes from the stack pointer, and how the bytes are counted: number of the
/// register, and which word of the stack comes on top unless that is 0.
pub const fn cookie(library: u32, form: u8, stack: [u16; 2], count: [u8; 2]) -> u64 {
    let [connection, buffer] = stack;
    let [register, added] = count;
    form as u64
        | (library as u64 & 0xfff) << 8
        | (register as u64 & 0xf) << 20
        | (added as u64) << 24
        | (connection as u64) << 32
        | (buffer as u64) << 48
}

/// The library's number.
pub const fn library(cookie: u64) -> u32 {
    (cookie >> 8) as u32 & 0xfff
}

/// The number of the register that has the count.
pub const fn register(cookie: u64) -> u8 {
    (cookie >> 20) as u8 & 0xf
}

/// What comes on top of it, in bytes from the stack pointer; 0 for nothing.
pub const fn added(cookie: u64) -> u64 {
    (cookie >> 24 & 0xff) * 8
}

/// The form of the call.
pub const fn form(cookie: u64) -> u8 {
    cookie as u8
}

/// Where connection and buffer are, in bytes from the stack pointer.
pub const fn stack(cookie: u64) -> [u64; 2] {
    [cookie >> 32 & 0xffff, cookie >> 48]
}
