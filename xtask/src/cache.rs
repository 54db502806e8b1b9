//! A folder outside the clone for downloads that several clones can share.
//!
//! Everything in it can be made again: it is never relied upon. An entry's name carries a
//! fingerprint of what it was made from, so a changed pin makes a new entry.

use std::{
    fs,
    hash::{DefaultHasher, Hash, Hasher},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use anyhow::{Context, Result};

use crate::workspace;

/// What is being made, each by one thread.
static MAKING: Mutex<Vec<(String, Arc<Mutex<()>>)>> = Mutex::new(Vec::new());

/// The cache folder: `$XDG_CACHE_HOME/mcp-auditor`, `~/.cache/mcp-auditor`, else in `target/`.
pub(crate) fn folder() -> PathBuf {
    let set = |name| {
        std::env::var_os(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    let base = set("XDG_CACHE_HOME").or_else(|| set("HOME").map(|home| home.join(".cache")));
    let shared = base.map(|base| base.join("mcp-auditor"));
    shared
        .filter(|folder| fs::create_dir_all(folder).is_ok())
        .unwrap_or_else(|| workspace::target().join("cache"))
}

/// Gives the cache entry `name` made from `inputs`, calling `make` with its folder if need be.
///
/// A half-made entry is removed and made again.
pub(crate) fn entry(
    name: &str,
    inputs: &[&[u8]],
    make: impl FnOnce(&Path) -> Result<()>,
) -> Result<PathBuf> {
    let lock = lock(name);
    let _lock = lock.lock().unwrap_or_else(PoisonError::into_inner);
    let mut hasher = DefaultHasher::new();
    inputs.hash(&mut hasher);
    let entry = folder().join(format!("{name}-{:016x}", hasher.finish()));
    let complete = entry.join(".complete");
    if !complete.exists() {
        if entry.exists() {
            fs::remove_dir_all(&entry)?;
        }
        fs::create_dir_all(&entry).with_context(|| format!("cannot make {}", entry.display()))?;
        make(&entry)?;
        fs::write(complete, "")?;
    }
    Ok(entry)
}

fn lock(name: &str) -> Arc<Mutex<()>> {
    let mut making = MAKING.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, lock)) = making.iter().find(|(made, _)| made == name) {
        return Arc::clone(lock);
    }
    let lock = Arc::default();
    making.push((name.to_owned(), Arc::clone(&lock)));
    lock
}
