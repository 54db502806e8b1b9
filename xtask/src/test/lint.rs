//! The checks that run nothing: formatting, clippy, and what the dependencies bring along.

use std::process::Command;

use anyhow::Result;

use super::report::Report;
use crate::{
    apt,
    command::{command, output, run, succeeds},
    toolchain::Route,
    workspace,
};

const CARGO_DENY: &str = "0.20.2";

pub(super) fn check(route: Route, report: &mut Report) {
    report.check("rustfmt", || run(&mut cargo(["fmt", "--all", "--check"])));
    report.check("clippy", || clippy(route));
    report.check("clippy, kernel side", || clippy_kernel(route));
    report.check("cargo deny", deny);
}

/// As `cargo clippy` does it, but building: what the unit tests need of others is then built once, and not checked before.
fn clippy(route: Route) -> Result<()> {
    let mut clippy = cargo(["test", "--no-run", "--quiet", "--workspace"]);
    route.apply(&mut clippy);
    clippy.args(["--exclude", "auditor-ebpf", "--all-targets"]);
    clippy.env("RUSTC_WORKSPACE_WRAPPER", "clippy-driver");
    // How cargo-clippy passes its arguments on.
    run(clippy.env("CLIPPY_ARGS", "-Dwarnings__CLIPPY_HACKERY__"))
}

/// The kernel side is looked at by the clippy of the compiler that builds it.
fn clippy_kernel(route: Route) -> Result<()> {
    let mut clippy = match route {
        Route::Nightly => {
            let mut clippy = command("rustup", ["run", "nightly", "cargo", "clippy"]);
            clippy.args(["-Z", "build-std=core"]);
            clippy
        }
        Route::Debian => {
            apt::install(&["rust-web-clippy"])?;
            // Told by path: rustup's own folder comes first in PATH.
            let mut clippy = command("/usr/bin/cargo", ["clippy"]);
            let path = std::env::var("PATH").unwrap_or_default();
            clippy
                .env("PATH", format!("/usr/bin:{path}"))
                .env("RUSTC_BOOTSTRAP", "aya_ebpf,auditor");
            clippy
        }
    };
    clippy.args([
        "--quiet",
        "--package",
        "auditor-ebpf",
        "--target",
        "bpfel-unknown-none",
    ]);
    clippy
        .args(["--release", "--target-dir"])
        .arg(workspace::target().join("kernel-clippy"));
    let architecture = format!("--cfg=bpf_target_arch=\"{}\"", std::env::consts::ARCH);
    clippy
        .env("CARGO_ENCODED_RUSTFLAGS", architecture)
        .env_remove("RUSTUP_TOOLCHAIN");
    clippy.env_remove("RUSTC").env_remove("CARGO");
    run(clippy
        .args(["--", "-D", "warnings"])
        .current_dir(workspace::root()))
}

fn deny() -> Result<()> {
    let version = output(&mut command("cargo-deny", ["--version"])).unwrap_or_default();
    if version.trim() != format!("cargo-deny {CARGO_DENY}") {
        println!("installing cargo-deny {CARGO_DENY} (about a minute)");
        // Unoptimised it is built in half the time.
        let install = [
            "install",
            "--quiet",
            "--debug",
            "cargo-deny",
            "--locked",
            "--force",
        ];
        let mut cargo = command("cargo", install);
        cargo.args(["--version", CARGO_DENY, "--no-default-features"]);
        run(cargo.env_remove("CARGO_TARGET_DIR"))?;
    }
    run(&mut denied(&["licenses", "bans", "sources"]))?;
    // Advisories need a database that is fetched; its absence is no fault of this project.
    if succeeds(&mut command("cargo", ["deny", "fetch", "db"])) {
        return run(&mut denied(&["advisories"]));
    }
    println!("cargo deny: advisories were not checked, their database cannot be reached");
    Ok(())
}

fn denied(checks: &[&str]) -> Command {
    let mut deny = command("cargo", ["deny", "--log-level", "error", "check"]);
    deny.args(["--hide-inclusion-graph", "--allow", "duplicate"])
        .args(checks);
    deny.current_dir(workspace::root());
    deny
}

fn cargo<const N: usize>(arguments: [&str; N]) -> Command {
    let mut cargo = command("cargo", arguments);
    cargo.current_dir(workspace::root());
    cargo
}
