//! Whether a JSON Web Token was signed by an issuer whose keys are known (RFC 7515, RFC 7517).
//!
//! Public keys only: a token that is signed with a shared secret, or not at all, proves nothing here. Where keys come
//! from is the caller's.

use std::collections::BTreeSet;

use jsonwebtoken::{
    Algorithm, DecodingKey, Validation, decode, decode_header, errors::ErrorKind, jwk::Jwk,
};
use serde_json::Value;

use super::{claims::Claims, keys::Keys, spiffe::trust_domain};
use crate::key::Time;

/// Seconds by which clocks may differ.
const LEEWAY: u64 = 60;

/// An issuer of tokens, and the keys it signs with. A token is its where all that is named here fits.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Issuer {
    /// `iss` of its tokens.
    pub name: Option<String>,
    /// The trust domain that the SPIFFE id in `sub` is of; such tokens must say when they expire.
    pub trust_domain: Option<String>,
    /// The audience its tokens must be for; empty: any.
    pub audience: Vec<String>,
    /// Its keys; none while they are not known.
    pub keys: Keys,
}

/// All issuers that are known, in the order in which they were given.
#[derive(Clone, Debug, Default)]
pub struct Issuers {
    all: Vec<Issuer>,
    /// Those of which a token names a key that is not known.
    wanted: BTreeSet<usize>,
}

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
    /// Whether a token with these claims is this issuer's, by its own word.
    fn is_named_by(&self, claims: &Claims) -> bool {
        let domain = || claims.subject.as_deref().and_then(trust_domain);
        let fits = |wanted: &Option<String>, told: Option<&str>| {
            wanted.as_deref().is_none_or(|wanted| Some(wanted) == told)
        };
        (self.name.is_some() || self.trust_domain.is_some())
            && fits(&self.name, claims.issuer.as_deref())
            && (self.trust_domain.is_none() || fits(&self.trust_domain, domain()))
    }
}

impl Issuers {
    /// Those whose tokens can be proven.
    pub fn new(issuers: Vec<Issuer>) -> Self {
        Self {
            all: issuers,
            wanted: BTreeSet::new(),
        }
    }

    /// Takes the keys of an issuer, by its place in the order given.
    pub fn set_keys(&mut self, issuer: usize, keys: Keys) {
        if let Some(issuer) = self.all.get_mut(issuer) {
            issuer.keys = keys;
        }
    }

    /// The next issuer of which a token named a key that is not known.
    #[must_use]
    pub fn poll_wanted_keys(&mut self) -> Option<usize> {
        self.wanted.pop_first()
    }

    /// Looks at the signature of a token, seen at `now`.
    pub(super) fn verify(&mut self, token: &str, claims: &Claims, now: Time) -> Verdict {
        let Ok(header) = decode_header(token) else {
            return Verdict::NotProvable;
        };
        if !is_public(header.alg) {
            return Verdict::NotProvable;
        }
        for (number, issuer) in self.all.iter().enumerate() {
            if !issuer.is_named_by(claims) {
                continue;
            }
            match is_signed_by(token, header.alg, issuer.keys.named(header.kid.as_deref())) {
                Some(true) if issuer.trust_domain.is_some() && claims.expires.is_none() => {
                    return Verdict::NotProvable;
                }
                Some(true) => return in_force(&issuer.audience, claims, now),
                Some(false) => return Verdict::BadSignature,
                None => {
                    self.wanted.insert(number);
                }
            }
        }
        Verdict::UnknownKey
    }
}

/// Whether one of these keys signed a token; `None` where none of them can have.
pub(super) fn is_signed_by<'a>(
    token: &str,
    algorithm: Algorithm,
    keys: impl Iterator<Item = &'a Jwk>,
) -> Option<bool> {
    let mut told = None;
    for key in keys {
        match is_signed(token, algorithm, key) {
            Some(true) => return Some(true),
            Some(false) => told = Some(false),
            None => {}
        }
    }
    told
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

/// Whether a token that is signed is for this audience (empty: any), and in force at `now`.
pub(super) fn in_force(expected: &[String], claims: &Claims, now: Time) -> Verdict {
    let seconds = now.millis() / 1000;
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

/// Whether signatures of this kind are made with a key pair.
pub(super) fn is_public(algorithm: Algorithm) -> bool {
    !matches!(
        algorithm,
        Algorithm::HS256 | Algorithm::HS384 | Algorithm::HS512
    )
}
