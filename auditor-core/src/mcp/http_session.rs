//! Which session an HTTP exchange belongs to.
//!
//! By `Mcp-Session-Id`; by the URL that the `endpoint` event of legacy HTTP+SSE named; else the
//! connection stands for the session, and each `initialize` begins a new one.

use std::{collections::HashMap, sync::Arc};

use super::{
    http::{Context, EXCHANGES, Exchange, Http},
    interaction::Transport,
    message::{Parsed, Shape},
    session::Server,
    sessions::Sessions,
};
use crate::{
    key::{ChannelId, Side, Time},
    stream::Socket,
    wire::{Framing, Message},
};

impl Sessions {
    /// The session an exchange belongs to; begins one if it names a new one.
    pub(super) fn http_session(
        &mut self,
        channel: ChannelId,
        client: Side,
        context: &Context<'_>,
        parsed: Option<&Parsed>,
        now: Time,
    ) -> Option<u64> {
        let chan = self.channels.get_mut(&channel)?;
        let server = chan.info.as_ref().and_then(|info| info.socket.as_ref());
        let server = server.map(|socket| server_end(socket, client));
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
        http.exchanges
            .insert(context.exchange, Exchange::of(session));
        Some(session)
    }

    fn begin_http(&mut self, client: Side, server: Option<Server>, now: Time) -> u64 {
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
    fn legacy_session(&self, server: Option<Server>, target: &str) -> Option<u64> {
        let names = std::iter::once(without_origin(target)).chain(query_values(target));
        names
            .filter_map(|name| self.by_name.get(&(server, name.to_owned())))
            .find(|session| {
                self.info(**session)
                    .is_some_and(|info| info.transport == Transport::Sse)
            })
            .copied()
    }

    pub(super) fn server_of(&self, channel: ChannelId, client: Side) -> Option<Server> {
        let socket = self
            .channels
            .get(&channel)?
            .info
            .as_ref()?
            .socket
            .as_ref()?;
        Some(server_end(socket, client))
    }
}

/// The end of a connection at which the server is.
fn server_end(socket: &Socket, client: Side) -> Server {
    let address = if client == Side::A {
        socket.b
    } else {
        socket.a
    };
    (address, socket.netns)
}

/// The path of a request target.
pub(super) fn path(target: &str) -> &str {
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
