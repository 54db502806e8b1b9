//! The rules that events are compared with: those that ship with the product and the operator's, read again at SIGHUP.
//!
//! Evaluates nothing itself. Bound: [`FILES`] files; `auditor-detect` bounds what is in them.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, ensure};
use auditor_detect::{PACK, Rules, Source};

use crate::{config::Detection, policy::listed};

/// Most files of rules.
const FILES: usize = 256;
/// Bytes of one file.
const FILE: u64 = 1 << 20;

/// Reads and checks what is configured.
///
/// # Errors
/// When a file cannot be read, or with what is wrong with it.
pub(crate) fn load(config: &Detection) -> Result<Rules> {
    let texts = read(&config.rules)?;
    let shipped = PACK.iter().filter(|_| config.shipped);
    let shipped = shipped.map(|(name, text)| Source { name, text });
    let own = texts.iter().map(|(name, text)| Source { name, text });
    let sources: Vec<_> = shipped.chain(own).collect();
    Ok(Rules::parse(&sources, &config.disabled)?)
}

/// Reads and checks rules alone.
///
/// # Errors
/// As [`load`].
pub(crate) fn check(paths: &[PathBuf]) -> Result<Rules> {
    load(&Detection {
        shipped: false,
        rules: paths.to_vec(),
        disabled: Vec::new(),
    })
}

/// The paths and texts of files, in order.
fn read(paths: &[PathBuf]) -> Result<Vec<(String, String)>> {
    let mut files = Vec::new();
    for path in paths {
        if path.is_dir() {
            let mut in_it = listed(path, "yml")?;
            in_it.extend(listed(path, "yaml")?);
            ensure!(!in_it.is_empty(), "no *.yml in {}", path.display());
            files.extend(in_it);
        } else {
            files.push(path.clone());
        }
    }
    ensure!(
        files.len() <= FILES,
        "{} files of rules, over the limit of {FILES}",
        files.len()
    );
    files
        .iter()
        .map(|path| Ok((path.display().to_string(), text(path)?)))
        .collect()
}

fn text(path: &Path) -> Result<String> {
    let what = || format!("cannot read {}", path.display());
    let length = fs::metadata(path).with_context(what)?.len();
    ensure!(
        length <= FILE,
        "{}: {length} bytes are over the limit of {FILE}",
        path.display()
    );
    fs::read_to_string(path).with_context(what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broken_file_is_named_with_the_mend() {
        let folder = std::env::temp_dir().join(format!("mcp-auditor-rules-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let config = Detection {
            rules: vec![folder.clone()],
            ..Detection::default()
        };
        assert!(load(&config).is_err(), "an empty folder");
        let shipped = load(&Detection::default()).unwrap().list().len();
        let (name, rule) = PACK[0];
        fs::write(folder.join(name), rule.replace("title: ", "title: My ")).unwrap();
        assert_eq!(
            load(&config).unwrap().list().len(),
            shipped,
            "one is replaced"
        );
        fs::write(
            folder.join("b.yml"),
            rule.replace("unmapped.mcp.kind", "mcp.kind"),
        )
        .unwrap();
        let error = format!("{:#}", load(&config).unwrap_err());
        assert!(
            error.contains("b.yml") && error.contains("docs/detection.md"),
            "{error}"
        );
        fs::remove_dir_all(folder).unwrap();
    }
}
