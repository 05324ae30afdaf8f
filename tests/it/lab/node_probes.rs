//! Probes from nodes, over the session that reads them.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use eks_netcheck_lab::sandbox::{PUBLIC, View};
use eks_netcheck_lab::tls::{Answers, Shows, TlsServer};
use serde_json::{Value, json};

use super::{Access, Testbed, rules, testbed};
use crate::common::{Netcheck, scratch};

const ANSWERING: &str = "203.0.113.50";
const REFUSING: &str = "203.0.113.51";
const SILENT: &str = "203.0.113.52";
const N1: &str = "192.168.10.10";

/// The word for the connection of a vantage point to an address of the endpoint, and what probed.
fn result<'a>(report: &'a Value, vantage: &str, address: &str) -> (&'a str, &'a str) {
    let address = format!("{address}:443");
    let mut probes = report["probes"].as_array().unwrap().iter();
    let probe = probes.find(|probe| probe["vantage"] == vantage && probe["address"] == *address);
    let probe = probe.unwrap_or_else(|| panic!("{vantage} {address}: {report:#}"));
    (probe["tcp"]["result"].as_str().unwrap(), probe["tool"].as_str().unwrap())
}

fn has_probed(report: &Value, vantage: &str) -> bool {
    report["probes"].as_array().unwrap().iter().any(|probe| probe["vantage"] == vantage)
}

/// What answers at the addresses that the endpoint's name has for the operator.
fn set_up(testbed: &Testbed) -> TlsServer {
    testbed.dial(PUBLIC);
    let addresses: [Ipv4Addr; 3] = [ANSWERING, REFUSING, SILENT].map(|one| one.parse().unwrap());
    let netns = addresses.map(|address| testbed.lab.add_other_address(address).unwrap());
    testbed.lab.set_dns(View::Operator, &addresses.map(IpAddr::V4)).unwrap();
    let at = SocketAddr::from((addresses[0], 443));
    TlsServer::serve_in(&netns[0], at, Shows::First, Answers::Api(401, 200, 200)).unwrap()
}

/// Until it is dropped, packets of n1 to the silent address are dropped.
struct Blocked<'a>(&'a Testbed);

impl<'a> Blocked<'a> {
    fn new(testbed: &'a Testbed) -> Self {
        testbed.lab.block(N1.parse().unwrap(), SILENT.parse().unwrap()).unwrap();
        Self(testbed)
    }
}

impl Drop for Blocked<'_> {
    fn drop(&mut self) {
        let _ = self.0.lab.unblock(N1.parse().unwrap(), SILENT.parse().unwrap());
    }
}

#[test]
fn each_node_tells_which_addresses_it_reaches() {
    let testbed = testbed(Access::Public);
    let server = set_up(&testbed);
    let _blocked = Blocked::new(&testbed);
    let nodes = [
        "--node",
        "curl=192.168.10.10",
        "--node",
        "bash=nocurl@192.168.10.10",
        "--node",
        "none=noawk@192.168.10.10",
    ];
    let began = Instant::now();
    let (plain, plain_code) = testbed.audit(&[&nodes[..], &["--timeout", "8", "--probe", "none"]].concat());
    let without = began.elapsed();
    let began = Instant::now();
    let (report, code) = testbed.audit(&[&nodes[..], &["--timeout", "8", "--probe", "nodes"]].concat());
    let extra = began.elapsed().saturating_sub(without);
    assert!(extra < Duration::from_secs(8), "{extra:?}");
    for (vantage, tool) in [("curl", "curl"), ("bash", "bash")] {
        assert_eq!(result(&report, vantage, ANSWERING), ("done", tool));
        assert_eq!(result(&report, vantage, REFUSING), ("refused", tool));
        assert_eq!(result(&report, vantage, SILENT), ("timed-out", tool));
    }
    assert!(!has_probed(&report, "none") && !has_probed(&report, "here"));
    // Host and SNI are the endpoint's, and no credentials are sent.
    let requests = server.requests();
    assert_eq!(requests.len(), 1, "{requests:?}");
    assert!(requests[0].contains("/livez") && !requests[0].to_lowercase().contains("authorization"));
    // No rule depends on it. Only the node that could not probe is listed as well.
    let mut gaps = report["gaps"].as_array().unwrap().clone();
    let at = gaps.iter().position(|gap| gap["what"] == "probe/none.json").unwrap();
    assert_eq!(gaps.remove(at)["rules"], json!([]));
    let plain_gaps = plain["gaps"].as_array().unwrap();
    assert_eq!((code, lasting(&report), &gaps), (plain_code, lasting(&plain), plain_gaps));
    assert_eq!(report["nodes"].as_array().unwrap().len(), 3);

    // What is recorded gives the same report.
    let dir = scratch();
    let out = dir.path().join("evidence");
    let recording = ["collect", "--ssh-user", "ec2-user", "--out", out.to_str().unwrap(), "--timeout", "8"];
    let ran = testbed.run(&[&recording[..], &nodes[..], &["--probe", "nodes"]].concat());
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let manifest: Value = serde_json::from_slice(&fs::read(out.join("manifest.json")).unwrap()).unwrap();
    let gap = manifest["gaps"].as_array().unwrap().iter().find(|gap| gap["what"] == "probe/none.json");
    let gap = gap.unwrap_or_else(|| panic!("{manifest:#}"));
    assert_eq!(gap["why"], "not-supported");
    assert!(gap["detail"].as_str().unwrap().contains("neither curl nor bash"), "{gap}");
    let (recorded, _) = Netcheck::audit(&out).json();
    assert_eq!(recorded["probes"], report["probes"]);
    assert_eq!(lasting(&recorded), lasting(&report));
}

/// The rules with findings, without that of the attempts to connect: the three nodes are one host,
/// and the sockets that are read of one may have the probe of another.
fn lasting(report: &Value) -> Vec<&str> {
    rules(report).into_iter().filter(|rule| *rule != "endpoint-connection-hanging").collect()
}

#[test]
fn a_node_cannot_make_up_answers() {
    let testbed = testbed(Access::Public);
    let _server = set_up(&testbed);
    let script = testbed.lab.node(0).root().join("tmp/curl");
    let says = |text: &str| format!("printf '%b' '{text}'\n");
    for (curl, is_accepted) in [
        (says("=(200 0.1 0.2 @)="), true),
        (says("=(200 0.1 0.2 @\\n9 curl 0 other 200 0.1 0.2 @)="), false),
        (says("=(200 0.1 0.2 @\\n1 curl 0 other 200 0.1 0.2 @)="), false),
        (says("=(200 0.1 \\033[31m0.2 @)="), false),
        (says("=(200 0.1 inf @)="), false),
        (says("=(200 0.1 0.2 @198.51.100.99)="), false),
        ("head -c 100000 /dev/zero | tr '\\0' 1 | sed 's/^/=(/; s/$/)=/'\n".to_owned(), false),
    ] {
        fs::write(&script, &curl).unwrap();
        let (report, gaps) = testbed.audit_n1("liar@192.168.10.10", &["--timeout", "8", "--probe", "nodes"]);
        assert_eq!(has_probed(&report, "n1"), is_accepted, "{curl}");
        assert_eq!((gaps, &report["nodes"][0]["status"]), (Vec::new(), &json!("read")), "{curl}");
        for probe in report["probes"].as_array().unwrap() {
            assert_eq!((&probe["vantage"], &probe["tool"]), (&json!("n1"), &json!("curl")));
            assert_eq!(probe["tls"]["trust"], "unknown", "{probe}");
        }
    }
    // The table that was read before is kept.
    fs::write(&script, "exec sleep infinity\n").unwrap();
    let began = Instant::now();
    let (report, gaps) = testbed.audit_n1("liar@192.168.10.10", &["--timeout", "4", "--probe", "nodes"]);
    assert!(began.elapsed() < Duration::from_secs(12));
    assert_eq!((gaps, &report["nodes"][0]["status"]), (Vec::new(), &json!("read")), "{report:#}");
    assert!(report["connections"].as_array().unwrap().len() >= 3 && !has_probed(&report, "n1"));
}
