//! `[environment]` of the configuration: where this host stands, and what is asked of it.

use std::net::{IpAddr, SocketAddr};

use anyhow::{Result, bail};
use serde::Deserialize;

use crate::environment::parse_sha256;

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

    /// Whether it makes sense.
    ///
    /// # Errors
    /// When it does not.
    pub(super) fn check(&self) -> Result<()> {
        if self.instance_metadata_address().is_none() {
            bail!(
                "instance_metadata_url must be like http://169.254.169.254:80: an address, no name, no path"
            );
        }
        let expected = self.expected_sha256.as_deref();
        if expected.is_some_and(|text| parse_sha256(text).is_none()) {
            bail!("expected_sha256 must be 64 hexadecimal digits");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::Config;

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
