//! How long a decision takes, with 100 policies: `cargo run --release -p auditor-policy --example speed`.

#![expect(clippy::disallowed_methods, reason = "it measures; stages do not")]

use std::{sync::Arc, time::Instant};

use auditor_core::audit::decision::{Context, Peer, Policy as _, Principal, Question, Thing};
use auditor_policy::{Decider, PolicySet, STARTER, Source};

/// That of the daemon.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const ROUNDS: u32 = 5_000;

fn main() -> Result<(), auditor_policy::Error> {
    for (name, scope) in [
        ("of no server", "resource"),
        (
            "each of a server of its own",
            "resource in Server::\"server NUMBER\"",
        ),
    ] {
        let mut text = STARTER.to_owned();
        let starters = text.matches("@id").count();
        for number in starters..100 {
            let scope = scope.replace("NUMBER", &number.to_string());
            text += &format!(
                "@id(\"{number}\") forbid(principal, action in [Action::\"call\", Action::\"read\"], {scope}) \
                 when {{ context.operations.contains(\"write\") && principal.assurance < 3 && context.hour > 30 }};\n"
            );
        }
        let started = Instant::now();
        let set = PolicySet::parse(&[Source {
            name: "p",
            text: &text,
        }])?;
        println!(
            "100 policies, {name}: parsed and checked in {:?}",
            started.elapsed()
        );
        let mut decider = Decider::new(Arc::new(set));
        let mut question = question();
        let mut uncached = Vec::new();
        for number in 0..ROUNDS {
            question.principal.subject = Some(number.to_string().into());
            let started = Instant::now();
            let _ = decider.decide(&question);
            uncached.push(started.elapsed());
        }
        let mut cached = Vec::new();
        for number in 0..ROUNDS {
            question.context.request_bytes = Some(number.into());
            let started = Instant::now();
            let _ = decider.decide(&question);
            cached.push(started.elapsed());
        }
        for (name, times) in [("uncached", &mut uncached), ("cached", &mut cached)] {
            times.sort();
            let at = |percent: usize| times.get(times.len() * percent / 100);
            println!("  {name}: median {:?}, 99th {:?}", at(50), at(99));
        }
    }
    Ok(())
}

fn question() -> Question<'static> {
    Question {
        method: "tools/call".into(),
        target: Some("query".into()),
        principal: Principal {
            method: Some("pod".into()),
            assurance: 2,
            pod: Some("agent-7d9f".into()),
            namespace: Some("shop".into()),
            service_account: Some("agent".into()),
            image: Some("registry.example.com/agent:1.2".into()),
            exe: Some("/usr/bin/python3.12".into()),
            exe_sha256: Some("ab".repeat(32).into()),
            uid: Some(1000),
            ..Principal::default()
        },
        peer: Peer {
            name: Some("postgres".into()),
            subject: Some("server 50".into()),
            assurance: 2,
            verified: false,
        },
        things: vec![
            Thing {
                kind: "table".into(),
                name: "shop.orders".into(),
                sensitivity: Some(1),
                operation: Some("select".into()),
            },
            Thing {
                kind: "table".into(),
                name: "shop.people".into(),
                sensitivity: Some(1),
                operation: Some("update".into()),
            },
        ],
        context: Context {
            request_bytes: Some(312),
            response_bytes: Some(20_480),
            request_classes: Some(vec!["pii.email".into()]),
            response_classes: Some(vec!["pii.email".into(), "pii.phone".into()]),
            time_ms: 1_767_607_200_000,
            cluster: Some("shop".into()),
            node: Some("worker-3".into()),
            transport: Some("http".into()),
            encrypted: true,
            ..Context::default()
        },
        ..Question::default()
    }
}
