//! `mcp-auditor coverage`: every process that speaks, or may speak, MCP here, and how it is seen.
//!
//! Who speaks is what the daemon heard; who may speak is told by names on command lines, which proves nothing and is
//! said to prove nothing. Which TLS libraries they use is read from /proc as it is now.

mod libraries;
mod print;

use std::{
    collections::{HashMap, HashSet},
    path::PathBuf,
};

use anyhow::Result;
use auditor_core::{audit::Process, tls::hints_at_mcp};
use clap::Args;
use serde::Serialize;

use self::libraries::{Datagram, Used, datagrams, used};
use crate::{
    capture::Clock,
    coverage::{self, Silent, Speaker},
    workload::{Cgroups, Table},
};

/// Flags of `coverage`.
#[derive(Args)]
pub(super) struct Arguments {
    /// Where the daemon keeps its files
    #[arg(long, value_name = "DIR", default_value = "/var/lib/mcp-auditor")]
    data_dir: PathBuf,
    /// Print JSON for programs
    #[arg(long)]
    json: bool,
}

/// All that is known.
#[derive(Serialize)]
struct Report {
    /// Processes that were heard; those that are gone are marked.
    speaks: Vec<Heard>,
    /// Processes whose command line hints at MCP, and that were not heard.
    may_speak: Vec<Hint>,
    /// TLS connections that may carry MCP, and were not heard.
    unheard: Vec<Silent>,
    /// TLS libraries of all those processes.
    libraries: Vec<Used>,
    /// UDP sockets of theirs that look like QUIC, which is not heard.
    quic: Vec<Datagram>,
    /// Why nothing is known of those who speak; `None` when the daemon's word was read.
    obstacle: Option<String>,
}

#[derive(Serialize)]
struct Heard {
    #[serde(flatten)]
    speaker: Speaker,
    is_running: bool,
}

#[derive(Serialize)]
struct Hint {
    pid: u32,
    exe: Option<String>,
    cmdline: String,
    /// What is seen of it, and what is not.
    seen: &'static str,
}

impl Arguments {
    pub(super) fn execute(self) -> Result<()> {
        let report = self.examine();
        if self.json {
            println!("{}", serde_json::to_string_pretty(&report)?);
        } else {
            print::print(&report);
        }
        Ok(())
    }

    fn examine(&self) -> Report {
        let mut table = Table::new(Clock::read().boot, Cgroups::default(), None);
        table.fill();
        let (stored, obstacle) = match coverage::read(&self.data_dir) {
            Ok(stored) => (stored, None),
            Err(error) => {
                let path = self.data_dir.display();
                let obstacle = format!(
                    "no word of a daemon in {path}: {error}; start `mcp-auditor run`, or name its --data-dir"
                );
                (coverage::Stored::default(), Some(obstacle))
            }
        };
        let heard = |speaker: Speaker| {
            let is_running = table.is_running(speaker.pid, speaker.start_time);
            Heard {
                speaker,
                is_running,
            }
        };
        let speaks: Vec<_> = stored.speakers.into_iter().map(heard).collect();
        let running = speaks.iter().filter(|heard| heard.is_running);
        let mut pids: Vec<u32> = running.map(|heard| heard.speaker.pid).collect();
        let known: HashSet<u32> = pids.iter().copied().collect();
        let is_other = |pid| !known.contains(&pid) && pid != std::process::id();
        let hinting = table
            .processes()
            .filter(|process| is_other(process.key.pid) && hints_at_mcp(process));
        let mut hinting: Vec<_> = hinting.collect();
        hinting.sort_by_key(|process| process.key.pid);
        pids.extend(hinting.iter().map(|process| process.key.pid));
        let files: HashMap<_, _> = stored.files.into_iter().collect();
        let libraries: Vec<_> = pids.iter().flat_map(|pid| used(*pid, &files)).collect();
        let may_speak = hinting
            .iter()
            .map(|process| hint(process, &libraries))
            .collect();
        Report {
            speaks,
            may_speak,
            unheard: stored.unheard,
            libraries,
            quic: pids.iter().flat_map(|pid| datagrams(*pid)).collect(),
            obstacle,
        }
    }
}

/// A process whose command line hints at MCP.
fn hint(process: &Process, libraries: &[Used]) -> Hint {
    let own = libraries.iter().filter(|used| used.pid == process.key.pid);
    let seen = match own.map(|used| used.is_heard).min() {
        None => "nothing heard so far; pipes, sockets and plain HTTP are",
        Some(true) => "nothing heard so far; pipes, sockets, plain HTTP and its TLS are",
        Some(false) => "nothing heard so far; what it says over TLS is not heard, see below",
    };
    Hint {
        pid: process.key.pid,
        exe: process.exe.clone(),
        cmdline: process
            .cmdline
            .as_ref()
            .map(|line| line.join(" "))
            .unwrap_or_default(),
        seen,
    }
}
