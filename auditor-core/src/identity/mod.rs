//! Who a workload is, by what the kernel knows of it and by the credentials it shows; and when the two disagree.
//!
//! Names nobody by what they call themselves. Secrets are known here by keyed hashes only, once they were read.

mod authority;
mod certificate;
mod claims;
mod credential;
mod finding;
mod grade;
mod hijack;
mod keys;
mod spiffe;
#[cfg(test)]
mod testing;
mod verify;

pub use authority::{Authority, BadAuthority, Purpose, Standing};
pub(crate) use certificate::fuzz_certificate;
pub use certificate::{Certificate, Certificates};
pub use claims::{Claims, GitHub, Kubernetes};
#[doc(hidden)]
pub use credential::fuzz_credential;
pub use credential::{Credential, Credentials, Scheme};
pub use finding::{Finding, FindingKind, Use};
pub use grade::{Assurance, Identity, Method};
pub use hijack::{Conduct, Gateways, Hijacks};
pub use keys::{BadKeys, Keys};
#[doc(hidden)]
pub use spiffe::fuzz_spiffe;
pub use spiffe::{Attestation, BadSvid, Bundles, is_trust_domain, trust_domain};
pub use verify::{Issuer, Issuers, Verdict};
