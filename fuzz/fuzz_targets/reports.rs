//! Writes reports on evidence with arbitrary texts in every place from which a report
//! quotes: names, ids, descriptions, reasons, processes and addresses. Every format must be
//! valid, free of terminal control characters, and not much longer than its input.
//!
//! The input is the texts in sequence, separated by NUL bytes.
#![no_main]

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

use eks_netcheck::classify::{Classifier, Limits};
use eks_netcheck::evidence::write::EvidenceWriter;
use eks_netcheck::model::audit::{Audited, PolicyOrigin, PolicyUsed, Summary, Unjudged};
use eks_netcheck::model::file::File;
use eks_netcheck::model::gap::{Gap, GapReason, Subject};
use eks_netcheck::model::judgment::{PolicyNote, PolicyNoteKind};
use eks_netcheck::model::name::NodeName;
use eks_netcheck::model::net;
use eks_netcheck::model::node::{Extent, Node, NodeStatus, Tally, Via};
use eks_netcheck::model::socket::{Host, Port, Socket, SocketAddress, State};
use eks_netcheck::policy::Policy;
use eks_netcheck::policy::file::parse;
use eks_netcheck::report::FORMATS;
use eks_netcheck::report::format::ReportSettings;
use eks_netcheck::report::style::Style;
use eks_netcheck::report::text::is_hostile;
use eks_netcheck::rules;
use eks_netcheck::run::judge::judge_facts;
use libfuzzer_sys::fuzz_target;
use serde_json::json;

/// The texts of an input; empty ones after its end.
struct Texts<'a>(Vec<std::borrow::Cow<'a, str>>, usize);

impl Texts<'_> {
    fn next(&mut self) -> &str {
        self.1 += 1;
        self.0.get(self.1 - 1).map_or("", AsRef::as_ref)
    }

    /// A number from the next text.
    fn number(&mut self) -> u8 {
        self.next().bytes().next().unwrap_or_default()
    }
}

fuzz_target!(|bytes: &[u8]| {
    let mut texts = Texts(bytes.split(|byte| *byte == 0).map(String::from_utf8_lossy).collect(), 0);
    let name = texts.next().to_owned();
    let public = texts.number() % 2 == 0;
    let cluster = json!({"cluster": {
        "name": name, "arn": texts.next(), "status": texts.next(),
        "endpoint": format!("https://{}", texts.next()),
        "resourcesVpcConfig": {
            "vpcId": "vpc-1", "endpointPublicAccess": public, "endpointPrivateAccess": texts.number() % 2 == 0,
            "publicAccessCidrs": ["203.0.113.0/24"], "clusterSecurityGroupId": texts.next(),
        },
        "controlPlaneEgressMode": texts.next(),
    }});
    let description = if texts.number() % 2 == 0 { format!("Amazon EKS {name}") } else { texts.next().to_owned() };
    let interfaces = json!({"NetworkInterfaces": [{
        "NetworkInterfaceId": texts.next(), "VpcId": "vpc-1", "Description": description, "OwnerId": texts.next(),
        "RequesterId": texts.next(), "AvailabilityZone": texts.next(), "InterfaceType": "interface",
        "Attachment": {"InstanceOwnerId": "444455556666", "Status": "attached"},
        "Groups": [{"GroupId": texts.next()}], "PrivateIpAddress": "192.168.1.55",
        "PrivateIpAddresses": [{"PrivateIpAddress": "192.168.1.55", "Primary": true}],
    }]});
    let instances = json!({"Reservations": [{"Instances": [{
        "InstanceId": texts.next(), "State": {"Name": "running"}, "PrivateIpAddress": "192.168.1.20",
        "SubnetId": texts.next(), "Tags": [
            {"Key": format!("kubernetes.io/cluster/{name}"), "Value": "owned"}, {"Key": "Name", "Value": texts.next()},
        ],
    }]}]});
    let writer = EvidenceWriter::in_memory(Path::new(""), |_, _, _| "next step".to_owned());
    let files = [(File::CLUSTER, cluster), (net::INTERFACES, interfaces), (net::INSTANCES, instances)];
    for (file, json) in files {
        writer.write(Subject::from(file), json.to_string().into_bytes()).expect("memory");
    }
    for vantage in ["here", "n1"] {
        let answer = texts.next().to_owned();
        writer.write(Subject::Vantage(vantage.to_owned()), answer.into_bytes()).expect("memory");
    }
    let Ok(mut evidence) = writer.into_evidence().and_then(|dir| dir.read_any()) else { return };
    evidence.gaps.push(Gap {
        subject: Subject::Other(texts.next().to_owned()),
        why: GapReason::Failed,
        detail: texts.next().to_owned(),
        hint: texts.next().to_owned(),
    });

    let node: NodeName = "n1".parse().expect("a name");
    let limits = Limits { per_peer: 2, per_node: 8, total: 8, spare: 2 };
    let mut classifier = Classifier::with_limits(evidence, limits);
    let mut tally = Tally::default();
    let peers = [Ipv4Addr::new(3, 39, 55, 189), Ipv4Addr::new(192, 168, 1, 55), Ipv4Addr::new(198, 51, 100, 7)];
    for _ in 0..8 {
        let number = texts.number();
        let end = |ip: Ipv4Addr, port| SocketAddress { host: Host::Ip(IpAddr::V4(ip)), port: Port::Number(port) };
        let is_inbound = number % 2 == 0;
        let (local, peer) = if is_inbound { (10250, 50000) } else { (50000, 443) };
        let socket = Socket {
            state: if number & 4 == 0 { State::Established } else { State::SynSent },
            local: end(Ipv4Addr::new(192, 168, 1, 20), local + u16::from(!is_inbound) * u16::from(number)),
            peer: end(peers[usize::from(number >> 4) % 3], peer + u16::from(is_inbound) * u16::from(number)),
        };
        let comm = if number & 8 == 0 { "kubelet".to_owned() } else { texts.next().to_owned() };
        classifier.add(&node, socket, [(comm.as_bytes(), Some(1))].into_iter());
        tally.rows += 1;
    }
    let facts = classifier.finish(vec![Node {
        name: node,
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
    }]);
    let listed: u64 = facts.connections_omitted.iter().map(|omitted| omitted.count).sum();
    assert!(facts.connections.len() as u64 + listed + facts.other_connections <= tally.rows);

    let quoted = |text: &str| serde_json::to_string(text).expect("a string");
    let waiver = format!(
        "[[waiver]]\nrule = \"node-on-public-path\"\nresource = {}\nreason = {}\nowner = {}\nexpires = 2999-01-01\n",
        quoted(texts.next()),
        quoted(texts.next()),
        quoted(texts.next())
    );
    let ids: Vec<_> = rules::ALL.iter().map(|rule| rule.id).collect();
    let policy = parse(&waiver, &ids, jiff::Timestamp::UNIX_EPOCH).unwrap_or_else(|_| Policy::default());
    let judgment = judge_facts(&facts, &policy, None);
    let verdict = judgment.verdict;
    let audited = Audited { facts, judgment };
    let mut summary = Summary::default();
    summary.counts.add(verdict);
    let gap = audited.facts.evidence.gaps[0].clone();
    summary.unjudged.push(Unjudged { subject: texts.next().to_owned(), gap });
    summary.policy = PolicyUsed {
        origin: PolicyOrigin::Named,
        path: Some(texts.next().to_owned()),
        preset: Some("fsbp-eks.1"),
        place: texts.next().to_owned(),
        notes: vec![PolicyNote { line: 1, kind: PolicyNoteKind::WaiverUnused, text: texts.next().to_owned() }],
    };
    for (is_many, width) in [(false, 80), (true, 20)] {
        let settings = ReportSettings {
            is_many,
            rules: &rules::ALL,
            anchor: texts.next().to_owned(),
            time: 0,
            style: Style { width, color: false },
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
            // A finding repeats texts, and an escape is longer than its character.
            assert!(out.len() < (2 << 20) + 1000 * bytes.len(), "{}: {}", format.name, out.len());
            match format.name {
                "json" | "sarif" | "gitlab" | "ocsf" => {
                    let _: serde_json::Value = serde_json::from_slice(&out).expect("JSON");
                }
                _ => {}
            }
            let text = String::from_utf8(out).expect("UTF-8");
            assert!(!text.contains(|char| char != '\n' && is_hostile(char)), "{}", format.name);
        }
    }
});
