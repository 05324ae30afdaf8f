//! "Seen from": what each place resolves and reaches.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;

use eks_netcheck::classify::Classifier;
use eks_netcheck::evidence::directory::EvidenceDir;
use eks_netcheck::model::architecture::Observation;
use eks_netcheck::model::facts::Facts;
use eks_netcheck::model::probe::{
    AddressProbe, Attempt, Probe, ProbeCause, ProbeFailure, ProbeTarget, ProbeWay,
};
use eks_netcheck::model::reaches::Reaches;
use eks_netcheck::model::seen_from::SeenBy;
use serde_json::{Value, json};

use crate::common::{Netcheck, copy_of, story};

/// The rows as `place address: resolves reaches path by`.
fn rows(report: &Value) -> Vec<String> {
    let row = |row: &Value| {
        let text = |key: &str| row[key].as_str().unwrap();
        let by: Vec<_> = row["by"].as_array().unwrap().iter().map(|by| by.as_str().unwrap()).collect();
        let [place, address, resolves, reaches, path] =
            ["place", "address", "resolves", "reaches", "path"].map(text);
        format!("{place} {address}: {resolves} {reaches} {path} {}", by.join("+"))
    };
    report["seen_from"].as_array().unwrap().iter().map(row).collect()
}

#[test]
fn each_place_has_a_row_for_each_address() {
    let (report, _) = Netcheck::audit(&story("public-and-private-stale")).json();
    assert_eq!(
        rows(&report),
        [
            "here 3.37.178.179: yes unknown public-endpoint dns",
            "here 3.39.55.189: yes unknown public-endpoint dns",
            "here 192.168.1.55: no unknown private-eni dns",
            "here 192.168.2.66: no unknown private-eni dns",
            "n1 3.37.178.179: no yes public-endpoint dns+socket",
            "n1 3.39.55.189: no yes public-endpoint dns+socket",
            "n1 10.100.0.1: no yes cluster-ip dns+socket",
            "n1 192.168.1.55: yes unknown private-eni dns",
            "n1 192.168.2.66: yes unknown private-eni dns",
            "n2 3.37.178.179: no unknown public-endpoint dns",
            "n2 3.39.55.189: no unknown public-endpoint dns",
            "n2 10.100.0.1: no yes cluster-ip dns+socket",
            "n2 192.168.1.55: yes yes private-eni dns+socket",
            "n2 192.168.2.66: yes yes private-eni dns+socket",
        ]
    );
    let kinds: BTreeMap<_, _> = report["seen_from"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| (row["place"].as_str().unwrap(), row["kind"].as_str().unwrap()))
        .collect();
    assert_eq!(kinds, BTreeMap::from([("here", "operator"), ("n1", "node"), ("n2", "node")]));
}

/// Without an answer nothing is said about names, and attempts alone are no connection.
#[test]
fn what_was_not_seen_is_unknown() {
    let copy = copy_of("endpoint-black-holed");
    let (report, _) = Netcheck::audit(copy.path()).json();
    let of_n1: Vec<_> = rows(&report).into_iter().filter(|row| row.starts_with("n1 3.")).collect();
    assert!(of_n1.iter().any(|row| row.contains(": unknown no public-endpoint socket")), "{of_n1:?}");
    // Another vantage point, and an answer that failed.
    fs::write(copy.path().join("dns/corp.txt"), "3.39.55.189\n").unwrap();
    fs::write(copy.path().join("dns/vpn.txt"), ";; connection timed out\n").unwrap();
    let (report, _) = Netcheck::audit(copy.path()).json();
    let rows = rows(&report);
    for row in [
        "corp 3.39.55.189: yes unknown public-endpoint dns",
        "corp 3.37.178.179: no unknown public-endpoint dns",
        "vpn 3.39.55.189: unknown unknown public-endpoint ",
    ] {
        assert!(rows.contains(&row.to_owned()), "no {row:?} in {rows:?}");
    }
    // A capture of attempts alone, as after grep, does not show that there is nothing else.
    let path = copy.path().join("nodes/n1.txt");
    let lines = fs::read_to_string(&path).unwrap();
    let text: Vec<_> = lines.lines().filter(|line| line.contains("SYN-SENT")).collect();
    assert!(!text.is_empty());
    let text = text.join("\n");
    fs::write(path, text).unwrap();
    let (report, _) = Netcheck::audit(copy.path()).json();
    let reaches: Vec<_> =
        report["seen_from"].as_array().unwrap().iter().filter(|row| row["place"] == "n1").collect();
    assert!(reaches.iter().all(|row| row["reaches"] == "unknown"), "{reaches:?}");
}

fn probed(address: &str, target: ProbeTarget, tcp: Attempt) -> AddressProbe {
    AddressProbe {
        address: address.parse().unwrap(),
        target,
        way: ProbeWay::Direct,
        source: None,
        tcp,
        tls: None,
        http: Vec::new(),
    }
}

/// Facts of a story with answers to probes from one vantage point, by default a node.
fn with_probes(vantage: Option<&str>, answers: Vec<AddressProbe>) -> Facts {
    let dir = EvidenceDir::open(&story("public-and-private-stale")).unwrap();
    let mut evidence = dir.read("myeks").unwrap();
    let node = evidence.node_instances().next().unwrap().id.clone();
    let vantage = vantage.map_or(node, ToOwned::to_owned);
    evidence.probes.push(Probe {
        vantage,
        host: "x".to_owned(),
        tool: eks_netcheck::model::probe::ProbeTool::Own,
        answers,
    });
    Classifier::new(evidence).finish(Vec::new())
}

#[test]
fn probes_show_what_is_reached() {
    let cause = ProbeCause::TimedOut;
    let failed = Attempt::Failed(ProbeFailure { cause, detail: "timed out after 3s".to_owned() });
    let facts = with_probes(
        Some("here"),
        vec![
            probed("3.37.178.179:443", ProbeTarget::Endpoint, Attempt::Done),
            probed("3.39.55.189:443", ProbeTarget::Endpoint, failed.clone()),
            probed("192.168.1.55:443", ProbeTarget::Eni, failed),
            probed("198.51.100.7:443", ProbeTarget::Peer, Attempt::Done),
        ],
    );
    let here: BTreeMap<_, _> = facts
        .seen_from
        .sights
        .iter()
        .filter(|sight| facts.seen_from.places[sight.place].name == "here")
        .map(|sight| (sight.address.to_string(), sight.view.reaches.as_str()))
        .collect();
    assert_eq!(here["3.37.178.179"], "yes");
    assert_eq!(here["3.39.55.189"], "no");
    // Outside the VPC, an ENI is not expected to answer; a peer is not the endpoint's.
    assert_eq!(here["192.168.1.55"], "unknown");
    assert!(!here.contains_key("198.51.100.7"));
    let leg = &facts.architecture[0];
    let texts: Vec<_> = leg.observed.iter().map(Observation::text).collect();
    assert_eq!(
        texts[..2],
        [
            "here: a probe connected to 3.37.178.179:443 (public-endpoint)",
            "here: a probe did not connect to 3.39.55.189:443 (public-endpoint)"
        ]
    );
    let differs: Vec<_> = leg.differs.iter().map(|one| one.text.as_str()).collect();
    assert_eq!(differs, ["3.39.55.189:443 was not reached from here: timed out after 3s"]);
    assert!(leg.not_seen.is_empty(), "{:?}", leg.not_seen);
    // From a node, an ENI that answers is the private endpoint.
    let facts = with_probes(None, vec![probed("192.168.1.55:443", ProbeTarget::Eni, Attempt::Done)]);
    let text = facts.architecture[1].observed[0].text();
    assert!(text.contains(": a probe connected to 192.168.1.55:443 eni-"), "{text}");
}

/// Outside the VPC, another network may have the address of an ENI: what answers TCP there is
/// reported as that and no more.
#[test]
fn an_unchecked_answer_at_the_address_of_an_eni_is_not_reached() {
    let copy = copy_of("public-and-private-stale");
    let cluster: Value =
        serde_json::from_slice(&fs::read(copy.path().join("cluster.json")).unwrap()).unwrap();
    let host = cluster["cluster"]["endpoint"].as_str().unwrap().trim_start_matches("https://").to_owned();
    fs::create_dir(copy.path().join("probe")).unwrap();
    let record = |place: &str| {
        let answers = json!([{"address": "192.168.1.55:443", "target": "eni", "tcp": {"result": "done"}}]);
        let probe = json!({"schema": "eks-netcheck.probe.v1", "host": &host, "answers": answers});
        fs::write(copy.path().join(format!("probe/{place}.json")), probe.to_string()).unwrap();
    };
    record("here");
    let (report, _) = Netcheck::audit(copy.path()).json();
    let sight = |report: &Value, place: &str| {
        let rows = report["seen_from"].as_array().unwrap().iter();
        let mut of = rows.filter(|row| row["place"] == place && row["address"] == "192.168.1.55");
        of.next().unwrap().clone()
    };
    let here = sight(&report, "here");
    assert_eq!((&here["reaches"], &here["tcp_answered"]), (&json!("unknown"), &json!(true)), "{here}");
    let observed = report["architecture"][0]["observed"].as_array().unwrap();
    let answered: Vec<_> = observed.iter().filter(|one| one["result"] == "answered").collect();
    assert_eq!(answered.len(), 1, "{observed:#?}");
    let text = answered[0]["text"].as_str().unwrap();
    assert!(text.starts_with("here: TCP answered, not checked by what, at 192.168.1.55:443 eni-"), "{text}");
    assert!(!observed.iter().any(|one| one["text"].as_str().unwrap().contains("connected to 192.168")));
    for (format, words) in [
        ("table", "TCP answered ─▶"),
        ("markdown", "unknown: TCP answered"),
        ("html", ">TCP answered</text>"),
    ] {
        let args = ["--explain-paths", "--all", "--format", format];
        let ran = Netcheck::audit(copy.path()).args(&args).env("COLUMNS", "160").run();
        assert!(ran.stdout.contains(words), "{format}: {}", ran.stdout);
    }
    // A node is in the VPC, where the address is that of the ENI.
    record("n1");
    let (report, _) = Netcheck::audit(copy.path()).json();
    let node = sight(&report, "n1");
    assert_eq!((&node["reaches"], &node["tcp_answered"]), (&json!("yes"), &json!(false)), "{node}");
}

/// Nodes that see the same take one line, however many there are; JSON lists all.
#[test]
fn alike_nodes_take_one_line() {
    const NODES: usize = 998;
    let copy = copy_of("study-public");
    for number in 0..NODES {
        let mut text = "State Recv-Q Send-Q Local Address:Port Peer Address:Port Process\n".to_owned();
        for (process, peer) in [("kubelet", "3.39.55.189"), ("kube-proxy", "3.37.178.179")] {
            let local = format!("10.9.{}.{}", number / 256, number % 256);
            writeln!(text, "ESTAB 0 0 {local}:5000 {peer}:443 users:((\"{process}\",pid=1,fd=2))").unwrap();
        }
        fs::write(copy.path().join(format!("nodes/node-{number}.txt")), text).unwrap();
    }
    let ran = Netcheck::audit(copy.path()).args(&["--explain-paths", "--all"]).env("COLUMNS", "80").run();
    let (_, seen) = ran.stdout.split_once("\nSeen from: ").unwrap();
    let seen = seen.split("\n\n").next().unwrap();
    // The two of the story see the same.
    assert!(seen.contains("\n1000 nodes  3.37.178.179,"), "{seen}");
    // Three rows of at most two lines each.
    assert!((6..=9).contains(&seen.lines().count()), "{seen}");
    assert!(ran.stdout.contains("│ 1000 nodes: n1, n2, node-0, "), "{}", ran.stdout);
    let (report, _) = Netcheck::audit(copy.path()).json();
    let (rows, omitted) = (report["seen_from"].as_array().unwrap().len(), &report["seen_from_omitted"]);
    assert_eq!((rows, omitted), (2 + 2 * 1000 + 2, &Value::from(0)));
    let observed = &report["architecture"][1]["observed"][0];
    assert_eq!(
        (observed["places_total"].as_u64(), observed["places"].as_array().unwrap().len()),
        (Some(1000), 50)
    );
}

/// The section does not double the report.
#[test]
fn the_section_is_short() {
    for name in crate::common::subdirs(&crate::common::fixtures().join("evidence")) {
        let table = Netcheck::audit(&story(&name)).arg("--all").env("COLUMNS", "80").run().stdout;
        let section =
            table.split_once("\nSeen from: ").map(|(_, rest)| rest.split("\n\n").next().unwrap()).unwrap();
        assert!(section.lines().count() <= 16, "{name}: {section}");
    }
}

/// A recorded probe: directly it fails, by a proxy it connects.
#[test]
fn recorded_probes_are_shown() {
    let copy = copy_of("study-public");
    fs::create_dir(copy.path().join("probe")).unwrap();
    let answers = json!([
        {"address": "3.39.55.189:443", "target": "endpoint",
         "tcp": {"result": "timed-out", "detail": "no answer within 3 s"}},
        {"address": "3.39.55.189:443", "target": "endpoint", "proxy": "proxy.example:3128",
         "tcp": {"result": "done"}},
    ]);
    let host = "97F6F1D8710EF1C6DBA0701CC11150C8.gr7.ap-northeast-2.eks.amazonaws.com";
    let probe = json!({"schema": "eks-netcheck.probe.v1", "host": host, "answers": answers});
    fs::write(copy.path().join("probe/here.json"), probe.to_string()).unwrap();
    let (report, _) = Netcheck::audit(copy.path()).json();
    let row = "here 3.39.55.189: yes yes public-endpoint dns+probe".to_owned();
    assert!(rows(&report).contains(&row), "{:?}", rows(&report));
    let leg = &report["architecture"][0];
    assert_eq!(leg["not_seen"], json!([]));
    let text = "3.39.55.189:443 was not reached from here: no answer within 3 s";
    assert_eq!(leg["differs"], json!([{"kind": "unreached", "text": text}]));
    let ran = Netcheck::audit(copy.path()).args(&["--explain-paths"]).env("COLUMNS", "120").run();
    for line in [
        "│ here ├─ probe ─▶│ public endpoint",
        "│ here ├─ probe ─╳│ public endpoint",
        "by the proxy proxy.example:3128",
    ] {
        assert!(ran.stdout.contains(line), "no {line} in {}", ran.stdout);
    }
}

#[test]
fn a_probe_that_could_not_be_made_shows_nothing() {
    let reaches = |causes: &[ProbeCause]| {
        let probes = causes.iter().map(|&cause| {
            let failed = Attempt::Failed(ProbeFailure { cause, detail: "a test".to_owned() });
            probed("203.0.113.9:443", ProbeTarget::Endpoint, failed)
        });
        let facts = with_probes(None, probes.collect());
        let of = |sight: &&eks_netcheck::model::seen_from::Sight| sight.address.to_string() == "203.0.113.9";
        let sight = facts.seen_from.sights.iter().find(of).unwrap();
        (sight.view.reaches, sight.view.by.contains(&SeenBy::Probe))
    };
    for cause in [ProbeCause::TimedOut, ProbeCause::Refused, ProbeCause::NoRoute, ProbeCause::Reset] {
        assert_eq!(reaches(&[cause]), (Reaches::No, true), "{cause:?}");
    }
    for cause in [ProbeCause::Proxy, ProbeCause::Failed] {
        assert_eq!(reaches(&[cause]), (Reaches::Unknown, false), "{cause:?}");
        assert_eq!(reaches(&[ProbeCause::TimedOut, cause]), (Reaches::Unknown, false), "{cause:?}");
    }
}
