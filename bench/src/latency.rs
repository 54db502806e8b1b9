//! From the system call of a message's last byte to its event in the file, at 1000 messages a second.

use std::{
    collections::HashMap,
    fs::File,
    io::{BufRead as _, BufReader},
    process::Stdio,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context as _, Result};

use crate::{
    auditor::{Auditor, role},
    events,
    report::Report,
    role::MESSAGE,
};

const CALLS: u64 = 5_000;
/// Calls a second: each is two messages.
const RATE: u64 = 500;

pub(crate) fn measure(auditor: &Auditor, report: &mut Report) -> Result<()> {
    let running = auditor.start()?;
    running.settle()?;
    let client = role()?
        .args([
            "client",
            &CALLS.to_string(),
            &MESSAGE.to_string(),
            &RATE.to_string(),
        ])
        .stdout(Stdio::piped())
        .spawn()?;
    let pid = u64::from(client.id());
    // Its times are read aside: it must not wait for room in its pipe.
    let client = std::thread::spawn(move || client.wait_with_output());
    let mut file = BufReader::new(File::open(&running.events).context("no events file")?);
    let mut written: HashMap<u64, u128> = HashMap::new();
    let deadline = SystemTime::now() + Duration::from_secs(CALLS / RATE + 20);
    let mut line = String::new();
    while (written.len() as u64) < CALLS && SystemTime::now() < deadline {
        if file.read_line(&mut line)? == 0 || !line.ends_with('\n') {
            std::thread::sleep(Duration::from_micros(500));
            continue;
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_nanos();
        let event = events::parse(&line)?;
        line.clear();
        if event.client == pid && event.method == "tools/call" && event.stage == "final" {
            written.insert(event.id.parse()?, now);
        }
    }
    let output = client
        .join()
        .map_err(|_| anyhow::anyhow!("the client's reader panicked"))??;
    running.stop()?;
    let mut delays = Vec::new();
    for answered in String::from_utf8_lossy(&output.stdout).lines() {
        let (id, time) = answered.split_once(' ').context("the client's times")?;
        let time: u128 = time.parse()?;
        if let Some(written) = written.get(&id.parse()?) {
            delays.push(written.saturating_sub(time) as f64 / 1e6);
        }
    }
    delays.sort_by(f64::total_cmp);
    let at = |share: f64| {
        delays
            .get((delays.len() as f64 * share) as usize)
            .copied()
            .unwrap_or(f64::NAN)
    };
    report.at_least(
        "1000 messages/s: events seen",
        delays.len() as f64,
        CALLS as f64,
        "",
    );
    report.tell("  last byte to event, median", at(0.5), "ms");
    report.at_most("  last byte to event, p99", at(0.99), 50.0, "ms");
    Ok(())
}
