//! Which files a process has mapped to execute them: asked in a thread of its own, answered from memory afterwards.
//!
//! Reading the list may wait for the process; the daemon's loop never does. Bounds: [`QUESTIONS`] that wait,
//! [`PROCESSES`] whose files are remembered, [`FIRST`] files of a process that it was the first to map.

use std::{
    collections::{HashMap, VecDeque},
    io,
    sync::mpsc::{Receiver, SyncSender, sync_channel},
    thread,
};

use auditor_core::{key::ProcessKey, tls::Obstacle};
use procfs::process::{MMPermissions, Process};

use super::{
    obstacle::{Times, judge},
    stacks::{FileKey, Stacks},
};
use crate::workload::TICK;

/// Questions that wait.
const QUESTIONS: usize = 1_024;
/// Processes whose files are remembered.
const PROCESSES: usize = 4_096;
/// Files of a process that nobody mapped before.
const FIRST: usize = 64;

/// What a look at a process gave; `None` when it was gone.
type Answer = (ProcessKey, Option<Vec<FileKey>>);

/// What the daemon knows of its processes' TLS libraries.
pub(crate) struct Knowledge {
    stacks: Stacks,
    questions: SyncSender<ProcessKey>,
    answers: Receiver<Answer>,
    files: Recent<Option<Vec<FileKey>>>,
    /// What the kernel side told of files that were new.
    first: Recent<Vec<FileKey>>,
    /// When the auditor was ready, nanoseconds since boot.
    ready: u64,
}

impl Knowledge {
    /// Starts the thread that looks.
    ///
    /// # Errors
    /// When it cannot be started.
    pub(crate) fn start(stacks: Stacks, ready: u64) -> io::Result<Self> {
        let (questions, waiting) = sync_channel(QUESTIONS);
        let (teller, answers) = sync_channel::<Answer>(QUESTIONS);
        thread::Builder::new()
            .name("look".to_owned())
            .spawn(move || {
                while let Ok(key) = waiting.recv() {
                    if teller.send((key, files_of(key))).is_err() {
                        return;
                    }
                }
            })?;
        Ok(Self {
            stacks,
            questions,
            answers,
            files: Recent::default(),
            first: Recent::default(),
            ready,
        })
    }

    /// Has a process looked at.
    pub(crate) fn ask(&mut self, process: ProcessKey) {
        if self.questions.try_send(process).is_err() {
            self.files.set(process, None);
        }
    }

    /// Takes in what was found out.
    pub(crate) fn take_answers(&mut self) {
        while let Ok((process, files)) = self.answers.try_recv() {
            self.files.set(process, files);
        }
    }

    /// Notes that a process was the first to execute or map a file.
    pub(crate) fn note_first(&mut self, process: ProcessKey, file: FileKey) {
        let mut files = self.first.get(process).cloned().unwrap_or_default();
        if files.len() < FIRST && !files.contains(&file) {
            files.push(file);
            self.first.set(process, files);
        }
    }

    /// Why a connection of a process that began then, nanoseconds since boot, was not heard; `None` while the process
    /// is being looked at.
    pub(crate) fn obstacle(&self, process: ProcessKey, begun: u64) -> Option<Obstacle> {
        let looked = self.files.get(process)?;
        let is_all = looked.is_some();
        let first = self.first.get(process).into_iter().flatten();
        let keys = looked.iter().flatten().chain(first);
        let known: Vec<_> = keys.filter_map(|key| self.stacks.get(*key)).collect();
        let times = Times {
            begun,
            ready: self.ready,
        };
        Some(judge(known.iter().map(AsRef::as_ref), times, is_all))
    }

    /// What is known of files.
    pub(crate) fn stacks(&self) -> &Stacks {
        &self.stacks
    }
}

/// The executable files of a process; `None` when it is gone.
fn files_of(key: ProcessKey) -> Option<Vec<FileKey>> {
    let process = Process::new(i32::try_from(key.pid).ok()?).ok()?;
    let files = mapped(&process)?;
    // Read afterwards: the pid may have been given to another meanwhile.
    let start = process.stat().ok()?.starttime;
    (start == key.start / TICK).then(|| files.into_iter().map(|(file, _)| file).collect())
}

/// The files that a process has mapped to execute them, with their paths; `None` when it is gone.
pub(crate) fn mapped(process: &Process) -> Option<Vec<(FileKey, String)>> {
    let maps = process.maps().ok()?;
    let mut files: Vec<(FileKey, String)> = Vec::new();
    for map in maps {
        if map.inode == 0 || !map.perms.contains(MMPermissions::EXECUTE) {
            continue;
        }
        let (major, minor) = map.dev;
        let key = FileKey::numbered(map.inode, major.try_into().ok()?, minor.try_into().ok()?);
        if files.iter().all(|(known, _)| *known != key) {
            let path = match map.pathname {
                procfs::process::MMapPath::Path(path) => path.display().to_string(),
                _ => String::new(),
            };
            files.push((key, path));
        }
    }
    // The kernel lists nothing of a process that has ended.
    (!files.is_empty()).then_some(files)
}

/// Values by process; beyond [`PROCESSES`] the one set first is forgotten.
struct Recent<T> {
    values: HashMap<ProcessKey, T>,
    order: VecDeque<ProcessKey>,
}

impl<T> Default for Recent<T> {
    fn default() -> Self {
        Self {
            values: HashMap::new(),
            order: VecDeque::new(),
        }
    }
}

impl<T> Recent<T> {
    fn get(&self, key: ProcessKey) -> Option<&T> {
        self.values.get(&key)
    }

    fn set(&mut self, key: ProcessKey, value: T) {
        if self.values.insert(key, value).is_none() {
            self.order.push_back(key);
        }
        if self.order.len() > PROCESSES
            && let Some(oldest) = self.order.pop_front()
        {
            self.values.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_running_process_tells_its_files() {
        let process = Process::myself().unwrap();
        let own = FileKey::of(&std::fs::metadata("/proc/self/exe").unwrap());
        let files = mapped(&process).unwrap();
        assert!(
            files
                .iter()
                .any(|(key, path)| key.inode == own.inode && !path.is_empty())
        );
        let start = process.stat().unwrap().starttime * TICK + 1;
        let key = ProcessKey {
            pid: std::process::id(),
            start,
        };
        assert!(files_of(key).is_some());
        let reused = ProcessKey {
            start: start + TICK,
            ..key
        };
        assert_eq!(files_of(reused), None);
    }

    #[test]
    fn values_are_forgotten_in_the_order_they_came() {
        let mut recent = Recent::default();
        let key = |pid| ProcessKey { pid, start: 0 };
        for pid in 0..=PROCESSES as u32 {
            recent.set(key(pid), pid);
            recent.set(key(pid), pid);
        }
        assert_eq!(recent.get(key(0)), None);
        assert_eq!(recent.get(key(PROCESSES as u32)), Some(&(PROCESSES as u32)));
        assert_eq!(recent.values.len(), recent.order.len());
    }
}
