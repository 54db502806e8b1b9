//! Load for the auditor, and what it costs.
//!
//! Without a role this runs every measurement and prints a table; a role is one of the programs that the
//! measurements start. Ratios are of runs in turn, with and without the auditor, on the same machine.

mod audit;
mod auditor;
mod cost;
mod events;
mod flood;
mod identity;
mod latency;
mod queries;
mod report;
mod role;
mod sessions;
mod sizes;
mod stream;

use std::path::PathBuf;

use anyhow::Result;
use clap::{Parser, ValueEnum};

use self::{auditor::Auditor, report::Report, role::Role};

/// That of the auditor, whose stages are measured here by themselves, too.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[derive(Parser)]
struct Arguments {
    /// The auditor's binary
    #[arg(long, default_value = "target/release/mcp-auditor")]
    auditor: PathBuf,
    /// What answers queries
    #[arg(long, default_value = "target/release/mcp-auditor-query")]
    query: PathBuf,
    /// Where the log for queries is filled, and stays
    #[arg(long, default_value = "target/bench-queries")]
    folder: PathBuf,
    /// Events of that log
    #[arg(long, default_value_t = 10_000_000)]
    events: u64,
    /// Only these measurements [default: all but queries, which needs half an hour and 20 GB]
    #[arg(long, value_delimiter = ',')]
    only: Vec<Measurement>,
    /// Be one of the programs that measurements start
    #[command(subcommand)]
    role: Option<Role>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
enum Measurement {
    /// 20 sessions of 1000 calls at full speed
    Sessions,
    /// One-way notifications at the speed the writer reaches
    Stream,
    /// Messages of 100 B to 16 MiB in 1 to 10,000 writes
    Sizes,
    /// Ping-pong of one and four sessions, dd | cat, unrelated system calls
    Cost,
    /// From the last byte's system call to the event
    Latency,
    /// Endless half messages on 1000 pipes
    Flood,
    /// Who both ends of an event are, by itself
    Identity,
    /// The whole audit stage, and the classification of large bodies, by themselves
    Audit,
    /// Searches over ten million events
    Queries,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    if let Some(role) = arguments.role {
        return role.play();
    }
    let auditor = Auditor::new(arguments.auditor)?;
    let chosen = if arguments.only.is_empty() {
        let all = Measurement::value_variants().iter().copied();
        all.filter(|one| *one != Measurement::Queries).collect()
    } else {
        arguments.only
    };
    let mut report = Report::new();
    for measurement in chosen {
        match measurement {
            Measurement::Sessions => sessions::measure(&auditor, &mut report)?,
            Measurement::Stream => stream::measure(&auditor, &mut report)?,
            Measurement::Sizes => sizes::measure(&auditor, &mut report)?,
            Measurement::Cost => cost::measure(&auditor, &mut report)?,
            Measurement::Latency => latency::measure(&auditor, &mut report)?,
            Measurement::Flood => flood::measure(&auditor, &mut report)?,
            Measurement::Identity => identity::measure(&mut report)?,
            Measurement::Audit => audit::measure(&mut report)?,
            Measurement::Queries => {
                let (query, folder) = (&arguments.query, &arguments.folder);
                queries::measure(query, folder, arguments.events, &mut report)?;
            }
        }
    }
    report.finish()
}
