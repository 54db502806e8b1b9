//! How fast the log is: `cargo run --release -p auditor-ledger --example speed -- [FOLDER]`.

use std::{env, path::PathBuf, time::Instant};

use auditor_ledger::{Demands, Log, Reader, Verdict, verify};

const ENTRIES: u64 = 1_000_000;
const BATCH: u64 = 1_000;
const BYTES: usize = 1_024;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = env::args().nth(1).map_or_else(env::temp_dir, PathBuf::from);
    let folder = folder.join(format!("ledger-speed-{}", std::process::id()));
    let log = folder.join("log");
    let (mut writer, _) = Log::open(&log, &folder.join("keys"), "mcp-auditor/speed", 0)?;
    let started = Instant::now();
    let mut commits = Vec::new();
    while writer.size() < ENTRIES {
        for _ in 0..BATCH {
            let mut entry = format!("{:020}", writer.size()).into_bytes();
            entry.resize(BYTES, b'x');
            writer.append(entry)?;
        }
        let started = Instant::now();
        writer.commit()?;
        commits.push(started.elapsed());
    }
    let seconds = started.elapsed().as_secs_f64();
    commits.sort();
    println!(
        "{ENTRIES} entries of {BYTES} B in commits of {BATCH}: {:.0} a second, a commit {:?} (99th {:?})",
        ENTRIES as f64 / seconds,
        commits[commits.len() / 2],
        commits[commits.len() * 99 / 100],
    );
    let mut single = Vec::new();
    for _ in 0..1_000 {
        writer.append(vec![b'y'; BYTES])?;
        let started = Instant::now();
        writer.commit()?;
        single.push(started.elapsed());
    }
    single.sort();
    println!(
        "a commit of one entry: median {:?}, 99th {:?}",
        single[500], single[990]
    );
    writer.close()?;
    let started = Instant::now();
    let Verdict::Intact(report) = verify(&log, &Demands::default())? else {
        return Err("it is not intact".into());
    };
    println!(
        "{} entries verified in {:?}",
        report.checked,
        started.elapsed()
    );
    let started = Instant::now();
    let reader = Reader::open(&log)?;
    println!("opened to read in {:?}", started.elapsed());
    let mut proofs = Vec::new();
    for at in (0..ENTRIES).step_by(1_009) {
        let started = Instant::now();
        reader.prove(at)?;
        proofs.push(started.elapsed());
    }
    proofs.sort();
    println!(
        "a proof: median {:?}, 99th {:?}",
        proofs[proofs.len() / 2],
        proofs[proofs.len() * 99 / 100]
    );
    std::fs::remove_dir_all(folder)?;
    Ok(())
}
