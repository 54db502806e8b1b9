//! Sessions over HTTP: streamable HTTP with and without session ids, and legacy HTTP+SSE.
//!
//! The requester of a connection is the client. An answer is looked for in its own exchange
//! first, then in its session (resumed streams, answers on another connection); which session
//! that is, [`super::http_session`] knows. Messages of an exchange that may not be MCP are held
//! until it ends. Bounds: [`EXCHANGES`] a connection, [`HELD`] messages an exchange.

use std::{collections::HashMap, sync::Arc};

use super::{
    budget::Share,
    http_session::path,
    interaction::{Failure, InteractionId, LostCause, Transport},
    message::{self, Parsed, Shape},
    method::Sender,
    open::Open,
    session::{Asker, Key, direction},
    sessions::{Sessions, Timer},
};
use crate::{
    key::{ChannelId, Side, Time},
    wire::{ExchangeEnd, ExchangeId, Framing, Gap, HttpHead, HttpPart, Message},
};

/// Exchanges of one connection under way at once; beyond it the oldest is let go.
pub(super) const EXCHANGES: usize = 1024;
/// Messages held in an exchange that may not be MCP; beyond it the oldest goes.
const HELD: usize = 16;
/// Open interactions looked through for an answer that names no session.
const SEARCHED: usize = 1024;

/// A connection that carries HTTP.
#[derive(Debug)]
pub(super) struct Http {
    /// The side that sends requests.
    pub(super) client: Side,
    /// The session of exchanges that name none.
    pub(super) session: Option<u64>,
    pub(super) exchanges: HashMap<ExchangeId, Exchange>,
}

/// A request and its response, while they last.
#[derive(Debug, Default)]
pub(super) struct Exchange {
    pub(super) session: u64,
    open: Vec<InteractionId>,
    held: Vec<(Parsed, Share)>,
    /// Whether it is known to be MCP.
    proven: bool,
    /// Whether it carries the answers of a legacy HTTP+SSE session.
    pub(super) stream: bool,
}

/// Where in an exchange a message was.
pub(super) struct Context<'a> {
    pub(super) exchange: ExchangeId,
    pub(super) part: &'a HttpPart,
    pub(super) request: Option<&'a Arc<HttpHead>>,
    pub(super) response: Option<&'a Arc<HttpHead>>,
}

/// Whether the process that wrote an answer is the one that read the request.
fn is_answered_by_its_reader(open: &Open, answer: &Parsed) -> bool {
    let reader = open
        .interaction
        .request
        .as_ref()
        .and_then(|part| part.reader);
    match (reader, answer.part.writer) {
        (Some(reader), Some(writer)) => reader.process == writer.process,
        _ => false,
    }
}

/// Whether this is the event that tells where a legacy client is to post.
pub(super) fn is_endpoint_event(message: &Message) -> bool {
    matches!(&message.framing, Framing::Http { part: HttpPart::Event(name), .. } if name == "endpoint")
}

impl Exchange {
    pub(super) fn of(session: u64) -> Self {
        Self {
            session,
            ..Self::default()
        }
    }
}

impl Sessions {
    pub(super) fn http_message(&mut self, parsed: Parsed, context: &Context<'_>, now: Time) {
        let channel = parsed.part.channel;
        let asked = *context.part == HttpPart::Request;
        let client = if asked {
            parsed.part.from
        } else {
            parsed.part.from.other()
        };
        let Some(session) = self.http_session(channel, client, context, Some(&parsed), now) else {
            return;
        };
        let Some(live) = self.live.get_mut(&session) else {
            return;
        };
        live.last = now;
        let path = context.request.map(|head| path(&head.target));
        let headed =
            message::is_mcp_head(context.request) || message::is_mcp_head(context.response);
        let named = live.info.mcp_session_id.is_some();
        let mut proven = parsed.strong || headed;
        if proven && !live.proven {
            live.proven = true;
            live.path = path.map(str::to_owned);
        } else if live.proven && (named || path.is_none() || path == live.path.as_deref()) {
            proven = true;
        }
        let known = self.exchange(channel, context.exchange);
        if !(proven || known.is_some_and(|exchange| exchange.proven)) {
            self.http_hold(session, context.exchange, parsed);
            return;
        }
        let Some(exchange) = self.exchange(channel, context.exchange) else {
            return;
        };
        exchange.proven = true;
        let held = std::mem::take(&mut exchange.held);
        if let Some(live) = self.live.get_mut(&session) {
            let is_here = |gap: &mut Gap| gap.channel == channel;
            let dropped: Vec<Gap> = live.dropped.extract_if(.., is_here).collect();
            for gap in dropped {
                self.report_gap(session, gap);
            }
        }
        for (held, _) in held {
            self.http_proven(session, context.exchange, held, now);
        }
        self.http_proven(session, context.exchange, parsed, now);
    }

    /// Keeps a message until its exchange turns out to be MCP. At the bound the oldest goes, and becomes a gap then.
    fn http_hold(&mut self, session: u64, exchange: ExchangeId, parsed: Parsed) {
        let channel = parsed.part.channel;
        let (parsed, share) = self.share(parsed);
        let known = self.exchange(channel, exchange);
        let gone = match (known, share) {
            (Some(exchange), Some(share)) => {
                exchange.held.push((parsed, share));
                (exchange.held.len() > HELD).then(|| exchange.held.remove(0).0)
            }
            _ => Some(parsed),
        };
        if let (Some(gone), Some(live)) = (gone, self.live.get_mut(&session)) {
            live.drop_early(&gone.part);
        }
    }

    fn http_proven(&mut self, session: u64, exchange: ExchangeId, parsed: Parsed, now: Time) {
        let channel = parsed.part.channel;
        let Some(client) = self.http(channel).map(|http| http.client) else {
            return;
        };
        let role = if parsed.part.from == client {
            Sender::Client
        } else {
            Sender::Server
        };
        match parsed.shape {
            Shape::Request => {
                let begun = self.request(session, Asker::Role(role), direction(role), parsed);
                if let (Some(id), Some(exchange)) = (begun, self.exchange(channel, exchange)) {
                    exchange.open.push(id);
                }
            }
            Shape::Notification => {
                if let Some((id, cause)) = &parsed.cancels {
                    self.cancel(
                        session,
                        &Key {
                            asker: Asker::Role(role),
                            id: id.clone(),
                        },
                        *cause,
                        now,
                    );
                }
                let Some(live) = self.live.get_mut(&session) else {
                    return;
                };
                if let Some(claims) = parsed.claims.as_deref() {
                    live.learn(claims);
                }
                self.open.notify(&live.info, direction(role), parsed);
            }
            Shape::Response => {
                let asker = match role {
                    Sender::Client => Asker::Role(Sender::Server),
                    _ => Asker::Role(Sender::Client),
                };
                match self.http_asked(session, exchange, asker, &parsed) {
                    Some(id) => self.finish(id, parsed),
                    None => self.wait(session, parsed, now),
                }
            }
        }
    }

    /// The open request that an answer belongs to.
    fn http_asked(
        &mut self,
        session: u64,
        exchange: ExchangeId,
        asker: Asker,
        answer: &Parsed,
    ) -> Option<InteractionId> {
        let channel = answer.part.channel;
        let id = answer.id.as_ref().map(|id| &id.key);
        let own = self
            .exchange(channel, exchange)
            .map(|exchange| exchange.open.clone());
        let own: Vec<InteractionId> = own
            .into_iter()
            .flatten()
            .filter(|id| self.open.get(*id).is_some_and(|open| open.asker == asker))
            .collect();
        let names = |request: &InteractionId| {
            let key = self.open.get(*request).and_then(|open| open.key.as_ref());
            key.map(|key| &key.id) == id
        };
        if let Some(found) = own.iter().find(|request| names(request)) {
            return Some(*found);
        }
        // The only request of an exchange is what an error that names none is about, and what the
        // answer to a request whose id lies beyond the cut answers.
        if let [only] = own.as_slice() {
            let refused = answer
                .part
                .http
                .as_ref()
                .is_some_and(|head| head.status >= 400);
            let nameless = self.open.get(*only).is_some_and(|open| open.key.is_none());
            if answer.is_anonymous_error() || nameless || id.is_none() || refused {
                return Some(*only);
            }
        }
        if let Some(found) = self.open_request(session, asker, answer) {
            return Some(found);
        }
        self.http_elsewhere(session, asker, answer)
    }

    /// The open request of another session that an answer fits, if only one does: one that names
    /// no session on the same server (a legacy stream joined late), or the same session under
    /// another address of its server, which shows in that who read the request writes the answer.
    /// A proxy has sessions of one name on both sides, but does not write what it reads itself.
    fn http_elsewhere(&self, session: u64, asker: Asker, answer: &Parsed) -> Option<InteractionId> {
        let live = self.live.get(&session)?;
        let (server, name) = (live.server?, live.info.mcp_session_id.as_ref());
        let id = &answer.id.as_ref()?.key;
        let mut fitting = self.open.newest().take(SEARCHED).filter(|(_, open)| {
            let Some(other) = self.live.get(&open.session) else {
                return false;
            };
            let other_name = other.info.mcp_session_id.as_ref();
            let fits = match (name, other_name) {
                (Some(name), Some(other)) => {
                    name == other && is_answered_by_its_reader(open, answer)
                }
                _ => other.server == Some(server) && (name.is_none() || other_name.is_none()),
            };
            fits && open.asker == asker && open.key.as_ref().is_some_and(|key| key.id == *id)
        });
        let (found, _) = fitting.next()?;
        fitting.next().is_none().then_some(found)
    }

    pub(super) fn http_exchange_end(&mut self, end: &ExchangeEnd) {
        let ended = self
            .http_mut(end.channel)
            .and_then(|http| http.exchanges.remove(&end.exchange));
        let status = end.response.as_ref().map_or(0, |head| head.status);
        if let (Some(request), true) = (&end.request, (200..300).contains(&status))
            && request.method == "DELETE"
            && let Some(id) = &request.session_id
        {
            let server = self.server_of(end.channel, end.client);
            if let Some(session) = self.by_name.get(&(server, id.clone())).copied() {
                self.end_session(session, LostCause::Closed);
            }
            return;
        }
        let Some(exchange) = ended else { return };
        let cause = if end.complete {
            LostCause::NoResponse
        } else {
            LostCause::Closed
        };
        if exchange.stream {
            self.end_session(exchange.session, LostCause::Closed);
            return;
        }
        // An answer may still come on another exchange of the session.
        let streamed = end
            .response
            .as_ref()
            .is_some_and(|head| head.content_type.as_deref() == Some("text/event-stream"));
        let info = self.info(exchange.session);
        let sse = info.is_some_and(|info| info.transport == Transport::Sse);
        let named = info.is_some_and(|info| info.mcp_session_id.is_some());
        for id in exchange.open {
            let Some(open) = self.open.get_mut(id) else {
                continue;
            };
            open.expires = cause;
            open.interaction.answer_head = end.response.clone();
            let by_server = open.asker == Asker::Role(Sender::Server);
            if status >= 400 && !by_server {
                self.fail(id, Failure::Http(status));
            } else if !sse {
                let elsewhere = status == 202 || by_server || (streamed && named);
                if elsewhere {
                    let due = end.time.after(self.limits.resume);
                    self.timers.insert((due, Timer::Expire(id)));
                } else {
                    self.fail(id, Failure::Lost(cause));
                }
            }
        }
    }

    /// A connection ended a while ago: so did its exchanges.
    pub(super) fn http_ended(&mut self, channel: ChannelId, cause: LostCause) {
        self.forget_channel(channel, cause);
    }

    /// Ends what a connection carried.
    pub(super) fn forget_http(&mut self, http: Http, cause: LostCause) {
        for exchange in http.exchanges.into_values() {
            if exchange.stream {
                self.end_session(exchange.session, cause);
            }
            for id in exchange.open {
                self.fail(id, Failure::Lost(cause));
            }
        }
        let nameless = http.session.filter(|session| {
            self.info(*session)
                .is_some_and(|info| info.mcp_session_id.is_none())
        });
        if let Some(session) = nameless {
            self.end_session(session, cause);
        }
    }

    pub(super) fn http_gap(&mut self, gap: Gap) {
        let Some(http) = self.http(gap.channel) else {
            return;
        };
        let client = http.client;
        let mut sessions: Vec<u64> = http
            .exchanges
            .values()
            .map(|exchange| exchange.session)
            .collect();
        sessions.extend(http.session);
        let answering = if gap.from == client {
            Sender::Server
        } else {
            Sender::Client
        };
        let open: Vec<InteractionId> = http
            .exchanges
            .values()
            .flat_map(|exchange| exchange.open.iter().copied())
            .collect();
        for id in open {
            if let Some(open) = self.open.get_mut(id)
                && open.asker == Asker::Role(answering)
            {
                open.gap = true;
            }
        }
        sessions.sort_unstable();
        let proven = |session: &u64| self.live.get(session).is_some_and(|live| live.proven);
        if let Some(session) = sessions.into_iter().find(proven) {
            self.report_gap(session, gap);
        }
    }

    fn http(&self, channel: ChannelId) -> Option<&Http> {
        self.channels.get(&channel)?.http.as_ref()
    }

    fn http_mut(&mut self, channel: ChannelId) -> Option<&mut Http> {
        self.channels.get_mut(&channel)?.http.as_mut()
    }

    pub(super) fn exchange(
        &mut self,
        channel: ChannelId,
        exchange: ExchangeId,
    ) -> Option<&mut Exchange> {
        self.http_mut(channel)?.exchanges.get_mut(&exchange)
    }
}
