//! Mounts the two kernel file systems that tracing needs, where they are absent.

use std::fs;

use anyhow::{Context, Result};

use crate::command::{as_root, output};

/// Mounts bpffs and tracefs unless they are there already.
pub(crate) fn mount() -> Result<()> {
    let mounted = fs::read_to_string("/proc/mounts").context("cannot read /proc/mounts")?;
    for (kind, folder) in [("bpf", "/sys/fs/bpf"), ("tracefs", "/sys/kernel/tracing")] {
        let is_mounted = |line: &str| line.split(' ').nth(1) == Some(folder);
        if mounted.lines().any(is_mounted) {
            continue;
        }
        println!("setup: mounting {kind} on {folder}");
        output(&mut as_root("mount", ["-t", kind, kind, folder])).with_context(|| {
            format!("{folder} is needed; in a container, mount it from the host")
        })?;
    }
    Ok(())
}
