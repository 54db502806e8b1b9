//! What is known of contents: rules, catalogues, classes, redaction. Read from files, and again at SIGHUP.
//!
//! Reads no content itself. The key of fingerprints is new whenever this is read.

use std::sync::Arc;

use anyhow::{Context as _, Result};
use auditor_content::{Classifier, Redactor};
use auditor_core::{
    Pipeline,
    audit::{Names, Privacy},
};

use crate::{config::Config, host};

/// What was read.
#[derive(Clone)]
pub(crate) struct Contents {
    names: Arc<Names>,
    privacy: Arc<Privacy>,
}

impl Contents {
    /// Reads what is configured.
    ///
    /// # Errors
    /// When a file cannot be read, or something in it cannot be used.
    pub(crate) fn read(config: &Config) -> Result<Self> {
        let names = config.resources.names()?;
        let classifier = Classifier::new(&config.content).context("[content]")?;
        let redactor = Redactor::new(host::random_key(), config.redaction.policy());
        Ok(Self {
            names: Arc::new(names),
            privacy: Arc::new(Privacy {
                classifier,
                redactor,
            }),
        })
    }

    /// Has the pipeline use it.
    pub(crate) fn apply(&self, pipeline: &mut Pipeline) {
        pipeline.set_names(Arc::clone(&self.names));
        pipeline.set_privacy(Arc::clone(&self.privacy));
    }

    /// Takes what is configured now. What cannot be taken leaves what is in force as it is; the log tells.
    pub(crate) fn reload(config: &Config, pipeline: &mut Pipeline) {
        match Self::read(config) {
            Ok(contents) => contents.apply(pipeline),
            Err(error) => tracing::error!(
                "rules of contents cannot be read again, those before stay in force: {error:#}"
            ),
        }
    }
}
