//! Images made of files of this host: an archive that containerd takes, no registry.

use std::{fs, path::Path, process::Command};

use anyhow::{Context as _, Result};
use serde_json::json;

use super::{cluster::output, manifests::SCENARIO};
use crate::{engine::layer, programs::go};

/// Name of the image, with its tag.
pub(super) const NAME: &str = "docker.io/local/mcp-e2e:1";
/// What pods are held together by.
pub(super) const PAUSE: &str = "docker.io/local/mcp-e2e-pause:1";

/// Makes both images in a folder; gives their archives.
pub(super) fn make(folder: &Path) -> Result<[std::path::PathBuf; 2]> {
    let root = folder.join("root");
    layer::make(&root)?;
    for role in ["client", "server"] {
        let program = go(role)?;
        fs::copy(program.get_program(), root.join("bin").join(role))
            .with_context(|| format!("cannot copy the Go {role}"))?;
    }
    fs::write(root.join("scenario.json"), SCENARIO)?;
    let stay = ["/bin/busybox", "sleep", "1000000"];
    Ok([
        archive(folder, "image", NAME, &["/bin/busybox"])?,
        archive(folder, "pause", PAUSE, &stay)?,
    ])
}

/// An archive as `docker save` makes it.
fn archive(folder: &Path, file: &str, name: &str, entry: &[&str]) -> Result<std::path::PathBuf> {
    let parts = folder.join(file);
    fs::create_dir_all(&parts)?;
    let layer = parts.join("layer.tar");
    let mut tar = Command::new("tar");
    tar.arg("-C").arg(folder.join("root"));
    output(tar.arg("-cf").arg(&layer).arg("."))?;
    let sum = output(Command::new("sha256sum").arg(&layer))?;
    let sum = sum.split(' ').next().context("no hash")?;
    let config = json!({
        "architecture": "amd64", "os": "linux",
        "config": {"Entrypoint": entry, "Env": ["PATH=/bin"]},
        "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{sum}")]},
        "history": [{"created_by": "auditor-e2e"}],
    });
    let manifest = json!([{"Config": "config.json", "RepoTags": [name], "Layers": ["layer.tar"]}]);
    fs::write(parts.join("config.json"), config.to_string())?;
    fs::write(parts.join("manifest.json"), manifest.to_string())?;
    let archive = folder.join(format!("{file}.tar"));
    let mut tar = Command::new("tar");
    tar.arg("-C").arg(&parts).arg("-cf").arg(&archive);
    output(tar.args(["manifest.json", "config.json", "layer.tar"]))?;
    Ok(archive)
}
