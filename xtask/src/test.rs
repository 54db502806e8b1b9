//! `cargo xtask test`: runs the parts of the check, adds up their results, tells the time of each.
//!
//! What a part does is in the part's own file. A failed part does not keep the next from running.

mod deploy;
pub(crate) mod e2e;
mod fuzz;
mod lint;
mod oracles;
mod report;
mod unit;
mod vm;

use std::{thread, time::Instant};

use anyhow::Result;
use clap::{Args, ValueEnum};

use self::report::Report;
pub(crate) use self::report::{Count, counted_with_code};
use crate::setup;

#[derive(Args)]
pub(crate) struct Options {
    /// The parts to run; all of them when none is named
    parts: Vec<Part>,
    /// Leave out test programs that cannot be installed here (python, typescript, go, rust, java;
    /// tools are curl, wget, nginx and the like; engines are podman, runc and containerd; kubernetes
    /// and spire are built from their modules)
    #[arg(long, value_delimiter = ',')]
    without: Vec<String>,
    /// Run only the end-to-end tests whose name contains this
    #[arg(long)]
    only: Option<String>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
enum Part {
    /// Formatting, clippy, licences and sources of dependencies
    Lint,
    /// Tests that need neither root nor the network
    Unit,
    /// What the product reads, compared with other implementations
    Oracles,
    /// What is installed: chart, manifests, unit, manual pages
    Deploy,
    /// Real MCP programs under the running daemon, as root
    E2e,
    /// A bounded run of each fuzz target
    Fuzz,
    /// The end-to-end tests on another kernel
    Vm,
}

/// Runs the chosen parts; tells whether all in them passed.
pub(crate) fn test(options: Options) -> Result<bool> {
    let route = setup::setup()?;
    let chosen = if options.parts.is_empty() {
        Part::value_variants()
    } else {
        &options.parts[..]
    };
    // What the end-to-end tests play with is fetched and built beside the other parts, of which few keep both processors busy.
    let without = options.without.clone();
    let mut installing = chosen
        .contains(&Part::E2e)
        .then(|| thread::spawn(move || e2e::install(&without)));
    let mut report = Report::default();
    for part in chosen {
        let started = Instant::now();
        println!("\n== {part:?}");
        match part {
            Part::Lint => lint::check(route, &mut report),
            Part::Unit => unit::check(route, &mut report),
            Part::Oracles => oracles::check(&mut report),
            Part::Deploy => deploy::check(&mut report),
            Part::E2e => e2e::check(&options, installing.take(), &mut report),
            Part::Fuzz => fuzz::check(&mut report),
            Part::Vm => vm::check(&mut report),
        }
        report.time(format!("{part:?}"), started.elapsed());
    }
    Ok(report.finish())
}
