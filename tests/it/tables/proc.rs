//! The tables in `/proc` have the rows of `ss`.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::net::{TcpListener, TcpStream};
use std::process::Command;

use eks_netcheck::capture::proc_script::SCRIPT;
use eks_netcheck::model::node::NodeStatus;

use super::printers::{Owners, proc_of};
use super::{entries, fixture, gaps, needed, sorted};
use crate::common::{Netcheck, copy_of, scratch};
use crate::dialects::read;

/// The real tables, joined, are what `ss` printed at the same moment, with the processes in
/// the same order.
#[test]
fn real_tables_give_the_rows_of_ss() {
    for moment in ["exec-open-public", "clusterip-and-scrape"] {
        let parts = ["proc_net_tcp", "proc_net_tcp6", "proc_fd", "proc_comm"];
        let text: String = parts.map(|part| fixture(&format!("proc/{moment}/{part}.txt"))).concat();
        let capture = read(text.as_bytes());
        assert!(capture.rejected.is_empty(), "{:?}", capture.rejected);
        assert_eq!(capture.tally.lines(), text.lines().count() as u64);
        let expected = read(fixture(&format!("proc/{moment}/ss_-tanp.txt")).as_bytes()).rows;
        assert_eq!(sorted(capture.rows), sorted(expected), "{moment}");
        assert_eq!(gaps(text.as_bytes()), (NodeStatus::Read, vec![]));
    }
}

/// What pods with several sets of rights printed, next to `ss` in the same pod.
#[test]
fn pods_without_the_right_to_trace_have_no_names() {
    let pods = ["none", "sys-ptrace", "sys-ptrace-alone", "privileged"];
    for pod in pods {
        let text = fixture(&format!("proc/pods/pod-{pod}.txt"));
        let (tables, ss) = text.split_once(">> ss\n").unwrap();
        let capture = read(tables.as_bytes());
        assert!(capture.rejected.is_empty(), "{pod}: {:?}", capture.rejected);
        let rows: BTreeSet<_> = capture.rows.into_iter().filter(|row| row.starts_with("ESTAB")).collect();
        let expected: BTreeSet<_> = read(ss.as_bytes()).rows.into_iter().collect();
        assert_eq!(rows, expected, "{pod}");
        let (status, gaps) = gaps(tables.as_bytes());
        let has_names = pod != "none";
        assert_eq!(status, if has_names { NodeStatus::Read } else { NodeStatus::NoProcessNames }, "{pod}");
        assert_eq!(gaps.len(), usize::from(!has_names), "{pod}: {gaps:?}");
    }
}

/// The script prints the same sockets and processes as `ss`, in the shells of nodes and of
/// images: dash, and `BusyBox` with its own programs.
#[test]
fn the_script_prints_what_ss_does() {
    let listener = TcpListener::bind(("::", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let clients = ["127.0.0.1", "127.0.0.1", "::1"].map(|host| TcpStream::connect((host, port)).unwrap());
    let accepted = [(); 3].map(|()| listener.accept().unwrap());
    // The namespace of process 1 may be another one here.
    let script = SCRIPT.replace("/proc/1/net/", "/proc/self/net/");
    let all = script.replace("; tables &&", "; tables all &&");
    assert_ne!(script, all);
    let own = |text: &[u8]| -> Vec<String> {
        let has_port = |row: &String| row.contains(&format!(":{port}")) && !row.starts_with("LISTEN");
        sorted(read(text).rows.into_iter().filter(has_port).collect())
    };
    let ss = Command::new("ss").arg("-tnp").output().unwrap().stdout;
    let expected = own(&ss);
    assert_eq!(expected.len(), 6, "{expected:#?}");
    let pid = std::process::id().to_string();
    assert!(expected.iter().all(|row| row.ends_with(&pid)), "{expected:#?}");
    let applets = scratch();
    let mut shells = vec![("sh", None)];
    if let Some(busybox) = busybox() {
        for applet in ["cat", "ls", "sed", "sh"] {
            std::os::unix::fs::symlink(&busybox, applets.path().join(applet)).unwrap();
        }
        shells.push(("sh", Some(applets.path())));
    }
    for (shell, path) in shells {
        for (script, has_listeners) in [(&script, false), (&all, true)] {
            let mut command = Command::new(path.map_or(shell.into(), |path| path.join(shell)));
            command.args(["-c", script]);
            if let Some(path) = path {
                command.env("PATH", path);
            }
            let output = command.output().unwrap();
            assert!(output.status.success(), "{path:?}: {output:?}");
            let text = String::from_utf8(output.stdout).unwrap();
            assert!(text.starts_with(">> proc\n") && text.ends_with(">> end counted\n"), "{path:?}: {text}");
            assert_eq!(own(text.as_bytes()), expected, "{path:?}: {text}");
            assert_eq!(gaps(text.as_bytes()), (NodeStatus::Read, vec![]), "{path:?}");
            let listens = |row: &String| row.starts_with(&format!("LISTEN *:{port} "));
            assert_eq!(read(text.as_bytes()).rows.iter().any(listens), has_listeners, "{path:?}");
            no_end_of_a_part_can_be_removed(&text);
        }
    }
    // The commands of docs/evidence.md.
    let by_hand = "cat /proc/self/net/tcp /proc/self/net/tcp6; find /proc/[0-9]*/fd -lname 'socket:*' -printf '%p %l\\n'; \
        for process in /proc/[0-9]*; do echo \"$process $(cat $process/comm)\"; done";
    let output = Command::new("sh").args(["-c", by_hand]).output().unwrap();
    assert_eq!(own(&output.stdout), expected);
    drop((clients, accepted));
}

fn busybox() -> Option<std::path::PathBuf> {
    ["/bin/busybox", "/usr/bin/busybox"]
        .into_iter()
        .map(Into::into)
        .find(|path: &std::path::PathBuf| path.exists())
}

/// An audit of captures of `/proc` has the result of one of `ss`.
#[test]
fn an_audit_of_tables_has_the_result_of_one_of_ss() {
    for story in ["private-only", "public-and-private-stale", "endpoint-black-holed", "ipv6"] {
        let expected = Netcheck::audit(&crate::common::story(story)).json();
        for owners in [Owners::Script, Owners::Find, Owners::Named] {
            let copy = copy_of(story);
            for entry in fs::read_dir(copy.path().join("nodes")).unwrap() {
                let path = entry.unwrap().path();
                let text = proc_of(&entries(&fs::read(&path).unwrap()), owners);
                fs::write(&path, text).unwrap();
            }
            let (report, code) = Netcheck::audit(copy.path()).json();
            assert_eq!(code, expected.1, "{story} {owners:?}");
            for key in ["findings", "gaps", "node_traffic", "connections", "other_connections", "verdict"] {
                assert_eq!(report[key], expected.0[key], "{story} {owners:?} {key}");
            }
        }
    }
}

/// Captures of several nodes in one file.
#[test]
fn tables_of_several_nodes_in_one_file() {
    let copy = copy_of("private-only");
    let expected = Netcheck::audit(copy.path()).json();
    let mut combined = String::new();
    for node in ["n1", "n2"] {
        let capture = fs::read(copy.path().join(format!("nodes/{node}.txt"))).unwrap();
        // The same inodes and process ids on both.
        write!(combined, ">> node {node} <<\n{}", proc_of(&entries(&capture), Owners::Script)).unwrap();
    }
    fs::remove_dir_all(copy.path().join("nodes")).unwrap();
    let path = copy.path().join("nodes.txt");
    fs::write(&path, &combined).unwrap();
    let (report, code) = Netcheck::audit(copy.path()).json();
    assert_eq!((code, &report["connections"]), (expected.1, &expected.0["connections"]));
    assert_eq!(report["findings"], expected.0["findings"]);
    // That of the first one was cut.
    fs::write(&path, combined.replacen(">> end\n", "", 1)).unwrap();
    let (report, code) = Netcheck::audit(copy.path()).json();
    assert_eq!((code, needed(&report)), (3, vec!["node n1".to_owned()]));
}

/// Whoever removes lines by hand, be it the last ones of a part with their number, is noticed.
fn no_end_of_a_part_can_be_removed(text: &str) {
    let lines: Vec<_> = text.lines().collect();
    let is_number = |line: &str| line.bytes().all(|byte| byte.is_ascii_digit());
    let numbers: Vec<_> = (0..lines.len()).filter(|at| is_number(lines[*at])).collect();
    // Two tables, the descriptors and the names.
    assert_eq!(numbers.len(), 4, "{text}");
    for at in numbers {
        for removed in [at - 1..at, at - 1..at + 1, at - 2..at, at..at + 1] {
            let rest = [&lines[..removed.start], &lines[removed.end..]].concat().join("\n") + "\n";
            assert!(!gaps(rest.as_bytes()).1.is_empty(), "{removed:?}: {rest}");
        }
    }
}
