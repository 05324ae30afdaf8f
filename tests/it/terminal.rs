//! Text for a terminal: its first and last lines, its colours, and commands that can be pasted.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

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
            let (_, end) = ran.stdout.trim_end().rsplit_once("\n\n").unwrap();
            let word = head.split_whitespace().next().unwrap();
            assert!(["PASS", "FAIL", "INCONCLUSIVE"].contains(&word), "{head}");
            assert!(
                head.contains(" high") && head.contains('\n') && head.contains("node traffic: "),
                "{head}"
            );
            // The last lines have the number of gaps, and not again what they are.
            let traffic = |lines: &str| lines.find("node traffic: ").map(|at| lines[at..].to_owned());
            assert_eq!(traffic(end), traffic(head), "{}", ran.stdout);
            assert!(end.starts_with(word) && end.contains(" high"), "{}", ran.stdout);
            let is_short = end.lines().count() <= head.lines().count();
            assert!(is_short && end.len() <= head.len(), "{}", ran.stdout);
            assert!(word != "INCONCLUSIVE" || end.contains(" gap"), "{end}");
            assert!(word != "PASS" || end == head, "{}", ran.stdout);
        }
    }
}

/// A report that passes says which finding below the threshold is about the public path that it shows.
#[test]
fn a_verdict_that_passes_explains_traffic_that_is_public() {
    let dir = scratch();
    let waiver = "[[waiver]]\nrule = \"private-endpoint-disabled\"\nresource = \"*\"\nreason = \"r\"\nowner = \"o\"\nexpires = 9999-12-31\n";
    fs::write(dir.path().join("waiver.toml"), waiver).unwrap();
    fs::write(dir.path().join("off.toml"), "[rules]\nprivate-endpoint-disabled = \"off\"\n").unwrap();
    let public = "node traffic: public on 2 of 2 nodes";
    let reported = format!("{public}; reported by private-endpoint-disabled (medium)");
    for (args, traffic) in [
        (&[][..], format!("{reported}, below the threshold")),
        (&["--fail-on", "never"], format!("{reported}, and no finding fails this run")),
        (&["--fail-on", "medium"], public.to_owned()),
        (&["--policy", "waiver.toml"], format!("{reported}, which is waived")),
        (&["--policy", "off.toml"], public.to_owned()),
    ] {
        let audit = || Netcheck::audit(&story("exec-second-eni")).dir(dir.path()).args(args);
        let table = audit().run().stdout;
        let (words, line) = (table.split_whitespace().collect::<Vec<_>>().join(" "), format!(" {traffic} "));
        // In the first lines and the last ones.
        let is_said = words.contains(&line) && format!("{words} ").ends_with(&line);
        assert!(is_said, "no {traffic} in {table}");
        for format in ["markdown", "html", "github"] {
            let text = audit().args(&["--format", format]).run().stdout;
            let said = text.contains("reported by private-endpoint-disabled");
            assert_eq!(said, traffic.starts_with(&reported), "{format} {args:?}: {text}");
        }
    }
    let text = Netcheck::audit(&story("exec-second-eni")).run().stdout;
    assert!(
        text.starts_with("PASS  myeks: nothing at or above high; 2 medium below this threshold\n"),
        "{text}"
    );
}

#[test]
fn the_verdict_names_the_threshold_and_what_is_below_it() {
    for (fail_on, head) in [
        ("critical", "PASS  myeks: nothing at or above critical; 1 high, 1 medium below this threshold\n"),
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

/// `--all` has every node, and the short form says how many lines that adds: exactly, at every
/// width.
#[test]
fn the_number_of_lines_that_all_adds_is_said() {
    let mut said_at_all = 0;
    for dir in recordings() {
        for width in ["80", "120", "200"] {
            let lines = |args: &[&str]| {
                let text = Netcheck::audit(&dir).args(args).env("COLUMNS", width).run().stdout;
                (text.lines().count(), text)
            };
            let ((short, text), (all, _)) = (lines(&[]), lines(&["--all"]));
            let said = text.lines().find_map(|line| line.strip_prefix("--all adds ")?.split_once(" line"));
            match said.map(|(number, _)| number.parse::<usize>().unwrap()) {
                Some(number) => {
                    assert_eq!(short + number, all, "{} at {width}: {text}", dir.display());
                    said_at_all += 1;
                }
                // A line for a line would add nothing.
                None => assert!(all <= short + 1, "{} at {width}: {text}", dir.display()),
            }
        }
    }
    assert!(said_at_all > 100, "{said_at_all}");
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

/// Gaps that differ by addresses are one, and the rules that several depend on are named once.
#[test]
fn troubles_with_one_cause_are_one_line_whatever_the_addresses() {
    let copy = copy_of("private-only");
    let mut gaps = Vec::new();
    for number in 1..=40 {
        let (why, detail) = match number % 2 {
            0 => ("timed-out", "no answer within 30 s".to_owned()),
            _ => ("unreachable", format!("ssh: connect to host 10.9.0.{number} port 22: No route to host")),
        };
        let what = format!("node ip-10-9-0-{number}.ec2.internal");
        gaps.push(json!({"what": what, "why": why, "detail": detail, "hint": "pass --ssh-option"}));
    }
    fs::write(copy.path().join("manifest.json"), json!({"gaps": gaps}).to_string()).unwrap();
    let text = Netcheck::audit(copy.path()).env("COLUMNS", "80").run().stdout;
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    for part in [
        "- 20 nodes: for the first: ssh: connect to host 10.9.0.1 port 22: No route to host: ip-10-9-0-1, ",
        "- 20 nodes: no answer within 30 s: ip-10-9-0-10, ",
        "Inconclusive without it: the same 5 rules",
    ] {
        assert!(words.contains(part), "no {part} in {text}");
    }
    assert_eq!(words.matches("Inconclusive without it: node-on-public-path, ").count(), 1, "{text}");
    assert!(!text.contains("ADDRESS"), "{text}");
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

/// What clap says is coloured too, and what it quotes is escaped before: nothing that a user or a
/// variable of a pipeline passes reaches the terminal as it is.
#[test]
fn usage_errors_are_coloured_and_what_they_quote_is_escaped() {
    let hostile = "\u{1b}[8mhid\u{7}\u{202e}\rx\n::error::x";
    let option = format!("--{hostile}");
    for args in [
        &["audit", &option][..],
        &["audit", "--format", hostile],
        &["audit", "--timeout", hostile],
        &["audit", "--rule", hostile],
        &["audit", "--write", hostile, "--fail-on", "x"],
        &["simulate", "--client", hostile],
        &["reach", "--cluster", "x", "--from", hostile],
        &["explain", hostile],
        &[hostile],
        &["audit", "--evidence", hostile, "--cluster", hostile, "--all-clusters"],
        &["man", hostile],
        &["policy", "check", hostile],
    ] {
        let without = Netcheck::new(args).run();
        assert_eq!(without.code, 2, "{args:?}: {}", without.stderr);
        let with = Netcheck::new(["--color=always"]).args(args).run();
        for text in [&without.stderr, &plain(&with.stderr)] {
            let is_hostile = |char: char| (char.is_control() && char != '\n') || char == '\u{202e}';
            assert!(!text.contains(is_hostile), "{args:?}: {text:?}");
            assert!(!text.lines().any(|line| line.trim_start().starts_with("::")), "{args:?}: {text:?}");
        }
        assert!(!with.stderr.contains("\u{1b}[8m"), "{args:?}: {:?}", with.stderr);
        assert_eq!(plain(&with.stderr), without.stderr, "{args:?}");
        assert!(
            with.stderr.starts_with("\u{1b}[1m\u{1b}[31merror:\u{1b}[0m "),
            "{args:?}: {:?}",
            with.stderr
        );
    }
    let ran = Netcheck::new(["--color=always", "audit", "--formt", "json"]).run();
    for painted in ["\u{1b}[96mtip:", "\u{1b}[96m--format", "\u{1b}[33m--formt", "\u{1b}[92mUsage:"] {
        assert!(ran.stderr.contains(painted), "{painted:?} in {:?}", ran.stderr);
    }
}

#[test]
fn warnings_are_coloured_as_requested() {
    let warning = |args: &[&str]| {
        let run = Netcheck::audit(&story("private-only")).args(args).env("GITHUB_ACTIONS", "true");
        run.env("GITHUB_STEP_SUMMARY", "/none/\u{1b}[8m").run().stderr
    };
    let text = warning(&[]);
    assert!(text.contains("warning: cannot write to /none/\\u{1b}[8m: "), "{text:?}");
    let coloured = warning(&["--color", "always"]);
    assert!(coloured.contains("\u{1b}[1m\u{1b}[33mwarning:\u{1b}[0m cannot write"), "{coloured:?}");
    assert_eq!(plain(&coloured), text);
}

/// Standard output and standard error each have colour where it is a terminal itself.
#[test]
fn each_stream_is_coloured_by_its_own_terminal() {
    let dir = scratch();
    let (out, err) = (dir.path().join("out"), dir.path().join("err"));
    let run = |redirection: &str, variables: &[(&str, &str)]| {
        let binary = env!("CARGO_BIN_EXE_eks-netcheck");
        let evidence = story("private-only");
        let script = format!(
            "{binary} audit --evidence {0} {redirection}; {binary} explain nothing {redirection}; echo END",
            evidence.display()
        );
        // script(1) runs it on a terminal of its own.
        let mut command = Command::new("script");
        command.args(["--quiet", "--return", "--command", &script, "/dev/null"]).current_dir(dir.path());
        command.env_remove("NO_COLOR").env_remove("FORCE_COLOR").env_remove("CLICOLOR_FORCE");
        // In CI a dumb terminal has colour, as logs of CI have.
        command.env("TERM", "xterm-256color").env_remove("CLICOLOR").env_remove("CI").stdin(Stdio::null());
        command.envs(variables.iter().copied());
        let ran = command.output().unwrap();
        let screen = String::from_utf8(ran.stdout).unwrap().replace("\r\n", "\n");
        assert!(ran.status.success() && screen.contains("END"), "{screen}");
        screen
    };
    let read = |path: &Path| fs::read_to_string(path).unwrap();
    let screen = run(">> out", &[]);
    assert!(screen.contains("\u{1b}[31merror:") && !read(&out).contains('\u{1b}'), "{screen:?}");
    assert!(read(&out).contains("PASS"));
    let screen = run("2>> err", &[]);
    assert!(screen.contains("PASS") && screen.contains('\u{1b}'), "{screen:?}");
    assert!(read(&err).starts_with("error: "), "{:?}", read(&err));
    for variables in [
        &[("NO_COLOR", "1")][..],
        &[("NO_COLOR", "1"), ("FORCE_COLOR", "1")],
        &[("TERM", "dumb")],
        &[("TERM", "")],
        &[("TERM", ""), ("CLICOLOR", "0")],
    ] {
        let screen = run("", variables);
        assert!(!screen.contains('\u{1b}') && screen.contains("PASS"), "{variables:?}: {screen:?}");
    }
    // A terminal without a name has colour where a dumb one has.
    for variable in [("CI", "true"), ("CLICOLOR", "1"), ("CLICOLOR_FORCE", "1"), ("FORCE_COLOR", "1")] {
        for term in ["", "dumb"] {
            let screen = run("", &[("TERM", term), variable]);
            assert!(screen.contains("\u{1b}[31merror:"), "{term:?} {variable:?}: {screen:?}");
        }
    }
    for variables in [[("FORCE_COLOR", "1")], [("CLICOLOR_FORCE", "1")]] {
        run("> out 2> err", &variables);
        assert!(read(&out).is_empty() && read(&err).contains("\u{1b}[31merror:"), "{:?}", read(&err));
    }
}

/// A terminal whose size was set in part has columns and no rows.
#[test]
fn the_width_is_that_of_a_terminal_without_rows() {
    for columns in [60, 140] {
        let mut command = std::process::Command::new("sh");
        let run = format!("stty rows 0 cols {columns}; exec \"$@\"");
        command.args(["-c", &run, "sh", env!("CARGO_BIN_EXE_eks-netcheck"), "diff"]);
        command.args([story("study-public"), story("private-only")]).env("TERM", "dumb");
        command.env("PATH", std::env::var_os("PATH").unwrap());
        let (_, screen) = crate::pty::Pty::run(&command).end();
        let expected = Netcheck::diff(&story("study-public"), &story("private-only"));
        let expected = expected.env("COLUMNS", &columns.to_string()).run().stdout;
        assert_eq!(screen.replace('\r', ""), expected, "{columns}");
    }
}
