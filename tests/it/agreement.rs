//! The rules about the way of nodes to the public endpoint, and the answer of `reach` for the
//! same nodes, on the same evidence: what a rule finds is no yes, what is no has a finding,
//! and what is not known has a gap or a finding.

use std::fs;
use std::path::Path;

use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use serde_json::{Value, json};

use crate::common::{Netcheck, copy, edit_json, fixtures, scratch, story};

/// The rules.
const RULES: [&str; 2] = ["node-egress-not-allowed", "block-public-access-cuts-nodes"];

/// The nodes of `fixtures/access/public`, each with its subnet, NAT gateway and the subnet of
/// that.
const NODES: [[&str; 4]; 2] = [
    ["i-00c42b7ba9192b81d", "subnet-0321ef702036bf8e3", "nat-0af0109e6692984cf", "subnet-0120cf4e62c5d1e7a"],
    ["i-0eccdb167b2fe2536", "subnet-0cfa9d852f4e0245e", "nat-02ca5abb6a53f9d01", "subnet-0232094cf06304b62"],
];

/// Their addresses.
const ADDRESSES: [&str; 2] = ["192.168.1.20", "192.168.2.94"];

/// Public addresses of the nodes, for those that have one.
const PUBLIC: [&str; 2] = ["198.51.100.20", "198.51.100.94"];

/// Blocks: the NAT gateways, a second address of the first, the nodes' own, and an office.
/// Not every IPv4 address: then the list stops no one, and its rule judges nothing.
const BLOCKS: [&str; 6] = [
    "52.78.10.20/32",
    "13.125.30.40/32",
    "52.78.10.21/32",
    "198.51.100.20/32",
    "198.51.100.94/32",
    "203.0.113.0/24",
];

/// The modes of Block Public Access; the last one is not known to the program.
const MODES: [&str; 4] = ["off", "block-ingress", "block-bidirectional", "block-some"];

const FILES: [&str; 6] = [
    "route-tables.json",
    "nat-gateways.json",
    "subnets.json",
    "vpc.json",
    "network-interfaces.json",
    "instances.json",
];

/// The way of a node out of the VPC.
#[derive(Debug, Clone, Copy)]
enum Way {
    Nat,
    /// A NAT gateway with two addresses.
    TwoAddresses,
    FailedNat,
    PrivateNat,
    /// An internet gateway, with a public address.
    Direct,
    /// An internet gateway, without one.
    NoPublicAddress,
    TransitGateway,
    Blackhole,
    NoRoute,
    /// One address of the endpoint by an internet gateway and the other by the NAT gateway.
    Divided,
    /// One address of the endpoint by a transit gateway and the other by the NAT gateway.
    PartlyTransit,
    /// A prefix list that may have addresses of the endpoint, by a transit gateway.
    PrefixList,
}

const WAYS: [Way; 12] = [
    Way::Nat,
    Way::TwoAddresses,
    Way::FailedNat,
    Way::PrivateNat,
    Way::Direct,
    Way::NoPublicAddress,
    Way::TransitGateway,
    Way::Blackhole,
    Way::NoRoute,
    Way::Divided,
    Way::PartlyTransit,
    Way::PrefixList,
];

#[derive(Debug, Clone)]
struct Setup {
    ways: [Way; 2],
    blocks: Vec<&'static str>,
    /// Of the nodes' subnets, their NAT gateways' subnets and the VPC; `None`: not recorded.
    modes: [Option<&'static str>; 5],
    missing: Vec<&'static str>,
}

fn setups() -> impl Strategy<Value = Setup> {
    let mode =
        || prop_oneof![2 => Just(None), 3 => Just(Some("off")), 4 => select(MODES.to_vec()).prop_map(Some)];
    (
        [select(WAYS.to_vec()), select(WAYS.to_vec())],
        subsequence(BLOCKS.to_vec(), 1..5),
        [mode(), mode(), mode(), mode(), mode()],
        prop_oneof![3 => Just(Vec::new()), 1 => subsequence(FILES.to_vec(), 1..3)],
    )
        .prop_map(|(ways, blocks, modes, missing)| Setup { ways, blocks, modes, missing })
}

fn set_mode(object: &mut Value, mode: Option<&str>) {
    match mode {
        Some(mode) => object["BlockPublicAccessStates"] = json!({ "InternetGatewayBlockMode": mode }),
        None => drop(object.as_object_mut().unwrap().remove("BlockPublicAccessStates")),
    }
}

impl Setup {
    fn write(&self, dir: &Path) {
        copy(&fixtures().join("access/public"), dir);
        fs::remove_dir_all(dir.join("nodes")).unwrap();
        edit_json(dir, "cluster.json", |cluster| {
            cluster["cluster"]["resourcesVpcConfig"]["publicAccessCidrs"] = json!(self.blocks);
        });
        edit_json(dir, "vpc.json", |vpc| set_mode(&mut vpc["Vpcs"][0], self.modes[4]));
        edit_json(dir, "subnets.json", |subnets| {
            for subnet in subnets["Subnets"].as_array_mut().unwrap() {
                for (at, [_, own, _, of_nat]) in NODES.iter().enumerate() {
                    if subnet["SubnetId"] == *own {
                        set_mode(subnet, self.modes[at]);
                    } else if subnet["SubnetId"] == *of_nat {
                        set_mode(subnet, self.modes[2 + at]);
                    }
                }
            }
        });
        for at in 0..NODES.len() {
            self.write_way(dir, at);
        }
        for file in &self.missing {
            fs::remove_file(dir.join(file)).unwrap();
        }
    }

    fn write_way(&self, dir: &Path, at: usize) {
        let [instance, subnet, nat, _] = NODES[at];
        let way = self.ways[at];
        edit_json(dir, "route-tables.json", |tables| {
            let of_subnet = |table: &&mut Value| table["Associations"][0]["SubnetId"] == subnet;
            let table = tables["RouteTables"].as_array_mut().unwrap().iter_mut().find(of_subnet).unwrap();
            let routes = table["Routes"].as_array_mut().unwrap();
            let direct = |block: &str| json!({ "DestinationCidrBlock": block, "GatewayId": "igw-085e5b6de9cfdba6d", "State": "active" });
            let transit = |key: &str, to: &str| json!({ key: to, "TransitGatewayId": "tgw-0a1b2c3d4e5f60718", "State": "active" });
            match way {
                Way::Nat | Way::TwoAddresses | Way::FailedNat | Way::PrivateNat => {}
                Way::Direct | Way::NoPublicAddress => routes[1] = direct("0.0.0.0/0"),
                Way::TransitGateway => routes[1] = transit("DestinationCidrBlock", "0.0.0.0/0"),
                Way::Blackhole => routes[1]["State"] = json!("blackhole"),
                Way::NoRoute => drop(routes.remove(1)),
                Way::Divided => routes.push(direct("3.39.55.189/32")),
                Way::PartlyTransit => routes.push(transit("DestinationCidrBlock", "3.39.55.189/32")),
                Way::PrefixList => routes.push(transit("DestinationPrefixListId", "pl-0a1b2c3d4e5f60718")),
            }
        });
        edit_json(dir, "nat-gateways.json", |gateways| {
            let is_own = |gateway: &&mut Value| gateway["NatGatewayId"] == nat;
            let gateway = gateways["NatGateways"].as_array_mut().unwrap().iter_mut().find(is_own).unwrap();
            match way {
                Way::TwoAddresses => {
                    let mut second = gateway["NatGatewayAddresses"][0].clone();
                    second["PublicIp"] = json!("52.78.10.21");
                    second["IsPrimary"] = json!(false);
                    gateway["NatGatewayAddresses"].as_array_mut().unwrap().push(second);
                }
                Way::FailedNat => gateway["State"] = json!("failed"),
                Way::PrivateNat => {
                    gateway["ConnectivityType"] = json!("private");
                    gateway["NatGatewayAddresses"][0].as_object_mut().unwrap().remove("PublicIp");
                }
                _ => {}
            }
        });
        if matches!(way, Way::Direct | Way::Divided) {
            edit_json(dir, "instances.json", |instances| {
                let reservations = instances["Reservations"].as_array_mut().unwrap();
                let instances =
                    reservations.iter_mut().flat_map(|one| one["Instances"].as_array_mut().unwrap());
                for node in { instances }.filter(|node| node["InstanceId"] == instance) {
                    node["PublicIpAddress"] = json!(PUBLIC[at]);
                }
            });
        }
    }
}

/// A node of which no process has a connection, as `node-cut-off` finds it, does not reach the endpoint.
#[test]
fn a_node_that_is_cut_off_does_not_reach_the_endpoint() {
    let fires = fixtures().join("rules/node-cut-off/fires");
    for dir in [story("endpoint-black-holed"), fires] {
        let (report, _) = Netcheck::audit(&dir).json();
        let mut findings = report["findings"].as_array().unwrap().iter();
        assert!(findings.any(|one| one["rule"] == "node-cut-off" && one["subject"] == "n1"), "{report:#}");
        let (reach, exit) =
            Netcheck::new(["reach", "--cluster", "myeks", "--from", "n1", "--evidence"]).arg(&dir).json();
        assert_eq!(exit, 1, "{}: {reach:#}", dir.display());
        let steps = reach["steps"].to_string();
        assert!(steps.contains("hangs in SYN-SENT"), "{steps}");
    }
}

/// The entries of a list of a report that are about the rules: findings or gaps.
fn of_rules<'a>(report: &'a Value, list: &str) -> Vec<&'a Value> {
    let is_of_rules = |entry: &&Value| {
        let several = entry["rules"].as_array().into_iter().flatten();
        several.chain([&entry["rule"]]).any(|rule| RULES.iter().any(|known| rule == known))
    };
    report[list].as_array().unwrap().iter().filter(is_of_rules).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn rules_and_reach_agree_about_the_way_of_nodes(setup in setups()) {
        let dir = scratch();
        setup.write(dir.path());
        let (report, _) = Netcheck::audit(dir.path()).json();
        let has = |file| !setup.missing.contains(&file);
        let by_id = NODES.iter().map(|node| (node[0], node[0])).filter(|_| has("instances.json"));
        // Without its interface, nothing shows what has an address.
        let by_address = NODES.iter().zip(ADDRESSES).map(|(node, address)| (node[0], address));
        let by_address = by_address.filter(|_| has("network-interfaces.json"));
        for (node, from) in by_id.chain(by_address) {
            let (reach, _) = Netcheck::new(["reach", "--cluster", "myeks", "--evidence"])
                .arg(dir.path())
                .args(&["--from", from])
                .json();
            let findings = of_rules(&report, "findings");
            let is_found = findings.iter().any(|one| one["subject"] == node || one["message"].as_str().unwrap().contains(node));
            let gaps = [of_rules(&report, "gaps"), of_rules(&report, "not_judged")].concat();
            let at = NODES.iter().position(|known| known[0] == node).unwrap();
            let (subnet, way) = (NODES[at][1], setup.ways[at]);
            let is_about = |gap: &&Value| {
                let text = format!("{} {}", gap["what"], gap["detail"]);
                text.contains(node) || text.contains(subnet)
            };
            let both = || {
                let messages = findings.iter().map(|one| &one["message"]);
                let details = gaps.iter().map(|one| &one["detail"]);
                let all: Vec<_> = messages.chain(details).map(Value::to_string).collect();
                let steps = reach["steps"].as_array().unwrap().iter();
                let steps = steps.map(|step| format!("{} {} {}", step["name"], step["result"], step["why"]));
                format!("{from} ({node}):\n{}\nrules:\n{}", steps.collect::<Vec<_>>().join("\n"), all.join("\n"))
            };
            match reach["verdict"].as_str().unwrap() {
                // One of the addresses is enough for a yes, and the other one is a gap.
                "yes" if matches!(way, Way::PartlyTransit) => prop_assert!(!is_found, "{}", both()),
                "yes" => prop_assert!(!is_found && !gaps.iter().any(is_about), "{}", both()),
                // Without the instances, the rules know no nodes.
                "no" if !has("instances.json") => prop_assert!(!gaps.is_empty(), "{}", both()),
                // Each rule judges one condition: that each address of the endpoint has an obstacle
                // of another kind is seen by reach alone.
                "no" if matches!(way, Way::Divided) => {}
                "no" => prop_assert!(is_found, "{}", both()),
                // The rules judge the way out and the list, and neither the name nor the groups. One
                // of several addresses may do.
                _ => {
                    let of_way = ["route", "block-public-access", "public-access-cidrs"];
                    let is_open = reach["steps"].as_array().unwrap().iter().any(|step| {
                        step["result"] == "unknown" && of_way.iter().any(|name| step["name"] == *name)
                    });
                    prop_assert!(!is_open || is_found || !gaps.is_empty(), "{}", both());
                }
            }
        }
    }
}
