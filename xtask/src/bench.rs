//! `cargo xtask bench`: what the auditor costs, against a load of its own.

use std::process::Command;

use anyhow::Result;
use clap::Args;

use crate::{
    build,
    command::{as_root, command, run},
    run::path_text,
    workspace,
};

#[derive(Args)]
pub(crate) struct Options {
    /// Only these measurements: sessions, stream, sizes, cost, latency, flood, identity, audit, queries
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
}

/// Builds the auditor and the load, and measures.
pub(crate) fn bench(options: &Options) -> Result<()> {
    let auditor = build::build()?;
    let build = [
        "build",
        "--release",
        "--quiet",
        "--package",
        "auditor-bench",
    ];
    run(command("cargo", build).current_dir(workspace::root()))?;
    let query = workspace::target().join("release/mcp-auditor-query");
    if options.only.iter().any(|one| one == "queries") {
        build::query(build::Profile::Release)?;
    }
    // The flood opens two descriptors for each of its pipes.
    let script = "ulimit -n 4096; exec \"$@\"";
    let load = workspace::target().join("release/auditor-bench");
    let words = [
        "-c",
        script,
        "bench",
        path_text(&load)?,
        "--auditor",
        path_text(&auditor)?,
        "--query",
        path_text(&query)?,
    ];
    let mut measured: Command = as_root("sh", words.map(str::to_owned));
    if !options.only.is_empty() {
        measured.arg("--only").arg(options.only.join(","));
    }
    run(&mut measured)
}
