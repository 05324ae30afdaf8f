//! What a request is about, and whether rules of RBAC allow it.

use serde_json::{Value, json};

use crate::http::Request;

/// A request as RBAC sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Access {
    /// `get`, `list`, `create`, `delete`, ...
    pub verb: String,
    /// The API group; empty for the core one.
    pub group: String,
    /// The resource, with its subresource after a slash.
    pub resource: String,
    /// The namespace; empty for the whole cluster.
    pub namespace: String,
    /// The name of one object.
    pub name: String,
}

impl Access {
    /// What a request is about; `None` for discovery, which everybody may use.
    pub(super) fn of(request: &Request) -> Option<Self> {
        let mut segments = request.path.trim_matches('/').split('/');
        let group = match (segments.next()?, segments.next()?) {
            ("api", _) => String::new(),
            ("apis", group) => {
                segments.next()?;
                group.to_owned()
            }
            _ => return None,
        };
        let mut resource = segments.next()?.to_owned();
        let mut namespace = String::new();
        if resource == "namespaces" {
            segments.next()?.clone_into(&mut namespace);
            segments.next()?.clone_into(&mut resource);
        }
        let name = segments.next().unwrap_or_default().to_owned();
        let subresource = segments.next();
        if let Some(subresource) = subresource {
            resource = format!("{resource}/{subresource}");
        }
        // A WebSocket is opened by a GET.
        let is_stream = matches!(subresource, Some("exec" | "attach"));
        let verb = match request.method.as_str() {
            // Since 1.35, it is also checked whether a stream may be created.
            // <https://kubernetes.io/docs/reference/command-line-tools-reference/feature-gates/>
            _ if is_stream => "create",
            "POST" => "create",
            "DELETE" if name.is_empty() => "deletecollection",
            "DELETE" => "delete",
            "PATCH" => "patch",
            "PUT" => "update",
            _ if name.is_empty() => "list",
            _ => "get",
        };
        Some(Self { verb: verb.to_owned(), group, resource, namespace, name })
    }

    /// Whether one of the roles allows it: a `ClusterRole` everywhere, a `Role` in its namespace.
    pub(super) fn is_allowed(&self, roles: &[Value]) -> bool {
        roles.iter().any(|role| {
            let is_here = match role["kind"].as_str() {
                Some("ClusterRole") => true,
                Some("Role") => role["metadata"]["namespace"] == self.namespace.as_str(),
                _ => false,
            };
            let grants = role["rules"].as_array();
            is_here && grants.is_some_and(|grants| grants.iter().any(|rule| self.is_of(rule)))
        })
    }

    fn is_of(&self, rule: &Value) -> bool {
        let has = |key: &str, wanted: &str| {
            rule[key].as_array().is_some_and(|all| all.iter().any(|one| one == wanted || one == "*"))
        };
        let is_named = rule["resourceNames"].is_null() || has("resourceNames", &self.name);
        has("apiGroups", &self.group)
            && has("resources", &self.resource)
            && has("verbs", &self.verb)
            && is_named
    }

    /// The message of a refusal, as the API server words it.
    pub(super) fn refusal(&self) -> Value {
        let Self { verb, group, resource, namespace, name } = self;
        let place = match namespace.as_str() {
            "" => "at the cluster scope".to_owned(),
            namespace => format!("in the namespace \"{namespace}\""),
        };
        let what = resource.split('/').next().unwrap_or_default();
        let what = if group.is_empty() { what.to_owned() } else { format!("{what}.{group}") };
        let object = if name.is_empty() { String::new() } else { format!(" \"{name}\"") };
        let message = format!(
            "{what}{object} is forbidden: User \"eks-netcheck\" cannot {verb} resource \"{resource}\" in API group \"{group}\" {place}"
        );
        json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "reason": "Forbidden",
            "code": 403, "message": message, "details": {"name": name, "group": group, "kind": what},
        })
    }
}
