//! Public keys of an issuer, from a JSON Web Key Set (RFC 7517) or the JSON Web Key Set of a SPIFFE bundle.
//!
//! Keys of kinds that are not known, or that are not for signatures of tokens, are left out; the others of the set count.
//! Bound: [`KEYS`] keys of a set.

use jsonwebtoken::{
    DecodingKey,
    jwk::{AlgorithmParameters, Jwk, PublicKeyUse},
};
use serde_json::Value;

/// Keys of one set; beyond it the others are left out.
const KEYS: usize = 64;

/// The public keys that an issuer signs with.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Keys {
    keys: Vec<Jwk>,
    left_out: usize,
}

/// A text is no JSON Web Key Set.
#[derive(Debug, thiserror::Error)]
pub enum BadKeys {
    /// It is no JSON.
    #[error("no JSON Web Key Set: {0}")]
    NoJson(#[from] serde_json::Error),
    /// It has no array of keys.
    #[error("no JSON Web Key Set: it has no array `keys`")]
    NoKeys,
}

impl Keys {
    /// Reads a JSON Web Key Set.
    ///
    /// # Errors
    /// When the text is none.
    pub fn parse(text: &[u8]) -> Result<Self, BadKeys> {
        let set: Value = serde_json::from_slice(text)?;
        let all = set.get("keys").and_then(Value::as_array);
        let all = all.ok_or(BadKeys::NoKeys)?;
        let keys: Vec<Jwk> = all.iter().filter_map(key).take(KEYS).collect();
        Ok(Self {
            left_out: all.len() - keys.len(),
            keys,
        })
    }

    /// Number of keys.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Number of keys that were in the set, and are not used.
    pub fn left_out(&self) -> usize {
        self.left_out
    }

    /// The key of this id; all where a token names none.
    pub(super) fn named(&self, id: Option<&str>) -> impl Iterator<Item = &Jwk> {
        let is_named = move |key: &&Jwk| id.is_none() || key.common.key_id.as_deref() == id;
        self.keys.iter().filter(is_named)
    }
}

/// A key that signatures of tokens may be verified with. `jwt-svid` is the use that SPIFFE bundles name.
fn key(value: &Value) -> Option<Jwk> {
    let key: Jwk = serde_json::from_value(value.clone()).ok()?;
    let is_of_use = match &key.common.public_key_use {
        None | Some(PublicKeyUse::Signature) => true,
        Some(PublicKeyUse::Encryption) => false,
        Some(PublicKeyUse::Other(name)) => name == "jwt-svid",
    };
    let is_public = !matches!(key.algorithm, AlgorithmParameters::OctetKey(_));
    (is_of_use && is_public && DecodingKey::from_jwk(&key).is_ok()).then_some(key)
}

/// Any bytes as a key set: for the fuzz target. Not part of the product.
pub(super) fn fuzz_keys(input: &[u8]) {
    if let Ok(keys) = Keys::parse(input) {
        assert!(keys.len() <= KEYS);
        assert_eq!(keys.named(None).count(), keys.len());
        assert!(keys.named(Some("a")).count() <= keys.len());
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn okp(id: &str) -> Value {
        json!({"kty": "OKP", "crv": "Ed25519", "kid": id, "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"})
    }

    fn with(id: &str, name: &str, value: &str) -> Value {
        let mut key = okp(id);
        key[name] = value.into();
        key
    }

    #[test]
    fn keys_of_other_kinds_and_uses_are_left_out_and_counted() {
        let set = json!({"keys": [
            okp("plain"), with("sig", "use", "sig"), with("svid", "use", "jwt-svid"),
            with("x509", "use", "x509-svid"), with("enc", "use", "enc"), with("curve", "crv", "X25519"),
            with("kind", "kty", "AKP"), json!({"kty": "oct", "k": "AAAA"}), 7,
        ]});
        let keys = Keys::parse(set.to_string().as_bytes()).unwrap();
        let ids: Vec<_> = keys
            .named(None)
            .map(|key| key.common.key_id.as_deref())
            .collect();
        assert_eq!(ids, [Some("plain"), Some("sig"), Some("svid")]);
        assert_eq!(keys.left_out(), 6);
        assert_eq!(keys.named(Some("sig")).count(), 1);
        assert_eq!(keys.named(Some("enc")).count(), 0);
    }

    #[test]
    fn a_set_is_cut_at_the_bound() {
        let set = json!({"keys": vec![okp("a"); KEYS + 3]}).to_string();
        let keys = Keys::parse(set.as_bytes()).unwrap();
        assert_eq!((keys.len(), keys.left_out()), (KEYS, 3));
    }

    #[test]
    fn what_is_no_key_set_is_refused() {
        for text in ["", "[]", "{}", r#"{"keys":7}"#, "<html>"] {
            assert!(Keys::parse(text.as_bytes()).is_err(), "{text}");
            fuzz_keys(text.as_bytes());
        }
        let empty = Keys::parse(br#"{"keys":[]}"#).unwrap();
        assert!(empty.is_empty());
        fuzz_keys(json!({"keys": [okp("a")]}).to_string().as_bytes());
    }
}
