//! What other programs rely on, against the daemon's binary: its command line, who is named, what losses add up to.
//!
//! Each test starts the daemon it needs; the tests run one after the other. Needs root.

mod canary;
mod commands;
mod delivery;
mod environment;
mod log;
mod losses;
mod naming;
mod search;
mod signals;
mod who;

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Result;

use crate::{
    daemon::Daemon,
    suite::{self, Named},
};

/// What a test is given.
pub(crate) struct Setup {
    /// The daemon's binary.
    auditor: PathBuf,
    /// A folder of its own, empty.
    folder: PathBuf,
    limit: Duration,
}

type Test = Named<fn(&Setup) -> Result<()>>;

const TESTS: [Test; 26] = [
    ("contract_wrong_usage", commands::wrong_usage),
    ("contract_unusable_host", commands::unusable_host),
    ("contract_unknown_key", commands::unknown_key),
    ("contract_second_daemon", commands::second_daemon),
    ("contract_standard_output", commands::standard_output),
    ("contract_duration", commands::duration),
    ("contract_json", commands::json),
    ("contract_interrupt", signals::interrupt),
    ("contract_terminate", signals::terminate),
    ("contract_short_life", naming::short_life),
    ("contract_large_program", naming::large_program),
    ("contract_program", naming::program),
    ("contract_reused_pid", naming::reused_pid),
    ("contract_who", who::who),
    ("contract_killed_client", losses::killed_client),
    ("contract_full_ring", losses::full_ring),
    ("contract_environment", environment::environment),
    ("contract_log_kept", log::kept),
    ("contract_log_killed", log::killed),
    ("contract_log_witnessed", log::witnessed),
    ("contract_delivered", delivery::everywhere),
    ("contract_delivered_late", delivery::late),
    ("contract_exercised", search::exercised),
    ("contract_canary_metadata", canary::metadata),
    ("contract_canary_request", canary::request),
    ("contract_canary_request_response", canary::request_response),
];

/// Runs the tests whose name contains `only`, says how each ended, and gives the number of those that failed.
pub(crate) fn check(auditor: &Path, folder: &Path, only: Option<&str>, limit: Duration) -> usize {
    let play = |(name, test): &Test, (): &mut ()| {
        let setup = Setup {
            auditor: auditor.to_owned(),
            folder: folder.join(name),
            limit,
        };
        setup.prepare()?;
        test(&setup)
    };
    suite::run(&TESTS, only, || Ok(()), play)
}

impl Setup {
    fn prepare(&self) -> Result<()> {
        if self.folder.exists() {
            fs::remove_dir_all(&self.folder)?;
        }
        Ok(fs::create_dir_all(&self.folder)?)
    }

    /// A daemon with its files below this test's folder.
    fn daemon(&self, extra: &[&str]) -> Result<Daemon> {
        Daemon::start(
            &self.auditor,
            &self.folder.join("daemon"),
            extra,
            self.limit,
        )
    }

    /// A copy of a program in a place that every user can reach: a file that nobody ran before.
    fn copy_of(&self, program: &Path, name: &str) -> Result<Copied> {
        let test = self
            .folder
            .file_name()
            .unwrap_or_default()
            .to_string_lossy();
        let folder = std::env::temp_dir();
        let path = folder.join(format!("{test}-{}-{name}", std::process::id()));
        // Removed first: a file that was there may be known.
        let _ = fs::remove_file(&path);
        fs::copy(program, &path)?;
        Ok(Copied(path))
    }
}

/// A copied program, removed in the end.
struct Copied(PathBuf);

impl Drop for Copied {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}
