//! One process of the table: what it is, what it was before it ran another program, what is being found out of it.
//!
//! Bound: [`PROGRAMS`] programs that it ran before.

use std::{cell::Cell, sync::Arc};

use auditor_core::{audit::Process, key::Time};

use super::super::{
    containers::Containers,
    hash::{FileId, Place},
};

/// Programs remembered of one process, beside the one it runs.
const PROGRAMS: usize = 4;

/// A process of the table.
pub(super) struct Entry {
    pub(super) process: Arc<Process>,
    pub(super) file: Option<FileId>,
    /// What it was until it ran another program; events of that time may still come.
    pub(super) past: Vec<Past>,
    /// The container that it is in, by the path of the container's cgroup.
    pub(super) container: Option<Arc<str>>,
    pub(super) is_dead: bool,
    /// Whether the script that it runs is being looked for, or was.
    pub(super) program: Cell<Asked>,
    /// Whether an agent is being asked who it is, or was.
    pub(super) attestation: Cell<Asked>,
    /// The same of the workflow that it works for.
    pub(super) workflow: Cell<Asked>,
}

/// What a process was until a time.
pub(super) struct Past {
    pub(super) until: Time,
    pub(super) process: Arc<Process>,
    pub(super) file: Option<FileId>,
}

/// How far a question has come.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) enum Asked {
    #[default]
    Not,
    Waiting,
    Answered,
}

impl Entry {
    /// What it was at a time.
    pub(super) fn at(&self, time: Time) -> &Arc<Process> {
        let past = self.past.iter().find(|past| time < past.until);
        past.map_or(&self.process, |past| &past.process)
    }

    /// Has an agent asked anew who it is, when it speaks MCP next; gives until when what is known stays in force.
    pub(super) fn ask_again(&mut self, now: Time) -> Option<Time> {
        self.attestation.set(Asked::Not);
        let expires = self.process.attestation.as_ref()?.expires;
        if expires > now {
            return Some(expires);
        }
        Arc::make_mut(&mut self.process).attestation = None;
        None
    }

    /// What it was, the program included that it leaves at `until`.
    pub(super) fn leave(&mut self, until: Time) -> Vec<Past> {
        let mut past = std::mem::take(&mut self.past);
        if past.len() == PROGRAMS {
            past.remove(0);
        }
        past.push(Past {
            until,
            process: Arc::clone(&self.process),
            file: self.file,
        });
        past
    }

    /// Where its program may be found.
    pub(super) fn place(&self, containers: &Containers) -> Place {
        let container = self.container.as_deref();
        let parent = self.process.lineage.first();
        Place {
            pid: self.process.key.pid,
            parent: parent.map_or(0, |parent| parent.key.pid),
            path: self.process.exe.clone(),
            layers: container
                .map(|path| containers.layers(path))
                .unwrap_or_default(),
        }
    }

    /// Has the process show what its container is known to be.
    pub(super) fn show_workload(&mut self, containers: &Containers) {
        let path = self.container.as_deref();
        let workload = path.and_then(|path| containers.workload(path, self.is_dead));
        if workload == self.process.workload {
            return;
        }
        let process = Arc::make_mut(&mut self.process);
        let container = workload
            .as_ref()
            .and_then(|workload| workload.container.as_ref());
        process.container = container.map(|container| container.id.clone());
        process.workload = workload;
        self.show_job();
    }
}
