//! `mcp-auditor doctor`: what this host offers, and what cannot be seen and why.

use std::path::Path;

use anyhow::Result;
use clap::Args;
use serde::Serialize;

use crate::probe::{Btf, probes};

/// Flags of `doctor`.
#[derive(Args)]
pub(super) struct Arguments {
    /// Print JSON for programs
    #[arg(long)]
    json: bool,
}

/// One thing that was looked at.
#[derive(Debug, Serialize)]
struct Finding {
    what: String,
    purpose: String,
    is_required: bool,
    is_ok: bool,
    /// Why not, and the mend.
    obstacle: Option<String>,
}

impl Arguments {
    pub(super) fn execute(self) -> Result<()> {
        let findings = examine();
        if self.json {
            println!("{}", serde_json::to_string_pretty(&findings)?);
        } else {
            print(&findings);
        }
        let missing = findings
            .iter()
            .filter(|finding| finding.is_required && !finding.is_ok)
            .count();
        anyhow::ensure!(
            missing == 0,
            "this host cannot be audited: {missing} of the things it needs are missing"
        );
        Ok(())
    }
}

fn examine() -> Vec<Finding> {
    let mut findings = vec![finding(
        "root",
        "load programs into the kernel, read other processes",
        true,
        (!nix::unistd::geteuid().is_root()).then(|| "not root: run it with sudo".to_owned()),
    )];
    for (path, purpose, mend) in [
        (
            "/sys/kernel/btf/vmlinux",
            "find the kernel's structures",
            "use a kernel built with CONFIG_DEBUG_INFO_BTF",
        ),
        ("/proc/self/exe", "name processes", "mount proc on /proc"),
    ] {
        let obstacle = (!Path::new(path).exists()).then(|| format!("{path} is absent: {mend}"));
        findings.push(finding(path, purpose, true, obstacle));
    }
    match Btf::of_kernel() {
        Ok(btf) => {
            let missing = btf
                .offsets()
                .map(|(_, missing)| missing)
                .unwrap_or_default();
            let obstacle = (!missing.is_empty())
                .then(|| format!("this kernel's types lack {}", missing.join(", ")));
            findings.push(finding(
                "kernel types",
                "follow a descriptor to its stream",
                true,
                obstacle,
            ));
            for probe in probes(&btf) {
                findings.push(finding(
                    probe.program,
                    probe.purpose,
                    probe.is_required,
                    probe.obstacle,
                ));
            }
        }
        Err(error) => findings.push(finding(
            "kernel types",
            "everything",
            true,
            Some(error.to_string()),
        )),
    }
    for (what, obstacle) in [
        ("TLS of Java and NSS", "these libraries cannot be probed"),
        ("32-bit programs", "their system calls are not heard"),
        (
            "MPTCP, SCTP, QUIC",
            "only pipes, Unix stream sockets, ptys and TCP are heard",
        ),
    ] {
        findings.push(finding(
            what,
            "messages on it",
            false,
            Some(obstacle.to_owned()),
        ));
    }
    findings
}

fn finding(what: &str, purpose: &str, is_required: bool, obstacle: Option<String>) -> Finding {
    Finding {
        what: what.to_owned(),
        purpose: purpose.to_owned(),
        is_required,
        is_ok: obstacle.is_none(),
        obstacle,
    }
}

fn print(findings: &[Finding]) {
    for finding in findings {
        let mark = match (finding.is_ok, finding.is_required) {
            (true, _) => "ok     ",
            (false, true) => "MISSING",
            (false, false) => "not    ",
        };
        println!("{mark}  {:<26} {}", finding.what, finding.purpose);
        if let Some(obstacle) = &finding.obstacle {
            println!("         {:<26} {obstacle}", "");
        }
    }
}
