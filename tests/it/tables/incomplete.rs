//! Tables in `/proc` of which a part is missing.

use std::fmt::Write as _;
use std::fs;
use std::net::Ipv4Addr;

use eks_netcheck::model::node::NodeStatus;
use eks_netcheck::model::socket::{Host, Port, Socket, SocketAddress, State};

use super::printers::{Owners, proc_of};
use super::{Entry, entries, gaps, needed};
use crate::common::{Netcheck, copy_of};
use crate::dialects::read;

/// A capture that was cut anywhere, or that lacks a part, is never a pass.
#[test]
fn tables_that_were_cut_are_incomplete() {
    let capture = fs::read(crate::common::story("private-only").join("nodes/n1.txt")).unwrap();
    let entries = entries(&capture);
    for owners in [Owners::Script, Owners::Find, Owners::Named] {
        let text = proc_of(&entries, owners);
        assert_eq!(gaps(text.as_bytes()), (NodeStatus::Read, vec![]), "{owners:?}");
        for length in 0..text.trim_end().len() {
            assert!(!gaps(&text.as_bytes()[..length]).1.is_empty(), "{owners:?} {:?}", &text[..length]);
            // From the beginning, too: of a log that was rotated.
            let rest = &text[length + 1..];
            let is_cut = rest.trim_start() != text.trim_start();
            assert!(!is_cut || !gaps(rest.as_bytes()).1.is_empty(), "{owners:?} {rest}");
        }
        // The built binary, at some of these places.
        let copy = copy_of("private-only");
        for length in (1..text.trim_end().len()).step_by(text.len() / 20) {
            fs::write(copy.path().join("nodes/n1.txt"), &text[..length]).unwrap();
            let ran = Netcheck::audit(copy.path()).run();
            assert_eq!(ran.code, 3, "{owners:?} {length}: {}", ran.stdout);
        }
    }
}

/// Tables that a filter shortened, parts in an order that does not show a cut, and damaged
/// rows.
#[test]
fn tables_of_which_lines_are_missing_are_incomplete() {
    let capture = fs::read(crate::common::story("private-only").join("nodes/n1.txt")).unwrap();
    let entries = entries(&capture);
    let text = proc_of(&entries, Owners::Find);
    let detail = |text: &str| gaps(text.as_bytes()).1.join("; ");
    let lines: Vec<_> = text.lines().collect();
    let rows = lines.iter().enumerate().filter(|(_, line)| line.contains(" 00000000:00000000 02:"));
    for (at, row) in rows {
        let without = |line: &str| {
            let mut lines = lines.clone();
            lines.splice(at..=at, (!line.is_empty()).then_some(line));
            lines.join("\n") + "\n"
        };
        let is_last = !lines[at + 1].contains(" 00000000:00000000 02:");
        if !is_last {
            assert!(detail(&without("")).contains("are missing"), "{row}");
        }
        for damaged in [
            row.replace(": ", " "),
            row.replace(" 01 ", " 1 "),
            row[..60].to_owned(),
            row.replace(" 02:", " "),
        ] {
            assert!(detail(&without(&damaged)).contains("cannot be parsed"), "{damaged}");
        }
    }
    let grep: String =
        text.lines().filter(|line| line.contains(":01BB")).map(|line| line.to_owned() + "\n").collect();
    assert!(!detail(&grep).is_empty());
    let at = text.find("/proc/").unwrap();
    let turned = format!("{}{}", &text[at..], &text[..at]);
    assert!(detail(&turned).contains("may have been cut"), "{}", detail(&turned));
    let only_v4 = text.split("  sl  ").next().unwrap().to_owned()
        + "  sl  "
        + text.split("  sl  ").nth(1).unwrap()
        + &text[at..];
    assert!(detail(&only_v4).contains("lacks the table /proc/net/tcp6"), "{}", detail(&only_v4));
    // Where IPv6 is disabled, the script says so.
    let script = proc_of(&entries, Owners::Script);
    let (before, after) = script.split_once(">> /proc/1/net/tcp6\n").unwrap();
    let (_, after) = after.split_once('\n').unwrap();
    assert_eq!(detail(&format!("{before}>> no /proc/1/net/tcp6\n{after}")), "");
    // A line that only resembles one of such a capture does not make one of another kind.
    let mixed = String::from_utf8(capture).unwrap() + "/proc/1 systemd\n";
    assert_eq!(detail(&mixed), "");
}

/// A capture of any size is joined in bounded memory: what is beyond the bounds is a gap.
#[test]
fn captures_with_too_many_processes_are_incomplete() {
    let tables = "  sl  local_address rem_address   st\n  sl  local_address remote_address st\n";
    let many = |what: &str, middle: &dyn Fn(&mut String, u32)| {
        let mut text = format!(">> proc\n{tables}>> fds\n/proc/1/fd:\n");
        let begin = text.len();
        (0..=1 << 20).for_each(|number| middle(&mut text, number));
        if what == "names" {
            text.insert_str(begin, ">> comm\n/proc/1 a\n");
        } else {
            text += ">> comm\n/proc/1 a\n";
        }
        text += ">> end\n";
        let (_, gaps) = gaps(text.as_bytes());
        let expected = format!("its capture has more than 1048576 {what}; further ones are not read");
        assert!(gaps.iter().any(|gap| gap.contains(&expected)), "{gaps:?}");
    };
    many("descriptors", &|text, number| writeln!(text, "3 socket:[{number}]").unwrap());
    many("names", &|text, number| writeln!(text, "/proc/{} a", number + 2).unwrap());
}

/// Captures of several machines that were pasted into one file are incomplete, and the
/// processes of one do not have the sockets of the other, whose inodes may be the same.
#[test]
fn tables_of_several_machines_are_incomplete() {
    let copy = copy_of("private-only");
    let of_node = |node: &str, owners| {
        let capture =
            fs::read(crate::common::story("private-only").join(format!("nodes/{node}.txt"))).unwrap();
        proc_of(&entries(&capture), owners)
    };
    for owners in [Owners::Script, Owners::Find, Owners::Named] {
        let pasted = of_node("n1", owners) + &of_node("n2", owners);
        fs::write(copy.path().join("nodes/n1.txt"), &pasted).unwrap();
        let (report, code) = Netcheck::audit(copy.path()).json();
        assert_eq!(code, 3, "{owners:?}");
        assert!(needed(&report).contains(&"node n1".to_owned()), "{owners:?}");
        if owners != Owners::Find {
            let rows = |text: &str| read(text.as_bytes()).rows;
            assert_eq!(rows(&pasted), [rows(&of_node("n1", owners)), rows(&of_node("n2", owners))].concat());
        }
    }
    // A capture that was cut, and a whole one of the same node.
    let whole = of_node("n1", Owners::Script);
    for (length, _) in whole.match_indices('\n') {
        let text = format!("{}{whole}", &whole[..=length]);
        let is_cut = length + 1 < whole.len();
        assert_eq!(gaps(text.as_bytes()).1.is_empty(), !is_cut, "{text}");
    }
    // The beginning and the end of one, as from a terminal that did not keep the middle.
    let lines: Vec<_> = whole.lines().collect();
    let fds = lines.iter().position(|line| *line == ">> fds").unwrap();
    for begin in 1..fds {
        for end in begin + 1..=fds + 1 {
            let text = [&lines[..begin], &lines[end..]].concat().join("\n") + "\n";
            // Rows alone at the end of a table leave no gap in its numbers.
            let are_rows = lines[begin..end].iter().all(|line| line.contains(": "));
            assert!(!gaps(text.as_bytes()).1.is_empty() || are_rows, "{text}");
        }
    }
    fs::write(copy.path().join("nodes/n1.txt"), format!("{whole}{whole}")).unwrap();
    assert_eq!(Netcheck::audit(copy.path()).run().code, 0);
}

/// A table of sockets that many processes share takes linear time, and says what it left out.
#[test]
fn the_processes_of_a_shared_socket_are_bounded() {
    let socket = |port| Socket {
        state: State::Established,
        local: SocketAddress { host: Host::Ip(Ipv4Addr::LOCALHOST.into()), port: Port::Number(port) },
        peer: SocketAddress { host: Host::Ip(Ipv4Addr::LOCALHOST.into()), port: Port::Number(1) },
    };
    let entry = |processes: u32| Entry {
        socket: socket(7),
        is_mapped: false,
        processes: (1..=processes).map(|pid| ("httpd".to_owned(), pid)).collect(),
    };
    assert_eq!(gaps(proc_of(&[entry(256)], Owners::Script).as_bytes()).1, Vec::<String>::new());
    let (_, details) = gaps(proc_of(&[entry(257)], Owners::Script).as_bytes());
    assert!(details[0].contains("share a socket"), "{details:?}");
}
