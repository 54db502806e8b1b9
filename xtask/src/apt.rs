//! Installs Debian packages, only those that are missing.
//!
//! Does nothing on hosts without apt. The package lists are refreshed at most once per run,
//! and only when an installation without a refresh failed.

use std::{
    path::Path,
    process::Command,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use anyhow::{Result, bail};

use crate::command::{as_root, command, find, output, succeeds};

static REFRESHED: AtomicBool = AtomicBool::new(false);
/// apt does one thing at a time, and fails where two are asked of it.
static ONE: Mutex<()> = Mutex::new(());

/// Whether this host installs its packages with apt.
pub(crate) fn is_here() -> bool {
    find("apt-get").is_some() && find("dpkg-query").is_some()
}

/// Those of `packages` that are not installed.
pub(crate) fn missing<'a>(packages: &[&'a str]) -> Vec<&'a str> {
    let query = ["-W", "-f", "${Package} ${db:Status-Status}\n"];
    let installed = Command::new("dpkg-query")
        .args(query)
        .args(packages)
        .output();
    let listed = installed.map(|done| done.stdout).unwrap_or_default();
    let listed = String::from_utf8_lossy(&listed);
    let is_installed = |package: &str| {
        listed
            .lines()
            .any(|line| line == format!("{package} installed"))
    };
    packages
        .iter()
        .copied()
        .filter(|package| !is_installed(package))
        .collect()
}

/// Installs those of `packages` that are missing and says so.
pub(crate) fn install(packages: &[&str]) -> Result<()> {
    if !is_here() {
        bail!(
            "this host has no apt; install by hand what corresponds to {}",
            packages.join(" ")
        );
    }
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let missing = missing(packages);
    if missing.is_empty() {
        return Ok(());
    }
    println!("setup: installing Debian packages {}", missing.join(" "));
    if succeeds(&mut installation(&missing)) {
        return Ok(());
    }
    refresh()?;
    output(&mut installation(&missing)).map(drop)
}

/// Unpacks packages into a folder, without installing them.
pub(crate) fn unpack(packages: &[&str], folder: &Path) -> Result<()> {
    if !is_here() {
        bail!("this host has no apt; {} are needed", packages.join(" "));
    }
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let download = || {
        let mut apt = command("apt-get", ["-qq", "download"]);
        apt.args(packages).current_dir(folder);
        apt
    };
    if !succeeds(&mut download()) {
        refresh()?;
        output(&mut download())?;
    }
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "deb") {
            output(command("dpkg-deb", ["--extract"]).arg(&path).arg(folder))?;
            std::fs::remove_file(path)?;
        }
    }
    Ok(())
}

/// Whether apt knows a package, refreshing its lists if need be.
pub(crate) fn knows(package: &str) -> bool {
    let known = || {
        let policy = output(&mut command("apt-cache", ["policy", package])).unwrap_or_default();
        policy.contains("Candidate:") && !policy.contains("Candidate: (none)")
    };
    is_here() && (known() || (refresh().is_ok() && known()))
}

fn refresh() -> Result<()> {
    if !REFRESHED.swap(true, Ordering::Relaxed) {
        println!("setup: refreshing apt's package lists");
        output(&mut as_root("apt-get", ["-qq", "update"]))?;
    }
    Ok(())
}

fn installation(packages: &[&str]) -> Command {
    let fixed = [
        "DEBIAN_FRONTEND=noninteractive",
        "apt-get",
        "-qq",
        "install",
        "--yes",
        "--no-install-recommends",
    ];
    as_root("env", fixed.iter().chain(packages))
}
