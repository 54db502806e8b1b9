//! The stage as a whole: both ends, losses, reuse of keys, bounds.

use auditor_common::record::{Header, Object, end, flag, object};
use proptest::prelude::*;

use super::*;
use crate::key::{ChannelId, Side, Time};

const PIPE: u64 = 0xffff_8880_0000_1000;

fn header(pid: u32, side: u8, pos: u64, span: usize) -> Header {
    Header {
        end: side,
        object: object::PIPE,
        tgid: pid,
        tid: pid,
        start: 7,
        stream: PIPE,
        generation: 1,
        pos,
        span: span as u32,
        ..Header::default()
    }
}

fn data(streams: &mut Streams, header: Header, payload: &[u8], millis: u64) {
    let header = Header {
        len: payload.len() as u32,
        ..header
    };
    streams.handle_data(&header, payload, Time(millis * 1_000_000));
}

fn drain(streams: &mut Streams) -> Vec<Content> {
    std::iter::from_fn(|| streams.poll_chunk())
        .map(|chunk| chunk.content)
        .collect()
}

fn text(content: &[Content]) -> String {
    let mut text = String::new();
    for content in content {
        match content {
            Content::Bytes(bytes) => text.push_str(&String::from_utf8_lossy(bytes)),
            Content::Gap { bytes, cause } => text.push_str(&format!("<{bytes} {cause:?}>")),
            Content::End(cause) => text.push_str(&format!("<end {cause:?}>")),
        }
    }
    text
}

#[test]
fn bytes_seen_at_both_ends_come_once_with_both_movers() {
    let mut streams = Streams::new(Limits::default());
    data(&mut streams, header(1, end::WRITE, 0, 5), b"hello", 0);
    data(&mut streams, header(2, end::READ, 0, 3), b"", 1);
    data(&mut streams, header(2, end::READ, 3, 2), b"lo", 2);
    let chunks: Vec<_> = std::iter::from_fn(|| streams.poll_chunk()).collect();
    assert_eq!(chunks.len(), 1);
    let seen = streams.seen(chunks[0].channel, Side::A, &(0..5));
    assert_eq!(seen.writer.map(|actor| actor.process.pid), Some(1));
    assert_eq!(seen.reader.map(|actor| actor.process.pid), Some(2));
    assert!(seen.local);
}

#[test]
fn what_one_end_lost_comes_from_the_other() {
    let mut streams = Streams::new(Limits::default());
    data(&mut streams, header(1, end::WRITE, 0, 4), b"0123", 0);
    let lost = Header {
        flags: flag::LOST,
        lost: 4,
        ..header(1, end::WRITE, 8, 2)
    };
    data(&mut streams, lost, b"89", 1);
    assert_eq!(text(&drain(&mut streams)), "0123");
    data(&mut streams, header(2, end::READ, 2, 7), b"2345678", 20);
    assert_eq!(text(&drain(&mut streams)), "456789");
    assert_eq!(streams.poll_timeout(), None);
}

#[test]
fn what_nobody_delivers_is_a_gap_of_its_size() {
    let mut streams = Streams::new(Limits::default());
    data(&mut streams, header(1, end::WRITE, 0, 4), b"0123", 0);
    let lost = Header {
        flags: flag::LOST | flag::SKIPPED,
        lost: 3,
        ..header(1, end::WRITE, 10, 2)
    };
    data(&mut streams, lost, b"ab", 1);
    let due = streams.poll_timeout().unwrap();
    streams.handle_timeout(due);
    assert_eq!(text(&drain(&mut streams)), "0123<3 Skipped><3 RingFull>ab");
}

#[test]
fn what_was_lost_before_the_first_record_is_a_gap_though_nobody_says_how_much() {
    let mut streams = Streams::new(Limits::default());
    data(&mut streams, header(1, end::WRITE, 9, 1), b"a", 0);
    streams.handle_timeout(streams.poll_timeout().unwrap());
    assert_eq!(text(&drain(&mut streams)), "<9 Unheard>a");
    let skipped = Header {
        generation: 2,
        flags: flag::SKIPPED,
        ..header(1, end::WRITE, 9, 1)
    };
    data(&mut streams, skipped, b"b", 0);
    assert_eq!(text(&drain(&mut streams)), "b");
}

#[test]
fn where_records_were_lost_the_only_process_at_an_end_is_told() {
    let mut streams = Streams::new(Limits::default());
    data(&mut streams, header(1, end::WRITE, 0, 4), b"0123", 0);
    let only = |streams: &Streams| {
        let seen = streams.only_seen(ChannelId(1), Side::A);
        [seen.writer, seen.reader].map(|actor| actor.map(|actor| actor.process.pid))
    };
    assert_eq!(only(&streams), [None, None]);
    data(&mut streams, header(2, end::READ, 0, 8), b"01234567", 1);
    streams.handle_loss(PIPE, 1, 9, Time(0));
    assert_eq!(only(&streams), [Some(1), Some(2)]);
    assert_eq!(streams.seen(ChannelId(1), Side::A, &(4..8)).writer, None);
    data(&mut streams, header(3, end::READ, 8, 1), b"8", 1);
    assert_eq!(only(&streams), [Some(1), None]);
}

#[test]
fn a_loss_at_the_very_end_is_told_by_the_counters() {
    let mut streams = Streams::new(Limits::default());
    data(&mut streams, header(1, end::WRITE, 0, 4), b"0123", 0);
    streams.handle_loss(PIPE, 1, 9, Time(0));
    streams.handle_loss(PIPE, 2, 99, Time(0));
    let due = streams.poll_timeout().unwrap();
    streams.handle_timeout(due);
    assert_eq!(text(&drain(&mut streams)), "0123<5 RingFull>");
}

#[test]
fn unheard_bytes_are_a_gap_unless_the_other_end_shows_them() {
    let mut streams = Streams::new(Limits::default());
    data(&mut streams, header(1, end::WRITE, 0, 2), b"ab", 0);
    let spliced = Header {
        flags: flag::UNHEARD,
        ..header(1, end::WRITE, 2, 3)
    };
    data(&mut streams, spliced, b"", 0);
    data(&mut streams, header(2, end::READ, 0, 5), b"abcde", 1);
    assert_eq!(text(&drain(&mut streams)), "abcde");
    let spliced = Header {
        flags: flag::UNHEARD,
        ..header(1, end::WRITE, 5, 3)
    };
    data(&mut streams, spliced, b"", 2);
    data(&mut streams, header(1, end::WRITE, 8, 1), b"x", 3);
    let due = streams.poll_timeout().unwrap();
    streams.handle_timeout(due);
    assert_eq!(text(&drain(&mut streams)), "<3 Unheard>x");
}

#[test]
fn an_end_comes_after_what_is_before_it() {
    let mut streams = Streams::new(Limits::default());
    data(&mut streams, header(1, end::WRITE, 0, 1), b"a", 0);
    data(&mut streams, header(1, end::WRITE, 2, 1), b"c", 0);
    streams.handle_end(&header(2, end::READ, 0, 0), Time(1));
    data(&mut streams, header(1, end::WRITE, 1, 1), b"b", 2);
    assert_eq!(text(&drain(&mut streams)), "abc<end Closed>");
}

#[test]
fn a_reused_key_is_another_channel() {
    let mut streams = Streams::new(Limits::default());
    data(&mut streams, header(1, end::WRITE, 0, 1), b"a", 0);
    let again = Header {
        generation: 2,
        ..header(3, end::WRITE, 0, 1)
    };
    data(&mut streams, again, b"b", 0);
    let channels: Vec<_> = std::iter::from_fn(|| streams.poll_chunk())
        .map(|chunk| chunk.channel)
        .collect();
    assert_eq!(channels, [ChannelId(1), ChannelId(2)]);
}

#[test]
fn who_moved_what_is_still_known_when_the_key_is_reused() {
    let mut streams = Streams::new(Limits::default());
    data(&mut streams, header(1, end::WRITE, 0, 1), b"a", 0);
    data(&mut streams, header(2, end::READ, 0, 1), b"", 0);
    let again = Header {
        generation: 2,
        ..header(3, end::WRITE, 0, 1)
    };
    data(&mut streams, again, b"b", 0);
    let pids = |id| {
        let seen = streams.seen(ChannelId(id), Side::A, &(0..1));
        [seen.writer, seen.reader].map(|actor| actor.map(|actor| actor.process.pid))
    };
    assert_eq!(pids(1), [Some(1), Some(2)]);
    assert_eq!(pids(2), [Some(3), None]);
}

#[test]
fn both_directions_of_a_socket_are_one_channel() {
    let mut streams = Streams::new(Limits::default());
    let out = Header {
        object: object::TCP,
        ..header(1, end::WRITE, 9, 1)
    };
    let told = Object {
        twin: 77,
        ip: 4,
        source: [127, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        destination: [127, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        source_port: 1000,
        destination_port: 80,
        ..Object::default()
    };
    streams.handle_object(&out, &told, Time(0));
    data(&mut streams, out, b"a", 0);
    let back = Header {
        object: object::TCP,
        stream: 77,
        ..header(2, end::WRITE, 5, 1)
    };
    data(&mut streams, back, b"b", 0);
    let chunks: Vec<_> = std::iter::from_fn(|| streams.poll_chunk()).collect();
    assert_eq!(chunks[0].channel, chunks[1].channel);
    assert_eq!((chunks[0].from, chunks[1].from), (Side::A, Side::B));
    let socket = streams.channel(chunks[0].channel).unwrap().socket.unwrap();
    assert_eq!(socket.b, "127.0.0.2:80".parse().unwrap());
}

#[test]
fn a_unix_socket_is_told_from_a_named_one() {
    for (named, kind) in [(0, ChannelKind::Unix), (1, ChannelKind::NamedUnix)] {
        let mut streams = Streams::new(Limits::default());
        let out = Header {
            object: object::UNIX,
            ..header(1, end::WRITE, 0, 1)
        };
        let told = Object {
            twin: 77,
            named,
            ..Object::default()
        };
        streams.handle_object(&out, &told, Time(0));
        data(&mut streams, out, b"a", 0);
        let chunk = streams.poll_chunk().unwrap();
        assert_eq!(streams.channel(chunk.channel).unwrap().kind, kind);
    }
}

#[test]
fn a_twin_that_never_spoke_does_not_take_what_its_address_is_reused_for() {
    let unix = |pid, stream| Header {
        object: object::UNIX,
        stream,
        ..header(pid, end::WRITE, 0, 1)
    };
    let told = |twin, inode, twin_inode| Object {
        twin,
        inode,
        twin_inode,
        ..Object::default()
    };
    for (twin, inode) in [(30, 12), (10, 13)] {
        let mut streams = Streams::new(Limits::default());
        streams.handle_object(&unix(1, 10), &told(20, 11, 12), Time(0));
        data(&mut streams, unix(1, 10), b"a", 0);
        let again = Header {
            generation: 2,
            ..unix(2, 20)
        };
        streams.handle_object(&again, &told(twin, 14, inode), Time(0));
        data(&mut streams, again, b"b", 0);
        let channels: Vec<_> = std::iter::from_fn(|| streams.poll_chunk())
            .map(|chunk| chunk.channel)
            .collect();
        assert_eq!(channels, [ChannelId(1), ChannelId(2)]);
    }
}

#[test]
fn what_waits_is_bounded() {
    let limits = Limits {
        waiting: 4096,
        ..Limits::default()
    };
    let mut streams = Streams::new(limits);
    data(&mut streams, header(1, end::WRITE, 0, 1), b"a", 0);
    for index in 0..10_000u64 {
        data(
            &mut streams,
            header(1, end::WRITE, 2 + index * 2, 1),
            b"b",
            0,
        );
        assert!(
            streams
                .flows
                .values()
                .all(|flow| flow.waiting() <= 4096 + 256)
        );
    }
}

#[test]
fn channels_are_bounded() {
    let limits = Limits {
        channels: 64,
        ..Limits::default()
    };
    let mut streams = Streams::new(limits);
    for stream in 1..10_000 {
        data(
            &mut streams,
            Header {
                stream,
                ..header(1, end::WRITE, 0, 1)
            },
            b"a",
            stream,
        );
        assert!(streams.channels() <= 64 && streams.flows.len() <= 128);
    }
}

proptest! {
    #[test]
    fn any_cut_and_any_loss_at_one_end_gives_the_same_bytes(
        bytes in proptest::collection::vec(any::<u8>(), 1..200),
        writes in proptest::collection::vec((1usize..20, any::<bool>()), 1..200),
        reads in proptest::collection::vec(1usize..30, 1..200),
        order in proptest::collection::vec(any::<bool>(), 1..400),
    ) {
        let mut streams = Streams::new(Limits::default());
        let (mut written, mut read, mut lost) = (0, 0, 0);
        let mut writes = writes.into_iter().cycle();
        let mut reads = reads.into_iter().cycle();
        let mut order = order.into_iter().cycle();
        while read < bytes.len() {
            let is_write = written == read || (written < bytes.len() && order.next().unwrap());
            if is_write {
                let (size, is_lost) = writes.next().unwrap();
                let end = bytes.len().min(written + size);
                if is_lost {
                    lost += (end - written) as u64;
                } else {
                    let flags = if lost == 0 { 0 } else { flag::LOST };
                    let head = Header { flags, lost, ..header(1, end::WRITE, written as u64, end - written) };
                    data(&mut streams, head, &bytes[written..end], 0);
                    lost = 0;
                }
                written = end;
            } else {
                let end = written.min(read + reads.next().unwrap());
                data(&mut streams, header(2, end::READ, read as u64, end - read), &bytes[read..end], 0);
                read = end;
            }
        }
        let mut got = Vec::new();
        for content in drain(&mut streams) {
            let Content::Bytes(piece) = content else { panic!("{content:?}") };
            got.extend_from_slice(&piece);
        }
        prop_assert_eq!(bytes, got);
    }
}
