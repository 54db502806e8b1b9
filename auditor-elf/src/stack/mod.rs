//! The stacks that are known, a file each. None knows of another.

mod awslc;
mod boringssl;
mod gnutls;
mod go;
mod java;
mod nss;
mod openssl;
mod openssl_unnamed;
mod ring;

use crate::{Library, fuzz::Elf, image::Image};

/// Looks for one stack in a file.
type Recognise = fn(&Image<'_>) -> Option<Library>;

/// All that are known.
pub(crate) const STACKS: [Recognise; 9] = [
    openssl::recognise,
    openssl_unnamed::recognise,
    go::recognise,
    gnutls::recognise,
    boringssl::recognise,
    awslc::recognise,
    ring::recognise,
    java::recognise,
    nss::recognise,
];

/// What they look for in a file, so that it is gone through once for all.
pub(crate) const TEXTS: [&[&[u8]]; 7] = [
    openssl::TEXTS,
    openssl_unnamed::TEXTS,
    go::TEXTS,
    gnutls::TEXTS,
    boringssl::TEXTS,
    awslc::TEXTS,
    ring::TEXTS,
];

/// Two small files that hold every stack: one with symbols, one without.
pub(crate) fn samples() -> [Vec<u8>; 2] {
    let (mut named, mut stripped) = (Elf::new(), Elf::new());
    openssl::sample(&mut named);
    gnutls::sample(&mut named);
    java::sample(&mut named);
    nss::sample(&mut named);
    go::sample(&mut stripped);
    openssl_unnamed::sample(&mut stripped);
    boringssl::sample(&mut stripped);
    awslc::sample(&mut stripped);
    ring::sample(&mut stripped);
    [named.finish(), stripped.finish()]
}
