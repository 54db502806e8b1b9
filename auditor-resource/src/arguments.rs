//! Walks the arguments of a call and names what they name: by rules, by the tool's schema, by form and by name.
//!
//! Bounds: [`RESOURCES`] resources, [`NODES`] values, `DEPTH` levels; what is beyond is counted or said.

mod hints;

use auditor_json::Value;

use self::hints::{by_name, looks_like_path, mailboxes};

use crate::{
    catalogue::Catalogue,
    resource::{Basis, Kind, Operation, Resource},
    rules::{Rule, Rules, Step, What},
    sql::{self, Dialect, QueryType},
    uri,
};

/// Resources that are named of one call.
pub const RESOURCES: usize = 64;
/// Values of the arguments that are looked at.
pub const NODES: usize = 4_096;
/// Levels of the arguments that are looked at.
const DEPTH: usize = 16;
/// Bytes of arguments from which on only [`LARGE_DEPTH`] levels are looked at: each level is read once more.
const LARGE: usize = 1 << 20;
const LARGE_DEPTH: usize = 2;
/// Longest value that may be a name, in bytes; SQL may be longer.
const VALUE: usize = 4 << 10;

/// A call, as it was sent.
#[derive(Clone, Copy, Debug, Default)]
pub struct Call<'a> {
    /// Names that the server goes by: what it calls itself, its package.
    pub servers: &'a [&'a str],
    /// The method.
    pub method: &'a str,
    /// The tool, URI or prompt.
    pub target: Option<&'a str>,
    /// The whole message, or its beginning.
    pub message: &'a [u8],
    /// Formats that the tool's schema gives its arguments: JSON Pointer, and `uri`, `email`, `hostname` ...
    pub formats: &'a [(String, String)],
}

/// What a call names.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Declared {
    /// The things, the one that the method names first.
    pub resources: Vec<Resource>,
    /// The statement of SQL that has the most reach, and its place.
    pub query: Option<(String, sql::Sql)>,
    /// Whether something was left out for a bound, or for the message's being cut.
    pub is_cut: bool,
}

impl Declared {
    /// Reads a call; `readings` remembers what it said in SQL.
    pub fn read(
        call: &Call<'_>,
        rules: &Rules,
        catalogue: &Catalogue,
        readings: &mut sql::Readings,
    ) -> Self {
        let mut walk = Walk {
            declared: Self::default(),
            readings,
            taken: Vec::new(),
        };
        walk.method(call);
        let params = Value::first(call.message).and_then(|(message, _)| message.member(b"params"));
        if call.method == "tools/call"
            && let Some(arguments) = params.and_then(|params| params.member(b"arguments"))
        {
            walk.declared.is_cut |= !arguments.whole;
            for rule in rules.of(call.servers, call.target.unwrap_or_default()) {
                walk.rule(rule, arguments);
            }
            walk.arguments(arguments, call.formats);
        }
        let mut declared = walk.declared;
        for resource in &mut declared.resources {
            resource.sensitivity = catalogue.look_up(resource);
        }
        declared
    }
}

struct Walk<'a> {
    declared: Declared,
    readings: &'a mut sql::Readings,
    /// Places that a rule has named.
    taken: Vec<String>,
}

/// A value, where it is, and by what name.
struct Node<'a> {
    value: Value<'a>,
    place: String,
    name: String,
    depth: usize,
}

impl Walk<'_> {
    /// What the method itself names.
    fn method(&mut self, call: &Call<'_>) {
        let Some(target) = call.target else { return };
        let (kind, operation) = match call.method {
            "tools/call" => (Kind::Tool, Operation::Execute),
            "prompts/get" => (Kind::Prompt, Operation::Read),
            "resources/read"
            | "resources/subscribe"
            | "resources/unsubscribe"
            | "notifications/resources/updated" => (Kind::Resource, Operation::Read),
            _ => return,
        };
        let is_uri = kind == Kind::Resource;
        let name = if is_uri {
            uri::shown(target)
        } else {
            uri::cut(target.to_owned())
        };
        self.add(Resource {
            kind,
            name,
            namespace: call.servers.first().map(|name| (*name).to_owned()),
            operation,
            parts: Vec::new(),
            place: String::new(),
            basis: Basis::Method,
            sensitivity: None,
        });
        if is_uri && let Some(named) = uri::read(target) {
            self.add_named(named, operation, "", Basis::Method);
        }
    }

    fn rule(&mut self, rule: &Rule, arguments: Value<'_>) {
        if let [pointer] = rule.pointers.as_slice() {
            for (place, value) in resolve(arguments, pointer) {
                self.value(rule.what, rule.operation, &value, &place, rule.basis);
                self.taken.push(place);
            }
            return;
        }
        let first = |pointer: &Vec<Step>| resolve(arguments, pointer).into_iter().next();
        let Some(parts) = rule.pointers.iter().map(first).collect::<Option<Vec<_>>>() else {
            return;
        };
        let names: Vec<&str> = parts.iter().map(|(_, value)| value.as_str()).collect();
        let place = parts
            .first()
            .map(|(place, _)| place.clone())
            .unwrap_or_default();
        self.value(
            rule.what,
            rule.operation,
            &names.join(&rule.join),
            &place,
            rule.basis,
        );
        self.taken.extend(parts.into_iter().map(|(place, _)| place));
    }

    /// Looks at all values that no rule has named.
    fn arguments(&mut self, arguments: Value<'_>, formats: &[(String, String)]) {
        let mut nodes = vec![Node {
            value: arguments,
            place: String::new(),
            name: String::new(),
            depth: 0,
        }];
        let is_large = arguments.text.len() > LARGE;
        let depth = if is_large { LARGE_DEPTH } else { DEPTH };
        let mut left = NODES;
        while let Some(node) = nodes.pop() {
            if left == 0 || node.depth > depth {
                self.declared.is_cut = true;
                continue;
            }
            left -= 1;
            let begin = nodes.len();
            if let Some(members) = node.value.members() {
                for (key, value) in members.take(left) {
                    let key = String::from_utf8_lossy(&key);
                    nodes.push(Node {
                        value,
                        place: format!("{}/{}", node.place, escaped(&key)),
                        name: plain(&key),
                        depth: node.depth + 1,
                    });
                }
            } else if let Some(elements) = node.value.elements() {
                for (at, value) in elements.take(left).enumerate() {
                    nodes.push(Node {
                        value,
                        place: format!("{}/{at}", node.place),
                        name: node.name.clone(),
                        depth: node.depth + 1,
                    });
                }
            } else if !self.taken.contains(&node.place)
                && let Some(text) = node.value.string()
            {
                self.leaf(&node, &text, formats);
            }
            // So that they come in order.
            if let Some(fresh) = nodes.get_mut(begin..) {
                fresh.reverse();
            }
        }
    }

    fn leaf(&mut self, node: &Node<'_>, text: &str, formats: &[(String, String)]) {
        let format = formats.iter().find(|(place, _)| *place == node.place);
        let by_format = format.and_then(|(_, format)| match format.as_str() {
            "uri" | "url" | "iri" | "uri-reference" => Some(Kind::Url),
            "email" | "idn-email" => Some(Kind::Mailbox),
            _ => None,
        });
        if let Some(kind) = by_format {
            self.value(
                What::Kind(kind),
                Operation::Unknown,
                text,
                &node.place,
                Basis::Schema,
            );
        } else if let Some(named) = uri::read(text) {
            self.add_named(named, Operation::Unknown, &node.place, Basis::Value);
        } else if let Some(what) = by_name(&node.name) {
            let is_path = matches!(what, What::Kind(Kind::File | Kind::Directory));
            if !is_path || looks_like_path(text) {
                self.value(what, Operation::Unknown, text, &node.place, Basis::Name);
            }
        }
    }

    /// Takes a value of which it is known what it is.
    fn value(&mut self, what: What, operation: Operation, text: &str, place: &str, basis: Basis) {
        let kind = match what {
            What::Sql(dialect) => return self.sql(text, dialect, place, basis),
            What::Kind(kind) => kind,
        };
        if text.is_empty() {
            return;
        }
        if text.len() > VALUE {
            self.declared.is_cut = true;
            return;
        }
        let is_place = matches!(
            kind,
            Kind::Url
                | Kind::File
                | Kind::Directory
                | Kind::Object
                | Kind::Database
                | Kind::Repository
        );
        if is_place && let Some(named) = uri::read(text) {
            let named = uri::Named {
                kind: if matches!(kind, Kind::Repository | Kind::Directory) {
                    kind
                } else {
                    named.kind
                },
                ..named
            };
            return self.add_named(named, operation, place, basis);
        }
        let names = match kind {
            Kind::File | Kind::Directory => uri::canonical(text).into_iter().collect(),
            Kind::Repository if text.contains('/') => uri::canonical(text).into_iter().collect(),
            Kind::Mailbox => mailboxes(text),
            // A command line is content: only the program is named.
            Kind::Program => text
                .split_ascii_whitespace()
                .next()
                .map(Into::into)
                .into_iter()
                .collect(),
            _ => vec![uri::cut(text.to_owned())],
        };
        for name in names {
            self.add(Resource {
                kind,
                name,
                namespace: None,
                operation,
                parts: Vec::new(),
                place: place.to_owned(),
                basis,
                sensitivity: None,
            });
        }
    }

    fn sql(&mut self, text: &str, dialect: Option<Dialect>, place: &str, basis: Basis) {
        let read = self.readings.read(text, dialect);
        let says_nothing = read.query_type == QueryType::Unknown
            || (read.query_type == QueryType::Select && read.tables.is_empty());
        if basis == Basis::Name && says_nothing {
            // `query` may as well be words to search for.
            return;
        }
        let parts = if read.tables.len() == 1 {
            read.columns.clone()
        } else {
            Vec::new()
        };
        for table in &read.tables {
            self.add(Resource {
                kind: Kind::Table,
                name: table.name.clone(),
                namespace: None,
                operation: Operation::Query(table.query_type),
                parts: parts.clone(),
                place: place.to_owned(),
                basis,
                sensitivity: None,
            });
        }
        for file in &read.files {
            let operation = if file.is_written {
                Operation::Write
            } else {
                Operation::Read
            };
            self.value(What::Kind(Kind::File), operation, &file.path, place, basis);
        }
        self.declared.is_cut |= read.is_cut;
        let known = self
            .declared
            .query
            .as_ref()
            .map(|(_, known)| known.query_type);
        if known.is_none_or(|known| known < read.query_type) {
            self.declared.query = Some((place.to_owned(), read));
        }
    }

    fn add_named(&mut self, named: uri::Named, operation: Operation, place: &str, basis: Basis) {
        self.add(Resource {
            kind: named.kind,
            name: named.name,
            namespace: named.namespace,
            operation,
            parts: named.parts,
            place: place.to_owned(),
            basis,
            sensitivity: None,
        });
    }

    fn add(&mut self, resource: Resource) {
        let is_same = |one: &Resource| {
            one.kind == resource.kind
                && one.name == resource.name
                && one.namespace == resource.namespace
                && one.operation == resource.operation
        };
        if self.declared.resources.iter().any(is_same) {
            return;
        }
        if self.declared.resources.len() < RESOURCES {
            self.declared.resources.push(resource);
        } else {
            self.declared.is_cut = true;
        }
    }
}

/// The strings that a pointer leads to, elements of a list there included, with their places.
fn resolve(root: Value<'_>, pointer: &[Step]) -> Vec<(String, String)> {
    let mut found = vec![(String::new(), root)];
    for step in pointer {
        let mut next = Vec::new();
        for (place, value) in found {
            if let Some(members) = value.members() {
                let members = members.filter(|(key, _)| match step {
                    Step::Any => true,
                    Step::Member(name) => **key == *name.as_bytes(),
                });
                next.extend(members.map(|(key, value)| {
                    (
                        format!("{place}/{}", escaped(&String::from_utf8_lossy(&key))),
                        value,
                    )
                }));
            } else if let Some(elements) = value.elements() {
                let elements = elements.enumerate().filter(|(at, _)| match step {
                    Step::Any => true,
                    Step::Member(name) => *name == at.to_string(),
                });
                next.extend(elements.map(|(at, value)| (format!("{place}/{at}"), value)));
            }
            next.truncate(RESOURCES);
        }
        found = next;
    }
    let mut texts = Vec::new();
    for (place, value) in found {
        if let Some(elements) = value.elements() {
            texts.extend(
                elements
                    .take(RESOURCES)
                    .enumerate()
                    .filter_map(|(at, value)| {
                        Some((format!("{place}/{at}"), value.string()?.into_owned()))
                    }),
            );
        } else if let Some(text) = value.string() {
            texts.push((place, text.into_owned()));
        }
    }
    texts.truncate(RESOURCES);
    texts
}

/// A step of a JSON Pointer (RFC 6901, section 3), cut to 128 bytes.
fn escaped(key: &str) -> String {
    let end = (0..=key.len().min(128))
        .rev()
        .find(|end| key.is_char_boundary(*end));
    let key = key.get(..end.unwrap_or(0)).unwrap_or_default();
    key.replace('~', "~0").replace('/', "~1")
}

/// A name in small letters without what joins words: `filePath`, `file_path` and `FILE-PATH` are one.
fn plain(key: &str) -> String {
    let letters = key.chars().take(64).filter(|c| c.is_alphanumeric());
    letters.flat_map(char::to_lowercase).collect()
}

/// Any bytes as a call: for the fuzz target. Not part of the product.
pub fn fuzz_call(input: &[u8], rules: &Rules, catalogue: &Catalogue) {
    let mut readings = sql::Readings::default();
    for (server, target) in [
        ("sqlite", "read_query"),
        ("filesystem", "move_file"),
        ("github", "get_x"),
    ] {
        let call = Call {
            servers: &[server],
            method: "tools/call",
            target: Some(target),
            message: input,
            formats: &[],
        };
        let declared = Declared::read(&call, rules, catalogue, &mut readings);
        assert!(declared.resources.len() <= RESOURCES);
        assert!(
            declared
                .resources
                .iter()
                .all(|one| one.name.len() <= uri::NAME)
        );
    }
    let _ = crate::Returned::read(input);
}

#[cfg(test)]
mod tests;
