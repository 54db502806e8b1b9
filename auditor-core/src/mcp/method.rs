//! The methods of every MCP revision: who sends them, what they act on, what they prove.
//!
//! A table, checked against the published schemas 2024-11-05 to 2026-07-28 and the tasks
//! extension (SEP-2663). It says nothing about what a program may send beyond it.

/// Which of the two roles sends a method.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) enum Sender {
    /// The MCP client.
    Client,
    /// The MCP server.
    Server,
    /// Either of them.
    Either,
}

/// Where in `params` the target is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Target {
    /// There is none.
    None,
    /// `params.name`.
    Name,
    /// `params.uri`.
    Uri,
    /// `params.ref.name`, else `params.ref.uri`.
    Reference,
    /// `params.taskId`.
    Task,
    /// `params.level`.
    Level,
}

/// What the use of a method says about a session.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Proof {
    /// Only MCP has it: the session is MCP.
    Strong,
    /// Other protocols have it too: says nothing on its own.
    Weak,
    /// `initialize`, which LSP and ACP share: MCP's has a date as `params.protocolVersion`.
    Initialize,
}

/// One method.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Method {
    /// Its name.
    pub(crate) name: &'static str,
    /// Who sends it.
    pub(crate) sender: Sender,
    /// Where its target is.
    pub(crate) target: Target,
    /// What it proves.
    pub(crate) proof: Proof,
    /// Revisions that have it, first and last.
    pub(crate) revisions: (&'static str, &'static str),
}

const FIRST: &str = "2024-11-05";
const LAST: &str = "2026-07-28";

const fn method(
    name: &'static str,
    sender: Sender,
    target: Target,
    proof: Proof,
    revisions: (&'static str, &'static str),
) -> Method {
    Method {
        name,
        sender,
        target,
        proof,
        revisions,
    }
}

use Proof::{Initialize, Strong, Weak};
use Sender::{Client, Either, Server};

/// Every method, sorted by name.
#[rustfmt::skip]
const METHODS: &[Method] = &[
    method("completion/complete", Client, Target::Reference, Strong, (FIRST, LAST)),
    method("elicitation/create", Server, Target::None, Strong, ("2025-06-18", LAST)),
    method("initialize", Client, Target::None, Initialize, (FIRST, "2025-11-25")),
    method("logging/setLevel", Client, Target::Level, Strong, (FIRST, "2025-11-25")),
    method("notifications/cancelled", Either, Target::None, Strong, (FIRST, LAST)),
    method("notifications/elicitation/complete", Server, Target::None, Strong, ("2025-11-25", "2025-11-25")),
    method("notifications/initialized", Client, Target::None, Strong, (FIRST, "2025-11-25")),
    method("notifications/message", Server, Target::None, Strong, (FIRST, LAST)),
    method("notifications/progress", Either, Target::None, Strong, (FIRST, LAST)),
    method("notifications/prompts/list_changed", Server, Target::None, Strong, (FIRST, LAST)),
    method("notifications/resources/list_changed", Server, Target::None, Strong, (FIRST, LAST)),
    method("notifications/resources/updated", Server, Target::Uri, Strong, (FIRST, LAST)),
    method("notifications/roots/list_changed", Client, Target::None, Strong, (FIRST, "2025-11-25")),
    method("notifications/subscriptions/acknowledged", Server, Target::None, Strong, (LAST, LAST)),
    method("notifications/tasks", Server, Target::Task, Strong, (LAST, LAST)),
    method("notifications/tasks/status", Either, Target::Task, Strong, ("2025-11-25", "2025-11-25")),
    method("notifications/tools/list_changed", Server, Target::None, Strong, (FIRST, LAST)),
    method("ping", Either, Target::None, Weak, (FIRST, "2025-11-25")),
    method("prompts/get", Client, Target::Name, Strong, (FIRST, LAST)),
    method("prompts/list", Client, Target::None, Strong, (FIRST, LAST)),
    method("resources/list", Client, Target::None, Strong, (FIRST, LAST)),
    method("resources/read", Client, Target::Uri, Strong, (FIRST, LAST)),
    method("resources/subscribe", Client, Target::Uri, Strong, (FIRST, "2025-11-25")),
    method("resources/templates/list", Client, Target::None, Strong, (FIRST, LAST)),
    method("resources/unsubscribe", Client, Target::Uri, Strong, (FIRST, "2025-11-25")),
    method("roots/list", Server, Target::None, Strong, (FIRST, LAST)),
    method("sampling/createMessage", Server, Target::None, Strong, (FIRST, LAST)),
    method("server/discover", Client, Target::None, Strong, (LAST, LAST)),
    method("subscriptions/listen", Client, Target::None, Strong, (LAST, LAST)),
    // A2A has tasks/get and tasks/cancel too, so the family proves nothing.
    method("tasks/cancel", Either, Target::Task, Weak, ("2025-11-25", LAST)),
    method("tasks/get", Either, Target::Task, Weak, ("2025-11-25", LAST)),
    method("tasks/list", Either, Target::None, Weak, ("2025-11-25", "2025-11-25")),
    method("tasks/result", Either, Target::Task, Weak, ("2025-11-25", "2025-11-25")),
    method("tasks/update", Client, Target::Task, Weak, (LAST, LAST)),
    method("tools/call", Client, Target::Name, Strong, (FIRST, LAST)),
    method("tools/list", Client, Target::None, Strong, (FIRST, LAST)),
];

/// The method of this name, if any revision has it.
pub(crate) fn find(name: &str) -> Option<&'static Method> {
    METHODS
        .binary_search_by(|method| method.name.cmp(name))
        .ok()
        .and_then(|at| METHODS.get(at))
}

/// Whether a method of this name is a notification whatever else its message holds.
pub(crate) fn is_notification(name: &str) -> bool {
    name.starts_with("notifications/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_method_is_found_by_name() {
        assert!(METHODS.is_sorted_by(|a, b| a.name < b.name));
        assert!(
            METHODS
                .iter()
                .all(|method| find(method.name) == Some(method))
        );
        assert_eq!(find("textDocument/hover"), None);
    }

    #[test]
    fn revisions_are_in_order() {
        assert!(
            METHODS
                .iter()
                .all(|method| method.revisions.0 <= method.revisions.1)
        );
    }
}
