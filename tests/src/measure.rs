//! What takes too long for a whole test, on demand: `auditor-e2e ... fresh|many`. Prints what was measured.

use std::path::Path;

use anyhow::{Result, ensure};
use clap::Subcommand;

use crate::{
    Arguments, LIMIT,
    certificates::Certificates,
    daemon::Daemon,
    load::{fresh, many},
};

#[derive(Subcommand)]
pub(crate) enum Measurement {
    /// Calls that are each made by a process of its own
    Fresh {
        #[arg(default_value_t = 500)]
        calls: u64,
    },
    /// Connections at once through one process
    Many {
        #[arg(default_value_t = 1000)]
        connections: usize,
    },
}

impl Measurement {
    /// Measures, and fails where a figure is not what it must be.
    pub(crate) fn run(&self, arguments: &Arguments, auditor: &Path) -> Result<()> {
        let folder = &arguments.folder;
        let certificates = Certificates::make(&folder.join("certificates"))?;
        let limit = LIMIT * arguments.slow * 4;
        let mut daemon = Daemon::start(auditor, &folder.join("daemon"), &[], limit)?;
        let mut missed = 0;
        match *self {
            Self::Fresh { calls } => {
                for program in fresh::PROGRAMS {
                    let unheard =
                        fresh::run(program, calls, &daemon, &certificates, folder, limit)?;
                    let heard = calls - unheard.len() as u64;
                    missed += usize::from(heard * 100 < calls * 99);
                    println!(
                        "{}: {heard} of {calls} processes heard from the first request; missed {unheard:?}",
                        program.name()
                    );
                }
            }
            Self::Many { connections } => {
                for pair in many::PAIRS {
                    let figures =
                        many::run(pair, connections, &daemon, &certificates, folder, limit)?;
                    missed += usize::from(figures.judge().is_err());
                    println!("{} to {}: {figures:?}", pair.0.name(), pair.1.name());
                }
            }
        }
        daemon.stop(limit)?;
        ensure!(missed == 0, "{missed} figures are not what they must be");
        Ok(())
    }
}
