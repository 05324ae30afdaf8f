//! Live calls to AWS: the real SDK clients against servers on loopback.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use eks_netcheck_lab::aws::{Account, Api, Fault, FaultKind};
use eks_netcheck_lab::credentials::{
    CONTAINER_KEY, CredentialServer, INSTANCE_KEY, PORTAL_KEY, PORTAL_TOKEN,
};
use serde_json::{Value, json};

use crate::common::{Netcheck, Ran, root, scratch, story};

/// A fake AWS that serves what a story recorded.
pub(crate) struct Aws(pub(crate) Api);

impl Aws {
    pub(crate) fn of(name: &str) -> Self {
        Self(Api::serve(Account::from_evidence(&story(name)).unwrap()).unwrap())
    }

    /// `audit --nodes none`. It resolves names with this machine's name server.
    pub(crate) fn audit(&self) -> Netcheck {
        self.run("audit").args(&["--nodes", "none", "--timeout", "20"])
    }

    /// A command against this AWS, with credentials and a region from the environment. The
    /// addresses in it are not dialled: this machine's network may have some of them.
    pub(crate) fn run(&self, command: &str) -> Netcheck {
        self.probing(command).args(&["--probe", "none"])
    }

    /// The same with probes.
    pub(crate) fn probing(&self, command: &str) -> Netcheck {
        Netcheck::new([command, "--cluster", "myeks"])
            .env("AWS_ENDPOINT_URL", &self.0.url())
            .env("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
            .env("AWS_SECRET_ACCESS_KEY", "not-a-secret")
            .env("AWS_REGION", "ap-northeast-2")
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .env("AWS_CONFIG_FILE", "/dev/null")
            .env("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
    }

    pub(crate) fn fault(&self, operation: &str, kind: FaultKind) {
        self.0.inject_fault(Fault::always(operation, kind));
    }

    /// The operations called so far, without duplicates.
    fn operations(&self) -> BTreeSet<String> {
        self.0.calls().into_iter().map(|call| call.operation).collect()
    }
}

/// The gap about a file, if there is one.
pub(crate) fn gap<'a>(report: &'a Value, what: &str) -> Option<&'a Value> {
    report["gaps"].as_array().unwrap().iter().find(|gap| gap["what"] == what)
}

pub(crate) fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// The EC2 calls, the file that each fills, and the rules that cannot judge a
/// private-only cluster without it.
const FILES: [(&str, &str, &[&str]); 8] = [
    ("DescribeNetworkInterfaces", "network-interfaces.json", &["control-plane-enis-missing"]),
    ("DescribeInstances", "instances.json", &[]),
    ("DescribeVpcs", "vpc.json", &["private-dns-unavailable"]),
    ("DescribeSubnets", "subnets.json", &[]),
    ("DescribeDhcpOptions", "dhcp-options.json", &["private-dns-unavailable"]),
    ("DescribeNatGateways", "nat-gateways.json", &[]),
    ("DescribeRouteTables", "route-tables.json", &[]),
    ("DescribeSecurityGroups", "security-groups.json", &[]),
];

#[test]
fn the_iam_policy_lists_exactly_the_actions_called() {
    let ran = Netcheck::new(["iam-policy"]).run();
    let policy: Value = serde_json::from_str(&ran.stdout).unwrap();
    let allowed: BTreeSet<_> = policy["Statement"][0]["Action"]
        .as_array()
        .unwrap()
        .iter()
        .map(|action| text(action).to_owned())
        .collect();
    let aws = Aws::of("study-public");
    aws.audit().run();
    let is_asked = || aws.0.calls().iter().any(|call| call.operation == "DescribeNetworkAcls");
    assert!(!is_asked(), "no rule needs the network ACLs");
    aws.run("reach").args(&["--from", "192.168.1.20"]).run();
    assert!(is_asked());
    for clusters in [&["--cluster", "nope"][..], &["--all-clusters", "--region", "all", "--nodes", "none"]] {
        let run = Netcheck::new(["audit"]).args(clusters);
        let run = run.env("AWS_ENDPOINT_URL", &aws.0.url()).env("AWS_REGION", "ap-northeast-2");
        run.env("AWS_ACCESS_KEY_ID", "A").env("AWS_SECRET_ACCESS_KEY", "B").run();
    }
    let called: BTreeSet<_> =
        aws.0.calls().iter().map(|call| format!("{}:{}", call.service.name(), call.operation)).collect();
    assert_eq!(called, allowed);
    assert!(aws.0.calls().iter().all(|call| call.user_agent.contains("app/eks-netcheck")));
}

#[test]
fn requests_are_filtered_and_include_managed_resources() {
    let aws = Aws::of("study-public");
    aws.audit().run();
    for call in aws.0.calls() {
        let parameters: Vec<_> = call.parameters.values().map(String::as_str).collect();
        match call.operation.as_str() {
            "DescribeNetworkInterfaces" => {
                assert_eq!(call.parameter("IncludeManagedResources"), Some("true"));
                assert!(parameters.contains(&"vpc-id"));
            }
            "DescribeInstances" => assert!(parameters.contains(&"running"), "{parameters:?}"),
            _ => {}
        }
    }
}

#[test]
fn all_pages_of_enis_are_read() {
    let aws = Aws::of("study-public");
    aws.0.update_account(|account| {
        account.page_size = Some(5);
        let model = account.network_interfaces[0].clone();
        for number in 0..200 {
            let mut eni = model.clone();
            eni["NetworkInterfaceId"] = json!(format!("eni-{number:017x}"));
            eni["Description"] = json!("");
            account.network_interfaces.push(eni);
        }
    });
    let (report, _) = aws.audit().json();
    let pages = aws.0.calls().iter().filter(|call| call.operation == "DescribeNetworkInterfaces").count();
    assert!(pages > 40, "{pages}");
    let enis = report["enis"].as_array().unwrap();
    assert!(enis.len() >= 200);
    assert_eq!(enis.iter().filter(|eni| eni["eks_owned"] == true).count(), 2);
}

#[test]
fn a_denied_call_is_a_gap_that_names_the_action_and_the_affected_rules() {
    for (operation, file, affected) in FILES {
        let aws = Aws::of("private-only");
        aws.fault(operation, FaultKind::Denied);
        let (report, _) = aws.audit().json();
        let gap = gap(&report, file).unwrap_or_else(|| panic!("{file}: {report:#}"));
        assert_eq!(gap["why"], "access-denied", "{file}");
        assert!(text(&gap["detail"]).contains("UnauthorizedOperation: "), "{gap}");
        assert!(text(&gap["hint"]).contains(&format!("ec2:{operation}")), "{gap}");
        let rules: Vec<_> = gap["rules"].as_array().unwrap().iter().map(text).collect();
        assert_eq!(rules, affected, "{file}");
    }
}

#[test]
fn a_denied_vpc_attribute_is_a_gap_of_its_own() {
    let aws = Aws::of("private-only");
    aws.fault("DescribeVpcAttribute", FaultKind::Denied);
    let (report, code) = aws.audit().json();
    assert_eq!((code, report["verdict"].as_str()), (3, Some("inconclusive")));
    for attribute in ["enableDnsSupport", "enableDnsHostnames"] {
        let gap = gap(&report, &format!("vpc.json: {attribute}")).unwrap();
        assert_eq!(gap["why"], "access-denied");
        assert!(text(&gap["hint"]).starts_with("allow ec2:DescribeVpcAttribute"), "{gap}");
        assert_eq!(gap["rules"], json!(["private-dns-unavailable"]));
    }
}

#[test]
fn throttled_calls_are_retried() {
    let aws = Aws::of("study-public");
    for operation in ["DescribeCluster", "DescribeNetworkInterfaces"] {
        aws.0.inject_fault(Fault::always(operation, FaultKind::Throttled).times(2));
    }
    aws.0.inject_fault(Fault::always("DescribeSubnets", FaultKind::Internal).times(1));
    let (report, _) = aws.audit().json();
    for file in ["network-interfaces.json", "subnets.json"] {
        assert!(gap(&report, file).is_none(), "{report:#}");
    }
    assert_eq!(report["enis"].as_array().unwrap().iter().filter(|eni| eni["eks_owned"] == true).count(), 2);
}

#[test]
fn persistent_throttling_is_a_gap_with_its_cause() {
    let aws = Aws::of("study-public");
    aws.fault("DescribeNetworkInterfaces", FaultKind::Throttled);
    let began = Instant::now();
    let (report, _) = aws.run("audit").args(&["--nodes", "none", "--timeout", "3"]).json();
    assert!(began.elapsed() < Duration::from_secs(12));
    let gap = gap(&report, "network-interfaces.json").unwrap();
    assert!(text(&gap["detail"]).contains("HTTP status 503"), "{gap}");
}

/// An audit in which `DescribeCluster` fails.
fn failed_describe(kind: FaultKind) -> Ran {
    let aws = Aws::of("study-public");
    aws.fault("DescribeCluster", kind);
    aws.run("audit").args(&["--nodes", "none", "--timeout", "3"]).run()
}

#[test]
fn a_cluster_that_cannot_be_described_is_not_judged() {
    let kinds = [
        (FaultKind::Denied, "AccessDeniedException", "; allow eks:DescribeCluster; "),
        (FaultKind::Expired, "ExpiredTokenException", "; log in again (aws sso login), "),
        (FaultKind::Throttled, "HTTP status 429", "; try again, or pass a longer --timeout"),
        (FaultKind::Html, "not from AWS", "; check what answers at that address"),
        (FaultKind::NoResponse, "no answer within 3 s", "; try again, or pass a longer --timeout"),
        (FaultKind::TruncatedBody, "", "; "),
        (FaultKind::Close, "", "; "),
    ];
    for (kind, message, next_step) in kinds {
        let name = format!("{kind:?}");
        let ran = failed_describe(kind);
        assert_eq!(ran.code, 3, "{name}: {}", ran.stderr);
        assert!(ran.stdout.is_empty(), "{name}");
        assert!(ran.stderr.contains(message) && ran.stderr.contains(next_step), "{name}: {}", ran.stderr);
        assert!(
            ran.stderr.starts_with("error: cannot describe the cluster myeks (ap-northeast-2): "),
            "{name}"
        );
        assert!(!ran.stderr.contains("service error"), "{name}: {}", ran.stderr);
        assert_eq!(ran.stderr.lines().count(), 1, "{name}: {}", ran.stderr);
    }
}

#[test]
fn an_unknown_cluster_is_refused_with_the_names_that_exist() {
    let aws = Aws::of("study-public");
    let audit_unknown = |aws: &Aws| {
        aws.0.update_account(|account| account.clusters.retain(|name, _| name == "myeks"));
        Netcheck::new(["audit", "--cluster", "MyEKS", "--region", "ap-northeast-2"])
            .env("AWS_ENDPOINT_URL", &aws.0.url())
            .env("AWS_ACCESS_KEY_ID", "A")
            .env("AWS_SECRET_ACCESS_KEY", "B")
            .run()
    };
    let ran = audit_unknown(&aws);
    assert_eq!(ran.code, 4, "{}", ran.stderr);
    assert!(
        ran.stderr.contains("the clusters in ap-northeast-2 are myeks; names are case-sensitive"),
        "{}",
        ran.stderr
    );
    aws.fault("ListClusters", FaultKind::Denied);
    let ran = audit_unknown(&aws);
    assert_eq!(ran.code, 4);
    assert!(ran.stderr.contains("aws eks list-clusters --region ap-northeast-2"), "{}", ran.stderr);
}

#[test]
fn an_html_page_is_not_an_empty_list() {
    let aws = Aws::of("private-only");
    aws.fault("DescribeNetworkInterfaces", FaultKind::Html);
    // Without nodes, only rules of medium severity need the interfaces.
    let (report, code) = aws.audit().args(&["--fail-on", "medium"]).json();
    let gap = gap(&report, "network-interfaces.json").unwrap();
    assert_eq!(gap["why"], "malformed");
    assert_eq!((code, report["verdict"].as_str()), (3, Some("inconclusive")), "{report:#}");
}

/// A body that no length delimits ends where the connection does, which the client cannot
/// tell from its end.
#[test]
fn no_beginning_of_an_answer_is_taken_for_the_answer() {
    let files = FILES.map(|(operation, file, _)| (operation, file));
    let attributes = ["vpc.json: enableDnsSupport", "vpc.json: enableDnsHostnames"];
    let attributes = attributes.map(|what| ("DescribeVpcAttribute", what));
    let calls = [&files[..], &attributes[..]];
    let cuts = [0, 150, 400, 600, 800, 900, 970, 999];
    // Names do not resolve here: without rules that need DNS, the cluster passes.
    let policy = root().join("tests/it/fleet.toml");
    let audit = |aws: &Aws| aws.run("audit").args(&["--nodes", "none", "--policy"]).arg(&policy);
    assert_eq!(audit(&Aws::of("private-only")).run().code, 0);
    for (thousandths, calls) in cuts.into_iter().flat_map(|cut| calls.map(|calls| (cut, calls))) {
        let aws = Aws::of("private-only");
        for (operation, _) in calls {
            aws.fault(operation, FaultKind::Cut { thousandths });
        }
        let (report, code) = audit(&aws).args(&["--timeout", "1"]).json();
        assert_eq!((code, text(&report["verdict"])), (3, "inconclusive"), "{thousandths}: {report:#}");
        for (_, what) in calls {
            let gap = gap(&report, what).unwrap_or_else(|| panic!("{what} of {thousandths}: {report:#}"));
            // The empty document is no XML for the SDK either. On a slow machine, the first
            // attempt may not end in time.
            let detail = if thousandths == 0 { "not from AWS" } else { "the answer is cut off or damaged" };
            let is_named = text(&gap["detail"]).contains(detail);
            assert!(is_named || gap["why"] == "timed-out", "{gap}");
        }
    }
}

#[test]
fn an_answer_that_is_cut_off_once_is_requested_again() {
    let aws = Aws::of("private-only");
    for (operation, ..) in FILES {
        aws.0.inject_fault(Fault::always(operation, FaultKind::Cut { thousandths: 700 }).times(1));
    }
    let (report, _) = aws.audit().json();
    for (_, file, _) in FILES {
        assert!(gap(&report, file).is_none(), "{report:#}");
    }
}

/// A cut in a later page loses nodes, not the whole answer.
#[test]
fn a_page_that_is_cut_off_is_a_gap() {
    let aws = Aws::of("private-only");
    aws.0.update_account(|account| account.page_size = Some(1));
    let cut = FaultKind::Cut { thousandths: 950 };
    aws.0.inject_fault(Fault::always("DescribeNetworkInterfaces", cut).after(1));
    let (report, code) =
        aws.run("audit").args(&["--nodes", "none", "--timeout", "1", "--fail-on", "medium"]).json();
    assert_eq!(code, 3, "{report:#}");
    assert!(gap(&report, "network-interfaces.json").is_some(), "{report:#}");
}

#[test]
fn a_description_that_is_cut_off_is_not_judged() {
    for thousandths in [0, 100, 300, 500, 700, 900, 990, 999] {
        let ran = failed_describe(FaultKind::Cut { thousandths });
        assert_eq!((ran.code, ran.stdout.as_str()), (3, ""), "{thousandths}: {}", ran.stderr);
    }
}

/// An empty list is an answer; the answer without the list is not.
#[test]
fn an_answer_without_its_list_is_a_gap() {
    for (operation, file, _) in FILES {
        let aws = Aws::of("private-only");
        let body = format!("<{operation}Response><requestId>1</requestId></{operation}Response>");
        aws.fault(operation, FaultKind::Body(body));
        let (report, _) = aws.audit().json();
        let gap = gap(&report, file).unwrap_or_else(|| panic!("{file}: {report:#}"));
        assert_eq!(gap["why"], "malformed", "{gap}");
        assert!(text(&gap["detail"]).contains("the answer has no list of"), "{gap}");
    }
    let aws = Aws::of("private-only");
    let body = "<DescribeVpcAttributeResponse><vpcId>vpc-1</vpcId></DescribeVpcAttributeResponse>";
    aws.fault("DescribeVpcAttribute", FaultKind::Body(body.to_owned()));
    let (report, code) = aws.audit().json();
    let gap = gap(&report, "vpc.json: enableDnsSupport").unwrap();
    assert_eq!((code, text(&gap["why"])), (3, "malformed"), "{gap}");
}

/// A directory with an `ssh` whose node prints these lines below the headings of `ss`.
fn fake_ssh(lines: &str) -> tempfile::TempDir {
    let dir = scratch();
    let ssh = dir.path().join("ssh");
    let script = format!(
        r#"#!/bin/sh
IFS= read -r marker
echo "$marker ss"
echo "State Recv-Q Send-Q Local Address:Port Peer Address:Port Process"
echo '{lines}'
echo "$marker end 0"
IFS= read -r host
echo "$marker dns"
echo "192.168.1.55 STREAM"
echo "$marker end 0"
"#
    );
    std::fs::write(&ssh, script).unwrap();
    std::fs::set_permissions(&ssh, std::fs::Permissions::from_mode(0o755)).unwrap();
    dir
}

fn path_with(dir: &tempfile::TempDir) -> String {
    format!("{}:/usr/bin:/bin", dir.path().display())
}

#[test]
fn rejected_lines_of_nodes_are_listed_on_request() {
    let aws = Aws::of("private-only");
    let ssh = fake_ssh("Warning: neither a socket");
    let expected = "node n1, line 2: ";
    let run = |command: &str, args: &[&str]| {
        let run = aws.run(command).env("PATH", &path_with(&ssh)).args(&["--node", "n1=a", "--timeout", "5"]);
        run.args(args).run().stderr
    };
    let out = scratch();
    let dir = |name: &str| out.path().join(name).to_str().unwrap().to_owned();
    for (command, args) in [("collect", vec!["--out".to_owned(), dir("v")]), ("audit", vec![])] {
        let args: Vec<_> = args.iter().map(String::as_str).chain(["-v"]).collect();
        let stderr = run(command, &args);
        assert!(stderr.contains(expected) && stderr.contains(": Warning: neither a socket"), "{stderr}");
    }
    assert!(!run("collect", &["--out", &dir("quiet")]).contains(expected));
}

/// Nodes that fail for the same reason are one line, and it is said that none was read.
#[test]
fn collect_says_that_no_node_was_read_and_why() {
    let aws = Aws::of("private-only");
    let home = scratch();
    let ssh = home.path().join("ssh");
    std::fs::write(&ssh, "#!/bin/sh\necho 'me@host: Permission denied (publickey).' >&2\nexit 255\n")
        .unwrap();
    std::fs::set_permissions(&ssh, std::fs::Permissions::from_mode(0o755)).unwrap();
    let dir = home.path().join("evidence");
    let nodes = ["--node", "n1=a", "--node", "n2=b", "--node", "n3=c"];
    let collect = aws.run("collect").env("PATH", &path_with(&home)).args(&nodes);
    let ran = collect.args(&["--timeout", "5", "--out"]).arg(&dir).run();
    assert_eq!(ran.code, 3, "{}", ran.stderr);
    assert!(ran.stderr.contains("\n  none of the 3 nodes was read\n"), "{}", ran.stderr);
    assert!(ran.stderr.contains("\n  3 nodes (n1, n2, n3): it accepted none of your keys"), "{}", ran.stderr);
    assert_eq!(ran.stderr.matches("Permission denied").count(), 1, "{}", ran.stderr);
}

/// The nodes of a cluster carry one of several tags, or none where EKS operates them.
#[test]
fn nodes_are_found_by_each_tag_and_by_their_operator() {
    let aws = Aws::of("private-only");
    let tags = |key: &str, value: &str| json!([{"Key": key, "Value": value}]);
    let eks = json!({"Managed": true, "Principal": "eks.amazonaws.com"});
    let other = json!({"Managed": true, "Principal": "workspaces.amazonaws.com"});
    aws.0.update_account(|account| {
        let subnet = account.clusters["myeks"]["resourcesVpcConfig"]["subnetIds"][0].clone();
        let elsewhere = json!("subnet-0000000000000000f");
        let model = account.reservations[0].clone();
        account.reservations.clear();
        for (number, (tags, operator, subnet)) in [
            (tags("kubernetes.io/cluster/myeks", "owned"), None, &subnet),
            (tags("kubernetes.io/cluster/myeks", ""), None, &subnet),
            (tags("kubernetes.io/cluster/myeks", "true"), None, &subnet),
            (tags("eks:cluster-name", "myeks"), None, &subnet),
            (tags("eks:eks-cluster-name", "myeks"), Some(&eks), &subnet),
            (tags("Name", "web"), Some(&eks), &subnet),
            // These are not nodes of the cluster.
            (tags("eks:eks-cluster-name", "other"), Some(&eks), &subnet),
            (tags("kubernetes.io/cluster/myeks-2", "owned"), None, &subnet),
            (tags("Name", "web"), Some(&eks), &elsewhere),
            (tags("Name", "web"), Some(&other), &subnet),
            (tags("Name", "web"), None, &subnet),
        ]
        .into_iter()
        .enumerate()
        {
            let mut reservation = model.clone();
            let instance = &mut reservation["Instances"][0];
            instance["InstanceId"] = json!(format!("i-{number:017}"));
            instance["PrivateDnsName"] = json!(format!("n{number}"));
            instance["SubnetId"] = subnet.clone();
            instance["Tags"] = tags;
            if let Some(operator) = operator {
                instance["Operator"] = operator.clone();
            }
            account.reservations.push(reservation);
        }
    });
    let (home, out) = (fake_ssh(""), scratch());
    let dir = out.path().join("evidence");
    let collect = aws.run("collect").env("PATH", &path_with(&home));
    let ran = collect.args(&["--timeout", "5", "--out"]).arg(&dir).run();
    assert_eq!(ran.code, 3, "{}", ran.stderr);
    let recorded = std::fs::read_to_string(dir.join("instances.json")).unwrap();
    let recorded: Value = serde_json::from_str(&recorded).unwrap();
    let instances = recorded["Reservations"].as_array().unwrap().iter();
    let ids: Vec<_> = instances.map(|reservation| &reservation["Instances"][0]["InstanceId"]).collect();
    assert_eq!(
        ids.into_iter().map(text).collect::<Vec<_>>(),
        (0..6).map(|number| format!("i-{number:017}")).collect::<Vec<_>>()
    );
    assert_eq!(recorded["Reservations"][5]["Instances"][0]["Operator"], eks);
    let manifest = std::fs::read_to_string(dir.join("manifest.json")).unwrap();
    for node in ["node n4", "node n5"] {
        let manifest: Value = serde_json::from_str(&manifest).unwrap();
        let gap = gap(&manifest, node).unwrap_or_else(|| panic!("{node}: {manifest:#}"));
        assert_eq!(gap["why"], "not-supported", "{gap}");
        assert!(text(&gap["hint"]).contains("debug pod"), "{gap}");
    }
}

#[test]
fn an_endless_answer_is_cut_off() {
    let aws = Aws::of("study-public");
    aws.fault("DescribeSubnets", FaultKind::SlowBody);
    let began = Instant::now();
    let (report, _) = aws.run("audit").args(&["--nodes", "none", "--timeout", "2"]).json();
    assert!(began.elapsed() < Duration::from_secs(10));
    assert!(gap(&report, "subnets.json").is_some());
}

#[test]
fn each_configuration_error_has_its_own_message() {
    let base = || Netcheck::new(["audit", "--cluster", "myeks"]).env("AWS_EC2_METADATA_DISABLED", "true");
    let ran = base().env("AWS_CONFIG_FILE", "/dev/null").run();
    assert_eq!(ran.code, 2);
    assert!(ran.stderr.contains("no region: pass --region"), "{}", ran.stderr);
    let ran = base().args(&["--region", "eu-west-1"]).run();
    assert_eq!(ran.code, 3);
    assert!(ran.stderr.contains("no credentials") && ran.stderr.contains("aws sso login"), "{}", ran.stderr);
    let ran = base().args(&["--region", "eu-west-1"]).env("AWS_CA_BUNDLE", "/no/such/file").run();
    assert_eq!(ran.code, 2);
    assert!(ran.stderr.contains("/no/such/file"), "{}", ran.stderr);
    let home = scratch();
    let config = home.path().join("config");
    std::fs::write(&config, "[profile work]\nregion = eu-west-1\n").unwrap();
    let base = || base().env("AWS_CONFIG_FILE", config.to_str().unwrap());
    let keys = || base().env("AWS_ACCESS_KEY_ID", "A").env("AWS_SECRET_ACCESS_KEY", "B");
    let no_profile = "there is no profile \"nope\"; the profiles are work";
    for (ran, message) in [
        (base().args(&["--region", "eu-west-1", "--profile", "nope"]).run(), no_profile),
        (keys().args(&["--region", "eu-west-1", "--profile", "nope"]).run(), no_profile),
        (keys().args(&["--region", "a/b"]).run(), "\"a/b\" is not a region"),
        (
            keys().args(&["--region", "eu-west-1", "--role-arn", "audit"]).run(),
            "arn:aws:iam::ACCOUNT:role/NAME",
        ),
        (keys().args(&["--region", ""]).run(), "--region"),
        (
            keys().args(&["--region", "eu-west-1"]).env("AWS_ENDPOINT_URL", "garbage").run(),
            "the AWS endpoint \"garbage\" is not a URL",
        ),
    ] {
        assert_eq!(ran.code, 2, "{message}: {}", ran.stderr);
        assert!(ran.stderr.contains(message), "{message}: {}", ran.stderr);
    }
}

#[test]
fn profiles_and_roles_work_as_in_the_aws_cli() {
    let aws = Aws::of("study-public");
    let home = scratch();
    let config = home.path().join("config");
    std::fs::write(
        &config,
        "[profile work]\nregion = ap-northeast-2\naws_access_key_id = AKIDPROFILE\naws_secret_access_key = x\n",
    )
    .unwrap();
    let with = |args: &[&str]| {
        Netcheck::new([
            "audit",
            "--cluster",
            "myeks",
            "--nodes",
            "none",
            "--profile",
            "work",
            "--timeout",
            "5",
        ])
        .args(args)
        .env("AWS_ENDPOINT_URL", &aws.0.url())
        .env("AWS_CONFIG_FILE", config.to_str().unwrap())
        .env("AWS_EC2_METADATA_DISABLED", "true")
    };
    assert_eq!(with(&[]).run().code, 1);
    assert!(aws.0.calls().iter().all(|call| call.access_key.as_deref() == Some("AKIDPROFILE")));
    // --profile takes precedence over credentials in the environment.
    let ran = with(&[]).env("AWS_ACCESS_KEY_ID", "AKIDENV").env("AWS_SECRET_ACCESS_KEY", "y").run();
    assert_eq!(ran.code, 1);
    assert!(aws.0.calls().iter().all(|call| call.access_key.as_deref() == Some("AKIDPROFILE")));
    assert_eq!(with(&["--role-arn", "arn:aws:iam::111122223333:role/audit"]).run().code, 1);
    let assumed: Vec<_> = aws.0.calls().into_iter().filter(|call| call.operation == "AssumeRole").collect();
    assert_eq!(assumed[0].parameter("RoleArn"), Some("arn:aws:iam::111122223333:role/audit"));
    assert_ne!(aws.0.calls().last().unwrap().access_key.as_deref(), Some("AKIDPROFILE"));
    // A role that may not be assumed has a hint of its own.
    aws.fault("AssumeRole", FaultKind::Denied);
    let ran = with(&["--role-arn", "arn:aws:iam::111122223333:role/audit"]).run();
    assert_eq!(ran.code, 3, "{}", ran.stderr);
    assert!(ran.stderr.contains("sts:AssumeRole") && ran.stderr.contains("trust policy"), "{}", ran.stderr);
}

/// The default credential chain of the aws CLI, one source at a time.
#[test]
fn each_source_of_the_default_credential_chain_works() {
    let aws = Aws::of("study-public");
    let metadata = CredentialServer::serve("ap-northeast-2").unwrap();
    let home = scratch();
    let write = |name: &str, text: &str| {
        let path = home.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let process = r#"{"Version":1,"AccessKeyId":"AKIDPROCESS","SecretAccessKey":"x"}"#;
    let process = write("process.json", process);
    let config = write(
        "config",
        &format!(
            "[profile process]\ncredential_process = cat {process}\n\
             [profile portal]\nsso_session = corp\nsso_account_id = 111122223333\nsso_role_name = audit\n\
             [sso-session corp]\nsso_region = us-east-1\nsso_start_url = https://corp.awsapps.com/start\n\
             [profile chained]\nrole_arn = arn:aws:iam::444455556666:role/audit\nsource_profile = process\n\
             [profile here]\nrole_arn = arn:aws:iam::444455556666:role/audit\ncredential_source = Ec2InstanceMetadata\n"
        ),
    );
    // The file name is the SHA-1 of the session's name.
    write(
        ".aws/sso/cache/ee0bfd2552fbd840c02cc48b6e823320543c450f.json",
        &json!({"accessToken": PORTAL_TOKEN, "expiresAt": "2999-01-01T00:00:00Z"}).to_string(),
    );
    let token = write("token", "of-a-pipeline");
    let container = format!("{}/container", metadata.url());
    let (url, instance) = (aws.0.url(), metadata.url());
    let region = ("AWS_REGION", "ap-northeast-2");
    let on_instance =
        [("AWS_EC2_METADATA_DISABLED", "false"), ("AWS_EC2_METADATA_SERVICE_ENDPOINT", &instance)];
    let sources: [(&str, &[(&str, &str)]); 8] = [
        ("AKIDPROCESS", &[region, ("AWS_PROFILE", "process")]),
        (PORTAL_KEY, &[region, ("AWS_PROFILE", "portal"), ("AWS_ENDPOINT_URL_SSO", &instance)]),
        ("444455556666", &[region, ("AWS_PROFILE", "chained")]),
        ("444455556666", &[region, ("AWS_PROFILE", "here"), on_instance[0], on_instance[1]]),
        (
            "777788889999",
            &[
                region,
                ("AWS_WEB_IDENTITY_TOKEN_FILE", &token),
                ("AWS_ROLE_ARN", "arn:aws:iam::777788889999:role/ci"),
            ],
        ),
        (CONTAINER_KEY, &[region, ("AWS_CONTAINER_CREDENTIALS_FULL_URI", &container)]),
        (INSTANCE_KEY, &[region, on_instance[0], on_instance[1]]),
        // The instance metadata service gives the region too.
        (INSTANCE_KEY, &on_instance),
    ];
    for (key, variables) in sources {
        let before = aws.0.calls().len();
        let mut run = Netcheck::new(["audit", "--cluster", "myeks", "--nodes", "none", "--timeout", "10"])
            .env("AWS_ENDPOINT_URL", &url)
            .env("AWS_CONFIG_FILE", &config)
            .env("HOME", home.path().to_str().unwrap())
            .env("PATH", "/usr/bin:/bin");
        for (name, value) in variables {
            run = run.env(name, value);
        }
        let ran = run.run();
        assert_eq!(ran.code, 1, "{variables:?}: {}", ran.stderr);
        let journal = aws.0.calls();
        let call = journal[before..].iter().find(|call| call.operation == "DescribeCluster").unwrap();
        let access_key = call.access_key.as_deref().unwrap_or_default();
        assert!(access_key.ends_with(key), "{variables:?}: {access_key}");
        assert_eq!(call.region.as_deref(), Some("ap-northeast-2"));
    }
}

#[test]
fn skipped_nodes_are_a_gap_and_the_rest_is_judged() {
    let aws = Aws::of("study-public");
    let (report, code) = aws.audit().json();
    assert_eq!(code, 1);
    assert_eq!(gap(&report, "nodes").unwrap()["why"], "not-asked");
    assert_eq!(report["findings"][0]["rule"], "public-endpoint-open");
    assert!(aws.operations().contains("DescribeInstances"));
}

/// EKS Auto Mode nodes do not accept ssh, so it is not attempted.
#[test]
fn auto_mode_nodes_are_reported_as_not_supported() {
    let aws = Aws::of("private-only");
    aws.0.update_account(|account| {
        for reservation in &mut account.reservations {
            reservation["Instances"][0]["Operator"] =
                json!({"Managed": true, "Principal": "eks.amazonaws.com"});
        }
    });
    let (report, code) = aws.run("audit").args(&["--timeout", "3"]).json();
    assert_eq!(code, 3);
    let nodes: Vec<_> =
        report["nodes"].as_array().unwrap().iter().map(|node| text(&node["status"])).collect();
    assert_eq!(nodes, ["not-supported", "not-supported"], "{report:#}");
    assert!(report["gaps"].to_string().contains("EKS Auto Mode runs it"));
    assert!(report["gaps"].to_string().contains("--evidence"));
}

#[test]
fn service_specific_endpoint_urls_are_used() {
    let (eks, ec2) = (Aws::of("study-public"), Aws::of("study-public"));
    let ran = Netcheck::new(["audit", "--cluster", "myeks", "--nodes", "none", "--timeout", "5"])
        .env("AWS_ENDPOINT_URL_EKS", &eks.0.url())
        .env("AWS_ENDPOINT_URL_EC2", &ec2.0.url())
        .env("AWS_ACCESS_KEY_ID", "A")
        .env("AWS_SECRET_ACCESS_KEY", "B")
        .env("AWS_REGION", "ap-northeast-2")
        .run();
    assert_eq!(ran.code, 1, "{}", ran.stderr);
    assert_eq!(eks.operations().into_iter().collect::<Vec<_>>(), ["DescribeCluster"]);
    assert!(ec2.operations().len() >= 9 && !ec2.operations().contains("DescribeCluster"));
}

#[test]
fn https_proxy_is_used() {
    let proxy = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", proxy.local_addr().unwrap());
    let request = std::thread::spawn(move || {
        let (mut stream, _) = proxy.accept().unwrap();
        let mut line = String::new();
        BufReader::new(&stream).read_line(&mut line).unwrap();
        stream.write_all(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n").unwrap();
        line
    });
    let ran = Netcheck::new(["audit", "--cluster", "myeks", "--nodes", "none", "--timeout", "2"])
        .env("HTTPS_PROXY", &url)
        .env("AWS_ACCESS_KEY_ID", "A")
        .env("AWS_SECRET_ACCESS_KEY", "B")
        .env("AWS_REGION", "ap-northeast-2")
        .run();
    assert_eq!(ran.code, 3, "{}", ran.stderr);
    let line = request.join().unwrap();
    assert!(line.starts_with("CONNECT ") && line.contains("ap-northeast-2.amazonaws.com:443"), "{line}");
}
