//! Load under daemons that come and go: programs must not notice, and the daemon must not grow.
//!
//! Each test starts the daemons that it needs.

use std::{
    fs,
    io::Write as _,
    path::Path,
    process::Stdio,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, anyhow, ensure};

use super::{Runtime, Target, many};
use crate::{
    Arguments,
    certificates::Certificates,
    daemon::Daemon,
    interaction::Interaction,
    process::{Running, free_port},
    programs::{Sdk, python, source},
    scenarios,
    session::listening,
};

/// What a test is given.
pub(crate) struct Setup<'a> {
    /// The daemon's binary.
    pub(crate) auditor: &'a Path,
    pub(crate) folder: &'a Path,
    pub(crate) certificates: &'a Certificates,
    pub(crate) limit: Duration,
}

type Test = (&'static str, fn(&Setup<'_>) -> Result<()>);

const TESTS: [Test; 3] = [
    ("load_go_http2_joined_late", joined_late),
    ("load_python_node_go_while_daemons_come_and_go", |setup| {
        attach_and_detach(setup, 3)
    }),
    ("load_go_twice_without_growth", without_growth),
];

/// Runs those that are wanted, says how each ended, and gives the number of those that failed.
pub(crate) fn check(setup: &Setup<'_>, arguments: &Arguments) -> usize {
    let is_wanted = |name: &str| {
        let needs = |word: &String| word == "python" || scenarios::needs(name, word);
        arguments
            .only
            .as_ref()
            .is_none_or(|only| name.contains(only.as_str()))
            && !arguments.without.iter().any(needs)
    };
    let (mut passed, mut failed) = (0, 0);
    for (name, test) in TESTS.iter().filter(|(name, _)| is_wanted(name)) {
        match test(setup) {
            Ok(()) => {
                passed += 1;
                println!("test {name} ... ok");
            }
            Err(wrong) => {
                failed += 1;
                println!("test {name} ... FAILED\n    {wrong:#}");
            }
        }
    }
    println!("{passed} passed, {failed} failed");
    failed
}

impl Setup<'_> {
    fn daemon(&self) -> Result<Daemon> {
        Daemon::start(self.auditor, &self.folder.join("alone"), &[], self.limit)
    }

    fn server(&self, runtime: Runtime) -> Result<(Running, Target)> {
        let port = free_port()?;
        let log = self.folder.join(format!("alone-{}.log", runtime.name()));
        let server = &mut runtime.server(port, self.certificates)?;
        let server = listening(server, &log, port, self.limit)?;
        let target = Target {
            port,
            authority: fs::canonicalize(self.certificates.authority())?,
        };
        Ok((server, target))
    }
}

/// A connection over HTTP/2 that was made, and used, before the daemon came: its calls are heard from then on.
fn joined_late(setup: &Setup<'_>) -> Result<()> {
    let (server, target) = setup.server(Runtime::Go)?;
    let mut client = Runtime::Go.client(&target, 1, 5, 0)?;
    client
        .arg("wait")
        .stdin(Stdio::piped())
        .stdout(Stdio::null());
    let mut client = Running::start(&mut client)?;
    let mut input = client.child().stdin.take().context("no standard input")?;
    for _ in 0..2 {
        input.write_all(b"\n")?;
        thread::sleep(Duration::from_millis(300));
    }
    let mut daemon = setup.daemon()?;
    for _ in 0..3 {
        input.write_all(b"\n")?;
        thread::sleep(Duration::from_millis(100));
    }
    drop(input);
    client.wait(setup.limit)?;
    daemon.stop(setup.limit)?;
    let ends = (Some(client.pid()), Some(server.pid()));
    let events = daemon.events().all()?;
    // Others on this host may speak, too.
    let is_ours = |call: &Interaction| call.client == ends.0 || call.server == ends.1;
    for id in ["2", "3", "4"] {
        let calls = events.iter().filter(|event| {
            let call = &event.interaction;
            event.stage == "final" && call.id.as_deref() == Some(id) && is_ours(call)
        });
        let calls: Vec<_> = calls.map(|event| &event.interaction).collect();
        let is_right = matches!(calls.as_slice(), [call] if (call.client, call.server) == ends);
        ensure!(is_right, "call {id} of {ends:?} is told as {calls:?}");
    }
    Ok(())
}

/// Every runtime goes on calling while daemons start and end; and Python does worse than that.
pub(crate) fn attach_and_detach(setup: &Setup<'_>, times: usize) -> Result<()> {
    let pairs = [Runtime::Python, Runtime::Node, Runtime::Go];
    let mut servers = pairs
        .into_iter()
        .map(|runtime| {
            setup
                .server(runtime)
                .map(|(server, target)| (runtime, server, target))
        })
        .collect::<Result<Vec<_>>>()?;
    let is_over = &AtomicBool::new(false);
    let made = thread::scope(|scope| -> Result<usize> {
        let mut loads: Vec<_> = servers
            .iter()
            .map(|(runtime, _, target)| {
                scope.spawn(move || keep_calling(*runtime, target, is_over, setup.limit))
            })
            .collect();
        let python = servers
            .iter()
            .find(|(runtime, ..)| *runtime == Runtime::Python);
        let (.., target) = python.context("no server")?;
        loads.push(scope.spawn(move || keep_shaking(target, is_over, setup.limit)));
        let daemons = (0..times).try_for_each(|_| -> Result<()> {
            let mut daemon = setup.daemon()?;
            thread::sleep(Duration::from_millis(500));
            let status = daemon.stop(setup.limit)?;
            ensure!(status.success(), "the daemon ended with {status}");
            Ok(())
        });
        is_over.store(true, Ordering::Relaxed);
        let mut made = 0;
        for load in loads {
            made += load.join().map_err(|_| anyhow!("a load panicked"))??;
        }
        daemons.map(|()| made)
    })?;
    for (runtime, server, _) in &mut servers {
        ensure!(
            server.ended()?.is_none(),
            "the server of {} is gone",
            runtime.name()
        );
    }
    println!("{made} calls while {times} daemons came and went");
    Ok(())
}

/// Calls until it is over; gives the number of calls, each of which was answered rightly.
fn keep_calling(
    runtime: Runtime,
    target: &Target,
    is_over: &AtomicBool,
    limit: Duration,
) -> Result<usize> {
    let mut made = 0;
    while !is_over.load(Ordering::Relaxed) {
        let mut client = runtime.client(target, 4, 100, made as u64)?;
        if runtime == Runtime::Node {
            client.arg("workers");
        }
        let answered = many::told(client, limit)?.ports.len();
        ensure!(
            answered == 400,
            "{} had {answered} of 400 answers",
            runtime.name()
        );
        made += answered;
    }
    Ok(made)
}

/// Threads, forks and programs executed amid a read, until it is over.
fn keep_shaking(target: &Target, is_over: &AtomicBool, limit: Duration) -> Result<usize> {
    let mut made = 0;
    while !is_over.load(Ordering::Relaxed) {
        let mut command = std::process::Command::new(python(Sdk::Python2)?);
        command.arg(source("python").join("safety.py"));
        command.arg(target.port.to_string()).arg(&target.authority);
        command.arg("0").stdin(Stdio::null()).stdout(Stdio::piped());
        let mut running = Running::start(&mut command)?;
        let output = running.child().stdout.take().context("no output")?;
        let told = std::io::read_to_string(output)?;
        let status = running.wait(limit)?;
        ensure!(
            status.success() && told == "done\n",
            "safety.py: {status}, {told}"
        );
        made += 168;
    }
    Ok(made)
}

/// A daemon that heard the same load once more has no more descriptors, and hardly more memory.
fn without_growth(setup: &Setup<'_>) -> Result<()> {
    let (_server, target) = setup.server(Runtime::Go)?;
    let mut daemon = setup.daemon()?;
    let mut sizes = Vec::new();
    for _ in 0..4 {
        let told = many::told(Runtime::Go.client(&target, 50, 40, 0)?, setup.limit)?;
        ensure!(
            told.ports.len() == 2000,
            "{} of 2000 answers",
            told.ports.len()
        );
        // What was heard is written, and nothing waits any more.
        thread::sleep(Duration::from_secs(1));
        sizes.push(size(daemon.pid())?);
    }
    daemon.stop(setup.limit)?;
    let [_, (few, small), .., (many, large)] = sizes.as_slice() else {
        return Err(anyhow!("too few runs"));
    };
    // Programs that others start meanwhile bring some probes each; what leaked would do so for 4,000 connections.
    ensure!(*many < few + 100, "descriptors: {sizes:?}");
    ensure!(
        *large <= small + 8192,
        "descriptors and KiB of memory: {sizes:?}"
    );
    Ok(())
}

/// Descriptors of a process, and its resident memory in KiB.
fn size(pid: u32) -> Result<(usize, u64)> {
    let descriptors = fs::read_dir(format!("/proc/{pid}/fd"))?.count();
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find(|line| line.starts_with("VmRSS"));
    let word = line.and_then(|line| line.split_whitespace().nth(1));
    Ok((descriptors, word.context("no VmRSS")?.parse()?))
}
