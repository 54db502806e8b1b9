//! `cargo xtask build`: the release binary, with the kernel side inside; and what answers queries, which is another.

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Args;

use crate::{
    command::{command, run},
    setup::setup,
    workspace,
};

#[derive(Args)]
pub(crate) struct Options {
    /// Also what answers `search`, `timeline`, `chain`, `report` and `exercise` (takes far longer than the daemon)
    #[arg(long)]
    all: bool,
}

/// How what answers queries is built.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Profile {
    /// As users have it.
    Release,
    /// As the unit tests have it: built in a third of the time, and answers the same.
    Dev,
}

/// Builds what was asked for.
pub(crate) fn execute(options: &Options) -> Result<()> {
    build()?;
    if options.all {
        let query = query(Profile::Release)?;
        println!("build: {}", query.display());
    }
    Ok(())
}

/// Builds what answers queries and gives its path.
pub(crate) fn query(profile: Profile) -> Result<PathBuf> {
    let (mut cargo, folder) = match profile {
        Profile::Release => {
            let build = ["build", "--release", "--package", "auditor-query"];
            (command("cargo", build), "release")
        }
        Profile::Dev => {
            // With the unit tests of the whole workspace: any other choice has dependencies built anew with other features.
            let mut cargo = command("cargo", ["test", "--no-run", "--quiet", "--workspace"]);
            setup()?.apply(&mut cargo);
            cargo.args(["--exclude", "auditor-ebpf", "--test", "answers"]);
            (cargo, "debug")
        }
    };
    run(cargo.current_dir(workspace::root()))?;
    Ok(workspace::target().join(folder).join("mcp-auditor-query"))
}

/// Builds the daemon and gives its path.
pub(crate) fn build() -> Result<PathBuf> {
    let route = setup()?;
    let mut cargo = command("cargo", ["build", "--release", "--package", "auditor-user"]);
    route.apply(&mut cargo);
    run(cargo.current_dir(workspace::root())).with_context(|| {
        "the daemon did not build; if the linker complained of bitcode, its LLVM does not match \
         the compiler's: run `cargo uninstall bpf-linker`, then `cargo xtask setup`"
    })?;
    let auditor = workspace::auditor();
    println!("build: {}", auditor.display());
    Ok(auditor)
}
