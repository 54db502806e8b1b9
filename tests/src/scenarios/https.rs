//! Sessions over HTTPS, and which of their ends the auditor hears.

use crate::{
    front::Front,
    programs::{Sdk, Transport},
    session::{Between, Heard, Session},
};

use super::{EXAMPLE, example};

/// Whether the plaintext of an SDK's TLS library is heard: the one place to change when it is.
fn is_heard(sdk: Sdk) -> bool {
    match sdk {
        // OpenSSL, shared by Python and static in Node.
        Sdk::Python1 | Sdk::Python2 | Sdk::TypeScript1 | Sdk::TypeScript2 => true,
        // Go's own.
        Sdk::Go | Sdk::McpGo => true,
        // BoringSSL without names.
        Sdk::Bun1 | Sdk::Bun2 => true,
        // rustls on aws-lc, without names.
        Sdk::Deno1 | Sdk::Deno2 => true,
        // rustls on aws-lc and on ring.
        Sdk::Rust | Sdk::RustRing => true,
        // Java's own has nothing to hook.
        Sdk::Java => false,
    }
}

/// Whether the plaintext of a reverse proxy's TLS library is heard.
fn is_front_heard(front: Front) -> bool {
    match front {
        // OpenSSL, shared, and static without symbols.
        Front::Nginx | Front::NginxEarly | Front::NginxStatic => true,
        // Go's own.
        Front::Caddy => true,
    }
}

/// Every session over HTTPS.
pub(super) fn all() -> Vec<Session> {
    let mut sessions = direct();
    sessions.extend(otherwise());
    sessions.extend(fronted());
    sessions.extend(sizes());
    sessions
}

fn direct() -> Vec<Session> {
    use Sdk::{
        Bun1, Bun2, Deno1, Deno2, Go, Java, McpGo, Python1, Python2, Rust, RustRing, TypeScript1,
        TypeScript2,
    };
    [
        (Python1, "legacy", Python1),
        (Python2, "auto", Python2),
        (TypeScript1, "legacy", TypeScript1),
        (TypeScript2, "2026-07-28", TypeScript2),
        (Go, "auto", Go),
        (Rust, "auto", Rust),
        (RustRing, "legacy", RustRing),
        (Python1, "legacy", TypeScript1),
        (Python2, "auto", Go),
        (TypeScript1, "legacy", Rust),
        (TypeScript2, "auto", Python2),
        (Go, "legacy", Python1),
        (Go, "auto", RustRing),
        (Rust, "legacy", Python1),
        (RustRing, "auto", Python2),
        (Java, "legacy", Python1),
        (Python1, "legacy", Java),
        (McpGo, "auto", McpGo),
        (McpGo, "legacy", Python1),
        (Bun1, "legacy", Bun1),
        (Bun2, "2026-07-28", Bun2),
        (Bun2, "auto", Python2),
        (Python1, "legacy", Bun1),
        (Deno1, "legacy", Deno1),
        (Deno2, "2026-07-28", Deno2),
        (Deno1, "legacy", Go),
        (Go, "auto", Deno2),
    ]
    .map(|(client, mode, server)| over_tls(client, mode, server, Transport::Http, "https"))
    .into()
}

/// What else than HTTP/1.1 or what a runtime chooses itself may be in TLS.
fn otherwise() -> Vec<Session> {
    use Sdk::Python1;
    [
        (Transport::WebSocket, "wss"),
        (Transport::Http2, "http2_in_tls"),
    ]
    .map(|(transport, called)| {
        let mut session = over_tls(Python1, "legacy", Python1, transport, called);
        if transport == Transport::Http2 {
            // httpcore 1.0 may sleep through a window update that another stream's reader took: no upload may need one.
            session.scenario = EXAMPLE.replace("LARGE", &"x".repeat(WITHIN_WINDOW));
        }
        session
    })
    .into()
}

/// Arguments and answers of 1 B to 1 MiB, through each TLS stack as client and as server.
fn sizes() -> Vec<Session> {
    use Sdk::{Bun1, Deno1, Go, Python1, Rust, RustRing, TypeScript1};
    const SIZES: [usize; 8] = [1, 100, 4_000, 16_384, 65_536, 100_000, 300_000, 1 << 20];
    let calls = SIZES.map(|size| {
        let text = "x".repeat(size);
        format!(r#"{{"do": "call_tool", "name": "echo", "arguments": {{"text": "{text}"}}}}"#)
    });
    let scenario = format!("[{}]", calls.join(", "));
    [
        (Python1, TypeScript1),
        (TypeScript1, Go),
        (Go, Rust),
        (Rust, RustRing),
        (RustRing, Python1),
        (Bun1, Deno1),
        (Deno1, Bun1),
    ]
    .map(|(client, server)| {
        let called = "https_in_many_sizes";
        let mut session = over_tls(client, "legacy", server, Transport::Http, called);
        session.scenario.clone_from(&scenario);
        session
    })
    .into()
}

/// Size of the one large argument where all uploads of a connection are to fit its first window of 65,535 bytes.
const WITHIN_WINDOW: usize = 30_000;

fn over_tls(
    client: Sdk,
    mode: &'static str,
    server: Sdk,
    transport: Transport,
    called: &str,
) -> Session {
    let mut session = example(client, mode, server, transport);
    session.name = format!(
        "{}_{mode}_to_{}_over_{called}",
        client.name(),
        server.name()
    );
    session.tls = Some(Heard {
        client: is_heard(client),
        server: is_heard(server),
    });
    session
}

/// TLS ends at a reverse proxy, with a plain server behind it.
fn fronted() -> Vec<Session> {
    use Front::{Caddy, Nginx, NginxStatic};
    use Sdk::{Go, Python1, Python2, TypeScript1, TypeScript2};
    [
        (Python2, "auto", Nginx, Python2),
        (Go, "legacy", Nginx, Python1),
        (TypeScript1, "legacy", NginxStatic, Python1),
        (Go, "auto", NginxStatic, Python2),
        (TypeScript2, "auto", Caddy, Python2),
        (Go, "auto", Caddy, Python2),
    ]
    .map(|(client, mode, front, server)| {
        let mut session = example(client, mode, server, Transport::Http);
        session.name = format!(
            "{}_{mode}_through_{}_to_{}_over_https",
            client.name(),
            front.name(),
            server.name()
        );
        session.tls = Some(Heard {
            client: is_heard(client),
            server: is_front_heard(front),
        });
        session.between = Between::Front(front);
        session
    })
    .into()
}
