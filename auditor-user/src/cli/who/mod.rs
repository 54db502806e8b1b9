//! `mcp-auditor who`: who a process, a container, a pod or the sides of an event are, and what that rests on.
//!
//! What was heard is read from the trail; what runs now is looked at as the daemon does. Asks the runtimes' sockets, and
//! nobody over the network.

mod live;
mod print;
mod query;
mod subject;
mod trail;

use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use auditor_core::key::ProcessKey;
use clap::Args;
use serde::Serialize;

use self::{
    query::Query,
    subject::{Identity, Subject},
    trail::{Found, Person},
};
use crate::{
    config::Config,
    workload::{self, TICK},
};

/// Flags of `who`.
#[derive(Args)]
pub(super) struct Arguments {
    /// A pid; the id (or its beginning) or the name of a container; the uid, the name or namespace/name of a pod; the uid
    /// of an event or a finding. A prefix `pid:`, `container:`, `pod:` or `event:` says which is meant
    #[arg(value_name = "PID|CONTAINER|POD|EVENT")]
    what: String,
    /// Configuration file [default: /etc/mcp-auditor/config.toml, if there is one]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where the daemon keeps its files
    #[arg(long, value_name = "DIR", default_value = "/var/lib/mcp-auditor")]
    data_dir: PathBuf,
    /// The trail [default: events.jsonl in the data directory]
    #[arg(long, value_name = "FILE")]
    events: Option<PathBuf>,
    /// Print JSON for programs
    #[arg(long)]
    json: bool,
}

/// What is known of what was asked for.
#[derive(Serialize)]
struct Answer {
    asked: String,
    #[serde(flatten)]
    found: Found,
    /// Why the trail says nothing.
    obstacle: Option<String>,
}

impl Arguments {
    pub(super) fn execute(self) -> Result<()> {
        let (config, _) = Config::read(self.config.as_deref())?;
        let Ok(query) = self.what.parse::<Query>();
        let events = self
            .events
            .unwrap_or_else(|| self.data_dir.join("events.jsonl"));
        let (mut found, obstacle) = match trail::read(&events, &query) {
            Ok(found) => (found, None),
            Err(error) => (Found::default(), Some(no_trail(&events, &error))),
        };
        let running = live::find(&query, &config)?;
        found.people.iter_mut().for_each(|person| {
            person.is_running = is_running(&person.subject);
        });
        running.into_iter().for_each(|one| found.take_running(one));
        // Who runs now is what most people ask for.
        found
            .people
            .sort_by_key(|person| (!person.is_running, person.last_heard.map(u64::wrapping_neg)));
        ensure!(
            !found.people.is_empty() || found.finding.is_some(),
            "{}{} is known to nobody: no process that runs, and nothing in {}",
            obstacle.map_or(String::new(), |obstacle| format!("{obstacle}\n")),
            self.what,
            events.display()
        );
        let answer = Answer {
            asked: self.what,
            found,
            obstacle,
        };
        if self.json {
            println!("{}", serde_json::to_string_pretty(&answer)?);
        } else {
            print::print(&answer);
        }
        Ok(())
    }
}

fn no_trail(path: &Path, error: &std::io::Error) -> String {
    format!(
        "no trail in {}: {error}; start `mcp-auditor run`, or name its file by --events",
        path.display()
    )
}

impl Found {
    /// Takes a process that runs: what events say of it stays.
    fn take_running(&mut self, (subject, identity): (Subject, Option<Identity>)) {
        let known = self
            .people
            .iter_mut()
            .find(|person| is_same(&person.subject, &subject));
        match known {
            Some(person) => person.is_running = true,
            None => self.people.push(Person {
                subject,
                identity,
                is_running: true,
                ..Person::default()
            }),
        }
    }
}

/// Whether two subjects are one process: /proc tells its start in ticks, the kernel side exactly.
fn is_same(a: &Subject, b: &Subject) -> bool {
    a.pid == b.pid && a.start_time / TICK == b.start_time / TICK
}

fn is_running(subject: &Subject) -> bool {
    workload::is_running(ProcessKey {
        pid: subject.pid,
        start: subject.start_time,
    })
}
