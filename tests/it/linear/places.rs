//! What `simulate` and `reach` judge.

use std::fs;
use std::path::Path;

use eks_netcheck::report::{REACH_FORMATS, SIMULATION_FORMATS};
use serde_json::{Value, json};

use super::{
    ARGS, Kind, Run, address, assert_linear, edit_list, findings, group_rules, public_blocks, repeat, route,
    rows, write,
};

fn simulation() -> Run {
    Run {
        args: &["simulate", "--cluster", "myeks", "--evidence", ".", "--access", "private"],
        formats: SIMULATION_FORMATS.iter().map(|format| format.name).collect(),
    }
}

fn reach() -> Run {
    Run {
        args: &["reach", "--evidence", ".", "--from", "192.168.1.99"],
        formats: REACH_FORMATS.iter().map(|format| format.name).collect(),
    }
}

/// Nodes without sockets, which are known by their names alone.
fn silent_nodes(dir: &Path, items: usize) {
    for number in 0..items {
        write(dir, &format!("nodes/node-{number}.txt"), &rows(0, |_| String::new()));
    }
}

/// The nodes that Kubernetes lists.
fn listed_nodes(dir: &Path, items: usize, compute_type: Option<&str>) {
    let node = |number: usize| {
        json!({"metadata": {"name": format!("node-{number}"), "labels": {"eks.amazonaws.com/compute-type": compute_type.unwrap_or("ec2")}},
               "spec": {}, "status": {"addresses": [{"type": "InternalIP", "address": address(number)}]}})
    };
    let nodes: Vec<_> = (0..items).map(node).collect();
    write(dir, "kubernetes/nodes.json", &json!({"kind": "List", "items": nodes}).to_string());
}

/// Instances that are called `node-NUMBER`.
fn instances(dir: &Path, items: usize) {
    repeat(dir, "instances.json", "/Reservations", items, |reservation, number| {
        let instance = &mut reservation["Instances"][0];
        instance["InstanceId"] = format!("i-{number:08}").into();
        instance["PrivateIpAddress"] = address(number).into();
        instance["PrivateDnsName"] = format!("node-{number}.internal").into();
        instance["NetworkInterfaces"] = json!([]);
    });
}

/// What `simulate` and `reach` judge.
const PLACES: [Kind; 11] = [
    ("nodes", 100, findings),
    ("nodes of Kubernetes", 400, |dir, items| listed_nodes(dir, items, None)),
    // The sizes are such that a comparison of all pairs takes longer than all else.
    ("nodes that are read and that Kubernetes lists", 1_500, |dir, items| {
        silent_nodes(dir, items);
        listed_nodes(dir, items, None);
    }),
    ("nodes that are read and that EC2 lists", 1_000, |dir, items| {
        silent_nodes(dir, items);
        instances(dir, items);
    }),
    ("Fargate nodes with their interfaces", 700, |dir, items| {
        listed_nodes(dir, items, Some("fargate"));
        repeat(dir, "network-interfaces.json", "/NetworkInterfaces", items, |eni, number| {
            eni["NetworkInterfaceId"] = format!("eni-{number}").into();
            eni["Description"] = "eks-fargate".into();
            eni["PrivateIpAddresses"] = json!([{"Primary": true, "PrivateIpAddress": address(number)}]);
        });
    }),
    ("security groups", 500, |dir, items| {
        repeat(dir, "security-groups.json", "/SecurityGroups", items, |group, number| {
            group["GroupId"] = format!("sg-{number}").into();
        });
        repeat(dir, "network-interfaces.json", "/NetworkInterfaces/0/Groups", items, |group, number| {
            group["GroupId"] = format!("sg-{number}").into();
        });
    }),
    ("rules of a security group", 1_000, group_rules),
    ("routes", 1_000, |dir, items| {
        edit_list(dir, "route-tables.json", "/RouteTables", |tables| {
            for table in tables {
                table["Routes"].as_array_mut().unwrap().extend((0..items).map(route));
            }
        });
    }),
    ("entries of a network ACL", 2_000, |dir, items| {
        let entry = |number: usize| {
            json!({"CidrBlock": format!("{}/32", address(number)), "Egress": number.is_multiple_of(2), "Protocol": "6",
                   "PortRange": {"From": 443, "To": 443}, "RuleAction": "deny", "RuleNumber": number + 1})
        };
        let entries: Vec<_> = (0..items).map(entry).collect();
        let subnets: Value = serde_json::from_slice(&fs::read(dir.join("subnets.json")).unwrap()).unwrap();
        let subnets = subnets["Subnets"].as_array().unwrap().iter();
        let associations: Vec<_> = subnets.map(|subnet| json!({"SubnetId": subnet["SubnetId"]})).collect();
        let acl = json!({"NetworkAclId": "acl-1", "Associations": associations, "Entries": entries});
        write(dir, "network-acls.json", &json!({"NetworkAcls": [acl]}).to_string());
    }),
    ("CIDR blocks", 1_000, public_blocks),
    ("EKS-owned ENIs", 200, |dir, items| {
        repeat(dir, "network-interfaces.json", "/NetworkInterfaces", items, |eni, number| {
            eni["NetworkInterfaceId"] = format!("eni-{number}").into();
            eni["PrivateIpAddresses"] = json!([{"Primary": true, "PrivateIpAddress": address(number)}]);
        });
    }),
];

/// Clients that the user names.
const CLIENTS: [Kind; 2] = [
    ("clients", 200, |dir, items| {
        let client = |number: usize| format!("--client\nc{number}={}/32\n", address(number));
        write(dir, ARGS, &(0..items).map(client).collect::<String>());
    }),
    ("blocks of a client", 200, |dir, items| {
        let blocks: Vec<_> = (0..items).map(|number| format!("{}/32", address(number))).collect();
        write(dir, ARGS, &format!("--client\nc={}\n", blocks.join(",")));
    }),
];

#[test]
fn time_of_simulate_is_linear() {
    assert_linear(&simulation(), &PLACES);
    assert_linear(&simulation(), &CLIENTS);
}

#[test]
fn time_of_reach_is_linear() {
    assert_linear(&reach(), &PLACES);
}
