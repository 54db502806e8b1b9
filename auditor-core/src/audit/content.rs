//! What the content of an interaction says: which things it names, what came back, which kinds of data it holds.
//!
//! The content itself ends here: what goes on is redacted. Holds what servers said of their tools, bounded by [`Tools`].

use std::sync::Arc;

use auditor_content::{Classifier, Redactor, Report};
use auditor_resource::{Call, Catalogue, Declared, Level, Returned, Rules, sql::Readings};
use bytes::Bytes;

use super::{
    differences,
    event::{AuditEvent, Party},
    settings,
    texts::Texts,
    tools::{Tool, Tools},
};
use crate::mcp::{CUT, Direction, Failure, Interaction, Outcome, Part, Peer, Stage};

/// What is known of names: rules and catalogue. Replaced as a whole when the configuration is read again.
#[derive(Clone, Debug, Default)]
pub struct Names {
    /// What arguments of tools name.
    pub rules: Rules,
    /// How sensitive things are.
    pub catalogue: Catalogue,
}

/// Finds what is private in contents, and hides it.
#[derive(Debug)]
pub struct Privacy {
    /// Finds it.
    pub classifier: Classifier,
    /// Hides it.
    pub redactor: Redactor,
}

/// What stands for a text that was cut.
const HIDDEN: &str = "[cut]";

/// Reads contents.
#[derive(Default)]
pub(super) struct Contents {
    names: Arc<Names>,
    /// Without it no body goes on.
    privacy: Option<Arc<Privacy>>,
    /// Names the key of fingerprints.
    key: Option<Arc<str>>,
    texts: Texts,
    tools: Tools,
    readings: Readings,
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
    /// The kinds of data in the request; `None` where it was not looked at.
    pub request: Option<Report>,
    /// The kinds of data in the answer.
    pub response: Option<Report>,
    /// Names the key of the fingerprints that stand for what was hidden.
    pub key: Option<Arc<str>>,
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

    pub(super) fn set_privacy(&mut self, privacy: Arc<Privacy>) {
        self.key = Some(privacy.redactor.key_id().into());
        self.privacy = Some(privacy);
        self.texts = Texts::default();
    }

    pub(super) fn privacy(&self) -> Option<&Privacy> {
        self.privacy.as_deref()
    }

    /// Replaces bodies by redacted ones where the level asks for them, and takes them away elsewhere; hides what is
    /// private in names and texts that leave at every level.
    pub(super) fn hide(
        &self,
        interaction: &mut Interaction,
        content: &Content,
        level: settings::Level,
    ) {
        let privacy = self.privacy.as_deref();
        for (part, from) in [
            (&mut interaction.request, settings::Level::Request),
            (&mut interaction.response, settings::Level::RequestResponse),
        ] {
            let Some(part) = part else { continue };
            let body = part.body.take().filter(|_| level >= from);
            // What cannot be redacted is dropped.
            let redact = |body: Bytes| privacy?.redactor.redact(&body, &privacy?.classifier);
            part.body = body.and_then(redact).map(Bytes::from);
        }
        let Some(privacy) = privacy else {
            if let Outcome::Failure(Failure::Error { message, .. }) = &mut interaction.outcome {
                message.clear();
            }
            return;
        };
        let hide = |text: &mut String| privacy.hide(text);
        if found_any(&content.request) {
            interaction.target.iter_mut().for_each(hide);
            if let Some(part) = &mut interaction.request {
                part.keys.iter_mut().for_each(hide);
            }
        }
        if found_any(&content.response) {
            if let Some(part) = &mut interaction.response {
                part.keys.iter_mut().for_each(hide);
            }
            if let Outcome::Failure(Failure::Error { message, .. }) = &mut interaction.outcome {
                privacy.hide_text(message);
            }
        }
    }

    /// Hides what is private in what is no message: names, heads of HTTP, arguments of the processes at both ends.
    pub(super) fn hide_around(&mut self, interaction: &mut Interaction, parties: [&mut Party; 2]) {
        let Some(privacy) = self.privacy.clone() else {
            return;
        };
        self.texts.hide_in_interaction(interaction, &privacy);
        for party in parties {
            self.texts.hide_in_party(party, &privacy);
        }
    }

    /// Compares what the server did with what was declared, then hides what is private in it.
    pub(super) fn finish_activity(&mut self, event: &mut AuditEvent) {
        let Some(mut activity) = event.activity.take() else {
            return;
        };
        let privacy = self.privacy.clone();
        let is_hidden = privacy.is_some() && found_any(&event.content.request);
        differences::compare(&mut activity, event, is_hidden);
        if let Some(privacy) = &privacy {
            self.texts.hide_in_activity(&mut activity, privacy);
        }
        event.activity = Some(activity);
    }

    /// Reads an interaction; `server` is its server's end.
    pub(super) fn read(&mut self, interaction: &Interaction, server: &Party) -> Content {
        let body = |part: &Option<Part>| part.as_ref().and_then(|part| part.body.clone());
        let (request, response) = (body(&interaction.request), body(&interaction.response));
        let privacy = self.privacy.clone();
        let scan = |body: &Option<Bytes>| Some(privacy.as_ref()?.classifier.scan(body.as_deref()?));
        let (in_request, in_response) = (scan(&request), scan(&response));
        let Some(method) = interaction.method.as_deref() else {
            return Content {
                response: in_response,
                key: self.key.clone(),
                ..Content::default()
            };
        };
        let names = names(interaction.session.server_info.as_ref(), server);
        let key = names.join("\n");
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
        let mut declared = if is_call {
            let call = Call {
                servers: &names,
                method,
                target,
                message: request.as_deref().unwrap_or_default(),
                formats: tool.as_ref().map_or(&[], |tool| &tool.formats),
            };
            Declared::read(
                &call,
                &self.names.rules,
                &self.names.catalogue,
                &mut self.readings,
            )
        } else {
            Declared::default()
        };
        let brings = matches!(method, "tools/call" | "resources/read" | "prompts/get");
        let mut returned = response
            .filter(|_| brings)
            .and_then(|answer| Returned::read(&answer));
        if let Some(privacy) = &privacy {
            if found_any(&in_request) {
                privacy.hide_names(&mut declared);
            }
            if found_any(&in_response) {
                let links = returned.iter_mut().flat_map(|one| &mut one.links);
                links.for_each(|link| privacy.hide(link));
            }
        }
        Content {
            declared,
            returned,
            tool,
            request: in_request,
            response: in_response,
            key: self.key.clone(),
        }
    }
}

impl Privacy {
    /// Hides what is private in a name; all of it where it was cut, so that it cannot be told.
    pub(super) fn hide(&self, text: &mut String) {
        *text = if text.ends_with(CUT) {
            HIDDEN.to_owned()
        } else {
            self.redactor.redact_name(text, &self.classifier)
        };
    }

    /// The same for a text of sentences.
    fn hide_text(&self, text: &mut String) {
        *text = if text.ends_with(CUT) {
            HIDDEN.to_owned()
        } else {
            self.redactor.redact_text(text, &self.classifier)
        };
    }

    /// Hides what is private in names of things.
    fn hide_names(&self, declared: &mut Declared) {
        for resource in &mut declared.resources {
            self.hide(&mut resource.name);
            let others = resource.namespace.iter_mut().chain(&mut resource.parts);
            others.for_each(|text| self.hide(text));
        }
        let columns = declared
            .query
            .iter_mut()
            .flat_map(|(_, query)| &mut query.columns);
        columns.for_each(|column| self.hide(column));
    }
}

/// Whether something private may be in what was taken out of a message: it was found there, or not all was looked at.
fn found_any(report: &Option<Report>) -> bool {
    report
        .as_ref()
        .is_none_or(|report| !report.is_whole || !report.findings.is_empty())
}

/// The names that a server goes by, what it calls itself first: its own, its package's, its script's, its program's.
pub(super) fn names(info: Option<&Peer>, server: &Party) -> Vec<String> {
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
        auditor_at(settings::Level::Metadata)
    }

    fn auditor_at(level: settings::Level) -> Auditor {
        let mut auditor = Auditor::new(Settings {
            level,
            ..Settings::default()
        });
        auditor.set_privacy(Arc::new(Privacy {
            classifier: Classifier::new(&auditor_content::Settings::default()).unwrap(),
            redactor: Redactor::new([1; 32], auditor_content::Policy::keep_all()),
        }));
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

    const SECRET: &str = "ghp_w8kZ2mQ5vR1xT9bN4cJ7hL3pD6sF0gYaUeOi";

    #[test]
    fn what_is_private_is_told_by_class_and_hidden_at_every_level() {
        use settings::Level::{Metadata, Request, RequestResponse};
        let request = format!(
            r#"{{"params":{{"name":"write_query","arguments":{{"path":"/x/{SECRET}","note":"{SECRET}"}}}}}}"#
        );
        let response = format!(r#"{{"error":{{"code":1,"message":"bad token {SECRET}"}}}}"#);
        for level in [Metadata, Request, RequestResponse] {
            let mut auditor = auditor_at(level);
            let mut call = call("tools/call", Some("write_query"), &request, &response);
            call.outcome = Outcome::Failure(Failure::Error {
                code: 1,
                message: format!("bad token {SECRET}"),
            });
            let event = event(&mut auditor, call);
            assert!(!event.to_string().contains(SECRET), "{level:?}: {event}");
            let mcp = &event["unmapped"]["mcp"];
            let found = &mcp["classifications"];
            assert_eq!(found[0]["class"], "secret.github_pat", "{found}");
            assert_eq!(found[0]["place"], "/params/arguments/note");
            assert_eq!(mcp["request"]["body"].is_string(), level >= Request);
            assert_eq!(
                mcp["response"]["body"].is_string(),
                level >= RequestResponse
            );
        }
    }

    #[test]
    fn a_body_that_cannot_be_redacted_is_dropped() {
        let mut auditor = auditor_at(settings::Level::Request);
        let event = event(
            &mut auditor,
            call("tools/call", Some("x"), "{\"params\":", "{}"),
        );
        assert!(event["unmapped"]["mcp"]["request"]["body"].is_null());
    }

    #[test]
    fn without_a_classifier_no_body_goes_on() {
        let settings = Settings {
            level: settings::Level::RequestResponse,
            ..Settings::default()
        };
        let event = event(
            &mut Auditor::new(settings),
            call("tools/call", Some("x"), "{}", "{}"),
        );
        assert!(event["unmapped"]["mcp"]["request"]["body"].is_null());
    }

    #[test]
    fn what_is_private_around_a_message_is_hidden() {
        let mut call = call("tools/call", Some("x"), "{}", "{}");
        let mut session = (*call.session).clone();
        session.client_info = Some(Peer {
            name: format!("client {SECRET}"),
            version: "1".into(),
        });
        call.session = Arc::new(session);
        let head = crate::wire::HttpHead {
            version: 11,
            method: "POST".into(),
            target: format!("/mcp/{SECRET}"),
            user_agent: Some(SECRET.into()),
            ..crate::wire::HttpHead::default()
        };
        call.request.as_mut().unwrap().http = Some(Arc::new(head));
        let event = event(&mut auditor(), call);
        assert!(!event.to_string().contains(SECRET), "{event}");
        assert!(event.to_string().contains("[secret.github_pat:"));
    }
}
