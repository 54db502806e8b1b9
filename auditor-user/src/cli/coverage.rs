//! `mcp-auditor coverage`: every process that speaks, or may speak, MCP here, and how it is seen.
//!
//! Who speaks is what the daemon heard; who may speak is told by names on command lines, which proves nothing and is
//! said to prove nothing.

use std::{collections::HashSet, fs, path::PathBuf};

use anyhow::Result;
use auditor_core::audit::Process;
use clap::Args;
use serde::Serialize;

use crate::{
    capture::Clock,
    coverage::{self, Speaker},
    workload::{Cgroups, Table},
};

/// Words on a command line that hint at MCP, in lower case.
const HINTS: [&str; 3] = ["mcp", "modelcontextprotocol", "model-context-protocol"];
/// Parts of the names of mapped libraries that carry TLS.
const TLS: [&str; 4] = ["libssl", "libgnutls", "libnss3", "libboringssl"];

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
            print(&report);
        }
        Ok(())
    }

    fn examine(&self) -> Report {
        let mut table = Table::new(Clock::read().boot, Cgroups::default(), None);
        table.fill();
        let (speakers, obstacle) = match coverage::read(&self.data_dir) {
            Ok(speakers) => (speakers, None),
            Err(error) => {
                let path = self.data_dir.display();
                (
                    Vec::new(),
                    Some(format!(
                        "no word of a daemon in {path}: {error}; start `mcp-auditor run`, or name its --data-dir"
                    )),
                )
            }
        };
        let heard = |speaker: Speaker| {
            let is_running = table.is_running(speaker.pid, speaker.start_time);
            Heard {
                speaker,
                is_running,
            }
        };
        let speaks: Vec<_> = speakers.into_iter().map(heard).collect();
        let known: HashSet<u32> = speaks
            .iter()
            .filter(|heard| heard.is_running)
            .map(|heard| heard.speaker.pid)
            .collect();
        let mut may_speak: Vec<_> = table
            .processes()
            .filter(|process| {
                !known.contains(&process.key.pid) && process.key.pid != std::process::id()
            })
            .filter_map(|process| hint(process))
            .collect();
        may_speak.sort_by_key(|hint| hint.pid);
        Report {
            speaks,
            may_speak,
            obstacle,
        }
    }
}

/// What a command line hints at.
fn hint(process: &Process) -> Option<Hint> {
    let cmdline = process.cmdline.as_deref()?.join(" ");
    let lower = cmdline.to_lowercase();
    if !HINTS.iter().any(|word| lower.contains(word)) || lower.contains("mcp-auditor") {
        return None;
    }
    let has_tls = fs::read_to_string(format!("/proc/{}/maps", process.key.pid))
        .is_ok_and(|maps| TLS.iter().any(|library| maps.contains(library)));
    let seen = if has_tls {
        "nothing heard so far; what it says over TLS is not heard"
    } else {
        "nothing heard so far; pipes, sockets and plain HTTP are"
    };
    Some(Hint {
        pid: process.key.pid,
        exe: process.exe.clone(),
        cmdline,
        seen,
    })
}

fn print(report: &Report) {
    if let Some(obstacle) = &report.obstacle {
        println!("{obstacle}\n");
    }
    println!("SPEAKS MCP");
    println!(
        "{:>8}  {:<24} {:<14} {:<12} {:<12} {:>6} {:>5}",
        "pid", "program", "role", "transport", "object", "calls", "gaps"
    );
    for Heard {
        speaker,
        is_running,
    } in &report.speaks
    {
        println!(
            "{:>8}  {:<24} {:<14} {:<12} {:<12} {:>6} {:>5}{}",
            speaker.pid,
            name(speaker.exe.as_deref()),
            join(&speaker.roles),
            join(&speaker.transports),
            join(&speaker.channels),
            speaker.interactions,
            speaker.gaps,
            if *is_running { "" } else { "  ended" },
        );
    }
    println!("\nMAY SPEAK MCP (by its command line, which proves nothing)");
    for hint in &report.may_speak {
        println!(
            "{:>8}  {:<24} {}",
            hint.pid,
            name(hint.exe.as_deref()),
            hint.seen
        );
    }
}

fn join(names: &std::collections::BTreeSet<String>) -> String {
    names
        .iter()
        .map(String::as_str)
        .collect::<Vec<_>>()
        .join(",")
}

/// The last part of a path; control characters of hostile names are not printed.
fn name(exe: Option<&str>) -> String {
    let name = exe.and_then(|exe| exe.rsplit('/').next()).unwrap_or("?");
    name.chars()
        .map(|c| if c.is_control() { '·' } else { c })
        .take(24)
        .collect()
}
