//! Who is at an end, and what it showed, as `unmapped.mcp` shows it.

use serde::Serialize;

use crate::{
    audit::hex::Hex,
    identity::{
        self, Assurance, Certificate as PeerCertificate, Claims as TokenClaims, GitHub as Workflow,
        Kubernetes as Binding, Scheme, Standing, Verdict,
    },
};

/// The identities at both ends.
#[derive(Serialize)]
pub(super) struct Identities<'a> {
    pub(super) client: Option<Identity<'a>>,
    pub(super) server: Option<Identity<'a>>,
}

/// Who is at an end.
#[derive(Serialize)]
pub(in crate::audit) struct Identity<'a> {
    subject: Option<&'a str>,
    method: &'static str,
    assurance: &'static str,
    verified: bool,
    evidence_sha256: Hex,
    contradictions: &'a [&'static str],
}

impl<'a> Identity<'a> {
    pub(in crate::audit) fn of(identity: &'a identity::Identity) -> Self {
        Self {
            subject: identity.subject.as_deref(),
            method: identity.method.code(),
            assurance: match identity.assurance {
                Assurance::A1 => "A1",
                Assurance::A2 => "A2",
                Assurance::A3 => "A3",
                Assurance::A4 => "A4",
            },
            verified: identity.is_verified,
            evidence_sha256: Hex(identity.evidence),
            contradictions: &identity.contradictions,
        }
    }
}

impl identity::Identity {
    /// This identity as `unmapped.mcp.identity` shows it.
    pub fn view(&self) -> impl Serialize + '_ {
        Identity::of(self)
    }
}

/// What the client showed.
#[derive(Serialize)]
pub(super) struct Credential<'a> {
    scheme: &'static str,
    hash: &'a str,
    verdict: &'static str,
    claims: Option<Claims<'a>>,
}

#[derive(Serialize)]
struct Claims<'a> {
    issuer: Option<&'a str>,
    subject: Option<&'a str>,
    audience: &'a [String],
    client_id: Option<&'a str>,
    scopes: &'a [String],
    actors: &'a [String],
    not_before: Option<u64>,
    expires: Option<u64>,
    kubernetes: Option<Kubernetes<'a>>,
    github: Option<GitHub<'a>>,
}

/// The certificates that both ends showed.
#[derive(Serialize)]
pub(super) struct Certificates<'a> {
    client: Option<Certificate<'a>>,
    server: Option<Certificate<'a>>,
}

/// A certificate that an end showed.
#[derive(Serialize)]
struct Certificate<'a> {
    hash: &'a str,
    subject: Option<&'a str>,
    issuer: Option<&'a str>,
    serial: Option<&'a str>,
    spiffe_id: Option<&'a str>,
    dns_names: &'a [String],
    not_before: Option<u64>,
    not_after: Option<u64>,
    verdict: &'static str,
}

impl<'a> Certificates<'a> {
    /// `None` where neither end showed one.
    pub(super) fn of(
        client: Option<&'a PeerCertificate>,
        server: Option<&'a PeerCertificate>,
    ) -> Option<Self> {
        (client.is_some() || server.is_some()).then(|| Self {
            client: client.map(certificate),
            server: server.map(certificate),
        })
    }
}

fn certificate(shown: &PeerCertificate) -> Certificate<'_> {
    Certificate {
        hash: &shown.hash,
        subject: shown.subject.as_deref(),
        issuer: shown.issuer.as_deref(),
        serial: shown.serial.as_deref(),
        spiffe_id: shown.spiffe_id.as_deref(),
        dns_names: &shown.dns_names,
        not_before: shown.not_before,
        not_after: shown.not_after,
        verdict: match shown.standing {
            Standing::Valid => "valid",
            Standing::Expired => "expired",
            Standing::NotYet => "not_yet_valid",
            Standing::UnknownAuthority => "unknown_authority",
            Standing::NotProvable => "not_provable",
        },
    }
}

#[derive(Serialize)]
struct Kubernetes<'a> {
    namespace: Option<&'a str>,
    pod: Option<&'a str>,
    pod_uid: Option<&'a str>,
    service_account: Option<&'a str>,
    node: Option<&'a str>,
}

#[derive(Serialize)]
struct GitHub<'a> {
    repository: Option<&'a str>,
    workflow_ref: Option<&'a str>,
    run_id: Option<&'a str>,
}

impl<'a> Credential<'a> {
    pub(super) fn of(credential: &'a identity::Credential) -> Self {
        Self {
            scheme: match credential.scheme {
                Scheme::Bearer => "bearer",
                Scheme::Basic => "basic",
                Scheme::DPoP => "dpop",
                Scheme::ApiKey => "api_key",
                Scheme::Other => "other",
            },
            hash: &credential.hash,
            verdict: match credential.verdict {
                Verdict::Valid => "valid",
                Verdict::Expired => "expired",
                Verdict::NotYet => "not_yet_valid",
                Verdict::WrongAudience => "wrong_audience",
                Verdict::BadSignature => "bad_signature",
                Verdict::UnknownKey => "unknown_key",
                Verdict::NotProvable => "not_provable",
            },
            claims: credential.claims.as_ref().map(claims),
        }
    }
}

fn claims(claims: &TokenClaims) -> Claims<'_> {
    Claims {
        issuer: claims.issuer.as_deref(),
        subject: claims.subject.as_deref(),
        audience: &claims.audience,
        client_id: claims.client_id.as_deref(),
        scopes: &claims.scopes,
        actors: &claims.actors,
        not_before: claims.not_before,
        expires: claims.expires,
        kubernetes: claims.kubernetes.as_ref().map(kubernetes),
        github: claims.github.as_ref().map(github),
    }
}

fn kubernetes(binding: &Binding) -> Kubernetes<'_> {
    Kubernetes {
        namespace: binding.namespace.as_deref(),
        pod: binding.pod.as_deref(),
        pod_uid: binding.pod_uid.as_deref(),
        service_account: binding.service_account.as_deref(),
        node: binding.node.as_deref(),
    }
}

fn github(workflow: &Workflow) -> GitHub<'_> {
    GitHub {
        repository: workflow.repository.as_deref(),
        workflow_ref: workflow.workflow_ref.as_deref(),
        run_id: workflow.run_id.as_deref(),
    }
}
