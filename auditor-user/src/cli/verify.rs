//! `mcp-auditor verify`: whether the log of events is as it was written.
//!
//! Exit codes: 0 intact, 3 tampered with, 1 when that cannot be said.

use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
    time::{Duration, UNIX_EPOCH},
};

use anyhow::{Context as _, Result, ensure};
use auditor_ledger::{Demands, Reader, Report, Tampering, Verdict, verify};
use auditor_query_cli::time::parse as parse_time;
use clap::Args;
use serde_json::{Value, json};

use super::harmless;
use crate::store;

/// The code of a log that was tampered with.
const TAMPERED: u8 = 3;

/// Flags of `verify`.
#[derive(Args)]
pub(super) struct Arguments {
    /// The auditor's data directory
    #[arg(long, value_name = "DIR", default_value = "/var/lib/mcp-auditor")]
    data_dir: PathBuf,
    /// The folder of the log, where it was copied [default: log in the data directory]
    #[arg(long, value_name = "DIR")]
    log: Option<PathBuf>,
    /// The verifier key that is trusted, as the first start said it
    #[arg(long, value_name = "KEY", value_parser = log_key)]
    key: Option<String>,
    /// Look at entries from this time on only (2026-01-31T12:00:00Z, or how long ago: 7d); the tree is verified as a whole
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    since: Option<i64>,
    /// A checkpoint that was kept elsewhere; may be given several times
    #[arg(long, value_name = "FILE")]
    checkpoint: Vec<PathBuf>,
    /// The verifier key of a witness; may be given several times: one of them must have signed
    #[arg(long, value_name = "KEY", value_parser = witness_key)]
    witness: Vec<String>,
    /// As JSON
    #[arg(long)]
    json: bool,
}

impl Arguments {
    pub(super) fn execute(self) -> Result<ExitCode> {
        let log = self.log.unwrap_or_else(|| store::folder(&self.data_dir));
        ensure!(
            log.is_dir(),
            "there is no log in {}; `--data-dir` or `--log` says where it is",
            log.display()
        );
        let is_log = ["checkpoint", "journal", "keys", "tile"];
        ensure!(
            is_log.iter().any(|name| log.join(name).exists()),
            "{} is no log of mcp-auditor",
            log.display()
        );
        let mut retained = Vec::new();
        for path in &self.checkpoint {
            let what = || format!("cannot read the checkpoint {}", path.display());
            let note = fs::read_to_string(path).with_context(what)?;
            // What is no checkpoint says nothing of the log.
            ensure!(
                note.contains("\n\n\u{2014} "),
                "{} is no checkpoint: a checkpoint is a signed note",
                path.display()
            );
            retained.push(note);
        }
        let demands = Demands {
            key: self.key,
            from: self.since.map_or(Ok(0), |since| first_since(&log, since))?,
            retained,
            witnesses: self.witness,
        };
        let verdict = verify(&log, &demands);
        let verdict = verdict.with_context(|| format!("cannot verify {}", log.display()))?;
        if self.json {
            println!("{}", to_json(&verdict));
        } else {
            print(&verdict, &demands);
        }
        Ok(match verdict {
            Verdict::Intact(_) => ExitCode::SUCCESS,
            Verdict::Tampered(_) => ExitCode::from(TAMPERED),
        })
    }
}

fn log_key(text: &str) -> Result<String, String> {
    let is_key = auditor_ledger::is_verifier_key(text);
    is_key
        .then(|| text.to_owned())
        .ok_or_else(|| "it is no verifier key, such as mcp-auditor/NODE+1e1399b0+AblP…".to_owned())
}

fn witness_key(text: &str) -> Result<String, String> {
    let key = auditor_ledger::witness::Witness::read(text);
    key.map(|_| text.to_owned())
        .map_err(|error| format!("{error}: one is such as witness.example+34970a8b+BG8G…"))
}

/// The first entry that is not before a time.
fn first_since(log: &Path, since_ms: i64) -> Result<u64> {
    let Ok(reader) = Reader::open(log) else {
        // What is wrong with it is said by the verdict.
        return Ok(0);
    };
    // Events are written in about the order of their times: a bundle earlier is early enough.
    let (mut low, mut high) = (reader.first(), reader.size());
    while low < high {
        let middle = low.midpoint(high);
        let time = reader.entry(middle).ok().and_then(|entry| time_of(&entry));
        if time.unwrap_or(i64::MAX) < since_ms {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    Ok(low.saturating_sub(auditor_ledger::BUNDLE))
}

fn time_of(entry: &[u8]) -> Option<i64> {
    let event: Value = serde_json::from_slice(entry).ok()?;
    event.get("time")?.as_i64()
}

fn to_json(verdict: &Verdict) -> Value {
    match verdict {
        Verdict::Intact(report) => {
            let cosigned = report.cosigned.as_ref();
            let cosigned = cosigned.map(|(size, who)| json!({"entries": size, "witnesses": who}));
            json!({
                "verdict": "intact",
                "origin": report.origin,
                "entries": report.size,
                "root": report.root.to_string(),
                "first": report.first,
                "checked": report.checked,
                "keys": report.keys,
                "begun": report.first_ms,
                "written": report.last_ms,
                "cosigned": cosigned,
            })
        }
        Verdict::Tampered(found) => json!({
            "verdict": "tampered",
            "what": found.what.name(),
            "entry": found.index,
            "file": found.file.as_ref().map(|file| file.display().to_string()),
            "told": found.told,
        }),
    }
}

fn print(verdict: &Verdict, demands: &Demands) {
    match verdict {
        Verdict::Intact(report) => print_intact(report, demands),
        Verdict::Tampered(found) => print_tampered(found),
    }
}

fn print_intact(report: &Report, demands: &Demands) {
    println!(
        "intact: {} entries of {}",
        report.size,
        harmless(&report.origin)
    );
    if report.first > 0 {
        println!(
            "  entries before {} were removed, as they were old enough",
            report.first
        );
    }
    println!("  entries looked at: {}", report.checked);
    if let (Some(begun), Some(written)) = (report.first_ms, report.last_ms) {
        println!("  begun {}, last written {}", time(begun), time(written));
    }
    println!("  keys: {}, one for each start", report.keys.len());
    match demands.retained.len() {
        0 => println!(
            "  held against no checkpoint that was kept elsewhere: whoever has this host's root could have written it anew"
        ),
        count => println!("  it goes on from the {count} checkpoints that were kept"),
    }
    if let Some((size, who)) = report.cosigned.as_ref().filter(|(_, who)| !who.is_empty()) {
        println!(
            "  {size} entries were signed by {}",
            harmless(&who.join(", "))
        );
    }
    if demands.key.is_none()
        && let Some(first) = report.keys.first()
    {
        println!("  no key was named: its first is {first}");
    }
}

fn time(ms: u64) -> humantime::Rfc3339Timestamp {
    humantime::format_rfc3339_seconds(UNIX_EPOCH + Duration::from_millis(ms))
}

fn print_tampered(found: &Tampering) {
    println!("TAMPERED: {}", found.what.name());
    println!("  {}", harmless(&found.told));
    if let Some(index) = found.index {
        println!("  first at entry {index}");
    }
    if let Some(file) = &found.file {
        println!("  in {}", harmless(&file.display().to_string()));
    }
    println!("  keep the folder as it is, and the checkpoints and events that are elsewhere");
}
