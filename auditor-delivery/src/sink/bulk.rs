//! Elasticsearch's and OpenSearch's `_bulk`: each event is a document that is created under its own name, once.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use hyper::{
    Request,
    header::{AUTHORIZATION, CONTENT_TYPE},
};
use serde::Deserialize;
use serde_json::json;

use super::{Failure, Sink, Taken};
use crate::{
    event::Event,
    http::{self, Asker},
    settings::Secret,
    tls::Tls,
};

/// `[sinks.bulk]`.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
#[serde(deny_unknown_fields)]
pub(crate) struct Bulk {
    /// Of the cluster, without a path.
    pub(crate) url: String,
    /// The index or data stream.
    #[serde(default = "index")]
    pub(crate) index: String,
    /// The file with an API key, as the cluster showed it (encoded).
    pub(crate) api_key_file: Option<Secret>,
    /// A user, instead.
    pub(crate) username: Option<String>,
    /// The file with the user's password.
    pub(crate) password_file: Option<Secret>,
}

fn index() -> String {
    "mcp-auditor".to_owned()
}

/// Sends events to a cluster.
pub(crate) struct Sender {
    settings: Bulk,
    asker: Asker,
}

#[derive(Deserialize)]
struct Said {
    errors: bool,
    items: Vec<Item>,
}

#[derive(Deserialize)]
struct Item {
    create: Done,
}

#[derive(Deserialize)]
struct Done {
    status: u16,
    error: Option<serde_json::Value>,
}

impl Sender {
    pub(crate) fn new(settings: &Bulk, tls: &Tls) -> Self {
        Self {
            settings: settings.clone(),
            asker: Asker::new(tls),
        }
    }

    fn authorization(&self) -> Result<Option<String>, String> {
        if let Some(key) = &self.settings.api_key_file {
            return Ok(Some(format!("ApiKey {}", key.read()?)));
        }
        let (Some(user), Some(password)) = (&self.settings.username, &self.settings.password_file)
        else {
            return Ok(None);
        };
        let pair = format!("{user}:{}", password.read()?);
        Ok(Some(format!("Basic {}", BASE64_STANDARD.encode(pair))))
    }
}

/// Two lines for each event. `@timestamp` is what data streams ask for.
fn body(index: &str, events: &[Event]) -> Vec<u8> {
    let mut body = Vec::new();
    for event in events {
        let action = json!({"create": {"_index": index, "_id": event.key()}});
        body.extend(action.to_string().into_bytes());
        let inner = event.bytes.strip_prefix(b"{").unwrap_or_default();
        body.extend(format!("\n{{\"@timestamp\":{},", event.head.time_ms).into_bytes());
        body.extend_from_slice(inner);
        body.push(b'\n');
    }
    body
}

/// What the cluster says of each document.
fn taken(said: &Said, events: usize) -> Result<Taken, Failure> {
    if !said.errors {
        return Ok(Taken::All);
    }
    if said.items.len() != events {
        let told = format!(
            "{} events were sent, {} are told of",
            events,
            said.items.len()
        );
        return Err(Failure::again(told));
    }
    let mut refused = Vec::new();
    for (at, Item { create }) in said.items.iter().enumerate() {
        match create.status {
            // It is there already: it was sent before.
            200..=299 | 409 => {}
            400 | 413 | 422 => {
                let why = create.error.as_ref().and_then(|error| error.get("reason"));
                let why = why.and_then(|why| why.as_str()).unwrap_or_default();
                let why: String = why.chars().take(200).collect();
                refused.push((at, format!("{}: {why}", create.status)));
            }
            status => {
                return Err(Failure::again(format!(
                    "the receiver answers {status} for event {} of {events}",
                    at + 1
                )));
            }
        }
    }
    Ok(if refused.is_empty() {
        Taken::All
    } else {
        Taken::But(refused)
    })
}

impl Sink for Sender {
    async fn deliver(&mut self, events: &[Event]) -> Result<Taken, Failure> {
        let url = format!("{}/_bulk", self.settings.url.trim_end_matches('/'));
        let mut request = Request::post(url).header(CONTENT_TYPE, "application/x-ndjson");
        if let Some(shown) = self.authorization().map_err(Failure::again)? {
            request = request.header(AUTHORIZATION, http::sensitive(&shown)?);
        }
        let body = body(&self.settings.index, events);
        let answer = self.asker.ask(request, body).await?;
        if !answer.status.is_success() {
            return Err(answer.failure());
        }
        let said: Said = serde_json::from_slice(&answer.body)
            .map_err(|error| Failure::again(format!("the answer is none of _bulk: {error}")))?;
        taken(&said, events.len())
    }

    fn reset(&mut self) {
        self.asker.reset();
    }

    fn batch(&self) -> usize {
        2_000
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::tests::event;

    #[test]
    fn documents_have_names_and_times_of_their_own() {
        let body = String::from_utf8(body("audit", &[event(1, "r-1")])).unwrap();
        let lines: Vec<serde_json::Value> = body
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!(
            lines[0],
            json!({"create": {"_index": "audit", "_id": "r-1"}})
        );
        assert_eq!(lines[1]["@timestamp"], 1_700_000_000_001_u64);
        assert_eq!(lines[1]["metadata"]["uid"], "r-1");
        assert!(body.ends_with('\n'));
    }

    // Answers as Elasticsearch's and OpenSearch's documentation show them.
    fn said(items: &[(u16, Option<&str>)]) -> Said {
        let items: Vec<_> = items
            .iter()
            .map(|(status, reason)| match reason {
                None => json!({"create": {"_index": "audit", "_id": "r", "status": status}}),
                Some(reason) => json!({"create": {"_index": "audit", "_id": "r", "status": status,
                    "error": {"type": "t", "reason": reason}}}),
            })
            .collect();
        let errors = items
            .iter()
            .any(|item| item["create"].get("error").is_some());
        serde_json::from_value(json!({"took": 30, "errors": errors, "items": items})).unwrap()
    }

    #[test]
    fn each_document_has_its_own_answer() {
        assert_eq!(taken(&said(&[(201, None)]), 1), Ok(Taken::All));
        let there = [
            (409, Some("version conflict, document already exists")),
            (201, None),
        ];
        assert_eq!(taken(&said(&there), 2), Ok(Taken::All));
        let one = [(201, None), (400, Some("failed to parse"))];
        let refused = Taken::But(vec![(1, "400: failed to parse".to_owned())]);
        assert_eq!(taken(&said(&one), 2), Ok(refused));
        let busy = [(201, None), (429, Some("es_rejected_execution_exception"))];
        assert!(matches!(taken(&said(&busy), 2), Err(Failure::Again { .. })));
        assert!(taken(&said(&busy), 3).is_err());
    }
}
