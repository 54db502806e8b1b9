//! What a server did while a call was open: types, and which reads are a runtime's own.
//!
//! Values only; who did it and for which call is found in [`super::deeds`], how it differs from what was declared in
//! [`super::differences`].

use std::net::IpAddr;

use super::chain::{Basis, Certainty};
use crate::mcp::InteractionId;

/// What a server's process and its descendants did while a call was open.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Activity {
    /// Each thing once, in order; at most 64 of a kind.
    pub entries: Vec<Entry>,
    /// Further programs, files and connections that were left out for the bound.
    pub further: [u64; 3],
    /// Reads of a runtime's own files.
    pub runtime: u64,
    /// Other calls that were open in the process meanwhile, at most 8.
    pub others: Vec<InteractionId>,
    /// Whether all that the kernel side looks for was told. False where deeds were lost, and while the call is open.
    pub is_complete: bool,
    /// Deeds that the kernel side or this stage left out.
    pub lost: u64,
    /// Where it differs from what was declared.
    pub differences: Vec<Difference>,
}

/// One thing that was done.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Entry {
    /// What.
    pub what: What,
    /// What ties it to the call: the server's own process, or a descendant of it.
    pub basis: Basis,
    /// How far that is proven. [`Certainty::Proven`] where the call names it and no other was open.
    pub certainty: Certainty,
    /// Whether the call names it; `None` where that cannot be told.
    pub is_named: Option<bool>,
    /// How often.
    pub count: u64,
}

/// What was done.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub enum What {
    /// A program was started.
    Program {
        /// Its path.
        path: String,
    },
    /// Something was done to a file or directory.
    File {
        /// Its path.
        path: String,
        /// What.
        access: Access,
        /// Whether the path is the kernel's. Else it is the name that the call gave, links not followed.
        is_resolved: bool,
    },
    /// A connection was made, or begun.
    Connection(Noticed),
}

/// A connection.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Noticed {
    /// The peer's address; `None` for a Unix socket.
    pub address: Option<IpAddr>,
    /// Its port.
    pub port: u16,
    /// `tcp`, `udp`, `unix` or `other`.
    pub protocol: &'static str,
    /// The name of a Unix socket.
    pub path: Option<String>,
    /// Whether it was only begun when the call returned.
    pub is_begun: bool,
    /// Host and path (without its query) of an MCP request that went over it.
    pub http: Option<(String, String)>,
}

/// What was done to a file.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Access {
    /// It was opened for reading.
    Read,
    /// It was opened for writing, and nothing shows that it was written.
    OpenForWriting,
    /// It was written, cut or extended.
    Write,
    /// It was made.
    Create,
    /// It was taken away.
    Delete,
    /// It got another name.
    RenameFrom,
    /// It is that other name.
    RenameTo,
}

/// Where what was done differs from what was declared.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Difference {
    /// How.
    pub kind: DifferenceKind,
    /// The things that show it: paths, addresses; at most 8.
    pub rests_on: Vec<String>,
    /// How many things show it.
    pub count: u64,
}

/// Kinds of differences.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum DifferenceKind {
    /// The tool is said to be read-only, and something was changed.
    ReadOnlyWrote,
    /// The call names files, and another was changed.
    FileNotNamed,
    /// A connection went to a host that the call does not name.
    HostNotNamed,
    /// A program was started, and the call names none.
    ProgramStarted,
}

impl DifferenceKind {
    /// Its name in events.
    pub fn name(self) -> &'static str {
        match self {
            Self::ReadOnlyWrote => "read_only_wrote",
            Self::FileNotNamed => "file_not_named",
            Self::HostNotNamed => "host_not_named",
            Self::ProgramStarted => "program_started",
        }
    }
}

impl Access {
    /// Its name in events.
    pub fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::OpenForWriting => "open_for_writing",
            Self::Write => "write",
            Self::Create => "create",
            Self::Delete => "delete",
            Self::RenameFrom => "rename",
            Self::RenameTo => "rename_to",
        }
    }

    /// Whether it changes something.
    pub fn changes(self) -> bool {
        !matches!(self, Self::Read | Self::OpenForWriting)
    }
}

impl What {
    /// Its place in [`Activity::further`].
    pub(super) fn kind(&self) -> usize {
        match self {
            Self::Program { .. } => 0,
            Self::File { .. } => 1,
            Self::Connection(_) => 2,
        }
    }

    /// A word for it.
    pub(super) fn shown(&self) -> String {
        match self {
            Self::Program { path } | Self::File { path, .. } => path.clone(),
            Self::Connection(Noticed {
                address: Some(address),
                port,
                ..
            }) => std::net::SocketAddr::new(*address, *port).to_string(),
            Self::Connection(noticed) => noticed.path.clone().unwrap_or_default(),
        }
    }
}

/// Trees of the system that hold programs, libraries and what these are configured by.
const TREES: [&str; 16] = [
    "/proc/",
    "/sys/",
    "/dev/",
    "/lib/",
    "/lib32/",
    "/lib64/",
    "/usr/bin/",
    "/usr/lib/",
    "/usr/lib32/",
    "/usr/lib64/",
    "/usr/libexec/",
    "/usr/local/lib/",
    "/usr/share/",
    "/etc/ssl/",
    "/etc/pki/",
    "/etc/ca-certificates/",
];

/// Files that libraries read on their own account.
const FILES: [&str; 11] = [
    "/etc/gai.conf",
    "/etc/host.conf",
    "/etc/hosts",
    "/etc/ld.so.cache",
    "/etc/ld.so.preload",
    "/etc/locale.alias",
    "/etc/localtime",
    "/etc/nsswitch.conf",
    "/etc/protocols",
    "/etc/resolv.conf",
    "/etc/services",
];

/// Directories that hold modules of interpreters, wherever they are.
const MODULES: [&str; 4] = [
    "site-packages",
    "dist-packages",
    "node_modules",
    "__pycache__",
];

/// Whether reading a file is what a runtime does on its own account: loading code, or what code is configured by.
pub(super) fn is_runtime(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or_default();
    let in_tree = |tree: &str| path.starts_with(tree) || path == tree.trim_end_matches('/');
    let mut names = path.split('/').peekable();
    let is_module = std::iter::from_fn(|| {
        let name = names.next()?;
        let in_lib = name == "lib" && names.peek().is_some_and(|next| is_python(next));
        Some(in_lib || MODULES.contains(&name))
    });
    TREES.iter().any(|tree| in_tree(tree))
        || FILES.contains(&path)
        || name.ends_with(".so")
        || name.contains(".so.")
        || name == "pyvenv.cfg"
        || is_module.into_iter().any(|one| one)
}

/// Whether a directory is Python's own: `python3.12`.
fn is_python(name: &str) -> bool {
    let version = name.strip_prefix("python");
    version.is_some_and(|version| {
        !version.is_empty()
            && version
                .bytes()
                .all(|byte| byte.is_ascii_digit() || byte == b'.')
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_and_its_configuration_are_a_runtimes_own() {
        for path in [
            "/usr/lib/x86_64-linux-gnu/libc.so.6",
            "/opt/app/lib/libx.so",
            "/home/a/.venv/lib/python3.12/json/decoder.py",
            "/home/a/.venv/lib/python3.12/site-packages/mcp/x.py",
            "/srv/app/node_modules/zod/index.js",
            "/proc/self/status",
            "/proc",
            "/etc/ssl/certs/ca-certificates.crt",
            "/etc/resolv.conf",
        ] {
            assert!(is_runtime(path), "{path}");
        }
    }

    #[test]
    fn what_a_server_is_asked_for_is_not() {
        for path in [
            "/home/a/notes.txt",
            "/home/a/.ssh/id_rsa",
            "/etc/passwd",
            "/etc/shadow",
            "/srv/app/index.js",
            "/srv/lib/python/x",
            "/srv/processed/x",
            "/tmp/some.sock",
        ] {
            assert!(!is_runtime(path), "{path}");
        }
    }
}
