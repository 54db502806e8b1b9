//! Births, programs and ends of processes; files that they execute; new cgroups.

use core::ffi::c_void;

use auditor_common::{
    limit::{EXEC_BYTES, PATH_DEPTH},
    record::{self, Birth, Exec, Header, flag},
};
use aya_ebpf::{
    helpers::generated as bpf,
    macros::{btf_tracepoint, map},
    maps::{LruHashMap, PerCpuArray},
    programs::BtfTracePointContext,
};

use crate::{
    again::{Event, Turn, is_due},
    arch::Call,
    deed, emit,
    kernel::{offset, process_start, read, task},
    object,
};

/// Longest name of a directory entry, with its NUL.
const NAME: u32 = 256;
/// Bytes for the path; as many again for the arguments.
pub(crate) const HALF: u32 = EXEC_BYTES as u32 / 2;

/// A record under construction. The names at the ends may run over: hence the room.
#[repr(C)]
pub(crate) struct Scratch {
    pub(crate) header: Header,
    /// Or a [`Deed`](auditor_common::record::Deed), which is as large.
    pub(crate) exec: Exec,
    pub(crate) strings: [u8; EXEC_BYTES + NAME as usize],
    /// Where the walk along the path is, and what it wrote.
    pub(crate) dentry: u64,
    pub(crate) mount: u64,
    pub(crate) path_len: u64,
}

/// One for each program that builds records, for one may be preempted by another.
#[map]
static SCRATCH: PerCpuArray<Scratch> = PerCpuArray::with_max_entries(4, 0);

const CGROUP: u32 = 2;
const DEED: u32 = 3;

/// Where deeds are put together: by the program for system calls, which is not preempted.
#[inline(always)]
pub(crate) fn scratch_of_deeds() -> Option<&'static mut Scratch> {
    // SAFETY: per CPU, and only one program uses it.
    SCRATCH.get_ptr_mut(DEED).map(|one| unsafe { &mut *one })
}

/// `TP_PROTO(struct task_struct *parent, struct task_struct *child)`.
#[btf_tracepoint(function = "sched_process_fork")]
pub fn sched_process_fork(context: BtfTracePointContext) -> i32 {
    fork(&context, Turn::First);
    0
}

/// Behind it: see [`again`](crate::again).
#[btf_tracepoint(function = "sched_process_fork")]
pub fn sched_process_fork_again(context: BtfTracePointContext) -> i32 {
    fork(&context, Turn::Second);
    0
}

#[inline(always)]
fn fork(context: &BtfTracePointContext, turn: Turn) {
    if !is_due(turn, Event::Fork) {
        return;
    }
    let child = context.arg::<*const c_void>(1) as u64;
    let tgid: u32 = read(child, offset!(task_tgid));
    if tgid == read::<u32>(child, offset!(task_pid)) {
        let birth = Birth {
            start: read(child, offset!(task_start)),
            tgid,
            pad: 0,
        };
        emit::fixed(&emit::header(record::FORK), &birth);
        deed::inherit(tgid, birth.start);
    }
}

/// `TP_PROTO(struct task_struct *task)`; later kernels add an argument.
#[btf_tracepoint(function = "sched_process_exit")]
pub fn sched_process_exit(_context: BtfTracePointContext) -> i32 {
    exit(Turn::First);
    0
}

/// Behind it: see [`again`](crate::again).
#[btf_tracepoint(function = "sched_process_exit")]
pub fn sched_process_exit_again(_context: BtfTracePointContext) -> i32 {
    exit(Turn::Second);
    0
}

#[inline(always)]
fn exit(turn: Turn) {
    if !is_due(turn, Event::Exit) {
        return;
    }
    let signal: u64 = read(task(), offset!(task_signal));
    if read::<u32>(signal, offset!(signal_live)) == 0 {
        deed::forget();
        emit::bare(&emit::header(record::EXIT));
    }
}

/// `TP_PROTO(struct task_struct *task, pid_t old_pid, struct linux_binprm *bprm)`.
#[btf_tracepoint(function = "sched_process_exec")]
pub fn sched_process_exec(_context: BtfTracePointContext) -> i32 {
    exec(Turn::First);
    0
}

/// Behind it: see [`again`](crate::again).
#[btf_tracepoint(function = "sched_process_exec")]
pub fn sched_process_exec_again(_context: BtfTracePointContext) -> i32 {
    exec(Turn::Second);
    0
}

#[inline(always)]
fn exec(turn: Turn) {
    if !is_due(turn, Event::Exec) {
        return;
    }
    let Some(scratch) = SCRATCH.get_ptr_mut(turn as u32) else {
        return;
    };
    // SAFETY: per CPU, and the program that it belongs to runs only once on a CPU at a time.
    let scratch = unsafe { &mut *scratch };
    scratch.header = emit::header(record::EXEC);
    if deed::is_serving() {
        scratch.header.flags = flag::SERVES;
    }
    let mm: u64 = read(task(), offset!(task_mm));
    let file: u64 = read(mm, offset!(mm_exe));
    scratch.exec = describe(file);
    let path = write_path(scratch, file);
    let args = write_args(scratch, mm, path);
    scratch.exec.path_len = path;
    scratch.exec.args_len = args;
    let len = (path + args) & (EXEC_BYTES as u32 * 2 - 1);
    if len > EXEC_BYTES as u32 {
        return;
    }
    scratch.header.len = len;
    emit::bytes(
        (&raw const *scratch).cast(),
        (size_of::<Header>() + size_of::<Exec>()) as u32 + len,
    );
}

/// Executable files that were told, by (inode, device).
#[map]
static MAPPED: LruHashMap<[u64; 2], u8> = LruHashMap::with_max_entries(16_384, 0);

const PROT_EXEC: u64 = 4;
const MAP_ANONYMOUS: u64 = 0x20;

/// `mmap` returns: an executable file that is new is told, for it may hold a TLS stack.
#[inline(never)]
pub(crate) fn mapped(call: Call) {
    if call.ret <= 0 || call.arg2() & PROT_EXEC == 0 || call.arg3() & MAP_ANONYMOUS != 0 {
        return;
    }
    let file = object::file(call.arg4() as u32);
    let inode: u64 = read(file, offset!(file_inode));
    let super_block: u64 = read(inode, offset!(inode_super));
    let id = [
        read(inode, offset!(inode_number)),
        u64::from(read::<u32>(super_block, offset!(super_device))),
    ];
    // SAFETY: the value is a plain number.
    if unsafe { MAPPED.get(&id) }.is_some() {
        return;
    }
    let mut header = emit::header(record::MAPPED);
    header.stream = id[0];
    header.generation = id[1];
    header.pos = call.ret as u64;
    if emit::bare(&header) {
        let _ = MAPPED.insert(&id, &1, 0);
    }
}

/// `TP_PROTO(struct cgroup *cgrp, const char *path)`.
#[btf_tracepoint(function = "cgroup_mkdir")]
pub fn cgroup_mkdir(context: BtfTracePointContext) -> i32 {
    let cgroup = context.arg::<*const c_void>(0) as u64;
    let path = context.arg::<*const c_void>(1);
    let Some(scratch) = SCRATCH.get_ptr_mut(CGROUP) else {
        return 0;
    };
    // SAFETY: as above.
    let scratch = unsafe { &mut *scratch };
    scratch.header = emit::header(record::CGROUP);
    let node: u64 = read(cgroup, offset!(cgroup_node));
    scratch.header.stream = read(node, offset!(node_id));
    let root: u64 = read(cgroup, offset!(cgroup_root));
    scratch.header.generation = u64::from(read::<u32>(root, offset!(root_hierarchy)));
    scratch.exec = Exec::default();
    // SAFETY: at most HALF bytes into the strings.
    let len =
        unsafe { bpf::bpf_probe_read_kernel_str(scratch.strings.as_mut_ptr().cast(), HALF, path) };
    if !(1..=i64::from(HALF)).contains(&len) {
        return 0;
    }
    scratch.header.len = len as u32;
    // Read again, so that Linux 6.1 sees the mask on what it checks.
    // SAFETY: points to a field.
    let len = unsafe { core::ptr::read_volatile(&raw const scratch.header.len) } & (HALF * 2 - 1);
    emit::bytes(
        (&raw const *scratch).cast(),
        (size_of::<Header>() + size_of::<Exec>()) as u32 + len,
    );
    0
}

/// What identifies the program in `file`, and its process.
#[inline(always)]
fn describe(file: u64) -> Exec {
    let inode: u64 = read(file, offset!(file_inode));
    let parent: u64 = read(task(), offset!(task_real_parent));
    // SAFETY: the helpers take nothing.
    let (ids, cgroup) = unsafe {
        (
            bpf::bpf_get_current_uid_gid(),
            bpf::bpf_get_current_cgroup_id(),
        )
    };
    Exec {
        inode: read(inode, offset!(inode_number)),
        size: read(inode, offset!(inode_size)),
        ctime: read(inode, offset!(inode_ctime)),
        cgroup,
        parent_start: process_start(parent),
        parent: read(parent, offset!(task_tgid)),
        device: read(read(inode, offset!(inode_super)), offset!(super_device)),
        uid: ids as u32,
        gid: (ids >> 32) as u32,
        path_len: 0,
        args_len: 0,
    }
}

/// Writes the names of the directories from `file` up to its root, across mounts; returns their length.
#[inline(always)]
fn write_path(scratch: &mut Scratch, file: u64) -> u32 {
    scratch.dentry = read(file, offset!(file_dentry));
    scratch.mount = read(file, offset!(file_mount));
    scratch.path_len = 0;
    for _ in 0..PATH_DEPTH {
        if climb(scratch) != 0 {
            break;
        }
    }
    scratch.path_len as u32
}

/// Writes one name and goes to its directory, or from a mount's root to where it is mounted; not 0 at the end.
///
/// Its state lives in the map, where the verifier does not follow its values.
#[inline(never)]
pub(crate) fn climb(scratch: &mut Scratch) -> i64 {
    let (dentry, mount) = (scratch.dentry, scratch.mount);
    let parent: u64 = read(dentry, offset!(dentry_parent));
    if dentry == read(mount, offset!(vfsmount_root)) || dentry == parent {
        let this = mount - u64::from(offset!(mount_vfsmount));
        let above: u64 = read(this, offset!(mount_parent));
        if above == this || above == 0 {
            return 1;
        }
        scratch.dentry = read(this, offset!(mount_point));
        scratch.mount = above + u64::from(offset!(mount_vfsmount));
        return 0;
    }
    let name: u64 = read(dentry, offset!(dentry_name));
    let at = scratch.path_len & u64::from(HALF - 1);
    // SAFETY: `at` is below HALF, and there is room for a name behind.
    let got = unsafe {
        let into = scratch.strings.as_mut_ptr().add(at as usize);
        bpf::bpf_probe_read_kernel_str(into.cast(), NAME, name as *const c_void)
    };
    if got < 1 || at + got as u64 > u64::from(HALF - 1) {
        return 1;
    }
    scratch.path_len = at + got as u64;
    scratch.dentry = parent;
    0
}

/// Writes the arguments behind the path; returns their length.
#[inline(always)]
fn write_args(scratch: &mut Scratch, mm: u64, path: u32) -> u32 {
    let start: u64 = read(mm, offset!(mm_arg_start));
    let stop: u64 = read(mm, offset!(mm_arg_end));
    let mut len = stop.wrapping_sub(start);
    if len > u64::from(HALF) {
        len = u64::from(HALF);
    }
    // SAFETY: at most HALF bytes behind a path of less than HALF.
    let failed = unsafe {
        bpf::bpf_probe_read_user(
            scratch
                .strings
                .as_mut_ptr()
                .add((path & (HALF - 1)) as usize)
                .cast(),
            len as u32 & (HALF * 2 - 1),
            start as *const c_void,
        )
    };
    if failed == 0 { len as u32 } else { 0 }
}
