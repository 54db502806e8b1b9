//! Enrolment: finds TLS stacks in the files that processes execute, and puts probes there.
//!
//! Runs in a thread of its own, for reading a file takes a while; what asks for it never waits. A file is looked at
//! once. Bounds: [`REQUESTS`] that wait, files up to [`FILE`] bytes, [`LIBRARIES`] with probes.

use std::{
    collections::HashSet,
    fs::File,
    io,
    os::{fd::AsRawFd as _, unix::fs::MetadataExt as _},
    path::{Path, PathBuf},
    sync::mpsc::{Receiver, SyncSender, sync_channel},
    thread,
};

use auditor_common::{cookie::cookie, limit::LIBRARIES};
use aya::{
    Ebpf,
    maps::{Array, HashMap, MapData},
    programs::{
        ProgramError, UProbe,
        uprobe::{UProbeAttachLocation, UProbeAttachPoint, UProbeScope},
    },
};
use nix::{
    sys::stat::{major, minor},
    time::{ClockId, clock_gettime},
};
use procfs::process::{MMPermissions, Process};

use super::inspect::{self, Found, InspectError, Kind, Site};

/// Requests that wait; beyond it files go unprobed, which is counted.
const REQUESTS: usize = 4_096;
/// Largest file that is looked at, in bytes.
const FILE: u64 = 512 << 20;

/// Where libraries are that any program may use, and how those with a TLS stack are called.
const LIBRARY_FOLDERS: &[&str] = &[
    "/usr/lib/x86_64-linux-gnu",
    "/lib/x86_64-linux-gnu",
    "/usr/lib64",
    "/usr/lib",
    "/usr/local/lib",
    "/usr/local/lib64",
];
const LIBRARY_NAMES: &[&str] = &["libssl.so", "libgnutls.so"];
/// Where programs are, and those with a TLS stack of their own that agents and servers run in.
const PROGRAM_FOLDERS: &[&str] = &["/usr/bin", "/usr/local/bin"];
const PROGRAM_NAMES: &[&str] = &["node", "bun", "deno"];

/// A file that a process began to execute.
#[derive(Clone, Debug)]
pub(crate) enum Request {
    /// Its program.
    Program {
        /// The process.
        pid: u32,
        /// The file, as the kernel names it: inode and device.
        file: (u64, u64),
        /// Its path, in the process's mount namespace.
        path: Option<String>,
    },
    /// A file that it mapped.
    Mapping {
        /// The process.
        pid: u32,
        /// Where.
        address: u64,
        /// The file.
        file: (u64, u64),
    },
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
}

/// Puts probes into TLS libraries. They stay until this is dropped.
pub(crate) struct Enroller {
    ebpf: Ebpf,
    programs: Programs,
    /// Whether the return of a function may be probed.
    are_returns_safe: bool,
    maps: Maps,
    last_library: u32,
    /// Files that were looked at, by the kernel's names and by ours.
    known: HashSet<(u64, u64)>,
    opened: HashSet<(u64, u64)>,
}

/// What enrolment tells the kernel side.
pub(super) struct Maps {
    /// When each library's probes were in place, by its number.
    pub(super) libraries: Array<MapData, u64>,
    /// Files that the kernel side has told of, and will not tell again.
    pub(super) mapped: HashMap<MapData, [u64; 2], u8>,
}

/// Names of the programs that this kernel can run.
#[derive(Clone, Copy, Debug)]
pub(super) struct Programs {
    pub(super) enter: &'static str,
    pub(super) returned: &'static str,
    pub(super) go: &'static str,
    pub(super) free: &'static str,
    pub(super) seal: &'static str,
    pub(super) open: &'static str,
    pub(super) opened: &'static str,
}

impl Programs {
    /// Those for a kernel that has `bpf_loop`, or not.
    pub(super) const fn of(has_bpf_loop: bool) -> Self {
        Self {
            enter: "tls_enter",
            returned: if has_bpf_loop {
                "tls_return"
            } else {
                "tls_return_bounded"
            },
            go: if has_bpf_loop {
                "tls_go"
            } else {
                "tls_go_bounded"
            },
            free: "tls_free",
            seal: if has_bpf_loop {
                "aead_seal"
            } else {
                "aead_seal_bounded"
            },
            open: "aead_open",
            opened: if has_bpf_loop {
                "aead_opened"
            } else {
                "aead_opened_bounded"
            },
        }
    }

    fn all(self) -> [&'static str; 7] {
        [
            self.enter,
            self.returned,
            self.go,
            self.free,
            self.seal,
            self.open,
            self.opened,
        ]
    }

    fn of_kind(self, kind: Kind) -> &'static str {
        match kind {
            Kind::Enter => self.enter,
            Kind::Returned => self.returned,
            Kind::Go => self.go,
            Kind::Free => self.free,
            Kind::Seal => self.seal,
            Kind::Open => self.open,
            Kind::Opened => self.opened,
        }
    }
}

impl Enroller {
    /// Loads the programs.
    ///
    /// # Errors
    /// When the kernel refuses one of them.
    pub(super) fn load(
        mut ebpf: Ebpf,
        programs: Programs,
        are_returns_safe: bool,
        maps: Maps,
    ) -> Result<Self, ProgramError> {
        for name in programs.all() {
            program(&mut ebpf, name)?.load()?;
        }
        Ok(Self {
            ebpf,
            programs,
            are_returns_safe,
            maps,
            last_library: 0,
            known: HashSet::new(),
            opened: HashSet::new(),
        })
    }

    /// Looks at every file that a running process executes, and at the libraries and programs that are there for
    /// every process to come: whoever lives briefly is heard from its first byte.
    pub(crate) fn enroll_present(&mut self) {
        for (folders, names) in [
            (LIBRARY_FOLDERS, LIBRARY_NAMES),
            (PROGRAM_FOLDERS, PROGRAM_NAMES),
        ] {
            for entry in folders
                .iter()
                .filter_map(|folder| Path::new(folder).read_dir().ok())
                .flatten()
                .flatten()
            {
                let name = entry.file_name();
                if names
                    .iter()
                    .any(|known| name.as_encoded_bytes().starts_with(known.as_bytes()))
                {
                    self.enroll(&entry.path());
                }
            }
        }
        let Ok(processes) = procfs::process::all_processes() else {
            return;
        };
        for process in processes.flatten() {
            self.enroll_mappings(&process, |_| true);
        }
    }

    /// Goes on in a thread of its own.
    ///
    /// # Errors
    /// When it cannot be started.
    pub(crate) fn start(self) -> io::Result<Enrolment> {
        let (sender, receiver) = sync_channel(REQUESTS);
        thread::Builder::new()
            .name("enrol".to_owned())
            .spawn(move || self.serve(&receiver))?;
        Ok(Enrolment { sender })
    }

    fn serve(mut self, requests: &Receiver<Request>) {
        while let Ok(request) = requests.recv() {
            self.handle(request);
        }
    }

    fn handle(&mut self, request: Request) {
        let (Request::Program { file, .. } | Request::Mapping { file, .. }) = &request;
        let file = *file;
        if !self.known.insert(file) {
            return;
        }
        let is_found = match request {
            Request::Program { pid, path, .. } => {
                self.enroll(&PathBuf::from(format!("/proc/{pid}/exe")))
                    || path.is_some_and(|path| {
                        // It is gone; its file may still be there.
                        is_at(Path::new(&path), file) && self.enroll(Path::new(&path))
                    })
            }
            Request::Mapping { pid, address, .. } => i32::try_from(pid)
                .ok()
                .and_then(|pid| Process::new(pid).ok())
                .is_some_and(|process| {
                    self.enroll_mappings(&process, |(start, end)| (start..end).contains(&address))
                }),
        };
        if !is_found {
            // The process is gone: the next one that has the file is to be told again.
            self.known.remove(&file);
            let (inode, device) = file;
            let _ = self.maps.mapped.remove(&[inode, device]);
        }
    }

    /// Looks at the executable files that a process has mapped in the wanted places; false when there was none.
    fn enroll_mappings(
        &mut self,
        process: &Process,
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
            let (start, end) = map.address;
            let path = format!("/proc/{}/map_files/{start:x}-{end:x}", process.pid);
            is_found |= self.enroll(Path::new(&path));
        }
        is_found
    }

    /// Looks at a file; false when it cannot be opened.
    fn enroll(&mut self, path: &Path) -> bool {
        let Ok(file) = File::open(path) else {
            return false;
        };
        let Ok(data) = file.metadata() else {
            return false;
        };
        if !data.is_file() || !self.opened.insert((data.ino(), data.dev())) {
            return true;
        }
        let name = std::fs::read_link(path).unwrap_or_else(|_| path.to_owned());
        if data.len() > FILE {
            tracing::warn!(file = %name.display(), bytes = data.len(), "too large to be searched for TLS");
            return true;
        }
        let libraries = match inspect::inspect(&file, data.len()) {
            Ok(libraries) => libraries,
            Err(InspectError::Elf(error)) => {
                tracing::debug!(file = %name.display(), %error, "not searched for TLS");
                return true;
            }
            Err(error) => {
                tracing::warn!(file = %name.display(), %error, "cannot be searched for TLS");
                return true;
            }
        };
        for library in &libraries {
            match self.attach(&file, library) {
                Ok(()) => {
                    tracing::info!(file = %name.display(), stack = library.stack, version = library.version, "TLS is heard")
                }
                Err(error) => {
                    tracing::warn!(file = %name.display(), stack = library.stack, %error, "TLS is not heard")
                }
            }
        }
        true
    }

    /// Puts all probes of a library in place.
    fn attach(&mut self, file: &File, library: &Found) -> Result<(), ProgramError> {
        let number = self.last_library + 1;
        if number >= LIBRARIES || library.sites.is_empty() {
            let obstacle = library
                .refused
                .as_deref()
                .unwrap_or("too many libraries have probes");
            return Err(ProgramError::IOError(io::Error::other(obstacle)));
        }
        let has_return = |site: &Site| matches!(site.kind, Kind::Returned | Kind::Opened);
        if !self.are_returns_safe && library.sites.iter().any(has_return) {
            return Err(ProgramError::IOError(io::Error::other(
                "on this kernel a probe at a return ends programs whose seccomp filter does not know it: use Linux \
                 6.12.14, 6.13.3 or 6.14, or later",
            )));
        }
        self.last_library = number;
        let path = PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()));
        for site in &library.sites {
            let point = UProbeAttachPoint {
                location: UProbeAttachLocation::AbsoluteOffset(site.offset),
                cookie: Some(cookie(number, site.form, site.stack)),
            };
            program(&mut self.ebpf, self.programs.of_kind(site.kind))?.attach(
                point,
                &path,
                UProbeScope::AllProcesses,
            )?;
        }
        let now = clock_gettime(ClockId::CLOCK_BOOTTIME)
            .map_err(|error| ProgramError::IOError(error.into()))?;
        let now = std::time::Duration::from(now).as_nanos() as u64;
        self.maps
            .libraries
            .set(number, now, 0)
            .map_err(|error| ProgramError::IOError(io::Error::other(error)))
    }
}

/// Whether the file that the kernel knows by inode and device is at this path of the host.
fn is_at(path: &Path, (inode, device): (u64, u64)) -> bool {
    path.metadata().is_ok_and(|data| {
        let number = major(data.dev()) << 20 | minor(data.dev());
        data.ino() == inode && number == device
    })
}

fn program<'a>(ebpf: &'a mut Ebpf, name: &str) -> Result<&'a mut UProbe, ProgramError> {
    ebpf.program_mut(name)
        .ok_or(ProgramError::NotLoaded)?
        .try_into()
}
