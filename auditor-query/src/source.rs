//! Where the log and its copies are, and opening both.

use std::{
    io::{IsTerminal as _, Write as _, stderr},
    path::PathBuf,
    sync::Mutex,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use auditor_ledger::Reader;
use auditor_query_cli::Where;

use crate::{copies::Copies, engine::Engine};

/// How long something may take before it is told.
const PATIENCE: Duration = Duration::from_secs(1);
/// How often it is told then.
const PACE: Duration = Duration::from_millis(250);

/// The folder of the log.
pub(crate) fn log_folder(at: &Where) -> PathBuf {
    at.log.clone().unwrap_or_else(|| at.data_dir.join("log"))
}

/// The log, as far as it is signed now.
///
/// # Errors
/// When there is none.
pub(crate) fn reader(at: &Where) -> Result<Reader> {
    let folder = log_folder(at);
    ensure!(
        folder.is_dir(),
        "there is no log in {}; `--data-dir` or `--log` says where it is",
        folder.display()
    );
    Reader::open(&folder).with_context(|| format!("cannot read the log {}", folder.display()))
}

/// The copies.
pub(crate) fn copies(at: &Where) -> Copies {
    let beside = || match &at.log {
        // Who looks at a copied log has no data directory.
        Some(log) => log.with_file_name("query"),
        None => at.data_dir.join("query"),
    };
    Copies::new(&at.copies.clone().unwrap_or_else(beside))
}

/// The engine over all that is signed now, and the log to prove it by.
///
/// # Errors
/// When the log cannot be read or copies can neither be read nor made.
pub(crate) fn open(at: &Where) -> Result<(Reader, Engine)> {
    let log = reader(at)?;
    let told = Progress::new();
    let held = copies(at).hold(&log, &|done, all| {
        told.tell(|| format!("copying for queries: {done} of {all} entries"));
    });
    told.end();
    let held = held.context("`--copies` names a folder that can be written")?;
    if held.unread > 0 {
        eprintln!(
            "mcp-auditor: {} entries are none that this version knows",
            held.unread
        );
    }
    Ok((log, Engine::open(held)?))
}

/// Tells a person at a terminal how far something is, once it takes long.
pub(crate) struct Progress {
    begun: Instant,
    is_shown: bool,
    last: Mutex<Option<Instant>>,
}

impl Progress {
    pub(crate) fn new() -> Self {
        Self {
            begun: Instant::now(),
            is_shown: stderr().is_terminal(),
            last: Mutex::new(None),
        }
    }

    /// Tells, if it is time to.
    pub(crate) fn tell(&self, what: impl FnOnce() -> String) {
        if !self.is_shown || self.begun.elapsed() < PATIENCE {
            return;
        }
        let Ok(mut last) = self.last.lock() else {
            return;
        };
        if last.is_none_or(|last| last.elapsed() >= PACE) {
            *last = Some(Instant::now());
            let seconds = self.begun.elapsed().as_secs();
            let _ = write!(stderr(), "\r\x1b[K{} ({seconds} s)", what());
        }
    }

    /// Removes what was told.
    pub(crate) fn end(&self) {
        if self.last.lock().is_ok_and(|last| last.is_some()) {
            let _ = write!(stderr(), "\r\x1b[K");
        }
    }

    /// Waits for something, and tells meanwhile.
    pub(crate) async fn during<T>(what: &str, work: impl Future<Output = T>) -> T {
        let told = Self::new();
        let mut work = std::pin::pin!(work);
        loop {
            match tokio::time::timeout(PACE, &mut work).await {
                Ok(done) => {
                    told.end();
                    return done;
                }
                Err(_) => told.tell(|| what.to_owned()),
            }
        }
    }
}
