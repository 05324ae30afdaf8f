//! The lists of public CIDR blocks that steps and alternatives set.

use std::collections::BTreeSet;

use super::run;
use crate::common::{Netcheck, copy_of, edit_json, fixtures, joined, story};

/// What a client needs, with its command, is in each format.
#[test]
fn what_clients_need_is_in_every_format() {
    let evidence = fixtures().join("access/public");
    for format in ["table", "markdown", "json"] {
        let args = ["simulate", "--public-cidrs", "203.0.113.0/24", "--format", format, "--evidence"];
        let ran = Netcheck::new(args).arg(&evidence).env("COLUMNS", "200").run();
        assert_eq!(ran.code, 1, "{}", ran.stderr);
        for address in ["52.78.10.20", "13.125.30.40"] {
            let need = format!("dd {address}/32 to publicAccessCidrs; the list in the steps has");
            assert!(ran.stdout.contains(&need), "{format}: {}", ran.stdout);
        }
        let command = "publicAccessCidrs=203.0.113.0/24,13.125.30.40/32,52.78.10.20/32";
        assert!(ran.stdout.contains(command), "{format}: {}", ran.stdout);
    }
}

/// The lists to which a text sets `publicAccessCidrs`, without those of the ways back.
fn lists_set(text: &str) -> BTreeSet<String> {
    let mut is_back = false;
    let mut lists = BTreeSet::new();
    for line in text.lines() {
        let start = line.trim_start();
        let is_item = start.is_empty()
            || start.starts_with(|first: char| first.is_ascii_digit())
            || ["- ", "#", "}"].iter().any(|mark| start.starts_with(mark));
        is_back = line.contains("To go back") || line.contains("\"back\": {") || is_back && !is_item;
        if is_back {
            continue;
        }
        for mark in ["publicAccessCidrs=", "--public-access-cidrs="] {
            let ends = |one: char| one.is_whitespace() || "\"\\".contains(one);
            lists.extend(line.split(mark).skip(1).map(|rest| rest.split(ends).next().unwrap().to_owned()));
        }
    }
    lists
}

/// A command replaces the whole list: what all clients need is in one list, in one step.
#[test]
fn what_all_clients_need_is_in_one_list() {
    let clients = ["--client", "ci=198.51.100.5", "--client", "vpn=198.51.100.6"];
    let narrow: &[&str] = &["--public-cidrs", "203.0.113.0/24"];
    let open: &[&str] = &["--access", "public", "--public-cidrs", "203.0.113.0/24"];
    for (name, change, added) in [
        ("study-public", narrow, "198.51.100.5/32,198.51.100.6/32,198.51.100.120/32,198.51.100.194/32"),
        // The clients do not reach it today, and are not cut off by the change.
        ("private-only", open, "198.51.100.210/32,198.51.100.211/32"),
        ("node-egress-missing", narrow, "3.34.50.60/32,13.125.30.40/32,52.78.10.20/32"),
    ] {
        for format in ["table", "markdown", "json"] {
            let args = [change, &clients, &["--format", format]].concat();
            let ran = Netcheck::new(["simulate", "--evidence"])
                .arg(story(name))
                .args(&args)
                .env("COLUMNS", "250")
                .run();
            assert_eq!(ran.code, 1, "{}", ran.stderr);
            let lists = lists_set(&ran.stdout);
            let expected = format!("203.0.113.0/24,{added}");
            assert_eq!(lists, BTreeSet::from([expected]), "{name} {format}: {}", ran.stdout);
            let terraform = format!("203.0.113.0/24,{added}").replace(',', "\", \"");
            let text = ran.stdout.replace("\\\"", "\"");
            assert!(text.contains(&format!("public_access_cidrs = [\"{terraform}\"]")), "{format}: {text}");
        }
    }
}

/// Clients outside a VPC whose public endpoint closes have one alternative, which is another
/// change, and names what it replaces.
#[test]
fn the_alternative_to_a_closed_endpoint_is_one_for_all_clients() {
    let args = ["--access", "private", "--client", "ci=198.51.100.5", "--client", "office=203.0.113.0/25"];
    for format in ["table", "markdown", "json"] {
        let ran = run(&story("study-public"), &[&args[..], &["--format", format]].concat());
        let text = joined(&ran.stdout);
        let command = "eks-netcheck simulate --cluster myeks --region ap-northeast-2 --access public-and-private --public-cidrs 198.51.100.5/32,203.0.113.0/25";
        assert!(text.contains(command), "{format}: {text}");
        assert!(lists_set(&ran.stdout).is_empty(), "{format}: {:?}", lists_set(&ran.stdout));
        if format != "json" {
            assert!(text.contains("ci, office: instead of step"), "{text}");
            let number = text.split("instead of step ").nth(1).unwrap().split(',').next().unwrap();
            let is_closing = |start: String| text.contains(&start);
            assert!(
                is_closing(format!(" {number}. Close the public endpoint"))
                    || is_closing(format!("\n{number}. Close the public endpoint")),
                "{text}"
            );
            assert!(!text.contains(": or "), "{text}");
        }
    }
}

/// The words of a report, however it is wrapped.
fn unwrapped(text: &str) -> String {
    // Commands are continued, and Markdown escapes, with backslashes.
    text.replace('\\', "").split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The alternative admits those that the change cuts off, and says what it drops of today's list.
#[test]
fn the_alternative_to_a_closed_endpoint_admits_nobody_else() {
    let args =
        ["--access", "private", "--client", "office=203.0.113.0/25", "--client", "ci=198.51.100.64/27"];
    for format in ["table", "markdown", "json"] {
        let ran = run(&story("public-and-private-stale"), &[&args[..], &["--format", format]].concat());
        let text = unwrapped(&ran.stdout);
        assert!(
            text.contains("--public-cidrs 203.0.113.0/25")
                && !text.contains("--public-cidrs 198.51.100.64")
                && !text.contains(",198.51.100.64"),
            "{text}"
        );
        assert!(
            text.contains("for 203.0.113.0/25 alone, which drops the rest of today's list (203.0.113.0/24)"),
            "{text}"
        );
    }
    // What keeps the list whole drops nothing.
    let whole = ["--access", "private", "--client", "office=203.0.113.0/24"];
    let text = unwrapped(&run(&story("public-and-private-stale"), &whole).stdout);
    assert!(text.contains("for 203.0.113.0/24 alone; simulate that change"), "{text}");
}

/// A list that was not given is a placeholder: a command that is pasted does not open to all what
/// is closed today.
#[test]
fn a_list_that_was_not_given_is_not_in_the_steps() {
    let opened = "publicAccessCidrs=0.0.0.0/0";
    for mode in ["public", "public-and-private"] {
        for format in ["table", "markdown", "json"] {
            let args = ["--access", mode, "--client", "here=203.0.113.9", "--format", format];
            let ran = run(&story("private-only"), &args);
            let text = unwrapped(&ran.stdout);
            assert_eq!(ran.code, 0, "{text}");
            assert!(text.contains("publicAccessCidrs=YOUR_CIDRS") && !text.contains(opened), "{text}");
            assert!(
                text.contains("AWS's default is 0.0.0.0/0") && text.contains("public-endpoint-open"),
                "{text}"
            );
        }
        let given = ["--access", mode, "--public-cidrs", "203.0.113.0/24"];
        let text = unwrapped(&run(&story("private-only"), &given).stdout);
        assert!(!text.contains("YOUR_CIDRS") && !text.contains("AWS's default"), "{text}");
    }
    // The way back from a change has the list of today, or none that nobody wrote.
    let dir = copy_of("public-and-private-stale");
    edit_json(dir.path(), "cluster.json", |cluster| {
        cluster["cluster"]["resourcesVpcConfig"].as_object_mut().unwrap().remove("publicAccessCidrs");
    });
    let ran = run(dir.path(), &["--access", "private"]);
    assert!(
        ran.stdout.contains("YOUR_CIDRS") && !ran.stdout.contains(opened),
        "{}{}",
        ran.stdout,
        ran.stderr
    );
}
