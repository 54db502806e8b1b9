//! `policy explain`: why an event was decided as it was, and what the present policies say of the same request.
//!
//! Reads the trail from its beginning, a line at a time, and takes the last report of the event. Bound: [`LINE`] bytes of a
//! line.

use std::{
    fs::File,
    io::{BufRead as _, BufReader, Read as _},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};
use auditor_policy::PolicySet;
use clap::Args;
use serde::{Deserialize, Serialize};
use serde_json::{Value, value::RawValue};

use super::chosen;
use crate::{cli::harmless, config::Config};

const LINE: u64 = 64 << 20;

/// Flags of `policy explain`.
#[derive(Args)]
pub(super) struct Arguments {
    /// `metadata.uid` of the event
    #[arg(value_name = "EVENT")]
    event: String,
    /// The trail [default: events.jsonl in the data directory]
    #[arg(long, value_name = "FILE")]
    events: Option<PathBuf>,
    /// Where the daemon keeps its files
    #[arg(long, value_name = "DIR", default_value = "/var/lib/mcp-auditor")]
    data_dir: PathBuf,
    /// Files and folders of the present policies [default: those of the configuration]
    #[arg(long = "policies", value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Configuration file [default: /etc/mcp-auditor/config.toml, if there is one]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print JSON for programs
    #[arg(long)]
    json: bool,
}

/// A decision, as an event has it or as it is now.
#[derive(Clone, Debug, Deserialize, Serialize)]
struct Decided {
    decision: String,
    reason: String,
    policies: Vec<Named>,
    #[serde(default)]
    policies_left_out: usize,
    policy_set: String,
    conditions: Vec<Condition>,
    #[serde(default)]
    conditions_left_out: usize,
    errors: Vec<String>,
    #[serde(skip_serializing)]
    request: Option<Box<RawValue>>,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
struct Named {
    id: String,
    effect: String,
    description: Option<String>,
    /// Its text, where the present policies have one of this id.
    #[serde(skip_deserializing)]
    text: Option<String>,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
struct Condition {
    policy: String,
    attribute: String,
    value: Value,
}

/// All that is told.
#[derive(Debug, Serialize)]
struct Answer {
    event: String,
    principal: Value,
    action: Value,
    resource: Value,
    logged: Decided,
    /// What the present policies say; none where there are none.
    present: Option<Decided>,
    /// Whether they are those that decided.
    is_same_policy_set: bool,
    /// Whether they say otherwise: another decision, or by other policies.
    differs: bool,
}

impl Arguments {
    pub(super) fn execute(self) -> Result<()> {
        let set = if self.paths.is_empty() {
            let (config, _) = Config::read(self.config.as_deref())?;
            let is_any = !config.policy.files.is_empty();
            is_any
                .then(|| crate::policy::load(&config.policy.files))
                .transpose()?
        } else {
            Some(chosen(&self.paths, None)?)
        };
        let events = self
            .events
            .unwrap_or_else(|| self.data_dir.join("events.jsonl"));
        let logged = find(&events, &self.event)?;
        let answer = Answer::of(self.event, logged, set.as_ref())?;
        if self.json {
            println!("{}", serde_json::to_string_pretty(&answer)?);
        } else {
            print!("{}", answer.text());
        }
        Ok(())
    }
}

/// The decision upon an event, by its last report.
fn find(path: &Path, uid: &str) -> Result<Decided> {
    let shown = path.display();
    let no_trail =
        || format!("no trail in {shown}; start `mcp-auditor run`, or name its file by --events");
    let mut file = BufReader::with_capacity(1 << 20, File::open(path).with_context(no_trail)?);
    let needle = format!("\"{uid}\"");
    let finder = memchr::memmem::Finder::new(&needle);
    let (mut line, mut found) = (Vec::new(), None);
    loop {
        line.clear();
        if (&mut file).take(LINE).read_until(b'\n', &mut line)? == 0 {
            break;
        }
        if finder.find(&line).is_none() {
            continue;
        }
        let Ok(event) = serde_json::from_slice::<Value>(&line) else {
            continue;
        };
        if event.pointer("/metadata/uid").and_then(Value::as_str) == Some(uid) {
            found = Some(event.pointer("/unmapped/mcp/decision/evaluated").cloned());
        }
    }
    match found {
        None => bail!("no event {uid} in {shown}"),
        Some(None | Some(Value::Null)) => bail!(
            "event {uid} was not decided upon: there were no policies; set `files` under [policy] in the configuration"
        ),
        // By way of text, for a raw value is read off text only.
        Some(Some(evaluated)) => serde_json::from_str(&evaluated.to_string())
            .with_context(|| format!("the decision of event {uid} cannot be read")),
    }
}

impl Answer {
    fn of(event: String, mut logged: Decided, set: Option<&PolicySet>) -> Result<Self> {
        let request = logged.request.take();
        let parts: Value = match &request {
            Some(request) => serde_json::from_str(request.get())?,
            None => Value::Null,
        };
        let mut present: Option<Decided> = None;
        if let (Some(set), Some(request)) = (set, &request) {
            let evaluated = set.evaluate(request.get())?;
            let text = serde_json::to_string(&evaluated.view())?;
            present = Some(serde_json::from_str(&text)?);
        }
        for decided in [Some(&mut logged), present.as_mut()].into_iter().flatten() {
            for named in &mut decided.policies {
                let about = set.and_then(|set| set.policy(&named.id));
                named.text = about.map(|about| about.text.to_string());
            }
        }
        let ids = |one: &Decided| -> Vec<String> {
            let determined = one.reason != "no_policy_permits";
            let policies = one.policies.iter().filter(|_| determined);
            policies.map(|named| named.id.clone()).collect()
        };
        let part = |name: &str| parts.get(name).cloned().unwrap_or_default();
        Ok(Self {
            event,
            principal: part("principal"),
            action: part("action"),
            resource: part("resource"),
            is_same_policy_set: set.is_some_and(|set| **set.version() == *logged.policy_set),
            differs: present.as_ref().is_some_and(|present| {
                present.decision != logged.decision || ids(present) != ids(&logged)
            }),
            logged,
            present,
        })
    }

    /// For people. Names come from whoever is audited: their control characters are not printed.
    fn text(&self) -> String {
        let mut lines = Vec::new();
        for (name, uid) in [
            ("principal", &self.principal),
            ("action", &self.action),
            ("resource", &self.resource),
        ] {
            let part = |name: &str| uid.get(name).and_then(Value::as_str).unwrap_or("?");
            lines.push(format!("{name:<11}{}::{:?}", part("type"), part("id")));
        }
        lines.push(String::new());
        decided(&self.logged, &mut lines);
        lines.push(String::new());
        match &self.present {
            None => lines.push(
                "the present policies were not asked: there are none, or no request is logged"
                    .to_owned(),
            ),
            Some(_) if !self.differs => lines.push(format!(
                "the present policies say the same{}",
                if self.is_same_policy_set {
                    "; they are those that decided"
                } else {
                    ""
                }
            )),
            Some(present) => {
                lines.push("the present policies say otherwise:".to_owned());
                decided(present, &mut lines);
            }
        }
        lines.iter().map(|line| harmless(line) + "\n").collect()
    }
}

fn decided(decided: &Decided, lines: &mut Vec<String>) {
    lines.push(format!("{} ({})", decided.decision, decided.reason));
    lines.push(format!("  policy set {}", decided.policy_set));
    if decided.reason == "no_policy_permits" {
        lines.push(match decided.policies.len() {
            0 => "  no policy has a scope that takes it".to_owned(),
            _ => "  these would permit it, but their conditions do not hold:".to_owned(),
        });
    }
    for named in &decided.policies {
        let description = named.description.as_deref().unwrap_or_default();
        lines.push(format!("  {} {}  {description}", named.effect, named.id));
        let text = named
            .text
            .as_deref()
            .unwrap_or("(not among the present policies)");
        lines.extend(text.lines().map(|line| format!("    | {line}")));
        let own = decided
            .conditions
            .iter()
            .filter(|one| one.policy == named.id);
        lines.extend(own.map(|one| match &one.value {
            Value::Null => format!("    {} is absent", one.attribute),
            value => format!("    {} = {value}", one.attribute),
        }));
    }
    let left_out = decided.policies_left_out + decided.conditions_left_out;
    if left_out > 0 {
        lines.push(format!(
            "  {left_out} more policies and conditions were left out"
        ));
    }
    lines.extend(
        decided
            .errors
            .iter()
            .map(|error| format!("  error: {error}")),
    );
}

#[cfg(test)]
mod tests {
    use std::{fs, sync::Arc};

    use auditor_core::audit::decision::{Peer, Policy as _, Principal, Question, Thing};
    use auditor_policy::{Decider, STARTER, Source};

    use super::*;

    const UID: &str = "0a1b2c3d-01234567-89ab-42";

    fn set(text: &str) -> PolicySet {
        PolicySet::parse(&[Source { name: "p", text }]).unwrap()
    }

    fn logged(name: &str, sensitivity: Option<u8>) -> Decided {
        let question = Question {
            method: "tools/call".into(),
            target: Some("query\u{1b}".into()),
            principal: Principal {
                assurance: 2,
                ..Principal::default()
            },
            peer: Peer {
                assurance: 2,
                ..Peer::default()
            },
            things: vec![Thing {
                kind: "table".into(),
                name: "orders".into(),
                sensitivity,
                operation: None,
            }],
            ..Question::default()
        };
        let decision = Decider::new(Arc::new(set(STARTER)))
            .decide(&question)
            .unwrap();
        let event = |evaluated: Value| serde_json::json!({"metadata": {"uid": UID}, "unmapped": {"mcp": {"decision": {"evaluated": evaluated}}}});
        let evaluated = serde_json::to_value(decision.view()).unwrap();
        let path =
            std::env::temp_dir().join(format!("mcp-auditor-explain-{name}-{}", std::process::id()));
        fs::write(
            &path,
            format!("{}\n\"{UID}\"\n{}\n", event(Value::Null), event(evaluated)),
        )
        .unwrap();
        let found = find(&path, UID);
        assert!(find(&path, "0a1b2c3d-01234567-89ab-43").is_err());
        fs::write(&path, event(Value::Null).to_string()).unwrap();
        assert!(
            find(&path, UID)
                .unwrap_err()
                .to_string()
                .contains("not decided upon")
        );
        fs::remove_file(path).unwrap();
        found.unwrap()
    }

    #[test]
    fn a_decision_is_told_with_the_policy_and_what_it_read() {
        let answer = Answer::of(UID.into(), logged("allow", Some(1)), Some(&set(STARTER))).unwrap();
        assert!(answer.is_same_policy_set && !answer.differs);
        let text = answer.text();
        for words in [
            "Tool::\"query",
            "allow (permitted)",
            "permit ordinary-use  A workload",
            "    | when { principal.assurance >= 2 }",
            "    context.sensitivity = 1",
            "they are those that decided",
        ] {
            assert!(text.contains(words), "no `{words}` in:\n{text}");
        }
        assert!(!text.contains('\u{1b}'));
    }

    #[test]
    fn a_default_denial_names_what_would_permit_it_and_present_policies_may_differ() {
        let logged = logged("deny", Some(2));
        let none = Answer::of(UID.into(), logged.clone(), None).unwrap();
        assert!(none.present.is_none() && none.text().contains("were not asked"));
        let other = set("@id(\"all\") permit(principal, action, resource);");
        let answer = Answer::of(UID.into(), logged, Some(&other)).unwrap();
        assert!(answer.differs && !answer.is_same_policy_set);
        let text = answer.text();
        for words in [
            "deny (no_policy_permits)",
            "conditions do not hold",
            "permit confidential-use",
            "context.sensitivity = 2",
            "(not among the present policies)",
            "say otherwise:\nallow (permitted)",
            "permit all",
        ] {
            assert!(text.contains(words), "no `{words}` in:\n{text}");
        }
        assert_eq!(
            serde_json::to_value(&answer).unwrap()["present"]["decision"],
            "allow"
        );
    }
}
