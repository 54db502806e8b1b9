//! Requests by HTTP, and what their answers mean. Follows no redirect and uses no proxy.
//!
//! Bounds: [`ANSWER`] bytes of an answer.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::{
    HeaderMap, StatusCode, Uri,
    header::{HeaderValue, RETRY_AFTER},
};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client as Pooled, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};

use crate::{sink::Failure, tls::Tls};

/// Bytes of an answer that are read.
const ANSWER: usize = 1 << 20;
/// How long a connection that is not used is kept: less than servers and what is between keep it.
const IDLE: Duration = Duration::from_secs(15);
/// Longest time that a receiver may ask to be left alone.
const LONGEST: Duration = Duration::from_secs(120);
/// Characters of an answer that are said.
const SAID: usize = 300;

/// A client for bodies of one kind.
pub(crate) type Client<B> = Pooled<HttpsConnector<HttpConnector>, B>;

/// What a receiver answered.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// A URL that can be meant.
///
/// # Errors
/// When it cannot; says why.
pub(crate) fn checked(url: &str) -> Result<Uri, String> {
    let parsed: Uri = url
        .parse()
        .map_err(|error| format!("the URL `{url}` is none: {error}"))?;
    match (parsed.scheme_str(), parsed.host()) {
        (Some("http" | "https"), Some(host)) if !host.is_empty() => Ok(parsed),
        _ => Err(format!(
            "the URL `{url}` must begin with https:// or http:// and name a host"
        )),
    }
}

/// Which versions of HTTP are spoken.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Version {
    /// 1.1, or 2 where TLS agrees on it.
    Any,
    /// 2 only: gRPC.
    Two,
}

/// A client that trusts and shows what it was told.
pub(crate) fn client<B>(tls: &Tls, version: Version) -> Result<Client<B>, String>
where
    B: hyper::body::Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let connector = HttpsConnectorBuilder::new()
        .with_tls_config(tls.client()?)
        .https_or_http();
    let connector = match version {
        Version::Any => connector.enable_all_versions().build(),
        Version::Two => connector.enable_http2().build(),
    };
    let mut builder = Pooled::builder(TokioExecutor::new());
    Ok(builder
        .http2_only(version == Version::Two)
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(IDLE)
        .build(connector))
}

/// Asks one receiver, over connections that are kept.
pub(crate) struct Asker {
    tls: Tls,
    client: Option<Client<Full<Bytes>>>,
}

impl Asker {
    pub(crate) fn new(tls: &Tls) -> Self {
        Self {
            tls: tls.clone(),
            client: None,
        }
    }

    /// Makes a request and reads the answer. Certificates are read with the first, and with the first after a reset.
    pub(crate) async fn ask(
        &mut self,
        request: hyper::http::request::Builder,
        body: Vec<u8>,
    ) -> Result<Answer, Failure> {
        let client = match &mut self.client {
            Some(client) => client,
            none => none.insert(client(&self.tls, Version::Any).map_err(Failure::again)?),
        };
        let request = request.body(Full::from(body));
        let request = request.map_err(|error| Failure::again(error.to_string()))?;
        let answer = client.request(request).await;
        read(answer.map_err(|error| Failure::again(chain(&error)))?).await
    }

    /// Forgets connections.
    pub(crate) fn reset(&mut self) {
        self.client = None;
    }
}

async fn read(answer: hyper::Response<hyper::body::Incoming>) -> Result<Answer, Failure> {
    let (parts, body) = answer.into_parts();
    let body = match Limited::new(body, ANSWER).collect().await {
        Ok(body) => body.to_bytes(),
        // What it says first tells enough.
        Err(error) if error.is::<LengthLimitError>() => Bytes::new(),
        Err(error) => return Err(Failure::again(format!("the answer ends early: {error}"))),
    };
    Ok(Answer {
        status: parts.status,
        headers: parts.headers,
        body,
    })
}

impl Answer {
    /// What an answer means that is no success.
    pub(crate) fn failure(&self) -> Failure {
        let told = self.told();
        match self.status.as_u16() {
            // The events are at fault, or there are too many of them.
            400 | 413 | 422 => Failure::Rejected(told),
            408 | 425 | 429 | 500.. => Failure::Again {
                why: told,
                after: self.retry_after(),
            },
            300..400 => Failure::again(format!("{told} (redirects are not followed)")),
            // Credentials and addresses are mended by a person.
            _ => Failure::again(told),
        }
    }

    /// The status, and the beginning of what is said.
    pub(crate) fn told(&self) -> String {
        let text = String::from_utf8_lossy(&self.body);
        let text = text.trim();
        let mut said: String = text
            .chars()
            .take(SAID)
            .map(|c| if c.is_control() { ' ' } else { c })
            .collect();
        if said.len() < text.len() {
            said.push('…');
        }
        format!("the receiver answers {}: {said}", self.status)
    }

    /// How long it asks to be left alone (RFC 9110, section 10.2.3), where that is told in seconds.
    fn retry_after(&self) -> Option<Duration> {
        let seconds = self.headers.get(RETRY_AFTER)?.to_str().ok()?;
        let seconds = seconds.trim().parse().ok()?;
        Some(Duration::from_secs(seconds).min(LONGEST))
    }
}

/// A header's value that is not to be logged.
pub(crate) fn sensitive(text: &str) -> Result<HeaderValue, Failure> {
    let mut value = HeaderValue::from_str(text).map_err(|_| {
        Failure::again("a secret has characters that no header can have".to_owned())
    })?;
    value.set_sensitive(true);
    Ok(value)
}

/// An error with what caused it.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(one) = cause {
        let told = one.to_string();
        // Some say their cause themselves.
        if !text.contains(&told) {
            text = format!("{text}: {told}");
        }
        cause = one.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, headers: &[(&'static str, &str)]) -> Answer {
        Answer {
            status: StatusCode::from_u16(status).unwrap(),
            headers: headers
                .iter()
                .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
                .collect(),
            body: Bytes::from_static(b"no\x1b[31m such thing"),
        }
    }

    #[test]
    fn answers_say_whether_to_try_again() {
        let again = answer(429, &[("retry-after", "7")]).failure();
        assert!(matches!(again, Failure::Again { after: Some(after), .. } if after.as_secs() == 7));
        let long = answer(503, &[("retry-after", "999999")]).failure();
        assert!(matches!(long, Failure::Again { after: Some(after), .. } if after == LONGEST));
        assert!(matches!(answer(413, &[]).failure(), Failure::Rejected(_)));
        assert!(matches!(
            answer(401, &[]).failure(),
            Failure::Again { after: None, .. }
        ));
        assert!(!answer(500, &[]).told().contains('\x1b'));
    }
}
