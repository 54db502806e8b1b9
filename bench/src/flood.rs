//! Endless half messages on 1000 pipes: memory stays bounded.

use anyhow::{Result, ensure};

use crate::{
    auditor::{Auditor, role},
    report::Report,
};

const PIPES: usize = 1000;
const BYTES: usize = 1 << 20;

pub(crate) fn measure(auditor: &Auditor, report: &mut Report) -> Result<()> {
    let running = auditor.start()?;
    running.settle()?;
    let status = role()?
        .args(["endless", &PIPES.to_string(), &BYTES.to_string()])
        .status()?;
    ensure!(
        status.success(),
        "the flood failed: raise the limit of open files (ulimit -n 4096)"
    );
    running.settle()?;
    let ended = running.stop()?;
    report.at_most(
        "1 GiB of endless half messages on 1000 pipes: memory, peak",
        ended.peak_mib,
        400.0,
        "MiB",
    );
    Ok(())
}
