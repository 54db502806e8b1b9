//! What is said of bytes that never came: a message cut off by its writer's death, a ring that was full.

use std::{
    fs,
    io::{Read as _, Write as _},
    process::Stdio,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::Setup;
use crate::{
    event::Event,
    process::{Running, wait_for},
    speaker::{self, HELLO},
};

const CALL: &str =
    r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"unanswered"}}"#;
const HALF: &str = r#"{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"half","argu"#;
const ANSWER: &[u8] = b"{\"jsonrpc\":\"2.0\",\"id\":0,\"result\":{\"protocolVersion\":\"2025-11-25\",\"capabilities\":{},\"serverInfo\":{\"name\":\"test\",\"version\":\"1\"}}}\n";

/// A client dies within a message: the call before it ends, the half message is none, the next session is heard.
pub(super) fn killed_client(setup: &Setup) -> Result<()> {
    let mut daemon = setup.daemon(&[])?;
    let mut pids = Vec::new();
    for _ in 0..2 {
        let words = [HELLO, "\n", "@read", CALL, "\n", HALF, "@hang"];
        let mut command = speaker::command(&words)?;
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut client = Running::start(&mut command)?;
        let mut input = client.child().stdin.take().context("no input")?;
        let mut output = client.child().stdout.take().context("no output")?;
        let mut text = Vec::new();
        let mut piece = [0; 4096];
        while !text.ends_with(HALF.as_bytes()) {
            let read = output.read(&mut piece)?;
            ensure!(read > 0, "the client ended by itself");
            text.extend_from_slice(piece.get(..read).unwrap_or_default());
            if text.ends_with(b"}}}\n") {
                input.write_all(ANSWER)?;
            }
        }
        pids.push(client.pid());
        client.child().kill()?;
        client.wait(setup.limit)?;
        // As a server would see it.
        ensure!(output.read(&mut piece)? == 0, "more than was written");
    }
    for pid in pids {
        let events = wait_for("the end of the call", setup.limit, || {
            let events = daemon.events().of(&[pid])?;
            let is_over = ["0", "1"]
                .iter()
                .all(|id| events.iter().any(|event| is_final(event, id)));
            Ok(is_over.then_some(events))
        })?;
        let [call] = events
            .iter()
            .filter(|event| is_final(event, "1"))
            .collect::<Vec<_>>()[..]
        else {
            anyhow::bail!("the call ended more than once");
        };
        let code = call.json["status_code"].as_str().unwrap_or_default();
        ensure!(
            ["exited", "closed"].contains(&code),
            "ended as {code}: {}",
            call.json
        );
        ensure!(call.json["status_id"] == 2, "no failure: {}", call.json);
        let server = call.interaction.server;
        ensure!(
            server == Some(std::process::id()),
            "another server: {}",
            call.json
        );
        let hello = events.iter().find(|event| is_final(event, "0"));
        let code = hello.map(|event| &event.json["status_code"]);
        ensure!(
            code.is_some_and(|code| code == "ok"),
            "initialize was not answered: {hello:?}"
        );
        let is_half = |event: &&Event| event.interaction.id.as_deref() == Some("2");
        ensure!(
            events.iter().find(is_half).is_none(),
            "half a message made an event"
        );
    }
    ensure!(daemon.stop(setup.limit)?.success(), "it did not end well");
    Ok(())
}

fn is_final(event: &Event, id: &str) -> bool {
    event.stage == "final" && event.interaction.id.as_deref() == Some(id)
}

/// Messages of each writer, and their size with the newline.
const MESSAGES: usize = 50_000;
const SIZE: usize = 400;
const RING: &str = "ring_bytes = 65536\n";

/// Two writers overflow a small ring: of each, what was heard and its gaps are what it wrote, to the byte.
pub(super) fn full_ring(setup: &Setup) -> Result<()> {
    let config = setup.folder.join("config.toml");
    fs::write(&config, RING)?;
    let mut daemon = setup.daemon(&["--config", &config.to_string_lossy()])?;
    let (message, times) = (notification(), format!("@repeat={MESSAGES}"));
    let words = [&times, &message, "@read", &message];
    let writers: Result<Vec<_>> = (0..2).map(|_| Writer::start(&words)).collect();
    let writers = writers?;
    for writer in &writers {
        writer.wait_for((MESSAGES * SIZE) as u64, setup.limit)?;
    }
    // Once this is heard there is room again.
    wait_for("room in the ring", setup.limit, || {
        let pid = speaker::say(&[HELLO, "\n"])?;
        let heard = || Ok((!daemon.events().of(&[pid])?.is_empty()).then_some(()));
        Ok(wait_for("an event", setup.limit / 10, heard).ok())
    })?;
    let pids: Result<Vec<_>> = writers
        .into_iter()
        .map(|writer| writer.go_on(setup.limit))
        .collect();
    ensure!(daemon.stop(setup.limit)?.success(), "it did not end well");
    let events = daemon.events().all()?;
    for pid in pids? {
        adds_up(&events, pid, ((MESSAGES + 1) * SIZE) as u64)?;
    }
    let is_nameless = |event: &&Event| {
        let ends = [event.interaction.client, event.interaction.server];
        ends.iter().all(Option::is_none)
    };
    ensure!(
        events.iter().find(is_nameless).is_none(),
        "an event names nobody"
    );
    Ok(())
}

/// What was heard of a writer and what its gaps tell must be what it wrote.
fn adds_up(events: &[Event], pid: u32, written: u64) -> Result<()> {
    let own: Vec<&Event> = events
        .iter()
        .filter(|event| event.concerns(&[pid]))
        .collect();
    let sum = |path: &str| {
        let numbers = own.iter().filter_map(|event| event.json.pointer(path));
        numbers.filter_map(Value::as_u64).sum::<u64>()
    };
    let is_message = |event: &&&Event| event.interaction.kind == "notification";
    let heard = own.iter().filter(is_message).count() as u64;
    let lost = sum("/unmapped/mcp/gap/bytes_lost");
    let discarded = sum("/unmapped/mcp/gap/discarded");
    ensure!(lost > 0, "the ring did not overflow");
    // The end of a line is not part of its message.
    let all = sum("/unmapped/mcp/request/bytes") + heard + lost + discarded;
    ensure!(
        all == written,
        "{heard} messages heard, {lost} bytes lost, {discarded} discarded: {all} of {written}"
    );
    Ok(())
}

/// A process that writes, and a thread that reads it.
struct Writer {
    process: Running,
    read: Arc<AtomicU64>,
    reader: thread::JoinHandle<std::io::Result<()>>,
}

impl Writer {
    fn start(words: &[&str]) -> Result<Self> {
        let mut command = speaker::command(words)?;
        let mut process = Running::start(command.stdin(Stdio::piped()).stdout(Stdio::piped()))?;
        let mut output = process.child().stdout.take().context("no output")?;
        let read = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&read);
        let reader = thread::spawn(move || {
            let mut piece = [0; 8192];
            loop {
                match output.read(&mut piece)? {
                    0 => return Ok(()),
                    len => count.fetch_add(len as u64, Ordering::Relaxed),
                };
            }
        });
        Ok(Self {
            process,
            read,
            reader,
        })
    }

    fn wait_for(&self, bytes: u64, limit: Duration) -> Result<()> {
        wait_for("what was written", limit, || {
            Ok((self.read.load(Ordering::Relaxed) >= bytes).then_some(()))
        })
    }

    /// Lets it write the rest, and waits for its end; gives its process id.
    fn go_on(mut self, limit: Duration) -> Result<u32> {
        drop(self.process.child().stdin.take());
        let status = self.process.wait(limit)?;
        ensure!(status.success(), "a writer ended with {status}");
        let read = self.reader.join();
        ensure!(matches!(read, Ok(Ok(()))), "a reader failed");
        Ok(self.process.pid())
    }
}

/// A notification of [`SIZE`] bytes with its newline.
fn notification() -> String {
    let head =
        r#"{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","data":""#;
    let tail = "\"}}\n";
    let fill = "z".repeat(SIZE - head.len() - tail.len());
    [head, &fill, tail].concat()
}
