//! What servers said of their tools, from the answers to `tools/list`: a server's word, not a fact.
//!
//! Bounds: [`SERVERS`] servers, [`TOOLS`] tools each, [`DEFINITION`] bytes a definition.

use std::collections::HashMap;

use auditor_json::Value;
use sha2::{Digest, Sha256};

use crate::memory::Memory;

/// Servers remembered; beyond it the oldest are forgotten.
const SERVERS: usize = 1_024;
/// Tools remembered of one server; of further ones nothing is known.
const TOOLS: usize = 512;
/// Bytes of one tool's definition that are read.
const DEFINITION: usize = 256 << 10;
/// Formats of one tool's arguments.
const FORMATS: usize = 64;
/// Levels of a schema that are looked at for formats.
const LEVELS: usize = 4;

/// Remembers what servers said of their tools.
#[derive(Debug, Default)]
pub(super) struct Tools {
    servers: Memory<String, HashMap<String, Tool>, SERVERS>,
}

/// A tool, as its server describes it.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Tool {
    /// SHA-256 of its definition, members in order of their names.
    pub definition: [u8; 32],
    /// `readOnlyHint`, where it is given.
    pub read_only: Option<bool>,
    /// `destructiveHint`, where it is given.
    pub destructive: Option<bool>,
    /// `openWorldHint`, where it is given.
    pub open_world: Option<bool>,
    /// Formats that its schema gives its arguments, by JSON Pointer.
    pub formats: Vec<(String, String)>,
}

impl Tools {
    /// Takes the answer to a `tools/list` of a server.
    pub(super) fn handle_list(&mut self, server: &str, message: &[u8]) {
        let Some((message, _)) = Value::first(message) else {
            return;
        };
        let tools = message
            .member(b"result")
            .and_then(|result| result.member(b"tools"));
        let Some(tools) = tools.and_then(Value::elements) else {
            return;
        };
        if self.servers.get(server).is_none() {
            self.servers.insert(server.to_owned(), HashMap::new());
        }
        let Some(known) = self.servers.get_mut(server) else {
            return;
        };
        for tool in tools {
            let Some(name) = tool.member(b"name").and_then(Value::string) else {
                continue;
            };
            let has_room = known.len() < TOOLS || known.contains_key(&*name);
            if has_room && let Some(read) = Tool::read(tool) {
                known.insert(name.into_owned(), read);
            }
        }
    }

    /// What a server said of a tool.
    pub(super) fn get(&self, server: &str, tool: &str) -> Option<&Tool> {
        self.servers.get(server)?.get(tool)
    }
}

impl Tool {
    fn read(tool: Value<'_>) -> Option<Self> {
        if tool.text.len() > DEFINITION || !tool.whole {
            return None;
        }
        let mut definition: serde_json::Value = serde_json::from_slice(tool.text).ok()?;
        // So that the order in which a server writes members does not count.
        sort(&mut definition);
        let hint = |name: &str| {
            definition
                .pointer(&format!("/annotations/{name}"))?
                .as_bool()
        };
        let mut formats = Vec::new();
        if let Some(schema) = definition.get("inputSchema") {
            find_formats(schema, "", LEVELS, &mut formats);
        }
        Some(Self {
            definition: Sha256::digest(definition.to_string()).into(),
            read_only: hint("readOnlyHint"),
            destructive: hint("destructiveHint"),
            open_world: hint("openWorldHint"),
            formats,
        })
    }
}

/// Sorts the members of all objects within. As deep as `serde_json` reads, which is 128 levels.
fn sort(value: &mut serde_json::Value) {
    match value {
        serde_json::Value::Object(members) => {
            let mut sorted: Vec<_> = std::mem::take(members).into_iter().collect();
            sorted.sort_by(|(one, _), (other, _)| one.cmp(other));
            sorted.iter_mut().for_each(|(_, value)| sort(value));
            *members = sorted.into_iter().collect();
        }
        serde_json::Value::Array(elements) => elements.iter_mut().for_each(sort),
        _ => {}
    }
}

fn find_formats(
    schema: &serde_json::Value,
    place: &str,
    levels: usize,
    found: &mut Vec<(String, String)>,
) {
    let Some(properties) = schema.get("properties").and_then(|one| one.as_object()) else {
        return;
    };
    for (name, property) in properties {
        let place = format!("{place}/{}", name.replace('~', "~0").replace('/', "~1"));
        if let Some(format) = property.get("format").and_then(|one| one.as_str())
            && found.len() < FORMATS
        {
            found.push((place.clone(), format.to_owned()));
        }
        if levels > 0 {
            find_formats(property, &place, levels - 1, found);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(tools: &str) -> Vec<u8> {
        format!(r#"{{"jsonrpc":"2.0","id":1,"result":{{"tools":[{tools}]}}}}"#).into_bytes()
    }

    #[test]
    fn hints_and_formats_are_read() {
        let mut tools = Tools::default();
        let tool = r#"{"name":"get","annotations":{"readOnlyHint":true},"inputSchema":{"properties":{
            "url":{"type":"string","format":"uri"},"a":{"properties":{"to/":{"format":"email"}}}}}}"#;
        tools.handle_list("s", &list(tool));
        let got = tools.get("s", "get").unwrap();
        assert_eq!((got.read_only, got.destructive), (Some(true), None));
        let mut formats = got.formats.clone();
        formats.sort();
        assert_eq!(
            formats,
            [
                ("/a/to~1".into(), "email".into()),
                ("/url".into(), "uri".into())
            ]
        );
        assert!(tools.get("s", "other").is_none() && tools.get("t", "get").is_none());
    }

    #[test]
    fn the_order_of_members_does_not_change_a_definition() {
        let mut tools = Tools::default();
        let hash = |tools: &mut Tools, text: &str| {
            tools.handle_list("s", &list(text));
            tools.get("s", "x").unwrap().definition
        };
        let first = hash(&mut tools, r#"{"name":"x","description":"a"}"#);
        assert_eq!(hash(&mut tools, r#"{"description":"a","name":"x"}"#), first);
        assert_ne!(hash(&mut tools, r#"{"description":"b","name":"x"}"#), first);
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut tools = Tools::default();
        let many: Vec<String> = (0..2 * TOOLS)
            .map(|at| format!(r#"{{"name":"t{at}"}}"#))
            .collect();
        tools.handle_list("s", &list(&many.join(",")));
        assert_eq!(tools.servers.get("s").unwrap().len(), TOOLS);
        tools.handle_list("s", b"nonsense");
    }
}
