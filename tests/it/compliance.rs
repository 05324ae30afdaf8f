//! The controls of standards: which rules belong to which, and whether a cluster meets them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use eks_netcheck::model::compliance::{Mapping, Standard};
use eks_netcheck::rules::ALL;
use serde_json::Value;

use crate::common::{Netcheck, copy_of, fixtures, scratch, story};

/// The rules that belong to a control other than by our own mapping.
fn rules_of(standard: Standard, id: &str) -> BTreeSet<&'static str> {
    let has = |rule: &&&eks_netcheck::model::rule::Rule| {
        rule.controls.iter().any(|control| {
            (control.standard, control.id) == (standard, id) && control.mapping != Mapping::Own
        })
    };
    ALL.iter().filter(has).map(|rule| rule.id).collect()
}

/// The controls that fail on any public access belong to the two rules that report it,
/// and to no other; those that AWS relates to EKS.1 are the same everywhere.
#[test]
fn controls_belong_to_the_rules_that_check_the_same() {
    let any = BTreeSet::from(["public-endpoint-open", "public-endpoint-enabled"]);
    for (standard, id) in [
        (Standard::AwsFsbp, "EKS.1"),
        (Standard::AwsConfig, "eks-endpoint-no-public-access"),
        (Standard::ControlTower, "CT.EKS.PR.1"),
        (Standard::PciDss, "1.4.4"),
    ] {
        assert_eq!(rules_of(standard, id), any, "{id}");
    }
    // The list of Security Hub's page on EKS.1.
    let related = [
        "AC-21", "AC-3", "AC-3(7)", "AC-4", "AC-4(21)", "AC-6", "SC-7", "SC-7(11)", "SC-7(16)", "SC-7(20)",
        "SC-7(21)", "SC-7(3)", "SC-7(4)", "SC-7(9)",
    ];
    for rule in ALL {
        let nist = rule.controls.iter().filter(|control| control.mapping == Mapping::Aws);
        let nist: BTreeSet<_> =
            nist.filter(|one| one.standard == Standard::Nist80053).map(|one| one.id).collect();
        let expected = if any.contains(rule.id) { related.into() } else { BTreeSet::new() };
        assert_eq!(nist, expected, "{}", rule.id);
    }
    let restrict = BTreeSet::from(["public-endpoint-open", "private-endpoint-disabled"]);
    assert_eq!(rules_of(Standard::CisEks, "5.4.1"), restrict);
    let private =
        BTreeSet::from(["public-endpoint-open", "public-endpoint-enabled", "private-endpoint-disabled"]);
    assert_eq!(rules_of(Standard::CisEks, "5.4.2"), private);
}

/// A control has one title, wherever it is named, and a rule names it once.
#[test]
fn controls_are_named_alike_and_once() {
    let mut titles = BTreeMap::new();
    for rule in ALL {
        let mut ids = BTreeSet::new();
        for control in rule.controls {
            assert!(ids.insert((control.standard, control.id)), "{} names {} twice", rule.id, control.id);
            let title = titles.entry((control.standard, control.id)).or_insert(control.title);
            assert_eq!(*title, control.title, "{}", control.id);
            // Only what AWS publishes or the control itself asks is more than our own mapping.
            let is_nist = control.standard == Standard::Nist80053;
            assert!(is_nist || control.mapping != Mapping::Own, "{}: {}", rule.id, control.id);
        }
    }
    let ids: BTreeSet<_> = Standard::ALL.iter().map(|standard| standard.id()).collect();
    assert_eq!(ids.len(), Standard::ALL.len());
}

/// The status of each control in a JSON report, by standard and id.
fn statuses(report: &Value) -> BTreeMap<String, String> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let all = report["compliance"].as_array().unwrap().iter();
    all.map(|one| (format!("{} {}", text(&one["standard"]), text(&one["id"])), text(&one["status"])))
        .collect()
}

fn audit(dir: &Path, args: &[&str]) -> (Value, BTreeMap<String, String>) {
    let (report, _) = Netcheck::audit(dir).args(args).json();
    let statuses = statuses(&report);
    (report, statuses)
}

/// Public access limited to some blocks fails EKS.1 although the rule of open access passes,
/// and the other way round; no format says that it is met.
#[test]
fn a_control_is_met_only_if_all_its_rules_pass() {
    let limited = fixtures().join("rules/public-endpoint-enabled/fires");
    let open = fixtures().join("rules/public-endpoint-open/fires");
    for (dir, restrict) in [(&limited, "pass"), (&open, "fail")] {
        let (report, statuses) = audit(dir, &[]);
        assert_eq!(report["cluster"]["access"], "public-and-private", "{}", dir.display());
        for control in ["aws-fsbp-1.0.0 EKS.1", "aws-config eks-endpoint-no-public-access"] {
            assert_eq!(statuses[control], "fail", "{}", dir.display());
        }
        assert_eq!(statuses["cis-eks-1.8.0 5.4.1"], restrict, "{}", dir.display());
        assert_eq!(statuses["cis-eks-1.8.0 5.4.2"], "fail", "{}", dir.display());
        let ran = Netcheck::audit(dir).args(&["--format", "ocsf"]).run();
        let events: Vec<Value> = serde_json::from_str(&ran.stdout).unwrap();
        for event in &events {
            let compliance = &event["compliance"];
            let requirements = compliance["requirements"].as_array().cloned().unwrap_or_default();
            let has = |name: &str| requirements.iter().any(|one| one.as_str().unwrap().ends_with(name));
            assert!(compliance["status"] != "Pass" || !has("/EKS.1") && !has("/5.4.2"), "{event:#}");
            if compliance["status"] == "Fail"
                && compliance["control"].as_str().unwrap().starts_with("public-")
            {
                assert!(has("/EKS.1") && has("NIST.800-53.r5 SC-7(21)"), "{event:#}");
                assert!(compliance["standards"].as_array().unwrap().contains(&"PCI DSS v4.0.1".into()));
            }
        }
    }
    let (_, statuses) = audit(&story("private-only"), &[]);
    assert!(statuses.values().all(|status| status == "pass"), "{statuses:?}");
}

/// What was not judged, switched off or waived is not met, and says so.
#[test]
fn controls_are_unknown_without_evidence_and_waived_by_waivers() {
    let eks_1 = "aws-fsbp-1.0.0 EKS.1";
    let (_, unseen) = audit(&fixtures().join("rules/public-endpoint-open/unseen"), &[]);
    assert_eq!(unseen[eks_1], "unknown");
    let dir = scratch();
    let policy = dir.path().join("policy.toml");
    let open = copy_of("study-public");
    for (rules, expected) in [
        ("[rules]\npublic-endpoint-open = \"off\"\n", "unknown"),
        (
            "[[waiver]]\nrule = \"public-endpoint-open\"\nresource = \"*\"\nreason = \"r\"\nowner = \"o\"\nexpires = 9999-12-31\n",
            "waived",
        ),
        (
            "[[waiver]]\nrule = \"public-endpoint-open\"\nresource = \"*\"\nreason = \"r\"\nowner = \"o\"\nexpires = 2020-12-31\n",
            "fail",
        ),
        // A lower severity does not make it less true.
        ("[rules]\npublic-endpoint-open = \"low\"\n", "fail"),
    ] {
        fs::write(&policy, rules).unwrap();
        let (_, statuses) = audit(open.path(), &["--policy", policy.to_str().unwrap()]);
        assert_eq!(statuses[eks_1], expected, "{rules}");
    }
}

/// Every format that names rules names their controls, in its own terms.
#[test]
fn formats_name_the_controls() {
    let dir = story("study-public");
    let written = |format: &str| Netcheck::audit(&dir).args(&["--format", format]).run().stdout;
    let log: Value = serde_json::from_str(&written("sarif")).unwrap();
    let run = &log["runs"][0];
    let taxa: BTreeSet<(String, String)> = (run["taxonomies"].as_array().unwrap().iter())
        .flat_map(|taxonomy| {
            let name = taxonomy["name"].as_str().unwrap().to_owned();
            let taxa = taxonomy["taxa"].as_array().unwrap().iter();
            taxa.map(move |taxon| (name.clone(), taxon["id"].as_str().unwrap().to_owned()))
        })
        .collect();
    for (descriptor, rule) in run["tool"]["driver"]["rules"].as_array().unwrap().iter().zip(ALL) {
        let relations = descriptor["relationships"].as_array().unwrap();
        assert_eq!(relations.len(), rule.controls.len());
        for relation in relations {
            let text = |pointer| relation.pointer(pointer).unwrap().as_str().unwrap().to_owned();
            let target = (text("/target/toolComponent/name"), text("/target/id"));
            assert!(taxa.contains(&target), "{target:?}");
        }
        let tags = descriptor["properties"]["tags"].as_array().unwrap();
        assert!(tags.len() <= 20, "GitHub accepts 20 tags: {tags:?}");
        assert_eq!(tags.len(), (rule.controls.len() + 3).min(20));
    }
    let junit = written("junit");
    assert!(
        junit.contains(r#"<property name="compliance cis-eks-1.8.0" value="5.4.1 fail, 5.4.2 fail"/>"#),
        "{junit}"
    );
    let markdown = written("markdown");
    let line = "Controls: not met: CIS EKS 1.8.0 5.4.1, CIS EKS 1.8.0 5.4.2, FSBP EKS.1, AWS Config eks-endpoint-no-public-access, Control Tower CT.EKS.PR.1.";
    assert!(markdown.contains(line), "{markdown}");
    let explain = |rule: &str| Netcheck::new(["explain", rule]).env("COLUMNS", "200").run().stdout;
    let open = explain("public-endpoint-open");
    assert!(open.contains("\nCIS Amazon EKS Benchmark v1.8.0 5.4.1, 5.4.2\n"), "{open}");
    assert!(open.contains("(related to EKS.1 by AWS)"), "{open}");
    assert!(explain("cidr-not-allowed").contains("(our own mapping)"));
    assert!(!explain("node-cut-off").contains("Compliance"));
}
