//! What the content of an interaction says: which things it names, what came back. The content itself ends here.
//!
//! Holds what servers said of their tools, bounded by [`Tools`].

use std::sync::Arc;

use auditor_resource::{Call, Catalogue, Declared, Level, Returned, Rules};

use super::{
    event::Party,
    tools::{Tool, Tools},
};
use crate::mcp::{Direction, Interaction, Outcome, Peer, Stage};

/// What is known of names: rules and catalogue. Replaced as a whole when the configuration is read again.
#[derive(Clone, Debug, Default)]
pub struct Names {
    /// What arguments of tools name.
    pub rules: Rules,
    /// How sensitive things are.
    pub catalogue: Catalogue,
}

/// Reads contents.
#[derive(Default)]
pub(super) struct Contents {
    names: Arc<Names>,
    tools: Tools,
}

/// What the content of an interaction says.
#[derive(Clone, Debug, Default)]
pub struct Content {
    /// What the request names.
    pub declared: Declared,
    /// What the answer brought.
    pub returned: Option<Returned>,
    /// The tool, as its server described it.
    pub tool: Option<Tool>,
}

impl Content {
    /// The highest sensitivity of what is named.
    pub fn level(&self) -> Option<Level> {
        let resources = self.declared.resources.iter();
        let levels = resources.filter_map(|one| Some(one.sensitivity.as_ref()?.level));
        levels.max()
    }
}

impl Contents {
    pub(super) fn set_names(&mut self, names: Arc<Names>) {
        self.names = names;
    }

    /// Reads an interaction; `server` is its server's end.
    pub(super) fn read(&mut self, interaction: &Interaction, server: &Party) -> Content {
        let Some(method) = interaction.method.as_deref() else {
            return Content::default();
        };
        let names = names(interaction.session.server_info.as_ref(), server);
        let key = names.join("\n");
        let body =
            |part: &Option<crate::mcp::Part>| part.as_ref().and_then(|part| part.body.clone());
        let (request, response) = (body(&interaction.request), body(&interaction.response));
        if let Some(answer) = response.as_deref()
            && method == "tools/list"
            && interaction.outcome == Outcome::Success
            && interaction.stage == Stage::Final
        {
            self.tools.handle_list(&key, answer);
        }
        let target = interaction.target.as_deref();
        let tool = target
            .filter(|_| method == "tools/call")
            .and_then(|tool| self.tools.get(&key, tool))
            .cloned();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let is_call = interaction.direction == Direction::ClientToServer;
        let declared = if is_call {
            let call = Call {
                servers: &names,
                method,
                target,
                message: request.as_deref().unwrap_or_default(),
                formats: tool.as_ref().map_or(&[], |tool| &tool.formats),
            };
            Declared::read(&call, &self.names.rules, &self.names.catalogue)
        } else {
            Declared::default()
        };
        let brings = matches!(method, "tools/call" | "resources/read" | "prompts/get");
        Content {
            declared,
            returned: response
                .filter(|_| brings)
                .and_then(|answer| Returned::read(&answer)),
            tool,
        }
    }
}

/// The names that a server goes by, what it calls itself first: its own, its package's, its script's, its program's.
fn names(info: Option<&Peer>, server: &Party) -> Vec<String> {
    let process = server.process.as_deref();
    let program = process.and_then(|process| process.program.as_deref());
    let package = program.and_then(|program| program.package.as_deref());
    let script = program.and_then(|program| program.script.as_deref());
    let file = script.or_else(|| process.and_then(|process| process.exe.as_deref()));
    let file = file.and_then(|path| path.rsplit('/').next());
    let names = [info.map(|info| info.name.as_str()), package, file];
    names
        .into_iter()
        .flatten()
        .filter(|name| !name.is_empty())
        .map(Into::into)
        .collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;

    use super::*;
    use crate::{
        audit::{Auditor, Settings, tests},
        key::Time,
        mcp::Session,
    };

    fn auditor() -> Auditor {
        let mut auditor = Auditor::new(Settings::default());
        auditor.set_names(Arc::new(Names {
            rules: Rules::built_in().unwrap(),
            catalogue: Catalogue::built_in().unwrap(),
        }));
        auditor
    }

    fn call(method: &str, target: Option<&str>, request: &str, response: &str) -> Interaction {
        let mut interaction = tests::call();
        interaction.session = Arc::new(Session {
            server_info: Some(Peer {
                name: "sqlite".into(),
                version: "1".into(),
            }),
            ..(*interaction.session).clone()
        });
        interaction.method = Some(method.into());
        interaction.target = target.map(Into::into);
        for (part, text) in [
            (&mut interaction.request, request),
            (&mut interaction.response, response),
        ] {
            part.as_mut().unwrap().body = Some(Bytes::copy_from_slice(text.as_bytes()));
        }
        interaction
    }

    fn event(auditor: &mut Auditor, interaction: Interaction) -> serde_json::Value {
        let event = auditor.audit(interaction, &tests::Host, Time(1_800_000_001_000_000_000));
        assert!(event.interaction.request.as_ref().unwrap().body.is_none());
        let mut out = Vec::new();
        event.write_json(&mut out);
        serde_json::from_slice(&out).unwrap()
    }

    #[test]
    fn a_call_is_told_by_what_it_touches_and_what_came_back() {
        let mut auditor = auditor();
        let request = r#"{"params":{"name":"write_query","arguments":{"query":"DELETE FROM customers WHERE name = 'Ann'"}}}"#;
        let response =
            r#"{"result":{"content":[{"type":"text","text":"[{\"affected_rows\": 1}]"}]}}"#;
        let event = event(
            &mut auditor,
            call("tools/call", Some("write_query"), request, response),
        );
        assert_eq!(event["activity_id"], 4);
        assert_eq!(event["resources"][0]["type"], "tool");
        assert_eq!(event["resources"][1]["name"], "customers");
        assert_eq!(
            event["resources"][1]["data_classifications"][0]["confidentiality_id"],
            2
        );
        let mcp = &event["unmapped"]["mcp"];
        assert_eq!(mcp["query"]["type"], "delete");
        assert_eq!(mcp["resources"][1]["operation"], "delete");
        assert_eq!(mcp["sensitivity"], "confidential");
        assert_eq!(mcp["result"]["rows"], 1);
        assert!(!event.to_string().contains("Ann"));
    }

    #[test]
    fn what_a_server_said_of_a_tool_is_told_with_its_calls() {
        let mut auditor = auditor();
        let list = r#"{"result":{"tools":[{"name":"get","annotations":{"readOnlyHint":true},
            "inputSchema":{"properties":{"where":{"format":"uri"}}}}]}}"#;
        event(&mut auditor, call("tools/list", None, "{}", list));
        let request = r#"{"params":{"name":"get","arguments":{"where":"https://e.com/a?b=c"}}}"#;
        let event = event(&mut auditor, call("tools/call", Some("get"), request, "{}"));
        let mcp = &event["unmapped"]["mcp"];
        assert_eq!(mcp["tool"]["read_only"], true);
        assert_eq!(mcp["resources"][1]["basis"], "schema");
        assert_eq!(mcp["resources"][1]["name"], "https://e.com/a");
    }
}
