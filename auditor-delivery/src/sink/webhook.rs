//! A webhook, signed as [Standard Webhooks](https://www.standardwebhooks.com) describes.

use std::{
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use hyper::{Request, header::CONTENT_TYPE};
use serde::Deserialize;
use sha2::Sha256;

use super::{Failure, Sink, Taken};
use crate::{Origin, event::Event, http::Asker, settings::Secret, tls::Tls};

/// `[sinks.webhook]`.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
#[serde(deny_unknown_fields)]
pub(crate) struct Webhook {
    /// Where requests are made.
    pub(crate) url: String,
    /// The file with the secret that they are signed with: `whsec_` and base64, or any text.
    pub(crate) secret_file: Secret,
}

/// Sends events to a URL.
pub(crate) struct Sender {
    settings: Webhook,
    origin: Arc<Origin>,
    asker: Asker,
}

impl Sender {
    pub(crate) fn new(settings: &Webhook, tls: &Tls, origin: Arc<Origin>) -> Self {
        Self {
            settings: settings.clone(),
            origin,
            asker: Asker::new(tls),
        }
    }
}

/// The key that a secret stands for.
fn key(secret: &str) -> Result<Vec<u8>, String> {
    match secret.strip_prefix("whsec_") {
        Some(encoded) => BASE64_STANDARD
            .decode(encoded)
            .map_err(|_| "what follows whsec_ in the secret is no base64".to_owned()),
        None => Ok(secret.as_bytes().to_vec()),
    }
}

/// The signature of a message: over its id, its time and its body.
fn signature(key: &[u8], id: &str, seconds: u64, body: &[u8]) -> String {
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else {
        // HMAC takes keys of any length.
        return String::new();
    };
    mac.update(format!("{id}.{seconds}.").as_bytes());
    mac.update(body);
    let tag = mac.finalize().into_bytes();
    format!("v1,{}", BASE64_STANDARD.encode(tag))
}

/// Events in an envelope that says what they are.
fn body(events: &[Event], seconds: u64) -> Vec<u8> {
    let time =
        humantime::format_rfc3339_seconds(UNIX_EPOCH + std::time::Duration::from_secs(seconds));
    let mut body =
        format!("{{\"type\":\"mcp.audit\",\"timestamp\":\"{time}\",\"data\":[").into_bytes();
    for (at, event) in events.iter().enumerate() {
        if at > 0 {
            body.push(b',');
        }
        body.extend_from_slice(&event.bytes);
    }
    body.extend(b"]}");
    body
}

impl Sink for Sender {
    async fn deliver(&mut self, events: &[Event]) -> Result<Taken, Failure> {
        let (Some(first), Some(last)) = (events.first(), events.last()) else {
            return Ok(Taken::All);
        };
        let secret = self.settings.secret_file.read().map_err(Failure::again)?;
        let key = key(&secret).map_err(Failure::again)?;
        let seconds = SystemTime::now().duration_since(UNIX_EPOCH);
        let seconds = seconds.map_or(0, |since| since.as_secs());
        let body = body(events, seconds);
        // The same when it is sent again.
        let id = format!("{}.{}.{}", self.origin.node, first.key(), last.key());
        let request = Request::post(self.settings.url.as_str())
            .header(CONTENT_TYPE, "application/json")
            .header("webhook-id", &id)
            .header("webhook-timestamp", seconds)
            .header("webhook-signature", signature(&key, &id, seconds, &body));
        let answer = self.asker.ask(request, body).await?;
        if answer.status.is_success() {
            Ok(Taken::All)
        } else {
            Err(answer.failure())
        }
    }

    fn reset(&mut self) {
        self.asker.reset();
    }

    fn batch(&self) -> usize {
        100
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_signs_as_the_specification_does() {
        // The example of Standard Webhooks, "Verifying signatures".
        let key = key("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let signed = signature(
            &key,
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            1_614_265_330,
            br#"{"test": 2432232314}"#,
        );
        assert_eq!(signed, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
        assert!(super::key("whsec_?").is_err());
    }

    #[test]
    fn the_envelope_is_json() {
        use crate::event::tests::event;
        let body = body(&[event(1, "r-1"), event(2, "r-2")], 0);
        let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(body["timestamp"], "1970-01-01T00:00:00Z");
        assert_eq!(body["data"][1]["metadata"]["uid"], "r-2");
    }
}
