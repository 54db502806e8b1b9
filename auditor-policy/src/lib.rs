//! What the operator's policy says of an interaction: Cedar, in audit mode. Nothing is blocked.
//!
//! [`PolicySet`] is text that was checked against the product's schema; [`Decider`] answers questions with it and
//! remembers answers. No file, no clock. Bounds: [`POLICIES`] of [`SOURCE`] bytes in all, those of a question in
//! [`TooLarge`], those of an answer in [`POLICIES_NAMED`], [`CONDITIONS`] and [`VALUE`], those of the memory in
//! [`Decider`].

mod actions;
mod decider;
mod error;
mod evaluate;
mod reads;
mod request;
mod set;
mod slices;
#[cfg(test)]
mod tests;
mod values;
mod walk;

pub use decider::Decider;
pub use error::{Error, Problem};
pub use evaluate::{BadRequest, CONDITIONS, POLICIES_NAMED, VALUE};
pub use request::{CLASSES, REQUEST, TEXT, THINGS, TooLarge};
pub use set::{About, POLICIES, PolicySet, SOURCE, Source};

/// What policies may look at, as a Cedar schema.
pub const SCHEMA: &str = include_str!("mcp.cedarschema");

/// A policy set to begin with.
pub const STARTER: &str = include_str!("starter.cedar");
