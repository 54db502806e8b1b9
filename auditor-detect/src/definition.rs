//! What a definition consists of, and how two differ: places, sizes and hashes, never the texts.
//!
//! Bounds: [`LEAVES`] places of a definition, [`POINTER`] bytes of a pointer; what is beyond is one lump.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::anomaly::cut;

/// Places of a definition that are told apart.
const LEAVES: usize = 48;
/// Bytes of a pointer.
const POINTER: usize = 120;

/// A definition as it is remembered. At most about 8 KiB.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) struct Outline {
    /// In order of pointers.
    leaves: Vec<(Box<str>, Leaf)>,
    /// The places beyond those.
    rest: Leaf,
}

/// What stands at a place.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Leaf {
    /// Its size as JSON.
    pub bytes: u32,
    /// The first 8 bytes of its SHA-256.
    pub hash: [u8; 8],
}

/// One difference between two definitions.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Change {
    /// JSON Pointer of the place; empty for the places beyond those that are told apart.
    pub pointer: String,
    /// What happened there.
    pub what: What,
    /// What stood there.
    pub before: Option<Leaf>,
    /// What stands there.
    pub after: Option<Leaf>,
}

/// What happened at a place.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum What {
    /// It was not there before.
    Added,
    /// It is no longer there.
    Removed,
    /// It differs.
    Changed,
}

impl What {
    /// Its name in events.
    pub fn name(self) -> &'static str {
        match self {
            Self::Added => "added",
            Self::Removed => "removed",
            Self::Changed => "changed",
        }
    }
}

impl Change {
    /// Changes of one definition that are told.
    pub const MOST: usize = 16;
}

impl Outline {
    /// The outline of a definition. `each` is shown each text with its pointer.
    pub(crate) fn of(definition: &Value, mut each: impl FnMut(&str, &str)) -> Self {
        let mut all = Vec::new();
        let mut open = vec![(String::new(), definition)];
        while let Some((pointer, value)) = open.pop() {
            let step = |name: &str| {
                let name = name.replace('~', "~0").replace('/', "~1");
                cut(&format!("{pointer}/{name}"), POINTER)
            };
            match value {
                Value::Object(members) if !members.is_empty() => {
                    open.extend(members.iter().map(|(name, value)| (step(name), value)));
                    // A name is a text, too.
                    members.keys().for_each(|name| each(&pointer, name));
                }
                Value::Array(elements) if !elements.is_empty() => {
                    let elements = elements.iter().enumerate();
                    open.extend(elements.map(|(at, value)| (step(&at.to_string()), value)));
                }
                leaf => {
                    if let Value::String(text) = leaf {
                        each(&pointer, text);
                    }
                    all.push((pointer, Leaf::of(leaf.to_string().as_bytes())));
                }
            }
        }
        all.sort_by(|(one, _), (other, _)| one.cmp(other));
        let mut beyond = Sha256::new();
        let mut rest = Leaf::default();
        for (pointer, leaf) in all.iter().skip(LEAVES) {
            beyond.update(pointer);
            beyond.update(leaf.hash);
            rest.bytes = rest.bytes.saturating_add(leaf.bytes);
        }
        rest.hash.copy_from_slice(&beyond.finalize()[..8]);
        all.truncate(LEAVES);
        Self {
            leaves: all
                .into_iter()
                .map(|(pointer, leaf)| (pointer.into(), leaf))
                .collect(),
            rest,
        }
    }

    /// How `self` became `now`, and how many changes are left out.
    pub(crate) fn changes(&self, now: &Self) -> (Vec<Change>, u32) {
        let mut changes = Vec::new();
        let (mut old, mut new) = (self.leaves.iter().peekable(), now.leaves.iter().peekable());
        loop {
            let order = match (old.peek(), new.peek()) {
                (None, None) => break,
                (Some(_), None) => std::cmp::Ordering::Less,
                (None, Some(_)) => std::cmp::Ordering::Greater,
                (Some((one, _)), Some((other, _))) => one.cmp(other),
            };
            let before = if order.is_le() { old.next() } else { None };
            let after = if order.is_ge() { new.next() } else { None };
            let Some((pointer, _)) = before.or(after) else {
                break;
            };
            let (before, after) = (before.map(|(_, leaf)| *leaf), after.map(|(_, leaf)| *leaf));
            if before != after {
                changes.push(change(pointer, before, after));
            }
        }
        if self.rest != now.rest {
            changes.push(change("", Some(self.rest), Some(now.rest)));
        }
        let left_out = changes.len().saturating_sub(Change::MOST);
        changes.truncate(Change::MOST);
        (changes, left_out as u32)
    }
}

fn change(pointer: &str, before: Option<Leaf>, after: Option<Leaf>) -> Change {
    Change {
        pointer: pointer.to_owned(),
        what: match (before, after) {
            (None, _) => What::Added,
            (_, None) => What::Removed,
            _ => What::Changed,
        },
        before,
        after,
    }
}

impl Leaf {
    fn of(json: &[u8]) -> Self {
        let mut hash = [0; 8];
        hash.copy_from_slice(&Sha256::digest(json)[..8]);
        Self {
            bytes: u32::try_from(json.len()).unwrap_or(u32::MAX),
            hash,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changes(old: &str, new: &str) -> Vec<(String, &'static str)> {
        let outline = |text| Outline::of(&serde_json::from_str(text).unwrap(), |_, _| ());
        let (changes, left_out) = outline(old).changes(&outline(new));
        assert_eq!(left_out, 0);
        let told = changes.into_iter();
        told.map(|one| (one.pointer, one.what.name())).collect()
    }

    #[test]
    fn a_change_is_told_by_its_place() {
        let told = changes(
            r#"{"name":"a","description":"x","inputSchema":{"properties":{"p/q":{"type":"string"}}}}"#,
            r#"{"name":"a","description":"y","inputSchema":{"properties":{"r":{"type":"string"}}}}"#,
        );
        let expected = [
            ("/description", "changed"),
            ("/inputSchema/properties/p~1q/type", "removed"),
            ("/inputSchema/properties/r/type", "added"),
        ];
        assert_eq!(told, expected.map(|(at, what)| (at.to_owned(), what)));
    }

    #[test]
    fn the_order_of_members_is_no_change() {
        assert_eq!(
            changes(r#"{"a":1,"b":[{},2]}"#, r#"{"b":[{},2],"a":1}"#),
            []
        );
    }

    #[test]
    fn changes_beyond_the_bound_are_one() {
        let wide = |last: &str| {
            let members: Vec<_> = (0..500).map(|at| format!("\"m{at:03}\":{at}")).collect();
            format!("{{{},\"z\":{last}}}", members.join(","))
        };
        let told = changes(&wide("1"), &wide("2"));
        assert_eq!(told, [(String::new(), "changed")]);
    }
}
