//! What /proc says of processes that run already.

use std::{fs, fs::File};

use auditor_core::{
    audit::{Ancestor, Process, hide_secrets},
    key::{ProcessKey, Time},
};

use super::hash::FileId;

/// Bytes of arguments that are kept of a process.
pub(super) const ARGUMENTS: usize = 4_096;
/// Nanoseconds of a clock tick, the unit of start times in /proc.
pub(crate) const TICK: u64 = 10_000_000;

/// Reads one process; `boot` is when the host was started. The lineage is left empty.
pub(super) fn read(pid: u32, boot: Time) -> Option<(Process, Option<FileId>, u32)> {
    let process = procfs::process::Process::new(i32::try_from(pid).ok()?).ok()?;
    let stat = process.stat().ok()?;
    let status = process.status().ok()?;
    let start = stat.starttime.saturating_mul(TICK);
    let file = File::open(format!("/proc/{pid}/exe"))
        .ok()
        .and_then(|file| FileId::of(&file));
    let cgroups = process.cgroups().ok();
    let cgroup = cgroups.and_then(|list| {
        best_cgroup(
            list.0
                .iter()
                .map(|one| (one.hierarchy, one.pathname.as_str())),
        )
    });
    let read = Process {
        key: ProcessKey { pid, start },
        started: boot.after(start),
        exe: process
            .exe()
            .ok()
            .map(|path| path.to_string_lossy().into_owned()),
        exe_sha256: None,
        cmdline: process.cmdline().ok().map(cut_arguments),
        uid: Some(status.ruid),
        gid: Some(status.rgid),
        container: None,
        cgroup,
        cgroup_id: None,
        workload: None,
        program: None,
        attestation: None,
        workflow: None,
        lineage: Vec::<Ancestor>::new(),
    };
    // The executable was opened by pid: another process may have had it by then.
    let file = file.filter(|_| is_same(read.key));
    Some((read, file, u32::try_from(stat.ppid).unwrap_or(0)))
}

/// Whether a pid is still the process's. What was read by the pid before is then the process's, too.
pub(crate) fn is_same(key: ProcessKey) -> bool {
    let process = i32::try_from(key.pid)
        .ok()
        .and_then(|pid| procfs::process::Process::new(pid).ok());
    let start = process.and_then(|process| Some(process.stat().ok()?.starttime));
    start == Some(key.start / TICK)
}

/// The cgroup of a process, by what /proc says now.
pub(super) fn cgroup_of(key: ProcessKey) -> Option<String> {
    let text = fs::read_to_string(format!("/proc/{}/cgroup", key.pid)).ok()?;
    is_same(key).then_some(())?;
    let lines = text.lines().filter_map(|line| {
        let mut fields = line.splitn(3, ':');
        Some((fields.next()?.parse().ok()?, fields.nth(1)?))
    });
    best_cgroup(lines)
}

/// Version 2's path (hierarchy 0), unless it is the root and version 1 has a deeper one.
fn best_cgroup<'a>(hierarchies: impl Iterator<Item = (u32, &'a str)>) -> Option<String> {
    let depth = |path: &str| path.split('/').filter(|part| !part.is_empty()).count();
    hierarchies
        .max_by_key(|(hierarchy, path)| {
            (
                *hierarchy == 0 && *path != "/",
                depth(path),
                *hierarchy == 0,
            )
        })
        .map(|(_, path)| path.to_owned())
}

/// Keeps the arguments that fit into [`ARGUMENTS`] bytes, without the secrets among them.
pub(super) fn cut_arguments(arguments: Vec<String>) -> Vec<String> {
    let mut room = ARGUMENTS;
    let fits = |argument: &String| {
        let is_room = argument.len() <= room;
        room = room.saturating_sub(argument.len());
        is_room
    };
    hide_secrets(arguments)
        .into_iter()
        .take_while(fits)
        .collect()
}

/// Ids of all processes.
pub(super) fn pids() -> impl Iterator<Item = u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_2_counts_unless_it_is_empty() {
        let hybrid = [(4, "/docker/x"), (1, "/"), (0, "/")];
        assert_eq!(
            best_cgroup(hybrid.into_iter()).as_deref(),
            Some("/docker/x")
        );
        let unified = [(4, "/a/b/c"), (0, "/a")];
        assert_eq!(best_cgroup(unified.into_iter()).as_deref(), Some("/a"));
        assert_eq!(best_cgroup([(0, "/")].into_iter()).as_deref(), Some("/"));
        assert_eq!(best_cgroup(std::iter::empty()), None);
    }

    #[test]
    fn arguments_are_kept_up_to_the_bound() {
        let long = "x".repeat(ARGUMENTS);
        assert_eq!(cut_arguments(vec!["a".into(), long, "b".into()]), ["a"]);
    }

    #[test]
    fn this_process_is_read_with_its_parent() {
        let (process, file, parent) = read(std::process::id(), Time(0)).unwrap();
        assert_eq!(
            process.exe.as_deref(),
            std::env::current_exe().unwrap().to_str()
        );
        assert!(file.is_some());
        assert_eq!(parent, std::os::unix::process::parent_id());
    }
}
