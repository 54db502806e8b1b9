//! Starts the daemon for a test and ends it.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Command, ExitStatus, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use anyhow::{Context, Result, bail};

use crate::{
    event::EventFile,
    process::{Running, wait_for},
};

/// A running daemon with a data directory of its own.
pub(crate) struct Daemon {
    process: Running,
    events: EventFile,
    log: PathBuf,
}

impl Daemon {
    /// Starts `auditor run` with its files in `folder` and waits until it is ready.
    pub(crate) fn start(
        auditor: &Path,
        folder: &Path,
        extra: &[&str],
        limit: Duration,
    ) -> Result<Self> {
        if folder.exists() {
            fs::remove_dir_all(folder)?;
        }
        fs::create_dir_all(folder)?;
        Self::start_again(auditor, folder, extra, limit)
    }

    /// The same with the files that are there.
    pub(crate) fn start_again(
        auditor: &Path,
        folder: &Path,
        extra: &[&str],
        limit: Duration,
    ) -> Result<Self> {
        let (events, log) = (folder.join("events.jsonl"), folder.join("daemon.log"));
        let mut command = Command::new(auditor);
        command.arg("run").arg("--events").arg(&events);
        command
            .arg("--data-dir")
            .arg(folder.join("data"))
            .args(extra);
        let mut process = Running::start(command.stdin(Stdio::null()).stderr(Stdio::piped()))?;
        let errors = process.child().stderr.take().context("no standard error")?;
        let mut copy = fs::File::create(&log)?;
        let (ready, is_ready) = mpsc::channel();
        thread::spawn(move || {
            for line in BufReader::new(errors).lines().map_while(Result::ok) {
                let _ = std::io::Write::write_all(&mut copy, format!("{line}\n").as_bytes());
                if line == "ready" {
                    let _ = ready.send(());
                }
            }
        });
        if is_ready.recv_timeout(limit).is_err() {
            bail!(
                "the daemon did not get ready:\n{}",
                fs::read_to_string(&log)?
            );
        }
        Ok(Self {
            process,
            events: EventFile::new(&events),
            log,
        })
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// The file that it writes events to.
    pub(crate) fn written(&self) -> PathBuf {
        self.log.with_file_name("events.jsonl")
    }

    /// The events it writes.
    pub(crate) fn events(&self) -> &EventFile {
        &self.events
    }

    /// What it said on standard error.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Waits until it hears the TLS stack in a program, which is started for that: it reads a file when it first sees it
    /// executed, and a program that begins to talk at once is faster.
    pub(crate) fn meet(&self, mut program: Command, limit: Duration) -> Result<()> {
        let path = fs::canonicalize(program.get_program())?;
        let told = format!("file={}", path.display());
        let mut running = Running::start(
            program
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null()),
        )?;
        wait_for(&format!("TLS of {}", path.display()), limit, || {
            if running.ended()?.is_some() {
                // Gone before its file was opened: once more.
                running = Running::start(&mut program)?;
            }
            let log = self.log();
            let is_told = log
                .lines()
                .any(|line| line.contains("TLS is") && line.contains(&told));
            Ok(is_told.then_some(()))
        })?;
        let _ = running.wait(limit);
        Ok(())
    }

    /// Has it read its configuration again, and waits until it says something that has `told` in it.
    pub(crate) fn reload(&mut self, told: &str, limit: Duration) -> Result<()> {
        let before = self.log().lines().count();
        self.process.signal("HUP")?;
        self.wait_for_log(told, before, limit)
    }

    /// Waits for a line of its log, beyond the first `before`, that has `told` in it.
    pub(crate) fn wait_for_log(&self, told: &str, before: usize, limit: Duration) -> Result<()> {
        let said = wait_for(&format!("`{told}` in the log"), limit, || {
            let log = self.log();
            let mut lines = log.lines().skip(before);
            Ok(lines.any(|line| line.contains(told)).then_some(()))
        });
        said.with_context(|| self.log())
    }

    /// Asks it to end and waits: afterwards every event is in the file.
    pub(crate) fn stop(&mut self, limit: Duration) -> Result<ExitStatus> {
        self.stop_by("TERM", limit)
    }

    /// The same by another signal.
    pub(crate) fn stop_by(&mut self, signal: &str, limit: Duration) -> Result<ExitStatus> {
        if self.process.ended()?.is_some() {
            bail!("the daemon had ended by itself:\n{}", self.log());
        }
        self.process.signal(signal)?;
        self.process.wait(limit)
    }
}
