//! `reach` as its users meet it: tables, JSON, exit codes, and arguments that are wrong.

use std::ffi::OsStr;
use std::path::Path;

use eks_netcheck::report::text::is_hostile;
use serde_json::{Value, json};

use crate::common::{Netcheck, copy_of, copy_probe, edit_json, fixtures, root, scratch, story};

fn reach(dir: &Path, from: &str) -> Netcheck {
    let args = [OsStr::new("reach"), OsStr::new("--cluster"), OsStr::new("myeks"), OsStr::new("--evidence")];
    Netcheck::new(args).arg(dir).args(&["--from", from])
}

/// The evidence of a private-only cluster with network ACLs.
fn with_acls() -> tempfile::TempDir {
    let copy = copy_of("private-only");
    let entry = |number: u32, egress: bool, action: &str| json!({"RuleNumber": number, "Egress": egress, "RuleAction": action, "Protocol": "-1", "CidrBlock": "0.0.0.0/0"});
    let subnets: Value =
        serde_json::from_slice(&std::fs::read(copy.path().join("subnets.json")).unwrap()).unwrap();
    let of_subnet = |subnet: &Value| json!({"SubnetId": subnet["SubnetId"]});
    let associations: Vec<_> = subnets["Subnets"].as_array().unwrap().iter().map(of_subnet).collect();
    let acl = json!({"NetworkAcls": [{
        "NetworkAclId": "acl-0a1b2c3d4e5f60718", "VpcId": "vpc-0743da384fd1e48f4", "IsDefault": true,
        "Associations": associations,
        "Entries": [entry(100, false, "allow"), entry(100, true, "allow"), entry(32767, false, "deny"), entry(32767, true, "deny")],
    }]});
    std::fs::write(copy.path().join("network-acls.json"), acl.to_string()).unwrap();
    copy
}

fn without_the_bastion(dir: &Path) {
    edit_json(dir, "security-groups.json", |json| {
        for group in json["SecurityGroups"].as_array_mut().unwrap() {
            group["IpPermissions"].as_array_mut().unwrap().retain(|rule| rule["FromPort"] != 443);
        }
    });
}

/// The next step of what is not known is that of its cause: evidence that is there need not be
/// recorded again.
#[test]
fn the_next_step_of_a_place_that_is_not_known_is_that_of_its_cause() {
    for (name, kinds) in [
        ("public-and-private-stale", ["route", "security-groups"]),
        ("study-public", ["route", "security-groups"]),
    ] {
        let (report, code) = reach(&story(name), "192.168.0.0/16").json();
        assert_eq!(code, 3, "{report:#}");
        for kind in kinds {
            let step = step(&report, kind);
            assert_eq!(step["result"], "unknown", "{report:#}");
            assert_eq!(
                step["fix"][0]["text"], "Pass the address of one host with --from",
                "{name} {kind}: {report:#}"
            );
        }
        let table = reach(&story(name), "192.168.0.0/16").run().stdout;
        for file in ["route-tables.json", "security-groups.json", "subnets.json"] {
            assert!(!table.contains(file), "{name}: {table}");
        }
        // One address was passed.
        let (report, code) = reach(&story(name), "192.168.1.200").json();
        assert_eq!(code, 3, "{report:#}");
        let step = step(&report, "security-groups");
        let why = step["why"].as_str().unwrap();
        assert!(why.contains("no recorded network interface has this address"), "{report:#}");
        let text = step["fix"][0]["text"].as_str().unwrap();
        assert!(text.contains("Check the address that is passed with --from"), "{report:#}");
    }
    let simulate = Netcheck::new(["simulate", "--evidence"]).arg(story("public-and-private-stale"));
    let ran = simulate.args(&["--access", "private", "--client", "bastion=192.168.1.5"]).run();
    let text = ran.stdout.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(text.contains("no recorded network interface has this address"), "{text}");
    assert!(!text.contains("no single network interface"), "{text}");
    // Evidence that is missing is recorded.
    let copy = copy_of("public-and-private-stale");
    std::fs::remove_file(copy.path().join("subnets.json")).unwrap();
    let table = reach(copy.path(), "192.168.1.200").run().stdout;
    assert!(table.contains("subnets.json"), "{table}");
}

/// A block with bits behind its prefix is refused, as in `simulate`.
#[test]
fn a_block_with_bits_behind_its_prefix_is_refused() {
    for (block, word) in [
        ("203.0.113.7/24", "write 203.0.113.0/24"),
        ("2001:db8::1/64", "write 2001:db8::/64"),
        ("203.0.113.7/0", "did you mean 203.0.113.7/32"),
    ] {
        let ran = reach(&story("public-and-private-stale"), block).run();
        assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{block}");
        assert!(
            ran.stderr.contains("bits are set behind the prefix") && ran.stderr.contains(word),
            "{}",
            ran.stderr
        );
    }
}

fn step<'a>(report: &'a Value, name: &str) -> &'a Value {
    report["steps"].as_array().unwrap().iter().find(|step| step["name"] == name).unwrap()
}

#[test]
fn the_table_has_the_answer_its_reasons_and_the_command() {
    let dir = with_acls();
    without_the_bastion(dir.path());
    for width in [80, 200] {
        let ran = reach(dir.path(), "192.168.11.10").env("COLUMNS", &width.to_string()).run();
        assert_eq!((ran.code, ran.stderr.as_str()), (1, ""));
        let head = "NO  192.168.11.10 does not reach the private endpoint of myeks: no inbound rule";
        assert!(ran.stdout.starts_with(&head[..70]), "{}", ran.stdout);
        let rows: Vec<Vec<_>> =
            ran.stdout.lines().map(|line| line.split_whitespace().take(3).collect()).collect();
        for row in [["name", "met", "with"], ["route", "met", "it"], ["security-groups", "NOT", "met"]] {
            assert!(rows.iter().any(|cells| cells.starts_with(&row)), "{row:?} in {}", ran.stdout);
        }
        assert!(!ran.stdout.contains("public-access-cidrs"), "{}", ran.stdout);
        let joined = crate::common::joined(&ran.stdout);
        let command = joined.lines().find(|line| line.contains("authorize-security-group-ingress")).unwrap();
        assert!(
            command.contains("--group-id sg-043c307828ef68129")
                && command.contains("GroupId=sg-051dadfda260b0305")
        );
        // A word of a command is not broken.
        let too_long = ran
            .stdout
            .lines()
            .filter(|line| line.chars().count() > width && line.split_whitespace().count() > 2);
        assert_eq!(too_long.collect::<Vec<_>>(), Vec::<&str>::new());
    }
}

/// The answer is yes, and the line says that not every connection is.
#[test]
fn an_address_that_is_not_reached_is_in_the_answer() {
    let story = crate::common::fixtures().join("reach/peered-vpc-with-one-route-back/evidence");
    let dir = crate::common::copy_of_dir(&crate::common::fixtures().join("access/private"));
    crate::common::copy(&story, dir.path());
    let ran = reach(dir.path(), "10.50.3.7").run();
    let head = "YES  10.50.3.7 reaches the private endpoint of myeks, but some connections hang: see route\n";
    assert!(ran.code == 0 && ran.stdout.starts_with(head), "{}", ran.stdout);
    assert!(ran.stdout.contains("What to do\n  1. Add a route to 10.50.3.7/32 in rtb-09c51c1c6edb922e8"));
    let whole = crate::common::fixtures().join("reach/peered-vpc-that-is-admitted/evidence");
    crate::common::copy(&whole, dir.path());
    let ran = reach(dir.path(), "10.50.3.7").run();
    assert!(
        ran.stdout.starts_with("YES  10.50.3.7 reaches the private endpoint of myeks\n"),
        "{}",
        ran.stdout
    );
}

/// The reason is in the answer and in the table; what is not seen has the next step alone.
#[test]
fn a_reason_is_not_repeated() {
    let dir = crate::common::copy_of_dir(&crate::common::fixtures().join("access/private"));
    let ran = reach(dir.path(), "192.168.0.0/15").env("COLUMNS", "200").run();
    let words = ran.stdout.split_whitespace().collect::<Vec<_>>().join(" ");
    // Once each in the first line and in the table.
    assert_eq!(words.matches("only a part of it is in the VPC").count(), 2, "{}", ran.stdout);
    assert!(ran.stdout.contains("Not seen\n  - route: pass a block within the VPC"), "{}", ran.stdout);
}

#[test]
fn json_follows_its_schema_and_is_written_whole() {
    let schema = std::fs::read_to_string(root().join("src/report/reach.v1.schema.json")).unwrap();
    let schema = jsonschema::validator_for(&serde_json::from_str(&schema).unwrap()).unwrap();
    let dir = with_acls();
    let out = scratch();
    let file = out.path().join("reach.json");
    for (from, code, verdict) in [
        ("n1", 0, "yes"),
        ("192.168.11.10", 0, "yes"),
        ("203.0.113.7", 1, "no"),
        ("10.9.0.0/16", 1, "no"),
        ("192.168.11.77", 3, "unknown"),
        ("here", 3, "unknown"),
    ] {
        let ran = reach(dir.path(), from)
            .args(&["--format", "json", "--write"])
            .arg(format!("json={}", file.display()))
            .run();
        assert_eq!(ran.code, code, "{from}: {}{}", ran.stdout, ran.stderr);
        let report: Value = serde_json::from_str(&ran.stdout).unwrap();
        let errors: Vec<_> = schema.iter_errors(&report).map(|error| error.to_string()).collect();
        assert!(errors.is_empty(), "{errors:?}");
        assert_eq!(std::fs::read_to_string(&file).unwrap(), ran.stdout);
        assert_eq!(report["schema"], "eks-netcheck.reach.v1");
        assert_eq!(report["cluster"], "myeks");
        assert_eq!(report["verdict"], verdict, "{from}");
        // Unknown says what is missing.
        let gaps = report["gaps"].as_array().unwrap();
        let is_needed = |gap: &&Value| gap["what"] != "network-acls.json";
        assert_eq!(gaps.iter().any(|gap| is_needed(&gap)), verdict == "unknown", "{report:#}");
        assert_eq!(ran.stderr, "");
    }
    let (report, _) = reach(dir.path(), "203.0.113.7").json();
    assert_eq!(report["from"], "203.0.113.7");
    assert_eq!(step(&report, "route")["result"], "not-met");
    assert!(step(&report, "route")["fix"][0]["text"].is_string());
}

/// A VPC's default network ACL lets everything pass, and few recordings have the file.
#[test]
fn network_acls_that_were_not_recorded_decide_nothing_and_are_named_with_the_command() {
    // It writes into the directory of the evidence.
    let path = story("private-only").join("network-acls.json");
    let command = format!(
        "aws ec2 describe-network-acls --region ap-northeast-2 --filters Name=vpc-id,Values=vpc-0743da384fd1e48f4 > {}",
        path.display()
    );
    let ran = reach(&story("private-only"), "192.168.11.10").env("COLUMNS", "60").run();
    assert_eq!(ran.code, 0, "{}", ran.stdout);
    // On lines of its own, which a shell joins.
    let joined = crate::common::joined(&ran.stdout);
    assert!(joined.lines().any(|line| line.trim() == command), "{}", ran.stdout);
    let (report, code) = reach(&story("private-only"), "192.168.11.10").json();
    assert_eq!((code, &report["verdict"]), (0, &"yes".into()));
    let acl = step(&report, "network-acl");
    assert_eq!(acl["result"], "not-applicable");
    assert!(acl["why"].as_str().unwrap().contains("were not seen"), "{acl:#}");
    let gap = &report["gaps"][0];
    assert_eq!((&gap["what"], report["gaps"].as_array().unwrap().len()), (&"network-acls.json".into(), 1));
    assert!(gap["hint"].as_str().unwrap().ends_with(&command), "{gap:#}");
    assert_eq!(step(&report, "security-groups")["result"], "met");
    // To the public endpoint too, of a place whose subnet is not known.
    let (report, _) = reach(&story("study-public"), "192.168.1.103").json();
    assert_eq!(step(&report, "network-acl")["result"], "not-applicable");
    // Where another condition is not met, that is the answer.
    assert_eq!(reach(&story("private-only"), "10.9.0.0/16").json().1, 1);
    // A node that is connected shows that they let it pass.
    let (report, code) = reach(&story("private-only"), "n1").json();
    assert_eq!((code, &report["gaps"]), (0, &serde_json::json!([])), "{report:#}");
    // No rule of audit needs them, and none misses them.
    let audit = Netcheck::audit(&story("private-only")).run();
    assert!(!audit.stdout.contains("network-acls"), "{}", audit.stdout);
}

/// Every subnet has an association with a network ACL, also with the default one.
#[test]
fn a_subnet_without_an_association_is_not_known_to_pass() {
    let dir = with_acls();
    assert_eq!(reach(dir.path(), "192.168.11.10").json().1, 0);
    edit_json(dir.path(), "network-acls.json", |json| json["NetworkAcls"][0]["Associations"] = json!([]));
    let (report, code) = reach(dir.path(), "192.168.11.10").json();
    assert_eq!((code, &step(&report, "network-acl")["result"]), (3, &"unknown".into()), "{report:#}");
}

#[test]
fn a_place_that_is_none_is_refused() {
    for (from, message) in [
        ("10.0.0.0/40", "10.0.0.0/40"),
        ("10.0.0.256", "is not an address"),
        ("10.0.0", "is not an address"),
        ("2001:db8::g", "is not an address"),
        ("10.0.0.0/", "is not a CIDR block"),
        ("/", "is not a CIDR block"),
        ("", "a node name consists of"),
        ("a b", "a node name consists of"),
        ("-x", "unexpected argument"),
        ("n9", "no such node; the nodes are n1, n2"),
        ("\u{202e}x", "a node name consists of"),
        ("224.0.0.1", "not an address of a place"),
        ("127.0.0.1", "not an address of a place"),
        ("169.254.169.254", "not an address of a place"),
        ("169.254.0.0/16", "not an address of a place"),
        ("0.0.0.0", "not an address of a place"),
        ("255.255.255.255", "not an address of a place"),
        ("::1", "not an address of a place"),
        ("fe80::1", "not an address of a place"),
        ("ff02::1", "not an address of a place"),
        ("10.100.0.1", "not an address of a place"),
        ("10.100.7.0/24", "not an address of a place"),
    ] {
        let ran = reach(&story("private-only"), from).run();
        assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{from:?}: {}", ran.stderr);
        assert!(ran.stderr.contains(message), "{from:?}: {}", ran.stderr);
    }
    let ran = reach(Path::new("/nonexistent"), "here").run();
    assert_eq!(ran.code, 2, "{}", ran.stderr);
    let ran = reach(&story("private-only"), "here").args(&["--region", "eu-west-1"]).run();
    assert_eq!(ran.code, 2, "{}", ran.stderr);
    let other = Netcheck::new(["reach", "--cluster", "other", "--evidence"]).arg(story("private-only")).run();
    assert_eq!(other.code, 4, "{}", other.stderr);
}

/// An answer shows that what applies on the way is met. What does not apply there does not apply.
#[test]
fn an_answer_does_not_show_conditions_that_do_not_apply() {
    let dir = copy_of("study-public");
    copy_probe(&fixtures().join("rules/anonymous-version-disclosed/fires"), dir.path());
    let (report, code) = reach(dir.path(), "here").json();
    let results: Vec<_> = report["steps"].as_array().unwrap().iter().map(|step| &step["result"]).collect();
    let expected = ["met", "met", "not-applicable", "not-applicable", "not-applicable", "met", "met"];
    assert_eq!((results, code), (expected.map(serde_json::Value::from).iter().collect(), 0), "{report}");
    let text = reach(dir.path(), "here").run().stdout;
    assert!(text.contains("the public endpoint has no security groups"), "{text}");
    assert!(!text.contains("for the same reason"), "{text}");
    // They apply to a node of the VPC, whose connection meets them.
    let text = reach(dir.path(), "n1").run().stdout;
    assert_eq!(text.matches("met     for the same reason").count(), 3, "{text}");
}

/// A place has one name, however it is written.
#[test]
fn places_are_normalised() {
    let dir = with_acls();
    for (from, same) in [("::ffff:192.168.11.10", "192.168.11.10"), ("::ffff:10.9.0.0/112", "10.9.0.0/16")] {
        assert_eq!(reach(dir.path(), from).json(), reach(dir.path(), same).json(), "{from}");
    }
    for node in ["i-00d7b63458527ea51", "192.168.1.20"] {
        assert_eq!(reach(dir.path(), node).run().code, 0, "{node}");
    }
}

#[test]
fn hostile_names_are_escaped_and_kept_out_of_commands() {
    let hostile = "x\u{1b}[2J\u{202e}; rm -rf ~\n::error::";
    let dir = with_acls();
    without_the_bastion(dir.path());
    let text = |file: &str, old: &str| {
        let path = dir.path().join(file);
        let json = serde_json::to_string(hostile).unwrap();
        let text = std::fs::read_to_string(&path).unwrap().replace(&format!("\"{old}\""), &json);
        std::fs::write(path, text).unwrap();
    };
    for file in ["security-groups.json", "network-interfaces.json", "cluster.json", "instances.json"] {
        for id in ["sg-043c307828ef68129", "sg-051dadfda260b0305", "i-0ee483ee5fe7933d4"] {
            text(file, id);
        }
    }
    text("network-acls.json", "acl-0a1b2c3d4e5f60718");
    let deny = |json: &mut Value| json["NetworkAcls"][0]["Entries"][0]["RuleAction"] = json!("deny");
    let groups = reach(dir.path(), "192.168.11.10").run();
    edit_json(dir.path(), "network-acls.json", deny);
    let acl = reach(dir.path(), "192.168.11.10").run();
    for (ran, command) in [(groups, "authorize-security-group-ingress"), (acl, "create-network-acl-entry")] {
        assert_eq!(ran.code, 1, "{}{}", ran.stdout, ran.stderr);
        assert!(ran.stdout.lines().all(|line| !line.contains(is_hostile)), "{:?}", ran.stdout);
        let command = ran.stdout.lines().find(|line| line.contains(command)).unwrap();
        assert!(!command.contains("rm -rf"), "{command}");
    }
    for format in ["json", "table"] {
        let ran = reach(dir.path(), "192.168.11.10").args(&["--format", format]).run();
        assert!(ran.stdout.lines().all(|line| !line.contains(is_hostile)), "{:?}", ran.stdout);
    }
}

/// Evidence of which its source says that it is a part proves nothing that the rest could
/// change.
#[test]
fn a_part_of_an_answer_is_no_yes() {
    // What the network ACLs of a missing page would deny decides no more than if none was seen.
    for (file, code) in [("security-groups.json", 3), ("network-acls.json", 0)] {
        let dir = with_acls();
        assert_eq!(reach(dir.path(), "192.168.11.10").run().code, 0);
        let manifest = json!({
            "version": "0.1.0", "time": "2026-01-01T00:00:00Z",
            "gaps": [{"what": file, "why": "incomplete", "detail": "a page is missing", "hint": ""}],
        });
        std::fs::write(dir.path().join("manifest.json"), manifest.to_string()).unwrap();
        let ran = reach(dir.path(), "192.168.11.10").run();
        assert_eq!(ran.code, code, "{}{}", ran.stdout, ran.stderr);
        assert!(ran.stdout.contains("a page is missing"), "{}", ran.stdout);
        // A connection does not need them.
        assert_eq!(reach(dir.path(), "n1").run().code, 0);
    }
}

#[cfg(feature = "live")]
mod live {
    use eks_netcheck_lab::aws::{Account, Api, Fault, FaultKind};

    use serde_json::Value;

    use super::{reach, step, with_acls, without_the_bastion};
    use crate::aws::Aws;
    use crate::common::scratch;

    fn serve(dir: &std::path::Path) -> Aws {
        Aws(Api::serve(Account::from_evidence(dir).unwrap()).unwrap())
    }

    /// The bastion is no node, so that only its network interface is known.
    #[test]
    fn live_answers_are_those_of_a_recording() {
        let dir = with_acls();
        for code in [0, 1] {
            let aws = serve(dir.path());
            let (live, live_code) = aws.run("reach").args(&["--from", "192.168.11.10"]).json();
            let (recorded, recorded_code) = reach(dir.path(), "192.168.11.10").json();
            assert_eq!((live_code, recorded_code), (code, code), "{live:#}");
            assert_eq!(live, recorded);
            without_the_bastion(dir.path());
        }
    }

    #[test]
    fn a_cluster_that_does_not_exist_ends_with_4() {
        let aws = serve(with_acls().path());
        let run = crate::common::Netcheck::new(["reach", "--cluster", "nope"])
            .env("AWS_ENDPOINT_URL", &aws.0.url());
        let run = run.env("AWS_ACCESS_KEY_ID", "A").env("AWS_SECRET_ACCESS_KEY", "B");
        let ran = run.env("AWS_REGION", "ap-northeast-2").run();
        assert_eq!((ran.code, ran.stdout.as_str()), (4, ""), "{}", ran.stderr);
        assert!(
            ran.stderr.contains("cannot describe the cluster nope") && ran.stderr.contains("myeks"),
            "{}",
            ran.stderr
        );
    }

    #[test]
    fn network_acls_that_are_refused_decide_nothing() {
        let aws = serve(with_acls().path());
        aws.0.inject_fault(Fault::always("DescribeNetworkAcls", FaultKind::Denied));
        let (report, code) = aws.run("reach").args(&["--from", "192.168.11.10"]).json();
        assert_eq!((code, &report["verdict"]), (0, &"yes".into()), "{report:#}");
        assert_eq!(step(&report, "network-acl")["result"], "not-applicable");
        assert!(report["gaps"].to_string().contains("ec2:DescribeNetworkAcls"), "{report:#}");
    }

    #[test]
    fn a_cluster_that_does_not_exist_leaves_a_report_that_says_so() {
        let aws = serve(with_acls().path());
        let out = scratch();
        let file = out.path().join("report.json");
        let run = crate::common::Netcheck::new(["reach", "--cluster", "nope"])
            .env("AWS_ENDPOINT_URL", &aws.0.url());
        let run = run.env("AWS_ACCESS_KEY_ID", "A").env("AWS_SECRET_ACCESS_KEY", "B");
        let run = run.env("AWS_REGION", "ap-northeast-2").arg("--write");
        let ran = run.arg(format!("json={}", file.display())).run();
        assert_eq!((ran.code, ran.stdout.as_str()), (4, ""), "{}", ran.stderr);
        let report: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
        assert_eq!((&report["cluster"], &report["verdict"]), (&"nope".into(), &"unknown".into()));
        assert!(report["gaps"].to_string().contains("myeks"), "{report:#}");
    }

    /// Older IAM policies lack the action.
    #[test]
    fn network_acls_that_are_refused_leave_the_exit_code_of_collect() {
        for (fault, code) in [
            (None, 0),
            (Some(("DescribeNetworkAcls", FaultKind::Denied)), 0),
            (Some(("DescribeNetworkAcls", FaultKind::Internal)), 3),
            (Some(("DescribeSubnets", FaultKind::Denied)), 3),
        ] {
            let aws = serve(with_acls().path());
            aws.0.update_account(|account| {
                let cluster = account.clusters.get_mut("myeks").unwrap();
                cluster["endpoint"] = "https://localhost".into();
            });
            let name = format!("{fault:?}");
            if let Some((operation, kind)) = fault {
                aws.0.inject_fault(Fault::always(operation, kind));
            }
            let out = scratch();
            let dir = out.path().join("evidence");
            let collect = aws.run("collect").args(&["--nodes", "none", "--timeout", "8", "--out"]);
            let ran = collect.arg(&dir).run();
            assert_eq!(ran.code, code, "{name}: {}", ran.stderr);
            assert_eq!(
                ran.stderr.contains("network-acls.json: "),
                name.contains("NetworkAcls"),
                "{name}: {}",
                ran.stderr
            );
            // What is refused is not missed by audit; reach lists it, and answers without it.
            if name.contains("NetworkAcls") {
                let audit = crate::common::Netcheck::audit(&dir).run();
                assert!(!audit.stdout.contains("network-acls"), "{}", audit.stdout);
                let reached = reach(&dir, "192.168.11.10").run();
                assert_eq!(reached.code, 0, "{}", reached.stdout);
                assert!(reached.stdout.contains("- network-acls.json: "), "{}", reached.stdout);
            } else {
                assert!(dir.join("network-acls.json").exists());
            }
        }
    }
}

/// Established connections decide as long as a new one to any address of the side may come about.
#[test]
fn connections_beside_probes_that_fail() {
    const ENIS: [&str; 2] = ["192.168.1.55:443", "192.168.2.66:443"];
    const PUBLIC: [&str; 2] = ["3.39.55.189:443", "3.37.178.179:443"];
    // The settings, what the two addresses answered, the proxy, and the exit code.
    type Case<'a> = (&'a str, [Option<&'a str>; 2], Option<&'a str>, i32);
    let cases: [Case<'_>; 11] = [
        ("private", [Some("timed-out"), Some("timed-out")], None, 3),
        ("private", [Some("refused"), Some("no-route")], None, 3),
        ("private", [Some("timed-out"), Some("done")], None, 0),
        ("private", [Some("timed-out"), None], None, 0),
        // A probe that could not be made shows nothing.
        ("private", [Some("timed-out"), Some("failed")], None, 0),
        ("private", [Some("failed"), Some("failed")], None, 0),
        // The connections do not go by the proxy.
        ("private", [Some("timed-out"), Some("timed-out")], Some("192.0.2.9:3128"), 0),
        ("public", [Some("timed-out"), Some("timed-out")], None, 3),
        ("public", [Some("timed-out"), Some("done")], None, 0),
        ("public", [Some("timed-out"), None], None, 0),
        ("public", [Some("timed-out"), Some("timed-out")], Some("192.0.2.9:3128"), 0),
    ];
    for (mode, results, proxy, exit) in cases {
        let dir = crate::common::copy_of_dir(&crate::common::fixtures().join("access").join(mode));
        let cluster: Value =
            serde_json::from_slice(&std::fs::read(dir.path().join("cluster.json")).unwrap()).unwrap();
        let host = cluster["cluster"]["endpoint"].as_str().unwrap().trim_start_matches("https://");
        let (addresses, target) = if mode == "private" { (ENIS, "eni") } else { (PUBLIC, "endpoint") };
        let answers = addresses.into_iter().zip(results).filter_map(|(address, result)| {
            let tcp = json!({"result": result?, "detail": "as told"});
            Some(json!({"address": address, "target": target, "proxy": proxy, "tcp": tcp}))
        });
        let probe = json!({
            "schema": "eks-netcheck.probe.v1", "host": host, "tool": "curl",
            "answers": answers.collect::<Vec<_>>(),
        });
        std::fs::create_dir_all(dir.path().join("probe")).unwrap();
        std::fs::write(dir.path().join("probe/n1.json"), probe.to_string()).unwrap();
        let ran = reach(dir.path(), "n1").run();
        assert_eq!(ran.code, exit, "{mode} {results:?} {proxy:?}: {} {}", ran.stdout, ran.stderr);
        // Another node's connections are its own.
        assert_eq!(reach(dir.path(), "n2").run().code, 0);
    }
}

/// A command replaces the whole list: the one for a node has the addresses of all nodes, so that
/// the commands for two nodes set the same list.
#[test]
fn the_list_for_a_node_has_the_addresses_of_all_nodes() {
    let lists = ["n2", "n3"].map(|node| {
        let ran = reach(&story("node-egress-missing"), node).run();
        let text = crate::common::joined(&ran.stdout);
        let list = text.split("publicAccessCidrs=").nth(1).unwrap_or_else(|| panic!("{text}"));
        let list = list.split_whitespace().next().unwrap();
        list.split(',').map(str::to_owned).collect::<std::collections::BTreeSet<_>>()
    });
    assert_eq!(lists[0], lists[1]);
    assert_eq!(lists[0].len(), 4, "{lists:?}");
}

/// A connection that is older than the list does not contradict the answer.
#[test]
fn a_node_that_is_still_connected_is_said_to_be() {
    let ran = reach(&story("node-egress-missing"), "n2").run();
    assert_eq!(ran.code, 1);
    let text = ran.stdout.split_whitespace().collect::<Vec<_>>().join(" ");
    let head = "NO new connections from n2 to the public endpoint of myeks are refused; it is connected now by \
        earlier ones: see public-access-cidrs ";
    assert!(text.starts_with(head), "{text}");
    let reason = "it is connected now, and new connections will be refused once these end";
    assert_eq!(text.matches(reason).count(), 1, "{text}");
}

/// What was seen of a node holds for the address with which it leaves the VPC; a command is not
/// wrapped.
#[test]
fn the_address_of_a_node_that_is_cut_off_is_not_known_to_pass() {
    for from in ["n1", "198.51.100.210"] {
        let ran = reach(&story("endpoint-black-holed"), from).env("COLUMNS", "80").run();
        assert_eq!(ran.code, 3, "{from}: {}", ran.stdout);
        let start = ran.stdout.find(" nc -vz ").unwrap_or_else(|| panic!("{}", ran.stdout));
        let line = ran.stdout[..start].rsplit('\n').next().unwrap();
        assert!(line.trim().is_empty(), "{line}");
        assert!(crate::common::joined(&ran.stdout).contains("eks.amazonaws.com 443\n"), "{}", ran.stdout);
    }
    // That of the other node does.
    assert_eq!(reach(&story("endpoint-black-holed"), "198.51.100.211").run().code, 0);
}

/// A report that a small terminal shows whole has its answer once, a longer one at its end too and
/// then without the reason.
#[test]
fn the_answer_is_said_again_where_it_has_scrolled_away() {
    for (columns, answers) in [("200", 1), ("40", 2)] {
        let ran = reach(&story("public-and-private-stale"), "198.51.100.7").env("COLUMNS", columns).run();
        let rows = ran.stdout.lines().count();
        assert_eq!(rows >= 24, answers == 2, "{rows}: {}", ran.stdout);
        let word = ran.stdout.split_whitespace().next().unwrap();
        let number = ran.stdout.lines().filter(|line| line.starts_with(word)).count();
        assert_eq!(number, answers, "{}", ran.stdout);
    }
}
