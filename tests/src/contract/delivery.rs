//! Events in receivers that nobody here wrote: all of them, as they are in the log, in order, whatever is killed meanwhile.

use std::{collections::HashSet, fs, path::PathBuf};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::{Setup, log};
use crate::{
    daemon::Daemon,
    process::{free_port, wait_for},
    receivers::{Receiver, World},
    speaker::{self, HELLO},
};

/// A message that nobody answers.
const NOTE: &str = r#"{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":1,"progress":1}}"#;

/// Every kind of receiver has every event, though one of them and the daemon itself are killed on the way.
pub(super) fn everywhere(setup: &Setup) -> Result<()> {
    let world = World::new(&setup.folder)?;
    let mut receivers = world.all()?;
    let names: Vec<&str> = receivers.iter().map(|one| one.name).collect();
    println!("  delivered to {}", names.join(", "));
    for one in &mut receivers {
        one.spawn()?;
    }
    for one in &mut receivers {
        one.wait(setup.limit * 2)?;
    }
    let config = configure(setup, &World::configuration(&receivers))?;
    let flags = ["--config", config.to_str().context("a path")?];
    let mut daemon = setup.daemon(&flags)?;
    let mut pids = say(20)?;
    if let Some(one) = find(&mut receivers, "rsyslog") {
        one.kill();
    }
    pids.extend(say(20)?);
    // What is not durable when it is killed is in no log.
    heard(setup, &receivers, &pids)?;
    daemon.stop_by("KILL", setup.limit)?;
    let folder = setup.folder.join("daemon");
    let mut daemon = Daemon::start_again(&setup.auditor, &folder, &flags, setup.limit)?;
    pids.extend(say(20)?);
    if let Some(one) = find(&mut receivers, "rsyslog") {
        one.spawn()?;
        one.wait(setup.limit)?;
    }
    pids.extend(say(5)?);
    heard(setup, &receivers, &pids)?;
    let least = in_file(&receivers)?.len();
    for one in &receivers {
        arrived(setup, one, &receivers).with_context(|| daemon.log())?;
    }
    daemon.stop(setup.limit)?;
    let expected = logged(setup)?;
    for one in &receivers {
        compare(one, &expected, least)?;
    }
    evidence(setup, &receivers)
}

/// A receiver that is dead for a while gets all in the end; what is too much for another is told; a third begins with a
/// configuration that is read again.
pub(super) fn late(setup: &Setup) -> Result<()> {
    let world = World::new(&setup.folder)?;
    let mut receivers = vec![world.file()];
    receivers.extend(world.rsyslog("rsyslog", "ocsf"));
    let nobody = format!(
        "[[sinks]]\nname = \"nobody\"\nbacklog = 1000\nsyslog = {{ address = \"127.0.0.1:{}\", transport = \"tcp\" }}\n",
        free_port()?
    );
    let sinks = World::configuration(&receivers) + &nobody;
    let config = configure(setup, &sinks)?;
    let flags = ["--config", config.to_str().context("a path")?];
    let mut daemon = setup.daemon(&flags)?;
    let notes = [HELLO, "\n", "@repeat=3000", &format!("{NOTE}\n")];
    let pid = speaker::say(&notes)?;
    let file = find(&mut receivers, "file").context("no file")?;
    let shed = wait_for("what is told to be left out", setup.limit, || {
        let (_, lifecycle) = file.got()?;
        let told = lifecycle
            .iter()
            .map(|line| serde_json::from_str::<Value>(line));
        let told = told.collect::<Result<Vec<_>, _>>()?;
        let mut said = told.iter().map(|one| &one["unmapped"]["mcp"]["lifecycle"]);
        Ok(said.find(|said| said["what"] == "shed").cloned())
    })?;
    ensure!(
        shed["sink"] == "nobody" && shed["why"] == "backlog",
        "{shed}"
    );
    let events = daemon.events().of(&[pid])?.len();
    ensure!(events >= 3_000, "{events} events of 3001 messages");
    if let Some(one) = find(&mut receivers, "rsyslog") {
        one.spawn()?;
        one.wait(setup.limit)?;
    }
    heard(setup, &receivers, &[pid])?;
    let least = in_file(&receivers)?.len();
    for one in &receivers {
        arrived(setup, one, &receivers).with_context(|| daemon.log())?;
    }
    let other = setup.folder.join("other.jsonl");
    let from_the_start = format!(
        "[[sinks]]\nname = \"other\"\nbegin = \"oldest\"\njsonl = {{ path = {other:?} }}\n"
    );
    fs::write(&config, World::configuration(&receivers) + &from_the_start)?;
    daemon.reload("events are delivered", setup.limit)?;
    let first = fs::read_to_string(setup.folder.join("daemon/events.jsonl"))?;
    wait_for("the whole log", setup.limit, || {
        let text = fs::read_to_string(&other).unwrap_or_default();
        let has_all = first.lines().all(|line| text.contains(line));
        Ok(has_all.then_some(()))
    })?;
    // What cannot be meant changes nothing.
    fs::write(&config, "[[sinks]]\nname = \"other\"\n")?;
    daemon.reload("exactly one of the tables", setup.limit)?;
    daemon.stop(setup.limit)?;
    let expected = logged(setup)?;
    for one in &receivers {
        compare(one, &expected, least)?;
    }
    Ok(())
}

fn configure(setup: &Setup, sinks: &str) -> Result<PathBuf> {
    let path = setup.folder.join("config.toml");
    fs::write(&path, sinks)?;
    Ok(path)
}

fn say(times: usize) -> Result<Vec<u32>> {
    (0..times).map(|_| speaker::say(&[HELLO, "\n"])).collect()
}

fn find<'a>(receivers: &'a mut [Receiver], name: &str) -> Option<&'a mut Receiver> {
    receivers.iter_mut().find(|one| one.name == name)
}

/// What the log has of interactions, and findings.
fn logged(setup: &Setup) -> Result<Vec<Value>> {
    let events = parsed(&log::all(setup)?)?;
    let of_others = |event: &Value| event["class_uid"] != 6002;
    Ok(events.into_iter().filter(of_others).collect())
}

/// What an event is known by.
fn key(event: &Value) -> String {
    let stage = &event["unmapped"]["mcp"]["stage"];
    format!("{} {stage}", event["metadata"]["uid"])
}

fn parsed(lines: &[String]) -> Result<Vec<Value>> {
    lines
        .iter()
        .map(|line| Ok(serde_json::from_str(line)?))
        .collect()
}

/// What is in the file among receivers: all that is durable, soon.
fn in_file(receivers: &[Receiver]) -> Result<Vec<Value>> {
    let file = receivers.iter().find(|one| one.name == "file");
    parsed(&file.context("no file")?.got()?.0)
}

/// Waits until events of these clients are in the file.
fn heard(setup: &Setup, receivers: &[Receiver], pids: &[u32]) -> Result<()> {
    wait_for("what was said, in the file", setup.limit, || {
        let events = in_file(receivers)?;
        let is_there = |pid: &u32| {
            let client = |event: &Value| event["unmapped"]["mcp"]["client"]["pid"].as_u64();
            let finals = events
                .iter()
                .filter(|event| event["unmapped"]["mcp"]["stage"] == "final");
            finals.filter_map(client).any(|one| one == u64::from(*pid))
        };
        Ok(pids.iter().all(is_there).then_some(()))
    })
}

/// Waits until a receiver has all that is in the file.
fn arrived(setup: &Setup, receiver: &Receiver, receivers: &[Receiver]) -> Result<()> {
    let wanted: Vec<String> = in_file(receivers)?.iter().map(key).collect();
    let mut missing = Vec::new();
    let come = wait_for(
        &format!("all events in {}", receiver.name),
        setup.limit * 2,
        || {
            let got: HashSet<String> = parsed(&receiver.got()?.0)?.iter().map(key).collect();
            missing = wanted.iter().filter(|key| !got.contains(*key)).collect();
            Ok(missing.is_empty().then_some(()))
        },
    );
    come.with_context(|| format!("of {} are missing: {missing:?}", wanted.len()))
}

/// Holds what a receiver has, each event once, against what is in the log, of which it has at least so many.
fn compare(receiver: &Receiver, expected: &[Value], least: usize) -> Result<()> {
    let (events, lifecycle) = receiver.got()?;
    let got = parsed(&events)?;
    let name = receiver.name;
    ensure!(
        got.len() >= least,
        "{name} has {} of {least} events",
        got.len()
    );
    let (keys, wanted): (Vec<_>, Vec<_>) = (
        got.iter().map(key).collect(),
        expected.iter().map(key).collect(),
    );
    // Two runs of the daemon number their events anew: those are put in order by their numbers.
    let is_sorted = matches!(name, "kafka" | "opensearch");
    let sorted = |mut keys: Vec<String>| {
        keys.sort();
        keys
    };
    // What comes with the stop may come too late for some, which get it after the next start.
    let wanted = wanted.get(..keys.len()).unwrap_or(&wanted).to_vec();
    if is_sorted {
        ensure!(sorted(keys) == sorted(wanted), "{name} has others");
    } else {
        ensure!(keys == wanted, "{name} has others, or in another order");
    }
    if name != "syslog-ng" {
        for event in &got {
            let same = expected.iter().find(|one| key(one) == key(event));
            ensure!(same == Some(event), "{name} has another: {event}");
        }
    }
    ensure!(!lifecycle.is_empty(), "{name} was never told of the log");
    Ok(())
}

/// A checkpoint that a receiver got is one that the log is held against.
fn evidence(setup: &Setup, receivers: &[Receiver]) -> Result<()> {
    for one in receivers.iter().filter(|one| one.name != "syslog-ng") {
        let (_, lifecycle) = one.got()?;
        let checkpoint = lifecycle.iter().rev().find_map(|line| {
            let event: Value = serde_json::from_str(line).ok()?;
            let said = event.pointer("/unmapped/mcp/lifecycle/checkpoint")?;
            Some(said.as_str()?.to_owned())
        });
        let checkpoint = checkpoint.with_context(|| format!("{} has no checkpoint", one.name))?;
        let path = setup.folder.join("checkpoint");
        fs::write(&path, checkpoint)?;
        let data = setup.folder.join("daemon/data");
        let (data, path) = (data.to_string_lossy(), path.to_string_lossy());
        let verify = ["verify", "--data-dir", &data, "--checkpoint", &path];
        let output = setup.output(&verify)?;
        ensure!(
            output.status.success(),
            "the log does not agree with what {} was told",
            one.name
        );
    }
    Ok(())
}
