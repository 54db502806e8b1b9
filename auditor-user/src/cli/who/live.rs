//! Processes that run now, with what their runtimes and packages tell of them.
//!
//! Waits at most [`PATIENCE`] for what is found out aside.

use std::{
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use auditor_core::{
    Processes as _,
    audit::{Party, Process},
    identity,
    key::Actor,
};
use serde::{Serialize, de::DeserializeOwned};

use super::{
    query::Query,
    subject::{Identity, Subject},
};
use crate::{
    capture::Clock,
    config::Config,
    workload::{Cgroups, Containers, Hasher, Programs, Table},
};

const PATIENCE: Duration = Duration::from_secs(5);
const STEP: Duration = Duration::from_millis(10);

/// The running processes that were asked for.
///
/// # Errors
/// When a thread cannot be started.
pub(super) fn find(query: &Query, config: &Config) -> Result<Vec<(Subject, Option<Identity>)>> {
    let hasher = Hasher::start().context("cannot start the hashing thread")?;
    let mut table = Table::new(Clock::read().boot, Cgroups::of_host(), Some(hasher));
    let containers = Containers::start(&config.containers);
    table.set_containers(containers.context("cannot start the thread that learns of containers")?);
    let programs = Programs::start().context("cannot start the thread that looks for packages")?;
    table.set_programs(programs);
    table.fill();
    let keys: Vec<_> = table
        .processes()
        .filter(|process| may_be(query, process))
        .map(|process| process.key)
        .collect();
    let until = Instant::now() + PATIENCE;
    // `count` asks about all of them before the first is waited for.
    while keys.iter().filter(|key| table.is_learning(**key)).count() != 0 && Instant::now() < until
    {
        thread::sleep(STEP);
        table.take_answers();
    }
    let found = keys.iter().filter_map(|key| table.process(*key));
    Ok(found
        .filter_map(|process| described(&process))
        .filter(|(subject, _)| query.is(subject))
        .collect())
}

/// Whether more must be found out to tell.
fn may_be(query: &Query, process: &Process) -> bool {
    match query {
        Query::Pid(pid) => process.key.pid == *pid,
        Query::Event(_) => false,
        // What a container or a pod is called is known to those who made it.
        Query::Container(_) | Query::Pod(_) | Query::Any(_) => {
            process.cgroup.as_deref().is_some_and(|path| path != "/")
        }
    }
}

/// A process in the words of events.
fn described(process: &std::sync::Arc<Process>) -> Option<(Subject, Option<Identity>)> {
    let actor = Actor {
        process: process.key,
        tid: process.key.pid,
    };
    let party = Party {
        actor: Some(actor),
        process: Some(std::sync::Arc::clone(process)),
    };
    let identity = identity::Identity::of(Some(process), None, None, false);
    Some((
        read_back(party.view()?)?,
        identity.and_then(|identity| read_back(identity.view())),
    ))
}

/// The same value as whoever reads the trail has it.
fn read_back<T: DeserializeOwned>(view: impl Serialize) -> Option<T> {
    serde_json::from_value(serde_json::to_value(view).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_told_in_the_words_of_events() {
        let pid = std::process::id();
        let (subject, identity) = find(&Query::Pid(pid), &Config::default())
            .unwrap()
            .remove(0);
        assert_eq!(subject.pid, pid);
        assert_eq!(
            subject.exe.as_deref(),
            std::env::current_exe().unwrap().to_str()
        );
        assert_eq!(
            subject.lineage.first().unwrap().pid,
            std::os::unix::process::parent_id()
        );
        assert_eq!(identity.unwrap().assurance, "A2");
    }
}
