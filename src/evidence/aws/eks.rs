//! `aws eks describe-cluster`.
//!
//! <https://docs.aws.amazon.com/eks/latest/APIReference/API_Cluster.html>

use std::net::IpAddr;

use ipnet::IpNet;
use serde::Deserialize;

use crate::evidence::json::{JsonError, from_json};
use crate::model::cluster::{ApiEndpoint, Cluster, EndpointAccess, Hosting};
use crate::model::ranges::canonical_block;

#[derive(Deserialize)]
#[serde(expecting = "an object with the field `cluster`")]
struct DescribeCluster {
    cluster: WireCluster,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", expecting = "an object that describes a cluster")]
struct WireCluster {
    name: String,
    arn: Option<String>,
    status: Option<String>,
    endpoint: Option<String>,
    certificate_authority: Option<CertificateAuthority>,
    resources_vpc_config: Option<VpcConfig>,
    kubernetes_network_config: Option<NetworkConfig>,
    connector_config: Option<serde::de::IgnoredAny>,
    outpost_config: Option<serde::de::IgnoredAny>,
    compute_config: Option<ComputeConfig>,
    remote_network_config: Option<RemoteNetworkConfig>,
}

/// Where nodes are that are not in AWS.
///
/// <https://docs.aws.amazon.com/eks/latest/APIReference/API_RemoteNetworkConfigResponse.html>
#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase")]
struct RemoteNetworkConfig {
    remote_node_networks: Option<Vec<RemoteNetwork>>,
    remote_pod_networks: Option<Vec<RemoteNetwork>>,
}

/// CIDR blocks outside AWS.
#[derive(Deserialize)]
struct RemoteNetwork {
    cidrs: Option<Vec<IpNet>>,
}

#[derive(Deserialize)]
struct CertificateAuthority {
    data: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase")]
struct VpcConfig {
    subnet_ids: Option<Vec<String>>,
    cluster_security_group_id: Option<String>,
    vpc_id: Option<String>,
    endpoint_public_access: Option<bool>,
    endpoint_private_access: Option<bool>,
    public_access_cidrs: Option<Vec<IpNet>>,
    control_plane_egress_mode: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct NetworkConfig {
    service_ipv4_cidr: Option<IpNet>,
    service_ipv6_cidr: Option<IpNet>,
}

#[derive(Deserialize)]
struct ComputeConfig {
    enabled: Option<bool>,
}

/// Reads what `aws eks describe-cluster` printed.
///
/// # Errors
/// If it is not such JSON, or holds what EKS never answers.
pub fn parse_cluster(bytes: &[u8]) -> Result<Cluster, JsonError> {
    let wire = from_json::<DescribeCluster>(bytes)?.cluster;
    if wire.name.is_empty() {
        return Err(JsonError::of_whole("cluster.name: empty"));
    }
    let hosting = match (&wire.connector_config, &wire.outpost_config) {
        (Some(_), _) => Hosting::Connector,
        (None, Some(_)) => Hosting::Outposts,
        (None, None) => Hosting::Region,
    };
    let endpoint = match wire.endpoint.filter(|url| !url.is_empty()) {
        Some(url) => Some(parse_endpoint(url)?),
        None => None,
    };
    let network = wire.kubernetes_network_config;
    let services = network.iter().flat_map(|config| [config.service_ipv4_cidr, config.service_ipv6_cidr]);
    let service_blocks: Vec<_> = services.flatten().collect();
    let cluster_ips = service_blocks.iter().copied().filter_map(first_address).collect();
    let vpc = wire.resources_vpc_config.unwrap_or_default();
    let remote = wire.remote_network_config.unwrap_or_default();
    Ok(Cluster {
        name: wire.name,
        arn: wire.arn,
        status: wire.status,
        hosting,
        endpoint,
        certificate_authority: wire.certificate_authority.and_then(|authority| authority.data),
        access: access(vpc.endpoint_public_access, vpc.endpoint_private_access, vpc.public_access_cidrs)?,
        vpc: vpc.vpc_id,
        subnets: vpc.subnet_ids.unwrap_or_default(),
        security_group: vpc.cluster_security_group_id,
        cluster_ips,
        service_blocks,
        egress_mode: vpc.control_plane_egress_mode,
        hybrid_nodes_enabled: remote.remote_node_networks.as_ref().is_some_and(|all| !all.is_empty()),
        remote_node_networks: cidrs(remote.remote_node_networks),
        remote_pod_networks: cidrs(remote.remote_pod_networks),
        auto_mode: wire.compute_config.and_then(|config| config.enabled).unwrap_or(false),
    })
}

fn cidrs(networks: Option<Vec<RemoteNetwork>>) -> Vec<IpNet> {
    networks.into_iter().flatten().filter_map(|network| network.cidrs).flatten().collect()
}

fn access(
    public: Option<bool>,
    private: Option<bool>,
    cidrs: Option<Vec<IpNet>>,
) -> Result<EndpointAccess, JsonError> {
    let cidrs: Vec<_> = cidrs.into_iter().flatten().map(canonical_block).collect();
    match (public, private) {
        (Some(true), Some(false)) => Ok(EndpointAccess::Public { cidrs }),
        (Some(true), Some(true)) => Ok(EndpointAccess::PublicAndPrivate { cidrs }),
        (Some(false), Some(true)) => Ok(EndpointAccess::Private),
        (Some(false), Some(false)) => Err(JsonError::of_whole(
            "cluster.resourcesVpcConfig: endpointPublicAccess and endpointPrivateAccess are both false, which EKS refuses",
        )),
        _ => Ok(EndpointAccess::Unknown { public, private, cidrs }),
    }
}

/// Splits `https://host[:port][/...]`; judges neither host nor port by a pattern.
fn parse_endpoint(url: String) -> Result<ApiEndpoint, JsonError> {
    let wrong =
        || JsonError::of_whole(format!("cluster.endpoint: {url:?} is not an https:// URL with a host"));
    let authority = url.strip_prefix("https://").ok_or_else(wrong)?;
    let authority = authority.split(['/', '?', '#']).next().unwrap_or_default();
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, port.parse().map_err(|_| wrong())?),
        _ => (authority, 443),
    };
    if host.is_empty() || host.contains(char::is_whitespace) || host.starts_with('-') {
        return Err(wrong());
    }
    let host = host.to_owned();
    Ok(ApiEndpoint { url, host, port })
}

/// The first address of a service range: the `kubernetes` Service's.
fn first_address(range: IpNet) -> Option<IpAddr> {
    range.hosts().next().and_then(|first| match (range, first) {
        // hosts() of an IPv6 range begins with the network address itself.
        (IpNet::V6(range), IpAddr::V6(first)) if first == range.network() => {
            u128::from(first).checked_add(1).map(|next| IpAddr::V6(next.into()))
        }
        _ => Some(first),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cluster(fields: &str) -> Result<Cluster, JsonError> {
        parse_cluster(format!("{{\"cluster\": {{\"name\": \"myeks\"{fields}}}}}").as_bytes())
    }

    #[test]
    fn flags_that_are_absent_are_unknown() {
        let access = |flags: &str| {
            cluster(&format!(", \"resourcesVpcConfig\": {{{flags}}}")).map(|cluster| cluster.access)
        };
        assert_eq!(access(""), Ok(EndpointAccess::Unknown { public: None, private: None, cidrs: vec![] }));
        assert_eq!(
            access("\"endpointPublicAccess\": true"),
            Ok(EndpointAccess::Unknown { public: Some(true), private: None, cidrs: vec![] })
        );
        assert_eq!(
            access(
                "\"endpointPublicAccess\": false, \"endpointPrivateAccess\": true, \"publicAccessCidrs\": []"
            ),
            Ok(EndpointAccess::Private)
        );
        assert!(access("\"endpointPublicAccess\": false, \"endpointPrivateAccess\": false").is_err());
        assert!(access("\"publicAccessCidrs\": [\"everyone\"]").is_err());
        let mapped = access(
            "\"endpointPublicAccess\": true, \"endpointPrivateAccess\": true, \"publicAccessCidrs\": [\"::ffff:0:0/96\", \"::ffff:203.0.113.0/120\", \"2600::/32\"]",
        );
        let cidrs: Vec<_> = mapped.expect("a cluster").cidrs().iter().map(ToString::to_string).collect();
        assert_eq!(cidrs, ["0.0.0.0/0", "203.0.113.0/24", "2600::/32"]);
    }

    #[test]
    fn endpoints_are_taken_as_given() {
        let endpoint = |url: &str| {
            cluster(&format!(", \"endpoint\": \"{url}\"")).map(|cluster| {
                cluster
                    .endpoint
                    .map(|endpoint| format!("{} {}", endpoint.host, endpoint.port))
                    .unwrap_or_default()
            })
        };
        assert_eq!(
            endpoint("https://A.gr7.cn-north-1.eks.amazonaws.com.cn").as_deref(),
            Ok("A.gr7.cn-north-1.eks.amazonaws.com.cn 443")
        );
        assert_eq!(endpoint("https://a.example:8443/").as_deref(), Ok("a.example 8443"));
        assert_eq!(endpoint("").as_deref(), Ok(""));
        for wrong in
            ["http://a.example", "https://", "https://a b", "https://-oProxyCommand=x", "https://a:x"]
        {
            assert!(endpoint(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_kubernetes_service_has_the_first_address() {
        let ips = |config: &str| {
            cluster(&format!(", \"kubernetesNetworkConfig\": {{{config}}}")).expect("a cluster").cluster_ips
        };
        assert_eq!(
            ips("\"serviceIpv4Cidr\": \"10.100.0.0/16\""),
            ["10.100.0.1".parse::<IpAddr>().expect("an address")]
        );
        assert_eq!(
            ips("\"serviceIpv6Cidr\": \"fd12:3456:789a::/108\""),
            ["fd12:3456:789a::1".parse::<IpAddr>().expect("an address")]
        );
        assert!(ips("").is_empty());
    }
}
