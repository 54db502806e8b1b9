//! The catalogue of sensitivities: patterns of names, and what they are worth.
//!
//! The most sensitive of all patterns that match counts; of those the first. Bound: `ENTRIES` patterns.

use globset::{Glob, GlobSet};
use serde::Deserialize;

use crate::{
    Error, glob, glob_set,
    resource::{Kind, Level, Resource, Sensitivity},
};

/// Entries of a catalogue.
const ENTRIES: usize = 10_000;
/// Says what is sensitive on every host.
const BUILT_IN: &str = include_str!("../rules/catalogue.toml");

/// Patterns of names, and how sensitive what they match is.
#[derive(Clone, Debug, Default)]
pub struct Catalogue {
    entries: Vec<(Option<Kind>, Glob, Sensitivity)>,
    names: GlobSet,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    entry: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    names: Vec<String>,
    kind: Option<Kind>,
    level: Level,
    #[serde(default)]
    tags: Vec<String>,
}

impl Catalogue {
    /// The one that ships with the product.
    ///
    /// # Errors
    /// Never, as a test shows.
    pub fn built_in() -> Result<Self, Error> {
        let mut catalogue = Self::default();
        catalogue.add_built_in()?;
        Ok(catalogue)
    }

    /// Adds the one that ships with the product.
    ///
    /// # Errors
    /// Where there are too many entries with those that are there.
    pub fn add_built_in(&mut self) -> Result<(), Error> {
        self.add(BUILT_IN)
    }

    /// Adds the entries of a TOML file.
    ///
    /// # Errors
    /// Where it cannot be read; nothing was added then.
    pub fn add(&mut self, text: &str) -> Result<(), Error> {
        let file: File = toml::from_str(text)?;
        let mut entries = Vec::new();
        for entry in file.entry {
            for name in entry.names {
                let sensitivity = Sensitivity {
                    level: entry.level,
                    tags: entry.tags.clone(),
                    by: name.clone(),
                };
                entries.push((entry.kind, glob(&name)?, sensitivity));
            }
        }
        if self.entries.len() + entries.len() > ENTRIES {
            return Err(Error::Rule {
                number: ENTRIES + 1,
                what: format!("more than {ENTRIES} patterns: join some by `*` or `{{a,b}}`"),
            });
        }
        let mut all = self.entries.clone();
        all.extend(entries);
        let names = glob_set(all.iter().map(|(_, name, _)| name))?;
        *self = Self {
            entries: all,
            names,
        };
        Ok(())
    }

    /// What it says of a thing: by its name, and by `namespace/name` where it has a namespace.
    pub fn look_up(&self, resource: &Resource) -> Option<Sensitivity> {
        let whole = resource
            .namespace
            .as_ref()
            .map(|namespace| format!("{namespace}/{}", resource.name));
        let mut matching = self.names.matches(&resource.name);
        if let Some(whole) = whole {
            matching.extend(self.names.matches(&whole));
        }
        matching.sort_unstable();
        let matching = matching.into_iter().filter_map(|at| self.entries.get(at));
        let matching = matching.filter(|(kind, ..)| kind.is_none_or(|kind| kind == resource.kind));
        // The first of the most sensitive.
        let best = matching.rev().max_by_key(|(_, _, found)| found.level)?;
        Some(best.2.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resource::{Basis, Operation};

    fn resource(kind: Kind, name: &str, namespace: Option<&str>) -> Resource {
        Resource {
            kind,
            name: name.into(),
            namespace: namespace.map(Into::into),
            operation: Operation::Unknown,
            parts: Vec::new(),
            place: String::new(),
            basis: Basis::Name,
            sensitivity: None,
        }
    }

    #[test]
    fn the_built_in_catalogue_is_usable() {
        let catalogue = Catalogue::built_in().unwrap();
        let found = catalogue.look_up(&resource(Kind::File, "/root/.ssh/id_rsa", None));
        assert_eq!(found.unwrap().level, Level::Restricted);
        assert_eq!(
            catalogue.look_up(&resource(Kind::File, "/srv/readme.md", None)),
            None
        );
    }

    #[test]
    fn the_most_sensitive_of_all_that_match_counts() {
        let mut catalogue = Catalogue::default();
        let text = r#"
            [[entry]]
            names = ["*"]
            level = "internal"
            [[entry]]
            names = ["*customers", "crm/people"]
            kind = "table"
            level = "confidential"
            tags = ["gdpr"]
            "#;
        catalogue.add(text).unwrap();
        let level = |kind, name, namespace| {
            catalogue
                .look_up(&resource(kind, name, namespace))
                .unwrap()
                .level
        };
        assert_eq!(
            level(Kind::Table, "public.Customers", None),
            Level::Confidential
        );
        assert_eq!(
            level(Kind::Table, "people", Some("crm")),
            Level::Confidential
        );
        assert_eq!(level(Kind::File, "customers", None), Level::Internal);
    }

    #[test]
    fn what_cannot_be_read_is_refused_whole() {
        let mut catalogue = Catalogue::default();
        for text in [
            "[[entry]]\nnames=[\"a\"]\nlevel=\"secret\"",
            "[[entry]]\nnames=[\"[\"]\nlevel=\"public\"",
            "x = 1",
        ] {
            assert!(catalogue.add(text).is_err(), "{text}");
        }
        assert!(catalogue.entries.is_empty());
    }
}
