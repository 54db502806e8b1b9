//! System calls of this machine: their numbers, and where their arguments are when they return.
//!
//! x86-64 only. Calls by 32-bit programs use other numbers and are left alone.

use aya_ebpf::{
    EbpfContext as _,
    helpers::generated as bpf,
    programs::{BtfTracePointContext, TracePointContext},
};

/// Numbers of the system calls that are looked at: those that move bytes, and those that do something to files and sockets.
pub(crate) mod number {
    pub(crate) const READ: u64 = 0;
    pub(crate) const WRITE: u64 = 1;
    pub(crate) const MMAP: u64 = 9;
    pub(crate) const READV: u64 = 19;
    pub(crate) const WRITEV: u64 = 20;
    pub(crate) const SENDFILE: u64 = 40;
    pub(crate) const SENDTO: u64 = 44;
    pub(crate) const RECVFROM: u64 = 45;
    pub(crate) const SENDMSG: u64 = 46;
    pub(crate) const RECVMSG: u64 = 47;
    pub(crate) const SPLICE: u64 = 275;
    pub(crate) const TEE: u64 = 276;
    pub(crate) const VMSPLICE: u64 = 278;
    pub(crate) const RECVMMSG: u64 = 299;
    pub(crate) const SENDMMSG: u64 = 307;
    pub(crate) const OPEN: u64 = 2;
    pub(crate) const PWRITE64: u64 = 18;
    pub(crate) const CONNECT: u64 = 42;
    pub(crate) const TRUNCATE: u64 = 76;
    pub(crate) const FTRUNCATE: u64 = 77;
    pub(crate) const RENAME: u64 = 82;
    pub(crate) const MKDIR: u64 = 83;
    pub(crate) const RMDIR: u64 = 84;
    pub(crate) const CREAT: u64 = 85;
    pub(crate) const LINK: u64 = 86;
    pub(crate) const UNLINK: u64 = 87;
    pub(crate) const SYMLINK: u64 = 88;
    pub(crate) const OPENAT: u64 = 257;
    pub(crate) const MKDIRAT: u64 = 258;
    pub(crate) const UNLINKAT: u64 = 263;
    pub(crate) const RENAMEAT: u64 = 264;
    pub(crate) const LINKAT: u64 = 265;
    pub(crate) const SYMLINKAT: u64 = 266;
    pub(crate) const PWRITEV: u64 = 296;
    pub(crate) const RENAMEAT2: u64 = 316;
    pub(crate) const COPY_FILE_RANGE: u64 = 326;
    pub(crate) const OPENAT2: u64 = 437;
    pub(crate) const PREADV2: u64 = 327;
    pub(crate) const PWRITEV2: u64 = 328;
}

/// Code segment of 64-bit programs.
const USER_CS: u64 = 0x33;

/// A system call that is about to return.
#[derive(Clone, Copy)]
pub(crate) struct Call {
    regs: *const u64,
    /// What it returns.
    pub(crate) ret: i64,
}

impl Call {
    /// From the arguments of the tracepoint `sys_exit(struct pt_regs *, long)`.
    #[inline(always)]
    pub(crate) fn new(context: &BtfTracePointContext) -> Self {
        Self {
            regs: context.arg::<*const u64>(0),
            ret: context.arg::<i64>(1),
        }
    }

    /// From the fields of `raw_syscalls/sys_exit` (`long id`, `long ret` behind eight common bytes), and the registers
    /// of the task. Since Linux 5.15.
    #[inline(always)]
    pub(crate) fn of_task(context: &TracePointContext) -> Self {
        // SAFETY: the kernel lets a program read these bytes of its context; the helpers take nothing else.
        unsafe {
            let task = bpf::bpf_get_current_task_btf();
            Self {
                regs: bpf::bpf_task_pt_regs(task) as *const u64,
                ret: core::ptr::read_volatile(context.as_ptr().cast::<i64>().add(2)),
            }
        }
    }

    /// Its number; `u64::MAX` for a 32-bit program.
    #[inline(always)]
    pub(crate) fn number(&self) -> u64 {
        if self.slot(17) == USER_CS {
            self.slot(15)
        } else {
            u64::MAX
        }
    }

    /// Its arguments. Each is read only when asked for.
    #[inline(always)]
    pub(crate) fn arg0(&self) -> u64 {
        self.slot(14)
    }

    #[inline(always)]
    pub(crate) fn arg1(&self) -> u64 {
        self.slot(13)
    }

    #[inline(always)]
    pub(crate) fn arg2(&self) -> u64 {
        self.slot(12)
    }

    #[inline(always)]
    pub(crate) fn arg3(&self) -> u64 {
        self.slot(7)
    }

    #[inline(always)]
    pub(crate) fn arg4(&self) -> u64 {
        self.slot(9)
    }

    /// The n-th word of `struct pt_regs`: r15 r14 r13 r12 bp bx r11 r10 r9 r8 ax cx dx si di orig_ax ip cs.
    #[inline(always)]
    fn slot(&self, index: usize) -> u64 {
        // SAFETY: the verifier knows `regs` as a pointer to `struct pt_regs` and checks the offset.
        unsafe { core::ptr::read_volatile(self.regs.add(index)) }
    }
}
