//! Compares what the product reads with what other implementations read, on corpora that nobody here wrote.

use anyhow::Result;

use super::report::Report;
use crate::{
    command::{command, output, run},
    programs, workspace,
};

pub(super) fn check(report: &mut Report) {
    report.check("SQL, by sqlglot", sql);
    report.check("Sigma rules, by pySigma", sigma);
    report.check("poisoned definitions, by mcp-stress-test", poison);
    report.check("logs and proofs, by Go's sumdb", logs);
}

/// Logs of sizes around those of tiles, with a proof each; and one that was changed.
fn logs() -> Result<()> {
    let judge = programs::ledger()?.join("ledger");
    let build = [
        "build",
        "--release",
        "--quiet",
        "--package",
        "auditor-ledger",
    ];
    let mut cargo = command("cargo", build);
    run(cargo
        .args(["--example", "sample"])
        .current_dir(workspace::root()))?;
    let sample = workspace::target().join("release/examples/sample");
    let folder = workspace::target().join("ledger-oracle");
    for entries in [1_u64, 255, 256, 257, 66_000] {
        let _ = std::fs::remove_dir_all(&folder);
        let mut write = command(&sample.to_string_lossy(), [&*folder.to_string_lossy()]);
        write.args([entries.to_string(), (entries / 2).to_string()]);
        let key = output(&mut write)?;
        let verify = || {
            let mut verify = command(&judge.to_string_lossy(), [key.trim()]);
            verify
                .arg(folder.join("log"))
                .arg(folder.join("proof.json"));
            verify
        };
        run(&mut verify())?;
        if entries == 257 {
            let bundle = folder.join("log/tile/entries/000");
            let mut bytes = std::fs::read(&bundle)?;
            if let Some(byte) = bytes.get_mut(100) {
                *byte ^= 1;
            }
            std::fs::write(&bundle, bytes)?;
            anyhow::ensure!(run(&mut verify()).is_err(), "a changed log was taken");
        }
    }
    Ok(())
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
