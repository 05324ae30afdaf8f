//! `audit --explain-paths`: the three ways of a cluster, expected beside observed.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use eks_netcheck::report::text::is_hostile;
use serde_json::{Value, json};

use crate::common::{Netcheck, copy_of, edit_json, story};

const STORIES: [&str; 7] = [
    "study-public",
    "study-exec",
    "public-and-private-stale",
    "private-only",
    "endpoint-black-holed",
    "hostile-names",
    "ipv6",
];

fn explained(dir: &Path, width: &str) -> String {
    let ran = Netcheck::audit(dir).arg("--explain-paths").env("COLUMNS", width).run();
    let (_, rest) = ran.stdout.split_once("\nPaths of this cluster: ").unwrap();
    rest[rest.find('\n').unwrap() + 1..].split("\n\nNodes\n").next().unwrap().to_owned()
}

fn leg(dir: &Path, name: &str) -> Value {
    let (report, _) = Netcheck::audit(dir).json();
    let legs = report["architecture"].as_array().unwrap().clone();
    legs.into_iter().find(|leg| leg["leg"] == name).unwrap()
}

fn texts(list: &Value) -> Vec<String> {
    let text = |item: &Value| item["text"].as_str().or(item.as_str()).unwrap().to_owned();
    list.as_array().unwrap().iter().map(text).collect()
}

fn kinds(leg: &Value) -> Vec<&str> {
    leg["differs"].as_array().unwrap().iter().map(|one| one["kind"].as_str().unwrap()).collect()
}

#[test]
fn drawings_fit_80_and_200_columns() {
    for name in STORIES {
        for width in ["80", "200"] {
            let text = explained(&story(name), width);
            for line in text.lines() {
                assert!(line.chars().count() <= width.parse().unwrap(), "{name} at {width}: {line:?}");
            }
            insta::with_settings!({omit_expression => true, prepend_module_to_snapshot => false}, {
                insta::assert_snapshot!(format!("paths-{name}-{width}"), text);
            });
        }
    }
}

/// The study: the nodes' own traffic is on the public endpoint, and exec comes in from an
/// EKS-owned ENI.
#[test]
fn the_study_is_told() {
    for name in ["study-public", "study-exec"] {
        let nodes = leg(&story(name), "node-to-api");
        let observed = texts(&nodes["observed"]);
        let expected = "kube-proxy, kubelet on n1, n2: connected with 3.37.178.179:443, 3.39.55.189:443 (public-endpoint)";
        assert!(observed.iter().any(|text| text == expected), "{name}: {observed:?}");
        assert!(kinds(&nodes).is_empty(), "{name}: {nodes}");
    }
    let public = leg(&story("study-public"), "api-to-kubelet");
    assert!(texts(&public["not_seen"]).iter().any(|text| text.contains("from an EKS-owned ENI")), "{public}");
    let exec = leg(&story("study-exec"), "api-to-kubelet");
    let inbound: Vec<_> = texts(&exec["observed"]);
    let expected = "kubelet on n1: connected with 192.168.1.55 eni-077ce071c27ecbaab (private-eni)";
    assert_eq!(inbound[0], expected, "{inbound:?}");
    assert_eq!(exec["not_seen"], json!([]));
    // Every access mode has the same way in.
    for name in STORIES {
        let leg = leg(&story(name), "api-to-kubelet");
        let way = leg["expected"][0].as_str().unwrap();
        assert!(way.starts_with("in every access mode: API server -> EKS-owned ENI ("), "{way}");
        assert!(way.ends_with(" -> kubelet:10250"), "{way}");
    }
}

#[test]
fn what_differs_is_named() {
    let stale = leg(&story("public-and-private-stale"), "node-to-api");
    assert_eq!(kinds(&stale), ["stale"], "{stale}");
    assert!(texts(&stale["differs"])[0].starts_with("kube-proxy, kubelet on n1: "), "{stale}");
    let hanging = leg(&story("endpoint-black-holed"), "node-to-api");
    assert!(kinds(&hanging).contains(&"hanging"), "{hanging}");

    // The node's own answer is public.
    let copy = copy_of("public-and-private-stale");
    fs::write(copy.path().join("dns/n1.txt"), "3.39.55.189\n").unwrap();
    let by_dns = leg(copy.path(), "node-to-api");
    assert_eq!(kinds(&by_dns), ["other-path", "dns"], "{by_dns}");
    // It is not seen: stale or not is not known.
    fs::remove_file(copy.path().join("dns/n1.txt")).unwrap();
    let unknown = leg(copy.path(), "node-to-api");
    assert_eq!(kinds(&unknown), ["other-path"], "{unknown}");
    assert!(texts(&unknown["not_seen"]).contains(&"what the name resolves to on n1".to_owned()), "{unknown}");

    // A peer that nothing explains, in both directions.
    let copy = copy_of("private-only");
    let path = copy.path().join("nodes/n1.txt");
    let rows = fs::read_to_string(&path).unwrap()
        + "ESTAB 0 0 192.168.1.20:40999 203.0.113.9:443 users:((\"kubelet\",pid=1,fd=9))\n\
           ESTAB 0 0 192.168.1.20:10250 203.0.113.10:5000 users:((\"kubelet\",pid=1,fd=8))\n";
    fs::write(path, rows).unwrap();
    for (name, address) in [("node-to-api", "203.0.113.9:443"), ("api-to-kubelet", "203.0.113.10")] {
        let leg = leg(copy.path(), name);
        assert_eq!(kinds(&leg), ["unattributed"], "{leg}");
        assert!(texts(&leg["differs"])[0].contains(address), "{leg}");
    }
    // A mode in which the name should not resolve to public addresses.
    fs::write(copy.path().join("dns/here.txt"), "198.51.100.77\n").unwrap();
    assert_eq!(kinds(&leg(copy.path(), "operator-to-api")), ["dns"]);
}

/// A probe that could not be made shows nothing of the endpoint: it is not seen, and no
/// difference. One that failed is a difference.
#[test]
fn a_probe_that_could_not_be_made_is_not_seen() {
    let copy = copy_of("study-public");
    let write = |vantage: &str, result: &str, proxy: Option<&str>| {
        let mut answer = json!({
            "address": "3.39.55.189:443", "target": "endpoint",
            "tcp": {"result": result, "detail": "the reason"},
        });
        if let Some(proxy) = proxy {
            answer["proxy"] = json!(proxy);
        }
        let host = "97F6F1D8710EF1C6DBA0701CC11150C8.gr7.ap-northeast-2.eks.amazonaws.com";
        let probe = json!({"schema": "eks-netcheck.probe.v1", "host": host, "answers": [answer]});
        fs::create_dir_all(copy.path().join("probe")).unwrap();
        fs::write(copy.path().join(format!("probe/{vantage}.json")), probe.to_string()).unwrap();
    };
    for (vantage, name) in [("here", "operator-to-api"), ("n1", "node-to-api")] {
        for (result, proxy, is_made) in [
            ("proxy", Some("proxy.example:3128"), false),
            ("failed", None, false),
            ("a-word-of-a-later-version", None, false),
            ("timed-out", Some("proxy.example:3128"), true),
            ("timed-out", None, true),
            ("refused", None, true),
        ] {
            write(vantage, result, proxy);
            let leg = leg(copy.path(), name);
            let by_proxy = proxy.map(|proxy| format!(" by the proxy {proxy}")).unwrap_or_default();
            let not_made = format!(
                "whether 3.39.55.189:443{by_proxy} can be reached from {vantage}: the probe could not be made: the reason"
            );
            assert_eq!(texts(&leg["not_seen"]).contains(&not_made), !is_made, "{result}: {leg}");
            assert_eq!(kinds(&leg).contains(&"unreached"), is_made, "{result}: {leg}");
            let observed = texts(&leg["observed"]);
            assert_eq!(
                observed.iter().any(|text| text.contains("a probe did not connect")),
                is_made,
                "{result}: {leg}"
            );
        }
        fs::remove_file(copy.path().join(format!("probe/{vantage}.json"))).unwrap();
    }
}

#[test]
fn evidence_that_is_missing_is_said_to_be_not_seen() {
    let copy = copy_of("study-exec");
    for gone in ["nodes.txt", "network-interfaces.json", "dns/here.txt"] {
        fs::remove_file(copy.path().join(gone)).unwrap();
    }
    let text = explained(copy.path(), "200");
    for expected in [
        "  - not seen: what the name resolves to here",
        "  - not seen: whether the API server can be reached from here: it was not probed",
        "  - not seen: the sockets of nodes",
        "  - not seen: network-interfaces.json: not in the evidence directory",
        "  Observed: nothing",
    ] {
        assert!(text.contains(expected), "no {expected:?} in {text}");
    }
    assert!(!text.contains("differs"), "{text}");
    edit_json(copy.path(), "cluster.json", |json| {
        let config = json["cluster"]["resourcesVpcConfig"].as_object_mut().unwrap();
        config.remove("endpointPrivateAccess");
    });
    let text = explained(copy.path(), "200");
    assert!(text.contains("possibly (the access mode is not recorded)"), "{text}");
}

/// Every observation is of a socket or an answer that the same report has.
#[test]
fn observations_trace_to_evidence() {
    for name in STORIES {
        let (report, _) = Netcheck::audit(&story(name)).json();
        let mut observed = 0;
        for leg in report["architecture"].as_array().unwrap() {
            for one in leg["observed"].as_array().unwrap() {
                observed += 1;
                let names = |key: &str| -> BTreeSet<String> {
                    one[key]
                        .as_array()
                        .unwrap()
                        .iter()
                        .map(|name| name.as_str().unwrap().to_owned())
                        .collect()
                };
                let addresses: BTreeSet<_> =
                    names("peers").iter().map(|peer| peer.split(' ').next().unwrap().to_owned()).collect();
                let mut shown = BTreeSet::new();
                if one["by"] == "dns" {
                    for answer in report["dns"].as_array().unwrap() {
                        if names("places").contains(answer["vantage"].as_str().unwrap()) {
                            shown.extend(
                                answer["addresses"]
                                    .as_array()
                                    .unwrap()
                                    .iter()
                                    .map(|one| one.as_str().unwrap().to_owned()),
                            );
                        }
                    }
                } else {
                    let (direction, state) =
                        match (leg["leg"].as_str().unwrap(), one["result"].as_str().unwrap()) {
                            ("api-to-kubelet", _) => ("inbound", "ESTAB"),
                            (_, "hanging") => ("outbound", "SYN-SENT"),
                            _ => ("outbound", "ESTAB"),
                        };
                    for row in report["connections"].as_array().unwrap() {
                        let is_of = names("places").contains(row["node"].as_str().unwrap())
                            && row["path"] == one["path"]
                            && row["direction"] == direction
                            && row["state"] == state;
                        if is_of {
                            let peer = row["peer"].as_str().unwrap();
                            let peer = if direction == "inbound" {
                                peer.rsplit_once(':').unwrap().0.trim_matches(['[', ']'])
                            } else {
                                peer
                            };
                            shown.insert(peer.to_owned());
                        }
                    }
                }
                assert!(!addresses.is_empty() && addresses.is_subset(&shown), "{name}: {one} of {shown:?}");
            }
        }
        assert!(observed >= 3, "{name}");
    }
}

/// No control sequence, and no end of the block of code in Markdown.
#[test]
fn hostile_names_are_inert_in_drawings() {
    let copy = copy_of("public-and-private-stale");
    let path = copy.path().join("nodes/n1.txt");
    let mut rows = fs::read_to_string(&path).unwrap();
    for (number, name) in
        ["\u{1b}[2J", "````", "│ └ ▶", "\u{202e}telebuk", "::error::x", "한국어", "<b>@x</b>", "``` ````"]
            .iter()
            .enumerate()
    {
        writeln!(
            rows,
            "ESTAB 0 0 192.168.1.20:{} 3.39.55.189:443 users:((\"{name}\",pid=7,fd=9))",
            41000 + number
        )
        .unwrap();
    }
    fs::write(&path, rows).unwrap();
    edit_json(copy.path(), "network-interfaces.json", |json| {
        json["NetworkInterfaces"][0]["NetworkInterfaceId"] = "eni\u{1b}]0;x\u{7}\n````\n# x".into();
    });
    for width in ["20", "40", "80", "200"] {
        let text = explained(copy.path(), width);
        assert!(!text.lines().any(|line| line.contains(is_hostile)), "{text}");
        assert!(!text.lines().any(|line| line.trim_start().starts_with("::")), "{text}");
    }
    let ran = Netcheck::audit(copy.path()).args(&["--explain-paths", "--format", "markdown"]).run();
    let drawing = ran.stdout.split("\n````text\n").nth(1).unwrap();
    // A fence ends at a line of at least as many backticks, indented by at most three blanks.
    let end = drawing
        .lines()
        .position(|line| {
            line.starts_with("````") || line.trim_start().starts_with("````") && !line.starts_with("    ")
        })
        .unwrap();
    let after: Vec<_> = drawing.lines().skip(end + 1).take(2).collect();
    assert!(after.concat().starts_with("| severity"), "{after:?}");
    assert!(!ran.stdout.lines().any(|line| line.contains(is_hostile)));
}

/// The flag concerns text alone: the JSON report is the same with and without it, and so is the
/// exit code.
#[test]
fn the_flag_adds_text_alone() {
    let dir = story("study-exec");
    assert_eq!(Netcheck::audit(&dir).arg("--explain-paths").json(), Netcheck::audit(&dir).json());
    for format in ["table", "markdown"] {
        let with = Netcheck::audit(&dir).args(&["--explain-paths", "--format", format]).run();
        let without = Netcheck::audit(&dir).args(&["--format", format]).run();
        assert_eq!(with.code, without.code);
        assert!(with.stdout.contains('┌') && !without.stdout.contains('┌'), "{format}");
    }
}
