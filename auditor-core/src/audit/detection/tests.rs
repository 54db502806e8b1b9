use std::sync::{Arc, Mutex};

use auditor_detect::{About, FIELDS, View};
use serde_json::Value;

use super::*;
use crate::{
    audit::{Auditor, Settings, tests},
    key::Time,
    mcp::{Peer, Session},
};

/// Meets every event that has something out of the ordinary; keeps what it saw.
struct Everything(Arc<Mutex<Vec<String>>>);

impl Judge for Everything {
    fn judge(&mut self, event: &dyn View, _: i64) -> Vec<Hit> {
        for path in FIELDS {
            assert!(event.field(path).is_some(), "{path}");
        }
        assert!(event.field("unmapped.mcp.nothing").is_none() && event.field("x").is_none());
        let kinds = event.field("unmapped.mcp.anomalies.kind");
        let is_met = matches!(kinds, Some(auditor_detect::Field::List(all)) if !all.is_empty());
        let seen = format!("{:?}", event.field("unmapped.mcp.method"));
        self.0.lock().unwrap().push(seen);
        let rule = Arc::new(About {
            id: "5d0d1d5e-0000-4000-8000-000000000000".into(),
            title: "everything".into(),
            tags: vec!["atlas.aml.t0110".into(), "owasp-mcp.mcp03-2025".into()],
            is_about_data: true,
            ..About::default()
        });
        let hit = Hit {
            rule,
            correlated: None,
            suppressed: 0,
        };
        is_met.then_some(hit).into_iter().collect()
    }
}

fn auditor() -> Auditor {
    let mut auditor = Auditor::new(Settings {
        run: "r".into(),
        ..Settings::default()
    });
    auditor.set_judge(Some(Box::new(Everything(Arc::default()))));
    auditor
}

fn list(server: &str, id: u64, tools: &str) -> Interaction {
    let mut interaction = tests::call();
    interaction.id = crate::mcp::InteractionId(id);
    interaction.method = Some("tools/list".into());
    interaction.target = None;
    interaction.outcome = Outcome::Success;
    interaction.session = Arc::new(Session {
        server_info: Some(Peer {
            name: server.into(),
            version: "1".into(),
        }),
        ..(*interaction.session).clone()
    });
    let text = format!(r#"{{"jsonrpc":"2.0","id":1,"result":{{"tools":[{tools}]}}}}"#);
    interaction.response.as_mut().unwrap().body = Some(Bytes::from(text));
    interaction
}

fn told(auditor: &mut Auditor, interaction: Interaction) -> (Value, Vec<Value>) {
    let now = Time(1_800_000_001_000_000_000);
    let read = |write: &dyn Fn(&mut Vec<u8>)| {
        let mut out = Vec::new();
        write(&mut out);
        serde_json::from_slice::<Value>(&out).unwrap()
    };
    let event = auditor.audit(interaction, &tests::Host, now);
    let json = read(&|out| event.write_json(out));
    let mut findings = Vec::new();
    while let Some(finding) = auditor.poll_detection(now) {
        let mut line = String::new();
        finding.write_pretty(false, &mut line);
        assert!(line.contains("everything"), "{line}");
        findings.push(read(&|out| finding.write_json(out)));
    }
    (json, findings)
}

#[test]
fn a_changed_tool_is_told_in_the_event_and_as_a_finding_that_names_both_events() {
    let mut auditor = auditor();
    let (event, findings) = told(
        &mut auditor,
        list("shop", 1, r#"{"name":"add","description":"Adds."}"#),
    );
    assert_eq!(
        (&event["unmapped"]["mcp"]["anomalies"], findings.len()),
        (&serde_json::json!([]), 0)
    );
    let changed = list(
        "shop",
        2,
        r#"{"name":"add","description":"Adds, and more."}"#,
    );
    let (event, findings) = told(&mut auditor, changed);
    let anomaly = &event["unmapped"]["mcp"]["anomalies"][0];
    assert_eq!(anomaly["kind"], "definition_changed");
    assert_eq!(anomaly["previous"], "r-1");
    assert_eq!(anomaly["changes"][0]["pointer"], "/description");
    assert_eq!(anomaly["changes"][0]["before"]["bytes"], 7);
    assert!(!event.to_string().contains("and more"));
    let finding = &findings[0];
    assert_eq!(
        (&finding["class_uid"], &finding["type_uid"]),
        (&2006.into(), &200_601.into())
    );
    let info = &finding["finding_info"];
    assert_eq!(
        info["related_events"],
        serde_json::json!([{"uid":"r-2"},{"uid":"r-1"}])
    );
    assert_eq!(info["attacks"][0]["technique"]["uid"], "AML.T0110");
    assert_eq!(info["tags"][0]["values"][0], "mcp03-2025");
    assert_eq!(
        finding["unmapped"]["mcp"]["anomalies"],
        event["unmapped"]["mcp"]["anomalies"]
    );
}

#[test]
fn an_answer_that_nobody_asked_for_is_told_in_a_session_that_was_heard_only() {
    let mut auditor = auditor();
    let mut stray = tests::call();
    stray.kind = Kind::UnpairedResponse;
    stray.method = None;
    stray.request = None;
    let (event, _) = told(&mut auditor, stray.clone());
    assert_eq!(event["unmapped"]["mcp"]["anomalies"], serde_json::json!([]));
    told(&mut auditor, list("shop", 1, ""));
    let (event, findings) = told(&mut auditor, stray);
    assert_eq!(
        event["unmapped"]["mcp"]["anomalies"][0]["kind"],
        "unsolicited_response"
    );
    assert_eq!(findings.len(), 1);
}

#[test]
fn one_tool_of_two_servers_is_told_with_the_other_server() {
    let mut auditor = auditor();
    told(&mut auditor, list("shop", 1, r#"{"name":"search"}"#));
    let (event, _) = told(&mut auditor, list("other", 2, r#"{"name":"search"}"#));
    let anomaly = &event["unmapped"]["mcp"]["anomalies"][0];
    assert_eq!(
        (&anomaly["kind"], &anomaly["other"]),
        (&"shadowed_tool".into(), &"shop".into())
    );
}
