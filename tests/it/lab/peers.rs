//! Peers of nodes that nothing explains: which are dialled, and what their certificates show.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use eks_netcheck_lab::sandbox::OPERATOR;
use eks_netcheck_lab::tls::{Answers, Shows, TlsServer};
use serde_json::{Value, json};

use super::{Access, Testbed, testbed};
use crate::aws::text;
use crate::common::{Netcheck, scratch};

const CLOSED: Answers = Answers::Api(401, 401, 401);

impl Testbed {
    /// A TLS server at an address of another host, to which kubelet of n1 is connected.
    fn peer(&self, address: &str, shows: Shows) -> TlsServer {
        let address: Ipv4Addr = address.parse().unwrap();
        let netns = self.lab.add_other_address(address).unwrap();
        let server = TlsServer::serve_in(&netns, (address, 443).into(), shows, CLOSED).unwrap();
        self.lab.node(0).dial("kubelet", (address, 443)).unwrap();
        server
    }

    /// A cluster whose endpoint has the name of the servers' certificates.
    fn name_endpoint(&self) {
        self.change_account(|account| {
            let cluster = account.clusters.get_mut("myeks").unwrap();
            cluster["endpoint"] = json!("https://localhost");
            cluster["certificateAuthority"]["data"] = json!(super::CERTIFICATE_AUTHORITY);
        });
    }
}

/// Whether this machine, as the operator's host, connected to a server.
fn is_dialled(server: &TlsServer) -> bool {
    server.clients().contains(&IpAddr::V4(OPERATOR))
}

/// The row of kubelet's connection to an address.
fn row<'a>(report: &'a Value, address: &str) -> &'a Value {
    let peer = format!("{address}:443");
    let rows = report["connections"].as_array().unwrap();
    rows.iter().find(|row| row["peer"] == *peer).unwrap_or_else(|| panic!("{address}: {report:#}"))
}

/// The message of the finding on an address; empty if there is none.
fn message(report: &Value, address: &str) -> String {
    let findings = report["findings"].as_array().unwrap().iter();
    let mut of_rule = findings.filter(|one| one["rule"] == "unattributed-connection");
    let is_it = |one: &&Value| text(&one["message"]).contains(&format!("{address}:443"));
    of_rule.find(is_it).map(|one| text(&one["message"]).to_owned()).unwrap_or_default()
}

#[test]
fn peers_are_attributed_by_the_certificate_that_they_show() {
    let testbed = testbed(Access::Public);
    testbed.name_endpoint();
    let signed = testbed.peer("203.0.113.50", Shows::First);
    let other = testbed.peer("203.0.113.51", Shows::Other);
    let inside = testbed.peer("192.168.30.30", Shows::First);
    // Addresses that are never dialled; each answers.
    let forbidden = ["169.254.169.254", "10.9.8.7", "172.20.0.9", "198.18.0.9"]
        .map(|one| testbed.peer(one, Shows::First));
    let own = SocketAddr::from((OPERATOR, 443));
    let own = TlsServer::serve_in(&testbed.lab.operator_netns(), own, Shows::First, CLOSED).unwrap();
    testbed.lab.node(0).dial("kubelet", (OPERATOR, 443)).unwrap();

    let (report, _) = testbed.audit(&["--timeout", "4", "--probe", "all"]);
    for (address, path, by, shown) in [
        ("203.0.113.50", "public-endpoint", "tls", ""),
        ("203.0.113.51", "unattributed", "none", "not this cluster's API server by its certificate"),
        ("192.168.30.30", "unattributed", "none", "or a load balancer before it"),
    ] {
        let row = row(&report, address);
        assert_eq!((text(&row["path"]), text(&row["by"])), (path, by), "{row}");
        let message = message(&report, address);
        assert_eq!(message.is_empty(), shown.is_empty(), "{address}: {message}");
        assert!(message.contains(shown), "{address}: {message}");
    }
    assert!(message(&report, "203.0.113.51").contains("issuer CN=Inspection CA"));
    assert!([&signed, &other, &inside].iter().all(|server| is_dialled(server)));
    for server in forbidden.iter().chain([&own]) {
        assert!(!is_dialled(server) && server.clients().len() == 1, "{server:?}");
    }
    // They are in the report all the same.
    for address in ["169.254.169.254", "10.9.8.7", "172.20.0.9", "198.18.0.9", "198.51.100.7"] {
        assert_eq!(row(&report, address)["path"], "unattributed");
    }

    // What is recorded gives the same findings.
    let dir = scratch();
    let out = dir.path().join("evidence");
    let path = out.to_str().unwrap();
    let ran = testbed.run(&[
        "collect",
        "--ssh-user",
        "ec2-user",
        "--timeout",
        "4",
        "--probe",
        "all",
        "--out",
        path,
    ]);
    assert!(out.join("probe/here.json").exists(), "{}", ran.stderr);
    let (recorded, _) = Netcheck::audit(&out).json();
    assert_eq!(recorded["probes"], report["probes"]);
    for address in ["203.0.113.50", "203.0.113.51", "192.168.30.30", "10.9.8.7"] {
        assert_eq!(message(&recorded, address), message(&report, address));
        assert_eq!(row(&recorded, address)["by"], row(&report, address)["by"]);
    }
    assert!(forbidden.iter().chain([&own]).all(|server| !is_dialled(server)));

    // Without probes nothing is dialled.
    let before = signed.clients().len();
    let (report, _) = testbed.audit(&["--probe", "none"]);
    assert_eq!(row(&report, "203.0.113.50")["path"], "unattributed");
    assert_eq!(signed.clients().len(), before);
}

#[test]
fn at_most_eight_peers_are_dialled() {
    let testbed = testbed(Access::Public);
    testbed.name_endpoint();
    let servers: Vec<_> =
        (60..72).rev().map(|last| testbed.peer(&format!("203.0.113.{last}"), Shows::Other)).collect();
    let (report, _) = testbed.audit(&["--timeout", "4", "--probe", "all"]);
    let dialled: Vec<_> = servers.iter().rev().map(is_dialled).collect();
    assert_eq!(dialled, [[true; 8].as_slice(), &[false; 4]].concat());
    let probes = report["probes"].as_array().unwrap().iter();
    assert_eq!(probes.filter(|one| one["target"] == "peer").count(), 8);
    // The others are findings without a certificate.
    assert!(message(&report, "203.0.113.67").contains("Inspection CA"));
    let without = message(&report, "203.0.113.68");
    assert!(!without.is_empty() && !without.contains("certificate"), "{without}");
}
