//! Which room may look into which: the plan in `src/lib.rs`, held by reading
//! the source.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::common::root;

/// What each room may name behind `crate::`.
const MAY_SEE: [(&str, &[&str]); 11] = [
    ("main", &[]),
    ("lib", &[]),
    ("cli", &["model"]),
    ("run", &["classify", "cli", "collect", "exit", "history", "model", "policy", "report", "rules"]),
    ("collect", &["collect", "model"]),
    ("history", &["model"]),
    ("classify", &["classify", "history", "model"]),
    ("rules", &["model"]),
    ("policy", &["model"]),
    ("exit", &["model"]),
    ("report", &["model"]),
];

/// Words that belong to some rooms only.
const BELONGS: [(&str, &[&str]); 24] = [
    ("aws_sdk", &["collect"]),
    ("aws_config", &["collect"]),
    ("hickory_", &["collect"]),
    ("tokio::", &["collect", "run", "main"]),
    ("clap::", &["cli", "main"]),
    ("process::Command", &["collect", "run"]),
    ("SystemTime::now", &["collect"]),
    ("std::fs", &["collect", "run"]),
    ("File::open", &["collect"]),
    ("std::env", &["run"]),
    ("io::stdout", &["run"]),
    ("comfy_table", &["report"]),
    ("schemars", &["policy", "report"]),
    ("anyhow", &["collect", "exit", "run"]),
    ("aws_smithy", &["collect"]),
    ("indicatif", &["collect"]),
    ("jiff", &["cli", "policy", "run"]),
    ("rustix", &["collect", "run"]),
    ("quick_junit", &["report"]),
    ("uuid", &["report"]),
    ("toml::", &["policy"]),
    ("glob::", &["policy"]),
    ("tracing", &["collect", "run"]),
    ("serde_json", &["collect", "report"]),
];

fn sources(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// The source by room, comments left out.
fn rooms() -> BTreeMap<String, Vec<(PathBuf, String)>> {
    let src = root().join("src");
    let mut files = Vec::new();
    sources(&src, &mut files);
    let mut rooms: BTreeMap<String, Vec<(PathBuf, String)>> = BTreeMap::new();
    for file in files {
        let inside = file.strip_prefix(&src).unwrap();
        let room = inside.components().next().unwrap().as_os_str().to_str().unwrap().trim_end_matches(".rs");
        let code = std::fs::read_to_string(&file).unwrap();
        let code: Vec<_> = code.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
        rooms.entry(room.to_owned()).or_default().push((inside.to_owned(), code.join("\n")));
    }
    rooms
}

/// The room that each `crate::` in a file names.
fn named(code: &str) -> Vec<&str> {
    let behind = code.split("crate::").skip(1);
    behind
        .map(|rest| rest.split(|char: char| !char.is_ascii_alphanumeric() && char != '_').next().unwrap())
        .collect()
}

#[test]
fn rooms_look_where_they_may() {
    let rooms = rooms();
    for (room, files) in &rooms {
        let may: &[&str] = match MAY_SEE.iter().find(|(name, _)| name == room) {
            Some((_, may)) => may,
            None if room == "model" => &["model"],
            None => panic!("src/{room} is not in the plan: write into MAY_SEE what it may look at"),
        };
        for (file, code) in files {
            for name in named(code) {
                assert!(may.contains(&name), "src/{} looks at crate::{name}", file.display());
            }
        }
    }
    for (room, _) in MAY_SEE {
        assert!(rooms.contains_key(room), "the plan names src/{room}, which is not there");
    }
}

#[test]
fn words_stay_in_their_rooms() {
    for (room, files) in rooms() {
        for (file, code) in files {
            for (word, may) in BELONGS {
                assert!(
                    may.contains(&room.as_str()) || !code.contains(word),
                    "src/{} says {word}",
                    file.display()
                );
            }
        }
    }
}

#[test]
fn rules_know_no_other_rule() {
    for (file, code) in &rooms()["rules"] {
        let inside = file.file_stem().unwrap().to_str().unwrap();
        for rule in eks_netcheck::rules::ALL {
            let module = rule.id.replace('-', "_");
            let names_it = code.contains(&format!("{module}::"));
            assert!(
                inside == "mod" || inside == module || !names_it,
                "src/{} looks at {module}",
                file.display()
            );
        }
    }
}
