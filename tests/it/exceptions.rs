//! What a policy excepts: accepted gaps, and entries of which it is not known whether they
//! apply to the cluster.

use std::path::Path;

use serde_json::Value;

use crate::common::{Netcheck, copy_of, story};

/// A copy of a story with this policy and this ARN.
fn copy_with(name: &str, arn: Option<&str>, policy: &str) -> tempfile::TempDir {
    let copy = copy_of(name);
    let path = copy.path().join("cluster.json");
    let mut cluster: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    match arn {
        Some(arn) => cluster["cluster"]["arn"] = arn.into(),
        None => {
            cluster["cluster"].as_object_mut().unwrap().remove("arn");
        }
    }
    std::fs::write(&path, cluster.to_string()).unwrap();
    std::fs::write(copy.path().join("eks-netcheck.toml"), policy).unwrap();
    copy
}

fn audit(dir: &Path) -> Netcheck {
    Netcheck::audit(dir).dir(dir)
}

/// The gaps of a report that are about the cluster's ARN.
fn arn_gaps(report: &Value) -> Vec<&str> {
    let gaps = report["gaps"].as_array().unwrap().iter();
    let of_arn = gaps.filter(|gap| gap["what"] == "cluster.json: arn");
    of_arn.map(|gap| gap["detail"].as_str().unwrap()).collect()
}

const REDACTED: &str = "arn:aws:eks:ap-northeast-2:XXXXXXXXXXXX:cluster/myeks";
const WHOLE: &str = "arn:aws:eks:ap-northeast-2:111122223333:cluster/myeks";
const SAME: &str = "the verdict is the same either way";

/// The highest severity in exec-second-eni is medium: with --fail-on low it fails.
#[test]
fn an_override_that_may_apply_is_judged_both_ways() {
    for arn in [None, Some(REDACTED), Some("arn:aws:eks:ap-northeast-2::cluster/myeks")] {
        for (scope, settings, code) in [
            (r#"accounts = ["111122223333"]"#, "fail-on = \"low\"", 3),
            (r#"accounts = ["11*"]"#, "fail-on = \"low\"", 3),
            (r#"clusters = ["*:111122223333:cluster/*"]"#, "fail-on = \"low\"", 3),
            (r#"clusters = ["*1111*"]"#, "rules.public-endpoint-enabled = \"high\"", 3),
            (r#"clusters = ["?rn:*:111122223333:*"]"#, "endpoint.access = [\"private\"]", 3),
            (r#"clusters = ["arn:aws:eks:*:111122223333:*"]"#, "endpoint.widest-ipv4 = \"/32\"", 3),
            // The same verdict either way.
            (r#"accounts = ["111122223333"]"#, "fail-on = \"critical\"", 0),
            (r#"accounts = ["111122223333"]"#, "rules.public-endpoint-enabled = \"off\"", 0),
        ] {
            let copy = copy_with("exec-second-eni", arn, &format!("\n[[override]]\n{scope}\n{settings}\n"));
            let (report, ran) = audit(copy.path()).json();
            assert_eq!(ran, code, "{arn:?} {scope} {settings}: {:#}", report["gaps"]);
            let gaps = arn_gaps(&report);
            let [gap] = gaps.as_slice() else { panic!("{scope}: {gaps:?}") };
            assert!(gap.starts_with("the policy's override in line 2 applies to some"), "{gap}");
            assert_eq!(gap.ends_with(SAME), code == 0, "{gap}");
        }
        // Overrides that cannot be for this cluster are none of its business.
        for scope in [
            r#"clusters = ["*-prod"]"#,
            r#"clusters = ["your*"]
accounts = ["*"]"#,
        ] {
            let copy =
                copy_with("exec-second-eni", arn, &format!("[[override]]\n{scope}\nfail-on = \"low\"\n"));
            let (report, code) = audit(copy.path()).json();
            assert_eq!((code, arn_gaps(&report).len()), (0, 0), "{scope}");
        }
    }
}

#[test]
fn a_cluster_that_fails_either_way_fails() {
    let policy = "[[override]]\naccounts = [\"111122223333\"]\nfail-on = \"medium\"\n";
    let copy = copy_with("study-public", Some(REDACTED), policy);
    let (report, code) = audit(copy.path()).json();
    let gaps = arn_gaps(&report);
    assert_eq!((code, gaps.len()), (1, 1));
    assert!(gaps[0].ends_with(SAME), "{gaps:?}");
    // With one that makes it pass, it is not known.
    let copy = copy_with("study-public", Some(REDACTED), &policy.replace("medium", "never"));
    let ran = audit(copy.path()).run();
    assert_eq!(ran.code, 3, "{}", ran.stdout);
    assert!(
        ran.stdout.starts_with(
            "INCONCLUSIVE  myeks: could not judge everything at or above high: cluster.json: arn: the"
        ),
        "{}",
        ran.stdout
    );
}

/// Two overrides that together change the verdict, and one that does not.
#[test]
fn several_overrides_are_judged_in_all_combinations() {
    let one = |settings: &str| format!("[[override]]\naccounts = [\"111122223333\"]\n{settings}\n");
    let strict = one("fail-on = \"low\"");
    let none = one("rules = { public-endpoint-enabled = \"off\", private-endpoint-disabled = \"off\" }");
    let copy = copy_with(
        "exec-second-eni",
        None,
        &(strict.clone() + &none + &one("endpoint.access = [\"public\"]")),
    );
    let (report, code) = audit(copy.path()).json();
    let gaps = arn_gaps(&report);
    assert_eq!(code, 3);
    let needed: Vec<_> = gaps.iter().map(|gap| (gap.contains("line 7 "), gap.ends_with(SAME))).collect();
    assert_eq!(needed, [(false, false), (false, false), (true, true)], "{gaps:?}");
    // The last one applies, whether or not the others do.
    let known = "[[override]]\nclusters = [\"my*\"]\nfail-on = \"never\"\n";
    let copy = copy_with("exec-second-eni", None, &(strict.clone() + &none + known));
    assert_eq!(audit(copy.path()).run().code, 0);
    // Too many to judge in all combinations.
    let copy = copy_with("exec-second-eni", None, &one("fail-on = \"high\"").repeat(7));
    let (report, code) = audit(copy.path()).json();
    assert_eq!((code, arn_gaps(&report).len()), (3, 7));
    let copy = copy_with("exec-second-eni", None, &one("fail-on = \"high\"").repeat(6));
    let (report, code) = audit(copy.path()).json();
    assert_eq!((code, arn_gaps(&report).len()), (0, 6));
}

fn waiver(scope: &str, expires: &str) -> String {
    format!(
        "[[waiver]]\nrule = \"public-endpoint-open\"\n{scope}\nreason = \"r\"\nowner = \"o\"\nexpires = {expires}\n"
    )
}

#[test]
fn a_waiver_that_may_apply_is_judged_both_ways() {
    let resource = |glob: &str| format!("resource = \"{glob}\"");
    for (arn, scope, code, lines) in [
        (None, resource("arn:aws:eks:*:111122223333:cluster/myeks"), 3, 1),
        (None, resource("*:111122223333:*"), 3, 1),
        (Some(REDACTED), resource("*:111122223333:*"), 3, 1),
        (Some(REDACTED), resource("my*") + "\nclusters = [\"arn:*:111122223333:*\"]", 3, 1),
        (Some(WHOLE), resource("my*") + "\nclusters = [\"arn:*:111122223333:*\"]", 0, 0),
        (Some(WHOLE), resource("*:444455556666:*"), 1, 0),
        (Some(REDACTED), resource("arn:*:cluster/your*"), 1, 0),
        (Some(REDACTED), resource("my*"), 0, 0),
    ] {
        let copy = copy_with("study-public", arn, &waiver(&scope, "9999-12-31"));
        let (report, ran) = audit(copy.path()).json();
        let gaps = arn_gaps(&report);
        assert_eq!((ran, gaps.len()), (code, lines), "{arn:?} {scope}: {gaps:?}");
        assert!(gaps.iter().all(|gap| gap.starts_with("the policy's waiver in line 1 ")), "{gaps:?}");
        // A waiver that may apply is not unused.
        let notes = report["policy"]["notes"].as_array().unwrap();
        assert_eq!(notes.is_empty(), code != 1, "{scope}: {notes:?}");
    }
    // An expired one does not matter.
    let copy = copy_with("study-public", None, &waiver(&resource("arn:*"), "2024-01-01"));
    let (report, code) = audit(copy.path()).json();
    assert_eq!((code, arn_gaps(&report).len()), (1, 0));
    // Nor does one below the threshold.
    let copy = copy_with(
        "study-public",
        None,
        &(String::from("fail-on = \"critical\"\n") + &waiver(&resource("arn:*"), "9999-12-31")),
    );
    let (report, code) = audit(copy.path()).json();
    assert_eq!((code, arn_gaps(&report).len()), (0, 1));
}

fn accept(subject: &str, more: &str, expires: &str) -> String {
    format!(
        "[[accept-gap]]\nsubject = \"{subject}\"\nreason = \"pods <only>\"\nowner = \"platform\"\nexpires = {expires}\n{more}"
    )
}

/// A story that passes, without the capture of one node.
fn without_a_node(policy: &str) -> tempfile::TempDir {
    let copy = copy_with("private-only", Some(WHOLE), policy);
    std::fs::remove_file(copy.path().join("nodes/n2.txt")).unwrap();
    copy
}

fn notes(report: &Value) -> Vec<&str> {
    let notes = report["policy"]["notes"].as_array().unwrap();
    notes.iter().map(|note| note["kind"].as_str().unwrap()).collect()
}

#[test]
fn an_accepted_gap_is_reported_and_does_not_count() {
    for (policy, code, expected) in [
        (String::new(), 3, &[][..]),
        (accept("node *", "", "9999-12-31"), 0, &[]),
        (accept("node i-*", "clusters = [\"my*\"]\n", "9999-12-31"), 0, &[]),
        (accept("node i-*", "clusters = [\"your*\"]\n", "9999-12-31"), 3, &["acceptance-unused"]),
        (accept("hybrid nodes", "", "9999-12-31"), 3, &["acceptance-unused"]),
        (accept("NODE *", "", "9999-12-31"), 3, &["acceptance-unused"]),
        (accept("node *", "", "2024-02-29"), 3, &["acceptance-expired"]),
        (accept("hybrid nodes", "", "2024-02-29"), 3, &["acceptance-expired"]),
        (
            accept("node *", "", "2024-02-29") + &accept("node *", "", "9999-12-31"),
            0,
            &["acceptance-expired"],
        ),
    ] {
        let copy = without_a_node(&policy);
        let (report, ran) = audit(copy.path()).json();
        assert_eq!((ran, notes(&report).as_slice()), (code, expected), "{policy}: {:#}", report["gaps"]);
        let gaps = report["gaps"].as_array().unwrap().iter();
        let of_node = gaps.filter(|gap| gap["what"].as_str().unwrap().starts_with("node i-"));
        let of_node: Vec<_> = of_node.collect();
        assert!(!of_node.is_empty());
        for gap in of_node {
            assert_eq!(gap["is_accepted"], code == 0, "{gap}");
            // An acceptance that has expired is shown too.
            let accepted = &gap["accepted"];
            let matches = code == 0 || policy.contains("\"node *\"");
            assert_eq!(accepted.is_object(), matches, "{policy}: {gap}");
            if matches {
                assert_eq!(accepted["owner"], "platform");
                assert_eq!(accepted["reason"], "pods <only>");
                assert_eq!(accepted["expired"], code == 3);
                assert_eq!(accepted["expires"], if code == 0 { "9999-12-31" } else { "2024-02-29" });
            }
        }
    }
}

#[test]
fn other_gaps_count_beside_an_accepted_one() {
    let copy = without_a_node(&accept("node *", "", "9999-12-31"));
    std::fs::remove_file(copy.path().join("vpc.json")).unwrap();
    assert_eq!(audit(copy.path()).run().code, 3);
}

/// A finding counts, whatever gaps are accepted.
#[test]
fn an_accepted_gap_hides_no_finding() {
    let copy = copy_with("public-and-private-stale", Some(WHOLE), &accept("*", "", "9999-12-31"));
    std::fs::remove_file(copy.path().join("nodes/n2.txt")).unwrap();
    assert_eq!(audit(copy.path()).run().code, 1);
}

#[test]
fn an_acceptance_that_may_apply_is_judged_both_ways() {
    let clusters = "clusters = [\"*:111122223333:*\"]\n";
    for (arn, code) in [(None, 3), (Some(REDACTED), 3), (Some(WHOLE), 0)] {
        let copy = copy_with("private-only", arn, &accept("node *", clusters, "9999-12-31"));
        std::fs::remove_file(copy.path().join("nodes/n2.txt")).unwrap();
        let (report, ran) = audit(copy.path()).json();
        let gaps = arn_gaps(&report);
        assert_eq!((ran, gaps.len()), (code, usize::from(code == 3)), "{gaps:?}");
        assert!(gaps.iter().all(|gap| gap.starts_with("the policy's accept-gap in line 1 ")), "{gaps:?}");
    }
}

#[test]
fn accepted_gaps_are_marked_in_each_format() {
    let copy = without_a_node(&accept("node *", "", "9999-12-31"));
    let expired = without_a_node(&accept("node *", "", "2024-02-29"));
    let written = |dir: &Path, format: &str| audit(dir).args(&["--format", format]).run().stdout;
    let table = written(copy.path(), "table");
    let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let table = words(&table);
    assert!(table.contains("1 gap accepted by the policy"), "{table}");
    assert!(table.contains("accepted until 9999-12-31 (platform: pods <only>)"), "{table}");
    let table = words(&written(expired.path(), "table"));
    assert!(
        table.contains("counts, since its acceptance expired 2024-02-29 (platform: pods <only>)"),
        "{table}"
    );

    let parsed = |format: &str| serde_json::from_str::<Value>(&written(copy.path(), format)).unwrap();
    let sarif = parsed("sarif");
    let invocation = &sarif["runs"][0]["invocations"][0];
    assert_eq!(invocation["executionSuccessful"], true);
    let notifications = invocation["toolExecutionNotifications"].as_array().unwrap();
    let accepted = |text: &Value| text.as_str().unwrap().contains("accepted until 9999-12-31");
    assert!(
        notifications.iter().any(|one| one["level"] == "note" && accepted(&one["message"]["text"])),
        "{notifications:#?}"
    );

    let junit = written(copy.path(), "junit");
    assert!(junit.contains("errors=\"0\""), "{junit}");
    assert!(junit.contains("accepted until 9999-12-31 (platform: pods &lt;only&gt;)"), "{junit}");
    assert!(!written(expired.path(), "junit").contains("errors=\"0\""));

    let markdown = written(copy.path(), "markdown");
    assert!(markdown.contains("Not seen, and accepted by the policy:"), "{markdown}");
    let github = written(copy.path(), "github");
    let is_notice = |line: &str| line.starts_with("::notice ") && line.contains("accepted until 9999-12-31");
    assert!(github.lines().any(is_notice), "{github}");
    assert!(!github.contains("::error "), "{github}");

    let gitlab = parsed("gitlab");
    let issues = gitlab.as_array().unwrap();
    assert!(
        issues.iter().any(|issue| issue["severity"] == "info" && accepted(&issue["description"])),
        "{issues:?}"
    );
    assert!(issues.iter().all(|issue| issue["severity"] != "critical"), "{issues:?}");

    let events = parsed("ocsf");
    let of = |rule: &str| {
        let mut all = events.as_array().unwrap().iter();
        all.find(|event| event["metadata"]["event_code"] == rule).unwrap()
    };
    let event = of("node-on-public-path");
    assert_eq!((&event["status"], &event["compliance"]["status_id"]), (&"Suppressed".into(), &99.into()));
    assert_eq!(event["comment"], "platform: pods <only> (until 9999-12-31)");
    assert_eq!(of("public-endpoint-open")["status"], "New");
}

#[test]
fn policy_check_lists_acceptances_that_have_expired() {
    let dir = crate::common::scratch();
    std::fs::write(dir.path().join("eks-netcheck.toml"), accept("node *", "", "2024-02-29")).unwrap();
    let ran = Netcheck::new(["policy", "check"]).dir(dir.path()).run();
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(
        ran.stdout.contains(":1: the acceptance of the gap \"node *\" expired 2024-02-29"),
        "{}",
        ran.stdout
    );
    // Nothing is written to the story itself.
    assert!(!story("private-only").join("eks-netcheck.toml").exists());
}
