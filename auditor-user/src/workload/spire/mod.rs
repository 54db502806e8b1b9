//! Who a process is by the word of SPIRE's agent, which attests it by its pid (the Delegated Identity API).
//!
//! Asked on a thread of its own, only for processes that speak MCP. An answer counts only for the process and the program
//! that were there before the question and after the answer. Private keys are never asked for. Bound: [`QUEUE`] questions
//! wait; one that finds no room is asked with the next event.

mod agent;

use std::{
    collections::BTreeSet,
    fs::File,
    io,
    sync::{
        Arc,
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread,
    time::Duration,
};

use auditor_core::{
    identity::Attestation,
    key::{ProcessKey, Time},
};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{Pid, PidfdFlags, pidfd_open},
};

use self::agent::Agent;
use super::{hash::FileId, proc};
use crate::{capture::Clock, config};

/// Questions that wait.
const QUEUE: usize = 1_024;
/// After how long a process is asked about again that goes on speaking MCP: its registration may have changed.
const AGAIN: Duration = Duration::from_secs(60);
/// The same where the agent does not say who it is.
const UNREACHABLE: Duration = Duration::from_secs(5);

/// Asks SPIRE's agent who processes are.
pub(crate) struct Spire {
    questions: SyncSender<Question>,
    answers: Receiver<Answer>,
    /// When what is known of a process is to be looked at again.
    due: BTreeSet<(Time, ProcessKey)>,
}

/// Who a process is, while it runs this program.
#[derive(Clone, Copy)]
struct Question {
    process: ProcessKey,
    program: FileId,
}

/// What the agent said.
pub(super) struct Answer {
    pub(super) process: ProcessKey,
    pub(super) program: FileId,
    /// An error where the agent said nothing: after how long it is to be asked again.
    pub(super) told: Result<Told, Duration>,
}

/// Who a process is; `None` where it is registered as nobody.
pub(super) type Told = Option<Arc<Attestation>>;

impl Spire {
    /// Starts the thread.
    ///
    /// # Errors
    /// When it cannot be started.
    pub(crate) fn start(config: &config::Spire) -> io::Result<Self> {
        let (questions, asked) = sync_channel::<Question>(QUEUE);
        let (teller, answers) = sync_channel(QUEUE);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let mut agent = Agent::new(config.clone());
        thread::Builder::new()
            .name("spire".to_owned())
            .spawn(move || {
                for Question { process, program } in asked {
                    let told = runtime.block_on(attest(&mut agent, process, program));
                    let answer = Answer {
                        process,
                        program,
                        told,
                    };
                    if teller.send(answer).is_err() {
                        return;
                    }
                }
            })?;
        Ok(Self {
            questions,
            answers,
            due: BTreeSet::new(),
        })
    }

    /// Asks who a process is; false when too many ask.
    pub(super) fn ask(&self, process: ProcessKey, program: FileId) -> bool {
        self.questions
            .try_send(Question { process, program })
            .is_ok()
    }

    /// What the agent said since the last call. It is to be asked again after a while.
    pub(super) fn take_answers(&mut self) -> Vec<Answer> {
        let answers: Vec<Answer> = self.answers.try_iter().collect();
        if !answers.is_empty() {
            let now = Clock::read().now();
            for answer in &answers {
                let wait = answer.told.as_ref().err().copied().unwrap_or(AGAIN);
                let again = now.after(u64::try_from(wait.as_nanos()).unwrap_or(u64::MAX));
                self.due.insert((again, answer.process));
            }
        }
        answers
    }

    /// Has a process be due at a time.
    pub(super) fn look_again(&mut self, process: ProcessKey, time: Time) {
        self.due.insert((time, process));
    }

    /// The next process that is due.
    pub(super) fn take_due(&mut self, now: Time) -> Option<ProcessKey> {
        let (time, process) = *self.due.first().filter(|(time, _)| *time <= now)?;
        self.due.remove(&(time, process));
        Some(process)
    }
}

/// Asks about a process that lives, and runs this program, all the while.
async fn attest(agent: &mut Agent, process: ProcessKey, program: FileId) -> Result<Told, Duration> {
    let pid = i32::try_from(process.pid).ok().and_then(Pid::from_raw);
    let held = pid.and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok());
    let runs_it = || {
        let file = File::open(format!("/proc/{}/exe", process.pid)).ok();
        let file = file.and_then(|file| FileId::of(&file));
        file.is_some_and(|file| is_same_file(file, program)) && proc::is_same(process)
    };
    let Some(held) = held.filter(|_| runs_it()) else {
        return Ok(None);
    };
    let told = agent.ask(process.pid, Clock::read().now()).await;
    // Its pid was nobody else's if it has not ended; the file tells that it runs no other program.
    let is_same = runs_it() && {
        let mut fds = [PollFd::new(&held, PollFlags::IN)];
        poll(&mut fds, Some(&Timespec::default())).is_ok_and(|ended| ended == 0)
    };
    if is_same { told } else { Ok(None) }
}

/// Whether two names are of one file: an overlay has other devices by `stat` than by the kernel.
fn is_same_file(one: FileId, other: FileId) -> bool {
    let of = |file: FileId| (file.inode, file.size, file.ctime);
    of(one) == of(other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_due_comes_in_order_and_once() {
        let config = config::Spire {
            socket: "/nowhere".into(),
            audience: vec!["a".into()],
        };
        let mut spire = Spire::start(&config).unwrap();
        let key = |pid| ProcessKey { pid, start: 1 };
        spire.look_again(key(1), Time(20));
        spire.look_again(key(2), Time(10));
        assert_eq!(spire.take_due(Time(5)), None);
        assert_eq!(spire.take_due(Time(30)), Some(key(2)));
        assert_eq!(spire.take_due(Time(30)), Some(key(1)));
        assert_eq!(spire.take_due(Time(30)), None);
    }

    #[test]
    fn a_process_that_is_gone_or_another_is_nobody_and_an_agent_that_is_gone_says_nothing() {
        let config = config::Spire {
            socket: "/nowhere".into(),
            audience: vec!["a".into()],
        };
        let mut spire = Spire::start(&config).unwrap();
        let file = File::open("/proc/self/exe").unwrap();
        let program = FileId::of(&file).unwrap();
        let (me, _, _) = proc::read(std::process::id(), Time(0)).unwrap();
        let other = ProcessKey {
            start: me.key.start + proc::TICK,
            ..me.key
        };
        assert!(spire.ask(other, program));
        assert!(spire.ask(me.key, program));
        let mut told = Vec::new();
        for _ in 0..2 {
            told.push(spire.answers.recv_timeout(Duration::from_secs(10)).unwrap());
        }
        assert!(matches!(told[0].told, Ok(None)));
        assert!(matches!(told[1].told, Err(wait) if wait == UNREACHABLE));
        assert!(spire.take_answers().is_empty());
    }
}
