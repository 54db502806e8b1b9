//! Counts what programs were left out of: the kernel runs each only once on a CPU at a time.
//!
//! Loads nothing, attaches nothing; asks the kernel about programs that are attached.

use std::{
    fs,
    os::fd::{AsFd as _, AsRawFd as _, OwnedFd},
};

use aya::programs::{ProgramError, ProgramFd};

/// A program that is attached.
pub(super) struct Watched {
    program: &'static str,
    tracepoint: &'static str,
    fd: OwnedFd,
}

impl Watched {
    /// Watches a program.
    ///
    /// # Errors
    /// When there are too many open files.
    pub(super) fn new(
        program: &'static str,
        tracepoint: &'static str,
        fd: &ProgramFd,
    ) -> Result<Self, ProgramError> {
        Ok(Self {
            program,
            tracepoint,
            fd: fd.as_fd().try_clone_to_owned()?,
        })
    }

    /// Whether there is another behind it that does what it was left out of.
    fn is_backed(&self, all: &[Self]) -> bool {
        let is_behind =
            |other: &Self| other.tracepoint == self.tracepoint && other.program.ends_with("_again");
        !self.program.ends_with("_again") && all.iter().any(is_behind)
    }

    fn misses(&self) -> u64 {
        let path = format!("/proc/self/fdinfo/{}", self.fd.as_raw_fd());
        fs::read_to_string(path).map_or(0, |text| misses_in(&text))
    }
}

/// Events at which no program ran, since the programs were attached.
pub(super) fn sum(all: &[Watched]) -> u64 {
    all.iter()
        .filter(|program| !program.is_backed(all))
        .map(Watched::misses)
        .sum()
}

/// The kernel's count in what it tells of a descriptor; 0 before Linux 5.12, which does not tell.
fn misses_in(text: &str) -> u64 {
    text.lines()
        .find_map(|line| line.strip_prefix("recursion_misses:"))
        .and_then(|count| count.trim().parse().ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_count_is_found_where_the_kernel_tells_it() {
        let text = "pos:\t0\nprog_type:\t26\nprog_id:\t5\nrecursion_misses:\t369\n";
        assert_eq!(misses_in(text), 369);
        assert_eq!(misses_in("pos:\t0\n"), 0);
    }
}
