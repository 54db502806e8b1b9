//! Reading one message.

use bytes::Bytes;

use super::super::{
    interaction::{Failure, Outcome},
    message::{Parsed, Shape, batch, single},
    method::Sender,
};
use super::Host;
use crate::key::{ChannelId, Side};

fn read(text: &str) -> Option<Parsed> {
    let message = Host::new().message(ChannelId(1), Side::A, text);
    single(&message, false)
}

#[test]
fn keys_may_come_in_any_order_with_any_space() {
    let parsed = read("{ \"params\" : { \"arguments\":{\"z\":1,\"a\":{}}, \"name\" : \"echo\" } ,\n \"method\":\"tools/call\", \"id\": \"a-1\" , \"jsonrpc\":\"2.0\" }").unwrap();
    assert_eq!(parsed.shape, Shape::Request);
    assert_eq!(parsed.id.unwrap().text, "\"a-1\"");
    assert_eq!(parsed.target.as_deref(), Some("echo"));
    assert_eq!(parsed.part.keys, ["a", "z"]);
    assert!(parsed.strong);
    assert_eq!(parsed.sender, Some(Sender::Client));
}

#[test]
fn ids_of_any_type_are_kept_as_text() {
    for id in [
        "0",
        "-7",
        "1.5",
        "1e3",
        "null",
        "\"\"",
        "\"ü\"",
        "123456789012345678901234567890",
        "true",
        "{}",
    ] {
        let parsed = read(&format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"ping"}}"#)).unwrap();
        assert_eq!(parsed.id.unwrap().text, id);
    }
}

#[test]
fn equal_ids_in_other_spelling_have_the_same_key() {
    let key = |id: &str| {
        read(&format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"ping"}}"#))
            .unwrap()
            .id
            .unwrap()
            .key
    };
    assert_eq!(key(r#""ä/""#), key(r#""\u00e4\/""#));
    assert_eq!(key("1"), key("1.0"));
    assert_ne!(key("1"), key("\"1\""));
    assert_ne!(key("1.5"), key("1"));
}

#[test]
fn what_is_not_json_rpc_2_is_nothing() {
    for text in [
        r#"{"method":"tools/call","id":1}"#,
        r#"{"jsonrpc":"1.0","method":"tools/call","id":1}"#,
        r#"{"jsonrpc":"2.0","id":1}"#,
        r#"{"jsonrpc":"2.0","method":5,"id":1}"#,
        r#""tools/call""#,
        "",
        "{",
    ] {
        assert!(read(text).is_none(), "{text}");
    }
}

#[test]
fn the_last_of_equal_keys_counts() {
    let parsed =
        read(r#"{"jsonrpc":"2.0","id":1,"method":"ping","method":"tools/list","id":2}"#).unwrap();
    assert_eq!(parsed.method.as_deref(), Some("tools/list"));
    assert_eq!(parsed.id.unwrap().text, "2");
}

#[test]
fn outcomes_are_told_apart() {
    let outcome = |rest: &str| {
        read(&format!(r#"{{"jsonrpc":"2.0","id":1,{rest}}}"#))
            .unwrap()
            .outcome
    };
    assert_eq!(outcome(r#""result":{}"#), Outcome::Success);
    assert_eq!(
        outcome(r#""result":{"isError":true,"content":[]}"#),
        Outcome::Failure(Failure::Tool)
    );
    assert_eq!(outcome(r#""result":{"isError":false}"#), Outcome::Success);
    assert_eq!(
        outcome(r#""result":{"resultType":"input_required"}"#),
        Outcome::InputRequired
    );
    let error = Failure::Error {
        code: -32601,
        message: "no\u{fffd}".into(),
    };
    assert_eq!(
        outcome(r#""error":{"message":"no\ud800","code":-32601}"#),
        Outcome::Failure(error)
    );
    assert_eq!(
        outcome(r#""result":{"x":1},"error":null"#),
        Outcome::Success
    );
}

#[test]
fn lists_are_counted() {
    let items = |rest: &str| {
        read(&format!(
            r#"{{"jsonrpc":"2.0","id":1,"result":{{{rest}}}}}"#
        ))
        .unwrap()
        .part
        .items
    };
    assert_eq!(items(r#""tools":[{"name":"a"},{"name":"b"}]"#), Some(2));
    assert_eq!(items(r#""content":[]"#), Some(0));
    assert_eq!(items(r#""completion":{"values":["a","b","c"]}"#), Some(3));
    assert_eq!(items(r#""content":{"type":"text"}"#), None);
}

#[test]
fn initialize_of_other_protocols_proves_nothing() {
    let strong = |version: &str| {
        read(&format!(
            r#"{{"jsonrpc":"2.0","id":1,"method":"initialize","params":{{{version}}}}}"#
        ))
        .unwrap()
        .strong
    };
    assert!(strong(r#""protocolVersion":"2025-11-25""#));
    assert!(!strong(r#""protocolVersion":1"#));
    assert!(!strong(r#""processId":1,"rootUri":null"#));
}

#[test]
fn targets_are_where_the_method_has_them() {
    let target = |method: &str, params: &str| {
        read(&format!(
            r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":{{{params}}}}}"#
        ))
        .unwrap()
        .target
    };
    assert_eq!(
        target("resources/read", r#""uri":"file:///a""#).as_deref(),
        Some("file:///a")
    );
    assert_eq!(
        target("prompts/get", r#""name":"p","uri":"no""#).as_deref(),
        Some("p")
    );
    assert_eq!(
        target(
            "completion/complete",
            r#""ref":{"type":"ref/prompt","name":"p"}"#
        )
        .as_deref(),
        Some("p")
    );
    assert_eq!(target("tasks/get", r#""taskId":"t""#).as_deref(), Some("t"));
    assert_eq!(target("tools/list", r#""name":"no""#), None);
}

#[test]
fn of_a_truncated_message_the_prefix_is_taken() {
    let mut message = Host::new().message(ChannelId(1), Side::A, r#"{"jsonrpc":"2.0","id":3,"method":"tools/call","params":{"name":"big","arguments":{"data":"AAAA"#);
    message.size = 1 << 30;
    let parsed = single(&message, false).unwrap();
    assert_eq!(parsed.shape, Shape::Request);
    assert_eq!(parsed.target.as_deref(), Some("big"));
    assert_eq!(parsed.part.keys, ["data"]);
    assert!(parsed.part.truncated);
    // An id at the cut may go on beyond it.
    message.body = Bytes::from_static(br#"{"method":"tools/call","jsonrpc":"2.0","id":3"#);
    assert!(single(&message, false).unwrap().id.is_none());
}

#[test]
fn a_batch_is_as_many_messages() {
    let text = r#"[{"jsonrpc":"2.0","id":1,"method":"ping"}, 5, {"jsonrpc":"2.0","method":"notifications/initialized"} ]"#;
    let message = Host::new().message(ChannelId(1), Side::A, text);
    let (parsed, rest) = batch(&message, true, 10);
    assert_eq!(rest, 0);
    assert_eq!(parsed.len(), 2);
    assert_eq!(parsed[0].batch, Some(3));
    assert_eq!(parsed[0].part.bytes, 40);
    assert_eq!(
        parsed[0].part.body.as_deref(),
        Some(&br#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#[..])
    );
    assert_ne!(parsed[0].part.sha256, parsed[1].part.sha256);
    let (parsed, rest) = batch(&message, true, 1);
    assert_eq!(parsed.len(), 1);
    assert!(rest > 0);
}

#[test]
fn values_are_cut_to_their_bounds() {
    let long = "ü".repeat(5000);
    let parsed = read(&format!(
        r#"{{"jsonrpc":"2.0","id":"{long}","method":"tools/call","params":{{"name":"{long}"}}}}"#
    ))
    .unwrap();
    assert!(parsed.id.unwrap().text.len() < 300);
    let target = parsed.target.unwrap();
    assert!((2045..=2048).contains(&target.len()) && target.ends_with('…'));
    let keys: String = (0..100).map(|at| format!(r#""{at}":1,"#)).collect();
    let parsed = read(&format!(
        r#"{{"jsonrpc":"2.0","id":1,"result":{{{keys}"z":1}}}}"#
    ))
    .unwrap();
    assert_eq!(parsed.part.keys.len(), 64);
}
