//! Chooses rustls' cryptography by the name that the program was built under.

use rustls::crypto::{aws_lc_rs, ring};

/// Installs ring in `*-ring`, aws-lc otherwise; before the first connection.
pub(crate) fn install() {
    let provider = if RING {
        ring::default_provider()
    } else {
        aws_lc_rs::default_provider()
    };
    provider
        .install_default()
        .expect("nothing was installed before");
}

const RING: bool = matches!(
    env!("CARGO_BIN_NAME").as_bytes(),
    [.., b'-', b'r', b'i', b'n', b'g']
);
