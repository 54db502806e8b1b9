//! Installs the MCP programs that tests and the demonstration run, each at its pinned version.
//!
//! They are downloaded once into the cache and are unmodified. Nothing here starts them.

use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::{
    apt, cache,
    command::{command, output, succeeds},
    workspace,
};

/// The interpreter of a virtual environment that holds a set of pinned Python packages:
/// `sdk-1` (with a gateway) or `sdk-2` (with published servers).
pub(crate) fn python(set: &str) -> Result<PathBuf> {
    let pins = folder("python").join(format!("{set}.txt"));
    let text = std::fs::read(&pins).with_context(|| format!("cannot read {}", pins.display()))?;
    let version = output(&mut command("python3", ["-VV"]))?;
    let made = cache::entry(
        &format!("python-{set}"),
        &[&text, version.as_bytes()],
        |folder| {
            if apt::is_here()
                && !succeeds(&mut command("python3", ["-c", "import ensurepip, venv"]))
            {
                apt::install(&["python3-venv"])?;
            }
            println!("installing the Python packages of {}", pins.display());
            output(command("python3", ["-m", "venv"]).arg(folder))?;
            let pip = folder.join("bin/pip");
            let mut pip = command(&pip.to_string_lossy(), ["install", "--quiet"]);
            output(
                pip.args(["--disable-pip-version-check", "--requirement"])
                    .arg(&pins),
            )
            .map(drop)
        },
    )?;
    Ok(made.join("bin/python"))
}

/// The folder of a language's programs.
fn folder(language: &str) -> PathBuf {
    workspace::root().join("tests/programs").join(language)
}
