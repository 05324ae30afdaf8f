//! `diff`: two recordings compared.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::common::{Netcheck, copy_of, fixtures, scratch, story};

/// A capture from a real cluster, by the moment at which it was taken.
fn capture(moment: &str) -> PathBuf {
    fixtures().join("ss/kubernetes").join(moment).join("ss_-tnp.txt")
}

/// The changes that are not in the background, as `node process peer path change`.
fn changes(report: &Value) -> Vec<String> {
    let foreground =
        report["changes"].as_array().unwrap().iter().filter(|change| change["background"] == false);
    let word = |change: &Value, field: &str| change[field].as_str().unwrap_or("-").to_owned();
    foreground
        .map(|change| {
            ["node", "process", "peer", "path", "change"].map(|field| word(change, field)).join(" ")
        })
        .collect()
}

#[test]
fn an_exec_adds_one_connection_from_an_eni_and_two_over_loopback() {
    let (report, code) = Netcheck::diff(&story("study-public"), &story("study-exec")).json();
    crate::docs::is_valid_trace(&report);
    assert_eq!(code, 0);
    let expected = [
        "n1 containerd 127.0.0.1:52886 loopback appeared",
        "n1 kubelet 127.0.0.1:38671 loopback appeared",
        "n1 kubelet 192.168.1.55:49956 private-eni appeared",
    ];
    assert_eq!(changes(&report), expected);
    let exec = report["changes"].as_array().unwrap().iter().find(|change| change["path"] == "private-eni");
    assert_eq!(exec.unwrap()["eni"], "eni-077ce071c27ecbaab");
    assert_eq!(exec.unwrap()["direction"], "inbound");
    assert_eq!((&report["command"], &report["cluster"]), (&Value::Null, &Value::from("myeks")));
    assert_eq!(report["gaps"], Value::from(Vec::<Value>::new()));
    // The reverse: the same connections are gone.
    let (report, _) = Netcheck::diff(&story("study-exec"), &story("study-public")).json();
    let expected = expected.map(|change| change.replace("appeared", "gone"));
    assert_eq!(changes(&report), expected);
}

#[test]
fn identical_recordings_have_no_changes() {
    let (report, code) = Netcheck::diff(&story("study-public"), &story("study-public")).json();
    assert_eq!((&report["changes"], code), (&Value::from(Vec::<Value>::new()), 0));
    assert_eq!(report["unchanged"], 6);
    let ran = Netcheck::diff(&story("study-public"), &story("study-public")).run();
    assert!(ran.stdout.starts_with("myeks: no change was seen"), "{}", ran.stdout);
}

/// A connection is identified by its node and addresses alone.
#[test]
fn process_ids_are_not_compared() {
    let restarted = copy_of("study-public");
    for node in ["n1", "n2"] {
        let path = restarted.path().join(format!("nodes/{node}.txt"));
        let rows = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, rows.replace("pid=", "pid=9")).unwrap();
    }
    let (report, _) = Netcheck::diff(&story("study-public"), restarted.path()).json();
    assert_eq!(changes(&report), Vec::<String>::new());
}

#[test]
fn bare_ss_output_is_compared_without_attribution() {
    let ran = Netcheck::diff(&capture("public-00-before"), &capture("public-10-exec-it-open"));
    let (report, code) = ran.json();
    crate::docs::is_valid_trace(&report);
    assert_eq!(code, 0);
    let expected = [
        "node containerd 127.0.0.1:52886 loopback appeared",
        "node kubelet 127.0.0.1:46171 loopback appeared",
        "node kubelet 192.168.1.55:36026 unattributed appeared",
    ];
    assert_eq!(changes(&report), expected);
    let gaps: Vec<_> = report["gaps"].as_array().unwrap().iter().map(|gap| gap["what"].clone()).collect();
    assert_eq!(gaps, ["cluster.json"]);
    // A capture of several nodes has a marker line before each.
    let scratch = scratch();
    let of_two_nodes = |name: &str, moment: &str| {
        let rows = std::fs::read_to_string(capture(moment)).unwrap();
        let path = scratch.path().join(name);
        std::fs::write(&path, format!(">> node a <<\n{rows}>> node b <<\n{rows}")).unwrap();
        path
    };
    let before = of_two_nodes("before", "public-00-before");
    let (report, _) = Netcheck::diff(&before, &of_two_nodes("after", "public-10-exec-it-open")).json();
    assert_eq!(changes(&report).iter().filter(|change| change.starts_with("b kubelet")).count(), 2);
}

/// A pipe can be read only once: `diff before <(ssh n1 sudo ss -tnp)`.
#[test]
fn recordings_can_be_read_from_pipes() {
    let (before, after) = (capture("public-00-before"), capture("public-10-exec-it-open"));
    let expected = Netcheck::diff(&before, &after).json().0;
    // Each run has its own time.
    let changes = |report: &Value| {
        let mut report = report.as_object().unwrap().clone();
        report.retain(|key, value| key != "tool" && !value.is_null());
        report
    };
    let piped = std::process::Command::new("bash")
        .args(["-c", r#""$1" diff <(cat "$2") - --format json < <(cat "$3")"#, "bash"])
        .args([Path::new(env!("CARGO_BIN_EXE_eks-netcheck")), &before, &after])
        .output()
        .unwrap();
    assert_eq!(piped.status.code(), Some(0), "{}", String::from_utf8_lossy(&piped.stderr));
    let report = serde_json::from_slice::<Value>(&piped.stdout).unwrap();
    assert_eq!(changes(&report), changes(&expected));
    let ran = Netcheck::diff(Path::new("-"), Path::new("-")).run();
    assert_eq!(ran.code, 2);
    assert!(ran.stderr.contains("one of the two"), "{}", ran.stderr);
}

/// A socket that is absent from an incomplete capture may have existed.
#[test]
fn a_node_with_an_incomplete_capture_is_not_compared() {
    let dir = copy_of("study-exec");
    let nodes = dir.path().join("nodes.txt");
    let rows = std::fs::read_to_string(&nodes).unwrap();
    let broken = rows.replacen("3.39.55.189:443", "3.39.55.189:4zz443", 1);
    assert_ne!(broken, rows);
    std::fs::write(&nodes, broken).unwrap();
    let (report, code) = Netcheck::diff(&story("study-public"), dir.path()).json();
    assert_eq!(code, 0);
    let compared: Vec<_> =
        report["nodes"].as_array().unwrap().iter().map(|node| node["name"].clone()).collect();
    assert_eq!(compared, ["n2"]);
    assert!(changes(&report).iter().all(|change| change.starts_with("n2 ")), "{report}");
    let gap = report["gaps"].as_array().unwrap().iter().find(|gap| gap["what"] == "node n1").unwrap();
    assert_eq!(
        (&gap["why"], gap["detail"].as_str().unwrap().contains("after")),
        (&"incomplete".into(), true)
    );
    // Nor is a capture that is not text.
    let gzip = dir.path().join("gzip");
    std::fs::write(&gzip, b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\n").unwrap();
    let ran = Netcheck::diff(&capture("public-00-before"), &gzip).run();
    assert_eq!(ran.code, 3);
    assert!(ran.stdout.contains("not text"), "{}", ran.stdout);
}

#[test]
fn captures_of_different_machines_are_not_compared() {
    let scratch = scratch();
    let other = scratch.path().join("other");
    let rows = std::fs::read_to_string(capture("public-10-exec-it-open")).unwrap();
    std::fs::write(&other, rows.replace("192.168.1.", "192.168.7.")).unwrap();
    let ran = Netcheck::diff(&capture("public-00-before"), &other).run();
    assert_eq!(ran.code, 3, "{}", ran.stdout);
    let unwrapped: Vec<_> = ran.stdout.split_whitespace().collect();
    assert!(unwrapped.join(" ").contains("they are of two machines"), "{}", ran.stdout);
}

#[test]
fn a_finished_exec_leaves_no_connection() {
    let (report, _) =
        Netcheck::diff(&capture("public-00-before"), &capture("public-11-exec-it-just-exited")).json();
    let left: Vec<_> =
        changes(&report).into_iter().filter(|change| change.contains("192.168.1.55")).collect();
    assert_eq!(left, Vec::<String>::new());
}

#[test]
fn a_node_in_only_one_recording_is_a_gap() {
    let without = copy_of("study-exec");
    let nodes = without.path().join("nodes.txt");
    let rows = std::fs::read_to_string(&nodes).unwrap();
    let n1 = rows.split(">> node n2 <<").next().unwrap();
    std::fs::write(&nodes, n1).unwrap();
    let (report, code) = Netcheck::diff(&story("study-public"), without.path()).json();
    assert_eq!(code, 0);
    let gap = &report["gaps"][0];
    assert_eq!(gap["what"], "node n2");
    assert!(gap["detail"].as_str().unwrap().contains("before only"), "{gap}");
    assert!(changes(&report).iter().all(|change| change.starts_with("n1 ")));
    let table = Netcheck::diff(&story("study-public"), without.path()).run().stdout;
    assert!(table.contains("1 node not seen completely; see below."), "{table}");
    // Without a node in both recordings, the result is unknown.
    std::fs::remove_file(&nodes).unwrap();
    let ran = Netcheck::diff(&story("study-public"), without.path()).run();
    assert_eq!(ran.code, 3);
    assert!(ran.stdout.contains("no node could be compared"), "{}", ran.stdout);
}

#[test]
fn incomparable_recordings_and_overwriting_an_input_are_refused() {
    let other = copy_of("study-exec");
    let path = other.path().join("cluster.json");
    let cluster = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, cluster.replace("\"name\": \"myeks\"", "\"name\": \"other\"")).unwrap();
    let missing = Path::new("no-such-file");
    for (after, message) in [(other.path(), "compare recordings of one cluster"), (missing, "no-such-file")] {
        let ran = Netcheck::diff(&story("study-public"), after).run();
        assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{}", ran.stderr);
        assert!(ran.stderr.contains(message), "{}", ran.stderr);
    }
    // A report does not overwrite a recording that is compared.
    let dir = scratch();
    let own = dir.path().join("ss.txt");
    std::fs::copy(capture("public-00-before"), &own).unwrap();
    let write = format!("table={}", own.display());
    let ran = Netcheck::diff(&own, &own).args(&["--write", &write]).run();
    assert_eq!(ran.code, 2, "{}", ran.stderr);
    assert!(std::fs::read_to_string(&own).unwrap().starts_with("State"));
    let into = story("study-public").join("diff.json");
    let write = format!("json={}", into.display());
    let ran = Netcheck::diff(&story("study-public"), &story("study-exec")).args(&["--write", &write]).run();
    assert_eq!((ran.code, into.exists()), (2, false), "{}", ran.stderr);
}

#[test]
fn control_characters_do_not_reach_the_terminal() {
    let ran = Netcheck::diff(&story("study-public"), &story("hostile-names")).run();
    let is_plain = |text: &str| text.chars().all(|char| char == '\n' || !char.is_control());
    assert!(is_plain(&ran.stdout) && is_plain(&ran.stderr), "{:?}", ran.stdout);
}

#[test]
fn the_table_fits_the_terminal_width() {
    let stories = ["study-public", "study-exec", "public-and-private-stale", "private-only", "ipv6"];
    for before in stories {
        for after in stories {
            for width in [80, 200] {
                let ran =
                    Netcheck::diff(&story(before), &story(after)).env("COLUMNS", &width.to_string()).run();
                let too_wide = ran.stdout.lines().find(|line| line.chars().count() > width);
                assert_eq!(too_wide, None, "{before} {after}");
                // No address is broken across two lines.
                assert!(
                    !ran.stdout.lines().any(|line| line.trim() == "3"),
                    "{before} {after}: {}",
                    ran.stdout
                );
            }
        }
    }
    for width in ["80", "200"] {
        let ran = Netcheck::diff(&story("study-public"), &story("study-exec")).env("COLUMNS", width).run();
        insta::with_settings!({omit_expression => true, prepend_module_to_snapshot => false}, {
            insta::assert_snapshot!(format!("diff-exec-{width}"), ran.stdout);
        });
    }
}

/// Clusters with the same name may be two.
#[test]
fn two_clusters_with_one_name_are_told_apart() {
    let after = story("public-and-private-stale");
    let ran = Netcheck::diff(&story("private-only"), &after).run();
    let text = ran.stdout.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(text.contains("different clusters with the same name: "), "{text}");
    // First of all, and again before the last lines.
    let said = "myeks: the two recordings are of different clusters";
    assert!(text.starts_with(said) && text.matches(said).count() == 2, "{text}");
    let markdown = Netcheck::diff(&story("private-only"), &after).args(&["--format", "markdown"]).run();
    let paragraph = markdown.stdout.split("\n\n").nth(1).unwrap();
    assert!(paragraph.starts_with("**The two recordings are of different clusters"), "{}", markdown.stdout);
    for format in ["table", "markdown"] {
        let ran = Netcheck::diff(&after, &after).args(&["--format", format]).run();
        assert!(!ran.stdout.contains("different clusters"), "{}", ran.stdout);
    }
}

/// Which nodes' traffic took another path comes before the numbers of connections.
#[test]
fn the_path_of_nodes_that_changed_is_said_first() {
    let (private, public) = (story("private-only"), story("study-public"));
    for (before, after, from, to) in
        [(&private, &public, "private", "public"), (&public, &private, "public", "private")]
    {
        let ran = Netcheck::diff(before, after).run();
        // Behind what is said of the recordings, which are of different clusters.
        let said = format!("see below.\nmyeks: kubelet and kube-proxy went from {from} to {to} on n1, n2.\n");
        let (first, _) = ran.stdout.split_once("\n\n").unwrap();
        assert!(format!("{first}\n").contains(&said) && ran.stdout.ends_with(&said), "{}", ran.stdout);
        let (report, _) = Netcheck::diff(before, after).json();
        crate::docs::is_valid_trace(&report);
        let changed = |node: &str, component: &str| serde_json::json!({"node": node, "component": component, "before": from, "after": to});
        let expected = ["n1", "n2"].map(|node| ["kubelet", "kube-proxy"].map(|one| changed(node, one)));
        assert_eq!(report["traffic_changes"], Value::from(expected.concat()));
    }
    // A node whose capture is missing on one side, and one whose peers no evidence explains, did not change.
    let (report, _) = Netcheck::diff(&capture("public-00-before"), &capture("public-10-exec-it-open")).json();
    assert_eq!(report["traffic_changes"], serde_json::json!([]));
    let one = copy_of("study-public");
    std::fs::remove_file(one.path().join("nodes/n2.txt")).unwrap();
    let ran = Netcheck::diff(&private, one.path()).run();
    assert!(
        ran.stdout.contains("see below.\nmyeks: kubelet and kube-proxy went from private to public on n1.\n"),
        "{}",
        ran.stdout
    );
    let ran = Netcheck::diff(&public, &public).run();
    assert!(!ran.stdout.contains("went from"), "{}", ran.stdout);
}

/// Markdown says first which nodes' traffic took another path, then has a row for each change; a
/// hostile name is inert.
#[test]
fn markdown_has_the_changes() {
    let markdown = |before: &str, after: &str| {
        let ran = Netcheck::diff(&story(before), &story(after)).args(&["--format", "markdown"]).run();
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        ran.stdout
    };
    let text = markdown("private-only", "study-public");
    assert!(text.starts_with("## Connections between API server and nodes of myeks\n"), "{text}");
    let change = "\n\n**kubelet and kube-proxy went from private to public on n1, n2.**\n\n";
    assert!(text.contains(change), "{text}");
    assert!(
        text.contains("| n1 | kubelet | outbound | public-endpoint | 3.39.55.189:443 | appeared |"),
        "{text}"
    );
    let text = markdown("study-public", "study-public");
    assert!(text.contains("0 connections changed") && !text.contains("went from"), "{text}");
    let text = markdown("study-public", "hostile-names");
    assert!(!text.contains("<script") && !text.contains('\u{1b}'), "{text}");
}
