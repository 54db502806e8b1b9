//! An entry of the log, as timelines read it.

use serde_json::Value;

/// An entry.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    /// Its index in the log.
    pub(crate) index: u64,
    /// What it says.
    pub(crate) json: Value,
}

impl Entry {
    /// Unique for the interaction or finding.
    pub(crate) fn uid(&self) -> &str {
        self.text("/metadata/uid").unwrap_or_default()
    }

    /// A text in it.
    pub(crate) fn text(&self, pointer: &str) -> Option<&str> {
        self.json.pointer(pointer)?.as_str()
    }

    /// A text under `unmapped.mcp`.
    pub(crate) fn mcp(&self, pointer: &str) -> Option<&str> {
        self.value(pointer)?.as_str()
    }

    /// What is under `unmapped.mcp`; nothing for null.
    pub(crate) fn value(&self, pointer: &str) -> Option<&Value> {
        let value = self.json.pointer("/unmapped/mcp")?.pointer(pointer)?;
        (!value.is_null()).then_some(value)
    }

    /// The elements of a list under `unmapped.mcp`.
    pub(crate) fn list(&self, pointer: &str) -> &[Value] {
        let list = self.value(pointer).and_then(Value::as_array);
        list.map_or(&[], Vec::as_slice)
    }

    /// `interaction`, `finding` or `lifecycle`.
    pub(crate) fn class(&self) -> &'static str {
        match self.json.get("class_uid").and_then(Value::as_u64) {
            Some(2004 | 2006) => "finding",
            Some(6002) => "lifecycle",
            _ => "interaction",
        }
    }

    /// When it began, in nanoseconds since the Unix epoch.
    pub(crate) fn time_ns(&self) -> i64 {
        let exact = self.value("/time_ns").and_then(Value::as_i64);
        let rough = || self.json.get("time").and_then(Value::as_i64);
        exact
            .or_else(|| rough().map(|ms| ms.saturating_mul(1_000_000)))
            .unwrap_or(0)
    }

    /// The events that a finding is about.
    pub(crate) fn about(&self) -> Vec<&str> {
        let singles = ["/event", "/first/event", "/second/event"];
        let mut all: Vec<&str> = singles
            .iter()
            .filter_map(|pointer| self.mcp(pointer))
            .collect();
        let related = self
            .json
            .pointer("/finding_info/related_events")
            .and_then(Value::as_array);
        let related = related.into_iter().flatten();
        all.extend(related.filter_map(|one| one.get("uid")?.as_str()));
        all
    }
}
