//! What OpenSSL has beside reading and writing: looking at bytes that stay where they are, and early data (0-RTT).
//!
//! Bytes that are looked at, and taken later, are one message.

use std::{
    ffi::OsStr,
    fs,
    io::Write as _,
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};

use crate::{
    Arguments,
    certificates::Certificates,
    compare,
    daemon::Daemon,
    event::Event,
    front::Front,
    interaction::Interaction,
    load::many,
    oneshot,
    process::{Running, free_port, wait_for},
    programs::{Sdk, Transport, source, tool},
    session::listening,
};

/// What a test is given.
struct Setup<'a> {
    daemon: &'a Daemon,
    certificates: &'a Certificates,
    folder: &'a Path,
    limit: Duration,
}

type Test = (&'static str, fn(&Setup<'_>) -> Result<()>);

const TESTS: [Test; 3] = [
    ("openssl_peek_between_pyopenssl", |setup| {
        peek(setup, "call")
    }),
    ("openssl_peek_ex_to_pyopenssl", |setup| {
        peek(setup, "call_ex")
    }),
    ("openssl_early_data_through_nginx_to_python2", early_data),
];
/// Calls on one connection of those that look ahead.
const CALLS: u64 = 6;

/// Plays them; for each its name, and what is wrong if anything is.
pub(crate) fn check(
    daemon: &Daemon,
    arguments: &Arguments,
    certificates: &Certificates,
    limit: Duration,
) -> Vec<(String, Option<String>)> {
    let is_wanted = |name: &str| {
        let only = arguments.only.as_ref();
        let needs = |word: &String| ["tools", "python"].contains(&word.as_str());
        only.is_none_or(|only| name.contains(only.as_str())) && !arguments.without.iter().any(needs)
    };
    let setup = Setup {
        daemon,
        certificates,
        folder: &arguments.folder,
        limit,
    };
    let wanted = TESTS.iter().filter(|(name, _)| is_wanted(name));
    wanted
        .map(|(name, test)| {
            let wrong = test(&setup).err().map(|error| format!("{error:#}"));
            ((*name).to_owned(), wrong)
        })
        .collect()
}

/// Both ends look at all bytes before they take them.
fn peek(setup: &Setup<'_>, how: &str) -> Result<()> {
    let program = |words: [&OsStr; 3]| -> Result<Command> {
        let mut command = Command::new(tool("python")?);
        command.arg(source("python").join("peek.py")).args(words);
        Ok(command)
    };
    let port = free_port()?;
    let number = port.to_string();
    let (role, folder) = (OsStr::new("serve"), setup.certificates.folder());
    let mut server = program([role, number.as_ref(), folder.as_ref()])?;
    let log = setup.folder.join("peek.log");
    let server = listening(&mut server, &log, port, setup.limit)?;
    // The server has loaded the library that comes with Python's package, and the client will.
    wait_for("TLS of cryptography's library", setup.limit, || {
        let log = setup.daemon.log();
        let is_it = |line: &str| line.contains("TLS is heard") && line.contains("/cryptography/");
        Ok(log.lines().any(is_it).then_some(()))
    })?;
    let authority = fs::canonicalize(setup.certificates.authority())?;
    let first = u64::from(port) * 10_000;
    let mut client = program([how.as_ref(), number.as_ref(), authority.as_ref()])?;
    client.args([CALLS, first].map(|number| number.to_string()));
    let told = many::told(client, setup.limit)?;
    let answered = told.ports.len() as u64;
    ensure!(
        answered == CALLS,
        "{answered} of {CALLS} calls were answered"
    );
    many::compared(&told, server.pid(), setup.daemon, setup.limit)?.judge()?;
    no_gaps(&[told.client, server.pid()], setup)
}

/// A call in the first flight of a resumed session, which nginx takes and hands on.
fn early_data(setup: &Setup<'_>) -> Result<()> {
    let (near, back) = (free_port()?, free_port()?);
    let log = |name: &str| setup.folder.join(format!("early-{name}.log"));
    let server = &mut Sdk::Python2.server(Transport::Http, back)?;
    let server = listening(server, &log("server"), back, setup.limit)?;
    let front = Front::NginxEarly;
    let proxy = &mut front.command(setup.folder, setup.certificates, near, (back, false))?;
    let proxy = listening(proxy, &log("proxy"), near, setup.limit)?;
    let speaker = wait_for("nginx's worker", setup.limit, || {
        Ok(front.speaker(proxy.pid()))
    })?;
    let session = setup.folder.join("early.session");
    let _ = fs::remove_file(&session);
    let first = u64::from(near) * 10_000;

    // The first connection gets a ticket, the second uses it.
    let (_, told) = by_openssl(
        setup,
        near,
        first,
        &[OsStr::new("-sess_out"), session.as_ref()],
    )?;
    ensure!(session.exists(), "nginx gave no ticket: {told}");
    let early = setup.folder.join("early.request");
    fs::write(&early, oneshot::request(near, first + 1))?;
    let words = [
        OsStr::new("-sess_in"),
        session.as_ref(),
        OsStr::new("-early_data"),
        early.as_ref(),
    ];
    let (client, told) = by_openssl(setup, near, first + 1, &words)?;
    ensure!(told.contains("Early data was accepted"), "{told}");

    let pids = [client, speaker, server.pid()];
    let call = |from, to| [oneshot::call_of(first + 1, from, to)];
    let (near, far) = (call(client, speaker), call(speaker, server.pid()));
    let events = || -> Result<Vec<Event>> {
        let mut events = setup.daemon.events().of(&pids)?;
        // Not what passes through the pipes between the program and this one.
        let is_own = |call: &Interaction| call.client == Some(std::process::id());
        events.retain(|event| {
            let call = &event.interaction;
            call.id == near[0].id && !is_own(call)
        });
        Ok(events)
    };
    // What is still missing at the limit is told by the comparison.
    let _ = wait_for("events", setup.limit / 6, || {
        let due = [near.clone(), far.clone()].concat();
        Ok((compare::missing(&due, &events()?) == 0).then_some(()))
    });
    let is_near = |event: &Event| event.interaction.client == Some(client);
    let (front, behind): (Vec<_>, Vec<_>) = events()?.into_iter().partition(is_near);
    let mut wrong = compare::differences(&near, &front);
    wrong.extend(compare::differences(&far, &behind));
    wrong.extend(compare::encryption(true, &front));
    wrong.extend(compare::encryption(false, &behind));
    wrong.extend(compare::hops(&front, &behind));
    wrong.extend(front.iter().filter_map(oneshot::unwitnessed));
    ensure!(wrong.is_empty(), "{}", wrong.join("\n    "));
    no_gaps(&pids, setup)
}

/// Has `openssl s_client` make one call, as early data where `words` say so; its process, and what it printed.
fn by_openssl(setup: &Setup<'_>, port: u16, id: u64, words: &[&OsStr]) -> Result<(u32, String)> {
    let mut command = Command::new("openssl");
    command.args(["s_client", "-ign_eof", "-tls1_3", "-connect"]);
    command.arg(format!("127.0.0.1:{port}")).arg("-CAfile");
    command.arg(setup.certificates.authority()).args(words);
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let mut running = Running::start(&mut command)?;
    let mut input = running.child().stdin.take().context("no standard input")?;
    if !words.contains(&OsStr::new("-early_data")) {
        input.write_all(oneshot::request(port, id).as_bytes())?;
    }
    let output = running.child().stdout.take().context("no output")?;
    let told = std::io::read_to_string(output)?;
    drop(input);
    running.wait(setup.limit)?;
    ensure!(told.contains("\"result\""), "no answer: {told}");
    Ok((running.pid(), told))
}

/// Nothing of these processes was lost or left over.
fn no_gaps(pids: &[u32], setup: &Setup<'_>) -> Result<()> {
    let events = setup.daemon.events().of(pids)?;
    let gaps: Vec<_> = events
        .iter()
        .filter(|event| event.interaction.kind == "gap")
        .map(|event| event.json.to_string())
        .collect();
    ensure!(gaps.is_empty(), "{}", gaps.join("\n    "));
    Ok(())
}
