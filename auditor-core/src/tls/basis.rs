//! Why a TLS connection may carry MCP: who is at its ends, where it goes to, what it asks for.
//!
//! Proves nothing; the event names the basis. Bounds: [`SPEAKERS`] processes that were heard speaking MCP, as many that
//! were heard through TLS, and [`SERVERS`] addresses; beyond any the oldest is forgotten.

use std::{
    collections::{HashSet, VecDeque},
    hash::Hash,
    net::{IpAddr, SocketAddr},
};

use crate::{audit::Process, key::ProcessKey};

/// Processes remembered that were heard speaking MCP.
const SPEAKERS: usize = 16_384;
/// Servers remembered with which MCP was spoken.
const SERVERS: usize = 4_096;
/// Words of command lines that hint at MCP, in lower case.
const WORDS: [&str; 3] = ["mcp", "modelcontextprotocol", "model-context-protocol"];

/// Why a connection may carry MCP.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Basis {
    /// A process at one of its ends was heard speaking MCP.
    Process,
    /// The command line of one hints at MCP.
    CommandLine,
    /// MCP was heard on another connection to the same server.
    ServerAddress,
    /// The server's name hints at MCP, or is configured.
    ServerName,
    /// A protocol that the client offers hints at MCP.
    Protocol,
    /// The server's port is configured.
    Port,
}

impl Basis {
    /// The word in an event.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Process => "process",
            Self::CommandLine => "command_line",
            Self::ServerAddress => "server_address",
            Self::ServerName => "server_name",
            Self::Protocol => "protocol",
            Self::Port => "port",
        }
    }
}

/// What the operator says of where MCP is spoken.
#[derive(Clone, Debug, Default)]
pub struct Hints {
    /// Names of servers, in lower case; one that begins with a dot stands for everything below.
    pub names: Vec<String>,
    /// Ports of servers.
    pub ports: Vec<u16>,
}

/// Whether a command line hints at MCP. The auditor's own does not count.
pub fn hints_at_mcp(process: &Process) -> bool {
    let Some(arguments) = &process.cmdline else {
        return false;
    };
    let line = arguments.join(" ").to_lowercase();
    WORDS.iter().any(|word| line.contains(word)) && !line.contains("mcp-auditor")
}

/// What is known of where MCP is spoken.
#[derive(Debug, Default)]
pub(super) struct Known {
    hints: Hints,
    speakers: Recent<ProcessKey>,
    servers: Recent<(IpAddr, u16)>,
    heard: Recent<ProcessKey>,
}

impl Known {
    pub(super) fn new(hints: Hints) -> Self {
        Self {
            hints,
            ..Self::default()
        }
    }

    /// Notes that a process was heard speaking MCP; true when that is new.
    pub(super) fn note_speaker(&mut self, process: ProcessKey) -> bool {
        self.speakers.insert(process, SPEAKERS)
    }

    /// Notes that MCP was spoken with a server; true when that is new.
    pub(super) fn note_server(&mut self, address: SocketAddr) -> bool {
        self.servers.insert(server(address), SERVERS)
    }

    /// Notes that a process was heard through TLS.
    pub(super) fn note_heard(&mut self, process: ProcessKey) {
        self.heard.insert(process, SPEAKERS);
    }

    /// Whether a process was heard through TLS.
    pub(super) fn is_heard(&self, process: ProcessKey) -> bool {
        self.heard.set.contains(&process)
    }

    /// Why a connection may carry MCP, by the processes at its ends.
    pub(super) fn of_process(&self, key: ProcessKey, process: Option<&Process>) -> Vec<Basis> {
        let is_speaker = self.speakers.set.contains(&key);
        let is_hinted = process.is_some_and(hints_at_mcp);
        let found = [
            (is_speaker, Basis::Process),
            (is_hinted, Basis::CommandLine),
        ];
        chosen(&found)
    }

    /// The same by where it goes to and what it asks for.
    pub(super) fn of_server(
        &self,
        address: Option<SocketAddr>,
        name: Option<&str>,
        protocols: &[String],
    ) -> Vec<Basis> {
        let is_known = address.is_some_and(|address| self.servers.set.contains(&server(address)));
        let is_port = address.is_some_and(|address| self.hints.ports.contains(&address.port()));
        let is_name = name.is_some_and(|name| self.is_name(&name.to_lowercase()));
        let is_protocol = protocols.iter().any(|name| has_word(&name.to_lowercase()));
        chosen(&[
            (is_known, Basis::ServerAddress),
            (is_name, Basis::ServerName),
            (is_protocol, Basis::Protocol),
            (is_port, Basis::Port),
        ])
    }

    fn is_name(&self, name: &str) -> bool {
        let is_meant = |hint: &String| {
            hint == name
                || (hint.starts_with('.') && (name.ends_with(hint.as_str()) || *name == hint[1..]))
        };
        has_word(name) || self.hints.names.iter().any(is_meant)
    }
}

/// Whether a name has "mcp" as a word of its own, as `mcp.example.com` and `api-mcp.example.com` have.
fn has_word(name: &str) -> bool {
    let mut words = name.split(|c: char| !c.is_ascii_alphanumeric());
    words.any(|word| WORDS.contains(&word))
}

fn server(address: SocketAddr) -> (IpAddr, u16) {
    (address.ip().to_canonical(), address.port())
}

fn chosen(found: &[(bool, Basis)]) -> Vec<Basis> {
    let is_true = found.iter().filter(|(is_true, _)| *is_true);
    is_true.map(|(_, basis)| *basis).collect()
}

/// A set that forgets what was put in first.
#[derive(Debug)]
struct Recent<T> {
    set: HashSet<T>,
    order: VecDeque<T>,
}

impl<T> Default for Recent<T> {
    fn default() -> Self {
        Self {
            set: HashSet::new(),
            order: VecDeque::new(),
        }
    }
}

impl<T: Copy + Eq + Hash> Recent<T> {
    fn insert(&mut self, value: T, most: usize) -> bool {
        if !self.set.insert(value) {
            return false;
        }
        self.order.push_back(value);
        if self.order.len() > most
            && let Some(oldest) = self.order.pop_front()
        {
            self.set.remove(&oldest);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(line: &str) -> Process {
        let cmdline = line.split(' ').map(str::to_owned).collect();
        Process {
            cmdline: Some(cmdline),
            ..Process::default()
        }
    }

    #[test]
    fn a_command_line_hints_at_mcp_by_its_words() {
        assert!(hints_at_mcp(&process(
            "npx @modelcontextprotocol/server-everything"
        )));
        assert!(hints_at_mcp(&process("java -jar MCP-client.jar")));
        assert!(!hints_at_mcp(&process("firefox")));
        assert!(!hints_at_mcp(&process("mcp-auditor run")));
        assert!(!hints_at_mcp(&Process::default()));
    }

    #[test]
    fn a_process_is_known_once_it_was_heard() {
        let mut known = Known::default();
        let key = ProcessKey { pid: 7, start: 1 };
        assert_eq!(known.of_process(key, None), []);
        assert!(known.note_speaker(key));
        assert!(!known.note_speaker(key));
        assert_eq!(known.of_process(key, None), [Basis::Process]);
    }

    #[test]
    fn a_server_is_known_by_address_name_protocol_or_port() {
        let mut known = Known::new(Hints {
            names: vec!["tools.example.com".into(), ".corp.example".into()],
            ports: vec![8443],
        });
        let at = |port| Some(SocketAddr::from(([10, 0, 0, 1], port)));
        let basis = |known: &Known, port, name, protocols: &[&str]| {
            let protocols: Vec<_> = protocols.iter().map(|name| (*name).to_owned()).collect();
            known.of_server(at(port), name, &protocols)
        };
        assert_eq!(basis(&known, 443, Some("example.com"), &["h2"]), []);
        assert_eq!(basis(&known, 8443, None, &[]), [Basis::Port]);
        for name in [
            "mcp.example.com",
            "Tools.example.com",
            "a.corp.example",
            "corp.example",
            "api-mcp.x",
        ] {
            assert_eq!(
                basis(&known, 443, Some(name), &[]),
                [Basis::ServerName],
                "{name}"
            );
        }
        assert_eq!(
            basis(&known, 443, Some("xmcpx.com"), &["mcp/1"]),
            [Basis::Protocol]
        );
        known.note_server("[::ffff:10.0.0.1]:443".parse().unwrap());
        assert_eq!(basis(&known, 443, None, &[]), [Basis::ServerAddress]);
    }

    #[test]
    fn what_was_heard_first_is_forgotten_first() {
        let mut known = Known::default();
        for pid in 0..=SPEAKERS as u32 {
            known.note_speaker(ProcessKey { pid, start: 0 });
        }
        assert_eq!(known.speakers.set.len(), SPEAKERS);
        assert_eq!(known.of_process(ProcessKey { pid: 0, start: 0 }, None), []);
    }
}
