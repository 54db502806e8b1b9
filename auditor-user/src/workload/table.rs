//! The process table: who is who, also a while after its end.
//!
//! Bound: [`PROCESSES`]; beyond it the dead go first, oldest before newer, then nothing new is taken.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use auditor_core::{
    Processes,
    audit::{Ancestor, Process},
    key::{ProcessKey, Time},
    record::{Birth, Exec, Header, Strings},
};

use super::{
    cgroup::{self, Cgroups},
    hash::{FileId, Hasher},
    proc::{self, TICK},
};

/// Processes remembered, dead ones included.
const PROCESSES: usize = 65_536;
/// Nanoseconds that the dead are remembered.
const MEMORY: u64 = 120_000_000_000;
/// Ancestors of a process that are named.
const LINEAGE: usize = 16;

/// A process by pid and start in clock ticks: as exactly as /proc tells.
type Slot = (u32, u64);

/// The processes of this host.
pub(crate) struct Table {
    known: HashMap<Slot, Entry>,
    /// The dead, in order of their end.
    dead: VecDeque<(Time, Slot)>,
    cgroups: Cgroups,
    hasher: Option<Hasher>,
    boot: Time,
}

struct Entry {
    process: Arc<Process>,
    file: Option<FileId>,
}

impl Table {
    /// An empty table. `boot` is when the host was started; without a hasher no executable is hashed.
    pub(crate) fn new(boot: Time, cgroups: Cgroups, hasher: Option<Hasher>) -> Self {
        Self {
            known: HashMap::new(),
            dead: VecDeque::new(),
            cgroups,
            hasher,
            boot,
        }
    }

    /// Sets when the host was started: in a replay the recording knows.
    pub(crate) fn set_boot(&mut self, boot: Time) {
        self.boot = boot;
    }

    /// Takes in every process that runs now.
    pub(crate) fn fill(&mut self) {
        for pid in proc::pids() {
            self.read(pid);
        }
    }

    /// Number of processes remembered.
    pub(crate) fn len(&self) -> usize {
        self.known.len()
    }

    /// All that are remembered.
    pub(crate) fn processes(&self) -> impl Iterator<Item = &Arc<Process>> {
        self.known.values().map(|entry| &entry.process)
    }

    /// Whether a process is remembered, by its pid and its start since boot.
    pub(crate) fn is_running(&self, pid: u32, start: u64) -> bool {
        self.known.contains_key(&slot(ProcessKey { pid, start }))
    }

    /// Makes sure that the process of a record is known, if it still can be.
    pub(crate) fn ensure(&mut self, header: &Header) {
        let key = key(header);
        if key.pid != 0 && !self.known.contains_key(&slot(key)) {
            self.read(key.pid);
        }
    }

    /// Notes a birth.
    pub(crate) fn handle_fork(&mut self, header: &Header, birth: &Birth) {
        self.ensure(header);
        let child = ProcessKey {
            pid: birth.tgid,
            start: birth.start,
        };
        let Some(parent) = self.known.get(&slot(key(header))) else {
            return;
        };
        let process = Process {
            key: child,
            started: self.boot.after(child.start),
            lineage: lineage(&parent.process),
            ..Process::clone(&parent.process)
        };
        let file = parent.file;
        self.insert(process, file);
    }

    /// Notes that a process runs another program.
    pub(crate) fn handle_exec(&mut self, header: &Header, exec: &Exec, strings: &Strings<'_>) {
        let key = key(header);
        let path = strings.path();
        let file = FileId {
            device: exec.device,
            inode: exec.inode,
            size: exec.size,
            ctime: exec.ctime,
        };
        let before = self
            .known
            .get(&slot(key))
            .map(|entry| Arc::clone(&entry.process));
        let cgroup = self
            .cgroup(key.pid, exec.cgroup)
            .or_else(|| before.as_ref().and_then(|process| process.cgroup.clone()));
        let parent = slot(ProcessKey {
            pid: exec.parent,
            start: exec.parent_start,
        });
        let process = Process {
            key,
            started: self.boot.after(key.start),
            exe_sha256: self
                .hasher
                .as_mut()
                .and_then(|hasher| hasher.get(file, key.pid, path.as_deref())),
            exe: path,
            cmdline: Some(proc::cut_arguments(strings.arguments())),
            uid: Some(exec.uid),
            gid: Some(exec.gid),
            container: cgroup
                .as_deref()
                .and_then(cgroup::container)
                .map(str::to_owned),
            cgroup,
            cgroup_id: Some(exec.cgroup),
            lineage: match before {
                Some(process) => process.lineage.clone(),
                None => self
                    .known
                    .get(&parent)
                    .map(|entry| lineage(&entry.process))
                    .unwrap_or_default(),
            },
        };
        self.insert(process, Some(file));
    }

    /// Notes an end. The process is remembered for a while.
    pub(crate) fn handle_exit(&mut self, header: &Header, time: Time) {
        self.dead.push_back((time, slot(key(header))));
    }

    /// Notes a new cgroup.
    pub(crate) fn handle_cgroup(&mut self, id: u64, path: &[u8]) {
        self.cgroups.insert(id, &String::from_utf8_lossy(path));
    }

    /// Forgets those who are dead for long, and takes in hashes that were finished.
    pub(crate) fn handle_idle(&mut self, now: Time) {
        while self
            .dead
            .front()
            .is_some_and(|(time, _)| now.since(*time) > MEMORY)
        {
            self.forget_oldest();
        }
        self.take_hashes();
    }

    /// Takes in hashes that were finished.
    pub(crate) fn take_hashes(&mut self) {
        let finished = self
            .hasher
            .as_mut()
            .map(Hasher::finished)
            .unwrap_or_default();
        if finished.is_empty() {
            return;
        }
        for entry in self
            .known
            .values_mut()
            .filter(|entry| entry.process.exe_sha256.is_none())
        {
            if let Some((_, hash)) = finished.iter().find(|(file, _)| Some(*file) == entry.file) {
                Arc::make_mut(&mut entry.process).exe_sha256 = Some(*hash);
            }
        }
    }

    fn read(&mut self, pid: u32) {
        let Some((mut process, file, parent)) = proc::read(pid, self.boot) else {
            return;
        };
        if let (Some(file), Some(hasher)) = (file, self.hasher.as_mut()) {
            process.exe_sha256 = hasher.get(file, pid, process.exe.as_deref());
        }
        process.lineage = self.climb(parent);
        self.insert(process, file);
    }

    /// The lineage that begins with `parent`.
    fn climb(&self, mut parent: u32) -> Vec<Ancestor> {
        let mut lineage = Vec::new();
        while parent != 0 && lineage.len() < LINEAGE {
            let Some((process, _, next)) = proc::read(parent, self.boot) else {
                break;
            };
            lineage.push(Ancestor {
                key: process.key,
                exe: process.exe,
            });
            parent = next;
        }
        lineage
    }

    /// The path of a cgroup by its id; where version 2 says nothing, what /proc says now.
    fn cgroup(&self, pid: u32, id: u64) -> Option<String> {
        match self.cgroups.path(id) {
            Some(path) if path != "/" => Some(path.to_owned()),
            root => proc::cgroup_of(pid).or_else(|| root.map(str::to_owned)),
        }
    }

    fn insert(&mut self, process: Process, file: Option<FileId>) {
        while self.known.len() >= PROCESSES && !self.dead.is_empty() {
            self.forget_oldest();
        }
        if self.known.len() < PROCESSES {
            self.known.insert(
                slot(process.key),
                Entry {
                    process: Arc::new(process),
                    file,
                },
            );
        }
    }

    fn forget_oldest(&mut self) {
        if let Some((_, slot)) = self.dead.pop_front() {
            self.known.remove(&slot);
        }
    }
}

impl Processes for Table {
    fn process(&self, key: ProcessKey) -> Option<Arc<Process>> {
        self.known
            .get(&slot(key))
            .map(|entry| Arc::clone(&entry.process))
    }
}

fn slot(key: ProcessKey) -> Slot {
    (key.pid, key.start / TICK)
}

fn key(header: &Header) -> ProcessKey {
    ProcessKey {
        pid: header.tgid,
        start: header.start,
    }
}

/// The lineage of a child of `parent`.
fn lineage(parent: &Process) -> Vec<Ancestor> {
    let nearest = Ancestor {
        key: parent.key,
        exe: parent.exe.clone(),
    };
    std::iter::once(nearest)
        .chain(parent.lineage.iter().cloned())
        .take(LINEAGE)
        .collect()
}
