//! What is out of the ordinary, as `unmapped.mcp.anomalies` shows it: places, sizes and hashes, never texts.

use auditor_detect::{Anomaly, Change, Leaf, scan};
use serde::Serialize;

use crate::{
    audit::{event::AuditEvent, hex::List},
    mcp::InteractionId,
};

/// All of an event.
#[derive(Clone)]
pub(in crate::audit) struct Anomalies<'a>(&'a AuditEvent, std::slice::Iter<'a, Anomaly>);

impl<'a> Anomalies<'a> {
    pub(in crate::audit) fn of(event: &'a AuditEvent) -> List<Self> {
        List(Self(event, event.anomalies.iter()))
    }
}

impl<'a> Iterator for Anomalies<'a> {
    type Item = AnomalyView<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        let one = self.1.next()?;
        let event = self.0;
        Some(AnomalyView {
            kind: one.kind.name(),
            subject: one.subject.as_deref(),
            observed: one.observed,
            expected: one.expected,
            samples: one.samples,
            previous: one.previous.map(|id| event.uid_of(InteractionId(id))),
            other: one.other.as_deref(),
            changes: one.changes.iter().map(ChangeView::of).collect(),
            changes_left_out: one.changes_left_out,
            signs: one.signs.iter().map(SignsView::of).collect(),
        })
    }
}

#[derive(Serialize)]
pub(in crate::audit) struct AnomalyView<'a> {
    kind: &'static str,
    subject: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    observed: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expected: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    samples: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    previous: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    other: Option<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    changes: Vec<ChangeView<'a>>,
    #[serde(skip_serializing_if = "is_none")]
    changes_left_out: u32,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    signs: Vec<SignsView<'a>>,
}

#[derive(Serialize)]
struct ChangeView<'a> {
    pointer: &'a str,
    change: &'static str,
    before: Option<LeafView>,
    after: Option<LeafView>,
}

#[derive(Serialize)]
struct LeafView {
    bytes: u32,
    sha256_64: String,
}

#[derive(Serialize)]
struct SignsView<'a> {
    pointer: &'a str,
    signs: Vec<&'static str>,
}

impl<'a> ChangeView<'a> {
    fn of(change: &'a Change) -> Self {
        Self {
            pointer: &change.pointer,
            change: change.what.name(),
            before: change.before.map(leaf),
            after: change.after.map(leaf),
        }
    }
}

impl<'a> SignsView<'a> {
    fn of(found: &'a scan::Found) -> Self {
        Self {
            pointer: &found.pointer,
            signs: found.signs.iter().map(|sign| sign.name()).collect(),
        }
    }
}

fn leaf(leaf: Leaf) -> LeafView {
    LeafView {
        bytes: leaf.bytes,
        sha256_64: format!("{:016x}", u64::from_be_bytes(leaf.hash)),
    }
}

fn is_none(count: &u32) -> bool {
    *count == 0
}
