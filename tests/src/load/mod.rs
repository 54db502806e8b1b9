//! Small programs that call over HTTPS on many connections, or answer: what they say is known to the letter.
//!
//! They are no MCP clients, and as servers no MCP servers beyond `tools/call`.

pub(crate) mod alone;
pub(crate) mod attach;
mod brought;
pub(crate) mod delivery;
pub(crate) mod fresh;
pub(crate) mod hops;
pub(crate) mod many;
pub(crate) mod throughput;

use std::{path::PathBuf, process::Command, time::Duration};

use anyhow::Result;

use crate::{
    Arguments,
    certificates::Certificates,
    daemon::Daemon,
    programs::{Sdk, go, node, python, source},
    scenarios,
};

/// What runs such a program.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Runtime {
    /// Asyncio on one thread: OpenSSL through memory BIOs.
    Python,
    /// Node on one thread: its own OpenSSL.
    Node,
    /// Go's own TLS, a goroutine for each connection.
    Go,
}

/// What is called.
pub(crate) struct Target {
    /// The server's port on this host.
    pub(crate) port: u16,
    /// The certificate that vouches for it.
    pub(crate) authority: PathBuf,
}

impl Runtime {
    /// Short name for test names.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Python => "python",
            Self::Node => "node",
            Self::Go => "go",
        }
    }

    /// A program that makes calls on many connections; their ids count from `first`.
    pub(crate) fn client(
        self,
        target: &Target,
        connections: usize,
        calls: usize,
        first: u64,
    ) -> Result<Command> {
        let mut command = self.program()?;
        command.arg("call").arg(target.port.to_string());
        command.arg(&target.authority);
        command.args([connections as u64, calls as u64, first].map(|number| number.to_string()));
        Ok(command)
    }

    /// A server.
    pub(crate) fn server(self, port: u16, certificates: &Certificates) -> Result<Command> {
        let mut command = self.program()?;
        command.args(["serve", &port.to_string()]);
        command.arg(certificates.folder());
        Ok(command)
    }

    fn program(self) -> Result<Command> {
        match self {
            Self::Python => {
                let mut command = Command::new(python(Sdk::Python2)?);
                command.arg(source("python").join("load.py"));
                Ok(command)
            }
            Self::Node => node("load.mjs"),
            Self::Go => go("load"),
        }
    }
}

/// Lets the daemon see the program whose file brings its own TLS, unless it looks for that file when it starts.
pub(crate) fn meet(runtime: Runtime, daemon: &Daemon, limit: Duration) -> Result<()> {
    match runtime {
        Runtime::Python | Runtime::Node => Ok(()),
        Runtime::Go => daemon.meet(runtime.program()?, limit),
    }
}

/// The short runs of a whole test: for each its name, and what is wrong if anything is.
pub(crate) fn check(
    daemon: &Daemon,
    arguments: &Arguments,
    certificates: &Certificates,
    limit: Duration,
) -> Result<Vec<(String, Option<String>)>> {
    let is_wanted = |name: &str| {
        let needs = |word: &String| word == "python" || scenarios::needs(name, word);
        arguments
            .only
            .as_ref()
            .is_none_or(|only| name.contains(only.as_str()))
            && !arguments.without.iter().any(needs)
    };
    let folder = &arguments.folder;
    let mut results = Vec::new();
    for pair in many::PAIRS {
        let name = format!(
            "load_100_connections_{}_to_{}",
            pair.0.name(),
            pair.1.name()
        );
        if is_wanted(&name) {
            let figures = many::run(pair, 100, daemon, certificates, folder, limit);
            let judged = figures.and_then(many::Figures::judge);
            results.push((name, judged.err().map(|error| format!("{error:#}"))));
        }
    }
    for front in hops::FRONTS {
        let name = format!("load_40_calls_through_{}", front.name());
        let is_here = !arguments.without.iter().any(|word| word == "tools");
        if is_wanted(&name) && is_here {
            let figures = hops::run(front, 40, daemon, arguments, certificates, limit);
            let judged = figures.and_then(hops::Figures::judge);
            results.push((name, judged.err().map(|error| format!("{error:#}"))));
        }
    }
    for program in fresh::PROGRAMS {
        let name = format!("load_30_fresh_processes_of_{}", program.name());
        if is_wanted(&name) {
            let missed = fresh::run(program, 30, daemon, certificates, folder, limit);
            let wrong = match missed {
                Ok(missed) if missed.is_empty() => None,
                Ok(missed) => Some(format!("not heard: {missed:?}")),
                Err(error) => Some(format!("{error:#}")),
            };
            results.push((name, wrong));
        }
    }
    Ok(results)
}
