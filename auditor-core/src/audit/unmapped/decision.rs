//! What our policy said of an event, as `unmapped.mcp.decision.evaluated` shows it.

use serde::Serialize;
use serde_json::value::RawValue;

use crate::audit::decision::{self, Determining};

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
