//! What the path of a cgroup shows: a container, its runtime, its pod.
//!
//! Looks at the text only, never at the host. What a path leaves open is `None`; a container that its runtime named
//! freely is told apart by who made it: see [`super::bundle`].

/// Length of a container id in hexadecimal digits.
const ID: usize = 64;
/// Words that a runtime puts before a container's id, and the runtime.
const PREFIXES: [(&str, &str); 6] = [
    ("cri-containerd", "containerd"),
    ("nerdctl", "containerd"),
    ("crio", "cri-o"),
    ("docker", "docker"),
    ("libpod", "podman"),
    ("libpod-payload", "podman"),
];
/// Folders in which a runtime makes its containers' cgroups, and the runtime.
const FOLDERS: [(&str, &str); 3] = [
    ("docker", "docker"),
    ("libpod_parent", "podman"),
    ("actions_job", "docker"),
];

/// The place of a process, by the path of its cgroup.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Place<'a> {
    /// The path up to the container's own cgroup.
    pub(crate) path: &'a str,
    /// The container's id.
    pub(crate) container: &'a str,
    /// What runs it.
    pub(crate) runtime: Option<&'static str>,
    /// The uid of its pod, as the path has it: with `_` for `-` below systemd.
    pod: Option<&'a str>,
}

impl Place<'_> {
    /// The uid of its pod.
    pub(crate) fn pod(&self) -> Option<String> {
        self.pod.map(|uid| uid.replace('_', "-"))
    }
}

/// The innermost container that a path shows.
pub(crate) fn place(path: &str) -> Option<Place<'_>> {
    let mut end = path.len();
    loop {
        let parent = path.get(..end)?.rfind('/')?;
        let segment = path.get(parent + 1..end)?;
        let above = path.get(..parent)?;
        if let Some((container, runtime)) = container(segment, above) {
            return Some(Place {
                path: path.get(..end)?,
                container,
                runtime,
                pod: pod_above(above, segment),
            });
        }
        end = parent;
    }
}

/// Whether a path may be the cgroup of a container that its runtime named freely.
pub(super) fn may_be_container(path: &str) -> bool {
    let last = path.rsplit('/').next().unwrap_or_default();
    let is_systemd = [".slice", ".scope", ".service", ".mount", ".socket", ".swap"]
        .iter()
        .any(|suffix| last.ends_with(suffix));
    !last.is_empty() && !is_systemd && !is_monitor(last) && pod(last).is_none()
}

/// The container that one segment is the cgroup of, and its runtime.
fn container<'a>(segment: &'a str, above: &str) -> Option<(&'a str, Option<&'static str>)> {
    if is_monitor(segment) {
        return None;
    }
    let unit = segment.strip_suffix(".scope").unwrap_or(segment);
    let folder = above.rsplit('/').next().unwrap_or_default();
    // `slice:prefix:id` is how systemd's form looks where systemd is not asked after all.
    let (prefix, id) = match unit.rsplit_once(':') {
        Some((rest, id)) => (rest.rsplit(':').next().unwrap_or_default(), id),
        None => named(unit),
    };
    let known = PREFIXES.iter().find(|(known, _)| *known == prefix);
    let runtime = known
        .or_else(|| FOLDERS.iter().find(|(known, _)| *known == folder))
        .map(|(_, runtime)| *runtime);
    let hex = id.rsplit('-').next().unwrap_or(id);
    if hex.len() == ID && hex.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Some((hex, runtime));
    }
    // Below a pod there is nothing but containers; a prefix of Kubernetes' runtimes stands before nothing else.
    let is_of_pod = pod(folder).is_some() && !segment.contains('.');
    let is_named = matches!(prefix, "cri-containerd" | "crio") && segment.ends_with(".scope");
    (!id.is_empty() && (is_of_pod || is_named)).then_some((id, runtime))
}

/// A runtime's prefix and the name behind it; the prefix is empty where there is none that is known.
fn named(unit: &str) -> (&str, &str) {
    let names = PREFIXES.iter().filter_map(|(prefix, _)| {
        let name = unit.strip_prefix(prefix)?.strip_prefix('-')?;
        Some((*prefix, name))
    });
    names
        .max_by_key(|(prefix, _)| prefix.len())
        .unwrap_or(("", unit))
}

/// Cgroups of what watches over a container.
fn is_monitor(segment: &str) -> bool {
    ["crio-conmon-", "libpod-conmon-", "conmon"]
        .iter()
        .any(|prefix| segment.starts_with(prefix))
}

/// The pod that the cgroups above a container, or its own name, are of.
fn pod_above<'a>(above: &'a str, segment: &'a str) -> Option<&'a str> {
    let parent = above.rsplit('/').next().unwrap_or_default();
    let slice = segment.split(':').next().filter(|slice| *slice != segment);
    pod(parent).or_else(|| pod(slice?))
}

/// The pod that one segment is the cgroup of: `pod<uid>`, or `kubepods-burstable-pod<uid>.slice`.
fn pod(segment: &str) -> Option<&str> {
    let unit = segment.strip_suffix(".slice");
    let uid = match unit {
        Some(unit) => unit.strip_prefix("kubepods")?.rsplit_once("-pod")?.1,
        None => segment.strip_prefix("pod")?,
    };
    let is_uid = |byte: u8| byte.is_ascii_hexdigit() || byte == b'-' || byte == b'_';
    (uid.len() >= 32 && uid.bytes().all(is_uid)).then_some(uid)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    const UID: &str = "0e0ed2a7-9a4b-4c0e-8c3a-5b0f6f0a1b2c";

    fn shown(path: &str) -> (Option<&str>, Option<&str>, Option<String>) {
        let place = place(path);
        (
            place.map(|place| place.container),
            place.and_then(|place| place.runtime),
            place.and_then(|place| place.pod()),
        )
    }

    #[test]
    fn every_runtime_and_driver_shows_its_containers() {
        let systemd = UID.replace('-', "_");
        for (path, runtime, is_pod) in [
            (format!("/kubepods/besteffort/pod{UID}/{ID}"), None, true),
            (format!("/kubepods/pod{UID}/{ID}"), None, true),
            (
                format!(
                    "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{systemd}.slice/cri-containerd-{ID}.scope"
                ),
                Some("containerd"),
                true,
            ),
            (
                format!("/kubepods.slice/kubepods-pod{systemd}.slice/crio-{ID}.scope"),
                Some("cri-o"),
                true,
            ),
            (
                format!("/kubepods.slice/kubepods-pod{systemd}.slice/crio-{ID}.scope/container"),
                Some("cri-o"),
                true,
            ),
            (
                format!("/kubepods/burstable/pod{UID}/crio-{ID}"),
                Some("cri-o"),
                true,
            ),
            (
                format!("/kubepods.slice/kubepods-pod{systemd}.slice/docker-{ID}.scope"),
                Some("docker"),
                true,
            ),
            (
                format!(
                    "/system.slice/containerd.service/kubepods-burstable-pod{systemd}.slice:cri-containerd:{ID}"
                ),
                Some("containerd"),
                true,
            ),
            (
                format!("/system.slice/docker-{ID}.scope"),
                Some("docker"),
                false,
            ),
            (format!("/docker/{ID}"), Some("docker"), false),
            (
                format!("/docker/{ID}/system.slice/ssh.service"),
                Some("docker"),
                false,
            ),
            (format!("/libpod_parent/libpod-{ID}"), Some("podman"), false),
            (
                format!("/machine.slice/libpod-{ID}.scope/container"),
                Some("podman"),
                false,
            ),
            (
                format!(
                    "/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-{ID}.scope/container"
                ),
                Some("podman"),
                false,
            ),
            (format!("/actions_job/{ID}"), Some("docker"), false),
            (format!("/default/{ID}"), None, false),
        ] {
            let pod = is_pod.then(|| UID.to_owned());
            assert_eq!(shown(&path), (Some(ID), runtime, pod), "{path}");
        }
    }

    #[test]
    fn a_static_pod_has_a_uid_of_another_form() {
        let uid = "8a6f5b0a53f24b3f8f7d5e6a7c8d9e0f";
        let path = format!("/kubepods/burstable/pod{uid}/{ID}");
        assert_eq!(shown(&path).2.as_deref(), Some(uid));
    }

    #[test]
    fn names_that_are_no_digits_count_where_the_path_leaves_no_doubt() {
        let systemd = UID.replace('-', "_");
        for (path, name) in [
            (format!("/kubepods/pod{UID}/my-task"), "my-task"),
            (
                format!("/kubepods.slice/kubepods-pod{systemd}.slice/cri-containerd-task_1.scope"),
                "task_1",
            ),
        ] {
            let pod = Some(UID.to_owned());
            let found = shown(&path);
            assert_eq!((found.0, found.2), (Some(name), pod), "{path}");
        }
        for path in [
            "/default/my-task",
            "/kubepods/my-task",
            "/pods/a",
            "/docker/buildkit",
        ] {
            assert_eq!(shown(path).0, None, "{path}");
            assert!(may_be_container(path), "{path}");
        }
    }

    #[test]
    fn other_paths_show_no_container() {
        for path in [
            "",
            "/",
            "/user.slice/user-1000.slice/session-3.scope",
            "/system.slice/docker.service",
            "/kubepods.slice/kubepods-besteffort.slice",
            &format!("/kubepods/pod{UID}"),
            &format!(
                "/kubepods.slice/kubepods-pod{}.slice",
                UID.replace('-', "_")
            ),
            &format!("/kubepods/pod{UID}/crio-conmon-{ID}"),
            &format!("/machine.slice/libpod-conmon-{ID}.scope"),
            "/machine.slice/libpod-0123.scope",
        ] {
            assert_eq!(shown(path), (None, None, None), "{path}");
            assert!(!may_be_container(path), "{path}");
        }
    }

    #[test]
    fn the_innermost_container_counts() {
        let (outer, uid) = (ID.replace('0', "f"), UID);
        // A node of kind is itself a container.
        let path = format!("/docker/{outer}/kubelet/kubepods/besteffort/pod{uid}/{ID}");
        assert_eq!(shown(&path), (Some(ID), None, Some(uid.to_owned())));
        let path = format!("/docker/{outer}/kubelet/kubepods/pod{uid}/crio-conmon-{ID}");
        assert_eq!(shown(&path), (Some(&*outer), Some("docker"), None));
        let path = format!("/kubepods/pod{uid}/{outer}/docker/{ID}");
        assert_eq!(shown(&path), (Some(ID), Some("docker"), None));
    }

    #[test]
    fn all_below_a_container_is_in_it() {
        let path = format!("/docker/{ID}/init.scope");
        assert_eq!(place(&path).unwrap().path, format!("/docker/{ID}"));
    }
}
