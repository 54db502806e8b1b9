//! The configuration file: TOML, every key optional, unknown keys refused by name.

mod identity;

use std::{
    fs,
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};
use auditor_core::tls::Hints;
use serde::Deserialize;

use crate::environment::parse_sha256;

pub(crate) use self::identity::{Identity, KeySource, Spire};

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
    /// Where metrics are served for Prometheus; loopback only.
    pub(crate) metrics: Option<SocketAddr>,
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
}

/// How Kubernetes' API server is asked for the pods of this node.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Kubernetes {
    /// File with address and credentials of the API server.
    kubeconfig: Option<PathBuf>,
    /// Whether the service account of the pod that the auditor runs in is used.
    in_cluster: bool,
    /// Name of this node.
    node: Option<String>,
}

/// Where address and credentials of the API server are.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Credentials {
    /// In this file.
    Kubeconfig(PathBuf),
    /// In the folder that Kubernetes gives every pod.
    InCluster,
}

impl Kubernetes {
    /// Where credentials are; `None` where the API server is not asked.
    pub(crate) fn credentials(&self) -> Option<Credentials> {
        let in_cluster = self.in_cluster.then_some(Credentials::InCluster);
        self.kubeconfig
            .clone()
            .map(Credentials::Kubeconfig)
            .or(in_cluster)
    }

    /// The name of this node, and what told it.
    pub(crate) fn node(&self) -> (String, &'static str) {
        if let Some(node) = &self.node {
            return (node.clone(), "configuration");
        }
        match std::env::var("NODE_NAME") {
            Ok(node) if !node.is_empty() => (node, "NODE_NAME"),
            // A kubelet writes the name of its host in small letters.
            _ => (
                nix::unistd::gethostname()
                    .map(|name| name.to_string_lossy().to_lowercase())
                    .unwrap_or_default(),
                "host name",
            ),
        }
    }
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

/// Where this host stands, as far as the operator says so, and how the auditor is to look.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Environment {
    /// Who runs the cloud.
    pub(crate) provider: Option<String>,
    /// Its region.
    pub(crate) region: Option<String>,
    /// The account, project or subscription.
    pub(crate) account: Option<String>,
    /// The zone within the region.
    pub(crate) zone: Option<String>,
    /// The cluster.
    pub(crate) cluster: Option<String>,
    /// This host's name in the cluster.
    pub(crate) node: Option<String>,
    /// The cloud's service that is asked for what is not said here; none is unless named.
    pub(crate) instance_metadata: Option<MetadataService>,
    /// Where that is, as `http://ADDRESS[:PORT]`.
    pub(crate) instance_metadata_url: Option<String>,
    /// SHA-256 that the auditor's executable must have, in hexadecimal digits.
    pub(crate) expected_sha256: Option<String>,
}

/// Services that tell virtual machines where they are.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum MetadataService {
    /// Amazon's, version 2.
    Aws,
    /// Google's.
    Gcp,
    /// Microsoft's.
    Azure,
}

impl Environment {
    /// Where the metadata service is asked; `None` when what is configured is no such place.
    pub(crate) fn instance_metadata_address(&self) -> Option<SocketAddr> {
        let url = self.instance_metadata_url.as_deref();
        let place = url.unwrap_or("http://169.254.169.254");
        let place = place.strip_prefix("http://")?.trim_end_matches('/');
        let with_port = || place.parse::<IpAddr>().ok().map(|ip| (ip, 80).into());
        place.parse().ok().or_else(with_port)
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
            mcp: Mcp::default(),
            identity: Identity::default(),
            containers: Containers::default(),
            kubernetes: Kubernetes::default(),
            environment: Environment::default(),
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
        if config
            .metrics
            .is_some_and(|address| !address.ip().is_loopback())
        {
            bail!("metrics must be a loopback address such as 127.0.0.1:9464");
        }
        config.identity.check()?;
        let kubernetes = &config.kubernetes;
        if kubernetes.in_cluster && kubernetes.kubeconfig.is_some() {
            bail!("[kubernetes] has kubeconfig and in_cluster: set only one of them");
        }
        if kubernetes.node.is_some() && kubernetes.credentials().is_none() {
            bail!("[kubernetes] names a node but no credentials: set kubeconfig or in_cluster");
        }
        if kubernetes
            .node
            .as_deref()
            .is_some_and(|node| !is_node(node))
        {
            bail!("[kubernetes] node is no name of a node: letters, digits, `-` and `.` only");
        }
        let environment = &config.environment;
        if environment.instance_metadata_address().is_none() {
            bail!(
                "instance_metadata_url must be like http://169.254.169.254:80: an address, no name, no path"
            );
        }
        let expected = environment.expected_sha256.as_deref();
        if expected.is_some_and(|text| parse_sha256(text).is_none()) {
            bail!("expected_sha256 must be 64 hexadecimal digits");
        }
        Ok(config)
    }
}

/// Whether a text may name a node, and nothing else where the API server is asked for it.
fn is_node(name: &str) -> bool {
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.');
    (1..=253).contains(&name.len()) && name.bytes().all(is_part)
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
        assert!(Config::parse("metrics = \"0.0.0.0:9464\"").is_err());
        assert!(Config::parse("processes = 100").is_err());
        let both = "[kubernetes]\nkubeconfig = \"/k\"\nin_cluster = true";
        assert!(Config::parse(both).is_err());
        assert!(Config::parse("[kubernetes]\nnode = \"n\"").is_err());
        let other = "[kubernetes]\nin_cluster = true\nnode = \"n,metadata.name=x\"";
        assert!(Config::parse(other).is_err());
    }

    #[test]
    fn nobody_is_asked_over_the_network_unless_configured() {
        assert_eq!(Config::default().kubernetes.credentials(), None);
        let config = Config::parse("[kubernetes]\nin_cluster = true\nnode = \"n-1\"").unwrap();
        let kubernetes = config.kubernetes;
        assert_eq!(kubernetes.credentials(), Some(Credentials::InCluster));
        assert_eq!(kubernetes.node(), ("n-1".to_owned(), "configuration"));
    }

    #[test]
    fn what_the_environment_is_told_is_checked() {
        let environment = |line: &str| Config::parse(&format!("[environment]\n{line}"));
        assert!(environment("expected_sha256 = \"ab\"").is_err());
        assert!(environment("instance_metadata = \"other\"").is_err());
        for (url, is_good) in [
            ("http://127.0.0.1:8080", true),
            ("http://169.254.169.254/", true),
            ("http://metadata.google.internal", false),
            ("https://127.0.0.1", false),
        ] {
            let line = format!("instance_metadata_url = \"{url}\"");
            assert_eq!(environment(&line).is_ok(), is_good, "{url}");
        }
    }
}
