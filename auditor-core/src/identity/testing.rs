//! A key that signs tokens in tests.

use jsonwebtoken::{Algorithm, EncodingKey, Header, encode, jwk::Jwk};
use serde_json::{Value, json};

/// Seed of an Ed25519 key (RFC 8032, section 7.1, test 1).
pub(super) const ED25519: [u8; 32] = [
    0x9d, 0x61, 0xb1, 0x9d, 0xef, 0xfd, 0x5a, 0x60, 0xba, 0x84, 0x4a, 0xf4, 0x92, 0xec, 0x2c, 0xc4,
    0x44, 0x49, 0xc5, 0x69, 0x7b, 0x32, 0x69, 0x19, 0x70, 0x3b, 0xac, 0x03, 0x1c, 0xae, 0x7f, 0x60,
];

/// The key in PKCS #8.
fn key() -> EncodingKey {
    let mut der = vec![
        0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04,
        0x20,
    ];
    der.extend(ED25519);
    EncodingKey::from_ed_der(&der)
}

/// Its JSON Web Key Set, where it has this id.
pub(super) fn jwks(kid: &str) -> String {
    let mut jwk = Jwk::from_encoding_key(&key(), Algorithm::EdDSA).unwrap();
    jwk.common.key_id = Some(kid.into());
    json!({"keys": [jwk]}).to_string()
}

/// A token that it signed, and that names it by this id.
pub(super) fn signed(kid: &str, payload: &Value) -> String {
    let mut header = Header::new(Algorithm::EdDSA);
    header.kid = Some(kid.into());
    encode(&header, payload, &key()).unwrap()
}
