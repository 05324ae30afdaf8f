//! `--baseline`: an earlier report, whose findings are known and do not count.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::common::{Netcheck, copy_of, edit_json, scratch, story};

/// A report of a story, changed, as a file.
fn baseline(dir: &Path, evidence: &Path, change: impl FnOnce(&mut Value)) -> String {
    let (mut report, _) = Netcheck::audit(evidence).args(&["--no-ci"]).json();
    change(&mut report);
    let path = dir.join("baseline.json");
    fs::write(&path, report.to_string()).unwrap();
    path.to_str().unwrap().to_owned()
}

fn states(report: &Value) -> Vec<(&str, &str)> {
    let findings = report["findings"].as_array().unwrap().iter();
    findings.map(|one| (one["rule"].as_str().unwrap(), one["baseline"].as_str().unwrap())).collect()
}

/// Text without its line breaks and indents.
fn unwrapped(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn rules(list: &Value) -> Vec<&str> {
    list.as_array().unwrap().iter().map(|one| one["rule"].as_str().unwrap()).collect()
}

const OPEN: &str = "public-endpoint-open";

#[test]
fn known_findings_stay_in_the_report_and_do_not_fail_it() {
    let (dir, evidence) = (scratch(), story("study-public"));
    assert_eq!(Netcheck::audit(&evidence).run().code, 1);
    // The message does not identify a finding.
    let path = baseline(dir.path(), &evidence, |report| {
        for finding in report["findings"].as_array_mut().unwrap() {
            finding["message"] = "in other words".into();
        }
    });
    let audit = || Netcheck::audit(&evidence).args(&["--baseline", &path, "--fail-on", "low"]);
    let (report, code) = audit().json();
    assert_eq!((code, &report["verdict"]), (0, &json!("pass")), "{:#}", report["findings"]);
    assert!(states(&report).contains(&(OPEN, "unchanged")), "{:?}", states(&report));
    assert!(states(&report).iter().all(|(_, state)| *state == "unchanged"));
    assert_eq!(report["baseline"], json!({ "gone": [], "not_judged": [], "note": null }));
    let written = |format: &str| audit().args(&["--format", format]).run();
    for (format, mark) in [
        ("table", "nothing new at or above low"),
        ("table", "  known"),
        ("markdown", "it is in the baseline"),
        ("github", "(known: it is in the baseline)"),
        ("gitlab", "(known: it is in the baseline)"),
        ("ocsf", "known: it is in the baseline"),
        ("junit", "<skipped message=\"known: it is in the baseline\""),
        ("sarif", "\"baselineState\": \"unchanged\""),
        ("asff", "(known)"),
        ("html", ">known</span>"),
    ] {
        let ran = written(format);
        assert_eq!(ran.code, 0, "{format}: {}", ran.stderr);
        assert!(ran.stdout.contains(mark), "{format} lacks {mark}: {}", ran.stdout);
    }
    let commands = written("github").stdout;
    assert!(!commands.contains("::error") && !commands.contains("::warning"), "{commands}");
    assert!(!written("junit").stdout.contains("<failure"));
}

#[test]
fn a_finding_that_the_baseline_lacks_is_new() {
    let (dir, evidence) = (scratch(), story("study-public"));
    let path = baseline(dir.path(), &evidence, |report| {
        report["findings"].as_array_mut().unwrap().retain(|finding| finding["rule"] != OPEN);
    });
    let audit = || Netcheck::audit(&evidence).args(&["--baseline", &path]);
    let (report, code) = audit().json();
    assert_eq!(code, 1);
    let new: Vec<_> = states(&report).into_iter().filter(|(_, state)| *state == "new").collect();
    assert_eq!(new, [(OPEN, "new")]);
    // What counts comes first.
    assert_eq!(states(&report)[0], (OPEN, "new"));
    let table = audit().run().stdout;
    assert!(table.contains("1 new finding at or above high: public-endpoint-open"), "{table}");
    let sarif: Value = serde_json::from_str(&audit().args(&["--format", "sarif"]).run().stdout).unwrap();
    let results = sarif["runs"][0]["results"].as_array().unwrap();
    let state =
        |rule: &str| &results.iter().find(|result| result["ruleId"] == rule).unwrap()["baselineState"];
    assert_eq!((state(OPEN), state("private-endpoint-disabled")), (&json!("new"), &json!("unchanged")));
    // Below the threshold, a new finding fails no run.
    assert_eq!(audit().args(&["--fail-on", "critical"]).run().code, 0);
    // Another subject, or a part of it, is another finding.
    let path = baseline(dir.path(), &evidence, |report| {
        for finding in report["findings"].as_array_mut().unwrap() {
            finding["about"] = "another part".into();
        }
    });
    let (report, code) = Netcheck::audit(&evidence).args(&["--baseline", &path]).json();
    assert!(code == 1 && states(&report).iter().all(|(_, state)| *state == "new"), "{report:#}");
}

#[test]
fn findings_that_are_gone_are_counted_if_their_rules_were_judged() {
    let (dir, evidence) = (scratch(), story("private-only"));
    let path = baseline(dir.path(), &evidence, |report| {
        let arn = report["cluster"]["arn"].clone();
        let finding = |rule: &str| json!({ "rule": rule, "subject": arn, "about": null, "message": "was [open]", "severity": "high", "extent": ["0.0.0.0/0"], "waived": false });
        let findings = [OPEN, "access-mode-not-allowed", "no-such-rule"].map(finding);
        report["findings"].as_array_mut().unwrap().extend(findings);
    });
    let policy = dir.path().join("policy.toml");
    fs::write(&policy, "[rules]\naccess-mode-not-allowed = \"off\"\n").unwrap();
    let audit =
        || Netcheck::audit(&evidence).args(&["--baseline", &path, "--policy", policy.to_str().unwrap()]);
    let (report, code) = audit().json();
    assert_eq!(code, 0);
    assert_eq!(rules(&report["baseline"]["gone"]), [OPEN]);
    assert_eq!(rules(&report["baseline"]["not_judged"]), ["access-mode-not-allowed", "no-such-rule"]);
    let table = unwrapped(&audit().run().stdout);
    assert!(
        table.contains("1 finding of the baseline gone; 2 findings of the baseline not judged"),
        "{table}"
    );
    let sarif: Value = serde_json::from_str(&audit().args(&["--format", "sarif"]).run().stdout).unwrap();
    let results = sarif["runs"][0]["results"].as_array().unwrap().iter();
    let absent: Vec<_> = results.filter(|result| result["baselineState"] == "absent").collect();
    assert_eq!(absent.len(), 1, "{absent:#?}");
    let fields = ["ruleId", "kind", "level"].map(|field| absent[0][field].as_str().unwrap());
    assert_eq!(fields, [OPEN, "pass", "none"]);
    for (format, text) in [
        ("markdown", "Baseline: 1 finding of the baseline gone; 2 findings"),
        ("junit", "<property name=\"baseline\" value=\"1 finding of the baseline gone; 2 findings"),
    ] {
        let ran = audit().args(&["--format", format]).run();
        assert!(ran.stdout.contains(text), "{format}: {}", ran.stdout);
    }
    // A rule that is not selected was not judged.
    let (report, _) = audit().args(&["--skip-rule", OPEN]).json();
    assert!(rules(&report["baseline"]["gone"]).is_empty(), "{:#}", report["baseline"]);
    assert!(rules(&report["baseline"]["not_judged"]).contains(&OPEN), "{:#}", report["baseline"]);
    let sarif = |args: &[&str]| -> Value {
        serde_json::from_str(&audit().args(args).args(&["--format", "sarif"]).run().stdout).unwrap()
    };
    let absent_in = |log: &Value| {
        let results = log["runs"][0]["results"].as_array().unwrap().iter();
        results.filter(|result| result["baselineState"] == "absent").count()
    };
    let run_id = |log: &Value| log["runs"][0]["automationDetails"]["id"].as_str().unwrap().to_owned();
    let (full, without) = (sarif(&[]), sarif(&["--skip-rule", OPEN]));
    let others = sarif(&["--rule", "public-endpoint-enabled"]);
    assert_eq!([absent_in(&full), absent_in(&without), absent_in(&others)], [1, 0, 0]);
    assert_eq!(absent_in(&sarif(&["--rule", OPEN])), 1);
    // GitHub closes what a run with the same id does not find: one with other rules has another.
    assert_eq!(run_id(&full), "eks-netcheck/");
    assert_eq!(run_id(&without), run_id(&sarif(&["--skip-rule", OPEN])));
    let ids = [run_id(&full), run_id(&without), run_id(&others)];
    assert!(ids[0] != ids[1] && ids[1] != ids[2] && ids.iter().all(|id| id.ends_with('/')), "{ids:?}");
    // Its fingerprint is that of the result then.
    let open = Netcheck::audit(&story("study-public")).args(&["--format", "sarif"]).run();
    let open: Value = serde_json::from_str(&open.stdout).unwrap();
    let then =
        open["runs"][0]["results"].as_array().unwrap().iter().find(|one| one["ruleId"] == OPEN).unwrap();
    let is_same = then["properties"]["cluster"] == absent[0]["properties"]["cluster"];
    assert_eq!(then["partialFingerprints"] == absent[0]["partialFingerprints"], is_same);
    // Without the evidence of its rule, it is not gone.
    let copy = copy_of("private-only");
    edit_json(copy.path(), "cluster.json", |json| {
        let config = json["cluster"]["resourcesVpcConfig"].as_object_mut().unwrap();
        config.remove("endpointPublicAccess");
        config.remove("endpointPrivateAccess");
    });
    let (report, _) = Netcheck::audit(copy.path()).args(&["--baseline", &path]).json();
    let of_open = |list: &str| rules(&report["baseline"][list]).contains(&OPEN);
    let is_found = rules(&report["findings"]).contains(&OPEN);
    assert!(is_found || !of_open("gone"), "{:#}", report["baseline"]);
    let ran = Netcheck::audit(copy.path()).args(&["--baseline", &path, "--format", "sarif"]).run();
    assert_eq!(ran.code, 3, "{}", ran.stdout);
    let log = serde_json::from_str(&ran.stdout).unwrap();
    assert!(is_found || absent_in(&log) == 0, "{log:#}");
}

/// A baseline is about findings: what was not seen then and is not seen now is not judged.
#[test]
fn gaps_are_never_known() {
    let (dir, copy) = (scratch(), copy_of("private-only"));
    fs::remove_dir_all(copy.path().join("nodes")).unwrap();
    let path = baseline(dir.path(), copy.path(), |report| assert_eq!(report["verdict"], "inconclusive"));
    let audit = || Netcheck::audit(copy.path()).args(&["--baseline", &path]);
    let (report, code) = audit().json();
    assert_eq!((code, &report["verdict"]), (3, &json!("inconclusive")));
    let note = report["baseline"]["note"].as_str().unwrap();
    assert!(note.starts_with("the baseline is inconclusive"), "{note}");
    assert!(
        unwrapped(&audit().run().stdout).contains("the baseline is inconclusive"),
        "{}",
        audit().run().stdout
    );
}

#[test]
fn a_baseline_of_another_cluster_knows_nothing() {
    let (dir, evidence) = (scratch(), story("study-public"));
    for change in [
        |report: &mut Value| {
            report["cluster"]["arn"] = "arn:aws:eks:eu-west-1:999988887777:cluster/myeks".into();
        },
        |report: &mut Value| report["cluster"]["arn"] = Value::Null,
    ] {
        let path = baseline(dir.path(), &evidence, change);
        let audit = || Netcheck::audit(&evidence).args(&["--baseline", &path]);
        let (report, code) = audit().json();
        assert_eq!(code, 1);
        assert!(states(&report).iter().all(|(_, state)| *state == "new"));
        let note = report["baseline"]["note"].as_str().unwrap();
        assert!(note.contains("no report on this cluster"), "{note}");
        let table = unwrapped(&audit().run().stdout);
        assert!(table.contains("no report on this cluster"), "{table}");
    }
}

#[test]
fn a_baseline_of_several_clusters_has_each() {
    let (dir, evidence) = (scratch(), story("study-public"));
    let path = baseline(dir.path(), &evidence, |report| {
        let mut other = report.clone();
        other["cluster"]["arn"] = "arn:aws:eks:eu-west-1:999988887777:cluster/myeks".into();
        let reports = json!([other, report]);
        *report = json!({ "schema": "eks-netcheck.reports.v1", "reports": reports, "unjudged": [], "verdict": "fail" });
    });
    assert_eq!(Netcheck::audit(&evidence).args(&["--baseline", &path]).run().code, 0);
}

/// A waiver that has ended is not replaced by a baseline in which its finding was waived.
#[test]
fn what_was_waived_then_is_not_known() {
    let (dir, evidence) = (scratch(), story("study-public"));
    let policy = dir.path().join("policy.toml");
    let waiver = "[[waiver]]\nrule = \"public-endpoint-open\"\nresource = \"*\"\nreason = \"r\"\nowner = \"o\"\nexpires = 9999-12-31\n";
    fs::write(&policy, waiver).unwrap();
    let path = dir.path().join("baseline.json");
    let write = format!("json={}", path.display());
    let policy = ["--policy", policy.to_str().unwrap()];
    Netcheck::audit(&evidence).args(&policy).args(&["--write", &write]).run();
    let baseline = ["--baseline", path.to_str().unwrap()];
    let (report, code) = Netcheck::audit(&evidence).args(&baseline).json();
    assert_eq!(code, 1);
    assert!(states(&report).contains(&(OPEN, "new")), "{:?}", states(&report));
    // The report of a run with a baseline is one for the next run.
    let next = dir.path().join("next.json");
    let write = format!("json={}", next.display());
    let ran = Netcheck::audit(&evidence).args(&policy).args(&baseline).args(&["--write", &write]).run();
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let baseline = ["--baseline", next.to_str().unwrap()];
    let (report, code) = Netcheck::audit(&evidence).args(&policy).args(&baseline).json();
    assert_eq!(code, 0);
    assert!(states(&report).contains(&("private-endpoint-disabled", "unchanged")), "{:?}", states(&report));
}

#[test]
fn what_is_no_report_is_refused_before_the_work() {
    let (dir, evidence) = (scratch(), story("study-public"));
    let sarif = Netcheck::audit(&evidence).args(&["--format", "sarif"]).run().stdout;
    let json = Netcheck::audit(&evidence).args(&["--format", "json"]).run().stdout;
    let cases = [
        (sarif, "it names no schema; a baseline is a report of audit --format json"),
        (json.replace("report.v1", "report.v9"), "its schema is \"eks-netcheck.report.v9\""),
        (json[..json.len() / 2].to_owned(), "EOF while parsing"),
        (json + "x", "trailing characters"),
        (String::new(), "empty"),
    ];
    for (text, why) in cases {
        let (path, out) = (dir.path().join("b.json"), dir.path().join("out.json"));
        fs::write(&path, text).unwrap();
        let write = format!("json={}", out.display());
        let ran =
            Netcheck::audit(&evidence).args(&["--baseline", path.to_str().unwrap(), "--write", &write]).run();
        assert_eq!((ran.code, ran.stdout.as_str(), out.exists()), (2, "", false), "{why}");
        assert!(
            ran.stderr.contains("error: cannot read the baseline ") && ran.stderr.contains(why),
            "{why}: {}",
            ran.stderr
        );
    }
    let ran = Netcheck::audit(&evidence).args(&["--baseline", "none.json"]).dir(dir.path()).run();
    assert_eq!((ran.code, ran.stdout.as_str()), (2, ""));
    let ran = Netcheck::audit(&evidence).args(&["--baseline", "-", "--policy", "-"]).run();
    assert!(ran.code == 2 && ran.stderr.contains("standard input"), "{}", ran.stderr);
}

/// Evidence whose endpoint is open to these blocks.
fn open_to(cidrs: &[&str]) -> tempfile::TempDir {
    let copy = copy_of("study-public");
    edit_json(copy.path(), "cluster.json", |json| {
        json["cluster"]["resourcesVpcConfig"]["publicAccessCidrs"] = json!(cidrs);
    });
    copy
}

fn state_of<'a>(report: &'a Value, rule: &str) -> &'a Value {
    let findings = report["findings"].as_array().unwrap();
    &findings.iter().find(|one| one["rule"] == rule).unwrap()["baseline"]
}

#[test]
fn a_finding_over_blocks_is_known_only_within_those_of_then() {
    let dir = scratch();
    for (rule, then, now, is_known) in [
        (OPEN, &["16.0.0.0/7"][..], &["16.0.0.0/7"][..], true),
        (OPEN, &["16.0.0.0/7"], &["0.0.0.0/0"], false),
        (OPEN, &["0.0.0.0/0"], &["16.0.0.0/7"], true),
        (OPEN, &["0.0.0.0/1", "128.0.0.0/1"], &["0.0.0.0/0"], true),
        (OPEN, &["16.0.0.0/7"], &["16.0.0.0/7", "64.0.0.0/7"], false),
        // No other rule has a finding about the narrow block.
        (OPEN, &["16.0.0.0/7"], &["16.0.0.0/7", "203.0.113.7/32"], false),
        ("public-endpoint-enabled", &["203.0.113.0/24"], &["203.0.113.0/25"], true),
        ("public-endpoint-enabled", &["203.0.113.0/24"], &["203.0.113.0/24", "198.51.100.7/32"], false),
    ] {
        let path = baseline(dir.path(), open_to(then).path(), |_| {});
        let evidence = open_to(now);
        let audit = || Netcheck::audit(evidence.path()).args(&["--baseline", &path, "--fail-on", "medium"]);
        let (report, _) = audit().json();
        let state = if is_known { "unchanged" } else { "worse" };
        assert_eq!(state_of(&report, rule), state, "{rule} {then:?} {now:?}");
        assert!(!rules(&report["baseline"]["gone"]).contains(&rule), "{:#}", report["baseline"]);
        if is_known {
            continue;
        }
        let table = audit().run();
        assert_eq!((table.code, &report["verdict"]), (1, &json!("fail")), "{rule} {then:?} {now:?}");
        assert!(unwrapped(&table.stdout).contains("new or worse finding"), "{}", table.stdout);
        assert!(unwrapped(&table.stdout).contains("worse than in the baseline"), "{}", table.stdout);
        let sarif = audit().args(&["--format", "sarif"]).run().stdout;
        assert!(sarif.contains("\"baselineState\": \"updated\""), "{sarif}");
    }
    // A report that does not say how far a finding extended does not cover one that says so.
    let path = baseline(dir.path(), open_to(&["0.0.0.0/0"]).path(), |report| {
        for finding in report["findings"].as_array_mut().unwrap() {
            finding.as_object_mut().unwrap().remove("extent");
        }
    });
    let (report, code) = Netcheck::audit(&story("study-public")).args(&["--baseline", &path]).json();
    assert_eq!((code, state_of(&report, OPEN)), (1, &json!("worse")));
    assert_eq!(state_of(&report, "private-endpoint-disabled"), "unchanged");
}

#[test]
fn a_finding_is_known_only_up_to_its_severity_then() {
    let (dir, evidence) = (scratch(), story("study-public"));
    let policy = dir.path().join("policy.toml");
    let path = dir.path().join("baseline.json");
    for (then, now, state, code) in
        [("low", "high", "worse", 1), ("high", "high", "unchanged", 0), ("critical", "high", "unchanged", 0)]
    {
        let audit = || Netcheck::audit(&evidence).args(&["--policy", policy.to_str().unwrap()]);
        fs::write(&policy, format!("[rules]\n{OPEN} = \"{then}\"\n")).unwrap();
        let report = audit().args(&["--format", "json"]).run().stdout;
        fs::write(&path, report).unwrap();
        fs::write(&policy, format!("[rules]\n{OPEN} = \"{now}\"\n")).unwrap();
        let (report, ended) = audit().args(&["--baseline", path.to_str().unwrap()]).json();
        assert_eq!((state_of(&report, OPEN), ended), (&json!(state), code), "{then} {now}");
    }
    // It does not matter by what it got worse.
    let path = baseline(dir.path(), &evidence, |report| {
        for finding in report["findings"].as_array_mut().unwrap() {
            finding["severity"] = "low".into();
        }
    });
    let (report, code) = Netcheck::audit(&evidence).args(&["--baseline", &path]).json();
    assert!(code == 1 && states(&report).iter().all(|(_, state)| *state == "worse"), "{:?}", states(&report));
}

/// Other findings that can get worse without another severity.
#[test]
fn findings_about_nodes_modes_and_interfaces_get_worse_too() {
    let dir = scratch();
    // Another process of a node on the public path.
    let stale = story("public-and-private-stale");
    let path = baseline(dir.path(), &stale, |report| {
        let mut findings = report["findings"].as_array_mut().unwrap().iter_mut();
        let node = findings.find(|one| one["rule"] == "node-on-public-path").unwrap();
        let extent = node["extent"].as_array_mut().unwrap();
        assert!(extent.len() == 2, "{extent:?}");
        extent.pop();
    });
    let (report, code) = Netcheck::audit(&stale).args(&["--baseline", &path]).json();
    assert_eq!((state_of(&report, "node-on-public-path"), code), (&json!("worse"), 1));
    // Fewer interfaces.
    let with = |number: usize| {
        let copy = copy_of("private-only");
        edit_json(copy.path(), "network-interfaces.json", |json| {
            let all = json["NetworkInterfaces"].as_array_mut().unwrap();
            let mut left = number;
            all.retain(|one| {
                let is_owned = one["Description"].as_str().is_some_and(|text| text.starts_with("Amazon EKS"));
                if is_owned && left == 0 {
                    return false;
                }
                left -= usize::from(is_owned);
                true
            });
        });
        copy
    };
    for (then, now, state) in [(1, 0, "worse"), (1, 1, "unchanged"), (0, 1, "unchanged")] {
        let path = baseline(dir.path(), with(then).path(), |_| {});
        let (report, _) = Netcheck::audit(with(now).path()).args(&["--baseline", &path]).json();
        assert_eq!(state_of(&report, "control-plane-enis-missing"), state, "{then} {now}");
    }
    // An access mode that is open to more.
    let policy = dir.path().join("policy.toml");
    fs::write(&policy, "[endpoint]\naccess = [\"private\"]\n").unwrap();
    let path = dir.path().join("modes.json");
    let audit = |dir: &Path| Netcheck::audit(dir).args(&["--policy", policy.to_str().unwrap()]);
    fs::write(&path, audit(&stale).args(&["--format", "json"]).run().stdout).unwrap();
    let (report, code) = audit(&story("study-public")).args(&["--baseline", path.to_str().unwrap()]).json();
    assert_eq!((state_of(&report, "access-mode-not-allowed"), code), (&json!("worse"), 1));
}
