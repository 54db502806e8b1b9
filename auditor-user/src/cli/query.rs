//! `mcp-auditor search`, `timeline`, `chain`, `report`, `index`, `exercise`: passed on to the program that answers.
//!
//! The engine is a program of its own, beside this one or in `PATH`, so that the daemon stays small.

use std::{env, io::ErrorKind, os::unix::process::CommandExt as _, process::Command};

use anyhow::{Result, anyhow};

/// Its name.
const PROGRAM: &str = "mcp-auditor-query";

/// Becomes the program that answers, with the arguments of this one.
///
/// # Errors
/// When it is not installed.
pub(super) fn execute() -> Result<()> {
    let beside = env::current_exe()
        .ok()
        .map(|path| path.with_file_name(PROGRAM));
    let program = beside
        .filter(|path| path.exists())
        .unwrap_or_else(|| PROGRAM.into());
    let error = Command::new(&program).args(env::args_os().skip(1)).exec();
    Err(match error.kind() {
        ErrorKind::NotFound => anyhow!(
            "`{PROGRAM}` is neither beside this program nor in PATH: copy it there, or build it by `cargo xtask build --all`"
        ),
        _ => anyhow!("cannot run {}: {error}", program.display()),
    })
}
