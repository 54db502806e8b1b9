//! OCSF `authorizations`: first what was observed on the wire, then what our policy says; never mixed.

use serde::Serialize;
use serde_json::value::RawValue;

use crate::audit::{
    decision::{Decision, Reason},
    event::AuditEvent,
    observed::Observed,
};

#[derive(Serialize)]
pub(super) struct Authorization<'a> {
    decision: &'static str,
    policy: Policy<'a>,
}

#[derive(Serialize)]
struct Policy<'a> {
    uid: &'a str,
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<&'a str>,
    /// Nothing is enforced here: the server's own decision was applied, ours never is.
    is_applied: bool,
    data: Data<'a>,
}

#[derive(Serialize)]
struct Data<'a> {
    source: &'static str,
    reason: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<i64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    conditions: Vec<Condition<'a>>,
}

#[derive(Serialize)]
struct Condition<'a> {
    policy: &'a str,
    attribute: &'a str,
    value: &'a RawValue,
}

/// `None` where neither is known.
pub(super) fn authorizations(event: &AuditEvent) -> Option<Vec<Authorization<'_>>> {
    let observed = event.observed.as_ref().map(observed);
    let evaluated = event.decision.as_deref().map(evaluated);
    let known: Vec<_> = observed.into_iter().chain(evaluated).collect();
    (!known.is_empty()).then_some(known)
}

/// OCSF `action_id` and `action`: what the server did.
pub(super) fn action(event: &AuditEvent) -> (u8, &'static str) {
    use crate::audit::observed::Verdict;
    match event.observed.as_ref().map(|observed| observed.verdict) {
        Some(Verdict::Allowed) => (1, "Allowed"),
        Some(Verdict::Denied) => (2, "Denied"),
        None => (3, "Observed"),
    }
}

fn observed(observed: &Observed) -> Authorization<'_> {
    Authorization {
        decision: observed.verdict.name(),
        policy: Policy {
            uid: "observed",
            name: "What the server did".to_owned(),
            version: None,
            is_applied: true,
            data: Data {
                source: "wire",
                reason: observed.basis,
                code: observed.code,
                conditions: Vec::new(),
            },
        },
    }
}

fn evaluated(decision: &Decision) -> Authorization<'_> {
    let evaluated = &*decision.evaluated;
    let ids: Vec<&str> = evaluated.policies.iter().map(|one| &*one.id).collect();
    let determining = evaluated.reason != Reason::NoPolicyPermits && !ids.is_empty();
    Authorization {
        decision: evaluated.outcome.name(),
        policy: Policy {
            uid: if determining {
                ids.first().copied().unwrap_or_default()
            } else {
                "default"
            },
            name: if determining {
                ids.join(", ")
            } else {
                "no policy permits it".to_owned()
            },
            version: Some(&evaluated.policy_set),
            is_applied: false,
            data: Data {
                source: "policy",
                reason: evaluated.reason.name(),
                code: None,
                conditions: evaluated
                    .conditions
                    .iter()
                    .map(|one| Condition {
                        policy: &one.policy,
                        attribute: &one.attribute,
                        value: &one.value,
                    })
                    .collect(),
            },
        },
    }
}
