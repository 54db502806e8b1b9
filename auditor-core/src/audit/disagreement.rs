//! Where the policy and the server disagree: what is forbidden was done, or what is permitted was refused.
//!
//! Each case (who, which tool, which policies) is told once. Bound: [`KNOWN`] cases remembered.

use std::{collections::VecDeque, sync::Arc};

use super::{
    decision::{Decision, Outcome},
    event::AuditEvent,
    observed::{Observed, Verdict},
};
use crate::{
    identity::{Finding, FindingKind, Use},
    mcp::{Direction, Stage},
    memory::Memory,
};

/// Cases remembered.
const KNOWN: usize = 16_384;

/// Who, what, and which policies, and whether the policy forbade it.
type Case = (Option<String>, Option<String>, Vec<Arc<str>>, bool);

/// Compares what was decided with what was done.
#[derive(Debug, Default)]
pub(super) struct Disagreements {
    told: Memory<Case, (), KNOWN>,
    found: VecDeque<Finding>,
}

impl Disagreements {
    /// Takes an event that is over.
    pub(super) fn handle(&mut self, event: &AuditEvent) {
        let (Some(decision), Some(observed)) = (&event.decision, &event.observed) else {
            return;
        };
        let Some(kind) =
            judge(decision, observed).filter(|_| event.interaction.stage == Stage::Final)
        else {
            return;
        };
        let (party, identity) = match event.interaction.direction {
            Direction::ClientToServer => (&event.client, &event.client_identity),
            Direction::ServerToClient => (&event.server, &event.server_identity),
        };
        let Some(process) = &party.process else {
            return;
        };
        let policies: Vec<_> = decision
            .evaluated
            .policies
            .iter()
            .map(|one| Arc::clone(&one.id))
            .collect();
        let case = (
            identity
                .as_ref()
                .and_then(|identity| identity.subject.clone()),
            event
                .interaction
                .target
                .clone()
                .or_else(|| event.interaction.method.clone()),
            policies.clone(),
            kind == FindingKind::ForbiddenAndDone,
        );
        if self.told.get(&case).is_some() {
            return;
        }
        self.told.insert(case, ());
        self.found.push_back(Finding {
            kind,
            secret: None,
            first: None,
            second: Use {
                time: event.time(),
                interaction: event.interaction.id,
                process: Arc::clone(process),
                identity: identity.clone(),
            },
            policies,
        });
    }

    /// The next finding.
    #[must_use]
    pub(super) fn poll(&mut self) -> Option<Finding> {
        self.found.pop_front()
    }
}

fn judge(decision: &Decision, observed: &Observed) -> Option<FindingKind> {
    match (decision.evaluated.outcome, observed.verdict) {
        (Outcome::Deny, Verdict::Allowed) => Some(FindingKind::ForbiddenAndDone),
        (Outcome::Allow, Verdict::Denied) => Some(FindingKind::PermittedAndRefused),
        _ => None,
    }
}
