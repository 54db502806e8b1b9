//! Cgroups: their paths by id, and the container that a path shows.
//!
//! Knows the version 2 hierarchy wherever it is mounted. Remembers at most [`PATHS`] paths.

use std::{collections::HashMap, fs, os::unix::fs::MetadataExt as _, path::Path};

/// Paths remembered; beyond it no more are.
const PATHS: usize = 65_536;
/// Where the version 2 hierarchy is mounted: alone, or beside version 1.
const ROOTS: [&str; 2] = ["/sys/fs/cgroup/unified", "/sys/fs/cgroup"];
/// Length of a container id in hexadecimal digits.
const CONTAINER_ID: usize = 64;

/// Paths of cgroups by their id.
#[derive(Debug, Default)]
pub(crate) struct Cgroups {
    paths: HashMap<u64, String>,
}

impl Cgroups {
    /// Walks the hierarchy as it is now.
    pub(crate) fn of_host() -> Self {
        let mut cgroups = Self::default();
        if let Some(root) = ROOTS
            .iter()
            .find(|root| Path::new(root).join("cgroup.controllers").exists())
        {
            cgroups.walk(Path::new(root), "");
        }
        cgroups
    }

    /// Notes a cgroup that was made.
    pub(crate) fn insert(&mut self, id: u64, path: &str) {
        if self.paths.len() < PATHS {
            self.paths.insert(id, path.to_owned());
        }
    }

    /// The path of a cgroup below its hierarchy's root.
    pub(crate) fn path(&self, id: u64) -> Option<&str> {
        self.paths.get(&id).map(String::as_str)
    }

    fn walk(&mut self, directory: &Path, path: &str) {
        let Ok(metadata) = fs::metadata(directory) else {
            return;
        };
        self.insert(metadata.ino(), if path.is_empty() { "/" } else { path });
        for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) && self.paths.len() < PATHS {
                self.walk(
                    &entry.path(),
                    &format!("{path}/{}", entry.file_name().to_string_lossy()),
                );
            }
        }
    }
}

/// The container id that a cgroup's path shows: the innermost 64 hexadecimal digits, with or without the names that
/// container runtimes put around them.
pub(super) fn container(path: &str) -> Option<&str> {
    path.rsplit('/').find_map(|segment| {
        let segment = segment.strip_suffix(".scope").unwrap_or(segment);
        if segment.starts_with("crio-conmon-") || segment.starts_with("libpod-conmon-") {
            return None;
        }
        let id = segment.rsplit(['-', ':']).next().unwrap_or(segment);
        (id.len() == CONTAINER_ID && id.bytes().all(|byte| byte.is_ascii_hexdigit())).then_some(id)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    #[test]
    fn container_ids_are_found_in_the_paths_of_every_runtime() {
        for path in [
            format!("/kubepods/besteffort/pod0e0ed2a7-9a4b/{ID}"),
            format!("/kubepods.slice/kubepods-pod1.slice/cri-containerd-{ID}.scope"),
            format!("/kubepods.slice/kubepods-pod1.slice/crio-{ID}.scope"),
            format!("/system.slice/docker-{ID}.scope"),
            format!("/docker/{ID}"),
            format!("/libpod_parent/libpod-{ID}"),
            format!("/machine.slice/libpod-{ID}.scope/container"),
            format!("/system.slice/k8s.service/kubepods-pod1.slice:cri-containerd:{ID}"),
        ] {
            assert_eq!(container(&path), Some(ID), "{path}");
        }
    }

    #[test]
    fn other_paths_show_no_container() {
        for path in [
            "/",
            "",
            "/user.slice/user-1000.slice",
            "/kubepods/pod1",
            &format!("/x/crio-conmon-{ID}.scope"),
        ] {
            assert_eq!(container(path), None, "{path}");
        }
    }

    #[test]
    fn the_innermost_container_counts() {
        let outer = ID.replace('0', "f");
        assert_eq!(
            container(&format!("/docker/{outer}/kubepods/pod1/{ID}")),
            Some(ID)
        );
    }
}
