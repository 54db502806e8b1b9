//! Has object_store speak through the same client as all sinks, so that it trusts what they trust.

use async_trait::async_trait;
use http_body_util::BodyExt as _;
use object_store::{
    ClientOptions,
    client::{
        HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpRequestBody,
        HttpResponse, HttpResponseBody, HttpService,
    },
};

use crate::{
    http::{self, Client, Version},
    tls::Tls,
};

/// Gives object_store its client.
#[derive(Debug)]
pub(super) struct Connector(Service);

#[derive(Clone, Debug)]
struct Service(Client<HttpRequestBody>);

impl Connector {
    pub(super) fn new(tls: &Tls) -> Result<Self, String> {
        Ok(Self(Service(http::client(tls, Version::Any)?)))
    }
}

impl HttpConnector for Connector {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(self.0.clone()))
    }
}

#[async_trait]
impl HttpService for Service {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let answer = self.0.request(request).await.map_err(|error| {
            let kind = if error.is_connect() {
                HttpErrorKind::Connect
            } else {
                HttpErrorKind::Request
            };
            HttpError::new(kind, error)
        })?;
        let decoded = |error| HttpError::new(HttpErrorKind::Interrupted, error);
        Ok(answer.map(|body| HttpResponseBody::new(body.map_err(decoded))))
    }
}
