//! The bound on the connections that are kept: it saves memory, and no outcome depends on
//! it.

use std::fmt::Write as _;
use std::fs;
use std::net::IpAddr;
use std::path::Path;
use std::process::Command;

use eks_netcheck::classify::{Classifier, Limits};
use eks_netcheck::evidence::directory::EvidenceDir;
use eks_netcheck::model::audit::{Audited, Summary};
use eks_netcheck::model::facts::Facts;
use eks_netcheck::model::node::{Extent, Node, NodeStatus, Tally, Via};
use eks_netcheck::model::socket::{Host, Port, Socket, SocketAddress, State};
use eks_netcheck::policy::Policy;
use eks_netcheck::report::FORMATS;
use eks_netcheck::report::format::ReportSettings;
use eks_netcheck::report::style::Style;
use eks_netcheck::rules;
use eks_netcheck::run::judge::judge_facts;
use proptest::prelude::*;
use serde_json::Value;

use crate::common::{Netcheck, copy_of, story};

/// A row of a capture: state, local and peer address, and process.
type Row = (State, (&'static str, u16), (&'static str, u16), &'static str);

/// Rows that differ by the ports of clients, for the most part.
fn row() -> impl Strategy<Value = Row> {
    let state = prop::sample::select(vec![State::Established, State::SynSent]);
    let outbound = (
        Just("192.168.1.20"),
        40_000..40_040u16,
        prop::sample::select(vec!["3.39.55.189", "192.168.1.55", "192.168.77.77", "198.51.100.7"]),
        Just(443),
    );
    let inbound = (
        Just("192.168.1.20"),
        Just(10250),
        prop::sample::select(vec!["192.168.1.55", "198.51.100.7", "127.0.0.1"]),
        50_000..50_040u16,
    );
    let comm = prop::sample::select(vec!["kubelet", "kube-proxy", "aws-k8s-agent"]);
    let ends = prop_oneof![
        outbound.prop_map(|(local, port, peer, to)| ((local, port), (peer, to))),
        inbound.prop_map(|(local, to, peer, port)| ((local, to), (peer, port))),
    ];
    (state, ends, comm).prop_map(|(state, (local, peer), comm)| (state, local, peer, comm))
}

fn classify<'a>(rows: impl Iterator<Item = &'a Row>, limits: Limits) -> Facts {
    let dir = EvidenceDir::open(&story("public-and-private-stale")).unwrap();
    let mut classifier = Classifier::with_limits(dir.read("myeks").unwrap(), limits);
    let name = "n1".parse().unwrap();
    let mut tally = Tally::default();
    let end = |(ip, port): (&str, u16)| SocketAddress {
        host: Host::Ip(ip.parse::<IpAddr>().unwrap()),
        port: Port::Number(port),
    };
    for &(state, local, peer, comm) in rows {
        tally.rows += 1;
        let socket = Socket { state, local: end(local), peer: end(peer) };
        classifier.add(&name, socket, [(comm.as_bytes(), Some(1))].into_iter());
    }
    let node = Node {
        name,
        status: NodeStatus::Read,
        tally,
        has_header: true,
        via: Some(Via::File),
        has_only_components: false,
        is_state_filtered: false,
        extent: Extent::Unknown,
        left_out: None,
        rejected: Vec::new(),
        gaps: Vec::new(),
    };
    classifier.finish(vec![node])
}

/// The reports in all formats, and the number of connections in the JSON report. It has
/// neither the connections nor the sentence about those that are not kept.
fn reports(facts: Facts) -> (Vec<String>, u64) {
    let judgment = judge_facts(&facts, &Policy::default(), None);
    let mut summary = Summary::default();
    summary.counts.add(judgment.verdict);
    let audited = Audited { facts, judgment };
    let settings = ReportSettings {
        is_many: false,
        rules: &rules::ALL,
        anchor: String::new(),
        time: 0,
        style: Style { width: 80, color: false },
        explain_paths: true,
        all: true,
    };
    let mut connections = 0;
    let reports = FORMATS.iter().map(|format| {
        let mut out = Vec::new();
        let mut writer = (format.write)(&settings);
        writer.cluster(&audited, &mut out).unwrap();
        writer.end(&summary, &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        if format.name != "json" {
            let lines = text.lines().filter(|line| !line.contains("are counted, and not kept"));
            return lines.collect::<Vec<_>>().join("\n");
        }
        let mut report: Value = serde_json::from_str(&text).unwrap();
        let report = report.as_object_mut().unwrap();
        let kept = report.remove("connections").unwrap().as_array().unwrap().len();
        let omitted = report.remove("connections_omitted").unwrap();
        let omitted = omitted.as_array().unwrap().iter().map(|one| one["count"].as_u64().unwrap());
        connections = kept as u64 + omitted.sum::<u64>();
        serde_json::to_string_pretty(report).unwrap()
    });
    (reports.collect(), connections)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Peers have at most six kinds of connections here, and the node about forty.
    #[test]
    fn no_outcome_depends_on_the_bound(
        rows in prop::collection::vec(row(), 0..400), repeated in 0..100usize, per_peer in 6..12usize,
        spare in 1..30usize,
    ) {
        let limits = Limits { per_peer, per_node: 60, total: 60, spare };
        let repeated = || rows.iter().chain(rows.iter().take(repeated));
        let unbounded = classify(repeated(), Limits::default());
        prop_assert_eq!(unbounded.connections_omitted.len(), 0);
        let bounded = classify(repeated(), limits);
        prop_assert!(bounded.connections.len() <= 60);
        prop_assert!(bounded.connections_omitted.iter().all(|omitted| omitted.kind.is_some()));
        let reversed = classify(repeated().rev(), limits);
        prop_assert_eq!(&bounded.connections, &reversed.connections);
        prop_assert_eq!(&bounded.connections_omitted, &reversed.connections_omitted);
        let (bounded, unbounded) = (reports(bounded), reports(unbounded));
        prop_assert_eq!(bounded, unbounded);
    }
}

fn write_rows(dir: &Path, rows: u32, row: fn(u32) -> String) {
    let mut text = "State Recv-Q Send-Q Local Address:Port Peer Address:Port Process\n".to_owned();
    for number in 0..rows {
        writeln!(text, "{}", row(number)).unwrap();
    }
    fs::write(dir.join("nodes/n1.txt"), text).unwrap();
}

#[test]
fn connections_beyond_the_bound_are_counted_in_json_and_table() {
    let copy = copy_of("public-and-private-stale");
    let row = |number: u32| match number % 2 {
        0 => format!(
            "ESTAB 0 0 192.168.1.20:{} 3.39.55.189:443 users:((\"kubelet\",pid=7,fd=2))",
            20_000 + number
        ),
        _ => format!(
            "ESTAB 0 0 192.168.1.20:10250 198.51.100.7:{} users:((\"kubelet\",pid=7,fd=2))",
            20_000 + number
        ),
    };
    write_rows(copy.path(), 3000, row);
    let (report, code) = Netcheck::audit(copy.path()).json();
    assert_eq!(code, 1);
    let of_n1 = |row: &&Value| row["node"] == "n1";
    let kept: Vec<_> = report["connections"].as_array().unwrap().iter().filter(of_n1).collect();
    assert_eq!(kept.len(), 2000);
    let omitted = &report["connections_omitted"];
    assert_eq!(omitted.as_array().unwrap().len(), 2);
    for (omitted, peer, path) in
        [(&omitted[0], "3.39.55.189:443", "public-endpoint"), (&omitted[1], "198.51.100.7:*", "unattributed")]
    {
        let expected = serde_json::json!({
            "node": "n1", "process": "kubelet", "peer": peer, "state": "ESTAB", "path": path, "count": 500,
        });
        assert_eq!(*omitted, expected);
    }
    let table = Netcheck::audit(copy.path()).arg("--all").run().stdout;
    for text in ["3.39.55.189:443 x1500", "198.51.100.7 x1500", "1000 connections are counted, and not kept"]
    {
        assert!(table.contains(text), "{text}: {table}");
    }
}

/// More different peers than a node has are a gap, and what they show is still found.
#[test]
fn peers_beyond_the_bound_are_a_gap() {
    let copy = copy_of("public-and-private-stale");
    write_rows(copy.path(), 12_000, |number| {
        let (high, low) = (number / 250, number % 250);
        format!("ESTAB 0 0 192.168.1.20:10250 198.51.{high}.{low}:5000 users:((\"kubelet\",pid=7,fd=2))")
    });
    let (report, code) = Netcheck::audit(copy.path()).json();
    assert_eq!(code, 3, "nothing at or above the threshold is left to find");
    let gaps = report["gaps"].as_array().unwrap();
    let detail = "2000 of its connections are counted and not judged: there are more different peers and processes than are kept";
    assert!(gaps.iter().any(|gap| gap["what"] == "node n1" && gap["detail"] == detail), "{gaps:?}");
    let omitted = serde_json::json!([{
        "node": "n1", "process": null, "peer": null, "state": "ESTAB", "path": "unattributed", "count": 2000,
    }]);
    assert_eq!(report["connections_omitted"], omitted);
    let findings = report["findings"].as_array().unwrap();
    let clients = findings.iter().filter(|finding| finding["rule"] == "unexpected-kubelet-client").count();
    assert_eq!(clients, 10_000);
}

/// Those that are counted only may be over the public endpoint.
#[test]
fn a_path_is_not_private_if_connections_are_counted_only() {
    for (rows, path) in [(100, "private"), (12_000, "unknown")] {
        let copy = copy_of("public-and-private-stale");
        write_rows(copy.path(), rows, |number| match number {
            0 | 1 => {
                let comm = ["kubelet", "kube-proxy"][number as usize];
                format!("ESTAB 0 0 192.168.1.20:5000 192.168.1.55:443 users:((\"{comm}\",pid={number},fd=2))")
            }
            _ => {
                let (high, low) = (number / 250, number % 250);
                format!("ESTAB 0 0 192.168.1.20:10250 198.51.{high}.{low}:5 users:((\"kubelet\",pid=7,fd=2))")
            }
        });
        let (report, _) = Netcheck::audit(copy.path()).json();
        assert_eq!(report["node_traffic"][0]["path"], path);
    }
}

/// Without the bound, the rows take twice as much.
#[test]
fn a_large_capture_is_judged_in_little_memory() {
    let copy = copy_of("public-and-private-stale");
    write_rows(copy.path(), 250_000, |number| {
        let (client, port) = (number / 60_000, 1024 + number % 60_000);
        format!("ESTAB 0 0 192.168.1.20:10250 10.0.0.{client}:{port} users:((\"kubelet\",pid=7,fd=2))")
    });
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -d 32768; exec \"$0\" audit --cluster myeks --evidence . --format json"]);
    let output =
        command.arg(env!("CARGO_BIN_EXE_eks-netcheck")).env_clear().current_dir(copy.path()).output();
    let output = output.unwrap();
    assert_eq!(output.status.code(), Some(3), "{}", String::from_utf8_lossy(&output.stderr));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let of_n1 = report["connections"].as_array().unwrap().iter().filter(|row| row["node"] == "n1").count();
    let omitted = report["connections_omitted"].as_array().unwrap();
    let omitted: u64 = omitted.iter().map(|one| one["count"].as_u64().unwrap()).sum();
    assert_eq!(of_n1 as u64 + omitted, 250_000);
}

/// Sockets beyond the bound are a gap of a comparison, and are not reported as changes.
#[test]
fn a_comparison_of_large_captures_takes_little_memory() {
    let sides = [0, 1].map(|side| {
        let copy = copy_of("public-and-private-stale");
        let row: fn(u32) -> String = [
            |number| {
                format!(
                    "ESTAB 0 0 192.168.1.20:10250 10.0.{}.1:{} users:((\"kubelet\",pid=7,fd=2))",
                    number / 50_000,
                    number % 50_000
                )
            },
            |number| {
                format!(
                    "ESTAB 0 0 192.168.1.20:10250 10.1.{}.1:{} users:((\"kubelet\",pid=7,fd=2))",
                    number / 50_000,
                    number % 50_000
                )
            },
        ][side];
        write_rows(copy.path(), 150_000, row);
        copy
    });
    let mut command = Command::new("sh");
    // Of these, 128 MiB are the program and what glibc reserves for a thread.
    command.args(["-c", "ulimit -v 327680; exec \"$0\" diff \"$1\" \"$2\" --format json"]);
    command
        .arg(env!("CARGO_BIN_EXE_eks-netcheck"))
        .args(sides.each_ref().map(tempfile::TempDir::path))
        .env_clear();
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let of_n1 = report["changes"].as_array().unwrap().iter().filter(|change| change["node"] == "n1");
    assert_eq!(of_n1.count(), 100_000);
    let detail = "200000 sockets exceeded the limit and were not kept";
    assert!(report["gaps"].as_array().unwrap().iter().any(|gap| gap["detail"] == detail));
}

/// However many peers a node has, the connections that are findings are among those kept.
#[test]
fn a_flood_of_peers_hides_no_finding() {
    let copy = copy_of("public-and-private-stale");
    let path = copy.path().join("nodes/n1.txt");
    let capture = std::fs::read_to_string(&path).unwrap();
    let (header, rows) = capture.split_once('\n').unwrap();
    let flood = |number: u32| {
        let (high, low) = (number >> 8, number & 255);
        format!("ESTAB 0 0 192.168.1.20:10250 11.0.{high}.{low}:41000 users:((\"kubelet\",pid=2957,fd=9))\n")
    };
    let flood: String = (0..10_100).map(flood).collect();
    std::fs::write(&path, format!("{header}\n{flood}{rows}")).unwrap();
    let (report, code) = Netcheck::audit(copy.path()).json();
    assert_eq!(code, 1, "{:#}", report["gaps"]);
    let is_stale = |finding: &Value| finding["rule"] == "node-on-public-path" && finding["subject"] == "n1";
    assert!(report["findings"].as_array().unwrap().iter().any(is_stale));
    assert_eq!(report["node_traffic"][0]["components"][0]["path"], "public");
}

/// Connections with pods decide nothing, however many of them are only counted.
#[test]
fn connections_that_decide_nothing_leave_no_gap() {
    let copy = copy_of("private-only");
    let before = Netcheck::audit(copy.path()).json();
    let path = copy.path().join("nodes/n1.txt");
    let pod = |number: u32| {
        let (high, low) = (number >> 8, number & 255);
        format!(
            "ESTAB 0 0 192.168.1.20:40000 192.168.{}.{low}:8080 users:((\"kubelet\",pid=2957,fd=9))\n",
            64 + high
        )
    };
    let capture = std::fs::read_to_string(&path).unwrap() + &(0..10_100).map(pod).collect::<String>();
    std::fs::write(&path, capture).unwrap();
    let after = Netcheck::audit(copy.path()).json();
    assert_ne!(after.0["connections_omitted"], serde_json::json!([]));
    assert_eq!(before.1, after.1);
    for part in ["findings", "gaps", "node_traffic", "verdict"] {
        assert_eq!(before.0[part], after.0[part]);
    }
}
