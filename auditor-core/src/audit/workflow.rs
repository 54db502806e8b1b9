//! Which workflow an interaction belongs to: reads it off a process's environment and a pod's labels, follows it along
//! chains.
//!
//! What a process's variables say is its own word: it is told as claimed, and names nobody. It is proven only where a
//! verified token names the same run. Reads no file. Bounds: [`VALUE`] bytes of each variable, [`PROVEN`] proofs.

use std::{collections::HashSet, sync::Arc};

use super::{
    workload::{Pod, Workflow, WorkflowSystem},
    world::World,
};
use crate::{
    identity::{Credential, Verdict},
    key::{Actor, ProcessKey},
};

/// Bytes kept of one value.
const VALUE: usize = 256;
/// Proofs remembered; beyond it all are forgotten, and made anew by the next token.
const PROVEN: usize = 1_024;

/// Labels of the pods of a Kubernetes Job: its name and its uid, the older names behind the newer.
const JOB_NAME: [&str; 2] = ["batch.kubernetes.io/job-name", "job-name"];
const JOB_UID: [&str; 2] = ["batch.kubernetes.io/controller-uid", "controller-uid"];

/// The variables that are looked at; all others are passed over.
const NAMES: [&str; 26] = [
    "GITHUB_ACTIONS",
    "GITHUB_REPOSITORY",
    "GITHUB_WORKFLOW",
    "GITHUB_WORKFLOW_REF",
    "GITHUB_RUN_ID",
    "GITHUB_RUN_ATTEMPT",
    "GITHUB_JOB",
    "GITHUB_ACTOR",
    "GITHUB_SHA",
    "GITHUB_REF",
    "RUNNER_NAME",
    "GITLAB_CI",
    "CI_PROJECT_PATH",
    "CI_PIPELINE_ID",
    "CI_JOB_ID",
    "CI_JOB_NAME",
    "CI_COMMIT_SHA",
    "CI_COMMIT_REF_NAME",
    "CI_RUNNER_ID",
    "GITLAB_USER_LOGIN",
    "JENKINS_URL",
    "JOB_NAME",
    "BUILD_NUMBER",
    "BUILD_TAG",
    "NODE_NAME",
    "GIT_COMMIT",
];
/// Set in the pods of a Job whose completions are counted.
const INDEX: &str = "JOB_COMPLETION_INDEX";

impl Workflow {
    /// Reads the environment of a process, as `/proc/PID/environ` has it. `None` where it tells of no workflow.
    pub fn read(environment: &[u8], source: ProcessKey) -> Option<Self> {
        let mut values: [Option<&[u8]>; NAMES.len()] = [None; NAMES.len()];
        let mut index = None;
        for variable in environment.split(|byte| *byte == 0) {
            let mut parts = variable.splitn(2, |byte| *byte == b'=');
            let (Some(name), Some(value)) = (parts.next(), parts.next()) else {
                continue;
            };
            // The first of two counts, as it does for getenv.
            if name == INDEX.as_bytes() {
                index = index.or(Some(value));
            } else if let Some(at) = NAMES.iter().position(|one| one.as_bytes() == name)
                && let Some(known) = values.get_mut(at)
            {
                *known = known.or(Some(value));
            }
        }
        let value = |name: &str| {
            let at = NAMES.iter().position(|one| *one == name)?;
            text(values.get(at).copied().flatten()?)
        };
        let is_jenkins = || {
            let tag = value("BUILD_TAG");
            value("JENKINS_URL").is_some() || tag.is_some_and(|tag| tag.starts_with("jenkins-"))
        };
        let index = index.and_then(text);
        Some(
            if value("GITHUB_ACTIONS").is_some_and(|value| value == "true") {
                Self {
                    repository: value("GITHUB_REPOSITORY"),
                    workflow: value("GITHUB_WORKFLOW"),
                    workflow_ref: value("GITHUB_WORKFLOW_REF"),
                    run: value("GITHUB_RUN_ID"),
                    attempt: value("GITHUB_RUN_ATTEMPT"),
                    job: value("GITHUB_JOB"),
                    actor: value("GITHUB_ACTOR"),
                    revision: value("GITHUB_SHA"),
                    reference: value("GITHUB_REF"),
                    runner: value("RUNNER_NAME"),
                    ..Self::of(WorkflowSystem::GitHub, source)
                }
            } else if value("GITLAB_CI").is_some() {
                Self {
                    repository: value("CI_PROJECT_PATH"),
                    run: value("CI_PIPELINE_ID"),
                    job: value("CI_JOB_NAME"),
                    job_id: value("CI_JOB_ID"),
                    actor: value("GITLAB_USER_LOGIN"),
                    revision: value("CI_COMMIT_SHA"),
                    reference: value("CI_COMMIT_REF_NAME"),
                    runner: value("CI_RUNNER_ID"),
                    ..Self::of(WorkflowSystem::GitLab, source)
                }
            } else if is_jenkins() {
                Self {
                    workflow: value("JOB_NAME"),
                    run: value("BUILD_NUMBER"),
                    revision: value("GIT_COMMIT"),
                    runner: value("NODE_NAME"),
                    ..Self::of(WorkflowSystem::Jenkins, source)
                }
            } else {
                Self {
                    index: Some(index?),
                    ..Self::of(WorkflowSystem::Kubernetes, source)
                }
            },
        )
    }

    /// The same with what a pod's labels say of its Job, where no other system runs it.
    pub fn in_pod(known: Option<&Self>, pod: &Pod, process: ProcessKey) -> Option<Self> {
        if known.is_some_and(|known| known.system != WorkflowSystem::Kubernetes) {
            return None;
        }
        let label = |names: [&str; 2]| {
            let mut found = names.into_iter().filter_map(|name| {
                let mut labels = pod.labels.iter();
                labels.find(|(label, _)| label == name)
            });
            text(found.next()?.1.as_bytes())
        };
        let job = label(JOB_NAME)?;
        let base = known
            .cloned()
            .unwrap_or_else(|| Self::of(WorkflowSystem::Kubernetes, process));
        Some(Self {
            job: Some(job),
            run: label(JOB_UID),
            ..base
        })
    }

    /// Whether another says the same, whoever bears it.
    pub fn says_the_same(&self, other: &Self) -> bool {
        let source = self.source;
        *self
            == Self {
                source,
                ..other.clone()
            }
    }

    fn of(system: WorkflowSystem, source: ProcessKey) -> Self {
        Self {
            system,
            repository: None,
            workflow: None,
            workflow_ref: None,
            run: None,
            attempt: None,
            job: None,
            job_id: None,
            index: None,
            actor: None,
            revision: None,
            reference: None,
            runner: None,
            source,
        }
    }
}

/// A value, cut; `None` where it is empty.
fn text(value: &[u8]) -> Option<String> {
    let cut = value.get(..VALUE).unwrap_or(value);
    let mut text = String::from_utf8_lossy(cut).into_owned();
    while text.len() > VALUE {
        // What stands for a broken character is longer than it.
        text.pop();
    }
    (!text.is_empty()).then_some(text)
}

/// The workflow of an interaction.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Origin {
    /// The workflow.
    pub workflow: Arc<Workflow>,
    /// Whether a verified token named the same run.
    pub is_proven: bool,
}

/// Remembers which workflows were proven.
#[derive(Debug, Default)]
pub(super) struct Origins {
    /// By the process that showed the token.
    proven: HashSet<(ProcessKey, String)>,
}

impl Origins {
    /// The workflow of an interaction: of the one nearest to the beginning of its chain that has one.
    ///
    /// `askers` are those who asked the interactions of its chain, its own first.
    pub(super) fn of(
        &self,
        askers: impl Iterator<Item = Actor>,
        world: &impl World,
    ) -> Option<Origin> {
        let borne = askers.filter_map(|asker| {
            let process = world.process(asker.process)?;
            Some((asker.process, Arc::clone(process.workflow.as_ref()?)))
        });
        let (process, workflow) = borne.last()?;
        let run = workflow.run.clone();
        Some(Origin {
            is_proven: run.is_some_and(|run| self.proven.contains(&(process, run))),
            workflow,
        })
    }

    /// Takes what a process showed.
    pub(super) fn handle_credential(
        &mut self,
        credential: &Credential,
        process: ProcessKey,
        workflow: &Workflow,
    ) {
        let claims = credential.claims.as_ref();
        let Some(token) = claims.and_then(|claims| claims.github.as_ref()) else {
            return;
        };
        let Some(run) = workflow.run.clone().filter(|_| {
            credential.verdict == Verdict::Valid && workflow.system == WorkflowSystem::GitHub
        }) else {
            return;
        };
        let is_same = token.run_id.as_ref() == Some(&run)
            && token.repository.is_some()
            && token.repository == workflow.repository;
        if !is_same {
            return;
        }
        if self.proven.len() >= PROVEN {
            self.proven.clear();
        }
        self.proven.insert((process, run));
    }
}

/// Any bytes as an environment: for the fuzz target. Not part of the product.
pub fn fuzz_environment(input: &[u8]) {
    let Some(workflow) = Workflow::read(input, ProcessKey::default()) else {
        return;
    };
    assert!(workflow.says_the_same(&workflow.clone()));
    let Workflow {
        repository,
        workflow,
        workflow_ref,
        run,
        attempt,
        job,
        job_id,
        index,
        actor,
        revision,
        reference,
        runner,
        system: _,
        source: _,
    } = workflow;
    let texts = [
        repository,
        workflow,
        workflow_ref,
        run,
        attempt,
        job,
        job_id,
        index,
        actor,
        revision,
        reference,
        runner,
    ];
    let mut texts = texts.into_iter().flatten();
    assert!(texts.all(|text| text.len() <= VALUE && !text.is_empty()));
}

#[cfg(test)]
#[path = "workflow_tests.rs"]
mod tests;
