use std::{ops::Range, sync::Arc};

use super::*;
use crate::{
    audit::{Process, Seen},
    identity::{Claims, GitHub, Scheme},
    key::{ChannelId, Side},
    stream::Channel,
};

const SOURCE: ProcessKey = ProcessKey { pid: 7, start: 8 };

fn read(variables: &[&str]) -> Option<Workflow> {
    Workflow::read(variables.join("\0").as_bytes(), SOURCE)
}

fn github() -> Workflow {
    let variables = [
        "PATH=/usr/bin",
        "GITHUB_ACTIONS=true",
        "GITHUB_REPOSITORY=octo/shop",
        "GITHUB_RUN_ID=16",
        "",
    ];
    read(&variables).unwrap()
}

#[test]
fn each_system_is_told_by_its_own_variables() {
    let github = read(&[
        "GITHUB_ACTIONS=true",
        "GITHUB_REPOSITORY=octo/shop",
        "GITHUB_WORKFLOW=CI",
        "GITHUB_WORKFLOW_REF=octo/shop/.github/workflows/ci.yml@refs/heads/main",
        "GITHUB_RUN_ID=16",
        "GITHUB_RUN_ATTEMPT=2",
        "GITHUB_JOB=test",
        "GITHUB_ACTOR=mona",
        "GITHUB_SHA=ffac",
        "GITHUB_REF=refs/heads/main",
        "RUNNER_NAME=runner-3",
        "GITHUB_TOKEN=secret",
    ]);
    let text = |text: &str| Some(text.to_owned());
    let due = Workflow {
        repository: text("octo/shop"),
        workflow: text("CI"),
        workflow_ref: text("octo/shop/.github/workflows/ci.yml@refs/heads/main"),
        run: text("16"),
        attempt: text("2"),
        job: text("test"),
        actor: text("mona"),
        revision: text("ffac"),
        reference: text("refs/heads/main"),
        runner: text("runner-3"),
        ..Workflow::of(WorkflowSystem::GitHub, SOURCE)
    };
    assert_eq!(github, Some(due));
    let gitlab = read(&[
        "GITLAB_CI=true",
        "CI_PROJECT_PATH=group/shop",
        "CI_PIPELINE_ID=5",
        "CI_JOB_ID=50",
        "CI_JOB_NAME=test",
        "CI_COMMIT_SHA=ffac",
        "CI_COMMIT_REF_NAME=main",
        "CI_RUNNER_ID=9",
        "GITLAB_USER_LOGIN=mona",
    ]);
    let due = Workflow {
        repository: text("group/shop"),
        run: text("5"),
        job: text("test"),
        job_id: text("50"),
        actor: text("mona"),
        revision: text("ffac"),
        reference: text("main"),
        runner: text("9"),
        ..Workflow::of(WorkflowSystem::GitLab, SOURCE)
    };
    assert_eq!(gitlab, Some(due));
    let jenkins = [
        "JOB_NAME=shop/main",
        "BUILD_NUMBER=12",
        "NODE_NAME=agent-1",
        "GIT_COMMIT=ffac",
    ];
    let due = Workflow {
        workflow: text("shop/main"),
        run: text("12"),
        revision: text("ffac"),
        runner: text("agent-1"),
        ..Workflow::of(WorkflowSystem::Jenkins, SOURCE)
    };
    // Others use such names, too.
    assert_eq!(read(&jenkins), None);
    for mark in ["JENKINS_URL=https://ci.test/", "BUILD_TAG=jenkins-shop-12"] {
        assert_eq!(read(&[&jenkins[..], &[mark]].concat()), Some(due.clone()));
    }
}

#[test]
fn what_is_not_said_plainly_is_no_workflow() {
    assert_eq!(read(&[]), None);
    assert_eq!(
        read(&["GITHUB_RUN_ID=16", "CI=true", "GITHUB_ACTIONS"]),
        None
    );
    assert_eq!(read(&["GITHUB_ACTIONS=false", "JENKINS_URL="]), None);
}

#[test]
fn values_are_cut_and_the_first_of_two_counts() {
    let long = format!("GITHUB_REF={}", "\u{fc}".repeat(200));
    let twice = ["GITHUB_ACTIONS=true", "GITHUB_JOB=a", "GITHUB_JOB=b", &long];
    let workflow = read(&twice).unwrap();
    assert_eq!(workflow.job.as_deref(), Some("a"));
    assert_eq!(workflow.reference.unwrap().len(), VALUE);
    let broken = [b"GITHUB_ACTIONS=true\0GITHUB_SHA=".as_slice(), &[0xff; 300]].concat();
    let workflow = Workflow::read(&broken, SOURCE).unwrap();
    assert!(workflow.revision.unwrap().len() <= VALUE);
}

#[test]
fn any_bytes_are_read_within_the_bounds() {
    for input in [
        b"".as_slice(),
        b"\0=\0==\0GITHUB_ACTIONS=true\0GITHUB_JOB=\0",
        b"GITLAB_CI=1\0CI_JOB_ID=\xff\xfe",
        b"JOB_COMPLETION_INDEX=3",
    ] {
        fuzz_environment(input);
    }
}

#[test]
fn a_kubernetes_job_is_named_by_the_labels_of_its_pod() {
    let label = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let pod = Pod {
        labels: vec![
            label("batch.kubernetes.io/controller-uid", "u-1"),
            label("batch.kubernetes.io/job-name", "import"),
        ],
        ..Pod::default()
    };
    let indexed = read(&["JOB_COMPLETION_INDEX=3"]);
    let told = Workflow::in_pod(indexed.as_ref(), &pod, SOURCE).unwrap();
    let text = |text: &str| Some(text.to_owned());
    assert_eq!(told.system, WorkflowSystem::Kubernetes);
    assert_eq!((told.job, told.run), (text("import"), text("u-1")));
    assert_eq!(told.index, text("3"));
    let plain = Workflow::in_pod(None, &pod, SOURCE).unwrap();
    assert_eq!((plain.job, plain.index), (text("import"), None));
    // A runner of another system may itself be a Job.
    assert_eq!(Workflow::in_pod(Some(&github()), &pod, SOURCE), None);
    assert_eq!(Workflow::in_pod(None, &Pod::default(), SOURCE), None);
}

/// Process 1 bears one workflow, 2 another, 3 none.
struct Borne;

impl World for Borne {
    fn process(&self, key: ProcessKey) -> Option<Arc<Process>> {
        let workflow = |run: &str| {
            Arc::new(Workflow {
                run: Some(run.to_owned()),
                ..github()
            })
        };
        let workflow = match key.pid {
            1 => Some(workflow("16")),
            2 => Some(workflow("17")),
            _ => None,
        };
        Some(Arc::new(Process {
            key,
            workflow,
            ..Process::default()
        }))
    }

    fn channel(&self, _id: ChannelId) -> Option<Arc<Channel>> {
        None
    }

    fn seen(&self, _channel: ChannelId, _from: Side, _range: &Range<u64>) -> Seen {
        Seen::default()
    }
}

fn actor(pid: u32) -> Actor {
    Actor {
        process: ProcessKey { pid, start: 1 },
        tid: pid,
    }
}

#[test]
fn the_beginning_of_a_chain_counts_before_the_asker() {
    let run = |pids: &[u32]| {
        let askers = pids.iter().map(|pid| actor(*pid));
        let origin = Origins::default().of(askers, &Borne)?;
        assert!(!origin.is_proven);
        origin.workflow.run.clone()
    };
    assert_eq!(run(&[3, 1]).as_deref(), Some("16"));
    assert_eq!(run(&[2, 1]).as_deref(), Some("16"));
    assert_eq!(run(&[2, 3]).as_deref(), Some("17"));
    assert_eq!(run(&[3]), None);
}

#[test]
fn only_a_verified_token_of_the_same_run_proves_it() {
    let is_proven = |verdict, repository: &str, run: &str| {
        let credential = Credential {
            scheme: Scheme::Bearer,
            hash: "h".into(),
            claims: Some(Claims {
                github: Some(GitHub {
                    repository: Some(repository.to_owned()),
                    workflow_ref: None,
                    run_id: Some(run.to_owned()),
                }),
                ..Claims::default()
            }),
            verdict,
        };
        let mut origins = Origins::default();
        origins.handle_credential(&credential, actor(1).process, &github());
        let origin = origins.of([actor(3), actor(1)].into_iter(), &Borne);
        origin.unwrap().is_proven
    };
    assert!(is_proven(Verdict::Valid, "octo/shop", "16"));
    assert!(!is_proven(Verdict::UnknownKey, "octo/shop", "16"));
    assert!(!is_proven(Verdict::Valid, "octo/other", "16"));
    assert!(!is_proven(Verdict::Valid, "octo/shop", "17"));
}
