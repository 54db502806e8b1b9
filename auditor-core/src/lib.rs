//! The audit pipeline, pure: no clock, no file, no socket.
//!
//! Data flows one way, and each arrow is a module:
//!
//! ```text
//! ring bytes ─record─> Record ─stream─> Chunk ─wire─> Message ─mcp─> Interaction ─audit─> AuditEvent
//! ```
//!
//! Beside them [`tls`] watches what is encrypted and not heard. [`Pipeline`] joins them; the caller brings records, the time, and what it knows of processes.

pub mod audit;
pub mod identity;
pub mod key;
pub mod mcp;
mod memory;
mod pipeline;
pub mod record;
mod settle;
pub mod stream;
pub mod tls;
pub mod wire;

pub use pipeline::{Limits, Pipeline, Processes, Totals};
