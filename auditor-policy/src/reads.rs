//! Which attributes a policy reads, off its JSON form.
//!
//! What cannot be told for sure counts as everything. Bound: [`DEPTH`] levels of an expression.

use std::collections::BTreeSet;

use serde_json::Value;

/// Deepest expression that is looked into.
const DEPTH: usize = 128;

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
