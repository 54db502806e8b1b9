//! What is found out aside about processes: asks for it, and takes the answers in.

use std::sync::Arc;

use auditor_core::audit::Process;

use super::{
    Table,
    entry::{Asked, Entry},
};
use crate::workload::{
    hash::{FileId, Hasher},
    program::Programs,
    spire::Spire,
};

impl Table {
    /// Takes in what was found out aside.
    pub(crate) fn take_answers(&mut self) {
        self.take_hashes();
        self.take_workloads();
        self.take_programs();
        self.take_attestations();
        self.take_workflows();
    }

    /// Takes in who processes are by the word of SPIRE's agent.
    fn take_attestations(&mut self) {
        let answers = self.spire.as_mut().map(Spire::take_answers);
        for answer in answers.into_iter().flatten() {
            // Who runs another program by now waits for another answer.
            if let Some(entry) = self.find_mut(answer.process)
                && entry.file == Some(answer.program)
            {
                entry.attestation.set(Asked::Answered);
                if let Ok(told) = answer.told {
                    Arc::make_mut(&mut entry.process).attestation = told;
                }
            }
        }
    }

    /// Takes in what interpreters were found to run.
    fn take_programs(&mut self) {
        while let Some((key, program)) = self.programs.as_ref().and_then(Programs::take_answer) {
            // Who runs another program by now waits for another answer.
            if let Some(entry) = self.find_mut(key)
                && Programs::is_of(&entry.process, &program)
            {
                entry.program.set(Asked::Answered);
                Arc::make_mut(&mut entry.process).program = Some(program);
            }
        }
    }

    /// Takes in what containers were found to be.
    fn take_workloads(&mut self) {
        let changed = self.containers.take_answers();
        if changed.is_empty() {
            return;
        }
        for entry in self.known.values_mut() {
            if entry
                .container
                .as_ref()
                .is_some_and(|container| changed.contains(container))
            {
                entry.show_workload(&self.containers);
                // A program that was gone before it could be hashed may be found in the container's layers now.
                let (Some(file), None) = (entry.file, entry.process.exe_sha256) else {
                    continue;
                };
                let place = entry.place(&self.containers);
                if let Some(hash) = self
                    .hasher
                    .as_mut()
                    .and_then(|hasher| hasher.get(file, place))
                {
                    Arc::make_mut(&mut entry.process).exe_sha256 = Some(hash);
                }
            }
        }
    }

    /// Takes in hashes that were finished.
    fn take_hashes(&mut self) {
        let finished = self
            .hasher
            .as_mut()
            .map(Hasher::finished)
            .unwrap_or_default();
        if finished.is_empty() {
            return;
        }
        let take = |process: &mut Arc<Process>, of: Option<FileId>| {
            if process.exe_sha256.is_some() {
                return;
            }
            let hash = finished.iter().find(|(file, _)| Some(*file) == of);
            if let Some((_, hash)) = hash {
                Arc::make_mut(process).exe_sha256 = Some(*hash);
            }
        };
        for entry in self.known.values_mut() {
            take(&mut entry.process, entry.file);
            for past in &mut entry.past {
                take(&mut past.process, past.file);
            }
        }
    }

    /// Has the hash of a program computed before others', for an event waits for it; false when none is being computed.
    pub(super) fn hurry(&self, entry: &Entry) -> bool {
        let (Some(file), Some(hasher)) = (entry.file, &self.hasher) else {
            return false;
        };
        let is_wanted = hasher.is_wanted(file);
        if is_wanted {
            hasher.hurry(file, entry.place(&self.containers));
        }
        is_wanted
    }

    /// Has the script looked for that a process runs, for it speaks MCP; false when that is known, or there is none.
    pub(super) fn ask_program(&self, entry: &Entry) -> bool {
        if entry.program.get() == Asked::Not {
            let programs = self.programs.as_ref();
            let is_asked = programs.is_some_and(|programs| programs.ask(&entry.process));
            entry.program.set(if is_asked {
                Asked::Waiting
            } else {
                Asked::Answered
            });
        }
        entry.program.get() == Asked::Waiting
    }

    /// Has SPIRE's agent asked who a process is, for it speaks MCP; false when that is known, or nobody is asked.
    pub(super) fn ask_spire(&self, entry: &Entry) -> bool {
        let (Some(spire), Some(file)) = (&self.spire, entry.file) else {
            return false;
        };
        if entry.attestation.get() == Asked::Not && spire.ask(entry.process.key, file) {
            entry.attestation.set(Asked::Waiting);
        }
        // What is known stays in force while it is asked for again.
        entry.attestation.get() == Asked::Waiting && entry.process.attestation.is_none()
    }
}
