//! Signs of MCP in the bytes of a stream that is only watched.
//!
//! A chunk of up to [`WHOLE`] bytes is searched whole while the stream has credit, else its first block is.
//! Nothing is parsed here: a sign only starts the copying, and the daemon decides what it was.

use core::ffi::c_void;

use auditor_common::limit::SLOTS;
use aya_ebpf::{helpers::generated as bpf, macros::map, maps::PerCpuArray};

use crate::{copy::Source, kernel::zero, object::Target, stream, stream::Stream};

/// Bytes a second that may be searched in one stream beyond the first block of each chunk.
pub(crate) const CREDIT: u64 = 1 << 20;
/// Chunks up to this size are searched whole.
const WHOLE: u64 = 8_192;
/// Bytes that are searched at once; those of a chunk's beginning always are.
const BLOCK: u64 = 64;
/// Blocks of one chunk; more than fit into [`WHOLE`], for buffers need not be full.
const BLOCKS: u32 = 160;
/// The same for kernels without `bpf_loop`.
const BLOCKS_BOUNDED: u32 = 8;
const WORDS: usize = BLOCK as usize / 8;

/// How much a chunk looks like MCP.
#[derive(Clone, Copy, Eq, PartialEq)]
pub(crate) enum Sign {
    /// Not at all.
    None,
    /// A line that begins like JSON, or HTTP.
    Weak,
    /// The word `jsonrpc`, or an HTTP POST.
    Strong,
}

/// State of one search. In a map, where the verifier does not follow its values.
#[repr(C)]
struct Search {
    words: [u64; WORDS],
    source: Source,
    /// Bytes that may still be searched.
    budget: u64,
    /// The last word's newline, to be followed by a brace in the next.
    carry: u64,
    weak: u64,
    strong: u64,
}

#[map]
static SEARCH: PerCpuArray<Search> = PerCpuArray::with_max_entries(SLOTS, 0);

/// Looks for signs of MCP in `span` bytes of `source`. Out of line for the sake of the caller's stack.
#[inline(never)]
pub(crate) fn look<const LOOP: bool>(
    stream: &mut Stream,
    target: &Target,
    span: u64,
    source: &Source,
    mut slot: u32,
) -> Sign {
    let Some(search) = SEARCH.get_ptr_mut(slot) else {
        return Sign::None;
    };
    // SAFETY: per CPU, and a slot belongs to one program at a time.
    let search = unsafe { &mut *search };
    search.source = *source;
    search.budget = if span <= BLOCK || (span <= WHOLE && stream.take_scan_credit(span)) {
        span
    } else {
        BLOCK
    };
    search.carry = 0;
    search.weak = u64::from(is_twin_capturing(target));
    search.strong = 0;
    if !search.source.find_segment() || block(search) != 0 {
        return Sign::None;
    }
    let head = search.words[0];
    let first = head as u8;
    let is_weak = match head as u32 {
        POST => return Sign::Strong,
        GET | HTTP | DELETE | PRI => true,
        _ => {
            first == b'{'
                || first == b'['
                || (span < 4 && matches!(first, b'P' | b'G' | b'H' | b'D'))
        }
    };
    if search.budget != 0 && search.strong == 0 {
        if LOOP {
            // SAFETY: `block_at` has the form that the helper calls.
            unsafe { bpf::bpf_loop(BLOCKS, block_at as *mut c_void, (&raw mut slot).cast(), 0) };
        } else {
            for _ in 0..BLOCKS_BOUNDED {
                if block(search) != 0 {
                    break;
                }
            }
        }
    }
    if search.strong != 0 {
        Sign::Strong
    } else if is_weak || search.weak != 0 {
        Sign::Weak
    } else {
        Sign::None
    }
}

const POST: u32 = u32::from_le_bytes(*b"POST");
const GET: u32 = u32::from_le_bytes(*b"GET ");
const HTTP: u32 = u32::from_le_bytes(*b"HTTP");
const DELETE: u32 = u32::from_le_bytes(*b"DELE");
const PRI: u32 = u32::from_le_bytes(*b"PRI ");

extern "C" fn block_at(_index: u32, slot: *mut c_void) -> i64 {
    // SAFETY: points to what `look` handed over.
    match SEARCH.get_ptr_mut(unsafe { *slot.cast() }) {
        // SAFETY: as in `look`.
        Some(search) => block(unsafe { &mut *search }),
        None => 1,
    }
}

/// Searches the next block, without branches for the verifier's sake; not 0 when there is nothing more to search.
#[inline(never)]
fn block(search: &mut Search) -> i64 {
    if search.strong != 0 || search.budget == 0 {
        return 1;
    }
    if search.source.rem == 0 {
        return i64::from(!search.source.find_segment());
    }
    let mut have = search.source.rem;
    if have > search.budget {
        have = search.budget;
    }
    if have > BLOCK {
        have = BLOCK;
    }
    search.words = [zero(); WORDS];
    // SAFETY: at most as many bytes as `words` has.
    let failed = unsafe {
        bpf::bpf_probe_read_user(
            search.words.as_mut_ptr().cast(),
            bounded(have),
            search.source.base as *const c_void,
        )
    };
    if failed != 0 {
        return 1;
    }
    search.source.skip(have);
    search.budget -= have;
    let mut carry = search.carry;
    let (mut weak, mut strong) = (0, 0);
    for index in 0..WORDS {
        let word = search.words[index];
        weak |= zero_bytes(word ^ repeat(b'\n'));
        strong |= zero_bytes(word ^ repeat(b'n'));
    }
    if weak | strong | carry == 0 {
        // No line begins here, and no part of the word `jsonrpc` is without an n.
        return 0;
    }
    (weak, strong) = (0, 0);
    for index in 0..WORDS {
        let word = search.words[index];
        strong |= has_keyword(word);
        let newlines = zero_bytes(word ^ repeat(b'\n'));
        let braces = zero_bytes(word ^ repeat(b'{')) | zero_bytes(word ^ repeat(b'['));
        weak |= (newlines << 8 | carry) & braces;
        carry = newlines >> 56;
    }
    search.carry = carry;
    search.weak |= weak;
    search.strong |= strong;
    0
}

/// `len`, which is 1 to [`BLOCK`], in a form that the verifier believes.
#[inline(always)]
fn bounded(len: u64) -> u32 {
    // SAFETY: reads a local.
    let len = unsafe { core::ptr::read_volatile(&raw const len) } as u32;
    (len.wrapping_sub(1) & (BLOCK as u32 - 1)) + 1
}

/// Not 0 when one of the two aligned halves is a part of `jsonrpc`: any seven bytes cover one whole.
#[inline(always)]
fn has_keyword(word: u64) -> u64 {
    is_part(word & u64::from(u32::MAX)) | is_part(word >> 32)
}

#[inline(always)]
fn is_part(half: u64) -> u64 {
    is_zero(half ^ part(*b"json"))
        | is_zero(half ^ part(*b"sonr"))
        | is_zero(half ^ part(*b"onrp"))
        | is_zero(half ^ part(*b"nrpc"))
}

const fn part(letters: [u8; 4]) -> u64 {
    u32::from_le_bytes(letters) as u64
}

/// 1 for 0, else 0; for less than 2^63.
#[inline(always)]
fn is_zero(value: u64) -> u64 {
    value.wrapping_sub(1) >> 63
}

/// The byte in every place of a word.
const fn repeat(byte: u8) -> u64 {
    u64::from_le_bytes([byte; 8])
}

/// The highest bit of each byte that is zero.
#[inline(always)]
fn zero_bytes(word: u64) -> u64 {
    word.wrapping_sub(repeat(1)) & !word & repeat(0x80)
}

/// Whether the other direction is being copied: what is answered there is of interest too.
#[inline(always)]
fn is_twin_capturing(target: &Target) -> bool {
    target.twin != 0 && stream::find(target.twin).is_some_and(|twin| twin.is_capturing())
}
