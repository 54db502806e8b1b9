//! Which attributes a policy reads, off its JSON form.
//!
//! What cannot be told for sure counts as everything. Bound: [`DEPTH`] levels of an expression.

use std::collections::BTreeSet;

use serde_json::Value;

/// Deepest expression that is looked into.
const DEPTH: usize = 128;

/// Which members of principal, resource and context a policy set reads; what it does not read need not be built.
#[derive(Clone, Debug, Default)]
pub(crate) struct Members(Option<BTreeSet<(String, String)>>);

impl Members {
    /// Those that any of these policies reads.
    pub(crate) fn of(policies: &[Attributes]) -> Self {
        let mut all = BTreeSet::new();
        for policy in policies {
            for path in &policy.paths {
                let mut names = path.split('.');
                match (names.next(), names.next()) {
                    (Some(variable), Some(name)) => {
                        all.insert((variable.to_owned(), name.to_owned()));
                    }
                    _ => return Self(None),
                }
            }
        }
        let is_open = policies.iter().any(|policy| policy.is_open);
        Self((!is_open).then_some(all))
    }

    /// Whether a member is read by way of one of these variables.
    pub(crate) fn has(&self, variables: &[&str], name: &str) -> bool {
        self.0.as_ref().is_none_or(|all| {
            all.iter()
                .any(|(of, one)| one == name && variables.contains(&of.as_str()))
        })
    }

    /// A copy of a record, without what is not read of it by way of these variables.
    pub(crate) fn copy(&self, record: &Value, variables: &[&str]) -> Value {
        let Value::Object(members) = record else {
            return record.clone();
        };
        let kept = members.iter().filter(|(name, _)| self.has(variables, name));
        Value::Object(
            kept.map(|(name, value)| (name.clone(), value.clone()))
                .collect(),
        )
    }

    /// A copy of entities, each with what is read of it.
    pub(crate) fn copy_entities(&self, entities: &Value) -> Value {
        let Value::Array(all) = entities else {
            return entities.clone();
        };
        let copies = all.iter().map(|entity| match entity {
            Value::Object(parts) => Value::Object(
                parts
                    .iter()
                    .map(|(name, part)| match name.as_str() {
                        "attrs" => (name.clone(), self.copy(part, &["principal", "resource"])),
                        _ => (name.clone(), part.clone()),
                    })
                    .collect(),
            ),
            other => other.clone(),
        });
        Value::Array(copies.collect())
    }
}

/// The attributes that a policy reads.
#[derive(Clone, Debug, Default)]
pub(crate) struct Attributes {
    /// Paths such as `context.request_bytes`.
    pub(crate) paths: BTreeSet<String>,
    /// Whether it may read others, too.
    pub(crate) is_open: bool,
}

impl Attributes {
    /// Those of a policy, as Cedar writes it in JSON.
    pub(crate) fn of(policy: &Value) -> Self {
        let mut found = Self::default();
        let conditions = policy.get("conditions").and_then(Value::as_array);
        for condition in conditions.into_iter().flatten() {
            match condition.get("body") {
                Some(body) => found.take(body, DEPTH),
                None => found.is_open = true,
            }
        }
        found
    }

    /// Whether an attribute may be read: by its path, as part of a record, or by one of its members.
    pub(crate) fn may_read(&self, path: &str) -> bool {
        let within = |long: &str, short: &str| {
            long.strip_prefix(short)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        self.is_open
            || self
                .paths
                .iter()
                .any(|read| within(path, read) || within(read, path))
    }

    fn take(&mut self, expression: &Value, depth: usize) {
        let single = expression
            .as_object()
            .filter(|one| one.len() == 1)
            .and_then(|one| one.iter().next());
        let (Some((operator, inside)), Some(depth)) = (single, depth.checked_sub(1)) else {
            self.is_open = true;
            return;
        };
        match operator.as_str() {
            "Value" | "Slot" => {}
            // Compared as a whole; of principal, action and resource only the uid is.
            "Var" if inside == "context" => {
                self.paths.insert("context".to_owned());
            }
            "Var" => {}
            "." | "has" => self.access(inside, depth),
            "like" => self.members(inside, &["left"], depth),
            "is" => self.members(inside, &["left", "in"], depth),
            "if-then-else" => self.members(inside, &["if", "then", "else"], depth),
            _ => self.all(inside, depth),
        }
    }

    /// `left` and then an attribute, which may be of an attribute.
    fn access(&mut self, access: &Value, depth: usize) {
        let mut names = Vec::new();
        let mut access = access;
        for _ in 0..depth {
            match access.get("attr") {
                Some(Value::String(name)) => names.push(name.as_str()),
                _ => break,
            }
            let Some(left) = access.get("left") else {
                break;
            };
            if let Some(Value::String(variable)) = left.get("Var") {
                names.push(variable);
                names.reverse();
                self.paths.insert(names.join("."));
                return;
            }
            match left.get(".") {
                Some(next) => access = next,
                None => break,
            }
        }
        // An attribute of something else than a variable.
        self.is_open = true;
        if let Some(left) = access.get("left") {
            self.take(left, depth);
        }
    }

    fn members(&mut self, inside: &Value, names: &[&str], depth: usize) {
        for part in names.iter().filter_map(|name| inside.get(name)) {
            self.take(part, depth);
        }
    }

    fn all(&mut self, inside: &Value, depth: usize) {
        match inside {
            Value::Object(parts) => parts.values().for_each(|part| self.take(part, depth)),
            Value::Array(parts) => parts.iter().for_each(|part| self.take(part, depth)),
            _ => self.is_open = true,
        }
    }
}
