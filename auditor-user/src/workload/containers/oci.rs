//! What the OCI configuration of a container says of it: the annotations that runtimes leave there.
//!
//! Text to values; reads no file. Bounds: see [`labels`].

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use auditor_core::audit::{Container, Pod};
use serde::Deserialize;

use super::Found;

/// Labels kept of one container or pod.
const LABELS: usize = 64;
/// Bytes of a label, name and value; longer ones are left out.
const LABEL: usize = 512;

/// The members of `config.json` that matter here.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Config {
    annotations: BTreeMap<String, String>,
    linux: Linux,
    root: Root,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Root {
    path: PathBuf,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Linux {
    #[serde(rename = "cgroupsPath")]
    cgroups_path: String,
}

impl Config {
    /// Reads the text of a `config.json`.
    pub(super) fn parse(text: &[u8]) -> Option<Self> {
        serde_json::from_slice(text).ok()
    }

    /// Whether the container's cgroup is to be this one; `None` where the configuration leaves it to the runtime.
    pub(super) fn is_of(&self, cgroup: &str) -> Option<bool> {
        let wanted = self.linux.cgroups_path.as_str();
        if wanted.is_empty() {
            return None;
        }
        // For systemd: `slice:prefix:name`.
        let systemd = wanted.split_once(':').and_then(|(_, rest)| {
            let (prefix, name) = rest.split_once(':')?;
            Some(format!("/{prefix}-{name}.scope"))
        });
        let path = systemd.unwrap_or_else(|| format!("/{}", wanted.trim_start_matches('/')));
        Some(cgroup.ends_with(&path))
    }

    /// Where the container's root file system is.
    pub(super) fn root(&self) -> &Path {
        &self.root.path
    }

    /// What the annotations say.
    pub(super) fn found(&self, id: &str) -> Found {
        let first = |names: &[&str]| {
            let mut values = names.iter().filter_map(|name| self.annotations.get(*name));
            values.find(|value| !value.is_empty()).cloned()
        };
        let has = |prefix: &str| {
            let mut next = self.annotations.range(prefix.to_owned()..);
            next.next()
                .is_some_and(|(name, _)| name.starts_with(prefix))
        };
        let manager = first(&["io.container.manager"]);
        let runtime = match manager.as_deref() {
            Some("libpod") => Some("podman"),
            Some("cri-o") => Some("cri-o"),
            _ if has("io.kubernetes.cri-o.Container") => Some("cri-o"),
            _ if has("io.kubernetes.cri.") || has("nerdctl/") => Some("containerd"),
            _ => None,
        };
        let image = first(&[
            "io.kubernetes.cri.image-name",
            "io.kubernetes.cri-o.ImageName",
        ]);
        let reference = first(&["io.kubernetes.cri-o.ImageRef"]).or_else(|| image.clone());
        let is_sandbox = first(&[
            "io.kubernetes.cri.container-type",
            "io.kubernetes.cri-o.ContainerType",
        ]);
        let container = Container {
            id: id.to_owned(),
            runtime: runtime.map(str::to_owned),
            name: first(&[
                "io.kubernetes.cri.container-name",
                "io.kubernetes.container.name",
                "nerdctl/name",
                "io.kubernetes.cri-o.Name",
            ])
            .or_else(|| {
                is_sandbox
                    .filter(|kind| kind == "sandbox")
                    .map(|_| "POD".to_owned())
            }),
            image_digest: reference.as_deref().and_then(digest),
            image,
            labels: self.json_labels("io.kubernetes.cri-o.Labels"),
            source: Some("bundle"),
        };
        let uid = first(&["io.kubernetes.cri.sandbox-uid", "io.kubernetes.pod.uid"]);
        let uid = uid.or_else(|| {
            let labels = &container.labels;
            let uid = labels
                .iter()
                .find(|(name, _)| name == "io.kubernetes.pod.uid");
            uid.map(|(_, uid)| uid.clone())
        });
        let pod = uid.map(|uid| Pod {
            uid,
            name: first(&[
                "io.kubernetes.cri.sandbox-name",
                "io.kubernetes.pod.name",
                "io.kubernetes.cri-o.KubeName",
            ]),
            namespace: first(&[
                "io.kubernetes.cri.sandbox-namespace",
                "io.kubernetes.pod.namespace",
                "io.kubernetes.cri-o.Namespace",
            ]),
            source: Some("bundle"),
            ..Pod::default()
        });
        Found {
            container,
            pod,
            ..Found::default()
        }
    }

    fn json_labels(&self, annotation: &str) -> Vec<(String, String)> {
        let text = self.annotations.get(annotation);
        let parsed =
            text.and_then(|text| serde_json::from_str::<BTreeMap<String, String>>(text).ok());
        labels(parsed.unwrap_or_default())
    }
}

/// The labels that are kept, sorted by name.
pub(in crate::workload) fn labels(
    all: impl IntoIterator<Item = (String, String)>,
) -> Vec<(String, String)> {
    let fits = |(name, value): &(String, String)| name.len() + value.len() <= LABEL;
    let mut kept: Vec<_> = all.into_iter().filter(fits).collect();
    kept.sort();
    kept.truncate(LABELS);
    kept
}

/// The digest in a reference to an image, with its algorithm. A digest alone is that of the image's configuration.
pub(in crate::workload) fn digest(reference: &str) -> Option<String> {
    let (_, digest) = reference.rsplit_once('@')?;
    let hex = digest.strip_prefix("sha256:")?;
    (hex.len() == 64 && hex.bytes().all(|byte| byte.is_ascii_hexdigit())).then(|| digest.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "312edc23d28abfef0ed8db080be1b275e04e9c24e12da8ca97b01ab9f66864ec";
    const SHA: &str = "sha256:79d8a3644d5113472b5521eb8e408c724f9e32676c771a519cdde264e53f3c5a";

    fn found(text: &str) -> Found {
        Config::parse(text.as_bytes()).unwrap().found(ID)
    }

    #[test]
    fn the_configuration_that_containerd_makes_for_kubernetes_names_container_and_pod() {
        let Found { container, pod, .. } = found(include_str!("samples/containerd_cri.json"));
        let pod = pod.unwrap();
        assert_eq!(container.runtime.as_deref(), Some("containerd"));
        assert_eq!(container.name.as_deref(), Some("main"));
        assert_eq!(
            container.image.as_deref(),
            Some("docker.io/local/busybox:1")
        );
        assert_eq!(pod.name.as_deref(), Some("plain"));
        assert_eq!(pod.namespace.as_deref(), Some("default"));
        assert_eq!(pod.uid, "7b1e6f0e-6f5c-4f39-9d7a-3c1c0d3c8a11");
    }

    #[test]
    fn the_configuration_that_cri_o_makes_names_them_too_with_labels() {
        let Found { container, pod, .. } = found(include_str!("samples/cri_o.json"));
        let pod = pod.unwrap();
        assert_eq!(container.runtime.as_deref(), Some("cri-o"));
        assert_eq!(container.name.as_deref(), Some("server"));
        assert_eq!(container.image.as_deref(), Some("quay.io/team/server:2"));
        assert_eq!(container.image_digest.as_deref(), Some(SHA));
        assert!(
            container
                .labels
                .contains(&("io.kubernetes.pod.name".into(), "server-0".into()))
        );
        assert_eq!(pod.name.as_deref(), Some("server-0"));
        assert_eq!(pod.namespace.as_deref(), Some("tools"));
    }

    #[test]
    fn the_configuration_that_podman_makes_names_only_the_manager() {
        let Found { container, pod, .. } = found(include_str!("samples/podman.json"));
        assert_eq!(container.runtime.as_deref(), Some("podman"));
        assert_eq!((container.name, container.image, pod), (None, None, None));
    }

    #[test]
    fn a_configuration_belongs_to_the_cgroup_that_it_asks_for() {
        let of = |wanted: &str| Config {
            linux: Linux {
                cgroups_path: wanted.to_owned(),
            },
            ..Config::default()
        };
        assert_eq!(of("/default/my-task").is_of("/default/my-task"), Some(true));
        assert_eq!(
            of("default/my-task").is_of("/docker/x/default/my-task"),
            Some(true)
        );
        assert_eq!(of("/default/my-task").is_of("/other/my-task"), Some(false));
        let systemd = format!("kubepods-pod1.slice:cri-containerd:{ID}");
        let scope = format!("/kubepods.slice/kubepods-pod1.slice/cri-containerd-{ID}.scope");
        assert_eq!(of(&systemd).is_of(&scope), Some(true));
        assert_eq!(of("").is_of("/x"), None);
    }

    #[test]
    fn labels_are_bounded_and_sorted() {
        let many = (0..100).rev().map(|n| (format!("n{n:03}"), "x".to_owned()));
        let kept = labels(many.chain([("a".to_owned(), "x".repeat(LABEL))]));
        assert_eq!((kept.len(), kept[0].0.as_str()), (LABELS, "n000"));
    }

    #[test]
    fn only_a_whole_digest_counts() {
        assert_eq!(digest(&format!("a/b@{SHA}")).as_deref(), Some(SHA));
        assert_eq!(digest(SHA), None);
        assert_eq!(digest("a/b:1"), None);
        assert_eq!(digest("a/b@sha256:12"), None);
    }
}
