//! The command line. One file a command; this one only says what there is.

mod coverage;
mod doctor;
mod generate;
mod policy;
mod proof;
mod query;
mod rules;
mod run;
mod verify;
mod who;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

/// Records every MCP interaction on this host: who called what, and how it ended. Changes nothing.
#[derive(Parser)]
#[command(name = "mcp-auditor", version, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Audit this host, or play a capture file.
    Run(run::Arguments),
    /// Say what this host offers, and what cannot be seen and why.
    Doctor(doctor::Arguments),
    /// List every process that speaks, or may speak, MCP here, and how it is seen.
    Coverage(coverage::Arguments),
    /// Say who a process, a container, a pod or the sides of an event are, and what that rests on.
    Who(who::Arguments),
    /// Check, test and explain what interactions are decided by.
    Policy(policy::Arguments),
    /// Check and list the rules that events are compared with.
    Rules(rules::Arguments),
    /// Say whether the log of events is as it was written. Exits with 3 if it was tampered with.
    Verify(verify::Arguments),
    /// Prove that an event is in the log, or check such a proof.
    Proof(proof::Arguments),
    #[command(flatten)]
    Query(Box<auditor_query_cli::Query>),
    /// Make manual pages and completions for shells.
    Generate(generate::Arguments),
    /// Search the file on standard input for TLS stacks: what `run` starts for large files.
    #[command(hide = true)]
    Inspect,
}

impl Cli {
    /// Does what was asked.
    ///
    /// # Errors
    /// With the mend in the message, when it cannot be done.
    pub(crate) fn execute(self) -> Result<ExitCode> {
        let done = match self.command {
            Command::Run(arguments) => arguments.execute(),
            Command::Doctor(arguments) => arguments.execute(),
            Command::Coverage(arguments) => arguments.execute(),
            Command::Who(arguments) => arguments.execute(),
            Command::Policy(arguments) => arguments.execute(),
            Command::Rules(arguments) => arguments.execute(),
            Command::Verify(arguments) => return arguments.execute(),
            Command::Proof(arguments) => arguments.execute(),
            Command::Query(_) => query::execute(),
            Command::Generate(arguments) => arguments.execute(),
            Command::Inspect => Ok(crate::probe::inspect()?),
        };
        done.map(|()| ExitCode::SUCCESS)
    }
}

/// A text without what could drive the terminal: names come from whoever is audited.
fn harmless(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { '·' } else { c })
        .collect()
}
