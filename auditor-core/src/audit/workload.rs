//! What a process runs in, what it runs and for whom: container, pod, program, workflow. Values; whoever reads the host
//! finds them out.

use crate::key::ProcessKey;

/// What a process runs in. Unknown is `None`, never guessed.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Workload {
    /// The innermost container.
    pub container: Option<Container>,
    /// The Kubernetes pod.
    pub pod: Option<Pod>,
    /// Whether some of it was told only after the process had ended.
    pub is_late: bool,
}

/// A container, as far as its runtime told of it.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Container {
    /// Its id, by the path of the cgroup.
    pub id: String,
    /// What runs it: `containerd`, `cri-o`, `podman`, `docker`, `runc`.
    pub runtime: Option<String>,
    /// Its name.
    pub name: Option<String>,
    /// The image it was made from, as it was asked for.
    pub image: Option<String>,
    /// Digest of the image, with its algorithm: `sha256:...`.
    pub image_digest: Option<String>,
    /// Its labels, sorted by name.
    pub labels: Vec<(String, String)>,
    /// Who told: `bundle` (its OCI configuration on disk), `runtime` (the runtime's socket or state), `api_server`.
    pub source: Option<&'static str>,
}

/// A Kubernetes pod, as far as the runtime or the API server told of it.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Pod {
    /// Its uid.
    pub uid: String,
    /// Its name.
    pub name: Option<String>,
    /// Its namespace.
    pub namespace: Option<String>,
    /// The service account it runs under.
    pub service_account: Option<String>,
    /// The node it runs on.
    pub node: Option<String>,
    /// What made it: kind and name (`Deployment`, `api`).
    pub owner: Option<(String, String)>,
    /// Its labels, sorted by name.
    pub labels: Vec<(String, String)>,
    /// When its node took it over, as the API server writes times (RFC 3339).
    pub started: Option<String>,
    /// Whether the runtime and the API server name it differently; the names here are the runtime's.
    pub is_disputed: bool,
    /// Who told last: `cgroup`, `bundle`, `runtime`, `api_server`.
    pub source: Option<&'static str>,
}

/// The program that an interpreter runs, and the package it comes from.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Program {
    /// Path of the script, as the process was given it.
    pub script: Option<String>,
    /// Name of the package that holds it.
    pub package: Option<String>,
    /// Version of the package.
    pub version: Option<String>,
    /// Kind of the package: `npm`, `pypi`.
    pub ecosystem: Option<&'static str>,
}

/// The run of a continuous-integration workflow, or of a Kubernetes Job, that a process works for. Its own word.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Workflow {
    /// What runs it.
    pub system: WorkflowSystem,
    /// The repository: owner and name.
    pub repository: Option<String>,
    /// Name of the workflow; of a Jenkins job.
    pub workflow: Option<String>,
    /// The workflow's file with its revision (GitHub Actions).
    pub workflow_ref: Option<String>,
    /// The run: id of a run or pipeline, number of a build, uid of a Job.
    pub run: Option<String>,
    /// Which attempt of the run.
    pub attempt: Option<String>,
    /// Name of the job within the run.
    pub job: Option<String>,
    /// Id of the job (GitLab CI).
    pub job_id: Option<String>,
    /// Which of a Job's pods it is (`JOB_COMPLETION_INDEX`).
    pub index: Option<String>,
    /// Who began it.
    pub actor: Option<String>,
    /// The commit.
    pub revision: Option<String>,
    /// The branch or tag.
    pub reference: Option<String>,
    /// The machine that it was given.
    pub runner: Option<String>,
    /// The first process known to bear it.
    pub source: ProcessKey,
}

/// What runs workflows.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum WorkflowSystem {
    /// GitHub Actions, and what is compatible with it.
    GitHub,
    /// GitLab CI.
    GitLab,
    /// Jenkins.
    Jenkins,
    /// A Kubernetes Job.
    Kubernetes,
}
