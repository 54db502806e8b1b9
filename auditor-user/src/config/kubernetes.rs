//! `[kubernetes]` of the configuration: how the API server is asked, and as which node. Nobody is asked unless it is set.

use std::path::PathBuf;

use anyhow::{Result, bail};
use serde::Deserialize;

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

    /// Whether it makes sense.
    ///
    /// # Errors
    /// When it does not.
    pub(super) fn check(&self) -> Result<()> {
        if self.in_cluster && self.kubeconfig.is_some() {
            bail!("[kubernetes] has kubeconfig and in_cluster: set only one of them");
        }
        if self.node.is_some() && self.credentials().is_none() {
            bail!("[kubernetes] names a node but no credentials: set kubeconfig or in_cluster");
        }
        if self.node.as_deref().is_some_and(|node| !is_node(node)) {
            bail!("[kubernetes] node is no name of a node: letters, digits, `-` and `.` only");
        }
        Ok(())
    }
}

/// Whether a text may name a node, and nothing else where the API server is asked for it.
fn is_node(name: &str) -> bool {
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.');
    (1..=253).contains(&name.len()) && name.bytes().all(is_part)
}

#[cfg(test)]
mod tests {
    use super::{super::Config, *};

    #[test]
    fn what_cannot_be_is_refused() {
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
}
