//! The answer to a request, and what it rests on.
//!
//! Evaluates the request as it is logged, so that whoever evaluates it again has the same before them. Bounds:
//! [`POLICIES_NAMED`], [`CONDITIONS`], [`VALUE`].

use std::{collections::BTreeSet, sync::Arc};

use auditor_core::audit::decision::{Condition, Determining, Evaluated, Outcome, Reason};
use cedar_policy::{Authorizer, Context, Decision, Entities, EntityUid, PolicyId, Request};
use serde::Deserialize;
use serde_json::{Value, value::RawValue};

use crate::{
    set::{About, PolicySet},
    slices::{ids, is_in_scope},
    values,
};

/// Most policies that an answer names.
pub const POLICIES_NAMED: usize = 8;
/// Most conditions of an answer.
pub const CONDITIONS: usize = 64;
/// Longest value of a condition, in bytes of JSON; of a longer one its length is told.
pub const VALUE: usize = 512;
/// Most errors of an answer.
const ERRORS: usize = 8;

/// Why a request cannot be evaluated.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum BadRequest {
    /// It is no JSON of this form.
    #[error("the request cannot be read: {0}")]
    Form(String),
    /// Its action is none.
    #[error("the schema has no action `{0}`")]
    Action(String),
}

/// A request as it is logged.
#[derive(Deserialize)]
struct Logged {
    principal: Value,
    action: Value,
    resource: Value,
    context: Value,
    entities: Value,
}

impl PolicySet {
    /// Evaluates a request in the words of Cedar, such as [`request`](Self::request) gives and events hold.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn evaluate(&self, request: &str) -> Result<Evaluated, BadRequest> {
        let form = |error: &dyn std::fmt::Display| BadRequest::Form(error.to_string());
        let logged: Logged = serde_json::from_str(request).map_err(|error| form(&error))?;
        let uid = |value: &Value| match self.types.uid(value) {
            Some(uid) => Ok(uid),
            None => EntityUid::from_json(value.clone()).map_err(|error| form(&error)),
        };
        let (principal, action) = (uid(&logged.principal)?, uid(&logged.action)?);
        let resource = uid(&logged.resource)?;
        let context = match values::context(&logged.context, &self.members) {
            Some(context) => context,
            None => {
                let copy = self.members.copy(&logged.context, &["context"]);
                Context::from_json_value(copy, None).map_err(|error| form(&error))?
            }
        };
        let entities = match self.types.entities(&logged.entities, &self.members) {
            Some(entities) => entities,
            None => {
                let copy = self.members.copy_entities(&logged.entities);
                Entities::from_json_value(copy, None).map_err(|error| form(&error))?
            }
        };
        let slice = self.slices.of_action(action.id().unescaped());
        let slice = slice.ok_or_else(|| BadRequest::Action(action.id().unescaped().to_owned()))?;
        let above = |uid: &EntityUid| -> Vec<EntityUid> {
            let all = entities.ancestors(uid).into_iter().flatten();
            [uid].into_iter().chain(all).cloned().collect()
        };
        let (principals, resources) = (above(&principal), above(&resource));
        let cedar = Request::new(principal, action, resource, context, None);
        let cedar = cedar.map_err(|error| form(&error))?;

        let named = resources.iter().filter_map(|uid| slice.named.get(uid));
        let sets: Vec<_> = [&slice.general].into_iter().chain(named).collect();
        let (mut permits, mut forbids) = (BTreeSet::new(), BTreeSet::new());
        let mut errors = BTreeSet::new();
        for set in &sets {
            let answer = Authorizer::new().is_authorized(&cedar, set, &entities);
            let found = match answer.decision() {
                Decision::Allow => &mut permits,
                Decision::Deny => &mut forbids,
            };
            found.extend(answer.diagnostics().reason().map(text));
            errors.extend(answer.diagnostics().errors().map(ToString::to_string));
        }
        let (outcome, reason, chosen) = if !forbids.is_empty() {
            (Outcome::Deny, Reason::Forbidden, forbids)
        } else if !permits.is_empty() {
            (Outcome::Allow, Reason::Permitted, permits)
        } else {
            let near = sets.iter().flat_map(|set| ids(set));
            let near = near.map(text).filter(|id| {
                self.policy(id)
                    .is_some_and(|one| one.permits && is_in_scope(one, &principals, &resources))
            });
            (Outcome::Deny, Reason::NoPolicyPermits, near.collect())
        };
        let mut evaluated = Evaluated {
            outcome,
            reason,
            errors: errors.into_iter().take(ERRORS).collect(),
            policy_set: Arc::clone(self.version()),
            ..Evaluated::default()
        };
        let chosen = chosen.iter().filter_map(|id| self.policy(id));
        for (number, about) in chosen.enumerate() {
            if number < POLICIES_NAMED {
                name(&mut evaluated, about, &logged);
            } else {
                evaluated.policies_left_out += 1;
            }
        }
        Ok(evaluated)
    }

    /// The answer where there is none.
    pub(crate) fn not_evaluated(&self, error: &dyn std::fmt::Display) -> Evaluated {
        Evaluated {
            errors: vec![error.to_string()],
            policy_set: Arc::clone(self.version()),
            ..Evaluated::default()
        }
    }
}

fn text(id: &PolicyId) -> String {
    let id: &str = id.as_ref();
    id.to_owned()
}

/// Names a policy in an answer, with what it read.
fn name(evaluated: &mut Evaluated, about: &About, request: &Logged) {
    evaluated.policies.push(Determining {
        id: Arc::clone(&about.id),
        permits: about.permits,
        description: about.description.clone(),
    });
    for attribute in &about.attributes {
        if evaluated.conditions.len() >= CONDITIONS {
            evaluated.conditions_left_out += 1;
            continue;
        }
        let value = value(request, attribute);
        let json = value.map_or("null".to_owned(), ToString::to_string);
        let json = if json.len() > VALUE {
            format!("\"({} bytes)\"", json.len())
        } else {
            json
        };
        // What serde_json wrote it reads, too.
        if let Ok(value) = RawValue::from_string(json) {
            evaluated.conditions.push(Condition {
                policy: Arc::clone(&about.id),
                attribute: Arc::clone(attribute),
                value,
            });
        }
    }
}

/// The value of an attribute in a request.
fn value<'a>(request: &'a Logged, attribute: &str) -> Option<&'a Value> {
    let mut names = attribute.split('.');
    let entity = |uid: &Value| {
        let entities = request.entities.as_array()?;
        let one = entities.iter().find(|one| one.get("uid") == Some(uid))?;
        one.get("attrs")
    };
    let start = match names.next()? {
        "principal" => entity(&request.principal)?,
        "action" => entity(&request.action)?,
        "resource" => entity(&request.resource)?,
        "context" => &request.context,
        _ => return None,
    };
    names.try_fold(start, |record, name| record.get(name))
}
