//! Room on a CPU for the programs that are at work on it at once.
//!
//! The program for system calls runs without preemption; programs of user probes may be preempted, and another may then
//! run on the same CPU. Each takes a slot for itself: its index in the per-CPU maps. Bound: [`SLOTS`].

use auditor_common::limit::SLOTS;
use aya_ebpf::{macros::map, maps::PerCpuArray};

use crate::stream::fetch_add;

/// The slot of the program for system calls, which needs not be taken.
pub(crate) const TRACEPOINT: u32 = 0;

/// Per slot: how many hold it, or are about to see that another does.
#[map]
static HOLDERS: PerCpuArray<u64> = PerCpuArray::with_max_entries(SLOTS, 0);

/// Takes a slot; 0 when all are taken.
#[inline(always)]
pub(crate) fn acquire() -> u32 {
    for slot in 1..SLOTS {
        let Some(holders) = holders(slot) else {
            return 0;
        };
        if fetch_add(holders, 1) == 0 {
            return slot;
        }
        fetch_add(holders, u64::MAX);
    }
    0
}

/// Gives a slot back.
#[inline(always)]
pub(crate) fn release(slot: u32) {
    if let Some(holders) = holders(slot) {
        fetch_add(holders, u64::MAX);
    }
}

#[inline(always)]
fn holders(slot: u32) -> Option<&'static mut u64> {
    // SAFETY: a word that is only changed by `fetch_add`.
    HOLDERS
        .get_ptr_mut(slot)
        .map(|holders| unsafe { &mut *holders })
}
