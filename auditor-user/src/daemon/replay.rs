//! Plays a capture file through the daemon's pipeline: time is what the records say.

use std::path::Path;

use anyhow::Result;
use auditor_core::{key::Time, record};

use super::{Daemon, Options, Summary};
use crate::{
    capture::{self, Clock},
    output::Output,
    probe::Counts,
    workload::Table,
};

/// Time that passes after the last record of a replay, in nanoseconds.
const AFTERMATH: u64 = 500_000_000;

/// Plays a capture file through the same pipeline.
///
/// # Errors
/// When the file cannot be played, or events cannot be written.
pub(crate) fn replay(options: Options, path: &Path, output: Output) -> Result<Summary> {
    let clock = Clock { boot: Time(0) };
    let table = Table::of_recording();
    let mut daemon = Daemon::new(&options, table, clock, output, None);
    daemon.pipeline.set_judge(Some(Box::new(options.rules)));
    let mut last = Time(0);
    let played = capture::replay(path, |bytes, clock| {
        daemon.clock = clock;
        daemon.table.set_boot(clock.boot);
        let time = record::decode(bytes).map_or(last, |record| clock.time(record.time()));
        last = last.max(time);
        daemon.pass_time(last);
        daemon.handle_record(bytes);
    });
    daemon.pass_time(last.after(AFTERMATH));
    let counts = Counts {
        written: *played.as_ref().unwrap_or(&0),
        ..Counts::default()
    };
    let summary = daemon.finish(counts, last, last.millis())?;
    played?;
    Ok(summary)
}

impl Daemon {
    /// Lets the time of a replay pass, with everything that falls due on the way.
    fn pass_time(&mut self, to: Time) {
        let mut passed = Time(0);
        while let Some(due) = self
            .pipeline
            .poll_timeout()
            .filter(|due| *due <= to && *due > passed)
        {
            passed = due;
            self.pipeline.handle_timeout(due, &self.table);
            self.write_events(due);
        }
        self.pipeline.handle_timeout(to, &self.table);
        self.write_events(to);
    }
}
