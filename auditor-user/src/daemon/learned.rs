//! Keeps what detection learned from one run to the next, in `state/detection.json` of the data directory.
//!
//! Written every [`EVERY`] and in the end, whole or not at all; what is damaged is told and begun anew. Bound: [`BYTES`].

use std::{
    fs::{self, File},
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};

use super::Daemon;

/// How often it is written: what a daemon learned that is killed is gone since then.
const EVERY: Duration = Duration::from_secs(300);
/// Most bytes that are read.
const BYTES: u64 = 64 << 20;

impl Daemon {
    /// Takes up what was kept.
    pub(super) fn take_up_learned(&mut self) {
        self.learned_at = Some(Instant::now());
        let Some(path) = self.learned_path() else {
            return;
        };
        if let Err(error) = self.read_learned(&path) {
            tracing::warn!("what detection learned before is lost, and begins anew: {error:#}");
        }
    }

    fn read_learned(&mut self, path: &Path) -> Result<()> {
        let what = || format!("cannot read {}", path.display());
        let length = match fs::metadata(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            found => found.with_context(what)?.len(),
        };
        ensure!(
            length <= BYTES,
            "{}: {length} bytes are over the limit of {BYTES}",
            path.display()
        );
        let kept = fs::read(path).with_context(what)?;
        self.pipeline.take_up_detection(&kept).with_context(what)
    }

    /// Keeps it, when that is due.
    pub(super) fn save_learned(&mut self) {
        let is_due = self.learned_at.is_none_or(|at| at.elapsed() >= EVERY);
        let Some(path) = self.learned_path().filter(|_| is_due) else {
            return;
        };
        self.learned_at = Some(Instant::now());
        if let Err(error) = write(&path, &self.pipeline.keep_detection()) {
            tracing::warn!("what detection learned cannot be kept: {error:#}");
        }
    }

    /// None in a replay.
    fn learned_path(&self) -> Option<PathBuf> {
        let directory = self.data_dir.as_ref()?;
        Some(directory.join("state/detection.json"))
    }
}

fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let what = || format!("cannot write {}", path.display());
    let (folder, new) = (path.parent(), path.with_extension("new"));
    fs::create_dir_all(folder.unwrap_or(path)).with_context(what)?;
    let mut options = File::options();
    let options = options.write(true).create(true).truncate(true).mode(0o600);
    let mut file = options.open(&new).with_context(what)?;
    file.write_all(bytes).with_context(what)?;
    file.sync_data().with_context(what)?;
    fs::rename(&new, path).with_context(what)
}
