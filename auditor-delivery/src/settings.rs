//! What an operator says of a sink: where events go, which, and how many may wait.

use std::path::PathBuf;

use serde::Deserialize;

use crate::{
    filter::Severity,
    sink::{
        bulk::Bulk, jsonl::Jsonl, kafka::Kafka, otlp::Otlp, s3::S3, splunk::Splunk, syslog::Syslog,
        webhook::Webhook,
    },
    tls::Tls,
};

/// Longest name of a sink.
const NAME: usize = 64;

/// One place that events go to. Exactly one of the tables `jsonl` to `s3` says which kind it is.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Its name: letters, digits, `-` and `_`.
    pub name: String,
    /// The least severity that is sent.
    #[serde(default)]
    pub(crate) min_severity: Severity,
    /// The OCSF classes that are sent; all where none is named.
    #[serde(default)]
    pub(crate) classes: Vec<u32>,
    /// Only findings are sent.
    #[serde(default)]
    pub(crate) detections_only: bool,
    /// Events that may wait.
    #[serde(default = "backlog")]
    pub(crate) backlog: u64,
    /// What is left out when more would wait.
    #[serde(default)]
    pub(crate) when_full: WhenFull,
    /// Where a sink begins that was not there before.
    #[serde(default)]
    pub(crate) begin: Begin,
    /// Shortest time between two checkpoints, in seconds.
    #[serde(default = "checkpoint_seconds")]
    pub(crate) checkpoint_seconds: u32,
    /// Events that are sent together at most.
    pub(crate) batch_events: Option<usize>,
    /// Bytes of events that are sent together at most, where they are more than one.
    #[serde(default = "batch_bytes")]
    pub(crate) batch_bytes: usize,
    /// Whom to trust, and what to show; for the kinds that connect by TLS.
    #[serde(default)]
    pub(crate) tls: Tls,
    pub(crate) jsonl: Option<Jsonl>,
    pub(crate) syslog: Option<Syslog>,
    pub(crate) otlp: Option<Otlp>,
    pub(crate) kafka: Option<Kafka>,
    pub(crate) splunk: Option<Splunk>,
    pub(crate) bulk: Option<Bulk>,
    pub(crate) webhook: Option<Webhook>,
    pub(crate) s3: Option<S3>,
}

/// What is left out when more events would wait than may.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "snake_case")]
pub(crate) enum WhenFull {
    /// The oldest of those that wait.
    #[default]
    DropOldest,
    /// Those that come, until there is room.
    DropNewest,
}

/// Where a new sink begins.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Begin {
    /// With what is logged from then on.
    #[default]
    Now,
    /// With the oldest entry of the log.
    Oldest,
}

fn backlog() -> u64 {
    10_000_000
}

fn checkpoint_seconds() -> u32 {
    1
}

fn batch_bytes() -> usize {
    1 << 20
}

/// What is wrong with the settings of a sink.
#[derive(Debug, thiserror::Error)]
#[error("sink `{name}`: {what}")]
pub struct Invalid {
    /// Of which.
    pub name: String,
    /// What it is, and how to mend it.
    pub what: String,
}

impl Settings {
    /// Looks at what the types do not say.
    ///
    /// # Errors
    /// When something cannot be meant.
    pub fn check(&self) -> Result<(), Invalid> {
        let invalid = |what: String| Invalid {
            name: self.name.clone(),
            what,
        };
        let is_name = !self.name.is_empty()
            && self.name.len() <= NAME
            && self
                .name
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
        if !is_name {
            let told = "its name must be 1 to 64 letters, digits, `-` and `_`";
            return Err(invalid(told.to_owned()));
        }
        let kinds = [
            ("jsonl", self.jsonl.is_some()),
            ("syslog", self.syslog.is_some()),
            ("otlp", self.otlp.is_some()),
            ("kafka", self.kafka.is_some()),
            ("splunk", self.splunk.is_some()),
            ("bulk", self.bulk.is_some()),
            ("webhook", self.webhook.is_some()),
            ("s3", self.s3.is_some()),
        ];
        if kinds.iter().filter(|(_, is_there)| *is_there).count() != 1 {
            let names: Vec<&str> = kinds.iter().map(|(name, _)| *name).collect();
            return Err(invalid(format!(
                "exactly one of the tables {} must say what kind it is, such as [sinks.syslog]",
                names.join(", ")
            )));
        }
        if self.backlog < 1_000 {
            return Err(invalid("backlog must be at least 1000 events".to_owned()));
        }
        if self.batch_events == Some(0) || self.batch_bytes == 0 {
            return Err(invalid("a batch must have room for an event".to_owned()));
        }
        self.tls.check().map_err(invalid)?;
        let urls = [
            self.otlp.as_ref().map(|one| &one.url),
            self.splunk.as_ref().map(|one| &one.url),
            self.bulk.as_ref().map(|one| &one.url),
            self.webhook.as_ref().map(|one| &one.url),
        ];
        for url in urls.into_iter().flatten() {
            crate::http::checked(url).map_err(invalid)?;
        }
        if let Some(s3) = &self.s3 {
            s3.check().map_err(invalid)?;
        }
        if let Some(syslog) = &self.syslog {
            syslog.check().map_err(invalid)?;
        }
        if let Some(kafka) = &self.kafka {
            kafka.check().map_err(invalid)?;
        }
        Ok(())
    }

    /// Looks at all sinks together.
    ///
    /// # Errors
    /// When one of them is invalid, or two have the same name.
    pub fn check_all(sinks: &[Self]) -> Result<(), Invalid> {
        for (at, one) in sinks.iter().enumerate() {
            one.check()?;
            if sinks.iter().take(at).any(|other| other.name == one.name) {
                return Err(Invalid {
                    name: one.name.clone(),
                    what: "another sink has this name, too".to_owned(),
                });
            }
        }
        Ok(())
    }
}

/// A secret that is in a file, so that it is in no configuration: read each time a connection is made.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
#[serde(transparent)]
pub(crate) struct Secret(pub(crate) PathBuf);

impl Secret {
    /// What is in the file, without blanks around it.
    pub(crate) fn read(&self) -> Result<String, String> {
        let path = self.0.display();
        let text = std::fs::read_to_string(&self.0)
            .map_err(|error| format!("cannot read the secret in {path}: {error}"))?;
        let text = text.trim();
        if text.is_empty() {
            return Err(format!("there is no secret in {path}"));
        }
        Ok(text.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Settings, String> {
        let settings: Settings = toml::from_str(text).map_err(|error| error.to_string())?;
        settings.check().map_err(|error| error.to_string())?;
        Ok(settings)
    }

    #[test]
    fn what_cannot_be_meant_is_refused_by_name() {
        let wrong = [
            ("name = 'a'", "exactly one of the tables"),
            (
                "name = 'a'\n[jsonl]\npath = '/x'\n[webhook]\nurl = 'https://x/'\nsecret_file = '/s'",
                "exactly one",
            ),
            ("name = 'a/b'\n[jsonl]\npath = '/x'", "its name"),
            ("name = 'a'\nbacklog = 5\n[jsonl]\npath = '/x'", "backlog"),
            ("name = 'a'\n[jsonl]\npath = '/x'\npaht = '/y'", "paht"),
            (
                "name = 'a'\n[webhook]\nurl = 'ftp://x/'\nsecret_file = '/s'",
                "http",
            ),
            (
                "name = 'a'\ntls.cert_file = '/c'\n[jsonl]\npath = '/x'",
                "key_file",
            ),
            ("name = 'a'\n[syslog]\naddress = 'host'", "port"),
            (
                "name = 'a'\n[kafka]\nbrokers = []\ntopic = 't'",
                "no broker",
            ),
        ];
        for (text, word) in wrong {
            let error = read(text).unwrap_err();
            assert!(error.contains(word), "{text}: {error}");
        }
    }

    #[test]
    fn two_sinks_have_two_names() {
        let one = read("name = 'a'\n[jsonl]\npath = '/x'").unwrap();
        assert!(Settings::check_all(std::slice::from_ref(&one)).is_ok());
        assert!(Settings::check_all(&[one.clone(), one]).is_err());
    }
}
