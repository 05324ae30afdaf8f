//! What is written down stays true: schema, README and help are made anew and
//! compared. `UPDATE_DOCS=1 cargo test` writes them.

use std::fmt::Write;
use std::path::PathBuf;

use crate::common::{Netcheck, root};

pub(crate) fn schema_path() -> PathBuf {
    root().join("src/report/report.v1.schema.json")
}

fn trace_schema_path() -> PathBuf {
    root().join("src/report/trace.v1.schema.json")
}

/// Holds a JSON report of `trace` or `diff` against its schema.
pub(crate) fn is_valid_trace(report: &serde_json::Value) {
    let schema = std::fs::read_to_string(trace_schema_path()).unwrap();
    let schema = jsonschema::validator_for(&serde_json::from_str(&schema).unwrap()).unwrap();
    let errors: Vec<_> = schema.iter_errors(report).map(|error| error.to_string()).collect();
    assert!(errors.is_empty(), "{errors:?}");
}

fn updating() -> bool {
    std::env::var_os("UPDATE_DOCS").is_some()
}

#[test]
fn the_shipped_schemas_are_those_of_the_types() {
    let (mut report, mut trace) = (Vec::new(), Vec::new());
    eks_netcheck::report::json::write_schema(&mut report).unwrap();
    eks_netcheck::report::json::trace::write_schema(&mut trace).unwrap();
    let mut reports = Vec::new();
    eks_netcheck::report::json::write_reports_schema(&mut reports).unwrap();
    let reports_path = root().join("src/report/reports.v1.schema.json");
    let mut policy = serde_json::to_vec_pretty(&eks_netcheck::policy::file::schema()).unwrap();
    policy.push(b'\n');
    let policy_path = root().join("src/policy/policy.schema.json");
    for (path, schema) in [
        (schema_path(), report),
        (trace_schema_path(), trace),
        (policy_path, policy),
        (reports_path, reports),
    ] {
        if updating() {
            std::fs::write(&path, &schema).unwrap();
        }
        let schema = String::from_utf8(schema).unwrap();
        assert_eq!(std::fs::read_to_string(path).unwrap(), schema, "run with UPDATE_DOCS=1");
    }
}

/// The same for what is never twice the same: numbers may differ.
#[cfg(feature = "live")]
pub(crate) fn like_in_readme(mark: &str, text: &str) {
    let masked = |text: &str| {
        let words = text.split_whitespace();
        words.map(|word| word.replace(|char: char| char.is_ascii_digit(), "")).collect::<Vec<_>>().join(" ")
    };
    let readme = std::fs::read_to_string(root().join("README.md")).unwrap();
    let inside = readme.split(&format!("<!-- {mark} -->\n")).nth(1).unwrap();
    let inside = inside.split(&format!("<!-- end of {mark} -->")).next().unwrap();
    if updating() && masked(inside) != masked(text) {
        in_readme(mark, text);
    } else {
        assert_eq!(masked(inside), masked(text), "README.md, {mark}: run with UPDATE_DOCS=1");
    }
}

/// Puts `text` between two marks of the README, or checks that it is there.
fn in_readme(mark: &str, text: &str) {
    let path = root().join("README.md");
    let readme = std::fs::read_to_string(&path).unwrap();
    let (begin, end) = (format!("<!-- {mark} -->\n"), format!("<!-- end of {mark} -->"));
    let (before, rest) = readme.split_once(&begin).unwrap_or_else(|| panic!("README.md has no {begin}"));
    let (inside, after) = rest.split_once(&end).unwrap_or_else(|| panic!("README.md has no {end}"));
    if updating() {
        std::fs::write(&path, format!("{before}{begin}{text}{end}{after}")).unwrap();
    } else {
        assert_eq!(inside, text, "README.md is out of date between its marks {mark}: run with UPDATE_DOCS=1");
    }
}

/// One after the other: all of them may write the same file.
#[test]
fn the_readme_shows_what_the_tool_prints() {
    let stale = crate::common::story("public-and-private-stale");
    let ran = Netcheck::audit(&stale).env("COLUMNS", "92").run();
    // The answer, and the rows that show it; the whole of it further down.
    let parts: Vec<_> = ran.stdout.split("\n\n").collect();
    let paths = parts.iter().find(|part| part.starts_with("Paths, as")).unwrap();
    in_readme("answer", &format!("```text\n{}\n\n{paths}\n```\n", parts[0]));
    in_readme("report", &format!("```text\n{}```\n", ran.stdout));

    let exec = Netcheck::diff(&crate::common::story("study-public"), &crate::common::story("study-exec"));
    in_readme("diff", &format!("```text\n{}```\n", exec.env("COLUMNS", "92").run().stdout));

    let mut rules = String::from("| rule | severity | finds |\n| --- | --- | --- |\n");
    for rule in eks_netcheck::rules::ALL {
        writeln!(rules, "| `{}` | {} | {} |", rule.id, rule.severity.as_str(), rule.summary).unwrap();
    }
    in_readme("rules", &rules);

    let help = Netcheck::new(["audit", "--help"]).run().stdout;
    in_readme("help", &format!("```text\n{help}```\n"));
}

#[test]
fn the_readme_leaves_nothing_to_fill_in() {
    let readme = std::fs::read_to_string(root().join("README.md")).unwrap();
    assert!(!readme.contains("FIGURE"));
}

#[test]
fn the_changelog_names_this_version() {
    let changelog = std::fs::read_to_string(root().join("CHANGELOG.md")).unwrap();
    assert!(changelog.contains(&format!("## {}", env!("CARGO_PKG_VERSION"))));
}

#[test]
fn every_rule_can_be_explained() {
    let list = Netcheck::new(["explain"]).run();
    assert_eq!(list.code, 0);
    for rule in eks_netcheck::rules::ALL {
        assert!(list.stdout.contains(rule.id));
        let ran = Netcheck::new(["explain", rule.id]).env("COLUMNS", "80").run();
        assert_eq!(ran.code, 0);
        let words = ran.stdout.split_whitespace().collect::<Vec<_>>().join(" ");
        for text in [rule.summary, rule.why, rule.reference, rule.severity.as_str()] {
            assert!(
                words.contains(&text.split_whitespace().collect::<Vec<_>>().join(" ")),
                "{}: {text}",
                rule.id
            );
        }
        // Commands stay in one piece, to be pasted.
        for command in rule.remediation.lines().filter(|line| line.starts_with("    ")) {
            assert!(ran.stdout.lines().any(|line| line == command), "{}: {command}", rule.id);
        }
    }
    let unknown = Netcheck::new(["explain", "no-such-rule"]).run();
    assert_eq!(unknown.code, 2);
    assert!(unknown.stderr.contains("no-such-rule") && unknown.stderr.contains("eks-netcheck explain"));
}
