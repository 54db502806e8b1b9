//! Starts and stops the auditor under measurement, and reads what it costs.

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

/// The auditor's binary, and where its files go.
pub(crate) struct Auditor {
    binary: PathBuf,
    directory: PathBuf,
}

/// A running auditor.
pub(crate) struct Running {
    child: Child,
    stderr: BufReader<std::process::ChildStderr>,
    pub(crate) events: PathBuf,
}

/// How a run ended.
pub(crate) struct Ended {
    /// Peak resident memory in MiB.
    pub(crate) peak_mib: f64,
    /// What it said.
    pub(crate) said: String,
}

impl Auditor {
    pub(crate) fn new(binary: PathBuf) -> Result<Self> {
        ensure!(
            binary.exists(),
            "{} is absent: build it first with `cargo xtask build`",
            binary.display()
        );
        let directory = std::env::temp_dir().join(format!("auditor-bench-{}", std::process::id()));
        fs::create_dir_all(&directory)?;
        Ok(Self { binary, directory })
    }

    /// Starts it and waits until it is ready.
    pub(crate) fn start(&self) -> Result<Running> {
        let events = self.directory.join("events.jsonl");
        // None from an earlier run: the auditor appends.
        let _ = fs::remove_file(&events);
        let mut child = Command::new(&self.binary)
            .arg("run")
            .arg("--data-dir")
            .arg(&self.directory)
            .arg("--events")
            .arg(&events)
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {}", self.binary.display()))?;
        let mut stderr = BufReader::new(child.stderr.take().context("no stderr")?);
        let mut said = String::new();
        loop {
            let mut line = String::new();
            if stderr.read_line(&mut line)? == 0 {
                child.wait()?;
                bail!("the auditor did not start: {said}");
            }
            if line.trim() == "ready" {
                return Ok(Running {
                    child,
                    stderr,
                    events,
                });
            }
            said.push_str(&line);
        }
    }
}

impl Drop for Auditor {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.directory);
    }
}

impl Running {
    /// Processor time used so far, in seconds.
    pub(crate) fn cpu(&self) -> Result<f64> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        let fields: Vec<_> = stat
            .rsplit(')')
            .next()
            .unwrap_or_default()
            .split_whitespace()
            .collect();
        let ticks = |index: usize| {
            fields
                .get(index)
                .and_then(|field| field.parse::<f64>().ok())
                .unwrap_or(0.0)
        };
        Ok((ticks(11) + ticks(12)) / 100.0)
    }

    /// Waits until it is idle: the processor time stands still.
    pub(crate) fn settle(&self) -> Result<()> {
        let deadline = Instant::now() + Duration::from_secs(60);
        let mut last = self.cpu()?;
        loop {
            std::thread::sleep(Duration::from_millis(300));
            let now = self.cpu()?;
            if now - last < 0.05 {
                return Ok(());
            }
            ensure!(
                Instant::now() < deadline,
                "the auditor does not come to rest"
            );
            last = now;
        }
    }

    /// Peak resident memory so far, in MiB.
    pub(crate) fn peak_mib(&self) -> Result<f64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status
            .lines()
            .find(|line| line.starts_with("VmHWM"))
            .context("no VmHWM")?;
        let kib: f64 = line.split_whitespace().nth(1).context("no size")?.parse()?;
        Ok(kib / 1024.0)
    }

    /// Stops it in good order.
    pub(crate) fn stop(mut self) -> Result<Ended> {
        let peak_mib = self.peak_mib()?;
        kill(Pid::from_raw(self.child.id() as i32), Signal::SIGTERM)?;
        let mut said = String::new();
        self.stderr.read_to_string(&mut said)?;
        let status = self.child.wait()?;
        ensure!(status.success(), "the auditor ended with {status}: {said}");
        Ok(Ended { peak_mib, said })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// This program, to be started in a role.
pub(crate) fn role() -> Result<Command> {
    Ok(Command::new(Path::new("/proc/self/exe").read_link()?))
}
