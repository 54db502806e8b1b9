//! `who`: of a process that runs, of the same once it has ended, and of an event.

use std::process::Stdio;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::Setup;
use crate::{
    process::{Running, wait_for},
    speaker::{self, HELLO},
};

/// Everybody is named, by what was heard and by what runs; who is known to nobody is an error.
pub(super) fn who(setup: &Setup) -> Result<()> {
    let mut daemon = setup.daemon(&[])?;
    let mut command = speaker::command(&[HELLO, "\n", "@hang"])?;
    let mut speaker = Running::start(command.stdin(Stdio::null()).stdout(Stdio::piped()))?;
    let pid = speaker.pid();
    let output = speaker.child().stdout.take().context("no output")?;
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(output));
    lines.next().context("nothing said")??;
    let told = wait_for("the event", setup.limit, || {
        Ok(daemon.events().of(&[pid])?.pop())
    })?;
    let trail = setup.folder.join("daemon/events.jsonl");
    let trail = trail.to_string_lossy();
    let ask = |what: &str| -> Result<Value> {
        let output = setup.output(&["who", what, "--json", "--events", &trail])?;
        let error = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "who {what}: {error}");
        Ok(serde_json::from_slice(&output.stdout)?)
    };
    let person = |answer: &Value, pid: u32| -> Result<Value> {
        let people = answer["people"].as_array().context("nobody")?;
        let found = people.iter().find(|one| one["subject"]["pid"] == pid);
        found
            .cloned()
            .with_context(|| format!("{pid} is not in {answer}"))
    };
    let own = std::env::current_exe()?;
    let running = person(&ask(&pid.to_string())?, pid)?;
    ensure!(
        running["is_running"] == true
            && running["subject"]["exe"] == *own.to_string_lossy()
            && running["identity"]["assurance"] == "A2"
            && running["last_event"] == told.uid,
        "{running}"
    );
    let answer = ask(&told.uid)?;
    person(&answer, pid)?;
    person(&answer, std::process::id())?;
    ensure!(answer["chain"][0]["uid"] == told.uid, "no chain: {answer}");

    speaker.signal("KILL")?;
    speaker.wait(setup.limit)?;
    let ended = person(&ask(&format!("pid:{pid}"))?, pid)?;
    ensure!(
        ended["is_running"] == false && ended["identity"] == running["identity"],
        "{ended}"
    );

    let output = setup.output(&["who", &pid.to_string(), "--events", &trail])?;
    let text = String::from_utf8(output.stdout)?;
    for word in [
        pid.to_string().as_str(),
        "ended",
        "A2",
        "evidence sha256:",
        "begun by",
        &told.uid,
    ] {
        ensure!(text.contains(word), "no `{word}` in:\n{text}");
    }
    let output = setup.output(&["who", "nobody-is-called-so", "--events", &trail])?;
    let error = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.code() == Some(1) && error.contains("known to nobody"),
        "{}: {error}",
        output.status
    );
    ensure!(daemon.stop(setup.limit)?.success(), "it did not end well");
    Ok(())
}
