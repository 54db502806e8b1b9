//! Whom a sink trusts, and what it shows. Receivers are always verified: what is self-signed is trusted by naming it.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
};
use serde::Deserialize;

/// TLS of a sink.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub struct Tls {
    /// Authorities that are trusted, as PEM, instead of the system's.
    pub(crate) ca_file: Option<PathBuf>,
    /// The certificate that is shown, with those that sign it, as PEM.
    pub(crate) cert_file: Option<PathBuf>,
    /// Its key, as PEM.
    pub(crate) key_file: Option<PathBuf>,
}

impl Tls {
    pub(crate) fn check(&self) -> Result<(), String> {
        if self.cert_file.is_some() != self.key_file.is_some() {
            return Err("tls.cert_file and tls.key_file belong together".to_owned());
        }
        Ok(())
    }

    /// What rustls asks for. Files are read each time: certificates are renewed.
    ///
    /// # Errors
    /// When a file cannot be used; says which.
    pub fn client(&self) -> Result<ClientConfig, String> {
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .with_root_certificates(roots(self.ca_file.as_deref())?);
        let (Some(shown), Some(key)) = (&self.cert_file, &self.key_file) else {
            return Ok(builder.with_no_client_auth());
        };
        let certificates = certificates(shown)?;
        let private = PrivateKeyDer::from_pem_file(key)
            .map_err(|error| format!("cannot use the key in {}: {error}", key.display()))?;
        builder
            .with_client_auth_cert(certificates, private)
            .map_err(|error| format!("cannot use the certificate in {}: {error}", shown.display()))
    }
}

fn roots(authorities: Option<&Path>) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    let Some(path) = authorities else {
        let system = rustls_native_certs::load_native_certs();
        roots.add_parsable_certificates(system.certs);
        return Ok(roots);
    };
    for certificate in certificates(path)? {
        roots.add(certificate).map_err(|error| {
            format!("cannot trust a certificate of {}: {error}", path.display())
        })?;
    }
    Ok(roots)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect);
    let certificates: Vec<_> =
        read.map_err(|error| format!("cannot read certificates in {}: {error}", path.display()))?;
    if certificates.is_empty() {
        return Err(format!("there is no certificate in {}", path.display()));
    }
    Ok(certificates)
}
