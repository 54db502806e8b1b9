//! Fetches one JSON Web Key Set by HTTPS.
//!
//! Follows no redirect, uses no proxy and keeps no connection. Bounds: [`PATIENCE`] for all, [`BODY`] bytes of the answer.

use std::{path::Path, time::Duration};

use anyhow::{Context as _, Result, bail, ensure};
use auditor_core::identity::Keys;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::{
    HeaderMap, Request, StatusCode, Uri,
    header::{ACCEPT, AGE, CACHE_CONTROL},
};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client as HttpClient, connect::HttpConnector},
    rt::TokioExecutor,
};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, pem::PemObject as _},
};

/// Time for an answer, connecting included.
const PATIENCE: Duration = Duration::from_secs(10);
/// Bytes of an answer.
pub(super) const BODY: usize = 1 << 20;

/// Asks one server.
pub(super) struct Client(HttpClient<HttpsConnector<HttpConnector>, Empty<Bytes>>);

/// What a server answered.
pub(super) struct Answer {
    pub(super) keys: Keys,
    /// The text of the keys.
    pub(super) text: Bytes,
    /// For how long it may be used, where the server says so.
    pub(super) max_age: Option<Duration>,
}

impl Client {
    /// A client that trusts the authorities of a file, or else the system's.
    ///
    /// # Errors
    /// When the file holds no certificate.
    pub(super) fn new(authorities: Option<&Path>) -> Result<Self> {
        let provider = std::sync::Arc::new(ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .context("no TLS")?
            .with_root_certificates(roots(authorities)?)
            .with_no_client_auth();
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(config)
            .https_or_http()
            .enable_http1()
            .build();
        let mut client = HttpClient::builder(TokioExecutor::new());
        Ok(Self(client.pool_max_idle_per_host(0).build(connector)))
    }

    /// Fetches the keys.
    ///
    /// # Errors
    /// When there is no answer in time, or not one with keys.
    pub(super) async fn fetch(&self, url: &Uri) -> Result<Answer> {
        let asked = tokio::time::timeout(PATIENCE, self.ask(url)).await;
        asked.with_context(|| format!("no answer in {} s", PATIENCE.as_secs()))?
    }

    async fn ask(&self, url: &Uri) -> Result<Answer> {
        let request = Request::get(url)
            .header(ACCEPT, "application/jwk-set+json, application/json")
            .body(Empty::new())?;
        let answer = self.0.request(request).await?;
        let status = answer.status();
        if status.is_redirection() {
            bail!("it answers with status {status}: redirects are not followed");
        }
        ensure!(status == StatusCode::OK, "it answers with status {status}");
        let max_age = max_age(answer.headers());
        let body = Limited::new(answer.into_body(), BODY).collect().await;
        let text = match body {
            Ok(body) => body.to_bytes(),
            Err(error) if error.is::<http_body_util::LengthLimitError>() => {
                bail!("it answers with more than {BODY} bytes")
            }
            Err(error) => bail!("its answer ends early: {error}"),
        };
        Ok(Answer {
            keys: Keys::parse(&text)?,
            text,
            max_age,
        })
    }
}

fn roots(authorities: Option<&Path>) -> Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    let Some(file) = authorities else {
        let system = rustls_native_certs::load_native_certs();
        roots.add_parsable_certificates(system.certs);
        return Ok(roots);
    };
    let path = file.display();
    let certificates = CertificateDer::pem_file_iter(file)
        .with_context(|| format!("cannot read the authorities in {path}"))?;
    for certificate in certificates {
        let certificate = certificate.with_context(|| format!("{path} is no PEM file"))?;
        roots
            .add(certificate)
            .with_context(|| format!("cannot use a certificate of {path}"))?;
    }
    ensure!(!roots.is_empty(), "{path} holds no certificate");
    Ok(roots)
}

/// How long an answer may be used (RFC 9111, section 5.2.2), where that is told.
fn max_age(headers: &HeaderMap) -> Option<Duration> {
    let seconds = |text: &str| text.trim_matches('"').parse::<u64>().ok();
    let control = headers.get_all(CACHE_CONTROL).iter();
    let directives = control
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|directive| directive.trim().to_ascii_lowercase());
    let mut age = None;
    for directive in directives {
        match directive.split_once('=') {
            Some(("max-age", value)) => age = age.or(seconds(value)),
            None if directive == "no-store" || directive == "no-cache" => age = Some(0),
            _ => {}
        }
    }
    let old = headers
        .get(AGE)
        .and_then(|value| seconds(value.to_str().ok()?));
    age.map(|age| Duration::from_secs(age.saturating_sub(old.unwrap_or(0))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_server_says_of_its_answers_age_is_understood() {
        let told = |control: &str, age: Option<&str>| {
            let mut headers = HeaderMap::new();
            headers.insert(CACHE_CONTROL, control.parse().unwrap());
            age.map(|age| headers.insert(AGE, age.parse().unwrap()));
            max_age(&headers).map(|age| age.as_secs())
        };
        assert_eq!(
            told("public, max-age=300, must-revalidate", None),
            Some(300)
        );
        assert_eq!(told("Max-Age=300", Some("250")), Some(50));
        assert_eq!(told("max-age=10", Some("250")), Some(0));
        assert_eq!(told("no-store", None), Some(0));
        assert_eq!(told("max-age=x, private", None), None);
        assert_eq!(max_age(&HeaderMap::new()), None);
    }

    #[test]
    fn a_file_without_certificates_is_refused() {
        let path = std::env::temp_dir().join(format!("mcp-auditor-roots-{}", std::process::id()));
        std::fs::write(&path, "no certificate").unwrap();
        assert!(Client::new(Some(&path)).is_err());
        std::fs::remove_file(&path).unwrap();
        assert!(Client::new(Some(&path)).is_err());
    }
}
