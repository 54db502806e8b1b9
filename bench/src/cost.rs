//! What the auditor costs others: throughput of sessions, of plain pipes, and of system calls that move nothing.

use std::{
    process::{Command, Stdio},
    time::Instant,
};

use anyhow::{Context as _, Result};

use crate::{
    auditor::{Auditor, role},
    report::Report,
};

/// Pairs of runs, in turn without and with the auditor.
const PAIRS: usize = 7;

pub(crate) fn measure(auditor: &Auditor, report: &mut Report) -> Result<()> {
    let mut one = Pairs::default();
    let mut four = Pairs::default();
    let mut pipe = Pairs::default();
    let mut idle = Pairs::default();
    for _ in 0..PAIRS {
        for has_auditor in [false, true] {
            let running = if has_auditor {
                Some(auditor.start()?)
            } else {
                None
            };
            if let Some(running) = &running {
                running.settle()?;
            }
            one.push(has_auditor, ping_pong(1, true)?);
            four.push(has_auditor, ping_pong(4, false)?);
            pipe.push(has_auditor, plain_pipe()?);
            idle.push(has_auditor, system_calls()?);
            if let Some(running) = running {
                running.stop()?;
            }
        }
    }
    report.at_least(
        "ping-pong throughput of one session, with : without",
        1.0 / one.ratio(),
        0.85,
        "",
    );
    report.tell(
        "ping-pong throughput of four sessions, with : without",
        1.0 / four.ratio(),
        "",
    );
    report.at_most("dd bs=64 | cat, time with : without", pipe.ratio(), 1.3, "");
    report.at_most(
        "a system call that moves nothing, more by",
        idle.difference(),
        100.0,
        "ns",
    );
    Ok(())
}

/// Figures without and with the auditor.
#[derive(Default)]
struct Pairs {
    without: Vec<f64>,
    with: Vec<f64>,
}

impl Pairs {
    fn push(&mut self, has_auditor: bool, value: f64) {
        if has_auditor {
            &mut self.with
        } else {
            &mut self.without
        }
        .push(value);
    }

    /// Median of the ratios of the pairs.
    fn ratio(&self) -> f64 {
        median(
            self.with
                .iter()
                .zip(&self.without)
                .map(|(with, without)| with / without)
                .collect(),
        )
    }

    /// Median of the differences of the pairs.
    fn difference(&self) -> f64 {
        median(
            self.with
                .iter()
                .zip(&self.without)
                .map(|(with, without)| with - without)
                .collect(),
        )
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Runs a program, and what it starts, on the first processor: where the scheduler puts two that wake each other
/// changes their speed by more than the auditor does.
fn on_one_processor(program: &Command) -> Command {
    let mut command = Command::new("taskset");
    command.args(["--cpu-list", "0"]).arg(program.get_program());
    command.args(program.get_args());
    command
}

/// Seconds that some sessions need for their calls, side by side.
fn ping_pong(sessions: usize, is_pinned: bool) -> Result<f64> {
    let mut clients = Vec::new();
    for _ in 0..sessions {
        let mut client = role()?;
        client.args(["client", "20000"]);
        if is_pinned {
            client = on_one_processor(&client);
        }
        clients.push(client.stdout(Stdio::piped()).spawn()?);
    }
    let mut longest: f64 = 0.0;
    for client in clients {
        let output = client.wait_with_output()?;
        let nanos: f64 = String::from_utf8_lossy(&output.stdout)
            .trim()
            .parse()
            .context("the client's time")?;
        longest = longest.max(nanos);
    }
    Ok(longest / 1e9)
}

fn plain_pipe() -> Result<f64> {
    let started = Instant::now();
    let mut shell = Command::new("sh");
    shell.args([
        "-c",
        "dd if=/dev/zero bs=64 count=1000000 2>/dev/null | cat >/dev/null",
    ]);
    let status = on_one_processor(&shell).status()?;
    anyhow::ensure!(status.success(), "dd | cat failed");
    Ok(started.elapsed().as_secs_f64())
}

/// Nanoseconds of one system call.
fn system_calls() -> Result<f64> {
    let output = role()?.args(["syscalls", "3000000"]).output()?;
    String::from_utf8_lossy(&output.stdout)
        .trim()
        .parse()
        .context("the time of a system call")
}
