//! The process table: who is who, also a while after its end.
//!
//! Bound: as configured; beyond it the dead go first, oldest before newer, then nothing new is taken. Both are counted.

mod aside;
mod entry;
mod workflow;

use std::{
    cell::Cell,
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use auditor_core::{
    Processes,
    audit::{Ancestor, Process},
    key::{ProcessKey, Time},
    record::{Birth, Exec, Header, Strings},
    tls::Obstacle,
};

use self::entry::{Asked, Entry};
use super::{
    cgroup::Cgroups,
    containers::{Containers, Layers},
    hash::{FileId, Hasher, Place},
    proc::{self, TICK},
    program::Programs,
    spire::Spire,
    workflow::Workflows,
};
use crate::{config, tls::Knowledge};

/// Nanoseconds that the dead are remembered.
const MEMORY: u64 = 120_000_000_000;
/// Nanoseconds that it is remembered what a process was before it ran another program.
const PAST: u64 = 5_000_000_000;
/// Ancestors of a process that are named.
const LINEAGE: usize = 16;

/// The processes of this host.
pub(crate) struct Table {
    /// By key as first told: /proc tells the start only in clock ticks, the kernel side exactly.
    known: HashMap<ProcessKey, Entry>,
    /// The dead, in order of their end.
    dead: VecDeque<(Time, ProcessKey)>,
    /// Those that ran another program before, in order of when that changed.
    replaced: VecDeque<(Time, ProcessKey)>,
    cgroups: Cgroups,
    containers: Containers,
    programs: Option<Programs>,
    spire: Option<Spire>,
    workflows: Option<Workflows>,
    hasher: Option<Hasher>,
    /// Processes remembered, dead ones included.
    limit: usize,
    lost: Lost,
    boot: Time,
    /// Whether the processes are this host's, so that /proc can tell of them.
    is_live: bool,
    /// Which TLS libraries they have; none in a replay.
    tls: Option<Knowledge>,
}

/// What the table's bound cost.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Lost {
    /// Processes that had ended and were forgotten before their time.
    pub(crate) forgotten: u64,
    /// Processes for which there was no room.
    pub(crate) refused: u64,
}

impl Table {
    /// An empty table. `boot` is when the host was started; without a hasher no executable is hashed.
    pub(crate) fn new(boot: Time, cgroups: Cgroups, hasher: Option<Hasher>) -> Self {
        Self {
            known: HashMap::new(),
            dead: VecDeque::new(),
            replaced: VecDeque::new(),
            cgroups,
            containers: Containers::default(),
            programs: None,
            spire: None,
            workflows: None,
            hasher,
            limit: config::Config::default().processes,
            lost: Lost::default(),
            boot,
            is_live: true,
            tls: None,
        }
    }

    /// A table for a replay: it knows what records tell, and never looks at this host.
    pub(crate) fn of_recording() -> Self {
        Self {
            is_live: false,
            ..Self::new(Time(0), Cgroups::default(), None)
        }
    }

    /// Sets when the host was started: in a replay the recording knows.
    pub(crate) fn set_boot(&mut self, boot: Time) {
        self.boot = boot;
    }

    /// Has it know why TLS of a process is not heard.
    pub(crate) fn set_tls(&mut self, tls: Knowledge) {
        self.tls = Some(tls);
    }

    /// Sets how many processes are remembered.
    pub(crate) fn set_limit(&mut self, limit: usize) {
        self.limit = limit;
    }

    /// What the table's bound cost so far.
    pub(crate) fn lost(&self) -> Lost {
        self.lost
    }

    /// Has it know more of containers than their cgroups show.
    pub(crate) fn set_containers(&mut self, containers: Containers) {
        self.containers = containers;
    }

    /// Has it know what interpreters run.
    pub(crate) fn set_programs(&mut self, programs: Programs) {
        self.programs = Some(programs);
    }

    /// Has it know who processes are by the word of SPIRE's agent.
    pub(crate) fn set_spire(&mut self, spire: Spire) {
        self.spire = Some(spire);
    }

    /// What is known of containers.
    pub(crate) fn containers(&self) -> &Containers {
        &self.containers
    }

    /// Which TLS libraries the processes have.
    pub(crate) fn tls(&mut self) -> Option<&mut Knowledge> {
        self.tls.as_mut()
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

    /// The processes alive that descend from one.
    pub(crate) fn descendants(&self, ancestor: ProcessKey) -> Vec<ProcessKey> {
        let descends = |process: &Process| process.lineage.iter().any(|one| one.key == ancestor);
        let alive = self.known.values().filter(|entry| !entry.is_dead);
        alive
            .filter(|entry| descends(&entry.process))
            .map(|entry| entry.process.key)
            .collect()
    }

    /// Whether a process is remembered, by its pid and its start since boot.
    pub(crate) fn is_running(&self, pid: u32, start: u64) -> bool {
        self.find(ProcessKey { pid, start }).is_some()
    }

    /// Makes sure that the process of a record is known, if it still can be.
    pub(crate) fn ensure(&mut self, header: &Header) {
        let key = key(header);
        if key.pid != 0 && self.find(key).is_none() {
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
        let Some(parent) = self.find(key(header)) else {
            return;
        };
        let process = Process {
            key: child,
            started: self.boot.after(child.start),
            lineage: lineage(&parent.process),
            program: None,
            attestation: None,
            ..Process::clone(&parent.process)
        };
        let (file, workflow) = (parent.file, parent.workflow.get());
        self.insert(process, file);
        // It was born with its parent's environment.
        if workflow == Asked::Answered
            && let Some(entry) = self.find_mut(child)
        {
            entry.workflow.set(Asked::Answered);
        }
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
        let before = self.find(key).map(|entry| Arc::clone(&entry.process));
        let inherited = before.as_ref().and_then(|process| process.cgroup.clone());
        let cgroup = self.cgroup(key, exec.cgroup, inherited);
        let container = cgroup
            .as_deref()
            .and_then(|cgroup| self.containers.of(cgroup));
        let layers = container
            .map(|path| self.containers.layers(&path))
            .unwrap_or_default();
        let parent = ProcessKey {
            pid: exec.parent,
            start: exec.parent_start,
        };
        let process = Process {
            key,
            started: self.boot.after(key.start),
            exe_sha256: self.hasher.as_mut().and_then(|hasher| {
                let place = Place {
                    pid: key.pid,
                    parent: exec.parent,
                    path: path.clone(),
                    layers,
                };
                hasher.get(file, place)
            }),
            exe: path,
            cmdline: Some(proc::cut_arguments(strings.arguments())),
            uid: Some(exec.uid),
            gid: Some(exec.gid),
            container: None,
            cgroup,
            cgroup_id: Some(exec.cgroup),
            workload: None,
            program: None,
            attestation: None,
            workflow: before.as_ref().and_then(|process| process.workflow.clone()),
            lineage: match before {
                Some(process) => process.lineage.clone(),
                None => self
                    .find(parent)
                    .map(|entry| lineage(&entry.process))
                    .unwrap_or_default(),
            },
        };
        let until = self.boot.after(header.time);
        let past = self.find_mut(key).map(|entry| entry.leave(until));
        if past.is_some() {
            self.replaced.push_back((until, key));
        }
        self.insert(process, Some(file));
        if let Some(entry) = self.find_mut(key) {
            entry.past = past.unwrap_or_default();
        }
        if let Some(entry) = self.find(key) {
            self.ask_workflow(entry);
        }
    }

    /// Notes an end. The process is remembered for a while.
    pub(crate) fn handle_exit(&mut self, header: &Header, time: Time) {
        let key = key(header);
        if let Some(entry) = self.find_mut(key)
            && !std::mem::replace(&mut entry.is_dead, true)
        {
            self.dead.push_back((time, key));
        }
    }

    /// Notes a new cgroup, of any hierarchy.
    pub(crate) fn handle_cgroup(&mut self, header: &Header, path: &[u8]) {
        let path = String::from_utf8_lossy(path);
        // Ids are unique in one hierarchy only; those that processes have are of version 2.
        if header.generation == 0 {
            self.cgroups.insert(header.stream, &path);
        }
        self.containers.handle_cgroup(&path, key(header));
    }

    /// Forgets those who are dead for long, and takes in what was found out.
    pub(crate) fn handle_idle(&mut self, now: Time) {
        while self
            .dead
            .front()
            .is_some_and(|(time, _)| now.since(*time) > MEMORY)
        {
            self.forget_oldest();
        }
        let is_old = |(time, _): &mut (Time, ProcessKey)| now.since(*time) > PAST;
        while let Some((until, key)) = self.replaced.pop_front_if(is_old) {
            if let Some(entry) = self.find_mut(key) {
                entry.past.retain(|past| past.until > until);
            }
        }
        while let Some(key) = self.spire.as_mut().and_then(|spire| spire.take_due(now)) {
            let Some(entry) = self.find_mut(key) else {
                continue;
            };
            let until = entry.ask_again(now);
            if let (Some(until), Some(spire)) = (until, &mut self.spire) {
                spire.look_again(key, until);
            }
        }
        self.take_answers();
    }

    fn read(&mut self, pid: u32) {
        if !self.is_live {
            return;
        }
        let Some((mut process, file, parent)) = proc::read(pid, self.boot) else {
            return;
        };
        if let (Some(file), Some(hasher)) = (file, self.hasher.as_mut()) {
            let place = Place {
                pid,
                parent,
                path: process.exe.clone(),
                layers: Layers::default(),
            };
            process.exe_sha256 = hasher.get(file, place);
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

    /// The path of a cgroup by its id; where version 2 says nothing, what /proc says now, or what was inherited.
    ///
    /// Of a process that is ending, /proc tells the root.
    fn cgroup(&self, key: ProcessKey, id: u64, inherited: Option<String>) -> Option<String> {
        match self.cgroups.path(id) {
            Some(path) if path != "/" => Some(path.to_owned()),
            root => Some(key)
                .filter(|_| self.is_live)
                .and_then(proc::cgroup_of)
                .filter(|path| path != "/")
                .or(inherited)
                .or_else(|| root.map(str::to_owned)),
        }
    }

    /// What is known of a process, from the kernel side or from /proc.
    fn find(&self, key: ProcessKey) -> Option<&Entry> {
        let known = self.known.get(&key);
        known.or_else(|| self.known.get(&rounded(key)))
    }

    fn find_mut(&mut self, key: ProcessKey) -> Option<&mut Entry> {
        let key = if self.known.contains_key(&key) {
            key
        } else {
            rounded(key)
        };
        self.known.get_mut(&key)
    }

    fn insert(&mut self, process: Process, file: Option<FileId>) {
        let cgroup = process.cgroup.as_deref();
        let container = cgroup.and_then(|cgroup| self.containers.of(cgroup));
        let is_new = self.find(process.key).is_none();
        while is_new && self.known.len() >= self.limit && !self.dead.is_empty() {
            self.lost.forgotten += 1;
            self.forget_oldest();
        }
        if is_new && self.known.len() >= self.limit {
            self.lost.refused += 1;
        } else {
            self.known.remove(&rounded(process.key));
            let key = process.key;
            let mut entry = Entry {
                process: Arc::new(process),
                file,
                past: Vec::new(),
                container,
                is_dead: false,
                program: Cell::default(),
                attestation: Cell::default(),
                workflow: Cell::default(),
            };
            entry.show_workload(&self.containers);
            self.known.insert(key, entry);
        }
    }

    fn forget_oldest(&mut self) {
        if let Some((_, key)) = self.dead.pop_front()
            && self.known.remove(&key).is_none()
        {
            self.known.remove(&rounded(key));
        }
    }
}

impl Processes for Table {
    fn process(&self, key: ProcessKey) -> Option<Arc<Process>> {
        self.find(key).map(|entry| Arc::clone(&entry.process))
    }

    fn process_at(&self, key: ProcessKey, time: Time) -> Option<Arc<Process>> {
        self.find(key).map(|entry| Arc::clone(entry.at(time)))
    }

    fn is_learning(&self, key: ProcessKey) -> bool {
        let Some(entry) = self.find(key) else {
            return false;
        };
        let is_hashing = entry.process.exe_sha256.is_none() && self.hurry(entry);
        let is_asking = self.ask_program(entry) | self.ask_spire(entry) | self.ask_workflow(entry);
        let container = entry.container.as_deref();
        is_hashing || is_asking || container.is_some_and(|path| self.containers.is_learning(path))
    }

    fn tls_obstacle(&self, process: ProcessKey, begun: Time) -> Option<Obstacle> {
        match &self.tls {
            Some(tls) => tls.obstacle(process, begun.since(self.boot)),
            None => Some(Obstacle::default()),
        }
    }
}

/// The key as /proc tells it.
fn rounded(key: ProcessKey) -> ProcessKey {
    ProcessKey {
        start: key.start - key.start % TICK,
        ..key
    }
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

#[cfg(test)]
mod tests;
