//! Documentation: schemas and the generated blocks of README.md and docs/ are
//! generated and compared, or rewritten with `UPDATE_DOCS=1 cargo test`.

mod links;

#[cfg(feature = "live")]
pub(crate) use links::links;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use eks_netcheck::model::rule::WithoutEvidence;

use crate::common::{Netcheck, root};

pub(crate) fn schema_path() -> PathBuf {
    root().join("src/report/report.v1.schema.json")
}

/// The schema of `probe/VANTAGE.json`.
pub(crate) fn probe_schema_path() -> PathBuf {
    root().join("src/evidence/probe.v1.schema.json")
}

fn trace_schema_path() -> PathBuf {
    root().join("src/report/trace.v1.schema.json")
}

/// Validates a JSON report of `trace` or `diff` against its schema.
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
    let (mut report, mut trace, mut simulation) = (Vec::new(), Vec::new(), Vec::new());
    eks_netcheck::report::json::write_schema(&mut report).unwrap();
    eks_netcheck::report::json::trace::write_schema(&mut trace).unwrap();
    eks_netcheck::report::json::simulation::write_schema(&mut simulation).unwrap();
    let simulation_path = root().join("src/report/simulation.v1.schema.json");
    let mut reports = Vec::new();
    eks_netcheck::report::json::write_reports_schema(&mut reports).unwrap();
    let mut rules = Vec::new();
    eks_netcheck::report::json::rules::write_schema(&mut rules).unwrap();
    let rules_path = root().join("src/report/rules.v1.schema.json");
    let mut reach = Vec::new();
    eks_netcheck::report::json::reach::write_schema(&mut reach).unwrap();
    let reach_path = root().join("src/report/reach.v1.schema.json");
    let reports_path = root().join("src/report/reports.v1.schema.json");
    let mut policy = serde_json::to_vec_pretty(&eks_netcheck::policy::file::schema()).unwrap();
    policy.push(b'\n');
    let policy_path = root().join("src/policy/policy.schema.json");
    let mut probe = serde_json::to_vec_pretty(&eks_netcheck::evidence::probe::schema()).unwrap();
    probe.push(b'\n');
    for (path, schema) in [
        (probe_schema_path(), probe),
        (schema_path(), report),
        (trace_schema_path(), trace),
        (policy_path, policy),
        (reports_path, reports),
        (reach_path, reach),
        (rules_path, rules),
        (simulation_path, simulation),
    ] {
        if updating() {
            std::fs::write(&path, &schema).unwrap();
        }
        let schema = String::from_utf8(schema).unwrap();
        assert_eq!(std::fs::read_to_string(path).unwrap(), schema, "run with UPDATE_DOCS=1");
    }
}

/// Serialises the rewriting of files: tests run in parallel, and two blocks may be in one file.
static WRITING: Mutex<()> = Mutex::new(());

/// The text between two marks of a Markdown file: `<!-- MARK -->` and `<!-- end of MARK -->`.
fn block(file: &str, mark: &str) -> String {
    split_at_marks(&read(file), file, mark).1.to_owned()
}

/// A block without the fence of its code block.
#[cfg(feature = "live")]
pub(crate) fn code_block(file: &str, mark: &str) -> String {
    let block = block(file, mark);
    block.lines().filter(|line| !line.trim_start().starts_with("```")).collect::<Vec<_>>().join("\n") + "\n"
}

/// A text up to and with the first mark, what is between the marks, and the rest.
fn split_at_marks<'a>(text: &'a str, file: &str, mark: &str) -> (&'a str, &'a str, &'a str) {
    let (begin, end) = (format!("<!-- {mark} -->\n"), format!("<!-- end of {mark} -->"));
    let from = text.find(&begin).unwrap_or_else(|| panic!("{file} has no {begin}")) + begin.len();
    let to = from + text[from..].find(&end).unwrap_or_else(|| panic!("{file} has no {end}"));
    (&text[..from], &text[from..to], &text[to..])
}

/// Compares a block with what it should be, or rewrites it if `UPDATE_DOCS` is set.
fn check_block(file: &str, mark: &str, text: &str) {
    if updating() {
        write_block(file, mark, text);
    } else {
        assert_eq!(block(file, mark), text, "{file}, {mark}: out of date, run with UPDATE_DOCS=1");
    }
}

/// The same for output that differs from run to run: digits and white space are not compared.
#[cfg(feature = "live")]
pub(crate) fn check_block_but_numbers(file: &str, mark: &str, text: &str) {
    let masked = |text: &str| {
        let words = text.split_whitespace();
        words.map(|word| word.replace(|char: char| char.is_ascii_digit(), "")).collect::<Vec<_>>().join(" ")
    };
    let inside = block(file, mark);
    if updating() && masked(&inside) != masked(text) {
        write_block(file, mark, text);
    } else {
        assert_eq!(masked(&inside), masked(text), "{file}, {mark}: out of date, run with UPDATE_DOCS=1");
    }
}

fn write_block(file: &str, mark: &str, text: &str) {
    let _writing = WRITING.lock().unwrap_or_else(PoisonError::into_inner);
    let old = read(file);
    let (before, _, after) = split_at_marks(&old, file, mark);
    std::fs::write(root().join(file), format!("{before}{text}{after}")).unwrap();
}

fn read(file: &str) -> String {
    std::fs::read_to_string(root().join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

fn fenced(language: &str, text: &str) -> String {
    format!("```{language}\n{}\n```\n", text.trim_end())
}

#[test]
fn reports_are_those_that_the_tool_prints() {
    let stale = crate::common::story("public-and-private-stale");
    let ran = Netcheck::audit(&stale).env("COLUMNS", "92").run();
    // The README has the report up to the first finding.
    let (begin, _) = ran.stdout.split_once("\n\nMEDIUM").unwrap();
    check_block("README.md", "answer", &fenced("text", begin));
    check_block("docs/report.md", "report", &fenced("text", &ran.stdout));
    let all = Netcheck::audit(&stale).arg("--all").env("COLUMNS", "92").run().stdout;
    check_block("docs/report.md", "all", &fenced("text", &all));

    let exec = Netcheck::diff(&crate::common::story("study-public"), &crate::common::story("study-exec"));
    check_block("docs/trace.md", "diff", &fenced("text", &exec.env("COLUMNS", "92").run().stdout));

    let reach = Netcheck::new(["reach", "--cluster", "myeks", "--from", "10.50.0.0/16", "--evidence"]);
    let reach = reach.arg(crate::common::story("private-only")).env("COLUMNS", "92").run();
    check_block("docs/reach.md", "reach", &fenced("text", &reach.stdout));
}

#[test]
fn simulations_are_those_that_the_tool_prints() {
    let stale = crate::common::story("public-and-private-stale");
    let args = ["--access", "private", "--client", "office=203.0.113.0/25"];
    let ran = Netcheck::new(["simulate", "--cluster", "myeks", "--evidence"]).arg(stale).args(&args);
    let ran = ran.env("COLUMNS", "92").run();
    assert_eq!(ran.code, 1, "{}", ran.stderr);
    check_block("docs/simulate.md", "simulation", &fenced("text", &ran.stdout));
    // The README has the clients.
    let parts: Vec<_> = ran.stdout.split("\n\n").collect();
    check_block("README.md", "simulation", &fenced("text", &parts[..2].join("\n\n")));
}

#[test]
fn drawings_are_those_that_the_tool_prints() {
    let drawing = |name: &str, columns: &str| {
        let audit = Netcheck::audit(&crate::common::story(name)).arg("--explain-paths");
        let ran = audit.env("COLUMNS", columns).run();
        let (_, rest) = ran.stdout.split_once("\nPaths of this cluster: ").unwrap();
        let rest = &rest[rest.find('\n').unwrap() + 1..];
        rest.split("\n\nNodes\n").next().unwrap().to_owned()
    };
    let exec = drawing("study-exec", "92");
    // The README has the way in alone.
    let (_, way_in) = exec.split_once("\n\n3. ").unwrap();
    check_block("README.md", "drawing", &fenced("text", &format!("3. {way_in}")));
    check_block("docs/paths.md", "drawing", &fenced("text", &exec));
}

#[test]
fn the_table_of_rules_has_every_rule() {
    let mut rules = String::from("| rule | severity | finds |\n| --- | --- | --- |\n");
    for rule in eks_netcheck::rules::ALL {
        writeln!(rules, "| `{}` | {} | {} |", rule.id, rule.severity.as_str(), rule.summary).unwrap();
    }
    check_block("README.md", "rules", &rules);
}

#[test]
fn the_list_of_rules_that_are_not_judged_has_every_such_rule() {
    let mut rules = String::new();
    for rule in eks_netcheck::rules::ALL {
        if rule.without_evidence == WithoutEvidence::NotJudged {
            writeln!(rules, "- `{}`", rule.id).unwrap();
        }
    }
    check_block("docs/report.md", "not-judged", &rules);
}

#[test]
fn the_table_of_controls_has_every_control_with_its_rules() {
    let mut rules: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for rule in eks_netcheck::rules::ALL {
        for control in rule.controls {
            let key = (control.standard, control.mapping, control.id, control.title);
            rules.entry(key).or_default().push(format!("`{}`", rule.id));
        }
    }
    // Controls with the same rules share a row.
    let rules: Vec<_> = rules.into_iter().collect();
    let mut table = String::from("| standard | control | mapping | rules |\n| --- | --- | --- | --- |\n");
    for same in rules.chunk_by(|((s1, m1, ..), r1), ((s2, m2, ..), r2)| (s1, m1, r1) == (s2, m2, r2)) {
        let ((standard, mapping, _, title), rules) = &same[0];
        let ids: Vec<_> = same.iter().map(|((.., id, _), _)| *id).collect();
        let title = if ids.len() == 1 { format!(": {title}") } else { String::new() };
        let (name, ids, rules) = (standard.name(), ids.join(", "), rules.join(", "));
        writeln!(table, "| {name} | {ids}{title} | {} | {rules} |", mapping.as_str()).unwrap();
    }
    check_block("docs/compliance.md", "controls", &table);
}

#[test]
fn the_table_of_examples_has_every_story() {
    let mut table =
        String::from("| directory | verdict | exit code | findings |\n| --- | --- | --- | --- |\n");
    for name in crate::common::subdirs(&crate::common::fixtures().join("evidence")) {
        let (report, code) = Netcheck::audit(&crate::common::story(&name)).json();
        let findings = report["findings"].as_array().unwrap().iter();
        let rules: BTreeSet<_> = findings.map(|finding| finding["rule"].as_str().unwrap()).collect();
        let rules: Vec<_> = rules.into_iter().map(|rule| format!("`{rule}`")).collect();
        let rules = if rules.is_empty() { "none".to_owned() } else { rules.join(", ") };
        let verdict = report["verdict"].as_str().unwrap();
        writeln!(table, "| `{name}` | {verdict} | {code} | {rules} |").unwrap();
    }
    check_block("docs/evidence.md", "examples", &table);
}

#[test]
fn the_command_line_is_that_of_help() {
    let mut page = fenced("text", &help(&[]));
    for command in commands(&[]) {
        let below = commands(&[&command]);
        write!(page, "\n## {command}\n\n{}", fenced("text", &help(&[&command]))).unwrap();
        for sub in below {
            let usage = fenced("text", &help(&[&command, &sub]));
            write!(page, "\n### {command} {sub}\n\n{usage}").unwrap();
        }
    }
    check_block("docs/command-line.md", "help", &page);

    let audit = help(&["audit"]);
    let (_, codes) = audit.split_once("Exit codes:\n").unwrap();
    let mut rows: Vec<String> = Vec::new();
    for line in codes.lines() {
        // A code, two blanks or more, and its meaning, which goes on where a line is indented more.
        let row = line.trim_start().split_once("  ").filter(|(code, _)| code.parse::<u8>().is_ok());
        match (row, rows.last_mut()) {
            (Some((code, meaning)), _) => rows.push(format!("| {code} | {}", meaning.trim_start())),
            (None, Some(last)) if line.starts_with("      ") => {
                write!(last, " {}", line.trim_start()).unwrap();
            }
            _ => {}
        }
    }
    let table = format!("| exit code | meaning |\n| --- | --- |\n{} |\n", rows.join(" |\n"));
    check_block("README.md", "exit-codes", &table);
}

/// `--help` of a command, without the blanks at ends of lines.
fn help(command: &[&str]) -> String {
    let ran = Netcheck::new(command.iter().chain(&["--help"])).run();
    assert_eq!(ran.code, 0, "{command:?}: {}", ran.stderr);
    ran.stdout.lines().map(str::trim_end).collect::<Vec<_>>().join("\n")
}

/// The sub-commands that a command's `--help` lists.
fn commands(command: &[&str]) -> Vec<String> {
    let help = help(command);
    let lines = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let lines = lines.take_while(|line| line.starts_with("  "));
    // What is indented further goes on with the line above.
    let names =
        lines.filter(|line| !line.starts_with("   ")).map(|line| line.split_whitespace().next().unwrap());
    names.filter(|name| *name != "help").map(ToOwned::to_owned).collect()
}

#[test]
fn the_iam_policy_is_that_of_the_command() {
    let policy = Netcheck::new(["iam-policy"]).run().stdout;
    check_block("docs/live.md", "iam-policy", &fenced("json", &policy));
    let policy = Netcheck::new(["iam-policy", "--nodes", "ssm"]).run().stdout;
    check_block("docs/live.md", "iam-policy-ssm", &fenced("json", &policy));
    let roles = Netcheck::new(["rbac"]).run().stdout;
    check_block("docs/live.md", "rbac", &fenced("yaml", &roles));
}

#[test]
fn the_workflow_is_that_of_init() {
    let dir = crate::common::scratch();
    assert_eq!(Netcheck::new(["init"]).dir(dir.path()).run().code, 0);
    let workflow = std::fs::read_to_string(dir.path().join(".github/workflows/eks-netcheck.yml")).unwrap();
    check_block("docs/ci.md", "github", &fenced("yaml", &workflow));
}

#[test]
fn the_readme_has_the_commands_for_a_fresh_machine() {
    let readme = read("README.md");
    let commands = [
        "cargo run --release --no-default-features -- audit --cluster myeks --evidence fixtures/evidence/private-only",
        "tests/run",
    ];
    for command in commands {
        assert!(readme.lines().any(|line| line == command), "README.md lacks the line: {command}");
    }
}

#[test]
fn nothing_is_left_to_fill_in() {
    for file in markdown_files() {
        let text = read(&file);
        for placeholder in ["FIGURE", "TODO", "FIXME", "TBD"] {
            assert!(!text.contains(placeholder), "{file}: {placeholder}");
        }
    }
}

/// Every Markdown file that is documentation, by its path from the root.
fn markdown_files() -> Vec<String> {
    let mut files: Vec<_> =
        ["README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md"].map(String::from).into();
    files.extend(pages().into_iter().map(|page| format!("docs/{page}")));
    files.push("docs/SUMMARY.md".to_owned());
    files
}

/// The pages of the book, by their paths from docs/, sorted.
fn pages() -> Vec<String> {
    fn walk(dir: &Path, pages: &mut Vec<String>) {
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, pages);
            } else if path.extension().is_some_and(|extension| extension == "md") {
                let page = path.strip_prefix(root().join("docs")).unwrap();
                pages.push(page.to_str().unwrap().to_owned());
            }
        }
    }
    let mut pages = Vec::new();
    walk(&root().join("docs"), &mut pages);
    pages.retain(|page| page != "SUMMARY.md");
    pages.sort();
    pages
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
        let is_listed = words.contains("it makes a run inconclusive only if --rule names it");
        assert_eq!(is_listed, rule.without_evidence == WithoutEvidence::NotJudged, "{}: {words}", rule.id);
        for need in rule.needs {
            assert!(words.contains(need.as_str()), "{}: {}", rule.id, need.as_str());
        }
        // A shell joins the lines of a command.
        let joined = crate::common::joined(&ran.stdout);
        for command in rule.remediation.lines().filter(|line| line.starts_with("    ")) {
            assert!(joined.lines().any(|line| line == command), "{}: {command}", rule.id);
        }
    }
    let unknown = Netcheck::new(["explain", "no-such-rule"]).run();
    assert_eq!(unknown.code, 2);
    assert!(unknown.stderr.contains("no-such-rule") && unknown.stderr.contains("eks-netcheck explain"));
}
