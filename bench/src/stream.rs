//! One-way notifications at the speed that the writer reaches: all of them, or gaps that add up exactly.

use std::process::Stdio;

use anyhow::{Context as _, Result};

use crate::{
    auditor::{Auditor, role},
    events,
    report::Report,
    role::MESSAGE,
};

const MESSAGES: u64 = 200_000;

pub(crate) fn measure(auditor: &Auditor, report: &mut Report) -> Result<()> {
    let running = auditor.start()?;
    running.settle()?;
    let writer = role()?
        .args(["writer", &MESSAGES.to_string(), &MESSAGE.to_string()])
        .stdout(Stdio::piped())
        .spawn()?;
    let pid = u64::from(writer.id());
    let output = writer.wait_with_output()?;
    let nanos: f64 = String::from_utf8_lossy(&output.stdout)
        .trim()
        .parse()
        .context("the writer's time")?;
    running.settle()?;
    let path = running.events.clone();
    let ended = running.stop()?;
    let (mut heard, mut lost, mut discarded) = (0, 0, 0);
    for event in events::read(&path)? {
        let writer_pid = |json: &serde_json::Value| {
            [&json["client"]["pid"], &json["server"]["pid"]]
                .into_iter()
                .any(|found| found.as_u64() == Some(pid))
        };
        if event.kind == "notification" && writer_pid(&event.json) {
            heard += 1;
        } else if event.kind == "gap" && writer_pid(&event.json) {
            lost += event.json["gap"]["bytes_lost"].as_u64().unwrap_or(0);
            discarded += event.json["gap"]["discarded"].as_u64().unwrap_or(0);
        }
    }
    let missing = (MESSAGES - heard) * MESSAGE as u64;
    report.tell(
        "one-way stream: writer's speed",
        MESSAGES as f64 / nanos * 1e9,
        "messages/s",
    );
    report.tell("  heard", heard as f64 / MESSAGES as f64 * 100.0, "%");
    report.at_most(
        "  bytes missing beyond what gaps tell",
        missing.abs_diff(lost + discarded) as f64,
        0.0,
        "B",
    );
    report.tell("  resident memory, peak", ended.peak_mib, "MiB");
    Ok(())
}
