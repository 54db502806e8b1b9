//! Finds, or installs, a compiler and a linker for the kernel side.
//!
//! Two routes lead there, and the first one that works is taken and said:
//! a nightly toolchain with `rust-src`, which builds `core` for the kernel target itself, or
//! Debian's `rustc-web`, which carries a ready `core`. Rustup is asked for a download only where
//! Debian's packages are not to be had, and never when `RUSTUP_AUTO_INSTALL=0` forbids it.

use std::{
    fmt,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};

use crate::{
    apt,
    command::{command, find, output, run},
};

const LINKER: &str = "0.13.0";
const DEBIAN_TOOLCHAIN: &str = "debian-bpf";
const DEBIAN_PACKAGES: [&str; 3] = ["rustc-web", "cargo-web", "libstd-rust-web-dev-bpf"];
const DEBIAN_LLVM: u32 = 22;

/// How the kernel side is compiled.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Route {
    /// A nightly toolchain that builds `core` from its sources.
    Nightly,
    /// Debian's compiler with its ready-made `core`.
    Debian,
}

impl fmt::Display for Route {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Nightly => "rustup's nightly with rust-src",
            Self::Debian => "Debian's rustc-web",
        })
    }
}

impl Route {
    /// Tells cargo, and so the daemon's build script, which route to take.
    pub(crate) fn apply(self, cargo: &mut Command) {
        let toolchain = match self {
            Self::Nightly => "nightly",
            Self::Debian => DEBIAN_TOOLCHAIN,
        };
        cargo.env("AUDITOR_BPF_TOOLCHAIN", toolchain);
    }
}

/// Gives a working route, installing what it needs.
pub(crate) fn provide() -> Result<Route> {
    let route = choose()?;
    match route {
        Route::Nightly => linker(nightly_llvm()?)?,
        Route::Debian => {
            link_toolchain()?;
            linker(DEBIAN_LLVM)?;
        }
    }
    Ok(route)
}

fn choose() -> Result<Route> {
    if has_nightly() {
        return Ok(Route::Nightly);
    }
    if has_debian() {
        return Ok(Route::Debian);
    }
    if apt::knows(DEBIAN_PACKAGES[2]) {
        apt::install(&DEBIAN_PACKAGES)?;
        if has_debian() {
            return Ok(Route::Debian);
        }
    }
    let forbidden = std::env::var("RUSTUP_AUTO_INSTALL").is_ok_and(|value| value == "0");
    if find("rustup").is_some() && !forbidden {
        println!("setup: installing rustup's nightly toolchain with rust-src");
        let nightly = ["toolchain", "install", "nightly", "--profile", "minimal"];
        run(command("rustup", nightly).args(["--component", "rust-src"]))?;
        return Ok(Route::Nightly);
    }
    bail!(
        "no compiler for the kernel side: run `rustup toolchain install nightly --component \
         rust-src`, or on Debian `apt-get install {}`",
        DEBIAN_PACKAGES.join(" ")
    )
}

/// Whether a nightly toolchain is there together with the sources of `core`.
fn has_nightly() -> bool {
    // The list is asked first: naming an absent toolchain may make rustup download it.
    let toolchains = output(&mut command("rustup", ["toolchain", "list"])).unwrap_or_default();
    if !toolchains.lines().any(|line| line.starts_with("nightly-")) {
        return false;
    }
    let sysroot = ["run", "nightly", "rustc", "--print", "sysroot"];
    let sysroot = output(&mut command("rustup", sysroot)).unwrap_or_default();
    Path::new(sysroot.trim())
        .join("lib/rustlib/src/rust/library/core/src/lib.rs")
        .exists()
}

fn has_debian() -> bool {
    Path::new("/usr/lib/rustlib/bpfel-unknown-none").is_dir()
        && Path::new("/usr/bin/rustc").exists()
        && Path::new("/usr/bin/cargo").exists()
}

fn nightly_llvm() -> Result<u32> {
    let version = output(&mut command("rustup", ["run", "nightly", "rustc", "-vV"]))?;
    let line = version
        .lines()
        .find_map(|line| line.strip_prefix("LLVM version: "));
    let major = line.and_then(|version| version.split('.').next()?.parse().ok());
    major.context("nightly does not tell its LLVM version")
}

/// Makes Debian's compiler known to rustup; without rustup it is the only one anyway.
fn link_toolchain() -> Result<()> {
    if find("rustup").is_none() {
        return Ok(());
    }
    let toolchains = output(&mut command("rustup", ["toolchain", "list"]))?;
    let is_linked = |line: &str| line.split(' ').next() == Some(DEBIAN_TOOLCHAIN);
    if !toolchains.lines().any(is_linked) {
        println!("setup: linking Debian's compiler as rustup toolchain {DEBIAN_TOOLCHAIN}");
        output(&mut command(
            "rustup",
            ["toolchain", "link", DEBIAN_TOOLCHAIN, "/usr"],
        ))?;
    }
    Ok(())
}

/// Installs bpf-linker, built for the LLVM release of the compiler that feeds it.
fn linker(llvm: u32) -> Result<()> {
    let version = output(&mut command("bpf-linker", ["--version"])).unwrap_or_default();
    if version.trim() == format!("bpf-linker {LINKER}") {
        return Ok(());
    }
    let prefix = llvm_prefix(llvm)?;
    println!("setup: building bpf-linker {LINKER} for LLVM {llvm} (about two minutes)");
    let install = [
        "install",
        "bpf-linker",
        "--version",
        LINKER,
        "--locked",
        "--quiet",
        "--force",
    ];
    let mut cargo = command("cargo", install);
    cargo.args([
        "--no-default-features",
        "--features",
        &format!("llvm-{llvm}"),
    ]);
    cargo
        .env(format!("LLVM_SYS_{llvm}1_PREFIX"), &prefix)
        .env("LLVM_PREFIX", &prefix);
    // Its target folder is its own, not the one of this workspace.
    run(cargo.env_remove("CARGO_TARGET_DIR")).context(
        "bpf-linker did not build; a release binary of bpf-linker in PATH will do as well",
    )?;
    if find("bpf-linker").is_none() {
        bail!("bpf-linker was installed outside PATH; add cargo's bin folder to PATH");
    }
    Ok(())
}

fn llvm_prefix(llvm: u32) -> Result<PathBuf> {
    let prefix = PathBuf::from(format!("/usr/lib/llvm-{llvm}"));
    if !prefix.join("include/llvm-c").is_dir() {
        let package = format!("llvm-{llvm}-dev");
        apt::install(&[package.as_str(), "g++"]).with_context(|| {
            format!(
                "bpf-linker is missing and cannot be built without {package}; \
                 put a release binary of bpf-linker {LINKER} in PATH"
            )
        })?;
    }
    Ok(prefix)
}
