//! Chains of calls: two agents ask one server many things at once, and it asks its child on for each.
//!
//! Which call led to which is told by an argument's name, which agents, server and child pass on and events hold.

use std::{
    collections::HashMap,
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};

use crate::{
    Arguments,
    daemon::Daemon,
    event::Event,
    process::{Running, descendants, free_port, wait_for},
    programs::{Sdk, python, python_program, source},
    session::listening,
};

/// What the server passes on of a call.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Share {
    /// A text that the agent made up.
    Text,
    /// The W3C trace.
    Trace,
    /// Nothing.
    Blind,
}

impl Share {
    fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Trace => "trace",
            Self::Blind => "blind",
        }
    }
}

/// What the server asks on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Behind {
    /// A tool that says the same again.
    Echo,
    /// A published server with a database.
    Database,
}

impl Behind {
    fn name(self) -> &'static str {
        match self {
            Self::Echo => "python1",
            Self::Database => "mcp_server_sqlite",
        }
    }
}

/// What is played.
pub(crate) const CASES: [(Share, Behind); 5] = [
    (Share::Text, Behind::Echo),
    (Share::Trace, Behind::Echo),
    (Share::Blind, Behind::Echo),
    (Share::Text, Behind::Database),
    (Share::Trace, Behind::Database),
];

const AGENTS: [&str; 2] = ["one", "two"];
/// Calls of each agent in a test.
const CALLS: usize = 50;

/// What became of the calls that the server made.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Figures {
    /// Those that were made.
    pub(crate) made: usize,
    /// Those that are joined to the call that led to them.
    pub(crate) joined: usize,
    /// Those that are joined to another.
    pub(crate) wrong: usize,
    /// Those of the wrong ones that claim to be proven.
    pub(crate) wrongly_proven: usize,
}

impl Figures {
    /// Whether they are as they must be.
    pub(crate) fn judge(self, share: Share) -> Result<()> {
        let is_joined = share == Share::Blind || self.joined * 100 >= self.made * 95;
        ensure!(
            self.made > 0 && is_joined && self.wrongly_proven == 0,
            "{self:?}"
        );
        Ok(())
    }
}

/// Plays them; for each its name, and what is wrong if anything is.
pub(crate) fn check(
    daemon: &Daemon,
    arguments: &Arguments,
    limit: Duration,
) -> Vec<(String, Option<String>)> {
    let name = |(share, behind): (Share, Behind)| {
        let (share, behind) = (share.name(), behind.name());
        format!("chain_of_two_agents_sharing_{share}_{behind}")
    };
    let only = arguments.only.as_ref();
    let is_wanted =
        |case: &(Share, Behind)| only.is_none_or(|only| name(*case).contains(only.as_str()));
    if arguments.without.iter().any(|word| word == "python") {
        return Vec::new();
    }
    let wanted = CASES.into_iter().filter(is_wanted);
    let played = wanted.map(|case| {
        let figures = run(case, CALLS, daemon, arguments, limit);
        let result = figures.and_then(|figures| figures.judge(case.0));
        (name(case), result.err().map(|error| format!("{error:#}")))
    });
    played.collect()
}

/// Has each agent make so many calls at once, and compares the chains in the events with what led to what.
pub(crate) fn run(
    (share, behind): (Share, Behind),
    calls: usize,
    daemon: &Daemon,
    arguments: &Arguments,
    limit: Duration,
) -> Result<Figures> {
    let port = free_port()?;
    let mut relay = script("relay.py")?;
    relay.args(["--http", &port.to_string()]);
    if behind == Behind::Database {
        let server = python_program(Sdk::Python1, "mcp-server-sqlite")?;
        relay.args(["--tool", "read_query", "--argument", "query", "--child"]);
        relay.arg(server.get_program()).arg("--db-path");
        relay.arg(arguments.folder.join("chains.db"));
    }
    let relay = listening(
        &mut relay,
        &arguments.folder.join("chains-relay.log"),
        port,
        limit,
    )?;
    let child = descendants(relay.pid());
    let mut agents = Vec::new();
    for name in AGENTS {
        let mut agent = script("agent.py")?;
        agent.arg(format!("http://127.0.0.1:{port}/mcp/"));
        agent.args([share.name(), name, &calls.to_string()]);
        agents.push(Running::start(
            agent.stdin(Stdio::null()).stdout(Stdio::piped()),
        )?);
    }
    for agent in &mut agents {
        let output = agent.child().stdout.take().context("no output")?;
        let answered = std::io::read_to_string(output)?;
        ensure!(
            answered.trim() == calls.to_string(),
            "{} of {calls} calls were answered",
            answered.trim()
        );
        agent.wait(limit)?;
    }
    let figures = || -> Result<Figures> {
        let events = daemon.events().of(&[relay.pid()])?;
        Ok(judged(&events, relay.pid(), &child))
    };
    let made = calls * AGENTS.len();
    let _ = wait_for("events", limit / 3, || {
        Ok((figures()?.made == made).then_some(()))
    });
    let figures = figures()?;
    ensure!(figures.made == made, "of {made} calls: {figures:?}");
    Ok(figures)
}

fn script(name: &str) -> Result<Command> {
    let mut command = Command::new(python(Sdk::Python1)?);
    command.arg(source("python").join(name));
    Ok(command)
}

fn judged(events: &[Event], relay: u32, child: &[u32]) -> Figures {
    let calls = events
        .iter()
        .filter(|event| event.stage == "final")
        .filter_map(|event| Some((mark(event)?, event)));
    let (inner, outer): (Vec<_>, Vec<_>) =
        calls.partition(|(_, event)| event.interaction.client == Some(relay));
    let outer: HashMap<&str, &str> = outer
        .into_iter()
        .map(|(mark, event)| (mark, event.uid.as_str()))
        .collect();
    let mut figures = Figures::default();
    let is_child = |event: &Event| {
        event
            .interaction
            .server
            .is_some_and(|pid| child.contains(&pid))
    };
    for (mark, event) in inner {
        let led = outer.get(mark).copied();
        if !is_child(event) || led.is_none() {
            continue;
        }
        figures.made += 1;
        let text = |name: &str| event.json.pointer(name)?.as_str();
        match text("/unmapped/mcp/chain/parent") {
            Some(parent) if Some(parent) == led => figures.joined += 1,
            Some(_) => {
                figures.wrong += 1;
                let is_proven = text("/unmapped/mcp/chain/certainty") == Some("proven");
                figures.wrongly_proven += usize::from(is_proven);
            }
            None => {}
        }
    }
    figures
}

/// The argument that tells which call an event belongs to.
fn mark(event: &Event) -> Option<&str> {
    let keys = event.json.pointer("/unmapped/mcp/request/arg_keys")?;
    let mut keys = keys.as_array()?.iter().filter_map(|key| key.as_str());
    keys.find(|key| key.starts_with("call_"))
}
