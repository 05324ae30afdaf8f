//! Completion scripts, as the shells run them, and manual pages, as their formatters read
//! them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::common::{Netcheck, scratch};

/// Runs a program of the tests' dependencies.
fn run(program: &str, args: &[&str]) -> Output {
    let ran = Command::new(program).args(args).output();
    ran.unwrap_or_else(|error| panic!("{program}: {error}; tests/run installs it"))
}

fn script(shell: &str, dir: &Path) -> PathBuf {
    let ran = Netcheck::new(["completions", shell]).run();
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{shell}");
    let file = dir.join(shell);
    fs::write(&file, ran.stdout).unwrap();
    file
}

/// What bash offers for the last of these words.
fn bash_completes(script: &Path, words: &[&str]) -> String {
    let code = r#"source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))
        "$(complete -p eks-netcheck | sed 's/.*-F \([^ ]*\).*/\1/')" eks-netcheck "${@: -1}" "${@: -2:1}"
        printf '%s\n' "${COMPREPLY[@]}""#;
    let args = [&["-c", code, "bash", script.to_str().unwrap()], words].concat();
    let ran = run("bash", &args);
    assert!(ran.status.success() && ran.stderr.is_empty(), "{ran:?}");
    String::from_utf8(ran.stdout).unwrap()
}

#[test]
fn bash_completes_commands_options_and_values() {
    let dir = scratch();
    let script = script("bash", dir.path());
    let offers = |words: &[&str]| bash_completes(&script, words);
    assert_eq!(offers(&["eks-netcheck", "sim"]), "simulate\n");
    assert_eq!(offers(&["eks-netcheck", "audit", "--fo"]), "--format\n");
    assert_eq!(offers(&["eks-netcheck", "audit", "--format", "sa"]), "sarif\n");
    assert_eq!(offers(&["eks-netcheck", "policy", "ch"]), "check\n");
    assert_eq!(offers(&["eks-netcheck", "reach", "--access"]), "\n");
}

#[test]
fn fish_completes_and_zsh_parses() {
    let dir = scratch();
    let fish = script("fish", dir.path());
    let code = format!("source {}; complete -C 'eks-netcheck audit --fo'", fish.display());
    let ran = run("fish", &["--no-config", "-c", &code]);
    assert!(ran.status.success(), "{ran:?}");
    assert!(String::from_utf8_lossy(&ran.stdout).starts_with("--format\t"), "{ran:?}");
    // Arguments that are no options, and no files where it is not a file.
    fs::write(dir.path().join("node-file"), "").unwrap();
    let offers = |typed: &str| {
        let code = format!("source {}; cd {}; complete -C '{typed}'", fish.display(), dir.path().display());
        let ran = run("fish", &["--no-config", "-c", &code]);
        assert!(ran.status.success() && ran.stderr.is_empty(), "{ran:?}");
        String::from_utf8(ran.stdout).unwrap()
    };
    let words = |typed: &str| -> Vec<String> {
        offers(typed).lines().map(|line| line.split('\t').next().unwrap().to_owned()).collect()
    };
    let rules = eks_netcheck::rules::ALL.iter().map(|rule| rule.id);
    let mut of_nodes: Vec<_> = rules.filter(|id| id.starts_with("node-")).collect();
    of_nodes.sort_unstable();
    assert_eq!(words("eks-netcheck explain node-"), of_nodes);
    assert!(offers("eks-netcheck explain node-o").contains("\tPrivate access is on, yet a node's "));
    assert_eq!(words("eks-netcheck completions z"), ["zsh"]);
    assert_eq!(words("eks-netcheck diff node-"), ["node-file"]);
    assert_eq!(words("eks-netcheck policy check node-"), ["node-file"]);
    assert!(words("eks-netcheck audit --format s").contains(&"sarif".to_owned()));
    let zsh = script("zsh", dir.path());
    let ran = run("zsh", &["-n", zsh.to_str().unwrap()]);
    assert!(ran.status.success() && ran.stderr.is_empty(), "{ran:?}");
}

#[test]
fn every_shell_has_a_script_and_no_other_word_is_one() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = Netcheck::new(["completions", shell]).run().stdout;
        for word in ["simulate", "explain-paths"] {
            assert!(script.contains(word), "{shell} lacks {word}");
        }
    }
    let ran = Netcheck::new(["completions", "tcsh"]).run();
    assert_eq!((ran.code, ran.stdout.as_str()), (2, ""));
}

#[test]
fn manual_pages_are_valid_and_contain_all_of_help() {
    let dir = scratch();
    let pages = dir.path().join("share/man1");
    let write = || Netcheck::new(["man", "--out"]).arg(&pages).run();
    let ran = write();
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    // A newer version writes over the pages of the last.
    assert_eq!(write().stdout, ran.stdout);
    let files: Vec<_> = fs::read_dir(&pages).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(ran.stdout.starts_with(&format!("wrote {} pages to ", files.len())), "{}", ran.stdout);
    for file in files {
        let path = file.to_str().unwrap();
        let ran = run("mandoc", &["-T", "lint", "-W", "error", path]);
        assert!(ran.status.success() && ran.stdout.is_empty(), "{path}: {ran:?}");
        let ran = run("groff", &["-man", "-Kutf8", "-Tutf8", "-ww", path]);
        assert!(ran.status.success() && ran.stderr.is_empty(), "{path}: {ran:?}");

        // The page that a command prints is the same one.
        let name = file.file_stem().unwrap().to_str().unwrap();
        let words = name.strip_prefix("eks-netcheck").unwrap().trim_start_matches('-');
        let command: Vec<_> = match words {
            "" => Vec::new(),
            "policy-init" | "policy-check" => words.split('-').collect(),
            _ => vec![words],
        };
        let printed = Netcheck::new(["man"].iter().chain(&command)).run();
        assert_eq!(printed.stdout, fs::read_to_string(&file).unwrap(), "{name}");

        let plain = plain_text(&run("mandoc", &["-T", "utf8", "-O", "width=400", path]).stdout);
        let help = Netcheck::new(command.iter().chain(&["--help"])).env("COLUMNS", "400").run().stdout;
        for line in help.lines().map(str::trim).filter(|line| line.starts_with("--")) {
            let option = line.split_whitespace().next().unwrap();
            assert!(plain.contains(option), "{name} lacks {option}");
        }
        // Examples and exit codes are not filled.
        let after = help.lines().skip_while(|line| !line.ends_with(':') || line.starts_with("Usage"));
        let kept =
            after.filter(|line| line.starts_with("  ") && line.trim_start().starts_with("eks-netcheck "));
        for line in kept {
            assert!(plain.lines().any(|of_page| of_page.trim() == line.trim()), "{name} lacks {line:?}");
        }
    }
}

/// The text of a page without overstriking, by which bold and italic are printed.
fn plain_text(page: &[u8]) -> String {
    let mut plain = String::new();
    for char in std::str::from_utf8(page).unwrap().chars() {
        if char == '\u{8}' {
            plain.pop();
        } else {
            plain.push(char);
        }
    }
    plain
}

#[test]
fn a_page_of_no_command_is_refused() {
    for args in [&["man", "adit"][..], &["man", "audit", "policy"], &["man", "audit", "--out", "x"]] {
        let ran = Netcheck::new(args).run();
        assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{args:?}");
    }
    let dir = scratch();
    fs::write(dir.path().join("file"), "").unwrap();
    let ran = Netcheck::new(["man", "--out"]).arg(dir.path().join("file")).run();
    assert_eq!(ran.code, 2);
    assert!(ran.stderr.contains("cannot create the directory"), "{}", ran.stderr);
}

/// The limit of a file's size stands in for a full disk: a part of a file can be written.
#[test]
fn a_page_that_cannot_be_written_is_left_as_it_was() {
    let dir = scratch();
    let mut shell = Command::new("bash");
    shell.args([
        "-c",
        "trap '' XFSZ; ulimit -f 1; exec \"$0\" man --out \"$1\"",
        env!("CARGO_BIN_EXE_eks-netcheck"),
    ]);
    let pages = dir.path().join("pages");
    fs::create_dir(&pages).unwrap();
    let page = pages.join("eks-netcheck.1");
    fs::write(&page, "before").unwrap();
    let output = shell.arg(&pages).output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(2), &b""[..]), "{stderr}");
    assert!(stderr.contains(&format!("cannot write to {}: File too large", page.display())), "{stderr}");
    assert_eq!(fs::read_to_string(page).unwrap(), "before");
    for entry in fs::read_dir(&pages).unwrap().map(|entry| entry.unwrap()) {
        let name = entry.file_name().into_string().unwrap();
        assert!(name.starts_with("eks-netcheck") && entry.metadata().unwrap().len() > 0, "{name}");
    }
}

#[test]
fn a_script_that_cannot_be_written_is_an_error() {
    let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let mut tool = Command::new(env!("CARGO_BIN_EXE_eks-netcheck"));
    let output = tool.args(["completions", "bash"]).stdout(full).output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    assert!(stderr.contains("cannot write to standard output: No space left on device"), "{stderr}");
}
