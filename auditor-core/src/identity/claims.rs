//! The claims of a JSON Web Token (RFC 7519) that say who its bearer is. What they say is proven elsewhere, or not.
//!
//! Bounds: texts are cut to [`TEXT`] bytes, lists to [`LIST`] entries, delegation to [`ACTORS`] deep.

use serde_json::Value;

const TEXT: usize = 512;
const LIST: usize = 8;
const ACTORS: usize = 4;

/// What a token says of its bearer.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Claims {
    /// `iss`.
    pub issuer: Option<String>,
    /// `sub`: a user, a service account, a SPIFFE id.
    pub subject: Option<String>,
    /// `aud`.
    pub audience: Vec<String>,
    /// `client_id` (RFC 9068), else `azp`.
    pub client_id: Option<String>,
    /// `scope` (RFC 8693, section 4.2), else `scp`.
    pub scopes: Vec<String>,
    /// `act` (RFC 8693, section 4.1): who acts for the subject, the nearest first.
    pub actors: Vec<String>,
    /// `nbf`, seconds since the Unix epoch.
    pub not_before: Option<u64>,
    /// `exp`, seconds since the Unix epoch.
    pub expires: Option<u64>,
    /// `kubernetes.io`: what a bound service-account token is bound to.
    pub kubernetes: Option<Kubernetes>,
    /// What GitHub Actions says of the workflow.
    pub github: Option<GitHub>,
}

/// `kubernetes.io` of a bound service-account token.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Kubernetes {
    /// The namespace.
    pub namespace: Option<String>,
    /// Name of the pod.
    pub pod: Option<String>,
    /// Uid of the pod.
    pub pod_uid: Option<String>,
    /// Name of the service account.
    pub service_account: Option<String>,
    /// Name of the node.
    pub node: Option<String>,
}

/// Claims of a GitHub Actions token.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct GitHub {
    /// `repository`: owner and name.
    pub repository: Option<String>,
    /// `workflow_ref`: the workflow's file and revision.
    pub workflow_ref: Option<String>,
    /// `run_id`.
    pub run_id: Option<String>,
}

impl Claims {
    /// Reads the claims of a token's payload.
    pub(super) fn of(payload: &Value) -> Self {
        let text = |name: &str| text(payload.get(name));
        let kubernetes = payload.get("kubernetes.io").filter(|one| one.is_object());
        let is_workflow = payload.get("workflow_ref").is_some() || payload.get("run_id").is_some();
        Self {
            issuer: text("iss"),
            subject: text("sub"),
            audience: list(payload.get("aud"), false),
            client_id: text("client_id").or_else(|| text("azp")),
            scopes: list(payload.get("scope").or_else(|| payload.get("scp")), true),
            actors: actors(payload),
            not_before: payload.get("nbf").and_then(seconds),
            expires: payload.get("exp").and_then(seconds),
            kubernetes: kubernetes.map(kubernetes_of),
            github: is_workflow.then(|| GitHub {
                repository: text("repository"),
                workflow_ref: text("workflow_ref"),
                run_id: text("run_id"),
            }),
        }
    }
}

fn kubernetes_of(claim: &Value) -> Kubernetes {
    let name = |of: &str| text(claim.get(of).and_then(|one| one.get("name")));
    Kubernetes {
        namespace: text(claim.get("namespace")),
        pod: name("pod"),
        pod_uid: text(claim.get("pod").and_then(|pod| pod.get("uid"))),
        service_account: name("serviceaccount"),
        node: name("node"),
    }
}

fn actors(payload: &Value) -> Vec<String> {
    let mut actors = Vec::new();
    let mut next = payload.get("act");
    while let Some(actor) = next.filter(|_| actors.len() < ACTORS) {
        actors.extend(text(actor.get("sub")));
        next = actor.get("act");
    }
    actors
}

/// One text or an array of texts; with `split` a text is a list of words.
fn list(value: Option<&Value>, split: bool) -> Vec<String> {
    match value {
        Some(Value::String(words)) if split => {
            words.split_whitespace().take(LIST).map(cut).collect()
        }
        Some(Value::String(one)) => vec![cut(one)],
        Some(Value::Array(all)) => {
            let texts = all.iter().filter_map(Value::as_str);
            texts.take(LIST).map(cut).collect()
        }
        _ => Vec::new(),
    }
}

/// A text; numbers stand for themselves, as in `run_id` of some issuers.
fn text(value: Option<&Value>) -> Option<String> {
    match value? {
        Value::String(text) => Some(cut(text)),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// `NumericDate` (RFC 7519, section 2), which may have a fraction.
fn seconds(value: &Value) -> Option<u64> {
    let fraction = || value.as_f64().filter(|seconds| *seconds >= 0.0);
    // `as` saturates.
    value.as_u64().or_else(|| fraction().map(|one| one as u64))
}

fn cut(text: &str) -> String {
    text.get(..text.floor_char_boundary(TEXT))
        .unwrap_or_default()
        .to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_bound_service_account_token_says_what_it_is_bound_to() {
        let claims = Claims::of(&json!({
            "iss": "https://kubernetes.default.svc", "sub": "system:serviceaccount:shop:agent",
            "aud": ["https://kubernetes.default.svc"], "exp": 1_800_000_000, "nbf": 1_790_000_000,
            "kubernetes.io": {
                "namespace": "shop", "node": {"name": "n1", "uid": "u0"},
                "pod": {"name": "agent-1", "uid": "u1"}, "serviceaccount": {"name": "agent", "uid": "u2"},
            },
        }));
        let kubernetes = claims.kubernetes.unwrap();
        assert_eq!(kubernetes.pod_uid.as_deref(), Some("u1"));
        assert_eq!(kubernetes.service_account.as_deref(), Some("agent"));
        assert_eq!(kubernetes.node.as_deref(), Some("n1"));
        assert_eq!(claims.expires, Some(1_800_000_000));
        assert_eq!(claims.audience, ["https://kubernetes.default.svc"]);
        assert_eq!(claims.github, None);
    }

    #[test]
    fn delegation_scopes_and_workflows_are_read() {
        let claims = Claims::of(&json!({
            "sub": "repo:o/r:ref:refs/heads/main", "azp": "app", "scope": "read write",
            "act": {"sub": "agent", "act": {"sub": "gateway"}},
            "repository": "o/r", "workflow_ref": "o/r/.github/workflows/ci.yml@refs/heads/main", "run_id": 17,
        }));
        assert_eq!(claims.actors, ["agent", "gateway"]);
        assert_eq!(claims.scopes, ["read", "write"]);
        assert_eq!(claims.client_id.as_deref(), Some("app"));
        assert_eq!(claims.github.unwrap().run_id.as_deref(), Some("17"));
    }

    #[test]
    fn claims_of_odd_types_and_sizes_are_left_out_or_cut() {
        let mut deep = json!({"sub": "a"});
        for _ in 0..100 {
            deep = json!({"sub": "a", "act": deep});
        }
        let claims = Claims::of(&json!({
            "iss": {}, "sub": "x".repeat(10_000), "aud": vec!["a"; 100], "exp": -1.5, "act": deep, "scp": 7,
        }));
        assert_eq!(claims.issuer, None);
        assert_eq!(claims.subject.unwrap().len(), TEXT);
        assert_eq!((claims.audience.len(), claims.actors.len()), (LIST, ACTORS));
        assert_eq!((claims.expires, claims.scopes.len()), (None, 0));
    }
}
