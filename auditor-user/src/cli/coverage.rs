//! `mcp-auditor coverage`: every process that speaks, or may speak, MCP here, and how it is seen.

use anyhow::Result;
use clap::Args;

/// Flags of `coverage`.
#[derive(Args)]
pub(super) struct Arguments {
    /// Print JSON for programs
    #[arg(long)]
    json: bool,
}

impl Arguments {
    pub(super) fn execute(self) -> Result<()> {
        let _ = self.json;
        Ok(())
    }
}
