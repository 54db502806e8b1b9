//! Compares what the product reads with what other implementations read, on corpora that nobody here wrote.

use anyhow::Result;

use super::report::Report;
use crate::{
    command::{command, run},
    programs, workspace,
};

pub(super) fn check(report: &mut Report) {
    report.check("SQL, by sqlglot", sql);
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
