//! Each rule on the evidence under `fixtures/rules/<id>`: where it fires, where
//! it is quiet, and where what it needs was not seen.

use serde_json::Value;

use crate::common::{Netcheck, fixtures, subdirs};

fn of_rule<'a>(report: &'a Value, id: &str) -> (Vec<&'a Value>, Vec<&'a Value>) {
    let findings = report["findings"].as_array().unwrap().iter().filter(|finding| finding["rule"] == id);
    let names = |gap: &&Value| gap["rules"].as_array().unwrap().iter().any(|rule| rule == id);
    (findings.collect(), report["gaps"].as_array().unwrap().iter().filter(names).collect())
}

#[test]
fn every_rule_has_its_three_fixtures() {
    let mut ids: Vec<_> = eks_netcheck::rules::ALL.iter().map(|rule| rule.id.to_owned()).collect();
    ids.sort();
    assert_eq!(subdirs(&fixtures().join("rules")), ids);
    for id in ids {
        assert_eq!(subdirs(&fixtures().join("rules").join(id)), ["fires", "quiet", "unseen"]);
    }
}

#[test]
fn rules_fire_where_they_should() {
    for rule in eks_netcheck::rules::ALL {
        let (report, _) = Netcheck::audit(&fixtures().join("rules").join(rule.id).join("fires")).json();
        let (findings, _) = of_rule(&report, rule.id);
        assert!(!findings.is_empty(), "{} does not fire", rule.id);
        for finding in findings {
            assert_eq!(finding["severity"], rule.severity.as_str());
            for field in ["subject", "message", "remediation"] {
                assert!(!finding[field].as_str().unwrap().is_empty(), "{}: no {field}", rule.id);
            }
        }
    }
}

#[test]
fn rules_are_quiet_where_they_should() {
    for rule in eks_netcheck::rules::ALL {
        let (report, _) = Netcheck::audit(&fixtures().join("rules").join(rule.id).join("quiet")).json();
        let (findings, gaps) = of_rule(&report, rule.id);
        assert!(findings.is_empty() && gaps.is_empty(), "{}: {findings:?} {gaps:?}", rule.id);
    }
}

#[test]
fn rules_that_could_not_see_say_so() {
    for rule in eks_netcheck::rules::ALL {
        let dir = fixtures().join("rules").join(rule.id).join("unseen");
        let (report, _) = Netcheck::audit(&dir).json();
        let (findings, gaps) = of_rule(&report, rule.id);
        assert!(findings.is_empty(), "{}: {findings:?}", rule.id);
        assert!(!gaps.is_empty(), "{} passed and could not see", rule.id);
        // With its own severity as the threshold, that is never a pass.
        let ran = Netcheck::audit(&dir).args(&["--fail-on", rule.severity.as_str()]).run();
        assert!(ran.code == 3 || ran.code == 1, "{} exits with {}", rule.id, ran.code);
    }
}

/// A directory of evidence that lacks one file more each time never turns from
/// bad to good.
#[test]
fn less_evidence_never_gives_a_better_verdict() {
    for story in subdirs(&fixtures().join("evidence")) {
        let whole = Netcheck::audit(&crate::common::story(&story)).run().code;
        let copy = crate::common::copy_of(&story);
        for file in [
            "network-interfaces.json",
            "instances.json",
            "vpc.json",
            "subnets.json",
            "dhcp-options.json",
            "nat-gateways.json",
            "route-tables.json",
            "security-groups.json",
            "nodes.txt",
            "nodes",
            "dns",
        ] {
            let path = copy.path().join(file);
            if path.is_dir() {
                std::fs::remove_dir_all(path).unwrap();
            } else if path.exists() {
                std::fs::remove_file(path).unwrap();
            } else {
                continue;
            }
            let code = Netcheck::audit(copy.path()).run().code;
            assert!(whole == 0 || code != 0, "{story} without {file} passes, and fails with it");
        }
        let bare = Netcheck::audit(copy.path()).args(&["--fail-on", "low"]).run();
        assert_ne!(bare.code, 0, "{story} passes with nothing but cluster.json");
    }
}
