//! The `aws ec2 describe-...` calls.
//!
//! <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/>

use std::net::IpAddr;

use ipnet::IpNet;
use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};

use crate::collect::json::{JsonError, from_json};
use crate::model::net::{
    Attachment, DhcpOptions, Ingress, Instance, Interface, NatGateway, Route, RouteTable, RouteTarget,
    SecurityGroup, Subnet, Vpc,
};

/// Reads a list, which must be the whole of it.
fn from_list<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, JsonError> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Page {
        next_token: Option<IgnoredAny>,
    }
    let list = from_json(bytes)?;
    match from_json::<Page>(bytes)?.next_token {
        None => Ok(list),
        Some(IgnoredAny) => Err(JsonError::of_whole(
            "NextToken: this is a part of the list; leave out --max-items and --no-paginate",
        )),
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct NetworkInterfaces {
    network_interfaces: Vec<WireInterface>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct WireInterface {
    network_interface_id: String,
    description: Option<String>,
    interface_type: Option<String>,
    vpc_id: Option<String>,
    subnet_id: Option<String>,
    availability_zone: Option<String>,
    owner_id: Option<String>,
    requester_id: Option<String>,
    attachment: Option<WireAttachment>,
    private_ip_address: Option<IpAddr>,
    private_ip_addresses: Option<Vec<PrivateIp>>,
    ipv6_addresses: Option<Vec<Ipv6>>,
    ipv4_prefixes: Option<Vec<Ipv4Prefix>>,
    ipv6_prefixes: Option<Vec<Ipv6Prefix>>,
    groups: Option<Vec<Group>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct WireAttachment {
    instance_id: Option<String>,
    instance_owner_id: Option<String>,
    device_index: Option<u32>,
    status: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct PrivateIp {
    private_ip_address: Option<IpAddr>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Ipv6 {
    ipv6_address: Option<IpAddr>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Ipv4Prefix {
    ipv4_prefix: Option<IpNet>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Ipv6Prefix {
    ipv6_prefix: Option<IpNet>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Group {
    group_id: Option<String>,
}

/// Reads `describe-network-interfaces`: sorted by id, each once.
///
/// # Errors
/// If it is no such JSON.
pub fn parse_interfaces(bytes: &[u8]) -> Result<Vec<Interface>, JsonError> {
    let wire: NetworkInterfaces = from_list(bytes)?;
    let mut interfaces: Vec<_> = wire.network_interfaces.into_iter().map(interface).collect();
    interfaces.sort_by(|a, b| a.id.cmp(&b.id));
    interfaces.dedup_by(|a, b| a.id == b.id);
    Ok(interfaces)
}

fn interface(wire: WireInterface) -> Interface {
    let mut addresses: Vec<IpAddr> = wire.private_ip_address.into_iter().collect();
    addresses.extend(wire.private_ip_addresses.into_iter().flatten().filter_map(|ip| ip.private_ip_address));
    addresses.extend(wire.ipv6_addresses.into_iter().flatten().filter_map(|ip| ip.ipv6_address));
    let prefixes4 = wire.ipv4_prefixes.into_iter().flatten().filter_map(|prefix| prefix.ipv4_prefix);
    let prefixes6 = wire.ipv6_prefixes.into_iter().flatten().filter_map(|prefix| prefix.ipv6_prefix);
    Interface {
        id: wire.network_interface_id,
        description: wire.description.unwrap_or_default(),
        interface_type: wire.interface_type.unwrap_or_default(),
        vpc: wire.vpc_id.unwrap_or_default(),
        subnet: wire.subnet_id.unwrap_or_default(),
        zone: wire.availability_zone.unwrap_or_default(),
        owner: wire.owner_id.unwrap_or_default(),
        requester: wire.requester_id,
        attachment: wire.attachment.map(|attachment| Attachment {
            instance: attachment.instance_id,
            instance_owner: attachment.instance_owner_id,
            device_index: attachment.device_index,
            status: attachment.status,
        }),
        addresses: unique(addresses),
        prefixes: prefixes4.chain(prefixes6).collect(),
        groups: wire.groups.into_iter().flatten().filter_map(|group| group.group_id).collect(),
    }
}

/// The same values in the same order, each once.
fn unique(addresses: Vec<IpAddr>) -> Vec<IpAddr> {
    let mut seen = std::collections::HashSet::with_capacity(addresses.len());
    addresses.into_iter().filter(|&address| seen.insert(address)).collect()
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Instances {
    reservations: Vec<Reservation>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Reservation {
    instances: Option<Vec<WireInstance>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct WireInstance {
    instance_id: String,
    private_dns_name: Option<String>,
    subnet_id: Option<String>,
    state: Option<InstanceState>,
    private_ip_address: Option<IpAddr>,
    public_ip_address: Option<IpAddr>,
    network_interfaces: Option<Vec<InstanceInterface>>,
    tags: Option<Vec<Tag>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct InstanceState {
    name: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct InstanceInterface {
    private_ip_addresses: Option<Vec<PrivateIp>>,
    ipv6_addresses: Option<Vec<Ipv6>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Tag {
    key: Option<String>,
    value: Option<String>,
}

/// Reads `describe-instances`: sorted by id, each once.
///
/// # Errors
/// If it is no such JSON.
pub fn parse_instances(bytes: &[u8]) -> Result<Vec<Instance>, JsonError> {
    let wire: Instances = from_list(bytes)?;
    let instances =
        wire.reservations.into_iter().flat_map(|reservation| reservation.instances.unwrap_or_default());
    let mut instances: Vec<_> = instances.map(instance).collect();
    instances.sort_by(|a, b| a.id.cmp(&b.id));
    instances.dedup_by(|a, b| a.id == b.id);
    Ok(instances)
}

fn instance(wire: WireInstance) -> Instance {
    let mut addresses: Vec<IpAddr> = wire.private_ip_address.into_iter().collect();
    for interface in wire.network_interfaces.into_iter().flatten() {
        addresses.extend(
            interface.private_ip_addresses.into_iter().flatten().filter_map(|ip| ip.private_ip_address),
        );
        addresses.extend(interface.ipv6_addresses.into_iter().flatten().filter_map(|ip| ip.ipv6_address));
    }
    let tags = wire.tags.into_iter().flatten();
    let state = wire.state.and_then(|state| state.name);
    Instance {
        id: wire.instance_id,
        dns_name: wire.private_dns_name.filter(|name| !name.is_empty()),
        subnet: wire.subnet_id,
        running: state.is_none_or(|state| state == "running"),
        addresses: unique(addresses),
        public_ip: wire.public_ip_address,
        tags: tags.map(|tag| (tag.key.unwrap_or_default(), tag.value.unwrap_or_default())).collect(),
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct VpcAndAttributes {
    vpcs: Option<Vec<WireVpc>>,
    enable_dns_support: Option<Flag>,
    enable_dns_hostnames: Option<Flag>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct WireVpc {
    vpc_id: String,
    cidr_block: Option<IpNet>,
    cidr_block_association_set: Option<Vec<CidrAssociation>>,
    ipv6_cidr_block_association_set: Option<Vec<Ipv6CidrAssociation>>,
    dhcp_options_id: Option<String>,
    enable_dns_support: Option<Flag>,
    enable_dns_hostnames: Option<Flag>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Flag {
    value: Option<bool>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct CidrAssociation {
    cidr_block: Option<IpNet>,
    cidr_block_state: Option<AssociationState>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Ipv6CidrAssociation {
    ipv6_cidr_block: Option<IpNet>,
    ipv6_cidr_block_state: Option<AssociationState>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct AssociationState {
    state: Option<String>,
}

impl AssociationState {
    /// Whether addresses of the block can be in use.
    fn in_use(state: Option<&Self>) -> bool {
        let state = state.and_then(|state| state.state.as_deref());
        !matches!(state, Some("disassociated" | "failed" | "failing"))
    }
}

/// Reads `describe-vpcs`, with what `describe-vpc-attribute` printed beside
/// `Vpcs` or inside the VPC. `None` if the VPC is not among them.
///
/// # Errors
/// If it is no such JSON.
pub fn parse_vpc(bytes: &[u8], id: &str) -> Result<Option<Vpc>, JsonError> {
    let wire: VpcAndAttributes = from_list(bytes)?;
    let (support, hostnames) = (wire.enable_dns_support, wire.enable_dns_hostnames);
    let vpc = wire.vpcs.into_iter().flatten().find(|vpc| vpc.vpc_id == id);
    Ok(vpc.map(|vpc| {
        let mut cidrs: Vec<_> = vpc.cidr_block.into_iter().collect();
        for block in vpc.cidr_block_association_set.into_iter().flatten() {
            if AssociationState::in_use(block.cidr_block_state.as_ref()) {
                cidrs.extend(block.cidr_block);
            }
        }
        for block in vpc.ipv6_cidr_block_association_set.into_iter().flatten() {
            if AssociationState::in_use(block.ipv6_cidr_block_state.as_ref()) {
                cidrs.extend(block.ipv6_cidr_block);
            }
        }
        cidrs.sort();
        cidrs.dedup();
        let value =
            |inside: Option<Flag>, beside: Option<Flag>| inside.or(beside).and_then(|flag| flag.value);
        Vpc {
            id: vpc.vpc_id,
            cidrs,
            dhcp_options: vpc.dhcp_options_id,
            dns_support: value(vpc.enable_dns_support, support),
            dns_hostnames: value(vpc.enable_dns_hostnames, hostnames),
        }
    }))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Subnets {
    subnets: Vec<WireSubnet>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct WireSubnet {
    subnet_id: String,
    vpc_id: Option<String>,
    cidr_block: Option<IpNet>,
    ipv6_cidr_block_association_set: Option<Vec<Ipv6CidrAssociation>>,
}

/// Reads `describe-subnets`.
///
/// # Errors
/// If it is no such JSON.
pub fn parse_subnets(bytes: &[u8]) -> Result<Vec<Subnet>, JsonError> {
    let wire: Subnets = from_list(bytes)?;
    let subnet = |wire: WireSubnet| {
        let mut cidrs: Vec<_> = wire.cidr_block.into_iter().collect();
        for block in wire.ipv6_cidr_block_association_set.into_iter().flatten() {
            if AssociationState::in_use(block.ipv6_cidr_block_state.as_ref()) {
                cidrs.extend(block.ipv6_cidr_block);
            }
        }
        Subnet { id: wire.subnet_id, vpc: wire.vpc_id.unwrap_or_default(), cidrs }
    };
    Ok(wire.subnets.into_iter().map(subnet).collect())
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct AllDhcpOptions {
    dhcp_options: Vec<WireDhcpOptions>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct WireDhcpOptions {
    dhcp_options_id: String,
    dhcp_configurations: Option<Vec<DhcpConfiguration>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DhcpConfiguration {
    key: Option<String>,
    values: Option<Vec<DhcpValue>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DhcpValue {
    value: Option<String>,
}

/// Reads `describe-dhcp-options`.
///
/// # Errors
/// If it is no such JSON.
pub fn parse_dhcp_options(bytes: &[u8]) -> Result<Vec<DhcpOptions>, JsonError> {
    let wire: AllDhcpOptions = from_list(bytes)?;
    let options = |wire: WireDhcpOptions| {
        let servers = wire.dhcp_configurations.into_iter().flatten();
        let servers = servers.filter(|option| option.key.as_deref() == Some("domain-name-servers"));
        let servers = servers.flat_map(|option| option.values.unwrap_or_default());
        DhcpOptions {
            id: wire.dhcp_options_id,
            dns_servers: servers.filter_map(|server| server.value).collect(),
        }
    };
    Ok(wire.dhcp_options.into_iter().map(options).collect())
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct NatGateways {
    nat_gateways: Vec<WireNatGateway>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct WireNatGateway {
    nat_gateway_id: String,
    vpc_id: Option<String>,
    state: Option<String>,
    nat_gateway_addresses: Option<Vec<NatAddress>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct NatAddress {
    public_ip: Option<IpAddr>,
}

/// Reads `describe-nat-gateways`: sorted by id.
///
/// # Errors
/// If it is no such JSON.
pub fn parse_nat_gateways(bytes: &[u8]) -> Result<Vec<NatGateway>, JsonError> {
    let wire: NatGateways = from_list(bytes)?;
    let gateway = |wire: WireNatGateway| {
        let addresses = wire.nat_gateway_addresses.into_iter().flatten();
        NatGateway {
            id: wire.nat_gateway_id,
            vpc: wire.vpc_id,
            available: !matches!(wire.state.as_deref(), Some("failed" | "deleting" | "deleted")),
            public_ips: addresses.filter_map(|address| address.public_ip).collect(),
        }
    };
    let mut gateways: Vec<_> = wire.nat_gateways.into_iter().map(gateway).collect();
    gateways.sort_by(|a, b| a.id.cmp(&b.id));
    Ok(gateways)
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RouteTables {
    route_tables: Vec<WireRouteTable>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct WireRouteTable {
    route_table_id: String,
    vpc_id: Option<String>,
    associations: Option<Vec<RouteTableAssociation>>,
    routes: Option<Vec<WireRoute>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RouteTableAssociation {
    main: Option<bool>,
    subnet_id: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct WireRoute {
    destination_cidr_block: Option<IpNet>,
    destination_ipv6_cidr_block: Option<IpNet>,
    state: Option<String>,
    gateway_id: Option<String>,
    nat_gateway_id: Option<String>,
    egress_only_internet_gateway_id: Option<String>,
    transit_gateway_id: Option<String>,
    vpc_peering_connection_id: Option<String>,
    network_interface_id: Option<String>,
    local_gateway_id: Option<String>,
    carrier_gateway_id: Option<String>,
    core_network_arn: Option<String>,
}

/// Reads `describe-route-tables`.
///
/// # Errors
/// If it is no such JSON.
pub fn parse_route_tables(bytes: &[u8]) -> Result<Vec<RouteTable>, JsonError> {
    let wire: RouteTables = from_list(bytes)?;
    let table = |wire: WireRouteTable| {
        let associations = wire.associations.unwrap_or_default();
        RouteTable {
            id: wire.route_table_id,
            vpc: wire.vpc_id,
            main: associations.iter().any(|association| association.main == Some(true)),
            subnets: associations.into_iter().filter_map(|association| association.subnet_id).collect(),
            routes: wire.routes.into_iter().flatten().map(route).collect(),
        }
    };
    Ok(wire.route_tables.into_iter().map(table).collect())
}

fn route(wire: WireRoute) -> Route {
    let others = [
        wire.egress_only_internet_gateway_id,
        wire.transit_gateway_id,
        wire.vpc_peering_connection_id,
        wire.network_interface_id,
        wire.local_gateway_id,
        wire.carrier_gateway_id,
        wire.core_network_arn,
    ];
    let target = if wire.state.as_deref() == Some("blackhole") {
        RouteTarget::Blackhole
    } else if let Some(id) = wire.nat_gateway_id {
        RouteTarget::NatGateway(id)
    } else {
        match wire.gateway_id {
            Some(id) if id == "local" => RouteTarget::Local,
            Some(id) if id.starts_with("igw-") => RouteTarget::InternetGateway,
            Some(id) => RouteTarget::Other(id),
            None => RouteTarget::Other(others.into_iter().flatten().next().unwrap_or_default()),
        }
    };
    Route { destination: wire.destination_cidr_block.or(wire.destination_ipv6_cidr_block), target }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct SecurityGroups {
    security_groups: Vec<WireSecurityGroup>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct WireSecurityGroup {
    group_id: String,
    ip_permissions: Option<Vec<IpPermission>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct IpPermission {
    ip_protocol: Option<String>,
    from_port: Option<i32>,
    to_port: Option<i32>,
    ip_ranges: Option<Vec<IpRange>>,
    ipv6_ranges: Option<Vec<Ipv6Range>>,
    prefix_list_ids: Option<Vec<PrefixList>>,
    user_id_group_pairs: Option<Vec<Group>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct IpRange {
    cidr_ip: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Ipv6Range {
    cidr_ipv6: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct PrefixList {
    prefix_list_id: Option<String>,
}

/// Reads `describe-security-groups`.
///
/// # Errors
/// If it is no such JSON.
pub fn parse_security_groups(bytes: &[u8]) -> Result<Vec<SecurityGroup>, JsonError> {
    let wire: SecurityGroups = from_list(bytes)?;
    let group = |wire: WireSecurityGroup| SecurityGroup {
        id: wire.group_id,
        ingress: wire.ip_permissions.into_iter().flatten().map(ingress).collect(),
    };
    Ok(wire.security_groups.into_iter().map(group).collect())
}

fn ingress(wire: IpPermission) -> Ingress {
    let port = |number: Option<i32>, default: u16| {
        number.and_then(|number| u16::try_from(number).ok()).unwrap_or(default)
    };
    let ports = match wire.ip_protocol.as_deref() {
        Some("-1") => Some((0, u16::MAX)),
        Some("tcp" | "6") => Some((port(wire.from_port, 0), port(wire.to_port, u16::MAX))),
        _ => None,
    };
    let ranges = wire.ip_ranges.into_iter().flatten().filter_map(|range| range.cidr_ip);
    let ranges6 = wire.ipv6_ranges.into_iter().flatten().filter_map(|range| range.cidr_ipv6);
    let lists = wire.prefix_list_ids.into_iter().flatten().filter_map(|list| list.prefix_list_id);
    let groups = wire.user_id_group_pairs.into_iter().flatten().filter_map(|group| group.group_id);
    Ingress { ports, sources: ranges.chain(ranges6).chain(lists).chain(groups).collect() }
}
