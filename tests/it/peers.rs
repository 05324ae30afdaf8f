//! What a peer of kubelet or kube-proxy is, and whose sockets a capture holds.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::common::{Netcheck, copy_of, edit_json, scratch, story};

const HEADER: &str = "State Recv-Q Send-Q Local Address:Port Peer Address:Port Process\n";

/// Replaces the connections of a component of n1 to the API server by one to `peer`.
fn with_peer(component: &str, peer: &str) -> tempfile::TempDir {
    let copy = copy_of("private-only");
    let path = copy.path().join("nodes/n1.txt");
    let rows: Vec<_> = fs::read_to_string(&path)
        .unwrap()
        .lines()
        .filter(|row| !(row.contains(component) && row.contains(":443 ")))
        .map(ToOwned::to_owned)
        .collect();
    let row = format!("ESTAB 0 0 192.168.1.20:46712 {peer} users:((\"{component}\",pid=3011,fd=22))\n");
    fs::write(path, rows.join("\n") + "\n" + &row).unwrap();
    copy
}

/// The gaps that a rule needs, as text.
fn needed(report: &Value) -> String {
    let gaps = report["gaps"].as_array().unwrap().iter();
    let needed = gaps.filter(|gap| !gap["rules"].as_array().unwrap().is_empty());
    needed.map(|gap| format!("{}: {}", gap["what"], gap["detail"])).collect::<Vec<_>>().join("\n")
}

/// A peer that is not the API server itself may lead to it: it is named, and never passes.
#[test]
fn a_peer_that_is_not_the_api_server_is_named() {
    for (peer, what) in [
        ("192.168.1.77:443", "it is in the VPC and no interface has it"),
        ("192.168.11.20:443", "eni-0dc0882f85105f3c2, load-balancer"),
        ("192.168.1.131:443", "eni-0bc58ece9312a8ab9, vpc-endpoint"),
        ("192.168.2.94:443", "eni-03ad6224432098c6f, node"),
        ("127.0.0.1:6443", "a proxy or load balancer on the node itself"),
        ("10.9.8.7:3128", "probably an HTTP proxy"),
        ("198.51.100.7:443", "whether that is the API server is not known"),
    ] {
        for component in ["kubelet", "kube-proxy"] {
            let copy = with_peer(component, peer);
            let (report, code) = Netcheck::audit(copy.path()).json();
            assert_eq!(code, 3, "{component} {peer}: {}", report["findings"]);
            let needed = needed(&report);
            assert!(needed.contains(what) && needed.contains(peer), "{component} {peer}: {needed}");
            let other = if component == "kubelet" { "kube-proxy" } else { "kubelet" };
            assert!(!needed.contains(other), "{component} {peer}: {needed}");
            let traffic = report["node_traffic"].as_array().unwrap();
            let n1 = traffic.iter().find(|node| node["node"] == "n1").unwrap();
            for one in n1["components"].as_array().unwrap() {
                let expected = if one["component"] == component { "unknown" } else { "private" };
                assert_eq!(one["path"], expected, "{component} {peer}");
            }
        }
    }
}

/// An address that DNS64 made of an ENI's is that of the ENI, with the well-known prefix
/// and with one of the VPC's own, which the answers show.
#[test]
fn nat64_embeds_the_address_of_an_eni() {
    for (prefix, is_shown, code) in
        [("64:ff9b::", true, 0), ("64:ff9b::", false, 0), ("fd00:64::", true, 0), ("fd00:64::", false, 3)]
    {
        // 192.168.1.55 is c0a8:137.
        let copy = with_peer("kubelet", &format!("[{prefix}c0a8:137]:443"));
        if is_shown {
            let answer = format!("192.168.1.55\n192.168.2.66\n{prefix}c0a8:137\n{prefix}c0a8:242\n");
            fs::write(copy.path().join("dns/n1.txt"), answer).unwrap();
        }
        let (report, exit_code) = Netcheck::audit(copy.path()).json();
        assert_eq!(exit_code, code, "{prefix} {is_shown}: {}", needed(&report));
    }
}

/// The same if a node's answers have no other address: they embed those of the ENIs.
#[test]
fn answers_of_nat64_alone_are_compared_with_the_enis() {
    for (answer, code) in [
        ("fd00:64::c0a8:137\nfd00:64::c0a8:242\n", 0),
        ("64:ff9b:1::c0a8:137\n", 0),
        // 192.168.1.77, which no interface has.
        ("fd00:64::c0a8:14d\n", 3),
    ] {
        let peer = answer.lines().next().unwrap();
        let copy = with_peer("kubelet", &format!("[{peer}]:443"));
        fs::write(copy.path().join("dns/n1.txt"), answer).unwrap();
        let (report, exit_code) = Netcheck::audit(copy.path()).json();
        assert_eq!(exit_code, code, "{answer}: {}", needed(&report));
        assert!(!report["findings"].to_string().contains("public"), "{answer}: {}", report["findings"]);
    }
}

/// A name that resolves to an address of a private or reserved range outside the VPC leads to a
/// load balancer of the operator or to nothing, and not to the public endpoint.
#[test]
fn an_answer_that_is_no_public_address_is_not_the_public_endpoint() {
    for address in ["10.50.0.10", "172.20.9.9", "100.64.9.9", "fd00:9::1", "0.0.0.0", "127.0.0.1", "::"] {
        let peer = if address.contains(':') { format!("[{address}]:443") } else { format!("{address}:443") };
        for is_connected in [true, false] {
            let copy = if is_connected { with_peer("kubelet", &peer) } else { copy_of("private-only") };
            fs::write(copy.path().join("dns/n1.txt"), format!("{address}\n")).unwrap();
            let (report, code) = Netcheck::audit(copy.path()).args(&["--fail-on", "high"]).json();
            assert_eq!(code, if is_connected { 3 } else { 0 }, "{address}: {}", needed(&report));
            let n1 = &report["node_traffic"][0];
            assert_eq!(n1["path"], if is_connected { "unknown" } else { "private" }, "{address}: {n1}");
            let findings = report["findings"].to_string();
            assert!(!findings.contains("public addresses, "), "{address}: {findings}");
        }
    }
}

/// Rewrites the capture of n1.
fn with_n1(rows: &[&str]) -> tempfile::TempDir {
    let copy = copy_of("private-only");
    fs::write(copy.path().join("nodes/n1.txt"), HEADER.to_owned() + &rows.join("\n") + "\n").unwrap();
    copy
}

const KUBELET: &str = "ESTAB 0 0 192.168.1.20:42778 192.168.1.55:443 users:((\"kubelet\",pid=3011,fd=13))";
const PROXY: &str = "ESTAB 0 0 192.168.1.20:42794 192.168.1.55:443 users:((\"kube-proxy\",pid=3322,fd=6))";
const SSHD: &str = "ESTAB 0 0 192.168.1.20:22 192.168.11.10:40712 users:((\"sshd\",pid=7745,fd=4))";

/// The local addresses of a node are those of one machine.
#[test]
fn several_machines_in_one_capture_are_told_apart() {
    for (name, row, code) in [
        ("nothing", SSHD, 0),
        (
            "a bridge, by the process of kubelet",
            "ESTAB 0 0 10.244.0.1:45619 10.244.0.13:80 users:((\"kubelet\",pid=3011,fd=14))",
            0,
        ),
        (
            "a secondary interface of the instance",
            "ESTAB 0 0 192.168.1.242:45619 192.168.2.66:443 users:((\"kubelet\",pid=3011,fd=14))",
            0,
        ),
        ("loopback", "ESTAB 0 0 127.0.0.1:45619 127.0.0.1:10248 users:((\"kubelet\",pid=3011,fd=14))", 0),
        (
            "IPv6, by the process",
            "ESTAB 0 0 [2600::20]:10250 [2600::1]:40000 users:((\"kubelet\",pid=3011,fd=14))",
            0,
        ),
        (
            "another kubelet",
            "ESTAB 0 0 10.1.2.3:45619 192.168.2.66:443 users:((\"kubelet\",pid=4711,fd=14))",
            3,
        ),
        ("another instance, without names", "ESTAB 0 0 192.168.2.94:45619 192.168.2.66:443", 3),
        ("another instance, in TIME-WAIT", "TIME-WAIT 0 0 192.168.2.94:45619 192.168.2.66:443", 3),
        (
            "another kubelet with the same pid",
            "ESTAB 0 0 10.1.2.3:45619 192.168.2.66:443 users:((\"kubelet\",pid=3011,fd=14))",
            3,
        ),
        (
            "another kube-proxy alone",
            "ESTAB 0 0 10.1.2.3:45619 192.168.2.66:443 users:((\"kube-proxy\",pid=4711,fd=14))",
            3,
        ),
    ] {
        let copy = with_n1(&[KUBELET, PROXY, SSHD, row]);
        let (report, exit_code) = Netcheck::audit(copy.path()).json();
        assert_eq!(exit_code, code, "{name}: {}", needed(&report));
        assert_eq!(needed(&report).contains("2 machines"), code == 3, "{name}: {}", needed(&report));
    }
}

/// Without EC2's lists, the processes tell machines apart.
#[test]
fn machines_are_told_apart_without_ec2() {
    let copy = with_n1(&[
        KUBELET,
        PROXY,
        "ESTAB 0 0 192.168.2.94:45619 192.168.2.66:443 users:((\"kubelet\",pid=4711,fd=14))",
    ]);
    for file in ["instances.json", "network-interfaces.json"] {
        fs::remove_file(copy.path().join(file)).unwrap();
    }
    let (report, _) = Netcheck::audit(copy.path()).json();
    assert!(needed(&report).contains("2 machines"), "{}", needed(&report));
}

/// `diff` calls no row of a node gone whose capture says that rows were left out.
#[test]
fn a_capture_with_rows_left_out_has_no_rows_that_are_gone() {
    let gone = |after: &str| {
        let copy = scratch();
        crate::common::copy(&story("private-only"), copy.path());
        fs::write(copy.path().join("nodes/n1.txt"), after).unwrap();
        let (diff, _) = Netcheck::diff(&story("private-only"), copy.path()).json();
        let changes = diff["changes"].as_array().unwrap().iter();
        changes.filter(|change| change["change"] == "gone").count()
    };
    let rest = format!("{HEADER}{PROXY}\n{SSHD}\n");
    assert!(gone(&rest) > 0);
    for marker in ["...", "[snip]", "--More--", "---Output truncated---"] {
        assert_eq!(gone(&format!("{rest}{marker}\n")), 0, "{marker}");
    }
}

/// A route by a prefix list may lead to the endpoint, except that of a gateway endpoint.
#[test]
fn routes_by_prefix_list_leave_the_way_out_open() {
    let with_route = |route: Value| {
        let copy = copy_of("exec-second-eni");
        edit_json(copy.path(), "route-tables.json", |json| {
            for table in json["RouteTables"].as_array_mut().unwrap() {
                table["Routes"].as_array_mut().unwrap().push(route.clone());
            }
        });
        exit_code(copy.path())
    };
    let gateway = json!({"DestinationPrefixListId": "pl-1", "GatewayId": "vpce-1", "State": "active"});
    assert_eq!(with_route(gateway), 0, "the prefix list of S3");
    let transit = json!({"DestinationPrefixListId": "pl-2", "TransitGatewayId": "tgw-1", "State": "active"});
    assert_eq!(with_route(transit), 3, "a prefix list that may contain the endpoint");
}

fn exit_code(dir: &Path) -> i32 {
    Netcheck::audit(dir).run().code
}

/// A node that resolves the name to public addresses is a finding, whatever the settings
/// are; a hybrid node is outside the VPC, where the name has public addresses.
#[test]
fn nodes_that_resolve_to_public_addresses_are_found() {
    let copy = copy_of("private-only");
    fs::write(copy.path().join("dns/n1.txt"), "3.39.55.189\n3.37.178.179\n").unwrap();
    let found = || {
        let (report, code) = Netcheck::audit(copy.path()).json();
        let findings = report["findings"].as_array().unwrap().iter();
        let subjects = findings.filter(|finding| finding["rule"] == "private-dns-unavailable");
        let subjects: Vec<_> =
            subjects.map(|finding| format!("{} {}", finding["severity"], finding["subject"])).collect();
        (code, subjects)
    };
    assert_eq!(found(), (0, vec!["\"medium\" \"n1\"".to_owned()]));
    edit_json(copy.path(), "cluster.json", |json| {
        json["cluster"]["remoteNetworkConfig"] =
            json!({"remoteNodeNetworks": [{"cidrs": ["192.168.1.20/32"]}]});
    });
    assert_eq!(found().1, Vec::<String>::new());
}
