//! Whether a certificate chains to an authority that is configured (RFC 5280, by `webpki`).
//!
//! Revocation is not looked at. Where the certificates of authorities come from is the caller's. Bounds: [`ANCHORS`]
//! certificates of an authority; the search for a path is bounded by `webpki`.

use std::time::Duration;

use rustls_pki_types::{CertificateDer, TrustAnchor, UnixTime, pem, pem::PemObject};
use webpki::{ALL_VERIFICATION_ALGS, EndEntityCert, KeyUsage, anchor_from_trusted_cert};

use super::spiffe::trust_domain;

/// Certificates of one authority; with more it is refused.
const ANCHORS: usize = 256;
/// Seconds by which clocks may differ.
const LEEWAY: u64 = 60;

/// An authority whose certificates are trusted.
#[derive(Clone, Debug)]
pub struct Authority {
    trust_domain: Option<String>,
    anchors: Vec<TrustAnchor<'static>>,
}

/// The certificates of an authority cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BadAuthority {
    /// It is no PEM.
    #[error("no PEM with certificates: {0}")]
    NoPem(pem::Error),
    /// There is none.
    #[error("no certificate")]
    Empty,
    /// There are too many.
    #[error("more than {ANCHORS} certificates")]
    TooMany,
    /// One is none of an authority.
    #[error("certificate {number} is none of an authority: {error}")]
    Unusable {
        /// Which, from 1.
        number: usize,
        /// Why.
        error: webpki::Error,
    },
}

/// Which end shows a certificate.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Purpose {
    /// The client.
    Client,
    /// The server.
    Server,
}

/// What is known of who issued a certificate.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Standing {
    /// It chains to an authority, is for its purpose and in force.
    Valid,
    /// It chains to an authority, and is no longer in force.
    Expired,
    /// It chains to an authority, and is not yet in force.
    NotYet,
    /// It chains to no authority that is known, with what was sent along.
    UnknownAuthority,
    /// It cannot be read.
    NotProvable,
}

/// What an authority may vouch for: the end's own certificate.
pub(super) struct Leaf<'a> {
    pub(super) spiffe_id: Option<&'a str>,
    /// Seconds since 1970.
    pub(super) not_before: u64,
    /// Seconds since 1970.
    pub(super) not_after: u64,
}

/// What was found about a chain.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Proof {
    pub(super) standing: Standing,
    /// Whether the authority vouches for the SPIFFE id.
    pub(super) is_of_domain: bool,
}

impl Authority {
    /// Takes the certificates of an authority, as PEM. With a trust domain it vouches for SPIFFE ids of that only; without,
    /// for none.
    ///
    /// # Errors
    /// When they cannot be used.
    pub fn new(trust_domain: Option<String>, pem: &[u8]) -> Result<Self, BadAuthority> {
        let mut anchors = Vec::new();
        for certificate in CertificateDer::pem_slice_iter(pem) {
            let certificate = certificate.map_err(BadAuthority::NoPem)?;
            if anchors.len() == ANCHORS {
                return Err(BadAuthority::TooMany);
            }
            let anchor = anchor_from_trusted_cert(&certificate);
            let anchor = anchor.map_err(|error| BadAuthority::Unusable {
                number: anchors.len() + 1,
                error,
            })?;
            anchors.push(anchor.to_owned());
        }
        if anchors.is_empty() {
            return Err(BadAuthority::Empty);
        }
        Ok(Self {
            trust_domain,
            anchors,
        })
    }

    /// Whether it may vouch for this certificate.
    fn is_of(&self, leaf: &Leaf<'_>) -> bool {
        let domain = leaf.spiffe_id.and_then(trust_domain);
        self.trust_domain.is_none() || self.trust_domain.as_deref() == domain
    }
}

/// Looks for an authority to which the certificates chain, the end's own first; `now` in seconds since 1970.
pub(super) fn verify(
    authorities: &[Authority],
    chain: &[Vec<u8>],
    leaf: &Leaf<'_>,
    purpose: Purpose,
    now: u64,
) -> Proof {
    let proof = |standing, is_of_domain| Proof {
        standing,
        is_of_domain,
    };
    let mut ders = chain.iter().map(|der| CertificateDer::from(der.as_slice()));
    let (Some(end), others) = (ders.next(), ders.collect::<Vec<_>>()) else {
        return proof(Standing::NotProvable, false);
    };
    let Ok(end) = EndEntityCert::try_from(&end) else {
        return proof(Standing::NotProvable, false);
    };
    // At a time at which it was in force, so that one that no longer is can still be told from one of a stranger.
    let at = now.min(leaf.not_after).max(leaf.not_before);
    let at = UnixTime::since_unix_epoch(Duration::from_secs(at));
    let usage = || match purpose {
        Purpose::Client => KeyUsage::client_auth(),
        Purpose::Server => KeyUsage::server_auth(),
    };
    let is_vouched = |authority: &&Authority| {
        let (algorithms, anchors) = (ALL_VERIFICATION_ALGS, &authority.anchors);
        authority.is_of(leaf)
            && end
                .verify_for_usage(algorithms, anchors, &others, at, usage(), None, None)
                .is_ok()
    };
    let Some(authority) = authorities.iter().find(is_vouched) else {
        return proof(Standing::UnknownAuthority, false);
    };
    let standing = if now > leaf.not_after.saturating_add(LEEWAY) {
        Standing::Expired
    } else if now.saturating_add(LEEWAY) < leaf.not_before {
        Standing::NotYet
    } else {
        Standing::Valid
    };
    proof(standing, authority.trust_domain.is_some())
}
