//! What a process runs in and what it runs, as `unmapped.mcp` shows it.

use serde::{Serialize, Serializer};

use crate::audit::workload::{self, WorkflowSystem};

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

/// The workflow that a process works for.
#[derive(Serialize)]
pub(super) struct Workflow<'a> {
    system: &'static str,
    repository: Option<&'a str>,
    workflow: Option<&'a str>,
    workflow_ref: Option<&'a str>,
    run: Option<&'a str>,
    attempt: Option<&'a str>,
    job: Option<&'a str>,
    job_id: Option<&'a str>,
    index: Option<&'a str>,
    actor: Option<&'a str>,
    revision: Option<&'a str>,
    r#ref: Option<&'a str>,
    runner: Option<&'a str>,
    source: Bearer,
}

#[derive(Serialize)]
struct Bearer {
    pid: u32,
    start_time: u64,
}

impl<'a> Workflow<'a> {
    pub(super) fn of(workflow: &'a workload::Workflow) -> Self {
        Self {
            system: match workflow.system {
                WorkflowSystem::GitHub => "github",
                WorkflowSystem::GitLab => "gitlab",
                WorkflowSystem::Jenkins => "jenkins",
                WorkflowSystem::Kubernetes => "kubernetes",
            },
            repository: workflow.repository.as_deref(),
            workflow: workflow.workflow.as_deref(),
            workflow_ref: workflow.workflow_ref.as_deref(),
            run: workflow.run.as_deref(),
            attempt: workflow.attempt.as_deref(),
            job: workflow.job.as_deref(),
            job_id: workflow.job_id.as_deref(),
            index: workflow.index.as_deref(),
            actor: workflow.actor.as_deref(),
            revision: workflow.revision.as_deref(),
            r#ref: workflow.reference.as_deref(),
            runner: workflow.runner.as_deref(),
            source: Bearer {
                pid: workflow.source.pid,
                start_time: workflow.source.start,
            },
        }
    }
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
