//! Sessions over Unix sockets: socket pairs used in one direction, sockets used in both.

use super::super::{Direction, Transport};
use super::{Host, INITIALIZE, INITIALIZED, MILLISECOND, actor, call, result};
use crate::{
    audit::Seen,
    key::Side,
    stream::{ChannelKind, EndCause},
};

#[test]
fn lines_over_a_named_socket_are_not_stdio() {
    for (kind, transport) in [
        (ChannelKind::Pipe, Transport::Stdio),
        (ChannelKind::Unix, Transport::Stdio),
        (ChannelKind::NamedUnix, Transport::Unix),
        (ChannelKind::Tcp, Transport::Tcp),
    ] {
        let mut host = Host::new();
        let socket = host.channel(1, kind);
        host.line(socket, Side::A, INITIALIZE);
        host.line(socket, Side::B, INITIALIZED);
        host.pass(50 * MILLISECOND);
        let told = host.drain();
        assert_eq!(told[0].session.transport, transport, "{kind:?}");
    }
}

#[test]
fn two_socket_pairs_of_which_each_carries_one_direction_are_a_session() {
    // Node opens a pair for the server's input and one for its output; either end may be `A`.
    for (client, server) in [
        (Side::A, Side::A),
        (Side::B, Side::A),
        (Side::A, Side::B),
        (Side::B, Side::B),
    ] {
        let mut host = Host::new();
        let stdin = host.channel(1, ChannelKind::Unix);
        let stdout = host.channel(2, ChannelKind::Unix);
        let seen = |from, to| Seen {
            writer: Some(actor(from)),
            reader: Some(actor(to)),
            local: true,
        };
        host.world
            .ends
            .borrow_mut()
            .insert((stdin, client), seen(10, 20));
        host.world
            .ends
            .borrow_mut()
            .insert((stdout, server), seen(20, 10));
        host.line(stdin, client, INITIALIZE);
        host.line(stdout, server, INITIALIZED);
        host.line(stdin, client, &call(1));
        host.line(
            stdout,
            server,
            r#"{"jsonrpc":"2.0","id":1,"method":"roots/list"}"#,
        );
        host.line(
            stdin,
            client,
            r#"{"jsonrpc":"2.0","id":1,"result":{"roots":[]}}"#,
        );
        host.line(stdin, client, &call(2));
        host.line(stdout, server, &result(1));
        host.end(stdout, server, EndCause::Closed);
        host.pass(300 * MILLISECOND);
        assert_eq!(
            host.told(),
            [
                "initialize 0 Success",
                "roots/list 1 Success",
                "tools/call 1 Success",
                "tools/call 2 Lost(Closed)",
            ]
        );
        host.end(stdin, client, EndCause::Closed);
        host.pass(300 * MILLISECOND);
        assert_eq!(host.sessions.sessions(), 0);
    }
}

#[test]
fn a_socket_that_is_answered_on_itself_knows_its_client() {
    for client in [Side::A, Side::B] {
        let mut host = Host::new();
        let socket = host.channel(1, ChannelKind::Unix);
        host.line(socket, client, INITIALIZE);
        host.line(socket, client.other(), INITIALIZED);
        host.line(
            socket,
            client.other(),
            r#"{"jsonrpc":"2.0","method":"vendor/note"}"#,
        );
        let told = host.drain();
        assert_eq!(told[1].session.client_side, client);
        assert_eq!(told[1].direction, Direction::ServerToClient);
    }
}
