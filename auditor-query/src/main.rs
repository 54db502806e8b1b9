//! `mcp-auditor-query`: what `mcp-auditor search`, `timeline`, `chain`, `report`, `index` and `exercise` are.

use std::process::ExitCode;

use clap::Parser as _;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    match auditor_query::Cli::parse().execute() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("mcp-auditor: {error:#}");
            ExitCode::FAILURE
        }
    }
}
