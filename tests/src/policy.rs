//! Decisions upon made-up questions, evaluated again by another implementation of Cedar.

use std::{
    fs::{self, File},
    io::{BufWriter, Write as _},
    process::{Command, Stdio},
    sync::Arc,
};

use anyhow::{Context as _, Result, ensure};
use auditor_core::{
    audit::decision::{Context, Peer, Policy as _, Principal, Question, Thing},
    mcp::Direction,
};
use auditor_policy::{Decider, PolicySet, STARTER, Source};
use serde_json::Value;

use crate::{Arguments, programs::cedar, suite};

const QUESTIONS: u64 = 20_000;

/// Policies without an `@id`, and such that name servers, tools, things and places.
const MORE: &str = r#"
forbid(principal in Namespace::"a", action, resource in Server::"a") when { context.hour > 12 };
permit(principal, action, resource in Data::"table:a");
permit(principal == Workload::"b", action in Action::"read", resource is Resource in Server::"b");
forbid(principal, action == Action::"tools/call", resource == Tool::"b") when { principal has uid && principal.uid == 0 };
permit(principal, action, resource) when { context has request_bytes && context.request_bytes > 100 } unless { resource.peer has name };
forbid(principal, action, resource) when { resource has uri && resource.uri like "a*" && context.unclassified };
forbid(principal, action, resource) when { context has secure_boot && !context.secure_boot && context.chain_depth + context.weekday > 9 };
"#;

/// Gives the number of tests that failed.
pub(crate) fn check(arguments: &Arguments) -> usize {
    if arguments.without.iter().any(|one| one == "go") {
        return 0;
    }
    let tests = [("decisions_are_those_of_another_implementation", ())];
    let only = arguments.only.as_deref();
    suite::run(&tests, only, || Ok(()), |_, ()| agrees(arguments))
}

fn agrees(arguments: &Arguments) -> Result<()> {
    let folder = arguments.folder.join("policy");
    fs::create_dir_all(&folder)?;
    let sources = [("starter.cedar", STARTER), ("more.cedar", MORE)];
    let set = PolicySet::parse(&sources.map(|(name, text)| Source { name, text }))?;
    let mut decider = Decider::new(Arc::new(set));
    let lines = folder.join("decisions.jsonl");
    let mut out = BufWriter::new(File::create(&lines)?);
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    let mut seen = std::collections::BTreeMap::<&str, u64>::new();
    for _ in 0..QUESTIONS {
        let decision = decider.decide(&dice.question()).context("no decision")?;
        *seen.entry(decision.evaluated.reason.name()).or_default() += 1;
        serde_json::to_writer(&mut out, &decision.view())?;
        out.write_all(b"\n")?;
    }
    out.into_inner().map_err(|error| error.into_error())?;
    // Otherwise little is compared.
    for reason in ["permitted", "forbidden", "no_policy_permits"] {
        let count = seen.get(reason).copied().unwrap_or_default();
        ensure!(
            count > QUESTIONS / 20,
            "only {count} questions were {reason}: {seen:?}"
        );
    }
    let evaluate = |lines: &std::path::Path| -> Result<std::process::Output> {
        let mut command = Command::new(cedar()?);
        for (name, text) in sources {
            fs::write(folder.join(name), text)?;
            command.arg(folder.join(name));
        }
        let output = command
            .stdin(File::open(lines)?)
            .stderr(Stdio::piped())
            .output();
        output.context("cannot run the evaluator")
    };
    let output = evaluate(&lines)?;
    let told: Value = serde_json::from_slice(&output.stdout)?;
    ensure!(
        output.status.success() && told["agreed"] == QUESTIONS,
        "{told}: {:.2000}",
        String::from_utf8_lossy(&output.stderr)
    );
    // It must be able to disagree.
    let text = fs::read_to_string(&lines)?;
    let turned = text.replacen("\"decision\":\"allow\"", "\"decision\":\"deny\"", 1);
    fs::write(
        &lines,
        turned.replacen("\"id\":\"ordinary-use\"", "\"id\":\"other\"", 2),
    )?;
    let told: Value = serde_json::from_slice(&evaluate(&lines)?.stdout)?;
    ensure!(
        told["wrong"].as_u64() >= Some(2),
        "what was turned is not found: {told}"
    );
    Ok(())
}

/// Numbers that are the same each time.
struct Dice(u64);

impl Dice {
    /// Below a bound.
    fn throw(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }

    fn maybe<T>(&mut self, some: impl FnOnce(&mut Self) -> T) -> Option<T> {
        (self.throw(3) > 0).then(|| some(self))
    }

    fn one<'a>(&mut self, of: &[&'a str]) -> &'a str {
        let at = self.throw(of.len() as u64);
        of.get(at as usize).copied().unwrap_or_default()
    }

    fn name(&mut self) -> &'static str {
        self.one(&["a", "b", "c", "\u{0}\n\"\\", "ä*", "a b", "\u{1f600}", ""])
    }

    fn question(&mut self) -> Question<'static> {
        let method = [
            "tools/call",
            "tools/call",
            "resources/read",
            "prompts/get",
            "tools/list",
            "ping",
            "sampling/createMessage",
            "notifications/progress",
            "\"x\"",
        ];
        Question {
            method: self.one(&method).into(),
            direction: if self.throw(5) == 0 {
                Direction::ServerToClient
            } else {
                Direction::ClientToServer
            },
            target: self.maybe(|dice| dice.name().into()),
            principal: Principal {
                subject: self.maybe(|dice| dice.name().into()),
                assurance: self.throw(5) as u8,
                namespace: self.maybe(|dice| dice.name().into()),
                service_account: self.maybe(|dice| dice.name().into()),
                uid: self.maybe(|dice| dice.throw(2) as u32),
                ..Principal::default()
            },
            peer: Peer {
                subject: self.maybe(|dice| dice.name().into()),
                name: self.maybe(|dice| dice.name().into()),
                assurance: self.throw(5) as u8,
                verified: self.throw(2) == 0,
            },
            things: (0..self.throw(3)).map(|_| self.thing()).collect(),
            context: Context {
                request_bytes: self.maybe(|dice| dice.throw(200)),
                request_classes: self.maybe(Self::classes),
                response_classes: self.maybe(Self::classes),
                time_ms: self.throw(604_800_000),
                secure_boot: self.maybe(|dice| dice.throw(2) == 0),
                chain_depth: self.throw(6) as u8,
                ..Context::default()
            },
        }
    }

    fn classes(&mut self) -> Vec<std::borrow::Cow<'static, str>> {
        let classes = [
            "x",
            "pii.email",
            "pii.phone",
            "other.y",
            "secret.github_token",
        ];
        (0..self.throw(3))
            .map(|_| self.one(&classes).into())
            .collect()
    }

    fn thing(&mut self) -> Thing<'static> {
        Thing {
            kind: self.one(&["table", "file"]).into(),
            name: self.name().into(),
            sensitivity: self.maybe(|dice| dice.throw(4) as u8),
            operation: self.maybe(|dice| dice.one(&["select", "insert", "ddl", "read"]).into()),
        }
    }
}
