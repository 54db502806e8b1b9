//! TLS sessions: bound at once, later, too late or never; heard at one end or both.

use auditor_common::record::{Bind, Header, Object, binding, end, flag, object};

use super::*;
use crate::key::{Side, Time};

/// Streams of a session before it is bound, and of its connection.
const UNBOUND: u64 = 0x10;
const OUT: u64 = 0x20;
const BACK: u64 = 0x30;
const MILLI: u64 = 1_000_000;

fn header(stream: u64, pid: u32, side: u8, pos: u64) -> Header {
    Header {
        end: side,
        object: object::TLS,
        flags: if stream == UNBOUND { flag::UNBOUND } else { 0 },
        tgid: pid,
        tid: pid,
        stream,
        generation: 1,
        pos,
        ..Header::default()
    }
}

fn data(streams: &mut Streams, header: Header, payload: &[u8], span: usize, micros: u64) {
    let header = Header {
        len: payload.len() as u32,
        span: span as u32,
        ..header
    };
    streams.handle_data(&header, payload, Time(micros * 1_000));
}

fn bind(streams: &mut Streams, micros: u64) {
    let bind = Bind {
        stream: OUT,
        generation: 1,
    };
    let header = header(UNBOUND, 1, end::WRITE, 0);
    streams.handle_bind(&header, &bind, Time(micros * 1_000));
}

fn tell(streams: &mut Streams) {
    let told = Object {
        twin: BACK,
        source: [127; 16],
        source_port: 1,
        destination: [127; 16],
        destination_port: 2,
        ip: 4,
        binding: binding::RECORD,
        ..Object::default()
    };
    streams.handle_object(&header(OUT, 1, end::WRITE, 0), &told, Time(0));
}

fn chunks(streams: &mut Streams, now: u64) -> Vec<Chunk> {
    streams.handle_timeout(Time(now));
    std::iter::from_fn(|| streams.poll_chunk()).collect()
}

fn text(chunks: &[Chunk]) -> String {
    let mut text = String::new();
    for chunk in chunks {
        match &chunk.content {
            Content::Bytes(bytes) => text.push_str(&String::from_utf8_lossy(bytes)),
            other => text.push_str(&format!("<{other:?}>")),
        }
    }
    text
}

#[test]
fn what_was_written_before_the_session_was_bound_goes_on_as_the_connections() {
    let mut streams = Streams::new(Limits::default());
    data(
        &mut streams,
        header(UNBOUND, 1, end::WRITE, 0),
        b"request",
        7,
        0,
    );
    assert!(chunks(&mut streams, 0).is_empty());
    bind(&mut streams, 10);
    tell(&mut streams);
    // The other end tells the same bytes.
    data(
        &mut streams,
        header(OUT, 2, end::READ, 0),
        b"request",
        7,
        100,
    );
    data(
        &mut streams,
        header(BACK, 2, end::WRITE, 0),
        b"answer",
        6,
        200,
    );
    let heard = chunks(&mut streams, 20 * MILLI);
    assert_eq!(text(&heard), "requestanswer");
    let channel = streams.channel(heard[0].channel).unwrap();
    assert_eq!(channel.tls, Some(Binding::Record));
    assert!(channel.socket.is_some());
    assert_eq!(heard[0].channel, heard[1].channel);
    let seen = streams.seen(heard[0].channel, heard[0].from, &(0..7));
    assert_eq!(seen.writer.map(|actor| actor.process.pid), Some(1));
    assert_eq!(seen.reader.map(|actor| actor.process.pid), Some(2));
}

#[test]
fn a_session_that_is_never_bound_is_a_channel_without_addresses() {
    let mut streams = Streams::new(Limits::default());
    data(
        &mut streams,
        header(UNBOUND, 1, end::WRITE, 0),
        b"request",
        7,
        0,
    );
    let due = streams.poll_timeout().unwrap();
    let heard = chunks(&mut streams, due.0);
    assert_eq!(text(&heard), "request");
    let channel = streams.channel(heard[0].channel).unwrap();
    assert_eq!((channel.tls, channel.socket), (Some(Binding::None), None));
}

#[test]
fn a_session_that_is_bound_late_keeps_its_channel() {
    let mut streams = Streams::new(Limits::default());
    data(
        &mut streams,
        header(UNBOUND, 1, end::WRITE, 0),
        b"one",
        3,
        0,
    );
    let first = chunks(&mut streams, 30 * MILLI);
    bind(&mut streams, 40_000);
    tell(&mut streams);
    data(
        &mut streams,
        header(OUT, 1, end::WRITE, 3),
        b"two",
        3,
        50_000,
    );
    let second = chunks(&mut streams, 80 * MILLI);
    assert_eq!((text(&first), text(&second)), ("one".into(), "two".into()));
    assert_eq!(first[0].channel, second[0].channel);
    assert!(streams.channel(first[0].channel).unwrap().socket.is_some());
}

#[test]
fn an_answer_that_is_told_before_its_request_waits_for_it() {
    let mut streams = Streams::new(Limits::default());
    tell(&mut streams);
    data(
        &mut streams,
        header(BACK, 1, end::READ, 0),
        b"answer",
        6,
        900,
    );
    data(
        &mut streams,
        header(OUT, 1, end::WRITE, 0),
        b"request",
        7,
        100,
    );
    let heard = chunks(&mut streams, 20 * MILLI);
    assert_eq!(text(&heard), "requestanswer");
}

#[test]
fn the_end_that_does_not_count_names_its_process_for_the_whole_stream() {
    let mut streams = Streams::new(Limits::default());
    tell(&mut streams);
    data(&mut streams, header(OUT, 2, end::READ, 0), b"request", 7, 0);
    let vague = Header {
        flags: flag::UNALIGNED,
        ..header(OUT, 1, end::WRITE, 900)
    };
    data(&mut streams, vague, b"", 7, 10);
    let heard = chunks(&mut streams, 20 * MILLI);
    assert_eq!(text(&heard), "request");
    let seen = streams.seen(heard[0].channel, Side::A, &(0..7));
    assert_eq!(seen.writer.map(|actor| actor.process.pid), Some(1));
}

#[test]
fn what_waits_for_its_turn_follows_its_session_to_a_connection_that_is_known() {
    let mut streams = Streams::new(Limits::default());
    data(
        &mut streams,
        header(UNBOUND, 1, end::WRITE, 0),
        b"one",
        3,
        0,
    );
    assert_eq!(text(&chunks(&mut streams, 30 * MILLI)), "one");
    data(
        &mut streams,
        header(OUT, 2, end::READ, 0),
        b"onetwo",
        6,
        31_000,
    );
    let _ = chunks(&mut streams, 39 * MILLI);
    data(
        &mut streams,
        header(UNBOUND, 1, end::WRITE, 3),
        b"two",
        3,
        39_000,
    );
    bind(&mut streams, 40_000);
    assert_eq!(text(&chunks(&mut streams, 80 * MILLI)), "");
}

/// Two threads write to one session: the one that came first may get its turn second, long after.
#[test]
fn a_write_that_waited_for_its_turn_makes_no_gap() {
    let mut streams = Streams::new(Limits::default());
    tell(&mut streams);
    let writes = |streams: &mut Streams, pos, text: &[u8], micros| {
        let header = header(OUT, 1, end::WRITE, pos);
        data(streams, header, text, text.len(), micros);
    };
    writes(&mut streams, 0, b"first ", 0);
    assert_eq!(text(&chunks(&mut streams, 10 * MILLI)), "first ");
    writes(&mut streams, 6, b"second ", 64_000);
    // Told with the time at which it began.
    writes(&mut streams, 13, b"third", 1_000);
    let mut heard = chunks(&mut streams, 66 * MILLI);
    heard.extend(chunks(&mut streams, 73 * MILLI));
    assert_eq!(text(&heard), "second third");
}
