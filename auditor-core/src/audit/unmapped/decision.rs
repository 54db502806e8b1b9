//! What our policy said of an event, as `unmapped.mcp.decision.evaluated` shows it.

use serde::Serialize;
use serde_json::value::RawValue;

use crate::audit::{
    decision::{self, Determining},
    event::AuditEvent,
    observed::Observed,
};

/// What was seen, and what our policy says: never mixed.
#[derive(Serialize)]
pub(super) struct DecisionView<'a> {
    observed: Option<ObservedView<'a>>,
    evaluated: Option<Evaluated<'a>>,
}

#[derive(Serialize)]
struct ObservedView<'a> {
    decision: &'static str,
    basis: &'static str,
    code: Option<i64>,
    challenge: Option<ChallengeView<'a>>,
}

#[derive(Serialize)]
struct ChallengeView<'a> {
    scheme: &'a str,
    error: Option<&'a str>,
    scope: Option<&'a str>,
}

impl<'a> DecisionView<'a> {
    pub(super) fn of(event: &'a AuditEvent) -> Self {
        let evaluated = |decision: &'a std::sync::Arc<decision::Decision>| {
            Evaluated::of(&decision.evaluated, decision.request.as_deref())
        };
        Self {
            observed: event.observed.as_ref().map(observed),
            evaluated: event.decision.as_ref().map(evaluated),
        }
    }
}

fn observed(observed: &Observed) -> ObservedView<'_> {
    ObservedView {
        decision: observed.verdict.name(),
        basis: observed.basis,
        code: observed.code,
        challenge: observed.challenge.as_ref().map(|one| ChallengeView {
            scheme: &one.scheme,
            error: one.error.as_deref(),
            scope: one.scope.as_deref(),
        }),
    }
}

/// The answer, what it rests on, and what was asked.
#[derive(Serialize)]
pub(in crate::audit) struct Evaluated<'a> {
    decision: &'static str,
    reason: &'static str,
    policies: Vec<PolicyView<'a>>,
    policies_left_out: usize,
    policy_set: &'a str,
    conditions: Vec<ConditionView<'a>>,
    conditions_left_out: usize,
    errors: &'a [String],
    request: Option<&'a RawValue>,
}

#[derive(Serialize)]
struct PolicyView<'a> {
    id: &'a str,
    effect: &'static str,
    description: Option<&'a str>,
}

#[derive(Serialize)]
struct ConditionView<'a> {
    policy: &'a str,
    attribute: &'a str,
    value: &'a RawValue,
}

impl<'a> Evaluated<'a> {
    pub(in crate::audit) fn of(
        evaluated: &'a decision::Evaluated,
        request: Option<&'a RawValue>,
    ) -> Self {
        Self {
            decision: evaluated.outcome.name(),
            reason: evaluated.reason.name(),
            policies: evaluated.policies.iter().map(policy).collect(),
            policies_left_out: evaluated.policies_left_out,
            policy_set: &evaluated.policy_set,
            conditions: evaluated
                .conditions
                .iter()
                .map(|one| ConditionView {
                    policy: &one.policy,
                    attribute: &one.attribute,
                    value: &one.value,
                })
                .collect(),
            conditions_left_out: evaluated.conditions_left_out,
            errors: &evaluated.errors,
            request,
        }
    }
}

fn policy(policy: &Determining) -> PolicyView<'_> {
    PolicyView {
        id: &policy.id,
        effect: if policy.permits { "permit" } else { "forbid" },
        description: policy.description.as_deref(),
    }
}

impl decision::Decision {
    /// This decision as `unmapped.mcp.decision.evaluated` shows it.
    pub fn view(&self) -> impl Serialize + '_ {
        Evaluated::of(&self.evaluated, self.request.as_deref())
    }
}

impl decision::Evaluated {
    /// This answer in the same words, without the request.
    pub fn view(&self) -> impl Serialize + '_ {
        Evaluated::of(self, None)
    }
}
