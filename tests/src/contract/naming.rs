//! Who is named: also a process that is gone before anybody could look, and one whose pid another had before.

use std::{fs, os::unix::process::CommandExt as _, path::Path, process::Command};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use super::Setup;
use crate::{
    daemon::Daemon,
    process::wait_for,
    speaker::{self, HELLO},
};

/// Programs that are run once each.
const PROGRAMS: usize = 5;
/// Tries to get a wanted pid.
const TRIES: usize = 200;
const IDS: (u32, u32) = (12_345, 12_346);

/// A process that writes one message and ends, of a program that nobody ran before.
pub(super) fn short_life(setup: &Setup) -> Result<()> {
    let mut daemon = setup.daemon(&[])?;
    for number in 0..PROGRAMS {
        is_named(setup, &daemon, &number.to_string(), 0)?;
    }
    ensure!(daemon.stop(setup.limit)?.success(), "it did not end well");
    Ok(())
}

/// The same of a program so large that its hash takes a while.
pub(super) fn large_program(setup: &Setup) -> Result<()> {
    let mut daemon = setup.daemon(&[])?;
    is_named(setup, &daemon, "large", 64 << 20)?;
    ensure!(daemon.stop(setup.limit)?.success(), "it did not end well");
    Ok(())
}

/// Plays one such process, of a program with `extra` bytes behind it.
fn is_named(setup: &Setup, daemon: &Daemon, name: &str, extra: u64) -> Result<()> {
    let program = setup.copy_of(&std::env::current_exe()?, name)?;
    let file = fs::OpenOptions::new().write(true).open(&program.0)?;
    file.set_len(file.metadata()?.len() + extra)?;
    drop(file);
    let hash = sha256(&program.0)?;
    let mut command = Command::new(&program.0);
    command.args(["speak", HELLO, "\n"]);
    let pid = speaker::listen(command.uid(IDS.0).gid(IDS.1).current_dir("/"))?;
    let client = client(setup, daemon, pid, |_| true)?;
    let path = program.0.to_string_lossy();
    let due = json!({
        "pid": pid, "exe": path, "exe_sha256": hash, "uid": IDS.0, "gid": IDS.1,
        "cmdline": [path, "speak", HELLO, "\n"],
    });
    for (field, value) in due.as_object().context("no object")? {
        ensure!(client[field] == *value, "{field} is not {value}: {client}");
    }
    ensure!(
        client["cgroup"] == own_cgroup()?,
        "another cgroup: {client}"
    );
    ensure!(
        client["cgroup_id"].is_u64(),
        "no id of the cgroup: {client}"
    );
    let parent = &client["lineage"][0];
    let own = std::env::current_exe()?;
    ensure!(
        parent["pid"] == std::process::id() && parent["exe"] == *own.to_string_lossy(),
        "another parent: {client}"
    );
    Ok(())
}

/// A script of Python that an installer left: both it and its package are named.
pub(super) fn program(setup: &Setup) -> Result<()> {
    let site = setup.folder.join("lib/python3/site-packages");
    let (module, info) = (
        site.join("talker"),
        site.join("talker_server-1.5.dist-info"),
    );
    for folder in [&module, &info] {
        fs::create_dir_all(folder)?;
    }
    let script = module.join("main.py");
    let text =
        "import sys, time\nsys.stdout.write(sys.argv[1])\nsys.stdout.flush()\ntime.sleep(1)\n";
    fs::write(&script, text)?;
    fs::write(info.join("METADATA"), "Name: talker-server\nVersion: 1.5\n")?;
    fs::write(info.join("RECORD"), "talker/main.py,,\n")?;
    let mut daemon = setup.daemon(&[])?;
    let script = fs::canonicalize(script)?;
    let pid = speaker::listen(
        Command::new("python3")
            .arg(&script)
            .arg(format!("{HELLO}\n")),
    )?;
    let client = client(setup, &daemon, pid, |_| true)?;
    let due = json!({
        "script": script.to_string_lossy(), "package": "talker-server", "version": "1.5", "ecosystem": "pypi",
    });
    ensure!(client["program"] == due, "another program: {client}");
    let exe = client["exe"].as_str().unwrap_or_default();
    ensure!(exe.contains("python3"), "another interpreter: {client}");
    ensure!(daemon.stop(setup.limit)?.success(), "it did not end well");
    Ok(())
}

/// Two processes with one pid are two.
pub(super) fn reused_pid(setup: &Setup) -> Result<()> {
    let mut daemon = setup.daemon(&[])?;
    let own = std::env::current_exe()?;
    let programs = [
        setup.copy_of(&own, "first")?,
        setup.copy_of(&own, "second")?,
    ];
    let paths = programs
        .each_ref()
        .map(|program| program.0.to_string_lossy().into_owned());
    let speak = |path: &str| {
        let mut command = Command::new(path);
        speaker::listen(command.args(["speak", HELLO, "\n"]))
    };
    let pid = speak(&paths[0])?;
    let mut tries = 0;
    loop {
        ensure!(tries < TRIES, "pid {pid} could not be had again");
        tries += 1;
        fs::write("/proc/sys/kernel/ns_last_pid", (pid - 1).to_string())?;
        if speak(&paths[1])? == pid {
            break;
        }
    }
    let [first, second] = paths.each_ref().map(|path| {
        client(setup, &daemon, pid, |client| {
            client["exe"] == *path.as_str()
        })
    });
    let (first, second) = (first.context("the first")?, second.context("the second")?);
    ensure!(
        first["start_time"].as_u64() < second["start_time"].as_u64(),
        "one start: {first} {second}"
    );
    for (client, path) in [(&first, &paths[0]), (&second, &paths[1])] {
        ensure!(
            client["cmdline"][0] == *path.as_str(),
            "another's arguments: {client}"
        );
    }
    ensure!(daemon.stop(setup.limit)?.success(), "it did not end well");
    Ok(())
}

/// The client of the final event of a process, as soon as there is one that is wanted.
fn client(
    setup: &Setup,
    daemon: &Daemon,
    pid: u32,
    is_wanted: impl Fn(&Value) -> bool,
) -> Result<Value> {
    wait_for("an event", setup.limit, || {
        let events = daemon.events().of(&[pid])?;
        let finals = events.into_iter().filter(|event| event.stage == "final");
        let mut clients = finals.map(|event| event.json["unmapped"]["mcp"]["client"].clone());
        Ok(clients.find(|client| is_wanted(client)))
    })
}

fn sha256(path: &Path) -> Result<String> {
    let output = Command::new("sha256sum").arg(path).output()?;
    let text = String::from_utf8(output.stdout)?;
    Ok(text.split(' ').next().context("no hash")?.to_owned())
}

/// Path of this process's cgroup: version 2, else the deepest of version 1.
fn own_cgroup() -> Result<String> {
    let text = fs::read_to_string("/proc/self/cgroup")?;
    let paths = text.lines().filter_map(|line| line.splitn(3, ':').nth(2));
    let deepest = paths.max_by_key(|path| path.matches('/').count() + path.len());
    Ok(deepest.context("no cgroup")?.to_owned())
}
