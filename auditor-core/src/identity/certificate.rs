//! Certificates that ends of TLS connections showed: what they say, whom they name, and who issued them.
//!
//! That the end has the private key is not looked at here: the handshake asks for that. Bounds: the last [`KNOWN`] chains are
//! remembered, so that one is read and verified once, not per request; [`NAMES`] names, [`TEXT`] bytes of a name.

use std::{collections::HashMap, fmt::Write as _, sync::Arc};

use sha2::{Digest, Sha256};
use x509_parser::{
    asn1_rs::ToDer, certificate::X509Certificate, extensions::GeneralName, prelude::FromDer,
    x509::X509Name,
};

use super::{
    authority::{Authority, Leaf, Proof, Purpose, Standing, verify},
    spiffe::trust_domain,
};
use crate::{key::Time, tls::Chain};

/// Chains remembered; beyond it all are read anew.
const KNOWN: usize = 1_024;
/// Nanoseconds after which a chain is verified again: it may have expired.
const AGAIN: u64 = 10_000_000_000;
/// Names of hosts that are kept of a certificate.
const NAMES: usize = 16;
/// Bytes of a name; a longer one is left out.
const TEXT: usize = 1_024;
/// Bytes of a serial number (RFC 5280, section 4.1.2.2); of a longer one the beginning counts.
const SERIAL: usize = 20;

/// A certificate that an end showed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Certificate {
    /// Keyed hash of its SHA-256 fingerprint, in hexadecimal digits.
    pub hash: Arc<str>,
    /// Its subject (RFC 4514).
    pub subject: Option<String>,
    /// Its issuer (RFC 4514).
    pub issuer: Option<String>,
    /// Its serial number, in hexadecimal digits.
    pub serial: Option<String>,
    /// The only URI among its names, where it is a SPIFFE id.
    pub spiffe_id: Option<String>,
    /// Names of hosts, up to 16.
    pub dns_names: Vec<String>,
    /// Seconds since 1970.
    pub not_before: Option<u64>,
    /// Seconds since 1970.
    pub not_after: Option<u64>,
    /// What is known of who issued it.
    pub standing: Standing,
    /// Whom it names, as an authority vouches. `None` unless it is valid.
    pub name: Option<String>,
}

/// Reads certificates.
#[derive(Debug, Default)]
pub struct Certificates {
    authorities: Vec<Authority>,
    known: HashMap<([u8; 32], Purpose), (Time, Arc<Certificate>)>,
}

impl Certificates {
    /// Takes the authorities that are trusted; what was verified before is verified anew.
    pub fn set_authorities(&mut self, authorities: Vec<Authority>) {
        self.authorities = authorities;
        self.known.clear();
    }

    /// What an end showed, seen at `now`; `hash` makes the keyed hash of a fingerprint.
    pub fn read(
        &mut self,
        chain: &Chain,
        purpose: Purpose,
        now: Time,
        hash: impl FnOnce(&str) -> Arc<str>,
    ) -> Arc<Certificate> {
        let key = (chain.digest, purpose);
        if let Some((read, known)) = self.known.get(&key)
            && now.since(*read) < AGAIN
        {
            return Arc::clone(known);
        }
        let der = chain.certificates.first();
        let der = der.map(Vec::as_slice).unwrap_or_default();
        let mut certificate = decode(der).unwrap_or_else(unreadable);
        certificate.hash = hash(&hex::encode(Sha256::digest(der)));
        if let (Some(not_before), Some(not_after)) = (certificate.not_before, certificate.not_after)
        {
            let leaf = Leaf {
                spiffe_id: certificate.spiffe_id.as_deref(),
                not_before,
                not_after,
            };
            let seconds = now.millis() / 1_000;
            let certificates = &chain.certificates;
            let proof = verify(&self.authorities, certificates, &leaf, purpose, seconds);
            certificate.standing = proof.standing;
            certificate.name = name(&certificate, proof);
        }
        let certificate = Arc::new(certificate);
        if self.known.len() >= KNOWN {
            self.known.clear();
        }
        self.known.insert(key, (now, Arc::clone(&certificate)));
        certificate
    }
}

/// A certificate of which nothing is known.
fn unreadable() -> Certificate {
    Certificate {
        hash: "".into(),
        subject: None,
        issuer: None,
        serial: None,
        spiffe_id: None,
        dns_names: Vec::new(),
        not_before: None,
        not_after: None,
        standing: Standing::NotProvable,
        name: None,
    }
}

/// Whom a certificate names: by its SPIFFE id, else by its subject, else by its first host.
fn name(certificate: &Certificate, proof: Proof) -> Option<String> {
    if proof.standing != Standing::Valid {
        return None;
    }
    if proof.is_of_domain {
        return certificate.spiffe_id.clone();
    }
    let subject = certificate.subject.as_ref();
    let by_subject = subject.map(|subject| format!("certificate:{subject}"));
    let host = || certificate.dns_names.first();
    by_subject.or_else(|| Some(format!("certificate:dns={}", host()?)))
}

/// Reads what a certificate says.
fn decode(der: &[u8]) -> Option<Certificate> {
    let (rest, certificate) = X509Certificate::from_der(der).ok()?;
    if !rest.is_empty() {
        return None;
    }
    let names = certificate.subject_alternative_name().ok().flatten();
    let names = names.map(|names| names.value.general_names.as_slice());
    let names = names.unwrap_or_default();
    let is_host =
        |name: &str| (1..=255).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_graphic());
    let hosts = names.iter().filter_map(|name| match name {
        GeneralName::DNSName(host) if is_host(host) => Some((*host).to_owned()),
        _ => None,
    });
    let mut uris = names.iter().filter_map(|name| match name {
        GeneralName::URI(uri) => Some(*uri),
        _ => None,
    });
    // X509-SVID, section 2: with exactly one URI.
    let (uri, other) = (uris.next(), uris.next());
    let uri = uri.filter(|uri| other.is_none() && trust_domain(uri).is_some());
    let serial = certificate.raw_serial();
    let seconds = |time: i64| u64::try_from(time).unwrap_or(0);
    Some(Certificate {
        subject: text(certificate.subject()),
        issuer: text(certificate.issuer()),
        serial: Some(hex::encode(&serial[..serial.len().min(SERIAL)])),
        spiffe_id: uri.map(str::to_owned),
        dns_names: hosts.take(NAMES).collect(),
        not_before: Some(seconds(certificate.validity().not_before.timestamp())),
        not_after: Some(seconds(certificate.validity().not_after.timestamp())),
        ..unreadable()
    })
}

/// A distinguished name as text (RFC 4514); `None` where it is empty or too long.
fn text(name: &X509Name<'_>) -> Option<String> {
    let mut text = String::new();
    let parts: Vec<_> = name.iter_rdn().collect();
    for part in parts.into_iter().rev() {
        let mut sign = if text.is_empty() { "" } else { "," };
        for attribute in part.iter() {
            text.push_str(sign);
            sign = "+";
            let oid = attribute.attr_type().to_id_string();
            match (short(&oid), attribute.as_str()) {
                (Some(short), Ok(value)) => {
                    text.push_str(short);
                    text.push('=');
                    escape(value, &mut text);
                }
                _ => {
                    let der = attribute.attr_value().to_der_vec().unwrap_or_default();
                    // Writing to a string cannot fail.
                    let _ = write!(text, "{oid}=#{}", hex::encode(&der));
                }
            }
            if text.len() > TEXT {
                return None;
            }
        }
    }
    (!text.is_empty()).then_some(text)
}

/// The short names that RFC 4514, section 3, knows.
fn short(oid: &str) -> Option<&'static str> {
    Some(match oid {
        "2.5.4.3" => "CN",
        "2.5.4.6" => "C",
        "2.5.4.7" => "L",
        "2.5.4.8" => "ST",
        "2.5.4.9" => "STREET",
        "2.5.4.10" => "O",
        "2.5.4.11" => "OU",
        "0.9.2342.19200300.100.1.1" => "UID",
        "0.9.2342.19200300.100.1.25" => "DC",
        _ => return None,
    })
}

/// RFC 4514, section 2.4, so that no value can be taken for two; control characters too.
fn escape(value: &str, out: &mut String) {
    let last = value.chars().count().saturating_sub(1);
    for (index, letter) in value.chars().enumerate() {
        match letter {
            '"' | '+' | ',' | ';' | '<' | '>' | '\\' => out.extend(['\\', letter]),
            ' ' if index == 0 || index == last => out.push_str("\\ "),
            '#' if index == 0 => out.push_str("\\#"),
            letter if letter.is_control() => {
                for byte in letter.encode_utf8(&mut [0; 4]).bytes() {
                    // Writing to a string cannot fail.
                    let _ = write!(out, "\\{byte:02X}");
                }
            }
            letter => out.push(letter),
        }
    }
}

/// Any bytes as a chain: for the fuzz target. Not part of the product.
pub(crate) fn fuzz_certificate(chain: &Chain) {
    let mut certificates = Certificates::default();
    let read = certificates.read(chain, Purpose::Client, Time(0), |hash| hash.into());
    assert!(read.dns_names.len() <= NAMES && read.name.is_none());
    for text in [&read.subject, &read.issuer].into_iter().flatten() {
        assert!(!text.chars().any(char::is_control));
        assert!(text.len() <= TEXT);
    }
    assert_ne!(read.standing, Standing::Valid);
}

#[cfg(test)]
#[path = "certificate_tests.rs"]
mod tests;
