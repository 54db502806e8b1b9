use proptest::prelude::*;

use crate::{
    key::Side,
    stream::GapCause,
    wire::{
        Encoding, ExchangeEnd, Framing, HttpPart, Item, Limits, Message,
        encoding::tests::encode,
        testing::{Script, bodies, gaps, items},
    },
};

pub(in crate::wire) const CALL: &str = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call"}"#;
pub(in crate::wire) const ANSWER: &str = r#"{"jsonrpc":"2.0","id":1,"result":{}}"#;
const NOTE: &str = r#"{"jsonrpc":"2.0","method":"notifications/progress"}"#;

pub(in crate::wire) fn post(body: &str) -> String {
    format!(
        "POST /mcp HTTP/1.1\r\nHost: h:1\r\nContent-Type: application/json; charset=utf-8\r\nAccept: application/json, text/event-stream\r\nMcp-Session-Id: s\r\nMCP-Protocol-Version: 2025-11-25\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

pub(in crate::wire) fn ok(kind: &str, body: &str) -> String {
    format!(
        "HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

pub(in crate::wire) fn chunked(kind: &str, body: &[u8], size: usize, extra: &str) -> Vec<u8> {
    let mut text = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nTransfer-Encoding: chunked\r\n{extra}\r\n"
    )
    .into_bytes();
    for piece in body.chunks(size) {
        text.extend_from_slice(format!("{:x};ext=\"1\"\r\n", piece.len()).as_bytes());
        text.extend_from_slice(piece);
        text.extend_from_slice(b"\r\n");
    }
    text.extend_from_slice(b"0\r\nTrailer: x\r\n\r\n");
    text
}

fn events(texts: &[&str]) -> String {
    texts
        .iter()
        .map(|text| format!(": ping\r\nevent: message\r\ndata: {text}\r\n\r\n"))
        .collect()
}

pub(in crate::wire) fn messages(items: &[Item]) -> Vec<&Message> {
    items
        .iter()
        .filter_map(|item| {
            if let Item::Message(one) = item {
                Some(one)
            } else {
                None
            }
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

/// Exchange number, part and body of each message.
pub(in crate::wire) fn parts(items: &[Item]) -> Vec<(u64, HttpPart, String)> {
    messages(items)
        .iter()
        .map(|message| {
            let Framing::Http { exchange, part, .. } = &message.framing else {
                panic!("{message:?}")
            };
            (
                exchange.0,
                part.clone(),
                String::from_utf8_lossy(&message.body).into_owned(),
            )
        })
        .collect()
}

fn run(script: &Script) -> Vec<Item> {
    items(Limits::default(), script)
}

pub(in crate::wire) fn both(client: &str, server: &str) -> Script {
    Script::new()
        .bytes(Side::A, client.as_bytes())
        .bytes(Side::B, server.as_bytes())
}

fn event() -> HttpPart {
    HttpPart::Event("message".to_owned())
}

#[test]
fn a_request_and_its_response_are_one_exchange_with_heads_and_ranges() {
    let (client, server) = (post(CALL), ok("application/json", ANSWER));
    let all = run(&both(&client, &server));
    let [
        Item::Message(request),
        Item::Message(response),
        Item::ExchangeEnd(end),
    ] = &all[..]
    else {
        panic!("{all:#?}")
    };
    assert_eq!(
        request.range,
        (client.len() - CALL.len()) as u64..client.len() as u64
    );
    assert_eq!(
        response.range,
        (server.len() - ANSWER.len()) as u64..server.len() as u64
    );
    let Framing::Http {
        request: Some(head),
        response: None,
        part: HttpPart::Request,
        ..
    } = &request.framing
    else {
        panic!("{request:?}")
    };
    assert_eq!(
        (head.version, head.method.as_str(), head.target.as_str()),
        (11, "POST", "/mcp")
    );
    assert_eq!(
        (head.host.as_deref(), head.session_id.as_deref()),
        (Some("h:1"), Some("s"))
    );
    assert_eq!(head.protocol_version.as_deref(), Some("2025-11-25"));
    assert_eq!(head.content_type.as_deref(), Some("application/json"));
    let Framing::Http {
        request: Some(_),
        response: Some(head),
        ..
    } = &response.framing
    else {
        panic!("{response:?}")
    };
    assert_eq!(head.status, 200);
    assert_eq!((end.client, end.complete), (Side::A, true));
    assert_eq!(end.response_bytes, ANSWER.len() as u64);
}

#[test]
fn keep_alive_and_pipelining_keep_exchanges_apart() {
    let get = "HEAD /x HTTP/1.1\r\nMcp-Method: x\r\n\r\n";
    let client = post(CALL) + get + &post(NOTE) + &post(CALL);
    let server = ok("application/json", ANSWER)
        + "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n"
        + "HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n"
        + "HTTP/1.1 204 No Content\r\n\r\n";
    let all = run(&both(&client, &server));
    let expected = [
        (0, HttpPart::Request, CALL.to_owned()),
        (2, HttpPart::Request, NOTE.to_owned()),
        (3, HttpPart::Request, CALL.to_owned()),
        (0, HttpPart::Response, ANSWER.to_owned()),
    ];
    assert_eq!(parts(&all), expected);
    let status: Vec<_> = ends(&all)
        .iter()
        .map(|end| (end.exchange.0, end.response.as_ref().unwrap().status))
        .collect();
    assert_eq!(status, [(0, 200), (1, 200), (2, 202), (3, 204)]);
}

#[test]
fn interim_responses_are_not_the_answer() {
    let head = post(CALL).replace("\r\n\r\n", "\r\nExpect: 100-continue\r\n\r\n");
    let (head, body) = head.split_once("\r\n\r\n").unwrap();
    let script = Script::new()
        .bytes(Side::A, format!("{head}\r\n\r\n").as_bytes())
        .bytes(Side::B, b"HTTP/1.1 100 Continue\r\n\r\n")
        .bytes(Side::A, body.as_bytes())
        .bytes(Side::B, b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n")
        .bytes(Side::B, ok("application/json", ANSWER).as_bytes());
    let all = run(&script);
    assert_eq!(bodies(&all), [CALL, ANSWER]);
    assert_eq!(ends(&all)[0].response.as_ref().unwrap().status, 200);
}

#[test]
fn events_come_out_of_chunks_of_any_size() {
    let body = events(&[NOTE, ANSWER]);
    for size in [1, 3, 10, 1000] {
        let server = chunked("text/event-stream", body.as_bytes(), size, "");
        let script = Script::new()
            .bytes(Side::A, post(CALL).as_bytes())
            .bytes(Side::B, &server);
        let all = run(&script);
        let expected = [
            (0, HttpPart::Request, CALL.to_owned()),
            (0, event(), NOTE.to_owned()),
            (0, event(), ANSWER.to_owned()),
        ];
        assert_eq!(parts(&all), expected, "{size}");
        assert_eq!((ends(&all).len(), ends(&all)[0].complete), (1, true));
        assert_eq!(ends(&all)[0].response_bytes, body.len() as u64);
    }
}

#[test]
fn a_legacy_endpoint_event_is_handed_on() {
    let client = "GET /sse HTTP/1.1\r\nAccept: text/event-stream\r\n\r\n";
    let server = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\nevent: endpoint\ndata: /m?s=1\n\n";
    let script = both(client, server).end(Side::B);
    let all = run(&script);
    assert_eq!(
        parts(&all),
        [(
            0,
            HttpPart::Event("endpoint".to_owned()),
            "/m?s=1".to_owned()
        )]
    );
    assert!(ends(&all)[0].complete);
}

#[test]
fn content_encodings_are_undone() {
    for encoding in [
        Encoding::Gzip,
        Encoding::Deflate,
        Encoding::Brotli,
        Encoding::Zstd,
    ] {
        let name = match encoding {
            Encoding::Gzip => "gzip",
            Encoding::Deflate => "deflate",
            Encoding::Brotli => "br",
            _ => "zstd",
        };
        let extra = format!("Content-Encoding: {name}\r\n");
        for (kind, text) in [
            ("application/json", ANSWER.to_owned()),
            ("text/event-stream", events(&[ANSWER])),
        ] {
            let server = chunked(kind, &encode(encoding, text.as_bytes()), 7, &extra);
            let script = Script::new()
                .bytes(Side::A, post(CALL).as_bytes())
                .bytes(Side::B, &server);
            for script in [script.clone(), script.cut(1)] {
                let all = run(&script);
                assert_eq!(bodies(&all), [CALL, ANSWER], "{encoding:?} {kind}");
                let message = messages(&all)[1];
                let Framing::Http {
                    response: Some(head),
                    ..
                } = &message.framing
                else {
                    panic!()
                };
                assert_eq!(head.encoding, encoding);
                assert_eq!(message.size, ANSWER.len() as u64);
            }
        }
    }
}

#[test]
fn a_body_until_close_ends_with_the_stream_and_a_reset_is_no_regular_end() {
    let server = format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n{ANSWER}");
    let all = run(&both(&post(CALL), &server).end(Side::B));
    assert_eq!(bodies(&all), [CALL, ANSWER]);
    assert!(ends(&all)[0].complete);
    assert!(matches!(all.last(), Some(Item::End { from: Side::B, .. })));
}

#[test]
fn an_unanswered_request_ends_incomplete() {
    let all = run(&both(&post(CALL), "").end(Side::A));
    assert_eq!(
        (ends(&all)[0].complete, ends(&all)[0].response.is_none()),
        (false, true)
    );
}

#[test]
fn an_error_status_with_another_media_type_ends_the_exchange() {
    let server =
        "HTTP/1.1 401 Unauthorized\r\nContent-Type: text/html\r\nContent-Length: 3\r\n\r\nno!";
    let all = run(&both(&post(CALL), server));
    assert_eq!(bodies(&all), [CALL]);
    assert_eq!(ends(&all)[0].response.as_ref().unwrap().status, 401);
}

#[test]
fn other_traffic_makes_no_exchange_and_is_quiet() {
    let body = "x".repeat(200_000);
    let client = format!("GET /a.png HTTP/1.1\r\n\r\n{}", post(CALL));
    let all = run(&both(
        &client,
        &(ok("image/png", &body) + &ok("application/json", ANSWER)),
    ));
    assert_eq!(parts(&all).len(), 2);
    assert_eq!(ends(&all).len(), 1);
    assert!(
        all.iter()
            .any(|item| matches!(item, Item::Quiet { from: Side::B, .. }))
    );
}

#[test]
fn lines_before_http_and_lines_that_only_look_like_it_are_no_obstacle() {
    let text = format!(
        "hello\nPOST /mcp 200 3ms\nGET / HTTP/1.1\nnot a field\n{CALL}\n{}",
        post(CALL)
    );
    let all = run(&Script::new().bytes(Side::A, text.as_bytes()));
    assert_eq!(bodies(&all), [CALL, CALL]);
    assert_eq!(messages(&all)[0].framing, Framing::Line);
}

#[test]
fn joining_in_the_middle_of_a_body_finds_the_next_head() {
    let client = post(CALL).repeat(2);
    let server = ok("application/json", ANSWER).repeat(2);
    for start in 1..server.len() as u64 / 2 {
        let script = Script::new()
            .bytes(Side::A, client.as_bytes())
            .bytes(Side::B, server.as_bytes())
            .gap(Side::B, 0, start, GapCause::Joined);
        let found = bodies(&run(&script));
        assert!(
            found.starts_with(&[CALL.to_owned(), CALL.to_owned()]) && found.len() >= 3,
            "{start}"
        );
    }
}

#[test]
fn a_gap_inside_a_body_does_not_lose_the_next_head() {
    let (one, two) = (post(CALL), post(NOTE));
    let script = Script::new().bytes(Side::A, (one.clone() + &two).as_bytes());
    let end = one.len() as u64;
    for from in end - CALL.len() as u64..end {
        for to in from + 1..=end {
            let all = run(&script.gap(Side::A, from, to, GapCause::RingFull));
            assert_eq!(
                parts(&all),
                [(1, HttpPart::Request, NOTE.to_owned())],
                "{from}..{to}"
            );
            let [gap] = gaps(&all)[..] else {
                panic!("{all:#?}")
            };
            assert_eq!(gap.range, from..to);
            assert_eq!(gap.discarded, CALL.len() as u64 - (to - from));
        }
    }
}

#[test]
fn a_gap_anywhere_costs_only_what_it_touches() {
    let stream = |text: &str| {
        String::from_utf8(chunked("text/event-stream", text.as_bytes(), 40, "")).unwrap()
    };
    let text = stream(&events(&[NOTE, ANSWER]))
        + &ok("application/json", ANSWER)
        + &ok("application/json", NOTE)
        + &ok("application/json", CALL);
    let script = Script::new()
        .bytes(Side::A, post(CALL).repeat(4).as_bytes())
        .bytes(Side::B, text.as_bytes())
        .end(Side::B);
    let last = text.len() - ok("application/json", CALL).len();
    let whole = bodies(&run(&script));
    for from in 0..last as u64 {
        for length in [1, 2, 17, 60, 200] {
            let to = (from + length).min(last as u64);
            let all = run(&script.gap(Side::B, from, to, GapCause::Unheard));
            let found = bodies(&all);
            assert_eq!(found.last().unwrap(), CALL, "{from}..{to}");
            assert!(
                found.iter().all(|body| whole.contains(body)),
                "{from}..{to} {found:?}"
            );
            assert_eq!(gaps(&all).len(), 1, "{from}..{to}");
            assert_eq!(ends(&all).len(), 4, "{from}..{to} {:#?}", ends(&all));
        }
    }
}

#[test]
fn at_the_pipeline_limit_the_oldest_request_is_given_up() {
    let limits = Limits {
        pipeline: 2,
        ..Limits::default()
    };
    let all = items(limits, &both(&post(CALL).repeat(4), ""));
    let given_up: Vec<_> = ends(&all).iter().map(|end| end.exchange.0).collect();
    assert_eq!(given_up, [0, 1]);
}

#[test]
fn a_head_over_the_limit_is_not_held() {
    let limits = Limits {
        head: 1000,
        channel: 0,
        message: 0,
        ..Limits::default()
    };
    let long = format!("GET / HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(5000));
    let script = Script::new().bytes(Side::A, (long + &post(CALL)).as_bytes());
    assert_eq!(messages(&items(limits, &script.cut(10))).len(), 1);
}

#[test]
fn a_decompression_bomb_is_given_up_and_reported() {
    let limits = Limits {
        decoded: 1000,
        ratio: 2,
        ..Limits::default()
    };
    let text = format!("{{\"jsonrpc\":\"2.0\",\"x\":\"{}\"}}", "x".repeat(100_000));
    let server = chunked(
        "application/json",
        &encode(Encoding::Gzip, text.as_bytes()),
        100,
        "Content-Encoding: gzip\r\n",
    );
    let script = Script::new()
        .bytes(Side::A, post(CALL).as_bytes())
        .bytes(Side::B, &server)
        .bytes(Side::B, ok("application/json", ANSWER).as_bytes());
    let all = items(limits, &script);
    assert_eq!(bodies(&all), [CALL, ANSWER]);
    assert_eq!(gaps(&all)[0].cause, GapCause::Bound);
}

#[test]
fn what_another_protocol_carries_is_not_listened_to() {
    let client = "GET /x HTTP/1.1\r\nUpgrade: other\r\nConnection: upgrade\r\n\r\n";
    let server = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: other\r\n\r\n";
    let noise = format!("{CALL}\n").repeat(3000);
    let all = run(&both(client, &(server.to_owned() + &noise)));
    assert!(bodies(&all).is_empty());
    assert!(
        all.iter()
            .any(|item| matches!(item, Item::Quiet { from: Side::B, .. }))
    );
}

fn exchange() -> impl Strategy<Value = (String, Vec<u8>)> {
    let request = prop_oneof![
        3 => Just(post(CALL)),
        1 => Just(post(&format!(" [{CALL},\r\n{NOTE}] "))),
        1 => Just("GET /mcp HTTP/1.1\r\naccept: text/event-stream\r\n\r\n".to_owned()),
        1 => Just(format!("\r\nPOST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n{:X}\r\n{CALL}\r\n0\r\n\r\n", CALL.len())),
        1 => Just("GET / HTTP/1.0\nHost: x\n\n".to_owned()),
    ];
    let response = prop_oneof![
        Just(ok("application/json", ANSWER).into_bytes()),
        Just(ok("text/plain", "hello").into_bytes()),
        (1usize..50).prop_map(|size| chunked(
            "text/event-stream",
            events(&[NOTE, ANSWER]).as_bytes(),
            size,
            ""
        )),
        Just(b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n".to_vec()),
        Just(
            b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 404 Not Found\r\ncontent-length:1\r\n\r\nx"
                .to_vec()
        ),
    ];
    (request, response)
}

proptest! {
    #[test]
    fn cutting_the_input_never_changes_the_output(
        exchanges in proptest::collection::vec(exchange(), 1..5), size in 1usize..80, limit in prop_oneof![Just(1 << 20), 1usize..60],
    ) {
        let mut script = Script::new();
        for (request, response) in &exchanges {
            script = script.bytes(Side::A, request.as_bytes()).bytes(Side::B, response);
        }
        let script = script.end(Side::B).end(Side::A);
        let limits = Limits { message: limit, ..Limits::default() };
        prop_assert_eq!(items(limits, &script), items(limits, &script.cut(size)));
    }

    #[test]
    fn interleaving_the_directions_in_causal_order_never_changes_the_messages(
        exchanges in proptest::collection::vec(exchange(), 1..5), sizes in proptest::collection::vec(1usize..80, 1..8),
    ) {
        let mut apart = Script::new();
        let mut together = Script::new();
        let requests: String = exchanges.iter().map(|one| one.0.as_str()).collect();
        apart = apart.bytes(Side::A, requests.as_bytes());
        for (request, response) in &exchanges {
            apart = apart.bytes(Side::B, response);
            let mut pieces = sizes.iter().cycle();
            let mut rest = response.as_slice();
            together = together.bytes(Side::A, request.as_bytes());
            while !rest.is_empty() {
                let size = (*pieces.next().unwrap()).min(rest.len());
                together = together.bytes(Side::B, &rest[..size]);
                rest = &rest[size..];
            }
        }
        let sorted = |script: &Script| {
            let mut parts: Vec<_> = parts(&run(script)).into_iter().map(|part| format!("{part:?}")).collect();
            parts.sort();
            parts
        };
        prop_assert_eq!(sorted(&apart), sorted(&together));
    }
}
