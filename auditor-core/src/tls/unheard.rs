//! What this stage hands on: TLS connections that were not heard. Types only.

use super::{basis::Basis, obstacle::Obstacle};
use crate::{
    key::{Actor, ChannelId, Side, Time},
    stream::Socket,
};

/// A TLS connection that may carry MCP, and whose plaintext is not seen.
#[derive(Clone, Debug, PartialEq)]
pub struct Unheard {
    /// The TCP connection.
    pub channel: ChannelId,
    /// Its addresses.
    pub socket: Option<Socket>,
    /// When its first bytes were seen.
    pub begun: Time,
    /// The side that sent the ClientHello; where the handshake was not seen, the side with the higher port.
    pub client_side: Side,
    /// Whether the handshake was seen.
    pub has_handshake: bool,
    /// Who is at the client's end, where that is on this host.
    pub client: Option<Actor>,
    /// Who is at the server's end.
    pub server: Option<Actor>,
    /// The server's name, as the client asked for it.
    pub server_name: Option<String>,
    /// The protocols that were offered.
    pub protocols: Vec<String>,
    /// The version that the server chose.
    pub version: Option<u16>,
    /// Why it may carry MCP; at least one reason.
    pub basis: Vec<Basis>,
    /// Why the client's end is not heard, where it is on this host.
    pub client_obstacle: Option<Obstacle>,
    /// Why the server's end is not heard, where it is on this host.
    pub server_obstacle: Option<Obstacle>,
    /// Whether application data moved.
    pub moved: Moved,
    /// Connections of the same process to the same server that this one stands for, itself included.
    pub connections: u32,
}

/// Whether application data moved on a connection.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Moved {
    /// A record of it was seen.
    Yes,
    /// Everything was seen, and none was there.
    No,
    /// It lies beyond what is looked at.
    Unknown,
}
