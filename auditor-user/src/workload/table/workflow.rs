//! Which workflow each process of the table works for: its own environment says so, or that of the nearest ancestor.
//!
//! Asked when a process runs a program, for it may be gone soon, and again when it speaks MCP if too many asked then.

use std::sync::Arc;

use auditor_core::{audit::Workflow, key::ProcessKey};

use super::{
    Table,
    entry::{Asked, Entry},
};
use crate::workload::workflow::{Answer, Workflows};

impl Table {
    /// Has it know which workflows processes work for.
    pub(crate) fn set_workflows(&mut self, workflows: Workflows) {
        self.workflows = Some(workflows);
    }

    /// Has the workflow of a process looked for; false when it is known, or nobody can say.
    pub(super) fn ask_workflow(&self, entry: &Entry) -> bool {
        let Some(workflows) = &self.workflows else {
            return false;
        };
        if entry.workflow.get() == Asked::Not {
            let is_unknown = |key: &ProcessKey| {
                let ancestor = self.find(*key);
                ancestor.is_none_or(|entry| entry.workflow.get() != Asked::Answered)
            };
            let lineage = entry.process.lineage.iter().map(|ancestor| ancestor.key);
            let unknown = lineage.take_while(is_unknown);
            let asked = std::iter::once(entry.process.key).chain(unknown).collect();
            if workflows.ask(asked) {
                entry.workflow.set(Asked::Waiting);
            }
        }
        entry.workflow.get() == Asked::Waiting
    }

    /// Takes in which workflows processes were found to work for.
    pub(super) fn take_workflows(&mut self) {
        while let Some(answer) = self.workflows.as_ref().and_then(Workflows::take_answer) {
            self.take_workflow(answer);
        }
    }

    pub(super) fn take_workflow(&mut self, answer: Answer) {
        // Those behind the last are known: their workflow is the last's, unless it bears one itself.
        let mut outer = answer.last().and_then(|(last, _)| {
            let last = self.find(*last)?;
            let parent = self.find(last.process.lineage.first()?.key)?;
            parent.process.workflow.clone()
        });
        for (process, own) in answer.into_iter().rev() {
            // What it worked for before it ran this program, or was born with, it works for still.
            let before = self.find(process);
            let before = before.and_then(|entry| entry.process.workflow.clone());
            let known = before.or(outer);
            let workflow = match (own, known) {
                (Some(own), Some(known)) if own.says_the_same(&known) => Some(known),
                (Some(own), _) => Some(Arc::new(own)),
                (None, known) => known,
            };
            if let Some(entry) = self.find_mut(process) {
                entry.workflow.set(Asked::Answered);
                if entry.process.workflow != workflow {
                    Arc::make_mut(&mut entry.process).workflow = workflow.clone();
                }
                entry.show_job();
            }
            outer = workflow;
        }
    }
}

impl Entry {
    /// Has the process show the Kubernetes Job that its pod is of.
    pub(super) fn show_job(&mut self) {
        let workload = self.process.workload.as_deref();
        let Some(pod) = workload.and_then(|workload| workload.pod.as_ref()) else {
            return;
        };
        let known = self.process.workflow.as_deref();
        let job = Workflow::in_pod(known, pod, self.process.key);
        if let Some(job) = job
            && known != Some(&job)
        {
            Arc::make_mut(&mut self.process).workflow = Some(Arc::new(job));
        }
    }
}
