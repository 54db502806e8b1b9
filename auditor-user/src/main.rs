//! mcp-auditor: records every MCP interaction on a host, from the kernel, without touching the workloads.

mod capture;
mod cli;
mod config;
mod contents;
mod coverage;
mod daemon;
mod environment;
mod host;
mod identity;
mod metrics;
mod output;
mod policy;
mod probe;
mod rules;
mod store;
mod tls;
mod workload;

use std::{io::IsTerminal as _, process::ExitCode};

use clap::Parser as _;
use tracing_subscriber::EnvFilter;

/// An event is some hundred small pieces of memory, and those of many workloads' messages live side by side.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The option before the one that has a name in the bindings.
const PURGE_DELAY: libmimalloc_sys::mi_option_t = libmimalloc_sys::mi_option_use_numa_nodes - 1;

fn main() -> ExitCode {
    // Pages that are free go back at once: the daemon shares the host with what it audits.
    // SAFETY: sets a number of the allocator, before other threads exist.
    unsafe { libmimalloc_sys::mi_option_set(PURGE_DELAY, 0) };
    // What clients of Kubernetes and Kafka say of each failure is said here once.
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| {
        EnvFilter::new("info,aya=warn,kube_client=off,kube_runtime=off,rskafka=warn")
    });
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        .init();
    match cli::Cli::parse().execute() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("mcp-auditor: {error:#}");
            ExitCode::FAILURE
        }
    }
}
