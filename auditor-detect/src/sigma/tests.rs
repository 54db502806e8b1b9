use super::*;

/// An event of a few fields.
struct Fields(Vec<(&'static str, Field<'static>)>);

impl View for Fields {
    fn field(&self, path: &str) -> Option<Field<'_>> {
        let mut fields = self.0.iter();
        let found = fields.find_map(|(name, field)| (*name == path).then(|| field.clone()));
        found.or_else(|| FIELDS.contains(&path).then_some(Field::Null))
    }
}

fn anomaly(kind: &'static str) -> Fields {
    Fields(vec![(
        "unmapped.mcp.anomalies.kind",
        [kind].into_iter().collect(),
    )])
}

fn denied(who: &'static str, uid: String) -> Fields {
    Fields(vec![
        ("metadata.uid", Field::Text(uid.into())),
        ("unmapped.mcp.stage", "final".into()),
        ("unmapped.mcp.decision.observed.decision", "denied".into()),
        ("unmapped.mcp.identity.client.subject", who.into()),
    ])
}

#[test]
fn every_shipped_rule_is_usable_and_has_a_tag_of_each_list() {
    let rules = Rules::shipped().unwrap();
    let all = rules.list();
    assert_eq!(all.len(), PACK.len());
    for rule in all {
        assert!(
            rule.tags
                .iter()
                .any(|tag| tag.starts_with("owasp-mcp.") || tag.starts_with("atlas.aml.t")),
            "{}",
            rule.title
        );
        assert!(
            rule.version.is_some()
                && rule.description.is_some()
                && !rule.false_positives.is_empty(),
            "{}",
            rule.title
        );
    }
}

#[test]
fn each_anomaly_meets_its_rule_and_nothing_else_meets_any() {
    let mut rules = Rules::shipped().unwrap();
    let mut titles = |event: &Fields| -> Vec<String> {
        rules
            .judge(event, 1_000)
            .iter()
            .map(|hit| hit.rule.title.clone())
            .collect()
    };
    use crate::Kind::*;
    for kind in [
        FirstTool,
        FirstResource,
        LargeRequest,
        SensitiveSpike,
        DefinitionChanged,
        ShadowedTool,
        HiddenInstructions,
        UnsolicitedResponse,
        SecretSent,
        SecretReturned,
    ] {
        assert_eq!(titles(&anomaly(kind.name())).len(), 1, "{kind:?}");
    }
    assert_eq!(
        titles(&Fields(vec![("unmapped.mcp.kind", "request".into())])),
        [""; 0]
    );
    let gap = |cause: &'static str| {
        Fields(vec![
            ("unmapped.mcp.kind", "gap".into()),
            ("unmapped.mcp.gap.cause", cause.into()),
        ])
    };
    assert_eq!(titles(&gap("joined")), [""; 0]);
    assert_eq!(titles(&gap("ring_full")).len(), 1);
}

#[test]
fn denials_are_counted_for_each_identity_and_name_their_events() {
    let mut rules = Rules::shipped().unwrap();
    for at in 0..4 {
        assert!(
            rules
                .judge(&denied("ann", format!("a{at}")), 1_000 + at)
                .is_empty()
        );
        assert!(
            rules
                .judge(&denied("bob", format!("b{at}")), 1_000 + 400 * at)
                .is_empty()
        );
    }
    let hits = rules.judge(&denied("ann", "a4".into()), 1_004);
    assert_eq!(hits.len(), 1);
    let found = hits[0].correlated.as_ref().unwrap();
    assert_eq!(found.events, ["a0", "a1", "a2", "a3", "a4"]);
    assert_eq!(found.group[0].1, "ann");
    assert_eq!((found.value, found.seconds), (5.0, 300));
    assert!(rules.judge(&denied("bob", "b5".into()), 2_700).is_empty());
}

#[test]
fn a_rule_is_told_once_a_minute_and_says_how_often_it_was_not() {
    let mut rules = Rules::shipped().unwrap();
    let event = anomaly("secret_sent");
    assert_eq!(rules.judge(&event, 0).len(), 1);
    for at in 1..10 {
        assert!(rules.judge(&event, at).is_empty());
    }
    assert_eq!(rules.judge(&event, 61)[0].suppressed, 9);
}

const MINE: &str = "title: t\nid: 7d4b9a52-0f3b-4a34-93a3-2b0f4f2f9f01\nlogsource:\n    product: mcp\ndetection:\n    s:\n        unmapped.mcp.target|startswith: drop\n    condition: s\nlevel: high\n";

#[test]
fn a_rule_of_the_user_is_added_or_replaces_a_shipped_one() {
    let target = Fields(vec![("unmapped.mcp.target", "drop_table".into())]);
    let mine = Source {
        name: "mine.yml",
        text: MINE,
    };
    let mut rules = Rules::parse(&[mine], &[]).unwrap();
    assert_eq!(rules.judge(&target, 0)[0].rule.level, Level::High);
    let other = MINE.replace("drop", "make");
    let mut rules = Rules::parse(
        &[
            mine,
            Source {
                name: "b",
                text: &other,
            },
        ],
        &[],
    )
    .unwrap();
    assert!(rules.judge(&target, 0).is_empty());
    let id = "7d4b9a52-0f3b-4a34-93a3-2b0f4f2f9f01".to_owned();
    let mut rules = Rules::parse(&[mine], &[id]).unwrap();
    assert!(rules.judge(&target, 0).is_empty());
}

#[test]
fn a_broken_rule_is_refused_with_file_and_mend() {
    for (text, mend) in [
        (MINE.replace("mcp.target", "mcp.tool"), "docs/detection.md"),
        (MINE.replace("id: 7", "# "), "UUID"),
        (
            MINE.replace("product: mcp", "product: windows"),
            "product: mcp",
        ),
        (MINE.replace("condition: s", "condition: t"), "t"),
        (MINE.replace("title: t", "title: [t"), ""),
        (String::new(), ""),
        ("a: 1".into(), ""),
    ] {
        let error = Rules::parse(
            &[Source {
                name: "mine.yml",
                text: &text,
            }],
            &[],
        )
        .unwrap_err();
        let error = error.to_string();
        assert!(error.contains(mend), "{text}: {error}");
        let is_named = error.contains("mine.yml") || error.contains("all rules");
        assert!(is_named, "{error}");
    }
}

#[test]
fn counted_groups_have_a_bound() {
    let mut rules = Rules::shipped().unwrap();
    for at in 0..3 * STATES {
        let who: &'static str = Box::leak(format!("w{at}").into_boxed_str());
        rules.judge(&denied(who, String::new()), 1_000);
    }
    assert!(rules.states() <= STATES, "{}", rules.states());
}
