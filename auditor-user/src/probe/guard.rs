//! Whether the programs that were loaded are still in the kernel, as they were, and attached.
//!
//! Looks at ids and tags only; attaches nothing. A tag is the kernel's hash over a program's instructions. User probes
//! come and go, so that of them only the programs are looked at.

use std::collections::HashMap;

use auditor_core::audit::Integrity;
use aya::programs::{ProgramInfo, loaded_links, loaded_programs};

/// Knows what was loaded and attached.
pub(crate) struct Guard {
    /// Tags of programs, by their ids in the kernel.
    programs: HashMap<u32, u64>,
    /// Programs of links, by the links' ids.
    links: HashMap<u32, u32>,
}

impl Guard {
    /// Notes these programs, and all that they hang on now.
    pub(super) fn of(programs: impl Iterator<Item = ProgramInfo>) -> Self {
        let programs: HashMap<_, _> = programs.map(|one| (one.id(), one.tag())).collect();
        let mut links = links();
        links.retain(|_, program| programs.contains_key(program));
        Self { programs, links }
    }

    /// Asks the kernel whether all of it is as it was.
    pub(crate) fn check(&self) -> Integrity {
        let programs = loaded_programs().filter_map(Result::ok);
        let programs = programs.map(|one| (one.id(), one.tag())).collect();
        self.compare(&programs, &links())
    }

    fn compare(&self, programs: &HashMap<u32, u64>, links: &HashMap<u32, u32>) -> Integrity {
        // Without CAP_SYS_ADMIN the kernel names none at all.
        if self.programs.is_empty() || programs.is_empty() {
            return Integrity::Unknown;
        }
        let is_loaded = |(id, tag)| programs.get(id) == Some(tag);
        let is_attached = |(id, program)| links.get(id) == Some(program);
        let is_whole = self.programs.iter().all(is_loaded) && self.links.iter().all(is_attached);
        if is_whole {
            Integrity::Expected
        } else {
            Integrity::Unexpected
        }
    }
}

fn links() -> HashMap<u32, u32> {
    // Of one that goes while it is asked for, nothing is told.
    let links = loaded_links().filter_map(Result::ok);
    links.map(|link| (link.id(), link.program_id())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_removed_replaced_or_detached_is_found() {
        let guard = Guard {
            programs: HashMap::from([(1, 100), (2, 200)]),
            links: HashMap::from([(9, 1)]),
        };
        let programs = |list: &[(u32, u64)]| list.iter().copied().collect();
        let links = |list: &[(u32, u32)]| list.iter().copied().collect();
        let whole = programs(&[(1, 100), (2, 200), (3, 300)]);
        let attached = links(&[(9, 1), (10, 3)]);
        assert_eq!(guard.compare(&whole, &attached), Integrity::Expected);
        for (programs, links) in [
            (programs(&[(1, 100)]), attached.clone()),
            (programs(&[(1, 100), (2, 201)]), attached.clone()),
            (whole.clone(), links(&[(10, 3)])),
            (whole.clone(), links(&[(9, 3)])),
        ] {
            assert_eq!(guard.compare(&programs, &links), Integrity::Unexpected);
        }
        let nothing = Guard {
            programs: HashMap::new(),
            links: HashMap::new(),
        };
        assert_eq!(nothing.compare(&whole, &attached), Integrity::Unknown);
        let unasked = guard.compare(&programs(&[]), &links(&[]));
        assert_eq!(unasked, Integrity::Unknown);
    }
}
