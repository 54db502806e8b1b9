//! Which TLS libraries a process has mapped now and how each is heard, and which of its sockets look like QUIC.
//!
//! Reads /proc; what is heard is the daemon's word.

use std::{collections::HashMap, net::SocketAddr};

use auditor_core::tls::Reason;
use procfs::{
    net::UdpState,
    process::{FDTarget, Process},
};
use serde::Serialize;

use crate::tls::{FileKey, Known, Library, State, Verdict, mapped};

/// The port of HTTP/3.
const HTTPS: u16 = 443;

/// A TLS library that a process uses, or a file of it that was not searched.
#[derive(Serialize)]
pub(super) struct Used {
    pub(super) pid: u32,
    pub(super) file: String,
    pub(super) stack: Option<String>,
    pub(super) version: Option<String>,
    pub(super) is_heard: bool,
    /// Its functions that are not heard although the library is.
    pub(super) past: Vec<String>,
    /// Why it is not heard, and what mends it.
    pub(super) reason: Option<String>,
    pub(super) mend: Option<&'static str>,
}

/// A UDP socket that looks like QUIC.
#[derive(Serialize)]
pub(super) struct Datagram {
    pub(super) pid: u32,
    pub(super) remote: SocketAddr,
}

/// The TLS libraries of a process.
pub(super) fn used(pid: u32, files: &HashMap<FileKey, Known>) -> Vec<Used> {
    let process = i32::try_from(pid)
        .ok()
        .and_then(|pid| Process::new(pid).ok());
    let mapped = process
        .and_then(|process| mapped(&process))
        .unwrap_or_default();
    let known = mapped.iter().filter_map(|(key, _)| files.get(key));
    known.flat_map(|known| of_file(pid, known)).collect()
}

fn of_file(pid: u32, known: &Known) -> Vec<Used> {
    let plain = |obstacle: Option<(Reason, String)>| Used {
        pid,
        file: known.path.clone(),
        stack: None,
        version: None,
        is_heard: obstacle.is_none(),
        past: Vec::new(),
        mend: obstacle.as_ref().map(|(reason, _)| reason.mend()),
        reason: obstacle.map(|(_, why)| why),
    };
    match &known.verdict {
        Verdict::Nothing => Vec::new(),
        Verdict::Searching => vec![plain(Some((
            Reason::NotProbedYet,
            "it is being searched".into(),
        )))],
        Verdict::TooLarge => vec![plain(Some((
            Reason::TooLarge,
            "too large to be searched".into(),
        )))],
        Verdict::Unsearched(why) => vec![plain(Some((Reason::NotProbed, why.clone())))],
        Verdict::Libraries(libraries) => libraries
            .iter()
            .map(|library| Used {
                stack: Some(library.stack.clone()),
                version: library.version.clone(),
                past: library.unheard.clone(),
                ..plain(obstacle(library))
            })
            .collect(),
    }
}

fn obstacle(library: &Library) -> Option<(Reason, String)> {
    Some(match &library.state {
        State::Heard(_) => return None,
        State::NotFound(why) => (Reason::FunctionsNotFound, why.clone()),
        State::NoWay(why) if library.stack == "Java" => (Reason::JavaJsse, why.clone()),
        State::NoWay(why) => (Reason::Nss, why.clone()),
        State::UnsafeReturns => (
            Reason::KernelUnsafeReturns,
            "probes at returns may end programs on this kernel".into(),
        ),
        State::TooMany => (Reason::TooMany, "too many libraries are probed".into()),
        State::Refused(why) => (Reason::NotProbed, why.clone()),
    })
}

/// UDP sockets of a process that are connected to the port of HTTP/3.
pub(super) fn datagrams(pid: u32) -> Vec<Datagram> {
    let Some(process) = i32::try_from(pid)
        .ok()
        .and_then(|pid| Process::new(pid).ok())
    else {
        return Vec::new();
    };
    let entries = process.udp().into_iter().chain(process.udp6()).flatten();
    let connected: Vec<_> = entries
        .filter(|entry| {
            entry.state == UdpState::Established && entry.remote_address.port() == HTTPS
        })
        .collect();
    if connected.is_empty() {
        return Vec::new();
    }
    // The list is that of the network namespace; the process holds some of it.
    let held = process.fd().into_iter().flatten().flatten();
    let held: Vec<u64> = held
        .filter_map(|fd| match fd.target {
            FDTarget::Socket(inode) => Some(inode),
            _ => None,
        })
        .collect();
    connected
        .into_iter()
        .filter(|entry| held.contains(&entry.inode))
        .map(|entry| Datagram {
            pid,
            remote: entry.remote_address,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;

    use super::*;

    #[test]
    fn a_library_is_told_with_how_it_is_heard() {
        let library = |state| {
            let library = Library {
                stack: "OpenSsl".into(),
                version: None,
                state,
                unheard: vec!["SSL_sendfile".into()],
            };
            let known = Known {
                path: "/lib/libssl.so".into(),
                verdict: Verdict::Libraries(vec![library]),
            };
            of_file(7, &known).remove(0)
        };
        let heard = library(State::Heard(1));
        assert!(heard.is_heard && heard.reason.is_none() && heard.past == ["SSL_sendfile"]);
        let refused = library(State::UnsafeReturns);
        assert!(!refused.is_heard && refused.reason.is_some());
        assert_eq!(refused.mend, Some(Reason::KernelUnsafeReturns.mend()));
    }

    #[test]
    fn a_socket_that_is_connected_to_port_443_looks_like_quic() {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let own = std::process::id();
        let found = |remote: SocketAddr| {
            datagrams(own)
                .iter()
                .any(|datagram| datagram.remote == remote)
        };
        let remote = "127.0.0.9:443".parse().unwrap();
        assert!(!found(remote));
        socket.connect(remote).unwrap();
        assert!(found(remote));
    }
}
