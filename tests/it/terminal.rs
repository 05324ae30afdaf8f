//! Text for a terminal: its first and last lines, its colours, and commands that can be pasted.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::common::{Netcheck, copy_of, fixtures, scratch, story, subdirs};

/// All recordings of the fixtures that `audit` reads.
fn recordings() -> Vec<PathBuf> {
    let stories = subdirs(&fixtures().join("evidence")).into_iter().map(|name| story(&name));
    let rules = subdirs(&fixtures().join("rules")).into_iter();
    let rules = rules.flat_map(|id| {
        ["fires", "quiet", "unseen"].map(|kind| fixtures().join("rules").join(&id).join(kind))
    });
    stories.chain(rules).collect()
}

/// The commands of a report, each with its line feeds: what is indented below a line that ends
/// with a colon. The verdict, which is the first and the last paragraph, has none.
fn commands(text: &str) -> Vec<String> {
    let mut commands: Vec<String> = Vec::new();
    let (mut is_announced, mut is_continued) = (false, false);
    let (_, body) = text.split_once("\n\n").unwrap();
    let (body, _) = body.rsplit_once("\n\n").unwrap();
    for line in body.lines() {
        let is_indented = (6..=8).contains(&(line.len() - line.trim_start().len()));
        if is_continued && let Some(command) = commands.last_mut() {
            write!(command, "\n{line}").unwrap();
        } else if is_announced && is_indented {
            commands.push(line.to_owned());
        }
        is_continued = (is_continued || (is_announced && is_indented)) && line.ends_with('\\');
        is_announced = line.ends_with(':');
    }
    commands
}

/// Commands as a shell reads them, which does not run them.
fn parsed(shell: &str, commands: &[String]) -> BTreeSet<String> {
    let mut script = String::new();
    for (number, command) in commands.iter().enumerate() {
        writeln!(script, "f{number}() {{\n{command}\n}}").unwrap();
    }
    let dir = scratch();
    let file = dir.path().join("commands");
    fs::write(&file, &script).unwrap();
    let checked = Command::new(shell).arg("-n").arg(&file).output().unwrap();
    assert!(checked.status.success() && checked.stderr.is_empty(), "{shell}: {checked:?}\n{script}");
    let read = Command::new("bash").args(["-c", ". \"$0\"; declare -f"]).arg(&file).output().unwrap();
    let read = String::from_utf8(read.stdout).unwrap();
    let functions: BTreeSet<_> = read.split("\n}\n").filter_map(|one| one.split_once("{ \n")).collect();
    let functions: BTreeSet<_> = functions.into_iter().map(|(_, body)| body.to_owned()).collect();
    assert!(commands.is_empty() || !functions.is_empty(), "{script}");
    functions
}

/// The commands of the steps in the JSON report.
fn commands_of_steps(report: &Value) -> Vec<String> {
    let steps = report["findings"].as_array().unwrap().iter().filter(|finding| finding["waived"] != true);
    let steps = steps.flat_map(|finding| finding["steps"].as_array().into_iter().flatten());
    let commands = steps.flat_map(|step| [&step["command"], &step["check"]["command"]]);
    commands.filter_map(|command| Some(command.as_str()?.to_owned())).collect()
}

/// At every width, a shell reads each printed command as the words that it has in JSON.
#[test]
fn commands_can_be_pasted_at_every_width() {
    let (mut expected_at_all, mut printed_at_all, mut broken) = (0, 0, 0);
    for dir in recordings() {
        let (report, _) = Netcheck::audit(&dir).json();
        let expected = parsed("sh", &commands_of_steps(&report));
        expected_at_all += expected.len();
        let mut first: Option<BTreeSet<String>> = None;
        for width in ["200", "120", "80", "60"] {
            let name = format!("{} at {width}", dir.display());
            let ran = Netcheck::audit(&dir).env("COLUMNS", width).run();
            let printed = commands(&ran.stdout);
            let read = parsed("bash", &printed);
            let missing: Vec<_> = expected.difference(&read).collect();
            assert!(missing.is_empty(), "{name}: {missing:#?}\n{read:#?}");
            // The same at every width, also those of gaps, which JSON has as text.
            assert_eq!(*first.get_or_insert_with(|| read.clone()), read, "{name}");
            printed_at_all += printed.len();
            broken += printed.iter().filter(|command| command.contains('\n')).count();
        }
    }
    let numbers =
        format!("{expected_at_all} in JSON, {printed_at_all} printed, {broken} of them on several lines");
    assert!(expected_at_all > 100 && printed_at_all > 500 && broken > 100, "{numbers}");
}

/// The verdict and the answer are the first lines and the last ones.
#[test]
fn the_verdict_and_the_answer_are_the_last_lines_too() {
    for dir in recordings() {
        for args in [&[][..], &["--all"]] {
            let ran = Netcheck::audit(&dir).args(args).env("COLUMNS", "80").run();
            let (head, _) = ran.stdout.split_once("\n\n").unwrap();
            assert!(ran.stdout.ends_with(&format!("\n\n{head}\n")), "{}", ran.stdout);
            let word = head.split_whitespace().next().unwrap();
            assert!(["PASS", "FAIL", "INCONCLUSIVE"].contains(&word), "{head}");
            assert!(
                head.contains(" high") && head.contains('\n') && head.contains("node traffic: "),
                "{head}"
            );
        }
    }
}

#[test]
fn the_verdict_names_the_threshold_and_what_is_below_it() {
    for (fail_on, head) in [
        ("critical", "PASS  myeks: nothing at or above critical; 1 high, 1 medium\n"),
        ("high", "FAIL  myeks: 1 finding at or above high: node-on-public-path; 1 medium\n"),
        (
            "medium",
            "FAIL  myeks: 2 findings at or above medium: node-on-public-path, public-endpoint-enabled\n",
        ),
        ("never", "PASS  myeks: no finding fails this run (threshold: never); 1 high, 1 medium\n"),
    ] {
        let ran = Netcheck::audit(&story("public-and-private-stale")).args(&["--fail-on", fail_on]).run();
        assert!(ran.stdout.starts_with(head), "{}", ran.stdout);
    }
}

/// `--all` has every node, and the short form says how many lines that adds.
#[test]
fn the_number_of_lines_that_all_adds_is_said() {
    for dir in recordings() {
        let lines = |args: &[&str]| {
            let text = Netcheck::audit(&dir).args(args).env("COLUMNS", "200").run().stdout;
            (text.lines().count(), text)
        };
        let ((short, text), (all, _)) = (lines(&[]), lines(&["--all"]));
        let said = text.lines().find_map(|line| line.strip_prefix("--all adds ")?.split_once(" line"));
        let said: usize = said.map_or(0, |(number, _)| number.parse().unwrap());
        // The line that says so is not one of them.
        assert_eq!(short - usize::from(said > 0) + said, all, "{}: {text}", dir.display());
    }
}

/// Nodes that are alike are one line, and gaps with one cause are one with their nodes.
#[test]
fn many_nodes_are_grouped_by_what_is_wrong() {
    const NODES: usize = 300;
    let copy = copy_of("private-only");
    let mut gaps = Vec::new();
    for number in 0..NODES {
        let name = format!("ip-10-9-{}-{}.ap-northeast-2.compute.internal", number / 256, number % 256);
        if number % 25 == 0 {
            gaps.push(json!({
                "what": format!("node {name}"), "why": "login-refused",
                "detail": "permission denied (publickey)", "hint": format!("try by hand: ssh {name} true"),
            }));
            continue;
        }
        let mut text = "State Recv-Q Send-Q Local Address:Port Peer Address:Port Process\n".to_owned();
        for (process, peer) in [("kubelet", "192.168.1.55"), ("kube-proxy", "192.168.2.66")] {
            let local = format!("10.9.{}.{}:5000", number / 256, number % 256);
            writeln!(text, "ESTAB 0 0 {local} {peer}:443 users:((\"{process}\",pid=1,fd=2))").unwrap();
        }
        fs::write(copy.path().join(format!("nodes/{name}.txt")), text).unwrap();
    }
    fs::write(copy.path().join("manifest.json"), json!({"gaps": gaps}).to_string()).unwrap();
    let ran = Netcheck::audit(copy.path()).env("COLUMNS", "100").run();
    let words = ran.stdout.split_whitespace().collect::<Vec<_>>().join(" ");
    for text in [
        "INCONCLUSIVE myeks: could not judge everything at or above high: 12 nodes: permission denied (publickey)",
        "node traffic: private on 290 of 302 nodes, not known on 12 of 302 nodes",
        " 290 nodes: kubelet and kube-proxy private ",
        "- 12 nodes: permission denied (publickey): ip-10-9-0-0, ip-10-9-0-100, ip-10-9-0-125, ip-10-9-0-150, ip-10-9-0-175 and 7 more for the first: try by hand: ssh ip-10-9-0-0.ap-northeast-2.compute.internal true",
    ] {
        assert!(words.contains(text), "no {text} in {}", ran.stdout);
    }
    assert!(ran.stdout.lines().count() < 45, "{}", ran.stdout);
    let all = Netcheck::audit(copy.path()).arg("--all").run().stdout;
    assert!(all.lines().any(|line| line.starts_with("ip-10-9-1-43 ") && line.contains(" read ")), "{all}");
}

/// Text without its colours.
fn plain(text: &str) -> String {
    String::from_utf8(anstream::adapter::strip_bytes(text.as_bytes()).into_vec()).unwrap()
}

/// Colour is where it was asked for, and never in a file.
#[test]
fn colour_is_as_requested() {
    let out = scratch();
    let file = out.path().join("report.txt");
    let audit = |dir: &Path, args: &[&str], variables: &[(&str, &str)]| {
        let mut run = Netcheck::audit(dir).args(args).arg("--write").arg(format!("table={}", file.display()));
        for (name, value) in variables {
            run = run.env(name, value);
        }
        let ran = run.run();
        assert!(!fs::read_to_string(&file).unwrap().contains('\x1b'));
        ran.stdout
    };
    for (args, variables, is_coloured) in [
        (&[][..], &[][..], false),
        (&["--color", "always"], &[], true),
        (&["--color", "always"], &[("NO_COLOR", "1")], true),
        (&["--color", "auto"], &[("FORCE_COLOR", "1")], true),
        (&[], &[("FORCE_COLOR", "0")], false),
        (&[], &[("CLICOLOR_FORCE", "1")], true),
        (&[], &[("FORCE_COLOR", "1"), ("NO_COLOR", "1")], false),
        (&["--color", "never"], &[("FORCE_COLOR", "1")], false),
    ] {
        let text = audit(&story("private-only"), args, variables);
        assert_eq!(text.contains('\x1b'), is_coloured, "{args:?} {variables:?}");
    }
    // Colour changes nothing else, and hostile names have none.
    for dir in recordings() {
        for args in [&[][..], &["--all", "--explain-paths"]] {
            let with = audit(&dir, &[args, &["--color", "always"]].concat(), &[]);
            assert_eq!(plain(&with), audit(&dir, args, &[]), "{}", dir.display());
        }
    }
    let stale = audit(&story("public-and-private-stale"), &["--color", "always"], &[]);
    for painted in ["\x1b[31mpublic-endpoint\x1b[0m", "\x1b[1m\x1b[31mFAIL\x1b[0m", "\x1b[32mprivate\x1b[0m"]
    {
        assert!(stale.contains(painted), "{painted:?} in {stale:?}");
    }
    let hanging = audit(&story("endpoint-black-holed"), &["--color", "always"], &[]);
    assert!(hanging.contains("\x1b[31mSYN-SENT\x1b[0m"), "{hanging:?}");
}

#[test]
fn errors_are_coloured_as_requested() {
    for args in [&["audit", "--no-such-flag"][..], &["explain", "no-such-rule"], &["diff", "/none", "/none"]]
    {
        let ran = Netcheck::new(args).run();
        assert!(ran.code == 2 && ran.stderr.starts_with("error: "), "{}", ran.stderr);
        let coloured = Netcheck::new(["--color=always"]).args(args).run();
        assert!(coloured.stderr.starts_with("\x1b[1m\x1b[31merror:\x1b[0m "), "{:?}", coloured.stderr);
        assert_eq!(plain(&coloured.stderr), ran.stderr);
    }
}
