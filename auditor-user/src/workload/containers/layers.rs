//! The folders that a container's root file system is made of, which outlive the container.
//!
//! A program is found there when the process that ran it is gone. Holds nothing open, so that the root can be unmounted.
//! Bound: [`LAYERS`].

use std::{
    fs::{self, File},
    path::{Component, Path, PathBuf},
    sync::Arc,
};

use nix::{
    fcntl::{OFlag, OpenHow, ResolveFlag, openat2},
    sys::stat::Mode,
};

/// Folders that a root may be made of.
const LAYERS: usize = 128;

/// Folders, the uppermost first.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Layers(Arc<[PathBuf]>);

impl Layers {
    /// Those of the root file system at `root`, by the mounts that a process has.
    pub(super) fn of(root: &Path, pid: Option<u32>) -> Self {
        let whose = pid.map_or("self".to_owned(), |pid| pid.to_string());
        let mounts = fs::read_to_string(format!("/proc/{whose}/mountinfo")).unwrap_or_default();
        let folders = overlay(&mounts, root).unwrap_or_else(|| vec![root.to_owned()]);
        Self(folders.into_iter().take(LAYERS).collect())
    }

    /// Opens the file that a path of the container names, without following links.
    pub(crate) fn open(&self, path: &str) -> Option<File> {
        let relative = path.trim_start_matches('/');
        let how = OpenHow::new()
            .flags(OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC)
            .mode(Mode::empty())
            .resolve(ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_SYMLINKS);
        self.0.iter().find_map(|layer| {
            let folder = File::open(layer).ok()?;
            let file = File::from(openat2(&folder, relative, how).ok()?);
            // The uppermost counts, whatever it is.
            Some(
                file.metadata()
                    .is_ok_and(|metadata| metadata.is_file())
                    .then_some(file),
            )
        })?
    }
}

/// The folders of the overlay that is mounted at `root`; `None` where there is none.
fn overlay(mounts: &str, root: &Path) -> Option<Vec<PathBuf>> {
    // The last mount in a place hides those before.
    let options = mounts.lines().rev().find_map(|line| {
        let (place, rest) = line.split_once(" - ")?;
        let point = place.split(' ').nth(4)?;
        let mut rest = rest.split(' ');
        let is_overlay = rest.next()? == "overlay" && Path::new(point) == root;
        is_overlay.then_some(rest.nth(1)?)
    })?;
    let option = |name: &str| {
        let mut options = options.split(',');
        options.find_map(|option| option.strip_prefix(name)?.strip_prefix('='))
    };
    // Engines whose paths are too long for the kernel give them relative to their storage: two above the root.
    let base = root.parent()?.parent()?;
    let folder = |path: &str| {
        let is_clean = Path::new(path)
            .components()
            .all(|part| part != Component::ParentDir);
        is_clean.then(|| base.join(path))
    };
    let lower = option("lowerdir")?
        .split(':')
        .filter(|path| !path.is_empty());
    Some(
        option("upperdir")
            .into_iter()
            .chain(lower)
            .filter_map(folder)
            .collect(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &str = "\
47 27 0:40 / /state/default/task/rootfs rw,relatime - overlay overlay rw,lowerdir=/snapshots/1/fs,upperdir=/snapshots/2/fs,workdir=/snapshots/2/work
48 27 254:0 / /storage/overlay rw,relatime - ext4 /dev/vda rw
52 48 0:43 / /storage/overlay/c8c0/merged rw,relatime - overlay overlay rw,lowerdir=l/A:l/B,upperdir=c8c0/diff,workdir=c8c0/work,uuid=on
";

    #[test]
    fn an_overlay_is_its_upper_and_lower_folders() {
        let folders = |root: &str| overlay(MOUNTS, Path::new(root));
        let paths = |paths: &[&str]| Some(paths.iter().map(PathBuf::from).collect::<Vec<_>>());
        assert_eq!(
            folders("/state/default/task/rootfs"),
            paths(&["/snapshots/2/fs", "/snapshots/1/fs"])
        );
        let relative = [
            "/storage/overlay/c8c0/diff",
            "/storage/overlay/l/A",
            "/storage/overlay/l/B",
        ];
        assert_eq!(folders("/storage/overlay/c8c0/merged"), paths(&relative));
        assert_eq!(folders("/storage/overlay"), None);
    }

    #[test]
    fn the_uppermost_file_counts_and_links_are_not_followed() {
        let base = std::env::temp_dir().join(format!("mcp-auditor-layers-{}", std::process::id()));
        let (upper, lower) = (base.join("upper"), base.join("lower"));
        for layer in [&upper, &lower] {
            fs::create_dir_all(layer.join("bin")).unwrap();
        }
        fs::write(upper.join("bin/both"), "upper").unwrap();
        fs::write(lower.join("bin/both"), "lower").unwrap();
        fs::write(lower.join("bin/one"), "lower").unwrap();
        std::os::unix::fs::symlink("/etc/passwd", upper.join("bin/link")).unwrap();
        let layers = Layers([upper, lower].into());
        let text = |path: &str| std::io::read_to_string(layers.open(path)?).ok();
        assert_eq!(text("/bin/both").as_deref(), Some("upper"));
        assert_eq!(text("/bin/one").as_deref(), Some("lower"));
        assert_eq!(text("/bin/link"), None);
        assert_eq!(text("/../upper/bin/both"), None);
        fs::remove_dir_all(base).unwrap();
    }
}
