//! The storage that podman and CRI-O share: names and images of its containers, digests of its images.
//!
//! Reads the lists on disk as they are; they are written before a container starts. Bound: see [`bundle::read`].

use std::path::{Path, PathBuf};

use auditor_core::audit::Container;
use serde::Deserialize;

use super::{Found, bundle};

/// Lists of containers: what is lost at a restart of the host is kept apart.
const LISTS: [&str; 2] = ["containers.json", "volatile-containers.json"];

#[derive(Deserialize)]
struct Listed {
    id: String,
    #[serde(default)]
    names: Option<Vec<String>>,
    #[serde(default)]
    image: String,
    #[serde(default)]
    metadata: String,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
struct Metadata {
    image_name: Option<String>,
    name: Option<String>,
}

#[derive(Deserialize)]
struct Image {
    id: String,
    #[serde(default)]
    digest: Option<String>,
}

/// The folders of containers below a storage's root, one for each driver.
pub(super) fn containers(root: &Path) -> Vec<PathBuf> {
    let is_containers = |folder: &PathBuf| {
        folder
            .as_os_str()
            .as_encoded_bytes()
            .ends_with(b"-containers")
    };
    bundle::folders(root)
        .into_iter()
        .filter(is_containers)
        .collect()
}

/// The folder of containers that a bundle is in, where it is in one: `DRIVER-containers/ID/userdata`.
pub(super) fn of_bundle(bundle: &Path) -> Option<PathBuf> {
    let folder = bundle.parent()?.parent()?;
    let is_storage =
        bundle.ends_with("userdata") && folder.file_name()?.to_str()?.ends_with("-containers");
    is_storage.then(|| folder.to_owned())
}

/// What the storage says of a container.
pub(super) fn find(folder: &Path, id: &str) -> Option<Found> {
    let listed = LISTS.iter().find_map(|list| {
        let all: Vec<Listed> = serde_json::from_slice(&bundle::read(&folder.join(list))?).ok()?;
        all.into_iter().find(|listed| listed.id == id)
    })?;
    let driver = folder.file_name()?.to_str()?.strip_suffix("-containers")?;
    let images = folder
        .with_file_name(format!("{driver}-images"))
        .join("images.json");
    let images =
        bundle::read(&images).and_then(|text| serde_json::from_slice::<Vec<Image>>(&text).ok());
    let mut images = images.into_iter().flatten();
    let image = images.find(|image| image.id == listed.image);
    let metadata: Metadata = serde_json::from_str(&listed.metadata).unwrap_or_default();
    let name = metadata.name.or_else(|| listed.names?.into_iter().next());
    let container = Container {
        id: id.to_owned(),
        name,
        image: metadata.image_name.filter(|name| !name.is_empty()),
        image_digest: image.and_then(|image| image.digest),
        source: Some("bundle"),
        ..Container::default()
    };
    Some(Found {
        container,
        ..Found::default()
    })
}
