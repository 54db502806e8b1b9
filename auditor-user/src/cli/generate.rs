//! `mcp-auditor generate`: manual pages and completions, made from the command line itself.

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use clap::{Args, CommandFactory as _, Subcommand};
use clap_complete::Shell;

use super::Cli;

/// What is generated.
#[derive(Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Manual pages, into a folder: one for the program and one for each command
    Man {
        /// The folder
        folder: PathBuf,
    },
    /// Completions for a shell, on standard output
    Completions {
        /// The shell
        shell: Shell,
    },
}

impl Arguments {
    pub(super) fn execute(self) -> Result<()> {
        let mut command = Cli::command();
        match self.what {
            What::Man { folder } => {
                std::fs::create_dir_all(&folder)
                    .with_context(|| format!("cannot make {}", folder.display()))?;
                clap_mangen::generate_to(command, &folder)
                    .with_context(|| format!("cannot write manual pages to {}", folder.display()))
            }
            What::Completions { shell } => {
                let name = command.get_name().to_owned();
                clap_complete::generate(shell, &mut command, name, &mut std::io::stdout());
                Ok(())
            }
        }
    }
}
