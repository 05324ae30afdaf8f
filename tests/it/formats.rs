//! The report formats of CI systems: their content, and whether their consumers
//! accept them.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use eks_netcheck::report::text::is_hostile;
use quick_junit::{NonSuccessKind, Report, TestCaseStatus};
use serde_json::{Value, json};

use crate::common::{Netcheck, copy_of, copy_probe, private_only_with_slices, root, scratch, story, subdirs};

const FORMATS: [&str; 9] =
    ["html", "sarif", "junit", "markdown", "github", "gitlab", "ocsf", "asff", "openmetrics"];

/// A policy with which rules have different outcomes: finding, waived, off,
/// inconclusive.
const MIXED: &str = r#"
[[waiver]]
rule = "public-endpoint-open"
resource = "*"
reason = "moves <behind> the VPN"
owner = "platform"
expires = 9999-12-31
[rules]
control-plane-enis-missing = "off"
unattributed-connection = "high"
"#;

/// An audit's standard output in a format.
fn written(evidence: &Path, format: &str, args: &[&str]) -> String {
    Netcheck::audit(evidence).args(args).args(&["--format", format]).run().stdout
}

/// The same, parsed as JSON.
fn parsed(evidence: &Path, format: &str, args: &[&str]) -> Value {
    serde_json::from_str(&written(evidence, format, args)).unwrap()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().unwrap()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

/// A copy of a story without one node's capture, and the arguments that select the
/// policy `MIXED`.
pub(crate) fn mixed() -> (tempfile::TempDir, [String; 2]) {
    let copy = copy_of("study-public");
    fs::remove_file(copy.path().join("nodes/n1.txt")).unwrap();
    let policy = copy.path().join("eks-netcheck.toml");
    fs::write(&policy, MIXED).unwrap();
    (copy, ["--policy".to_owned(), policy.into_os_string().into_string().unwrap()])
}

/// The rule and fingerprint of each finding in a format.
fn fingerprints(evidence: &Path, format: &str, args: &[&str]) -> BTreeSet<(String, String)> {
    let report = parsed(evidence, format, args);
    let (findings, rule, id) = match format {
        "sarif" => (&report["runs"][0]["results"], "/ruleId", "/partialFingerprints/primaryLocationLineHash"),
        "gitlab" => (&report, "/check_name", "/fingerprint"),
        _ => (&report, "/metadata/event_code", "/finding_info/uid"),
    };
    let field = |finding: &Value, pointer| text(finding.pointer(pointer).unwrap()).to_owned();
    let all: Vec<_> =
        list(findings).iter().map(|finding| (field(finding, rule), field(finding, id))).collect();
    let ids: BTreeSet<_> = all.iter().map(|(_, id)| id).collect();
    assert_eq!(ids.len(), all.len(), "{format}: two findings share a fingerprint");
    all.into_iter().collect()
}

#[test]
fn sarif_matches_the_schema_and_githubs_requirements() {
    let schema = fs::read_to_string(root().join("fixtures/schemas/sarif-2.1.0.schema.json")).unwrap();
    // One of its patterns is valid in JavaScript only.
    let schema = schema.replace("[a-zA-Z]{2}]?$", "[a-zA-Z]{2}$");
    let schema = jsonschema::validator_for(&serde_json::from_str(&schema).unwrap()).unwrap();
    for name in subdirs(&root().join("fixtures/evidence")) {
        let dir = story(&name);
        let (report, code) = Netcheck::audit(&dir).json();
        let log = parsed(&dir, "sarif", &[]);
        let errors: Vec<_> = schema.iter_errors(&log).map(|error| error.to_string()).collect();
        assert!(errors.is_empty(), "{name}: {errors:?}");
        let run = &log["runs"][0];
        let rules = list(&run["tool"]["driver"]["rules"]);
        let results = list(&run["results"]);
        assert_eq!(results.len(), list(&report["findings"]).len(), "{name}");
        for result in results {
            let location = &result["locations"][0]["physicalLocation"];
            assert_eq!(location["artifactLocation"]["uri"], "eks-netcheck.toml", "{name}");
            assert_eq!(location["region"]["startLine"], 1, "{name}");
            let rule = &rules[usize::try_from(result["ruleIndex"].as_u64().unwrap()).unwrap()];
            assert_eq!(rule["id"], result["ruleId"]);
        }
        // A cluster that fails may have gaps as well.
        let is_successful = run["invocations"][0]["executionSuccessful"].as_bool().unwrap();
        assert!(code == 1 || is_successful == (code == 0), "{name}");
    }
    let log = parsed(&story("study-public"), "sarif", &[]);
    for rule in list(&log["runs"][0]["tool"]["driver"]["rules"]) {
        for field in ["/shortDescription/text", "/fullDescription/text"] {
            assert!((1..=1024).contains(&text(rule.pointer(field).unwrap()).len()), "{rule}");
        }
        // GitHub expects a number in a string.
        let score: f64 = text(&rule["properties"]["security-severity"]).parse().unwrap();
        assert!((0.1..=10.0).contains(&score));
        assert!(list(&rule["properties"]["tags"]).contains(&"security".into()));
    }
}

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

/// A story with many nodes like one of its own.
fn many_nodes(number: usize) -> tempfile::TempDir {
    let copy = copy_of("public-and-private-stale");
    let nodes = copy.path().join("nodes");
    let capture = fs::read_to_string(nodes.join("n1.txt")).unwrap();
    for at in 0..number {
        fs::write(nodes.join(format!("node-{at:04}.txt")), &capture).unwrap();
    }
    copy
}

/// GitHub shows ten annotations of each level: the answer is one of the notices, whatever else
/// there is, and takes no place of an error.
#[test]
fn the_answer_displaces_no_annotation() {
    let copy = many_nodes(30);
    let commands = written(copy.path(), "github", &[]);
    let of = |level: &str| commands.lines().filter(|line| line.starts_with(level)).collect::<Vec<_>>();
    assert_eq!(of("::error ").len(), 10, "{commands}");
    let notices = of("::notice ");
    assert!(
        notices[0].contains("node-traffic::myeks: node traffic: public on 31 of 32 nodes"),
        "{notices:?}"
    );
    assert!(notices.len() == 2 && notices[1].contains(" more are not shown here"), "{notices:?}");
    // With more notices than are shown, it is the first.
    let waiver = "[[waiver]]\nrule = \"node-on-public-path\"\nresource = \"*\"\nreason = \"r\"\nowner = \"o\"\nexpires = 9999-12-31\n";
    let policy = copy.path().join("eks-netcheck.toml");
    fs::write(&policy, waiver).unwrap();
    let commands = written(copy.path(), "github", &["--policy", policy.to_str().unwrap()]);
    let notices: Vec<_> = commands.lines().filter(|line| line.starts_with("::notice ")).collect();
    assert_eq!(notices.len(), 10, "{commands}");
    assert!(notices[0].contains("node-traffic") && notices[9].contains(" more are not shown"), "{notices:?}");
}

/// Verdict, threshold and answer come first; what is alike is one row, however many nodes there
/// are; what is no problem is folded.
#[test]
fn a_summary_of_a_thousand_nodes_is_short() {
    let copy = many_nodes(1000);
    // Some that fail with one cause, and some with another.
    let gap = |at: usize, detail: &str| {
        let name = format!("down-{at:03}");
        json!({ "what": format!("node {name}"), "why": "unreachable", "detail": format!("ssh: {name}: {detail}"), "hint": "see to it" })
    };
    let gaps: Vec<_> = (0..200)
        .map(|at| gap(at, if at < 150 { "permission denied (publickey)" } else { "connection timed out" }))
        .collect();
    fs::write(copy.path().join("manifest.json"), json!({ "gaps": gaps }).to_string()).unwrap();
    let summary = written(copy.path(), "markdown", &[]).replace('\\', "");
    assert!(summary.len() < 20_000, "{} bytes: {summary}", summary.len());
    let first: Vec<_> = summary.lines().filter(|line| !line.is_empty()).take(4).collect();
    assert_eq!(first[0], "## eks-netcheck: ❌ fail");
    assert!(first[2].starts_with("**1001 findings at or above high: node-on-public-path"), "{first:#?}");
    assert!(first[2].contains("; 1 medium"), "{first:#?}");
    assert!(first[3].starts_with("**Node traffic: public on 1001 of "), "{first:#?}");
    // n1, of which the DNS answer is known, and the others.
    assert_eq!(summary.lines().filter(|line| line.starts_with("| high |")).count(), 2, "{summary}");
    let (shown, folded) = summary.split_once("<details><summary>Details").unwrap();
    for (number, cause) in [(150, "ssh: the node: permission denied (publickey)"), (50, "timed out")] {
        let rows: Vec<_> =
            shown.lines().filter(|line| line.starts_with("- ") && line.contains(cause)).collect();
        assert_eq!(rows.len(), 1, "{rows:#?}");
        assert!(rows[0].starts_with(&format!("- {number} nodes: ")), "{rows:#?}");
    }
    assert!(shown.contains("Not seen, and needed:") && !shown.contains("1001 nodes: kubelet"), "{shown}");
    assert!(folded.contains("- 1001 nodes: kubelet and kube-proxy public: "), "{folded}");
    assert!(folded.contains("Not judged, without effect on the verdict:"), "{folded}");
    assert_eq!(summary.matches("<details").count(), summary.matches("</details>").count());
}

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

/// Code scanning distinguishes new findings from old ones by their fingerprints.
#[test]
fn fingerprints_do_not_depend_on_order_or_line_numbers() {
    let copy = copy_of("public-and-private-stale");
    let node = copy.path().join("nodes/n1.txt");
    let capture = fs::read_to_string(&node).unwrap();
    let (head, rows) = capture.split_once('\n').unwrap();
    let reversed: Vec<_> = rows.lines().rev().collect();
    let comments = "# one more line\n# and another\n";
    let policy = copy.path().join("eks-netcheck.toml");
    fs::write(&policy, MIXED).unwrap();
    let args = ["--policy", policy.to_str().unwrap()];
    let before = ["sarif", "gitlab", "ocsf"].map(|format| fingerprints(copy.path(), format, &args));
    assert!(before.iter().all(|ids| ids.len() > 1), "{before:?}");
    fs::write(&node, format!("{head}\n{}\n", reversed.join("\n"))).unwrap();
    fs::write(&policy, format!("{comments}{MIXED}")).unwrap();
    let enis = copy.path().join("network-interfaces.json");
    let mut all: Value = serde_json::from_slice(&fs::read(&enis).unwrap()).unwrap();
    all["NetworkInterfaces"].as_array_mut().unwrap().reverse();
    fs::write(&enis, all.to_string()).unwrap();
    let after = ["sarif", "gitlab", "ocsf"].map(|format| fingerprints(copy.path(), format, &args));
    assert_eq!(before, after);
    // A cluster of the same name in another account has other fingerprints.
    let cluster = copy.path().join("cluster.json");
    let other =
        fs::read_to_string(&cluster).unwrap().replace(":111122223333:cluster/", ":444455556666:cluster/");
    fs::write(&cluster, other).unwrap();
    for (format, before) in ["sarif", "gitlab", "ocsf"].iter().zip(&before) {
        assert!(fingerprints(copy.path(), format, &args).is_disjoint(before), "{format}");
    }
}

/// Code scanning shows findings only at files of the repository.
#[test]
fn finding_locations_are_relative_paths() {
    let dir = story("study-public");
    let uri = |args: &[&str]| {
        let log = parsed(&dir, "sarif", args);
        text(&log["runs"][0]["results"][0]["locations"][0]["physicalLocation"]["artifactLocation"]["uri"])
            .to_owned()
    };
    assert_eq!(uri(&[]), "eks-netcheck.toml");
    assert_eq!(uri(&["--anchor", "./infra/eks.tf"]), "infra/eks.tf");
    assert_eq!(uri(&["--anchor", "a/../infra/eks.tf"]), "infra/eks.tf");
    for outside in [".", "", "..", "../eks.tf", "a/../../eks.tf", "/etc/passwd", "src"] {
        let ran = Netcheck::audit(&dir).args(&["--anchor", outside]).run();
        assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{outside}: {}", ran.stderr);
    }
    assert_eq!(uri(&["--anchor", "infra/my cluster:é.tf"]), "infra/my%20cluster%3A%C3%A9.tf");
    let issues = parsed(&dir, "gitlab", &["--anchor", "./infra/eks.tf"]);
    assert_eq!(issues[0]["location"], json!({ "path": "infra/eks.tf", "lines": { "begin": 1 } }));
}

/// A story with hostile process names, whose cluster name is hostile to every format.
pub(crate) fn hostile() -> tempfile::TempDir {
    let name = "www.evil.example \u{ffff}##[error]x\u{1b}[2J\r\n::error::<script>|[a](http://b)**c**]]>&amp;%0A@me #1`d`\u{202e}\u{0}";
    let copy = copy_of("hostile-names");
    let path = copy.path().join("cluster.json");
    let mut cluster: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    cluster["cluster"]["name"] = name.into();
    cluster["cluster"]["arn"] = format!("arn:aws:eks:ap-northeast-2:111122223333:cluster/{name}").into();
    fs::write(&path, cluster.to_string()).unwrap();
    copy
}

/// An audit of the cluster in a directory, whatever its name.
pub(crate) fn audit_of(dir: &Path) -> Netcheck {
    let cluster: Value = serde_json::from_slice(&fs::read(dir.join("cluster.json")).unwrap()).unwrap();
    // A NUL cannot be passed in an argument: remove it from both.
    let name = text(&cluster["cluster"]["name"]).replace('\0', "");
    let path = dir.join("cluster.json");
    fs::write(&path, cluster.to_string().replace("\\u0000", "")).unwrap();
    Netcheck::new(["audit", "--cluster", &name, "--evidence"]).arg(dir)
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

/// In GitHub Actions, annotations go to standard error and a summary to the step's
/// file, whatever the format on standard output.
#[test]
fn github_annotations_and_summary_are_written_automatically() {
    let dir = scratch();
    let summary = dir.path().join("summary.md");
    fs::write(&summary, "from a step before\n").unwrap();
    let path = summary.to_str().unwrap();
    let step = |path: &str| {
        let run = Netcheck::audit(&story("study-public"));
        run.env("GITHUB_ACTIONS", "true").env("GITHUB_STEP_SUMMARY", path)
    };
    let plain = Netcheck::audit(&story("study-public")).run();
    let ran = step(path).run();
    assert_eq!((ran.code, &ran.stdout), (plain.code, &plain.stdout));
    assert_eq!(ran.stderr, written(&story("study-public"), "github", &[]));
    let markdown = written(&story("study-public"), "markdown", &[]);
    assert_eq!(fs::read_to_string(&summary).unwrap(), format!("from a step before\n{markdown}"));
    // With --format github, annotations are not written twice.
    let ran = step(path).args(&["--format", "github"]).run();
    assert_eq!(ran.stderr, "");
    // Not with --no-ci, and not outside of GitHub Actions.
    fs::write(&summary, "").unwrap();
    for ran in [step(path).arg("--no-ci").run(), step(path).env("GITHUB_ACTIONS", "false").run()] {
        assert_eq!((ran.stderr.as_str(), &ran.stdout), ("", &plain.stdout));
    }
    assert_eq!(fs::read_to_string(&summary).unwrap(), "");
    // A summary that cannot be written does not change the exit code.
    let ran = step("/no/such/directory/summary").run();
    assert_eq!((ran.code, &ran.stdout), (plain.code, &plain.stdout));
    assert!(
        ran.stderr.starts_with("warning: cannot write to /no/such/directory/summary: "),
        "{}",
        ran.stderr
    );
    // A --write file that cannot be written leaves the other outputs complete, and is an
    // error whatever the verdict: other exit codes say that each report is whole.
    let ran = step(path).args(&["--write", "json=/dev/full"]).run();
    assert_eq!((ran.code, &ran.stdout), (2, &plain.stdout), "{}", ran.stderr);
    assert!(ran.stderr.contains("cannot write to /dev/full"), "{}", ran.stderr);
    assert!(!fs::read_to_string(&summary).unwrap().is_empty());
    let unseen = copy_of("private-only");
    fs::remove_dir_all(unseen.path().join("nodes")).unwrap();
    let other = || Netcheck::new(["audit", "--cluster", "other", "--evidence"]).arg(story("private-only"));
    assert_eq!(other().run().code, 4);
    for audit in
        [Netcheck::audit(&story("private-only")), Netcheck::audit(unseen.path()), other(), step(path)]
    {
        let ran = audit.args(&["--write", "json=/dev/full"]).run();
        assert_eq!(ran.code, 2, "{}", ran.stderr);
        assert!(ran.stderr.contains("cannot write to /dev/full"), "{}", ran.stderr);
    }
}
