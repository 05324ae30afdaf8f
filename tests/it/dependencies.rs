//! The dependency rules of `src/lib.rs`, checked by reading the source: which module may
//! use which, which crates belong to which module, and that no files import each other
//! in a circle.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::common::root;

/// The modules that each top-level module may use.
const MAY_USE: [(&str, &[&str]); 15] = [
    ("main", &[]),
    ("lib", &[]),
    ("cli", &["cli", "model", "report", "rules"]),
    (
        "run",
        &[
            "capture", "classify", "cleanup", "cli", "collect", "evidence", "messages", "model", "policy",
            "report", "rules", "run", "signals",
        ],
    ),
    ("collect", &["capture", "cleanup", "collect", "evidence", "messages", "model", "signals"]),
    ("evidence", &["capture", "cleanup", "evidence", "model"]),
    ("capture", &["capture", "model"]),
    ("classify", &["classify", "model", "steps"]),
    ("rules", &["model", "rules", "steps"]),
    ("steps", &["model"]),
    ("policy", &["model", "policy"]),
    ("report", &["model", "report"]),
    ("messages", &["report"]),
    ("signals", &["cleanup", "signals"]),
    ("cleanup", &["cleanup"]),
];

/// Paths of crates that only some top-level modules may use.
const ONLY_IN: [(&str, &[&str]); 43] = [
    ("anyhow", &["run"]),
    ("aws_sdk", &["collect"]),
    ("aws_config", &["collect"]),
    ("aws_sigv4", &["collect"]),
    ("aws_smithy", &["collect"]),
    ("aws_types", &["collect"]),
    ("clap::", &["cli", "main"]),
    ("clap_complete", &["cli"]),
    ("clap_mangen", &["cli"]),
    ("comfy_table", &["report"]),
    ("flate2", &["collect", "evidence"]),
    ("futures_util", &["collect"]),
    ("glob::", &["policy"]),
    ("hickory_", &["collect"]),
    ("hyper::", &["collect"]),
    ("hyper_util", &["collect"]),
    ("indicatif", &["collect"]),
    ("io::stdout", &["run"]),
    ("io::stderr", &["collect", "run", "signals"]),
    ("tar::", &["evidence"]),
    ("jiff", &["cli", "collect", "policy", "report", "run"]),
    ("Timestamp::now", &["collect", "run"]),
    ("SystemTime::now", &[]),
    ("process::Command", &["collect"]),
    ("minijinja", &["report"]),
    ("quick_junit", &["report"]),
    ("rustix", &["cleanup", "collect", "evidence", "run", "signals"]),
    ("rustls", &["collect"]),
    ("rustls_native_certs", &["collect"]),
    ("schemars", &["evidence", "policy", "report"]),
    ("serde_json", &["collect", "evidence", "report"]),
    // The path of the executable is not from the environment.
    ("std::env::args", &["main", "run"]),
    ("std::env::current_dir", &["main", "run"]),
    ("std::env::var", &["main", "run"]),
    ("use std::env", &["main", "run"]),
    ("signal_hook", &["signals"]),
    ("std::fs", &["cleanup", "collect", "evidence", "run", "signals"]),
    ("thiserror", &["capture", "collect", "evidence"]),
    ("tokio::", &["collect"]),
    ("toml::", &["policy"]),
    ("tracing", &["collect"]),
    ("uuid", &["report"]),
    ("webpki_root_certs", &["collect"]),
];

/// A source file without its comments and tests.
struct Source {
    /// Its path below `src`.
    path: PathBuf,
    /// Its module path: `capture::line`; `main` and `lib` for the crate roots.
    module: String,
    code: String,
}

impl Source {
    fn top(&self) -> &str {
        self.module.split("::").next().unwrap()
    }
}

fn sources() -> Vec<Source> {
    fn find(dir: &Path, files: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                find(&path, files);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    let src = root().join("src");
    let mut files = Vec::new();
    find(&src, &mut files);
    files.sort();
    let source = |file: PathBuf| {
        let path = file.strip_prefix(&src).unwrap().to_owned();
        let module = path.with_extension("").to_str().unwrap().replace('/', "::");
        let module = module.strip_suffix("::mod").unwrap_or(&module).to_owned();
        let text = std::fs::read_to_string(&file).unwrap();
        let lines = text.lines().take_while(|line| *line != "#[cfg(test)]");
        let code: Vec<_> = lines.filter(|line| !line.trim_start().starts_with("//")).collect();
        Source { path, module, code: code.join("\n") }
    };
    files.into_iter().map(source).collect()
}

/// The words in a piece of code.
fn word_at(code: &str) -> &str {
    let end = code.find(|char: char| !char.is_ascii_alphanumeric() && char != '_').unwrap_or(code.len());
    &code[..end]
}

#[test]
fn modules_use_only_what_they_may() {
    let sources = sources();
    for source in &sources {
        let top = source.top();
        let may: &[&str] = match MAY_USE.iter().find(|(name, _)| *name == top) {
            Some((_, may)) => may,
            None if top == "model" => &["model"],
            None => panic!("src/{top} has no dependency rule: add one to MAY_USE"),
        };
        for used in source.code.split("crate::").skip(1).map(word_at) {
            assert!(may.contains(&used), "src/{} uses crate::{used}", source.path.display());
        }
    }
    for (top, _) in MAY_USE {
        assert!(sources.iter().any(|source| source.top() == top), "src/{top} has a rule and does not exist");
    }
}

#[test]
fn crates_are_used_only_where_they_belong() {
    for source in sources() {
        for (path, may) in ONLY_IN {
            assert!(
                may.contains(&source.top()) || !source.code.contains(path),
                "src/{} uses {path}",
                source.path.display()
            );
        }
    }
}

#[test]
fn rules_do_not_use_each_other() {
    for source in sources().iter().filter(|source| source.top() == "rules") {
        for rule in eks_netcheck::rules::ALL {
            let module = rule.id.replace('-', "_");
            let is_own = source.module == "rules" || source.module == format!("rules::{module}");
            assert!(
                is_own || !source.code.contains(&format!("{module}::")),
                "src/{} uses {module}",
                source.path.display()
            );
        }
    }
}

/// The paths that a file names: those of its `use` declarations with their braces
/// expanded, and those that begin with `crate`, `super`, `self` or one of its child modules.
fn paths(source: &Source) -> BTreeSet<String> {
    let code = &source.code;
    let children: Vec<_> = code
        .lines()
        .filter_map(|line| line.trim_start().split_once("mod "))
        .filter(|(before, _)| before.is_empty() || before.starts_with("pub"))
        .filter_map(|(_, rest)| rest.trim_end().strip_suffix(';'))
        .collect();
    let mut paths = BTreeSet::new();
    for first in ["crate", "super", "self"].into_iter().chain(children) {
        let pattern = format!("{first}::");
        for (at, _) in code.match_indices(&pattern) {
            let is_whole_word =
                !code[..at].ends_with(|char: char| char.is_ascii_alphanumeric() || "_:".contains(char));
            if is_whole_word {
                expand(first, &code[at + first.len()..], &mut paths);
            }
        }
    }
    paths
}

/// Adds the paths that `rest`, which begins with `::`, continues `path` with. Returns
/// what follows them.
fn expand<'a>(path: &str, rest: &'a str, paths: &mut BTreeSet<String>) -> &'a str {
    let Some(rest) = rest.strip_prefix("::") else {
        paths.insert(path.to_owned());
        return rest;
    };
    let Some(mut rest) = rest.strip_prefix('{') else {
        let word = word_at(rest);
        return expand(&format!("{path}::{word}"), &rest[word.len()..], paths);
    };
    loop {
        rest = rest.trim_start_matches(|char: char| char.is_whitespace() || char == ',');
        if let Some(rest) = rest.strip_prefix('}') {
            return rest;
        }
        let word = word_at(rest);
        if word.is_empty() {
            return rest;
        }
        rest = expand(&format!("{path}::{word}"), &rest[word.len()..], paths);
        if let Some(alias) = rest.strip_prefix(" as ") {
            rest = &alias[word_at(alias).len()..];
        }
    }
}

/// The file that a path in a file leads to: the longest prefix of it that is a module.
fn resolve(path: &str, from: &str, modules: &BTreeSet<&str>) -> Option<String> {
    let mut words: Vec<_> = path.split("::").collect();
    let mut base: Vec<&str> = from.split("::").collect();
    match words[0] {
        "crate" => base.clear(),
        "self" => {}
        "super" => {
            base.pop();
        }
        _ => words.insert(0, "self"),
    }
    words.remove(0);
    while words.first() == Some(&"super") {
        words.remove(0);
        base.pop();
    }
    base.extend(words);
    while !base.is_empty() {
        let module = base.join("::");
        if modules.contains(module.as_str()) {
            return Some(module);
        }
        base.pop();
    }
    None
}

#[test]
fn no_files_import_each_other_in_a_circle() {
    let sources = sources();
    let modules: BTreeSet<_> = sources.iter().map(|source| source.module.as_str()).collect();
    let mut imports: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for source in &sources {
        let resolved = paths(source).into_iter().filter_map(|path| resolve(&path, &source.module, &modules));
        imports.insert(&source.module, resolved.filter(|module| *module != source.module).collect());
    }
    assert!(imports["rules"].len() > 10 && imports["run"].len() > 5, "imports are found: {imports:?}");
    // Files that import nothing that is left are removed until only circles remain.
    loop {
        let free: Vec<_> = imports.iter().filter(|(_, to)| to.is_empty()).map(|(from, _)| *from).collect();
        if free.is_empty() {
            break;
        }
        for module in free {
            imports.remove(module);
            for to in imports.values_mut() {
                to.remove(module);
            }
        }
    }
    // What only leads into a circle is not part of one.
    loop {
        let targets: BTreeSet<_> = imports.values().flatten().cloned().collect();
        let before = imports.len();
        imports.retain(|from, _| targets.contains(*from));
        if imports.len() == before {
            break;
        }
    }
    assert!(imports.is_empty(), "these files import each other in a circle: {imports:#?}");
}
