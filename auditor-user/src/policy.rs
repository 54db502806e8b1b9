//! The operator's policies: read from files, and again at SIGHUP.
//!
//! Decides nothing itself. Bound: [`FILES`] files of `auditor_policy::SOURCE` bytes in all.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context as _, Result, ensure};
use auditor_core::audit::decision::Policy;
use auditor_policy::{Decider, PolicySet, SOURCE, Source};

use crate::config;

/// Most files of policies.
const FILES: usize = 256;

/// The policies in force.
#[derive(Clone, Debug, Default)]
pub(crate) struct Policies {
    set: Option<Arc<PolicySet>>,
}

impl Policies {
    /// Reads what is configured.
    ///
    /// # Errors
    /// When it cannot be read, or something is wrong with it.
    pub(crate) fn start(config: &config::Policy) -> Result<Self> {
        let mut policies = Self::default();
        policies.take(config)?;
        Ok(policies)
    }

    /// Takes what is configured now. What cannot be taken leaves the policies in force as they are; the log tells.
    /// Gives whether they were taken.
    pub(crate) fn reload(&mut self, config: &config::Policy) -> bool {
        let taken = self.take(config);
        if let Err(error) = &taken {
            tracing::error!("policies cannot be read again, those before stay in force: {error:#}");
        }
        taken.is_ok()
    }

    fn take(&mut self, config: &config::Policy) -> Result<()> {
        self.set = if config.files.is_empty() {
            None
        } else {
            let set = load(&config.files)?;
            let (count, version) = (set.policies().len(), set.version());
            tracing::info!(%version, "{count} policies are in force, in audit mode");
            Some(Arc::new(set))
        };
        Ok(())
    }

    /// SHA-256 of the policies in force, in hexadecimal digits.
    pub(crate) fn version(&self) -> Option<String> {
        self.set.as_ref().map(|set| set.version().to_string())
    }

    /// What decides by these policies; `None` where there are none.
    pub(crate) fn policy(&self) -> Option<Box<dyn Policy>> {
        let set = Arc::clone(self.set.as_ref()?);
        Some(Box::new(Decider::new(set)))
    }
}

/// Reads and checks the policies of files and folders.
///
/// # Errors
/// When they cannot be read, or with all that is wrong with them.
pub(crate) fn load(paths: &[PathBuf]) -> Result<PolicySet> {
    let texts = read(paths)?;
    let sources: Vec<_> = texts
        .iter()
        .map(|(name, text)| Source { name, text })
        .collect();
    Ok(PolicySet::parse(&sources)?)
}

/// The files' names and texts, in order.
fn read(paths: &[PathBuf]) -> Result<Vec<(String, String)>> {
    let mut files = Vec::new();
    for path in paths {
        if path.is_dir() {
            let in_it = listed(path, "cedar")?;
            ensure!(!in_it.is_empty(), "no *.cedar in {}", path.display());
            files.extend(in_it);
        } else {
            files.push(path.clone());
        }
    }
    ensure!(
        files.len() <= FILES,
        "{} files of policies, over the limit of {FILES}",
        files.len()
    );
    let mut left = SOURCE as u64;
    let texts = files.iter().map(|path| {
        let name = path.file_name().unwrap_or(path.as_os_str());
        let length = fs::metadata(path).map(|about| about.len());
        let length = length.with_context(|| format!("cannot read {}", path.display()))?;
        left = left.checked_sub(length).with_context(|| {
            format!(
                "{}: policies are over the limit of {SOURCE} bytes",
                path.display()
            )
        })?;
        let text = fs::read_to_string(path);
        let text = text.with_context(|| format!("cannot read {}", path.display()))?;
        Ok((name.to_string_lossy().into_owned(), text))
    });
    texts.collect()
}

/// Files of a folder with this extension, by name.
///
/// # Errors
/// When the folder cannot be read.
pub(crate) fn listed(folder: &Path, extension: &str) -> Result<Vec<PathBuf>> {
    let entries =
        fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let mut files: Vec<_> = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|one| one == extension))
        .collect();
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn broken_policies_leave_those_before_in_force() {
        let folder =
            std::env::temp_dir().join(format!("mcp-auditor-policy-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let file = folder.join("a.cedar");
        fs::write(&file, "permit(principal, action, resource);").unwrap();
        let configuration = folder.join("config.toml");
        let text = format!("[policy]\nfiles = [{:?}]", folder.display().to_string());
        fs::write(&configuration, text).unwrap();
        let (config, _) = config::Config::read(Some(&configuration)).unwrap();
        let mut policies = Policies::start(&config.policy).unwrap();
        let version =
            |policies: &Policies| policies.set.as_ref().map(|set| set.version().to_string());
        let first = version(&policies);
        assert!(first.is_some());
        fs::write(&file, "permit(principal, action);").unwrap();
        assert!(!policies.reload(&config.policy));
        assert_eq!(version(&policies), first);
        assert!(Policies::start(&config.policy).is_err());
        fs::write(&file, "forbid(principal, action, resource);").unwrap();
        assert!(policies.reload(&config.policy));
        assert!(version(&policies) != first);
        fs::write(&configuration, "").unwrap();
        let (config, _) = config::Config::read(Some(&configuration)).unwrap();
        assert!(policies.reload(&config.policy));
        assert!(policies.policy().is_none());
        fs::remove_dir_all(folder).unwrap();
    }
}
