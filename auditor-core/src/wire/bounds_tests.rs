//! What is beyond a bound is told, and framing goes on after it. Bounds of one framing are tested beside it.

use super::{
    Encoding, HttpPart, Item, Limits,
    encoding::tests::encode,
    http1::tests::{ANSWER, CALL, both, chunked, messages, ok, parts, post},
    testing::{Script, bodies, gaps, items},
};
use crate::{key::Side, stream::GapCause};

fn encoded_post(encoding: Encoding, name: &str) -> Vec<u8> {
    let body = encode(encoding, CALL.as_bytes());
    let mut text = format!(
        "POST /mcp HTTP/1.1\r\nContent-Type: application/json\r\nContent-Encoding: {name}\r\nContent-Length: {}\r\n\r\n",
        body.len()
    )
    .into_bytes();
    text.extend(body);
    text
}

#[test]
fn more_compressed_bodies_at_once_than_there_may_be_decoders_are_a_gap() {
    let limits = Limits {
        decoders: 1,
        ..Limits::default()
    };
    let request = encoded_post(Encoding::Gzip, "gzip");
    let (begun, rest) = request.split_at(request.len() - 5);
    let early = chunked(
        "application/json",
        &encode(Encoding::Gzip, ANSWER.as_bytes()),
        100,
        "Content-Encoding: gzip\r\n",
    );
    let script = Script::new()
        .bytes(Side::A, begun)
        .bytes(Side::B, &early)
        .bytes(Side::A, rest)
        .bytes(Side::A, post(CALL).as_bytes())
        .bytes(Side::B, ok("application/json", ANSWER).as_bytes());
    let all = items(limits, &script);
    assert_eq!(bodies(&all), [CALL, CALL, ANSWER]);
    let [gap] = gaps(&all)[..] else {
        panic!("{all:#?}")
    };
    assert_eq!((gap.from, gap.cause), (Side::B, GapCause::Bound));
    let answered: Vec<_> = parts(&all)
        .into_iter()
        .filter(|(_, part, _)| *part == HttpPart::Response)
        .map(|(exchange, ..)| exchange)
        .collect();
    assert_eq!(answered, [1]);
}

#[test]
fn a_decoder_that_is_done_makes_room_for_the_next() {
    let limits = Limits {
        decoders: 1,
        ..Limits::default()
    };
    let script = Script::new().bytes(Side::A, &encoded_post(Encoding::Brotli, "br").repeat(5));
    assert_eq!(bodies(&items(limits, &script)), [CALL; 5]);
}

#[test]
fn an_endless_chunk_size_is_not_held() {
    let endless = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n1;x={}\r\n",
        "x".repeat(100_000)
    );
    let limits = Limits {
        channel: 0,
        message: 1000,
        ..Limits::default()
    };
    let script = both(&post(CALL).repeat(2), &endless)
        .bytes(Side::B, ok("application/json", ANSWER).as_bytes());
    for size in [7, 1_000, 1_000_000] {
        let all = items(limits, &script.cut(size));
        assert_eq!(messages(&all).len(), 3, "{all:#?}");
    }
}

#[test]
fn a_head_of_too_many_fields_is_passed_over() {
    let many = format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(300));
    let script = Script::new().bytes(Side::A, (many + &post(CALL)).as_bytes());
    assert_eq!(bodies(&items(Limits::default(), &script)), [CALL]);
}

#[test]
fn fields_of_a_head_are_cut() {
    let text = post(CALL)
        .replace("/mcp", &format!("/{}", "ä".repeat(3000)))
        .replace(
            "Session-Id: s",
            &format!("Session-Id: {}", "s".repeat(3000)),
        );
    let all = items(
        Limits::default(),
        &Script::new().bytes(Side::A, text.as_bytes()),
    );
    let [Item::Message(message)] = &all[..] else {
        panic!("{all:#?}")
    };
    let super::Framing::Http {
        request: Some(head),
        ..
    } = &message.framing
    else {
        panic!("{message:?}")
    };
    assert_eq!(head.target.len(), 2047, "cut before half a letter");
    assert_eq!(head.session_id.as_ref().map(String::len), Some(512));
}

#[test]
fn a_zstd_frame_that_asks_for_too_much_memory_is_a_gap() {
    // RFC 8878, section 3.1.1: the magic number, no flags, a window of 2 GiB, one raw block.
    let body = b"\x28\xb5\x2f\xfd\x00\xa8\x41\x00\x00{\"jsonrpc\":\"2.0\"}";
    let server = chunked("application/json", body, 100, "Content-Encoding: zstd\r\n");
    let script = Script::new()
        .bytes(Side::A, post(CALL).repeat(2).as_bytes())
        .bytes(Side::B, &server)
        .bytes(Side::B, ok("application/json", ANSWER).as_bytes());
    let all = items(Limits::default(), &script);
    assert_eq!(bodies(&all), [CALL, CALL, ANSWER]);
    let [gap] = gaps(&all)[..] else {
        panic!("{all:#?}")
    };
    assert_eq!(gap.cause, GapCause::Undecodable);
}

#[test]
fn an_encoding_that_is_not_known_is_a_gap() {
    for fields in [
        "Content-Encoding: aes128gcm\r\n",
        "Transfer-Encoding: gzip\r\n",
    ] {
        let server = chunked("application/json", ANSWER.as_bytes(), 10, fields);
        let script = both(&post(CALL).repeat(2), "")
            .bytes(Side::B, &server)
            .bytes(Side::B, ok("application/json", ANSWER).as_bytes());
        let all = items(Limits::default(), &script);
        assert_eq!(bodies(&all), [CALL, CALL, ANSWER]);
        let [gap] = gaps(&all)[..] else {
            panic!("{all:#?}")
        };
        let expected = (Side::B, GapCause::Undecodable, ANSWER.len() as u64);
        assert_eq!((gap.from, gap.cause, gap.discarded), expected);
    }
}

#[test]
fn two_messages_of_one_channel_share_its_room() {
    let long = |fill: &str| {
        format!(
            "{{\"jsonrpc\":\"2.0\",\"method\":\"{}\"}}\n",
            fill.repeat(800)
        )
    };
    let (a, b) = (long("a"), long("b"));
    let script = Script::new()
        .bytes(Side::A, &a.as_bytes()[..700])
        .bytes(Side::B, &b.as_bytes()[..700])
        .bytes(Side::A, &a.as_bytes()[700..])
        .bytes(Side::B, &b.as_bytes()[700..]);
    let whole = items(Limits::default(), &script);
    let limits = Limits {
        channel: 1000,
        ..Limits::default()
    };
    let cut = items(limits, &script);
    let kept: usize = messages(&cut)
        .iter()
        .map(|message| message.body.len())
        .sum();
    assert!(kept <= 1_000, "{kept}");
    assert!(messages(&cut).iter().any(|message| message.is_truncated()));
    for (cut, whole) in messages(&cut).iter().zip(messages(&whole)) {
        assert_eq!((cut.size, cut.sha256), (whole.size, whole.sha256));
    }
}
