//! The policy file `eks-netcheck.toml`: severities, waivers, overrides, allowed CIDRs.

mod command;

use std::path::Path;

use serde_json::Value;

use crate::common::{Netcheck, copy_of, root, scratch, story};

const CIDRS: &str = r#"
[[allowed-cidr]]
cidr = "0.0.0.0/0"
owner = "nobody"
reason = "left open"
expires = 2024-05-01
"#;

/// A directory with a policy, to run audits of stories in.
pub(crate) struct Policy(pub(crate) tempfile::TempDir);

impl Policy {
    pub(crate) fn new(text: &str) -> Self {
        let dir = scratch();
        std::fs::write(dir.path().join("eks-netcheck.toml"), text).unwrap();
        Self(dir)
    }

    pub(crate) fn audit(&self, name: &str) -> Netcheck {
        Netcheck::audit(&story(name)).dir(self.0.path())
    }

    pub(crate) fn json(&self, name: &str) -> (Value, i32) {
        let (report, code) = self.audit(name).json();
        let schema = std::fs::read_to_string(crate::docs::schema_path()).unwrap();
        let schema = jsonschema::validator_for(&serde_json::from_str(&schema).unwrap()).unwrap();
        let errors: Vec<_> = schema.iter_errors(&report).map(|error| error.to_string()).collect();
        assert!(errors.is_empty(), "{errors:?}");
        (report, code)
    }
}

fn waiver(rule: &str, resource: &str, expires: &str) -> String {
    format!(
        "[[waiver]]\nrule = \"{rule}\"\nresource = \"{resource}\"\nreason = \"NET-42\"\nowner = \"platform\"\nexpires = {expires}\n"
    )
}

pub(crate) fn findings(report: &Value) -> Vec<(&str, &str, bool)> {
    let all = report["findings"].as_array().unwrap().iter();
    all.map(|finding| {
        let word = |key: &str| finding[key].as_str().unwrap();
        (word("rule"), word("severity"), finding["waived"] == true)
    })
    .collect()
}

fn notes(report: &Value) -> Vec<&str> {
    let notes = report["policy"]["notes"].as_array().unwrap();
    notes.iter().map(|note| note["kind"].as_str().unwrap()).collect()
}

#[test]
fn the_policy_sets_severities_and_fail_on() {
    let policy = Policy::new("fail-on = \"critical\"\n[rules]\nprivate-endpoint-disabled = \"critical\"\n");
    let (report, code) = policy.json("study-public");
    assert_eq!((code, &report["findings"][0]["severity"]), (1, &"critical".into()));
    let policy =
        Policy::new("[rules]\npublic-endpoint-open = \"off\"\nprivate-endpoint-disabled = \"low\"\n");
    let (report, code) = policy.json("study-public");
    assert_eq!((findings(&report), code), (vec![("private-endpoint-disabled", "low", false)], 0));
    assert_eq!(report["rules_off"], Value::from(vec!["public-endpoint-open"]));
    // The command line takes precedence over the policy.
    assert_eq!(policy.audit("study-public").args(&["--fail-on", "low"]).run().code, 1);
    let policy = Policy::new("fail-on = \"never\"\n");
    assert_eq!(policy.json("study-public").1, 0);
}

#[test]
fn evidence_needed_only_by_disabled_rules_may_be_missing() {
    let copy = copy_of("private-only");
    std::fs::remove_file(copy.path().join("vpc.json")).unwrap();
    let code = |policy: &Policy| Netcheck::audit(copy.path()).dir(policy.0.path()).run().code;
    assert_eq!(code(&Policy::new("")), 3);
    assert_eq!(code(&Policy::new("[rules]\nprivate-dns-unavailable = \"off\"\n")), 0);
}

#[test]
fn unlisted_and_expired_cidrs_are_findings() {
    let policy = Policy::new(CIDRS);
    let (report, _) = policy.json("study-public");
    let finding = report["findings"].as_array().unwrap().iter().find(|one| one["rule"] == "cidr-not-allowed");
    let finding = finding.unwrap();
    assert_eq!((&finding["subject"], &finding["severity"]), (&"0.0.0.0/0".into(), &"medium".into()));
    assert!(
        finding["message"].as_str().unwrap().contains("only until 2024-05-01 (nobody: left open)"),
        "{finding}"
    );
    assert_eq!(notes(&report), ["cidr-expired"]);
    let policy = Policy::new("allowed-cidr = []\n");
    let (report, _) = policy.json("study-public");
    assert!(findings(&report).contains(&("cidr-not-allowed", "medium", false)), "{report:#}");
    // A CIDR may be covered by two listed halves, one of them in an override.
    let halves = "[[allowed-cidr]]\ncidr = \"0.0.0.0/1\"\nowner = \"o\"\nreason = \"r\"\n\
        [[override]]\nclusters = [\"my*\"]\n[[override.allowed-cidr]]\ncidr = \"128.0.0.0/1\"\nowner = \"o\"\nreason = \"r\"\n";
    let (report, _) = Policy::new(halves).json("study-public");
    assert!(!findings(&report).iter().any(|(rule, ..)| *rule == "cidr-not-allowed"), "{report:#}");
    let (report, _) = Policy::new(&halves.replace("my*", "your*")).json("study-public");
    assert!(findings(&report).iter().any(|(rule, ..)| *rule == "cidr-not-allowed"), "{report:#}");
    // CIDRs do not matter while public access is off.
    let (report, code) = policy.json("private-only");
    assert_eq!((findings(&report), code), (Vec::new(), 0));
}

#[test]
fn endpoint_access_mode_and_cidr_width_are_checked() {
    let policy = Policy::new("[endpoint]\naccess = [\"private\"]\n");
    let (report, code) = policy.json("public-and-private-stale");
    assert!(findings(&report).contains(&("access-mode-not-allowed", "high", false)), "{report:#}");
    assert_eq!(code, 1);
    assert_eq!(policy.json("private-only").1, 0);
    let cidrs = |report: &Value| report["cluster"]["public_access_cidrs"].to_string();
    let policy = Policy::new("[endpoint]\nwidest-ipv4 = \"/32\"\n");
    let (report, _) = policy.json("public-and-private-stale");
    assert!(
        findings(&report).contains(&("public-endpoint-open", "high", false)),
        "{}: {report:#}",
        cidrs(&report)
    );
    // The limits for IPv4 and IPv6 are independent.
    let copy = copy_of("private-only");
    let path = copy.path().join("cluster.json");
    let mut cluster: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    let config = &mut cluster["cluster"]["resourcesVpcConfig"];
    config["endpointPublicAccess"] = true.into();
    config["publicAccessCidrs"] = serde_json::json!(["203.0.113.0/24", "2001:db8::/40"]);
    std::fs::write(&path, cluster.to_string()).unwrap();
    for (text, is_open) in [
        ("widest-ipv4 = \"/24\"\nwidest-ipv6 = \"/40\"", false),
        ("widest-ipv4 = \"/24\"\nwidest-ipv6 = \"/48\"", true),
        ("widest-ipv4 = \"/25\"\nwidest-ipv6 = \"/40\"", true),
    ] {
        let policy = Policy::new(&format!("[endpoint]\n{text}\n"));
        let (report, _) = Netcheck::audit(copy.path()).dir(policy.0.path()).json();
        assert_eq!(
            findings(&report).iter().any(|(rule, ..)| *rule == "public-endpoint-open"),
            is_open,
            "{text}"
        );
    }
    // With private access unknown, some policies can still be judged.
    change_config(&path, |config| {
        config.remove("endpointPrivateAccess");
    });
    for (modes, is_found, is_unseen) in [
        (r#""private""#, true, false),
        (r#""public""#, false, true),
        (r#""public", "public-and-private""#, false, false),
    ] {
        let policy = Policy::new(&format!("[endpoint]\naccess = [{modes}]\n"));
        let (report, _) = Netcheck::audit(copy.path()).dir(policy.0.path()).json();
        let found = findings(&report).iter().any(|(rule, ..)| *rule == "access-mode-not-allowed");
        let unseen = report["gaps"].as_array().unwrap().iter();
        let unseen = { unseen }.any(|gap| gap["what"] == "cluster.json: endpoint access");
        assert_eq!((found, unseen), (is_found, is_unseen), "{modes}");
    }
}

/// Changes the VPC configuration of a cluster.json.
fn change_config(path: &Path, change: impl FnOnce(&mut serde_json::Map<String, Value>)) {
    let mut cluster: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    change(cluster["cluster"]["resourcesVpcConfig"].as_object_mut().unwrap());
    std::fs::write(path, cluster.to_string()).unwrap();
}

#[test]
fn a_waived_finding_is_reported_and_does_not_fail() {
    let arn = "arn:aws:eks:*:*:cluster/myek?";
    for resource in ["myeks", "my*", arn] {
        let policy = Policy::new(&waiver("public-endpoint-open", resource, "9999-12-31"));
        let (report, code) = policy.json("study-public");
        assert_eq!(code, 0, "{resource}: {report:#}");
        let waived = report["findings"].as_array().unwrap().last().unwrap();
        assert_eq!((&waived["rule"], &waived["waived"]), (&"public-endpoint-open".into(), &true.into()));
        assert_eq!(waived["waiver"]["owner"], "platform");
        assert_eq!(notes(&report), Vec::<&str>::new());
    }
    let policy = Policy::new(&waiver("public-endpoint-open", "myeks", "9999-12-31"));
    let table = policy.audit("study-public").run().stdout;
    assert!(table.contains("finding waived"), "{table}");
    assert!(table.contains("waived until 9999-12-31 (platform: NET-42)"), "{table}");
    // A waiver of another rule or cluster does not apply, and is reported as unused.
    for text in [
        waiver("public-endpoint-enabled", "myeks", "9999-12-31"),
        waiver("public-endpoint-open", "MYEKS", "9999-12-31"),
    ] {
        let (report, code) = Policy::new(&text).json("study-public");
        assert_eq!((code, notes(&report)), (1, vec!["waiver-unused"]));
    }
}

#[test]
fn a_waiver_can_match_a_single_finding() {
    let copy = copy_of("private-only");
    let path = copy.path().join("nodes/n1.txt");
    let mut capture = std::fs::read_to_string(&path).unwrap();
    for (port, peer) in [(50001, "198.51.100.7"), (50002, "198.51.100.8")] {
        let row = format!("ESTAB 0 0 192.168.1.20:{port} {peer}:443 users:((\"kubelet\",pid=2984,fd=9))\n");
        capture.push_str(&row);
    }
    std::fs::write(&path, capture).unwrap();
    let waived = |resource: &str, more: &str| {
        let text = waiver("unattributed-connection", resource, "9999-12-31") + more;
        let policy = Policy::new(&text);
        let (report, _) = Netcheck::audit(copy.path()).dir(policy.0.path()).json();
        let all: Vec<_> = report["findings"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|finding| finding["waived"] == true)
            .map(|finding| finding["about"].as_str().unwrap().to_owned())
            .collect();
        (all, notes(&report).len())
    };
    let (one, other) = ("kubelet 198.51.100.7:443".to_owned(), "kubelet 198.51.100.8:443".to_owned());
    assert_eq!(waived("n1", ""), (vec![one.clone(), other.clone()], 0));
    assert_eq!(waived("n1 kubelet 198.51.100.7:443", ""), (vec![one.clone()], 0));
    assert_eq!(waived("*198.51.100.8:443", ""), (vec![other.clone()], 0));
    assert_eq!(waived("n2", ""), (vec![], 1));
    assert_eq!(waived("n1", "clusters = [\"my*\"]\n"), (vec![one, other], 0));
    assert_eq!(waived("n1", "clusters = [\"your*\"]\n"), (vec![], 1));
}

#[test]
fn of_two_matching_waivers_the_later_expiry_applies_and_neither_is_unused() {
    let two = waiver("public-endpoint-open", "myeks", "2024-01-01")
        + &waiver("public-endpoint-open", "my*", "9999-12-31");
    let (report, code) = Policy::new(&two).json("study-public");
    assert_eq!((code, notes(&report)), (0, vec!["waiver-expired"]));
    let two = waiver("public-endpoint-open", "myeks", "9999-12-30")
        + &waiver("public-endpoint-open", "my*", "9999-12-31");
    let (report, _) = Policy::new(&two).json("study-public");
    let waived = report["findings"].as_array().unwrap().last().unwrap();
    assert_eq!((notes(&report), &waived["waiver"]["expires"]), (vec![], &"9999-12-31".into()));
    // A waiver is not reported as unused where its rule was inconclusive.
    let copy = copy_of("public-and-private-stale");
    std::fs::remove_dir_all(copy.path().join("nodes")).unwrap();
    let policy = Policy::new(&waiver("node-on-public-path", "n1", "9999-12-31"));
    let (report, code) = Netcheck::audit(copy.path()).dir(policy.0.path()).json();
    assert_eq!((code, notes(&report)), (3, vec![]));
}

#[test]
fn an_expired_waiver_does_not_apply_and_is_reported() {
    let policy = Policy::new(&waiver("public-endpoint-open", "myeks", "2024-02-29"));
    let (report, code) = policy.json("study-public");
    assert_eq!((code, notes(&report)), (1, vec!["waiver-expired"]));
    assert_eq!(report["findings"][0]["waived"], false);
    assert_eq!(report["findings"][0]["waiver"]["expired"], true);
    let table = policy.audit("study-public").run().stdout;
    assert!(table.contains("its waiver expired 2024-02-29 (platform: NET-42)"), "{table}");
    assert!(table.contains("line 1: the waiver of public-endpoint-open"), "{table}");
}

#[test]
fn overrides_apply_to_matching_clusters_and_accounts() {
    let text = |clusters: &str, accounts: &str| {
        format!(
            "fail-on = \"low\"\n[[override]]\nclusters = [{clusters}]\naccounts = [{accounts}]\nfail-on = \"never\"\n"
        )
    };
    let account = "\"*\"";
    for (clusters, accounts, code) in [
        ("\"my*\"", "", 0),
        ("\"MY*\"", "", 1),
        ("\"my*\"", account, 0),
        ("\"my*\"", "\"000000000000\"", 1),
        ("", account, 0),
        ("\"arn:aws:eks:*:cluster/myeks\"", "", 0),
    ] {
        assert_eq!(
            Policy::new(&text(clusters, accounts)).json("study-public").1,
            code,
            "{clusters} {accounts}"
        );
    }
}

#[test]
fn the_last_matching_override_applies() {
    let both = |first: &str, last: &str| {
        let one = |fail_on: &str| format!("[[override]]\nclusters = [\"my*\"]\nfail-on = \"{fail_on}\"\n");
        Policy::new(&(one(first) + &one(last))).json("study-public").1
    };
    assert_eq!((both("low", "never"), both("never", "low")), (0, 1));
}

/// Whether the override applies is unknown, so its threshold cannot be ignored.
#[test]
fn an_override_for_an_unknown_account_is_inconclusive() {
    let copy = copy_of("exec-second-eni");
    let path = copy.path().join("cluster.json");
    let mut cluster: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    cluster["cluster"].as_object_mut().unwrap().remove("arn");
    std::fs::write(&path, cluster.to_string()).unwrap();
    for (scope, code) in [
        ("accounts = [\"*\"]", 3),
        ("clusters = [\"arn:aws:eks:*:111122223333:*\"]", 3),
        ("clusters = [\"other\"]\naccounts = [\"*\"]", 0),
        ("clusters = [\"other\"]", 0),
    ] {
        let policy = Policy::new(&format!("[[override]]\n{scope}\nfail-on = \"low\"\n"));
        let ran = Netcheck::audit(copy.path()).dir(policy.0.path()).run();
        assert_eq!(ran.code, code, "{scope}: {}", ran.stdout);
        assert_eq!(
            ran.stdout.contains("cluster.json: arn: the policy's override in line 1"),
            code == 3,
            "{scope}"
        );
    }
}

/// What would fail the run if the override did not apply is counted.
#[test]
fn findings_that_an_unknown_override_may_except_are_counted() {
    let copy = copy_of("study-public");
    crate::common::edit_json(copy.path(), "cluster.json", |cluster| {
        cluster["cluster"].as_object_mut().unwrap().remove("arn");
    });
    let policy = Policy::new("[[override]]\naccounts = [\"*\"]\nfail-on = \"never\"\n");
    let ran = Netcheck::audit(copy.path()).dir(policy.0.path()).env("COLUMNS", "400").run();
    assert!(ran.stdout.starts_with("INCONCLUSIVE"), "{}", ran.stdout);
    assert!(
        ran.stdout.contains("; 1 finding at or above high, which the policy may except; "),
        "{}",
        ran.stdout
    );
}

/// A gap that the verdict does not need makes nothing inconclusive.
#[test]
fn a_gap_that_is_not_needed_is_not_called_inconclusive() {
    let copy = copy_of("exec-second-eni");
    std::fs::remove_file(copy.path().join("nodes/n1.txt")).unwrap();
    for (fail_on, words, others) in [
        ("never", "Not judged without it: ", "Inconclusive without it: "),
        ("low", "Inconclusive without it: ", "Not judged without it: "),
    ] {
        for all in [&[][..], &["--all"]] {
            let ran = Netcheck::audit(copy.path()).args(&["--fail-on", fail_on]).args(all).run();
            assert!(ran.stdout.contains(words) && !ran.stdout.contains(others), "{fail_on}: {}", ran.stdout);
        }
    }
}

#[test]
fn the_policy_is_found_in_parent_directories() {
    let policy = Policy::new("fail-on = \"never\"\n");
    let below = policy.0.path().join("a/b");
    std::fs::create_dir_all(&below).unwrap();
    let ran = Netcheck::audit(&story("study-public")).dir(&below).run();
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(ran.stdout.contains("eks-netcheck.toml"), "{}", ran.stdout);
    let other = policy.0.path().join("other.toml");
    std::fs::write(&other, "").unwrap();
    let ran = Netcheck::audit(&story("study-public")).dir(&below).arg("--policy").arg(&other).run();
    assert_eq!(ran.code, 1, "{}", ran.stderr);
}

#[test]
fn an_invalid_policy_is_refused() {
    let policy = Policy::new("[rules]\npublic-endpoint-opne = \"low\"\n");
    let ran = policy.audit("study-public").run();
    assert_eq!((ran.code, ran.stdout.as_str()), (2, ""));
    assert!(
        ran.stderr.contains("eks-netcheck.toml:2:1: no rule named \"public-endpoint-opne\"; did you mean \"public-endpoint-open\"?"),
        "{}",
        ran.stderr
    );
    // An unreadable policy is an error, not an absent policy.
    let dir = scratch();
    std::os::unix::fs::symlink("nowhere.toml", dir.path().join("eks-netcheck.toml")).unwrap();
    let ran = Netcheck::audit(&story("private-only")).dir(dir.path()).run();
    assert!(ran.code == 2 && ran.stderr.contains("cannot read the policy"), "{}", ran.stderr);
    let with_policy = |file: &Path| Netcheck::audit(&story("study-public")).arg("--policy").arg(file).run();
    for file in [Path::new("no-such.toml"), root()] {
        assert_eq!(with_policy(file).code, 2);
    }
}
