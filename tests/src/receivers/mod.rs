//! Who events are delivered to: receivers that nobody here wrote, each with the settings of its sink and a way to read what
//! it got.

mod brokers;
mod syslog;
mod web;

pub(crate) use self::syslog::message;

use std::{
    collections::HashSet,
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};

use crate::{
    certificates::{self, Certificates},
    mutual,
    process::{Running, listens, wait_for},
    programs::receivers,
};

/// Where receivers keep their files, and what they are known by.
pub(crate) struct World {
    folder: PathBuf,
    certificates: Certificates,
}

/// One receiver.
pub(crate) struct Receiver {
    /// The name of its sink.
    pub(crate) name: &'static str,
    /// The settings of its sink, without the name.
    pub(crate) sink: String,
    /// The port that it listens on; none for a file.
    port: Option<u16>,
    /// Starts it.
    command: Option<Box<dyn Fn() -> Result<Command>>>,
    /// What is to be done once it listens.
    prepare: Box<dyn Fn() -> Result<()>>,
    /// What it got: events as JSON, one a line, in the order in which it has them.
    read: Box<dyn Fn() -> Result<Vec<String>>>,
    running: Option<Running>,
}

impl World {
    /// Receivers with their files in a folder.
    pub(crate) fn new(folder: &Path) -> Result<Self> {
        let certificates = Certificates::make(&folder.join("certificates"))?;
        mutual::client(certificates.folder(), "client", certificates.folder())?;
        fs::write(folder.join("password"), "secret-of-the-auditor\n")?;
        Ok(Self {
            folder: folder.to_owned(),
            certificates,
        })
    }

    /// All receivers whose programs are installed.
    pub(crate) fn all(&self) -> Result<Vec<Receiver>> {
        let mut all = vec![self.file()];
        all.extend(self.rsyslog("rsyslog", "ocsf"));
        all.extend(self.syslog_ng());
        all.extend(self.web()?);
        all.extend(self.otlp()?);
        all.extend(self.lake()?);
        all.extend(self.kafka()?);
        all.extend(self.opensearch()?);
        Ok(all)
    }

    /// The sinks of receivers, as a configuration has them.
    pub(crate) fn configuration(receivers: &[Receiver]) -> String {
        let sinks = receivers.iter();
        sinks
            .map(|one| format!("[[sinks]]\nname = \"{}\"\n{}\n", one.name, one.sink))
            .collect()
    }

    /// A file of lines.
    pub(crate) fn file(&self) -> Receiver {
        let path = self.folder.join("file.jsonl");
        Receiver {
            name: "file",
            sink: format!("jsonl = {{ path = {path:?} }}"),
            port: None,
            command: None,
            prepare: Box::new(|| Ok(())),
            read: Box::new(move || lines(&path)),
            running: None,
        }
    }

    /// `tls` of a sink that trusts the authority and shows a certificate.
    fn tls(&self) -> String {
        let folder = self.certificates.folder();
        format!(
            "tls = {{ ca_file = {:?}, cert_file = {:?}, key_file = {:?} }}",
            folder.join("ca.pem"),
            folder.join("client.pem"),
            folder.join("client.key")
        )
    }

    /// A command of `receivers.py`.
    fn python(&self, words: &[&str]) -> Result<Command> {
        let mut command = Command::new(receivers()?);
        command.arg(crate::programs::source("python").join("receivers.py"));
        command.args(words).current_dir(&self.folder);
        Ok(command)
    }

    fn certificate(&self, name: &str) -> String {
        self.certificates.folder().join(name).display().to_string()
    }
}

impl Receiver {
    /// Starts it.
    pub(crate) fn spawn(&mut self) -> Result<()> {
        let Some(command) = &self.command else {
            return Ok(());
        };
        let mut command = command()?;
        command.stdin(Stdio::null()).stdout(Stdio::null());
        self.running = Some(Running::start(&mut command)?);
        Ok(())
    }

    /// Waits until it listens, and prepares it.
    pub(crate) fn wait(&mut self, limit: Duration) -> Result<()> {
        let Some(port) = self.port else {
            return Ok(());
        };
        let name = self.name;
        let running = self.running.as_mut().context("it was not started")?;
        wait_for(&format!("{name} to listen"), limit, || {
            if let Some(status) = running.ended()? {
                anyhow::bail!("{name} ended: {status}");
            }
            Ok(listens(port).then_some(()))
        })?;
        (self.prepare)().with_context(|| format!("{name} cannot be prepared"))
    }

    /// Ends it, as a crash would.
    pub(crate) fn kill(&mut self) {
        self.running = None;
    }

    /// What it got, without checkpoints and what the auditor says of itself, each once; and those others.
    pub(crate) fn got(&self) -> Result<(Vec<String>, Vec<String>)> {
        let lines = (self.read)().with_context(|| format!("what {} got", self.name))?;
        let (mut events, mut lifecycle, mut seen) = (Vec::new(), Vec::new(), HashSet::new());
        for line in lines {
            let event: serde_json::Value =
                serde_json::from_str(&line).with_context(|| format!("{}: {line}", self.name))?;
            let uid = event["metadata"]["uid"].as_str().context("no uid")?;
            let key = (
                uid.to_owned(),
                event["unmapped"]["mcp"]["stage"].to_string(),
            );
            if !seen.insert(key) {
                continue;
            }
            if event["class_uid"] == 6002 {
                lifecycle.push(line);
            } else {
                events.push(line);
            }
        }
        Ok((events, lifecycle))
    }
}

/// The lines of a file; none where there is no file yet.
fn lines(path: &Path) -> Result<Vec<String>> {
    match fs::read_to_string(path) {
        // The last may be half there.
        Ok(text) => Ok(text
            .split_inclusive('\n')
            .filter_map(|line| line.strip_suffix('\n'))
            .map(str::to_owned)
            .collect()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error.into()),
    }
}

/// What a command printed, line by line.
fn printed(mut command: Command) -> Result<Vec<String>> {
    let output = command.stdin(Stdio::null()).output()?;
    ensure!(
        output.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    let text = String::from_utf8(output.stdout)?;
    Ok(text.lines().map(str::to_owned).collect())
}

/// Runs a command to its end.
fn done(mut command: Command) -> Result<()> {
    certificates::run(&mut command)
}
