//! OCSF `container`: what a process runs in. Of an end of a connection only what identifies it.

use serde::{Serialize, Serializer};

use crate::audit::{hex::Shown, workload, world::Process};

/// Length of a UUID in text.
const UUID: usize = 36;

#[derive(Serialize)]
pub(super) struct Container<'a> {
    uid: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    image: Option<Image<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hash: Option<Fingerprint<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    runtime: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    orchestrator: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pod_uuid: Option<&'a str>,
    #[serde(skip_serializing_if = "Labels::is_empty")]
    labels: Labels<'a>,
}

#[derive(Serialize)]
struct Image<'a> {
    /// OCSF wants one: the digest, or else the name.
    uid: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tag: Option<&'a str>,
}

#[derive(Serialize)]
struct Fingerprint<'a> {
    algorithm_id: u8,
    algorithm: &'static str,
    value: &'a str,
}

/// Labels as `name=value`.
struct Labels<'a>(&'a [(String, String)]);

impl Labels<'_> {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Serialize for Labels<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(|(name, value)| Shown(Label(name, value))))
    }
}

struct Label<'a>(&'a str, &'a str);

impl std::fmt::Display for Label<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}={}", self.0, self.1)
    }
}

impl<'a> Container<'a> {
    /// The container of a process.
    pub(super) fn of(process: &'a Process) -> Option<Self> {
        let uid = process.container.as_deref()?;
        let workload = process.workload.as_deref();
        let known = workload.and_then(|workload| workload.container.as_ref());
        let pod = workload.and_then(|workload| workload.pod.as_ref());
        let digest = known.and_then(|known| known.image_digest.as_deref());
        Some(Self {
            uid,
            name: known.and_then(|known| known.name.as_deref()),
            image: known.and_then(image),
            hash: digest
                .and_then(|digest| digest.strip_prefix("sha256:"))
                .map(|value| Fingerprint {
                    algorithm_id: 3,
                    algorithm: "SHA-256",
                    value,
                }),
            runtime: known.and_then(|known| known.runtime.as_deref()),
            orchestrator: pod.map(|_| "kubernetes"),
            pod_uuid: pod.map(|pod| pod.uid.as_str()).filter(|uid| is_uuid(uid)),
            labels: Labels(
                known
                    .map(|known| known.labels.as_slice())
                    .unwrap_or_default(),
            ),
        })
    }

    /// The same for an end of a connection.
    pub(super) fn of_end(process: &'a Process) -> Option<Self> {
        Some(Self {
            hash: None,
            labels: Labels(&[]),
            ..Self::of(process)?
        })
    }
}

fn image(container: &workload::Container) -> Option<Image<'_>> {
    let (name, digest) = (
        container.image.as_deref(),
        container.image_digest.as_deref(),
    );
    Some(Image {
        uid: digest.or(name)?,
        name,
        tag: name.and_then(tag),
    })
}

/// The tag in a reference to an image.
fn tag(reference: &str) -> Option<&str> {
    let reference = reference
        .split_once('@')
        .map_or(reference, |(name, _)| name);
    let last = reference.rsplit('/').next()?;
    last.split_once(':').map(|(_, tag)| tag)
}

/// Uids of static pods are no UUIDs.
fn is_uuid(uid: &str) -> bool {
    let dashes = [8, 13, 18, 23];
    let fits = |(at, byte): (usize, u8)| match dashes.contains(&at) {
        true => byte == b'-',
        false => byte.is_ascii_hexdigit(),
    };
    uid.len() == UUID && uid.bytes().enumerate().all(fits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_what_follows_the_name() {
        assert_eq!(tag("quay.io:5000/team/server:2"), Some("2"));
        assert_eq!(tag("quay.io:5000/team/server"), None);
        assert_eq!(tag("server:2@sha256:00"), Some("2"));
    }

    #[test]
    fn only_uuids_are_shown_as_such() {
        assert!(is_uuid("0e0ed2a7-9a4b-4c0e-8c3a-5b0f6f0a1b2c"));
        assert!(!is_uuid("8a6f5b0a53f24b3f8f7d5e6a7c8d9e0f"));
        assert!(!is_uuid("0e0ed2a7-9a4b-4c0e-8c3a_5b0f6f0a1b2c"));
    }
}
