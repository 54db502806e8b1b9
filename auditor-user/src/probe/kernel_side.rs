//! The loaded kernel side: its programs, its counters, its verdicts.

use std::{
    hash::{BuildHasher as _, Hasher as _, RandomState},
    io,
};

use auditor_common::record::serving;
use auditor_core::{audit::Role, key::ProcessKey};
use aya::{
    Ebpf, EbpfLoader,
    maps::{Array, HashMap, MapData, MapError, PerCpuArray, RingBuf},
    programs::{BtfTracePoint, Iter, Program, ProgramError},
};
use thiserror::Error;

use super::{
    Btf, BtfError, Enroller, Guard, Ring,
    attach::{Attacher, Programs},
    missed::{self, Watched},
    release::Release,
    verified,
};

/// Thread ids that there can be (`PID_MAX_LIMIT`), and how many share one value of `MARKS`.
const THREAD_IDS: u32 = 4 << 20;
const MARKED_TOGETHER: u32 = 4_096;

/// Nanoseconds of a tick, in which `/proc` tells when a process began.
const TICK: u64 = 10_000_000;

/// The compiled kernel side.
static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/auditor"));

/// One program of the kernel side, and whether this kernel can run it.
#[derive(Clone, Debug)]
pub(crate) struct Probe {
    /// Name of the program.
    pub(crate) program: &'static str,
    /// The tracepoint it hangs on.
    pub(crate) tracepoint: &'static str,
    /// What it is for.
    pub(crate) purpose: &'static str,
    /// Whether nothing works without it.
    pub(crate) is_required: bool,
    /// Why it cannot run here; `None` when it can.
    pub(crate) obstacle: Option<String>,
}

/// What the kernel side counted since it was loaded, over all CPUs.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Counts {
    /// Records for which the ring had no room.
    pub(crate) refused: u64,
    /// Bytes of streams in them.
    pub(crate) lost_bytes: u64,
    /// Records delivered.
    pub(crate) written: u64,
    /// Bytes that could not be read from a program's memory.
    pub(crate) unreadable_bytes: u64,
    /// Events at which no program ran, for the one that should was preempted.
    pub(crate) missed: u64,
}

/// Bytes of a stream were lost up to a position.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Loss {
    /// Key of the stream.
    pub(crate) stream: u64,
    /// Which of the streams with that key.
    pub(crate) generation: u64,
    /// Position after the last lost byte.
    pub(crate) end: u64,
}

/// Why the kernel side could not be loaded.
#[derive(Debug, Error)]
pub(crate) enum ProbeError {
    /// No type information.
    #[error(transparent)]
    Btf(#[from] BtfError),
    /// The kernel's structures are not as expected.
    #[error("this kernel's types lack {0}, without which nothing can be heard")]
    Offsets(String),
    /// A program that everything depends on cannot run.
    #[error("cannot run {program}: {obstacle}")]
    Obstacle {
        /// The program.
        program: &'static str,
        /// Why.
        obstacle: String,
    },
    /// The kernel refused the object.
    #[error("the kernel refused the kernel side; are CAP_BPF and CAP_PERFMON there? {0}")]
    Load(#[from] aya::EbpfError),
    /// The kernel refused a program.
    #[error("the kernel refused program {program}: {source}")]
    Program {
        /// The program.
        program: &'static str,
        /// What the kernel said.
        source: ProgramError,
    },
    /// A map is not as expected.
    #[error("map {map}: {source}")]
    Map {
        /// The map.
        map: &'static str,
        /// What is wrong.
        source: MapError,
    },
    /// The ring cannot be read.
    #[error("cannot wait for the ring: {0}")]
    Ring(#[source] io::Error),
}

/// The maps of the loaded programs.
pub(crate) struct KernelSide {
    verdicts: HashMap<MapData, u64, u32>,
    /// How many verdicts were given: the kernel side looks for one only when this has changed.
    given: Array<MapData, u64>,
    verdicts_given: u64,
    losses: HashMap<MapData, u64, [u64; 2]>,
    serving: HashMap<MapData, u32, [u64; serving::WORDS]>,
    counts: PerCpuArray<MapData, u64>,
    watched: Vec<Watched>,
}

/// What loading gives.
pub(crate) struct Loaded {
    /// Counters and verdicts.
    pub(crate) kernel: KernelSide,
    /// Where records come from.
    pub(crate) ring: Ring,
    /// Holds all programs attached, and attaches those for TLS.
    pub(crate) enroller: Enroller,
    /// What runs, and what cannot.
    pub(crate) probes: Vec<Probe>,
    /// Tells whether all of it stays in place.
    pub(crate) guard: Guard,
}

/// What of the kernel side can run on this kernel.
pub(crate) fn probes(btf: &Btf) -> Vec<Probe> {
    let probe = |program, tracepoint, parameters, purpose, is_required| Probe {
        program,
        tracepoint,
        purpose,
        is_required,
        obstacle: (!btf.has_tracepoint(tracepoint, parameters)).then(|| {
            format!("this kernel has no tracepoint {tracepoint} with {parameters} parameters")
        }),
    };
    let release = Release::of_kernel();
    let reading = if release.preempts_tracepoints() {
        "sys_exit_perf"
    } else if release.has_bpf_loop() {
        "sys_exit"
    } else {
        "sys_exit_bounded"
    };
    let has_result = btf.has_tracepoint("io_uring_complete", 4);
    let uring = if has_result {
        "io_uring_complete"
    } else {
        "io_uring_complete_cqe"
    };
    let mut probes = vec![
        probe(reading, "sys_exit", 2, "bytes moved by system calls", true),
        probe(
            "sched_process_fork",
            "sched_process_fork",
            2,
            "births of processes",
            true,
        ),
        probe(
            "sched_process_exec",
            "sched_process_exec",
            3,
            "programs that processes run",
            true,
        ),
        probe(
            "sched_process_exit",
            "sched_process_exit",
            1,
            "ends of processes",
            true,
        ),
        probe(
            "inet_sock_set_state",
            "inet_sock_set_state",
            3,
            "births and ends of TCP connections",
            true,
        ),
        probe(
            "cgroup_mkdir",
            "cgroup_mkdir",
            2,
            "names of cgroups that live briefly",
            false,
        ),
        probe(
            uring,
            "io_uring_complete",
            3,
            "bytes moved by io_uring, as gaps",
            false,
        ),
    ];
    if release.preempts_tracepoints() {
        for (program, tracepoint, parameters) in SECOND {
            let purpose = "the same while another task's is looked at";
            probes.push(probe(program, tracepoint, parameters, purpose, true));
        }
    }
    probes
}

/// Programs behind those that may be preempted.
const SECOND: [(&str, &str, usize); 3] = [
    ("sched_process_fork_again", "sched_process_fork", 2),
    ("sched_process_exec_again", "sched_process_exec", 3),
    ("sched_process_exit_again", "sched_process_exit", 1),
];

impl KernelSide {
    /// Loads and attaches everything that can run here, and visits what is open already.
    ///
    /// # Errors
    /// When a required program cannot run; optional ones are left out.
    pub(crate) fn load(ring_bytes: u32) -> Result<Loaded, ProbeError> {
        let btf = Btf::of_kernel()?;
        let (offsets, missing) = btf.offsets()?;
        let missing: Vec<_> = missing
            .into_iter()
            .filter(|name| !name.starts_with("request_"))
            .collect();
        if !missing.is_empty() {
            return Err(ProbeError::Offsets(missing.join(", ")));
        }
        let release = Release::of_kernel();
        let twice = u32::from(release.preempts_tracepoints());
        let marks = if twice == 0 {
            1
        } else {
            THREAD_IDS / MARKED_TOGETHER
        };
        let seed = RandomState::new().build_hasher().finish();
        let mut ebpf = EbpfLoader::new()
            .override_global("OFFSETS", offsets.as_slice(), true)
            .override_global("SELF_TGID", &std::process::id(), true)
            .override_global("SEED", &seed, true)
            .override_global("TWICE", &twice, true)
            .map_max_entries("MARKS", marks)
            .map_max_entries("RING", ring_bytes)
            .load(OBJECT)?;
        let kernel_types =
            aya::Btf::from_sys_fs().map_err(|error| ProbeError::Load(error.into()))?;
        let mut probes = probes(&btf);
        let programs = Programs::of(release.has_bpf_loop());
        let can_run = probes.iter().filter(|probe| probe.obstacle.is_none());
        let wanted: Vec<_> = can_run
            .map(|probe| (probe.program, probe.tracepoint))
            .chain([("seed", "task_file")])
            .chain(programs.all().map(|name| (name, "")))
            .collect();
        let mut refused = verified::load(&mut ebpf, &wanted, &kernel_types);
        let mut watched = Vec::new();
        for probe in &mut probes {
            if let Some(obstacle) = &probe.obstacle {
                if probe.is_required {
                    return Err(ProbeError::Obstacle {
                        program: probe.program,
                        obstacle: obstacle.clone(),
                    });
                }
                continue;
            }
            let attached = match refused.remove(probe.program) {
                Some(error) => Err(error),
                None => attach(&mut ebpf, probe),
            };
            match attached {
                Ok(program) => watched.push(program),
                Err(source) if probe.is_required => {
                    return Err(ProbeError::Program {
                        program: probe.program,
                        source,
                    });
                }
                Err(source) => probe.obstacle = Some(source.to_string()),
            }
        }
        let failed = |program, source| ProbeError::Program { program, source };
        // Those that belong to none of the probes.
        if let Some((program, source)) = refused.into_iter().next() {
            return Err(failed(program, source));
        }
        visit_open_files(&mut ebpf).map_err(|source| failed("seed", source))?;
        let ring: RingBuf<_> = take(&mut ebpf, "RING")?;
        let ring = Ring::new(ring).map_err(ProbeError::Ring)?;
        let side = Self {
            verdicts: take(&mut ebpf, "VERDICTS")?,
            given: take(&mut ebpf, "GIVEN")?,
            verdicts_given: 0,
            losses: take(&mut ebpf, "LOSSES")?,
            serving: take(&mut ebpf, "SERVING")?,
            counts: take(&mut ebpf, "COUNTS")?,
            watched,
        };
        let (libraries, mapped) = (take(&mut ebpf, "LIBRARIES")?, take(&mut ebpf, "MAPPED")?);
        let attacher = Attacher::new(ebpf, programs, release.has_safe_returns(), libraries);
        let guard = Guard::of(attacher.loaded());
        let enroller = Enroller::new(attacher, mapped);
        Ok(Loaded {
            kernel: side,
            ring,
            enroller,
            probes,
            guard,
        })
    }

    /// Tells the kernel side that a stream which it began to copy in `epoch` is not MCP.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub(crate) fn revoke(&mut self, stream: u64, epoch: u32) -> Result<(), ProbeError> {
        self.verdicts
            .insert(stream, epoch, 0)
            .map_err(|source| ProbeError::Map {
                map: "VERDICTS",
                source,
            })?;
        // After the verdict: whoever sees the count changed finds it.
        self.verdicts_given += 1;
        self.given
            .set(0, self.verdicts_given, 0)
            .map_err(|source| ProbeError::Map {
                map: "GIVEN",
                source,
            })
    }

    /// Tells the kernel side whether the deeds of a process are wanted.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub(crate) fn set_role(&mut self, process: ProcessKey, role: Role) -> Result<(), ProbeError> {
        let mut state = self.serving.get(&process.pid, 0).unwrap_or_default();
        let known = state[serving::START];
        if known != 0 && known != process.start {
            state = [0; serving::WORDS];
        }
        // Of a process that is older than the probes only the tick is known.
        let is_exact = !process.start.is_multiple_of(TICK);
        state[serving::START] = if is_exact { process.start } else { 0 };
        state[serving::UNTIL] = match role {
            Role::Server => serving::ALWAYS,
            Role::Client => serving::NEVER,
        };
        self.serving
            .insert(process.pid, state, 0)
            .map_err(|source| ProbeError::Map {
                map: "SERVING",
                source,
            })
    }

    /// What was counted so far.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub(crate) fn counts(&self) -> Result<Counts, ProbeError> {
        let sum = |index: u32| -> Result<u64, ProbeError> {
            let values = self
                .counts
                .get(&index, 0)
                .map_err(|source| ProbeError::Map {
                    map: "COUNTS",
                    source,
                })?;
            Ok(values.iter().sum())
        };
        Ok(Counts {
            refused: sum(0)?,
            lost_bytes: sum(1)?,
            written: sum(2)?,
            unreadable_bytes: sum(3)?,
            missed: missed::sum(&self.watched),
        })
    }

    /// Where bytes were lost, as far as remembered; asked when [`Counts::lost_bytes`] has grown.
    pub(crate) fn losses(&self) -> Vec<Loss> {
        let entries = self.losses.iter().filter_map(Result::ok);
        entries
            .map(|(stream, [generation, end])| Loss {
                stream,
                generation,
                end,
            })
            .collect()
    }
}

fn attach(ebpf: &mut Ebpf, probe: &Probe) -> Result<Watched, ProgramError> {
    let program = ebpf
        .program_mut(probe.program)
        .ok_or(ProgramError::NotLoaded)?;
    if let Program::TracePoint(program) = program {
        program.attach("raw_syscalls", probe.tracepoint)?;
        return Watched::new(probe.program, probe.tracepoint, program.fd()?);
    }
    let program: &mut BtfTracePoint = program.try_into()?;
    program.attach()?;
    Watched::new(probe.program, probe.tracepoint, program.fd()?)
}

/// Runs the iterator over all open files once.
fn visit_open_files(ebpf: &mut Ebpf) -> Result<(), ProgramError> {
    let program: &mut Iter = ebpf
        .program_mut("seed")
        .ok_or(ProgramError::NotLoaded)?
        .try_into()?;
    let id = program.attach()?;
    let mut visit = program
        .take_link(id)?
        .into_file()
        .map_err(io::Error::other)?;
    io::copy(&mut visit, &mut io::sink())?;
    Ok(())
}

fn take<T: TryFrom<aya::maps::Map, Error = MapError>>(
    ebpf: &mut Ebpf,
    map: &'static str,
) -> Result<T, ProbeError> {
    let found = ebpf.take_map(map).ok_or(ProbeError::Map {
        map,
        source: MapError::InvalidName {
            name: map.to_owned(),
        },
    })?;
    found
        .try_into()
        .map_err(|source| ProbeError::Map { map, source })
}
