//! `mcp-auditor rules`: check and list the rules that events are compared with.
//!
//! Exit codes: 0 all is well, 1 something is wrong and told, 2 wrong usage. Nothing here touches the daemon.

use std::path::PathBuf;

use anyhow::Result;
use auditor_detect::About;
use clap::{Args, Subcommand};

use super::harmless;
use crate::{config::Config, rules};

/// Flags of `rules`.
#[derive(Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Check rules, and say what is wrong with them.
    Check {
        /// Files and folders of Sigma rules [default: those in force by the configuration]
        paths: Vec<PathBuf>,
        /// Configuration file [default: /etc/mcp-auditor/config.toml, if there is one]
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
    },
    /// List the rules in force by the configuration: level, id and title.
    List {
        /// Configuration file [default: /etc/mcp-auditor/config.toml, if there is one]
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
        /// One JSON object a line
        #[arg(long)]
        json: bool,
    },
    /// List the fields that rules may name.
    Fields,
}

impl Arguments {
    pub(super) fn execute(self) -> Result<()> {
        match self.command {
            Command::Check { paths, config } => {
                let rules = if paths.is_empty() {
                    rules::load(&Config::read(config.as_deref())?.0.detection)?
                } else {
                    rules::check(&paths)?
                };
                println!("{} rules are well", rules.list().len());
            }
            Command::List { config, json } => {
                let rules = rules::load(&Config::read(config.as_deref())?.0.detection)?;
                rules.list().into_iter().for_each(|rule| print(rule, json));
            }
            Command::Fields => auditor_detect::FIELDS
                .iter()
                .for_each(|field| println!("{field}")),
        }
        Ok(())
    }
}

fn print(rule: &About, json: bool) {
    if json {
        let line = serde_json::json!({
            "id": rule.id,
            "title": rule.title,
            "level": rule.level.name(),
            "version": rule.version,
            "tags": rule.tags,
            "correlation": rule.is_correlation,
        });
        println!("{line}");
        return;
    }
    println!(
        "{:<13} {}  {}",
        rule.level.name(),
        harmless(&rule.id),
        harmless(&rule.title)
    );
}
