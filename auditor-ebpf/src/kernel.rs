//! Reading kernel memory: offsets that the daemon filled in, and who is running.

use core::{arch::asm, ffi::c_void, mem::MaybeUninit};

use auditor_common::offset::Offsets;
use aya_ebpf::helpers::generated as bpf;

/// Filled in by the daemon before loading; constant for the verifier.
#[unsafe(no_mangle)]
static OFFSETS: Offsets = Offsets::UNKNOWN;

/// The daemon's own process, which is not audited.
#[unsafe(no_mangle)]
static SELF_TGID: u32 = 0;

/// Random: makes stream keys that are hashes unpredictable.
#[unsafe(no_mangle)]
static SEED: u64 = 0;

/// The offset in a field of [`Offsets`], read so that the compiler cannot assume its initial value.
macro_rules! offset {
    ($field:ident) => {
        $crate::kernel::volatile(|offsets| &raw const offsets.$field)
    };
}
pub(crate) use offset;

/// Reads the field that `pick` names. Used through [`offset!`].
#[inline(always)]
pub(crate) fn volatile(pick: impl FnOnce(&Offsets) -> *const u32) -> u32 {
    // SAFETY: points into a static.
    unsafe { core::ptr::read_volatile(pick(&OFFSETS)) }
}

/// See [`SEED`].
#[inline(always)]
pub(crate) fn seed() -> u64 {
    // SAFETY: points to a static.
    unsafe { core::ptr::read_volatile(&raw const SEED) }
}

/// Reads a `T` of the kernel's at `base + offset`; zero where nothing is mapped.
#[inline(always)]
pub(crate) fn read<T: Copy>(base: u64, offset: u32) -> T {
    let mut value = MaybeUninit::<T>::uninit();
    // SAFETY: the helper fills all of `value`, with zeros where it fails. `T` is plain data.
    unsafe {
        bpf::bpf_probe_read_kernel(
            value.as_mut_ptr().cast(),
            size_of::<T>() as u32,
            base.wrapping_add(u64::from(offset)) as *const c_void,
        );
        value.assume_init()
    }
}

/// Members of one structure that are near each other, read by one call: a call costs more than what it copies.
pub(crate) struct Block<const WORDS: usize> {
    words: MaybeUninit<[u64; WORDS]>,
    base: u64,
    /// Where the block begins.
    first: u64,
}

impl<const WORDS: usize> Block<WORDS> {
    /// One to be read. Apart from that, for what is returned is copied on the stack.
    #[inline(always)]
    pub(crate) fn new() -> Self {
        Self {
            words: MaybeUninit::uninit(),
            base: 0,
            first: 0,
        }
    }

    /// Reads what is at `base` from the offset `first` on.
    #[inline(always)]
    pub(crate) fn read(&mut self, base: u64, first: u32) {
        self.base = base;
        self.first = u64::from(first & !7);
        // SAFETY: the helper fills all of `words`, with zeros where it fails.
        unsafe {
            bpf::bpf_probe_read_kernel(
                self.words.as_mut_ptr().cast(),
                (WORDS * 8) as u32,
                base.wrapping_add(self.first) as *const c_void,
            );
        }
    }

    /// The member at `offset`; with a call of its own where this kernel keeps it elsewhere.
    #[inline(always)]
    pub(crate) fn get<T: Copy>(&self, offset: u32) -> T {
        let at = u64::from(offset).wrapping_sub(self.first);
        if at <= (WORDS * 8 - size_of::<T>()) as u64 {
            // SAFETY: within the block, and as aligned as in the structure. For the verifier `at` is a constant.
            unsafe {
                self.words
                    .as_ptr()
                    .cast::<u8>()
                    .add(at as usize)
                    .cast::<T>()
                    .read_volatile()
            }
        } else {
            read(self.base, offset)
        }
    }
}

/// The least of some offsets.
macro_rules! least {
    ($first:ident $($other:ident)*) => {{
        let mut least = $crate::kernel::offset!($first);
        $(
            let other = $crate::kernel::offset!($other);
            if other < least {
                least = other;
            }
        )*
        least
    }};
}
pub(crate) use least;

/// A zero that the compiler does not know for one: it gathers zeros into calls of `memset`, which goes by bytes.
#[inline(always)]
pub(crate) fn zero() -> u64 {
    let value: u64;
    // SAFETY: sets a register.
    unsafe {
        asm!("{value} = 0", value = out(reg) value, options(pure, nomem, nostack));
    }
    value
}

/// Reads a `T` of the current process's memory; `None` where it cannot be read without waiting.
#[inline(always)]
pub(crate) fn read_user<T: Copy>(address: u64) -> Option<T> {
    let mut value = MaybeUninit::<T>::uninit();
    // SAFETY: the helper fills all of `value`, with zeros where it fails. `T` is plain data.
    unsafe {
        let failed = bpf::bpf_probe_read_user(
            value.as_mut_ptr().cast(),
            size_of::<T>() as u32,
            address as *const c_void,
        );
        if failed == 0 {
            Some(value.assume_init())
        } else {
            None
        }
    }
}

/// A structure of the kernel's whose type the verifier knows: reading from it costs a load, not a call.
#[derive(Clone, Copy)]
pub(crate) struct Typed(*const u8);

impl Typed {
    /// The current task.
    #[inline(always)]
    pub(crate) fn task() -> Self {
        // SAFETY: the helper takes nothing.
        Self(unsafe { bpf::bpf_get_current_task_btf() }.cast())
    }

    /// The structure that the pointer at `offset` points to.
    #[inline(always)]
    pub(crate) fn follow(self, offset: u32) -> Self {
        // SAFETY: the verifier checks type and offset; a load that faults gives zero.
        Self(unsafe { core::ptr::read_volatile(self.0.add(offset as usize).cast()) })
    }

    /// The word at `offset`.
    #[inline(always)]
    pub(crate) fn word(self, offset: u32) -> u64 {
        self.follow(offset).0 as u64
    }
}

/// Nanoseconds since boot, suspend included.
#[inline(always)]
pub(crate) fn now() -> u64 {
    // SAFETY: the helper takes nothing.
    unsafe { bpf::bpf_ktime_get_boot_ns() }
}

/// The current task.
#[inline(always)]
pub(crate) fn task() -> u64 {
    // SAFETY: the helper takes nothing.
    unsafe { bpf::bpf_get_current_task() }
}

/// (process, thread) that is running.
#[inline(always)]
pub(crate) fn ids() -> (u32, u32) {
    // SAFETY: the helper takes nothing.
    let both = unsafe { bpf::bpf_get_current_pid_tgid() };
    ((both >> 32) as u32, both as u32)
}

/// Whether the daemon itself is running.
#[inline(always)]
pub(crate) fn is_self(tgid: u32) -> bool {
    // SAFETY: points to a static.
    tgid == unsafe { core::ptr::read_volatile(&raw const SELF_TGID) }
}

/// Start of the current process, by loads. Out of line: else the verifier goes through it on every way that leads here.
#[inline(never)]
pub(crate) fn current_start() -> u64 {
    Typed::task()
        .follow(offset!(task_group_leader))
        .word(offset!(task_start))
}

/// Start of the process that `task` belongs to.
#[inline(always)]
pub(crate) fn process_start(task: u64) -> u64 {
    let leader: u64 = read(task, offset!(task_group_leader));
    read(leader, offset!(task_start))
}
