//! What is told about a file: the stacks in it, where to probe each, and how to read the arguments there.

use iced_x86::Register;

/// One TLS stack found in a file.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Library {
    /// Which one.
    pub stack: Stack,
    /// Its version as the file itself words it ("OpenSSL 3.0.17 1 Jul 2025", "OPENSSL_3.3.0", "go1.26.8").
    pub version: Option<String>,
    /// Where to probe, ordered by offset. All of them together hear each byte once.
    pub sites: Vec<Site>,
    /// Why there are no sites.
    pub refused: Option<Refusal>,
    /// Functions of it that move plaintext past the sites, so that it is not heard.
    pub unheard: Vec<&'static str>,
}

impl Library {
    /// A stack with its sites, put in order.
    pub(crate) fn new(stack: Stack, version: Option<String>, mut sites: Vec<Site>) -> Self {
        sites.sort_unstable();
        sites.dedup();
        Self {
            stack,
            version,
            sites,
            refused: None,
            unheard: Vec::new(),
        }
    }

    /// A stack that is there but cannot be probed.
    pub(crate) fn refused(stack: Stack, version: Option<String>, why: Refusal) -> Self {
        Self {
            refused: Some(why),
            ..Self::new(stack, version, Vec::new())
        }
    }
}

/// A TLS implementation.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[non_exhaustive]
pub enum Stack {
    /// OpenSSL 1.1.1 or 3.x.
    OpenSsl,
    /// BoringSSL, or the libssl of AWS-LC.
    BoringSsl,
    /// LibreSSL.
    LibreSsl,
    /// Go's `crypto/tls`.
    Go,
    /// GnuTLS.
    GnuTls,
    /// AWS-LC's encryption, mostly beneath rustls.
    AwsLc,
    /// ring's encryption, mostly beneath rustls.
    Ring,
    /// The TLS of a Java virtual machine.
    Java,
    /// NSS, as in Firefox.
    Nss,
}

/// Why a stack that was recognised gets no probes.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// One of the functions is not there.
    #[error("function {function} not found")]
    Missing {
        /// The function's name in the sources.
        function: &'static str,
    },
    /// Several places look like the function.
    #[error("{found} places look like {function}")]
    Ambiguous {
        /// The function's name in the sources.
        function: &'static str,
        /// How many.
        found: usize,
    },
    /// The function's code is not what the probes rely on.
    #[error("{function} is compiled in an unknown way: {why}")]
    Code {
        /// The function's name in the sources.
        function: &'static str,
        /// What was expected and not found.
        why: &'static str,
    },
    /// No probe can hear it, whatever the file.
    #[error("cannot be heard by probes: {why}")]
    Unhearable {
        /// What is in the way.
        why: &'static str,
    },
}

/// One place to probe.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Site {
    /// Offset in the file, as uprobes want it.
    pub offset: u64,
    /// What passes here.
    pub role: Role,
}

/// What kind of probe a site is for, and what it hears.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Role {
    /// A uprobe where the arguments are still in their registers: remember them by thread.
    Enter(Call),
    /// A uretprobe, at the same offset as the call's `Enter`: `rax` is the result.
    Return(Call),
    /// A uprobe on the way out of the function; all of a call's together stand for a uretprobe. There is no `Enter`.
    Ret(Call),
    /// A uprobe: the connection object in `rdi` may be freed and its address used again. Not a proof of its end:
    /// the object may have other references.
    Free,
}

/// Where a number is at a site: in a register, and what is at `[rsp + added]` comes on top unless that is 0.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Count {
    register: u8,
    added: u16,
}

impl Count {
    /// In `rax` alone.
    pub const RAX: Self = Self {
        register: 0,
        added: 0,
    };
    /// Places on the stack that can be told, in words.
    const WORDS: i64 = 255;

    /// In one of the registers that every processor of the kind has.
    pub(crate) fn in_register(register: Register) -> Self {
        Self {
            register: register.number() as u8,
            added: 0,
        }
    }

    /// The same and what is on the stack; `None` where that is at a place that cannot be told.
    pub(crate) fn with(register: Register, added: i64) -> Option<Self> {
        let is_told = added % 8 == 0 && (8..=8 * Self::WORDS).contains(&added);
        is_told.then_some(Self {
            added: added as u16,
            ..Self::in_register(register)
        })
    }

    /// The register's number, as machine code has it, and the place in words of eight bytes.
    pub fn parts(self) -> [u8; 2] {
        [self.register, (self.added / 8) as u8]
    }
}

/// A function that moves plaintext. Integer arguments are in rdi, rsi, rdx, rcx, r8, r9 where nothing else is said.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[non_exhaustive]
pub enum Call {
    /// `int SSL_write(rdi SSL*, rsi buf, edx len)`; wrote `eax` bytes if above 0.
    SslWrite,
    /// `int SSL_read(rdi SSL*, rsi buf, edx size)`; read `eax` bytes if above 0.
    SslRead,
    /// `int f(rdi SSL*, rsi buf, rdx len, rcx size_t *written)`; wrote `*rcx` bytes if `eax == 1`.
    SslWriteEx,
    /// `int f(rdi SSL*, rsi buf, rdx size, rcx size_t *read)`; read `*rcx` bytes if `eax == 1`.
    SslReadEx,
    /// `ssize_t f(rdi session, rsi buf, rdx len, ..)`; took `rax` bytes if above 0.
    ///
    /// With `rsi` 0 nothing is to be read there: `rax` tells of corked bytes, heard before, or, after a call that
    /// returned `GNUTLS_E_AGAIN` (-28) or `GNUTLS_E_INTERRUPTED` (-52), of that call's buffer.
    GnuTlsSend,
    /// `ssize_t gnutls_record_recv(rdi session, rsi buf, rdx size)`; read `rax` bytes if above 0.
    GnuTlsReceive,
    /// `int EVP_AEAD_CTX_seal(rdi ctx, rsi out, rdx size_t *out_len, rcx max_out_len, r8 nonce, r9 nonce_len, [rsp+8] in,
    /// [rsp+16] in_len, [rsp+24] ad, [rsp+32] ad_len)`: plaintext is in `in` at `Enter` (often `in == out`); at `Return`
    /// with `eax == 1` there are `*out_len` bytes of ciphertext in `out`.
    AeadSeal,
    /// `int EVP_AEAD_CTX_seal_scatter(rdi ctx, rsi out, rdx out_tag, rcx size_t *out_tag_len, r8 max_out_tag_len, r9 nonce,
    /// [rsp+8] nonce_len, [rsp+16] in, [rsp+24] in_len, [rsp+32] extra_in, [rsp+40] extra_in_len, [rsp+48] ad,
    /// [rsp+56] ad_len)`: as above, with `in_len` bytes of ciphertext in `out`; `extra_in` is plaintext that follows.
    AeadSealScatter,
    /// `int EVP_AEAD_CTX_open(rdi ctx, rsi out, rdx size_t *out_len, rcx max_out_len, r8 nonce, r9 nonce_len, [rsp+8] in,
    /// [rsp+16] in_len, [rsp+24] ad, [rsp+32] ad_len)`: ciphertext is in `in` at `Enter`; at `Return` with `eax == 1`
    /// there are `*out_len` bytes of plaintext in `out`.
    AeadOpen,
    /// `f(rdi result, rsi key, rdx nonce, rcx ad, r8 ad_len, r9 buf, [rsp+8] len)`: at `Enter` `len` bytes of plaintext are
    /// in `buf`; at `Return`, if the byte at `rax` is 0, as many of ciphertext, without the tag.
    RingSeal,
    /// `f(rdi result, rsi key, rdx nonce, rcx ad, r8 ad_len, r9 buf, [rsp+8] len, [rsp+16] skip)`: at `Enter` `len - skip`
    /// bytes of ciphertext without the tag are in `buf + skip`; at `Return`, if the byte at `rax` is 0, as many of
    /// plaintext in `buf`, whose tag is verified afterwards.
    RingOpen,
    /// Go's `(*Conn).Write`: at the site, wrote `count` bytes if above 0 (signed) from the address at
    /// `[rsp + buffer]`; the `*tls.Conn` is at `[rsp + connection]`.
    GoWrite {
        /// Counted from `rsp`, which points at the function's frame.
        connection: u16,
        /// The same.
        buffer: u16,
        /// How many bytes.
        count: Count,
    },
    /// Go's `(*Conn).Read`: the same, with `count` bytes read.
    GoRead {
        /// Counted from `rsp`, which points at the function's frame.
        connection: u16,
        /// The same.
        buffer: u16,
        /// How many bytes.
        count: Count,
    },
    /// `int f(rdi SSL*, rsi buf, rdx len, rcx flags, r8 size_t *written)`; wrote `*r8` bytes if `eax == 1`.
    SslWriteEx2,
}
