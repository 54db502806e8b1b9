//! `cargo xtask vm`: the end-to-end tests on another kernel, in QEMU without hardware help.
//!
//! Debian's cloud kernels are fetched by suite. Timing in such a guest means nothing; limits are stretched.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::{
    apt, build, cache,
    command::{as_root, run},
    test::{Count, counted_with_code, e2e},
    workspace,
};

/// Kernels by version, and the Debian suite that has each.
const KERNELS: [(&str, &str); 3] = [("6.1", "bookworm"), ("6.12", "trixie"), ("7", "sid")];
const PACKAGES: [&str; 8] = [
    "qemu-system-x86",
    "busybox-static",
    "cpio",
    "kmod",
    "xz-utils",
    "zstd",
    "iproute2",
    "debian-archive-keyring",
];
/// How `xtask/vm/boot` ends when the guest did not come up, or did not come to the end of its command.
const NO_BOOT: i32 = 125;
/// Factor for the tests' time limits.
const SLOW: &str = "8";

#[derive(Args)]
pub(crate) struct Options {
    /// 6.1, 6.12 or 7; all of them when none is named
    kernel: Option<String>,
    /// Run only the tests whose name contains this
    #[arg(long)]
    only: Option<String>,
}

/// Runs the suite on the chosen kernels; tells whether all passed.
pub(crate) fn vm(options: &Options) -> Result<bool> {
    let chosen = |(version, _): &&(&str, &str)| {
        options
            .kernel
            .as_deref()
            .is_none_or(|kernel| kernel == *version)
    };
    let kernels: Vec<_> = KERNELS.iter().filter(chosen).collect();
    if kernels.is_empty() {
        bail!("no such kernel; known are 6.1, 6.12 and 7");
    }
    let only: Vec<&str> = options.only.as_deref().into_iter().collect();
    let mut failed = 0;
    for (version, _) in kernels {
        let count = check(version, &only)?;
        println!(
            "kernel {version}: {} passed, {} failed",
            count.passed, count.failed
        );
        failed += count.failed;
    }
    Ok(failed == 0)
}

/// Runs the tests whose names contain one of `only` (all when it is empty) on one kernel.
///
/// A guest that does not come up is started once more.
pub(crate) fn check(version: &str, only: &[&str]) -> Result<Count> {
    apt::install(&PACKAGES)?;
    let kernel = fetch(version)?;
    let auditor = build::build()?;
    let tests = e2e::build_tests()?;
    let installed = e2e::install(&["kubernetes".to_owned()])?;
    let boot = || {
        let script = workspace::root().join("xtask/vm/boot");
        let mut guest = as_root("env", [format!("SECONDS_LIMIT={}", limit(only))]);
        guest.arg(script).arg(&kernel);
        // The guest starts without this host's environment.
        guest.args(["env", "AUDITOR_E2E_ALONE=1"]);
        guest.args(
            installed
                .iter()
                .map(|(name, value)| format!("{name}={value}")),
        );
        guest
            .args(["sh", "-c", &self::script(only), "vm"])
            .arg(&tests)
            .arg(&auditor);
        counted_with_code(&mut guest)
    };
    let (count, code) = boot()?;
    if code != Some(NO_BOOT) || count.passed > 0 {
        return Ok(count);
    }
    println!("the guest did not come up; starting it once more");
    boot().map(|(count, _)| count)
}

/// Seconds that a guest may take: for some tests, or for all of them.
fn limit(only: &[&str]) -> u32 {
    if only.is_empty() { 4 * 3600 } else { 900 }
}

/// One run of the tests for each filter.
fn script(only: &[&str]) -> String {
    let test = format!(
        "\"$1\" --auditor \"$2\" --folder /tmp/e2e --without kubernetes --slow {SLOW} --jobs 1"
    );
    if only.is_empty() {
        return test;
    }
    let runs: Vec<_> = only
        .iter()
        .map(|filter| format!("{test} --only {filter} || status=1"))
        .collect();
    format!("status=0; {}; exit $status", runs.join("; "))
}

/// The unpacked kernel, from the cache where it is there.
fn fetch(version: &str) -> Result<PathBuf> {
    let (_, suite) = KERNELS
        .iter()
        .find(|(known, _)| *known == version)
        .context("no such kernel")?;
    let script = workspace::root().join("xtask/vm/fetch-kernel");
    let text = std::fs::read(&script)?;
    cache::entry(
        &format!("kernel-{version}"),
        &[&text, suite.as_bytes()],
        |folder: &Path| run(as_root(&script.to_string_lossy(), [suite]).arg(folder)),
    )
}
