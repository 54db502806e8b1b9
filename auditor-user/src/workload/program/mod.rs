//! What an interpreter runs: its script, and the package that the script comes from.
//!
//! The script is in the process's arguments; the package is looked for on a thread of its own, only for processes that
//! speak MCP. Bounds: [`QUEUE`] questions wait, [`KNOWN`] packages are remembered.

mod package;
mod script;

use std::{
    collections::HashMap,
    fs::File,
    io,
    sync::{
        Arc,
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread,
};

use auditor_core::{
    audit::{Process, Program},
    key::ProcessKey,
};

use self::{
    package::{Package, Place},
    script::Script,
};
use super::{hash::FileId, proc};

/// Questions that wait.
const QUEUE: usize = 1_024;
/// Packages remembered, by the file of the script.
const KNOWN: usize = 1_024;

/// Finds out what interpreters run.
pub(crate) struct Programs {
    questions: SyncSender<Question>,
    answers: Receiver<(ProcessKey, Arc<Program>)>,
}

struct Question {
    process: ProcessKey,
    parent: Option<ProcessKey>,
    script: Script,
}

impl Programs {
    /// Starts the thread.
    ///
    /// # Errors
    /// When it cannot be started.
    pub(crate) fn start() -> io::Result<Self> {
        let (questions, asked) = sync_channel::<Question>(QUEUE);
        let (teller, answers) = sync_channel(QUEUE);
        thread::Builder::new()
            .name("programs".to_owned())
            .spawn(move || {
                let mut known = Known::default();
                for question in asked {
                    let program = known.program(&question);
                    if teller.send((question.process, Arc::new(program))).is_err() {
                        return;
                    }
                }
            })?;
        Ok(Self { questions, answers })
    }

    /// Asks what a process runs; false when that is nothing, or too many ask.
    pub(super) fn ask(&self, process: &Process) -> bool {
        let Some(script) = script::of(process) else {
            return false;
        };
        let question = Question {
            process: process.key,
            parent: process.lineage.first().map(|parent| parent.key),
            script,
        };
        self.questions.try_send(question).is_ok()
    }

    /// Whether an answer is still of what a process runs.
    pub(super) fn is_of(process: &Process, program: &Program) -> bool {
        script::of(process).map(|script| script.shown()) == program.script
    }

    /// The next answer.
    pub(super) fn take_answer(&self) -> Option<(ProcessKey, Arc<Program>)> {
        self.answers.try_recv().ok()
    }
}

/// Packages by the file of the script, and by the module for those that are run by their name.
#[derive(Default)]
struct Known(HashMap<(FileId, Option<String>), Option<Package>>);

impl Known {
    fn program(&mut self, question: &Question) -> Program {
        let package = self.package(question);
        let ecosystem = package.as_ref().map(|package| package.ecosystem);
        let (name, version) = package
            .map(|package| (package.name, package.version))
            .unzip();
        Program {
            script: Some(question.script.shown()),
            package: name,
            version: version.flatten(),
            ecosystem,
        }
    }

    fn package(&mut self, question: &Question) -> Option<Package> {
        let place = Place::of(question.process).or_else(|| {
            // Who is gone is looked for where its parent is, by a whole path only.
            question
                .parent
                .filter(|_| question.script.is_absolute())
                .and_then(Place::of)
        })?;
        let file = place.open(question.script.file())?;
        let id = (
            FileId::of(&file)?,
            question.script.module().map(str::to_owned),
        );
        if let Some(known) = self.0.get(&id) {
            return known.clone();
        }
        let found = package::find(&place, &question.script);
        if self.0.len() >= KNOWN {
            self.0.clear();
        }
        self.0.insert(id, found.clone());
        found
    }
}

impl Place {
    /// The root and the working folder of a process.
    fn of(process: ProcessKey) -> Option<Self> {
        let open = |name: &str| File::open(format!("/proc/{}/{name}", process.pid)).ok();
        let (root, cwd) = (open("root")?, open("cwd")?);
        // They were opened by pid: only now it is known whose they are.
        proc::is_same(process).then_some(Self { root, cwd })
    }
}

#[cfg(test)]
mod tests;
