//! What the auditor costs others: throughput of sessions, of plain pipes, and of system calls that move nothing.

use std::{
    fs::File,
    io::Write as _,
    process::{Command, Stdio},
    time::Instant,
};

use anyhow::{Context as _, Result};

use crate::{
    auditor::{Auditor, role},
    report::{Report, Spread},
};

/// Pairs of runs, in turn without and with the auditor.
const PAIRS: usize = 7;

/// Where the two ends of a session or of a pipe run. Where the scheduler puts two that wake each other changes their
/// speed by more than the auditor does.
#[derive(Clone, Copy)]
enum Placement {
    /// Both on the first processor: only the work counts.
    Together,
    /// Each on a processor of its own.
    Apart,
    /// Wherever the scheduler puts them.
    Free,
}

impl Placement {
    const ALL: [Self; 3] = [Self::Together, Self::Apart, Self::Free];

    fn name(self) -> &'static str {
        match self {
            Self::Together => "both ends on one core",
            Self::Apart => "each end on its core",
            Self::Free => "left to the scheduler",
        }
    }

    /// The processor of the first and of the second end.
    fn processors(self) -> [Option<usize>; 2] {
        match self {
            Self::Together => [Some(0); 2],
            Self::Apart => [Some(0), Some(1)],
            Self::Free => [None; 2],
        }
    }
}

pub(crate) fn measure(auditor: &Auditor, report: &mut Report) -> Result<()> {
    let mut one: [Pairs; 3] = Default::default();
    let mut pipe: [Pairs; 3] = Default::default();
    let mut four = Pairs::default();
    let mut idle = Pairs::default();
    let mut file = Pairs::default();
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
            for (placement, (one, pipe)) in Placement::ALL
                .into_iter()
                .zip(one.iter_mut().zip(&mut pipe))
            {
                one.push(has_auditor, ping_pong(1, placement)?);
                pipe.push(has_auditor, plain_pipe(placement)?);
            }
            four.push(has_auditor, ping_pong(4, Placement::Free)?);
            idle.push(has_auditor, system_calls()?);
            file.push(has_auditor, files()?);
            if let Some(running) = running {
                running.stop()?;
            }
        }
    }
    for (placement, pairs) in Placement::ALL.into_iter().zip(&one) {
        let name = format!("ping-pong of one session, {}", placement.name());
        let throughput = pairs.spread(|without, with| without / with);
        if matches!(placement, Placement::Together) {
            report.at_least(&name, throughput, 0.85, "");
        } else {
            report.tell(&name, throughput, "");
        }
    }
    report.tell(
        "ping-pong of four sessions, left to the scheduler",
        four.spread(|without, with| without / with),
        "",
    );
    for (placement, pairs) in Placement::ALL.into_iter().zip(&pipe) {
        let name = format!("dd bs=64 | cat, {}", placement.name());
        let time = pairs.spread(|without, with| with / without);
        if matches!(placement, Placement::Together) {
            report.at_most(&name, time, 1.3, "");
        } else {
            report.tell(&name, time, "");
        }
    }
    report.at_most(
        "a system call that moves nothing, more by",
        idle.spread(|without, with| with - without),
        100.0,
        "ns",
    );
    report.tell(
        "opening a file, writing to it and closing it, all three more by",
        file.spread(|without, with| with - without),
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

    /// What the pairs give, each compared by `compare(without, with)`.
    fn spread(&self, compare: impl Fn(f64, f64) -> f64) -> Spread {
        let pairs = self.without.iter().zip(&self.with);
        Spread::of(
            pairs
                .map(|(without, with)| compare(*without, *with))
                .collect(),
        )
    }
}

/// Runs a program, and what it starts, on one processor.
fn on_processor(program: &Command, processor: usize) -> Command {
    let mut command = Command::new("taskset");
    command.args(["--cpu-list", &processor.to_string()]);
    command.arg(program.get_program()).args(program.get_args());
    command
}

/// Seconds that some sessions need for their calls, side by side.
fn ping_pong(sessions: usize, placement: Placement) -> Result<f64> {
    let [client_on, server_on] = placement.processors();
    let mut clients = Vec::new();
    for _ in 0..sessions {
        let mut client = role()?;
        client.args(["client", "20000"]);
        if let Some(processor) = server_on {
            client.args(["--server-on", &processor.to_string()]);
        }
        if let Some(processor) = client_on {
            client = on_processor(&client, processor);
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

/// Seconds that a million small writes need to pass a pipe.
fn plain_pipe(placement: Placement) -> Result<f64> {
    let [writer, reader] = placement.processors().map(|processor| {
        processor.map_or_else(String::new, |processor| {
            format!("taskset --cpu-list {processor} ")
        })
    });
    let line =
        format!("{writer}dd if=/dev/zero bs=64 count=1000000 2>/dev/null | {reader}cat >/dev/null");
    let started = Instant::now();
    let status = Command::new("sh").args(["-c", &line]).status()?;
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

/// Nanoseconds of opening `/dev/null`, writing one byte to it and closing it: calls that are looked at if an MCP server
/// makes them. No file of a file system, whose own time differs by more.
fn files() -> Result<f64> {
    const ROUNDS: u32 = 500_000;
    let started = Instant::now();
    for _ in 0..ROUNDS {
        File::options()
            .write(true)
            .open("/dev/null")?
            .write_all(b"x")?;
    }
    Ok(started.elapsed().as_nanos() as f64 / f64::from(ROUNDS))
}
