//! What identities are proven by, kept up to date while the daemon runs: keys that are fetched, and the configuration
//! when it is read again.
//!
//! Knows no token: which keys are wanted is the pipeline's word. Bounds: see [`fetch`] and [`store`].

mod client;
mod fetch;
mod store;

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use auditor_core::Pipeline;

use self::fetch::Fetcher;
use crate::config::Config;

/// The configuration file that is in force.
#[derive(Clone, Debug, Default)]
pub(crate) struct ConfigFile {
    /// Its path, as it was given; none for the usual one.
    pub(crate) path: Option<PathBuf>,
    /// Its text; empty where there is none.
    pub(crate) text: String,
}

/// Keeps the pipeline's issuers and gateways up to date.
pub(crate) struct Identities {
    /// Text of the configuration in force.
    text: String,
    data_dir: Option<PathBuf>,
    /// None where no keys are fetched.
    fetcher: Option<Fetcher>,
}

impl Identities {
    /// Starts to fetch what is configured; the pipeline gets the keys that are known from the last run.
    ///
    /// # Errors
    /// When certificates cannot be read, or a thread cannot be started.
    pub(crate) fn start(
        config: &Config,
        text: String,
        data_dir: Option<PathBuf>,
        pipeline: &mut Pipeline,
    ) -> Result<Self> {
        let mut identities = Self {
            text,
            data_dir,
            fetcher: None,
        };
        identities.fetcher = identities.fetch(config)?;
        identities.take_answers(pipeline);
        Ok(identities)
    }

    fn fetch(&self, config: &Config) -> Result<Option<Fetcher>> {
        let sources = config.identity.sources()?;
        if sources.is_empty() {
            return Ok(None);
        }
        Fetcher::start(sources, self.data_dir.as_deref()).map(Some)
    }

    /// Passes keys on that were fetched, and has those fetched that are wanted.
    pub(crate) fn serve(&mut self, pipeline: &mut Pipeline) {
        while let Some(issuer) = pipeline.poll_wanted_keys() {
            if let Some(fetcher) = &self.fetcher {
                fetcher.want(issuer);
            }
        }
        self.take_answers(pipeline);
    }

    fn take_answers(&self, pipeline: &mut Pipeline) {
        let fetcher = self.fetcher.iter();
        for (issuer, keys) in fetcher.flat_map(Fetcher::take_answers) {
            pipeline.set_keys(issuer, keys);
        }
    }

    /// Takes the configuration that was read again. What cannot be taken leaves the one in force as it is.
    pub(crate) fn reload(&mut self, config: &Config, text: String, pipeline: &mut Pipeline) {
        match self.try_reload(config, text, pipeline) {
            Ok(unchanged) if unchanged.is_empty() => {
                tracing::info!(
                    "configuration read again: issuers, authorities and gateways are in force"
                );
            }
            Ok(unchanged) => tracing::warn!(
                "configuration read again: issuers, authorities and gateways are in force; {} changed, which needs a restart",
                unchanged.join(", ")
            ),
            Err(error) => tracing::error!(
                "the configuration cannot be read again, the one before stays in force: {error:#}"
            ),
        }
    }

    /// Gives the keys that changed, and that a running daemon cannot take.
    fn try_reload(
        &mut self,
        config: &Config,
        text: String,
        pipeline: &mut Pipeline,
    ) -> Result<Vec<String>> {
        let issuers = config.identity.issuers()?;
        let authorities = config.identity.authorities()?;
        // All that can fail comes first.
        let fetcher = self.fetch(config)?;
        let unchanged = fixed_changes(&self.text, &text)?;
        pipeline.set_identities(issuers, authorities, config.identity.gateways());
        self.fetcher = fetcher;
        self.take_answers(pipeline);
        // What needs a restart is named until there was one.
        if unchanged.is_empty() {
            self.text = text;
        }
        Ok(unchanged)
    }
}

/// Keys that differ between two texts of the configuration, without those that a running daemon takes.
fn fixed_changes(before: &str, after: &str) -> Result<Vec<String>> {
    let table = |text: &str| -> Result<toml::Table> {
        let mut table: toml::Table = toml::from_str(text).context("no TOML")?;
        // Read by whoever keeps policies and what is known of contents.
        for name in ["policy", "resources", "content", "redaction"] {
            table.remove(name);
        }
        let identity = table.remove("identity");
        let spire = identity.and_then(|identity| identity.get("spire").cloned());
        if let Some(spire) = spire {
            table.insert("identity.spire".to_owned(), spire);
        }
        Ok(table)
    };
    let (before, after) = (table(before)?, table(after)?);
    let mut names: Vec<String> = before
        .keys()
        .chain(after.keys())
        .filter(|name| before.get(*name) != after.get(*name))
        .cloned()
        .collect();
    names.sort();
    names.dedup();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_running_daemon_cannot_take_is_named() {
        let before =
            "ring_bytes = 65536\n[mcp]\nserver_ports = [1]\n[identity]\ngateway_images = ['a']";
        let after = "processes = 2048\n[mcp]\nserver_ports = [2]\n[identity]\ngateway_images = ['b']\n\
                     [identity.spire]\nsocket = '/s'";
        let changed = fixed_changes(before, after).unwrap();
        assert_eq!(
            changed,
            ["identity.spire", "mcp", "processes", "ring_bytes"]
        );
        let same = before.replace("'a'", "'c'");
        assert!(fixed_changes(before, &same).unwrap().is_empty());
    }
}
