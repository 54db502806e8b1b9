//! Credentials that requests showed: their keyed hash, and what they say and prove where they are JSON Web Tokens.
//!
//! Bound: the last [`KNOWN`] credentials are remembered, so that a token is read and verified once, not per request;
//! whether it is in force is asked anew.

use std::{collections::HashMap, sync::Arc};

use serde_json::Value;

use super::{
    claims::Claims,
    keys::Keys,
    verify::{Issuers, Verdict},
};
use crate::{key::Time, wire::Secret};

/// Credentials remembered; beyond it all are read anew.
const KNOWN: usize = 4096;
/// Nanoseconds after which a token is verified again: it may have expired.
const AGAIN: u64 = 10_000_000_000;

/// A credential, without the secret.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Credential {
    /// How it is presented.
    pub scheme: Scheme,
    /// Keyed hash of the secret.
    pub hash: Arc<str>,
    /// What it says, where it is a JSON Web Token.
    pub claims: Option<Claims>,
    /// What is known of its signature.
    pub verdict: Verdict,
}

/// How a credential is presented.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Scheme {
    /// RFC 6750.
    Bearer,
    /// RFC 7617.
    Basic,
    /// RFC 9449: bound to a key of its bearer.
    DPoP,
    /// `X-API-Key`.
    ApiKey,
    /// Any other.
    Other,
}

/// Reads credentials.
#[derive(Debug, Default)]
pub struct Credentials {
    issuers: Issuers,
    known: HashMap<Secret, (Time, Arc<Credential>)>,
}

impl Credentials {
    /// Takes the issuers whose tokens can be proven; what was verified before is verified anew.
    pub fn set_issuers(&mut self, issuers: Issuers) {
        self.issuers = issuers;
        self.known.clear();
    }

    /// Takes the keys of an issuer, by its place among them; what was verified before is verified anew.
    pub fn set_keys(&mut self, issuer: usize, keys: Keys) {
        self.issuers.set_keys(issuer, keys);
        self.known.clear();
    }

    /// The next issuer of which a token named a key that is not known, by its place.
    #[must_use]
    pub fn poll_wanted_keys(&mut self) -> Option<usize> {
        self.issuers.poll_wanted_keys()
    }

    /// What a credential is, seen at `now`; `hash` makes the keyed hash of a secret.
    pub fn read(
        &mut self,
        secret: &Secret,
        now: Time,
        hash: impl FnOnce(&str) -> Arc<str>,
    ) -> Arc<Credential> {
        if let Some((read, known)) = self.known.get(secret)
            && now.since(*read) < AGAIN
        {
            return Arc::clone(known);
        }
        let (scheme, text) = split(secret.expose());
        let claims = token(scheme, text).map(|payload| Claims::of(&payload));
        let verdict = claims.as_ref().map_or(Verdict::NotProvable, |claims| {
            self.issuers.verify(text, claims, now)
        });
        let credential = Arc::new(Credential {
            scheme,
            hash: hash(text),
            claims,
            verdict,
        });
        if self.known.len() >= KNOWN {
            self.known.clear();
        }
        self.known
            .insert(secret.clone(), (now, Arc::clone(&credential)));
        credential
    }
}

/// The scheme and what it presents (RFC 9110, section 11.6.2).
fn split(value: &str) -> (Scheme, &str) {
    let Some((name, rest)) = value.split_once(' ') else {
        return (Scheme::Other, value);
    };
    let is = |scheme: &str| name.eq_ignore_ascii_case(scheme);
    let scheme = if is("bearer") {
        Scheme::Bearer
    } else if is("basic") {
        Scheme::Basic
    } else if is("dpop") {
        Scheme::DPoP
    } else if is("apikey") {
        Scheme::ApiKey
    } else {
        return (Scheme::Other, value);
    };
    (scheme, rest.trim())
}

/// The payload of a JSON Web Token.
fn token(scheme: Scheme, text: &str) -> Option<Value> {
    let may_be = matches!(scheme, Scheme::Bearer | Scheme::DPoP | Scheme::ApiKey);
    if !may_be || text.split('.').count() != 3 {
        return None;
    }
    jsonwebtoken::decode_header(text).ok()?;
    let payload: Value = jsonwebtoken::dangerous::insecure_decode_claims(text).ok()?;
    payload.is_object().then_some(payload)
}

/// Any bytes as a header's value, and as a token's payload: for the fuzz target. Not part of the product.
pub fn fuzz_credential(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let mut credentials = Credentials::default();
    let mut hashed = 0;
    let mut read = || {
        credentials.read(&Secret::new(&*text), Time(0), |secret| {
            assert!(text.contains(secret));
            hashed += 1;
            "h".into()
        })
    };
    assert_eq!(read(), read());
    assert_eq!(hashed, 1);
    if let Ok(payload) = serde_json::from_slice(input) {
        let claims = Claims::of(&payload);
        let texts = [claims.issuer, claims.subject, claims.client_id];
        let lists = [claims.audience, claims.scopes, claims.actors];
        assert!(lists.iter().all(|list| list.len() <= 8));
        let mut texts = texts
            .into_iter()
            .flatten()
            .chain(lists.into_iter().flatten());
        assert!(texts.all(|text| text.len() <= 512));
    }
}

#[cfg(test)]
mod tests {
    use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
    use serde_json::json;

    use super::{
        super::{
            testing::{jwks, signed as sign},
            verify::Issuer,
        },
        *,
    };

    const SECOND: u64 = 1_000_000_000;
    const NOW: Time = Time(1_800_000_000 * SECOND);
    const ISSUER: &str = "https://issuer.example";

    fn issuer() -> Issuer {
        Issuer {
            name: Some(ISSUER.into()),
            audience: vec!["mcp".into()],
            keys: keys("k1"),
            ..Issuer::default()
        }
    }

    fn keys(kid: &str) -> Keys {
        Keys::parse(jwks(kid).as_bytes()).unwrap()
    }

    fn signed(kid: &str, payload: Value) -> String {
        sign(kid, &payload)
    }

    fn payload() -> Value {
        json!({"iss": ISSUER, "sub": "agent", "aud": "mcp", "exp": 1_800_000_100_u64})
    }

    fn verdict(token: &str) -> Verdict {
        let mut credentials = Credentials::default();
        credentials.set_issuers(Issuers::new(vec![issuer()]));
        let secret = Secret::new(format!("Bearer {token}"));
        credentials.read(&secret, NOW, |_| "h".into()).verdict
    }

    #[test]
    fn a_token_of_a_known_issuer_is_verified() {
        assert_eq!(verdict(&signed("k1", payload())), Verdict::Valid);
    }

    #[test]
    fn each_way_to_fail_is_told() {
        let with = |name: &str, value: Value| {
            let mut changed = payload();
            changed[name] = value;
            changed
        };
        let token = signed("k1", payload());
        let (rest, signature) = token.rsplit_once('.').unwrap();
        let other = signed("k1", with("sub", json!("admin")));
        let (other, _) = other.rsplit_once('.').unwrap();
        let bent = format!("{other}.{signature}");
        assert_eq!(verdict(&bent), Verdict::BadSignature);
        assert_eq!(verdict(&signed("k2", payload())), Verdict::UnknownKey);
        let stranger = signed("k1", with("iss", json!("https://other.example")));
        assert_eq!(verdict(&stranger), Verdict::UnknownKey);
        let late = signed("k1", with("exp", json!(1_799_999_000_u64)));
        assert_eq!(verdict(&late), Verdict::Expired);
        let early = signed("k1", with("nbf", json!(1_800_001_000_u64)));
        assert_eq!(verdict(&early), Verdict::NotYet);
        let elsewhere = signed("k1", with("aud", json!("other")));
        assert_eq!(verdict(&elsewhere), Verdict::WrongAudience);
        assert_eq!(verdict(&format!("{rest}.")), Verdict::BadSignature);
        assert_eq!(verdict("not.a.token"), Verdict::NotProvable);
        let shared = encode(
            &Header::new(Algorithm::HS256),
            &payload(),
            &EncodingKey::from_secret(b"secret"),
        );
        assert_eq!(verdict(&shared.unwrap()), Verdict::NotProvable);
    }

    #[test]
    fn a_token_that_expires_meanwhile_is_no_longer_valid() {
        let mut credentials = Credentials::default();
        credentials.set_issuers(Issuers::new(vec![issuer()]));
        let secret = Secret::new(format!("Bearer {}", signed("k1", payload())));
        let mut verdict = |now| credentials.read(&secret, now, |_| "h".into()).verdict;
        assert_eq!(verdict(NOW), Verdict::Valid);
        assert_eq!(verdict(NOW.after(200 * SECOND)), Verdict::Expired);
    }

    #[test]
    fn keys_that_a_token_names_are_wanted_and_verify_it_once_they_are_there() {
        let mut credentials = Credentials::default();
        credentials.set_issuers(Issuers::new(vec![
            Issuer {
                name: Some("https://other.example".into()),
                ..Issuer::default()
            },
            Issuer {
                keys: Keys::default(),
                ..issuer()
            },
        ]));
        let secret = Secret::new(format!("Bearer {}", signed("k2", payload())));
        let read =
            |credentials: &mut Credentials| credentials.read(&secret, NOW, |_| "h".into()).verdict;
        assert_eq!(credentials.poll_wanted_keys(), None);
        assert_eq!(read(&mut credentials), Verdict::UnknownKey);
        assert_eq!(credentials.poll_wanted_keys(), Some(1));
        assert_eq!(credentials.poll_wanted_keys(), None);
        credentials.set_keys(1, keys("k1"));
        assert_eq!(read(&mut credentials), Verdict::UnknownKey);
        assert_eq!(credentials.poll_wanted_keys(), Some(1));
        credentials.set_keys(1, keys("k2"));
        assert_eq!(read(&mut credentials), Verdict::Valid);
        assert_eq!(credentials.poll_wanted_keys(), None);
        // A key that was withdrawn proves nothing any more.
        credentials.set_keys(1, keys("k3"));
        assert_eq!(read(&mut credentials), Verdict::UnknownKey);
    }

    #[test]
    fn a_trust_domain_vouches_for_its_own_ids_only_and_needs_no_issuer() {
        let mut credentials = Credentials::default();
        credentials.set_issuers(Issuers::new(vec![Issuer {
            name: None,
            trust_domain: Some("example.org".into()),
            ..issuer()
        }]));
        let mut verdict = |payload: Value| {
            let secret = Secret::new(format!("Bearer {}", signed("k1", payload)));
            credentials.read(&secret, NOW, |_| "h".into()).verdict
        };
        let svid = |id: &str| json!({"sub": id, "aud": ["mcp"], "exp": 1_800_000_100_u64});
        assert_eq!(verdict(svid("spiffe://example.org/agent")), Verdict::Valid);
        assert_eq!(
            verdict(svid("spiffe://other.org/agent")),
            Verdict::UnknownKey
        );
        assert_eq!(verdict(svid("agent")), Verdict::UnknownKey);
        let endless = json!({"sub": "spiffe://example.org/agent", "aud": ["mcp"]});
        assert_eq!(verdict(endless), Verdict::NotProvable);
    }

    #[test]
    fn any_bytes_are_read_within_the_bounds() {
        let token = signed("k1", payload());
        for input in [
            format!("Bearer {token}"),
            format!("Bearer {}", &token[..token.len() / 2]),
            json!({"sub": "x".repeat(600), "aud": vec!["a"; 20], "scope": "a ".repeat(30)})
                .to_string(),
            "Bearer ..".into(),
            "\u{fffd}".into(),
        ] {
            fuzz_credential(input.as_bytes());
        }
    }

    #[test]
    fn other_schemes_are_hashes_only() {
        for (value, scheme, text) in [
            ("Basic dXNlcjpwYXNz", Scheme::Basic, "dXNlcjpwYXNz"),
            ("bearer opaque", Scheme::Bearer, "opaque"),
            ("ApiKey k", Scheme::ApiKey, "k"),
            ("Digest a=b", Scheme::Other, "Digest a=b"),
            ("", Scheme::Other, ""),
        ] {
            let mut hashed = None;
            let secret = Secret::new(value);
            let credential = Credentials::default().read(&secret, NOW, |text| {
                hashed = Some(text.to_owned());
                "h".into()
            });
            assert_eq!(
                (credential.scheme, credential.claims.as_ref()),
                (scheme, None)
            );
            assert_eq!(hashed.as_deref(), Some(text));
            assert_eq!(format!("{secret:?}"), "Secret(…)");
        }
    }
}
