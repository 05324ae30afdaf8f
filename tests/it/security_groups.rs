//! The rules about security groups, on variants of their fixtures and on one cluster with
//! many nodes.

use std::path::Path;

use serde_json::{Value, json};

use crate::common::{Netcheck, copy_of_dir, edit_json as edit, fixtures};

const CLUSTER: &str = "sg-05e7a9c1b3d5f7092";
const NODE: &str = "sg-0b2d4f6081a3c5e79";
const ADDED: &str = "sg-0d4f6a8c1e3057b29";
const KUBELET: &str = "security-group-blocks-kubelet";
const API: &str = "security-group-blocks-api";

/// The messages of a rule's findings, and the details of the gaps for which it is not judged.
fn outcome(dir: &Path, rule: &str) -> (Vec<String>, Vec<String>) {
    let (report, _) = Netcheck::audit(dir).json();
    let texts = |list: &str, field: &str| {
        let all = report[list].as_array().unwrap().iter().filter(|one| one["rule"] == rule);
        all.map(|one| one[field].as_str().unwrap().to_owned()).collect()
    };
    (texts("findings", "message"), texts("not_judged", "detail"))
}

/// A copy of the fixture of a rule in which it fires, with other rules of a group.
fn with_rules(rule: &str, group: &str, rules: &Value, is_outbound: bool) -> tempfile::TempDir {
    let copy = copy_of_dir(&fixtures().join("rules").join(rule).join("fires"));
    edit(copy.path(), "security-groups.json", |json| {
        let groups = json["SecurityGroups"].as_array_mut().unwrap();
        let group = groups.iter_mut().find(|one| one["GroupId"] == group).unwrap();
        group[if is_outbound { "IpPermissionsEgress" } else { "IpPermissions" }] = rules.clone();
    });
    copy
}

fn from_group(id: &str, account: &str) -> Value {
    json!({"IpProtocol": "tcp", "FromPort": 443, "ToPort": 10250, "UserIdGroupPairs": [{"GroupId": id, "UserId": account}]})
}

fn from_block(block: &str) -> Value {
    json!({"IpProtocol": "tcp", "FromPort": 443, "ToPort": 10250, "IpRanges": [{"CidrIp": block}]})
}

/// Inbound rules of the node's group for connections of an ENI with 192.168.1.55 or
/// 192.168.2.66, and of the ENIs' group for the node, 192.168.1.20.
#[test]
fn inbound_rules_of_any_form() {
    for (rule, group, other, near, far) in [
        (KUBELET, NODE, CLUSTER, "192.168.2.64/30", "192.168.2.68/30"),
        (API, CLUSTER, NODE, "192.168.1.20/32", "192.168.1.21/32"),
    ] {
        let all = json!({"IpProtocol": "-1", "UserIdGroupPairs": [{"GroupId": other}]});
        let by_number =
            json!({"IpProtocol": "6", "FromPort": 0, "ToPort": 65535, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]});
        let udp = json!({"IpProtocol": "udp", "FromPort": 0, "ToPort": 65535, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]});
        let above = json!({"IpProtocol": "tcp", "FromPort": 10251, "ToPort": 65535, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]});
        let ipv6 = json!({"IpProtocol": "-1", "Ipv6Ranges": [{"CidrIpv6": "::/0"}]});
        let list = json!({"IpProtocol": "-1", "PrefixListIds": [{"PrefixListId": "pl-1"}]});
        for (rules, findings, gaps) in [
            (json!([]), 1, 0),
            (json!([from_group(other, "111122223333")]), 0, 0),
            (json!([all]), 0, 0),
            (json!([by_number]), 0, 0),
            (json!([udp]), 1, 0),
            (json!([above]), 1, 0),
            // The cluster is IPv4.
            (json!([ipv6]), 1, 0),
            (json!([from_block(near)]), 0, 0),
            (json!([from_block(far)]), 1, 0),
            (json!([from_block("192.168.0.0/16"), list]), 0, 0),
            (json!([from_block(far), list]), 0, 1),
            // A group of the same account that was deleted, and one of another account.
            (json!([from_group("sg-00000000000000001", "111122223333")]), 1, 0),
            (json!([from_group("sg-00000000000000001", "999988887777")]), 0, 1),
        ] {
            let (found, missing) = outcome(with_rules(rule, group, &rules, false).path(), rule);
            assert_eq!(
                (found.len(), missing.len()),
                (findings, gaps),
                "{rule}: {rules}: {found:?} {missing:?}"
            );
        }
    }
}

/// The outbound rules at the other end: those of the ENIs for the kubelet, those of the node
/// for the API server.
#[test]
fn outbound_rules_block_as_well() {
    for (rule, inbound, outbound, add) in [
        (KUBELET, NODE, CLUSTER, format!("add to {CLUSTER} an outbound rule for TCP 10250 to {NODE}")),
        (API, CLUSTER, NODE, format!("add to {NODE} an outbound rule for TCP 443 to {CLUSTER}")),
    ] {
        let dns = json!([{"IpProtocol": "udp", "FromPort": 53, "ToPort": 53, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}]);
        let (found, _) = outcome(with_rules(rule, outbound, &dns, true).path(), rule);
        assert_eq!(found.len(), 2, "both sides block: {found:?}");
        for rules in [json!([]), dns] {
            let copy = with_rules(rule, inbound, &json!([from_block("192.168.0.0/16")]), false);
            edit(copy.path(), "security-groups.json", |json| {
                let groups = json["SecurityGroups"].as_array_mut().unwrap();
                let group = groups.iter_mut().find(|one| one["GroupId"] == outbound).unwrap();
                group["IpPermissionsEgress"] = rules;
            });
            let (found, gaps) = outcome(copy.path(), rule);
            assert_eq!((found.len(), gaps.len()), (1, 0), "{rule}: {found:?}");
            assert!(found[0].ends_with(&add), "{found:?}");
        }
        // Rules that are not recorded are not an empty list.
        let copy = with_rules(rule, inbound, &json!([from_block("192.168.0.0/16")]), false);
        edit(copy.path(), "security-groups.json", |json| {
            for group in json["SecurityGroups"].as_array_mut().unwrap() {
                group.as_object_mut().unwrap().remove("IpPermissionsEgress");
            }
        });
        let (found, gaps) = outcome(copy.path(), rule);
        assert_eq!((found.len(), gaps.len()), (0, 1), "{rule}: {found:?}");
    }
}

/// The fixture has one node.
#[test]
fn the_consequence_is_about_connections_to_the_api_server() {
    let (found, _) = outcome(&fixtures().join("rules").join(API).join("fires"), API);
    assert!(found[0].contains("from it, so connections to the API server hang; add to"), "{found:?}");
}

/// A group that is not in security-groups.json, and a node whose interface is not listed.
#[test]
fn what_is_not_recorded_is_not_judged() {
    for (rule, group) in [(KUBELET, NODE), (API, CLUSTER)] {
        let fires = fixtures().join("rules").join(rule).join("fires");
        let copy = copy_of_dir(&fires);
        edit(copy.path(), "security-groups.json", |json| {
            json["SecurityGroups"].as_array_mut().unwrap().retain(|one| one["GroupId"] != group);
        });
        let (found, gaps) = outcome(copy.path(), rule);
        assert_eq!((found.len(), gaps.len()), (0, 1), "{rule}: {found:?} {gaps:?}");
        assert!(gaps[0].contains(group), "{gaps:?}");
        let copy = copy_of_dir(&fires);
        edit(copy.path(), "network-interfaces.json", |json| {
            json["NetworkInterfaces"].as_array_mut().unwrap().retain(|eni| eni["Description"] != "");
        });
        let (found, gaps) = outcome(copy.path(), rule);
        assert_eq!((found.len(), gaps.len()), (0, 1), "{rule}: {found:?} {gaps:?}");
        assert!(
            gaps[0].contains("its primary interface is not among the network interfaces seen"),
            "{gaps:?}"
        );
        let copy = copy_of_dir(&fires);
        edit(copy.path(), "network-interfaces.json", |json| {
            json["NetworkInterfaces"].as_array_mut().unwrap().retain(|eni| eni["Description"] == "");
        });
        let (found, gaps) = outcome(copy.path(), rule);
        assert_eq!((found.len(), gaps.len()), (0, 1), "{rule}: {found:?} {gaps:?}");
    }
}

/// Only the primary interface of a node counts: the groups of other interfaces are those of
/// pods.
#[test]
fn only_the_primary_interface_of_a_node_counts() {
    let copy = copy_of_dir(&fixtures().join("rules").join(KUBELET).join("fires"));
    edit(copy.path(), "network-interfaces.json", |json| {
        let all = json["NetworkInterfaces"].as_array_mut().unwrap();
        let mut second = all.iter().find(|eni| eni["Description"] == "").unwrap().clone();
        second["NetworkInterfaceId"] = json!("eni-00000000000000001");
        second["Attachment"]["DeviceIndex"] = json!(1);
        second["Groups"] = json!([{"GroupId": CLUSTER}]);
        second["PrivateIpAddress"] = json!("192.168.1.21");
        second["PrivateIpAddresses"] = json!([{"Primary": true, "PrivateIpAddress": "192.168.1.21"}]);
        all.push(second);
    });
    assert_eq!(outcome(copy.path(), KUBELET).0.len(), 1);
    edit(copy.path(), "network-interfaces.json", |json| {
        let all = json["NetworkInterfaces"].as_array_mut().unwrap();
        let primary = all.iter_mut().find(|eni| eni["Attachment"]["DeviceIndex"] == 0).unwrap();
        primary["Groups"] = json!([{"GroupId": NODE}, {"GroupId": CLUSTER}]);
    });
    assert_eq!(outcome(copy.path(), KUBELET), (Vec::new(), Vec::new()));
}

/// A connection that is not established, or that is another node's, proves nothing.
#[test]
fn an_established_connection_of_the_node_proves_the_path() {
    for (rule, row, findings) in [
        (KUBELET, "ESTAB 0 0 192.168.1.20:10250 192.168.2.66:49956 users:((\"kubelet\",pid=1,fd=2))", 0),
        (KUBELET, "ESTAB 0 0 192.168.1.20:10250 192.168.1.77:49956 users:((\"kubelet\",pid=1,fd=2))", 1),
        (KUBELET, "SYN-RECV 0 0 192.168.1.20:10250 192.168.2.66:49956 users:((\"kubelet\",pid=1,fd=2))", 1),
        (KUBELET, "ESTAB 0 0 192.168.1.20:49956 192.168.2.66:443 users:((\"kubelet\",pid=1,fd=2))", 1),
        (KUBELET, "ESTAB 0 0 192.168.1.21:10250 192.168.2.66:49956 users:((\"kubelet\",pid=1,fd=2))", 1),
        (API, "ESTAB 0 0 192.168.1.20:49956 192.168.2.66:443 users:((\"kubelet\",pid=1,fd=2))", 0),
        (API, "ESTAB 0 0 192.168.1.20:49956 10.100.0.1:443 users:((\"controller\",pid=1,fd=2))", 0),
        (API, "SYN-SENT 0 1 192.168.1.20:49956 192.168.2.66:443 users:((\"kubelet\",pid=1,fd=2))", 1),
        (API, "ESTAB 0 0 192.168.1.20:10250 192.168.2.66:49956 users:((\"kubelet\",pid=1,fd=2))", 1),
    ] {
        let copy = copy_of_dir(&fixtures().join("rules").join(rule).join("fires"));
        std::fs::create_dir_all(copy.path().join("nodes")).unwrap();
        let head = "State Recv-Q Send-Q Local Address:Port Peer Address:Port Process\n";
        std::fs::write(copy.path().join("nodes/n1.txt"), format!("{head}{row}\n")).unwrap();
        let (found, gaps) = outcome(copy.path(), rule);
        assert_eq!((found.len(), gaps.len()), (findings, 0), "{rule}: {row}");
    }
}

/// A thousand nodes of two node groups: a finding for each rule that is missing.
#[test]
fn nodes_with_the_same_groups_share_a_finding() {
    let copy = copy_of_dir(&fixtures().join("rules").join(KUBELET).join("fires"));
    let clone = |original: &Value, number: usize, text: &str| -> Value {
        let address = format!("192.168.{}.{}", 100 + number / 250, number % 250 + 1);
        let json = original.to_string().replace("192.168.1.20", &address);
        let json = json.replace("i-0123456789abcdef0", &format!("i-{number:017}"));
        serde_json::from_str(&json.replace(text, &format!("{text}{number}"))).unwrap()
    };
    edit(copy.path(), "instances.json", |json| {
        let instances = json["Reservations"][0]["Instances"].as_array_mut().unwrap();
        let original = instances[0].clone();
        instances.extend((0..1000).map(|number| clone(&original, number, "eni-020a")));
    });
    edit(copy.path(), "network-interfaces.json", |json| {
        let all = json["NetworkInterfaces"].as_array_mut().unwrap();
        let original = all.iter().find(|eni| eni["Description"] == "").unwrap().clone();
        all.extend((0..1000).map(|number| {
            let mut eni = clone(&original, number, "eni-020a");
            if number % 2 == 1 {
                eni["Groups"] = json!([{"GroupId": ADDED}]);
            }
            eni
        }));
    });
    edit(copy.path(), "security-groups.json", |json| {
        let groups = json["SecurityGroups"].as_array_mut().unwrap();
        let mut added = groups[1].clone();
        added["GroupId"] = json!(ADDED);
        groups.push(added);
    });
    let (found, gaps) = outcome(copy.path(), KUBELET);
    assert_eq!((found.len(), gaps.len()), (2, 0), "{found:?}");
    assert!(found.iter().all(|message| message.len() < 1000), "{found:?}");
    assert!(found[0].contains("496 more") && found[1].contains("495 more"), "{found:?}");
}
