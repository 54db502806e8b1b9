//! Containers of podman, with a storage of their own.

use std::{
    collections::HashMap,
    fs,
    path::PathBuf,
    process::{Command, Stdio},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Instant,
};

use anyhow::{Context as _, Result, anyhow, ensure};
use serde_json::Value;

use super::{Setup, clients, judge, layer, output, server};
use crate::process::{Running, wait_for};

/// Containers at once.
const JOBS: usize = 4;
/// Milliseconds that a container may live to count as short-lived.
const SHORT: i64 = 100;

/// An engine whose files are in a test's folder.
pub(super) struct Podman {
    folder: PathBuf,
    /// What a restart may remove. Podman refuses a path of over 50 characters here.
    state: PathBuf,
}

impl Podman {
    /// Makes its storage, with the image.
    pub(super) fn make(setup: &Setup) -> Result<Self> {
        let podman = Self {
            folder: setup.folder.clone(),
            state: PathBuf::from(format!("/run/auditor-e2e-{}", std::process::id())),
        };
        let (root, archive) = (setup.folder.join("root"), setup.folder.join("root.tar"));
        layer::make(&root)?;
        output(
            Command::new("tar")
                .arg("-C")
                .arg(&root)
                .arg("-cf")
                .arg(&archive)
                .arg("."),
        )?;
        output(
            podman
                .command()
                .args(["import", "--quiet"])
                .arg(&archive)
                .arg(layer::IMAGE),
        )?;
        Ok(podman)
    }

    pub(super) fn command(&self) -> Command {
        let mut command = Command::new("podman");
        command.arg("--root").arg(self.folder.join("storage"));
        command.arg("--runroot").arg(&self.state);
        command.args([
            "--cgroup-manager",
            "cgroupfs",
            "--events-backend",
            "none",
            "--runtime",
            "runc",
        ]);
        command
    }

    /// A command that runs a container; its id goes to the file.
    fn run(&self, name: &str, cid: &std::path::Path) -> Command {
        let mut command = self.command();
        command.args([
            "run",
            "--pull",
            "never",
            "--network",
            "host",
            "--cgroupns",
            "host",
        ]);
        // Where the limits of this host are lower than podman's own, it may not raise them.
        command.args([
            "--ulimit",
            "nofile=4096:4096",
            "--ulimit",
            "nproc=4096:4096",
        ]);
        command
            .args(["--label", "team=audit", "--name", name, "--cidfile"])
            .arg(cid);
        command
    }

    /// When a container that has ended began and ended, in milliseconds.
    fn life(&self, name: &str) -> Result<i64> {
        let text = output(self.command().args(["inspect", "--format", "json", name]))?;
        let told: Value = serde_json::from_str(&text)?;
        let time = |field: &str| -> Result<i64> {
            let text = told
                .pointer(&format!("/0/State/{field}"))
                .and_then(Value::as_str);
            let done =
                output(Command::new("date").args(["+%s%3N", "--date", text.context("no time")?]))?;
            Ok(done.parse()?)
        };
        Ok(time("FinishedAt")? - time("StartedAt")?)
    }
}

impl Drop for Podman {
    fn drop(&mut self) {
        // What is mounted there would keep the folder from being removed.
        let _ = output(
            self.command()
                .args(["rm", "--all", "--force", "--time", "0"]),
        );
        let _ = output(self.command().args(["rmi", "--all", "--force"]));
        let storage = self.folder.join("storage/overlay");
        let _ = Command::new("umount")
            .arg("--lazy")
            .arg(storage)
            .stderr(std::process::Stdio::null())
            .status();
        let _ = fs::remove_dir_all(&self.state);
    }
}

/// One container, and a call made by what joins it later.
pub(super) fn named(setup: &Setup) -> Result<()> {
    let podman = Podman::make(setup)?;
    let socket = std::env::temp_dir().join(format!("mcp-e2e-podman-{}", std::process::id()));
    let mut service = podman.command();
    service
        .args(["system", "service", "--time", "0"])
        .arg(format!("unix://{}", socket.display()));
    let _service = Running::start(service.stdin(Stdio::null()).stderr(Stdio::null()))?;
    let sockets = format!("[containers]\npodman_sockets = [{socket:?}]\n");
    let mut daemon = setup.daemon(&sockets)?;
    wait_for("podman's socket", setup.limit, || {
        Ok(socket.exists().then_some(()))
    })?;
    let port = server::start()?;
    let cid = setup.folder.join("cid");
    let mut run = podman.run("keeper", &cid);
    run.args(["--detach", layer::IMAGE])
        .args(layer::stay(port, 1, 30));
    output(&mut run)?;
    clients(&daemon, &[1], setup.limit)?;
    let joiner = layer::call(port, 2);
    output(podman.command().args(["exec", "keeper"]).args(joiner))?;
    let clients = clients(&daemon, &[1, 2], setup.limit)?;
    let id = fs::read_to_string(&cid)?;
    let hash = layer::sha256()?;
    for client in clients.values() {
        judge(client, &due(&id, "keeper", &hash))?;
        // Labels are nowhere but in the engine itself.
        judge(
            client,
            &[
                ("/workload/container/labels/team", "audit"),
                ("/workload/container/source", "runtime"),
            ],
        )?;
    }
    let mut who = Command::new(&setup.auditor);
    who.args(["who", "keeper", "--config"])
        .arg(setup.folder.join("config.toml"));
    let told = output(
        who.arg("--events")
            .arg(setup.folder.join("daemon/events.jsonl")),
    )?;
    for word in [
        id.as_str(),
        layer::IMAGE,
        hash.as_str(),
        "running",
        "told by runtime",
    ] {
        ensure!(
            told.contains(word),
            "no `{word}` in what `who` says:\n{told}"
        );
    }
    ensure!(daemon.stop(setup.limit)?.success(), "it did not end well");
    Ok(())
}

/// What an event must say of a container's process.
fn due<'a>(id: &'a str, name: &'a str, hash: &'a str) -> [(&'a str, &'a str); 6] {
    [
        ("/container", id),
        ("/exe_sha256", hash),
        ("/workload/container/id", id),
        ("/workload/container/name", name),
        ("/workload/container/image", layer::IMAGE),
        ("/workload/container/runtime", "podman"),
    ]
}

/// What was measured of containers that live shortly.
#[derive(Debug, Default)]
pub(crate) struct Figures {
    /// Containers that were run.
    pub(crate) run: usize,
    /// Those whose call is told with container, image, hash and ancestors.
    pub(crate) named: usize,
    /// Those of which something was told only after the process had ended.
    pub(crate) late: usize,
    /// Their lives in milliseconds: median and longest.
    pub(crate) life: (i64, i64),
    /// All of them, in seconds.
    pub(crate) seconds: f64,
}

/// Containers that each make one call and end, several at once: every one is named.
pub(crate) fn short_lives(setup: &Setup, number: u64) -> Result<Figures> {
    let podman = Podman::make(setup)?;
    // On a host so busy that the daemon is late, podman may be gone before it is asked where its storage is.
    let storage = format!(
        "[containers]\nstorage = [{:?}]\n",
        setup.folder.join("storage")
    );
    let mut daemon = setup.daemon(&storage)?;
    let port = server::start()?;
    let (next, ids) = (AtomicU64::new(1), Mutex::new(HashMap::new()));
    let began = Instant::now();
    thread::scope(|scope| -> Result<()> {
        let work = || -> Result<()> {
            loop {
                let id = next.fetch_add(1, Ordering::Relaxed);
                if id > number {
                    return Ok(());
                }
                let cid = setup.folder.join(format!("cid-{id}"));
                let name = format!("short-{id}");
                let mut run = podman.run(&name, &cid);
                output(run.arg(layer::IMAGE).args(layer::call(port, id)))?;
                let container = fs::read_to_string(&cid)?;
                ids.lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .insert(id, (container, name));
            }
        };
        let jobs: Vec<_> = (0..JOBS).map(|_| scope.spawn(work)).collect();
        jobs.into_iter()
            .try_for_each(|job| job.join().map_err(|_| anyhow!("a job panicked"))?)
    })?;
    let seconds = began.elapsed().as_secs_f64();
    let ids = ids.into_inner().unwrap_or_else(PoisonError::into_inner);
    let wanted: Vec<u64> = ids.keys().copied().collect();
    let clients = clients(&daemon, &wanted, setup.limit)?;
    ensure!(daemon.stop(setup.limit)?.success(), "it did not end well");
    let hash = layer::sha256()?;
    let mut figures = Figures {
        run: ids.len(),
        seconds,
        ..Figures::default()
    };
    let mut wrong = Vec::new();
    for (id, (container, name)) in &ids {
        let client = clients.get(id).context("no client")?;
        let has_parents = client["lineage"].to_string().contains("/podman");
        let has_digest = client
            .pointer("/workload/container/image_digest")
            .is_some_and(Value::is_string);
        match judge(client, &due(container, name, &hash)) {
            Ok(()) if has_parents && has_digest => figures.named += 1,
            Ok(()) => wrong.push(format!("no ancestor or digest: {client}")),
            Err(error) => wrong.push(format!("{error:#}")),
        }
        figures.late += usize::from(client.pointer("/workload/late") == Some(&Value::Bool(true)));
    }
    let mut lives = ids
        .values()
        .map(|(_, name)| podman.life(name))
        .collect::<Result<Vec<_>>>()?;
    lives.sort_unstable();
    let median = lives.get(lives.len() / 2).copied().unwrap_or_default();
    figures.life = (median, lives.last().copied().unwrap_or_default());
    wrong.truncate(3);
    ensure!(wrong.is_empty(), "{figures:?}\n{}", wrong.join("\n"));
    ensure!(
        median < SHORT,
        "they lived too long to tell anything: {figures:?}"
    );
    Ok(figures)
}
