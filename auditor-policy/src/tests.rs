//! The starter set, errors in words, what an answer rests on, and that slices and memory change no answer.

use std::sync::{Arc, LazyLock};

use auditor_core::{
    audit::decision::{
        Context, Evaluated, Outcome, Peer, Policy as _, Principal, Question, Reason, Thing,
    },
    mcp::Direction,
};
use cedar_policy::{Authorizer, Context as CedarContext, Decision, Entities, EntityUid, Request};
use proptest::{option, prelude::*, sample::select};
use serde_json::Value;

use crate::{
    CONDITIONS, Decider, POLICIES_NAMED, PolicySet, STARTER, Source, TooLarge, VALUE,
    reads::Members, set::schema,
};

/// A Monday, 10 h UTC.
const MONDAY: u64 = 1_767_607_200_000;

fn set(text: &str) -> PolicySet {
    PolicySet::parse(&[Source {
        name: "p.cedar",
        text,
    }])
    .unwrap()
}

fn problems(text: &str) -> Vec<String> {
    let error = PolicySet::parse(&[Source {
        name: "p.cedar",
        text,
    }])
    .unwrap_err();
    error.problems.iter().map(ToString::to_string).collect()
}

fn agent(assurance: u8) -> Question<'static> {
    Question {
        method: "tools/call".into(),
        target: Some("query".into()),
        principal: Principal {
            subject: Some("pod:shop/agent".into()),
            method: Some("pod".into()),
            assurance,
            namespace: Some("shop".into()),
            ..Principal::default()
        },
        peer: Peer {
            name: Some("postgres".into()),
            subject: Some("container:db".into()),
            assurance: 2,
            ..Peer::default()
        },
        things: vec![Thing {
            kind: "table".into(),
            name: "orders".into(),
            sensitivity: Some(1),
            operation: Some("select".into()),
        }],
        context: Context {
            time_ms: MONDAY,
            request_classes: Some(Vec::new()),
            ..Context::default()
        },
        ..Question::default()
    }
}

fn answer(set: &PolicySet, question: &Question<'_>) -> Evaluated {
    set.evaluate(set.request(question).unwrap().get()).unwrap()
}

fn ids(evaluated: &Evaluated) -> Vec<&str> {
    evaluated.policies.iter().map(|one| &*one.id).collect()
}

fn condition<'a>(evaluated: &'a Evaluated, attribute: &str) -> &'a str {
    let mut all = evaluated.conditions.iter();
    all.find(|one| &*one.attribute == attribute)
        .unwrap()
        .value
        .get()
}

#[test]
fn three_calls_of_one_agent_are_three_decisions() {
    let set = set(STARTER);
    let harmless = agent(2);
    let mut confidential = agent(2);
    confidential.things[0].sensitivity = Some(2);
    let mut secret = agent(2);
    secret.context.request_classes = Some(vec!["secret.github_token".into()]);

    let first = answer(&set, &harmless);
    assert_eq!(
        (first.outcome, first.reason),
        (Outcome::Allow, Reason::Permitted)
    );
    assert_eq!(ids(&first), ["ordinary-use"]);
    assert_eq!(condition(&first, "principal.assurance"), "2");
    assert_eq!(condition(&first, "context.sensitivity"), "1");

    let second = answer(&set, &confidential);
    assert_eq!(
        (second.outcome, second.reason),
        (Outcome::Deny, Reason::NoPolicyPermits)
    );
    assert_eq!(ids(&second), ["confidential-use", "ordinary-use"]);
    assert_eq!(condition(&second, "context.sensitivity"), "2");

    let third = answer(&set, &secret);
    assert_eq!(
        (third.outcome, third.reason),
        (Outcome::Deny, Reason::Forbidden)
    );
    assert_eq!(ids(&third), ["no-secrets-in-requests"]);
    assert_eq!(
        condition(&third, "context.request_classes"),
        r#"["secret","secret.github_token"]"#
    );
    assert!(third.errors.is_empty());
}

#[test]
fn each_starter_policy_has_a_say_somewhere() {
    let set = set(STARTER);
    let mut cases: Vec<(&str, Question<'_>)> = Vec::new();
    let mut add = |id, change: &dyn Fn(&mut Question<'_>)| {
        let mut question = agent(2);
        change(&mut question);
        cases.push((id, question));
    };
    add("session", &|q| q.method = "notifications/progress".into());
    add("ordinary-use", &|_| {});
    add("confidential-use", &|q| {
        q.principal.assurance = 3;
        q.things[0].sensitivity = Some(3);
    });
    add("server-asks", &|q| {
        q.method = "sampling/createMessage".into();
        q.direction = Direction::ServerToClient;
    });
    add("restricted-needs-proof", &|q| {
        q.things[0].sensitivity = Some(3)
    });
    add("writes-need-an-observed-workload", &|q| {
        q.principal.assurance = 1;
        q.things[0].operation = Some("delete".into());
    });
    add("ddl-needs-proof-and-working-hours", &|q| {
        q.principal.assurance = 4;
        q.things[0].operation = Some("ddl".into());
        q.context.time_ms = MONDAY + 11 * 3_600_000;
    });
    add("no-secrets-in-requests", &|q| {
        q.context.request_classes = Some(vec!["secret".into()]);
    });
    add("no-secrets-to-unproven", &|q| {
        q.context.response_classes = Some(vec!["secret.aws.key".into()]);
    });
    add("chains-end", &|q| q.context.chain_depth = 5);
    add("self-named-servers-get-nothing-sensitive", &|q| {
        q.peer.assurance = 1;
        q.context.request_classes = Some(vec!["pii.email".into()]);
    });
    for (id, question) in &cases {
        assert_eq!(ids(&answer(&set, question)), [*id], "{question:?}");
    }
    assert_eq!(cases.len(), set.policies().len());
    let all = set.policies();
    assert!(all.iter().all(|one| one.description.is_some()));
    // Where a policy begins, as an editor counts.
    let lines: Vec<&str> = STARTER.lines().collect();
    for about in all {
        assert_eq!(lines[about.line - 1], format!("@id(\"{}\")", about.id));
        assert!(STARTER.contains(&*about.text) && about.text.ends_with(';'));
    }
}

#[test]
fn what_is_wrong_is_told_with_its_place_and_its_mend() {
    assert_eq!(
        problems("permit(principal, action, resource) when { context.sensitivity > 1 };"),
        [
            "p.cedar:1:44: unable to guarantee safety of access to optional attribute \
          `sensitivity` in context for Action::\"completion/complete\"; try testing for the attribute's presence \
          with `context has sensitivity && ..`"
        ]
    );
    for (text, words) in [
        (
            "permit(principal, action, resource)",
            "p.cedar:1:36: unexpected end of input",
        ),
        (
            "\n permit(principal, action == Action::\"tools/cal\", resource);",
            "p.cedar:2:",
        ),
        (
            "permit(principal == ?principal, action, resource);",
            "template",
        ),
        (
            "permit(principal in Pod::\"a\", action, resource);",
            "unrecognized entity type",
        ),
        (
            "@id(\"a\") permit(principal, action, resource);\n@id(\"a\") forbid(principal, action, resource);",
            "p.cedar:2:1: a policy of the id `a` is in p.cedar:1, too; give each its own `@id`",
        ),
        (
            "permit(principal, action, resource) when { principal.assurance == \"A2\" };",
            "p.cedar:1:",
        ),
    ] {
        let found = problems(text);
        assert!(
            found.iter().any(|problem| problem.contains(words)),
            "{found:#?}"
        );
    }
    let both = problems(
        "permit(principal, action, resource) when { principal.uid == 0 };\n\
         permit(principal, action, resource) when { principal.nobody };",
    );
    assert!(
        both.iter().any(|one| one.starts_with("p.cedar:1:")),
        "{both:#?}"
    );
    assert!(
        both.iter().any(|one| one.starts_with("p.cedar:2:")),
        "{both:#?}"
    );
}

#[test]
fn policies_without_an_id_are_named_by_their_place() {
    let set = set(
        "permit(principal, action, resource);\n// a\nforbid(principal == Workload::\"b\", action, resource);",
    );
    let told: Vec<_> = set
        .policies()
        .iter()
        .map(|one| (&*one.id, one.line))
        .collect();
    assert_eq!(told, [("p.cedar#0", 1), ("p.cedar#1", 3)]);
    assert_eq!(set.version().len(), 64);
}

#[test]
fn scopes_name_servers_tools_things_and_places() {
    for (scope, is_met) in [
        ("principal in Namespace::\"shop\", action, resource", true),
        ("principal in Namespace::\"other\", action, resource", false),
        (
            "principal, action in Action::\"call\", resource in Server::\"container:db\"",
            true,
        ),
        (
            "principal, action == Action::\"tools/call\", resource == Tool::\"query\"",
            true,
        ),
        (
            "principal, action in Action::\"call\", resource in Data::\"table:orders\"",
            true,
        ),
        (
            "principal, action in Action::\"call\", resource in Data::\"table:people\"",
            false,
        ),
        ("principal, action in Action::\"read\", resource", false),
        (
            "principal, action, resource is Tool in Server::\"container:db\"",
            true,
        ),
        ("principal, action, resource is Prompt", false),
        // What a server calls itself is not its name.
        (
            "principal, action in Action::\"call\", resource in Server::\"postgres\"",
            false,
        ),
    ] {
        let set = set(&format!("permit({scope});"));
        let found = answer(&set, &agent(2));
        assert_eq!(found.outcome == Outcome::Allow, is_met, "{scope}");
        // A scope that does not match is no near miss.
        assert_eq!(found.policies.len(), usize::from(is_met), "{scope}");
    }
}

#[test]
fn what_is_unknown_is_absent() {
    let set = set(STARTER);
    let question = Question {
        method: "who/knows".into(),
        ..Question::default()
    };
    let request: Value = serde_json::from_str(set.request(&question).unwrap().get()).unwrap();
    assert_eq!(request["action"]["id"], "other");
    assert_eq!(request["resource"]["type"], "Server");
    let context = request["context"].as_object().unwrap();
    for absent in [
        "request_bytes",
        "request_classes",
        "sensitivity",
        "secure_boot",
        "cluster",
    ] {
        assert!(!context.contains_key(absent), "{absent}");
    }
    assert_eq!(
        request["entities"][0]["attrs"].as_object().unwrap().len(),
        2
    );
    assert_eq!(context["weekday"], 4);
}

#[test]
fn what_is_too_large_is_not_evaluated_and_told() {
    let mut decider = Decider::new(Arc::new(set(STARTER)));
    let mut long = agent(2);
    long.target = Some("x".repeat(5_000).into());
    let mut wide = agent(2);
    wide.things = vec![Thing::default(); 65];
    let mut whole = agent(2);
    for (number, thing) in (0..64).zip(std::iter::repeat_n(Thing::default(), 64)) {
        whole.things.push(Thing {
            name: format!("{number}{}", "\u{1}".repeat(4_000)).into(),
            ..thing
        });
    }
    whole.things.truncate(64);
    for (question, words) in [
        (&long, "5000 bytes"),
        (&wide, "65 things"),
        (&whole, "a request of"),
    ] {
        let decision = decider.decide(question).unwrap();
        assert_eq!(decision.evaluated.outcome, Outcome::NotEvaluated);
        assert!(decision.request.is_none());
        assert!(
            decision.evaluated.errors[0].contains(words),
            "{:?}",
            decision.evaluated.errors
        );
    }
    assert_eq!(
        set(STARTER).request(&wide).err(),
        Some(TooLarge::Things(65))
    );
}

#[test]
fn answers_are_remembered_by_what_is_read_and_requests_are_not() {
    let mut decider = Decider::new(Arc::new(set(STARTER)));
    let mut question = agent(2);
    let first = decider.decide(&question).unwrap();
    // Nothing of the starter set reads sizes or milliseconds.
    question.context.request_bytes = Some(7);
    question.context.time_ms += 1;
    let second = decider.decide(&question).unwrap();
    assert!(Arc::ptr_eq(&first.evaluated, &second.evaluated));
    assert_ne!(
        first.request.as_ref().unwrap().get(),
        second.request.as_ref().unwrap().get()
    );
    question.context.time_ms += 3_600_000;
    assert!(!Arc::ptr_eq(
        &first.evaluated,
        &decider.decide(&question).unwrap().evaluated
    ));
    for number in 0..5_000 {
        question.principal.subject = Some(format!("{number}").into());
        let _ = decider.decide(&question);
    }
    assert!(decider.remembered() <= 2_048);
}

#[test]
fn an_answer_is_bounded() {
    let policies: String = (0..40)
        .map(|number| format!("permit(principal, action, resource) when {{ context.method != \"{number}\" && context.operations.contains(\"read\") && principal.verified && resource.peer.verified && context.encrypted && context.is_open && context.hour > 0 && context.weekday > 0 && context.chain_depth > 0 && context.kinds.contains(\"x\") }};\n"))
        .collect();
    let set = set(&policies);
    let mut question = agent(2);
    question.method = format!("a{}", "b".repeat(3_000)).into();
    let found = answer(&set, &question);
    assert_eq!((found.policies.len(), found.policies_left_out), (8, 32));
    assert_eq!(
        (found.conditions.len(), found.conditions_left_out),
        (64, 16)
    );
    assert_eq!(condition(&found, "context.method"), "\"(3003 bytes)\"");
}

#[test]
fn attributes_of_what_is_no_variable_count_as_all() {
    let set = set(
        "permit(principal, action, resource) when { (if context.encrypted then principal else principal).assurance > 1 };",
    );
    assert_eq!(set.reads, crate::walk::Reads::of(|_| true));
}

static OWN: LazyLock<cedar_policy::Schema> = LazyLock::new(|| schema().unwrap());
static ALL: LazyLock<Arc<PolicySet>> =
    LazyLock::new(|| Arc::new(set(&format!("{STARTER}{NAMED}"))));

/// The same question to Cedar itself: all policies at once, the request checked against the schema.
fn straight(set: &PolicySet, question: &Question<'_>) -> (bool, Vec<String>) {
    let schema = &*OWN;
    let request: Value = serde_json::from_str(set.request(question).unwrap().get()).unwrap();
    let uid = |name: &str| EntityUid::from_json(request[name].clone()).unwrap();
    let action = uid("action");
    let context =
        CedarContext::from_json_value(request["context"].clone(), Some((schema, &action))).unwrap();
    let entities = Entities::from_json_value(request["entities"].clone(), Some(schema)).unwrap();
    let all = set.policies().iter().map(|about| about.policy.clone());
    let all = cedar_policy::PolicySet::from_policies(all).unwrap();
    let request = Request::new(
        uid("principal"),
        action,
        uid("resource"),
        context,
        Some(schema),
    )
    .unwrap();
    let answer = Authorizer::new().is_authorized(&request, &all, &entities);
    assert_eq!(answer.diagnostics().errors().count(), 0);
    let mut reasons: Vec<String> = answer
        .diagnostics()
        .reason()
        .map(|id| AsRef::<str>::as_ref(id).to_owned())
        .collect();
    reasons.sort();
    (answer.decision() == Decision::Allow, reasons)
}

/// More policies, by names.
const NAMED: &str = r#"
@id("n1") forbid(principal in Namespace::"a", action, resource in Server::"a") when { context.hour > 12 };
@id("n2") permit(principal, action, resource in Data::"table:a");
@id("n3") permit(principal == Workload::"b", action in Action::"read", resource is Resource in Server::"b");
@id("n4") forbid(principal, action == Action::"tools/call", resource == Tool::"b") when { principal has uid && principal.uid == 0 };
@id("n5") permit(principal, action, resource) when { context has request_bytes && context.request_bytes > 100 } unless { resource.peer has name };
@id("n6") forbid(principal, action, resource) when { resource has uri && resource.uri like "a*" && context.unclassified };
@id("n7") forbid(principal, action, resource) when { context has secure_boot && !context.secure_boot && context.chain_depth + context.weekday > 9 };
"#;

fn name() -> impl Strategy<Value = String> {
    prop_oneof![4 => select(vec!["a", "b", "c"]).prop_map(str::to_owned), 1 => "\\PC{0,3}", 1 => any::<String>()]
}

prop_compose! {
    fn thing()(
        kind in select(vec!["table", "file"]), name in name(), sensitivity in option::of(0u8..4),
        operation in option::of(select(vec!["select", "insert", "ddl", "read"])),
    ) -> Thing<'static> {
        Thing { kind: kind.into(), name: name.into(), sensitivity, operation: operation.map(Into::into) }
    }
}

prop_compose! {
    fn question()(
        method in select(vec!["tools/call", "resources/read", "prompts/get", "tools/list", "ping", "sampling/createMessage", "x"]),
        from_server in any::<bool>(), target in option::of(name()), subject in option::of(name()),
        assurance in 0u8..5, namespace in option::of(name()), account in option::of(name()), uid in option::of(0u32..2),
        peer in option::of(name()), claimed in option::of(name()), peer_assurance in 0u8..5,
    )(
        method in Just(method), from_server in Just(from_server), target in Just(target), subject in Just(subject),
        assurance in Just(assurance), namespace in Just(namespace), account in Just(account), uid in Just(uid),
        peer in Just(peer), claimed in Just(claimed), peer_assurance in Just(peer_assurance),
        things in proptest::collection::vec(thing(), 0..4), bytes in option::of(0u64..200),
        classes in option::of(proptest::collection::vec(select(vec!["secret.a", "pii.email", "x"]), 0..3)),
        time_ms in 0u64..604_800_000, secure_boot in option::of(any::<bool>()), chain_depth in 0u8..7,
    ) -> Question<'static> {
        let text = |text: Option<String>| text.map(Into::into);
        Question {
            method: method.into(),
            direction: if from_server { Direction::ServerToClient } else { Direction::ClientToServer },
            target: text(target),
            principal: Principal {
                subject: text(subject), assurance, namespace: text(namespace), service_account: text(account), uid,
                ..Principal::default()
            },
            peer: Peer { subject: text(peer), name: text(claimed), assurance: peer_assurance, verified: false },
            things,
            context: Context {
                request_bytes: bytes, time_ms, secure_boot, chain_depth,
                request_classes: classes.map(|all| all.into_iter().map(Into::into).collect()),
                ..Context::default()
            },
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn slices_and_memory_change_no_answer(questions in proptest::collection::vec(question(), 1..20)) {
        let set = &*ALL;
        let mut decider = Decider::new(Arc::clone(set));
        for question in questions.iter().chain(&questions) {
            let (is_allowed, reasons) = straight(set, question);
            let found = decider.decide(question).unwrap();
            prop_assert_eq!(found.evaluated.outcome == Outcome::Allow, is_allowed);
            prop_assert!(found.evaluated.outcome != Outcome::NotEvaluated, "{:?}", found.evaluated.errors);
            if found.evaluated.reason == Reason::NoPolicyPermits {
                prop_assert!(reasons.is_empty());
            } else {
                prop_assert_eq!(ids(&found.evaluated), reasons);
            }
        }
    }

    /// The short way to Cedar's values leads to the same as Cedar's own reader.
    #[test]
    fn values_are_those_of_cedars_own_reader(question in question()) {
        let request: serde_json::Value = serde_json::from_str(ALL.request(&question).unwrap().get()).unwrap();
        let all = Members::default();
        let context = crate::values::context(&request["context"], &all).unwrap();
        prop_assert_eq!(context, cedar_policy::Context::from_json_value(request["context"].clone(), None).unwrap());
        let entities = ALL.types.entities(&request["entities"], &all).unwrap();
        prop_assert_eq!(entities, cedar_policy::Entities::from_json_value(request["entities"].clone(), None).unwrap());
        for name in ["principal", "action", "resource"] {
            let uid = ALL.types.uid(&request[name]).unwrap();
            prop_assert_eq!(uid, cedar_policy::EntityUid::from_json(request[name].clone()).unwrap());
        }
    }

    /// What stands in an event may have been changed: a broken request is an error, and an answer keeps its bounds.
    #[test]
    fn a_damaged_request_is_refused_or_answered(
        question in question(),
        damages in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 0..6),
        cut in proptest::option::of(any::<proptest::sample::Index>()),
    ) {
        let mut request = ALL.request(&question).unwrap().get().as_bytes().to_vec();
        for (at, byte) in damages {
            let at = at.index(request.len());
            request[at] = byte;
        }
        if let Some(cut) = cut {
            request.truncate(cut.index(request.len()));
        }
        if let Ok(evaluated) = ALL.evaluate(&String::from_utf8_lossy(&request)) {
            prop_assert!(evaluated.policies.len() <= POLICIES_NAMED && evaluated.conditions.len() <= CONDITIONS);
            prop_assert!(evaluated.conditions.iter().all(|one| one.value.get().len() <= VALUE));
        }
    }
}
