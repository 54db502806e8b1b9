//! How an interaction ended, in the words of the event. Tables only.

use auditor_resource::{Operation, sql::QueryType};

use super::{
    content::Content,
    observed::{Observed, Verdict},
};
use crate::{
    mcp::{Failure, Interaction, Kind, LostCause, Outcome, Stage},
    stream::GapCause,
};
use std::borrow::Cow;

/// OCSF `status_id`: 0 unknown (open, or no answer is due), 1 success, 2 failure.
pub(super) fn status_id(interaction: &Interaction) -> u8 {
    match interaction.outcome {
        Outcome::Pending => 0,
        Outcome::Success | Outcome::InputRequired => 1,
        Outcome::Failure(_) => 2,
    }
}

/// OCSF `status`.
pub(super) fn status(interaction: &Interaction) -> &'static str {
    match status_id(interaction) {
        1 => "Success",
        2 => "Failure",
        _ => "Unknown",
    }
}

/// OCSF `status_code`: which success or failure.
pub(super) fn status_code(interaction: &Interaction) -> Option<Cow<'static, str>> {
    if interaction.stage == Stage::Open {
        return Some("open".into());
    }
    if let Some(gap) = &interaction.gap {
        return Some(gap_cause(gap.cause).into());
    }
    let failure = match &interaction.outcome {
        Outcome::Pending => return None,
        Outcome::Success => return Some("ok".into()),
        Outcome::InputRequired => return Some("input_required".into()),
        Outcome::Failure(failure) => failure,
    };
    Some(match failure {
        Failure::Error { code, .. } => code.to_string().into(),
        Failure::Tool => "tool_error".into(),
        Failure::Http(status) => status.to_string().into(),
        Failure::Lost(cause) => lost_cause(*cause).into(),
    })
}

/// How it ended, in one word; `None` where no answer is due.
pub(super) fn word(interaction: &Interaction, observed: Option<&Observed>) -> Option<&'static str> {
    if interaction.stage == Stage::Open {
        return Some("open");
    }
    if observed.is_some_and(|one| one.verdict == Verdict::Denied) {
        return Some("denied");
    }
    let failure = match &interaction.outcome {
        Outcome::Pending => return None,
        Outcome::Success => return Some("success"),
        Outcome::InputRequired => return Some("input_required"),
        Outcome::Failure(failure) => failure,
    };
    Some(match failure {
        Failure::Tool => "tool_error",
        // RFC 9110, sections 15.5.9 and 15.6.5.
        Failure::Http(408 | 504) | Failure::Lost(LostCause::TimedOut) => "timeout",
        Failure::Error { .. } | Failure::Http(_) => "failure",
        // What became of it is not known.
        Failure::Lost(LostCause::Gap | LostCause::Abandoned) => "unknown",
        Failure::Lost(_) => "aborted",
    })
}

/// OCSF `status_detail`: what the code is about.
pub(super) fn status_detail(interaction: &Interaction) -> Option<&'static str> {
    if interaction.stage == Stage::Open {
        return Some("no answer yet");
    }
    match (&interaction.kind, &interaction.outcome) {
        (Kind::Gap, _) if interaction.unheard.is_some() => {
            Some("a TLS connection that may carry MCP was not heard")
        }
        (Kind::Gap, _) => Some("bytes of an MCP channel were not captured"),
        (_, Outcome::Pending | Outcome::Success) => None,
        (_, Outcome::InputRequired) => Some("the server asks for more input"),
        (_, Outcome::Failure(failure)) => Some(match failure {
            Failure::Error { .. } => "JSON-RPC error",
            Failure::Tool => "the tool reported an error",
            Failure::Http(_) => "HTTP status without a JSON-RPC answer",
            Failure::Lost(_) => "no answer",
        }),
    }
}

/// The word for why no answer came.
pub(super) fn lost_cause(cause: LostCause) -> &'static str {
    match cause {
        LostCause::Closed => "closed",
        LostCause::Reset => "reset",
        LostCause::Exited => "exited",
        LostCause::Cancelled => "cancelled",
        LostCause::TimedOut => "timed_out",
        LostCause::NoResponse => "no_response",
        LostCause::Gap => "gap",
        LostCause::Abandoned => "abandoned",
    }
}

/// The word for why bytes are missing.
pub(super) fn gap_cause(cause: GapCause) -> &'static str {
    match cause {
        GapCause::Joined => "joined",
        GapCause::Skipped => "skipped",
        GapCause::RingFull => "ring_full",
        GapCause::Unreadable => "unreadable",
        GapCause::Unheard => "unheard",
        GapCause::Bound => "bound",
        GapCause::Undecodable => "undecodable",
        GapCause::TlsUnheard => "tls_unheard",
    }
}

/// OCSF `activity_id` and `activity_name` of a method: 1 create, 2 read, 3 update, 4 delete, 99 other.
///
/// A call of a tool is what it does to the things that it names, by the most far-reaching; other where that is not known.
pub(super) fn activity(method: Option<&str>, content: &Content) -> (u8, &'static str) {
    match method {
        Some("tools/call") => {
            let things = content.declared.resources.iter();
            let reach = things.map(|thing| reach(thing.operation)).max();
            [
                (99, "Other"),
                (2, "Read"),
                (1, "Create"),
                (3, "Update"),
                (4, "Delete"),
            ][reach.unwrap_or(0)]
        }
        Some(
            "completion/complete"
            | "ping"
            | "prompts/get"
            | "prompts/list"
            | "resources/list"
            | "resources/read"
            | "resources/templates/list"
            | "roots/list"
            | "server/discover"
            | "tasks/get"
            | "tasks/list"
            | "tasks/result"
            | "tools/list",
        ) => (2, "Read"),
        Some("initialize" | "resources/subscribe" | "subscriptions/listen") => (1, "Create"),
        Some("logging/setLevel" | "tasks/update") => (3, "Update"),
        Some("resources/unsubscribe" | "tasks/cancel") => (4, "Delete"),
        _ => (99, "Other"),
    }
}

/// How far an operation reaches: 0 unknown, 1 reads, 2 adds, 3 changes, 4 takes away.
fn reach(operation: Operation) -> usize {
    match operation {
        Operation::Query(kind) => match kind {
            QueryType::Select | QueryType::Describe => 1,
            QueryType::Insert => 2,
            QueryType::Update => 3,
            QueryType::Delete => 4,
            QueryType::Session
            | QueryType::Call
            | QueryType::Ddl
            | QueryType::Dcl
            | QueryType::Unknown => 0,
        },
        Operation::Read => 1,
        Operation::Send => 2,
        Operation::Write => 3,
        Operation::Delete => 4,
        Operation::Execute | Operation::Unknown => 0,
    }
}

/// What kind of thing the target of a method is.
pub(super) fn resource_type(method: Option<&str>) -> &'static str {
    let family = method.map(|method| method.strip_prefix("notifications/").unwrap_or(method));
    match family.and_then(|method| method.split('/').next()) {
        Some("tools") => "tool",
        Some("resources") => "resource",
        Some("prompts") => "prompt",
        Some("tasks") => "task",
        Some("logging") => "log_level",
        Some("completion") => "reference",
        _ => "other",
    }
}
