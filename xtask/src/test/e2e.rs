//! The end-to-end tests: real MCP programs under the running daemon, as root.

use std::{path::Path, process::Command, thread::JoinHandle};

use anyhow::{Result, anyhow};

use super::{
    Options,
    report::{Count, Report, counted},
};
use crate::{
    build,
    command::{as_root, command, run},
    image, programs,
    run::path_text,
    workspace,
};

/// Variables that tell where programs are.
type Installed = Vec<(&'static str, String)>;

/// `installing` is what installs the programs, where that has begun.
pub(super) fn check(
    options: &Options,
    installing: Option<JoinHandle<Result<Installed>>>,
    report: &mut Report,
) {
    report.count("end-to-end tests", || all(options, installing));
    report.check("OCSF validation", valid);
}

/// Validates every event that the end-to-end tests made the daemon write.
fn valid() -> Result<()> {
    let folder = workspace::target().join("e2e");
    // What the daemon wrote of interactions, one log with what it says of itself, and what one sink got.
    let files = [
        "daemon/events.jsonl",
        "contract/contract_log_kept/entries.jsonl",
        // With checkpoints, and what a sink did not get.
        "contract/contract_delivered_late/file.jsonl",
    ];
    let files = files
        .map(|file| folder.join(file))
        .into_iter()
        .filter(|file| file.exists());
    let mut python = Command::new(programs::ocsf()?);
    run(python
        .arg(workspace::root().join("tests/ocsf_validate.py"))
        .args(files))
}

fn all(options: &Options, installing: Option<JoinHandle<Result<Installed>>>) -> Result<Count> {
    let installed = match installing {
        Some(thread) => {
            let ended = thread.join();
            ended.map_err(|_| anyhow!("what installs programs panicked"))??
        }
        None => install(&options.without)?,
    };
    let auditor = build::build()?;
    let tests = build_tests()?;
    let mut installed = installed;
    let query = build::query(build::Profile::Dev)?;
    installed.push(("AUDITOR_E2E_QUERY", path_text(&query)?.to_owned()));
    if installed
        .iter()
        .any(|(name, _)| *name == "AUDITOR_E2E_KUBERNETES")
    {
        installed.push(("AUDITOR_E2E_IMAGE", image()?));
    }
    let mut command = tests_command(&tests, &installed, options)?;
    counted(command.arg("--auditor").arg(auditor))
}

/// The auditor's image, as an archive.
fn image() -> Result<String> {
    let archive = workspace::target().join("e2e-image.tar");
    image::image(&image::Options {
        tag: "docker.io/local/mcp-auditor:e2e".to_owned(),
        archive: Some(archive.clone()),
        daemon_only: true,
    })?;
    Ok(archive.display().to_string())
}

/// Builds the test program and gives its path.
pub(crate) fn build_tests() -> Result<std::path::PathBuf> {
    let build = ["build", "--release", "--quiet", "--package", "auditor-e2e"];
    run(command("cargo", build).current_dir(workspace::root()))?;
    Ok(workspace::target().join("release/auditor-e2e"))
}

/// Installs the MCP programs and gives the variables that tell where they are.
pub(crate) fn install(without: &[String]) -> Result<Installed> {
    let wanted = |language: &str| !without.iter().any(|left_out| left_out == language);
    let text = |path: std::path::PathBuf| path.display().to_string();
    let mut variables = Vec::new();
    if wanted("python") {
        variables.push(("AUDITOR_E2E_PYTHON_1", text(programs::python("sdk-1")?)));
        variables.push(("AUDITOR_E2E_PYTHON_2", text(programs::python("sdk-2")?)));
    }
    if wanted("typescript") {
        variables.push(("AUDITOR_E2E_NODE", text(programs::node()?)));
    }
    if wanted("go") {
        variables.push(("AUDITOR_E2E_GO", text(programs::go()?)));
        variables.push(("AUDITOR_E2E_CEDAR", text(programs::cedar()?)));
        variables.push(("AUDITOR_E2E_LEDGER", text(programs::ledger()?)));
        variables.push(("AUDITOR_E2E_WITNESS", text(programs::witness()?)));
    }
    if wanted("spire") {
        variables.push(("AUDITOR_E2E_SPIRE", text(programs::spire()?)));
    }
    if wanted("rust") {
        variables.push(("AUDITOR_E2E_RUST", text(programs::rust()?)));
    }
    if wanted("java") {
        variables.push(("AUDITOR_E2E_JAVA", text(programs::java()?)));
        variables.push(("AUDITOR_E2E_KAFKA", text(programs::kafka()?)));
        variables.push(("AUDITOR_E2E_OPENSEARCH", text(programs::opensearch()?)));
    }
    if wanted("tools") {
        variables.push(("AUDITOR_E2E_TOOLS", text(programs::tools()?)));
        variables.push(("AUDITOR_E2E_RECEIVERS", text(programs::receivers()?)));
        variables.push(("AUDITOR_E2E_SYSLOG", text(programs::syslog()?)));
    }
    if wanted("engines") {
        programs::engines()?;
    }
    if wanted("kubernetes") && wanted("engines") && wanted("go") {
        variables.push(("AUDITOR_E2E_KUBERNETES", text(programs::kubernetes()?)));
        variables.push(("AUDITOR_E2E_DEPLOY", text(programs::deploy()?)));
    }
    Ok(variables)
}

fn tests_command(tests: &Path, installed: &Installed, options: &Options) -> Result<Command> {
    // Sudo drops the environment: what the tests need is told on the command line.
    let path = std::env::var("PATH").unwrap_or_default();
    let mut words = vec![format!("PATH={path}")];
    words.extend(
        installed
            .iter()
            .map(|(name, value)| format!("{name}={value}")),
    );
    words.push(path_text(tests)?.to_owned());
    let mut command = as_root("env", words);
    command.arg("--folder").arg(workspace::target().join("e2e"));
    if !options.without.is_empty() {
        command.arg("--without").arg(options.without.join(","));
    }
    if let Some(only) = &options.only {
        command.arg("--only").arg(only);
    }
    Ok(command)
}
