//! Asks the log of one node: search, timelines, chains, evidence reports, the tabletop exercise.
//!
//! A program of its own beside the daemon, which stays small. Reads the log and nothing else of the data directory; writes
//! query copies ([`copies`]), which are derived from it. No network. Each answer can be proven by the log.

mod copies;
mod engine;
mod exercise;
mod index;
mod output;
mod report;
mod search;
mod selection;
mod source;
mod timeline;

use anyhow::{Context as _, Result};
use auditor_query_cli::Query;
use clap::Parser;

/// Asks the log of events of this host.
#[derive(Parser)]
#[command(
    name = "mcp-auditor",
    bin_name = "mcp-auditor",
    version,
    max_term_width = 100
)]
pub struct Cli {
    #[command(subcommand)]
    query: Query,
}

impl Cli {
    /// Answers.
    ///
    /// # Errors
    /// With the mend in the message, when it cannot be done.
    pub fn execute(self) -> Result<()> {
        match self.query {
            Query::Search(arguments) => block_on(search::execute(arguments)),
            Query::Timeline(arguments) => block_on(timeline::execute(&arguments)),
            Query::Chain(arguments) => block_on(timeline::chain(&arguments)),
            Query::Report(arguments) => block_on(report::execute(&arguments)),
            Query::Exercise(arguments) => exercise::execute(&arguments),
            Query::Index(arguments) => index::execute(&arguments),
        }
    }
}

fn block_on<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.enable_time().build();
    runtime.context("no threads can be started")?.block_on(work)
}
