//! Builds the kernel side with a toolchain that can, and leaves it where `include_bytes!` finds it.
//!
//! Two toolchains are known: Debian's compiler, which ships a ready `core` for BPF, linked into rustup as
//! `debian-bpf`; or a nightly with `rust-src`. `AUDITOR_BPF_TOOLCHAIN` names another.

use std::{env, path::Path, process::Command};

use anyhow::{Context, Result, bail};
use aya_build::{Package, Toolchain};

const DEBIAN: &str = "debian-bpf";

fn main() -> Result<()> {
    println!("cargo:rerun-if-env-changed=AUDITOR_BPF_TOOLCHAIN");
    let toolchain = match env::var("AUDITOR_BPF_TOOLCHAIN") {
        Ok(name) => name,
        Err(_) => find_toolchain()?,
    };
    if toolchain == DEBIAN {
        // Unstable features for these crates alone; aya-build would take `1` as a wish to build `core`.
        // SAFETY: nothing else runs in this build script yet.
        unsafe { env::set_var("RUSTC_BOOTSTRAP", "aya_ebpf,auditor") };
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../auditor-ebpf");
    let root_dir = root
        .to_str()
        .context("the path of the source is not UTF-8")?;
    println!("cargo:rerun-if-changed={root_dir}/../auditor-common");
    aya_build::build_ebpf(
        [Package {
            name: "auditor-ebpf",
            root_dir,
            ..Package::default()
        }],
        Toolchain::Custom(&toolchain),
    )
    .with_context(|| {
        format!("cannot build the kernel side with toolchain {toolchain}; run `cargo xtask setup`")
    })
}

/// Picks an installed toolchain that can build `core` for BPF or has it.
fn find_toolchain() -> Result<String> {
    let sysroot = |name: &str| {
        let output = Command::new("rustup")
            .args(["run", name, "rustc", "--print", "sysroot"])
            .output()
            .ok()?;
        output
            .status
            .success()
            .then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    if let Some(root) = sysroot("nightly")
        && Path::new(&root)
            .join("lib/rustlib/src/rust/library/core")
            .exists()
    {
        return Ok("nightly".to_owned());
    }
    if let Some(root) = sysroot(DEBIAN)
        && Path::new(&root)
            .join("lib/rustlib/bpfel-unknown-none")
            .exists()
    {
        return Ok(DEBIAN.to_owned());
    }
    bail!(
        "no toolchain for the kernel side: neither a nightly with rust-src nor {DEBIAN}; run `cargo xtask setup`"
    )
}
