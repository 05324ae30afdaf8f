//! `JUnit`: the test cases, and their agreement with the exit code.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use quick_junit::Report;

use super::{mixed, written};
use crate::common::{Netcheck, copy_of, root, story, subdirs};

/// A CI system that reads the exit code and one that reads the test report agree: what is below
/// the threshold is no failure, and missing evidence is an error only where it counts.
#[test]
fn junit_agrees_with_the_exit_code() {
    let mut seen = BTreeSet::new();
    for name in subdirs(&root().join("fixtures/evidence")) {
        for threshold in ["low", "medium", "high", "critical", "never"] {
            let run = Netcheck::audit(&story(&name)).args(&["--format", "junit", "--fail-on", threshold]);
            let ran = run.run();
            if ran.code == 2 {
                continue;
            }
            let report = Report::deserialize_from_str(&ran.stdout).unwrap();
            let says = match (report.failures, report.errors) {
                (0, 0) => 0,
                (0, _) => 3,
                _ => 1,
            };
            assert_eq!(says, ran.code, "{name} {threshold}: {}", ran.stdout);
            seen.insert((ran.code, ran.stdout.contains("<system-out>below the threshold")));
        }
    }
    // Whether a waiver applies to the cluster is not known.
    let copy = copy_of("study-public");
    crate::common::edit_json(copy.path(), "cluster.json", |json| {
        json["cluster"].as_object_mut().unwrap().remove("arn");
    });
    let policy = copy.path().join("eks-netcheck.toml");
    let waiver = "[[waiver]]\nrule = \"public-endpoint-open\"\nresource = \"*\"\nclusters = [\"arn:aws:eks:*\"]\nreason = \"r\"\nowner = \"o\"\nexpires = 9999-12-31\n";
    fs::write(&policy, waiver).unwrap();
    let run = Netcheck::audit(copy.path()).args(&["--format", "junit", "--policy", policy.to_str().unwrap()]);
    let ran = run.run();
    let report = Report::deserialize_from_str(&ran.stdout).unwrap();
    assert_eq!((ran.code, report.failures, report.errors > 0), (3, 0, true), "{}", ran.stdout);
    let codes: BTreeSet<_> = seen.iter().map(|(code, _)| *code).collect();
    assert!(codes == BTreeSet::from([0, 1, 3]) && seen.contains(&(0, true)), "{seen:?}");
}

/// CI systems compare the test cases of two runs: a cluster has the same ones in the same order,
/// whatever is found, waived, below the threshold, not seen or not selected.
#[test]
fn junit_has_the_same_test_cases_in_every_run() {
    let (mixed, policy) = mixed();
    let unread = copy_of("study-public");
    fs::remove_dir_all(unread.path().join("nodes")).unwrap();
    let policy = policy.each_ref().map(String::as_str);
    let cases = |dir: &Path, args: &[&str]| -> Vec<(String, String)> {
        let report = Report::deserialize_from_str(&written(dir, "junit", args)).unwrap();
        let suite = &report.test_suites[0];
        let cases = suite.test_cases.iter().filter(|case| case.name.as_str() != "policy");
        cases
            .map(|case| (case.classname.as_ref().unwrap().as_str().to_owned(), case.name.as_str().to_owned()))
            .collect()
    };
    let story = story("study-public");
    let all = cases(&story, &[]);
    assert_eq!(all.len(), eks_netcheck::rules::ALL.len());
    for (dir, args) in [
        (mixed.path(), &policy[..]),
        (unread.path(), &[]),
        (&*story, &["--fail-on", "never"]),
        (&*story, &["--rule", "public-endpoint-open"]),
    ] {
        assert_eq!(cases(dir, args), all, "{args:?}");
    }
}
