//! What it costs to say who both ends of an event are, once their processes, containers and tokens are known.
//!
//! Measures the stage by itself, in this process: no auditor runs.

use std::{hint::black_box, sync::Arc, time::Instant};

use anyhow::{Context as _, Result};
use auditor_core::{
    audit::{Container, Pod, Process, Workload},
    identity::{Conduct, Credentials, Hijacks, Identity, Use},
    key::{ProcessKey, Time},
    mcp::InteractionId,
    wire::Secret,
};

use crate::report::{Report, Spread};

const RUNS: usize = 7;
/// Events of one run.
const EVENTS: u64 = 200_000;
/// Clients and servers, and tokens and sessions of theirs.
const PROCESSES: u64 = 64;
/// A token that nobody signed: what is measured is what happens to one that was read before.
const TOKEN: &str = "eyJhbGciOiJFUzI1NiIsImtpZCI6ImsxIn0.eyJpc3MiOiJodHRwczovL2lzc3Vlci5leGFtcGxlIiwic3ViIjoiYWdlbnQiLCJhdWQiOiJtY3AifQ";

pub(crate) fn measure(report: &mut Report) -> Result<()> {
    let runs: Result<Vec<f64>> = (0..RUNS).map(|_| run()).collect();
    report.at_most(
        "identity of both ends of an event",
        Spread::of(runs?),
        5.0,
        "us",
    );
    Ok(())
}

/// Microseconds an event.
fn run() -> Result<f64> {
    let of = |kind: &str, number: u64| -> (Arc<Process>, Secret, Arc<str>) {
        let secret = Secret::new(format!("Bearer {TOKEN}.{kind}{number}"));
        (
            Arc::new(process(number)),
            secret,
            format!("session of {kind} {number}").into(),
        )
    };
    let clients: Vec<_> = (0..PROCESSES).map(|one| of("client", one)).collect();
    let servers: Vec<_> = (0..PROCESSES)
        .map(|one| of("server", one + PROCESSES))
        .collect();
    let (mut credentials, mut hijacks) = (Credentials::default(), Hijacks::default());
    let mut event = |number: u64| -> Option<()> {
        let index = (number % PROCESSES) as usize;
        let now = Time(1_000_000_000 + number);
        let (client, secret, session) = clients.get(index)?;
        let (server, ..) = servers.get(index)?;
        let credential = credentials.read(secret, now, |text| text.into());
        let by = |process: &Arc<Process>, identity| Use {
            time: now,
            interaction: InteractionId(number),
            process: Arc::clone(process),
            identity,
        };
        let served = by(server, Identity::of(Some(server), None, None, true));
        hijacks.handle_server(&served, Some(session));
        hijacks.handle_client(Conduct {
            by: by(
                client,
                Identity::of(Some(client), Some(&credential), None, true),
            ),
            credential: Some(&credential),
            certificate: None,
            session: Some(session),
            is_passed_on: false,
        });
        black_box(hijacks.poll());
        Some(())
    };
    // The first of each is read and remembered.
    (0..PROCESSES)
        .try_for_each(&mut event)
        .context("no such process")?;
    let begun = Instant::now();
    (PROCESSES..PROCESSES + EVENTS)
        .try_for_each(&mut event)
        .context("no such process")?;
    Ok(begun.elapsed().as_secs_f64() * 1e6 / EVENTS as f64)
}

/// A process in a pod, with all that is known of it.
fn process(number: u64) -> Process {
    let id = format!("{number:064x}");
    let container = Container {
        id: id.clone(),
        image_digest: Some(format!("sha256:{id}")),
        ..Container::default()
    };
    let pod = Pod {
        uid: format!("5f7a3c1e-1111-2222-3333-{number:012x}"),
        name: Some(format!("agent-{number}")),
        namespace: Some("shop".to_owned()),
        service_account: Some("agent".to_owned()),
        ..Pod::default()
    };
    Process {
        key: ProcessKey {
            pid: number as u32 + 100,
            start: number,
        },
        exe: Some("/usr/bin/python3.11".to_owned()),
        exe_sha256: Some([7; 32]),
        container: Some(id),
        workload: Some(Arc::new(Workload {
            container: Some(container),
            pod: Some(pod),
            is_late: false,
        })),
        ..Process::default()
    }
}
