//! Daemons that come and go under load: programs must not notice, and nothing of the daemons may stay in the kernel.

use std::{
    process::{Command, Stdio},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, anyhow, ensure};

use super::{
    Runtime, Target,
    alone::Setup,
    brought::{Brought, breakpoints},
    many,
};
use crate::{
    process::{Running, under, wait_for},
    programs::{Sdk, python, source},
};

/// Every runtime goes on calling while so many daemons start, hear each of them, and end; and Python does worse than that.
pub(crate) fn and_detach(setup: &Setup<'_>, times: usize) -> Result<()> {
    let mut servers = [Runtime::Python, Runtime::Node, Runtime::Go]
        .into_iter()
        .map(|runtime| {
            let (server, target) = setup.server(runtime)?;
            Ok((runtime, server, target))
        })
        .collect::<Result<Vec<_>>>()?;
    let pids: Vec<u32> = servers.iter().map(|(_, server, _)| server.pid()).collect();
    let is_over = &AtomicBool::new(false);
    let (made, brought) = thread::scope(|scope| -> Result<(usize, Brought)> {
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
        let mut brought = Brought::default();
        let daemons = (0..times).try_for_each(|time| {
            let come_and_gone = come_and_go(setup, &pids, &mut brought);
            come_and_gone.with_context(|| format!("daemon {time} of {times}"))
        });
        is_over.store(true, Ordering::Relaxed);
        let mut made = 0;
        for load in loads {
            made += load.join().map_err(|_| anyhow!("a load panicked"))??;
        }
        daemons.map(|()| (made, brought))
    })?;
    for (runtime, server, _) in &mut servers {
        let name = runtime.name();
        ensure!(server.ended()?.is_none(), "the server of {name} is gone");
    }
    // The kernel removes probes one after the other.
    wait_for("the kernel to forget the daemons", setup.limit * 2, || {
        Ok((brought.left()? == Brought::default()).then_some(()))
    })
    .with_context(|| format!("left of {brought}: {:?}", brought.left()))?;
    // Another auditor on this host has its own probes in the same files.
    wait_for("breakpoints to go", setup.limit, || {
        let is_free = |pid: &u32| breakpoints(*pid).is_ok_and(|left| left == 0);
        let are_gone = Brought::is_another_there() || pids.iter().all(is_free);
        Ok(are_gone.then_some(()))
    })?;
    println!(
        "{made} calls while {times} daemons came and went, which brought {brought} and left none"
    );
    Ok(())
}

/// One daemon: it hears each server, and ends.
fn come_and_go(setup: &Setup<'_>, servers: &[u32], brought: &mut Brought) -> Result<()> {
    let mut daemon = setup.daemon()?;
    wait_for("a call to each server", setup.limit, || {
        let events = daemon.events().of(servers)?;
        let is_heard = |server: &u32| {
            let mut servers = events.iter().map(|event| event.interaction.server);
            servers.any(|heard| heard == Some(*server))
        };
        Ok(servers.iter().all(is_heard).then_some(()))
    })?;
    let own = Brought::by(daemon.pid())?;
    // What is looked for afterwards is there now.
    let there = own.left()?;
    ensure!(
        there == own,
        "the daemon brought {own}, of which {there} are there"
    );
    for server in servers {
        ensure!(
            breakpoints(*server)? > 0,
            "process {server} has no breakpoints"
        );
    }
    brought.add(own);
    let status = daemon.stop(setup.limit)?;
    ensure!(status.success(), "the daemon ended with {status}");
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
        let answered = many::told(yielding(&client), limit)?.ports.len();
        let name = runtime.name();
        ensure!(answered == 400, "{name} had {answered} of 400 answers");
        made += answered;
    }
    Ok(made)
}

/// Threads, forks and programs executed amid a read, until it is over.
fn keep_shaking(target: &Target, is_over: &AtomicBool, limit: Duration) -> Result<usize> {
    let mut made = 0;
    while !is_over.load(Ordering::Relaxed) {
        let mut command = Command::new(python(Sdk::Python2)?);
        command.arg(source("python").join("safety.py"));
        command.arg(target.port.to_string()).arg(&target.authority);
        command.arg("0");
        let mut command = yielding(&command);
        command.stdin(Stdio::null()).stdout(Stdio::piped());
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

/// The same command, which takes what processor time the others leave: clients that never rest leave a daemon little.
fn yielding(program: &Command) -> Command {
    under(&["nice", "-n", "19"], program)
}
