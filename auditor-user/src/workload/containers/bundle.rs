//! Containers by what their runtime keeps on disk: the bundle's `config.json`, which is there before the container's
//! first process, and the storage beside it.
//!
//! Finds it in the folders that runtimes use, or where the process works that made the cgroup. Believes only files
//! that root alone can write. Bounds: [`FILE`] bytes of a file, [`NAMESPACES`] folders of containerd.

use std::{
    fs::{self, File, OpenOptions},
    io::Read as _,
    os::unix::fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use auditor_core::audit::Container;
use serde::Deserialize;

use super::{
    Found, Layers, Query,
    oci::{self, Config},
    source::{Find, Source},
    storage,
};
use crate::config::Containers as Roots;
use crate::workload::proc;

/// Bytes that a file may have.
pub(super) const FILE: u64 = 16 << 20;
/// Namespaces of containerd that are searched.
const NAMESPACES: usize = 64;
/// Programs that make containers themselves.
const RUNTIMES: [&str; 3] = ["runc", "crun", "youki"];
/// Where containerd keeps the bundles of its tasks, below its state folder.
const TASKS: &str = "io.containerd.runtime.v2.task";

/// Bundles and storage of this host's runtimes.
pub(super) struct Bundles {
    roots: Roots,
}

/// A bundle that was found: its folder, and what its configuration says.
struct Bundle {
    folder: PathBuf,
    config: Config,
    /// The container's id, for a container that its path does not name.
    id: String,
    /// Name of the program that made the cgroup.
    maker: Option<String>,
}

impl Bundle {
    /// What runs it, by where its bundle is, or else the program that made its cgroup.
    fn runtime(&self) -> Option<String> {
        let is_task = self
            .folder
            .components()
            .any(|part| part.as_os_str() == TASKS);
        let maker = self.maker.as_deref();
        let maker = maker.filter(|maker| RUNTIMES.contains(maker));
        Some("containerd")
            .filter(|_| is_task)
            .or(maker)
            .map(str::to_owned)
    }
}

impl Bundles {
    pub(super) fn new(roots: Roots) -> Self {
        Self { roots }
    }

    /// The bundle in the folder in which the maker of the cgroup works: runtimes work in the bundle.
    fn of_maker(&self, query: &Query) -> Option<Bundle> {
        let maker = query.maker?;
        let folder = PathBuf::from(format!("/proc/{}/cwd", maker.pid));
        let config = Config::parse(&read(&folder.join("config.json"))?)?;
        let arguments = fs::read(format!("/proc/{}/cmdline", maker.pid)).ok()?;
        // The storage is beside the bundle, so where that is matters.
        let real = fs::read_link(&folder).ok()?;
        let name = fs::read_to_string(format!("/proc/{}/comm", maker.pid)).ok()?;
        // Read last: until here the pid was that process's.
        proc::is_same(maker).then_some(())?;
        let mut words = arguments.split(|byte| *byte == 0).rev();
        let last = words.find(|word| !word.is_empty())?;
        let last = String::from_utf8(last.to_vec()).ok()?;
        let is_of = config
            .is_of(&query.path)
            .unwrap_or_else(|| query.path.ends_with(&format!("/{last}")));
        let id = query.id.clone().unwrap_or(last);
        is_of.then(|| Bundle {
            folder: real,
            config,
            id,
            maker: Some(name.trim().to_owned()),
        })
    }

    /// The bundle in the folders that runtimes use.
    fn of_roots(&self, query: &Query) -> Option<Bundle> {
        let name = query.name();
        let tasks = self.roots.containerd.iter().map(|state| state.join(TASKS));
        let tasks = tasks
            .flat_map(|tasks| folders(&tasks))
            .map(|namespace| namespace.join(name));
        let storage = self
            .roots
            .storage
            .iter()
            .flat_map(|root| storage::containers(root));
        let storage = storage.map(|folder| folder.join(name).join("userdata"));
        let states = self
            .roots
            .runc
            .iter()
            .filter_map(|root| bundle_of_state(&root.join(name)));
        tasks.chain(storage).chain(states).find_map(|folder| {
            let config = Config::parse(&read(&folder.join("config.json"))?)?;
            // A free name may be used in several places; its cgroup is in one.
            let is_of = query.id.is_some() || config.is_of(&query.path) == Some(true);
            is_of.then(|| Bundle {
                folder,
                config,
                id: name.to_owned(),
                maker: None,
            })
        })
    }

    fn of_docker(&self, query: &Query) -> Option<Found> {
        let id = query.id.as_deref()?;
        let mut files = self
            .roots
            .docker
            .iter()
            .map(|root| root.join("containers").join(id).join("config.v2.json"));
        files.find_map(|file| docker(&read(&file)?, id))
    }
}

impl Source for Bundles {
    fn find(&mut self, query: &Query) -> Find {
        // A name never leads elsewhere.
        if matches!(query.name(), "" | "." | "..") {
            return Find::Unknown;
        }
        let bundle = self.of_maker(query).or_else(|| self.of_roots(query));
        let mut found = bundle.map(|bundle| {
            let mut found = bundle.config.found(&bundle.id);
            found.layers = Layers::of(
                &bundle.folder.join(bundle.config.root()),
                query.maker.map(|maker| maker.pid),
            );
            found.container.runtime = found.container.runtime.or_else(|| bundle.runtime());
            if let Some(folder) = storage::of_bundle(&bundle.folder) {
                found.complete(storage::find(&folder, &bundle.id));
            }
            found
        });
        if let Some(docker) = self.of_docker(query) {
            found.get_or_insert_default().complete(Some(docker));
        }
        found.map_or(Find::Unknown, |found| Find::Known(Box::new(found)))
    }
}

/// The bundle that the state of runc or crun names.
fn bundle_of_state(folder: &Path) -> Option<PathBuf> {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct State {
        config: Runc,
        bundle: Option<PathBuf>,
    }
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Runc {
        labels: Vec<String>,
    }
    let text = read(&folder.join("state.json")).or_else(|| read(&folder.join("status")))?;
    let state: State = serde_json::from_slice(&text).ok()?;
    let label = state
        .config
        .labels
        .iter()
        .find_map(|label| label.strip_prefix("bundle="));
    state.bundle.or_else(|| label.map(PathBuf::from))
}

/// What Docker's own file says.
fn docker(text: &[u8], id: &str) -> Option<Found> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct File {
        name: Option<String>,
        config: Inner,
        image_manifest: Option<Descriptor>,
    }
    #[derive(Deserialize)]
    struct Descriptor {
        digest: String,
    }
    #[derive(Default, Deserialize)]
    #[serde(default, rename_all = "PascalCase")]
    struct Inner {
        image: Option<String>,
        labels: Option<std::collections::BTreeMap<String, String>>,
    }
    let file: File = serde_json::from_slice(text).ok()?;
    let container = Container {
        id: id.to_owned(),
        runtime: Some("docker".to_owned()),
        name: file
            .name
            .map(|name| name.trim_start_matches('/').to_owned()),
        image_digest: file
            .image_manifest
            .map(|manifest| manifest.digest)
            .or_else(|| file.config.image.as_deref().and_then(oci::digest)),
        image: file.config.image,
        labels: oci::labels(file.config.labels.unwrap_or_default()),
        source: Some("bundle"),
    };
    Some(Found {
        container,
        ..Found::default()
    })
}

/// The folders in a folder.
pub(super) fn folders(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let folders = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    folders.map(|entry| entry.path()).take(NAMESPACES).collect()
}

/// Reads a file that only root can have written.
pub(super) fn read(path: &Path) -> Option<Vec<u8>> {
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(nix::libc::O_NONBLOCK | nix::libc::O_NOFOLLOW)
        .open(path)
        .ok()?;
    is_of_root(&file).then_some(())?;
    let mut text = Vec::new();
    file.take(FILE).read_to_end(&mut text).ok()?;
    Some(text)
}

fn is_of_root(file: &File) -> bool {
    file.metadata().is_ok_and(|metadata| {
        let is_plain = metadata.is_file() && !metadata.file_type().is_fifo();
        is_plain && metadata.uid() == 0 && metadata.mode() & 0o022 == 0 && metadata.len() <= FILE
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn docker_keeps_name_image_and_labels() {
        let found = docker(include_bytes!("samples/docker_config_v2.json"), "0123").unwrap();
        assert_eq!(found.container.name.as_deref(), Some("server"));
        assert_eq!(found.container.image.as_deref(), Some("team/server:2"));
        assert_eq!(
            found.container.labels,
            [("app".to_owned(), "server".to_owned())]
        );
    }

    #[test]
    fn what_others_can_write_is_not_believed() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder =
            std::env::temp_dir().join(format!("mcp-auditor-bundle-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let file = folder.join("config.json");
        fs::write(&file, "{}").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
        assert_eq!(read(&file).is_some(), nix::unistd::geteuid().is_root());
        fs::set_permissions(&file, fs::Permissions::from_mode(0o666)).unwrap();
        assert_eq!(read(&file), None);
        fs::remove_dir_all(&folder).unwrap();
    }
}
