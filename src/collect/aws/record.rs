//! What the SDK gives, written as the aws CLI prints it: the fields that are
//! judged or shown, and those that people look for beside them.

use aws_sdk_ec2::types;
use serde_json::{Map, Value, json};

/// A list under its name, without what is absent.
pub(in crate::collect::aws) fn list<T>(name: &str, items: &[T], item: impl Fn(&T) -> Value) -> Value {
    let mut object = Map::new();
    let items = items.iter().map(|each| {
        let mut value = item(each);
        prune(&mut value);
        value
    });
    object.insert(name.to_owned(), items.collect());
    Value::Object(object)
}

/// Takes nulls out: the aws CLI leaves out what is absent.
fn prune(value: &mut Value) {
    match value {
        Value::Object(object) => {
            object.retain(|_, value| !value.is_null());
            object.values_mut().for_each(prune);
        }
        Value::Array(items) => items.iter_mut().for_each(prune),
        _ => {}
    }
}

fn all<T>(items: &[T], item: impl Fn(&T) -> Value) -> Value {
    items.iter().map(item).collect()
}

fn groups(groups: &[types::GroupIdentifier]) -> Value {
    all(groups, |group| json!({ "GroupId": group.group_id(), "GroupName": group.group_name() }))
}

fn tags(tags: &[types::Tag]) -> Value {
    all(tags, |tag| json!({ "Key": tag.key(), "Value": tag.value() }))
}

fn operator(operator: Option<&types::OperatorResponse>) -> Value {
    operator.map_or(
        Value::Null,
        |operator| json!({ "Managed": operator.managed(), "Principal": operator.principal() }),
    )
}

pub(in crate::collect::aws) fn interface(eni: &types::NetworkInterface) -> Value {
    let attachment = eni.attachment().map(|attachment| {
        json!({
            "AttachmentId": attachment.attachment_id(),
            "DeviceIndex": attachment.device_index(),
            "InstanceId": attachment.instance_id(),
            "InstanceOwnerId": attachment.instance_owner_id(),
            "Status": attachment.status().map(types::AttachmentStatus::as_str),
        })
    });
    json!({
        "NetworkInterfaceId": eni.network_interface_id(),
        "Description": eni.description(),
        "InterfaceType": eni.interface_type().map(types::NetworkInterfaceType::as_str),
        "Status": eni.status().map(types::NetworkInterfaceStatus::as_str),
        "VpcId": eni.vpc_id(),
        "SubnetId": eni.subnet_id(),
        "AvailabilityZone": eni.availability_zone(),
        "OwnerId": eni.owner_id(),
        "RequesterId": eni.requester_id(),
        "RequesterManaged": eni.requester_managed(),
        "Operator": operator(eni.operator()),
        "Attachment": attachment,
        "PrivateIpAddress": eni.private_ip_address(),
        "PrivateIpAddresses": all(eni.private_ip_addresses(), |ip| json!({
            "Primary": ip.primary(),
            "PrivateIpAddress": ip.private_ip_address(),
        })),
        "Ipv6Addresses": all(eni.ipv6_addresses(), |ip| json!({ "Ipv6Address": ip.ipv6_address() })),
        "Ipv4Prefixes": all(eni.ipv4_prefixes(), |prefix| json!({ "Ipv4Prefix": prefix.ipv4_prefix() })),
        "Ipv6Prefixes": all(eni.ipv6_prefixes(), |prefix| json!({ "Ipv6Prefix": prefix.ipv6_prefix() })),
        "Groups": groups(eni.groups()),
        "TagSet": tags(eni.tag_set()),
    })
}

/// Instances, each in a reservation of its own: nothing asks for reservations.
pub(in crate::collect::aws) fn reservation(instance: &types::Instance) -> Value {
    let interfaces = all(instance.network_interfaces(), |eni| {
        json!({
            "NetworkInterfaceId": eni.network_interface_id(),
            "PrivateIpAddresses": all(eni.private_ip_addresses(), |ip| json!({
                "Primary": ip.primary(),
                "PrivateIpAddress": ip.private_ip_address(),
            })),
            "Ipv6Addresses": all(eni.ipv6_addresses(), |ip| json!({ "Ipv6Address": ip.ipv6_address() })),
        })
    });
    let state = instance.state().and_then(|state| state.name());
    let instance = json!({
        "InstanceId": instance.instance_id(),
        "State": state.map(|name| json!({ "Name": name.as_str() })),
        "PlatformDetails": instance.platform_details(),
        "ImageId": instance.image_id(),
        "PrivateDnsName": instance.private_dns_name(),
        "PublicDnsName": instance.public_dns_name(),
        "VpcId": instance.vpc_id(),
        "SubnetId": instance.subnet_id(),
        "PrivateIpAddress": instance.private_ip_address(),
        "PublicIpAddress": instance.public_ip_address(),
        "NetworkInterfaces": interfaces,
        "Operator": operator(instance.operator()),
        "Tags": tags(instance.tags()),
    });
    json!({ "Instances": [instance] })
}

pub(in crate::collect::aws) fn vpc(vpc: &types::Vpc) -> Value {
    json!({
        "VpcId": vpc.vpc_id(),
        "OwnerId": vpc.owner_id(),
        "CidrBlock": vpc.cidr_block(),
        "DhcpOptionsId": vpc.dhcp_options_id(),
        "CidrBlockAssociationSet": all(vpc.cidr_block_association_set(), |block| json!({
            "CidrBlock": block.cidr_block(),
            "CidrBlockState": block_state(block.cidr_block_state()),
        })),
        "Ipv6CidrBlockAssociationSet": all(vpc.ipv6_cidr_block_association_set(), |block| json!({
            "Ipv6CidrBlock": block.ipv6_cidr_block(),
            "Ipv6CidrBlockState": block_state(block.ipv6_cidr_block_state()),
        })),
    })
}

fn block_state(state: Option<&types::VpcCidrBlockState>) -> Value {
    let state = state.and_then(|state| state.state());
    state.map_or(Value::Null, |state| json!({ "State": state.as_str() }))
}

pub(in crate::collect::aws) fn subnet(subnet: &types::Subnet) -> Value {
    json!({
        "SubnetId": subnet.subnet_id(),
        "VpcId": subnet.vpc_id(),
        "AvailabilityZone": subnet.availability_zone(),
        "AvailableIpAddressCount": subnet.available_ip_address_count(),
        "CidrBlock": subnet.cidr_block(),
        "Ipv6CidrBlockAssociationSet": all(subnet.ipv6_cidr_block_association_set(), |block| json!({
            "Ipv6CidrBlock": block.ipv6_cidr_block(),
            "Ipv6CidrBlockState": block.ipv6_cidr_block_state().and_then(|state| state.state())
                .map(|state| json!({ "State": state.as_str() })),
        })),
    })
}

pub(in crate::collect::aws) fn dhcp_options(options: &types::DhcpOptions) -> Value {
    json!({
        "DhcpOptionsId": options.dhcp_options_id(),
        "DhcpConfigurations": all(options.dhcp_configurations(), |option| json!({
            "Key": option.key(),
            "Values": all(option.values(), |value| json!({ "Value": value.value() })),
        })),
    })
}

pub(in crate::collect::aws) fn nat_gateway(gateway: &types::NatGateway) -> Value {
    json!({
        "NatGatewayId": gateway.nat_gateway_id(),
        "State": gateway.state().map(types::NatGatewayState::as_str),
        "ConnectivityType": gateway.connectivity_type().map(types::ConnectivityType::as_str),
        "VpcId": gateway.vpc_id(),
        "SubnetId": gateway.subnet_id(),
        "NatGatewayAddresses": all(gateway.nat_gateway_addresses(), |address| json!({
            "AllocationId": address.allocation_id(),
            "PrivateIp": address.private_ip(),
            "PublicIp": address.public_ip(),
        })),
    })
}

pub(in crate::collect::aws) fn route_table(table: &types::RouteTable) -> Value {
    json!({
        "RouteTableId": table.route_table_id(),
        "VpcId": table.vpc_id(),
        "Associations": all(table.associations(), |association| json!({
            "Main": association.main(),
            "SubnetId": association.subnet_id(),
            "GatewayId": association.gateway_id(),
        })),
        "Routes": all(table.routes(), |route| json!({
            "DestinationCidrBlock": route.destination_cidr_block(),
            "DestinationIpv6CidrBlock": route.destination_ipv6_cidr_block(),
            "DestinationPrefixListId": route.destination_prefix_list_id(),
            "State": route.state().map(types::RouteState::as_str),
            "GatewayId": route.gateway_id(),
            "NatGatewayId": route.nat_gateway_id(),
            "EgressOnlyInternetGatewayId": route.egress_only_internet_gateway_id(),
            "TransitGatewayId": route.transit_gateway_id(),
            "VpcPeeringConnectionId": route.vpc_peering_connection_id(),
            "NetworkInterfaceId": route.network_interface_id(),
            "LocalGatewayId": route.local_gateway_id(),
            "CarrierGatewayId": route.carrier_gateway_id(),
            "CoreNetworkArn": route.core_network_arn(),
        })),
    })
}

pub(in crate::collect::aws) fn security_group(group: &types::SecurityGroup) -> Value {
    json!({
        "GroupId": group.group_id(),
        "GroupName": group.group_name(),
        "VpcId": group.vpc_id(),
        "IpPermissions": all(group.ip_permissions(), |rule| json!({
            "IpProtocol": rule.ip_protocol(),
            "FromPort": rule.from_port(),
            "ToPort": rule.to_port(),
            "IpRanges": all(rule.ip_ranges(), |range| json!({ "CidrIp": range.cidr_ip() })),
            "Ipv6Ranges": all(rule.ipv6_ranges(), |range| json!({ "CidrIpv6": range.cidr_ipv6() })),
            "PrefixListIds": all(rule.prefix_list_ids(), |list| json!({ "PrefixListId": list.prefix_list_id() })),
            "UserIdGroupPairs": all(rule.user_id_group_pairs(), |pair| json!({
                "GroupId": pair.group_id(),
                "UserId": pair.user_id(),
            })),
        })),
    })
}
