//! The audit pipeline, pure: no clock, no file, no socket.

pub mod audit;
pub mod key;
pub mod mcp;
pub mod stream;
pub mod wire;
