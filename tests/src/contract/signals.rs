//! A signal ends the daemon in good order.

use anyhow::{Result, ensure};

use super::Setup;
use crate::speaker;

/// Control-C.
pub(super) fn interrupt(setup: &Setup) -> Result<()> {
    ends(setup, "INT")
}

/// What a service manager sends.
pub(super) fn terminate(setup: &Setup) -> Result<()> {
    ends(setup, "TERM")
}

/// What was said just before the signal is in the file, and the counts of each layer are told.
fn ends(setup: &Setup, signal: &str) -> Result<()> {
    let mut daemon = setup.daemon(&[])?;
    let pid = speaker::say(&[speaker::HELLO, "\n"])?;
    let status = daemon.stop_by(signal, setup.limit)?;
    ensure!(status.code() == Some(0), "it ended with {status}");
    let log = daemon.log();
    for layer in ["kernel: ", "pipeline: ", "output: "] {
        let line = log.lines().find(|line| line.starts_with(layer));
        let is_counted = line.is_some_and(|line| line.contains(|c: char| c.is_ascii_digit()));
        ensure!(is_counted, "no counts of {layer}in: {log}");
    }
    ensure!(
        !daemon.events().of(&[pid])?.is_empty(),
        "what was said before is lost"
    );
    Ok(())
}
