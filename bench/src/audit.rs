//! What the audit stage costs for a call of 1 KiB and its answer, and what contents add: by itself, in this process.
//!
//! The stage names both ends, reads arguments and results, classifies, asks the policy and writes the event.

use std::{hint::black_box, ops::Range, sync::Arc, time::Instant};

use anyhow::{Context as _, Result};
use auditor_content::{Classifier, Policy, Redactor};
use auditor_core::{
    audit::{Auditor, Names, Privacy, Process, Seen, Settings, World},
    key::{Actor, ChannelId, ProcessKey, Side, Time},
    mcp::{
        Direction, Interaction, InteractionId, Kind, Outcome, Part, Peer, Session, Stage, Transport,
    },
    stream::{Channel, ChannelKind},
};
use auditor_policy::{Decider, PolicySet, STARTER, Source};
use auditor_resource::{Catalogue, Rules};
use bytes::Bytes;

use crate::report::{Report, Spread};

const RUNS: usize = 5;
/// Events of one run, and scans of a large body.
const EVENTS: u64 = 20_000;
const SCANS: u32 = 20;

pub(crate) fn measure(report: &mut Report) -> Result<()> {
    for (name, [has_policy, has_rules]) in [
        (
            "audit stage, a call of 1 KiB, without policies and rules",
            [false, false],
        ),
        ("the same with the policies that ship", [true, false]),
        ("the same with policies and rules that ship", [true, true]),
    ] {
        let runs: Result<Vec<f64>> = (0..RUNS).map(|_| run(has_policy, has_rules)).collect();
        report.at_most(name, Spread::of(runs?), 60.0, "us");
    }
    let classifier = Classifier::new(&auditor_content::Settings::default())?;
    for (name, body) in [
        ("text", text()),
        ("rows of JSON", rows()),
        ("JSON in a text", json_in_text()),
    ] {
        let scan = || {
            let begun = Instant::now();
            (0..SCANS).for_each(|_| drop(black_box(classifier.scan(&body))));
            begun.elapsed().as_secs_f64() * 1e3 / f64::from(SCANS)
        };
        let scans: Vec<f64> = (0..RUNS).map(|_| scan()).collect();
        report.at_most(
            &format!("classifying 1 MiB of {name}"),
            Spread::of(scans),
            20.0,
            "ms",
        );
    }
    Ok(())
}

/// Microseconds an event.
fn run(has_policy: bool, has_rules: bool) -> Result<f64> {
    let mut auditor = auditor(has_policy)?;
    if has_rules {
        auditor.set_judge(Some(Box::new(auditor_detect::Rules::shipped()?)));
    }
    let mut out = Vec::new();
    let mut event = |number: u64| {
        let event = auditor.audit(
            interaction(number),
            &Host,
            Time(1_800_000_000_000_000_000 + number),
        );
        out.clear();
        event.write_json(&mut out);
        black_box(out.len());
    };
    (0..1_000).for_each(&mut event);
    let begun = Instant::now();
    (1_000..1_000 + EVENTS).for_each(&mut event);
    let elapsed = begun.elapsed().as_secs_f64();
    anyhow::ensure!(out.len() > 1_000, "no event was written");
    Ok(elapsed * 1e6 / EVENTS as f64)
}

fn auditor(has_policy: bool) -> Result<Auditor> {
    let mut auditor = Auditor::new(Settings::default());
    auditor.set_names(Arc::new(Names {
        rules: Rules::built_in()?,
        catalogue: Catalogue::built_in()?,
    }));
    auditor.set_privacy(Arc::new(Privacy {
        classifier: Classifier::new(&auditor_content::Settings::default())?,
        redactor: Redactor::new([1; 32], Policy::default()),
    }));
    if !has_policy {
        return Ok(auditor);
    }
    let source = Source {
        name: "starter.cedar",
        text: STARTER,
    };
    let policies =
        PolicySet::parse(&[source]).context("the policies that ship with the product")?;
    auditor.set_policy(Some(Box::new(Decider::new(Arc::new(policies)))));
    Ok(auditor)
}

fn interaction(number: u64) -> Interaction {
    let filler = "lorem ipsum dolor sit amet ".repeat(28);
    let request = format!(
        r#"{{"jsonrpc":"2.0","id":{number},"method":"tools/call","params":{{"name":"read_query","arguments":{{"query":"SELECT name, city FROM products p JOIN orders o ON o.product = p.id WHERE p.id = {number} AND p.note = '{filler}'"}}}}}}"#
    );
    let response = format!(
        r#"{{"jsonrpc":"2.0","id":{number},"result":{{"content":[{{"type":"text","text":"[{{\"name\":\"lamp\",\"city\":\"Bonn\",\"note\":\"{filler}\"}}]"}}]}}}}"#
    );
    Interaction {
        id: InteractionId(number),
        kind: Kind::Request,
        stage: Stage::Final,
        direction: Direction::ClientToServer,
        session: Arc::new(Session {
            id: 1,
            transport: Transport::Stdio,
            client_side: Side::A,
            mcp_session_id: None,
            protocol_version: Some("2025-11-25".into()),
            client_info: None,
            server_info: Some(Peer {
                name: "sqlite".into(),
                version: "1".into(),
            }),
        }),
        method: Some("tools/call".into()),
        rpc_id: Some(number.to_string()),
        target: Some("read_query".into()),
        protocol_version: Some("2025-11-25".into()),
        traceparent: None,
        batch: None,
        round_trip: None,
        request: Some(part(1, number, request)),
        response: Some(part(2, number, response)),
        answer_head: None,
        outcome: Outcome::Success,
        gap: None,
        unheard: None,
    }
}

fn part(channel: u64, number: u64, body: String) -> Part {
    // Equal ones would count as one message that was passed on.
    let mut sha256 = [channel as u8; 32];
    sha256[..8].copy_from_slice(&number.to_be_bytes());
    let time = Time(1_800_000_000_000_000_000);
    Part {
        channel: ChannelId(channel),
        from: Side::A,
        range: 0..body.len() as u64,
        first: time,
        time,
        bytes: body.len() as u64,
        sha256,
        keys: vec!["query".into()],
        items: Some(1),
        body: Some(Bytes::from(body)),
        truncated: false,
        writer: None,
        reader: None,
        http: None,
    }
}

/// Channel 1 leads from process 10 to 20, channel 2 back.
struct Host;

impl World for Host {
    fn process(&self, key: ProcessKey) -> Option<Arc<Process>> {
        Some(Arc::new(Process {
            key,
            exe: Some("/usr/bin/python3.11".into()),
            exe_sha256: Some([key.pid as u8; 32]),
            cgroup: Some("/".into()),
            ..Process::default()
        }))
    }

    fn channel(&self, id: ChannelId) -> Option<Arc<Channel>> {
        Some(Arc::new(Channel {
            id,
            kind: ChannelKind::Tcp,
            inode: None,
            peer_inode: None,
            socket: None,
            tls: None,
        }))
    }

    fn seen(&self, channel: ChannelId, _from: Side, _range: &Range<u64>) -> Seen {
        let actor = |pid| {
            Some(Actor {
                process: ProcessKey { pid, start: 7 },
                tid: pid,
            })
        };
        let (writer, reader) = if channel.0 == 1 { (10, 20) } else { (20, 10) };
        Seen {
            writer: actor(writer),
            reader: actor(reader),
            local: true,
        }
    }
}

/// An answer of 1 MiB around this content.
fn answer(content: &str) -> Vec<u8> {
    format!(
        r#"{{"jsonrpc":"2.0","id":1,"result":{{"content":[{{"type":"text","text":{content}}}]}}}}"#
    )
    .into_bytes()
}

fn text() -> Vec<u8> {
    let line = "The quick brown fox jumps over the lazy dog, 17 times a day at 10:45.\\n";
    answer(&format!("\"{}\"", line.repeat((1 << 20) / line.len())))
}

fn rows() -> Vec<u8> {
    let row = |at: usize| {
        format!(
            r#"{{"id":{at},"name":"product {at}","city":"Bonn","price":12.5,"note":"shelf {}"}}"#,
            at % 97
        )
    };
    let rows: Vec<String> = (0..14_000).map(row).collect();
    format!(
        r#"{{"jsonrpc":"2.0","id":1,"result":{{"structuredContent":{{"rows":[{}]}}}}}}"#,
        rows.join(",")
    )
    .into_bytes()
}

fn json_in_text() -> Vec<u8> {
    let row = |at: usize| {
        format!(
            r#"{{\"id\":{at},\"name\":\"product {at}\",\"city\":\"Bonn\",\"note\":\"shelf {}\"}}"#,
            at % 97
        )
    };
    let rows: Vec<String> = (0..13_500).map(row).collect();
    answer(&format!("\"[{}]\"", rows.join(",")))
}
