//! Every table has a bound, and says what it did there.

use super::super::{Kind, Limits};
use super::{Host, INITIALIZE, INITIALIZED, MILLISECOND, call, result};
use crate::{
    key::Side,
    stream::{ChannelKind, GapCause},
    wire::{Gap, Item},
};

#[test]
fn the_oldest_open_request_is_abandoned_at_the_bounds() {
    let mut host = Host::with(Limits {
        open_per_session: 3,
        open: 5,
        ..Limits::default()
    });
    let (one, two) = (
        host.channel(1, ChannelKind::Unix),
        host.channel(2, ChannelKind::Unix),
    );
    (1..=4).for_each(|id| host.line(one, Side::A, &call(id)));
    assert_eq!(host.told(), ["tools/call 1 Lost(Abandoned)"]);
    (11..=13).for_each(|id| host.line(two, Side::A, &call(id)));
    assert_eq!(host.told(), ["tools/call 2 Lost(Abandoned)"]);
    assert_eq!(host.sessions.open_interactions(), 5);
}

#[test]
fn the_least_useful_session_ends_at_the_bound() {
    let mut host = Host::with(Limits {
        sessions: 2,
        ..Limits::default()
    });
    let channels: Vec<_> = (0..4)
        .map(|id| host.channel(id, ChannelKind::Unix))
        .collect();
    host.line(channels[0], Side::A, &call(0));
    host.line(
        channels[1],
        Side::A,
        r#"{"jsonrpc":"2.0","id":1,"method":"unknown"}"#,
    );
    host.line(channels[2], Side::A, &call(2));
    assert!(host.told().is_empty());
    host.line(channels[3], Side::A, &call(3));
    assert_eq!(host.told(), ["tools/call 0 Lost(Abandoned)"]);
    assert_eq!(host.sessions.sessions(), 2);
    // A session that was let go begins anew with its next message.
    host.line(channels[0], Side::A, &call(9));
    host.line(channels[0], Side::B, &result(9));
    assert!(host.told().contains(&"tools/call 9 Success".to_owned()));
}

#[test]
fn the_channel_unheard_for_longest_is_forgotten_at_the_bound() {
    let mut host = Host::with(Limits {
        channels: 2,
        ..Limits::default()
    });
    for id in 0..3 {
        let channel = host.channel(id, ChannelKind::Unix);
        host.line(channel, Side::A, &call(id as u32));
    }
    assert_eq!(host.told(), ["tools/call 0 Lost(Abandoned)"]);
}

#[test]
fn answers_that_wait_are_bounded() {
    let mut host = Host::with(Limits {
        waiting: 10,
        ..Limits::default()
    });
    let socket = host.channel(1, ChannelKind::Unix);
    host.line(socket, Side::A, INITIALIZE);
    host.line(socket, Side::B, INITIALIZED);
    host.drain();
    (1..=15).for_each(|id| host.line(socket, Side::B, &result(id)));
    let told = host.drain();
    assert_eq!(told.len(), 5);
    assert!(told.iter().all(|one| one.kind == Kind::UnpairedResponse));
    host.pass(200 * MILLISECOND);
    assert_eq!(host.drain().len(), 10);
}

#[test]
fn messages_without_proof_are_bounded() {
    let mut host = Host::with(Limits {
        waiting: 10,
        ..Limits::default()
    });
    let socket = host.channel(1, ChannelKind::Unix);
    (0..1000).for_each(|id| {
        host.line(
            socket,
            Side::A,
            &format!(r#"{{"jsonrpc":"2.0","method":"m{id}"}}"#),
        )
    });
    host.line(socket, Side::A, &call(1));
    host.line(socket, Side::B, &result(1));
    let told = host.drain();
    let gap = told[0].gap.as_ref().unwrap();
    let dropped: usize = (0..990)
        .map(|id| format!(r#"{{"jsonrpc":"2.0","method":"m{id}"}}"#).len())
        .sum();
    assert_eq!(
        (gap.cause, gap.discarded),
        (GapCause::Bound, dropped as u64)
    );
    let told: Vec<String> = told.iter().map(super::short).collect();
    assert_eq!(told.len(), 12);
    assert_eq!(told[1], "m990 - Pending");
}

#[test]
fn the_rest_of_an_endless_batch_is_a_gap() {
    let mut host = Host::with(Limits {
        batch: 3,
        ..Limits::default()
    });
    let socket = host.channel(1, ChannelKind::Unix);
    let batch: Vec<String> = (0..5).map(call).collect();
    host.line(socket, Side::A, &format!("[{}]", batch.join(",")));
    host.line(
        socket,
        Side::B,
        &format!("[{},{},{}]", result(2), result(0), result(1)),
    );
    let told = host.drain();
    assert_eq!(told.len(), 4);
    assert_eq!(told[0].kind, Kind::Gap);
    assert_eq!(
        told[0].gap.as_ref().unwrap().discarded,
        2 * call(0).len() as u64
    );
    assert!(told[1..].iter().all(|one| one.batch == Some(5)));
}

#[test]
fn shutting_down_abandons_what_is_open() {
    let mut host = Host::new();
    let socket = host.channel(1, ChannelKind::Unix);
    host.line(socket, Side::A, &call(1));
    host.line(socket, Side::B, &result(7));
    host.sessions.handle_shutdown(host.now);
    assert_eq!(
        host.told(),
        ["stray - 7 Success", "tools/call 1 Lost(Abandoned)"]
    );
    assert_eq!(host.sessions.poll_timeout(), None);
}

#[test]
fn a_gap_outside_mcp_is_no_interaction() {
    let mut host = Host::new();
    let channel = host.channel(1, ChannelKind::Unix);
    let gap = Gap {
        channel,
        from: Side::A,
        range: 0..9,
        discarded: 0,
        cause: crate::stream::GapCause::RingFull,
        time: host.now,
    };
    host.item(Item::Gap(gap));
    host.sessions.handle_shutdown(host.now);
    assert!(host.told().is_empty());
}

#[test]
fn a_gap_before_the_first_message_of_a_session_is_told() {
    let mut host = Host::new();
    let socket = host.channel(1, ChannelKind::Unix);
    let gap = Gap {
        channel: socket,
        from: Side::A,
        range: 0..9,
        discarded: 0,
        cause: crate::stream::GapCause::RingFull,
        time: host.now,
    };
    host.item(Item::Gap(gap));
    assert!(host.drain().is_empty());
    host.line(socket, Side::A, &call(1));
    host.line(socket, Side::B, &result(1));
    let told = host.drain();
    let gaps: Vec<_> = told.iter().filter_map(|one| one.gap.clone()).collect();
    assert_eq!(gaps.len(), 1);
    assert_eq!(gaps[0].range, 0..9);
}

#[test]
fn bodies_are_bounded_over_all_sessions() {
    let size = call(1).len();
    let mut host = Host::with(Limits {
        body_bytes: 2 * size,
        ..Limits::default()
    });
    let socket = host.channel(1, ChannelKind::Unix);
    (1..=3).for_each(|id| host.line(socket, Side::A, &call(id)));
    (1..=3).for_each(|id| host.line(socket, Side::B, &result(id)));
    let bodies: Vec<_> = host
        .drain()
        .into_iter()
        .map(|one| one.request.unwrap().body.is_some())
        .collect();
    assert_eq!(bodies, [true, true, false]);
    // What was answered makes room.
    host.line(socket, Side::A, &call(4));
    host.line(socket, Side::B, &result(4));
    assert!(host.drain()[0].request.as_ref().unwrap().body.is_some());
}

#[test]
fn what_waits_is_bounded_over_all_sessions() {
    let mut host = Host::with(Limits {
        held_bytes: 2600,
        ..Limits::default()
    });
    for id in 0..5 {
        let socket = host.channel(id, ChannelKind::Unix);
        host.line(socket, Side::A, r#"{"jsonrpc":"2.0","method":"early"}"#);
        host.line(socket, Side::A, &call(1));
        host.line(socket, Side::B, &result(9));
    }
    let told = host.told();
    // The first answers wait; the others find no room and are reported at once.
    assert_eq!(
        told.iter().filter(|one| one.starts_with("stray")).count(),
        3
    );
    assert!(told.contains(&"early - Pending".to_owned()));
    host.pass(200 * MILLISECOND);
    assert_eq!(host.told().len(), 2);
}
