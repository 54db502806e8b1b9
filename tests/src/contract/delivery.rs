//! Events in receivers that nobody here wrote: all of them, as they are in the log, in order, whatever is killed meanwhile.

use std::{fs, path::PathBuf};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::Setup;
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
    say(20)?;
    if let Some(one) = find(&mut receivers, "rsyslog") {
        one.kill();
    }
    say(20)?;
    let file = find(&mut receivers, "file").context("no file")?;
    arrived(setup, file)?;
    daemon.stop_by("KILL", setup.limit)?;
    let folder = setup.folder.join("daemon");
    let mut daemon = Daemon::start_again(&setup.auditor, &folder, &flags, setup.limit)?;
    say(20)?;
    if let Some(one) = find(&mut receivers, "rsyslog") {
        one.spawn()?;
        one.wait(setup.limit)?;
    }
    say(5)?;
    for one in &receivers {
        arrived(setup, one).with_context(|| daemon.log())?;
    }
    daemon.stop(setup.limit)?;
    for one in &receivers {
        compare(setup, one)?;
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
    for one in &receivers {
        arrived(setup, one).with_context(|| daemon.log())?;
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
    for one in &receivers {
        compare(setup, one)?;
    }
    Ok(())
}

fn configure(setup: &Setup, sinks: &str) -> Result<PathBuf> {
    let path = setup.folder.join("config.toml");
    fs::write(&path, sinks)?;
    Ok(path)
}

fn say(times: usize) -> Result<()> {
    for _ in 0..times {
        speaker::say(&[HELLO, "\n"])?;
    }
    Ok(())
}

fn find<'a>(receivers: &'a mut [Receiver], name: &str) -> Option<&'a mut Receiver> {
    receivers.iter_mut().find(|one| one.name == name)
}

/// What the daemon wrote of interactions so far, in its order.
fn written(setup: &Setup) -> Result<Vec<Value>> {
    let text = fs::read_to_string(setup.folder.join("daemon/events.jsonl"))?;
    let whole = text
        .split_inclusive('\n')
        .filter(|line| line.ends_with('\n'));
    whole.map(|line| Ok(serde_json::from_str(line)?)).collect()
}

/// What an event is known by.
fn key(event: &Value) -> String {
    let stage = &event["unmapped"]["mcp"]["stage"];
    format!("{} {stage}", event["metadata"]["uid"])
}

/// Waits until a receiver has all that was written when this was called.
fn arrived(setup: &Setup, receiver: &Receiver) -> Result<()> {
    let wanted: Vec<String> = written(setup)?.iter().map(key).collect();
    let mut last = (0, String::new());
    let come = wait_for(
        &format!("all events in {}", receiver.name),
        setup.limit * 2,
        || {
            let (events, _) = receiver.got()?;
            let got: Vec<Value> = events
                .iter()
                .map(|event| serde_json::from_str(event))
                .collect::<Result<_, _>>()?;
            let got: std::collections::HashSet<String> = got.iter().map(key).collect();
            let missing = wanted.iter().filter(|key| !got.contains(*key));
            last = (
                missing.clone().count(),
                format!("{:?}", missing.clone().next()),
            );
            Ok((last.0 == 0).then_some(()))
        },
    );
    come.with_context(|| format!("{} of {} are missing: {}", last.0, wanted.len(), last.1))
}

/// Holds what a receiver has, each event once, against what was written.
fn compare(setup: &Setup, receiver: &Receiver) -> Result<()> {
    let (events, lifecycle) = receiver.got()?;
    let expected = written(setup)?;
    let got: Vec<Value> = events
        .iter()
        .map(|event| serde_json::from_str(event))
        .collect::<Result<_, _>>()?;
    let name = receiver.name;
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
    // What came with the stop may have come too late for some: they get it after the next start.
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
        let checkpoints = lifecycle.iter().filter_map(|line| {
            let event: Value = serde_json::from_str(line).ok()?;
            let said = event.pointer("/unmapped/mcp/lifecycle/checkpoint")?;
            Some(said.as_str()?.to_owned())
        });
        let checkpoint = checkpoints.last();
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
