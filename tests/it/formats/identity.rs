//! The fingerprints and places of findings.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use super::{MIXED, list, parsed, text};
use crate::common::{Netcheck, copy_of, story};

/// The rule and fingerprint of each finding in a format.
fn fingerprints(evidence: &Path, format: &str, args: &[&str]) -> BTreeSet<(String, String)> {
    let report = parsed(evidence, format, args);
    let (findings, rule, id) = match format {
        "sarif" => (&report["runs"][0]["results"], "/ruleId", "/partialFingerprints/primaryLocationLineHash"),
        "gitlab" => (&report, "/check_name", "/fingerprint"),
        _ => (&report, "/metadata/event_code", "/finding_info/uid"),
    };
    let field = |finding: &Value, pointer| text(finding.pointer(pointer).unwrap()).to_owned();
    let all: Vec<_> =
        list(findings).iter().map(|finding| (field(finding, rule), field(finding, id))).collect();
    let ids: BTreeSet<_> = all.iter().map(|(_, id)| id).collect();
    assert_eq!(ids.len(), all.len(), "{format}: two findings share a fingerprint");
    all.into_iter().collect()
}

/// Code scanning distinguishes new findings from old ones by their fingerprints.
#[test]
fn fingerprints_do_not_depend_on_order_or_line_numbers() {
    let copy = copy_of("public-and-private-stale");
    let node = copy.path().join("nodes/n1.txt");
    let capture = fs::read_to_string(&node).unwrap();
    let (head, rows) = capture.split_once('\n').unwrap();
    let reversed: Vec<_> = rows.lines().rev().collect();
    let comments = "# one more line\n# and another\n";
    let policy = copy.path().join("eks-netcheck.toml");
    fs::write(&policy, MIXED).unwrap();
    let args = ["--policy", policy.to_str().unwrap()];
    let before = ["sarif", "gitlab", "ocsf"].map(|format| fingerprints(copy.path(), format, &args));
    assert!(before.iter().all(|ids| ids.len() > 1), "{before:?}");
    fs::write(&node, format!("{head}\n{}\n", reversed.join("\n"))).unwrap();
    fs::write(&policy, format!("{comments}{MIXED}")).unwrap();
    let enis = copy.path().join("network-interfaces.json");
    let mut all: Value = serde_json::from_slice(&fs::read(&enis).unwrap()).unwrap();
    all["NetworkInterfaces"].as_array_mut().unwrap().reverse();
    fs::write(&enis, all.to_string()).unwrap();
    let after = ["sarif", "gitlab", "ocsf"].map(|format| fingerprints(copy.path(), format, &args));
    assert_eq!(before, after);
    // A cluster of the same name in another account has other fingerprints.
    let cluster = copy.path().join("cluster.json");
    let other =
        fs::read_to_string(&cluster).unwrap().replace(":111122223333:cluster/", ":444455556666:cluster/");
    fs::write(&cluster, other).unwrap();
    for (format, before) in ["sarif", "gitlab", "ocsf"].iter().zip(&before) {
        assert!(fingerprints(copy.path(), format, &args).is_disjoint(before), "{format}");
    }
}

/// Code scanning shows findings only at files of the repository.
#[test]
fn finding_locations_are_relative_paths() {
    let dir = story("study-public");
    let uri = |args: &[&str]| {
        let log = parsed(&dir, "sarif", args);
        text(&log["runs"][0]["results"][0]["locations"][0]["physicalLocation"]["artifactLocation"]["uri"])
            .to_owned()
    };
    assert_eq!(uri(&[]), "eks-netcheck.toml");
    assert_eq!(uri(&["--anchor", "./infra/eks.tf"]), "infra/eks.tf");
    assert_eq!(uri(&["--anchor", "a/../infra/eks.tf"]), "infra/eks.tf");
    for outside in [".", "", "..", "../eks.tf", "a/../../eks.tf", "/etc/passwd", "src"] {
        let ran = Netcheck::audit(&dir).args(&["--anchor", outside]).run();
        assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{outside}: {}", ran.stderr);
    }
    assert_eq!(uri(&["--anchor", "infra/my cluster:é.tf"]), "infra/my%20cluster%3A%C3%A9.tf");
    let issues = parsed(&dir, "gitlab", &["--anchor", "./infra/eks.tf"]);
    assert_eq!(issues[0]["location"], json!({ "path": "infra/eks.tf", "lines": { "begin": 1 } }));
}
