//! `--help` as it is read and used: its width, its headings, and its examples, which a shell
//! and the tool accept.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::process::Command;

use crate::common::{Netcheck, copy_of, scratch};

/// All commands, each by its words.
const COMMANDS: [&[&str]; 18] = [
    &[],
    &["audit"],
    &["collect"],
    &["trace"],
    &["simulate"],
    &["diff"],
    &["reach"],
    &["iam-policy"],
    &["ssm-document"],
    &["rbac"],
    &["explain"],
    &["init"],
    &["policy"],
    &["policy", "init"],
    &["policy", "check"],
    &["completions"],
    &["man"],
    &["help", "audit"],
];

fn help(command: &[&str], option: &str, width: &str) -> String {
    let args: Vec<_> =
        if command.first() == Some(&"help") { command.to_vec() } else { [command, &[option]].concat() };
    let ran = Netcheck::new(args).env("COLUMNS", width).run();
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{command:?}");
    ran.stdout
}

/// The commands below `Examples:`, as a shell reads them.
fn examples(help: &str) -> String {
    let lines = help.lines().skip_while(|line| *line != "Examples:").skip(1);
    lines.take_while(|line| line.starts_with("  ")).collect::<Vec<_>>().join("\n")
}

/// The arguments with which a shell would run the tool, for each time that it would.
fn arguments(script: &str, dir: &Path) -> Vec<Vec<OsString>> {
    let file = dir.join("arguments");
    fs::write(&file, "").unwrap();
    // Other programs and their input do not matter.
    let code = format!(
        "eks-netcheck() {{ {{ printf '%s\\0' eks-netcheck \"$@\"; printf '\\n\\0'; }} >> \"$FILE\"; }}
        aws() {{ :; }}; kubectl() {{ :; }}; ssh() {{ :; }}; terraform() {{ :; }}; man() {{ cat > /dev/null; }}; less() {{ :; }}
        set -eu
        {script}
"
    );
    let ran = Command::new("bash")
        .args(["-c", &code])
        .env("FILE", &file)
        .env("HOME", dir)
        .current_dir(dir)
        .output();
    let ran = ran.unwrap();
    assert!(ran.status.success() && ran.stderr.is_empty(), "{ran:?}\n{script}");
    let words = fs::read_to_string(&file).unwrap();
    let runs = words.split_terminator("\n\0");
    runs.map(|run| run.split_terminator('\0').map(OsString::from).collect()).collect()
}

#[test]
fn every_example_is_accepted_as_it_is_printed() {
    let mut number = 0;
    for command in COMMANDS {
        let (dir, mut first) = (scratch(), None);
        for width in ["60", "80", "200"] {
            let script = examples(&help(command, "--help", width));
            let runs = arguments(&script, dir.path());
            assert!(!runs.is_empty() || command == ["policy"], "{command:?} has no example");
            for run in &runs {
                let parsed = eks_netcheck::cli::parse(run.clone());
                assert!(parsed.is_ok(), "{run:?}: {:?}", parsed.err());
            }
            number += runs.len();
            // A narrow terminal breaks no command.
            assert_eq!(*first.get_or_insert_with(|| runs.clone()), runs, "{command:?} at {width}");
        }
    }
    assert!(number > 90, "{number}");
}

/// Those that need neither AWS nor nodes end as they should, in a directory with a recording.
#[test]
fn examples_of_recordings_run() {
    let mut number = 0;
    for command in COMMANDS {
        let script = examples(&help(command, "--help", "80"));
        for run in arguments(&script, scratch().path()) {
            let is_live = run.iter().any(|arg| arg == "--cluster" || arg == "--all-clusters");
            let args: Vec<_> = run.iter().skip(1).map(|arg| arg.to_str().unwrap()).collect();
            if is_live || args.contains(&"-") && args[0] == "diff" || args.contains(&"n1") {
                continue;
            }
            let dir = scratch();
            for name in ["evidence", "before", "after"] {
                fs::rename(copy_of("study-public").keep(), dir.path().join(name)).unwrap();
            }
            if args.contains(&"check") {
                assert_eq!(Netcheck::new(["policy", "init"]).dir(dir.path()).run().code, 0);
            }
            let home = dir.path().to_str().unwrap();
            let ran = Netcheck::new(&args).dir(dir.path()).env("HOME", home).run();
            assert!([0, 1, 3].contains(&ran.code), "{args:?}: {} {}", ran.code, ran.stderr);
            number += 1;
        }
    }
    assert!(number > 15, "{number}");
}

/// On 80 columns no line is longer, and no word of a paragraph is alone on a line.
#[test]
fn help_fits_a_terminal() {
    for command in COMMANDS {
        for option in ["-h", "--help"] {
            let text = help(command, option, "80");
            let long: Vec<_> = text.lines().filter(|line| line.chars().count() > 80).collect();
            assert!(long.is_empty(), "{command:?} {option}: {long:#?}");
            let lines: Vec<_> = text.lines().collect();
            for window in lines.windows(3) {
                let is_alone = window[0].len() > 60 && window[1].split_whitespace().count() == 1;
                let goes_on =
                    !window[2].is_empty() && !window[2].starts_with(' ') && !window[1].starts_with(' ');
                assert!(!(is_alone && goes_on && !window[1].is_empty()), "{command:?} {option}: {window:#?}");
            }
        }
    }
}

/// Options stand below headings, each of which a command has once; the last ones are those
/// that every command has.
#[test]
fn options_are_grouped() {
    let headings = |text: &str| -> Vec<String> {
        let heading = |line: &&str| line.ends_with(':') && !line.starts_with([' ', '-']) && line.len() < 40;
        text.lines().filter(heading).map(ToOwned::to_owned).collect()
    };
    assert_eq!(
        headings(&help(&["audit"], "--help", "80")),
        [
            "What to audit:",
            "AWS:",
            "Nodes:",
            "DNS, probes and time limits:",
            "Judging:",
            "Output:",
            "Options:",
            "Examples:",
            "Exit codes:"
        ]
    );
    for command in COMMANDS {
        for option in ["-h", "--help"] {
            let text = help(command, option, "80");
            let all = headings(&text);
            assert_eq!(BTreeSet::from_iter(&all).len(), all.len(), "{command:?}: {all:?}");
            let options = text.split_once("\nOptions:\n").map(|(_, rest)| rest).unwrap();
            assert!(options.contains("-h, --help") && options.contains("--color"), "{command:?}: {options}");
        }
    }
}

#[test]
fn short_help_is_short() {
    for (command, most) in [("audit", 90), ("collect", 60), ("trace", 80), ("simulate", 75), ("reach", 65)] {
        let (short, long) = (help(&[command], "-h", "80"), help(&[command], "--help", "80"));
        let lines = short.lines().count();
        assert!(lines <= most && 5 * lines < 2 * long.lines().count(), "{command}: {lines}");
        assert!(!short.contains("Examples:") && short.contains("(see more with '--help')"), "{command}");
        assert!(long.contains("(see a summary with '-h')"), "{command}");
    }
}

#[test]
fn options_of_a_duration_say_how_it_is_written() {
    let mut number = 0;
    for command in COMMANDS {
        let text = help(command, "--help", "400");
        let mut lines = text.lines();
        while let Some(line) = lines.next() {
            if !line.contains("<DURATION>") {
                continue;
            }
            let option = lines.next().unwrap();
            assert!(option.contains("(second"), "{command:?} {line}: {option}");
            assert!(option.contains(" or 5m; ") && option.contains("1h"), "{command:?} {line}: {option}");
            number += 1;
        }
    }
    assert!(number >= 7, "{number}");
}
