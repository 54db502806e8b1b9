//! `mcp-auditor index`: keeps query copies up to the log.

use std::{thread, time::Duration};

use anyhow::Result;
use auditor_query_cli::Index;

use crate::source::{self, Progress};

/// How long after one look comes the next.
const PACE: Duration = Duration::from_secs(2);

/// Does what the flags say.
///
/// # Errors
/// When the log cannot be read or copies cannot be written; not while it follows.
pub(crate) fn execute(arguments: &Index) -> Result<()> {
    let copies = source::copies(&arguments.log);
    let update = || -> Result<u64> {
        let log = source::reader(&arguments.log)?;
        let told = Progress::new();
        let updated = copies.update(&log, &|done, all| {
            told.tell(|| format!("copying for queries: {done} of {all} entries"));
        });
        told.end();
        updated?;
        Ok(log.size())
    };
    if !arguments.follow {
        let size = update()?;
        println!("the copies are up to the {size} entries of the log");
        return Ok(());
    }
    let mut last = None;
    loop {
        // A log that is not there yet, or a disk that is full, may be mended meanwhile.
        let failed = update().err().map(|error| format!("{error:#}"));
        if let Some(failed) = failed.as_ref().filter(|_| failed != last) {
            eprintln!("mcp-auditor: {failed}");
        }
        last = failed;
        thread::sleep(PACE);
    }
}
