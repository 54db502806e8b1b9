//! `cargo xtask build`: the release binary, with the kernel side inside.

use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::{
    command::{command, run},
    setup::setup,
    workspace,
};

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
