//! Storms of processes: pids that are used again at once, and more processes than the auditor remembers.
//!
//! Starts a daemon of its own, with room for few processes. Pids of the root namespace are used again only where the
//! test may lower their number: alone on a host, as in a guest of `cargo xtask vm`.

use std::{
    fs,
    path::Path,
    process::{Command, ExitCode, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::{
    Arguments,
    daemon::Daemon,
    event::Event,
    process::{Running, wait_for},
    speaker,
    suite::{self, Named},
};

type Test = Named<fn(&Setup) -> Result<()>>;

const TESTS: [Test; 2] = [
    ("storm_of_reused_pids_misnames_nobody", reused_pids),
    ("storm_of_forks_is_bounded_and_told", forks),
];

/// Processes that each say one thing.
const SPEAKERS: u32 = 2_000;
/// How many of them run at once.
const AT_ONCE: usize = 8;
/// Pids that there are for them.
const PIDS: u32 = 400;
const FORKS: u32 = 20_000;
/// Processes that the daemon remembers.
const ROOM: u32 = 4_096;
/// The programs that speak, in turn.
const PROGRAMS: [&str; 3] = ["/usr/bin/printf", "/usr/bin/echo", "/usr/bin/env"];

struct Setup {
    daemon: Daemon,
    limit: Duration,
}

/// Runs the tests, says how each ended, and gives the number of those that failed.
pub(crate) fn check(auditor: &Path, arguments: &Arguments, limit: Duration) -> usize {
    let folder = arguments.folder.join("storm");
    let start = || Setup::start(auditor, &folder, limit);
    suite::run(
        &TESTS,
        arguments.only.as_deref(),
        start,
        |(_, test), setup| test(setup),
    )
}

impl Setup {
    fn start(auditor: &Path, folder: &Path, limit: Duration) -> Result<Self> {
        fs::create_dir_all(folder)?;
        let config = folder.join("config.toml");
        fs::write(&config, format!("processes = {ROOM}\n"))?;
        let config = config.to_string_lossy();
        let daemon = folder.join("daemon");
        let daemon = Daemon::start(auditor, &daemon, &["--config", &config], limit)?;
        Ok(Self { daemon, limit })
    }
}

/// `auditor-e2e storm`: starts the speakers, each with a number of its own in its arguments and its message.
pub(crate) fn main() -> ExitCode {
    let has_begun = fs::write("/proc/sys/kernel/pid_max", PIDS.to_string());
    let said = has_begun.map_err(Into::into).and_then(|()| storm());
    match said {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn storm() -> Result<()> {
    let mut running = std::collections::VecDeque::new();
    for number in 0..SPEAKERS {
        if running.len() >= AT_ONCE {
            running.pop_front().map(hear).transpose()?;
        }
        running.push_back(speaker(number).stdout(Stdio::piped()).spawn()?);
    }
    running.into_iter().try_for_each(hear)
}

fn hear(mut child: std::process::Child) -> Result<()> {
    let output = child.stdout.take().context("no standard output")?;
    ensure!(!std::io::read_to_string(output)?.is_empty(), "nothing said");
    child.wait()?;
    Ok(())
}

fn program(number: u32) -> &'static str {
    PROGRAMS[number as usize % PROGRAMS.len()]
}

fn speaker(number: u32) -> Command {
    let hello = speaker::HELLO.replace("\"id\":0", &format!("\"id\":{number}"));
    let mut command = Command::new(program(number));
    match number % 3 {
        0 => command.args(["%s\n", &hello]),
        1 => command.arg(hello),
        // What it executes keeps its pid.
        _ => command.args(["/usr/bin/echo", &hello]),
    };
    command.stdin(Stdio::null());
    command
}

fn reused_pids(setup: &Setup) -> Result<()> {
    let own = std::env::current_exe()?;
    let is_alone = std::env::var_os("AUDITOR_E2E_ALONE").is_some();
    let before = fs::read_to_string("/proc/sys/kernel/pid_max")?;
    let mut command;
    if is_alone {
        command = Command::new(own);
    } else if has_own_limit()? {
        command = Command::new("unshare");
        command
            .args(["--pid", "--fork", "--mount-proc", "--kill-child"])
            .arg(own);
    } else {
        println!("pid_max is the whole host's here: played in guests only");
        return Ok(());
    }
    let mut storm = Running::start(command.arg("storm").stdin(Stdio::null()))?;
    let pid = storm.pid();
    let ended = storm.wait(setup.limit * 4);
    if is_alone {
        fs::write("/proc/sys/kernel/pid_max", before)?;
    }
    ensure!(ended?.success(), "the storm broke off");
    let told = || -> Result<Vec<Event>> {
        let is_of_it = |event: &Event| is_below(event, "server", pid);
        Ok(setup
            .daemon
            .events()
            .all()?
            .into_iter()
            .filter(is_of_it)
            .collect())
    };
    let _ = wait_for("events", setup.limit, || {
        let count = told()?
            .iter()
            .filter(|event| event.stage == "final")
            .count();
        Ok((count >= SPEAKERS as usize).then_some(()))
    });
    let told = told()?;
    let mut numbers: Vec<u32> = Vec::new();
    for event in &told {
        let wrong = || format!("misnamed: {}", event.json);
        let Some(number) = event
            .interaction
            .id
            .as_deref()
            .and_then(|id| id.parse().ok())
        else {
            continue;
        };
        numbers.push(number);
        let arguments = event.json.pointer("/unmapped/mcp/client/cmdline");
        let arguments = arguments.and_then(Value::as_array).with_context(wrong)?;
        let said = arguments
            .last()
            .and_then(Value::as_str)
            .with_context(wrong)?;
        ensure!(said.contains(&format!("\"id\":{number},")), wrong());
        let exe = event.client_exe.as_deref().with_context(wrong)?;
        let expected = if number % 3 == 0 { "/printf" } else { "/echo" };
        ensure!(exe.ends_with(expected), wrong());
        ensure!(is_below(event, "client", pid), wrong());
    }
    numbers.sort_unstable();
    numbers.dedup();
    ensure!(
        numbers.len() == SPEAKERS as usize,
        "{} of {SPEAKERS} were told",
        numbers.len()
    );
    Ok(())
}

/// Whether a side is a process or one of its descendants.
fn is_below(event: &Event, side: &str, pid: u32) -> bool {
    let Some(side) = event.json.pointer(&format!("/unmapped/mcp/{side}")) else {
        return false;
    };
    let parents = side.get("lineage").and_then(Value::as_array);
    let is = |one: &Value| one.get("pid").and_then(Value::as_u64) == Some(pid.into());
    is(side) || parents.into_iter().flatten().any(is)
}

/// Whether a pid namespace has a highest pid of its own: since Linux 6.14.
fn has_own_limit() -> Result<bool> {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease")?;
    let mut numbers = release
        .split(|c: char| !c.is_ascii_digit())
        .map(str::parse::<u32>);
    let mut next = || numbers.next().and_then(Result::ok).context("no release");
    Ok((next()?, next()?) >= (6, 14))
}

fn forks(setup: &Setup) -> Result<()> {
    let mut session = speaker::command(&[speaker::HELLO, "\n", "@read", speaker::HELLO, "\n"])?;
    let mut session = Running::start(session.stdin(Stdio::piped()).stdout(Stdio::piped()))?;
    let pid = session.pid();
    let heard = |number: usize| {
        wait_for("the session's events", setup.limit, || {
            let events = setup.daemon.events().of(&[pid])?;
            Ok((events.len() >= number).then_some(events))
        })
    };
    heard(1)?;
    let script = format!("i=0; while [ $i -lt {FORKS} ]; do (:) & i=$((i+1)); done; wait");
    let mut shell = Command::new("sh");
    let mut storm = Running::start(shell.args(["-c", &script]).stdin(Stdio::null()))?;
    ensure!(
        storm.wait(setup.limit * 4)?.success(),
        "the storm broke off"
    );
    wait_for("the table's word", setup.limit, || {
        let log = setup.daemon.log();
        let told = log
            .lines()
            .rev()
            .find(|line| line.contains("table of processes is full"));
        let forgotten = told.and_then(|line| {
            let number = line.split("forgotten=").nth(1)?;
            number
                .split(|c: char| !c.is_ascii_digit())
                .next()?
                .parse::<u32>()
                .ok()
        });
        Ok(forgotten.filter(|forgotten| *forgotten >= FORKS - ROOM))
    })?;
    // Who lives through it is still known.
    drop(session.child().stdin.take());
    let events = heard(2)?;
    let is_named = |event: &Event| event.client_exe.is_some();
    ensure!(
        events.iter().all(is_named),
        "the session lost its name: {events:?}"
    );
    Ok(())
}
