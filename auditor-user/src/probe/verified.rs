//! Has the kernel verify programs, on as many threads as there are processors: most of the time of a start is that, and
//! during an upgrade nothing is heard meanwhile. Attaches nothing.

use std::{
    collections::HashMap,
    num::NonZero,
    sync::{Mutex, PoisonError},
    thread,
};

use aya::{
    Ebpf,
    programs::{Program, ProgramError},
};

/// Loads programs, each with the tracepoint or kind of iterator that it is for; gives those that the kernel refused.
pub(super) fn load(
    ebpf: &mut Ebpf,
    wanted: &[(&'static str, &'static str)],
    types: &aya::Btf,
) -> HashMap<&'static str, ProgramError> {
    let found = ebpf.programs_mut().filter_map(|(name, program)| {
        let (name, what) = wanted.iter().find(|(wanted, _)| *wanted == name)?;
        Some((*name, *what, program))
    });
    let waiting = Mutex::new(found.collect::<Vec<_>>());
    let next = || waiting.lock().unwrap_or_else(PoisonError::into_inner).pop();
    let work = || {
        let mut refused = Vec::new();
        while let Some((name, what, program)) = next() {
            if let Err(error) = one(program, what, types) {
                refused.push((name, error));
            }
        }
        refused
    };
    thread::scope(|scope| {
        let processors = thread::available_parallelism().map_or(1, NonZero::get);
        let workers: Vec<_> = (0..processors).map(|_| scope.spawn(work)).collect();
        // A program whose thread died is not loaded, which its attaching says.
        let refused = workers.into_iter().filter_map(|worker| worker.join().ok());
        refused.flatten().collect()
    })
}

fn one(program: &mut Program, what: &str, types: &aya::Btf) -> Result<(), ProgramError> {
    match program {
        Program::TracePoint(program) => program.load(),
        Program::BtfTracePoint(program) => program.load(what, types),
        Program::Iter(program) => program.load(what, types),
        Program::UProbe(program) => program.load(),
        _ => Err(ProgramError::UnexpectedProgramType),
    }
}
