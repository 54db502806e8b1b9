//! Messages of 100 B to 16 MiB, in 1 to 10,000 writes: all of them, with their hash.

use std::collections::HashMap;

use anyhow::Result;
use sha2::{Digest as _, Sha256};

use crate::{
    auditor::{Auditor, role},
    events,
    report::Report,
    role::call,
};

const SIZES: [usize; 10] = [
    100,
    400,
    4_096,
    65_536,
    70_000,
    131_072,
    300_000,
    1 << 20,
    4 << 20,
    16 << 20,
];
const WRITES: [u64; 5] = [1, 2, 10, 100, 10_000];

pub(crate) fn measure(auditor: &Auditor, report: &mut Report) -> Result<()> {
    let hashes: Vec<_> = SIZES
        .iter()
        .enumerate()
        .map(|(id, size)| {
            let line = call(id as u64, *size);
            let text = line.strip_suffix(b"\n").unwrap_or(&line);
            Sha256::digest(text)
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect::<String>()
        })
        .collect();
    let running = auditor.start()?;
    let sizes = SIZES.map(|size| size.to_string()).join(",");
    let mut clients = HashMap::new();
    for writes in WRITES {
        let mut client = role()?
            .args(["sizes", &sizes, &writes.to_string()])
            .spawn()?;
        clients.insert(u64::from(client.id()), writes);
        client.wait()?;
        // Sizes are measured here, not speed.
        running.settle()?;
    }
    let path = running.events.clone();
    let ended = running.stop()?;
    let mut heard = Vec::new();
    for event in events::read(&path)? {
        let Some(writes) = clients.get(&event.client) else {
            continue;
        };
        let is_call = event.method == "tools/call" && event.stage == "final" && event.status == 1;
        let Ok(id) = event.id.parse::<usize>() else {
            continue;
        };
        if is_call
            && hashes
                .get(id)
                .is_some_and(|hash| event.hash.ends_with(hash))
        {
            heard.push((*writes, id));
        }
    }
    heard.sort_unstable();
    heard.dedup();
    let total = SIZES.len() * WRITES.len();
    report.at_least(
        "100 B to 16 MiB in 1 to 10,000 writes: heard, hash right",
        heard.len() as f64,
        total as f64,
        "of 50",
    );
    if heard.len() != total {
        println!("{}", ended.said);
    }
    for writes in WRITES {
        for (id, size) in SIZES.iter().enumerate() {
            if !heard.contains(&(writes, id)) {
                println!("  missing: {size} B in {writes} writes");
            }
        }
    }
    Ok(())
}
