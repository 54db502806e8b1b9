use proptest::prelude::*;

use crate::{
    key::Side,
    stream::GapCause,
    wire::{
        Encoding, ExchangeEnd, Framing, HttpPart, Item, Limits,
        encoding::tests::encode,
        testing::{Script, bodies, gaps, items},
    },
};

const CALL: &str = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call"}"#;
const ANSWER: &str = r#"{"jsonrpc":"2.0","id":1,"result":{}}"#;
const NOTE: &str = r#"{"jsonrpc":"2.0","method":"notifications/progress"}"#;
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut frame = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    frame.extend_from_slice(&[kind, flags]);
    frame.extend_from_slice(&stream.to_be_bytes());
    frame.extend_from_slice(payload);
    frame
}

/// Fields as literals that are added to the dynamic table.
fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0x40);
        for text in [name, value] {
            block.push(text.len() as u8);
            block.extend_from_slice(text.as_bytes());
        }
    }
    block
}

fn settings() -> Vec<u8> {
    frame(4, 0, 0, &[0, 3, 0, 0, 0, 100])
}

fn request_fields() -> Vec<u8> {
    let mut fields = vec![0x83];
    fields.extend(block(&[
        (":path", "/mcp"),
        (":authority", "h:1"),
        ("content-type", "application/json"),
        ("mcp-session-id", "s"),
    ]));
    fields
}

fn request(stream: u32, body: &str) -> Vec<u8> {
    [
        frame(1, END_HEADERS, stream, &request_fields()),
        frame(0, END_STREAM, stream, body.as_bytes()),
    ]
    .concat()
}

/// The same request, now with indices into the dynamic table.
fn repeated_request(stream: u32, body: &str) -> Vec<u8> {
    [
        frame(1, END_HEADERS, stream, &[0x83, 0xc1, 0xc0, 0xbf, 0xbe]),
        frame(0, END_STREAM, stream, body.as_bytes()),
    ]
    .concat()
}

fn response_head(stream: u32, kind: &str) -> Vec<u8> {
    let block = [&[0x88][..], &block(&[("content-type", kind)])].concat();
    frame(1, END_HEADERS, stream, &block)
}

fn response(stream: u32, body: &str) -> Vec<u8> {
    [
        response_head(stream, "application/json"),
        frame(0, END_STREAM, stream, body.as_bytes()),
    ]
    .concat()
}

fn run(script: &Script) -> Vec<Item> {
    items(Limits::default(), script)
}

fn client(frames: &[Vec<u8>]) -> Script {
    let script = Script::new()
        .bytes(Side::A, PREFACE)
        .bytes(Side::A, &settings());
    frames
        .iter()
        .fold(script.bytes(Side::B, &settings()), |script, frame| {
            script.bytes(Side::A, frame)
        })
}

fn serve(script: Script, frames: &[Vec<u8>]) -> Script {
    frames
        .iter()
        .fold(script, |script, frame| script.bytes(Side::B, frame))
}

/// Part, body, request target and response status of each message.
fn parts(items: &[Item]) -> Vec<(HttpPart, String, Option<String>, Option<u16>)> {
    items
        .iter()
        .filter_map(|item| {
            let Item::Message(message) = item else {
                return None;
            };
            let Framing::Http {
                part,
                request,
                response,
                ..
            } = &message.framing
            else {
                panic!()
            };
            Some((
                part.clone(),
                String::from_utf8_lossy(&message.body).into_owned(),
                request.as_ref().map(|head| head.target.clone()),
                response.as_ref().map(|head| head.status),
            ))
        })
        .collect()
}

fn ends(items: &[Item]) -> Vec<&ExchangeEnd> {
    items
        .iter()
        .filter_map(|item| {
            if let Item::ExchangeEnd(one) = item {
                Some(one)
            } else {
                None
            }
        })
        .collect()
}

fn mcp() -> Option<String> {
    Some("/mcp".to_owned())
}

#[test]
fn interleaved_streams_are_kept_apart() {
    let (first, second) = ANSWER.split_at(10);
    let event = format!("data: {NOTE}\n\n");
    let (head, tail) = event.split_at(20);
    let script = client(&[request(1, CALL), repeated_request(3, NOTE)]);
    let script = serve(
        script,
        &[
            response_head(3, "text/event-stream"),
            response_head(1, "application/json"),
            frame(0, 0, 3, head.as_bytes()),
            frame(0, 0, 1, first.as_bytes()),
            frame(6, 0, 0, &[0; 8]),
            frame(0, 0, 3, tail.as_bytes()),
            frame(8, 0, 0, &[0, 0, 0, 1]),
            frame(0, END_STREAM, 1, second.as_bytes()),
            frame(
                1,
                END_HEADERS | END_STREAM,
                3,
                &block(&[("grpc-status", "0")]),
            ),
        ],
    );
    for script in [script.clone(), script.cut(1)] {
        let all = run(&script);
        let event = HttpPart::Event("message".to_owned());
        assert_eq!(
            parts(&all),
            [
                (HttpPart::Request, CALL.to_owned(), mcp(), None),
                (HttpPart::Request, NOTE.to_owned(), mcp(), None),
                (event, NOTE.to_owned(), mcp(), Some(200)),
                (HttpPart::Response, ANSWER.to_owned(), mcp(), Some(200)),
            ]
        );
        let ends = ends(&all);
        assert!(ends.len() == 2 && ends.iter().all(|end| end.complete && end.client == Side::A));
        let head = ends[1].request.as_ref().unwrap();
        assert_eq!((head.version, head.method.as_str()), (20, "POST"));
        assert_eq!(
            (head.host.as_deref(), head.session_id.as_deref()),
            (Some("h:1"), Some("s"))
        );
    }
}

#[test]
fn padding_priority_and_continuation_are_undone() {
    let fields = request_fields();
    let (one, two) = fields.split_at(7);
    let headers = [&[2, 0, 0, 0, 0, 9][..], one, &[0, 0]].concat();
    let data = [&[3][..], CALL.as_bytes(), &[0, 0, 0]].concat();
    let script = client(&[
        frame(1, 0x8 | 0x20, 1, &headers),
        frame(9, 0, 1, &[]),
        frame(9, END_HEADERS, 1, two),
        frame(0, 0x8, 1, &data),
        frame(0, 0x8 | END_STREAM, 1, &[4, 0, 0, 0, 0]),
    ]);
    for script in [script.clone(), script.cut(1), script.cut(4)] {
        assert_eq!(
            parts(&run(&script)),
            [(HttpPart::Request, CALL.to_owned(), mcp(), None)]
        );
    }
}

#[test]
fn interim_responses_resets_and_go_away_are_understood() {
    let script = client(&[
        request(1, CALL),
        repeated_request(3, CALL),
        repeated_request(5, CALL),
    ]);
    let interim = frame(1, END_HEADERS, 1, &block(&[(":status", "103")]));
    let script = serve(
        script,
        &[
            interim,
            response(1, ANSWER),
            frame(3, 0, 3, &[0, 0, 0, 8]),
            frame(7, 0, 0, &[0, 0, 0, 3, 0, 0, 0, 0]),
        ],
    );
    let all = run(&script);
    let ends: Vec<_> = ends(&all)
        .iter()
        .map(|end| {
            (
                end.exchange.0,
                end.response.as_ref().map(|head| head.status),
                end.complete,
            )
        })
        .collect();
    assert_eq!(
        ends,
        [(0, Some(200), true), (1, None, false), (2, None, false)]
    );
}

#[test]
fn encoded_bodies_are_undone() {
    let gzip = encode(Encoding::Gzip, ANSWER.as_bytes());
    let head = [
        &[0x88][..],
        &block(&[
            ("content-type", "application/json"),
            ("content-encoding", "gzip"),
        ]),
    ]
    .concat();
    let script = serve(
        client(&[request(1, CALL)]),
        &[
            frame(1, END_HEADERS, 1, &head),
            frame(0, END_STREAM, 1, &gzip),
        ],
    );
    assert_eq!(bodies(&run(&script)), [CALL, ANSWER]);
}

#[test]
fn an_upgraded_request_is_stream_one() {
    let ask = format!(
        "POST /mcp HTTP/1.1\r\nHost: h\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAM\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{CALL}",
        CALL.len()
    );
    let script = Script::new()
        .bytes(Side::A, ask.as_bytes())
        .bytes(
            Side::B,
            b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n",
        )
        .bytes(Side::B, &settings())
        .bytes(Side::A, PREFACE)
        .bytes(Side::A, &settings())
        .bytes(Side::B, &response(1, ANSWER))
        .bytes(Side::A, &request(3, CALL))
        .bytes(
            Side::B,
            &[
                frame(1, END_HEADERS, 3, &[0x88, 0xbe]),
                frame(0, END_STREAM, 3, ANSWER.as_bytes()),
            ]
            .concat(),
        );
    for script in [script.clone(), script.cut(1)] {
        let all = run(&script);
        let found: Vec<_> = parts(&all)
            .into_iter()
            .map(|part| (part.1, part.2, part.3))
            .collect();
        assert_eq!(
            found,
            [
                (CALL.to_owned(), mcp(), None),
                (ANSWER.to_owned(), mcp(), Some(200)),
                (CALL.to_owned(), mcp(), None),
                (ANSWER.to_owned(), mcp(), Some(200)),
            ]
        );
        assert_eq!(ends(&all).len(), 2);
    }
}

#[test]
fn a_connection_joined_in_its_middle_is_heard_with_what_is_known() {
    let gzip = encode(Encoding::Gzip, ANSWER.as_bytes());
    let script = Script::at(Side::A, 5000)
        .bytes(Side::A, &repeated_request(7, CALL))
        .bytes(
            Side::B,
            &[
                frame(1, END_HEADERS, 7, &[0x88, 0xc9]),
                frame(0, END_STREAM, 7, &gzip),
            ]
            .concat(),
        )
        .bytes(Side::A, &request(9, NOTE));
    let all = run(&script);
    assert_eq!(
        parts(&all),
        [
            (
                HttpPart::Request,
                CALL.to_owned(),
                Some(String::new()),
                None
            ),
            (
                HttpPart::Response,
                ANSWER.to_owned(),
                Some(String::new()),
                Some(200)
            ),
            (HttpPart::Request, NOTE.to_owned(), mcp(), None),
        ]
    );
    assert!(gaps(&all).is_empty());
}

#[test]
fn joining_inside_any_frame_finds_the_frames_after_it() {
    let script = client(&[
        request(1, CALL),
        repeated_request(3, NOTE),
        repeated_request(5, CALL),
        repeated_request(7, CALL),
    ]);
    let first = (PREFACE.len() + settings().len() + request(1, CALL).len()) as u64;
    for end in 1..first {
        let found = bodies(&run(&script.gap(Side::A, 0, end, GapCause::Joined)));
        assert!(
            found.ends_with(&[NOTE.to_owned(), CALL.to_owned(), CALL.to_owned()]),
            "{end} {found:?}"
        );
        assert!(found.len() <= 4);
    }
}

#[test]
fn a_gap_anywhere_costs_only_what_it_touches() {
    let script = client(&[
        request(1, CALL),
        repeated_request(3, NOTE),
        repeated_request(5, CALL),
    ]);
    let answers = [
        response_head(1, "text/event-stream"),
        frame(0, 0, 1, format!("data: {NOTE}\n\n").as_bytes()),
        frame(0, END_STREAM, 1, format!("data: {ANSWER}\n\n").as_bytes()),
        response(3, ANSWER),
        response(5, NOTE),
        response(7, CALL),
    ];
    let script = serve(script, &answers).end(Side::B);
    let whole = bodies(&run(&script));
    let start = settings().len() as u64;
    let last = start
        + answers[..5]
            .iter()
            .map(|frame| frame.len() as u64)
            .sum::<u64>();
    for from in start..last {
        for length in [1, 3, 9, 30, 100] {
            let to = (from + length).min(last);
            let all = run(&script.gap(Side::B, from, to, GapCause::Unheard));
            let found = bodies(&all);
            assert_eq!(found.last().unwrap(), CALL, "{from}..{to}");
            assert!(
                found.iter().all(|body| whole.contains(body)),
                "{from}..{to} {found:?}"
            );
            assert_eq!(gaps(&all).len(), 1, "{from}..{to}");
            assert_eq!(gaps(&all)[0].range, from..to);
        }
    }
}

#[test]
fn a_flood_of_continuation_frames_is_not_held() {
    let limits = Limits {
        head: 1000,
        channel: 0,
        message: 100,
        streams: 1,
        pipeline: 1,
        ..Limits::default()
    };
    let mut script = client(&[frame(1, 0, 1, &request_fields())]);
    for _ in 0..1000 {
        script = script.bytes(Side::A, &frame(9, 0, 1, &[0x82; 100]));
    }
    script = script
        .bytes(Side::A, &frame(9, END_HEADERS, 1, &[]))
        .bytes(Side::A, &frame(0, END_STREAM, 1, CALL.as_bytes()));
    let all = items(limits, &script);
    assert_eq!(parts(&all)[0].2.as_deref(), Some(""));
    let Item::Message(message) = &all[0] else {
        panic!()
    };
    assert_eq!(message.size, CALL.len() as u64);
}

#[test]
fn at_the_limit_of_streams_the_least_recently_used_is_given_up() {
    let limits = Limits {
        streams: 2,
        ..Limits::default()
    };
    let script = client(&[request(1, CALL), repeated_request(3, CALL)])
        .bytes(Side::B, &response_head(1, "text/event-stream"))
        .bytes(Side::A, &repeated_request(5, CALL));
    let all = items(limits, &script);
    assert_eq!(
        ends(&all)
            .iter()
            .map(|end| end.exchange.0)
            .collect::<Vec<_>>(),
        [1]
    );
}

#[test]
fn frames_of_finished_streams_open_no_new_ones() {
    let script = serve(
        client(&[request(1, CALL)]),
        &[
            response(1, ANSWER),
            frame(0, END_STREAM, 1, NOTE.as_bytes()),
        ],
    );
    assert_eq!(bodies(&run(&script)), [CALL, ANSWER]);
}

#[test]
fn binary_bytes_that_look_like_one_frame_do_not_hide_later_lines() {
    let script = Script::new()
        .bytes(Side::A, &[0, 0, 4, 8, 0, 0, 0, 0, 0, 1, 2, 3, 4])
        .bytes(Side::A, b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\n")
        .bytes(Side::A, format!("{CALL}\n").as_bytes());
    assert_eq!(bodies(&run(&script)), [CALL]);
}

proptest! {
    #[test]
    fn cutting_the_input_never_changes_the_output(
        bodies in proptest::collection::vec(prop_oneof![Just(CALL), Just(NOTE), Just("{"), Just("x")], 1..6),
        piece in 1usize..40, size in 1usize..60, limit in prop_oneof![Just(1 << 20), 1usize..60],
    ) {
        let mut script = client(&[]);
        for (number, body) in bodies.iter().enumerate() {
            let stream = number as u32 * 2 + 1;
            let sent = if number == 0 { request(stream, body) } else { repeated_request(stream, body) };
            script = script.bytes(Side::A, &sent);
            let event = format!("data: {body}\n\n");
            let mut answer = response_head(stream, if number % 2 == 0 { "text/event-stream" } else { "application/json" });
            for piece in event.as_bytes()[if number % 2 == 0 { 0 } else { 6 }..].chunks(piece) {
                answer.extend(frame(0, 0, stream, piece));
            }
            answer.extend(frame(0, END_STREAM, stream, b""));
            script = script.bytes(Side::B, &answer);
        }
        let script = script.end(Side::B);
        let limits = Limits { message: limit, ..Limits::default() };
        prop_assert_eq!(items(limits, &script), items(limits, &script.cut(size)));
    }
}
