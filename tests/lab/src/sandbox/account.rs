//! The AWS account of the lab, in the JSON that the aws CLI prints.

use std::net::Ipv4Addr;

use serde_json::{Value, json};

use super::{CLUSTER, ENDPOINT_HOST, ENIS, Node, REGION};
use crate::aws::Account;
use crate::tls::CERTIFICATE_AUTHORITY;

const OWNER: &str = "111122223333";
/// The AWS-owned account that the control plane runs in.
const EKS_ACCOUNT: &str = "444455556666";
const VPC: &str = "vpc-0acc8989bae6e7464";
const CLUSTER_SECURITY_GROUP: &str = "sg-09e2b2c3072d2a81f";
const DHCP_OPTIONS: &str = "dopt-06d5953a13aea6f61";
const CREATED: &str = "2025-06-02T01:14:27+00:00";
/// The subnets: ID, availability zone letter and third octet. One for each EKS-owned ENI, then the nodes'.
const SUBNETS: [(&str, char, u8); 3] = [
    ("subnet-09097038cc371c5b3", 'a', 1),
    ("subnet-0b97095a6369e66ea", 'b', 2),
    ("subnet-0e4ce91b531a7505a", 'a', 10),
];

pub(super) fn account(nodes: &[Node]) -> Account {
    let eks_enis = ENIS.into_iter().zip(SUBNETS).map(|(address, subnet)| eks_owned(address, subnet));
    Account {
        id: OWNER.to_owned(),
        clusters: [(CLUSTER.to_owned(), cluster())].into(),
        network_interfaces: eks_enis.chain(nodes.iter().map(listed_primary)).collect(),
        reservations: nodes.iter().map(reservation).collect(),
        vpcs: vec![json!({
            "VpcId": VPC, "OwnerId": OWNER, "State": "available", "CidrBlock": "192.168.0.0/16",
            "CidrBlockAssociationSet": [{
                "AssociationId": "vpc-cidr-assoc-0a32eeadf272ddfb7", "CidrBlock": "192.168.0.0/16",
                "CidrBlockState": { "State": "associated" },
            }],
            "DhcpOptionsId": DHCP_OPTIONS, "InstanceTenancy": "default", "IsDefault": false, "Tags": [],
            "BlockPublicAccessStates": { "InternetGatewayBlockMode": "off" },
        })],
        subnets: SUBNETS.map(subnet).to_vec(),
        dhcp_options: vec![json!({
            "DhcpOptionsId": DHCP_OPTIONS, "OwnerId": OWNER, "Tags": [],
            "DhcpConfigurations": [
                { "Key": "domain-name", "Values": [{ "Value": format!("{REGION}.compute.internal") }] },
                { "Key": "domain-name-servers", "Values": [{ "Value": "AmazonProvidedDNS" }] },
            ],
        })],
        route_tables: vec![route_table()],
        security_groups: vec![security_group()],
        network_acls: vec![network_acl()],
        ..Account::default()
    }
}

fn cluster() -> Value {
    json!({
        "name": CLUSTER,
        "arn": format!("arn:aws:eks:{REGION}:{OWNER}:cluster/{CLUSTER}"),
        "createdAt": CREATED,
        "version": "1.33",
        "endpoint": format!("https://{ENDPOINT_HOST}"),
        "roleArn": format!("arn:aws:iam::{OWNER}:role/{CLUSTER}-cluster"),
        "resourcesVpcConfig": {
            "subnetIds": [SUBNETS[0].0, SUBNETS[1].0],
            "securityGroupIds": [],
            "clusterSecurityGroupId": CLUSTER_SECURITY_GROUP,
            "vpcId": VPC,
            "endpointPublicAccess": true,
            "endpointPrivateAccess": false,
            "publicAccessCidrs": ["0.0.0.0/0"],
        },
        "kubernetesNetworkConfig": { "serviceIpv4Cidr": "10.100.0.0/16", "ipFamily": "ipv4" },
        "status": "ACTIVE",
        "certificateAuthority": { "data": CERTIFICATE_AUTHORITY },
        "platformVersion": "eks.9",
        "tags": {},
    })
}

/// The `Groups` of an interface or an instance.
fn groups() -> Value {
    json!([{ "GroupId": CLUSTER_SECURITY_GROUP, "GroupName": format!("eks-cluster-sg-{CLUSTER}-1608160459") }])
}

/// The private DNS name that EC2 gives an address.
pub(super) fn private_dns_name(address: Ipv4Addr) -> String {
    format!("ip-{}.{REGION}.compute.internal", address.to_string().replace('.', "-"))
}

/// A resource ID derived from an address, and so the same in every run.
pub(super) fn resource_id(prefix: &str, address: Ipv4Addr) -> String {
    format!("{prefix}-0b0dec27d{:08x}", address.to_bits())
}

/// A network interface, as in `DescribeInstances`.
fn interface(address: Ipv4Addr, subnet: &str) -> Value {
    let [_, _, third, fourth] = address.octets();
    json!({
        "NetworkInterfaceId": resource_id("eni", address),
        "Groups": groups(),
        "InterfaceType": "interface",
        "Ipv6Addresses": [],
        "MacAddress": format!("0a:86:76:e1:{third:02x}:{fourth:02x}"),
        "OwnerId": OWNER,
        "PrivateDnsName": private_dns_name(address),
        "PrivateIpAddress": address.to_string(),
        "PrivateIpAddresses": [
            { "Primary": true, "PrivateDnsName": private_dns_name(address), "PrivateIpAddress": address.to_string() },
        ],
        "SourceDestCheck": true,
        "Status": "in-use",
        "SubnetId": subnet,
        "VpcId": VPC,
        "Operator": { "Managed": false },
    })
}

/// Adds the members that only `DescribeNetworkInterfaces` has.
fn listed(mut interface: Value, zone: char) -> Value {
    interface["AvailabilityZone"] = format!("{REGION}{zone}").into();
    interface["RequesterManaged"] = false.into();
    interface["TagSet"] = json!([]);
    interface
}

/// An EKS-owned ENI: owned by the customer's account, requested by EKS, attached to an instance of
/// another account.
fn eks_owned(address: Ipv4Addr, (subnet, zone, _): (&str, char, u8)) -> Value {
    let mut eni = listed(interface(address, subnet), zone);
    eni["Description"] = format!("Amazon EKS {CLUSTER}").into();
    eni["RequesterId"] = "AROAEXAMPLEEKS7EKS001:AmazonEKS".into();
    eni["Attachment"] = json!({
        "AttachTime": CREATED, "AttachmentId": resource_id("eni-attach", address), "DeleteOnTermination": true,
        "DeviceIndex": 1, "NetworkCardIndex": 0, "InstanceOwnerId": EKS_ACCOUNT, "Status": "attached",
    });
    eni
}

fn association(node: &Node) -> Value {
    json!({ "IpOwnerId": "amazon", "PublicDnsName": "", "PublicIp": node.public_address().to_string() })
}

/// The primary interface of a node, as in `DescribeInstances`.
fn primary(node: &Node) -> Value {
    let mut eni = interface(node.address(), SUBNETS[2].0);
    eni["Description"] = "".into();
    eni["Association"] = association(node);
    eni["PrivateIpAddresses"][0]["Association"] = association(node);
    eni["Attachment"] = json!({
        "AttachTime": CREATED, "AttachmentId": resource_id("eni-attach", node.address()), "DeleteOnTermination": true,
        "DeviceIndex": 0, "NetworkCardIndex": 0, "Status": "attached",
    });
    eni
}

/// The primary interface of a node, as `DescribeNetworkInterfaces` lists it.
fn listed_primary(node: &Node) -> Value {
    let mut eni = listed(primary(node), SUBNETS[2].1);
    eni["Attachment"]["InstanceId"] = resource_id("i", node.address()).into();
    eni["Attachment"]["InstanceOwnerId"] = OWNER.into();
    eni
}

fn reservation(node: &Node) -> Value {
    let (subnet, zone, _) = SUBNETS[2];
    let tag = |key: &str, value: &str| json!({ "Key": key, "Value": value });
    json!({
        "ReservationId": resource_id("r", node.address()),
        "OwnerId": OWNER,
        "Groups": [],
        "Instances": [{
            "InstanceId": resource_id("i", node.address()),
            "ImageId": "ami-081bed78d3594e794",
            "InstanceType": "t3.medium",
            "LaunchTime": CREATED,
            "NetworkInterfaces": [primary(node)],
            "Placement": { "AvailabilityZone": format!("{REGION}{zone}"), "GroupName": "", "Tenancy": "default" },
            "PrivateDnsName": private_dns_name(node.address()),
            "PrivateIpAddress": node.address().to_string(),
            "PublicDnsName": "",
            "PublicIpAddress": node.public_address().to_string(),
            "SecurityGroups": groups(),
            "State": { "Code": 16, "Name": "running" },
            "SubnetId": subnet,
            "Tags": [
                tag("eks:cluster-name", CLUSTER),
                tag("eks:nodegroup-name", "ng1"),
                tag(&format!("kubernetes.io/cluster/{CLUSTER}"), "owned"),
                tag("Name", node.name()),
            ],
            "VpcId": VPC,
        }],
    })
}

fn subnet((id, zone, third): (&str, char, u8)) -> Value {
    json!({
        "SubnetId": id, "VpcId": VPC, "OwnerId": OWNER, "State": "available",
        "SubnetArn": format!("arn:aws:ec2:{REGION}:{OWNER}:subnet/{id}"),
        "AvailabilityZone": format!("{REGION}{zone}"),
        "CidrBlock": format!("192.168.{third}.0/24"), "AvailableIpAddressCount": 235,
        "AssignIpv6AddressOnCreation": false, "DefaultForAz": false, "Ipv6CidrBlockAssociationSet": [],
        "MapPublicIpOnLaunch": true, "Tags": [],
        "BlockPublicAccessStates": { "InternetGatewayBlockMode": "off" },
    })
}

/// The VPC's main route table, with a route to an internet gateway.
fn route_table() -> Value {
    let table = "rtb-0415349fab32d4225";
    let route = |to: &str, gateway: &str, origin: &str| json!({ "DestinationCidrBlock": to, "GatewayId": gateway, "Origin": origin, "State": "active" });
    json!({
        "RouteTableId": table, "VpcId": VPC, "OwnerId": OWNER, "PropagatingVgws": [], "Tags": [],
        "Associations": [{
            "Main": true, "RouteTableAssociationId": "rtbassoc-05e9bb3f3c35b2586", "RouteTableId": table,
            "AssociationState": { "State": "associated" },
        }],
        "Routes": [
            route("192.168.0.0/16", "local", "CreateRouteTable"),
            route("0.0.0.0/0", "igw-0d3c1f2a4b5968770", "CreateRoute"),
        ],
    })
}

/// The VPC's default network ACL, which admits all.
fn network_acl() -> Value {
    let acl = "acl-0f2d9c3b7a1e64508";
    let entry = |number: u16, action: &str, is_outbound: bool| json!({ "CidrBlock": "0.0.0.0/0", "Egress": is_outbound, "Protocol": "-1", "RuleAction": action, "RuleNumber": number });
    let association = |(subnet, ..): (&str, char, u8)| json!({ "NetworkAclAssociationId": subnet.replace("subnet", "aclassoc"), "NetworkAclId": acl, "SubnetId": subnet });
    json!({
        "NetworkAclId": acl, "VpcId": VPC, "OwnerId": OWNER, "IsDefault": true, "Tags": [],
        "Associations": SUBNETS.map(association),
        "Entries": [entry(100, "allow", true), entry(32767, "deny", true), entry(100, "allow", false), entry(32767, "deny", false)],
    })
}

/// The cluster security group: inbound from itself, outbound to anywhere.
fn security_group() -> Value {
    let own = json!([{ "UserId": OWNER, "GroupId": CLUSTER_SECURITY_GROUP }]);
    json!({
        "GroupId": CLUSTER_SECURITY_GROUP, "GroupName": format!("eks-cluster-sg-{CLUSTER}-1608160459"),
        "VpcId": VPC, "OwnerId": OWNER, "Tags": [],
        "Description": "EKS created security group applied to ENI that is attached to EKS Control Plane master nodes",
        "IpPermissions": [
            { "IpProtocol": "-1", "UserIdGroupPairs": own, "IpRanges": [], "Ipv6Ranges": [], "PrefixListIds": [] },
        ],
        "IpPermissionsEgress": [{
            "IpProtocol": "-1", "UserIdGroupPairs": [], "IpRanges": [{ "CidrIp": "0.0.0.0/0" }],
            "Ipv6Ranges": [], "PrefixListIds": [],
        }],
    })
}
