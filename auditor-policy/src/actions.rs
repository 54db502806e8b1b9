//! Which action of the schema a method is, and what it acts on.

use std::collections::HashMap;

use cedar_policy::Schema;

/// The action of what the schema does not name.
const OTHER: &str = "other";

/// The actions of the schema.
#[derive(Clone, Debug, Default)]
pub(crate) struct Actions(HashMap<String, Action>);

#[derive(Clone, Debug, Default)]
struct Action {
    /// The groups that it is in.
    groups: Vec<String>,
    /// Types of what it acts on.
    resources: Vec<String>,
}

impl Actions {
    /// Those of a schema.
    pub(crate) fn of_schema(schema: &Schema) -> Self {
        let entities = schema.action_entities().ok();
        let actions = schema.actions().map(|uid| {
            let ancestors = entities.as_ref().and_then(|all| all.ancestors(uid));
            let mut groups: Vec<String> = ancestors
                .into_iter()
                .flatten()
                .map(|one| one.id().unescaped().to_owned())
                .collect();
            groups.sort();
            let resources = schema.resources_for_action(uid);
            let resources = resources.into_iter().flatten().map(ToString::to_string);
            let action = Action {
                groups,
                resources: resources.collect(),
            };
            (uid.id().unescaped().to_owned(), action)
        });
        Self(actions.collect())
    }

    /// Ids of all actions that something can be.
    pub(crate) fn ids(&self) -> impl Iterator<Item = (&str, &[String])> {
        let all = self.0.iter().filter(|(_, one)| !one.resources.is_empty());
        all.map(|(id, one)| (&**id, &*one.groups))
    }

    /// The action of a method, its groups, and the type of what it acts on.
    pub(crate) fn of(&self, method: &str, from_server: bool) -> (&str, &[String], &'static str) {
        let resource = match method {
            _ if from_server => "Client",
            "tools/call" => "Tool",
            "prompts/get" => "Prompt",
            "resources/read" | "resources/subscribe" | "resources/unsubscribe" => "Resource",
            _ => "Server",
        };
        let name = if method.starts_with("notifications/") {
            "notifications"
        } else {
            method
        };
        match self.0.get_key_value(name) {
            Some((id, one)) if one.resources.iter().any(|kind| kind == resource) => {
                (id, &one.groups, resource)
            }
            _ => (OTHER, &[], if from_server { "Client" } else { "Server" }),
        }
    }
}
