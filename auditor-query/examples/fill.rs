//! Fills a log with made-up events, for measurements: `fill DATA-DIR COUNT`.
//!
//! Each has what the query copies read of an event, and nothing else, so that ten million fit on a disk.

use std::path::Path;

use anyhow::{Context as _, Result};
use auditor_ledger::Log;
use serde_json::json;

/// Entries of one commit.
const COMMIT: u64 = 8_192;
/// When the first happened: 2026-10-01, in UTC milliseconds.
const BEGUN: u64 = 1_790_812_800_000;
/// Milliseconds of all of them: thirty days.
const SPAN: u64 = 30 * 86_400_000;

fn main() -> Result<()> {
    let mut words = std::env::args().skip(1);
    let folder = words.next().context("fill DATA-DIR COUNT")?;
    let count: u64 = words.next().context("fill DATA-DIR COUNT")?.parse()?;
    let folder = Path::new(&folder);
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
