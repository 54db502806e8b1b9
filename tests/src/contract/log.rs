//! The log of events: kept as it is written, verified by the auditor and by Go, and found again after a kill.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::Setup;
use crate::{
    daemon::Daemon,
    process::{Running, free_port, wait_for},
    programs::{ledger, witness},
    speaker::{self, HELLO},
};

/// Every event is an entry, byte for byte; its proof convinces; what is changed is called by its kind.
pub(super) fn kept(setup: &Setup) -> Result<()> {
    // Where there is no log, none was tampered with.
    let nowhere = setup.output(&["verify", "--data-dir", "/nonexistent"])?;
    let said = String::from_utf8_lossy(&nowhere.stderr).into_owned();
    ensure!(
        nowhere.status.code() == Some(1) && said.contains("there is no log"),
        "{said}"
    );
    let mut daemon = setup.daemon(&[])?;
    let mut pids = Vec::new();
    for _ in 0..20 {
        pids.push(speaker::say(&[HELLO, "\n"])?);
    }
    daemon.stop(setup.limit)?;
    let uids: Vec<String> = daemon
        .events()
        .of(&pids)?
        .into_iter()
        .map(|event| event.uid)
        .collect();
    ensure!(uids.len() >= 20, "only {} events", uids.len());
    let report = verify(setup, &[])?;
    ensure!(report["verdict"] == "intact", "{report}");
    let key = text(&report["keys"][0])?;
    let entries_signed = report["entries"].as_u64().context("no entries")?;
    ensure!(
        entries_signed >= 23,
        "{entries_signed} entries, start, configuration and stop among them"
    );

    let trail = fs::read_to_string(setup.folder.join("daemon/events.jsonl"))?;
    let told = all(setup)?;
    ensure!(told.len() as u64 == entries_signed, "published: {told:?}");
    // Validated with all other events.
    fs::write(setup.folder.join("entries.jsonl"), told.join("\n") + "\n")?;
    for line in trail.lines() {
        ensure!(told.iter().any(|one| one == line), "not kept: {line}");
    }
    let uid = uids.last().context("no event")?;
    let proof = proof(setup, uid)?;
    let proven: Value = serde_json::from_str(&fs::read_to_string(&proof)?)?;
    let line = text(&proven["entry"])?;
    ensure!(line.contains(uid.as_str()), "another event: {line}");
    let check = ["proof", "--check", &proof.to_string_lossy(), "--key", &key];
    let output = setup.output(&check)?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(
        output.status.success() && said.contains("proven") && said.contains(uid.as_str()),
        "{said}"
    );
    by_go(setup, &key, Some(&proof))?;
    let forged = fs::read_to_string(&proof)?.replacen("speaker", "speaket", 1);
    fs::write(&proof, forged)?;
    ensure!(
        setup.output(&check)?.status.code() == Some(1),
        "a forged proof convinces"
    );

    let journal = setup.folder.join("daemon/data/log/journal");
    let mut bytes = fs::read(&journal)?;
    let at = bytes.len() / 2;
    bytes[at] ^= 1;
    fs::write(&journal, bytes)?;
    let found = verify(setup, &[])?;
    ensure!(found["what"] == "edit", "{found}");
    let output = setup.output(&["verify", "--data-dir", &data(setup)])?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(
        output.status.code() == Some(3) && said.contains("TAMPERED: edit"),
        "{said}"
    );
    Ok(())
}

/// Killed while events come, it goes on from what was durable, with a key that the one before signed, and says the gap.
pub(super) fn killed(setup: &Setup) -> Result<()> {
    let mut daemon = setup.daemon(&[])?;
    let pid = speaker::say(&[HELLO, "\n"])?;
    let uid = wait_for("the event", setup.limit, || {
        Ok(daemon.events().of(&[pid])?.pop())
    })?
    .uid;
    // Durable within a second.
    wait_for("the entry", setup.limit, || Ok(proof(setup, &uid).ok()))?;
    let checkpoint = fs::read_to_string(PathBuf::from(data(setup)).join("log/checkpoint"))?;
    let kept = setup.folder.join("kept-checkpoint");
    fs::write(&kept, checkpoint)?;
    daemon.stop_by("KILL", setup.limit)?;
    let before = verify(setup, &[])?;
    ensure!(before["verdict"] == "intact", "{before}");
    let mut daemon = Daemon::start_again(
        &setup.auditor,
        &setup.folder.join("daemon"),
        &[],
        setup.limit,
    )?;
    speaker::say(&[HELLO, "\n"])?;
    daemon.stop(setup.limit)?;
    let key = text(&before["keys"][0])?;
    let kept = kept.to_string_lossy();
    let after = verify(setup, &["--key", &key, "--checkpoint", &kept])?;
    ensure!(
        after["verdict"] == "intact" && after["keys"].as_array().map(Vec::len) == Some(2),
        "{after}"
    );
    proof(setup, &uid)?;
    by_go(setup, &key, None)?;
    let journal = fs::read(PathBuf::from(data(setup)).join("log/journal"))?;
    let journal = String::from_utf8_lossy(&journal).into_owned();
    let starts = journal.matches("\"what\":\"start\"").count();
    ensure!(
        starts == 2 && journal.matches("\"what\":\"stop\"").count() == 1,
        "{journal}"
    );
    ensure!(
        journal.contains("\"last_checkpoint\":1"),
        "the gap is not said: {journal}"
    );
    Ok(())
}

/// A witness signs what goes on from what it saw; a log that was put back to what it was before is disputed.
pub(super) fn witnessed(setup: &Setup) -> Result<()> {
    let Ok(program) = witness() else {
        println!("  without Go, nobody witnesses the log");
        return Ok(());
    };
    let data = PathBuf::from(data(setup));
    let port = free_port()?;
    let mut command = Command::new(program);
    command
        .arg(port.to_string())
        .arg(data.join("log/witness-key"));
    let mut running = Running::start(command.stdin(Stdio::null()).stdout(Stdio::piped()))?;
    let output = running.child().stdout.take().context("no output")?;
    let mut key = String::new();
    BufReader::new(output).read_line(&mut key)?;
    let key = key.trim();
    let config = setup.folder.join("config.toml");
    let witnesses = format!("by = [{{ key = \"{key}\", url = \"http://127.0.0.1:{port}\" }}]");
    fs::write(
        &config,
        format!("[ledger.witnessed]\nevery_seconds = 1\n{witnesses}\n"),
    )?;
    let flags = ["--config", config.to_str().context("a path")?];
    let signed = || -> Result<u64> {
        let report = verify(setup, &["--witness", key])?;
        ensure!(report["verdict"] == "intact", "{report}");
        Ok(report["cosigned"]["entries"].as_u64().unwrap_or_default())
    };
    let mut daemon = setup.daemon(&flags)?;
    for _ in 0..3 {
        speaker::say(&[HELLO, "\n"])?;
    }
    daemon.stop(setup.limit)?;
    let before = signed()?;
    ensure!(
        before >= 5,
        "{before} entries were signed:\n{}",
        daemon.log()
    );
    let backup = setup.folder.join("backup");
    copy(&data, &backup)?;
    let again = || {
        let folder = setup.folder.join("daemon");
        Daemon::start_again(&setup.auditor, &folder, &flags, setup.limit)
    };
    let mut daemon = again()?;
    speaker::say(&[HELLO, "\n"])?;
    daemon.stop(setup.limit)?;
    let after = signed()?;
    ensure!(after > before, "{after} entries were signed after {before}");
    fs::remove_dir_all(&data)?;
    copy(&backup, &data)?;
    let mut daemon = again()?;
    daemon.wait_for_log("the witness saw another log", 0, setup.limit)?;
    daemon.stop(setup.limit)?;
    let journal = fs::read(data.join("log/journal"))?;
    let journal = String::from_utf8_lossy(&journal).into_owned();
    ensure!(
        journal.contains("\"what\":\"disputed\""),
        "the log does not say so: {journal}"
    );
    // Who removes what the witness signed has no log that it vouches for.
    fs::remove_file(data.join("log/cosigned"))?;
    let unwitnessed = verify(setup, &["--witness", key])?;
    ensure!(unwitnessed["what"] == "unwitnessed", "{unwitnessed}");
    // What is wrong in the question is not held against the log.
    let data = data.to_string_lossy();
    let no_key = &key[..key.len() - 9];
    let wrong = setup.output(&["verify", "--data-dir", &data, "--witness", no_key])?;
    ensure!(wrong.status.code() == Some(2), "{wrong:?}");
    let wrong = setup.output(&["verify", "--data-dir", &data, "--key", "nothing"])?;
    ensure!(wrong.status.code() == Some(2), "{wrong:?}");
    let no_note = flags[1];
    let wrong = setup.output(&["verify", "--data-dir", &data, "--checkpoint", no_note])?;
    ensure!(wrong.status.code() == Some(1), "{wrong:?}");
    let no_log = setup.folder.to_string_lossy();
    let wrong = setup.output(&["verify", "--log", &no_log])?;
    ensure!(wrong.status.code() == Some(1), "{wrong:?}");
    Ok(())
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    let mut copy = Command::new("cp");
    crate::certificates::run(copy.arg("--archive").arg(from).arg(to))
}

fn data(setup: &Setup) -> String {
    setup.folder.join("daemon/data").display().to_string()
}

/// All entries of a log whose daemon has stopped.
pub(super) fn all(setup: &Setup) -> Result<Vec<String>> {
    entries(&PathBuf::from(data(setup)).join("log"))
}

/// All entries of a log that nobody writes any more.
pub(super) fn entries(log: &Path) -> Result<Vec<String>> {
    let folder = log.join("tile/entries");
    let mut entries = Vec::new();
    // A thousand bundles are more than a test fills.
    for number in 0.. {
        let whole = folder.join(format!("{number:03}"));
        let rest = folder.join(format!("{number:03}.p"));
        let path = if whole.exists() {
            whole
        } else if rest.exists() {
            fs::read_dir(rest)?
                .next()
                .context("nothing is published")??
                .path()
        } else {
            break;
        };
        let bundle = fs::read(path)?;
        let mut rest = &bundle[..];
        while let Some((length, behind)) = rest.split_first_chunk() {
            let (entry, behind) = behind.split_at(u16::from_be_bytes(*length).into());
            entries.push(String::from_utf8(entry.to_vec())?);
            rest = behind;
        }
    }
    Ok(entries)
}

fn verify(setup: &Setup, words: &[&str]) -> Result<Value> {
    let data = data(setup);
    let output = setup.output(&[&["verify", "--json", "--data-dir", &data], words].concat())?;
    serde_json::from_slice(&output.stdout)
        .with_context(|| String::from_utf8_lossy(&output.stderr).into_owned())
}

/// Writes a proof of an event to a file.
fn proof(setup: &Setup, uid: &str) -> Result<PathBuf> {
    let output = setup.output(&["proof", uid, "--data-dir", &data(setup)])?;
    ensure!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let path = setup.folder.join("proof.json");
    fs::write(&path, output.stdout)?;
    Ok(path)
}

/// Verifies the log, and a proof where one is named, by Go's implementation of notes and tiles.
fn by_go(setup: &Setup, key: &str, proof: Option<&Path>) -> Result<()> {
    let Ok(program) = ledger() else {
        println!("  without Go, nobody else verifies the log");
        return Ok(());
    };
    let log = PathBuf::from(data(setup)).join("log");
    for (what, path) in [("log", Some(&*log)), ("proof", proof)] {
        let Some(path) = path else { continue };
        let output = Command::new(&program)
            .args([what, key])
            .arg(path)
            .output()?;
        let error = String::from_utf8_lossy(&output.stderr);
        ensure!(
            output.status.success(),
            "Go does not agree on the {what}: {error}"
        );
    }
    Ok(())
}

fn text(value: &Value) -> Result<String> {
    Ok(value.as_str().context("no text")?.to_owned())
}
