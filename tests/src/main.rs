//! End-to-end tests: real MCP programs, unmodified, under the running daemon.
//!
//! One daemon watches the whole host while the sessions are played side by side. What each client
//! logged is compared with the events that concern its processes: nothing may be missing, nothing
//! invented. Needs root. `cargo xtask test e2e` installs the programs and starts this.

mod certificates;
mod chains;
mod compare;
mod containers;
mod contract;
mod daemon;
mod decided;
mod deeds;
mod detected;
mod engine;
mod event;
mod front;
mod identity;
mod interaction;
mod keys;
mod kubernetes;
mod load;
mod measure;
mod mutual;
mod objects;
mod oneshot;
mod openssl;
mod origin;
mod policy;
mod postgres;
mod process;
mod programs;
mod receivers;
mod runc;
mod scenarios;
mod session;
mod speaker;
mod spire;
mod storm;
mod suite;
mod touched;
mod truth;
mod uring;

use std::{
    path::PathBuf,
    process::ExitCode,
    sync::{Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use anyhow::Result;
use clap::Parser;

use self::{
    certificates::Certificates,
    daemon::Daemon,
    event::Event,
    interaction::{Interaction, target_parameter},
    process::wait_for,
    session::{Played, Session},
};

#[derive(Parser)]
struct Arguments {
    /// The daemon's binary; without it sessions are played and their logs looked at, no more
    #[arg(long)]
    auditor: Option<PathBuf>,
    /// Where the tests keep their files
    #[arg(long)]
    folder: PathBuf,
    /// Languages whose programs are not installed; `tools` for those of the distribution
    #[arg(long, value_delimiter = ',')]
    without: Vec<String>,
    /// Run only the tests whose name contains this
    #[arg(long)]
    only: Option<String>,
    /// Factor for every time limit
    #[arg(long, default_value_t = 1)]
    slow: u32,
    /// Measure instead of testing
    #[command(subcommand)]
    measure: Option<measure::Measurement>,
    /// Sessions played at once
    #[arg(long, default_value_t = 3)]
    jobs: usize,
}

const LIMIT: Duration = Duration::from_secs(30);

fn main() -> ExitCode {
    match std::env::args().nth(1).as_deref() {
        Some("io-uring-write") => return uring::main(),
        Some("speak") => return speaker::main(),
        Some("storm") => return storm::main(),
        _ => {}
    }
    let arguments = Arguments::parse();
    let result = match (&arguments.measure, &arguments.auditor) {
        (Some(measurement), Some(auditor)) => measurement.run(&arguments, auditor).map(|()| 0),
        (Some(_), None) => Err(anyhow::anyhow!("a measurement needs --auditor")),
        (None, _) => {
            run(&arguments).map(|failed| failed + contracts(&arguments) + policy::check(&arguments))
        }
    };
    match result {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Runs the tests of the contract, which start the daemon themselves; gives the number of those that failed.
fn contracts(arguments: &Arguments) -> usize {
    let Some(auditor) = &arguments.auditor else {
        return 0;
    };
    let only = arguments.only.as_deref();
    let folder = arguments.folder.join("contract");
    let limit = LIMIT * arguments.slow;
    let failed = contract::check(auditor, &folder, only, limit);
    let failed = failed + engine::check(auditor, arguments, limit);
    let failed = failed + kubernetes::check(auditor, arguments, limit);
    let certificates = Certificates::make(&arguments.folder.join("certificates"));
    let alone = certificates.map(|certificates| {
        let setup = load::alone::Setup {
            auditor,
            folder: &arguments.folder,
            certificates: &certificates,
            limit,
        };
        load::alone::check(&setup, arguments)
    });
    failed
        + alone.unwrap_or(1)
        + identity::check(auditor, arguments, limit)
        + keys::check(auditor, arguments, limit)
        + mutual::check(auditor, arguments, limit)
        + decided::check(auditor, arguments, limit)
        + detected::check(auditor, arguments, limit)
        + spire::check(auditor, arguments, limit)
        + storm::check(auditor, arguments, limit)
}

/// Runs the chosen tests and gives the number of those that failed.
fn run(arguments: &Arguments) -> Result<usize> {
    let limit = LIMIT * arguments.slow;
    let mut sessions = scenarios::all(&arguments.without);
    if let Some(only) = &arguments.only {
        sessions.retain(|session| session.name.contains(only.as_str()));
    }
    let certificates = Certificates::make(&arguments.folder.join("certificates"))?;
    let daemon = arguments
        .auditor
        .as_ref()
        .map(|auditor| Daemon::start(auditor, &arguments.folder.join("daemon"), &[], limit));
    let mut daemon = daemon.transpose()?;
    if let Some(daemon) = &daemon {
        scenarios::meet_programs(&sessions, daemon, limit)?;
    }
    let results = play_all(&sessions, daemon.as_ref(), arguments, &certificates);
    let is_wanted = |only: &String| "object_".contains(only.as_str()) || only.starts_with("object");
    let mut calls = match &daemon {
        Some(daemon) => oneshot::check(daemon, arguments, &certificates, limit)?,
        None => Vec::new(),
    };
    if let Some(daemon) = &daemon {
        calls.extend(openssl::check(daemon, arguments, &certificates, limit));
        calls.extend(load::check(daemon, arguments, &certificates, limit)?);
        calls.extend(containers::check(daemon, arguments, &certificates, limit)?);
        calls.extend(chains::check(daemon, arguments, limit));
        calls.extend(origin::check(daemon, arguments, limit));
        calls.extend(touched::check(daemon, arguments, limit));
        calls.extend(deeds::check(daemon, arguments, limit));
        calls.extend(runc::check(daemon, arguments, &certificates, limit));
    }
    let objects = match &daemon {
        Some(daemon) if arguments.only.as_ref().is_none_or(is_wanted) => {
            objects::check(daemon, limit * 2)?
        }
        _ => Vec::new(),
    };
    calls.extend(objects);
    if let Some(daemon) = &mut daemon {
        let status = daemon.stop(limit)?;
        anyhow::ensure!(
            status.success(),
            "the daemon ended with {status}:\n{}",
            daemon.log()
        );
        if arguments.only.is_none() {
            let name = "identity_ordinary_interactions_raise_no_finding".to_owned();
            calls.push((name, identity::findings(daemon)?));
        }
    }
    let mut failed = 0;
    for (session, result) in sessions.iter().zip(&results) {
        let played = result.as_ref().map_err(|error| vec![format!("{error:#}")]);
        let verdict = played.and_then(|played| {
            let lines =
                judge(played, daemon.as_ref()).unwrap_or_else(|error| vec![error.to_string()]);
            if lines.is_empty() {
                Ok(played.expected.len())
            } else {
                Err(lines)
            }
        });
        match verdict {
            Ok(count) => println!("test {} ... ok ({count} interactions)", session.name),
            Err(lines) => {
                failed += 1;
                println!(
                    "test {} ... FAILED\n    {}",
                    session.name,
                    lines.join("\n    ")
                );
            }
        }
    }
    for (name, wrong) in &calls {
        match wrong {
            None => println!("test {name} ... ok"),
            Some(wrong) => {
                failed += 1;
                println!("test {name} ... FAILED\n    {wrong}");
            }
        }
    }
    println!(
        "{} passed, {failed} failed",
        sessions.len() + calls.len() - failed
    );
    Ok(failed)
}

/// Plays the sessions, some at a time, and waits for the events of each.
fn play_all(
    sessions: &[Session],
    daemon: Option<&Daemon>,
    arguments: &Arguments,
    certificates: &Certificates,
) -> Vec<Result<Played>> {
    let queue = Mutex::new(sessions.iter().enumerate());
    let results = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..arguments.jobs {
            scope.spawn(|| {
                loop {
                    let next = queue.lock().unwrap_or_else(PoisonError::into_inner).next();
                    let Some((index, session)) = next else { break };
                    let started = Instant::now();
                    let result = play(session, daemon, arguments, certificates);
                    eprintln!("played {} in {:.1?}", session.name, started.elapsed());
                    results
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .push((index, result));
                }
            });
        }
    });
    let mut results = results.into_inner().unwrap_or_else(PoisonError::into_inner);
    results.sort_by_key(|(index, _)| *index);
    results.into_iter().map(|(_, result)| result).collect()
}

fn play(
    session: &Session,
    daemon: Option<&Daemon>,
    arguments: &Arguments,
    certificates: &Certificates,
) -> Result<Played> {
    let limit = LIMIT * arguments.slow;
    let folder = arguments.folder.join(&session.name);
    let played = session.play(&folder, certificates, limit)?;
    if let Some(daemon) = daemon {
        // What is still missing at the limit is told by the comparison.
        let _ = wait_for("events", limit / 3, || {
            let events = daemon.events().of(&played.pids)?;
            let passed_on = played.passed_on.iter().flatten();
            let due: Vec<_> = played.expected.iter().chain(passed_on).cloned().collect();
            Ok((compare::missing(&due, &events) == 0).then_some(()))
        });
    }
    Ok(played)
}

/// What differs between a session's log and the daemon's events.
fn judge(played: &Played, daemon: Option<&Daemon>) -> Result<Vec<String>> {
    let Some(daemon) = daemon else {
        return Ok(Vec::new());
    };
    let events = daemon.events().of(&played.pids)?;
    let is_behind =
        |event: &Event| played.between.is_some() && event.interaction.client == played.between;
    let (behind, front): (Vec<Event>, Vec<Event>) = events.iter().cloned().partition(is_behind);
    let mut lines = compare::differences(&played.expected, &front);
    lines.extend(compare::executables(&played.executables, &events));
    lines.extend(compare::encryption(played.tls, &front));
    lines.extend(compare::encryption(false, &behind));
    if let Some(passed_on) = &played.passed_on {
        lines.extend(compare::differences(passed_on, &behind));
        // A proxy that is not heard on its near side is not known to be the one on its far side.
        if front.iter().all(|event| event.interaction.server.is_some()) {
            lines.extend(compare::hops(&front, &behind));
        }
    } else if played.between.is_some() {
        let reported: Vec<_> = behind
            .iter()
            .filter(|event| event.stage == "final")
            .map(|event| &event.interaction)
            .collect();
        let passed_on: Vec<_> = played
            .expected
            .iter()
            .filter(|call| !front.iter().any(|event| is_refused(event, call)))
            .cloned()
            .collect();
        lines.extend(behind_gateway(&passed_on, &reported));
        lines.extend(compare::chains(&front, &behind));
    }
    Ok(lines)
}

/// Whether the gateway refused a call itself, by an HTTP status.
fn is_refused(event: &Event, call: &Interaction) -> bool {
    let status = event
        .json
        .get("status_code")
        .and_then(|code| code.as_str()?.parse::<u16>().ok());
    event.interaction.id == call.id && status.is_some_and(|status| (400..600).contains(&status))
}

/// A gateway has sessions of its own with the server: every call that names a target must be
/// there once, whatever its id.
fn behind_gateway(expected: &[Interaction], reported: &[&Interaction]) -> Vec<String> {
    let calls =
        |interaction: &&Interaction| target_parameter(interaction.method.as_deref()).is_some();
    let key = |interaction: &Interaction| {
        (
            interaction.method.clone(),
            interaction.target.clone(),
            interaction.status,
        )
    };
    let mut left: Vec<_> = expected.iter().filter(calls).map(key).collect();
    let mut right: Vec<_> = reported.iter().copied().filter(calls).map(key).collect();
    left.sort();
    right.sort();
    if left == right {
        return Vec::new();
    }
    vec![format!(
        "behind the gateway: expected {left:?}, reported {right:?}"
    )]
}
