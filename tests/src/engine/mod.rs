//! Containers that engines make (podman, runc, containerd), under a daemon of their own: who is named, and in what.
//!
//! Images are made from files of this host; no registry is asked. The tests run one after the other. Needs root.

mod containerd;
pub(crate) mod layer;
mod podman;
mod runc;
pub(crate) mod server;

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::{
    Arguments,
    daemon::Daemon,
    process::wait_for,
    suite::{self, Named},
};

pub(crate) use podman::short_lives;

/// What a test is given.
pub(crate) struct Setup {
    /// The daemon's binary.
    pub(crate) auditor: PathBuf,
    /// A folder of its own, empty.
    pub(crate) folder: PathBuf,
    pub(crate) limit: Duration,
}

type Test = Named<fn(&Setup) -> Result<()>>;

const TESTS: [Test; 4] = [
    ("engine_podman", podman::named),
    ("engine_podman_short_lives", |setup| {
        short_lives(setup, 20).map(drop)
    }),
    ("engine_runc", runc::named),
    ("engine_containerd", containerd::named),
];

/// Runs the tests that are wanted, says how each ended, and gives the number of those that failed.
pub(crate) fn check(auditor: &Path, arguments: &Arguments, limit: Duration) -> usize {
    if arguments.without.iter().any(|word| word == "engines") {
        return 0;
    }
    let play = |(name, test): &Test, (): &mut ()| {
        test(&Setup::new(
            auditor,
            &arguments.folder.join("engine").join(name),
            limit,
        )?)
    };
    suite::run(&TESTS, arguments.only.as_deref(), || Ok(()), play)
}

impl Setup {
    pub(crate) fn new(auditor: &Path, folder: &Path, limit: Duration) -> Result<Self> {
        if folder.exists() {
            fs::remove_dir_all(folder)
                .with_context(|| format!("cannot empty {}", folder.display()))?;
        }
        fs::create_dir_all(folder)?;
        Ok(Self {
            auditor: auditor.to_owned(),
            folder: fs::canonicalize(folder)?,
            limit,
        })
    }

    /// A daemon with its files below this test's folder, and with this configuration.
    fn daemon(&self, configuration: &str) -> Result<Daemon> {
        let file = self.folder.join("config.toml");
        fs::write(&file, configuration)?;
        let file = file.to_str().context("the folder is no text")?;
        Daemon::start(
            &self.auditor,
            &self.folder.join("daemon"),
            &["--config", file],
            self.limit,
        )
    }
}

/// The clients of the calls with these ids, as their final events name them; waits until all are there.
fn clients(daemon: &Daemon, ids: &[u64], limit: Duration) -> Result<HashMap<u64, Value>> {
    let found = || -> Result<HashMap<u64, Value>> {
        let events = daemon.events().of(&[std::process::id()])?;
        let finals = events.into_iter().filter(|event| event.stage == "final");
        let clients = finals.filter_map(|event| {
            let id = event.interaction.id.as_ref()?.parse().ok()?;
            let client = event.json.pointer("/unmapped/mcp/client")?.clone();
            ids.contains(&id).then_some((id, client))
        });
        Ok(clients.collect())
    };
    let _ = wait_for("all calls", limit, || {
        Ok((found()?.len() == ids.len()).then_some(()))
    });
    let found = found()?;
    ensure!(
        found.len() == ids.len(),
        "{} of {} calls were heard\n{}",
        found.len(),
        ids.len(),
        daemon.log()
    );
    Ok(found)
}

/// Compares a client with what it must be, by JSON pointers.
pub(crate) fn judge(client: &Value, due: &[(&str, &str)]) -> Result<()> {
    for (pointer, due) in due {
        let told = client.pointer(pointer).and_then(Value::as_str);
        ensure!(told == Some(due), "{pointer} is not {due}: {client}");
    }
    Ok(())
}

/// Runs a command to its end and gives what it wrote.
fn output(command: &mut Command) -> Result<String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let done = command
        .output()
        .with_context(|| format!("cannot run {name}"))?;
    ensure!(
        done.status.success(),
        "{name}: {}\n{}",
        done.status,
        String::from_utf8_lossy(&done.stderr)
    );
    Ok(String::from_utf8_lossy(&done.stdout).trim().to_owned())
}
