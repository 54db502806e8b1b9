//! The configuration file: TOML, every key optional, unknown keys refused by name.

mod detection;
mod environment;
mod identity;
mod kubernetes;
mod ledger;
mod policy;
mod redaction;
mod resources;

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};
use auditor_core::tls::Hints;
use serde::Deserialize;

pub(crate) use self::{
    detection::Detection,
    environment::{Environment, MetadataService},
    identity::{Identity, KeySource, Spire},
    kubernetes::{Credentials, Kubernetes},
    ledger::Ledger,
    policy::Policy,
    redaction::Redaction,
    resources::Resources,
};

/// Where the configuration is unless told otherwise.
const CONFIG: &str = "/etc/mcp-auditor/config.toml";

/// Everything that can be configured. `docs/config.example.toml` explains each key.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Config {
    /// Bytes kept of one message.
    pub(crate) message_limit: usize,
    /// Bytes of the ring between kernel and daemon; a power of two.
    pub(crate) ring_bytes: u32,
    /// Processes remembered, for two minutes also those that ended.
    pub(crate) processes: usize,
    /// Where metrics and health are served.
    pub(crate) metrics: Option<SocketAddr>,
    /// Whether that may be an address that other hosts reach.
    pub(crate) metrics_to_others: bool,
    /// Where MCP is spoken.
    pub(crate) mcp: Mcp,
    /// What identities are proven by.
    pub(crate) identity: Identity,
    /// Where container runtimes keep what they know.
    pub(crate) containers: Containers,
    /// How Kubernetes' API server is asked; not at all unless set.
    pub(crate) kubernetes: Kubernetes,
    /// Where this host stands.
    pub(crate) environment: Environment,
    /// What calls name, and how sensitive that is.
    pub(crate) resources: Resources,
    /// Which kinds of data are looked for.
    pub(crate) content: auditor_content::Settings,
    /// What is kept of bodies.
    pub(crate) redaction: Redaction,
    /// What interactions are decided by; nothing unless set.
    pub(crate) policy: Policy,
    /// Which rules events are compared with.
    pub(crate) detection: Detection,
    /// How long the log of events is kept.
    pub(crate) ledger: Ledger,
    /// Where events are delivered.
    pub(crate) sinks: Vec<auditor_delivery::Settings>,
}

/// Folders and sockets of container runtimes.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Containers {
    /// State folders of containerd.
    pub(crate) containerd: Vec<PathBuf>,
    /// State folders of runc and crun.
    pub(crate) runc: Vec<PathBuf>,
    /// Storage of podman and CRI-O: of images and containers, and of what a restart removes.
    pub(crate) storage: Vec<PathBuf>,
    /// Data folders of Docker.
    pub(crate) docker: Vec<PathBuf>,
    /// Sockets of containerd.
    pub(crate) containerd_sockets: Vec<PathBuf>,
    /// Sockets of the Container Runtime Interface.
    pub(crate) cri_sockets: Vec<PathBuf>,
    /// Sockets of Docker.
    pub(crate) docker_sockets: Vec<PathBuf>,
    /// Sockets of podman.
    pub(crate) podman_sockets: Vec<PathBuf>,
}

impl Default for Containers {
    fn default() -> Self {
        let paths = |paths: &[&str]| paths.iter().map(PathBuf::from).collect();
        Self {
            containerd: paths(&["/run/containerd", "/run/k3s/containerd"]),
            runc: paths(&["/run/runc", "/run/crun"]),
            storage: paths(&["/var/lib/containers/storage", "/run/containers/storage"]),
            docker: paths(&["/var/lib/docker"]),
            containerd_sockets: paths(&[
                "/run/containerd/containerd.sock",
                "/run/k3s/containerd/containerd.sock",
            ]),
            cri_sockets: paths(&["/run/crio/crio.sock"]),
            docker_sockets: paths(&["/run/docker.sock"]),
            podman_sockets: paths(&["/run/podman/podman.sock"]),
        }
    }
}

/// What the operator knows of where MCP is spoken.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Mcp {
    /// Names of servers.
    pub(crate) server_names: Vec<String>,
    /// Ports of servers.
    pub(crate) server_ports: Vec<u16>,
}

impl Mcp {
    /// In the words of the pipeline.
    pub(crate) fn hints(&self) -> Hints {
        Hints {
            names: self
                .server_names
                .iter()
                .map(|name| name.to_lowercase())
                .collect(),
            ports: self.server_ports.clone(),
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            message_limit: 16 << 20,
            ring_bytes: auditor_common::limit::RING_BYTES,
            processes: 65_536,
            metrics: None,
            metrics_to_others: false,
            mcp: Mcp::default(),
            identity: Identity::default(),
            containers: Containers::default(),
            kubernetes: Kubernetes::default(),
            environment: Environment::default(),
            resources: Resources::default(),
            content: auditor_content::Settings::default(),
            redaction: Redaction::default(),
            policy: Policy::default(),
            detection: Detection::default(),
            ledger: Ledger::default(),
            sinks: Vec::new(),
        }
    }
}

impl Config {
    /// Reads the file of this path, or else the one at the usual place, if there is one. Gives its text, too.
    ///
    /// # Errors
    /// When it cannot be read, has an unknown key, or a value that cannot be.
    pub(crate) fn read(path: Option<&Path>) -> Result<(Self, String)> {
        let usual = Path::new(CONFIG);
        let Some(path) = path.or_else(|| usual.exists().then_some(usual)) else {
            return Ok((Self::default(), String::new()));
        };
        let text = fs::read_to_string(path)
            .with_context(|| format!("cannot read configuration {}", path.display()))?;
        let config =
            Self::parse(&text).with_context(|| format!("configuration {}", path.display()))?;
        Ok((config, text))
    }

    fn parse(text: &str) -> Result<Self> {
        let config: Self = toml::from_str(text)?;
        if !config.ring_bytes.is_power_of_two() || config.ring_bytes < 1 << 16 {
            bail!(
                "ring_bytes is {}: it must be a power of two, at least 65536",
                config.ring_bytes
            );
        }
        if config.processes < 1_024 {
            bail!(
                "processes is {}: it must be at least 1024",
                config.processes
            );
        }
        let is_reached = config
            .metrics
            .is_some_and(|address| !address.ip().is_loopback());
        if is_reached && !config.metrics_to_others {
            bail!(
                "metrics must be a loopback address such as 127.0.0.1:9464, or metrics_to_others true"
            );
        }
        config.identity.check()?;
        config.kubernetes.check()?;
        config.environment.check()?;
        auditor_delivery::Settings::check_all(&config.sinks)?;
        if let Some(witnesses) = &config.ledger.witnessed {
            witnesses.check()?;
        }
        Ok(config)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_example_is_the_default() {
        let text = include_str!("../../docs/config.example.toml");
        assert_eq!(Config::parse(text).unwrap(), Config::default());
        // Its commented keys are valid too.
        let all: String = text
            .lines()
            .map(|line| line.strip_prefix("#! ").unwrap_or(line))
            .collect::<Vec<_>>()
            .join("\n");
        let all = Config::parse(&all).unwrap();
        assert!(all.metrics.is_some());
        assert!(!all.mcp.server_names.is_empty() && !all.mcp.server_ports.is_empty());
        assert_eq!(all.identity.issuers.len(), 3);
        assert_eq!(all.sinks.len(), 8);
        assert!(all.identity.spire.is_some() && !all.identity.gateway_images.is_empty());
        assert_eq!(
            all.kubernetes.credentials(),
            Some(Credentials::Kubeconfig(
                "/etc/mcp-auditor/kubeconfig".into()
            ))
        );
    }

    #[test]
    fn unknown_keys_are_refused_by_name() {
        let error = Config::parse("ring_byte = 1").unwrap_err();
        assert!(format!("{error:#}").contains("ring_byte"), "{error:#}");
    }

    #[test]
    fn values_that_cannot_be_are_refused() {
        assert!(Config::parse("ring_bytes = 1000000").is_err());
        let open = "metrics = \"0.0.0.0:9464\"";
        assert!(Config::parse(open).is_err());
        assert!(Config::parse(&format!("{open}\nmetrics_to_others = true")).is_ok());
        assert!(Config::parse("processes = 100").is_err());
    }
}
