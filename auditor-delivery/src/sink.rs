//! One way of delivering each: a file for each kind.
//!
//! A sink sends what it is given, once, and says how that went. It does not retry, read the log or wait: that is
//! [`Runner`](crate::runner::Runner)'s.

pub(crate) mod bulk;
mod cef;
pub(crate) mod jsonl;
pub(crate) mod kafka;
pub(crate) mod otlp;
pub(crate) mod s3;
mod semconv;
pub(crate) mod splunk;
pub(crate) mod syslog;
pub(crate) mod webhook;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use crate::{Origin, event::Event, settings::Settings};

/// How a delivery went that did not fail.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Taken {
    /// The receiver has all.
    All,
    /// It is on its way: [`Sink::durable`] says when the receiver has it.
    Held,
    /// The receiver has all but these, which it refuses for good: their places in the batch, and why.
    But(Vec<(usize, String)>),
}

/// How a delivery failed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Failure {
    /// It may succeed later; what was held is to be sent again, too.
    Again {
        why: String,
        /// When the receiver wants to be asked again.
        after: Option<Duration>,
    },
    /// The receiver refuses the batch for good, for one event of it or for its size.
    Rejected(String),
}

impl Failure {
    pub(crate) fn again(why: impl Into<String>) -> Self {
        Self::Again {
            why: why.into(),
            after: None,
        }
    }
}

/// What delivers events to one receiver. It is given up, and made anew, when a delivery takes too long.
#[allow(async_fn_in_trait, reason = "all run on one thread")]
pub(crate) trait Sink {
    /// Sends events, in their order.
    async fn deliver(&mut self, events: &[Event]) -> Result<Taken, Failure>;

    /// All events of the log before this index are with the receiver; `None` where nothing is held.
    fn durable(&mut self, now: Instant) -> Option<u64> {
        let _ = now;
        None
    }

    /// When [`Self::handle_timeout`] or [`Self::durable`] has something to do.
    fn poll_timeout(&self) -> Option<Instant> {
        None
    }

    /// Does what is due.
    async fn handle_timeout(&mut self) -> Result<(), Failure> {
        Ok(())
    }

    /// Ends: sends what is held where that is possible.
    async fn finish(&mut self) -> Result<(), Failure> {
        Ok(())
    }

    /// Forgets connections, and what was held: it is sent again.
    fn reset(&mut self);

    /// How long a delivery may take.
    fn patience(&self) -> Duration {
        Duration::from_secs(30)
    }

    /// Events of a batch at most, unless the settings say otherwise.
    fn batch(&self) -> usize {
        1_000
    }
}

/// A sink of any kind.
pub(crate) enum AnySink {
    Bulk(bulk::Sender),
    Jsonl(jsonl::Writer),
    Kafka(kafka::Producer),
    Otlp(Box<otlp::Exporter>),
    S3(Box<s3::Uploader>),
    Splunk(splunk::Sender),
    Syslog(syslog::Sender),
    Webhook(webhook::Sender),
}

/// Calls the same for whatever kind it is.
macro_rules! each {
    ($sink:expr, $one:ident => $call:expr) => {
        match $sink {
            AnySink::Bulk($one) => $call,
            AnySink::Jsonl($one) => $call,
            AnySink::Kafka($one) => $call,
            AnySink::Otlp($one) => $call,
            AnySink::S3($one) => $call,
            AnySink::Splunk($one) => $call,
            AnySink::Syslog($one) => $call,
            AnySink::Webhook($one) => $call,
        }
    };
}

impl AnySink {
    /// The sink that settings describe; `None` where they describe none, which [`Settings::check`] refuses.
    pub(crate) fn new(settings: &Settings, origin: &Arc<Origin>) -> Option<Self> {
        let tls = &settings.tls;
        let origin = Arc::clone(origin);
        if let Some(one) = &settings.jsonl {
            return Some(Self::Jsonl(jsonl::Writer::new(one)));
        }
        if let Some(one) = &settings.syslog {
            return Some(Self::Syslog(syslog::Sender::new(one, tls, origin)));
        }
        if let Some(one) = &settings.otlp {
            return Some(Self::Otlp(Box::new(otlp::Exporter::new(one, tls, origin))));
        }
        if let Some(one) = &settings.kafka {
            return Some(Self::Kafka(kafka::Producer::new(one, tls)));
        }
        if let Some(one) = &settings.splunk {
            return Some(Self::Splunk(splunk::Sender::new(one, tls, origin)));
        }
        if let Some(one) = &settings.bulk {
            return Some(Self::Bulk(bulk::Sender::new(one, tls)));
        }
        if let Some(one) = &settings.webhook {
            return Some(Self::Webhook(webhook::Sender::new(one, tls, origin)));
        }
        let one = settings.s3.as_ref()?;
        Some(Self::S3(Box::new(s3::Uploader::new(one, tls, origin))))
    }
}

impl Sink for AnySink {
    async fn deliver(&mut self, events: &[Event]) -> Result<Taken, Failure> {
        each!(self, one => one.deliver(events).await)
    }

    fn durable(&mut self, now: Instant) -> Option<u64> {
        each!(self, one => one.durable(now))
    }

    fn poll_timeout(&self) -> Option<Instant> {
        each!(self, one => one.poll_timeout())
    }

    async fn handle_timeout(&mut self) -> Result<(), Failure> {
        each!(self, one => one.handle_timeout().await)
    }

    async fn finish(&mut self) -> Result<(), Failure> {
        each!(self, one => one.finish().await)
    }

    fn reset(&mut self) {
        each!(self, one => one.reset());
    }

    fn patience(&self) -> Duration {
        each!(self, one => one.patience())
    }

    fn batch(&self) -> usize {
        each!(self, one => one.batch())
    }
}
