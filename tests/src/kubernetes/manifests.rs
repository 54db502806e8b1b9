//! The objects that the tests make in the cluster.

use serde_json::{Value, json};

use super::image;

/// What the Go client plays.
pub(super) const SCENARIO: &str = r#"[{"do": "list_tools"},
    {"do": "call_tool", "name": "echo", "arguments": {"text": "hello"}}]"#;
/// Where a pod finds its own token.
pub(super) const TOKEN: &str = "/var/run/secrets/kubernetes.io/serviceaccount/token";
/// Folder of the test, as pods see it that are given it.
pub(super) const SHARED: &str = "/shared";

/// A pod that uses the network of its node.
pub(super) struct Pod<'a> {
    pub(super) name: &'a str,
    pub(super) account: &'a str,
    pub(super) words: Vec<String>,
    /// A folder of the node that it is given as [`SHARED`].
    pub(super) shared: Option<&'a str>,
}

impl Pod<'_> {
    /// What a pod is to be.
    fn spec(&self, restart: &str) -> Value {
        let mut spec = json!({
            "hostNetwork": true, "dnsPolicy": "Default", "restartPolicy": restart,
            "serviceAccountName": self.account, "terminationGracePeriodSeconds": 1,
            "tolerations": [{"operator": "Exists"}],
            "containers": [{
                "name": "main", "image": image::NAME, "imagePullPolicy": "Never",
                "command": self.words,
            }],
        });
        if let Some(shared) = self.shared {
            spec["volumes"] = json!([{"name": "shared", "hostPath": {"path": shared}}]);
            let mount = json!([{"name": "shared", "mountPath": SHARED}]);
            spec["containers"][0]["volumeMounts"] = mount;
        }
        spec
    }

    fn metadata(&self) -> Value {
        json!({"labels": {"app": self.name, "team": "audit"}})
    }

    /// A pod that nothing made.
    pub(super) fn alone(&self) -> Value {
        let mut metadata = self.metadata();
        metadata["name"] = json!(self.name);
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": self.spec("Never")})
    }

    /// A Deployment of one.
    pub(super) fn deployment(&self) -> Value {
        json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": self.name},
            "spec": {
                "replicas": 1,
                "selector": {"matchLabels": {"app": self.name}},
                "template": {"metadata": self.metadata(), "spec": self.spec("Always")},
            },
        })
    }

    /// A Job that runs once.
    pub(super) fn job(&self) -> Value {
        json!({
            "apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": self.name},
            "spec": {
                "backoffLimit": 0,
                "template": {"metadata": self.metadata(), "spec": self.spec("Never")},
            },
        })
    }
}

/// A service account.
pub(super) fn account(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name}})
}

/// What the auditor may do: no more than its documentation asks for.
pub(super) fn auditor() -> Value {
    let role = "mcp-auditor";
    let rule = |group: &str, resource: &str, verbs: &[&str]| json!({"apiGroups": [group], "resources": [resource], "verbs": verbs});
    json!({"apiVersion": "v1", "kind": "List", "items": [
        account(role),
        {
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
            "metadata": {"name": role},
            "rules": [
                rule("", "pods", &["list", "watch"]),
                rule("apps", "replicasets", &["get"]),
                rule("batch", "jobs", &["get"]),
            ],
        },
        {
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
            "metadata": {"name": role},
            "roleRef": {
                "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role,
            },
            "subjects": [{"kind": "ServiceAccount", "name": role, "namespace": "default"}],
        },
    ]})
}
