//! Killed at any moment, the log is consistent and has all that was acknowledged.
//!
//! `LEDGER_KILLS` says how often; the child is this program itself.
#![allow(clippy::unwrap_used, reason = "a test")]

use std::{
    env,
    io::{BufRead as _, BufReader, Write as _},
    path::Path,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use auditor_ledger::{Demands, Log, Reader, Verdict, verify};

const FOLDER: &str = "LEDGER_CHILD";

/// Appends until it is killed, and says after each commit how many entries are durable. Not a test of its own.
#[test]
fn child() {
    let Ok(folder) = env::var(FOLDER) else {
        return;
    };
    let folder = Path::new(&folder);
    let (mut log, _) = Log::open(
        &folder.join("log"),
        &folder.join("keys"),
        "mcp-auditor/kill",
        1,
    )
    .unwrap();
    let mut out = std::io::stderr().lock();
    loop {
        for _ in 0..1 + log.size() % 97 {
            let number = log.size();
            log.append(format!("{number}").repeat(40).into_bytes())
                .unwrap();
        }
        writeln!(out, "durable {}", log.commit().unwrap().size).unwrap();
    }
}

#[test]
fn nothing_acknowledged_is_lost() {
    if env::var(FOLDER).is_ok() {
        return;
    }
    let kills = env::var("LEDGER_KILLS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(30);
    let folder = tempfile::tempdir().unwrap();
    let mut random = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .subsec_nanos()
        | 1;
    let mut acknowledged = 0;
    for round in 0..kills {
        let mut child = Command::new(env::current_exe().unwrap())
            .args(["--exact", "child", "--nocapture"])
            .env(FOLDER, folder.path())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let errors = BufReader::new(child.stderr.take().unwrap());
        let reader = thread::spawn(move || {
            let lines = errors.lines().map_while(Result::ok);
            lines
                .filter_map(|line| line.strip_prefix("durable ")?.parse::<u64>().ok())
                .last()
        });
        random ^= random << 13;
        random ^= random >> 17;
        random ^= random << 5;
        let until = Instant::now() + Duration::from_micros(u64::from(random % 120_000));
        while Instant::now() < until {
            std::hint::spin_loop();
        }
        child.kill().unwrap();
        child.wait().unwrap();
        acknowledged = reader.join().unwrap().unwrap_or(0).max(acknowledged);
        if acknowledged == 0 {
            continue;
        }
        let log = folder.path().join("log");
        let Ok(reader) = Reader::open(&log) else {
            panic!("round {round}: it cannot be read");
        };
        assert!(reader.size() >= acknowledged);
        let verdict = verify(
            &log,
            &Demands {
                from: acknowledged.saturating_sub(2_000),
                ..Demands::default()
            },
        );
        // A start that was killed between its key and its checkpoint leaves the one before.
        assert!(
            matches!(verdict, Ok(Verdict::Intact(_))),
            "round {round}: {verdict:?}"
        );
    }
    assert!(acknowledged > 0);
    let (log, opened) = Log::open(
        &folder.path().join("log"),
        &folder.path().join("keys"),
        "mcp-auditor/kill",
        1,
    )
    .unwrap();
    assert!(
        opened.size >= acknowledged,
        "{} of {acknowledged}",
        opened.size
    );
    log.close().unwrap();
    let reader = Reader::open(&folder.path().join("log")).unwrap();
    for entry in reader.entries(0) {
        let entry = entry.unwrap();
        assert_eq!(
            entry.bytes,
            format!("{}", entry.index).repeat(40).into_bytes()
        );
    }
    println!(
        "{kills} kills, {acknowledged} entries acknowledged, {} there",
        reader.size()
    );
}
