//! Messages to interactions: JSON-RPC 2.0 and MCP, requests paired with their answers per session.
//!
//! Knows nothing of who a process is; content is walked, not kept. What makes a session MCP is a
//! method that only MCP has, an HTTP head or a `_meta` key of MCP, or an answer to such: other
//! JSON-RPC makes no interaction. All bounds are in [`Limits`].

mod budget;
mod content;
mod early;
#[doc(hidden)]
pub mod fuzz;
mod http;
mod http_session;
mod interaction;
mod join;
mod lane;
mod limits;
mod line;
mod message;
mod method;
mod open;
mod pairing;
mod progress;
mod round_trip;
mod session;
mod sessions;
#[cfg(test)]
mod tests;

pub(crate) use content::CUT;
pub use interaction::{
    Direction, Failure, Interaction, InteractionId, Kind, LostCause, Outcome, Part, Peer, Session,
    Stage, Transport,
};
pub use limits::Limits;
pub use progress::{Begun, Progress};
pub use sessions::Sessions;
