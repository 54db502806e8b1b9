//! TLS connections whose plaintext is not seen: finds those that may carry MCP, and says why they are not heard.
//!
//! ```text
//! begin of TCP streams ─opening──────> what the handshake shows ─watch─> Unheard
//!                      ─certificate──> what each end showed ─> kept for the events of the connection
//! ```
//!
//! Decrypts nothing. Looks at the first [`opening::WINDOW`] bytes of each direction; further bounds are in [`Watch`].

mod basis;
mod certificate;
mod connection;
mod hello;
mod obstacle;
mod opening;
mod unheard;
mod watch;
#[cfg(test)]
mod watch_tests;

pub use basis::{Basis, Hints, hints_at_mcp};
pub use certificate::{Chain, fuzz_certificates};
pub(crate) use connection::Place;
pub use obstacle::{Obstacle, Reason};
pub use opening::fuzz_opening;
pub use unheard::{Moved, Unheard};
pub(crate) use watch::Watch;
