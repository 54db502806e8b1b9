//! Puts the probes of TLS libraries in place, and takes them away.
//!
//! Searches nothing. Taking a probe away waits for the kernel, about 0.1 s each and one after the other, so nobody waits
//! for it long. Bound: [`LIBRARIES`] with probes.

use std::{
    fs::File,
    os::fd::AsRawFd as _,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use auditor_common::{cookie::cookie, limit::LIBRARIES};
use aya::{
    Ebpf,
    maps::{Array, MapData, MapError},
    programs::{
        ProgramError, ProgramInfo, UProbe,
        uprobe::{UProbeAttachLocation, UProbeAttachPoint, UProbeLink, UProbeScope},
    },
};
use nix::time::{ClockId, clock_gettime};
use thiserror::Error;

use super::{
    holder,
    inspect::{Kind, Site},
};

/// Puts probes in place. All go when this is dropped.
pub(super) struct Attacher {
    ebpf: Ebpf,
    programs: Programs,
    /// Whether the return of a function may be probed.
    are_returns_safe: bool,
    /// When each library's probes were in place, by its number.
    libraries: Array<MapData, u64>,
    last: u32,
    links: Vec<UProbeLink>,
}

/// Why the probes of a library are not in place.
#[derive(Debug, Error)]
pub(super) enum AttachError {
    /// There are as many as there can be.
    #[error("{LIBRARIES} libraries have probes already")]
    TooMany,
    /// They could end a program.
    #[error(
        "on this kernel a probe at a return ends programs whose seccomp filter does not know it: use Linux 6.12.14, \
         6.13.3 or 6.14, or later"
    )]
    UnsafeReturns,
    /// The kernel refused one.
    #[error(transparent)]
    Program(#[from] ProgramError),
    /// The kernel side could not be told.
    #[error("map LIBRARIES: {0}")]
    Map(#[from] MapError),
    /// The time could not be read.
    #[error("cannot read the time: {0}")]
    Clock(#[from] nix::Error),
}

impl Attacher {
    /// With programs that are loaded.
    pub(super) fn new(
        ebpf: Ebpf,
        programs: Programs,
        are_returns_safe: bool,
        libraries: Array<MapData, u64>,
    ) -> Self {
        Self {
            ebpf,
            programs,
            are_returns_safe,
            libraries,
            last: 0,
            links: Vec::new(),
        }
    }

    /// All programs that are loaded, those of the tracepoints, too.
    pub(super) fn loaded(&self) -> impl Iterator<Item = ProgramInfo> + '_ {
        let programs = self.ebpf.programs();
        programs.filter_map(|(_, program)| program.info().ok())
    }

    /// Puts all probes of a library in place; since when they are, nanoseconds since boot.
    ///
    /// # Errors
    /// When one of them cannot be: then none is.
    pub(super) fn attach(&mut self, file: &File, sites: &[Site]) -> Result<u64, AttachError> {
        let number = self.last + 1;
        if number >= LIBRARIES {
            return Err(AttachError::TooMany);
        }
        let has_return = |site: &Site| matches!(site.kind, Kind::Returned | Kind::Opened);
        if !self.are_returns_safe && sites.iter().any(has_return) {
            return Err(AttachError::UnsafeReturns);
        }
        self.last = number;
        let path = PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()));
        let mut links = Vec::with_capacity(sites.len());
        for site in sites {
            let point = UProbeAttachPoint {
                location: UProbeAttachLocation::AbsoluteOffset(site.offset),
                cookie: Some(cookie(number, site.form, site.stack, site.count)),
            };
            let attached =
                program(&mut self.ebpf, self.programs.of_kind(site.kind)).and_then(|program| {
                    let id = program.attach(point, &path, UProbeScope::AllProcesses)?;
                    program.take_link(id)
                });
            match attached {
                Ok(link) => links.push(link),
                Err(error) => {
                    detach(links);
                    return Err(error.into());
                }
            }
        }
        self.links.extend(links);
        let now = clock_gettime(ClockId::CLOCK_BOOTTIME)?;
        let now = std::time::Duration::from(now).as_nanos() as u64;
        self.libraries.set(number, now, 0)?;
        Ok(now)
    }

    /// Takes all probes away; after `patience` what is left is left to a process of its own.
    pub(super) fn stop(&mut self, patience: Duration) {
        let begun = Instant::now();
        let links = Arc::new(Mutex::new(std::mem::take(&mut self.links)));
        let next = |links: &Mutex<Vec<UProbeLink>>| {
            links.lock().unwrap_or_else(PoisonError::into_inner).pop()
        };
        let remaining = Arc::clone(&links);
        let helper = thread::Builder::new()
            .name("detach".to_owned())
            .spawn(move || {
                while let Some(link) = next(&remaining) {
                    drop(link);
                }
            });
        let is_done = || helper.as_ref().is_ok_and(JoinHandle::is_finished);
        while begun.elapsed() < patience && !is_done() {
            thread::sleep(Duration::from_millis(5));
        }
        let left = std::mem::take(&mut *links.lock().unwrap_or_else(PoisonError::into_inner));
        tracing::debug!(left = left.len(), elapsed = ?begun.elapsed(), "TLS probes taken away");
        if !left.is_empty() {
            if let Err(error) = holder::leave_probes() {
                tracing::warn!(%error, probes = left.len(), "the end waits for the kernel to remove probes");
            }
            // Closing what another process holds, too, is quick.
            drop(left);
        }
    }
}

/// Takes the probes of one library away, in a thread of its own.
fn detach(links: Vec<UProbeLink>) {
    // Where no thread can be started, they are dropped here: slower, no less.
    let _ = thread::Builder::new()
        .name("detach".to_owned())
        .spawn(move || drop(links));
}

/// Names of the programs that this kernel can run.
#[derive(Clone, Copy, Debug)]
pub(super) struct Programs {
    enter: &'static str,
    returned: &'static str,
    go: &'static str,
    free: &'static str,
    seal: &'static str,
    open: &'static str,
    opened: &'static str,
}

impl Programs {
    /// Those for a kernel that has `bpf_loop`, or not.
    pub(super) const fn of(has_bpf_loop: bool) -> Self {
        let (returned, go, seal, opened) = if has_bpf_loop {
            ("tls_return", "tls_go", "aead_seal", "aead_opened")
        } else {
            (
                "tls_return_bounded",
                "tls_go_bounded",
                "aead_seal_bounded",
                "aead_opened_bounded",
            )
        };
        Self {
            enter: "tls_enter",
            returned,
            go,
            free: "tls_free",
            seal,
            open: "aead_open",
            opened,
        }
    }

    pub(super) fn all(self) -> [&'static str; 7] {
        let Self {
            enter,
            returned,
            go,
            free,
            seal,
            open,
            opened,
        } = self;
        [enter, returned, go, free, seal, open, opened]
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

fn program<'a>(ebpf: &'a mut Ebpf, name: &str) -> Result<&'a mut UProbe, ProgramError> {
    ebpf.program_mut(name)
        .ok_or(ProgramError::NotLoaded)?
        .try_into()
}
