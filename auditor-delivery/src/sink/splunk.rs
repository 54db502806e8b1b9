//! Splunk's HTTP Event Collector: `/services/collector/event`, many events a request.

use std::{sync::Arc, time::Duration};

use hyper::{Request, header::AUTHORIZATION};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{Failure, Sink, Taken};
use crate::{
    Origin,
    event::Event,
    http::{self, Asker},
    settings::Secret,
    tls::Tls,
};

/// `[sinks.splunk]`.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
#[serde(deny_unknown_fields)]
pub(crate) struct Splunk {
    /// Of the collector, without a path.
    pub(crate) url: String,
    /// The file with the token.
    pub(crate) token_file: Secret,
    /// The index, where it is not the token's.
    pub(crate) index: Option<String>,
    #[serde(default = "source")]
    pub(crate) source: String,
    #[serde(default = "sourcetype")]
    pub(crate) sourcetype: String,
    /// Wait until the indexer acknowledges; the token must have that switched on.
    #[serde(default)]
    pub(crate) acknowledge: bool,
}

fn source() -> String {
    "mcp-auditor".to_owned()
}

fn sourcetype() -> String {
    "mcp-auditor:ocsf".to_owned()
}

/// How long the indexer is waited for, and how often it is asked.
const ACKNOWLEDGE: (Duration, Duration) = (Duration::from_secs(25), Duration::from_millis(500));
/// What a collector answers with `code` where an event is at fault: its form, that there is none, or its fields.
const AT_FAULT: [i64; 4] = [6, 12, 13, 15];

/// Sends events to a collector.
pub(crate) struct Sender {
    settings: Splunk,
    origin: Arc<Origin>,
    asker: Asker,
    /// The channel of a node is always the same (a UUID of its name).
    channel: String,
}

/// What is around an event.
#[derive(Serialize)]
struct Envelope<'a> {
    time: f64,
    host: &'a str,
    source: &'a str,
    sourcetype: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    index: Option<&'a str>,
    event: &'a RawValue,
}

#[derive(Default, Deserialize)]
struct Said {
    #[serde(default)]
    code: i64,
    #[serde(rename = "ackId")]
    ack: Option<u64>,
}

impl Sender {
    pub(crate) fn new(settings: &Splunk, tls: &Tls, origin: Arc<Origin>) -> Self {
        Self {
            settings: settings.clone(),
            channel: channel(&origin.node),
            origin,
            asker: Asker::new(tls),
        }
    }

    fn body(&self, events: &[Event]) -> Vec<u8> {
        let mut body = Vec::new();
        for event in events {
            let Ok(inner) = serde_json::from_slice(&event.bytes) else {
                continue;
            };
            let envelope = Envelope {
                time: event.head.time_ms as f64 / 1_000.0,
                host: &self.origin.hostname,
                source: &self.settings.source,
                sourcetype: &self.settings.sourcetype,
                index: self.settings.index.as_deref(),
                event: inner,
            };
            // Writing to memory cannot fail.
            let _ = serde_json::to_writer(&mut body, &envelope);
            body.push(b'\n');
        }
        body
    }

    async fn post(&mut self, path: &str, body: Vec<u8>) -> Result<http::Answer, Failure> {
        let token = self.settings.token_file.read().map_err(Failure::again)?;
        let url = format!("{}{path}", self.settings.url.trim_end_matches('/'));
        let mut request =
            Request::post(url).header(AUTHORIZATION, http::sensitive(&format!("Splunk {token}"))?);
        if self.settings.acknowledge {
            request = request.header("X-Splunk-Request-Channel", &self.channel);
        }
        self.asker.ask(request, body).await
    }

    /// Waits until the indexer has what an id stands for.
    async fn acknowledged(&mut self, id: u64) -> Result<(), Failure> {
        let (patience, pause) = ACKNOWLEDGE;
        let asked = async {
            loop {
                let body = format!("{{\"acks\":[{id}]}}").into_bytes();
                let answer = self.post("/services/collector/ack", body).await?;
                if !answer.status.is_success() {
                    return Err(answer.failure());
                }
                let said: serde_json::Value =
                    serde_json::from_slice(&answer.body).unwrap_or_default();
                if said.pointer(&format!("/acks/{id}")) == Some(&true.into()) {
                    return Ok(());
                }
                tokio::time::sleep(pause).await;
            }
        };
        let asked = tokio::time::timeout(patience, asked).await;
        asked.unwrap_or_else(|_| Err(Failure::again("the indexer acknowledges nothing")))
    }
}

impl Sink for Sender {
    async fn deliver(&mut self, events: &[Event]) -> Result<Taken, Failure> {
        let body = self.body(events);
        let answer = self.post("/services/collector/event", body).await?;
        let said: Said = serde_json::from_slice(&answer.body).unwrap_or_default();
        if answer.status.is_success() {
            if let Some(id) = said.ack.filter(|_| self.settings.acknowledge) {
                self.acknowledged(id).await?;
            }
            return Ok(Taken::All);
        }
        Err(failure(&answer, said.code))
    }

    fn reset(&mut self) {
        self.asker.reset();
    }
}

/// What an answer means that is no success.
fn failure(answer: &http::Answer, code: i64) -> Failure {
    if answer.status.as_u16() == 400 && !AT_FAULT.contains(&code) {
        // The index, the channel, or something between: a person mends it, no event is at fault.
        return Failure::again(answer.told());
    }
    answer.failure()
}

/// A UUID that stands for a name.
fn channel(name: &str) -> String {
    use sha2::Digest as _;
    let hash = sha2::Sha256::digest(name);
    let hex: String = hash
        .iter()
        .take(16)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let part = |range| hex.get(range).unwrap_or_default();
    format!(
        "{}-{}-8{}-8{}-{}",
        part(0..8),
        part(8..12),
        part(13..16),
        part(17..20),
        part(20..32)
    )
}

#[cfg(test)]
mod tests {
    use hyper::{HeaderMap, StatusCode};

    use super::*;
    use crate::event::tests::event;

    #[test]
    fn events_are_in_envelopes() {
        let text = "url = 'https://splunk:8088'\ntoken_file = '/t'\nindex = 'audit'";
        let settings: Splunk = toml::from_str(text).unwrap();
        let sender = Sender::new(&settings, &Tls::default(), Origin::testing());
        let body = String::from_utf8(sender.body(&[event(1, "r-1"), event(2, "r-2")])).unwrap();
        let lines: Vec<serde_json::Value> = body
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!(lines.len(), 2);
        assert_eq!(lines[0]["time"], 1_700_000_000.001);
        assert_eq!(lines[0]["index"], "audit");
        assert_eq!(lines[1]["event"]["metadata"]["uid"], "r-2");
        assert_eq!(sender.channel.len(), 36);
    }

    // Answers as Splunk's documentation lists them ("Possible error codes" of the HTTP Event Collector).
    #[test]
    fn only_events_that_are_at_fault_are_refused() {
        let means = |status: u16, body: &'static str| {
            let said: Said = serde_json::from_str(body).unwrap();
            let answer = http::Answer {
                status: StatusCode::from_u16(status).unwrap(),
                headers: HeaderMap::new(),
                body: bytes::Bytes::from_static(body.as_bytes()),
            };
            failure(&answer, said.code)
        };
        let format = r#"{"text":"Invalid data format","code":6,"invalid-event-number":1}"#;
        assert!(matches!(means(400, format), Failure::Rejected(_)));
        for (status, body) in [
            (403, r#"{"text":"Invalid token","code":4}"#),
            (
                400,
                r#"{"text":"Incorrect index","code":7,"invalid-event-number":1}"#,
            ),
            (400, r#"{"text":"Data channel is missing","code":10}"#),
            (503, r#"{"text":"Server is busy","code":9}"#),
        ] {
            assert!(
                matches!(means(status, body), Failure::Again { .. }),
                "{body}"
            );
        }
    }
}
