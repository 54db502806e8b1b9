//! Holds a log against what is known of it elsewhere: checkpoints that were kept, and what witnesses signed.
//!
//! Only this shows that a log was cut, or put back with all that belongs to it.

use std::{collections::HashMap, path::Path};

use tlog_tiles::{checkpoint::Checkpoint, tlog::Hash};

use super::{Stop, What, checkpoint, refused, tampering};
use crate::{error::Invalid, files, witness};

/// Holds the log against checkpoints that were kept elsewhere.
pub(super) fn retained(
    notes: &[String],
    keys: &[&str],
    signed: &Checkpoint,
    root: &impl Fn(u64) -> Result<Hash, Stop>,
) -> Result<(), Stop> {
    let mut all = Vec::new();
    for note in notes {
        match checkpoint(note, keys) {
            Ok(kept) => all.push(kept),
            Err(Invalid::Untrusted(_)) => {
                let told = "a checkpoint that was kept is signed by a key that the log does not know: it was put back to \
                            a state before that key, or another log is in its place";
                return Err(tampering(What::Rollback, told));
            }
            Err(error) => {
                let told = format!("a checkpoint that was kept: {error}");
                return Err(tampering(What::Malformed, told));
            }
        }
    }
    // Two trees of one size tell more than that the log has neither.
    let mut roots: HashMap<u64, Hash> = HashMap::new();
    for kept in &all {
        if *roots.entry(kept.size()).or_insert(*kept.hash()) != *kept.hash() {
            let told = format!(
                "two checkpoints that were kept have different trees of {} entries",
                kept.size()
            );
            return Err(tampering(What::Fork, told));
        }
    }
    for kept in &all {
        if kept.size() > signed.size() {
            let (size, kept) = (signed.size(), kept.size());
            let told = format!("a checkpoint that was kept has {kept} entries, the log {size}");
            return Err(tampering(What::Truncation, told).at(size));
        }
        if root(kept.size())? != *kept.hash() {
            let told = format!(
                "a checkpoint that was kept has another tree of {} entries",
                kept.size()
            );
            return Err(tampering(What::Fork, told));
        }
    }
    Ok(())
}

/// Holds the log against what witnesses signed; gives what that is.
pub(super) fn cosigned(
    folder: &Path,
    witnesses: &[String],
    keys: &[&str],
    signed: &Checkpoint,
    root: &impl Fn(u64) -> Result<Hash, Stop>,
) -> Result<Option<(u64, Vec<String>)>, Stop> {
    let path = folder.join(witness::FILE);
    let unwitnessed = || {
        let told = "none of the witnesses that were named signed it: they never did, or what they signed was removed";
        tampering(What::Unwitnessed, told).file(&path)
    };
    let Some(note) = files::text(&path).map_err(Stop::from)? else {
        return if witnesses.is_empty() {
            Ok(None)
        } else {
            Err(unwitnessed())
        };
    };
    let kept = checkpoint(&note, keys).map_err(|error| refused(error).file(&path))?;
    if kept.size() > signed.size() {
        let told = format!(
            "witnesses signed {} entries, the log has {}",
            kept.size(),
            signed.size()
        );
        return Err(tampering(What::Rollback, told).file(&path));
    }
    if root(kept.size())? != *kept.hash() {
        let told = "witnesses signed another tree";
        return Err(tampering(What::Fork, told).file(&path));
    }
    let named = witnesses.iter().map(String::as_str);
    let who = witness::cosigners(&note, named).map_err(|error| refused(error).file(&path))?;
    if who.is_empty() && !witnesses.is_empty() {
        return Err(unwitnessed());
    }
    Ok(Some((kept.size(), who)))
}
