//! Measures the log: `cargo run --release -p auditor-ledger --example speed -- [FOLDER [ENTRIES [BATCH]]]`.
//!
//! The folder says what is measured: one on a tmpfs the work alone, one on a disk what making durable adds. It must not
//! exist, and is removed at the end.

use std::{
    env,
    error::Error,
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use auditor_ledger::{Demands, Log, Reader, Verdict, verify};

/// Bytes of an entry.
const ENTRY: usize = 1_024;
/// Entries of a commit, unless another number is given: what comes in 20 ms at 50,000 a second.
const BATCH: u64 = 1_000;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args().skip(1);
    let folder = PathBuf::from(
        arguments
            .next()
            .unwrap_or_else(|| "ledger-speed".to_owned()),
    );
    let entries: u64 = arguments
        .next()
        .map_or(Ok(1_000_000), |text| text.parse())?;
    let batch: u64 = arguments.next().map_or(Ok(BATCH), |text| text.parse())?;
    fs::create_dir(&folder)?;
    let measured = measure(&folder, entries, batch);
    fs::remove_dir_all(&folder)?;
    measured
}

fn measure(folder: &Path, entries: u64, batch: u64) -> Result<(), Box<dyn Error>> {
    let log_folder = folder.join("log");
    let (mut log, _) = Log::open(&log_folder, &folder.join("keys"), "mcp-auditor/speed", 1)?;

    // A commit of one entry: what a quiet node pays each second.
    let mut alone = Vec::new();
    for number in 0..200 {
        log.append(entry(number))?;
        let start = Instant::now();
        log.commit()?;
        alone.push(start.elapsed());
    }
    told("commit of one entry", alone);

    let mut commits = Vec::new();
    let start = Instant::now();
    for number in log.size()..entries {
        log.append(entry(number))?;
        if log.pending() as u64 == batch {
            let start = Instant::now();
            log.commit()?;
            commits.push(start.elapsed());
        }
    }
    log.close()?;
    let seconds = start.elapsed().as_secs_f64();
    println!(
        "append of {ENTRY} bytes: {:.0} a second with commits of {batch}",
        entries as f64 / seconds
    );
    told("commit of a batch", commits);

    let start = Instant::now();
    let reader = Reader::open(&log_folder)?;
    println!("open to read: {:.1?}", start.elapsed());
    let mut proofs = Vec::new();
    for number in 0..1_000 {
        let index = number * 7_919 % entries;
        let start = Instant::now();
        let proof = reader.prove(index)?;
        proofs.push(start.elapsed());
        proof.verify(reader.first_key().unwrap_or_default())?;
    }
    told("inclusion proof with its entry", proofs);
    let start = Instant::now();
    reader.prove_consistency(entries / 3)?;
    println!("consistency proof: {:.1?}", start.elapsed());

    let start = Instant::now();
    match verify(&log_folder, &Demands::default())? {
        Verdict::Intact(report) => println!(
            "verification of {} entries: {:.2?}",
            report.checked,
            start.elapsed()
        ),
        Verdict::Tampered(found) => println!("tampered: {}", found.told),
    }
    let start = Instant::now();
    Log::open(&log_folder, &folder.join("keys"), "mcp-auditor/speed", 2)?;
    println!("start: {:.1?}", start.elapsed());
    Ok(())
}

/// An entry of which no two are alike.
fn entry(number: u64) -> Vec<u8> {
    let mut bytes = format!("{{\"number\":{number}}}").into_bytes();
    bytes.resize(ENTRY, b' ');
    bytes
}

fn told(what: &str, mut all: Vec<Duration>) {
    all.sort();
    let at = |share: usize| {
        all.get(all.len() * share / 1_000)
            .copied()
            .unwrap_or_default()
    };
    println!(
        "{what}: median {:.1?}, 99 of 100 {:.1?}, longest {:.1?}",
        at(500),
        at(990),
        all.last().copied().unwrap_or_default()
    );
}
