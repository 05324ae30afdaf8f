//! Each rule on the evidence under `fixtures/rules/<id>`: where it fires, where
//! it is quiet, and where the evidence that it needs is missing.

use eks_netcheck::model::rule::WithoutEvidence;
use serde_json::{Value, json};

use crate::common::{Netcheck, copy_of_dir, edit_json, fixtures, subdirs};

/// The findings and gaps of a rule.
fn of_rule<'a>(report: &'a Value, id: &str) -> (Vec<&'a Value>, Vec<&'a Value>) {
    let findings = report["findings"].as_array().unwrap().iter().filter(|finding| finding["rule"] == id);
    let names = |gap: &&Value| gap["rules"].as_array().unwrap().iter().any(|rule| rule == id);
    let gaps = report["gaps"].as_array().unwrap().iter().filter(names);
    let not_judged = report["not_judged"].as_array().unwrap().iter().filter(|one| one["rule"] == id);
    (findings.collect(), gaps.chain(not_judged).collect())
}

/// An audit of a rule's fixture, with the policy in the rule's directory, if any.
fn audit(id: &str, case: &str) -> Netcheck {
    let dir = fixtures().join("rules").join(id);
    Netcheck::audit(&dir.join(case)).dir(&dir)
}

#[test]
fn every_rule_has_its_three_fixtures() {
    let mut ids: Vec<_> = eks_netcheck::rules::ALL.iter().map(|rule| rule.id.to_owned()).collect();
    ids.sort();
    assert_eq!(subdirs(&fixtures().join("rules")), ids);
    for id in ids {
        assert_eq!(subdirs(&fixtures().join("rules").join(id)), ["fires", "quiet", "unseen"]);
    }
}

#[test]
fn rules_fire_on_their_fires_fixture() {
    for rule in eks_netcheck::rules::ALL {
        let (report, _) = audit(rule.id, "fires").json();
        let (findings, _) = of_rule(&report, rule.id);
        assert!(!findings.is_empty(), "{} does not fire", rule.id);
        // Some findings of a rule may be of a lower severity.
        assert!(findings.iter().any(|finding| finding["severity"] == rule.severity.as_str()), "{}", rule.id);
        for finding in findings {
            for field in ["subject", "message", "remediation"] {
                assert!(!finding[field].as_str().unwrap().is_empty(), "{}: no {field}", rule.id);
            }
        }
    }
}

#[test]
fn rules_are_quiet_on_their_quiet_fixture() {
    for rule in eks_netcheck::rules::ALL {
        let (report, _) = audit(rule.id, "quiet").json();
        let (findings, gaps) = of_rule(&report, rule.id);
        assert!(findings.is_empty() && gaps.is_empty(), "{}: {findings:?} {gaps:?}", rule.id);
    }
}

#[test]
fn rules_have_a_gap_on_their_unseen_fixture() {
    for rule in eks_netcheck::rules::ALL {
        let (report, _) = audit(rule.id, "unseen").json();
        let (findings, gaps) = of_rule(&report, rule.id);
        assert!(findings.is_empty(), "{}: {findings:?}", rule.id);
        assert!(!gaps.is_empty(), "{} passed without its evidence", rule.id);
        if rule.without_evidence == WithoutEvidence::NotJudged {
            continue;
        }
        // With the rule's own severity as the threshold, the run does not pass.
        let ran = audit(rule.id, "unseen").args(&["--fail-on", rule.severity.as_str()]).run();
        assert!(ran.code == 3 || ran.code == 1, "{} exits with {}", rule.id, ran.code);
    }
}

/// A story that passes, without one file at a time: a file that a rule at the
/// threshold needs makes the run inconclusive, others are listed as gaps.
#[test]
fn missing_evidence_never_passes() {
    for (file, code) in [
        ("network-interfaces.json", 3),
        ("instances.json", 3),
        ("vpc.json", 3),
        // Every node resolves the endpoint's name to ENIs, whatever the DHCP options are.
        ("dhcp-options.json", 0),
        ("dns", 3),
        ("dns/here.txt", 0),
        ("dns/n1.txt", 0),
        ("nodes", 3),
        ("nodes/n1.txt", 3),
        ("nodes/n2.txt", 3),
        ("subnets.json", 0),
        ("route-tables.json", 0),
        ("nat-gateways.json", 0),
        ("security-groups.json", 0),
    ] {
        let copy = crate::common::copy_of("private-only");
        let path = copy.path().join(file);
        if path.is_dir() {
            std::fs::remove_dir_all(path).unwrap();
        } else {
            std::fs::remove_file(path).unwrap();
        }
        let (report, exit_code) = Netcheck::audit(copy.path()).json();
        assert_eq!(exit_code, code, "without {file}: {}", report["gaps"]);
        let is_listed = !report["gaps"].as_array().unwrap().is_empty();
        assert!(is_listed || file.starts_with("dns/"), "no gap for {file}");
    }
}

/// Captures that were filtered, truncated or edited by hand may lack a public connection;
/// those with code 0 lack nothing.
#[test]
fn incomplete_captures_never_pass() {
    let head = "State Recv-Q Send-Q Local Address:Port Peer Address:Port Process\n";
    let kubelet = "ESTAB 0 0 192.168.1.20:46712 192.168.1.55:443 users:((\"kubelet\",pid=2984,fd=22))\n";
    let proxy = "ESTAB 0 0 192.168.1.20:46714 192.168.2.66:443 users:((\"kube-proxy\",pid=3001,fd=7))\n";
    let whole = format!("{head}{kubelet}{proxy}");
    for (name, capture, code) in [
        ("complete", whole.clone(), 0),
        ("filtered by grep kubelet", kubelet.to_owned(), 3),
        ("without kube-proxy", format!("{head}{kubelet}"), 3),
        ("without kubelet", format!("{head}{proxy}"), 3),
        ("of another node", whole.replace("192.168.1.20", "192.168.2.94"), 3),
        ("of no node", whole.replace("192.168.1.20", "172.31.0.5"), 3),
        ("kubelet in SYN-SENT", whole.replacen("ESTAB", "SYN-SENT", 1), 1),
        ("a row without a process", format!("{whole}ESTAB 0 0 192.168.1.20:5 3.39.55.189:443\n"), 3),
        ("cut in users", format!("{whole}ESTAB 0 0 192.168.1.20:5 3.39.55.189:443 users:((\"kube"), 3),
        ("cut in an address", format!("{whole}ESTAB 0 0 192.168.1.20:5 3.39.55."), 3),
        ("cut in a TIME-WAIT row's local address", format!("{whole}TIME-WAIT 0 0 192.168.1."), 3),
        ("cut in a TIME-WAIT row's peer", format!("{whole}TIME-WAIT 0 0 192.168.1.20:5 192.168.1.55:44"), 3),
        ("cut in the state", format!("{whole}ES"), 3),
        ("cut in the last row's processes", whole[..whole.len() - 5].to_owned(), 3),
        ("without the last line feed", whole.trim_end().to_owned(), 0),
        ("with a shell prompt at the end", format!("{whole}[ec2-user@n1 ~]$ "), 0),
        (
            "with a row quoted as in e-mail",
            format!("{whole}> ESTAB 0 0 192.168.1.20:5 3.39.55.189:443 users:((\"kubelet\",pid=1,fd=2))\n"),
            3,
        ),
        (
            "host and port names",
            format!("{whole}ESTAB 0 0 192.168.1.20:5 ec2-3-39-55-189.example:https\n"),
            3,
        ),
        ("other processes only", whole.replace("kubelet", "bash").replace("kube-proxy", "curl"), 3),
    ] {
        let copy = crate::common::copy_of("public-and-private-stale");
        std::fs::write(copy.path().join("nodes/n1.txt"), capture).unwrap();
        let (report, exit_code) = Netcheck::audit(copy.path()).json();
        assert_eq!(exit_code, code, "{name}: {} {}", report["findings"], report["gaps"]);
    }
}

/// Two nodes share a Name tag: one capture of that name covers only one of them.
#[test]
fn a_shared_name_tag_does_not_identify_a_node() {
    let copy = crate::common::copy_of("private-only");
    let path = copy.path().join("instances.json");
    let text = std::fs::read_to_string(&path).unwrap();
    let shared = text.replace("\"n1\"", "\"myeks-ng1-Node\"").replace("\"n2\"", "\"myeks-ng1-Node\"");
    assert_ne!(shared, text);
    std::fs::write(&path, shared).unwrap();
    std::fs::remove_file(copy.path().join("nodes/n2.txt")).unwrap();
    std::fs::rename(copy.path().join("nodes/n1.txt"), copy.path().join("nodes/myeks-ng1-Node.txt")).unwrap();
    assert_eq!(Netcheck::audit(copy.path()).run().code, 3);
}

/// A copy of a story with one of its JSON files changed.
fn changed(story: &str, file: &str, change: impl FnOnce(&mut Value)) -> tempfile::TempDir {
    let copy = crate::common::copy_of(story);
    let path = copy.path().join(file);
    let mut json: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    change(&mut json);
    std::fs::write(&path, json.to_string()).unwrap();
    copy
}

/// The VPC resolver: `AmazonProvidedDNS`, or one of its three addresses.
#[test]
fn the_vpc_resolver_is_recognised_by_name_and_address() {
    for (server, fires) in [
        ("AmazonProvidedDNS", false),
        ("169.254.169.253", false),
        ("fd00:ec2::253", false),
        ("192.168.0.2", false),
        ("192.168.0.3", true),
        // Only the primary block has the resolver.
        ("100.64.0.2", true),
        ("8.8.8.8", true),
        ("amazonprovideddns.example", true),
    ] {
        let copy = changed("private-only", "dhcp-options.json", |json| {
            for option in json["DhcpOptions"][0]["DhcpConfigurations"].as_array_mut().unwrap() {
                if option["Key"] == "domain-name-servers" {
                    option["Values"] = serde_json::json!([{"Value": server}]);
                }
            }
        });
        // The setting decides only if it is not known what every node resolves.
        std::fs::remove_file(copy.path().join("dns/n2.txt")).unwrap();
        let (report, _) = Netcheck::audit(copy.path()).json();
        let (findings, gaps) = of_rule(&report, "private-dns-unavailable");
        assert_eq!((!findings.is_empty(), gaps.len()), (fires, 0), "{server}");
    }
}

/// A node's egress address follows from its routes; where they do not give it, the
/// rule has a gap.
#[test]
fn unknown_egress_is_a_gap() {
    let copy = crate::common::copy_of("node-egress-missing");
    std::fs::remove_file(copy.path().join("route-tables.json")).unwrap();
    let (report, code) = Netcheck::audit(copy.path()).json();
    let (findings, gaps) = of_rule(&report, "node-egress-not-allowed");
    assert_eq!((findings.len(), gaps.len(), code), (0, 1, 3), "{findings:?}");

    // Egress by a transit gateway is unknown.
    let copy = changed("node-egress-missing", "route-tables.json", |json| {
        for table in json["RouteTables"].as_array_mut().unwrap() {
            for route in table["Routes"].as_array_mut().unwrap() {
                if route["DestinationCidrBlock"] == "0.0.0.0/0" {
                    *route = serde_json::json!({"DestinationCidrBlock": "0.0.0.0/0", "TransitGatewayId": "tgw-1", "State": "active"});
                }
            }
        }
    });
    let (report, code) = Netcheck::audit(copy.path()).json();
    let (findings, gaps) = of_rule(&report, "node-egress-not-allowed");
    assert_eq!((findings.len(), gaps.len(), code), (0, 3, 3), "{gaps:?}");
    assert!(gaps[0]["detail"].as_str().unwrap().contains("tgw-1"));

    // A more specific route to one of the endpoint's addresses is followed, and so
    // is the default route to the other.
    let copy = changed("node-egress-missing", "route-tables.json", |json| {
        for table in json["RouteTables"].as_array_mut().unwrap() {
            let routes = table["Routes"].as_array_mut().unwrap();
            let to_one = serde_json::json!({"DestinationCidrBlock": "3.39.55.0/24", "NatGatewayId": "nat-0", "State": "active"});
            routes.push(to_one);
        }
    });
    let (report, _) = Netcheck::audit(copy.path()).json();
    let (findings, gaps) = of_rule(&report, "node-egress-not-allowed");
    assert_eq!((findings.len(), gaps.len()), (2, 3), "{findings:?} {gaps:?}");
    assert!(
        gaps[0]["detail"].as_str().unwrap().contains("nat-0"),
        "the gap names nat-0, which nat-gateways.json lacks"
    );
}

/// Traffic to an EKS-owned ENI that the recording lacks is not classified as public.
#[test]
fn a_missing_eni_does_not_make_its_address_public() {
    let copy = changed("private-only", "network-interfaces.json", |json| {
        let all = json["NetworkInterfaces"].as_array_mut().unwrap();
        let first = all.iter().position(|eni| eni["Description"] == "Amazon EKS myeks").unwrap();
        all.remove(first);
    });
    for without in [&[][..], &["vpc.json", "subnets.json"]] {
        for file in without {
            std::fs::remove_file(copy.path().join(file)).unwrap();
        }
        let (report, code) = Netcheck::audit(copy.path()).json();
        let (findings, gaps) = of_rule(&report, "node-on-public-path");
        assert!(findings.is_empty(), "{findings:?}");
        assert!(!gaps.is_empty());
        assert_eq!(code, 3);
    }
}

/// An address in a delegated prefix is attributed to the prefix's ENI, unless that is
/// in another VPC.
#[test]
fn delegated_prefixes_are_attributed_to_their_eni() {
    let peer = "192.168.1.83";
    let with_prefix = |vpc: Option<&str>| {
        let copy = changed("private-only", "network-interfaces.json", |json| {
            let all = json["NetworkInterfaces"].as_array_mut().unwrap();
            let node = all.iter_mut().find(|eni| eni["Attachment"]["InstanceId"].is_string()).unwrap();
            node["Ipv4Prefixes"] = serde_json::json!([{"Ipv4Prefix": "192.168.1.80/28"}]);
            if let Some(vpc) = vpc {
                node["VpcId"] = vpc.into();
            }
        });
        let path = copy.path().join("nodes/n1.txt");
        let mut text = std::fs::read_to_string(&path).unwrap();
        let row = format!("ESTAB 0 0 192.168.1.20:10250 {peer}:40000 users:((\"kubelet\",pid=1,fd=2))\n");
        text.push_str(&row);
        std::fs::write(path, text).unwrap();
        let (report, _) = Netcheck::audit(copy.path()).json();
        let rows = report["connections"].as_array().unwrap().clone();
        rows.into_iter().find(|row| row["peer"] == format!("{peer}:40000")).unwrap()
    };
    let own = with_prefix(None);
    assert_eq!((&own["path"], &own["by"]), (&"vpc".into(), &"eni".into()));
    assert!(own["eni"].is_string());
    let foreign = with_prefix(Some("vpc-00000000000000000"));
    assert_eq!(
        (&foreign["path"], &foreign["by"], &foreign["eni"]),
        (&"vpc".into(), &"vpc-cidr".into(), &Value::Null)
    );
}

/// A query that failed is worth exactly as much as one that was not made.
#[test]
fn a_failed_query_counts_as_one_that_was_not_made() {
    for story in ["private-only", "public-and-private-stale", "decoy-enis", "study-public"] {
        for vantages in [&["here"][..], &["n1"], &["n1", "n2"], &["here", "n1", "n2"]] {
            let result = |failed: Option<&str>| {
                let copy = crate::common::copy_of(story);
                for vantage in vantages {
                    let path = copy.path().join(format!("dns/{vantage}.txt"));
                    if !path.exists() {
                        continue;
                    }
                    match failed {
                        Some(text) => std::fs::write(&path, text).unwrap(),
                        None => std::fs::remove_file(&path).unwrap(),
                    }
                }
                let (report, code) = Netcheck::audit(copy.path()).args(&["--fail-on", "medium"]).json();
                (code, report["findings"].clone())
            };
            let not_made = result(None);
            for text in ["", ";; connection timed out; no servers could be reached\n", "; status: NXDOMAIN\n"]
            {
                assert_eq!(result(Some(text)), not_made, "{story} {vantages:?} {text:?}");
            }
        }
    }
    // What no rule needs never makes a run inconclusive.
    let copy = crate::common::copy_of("private-only");
    std::fs::write(copy.path().join("dns/here.txt"), "").unwrap();
    assert_eq!(Netcheck::audit(copy.path()).run().code, 0);
}

/// A node reaches the public endpoint over IPv6 if that has IPv6 addresses: those of EKS-owned
/// ENIs, and those that DNS64 makes of IPv4 addresses, do not show it.
#[test]
fn only_ipv6_addresses_of_the_public_endpoint_admit_a_node_over_ipv6() {
    const NODE: &str = "2406:da12:34::20";
    const ENI: &str = "2406:da12:34::55";
    for (answers, may_use_ipv6) in [
        ("3.39.55.189\n2406:da11:9::7\n", true),
        ("3.39.55.189\n", false),
        ("3.39.55.189\n2406:da12:34::55\n", false),
        ("3.39.55.189\n64:ff9b::327:37bd\n", false),
    ] {
        let copy = copy_of_dir(&fixtures().join("rules/node-egress-not-allowed/fires"));
        let dir = copy.path();
        edit_json(dir, "instances.json", |json| {
            let interface = &mut json["Reservations"][0]["Instances"][0]["NetworkInterfaces"][0];
            interface["Ipv6Addresses"] = json!([{"Ipv6Address": NODE}]);
        });
        edit_json(dir, "cluster.json", |json| {
            let blocks = json!(["203.0.113.0/24", "2406:da12:34::/48"]);
            json["cluster"]["resourcesVpcConfig"]["publicAccessCidrs"] = blocks;
        });
        edit_json(dir, "network-interfaces.json", |json| {
            json["NetworkInterfaces"].as_array_mut().unwrap().push(json!({
                "NetworkInterfaceId": "eni-0aaaaaaaaaaaaaaa1", "InterfaceType": "interface",
                "Description": "Amazon EKS myeks", "VpcId": "vpc-0a1b2c3d4e5f60718",
                "SubnetId": "subnet-0a1f4c7d9e2b5086a", "OwnerId": "111122223333",
                "PrivateIpAddress": "192.168.1.55", "Ipv6Addresses": [{"Ipv6Address": ENI}],
                "Attachment": {"InstanceOwnerId": "444455556666", "Status": "attached"},
            }));
        });
        std::fs::write(dir.join("dns/here.txt"), answers).unwrap();
        let (report, _) = Netcheck::audit(dir).json();
        let (findings, gaps) = of_rule(&report, "node-egress-not-allowed");
        let is_refused =
            findings.iter().any(|one| one["message"].as_str().unwrap().contains("i-0123456789abcdef0"));
        let is_open =
            gaps.iter().any(|gap| gap["detail"].as_str().unwrap().contains("which of them it uses"));
        assert_eq!(
            (is_refused, is_open),
            (!may_use_ipv6, may_use_ipv6),
            "{answers}: {findings:#?} {gaps:#?}"
        );
    }
}
