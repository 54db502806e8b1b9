//! What a cluster leaves when its programs are ended: containers, their keepers, cgroups. Ends and removes only its own.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::ensure;

use crate::process::wait_for;

/// Where cgroups are; each folder there may be a hierarchy of its own.
const CGROUPS: &str = "/sys/fs/cgroup";
/// Time in which the kernel takes away what has ended.
const LIMIT: Duration = Duration::from_secs(10);

/// Ends the containers of a containerd and what keeps them.
pub(super) fn end(state: &Path, socket: &Path) {
    let tasks = state.join("io.containerd.runtime.v2.task/k8s.io");
    let bundles = fs::read_dir(tasks).into_iter().flatten().flatten();
    let mut pids: Vec<u32> = bundles
        .filter_map(|bundle| {
            let pid = fs::read_to_string(bundle.path().join("init.pid")).ok()?;
            pid.trim().parse().ok()
        })
        // Only while the pid is a container's still.
        .filter(|pid| {
            let cgroup = fs::read_to_string(format!("/proc/{pid}/cgroup"));
            cgroup.is_ok_and(|cgroup| cgroup.contains("/kubepods/"))
        })
        .collect();
    pids.extend(keepers(socket));
    for pid in &pids {
        let _ = Command::new("kill")
            .args(["-KILL", &pid.to_string()])
            .stderr(Stdio::null())
            .status();
    }
    let is_gone = |pid: &u32| !Path::new(&format!("/proc/{pid}")).exists();
    let _ = wait_for("the end of the containers", LIMIT, || {
        Ok(pids.iter().all(is_gone).then_some(()))
    });
}

/// The shims that were started with a socket's address.
fn keepers(socket: &Path) -> Vec<u32> {
    let socket = socket.as_os_str().as_encoded_bytes();
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(|pid: &u32| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let mut words = line.split(|byte| *byte == 0);
        let is_shim = words
            .next()
            .is_some_and(|program| program.windows(15).any(|part| part == b"containerd-shim"));
        is_shim && words.any(|word| word == socket)
    })
    .collect()
}

/// Whether there are cgroups of pods.
pub(super) fn has_cgroups() -> bool {
    !roots().is_empty()
}

/// Removes the cgroups of the pods in a kubelet's folder; those above them too, unless they were there before.
pub(super) fn remove_cgroups(pods: &Path, had_cgroups: bool) {
    let pods = fs::read_dir(pods).into_iter().flatten().flatten();
    let own: Vec<String> = pods
        .map(|pod| format!("pod{}", pod.file_name().to_string_lossy()))
        .collect();
    let _ = wait_for("the end of the cgroups", LIMIT, || {
        for root in roots() {
            for class in [
                root.clone(),
                root.join("besteffort"),
                root.join("burstable"),
            ] {
                for pod in &own {
                    remove(&class.join(pod));
                }
            }
            if !had_cgroups {
                remove(&root);
            }
        }
        ensure!(!had_cgroups, "others have pods here");
        Ok((!has_cgroups()).then_some(()))
    });
}

fn roots() -> Vec<PathBuf> {
    let hierarchies = fs::read_dir(CGROUPS).into_iter().flatten().flatten();
    let folders = hierarchies.map(|entry| entry.path().join("kubepods"));
    let folders = folders.chain([Path::new(CGROUPS).join("kubepods")]);
    folders.filter(|folder| folder.is_dir()).collect()
}

/// Removes a cgroup with those below it; one that is in use stays.
fn remove(cgroup: &Path) {
    let entries = fs::read_dir(cgroup).into_iter().flatten().flatten();
    for entry in entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())) {
        remove(&entry.path());
    }
    let _ = fs::remove_dir(cgroup);
}
