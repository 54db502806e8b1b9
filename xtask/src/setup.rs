//! `cargo xtask setup`: everything that building and running the daemon needs.
//!
//! Installs only what is missing, says what it did, and takes under a second when all is there.

use anyhow::{Result, bail};

use crate::{
    mounts,
    toolchain::{self, Route},
};

/// Prepares this host and gives the way the kernel side is to be compiled.
pub(crate) fn setup() -> Result<Route> {
    if !cfg!(target_os = "linux") {
        bail!("the auditor watches Linux hosts; set it up on one");
    }
    let route = toolchain::provide()?;
    mounts::mount()?;
    println!("setup: ready; the kernel side is built by {route}");
    Ok(route)
}
