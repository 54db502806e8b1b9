//! Enrolment: has every file searched that a process executes or maps, and the TLS stacks in it probed.
//!
//! Runs in a thread of its own; what asks for it never waits. A file is looked at once, and so is a content that
//! several files have. Small files are searched on the spot, large ones beside it, so that they hold nobody up. Bounds:
//! [`REQUESTS`] that wait, files up to [`FILE`] bytes, [`APART`] large ones at once, [`SITES`] of one library.

use std::{
    collections::VecDeque,
    fs::File,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread,
    time::{Duration, Instant},
};

use aya::maps::{HashMap as KernelMap, MapData};
use procfs::process::{MMPermissions, Process};

use super::{
    attach::{AttachError, Attacher},
    cache::{self, Cache, Content, Unchanged},
    contents::{Contents, Shape},
    inspect::{self, Found, InspectError},
    present,
};
use crate::tls::{FileKey, Known, Library, Stacks, State, Verdict};

/// Requests that wait; beyond it files go unprobed, which is counted.
const REQUESTS: usize = 4_096;
/// Largest file that is looked at, in bytes.
const FILE: u64 = 512 << 20;
/// Large files that are searched at once.
const APART: usize = 2;
/// Probes of one library that are believed.
const SITES: usize = 1_024;
/// How long the end waits for probes to be taken away.
const PATIENCE: Duration = Duration::from_secs(3);

/// What is asked of enrolment.
pub(crate) enum Request {
    /// A process executes a program.
    Program {
        /// The process.
        pid: u32,
        /// The file.
        file: FileKey,
        /// Its path, in the process's mount namespace.
        path: Option<String>,
    },
    /// A process mapped a file to execute it.
    Mapping {
        /// The process.
        pid: u32,
        /// Where.
        address: u64,
        /// The file.
        file: FileKey,
    },
    /// A large file has been searched.
    Searched(Box<(Job, Result<Search, InspectError>)>),
    /// Nothing more is to be done for a large file; its content, where it was hashed after the search.
    Hashed(FileKey, Shape, Option<Content>),
    /// Take all probes away, and answer.
    Stop(SyncSender<()>),
}

/// A file that is to be searched.
pub(crate) struct Job {
    file: File,
    key: FileKey,
    /// What the kernel side calls it, where that is something else.
    asked: Option<FileKey>,
    path: String,
    shape: Shape,
    begun: Instant,
}

/// What a search gave.
pub(crate) struct Search {
    content: Option<Content>,
    found: Vec<Found>,
}

/// Takes requests, and never waits.
#[derive(Clone)]
pub(crate) struct Enrolment {
    sender: SyncSender<Request>,
}

impl Enrolment {
    /// Asks for a file to be looked at; false when too many wait.
    pub(crate) fn request(&self, request: Request) -> bool {
        self.sender.try_send(request).is_ok()
    }

    /// Has all probes taken away; waits a moment for it.
    pub(crate) fn stop(&self) {
        let (done, is_done) = sync_channel(1);
        if self.request(Request::Stop(done)) {
            let _ = is_done.recv_timeout(PATIENCE + Duration::from_secs(1));
        }
    }
}

/// Has files searched and probed. The probes stay until this is dropped.
pub(crate) struct Enroller {
    attacher: Attacher,
    /// Files that the kernel side has told of, and will not tell again.
    mapped: KernelMap<MapData, [u64; 2], u8>,
    stacks: Stacks,
    cache: Arc<Mutex<Cache>>,
    /// What was made of files that hold TLS, by content.
    contents: Contents,
    requests: Receiver<Request>,
    sender: SyncSender<Request>,
    /// Sizes of the large files that are being searched, and those that wait for it.
    busy: Vec<u64>,
    waiting: VecDeque<Job>,
    /// The auditor's own executable: what it asks over TLS is no MCP.
    auditor: Option<FileKey>,
}

impl Enroller {
    /// Creates it; nothing is looked at yet.
    pub(super) fn new(attacher: Attacher, mapped: KernelMap<MapData, [u64; 2], u8>) -> Self {
        let (sender, requests) = sync_channel(REQUESTS);
        Self {
            attacher,
            mapped,
            stacks: Stacks::default(),
            cache: Arc::default(),
            contents: Contents::default(),
            requests,
            sender,
            busy: Vec::new(),
            waiting: VecDeque::new(),
            auditor: std::fs::metadata("/proc/self/exe")
                .ok()
                .map(|data| FileKey::of(&data)),
        }
    }

    /// What is known of files, as it becomes known.
    pub(crate) fn stacks(&self) -> Stacks {
        self.stacks.clone()
    }

    /// Looks at every file that a running process executes, and at the libraries and programs that are there for
    /// every process to come: whoever lives briefly is heard from its first byte. What was found in large files is
    /// kept in `directory`.
    pub(crate) fn enroll_present(&mut self, directory: Option<&Path>) {
        self.cache = Arc::new(Mutex::new(Cache::open(directory)));
        for path in present::files() {
            self.look(&path, None);
        }
        for process in procfs::process::all_processes()
            .into_iter()
            .flatten()
            .flatten()
        {
            self.look_at_mappings(&process, None, |_| true);
        }
        while !self.busy.is_empty()
            && let Ok(request) = self.requests.recv()
        {
            self.handle(request);
        }
        self.save();
    }

    /// Goes on in a thread of its own.
    ///
    /// # Errors
    /// When it cannot be started.
    pub(crate) fn start(mut self) -> std::io::Result<Enrolment> {
        let sender = self.sender.clone();
        thread::Builder::new()
            .name("enrol".to_owned())
            .spawn(move || {
                while let Ok(request) = self.requests.recv() {
                    if let Request::Stop(done) = request {
                        self.attacher.stop(PATIENCE);
                        let _ = done.try_send(());
                        return;
                    }
                    self.handle(request);
                }
            })?;
        Ok(Enrolment { sender })
    }

    fn handle(&mut self, request: Request) {
        let (file, is_found) = match request {
            Request::Stop(_) => return,
            Request::Searched(searched) => {
                let (job, search) = *searched;
                self.conclude(job, search);
                return;
            }
            Request::Hashed(file, shape, content) => {
                self.finish_apart(file, shape, content);
                return;
            }
            Request::Program { file, .. } | Request::Mapping { file, .. }
                if self.stacks.get(file).is_some() =>
            {
                return;
            }
            Request::Program { pid, file, path } => {
                let is_found = self.look(&PathBuf::from(format!("/proc/{pid}/exe")), Some(file))
                    || path.is_some_and(|path| {
                        // It is gone; its file may still be there.
                        let path = Path::new(&path);
                        path.metadata().is_ok_and(|data| FileKey::of(&data) == file)
                            && self.look(path, Some(file))
                    });
                (file, is_found)
            }
            Request::Mapping { pid, address, file } => {
                let process = i32::try_from(pid)
                    .ok()
                    .and_then(|pid| Process::new(pid).ok());
                let is_found = process.is_some_and(|process| {
                    self.look_at_mappings(&process, Some(file), |(start, end)| {
                        (start..end).contains(&address)
                    })
                });
                (file, is_found)
            }
        };
        if !is_found {
            // The process is gone: the next one that has the file is to be told again.
            self.stacks.forget(file);
            let _ = self.mapped.remove(&[file.inode, file.device]);
        }
    }

    /// Looks at the executable files that a process has mapped in the wanted places; false when there was none.
    fn look_at_mappings(
        &mut self,
        process: &Process,
        asked: Option<FileKey>,
        is_wanted: impl Fn((u64, u64)) -> bool,
    ) -> bool {
        let Ok(maps) = process.maps() else {
            return false;
        };
        let mut is_found = false;
        for map in maps {
            if map.inode == 0
                || !map.perms.contains(MMPermissions::EXECUTE)
                || !is_wanted(map.address)
            {
                continue;
            }
            let (major, minor) = (
                map.dev.0.unsigned_abs().into(),
                map.dev.1.unsigned_abs().into(),
            );
            let named = FileKey::numbered(map.inode, major, minor);
            if self.stacks.get(named).is_some() {
                is_found = true;
                continue;
            }
            let (start, end) = map.address;
            let path = format!("/proc/{}/map_files/{start:x}-{end:x}", process.pid);
            is_found |= self.look(Path::new(&path), Some(asked.unwrap_or(named)));
        }
        is_found
    }

    /// Looks at a file, which the kernel side calls `asked`; false when it cannot be opened.
    fn look(&mut self, path: &Path, asked: Option<FileKey>) -> bool {
        let begun = Instant::now();
        let Ok(file) = File::open(path) else {
            return false;
        };
        let Ok(data) = file.metadata() else {
            return false;
        };
        let own = FileKey::of(&data);
        if !data.is_file() || self.auditor == Some(own) {
            return true;
        }
        if let Some(known) = self.stacks.get(own) {
            if let Some(asked) = asked.filter(|_| known.verdict != Verdict::Searching) {
                self.stacks.set(asked, known);
            }
            return true;
        }
        let name = std::fs::read_link(path).unwrap_or_else(|_| path.to_owned());
        let job = Job {
            file,
            key: own,
            asked: asked.filter(|asked| *asked != own),
            path: name.display().to_string(),
            shape: Shape::of(&data),
            begun,
        };
        if job.shape.len > FILE {
            tracing::warn!(
                file = %job.path,
                bytes = job.shape.len,
                "too large to be searched for TLS"
            );
            self.note(&job, Verdict::TooLarge);
        } else if job.shape.len > inspect::SMALL {
            self.search_apart(job);
        } else {
            let search = inspect::small(&job.file, job.shape.len);
            self.conclude(
                job,
                search.map(|found| Search {
                    content: None,
                    found,
                }),
            );
        }
        true
    }

    /// Has a large file searched in a thread of its own, or lets it wait: of files of one size the first is searched,
    /// for the others may have the same content.
    fn search_apart(&mut self, job: Job) {
        self.note(&job, Verdict::Searching);
        if self.busy.len() >= APART || self.busy.contains(&job.shape.len) {
            self.waiting.push_back(job);
            return;
        }
        self.busy.push(job.shape.len);
        let (cache, sender) = (Arc::clone(&self.cache), self.sender.clone());
        let (key, shape) = (job.key, job.shape);
        let search = move || {
            let content = search_large(job, &cache, &sender);
            // Fails when nobody wants it any more.
            let _ = sender.send(Request::Hashed(key, shape, content));
        };
        if let Err(error) = thread::Builder::new()
            .name("search".to_owned())
            .spawn(search)
        {
            self.busy.retain(|busy| *busy != shape.len);
            tracing::warn!(%error, "cannot search a large file for TLS");
        }
    }

    /// Goes on with the next large file.
    fn finish_apart(&mut self, file: FileKey, shape: Shape, content: Option<Content>) {
        self.busy.retain(|busy| *busy != shape.len);
        if let Some(content) = content
            && let Some(known) = self.stacks.get(file)
            && let Verdict::Libraries(libraries) = &known.verdict
        {
            self.contents.remember(content, shape, libraries);
        }
        for job in std::mem::take(&mut self.waiting) {
            self.search_apart(job);
        }
        if self.busy.is_empty() {
            self.save();
        }
    }

    /// Puts probes where a search says, and notes what became of it.
    fn conclude(&mut self, job: Job, search: Result<Search, InspectError>) {
        let verdict = match search {
            Ok(search) if search.found.is_empty() => Verdict::Nothing,
            Ok(search) => Verdict::Libraries(self.probe(&job, search)),
            Err(InspectError::Elf(error)) => {
                tracing::debug!(file = %job.path, %error, "not searched for TLS");
                Verdict::Nothing
            }
            Err(error) => {
                tracing::warn!(file = %job.path, %error, "cannot be searched for TLS");
                Verdict::Unsearched(error.to_string())
            }
        };
        self.note(&job, verdict);
    }

    fn note(&self, job: &Job, verdict: Verdict) {
        let known = Arc::new(Known {
            path: job.path.clone(),
            verdict,
        });
        for key in [Some(job.key), job.asked].into_iter().flatten() {
            self.stacks.set(key, Arc::clone(&known));
        }
    }

    fn probe(&mut self, job: &Job, search: Search) -> Vec<Library> {
        let mut content = search.content;
        if content.is_none() && self.contents.has(job.shape) {
            content = cache::content(&job.file).ok();
        }
        let offsets = search
            .found
            .iter()
            .flat_map(|found| &found.sites)
            .map(|site| site.offset);
        if let Some(content) = &content
            && let Some(libraries) = self.contents.twin(content, job.shape, &job.file, offsets)
        {
            tracing::debug!(file = %job.path, "another name of a file that is probed");
            return libraries.to_vec();
        }
        let searched = job.begun.elapsed();
        let found = search.found.into_iter();
        let libraries: Vec<_> = found.map(|found| self.probe_library(job, found)).collect();
        tracing::debug!(file = %job.path, ?searched, probed = ?job.begun.elapsed(), "looked at");
        // Large ones are hashed by the thread that searched them.
        if content.is_none() && job.shape.len <= inspect::SMALL {
            content = cache::content(&job.file).ok();
        }
        if let Some(content) = content {
            self.contents.remember(content, job.shape, &libraries);
        }
        libraries
    }

    fn probe_library(&mut self, job: &Job, found: Found) -> Library {
        let is_inside = |site: &inspect::Site| site.offset < job.shape.len;
        let state = match found.refused {
            Some(why) if found.is_hopeless => State::NoWay(why),
            Some(why) => State::NotFound(why),
            None if found.sites.is_empty()
                || found.sites.len() > SITES
                || !found.sites.iter().all(is_inside) =>
            {
                State::NotFound(format!(
                    "{} places to probe make no sense",
                    found.sites.len()
                ))
            }
            None => match self.attacher.attach(&job.file, &found.sites) {
                Ok(since) => State::Heard(since),
                Err(AttachError::TooMany) => State::TooMany,
                Err(AttachError::UnsafeReturns) => State::UnsafeReturns,
                Err(error) => State::Refused(error.to_string()),
            },
        };
        let library = Library {
            stack: found.stack,
            version: found.version,
            state,
            unheard: found.unheard,
        };
        report(&job.path, &library, found.sites.len());
        library
    }

    fn save(&self) {
        self.cache
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .save();
    }
}

/// Finds out what a large file holds, from its content where that is known, else by a search, and tells it; the content,
/// if that was hashed only afterwards.
fn search_large(job: Job, cache: &Mutex<Cache>, sender: &SyncSender<Request>) -> Option<Content> {
    let lock = || cache.lock().unwrap_or_else(PoisonError::into_inner);
    let unchanged = job.file.metadata().ok().as_ref().and_then(Unchanged::of);
    let mut content = lock().content_of(unchanged);
    if content.is_none() && lock().has_size(job.shape.len) {
        content = cache::content(&job.file).ok();
    }
    let known = content.as_ref().and_then(|content| lock().get(content));
    let is_known = known.is_some();
    let search = match known {
        Some(found) => Ok(found),
        None => inspect::large(&job.file),
    };
    let found = search.as_ref().ok().cloned();
    let (file, len) = (job.file.try_clone(), job.shape.len);
    let early = content.clone();
    let search = search.map(|found| Search {
        content: early,
        found,
    });
    if sender
        .send(Request::Searched(Box::new((job, search))))
        .is_err()
    {
        return None;
    }
    let content = content.or_else(|| cache::content(file.as_ref().ok()?).ok())?;
    if !is_known {
        lock().insert(content.clone(), len, found?);
    }
    lock().note_file(&content, unchanged);
    Some(content)
}

/// Says in the log whether a library is heard, by how many probes, and what of it is not.
fn report(path: &str, library: &Library, probes: usize) {
    let Library {
        stack,
        version,
        state,
        unheard,
    } = library;
    match state {
        State::Heard(_) if unheard.is_empty() => {
            tracing::info!(file = %path, stack, version, probes, "TLS is heard");
        }
        State::Heard(_) => {
            let past = unheard.join(", ");
            tracing::info!(
                file = %path,
                stack,
                version,
                probes,
                past,
                "TLS is heard, except what passes the functions in `past`"
            );
        }
        State::NoWay(error) => {
            tracing::info!(file = %path, stack, error, "TLS is not heard");
        }
        State::NotFound(error) | State::Refused(error) => {
            tracing::warn!(file = %path, stack, version, error, "TLS is not heard");
        }
        State::UnsafeReturns => {
            let error = AttachError::UnsafeReturns;
            tracing::warn!(file = %path, stack, version, %error, "TLS is not heard");
        }
        State::TooMany => {
            let error = AttachError::TooMany;
            tracing::warn!(file = %path, stack, version, %error, "TLS is not heard");
        }
    }
}
