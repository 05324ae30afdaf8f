//! What holds in every format.

use std::fs;

use eks_netcheck::report::text::is_hostile;
use quick_junit::{NonSuccessKind, Report, TestCaseStatus};
use serde_json::{Value, json};

use super::{audit_of, hostile, list, mixed, parsed, text, written};
use crate::common::{Netcheck, copy_of, copy_probe, private_only_with_slices, root, story};

const FORMATS: [&str; 9] =
    ["html", "sarif", "junit", "markdown", "github", "gitlab", "ocsf", "asff", "openmetrics"];

#[test]
fn waived_and_inconclusive_rules_are_marked_in_each_format() {
    let (copy, policy) = mixed();
    let policy = policy.each_ref().map(String::as_str);
    let ran = Netcheck::audit(copy.path()).args(&policy).run();
    assert_eq!(ran.code, 3, "{}", ran.stdout);

    let log = parsed(copy.path(), "sarif", &policy);
    let run = &log["runs"][0];
    let waived: Vec<_> =
        list(&run["results"]).iter().filter(|result| !result["suppressions"].is_null()).collect();
    assert_eq!(waived.len(), 1);
    assert_eq!(waived[0]["ruleId"], "public-endpoint-open");
    assert_eq!(
        waived[0]["suppressions"],
        json!([{ "kind": "external", "status": "accepted", "justification": "platform: moves <behind> the VPN (until 9999-12-31)" }])
    );
    assert_eq!(run["invocations"][0]["executionSuccessful"], false);
    let notifications = list(&run["invocations"][0]["toolExecutionNotifications"]);
    assert!(
        notifications.iter().any(|notification| notification["level"] == "error"
            && text(&notification["message"]["text"]).contains("node i-04811e67855a5512d")),
        "{notifications:#?}"
    );

    let report = Report::deserialize_from_str(&written(copy.path(), "junit", &policy)).unwrap();
    let suite = &report.test_suites[0];
    assert_eq!(suite.tests, eks_netcheck::rules::ALL.len());
    let status =
        |rule: &str| &suite.test_cases.iter().find(|case| case.name.as_str() == rule).unwrap().status;
    let is = |rule: &str, expected: NonSuccessKind| matches!(status(rule), TestCaseStatus::NonSuccess { kind, .. } if *kind == expected);
    let below =
        suite.test_cases.iter().find(|case| case.name.as_str() == "private-endpoint-disabled").unwrap();
    assert!(matches!(below.status, TestCaseStatus::Success { .. }), "{below:?}");
    let output = below.system_out.as_ref().unwrap().as_str();
    assert!(output.starts_with("below the threshold (high):\nmedium: "), "{output}");
    let strict = [&policy[..], &["--fail-on", "medium"]].concat();
    let strict = Report::deserialize_from_str(&written(copy.path(), "junit", &strict)).unwrap();
    let failed = strict.test_suites[0].test_cases.iter().find(|case| case.name == below.name).unwrap();
    assert!(
        matches!(failed.status, TestCaseStatus::NonSuccess { kind: NonSuccessKind::Failure, .. }),
        "{failed:?}"
    );
    assert!(is("unattributed-connection", NonSuccessKind::Error), "{:?}", status("unattributed-connection"));
    for (rule, expected) in [
        ("public-endpoint-open", "moves <behind> the VPN"),
        ("control-plane-enis-missing", "off by the policy"),
    ] {
        let TestCaseStatus::Skipped { message, .. } = status(rule) else { panic!("{:?}", status(rule)) };
        let message = message.as_ref().unwrap().as_str();
        assert!(message.contains(expected), "{message}");
    }
    assert!(matches!(status("cidr-not-allowed"), TestCaseStatus::Success { .. }));
    let count = |expected| {
        let cases = suite.test_cases.iter();
        cases
            .filter(
                |case| matches!(&case.status, TestCaseStatus::NonSuccess { kind, .. } if *kind == expected),
            )
            .count()
    };
    assert_eq!(
        (suite.failures, suite.errors),
        (count(NonSuccessKind::Failure), count(NonSuccessKind::Error))
    );
    assert_eq!((report.failures, report.errors), (suite.failures, suite.errors));

    let issues = parsed(copy.path(), "gitlab", &policy);
    let of = |rule: &str| list(&issues).iter().find(|issue| issue["check_name"] == rule).unwrap();
    assert_eq!(of("public-endpoint-open")["severity"], "info");
    assert_eq!(of("not-seen")["severity"], "critical");
    assert_eq!(of("private-endpoint-disabled")["severity"], "major");

    let events = parsed(copy.path(), "ocsf", &policy);
    let of = |rule: &str| list(&events).iter().find(|event| event["metadata"]["event_code"] == rule);
    assert_eq!(of("public-endpoint-open").unwrap()["status"], "Suppressed");
    assert_eq!(of("private-endpoint-disabled").unwrap()["compliance"]["status_id"], 3);
    // An inconclusive rule does not pass.
    assert_eq!(of("unattributed-connection").unwrap()["compliance"]["status_id"], 99);
    assert_eq!(of("cidr-not-allowed").unwrap()["compliance"]["status_id"], 1);
    assert!(of("control-plane-enis-missing").is_none());

    let summary = written(copy.path(), "markdown", &policy);
    assert!(summary.contains("waived until 9999-12-31"), "{summary}");
    assert!(summary.contains("Not seen, and needed:"), "{summary}");
    let commands = written(copy.path(), "github", &policy);
    let starts = |level: &str, title: &str| {
        commands.lines().any(|line| {
            line.starts_with(&format!("::{level} file=eks-netcheck.toml,"))
                && line.contains(&format!("title=eks-netcheck%3A {title}::"))
        })
    };
    assert!(starts("notice", "public-endpoint-open"), "{commands}");
    assert!(starts("warning", "private-endpoint-disabled"), "{commands}");
    assert!(starts("error", "not-seen"), "{commands}");
}

#[test]
fn a_passing_audit_has_no_findings_in_any_format() {
    let copy = private_only_with_slices();
    let dir = copy.path();
    copy_probe(&root().join("fixtures/rules/anonymous-version-disclosed/quiet"), dir);
    assert_eq!(parsed(dir, "gitlab", &[]), json!([]));
    let answer = "::notice file=eks-netcheck.toml,line=1,title=eks-netcheck%3A node-traffic::myeks: node traffic: private on 2 of 2 nodes\n";
    assert_eq!(written(dir, "github", &[]), answer);
    assert_eq!(parsed(dir, "sarif", &[])["runs"][0]["results"], json!([]));
    assert!(written(dir, "markdown", &[]).starts_with("## eks-netcheck: ✅ pass\n"));
    let report = Report::deserialize_from_str(&written(dir, "junit", &[])).unwrap();
    assert_eq!((report.failures, report.errors), (0, 0));
    let events = parsed(dir, "ocsf", &[]);
    assert!(list(&events).iter().all(|event| event["compliance"]["status"] == "Pass"), "{events:#}");
    assert!(list(&events).iter().all(|event| event["unmapped"]["nodes"] == "2 from files"), "{events:#}");
}

/// The answer is derived once, and every format that has a place for it shows it.
#[test]
fn every_format_has_the_path_of_the_nodes_traffic() {
    for (name, answer) in [
        ("private-only", "private on 2 of 2 nodes"),
        ("public-and-private-stale", "public on 1 of 2 nodes (n1), private on 1 of 2 nodes"),
    ] {
        let dir = story(name);
        let sentence = format!("node traffic: {answer}");
        for format in ["table", "html", "markdown", "github"] {
            let text = written(&dir, format, &[]).replace('\\', "").replace("Node traffic", "node traffic");
            assert!(text.contains(&sentence), "{format}: {text}");
        }
        let (report, _) = Netcheck::audit(&dir).json();
        let arn = text(&report["cluster"]["arn"]);
        let junit = written(&dir, "junit", &[]);
        let property = format!("<property name=\"node traffic\" value=\"{answer}\"");
        assert_eq!(junit.matches(&property).count(), 1, "{junit}");
        let properties = &parsed(&dir, "sarif", &[])["runs"][0]["properties"];
        assert_eq!(properties["nodeTraffic"], json!({ arn: answer }));
        for event in list(&parsed(&dir, "ocsf", &[])) {
            assert_eq!(event["unmapped"]["node_traffic"], answer);
        }
        for finding in list(&parsed(&dir, "asff", &[])) {
            assert_eq!(finding["ProductFields"]["eks-netcheck/node-traffic"], answer);
        }
    }
    // Also where it is that it is not known.
    let copy = copy_of("private-only");
    fs::remove_dir_all(copy.path().join("nodes")).unwrap();
    for format in ["table", "html", "markdown", "github", "junit", "sarif", "ocsf", "asff"] {
        let text = written(copy.path(), format, &[]);
        assert!(text.contains("not known"), "{format}: {text}");
    }
}

#[test]
fn hostile_names_are_escaped_in_every_format() {
    let dir = hostile();
    for format in FORMATS {
        let ran = audit_of(dir.path()).args(&["--format", format]).run();
        assert_eq!(ran.code, 1, "{format}: {}", ran.stderr);
        for line in ran.stdout.lines() {
            assert!(!line.contains(is_hostile), "{format}: {line:?}");
        }
        assert!(!ran.stdout.contains("##["), "{format}: {}", ran.stdout);
        assert!(
            format == "github" || !ran.stdout.lines().any(|line| line.trim().starts_with("::")),
            "{format}"
        );
        match format {
            // One workflow command a line, and only those that the tool writes.
            "github" => {
                for line in ran.stdout.lines() {
                    let (command, message) = line[2..].split_once("::").unwrap();
                    let level = command.split(' ').next().unwrap();
                    assert!(["error", "warning", "notice"].contains(&level), "{line}");
                    assert!(!message.contains("%0A@me") && !message.is_empty(), "{line}");
                }
            }
            "markdown" => {
                for syntax in ["<script>", "](http:", "**c**", "`d`", "@me", "#1", "|[", "http://", "www."] {
                    assert!(!ran.stdout.contains(syntax), "{syntax}: {}", ran.stdout);
                }
                // Every row has the columns of its table, which its first row has.
                let mut columns = None;
                for line in ran.stdout.lines() {
                    let is_row = line.starts_with('|');
                    let number = is_row.then(|| line.replace("\\|", "").matches('|').count());
                    assert!(columns.is_none() || number.is_none() || number == columns, "{line}");
                    columns = number;
                }
            }
            "html" => assert!(!ran.stdout.contains("<script>|") && ran.stdout.contains("&lt;script&gt;|")),
            "junit" => {
                let report = Report::deserialize_from_str(&ran.stdout).unwrap();
                assert!(report.test_suites[0].name.as_str().contains("<script>"));
                assert_eq!(report.test_suites.len(), 1);
            }
            // One sample a line: its labels and its value.
            "openmetrics" => {
                let samples = ran.stdout.lines().filter(|line| !line.starts_with("# "));
                for line in samples {
                    let (name, value) = line.rsplit_once(' ').unwrap();
                    assert!(name.starts_with("eks_netcheck_") && value.parse::<f64>().is_ok(), "{line}");
                }
            }
            _ => {
                serde_json::from_str::<Value>(&ran.stdout).unwrap();
            }
        }
    }
}
