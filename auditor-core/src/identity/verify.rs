//! Whether a JSON Web Token was signed by an issuer whose keys are known (RFC 7515, RFC 7517).
//!
//! Public keys only: a token that is signed with a shared secret, or not at all, proves nothing here. Where keys come
//! from is the caller's.

use jsonwebtoken::{
    Algorithm, DecodingKey, Validation, decode, decode_header,
    errors::ErrorKind,
    jwk::{Jwk, JwkSet},
};
use serde_json::Value;

use super::claims::Claims;
use crate::key::Time;

/// Seconds by which clocks may differ.
const LEEWAY: u64 = 60;

/// An issuer of tokens, and the keys it signs with.
#[derive(Clone, Debug)]
pub struct Issuer {
    /// `iss` of its tokens.
    pub name: String,
    /// The audience its tokens must be for; empty: any.
    pub audience: Vec<String>,
    keys: JwkSet,
}

/// The keys of an issuer cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("the keys of issuer {issuer} are no JSON Web Key Set: {cause}")]
pub struct BadKeys {
    issuer: String,
    #[source]
    cause: serde_json::Error,
}

/// All issuers that are known.
#[derive(Clone, Debug, Default)]
pub struct Issuers(Vec<Issuer>);

/// What is known of a token's signature.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Verdict {
    /// Signed by its issuer, for the right audience, and in force when it was seen.
    Valid,
    /// Signed by its issuer, and no longer in force.
    Expired,
    /// Signed by its issuer, and not yet in force.
    NotYet,
    /// Signed by its issuer, for somebody else.
    WrongAudience,
    /// Not signed by the key that it names: forged.
    BadSignature,
    /// Its issuer is not known, or names a key that is not.
    UnknownKey,
    /// No token, or one that no public key can prove.
    NotProvable,
}

impl Issuer {
    /// An issuer by the text of its JSON Web Key Set.
    ///
    /// # Errors
    /// When the text is none.
    pub fn new(name: &str, audience: Vec<String>, keys: &str) -> Result<Self, BadKeys> {
        let bad = |cause| BadKeys {
            issuer: name.to_owned(),
            cause,
        };
        Ok(Self {
            name: name.to_owned(),
            audience,
            keys: serde_json::from_str(keys).map_err(bad)?,
        })
    }
}

impl Issuers {
    /// Those whose tokens can be proven.
    pub fn new(issuers: Vec<Issuer>) -> Self {
        Self(issuers)
    }

    /// Looks at the signature of a token, seen at `now`.
    pub(super) fn verify(&self, token: &str, claims: &Claims, now: Time) -> Verdict {
        let Ok(header) = decode_header(token) else {
            return Verdict::NotProvable;
        };
        if !is_public(header.alg) {
            return Verdict::NotProvable;
        }
        let issuer = claims.issuer.as_deref();
        let Some(issuer) = self.0.iter().find(|known| Some(&*known.name) == issuer) else {
            return Verdict::UnknownKey;
        };
        let named: Vec<&Jwk> = match &header.kid {
            Some(kid) => issuer.keys.find(kid).into_iter().collect(),
            None => issuer.keys.keys.iter().collect(),
        };
        let mut verdict = Verdict::UnknownKey;
        for key in named {
            match is_signed(token, header.alg, key) {
                Some(true) => return in_force(issuer, claims, now),
                Some(false) => verdict = Verdict::BadSignature,
                None => {}
            }
        }
        verdict
    }
}

/// Whether this key signed the token; `None` where it cannot have, being of another kind.
fn is_signed(token: &str, algorithm: Algorithm, key: &Jwk) -> Option<bool> {
    let key = DecodingKey::from_jwk(key).ok()?;
    let mut validation = Validation::new(algorithm);
    validation.required_spec_claims.clear();
    (validation.validate_exp, validation.validate_aud) = (false, false);
    match decode::<Value>(token, &key, &validation) {
        Ok(_) => Some(true),
        Err(error) => match error.kind() {
            ErrorKind::InvalidSignature => Some(false),
            _ => None,
        },
    }
}

fn in_force(issuer: &Issuer, claims: &Claims, now: Time) -> Verdict {
    let seconds = now.millis() / 1000;
    let expected = &issuer.audience;
    if !expected.is_empty() && !claims.audience.iter().any(|one| expected.contains(one)) {
        return Verdict::WrongAudience;
    }
    if claims
        .expires
        .is_some_and(|end| end.saturating_add(LEEWAY) < seconds)
    {
        return Verdict::Expired;
    }
    let begin = claims.not_before.unwrap_or(0);
    if begin > seconds.saturating_add(LEEWAY) {
        return Verdict::NotYet;
    }
    Verdict::Valid
}

fn is_public(algorithm: Algorithm) -> bool {
    !matches!(
        algorithm,
        Algorithm::HS256 | Algorithm::HS384 | Algorithm::HS512
    )
}
