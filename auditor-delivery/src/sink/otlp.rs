//! OpenTelemetry logs by OTLP: gRPC, or Protobuf over HTTP.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use hyper::{
    Request,
    header::{CONTENT_TYPE, HeaderName},
};
use opentelemetry_proto::tonic::{
    collector::logs::v1::{
        ExportLogsServiceRequest, ExportLogsServiceResponse, logs_service_client::LogsServiceClient,
    },
    common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value},
    logs::v1::{LogRecord, ResourceLogs, ScopeLogs},
    resource::v1::Resource,
};
use prost::Message as _;
use serde::Deserialize;
use serde_json::Value;
use tonic::{Code, Status, body::Body, metadata::MetadataMap};

use super::{Failure, Sink, Taken, semconv};
use crate::{
    Origin,
    event::Event,
    http::{self, Asker, Client, Version},
    settings::Secret,
    tls::Tls,
};

/// `[sinks.otlp]`.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
#[serde(deny_unknown_fields)]
pub(crate) struct Otlp {
    /// Of the collector; for HTTP with the path, usually `/v1/logs`.
    pub(crate) url: String,
    #[serde(default)]
    pub(crate) protocol: Protocol,
    /// Headers, whose values are in files.
    #[serde(default)]
    pub(crate) header_files: BTreeMap<String, Secret>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Protocol {
    #[default]
    Grpc,
    Http,
}

/// Sends log records to a collector.
pub(crate) struct Exporter {
    settings: Otlp,
    tls: Tls,
    origin: Arc<Origin>,
    grpc: Option<LogsServiceClient<Client<Body>>>,
    http: Asker,
}

impl Exporter {
    pub(crate) fn new(settings: &Otlp, tls: &Tls, origin: Arc<Origin>) -> Self {
        Self {
            settings: settings.clone(),
            tls: tls.clone(),
            origin,
            grpc: None,
            http: Asker::new(tls),
        }
    }

    fn headers(&self) -> Result<Vec<(HeaderName, hyper::header::HeaderValue)>, Failure> {
        let all = self.settings.header_files.iter();
        all.map(|(name, file)| {
            let header = HeaderName::try_from(name.as_str())
                .map_err(|_| Failure::again(format!("`{name}` can be no name of a header")))?;
            let value = http::sensitive(&file.read().map_err(Failure::again)?)?;
            Ok((header, value))
        })
        .collect()
    }

    async fn by_grpc(&mut self, request: ExportLogsServiceRequest) -> Result<Taken, Failure> {
        if self.grpc.is_none() {
            let client = http::client(&self.tls, Version::Two).map_err(Failure::again)?;
            let url = http::checked(&self.settings.url).map_err(Failure::again)?;
            self.grpc = Some(LogsServiceClient::with_origin(client, url));
        }
        let headers = self.headers()?.into_iter().collect();
        let Some(client) = &mut self.grpc else {
            return Err(Failure::again("there is no client"));
        };
        let mut request = tonic::Request::new(request);
        *request.metadata_mut() = MetadataMap::from_headers(headers);
        match client.export(request).await {
            Ok(answer) => Ok(taken(&answer.into_inner())),
            Err(status) => Err(failure(&status)),
        }
    }

    async fn by_http(&mut self, request: &ExportLogsServiceRequest) -> Result<Taken, Failure> {
        let headers = self.headers()?;
        let mut builder = Request::post(self.settings.url.as_str())
            .header(CONTENT_TYPE, "application/x-protobuf");
        for (name, value) in headers {
            builder = builder.header(name, value);
        }
        let answer = self.http.ask(builder, request.encode_to_vec()).await?;
        if !answer.status.is_success() {
            return Err(answer.failure());
        }
        let said = ExportLogsServiceResponse::decode(answer.body).unwrap_or_default();
        Ok(taken(&said))
    }

    fn request(&self, events: &[Event]) -> ExportLogsServiceRequest {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let now = now.map_or(0, |since| {
            u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
        });
        let origin = &self.origin;
        let described = [
            ("service.name", "mcp-auditor"),
            ("service.version", &origin.version),
            ("service.instance.id", &origin.node),
            ("host.name", &origin.hostname),
        ];
        let described = described.map(|(name, text)| attribute(name, text.into()));
        ExportLogsServiceRequest {
            resource_logs: vec![ResourceLogs {
                resource: Some(Resource {
                    attributes: described.to_vec(),
                    ..Resource::default()
                }),
                scope_logs: vec![ScopeLogs {
                    scope: Some(InstrumentationScope {
                        name: "mcp-auditor".to_owned(),
                        version: origin.version.clone(),
                        ..InstrumentationScope::default()
                    }),
                    log_records: events.iter().map(|event| record(event, now)).collect(),
                    schema_url: String::new(),
                }],
                schema_url: String::new(),
            }],
        }
    }
}

fn record(event: &Event, now: u64) -> LogRecord {
    let value: Value = serde_json::from_slice(&event.bytes).unwrap_or_default();
    let (severity_number, severity_text) = semconv::severity(event.head.severity);
    let attributes = semconv::attributes(&value);
    let id = |pointer: &str, length: usize| {
        let bytes = value
            .pointer(pointer)
            .and_then(Value::as_str)
            .and_then(from_hex);
        bytes
            .filter(|bytes| bytes.len() == length)
            .unwrap_or_default()
    };
    LogRecord {
        time_unix_nano: event.head.time_ms.saturating_mul(1_000_000),
        observed_time_unix_nano: now,
        severity_number,
        severity_text: severity_text.to_owned(),
        body: Some(any(String::from_utf8_lossy(&event.bytes).into())),
        attributes: attributes
            .into_iter()
            .map(|(name, value)| attribute(name, value))
            .collect(),
        trace_id: id("/trace/uid", 16),
        span_id: id("/trace/span/uid", 8),
        event_name: format!("mcp.audit.{}", event.head.class),
        ..LogRecord::default()
    }
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes().chunks(2);
    let bytes = digits.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok());
    bytes.collect()
}

fn attribute(name: &str, value: Value) -> KeyValue {
    KeyValue {
        key: name.to_owned(),
        value: Some(any(value)),
        ..KeyValue::default()
    }
}

fn any(value: Value) -> AnyValue {
    let value = match value {
        Value::String(text) => any_value::Value::StringValue(text),
        Value::Bool(is) => any_value::Value::BoolValue(is),
        Value::Number(number) => match number.as_i64() {
            Some(number) => any_value::Value::IntValue(number),
            None => any_value::Value::DoubleValue(number.as_f64().unwrap_or_default()),
        },
        other => any_value::Value::StringValue(other.to_string()),
    };
    AnyValue { value: Some(value) }
}

/// A collector says how many records it refuses, not which.
fn taken(answer: &ExportLogsServiceResponse) -> Taken {
    let refused = answer.partial_success.as_ref();
    let refused = refused.filter(|one| one.rejected_log_records > 0);
    refused.map_or(Taken::All, |one| {
        let count = usize::try_from(one.rejected_log_records).unwrap_or_default();
        let why = &one.error_message;
        let why = format!("the collector refuses {count} records of a batch: {why}");
        Taken::But((0..count).map(|at| (at, why.clone())).collect())
    })
}

/// What a status of gRPC means (OTLP specification, "Failures").
fn failure(status: &Status) -> Failure {
    let told = format!(
        "the collector answers {:?}: {}",
        status.code(),
        http::chain(status)
    );
    match status.code() {
        Code::InvalidArgument | Code::OutOfRange => Failure::Rejected(told),
        Code::ResourceExhausted => Failure::Again {
            why: told,
            after: Some(Duration::from_secs(5)),
        },
        _ => Failure::again(told),
    }
}

impl Sink for Exporter {
    async fn deliver(&mut self, events: &[Event]) -> Result<Taken, Failure> {
        let request = self.request(events);
        match self.settings.protocol {
            Protocol::Grpc => self.by_grpc(request).await,
            Protocol::Http => self.by_http(&request).await,
        }
    }

    fn reset(&mut self) {
        self.grpc = None;
        self.http.reset();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_says_when_and_in_which_trace() {
        let text = serde_json::json!({
            "metadata": {"uid": "r-1"}, "class_uid": 6003, "severity_id": 3, "time": 17,
            "trace": {"uid": "0af7651916cd43dd8448eb211c80319c", "span": {"uid": "b7ad6b7169203331"}},
            "src_endpoint": {"port": 8080},
        });
        let record = record(&Event::of(0, text.to_string().into_bytes()), 5);
        assert_eq!(record.time_unix_nano, 17_000_000);
        assert_eq!(record.severity_number, 13);
        assert_eq!(record.event_name, "mcp.audit.6003");
        assert_eq!((record.trace_id.len(), record.span_id.len()), (16, 8));
        let port = record
            .attributes
            .iter()
            .find(|one| one.key == "client.port");
        assert_eq!(
            port.and_then(|one| one.value.clone()),
            Some(any(8080.into()))
        );
    }

    #[test]
    fn statuses_mean_what_the_specification_says() {
        let invalid = failure(&Status::invalid_argument("no"));
        assert!(matches!(invalid, Failure::Rejected(_)));
        for status in [Status::unavailable("x"), Status::unauthenticated("x")] {
            assert!(matches!(failure(&status), Failure::Again { .. }));
        }
    }
}
