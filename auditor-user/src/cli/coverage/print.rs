//! The report for people. Names come from whoever is audited: their control characters are not printed.

use std::collections::BTreeSet;

use super::{Heard, Report, libraries::Used};
use crate::{cli::harmless, coverage::Silent};

/// Prints a report.
pub(super) fn print(report: &Report) {
    if let Some(obstacle) = &report.obstacle {
        println!("{obstacle}\n");
    }
    speaks(&report.speaks);
    println!("\nMAY SPEAK MCP (by its command line, which proves nothing)");
    for hint in &report.may_speak {
        println!(
            "{:>8}  {:<24} {}",
            hint.pid,
            name(hint.exe.as_deref()),
            hint.seen
        );
    }
    if !report.unheard.is_empty() {
        println!("\nNOT HEARD (TLS connections that may carry MCP)");
        report.unheard.iter().for_each(silent);
    }
    if !report.libraries.is_empty() {
        println!("\nTLS LIBRARIES of these processes");
        report.libraries.iter().for_each(used);
    }
    if !report.quic.is_empty() {
        println!("\nQUIC (not heard; let the program use HTTP/2)");
        for datagram in &report.quic {
            println!("{:>8}  to {}", datagram.pid, datagram.remote);
        }
    }
}

fn speaks(heard: &[Heard]) {
    println!("SPEAKS MCP");
    println!(
        "{:>8}  {:<24} {:<14} {:<12} {:<12} {:>6} {:>5}",
        "pid", "program", "role", "transport", "object", "calls", "gaps"
    );
    for Heard {
        speaker,
        is_running,
    } in heard
    {
        println!(
            "{:>8}  {:<24} {:<14} {:<12} {:<12} {:>6} {:>5}{}",
            speaker.pid,
            name(speaker.exe.as_deref()),
            join(&speaker.roles),
            join(&speaker.transports),
            join(&speaker.channels),
            speaker.interactions,
            speaker.gaps,
            if *is_running { "" } else { "  ended" },
        );
    }
}

fn silent(silent: &Silent) {
    println!(
        "{:>8}  {:<24} {} {:<32} {:>5} connections  {}",
        silent.pid,
        name(silent.exe.as_deref()),
        if silent.role == "client" { "→" } else { "at" },
        harmless(&silent.server),
        silent.connections,
        silent.reason,
    );
    if let Some(detail) = &silent.detail {
        println!("{:>8}  {}", "", harmless(detail));
    }
    println!("{:>8}  mend: {}", "", silent.mend);
}

fn used(used: &Used) {
    let stack = used.stack.as_deref().unwrap_or("?");
    let version = used.version.as_deref().unwrap_or("");
    let how = match &used.reason {
        Some(reason) => format!("not heard: {}", harmless(reason)),
        None if used.past.is_empty() => "heard".to_owned(),
        None => format!("heard, but for {}", used.past.join(", ")),
    };
    println!(
        "{:>8}  {:<10} {:<30} {how}",
        used.pid,
        stack,
        harmless(version)
    );
    println!("{:>8}  {:<10} {}", "", "", harmless(&used.file));
}

fn join(names: &BTreeSet<String>) -> String {
    names
        .iter()
        .map(String::as_str)
        .collect::<Vec<_>>()
        .join(",")
}

/// The last part of a path.
fn name(exe: Option<&str>) -> String {
    let name = exe.and_then(|exe| exe.rsplit('/').next()).unwrap_or("?");
    harmless(name).chars().take(24).collect()
}
