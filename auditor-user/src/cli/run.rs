//! `mcp-auditor run`: audit this host, or play a capture file.

use std::{
    fs,
    io::{self, IsTerminal as _},
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use auditor_core::audit::Level;
use clap::{Args, ValueEnum};
use nix::{
    fcntl::{Flock, FlockArg},
    sys::stat::{Mode, umask},
};

use crate::{
    config::Config,
    contents::Contents,
    daemon::{self, Options, Summary},
    identity::ConfigFile,
    output::{Format, Output},
    policy::Policies,
    rules,
};

/// Flags of `run`.
#[derive(Args)]
pub(super) struct Arguments {
    /// Configuration file [default: /etc/mcp-auditor/config.toml, if there is one]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where the auditor keeps its files
    #[arg(long, value_name = "DIR", default_value = "/var/lib/mcp-auditor")]
    data_dir: PathBuf,
    /// Where events go; `-` is standard output [default: events.jsonl in the data directory]
    #[arg(long, value_name = "FILE")]
    events: Option<PathBuf>,
    /// How events are written [default: pretty to a terminal, else jsonl]
    #[arg(long)]
    format: Option<Format>,
    /// How much of the messages leaves
    #[arg(long, default_value = "metadata")]
    level: LevelArgument,
    /// Record what the kernel delivers, to be played again
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
    /// Play a capture file instead of auditing this host
    #[arg(long, value_name = "FILE", conflicts_with = "record")]
    replay: Option<PathBuf>,
    /// Stop after this time, such as 30s, 5m or 2h
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    duration: Option<Duration>,
}

/// How much of the messages leaves.
#[derive(Clone, Copy, ValueEnum)]
enum LevelArgument {
    /// No content
    Metadata,
    /// The text of requests
    Request,
    /// The text of requests and responses
    RequestResponse,
}

impl Arguments {
    pub(super) fn execute(self) -> Result<()> {
        // What is audited is in memory for a while: it must not get into a core dump.
        nix::sys::prctl::set_dumpable(false).context("cannot switch off core dumps")?;
        // Whatever files it makes are for root and its group, whatever is usual where it is started.
        umask(Mode::from_bits_truncate(0o027));
        let (config, text) = Config::read(self.config.as_deref())?;
        let level = match self.level {
            LevelArgument::Metadata => Level::Metadata,
            LevelArgument::Request => Level::Request,
            LevelArgument::RequestResponse => Level::RequestResponse,
        };
        let is_replay = self.replay.is_some();
        if !is_replay && !nix::unistd::geteuid().is_root() {
            bail!("auditing a host needs root: run it with sudo");
        }
        let _lock = if is_replay {
            None
        } else {
            Some(lock(&self.data_dir)?)
        };
        let events = match self.events {
            Some(path) => path,
            None if is_replay => PathBuf::from("-"),
            None => self.data_dir.join("events.jsonl"),
        };
        let is_terminal = events == Path::new("-") && io::stdout().is_terminal();
        let format = self.format.unwrap_or(if is_terminal {
            Format::Pretty
        } else {
            Format::Jsonl
        });
        let output = Output::open(&events, format)?;
        let data_dir = (!is_replay).then_some(self.data_dir);
        let options = Options {
            issuers: config.identity.issuers()?,
            contents: Contents::read(&config)?,
            policies: Policies::start(&config.policy)?,
            rules: rules::load(&config.detection)?,
            authorities: config.identity.authorities()?,
            config,
            file: ConfigFile {
                path: self.config,
                text,
            },
            level,
            record: self.record,
            data_dir,
            duration: self.duration,
        };
        let summary = match &self.replay {
            Some(path) => daemon::replay(options, path, output)?,
            None => tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .context("cannot start the event loop")?
                .block_on(daemon::run(options, output))?,
        };
        print(&summary);
        Ok(())
    }
}

/// Makes the data directory and holds it: two daemons must not share one.
fn lock(directory: &Path) -> Result<Flock<fs::File>> {
    let mut builder = fs::DirBuilder::new();
    builder
        .recursive(true)
        .mode(0o700)
        .create(directory)
        .with_context(|| format!("cannot make {}", directory.display()))?;
    let path = directory.join("lock");
    let file = fs::OpenOptions::new()
        .create(true)
        .write(true)
        .truncate(false)
        .open(&path);
    let file = file.with_context(|| format!("cannot open {}", path.display()))?;
    match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Ok(lock) => Ok(lock),
        Err(_) => bail!(
            "another mcp-auditor uses {}: stop it, or give this one another --data-dir",
            directory.display()
        ),
    }
}

fn print(summary: &Summary) {
    let kernel = summary.kernel;
    eprintln!(
        "kernel: {} records, {} refused ({} bytes lost), {} bytes unreadable, {} events missed\n\
         pipeline: {} messages, {} records not understood\n\
         output: {} events, {} failed",
        kernel.written,
        kernel.refused,
        kernel.lost_bytes,
        kernel.unreadable_bytes,
        kernel.missed,
        summary.messages,
        summary.malformed,
        summary.events,
        summary.failed,
    );
}

/// A number of seconds, minutes or hours.
fn parse_duration(text: &str) -> Result<Duration, String> {
    let fail = || format!("`{text}` is no time such as 30s, 5m or 2h");
    let (number, unit) =
        text.split_at(text.len() - text.chars().next_back().map_or(0, char::len_utf8));
    let number: u64 = number.parse().map_err(|_| fail())?;
    let seconds = match unit {
        "s" => Some(number),
        "m" => number.checked_mul(60),
        "h" => number.checked_mul(3_600),
        _ => None,
    };
    seconds.map(Duration::from_secs).ok_or_else(fail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_numbers_with_a_unit() {
        assert_eq!(parse_duration("30s"), Ok(Duration::from_secs(30)));
        assert_eq!(parse_duration("2h"), Ok(Duration::from_secs(7_200)));
        for wrong in [
            "",
            "s",
            "30",
            "3x",
            "-1s",
            "1.5s",
            "99999999999999999999s",
            "6000000000000000000h",
            "é",
        ] {
            assert!(parse_duration(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_data_directory_belongs_to_one() {
        let directory =
            std::env::temp_dir().join(format!("mcp-auditor-lock-{}", std::process::id()));
        let first = lock(&directory).unwrap();
        assert!(
            lock(&directory)
                .unwrap_err()
                .to_string()
                .contains("another mcp-auditor")
        );
        drop(first);
        lock(&directory).unwrap();
        fs::remove_dir_all(&directory).unwrap();
    }
}
