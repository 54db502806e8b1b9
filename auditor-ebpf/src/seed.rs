//! Streams that existed before the probes: positions of their two ends cannot be compared.

use core::ffi::c_void;

use auditor_common::record::{end, object};

use crate::{
    object::{self as objects, Target},
    stream,
};

/// The context of a `task_file` iterator, as the kernel lays it out (`struct bpf_iter__task_file`).
#[repr(C)]
struct Context {
    meta: *const c_void,
    task: *const c_void,
    fd: u32,
    file: *const c_void,
}

/// Visits every open file of every process once, when the daemon starts.
#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/task_file")]
fn seed(context: *mut c_void) -> i32 {
    // SAFETY: the kernel calls with this context.
    let file = unsafe { (*context.cast::<Context>()).file } as u64;
    if file == 0 {
        return 0;
    }
    for side in [end::WRITE, end::READ] {
        let mut target = Target::none();
        if objects::find(file, side, &mut target) && target.object != object::TCP {
            stream::remember(&target, true);
        }
    }
    0
}
