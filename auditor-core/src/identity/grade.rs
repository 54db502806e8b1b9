//! Says who is at an end of an interaction, how that was established and how far it is proven.
//!
//! What an agent attested by pid names a workload before all else; a credential names its bearer only where its issuer's
//! signature was verified; a certificate names the end of a connection that showed it where an authority vouches for it; else the workload is named by what the kernel knows of it. What a program calls itself names nobody.

use sha2::{Digest, Sha256};

use super::{
    authority::Standing, certificate::Certificate, credential::Credential, spiffe::trust_domain,
    verify::Verdict,
};
use crate::audit::{Pod, Process};

/// Who a workload is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Identity {
    /// Its name; `None` where nothing but its own word is known.
    pub subject: Option<String>,
    /// How that was established.
    pub method: Method,
    /// How far it is proven.
    pub assurance: Assurance,
    /// Whether a signature was verified.
    pub is_verified: bool,
    /// SHA-256 of all that the name rests on.
    pub evidence: [u8; 32],
    /// What speaks against it.
    pub contradictions: Vec<&'static str>,
}

/// How an identity was established.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Method {
    /// An agent of SPIRE attested the process by its pid.
    Spire,
    /// The connection was made with a certificate that chains to an authority that is trusted.
    Certificate,
    /// A token was shown whose signature is its issuer's.
    Token,
    /// The kernel knows its container, which the runtime or the API server says is of this pod.
    Pod,
    /// The kernel knows its container.
    Container,
    /// The kernel knows its executable.
    Executable,
    /// It says so itself.
    Claim,
}

/// How far an identity is proven, the best last.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Assurance {
    /// It says so itself.
    A1,
    /// The kernel observed it.
    A2,
    /// It showed a credential that was verified.
    A3,
    /// It was attested by pid, by a party that is trusted.
    A4,
}

impl Method {
    /// Its name in events.
    pub fn code(self) -> &'static str {
        match self {
            Self::Spire => "spire",
            Self::Certificate => "certificate",
            Self::Token => "token",
            Self::Pod => "pod",
            Self::Container => "container",
            Self::Executable => "executable",
            Self::Claim => "claim",
        }
    }
}

impl Identity {
    /// Who a process is, and what it showed. `None` where nothing at all is known.
    pub fn of(
        process: Option<&Process>,
        credential: Option<&Credential>,
        certificate: Option<&Certificate>,
        has_claim: bool,
    ) -> Option<Self> {
        let observed = process.and_then(observed);
        let certified = certificate.and_then(|one| one.name.clone());
        let proven = credential
            .filter(|one| one.verdict == Verdict::Valid)
            .and_then(|one| one.claims.as_ref()?.subject.clone());
        let attested = process.and_then(|process| process.attestation.as_deref());
        let attested = attested.and_then(|one| one.ids.first().cloned());
        let is_verified = attested.is_some() || certified.is_some() || proven.is_some();
        let (subject, method, assurance) = match (attested, certified, proven, observed) {
            (Some(subject), ..) => (Some(subject), Method::Spire, Assurance::A4),
            // It takes a key that does not leave its holder; a token is passed on.
            (None, Some(subject), ..) => (Some(subject), Method::Certificate, Assurance::A3),
            (None, None, Some(subject), _) => (Some(subject), Method::Token, Assurance::A3),
            (None, None, None, Some((subject, method))) => (Some(subject), method, Assurance::A2),
            (None, None, None, None)
                if has_claim || credential.is_some() || certificate.is_some() =>
            {
                (None, Method::Claim, Assurance::A1)
            }
            (None, None, None, None) => return None,
        };
        Some(Self {
            evidence: evidence(process, credential, certificate, subject.as_deref()),
            subject,
            method,
            assurance,
            is_verified,
            contradictions: contradictions(process, credential, certificate),
        })
    }
}

/// The best name by what the kernel knows.
fn observed(process: &Process) -> Option<(String, Method)> {
    let pod = process.workload.as_deref().and_then(|one| one.pod.as_ref());
    if let Some(pod) = pod {
        return Some((pod_name(pod), Method::Pod));
    }
    if let Some(id) = &process.container {
        return Some((format!("container:{id}"), Method::Container));
    }
    let by_hash = process
        .exe_sha256
        .map(|hash| format!("exe:sha256:{}", hex::encode(hash)));
    let by_path = || process.exe.as_ref().map(|path| format!("exe:{path}"));
    Some((by_hash.or_else(by_path)?, Method::Executable))
}

fn pod_name(pod: &Pod) -> String {
    match (&pod.namespace, &pod.name) {
        (Some(namespace), Some(name)) => format!("pod:{namespace}/{name}"),
        _ => format!("pod:{}", pod.uid),
    }
}

/// What speaks against a name: what a credential says that the kernel knows otherwise, or a pod with two names.
fn contradictions(
    process: Option<&Process>,
    credential: Option<&Credential>,
    certificate: Option<&Certificate>,
) -> Vec<&'static str> {
    let mut found = Vec::new();
    let workload = process.and_then(|process| process.workload.as_deref());
    let pod = workload.and_then(|workload| workload.pod.as_ref());
    if pod.is_some_and(|pod| pod.is_disputed) {
        found.push("pod_named_differently");
    }
    let attested = process.and_then(|process| process.attestation.as_deref());
    if let Some(certificate) = certificate {
        match certificate.standing {
            Standing::Expired => found.push("certificate_expired"),
            Standing::NotYet => found.push("certificate_not_yet_valid"),
            Standing::Valid | Standing::UnknownAuthority | Standing::NotProvable => {}
        }
        let named = certificate.spiffe_id.as_ref();
        if let (Some(attested), Some(named)) = (attested, named)
            && !attested.ids.contains(named)
        {
            found.push("certificate_of_another_workload");
        }
    }
    let Some(credential) = credential else {
        return found;
    };
    match credential.verdict {
        Verdict::BadSignature => found.push("token_forged"),
        Verdict::Expired => found.push("token_expired"),
        Verdict::NotYet => found.push("token_not_yet_valid"),
        Verdict::WrongAudience => found.push("token_for_another_audience"),
        Verdict::Valid | Verdict::UnknownKey | Verdict::NotProvable => {}
    }
    let claims = credential.claims.as_ref();
    let named = claims.and_then(|claims| claims.subject.as_ref());
    if let (Some(attested), Some(named)) = (attested, named)
        && trust_domain(named).is_some()
        && !attested.ids.contains(named)
    {
        found.push("token_of_another_workload");
    }
    let claimed = claims.and_then(|claims| claims.kubernetes.as_ref());
    let (Some(claimed), Some(pod)) = (claimed, pod) else {
        return found;
    };
    let differs = |claimed: &Option<String>, known: Option<&String>| matches!((claimed, known), (Some(claimed), Some(known)) if claimed != known);
    if differs(&claimed.pod_uid, Some(&pod.uid)) {
        found.push("token_of_another_pod");
    }
    if differs(&claimed.namespace, pod.namespace.as_ref()) {
        found.push("token_of_another_namespace");
    }
    if differs(&claimed.service_account, pod.service_account.as_ref()) {
        found.push("token_of_another_service_account");
    }
    found
}

/// SHA-256 over the facts, each behind its length.
fn evidence(
    process: Option<&Process>,
    credential: Option<&Credential>,
    certificate: Option<&Certificate>,
    subject: Option<&str>,
) -> [u8; 32] {
    let mut hash = Sha256::new();
    let mut add = |fact: &[u8]| {
        hash.update((fact.len() as u64).to_be_bytes());
        hash.update(fact);
    };
    fn bytes(text: Option<&String>) -> &[u8] {
        text.map(String::as_bytes).unwrap_or_default()
    }
    add(subject.unwrap_or_default().as_bytes());
    let workload = process.and_then(|process| process.workload.as_deref());
    let container = workload.and_then(|workload| workload.container.as_ref());
    let pod = workload.and_then(|workload| workload.pod.as_ref());
    add(process
        .and_then(|process| process.exe_sha256)
        .as_ref()
        .map(<[u8; 32]>::as_slice)
        .unwrap_or_default());
    add(bytes(process.and_then(|process| process.exe.as_ref())));
    add(bytes(
        process.and_then(|process| process.container.as_ref()),
    ));
    add(bytes(container.and_then(|one| one.image_digest.as_ref())));
    add(bytes(pod.map(|pod| &pod.uid)));
    add(bytes(pod.and_then(|pod| pod.service_account.as_ref())));
    let attested = process.and_then(|process| process.attestation.as_deref());
    let ids = attested.map(|one| one.ids.as_slice()).unwrap_or_default();
    // Counted, so that no id can be taken for the fact behind it.
    add(&(ids.len() as u64).to_be_bytes());
    ids.iter().for_each(|id| add(id.as_bytes()));
    add(credential
        .map(|one| one.hash.as_bytes())
        .unwrap_or_default());
    // The last fact, so that where there is none the others hash as before.
    if let Some(certificate) = certificate {
        add(certificate.hash.as_bytes());
    }
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::{
        super::{
            claims::{Claims, Kubernetes},
            credential::Scheme,
            spiffe::Attestation,
        },
        *,
    };
    use crate::{audit::Workload, key::Time};

    fn token(verdict: Verdict, pod: &str) -> Credential {
        Credential {
            scheme: Scheme::Bearer,
            hash: "h".into(),
            claims: Some(Claims {
                subject: Some("system:serviceaccount:shop:agent".into()),
                kubernetes: Some(Kubernetes {
                    pod_uid: Some(pod.into()),
                    namespace: Some("shop".into()),
                    ..Kubernetes::default()
                }),
                ..Claims::default()
            }),
            verdict,
        }
    }

    fn in_pod(uid: &str) -> Process {
        let pod = Pod {
            uid: uid.into(),
            name: Some("agent-1".into()),
            namespace: Some("shop".into()),
            ..Pod::default()
        };
        let workload = Workload {
            pod: Some(pod),
            ..Workload::default()
        };
        Process {
            container: Some("c1".into()),
            exe: Some("/usr/bin/node".into()),
            workload: Some(Arc::new(workload)),
            ..Process::default()
        }
    }

    #[test]
    fn a_verified_token_names_its_bearer_and_another_does_not() {
        let process = in_pod("u1");
        let name = |credential: Option<&Credential>| {
            let identity = Identity::of(Some(&process), credential, None, true).unwrap();
            let subject = identity.subject.unwrap();
            (subject, identity.assurance, identity.is_verified)
        };
        let valid = token(Verdict::Valid, "u1");
        let subject = "system:serviceaccount:shop:agent".to_owned();
        assert_eq!(name(Some(&valid)), (subject, Assurance::A3, true));
        let pod = ("pod:shop/agent-1".to_owned(), Assurance::A2, false);
        assert_eq!(name(Some(&token(Verdict::UnknownKey, "u1"))), pod);
        assert_eq!(name(None), pod);
    }

    #[test]
    fn the_kernel_names_by_pod_then_container_then_program() {
        let process = in_pod("u1");
        let named = |process: &Process| Identity::of(Some(process), None, None, false).unwrap();
        let container = Process {
            workload: None,
            ..process
        };
        assert_eq!(named(&container).subject.unwrap(), "container:c1");
        let host = Process {
            container: None,
            exe_sha256: Some([1; 32]),
            ..container
        };
        let first = named(&host);
        assert!(first.subject.unwrap().starts_with("exe:sha256:0101"));
        let other = Process {
            exe_sha256: Some([2; 32]),
            ..host
        };
        assert_ne!(named(&other).evidence, first.evidence);
    }

    #[test]
    fn what_an_agent_attested_names_a_workload_before_any_token() {
        let attestation = Attestation {
            ids: vec![
                "spiffe://example.org/agent".into(),
                "spiffe://example.org/b".into(),
            ],
            expires: Time(0),
        };
        let process = Process {
            attestation: Some(Arc::new(attestation)),
            ..in_pod("u1")
        };
        let of = |subject: &str| {
            let mut credential = token(Verdict::Valid, "u1");
            let claims = credential.claims.as_mut().unwrap();
            claims.subject = Some(subject.into());
            Identity::of(Some(&process), Some(&credential), None, false).unwrap()
        };
        let identity = of("a user");
        assert_eq!(
            identity.subject.as_deref(),
            Some("spiffe://example.org/agent")
        );
        assert_eq!(
            (identity.method, identity.assurance),
            (Method::Spire, Assurance::A4)
        );
        assert!(identity.is_verified && identity.contradictions.is_empty());
        assert!(of("spiffe://example.org/b").contradictions.is_empty());
        let stolen = of("spiffe://example.org/c");
        assert_eq!(stolen.contradictions, ["token_of_another_workload"]);
        let without = Process {
            attestation: None,
            ..process.clone()
        };
        let without = Identity::of(Some(&without), None, None, false).unwrap();
        assert_ne!(without.evidence, identity.evidence);
        assert_eq!(without.assurance, Assurance::A2);
    }

    #[test]
    fn a_service_account_is_evidence_and_a_pod_with_two_names_is_told() {
        let of = |change: fn(&mut Pod)| {
            let mut process = in_pod("u1");
            let mut workload = Workload::clone(process.workload.as_deref().unwrap());
            change(workload.pod.as_mut().unwrap());
            process.workload = Some(Arc::new(workload));
            Identity::of(Some(&process), None, None, false).unwrap()
        };
        let plain = of(|_| {});
        let account = of(|pod| pod.service_account = Some("agent".into()));
        assert_eq!(plain.subject, account.subject);
        assert_ne!(plain.evidence, account.evidence);
        let disputed = of(|pod| pod.is_disputed = true);
        assert_eq!(disputed.contradictions, ["pod_named_differently"]);
        assert!(plain.contradictions.is_empty());
    }

    #[test]
    fn its_own_word_names_nobody() {
        let claimed = Identity::of(None, None, None, true).unwrap();
        assert_eq!((claimed.subject, claimed.assurance), (None, Assurance::A1));
        assert_eq!(Identity::of(None, None, None, false), None);
    }

    #[test]
    fn what_token_and_kernel_say_differently_is_told() {
        let process = in_pod("u1");
        let told = |credential| {
            Identity::of(Some(&process), Some(&credential), None, false)
                .unwrap()
                .contradictions
        };
        assert!(told(token(Verdict::Valid, "u1")).is_empty());
        assert_eq!(told(token(Verdict::Valid, "u2")), ["token_of_another_pod"]);
        let forged = ["token_forged", "token_of_another_pod"];
        assert_eq!(told(token(Verdict::BadSignature, "u2")), forged);
    }

    fn certificate(standing: Standing, id: &str) -> Certificate {
        Certificate {
            hash: "c".into(),
            subject: None,
            issuer: None,
            serial: None,
            spiffe_id: Some(id.into()),
            dns_names: Vec::new(),
            not_before: None,
            not_after: None,
            standing,
            name: (standing == Standing::Valid).then(|| id.into()),
        }
    }

    #[test]
    fn a_certificate_names_its_end_only_where_an_authority_vouches_for_it() {
        let (process, id) = (in_pod("u1"), "spiffe://example.org/a");
        let of = |standing, credential| {
            let certificate = certificate(standing, id);
            Identity::of(Some(&process), credential, Some(&certificate), false).unwrap()
        };
        let valid = token(Verdict::Valid, "u1");
        let proven = of(Standing::Valid, Some(&valid));
        assert_eq!(proven.subject.as_deref(), Some(id));
        let how = (proven.method, proven.assurance, proven.is_verified);
        assert_eq!(how, (Method::Certificate, Assurance::A3, true));
        let unknown = of(Standing::UnknownAuthority, None);
        assert_eq!(unknown.assurance, Assurance::A2);
        let plain = Identity::of(Some(&process), None, None, false).unwrap();
        assert_ne!(unknown.evidence, plain.evidence);
        assert_eq!(
            of(Standing::Expired, None).contradictions,
            ["certificate_expired"]
        );
    }

    #[test]
    fn a_certificate_of_another_workload_is_told() {
        let attestation = Attestation {
            ids: vec!["spiffe://example.org/a".into()],
            expires: Time(0),
        };
        let process = Process {
            attestation: Some(Arc::new(attestation)),
            ..in_pod("u1")
        };
        let told = |id: &str| {
            let certificate = certificate(Standing::Valid, id);
            Identity::of(Some(&process), None, Some(&certificate), false).unwrap()
        };
        assert!(told("spiffe://example.org/a").contradictions.is_empty());
        let other = told("spiffe://example.org/b");
        assert_eq!(other.contradictions, ["certificate_of_another_workload"]);
        assert_eq!(other.subject.as_deref(), Some("spiffe://example.org/a"));
    }
}
