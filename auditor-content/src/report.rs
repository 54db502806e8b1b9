//! What a scan found: classes and places, never values.

use std::collections::BTreeMap;

use crate::{
    class::Class,
    flat::{Flat, NONE, Slot},
    hits::Hits,
};

/// Most findings of one report.
pub const MAX_FINDINGS: usize = 64;
/// Hits whose places are worked out; later ones are only counted.
const PLACED: usize = 4096;
/// Longest place, in bytes.
const LONGEST: usize = 512;
/// Most steps of one place; JSON is walked 128 deep, four times inside itself.
const STEPS: usize = 800;

/// Data of one class at one place.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Finding {
    /// What it is.
    pub class: Class,
    /// Id of the rule that found it.
    pub rule: String,
    /// JSON Pointer (RFC 6901) into the message, with `*` for an index when several elements hold
    /// the same; then steps inside strings: `#json`, `#base64`, `#percent`, `#query`. A key that is
    /// itself classified reads `{class}`. Empty for plain text.
    pub place: String,
    /// Whether the key at that place holds it, not the value.
    pub is_key: bool,
    /// How often.
    pub count: u32,
}

/// What one scan found.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Report {
    /// At most [`MAX_FINDINGS`], in order of place.
    pub findings: Vec<Finding>,
    /// Hits beyond those, by class.
    pub rest: Vec<(Class, u32)>,
    /// The whole input was JSON and all of it was scanned.
    pub is_whole: bool,
    /// Bytes of the input that were scanned.
    pub scanned: usize,
}

impl Report {
    /// The classes found, each once, in order of name.
    pub fn classes(&self) -> Vec<&Class> {
        let findings = self.findings.iter().map(|finding| &finding.class);
        let mut classes: Vec<&Class> = findings
            .chain(self.rest.iter().map(|(class, _)| class))
            .collect();
        classes.sort();
        classes.dedup();
        classes
    }

    /// Whether data of the class `name` was found.
    pub fn has(&self, name: &str) -> bool {
        self.classes().iter().any(|class| &*class.name == name)
    }

    pub(crate) fn new(
        flat: &Flat,
        hits: &Hits,
        class: impl Fn(usize) -> Option<Class>,
        scanned: usize,
    ) -> Self {
        // A key with a finding is not to be spelt in any place.
        let mut keys = BTreeMap::new();
        for hit in hits.list.iter().filter(|hit| hit.in_key) {
            if let Some(key) = flat.leaves.get(hit.leaf).and_then(|leaf| leaf.key) {
                keys.insert(key.start, hit.class.0);
            }
        }
        let mut places: BTreeMap<(String, u16, bool), (String, u32, String)> = BTreeMap::new();
        let mut rest: BTreeMap<u16, u32> = BTreeMap::new();
        for (index, hit) in hits.list.iter().enumerate() {
            let id = hit.class.0;
            if index < PLACED {
                let (exact, general) = place(flat, hit.leaf, &keys, &class);
                let entry = (general, id, hit.in_key);
                if let Some((place, count, _)) = places.get_mut(&entry) {
                    if *place != exact {
                        place.clone_from(&entry.0);
                    }
                    *count += 1;
                    continue;
                }
                if places.len() < MAX_FINDINGS {
                    places.insert(entry, (exact, 1, hit.rule.to_owned()));
                    continue;
                }
            }
            *rest.entry(id).or_default() += 1;
        }
        let mut findings: Vec<Finding> = places
            .into_iter()
            .filter_map(|((_, id, is_key), (place, count, rule))| {
                Some(Finding {
                    class: class(usize::from(id))?,
                    rule,
                    place,
                    is_key,
                    count,
                })
            })
            .collect();
        findings.sort_by(|one, two| (&one.place, &one.class).cmp(&(&two.place, &two.class)));
        Self {
            findings,
            rest: rest
                .into_iter()
                .filter_map(|(id, count)| Some((class(usize::from(id))?, count)))
                .collect(),
            is_whole: flat.is_json && flat.is_complete && hits.is_complete,
            scanned,
        }
    }
}

/// The place of a leaf, as it is and with `*` for each index.
fn place(
    flat: &Flat,
    leaf: usize,
    keys: &BTreeMap<u32, u16>,
    class: &impl Fn(usize) -> Option<Class>,
) -> (String, String) {
    let Some(leaf) = flat.leaves.get(leaf) else {
        return Default::default();
    };
    let mut slots = vec![leaf.slot];
    let mut at = leaf.parent;
    while at != NONE && slots.len() < STEPS {
        let Some(node) = flat.nodes.get(at as usize) else {
            break;
        };
        slots.push(node.slot);
        at = node.parent;
    }
    let (mut exact, mut general) = (String::new(), String::new());
    for slot in slots.iter().rev() {
        let step = match slot {
            Slot::Root => continue,
            Slot::Member(span) => match keys.get(&span.start) {
                Some(id) => class(usize::from(*id))
                    .map_or_else(String::new, |class| format!("/{{{}}}", class.name)),
                None => format!(
                    "/{}",
                    escape(flat.text.get(span.range()).unwrap_or_default())
                ),
            },
            Slot::Element(index) => format!("/{index}"),
            Slot::Json => "#json".to_owned(),
            Slot::Base64 => "#base64".to_owned(),
            Slot::Percent => "#percent".to_owned(),
            Slot::Query => "#query".to_owned(),
        };
        if exact.len() + step.len() > LONGEST {
            exact.push_str("/…");
            general.push_str("/…");
            break;
        }
        general.push_str(if matches!(slot, Slot::Element(_)) {
            "/*"
        } else {
            &step
        });
        exact.push_str(&step);
    }
    (exact, general)
}

/// A key as a step of a JSON Pointer.
fn escape(key: &[u8]) -> String {
    String::from_utf8_lossy(key)
        .replace('~', "~0")
        .replace('/', "~1")
}
