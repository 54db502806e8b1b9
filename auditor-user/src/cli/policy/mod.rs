//! `mcp-auditor policy`: write, check, test and explain what interactions are decided by.
//!
//! Exit codes: 0 all is well, 1 something is wrong and told, 2 wrong usage. Nothing here touches the daemon.

mod explain;
mod test;

use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use auditor_policy::PolicySet;
use clap::{Args, Subcommand};

use crate::{config::Config, policy};

/// Flags of `policy`.
#[derive(Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Check policies against the schema, and say all that is wrong with them.
    Check {
        /// Files and folders of policies [default: those of the configuration]
        paths: Vec<PathBuf>,
        /// Configuration file [default: /etc/mcp-auditor/config.toml, if there is one]
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
    },
    /// Print what policies may look at, as a Cedar schema.
    Schema,
    /// Print a policy set to begin with.
    Starter,
    /// Say why an event was decided as it was, and whether the present policies would decide otherwise.
    Explain(explain::Arguments),
    /// Ask the questions of a folder of cases, and say which are answered otherwise than expected.
    Test(test::Arguments),
}

impl Arguments {
    pub(super) fn execute(self) -> Result<()> {
        match self.command {
            Command::Check { paths, config } => check(&paths, config.as_deref()),
            Command::Schema => {
                print!("{}", auditor_policy::SCHEMA);
                Ok(())
            }
            Command::Starter => {
                print!("{}", auditor_policy::STARTER);
                Ok(())
            }
            Command::Explain(arguments) => arguments.execute(),
            Command::Test(arguments) => arguments.execute(),
        }
    }
}

fn check(paths: &[PathBuf], config: Option<&Path>) -> Result<()> {
    let set = chosen(paths, config)?;
    println!(
        "{} policies are well, version {}",
        set.policies().len(),
        set.version()
    );
    Ok(())
}

/// The policies of the paths, else those that are configured.
fn chosen(paths: &[PathBuf], config: Option<&Path>) -> Result<PolicySet> {
    if !paths.is_empty() {
        return policy::load(paths);
    }
    let (config, _) = Config::read(config)?;
    ensure!(
        !config.policy.files.is_empty(),
        "no policies: name files, or set `files` under [policy] in the configuration"
    );
    policy::load(&config.policy.files)
}
