//! Audits evidence of arbitrary bytes: the AWS JSON files, DNS answers and a capture.
//! The reports must be valid and free of terminal control characters.
//!
//! The input is the parts in sequence, separated by NUL bytes.
#![no_main]

use eks_netcheck::classify::Classifier;
use eks_netcheck::evidence::aws::{self as ec2, eks};
use eks_netcheck::evidence::dns::parse_answer;
use eks_netcheck::capture::parser::{Event, Parser};
use eks_netcheck::model::audit::{Audit, Audited};
use eks_netcheck::model::evidence::{Evidence, Observed};
use eks_netcheck::model::name::NodeName;
use eks_netcheck::model::node::{Node, NodeStatus};
use eks_netcheck::model::gap::{Gap, GapReason};
use eks_netcheck::policy::Policy;
use eks_netcheck::report::table::Look;
use eks_netcheck::report::text::is_hostile;
use eks_netcheck::report::{json, table};
use eks_netcheck::rules;
use eks_netcheck::run::judge_facts;
use libfuzzer_sys::fuzz_target;

fn observed<T, E>(parsed: Result<T, E>, what: &str) -> Observed<T> {
    parsed.map_or_else(
        |_| {
            Observed::Unseen(Gap {
                what: what.to_owned(),
                why: GapReason::Malformed,
                detail: String::new(),
                hint: String::new(),
            })
        },
        Observed::Seen,
    )
}

fuzz_target!(|bytes: &[u8]| {
    let mut parts = bytes.split(|&byte| byte == 0);
    let mut part = || parts.next().unwrap_or_default();
    let Ok(cluster) = eks::parse_cluster(part()) else { return };
    let id = cluster.vpc.clone().unwrap_or_default();
    let evidence = Evidence {
        interfaces: observed(ec2::parse_interfaces(part()), "network-interfaces.json"),
        instances: observed(ec2::parse_instances(part()), "instances.json"),
        vpc: observed(ec2::parse_vpc(part(), &id).ok().flatten().ok_or(()), "vpc.json"),
        subnets: observed(ec2::parse_subnets(part()), "subnets.json"),
        dhcp_options: observed(ec2::parse_dhcp_options(part()), "dhcp-options.json"),
        nat_gateways: observed(ec2::parse_nat_gateways(part()), "nat-gateways.json"),
        route_tables: observed(ec2::parse_route_tables(part()), "route-tables.json"),
        security_groups: observed(ec2::parse_security_groups(part()), "security-groups.json"),
        dns: vec![parse_answer("here", "dns/here.txt", part()), parse_answer("n1", "dns/n1.txt", part())],
        gaps: Vec::new(),
        cluster,
    };
    let name: NodeName = "n1".parse().expect("a name");
    let mut classifier = Classifier::new(evidence);
    let mut sink = |event: Event<'_>| {
        if let Event::Row(row) = event {
            classifier.add(&name, row.socket, row.processes.map(|process| (process.comm, process.pid())));
        }
    };
    let mut parser = Parser::new();
    let mut capture = part();
    while parser.read_from(&mut capture, &mut sink).expect("memory can be read") > 0 {}
    let tally = parser.finish(&mut sink);
    let node = Node { name, status: NodeStatus::Read, tally, has_header: true, rejected: Vec::new(), gaps: Vec::new() };
    let facts = classifier.finish(vec![node]);
    assert_eq!(facts.connections.len() as u64 + facts.other_connections, tally.rows);

    let judgment = judge_facts(&facts, &Policy::default(), None);
    let mut out = Vec::new();
    let audit = Audit {
        clusters: vec![Audited { facts, judgment }],
        unjudged: Vec::new(),
        is_many: false,
        rules: &rules::ALL,
        policy: None,
        anchor: String::new(),
        time: 0,
    };
    json::write(&audit, &mut out).expect("memory takes it");
    let _: serde_json::Value = serde_json::from_slice(&out).expect("JSON");
    table::write(&audit, Look { width: 80, color: false }, &mut out).expect("memory takes it");
    let text = String::from_utf8(out).expect("UTF-8");
    assert!(!text.contains(|char| char != '\n' && is_hostile(char)));
});
