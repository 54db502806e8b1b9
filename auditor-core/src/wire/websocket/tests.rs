use flate2::{Compress, Compression, FlushCompress};
use proptest::prelude::*;

use crate::{
    key::Side,
    stream::GapCause,
    wire::{
        Framing, Item, Limits,
        testing::{Script, bodies, gaps, items},
    },
};

const CALL: &str = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call"}"#;
const ANSWER: &str = r#"{"jsonrpc":"2.0","id":1,"result":{}}"#;
const TEXT: u8 = 1;
const MORE: u8 = 0;
const PING: u8 = 9;
const LAST: u8 = 0x80;
const COMPRESSED: u8 = 0x40;

fn frame(first: u8, mask: Option<[u8; 4]>, payload: &[u8]) -> Vec<u8> {
    let bit = if mask.is_some() { 0x80 } else { 0 };
    let mut bytes = vec![first];
    match payload.len() {
        len @ ..126 => bytes.push(bit | len as u8),
        len @ ..0x1_0000 => {
            bytes.push(bit | 126);
            bytes.extend((len as u16).to_be_bytes());
        }
        len => {
            bytes.push(bit | 127);
            bytes.extend((len as u64).to_be_bytes());
        }
    }
    let key = mask.unwrap_or_default();
    bytes.extend(mask.into_iter().flatten());
    bytes.extend(
        payload
            .iter()
            .zip(key.iter().cycle())
            .map(|(byte, key)| byte ^ key),
    );
    bytes
}

fn sent(payload: &str) -> Vec<u8> {
    frame(LAST | TEXT, Some([9, 8, 7, 6]), payload.as_bytes())
}

fn received(payload: &str) -> Vec<u8> {
    frame(LAST | TEXT, None, payload.as_bytes())
}

/// After the handshake, what the client and the server say.
fn session(client: &[u8], server: &[u8]) -> Script {
    let hello = "GET /ws HTTP/1.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Protocol: mcp\r\n\r\n";
    let welcome =
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\n\r\n";
    Script::new()
        .bytes(Side::A, hello.as_bytes())
        .bytes(Side::B, welcome.as_bytes())
        .bytes(Side::A, client)
        .bytes(Side::B, server)
}

/// Where the server's first frame begins.
fn beginning() -> u64 {
    session(b"", b"x").chunks().last().unwrap().pos
}

fn run(script: &Script) -> Vec<Item> {
    items(Limits::default(), script)
}

/// Messages compressed one after the other with one window.
fn compressed(texts: &[&str]) -> Vec<Vec<u8>> {
    let mut compress = Compress::new(Compression::best(), false);
    let one = |text: &&str| {
        let mut bytes = Vec::with_capacity(text.len() + 100);
        compress
            .compress_vec(text.as_bytes(), &mut bytes, FlushCompress::Sync)
            .unwrap();
        bytes.truncate(bytes.len() - super::TAIL.len());
        frame(LAST | COMPRESSED | TEXT, None, &bytes)
    };
    texts.iter().map(one).collect()
}

#[test]
fn messages_of_both_sides_are_found_whether_masked_or_not() {
    let script = session(&sent(CALL), &received(ANSWER));
    let all = run(&script);
    assert_eq!(bodies(&all), [CALL, ANSWER]);
    let Some(Item::Message(message)) = all.first() else {
        panic!("{all:#?}")
    };
    assert_eq!(message.framing, Framing::WebSocket);
    assert_eq!(message.range.end - message.range.start, CALL.len() as u64);
}

#[test]
fn a_message_in_several_frames_with_a_ping_between_is_one() {
    let (begin, rest) = CALL.as_bytes().split_at(10);
    let client = [
        frame(TEXT, Some([1; 4]), begin),
        frame(LAST | PING, Some([2; 4]), b"are you there"),
        frame(MORE, Some([3; 4]), b""),
        frame(LAST | MORE, Some([4; 4]), rest),
        sent(CALL),
    ];
    assert_eq!(bodies(&run(&session(&client.concat(), b""))), [CALL; 2]);
}

#[test]
fn lengths_of_all_three_forms_are_read() {
    for fill in [1, 200, 70_000] {
        let text = format!(
            "{{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":\"{}\"}}",
            "x".repeat(fill)
        );
        assert_eq!(bodies(&run(&session(b"", &received(&text)))), [text]);
    }
}

#[test]
fn compressed_messages_may_refer_to_earlier_ones() {
    let frames = compressed(&[ANSWER, ANSWER, ANSWER]);
    assert!(frames[1].len() < frames[0].len());
    assert_eq!(bodies(&run(&session(b"", &frames.concat()))), [ANSWER; 3]);
}

#[test]
fn a_compressed_message_whose_predecessor_was_lost_is_a_gap() {
    let server = [compressed(&[ANSWER, ANSWER]).concat(), received(ANSWER)].concat();
    let inside = beginning() + 5;
    let script = session(b"", &server).gap(Side::B, inside, inside + 3, GapCause::RingFull);
    let all = run(&script);
    assert_eq!(bodies(&all), [ANSWER]);
    let causes: Vec<_> = gaps(&all).iter().map(|gap| gap.cause).collect();
    assert_eq!(causes, [GapCause::RingFull, GapCause::Undecodable]);
}

#[test]
fn bytes_lost_inside_a_message_cost_that_message() {
    let server = [received(ANSWER), received(ANSWER), received(ANSWER)];
    let middle = beginning() + server[0].len() as u64 + 10;
    let script =
        session(b"", &server.concat()).gap(Side::B, middle, middle + 4, GapCause::RingFull);
    let all = run(&script);
    assert_eq!(bodies(&all), [ANSWER, ANSWER]);
    assert_eq!(gaps(&all).len(), 1);
}

#[test]
fn bytes_lost_between_messages_make_the_rest_a_gap() {
    let server = [received(ANSWER), received(ANSWER), received(ANSWER)].concat();
    let second = beginning() + received(ANSWER).len() as u64;
    let script = session(b"", &server).gap(Side::B, second, second + 1, GapCause::RingFull);
    let all = run(&script.end(Side::B));
    assert_eq!(bodies(&all), [ANSWER]);
    let [gap] = gaps(&all)[..] else {
        panic!("{all:#?}")
    };
    assert_eq!(gap.discarded, 2 * received(ANSWER).len() as u64 - 1);
}

#[test]
fn what_is_no_frame_is_not_understood_and_reported_once_it_was_mcp() {
    for wrong in [
        &[0x83, 0][..],
        &[0x91, 0],
        &[0x80, 0],
        &[0x09, 0],
        &[0x89, 126],
        &[0x81, 127, 0xff, 0, 0, 0, 0, 0, 0, 0],
    ] {
        let all = run(&session(b"", &[wrong, &received(ANSWER)].concat()).end(Side::B));
        assert!(
            bodies(&all).is_empty() && gaps(&all).is_empty(),
            "{wrong:x?}"
        );
        let all = run(&session(b"", &[&received(ANSWER), wrong, &[7; 9]].concat()).end(Side::B));
        assert_eq!((bodies(&all).len(), gaps(&all).len()), (1, 1), "{wrong:x?}");
    }
}

#[test]
fn other_messages_are_quiet() {
    let noise = received("hello").repeat(30_000);
    let all = run(&session(b"", &noise));
    assert!(
        all.iter()
            .any(|item| matches!(item, Item::Quiet { from: Side::B, .. }))
    );
}

#[test]
fn a_decompression_bomb_is_given_up_and_reported() {
    let limits = Limits {
        decoded: 1000,
        ratio: 2,
        ..Limits::default()
    };
    let bomb = format!("{{\"jsonrpc\":\"2.0\",\"x\":\"{}\"}}", "x".repeat(100_000));
    let server = [compressed(&[&bomb]).concat(), received(ANSWER)].concat();
    let all = items(limits, &session(b"", &server));
    assert_eq!(bodies(&all), [ANSWER]);
    assert_eq!(gaps(&all)[0].cause, GapCause::Bound);
}

#[test]
fn more_windows_than_there_may_be_decoders_are_a_gap() {
    let limits = Limits {
        decoders: 0,
        ..Limits::default()
    };
    let server = [compressed(&[ANSWER]).concat(), received(ANSWER)].concat();
    let all = items(limits, &session(b"", &server));
    assert_eq!(bodies(&all), [ANSWER]);
    assert_eq!(gaps(&all)[0].cause, GapCause::Bound);
}

proptest! {
    #[test]
    fn cutting_the_input_never_changes_the_output(
        frames in proptest::collection::vec(prop_oneof![
            Just(received(ANSWER)),
            Just(frame(LAST | PING, None, b"p")),
            Just([frame(TEXT, None, &ANSWER.as_bytes()[..5]), frame(LAST | MORE, None, &ANSWER.as_bytes()[5..])].concat()),
            Just(compressed(&[ANSWER]).concat()),
            proptest::collection::vec(any::<u8>(), 0..20),
        ], 0..12),
        size in 1usize..50,
    ) {
        let script = session(&sent(CALL), &frames.concat()).end(Side::B).end(Side::A);
        prop_assert_eq!(run(&script), run(&script.cut(size)));
    }
}
