use proptest::prelude::*;

use crate::wire::{
    Gap, Item, Limits,
    testing::{Script, bodies, gaps, items, pieces},
};
use crate::{key::Side, stream::GapCause};

const ONE: &str = r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#;
const TWO: &str = r#"{"method":"ping","id":2,"jsonrpc":"2.0"}"#;

/// Bodies of the messages in a text that arrives at once.
fn framed(text: &str) -> Vec<String> {
    bodies(&items(
        Limits::default(),
        &Script::new().bytes(Side::A, text.as_bytes()),
    ))
}

#[test]
fn foreign_lines_are_skipped_and_messages_between_are_found() {
    let text = format!(
        "starting\n{ONE}\r\n[INFO] x\n{{ lone\n{{\n[\n\"\n{{\"a\":\"\n  {TWO}  \n\n\u{feff}{ONE}\n{{\"level\":\"info\"}}\n{TWO}"
    );
    assert_eq!(framed(&text), [ONE, TWO, ONE, TWO]);
}

#[test]
fn pretty_printed_values_and_batches_are_one_message_each() {
    let pretty = "{\r\n  \"jsonrpc\": \"2.0\",\r\n  \"params\": [\n  ]\n}";
    let batch = format!("[{ONE},\n {TWO}]");
    assert_eq!(
        framed(&format!("{pretty}\n{batch}\n{ONE}{TWO}\n")),
        [pretty, &batch, ONE, TWO]
    );
}

#[test]
fn an_open_bracket_does_not_swallow_the_messages_after_it() {
    for foreign in ["{", "[", "[\n[\n{", "{\"a\":", "[1,", "[\"a\",\n{\"b\":["] {
        let text = format!("{foreign}\n{ONE}\n{TWO}\n{ONE}\n");
        assert_eq!(framed(&text), [ONE, TWO, ONE], "{foreign}");
    }
    let pretty = "{\n \"jsonrpc\": \"2.0\",\n \"id\": 1\n}";
    assert_eq!(framed(&format!("[\n{pretty}\n{ONE}\n")), [pretty, ONE]);
}

#[test]
fn a_message_held_back_by_an_open_bracket_comes_out_at_the_end() {
    let script = Script::new()
        .bytes(Side::A, format!("[\n{ONE}\n").as_bytes())
        .end(Side::A);
    assert_eq!(bodies(&items(Limits::default(), &script)), [ONE]);
}

#[test]
fn json_that_is_not_json_rpc_is_no_message() {
    assert!(framed("{\"method\":\"log\",\"params\":{}}\n[1]\n{}\n").is_empty());
}

#[test]
fn the_range_is_that_of_the_json_text() {
    let script = Script::new().bytes(Side::A, format!("log\n  {ONE} \n").as_bytes());
    let all = items(Limits::default(), &script);
    let [Item::Message(message)] = all.as_slice() else {
        panic!("{all:?}")
    };
    assert_eq!(message.range, 6..6 + ONE.len() as u64);
    assert_eq!(message.size, ONE.len() as u64);
    assert!(!message.is_truncated());
}

#[test]
fn a_message_over_the_limit_is_cut_but_its_size_and_digest_are_right() {
    let script = Script::new().bytes(Side::A, format!("{ONE}\n{TWO}\n").as_bytes());
    let whole = items(Limits::default(), &script);
    for size in [1, 7, 1000] {
        let limits = Limits {
            message: 20,
            ..Limits::default()
        };
        let cut = items(limits, &script.cut(size));
        assert_eq!(bodies(&cut), [&ONE[..20], &TWO[..20]]);
        for (cut, whole) in cut.iter().zip(&whole) {
            let (Item::Message(cut), Item::Message(whole)) = (cut, whole) else {
                panic!()
            };
            assert_eq!((cut.size, cut.sha256), (whole.size, whole.sha256));
            assert!(cut.is_truncated());
        }
    }
}

#[test]
fn an_endless_half_message_holds_no_more_than_the_limit() {
    let limits = Limits {
        message: 1000,
        ..Limits::default()
    };
    let mut wire = crate::wire::Wire::new(Default::default(), limits);
    let mut script = Script::new().bytes(Side::A, b"{\"jsonrpc\":\"2.0\",\"a\":\"");
    for _ in 0..1000 {
        script = script.bytes(Side::A, &[b'x'; 100]);
    }
    for chunk in script.chunks() {
        wire.handle_chunk(chunk);
        assert!(wire.buffered() <= 1000);
        assert!(wire.poll_item().is_none());
    }
    wire.shrink_to(10);
    assert_eq!(wire.buffered(), 10);
    wire.handle_chunk(
        &script
            .bytes(Side::A, b"\"}\n")
            .chunks()
            .last()
            .unwrap()
            .clone(),
    );
    let Some(Item::Message(message)) = wire.poll_item() else {
        panic!()
    };
    assert_eq!((message.body.len(), message.size), (10, 100_000 + 24));
}

#[test]
fn a_gap_costs_only_the_message_it_is_in() {
    let text = format!("{ONE}\n{TWO}\n{ONE}\n{TWO}\n");
    let script = Script::new().bytes(Side::A, text.as_bytes()).end(Side::A);
    let lines: Vec<(u64, u64)> = pieces(&text);
    for from in 0..text.len() as u64 {
        for to in from + 1..=text.len() as u64 {
            let all = items(
                Limits::default(),
                &script.gap(Side::A, from, to, GapCause::RingFull),
            );
            let expected: Vec<&str> = lines
                .iter()
                .filter(|(start, end)| to <= *start || *end <= from)
                .map(|(start, end)| &text[*start as usize..*end as usize])
                .collect();
            assert_eq!(bodies(&all), expected, "{from}..{to}");
            let [Gap { range, cause, .. }] = gaps(&all)[..] else {
                panic!("{all:?}")
            };
            assert_eq!((range, cause), (&(from..to), &GapCause::RingFull));
        }
    }
}

#[test]
fn captured_bytes_of_a_broken_message_are_counted_as_discarded() {
    let text = format!("{ONE}\n{TWO}\n");
    let script =
        Script::new()
            .bytes(Side::A, text.as_bytes())
            .gap(Side::A, 10, 20, GapCause::Unheard);
    let all = items(Limits::default(), &script);
    assert_eq!(gaps(&all)[0].discarded, ONE.len() as u64 + 1 - 10);
    assert_eq!(bodies(&all), [TWO]);
}

#[test]
fn an_object_inside_a_broken_message_is_not_a_message() {
    let text = format!("{{\"jsonrpc\":\"2.0\",\"params\":{{\"echo\":{ONE}}}}}\n{TWO}\n");
    for to in 1..text.find(TWO).unwrap() as u64 {
        let script = Script::new().bytes(Side::A, text.as_bytes());
        let all = items(
            Limits::default(),
            &script.gap(Side::A, 0, to, GapCause::RingFull),
        );
        assert_eq!(bodies(&all), [TWO], "{to}");
    }
}

#[test]
fn joining_in_the_middle_of_a_message_is_reported_and_elsewhere_is_not() {
    let join = |text: &str| {
        let script = Script::at(Side::A, 100).bytes(Side::A, text.as_bytes());
        items(Limits::default(), &script)
    };
    let all = join(&format!("\":\"b\"}}}}\n{ONE}\n"));
    assert_eq!(bodies(&all), [ONE]);
    let [gap] = gaps(&all)[..] else {
        panic!("{all:?}")
    };
    assert_eq!(
        (gap.cause, gap.range.clone(), gap.discarded),
        (GapCause::Joined, 0..100, 8)
    );
    for text in [format!("{ONE}\n"), format!("log tail\n{ONE}\n")] {
        let all = join(&text);
        assert_eq!((bodies(&all), gaps(&all).len()), (vec![ONE.to_owned()], 0));
    }
}

#[test]
fn skipped_bytes_break_a_message_but_are_no_gap() {
    let text = format!("{ONE}\n{TWO}\n");
    let script =
        Script::new()
            .bytes(Side::A, text.as_bytes())
            .gap(Side::A, 10, 20, GapCause::Skipped);
    let all = items(Limits::default(), &script);
    assert_eq!((bodies(&all), gaps(&all).len()), (vec![TWO.to_owned()], 0));
}

#[test]
fn uninteresting_bytes_are_reported_every_64_kib_and_counted_from_the_last_message() {
    let mut script = Script::new().bytes(Side::A, format!("{ONE}\n").as_bytes());
    for _ in 0..200 {
        script = script.bytes(Side::A, &[b'x'; 1023]).bytes(Side::A, b"\n");
    }
    let quiet: Vec<u64> = items(Limits::default(), &script)
        .iter()
        .filter_map(|item| {
            if let Item::Quiet { bytes, .. } = item {
                Some(*bytes)
            } else {
                None
            }
        })
        .collect();
    assert_eq!(quiet.len(), 3);
    assert!(quiet.iter().all(|bytes| bytes % 65536 < 1024));
}

#[test]
fn messages_beyond_the_queue_are_a_gap() {
    let limits = Limits {
        items: 2,
        ..Limits::default()
    };
    let script = Script::new().bytes(Side::A, format!("{ONE}\n").repeat(5).as_bytes());
    let all = items(limits, &script);
    assert_eq!(bodies(&all).len(), 2);
    assert_eq!(
        (gaps(&all)[0].cause, gaps(&all)[0].discarded),
        (GapCause::Bound, 3 * ONE.len() as u64)
    );
}

#[test]
fn rejecting_many_lines_takes_linear_time() {
    // Quadratic work on this would take minutes.
    let mut text = "[\n".repeat(30_000);
    text.push_str(&format!("{ONE}\nx\n"));
    let script = Script::new().bytes(Side::A, text.as_bytes());
    assert_eq!(bodies(&items(Limits::default(), &script)), [ONE]);
    assert_eq!(bodies(&items(Limits::default(), &script.cut(1))), [ONE]);
}

fn line() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => Just(ONE.to_owned()),
        2 => Just(TWO.to_owned()),
        1 => Just(format!("[{ONE},{TWO}]")),
        1 => Just("{\n  \"jsonrpc\": \"2.0\",\n  \"id\": 1\n}".to_owned()),
        1 => "[\\[\\]{}\",:a1 \u{e9}\\\\]{0,12}",
        1 => Just("POST /mcp HTTP/1.1 x".to_owned()),
    ]
}

proptest! {
    #[test]
    fn cutting_the_input_never_changes_the_output(
        lines in proptest::collection::vec(line(), 0..12), size in 1usize..60, limit in 20usize..90, crlf: bool,
    ) {
        let text = lines.join(if crlf { "\r\n" } else { "\n" });
        let limits = Limits { message: limit, ..Limits::default() };
        let script = Script::new().bytes(Side::A, text.as_bytes()).end(Side::A);
        prop_assert_eq!(items(limits, &script), items(limits, &script.cut(size)));
    }
}
