//! The evidence that each rule declares to need is all that it reads: taking away any
//! other evidence does not change its outcome.

use std::path::Path;

use eks_netcheck::capture::line::{Line, parse_line};
use eks_netcheck::classify::Classifier;
use eks_netcheck::evidence::directory::EvidenceDir;
use eks_netcheck::evidence::nodes::read_nodes;
use eks_netcheck::model::evidence::Evidence;
use eks_netcheck::model::expectations::Expectations;
use eks_netcheck::model::facts::Facts;
use eks_netcheck::model::gap::{Gap, GapReason, Observed, Subject};
use eks_netcheck::model::kubernetes;
use eks_netcheck::model::net::{
    DHCP_OPTIONS, INSTANCES, INTERFACES, NAT_GATEWAYS, ROUTE_TABLES, SECURITY_GROUPS, SUBNETS, VPC,
};
use eks_netcheck::model::rule::Need;
use eks_netcheck::rules;

use crate::common::{fixtures, story, subdirs};

pub(crate) const NEEDS: [Need; 13] = [
    Need::File(INTERFACES),
    Need::File(INSTANCES),
    Need::File(VPC),
    Need::File(SUBNETS),
    Need::File(DHCP_OPTIONS),
    Need::File(NAT_GATEWAYS),
    Need::File(ROUTE_TABLES),
    Need::File(SECURITY_GROUPS),
    Need::File(kubernetes::NODES),
    Need::File(kubernetes::ENDPOINT_SLICES),
    Need::Dns,
    Need::Nodes,
    Need::Probe,
];

fn gap() -> Gap {
    Gap {
        subject: Subject::Other("taken away by the test".to_owned()),
        why: GapReason::NotRecorded,
        detail: "taken away by the test".to_owned(),
        hint: String::new(),
    }
}

fn take_away(evidence: &mut Evidence, need: Need) {
    let network = &mut evidence.network;
    match need {
        Need::File(INTERFACES) => network.interfaces = Observed::Unseen(gap()),
        Need::File(INSTANCES) => network.instances = Observed::Unseen(gap()),
        Need::File(VPC) => network.vpc = Observed::Unseen(gap()),
        Need::File(SUBNETS) => network.subnets = Observed::Unseen(gap()),
        Need::File(DHCP_OPTIONS) => network.dhcp_options = Observed::Unseen(gap()),
        Need::File(NAT_GATEWAYS) => network.nat_gateways = Observed::Unseen(gap()),
        Need::File(ROUTE_TABLES) => network.route_tables = Observed::Unseen(gap()),
        Need::File(SECURITY_GROUPS) => network.security_groups = Observed::Unseen(gap()),
        Need::File(kubernetes::NODES) => evidence.kubernetes.nodes = Observed::Unseen(gap()),
        Need::File(kubernetes::ENDPOINT_SLICES) => {
            evidence.kubernetes.api_addresses = Observed::Unseen(gap());
        }
        Need::File(file) => panic!("{file} is not evidence that a rule needs"),
        Need::Dns => evidence.dns.clear(),
        Need::Nodes => {}
        Need::Probe => evidence.probes.clear(),
    }
}

/// Rows that are added to each node: attempts of kubelet to connect to an EKS-owned ENI,
/// to an address of the VPC that no interface has and to one outside of the VPC, a
/// connection to the second one, and a client of kubelet.
const ROWS: [&str; 5] = [
    "SYN-SENT 0 1 192.168.1.20:34296 192.168.1.55:443 users:((\"kubelet\",pid=1,fd=9))",
    "SYN-SENT 0 1 192.168.1.20:34296 192.168.3.77:443 users:((\"kubelet\",pid=1,fd=9))",
    "SYN-SENT 0 1 192.168.1.20:34296 198.51.100.7:443 users:((\"kubelet\",pid=1,fd=9))",
    "ESTAB 0 0 192.168.1.20:34298 192.168.3.77:443 users:((\"kubelet\",pid=1,fd=10))",
    "ESTAB 0 0 192.168.1.20:10250 192.168.1.77:34296 users:((\"kubelet\",pid=1,fd=9))",
];

/// The facts of a recorded cluster, less some evidence.
pub(crate) fn facts(dir: &Path, with_rows: bool, without: &[Need]) -> Facts {
    let dir = EvidenceDir::open(dir).unwrap();
    let mut evidence = dir.read("myeks").unwrap();
    for need in without {
        take_away(&mut evidence, *need);
    }
    let mut classifier = Classifier::new(evidence);
    let nodes = if without.contains(&Need::Nodes) {
        Vec::new()
    } else {
        read_nodes(&dir, |node, row| {
            classifier.add(node, row.socket, row.processes.map(|process| (process.comm, process.pid())));
        })
        .unwrap()
    };
    let rows = ROWS.iter().filter(|_| with_rows);
    for (node, row) in nodes.iter().flat_map(|node| rows.clone().map(move |row| (node, row))) {
        let Line::Row(row) = parse_line(row.as_bytes()) else { panic!("{row}") };
        classifier.add(&node.name, row.socket, row.processes.map(|process| (process.comm, process.pid())));
    }
    classifier.finish(nodes)
}

#[test]
fn rules_read_only_the_evidence_that_they_declare() {
    let stories = subdirs(&fixtures().join("evidence")).into_iter().map(|name| story(&name));
    let fixtures = rules::ALL.iter().flat_map(|rule| {
        ["fires", "quiet", "unseen"].map(|case| fixtures().join("rules").join(rule.id).join(case))
    });
    let expected = Expectations::default();
    let mut depends = vec![vec![false; NEEDS.len()]; rules::ALL.len()];
    // The CIDR blocks of the VPC decide a path only if interfaces and names do not, and
    // those of subnets only if that of the VPC was not seen.
    let without: [&[Need]; 4] = [&[], &[Need::File(INTERFACES)], &[Need::File(VPC)], &[Need::Dns]];
    let with_rows = [false, true];
    let dirs = stories.chain(fixtures).flat_map(|dir| without.map(|without| (dir.clone(), without)));
    let dirs = dirs.flat_map(|(dir, without)| with_rows.map(|with_rows| (dir.clone(), with_rows, without)));
    for (dir, with_rows, without) in dirs {
        let whole = facts(&dir, with_rows, without);
        for (at, need) in NEEDS.into_iter().enumerate() {
            let less = facts(&dir, with_rows, &[without, &[need]].concat());
            for (rule, depends) in rules::ALL.iter().zip(&mut depends) {
                let is_same = (rule.check)(&whole, &expected) == (rule.check)(&less, &expected);
                // Endpoint slices stand in for interfaces that were not obtained.
                let stands_in = need == Need::File(kubernetes::ENDPOINT_SLICES)
                    && rule.needs.contains(&Need::File(INTERFACES));
                assert!(
                    is_same || rule.needs.contains(&need) || stands_in,
                    "{} does not declare that it needs {}: {}",
                    rule.id,
                    need.as_str(),
                    dir.display()
                );
                depends[at] |= !is_same;
            }
        }
    }
    for (rule, depends) in rules::ALL.iter().zip(depends) {
        for (need, depends) in NEEDS.into_iter().zip(depends) {
            let is_declared = rule.needs.contains(&need);
            assert!(depends || !is_declared, "{} declares {} and does not read it", rule.id, need.as_str());
        }
    }
}
