//! A task of containerd, made by `ctr`, under a name of its own.

use std::{
    fs,
    path::PathBuf,
    process::{Command, Stdio},
};

use anyhow::{Result, ensure};

use super::{Setup, clients, judge, layer, output, podman::Podman, server};
use crate::process::{Running, wait_for};

/// containerd with its files in a folder.
struct Containerd {
    folder: PathBuf,
    _process: Running,
}

impl Containerd {
    fn start(setup: &Setup) -> Result<Self> {
        // Paths of sockets are short.
        let folder =
            std::env::temp_dir().join(format!("mcp-e2e-containerd-{}", std::process::id()));
        fs::create_dir_all(&folder)?;
        let path = |name: &str| folder.join(name).display().to_string();
        let configuration = format!(
            "version = 2\nroot = {:?}\nstate = {:?}\ndisabled_plugins = [\"io.containerd.grpc.v1.cri\"]\n\
             [grpc]\naddress = {:?}\n",
            path("root"),
            path("state"),
            path("socket")
        );
        fs::write(folder.join("config.toml"), configuration)?;
        let log = fs::File::create(setup.folder.join("containerd.log"))?;
        let mut command = Command::new("containerd");
        command.arg("--config").arg(folder.join("config.toml"));
        let process = Running::start(command.stdin(Stdio::null()).stderr(log))?;
        let containerd = Self {
            folder,
            _process: process,
        };
        wait_for("containerd", setup.limit, || {
            Ok(output(containerd.ctr().arg("version"))
                .is_ok()
                .then_some(()))
        })?;
        Ok(containerd)
    }

    fn socket(&self) -> PathBuf {
        self.folder.join("socket")
    }

    fn ctr(&self) -> Command {
        let mut command = Command::new("ctr");
        command.arg("--address").arg(self.socket());
        command
    }
}

impl Drop for Containerd {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// The image as an archive that containerd takes.
fn archive(setup: &Setup) -> Result<PathBuf> {
    let podman = Podman::make(setup)?;
    let archive = setup.folder.join("image.tar");
    output(
        podman
            .command()
            .args(["save", "--quiet", "--output"])
            .arg(&archive)
            .arg(layer::IMAGE),
    )?;
    Ok(archive)
}

pub(super) fn named(setup: &Setup) -> Result<()> {
    let archive = archive(setup)?;
    let containerd = Containerd::start(setup)?;
    let mut daemon = setup.daemon(&format!(
        "[containers]\ncontainerd_sockets = [{:?}]\n",
        containerd.socket()
    ))?;
    let port = server::start()?;
    output(containerd.ctr().args(["images", "import"]).arg(&archive))?;
    let mut run = containerd.ctr();
    run.args([
        "run",
        "--rm",
        "--net-host",
        "--label",
        "team=audit",
        layer::IMAGE,
        "caller",
    ]);
    output(run.args(layer::stay(port, 1, 1)))?;
    let client = &clients(&daemon, &[1], setup.limit)?[&1];
    let hash = layer::sha256()?;
    let due = [
        ("/container", "caller"),
        ("/exe_sha256", hash.as_str()),
        ("/workload/container/id", "caller"),
        ("/workload/container/runtime", "containerd"),
        ("/workload/container/image", layer::IMAGE),
        ("/workload/container/labels/team", "audit"),
        ("/workload/container/source", "runtime"),
    ];
    judge(client, &due)?;
    let digest = client
        .pointer("/workload/container/image_digest")
        .and_then(serde_json::Value::as_str);
    let listed = output(containerd.ctr().args(["images", "list"]))?;
    ensure!(
        digest.is_some_and(|digest| listed.contains(digest)),
        "another digest: {client}\n{listed}"
    );
    ensure!(daemon.stop(setup.limit)?.success(), "it did not end well");
    Ok(())
}
