//! A bundle that runc runs, under a name that says nothing of it.

use std::{fs, path::Path, process::Command};

use anyhow::{Result, ensure};
use serde_json::json;

use super::{Setup, clients, judge, layer, output, server};

/// Two containers whose cgroups are named freely: by what asked for them, and by runc itself.
pub(super) fn named(setup: &Setup) -> Result<()> {
    let mut daemon = setup.daemon("")?;
    let port = server::start()?;
    for (id, name, cgroup) in [
        (1, "caller-one", Some("/mcp-e2e/caller-one")),
        (2, "caller-two", None),
    ] {
        let bundle = setup.folder.join(name);
        make(&bundle, cgroup, &layer::stay(port, id, 1))?;
        let mut runc = Command::new("runc");
        runc.arg("--root").arg(setup.folder.join("state"));
        output(runc.args(["run", "--bundle"]).arg(&bundle).arg(name))?;
    }
    let clients = clients(&daemon, &[1, 2], setup.limit)?;
    let hash = layer::sha256()?;
    for (id, name) in [(1, "caller-one"), (2, "caller-two")] {
        let due = [
            ("/container", name),
            ("/exe_sha256", hash.as_str()),
            ("/workload/container/id", name),
            ("/workload/container/runtime", "runc"),
            ("/workload/container/source", "bundle"),
        ];
        judge(&clients[&id], &due)?;
    }
    ensure!(daemon.stop(setup.limit)?.success(), "it did not end well");
    Ok(())
}

/// Makes a bundle that shares the network of this host.
fn make(bundle: &Path, cgroup: Option<&str>, words: &[String]) -> Result<()> {
    layer::make(&bundle.join("rootfs"))?;
    let spaces = ["pid", "mount", "ipc", "uts"].map(|kind| json!({"type": kind}));
    let mut config = json!({
        "ociVersion": "1.0.2",
        "root": {"path": "rootfs", "readonly": true},
        "mounts": [{"destination": "/proc", "type": "proc", "source": "proc"}],
        "process": {"user": {"uid": 0, "gid": 0}, "args": words, "cwd": "/", "env": ["PATH=/bin"]},
        "linux": {"namespaces": spaces, "resources": {}},
    });
    if let Some(cgroup) = cgroup {
        config["linux"]["cgroupsPath"] = json!(cgroup);
    }
    Ok(fs::write(bundle.join("config.json"), config.to_string())?)
}
