//! The outcome of a rule is derived once: what one format says of it, the others and the exit code
//! say too.

use std::fs;
use std::path::Path;

use quick_junit::{NonSuccessKind, Report, TestCaseStatus};
use serde_json::{Value, json};

use crate::common::{Netcheck, copy_of, edit_json, root, scratch, story, subdirs};

/// The reports of a run, with its exit code.
struct Ran {
    code: i32,
    asff: Vec<Value>,
    ocsf: Vec<Value>,
    gitlab: Vec<Value>,
    junit: Report,
    github: String,
    metrics: String,
}

impl Ran {
    fn of(evidence: &Path, args: &[&str]) -> Self {
        let dir = scratch();
        let file = |format: &str| dir.path().join(format);
        let formats = ["asff", "ocsf", "gitlab", "junit", "github", "openmetrics"];
        let write: Vec<_> =
            formats.iter().map(|format| format!("{format}={}", file(format).display())).collect();
        let write: Vec<_> = write.iter().flat_map(|to| ["--write", to]).collect();
        let code = Netcheck::audit(evidence).args(args).args(&write).run().code;
        let text = |format: &str| fs::read_to_string(file(format)).unwrap();
        let parsed = |format: &str| serde_json::from_str(&text(format)).unwrap();
        Self {
            code,
            asff: parsed("asff"),
            ocsf: parsed("ocsf"),
            gitlab: parsed("gitlab"),
            junit: Report::deserialize_from_str(&text("junit")).unwrap(),
            github: text("github"),
            metrics: text("openmetrics"),
        }
    }

    /// The compliance status and the severity of a rule for Security Hub.
    fn asff(&self, rule: &str) -> (&str, &str) {
        let is_of_rule = |one: &&Value| one["ProductFields"]["eks-netcheck/rule"] == rule;
        let finding = self.asff.iter().find(is_of_rule).unwrap();
        let text = |pointer| finding.pointer(pointer).and_then(Value::as_str).unwrap();
        (text("/Compliance/Status"), text("/Severity/Label"))
    }

    /// The compliance status, the severity and the status of the events of a rule.
    fn ocsf(&self, rule: &str) -> Vec<Value> {
        let events = self.ocsf.iter().filter(|one| one["metadata"]["event_code"] == rule);
        let words = |one: &Value| json!([one["compliance"]["status"], one["severity"], one["status"]]);
        events.map(words).collect()
    }

    fn junit(&self, rule: &str) -> &TestCaseStatus {
        let mut cases = self.junit.test_suites.iter().flat_map(|suite| &suite.test_cases);
        &cases.find(|case| case.name.as_str() == rule).unwrap().status
    }

    /// The value of the only metric of a name that has a label.
    fn metric(&self, name: &str, label: &str) -> &str {
        let name = format!("eks_netcheck_{name}{{");
        let mut lines = self.metrics.lines().filter(|line| line.starts_with(&name) && line.contains(label));
        let line = lines.next().unwrap_or_else(|| panic!("{name} {label}: {}", self.metrics));
        assert_eq!(lines.next(), None);
        line.rsplit_once(' ').unwrap().1
    }

    /// Whether an annotation of a level has a title.
    fn has_annotation(&self, level: &str, title: &str) -> bool {
        let is = |line: &str| {
            line.starts_with(&format!("::{level} "))
                && line.contains(&format!("title=eks-netcheck%3A {title}::"))
        };
        self.github.lines().any(is)
    }
}

/// A policy file that waives the findings of a rule.
fn waiver(dir: &Path, rule: &str) -> [String; 2] {
    let file = dir.join("policy.toml");
    let text = format!(
        "[[waiver]]\nrule = \"{rule}\"\nresource = \"*\"\nreason = \"r\"\nowner = \"o\"\nexpires = 9999-12-31\n"
    );
    fs::write(&file, text).unwrap();
    ["--policy".to_owned(), file.display().to_string()]
}

/// The finding of one node is waived, and the other node was not seen: the gap is the outcome.
#[test]
fn a_gap_is_not_hidden_by_a_waived_finding() {
    const RULE: &str = "node-on-public-path";
    let copy = copy_of("public-and-private-stale");
    let policy = waiver(copy.path(), RULE);
    let policy = policy.each_ref().map(String::as_str);
    // With all evidence, all that there is is waived.
    let ran = Ran::of(copy.path(), &policy);
    assert_eq!(ran.asff(RULE), ("FAILED", "INFORMATIONAL"));
    assert!(matches!(ran.junit(RULE), TestCaseStatus::Skipped { .. }), "{:?}", ran.junit(RULE));
    assert_eq!(ran.metric("rule_judged", RULE), "1");
    fs::write(copy.path().join("nodes/n2.txt"), "").unwrap();
    let ran = Ran::of(copy.path(), &policy);
    assert_eq!(ran.code, 3);
    assert_eq!(ran.asff(RULE), ("NOT_AVAILABLE", "HIGH"));
    let is_error = |status: &TestCaseStatus| matches!(status, TestCaseStatus::NonSuccess { kind, .. } if *kind == NonSuccessKind::Error);
    assert!(is_error(ran.junit(RULE)), "{:?}", ran.junit(RULE));
    assert_eq!(
        ran.ocsf(RULE),
        [json!(["Fail", "High", "Suppressed"]), json!(["Inconclusive", "High", "New"])]
    );
    assert_eq!(ran.metric("rule_judged", RULE), "0");
    assert!(ran.has_annotation("error", "not-seen") && ran.has_annotation("notice", RULE), "{}", ran.github);
    // A gap that the verdict does not need is one that needs no attention.
    let never = Ran::of(copy.path(), &[&policy[..], &["--fail-on", "never"]].concat());
    assert_eq!(never.code, 0);
    assert_eq!(never.asff(RULE), ("WARNING", "INFORMATIONAL"));
    assert!(matches!(never.junit(RULE), TestCaseStatus::Skipped { .. }), "{:?}", never.junit(RULE));
    assert_eq!(
        never.ocsf(RULE),
        [json!(["Fail", "High", "Suppressed"]), json!(["Inconclusive", "Informational", "New"])]
    );
}

/// What no verdict depends on raises no alert, whatever the severity of its rule.
#[test]
fn what_was_not_asked_for_needs_no_attention() {
    for name in ["study-public", "private-only"] {
        let ran = Ran::of(&story(name), &[]);
        for rule in ["endpoint-certificate-mismatch", "anonymous-access-open"] {
            assert_eq!(ran.asff(rule), ("WARNING", "INFORMATIONAL"), "{name}");
            assert_eq!(ran.ocsf(rule), [json!(["Inconclusive", "Informational", "New"])], "{name}");
        }
    }
    // Nothing of a cluster that passes has a severity, other than its findings.
    let ran = Ran::of(&story("private-only"), &[]);
    assert_eq!(ran.code, 0);
    let severities = ran.asff.iter().map(|one| &one["Severity"]["Label"]);
    let severities = severities.chain(ran.ocsf.iter().map(|one| &one["severity"]));
    let alerts = severities.filter(|label| **label != "INFORMATIONAL" && **label != "Informational").count();
    let found = ran.asff.iter().filter(|one| one["Compliance"]["Status"] == "FAILED").count();
    assert!(alerts == 2 * found, "{alerts} {found}");
}

/// An annotation is an error if and only if its finding makes the step fail.
#[test]
fn annotations_agree_with_the_exit_code() {
    let levels = ["critical", "high", "medium", "low"];
    for name in ["study-public", "public-and-private-stale", "node-egress-missing"] {
        let dir = story(name);
        let (report, _) = Netcheck::audit(&dir).json();
        let findings = report["findings"].as_array().unwrap();
        assert!(!findings.is_empty());
        for (at, threshold) in levels.iter().chain(&["never"]).enumerate() {
            let ran = Ran::of(&dir, &["--fail-on", threshold]);
            let reaches = |finding: &Value| {
                at < levels.len() && levels[..=at].contains(&finding["severity"].as_str().unwrap())
            };
            assert_eq!(ran.code == 1, findings.iter().any(reaches), "{name} {threshold}");
            for finding in findings {
                let (rule, is_failing) = (finding["rule"].as_str().unwrap(), reaches(finding));
                let levels = ["error", "warning", "notice"].map(|level| ran.has_annotation(level, rule));
                assert_eq!(levels, [is_failing, !is_failing, false], "{name} {threshold}: {}", ran.github);
            }
            assert!(ran.code != 0 || !ran.github.contains("::error"), "{name} {threshold}: {}", ran.github);
        }
    }
}

/// What is known from the baseline does not count, in any format.
#[test]
fn known_findings_are_excepted_in_each_format() {
    const RULE: &str = "public-endpoint-open";
    let (dir, evidence) = (scratch(), story("study-public"));
    let file = dir.path().join("baseline.json");
    Netcheck::audit(&evidence).args(&["--write", &format!("json={}", file.display())]).run();
    let severity = |ran: &Ran| {
        let issue = ran.gitlab.iter().find(|issue| issue["check_name"] == RULE).unwrap();
        issue["severity"].as_str().unwrap().to_owned()
    };
    let new = Ran::of(&evidence, &[]);
    assert_eq!((new.code, severity(&new).as_str()), (1, "critical"));
    assert_eq!(new.asff(RULE), ("FAILED", "HIGH"));
    assert_eq!(new.ocsf(RULE), [json!(["Fail", "High", "New"])]);
    assert_eq!([new.metric("findings", RULE), new.metric("findings_known", "")], ["1", "0"]);
    let known = Ran::of(&evidence, &["--baseline", file.to_str().unwrap()]);
    assert_eq!((known.code, severity(&known).as_str()), (0, "info"));
    assert_eq!(known.asff(RULE), ("FAILED", "INFORMATIONAL"));
    assert_eq!(known.ocsf(RULE), [json!(["Fail", "High", "Suppressed"])]);
    assert!(known.has_annotation("notice", RULE), "{}", known.github);
    assert!(matches!(known.junit(RULE), TestCaseStatus::Skipped { .. }), "{:?}", known.junit(RULE));
    let all = known.asff.iter().filter(|one| one["Compliance"]["Status"] == "FAILED").count();
    assert!(all > 1);
    assert_eq!([known.metric("findings", RULE), known.metric("findings_known", "")], ["0", &all.to_string()]);
    assert_eq!(known.metric("findings_waived", ""), "0");
    let alerts = known.asff.iter().filter(|one| one["Severity"]["Label"] != "INFORMATIONAL");
    assert_eq!(alerts.count(), 0);
}

/// Blocks that Markdown does not list are counted, and what belongs to a step is indented as the
/// text behind its number.
#[test]
fn markdown_counts_blocks_and_indents_steps() {
    let copy = copy_of("study-public");
    edit_json(copy.path(), "cluster.json", |cluster| {
        let blocks = (0..300).map(|number| format!("10.{}.{}.0/24", number / 200, number % 200));
        cluster["cluster"]["resourcesVpcConfig"]["publicAccessCidrs"] = blocks.collect();
    });
    let markdown = |dir: &Path| Netcheck::audit(dir).args(&["--format", "markdown"]).run().stdout;
    let text = markdown(copy.path());
    let line = text.lines().find(|line| line.contains(", open to ")).unwrap();
    assert!(line.ends_with(" and 100 more."), "{line}");
    let mut steps = 0;
    for name in subdirs(&root().join("fixtures/evidence")) {
        let text = markdown(&story(&name));
        let mut indent = None;
        for line in text.lines() {
            let own = line.len() - line.trim_start().len();
            let number = line.split_once(". ").filter(|(number, _)| number.parse::<u32>().is_ok());
            match (number, indent) {
                (Some((number, _)), _) => {
                    indent = Some(number.len() + 2);
                    steps += 1;
                }
                (None, Some(expected)) if own > 0 => assert_eq!(own, expected, "{name}: {line}"),
                _ if line.is_empty() => {}
                _ => indent = None,
            }
        }
    }
    assert!(steps > 10, "{steps}");
}
