//! A logged request's JSON as Cedar's values: plain texts, numbers, truths, sets and records without the detour of
//! Cedar's own reader, which tries each form that a value may have and takes four times as long.
//!
//! Says nothing of other forms (`__entity`, `__extn`, tags) and of what is wrong: that is left to Cedar's reader. Bound:
//! [`DEPTH`] levels.

use std::{
    collections::{HashMap, HashSet},
    str::FromStr as _,
};

use cedar_policy::{
    Context, Entities, Entity, EntityId, EntityTypeName, EntityUid, RestrictedExpression, Schema,
};
use serde_json::{Map, Value};

use crate::reads::Members;

/// Deepest value that is read here.
const DEPTH: usize = 16;

/// The types of entities that the schema names, which are read once.
#[derive(Clone, Debug, Default)]
pub(crate) struct Types(HashMap<String, EntityTypeName>);

impl Types {
    /// Those of a schema.
    pub(crate) fn of_schema(schema: &Schema) -> Self {
        let action = EntityTypeName::from_str("Action").ok();
        let all = schema.entity_types().cloned().chain(action);
        Self(all.map(|one| (one.to_string(), one)).collect())
    }

    /// An entity's uid; `None` where Cedar's reader is to be asked.
    pub(crate) fn uid(&self, value: &Value) -> Option<EntityUid> {
        let parts = value.as_object().filter(|parts| parts.len() == 2)?;
        let kind = self.0.get(parts.get("type")?.as_str()?)?;
        let id = EntityId::new(parts.get("id")?.as_str()?);
        Some(EntityUid::from_type_name_and_id(kind.clone(), id))
    }

    /// Entities, each with the attributes that are read.
    pub(crate) fn entities(&self, value: &Value, members: &Members) -> Option<Entities> {
        let each = value.as_array()?.iter();
        let all: Option<Vec<_>> = each.map(|one| self.entity(one, members)).collect();
        Entities::from_entities(all?, None).ok()
    }

    fn entity(&self, value: &Value, members: &Members) -> Option<Entity> {
        let parts = value.as_object().filter(|parts| parts.len() == 3)?;
        let attributes = parts.get("attrs")?.as_object()?;
        let parents = parts.get("parents")?.as_array()?;
        let parents: Option<HashSet<_>> = parents.iter().map(|one| self.uid(one)).collect();
        let attributes = record(attributes, members, &["principal", "resource"])?;
        Entity::new(
            self.uid(parts.get("uid")?)?,
            attributes.into_iter().collect(),
            parents?,
        )
        .ok()
    }
}

/// The context, with the members that are read.
pub(crate) fn context(value: &Value, members: &Members) -> Option<Context> {
    let pairs = record(value.as_object()?, members, &["context"])?;
    Context::from_pairs(pairs).ok()
}

fn record(
    record: &Map<String, Value>,
    members: &Members,
    variables: &[&str],
) -> Option<Vec<(String, RestrictedExpression)>> {
    let mut pairs = Vec::with_capacity(record.len());
    for (name, value) in record {
        // Whatever is not read: an escape such as `__entity` says what the whole record is.
        if name.starts_with("__") {
            return None;
        }
        if members.has(variables, name) {
            pairs.push((name.clone(), expression(value, DEPTH)?));
        }
    }
    Some(pairs)
}

fn expression(value: &Value, depth: usize) -> Option<RestrictedExpression> {
    let depth = depth.checked_sub(1)?;
    Some(match value {
        Value::Bool(value) => RestrictedExpression::new_bool(*value),
        Value::Number(value) => RestrictedExpression::new_long(value.as_i64()?),
        Value::String(value) => RestrictedExpression::new_string(value.clone()),
        Value::Array(values) => {
            let each: Option<Vec<_>> = values.iter().map(|one| expression(one, depth)).collect();
            RestrictedExpression::new_set(each?)
        }
        Value::Object(record) => {
            if record.keys().any(|name| name.starts_with("__")) {
                return None;
            }
            let each = record
                .iter()
                .map(|(name, value)| Some((name.clone(), expression(value, depth)?)));
            RestrictedExpression::new_record(each.collect::<Option<Vec<_>>>()?).ok()?
        }
        Value::Null => return None,
    })
}
