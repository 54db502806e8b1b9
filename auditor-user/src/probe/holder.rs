//! A process that outlives the daemon for as long as the kernel takes to remove its user probes: about 0.1 s each, one
//! after the other, in whatever process holds them last.
//!
//! It inherits the probes and nothing else, runs no code of its own, and ends when the last one is gone.

use std::{fs, io, os::fd::RawFd};

use nix::{
    libc,
    unistd::{ForkResult, fork},
};

/// What the process is called.
const NAME: &std::ffi::CStr = c"mcp-detach";

/// Leaves all user probes that are still in place to a process of their own.
///
/// # Errors
/// When it cannot be made: then the daemon's own end takes as long.
pub(super) fn leave_probes() -> io::Result<()> {
    let others: Vec<RawFd> = descriptors()?
        .into_iter()
        .filter(|fd| !is_probe(*fd))
        .collect();
    // SAFETY: the child makes system calls only and touches no memory but `others`, which it owns a copy of.
    match unsafe { fork() }? {
        ForkResult::Parent { .. } => Ok(()),
        ForkResult::Child => {
            // SAFETY: plain system calls; the descriptors are this process's own copies.
            unsafe {
                libc::setsid();
                libc::prctl(libc::PR_SET_NAME, NAME.as_ptr());
                for fd in &others {
                    libc::close(*fd);
                }
                libc::_exit(0)
            }
        }
    }
}

fn descriptors() -> io::Result<Vec<RawFd>> {
    let entries = fs::read_dir("/proc/self/fd")?.flatten();
    Ok(entries
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect())
}

/// Whether a descriptor is a user probe: its event, or the link of a program to it.
fn is_probe(fd: RawFd) -> bool {
    let Ok(target) = fs::read_link(format!("/proc/self/fd/{fd}")) else {
        return false;
    };
    match target.to_str() {
        Some("anon_inode:[perf_event]") => true,
        Some("anon_inode:bpf_link" | "anon_inode:bpf-link") => {
            let told = fs::read_to_string(format!("/proc/self/fdinfo/{fd}")).unwrap_or_default();
            let mut lines = told.lines();
            lines.any(|line| line.starts_with("link_type:") && line.ends_with("perf"))
                || told.contains("perf_event")
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_descriptors_are_no_probes() {
        let own = descriptors().unwrap();
        assert!(own.len() >= 3);
        assert!(own.iter().all(|fd| !is_probe(*fd)));
    }

    #[test]
    fn what_holds_probes_keeps_nothing_else_and_ends_by_itself() {
        let (read, write) = nix::unistd::pipe().unwrap();
        leave_probes().unwrap();
        drop(write);
        // The end of the pipe comes once the other process has closed its copy.
        let mut byte = [0];
        assert_eq!(nix::unistd::read(&read, &mut byte), Ok(0));
    }
}
