//! The policies that can have a say, by action and by what their scope names as resource.
//!
//! A policy is evaluated only where its scope can match: by a table, not by a walk over all of them. Each slice is
//! evaluated alone and the answers joined, which is what Cedar does with the whole: a forbid wins, else a permit is needed.

use std::collections::HashMap;

use cedar_policy::{
    ActionConstraint, EntityUid, Policy, PolicyId, PolicySet as Cedar, PrincipalConstraint,
    ResourceConstraint,
};
use serde_json::json;

use crate::{actions::Actions, set::About};

/// Slices of a policy set.
#[derive(Clone, Debug, Default)]
pub(crate) struct Slices(HashMap<String, OfAction>);

/// The policies for one action.
#[derive(Clone, Debug, Default)]
pub(crate) struct OfAction {
    /// Those that name no resource.
    pub(crate) general: Cedar,
    /// Those that name one.
    pub(crate) named: HashMap<EntityUid, Cedar>,
}

impl Slices {
    /// Sorts policies into slices.
    pub(crate) fn of(policies: &[About], actions: &Actions) -> Self {
        let bare: Vec<_> = policies.iter().map(|about| bare(&about.policy)).collect();
        let slices = actions.ids().map(|(id, groups)| {
            let mut slice = OfAction::default();
            for (about, bare) in policies.iter().zip(&bare) {
                if !is_for(&about.policy.action_constraint(), id, groups) {
                    continue;
                }
                let set = match about.policy.resource_constraint() {
                    ResourceConstraint::Any | ResourceConstraint::Is(_) => &mut slice.general,
                    ResourceConstraint::In(uid)
                    | ResourceConstraint::Eq(uid)
                    | ResourceConstraint::IsIn(_, uid) => slice.named.entry(uid).or_default(),
                };
                // Ids were made sure to differ, and these are no templates.
                let _ = set.add(bare.clone());
            }
            (id.to_owned(), slice)
        });
        Self(slices.collect())
    }

    /// The policies for an action, where it is one.
    pub(crate) fn of_action(&self, id: &str) -> Option<&OfAction> {
        self.0.get(id)
    }
}

/// A policy without the parts of its scope that are true wherever its slice is asked: Cedar builds and evaluates them anew
/// each time.
fn bare(policy: &Policy) -> Policy {
    let Ok(mut json) = policy.to_json() else {
        return policy.clone();
    };
    let all = || json!({"op": "All"});
    if let Some(action) = json.get_mut("action") {
        *action = all();
    }
    if let (ResourceConstraint::In(_), Some(resource)) =
        (policy.resource_constraint(), json.get_mut("resource"))
    {
        *resource = all();
    }
    Policy::from_json(Some(policy.id().clone()), json).unwrap_or_else(|_| policy.clone())
}

/// Whether a scope takes an action.
fn is_for(constraint: &ActionConstraint, id: &str, groups: &[String]) -> bool {
    let is = |uid: &EntityUid| {
        let named = uid.id().unescaped();
        named == id || groups.iter().any(|group| group == named)
    };
    match constraint {
        ActionConstraint::Any => true,
        ActionConstraint::In(uids) => uids.iter().any(is),
        ActionConstraint::Eq(uid) => uid.id().unescaped() == id,
    }
}

/// Whether a policy's scope takes principal and resource, told with all that they are in.
pub(crate) fn is_in_scope(about: &About, principal: &[EntityUid], resource: &[EntityUid]) -> bool {
    let of = |kind: &cedar_policy::EntityTypeName, all: &[EntityUid]| {
        all.first().is_some_and(|one| one.type_name() == kind)
    };
    let is_principal = match about.policy.principal_constraint() {
        PrincipalConstraint::Any => true,
        PrincipalConstraint::In(uid) => principal.contains(&uid),
        PrincipalConstraint::Eq(uid) => principal.first() == Some(&uid),
        PrincipalConstraint::Is(kind) => of(&kind, principal),
        PrincipalConstraint::IsIn(kind, uid) => of(&kind, principal) && principal.contains(&uid),
    };
    is_principal
        && match about.policy.resource_constraint() {
            ResourceConstraint::Any => true,
            ResourceConstraint::In(uid) => resource.contains(&uid),
            ResourceConstraint::Eq(uid) => resource.first() == Some(&uid),
            ResourceConstraint::Is(kind) => of(&kind, resource),
            ResourceConstraint::IsIn(kind, uid) => of(&kind, resource) && resource.contains(&uid),
        }
}

/// Ids in a set.
pub(crate) fn ids(set: &Cedar) -> impl Iterator<Item = &PolicyId> {
    set.policies().map(Policy::id)
}
