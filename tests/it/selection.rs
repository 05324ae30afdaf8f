//! `audit --rule` and `--skip-rule`: which rules a run judges.

use serde_json::Value;

use crate::common::{Netcheck, copy_of, fixtures, scratch, story};
use crate::policy::{Policy, findings};

/// The number of rules.
fn number() -> usize {
    let rules = Netcheck::new(["explain", "--format", "json"]).run().stdout;
    let rules: Value = serde_json::from_str(&rules).unwrap();
    rules["rules"].as_array().unwrap().len()
}

fn skipped(report: &Value) -> Vec<&str> {
    report["rules_skipped"].as_array().unwrap().iter().map(|id| id.as_str().unwrap()).collect()
}

#[test]
fn only_the_selected_rules_are_judged() {
    let policy = Policy::new("");
    let json = |args: &[&str]| policy.audit("study-public").args(args).json();
    let (report, code) = json(&["--rule", "public-endpoint-open"]);
    assert_eq!((findings(&report), code), (vec![("public-endpoint-open", "high", false)], 1));
    assert_eq!(skipped(&report).len(), number() - 1);
    // Names as `explain` takes them; lists, and the option repeated.
    for args in [
        &[
            "--skip-rule",
            "Public_Endpoint_Open,node-on-public-path",
            "--skip-rule",
            "private-endpoint-disabled",
        ][..],
        &[
            "--skip-rule",
            "public-endpoint-open",
            "--skip-rule",
            "private-endpoint-disabled,node-on-public-path",
        ],
    ] {
        let (report, code) = json(args);
        assert_eq!((findings(&report), code), (Vec::new(), 0), "{report:#}");
        let mut ids = skipped(&report);
        ids.sort_unstable();
        assert_eq!(ids, ["node-on-public-path", "private-endpoint-disabled", "public-endpoint-open"]);
    }
    let (report, code) = json(&[
        "--rule",
        "public-endpoint-open,nat-address-not-stable",
        "--skip-rule",
        "public-endpoint-open",
    ]);
    assert_eq!((findings(&report), code, skipped(&report).len()), (Vec::new(), 0, number() - 1));
}

#[test]
fn the_command_line_names_rules_that_the_policy_switches_off() {
    let policy = Policy::new(
        "[rules]\npublic-endpoint-open = \"off\"\nprivate-endpoint-disabled = \"off\"\n\
         [[override]]\nclusters = [\"myeks\"]\nrules.private-endpoint-disabled = \"low\"\n",
    );
    let (report, code) = policy.audit("study-public").args(&["--rule", "public-endpoint-open"]).json();
    assert_eq!((findings(&report), code), (vec![("public-endpoint-open", "high", false)], 1));
    assert_eq!(report["rules_off"], Value::Array(Vec::new()));
    // What the policy sets apart from that stays.
    let (report, code) = policy.audit("study-public").args(&["--rule", "private-endpoint-disabled"]).json();
    assert_eq!((findings(&report), code), (vec![("private-endpoint-disabled", "low", false)], 0));
    // To leave out another rule does not turn it on.
    let (report, _) = policy.audit("study-public").args(&["--skip-rule", "private-endpoint-disabled"]).json();
    assert_eq!(report["rules_off"], Value::from(vec!["public-endpoint-open"]));
}

#[test]
fn a_run_that_judges_nothing_is_refused() {
    let policy = Policy::new("[rules]\npublic-endpoint-open = \"off\"\n");
    let rules = Netcheck::new(["explain", "--format", "json"]).run().stdout;
    let rules: Value = serde_json::from_str(&rules).unwrap();
    let ids: Vec<_> =
        rules["rules"].as_array().unwrap().iter().map(|rule| rule["id"].as_str().unwrap()).collect();
    let others: Vec<_> = ids.iter().copied().filter(|id| *id != "public-endpoint-open").collect();
    let out = scratch();
    let file = out.path().join("report.json");
    for args in [
        &["--skip-rule", &ids.join(",")][..],
        &["--rule", "public-endpoint-open", "--skip-rule", "public-endpoint-open"],
        // The policy switches off what is left.
        &["--skip-rule", &others.join(",")],
    ] {
        let ran = policy
            .audit("study-public")
            .args(args)
            .arg("--write")
            .arg(format!("json={}", file.display()))
            .run();
        assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{}", ran.stderr);
        assert!(ran.stderr.contains("no rule is left to judge"), "{}", ran.stderr);
        assert!(!file.exists());
    }
    // An override may turn it on again.
    let policy = Policy::new(
        "[rules]\npublic-endpoint-open = \"off\"\n[[override]]\nclusters = [\"*\"]\nrules.public-endpoint-open = \"low\"\n",
    );
    let (report, code) = policy.audit("study-public").args(&["--skip-rule", &others.join(",")]).json();
    assert_eq!((findings(&report), code), (vec![("public-endpoint-open", "low", false)], 0));
}

#[test]
fn a_wrong_name_is_refused_with_the_nearest_ones() {
    for option in ["--rule", "--skip-rule"] {
        let audit = |rule| Netcheck::audit(&story("study-public")).args(&[option, rule]).run();
        let ran = audit("node-cut-off,public-endpoint-opne");
        assert_eq!((ran.code, ran.stdout.as_str()), (2, ""));
        assert!(ran.stderr.contains("'public-endpoint-opne'"), "{}", ran.stderr);
        assert!(ran.stderr.contains("public-endpoint-open"), "{}", ran.stderr);
        let ran = audit("");
        assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{}", ran.stderr);
    }
}

/// The gap of a rule that is not selected neither counts nor is shown as what it lacks.
#[test]
fn gaps_of_rules_that_are_not_selected_do_not_count() {
    let copy = copy_of("private-only");
    std::fs::remove_file(copy.path().join("vpc.json")).unwrap();
    let audit = |args: &[&str]| Netcheck::audit(copy.path()).args(args).json();
    assert_eq!(audit(&[]).1, 3);
    let (report, code) = audit(&["--skip-rule", "private-dns-unavailable"]);
    assert_eq!((&report["verdict"], code), (&"pass".into(), 0), "{report:#}");
    for gap in report["gaps"].as_array().unwrap() {
        assert!(!gap["rules"].as_array().unwrap().contains(&"private-dns-unavailable".into()), "{gap}");
    }
    assert_eq!(audit(&["--rule", "private-dns-unavailable"]).1, 3);
}

/// A part of the rules does not show that a waiver or an acceptance is unused.
#[test]
fn exceptions_of_rules_that_are_not_selected_are_not_called_unused() {
    let waiver = |rule: &str| {
        format!(
            "[[waiver]]\nrule = \"{rule}\"\nresource = \"nothing\"\nreason = \"r\"\nowner = \"o\"\nexpires = 9999-12-31\n"
        )
    };
    let accept =
        "[[accept-gap]]\nsubject = \"nothing\"\nreason = \"r\"\nowner = \"o\"\nexpires = 9999-12-31\n";
    let policy = Policy::new(&(waiver("node-cut-off") + &waiver("public-endpoint-open") + accept));
    let notes = |args: &[&str]| {
        let (report, _) = policy.audit("study-public").args(args).json();
        let notes = report["policy"]["notes"].as_array().unwrap().iter();
        notes.map(|note| note["text"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(notes(&[]).len(), 3);
    let notes = notes(&["--skip-rule", "node-cut-off"]);
    assert!(
        matches!(notes.as_slice(), [one] if one.contains("the waiver of public-endpoint-open")),
        "{notes:?}"
    );
}

/// A gate that judges a part of the rules is never green without a word.
#[test]
fn every_format_says_which_rules_are_not_selected() {
    let policy = Policy::new("[rules]\nnode-cut-off = \"off\"\n");
    let ran = |format: &str, args: &[&str]| {
        let skip = ["--skip-rule", "public-endpoint-open,private-endpoint-disabled", "--format", format];
        let ran = policy.audit("study-public").args(&skip).args(args).run();
        assert_eq!(ran.code, 0, "{format}: {}", ran.stderr);
        ran.stdout
    };
    let number = "2 rules not judged (--rule/--skip-rule)";
    let table = ran("table", &[]);
    let verdicts: Vec<_> = table.lines().filter(|line| line.starts_with("PASS")).collect();
    assert_eq!(verdicts.len(), 2, "{table}");
    assert!(table.matches(number).count() == 2, "{table}");
    let listed = "elected on the command line: private-endpoint-disabled, public-endpoint-open";
    let listed_too = "elected on the command line: public-endpoint-open, private-endpoint-disabled";
    let has_list = |text: &str| {
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        text.contains(listed) || text.contains(listed_too)
    };
    assert!(has_list(&table) && has_list(&ran("table", &["--all"])), "{table}");
    assert!(table.contains("Switched off by the policy: node-cut-off"), "{table}");
    let markdown = ran("markdown", &[]);
    let line = markdown.lines().find(|line| line.starts_with(number)).unwrap();
    assert!(line.contains("public-endpoint-open") && line.contains("private-endpoint-disabled"), "{line}");
    let html = ran("html", &[]);
    assert!(has_list(&html) && html.contains("2 rules not judged"), "{html}");
    let junit = ran("junit", &[]);
    assert_eq!(junit.matches("not selected on the command line").count(), 2, "{junit}");
    assert_eq!(junit.matches("switched off by the policy").count(), 1, "{junit}");
    assert!(ran("github", &[]).contains("::notice ") && ran("github", &[]).contains(number));
    let sarif: Value = serde_json::from_str(&ran("sarif", &[])).unwrap();
    let invocation = &sarif["runs"][0]["invocations"][0];
    let disabled = invocation["ruleConfigurationOverrides"].as_array().unwrap();
    assert_eq!(disabled.len(), 2, "{invocation:#}");
    for one in disabled {
        let index = usize::try_from(one["descriptor"]["index"].as_u64().unwrap()).unwrap();
        assert_eq!(sarif["runs"][0]["tool"]["driver"]["rules"][index]["id"], one["descriptor"]["id"]);
        assert_eq!(one["configuration"]["enabled"], false);
    }
    assert_eq!(invocation["toolConfigurationNotifications"][0]["message"]["text"], number);
    let metrics = ran("openmetrics", &[]);
    let judged =
        metrics.lines().find(|line| line.contains("judged{") && line.contains("\"public-endpoint-open\""));
    assert!(judged.unwrap().ends_with(" 0"), "{judged:?}");
    // Nothing is claimed of them where there is no place to say so.
    for (format, named) in [
        ("asff", "eks-netcheck/public-endpoint-open"),
        ("ocsf", "\"public-endpoint-open\""),
        ("gitlab", "\"public-endpoint-open\""),
    ] {
        let all = policy.audit("study-public").args(&["--format", format]).run().stdout;
        assert!(all.contains(named), "{format}: {all}");
        let text = ran(format, &[]);
        assert!(!text.contains(named), "{format}: {text}");
    }
    // Their controls are neither met nor failed.
    let report: Value = serde_json::from_str(&ran("json", &[])).unwrap();
    for control in report["compliance"].as_array().unwrap() {
        if control["rules"].as_array().unwrap().contains(&"public-endpoint-open".into()) {
            assert_ne!(control["status"], "pass", "{control}");
        }
    }
}

/// Whoever names a rule asks for its outcome: that it could not be judged is none.
#[test]
fn a_named_rule_that_cannot_be_judged_makes_the_run_inconclusive() {
    let evidence = story("study-public");
    let audit = |args: &str| Netcheck::audit(&evidence).args(&args.split(' ').collect::<Vec<_>>());
    for (args, code) in [
        ("--rule endpoint-certificate-mismatch", 3),
        ("--rule endpoint-certificate-mismatch,public-endpoint-enabled", 3),
        ("--rule endpoint-certificate-mismatch,public-endpoint-open", 1),
        ("--rule endpoint-certificate-mismatch --skip-rule anonymous-access-open", 3),
        ("--skip-rule public-endpoint-open,private-endpoint-disabled", 0),
        // It is low: what it finds would not fail the run, which saw nothing all the same.
        ("--rule anonymous-version-disclosed", 3),
        ("--rule anonymous-version-disclosed,anonymous-access-open", 3),
        ("--rule anonymous-version-disclosed,public-endpoint-enabled", 0),
        ("--rule anonymous-version-disclosed --fail-on never", 0),
        ("--rule anonymous-version-disclosed --fail-on low", 3),
        ("--rule endpoint-certificate-mismatch --fail-on never", 0),
    ] {
        let (report, ended) = audit(args).json();
        assert_eq!(ended, code, "{args}: {report:#}");
        // It is listed, and once.
        let listed = |list: &str| report[list].as_array().unwrap().len();
        if args.starts_with("--rule") {
            assert_eq!((listed("gaps"), listed("not_judged")), (1, 0), "{args}: {report:#}");
            let (gap, hint) = (&report["gaps"][0]["rules"], &report["gaps"][0]["hint"]);
            let rule = args["--rule ".len()..].split([',', ' ']).next().unwrap();
            assert!(gap.as_array().unwrap().contains(&rule.into()) && hint != "", "{report:#}");
        }
    }
    let table = audit("--rule endpoint-certificate-mismatch").run().stdout;
    assert!(table.contains("INCONCLUSIVE"), "{table}");
    let table = audit("--rule anonymous-version-disclosed").run().stdout;
    assert!(table.contains("could not judge any of the rules of --rule"), "{table}");
    let table = audit("--rule anonymous-version-disclosed,public-endpoint-enabled").run().stdout;
    assert!(table.contains("1 gap needed only by rules below the threshold"), "{table}");
    let private = Netcheck::audit(&story("private-only")).args(&["--rule", "endpoint-witnesses-disagree"]);
    assert_eq!(private.run().code, 3);
    let junit = audit("--rule endpoint-certificate-mismatch --format junit").run().stdout;
    assert!(junit.contains("errors=\"1\""), "{junit}");
}

/// With the evidence of the rule, it passes or fails; the fixtures of each rule show both.
#[test]
fn every_named_rule_decides_the_run_by_its_own_evidence() {
    let rules = crate::common::subdirs(&fixtures().join("rules"));
    assert_eq!(rules.len(), number());
    for rule in rules {
        for (kind, code) in [("fires", 1), ("quiet", 0), ("unseen", 3)] {
            let dir = fixtures().join("rules").join(&rule).join(kind);
            let policy = dir.with_file_name("eks-netcheck.toml");
            let mut run =
                Netcheck::new(["audit", "--fail-on", "low", "--rule", &rule, "--evidence"]).arg(&dir);
            if policy.is_file() {
                run = run.arg("--policy").arg(policy);
            }
            let ran = run.run();
            assert_eq!(ran.code, code, "{rule} {kind}: {}{}", ran.stdout, ran.stderr);
        }
    }
}
