//! What a result brings back: items, rows, sizes, links. Counts and names only.
//!
//! Bound: `LINKS` links, `TEXTS` bytes of text that is looked at for rows.

use auditor_json::Value;

use crate::{repr, uri};

/// Links that are named.
const LINKS: usize = 16;
/// Bytes of an item's text that is looked at for rows; of a longer one they are not counted.
const TEXTS: usize = 4 << 20;

/// What a result brings back.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Returned {
    /// Items by type, and the bytes of their content, in order of their first occurrence.
    pub types: Vec<Item>,
    /// Rows, where the result is or holds a list of JSON, or a text as Python prints a list.
    pub rows: Option<u64>,
    /// URIs of resources that it links to or embeds, without user and query.
    pub links: Vec<String>,
    /// Links that were left out for the bound.
    pub links_left_out: u64,
}

/// Items of one type.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Item {
    /// `text`, `image`, `audio`, `resource`, `resource_link`, `structured`, or `other`.
    pub kind: &'static str,
    /// How many.
    pub count: u64,
    /// Bytes of their content as JSON text.
    pub bytes: u64,
}

impl Returned {
    /// Reads the `result` of a response, by its whole message. `None` where it has none.
    pub fn read(message: &[u8]) -> Option<Self> {
        let (message, _) = Value::first(message)?;
        let result = message.member(b"result")?;
        let mut returned = Self::default();
        for (key, value) in result.members()? {
            match &*key {
                b"content" | b"contents" => {
                    for item in value.elements().into_iter().flatten() {
                        returned.item(item);
                    }
                }
                b"structuredContent" => {
                    returned.count("structured", value.text.len());
                    returned.rows = rows(value).or(returned.rows);
                }
                _ => {}
            }
        }
        Some(returned)
    }

    fn item(&mut self, item: Value<'_>) {
        let kind = match item.member(b"type").and_then(Value::string).as_deref() {
            Some("text") => "text",
            Some("image") => "image",
            Some("audio") => "audio",
            Some("resource") => "resource",
            Some("resource_link") => "resource_link",
            // What `resources/read` gives back has no type.
            None if item.member(b"uri").is_some() => "resource",
            _ => "other",
        };
        let inner = if kind == "resource" {
            item.member(b"resource").unwrap_or(item)
        } else {
            item
        };
        let content = [&b"text"[..], b"data", b"blob"]
            .into_iter()
            .find_map(|name| inner.member(name));
        self.count(
            kind,
            content.map_or(0, |content| content.text.len().saturating_sub(2)),
        );
        if let Some(uri) = inner.member(b"uri").and_then(Value::string) {
            if self.links.len() < LINKS {
                self.links.push(uri::shown(&uri));
            } else {
                self.links_left_out += 1;
            }
        }
        if self.rows.is_none()
            && kind == "text"
            && let Some(text) = content
                .filter(|text| text.text.len() <= TEXTS)
                .and_then(Value::string)
        {
            let json = Value::first(text.as_bytes()).and_then(|(value, _)| rows(value));
            self.rows = json.or_else(|| repr::rows(&text));
        }
    }

    fn count(&mut self, kind: &'static str, bytes: usize) {
        let bytes = bytes as u64;
        match self.types.iter_mut().find(|one| one.kind == kind) {
            Some(one) => {
                one.count += 1;
                one.bytes += bytes;
            }
            None => self.types.push(Item {
                kind,
                count: 1,
                bytes,
            }),
        }
    }
}

/// The length of a list of objects or lists, or of the only one that an object holds.
fn rows(value: Value<'_>) -> Option<u64> {
    if let Some(elements) = value.elements() {
        // A list as other languages print it is no JSON, and its texts hide where it ends.
        let is_row = |row: &Value<'_>| match row.text.trim_ascii() {
            [b'{', rest @ ..] => matches!(rest.trim_ascii_start().first(), Some(b'"' | b'}')),
            text => text.first() == Some(&b'['),
        };
        let mut elements = elements.peekable();
        let is_list = value.whole && elements.peek().is_none_or(is_row);
        return is_list.then(|| elements.count() as u64);
    }
    let mut lists = value
        .members()?
        .filter_map(|(_, value)| rows_of_list(value));
    let only = lists.next()?;
    lists.next().is_none().then_some(only)
}

fn rows_of_list(value: Value<'_>) -> Option<u64> {
    value.elements()?;
    rows(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Returned {
        Returned::read(text.as_bytes()).unwrap()
    }

    #[test]
    fn items_are_counted_by_type() {
        let returned = read(
            r#"{"result":{"content":[{"type":"text","text":"abc"},{"type":"text","text":"de"},
            {"type":"resource_link","uri":"file:///a?x"},{"type":"resource","resource":{"uri":"b://c","blob":"AAAA"}}]}}"#,
        );
        let item = |kind, count, bytes| Item { kind, count, bytes };
        assert_eq!(
            returned.types,
            [
                item("text", 2, 5),
                item("resource_link", 1, 0),
                item("resource", 1, 4)
            ]
        );
        assert_eq!(returned.links, ["file:///a", "b://c"]);
        assert_eq!(returned.rows, None);
    }

    #[test]
    fn rows_are_counted_where_the_result_is_a_list() {
        let text = |inner: &str| {
            let inner = inner.replace('"', "\\\"");
            read(&format!(
                r#"{{"result":{{"content":[{{"type":"text","text":"{inner}"}}]}}}}"#
            ))
            .rows
        };
        assert_eq!(text(r#"[{"a":1},{"a":2}]"#), Some(2));
        assert_eq!(text(r#"{"rows":[[1],[2],[3]],"n":3}"#), Some(3));
        assert_eq!(text("[]"), Some(0));
        assert_eq!(text("[1,2]"), None);
        assert_eq!(text("hello"), None);
        assert_eq!(text("[{'a': 1}, {'a': '}'}]"), Some(2));
        assert_eq!(
            read(r#"{"result":{"structuredContent":{"result":[{"a":1}]}}}"#).rows,
            Some(1)
        );
    }

    #[test]
    fn what_has_no_result_brings_nothing() {
        assert_eq!(Returned::read(br#"{"error":{}}"#), None);
        assert_eq!(Returned::read(b"nonsense"), None);
    }
}
