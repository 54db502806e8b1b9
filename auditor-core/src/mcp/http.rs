//! Sessions over HTTP: streamable HTTP with and without session ids, and legacy HTTP+SSE.
//!
//! The requester of a connection is the client. An answer is looked for in its own exchange
//! first, then in its session (resumed streams, answers on another connection). A session is
//! named by the server's address and its session id, so the two hops of a proxy stay two
//! sessions. Without an id the connection stands for the session. Messages of an exchange that
//! may not be MCP are held until it ends. Bounds: [`EXCHANGES`] a connection, [`HELD`] messages.

use std::{collections::HashMap, sync::Arc};

use super::{
    interaction::{Failure, InteractionId, LostCause, Transport},
    message::{self, Parsed, Shape},
    method::Sender,
    session::{Asker, Key, direction},
    sessions::{Sessions, Timer},
};
use crate::{
    key::{ChannelId, Side, Time},
    wire::{ExchangeEnd, ExchangeId, Framing, Gap, HttpHead, HttpPart, Message},
};

/// Exchanges of one connection under way at once; beyond it the oldest is let go.
const EXCHANGES: usize = 1024;
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
    session: Option<u64>,
    exchanges: HashMap<ExchangeId, Exchange>,
}

/// A request and its response, while they last.
#[derive(Debug, Default)]
struct Exchange {
    session: u64,
    open: Vec<InteractionId>,
    held: Vec<Parsed>,
    /// Whether it carries the answers of a legacy HTTP+SSE session.
    stream: bool,
}

/// Where in an exchange a message was.
pub(super) struct Context<'a> {
    pub(super) exchange: ExchangeId,
    pub(super) part: &'a HttpPart,
    pub(super) request: Option<&'a Arc<HttpHead>>,
    pub(super) response: Option<&'a Arc<HttpHead>>,
}

/// Whether this is the event that tells where a legacy client is to post.
pub(super) fn is_endpoint_event(message: &Message) -> bool {
    matches!(&message.framing, Framing::Http { part: HttpPart::Event(name), .. } if name == "endpoint")
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
        let Some(exchange) = self.exchange(channel, context.exchange) else {
            return;
        };
        if !proven {
            if exchange.held.len() == HELD {
                exchange.held.remove(0);
            }
            exchange.held.push(parsed);
            return;
        }
        for held in std::mem::take(&mut exchange.held) {
            self.http_proven(session, context.exchange, held, now);
        }
        self.http_proven(session, context.exchange, parsed, now);
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
                if let Some(id) = &parsed.cancels {
                    self.cancel(
                        session,
                        &Key {
                            asker: Asker::Role(role),
                            id: id.clone(),
                        },
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
        // Neither exchange nor session is known: only if one request on the same server fits.
        let server = self.live.get(&session)?.server;
        let mut fitting = self.open.newest().take(SEARCHED).filter(|(_, open)| {
            open.asker == asker
                && open.key.as_ref().map(|key| &key.id) == id
                && self
                    .live
                    .get(&open.session)
                    .is_some_and(|live| live.server == server)
                && open.interaction.request.as_ref().is_some_and(|request| {
                    request
                        .http
                        .as_ref()
                        .is_none_or(|head| head.session_id.is_none())
                })
        });
        let found = fitting.next().filter(|_| server.is_some())?;
        fitting.next().is_none().then_some(found.0)
    }

    /// The session an exchange belongs to; begins one if it names a new one.
    fn http_session(
        &mut self,
        channel: ChannelId,
        client: Side,
        context: &Context<'_>,
        parsed: Option<&Parsed>,
        now: Time,
    ) -> Option<u64> {
        let chan = self.channels.get_mut(&channel)?;
        let server = chan.info.as_ref().and_then(|info| info.socket.as_ref());
        let server = server.map(|socket| {
            if client == Side::A {
                socket.b
            } else {
                socket.a
            }
        });
        let http = chan.http.get_or_insert_with(|| Http {
            client,
            session: None,
            exchanges: HashMap::new(),
        });
        let default = http.session;
        let known = http
            .exchanges
            .get(&context.exchange)
            .map(|exchange| exchange.session);
        let named = context.request.and_then(|head| head.session_id.as_ref());
        let given = context.response.and_then(|head| head.session_id.as_ref());
        if let Some(session) = known.filter(|session| self.live.contains_key(session)) {
            if let Some(id) = given {
                self.name_session(session, id);
            }
            return Some(session);
        }
        let initialize = parsed.is_some_and(|parsed| {
            parsed.shape == Shape::Request && parsed.method.as_deref() == Some("initialize")
        });
        let posted = context.request.filter(|head| head.method == "POST");
        let legacy = posted.and_then(|head| self.legacy_session(server, &head.target));
        let session = match (named.or(given), legacy) {
            (_, Some(session)) => session,
            (Some(id), None) => match self.by_name.get(&(server, id.clone())) {
                Some(session) => *session,
                None => {
                    let session = self.begin_http(client, server, now);
                    self.name_session(session, id);
                    session
                }
            },
            (None, None) if initialize => self.begin_http(client, server, now),
            (None, None) => match default.filter(|session| self.live.contains_key(session)) {
                Some(session) => session,
                None => self.begin_http(client, server, now),
            },
        };
        let http = self.channels.get_mut(&channel)?.http.as_mut()?;
        if named.or(given).is_none() && legacy.is_none() {
            http.session = Some(session);
        }
        if http.exchanges.len() >= EXCHANGES
            && let Some(oldest) = http.exchanges.keys().min().copied()
        {
            http.exchanges.remove(&oldest);
        }
        http.exchanges.insert(
            context.exchange,
            Exchange {
                session,
                ..Exchange::default()
            },
        );
        Some(session)
    }

    fn begin_http(&mut self, client: Side, server: Option<std::net::SocketAddr>, now: Time) -> u64 {
        let session = self.new_session(Transport::Http, now);
        if let Some(live) = self.live.get_mut(&session) {
            live.server = server;
            live.orient(client);
        }
        session
    }

    /// Gives a session the id the server chose for it.
    fn name_session(&mut self, session: u64, id: &str) {
        let Some(live) = self.live.get_mut(&session) else {
            return;
        };
        if live.info.mcp_session_id.is_none() {
            Arc::make_mut(&mut live.info).mcp_session_id = Some(id.to_owned());
            self.by_name.insert((live.server, id.to_owned()), session);
        }
    }

    /// Takes the `endpoint` event of legacy HTTP+SSE: posts to that URL belong to this stream.
    pub(super) fn http_endpoint(&mut self, event: &Message) {
        let Framing::Http {
            exchange,
            part,
            request,
            response,
        } = &event.framing
        else {
            return;
        };
        let context = Context {
            exchange: *exchange,
            part,
            request: request.as_ref(),
            response: response.as_ref(),
        };
        let (channel, client) = (event.channel, event.from.other());
        let url = String::from_utf8_lossy(&event.body);
        // A stream of its own session, whatever else the connection carried.
        let server = self.server_of(channel, client);
        let session = self.begin_http(client, server, event.time);
        self.http_session(channel, client, &context, None, event.time);
        if let Some(exchange) = self.exchange(channel, *exchange) {
            exchange.session = session;
            exchange.stream = true;
        }
        let Some(live) = self.live.get_mut(&session) else {
            return;
        };
        live.proven = true;
        Arc::make_mut(&mut live.info).transport = Transport::Sse;
        self.name_session(session, endpoint_name(url.trim()));
    }

    /// The legacy session whose endpoint this target is. Any query key may carry its id.
    fn legacy_session(&self, server: Option<std::net::SocketAddr>, target: &str) -> Option<u64> {
        let names = std::iter::once(without_origin(target)).chain(query_values(target));
        names
            .filter_map(|name| self.by_name.get(&(server, name.to_owned())))
            .find(|session| {
                self.info(**session)
                    .is_some_and(|info| info.transport == Transport::Sse)
            })
            .copied()
    }

    fn server_of(&self, channel: ChannelId, client: Side) -> Option<std::net::SocketAddr> {
        let socket = self
            .channels
            .get(&channel)?
            .info
            .as_ref()?
            .socket
            .as_ref()?;
        Some(if client == Side::A {
            socket.b
        } else {
            socket.a
        })
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

    fn exchange(&mut self, channel: ChannelId, exchange: ExchangeId) -> Option<&mut Exchange> {
        self.http_mut(channel)?.exchanges.get_mut(&exchange)
    }
}

/// The path of a request target.
fn path(target: &str) -> &str {
    let target = without_origin(target);
    target.split_once('?').map_or(target, |(path, _)| path)
}

/// A URL without scheme and authority.
fn without_origin(url: &str) -> &str {
    match url.split_once("://") {
        Some((_, rest)) => rest.find('/').and_then(|at| rest.get(at..)).unwrap_or("/"),
        None => url,
    }
}

fn query_values(target: &str) -> impl Iterator<Item = &str> {
    let query = target.split_once('?').map_or("", |(_, query)| query);
    query
        .split('&')
        .filter_map(|pair| Some(pair.split_once('=')?.1))
        .filter(|value| value.len() >= 8)
}

/// What names a legacy session: the longest query value of its endpoint, else the whole of it.
fn endpoint_name(url: &str) -> &str {
    query_values(url)
        .max_by_key(|value| value.len())
        .unwrap_or_else(|| without_origin(url))
}
