//! Nodes: their connections, their probes and their addresses.

use serde_json::{Value, json};

use super::reach;
use crate::common::story;

/// Established connections decide as long as a new one to any address of the side may come about.
#[test]
fn connections_beside_probes_that_fail() {
    const ENIS: [&str; 2] = ["192.168.1.55:443", "192.168.2.66:443"];
    const PUBLIC: [&str; 2] = ["3.39.55.189:443", "3.37.178.179:443"];
    // The settings, what the two addresses answered, the proxy, and the exit code.
    type Case<'a> = (&'a str, [Option<&'a str>; 2], Option<&'a str>, i32);
    let cases: [Case<'_>; 11] = [
        ("private", [Some("timed-out"), Some("timed-out")], None, 3),
        ("private", [Some("refused"), Some("no-route")], None, 3),
        ("private", [Some("timed-out"), Some("done")], None, 0),
        ("private", [Some("timed-out"), None], None, 0),
        // A probe that could not be made shows nothing.
        ("private", [Some("timed-out"), Some("failed")], None, 0),
        ("private", [Some("failed"), Some("failed")], None, 0),
        // The connections do not go by the proxy.
        ("private", [Some("timed-out"), Some("timed-out")], Some("192.0.2.9:3128"), 0),
        ("public", [Some("timed-out"), Some("timed-out")], None, 3),
        ("public", [Some("timed-out"), Some("done")], None, 0),
        ("public", [Some("timed-out"), None], None, 0),
        ("public", [Some("timed-out"), Some("timed-out")], Some("192.0.2.9:3128"), 0),
    ];
    for (mode, results, proxy, exit) in cases {
        let dir = crate::common::copy_of_dir(&crate::common::fixtures().join("access").join(mode));
        let cluster: Value =
            serde_json::from_slice(&std::fs::read(dir.path().join("cluster.json")).unwrap()).unwrap();
        let host = cluster["cluster"]["endpoint"].as_str().unwrap().trim_start_matches("https://");
        let (addresses, target) = if mode == "private" { (ENIS, "eni") } else { (PUBLIC, "endpoint") };
        let answers = addresses.into_iter().zip(results).filter_map(|(address, result)| {
            let tcp = json!({"result": result?, "detail": "as told"});
            Some(json!({"address": address, "target": target, "proxy": proxy, "tcp": tcp}))
        });
        let probe = json!({
            "schema": "eks-netcheck.probe.v1", "host": host, "tool": "curl",
            "answers": answers.collect::<Vec<_>>(),
        });
        std::fs::create_dir_all(dir.path().join("probe")).unwrap();
        std::fs::write(dir.path().join("probe/n1.json"), probe.to_string()).unwrap();
        let ran = reach(dir.path(), "n1").run();
        assert_eq!(ran.code, exit, "{mode} {results:?} {proxy:?}: {} {}", ran.stdout, ran.stderr);
        // Another node's connections are its own.
        assert_eq!(reach(dir.path(), "n2").run().code, 0);
    }
}

/// A command replaces the whole list: the one for a node has the addresses of all nodes, so that
/// the commands for two nodes set the same list.
#[test]
fn the_list_for_a_node_has_the_addresses_of_all_nodes() {
    let lists = ["n2", "n3"].map(|node| {
        let ran = reach(&story("node-egress-missing"), node).run();
        let text = crate::common::joined(&ran.stdout);
        let list = text.split("publicAccessCidrs=").nth(1).unwrap_or_else(|| panic!("{text}"));
        let list = list.split_whitespace().next().unwrap();
        list.split(',').map(str::to_owned).collect::<std::collections::BTreeSet<_>>()
    });
    assert_eq!(lists[0], lists[1]);
    assert_eq!(lists[0].len(), 4, "{lists:?}");
}

/// A connection that is older than the list does not contradict the answer.
#[test]
fn a_node_that_is_still_connected_is_said_to_be() {
    let ran = reach(&story("node-egress-missing"), "n2").run();
    assert_eq!(ran.code, 1);
    let text = ran.stdout.split_whitespace().collect::<Vec<_>>().join(" ");
    let head = "NO new connections from n2 to the public endpoint of myeks are refused; it is connected now by \
        earlier ones: see public-access-cidrs ";
    assert!(text.starts_with(head), "{text}");
    let reason = "it is connected now, and new connections will be refused once these end";
    assert_eq!(text.matches(reason).count(), 1, "{text}");
}

/// What was seen of a node is a hint about the address with which it leaves the VPC, and others
/// that do; a command is not wrapped.
#[test]
fn the_address_of_a_node_that_is_cut_off_is_not_known_to_pass() {
    let ran = reach(&story("endpoint-black-holed"), "198.51.100.210").env("COLUMNS", "80").run();
    assert_eq!(ran.code, 3, "{}", ran.stdout);
    let start = ran.stdout.find(" nc -vz ").unwrap_or_else(|| panic!("{}", ran.stdout));
    let line = ran.stdout[..start].rsplit('\n').next().unwrap();
    assert!(line.trim().is_empty(), "{line}");
    assert!(crate::common::joined(&ran.stdout).contains("eks.amazonaws.com 443\n"), "{}", ran.stdout);
    // That of the other node does.
    assert_eq!(reach(&story("endpoint-black-holed"), "198.51.100.211").run().code, 0);
}
