//! Entry points for fuzzing; the bodies run as unit tests, too. Not part of the public interface.

use std::{ops::Range, sync::Arc};

use bytes::Bytes;

use super::{Interaction, Limits, Sessions, Stage, message};
use crate::{
    audit::{Process, Seen, World},
    key::{Actor, ChannelId, ProcessKey, Side, Time},
    stream::{Channel, ChannelKind, EndCause, GapCause},
    wire::{ExchangeEnd, ExchangeId, Framing, Gap, HttpHead, HttpPart, Item, Message},
};

/// Reads arbitrary bytes as a message and as a batch, whole and truncated.
pub fn fuzz_json_rpc(data: &[u8]) {
    let mut message = line(ChannelId(1), Side::A, Time(1), data);
    for size in [data.len(), data.len() + 1] {
        message.size = size as u64;
        if let Some(parsed) = message::single(&message, true) {
            assert!(parsed.part.keys.len() <= 64);
            assert!(parsed.method.is_none_or(|method| method.len() <= 256));
            assert!(parsed.target.is_none_or(|target| target.len() <= 2048));
        }
        let (parsed, _) = message::batch(&message, true, 8);
        assert!(parsed.len() <= 8);
    }
}

/// Plays arbitrary bytes as what happens on a few channels, and checks that nothing is left open.
///
/// Each step is one byte for what happens, one for where, and one for which message.
pub fn fuzz_session(data: &[u8]) {
    let limits = Limits {
        sessions: 3,
        channels: 4,
        open_per_session: 4,
        open: 6,
        waiting: 4,
        batch: 2,
        ..Limits::default()
    };
    let mut sessions = Sessions::new(limits, false);
    let (mut now, mut begun, mut ended) = (Time(1 << 40), 0_usize, 0_usize);
    let mut position = 0;
    for step in data.chunks_exact(3) {
        let &[what, place, which] = step else {
            continue;
        };
        let channel = ChannelId(u64::from(place & 7));
        let from = if place & 8 == 0 { Side::A } else { Side::B };
        now = now.after(u64::from(which) << 17);
        position += 1000;
        match what & 15 {
            0..=4 => {
                let text = text(which);
                // A terminal may take a call for an echo.
                begun += usize::from(channel != TERMINAL && text.contains("tools/call"));
                let mut message = line(channel, from, now, text.as_bytes());
                message.range = position..position + text.len() as u64;
                if place & 16 != 0 {
                    message.framing = http(place, which);
                }
                sessions.handle_item(Item::Message(message), &Strangers);
            }
            5 => sessions.handle_item(
                Item::ExchangeEnd(exchange_end(channel, place, which, now)),
                &Strangers,
            ),
            6 => {
                let cause = if which & 1 == 0 {
                    EndCause::Closed
                } else {
                    EndCause::Reset
                };
                sessions.handle_item(
                    Item::End {
                        channel,
                        from,
                        cause,
                        time: now,
                    },
                    &Strangers,
                );
            }
            7 => {
                let cause = GapCause::RingFull;
                let range = position..position + 10;
                let gap = Gap {
                    channel,
                    from,
                    range,
                    discarded: 1,
                    cause,
                    time: now,
                };
                sessions.handle_item(Item::Gap(gap), &Strangers);
            }
            8 => sessions.handle_exit(process(u64::from(which & 7)), now),
            _ => {
                now = now.after(u64::from(which) << 22);
                sessions.handle_timeout(now, &Strangers);
            }
        }
        while let Some(interaction) = sessions.poll_interaction() {
            ended += usize::from(is_ended_call(&interaction));
        }
        assert!(sessions.sessions() <= 3 && sessions.open_interactions() <= 6);
    }
    sessions.handle_shutdown(now);
    while let Some(interaction) = sessions.poll_interaction() {
        ended += usize::from(is_ended_call(&interaction));
    }
    assert_eq!(ended, begun, "each call ends once");
    assert_eq!((sessions.sessions(), sessions.open_interactions()), (0, 0));
    assert_eq!(sessions.poll_timeout(), None);
}

/// The channel that is a terminal.
const TERMINAL: ChannelId = ChannelId(4);

fn is_ended_call(interaction: &Interaction) -> bool {
    let on = interaction.request.as_ref().map(|part| part.channel);
    let is_call = interaction.method.as_deref() == Some("tools/call");
    is_call && on != Some(TERMINAL) && interaction.stage == Stage::Final
}

fn line(channel: ChannelId, from: Side, time: Time, text: &[u8]) -> Message {
    Message {
        channel,
        from,
        range: 0..text.len() as u64,
        first: time,
        time,
        body: Bytes::copy_from_slice(text),
        size: text.len() as u64,
        sha256: [0; 32],
        framing: Framing::Line,
    }
}

fn text(which: u8) -> String {
    let id = which & 3;
    match which >> 2 & 15 {
        0..=3 => format!(
            r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{"name":"t"}}}}"#
        ),
        4..=7 => format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{}}}}"#),
        8 => format!(
            r#"{{"jsonrpc":"2.0","id":{id},"method":"initialize","params":{{"protocolVersion":"2025-11-25"}}}}"#
        ),
        9 => format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"roots/list"}}"#),
        10 => format!(
            r#"{{"jsonrpc":"2.0","method":"notifications/cancelled","params":{{"requestId":{id}}}}}"#
        ),
        11 => format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"ping"}}"#),
        12 => r#"{"jsonrpc":"2.0","method":"notifications/progress"}"#.into(),
        13 => format!(
            r#"[{{"jsonrpc":"2.0","id":{id},"result":{{}}}},{{"jsonrpc":"2.0","id":9,"method":"tools/list"}},{{"jsonrpc":"2.0","id":8,"method":"tools/list"}}]"#
        ),
        14 => "/messages?session_id=0123456789".into(),
        _ => format!(r#"{{"jsonrpc":"2.0","id":{id},"error":{{"code":-1}}}}"#),
    }
}

fn heads(place: u8, which: u8) -> (Arc<HttpHead>, Arc<HttpHead>) {
    let session_id = (place & 32 != 0).then(|| format!("s{}", which >> 6));
    let request = HttpHead {
        method: if which & 64 == 0 { "POST" } else { "DELETE" }.into(),
        target: if place & 64 == 0 {
            "/mcp"
        } else {
            "/messages?session_id=0123456789"
        }
        .into(),
        session_id: session_id.clone(),
        ..HttpHead::default()
    };
    let status = if which & 32 == 0 {
        200
    } else {
        202 + u16::from(which)
    };
    let content_type = (which & 16 == 0).then(|| "text/event-stream".to_owned());
    (
        Arc::new(request),
        Arc::new(HttpHead {
            status,
            content_type,
            session_id,
            ..HttpHead::default()
        }),
    )
}

fn http(place: u8, which: u8) -> Framing {
    let (request, response) = heads(place, which);
    let part = match (place & 8, which >> 2 & 15) {
        (0, _) => HttpPart::Request,
        (_, 14) => HttpPart::Event("endpoint".into()),
        (_, at) if at & 1 == 0 => HttpPart::Response,
        _ => HttpPart::Event("message".into()),
    };
    let response = (part != HttpPart::Request).then_some(response);
    let exchange = ExchangeId(u64::from(which >> 6));
    Framing::Http {
        exchange,
        part,
        request: (place & 128 == 0).then_some(request),
        response,
    }
}

fn exchange_end(channel: ChannelId, place: u8, which: u8, time: Time) -> ExchangeEnd {
    let (request, response) = heads(place, which);
    ExchangeEnd {
        channel,
        client: Side::A,
        exchange: ExchangeId(u64::from(which >> 6)),
        request: Some(request),
        response: (which & 8 == 0).then_some(response),
        response_bytes: 0,
        complete: which & 4 == 0,
        time,
    }
}

fn process(number: u64) -> ProcessKey {
    ProcessKey {
        pid: number as u32,
        start: number,
    }
}

/// A world in which channel numbers tell what a channel is and who is at its ends.
struct Strangers;

impl World for Strangers {
    fn process(&self, _key: ProcessKey) -> Option<Arc<Process>> {
        None
    }

    fn channel(&self, id: ChannelId) -> Option<Arc<Channel>> {
        let kind = match id.0 {
            0..=3 => ChannelKind::Pipe,
            4 => ChannelKind::Pty,
            5 => ChannelKind::Unix,
            6 => ChannelKind::Tcp,
            7 => ChannelKind::NamedUnix,
            _ => return None,
        };
        Some(Arc::new(Channel {
            id,
            kind,
            inode: None,
            peer_inode: None,
            socket: None,
            tls: None,
        }))
    }

    fn seen(&self, channel: ChannelId, _from: Side, range: &Range<u64>) -> Seen {
        // Pipes 0 and 1, 2 and 3 are pairs; an end is not always known.
        let (client, server) = (channel.0 / 2, channel.0 / 2 + 4);
        let (writer, reader) = if channel.0.is_multiple_of(2) {
            (client, server)
        } else {
            (server, client)
        };
        let actor = |number| Actor {
            process: process(number),
            tid: number as u32,
        };
        Seen {
            writer: Some(actor(writer)),
            reader: (!range.start.is_multiple_of(3000)).then(|| actor(reader)),
            local: true,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn no_bytes_break_the_reader(data in prop::collection::vec(any::<u8>(), 0..200)) {
            fuzz_json_rpc(&data);
        }

        #[test]
        fn no_change_of_a_message_breaks_the_reader(which in any::<u8>(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
            let mut data = text(which).into_bytes();
            let at = at.index(data.len());
            data[at] = byte;
            fuzz_json_rpc(&data);
            fuzz_json_rpc(&data[..at]);
        }

        #[test]
        fn no_course_of_events_leaves_anything_open(data in prop::collection::vec(any::<u8>(), 0..600)) {
            fuzz_session(&data);
        }
    }
}
