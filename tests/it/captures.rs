//! Captures and DNS answers that are not complete, in evidence directories.

use std::fs;

use serde_json::Value;

use crate::common::{Netcheck, copy_of};

/// The gaps that a rule needs.
fn needed(report: &Value) -> Vec<String> {
    let gaps = report["gaps"].as_array().unwrap().iter();
    let needed = gaps.filter(|gap| !gap["rules"].as_array().unwrap().is_empty());
    let text =
        |gap: &Value| format!("{}: {}", gap["what"].as_str().unwrap(), gap["detail"].as_str().unwrap());
    needed.map(text).collect()
}

/// A row on the public path that a capture shows in part is never a pass, wherever it is.
#[test]
fn a_damaged_row_makes_a_capture_incomplete() {
    let row = "ESTAB 0 0 192.168.1.20:42801 3.39.1.1:443 users:((\"kubelet\",pid=3011,fd=44))";
    let netstat = "tcp 0 0 192.168.1.20:42801 3.39.1.1:443 ESTABLISHED 3011/kubelet";
    for damaged in [
        row.replace("ESTAB", "estab"),
        row.replace("ESTAB", "AB"),
        row.replace("users", "use\nrs"),
        row.replace(":443", ":4\n43"),
        row.replace("pid=", "p\nid="),
        row.replace("))", ""),
        row.replace('"', "&quot;"),
        row.replace(' ', ","),
        row.replace(' ', "\u{a0}"),
        format!("-{row}"),
        format!("{row}---Output truncated---"),
        netstat.replace("ESTABLISHED", "established"),
        netstat.replace("ESTABLISHED", "STABLISHED"),
        netstat.replace("ESTABLISHED ", "ESTABLISHED\n"),
        netstat.replace("tcp", "cp"),
    ] {
        let copy = copy_of("private-only");
        let path = copy.path().join("nodes/n1.txt");
        let capture = fs::read_to_string(&path).unwrap();
        let (headings, rows) = capture.split_once('\n').unwrap();
        for text in [format!("{capture}{damaged}\n"), format!("{headings}\n{damaged}\n{rows}")] {
            fs::write(&path, text).unwrap();
            let (report, code) = Netcheck::audit(copy.path()).json();
            let gaps = needed(&report);
            assert_eq!(code, 3, "{damaged}: {gaps:?}");
            assert!(gaps[0].starts_with("node n1: ") && gaps[0].contains("cannot be parsed"), "{gaps:?}");
        }
    }
}

/// Captures that ss or grep limited to a state do not show connections that hang.
#[test]
fn a_capture_of_one_state_does_not_show_what_hangs() {
    let without_state = |capture: &str| {
        let rows = capture.lines().filter(|row| row.starts_with("ESTAB") || row.starts_with("State"));
        rows.map(|row| row.split_once(' ').unwrap().1.trim_start().to_owned() + "\n").collect::<String>()
    };
    let grep = |capture: &str| {
        let rows = capture.lines().filter(|row| row.starts_with("ESTAB"));
        rows.map(|row| row.to_owned() + "\n").collect::<String>()
    };
    for name in ["ss state", "grep"] {
        let filter = |capture: &str| if name == "grep" { grep(capture) } else { without_state(capture) };
        let copy = copy_of("private-only");
        for node in ["n1", "n2"] {
            let path = copy.path().join(format!("nodes/{node}.txt"));
            let capture = fs::read_to_string(&path).unwrap();
            fs::write(path, filter(&capture)).unwrap();
        }
        let (report, code) = Netcheck::audit(copy.path()).args(&["--fail-on", "medium"]).json();
        assert_eq!(code, 3, "{name}");
        let gaps = needed(&report);
        assert!(
            gaps.iter().all(|gap| gap.contains("connections in SYN-SENT are not in it")),
            "{name}: {gaps:?}"
        );
        assert_eq!(Netcheck::audit(copy.path()).run().code, 0, "{name}");
    }
}

/// The A records of the endpoint are needed, whether their query failed or was not made.
#[test]
fn answers_without_ipv4_addresses_are_incomplete() {
    let failed =
        ";; ->>HEADER<<- opcode: QUERY, status: SERVFAIL, id: 1\n;; QUESTION SECTION:\n;HOST. IN A\n\n";
    for (text, detail) in [("2600:1f13::1\n", "no answer has an IPv4 address"), (failed, "SERVFAIL")] {
        let copy = copy_of("private-only");
        let cluster: Value =
            serde_json::from_str(&fs::read_to_string(copy.path().join("cluster.json")).unwrap()).unwrap();
        let host = cluster["cluster"]["endpoint"].as_str().unwrap().replace("https://", "");
        for entry in fs::read_dir(copy.path().join("dns")).unwrap() {
            fs::write(entry.unwrap().path(), text.replace("HOST", &host) + "2600:1f13::1\n").unwrap();
        }
        let (report, code) = Netcheck::audit(copy.path()).json();
        let gaps = needed(&report);
        assert_eq!(code, 3, "{text}");
        assert!(gaps.iter().any(|gap| gap.starts_with("A records") && gap.contains(detail)), "{gaps:?}");
    }
}
