//! Says what kinds of data a message holds, and redacts it.
//!
//! [`Classifier`] reads a message body and reports classes (`secret.github_pat`, `pii.email`,
//! `custom.project`) with their places, never values. [`Redactor`] writes a body again without
//! what must not be kept. Both work on hostile input with bounds on time, depth and memory, and
//! say when a bound was met. No file, clock or socket is touched.
//!
//! What is not found: data in images or archives, values split over several strings, names and
//! addresses of people outside of members whose keys tell them.

mod class;
mod classifier;
mod entropy;
mod flat;
mod fuzz;
mod gate;
mod go_syntax;
mod hits;
mod keys;
mod pattern;
mod personal;
mod policy;
mod redact;
mod report;
mod rules;
mod settings;
mod walk;

pub use class::{Class, Level};
pub use classifier::Classifier;
pub use fuzz::fuzz_content;
pub use policy::{Action, PathRule, Policy};
pub use redact::Redactor;
pub use report::{Finding, MAX_FINDINGS, Report};
pub use settings::{CustomPattern, Dictionary, Error, KeyNames, MAX_INPUT, Settings};
