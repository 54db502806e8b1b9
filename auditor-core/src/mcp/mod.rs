//! Messages to interactions: JSON-RPC 2.0 and MCP, requests paired with their answers per session.

mod interaction;

pub use interaction::{
    Direction, Failure, Interaction, InteractionId, Kind, LostCause, Outcome, Part, Peer, Session,
    Stage, Transport,
};
