//! Lays what every layer counts into the counters for Prometheus.

use super::Daemon;
use crate::{
    metrics::{self, Metrics},
    probe::Counts,
    workload::Watch,
};

impl Daemon {
    /// `counts` is what the kernel side counted.
    pub(super) fn count(&self, counts: Counts, counters: &Metrics) {
        let totals = self.pipeline.totals();
        metrics::raise(&counters.refused_records, counts.refused);
        metrics::raise(&counters.lost_bytes, counts.lost_bytes);
        metrics::raise(&counters.unreadable_bytes, counts.unreadable_bytes);
        metrics::raise(&counters.missed_events, counts.missed);
        metrics::raise(&counters.records, counts.written);
        metrics::raise(&counters.malformed_records, self.malformed);
        metrics::raise(&counters.messages, totals.messages);
        metrics::raise(&counters.events, self.output.written());
        metrics::raise(&counters.failed_events, self.failed);
        counters
            .open_interactions
            .set(self.pipeline.open_interactions() as i64);
        counters.channels.set(self.pipeline.channels() as i64);
        counters.processes.set(self.table.len() as i64);
        let containers = self.table.containers();
        counters.containers.set(containers.len() as i64);
        let (forgotten, unasked) = containers.lost();
        metrics::raise(&counters.forgotten_containers, forgotten);
        metrics::raise(&counters.unasked_containers, unasked);
        let pods = containers.pods();
        counters.pods.set(pods.len() as i64);
        let is_heard = pods.state() == Watch::Heard;
        counters.pods_heard.set(i64::from(is_heard));
        metrics::raise(&counters.refused_pods, pods.refused());
        let lost = self.table.lost();
        metrics::raise(&counters.forgotten_processes, lost.forgotten);
        metrics::raise(&counters.refused_processes, lost.refused);
        counters.buffered_bytes.set(self.pipeline.buffered() as i64);
        if let Some(store) = &self.store {
            let kept = store.counts();
            metrics::raise(&counters.unkept_events, kept.lost);
            metrics::raise(&counters.failed_commits, kept.failed);
            counters.log_entries.set(kept.durable as i64);
            let (witnessed, failures) = store.witnessed();
            counters.witnessed_entries.set(witnessed as i64);
            metrics::raise(&counters.witness_failures, failures);
            for (sink, counts) in store.delivered() {
                counters.sinks.count(&sink, counts);
            }
        }
        let detection = self.pipeline.detection_counts();
        metrics::raise(&counters.dropped_findings, detection.dropped);
        metrics::raise(&counters.forgotten_learned, detection.evicted);
        counters.learned.set(detection.held as i64);
    }
}
