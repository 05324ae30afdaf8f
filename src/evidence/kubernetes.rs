//! Answers of the Kubernetes API as `kubectl get -o json` prints them: a list, or one
//! object if a name was given. Other keys are ignored.
//!
//! <https://kubernetes.io/docs/reference/kubernetes-api/>

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::json::{JsonError, from_json};
use crate::model::kubernetes::KubernetesNode;

/// The label of an endpoint slice that names its Service.
const SERVICE_LABEL: &str = "kubernetes.io/service-name";
/// The Service of the API server, and its endpoint slice.
const API_SERVICE: &str = "kubernetes";
/// The label of a node that EKS sets for other compute types than plain instances.
///
/// <https://docs.aws.amazon.com/eks/latest/userguide/associate-workload.html>
const COMPUTE_TYPE_LABEL: &str = "eks.amazonaws.com/compute-type";

/// What the list and one object have in common.
#[derive(Deserialize)]
struct Head {
    kind: String,
    metadata: Option<ListMeta>,
}

#[derive(Deserialize)]
struct ListMeta {
    r#continue: Option<String>,
}

#[derive(Deserialize)]
struct List<T> {
    items: Vec<T>,
}

#[derive(Deserialize)]
struct ObjectMeta {
    name: String,
    namespace: Option<String>,
    labels: Option<BTreeMap<String, String>>,
}

impl ObjectMeta {
    fn label(&self, key: &str) -> Option<&str> {
        self.labels.as_ref()?.get(key).map(String::as_str)
    }
}

/// Reads the objects of a kind.
fn objects<T: DeserializeOwned>(bytes: &[u8], kind: &str) -> Result<Vec<T>, JsonError> {
    let head: Head = from_json(bytes)?;
    if head.kind == kind {
        return Ok(vec![from_json(bytes)?]);
    }
    if head.kind != "List" && head.kind != format!("{kind}List") {
        return Err(JsonError::of_whole(format!("kind: {:?}, not a list of {kind}", head.kind)));
    }
    if head.metadata.and_then(|metadata| metadata.r#continue).is_some_and(|token| !token.is_empty()) {
        return Err(JsonError::of_whole("metadata.continue: this is a part of the list"));
    }
    Ok(from_json::<List<T>>(bytes)?.items)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct EndpointSlice {
    metadata: ObjectMeta,
    address_type: Option<String>,
    /// `null` in a slice without endpoints.
    endpoints: Option<Vec<Endpoint>>,
}

impl EndpointSlice {
    fn is_of_api_server(&self) -> bool {
        let is_in_default = self.metadata.namespace.as_deref().is_none_or(|namespace| namespace == "default");
        let service = self.metadata.label(SERVICE_LABEL).unwrap_or(&self.metadata.name);
        is_in_default && service == API_SERVICE && self.address_type.as_deref() != Some("FQDN")
    }
}

#[derive(Deserialize)]
struct Endpoint {
    addresses: Vec<String>,
}

/// Reads `kubectl get endpointslices`: the addresses of the API server. `None` if no slice
/// of the `kubernetes` Service is among them.
///
/// # Errors
/// If it is not such JSON.
pub fn parse_api_addresses(bytes: &[u8]) -> Result<Option<BTreeSet<IpAddr>>, JsonError> {
    let slices = objects::<EndpointSlice>(bytes, "EndpointSlice")?;
    let mut of_api_server = slices.into_iter().filter(EndpointSlice::is_of_api_server).peekable();
    if of_api_server.peek().is_none() {
        return Ok(None);
    }
    let endpoints = of_api_server.flat_map(|slice| slice.endpoints.unwrap_or_default());
    let addresses = endpoints.flat_map(|endpoint| endpoint.addresses).map(|text| {
        text.parse().map_err(|error| JsonError::of_whole(format!("endpoints.addresses: {text:?}: {error}")))
    });
    addresses.collect::<Result<_, _>>().map(Some)
}

#[derive(Deserialize)]
struct Node {
    metadata: ObjectMeta,
    spec: Option<NodeSpec>,
    status: Option<NodeStatus>,
}

#[derive(Deserialize, Default)]
struct NodeSpec {
    #[serde(rename = "providerID")]
    provider_id: Option<String>,
    #[serde(rename = "podCIDRs")]
    pod_cidrs: Option<Vec<IpNet>>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase")]
struct NodeStatus {
    addresses: Option<Vec<NodeAddress>>,
    node_info: Option<NodeInfo>,
}

#[derive(Deserialize)]
struct NodeAddress {
    r#type: String,
    address: String,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase")]
struct NodeInfo {
    os_image: Option<String>,
    operating_system: Option<String>,
}

/// Reads `kubectl get nodes`: sorted by name, each once.
///
/// # Errors
/// If it is not such JSON.
pub fn parse_nodes(bytes: &[u8]) -> Result<Vec<KubernetesNode>, JsonError> {
    let nodes = objects::<Node>(bytes, "Node")?;
    let mut nodes = nodes.into_iter().map(KubernetesNode::try_from).collect::<Result<Vec<_>, _>>()?;
    nodes.sort_by(|a, b| a.name.cmp(&b.name));
    nodes.dedup_by(|a, b| a.name == b.name);
    Ok(nodes)
}

impl TryFrom<Node> for KubernetesNode {
    type Error = JsonError;

    fn try_from(wire: Node) -> Result<Self, JsonError> {
        let compute_type = wire.metadata.label(COMPUTE_TYPE_LABEL).map(ToOwned::to_owned);
        let spec = wire.spec.unwrap_or_default();
        let status = wire.status.unwrap_or_default();
        let addresses = status.addresses.unwrap_or_default().into_iter();
        let internal = addresses.filter(|address| address.r#type == "InternalIP").map(
            |NodeAddress { address, .. }| {
                address.parse().map_err(|error| {
                    JsonError::of_whole(format!(
                        "status.addresses of {:?}: {address:?}: {error}",
                        wire.metadata.name
                    ))
                })
            },
        );
        let info = status.node_info.unwrap_or_default();
        Ok(Self {
            addresses: internal.collect::<Result<_, _>>()?,
            name: wire.metadata.name,
            provider_id: spec.provider_id.filter(|id| !id.is_empty()),
            compute_type,
            is_windows: info.operating_system.as_deref() == Some("windows"),
            os_image: info.os_image,
            pod_cidrs: spec.pod_cidrs.unwrap_or_default(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(slices: &str) -> Result<Option<Vec<String>>, JsonError> {
        let json = format!("{{\"apiVersion\": \"v1\", \"kind\": \"List\", \"items\": [{slices}]}}");
        let addresses = parse_api_addresses(json.as_bytes())?;
        Ok(addresses.map(|addresses| addresses.iter().map(ToString::to_string).collect()))
    }

    fn slice(metadata: &str, addresses: &str) -> String {
        format!(
            "{{\"kind\": \"EndpointSlice\", \"metadata\": {{{metadata}}}, \"addressType\": \"IPv4\", \"endpoints\": [{{\"addresses\": [{addresses}]}}]}}"
        )
    }

    #[test]
    fn only_slices_of_the_kubernetes_service_count() {
        let label =
            "\"namespace\": \"default\", \"labels\": {\"kubernetes.io/service-name\": \"kubernetes\"}";
        let labelled = slice(&format!("\"name\": \"kubernetes-x7\", {label}"), "\"10.0.0.7\"");
        let named = slice("\"name\": \"kubernetes\"", "\"10.0.0.9\", \"2001:db8::9\"");
        let web = slice(
            "\"name\": \"web-1\", \"labels\": {\"kubernetes.io/service-name\": \"web\"}",
            "\"10.0.0.8\"",
        );
        let elsewhere = slice("\"name\": \"kubernetes\", \"namespace\": \"web\"", "\"10.0.0.8\"");
        let other = slice(
            "\"name\": \"kubernetes\", \"labels\": {\"kubernetes.io/service-name\": \"web\"}",
            "\"10.0.0.8\"",
        );
        assert_eq!(addresses(""), Ok(None));
        assert_eq!(addresses(&format!("{web}, {elsewhere}, {other}")), Ok(None));
        assert_eq!(
            addresses(&format!("{web}, {labelled}, {named}")),
            Ok(Some(["10.0.0.7", "10.0.0.9", "2001:db8::9"].map(ToOwned::to_owned).to_vec()))
        );
        assert_eq!(
            parse_api_addresses(named.as_bytes()).map(|addresses| addresses.map(|all| all.len())),
            Ok(Some(2)),
            "kubectl get endpointslices kubernetes -o json prints one object"
        );
        let empty = "{\"metadata\": {\"name\": \"kubernetes\"}, \"endpoints\": null}";
        assert_eq!(addresses(empty), Ok(Some(Vec::new())));
        assert!(addresses(&slice("\"name\": \"kubernetes\"", "\"10.0.0\"")).is_err());
    }

    #[test]
    fn other_kinds_and_parts_of_a_list_are_errors() {
        for json in [
            "{}",
            "{\"kind\": \"PodList\", \"items\": []}",
            "{\"kind\": \"List\"}",
            "{\"kind\": \"List\", \"items\": [{}]}",
            "{\"kind\": \"List\", \"metadata\": {\"continue\": \"x\"}, \"items\": []}",
            "[]",
            "",
        ] {
            assert!(parse_api_addresses(json.as_bytes()).is_err(), "{json}");
            assert!(parse_nodes(json.as_bytes()).is_err(), "{json}");
        }
        let list = "{\"kind\": \"NodeList\", \"metadata\": {\"continue\": \"\"}, \"items\": []}";
        assert_eq!(parse_nodes(list.as_bytes()), Ok(Vec::new()));
    }

    #[test]
    fn nodes_are_sorted_and_have_their_internal_addresses() {
        let json = br#"{"kind": "List", "items": [
            {"metadata": {"name": "n2"}},
            {"metadata": {"name": "n1", "labels": {"eks.amazonaws.com/compute-type": "hybrid"}},
             "spec": {"providerID": "eks-hybrid:///ap-northeast-2/myeks/mi-0123", "podCIDRs": ["172.20.64.0/25"]},
             "status": {"addresses": [{"type": "InternalIP", "address": "172.20.40.7"}, {"type": "Hostname", "address": "n1"}],
                        "nodeInfo": {"osImage": "Ubuntu 24.04.1 LTS"}}}]}"#;
        let nodes = parse_nodes(json).expect("nodes");
        assert_eq!(nodes.iter().map(|node| node.name.as_str()).collect::<Vec<_>>(), ["n1", "n2"]);
        let first = &nodes[0];
        assert_eq!(first.addresses, ["172.20.40.7".parse::<IpAddr>().expect("an address")]);
        assert_eq!(first.compute_type.as_deref(), Some("hybrid"));
        assert_eq!(first.os_image.as_deref(), Some("Ubuntu 24.04.1 LTS"));
        assert_eq!(first.pod_cidrs, ["172.20.64.0/25".parse::<IpNet>().expect("a CIDR block")]);
        assert!(nodes[1].addresses.is_empty());
    }
}
