//! `cargo xtask image`: a container image of the binary and the few files that it needs, made without a registry.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};
use clap::Args;

use crate::{
    apt, build,
    command::{as_root, command, find, output, run},
    workspace,
};

#[derive(Args)]
pub(crate) struct Options {
    /// Name and tag of the image
    #[arg(long, default_value = concat!("mcp-auditor:", env!("CARGO_PKG_VERSION")))]
    pub(crate) tag: String,
    /// Write an archive, too, as `docker load`, `podman load` and `ctr images import` take it
    #[arg(long, value_name = "FILE")]
    pub(crate) archive: Option<PathBuf>,
    /// Leave out what answers queries: it takes long to build, and runs beside the image as well
    #[arg(long)]
    pub(crate) daemon_only: bool,
}

/// What resolves names and verifies certificates.
const AUTHORITIES: &str = "/etc/ssl/certs/ca-certificates.crt";

/// Builds the image.
pub(crate) fn image(options: &Options) -> Result<()> {
    let mut programs = vec![build::build()?];
    if !options.daemon_only {
        programs.push(build::query(build::Profile::Release)?);
    }
    if apt::is_here() {
        apt::install(&["binutils", "ca-certificates", "podman", "runc"])?;
    }
    ensure!(
        find("podman").is_some(),
        "podman builds the image: install it"
    );
    let root = workspace::target().join("image/root");
    if root.exists() {
        fs::remove_dir_all(&root)?;
    }
    fill(&root, &programs)?;
    let file = workspace::root().join("deploy/image/Containerfile");
    let mut podman = podman();
    podman.args([
        "build",
        "--quiet",
        "--pull=never",
        "--tag",
        &options.tag,
        "--file",
    ]);
    let built = output(podman.arg(file).arg(&root))?;
    println!("image: {} ({})", options.tag, built.trim());
    let Some(archive) = &options.archive else {
        return Ok(());
    };
    if archive.exists() {
        fs::remove_file(archive)?;
    }
    let mut podman = self::podman();
    podman.args(["save", "--quiet", "--format", "docker-archive", "--output"]);
    output(podman.arg(archive).arg(&options.tag))?;
    println!("archive: {}", archive.display());
    Ok(())
}

/// Puts programs, their libraries and what they read into a folder.
fn fill(root: &Path, programs: &[PathBuf]) -> Result<()> {
    let put = |from: &Path, to: &str| -> Result<()> {
        let to = root.join(to.trim_start_matches('/'));
        fs::create_dir_all(to.parent().unwrap_or(root))?;
        fs::copy(from, &to)
            .map(drop)
            .with_context(|| format!("cannot copy {} to {}", from.display(), to.display()))
    };
    for program in programs {
        let name = program.file_name().unwrap_or_default().to_string_lossy();
        put(program, &format!("/usr/bin/{name}"))?;
        // Names and places in the code stay at the side of who builds.
        let mut strip = command("strip", [""; 0]);
        run(strip.arg(root.join("usr/bin").join(&*name)))?;
        let libraries = output(command("ldd", [""; 0]).arg(program))?;
        let paths = libraries
            .lines()
            .filter_map(|line| line.split_whitespace().find(|word| word.starts_with('/')));
        let mut count = 0;
        for path in paths {
            put(Path::new(path), path)?;
            count += 1;
        }
        ensure!(
            count >= 2,
            "ldd names no libraries of {}",
            program.display()
        );
    }
    ensure!(
        Path::new(AUTHORITIES).exists(),
        "there are no authorities in {AUTHORITIES}; install ca-certificates"
    );
    put(Path::new(AUTHORITIES), AUTHORITIES)?;
    fs::write(root.join("etc/nsswitch.conf"), "hosts: files dns\n")?;
    for folder in ["tmp", "var/lib/mcp-auditor", "etc/mcp-auditor"] {
        fs::create_dir_all(root.join(folder))?;
    }
    Ok(())
}

/// podman, with a storage of its own where it runs as root in a container itself.
fn podman() -> std::process::Command {
    let storage = workspace::target().join("image/storage");
    let storage = storage.to_string_lossy().into_owned();
    let words = [
        "--root",
        &storage,
        "--storage-driver",
        "vfs",
        "--cgroup-manager",
        "cgroupfs",
        "--events-backend",
        "none",
    ];
    as_root("podman", words.map(str::to_owned))
}
