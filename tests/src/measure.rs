//! What takes too long for a whole test, on demand: `auditor-e2e ... fresh|many|hops|chains|attach|throughput|containers|
//! delivery`. Prints what was measured.

use std::path::Path;

use anyhow::{Result, ensure};
use clap::Subcommand;

use crate::{
    Arguments, LIMIT,
    certificates::Certificates,
    chains,
    daemon::Daemon,
    engine,
    load::{alone, attach, delivery, fresh, hops, many, throughput},
};

#[derive(Subcommand)]
pub(crate) enum Measurement {
    /// Calls that are each made by a process of its own
    Fresh {
        #[arg(default_value_t = 500)]
        calls: u64,
    },
    /// Daemons that come and go under load
    Attach {
        #[arg(default_value_t = 100)]
        times: usize,
    },
    /// Calls per second of HTTPS servers with and without the auditor in turn
    Throughput {
        #[arg(default_value_t = 5)]
        pairs: usize,
    },
    /// Calls through a proxy with TLS on both sides
    Hops {
        #[arg(default_value_t = 500)]
        calls: usize,
    },
    /// Containers that each make one call and end
    Containers {
        #[arg(default_value_t = 200)]
        number: u64,
    },
    /// Events in rsyslog: how soon, and how long after it was down
    Delivery {
        #[arg(default_value_t = 600)]
        seconds: u64,
        #[arg(default_value_t = 1000)]
        rate: u64,
    },
    /// Connections at once through one process
    Many {
        #[arg(default_value_t = 1000)]
        connections: usize,
    },
    /// Calls at once of two agents through one server that asks on for each
    Chains {
        #[arg(default_value_t = 100)]
        calls: usize,
    },
}

impl Measurement {
    /// Measures, and fails where a figure is not what it must be.
    pub(crate) fn run(&self, arguments: &Arguments, auditor: &Path) -> Result<()> {
        let folder = &arguments.folder;
        let certificates = Certificates::make(&folder.join("certificates"))?;
        let limit = LIMIT * arguments.slow * 4;
        let setup = alone::Setup {
            auditor,
            folder,
            certificates: &certificates,
            limit,
        };
        match *self {
            Self::Delivery { seconds, rate } => return delivery::measure(&setup, seconds, rate),
            Self::Attach { times } => return attach::and_detach(&setup, times),
            Self::Throughput { pairs } => {
                return throughput(pairs, arguments.only.as_deref(), &setup);
            }
            Self::Containers { number } => {
                let setup = engine::Setup::new(auditor, &folder.join("engine/measure"), limit)?;
                let figures = engine::short_lives(&setup, number)?;
                println!(
                    "{} of {} containers named, {} of them late; they lived {} ms (median), {} ms at most; {:.1} s in all",
                    figures.named,
                    figures.run,
                    figures.late,
                    figures.life.0,
                    figures.life.1,
                    figures.seconds
                );
                return Ok(());
            }
            _ => {}
        }
        let mut daemon = Daemon::start(auditor, &folder.join("daemon"), &[], limit)?;
        let mut missed = 0;
        match *self {
            Self::Attach { .. }
            | Self::Containers { .. }
            | Self::Delivery { .. }
            | Self::Throughput { .. } => {}
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
            Self::Hops { calls } => {
                for front in hops::FRONTS {
                    let figures =
                        hops::run(front, calls, &daemon, arguments, &certificates, limit)?;
                    missed += usize::from(figures.judge().is_err());
                    println!("through {}: {figures:?}", front.name());
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
            Self::Chains { calls } => {
                for case in chains::CASES {
                    let figures = chains::run(case, calls, &daemon, arguments, limit)?;
                    missed += usize::from(figures.judge(case.0).is_err());
                    println!("{case:?}: {figures:?}");
                }
            }
        }
        daemon.stop(limit)?;
        ensure!(missed == 0, "{missed} figures are not what they must be");
        Ok(())
    }
}

fn throughput(pairs: usize, only: Option<&str>, setup: &alone::Setup<'_>) -> Result<()> {
    // Counting costs a little; it is the same for all.
    const SWITCH: &str = "/proc/sys/kernel/bpf_stats_enabled";
    let before = std::fs::read(SWITCH)?;
    std::fs::write(SWITCH, "1")?;
    let is_wanted = |server: &throughput::Server| {
        let name = format!("{server:?}").to_lowercase();
        only.is_none_or(|only| name.contains(only))
    };
    let mut servers = throughput::SERVERS.into_iter().filter(is_wanted);
    let measured = servers.try_for_each(|server| {
        let figures = throughput::measure(server, pairs, setup)?;
        println!(
            "{server:?}: {:.0} calls/s without, ratio with : without {:.2} ({:.2} to {:.2}), {:.2} probe hits per \
             message and end",
            figures.without, figures.ratio, figures.ratios.start(), figures.ratios.end(), figures.hits
        );
        Ok(())
    });
    std::fs::write(SWITCH, before)?;
    measured
}
