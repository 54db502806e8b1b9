//! No labelled secret leaves the daemon: by events of any level, its log, its counters, its files, or a core dump.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::TcpStream,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use aho_corasick::AhoCorasick;
use anyhow::{Context as _, Result, ensure};

use super::Setup;
use crate::{
    daemon::Daemon,
    process::{Running, free_port, wait_for},
    programs::{Sdk, python, source},
};

/// Fewest events of a run: each case is said five times.
const EVENTS: usize = 5_000;
/// Fewest bytes of a run's output.
const OUTPUT: usize = 1 << 20;

pub(super) fn metadata(setup: &Setup) -> Result<()> {
    play(setup, "metadata")
}

pub(super) fn request(setup: &Setup) -> Result<()> {
    play(setup, "request")
}

pub(super) fn request_response(setup: &Setup) -> Result<()> {
    play(setup, "request-response")
}

fn play(setup: &Setup, level: &str) -> Result<()> {
    let folder = setup.folder.canonicalize()?;
    let (dumps, forms) = (folder.join("dumps"), folder.join("forms.jsonl"));
    fs::create_dir_all(&dumps)?;
    let metrics = free_port()?;
    let configuration = folder.join("config.toml");
    fs::write(
        &configuration,
        format!("metrics = \"127.0.0.1:{metrics}\"\n"),
    )?;
    let can_dump = sleeper_dumps(&folder, &dumps, setup)?;
    let mut auditor = Daemon::start(
        &dumper(&folder, "auditor", &dumps, &setup.auditor)?,
        &folder.join("daemon"),
        &[
            "--level",
            level,
            "--config",
            &configuration.to_string_lossy(),
        ],
        setup.limit,
    )?;

    let mut client = Command::new(python(Sdk::Python2)?);
    client
        .arg(source("python").join("canary.py"))
        .arg(cases())
        .arg(&forms)
        .stdin(Stdio::null());
    let mut client = Running::start(client.stdout(Stdio::piped()))?;
    let pid = client.pid();
    let mut said = String::new();
    let output = client.child().stdout.take();
    output.context("no output")?.read_to_string(&mut said)?;
    let status = client.wait(setup.limit)?;
    ensure!(status.success(), "the client ended with {status}");
    let calls: usize = said.trim().parse()?;
    ensure!(calls >= EVENTS, "only {calls} calls");
    wait_for("all events", setup.limit, || {
        let events = auditor.events().of(&[pid])?;
        let finals = events
            .iter()
            .filter(|one| one.json["unmapped"]["mcp"]["kind"] == "request");
        Ok((finals.count() >= calls).then_some(()))
    })?;
    let counters = scrape(metrics)?;
    ensure!(counters.contains("mcp_auditor_events_total"), "{counters}");
    fs::write(folder.join("metrics.txt"), counters)?;
    if can_dump {
        auditor.stop_by("QUIT", setup.limit)?;
        let left = cores(&dumps)?;
        ensure!(left.is_empty(), "the daemon left {left:?}");
    }
    drop(auditor);

    let forms = fs::read_to_string(&forms)?;
    let forms: Vec<String> = forms
        .lines()
        .map(serde_json::from_str)
        .collect::<Result<_, _>>()?;
    let finder = AhoCorasick::new(&forms)?;
    let mut searched = 0;
    for file in files(&folder.join("daemon"))?
        .into_iter()
        .chain([folder.join("metrics.txt")])
    {
        let bytes = fs::read(&file)?;
        searched += bytes.len();
        if let Some(found) = finder.find(&bytes) {
            let around = found.start().saturating_sub(200)..(found.end() + 60).min(bytes.len());
            let around = String::from_utf8_lossy(&bytes[around]).into_owned();
            anyhow::bail!(
                "`{}` is in {}: {around}",
                forms[found.pattern()],
                file.display()
            );
        }
    }
    ensure!(searched > OUTPUT, "only {searched} bytes were searched");
    println!(
        "  {level}: {calls} calls, {} forms of secrets in none of {searched} bytes{}",
        forms.len(),
        if can_dump {
            ", no core dump"
        } else {
            "; this host dumps no cores into folders"
        }
    );
    Ok(())
}

/// Whether this host lets a program that ends badly leave its memory in its folder: else nothing can be learned here.
fn sleeper_dumps(folder: &Path, dumps: &Path, setup: &Setup) -> Result<bool> {
    let sleeper = dumper(folder, "sleeper", dumps, Path::new("/bin/sleep"))?;
    let mut sleeper = Running::start(Command::new(sleeper).arg("600"))?;
    wait_for("the sleeper", setup.limit, || {
        let name = fs::read_to_string(format!("/proc/{}/comm", sleeper.pid()))?;
        Ok((name.trim() == "sleep").then_some(()))
    })?;
    sleeper.signal("QUIT")?;
    sleeper.wait(setup.limit)?;
    let left = cores(dumps)?;
    for core in &left {
        fs::remove_file(core)?;
    }
    Ok(!left.is_empty())
}

/// A script that becomes a program which may dump core into a folder, and says all that it can say.
fn dumper(folder: &Path, name: &str, dumps: &Path, program: &Path) -> Result<PathBuf> {
    let script = folder.join(name);
    let program = program.canonicalize()?;
    let text = format!(
        "#!/bin/sh\ncd '{}' && ulimit -c unlimited && RUST_LOG=trace exec '{}' \"$@\"\n",
        dumps.display(),
        program.display()
    );
    fs::write(&script, text)?;
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755))?;
    Ok(script)
}

fn cores(folder: &Path) -> Result<Vec<PathBuf>> {
    let all = fs::read_dir(folder)?.map(|entry| Ok(entry?.path()));
    all.collect()
}

fn scrape(port: u16) -> Result<String> {
    let mut connection = TcpStream::connect(("127.0.0.1", port))?;
    connection.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")?;
    let mut answer = String::new();
    connection.read_to_string(&mut answer)?;
    Ok(answer)
}

/// The labelled cases that the classifier's own tests use.
fn cases() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../auditor-content/tests/data/gitleaks.jsonl.gz")
}

/// All files below a folder.
fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut all = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            all.extend(files(&entry.path())?);
        } else {
            all.push(entry.path());
        }
    }
    Ok(all)
}
