//! `[identity]` of the configuration: what identities are proven by, and who may use other people's credentials.

use std::{fs, net::IpAddr, path::PathBuf, time::Duration};

use anyhow::{Context as _, Result, bail, ensure};
use auditor_core::identity::{Authority, Gateways, Issuer, Issuers, Keys, is_trust_domain};
use hyper::Uri;
use serde::Deserialize;

/// The shortest time between two fetches of an issuer's keys, in seconds, where nothing is amiss.
const REFRESH: u64 = 60;

/// What identities are proven by, and who may use other people's credentials.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Identity {
    /// Issuers whose tokens are verified.
    pub(crate) issuers: Vec<TokenIssuer>,
    /// Authorities whose TLS certificates are trusted.
    pub(crate) authorities: Vec<CertificateAuthority>,
    /// Executables that pass on what their clients gave them.
    pub(crate) gateway_executables: Vec<String>,
    /// Images of such programs, without a tag.
    pub(crate) gateway_images: Vec<String>,
    /// The agent of SPIRE that is asked who a process is.
    pub(crate) spire: Option<Spire>,
}

/// An issuer of JSON Web Tokens.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
#[serde(deny_unknown_fields)]
pub(crate) struct TokenIssuer {
    /// `iss` of its tokens.
    issuer: Option<String>,
    /// The trust domain of the SPIFFE ids in `sub` of its tokens.
    trust_domain: Option<String>,
    /// The file with its JSON Web Key Set.
    keys: Option<PathBuf>,
    /// Where its JSON Web Key Set is fetched from.
    keys_url: Option<String>,
    /// The file with the certificates of authorities that the server there is trusted by; else the system's.
    keys_ca: Option<PathBuf>,
    /// Seconds after which the keys are fetched again.
    #[serde(default = "refresh")]
    keys_refresh_seconds: u64,
    /// The audiences its tokens must be for; empty: any.
    #[serde(default)]
    audience: Vec<String>,
}

/// An authority that signs TLS certificates.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
#[serde(deny_unknown_fields)]
pub(crate) struct CertificateAuthority {
    /// The file with its certificates, in PEM.
    certificates: PathBuf,
    /// The trust domain whose SPIFFE ids it vouches for; none where it vouches for other names.
    trust_domain: Option<String>,
}

/// The agent of SPIRE that is asked who a process is.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
#[serde(deny_unknown_fields)]
pub(crate) struct Spire {
    /// Its admin socket.
    pub(crate) socket: PathBuf,
    /// The audience of the tokens that it is asked for.
    #[serde(default = "audience")]
    pub(crate) audience: Vec<String>,
}

/// Where the keys of an issuer are fetched from.
#[derive(Clone, Debug)]
pub(crate) struct KeySource {
    /// The issuer's place among all.
    pub(crate) issuer: usize,
    /// What the log calls it.
    pub(crate) name: String,
    /// The address.
    pub(crate) url: Uri,
    /// The file with the authorities that are trusted; else the system's.
    pub(crate) authorities: Option<PathBuf>,
    /// How long keys are used before they are fetched again.
    pub(crate) refresh: Duration,
}

fn refresh() -> u64 {
    3_600
}

fn audience() -> Vec<String> {
    vec!["mcp-auditor".to_owned()]
}

impl Identity {
    /// Looks for values that cannot be.
    ///
    /// # Errors
    /// When there are some.
    pub(super) fn check(&self) -> Result<()> {
        for issuer in &self.issuers {
            issuer.check()?;
        }
        for authority in &self.authorities {
            check_domain(authority.trust_domain.as_deref())?;
        }
        if let Some(spire) = &self.spire {
            ensure!(
                !spire.audience.is_empty(),
                "identity.spire.audience must name an audience"
            );
        }
        Ok(())
    }

    /// All issuers, with the keys that are in files.
    ///
    /// # Errors
    /// When a file cannot be read, or holds no keys.
    pub(crate) fn issuers(&self) -> Result<Issuers> {
        let issuers = self.issuers.iter().map(|issuer| {
            Ok(Issuer {
                name: issuer.issuer.clone(),
                trust_domain: issuer.trust_domain.clone(),
                audience: issuer.audience.clone(),
                keys: issuer.keys()?,
            })
        });
        issuers.collect::<Result<Vec<_>>>().map(Issuers::new)
    }

    /// All authorities, with the certificates that are in their files.
    ///
    /// # Errors
    /// When a file cannot be read, or holds no certificates of authorities.
    pub(crate) fn authorities(&self) -> Result<Vec<Authority>> {
        let authorities = self.authorities.iter().map(|authority| {
            let path = authority.certificates.display();
            let pem = fs::read(&authority.certificates)
                .with_context(|| format!("cannot read {path}, the certificates of an authority"))?;
            Authority::new(authority.trust_domain.clone(), &pem)
                .with_context(|| format!("cannot use {path}, the certificates of an authority"))
        });
        authorities.collect()
    }

    /// The issuers whose keys are fetched.
    ///
    /// # Errors
    /// When an address is none.
    pub(crate) fn sources(&self) -> Result<Vec<KeySource>> {
        let issuers = self.issuers.iter().enumerate();
        let sources = issuers.filter_map(|(place, issuer)| {
            let url = issuer.url().transpose()?;
            Some(url.map(|url| KeySource {
                issuer: place,
                name: issuer.name().to_owned(),
                url,
                authorities: issuer.keys_ca.clone(),
                refresh: Duration::from_secs(issuer.keys_refresh_seconds),
            }))
        });
        sources.collect()
    }

    /// Who may use other people's credentials.
    pub(crate) fn gateways(&self) -> Gateways {
        Gateways {
            executables: self.gateway_executables.clone(),
            images: self.gateway_images.clone(),
        }
    }
}

fn check_domain(domain: Option<&str>) -> Result<()> {
    if let Some(domain) = domain {
        ensure!(
            is_trust_domain(domain),
            "trust_domain `{domain}` is none: it must be like `example.org`, without `spiffe://`"
        );
    }
    Ok(())
}

impl TokenIssuer {
    fn name(&self) -> &str {
        let name = self.issuer.as_deref().or(self.trust_domain.as_deref());
        name.unwrap_or_default()
    }

    fn check(&self) -> Result<()> {
        let name = self.name();
        ensure!(
            !name.is_empty(),
            "each of identity.issuers must name its `issuer`, its `trust_domain`, or both"
        );
        check_domain(self.trust_domain.as_deref())?;
        ensure!(
            self.keys.is_some() != self.keys_url.is_some(),
            "issuer {name} must have either `keys` (a file) or `keys_url`"
        );
        ensure!(
            self.keys_ca.is_none() || self.keys_url.is_some(),
            "issuer {name} has `keys_ca` without `keys_url`"
        );
        ensure!(
            self.keys_refresh_seconds >= REFRESH,
            "keys_refresh_seconds of issuer {name} is {}: it must be at least {REFRESH}",
            self.keys_refresh_seconds
        );
        self.url().map(drop)
    }

    /// The keys, where they are in a file; else none.
    fn keys(&self) -> Result<Keys> {
        let Some(file) = &self.keys else {
            return Ok(Keys::default());
        };
        let path = file.display();
        let text = fs::read(file)
            .with_context(|| format!("cannot read {path}, the keys of {}", self.name()))?;
        Keys::parse(&text)
            .with_context(|| format!("cannot use {path}, the keys of {}", self.name()))
    }

    /// Where the keys are fetched from: by HTTPS, or from this host.
    fn url(&self) -> Result<Option<Uri>> {
        let Some(text) = &self.keys_url else {
            return Ok(None);
        };
        let url: Uri = text
            .parse()
            .with_context(|| format!("keys_url `{text}` is no address"))?;
        let host = url.host().unwrap_or_default().trim_matches(['[', ']']);
        let is_loopback = host == "localhost"
            || host
                .parse::<IpAddr>()
                .is_ok_and(|address| address.is_loopback());
        match url.scheme_str() {
            Some("https") if !host.is_empty() => {}
            Some("http") if is_loopback => {}
            _ => bail!(
                "keys_url `{text}` must begin with https:// (http:// is for loopback addresses)"
            ),
        }
        let has_user = url
            .authority()
            .is_some_and(|one| one.as_str().contains('@'));
        ensure!(
            !has_user,
            "keys_url of {} must not hold a user",
            self.name()
        );
        Ok(Some(url))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str) -> Result<()> {
        let identity: Identity = toml::from_str(&format!("[[issuers]]\n{text}"))?;
        identity.check()
    }

    #[test]
    fn an_authority_has_a_file_that_can_be_used() {
        let of = |text: &str| -> Result<Identity> {
            let identity: Identity = toml::from_str(&format!("[[authorities]]\n{text}"))?;
            identity.check()?;
            Ok(identity)
        };
        let named = of("certificates = '/nowhere/ca.pem'\ntrust_domain = 'example.org'").unwrap();
        let error = format!("{:#}", named.authorities().unwrap_err());
        assert!(error.contains("/nowhere/ca.pem"), "{error}");
        assert!(of("trust_domain = 'example.org'").is_err());
        assert!(of("certificates = 'f'\ntrust_domain = 'spiffe://example.org'").is_err());
    }

    #[test]
    fn an_issuer_has_a_name_and_one_source_of_keys() {
        let ok = [
            "issuer = 'a'\nkeys = 'f'",
            "trust_domain = 'example.org'\nkeys_url = 'https://h/keys'",
            "issuer = 'a'\nkeys_url = 'http://127.0.0.1:80/keys'\nkeys_refresh_seconds = 60",
            "issuer = 'a'\nkeys_url = 'http://[::1]/keys'",
            "issuer = 'a'\nkeys_url = 'https://h/keys'\nkeys_ca = 'f'",
        ];
        for text in ok {
            check(text).unwrap();
        }
        let wrong = [
            "keys = 'f'",
            "issuer = 'a'",
            "issuer = 'a'\nkeys = 'f'\nkeys_url = 'https://h/keys'",
            "issuer = 'a'\nkeys = 'f'\nkeys_ca = 'f'",
            "issuer = 'a'\nkeys_url = 'http://h/keys'",
            "issuer = 'a'\nkeys_url = 'file:///keys'",
            "issuer = 'a'\nkeys_url = 'https://u:p@h/keys'",
            "issuer = 'a'\nkeys_url = 'https://h/keys'\nkeys_refresh_seconds = 59",
            "trust_domain = 'spiffe://example.org'\nkeys = 'f'",
        ];
        for text in wrong {
            assert!(check(text).is_err(), "{text}");
        }
    }
}
