//! What a process runs in and what it runs, as `unmapped.mcp` shows it.

use serde::{Serialize, Serializer};

use crate::audit::workload;

/// Container and pod of a process.
#[derive(Serialize)]
pub(super) struct Workload<'a> {
    container: Option<Container<'a>>,
    pod: Option<Pod<'a>>,
    late: bool,
}

#[derive(Serialize)]
struct Container<'a> {
    id: &'a str,
    runtime: Option<&'a str>,
    name: Option<&'a str>,
    image: Option<&'a str>,
    image_digest: Option<&'a str>,
    labels: Labels<'a>,
    source: Option<&'static str>,
}

#[derive(Serialize)]
struct Pod<'a> {
    uid: &'a str,
    name: Option<&'a str>,
    namespace: Option<&'a str>,
    service_account: Option<&'a str>,
    node: Option<&'a str>,
    owner: Option<Owner<'a>>,
    labels: Labels<'a>,
    started: Option<&'a str>,
    source: Option<&'static str>,
}

#[derive(Serialize)]
struct Owner<'a> {
    kind: &'a str,
    name: &'a str,
}

struct Labels<'a>(&'a [(String, String)]);

impl Serialize for Labels<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

/// The program that an interpreter runs.
#[derive(Serialize)]
pub(super) struct Program<'a> {
    script: Option<&'a str>,
    package: Option<&'a str>,
    version: Option<&'a str>,
    ecosystem: Option<&'static str>,
}

impl<'a> Workload<'a> {
    pub(super) fn of(workload: &'a workload::Workload) -> Self {
        Self {
            container: workload.container.as_ref().map(container),
            pod: workload.pod.as_ref().map(pod),
            late: workload.is_late,
        }
    }
}

impl<'a> Program<'a> {
    pub(super) fn of(program: &'a workload::Program) -> Self {
        Self {
            script: program.script.as_deref(),
            package: program.package.as_deref(),
            version: program.version.as_deref(),
            ecosystem: program.ecosystem,
        }
    }
}

fn container(container: &workload::Container) -> Container<'_> {
    Container {
        id: &container.id,
        runtime: container.runtime.as_deref(),
        name: container.name.as_deref(),
        image: container.image.as_deref(),
        image_digest: container.image_digest.as_deref(),
        labels: Labels(&container.labels),
        source: container.source,
    }
}

fn pod(pod: &workload::Pod) -> Pod<'_> {
    Pod {
        uid: &pod.uid,
        name: pod.name.as_deref(),
        namespace: pod.namespace.as_deref(),
        service_account: pod.service_account.as_deref(),
        node: pod.node.as_deref(),
        owner: pod.owner.as_ref().map(|(kind, name)| Owner { kind, name }),
        labels: Labels(&pod.labels),
        started: pod.started.as_deref(),
        source: pod.source,
    }
}
