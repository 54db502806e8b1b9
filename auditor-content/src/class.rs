//! Names and sensitivity of the kinds of data that are found.

use std::sync::Arc;

/// How much harm a disclosure does, least first.
#[derive(
    Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, serde::Deserialize, serde::Serialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// Fine within the organisation: IP addresses, words of a dictionary by default.
    Internal,
    /// Personal data that identifies or reaches someone: e-mail, phone, name.
    Confidential,
    /// Gives access or steals an identity: secrets, cards, accounts, national ids.
    Restricted,
}

impl Level {
    /// The level's name in lower case.
    pub fn name(self) -> &'static str {
        match self {
            Self::Internal => "internal",
            Self::Confidential => "confidential",
            Self::Restricted => "restricted",
        }
    }
}

/// A kind of data, such as `secret.github_pat`, `pii.email` or `custom.project`.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Class {
    /// Its name: a family, a dot, and a name of lower-case letters, digits and `_`.
    pub name: Arc<str>,
    /// Its sensitivity.
    pub level: Level,
}

/// Position of a class in its classifier's table.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(crate) struct ClassId(pub(crate) u16);

/// The classes of one classifier, each name once.
#[derive(Debug, Default)]
pub(crate) struct Classes {
    table: Vec<Class>,
}

impl Classes {
    /// The id of the class `name`; the level of its first mention stands.
    pub(crate) fn id(&mut self, name: &str, level: Level) -> ClassId {
        let found = self.table.iter().position(|class| &*class.name == name);
        let index = found.unwrap_or_else(|| {
            self.table.push(Class {
                name: name.into(),
                level,
            });
            self.table.len() - 1
        });
        ClassId(u16::try_from(index).unwrap_or(u16::MAX))
    }

    pub(crate) fn get(&self, id: ClassId) -> Option<&Class> {
        self.table.get(usize::from(id.0))
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Class> {
        self.table.iter()
    }
}

/// `text` as the second part of a class name: other characters become `_`.
pub(crate) fn snake(text: &str) -> String {
    let letter = |letter: char| match letter {
        'a'..='z' | '0'..='9' => letter,
        'A'..='Z' => letter.to_ascii_lowercase(),
        _ => '_',
    };
    text.chars().map(letter).collect()
}
