//! Measures the scan's throughput on one core: `cargo run --release --example throughput`.
//!
//! Bodies are tool results of about 1 MiB: rows of a table, source text, prose, a log, a tree of
//! files, base64; and hostile ones made of keywords. Any files named as arguments are read too.

use std::hint::black_box;

use auditor_content::{Classifier, Policy, Redactor, Settings};
use serde_json::json;

const SIZE: usize = 1 << 20;
const RUNS: u32 = 50;

/// Time that this thread has run, in seconds: what others do on the machine does not count.
fn ran() -> f64 {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    stat.split(' ')
        .next()
        .and_then(|time| time.parse::<f64>().ok())
        .unwrap_or_default()
        / 1e9
}

fn main() {
    let started = ran();
    let classifier = match Classifier::new(&Settings::default()) {
        Ok(classifier) => classifier,
        Err(error) => return eprintln!("{error}"),
    };
    println!("start {:.0} ms", (ran() - started) * 1e3);
    memory("started");
    let redactor = Redactor::new([1; 32], Policy::default());
    for (name, body) in bodies() {
        let once = ran();
        let report = classifier.scan(&body);
        let first = ran() - once;
        // The kernel accounts in ticks, so single runs are too short to be told.
        let started = ran();
        for _ in 0..RUNS {
            black_box(classifier.scan(black_box(&body)));
        }
        let mean = (ran() - started) / f64::from(RUNS);
        let started = ran();
        let redacted = redactor.redact(&body, &classifier).map(|body| body.len());
        let redact = ran() - started;
        let size = body.len() as f64;
        println!(
            "{name:<14} {:>8} bytes  {:>6.1} MB/s  {:>7.2} ms (first {:>7.2} ms)  redact {:>7.2} ms -> {redacted:?}  {} classes, whole: {}",
            body.len(),
            size / mean / 1e6,
            mean * 1e3,
            first * 1e3,
            redact * 1e3,
            report.classes().len(),
            report.is_whole,
        );
    }
    memory("at the end");
}

/// Prints the resident memory and its peak.
fn memory(when: &str) {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let lines = status
        .lines()
        .filter(|line| line.starts_with("VmRSS") || line.starts_with("VmHWM"));
    println!("{when}: {}", lines.collect::<Vec<_>>().join(", "));
}

fn result(content: serde_json::Value) -> Vec<u8> {
    json!({"jsonrpc": "2.0", "id": 7, "result": {"content": content, "isError": false}})
        .to_string()
        .into_bytes()
}

fn text(line: impl Fn(usize) -> String) -> Vec<u8> {
    let mut text = String::new();
    for index in 0.. {
        if text.len() >= SIZE {
            break;
        }
        text.push_str(&line(index));
    }
    result(json!([{"type": "text", "text": text}]))
}

/// Each rule's keyword once, so that every expression is compiled: the most memory it takes.
fn all_keywords() -> Vec<u8> {
    let keyword = |line: &str| {
        line.trim()
            .trim_matches(['"', ',', '[', ']', '\''])
            .to_owned()
    };
    let rules = include_str!("../data/gitleaks.toml");
    let lines = rules
        .lines()
        .filter(|line| line.starts_with("keywords = [") || line.starts_with("    \""));
    let words = lines.flat_map(|line| {
        line.trim_start_matches("keywords = ")
            .split(", ")
            .map(keyword)
            .collect::<Vec<_>>()
    });
    let text: String = words
        .map(|word| format!("{word} = {word}x9Kq2 : \n"))
        .collect();
    result(json!([{"type": "text", "text": text.repeat(SIZE / 8 / text.len().max(1) + 1)}]))
}

fn bodies() -> Vec<(String, Vec<u8>)> {
    let row = |index: usize| {
        json!({"id": index, "order_number": format!("SO-{:06}", index * 37 % 999_983), "status": "shipped", "total_amount": index as f64 * 1.37,
            "created_at": "2026-03-04T05:06:07Z", "description": "Two boxes of printer paper, to be left at the reception", "tags": ["office", "paper"]})
    };
    let person = |index: usize| json!({"id": index, "name": format!("Customer {index}"), "email": format!("user{index}@example.org"), "phone": format!("+1 415 555 {:04}", index % 10_000), "city": "Paris"});
    let rows = |row: &dyn Fn(usize) -> serde_json::Value| {
        (0..SIZE / row(1).to_string().len())
            .map(row)
            .collect::<Vec<_>>()
    };
    let source = include_str!("../src/flat.rs");
    let mut bodies = vec![
        ("rows".to_owned(), result(json!(rows(&row)))),
        (
            "rows in text".to_owned(),
            result(json!([{"type": "text", "text": json!(rows(&row)).to_string()}])),
        ),
        ("people".to_owned(), result(json!(rows(&person)))),
        ("source".to_owned(), text(|_| source.to_owned())),
        (
            "prose".to_owned(),
            text(|_| include_str!("../../docs/architecture.md").to_owned()),
        ),
        (
            "log".to_owned(),
            text(|index| {
                format!(
                    "2026-03-04T05:06:{:02}.{:03}Z INFO request id={index} method=GET path=/api/v1/items/{index} status=200 bytes={} duration_ms={}\n",
                    index % 60,
                    index % 1000,
                    index * 7,
                    index % 90
                )
            }),
        ),
        (
            "files".to_owned(),
            text(|index| format!("/srv/app/node_modules/package-{index}/dist/index.js\n")),
        ),
        (
            "base64".to_owned(),
            text(|index| {
                format!(
                    "{:016x}",
                    (index as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15)
                )
                .replace('0', "Z/+")
            }),
        ),
        ("every rule".to_owned(), all_keywords()),
        (
            "hostile words".to_owned(),
            text(|index| {
                format!(
                    "{}_token = ",
                    [
                        "api", "key", "secret", "auth", "github", "sonar", "okta", "ey"
                    ][index % 8]
                )
            }),
        ),
        (
            "hostile keys".to_owned(),
            text(|_| "-----BEGIN PRIVATE KEY----- ".to_owned()),
        ),
        (
            "hostile digits".to_owned(),
            text(|index| format!("{index} {} ", index * 7919)),
        ),
        ("hostile signs".to_owned(), text(|_| "a@b.".to_owned())),
        (
            "hostile arrays".to_owned(),
            format!("[{}1]", "[\"abcdef\"],".repeat(SIZE / 11)).into_bytes(),
        ),
    ];
    for path in std::env::args().skip(1) {
        if let Ok(body) = std::fs::read(&path) {
            bodies.push((path, body));
        }
    }
    bodies
}
