//! The part `[resources]` of the configuration: what arguments name, and how sensitive things are.

use std::{fs, path::PathBuf};

use anyhow::{Context as _, Result};
use auditor_core::audit::Names;
use serde::Deserialize;

/// Files of rules and of catalogues.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Resources {
    /// Rules that say what arguments of tools name.
    pub(crate) rules: Vec<PathBuf>,
    /// Catalogues of sensitivities.
    pub(crate) catalogues: Vec<PathBuf>,
    /// Whether the rules of published servers that ship with the product count, too.
    pub(crate) builtin_rules: bool,
    /// Whether the catalogue that ships with the product counts, too.
    pub(crate) builtin_catalogue: bool,
}

impl Default for Resources {
    fn default() -> Self {
        Self {
            rules: Vec::new(),
            catalogues: Vec::new(),
            builtin_rules: true,
            builtin_catalogue: true,
        }
    }
}

impl Resources {
    /// Reads the files.
    ///
    /// # Errors
    /// When one cannot be read or used; says which and why.
    pub(crate) fn names(&self) -> Result<Names> {
        let mut names = Names::default();
        // The user's come first: of equal matches the first counts.
        for path in &self.rules {
            let text = fs::read_to_string(path);
            let text = text.with_context(|| format!("cannot read the rules {}", path.display()))?;
            let added = names.rules.add(&text);
            added.with_context(|| format!("rules {}", path.display()))?;
        }
        for path in &self.catalogues {
            let text = fs::read_to_string(path);
            let text =
                text.with_context(|| format!("cannot read the catalogue {}", path.display()))?;
            let added = names.catalogue.add(&text);
            added.with_context(|| format!("catalogue {}", path.display()))?;
        }
        if self.builtin_rules {
            names
                .rules
                .add_built_in()
                .context("the rules that ship with the product")?;
        }
        if self.builtin_catalogue {
            let added = names.catalogue.add_built_in();
            added.context("the catalogue that ships with the product")?;
        }
        Ok(names)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_cannot_be_used_is_named() {
        let folder = std::env::temp_dir().join(format!("auditor-rules-{}", std::process::id()));
        fs::write(
            &folder,
            "[[rule]]\ntool=[\"a\"]\npointer=[\"a\"]\nkind=\"file\"",
        )
        .unwrap();
        let resources = Resources {
            rules: vec![folder.clone()],
            ..Resources::default()
        };
        let error = format!("{:#}", resources.names().unwrap_err());
        fs::remove_file(&folder).unwrap();
        assert!(
            error.contains(&*folder.to_string_lossy()) && error.contains("rule 1"),
            "{error}"
        );
        assert!(Resources::default().names().is_ok());
    }
}
