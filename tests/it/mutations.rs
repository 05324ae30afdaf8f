//! Evidence that is taken away never improves a verdict: every file, field and line of
//! each recorded cluster is removed, emptied or cut.
//!
//! `MUTANTS=all` judges every mutant; otherwise every few of them, to save time.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use eks_netcheck::model::judgment::Verdict;
use eks_netcheck::model::rule::Severity;
use eks_netcheck::policy::Policy;
use eks_netcheck::run::judge::judge_facts;
use serde_json::Value;

use crate::common::{copy, facts_of, fixtures, scratch, story, subdirs};

/// A file with its new content, or without it.
struct Mutant {
    file: PathBuf,
    what: String,
    content: Option<Vec<u8>>,
}

/// The verdict on an evidence directory; `None` if it is refused (exit code 2).
fn verdict(dir: &Path) -> Option<Verdict> {
    Some(judge_facts(&facts_of(dir)?, &Policy::default(), Some(Some(Severity::High))).verdict)
}

/// The files of a directory.
fn files(dir: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { files.extend(self::files(&path)) } else { files.push(path) }
    }
    files.sort();
    files
}

/// The paths of all values below a JSON value.
fn pointers(value: &Value, at: &str, found: &mut Vec<String>) {
    let children: Vec<(String, &Value)> = match value {
        Value::Object(map) => map.iter().map(|(key, value)| (key.replace('/', "~1"), value)).collect(),
        Value::Array(list) => list.iter().enumerate().map(|(at, value)| (at.to_string(), value)).collect(),
        _ => Vec::new(),
    };
    for (key, child) in children {
        let pointer = format!("{at}/{key}");
        pointers(child, &pointer, found);
        found.push(pointer);
    }
}

fn remove(value: &mut Value, pointer: &str) {
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    match value.pointer_mut(parent).unwrap() {
        Value::Object(map) => {
            map.remove(&key.replace("~1", "/"));
        }
        Value::Array(list) => {
            list.remove(key.parse().unwrap());
        }
        _ => unreachable!("a parent"),
    }
}

/// The mutants of a JSON file: each value removed, null and emptied.
fn of_json(file: &Path, text: &[u8], stride: usize) -> Vec<Mutant> {
    let whole: Value = serde_json::from_slice(text).unwrap();
    let mut all = Vec::new();
    pointers(&whole, "", &mut all);
    let mut mutants = Vec::new();
    let mut count = 0;
    for pointer in all {
        let mut add = |what: &str, change: &dyn Fn(&mut Value)| {
            count += 1;
            if count % stride != 0 {
                return;
            }
            let mut value = whole.clone();
            change(&mut value);
            if value != whole {
                let content = Some(serde_json::to_vec(&value).unwrap());
                mutants.push(Mutant { file: file.to_owned(), what: format!("{what} {pointer}"), content });
            }
        };
        add("remove", &|value| remove(value, &pointer));
        add("null", &|value| *value.pointer_mut(&pointer).unwrap() = Value::Null);
        add("empty", &|value| {
            let value = value.pointer_mut(&pointer).unwrap();
            match value {
                Value::String(text) => text.clear(),
                Value::Array(list) => list.clear(),
                Value::Object(map) => map.clear(),
                _ => {}
            }
        });
    }
    mutants
}

/// The mutants of a text file: each line removed, and the file cut after each line and in
/// its middle.
fn of_text(file: &Path, text: &[u8]) -> Vec<Mutant> {
    let lines: Vec<_> = text.split_inclusive(|byte| *byte == b'\n').collect();
    let mut mutants = Vec::new();
    let mut add = |what: String, content: Vec<u8>| {
        mutants.push(Mutant { file: file.to_owned(), what, content: Some(content) });
    };
    for at in 0..lines.len() {
        add(format!("remove line {}", at + 1), [&lines[..at], &lines[at + 1..]].concat().concat());
        add(format!("cut before line {}", at + 1), lines[..at].concat());
        let half = &lines[at][..lines[at].len() / 2];
        add(format!("cut in line {}", at + 1), [lines[..at].concat(), half.to_vec()].concat());
        // The same, followed by the rest of the file.
        let rest = lines[at + 1..].concat();
        add(
            format!("shorten line {}", at + 1),
            [lines[..at].concat(), half.to_vec(), b"\n".to_vec(), rest].concat(),
        );
    }
    mutants
}

fn mutants(dir: &Path, stride: usize) -> Vec<Mutant> {
    let mut mutants = Vec::new();
    for path in files(dir) {
        let text = fs::read(&path).unwrap();
        let file = path.strip_prefix(dir).unwrap().to_owned();
        let mut add = |what: &str, content: Option<Vec<u8>>| {
            mutants.push(Mutant { file: file.clone(), what: what.to_owned(), content });
        };
        add("remove", None);
        add("empty", Some(Vec::new()));
        let is_json = path.extension().is_some_and(|extension| extension == "json");
        mutants.extend(if is_json {
            of_json(&file, &text, stride)
        } else {
            of_text(&file, &text).into_iter().step_by(stride.div_ceil(20)).collect()
        });
    }
    mutants
}

/// The mutants that pass although the whole evidence does not, by story, file and change.
fn improved(name: &str, dir: &Path, stride: usize) -> Vec<String> {
    let base = verdict(dir);
    if base == Some(Verdict::Pass) {
        return Vec::new();
    }
    let scratch = scratch();
    copy(dir, scratch.path());
    let mut improved = Vec::new();
    for Mutant { file, what, content } in mutants(dir, stride) {
        let path = scratch.path().join(&file);
        match content {
            Some(content) => fs::write(&path, content).unwrap(),
            None => fs::remove_file(&path).unwrap(),
        }
        if verdict(scratch.path()) == Some(Verdict::Pass) {
            improved.push(format!("{name}/{}: {what}", file.display()));
        }
        fs::copy(dir.join(&file), &path).unwrap();
    }
    improved
}

/// Mutants that pass and are right to: the change is another cluster, not less evidence.
fn is_right(mutant: &str) -> bool {
    const RIGHT: [(&str, &str); 2] = [
        (
            "ipv6/cluster.json: remove /cluster/resourcesVpcConfig/publicAccessCidrs/1",
            "without ::/0, the other block is narrow: that is another setting",
        ),
        (
            "decoy-enis/network-interfaces.json: remove /NetworkInterfaces/42",
            "without the interface of the pod, nothing shows that pods run on Fargate",
        ),
    ];
    RIGHT.iter().any(|(of, _)| mutant == *of)
}

#[test]
fn evidence_that_is_taken_away_never_improves_a_verdict() {
    let stride = if std::env::var("MUTANTS").is_ok_and(|value| value == "all") { 1 } else { 61 };
    let stories = subdirs(&fixtures().join("evidence")).into_iter().map(|name| (story(&name), name));
    let cases = subdirs(&fixtures().join("cases/reports"));
    let cases = cases.into_iter().map(|name| (fixtures().join("cases/reports").join(&name), name));
    let mut wrong: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (dir, name) in stories.chain(cases) {
        let improved = improved(&name, &dir, stride);
        let improved: Vec<_> = improved.into_iter().filter(|mutant| !is_right(mutant)).collect();
        if !improved.is_empty() {
            wrong.insert(name, improved);
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
