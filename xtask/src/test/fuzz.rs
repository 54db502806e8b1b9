//! A bounded run of each fuzz target.
//!
//! The targets are instrumented by the pinned stable compiler: without a sanitizer, which safe
//! Rust has little use for, nothing of it is unstable.

use std::{path::PathBuf, process::Command, thread::ScopedJoinHandle};

use anyhow::{Context, Result, anyhow, bail};

use super::report::Report;
use crate::{
    apt,
    command::{command, output, run},
    workspace,
};

const CARGO_FUZZ: &str = "0.13.2";
/// Time given to each target, in seconds.
const SECONDS: u32 = 8;

pub(super) fn check(report: &mut Report) {
    let targets = match prepare() {
        Ok(targets) => targets,
        Err(error) => return report.check("fuzz", || Err(error)),
    };
    // Each keeps one processor busy.
    for pair in targets.chunks(2) {
        let results: Vec<_> = std::thread::scope(|scope| {
            let runs: Vec<_> = pair
                .iter()
                .map(|target| scope.spawn(|| fuzz(target)))
                .collect();
            runs.into_iter().map(ScopedJoinHandle::join).collect()
        });
        for (target, result) in pair.iter().zip(results) {
            let result = result.unwrap_or_else(|_| Err(anyhow!("it panicked")));
            report.check(&format!("fuzz {target}"), || result);
        }
    }
}

/// Installs the runner, builds every target and names them.
fn prepare() -> Result<Vec<String>> {
    let version = output(&mut command("cargo-fuzz", ["--version"])).unwrap_or_default();
    if version.trim() != format!("cargo-fuzz {CARGO_FUZZ}") {
        println!("installing cargo-fuzz {CARGO_FUZZ}");
        // Unoptimised it is built in half the time, and does nothing that takes long.
        let install = [
            "install",
            "--quiet",
            "--debug",
            "cargo-fuzz",
            "--locked",
            "--force",
        ];
        let mut cargo = command("cargo", install);
        run(cargo
            .args(["--version", CARGO_FUZZ])
            .env_remove("CARGO_TARGET_DIR"))?;
    }
    if apt::is_here() {
        apt::install(&["g++"])?;
    }
    let list = output(&mut cargo_fuzz(&["list"])).context("fuzz/ names no targets")?;
    let targets: Vec<String> = list.lines().map(str::to_owned).collect();
    if targets.is_empty() {
        bail!("fuzz/ names no targets");
    }
    run(&mut cargo_fuzz(&["build", "--sanitizer", "none"]))?;
    Ok(targets)
}

/// Runs one target; its corpus lives in the target directory and is no longer than the run.
fn fuzz(target: &str) -> Result<()> {
    let corpus = workspace::target().join("fuzz-corpus").join(target);
    std::fs::create_dir_all(&corpus)?;
    let mut fuzz = command("cargo", ["fuzz", "run", "--sanitizer", "none", target]);
    fuzz.current_dir(folder()).arg(corpus);
    let seeds = folder().join("seeds").join(target);
    if seeds.is_dir() {
        fuzz.arg(seeds);
    }
    fuzz.args([
        "--",
        "-timeout=5",
        "-rss_limit_mb=2048",
        "-verbosity=0",
        "-print_final_stats=1",
    ]);
    let log = output(fuzz.arg(format!("-max_total_time={SECONDS}")))?;
    if let Some(runs) = log
        .lines()
        .find(|line| line.contains("number_of_executed_units"))
    {
        println!("{runs}");
    }
    Ok(())
}

fn folder() -> PathBuf {
    workspace::root().join("fuzz")
}

fn cargo_fuzz(arguments: &[&str]) -> Command {
    let mut cargo = command("cargo", ["fuzz"]);
    cargo.args(arguments).current_dir(folder());
    cargo
}
