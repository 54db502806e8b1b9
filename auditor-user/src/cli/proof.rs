//! `mcp-auditor proof`: a proof that an event is in the log, and the check of one.

use std::{fs, path::PathBuf};

use anyhow::{Context as _, Result, bail};
use auditor_ledger::{Proof, Reader};
use clap::Args;
use memchr::memmem;
use serde_json::Value;

use super::harmless;
use crate::store;

/// Flags of `proof`.
#[derive(Args)]
pub(super) struct Arguments {
    /// The event: its `metadata.uid`
    #[arg(required_unless_present = "check")]
    event: Option<String>,
    /// The auditor's data directory
    #[arg(long, value_name = "DIR", default_value = "/var/lib/mcp-auditor")]
    data_dir: PathBuf,
    /// Check this proof instead; needs no log
    #[arg(long, value_name = "FILE", requires = "key", conflicts_with = "event")]
    check: Option<PathBuf>,
    /// The verifier key that is trusted
    #[arg(long, value_name = "KEY", requires = "check")]
    key: Option<String>,
}

impl Arguments {
    pub(super) fn execute(self) -> Result<()> {
        match (self.check, self.key, self.event) {
            (Some(path), Some(key), _) => check(&path, &key),
            (_, _, Some(event)) => {
                let log = store::folder(&self.data_dir);
                let reader = Reader::open(&log)?;
                let Some(index) = find(&reader, &event)? else {
                    bail!(
                        "no event `{}` is in the {} entries of {}",
                        harmless(&event),
                        reader.size(),
                        log.display()
                    );
                };
                print!("{}", reader.prove(index)?.to_json());
                Ok(())
            }
            _ => bail!("name an event, or a proof to check"),
        }
    }
}

/// The last entry of an event: one that was open for long has an earlier one.
fn find(reader: &Reader, event: &str) -> Result<Option<u64>> {
    let finder = memmem::Finder::new(event);
    let mut found = None;
    for entry in reader.entries(0) {
        let entry = entry?;
        if finder.find(&entry.bytes).is_some() && uid(&entry.bytes).as_deref() == Some(event) {
            found = Some(entry.index);
        }
    }
    Ok(found)
}

fn uid(entry: &[u8]) -> Option<String> {
    let event: Value = serde_json::from_slice(entry).ok()?;
    Some(event.pointer("/metadata/uid")?.as_str()?.to_owned())
}

fn check(path: &std::path::Path, key: &str) -> Result<()> {
    let what = || format!("the proof {}", path.display());
    let text = fs::read_to_string(path).with_context(what)?;
    let proof = Proof::from_json(&text).with_context(what)?;
    let shown = proof.verify(key).with_context(what)?;
    println!(
        "proven: entry {} of the {} entries of {}",
        proof.index,
        shown.size,
        harmless(&shown.origin)
    );
    println!("{}", harmless(&String::from_utf8_lossy(&proof.entry)));
    Ok(())
}
