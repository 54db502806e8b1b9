//! Writes an event of every kind, so that the OCSF schema can judge them.
//!
//! The corpus is `events.jsonl` in Cargo's directory for test output; `tests/ocsf_validate.py`
//! validates it.

use std::{net::SocketAddr, ops::Range, path::Path, sync::Arc};

use auditor_core::{
    audit::{
        Ancestor, Auditor, Container, Device, Level, Pod, Process, Seen, Settings, Workload, World,
    },
    key::{Actor, ChannelId, ProcessKey, Side, Time},
    mcp::{
        Direction, Failure, Interaction, InteractionId, Kind, LostCause, Outcome, Part, Peer,
        Session, Stage, Transport,
    },
    stream::{Channel, ChannelKind, GapCause, Socket},
    tls::{Basis, Moved, Obstacle, Reason, Unheard},
    wire::{Gap, HttpHead},
};

/// Knows everything, or nothing.
struct Known(bool);

impl World for Known {
    fn process(&self, key: ProcessKey) -> Option<Arc<Process>> {
        let lineage = (1..4).map(|pid| Ancestor {
            key: ProcessKey { pid, start: 5 },
            exe: (pid > 1).then(|| "/bin/sh".to_owned()),
        });
        self.0.then(|| {
            Arc::new(Process {
                key,
                started: Time(1_700_000_000_000_000_000),
                exe: Some("/usr/bin/node".into()),
                exe_sha256: Some([7; 32]),
                cmdline: Some(vec!["node".into(), "server.js".into()]),
                uid: Some(1000),
                gid: Some(1000),
                cgroup: Some("/system.slice/docker-0123.scope".into()),
                cgroup_id: Some(42),
                container: (key.pid == 20).then(|| "0123456789ab".to_owned()),
                workload: (key.pid == 20).then(|| Arc::new(workload())),
                program: None,
                attestation: None,
                workflow: None,
                lineage: lineage.collect(),
            })
        })
    }

    fn channel(&self, id: ChannelId) -> Option<Arc<Channel>> {
        let address = |port| -> SocketAddr { ([127, 0, 0, 1], port).into() };
        let mapped: SocketAddr = "[::ffff:10.0.0.1]:443".parse().ok()?;
        let socket = Some(Socket {
            a: address(40_000),
            b: mapped,
            netns: 1,
        });
        (self.0 && id.0 == 2).then(|| {
            Arc::new(Channel {
                id,
                kind: ChannelKind::Tcp,
                inode: None,
                peer_inode: None,
                socket,
                tls: None,
            })
        })
    }

    fn seen(&self, _channel: ChannelId, from: Side, _range: &Range<u64>) -> Seen {
        let actor = |pid| Actor {
            process: ProcessKey { pid, start: 99 },
            tid: pid + 1,
        };
        let (writer, reader) = if from == Side::A { (10, 20) } else { (20, 10) };
        if !self.0 {
            return Seen::default();
        }
        Seen {
            writer: Some(actor(writer)),
            reader: Some(actor(reader)),
            local: true,
        }
    }
}

fn workload() -> Workload {
    let text = |text: &str| Some(text.to_owned());
    let labels = vec![("app".to_owned(), "server".to_owned())];
    Workload {
        container: Some(Container {
            id: "0123456789ab".to_owned(),
            runtime: text("containerd"),
            name: text("main"),
            image: text("quay.io/team/server:2"),
            image_digest: Some(format!("sha256:{}", "7".repeat(64))),
            labels: labels.clone(),
            source: Some("runtime"),
        }),
        pod: Some(Pod {
            uid: "0e0ed2a7-9a4b-4c0e-8c3a-5b0f6f0a1b2c".to_owned(),
            name: text("server-0"),
            namespace: text("tools"),
            service_account: text("server"),
            node: text("node-1"),
            owner: Some(("Deployment".to_owned(), "server".to_owned())),
            labels,
            started: text("2026-11-28T16:00:00Z"),
            is_disputed: false,
            source: Some("api_server"),
        }),
        is_late: false,
    }
}

fn part(from: Side, http: Option<HttpHead>) -> Part {
    Part {
        channel: ChannelId(2),
        from,
        range: 0..100,
        first: Time(1_800_000_000_000_000_000),
        time: Time(1_800_000_000_001_000_000),
        bytes: 100,
        sha256: [1; 32],
        keys: vec!["a".into(), "b\u{1b}".into()],
        items: Some(3),
        body: Some(bytes::Bytes::from_static(b"{\"secret\":\xff}")),
        truncated: false,
        writer: None,
        reader: None,
        http: http.map(Arc::new),
    }
}

fn interaction(kind: Kind, outcome: Outcome, full: bool) -> Interaction {
    let head = HttpHead {
        version: 11,
        method: "POST".into(),
        target: "/messages?session_id=topsecret".into(),
        host: Some("localhost:8000".into()),
        user_agent: Some("test/1".into()),
        ..HttpHead::default()
    };
    let answer = HttpHead {
        status: 200,
        content_type: Some("application/json".into()),
        ..HttpHead::default()
    };
    let peer = Peer {
        name: "weather".into(),
        version: "1.0".into(),
    };
    let answered = !matches!(
        outcome,
        Outcome::Pending | Outcome::Failure(Failure::Lost(_))
    );
    Interaction {
        id: InteractionId(7),
        kind,
        stage: Stage::Final,
        direction: Direction::ClientToServer,
        session: Arc::new(Session {
            id: 3,
            transport: if full {
                Transport::Http
            } else {
                Transport::Stdio
            },
            client_side: Side::A,
            mcp_session_id: full.then(|| "topsecret".to_owned()),
            protocol_version: full.then(|| "2025-11-25".to_owned()),
            client_info: full.then(|| peer.clone()),
            server_info: full.then(|| peer.clone()),
        }),
        method: matches!(kind, Kind::Request | Kind::Notification).then(|| "tools/call".to_owned()),
        rpc_id: (kind != Kind::Notification).then(|| "\"id-1\"".to_owned()),
        target: full.then(|| "get_weather".to_owned()),
        protocol_version: full.then(|| "2025-11-25".to_owned()),
        traceparent: full
            .then(|| "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_owned()),
        batch: full.then_some(2),
        round_trip: full.then_some(1),
        request: matches!(kind, Kind::Request | Kind::Notification)
            .then(|| part(Side::A, full.then(|| head.clone()))),
        response: (answered && matches!(kind, Kind::Request | Kind::UnpairedResponse))
            .then(|| part(Side::B, full.then(|| answer.clone()))),
        outcome,
        gap: (kind == Kind::Gap).then_some(Gap {
            channel: ChannelId(2),
            from: Side::B,
            range: 10..30,
            discarded: 5,
            cause: GapCause::RingFull,
            time: Time(1_800_000_000_000_000_000),
        }),
        answer_head: None,
        unheard: None,
    }
}

/// A TLS connection that was not heard.
fn unheard(full: bool) -> Interaction {
    let actor = |pid| Actor {
        process: ProcessKey { pid, start: 5 },
        tid: pid,
    };
    let told = Unheard {
        channel: ChannelId(2),
        socket: full.then(|| Socket {
            a: SocketAddr::from(([10, 0, 0, 1], 40_000)),
            b: SocketAddr::from(([10, 0, 0, 9], 443)),
            netns: 1,
        }),
        begun: Time(1_800_000_000_000_000_000),
        client_side: Side::A,
        has_handshake: full,
        client: full.then(|| actor(10)),
        server: None,
        server_name: full.then(|| "mcp.example.com".to_owned()),
        protocols: if full { vec!["h2".into()] } else { Vec::new() },
        version: full.then_some(0x304),
        basis: vec![Basis::CommandLine, Basis::ServerName],
        client_obstacle: full.then(|| Obstacle {
            reason: Reason::JavaJsse,
            stack: Some("Java".into()),
            file: Some("/usr/lib/jvm/libjvm.so".into()),
            detail: Some("compiled while it runs".into()),
        }),
        server_obstacle: None,
        moved: if full { Moved::Yes } else { Moved::Unknown },
        connections: 3,
    };
    let mut one = interaction(Kind::Gap, Outcome::Pending, false);
    one.unheard = Some(Arc::new(told));
    if let Some(gap) = &mut one.gap {
        gap.cause = GapCause::TlsUnheard;
    }
    one
}

fn corpus() -> Vec<Interaction> {
    let error = Failure::Error {
        code: -32601,
        message: "no such tool: topsecret".into(),
    };
    let mut outcomes = vec![
        Outcome::Pending,
        Outcome::Success,
        Outcome::InputRequired,
        Outcome::Failure(error),
        Outcome::Failure(Failure::Tool),
        Outcome::Failure(Failure::Http(503)),
    ];
    outcomes.extend(
        [
            LostCause::Closed,
            LostCause::Reset,
            LostCause::Exited,
            LostCause::Cancelled,
            LostCause::NoResponse,
            LostCause::Gap,
            LostCause::Abandoned,
        ]
        .map(|cause| Outcome::Failure(Failure::Lost(cause))),
    );
    let mut all = Vec::new();
    for full in [true, false] {
        for outcome in &outcomes {
            for direction in [Direction::ClientToServer, Direction::ServerToClient] {
                let mut one = interaction(Kind::Request, outcome.clone(), full);
                one.direction = direction;
                one.stage = if *outcome == Outcome::Pending {
                    Stage::Open
                } else {
                    Stage::Final
                };
                all.push(one);
            }
        }
        all.push(interaction(Kind::Notification, Outcome::Pending, full));
        all.push(interaction(Kind::UnpairedResponse, Outcome::Success, full));
        all.push(interaction(Kind::Gap, Outcome::Pending, full));
        all.push(unheard(full));
        for method in [
            "initialize",
            "tools/list",
            "tasks/cancel",
            "logging/setLevel",
            "x\"\u{7}y",
        ] {
            let mut one = interaction(Kind::Request, Outcome::Success, full);
            one.method = Some(method.into());
            all.push(one);
        }
    }
    all
}

fn settings(level: Level) -> Settings {
    Settings {
        version: "0.1.0".into(),
        run: "b0075eed-1".into(),
        device: Device {
            hostname: "node-1".into(),
            uid: Some("4c4c4544".into()),
            os_name: Some("Debian GNU/Linux".into()),
            os_version: Some("13".into()),
            kernel_release: Some("6.12.0".into()),
        },
        level,
        key: [9; 32],
    }
}

#[test]
fn an_event_of_every_kind_is_written() {
    let mut out = Vec::new();
    for level in [Level::Metadata, Level::Request, Level::RequestResponse] {
        for known in [true, false] {
            let mut auditor = Auditor::new(settings(level));
            for one in corpus() {
                let start = out.len();
                let event = auditor.audit(one, &Known(known), Time(1_800_000_000_002_000_000));
                event.write_json(&mut out);
                let line = std::str::from_utf8(&out[start..]).unwrap();
                assert!(!line.contains('\n'));
                assert!(
                    !line.contains("session_id=topsecret"),
                    "the target leaves: {line}"
                );
                if level == Level::Metadata {
                    assert!(!line.contains("secret"), "content leaves: {line}");
                }
                let value: serde_json::Value = serde_json::from_str(line).unwrap();
                assert_eq!(value["metadata"]["uid"], "b0075eed-1-7");
                let sides = [
                    &value["unmapped"]["mcp"]["client"],
                    &value["unmapped"]["mcp"]["server"],
                ];
                assert!(known != sides[0].is_null() || value["unmapped"]["mcp"]["kind"] == "gap");
                out.push(b'\n');
            }
        }
    }
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("events.jsonl");
    std::fs::write(path, out).unwrap();
}
