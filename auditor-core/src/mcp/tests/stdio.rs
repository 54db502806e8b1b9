//! Sessions over pipes, and what holds for lines on any channel.

use super::super::{Direction, Kind, Stage};
use super::{Host, INITIALIZE, INITIALIZED, Limits, MILLISECOND, actor, call, result, thread};
use crate::{
    audit::Seen,
    key::{ChannelId, Side},
    stream::{ChannelKind, EndCause, GapCause},
    wire::{Gap, Item},
};

#[test]
fn a_session_over_two_pipes_is_paired() {
    let mut host = Host::new();
    let (stdin, stdout) = (
        host.pipe(1, actor(10), actor(20)),
        host.pipe(2, actor(20), actor(10)),
    );
    host.line(stdin, Side::A, INITIALIZE);
    host.line(stdout, Side::A, INITIALIZED);
    host.line(
        stdin,
        Side::A,
        r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#,
    );
    host.line(stdin, Side::A, &call(1));
    host.line(
        stdout,
        Side::A,
        r#"{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","data":1}}"#,
    );
    host.line(stdout, Side::A, &result(1));
    let told = host.drain();
    let short: Vec<String> = told.iter().map(super::short).collect();
    assert_eq!(
        short,
        [
            "initialize 0 Success",
            "notifications/initialized - Pending",
            "notifications/message - Pending",
            "tools/call 1 Success",
        ]
    );
    assert!(told.iter().all(|one| one.session.id == told[0].session.id));
    assert_eq!(told[2].direction, Direction::ServerToClient);
    assert_eq!(told[3].target.as_deref(), Some("echo"));
    assert_eq!(told[3].protocol_version.as_deref(), Some("2025-06-18"));
    assert_eq!(told[3].session.server_info.as_ref().unwrap().name, "s");
    assert_eq!(told[3].request.as_ref().unwrap().channel, stdin);
    assert_eq!(told[3].response.as_ref().unwrap().items, Some(1));
}

#[test]
fn a_reader_known_late_still_joins_the_pipes() {
    let mut host = Host::new();
    let stdin = host.channel(1, ChannelKind::Pipe);
    let stdout = host.channel(2, ChannelKind::Pipe);
    let only_writer = |pid| Seen {
        writer: Some(actor(pid)),
        reader: None,
        local: true,
    };
    host.world
        .ends
        .borrow_mut()
        .insert((stdin, Side::A), only_writer(10));
    host.world
        .ends
        .borrow_mut()
        .insert((stdout, Side::A), only_writer(20));
    host.line(stdin, Side::A, INITIALIZE);
    host.line(stdout, Side::A, INITIALIZED);
    assert!(host.drain().is_empty());
    let both = |from, to| Seen {
        writer: Some(actor(from)),
        reader: Some(actor(to)),
        local: true,
    };
    host.world
        .ends
        .borrow_mut()
        .insert((stdin, Side::A), both(10, 20));
    host.world
        .ends
        .borrow_mut()
        .insert((stdout, Side::A), both(20, 10));
    host.pass(30 * MILLISECOND);
    assert_eq!(host.told(), ["initialize 0 Success"]);
}

#[test]
fn a_reader_known_one_message_late_joins_the_pipes_at_the_second() {
    let mut host = Host::new();
    let stdin = host.pipe(1, actor(10), actor(20));
    let stdout = host.channel(2, ChannelKind::Pipe);
    let seen = |reader| Seen {
        writer: Some(actor(20)),
        reader,
        local: true,
    };
    host.world
        .ends
        .borrow_mut()
        .insert((stdout, Side::A), seen(None));
    host.line(stdin, Side::A, INITIALIZE);
    host.line(stdout, Side::A, INITIALIZED);
    host.line(stdin, Side::A, &call(1));
    assert!(host.drain().is_empty());
    host.world
        .moved
        .borrow_mut()
        .insert((stdout, Side::A, 0), seen(Some(actor(10))));
    host.line(stdout, Side::A, &result(1));
    assert_eq!(
        host.told(),
        ["initialize 0 Success", "tools/call 1 Success"]
    );
}

#[test]
fn answers_that_had_to_go_before_their_pipe_was_known_are_a_gap() {
    let mut host = Host::with(Limits {
        waiting: 10,
        ..Limits::default()
    });
    let stdin = host.pipe(1, actor(10), actor(20));
    let stdout = host.channel(2, ChannelKind::Pipe);
    for id in 1..=12 {
        host.line(stdin, Side::A, &call(id));
        host.line(stdout, Side::A, &result(id));
    }
    host.seen_on(stdout, actor(20), actor(10));
    host.pass(30 * MILLISECOND);
    let told = host.drain();
    let gap = told[0].gap.as_ref().unwrap();
    let lost = result(1).len() + result(2).len();
    assert_eq!((gap.channel, gap.discarded), (stdout, lost as u64));
    assert_eq!(told.len(), 11);
    host.end(stdout, Side::A, EndCause::Closed);
    host.pass(300 * MILLISECOND);
    assert_eq!(
        host.told(),
        ["tools/call 1 Lost(Gap)", "tools/call 2 Lost(Gap)"]
    );
}

#[test]
fn an_answer_that_is_processed_before_its_request_is_paired() {
    let mut host = Host::new();
    let (stdin, stdout) = (
        host.pipe(1, actor(10), actor(20)),
        host.pipe(2, actor(20), actor(10)),
    );
    host.line(stdin, Side::A, INITIALIZE);
    host.line(stdout, Side::A, INITIALIZED);
    host.drain();
    let request = host.message(stdin, Side::A, &call(1));
    host.line(stdout, Side::A, &result(1));
    host.pass(50 * MILLISECOND);
    host.item(Item::Message(request));
    assert_eq!(host.told(), ["tools/call 1 Success"]);
}

#[test]
fn an_answer_without_a_request_is_reported_after_a_while() {
    let mut host = Host::new();
    let socket = host.channel(1, ChannelKind::Unix);
    host.line(socket, Side::A, INITIALIZE);
    host.line(socket, Side::B, INITIALIZED);
    host.line(socket, Side::B, &result(77));
    assert_eq!(host.told(), ["initialize 0 Success"]);
    host.pass(99 * MILLISECOND);
    assert!(host.told().is_empty());
    host.pass(50 * MILLISECOND);
    let told = host.drain();
    assert_eq!(told[0].kind, Kind::UnpairedResponse);
    assert_eq!(told[0].direction, Direction::ClientToServer);
}

#[test]
fn ids_of_both_directions_overlap_on_a_socket() {
    let mut host = Host::new();
    let socket = host.channel(1, ChannelKind::Unix);
    host.line(socket, Side::B, INITIALIZE);
    host.line(socket, Side::A, INITIALIZED);
    host.line(socket, Side::B, &call(1));
    host.line(socket, Side::A, r#"{"jsonrpc":"2.0","id":1,"method":"sampling/createMessage","params":{"messages":[],"maxTokens":1}}"#);
    host.line(socket, Side::B, r#"{"jsonrpc":"2.0","id":1,"result":{"role":"assistant","content":{"type":"text","text":"y"},"model":"m"}}"#);
    host.line(socket, Side::A, &result(1));
    let told = host.drain();
    assert_eq!(super::short(&told[1]), "sampling/createMessage 1 Success");
    assert_eq!(told[1].direction, Direction::ServerToClient);
    assert_eq!(super::short(&told[2]), "tools/call 1 Success");
    assert_eq!(told[2].session.client_side, Side::B);
}

#[test]
fn a_proxy_with_equal_ids_on_both_sides_is_not_paired_across() {
    let mut host = Host::new();
    // 10 is the client, 20 a proxy, 30 the server behind it.
    let (front, back) = (
        host.pipe(1, actor(10), actor(20)),
        host.pipe(2, actor(20), actor(30)),
    );
    let (up, down) = (
        host.pipe(3, actor(30), actor(20)),
        host.pipe(4, actor(20), actor(10)),
    );
    host.line(front, Side::A, INITIALIZE);
    host.line(back, Side::A, INITIALIZE);
    host.line(up, Side::A, INITIALIZED);
    host.line(down, Side::A, INITIALIZED);
    for id in 1..4 {
        host.line(front, Side::A, &call(id));
        host.line(back, Side::A, &call(id));
        host.line(up, Side::A, &result(id));
        host.line(down, Side::A, &result(id));
    }
    host.pass(3000 * MILLISECOND);
    let told = host.drain();
    assert_eq!(told.len(), 8);
    for one in told {
        let (request, response) = (one.request.unwrap().channel, one.response.unwrap().channel);
        assert!([(front, down), (back, up)].contains(&(request, response)));
    }
}

#[test]
fn twenty_sessions_of_one_process_are_told_apart_by_threads() {
    let mut host = Host::new();
    let pipes: Vec<(ChannelId, ChannelId)> = (0..20)
        .map(|n| {
            let (client, server) = (thread(10, 100 + n), thread(10, 200 + n));
            (
                host.pipe(u64::from(n), client, server),
                host.pipe(100 + u64::from(n), server, client),
            )
        })
        .collect();
    for (stdin, _) in &pipes {
        host.line(*stdin, Side::A, INITIALIZE);
    }
    for (_, stdout) in pipes.iter().rev() {
        host.line(*stdout, Side::A, INITIALIZED);
    }
    for id in 1..5 {
        for (stdin, _) in &pipes {
            host.line(*stdin, Side::A, &call(id));
        }
        for (_, stdout) in pipes.iter().rev() {
            host.line(*stdout, Side::A, &result(id));
        }
    }
    let told = host.drain();
    assert_eq!(told.len(), 100);
    for one in told {
        let (request, response) = (one.request.unwrap().channel, one.response.unwrap().channel);
        assert_eq!(request.0 + 100, response.0);
    }
}

#[test]
fn sessions_in_lockstep_on_one_thread_are_not_paired_by_guess() {
    let mut host = Host::new();
    let one = actor(10);
    let pipes: Vec<_> = (0..3)
        .map(|n| (host.pipe(n, one, one), host.pipe(100 + n, one, one)))
        .collect();
    for (stdin, _) in &pipes {
        host.line(*stdin, Side::A, INITIALIZE);
    }
    for (_, stdout) in &pipes {
        host.line(*stdout, Side::A, INITIALIZED);
    }
    host.pass(500 * MILLISECOND);
    assert!(host.drain().is_empty());
    // The sessions go on at different speed: one after the other only one pipe fits.
    for (n, (stdin, stdout)) in pipes.iter().enumerate() {
        for id in 1..=n as u32 * 2 + 1 {
            host.line(*stdin, Side::A, &call(id));
            host.line(*stdout, Side::A, &result(id));
        }
    }
    host.pass(500 * MILLISECOND);
    let told = host.drain();
    assert!(!told.is_empty());
    for one in told {
        if let (Some(request), Some(response)) = (one.request, one.response) {
            assert_eq!(request.channel.0 + 100, response.channel.0);
        }
    }
}

#[test]
fn inherited_ends_do_not_break_a_session() {
    let mut host = Host::new();
    let (stdin, stdout) = (
        host.pipe(1, actor(10), actor(20)),
        host.pipe(2, actor(20), actor(10)),
    );
    host.line(stdin, Side::A, INITIALIZE);
    host.line(stdout, Side::A, INITIALIZED);
    // The server's child takes over both ends.
    host.pipe(1, actor(10), actor(21));
    host.pipe(2, actor(21), actor(10));
    host.line(stdin, Side::A, &call(1));
    host.line(stdout, Side::A, &result(1));
    host.sessions.handle_exit(actor(20).process, host.now);
    host.line(stdin, Side::A, &call(2));
    host.pass(500 * MILLISECOND);
    host.line(stdout, Side::A, &result(2));
    assert_eq!(
        host.told(),
        [
            "initialize 0 Success",
            "tools/call 1 Success",
            "tools/call 2 Success"
        ]
    );
}

#[test]
fn an_open_request_is_reported_once_and_then_as_final() {
    let mut host = Host::new();
    let socket = host.channel(1, ChannelKind::Unix);
    host.line(socket, Side::A, &call(1));
    host.pass(999 * MILLISECOND);
    assert!(host.told().is_empty());
    host.pass(5000 * MILLISECOND);
    let open = host.drain();
    assert_eq!(open.len(), 1);
    assert_eq!(open[0].stage, Stage::Open);
    host.line(socket, Side::B, &result(1));
    let done = host.drain();
    assert_eq!(done[0].id, open[0].id);
    assert_eq!(done[0].stage, Stage::Final);
}

#[test]
fn unanswered_requests_end_with_the_reason() {
    let mut host = Host::new();
    let socket = host.channel(1, ChannelKind::Unix);
    host.line(socket, Side::A, &call(1));
    host.end(socket, Side::B, EndCause::Reset);
    host.end(socket, Side::A, EndCause::Closed);
    host.pass(300 * MILLISECOND);
    assert_eq!(host.told(), ["tools/call 1 Lost(Reset)"]);
    assert_eq!(host.sessions.sessions(), 0);

    let (stdin, stdout) = (
        host.pipe(2, actor(10), actor(20)),
        host.pipe(3, actor(20), actor(10)),
    );
    host.line(stdin, Side::A, INITIALIZE);
    host.line(stdout, Side::A, INITIALIZED);
    host.line(stdin, Side::A, &call(2));
    host.sessions.handle_exit(actor(20).process, host.now);
    host.pass(300 * MILLISECOND);
    assert_eq!(
        host.told(),
        ["initialize 0 Success", "tools/call 2 Lost(Exited)"]
    );

    host.line(stdin, Side::A, &call(3));
    host.item(Item::Gap(Gap {
        channel: stdout,
        from: Side::A,
        range: 500..600,
        discarded: 3,
        cause: GapCause::RingFull,
        time: host.now,
    }));
    host.end(stdout, Side::A, EndCause::Closed);
    host.pass(300 * MILLISECOND);
    assert_eq!(host.told(), ["gap - - Pending", "tools/call 3 Lost(Gap)"]);
}

#[test]
fn a_last_answer_before_the_exit_is_still_paired() {
    let mut host = Host::new();
    let (stdin, stdout) = (
        host.pipe(1, actor(10), actor(20)),
        host.pipe(2, actor(20), actor(10)),
    );
    host.line(stdin, Side::A, INITIALIZE);
    host.sessions.handle_exit(actor(20).process, host.now);
    host.end(stdin, Side::A, EndCause::Closed);
    host.line(stdout, Side::A, INITIALIZED);
    host.end(stdout, Side::A, EndCause::Exited);
    host.pass(1000 * MILLISECOND);
    assert_eq!(host.told(), ["initialize 0 Success"]);
}

#[test]
fn a_cancelled_request_ends_so_unless_its_answer_was_under_way() {
    let mut host = Host::new();
    let socket = host.channel(1, ChannelKind::Unix);
    let cancel = |id| {
        format!(
            r#"{{"jsonrpc":"2.0","method":"notifications/cancelled","params":{{"requestId":{id}}}}}"#
        )
    };
    host.line(socket, Side::A, &call(1));
    host.line(socket, Side::A, &call(2));
    host.line(socket, Side::A, &cancel(1));
    host.line(socket, Side::A, &cancel(2));
    host.line(socket, Side::B, &result(2));
    host.pass(2000 * MILLISECOND);
    assert_eq!(
        host.told(),
        [
            "notifications/cancelled - Pending",
            "notifications/cancelled - Pending",
            "tools/call 2 Success",
            "tools/call 1 Lost(Cancelled)",
        ]
    );
}

#[test]
fn a_cancellation_for_time_is_told_from_others() {
    let mut host = Host::new();
    let socket = host.channel(1, ChannelKind::Unix);
    host.line(socket, Side::A, &call(1));
    host.line(
        socket,
        Side::A,
        r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1,"reason":"McpError: MCP error -32001: Request timed out"}}"#,
    );
    host.pass(2000 * MILLISECOND);
    assert_eq!(
        host.told(),
        [
            "notifications/cancelled - Pending",
            "tools/call 1 Lost(TimedOut)",
        ]
    );
}

#[test]
fn an_id_used_again_while_open_abandons_the_older_request() {
    let mut host = Host::new();
    let socket = host.channel(1, ChannelKind::Unix);
    host.line(socket, Side::A, &call(1));
    host.line(socket, Side::A, &call(1));
    host.line(socket, Side::B, &result(1));
    assert_eq!(
        host.told(),
        ["tools/call 1 Lost(Abandoned)", "tools/call 1 Success"]
    );
}

#[test]
fn other_json_rpc_makes_no_interaction() {
    let mut host = Host::new();
    let (stdin, stdout) = (
        host.pipe(1, actor(10), actor(20)),
        host.pipe(2, actor(20), actor(10)),
    );
    host.line(stdin, Side::A, r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"processId":1,"capabilities":{}}}"#);
    host.line(
        stdout,
        Side::A,
        r#"{"jsonrpc":"2.0","id":1,"result":{"capabilities":{}}}"#,
    );
    let socket = host.channel(3, ChannelKind::Unix);
    host.line(
        socket,
        Side::A,
        r#"{"jsonrpc":"2.0","id":1,"method":"eth_blockNumber","params":[]}"#,
    );
    host.line(
        socket,
        Side::B,
        r#"{"jsonrpc":"2.0","id":1,"result":"0x1"}"#,
    );
    host.item(Item::Gap(Gap {
        channel: socket,
        from: Side::A,
        range: 500..600,
        discarded: 0,
        cause: GapCause::RingFull,
        time: host.now,
    }));
    host.pass(5000 * MILLISECOND);
    host.sessions.handle_shutdown(host.now);
    assert!(host.told().is_empty());
}

#[test]
fn what_came_before_the_first_proof_is_reported_with_it() {
    let mut host = Host::new();
    let socket = host.channel(1, ChannelKind::Unix);
    host.line(
        socket,
        Side::A,
        r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#,
    );
    host.line(socket, Side::B, r#"{"jsonrpc":"2.0","id":1,"result":{}}"#);
    host.line(
        socket,
        Side::A,
        r#"{"jsonrpc":"2.0","id":2,"method":"vendor/custom"}"#,
    );
    host.line(socket, Side::A, &call(3));
    host.line(
        socket,
        Side::B,
        r#"{"jsonrpc":"2.0","id":2,"error":{"code":-32601,"message":"m"}}"#,
    );
    assert_eq!(
        host.told(),
        [
            "ping 1 Success",
            "vendor/custom 2 Error { code: -32601, message: \"m\" }"
        ]
    );
}

#[test]
fn the_echo_of_a_terminal_is_not_an_answer() {
    let mut host = Host::new();
    let pty = host.channel(1, ChannelKind::Pty);
    host.line(pty, Side::A, INITIALIZE);
    host.line(pty, Side::B, INITIALIZE);
    host.line(pty, Side::B, INITIALIZED);
    assert_eq!(host.told(), ["initialize 0 Success"]);
}

#[test]
fn a_round_trip_is_counted() {
    let mut host = Host::new();
    let socket = host.channel(1, ChannelKind::Unix);
    host.line(socket, Side::A, &call(1));
    host.line(socket, Side::B, r#"{"jsonrpc":"2.0","id":1,"result":{"resultType":"input_required","inputRequests":{"k":{"method":"elicitation/create"}},"requestState":"abc"}}"#);
    host.line(socket, Side::A, r#"{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"echo","requestState":"abc","inputResponses":{"k":{"action":"accept"}}}}"#);
    host.line(socket, Side::B, &result(2));
    let told = host.drain();
    assert_eq!(told[0].round_trip, Some(1));
    assert_eq!(told[1].round_trip, Some(2));
}

#[test]
fn an_answer_to_what_was_asked_before_we_listened_does_not_keep_pipes_apart() {
    let mut host = Host::new();
    let (stdin, stdout) = (
        host.pipe(1, actor(10), actor(20)),
        host.pipe(2, actor(20), actor(10)),
    );
    host.line(stdout, Side::A, &result(41));
    host.pass(500 * MILLISECOND);
    host.line(stdin, Side::A, &call(42));
    host.line(stdout, Side::A, &result(42));
    assert_eq!(host.told(), ["tools/call 42 Success"]);
    host.pass(3000 * MILLISECOND);
    assert_eq!(host.told(), ["stray - 41 Success"]);
}

#[test]
fn sessions_between_the_same_two_processes_at_different_speed_find_each_other() {
    let mut host = Host::new();
    let (client, server) = (actor(10), actor(20));
    let pipes: Vec<_> = (0..3)
        .map(|n| {
            (
                host.pipe(n, client, server),
                host.pipe(100 + n, server, client),
            )
        })
        .collect();
    for (n, (stdin, _)) in pipes.iter().enumerate() {
        for id in 0..=n as u32 {
            host.line(*stdin, Side::A, &call(id));
        }
    }
    for (n, (_, stdout)) in pipes.iter().enumerate() {
        for id in 0..=n as u32 {
            host.line(*stdout, Side::A, &result(id));
        }
    }
    host.pass(900 * MILLISECOND);
    let told = host.drain();
    assert_eq!(told.len(), 6);
    for one in told {
        let (request, response) = (one.request.unwrap().channel, one.response.unwrap().channel);
        assert_eq!(request.0 + 100, response.0);
    }
}

#[test]
fn a_first_answer_is_not_taken_by_the_only_pipe_that_has_its_id_when_requests_were_lost() {
    let mut host = Host::new();
    let (client, server) = (actor(10), actor(20));
    let (one, two) = (host.pipe(1, client, server), host.pipe(2, client, server));
    let answers = host.pipe(3, server, client);
    host.line(one, Side::A, &call(1));
    host.line(two, Side::A, &call(5));
    // The request 1 of the second session is lost; the answer to it is not the first session's.
    let gap = Gap {
        channel: two,
        from: Side::A,
        range: 90..190,
        discarded: 0,
        cause: GapCause::RingFull,
        time: host.now,
    };
    host.item(Item::Gap(gap));
    host.line(answers, Side::A, &result(1));
    host.pass(500 * MILLISECOND);
    assert_eq!(host.told(), ["gap - - Pending"]);
}
