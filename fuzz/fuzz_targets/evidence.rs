//! Audits evidence of arbitrary bytes: the AWS JSON files, DNS answers and a capture.
//! The reports must be valid and free of terminal control characters.
//!
//! The input is the parts in sequence, separated by NUL bytes.
#![no_main]

use std::path::Path;

use eks_netcheck::capture::parser::{Event, Parser};
use eks_netcheck::classify::Classifier;
use eks_netcheck::evidence::write::EvidenceWriter;
use eks_netcheck::model::audit::{Audited, Summary};
use eks_netcheck::model::file::File;
use eks_netcheck::model::gap::Subject;
use eks_netcheck::model::kubernetes;
use eks_netcheck::model::name::NodeName;
use eks_netcheck::model::net;
use eks_netcheck::model::node::{Extent, Node, NodeStatus, Via};
use eks_netcheck::policy::Policy;
use eks_netcheck::report::FORMATS;
use eks_netcheck::report::format::ReportSettings;
use eks_netcheck::report::style::Style;
use eks_netcheck::report::text::is_hostile;
use eks_netcheck::rules;
use eks_netcheck::run::judge::judge_facts;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let mut parts = bytes.split(|&byte| byte == 0);
    let mut part = || parts.next().unwrap_or_default();
    let writer = EvidenceWriter::in_memory(Path::new(""), |_, _, _| String::new());
    let files = [
        File::CLUSTER,
        net::INTERFACES,
        net::INSTANCES,
        net::VPC,
        net::SUBNETS,
        net::DHCP_OPTIONS,
        net::NAT_GATEWAYS,
        net::ROUTE_TABLES,
        net::SECURITY_GROUPS,
        kubernetes::NODES,
        kubernetes::ENDPOINT_SLICES,
    ];
    let vantages = ["here", "n1"].map(|name| Subject::Vantage(name.to_owned()));
    let probe = Subject::Probe("here".to_owned());
    for subject in files.map(Subject::from).into_iter().chain(vantages).chain([probe]) {
        let bytes = part();
        // An empty part is a file that is missing.
        if !bytes.is_empty() {
            writer.write(subject, bytes.to_vec()).expect("memory");
        }
    }
    let Ok(evidence) = writer.into_evidence().and_then(|dir| dir.read_any()) else { return };
    let name: NodeName = "n1".parse().expect("a name");
    let mut classifier = Classifier::new(evidence);
    let mut sink = |event: Event<'_>| {
        if let Event::Row(row) = event {
            classifier.add(&name, row.socket, row.processes.map(|process| (process.comm, process.pid())));
        }
    };
    let mut parser = Parser::new();
    let mut capture = part();
    while parser.read_from(&mut capture, &mut sink).expect("memory") > 0 {}
    let tally = parser.finish(&mut sink);
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
    let facts = classifier.finish(vec![node]);
    // Repeated rows are one connection.
    assert!(facts.connections.len() as u64 + facts.other_connections <= tally.rows);

    let judgment = judge_facts(&facts, &Policy::default(), None);
    let verdict = judgment.verdict;
    let audited = Audited { facts, judgment };
    let mut summary = Summary::default();
    summary.counts.add(verdict);
    for is_many in [false, true] {
        let settings = ReportSettings {
            is_many,
            rules: &rules::ALL,
            anchor: String::new(),
            time: 0,
            style: Style { width: 80, color: false },
            explain_paths: true,
            all: true,
        };
        for format in FORMATS {
            let mut out = Vec::new();
            let mut writer = (format.write)(&settings);
            if let Err(error) = writer.cluster(&audited, &mut out) {
                // There is no account to import findings to.
                assert!(format.name == "asff" && audited.facts.evidence.cluster.account().is_none(), "{error}");
                continue;
            }
            writer.end(&summary, &mut out).expect("memory");
            if ["json", "sarif", "gitlab", "ocsf"].contains(&format.name) {
                let _: serde_json::Value = serde_json::from_slice(&out).expect("JSON");
            }
            let text = String::from_utf8(out).expect("UTF-8");
            assert!(!text.contains(|char| char != '\n' && is_hostile(char)), "{}", format.name);
        }
    }
});
