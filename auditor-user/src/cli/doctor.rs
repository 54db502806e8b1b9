//! `mcp-auditor doctor`: what this host offers, and what cannot be seen and why.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use auditor_core::audit::{self, Integrity};
use clap::Args;
use serde::Serialize;

use crate::{
    config::{Config, Containers, Kubernetes},
    environment::examine as examine_environment,
    probe::{Btf, Release, probes},
    workload,
};

/// Flags of `doctor`.
#[derive(Args)]
pub(super) struct Arguments {
    /// Configuration file [default: /etc/mcp-auditor/config.toml, if there is one]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
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
        let (config, _) = Config::read(self.config.as_deref())?;
        let mut findings = examine(&config);
        findings.extend(api_server(&config.kubernetes)?);
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

fn examine(config: &Config) -> Vec<Finding> {
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
    findings.extend(stacks(
        Release::of_kernel().has_safe_returns(),
        Path::new(UPROBES).exists(),
    ));
    findings.extend(runtimes(&config.containers));
    findings.extend(surroundings(&examine_environment(&config.environment)));
    for (what, obstacle) in [
        ("32-bit programs", "their system calls are not heard"),
        (
            "QUIC",
            "HTTP/3 is not heard; `mcp-auditor coverage` names who uses it",
        ),
        (
            "MPTCP, SCTP",
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

/// Who can tell of containers here, beyond what cgroups show.
fn runtimes(places: &Containers) -> Vec<Finding> {
    let folders = [
        &places.containerd,
        &places.runc,
        &places.storage,
        &places.docker,
    ];
    let sockets = [
        &places.containerd_sockets,
        &places.cri_sockets,
        &places.docker_sockets,
        &places.podman_sockets,
    ];
    let told = |path: &PathBuf, purpose: &str, is_there: bool| {
        let absent = || {
            format!(
                "{} is not there; [containers] in the configuration names another",
                path.display()
            )
        };
        finding(
            &path.to_string_lossy(),
            purpose,
            false,
            (!is_there).then(absent),
        )
    };
    let folders = folders.into_iter().flatten();
    let folders =
        folders.map(|path| told(path, "name containers by what is on disk", path.is_dir()));
    let sockets = sockets.into_iter().flatten();
    let answers = |path: &PathBuf| std::os::unix::net::UnixStream::connect(path).is_ok();
    let sockets = sockets.map(|path| {
        told(
            path,
            "image digests and labels of containers",
            answers(path),
        )
    });
    folders.chain(sockets).collect()
}

/// Whether Kubernetes' API server tells of this node's pods; nothing where it is not to be asked.
fn api_server(settings: &Kubernetes) -> Result<Option<Finding>> {
    if settings.credentials().is_none() {
        return Ok(None);
    }
    let (node, by) = settings.node();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the event loop")?;
    let obstacle = runtime.block_on(workload::probe(settings, &node)).err();
    let obstacle = obstacle.map(|error| {
        format!(
            "{}; [kubernetes] in the configuration tells address and credentials, which must let pods be listed and watched",
            error.with_causes()
        )
    });
    let purpose = format!("service account and owner of the pods of node {node} (by {by})");
    Ok(Some(finding(
        "Kubernetes' API server",
        &purpose,
        false,
        obstacle,
    )))
}

/// Where the host stands, its clock, and what protects kernel and auditor, as each event tells it.
fn surroundings(found: &audit::Environment) -> Vec<Finding> {
    let (clock, posture) = (&found.clock, &found.posture);
    let provider = found.cloud.as_ref().map(|cloud| cloud.provider.as_str());
    let shown = |text: Option<String>| text.unwrap_or_else(|| "unknown".to_owned());
    let error = clock
        .max_error
        .map(|error| format!("{} ms", error / 1_000_000));
    let clock_purpose = format!(
        "times of events (source {}, wrong by at most {})",
        shown(clock.source.clone()),
        shown(error)
    );
    let modules = posture.lsm.as_ref().map(|modules| modules.join(", "));
    let taint = posture.kernel_tainted.map(|flags| flags.to_string());
    let hash = posture.binary_sha256.map(hex::encode);
    let findings = [
        (
            "cloud",
            format!("where this host stands: {}", provider.unwrap_or("unknown")),
            provider.is_none().then_some(
                "the firmware names no cloud; [environment] in the configuration can, with region and account",
            ),
        ),
        (
            "clock",
            clock_purpose,
            match clock.is_synchronized {
                Some(true) => None,
                Some(false) => Some("nothing keeps it synchronized: run chrony, or another NTP client"),
                None => Some("the kernel does not tell of it"),
            },
        ),
        (
            "kernel lockdown",
            format!(
                "keep root from changing the kernel (modules: {}; taint: {})",
                shown(modules),
                shown(taint)
            ),
            match posture.lockdown.as_deref() {
                Some("none") => Some("off: boot with lockdown=integrity"),
                Some(_) => None,
                None => Some("not known: securityfs is not mounted, or the kernel has no lockdown"),
            },
        ),
        (
            "secure boot",
            "start only what is signed".to_owned(),
            match posture.is_secure_boot {
                Some(true) => None,
                Some(false) => Some("off in the firmware"),
                None => Some("not known: no UEFI, or efivarfs is not mounted"),
            },
        ),
        (
            "auditor's executable",
            format!("be the one that was installed: {}", shown(hash)),
            match posture.binary {
                Integrity::Expected => None,
                Integrity::Unexpected => Some("it has another SHA-256 than mcp-auditor.sha256 beside it says"),
                Integrity::Unknown => {
                    Some("nothing to compare it with: put its SHA-256 into mcp-auditor.sha256 beside it, owned by root")
                }
            },
        ),
    ];
    let findings = findings.into_iter();
    findings
        .map(|(what, purpose, obstacle)| {
            finding(what, &purpose, false, obstacle.map(str::to_owned))
        })
        .collect()
}

/// Where the kernel shows that it has user probes.
const UPROBES: &str = "/sys/bus/event_source/devices/uprobe/type";

/// TLS stacks: which can be heard here, and why not.
fn stacks(are_returns_safe: bool, has_uprobes: bool) -> Vec<Finding> {
    /// What hearing a stack takes.
    #[derive(PartialEq)]
    enum Needs {
        Probes,
        Returns,
        Impossible(&'static str),
    }
    let known = [
        ("OpenSSL, BoringSSL, LibreSSL", Needs::Returns),
        ("GnuTLS", Needs::Returns),
        ("Go crypto/tls", Needs::Probes),
        ("rustls on AWS-LC or ring", Needs::Returns),
        (
            "Java (JSSE)",
            Needs::Impossible("its TLS is Java code, compiled while it runs: nothing to probe"),
        ),
        (
            "NSS",
            Needs::Impossible("its functions move every kind of bytes"),
        ),
    ];
    let obstacle = |needs| {
        match needs {
        Needs::Impossible(why) => Some(format!(
            "{why}; end TLS in a proxy on this host, or audit the other end of the connection"
        )),
        _ if !has_uprobes => {
            Some(format!("{UPROBES} is absent: use a kernel with CONFIG_UPROBE_EVENTS, and mount sysfs"))
        }
        Needs::Returns if !are_returns_safe => Some(
            "a probe at a return ends programs whose seccomp filter does not know it: use Linux 6.12.14, 6.13.3 or \
             6.14, or later"
                .to_owned(),
        ),
        _ => None,
    }
    };
    let finding_of = |(name, needs)| {
        finding(
            &format!("TLS: {name}"),
            "messages over HTTPS",
            false,
            obstacle(needs),
        )
    };
    known.into_iter().map(finding_of).collect()
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

#[cfg(test)]
mod tests {
    use super::*;

    fn works(are_returns_safe: bool, has_uprobes: bool) -> Vec<bool> {
        let found = stacks(are_returns_safe, has_uprobes);
        found.iter().map(|finding| finding.is_ok).collect()
    }

    #[test]
    fn each_tls_stack_is_told_by_what_it_needs() {
        assert_eq!(works(true, true), [true, true, true, true, false, false]);
        assert_eq!(
            works(false, true),
            [false, false, true, false, false, false]
        );
        assert_eq!(works(true, false), [false; 6]);
        assert!(
            stacks(false, false)
                .iter()
                .all(|finding| !finding.is_required)
        );
    }
}
