//! A finding as an event of its own: what was found, and who is involved. How it is written is in [`super::ocsf`] and
//! [`super::pretty`].

use std::sync::Arc;

use super::{environment::Rendered, settings::Settings};
use crate::{
    identity::{Finding, FindingKind},
    key::Time,
};

/// A finding, to be told.
#[derive(Clone)]
pub struct FindingEvent {
    /// What it was made with.
    pub(super) settings: Arc<Settings>,
    /// Where the host stands, as events show it.
    pub(super) environment: Option<Arc<Rendered>>,
    /// Number among all events within this run.
    pub sequence: u64,
    /// Number among the findings within this run, from 1.
    pub number: u64,
    /// When it was made.
    pub logged: Time,
    /// What was found.
    pub finding: Finding,
}

impl FindingEvent {
    /// Unique for a finding.
    pub fn uid(&self) -> String {
        format!("{}-f{}", self.settings.run, self.number)
    }

    /// Its kind, for programs.
    pub(super) fn code(&self) -> &'static str {
        match self.finding.kind {
            FindingKind::SharedCredential => "shared_credential",
            FindingKind::MisplacedToken => "misplaced_token",
            FindingKind::HijackedSession => "hijacked_session",
            FindingKind::ReplacedProgram => "replaced_program",
            FindingKind::ForbiddenAndDone => "forbidden_and_done",
            FindingKind::PermittedAndRefused => "permitted_and_refused",
        }
    }

    /// Its kind, for people.
    pub(super) fn title(&self) -> &'static str {
        match self.finding.kind {
            FindingKind::SharedCredential => "One credential is used by two workloads",
            FindingKind::MisplacedToken => "A token is used outside the pod it is bound to",
            FindingKind::HijackedSession => "A session is used by a process that did not begin it",
            FindingKind::ReplacedProgram => "A process that speaks MCP runs another program",
            FindingKind::ForbiddenAndDone => "A server did what the policy forbids",
            FindingKind::PermittedAndRefused => "A server refused what the policy permits",
        }
    }

    /// What it means and what to do.
    pub(super) fn description(&self) -> &'static str {
        match self.finding.kind {
            FindingKind::SharedCredential => {
                "The same secret was shown by two workloads. It was copied, or both are meant to share it: a gateway \
                 that passes on its clients' credentials can be named in the configuration."
            }
            FindingKind::MisplacedToken => {
                "The token names another pod, namespace or service account than the workload that shows it has, by \
                 its cgroup."
            }
            FindingKind::HijackedSession => {
                "The id of a session came from a process that is neither the one that named it first nor related to it."
            }
            FindingKind::ReplacedProgram => {
                "The process has executed another file since its last interaction: its identity is no longer the same."
            }
            FindingKind::ForbiddenAndDone => {
                "The policy denies the interaction, and the server answered it. The event tells which policies and why \
                 (`mcp-auditor policy explain`): either the server needs to be kept from it, or the policy mended."
            }
            FindingKind::PermittedAndRefused => {
                "The policy permits the interaction, and the server refused it: the two know different rules."
            }
        }
    }
}
