//! What is kept of the values that belong to no class.
//!
//! Every body has more in it than rules can know, so nothing is kept unless said so: the default
//! keeps what the protocol itself writes (methods, ids, names of tools, types) and replaces every
//! other value by its type, length and fingerprint. `hash` rather than `mask`, because equal
//! values can then be followed through the log without being shown.

/// What becomes of a value that belongs to no class.
#[derive(Clone, Copy, Debug, Eq, PartialEq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// It stays.
    Keep,
    /// Its type and, of a string, its length in bytes stay.
    Mask,
    /// As `Mask`, and a keyed fingerprint; of a boolean none, as two values are soon told apart.
    Hash,
    /// The member is left out; an element becomes `null`, so that the others keep their places.
    Drop,
}

/// Members that the protocol writes and that name no one; `*` stands for one step.
const STRUCTURE: &[&str] = &[
    "/jsonrpc",
    "/id",
    "/method",
    "/error/code",
    "/params/name",
    "/params/protocolVersion",
    "/params/clientInfo/*",
    "/params/_meta/progressToken",
    "/params/requestId",
    "/params/progress",
    "/params/total",
    "/params/level",
    "/params/cursor",
    "/params/ref/type",
    "/params/argument/name",
    "/result/protocolVersion",
    "/result/serverInfo/*",
    "/result/capabilities/**",
    "/params/capabilities/**",
    "/result/isError",
    "/result/content/*/type",
    "/result/content/*/mimeType",
    "/result/contents/*/mimeType",
    "/result/tools/*/name",
    "/result/prompts/*/name",
    "/result/resources/*/mimeType",
    "/result/messages/*/role",
    "/result/messages/*/content/type",
    "/result/role",
    "/result/stopReason",
    "/result/model",
    "/params/messages/*/role",
    "/params/messages/*/content/type",
];

/// An action for the values at places of one shape.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PathRule {
    steps: Vec<Step>,
    action: Action,
}

#[derive(Clone, Debug, Eq, PartialEq)]
enum Step {
    Name(String),
    /// `*`: any one step.
    One,
    /// `**`, last: all below.
    Rest,
}

impl PathRule {
    /// `pattern` is a JSON Pointer in which a step `*` stands for any one step, and a last step
    /// `**` for all that is below.
    pub fn new(pattern: &str, action: Action) -> Self {
        let step = |step: &str| match step {
            "*" => Step::One,
            "**" => Step::Rest,
            name => Step::Name(name.replace("~1", "/").replace("~0", "~")),
        };
        Self {
            steps: pattern.split('/').skip(1).map(step).collect(),
            action,
        }
    }

    fn fits(&self, path: &[PathStep]) -> bool {
        let (steps, is_open) = match self.steps.split_last() {
            Some((Step::Rest, before)) => (before, true),
            _ => (self.steps.as_slice(), false),
        };
        let is_long_enough = if is_open {
            path.len() > steps.len()
        } else {
            path.len() == steps.len()
        };
        is_long_enough
            && steps.iter().zip(path).all(|(step, at)| match (step, at) {
                (Step::Name(name), PathStep::Key(key)) => name.as_bytes() == key.as_slice(),
                (Step::Name(name), PathStep::Index(index)) => name.parse() == Ok(*index),
                _ => true,
            })
    }
}

/// One step of the place where a redactor is.
#[derive(Clone, Debug)]
pub(crate) enum PathStep {
    Key(Vec<u8>),
    Index(u32),
}

/// What a [`Redactor`](crate::Redactor) does with values that belong to no class.
///
/// The first rule that fits decides, then the default. Values that belong to a class are replaced
/// whatever the policy says.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Policy {
    /// For values that no rule fits.
    pub default: Action,
    /// Rules, the first that fits decides.
    pub rules: Vec<PathRule>,
}

impl Default for Policy {
    /// Keeps the protocol's own members, hashes the rest.
    fn default() -> Self {
        let one = STRUCTURE
            .iter()
            .map(|pattern| PathRule::new(pattern, Action::Keep));
        // The same members of each message of a batch.
        let batch = STRUCTURE
            .iter()
            .map(|pattern| PathRule::new(&format!("/*{pattern}"), Action::Keep));
        Self {
            default: Action::Hash,
            rules: one.chain(batch).collect(),
        }
    }
}

impl Policy {
    /// Keeps all values that belong to no class.
    pub fn keep_all() -> Self {
        Self {
            default: Action::Keep,
            rules: Vec::new(),
        }
    }

    pub(crate) fn action(&self, path: &[PathStep]) -> Action {
        self.rules
            .iter()
            .find(|rule| rule.fits(path))
            .map_or(self.default, |rule| rule.action)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fits(pattern: &str, path: &[&str]) -> bool {
        let step = |step: &&str| {
            step.parse()
                .map_or_else(|_| PathStep::Key(step.as_bytes().to_vec()), PathStep::Index)
        };
        PathRule::new(pattern, Action::Keep).fits(&path.iter().map(step).collect::<Vec<_>>())
    }

    #[test]
    fn patterns_fit_whole_places() {
        assert!(fits("/a/*/b", &["a", "0", "b"]) && !fits("/a/*/b", &["a", "b"]));
        assert!(fits("/a/**", &["a", "b", "c"]) && !fits("/a/**", &["a"]));
        assert!(fits("/a~1b", &["a/b"]) && fits("/a/1", &["a", "1"]) && !fits("/a/1", &["a", "2"]));
    }
}
