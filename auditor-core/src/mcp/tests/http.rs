//! Sessions over HTTP.

use super::super::{Direction, Part, Transport};
use super::{Host, INITIALIZE, INITIALIZED, MILLISECOND, actor, call, post, result, status};
use crate::{
    key::Side,
    stream::EndCause,
    wire::{
        HttpHead,
        HttpPart::{Event, Request, Response},
    },
};

const SAMPLE: &str = r#"{"jsonrpc":"2.0","id":0,"method":"sampling/createMessage","params":{}}"#;
const SAMPLED: &str = r#"{"jsonrpc":"2.0","id":0,"result":{"role":"assistant"}}"#;

#[test]
fn a_stateless_call_is_paired_by_its_exchange() {
    let mut host = Host::new();
    let tcp = host.tcp(1, 8000);
    let head = HttpHead {
        protocol_version: Some("2026-07-28".into()),
        mcp_method: Some("tools/call".into()),
        ..post(None)
    };
    let ok = status(200, "application/json", None);
    // Two exchanges at once with the same id, as over HTTP/2.
    for exchange in [1, 3] {
        host.http((tcp, exchange), Request, (&head, None), r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"t","arguments":{},"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientInfo":{"name":"c","version":"1"}}}}"#);
    }
    host.http((tcp, 3), Response, (&head, Some(&ok)), &result(1));
    host.http((tcp, 1), Response, (&head, Some(&ok)), r#"{"jsonrpc":"2.0","id":1,"result":{"isError":true,"content":[],"_meta":{"io.modelcontextprotocol/serverInfo":{"name":"s","version":"2"}}}}"#);
    let told = host.drain();
    assert_eq!(told.len(), 2);
    assert_eq!(super::short(&told[0]), "tools/call 1 Success");
    assert_eq!(super::short(&told[1]), "tools/call 1 Tool");
    assert!(told[0].request.as_ref().unwrap().first > told[1].request.as_ref().unwrap().first);
    assert_eq!(told[0].protocol_version.as_deref(), Some("2026-07-28"));
    assert_eq!(told[0].session.client_info.as_ref().unwrap().name, "c");
    assert_eq!(told[1].session.server_info.as_ref().unwrap().name, "s");
    assert_eq!(told[0].session.transport, Transport::Http);
}

#[test]
fn a_session_spans_connections_by_its_id() {
    let mut host = Host::new();
    let (first, second) = (host.tcp(1, 8000), host.tcp(2, 8000));
    let json = status(200, "application/json", Some("S1"));
    let stream = status(200, "text/event-stream", None);
    let message = || Event("message".into());
    host.http((first, 1), Request, (&post(None), None), INITIALIZE);
    host.http(
        (first, 1),
        Response,
        (&post(None), Some(&json)),
        INITIALIZED,
    );
    host.exchange_end((first, 1), &post(None), Some(&json), true);
    let head = post(Some("S1"));
    host.http(
        (first, 2),
        Request,
        (&head, None),
        r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#,
    );
    host.exchange_end((first, 2), &head, Some(&status(202, "", None)), true);
    host.http((first, 3), Request, (&head, None), &call(1));
    host.http((first, 3), message(), (&head, Some(&stream)), SAMPLE);
    host.http((second, 1), Request, (&head, None), SAMPLED);
    host.http((first, 3), message(), (&head, Some(&stream)), &result(1));
    let told = host.drain();
    let short: Vec<String> = told.iter().map(super::short).collect();
    assert_eq!(
        short,
        [
            "initialize 0 Success",
            "notifications/initialized - Pending",
            "sampling/createMessage 0 Success",
            "tools/call 1 Success",
        ]
    );
    assert!(told.iter().all(|one| one.session.id == told[0].session.id));
    assert_eq!(told[3].session.mcp_session_id.as_deref(), Some("S1"));
    assert_eq!(told[2].direction, Direction::ServerToClient);
}

#[test]
fn both_hops_of_a_proxy_are_sessions_of_their_own() {
    let mut host = Host::new();
    let (front, back) = (host.tcp(1, 80), host.tcp(2, 8000));
    let (head, ok) = (post(Some("S1")), status(200, "application/json", None));
    host.http((front, 1), Request, (&head, None), &call(1));
    host.http((back, 1), Request, (&head, None), &call(1));
    host.http((back, 1), Response, (&head, Some(&ok)), &result(1));
    host.http((front, 1), Response, (&head, Some(&ok)), &result(1));
    let told = host.drain();
    assert_eq!(told.len(), 2);
    assert_ne!(told[0].session.id, told[1].session.id);
    for one in told {
        assert_eq!(one.request.unwrap().channel, one.response.unwrap().channel);
    }
}

#[test]
fn legacy_sse_answers_come_on_the_stream() {
    for endpoint in [
        "/messages/?session_id=0123456789abcdef",
        "http://h:1/messages/?sessionId=0123456789abcdef",
        "/post/0123456789abcdef",
    ] {
        let mut host = Host::new();
        let (stream, posts) = (host.tcp(1, 8000), host.tcp(2, 8000));
        let get = HttpHead {
            method: "GET".into(),
            target: "/sse".into(),
            ..post(None)
        };
        let sse = status(200, "text/event-stream", None);
        host.http(
            (stream, 1),
            Event("endpoint".into()),
            (&get, Some(&sse)),
            endpoint,
        );
        let target = endpoint.strip_prefix("http://h:1").unwrap_or(endpoint);
        let head = HttpHead {
            target: target.into(),
            ..post(None)
        };
        let accepted = status(202, "text/plain", None);
        host.http((posts, 1), Request, (&head, None), INITIALIZE);
        host.exchange_end((posts, 1), &head, Some(&accepted), true);
        host.http(
            (stream, 1),
            Event("message".into()),
            (&get, Some(&sse)),
            INITIALIZED,
        );
        host.http((posts, 2), Request, (&head, None), &call(1));
        host.http(
            (stream, 1),
            Event("message".into()),
            (&get, Some(&sse)),
            SAMPLE,
        );
        host.http((posts, 3), Request, (&head, None), SAMPLED);
        host.http(
            (stream, 1),
            Event("message".into()),
            (&get, Some(&sse)),
            &result(1),
        );
        host.http((posts, 4), Request, (&head, None), &call(2));
        host.exchange_end((stream, 1), &get, Some(&sse), false);
        let told = host.drain();
        let short: Vec<String> = told.iter().map(super::short).collect();
        assert_eq!(
            short,
            [
                "initialize 0 Success",
                "sampling/createMessage 0 Success",
                "tools/call 1 Success",
                "tools/call 2 Lost(Closed)",
            ],
            "{endpoint}"
        );
        assert!(
            told.iter()
                .all(|one| one.session.transport == Transport::Sse)
        );
    }
}

#[test]
fn a_legacy_stream_joined_late_is_found_by_the_only_fitting_request() {
    let mut host = Host::new();
    let (stream, posts) = (host.tcp(1, 8000), host.tcp(2, 8000));
    let get = HttpHead {
        method: "GET".into(),
        target: "/sse".into(),
        ..post(None)
    };
    let sse = status(200, "text/event-stream", None);
    let head = HttpHead {
        target: "/messages/?s=12345678".into(),
        ..post(None)
    };
    host.http((posts, 1), Request, (&head, None), &call(5));
    host.exchange_end((posts, 1), &head, Some(&status(202, "", None)), true);
    host.http(
        (stream, 1),
        Event("message".into()),
        (&get, Some(&sse)),
        r#"{"jsonrpc":"2.0","method":"notifications/message","params":{}}"#,
    );
    host.http(
        (stream, 1),
        Event("message".into()),
        (&get, Some(&sse)),
        &result(5),
    );
    assert_eq!(
        host.told(),
        ["notifications/message - Pending", "tools/call 5 Success"]
    );
}

#[test]
fn a_resumed_stream_brings_the_answer() {
    let mut host = Host::new();
    let tcp = host.tcp(1, 8000);
    let (head, sse) = (post(Some("S1")), status(200, "text/event-stream", None));
    let get = HttpHead {
        method: "GET".into(),
        ..post(Some("S1"))
    };
    host.http((tcp, 1), Request, (&head, None), &call(1));
    host.exchange_end((tcp, 1), &head, Some(&sse), true);
    host.pass(500 * MILLISECOND);
    host.http(
        (tcp, 2),
        Event("message".into()),
        (&get, Some(&sse)),
        &result(1),
    );
    assert_eq!(host.told(), ["tools/call 1 Success"]);
    host.http((tcp, 3), Request, (&head, None), &call(2));
    host.exchange_end((tcp, 3), &head, Some(&sse), true);
    host.pass(40_000 * MILLISECOND);
    assert_eq!(
        host.told(),
        ["open tools/call 2 Pending", "tools/call 2 Lost(NoResponse)"]
    );
}

#[test]
fn an_exchange_that_ends_without_an_answer_says_why() {
    let mut host = Host::new();
    let tcp = host.tcp(1, 8000);
    let head = post(None);
    let text = status(404, "text/plain", None);
    host.http((tcp, 1), Request, (&head, None), &call(1));
    host.exchange_end((tcp, 1), &head, Some(&text), true);
    host.http((tcp, 2), Request, (&head, None), &call(2));
    host.exchange_end(
        (tcp, 2),
        &head,
        Some(&status(200, "application/json", None)),
        true,
    );
    host.http((tcp, 3), Request, (&head, None), &call(3));
    host.exchange_end((tcp, 3), &head, None, false);
    let refused = status(400, "application/json", None);
    host.http((tcp, 4), Request, (&head, None), &call(4));
    host.http(
        (tcp, 4),
        Response,
        (&head, Some(&refused)),
        r#"{"jsonrpc":"2.0","id":"server-error","error":{"code":-32600,"message":"m"}}"#,
    );
    host.http((tcp, 5), Request, (&head, None), &call(5));
    host.end(tcp, Side::B, EndCause::Reset);
    host.pass(300 * MILLISECOND);
    assert_eq!(
        host.told(),
        [
            "tools/call 1 Http(404)",
            "tools/call 2 Lost(NoResponse)",
            "tools/call 3 Lost(Closed)",
            "tools/call 4 Error { code: -32600, message: \"m\" }",
            "tools/call 5 Lost(Reset)",
        ]
    );
}

#[test]
fn other_json_rpc_over_http_makes_no_interaction() {
    let mut host = Host::new();
    let tcp = host.tcp(1, 8545);
    let (head, ok) = (
        HttpHead {
            target: "/".into(),
            ..post(None)
        },
        status(200, "application/json", None),
    );
    for exchange in 1..4 {
        host.http(
            (tcp, exchange),
            Request,
            (&head, None),
            r#"{"jsonrpc":"2.0","id":1,"method":"eth_call","params":[]}"#,
        );
        host.http(
            (tcp, exchange),
            Response,
            (&head, Some(&ok)),
            r#"{"jsonrpc":"2.0","id":1,"result":"0x"}"#,
        );
        host.exchange_end((tcp, exchange), &head, Some(&ok), true);
    }
    // MCP on another path of the same connection does not change that.
    host.http((tcp, 9), Request, (&post(None), None), &call(1));
    host.http(
        (tcp, 10),
        Request,
        (&head, None),
        r#"{"jsonrpc":"2.0","id":2,"method":"eth_call","params":[]}"#,
    );
    host.http((tcp, 9), Response, (&post(None), Some(&ok)), &result(1));
    assert_eq!(host.told(), ["tools/call 1 Success"]);
}

#[test]
fn a_weak_method_with_an_mcp_head_is_an_interaction() {
    let mut host = Host::new();
    let tcp = host.tcp(1, 8000);
    let (head, ok) = (post(Some("S")), status(200, "application/json", None));
    host.http(
        (tcp, 1),
        Request,
        (&head, None),
        r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#,
    );
    host.http(
        (tcp, 1),
        Response,
        (&head, Some(&ok)),
        r#"{"jsonrpc":"2.0","id":1,"result":{}}"#,
    );
    assert_eq!(host.told(), ["ping 1 Success"]);
}

#[test]
fn a_deleted_session_ends() {
    let mut host = Host::new();
    let tcp = host.tcp(1, 8000);
    let (head, sse) = (post(Some("S1")), status(200, "text/event-stream", None));
    host.http((tcp, 1), Request, (&head, None), &call(1));
    host.exchange_end((tcp, 1), &head, Some(&sse), true);
    let delete = HttpHead {
        method: "DELETE".into(),
        ..post(Some("S1"))
    };
    host.exchange_end((tcp, 2), &delete, Some(&status(200, "", None)), true);
    assert_eq!(host.told(), ["tools/call 1 Lost(Closed)"]);
    assert_eq!(host.sessions.sessions(), 0);
}

#[test]
fn a_session_is_found_under_another_address_of_its_server() {
    let mut host = Host::new();
    let (first, second) = (host.tcp(1, 8000), host.tcp(2, 8001));
    host.seen(first, actor(1), actor(2));
    host.seen(second, actor(1), actor(2));
    let (head, sse) = (post(Some("S1")), status(200, "text/event-stream", None));
    host.http((first, 1), Request, (&head, None), &call(1));
    host.http(
        (first, 1),
        Event("message".into()),
        (&head, Some(&sse)),
        SAMPLE,
    );
    host.http((second, 1), Request, (&head, None), SAMPLED);
    assert_eq!(host.told(), ["sampling/createMessage 0 Success"]);
}

#[test]
fn an_answer_behind_a_proxy_is_not_that_of_the_request_before_it() {
    let mut host = Host::new();
    let (front, back) = (host.tcp(1, 443), host.tcp(2, 8000));
    host.seen(front, actor(1), actor(2));
    host.seen(back, actor(2), actor(3));
    let (head, ok) = (post(Some("S1")), status(200, "application/json", None));
    host.http((front, 1), Request, (&head, None), &call(1));
    // The request on the other side was lost.
    host.http((back, 1), Response, (&head, Some(&ok)), &result(1));
    host.http((front, 1), Response, (&head, Some(&ok)), &result(1));
    let told = host.drain();
    let [call] = told.as_slice() else {
        panic!("{told:?}");
    };
    let channel = |part: &Option<Part>| part.as_ref().map(|part| part.channel);
    assert_eq!(channel(&call.response), Some(front));
}

#[test]
fn two_endpoints_on_one_connection_are_both_heard() {
    let mut host = Host::new();
    let tcp = host.tcp(1, 8000);
    let ok = status(200, "application/json", None);
    for (exchange, target) in [(1, "/a"), (2, "/b")] {
        let head = HttpHead {
            target: target.into(),
            ..post(None)
        };
        host.http((tcp, exchange), Request, (&head, None), &call(1));
        host.http((tcp, exchange), Response, (&head, Some(&ok)), &result(1));
    }
    assert_eq!(
        host.told(),
        ["tools/call 1 Success", "tools/call 1 Success"]
    );
}
