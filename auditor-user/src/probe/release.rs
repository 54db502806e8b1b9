//! What the kernel's version says where nothing else does: behaviour that can be neither asked for nor tried.

/// Version, patch level and sublevel of a kernel.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Release([u32; 3]);

impl Release {
    /// That of the running kernel; the newest where it does not tell.
    pub(crate) fn of_kernel() -> Self {
        nix::sys::utsname::uname().map_or(Self([u32::MAX; 3]), |name| {
            Self::parse(&name.release().to_string_lossy())
        })
    }

    fn parse(release: &str) -> Self {
        let mut numbers = release
            .split(|c: char| !c.is_ascii_digit())
            .map_while(|part| part.parse::<u32>().ok());
        match numbers.next() {
            Some(version) => Self([
                version,
                numbers.next().unwrap_or(0),
                numbers.next().unwrap_or(0),
            ]),
            None => Self([u32::MAX; 3]),
        }
    }

    /// Whether the kernel has `bpf_loop` (Linux 5.17).
    pub(super) fn has_bpf_loop(self) -> bool {
        self.0 >= [5, 17, 0]
    }

    /// Whether probes at the return of a function are safe for every program.
    ///
    /// Since Linux 6.11 they use a system call, which seccomp filters knew nothing of and refused: that ended the
    /// program. Filters no longer see it since 6.14, 6.13.3 and 6.12.14.
    pub(crate) fn has_safe_returns(self) -> bool {
        let [version, patch, sublevel] = self.0;
        match (version, patch) {
            (6, 11) => false,
            (6, 12) => sublevel >= 14,
            (6, 13) => sublevel >= 3,
            _ => true,
        }
    }

    /// Whether a tracepoint's program may be preempted, and is left out for other threads until it goes on.
    ///
    /// Seen on Linux 7.2; not on 6.18 and before, which keep preemption off while such programs run.
    pub(super) fn preempts_tracepoints(self) -> bool {
        self.0 >= [6, 19, 0]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_release_is_three_numbers() {
        let parse = |release| Release::parse(release).0;
        assert_eq!(parse("6.12.57+deb13-amd64"), [6, 12, 57]);
        assert_eq!(parse("6.18-rc1"), [6, 18, 0]);
        assert_eq!(parse("unknown"), [u32::MAX; 3]);
    }

    #[test]
    fn returns_are_not_probed_where_that_may_end_a_program() {
        for unsafe_release in ["6.11", "6.11.9", "6.12.13", "6.13.2"] {
            assert!(!Release::parse(unsafe_release).has_safe_returns());
        }
        for safe_release in ["5.15", "6.1", "6.10.9", "6.12.14", "6.13.3", "6.14", "7.2"] {
            assert!(Release::parse(safe_release).has_safe_returns());
        }
    }
}
