//! Syslog: RFC 5424 messages over TLS (RFC 5425) or TCP, each with its length before it (RFC 6587, section 3.4.1).
//!
//! A syslog receiver acknowledges nothing. So messages count as delivered once the receiver's kernel has all of them and the
//! connection has lasted for [`SETTLED`] since: when it breaks before, they are sent again.

use std::{
    collections::VecDeque,
    io::Write as _,
    os::fd::{AsRawFd as _, RawFd},
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use futures_util::FutureExt as _;
use rustls::pki_types::ServerName;
use serde::Deserialize;
use socket2::{SockRef, TcpKeepalive};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;

use super::{Failure, Sink, Taken, cef};
use crate::{Origin, event::Event, http::chain, tls::Tls};

/// How long a connection lasts after messages until they count as delivered.
const SETTLED: Duration = Duration::from_secs(3);
/// How long a receiver may leave bytes unacknowledged before its connection counts as broken.
const SILENCE: Duration = Duration::from_secs(20);
/// How long the receiver is waited for when the connection is closed.
const GOODBYE: Duration = Duration::from_secs(2);
/// RFC 5424, table 1: log audit.
const AUDIT: u8 = 13;
/// The largest `sequenceId` (RFC 5424, section 7.3.1).
const SEQUENCE: u32 = 2_147_483_647;

/// `[sinks.syslog]`.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
#[serde(deny_unknown_fields)]
pub(crate) struct Syslog {
    /// Host and port.
    pub(crate) address: String,
    #[serde(default)]
    pub(crate) transport: Transport,
    #[serde(default)]
    pub(crate) format: Format,
    /// RFC 5424, table 1.
    #[serde(default = "facility")]
    pub(crate) facility: u8,
    /// The name that the receiver's certificate must have, where it is not the host's.
    pub(crate) server_name: Option<String>,
}

fn facility() -> u8 {
    AUDIT
}

#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Transport {
    #[default]
    Tls,
    Tcp,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Format {
    /// The event as it is.
    #[default]
    Ocsf,
    Cef,
}

impl Syslog {
    pub(crate) fn check(&self) -> Result<(), String> {
        if self.facility > 23 {
            return Err(format!("facility {} is none: 0 to 23 are", self.facility));
        }
        let port = self.address.rsplit_once(':');
        match port.map(|(host, port)| (host.is_empty(), port.parse::<u16>())) {
            Some((false, Ok(1..))) => Ok(()),
            _ => Err(format!(
                "the address `{}` must be a host and a port, such as siem.example:6514",
                self.address
            )),
        }
    }

    /// The host without the port.
    fn host(&self) -> &str {
        let host = self.address.rsplit_once(':').map_or("", |(host, _)| host);
        host.trim_start_matches('[').trim_end_matches(']')
    }
}

trait Stream: AsyncRead + AsyncWrite + Unpin {}
impl<S: AsyncRead + AsyncWrite + Unpin> Stream for S {}

struct Connection {
    stream: Box<dyn Stream>,
    /// The socket's, which is open as long as the stream.
    fd: RawFd,
}

/// Sends messages over one connection.
pub(crate) struct Sender {
    settings: Syslog,
    tls: Tls,
    origin: Arc<Origin>,
    connection: Option<Connection>,
    /// What was written: the index behind the last event, and when.
    held: VecDeque<(u64, Instant)>,
    durable: Option<u64>,
    sequence: u32,
}

impl Sender {
    pub(crate) fn new(settings: &Syslog, tls: &Tls, origin: Arc<Origin>) -> Self {
        Self {
            settings: settings.clone(),
            tls: tls.clone(),
            origin,
            connection: None,
            held: VecDeque::new(),
            durable: None,
            sequence: 0,
        }
    }

    async fn connect(&self) -> Result<Connection, String> {
        let address = &self.settings.address;
        let failed = |error: std::io::Error| format!("cannot connect to {address}: {error}");
        let tcp = TcpStream::connect(address).await.map_err(failed)?;
        let _ = tcp.set_nodelay(true);
        let socket = SockRef::from(&tcp);
        let keepalive = TcpKeepalive::new()
            .with_time(SILENCE)
            .with_interval(SILENCE / 4);
        // Without these a receiver that vanished is noticed later.
        let _ = socket.set_tcp_user_timeout(Some(SILENCE));
        let _ = socket.set_tcp_keepalive(&keepalive);
        let fd = tcp.as_raw_fd();
        let stream: Box<dyn Stream> = match self.settings.transport {
            Transport::Tcp => Box::new(tcp),
            Transport::Tls => {
                let name = self.settings.server_name.as_deref();
                let name = name.unwrap_or(self.settings.host()).to_owned();
                let name = ServerName::try_from(name.clone())
                    .map_err(|_| format!("`{name}` can be no name of a certificate"))?;
                let connector = TlsConnector::from(Arc::new(self.tls.client()?));
                let stream = connector
                    .connect(name, tcp)
                    .await
                    .map_err(|error| format!("no TLS with {address}: {}", chain(&error)))?;
                Box::new(stream)
            }
        };
        Ok(Connection { stream, fd })
    }

    /// Adds one message with its length before it.
    fn frame(&mut self, event: &Event, out: &mut Vec<u8>) {
        self.sequence = self.sequence % SEQUENCE + 1;
        let message = message(&self.settings, &self.origin, event, self.sequence);
        // Writing to memory cannot fail.
        let _ = write!(out, "{} ", message.len());
        out.extend_from_slice(&message);
    }

    /// Notes what the receiver has for sure by now.
    fn settle(&mut self, now: Instant) {
        let Some(connection) = &self.connection else {
            return;
        };
        while let Some((end, at)) = self.held.front().copied() {
            // What is in the queue may be of this message.
            let is_settled =
                now.saturating_duration_since(at) >= SETTLED && is_drained(connection.fd);
            if !is_settled {
                break;
            }
            self.durable = Some(end);
            self.held.pop_front();
        }
    }
}

impl Connection {
    /// Whether the receiver closed the connection. Nothing that it says is of interest.
    fn is_closed(&mut self) -> bool {
        let mut buffer = [0; 256];
        loop {
            match self.stream.read(&mut buffer).now_or_never() {
                None => return false,
                Some(Ok(0) | Err(_)) => return true,
                Some(Ok(_)) => {}
            }
        }
    }
}

impl Sink for Sender {
    async fn deliver(&mut self, events: &[Event]) -> Result<Taken, Failure> {
        if self.connection.as_mut().is_some_and(Connection::is_closed) {
            return Err(Failure::again("the receiver closed the connection"));
        }
        if self.connection.is_none() {
            self.connection = Some(self.connect().await.map_err(Failure::again)?);
        }
        let mut out = Vec::new();
        for event in events {
            self.frame(event, &mut out);
        }
        let Some(connection) = &mut self.connection else {
            return Err(Failure::again("there is no connection"));
        };
        let lost = |error| Failure::again(format!("the connection broke: {error}"));
        connection.stream.write_all(&out).await.map_err(lost)?;
        connection.stream.flush().await.map_err(lost)?;
        let now = Instant::now();
        if let Some(last) = events.iter().rev().find_map(|event| event.index) {
            self.held.push_back((last + 1, now));
        }
        Ok(Taken::Held)
    }

    fn durable(&mut self, now: Instant) -> Option<u64> {
        self.settle(now);
        self.durable
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.held.front().map(|(_, at)| *at + SETTLED)
    }

    async fn handle_timeout(&mut self) -> Result<(), Failure> {
        if self.connection.as_mut().is_some_and(Connection::is_closed) {
            return Err(Failure::again("the receiver closed the connection"));
        }
        let now = Instant::now();
        self.settle(now);
        // It is looked at again: the receiver's kernel has not taken all.
        for (_, at) in &mut self.held {
            *at = (*at).max(now.checked_sub(SETTLED - SETTLED / 16).unwrap_or(*at));
        }
        Ok(())
    }

    /// Closes the connection, and waits until the receiver closes it, too: then it has read all.
    async fn finish(&mut self) -> Result<(), Failure> {
        let Some(mut connection) = self.connection.take() else {
            return Ok(());
        };
        let lost = |error| Failure::again(format!("the connection broke: {error}"));
        connection.stream.shutdown().await.map_err(lost)?;
        let mut buffer = [0; 256];
        let closed = async {
            while connection
                .stream
                .read(&mut buffer)
                .await
                .is_ok_and(|read| read > 0)
            {}
        };
        if tokio::time::timeout(GOODBYE, closed).await.is_ok() || is_drained(connection.fd) {
            self.durable = self.held.back().map(|(end, _)| *end).or(self.durable);
            self.held.clear();
        }
        Ok(())
    }

    fn reset(&mut self) {
        self.connection = None;
        self.held.clear();
        self.durable = None;
    }
}

/// Whether the receiver's kernel acknowledged all that was written to a socket.
fn is_drained(fd: RawFd) -> bool {
    nix::ioctl_read_bad!(queued, nix::libc::TIOCOUTQ, nix::libc::c_int);
    let mut bytes = 0;
    // SAFETY: the request writes one integer, and the descriptor is that of a socket that is open.
    unsafe { queued(fd, &raw mut bytes) }.is_ok() && bytes == 0
}

/// A message (RFC 5424, section 6).
fn message(settings: &Syslog, origin: &Origin, event: &Event, sequence: u32) -> Vec<u8> {
    let priority = u32::from(settings.facility) * 8 + severity(event.head.severity);
    let time = SystemTime::UNIX_EPOCH + Duration::from_millis(event.head.time_ms);
    let time = humantime::format_rfc3339_millis(time);
    let hostname = printable(&origin.hostname, 255);
    let process = std::process::id();
    let id = match event.head.class {
        2_004 => "detection_finding",
        2_006 => "data_security_finding",
        6_002 => "application_lifecycle",
        6_003 => "api_activity",
        _ => "-",
    };
    let version = &origin.version;
    let mut out = format!(
        "<{priority}>1 {time} {hostname} mcp-auditor {process} {id} \
         [origin software=\"mcp-auditor\" swVersion=\"{version}\"][meta sequenceId=\"{sequence}\"] "
    )
    .into_bytes();
    match settings.format {
        Format::Ocsf => out.extend_from_slice(&event.bytes),
        Format::Cef => out.extend(cef::line(event, version).into_bytes()),
    }
    out
}

/// Severities of OCSF as those of syslog (RFC 5424, table 2).
fn severity(id: u8) -> u32 {
    match id {
        0 | 1 => 6,
        2 => 5,
        3 => 4,
        4 => 3,
        5 => 2,
        6 => 1,
        _ => 5,
    }
}

/// A field of the header: printable ASCII, `-` where there is none.
fn printable(text: &str, limit: usize) -> String {
    let text: String = text
        .chars()
        .filter(char::is_ascii_graphic)
        .take(limit)
        .collect();
    if text.is_empty() {
        "-".to_owned()
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;
    use crate::event::tests::event;

    fn sender(address: String) -> Sender {
        let settings = Syslog {
            address,
            transport: Transport::Tcp,
            format: Format::Ocsf,
            facility: AUDIT,
            server_name: None,
        };
        Sender::new(&settings, &Tls::default(), Origin::testing())
    }

    #[tokio::test]
    async fn messages_are_framed_and_settle() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut sender = sender(listener.local_addr().unwrap().to_string());
        let taken = sender.deliver(&[event(7, "r-7"), event(8, "r-8")]).await;
        assert_eq!(taken, Ok(Taken::Held));
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut buffer = vec![0; 4096];
        let read = stream.read(&mut buffer).await.unwrap();
        let text = String::from_utf8(buffer[..read].to_vec()).unwrap();
        let (length, rest) = text.split_once(' ').unwrap();
        let (first, second) = rest.split_at(length.parse().unwrap());
        assert!(
            first.starts_with("<110>1 2023-11-14T22:13:20.007Z host mcp-auditor "),
            "{first}"
        );
        assert!(first.contains(" api_activity [origin software=\"mcp-auditor\" swVersion=\"0\"][meta sequenceId=\"1\"] {"));
        assert!(second.contains("sequenceId=\"2\""), "{second}");
        let now = Instant::now();
        assert_eq!(sender.durable(now), None);
        assert_eq!(sender.durable(now + SETTLED), Some(9));
        drop(stream);
        tokio::time::sleep(Duration::from_millis(50)).await;
        let again = sender.deliver(&[event(9, "r-9")]).await;
        assert!(matches!(again, Err(Failure::Again { .. })), "{again:?}");
        sender.reset();
        assert_eq!(sender.durable(now + SETTLED * 2), None);
    }
}
