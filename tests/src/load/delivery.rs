//! How soon an event is in rsyslog, and how long it takes until it has all after it was down.

use std::{
    collections::HashSet,
    fs::{self, File},
    io::{BufRead as _, BufReader, Read as _, Seek as _, SeekFrom},
    path::Path,
    time::{Duration, Instant, UNIX_EPOCH},
};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::alone::Setup;
use crate::{
    daemon::Daemon,
    process::wait_for,
    receivers::{World, message},
    speaker::{self, HELLO},
};

const NOTE: &str = r#"{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":1,"progress":1}}"#;

/// Plays both and prints the figures; fails where they are not what they must be.
pub(crate) fn measure(setup: &Setup<'_>, seconds: u64, rate: u64) -> Result<()> {
    let folder = setup.folder.join("delivery");
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    let world = World::new(&folder)?;
    let rsyslog = world.rsyslog("rsyslog", "ocsf");
    let mut receivers = vec![rsyslog.context("there is no rsyslog")?];
    receivers[0].spawn()?;
    receivers[0].wait(setup.limit)?;
    let config = folder.join("config.toml");
    fs::write(&config, World::configuration(&receivers))?;
    let flags = ["--config", config.to_str().context("a path")?];
    let mut daemon = Daemon::start(setup.auditor, &folder.join("daemon"), &flags, setup.limit)?;
    let messages = folder.join("rsyslog/messages");

    let pid = say(200, 30)?;
    reached(&messages, &daemon, pid, setup.limit)?;
    let mut lags = lags(&messages, pid)?;
    lags.sort_unstable();
    let at = |part: usize| {
        lags.get(lags.len() * part / 100)
            .copied()
            .unwrap_or_default()
    };
    let (half, most) = (at(50), at(99));
    println!(
        "200 events a second: in rsyslog after {half} ms (median), {most} ms (99 of 100), {} events",
        lags.len()
    );
    ensure!(
        most < 1_000,
        "99 of 100 come within {most} ms, not within 1,000"
    );

    receivers[0].kill();
    let pid = say(rate, seconds)?;
    let came_back = Instant::now();
    receivers[0].spawn()?;
    receivers[0].wait(setup.limit)?;
    reached(&messages, &daemon, pid, Duration::from_secs(180))?;
    let seconds_after = came_back.elapsed().as_secs_f32();
    daemon.stop(setup.limit)?;
    let expected = seconds * rate + 1;
    let (arrived, twice) = in_order(&messages, pid)?;
    println!(
        "down for {seconds} s at {rate} events a second: all {arrived} there {seconds_after:.1} s after it came back, \
         {twice} of them twice"
    );
    ensure!(
        arrived == expected,
        "{arrived} of {expected} events arrived"
    );
    ensure!(seconds_after < 120.0, "it took {seconds_after} s");
    Ok(())
}

/// Has a process say so many messages a second for so long.
fn say(rate: u64, seconds: u64) -> Result<u32> {
    let (pace, times) = (
        format!("@rate={rate}"),
        format!("@repeat={}", rate * seconds),
    );
    speaker::say(&[HELLO, "\n", &pace, &times, &format!("{NOTE}\n")])
}

/// Waits until the last event of a client is at the end of what rsyslog wrote.
fn reached(messages: &Path, daemon: &Daemon, pid: u32, limit: Duration) -> Result<()> {
    let last = wait_for("the last event", limit, || {
        // Read at the end only: there are many.
        let text = end(&daemon.written())?;
        let mine = format!("\"client\":{{\"pid\":{pid},");
        let line = text.lines().rev().find(|line| line.contains(&mine));
        // All is said by then: the last is the last.
        std::thread::sleep(Duration::from_millis(500));
        let again = end(&daemon.written())?;
        Ok(line
            .filter(|line| again.lines().rev().any(|one| one == *line))
            .map(str::to_owned))
    })?;
    let event: Value = serde_json::from_str(&last)?;
    let uid = event["metadata"]["uid"].as_str().context("no uid")?;
    let uid = format!("\"uid\":\"{uid}\"");
    wait_for("the last event in rsyslog", limit, || {
        std::thread::sleep(Duration::from_millis(200));
        Ok(end(messages)?.contains(&uid).then_some(()))
    })
}

/// The end of a file.
fn end(path: &Path) -> Result<String> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(1 << 18)))?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// When each event of a client was seen and when rsyslog got it, apart in milliseconds.
fn lags(messages: &Path, pid: u32) -> Result<Vec<u64>> {
    let mut lags = Vec::new();
    each(messages, pid, |got, event| {
        let seen = event["unmapped"]["mcp"]["time_ns"]
            .as_u64()
            .context("no time")?;
        let got = got.split(' ').next().context("no time")?;
        let got = micros(got)?;
        lags.push(got.saturating_sub(seen / 1_000) / 1_000);
        Ok(())
    })?;
    Ok(lags)
}

/// Microseconds since the epoch of a time in UTC such as `2026-01-31T12:00:00.123456+00:00`.
fn micros(text: &str) -> Result<u64> {
    let time = humantime::parse_rfc3339(&text.replace("+00:00", "Z"))?;
    Ok(u64::try_from(time.duration_since(UNIX_EPOCH)?.as_micros())?)
}

/// How many events of a client arrived, in order when each counts once, and how many of them twice.
fn in_order(messages: &Path, pid: u32) -> Result<(u64, u64)> {
    let (mut seen, mut twice, mut last) = (HashSet::new(), 0, 0);
    each(messages, pid, |_, event| {
        let number = event["metadata"]["sequence"]
            .as_u64()
            .context("no number")?;
        if !seen.insert(number) {
            twice += 1;
            return Ok(());
        }
        ensure!(number > last, "{number} came after {last}");
        last = number;
        Ok(())
    })?;
    Ok((seen.len() as u64, twice))
}

/// The events of a client, as rsyslog wrote them: what is before them, and they.
fn each(messages: &Path, pid: u32, mut each: impl FnMut(&str, &Value) -> Result<()>) -> Result<()> {
    let mine = format!("\"client\":{{\"pid\":{pid},");
    for line in BufReader::new(File::open(messages)?).lines() {
        let line = line?;
        if !line.contains(&mine) {
            continue;
        }
        let (head, event) = message(&line)?;
        let event: Value = serde_json::from_str(event)?;
        if event["class_uid"] == 6003 && event["unmapped"]["mcp"]["stage"] == "final" {
            each(head, &event)?;
        }
    }
    Ok(())
}
