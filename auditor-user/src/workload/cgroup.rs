//! Cgroups: their paths by id.
//!
//! Knows the version 2 hierarchy wherever it is mounted. Remembers at most [`PATHS`] paths.

use std::{
    collections::{HashMap, VecDeque},
    fs,
    os::unix::fs::MetadataExt as _,
    path::Path,
};

/// Paths remembered; beyond it the oldest are forgotten, of which /proc still tells while they are used.
const PATHS: usize = 65_536;
/// Where the version 2 hierarchy is mounted: alone, or beside version 1.
const ROOTS: [&str; 2] = ["/sys/fs/cgroup/unified", "/sys/fs/cgroup"];

/// Paths of cgroups by their id.
#[derive(Debug, Default)]
pub(crate) struct Cgroups {
    paths: HashMap<u64, String>,
    order: VecDeque<u64>,
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
        if self.paths.insert(id, path.to_owned()).is_some() {
            return;
        }
        self.order.push_back(id);
        if self.paths.len() > PATHS {
            let oldest = self.order.pop_front();
            oldest.map(|id| self.paths.remove(&id));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_bounded_and_the_oldest_are_forgotten() {
        let mut cgroups = Cgroups::default();
        for id in 0..PATHS as u64 + 1 {
            cgroups.insert(id, "/a");
        }
        assert_eq!(
            (cgroups.path(0), cgroups.path(PATHS as u64)),
            (None, Some("/a"))
        );
        assert_eq!(cgroups.paths.len(), PATHS);
    }
}
