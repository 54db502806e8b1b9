//! What is remembered of each stream, and the decision whether its next bytes are copied.
//!
//! Bytes have a position in their stream, counted at each end (TCP: from its sequence numbers). Whichever end sees
//! a position first judges and copies it; the other end then only testifies who moved it. A stream is watched until
//! something in it looks like MCP, is copied from there on, and watched again when the daemon finds nothing in it.
//! At most [`limit::STREAMS`] are remembered.

use core::arch::asm;

use auditor_common::{
    limit,
    record::{end, flag, object},
};
use aya_ebpf::{
    bindings::BPF_NOEXIST,
    macros::map,
    maps::{Array, LruHashMap},
};

use crate::{
    copy::Source,
    kernel::{now, offset, read, zero},
    object::Target,
    scan::{self, Sign},
};

#[map]
static STREAMS: LruHashMap<u64, Stream> = LruHashMap::with_max_entries(limit::STREAMS, 0);

/// The daemon's word: the decision of this epoch to copy this stream was wrong.
#[map]
static VERDICTS: LruHashMap<u64, u32> = LruHashMap::with_max_entries(limit::STREAMS, 0);

/// How many verdicts were given; the daemon counts after it gave one. Saves looking for one at every message.
#[map]
static GIVEN: Array<u64> = Array::with_max_entries(1, 0);

/// One direction of one kernel object.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Stream {
    pub(crate) generation: u64,
    /// Next position at the writing and at the reading end.
    pos: [u64; 2],
    /// Where it was first seen.
    origin: u64,
    /// Everything before was judged.
    judged: u64,
    /// Everything before was copied, left out on purpose, or is in the hole.
    captured: u64,
    /// Bytes before `captured` that were lost at one end and may be copied at the other.
    hole: [u64; 2],
    /// Bytes lost since the last record.
    pub(crate) lost: u64,
    /// Inode number of the sender's file.
    inode: u64,
    /// When the last credit was given, and what is left of it.
    refilled: u64,
    scan_credit: u64,
    /// Where the next TLS record begins, at the writing and at the reading end; 0 where that is not known.
    pub(crate) record: [u64; 2],
    pub(crate) epoch: u32,
    /// Bits of [`flag`] for the next record.
    pub(crate) pending: u8,
    is_unaligned: u8,
    is_capturing: u8,
    /// How often the daemon revoked.
    strikes: u8,
    /// Bit per end: its [`Object`](auditor_common::record::Object) was told.
    pub(crate) announced: u8,
    is_trial_left: u8,
    /// Chunks in a row that did not begin with a TLS record, up to [`NOT_TLS`].
    tls: u8,
    /// The end that was heard first, plus 1; 0 for none.
    speaker: u8,
    /// Whether it holds a TLS record with application data, or what is no TLS.
    sealed: u8,
    /// Whether it is being copied for a strong sign.
    is_sure: u8,
    pad: [u8; 2],
    /// How many verdicts had been given when it was looked for one on this stream.
    given: u64,
}

/// Chunks without a TLS record after which none is expected any more.
const NOT_TLS: u8 = 64;

/// What to do with bytes that moved: a word, so that Linux 6.1 sees every part of it set on every way.
#[derive(Clone, Copy, Eq, PartialEq)]
pub(crate) struct Action(u64);

impl Action {
    /// Nothing.
    pub(crate) const NOTHING: Self = Self(u64::MAX);
    /// Tell that they moved.
    pub(crate) const TESTIFY: Self = Self(u64::MAX - 1);

    /// Copy them from this position on; testify for what is before.
    #[inline(always)]
    fn copy(from: u64) -> Self {
        Self(from)
    }

    /// Where to copy from. Asked only when it is none of the others.
    #[inline(always)]
    pub(crate) fn from(self) -> u64 {
        self.0
    }
}

/// The stream behind `target`, remembered from now on. Out of line for the sake of the caller's stack.
#[inline(never)]
pub(crate) fn of(target: &Target) -> Option<&'static mut Stream> {
    if let Some(stream) = find(target.stream) {
        if target.inode != 0 && stream.inode != target.inode {
            if stream.inode != 0 {
                // The address was reused by another object.
                *stream = Stream::new(target.inode, false);
            }
            stream.inode = target.inode;
        }
        return Some(stream);
    }
    remember(target, false);
    find(target.stream)
}

/// Remembers a stream that existed before the probes.
#[inline(always)]
pub(crate) fn remember(target: &Target, is_unaligned: bool) {
    create(target.stream, target.inode, is_unaligned);
}

/// Remembers a stream, unless it is remembered. Out of line for the sake of the caller's stack.
#[inline(never)]
pub(crate) fn create(key: u64, inode: u64, is_unaligned: bool) {
    let stream = Stream::new(inode, is_unaligned);
    let _ = STREAMS.insert(&key, &stream, u64::from(BPF_NOEXIST));
}

/// The stream with this key, if it is remembered.
#[inline(always)]
pub(crate) fn find(key: u64) -> Option<&'static mut Stream> {
    // SAFETY: values of a hash map stay valid while the program runs; fields that two CPUs change at once are
    // either atomic or only decide whether bytes are copied once or twice.
    STREAMS
        .get_ptr_mut(&key)
        .map(|stream| unsafe { &mut *stream })
}

/// Forgets a stream: its key now means another one.
#[inline(always)]
pub(crate) fn forget(key: u64) {
    let _ = STREAMS.remove(&key);
}

impl Stream {
    #[inline(always)]
    fn new(inode: u64, is_unaligned: bool) -> Self {
        Self {
            generation: now(),
            pos: [zero(); 2],
            origin: zero(),
            judged: zero(),
            captured: zero(),
            hole: [zero(); 2],
            lost: zero(),
            inode,
            refilled: zero(),
            scan_credit: scan::CREDIT,
            record: [zero(); 2],
            epoch: 0,
            pending: 0,
            is_unaligned: u8::from(is_unaligned),
            is_capturing: 0,
            strikes: 0,
            announced: 0,
            is_trial_left: 1,
            tls: 0,
            speaker: 0,
            sealed: 0,
            is_sure: 0,
            pad: [0; 2],
            given: zero(),
        }
    }

    /// Counts `span` bytes that moved at an end; returns the position of the first.
    #[inline(always)]
    pub(crate) fn advance(&mut self, target: &Target, side: u8, span: u64) -> u64 {
        let index = usize::from(side & 1);
        if target.object != object::TCP {
            if self.speaker == 0 {
                self.speaker = side + 1;
            }
            return fetch_add(&mut self.pos[index], span);
        }
        let field = if side == end::WRITE {
            offset!(tcp_write_seq)
        } else {
            offset!(tcp_copied_seq)
        };
        let sequence: u32 = read(target.sock, field);
        let known = if self.pos[0] > self.pos[1] {
            self.pos[0]
        } else {
            self.pos[1]
        };
        let stop = if known == 0 {
            // Room below, for the other end may be behind.
            (1 << 32) + u64::from(sequence)
        } else {
            known.wrapping_add_signed(i64::from(sequence.wrapping_sub(known as u32) as i32))
        };
        self.pos[index] = stop;
        if self.origin == 0 {
            self.origin = stop - span;
        }
        stop - span
    }

    /// Takes over what a session's stream was before it was bound, seen at the end `side`.
    #[inline(always)]
    pub(crate) fn adopt(&mut self, unbound: &Self, side: u8) {
        let index = usize::from(side & 1);
        self.pos[index] = unbound.pos[index];
        if self.judged < unbound.judged {
            self.judged = unbound.judged;
        }
        if self.captured < unbound.captured {
            self.captured = unbound.captured;
        }
        if self.epoch < unbound.epoch {
            self.epoch = unbound.epoch;
        }
        if self.speaker == 0 {
            self.speaker = unbound.speaker;
        }
        self.is_capturing |= unbound.is_capturing;
        self.is_sure |= unbound.is_sure;
        self.pending |= unbound.pending;
        self.lost += unbound.lost;
    }

    /// Notes that the positions of the two ends cannot be compared.
    #[inline(always)]
    pub(crate) fn disalign(&mut self) {
        self.is_unaligned = 1;
    }

    /// Whether chunks are to be looked at for TLS records: not on a stream that began with something else.
    #[inline(always)]
    pub(crate) fn may_be_tls(&self) -> bool {
        self.tls < NOT_TLS
    }

    /// Notes whether a chunk began with a TLS record.
    #[inline(always)]
    pub(crate) fn note_tls(&mut self, is_record: bool) {
        if is_record {
            self.tls = 0;
        } else if self.tls < NOT_TLS {
            self.tls += 1;
        }
    }

    /// Notes that nothing of a handshake is to be read any more.
    #[inline(always)]
    pub(crate) fn seal(&mut self) {
        self.sealed = 1;
    }

    /// Bytes at its beginning that are copied whatever they are.
    #[inline(always)]
    fn probe_bytes(&self) -> u64 {
        // Only TCP has records.
        if self.record[0] | self.record[1] != 0 && self.sealed == 0 {
            limit::HANDSHAKE_BYTES
        } else {
            limit::PROBE_BYTES
        }
    }

    /// Position after everything that moved so far; 0 where the two ends cannot be compared.
    #[inline(always)]
    pub(crate) fn position(&self) -> u64 {
        if self.is_unaligned != 0 {
            0
        } else if self.pos[0] > self.pos[1] {
            self.pos[0]
        } else {
            self.pos[1]
        }
    }

    /// Whether it is not known which bytes these are: only that the process moves some at this end.
    #[inline(always)]
    fn is_vague(&self, target: &Target, side: u8) -> bool {
        if self.is_unaligned == 0 {
            return target.object == object::PTY && side == end::READ;
        }
        if target.object == object::TLS {
            // The end that was heard first is the one that counts.
            return side + 1 != self.speaker;
        }
        side == end::READ
    }

    /// Decides what to do with `span` bytes at `pos`, which can be read from `source`.
    #[inline(always)]
    pub(crate) fn judge<const LOOP: bool>(
        &mut self,
        target: &Target,
        side: u8,
        pos: u64,
        span: u64,
        source: &Source,
        slot: u32,
    ) -> Action {
        let stop = pos + span;
        if self.is_vague(target, side) {
            return if self.is_capturing != 0 {
                Action::TESTIFY
            } else {
                Action::NOTHING
            };
        }
        if self.is_capturing != 0 {
            if !self.is_revoked(target.stream) {
                return self.continue_at(side, pos, stop);
            }
            self.is_capturing = 0;
            self.strikes = self.strikes.saturating_add(1);
        }
        if stop <= self.judged {
            return Action::NOTHING;
        }
        self.judged = stop;
        let sign = scan::look::<LOOP>(self, target, span, source, slot);
        if self.convinces(sign) {
            self.is_capturing = 1;
            self.epoch += 1;
        } else if stop - self.origin > self.probe_bytes() {
            self.pending |= flag::SKIPPED;
            return Action::NOTHING;
        }
        self.captured = pos;
        self.hole = [zero(); 2];
        Action::copy(pos)
    }

    /// Where to go on copying: not what the other end has copied already, unless part of it was lost there.
    #[inline(always)]
    fn continue_at(&mut self, side: u8, pos: u64, stop: u64) -> Action {
        if self.hole[1] != 0 && side == end::READ {
            let is_inside = pos < self.hole[1] && stop > self.hole[0];
            if stop >= self.hole[1] {
                self.hole = [zero(); 2];
            }
            if is_inside {
                return Action::copy(pos);
            }
        }
        if stop <= self.captured {
            return Action::TESTIFY;
        }
        Action::copy(if pos > self.captured {
            pos
        } else {
            self.captured
        })
    }

    /// Notes that everything up to `stop` was copied or lost.
    #[inline(always)]
    pub(crate) fn note_copied(&mut self, stop: u64) {
        if stop > self.captured {
            self.captured = stop;
        }
    }

    /// Notes that bytes could not be delivered.
    #[inline(always)]
    pub(crate) fn note_lost(&mut self, from: u64, stop: u64) {
        self.lost += stop - from;
        self.pending |= flag::LOST;
        if self.hole[1] == 0 {
            self.hole[0] = from;
        }
        self.hole[1] = stop;
    }

    /// Whether the stream is being copied because it may be MCP.
    #[inline(always)]
    pub(crate) fn is_capturing(&self) -> bool {
        self.is_capturing != 0
    }

    /// Whether it is being copied for a strong sign of MCP.
    #[inline(always)]
    pub(crate) fn is_convincing(&self) -> bool {
        self.is_capturing & self.is_sure != 0
    }

    /// Flags for every record of this stream.
    #[inline(always)]
    pub(crate) fn flags(&self) -> u8 {
        let unaligned = if self.is_unaligned != 0 {
            flag::UNALIGNED
        } else {
            0
        };
        unaligned
            | if self.is_capturing != 0 {
                flag::CAPTURING
            } else {
                0
            }
    }

    /// The same, with those that are told once.
    #[inline(always)]
    pub(crate) fn take_flags(&mut self) -> u8 {
        let once = self.pending;
        self.pending = 0;
        once | self.flags()
    }

    /// Takes up to `wanted` bytes of credit for looking at more than the beginning of a chunk.
    #[inline(always)]
    pub(crate) fn take_scan_credit(&mut self, wanted: u64) -> bool {
        if self.scan_credit < wanted {
            self.refill();
        }
        if self.scan_credit < wanted {
            return false;
        }
        self.scan_credit -= wanted;
        true
    }

    #[inline(always)]
    fn is_revoked(&mut self, key: u64) -> bool {
        let given = GIVEN.get(0).copied().unwrap_or(0);
        if given == self.given {
            return false;
        }
        self.given = given;
        // SAFETY: the value is a plain number.
        unsafe { VERDICTS.get(&key) }.is_some_and(|epoch| *epoch == self.epoch)
    }

    /// Weak signs count for a stream that was often judged wrongly only once a second.
    #[inline(always)]
    fn convinces(&mut self, sign: Sign) -> bool {
        self.is_sure = u8::from(sign == Sign::Strong);
        match sign {
            Sign::None => false,
            Sign::Strong => {
                self.strikes = 0;
                true
            }
            Sign::Weak if self.strikes < limit::STRIKES => true,
            Sign::Weak => {
                self.refill();
                let left = self.is_trial_left;
                self.is_trial_left = 0;
                left != 0
            }
        }
    }

    #[inline(always)]
    fn refill(&mut self) {
        let now = now();
        if now - self.refilled > 1_000_000_000 {
            self.refilled = now;
            self.scan_credit = scan::CREDIT;
            self.is_trial_left = 1;
        }
    }
}

/// Adds to a counter that other CPUs add to as well; returns what it was.
///
/// The BPF target has no such method on atomics, for lack of compare-and-swap in its oldest instruction set.
#[inline(always)]
pub(crate) fn fetch_add(counter: &mut u64, amount: u64) -> u64 {
    let mut value = amount;
    // SAFETY: an aligned word of a map value, which is only ever changed this way.
    unsafe {
        asm!("{value} = atomic_fetch_add((u64 *)({counter} + 0), {value})",
            value = inout(reg) value, counter = in(reg) counter, options(nostack));
    }
    value
}
