//! The stories under `fixtures/simulate` and `fixtures/reach`: what a change of access would
//! do, and why a place cannot reach the endpoint, each with the answer that was found in the
//! end.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::common::{Netcheck, Ran, copy, fixtures, scratch, subdirs};

/// The public reports, whose evidence directories are complete.
const REPORTS: [&str; 13] = [
    "reach/bastion-without-the-cluster-group",
    "reach/on-premises-resolver",
    "reach/peered-vpc-without-the-zone",
    "reach/security-group-without-443",
    "reach/vpn-not-in-the-cidrs",
    "simulate/a-bastion-without-the-cluster-group",
    "simulate/a-security-group-without-443",
    "simulate/an-ipv6-list-without-its-counterpart",
    "simulate/closing-with-ci-on-a-public-runner",
    "simulate/closing-with-stale-sockets",
    "simulate/narrowing-without-nat-addresses",
    "simulate/private-on-with-own-dns",
    "simulate/two-clusters-in-peered-vpcs",
];

/// `EXPECT` of a story: its lines, as keys and values.
struct Expected(Vec<(String, String)>);

impl Expected {
    fn read(story: &Path) -> Result<Self, String> {
        let path = story.join("EXPECT");
        let text = fs::read_to_string(&path).map_err(|error| format!("EXPECT: {error}"))?;
        let pair = |line: &str| {
            let (key, value) = line.split_once(':').ok_or_else(|| format!("no key: {line:?}"))?;
            Ok((key.to_owned(), value.trim().to_owned()))
        };
        text.lines().map(pair).collect::<Result<_, String>>().map(Self)
    }

    fn all<'a, 'k>(&'a self, key: &'k str) -> impl Iterator<Item = &'a str> + use<'a, 'k> {
        self.0.iter().filter(move |(other, _)| other == key).map(|(_, value)| value.as_str())
    }

    fn one(&self, key: &str) -> Result<&str, String> {
        let mut values = self.all(key);
        match (values.next(), values.next()) {
            (Some(value), None) if !value.is_empty() => Ok(value),
            _ => Err(format!("EXPECT has not one line {key:?}")),
        }
    }
}

/// Whether a text contains words: `A & B` means both, `A|B` means one of them. Case is ignored.
fn contains(text: &str, words: &str) -> bool {
    let text = text.to_lowercase();
    let has_one = |words: &str| words.split('|').any(|word| text.contains(&word.trim().to_lowercase()));
    words.split(" & ").all(has_one)
}

/// Whether a value is one of several words, or the beginning of a word with several parts:
/// `private` is also `private-eni`.
fn is_one_of(value: &Value, words: &str) -> bool {
    let value = value.as_str().unwrap_or("null");
    words.split('|').any(|word| value == word || value.starts_with(&format!("{word}-")))
}

/// Whether a client has this name: each word is a part of its name or its kind.
pub(crate) fn is_named(client: &Value, name: &str) -> bool {
    let text = format!("{} {}", client["name"].as_str().unwrap(), client["kind"].as_str().unwrap());
    let is_part = |c: char| c.is_alphanumeric() || c == '-' || c == '.';
    let parts: Vec<_> = text.split(|c| !is_part(c)).map(str::to_lowercase).collect();
    let has = |word: &str| parts.iter().any(|part| part == word || part.starts_with(&format!("{word}-")));
    name.split(' ').all(has)
}

/// Checks `KEY=WORDS; ...` against an object of a report; `says` is about the whole object.
fn check_object(object: &Value, conditions: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    for condition in conditions.split(';').map(str::trim) {
        let (key, words) = condition.split_once('=').unwrap_or_else(|| panic!("{condition:?}"));
        let is_met = match key {
            "says" => contains(&object.to_string(), words),
            "reaches" | "result" | "today" | "after" => is_one_of(&object[key], words),
            _ => panic!("{condition:?}"),
        };
        if !is_met {
            wrong.push(format!("{condition}: {object}"));
        }
    }
    wrong
}

/// What is wrong with the clients of a simulation.
fn check_clients(report: &Value, expected: &Expected) -> Vec<String> {
    let clients = report["clients"].as_array().unwrap();
    let mut wrong = Vec::new();
    for line in expected.all("client") {
        let (name, conditions) = line.split_once(';').unwrap();
        let named: Vec<_> = clients.iter().filter(|client| is_named(client, name)).collect();
        if named.is_empty() {
            let all: Vec<_> = clients.iter().map(|client| client["name"].to_string()).collect();
            wrong.push(format!("no client {name}: {}", all.join(" ")));
        }
        wrong.extend(named.into_iter().flat_map(|client| check_object(client, conditions)));
    }
    for line in expected.all("not-client") {
        let (name, conditions) = line.split_once(';').unwrap();
        let mut named = clients.iter().filter(|client| is_named(client, name));
        if named.any(|client| check_object(client, conditions).is_empty()) {
            wrong.push(format!("it has the client {line}"));
        }
    }
    wrong
}

/// What is wrong with the conditions of a connection.
fn check_steps(report: &Value, expected: &Expected) -> Vec<String> {
    let empty = Vec::new();
    let steps = report["steps"].as_array().unwrap_or(&empty);
    let named = |name: &str| steps.iter().find(|step| step["name"] == name);
    let mut wrong = Vec::new();
    for line in expected.all("step") {
        let (name, conditions) = line.split_once(';').unwrap();
        match named(name) {
            Some(step) => wrong.extend(check_object(step, conditions)),
            None => wrong.push(format!("no step {name}: {}", report["steps"])),
        }
    }
    for line in expected.all("not-step") {
        let (name, conditions) = line.split_once(';').unwrap();
        if named(name).is_some_and(|step| check_object(step, conditions).is_empty()) {
            wrong.push(format!("it has {line}: {}", report["steps"]));
        }
    }
    for line in expected.all("fix") {
        let (name, words) = line.split_once(';').unwrap();
        if !named(name).is_some_and(|step| contains(&step["fix"].to_string(), words)) {
            wrong.push(format!("fix of {line}: {}", report["steps"]));
        }
    }
    // The steps of a change, each of which comes after that of the word before.
    for line in expected.all("order") {
        let mut rest = steps.iter();
        for word in line.split("; ") {
            if !rest.any(|step| contains(&step.to_string(), word)) {
                wrong.push(format!("no step {word} in the order {line}: {}", report["steps"]));
                break;
            }
        }
    }
    wrong
}

/// What holds for every report of a kind.
fn check_form(kind: &str, report: &Value, code: i32) -> Vec<String> {
    let codes: [(&str, i32); 3] = match kind {
        "simulate" => [("safe", 0), ("breaks", 1), ("unknown", 3)],
        _ => [("yes", 0), ("no", 1), ("unknown", 3)],
    };
    let mut wrong = Vec::new();
    if !codes.iter().any(|(verdict, of)| report["verdict"] == *verdict && *of == code) {
        wrong.push(format!("verdict {} with exit code {code}", report["verdict"]));
    }
    let schema = if kind == "simulate" { "eks-netcheck.simulation.v1" } else { "eks-netcheck.reach.v1" };
    if report["schema"] != schema {
        wrong.push(format!("schema {}", report["schema"]));
    }
    let unexplained = |object: &Value| object["why"].as_str().is_none_or(str::is_empty);
    if kind == "simulate" {
        let clients = report["clients"].as_array().unwrap();
        wrong.extend(
            clients
                .iter()
                .filter(|client| client["reaches"] != "yes" && unexplained(client))
                .map(|client| format!("no reason: {client}")),
        );
        let breaks = clients.iter().any(|client| client["reaches"] == "no");
        if code == 1 && !breaks && !report.to_string().contains("restart") {
            wrong.push("it breaks, and no client is cut off".to_owned());
        }
    } else {
        let steps = report["steps"].as_array().unwrap();
        let not_met: Vec<_> = steps.iter().filter(|step| step["result"] == "not-met").collect();
        if (code == 1) == not_met.is_empty() {
            wrong.push(format!("verdict {} with the steps {}", report["verdict"], report["steps"]));
        }
        wrong.extend(
            not_met.into_iter().filter(|step| unexplained(step)).map(|step| format!("no reason: {step}")),
        );
    }
    wrong
}

/// What is wrong with a report in JSON.
fn check_report(kind: &str, report: &Value, code: i32, expected: &Expected) -> Vec<String> {
    let mut wrong = check_form(kind, report, code);
    if kind == "simulate" {
        wrong.extend(check_clients(report, expected));
    }
    wrong.extend(check_steps(report, expected));
    let text = report.to_string();
    wrong.extend(
        expected.all("in").filter(|words| !contains(&text, words)).map(|words| format!("it lacks {words}")),
    );
    wrong.extend(
        expected.all("not-in").filter(|words| contains(&text, words)).map(|words| format!("it has {words}")),
    );
    for line in expected.all("json") {
        let (pointer, value) = line.split_once(" = ").unwrap();
        let found = report.pointer(pointer).unwrap_or(&Value::Null);
        let text = found.as_str().map_or_else(|| found.to_string(), ToOwned::to_owned);
        if text != value {
            wrong.push(format!("{line}: {found}"));
        }
    }
    for pointer in expected.all("json-not-empty") {
        if report.pointer(pointer).and_then(Value::as_array).is_none_or(Vec::is_empty) {
            wrong.push(format!("{pointer} is empty"));
        }
    }
    if expected.one("unchanged").is_ok() {
        let changed = |client: &&Value| client["today"] != client["after"];
        let changed = report["clients"].as_array().unwrap().iter().filter(changed);
        wrong.extend(changed.map(|client| format!("changed: {client}")));
    }
    wrong
}

/// Runs a story's command in each format; what is wrong.
fn check_story(kind: &str, story: &Path) -> Result<Vec<String>, String> {
    let expected = Expected::read(story)?;
    expected.one("answer")?;
    let dir = scratch();
    // The files of a complete recording that are not its own.
    if let Ok(base) = expected.one("base") {
        copy(&fixtures().join("access").join(base), &dir.path().join("evidence"));
        for file in expected.all("without") {
            fs::remove_file(dir.path().join("evidence").join(file))
                .map_err(|error| format!("{file}: {error}"))?;
        }
    }
    copy(story, dir.path());
    let words: Vec<_> = expected.one("command")?.split(' ').collect();
    if words[0] != kind {
        return Err(format!("the command is not {kind}"));
    }
    let run = |format: &str| -> Ran {
        Netcheck::new(words.iter().copied()).args(&["--format", format]).dir(dir.path()).run()
    };
    let (json, table) = (run("json"), run("table"));
    let is_right =
        |ran: &Ran| expected.one("exit").unwrap().split('|').any(|code| code == ran.code.to_string());
    let mut wrong = Vec::new();
    if !is_right(&json) {
        wrong.push(format!("exit code {}: {}", json.code, json.stderr.lines().next().unwrap_or_default()));
    }
    let mut formats = vec![("table", table)];
    if kind == "simulate" {
        formats.push(("markdown", run("markdown")));
    }
    for (format, ran) in &formats {
        if ran.code != json.code {
            wrong.push(format!("exit code {} as {format}, {} as JSON", ran.code, json.code));
        }
        if ran.stdout.is_empty() != json.stdout.is_empty() {
            wrong.push(format!("standard output as {format}: {:?}", ran.stdout));
        }
    }
    for words in expected.all("err") {
        if !contains(&json.stderr, words) {
            wrong.push(format!("the message lacks {words}: {}", json.stderr));
        }
    }
    match serde_json::from_str(&json.stdout) {
        Ok(report) => wrong.extend(check_report(kind, &report, json.code, &expected)),
        Err(_) if [2, 4].contains(&json.code) => {}
        Err(error) => wrong.push(format!("no JSON: {error}")),
    }
    Ok(wrong)
}

/// Checks all stories of a kind.
fn check_all(kind: &str, at_least: usize) {
    let stories = subdirs(&fixtures().join(kind));
    assert!(stories.len() >= at_least, "{} stories", stories.len());
    let mut wrong = String::new();
    let mut count = 0;
    for story in &stories {
        let found = check_story(kind, &fixtures().join(kind).join(story)).unwrap_or_else(|error| vec![error]);
        count += usize::from(!found.is_empty());
        for line in found {
            let line: String = line.chars().take(1_500).collect();
            _ = writeln!(wrong, "{kind}/{story}: {line}");
        }
    }
    assert!(wrong.is_empty(), "{count} of {} stories are answered wrong:\n{wrong}", stories.len());
}

#[test]
fn each_change_of_access_is_predicted_right() {
    check_all("simulate", 60);
}

#[test]
fn each_place_is_answered_right() {
    check_all("reach", 30);
}

/// The directories of public reports can be used as they are.
#[test]
fn each_public_report_is_a_complete_evidence_directory() {
    for report in REPORTS {
        let story = fixtures().join(report);
        assert!(Expected::read(&story).unwrap().one("base").is_err(), "{report}");
        let (_, code) = Netcheck::audit(&story.join("evidence")).json();
        assert!([0, 1, 3].contains(&code), "{report}: {code}");
    }
}

/// A story that lacks what is expected is reported, and so is a wrong expectation.
#[test]
fn a_story_without_expectations_fails() {
    let story = scratch();
    copy(&fixtures().join("access/public"), &story.path().join("evidence"));
    assert!(check_story("simulate", story.path()).is_err());
    let expect = |lines: &str| {
        let command = "command: simulate --cluster myeks --evidence evidence --access public-and-private\n";
        fs::write(story.path().join("EXPECT"), format!("{command}answer: a test\n{lines}")).unwrap();
        check_story("simulate", story.path())
    };
    assert_eq!(expect("exit: 0\n"), Ok(Vec::new()));
    for lines in [
        "exit: 1\n",
        "exit: 0\nclient: n1 kubelet; reaches=no\n",
        "exit: 0\nclient: n7 kubelet; reaches=yes\n",
        "exit: 0\nin: this is not in it\n",
        "exit: 0\nnot-in: n1\n",
        "exit: 0\norder: endpointPrivateAccess=true; this is in no step\n",
        "exit: 0\njson: /to/access = private\n",
    ] {
        assert!(expect(lines).is_ok_and(|wrong| !wrong.is_empty()), "{lines}");
    }
}
