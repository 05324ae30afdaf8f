//! Predictions of `simulate`, compared with what happens: the lab is switched from each
//! access mode to each, with several lists of blocks, and its clients connect again.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use eks_netcheck_lab::sandbox::{CLUSTER_IP, ENIS, EndpointAccess, OPERATOR, PUBLIC};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{Testbed, testbed};
use crate::common::scratch;
use crate::predictions::is_named;

/// Everybody.
const ALL: &[&str] = &["0.0.0.0/0"];
/// The public addresses of both nodes, 203.0.113.20 and .21.
const NODES: &[&str] = &["203.0.113.20/31"];
/// The operator's address, and the public address of one node.
const ONE_NODE: &[&str] = &["203.0.113.20/32", "198.51.100.7/32"];
/// The operator's address.
const OF_OPERATOR: &[&str] = &["198.51.100.7/32"];
/// Nobody in the lab.
const NOBODY: &[&str] = &["192.0.2.0/24"];

/// An access: the blocks that reach the public endpoint, and whether private access is on.
type Access = (Option<&'static [&'static str]>, bool);

/// Where the lab is switched from: each mode, with a list that shows the operator's address and
/// with one that does not.
const FROM: [Access; 3] = [(Some(ALL), false), (Some(OF_OPERATOR), true), (None, true)];
/// Where it is switched to: each mode, with several lists.
const TO: [Access; 9] = [
    (Some(ALL), false),
    (Some(NODES), false),
    (Some(ONE_NODE), false),
    (Some(OF_OPERATOR), false),
    (Some(ALL), true),
    (Some(OF_OPERATOR), true),
    (Some(NODES), true),
    (Some(NOBODY), true),
    (None, true),
];

/// What a client reaches: `public`, `private` or `cluster-ip`; `None` if nothing.
type Reached = Option<&'static str>;

/// The name of an access mode, as `--access` takes it.
fn mode((public, private): Access) -> &'static str {
    match (public, private) {
        (None, _) => "private",
        (Some(_), true) => "public-and-private",
        (Some(_), false) => "public",
    }
}

/// An access with its list, for the table.
fn described(access: Access) -> String {
    let list = access.0.map(|blocks| format!(" {}", blocks.join(","))).unwrap_or_default();
    mode(access).to_owned() + &list
}

/// The operator's name as a client whose address is given.
const NAMED: &str = "laptop";

/// The processes of a node that connect by the endpoint's name.
const PROCESSES: [&str; 2] = ["kubelet", "kube-proxy"];

impl Testbed {
    /// Switches AWS's description, and connects all processes of the nodes again.
    fn switch(&self, (public, private): Access) {
        let mut account = self.lab.account();
        let cluster = account.clusters.get_mut("myeks").unwrap();
        cluster["certificateAuthority"]["data"] = json!(super::CERTIFICATE_AUTHORITY);
        let config = &mut cluster["resourcesVpcConfig"];
        config["endpointPublicAccess"] = json!(public.is_some());
        config["endpointPrivateAccess"] = json!(private);
        config["publicAccessCidrs"] = json!(public.unwrap_or_default());
        // A node's name is the host name of its instance.
        let instances = account.reservations.iter_mut().map(|reservation| &mut reservation["Instances"][0]);
        for (instance, node) in instances.zip(self.lab.nodes()) {
            instance["PrivateDnsName"] = json!(node.name());
        }
        self.aws.set_account(account);
        self.lab.reset_connections().unwrap();
        for node in self.lab.nodes() {
            let addresses = node.resolve_endpoint().unwrap();
            for (process, address) in PROCESSES.iter().zip(addresses.iter().cycle()) {
                node.dial_nonblocking(process, (*address, 443)).unwrap();
            }
            node.dial("aws-k8s-agent", (CLUSTER_IP, 443)).unwrap();
        }
    }

    /// Records the cluster as it is, with what its addresses answer to probes.
    fn record(&self) -> TempDir {
        let out = scratch();
        let dir = out.path().join("evidence");
        let dir = dir.to_str().unwrap();
        let ran = self.run(&["collect", "--ssh-user", "ec2-user", "--probe", "all", "--out", dir]);
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        let probe = std::fs::read(out.path().join("evidence/probe/here.json")).unwrap();
        let probe: Value = serde_json::from_slice(&probe).unwrap();
        let answers = probe["answers"].as_array().unwrap();
        assert!(!answers.is_empty());
        for answer in answers {
            assert_eq!(answer["source"], OPERATOR.to_string(), "{answer:#}");
        }
        out
    }

    /// What `simulate` says about each client: whether it will reach the endpoint, and where.
    fn predict(&self, recorded: &TempDir, to: Access) -> Value {
        let dir = recorded.path().join("evidence");
        let mut args = vec!["simulate", "--evidence", dir.to_str().unwrap(), "--format", "json"];
        args.extend(["--access", mode(to)]);
        let operator = format!("{NAMED}={OPERATOR}/32");
        args.extend(["--client", &operator]);
        let blocks = to.0.map(|blocks| blocks.join(","));
        if let Some(blocks) = &blocks {
            args.extend(["--public-cidrs", blocks]);
        }
        let ran = self.run(&args);
        assert!([0, 1, 3].contains(&ran.code), "{} to {}: {}", ran.code, described(to), ran.stderr);
        let report: Value = serde_json::from_str(&ran.stdout).unwrap_or_else(|_| panic!("{}", ran.stderr));
        let code = ["safe", "breaks", "", "unknown"].iter().position(|verdict| report["verdict"] == *verdict);
        assert_eq!(code.map(|code| code.to_string()), Some(ran.code.to_string()), "{report:#}");
        report
    }

    /// What each client reaches: the nodes' processes by an audit, the operator by an attempt.
    fn observe(&self) -> BTreeMap<String, Reached> {
        let (report, _) = self.audit(&["--fail-on", "never", "--probe", "none"]);
        let nodes = report["nodes"].as_array().unwrap();
        assert!(nodes.iter().all(|node| node["status"] == "read"), "{report:#}");
        let mut reached = BTreeMap::new();
        for node in self.lab.nodes() {
            for process in PROCESSES.into_iter().chain(["aws-k8s-agent"]) {
                reached
                    .insert(format!("{} {process}", node.name()), established(&report, node.name(), process));
            }
        }
        let answered = self.lab.connect_as_operator().unwrap();
        for name in ["here", NAMED] {
            reached.insert(name.to_owned(), answered.first().map(|address| side(*address)));
        }
        reached
    }
}

/// On which side of the endpoint an address is.
fn side(address: IpAddr) -> &'static str {
    let is_one_of = |addresses: &[Ipv4Addr]| addresses.iter().any(|one| IpAddr::V4(*one) == address);
    match () {
        () if is_one_of(&PUBLIC) => "public",
        () if is_one_of(&ENIS) => "private",
        () => panic!("{address}"),
    }
}

/// The side on which a process of a node has an established connection, in a report.
fn established(report: &Value, node: &str, process: &str) -> Reached {
    let connections = report["connections"].as_array().unwrap().iter();
    let mut paths = connections
        .filter(|row| row["node"] == node && row["process"] == process && row["direction"] == "outbound")
        .filter(|row| row["state"] == "ESTAB")
        .map(|row| match row["path"].as_str() {
            Some("public-endpoint") => "public",
            Some("private-eni") => "private",
            Some("cluster-ip") => "cluster-ip",
            _ => panic!("{row}"),
        });
    paths.next()
}

/// Whether it may be unknown what a client reaches after a change: the operator's address is
/// shown by a list alone that admits it and not every address. Without that, only what does not
/// depend on it is known: whether the ENIs are reached.
fn may_be_unknown(name: &str, from: Access, to: Access) -> bool {
    let is_shown = from.0.is_some_and(|blocks| blocks != ALL && blocks.contains(&OF_OPERATOR[0]));
    name == "here" && !is_shown && to.0.is_some()
}

/// How many predictions were right.
#[derive(Default)]
struct Score {
    right: usize,
    wrong: usize,
    /// Those of which the answer may be unknown, and is.
    unknown: usize,
}

/// Compares a prediction with an observation; what differs.
fn compare(
    report: &Value,
    observed: &BTreeMap<String, Reached>,
    (from, to): (Access, Access),
    score: &mut Score,
) -> Vec<String> {
    let clients = report["clients"].as_array().unwrap();
    let mut wrong = Vec::new();
    for (name, reached) in observed {
        let Some(client) = clients.iter().find(|client| is_named(client, name)) else {
            score.wrong += 1;
            wrong.push(format!("{name}: no such client"));
            continue;
        };
        let after = client["after"].as_str().unwrap_or_default();
        let is_right = match (client["reaches"].as_str().unwrap(), reached) {
            ("unknown", _) if may_be_unknown(name, from, to) => {
                score.unknown += 1;
                continue;
            }
            ("unknown", _) => false,
            ("yes", Some(side)) => after.starts_with(side),
            (prediction, observed) => (prediction == "yes") == observed.is_some(),
        };
        if is_right {
            score.right += 1;
        } else {
            score.wrong += 1;
            wrong.push(format!("{name} reached {reached:?}: {client}"));
        }
    }
    wrong
}

#[test]
fn what_is_predicted_happens() {
    let testbed = testbed(super::Access::Public);
    let began = Instant::now();
    let mut table = String::new();
    let (mut total, mut wrong_ones, mut broken) = (Score::default(), Vec::new(), 0);
    let mut of_first = None;
    for from in FROM {
        let today = testbed.lab.enforce(&enforced(from)).unwrap();
        testbed.switch(from);
        let recorded = testbed.record();
        drop(today);
        for to in TO {
            let report = testbed.predict(&recorded, to);
            let afterwards = testbed.lab.enforce(&enforced(to)).unwrap();
            testbed.switch(to);
            let observed = testbed.observe();
            drop(afterwards);
            let mut score = Score::default();
            let change = format!("{} -> {}", described(from), described(to));
            let differing = compare(&report, &observed, (from, to), &mut score);
            wrong_ones.extend(differing.into_iter().map(|line| format!("{change}: {line}")));
            let first = of_first.get_or_insert_with(|| report.clone());
            if to == (Some(OF_OPERATOR), false) {
                // The comparison finds what was not predicted: these nodes are cut off.
                assert!(!compare(first, &observed, (from, to), &mut Score::default()).is_empty());
            }
            broken += observed.values().filter(|reached| reached.is_none()).count();
            let Score { right, wrong, unknown } = score;
            _ = writeln!(table, "{change:<100} {right:>5} {wrong:>5} {unknown:>7} {}", report["verdict"]);
            total.right += right;
            total.wrong += wrong;
            total.unknown += unknown;
        }
    }
    let Score { right, wrong, unknown } = total;
    let head = format!("{:<100} right wrong unknown verdict", "clients");
    let sum = format!("{:<100} {right:>5} {wrong:>5} {unknown:>7}", "all");
    let took = format!("{:?}; {broken} clients were cut off", began.elapsed());
    writeln!(std::io::stderr(), "{head}\n{table}{sum}\n{took}").unwrap();
    assert!(wrong_ones.is_empty(), "{wrong_ones:#?}");
    assert_eq!(wrong, 0);
    let pairs = FROM.iter().flat_map(|from| TO.iter().map(move |to| (*from, *to)));
    let open = pairs.filter(|(from, to)| may_be_unknown("here", *from, *to)).count();
    assert!(unknown <= open && open < FROM.len() * TO.len(), "{unknown} of {open}");
    // It is no test without clients that are cut off.
    assert!(broken >= 15, "{broken}");
    assert!(began.elapsed() < Duration::from_mins(3), "{:?}", began.elapsed());
}

/// An access, for the lab.
fn enforced((public, private): Access) -> EndpointAccess {
    EndpointAccess { public: public.map(|blocks| blocks.iter().map(ToString::to_string).collect()), private }
}

/// The lab's clients reach what the modes admit: without this, agreement would mean nothing.
#[test]
fn the_lab_does_what_the_modes_mean() {
    let testbed = testbed(super::Access::Public);
    for to in TO {
        let in_force = testbed.lab.enforce(&enforced(to)).unwrap();
        testbed.switch(to);
        let observed = testbed.observe();
        drop(in_force);
        let (blocks, private) = to;
        // The blocks are compared as text: those of this test have a few forms alone.
        let admits =
            |words: &[&str]| blocks.is_some_and(|blocks| blocks.iter().any(|one| words.contains(one)));
        let node = |words: &[&str]| if private { Some("private") } else { admits(words).then_some("public") };
        let (n1, n2) = (node(&[ALL[0], NODES[0], ONE_NODE[0]]), node(&[ALL[0], NODES[0]]));
        let mut expected: BTreeMap<String, Reached> = BTreeMap::new();
        for (name, side) in [("n1", n1), ("n2", n2)] {
            for process in PROCESSES {
                expected.insert(format!("{name} {process}"), side);
            }
            expected.insert(format!("{name} aws-k8s-agent"), Some("cluster-ip"));
        }
        assert_eq!(OF_OPERATOR, [format!("{OPERATOR}/32")]);
        for name in ["here", NAMED] {
            expected.insert(name.to_owned(), admits(&[ALL[0], OF_OPERATOR[0]]).then_some("public"));
        }
        assert_eq!(observed, expected, "{}", described(to));
    }
}

/// What `reach` says from here and from each node is what happens: the operator's packets are
/// dropped where the list does not have its address.
#[test]
fn what_reach_answers_is_what_happens() {
    let testbed = testbed(super::Access::Public);
    let (mut reached, mut dropped) = (0, 0);
    for access in [(Some(NODES), false), (Some(ONE_NODE), false), (None, true)] {
        let in_force = testbed.lab.enforce(&enforced(access)).unwrap();
        testbed.switch(access);
        let observed = testbed.observe();
        let nodes = testbed
            .lab
            .nodes()
            .iter()
            .map(|node| (node.name().to_owned(), format!("{} kubelet", node.name())));
        for (from, client) in nodes.chain([("here".to_owned(), "here".to_owned())]) {
            let probe = if from == "here" { "all" } else { "none" };
            let args =
                ["reach", "--ssh-user", "ec2-user", "--format", "json", "--timeout", "3", "--probe", probe];
            let ran = testbed.run(&[&args[..], &["--from", &from]].concat());
            let is_reached = observed[&client].is_some();
            let name = format!("{from}, {}: {}{}", described(access), ran.stdout, ran.stderr);
            let report: Value = serde_json::from_str(&ran.stdout).unwrap_or_else(|_| panic!("{name}"));
            let tls = report["steps"].as_array().unwrap().iter().find(|step| step["name"] == "tls");
            assert_eq!(ran.code, i32::from(!is_reached), "{name}");
            if from == "here" && is_reached {
                // The certificate of the endpoint is the cluster's own.
                assert_eq!(tls.unwrap()["result"], "met", "{name}");
            }
            if is_reached { reached += 1 } else { dropped += 1 }
        }
        drop(in_force);
    }
    assert!(reached > 3 && dropped > 2, "{reached} {dropped}");
}
