//! `cargo xtask run`: builds the auditor and starts it on this host.

use std::{os::unix::process::CommandExt, path::Path};

use anyhow::{Context, Result};
use clap::Args;

use crate::{
    build,
    command::{as_root, is_root},
    demo,
};

#[derive(Args)]
pub(crate) struct Options {
    /// Also play a session between a real MCP client and server, show its events, and end
    #[arg(long)]
    demo: bool,
    /// Arguments for `mcp-auditor run`; without any, events are shown as they come
    #[arg(last = true)]
    arguments: Vec<String>,
}

/// Starts the auditor in place of this process, or plays the demonstration.
pub(crate) fn run(options: Options) -> Result<()> {
    let auditor = build::build()?;
    if options.demo {
        return demo::play(&auditor, &options.arguments);
    }
    let mut arguments = vec!["run".to_owned()];
    if options.arguments.is_empty() {
        arguments.extend(["--events", "-", "--format", "pretty"].map(str::to_owned));
        arguments.extend(["--data-dir".to_owned(), data_folder().display().to_string()]);
    }
    arguments.extend(options.arguments);
    if !is_root() {
        println!("run: asking sudo, for probes need root");
    }
    let error = as_root(path_text(&auditor)?, arguments).exec();
    Err(error).context("cannot start the auditor")
}

/// Where a run from the clone keeps its data.
pub(crate) fn data_folder() -> std::path::PathBuf {
    crate::workspace::target().join("data")
}

/// The path as a command's name.
pub(crate) fn path_text(path: &Path) -> Result<&str> {
    path.to_str().context("the path is not UTF-8")
}
