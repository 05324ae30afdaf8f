//! Reports of many clusters, in every format.

use std::time::{Duration, Instant};

use eks_netcheck_lab::aws::Api;
use serde_json::Value;

use super::{HERE, REGIONS, account, audit, reports, two_regions};
use crate::common::{root, scratch};

/// With rules selected, several clusters are judged by those alone, in every format, with the same
/// exit code.
#[test]
fn a_selection_of_rules_holds_for_every_cluster_and_format() {
    let aws = two_regions();
    aws.set_account_in(REGIONS[1], account("study-public", HERE, REGIONS[1], &["open"]));
    let dir = scratch();
    let fleet = ["--all-clusters", "--region", "all"];
    for (rules, code) in [
        (["--rule", "public-endpoint-open"], 1),
        (["--rule", "public-endpoint-enabled"], 0),
        (["--skip-rule", "public-endpoint-open,node-egress-not-allowed"], 0),
    ] {
        let mut run = audit(&aws, &[&fleet[..], &rules].concat());
        for format in eks_netcheck::report::FORMATS {
            run = run.args(&["--write", &format!("{0}={1}/{0}", format.name, dir.path().display())]);
        }
        let ran = run.run();
        assert_eq!(ran.code, code, "{rules:?}: {}{}", ran.stdout, ran.stderr);
        let read = |name: &str| std::fs::read_to_string(dir.path().join(name)).unwrap();
        let json = |name: &str| serde_json::from_str::<Value>(&read(name)).unwrap();
        let report = json("json");
        assert_eq!(reports(&report).len(), 3);
        let skipped: Vec<_> =
            report["reports"].as_array().unwrap().iter().map(|one| &one["rules_skipped"]).collect();
        assert!(skipped.iter().all(|one| *one == skipped[0] && !one.as_array().unwrap().is_empty()));
        let skipped: Vec<_> = skipped[0].as_array().unwrap().iter().map(|id| id.as_str().unwrap()).collect();
        let judged = eks_netcheck::rules::ALL.len() - skipped.len();
        let number = format!("{} rules not judged (--rule", skipped.len());
        for name in ["table", "html", "markdown", "github", "sarif"] {
            let text = read(name).split_whitespace().collect::<Vec<_>>().join(" ");
            assert!(text.contains(&number), "{rules:?} {name}: {text}");
        }
        assert_eq!(read("junit").matches("not selected on the command line").count(), 3 * skipped.len());
        assert_eq!(read("junit").contains("<failure"), code == 1);
        let asff: Vec<Value> =
            read("asff").lines().flat_map(|line| serde_json::from_str::<Vec<Value>>(line).unwrap()).collect();
        assert_eq!(asff.len(), 3 * judged, "{rules:?}");
        for id in skipped {
            for (name, pointer) in [("sarif", "ruleId"), ("gitlab", "check_name"), ("ocsf", "event_code")] {
                let is_found = format!("\"{pointer}\": \"{id}\"");
                assert!(!read(name).contains(&is_found), "{rules:?} {name}: {id}");
            }
            let is_judged = format!("rule=\"{id}\"}} 1");
            let metrics = read("openmetrics");
            let of = metrics.lines().filter(|line| line.starts_with("eks_netcheck_rule_judged{"));
            assert!(!of.into_iter().any(|line| line.ends_with(&is_judged)), "{id}: {metrics}");
        }
    }
}

/// Formats without a size limit contain all findings of 500 clusters; the others give
/// a count of what they leave out.
#[test]
fn five_hundred_clusters_are_reported_in_full_or_counted() {
    let names: Vec<_> = (0..500).map(|number| format!("c{number:03}")).collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    let aws = Api::serve(account("study-public", HERE, REGIONS[0], &names)).unwrap();
    let dir = scratch();
    let file = |name: &str| dir.path().join(name);
    let mut run = audit(&aws, &["--all-clusters", "--timeout", "120", "--format", "json"]);
    for format in
        ["html", "sarif", "junit", "markdown", "github", "gitlab", "ocsf", "asff", "openmetrics", "table"]
    {
        run = run.args(&["--write", &format!("{format}={}", file(format).display())]);
    }
    let began = Instant::now();
    let ran = run.run();
    assert_eq!(ran.code, 1, "{}", ran.stderr);
    assert!(began.elapsed() < Duration::from_secs(100), "{:?}", began.elapsed());
    let report: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(reports(&report).len(), 500);
    let findings = report["reports"][0]["findings"].as_array().unwrap().len() * 500;
    assert!(findings >= 1500, "{findings}");
    let read = |name: &str| std::fs::read_to_string(file(name)).unwrap();
    let json = |name: &str| serde_json::from_str::<Value>(&read(name)).unwrap();
    let results = json("sarif")["runs"][0]["results"].as_array().unwrap().clone();
    let fingerprints: std::collections::BTreeSet<_> =
        results.iter().map(|one| one["partialFingerprints"]["primaryLocationLineHash"].to_string()).collect();
    assert_eq!(
        (fingerprints.len(), results.len()),
        (findings, findings),
        "no two results share a fingerprint"
    );
    assert_eq!(json("gitlab").as_array().unwrap().len(), findings);
    // One finding for each rule and cluster, at most 100 in a batch.
    let batches: Vec<Vec<Value>> =
        read("asff").lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let ids: std::collections::BTreeSet<_> =
        batches.iter().flatten().map(|one| one["Id"].to_string()).collect();
    let all = 500 * eks_netcheck::rules::ALL.len();
    assert_eq!((ids.len(), batches.len()), (all, all.div_ceil(100)));
    assert!(batches.iter().all(|batch| batch.len() <= 100));
    let verdicts = r#"eks_netcheck_clusters{verdict="fail"} 500"#;
    assert!(read("openmetrics").contains(verdicts));
    assert!(read("markdown").len() < 1 << 20);
    assert_eq!(read("html").matches("<section class=\"cluster\"").count(), 500);
    let lines = read("github");
    let count = |level: &str| lines.lines().filter(|line| line.starts_with(level)).count();
    assert_eq!((count("::error "), count("::warning "), count("::notice ")), (10, 10, 2));
    assert!(lines.trim_end().lines().last().unwrap().contains(&format!("{} more", findings - 20)), "{lines}");
    let rules = std::fs::read_dir(root().join("fixtures/rules")).unwrap().count();
    assert!(read("junit").contains(&format!(r#"tests="{}""#, 500 * rules)));
}

/// The documented commands import each batch in its region; a stub of the aws CLI records
/// them.
#[test]
fn the_documented_commands_import_every_batch_of_asff() {
    let aws = two_regions();
    let dir = scratch();
    let to = format!("asff={}", dir.path().join("findings.json").display());
    audit(&aws, &["--all-clusters", "--region", "all", "--write", &to]).run();
    let stub = "#!/bin/sh\nprintf '%s ' \"$@\" >>calls\njq length \"${6#file://}\" >>calls\n";
    let path = dir.path().join("aws");
    std::fs::write(&path, stub).unwrap();
    std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let commands = crate::docs::code_block("docs/compliance.md", "import");
    let search = format!("{}:/usr/bin:/bin", dir.path().display());
    let ran = std::process::Command::new("sh")
        .args(["-euc", &commands])
        .current_dir(dir.path())
        .env("PATH", search)
        .output()
        .unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    // Of two clusters in each region.
    let rules = 2 * eks_netcheck::rules::ALL.len();
    let calls: Vec<_> = [("aa", REGIONS[0]), ("ab", REGIONS[1])]
        .map(|(name, region)| {
            format!(
                "securityhub batch-import-findings --region {region} --findings file://batch.{name} {rules}"
            )
        })
        .into();
    let called = std::fs::read_to_string(dir.path().join("calls")).unwrap();
    assert_eq!(called.lines().collect::<Vec<_>>(), calls);
}

/// In a narrow terminal, the overview is text: a table would cut names within words. In a wide one it is a
/// table.
#[test]
fn the_overview_cuts_no_word() {
    let aws = Api::serve(account("private-only", HERE, REGIONS[0], &["payments-production"])).unwrap();
    aws.set_account_in(REGIONS[1], account("study-public", HERE, REGIONS[1], &["data-platform-staging"]));
    let fleet = ["--all-clusters", "--region", "all"];
    let overview = |columns: &str| {
        let ran = audit(&aws, &fleet).env("COLUMNS", columns).run();
        ran.stdout.split("\n====").next().unwrap().to_owned()
    };
    for columns in ["60", "80"] {
        let text = overview(columns);
        assert!(text.lines().all(|line| line.len() <= columns.parse().unwrap()), "{text}");
        assert!(!text.contains("Worst"), "{text}");
        for words in [
            "FAIL  data-platform-staging (eu-west-1): public, node",
            "PASS  payments-production (ap-northeast-2):",
        ] {
            assert!(text.contains(words), "{words}: {text}");
        }
    }
    let table = overview("200");
    for word in ["Cluster", "Worst", "data-platform-staging", "payments-production"] {
        assert!(table.contains(word), "{word}: {table}");
    }
}
