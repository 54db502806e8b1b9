//! What can be asked of the log, as flags.
//!
//! `mcp-auditor` shows them in its help, manual pages and completions, and passes them on to `mcp-auditor-query`, which
//! answers: the engine is not in the daemon's binary. Nothing is done here.

mod selection;
pub mod time;

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

pub use selection::Selection;

/// A question.
#[derive(Clone, Debug, Subcommand)]
pub enum Query {
    /// Find events: by filters, or by SQL.
    Search(Search),
    /// Tell all that somebody, a session, a token, a thing or a chain was part of, in causal order.
    Timeline(Timeline),
    /// Show the chain of an event: from what began it to the data.
    Chain(Chain),
    /// Make a report of evidence for auditors: what was recorded, what was not, and what proves it.
    Report(Report),
    /// Keep query copies up to the log, so that searches need not.
    Index(Index),
    /// Play an incident whose truth is known, and say how much of it the log tells.
    Exercise(Exercise),
}

/// Which log.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Which log")]
pub struct Where {
    /// The auditor's data directory
    #[arg(long, value_name = "DIR", default_value = "/var/lib/mcp-auditor")]
    pub data_dir: PathBuf,
    /// The folder of the log, where it was copied [default: log in the data directory]
    #[arg(long, value_name = "DIR")]
    pub log: Option<PathBuf>,
    /// Where query copies are kept; may be deleted [default: query in the data directory, or beside the copied log]
    #[arg(long, value_name = "DIR")]
    pub copies: Option<PathBuf>,
}

/// In which form.
#[derive(Args, Clone, Copy, Debug, Default)]
#[command(next_help_heading = "Output")]
pub struct Format {
    /// As JSON, one object a line
    #[arg(long, conflicts_with = "csv")]
    pub json: bool,
    /// As CSV, with the names of the columns first
    #[arg(long)]
    pub csv: bool,
}

impl Format {
    /// Whether a person reads it.
    pub fn is_for_people(self) -> bool {
        !self.json && !self.csv
    }
}

/// Flags of `search`.
#[derive(Args, Clone, Debug)]
pub struct Search {
    /// Which events.
    #[command(flatten)]
    pub selection: Selection,
    /// Which log.
    #[command(flatten)]
    pub log: Where,
    /// In which form.
    #[command(flatten)]
    pub format: Format,
    /// A query instead, over the tables events, resources and classes (docs/search.md lists their columns)
    #[arg(long, value_name = "QUERY", help_heading = "Which events")]
    pub sql: Option<String>,
    /// The newest so many
    #[arg(
        long,
        value_name = "COUNT",
        default_value_t = 100,
        help_heading = "Output"
    )]
    pub limit: usize,
    /// These columns of events; `*` for all
    #[arg(
        long,
        value_name = "NAMES",
        value_delimiter = ',',
        conflicts_with = "sql",
        help_heading = "Output"
    )]
    pub columns: Vec<String>,
    /// How many there are, and nothing else
    #[arg(long, conflicts_with_all = ["sql", "raw", "proof", "columns"], help_heading = "Output")]
    pub count: bool,
    /// The entries of the log themselves, one a line
    #[arg(long, conflicts_with_all = ["csv", "columns"], help_heading = "Output")]
    pub raw: bool,
    /// Also write a proof of each into this folder, for `mcp-auditor proof --check`
    #[arg(long, value_name = "DIR", help_heading = "Output")]
    pub proof: Option<PathBuf>,
}

/// Flags of `timeline`.
#[derive(Args, Clone, Debug)]
pub struct Timeline {
    /// Which events.
    #[command(flatten)]
    pub selection: Selection,
    /// Which log.
    #[command(flatten)]
    pub log: Where,
    /// In which form.
    #[command(flatten)]
    pub format: Format,
    /// Begin with the newest so many events; what belongs to their chains comes with them
    #[arg(
        long,
        value_name = "COUNT",
        default_value_t = 1_000,
        help_heading = "Output"
    )]
    pub limit: usize,
}

/// Flags of `chain`.
#[derive(Args, Clone, Debug)]
pub struct Chain {
    /// The event or finding: its uid
    pub event: String,
    /// Which log.
    #[command(flatten)]
    pub log: Where,
    /// In which form.
    #[command(flatten)]
    pub format: Format,
}

/// What a report is to speak to.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub enum Framework {
    /// SOC 2: Trust Services Criteria of 2017 (2022)
    Soc2,
    /// ISO/IEC 27001:2022, Annex A
    Iso27001,
    /// Regulation (EU) 2016/679
    Gdpr,
}

/// Flags of `report`.
#[derive(Args, Clone, Debug)]
pub struct Report {
    /// What it is to speak to
    pub framework: Framework,
    /// From this time on: RFC 3339, or how long ago (30d)
    #[arg(long, value_name = "TIME", value_parser = time::parse)]
    pub from: i64,
    /// Before this time [default: now]
    #[arg(long, value_name = "TIME", value_parser = time::parse)]
    pub to: Option<i64>,
    /// Which log.
    #[command(flatten)]
    pub log: Where,
    /// Write Markdown here [default: standard output]
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub markdown: Option<PathBuf>,
    /// Write a page of HTML here
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub html: Option<PathBuf>,
    /// The verifier key of the log, as it was noted at the first start
    #[arg(long, value_name = "KEY", help_heading = "Verification")]
    pub key: Option<String>,
    /// A checkpoint that was kept elsewhere; may be given several times
    #[arg(long, value_name = "FILE", help_heading = "Verification")]
    pub checkpoint: Vec<PathBuf>,
    /// The verifier key of a witness; may be given several times
    #[arg(long, value_name = "KEY", help_heading = "Verification")]
    pub witness: Vec<String>,
}

/// Flags of `index`.
#[derive(Args, Clone, Debug)]
pub struct Index {
    /// Which log.
    #[command(flatten)]
    pub log: Where,
    /// Go on as the log grows, until told to stop
    #[arg(long)]
    pub follow: bool,
}

/// Flags of `exercise`.
#[derive(Args, Clone, Debug)]
pub struct Exercise {
    /// Keep everything in this folder: programs, truth, log [default: a temporary one, removed at the end]
    #[arg(long, value_name = "DIR")]
    pub folder: Option<PathBuf>,
    /// The Python that makes the environment for the MCP programs; it fetches them from PyPI
    #[arg(long, value_name = "PROGRAM", default_value = "python3")]
    pub python: PathBuf,
    /// An environment that has the MCP programs already
    #[arg(long, value_name = "DIR")]
    pub environment: Option<PathBuf>,
    /// The auditor that is put to the test [default: the one beside this program]
    #[arg(long, value_name = "PROGRAM")]
    pub auditor: Option<PathBuf>,
    /// Fail where the log tells fewer of the facts, in percent
    #[arg(long, value_name = "PERCENT", default_value_t = 95)]
    pub at_least: u8,
    /// The score as JSON
    #[arg(long)]
    pub json: bool,
}
