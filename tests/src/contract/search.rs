//! The log is asked: an incident whose truth is known is played and found again; another engine answers the same.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::Setup;
use crate::programs::{Sdk, python, query, receivers, source};

/// Plays the exercise; then what search, timeline, chain and report say of its log is compared with the log.
pub(super) fn exercised(setup: &Setup) -> Result<()> {
    let folder = setup.folder.join("exercise");
    let python = python(Sdk::Python1)?;
    let environment = python
        .ancestors()
        .nth(2)
        .context("an interpreter without a folder")?;
    let mut exercise = Command::new(query()?);
    exercise
        .args(["exercise", "--json", "--at-least", "0", "--folder"])
        .arg(&folder);
    exercise
        .arg("--auditor")
        .arg(&setup.auditor)
        .arg("--environment")
        .arg(environment);
    let score: Value = serde_json::from_slice(&done(&mut exercise)?.stdout)?;
    let missed: Vec<_> = score["steps"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|step| step["told"] != true)
        .collect();
    println!(
        "  exercise: {} of {} facts told",
        score["told"], score["facts"]
    );
    ensure!(
        score["percent"].as_u64() >= Some(95),
        "not told: {missed:?}"
    );

    let data = folder.join("data");
    let ask = Asked {
        data: data.clone(),
        auditor: setup.auditor.clone(),
    };
    let raw = ask.text(&["search", "--raw", "--open", "--limit", "1000000"])?;
    let told = super::log::entries(&data.join("log"))?;
    // A search tells them by their time.
    let mut found: Vec<&str> = raw.lines().collect();
    let mut published: Vec<&str> = told.iter().map(String::as_str).collect();
    found.sort_unstable();
    published.sort_unstable();
    ensure!(
        found == published,
        "search --raw is not what is published in the log"
    );
    second_opinion(setup, &data, &told.join("\n"))?;
    proven(setup, &ask)?;
    told_alike(&ask)?;
    passed_on(setup, &data)
}

/// The program that answers, about one log.
struct Asked {
    data: PathBuf,
    auditor: PathBuf,
}

impl Asked {
    fn text(&self, words: &[&str]) -> Result<String> {
        let mut query = Command::new(query()?);
        let output = done(query.args(words).arg("--data-dir").arg(&self.data))?;
        Ok(String::from_utf8(output.stdout)?)
    }
}

fn done(command: &mut Command) -> Result<Output> {
    let output = command.output()?;
    let told = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{command:?}: {told}");
    Ok(output)
}

/// DuckDB answers the same questions over the entries.
fn second_opinion(setup: &Setup, data: &Path, entries: &str) -> Result<()> {
    let file = setup.folder.join("entries.jsonl");
    fs::write(&file, entries)?;
    let mut python = Command::new(receivers()?);
    python
        .arg(source("python").join("second_opinion.py"))
        .arg(file);
    let output = done(python.arg(query()?).arg("--data-dir").arg(data))?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    println!("  DuckDB agrees on {} questions", said.trim());
    Ok(())
}

/// Each hit comes with a proof that the auditor accepts.
fn proven(setup: &Setup, ask: &Asked) -> Result<()> {
    let proofs = setup.folder.join("proofs");
    ask.text(&[
        "search",
        "--table",
        "service_tokens",
        "--proof",
        &proofs.to_string_lossy(),
    ])?;
    let verified = Command::new(&ask.auditor)
        .args(["verify", "--json", "--data-dir"])
        .arg(&ask.data)
        .output()?;
    let verified: Value = serde_json::from_slice(&verified.stdout)?;
    let key = verified["keys"][0].as_str().context("no key")?;
    let mut count = 0;
    for proof in fs::read_dir(&proofs)? {
        let mut check = Command::new(&ask.auditor);
        let output = done(
            check
                .args(["proof", "--key", key, "--check"])
                .arg(proof?.path()),
        )?;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        ensure!(
            said.contains("proven") && said.contains("service_tokens"),
            "{said}"
        );
        count += 1;
    }
    ensure!(count == 1, "{count} proofs of one event");
    Ok(())
}

/// Timelines and chains show what led to what; a report says what is there.
fn told_alike(ask: &Asked) -> Result<()> {
    let finding = ask.text(&["search", "--finding", "shared_credential", "--json"])?;
    let finding: Value = serde_json::from_str(finding.trim())?;
    let token = finding["token_hash"]
        .as_str()
        .context("a finding without a token")?;
    let timeline = ask.text(&["timeline", "--token", token, "--json"])?;
    let moments = timeline
        .lines()
        .map(serde_json::from_str)
        .collect::<Result<Vec<Value>, _>>()?;
    let depth = |what: &str, name: &str| {
        let found = moments
            .iter()
            .find(|one| one["what"] == what && one["name"] == name);
        found
            .and_then(|one| one["depth"].as_u64())
            .with_context(|| format!("no {what} {name} in {timeline}"))
    };
    ensure!(
        depth("call", "export")? < depth("call", "read_query")?,
        "{timeline}"
    );
    ensure!(
        depth("call", "read_query")? < depth("resource", "customers")?,
        "{timeline}"
    );
    depth("finding", "shared_credential")?;
    depth("connection", "127.0.0.1")?;
    let read = ask.text(&[
        "search",
        "--table",
        "access_notes",
        "--columns",
        "uid",
        "--csv",
    ])?;
    let uid = read.lines().nth(1).context("nobody touched access_notes")?;
    let chain = ask.text(&["chain", uid])?;
    for shown in [
        "purge",
        "write_query",
        "delete table access_notes",
        "<- this event",
    ] {
        ensure!(chain.contains(shown), "no {shown} in {chain}");
    }
    ensure!(
        chain.lines().all(|line| line.chars().count() <= 100),
        "wider than 100 columns: {chain}"
    );
    for framework in ["soc2", "iso27001", "gdpr"] {
        let report = ask.text(&["report", framework, "--from", "1h"])?;
        for shown in [
            "is intact",
            "shared\\_credential",
            "customers",
            "does not show",
        ] {
            ensure!(
                report.contains(shown),
                "no {shown} in the report {framework}:\n{report}"
            );
        }
    }
    Ok(())
}

/// The daemon's program passes questions on to the one beside it, and says so where there is none.
fn passed_on(setup: &Setup, data: &Path) -> Result<()> {
    let query = query()?;
    let mut search = Command::new(&setup.auditor);
    search.args(["search", "--count", "--data-dir"]).arg(data);
    let output = done(search.env("PATH", query.parent().context("no folder")?))?;
    let count = String::from_utf8_lossy(&output.stdout)
        .trim()
        .parse::<u64>();
    ensure!(count.is_ok_and(|count| count > 20), "{output:?}");
    Ok(())
}
