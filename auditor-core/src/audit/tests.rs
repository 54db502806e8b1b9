//! Who is on which side of an event, what leaves, and what a person sees.

use std::{ops::Range, sync::Arc};

use auditor_content::{Classifier, Redactor};

use super::{
    AuditEvent, Auditor, Cloud, End, Environment, HostClock, Integrity, Level, PartName, Posture,
    Privacy, Process, Seen, Settings, World,
};
use crate::{
    key::{Actor, ChannelId, ProcessKey, Side, Time},
    mcp::{
        Direction, Failure, Interaction, InteractionId, Kind, Outcome, Part, Session, Stage,
        Transport,
    },
    stream::{Channel, ChannelKind, GapCause, Socket},
    tls::{Basis, Moved, Obstacle, Reason, Unheard},
    wire::Gap,
};

/// Channel 1 leads from process 10 to 20, channel 2 back; of channel 4 records were lost; the rest is remote.
pub(crate) struct Host;

impl World for Host {
    fn process(&self, key: ProcessKey) -> Option<Arc<Process>> {
        let exe = Some(format!("/opt/p/program-{}", key.pid));
        Some(Arc::new(Process {
            key,
            exe,
            uid: Some(5),
            ..Process::default()
        }))
    }

    fn channel(&self, id: ChannelId) -> Option<Arc<Channel>> {
        let address = |port| ([10, 0, 0, 1], port).into();
        let socket = (id.0 == 3).then(|| Socket {
            a: address(40_000),
            b: address(443),
            netns: 1,
        });
        Some(Arc::new(Channel {
            id,
            kind: ChannelKind::Tcp,
            inode: None,
            peer_inode: None,
            socket,
            tls: None,
        }))
    }

    fn seen(&self, channel: ChannelId, _from: Side, _range: &Range<u64>) -> Seen {
        match channel.0 {
            1 => Seen {
                writer: Some(actor(10)),
                reader: Some(actor(20)),
                local: true,
            },
            2 => Seen {
                writer: Some(actor(20)),
                reader: Some(actor(10)),
                local: true,
            },
            _ => Seen::default(),
        }
    }

    fn only_seen(&self, channel: ChannelId, _from: Side) -> Seen {
        Seen {
            writer: (channel.0 == 4).then(|| actor(10)),
            ..Seen::default()
        }
    }
}

fn actor(pid: u32) -> Actor {
    Actor {
        process: ProcessKey { pid, start: 7 },
        tid: pid + 1,
    }
}

fn part(channel: u64, millis: u64, bytes: u64) -> Part {
    let time = Time(1_800_000_000_000_000_000 + millis * 1_000_000);
    Part {
        channel: ChannelId(channel),
        from: Side::A,
        range: 0..bytes,
        first: time,
        time,
        bytes,
        sha256: [0xab; 32],
        keys: vec!["path".into()],
        items: None,
        body: Some(bytes::Bytes::from_static(b"{\"q\":\"private\"}")),
        truncated: false,
        writer: None,
        reader: None,
        http: None,
    }
}

pub(crate) fn call() -> Interaction {
    Interaction {
        id: InteractionId(3),
        kind: Kind::Request,
        stage: Stage::Final,
        direction: Direction::ClientToServer,
        session: Arc::new(Session {
            id: 1,
            transport: Transport::Stdio,
            client_side: Side::A,
            mcp_session_id: Some("secret-session".into()),
            protocol_version: None,
            client_info: None,
            server_info: None,
        }),
        method: Some("tools/call".into()),
        rpc_id: Some("1".into()),
        target: Some("read_file".into()),
        protocol_version: None,
        traceparent: None,
        batch: None,
        round_trip: None,
        request: Some(part(1, 0, 351)),
        response: Some(part(2, 12, 48_213)),
        answer_head: None,
        outcome: Outcome::Success,
        gap: None,
        unheard: None,
    }
}

fn audit(interaction: Interaction, level: Level) -> AuditEvent {
    let settings = Settings {
        run: "run".into(),
        level,
        key: [1; 32],
        ..Settings::default()
    };
    let mut auditor = Auditor::new(settings);
    auditor.set_privacy(Arc::new(Privacy {
        classifier: Classifier::new(&auditor_content::Settings::default()).unwrap(),
        redactor: Redactor::new([1; 32], auditor_content::Policy::keep_all()),
    }));
    auditor.audit(interaction, &Host, Time(1_800_000_001_000_000_000))
}

fn json(event: &AuditEvent) -> serde_json::Value {
    let mut out = Vec::new();
    event.write_json(&mut out);
    serde_json::from_slice(&out).unwrap()
}

fn pretty(event: &AuditEvent) -> String {
    let mut out = String::new();
    event.write_pretty(false, &mut out);
    out
}

#[test]
fn the_asker_of_a_client_request_is_the_client() {
    let event = audit(call(), Level::Metadata);
    assert_eq!(event.client.actor, Some(actor(10)));
    assert_eq!(event.server.actor, Some(actor(20)));
    assert_eq!(json(&event)["actor"]["process"]["pid"], 10);
}

#[test]
fn the_asker_of_a_server_request_is_the_server() {
    let mut interaction = call();
    interaction.direction = Direction::ServerToClient;
    let event = audit(interaction, Level::Metadata);
    assert_eq!(event.server.actor, Some(actor(10)));
    assert_eq!(event.client.actor, Some(actor(20)));
    assert_eq!(json(&event)["actor"]["process"]["pid"], 10);
}

#[test]
fn one_message_seen_at_both_ends_is_one_event_with_its_witnesses() {
    let event = audit(call(), Level::Metadata);
    let seen: Vec<_> = event
        .witnesses
        .iter()
        .map(|witness| (witness.part, witness.end, witness.actor.process.pid))
        .collect();
    assert_eq!(
        seen,
        [
            (PartName::Request, End::Write, 10),
            (PartName::Request, End::Read, 20),
            (PartName::Response, End::Write, 20),
            (PartName::Response, End::Read, 10),
        ]
    );
}

#[test]
fn a_message_that_is_passed_on_is_linked_to_where_it_went() {
    let inner = Interaction {
        id: InteractionId(4),
        request: Some(part(2, 3, 351)),
        response: Some(part(1, 9, 48_213)),
        ..call()
    };
    let mut auditor = Auditor::new(Settings {
        run: "run".into(),
        ..Settings::default()
    });
    let mut told = |interaction| json(&auditor.audit(interaction, &Host, Time(1)));
    let hop = |event: &serde_json::Value| event["unmapped"]["mcp"]["hop"].clone();
    assert!(hop(&told(inner)).is_null());
    let expected = serde_json::json!({"call": "run-4", "previous": null, "next": "run-4"});
    assert_eq!(hop(&told(call())), expected);
}

#[test]
fn a_side_nobody_saw_is_null() {
    let mut interaction = call();
    interaction.request = Some(part(3, 0, 1));
    interaction.response = None;
    interaction.request.as_mut().unwrap().writer = Some(actor(10));
    let event = json(&audit(interaction, Level::Metadata));
    assert_eq!(event["unmapped"]["mcp"]["client"]["pid"], 10);
    assert!(event["unmapped"]["mcp"]["server"].is_null());
    assert_eq!(event["dst_endpoint"]["port"], 443);
}

#[test]
fn who_alone_was_seen_at_an_end_is_named_but_is_no_witness_of_what_was_lost() {
    let notification = Interaction {
        kind: Kind::Notification,
        request: Some(part(4, 0, 351)),
        response: None,
        ..call()
    };
    let event = audit(notification, Level::Metadata);
    assert_eq!(event.client.actor, Some(actor(10)));
    assert_eq!((event.server.actor, event.witnesses), (None, vec![]));
}

#[test]
fn open_and_final_reports_share_their_uid() {
    let mut open = call();
    (open.stage, open.outcome, open.response) = (Stage::Open, Outcome::Pending, None);
    let (open, done) = (
        json(&audit(open, Level::Metadata)),
        json(&audit(call(), Level::Metadata)),
    );
    assert_eq!(open["metadata"]["uid"], done["metadata"]["uid"]);
    assert_eq!(
        (&open["status_id"], &open["status_code"]),
        (&0.into(), &"open".into())
    );
    assert_eq!(
        (&done["status_id"], &done["duration"]),
        (&1.into(), &12.into())
    );
}

#[test]
fn events_are_numbered() {
    let mut auditor = Auditor::new(Settings::default());
    let numbers: Vec<u64> = (0..3)
        .map(|_| auditor.audit(call(), &Host, Time(0)).sequence)
        .collect();
    assert_eq!(numbers, [1, 2, 3]);
}

#[test]
fn content_leaves_only_at_the_levels_that_ask_for_it() {
    let bodies = |level| {
        let event = json(&audit(call(), level));
        let mcp = &event["unmapped"]["mcp"];
        [
            mcp["request"]["body"].is_string(),
            mcp["response"]["body"].is_string(),
        ]
    };
    assert_eq!(bodies(Level::Metadata), [false, false]);
    assert_eq!(bodies(Level::Request), [true, false]);
    assert_eq!(bodies(Level::RequestResponse), [true, true]);
}

#[test]
fn messages_of_errors_are_content() {
    let mut interaction = call();
    let message = "file /home/x not found".to_owned();
    interaction.outcome = Outcome::Failure(Failure::Error {
        code: -32602,
        message,
    });
    let shown = |level| json(&audit(interaction.clone(), level))["api"]["response"].clone();
    assert_eq!(shown(Level::Request), serde_json::json!({"code": -32602}));
    assert!(shown(Level::RequestResponse)["error_message"].is_string());
}

#[test]
fn a_session_id_leaves_as_a_keyed_hash() {
    let event = json(&audit(call(), Level::RequestResponse));
    assert!(!event.to_string().contains("secret-session"));
    // HMAC-SHA256 of the id under 32 bytes of 0x01, computed with Python's hmac module.
    let expected = "3f55c9f7d267cc3d41f3a85454b9593dc84ccb650e4bb964f6387e0f1ea8287f";
    assert_eq!(event["unmapped"]["mcp"]["session_id_hash"], expected);
}

#[test]
fn a_gap_says_how_much_is_missing_and_why() {
    let mut interaction = call();
    (interaction.kind, interaction.method, interaction.target) = (Kind::Gap, None, None);
    (interaction.request, interaction.response) = (None, None);
    interaction.outcome = Outcome::Pending;
    let time = Time(1_800_000_000_000_000_000);
    let (range, cause) = (100..4196, GapCause::RingFull);
    interaction.gap = Some(Gap {
        channel: ChannelId(1),
        from: Side::A,
        range,
        discarded: 9,
        cause,
        time,
    });
    let event = audit(interaction, Level::Metadata);
    let gap = serde_json::json!({"range": [100, 4196], "bytes_lost": 4096, "discarded": 9, "cause": "ring_full"});
    assert_eq!(json(&event)["unmapped"]["mcp"]["gap"], gap);
    assert!(pretty(&event).ends_with("! ring_full"));
}

#[test]
fn a_connection_that_was_not_heard_is_told_with_the_reason_and_the_mend() {
    let mut interaction = call();
    let time = interaction.request.take().unwrap().time;
    (interaction.response, interaction.method) = (None, None);
    interaction.kind = Kind::Gap;
    interaction.outcome = Outcome::Pending;
    interaction.gap = Some(Gap {
        channel: ChannelId(1),
        from: Side::A,
        range: 0..0,
        discarded: 0,
        cause: GapCause::TlsUnheard,
        time,
    });
    interaction.unheard = Some(Arc::new(Unheard {
        channel: ChannelId(1),
        socket: None,
        begun: time,
        client_side: Side::A,
        has_handshake: true,
        client: Some(actor(10)),
        server: None,
        server_name: Some("mcp.example.com".into()),
        protocols: vec!["h2".into()],
        version: Some(0x304),
        basis: vec![Basis::Process, Basis::ServerName],
        client_obstacle: Some(Obstacle {
            reason: Reason::Nss,
            ..Obstacle::default()
        }),
        server_obstacle: None,
        moved: Moved::Unknown,
        connections: 2,
    }));
    let event = audit(interaction, Level::Metadata);
    let value = json(&event);
    assert_eq!(value["status_code"], "tls_unheard");
    let mcp = &value["unmapped"]["mcp"];
    assert_eq!(
        (&mcp["kind"], &mcp["encrypted"]),
        (&"gap".into(), &true.into())
    );
    assert_eq!(mcp["client"]["pid"], 10);
    for unknown in ["server", "session", "transport"] {
        assert!(mcp[unknown].is_null(), "{unknown}");
    }
    assert!(mcp["gap"]["bytes_lost"].is_null() && mcp["gap"]["range"].is_null());
    let tls = &mcp["tls"];
    assert_eq!(tls["client"]["reason"], "nss");
    assert_eq!(tls["client"]["mend"], Reason::Nss.mend());
    assert_eq!(tls["basis"], serde_json::json!(["process", "server_name"]));
    assert_eq!(
        (&tls["version"], &tls["connections"]),
        (&"1.3".into(), &2.into())
    );
    assert!(tls["server"].is_null() && tls["application_data"].is_null());
    assert!(
        pretty(&event).contains("gap mcp.example.com"),
        "{}",
        pretty(&event)
    );
}

#[test]
fn lines_for_people_are_aligned() {
    let line = pretty(&audit(call(), Level::Metadata));
    assert_eq!(
        line,
        "08:00:00.000   program-10:10 → program-20:20   tools/call read_file          351/48k  12ms  ✓"
    );
    let mut failed = call();
    failed.outcome = Outcome::Failure(Failure::Tool);
    failed.target = Some("a_name_that_is_longer_than_its_column\u{1b}[31m".into());
    let line = pretty(&audit(failed, Level::Metadata));
    assert!(line.ends_with("✗ tool_error"));
    assert!(!line.contains('\u{1b}') && line.chars().count() <= super::COLUMNS + 4);
}

#[test]
fn colours_come_only_when_asked_for() {
    let event = audit(call(), Level::Metadata);
    let mut coloured = String::new();
    event.write_pretty(true, &mut coloured);
    assert!(coloured.contains("\u{1b}[32m✓\u{1b}[0m"));
    assert!(!pretty(&event).contains('\u{1b}'));
}

#[test]
fn an_event_says_where_the_host_stands_by_the_time_it_is_made() {
    let mut auditor = Auditor::new(Settings::default());
    let told = |auditor: &mut Auditor| json(&auditor.audit(call(), &Host, Time(1)));
    assert!(told(&mut auditor)["unmapped"]["mcp"]["environment"].is_null());
    let mut environment = Environment {
        cloud: Some(Cloud {
            provider: "AWS".into(),
            region: Some("eu-west-1".into()),
            account: Some("123".into()),
            zone: None,
        }),
        instance: Some("i-1".into()),
        clock: HostClock {
            last_step: Some((-12_000_000, Time(1_800_000_000_000_000_000))),
            ..HostClock::default()
        },
        posture: Posture {
            binary: Integrity::Unexpected,
            ..Posture::default()
        },
        ..Environment::default()
    };
    auditor.set_environment(&environment);
    let event = told(&mut auditor);
    let due =
        serde_json::json!({"provider": "AWS", "region": "eu-west-1", "account": {"uid": "123"}});
    assert_eq!(event["cloud"], due);
    assert_eq!(event["device"]["instance_uid"], "i-1");
    assert_eq!(
        event["metadata"]["profiles"],
        serde_json::json!(["host", "cloud", "security_control"])
    );
    let shown = &event["unmapped"]["mcp"]["environment"];
    assert_eq!(shown["clock"]["last_step_ns"], -12_000_000);
    assert_eq!(shown["clock"]["last_step_time"], 1_800_000_000_000_u64);
    assert!(shown["clock"]["synchronized"].is_null() && shown["posture"]["lockdown"].is_null());
    assert_eq!(shown["posture"]["auditor"]["binary"], "unexpected");
    environment.cloud = None;
    auditor.set_environment(&environment);
    assert!(told(&mut auditor)["cloud"].is_null());
}
