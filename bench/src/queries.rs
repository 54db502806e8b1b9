//! Searches over ten million events: a log is filled with made-up ones, copied, and asked.
//!
//! Each event has what the query copies read of one, and nothing else, so that so many fit on a disk: some 20 GB.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Instant,
};

use anyhow::{Result, ensure};
use auditor_ledger::Log;
use nix::sys::resource::{UsageWho, getrusage};
use serde_json::json;

use crate::report::{Report, Spread};

/// Runs of each search.
const RUNS: usize = 5;
/// Entries of one commit.
const COMMIT: u64 = 8_192;
/// When the first happened: 2026-10-01, in UTC milliseconds.
const BEGUN: u64 = 1_790_812_800_000;
/// Milliseconds of all of them: thirty days.
const SPAN: u64 = 30 * 86_400_000;
/// Searches that find little, and what they ask.
const SELECTIVE: [(&str, &[&str]); 5] = [
    ("one event", &["--event", "5f0c11d2-851808e1-7654321"]),
    ("one session", &["--session", "s1234567"]),
    (
        "one identity in an hour",
        &[
            "--identity",
            "spiffe://example.org/agent/77",
            "--since",
            "2026-10-15T10:00:00Z",
            "--until",
            "2026-10-15T11:00:00Z",
        ],
    ),
    ("one table, the newest hundred", &["--table", "table_7"]),
    (
        "refusals of one tool, the newest hundred",
        &["--tool", "tool_3", "--outcome", "denied"],
    ),
];
/// Searches that read everything.
const AGGREGATES: [(&str, &str); 4] = [
    (
        "calls by tool and outcome",
        "SELECT tool, outcome, count(*), avg(duration_ms) FROM events GROUP BY 1, 2",
    ),
    (
        "rows by identity",
        "SELECT identity, sum(rows), max(response_bytes) FROM events GROUP BY 1 ORDER BY 2 DESC",
    ),
    (
        "restricted tables by identity",
        "SELECT r.name, e.identity, count(*) FROM resources r JOIN events e ON e.log_index = r.log_index \
         WHERE r.level = 'restricted' GROUP BY 1, 2 ORDER BY 3 DESC LIMIT 20",
    ),
    (
        "sessions of each day",
        "SELECT date_trunc('day', time), count(DISTINCT session) FROM events GROUP BY 1 ORDER BY 1",
    ),
];

/// Fills a log below a folder, and measures what `query` needs for it.
pub(crate) fn measure(query: &Path, folder: &Path, count: u64, report: &mut Report) -> Result<()> {
    let data = folder.join("data");
    if !data.join("log/checkpoint").exists() {
        let begun = Instant::now();
        fill(&data, count)?;
        report.tell(
            "filling the log",
            f64::from(u32::try_from(count)?) / begun.elapsed().as_secs_f64(),
            "entries/s",
        );
    }
    let ask = Asked {
        query: query.to_owned(),
        data,
    };
    if !ask.data.join("query").exists() {
        let seconds = ask.once(&["index"])?;
        let rate = f64::from(u32::try_from(count)?) / seconds;
        report.tell("making the copies", rate, "entries/s");
    }
    for (name, words) in SELECTIVE {
        let words = [&["search", "--json"], words].concat();
        report.at_most(name, ask.often(&words)?, 1.0, "s");
    }
    for (name, text) in AGGREGATES {
        let words = ["search", "--csv", "--sql", text];
        report.at_most(name, ask.often(&words)?, 5.0, "s");
    }
    let memory = getrusage(UsageWho::RUSAGE_CHILDREN)?.max_rss();
    report.at_most(
        "most memory of any of them",
        f64::from(u32::try_from(memory >> 10)?),
        1024.0,
        "MiB",
    );
    Ok(())
}

/// What answers, about one log.
struct Asked {
    query: PathBuf,
    data: PathBuf,
}

impl Asked {
    fn often(&self, words: &[&str]) -> Result<Spread> {
        let runs = (0..RUNS).map(|_| self.once(words));
        Ok(Spread::of(runs.collect::<Result<_>>()?))
    }

    /// Seconds from its start to its end.
    fn once(&self, words: &[&str]) -> Result<f64> {
        let begun = Instant::now();
        let mut query = Command::new(&self.query);
        query.args(words).arg("--data-dir").arg(&self.data);
        let output = query.stdin(Stdio::null()).output()?;
        let told = String::from_utf8_lossy(&output.stderr);
        ensure!(
            output.status.success() && !output.stdout.is_empty(),
            "{words:?}: {told}"
        );
        Ok(begun.elapsed().as_secs_f64())
    }
}

fn fill(folder: &Path, count: u64) -> Result<()> {
    std::fs::create_dir_all(folder)?;
    let (mut log, _) = Log::open(
        &folder.join("log"),
        &folder.join("keys"),
        "mcp-auditor/bench",
        BEGUN,
    )?;
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    for number in 0..count {
        let mut random = |below: u64| {
            // xorshift64*, which is random enough.
            state ^= state >> 12;
            state ^= state << 25;
            state ^= state >> 27;
            (state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % below
        };
        log.append(event(number, count, &mut random).to_string().into_bytes())?;
        if number % COMMIT == COMMIT - 1 {
            log.commit()?;
        }
    }
    log.commit()?;
    log.close()?;
    Ok(())
}

fn event(number: u64, count: u64, random: &mut dyn FnMut(u64) -> u64) -> serde_json::Value {
    let time = BEGUN + SPAN * number / count;
    let who = random(200);
    let (tool, server) = (random(50), random(30));
    let table = random(500);
    let pid = 1_000 + random(30_000);
    let is_denied = random(100) == 0;
    let side = |pid: u64, name: &str, of: u64| {
        json!({"pid": pid, "start_time": pid * 1_000_003, "exe": format!("/usr/bin/{name}-{of}"), "uid": 1000,
            "cgroup": format!("/kubepods/pod{of}"), "container": format!("{of:064x}"), "pod": format!("{of:036x}"),
            "workload": {"container": {"name": name, "image": format!("registry.example/{name}:{of}"),
                "image_digest": format!("sha256:{of:064x}")},
                "pod": {"name": format!("{name}-{of}"), "namespace": "agents", "service_account": name}}})
    };
    json!({
        "metadata": {"uid": format!("5f0c11d2-851808e1-{number}")}, "time": time, "class_uid": 6003, "duration": random(400),
        "status_code": "ok", "device": {"hostname": "node-1"},
        "unmapped": {"mcp": {
            "kind": "request", "stage": "final", "direction": "client_to_server", "method": "tools/call",
            "id": random(100).to_string(), "target": format!("tool_{tool}"), "transport": "http", "encrypted": true,
            "session": format!("s{}", random(2_000_000)), "session_id_hash": format!("{:016x}", random(2_000_000)),
            "client": side(pid, "agent", who), "server": side(pid + 1, "server", server),
            "identity": {"client": {"subject": format!("spiffe://example.org/agent/{who}"), "assurance": "A4", "verified": true},
                "server": {"subject": format!("spiffe://example.org/server/{server}"), "assurance": "A4", "verified": true}},
            "credential": {"hash": format!("{:016x}", random(5_000))}, "server_info": {"name": format!("server-{server}"), "version": "1"},
            "request": {"bytes": 100 + random(900)}, "response": {"bytes": 100 + random(90_000), "item_count": 1},
            "resources": [{"kind": "tool", "name": format!("tool_{tool}"), "operation": "execute"},
                {"kind": "table", "name": format!("table_{table}"), "operation": "select",
                    "sensitivity": {"level": if table < 20 { "restricted" } else { "internal" }}}],
            "result": {"rows": random(500)},
            "classifications": if random(20) == 0 { json!([{"part": "response", "class": "personal:email", "level": "confidential", "place": "/result", "count": 3}]) } else { json!([]) },
            "decision": {"observed": {"decision": if is_denied { "denied" } else { "allowed" }}, "evaluated": {"decision": "allow", "policies": [{"id": "baseline"}]}},
            "outcome": if is_denied { "denied" } else { "success" },
            "chain": {"id": format!("5f0c11d2-851808e1-{}", number / 3 * 3), "depth": number % 3, "certainty": "only_candidate"},
            "time_ns": time * 1_000_000, "end_time_ns": time * 1_000_000 + 5_000_000,
        }},
    })
}
