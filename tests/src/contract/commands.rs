//! Exit codes, messages and what goes to which output.

use std::{
    fs,
    os::unix::process::CommandExt as _,
    process::{Command, Output, Stdio},
    time::Instant,
};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

use super::Setup;
use crate::{process::wait_for, speaker};

/// What is no command, flag or value ends with 2.
pub(super) fn wrong_usage(setup: &Setup) -> Result<()> {
    for words in [
        &["nonsense"][..],
        &[],
        &["run", "--nonsense"],
        &["run", "--duration", "3x"],
        &["run", "--level", "all"],
        &["run", "--record", "a", "--replay", "b"],
        &["doctor", "extra"],
    ] {
        expect(&setup.output(words)?, 2, "--help").with_context(|| format!("{words:?}"))?;
    }
    Ok(())
}

/// Without rights it ends with 1 and says what to do.
pub(super) fn unusable_host(setup: &Setup) -> Result<()> {
    let copy = setup.copy_of(&setup.auditor, "auditor")?;
    let mut as_nobody = Command::new(&copy.0);
    as_nobody.uid(65_534).gid(65_534);
    as_nobody.current_dir("/").args(["run", "--duration", "1s"]);
    expect(&as_nobody.output()?, 1, "sudo").context("as another user")?;

    let mut powerless = Command::new("setpriv");
    powerless
        .args(["--inh-caps=-all", "--bounding-set=-all"])
        .arg(&copy.0);
    powerless.args(["run", "--duration", "1s", "--events", "-", "--data-dir"]);
    powerless.arg(setup.folder.join("data"));
    let output = powerless.output().context("setpriv")?;
    expect(&output, 1, "doctor").context("without capabilities")
}

/// A key that is unknown is refused by name.
pub(super) fn unknown_key(setup: &Setup) -> Result<()> {
    let config = setup.folder.join("config.toml");
    fs::write(&config, "ring_byte = 65536\n")?;
    let config = config.to_string_lossy();
    let words = ["run", "--duration", "1s", "--config", &config, "--data-dir"];
    let data = setup.folder.join("data");
    let output = setup.output(&[&words[..], &[&data.to_string_lossy()]].concat())?;
    expect(&output, 1, "ring_byte")
}

/// Two daemons must not share a directory.
pub(super) fn second_daemon(setup: &Setup) -> Result<()> {
    let mut first = setup.daemon(&[])?;
    let data = setup.folder.join("daemon/data");
    let data = data.to_string_lossy();
    let output = setup.output(&["run", "--duration", "1s", "--data-dir", &data])?;
    expect(&output, 1, &data)?;
    ensure!(
        first.stop(setup.limit)?.success(),
        "the first did not end well"
    );
    let output = setup.output(&["run", "--duration", "1s", "--data-dir", &data])?;
    expect(&output, 0, "ready").context("once the first is gone")
}

/// `--events -` writes events on standard output, and nothing else.
pub(super) fn standard_output(setup: &Setup) -> Result<()> {
    let data = setup.folder.join("data");
    let (out, err) = (setup.folder.join("out"), setup.folder.join("err"));
    let mut command = Command::new(&setup.auditor);
    command.args(["run", "--events", "-", "--data-dir"]);
    command
        .arg(data)
        .env("RUST_LOG", "debug")
        .stdin(Stdio::null());
    command
        .stdout(fs::File::create(&out)?)
        .stderr(fs::File::create(&err)?);
    let mut running = crate::process::Running::start(&mut command)?;
    wait_for("ready", setup.limit, || {
        let is_ready = fs::read_to_string(&err)?
            .lines()
            .any(|line| line == "ready");
        Ok(is_ready.then_some(()))
    })?;
    let pid = speaker::say(&[speaker::HELLO, "\n"])?;
    let is_ours = |event: &Value| event["unmapped"]["mcp"]["client"]["pid"] == pid;
    // The last line may be half written.
    let whole = |text: &str| {
        text.lines()
            .flat_map(serde_json::from_str)
            .any(|event| is_ours(&event))
    };
    let found = wait_for("the event", setup.limit, || {
        Ok(whole(&fs::read_to_string(&out)?).then_some(()))
    });
    running.signal("TERM")?;
    ensure!(running.wait(setup.limit)?.success(), "it did not end well");
    found?;
    let text = fs::read_to_string(&out)?;
    let is_event = |line: &str| {
        serde_json::from_str(line).is_ok_and(|event: Value| event["class_uid"] == 6003)
    };
    match text.lines().find(|line| !is_event(line)) {
        Some(line) => bail!("not only events: {line:.200}"),
        None => Ok(()),
    }
}

/// `--duration` ends it by itself.
pub(super) fn duration(setup: &Setup) -> Result<()> {
    let data = setup.folder.join("data");
    let started = Instant::now();
    let words = [
        "run",
        "--duration",
        "2s",
        "--data-dir",
        &data.to_string_lossy(),
    ];
    expect(&setup.output(&words)?, 0, "output: ")?;
    let took = started.elapsed();
    ensure!(
        took.as_secs() >= 2 && took < setup.limit,
        "it ran for {took:?}"
    );
    Ok(())
}

/// `--json` prints one JSON value, where there is much to say and where there is nothing.
pub(super) fn json(setup: &Setup) -> Result<()> {
    let data = setup.folder.join("data");
    for words in [
        &["doctor", "--json"][..],
        &["coverage", "--json"],
        &["coverage", "--json", "--data-dir", &data.to_string_lossy()],
    ] {
        let output = setup.output(words)?;
        ensure!(
            output.status.success(),
            "{words:?} ended with {}",
            output.status
        );
        let value: Result<Value, _> = serde_json::from_slice(&output.stdout);
        value.with_context(|| format!("{words:?} printed no JSON"))?;
    }
    Ok(())
}

impl Setup {
    pub(super) fn output(&self, words: &[&str]) -> Result<Output> {
        let mut command = Command::new(&self.auditor);
        Ok(command.args(words).stdin(Stdio::null()).output()?)
    }
}

fn expect(output: &Output, code: i32, said: &str) -> Result<()> {
    let error = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.code() == Some(code),
        "{} instead of {code}: {error}",
        output.status
    );
    ensure!(
        error.contains(said),
        "`{said}` is not in the message: {error}"
    );
    Ok(())
}
