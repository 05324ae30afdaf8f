//! The reports: what is in each format, and how the table reads.

use std::collections::BTreeMap;
use std::io::Write;

use super::{client, json, run};
use crate::common::{Netcheck, copy, copy_of, fixtures, scratch, story, subdirs};

#[test]
fn a_file_of_each_format_has_the_same_verdict() {
    let dir = scratch();
    let file = dir.path().join("change.md");
    let write = format!("markdown={}", file.display());
    let args = ["--access", "private", "--client", "ci <b>=198.51.100.64/27", "--write", &write];
    let ran = run(&story("public-and-private-stale"), &args);
    assert_eq!(ran.code, 1, "{}", ran.stderr);
    assert!(ran.stdout.starts_with("BREAKS  myeks"), "{}", ran.stdout);
    let markdown = std::fs::read_to_string(file).unwrap();
    assert!(markdown.starts_with("## ❌ breaks: endpoint access of myeks"), "{markdown}");
    assert!(markdown.contains("ci &lt;b&gt;") && !markdown.contains("<b>"), "{markdown}");
    for words in ["To go back", "With eksctl", "endpoint_public_access = false", "endpointPublicAccess=false"]
    {
        assert!(markdown.contains(words) && ran.stdout.contains(words), "{words}: {markdown}");
    }
}

#[test]
fn lines_fit_the_terminal() {
    for columns in ["80", "200"] {
        let ran = Netcheck::new(["simulate", "--cluster", "myeks", "--access", "private", "--evidence"])
            .arg(story("public-and-private-stale"))
            .env("COLUMNS", columns)
            .run();
        // Commands are not broken, so that they can be pasted.
        let prose = ran.stdout.lines().filter(|line| !line.trim_start().starts_with(char::is_lowercase));
        for line in prose {
            assert!(line.chars().count() <= columns.parse().unwrap(), "{columns}: {line}");
        }
    }
}

/// Nodes that are alike are one line of the table, and a client each in JSON.
#[test]
fn nodes_that_are_alike_are_one_line() {
    let dir = copy_of("study-public");
    let row = std::fs::read_to_string(dir.path().join("nodes/n1.txt")).unwrap();
    for number in 3..=900 {
        let node = row.replace("192.168.1.", &format!("10.{}.{}.", number / 250, number % 250));
        std::fs::write(dir.path().join(format!("nodes/n{number}.txt")), node).unwrap();
    }
    let args = ["--access", "public", "--public-cidrs", "0.0.0.0/0"];
    let (report, code) = json(dir.path(), &args);
    assert_eq!(code, 0, "{report:#}");
    assert!(report["clients"].as_array().unwrap().len() > 1800);
    let ran = run(dir.path(), &args);
    assert!(ran.stdout.lines().count() < 40, "{}", ran.stdout);
    assert!(ran.stdout.contains("900 x kubelet"), "{}", ran.stdout);
}

/// Agents may have any number of names.
#[test]
fn agents_that_are_alike_are_one_line() {
    let dir = scratch();
    copy(&fixtures().join("access/public-and-private"), dir.path());
    std::fs::write(dir.path().join("dns/outside.txt"), "3.39.55.189\n").unwrap();
    let node = dir.path().join("nodes/n1.txt");
    let mut rows = std::fs::read(&node).unwrap();
    for number in 10..30 {
        let port = 42_000 + number;
        writeln!(
            rows,
            "ESTAB 0 0 192.168.1.20:{port} 3.39.55.189:443 users:((\"agent-{number}\",pid={number},fd=6))"
        )
        .unwrap();
    }
    std::fs::write(&node, rows).unwrap();
    let (report, code) = json(dir.path(), &["--access", "private"]);
    assert_eq!(code, 1, "{report:#}");
    assert_eq!(client(&report, "n1 agent-29")["effect"], "interrupted");
    let table = run(dir.path(), &["--access", "private"]).stdout;
    let rows: Vec<_> = table.lines().filter(|line| line.contains("interrupted")).collect();
    assert_eq!(rows.len(), 1, "{table}");
    assert!(rows[0].starts_with("agent-10 and 19 more (n1)"), "{table}");
}

/// The head counts the clients once, steps are sentences, and commands can be pasted.
#[test]
fn the_table_reads_well_in_every_mode_and_width() {
    let is_command = |line: &str| {
        line.starts_with("    ")
            && [
                "aws ",
                "id=$(aws ",
                "eksctl ",
                "kubectl ",
                "getent ",
                "for node in ",
                "ssh ",
                "dig ",
                "curl ",
            ]
            .iter()
            .any(|program| line.trim_start().starts_with(program))
    };
    let mut commands = BTreeMap::new();
    for dir in subdirs(&fixtures().join("evidence")).into_iter().map(|name| story(&name)) {
        for mode in ["public", "public-and-private", "private"] {
            for width in [40, 80, 200] {
                let name = format!("{} {mode} {width}", dir.display());
                let args = ["--access", mode, "--client", "ci=198.51.100.64/27"];
                let run =
                    Netcheck::new(["simulate", "--cluster", "myeks", "--evidence"]).arg(&dir).args(&args);
                let table = run.env("COLUMNS", &width.to_string()).run().stdout;
                let steps = table.lines().filter_map(|line| {
                    let (number, step) = line.split_once(". ")?;
                    number.parse::<u32>().is_ok().then_some(step)
                });
                for step in steps {
                    assert!(step.starts_with(char::is_uppercase), "{name}: {step}");
                }
                // An alternative follows what it is one to.
                assert!(!table.contains("\n1. Or "), "{name}: {table}");
                assert!(!table.contains("here: here:") && !table.contains("back: Turn"), "{name}: {table}");
                let head =
                    table.split("\n\n").next().unwrap().split_whitespace().collect::<Vec<_>>().join(" ");
                assert!(head.matches(" of ").count() <= 1, "{name}: {head}");
                // The same commands in every width, each on lines that a shell joins.
                let table = crate::common::joined(&table);
                let found: Vec<_> = table
                    .lines()
                    .filter(|line| is_command(line))
                    .map(|line| line.trim().to_owned())
                    .collect();
                let known = commands.entry((dir.clone(), mode)).or_insert_with(|| found.clone());
                assert_eq!(*known, found, "{name}");
                let loose = ["--filters", "--region", "nodes/NODE.txt", "https://checkip"];
                let is_loose = |line: &&str| {
                    loose.iter().any(|word| line.contains(word))
                        && !is_command(line)
                        && !line.contains("eks-netcheck")
                };
                assert_eq!(table.lines().find(is_loose), None, "{name}");
            }
        }
    }
}

#[test]
fn the_head_counts_the_clients() {
    for (evidence, args, head) in [
        (
            "public-and-private-stale",
            &["--access", "private"][..],
            "BREAKS myeks: 2 of 8 clients are cut off until they connect again; 1 is not known",
        ),
        (
            "study-public",
            &["--access", "private", "--client", "ci=198.51.100.64/27"],
            "BREAKS myeks: 1 of 9 clients loses the API server; 4 are cut off until they connect again; 1 is not known",
        ),
        ("study-public", &["--access", "public"], "SAFE myeks: nothing changes"),
    ] {
        let ran = run(&story(evidence), args);
        let first = ran.stdout.split("Today:").next().unwrap();
        assert_eq!(first.split_whitespace().collect::<Vec<_>>().join(" "), head);
    }
}

/// Names in evidence have no effect on a terminal.
#[test]
fn names_are_escaped() {
    let ran = run(&story("hostile-names"), &["--access", "private"]);
    for format in ["table", "markdown", "json"] {
        let ran = run(&story("hostile-names"), &["--access", "private", "--format", format]);
        let is_plain = |char: char| !char.is_control() || char == '\n';
        assert!(ran.stdout.chars().all(is_plain), "{format}: {:?}", ran.stdout);
    }
    assert!([0, 1, 3].contains(&ran.code), "{}", ran.stderr);
}

/// A node has the name that it has in an audit; commands have the whole one.
#[test]
fn nodes_have_one_short_name() {
    let dir = crate::common::copy_of("public-and-private-stale");
    let nodes = dir.path().join("nodes");
    for number in 0..20 {
        let name = format!("ip-10-9-0-{number}.ap-northeast-2.compute.internal.txt");
        let (from, address) =
            if number < 10 { ("n1.txt", "192.168.1.20") } else { ("n2.txt", "192.168.2.94") };
        // Other machines.
        let capture = std::fs::read_to_string(nodes.join(from)).unwrap();
        let capture = capture.replace(address, &format!("10.9.0.{number}"));
        std::fs::write(nodes.join(name), capture).unwrap();
    }
    let ran = Netcheck::new(["simulate", "--access", "private", "--evidence"]).arg(dir.path()).run();
    assert!(ran.stdout.contains("10 x kubelet (ip-10-9-0-0,"), "{}", ran.stdout);
    // Of many that keep the API server, the number is enough.
    assert!(ran.stdout.contains("10 x kubelet   "), "{}", ran.stdout);
    let is_prose = |line: &&str| !line.starts_with("       ");
    assert!(
        !ran.stdout.lines().filter(is_prose).any(|line| line.contains("compute.internal")),
        "{}",
        ran.stdout
    );
    assert!(ran.stdout.contains("for node in ip-10-9-0-0.ap-northeast-2.compute.internal"), "{}", ran.stdout);
}
