//! 20 sessions of 1000 calls at full speed: every message, paired within its session.

use std::{collections::HashMap, process::Stdio};

use anyhow::Result;

use crate::{
    auditor::{Auditor, role},
    events,
    report::Report,
    role::MESSAGE,
};

const SESSIONS: usize = 20;
const CALLS: u64 = 1000;

pub(crate) fn measure(auditor: &Auditor, report: &mut Report) -> Result<()> {
    let running = auditor.start()?;
    running.settle()?;
    let before = running.cpu()?;
    let mut clients = Vec::new();
    for _ in 0..SESSIONS {
        let client = role()?
            .args(["client", &CALLS.to_string(), &MESSAGE.to_string()])
            .stdout(Stdio::null())
            .spawn()?;
        clients.push(client);
    }
    let pids: Vec<_> = clients
        .iter()
        .map(|client| u64::from(client.id()))
        .collect();
    for mut client in clients {
        client.wait()?;
    }
    running.settle()?;
    let cpu = running.cpu()? - before;
    let path = running.events.clone();
    let ended = running.stop()?;
    let mut by_client: HashMap<u64, (u64, Vec<u64>)> = HashMap::new();
    let mut witnesses = 0;
    for event in events::read(&path)? {
        let is_call =
            event.kind == "request" && event.stage == "final" && event.method == "tools/call";
        if is_call
            && event.status == 1
            && pids.contains(&event.client)
            && event.bytes + 1 == MESSAGE as u64
        {
            let (calls, servers) = by_client.entry(event.client).or_default();
            *calls += 1;
            servers.push(event.server);
            witnesses += usize::from(event.witnesses == 4);
        }
    }
    let mut paired = 0;
    for (calls, servers) in by_client.values_mut() {
        servers.sort_unstable();
        servers.dedup();
        if servers.len() == 1 {
            paired += *calls;
        }
    }
    let calls = (SESSIONS as u64 * CALLS) as f64;
    report.at_least(
        "20 sessions x 1000 calls: paired within their session",
        paired as f64 / calls * 100.0,
        100.0,
        "%",
    );
    report.tell(
        "  of these, seen at both ends both ways",
        witnesses as f64 / calls * 100.0,
        "%",
    );
    report.at_most(
        "  processor time per message of 400 B",
        cpu / (2.0 * calls) * 1e6,
        30.0,
        "us",
    );
    report.at_most("  resident memory, peak", ended.peak_mib, 100.0, "MiB");
    if paired as f64 != calls {
        println!("{}", ended.said);
    }
    Ok(())
}
