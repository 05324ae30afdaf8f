//! Audits of the stories under `fixtures/evidence`: exit code, findings, table
//! and classified connections of each.

use std::path::Path;

use serde_json::{Value, json};

use crate::common::{Netcheck, fixtures, story, subdirs};

/// The rule and the subject of a finding.
type Found = (&'static str, &'static str);

/// Story, exit code, and the findings.
const STORIES: [(&str, i32, &[Found]); 11] = [
    ("cluster-ip-client", 0, &[]),
    ("decoy-enis", 3, &[("public-endpoint-enabled", ARN), ("unexpected-kubelet-client", "198.51.100.99")]),
    (
        "endpoint-black-holed",
        1,
        &[
            ("node-cut-off", "n1"),
            ("public-endpoint-enabled", ARN),
            ("private-endpoint-disabled", ARN),
            ("endpoint-connection-hanging", "n1"),
        ],
    ),
    ("exec-second-eni", 0, &[("public-endpoint-enabled", ARN), ("private-endpoint-disabled", ARN)]),
    (
        "hostile-names",
        1,
        &[
            ("public-endpoint-open", ARN),
            ("private-endpoint-disabled", ARN),
            ("unattributed-connection", "n1"),
        ],
    ),
    ("ipv6", 1, &[("public-endpoint-open", ARN)]),
    (
        "node-egress-missing",
        1,
        &[
            ("node-egress-not-allowed", "i-079ba5c338ae1ddb6"),
            ("node-egress-not-allowed", "nat-02ca5abb6a53f9d01"),
            ("public-endpoint-enabled", ARN),
            ("private-endpoint-disabled", ARN),
        ],
    ),
    ("private-only", 0, &[]),
    ("public-and-private-stale", 1, &[("node-on-public-path", "n1"), ("public-endpoint-enabled", ARN)]),
    ("study-exec", 1, &[("public-endpoint-open", ARN), ("private-endpoint-disabled", ARN)]),
    ("study-public", 1, &[("public-endpoint-open", ARN), ("private-endpoint-disabled", ARN)]),
];

const ARN: &str = "arn:aws:eks:ap-northeast-2:111122223333:cluster/myeks";

#[test]
fn every_story_has_its_expected_findings() {
    let names: Vec<_> = STORIES.iter().map(|(name, ..)| *name).collect();
    assert_eq!(subdirs(&fixtures().join("evidence")), names);
    for (name, code, expected) in STORIES {
        let (report, ran) = Netcheck::audit(&story(name)).json();
        let findings = report["findings"].as_array().unwrap().iter();
        let findings: Vec<_> = findings
            .map(|finding| (finding["rule"].as_str().unwrap(), finding["subject"].as_str().unwrap()))
            .collect();
        assert_eq!(findings, expected, "{name}");
        assert_eq!(ran, code, "{name}");
        // Some rows of hostile-names are malformed on purpose, and decoy-enis has a pod on
        // Fargate.
        let gaps = report["gaps"].as_array().unwrap();
        assert_eq!(gaps.is_empty(), !["hostile-names", "decoy-enis"].contains(&name), "{name}: {gaps:?}");
    }
}

#[test]
fn tables_fit_80_and_200_columns() {
    for (name, ..) in STORIES {
        for width in ["80", "200"] {
            // A command that writes into the evidence directory names it as it was given.
            let audit = || Netcheck::audit(Path::new(name)).dir(&fixtures().join("evidence"));
            let ran = audit().env("COLUMNS", width).run();
            let width: usize = width.parse().unwrap();
            for line in ran.stdout.lines() {
                // A word of a command is not broken.
                let is_one_word = line.split_whitespace().count() <= 2 || line.trim().starts_with('\'');
                assert!(is_one_word || line.chars().count() <= width, "{name} at {width}: {line:?}");
            }
            let all = audit().arg("--all").env("COLUMNS", &width.to_string()).run();
            insta::with_settings!({omit_expression => true, prepend_module_to_snapshot => false}, {
                insta::assert_snapshot!(format!("{name}-{width}"), ran.stdout);
                insta::assert_snapshot!(format!("all-{name}-{width}"), all.stdout);
            });
        }
    }
}

#[test]
fn reports_match_the_shipped_schema() {
    let schema = std::fs::read_to_string(crate::docs::schema_path()).unwrap();
    let schema: Value = serde_json::from_str(&schema).unwrap();
    let schema = jsonschema::validator_for(&schema).unwrap();
    let rules = subdirs(&fixtures().join("rules")).into_iter();
    let rules = rules.flat_map(|id| {
        ["fires", "quiet", "unseen"].map(|kind| fixtures().join("rules").join(&id).join(kind))
    });
    for dir in STORIES.iter().map(|(name, ..)| story(name)).chain(rules) {
        let (report, _) = Netcheck::audit(&dir).json();
        let errors: Vec<_> = schema.iter_errors(&report).map(|error| error.to_string()).collect();
        assert!(errors.is_empty(), "{}: {errors:?}", dir.display());
    }
}

fn connections<'a>(report: &'a Value, path: &str) -> Vec<&'a Value> {
    report["connections"].as_array().unwrap().iter().filter(|connection| connection["path"] == path).collect()
}

/// What the stories named `study-` record: an exec adds one private peer, on one
/// node only.
#[test]
fn an_exec_adds_one_private_peer_on_its_node() {
    let (before, _) = Netcheck::audit(&story("study-public")).json();
    let (during, _) = Netcheck::audit(&story("study-exec")).json();
    assert_eq!(connections(&before, "private-eni").len(), 0);
    let added = connections(&during, "private-eni");
    assert_eq!(added.len(), 1);
    let added = added[0];
    let owned = during["enis"].as_array().unwrap().iter().find(|eni| eni["eks_owned"] == true).unwrap();
    assert_eq!(
        (
            &added["node"],
            &added["process"],
            &added["direction"],
            &added["local"],
            &added["peer"],
            &added["by"]
        ),
        (
            &json!("n1"),
            &json!("kubelet"),
            &json!("inbound"),
            &json!("192.168.1.20:10250"),
            &json!("192.168.1.55:49956"),
            &json!("eni")
        )
    );
    assert_eq!(added["eni"], owned["id"]);
    assert_ne!(owned["owner"], owned["instance_owner"]);
    assert_ne!(owned["owner"], owned["requester"]);
    // The outbound connections stay on the public endpoint.
    assert_eq!(connections(&before, "public-endpoint").len(), 4);
    assert_eq!(connections(&during, "public-endpoint").len(), 4);
}

/// In private mode both directions have the same peers; only the ports differ.
#[test]
fn ports_distinguish_the_directions_in_private_mode() {
    let (report, _) = Netcheck::audit(&story("private-only")).json();
    let private = connections(&report, "private-eni");
    for direction in ["outbound", "inbound"] {
        assert!(private.iter().any(|connection| connection["direction"] == direction), "{direction}");
    }
    let peers = |direction: &str| -> Vec<_> {
        let rows = private.iter().filter(|connection| connection["direction"] == direction);
        rows.map(|connection| connection["peer"].as_str().unwrap().rsplit_once(':').unwrap().0).collect()
    };
    assert!(peers("inbound").iter().any(|peer| peers("outbound").contains(peer)));
}

/// ENIs of clusters with similar names, spoofed descriptions and all other kinds
/// of interface are not classified as the cluster's own.
#[test]
fn only_the_clusters_enis_are_eks_owned() {
    let (report, _) = Netcheck::audit(&story("decoy-enis")).json();
    let enis = report["enis"].as_array().unwrap();
    let owned: Vec<_> = enis.iter().filter(|eni| eni["eks_owned"] == true).collect();
    assert_eq!(owned.len(), 2, "{owned:?}");
    assert!(owned.iter().all(|eni| eni["description"] == "Amazon EKS myeks" && eni["kind"] == "eks-owned"));
    let kinds: std::collections::BTreeSet<_> = enis.iter().map(|eni| eni["kind"].as_str().unwrap()).collect();
    for kind in [
        "branch",
        "directory-service",
        "efs",
        "fargate",
        "instance",
        "lambda",
        "load-balancer",
        "nat-gateway",
        "node",
        "other-cluster",
        "rds",
        "transit-gateway",
        "trunk",
        "unknown",
        "vpc-cni",
        "vpc-endpoint",
    ] {
        assert!(kinds.contains(kind), "no {kind} among {kinds:?}");
    }
    // An ENI with the right description that is not EKS-owned has a reason.
    let spoofed =
        enis.iter().filter(|eni| eni["description"] == "Amazon EKS myeks" && eni["eks_owned"] == false);
    let spoofed: Vec<_> = spoofed.collect();
    assert!(spoofed.len() >= 3, "{spoofed:?}");
    assert!(spoofed.iter().all(|eni| !eni["why"].as_str().unwrap().is_empty()), "{spoofed:?}");
}

#[test]
fn the_report_does_not_depend_on_input_order() {
    let copy = crate::common::copy_of("study-public");
    let (expected, _) = Netcheck::audit(copy.path()).json();
    for node in ["n1", "n2"] {
        let path = copy.path().join(format!("nodes/{node}.txt"));
        let text = std::fs::read_to_string(&path).unwrap();
        let (head, rows) = text.split_once('\n').unwrap();
        let rows: Vec<_> = rows.lines().rev().collect();
        std::fs::write(&path, format!("{head}\n{}\n", rows.join("\n"))).unwrap();
    }
    let path = copy.path().join("network-interfaces.json");
    let mut interfaces: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    interfaces["NetworkInterfaces"].as_array_mut().unwrap().reverse();
    std::fs::write(&path, interfaces.to_string()).unwrap();
    assert_eq!(Netcheck::audit(copy.path()).json().0, expected);
}

/// Addresses are attributed by evidence, not by RFC 1918: a VPC may use public
/// address space.
#[test]
fn a_vpc_with_public_address_space_is_judged_the_same() {
    fn renumber(dir: &std::path::Path) {
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                renumber(&path);
            } else {
                let text = std::fs::read_to_string(&path).unwrap();
                std::fs::write(&path, text.replace("192.168.", "52.10.")).unwrap();
            }
        }
    }
    for name in ["private-only", "public-and-private-stale", "study-exec", "decoy-enis"] {
        let (expected, code) = Netcheck::audit(&story(name)).json();
        let copy = crate::common::copy_of(name);
        renumber(copy.path());
        let (report, renumbered) = Netcheck::audit(copy.path()).json();
        assert_eq!(renumbered, code, "{name}");
        let sorted = |report: &Value, map: &dyn Fn(&str) -> String| {
            let rows = report["connections"].as_array().unwrap().iter().map(|row| map(&row.to_string()));
            rows.collect::<std::collections::BTreeSet<_>>()
        };
        let expected = sorted(&expected, &|row| row.replace("192.168.", "52.10."));
        assert_eq!(sorted(&report, &str::to_owned), expected, "{name}");
    }
}

/// The headline covers kubelet and kube-proxy, where kube-proxy runs.
#[test]
fn the_headline_includes_kube_proxy() {
    let headline = |evidence: &Path| {
        let ran = Netcheck::audit(evidence).run();
        ran.stdout
            .lines()
            .take(6)
            .collect::<Vec<_>>()
            .join(" ")
            .split_whitespace()
            .collect::<Vec<_>>()
            .join(" ")
    };
    let text = headline(&story("private-only"));
    assert!(text.contains("node traffic: private on 2 of 2 nodes Cluster"), "{text}");
    // With kube-proxy missing on n1 only, n1 is unknown; missing everywhere, the
    // headline is about kubelet alone.
    let dir = crate::common::copy_of("private-only");
    let without = |node: &str| {
        let file = dir.path().join(format!("nodes/{node}.txt"));
        let rows = std::fs::read_to_string(&file).unwrap();
        let rows: Vec<_> = rows.lines().filter(|line| !line.contains("kube-proxy")).collect();
        std::fs::write(&file, rows.join("\n")).unwrap();
    };
    without("n1");
    let text = headline(dir.path());
    assert!(
        text.contains("private on 1 of 2 nodes, not known for kube-proxy on 1 of 2 nodes (n1)"),
        "{text}"
    );
    without("n2");
    let text = headline(dir.path());
    assert!(text.contains("node traffic: private on 2 of 2 nodes; kube-proxy was not seen"), "{text}");
}
