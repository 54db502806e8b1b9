//! Compares what the product reads with what other implementations read, on corpora that nobody here wrote.

use anyhow::Result;

use super::report::Report;
use crate::{
    command::{command, run},
    programs, workspace,
};

pub(super) fn check(report: &mut Report) {
    report.check("SQL, by sqlglot", sql);
    report.check("Sigma rules, by pySigma", sigma);
    report.check("poisoned definitions, by mcp-stress-test", poison);
    report.check("logs and proofs, by Go's sumdb", logs);
}

/// Logs of sizes around those of tiles, whole and changed, and proofs out of them.
fn logs() -> Result<()> {
    let test = [
        "test",
        "--quiet",
        "--package",
        "auditor-ledger",
        "--test",
        "oracle",
    ];
    let mut cargo = command("cargo", test);
    cargo.env("LEDGER_ORACLE", programs::ledger()?.join("ledger"));
    run(cargo.current_dir(workspace::root()))
}

/// Every rule that ships, parsed by another implementation.
fn sigma() -> Result<()> {
    let python = programs::detection()?;
    let mut parse = command(&python.to_string_lossy(), ["-I"]);
    parse.arg(workspace::root().join("tests/sigma_parse.py"));
    run(parse.arg(workspace::root().join("auditor-detect/rules")))
}

/// Texts of a corpus, of which at least nine in ten must be found.
fn poison() -> Result<()> {
    let python = programs::detection()?;
    let build = [
        "build",
        "--release",
        "--quiet",
        "--package",
        "auditor-detect",
    ];
    let mut cargo = command("cargo", build);
    run(cargo
        .args(["--example", "scan"])
        .current_dir(workspace::root()))?;
    let mut scan = command(&python.to_string_lossy(), ["-I"]);
    scan.arg(workspace::root().join("tests/poison_corpus.py"));
    scan.arg(workspace::target().join("release/examples/scan"));
    run(scan.arg("0.9"))
}

/// The statements that ship with sqlglot, read by it and by us.
fn sql() -> Result<()> {
    let (python, source) = programs::sqlglot()?;
    let build = [
        "build",
        "--release",
        "--quiet",
        "--package",
        "auditor-resource",
    ];
    let mut cargo = command("cargo", build);
    run(cargo
        .args(["--example", "sql"])
        .current_dir(workspace::root()))?;
    let mut compare = command(&python.to_string_lossy(), ["-I"]);
    compare.arg(workspace::root().join("tests/sql_corpus.py"));
    compare
        .arg(workspace::target().join("release/examples/sql"))
        .arg(source);
    run(&mut compare)
}
