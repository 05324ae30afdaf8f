//! What has nothing to do with a cluster's endpoint changes no answer: the order of rows and of
//! lists, the names of nodes, the partition, other sockets, interfaces and instances, and lines
//! that a terminal adds.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use eks_netcheck::model::connection::Component;
use eks_netcheck::model::judgment::Verdict;
use eks_netcheck::model::rule::Severity;
use eks_netcheck::model::traffic::{ComponentTraffic, TrafficPath};
use eks_netcheck::policy::Policy;
use eks_netcheck::run::judge::judge_facts;
use serde_json::{Value, json};

use crate::common::{copy_of_dir, edit_json, facts_of, fixtures, subdirs};

/// The answer about a cluster, without names and texts.
#[derive(Debug, PartialEq)]
struct Answer {
    verdict: Verdict,
    findings: Vec<(&'static str, Severity)>,
    traffic: Vec<Vec<(Component, TrafficPath)>>,
}

/// The answer of an evidence directory; `None` if it is refused (exit code 2).
fn answer(dir: &Path) -> Option<Answer> {
    let facts = facts_of(dir)?;
    let judgment = judge_facts(&facts, &Policy::default(), Some(Some(Severity::Medium)));
    let findings = judgment.findings.iter().map(|judged| (judged.rule.id, judged.severity));
    let mut findings: Vec<_> = findings.collect();
    findings.sort_unstable();
    let paths = |components: &[ComponentTraffic]| {
        components.iter().map(|one| (one.component, one.path)).collect::<Vec<_>>()
    };
    let mut traffic: Vec<_> = facts.traffic.iter().map(|node| paths(&node.components)).collect();
    traffic.sort_unstable();
    Some(Answer { verdict: judgment.verdict, findings, traffic })
}

/// The recorded clusters: the stories, the cases, and the evidence of rules.
fn recorded() -> Vec<PathBuf> {
    let below = |dir: PathBuf| subdirs(&dir).into_iter().map(|name| dir.join(name)).collect::<Vec<_>>();
    let mut all = [below(fixtures().join("evidence")), below(fixtures().join("cases/reports"))].concat();
    all.extend(below(fixtures().join("cases/verdict")).into_iter().map(|case| case.join("evidence")));
    all.extend(below(fixtures().join("rules")).into_iter().flat_map(below));
    all.retain(|dir| dir.join("cluster.json").is_file());
    assert!(all.len() > 80, "{}", all.len());
    all
}

/// The files of a directory with this extension.
fn files(dir: &Path, extension: &str) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(self::files(&path, extension));
        } else if path.extension().is_some_and(|own| own == extension) {
            files.push(path);
        }
    }
    files
}

/// Changes the captures that end with a line feed and were not filtered on the node.
fn edit_captures(dir: &Path, change: impl Fn(&str) -> String) {
    let combined = dir.join("nodes.txt");
    let captures = files(dir, "txt").into_iter();
    for path in captures.filter(|path| *path == combined || path.parent().unwrap().ends_with("nodes")) {
        let Ok(text) = fs::read_to_string(&path) else { continue };
        if text.ends_with('\n') && !text.contains("# eks-netcheck") {
            fs::write(&path, change(&text)).unwrap();
        }
    }
}

/// A capture as blocks: rows with the lines that continue them, and all other lines, each with
/// whether it is a row.
fn blocks(capture: &str) -> Vec<(bool, String)> {
    const STATES: [&str; 6] = ["ESTAB", "SYN-SENT", "TIME-WAIT", "CLOSE-WAIT", "LISTEN", "LAST-ACK"];
    let mut blocks: Vec<(bool, String)> = Vec::new();
    for line in capture.split_inclusive('\n') {
        let is_row = STATES.contains(&line.split([' ', '\t']).next().unwrap());
        match blocks.last_mut() {
            Some((true, row)) if !is_row && line.starts_with([' ', '\t']) && !line.trim().is_empty() => {
                row.push_str(line);
            }
            _ => blocks.push((is_row, line.to_owned())),
        }
    }
    blocks
}

/// The rows between two other lines in the opposite order.
fn backwards(capture: &str) -> String {
    let blocks = blocks(capture);
    let runs = blocks.chunk_by(|one, other| one.0 == other.0);
    let runs = runs.flat_map(|run| {
        let texts: Vec<_> = run.iter().map(|(_, text)| text.as_str()).collect();
        if run[0].0 { texts.into_iter().rev().collect() } else { texts }
    });
    runs.collect()
}

/// Sockets of other programs, below a capture with headings and the host's own programs.
fn with_other_sockets(capture: &str) -> String {
    const HOST: [&str; 4] = ["sshd", "containerd", "ssm-agent-worke", "node_exporter"];
    let is_whole = HOST.iter().any(|name| capture.contains(&format!("((\"{name}\"")));
    let local = capture.lines().find_map(|line| {
        let local = line.strip_prefix("ESTAB")?.split_ascii_whitespace().nth(2)?;
        Some(local.rsplit_once(':')?.0)
    });
    match local {
        Some(local) if is_whole && capture.contains("State") && !capture.contains(">> node") => {
            let rows = [
                format!("TIME-WAIT 0 0 {local}:40001 3.5.140.2:443"),
                format!("ESTAB 0 0 {local}:22 198.51.100.77:50022 users:((\"sshd\",pid=901,fd=4))"),
                format!("ESTAB 0 0 {local}:40002 52.95.1.9:443 users:((\"ssm-agent-worke\",pid=902,fd=4))"),
                "ESTAB 0 0 127.0.0.1:40003 127.0.0.1:2379 users:((\"nginx\",pid=903,fd=4))".to_owned(),
                "LISTEN 0 128 *:9100 *:* users:((\"node_exporter\",pid=904,fd=4))".to_owned(),
            ];
            format!("{capture}{}\n", rows.join("\n"))
        }
        _ => capture.to_owned(),
    }
}

/// All lists of a JSON value in the opposite order.
fn reverse_lists(value: &mut Value) {
    match value {
        Value::Array(list) => {
            list.iter_mut().for_each(reverse_lists);
            list.reverse();
        }
        Value::Object(map) => map.values_mut().for_each(reverse_lists),
        _ => {}
    }
}

fn edit_lists(dir: &Path) {
    for path in files(dir, "json").into_iter().filter(|path| !path.parent().unwrap().ends_with("probe")) {
        let mut json = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        reverse_lists(&mut json);
        fs::write(&path, json.to_string()).unwrap();
    }
}

fn edit_partition(dir: &Path) {
    for path in files(dir, "json") {
        let text = fs::read_to_string(&path).unwrap().replace("arn:aws:", "arn:aws-us-gov:");
        fs::write(&path, text).unwrap();
    }
}

/// Names the nodes otherwise, in another order, where no other file names them.
fn rename_nodes(dir: &Path) {
    if dir.join("manifest.json").exists() || dir.join("nodes.txt").exists() {
        return;
    }
    let captured = files(dir, "txt").into_iter().filter(|path| path.parent().unwrap().ends_with("nodes"));
    let names: BTreeSet<_> =
        captured.map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned()).collect();
    for (at, name) in names.iter().enumerate() {
        let other = format!("worker-{}", names.len() - at);
        for sub in ["nodes", "dns"] {
            let from = dir.join(sub).join(format!("{name}.txt"));
            if from.exists() {
                fs::rename(from, dir.join(sub).join(format!("{other}.txt"))).unwrap();
            }
        }
    }
}

/// Adds interfaces and instances of the VPC that are neither nodes nor control plane.
fn add_others(dir: &Path) {
    let cluster: Value = serde_json::from_slice(&fs::read(dir.join("cluster.json")).unwrap()).unwrap();
    let vpc = cluster["cluster"]["resourcesVpcConfig"]["vpcId"].clone();
    if dir.join("network-interfaces.json").exists() {
        edit_json(dir, "network-interfaces.json", |json| {
            let others = [
                ("ELB net/x/1", "amazon-elb", "network_load_balancer"),
                ("RDSNetworkInterface", "amazon-rds", "interface"),
                ("Amazon EKS myeks-2", "444455556666", "interface"),
                ("VPC Endpoint Interface vpce-1", "amazon-aws", "vpc_endpoint"),
                ("arn:aws:ecs:eu-west-1:111122223333:attachment/0f", "999900001111", "interface"),
            ];
            for (at, (description, owner, kind)) in others.into_iter().enumerate() {
                json["NetworkInterfaces"].as_array_mut().unwrap().insert(
                    0,
                    json!({
                        "NetworkInterfaceId": format!("eni-other{at}"), "Description": description,
                        "InterfaceType": kind, "VpcId": vpc, "SubnetId": "subnet-other",
                        "AvailabilityZone": "zone-other", "OwnerId": "111122223333",
                        "Attachment": {"InstanceOwnerId": owner, "DeviceIndex": 1, "Status": "attached"},
                        "PrivateIpAddress": format!("192.168.250.{}", at + 1),
                        "Groups": [{"GroupId": "sg-other"}],
                    }),
                );
            }
        });
    }
    if dir.join("instances.json").exists() {
        edit_json(dir, "instances.json", |json| {
            let instance = |id: &str, address: &str, key: &str| {
                json!({
                    "InstanceId": id, "State": {"Name": "running"}, "PrivateIpAddress": address,
                    "SubnetId": "subnet-other", "Tags": [{"Key": key, "Value": "owned"}],
                })
            };
            let others = [
                instance("i-other1", "192.168.250.98", "kubernetes.io/cluster/myeks-2"),
                instance("i-other2", "192.168.250.99", "Name"),
            ];
            json["Reservations"].as_array_mut().unwrap().insert(0, json!({"Instances": others}));
        });
    }
}

/// A change that changes no answer.
type Change = (&'static str, fn(&Path));

const CHANGES: [Change; 8] = [
    ("the order of rows", |dir| edit_captures(dir, backwards)),
    ("the order of lists", edit_lists),
    ("the partition", edit_partition),
    ("the names of nodes", rename_nodes),
    ("other sockets", |dir| edit_captures(dir, with_other_sockets)),
    ("other interfaces and instances", add_others),
    ("lines of a terminal", |dir| {
        edit_captures(dir, |capture| {
            format!("[ec2-user@host ~]$ sudo ss -tnp\n{capture}[ec2-user@host ~]$ exit\n")
        });
    }),
    ("each row twice", |dir| {
        edit_captures(dir, |capture| {
            let blocks = blocks(capture).into_iter();
            blocks.map(|(is_row, text)| if is_row { text.repeat(2) } else { text }).collect()
        });
    }),
];

#[test]
fn what_has_nothing_to_do_with_the_endpoint_changes_no_answer() {
    let mut wrong = Vec::new();
    let mut changed = 0;
    for recorded in recorded() {
        let expected = answer(&recorded);
        for (what, change) in CHANGES {
            let copy = copy_of_dir(&recorded);
            change(copy.path());
            let answer = answer(copy.path());
            if answer != expected {
                wrong.push(format!("{}: {what}: {answer:?}, not {expected:?}", recorded.display()));
            }
            changed += usize::from(expected.is_some());
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(changed > 500, "{changed}");
}
