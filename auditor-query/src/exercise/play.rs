//! Plays the incident under an auditor of its own.

use std::{
    fs::{self, File},
    io::Read as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use auditor_query_cli::Exercise;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// The programs of the incident.
const PROGRAMS: [(&str, &str); 5] = [
    ("incident.py", include_str!("../../exercise/incident.py")),
    ("agent.py", include_str!("../../exercise/agent.py")),
    ("billing.py", include_str!("../../exercise/billing.py")),
    ("collector.py", include_str!("../../exercise/collector.py")),
    ("intruder.py", include_str!("../../exercise/intruder.py")),
];
/// What they need of PyPI.
const REQUIREMENTS: &str = include_str!("../../exercise/requirements.txt");
/// How long the auditor may take until it is ready, and until it has ended.
const PATIENCE: Duration = Duration::from_secs(120);

/// What was played.
pub(super) struct Played {
    /// The auditor's data directory.
    pub(super) data: PathBuf,
    /// Facts that the log should tell.
    pub(super) truth: Vec<Value>,
    /// Removes everything when this is dropped, where nobody wants to keep it.
    _temporary: Option<tempfile::TempDir>,
}

/// A program that is ended when this is dropped.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Plays.
pub(super) fn play(exercise: &Exercise) -> Result<Played> {
    let (folder, temporary) = match &exercise.folder {
        Some(folder) => (folder.clone(), None),
        None => {
            let temporary = tempfile::tempdir().context("no temporary folder can be made")?;
            (temporary.path().to_owned(), Some(temporary))
        }
    };
    let make = |path: &Path| {
        fs::create_dir_all(path).with_context(|| format!("cannot make {}", path.display()))
    };
    make(&folder)?;
    let folder = folder.canonicalize()?;
    let data = folder.join("data");
    ensure!(
        !data.exists(),
        "{} is of an exercise before: name another folder",
        data.display()
    );
    let (programs, stage) = (folder.join("programs"), folder.join("stage"));
    make(&programs)?;
    make(&stage)?;
    for (name, text) in PROGRAMS {
        fs::write(programs.join(name), text)?;
    }
    let python = match &exercise.environment {
        Some(environment) => environment.join("bin/python"),
        None => environment(&exercise.python, &folder.join("environment"), &programs)?,
    };
    let mut auditor = audited(exercise, &folder, &data)?;
    eprintln!("playing the incident");
    let mut incident = Command::new(&python);
    incident.arg(programs.join("incident.py")).arg(&stage);
    let status = incident.stdin(Stdio::null()).status();
    let status = status.with_context(|| format!("cannot run {}", python.display()))?;
    ensure!(
        status.success(),
        "the incident's programs failed ({status})"
    );
    let pid = Pid::from_child(&auditor.0);
    kill_process(pid, Signal::TERM).context("cannot end the auditor")?;
    let ended = wait(&mut auditor.0, PATIENCE)?;
    ensure!(
        ended,
        "the auditor did not end within {} s",
        PATIENCE.as_secs()
    );
    let truth = fs::read_to_string(stage.join("truth.jsonl"))?;
    let truth = truth
        .lines()
        .map(serde_json::from_str)
        .collect::<Result<_, _>>()?;
    Ok(Played {
        data,
        truth,
        _temporary: temporary,
    })
}

/// Makes the environment of the MCP programs; gives its interpreter.
fn environment(python: &Path, folder: &Path, programs: &Path) -> Result<PathBuf> {
    let made = folder.join("bin/python");
    if made.exists() {
        return Ok(made);
    }
    let pins = programs.join("requirements.txt");
    fs::write(&pins, REQUIREMENTS)?;
    eprintln!("fetching the MCP programs from PyPI, once");
    let run = |command: &mut Command| -> Result<()> {
        let output = command
            .output()
            .with_context(|| format!("cannot run {:?}", command.get_program()))?;
        let told = String::from_utf8_lossy(&output.stderr);
        ensure!(
            output.status.success(),
            "{:?} failed: {told}",
            command.get_program()
        );
        Ok(())
    };
    let what = "no environment for Python can be made; on Debian `apt-get install python3-venv` is what is missing, and \
                `--environment` names one that has mcp and mcp-server-sqlite";
    run(Command::new(python).args(["-m", "venv"]).arg(folder)).context(what)?;
    let mut pip = Command::new(folder.join("bin/pip"));
    run(pip
        .args([
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "--requirement",
        ])
        .arg(pins))
    .context(what)?;
    Ok(made)
}

/// Starts the auditor and waits until it hears everything.
fn audited(exercise: &Exercise, folder: &Path, data: &Path) -> Result<Ended> {
    let beside = || Ok::<_, std::io::Error>(std::env::current_exe()?.with_file_name("mcp-auditor"));
    let program = exercise.auditor.clone().map_or_else(beside, Ok)?;
    let told = folder.join("auditor.log");
    let mut command = Command::new(&program);
    command
        .args(["run", "--events", "/dev/null", "--data-dir"])
        .arg(data);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(File::create(&told)?);
    let child = command.spawn();
    let mut auditor = Ended(
        child.with_context(|| format!("cannot run {}; `--auditor` names it", program.display()))?,
    );
    let begun = Instant::now();
    loop {
        let mut text = String::new();
        File::open(&told)?.read_to_string(&mut text)?;
        if text.lines().any(|line| line == "ready") {
            return Ok(auditor);
        }
        if begun.elapsed() > PATIENCE || wait(&mut auditor.0, Duration::ZERO)? {
            bail!(
                "the auditor is not ready: {}",
                text.lines().last().unwrap_or("it says nothing")
            );
        }
        thread::sleep(Duration::from_millis(50));
    }
}

/// Waits for a program's end; tells whether it came.
fn wait(child: &mut Child, patience: Duration) -> Result<bool> {
    let begun = Instant::now();
    loop {
        if child.try_wait()?.is_some() {
            return Ok(true);
        }
        if begun.elapsed() >= patience {
            return Ok(false);
        }
        thread::sleep(Duration::from_millis(20));
    }
}
