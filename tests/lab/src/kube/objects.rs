//! The responses to requests for objects, and for discovery.

use serde_json::{Value, json};

use super::{CONTAINER, Cluster};
use crate::http::{Request, Response};
use crate::listen::lock;
use crate::sandbox::ENIS;

/// A pod of aws-node.
fn emulated_pod(name: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "namespace": "kube-system", "labels": {"k8s-app": "aws-node"}},
        "spec": {"containers": [{"name": CONTAINER, "image": "aws-eks-nodeagent", "stdin": true, "tty": true}]},
        "status": {
            "phase": "Running",
            "conditions": [{"type": "Ready", "status": "True"}],
            "containerStatuses": [{"name": CONTAINER, "ready": true, "state": {"running": {}}}],
        },
    })
}

/// The response to a request for discovery or for an object.
pub(super) fn respond(request: &Request, path: &[&str], cluster: &Cluster) -> Response {
    if request.method == "PATCH" {
        return apply(request, cluster);
    }
    match path {
        ["api", "v1", "nodes"] | ["apis", _, "v1", "namespaces", ..] | ["api", "v1", "namespaces", ..] => {
            objects(request, path, cluster)
        }
        _ => discovery(path),
    }
}

/// The response to a request for discovery.
fn discovery(path: &[&str]) -> Response {
    match path {
        ["version"] => {
            json_response(&json!({"major": "1", "minor": "34", "gitVersion": "v1.34.1-eks-0000000"}))
        }
        ["api"] => json_response(&json!({"kind": "APIVersions", "versions": ["v1"]})),
        ["apis"] => {
            let groups = ["apps", "batch", "discovery.k8s.io", "rbac.authorization.k8s.io"].map(|name| {
                let version = json!({"groupVersion": format!("{name}/v1"), "version": "v1"});
                json!({"name": name, "versions": [version], "preferredVersion": version})
            });
            json_response(&json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}))
        }
        ["api", "v1"] => resources(
            "v1",
            &[
                ("pods", "po", "Pod", true),
                ("nodes", "no", "Node", false),
                ("events", "ev", "Event", true),
                ("namespaces", "ns", "Namespace", false),
                ("serviceaccounts", "sa", "ServiceAccount", true),
                ("configmaps", "cm", "ConfigMap", true),
                ("persistentvolumeclaims", "pvc", "PersistentVolumeClaim", true),
            ],
        ),
        ["apis", "apps", "v1"] => resources(
            "apps/v1",
            &[("daemonsets", "ds", "DaemonSet", true), ("deployments", "deploy", "Deployment", true)],
        ),
        ["apis", "batch", "v1"] => {
            resources("batch/v1", &[("jobs", "job", "Job", true), ("cronjobs", "cj", "CronJob", true)])
        }
        ["apis", "rbac.authorization.k8s.io", "v1"] => resources(
            "rbac.authorization.k8s.io/v1",
            &[
                ("clusterroles", "", "ClusterRole", false),
                ("clusterrolebindings", "", "ClusterRoleBinding", false),
                ("roles", "", "Role", true),
                ("rolebindings", "", "RoleBinding", true),
            ],
        ),
        ["apis", "discovery.k8s.io", "v1"] => {
            resources("discovery.k8s.io/v1", &[("endpointslices", "eps", "EndpointSlice", true)])
        }
        _ => not_found(),
    }
}

/// Keeps the object of a server-side apply. An object in a namespace that was not applied
/// before is refused.
fn apply(request: &Request, cluster: &Cluster) -> Response {
    let Ok(mut object) = serde_json::from_slice::<Value>(&request.body) else {
        return Response { status: 400, ..not_found() };
    };
    let applied = &mut lock(&cluster.state).applied;
    let namespace = object["metadata"]["namespace"].as_str();
    if let Some(namespace) = namespace.filter(|namespace| !["default", "kube-system"].contains(namespace))
        && !applied.contains_key(&format!("/api/v1/namespaces/{namespace}"))
    {
        return no_such("namespaces", namespace);
    }
    object["metadata"]["uid"] = json!("00000000-0000-0000-0000-000000000000");
    let status = if applied.contains_key(&request.path) { 200 } else { 201 };
    applied.insert(request.path.clone(), object.clone());
    Response { status, ..json_response(&object) }
}

/// The response to a request for objects.
fn objects(request: &Request, path: &[&str], cluster: &Cluster) -> Response {
    match path {
        ["api", "v1", "nodes"] => list_of(
            "v1",
            "Node",
            &lock(&cluster.state).nodes.values().map(|node| node.json.clone()).collect::<Vec<_>>(),
        ),
        ["apis", "discovery.k8s.io", "v1", "namespaces", "default", "endpointslices"] => {
            let endpoints: Vec<_> = ENIS.iter().map(|eni| json!({"addresses": [eni]})).collect();
            list_of(
                "discovery.k8s.io/v1",
                "EndpointSlice",
                &[json!({
                    "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
                    "metadata": {"name": "kubernetes", "namespace": "default", "labels": {
                        "kubernetes.io/service-name": "kubernetes",
                    }},
                    "endpoints": endpoints,
                })],
            )
        }
        ["api", "v1", "namespaces", namespace, "events"] => {
            let fields = query(request, "fieldSelector");
            let fields: Vec<_> = fields.split(',').filter_map(|one| one.split_once('=')).collect();
            let is_selected = |event: &&Value| {
                event["metadata"]["namespace"] == *namespace
                    && fields
                        .iter()
                        .all(|(path, value)| path.split('.').fold(*event, |value, key| &value[key]) == *value)
            };
            let state = lock(&cluster.state);
            list_of("v1", "Event", &state.events.iter().filter(is_selected).cloned().collect::<Vec<_>>())
        }
        ["apis", "batch", "v1", "namespaces", namespace, "jobs"] if request.method == "POST" => {
            let job = serde_json::from_slice(&request.body).unwrap_or_default();
            match lock(&cluster.state).create_job(namespace, job) {
                Ok(job) => Response { status: 201, ..json_response(&job) },
                Err((status, error)) => Response { status, ..json_response(&error) },
            }
        }
        ["apis", "batch", "v1", "namespaces", namespace, "jobs"] => {
            let state = lock(&cluster.state);
            let here = state.jobs.iter().filter(|((of, _), _)| of == namespace).map(|(_, job)| &job.json);
            let selected = here.filter(|job| is_labelled(job, &query(request, "labelSelector")));
            list_of("batch/v1", "Job", &selected.cloned().collect::<Vec<_>>())
        }
        ["apis", "batch", "v1", "namespaces", namespace, "jobs", name] => {
            let mut state = lock(&cluster.state);
            let key = ((*namespace).to_owned(), (*name).to_owned());
            match state.jobs.get(&key).map(|job| job.json.clone()) {
                Some(job) => {
                    if request.method == "DELETE" {
                        state.delete_job(namespace, name);
                    }
                    json_response(&job)
                }
                None => no_such("jobs.batch", name),
            }
        }
        ["apis", "apps", "v1", "namespaces", "kube-system", "daemonsets", "aws-node"] => {
            json_response(&json!({
                "apiVersion": "apps/v1", "kind": "DaemonSet",
                "metadata": {"name": "aws-node", "namespace": "kube-system"},
                "spec": {
                    "selector": {"matchLabels": {"k8s-app": "aws-node"}},
                    "template": {"metadata": {"labels": {"k8s-app": "aws-node"}}},
                },
            }))
        }
        ["api", "v1", "namespaces", namespace, "pods"] => {
            let emulated =
                cluster.pods.keys().filter(|_| *namespace == "kube-system").map(|name| emulated_pod(name));
            let state = lock(&cluster.state);
            let real =
                state.pods.iter().filter(|((of, _), _)| of == namespace).map(|(_, pod)| pod.json.clone());
            let selector = query(request, "labelSelector");
            let pods = emulated.chain(real).filter(|pod| is_labelled(pod, &selector));
            list_of("v1", "Pod", &pods.collect::<Vec<_>>())
        }
        ["api", "v1", "namespaces", "kube-system", "pods", name] if cluster.pods.contains_key(*name) => {
            json_response(&emulated_pod(name))
        }
        ["api", "v1", "namespaces", namespace, "pods", name] => {
            let key = ((*namespace).to_owned(), (*name).to_owned());
            match lock(&cluster.state).pods.get(&key) {
                Some(pod) => json_response(&pod.json),
                None => no_such("pods", name),
            }
        }
        _ => not_found(),
    }
}

/// An `APIResourceList` of names, short names, kinds, and whether they are in namespaces.
fn resources(version: &str, all: &[(&str, &str, &str, bool)]) -> Response {
    let all: Vec<_> = all
        .iter()
        .map(|(name, short, kind, is_namespaced)| {
            json!({
                "name": name, "singularName": kind.to_lowercase(), "shortNames": [short],
                "namespaced": is_namespaced, "kind": kind, "verbs": ["create", "delete", "get", "list", "patch"],
            })
        })
        .collect();
    json_response(&json!({
        "kind": "APIResourceList", "apiVersion": "v1", "groupVersion": version, "resources": all,
    }))
}

fn list_of(version: &str, kind: &str, items: &[Value]) -> Response {
    json_response(&json!({
        "apiVersion": version, "kind": format!("{kind}List"), "metadata": {"resourceVersion": "1"}, "items": items,
    }))
}

/// A parameter of the query.
fn query(request: &Request, key: &str) -> String {
    let found = form_urlencoded::parse(request.query.as_bytes()).find(|(name, _)| name == key);
    found.map(|(_, value)| value.into_owned()).unwrap_or_default()
}

/// Whether an object has the labels of a selector such as `a=b,c=d`.
fn is_labelled(object: &Value, selector: &str) -> bool {
    selector
        .split(',')
        .filter_map(|one| one.split_once('='))
        .all(|(key, value)| object["metadata"]["labels"][key] == value.trim_start_matches('='))
}

pub(super) fn no_such(resource: &str, name: &str) -> Response {
    let status = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "reason": "NotFound",
        "code": 404, "message": format!("{resource} \"{name}\" not found"), "details": {"name": name},
    });
    Response { status: 404, ..json_response(&status) }
}

pub(super) fn json_response(value: &Value) -> Response {
    Response { status: 200, content_type: "application/json", headers: Vec::new(), body: value.to_string() }
}

pub(super) fn text(body: &str) -> Response {
    Response { status: 200, content_type: "text/plain", headers: Vec::new(), body: body.to_owned() }
}

pub(super) fn not_found() -> Response {
    let status = json!({
        "kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "NotFound", "code": 404,
        "message": "the server could not find the requested resource",
    });
    Response { status: 404, ..json_response(&status) }
}
