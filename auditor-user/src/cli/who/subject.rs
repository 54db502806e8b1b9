//! A workload as events name it: values that are read from the trail, and made of processes that run.
//!
//! Names are those of `docs/events.md`; what an event does not say is `None`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// One side of an interaction.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub(super) struct Subject {
    pub(super) pid: u32,
    /// Start of the process, nanoseconds since boot.
    pub(super) start_time: u64,
    pub(super) exe: Option<String>,
    pub(super) exe_sha256: Option<String>,
    pub(super) cmdline: Option<Vec<String>>,
    pub(super) uid: Option<u32>,
    pub(super) gid: Option<u32>,
    pub(super) cgroup: Option<String>,
    pub(super) container: Option<String>,
    pub(super) pod: Option<String>,
    pub(super) workload: Option<Workload>,
    pub(super) program: Option<Program>,
    pub(super) lineage: Vec<Parent>,
}

/// What it runs in.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub(super) struct Workload {
    pub(super) container: Option<Container>,
    pub(super) pod: Option<Pod>,
    pub(super) late: bool,
}

/// Its container.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub(super) struct Container {
    pub(super) id: String,
    pub(super) runtime: Option<String>,
    pub(super) name: Option<String>,
    pub(super) image: Option<String>,
    pub(super) image_digest: Option<String>,
    pub(super) labels: BTreeMap<String, String>,
    pub(super) source: Option<String>,
}

/// Its pod.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub(super) struct Pod {
    pub(super) uid: String,
    pub(super) name: Option<String>,
    pub(super) namespace: Option<String>,
    pub(super) service_account: Option<String>,
    pub(super) node: Option<String>,
    pub(super) owner: Option<Owner>,
    pub(super) labels: BTreeMap<String, String>,
    pub(super) source: Option<String>,
}

/// What made a pod.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub(super) struct Owner {
    pub(super) kind: String,
    pub(super) name: String,
}

/// What an interpreter runs.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub(super) struct Program {
    pub(super) script: Option<String>,
    pub(super) package: Option<String>,
    pub(super) version: Option<String>,
    pub(super) ecosystem: Option<String>,
}

/// A parent, grandparent ... of it.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub(super) struct Parent {
    pub(super) pid: u32,
    pub(super) start_time: u64,
    pub(super) exe: Option<String>,
}

/// Who it is, and how far that is proven.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub(super) struct Identity {
    pub(super) subject: Option<String>,
    pub(super) method: String,
    pub(super) assurance: String,
    pub(super) verified: bool,
    pub(super) evidence_sha256: String,
    pub(super) contradictions: Vec<String>,
}

/// What it showed.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub(super) struct Credential {
    pub(super) scheme: String,
    pub(super) hash: String,
    pub(super) verdict: String,
    pub(super) claims: Option<Claims>,
}

/// What its token says.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub(super) struct Claims {
    pub(super) issuer: Option<String>,
    pub(super) subject: Option<String>,
}

impl Subject {
    /// Whether it is in a container: by its name, or its id or the beginning of that.
    pub(super) fn is_in_container(&self, text: &str) -> bool {
        let is_id = |id: &str| id == text || text.len() >= 4 && id.starts_with(text);
        let told = self
            .workload
            .as_ref()
            .and_then(|one| one.container.as_ref());
        self.container.as_deref().is_some_and(is_id)
            || told.is_some_and(|one| is_id(&one.id) || one.name.as_deref() == Some(text))
    }

    /// Whether it is in a pod: by its uid, its name, or `namespace/name`.
    pub(super) fn is_in_pod(&self, text: &str) -> bool {
        let pod = self.workload.as_ref().and_then(|one| one.pod.as_ref());
        self.pod.as_deref() == Some(text)
            || pod.is_some_and(|pod| match text.split_once('/') {
                Some((namespace, name)) => {
                    pod.namespace.as_deref() == Some(namespace) && pod.name.as_deref() == Some(name)
                }
                None => pod.uid == text || pod.name.as_deref() == Some(text),
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn containers_and_pods_are_found_by_their_names_and_ids() {
        let subject = Subject {
            container: Some("3fa2c5".into()),
            pod: Some("u-1".into()),
            workload: Some(Workload {
                container: Some(Container {
                    id: "3fa2c5".into(),
                    name: Some("agent".into()),
                    ..Container::default()
                }),
                pod: Some(Pod {
                    uid: "u-1".into(),
                    name: Some("agent-1".into()),
                    namespace: Some("shop".into()),
                    ..Pod::default()
                }),
                late: false,
            }),
            ..Subject::default()
        };
        assert!(
            ["3fa2", "3fa2c5", "agent"]
                .iter()
                .all(|text| subject.is_in_container(text))
        );
        assert!(
            !["3fa", "fa2c", "agent-1", ""]
                .iter()
                .any(|text| subject.is_in_container(text))
        );
        assert!(
            ["u-1", "agent-1", "shop/agent-1"]
                .iter()
                .all(|text| subject.is_in_pod(text))
        );
        assert!(
            !["u", "agent", "other/agent-1", ""]
                .iter()
                .any(|text| subject.is_in_pod(text))
        );
    }
}
