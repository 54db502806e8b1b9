//! `auditor-e2e speak WORD...`: writes each word to standard output by one system call, and ends.
//!
//! The word `@read` reads once from standard input instead, `@hang` never ends, after `@repeat=N` the next word is written
//! so many times, and after `@rate=N` so many words a second.

use std::{
    io::{Read as _, Write as _},
    process::{Command, ExitCode, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};

/// A first message that shows that MCP is spoken.
pub(crate) const HELLO: &str = r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"speaker","version":"1"}}}"#;

/// Does it, and says what went wrong.
pub(crate) fn main() -> ExitCode {
    let mut times = 1;
    let mut pause = None;
    let spoken = std::env::args().skip(2).try_for_each(|word| {
        let repeat = word.strip_prefix("@repeat=");
        if let Some(number) = repeat.and_then(|number| number.parse().ok()) {
            times = number;
            return Ok(());
        }
        let rate = word.strip_prefix("@rate=");
        if let Some(rate) = rate.and_then(|number| number.parse::<u32>().ok()) {
            pause = Some(Duration::from_secs(1) / rate);
            return Ok(());
        }
        let begun = Instant::now();
        (0..std::mem::replace(&mut times, 1)).try_for_each(|number: u32| {
            let due = pause.map_or(Duration::ZERO, |pause: Duration| pause * number);
            std::thread::sleep(due.saturating_sub(begun.elapsed()));
            speak(&word)
        })
    });
    match spoken {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn speak(word: &str) -> std::io::Result<()> {
    match word {
        "@read" => std::io::stdin().lock().read(&mut [0; 4096]).map(|_| ()),
        "@hang" => loop {
            std::thread::park();
        },
        // Not by `print`, which would write line by line.
        _ => {
            std::fs::File::from(std::os::fd::AsFd::as_fd(&std::io::stdout()).try_clone_to_owned()?)
                .write_all(word.as_bytes())
        }
    }
}

/// This program in that role.
pub(crate) fn command(words: &[&str]) -> Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("speak").args(words);
    Ok(command)
}

/// Has a process say this through a pipe to this one; gives its process id.
pub(crate) fn say(words: &[&str]) -> Result<u32> {
    listen(command(words)?.stdin(Stdio::null()))
}

/// Starts a program, reads what it writes, and waits for its end; gives its process id.
pub(crate) fn listen(command: &mut Command) -> Result<u32> {
    let mut child = command.stdout(Stdio::piped()).spawn()?;
    let output = child.stdout.take().context("no standard output")?;
    let text = std::io::read_to_string(output)?;
    let status = child.wait()?;
    ensure!(
        status.success() && !text.is_empty(),
        "{status} after `{text}`"
    );
    Ok(child.id())
}
