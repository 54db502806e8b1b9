//! Counters for Prometheus, and whether the daemon works, served on one address.
//!
//! Speaks just enough HTTP for a scraper: one request a connection, bounded in size and time. `/healthz` and `/readyz` tell of
//! the daemon's health, any other path gives the counters.

mod health;
mod sinks;

use std::{
    net::SocketAddr,
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};

use anyhow::{Context as _, Result};
use prometheus_client::{
    encoding::text::encode,
    metrics::{counter::Counter, gauge::Gauge},
    registry::Registry,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    time::timeout,
};

pub(crate) use self::health::Health;
use self::sinks::Sinks;

/// Bytes of a request that are read.
const REQUEST: usize = 8_192;
/// Time that a scraper has.
const PATIENCE: Duration = Duration::from_secs(2);

/// What is counted. Labels are never taken from audited data.
#[derive(Default)]
pub(crate) struct Metrics {
    /// Records for which the ring had no room.
    pub(crate) refused_records: Counter,
    /// Bytes of streams in them.
    pub(crate) lost_bytes: Counter,
    /// Bytes that could not be read from a program's memory.
    pub(crate) unreadable_bytes: Counter,
    /// Events at which no program of the kernel side ran.
    pub(crate) missed_events: Counter,
    /// Records delivered by the kernel side.
    pub(crate) records: Counter,
    /// Records that were not understood.
    pub(crate) malformed_records: Counter,
    /// Messages framed.
    pub(crate) messages: Counter,
    /// Events written.
    pub(crate) events: Counter,
    /// Events that could not be written.
    pub(crate) failed_events: Counter,
    /// Processes forgotten before their time, to make room.
    pub(crate) forgotten_processes: Counter,
    /// Processes for which there was no room.
    pub(crate) refused_processes: Counter,
    /// Containers forgotten to make room.
    pub(crate) forgotten_containers: Counter,
    /// Questions about containers for which there was no room.
    pub(crate) unasked_containers: Counter,
    /// Pods for which there was no room.
    pub(crate) refused_pods: Counter,
    /// Requests that wait for their answer.
    pub(crate) open_interactions: Gauge<i64>,
    /// Channels remembered.
    pub(crate) channels: Gauge<i64>,
    /// Processes remembered.
    pub(crate) processes: Gauge<i64>,
    /// Containers remembered.
    pub(crate) containers: Gauge<i64>,
    /// Pods of this node remembered, as the API server told them.
    pub(crate) pods: Gauge<i64>,
    /// Whether the API server tells of pods: 1 or 0.
    pub(crate) pods_heard: Gauge<i64>,
    /// Findings dropped because too many waited.
    pub(crate) dropped_findings: Counter,
    /// Entries of what detection learned that were forgotten to make room.
    pub(crate) forgotten_learned: Counter,
    /// Events that are not in the log.
    pub(crate) unkept_events: Counter,
    /// Commits of the log that failed.
    pub(crate) failed_commits: Counter,
    /// Entries of the log that are durable.
    pub(crate) log_entries: Gauge<i64>,
    /// Entries of the checkpoint that witnesses signed last.
    pub(crate) witnessed_entries: Gauge<i64>,
    /// Questions that witnesses did not answer with a signature.
    pub(crate) witness_failures: Counter,
    /// Entries of what detection learned.
    pub(crate) learned: Gauge<i64>,
    /// Bytes held by unfinished messages.
    pub(crate) buffered_bytes: Gauge<i64>,
    /// What sinks got.
    pub(crate) sinks: Sinks,
}

impl Metrics {
    /// Counters and the registry that names them.
    pub(crate) fn registered() -> (Self, Registry) {
        let metrics = Self::default();
        let mut registry = Registry::with_prefix("mcp_auditor");
        let counters: [(&str, &str, &Counter<u64, AtomicU64>); 19] = [
            (
                "kernel_refused_records",
                "Records for which the ring had no room",
                &metrics.refused_records,
            ),
            (
                "kernel_lost_bytes",
                "Bytes of streams for which the ring had no room",
                &metrics.lost_bytes,
            ),
            (
                "kernel_unreadable_bytes",
                "Bytes that could not be read from a program",
                &metrics.unreadable_bytes,
            ),
            (
                "kernel_missed_events",
                "Events at which no program of the kernel side ran",
                &metrics.missed_events,
            ),
            (
                "kernel_records",
                "Records delivered by the kernel side",
                &metrics.records,
            ),
            (
                "malformed_records",
                "Records that were not understood",
                &metrics.malformed_records,
            ),
            ("messages", "Messages framed", &metrics.messages),
            ("events", "Audit events written", &metrics.events),
            (
                "failed_events",
                "Audit events that could not be written",
                &metrics.failed_events,
            ),
            (
                "forgotten_processes",
                "Ended processes that were forgotten before their time",
                &metrics.forgotten_processes,
            ),
            (
                "refused_processes",
                "Processes for which the table had no room",
                &metrics.refused_processes,
            ),
            (
                "forgotten_containers",
                "Containers that were forgotten to make room",
                &metrics.forgotten_containers,
            ),
            (
                "unasked_containers",
                "Questions about containers for which there was no room",
                &metrics.unasked_containers,
            ),
            (
                "refused_pods",
                "Pods of the API server for which there was no room",
                &metrics.refused_pods,
            ),
            (
                "dropped_findings",
                "Findings dropped because too many waited",
                &metrics.dropped_findings,
            ),
            (
                "forgotten_learned",
                "Entries of what detection learned that were forgotten to make room",
                &metrics.forgotten_learned,
            ),
            (
                "unkept_events",
                "Events that are not in the log",
                &metrics.unkept_events,
            ),
            (
                "failed_commits",
                "Commits of the log that failed",
                &metrics.failed_commits,
            ),
            (
                "witness_failures",
                "Questions that witnesses did not answer with a signature",
                &metrics.witness_failures,
            ),
        ];
        for (name, help, counter) in counters {
            registry.register(name, help, counter.clone());
        }
        let gauges: [(&str, &str, &Gauge<i64>); 10] = [
            (
                "open_interactions",
                "Requests that wait for their answer",
                &metrics.open_interactions,
            ),
            ("channels", "Channels remembered", &metrics.channels),
            ("processes", "Processes remembered", &metrics.processes),
            ("containers", "Containers remembered", &metrics.containers),
            (
                "pods",
                "Pods of this node remembered, as the API server told them",
                &metrics.pods,
            ),
            (
                "pods_heard",
                "Whether the API server tells of pods",
                &metrics.pods_heard,
            ),
            (
                "log_entries",
                "Entries of the log that are durable",
                &metrics.log_entries,
            ),
            (
                "witnessed_entries",
                "Entries of the checkpoint that witnesses signed last",
                &metrics.witnessed_entries,
            ),
            (
                "learned",
                "Entries of what detection learned",
                &metrics.learned,
            ),
            (
                "buffered_bytes",
                "Bytes held by unfinished messages",
                &metrics.buffered_bytes,
            ),
        ];
        for (name, help, gauge) in gauges {
            registry.register(name, help, gauge.clone());
        }
        metrics.sinks.register(&mut registry);
        (metrics, registry)
    }
}

/// Raises a counter to what was counted elsewhere.
pub(crate) fn raise(counter: &Counter, to: u64) {
    counter.inc_by(to.saturating_sub(counter.get()));
}

/// Serves the registry until the task is dropped.
///
/// # Errors
/// When the address cannot be listened on.
pub(crate) async fn serve(address: SocketAddr, registry: Registry, health: Health) -> Result<()> {
    let listener = TcpListener::bind(address)
        .await
        .with_context(|| format!("cannot serve metrics on {address}"))?;
    let registry = Arc::new(registry);
    tokio::spawn(async move {
        loop {
            match listener.accept().await {
                Ok((stream, _)) => {
                    let (registry, health) = (Arc::clone(&registry), health.clone());
                    tokio::spawn(timeout(PATIENCE, async move {
                        answer(stream, &registry, &health).await
                    }));
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a scraper");
                    tokio::time::sleep(PATIENCE).await;
                }
            }
        }
    });
    Ok(())
}

async fn answer(mut stream: TcpStream, registry: &Registry, health: &Health) {
    let mut request = Vec::new();
    let mut buffer = [0; 1024];
    while request.len() < REQUEST && !request.windows(4).any(|end| end == b"\r\n\r\n") {
        match stream.read(&mut buffer).await {
            Ok(0) | Err(_) => return,
            Ok(len) => request.extend_from_slice(buffer.get(..len).unwrap_or_default()),
        }
    }
    let line = request.split(|byte| *byte == b'\r').next();
    let mut words = line.unwrap_or_default().split(|byte| *byte == b' ');
    let path = words.nth(1).unwrap_or_default();
    let path = std::str::from_utf8(path).unwrap_or_default();
    let (status, kind, body) = match health.answer(path) {
        Some((is_good, told)) => {
            let status = if is_good {
                "200 OK"
            } else {
                "503 Service Unavailable"
            };
            (status, "text/plain; charset=utf-8", told.to_owned())
        }
        None => {
            let mut body = String::new();
            if encode(&mut body, registry).is_err() {
                return;
            }
            let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
            ("200 OK", kind, body)
        }
    };
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    // A scraper that has gone needs no answer.
    let _ = stream.write_all(head.as_bytes()).await;
    let _ = stream.write_all(body.as_bytes()).await;
}
