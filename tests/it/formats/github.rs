//! GitHub's annotations and job summary.

use std::fs;

use serde_json::json;

use super::written;
use crate::common::{Netcheck, copy_of, of_another_machine, scratch, story};

/// A story with many nodes like one of its own.
fn many_nodes(number: usize) -> tempfile::TempDir {
    let copy = copy_of("public-and-private-stale");
    let nodes = copy.path().join("nodes");
    let capture = fs::read_to_string(nodes.join("n1.txt")).unwrap();
    for at in 0..number {
        fs::write(nodes.join(format!("node-{at:04}.txt")), of_another_machine(&capture, at)).unwrap();
    }
    copy
}

/// GitHub shows ten annotations of each level: the answer is one of the notices, whatever else
/// there is, and takes no place of an error.
#[test]
fn the_answer_displaces_no_annotation() {
    let copy = many_nodes(30);
    let commands = written(copy.path(), "github", &[]);
    let of = |level: &str| commands.lines().filter(|line| line.starts_with(level)).collect::<Vec<_>>();
    assert_eq!(of("::error ").len(), 10, "{commands}");
    let notices = of("::notice ");
    assert!(
        notices[0].contains("node-traffic::myeks: node traffic: public on 31 of 32 nodes"),
        "{notices:?}"
    );
    assert!(notices.len() == 2 && notices[1].contains(" more are not shown here"), "{notices:?}");
    // With more notices than are shown, it is the first.
    let waiver = "[[waiver]]\nrule = \"node-on-public-path\"\nresource = \"*\"\nreason = \"r\"\nowner = \"o\"\nexpires = 9999-12-31\n";
    let policy = copy.path().join("eks-netcheck.toml");
    fs::write(&policy, waiver).unwrap();
    let commands = written(copy.path(), "github", &["--policy", policy.to_str().unwrap()]);
    let notices: Vec<_> = commands.lines().filter(|line| line.starts_with("::notice ")).collect();
    assert_eq!(notices.len(), 10, "{commands}");
    assert!(notices[0].contains("node-traffic") && notices[9].contains(" more are not shown"), "{notices:?}");
}

/// Verdict, threshold and answer come first; what is alike is one row, however many nodes there
/// are; what is no problem is folded.
#[test]
fn a_summary_of_a_thousand_nodes_is_short() {
    let copy = many_nodes(1000);
    // Some that fail with one cause, and some with another.
    let gap = |at: usize, detail: &str| {
        let name = format!("down-{at:03}");
        json!({ "what": format!("node {name}"), "why": "unreachable", "detail": format!("ssh: {name}: {detail}"), "hint": "see to it" })
    };
    let gaps: Vec<_> = (0..200)
        .map(|at| gap(at, if at < 150 { "permission denied (publickey)" } else { "connection timed out" }))
        .collect();
    fs::write(copy.path().join("manifest.json"), json!({ "gaps": gaps }).to_string()).unwrap();
    let summary = written(copy.path(), "markdown", &[]).replace('\\', "");
    assert!(summary.len() < 20_000, "{} bytes: {summary}", summary.len());
    let first: Vec<_> = summary.lines().filter(|line| !line.is_empty()).take(4).collect();
    assert_eq!(first[0], "## eks-netcheck: ❌ fail");
    assert!(first[2].starts_with("**1001 findings at or above high: node-on-public-path"), "{first:#?}");
    assert!(first[2].contains("; 1 medium"), "{first:#?}");
    assert!(first[3].starts_with("**Node traffic: public on 1001 of "), "{first:#?}");
    // n1, of which the DNS answer is known, and the others.
    assert_eq!(summary.lines().filter(|line| line.starts_with("| high |")).count(), 2, "{summary}");
    let (shown, folded) = summary.split_once("<details><summary>Details").unwrap();
    for (number, cause) in [(150, "ssh: the node: permission denied (publickey)"), (50, "timed out")] {
        let rows: Vec<_> =
            shown.lines().filter(|line| line.starts_with("- ") && line.contains(cause)).collect();
        assert_eq!(rows.len(), 1, "{rows:#?}");
        assert!(rows[0].starts_with(&format!("- {number} nodes: ")), "{rows:#?}");
    }
    assert!(shown.contains("Not seen, and needed:") && !shown.contains("1001 nodes: kubelet"), "{shown}");
    assert!(folded.contains("- 1001 nodes: kubelet and kube-proxy public: "), "{folded}");
    assert!(folded.contains("Not judged, without effect on the verdict:"), "{folded}");
    assert_eq!(summary.matches("<details").count(), summary.matches("</details>").count());
}

/// In GitHub Actions, annotations go to standard error and a summary to the step's
/// file, whatever the format on standard output.
#[test]
fn github_annotations_and_summary_are_written_automatically() {
    let dir = scratch();
    let summary = dir.path().join("summary.md");
    fs::write(&summary, "from a step before\n").unwrap();
    let path = summary.to_str().unwrap();
    let step = |path: &str| {
        let run = Netcheck::audit(&story("study-public"));
        run.env("GITHUB_ACTIONS", "true").env("GITHUB_STEP_SUMMARY", path)
    };
    let plain = Netcheck::audit(&story("study-public")).run();
    let ran = step(path).run();
    assert_eq!((ran.code, &ran.stdout), (plain.code, &plain.stdout));
    assert_eq!(ran.stderr, written(&story("study-public"), "github", &[]));
    let markdown = written(&story("study-public"), "markdown", &[]);
    assert_eq!(fs::read_to_string(&summary).unwrap(), format!("from a step before\n{markdown}"));
    // With --format github, annotations are not written twice.
    let ran = step(path).args(&["--format", "github"]).run();
    assert_eq!(ran.stderr, "");
    // Not with --no-ci, and not outside of GitHub Actions.
    fs::write(&summary, "").unwrap();
    for ran in [step(path).arg("--no-ci").run(), step(path).env("GITHUB_ACTIONS", "false").run()] {
        assert_eq!((ran.stderr.as_str(), &ran.stdout), ("", &plain.stdout));
    }
    assert_eq!(fs::read_to_string(&summary).unwrap(), "");
    // A summary that cannot be written does not change the exit code.
    let ran = step("/no/such/directory/summary").run();
    assert_eq!((ran.code, &ran.stdout), (plain.code, &plain.stdout));
    assert!(
        ran.stderr.starts_with("warning: cannot write to /no/such/directory/summary: "),
        "{}",
        ran.stderr
    );
    // A --write file that cannot be written leaves the other outputs complete, and is an
    // error whatever the verdict: other exit codes say that each report is whole.
    let ran = step(path).args(&["--write", "json=/dev/full"]).run();
    assert_eq!((ran.code, &ran.stdout), (2, &plain.stdout), "{}", ran.stderr);
    assert!(ran.stderr.contains("cannot write to /dev/full"), "{}", ran.stderr);
    assert!(!fs::read_to_string(&summary).unwrap().is_empty());
    let unseen = copy_of("private-only");
    fs::remove_dir_all(unseen.path().join("nodes")).unwrap();
    let other = || Netcheck::new(["audit", "--cluster", "other", "--evidence"]).arg(story("private-only"));
    assert_eq!(other().run().code, 4);
    for audit in
        [Netcheck::audit(&story("private-only")), Netcheck::audit(unseen.path()), other(), step(path)]
    {
        let ran = audit.args(&["--write", "json=/dev/full"]).run();
        assert_eq!(ran.code, 2, "{}", ran.stderr);
        assert!(ran.stderr.contains("cannot write to /dev/full"), "{}", ran.stderr);
    }
}
