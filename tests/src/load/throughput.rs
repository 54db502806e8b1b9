//! Calls per second of an HTTPS server of each runtime, with and without the auditor in turn, and the probes' hits.

use std::{collections::HashSet, fs, path::PathBuf, process::Command};

use anyhow::{Context as _, Result, ensure};

use super::{Runtime, Target, alone::Setup};
use crate::{
    daemon::Daemon,
    front::Front,
    process::{Running, free_port, under, wait_for},
    programs::{Sdk, Transport},
    session::listening,
};

/// Whose throughput is measured.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Server {
    Load(Runtime),
    Sdk(Sdk),
    /// In front of rmcp's plain server.
    Nginx,
}

pub(crate) const SERVERS: [Server; 6] = [
    Server::Load(Runtime::Python),
    Server::Load(Runtime::Node),
    Server::Load(Runtime::Go),
    Server::Sdk(Sdk::Rust),
    Server::Sdk(Sdk::RustRing),
    Server::Nginx,
];
const CONNECTIONS: usize = 8;
const CALLS: usize = 500;
/// For servers that answer late whatever they are given to do: their SDK writes an answer in two parts, and the second
/// waits for the client's acknowledgement, 40 ms.
const LATE_CALLS: usize = 25;

/// What was measured of a server.
pub(crate) struct Figures {
    /// Calls a second without the auditor, median.
    pub(crate) without: f64,
    /// Median of the ratios of the pairs: with the auditor to without.
    pub(crate) ratio: f64,
    /// The least and the greatest of them.
    pub(crate) ratios: std::ops::RangeInclusive<f64>,
    /// Hits of user probes for each message at each end.
    pub(crate) hits: f64,
}

/// Measures in so many pairs.
pub(crate) fn measure(server: Server, pairs: usize, setup: &Setup<'_>) -> Result<Figures> {
    let (running, target) = start(server, setup)?;
    let (mut without, mut ratios, mut hits) = (Vec::new(), Vec::new(), 0);
    let calls = match server {
        Server::Load(_) => CALLS,
        Server::Sdk(_) | Server::Nginx => LATE_CALLS,
    };
    let calls_per_second = || calls_per_second(&target, calls, setup);
    calls_per_second()?;
    for _ in 0..pairs {
        let alone = calls_per_second()?;
        let mut daemon = Daemon::start(
            setup.auditor,
            &setup.folder.join("throughput"),
            &[],
            setup.limit,
        )?;
        let before = probe_hits(daemon.pid())?;
        ratios.push(calls_per_second()? / alone);
        hits += probe_hits(daemon.pid())? - before;
        daemon.stop(setup.limit)?;
        wait_for("the last probes to be taken away", setup.limit, || {
            Ok((!is_detaching()?).then_some(()))
        })?;
        without.push(alone);
    }
    drop(running);
    // A request and an answer, each at both ends.
    let messages = (4 * CONNECTIONS * calls * pairs) as f64;
    let (least, greatest) = (
        ratios.iter().copied().fold(f64::INFINITY, f64::min),
        ratios.iter().copied().fold(0.0, f64::max),
    );
    Ok(Figures {
        without: median(without),
        ratios: least..=greatest,
        ratio: median(ratios),
        hits: hits as f64 / messages,
    })
}

/// Starts a server on the first processor.
fn start(server: Server, setup: &Setup<'_>) -> Result<(Vec<Running>, Target)> {
    let port = free_port()?;
    let certificates = setup.certificates;
    let listen = |command: &Command, name: &str, port: u16| {
        let log = setup.folder.join(format!("throughput-{name}.log"));
        listening(&mut on_processor("0", command), &log, port, setup.limit)
    };
    let running = match server {
        Server::Load(runtime) => vec![listen(
            &runtime.server(port, certificates)?,
            "server",
            port,
        )?],
        Server::Sdk(sdk) => {
            let mut command = sdk.server(Transport::Http, port)?;
            command.arg("--tls").arg(certificates.folder());
            vec![listen(&command, "server", port)?]
        }
        Server::Nginx => {
            let back = free_port()?;
            let behind = Sdk::Rust.server(Transport::Http, back)?;
            let behind = listen(&behind, "behind", back)?;
            let front = Front::Nginx.command(setup.folder, certificates, port, (back, false))?;
            vec![listen(&front, "front", port)?, behind]
        }
    };
    let authority: PathBuf = fs::canonicalize(certificates.authority())?;
    Ok((running, Target { port, authority }))
}

/// Has a client on the second processor make its calls.
fn calls_per_second(target: &Target, calls: usize, setup: &Setup<'_>) -> Result<f64> {
    let client = Runtime::Go.client(target, CONNECTIONS, calls, 0)?;
    let output = on_processor("1", &client).output()?;
    let told = String::from_utf8(output.stdout)?;
    let nanos = told.lines().last().context("the client told nothing")?;
    let made = told.lines().count() - 1;
    ensure!(
        made == CONNECTIONS * calls,
        "{made} calls were answered in {:?}",
        setup.limit
    );
    Ok(made as f64 / nanos.parse::<f64>()? * 1e9)
}

fn on_processor(number: &str, program: &Command) -> Command {
    under(&["taskset", "--cpu-list", number], program)
}

/// Whether probes of a daemon that has ended are still in place: the kernel takes its time.
fn is_detaching() -> Result<bool> {
    let names = fs::read_dir("/proc")?
        .flatten()
        .map(|entry| fs::read_to_string(entry.path().join("comm")));
    Ok(names.flatten().any(|name| name.trim_end() == "mcp-detach"))
}

/// How often the user probes of a daemon ran; counted while `kernel.bpf_stats_enabled` is 1.
fn probe_hits(daemon: u32) -> Result<u64> {
    const UPROBE: &str = "2";
    let mut seen = HashSet::new();
    let mut hits = 0;
    for entry in fs::read_dir(format!("/proc/{daemon}/fdinfo"))? {
        let text = fs::read_to_string(entry?.path()).unwrap_or_default();
        let field = |name: &str| {
            let line = text.lines().find(|line| line.starts_with(name))?;
            line.split_whitespace().nth(1)
        };
        let is_probe = field("prog_type:") == Some(UPROBE);
        if let (true, Some(id), Some(count)) = (is_probe, field("prog_id:"), field("run_cnt:"))
            && seen.insert(id.to_owned())
        {
            hits += count.parse::<u64>()?;
        }
    }
    Ok(hits)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
