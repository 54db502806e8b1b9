//! SPIFFE ids, and the JSON Web Tokens that SPIRE signs for a workload (JWT-SVIDs; SPIFFE-ID and JWT-SVID standards).
//!
//! Reads and verifies only; whom a token was asked for, and that it is still the same process, is the caller's.
//! Bounds: [`ID`] bytes of an id, [`DOMAINS`] trust domains.

use std::collections::BTreeMap;

use jsonwebtoken::decode_header;
use serde_json::Value;

use super::{
    claims::Claims,
    keys::{BadKeys, Keys, fuzz_keys},
    verify::{Verdict, in_force, is_public, is_signed_by},
};
use crate::key::Time;

/// Bytes of an id (SPIFFE-ID, section 2.3).
const ID: usize = 2_048;
/// Bytes of a trust domain's name.
const DOMAIN: usize = 255;
/// Trust domains whose keys are kept.
const DOMAINS: usize = 256;

/// The trust domain of a SPIFFE id; `None` where the text is no id of a workload.
pub fn trust_domain(id: &str) -> Option<&str> {
    let rest = id.strip_prefix("spiffe://").filter(|_| id.len() <= ID)?;
    let (domain, path) = rest.split_once('/')?;
    let is_segment = |segment: &str| {
        let mut bytes = segment.bytes();
        !matches!(segment, "" | "." | "..")
            && bytes.all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
    };
    (is_trust_domain(domain) && path.split('/').all(is_segment)).then_some(domain)
}

/// Whether a text is the name of a trust domain.
pub fn is_trust_domain(name: &str) -> bool {
    let is_allowed =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_.".contains(&byte);
    (1..=DOMAIN).contains(&name.len()) && name.bytes().all(is_allowed)
}

/// The keys of trust domains, as an agent tells them.
#[derive(Clone, Debug, Default)]
pub struct Bundles(BTreeMap<String, Keys>);

/// That an agent attested a process by its pid.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Attestation {
    /// The SPIFFE ids that the process is entitled to, its default first; at least one.
    pub ids: Vec<String>,
    /// Until when that holds.
    pub expires: Time,
}

/// Why a JWT-SVID proves nothing.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum BadSvid {
    /// No token of a workload of a trust domain, or without an end.
    #[error("no JWT-SVID")]
    NotSvid,
    /// It names a key that is in no bundle of its trust domain.
    #[error("its key is in no bundle of its trust domain")]
    UnknownKey,
    /// It was not signed by the key that it names.
    #[error("its signature is not of the key that it names")]
    Forged,
    /// For another audience, or not in force.
    #[error("it is for another audience, or not in force")]
    NotInForce,
}

impl Bundles {
    /// Takes the keys of a trust domain, by its SPIFFE id; beyond the bound of domains they are left out.
    ///
    /// # Errors
    /// When they are no JSON Web Key Set.
    pub fn insert(&mut self, domain: &str, keys: &[u8]) -> Result<(), BadKeys> {
        let name = domain.strip_prefix("spiffe://").unwrap_or(domain);
        let keys = Keys::parse(keys)?;
        if self.0.len() < DOMAINS || self.0.contains_key(name) {
            self.0.insert(name.to_owned(), keys);
        }
        Ok(())
    }

    /// The SPIFFE id that a JWT-SVID proves at `now`, and until when.
    ///
    /// # Errors
    /// When it proves none.
    pub fn verify(
        &self,
        token: &str,
        audience: &[String],
        now: Time,
    ) -> Result<(String, Time), BadSvid> {
        let header = decode_header(token).map_err(|_| BadSvid::NotSvid)?;
        let payload: Value =
            jsonwebtoken::dangerous::insecure_decode_claims(token).map_err(|_| BadSvid::NotSvid)?;
        let id = payload
            .get("sub")
            .and_then(Value::as_str)
            .unwrap_or_default();
        let domain = trust_domain(id).ok_or(BadSvid::NotSvid)?;
        let keys = self.0.get(domain).ok_or(BadSvid::UnknownKey)?;
        let kid = header.kid.as_deref().filter(|_| is_public(header.alg));
        let kid = kid.ok_or(BadSvid::NotSvid)?;
        match is_signed_by(token, header.alg, keys.named(Some(kid))) {
            Some(true) => {}
            Some(false) => return Err(BadSvid::Forged),
            None => return Err(BadSvid::UnknownKey),
        }
        let claims = Claims::of(&payload);
        let expires = claims.expires.ok_or(BadSvid::NotSvid)?;
        match in_force(audience, &claims, now) {
            Verdict::Valid => Ok((id.to_owned(), Time(expires.saturating_mul(1_000_000_000)))),
            _ => Err(BadSvid::NotInForce),
        }
    }
}

/// Any bytes as a key set, a SPIFFE id, a bundle and a JWT-SVID: for the fuzz target. Not part of the product.
pub fn fuzz_spiffe(input: &[u8]) {
    fuzz_keys(input);
    let text = String::from_utf8_lossy(input);
    if let Some(domain) = trust_domain(&text) {
        assert!(is_trust_domain(domain) && text.len() <= ID);
        assert!(text.starts_with(&format!("spiffe://{domain}/")));
    }
    let mut bundles = Bundles::default();
    let _ = bundles.insert("spiffe://example.org", input);
    // No key of the input's own choice signs for a domain whose bundle it is not.
    assert!(Bundles::default().verify(&text, &[], Time(0)).is_err());
    let _ = bundles.verify(&text, &["mcp".to_owned()], Time(0));
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{
        super::testing::{ED25519, jwks, signed},
        *,
    };

    const NOW: Time = Time(1_800_000_000_000_000_000);

    fn verify(payload: Value) -> Result<(String, Time), BadSvid> {
        let mut bundles = Bundles::default();
        bundles
            .insert("spiffe://example.org", jwks("k1").as_bytes())
            .unwrap();
        bundles.verify(&signed("k1", &payload), &["auditor".to_owned()], NOW)
    }

    fn payload() -> Value {
        json!({"sub": "spiffe://example.org/agent", "aud": ["auditor"], "exp": 1_800_000_300})
    }

    fn with(name: &str, value: Value) -> Value {
        let mut changed = payload();
        changed[name] = value;
        changed
    }

    #[test]
    fn a_svid_of_a_known_domain_proves_its_id() {
        let expires = Time(1_800_000_300_000_000_000);
        assert_eq!(
            verify(payload()),
            Ok(("spiffe://example.org/agent".to_owned(), expires))
        );
    }

    #[test]
    fn each_way_to_prove_nothing_is_told() {
        assert_eq!(verify(with("sub", json!("agent"))), Err(BadSvid::NotSvid));
        assert_eq!(verify(with("exp", Value::Null)), Err(BadSvid::NotSvid));
        assert_eq!(
            verify(with("sub", json!("spiffe://other.org/agent"))),
            Err(BadSvid::UnknownKey)
        );
        assert_eq!(
            verify(with("aud", json!(["mcp"]))),
            Err(BadSvid::NotInForce)
        );
        assert_eq!(verify(with("aud", Value::Null)), Err(BadSvid::NotInForce));
        assert_eq!(
            verify(with("exp", json!(1_799_999_000))),
            Err(BadSvid::NotInForce)
        );
        let mut bundles = Bundles::default();
        bundles
            .insert("spiffe://example.org", jwks("k1").as_bytes())
            .unwrap();
        let token = signed("k1", &payload());
        let (rest, _) = token.rsplit_once('.').unwrap();
        let bent = format!("{rest}.{}", "A".repeat(86));
        assert_eq!(
            bundles.verify(&bent, &["auditor".to_owned()], NOW),
            Err(BadSvid::Forged)
        );
        let other = signed("k2", &payload());
        assert_eq!(
            bundles.verify(&other, &["auditor".to_owned()], NOW),
            Err(BadSvid::UnknownKey)
        );
        assert_eq!(ED25519.len(), 32);
    }

    #[test]
    fn ids_are_those_of_the_standard() {
        assert_eq!(
            trust_domain("spiffe://example.org/ns/a/sa/b"),
            Some("example.org")
        );
        for wrong in [
            "spiffe://example.org",
            "spiffe://example.org/",
            "spiffe://Example.org/a",
            "spiffe:///a",
            "https://example.org/a",
            "spiffe://example.org/a//b",
            "spiffe://example.org/../a",
            "spiffe://example.org/a?b",
            "spiffe://u@example.org/a",
            "spiffe://example.org:80/a",
            "spiffe://example.org/%61",
        ] {
            assert_eq!(trust_domain(wrong), None, "{wrong}");
        }
        let long = format!("spiffe://example.org/{}", "a".repeat(ID));
        assert_eq!(trust_domain(&long), None);
        for input in [
            "spiffe://example.org/a",
            &*signed("k1", &payload()),
            &*jwks("k1"),
        ] {
            fuzz_spiffe(input.as_bytes());
        }
    }
}
