//! Kinds of data that the messages of an interaction hold, as `unmapped.mcp` shows them: places, never values.

use auditor_content::{Finding, Report};
use serde::Serialize;

use crate::audit::content::Content;

/// Findings of the request, then of the answer.
#[derive(Clone)]
pub(super) struct Classifications<'a> {
    request: std::slice::Iter<'a, Finding>,
    response: std::slice::Iter<'a, Finding>,
}

#[derive(Serialize)]
pub(super) struct ClassificationView<'a> {
    part: &'static str,
    class: &'a str,
    level: &'static str,
    rule: &'a str,
    place: &'a str,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    in_key: bool,
    count: u32,
}

/// How far the messages were looked at.
#[derive(Serialize)]
pub(super) struct ClassifiedView<'a> {
    /// Fingerprints can be compared where this is the same.
    key_id: Option<&'a str>,
    request: Option<Looked>,
    response: Option<Looked>,
}

#[derive(Serialize)]
struct Looked {
    whole: bool,
    bytes: usize,
    left_out: u64,
}

impl<'a> Classifications<'a> {
    pub(super) fn of(content: &'a Content) -> Self {
        let findings = |report: &'a Option<Report>| match report {
            Some(report) => report.findings.iter(),
            None => [].iter(),
        };
        Self {
            request: findings(&content.request),
            response: findings(&content.response),
        }
    }
}

impl<'a> Iterator for Classifications<'a> {
    type Item = ClassificationView<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        let (part, found) = match self.request.next() {
            Some(found) => ("request", found),
            None => ("response", self.response.next()?),
        };
        Some(ClassificationView {
            part,
            class: &found.class.name,
            level: found.class.level.name(),
            rule: &found.rule,
            place: &found.place,
            in_key: found.is_key,
            count: found.count,
        })
    }
}

impl<'a> ClassifiedView<'a> {
    pub(super) fn of(content: &'a Content) -> Self {
        let looked = |report: &Report| Looked {
            whole: report.is_whole,
            bytes: report.scanned,
            left_out: report.rest.iter().map(|(_, count)| u64::from(*count)).sum(),
        };
        Self {
            key_id: content.key.as_deref(),
            request: content.request.as_ref().map(looked),
            response: content.response.as_ref().map(looked),
        }
    }
}
