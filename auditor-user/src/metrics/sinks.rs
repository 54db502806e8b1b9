//! Counters of sinks, labelled with the names that the configuration gives them.

use std::sync::atomic::AtomicU64;

use auditor_delivery::Counts;
use prometheus_client::{
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};

use super::raise;

/// The name of a sink.
type Labels = Vec<(&'static str, String)>;

/// What is counted of each sink.
#[derive(Default)]
pub(crate) struct Sinks {
    delivered: Family<Labels, Counter>,
    refused: Family<Labels, Counter>,
    shed: Family<Labels, Counter>,
    failures: Family<Labels, Counter>,
    waiting: Family<Labels, Gauge<i64>>,
    lag: Family<Labels, Gauge<f64, AtomicU64>>,
    up: Family<Labels, Gauge<i64>>,
}

impl Sinks {
    pub(super) fn register(&self, registry: &mut Registry) {
        let registry = registry.sub_registry_with_prefix("sink");
        let counters = [
            ("delivered", "Events that the receiver has", &self.delivered),
            (
                "refused",
                "Events that the receiver refused for good",
                &self.refused,
            ),
            (
                "shed",
                "Entries of the log that the sink is not sent",
                &self.shed,
            ),
            (
                "failures",
                "Deliveries that failed and are tried again",
                &self.failures,
            ),
        ];
        for (name, help, family) in counters {
            registry.register(name, help, family.clone());
        }
        registry.register(
            "waiting",
            "Entries of the log that wait",
            self.waiting.clone(),
        );
        registry.register(
            "lag_seconds",
            "How long the oldest of them waits",
            self.lag.clone(),
        );
        registry.register("up", "Whether the last delivery succeeded", self.up.clone());
    }

    /// Lays in what was counted of a sink.
    pub(crate) fn count(&self, sink: &str, counts: Counts) {
        let labels = vec![("sink", sink.to_owned())];
        raise(&self.delivered.get_or_create(&labels), counts.delivered);
        raise(&self.refused.get_or_create(&labels), counts.refused);
        raise(&self.shed.get_or_create(&labels), counts.shed);
        raise(&self.failures.get_or_create(&labels), counts.failures);
        self.waiting
            .get_or_create(&labels)
            .set(counts.waiting as i64);
        self.lag
            .get_or_create(&labels)
            .set(counts.lag_ms as f64 / 1_000.0);
        self.up.get_or_create(&labels).set(i64::from(counts.is_up));
    }
}
