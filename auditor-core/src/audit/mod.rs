//! Interactions to audit events: OCSF `api_activity`, who, what, when, how it ended.

mod world;

pub use world::{Ancestor, Process, Seen, World};
