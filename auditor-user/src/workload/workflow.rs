//! Reads which workflow processes work for, off their environment, on a thread of its own.
//!
//! Of the environment only what [`Workflow::read`] picks is kept; nothing of it is logged. Bounds: [`QUEUE`] questions
//! wait, [`ENVIRONMENT`] bytes are read of each process.

use std::{
    fs::File,
    io::{self, Read as _},
    sync::mpsc::{Receiver, SyncSender, sync_channel},
    thread,
};

use auditor_core::{audit::Workflow, key::ProcessKey};

use super::proc;

/// Questions that wait.
const QUEUE: usize = 4_096;
/// Bytes read of an environment.
const ENVIRONMENT: u64 = 1 << 20;

/// Finds out which workflow processes work for.
pub(crate) struct Workflows {
    questions: SyncSender<Vec<ProcessKey>>,
    answers: Receiver<Answer>,
}

/// What the environment of a process says, and of its ancestors up to the first that bears a workflow, nearest first.
pub(super) type Answer = Vec<(ProcessKey, Option<Workflow>)>;

impl Workflows {
    /// Starts the thread.
    ///
    /// # Errors
    /// When it cannot be started.
    pub(crate) fn start() -> io::Result<Self> {
        let (questions, asked) = sync_channel::<Vec<ProcessKey>>(QUEUE);
        let (teller, answers) = sync_channel(QUEUE);
        thread::Builder::new()
            .name("workflows".to_owned())
            .spawn(move || {
                let mut buffer = Vec::new();
                for question in asked {
                    if teller.send(answer(&question, &mut buffer)).is_err() {
                        return;
                    }
                }
            })?;
        Ok(Self { questions, answers })
    }

    /// Asks of a process and those of its ancestors that are not known, nearest first; false when too many ask.
    pub(super) fn ask(&self, processes: Vec<ProcessKey>) -> bool {
        self.questions.try_send(processes).is_ok()
    }

    /// The next answer.
    pub(super) fn take_answer(&self) -> Option<Answer> {
        self.answers.try_recv().ok()
    }
}

fn answer(question: &[ProcessKey], buffer: &mut Vec<u8>) -> Answer {
    let mut answer = Answer::new();
    for process in question {
        // Who is gone says nothing, and works for what its parent works for.
        let workflow = read(*process, buffer);
        let is_found = workflow.is_some();
        answer.push((*process, workflow));
        if is_found {
            break;
        }
    }
    answer
}

fn read(process: ProcessKey, buffer: &mut Vec<u8>) -> Option<Workflow> {
    let file = File::open(format!("/proc/{}/environ", process.pid)).ok()?;
    file.take(ENVIRONMENT).read_to_end(buffer).ok();
    let workflow = Workflow::read(buffer, process);
    // The rest of an environment holds secrets.
    buffer.fill(0);
    buffer.clear();
    // It was opened by pid: only now it is known whose it is.
    workflow.filter(|_| proc::is_same(process))
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn the_nearest_that_bears_a_workflow_is_read_and_nothing_of_who_is_gone() {
        let mut child = Command::new("sleep")
            .arg("60")
            .env("GITHUB_ACTIONS", "true")
            .env("GITHUB_RUN_ID", "16")
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let (process, ..) = proc::read(child.id(), auditor_core::key::Time(0)).unwrap();
        let key = process.key;
        let gone = ProcessKey {
            start: key.start + proc::TICK,
            ..key
        };
        let mut buffer = Vec::new();
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
        let told = loop {
            let told = answer(&[gone, key, gone], &mut buffer);
            // A program has no environment for a moment after it was executed.
            if told.len() == 2 || std::time::Instant::now() > deadline {
                break told;
            }
        };
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(told.len(), 2);
        assert_eq!(told[0], (gone, None));
        let workflow = told[1].1.as_ref().unwrap();
        assert_eq!(workflow.run.as_deref(), Some("16"));
        assert_eq!(workflow.source, key);
        assert!(buffer.is_empty());
    }
}
