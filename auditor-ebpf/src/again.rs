//! Hears what a preempted program keeps another task from being heard in.
//!
//! Since Linux 7.0 a tracepoint's program may be preempted, and until it goes on the kernel leaves it out for every
//! other task on that CPU. So those that tell of processes are there twice: the second does what the first was left out
//! of. Where both were left out, the kernel counts, and the daemon tells. Bound: a byte for every thread id there can be.

use aya_ebpf::{macros::map, maps::Array};

use crate::kernel::ids;

/// Threads whose marks are together in one value of [`MARKS`].
const THREADS: usize = 4_096;

/// Filled in by the daemon before loading: not 0 where programs are there twice.
#[unsafe(no_mangle)]
static TWICE: u32 = 0;

/// For each thread, a bit per [`Event`]: the first program ran for the event at hand. The daemon makes room.
#[map]
static MARKS: Array<[u8; THREADS]> = Array::with_max_entries(1, 0);

/// Events whose programs are there twice. None of them happens inside another in one thread.
#[derive(Clone, Copy)]
#[repr(u8)]
pub(crate) enum Event {
    /// A process is born.
    Fork = 1,
    /// A process runs another program.
    Exec = 2,
    /// A process ends.
    Exit = 4,
}

/// Which of the two programs is running.
#[derive(Clone, Copy)]
pub(crate) enum Turn {
    /// The one that does the work.
    First,
    /// The one behind it.
    Second,
}

/// Whether the work is this program's to do.
#[inline(always)]
pub(crate) fn is_due(turn: Turn, event: Event) -> bool {
    // SAFETY: points to a static.
    if unsafe { core::ptr::read_volatile(&raw const TWICE) } == 0 {
        return true;
    }
    let (_, tid) = ids();
    let Some(marks) = MARKS.get_ptr_mut(tid / THREADS as u32) else {
        return matches!(turn, Turn::First);
    };
    // SAFETY: the byte is the running thread's own, and nothing interrupts it that uses it too.
    let mark = unsafe { &mut (*marks)[tid as usize % THREADS] };
    match turn {
        Turn::First => {
            *mark |= event as u8;
            true
        }
        Turn::Second => {
            let is_done = *mark & event as u8 != 0;
            *mark &= !(event as u8);
            !is_done
        }
    }
}
