//! Lists of the AWS and Kubernetes answers.

use serde_json::json;

use super::{Kind, address, assert_linear, audit, edit_list, group_rules, public_blocks, repeat, route};
use crate::common::edit_json;

/// Lists of the AWS and Kubernetes answers.
const LISTS: [Kind; 13] = [
    ("CIDR blocks", 2_000, public_blocks),
    ("remote networks", 2_000, |dir, items| {
        edit_json(dir, "cluster.json", |json| {
            let blocks: Vec<_> = (0..items).map(|number| format!("{}/32", address(number))).collect();
            json["cluster"]["remoteNetworkConfig"] = json!({"remoteNodeNetworks": [{"cidrs": blocks}]});
        });
    }),
    ("blocks of the VPC", 2_000, |dir, items| {
        repeat(dir, "vpc.json", "/Vpcs/0/CidrBlockAssociationSet", items, |block, number| {
            block["CidrBlock"] = format!("{}/32", address(number)).into();
        });
    }),
    ("EKS-owned ENIs", 200, |dir, items| {
        repeat(dir, "network-interfaces.json", "/NetworkInterfaces", items, |eni, number| {
            eni["NetworkInterfaceId"] = format!("eni-{number}").into();
            eni["PrivateIpAddresses"] = json!([{"Primary": true, "PrivateIpAddress": address(number)}]);
            eni["AvailabilityZone"] = format!("zone {number}").into();
        });
    }),
    ("other ENIs", 300, |dir, items| {
        repeat(dir, "network-interfaces.json", "/NetworkInterfaces", items, |eni, number| {
            eni["NetworkInterfaceId"] = format!("eni-{number}").into();
            eni["PrivateIpAddresses"] = json!([{"Primary": true, "PrivateIpAddress": address(number)}]);
            eni["Description"] = format!("Amazon EKS other-{number}").into();
        });
    }),
    ("addresses of an ENI", 2_000, |dir, items| {
        repeat(
            dir,
            "network-interfaces.json",
            "/NetworkInterfaces/0/PrivateIpAddresses",
            items,
            |one, number| {
                one["Primary"] = false.into();
                one["PrivateIpAddress"] = address(number).into();
            },
        );
    }),
    ("groups of an ENI", 2_000, |dir, items| {
        repeat(dir, "network-interfaces.json", "/NetworkInterfaces/0/Groups", items, |group, number| {
            group["GroupId"] = format!("sg-{number}").into();
        });
    }),
    ("instances", 200, |dir, items| {
        repeat(dir, "instances.json", "/Reservations", items, |reservation, number| {
            let instance = &mut reservation["Instances"][0];
            instance["InstanceId"] = format!("i-{number:08}").into();
            instance["PrivateIpAddress"] = address(number).into();
            instance["NetworkInterfaces"] = json!([]);
        });
    }),
    ("security groups", 200, |dir, items| {
        repeat(dir, "security-groups.json", "/SecurityGroups", items, |group, number| {
            group["GroupId"] = format!("sg-{number}").into();
        });
    }),
    ("rules of a security group", 1_000, group_rules),
    ("subnets", 300, |dir, items| {
        repeat(dir, "subnets.json", "/Subnets", items, |subnet, number| {
            subnet["SubnetId"] = format!("subnet-{number}").into();
        });
    }),
    ("routes", 1_000, |dir, items| {
        edit_list(dir, "route-tables.json", "/RouteTables", |tables| {
            for table in tables {
                table["Routes"] = (0..items / 4).map(route).collect();
            }
        });
    }),
    ("NAT gateways", 1_000, |dir, items| {
        repeat(dir, "nat-gateways.json", "/NatGateways", items, |gateway, number| {
            gateway["NatGatewayId"] = format!("nat-{number}").into();
            gateway["NatGatewayAddresses"] = json!([{"PublicIp": address(number)}]);
        });
    }),
];

#[test]
fn time_is_linear_in_the_length_of_lists() {
    assert_linear(&audit(), &LISTS);
}
