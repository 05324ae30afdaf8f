//! The least rights in a cluster with which its nodes are read by kubectl.

use serde_json::{Value, json};

use crate::model::kubernetes::ReadingPods;
use crate::model::service_account::ServiceAccount;

/// The API group of roles.
const API_GROUP: &str = "rbac.authorization.k8s.io";
/// The group to which the rights are bound, for an access entry of the cluster.
const GROUP: &str = "eks-netcheck";
/// The namespace of the pods of the node monitoring agent.
const AGENT_NAMESPACE: &str = "kube-system";

/// The roles with their bindings, to a service account or else to the group; `namespace` is
/// that of the Jobs.
#[must_use]
pub fn roles(pods: ReadingPods, namespace: &str, account: Option<&ServiceAccount>) -> Vec<Value> {
    let subject = match account {
        Some(account) => {
            json!({"kind": "ServiceAccount", "name": account.name(), "namespace": account.namespace()})
        }
        None => json!({"apiGroup": API_GROUP, "kind": "Group", "name": GROUP}),
    };
    let role = |kind, namespace, name, rules: &[Value]| role(kind, namespace, name, rules, &subject);
    let list = |group: &str, resource: &str| rule(group, resource, &["list"]);
    let mut objects = role("ClusterRole", None, "eks-netcheck", &[list("", "nodes")]);
    objects.extend(role(
        "Role",
        Some("default"),
        "eks-netcheck",
        &[list("discovery.k8s.io", "endpointslices")],
    ));
    let exec = [
        rule("", "pods", &["get", "list"]),
        // A connection by WebSocket needs the one or the other, by the cluster's version.
        rule("", "pods/exec", &["create", "get"]),
    ];
    let jobs = [list("", "events"), rule("batch", "jobs", &["create", "delete", "list"])];
    // The role for the Jobs has these rights too.
    let has_both = pods.creates_jobs() && namespace == AGENT_NAMESPACE;
    if pods.uses_agent() && !has_both {
        objects.extend(role("Role", Some(AGENT_NAMESPACE), "eks-netcheck-agent", &exec));
    }
    if pods.creates_jobs() {
        objects.extend(role("Role", Some(namespace), "eks-netcheck", &[&exec[..], &jobs].concat()));
    }
    objects
}

fn rule(group: &str, resource: &str, verbs: &[&str]) -> Value {
    json!({"apiGroups": [group], "resources": [resource], "verbs": verbs})
}

/// A role with its binding to a subject.
fn role(kind: &str, namespace: Option<&str>, name: &str, rules: &[Value], subject: &Value) -> Vec<Value> {
    let mut metadata = json!({"name": name});
    if let Some(namespace) = namespace {
        metadata["namespace"] = json!(namespace);
    }
    let version = format!("{API_GROUP}/v1");
    vec![
        json!({"apiVersion": version, "kind": kind, "metadata": metadata, "rules": rules}),
        json!({
            "apiVersion": version, "kind": format!("{kind}Binding"), "metadata": metadata,
            "roleRef": {"apiGroup": API_GROUP, "kind": kind, "name": name},
            "subjects": [subject],
        }),
    ]
}
