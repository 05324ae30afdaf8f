//! The rules about the ways out of the VPC and about hybrid nodes, on variants of their
//! fixtures.

use std::path::Path;

use serde_json::{Value, json};

use crate::common::{Netcheck, copy_of, copy_of_dir, edit_json, fixtures, private_only_with_slices};

/// The numbers of findings of a rule and of gaps for which it is not judged.
fn outcome(dir: &Path, rule: &str) -> (usize, usize) {
    let (report, _) = Netcheck::audit(dir).json();
    let count =
        |list: &str| report[list].as_array().unwrap().iter().filter(|one| one["rule"] == rule).count();
    (count("findings"), count("not_judged"))
}

/// A copy of the fixture in which a rule fires, with a changed file.
fn changed(rule: &str, file: &str, change: impl FnOnce(&mut Value)) -> tempfile::TempDir {
    let copy = copy_of_dir(&fixtures().join("rules").join(rule).join("fires"));
    edit_json(copy.path(), file, change);
    copy
}

/// The state of a subnet takes precedence over that of the VPC, and only
/// `block-bidirectional` blocks the way out by a NAT gateway.
#[test]
fn block_public_access_of_subnet_and_vpc() {
    const RULE: &str = "block-public-access-cuts-nodes";
    for (vpc, subnet, expected) in [
        ("block-bidirectional", None, (1, 0)),
        ("block-bidirectional", Some("off"), (0, 0)),
        ("block-bidirectional", Some("block-ingress"), (0, 0)),
        ("block-ingress", None, (0, 0)),
        ("block-ingress", Some("block-bidirectional"), (1, 0)),
        ("off", None, (0, 0)),
        ("off", Some("block-bidirectional"), (1, 0)),
        ("a new mode", None, (0, 1)),
    ] {
        let copy = changed(RULE, "vpc.json", |json| {
            json["Vpcs"][0]["BlockPublicAccessStates"] = json!({"InternetGatewayBlockMode": vpc});
        });
        // The first subnet is that of n1 and has a state of its own, the second that of n2.
        edit_json(copy.path(), "subnets.json", |json| {
            if let Some(subnet) = subnet {
                json["Subnets"][1]["BlockPublicAccessStates"] = json!({"InternetGatewayBlockMode": subnet});
            }
        });
        // The third node leaves by a transit gateway, which is another gap.
        let (findings, gaps) = expected;
        assert_eq!(outcome(copy.path(), RULE), (findings, gaps + 1), "{vpc} {subnet:?}");
    }
    let access = changed(RULE, "cluster.json", |json| {
        json["cluster"]["resourcesVpcConfig"]["endpointPrivateAccess"] = json!(true);
    });
    assert_eq!(outcome(access.path(), RULE), (0, 0));
    for file in ["vpc.json", "subnets.json", "instances.json"] {
        let copy = changed(RULE, "cluster.json", |_| {});
        std::fs::remove_file(copy.path().join(file)).unwrap();
        let gaps = if file == "instances.json" { 1 } else { 2 };
        assert_eq!(outcome(copy.path(), RULE), (0, gaps), "{file}");
    }
}

/// In the mode `block-ingress`, an internet gateway lets out what comes from NAT gateways alone;
/// what holds beyond a NAT gateway in a subnet that is closed is not known.
#[test]
fn block_public_access_by_the_way_out() {
    const RULE: &str = "block-public-access-cuts-nodes";
    const NAT: &str = "nat-0af0109e6692984cf";
    for (mode, of_nat, is_direct, expected) in [
        ("block-ingress", "block-ingress", false, (0, 0)),
        ("block-ingress", "block-ingress", true, (1, 0)),
        ("off", "off", true, (0, 0)),
        ("off", "block-bidirectional", true, (0, 0)),
        ("off", "block-bidirectional", false, (0, 1)),
        ("block-ingress", "block-bidirectional", false, (0, 1)),
    ] {
        let copy = crate::common::copy_of_dir(&fixtures().join("access").join("public"));
        for node in ["n1", "n2"] {
            std::fs::remove_file(copy.path().join("nodes").join(format!("{node}.txt"))).unwrap();
        }
        edit_json(copy.path(), "subnets.json", |json| {
            for subnet in json["Subnets"].as_array_mut().unwrap() {
                let is_of_nat = subnet["SubnetId"] == "subnet-0120cf4e62c5d1e7a";
                let mode = if is_of_nat { of_nat } else { mode };
                subnet["BlockPublicAccessStates"] = json!({"InternetGatewayBlockMode": mode});
            }
        });
        edit_json(copy.path(), "instances.json", |json| {
            for reservation in json["Reservations"].as_array_mut().unwrap() {
                for node in reservation["Instances"].as_array_mut().unwrap() {
                    if is_direct && node["PrivateIpAddress"] == "192.168.1.20" {
                        node["PublicIpAddress"] = json!("198.51.100.20");
                    }
                }
            }
        });
        edit_json(copy.path(), "route-tables.json", |json| {
            for table in json["RouteTables"].as_array_mut().unwrap() {
                for route in table["Routes"].as_array_mut().unwrap() {
                    if is_direct && route["NatGatewayId"] == NAT {
                        *route = json!({"DestinationCidrBlock": "0.0.0.0/0", "GatewayId": "igw-085e5b6de9cfdba6d", "State": "active"});
                    }
                }
            }
        });
        assert_eq!(outcome(copy.path(), RULE), expected, "{mode} {of_nat} {is_direct}");
    }
}

/// The subnet of a NAT gateway that has no mode of its own has that of the VPC.
#[test]
fn the_subnet_of_a_nat_gateway_may_have_the_mode_of_the_vpc() {
    const RULE: &str = "block-public-access-cuts-nodes";
    const OF_NAT: &str = "subnet-0120cf4e62c5d1e7a";
    for (vpc, takes_subnet, expected) in [
        (Some("block-bidirectional"), false, (0, 1)),
        (Some("block-bidirectional"), true, (0, 1)),
        (Some("block-ingress"), false, (0, 0)),
        (Some("off"), false, (0, 0)),
        // Neither is recorded.
        (None, false, (0, 1)),
    ] {
        let copy = crate::common::copy_of_dir(&fixtures().join("access").join("public"));
        for node in ["n1", "n2"] {
            std::fs::remove_file(copy.path().join("nodes").join(format!("{node}.txt"))).unwrap();
        }
        edit_json(copy.path(), "vpc.json", |json| {
            let of_vpc = json["Vpcs"][0].as_object_mut().unwrap();
            of_vpc.remove("BlockPublicAccessStates");
            if let Some(mode) = vpc {
                of_vpc
                    .insert("BlockPublicAccessStates".to_owned(), json!({"InternetGatewayBlockMode": mode}));
            }
        });
        edit_json(copy.path(), "subnets.json", |json| {
            let subnets = json["Subnets"].as_array_mut().unwrap();
            for subnet in subnets.iter_mut() {
                let subnet = subnet.as_object_mut().unwrap();
                if subnet["SubnetId"] == OF_NAT {
                    subnet.remove("BlockPublicAccessStates");
                } else {
                    let off = json!({"InternetGatewayBlockMode": "off"});
                    subnet.insert("BlockPublicAccessStates".to_owned(), off);
                }
            }
            if takes_subnet {
                subnets.retain(|subnet| subnet["SubnetId"] != OF_NAT);
            }
        });
        assert_eq!(outcome(copy.path(), RULE), expected, "{vpc:?} {takes_subnet}");
    }
}

/// Addresses are added to regional NAT gateways only, by either setting, and matter only
/// with a restricted list and without private access.
#[test]
fn automatic_addresses_of_nat_gateways() {
    const RULE: &str = "nat-address-not-stable";
    for (mode, scaling, zones, expected) in [
        ("regional", "enabled", "enabled", 1),
        ("regional", "enabled", "disabled", 1),
        ("regional", "disabled", "enabled", 1),
        ("regional", "disabled", "disabled", 0),
        ("zonal", "enabled", "enabled", 0),
    ] {
        let copy = changed(RULE, "nat-gateways.json", |json| {
            let gateway = &mut json["NatGateways"][0];
            gateway["AvailabilityMode"] = json!(mode);
            gateway["AutoScalingIps"] = json!(scaling);
            gateway["AutoProvisionZones"] = json!(zones);
        });
        // The way out of the captured node that EC2 does not list is not known.
        assert_eq!(outcome(copy.path(), RULE), (expected, 1), "{mode} {scaling} {zones}");
    }
    for (field, value) in
        [("endpointPrivateAccess", json!(true)), ("publicAccessCidrs", json!(["0.0.0.0/1", "128.0.0.0/1"]))]
    {
        let copy = changed(RULE, "cluster.json", |json| json["cluster"]["resourcesVpcConfig"][field] = value);
        assert_eq!(outcome(copy.path(), RULE), (0, 0), "{field}");
    }
}

/// Either kind of remote network is enough; one endpoint is no finding.
#[test]
fn hybrid_nodes_need_one_endpoint() {
    const RULE: &str = "hybrid-nodes-with-both-endpoints";
    let networks = json!([{"cidrs": ["172.20.40.0/22"]}]);
    for (remote, expected) in [
        (json!({"remoteNodeNetworks": networks}), 1),
        (json!({"remotePodNetworks": networks}), 1),
        (json!({"remoteNodeNetworks": [], "remotePodNetworks": null}), 0),
        (Value::Null, 0),
    ] {
        let copy =
            changed(RULE, "cluster.json", |json| json["cluster"]["remoteNetworkConfig"] = remote.clone());
        assert_eq!(outcome(copy.path(), RULE), (expected, 0), "{remote}");
    }
    for field in ["endpointPublicAccess", "endpointPrivateAccess"] {
        let copy = changed(RULE, "cluster.json", |json| {
            json["cluster"]["resourcesVpcConfig"][field] = json!(false);
        });
        assert_eq!(outcome(copy.path(), RULE), (0, 0), "{field}");
    }
}

/// The second witness of the control plane's addresses.
#[test]
fn endpoint_slices_are_compared_with_the_eks_owned_enis() {
    const RULE: &str = "endpoint-witnesses-disagree";
    let with = |addresses: &[&str]| {
        changed(RULE, "kubernetes/endpointslices.json", |json| {
            let endpoints = addresses.iter().map(|address| json!({"addresses": [address]})).collect();
            json["items"][0]["endpoints"] = Value::Array(endpoints);
        })
    };
    for (addresses, expected) in [
        (&["192.168.1.55", "192.168.2.66"][..], 0),
        // EKS may list fewer than all ENIs.
        (&["192.168.1.55"], 0),
        (&[], 0),
        (&["192.168.1.55", "192.168.2.77"], 1),
        // The address of a node's interface, and one outside of the VPC.
        (&["192.168.1.55", "192.168.1.20"], 1),
        (&["192.168.1.55", "198.51.100.7"], 1),
    ] {
        assert_eq!(outcome(with(addresses).path(), RULE), (expected, 0), "{addresses:?}");
    }
    for file in ["network-interfaces.json", "kubernetes/endpointslices.json"] {
        let copy = with(&["192.168.2.77"]);
        std::fs::remove_file(copy.path().join(file)).unwrap();
        assert_eq!(outcome(copy.path(), RULE), (0, 1), "{file}");
    }
    let of_another_service = changed(RULE, "kubernetes/endpointslices.json", |json| {
        json["items"].as_array_mut().unwrap().remove(0);
    });
    assert_eq!(outcome(of_another_service.path(), RULE), (0, 1));
}

/// Without permission to list the interfaces, the endpoint slices attribute the control
/// plane's addresses.
#[test]
fn endpoint_slices_stand_in_for_interfaces_that_are_not_recorded() {
    let copy = private_only_with_slices();
    std::fs::remove_file(copy.path().join("network-interfaces.json")).unwrap();
    let (report, code) = Netcheck::audit(copy.path()).json();
    assert_eq!(code, 0, "{:#}", report["gaps"]);
    let connections = report["connections"].as_array().unwrap();
    let private: Vec<_> = connections.iter().filter(|one| one["path"] == "private-eni").collect();
    assert!(!private.is_empty());
    assert!(private.iter().all(|one| one["by"] == "endpointslice" && one["eni"].is_null()), "{private:?}");
    let is_private = |node: &Value| node["path"] == "private";
    assert!(report["node_traffic"].as_array().unwrap().iter().all(is_private));
    // The list of the interfaces takes precedence: it names the ENI.
    let (report, _) = Netcheck::audit(private_only_with_slices().path()).json();
    let connections = report["connections"].as_array().unwrap();
    assert!(connections.iter().all(|one| one["by"] != "endpointslice"));
    // Without either witness the control plane's addresses are not known.
    std::fs::remove_dir_all(copy.path().join("kubernetes")).unwrap();
    assert_eq!(Netcheck::audit(copy.path()).run().code, 3);
}

#[test]
fn malformed_answers_of_kubernetes_are_errors() {
    for (file, command) in [
        ("kubernetes/nodes.json", "kubectl get nodes -o json"),
        ("kubernetes/endpointslices.json", "kubectl get endpointslices -n default -o json"),
    ] {
        for text in ["", "{", "[]", "null", "<html>", "{\"kind\": \"PodList\", \"items\": []}"] {
            let copy = private_only_with_slices();
            std::fs::write(copy.path().join(file), text).unwrap();
            let ran = Netcheck::audit(copy.path()).run();
            assert_eq!(ran.code, 2, "{file}: {text}");
            assert!(ran.stderr.contains(file) && ran.stderr.contains(command), "{}", ran.stderr);
            assert!(!ran.stderr.contains("aws"), "{}", ran.stderr);
        }
    }
}

/// The control plane's own traffic, if it is routed through the VPC, needs a way out for
/// private addresses.
#[test]
fn customer_routed_egress_needs_more_than_an_internet_gateway() {
    let gateway = |key: &str, id: &str| json!([{"DestinationCidrBlock": "192.168.0.0/16", "GatewayId": "local"}, {"DestinationCidrBlock": "0.0.0.0/0", key: id}]);
    let halves = json!([{"DestinationCidrBlock": "0.0.0.0/1", "NatGatewayId": "nat-1"}, {"DestinationCidrBlock": "128.0.0.0/1", "NatGatewayId": "nat-1"}]);
    let s3 = json!([{"DestinationPrefixListId": "pl-1", "GatewayId": "vpce-1"}]);
    for (mode, routes, expected) in [
        ("CUSTOMER_ROUTED", gateway("NatGatewayId", "nat-1"), json!([])),
        ("CUSTOMER_ROUTED", gateway("TransitGatewayId", "tgw-1"), json!([])),
        ("CUSTOMER_ROUTED", halves, json!([])),
        ("CUSTOMER_ROUTED", gateway("GatewayId", "igw-1"), json!(2)),
        ("CUSTOMER_ROUTED", s3, json!(2)),
        ("CUSTOMER_ROUTED", json!([]), json!(2)),
        ("AWS_MANAGED", json!([]), Value::Null),
    ] {
        let copy = copy_of("private-only");
        edit_json(copy.path(), "cluster.json", |json| {
            json["cluster"]["resourcesVpcConfig"]["controlPlaneEgressMode"] = json!(mode);
        });
        edit_json(copy.path(), "route-tables.json", |json| {
            for table in json["RouteTables"].as_array_mut().unwrap() {
                table["Routes"] = routes.clone();
            }
        });
        let (report, code) = Netcheck::audit(copy.path()).json();
        assert_eq!(code, 0);
        let without = &report["cluster"]["control_plane_subnets_without_egress"];
        let number = without.as_array().map(|subnets| json!(subnets.len()));
        assert!(*without == expected || number.as_ref() == Some(&expected), "{mode} {routes}: {without}");
        let short = Netcheck::audit(copy.path()).run().stdout;
        assert_eq!(short.contains("no NAT gateway or other way"), expected == json!(2), "{short}");
        let table = Netcheck::audit(copy.path()).arg("--all").run().stdout;
        assert!(table.contains(&format!("control plane egress mode {mode}")), "{table}");
        assert_eq!(table.contains("no NAT gateway or other way"), expected == json!(2), "{table}");
    }
    let copy = copy_of("private-only");
    edit_json(copy.path(), "cluster.json", |json| {
        json["cluster"]["resourcesVpcConfig"]["controlPlaneEgressMode"] = json!("CUSTOMER_ROUTED");
    });
    std::fs::remove_file(copy.path().join("route-tables.json")).unwrap();
    let (report, _) = Netcheck::audit(copy.path()).json();
    assert_eq!(report["cluster"]["control_plane_subnets_without_egress"], Value::Null);
}
