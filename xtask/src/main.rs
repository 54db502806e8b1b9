//! `cargo xtask`: everything around the daemon, one file a subcommand.
//!
//! This file only dispatches. Nothing here is part of the product.

mod apt;
mod bench;
mod build;
mod cache;
mod command;
mod demo;
mod image;
mod mounts;
mod programs;
mod run;
mod setup;
mod test;
mod toolchain;
mod vm;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(
    name = "cargo xtask",
    about = "Sets up, builds, runs and tests mcp-auditor"
)]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Install what building and running needs; quick when nothing is missing
    Setup,
    /// Build the release binary, target/release/mcp-auditor
    Build(build::Options),
    /// Set up, build and start the auditor on this host
    Run(run::Options),
    /// Check everything: lint, unit, oracles, deploy, e2e, fuzz, vm (all of them when none is named)
    Test(test::Options),
    /// Run the end-to-end tests on other kernels, in QEMU
    Vm(vm::Options),
    /// Build a container image, without a registry
    Image(image::Options),
    /// Measure what the auditor costs
    Bench(bench::Options),
}

fn main() -> ExitCode {
    let done = match Arguments::parse().task {
        Task::Setup => setup::setup().map(|_| true),
        Task::Build(options) => build::execute(&options).map(|()| true),
        Task::Run(options) => run::run(options).map(|()| true),
        Task::Test(options) => test::test(options),
        Task::Vm(options) => vm::vm(&options),
        Task::Image(options) => image::image(&options).map(|()| true),
        Task::Bench(options) => bench::bench(&options).map(|()| true),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
