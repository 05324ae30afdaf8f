//! The requests to EC2, and the conversion of the SDK's types into the shapes that the
//! aws CLI prints.

use std::time::Instant;

use aws_sdk_ec2::operation::describe_dhcp_options::DescribeDhcpOptions;
use aws_sdk_ec2::operation::describe_instances::DescribeInstances;
use aws_sdk_ec2::operation::describe_nat_gateways::DescribeNatGateways;
use aws_sdk_ec2::operation::describe_network_acls::DescribeNetworkAcls;
use aws_sdk_ec2::operation::describe_network_interfaces::DescribeNetworkInterfaces;
use aws_sdk_ec2::operation::describe_route_tables::DescribeRouteTables;
use aws_sdk_ec2::operation::describe_security_groups::DescribeSecurityGroups;
use aws_sdk_ec2::operation::describe_subnets::DescribeSubnets;
use aws_sdk_ec2::operation::describe_vpcs::DescribeVpcs;
use aws_sdk_ec2::types::{self, Filter, VpcAttributeName};
use futures_util::future::try_join_all;

use super::answer::{Answer, Fields, Items, MissingField, Scope};
use super::client::Client;
use super::failure::Failure;
use super::from_sdk::{FromSdk, from_enumeration, from_sdk};
use super::paging::{Attempts, log, pages};
use crate::evidence::aws::instances::{
    EKS_PRINCIPAL_PREFIX, Instance, InstanceNetworkInterface, InstanceState, Reservation,
};
use crate::evidence::aws::interfaces::{
    GroupIdentifier, Ipv4Prefix, Ipv6Address, Ipv6Prefix, NetworkInterface, NetworkInterfaceAssociation,
    NetworkInterfaceAttachment, Operator, PrivateIpAddress, Tag,
};
use crate::evidence::aws::network_acls::{NetworkAcl, NetworkAclAssociation, NetworkAclEntry, PortRange};
use crate::evidence::aws::routes::{NatGateway, NatGatewayAddress, Route, RouteTable, RouteTableAssociation};
use crate::evidence::aws::security_groups::{
    IpPermission, IpRange, Ipv6Range, PrefixListId, SecurityGroup, UserIdGroupPair,
};
use crate::evidence::aws::vpc::{
    AttributeBooleanValue, AttributeValue, BlockPublicAccessStates, CidrBlockAssociation, CidrBlockState,
    DhcpConfiguration, DhcpOptions, Ipv6CidrBlockAssociation, Subnet, Vpc, VpcAttributes,
};
use crate::evidence::aws::{Call, DESCRIBE_REGIONS, DESCRIBE_VPC_ATTRIBUTE};
use crate::model::file::Field;
use crate::model::gap::GapReason;
use crate::model::net::{
    CLUSTER_NAME_TAGS, CLUSTER_TAG_PREFIX, DHCP_OPTIONS, INSTANCES, INTERFACES, NAT_GATEWAYS, NETWORK_ACLS,
    ROUTE_TABLES, SECURITY_GROUPS, SUBNETS, VPC,
};

/// The items of a page, the most that EC2 allows. Without a number, it may answer with all of
/// them.
///
/// <https://docs.aws.amazon.com/ec2/latest/devguide/ec2-api-pagination.html>
const PAGE: i32 = 1000;
/// The same of `DescribeRouteTables`.
const PAGE_OF_ROUTE_TABLES: i32 = 100;

impl Client {
    /// Requests the answer to one of the calls that make a file.
    pub(super) async fn answer(
        &self,
        call: &Call,
        clusters: &[String],
        vpcs: &[String],
    ) -> Result<Answer, Failure> {
        let began = Instant::now();
        let answer = match call.file {
            INTERFACES => self.interfaces(vpcs).await,
            INSTANCES => self.instances(clusters).await,
            VPC => self.vpcs(vpcs).await,
            SUBNETS => self.subnets(vpcs).await,
            DHCP_OPTIONS => self.dhcp_options().await,
            NAT_GATEWAYS => self.nat_gateways(vpcs).await,
            ROUTE_TABLES => self.route_tables(vpcs).await,
            SECURITY_GROUPS => self.security_groups(vpcs).await,
            NETWORK_ACLS => self.network_acls(vpcs).await,
            file => Err(Failure::new(GapReason::NotSupported, format!("no request makes {file}"))),
        };
        log(call.actions[0], began, &answer);
        answer
    }

    /// Requests the fields of a file that are answers of their own for each VPC.
    pub(super) async fn fields(&self, call: &Call, vpc: &str) -> Fields {
        match call.file {
            VPC => self.vpc_attributes(vpc).await,
            _ => Fields::default(),
        }
    }

    /// The regions that are enabled for the account, sorted.
    pub(crate) async fn regions(&self) -> Result<Vec<String>, Failure> {
        let began = Instant::now();
        let attempts = Attempts::in_region(&self.region);
        let request = self.ec2.describe_regions().customize().interceptor(attempts.clone());
        let answer = request.send().await.map_err(|error| attempts.failure(&error, self.timeout));
        log(DESCRIBE_REGIONS, began, &answer);
        let regions = answer?.regions.ok_or_else(|| Failure::no_list("regions"))?;
        let names: Option<Vec<_>> = regions.into_iter().map(|region| region.region_name).collect();
        // No account is without a region.
        let mut names = names
            .filter(|names| !names.is_empty())
            .ok_or_else(|| Failure::malformed("the answer names no region, or one without its name"))?;
        names.sort();
        Ok(names)
    }

    /// The network interfaces of some VPCs, including those that AWS services manage.
    async fn interfaces(&self, vpcs: &[String]) -> Result<Answer, Failure> {
        let request = self.ec2.describe_network_interfaces();
        let request = request.filters(in_vpcs(vpcs)).include_managed_resources(true).max_results(PAGE);
        let mut items = Items::new(&self.memory);
        let mut add = |eni: types::NetworkInterface| {
            let vpc = eni.vpc_id.clone();
            items.push_of_vpc(vpc.as_deref(), NetworkInterface::from_sdk(eni)?)
        };
        pages!(self, DescribeNetworkInterfaces::new(), request, network_interfaces, add)
            .map(|()| Answer::of::<NetworkInterface>(items))
    }

    /// The running instances that may be nodes of some clusters: by the tags that node groups
    /// and launch templates set, and, since those of EKS Auto Mode need not have one of them,
    /// all that EKS operates in the region. Filters of different names all have to match, so
    /// that each needs a separate request. Which instance is a node of which cluster is
    /// decided when the clusters' subnets are known; these requests need not wait for them.
    ///
    /// <https://docs.aws.amazon.com/eks/latest/userguide/launch-templates.html>
    async fn instances(&self, clusters: &[String]) -> Result<Answer, Failure> {
        let names = || clusters.iter().map(|cluster| literal(cluster));
        let keys = names().map(|name| format!("{CLUSTER_TAG_PREFIX}{name}"));
        let mut filters = vec![filter("tag-key", keys)];
        filters.extend(CLUSTER_NAME_TAGS.map(|key| filter(&format!("tag:{key}"), names())));
        filters.push(filter("operator.principal", [format!("{EKS_PRINCIPAL_PREFIX}*")]));
        let with = async |one: Filter| -> Result<Items, Failure> {
            let request = self.ec2.describe_instances().include_managed_resources(true);
            let running = filter("instance-state-name", ["running".to_owned()]);
            let request = request.filters(one).filters(running).max_results(PAGE);
            let mut items = Items::new(&self.memory);
            let mut add = |reservation| push_instances(&mut items, reservation);
            pages!(self, DescribeInstances::new(), request, reservations, add).map(|()| items)
        };
        let mut all = Items::new(&self.memory);
        for items in try_join_all(filters.into_iter().map(with)).await? {
            all.append(items)?;
        }
        Ok(Answer::of::<Reservation>(all.sorted_by_instance()))
    }

    /// VPCs by their ids.
    async fn vpcs(&self, vpcs: &[String]) -> Result<Answer, Failure> {
        let request = self.ec2.describe_vpcs().filters(in_vpcs(vpcs)).max_results(PAGE);
        let mut items = Items::new(&self.memory);
        let mut add = |vpc: types::Vpc| {
            let id = vpc.vpc_id.clone();
            items.push_of_vpc(id.as_deref(), Vpc::from_sdk(vpc)?)
        };
        pages!(self, DescribeVpcs::new(), request, vpcs, add).map(|()| Answer::of::<Vpc>(items))
    }

    /// The two DNS attributes of a VPC, each of which needs a request.
    async fn vpc_attributes(&self, vpc: &str) -> Fields {
        let began = Instant::now();
        let describe = async |name: VpcAttributeName| {
            let attempts = Attempts::in_region(&self.region);
            let request = self.ec2.describe_vpc_attribute().vpc_id(vpc).attribute(name).customize();
            let answer = request.interceptor(attempts.clone()).send().await;
            let answer = answer.map_err(|error| attempts.failure(&error, self.timeout));
            log(DESCRIBE_VPC_ATTRIBUTE, began, &answer);
            answer
        };
        let (support, hostnames) = tokio::join!(
            describe(VpcAttributeName::EnableDnsSupport),
            describe(VpcAttributeName::EnableDnsHostnames)
        );
        let mut missing = Vec::new();
        let mut found = |field, answer: Result<Option<types::AttributeBooleanValue>, Failure>| {
            let attribute = answer.and_then(|attribute| {
                let attribute = attribute.filter(|attribute| attribute.value.is_some());
                attribute
                    .ok_or_else(|| Failure::malformed(format!("the answer has no {}", Field::name(field))))
            });
            let attribute = attribute.and_then(AttributeBooleanValue::from_sdk).map(Some);
            attribute.unwrap_or_else(|failure| {
                missing.push(MissingField { field, action: DESCRIBE_VPC_ATTRIBUTE, failure });
                None
            })
        };
        let support = support.map(|answer| answer.enable_dns_support);
        let hostnames = hostnames.map(|answer| answer.enable_dns_hostnames);
        let found = VpcAttributes {
            vpc_id: None,
            enable_dns_support: found(Field::EnableDnsSupport, support),
            enable_dns_hostnames: found(Field::EnableDnsHostnames, hostnames),
        };
        Fields { found, missing }
    }

    /// The subnets of some VPCs.
    async fn subnets(&self, vpcs: &[String]) -> Result<Answer, Failure> {
        let request = self.ec2.describe_subnets().filters(in_vpcs(vpcs)).max_results(PAGE);
        let mut items = Items::new(&self.memory);
        let mut add = |subnet: types::Subnet| {
            let vpc = subnet.vpc_id.clone();
            items.push_of_vpc(vpc.as_deref(), Subnet::from_sdk(subnet)?)
        };
        pages!(self, DescribeSubnets::new(), request, subnets, add).map(|()| Answer::of::<Subnet>(items))
    }

    /// The DHCP option sets of the region. A VPC names the one that it uses.
    async fn dhcp_options(&self) -> Result<Answer, Failure> {
        let request = self.ec2.describe_dhcp_options().max_results(PAGE);
        let mut items = Items::new(&self.memory);
        let mut add =
            |options: types::DhcpOptions| items.push(DhcpOptions::from_sdk(options)?, |_| Scope::Region);
        pages!(self, DescribeDhcpOptions::new(), request, dhcp_options, add)
            .map(|()| Answer::of::<DhcpOptions>(items))
    }

    /// The NAT gateways of some VPCs.
    async fn nat_gateways(&self, vpcs: &[String]) -> Result<Answer, Failure> {
        let request = self.ec2.describe_nat_gateways().filter(in_vpcs(vpcs)).max_results(PAGE);
        let mut items = Items::new(&self.memory);
        let mut add = |gateway: types::NatGateway| {
            let vpc = gateway.vpc_id.clone();
            items.push_of_vpc(vpc.as_deref(), NatGateway::from_sdk(gateway)?)
        };
        pages!(self, DescribeNatGateways::new(), request, nat_gateways, add)
            .map(|()| Answer::of::<NatGateway>(items))
    }

    /// The route tables of some VPCs, including the main ones, which name no subnet.
    async fn route_tables(&self, vpcs: &[String]) -> Result<Answer, Failure> {
        let request =
            self.ec2.describe_route_tables().filters(in_vpcs(vpcs)).max_results(PAGE_OF_ROUTE_TABLES);
        let mut items = Items::new(&self.memory);
        let mut add = |table: types::RouteTable| {
            let vpc = table.vpc_id.clone();
            items.push_of_vpc(vpc.as_deref(), RouteTable::from_sdk(table)?)
        };
        pages!(self, DescribeRouteTables::new(), request, route_tables, add)
            .map(|()| Answer::of::<RouteTable>(items))
    }

    /// The security groups of some VPCs.
    async fn security_groups(&self, vpcs: &[String]) -> Result<Answer, Failure> {
        let request = self.ec2.describe_security_groups().filters(in_vpcs(vpcs)).max_results(PAGE);
        let mut items = Items::new(&self.memory);
        let mut add = |group: types::SecurityGroup| {
            let vpc = group.vpc_id.clone();
            items.push_of_vpc(vpc.as_deref(), SecurityGroup::from_sdk(group)?)
        };
        pages!(self, DescribeSecurityGroups::new(), request, security_groups, add)
            .map(|()| Answer::of::<SecurityGroup>(items))
    }

    /// The network ACLs of some VPCs.
    async fn network_acls(&self, vpcs: &[String]) -> Result<Answer, Failure> {
        let request = self.ec2.describe_network_acls().filters(in_vpcs(vpcs)).max_results(PAGE);
        let mut items = Items::new(&self.memory);
        let mut add = |acl: types::NetworkAcl| {
            let vpc = acl.vpc_id.clone();
            items.push_of_vpc(vpc.as_deref(), NetworkAcl::from_sdk(acl)?)
        };
        pages!(self, DescribeNetworkAcls::new(), request, network_acls, add)
            .map(|()| Answer::of::<NetworkAcl>(items))
    }
}

fn filter(name: &str, values: impl IntoIterator<Item = String>) -> Filter {
    Filter::builder().name(name).set_values(Some(values.into_iter().collect())).build()
}

fn in_vpcs(vpcs: &[String]) -> Filter {
    filter("vpc-id", vpcs.iter().map(|vpc| literal(vpc)))
}

/// A value that a filter takes literally: `*`, `?` and `\` are escaped.
fn literal(value: &str) -> String {
    let mut literal = String::with_capacity(value.len());
    for char in value.chars() {
        if matches!(char, '*' | '?' | '\\') {
            literal.push('\\');
        }
        literal.push(char);
    }
    literal
}

/// Adds the instances of a reservation, each in a reservation of its own, since the clusters of
/// a batch may share one.
fn push_instances(items: &mut Items, reservation: types::Reservation) -> Result<(), Failure> {
    let instances = reservation.instances.ok_or_else(|| Failure::no_list("instances"))?;
    for instance in instances {
        let reservation = Reservation { instances: vec![Instance::from_sdk(instance)?] };
        items.push(reservation, |reservation| {
            Scope::Instances(reservation.instances.into_iter().map(Into::into).collect())
        })?;
    }
    Ok(())
}

from_sdk! {
    NetworkInterface => NetworkInterface {
        network_interface_id, description, interface_type, status, vpc_id, subnet_id, availability_zone,
        owner_id, requester_id, requester_managed, operator, attachment, association, private_ip_address,
        private_ip_addresses, ipv6_addresses, ipv4_prefixes, ipv6_prefixes, groups, tag_set,
    }
    NetworkInterfaceAttachment => NetworkInterfaceAttachment {
        attachment_id, device_index, instance_id, instance_owner_id, status,
    }
    NetworkInterfaceAssociation => NetworkInterfaceAssociation { public_ip }
    NetworkInterfacePrivateIpAddress => PrivateIpAddress { primary, private_ip_address }
    NetworkInterfaceIpv6Address => Ipv6Address { ipv6_address }
    Ipv4PrefixSpecification => Ipv4Prefix { ipv4_prefix }
    Ipv6PrefixSpecification => Ipv6Prefix { ipv6_prefix }
    GroupIdentifier => GroupIdentifier { group_id, group_name }
    Tag => Tag { key, value }
    OperatorResponse => Operator { managed, principal }

    Instance => Instance {
        instance_id, state, platform_details, image_id, private_dns_name, public_dns_name, vpc_id, subnet_id,
        private_ip_address, public_ip_address, network_interfaces, operator, tags,
    }
    InstanceState => InstanceState { name }
    InstanceNetworkInterface => InstanceNetworkInterface {
        network_interface_id, private_ip_addresses, ipv6_addresses,
    }
    InstancePrivateIpAddress => PrivateIpAddress { primary, private_ip_address }
    InstanceIpv6Address => Ipv6Address { ipv6_address }

    Vpc => Vpc {
        vpc_id, owner_id, cidr_block, dhcp_options_id, cidr_block_association_set,
        ipv6_cidr_block_association_set, block_public_access_states, ..Vpc::default()
    }
    AttributeBooleanValue => AttributeBooleanValue { value }
    VpcCidrBlockAssociation => CidrBlockAssociation { cidr_block, cidr_block_state }
    VpcIpv6CidrBlockAssociation => Ipv6CidrBlockAssociation { ipv6_cidr_block, ipv6_cidr_block_state }
    VpcCidrBlockState => CidrBlockState { state }

    Subnet => Subnet {
        subnet_id, vpc_id, availability_zone, available_ip_address_count, cidr_block,
        ipv6_cidr_block_association_set, block_public_access_states,
    }
    BlockPublicAccessStates => BlockPublicAccessStates { internet_gateway_block_mode }
    SubnetIpv6CidrBlockAssociation => Ipv6CidrBlockAssociation { ipv6_cidr_block, ipv6_cidr_block_state }
    SubnetCidrBlockState => CidrBlockState { state }

    DhcpOptions => DhcpOptions { dhcp_options_id, dhcp_configurations }
    DhcpConfiguration => DhcpConfiguration { key, values }
    AttributeValue => AttributeValue { value }

    NatGateway => NatGateway {
        nat_gateway_id, state, connectivity_type, availability_mode, auto_scaling_ips,
        auto_provision_zones, vpc_id, subnet_id, nat_gateway_addresses,
    }
    NatGatewayAddress => NatGatewayAddress { allocation_id, private_ip, public_ip, status }

    RouteTable => RouteTable { route_table_id, vpc_id, associations, routes }
    RouteTableAssociation => RouteTableAssociation { main, subnet_id, gateway_id }
    Route => Route {
        destination_cidr_block, destination_ipv6_cidr_block, destination_prefix_list_id, state, gateway_id,
        nat_gateway_id, egress_only_internet_gateway_id, transit_gateway_id, vpc_peering_connection_id,
        network_interface_id, local_gateway_id, carrier_gateway_id, core_network_arn,
    }

    SecurityGroup => SecurityGroup {
        group_id, group_name, vpc_id, owner_id, ip_permissions, ip_permissions_egress,
    }
    IpPermission => IpPermission {
        ip_protocol, from_port, to_port, ip_ranges, ipv6_ranges, prefix_list_ids, user_id_group_pairs,
    }
    IpRange => IpRange { cidr_ip }
    Ipv6Range => Ipv6Range { cidr_ipv6 }
    NetworkAcl => NetworkAcl { network_acl_id, vpc_id, is_default, associations, entries }
    NetworkAclAssociation => NetworkAclAssociation { subnet_id }
    NetworkAclEntry => NetworkAclEntry {
        rule_number, egress, rule_action, protocol, port_range, cidr_block, ipv6_cidr_block,
    }
    PortRange => PortRange { from, to }
    PrefixListId => PrefixListId { prefix_list_id }
    UserIdGroupPair => UserIdGroupPair { group_id, user_id }
}

from_enumeration! {
    AttachmentStatus, AutoProvisionZonesState, AutoScalingIpsState, AvailabilityMode, BlockPublicAccessMode,
    ConnectivityType, InstanceStateName, NatGatewayState, NetworkInterfaceStatus,
    NatGatewayAddressStatus, NetworkInterfaceType, RouteState, RuleAction, SubnetCidrBlockStateCode, VpcCidrBlockStateCode,
}
