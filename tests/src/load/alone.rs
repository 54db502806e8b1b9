//! Load under a daemon of its own: joined late, heard again and again, and while daemons come and go.
//!
//! Each test starts the daemons that it needs.

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    path::Path,
    process::Stdio,
    time::Duration,
};

use anyhow::{Context as _, Result, anyhow, ensure};

use super::{Runtime, Target, attach, many};
use crate::{
    Arguments,
    certificates::Certificates,
    daemon::Daemon,
    interaction::Interaction,
    process::{Running, free_port, wait_for},
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
        attach::and_detach(setup, 5)
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
    /// Starts a daemon.
    pub(super) fn daemon(&self) -> Result<Daemon> {
        Daemon::start(self.auditor, &self.folder.join("alone"), &[], self.limit)
    }

    /// Starts a server.
    pub(super) fn server(&self, runtime: Runtime) -> Result<(Running, Target)> {
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
        .stdout(Stdio::piped());
    let mut client = Running::start(&mut client)?;
    let mut input = client.child().stdin.take().context("no standard input")?;
    let output = client.child().stdout.take().context("no standard output")?;
    let mut answers = BufReader::new(output).lines();
    let mut call = |id: usize| -> Result<()> {
        input.write_all(b"\n")?;
        let answer = answers.next().context("the client is gone")??;
        ensure!(answer.starts_with(&format!("{id} ")), "{answer} for {id}");
        Ok(())
    };
    (0..2).try_for_each(&mut call)?;
    let mut daemon = setup.daemon()?;
    (2..5).try_for_each(&mut call)?;
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

/// A daemon that heard the same load once more has no more descriptors, and hardly more memory.
fn without_growth(setup: &Setup<'_>) -> Result<()> {
    let (_server, target) = setup.server(Runtime::Go)?;
    let mut daemon = setup.daemon()?;
    let (mut fewest, mut sizes) = (usize::MAX, Vec::new());
    for run in 0..4 {
        let told = many::told(Runtime::Go.client(&target, 50, 40, 0)?, setup.limit)?;
        let answered = told.ports.len();
        ensure!(answered == 2000, "{answered} of 2000 answers");
        wait_for("the events of a run", setup.limit, || {
            let events = daemon.events().of(&[told.client])?;
            let finals = events.iter().filter(|event| event.stage == "final");
            Ok((finals.count() >= answered).then_some(()))
        })?;
        // A file that is looked at just now, for others start programs meanwhile, is soon closed.
        let mut own = 0;
        let no_more = wait_for("descriptors to be closed", setup.limit, || {
            own = own_descriptors(&daemon)?;
            Ok((own <= fewest).then_some(()))
        });
        no_more.with_context(|| format!("run {run} left {own}, another before it {fewest}"))?;
        fewest = fewest.min(own);
        sizes.push(memory(daemon.pid())?);
    }
    daemon.stop(setup.limit)?;
    let [_, small, .., large] = sizes.as_slice() else {
        return Err(anyhow!("too few runs"));
    };
    ensure!(*large <= small + 8192, "KiB of memory: {sizes:?}");
    Ok(())
}

/// Descriptors of a daemon but for the probes that, by its log, it put into files.
fn own_descriptors(daemon: &Daemon) -> Result<usize> {
    let log = daemon.log();
    let told = log.lines().filter_map(|line| {
        let (_, number) = line.split_once(" probes=")?;
        number.split(' ').next()?.parse::<usize>().ok()
    });
    let told: usize = told.sum();
    ensure!(told > 0, "the log tells of no probes: {log}");
    let descriptors = fs::read_dir(format!("/proc/{}/fd", daemon.pid()))?.count();
    descriptors
        .checked_sub(told)
        .context("not all probes are there that the log tells of")
}

/// Resident memory of a process in KiB.
fn memory(pid: u32) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find(|line| line.starts_with("VmRSS"));
    let word = line.and_then(|line| line.split_whitespace().nth(1));
    Ok(word.context("no VmRSS")?.parse()?)
}
