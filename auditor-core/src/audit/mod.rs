//! Interactions to audit events: OCSF `api_activity`, who, what, when, how it ended.
//!
//! Private by default: of content only sizes, hashes, names of arguments and counts leave, unless
//! the [`Level`] says otherwise. Session ids leave as keyed hashes only.

mod activity;
mod arguments;
mod auditor;
mod chain;
mod community;
mod content;
pub mod decision;
mod deeds;
mod detected;
mod detection;
mod differences;
mod disagreement;
mod environment;
mod event;
mod finding;
mod hex;
mod hops;
mod observed;
mod ocsf;
mod outcome;
mod pretty;
mod question;
mod settings;
#[cfg(test)]
pub(crate) mod tests;
mod texts;
mod tools;
mod unmapped;
mod view;
mod workflow;
mod workload;
mod world;

pub use activity::{Access, Activity, Difference, DifferenceKind, Entry, Noticed, What};
pub use arguments::hide_secrets;
pub use auditor::Auditor;
pub(crate) use auditor::has_stranger;
pub use chain::{Basis, Certainty, Chain, ChainId};
pub use content::{Content, Names, Privacy};
pub use deeds::Role;
pub use detected::DetectionEvent;
pub use detection::DetectionCounts;
pub use environment::{Cloud, Environment, HostClock, Integrity, Posture};
pub use event::{AuditEvent, End, PartName, Party, Witness};
pub use finding::FindingEvent;
pub use hops::Hop;
pub use observed::{Challenge, Observed, Verdict};
pub use pretty::COLUMNS;
pub use settings::{Device, Level, Settings};
pub use tools::Tool;
pub use workflow::{Origin, fuzz_environment};
pub use workload::{Container, Pod, Program, Workflow, WorkflowSystem, Workload};
pub use world::{Ancestor, Process, Seen, World};
