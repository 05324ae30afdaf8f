//! Which modules may depend on which modules and crates: the layout described in
//! `src/lib.rs`, checked by reading the source.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::common::root;

/// The modules that each top-level module may name after `crate::`.
const ALLOWED_MODULES: [(&str, &[&str]); 11] = [
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

/// Crates and functions that only some modules may use.
const RESTRICTED: [(&str, &[&str]); 24] = [
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

/// The source files by top-level module, without comments.
fn modules() -> BTreeMap<String, Vec<(PathBuf, String)>> {
    let src = root().join("src");
    let mut files = Vec::new();
    sources(&src, &mut files);
    let mut modules: BTreeMap<String, Vec<(PathBuf, String)>> = BTreeMap::new();
    for file in files {
        let path = file.strip_prefix(&src).unwrap();
        let module = path.components().next().unwrap().as_os_str().to_str().unwrap().trim_end_matches(".rs");
        let code = std::fs::read_to_string(&file).unwrap();
        let code: Vec<_> = code.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
        modules.entry(module.to_owned()).or_default().push((path.to_owned(), code.join("\n")));
    }
    modules
}

/// The modules that a file names after `crate::`.
fn dependencies(code: &str) -> Vec<&str> {
    let paths = code.split("crate::").skip(1);
    paths
        .map(|rest| rest.split(|char: char| !char.is_ascii_alphanumeric() && char != '_').next().unwrap())
        .collect()
}

#[test]
fn dependency_rules_hold() {
    let modules = modules();
    for (module, files) in &modules {
        let allowed: &[&str] = match ALLOWED_MODULES.iter().find(|(name, _)| name == module) {
            Some((_, allowed)) => allowed,
            None if module == "model" => &["model"],
            None => {
                panic!("src/{module} has no entry in ALLOWED_MODULES: add the modules that it may depend on")
            }
        };
        for (file, code) in files {
            for name in dependencies(code) {
                assert!(allowed.contains(&name), "src/{} depends on crate::{name}", file.display());
            }
        }
    }
    for (module, _) in ALLOWED_MODULES {
        assert!(modules.contains_key(module), "ALLOWED_MODULES names src/{module}, which does not exist");
    }
}

#[test]
fn crates_are_used_only_in_their_modules() {
    for (module, files) in modules() {
        for (file, code) in files {
            for (item, allowed) in RESTRICTED {
                assert!(
                    allowed.contains(&module.as_str()) || !code.contains(item),
                    "src/{} uses {item}",
                    file.display()
                );
            }
        }
    }
}

#[test]
fn rules_do_not_depend_on_each_other() {
    for (file, code) in &modules()["rules"] {
        let own = file.file_stem().unwrap().to_str().unwrap();
        for rule in eks_netcheck::rules::ALL {
            let module = rule.id.replace('-', "_");
            let is_used = code.contains(&format!("{module}::"));
            assert!(own == "mod" || own == module || !is_used, "src/{} uses {module}", file.display());
        }
    }
}
