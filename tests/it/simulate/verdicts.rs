//! The verdict of a change, and what it does to each client.

use serde_json::json;

use super::{client, json};
use crate::common::{Netcheck, copy_of, edit_json, scratch, story};

#[test]
fn stale_connections_are_cut_when_the_public_endpoint_closes() {
    let (report, code) = json(&story("public-and-private-stale"), &["--access", "private"]);
    assert_eq!((code, &report["verdict"]), (1, &json!("breaks")));
    let kubelet = client(&report, "n1 kubelet");
    assert_eq!(kubelet["effect"], "interrupted", "{kubelet}");
    assert_eq!((&kubelet["today"], &kubelet["after"]), (&json!("public"), &json!("private")));
    assert_eq!(kubelet["needs"][0]["command"], "ssh -t n1 sudo systemctl restart kubelet");
    let unchanged = client(&report, "n2 kubelet");
    assert_eq!((&unchanged["effect"], &unchanged["reaches"]), (&json!("unchanged"), &json!("yes")));
    // Narrowing takes nothing from them: they go to the ENIs next time.
    let (report, _) = json(&story("public-and-private-stale"), &["--public-cidrs", "198.51.100.0/24"]);
    assert_eq!(client(&report, "n1 kubelet")["reaches"], "yes");
}

/// Once the steps before it are taken, closing is safe; with evidence that is a part of what it
/// should be, that is not known.
#[test]
fn closing_is_safe_after_the_restarts() {
    let dir = copy_of("public-and-private-stale");
    let capture = dir.path().join("nodes/n1.txt");
    let stale = std::fs::read_to_string(&capture).unwrap();
    let restarted =
        stale.replace("3.37.178.179:443", "192.168.2.66:443").replace("3.39.55.189:443", "192.168.1.55:443");
    assert_ne!(restarted, stale);
    std::fs::write(&capture, restarted).unwrap();
    // The operator is outside the VPC.
    let (report, code) = json(dir.path(), &["--access", "private"]);
    assert_eq!(code, 3, "{report:#}");
    assert_eq!(client(&report, "here")["effect"], "unknown");
    std::fs::remove_file(dir.path().join("dns/here.txt")).unwrap();
    let (report, code) = json(dir.path(), &["--access", "private"]);
    assert_eq!(code, 0, "{report:#}");
    assert!(report["notes"].to_string().contains("from here is not judged"), "{report:#}");
    let closing = report["steps"].as_array().unwrap().iter().filter_map(|step| step["command"].as_str());
    assert!(closing.filter(|command| command.contains("endpointPublicAccess=false")).count() == 1);
    let part = json!({"gaps": [{"what": "instances.json", "why": "incomplete", "detail": "the first page"}]});
    std::fs::write(dir.path().join("manifest.json"), part.to_string()).unwrap();
    let (report, code) = json(dir.path(), &["--access", "private"]);
    assert_eq!(code, 3, "{report:#}");
    assert!(report["gaps"].to_string().contains("the first page"), "{report:#}");
}

/// They decide nothing, and a note names the command that records them.
#[test]
fn network_acls_that_were_not_seen_do_not_decide() {
    let (report, _) = json(&story("private-only"), &["--access", "public"]);
    for name in ["n1 kubelet", "n2 kube-proxy"] {
        assert_eq!(client(&report, name)["reaches"], "yes", "{report:#}");
    }
    let notes = report["notes"].to_string();
    assert!(notes.contains("network ACLs were not seen") && notes.contains("/network-acls.json"), "{notes}");
    assert!(!report["gaps"].to_string().contains("network-acls"), "{report:#}");
    // Where nothing changes, nothing is missed.
    let (report, code) = json(&story("private-only"), &["--access", "private"]);
    assert_eq!((code, &report["notes"]), (0, &json!([])), "{report:#}");
}

/// What a flag is that is not recorded decides: then the outcome is not known.
#[test]
fn flags_that_are_not_recorded_are_not_guessed() {
    let dir = copy_of("study-public");
    edit_json(dir.path(), "cluster.json", |json| {
        let config = json["cluster"]["resourcesVpcConfig"].as_object_mut().unwrap();
        config.remove("endpointPrivateAccess").unwrap();
    });
    let (report, code) = json(dir.path(), &["--access", "private"]);
    assert_ne!(code, 0, "{report:#}");
    assert_eq!(report["from"]["access"], "unknown");
    let gaps = report["gaps"].as_array().unwrap();
    assert!(gaps.iter().any(|gap| gap["what"] == "cluster.json: endpoint access"), "{gaps:?}");
}

/// A flag of the public endpoint that is not recorded is assumed to be on, as the rules do: what
/// breaks then is not left open, and what is safe only then is not known.
#[test]
fn what_breaks_with_the_assumed_access_breaks() {
    let dir = copy_of("public-and-private-stale");
    edit_json(dir.path(), "cluster.json", |json| {
        let config = json["cluster"]["resourcesVpcConfig"].as_object_mut().unwrap();
        config.remove("endpointPublicAccess").unwrap();
    });
    let (audit, code) = Netcheck::audit(dir.path()).json();
    assert_eq!((code, &audit["verdict"]), (1, &json!("fail")), "{audit:#}");
    let (report, code) = json(dir.path(), &["--access", "private"]);
    assert_eq!((code, &report["verdict"]), (1, &json!("breaks")), "{report:#}");
    assert_eq!(client(&report, "n1 kubelet")["effect"], "interrupted");
    let gaps = report["gaps"].as_array().unwrap();
    assert!(gaps.iter().any(|gap| gap["what"] == "cluster.json: endpoint access"), "{gaps:?}");
    // Safe as assumed, and not if the public endpoint is off today.
    let (report, code) = json(dir.path(), &["--access", "public-and-private"]);
    assert_eq!((code, &report["verdict"]), (3, &json!("unknown")), "{report:#}");
}

/// Where private access is on, the alternative to turning it off is to leave it on, for which no
/// command is needed.
#[test]
fn private_access_that_is_on_is_not_turned_on() {
    let ran = Netcheck::new(["simulate", "--access", "public", "--evidence"])
        .arg(story("public-and-private-stale"))
        .run();
    let text = crate::common::joined(&ran.stdout).split_whitespace().collect::<Vec<_>>().join(" ");
    let turns_off = text.find("Turn private access off").unwrap_or_else(|| panic!("{text}"));
    let number = text[..turns_off].rsplit(' ').nth(1).unwrap().trim_end_matches('.').to_owned();
    assert!(
        text.contains(&format!(
            "instead of step {number}, leave private access on, with which nodes do not need"
        )),
        "{text}"
    );
    let (report, _) = json(&story("public-and-private-stale"), &["--access", "public"]);
    let needs = client(&report, "n1 kubelet")["needs"].to_string();
    assert!(
        needs.contains("eave private access on") && !needs.contains("endpointPrivateAccess=true"),
        "{needs}"
    );
}

/// What a connection that is still open shows is not what a new one meets: once private access
/// is off, the new ones go to the public endpoint, as the list then is.
#[test]
fn new_connections_of_a_kubelet_on_a_stale_path_are_judged() {
    let nats = "203.0.113.0/24,198.51.100.210/32,198.51.100.211/32";
    // The arguments, a file that is missing, the exit code, and whether n1's kubelet gets through.
    let cases: [(&[&str], Option<&str>, i32, &str); 6] = [
        (&["--access", "public"], None, 1, "no"),
        (&["--access", "public", "--public-cidrs", "198.51.100.211/32,203.0.113.0/24"], None, 1, "no"),
        (&["--access", "public", "--public-cidrs", nats], None, 0, "yes"),
        (&["--access", "public", "--public-cidrs", "0.0.0.0/0"], None, 0, "yes"),
        // An old connection does not show that the list of today admits a new one.
        (&["--access", "public"], Some("nat-gateways.json"), 3, "unknown"),
        // Nothing changes.
        (&["--access", "public-and-private"], None, 0, "yes"),
    ];
    for (args, missing, exit, reaches) in cases {
        let dir = copy_of("public-and-private-stale");
        if let Some(file) = missing {
            std::fs::remove_file(dir.path().join(file)).unwrap();
        }
        let (report, code) = json(dir.path(), args);
        let kubelet = client(&report, "n1 kubelet");
        assert_eq!(
            (code, kubelet["reaches"].as_str()),
            (exit, Some(reaches)),
            "{args:?} {missing:?} {kubelet:#}"
        );
    }
}

/// A private block has no address of its own at the public endpoint: that it uses that today is
/// not known to `reach`, and `simulate`, which counts it as one that may do so, says it.
#[test]
fn a_client_whose_access_today_is_not_known_is_said_to_be_so() {
    let dir = story("public-and-private-stale");
    let (report, code) = json(&dir, &["--access", "private", "--client", "vpn=10.8.0.0/16"]);
    let vpn = client(&report, "vpn");
    assert_eq!((&vpn["effect"], &vpn["reaches"]), (&json!("breaks"), &json!("no")), "{vpn}");
    assert!(
        vpn["why"].as_str().unwrap().contains("not known whether it reaches the API server today"),
        "{vpn}"
    );
    let reach = Netcheck::new(["reach", "--evidence"]).arg(&dir).args(&["--from", "10.8.0.0/16"]).run();
    assert_eq!(reach.code, 3, "{}", reach.stdout);
    assert_eq!(code, 1);
    // So does the first line, of all of those that lose it, or of some.
    let first_line = |clients: &[&str]| {
        let args = ["simulate", "--access", "private", "--evidence"];
        let ran = Netcheck::new(args).arg(&dir).args(clients).run();
        let head = ran.stdout.split("\n\n").next().unwrap();
        head.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    let doubt = "access today, which is not known";
    let one = first_line(&["--client", "vpn=10.8.0.0/16"]);
    assert!(one.contains(&format!("loses the API server, if it has {doubt}; 2 are cut off")), "{one}");
    let some = ["--client", "vpn=10.8.0.0/16", "--client", "ci=203.0.113.7"];
    let some = first_line(&some);
    assert!(some.contains(&format!("lose the API server, 1 of them only if it has {doubt}; ")), "{some}");
    assert!(!first_line(&["--client", "ci=203.0.113.7"]).contains(doubt));
}

/// Safe for the clients is not safe: what a rule would find afterwards stands at the verdict.
#[test]
fn a_change_that_opens_the_endpoint_is_safe_with_a_warning() {
    let dir = scratch();
    let simulate = |story_of: &str, args: &[&str]| {
        let run = Netcheck::new(["simulate", "--evidence"]).arg(story(story_of)).args(args);
        run.dir(dir.path()).env("COLUMNS", "120")
    };
    let open = "warning: afterwards, anyone in 0.0.0.0/0 can reach the endpoint (public-endpoint-open)";
    let ran = simulate("public-and-private-stale", &["--public-cidrs", "0.0.0.0/0"]).run();
    let lines: Vec<_> = ran.stdout.lines().collect();
    assert_eq!(ran.code, 0);
    assert!(lines[0].starts_with("SAFE ") && lines[1].trim() == open, "{}", ran.stdout);
    // At the end too.
    assert_eq!(lines[lines.len() - 2..], lines[..2]);
    let (report, code) =
        simulate("public-and-private-stale", &["--public-cidrs", "0.0.0.0/1,128.0.0.0/1"]).json();
    assert!(code == 0 && report["warnings"][0].as_str().unwrap().contains("0.0.0.0/0"), "{report}");
    let markdown =
        simulate("public-and-private-stale", &["--public-cidrs", "0.0.0.0/0", "--format", "markdown"]);
    let markdown = markdown.run().stdout;
    assert!(markdown.contains("Warning: afterwards, anyone in"), "{markdown}");
    // A list that is narrow, no public endpoint, and what is so today.
    for (story, args) in [
        ("public-and-private-stale", &["--public-cidrs", "198.51.100.0/24"][..]),
        ("public-and-private-stale", &["--access", "private"]),
        ("study-public", &["--access", "public-and-private"]),
    ] {
        let (report, _) = simulate(story, args).json();
        assert_eq!(report["warnings"], serde_json::json!([]), "{args:?}");
    }
    // The limit, the modes and the list are those of the policy here.
    let policy = "[endpoint]\nwidest-ipv4 = \"/24\"\n";
    std::fs::write(dir.path().join("eks-netcheck.toml"), policy).unwrap();
    let (report, _) = simulate("public-and-private-stale", &["--public-cidrs", "198.51.0.0/16"]).json();
    assert!(report["warnings"].to_string().contains("198.51.0.0/16"), "{report}");
}
