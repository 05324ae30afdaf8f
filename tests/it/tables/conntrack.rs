//! Entries of `conntrack -L`.

use std::collections::BTreeSet;
use std::fs;

use eks_netcheck::model::node::NodeStatus;
use serde_json::Value;

use super::{fixture, gaps};
use crate::common::{Netcheck, copy_of, fixtures};
use crate::dialects::read;

/// Real entries of conntrack of a node, 192.168.1.20, and of a pod on it, 192.168.1.101: the
/// node's own are those that `ss` printed at the same moment, with the destination of the
/// `ClusterIP` resolved.
#[test]
fn conntrack_shows_the_connections_of_the_node_itself() {
    let copy = copy_of("private-only");
    for file in ["conntrack.txt", "nf_conntrack.txt"] {
        fs::copy(fixtures().join("conntrack").join(file), copy.path().join("nodes/n1.txt")).unwrap();
        let (report, code) = Netcheck::audit(copy.path()).json();
        assert_eq!(code, 3, "{file}");
        let n1 = &report["nodes"][0];
        assert_eq!((&n1["name"], &n1["status"]), (&"n1".into(), &"no-process-names".into()), "{file}");
        assert_eq!(report["node_traffic"][0]["path"], "unknown", "{file}");
        let own: Vec<_> =
            report["connections"].as_array().unwrap().iter().filter(|row| row["node"] == "n1").collect();
        let shown: BTreeSet<_> = own
            .iter()
            .map(|row| {
                assert_eq!(row["process"], Value::Null);
                let text = |key: &str| row[key].as_str().unwrap_or_default().to_owned();
                [text("state"), text("local"), text("peer"), text("direction"), text("path")].join(" ")
            })
            .collect();
        let expected = [
            "ESTAB 192.168.1.20:10250 192.168.1.55:48443 inbound private-eni",
            // The ClusterIP, 10.100.0.1, and the ENI itself.
            "ESTAB 192.168.1.20:35583 192.168.1.55:443 outbound private-eni",
            "ESTAB 192.168.1.20:59549 192.168.1.55:443 outbound private-eni",
        ];
        assert_eq!(shown, expected.map(ToOwned::to_owned).into(), "{file}");
        let n1 = report["gaps"].as_array().unwrap().iter().filter(|gap| gap["what"] == "node n1");
        let reasons: Vec<_> = n1.map(|gap| gap["why"].as_str().unwrap()).collect();
        assert_eq!(reasons, ["incomplete", "no-process-names"], "{file}");
    }
    // Next to the same moment's ss: the sockets of the node.
    let table = fixture("conntrack/conntrack.txt");
    let rows = read(table.as_bytes()).rows;
    let of_ss = read(fixture("conntrack/ss_-tn.txt").as_bytes()).rows;
    let is_tracked = |row: &String| {
        let (_, addresses) = row.split_once(' ').unwrap();
        let (local, peer) = addresses.split_once(' ').unwrap();
        let peer = peer.replace("10.100.0.1", "192.168.1.55");
        rows.iter()
            .any(|row| row.ends_with(&format!("{local} {peer}")) || row.ends_with(&format!("{peer} {local}")))
    };
    assert_eq!(of_ss.iter().filter(|row| !is_tracked(row)).count(), 0);
    // Of 13 entries, 4 are of the pod, two of which the node only forwards to the ENI.
    assert_eq!(rows.len(), 13);
}

/// Without a name that says which address is the node's own, no entry counts.
#[test]
fn conntrack_of_an_unknown_node_has_no_connections() {
    let copy = copy_of("private-only");
    let table = fixture("conntrack/conntrack.txt");
    for (name, is_known) in [
        ("192.168.1.20", true),
        ("i-00d7b63458527ea51", true),
        ("ip-192-168-1-20", true),
        ("ip-192-168-1-20.ap-northeast-2.compute.internal", true),
        ("worker", false),
        // The address of a pod.
        ("192.168.1.249", false),
    ] {
        fs::remove_dir_all(copy.path().join("nodes")).unwrap();
        fs::create_dir(copy.path().join("nodes")).unwrap();
        fs::write(copy.path().join(format!("nodes/{name}.txt")), &table).unwrap();
        let (report, code) = Netcheck::audit(copy.path()).json();
        assert_eq!(code, 3, "{name}");
        assert_eq!(!report["connections"].as_array().unwrap().is_empty(), is_known, "{name}");
        let details = report["gaps"].to_string();
        assert_eq!(
            !details.contains("none of the connections counts as its own"),
            is_known,
            "{name}: {details}"
        );
        assert_eq!(report["node_traffic"][0]["path"], "unknown", "{name}");
    }
}

/// No entry of conntrack makes an audit pass, wherever a table was cut.
#[test]
fn conntrack_is_never_a_pass() {
    let copy = copy_of("private-only");
    let table = fixture("conntrack/conntrack.txt");
    for length in (0..=table.len()).step_by(table.len() / 40) {
        fs::write(copy.path().join("nodes/n1.txt"), &table[..length]).unwrap();
        let ran = Netcheck::audit(copy.path()).run();
        assert_eq!(ran.code, 3, "{length}: {}", ran.stdout);
    }
    // Cut in an address: the last entry is rejected.
    let at = table.rfind("192.168.1.55").unwrap() + "192.168.1.5".len();
    let capture = read(&table.as_bytes()[..at]);
    assert_eq!(capture.rejected.len(), 6, "{:?}", capture.rejected);
    let (status, details) = gaps(table.as_bytes());
    assert_eq!(status, NodeStatus::NoProcessNames);
    assert!(details.iter().all(|detail| detail.contains("conntrack")), "{details:?}");
    // Beside the sockets of ss, entries of conntrack change nothing.
    let sockets = fs::read_to_string(crate::common::story("private-only").join("nodes/n1.txt")).unwrap();
    fs::write(copy.path().join("nodes/n1.txt"), format!("{sockets}{table}")).unwrap();
    assert_eq!(Netcheck::audit(copy.path()).run().code, 0);
}
