//! The built binary in the lab: real sshd, sudo, `ss` and name server, sockets
//! of processes named kubelet, kube-proxy and aws-k8s-agent.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::process::{Command, Stdio};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use eks_netcheck_lab::aws::{Account, Api, Fault, FaultKind};
use eks_netcheck_lab::dns::{Behaviour, Entry, NameServer};
use eks_netcheck_lab::sandbox::{
    CLOSES, CLUSTER_IP, CUTS, ENDPOINT_HOST, ENIS, Lab, MUTE, OPERATOR, PUBLIC, Plan, REFUSES, SILENT,
    STALLS, UNREACHABLE, View,
};
use serde_json::{Value, json};

use crate::common::{Ran, scratch, story};

/// A lab and its AWS.
pub(crate) struct Scene {
    pub(crate) lab: Lab,
    aws: Api,
}

/// What a cluster's endpoint access is.
#[derive(Clone, Copy)]
pub(crate) enum Access {
    Public,
    PublicAndPrivate,
    Private,
}

/// The one lab, for one test at a time, with nothing dialed.
pub(crate) fn scene(access: Access) -> MutexGuard<'static, Scene> {
    static SCENE: OnceLock<Mutex<Scene>> = OnceLock::new();
    let scene = SCENE.get_or_init(|| {
        // Threads that tests run in end; what starts the lab should not.
        let up = std::thread::spawn(|| Lab::up(Plan::default())).join().unwrap();
        let lab =
            up.unwrap_or_else(|error| panic!("no lab here: {error:#}; leave it out with: -- --skip lab::"));
        let address = SocketAddr::from((OPERATOR, 4566));
        let aws = Api::serve_in(&lab.operator_netns(), address, Account::default()).unwrap();
        Mutex::new(Scene { lab, aws })
    });
    let scene = scene.lock().unwrap_or_else(PoisonError::into_inner);
    scene.set(access);
    scene
}

impl Scene {
    fn set(&self, access: Access) {
        self.lab.reset().unwrap();
        self.aws.set(account(&self.lab, access));
        self.aws.clear_faults();
        let vpc = match access {
            Access::Public => PUBLIC,
            Access::PublicAndPrivate | Access::Private => ENIS,
        };
        let operator = match access {
            Access::Public | Access::PublicAndPrivate => PUBLIC,
            Access::Private => ENIS,
        };
        self.lab.set_dns(View::Vpc, &vpc.map(IpAddr::V4)).unwrap();
        self.lab.set_dns(View::Operator, &operator.map(IpAddr::V4)).unwrap();
    }

    /// Kubelet, kube-proxy and aws-k8s-agent of every node connect.
    pub(crate) fn dial(&self, to: [Ipv4Addr; 2]) {
        for node in self.lab.nodes() {
            node.dial("kubelet", (to[0], 443)).unwrap();
            node.dial("kube-proxy", (to[1], 443)).unwrap();
            node.dial("aws-k8s-agent", (CLUSTER_IP, 443)).unwrap();
        }
    }

    pub(crate) fn netcheck(&self, args: &[&str]) -> Command {
        let mut command = self.lab.operator(env!("CARGO_BIN_EXE_eks-netcheck"));
        command
            .args(args)
            .args(["--cluster", "myeks"])
            .env("AWS_ENDPOINT_URL", self.aws.url())
            .env("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
            .env("AWS_SECRET_ACCESS_KEY", "not-a-secret")
            .env("AWS_REGION", "ap-northeast-2")
            .env("COLUMNS", "100")
            .stdin(Stdio::null());
        command
    }

    fn run(&self, args: &[&str]) -> Ran {
        ran(self.netcheck(args))
    }

    /// A live audit's report and exit code.
    fn audit(&self, args: &[&str]) -> (Value, i32) {
        let ran = self.run(&[&["audit", "--ssh-user", "ec2-user", "--format", "json"], args].concat());
        let report =
            serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{error}: {}", ran.stderr));
        (report, ran.code)
    }

    /// The gaps about n1, read in one way or another.
    fn n1_by(&self, target: &str, args: &[&str]) -> (Value, Vec<Value>) {
        let node = format!("n1={target}");
        let (report, code) = self.audit(&[&["--node", &node], args].concat());
        let of_n1 = |gap: &&Value| gap["what"] == "node n1" || gap["what"] == "dns/n1.txt";
        let gaps = report["gaps"].as_array().unwrap().iter().filter(of_n1).cloned().collect();
        // The other node is not read, so that it can never be a pass.
        assert_ne!(code, 0, "{report:#}");
        (report, gaps)
    }
}

pub(crate) fn ran(mut command: Command) -> Ran {
    let output = command.output().unwrap();
    Ran {
        code: output.status.code().expect("no signal ended it"),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// The account of a story, its endpoint and its nodes the lab's.
fn account(lab: &Lab, access: Access) -> Account {
    let (name, public, private) = match access {
        Access::Public => ("study-public", true, false),
        Access::PublicAndPrivate => ("private-only", true, true),
        Access::Private => ("private-only", false, true),
    };
    let mut account = Account::from_evidence(&story(name)).unwrap();
    let cluster = account.clusters.get_mut("myeks").unwrap();
    cluster["endpoint"] = json!(format!("https://{ENDPOINT_HOST}"));
    cluster["resourcesVpcConfig"]["endpointPublicAccess"] = json!(public);
    cluster["resourcesVpcConfig"]["endpointPrivateAccess"] = json!(private);
    cluster["resourcesVpcConfig"]["publicAccessCidrs"] =
        if public { json!(["203.0.113.0/24"]) } else { json!([]) };
    let model =
        account.reservations.iter().find(|reservation| reservation.to_string().contains("cluster/myeks"));
    let model = model.unwrap().clone();
    account.reservations = (0..lab.nodes().len()).map(|index| instance(&model, lab, index)).collect();
    account
}

fn instance(model: &Value, lab: &Lab, index: usize) -> Value {
    let node = lab.node(index);
    let mut reservation = model.clone();
    let instance = &mut reservation["Instances"][0];
    instance["InstanceId"] = json!(format!("i-{index:017x}"));
    instance["PrivateDnsName"] = json!(node.name());
    instance["PrivateIpAddress"] = json!(node.address());
    instance["NetworkInterfaces"] = json!([]);
    reservation["Instances"] = json!([instance.clone()]);
    reservation
}

/// How many connections of each component, direction and path a node has.
fn paths(report: &Value, node: &str) -> BTreeMap<String, usize> {
    let mut paths = BTreeMap::new();
    for connection in report["connections"].as_array().unwrap() {
        if connection["node"] == node {
            let part = |key: &str| connection[key].as_str().unwrap_or("-").to_owned();
            let key = format!("{} {} {}", part("process"), part("direction"), part("path"));
            *paths.entry(key).or_default() += 1;
        }
    }
    paths
}

fn counts(expected: &[(&str, usize)]) -> BTreeMap<String, usize> {
    expected.iter().map(|(key, count)| ((*key).to_owned(), *count)).collect()
}

fn rules(report: &Value) -> Vec<&str> {
    report["findings"].as_array().unwrap().iter().map(|finding| finding["rule"].as_str().unwrap()).collect()
}

#[test]
fn public_nodes_are_on_the_public_path() {
    let scene = scene(Access::Public);
    scene.dial(PUBLIC);
    let (report, code) = scene.audit(&[]);
    assert_eq!(code, 1, "{report:#}");
    assert!(rules(&report).contains(&"node-egress-not-allowed"), "{report:#}");
    for node in ["n1", "n2"] {
        assert_eq!(
            paths(&report, node),
            counts(&[
                ("aws-k8s-agent outbound cluster-ip", 1),
                ("kube-proxy outbound public-endpoint", 1),
                ("kubelet outbound public-endpoint", 1),
            ])
        );
    }
    let vantages: Vec<_> = report["dns"].as_array().unwrap().iter().map(|dns| &dns["vantage"]).collect();
    assert_eq!(vantages, ["here", "n1", "n2"]);
    assert_eq!(report["dns"][0]["ttl"], 60);
    let owned = report["enis"].as_array().unwrap().iter().filter(|eni| eni["eks_owned"] == true).count();
    assert_eq!(owned, 2);
    assert_eq!(report["gaps"], json!([]), "{report:#}");
}

#[test]
fn an_open_exec_is_one_private_peer_on_its_node() {
    let scene = scene(Access::Public);
    scene.dial(PUBLIC);
    let exec = scene.lab.node(0).exec_from(ENIS[1]).unwrap();
    let (report, _) = scene.audit(&[]);
    assert_eq!(paths(&report, "n1").get("kubelet inbound private-eni"), Some(&1), "{report:#}");
    assert_eq!(paths(&report, "n2").get("kubelet inbound private-eni"), None);
    drop(exec);
}

#[test]
fn a_node_that_did_not_reconnect_after_the_flip_is_stale() {
    let scene = scene(Access::PublicAndPrivate);
    scene.dial(PUBLIC);
    let n2 = scene.lab.node(1);
    n2.reset().unwrap();
    n2.dial("kubelet", (ENIS[0], 443)).unwrap();
    n2.dial("kube-proxy", (ENIS[1], 443)).unwrap();
    let (report, code) = scene.audit(&[]);
    assert_eq!(code, 1);
    let stale: Vec<_> = report["findings"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|finding| finding["rule"] == "node-on-public-path")
        .collect();
    assert_eq!(stale.len(), 1, "{report:#}");
    assert_eq!(stale[0]["subject"], "n1");
    assert!(stale[0]["message"].as_str().unwrap().contains("stale"), "{report:#}");
    // Then DNS is wrong on the nodes, and no connection is merely stale.
    scene.lab.set_dns(View::Vpc, &PUBLIC.map(IpAddr::V4)).unwrap();
    let (report, _) = scene.audit(&[]);
    assert!(report["findings"][0]["message"].as_str().unwrap().contains("public addresses"), "{report:#}");
}

#[test]
fn a_private_cluster_passes() {
    let scene = scene(Access::Private);
    scene.dial(ENIS);
    let (report, code) = scene.audit(&[]);
    assert_eq!((code, report["verdict"].as_str()), (0, Some("pass")), "{report:#}");
    assert_eq!(paths(&report, "n2").get("kubelet outbound private-eni"), Some(&1));
    // One node less is no pass any more.
    let (report, code) = scene.audit(&["--node", "n1"]);
    assert_eq!((code, report["verdict"].as_str()), (3, Some("inconclusive")), "{report:#}");
}

#[test]
fn what_is_collected_is_judged_as_what_is_live() {
    let scene = scene(Access::PublicAndPrivate);
    scene.dial(PUBLIC);
    // One of the nodes is not to be read, and one call is denied.
    let out = scratch();
    let dir = out.path().join("evidence");
    let dir = dir.to_str().unwrap();
    let args = ["--ssh-user", "ec2-user", "--node", "n1", "--node", "n2=nosudo@192.168.10.11"];
    scene.aws.fault(Fault::always("DescribeRouteTables", FaultKind::Denied));
    let live = scene.run(&[&["audit", "--format", "json"], &args[..]].concat());
    let ran = scene.run(&[&["collect", "--out", dir], &args[..]].concat());
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let recorded = scene.run(&["audit", "--format", "json", "--evidence", dir]);
    assert_eq!(recorded.code, live.code);
    // Each ssh session is a socket of its own, and so is what it leaves behind;
    // a name server may turn its answers around.
    let comparable = |text: &str| {
        let mut report: Value = serde_json::from_str(text).unwrap();
        report["other_connections"] = json!(0);
        report["nodes"].as_array_mut().unwrap().iter_mut().for_each(|node| node["sockets"] = json!(0));
        for answer in report["dns"].as_array_mut().unwrap() {
            answer["addresses"].as_array_mut().unwrap().sort_by_key(ToString::to_string);
        }
        report
    };
    assert_eq!(comparable(&recorded.stdout), comparable(&live.stdout));
    for missing in ["n2", "route-tables.json"] {
        assert!(ran.stderr.contains(missing), "what is missing is said: {}", ran.stderr);
    }
    // It does not mix with another run's.
    let again = scene.run(&["collect", "--out", dir]);
    assert_eq!(again.code, 2);
    assert!(again.stderr.contains("is not empty"), "{}", again.stderr);
}

/// What a node's trouble is called, and what its detail and hint say.
const TROUBLES: [(&str, &str, &str, &str); 19] = [
    ("nobody-has-this-name", "name-not-resolved", "does not resolve here", "--node NAME=TARGET"),
    ("REFUSES", "connection-refused", "as on Bottlerocket", "--evidence"),
    ("SILENT", "timed-out", "no answer", "ProxyJump"),
    ("UNREACHABLE", "unreachable", "no route", "ProxyJump"),
    ("MUTE", "timed-out", "", ""),
    ("flood@CUTS", "connection-lost", "broke off midway", "try again"),
    ("flood@STALLS", "connection-lost", "broke off midway", "try again"),
    ("CLOSES", "connection-lost", "before the login", "MaxStartups"),
    ("otherkey@N1", "login-refused", "none of your keys", "--ssh-user"),
    ("nosuchuser@N1", "login-refused", "none of your keys", "--ssh-user"),
    ("askpass@N1", "no-process-names", "sudo wants a password", "NOPASSWD"),
    ("nosudo@N1", "no-process-names", "sudo wants a password", "NOPASSWD"),
    ("requiretty@N1", "no-process-names", "requiretty", "requiretty"),
    ("nosudobin@N1", "no-process-names", "no sudo", "--ssh-user"),
    ("noss@N1", "not-supported", "no ss on it", "iproute2"),
    ("nologin@N1", "no-shell", "not available", "with a shell"),
    ("flood@N1", "too-much-output", "more than ss does", "by hand"),
    ("hang@N1", "timed-out", "ss did not end within 4 s", "--timeout"),
    ("cut@N1", "connection-lost", "broke off midway", "try again"),
];

#[test]
fn every_trouble_of_a_node_is_told_apart_with_its_next_step() {
    let scene = scene(Access::Public);
    scene.dial(PUBLIC);
    let hosts = [
        ("REFUSES", REFUSES),
        ("SILENT", SILENT),
        ("UNREACHABLE", UNREACHABLE),
        ("MUTE", MUTE),
        ("CUTS", CUTS),
        ("STALLS", STALLS),
        ("CLOSES", CLOSES),
        ("N1", scene.lab.node(0).address()),
    ];
    // All in one run: one node's trouble is not another's.
    let mut args: Vec<String> =
        vec!["--timeout".into(), "4".into(), "--node".into(), "good=N1".replace("N1", "192.168.10.10")];
    for (number, (target, ..)) in TROUBLES.iter().enumerate() {
        let mut target = (*target).to_owned();
        for (word, address) in hosts {
            target = target.replace(word, &address.to_string());
        }
        args.extend(["--node".to_owned(), format!("t{number}={target}")]);
    }
    let args: Vec<_> = args.iter().map(String::as_str).collect();
    // A path that died is noticed before the time is up.
    let options = ["--ssh-option", "ServerAliveInterval=1", "--ssh-option", "ServerAliveCountMax=1"];
    let (report, code) = scene.audit(&[&options[..], &args[..]].concat());
    assert_ne!(code, 0);
    let gaps = report["gaps"].as_array().unwrap();
    let mut wrong = Vec::new();
    for (number, (target, why, detail, hint)) in TROUBLES.iter().enumerate() {
        let what = format!("node t{number}");
        let of_node: Vec<_> = gaps.iter().filter(|gap| gap["what"] == what.as_str()).collect();
        let fits = |gap: &&&Value| {
            gap["why"] == *why
                && gap["detail"].as_str().unwrap().contains(detail)
                && gap["hint"].as_str().unwrap().contains(hint)
        };
        if !of_node.iter().any(|gap| fits(&gap)) {
            wrong.push(format!("{target}: wanted {why} {detail:?} {hint:?}, got {of_node:#?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let good = report["nodes"].as_array().unwrap().iter().find(|node| node["name"] == "good").unwrap();
    assert_eq!(good["status"], "read");
    // What came before a connection was lost is judged, and names its processes.
    for number in [17, 18] {
        assert_eq!(
            paths(&report, &format!("t{number}")).get("kubelet outbound public-endpoint"),
            Some(&1),
            "{number}"
        );
    }
}

#[test]
fn a_noisy_login_is_read_as_a_quiet_one() {
    let scene = scene(Access::Public);
    scene.dial(PUBLIC);
    let (report, gaps) = scene.n1_by("noisy@192.168.10.10", &[]);
    assert_eq!(gaps, [] as [Value; 0], "{report:#}");
    let node = &report["nodes"][0];
    assert_eq!((&node["status"], &node["skipped_lines"]), (&json!("read"), &json!(0)), "{report:#}");
    let mut addresses: Vec<IpAddr> = serde_json::from_value(report["dns"][1]["addresses"].clone()).unwrap();
    addresses.sort();
    assert_eq!(addresses, PUBLIC);
}

#[test]
fn root_needs_no_sudo() {
    let scene = scene(Access::Public);
    scene.dial(PUBLIC);
    let (report, gaps) = scene.n1_by("root@192.168.10.10", &[]);
    assert_eq!(gaps, [] as [Value; 0], "{report:#}");
}

#[test]
fn a_host_key_that_changed_or_is_unknown_is_not_taken() {
    let scene = scene(Access::Public);
    scene.dial(PUBLIC);
    let n2 = scene.lab.node(1);
    n2.forget_host_key().unwrap();
    let (report, gaps) = scene.n1_by("192.168.10.11", &[]);
    assert_eq!(gaps[0]["why"], "host-key-unknown", "{report:#}");
    n2.trust_host_key().unwrap();
    n2.change_host_key().unwrap();
    let (report, gaps) = scene.n1_by("192.168.10.11", &[]);
    assert_eq!(gaps[0]["why"], "host-key-changed", "{report:#}");
    assert!(gaps[0]["hint"].as_str().unwrap().contains("ssh-keygen -R 192.168.10.11"), "{report:#}");
    assert_eq!(report["nodes"][0]["status"], "unreachable");
    n2.forget_host_key().unwrap();
    n2.trust_host_key().unwrap();
    let (_, gaps) = scene.n1_by("192.168.10.11", &[]);
    assert_eq!(gaps, [] as [Value; 0]);
}

#[test]
fn a_node_behind_a_bastion_is_read_through_it() {
    let scene = scene(Access::Public);
    scene.dial(PUBLIC);
    let (report, gaps) = scene.n1_by("192.168.10.10", &["--ssh-option", "ProxyJump=ec2-user@192.168.10.11"]);
    assert_eq!(gaps, [] as [Value; 0], "{report:#}");
    assert_eq!(report["nodes"][0]["status"], "read");
}

#[test]
fn a_server_with_too_many_logins_is_tried_again() {
    let scene = scene(Access::Public);
    scene.dial(PUBLIC);
    let n1 = scene.lab.node(0);
    n1.set_sshd("MaxStartups 1:100:1").unwrap();
    let nodes: Vec<_> =
        (0..6).flat_map(|number| ["--node".to_owned(), format!("m{number}=192.168.10.10")]).collect();
    let nodes: Vec<_> = nodes.iter().map(String::as_str).collect();
    let (report, _) = scene.audit(&nodes);
    n1.set_sshd("MaxStartups 1000").unwrap();
    let read = report["nodes"].as_array().unwrap().iter().filter(|node| node["status"] == "read").count();
    assert_eq!(read, 6, "{report:#}");
}

#[test]
fn what_a_name_server_does_is_told_apart() {
    let scene = scene(Access::Private);
    scene.dial(ENIS);
    let server =
        NameServer::serve_in(&scene.lab.operator_netns(), SocketAddr::from((OPERATOR, 5353))).unwrap();
    let resolver = server.address().to_string();
    let file = format!("dns/{resolver}.txt");
    let enis = ENIS.map(IpAddr::V4).to_vec();
    let v6: IpAddr = "2001:db8::1".parse().unwrap();
    let unanswered = [
        (Behaviour::Nx, "no-answer", "NXDOMAIN"),
        (Behaviour::NoData, "no-answer", "NOERROR"),
        (Behaviour::ServFail, "failed", "SERVFAIL"),
        (Behaviour::Refused, "failed", "REFUSED"),
        (Behaviour::Timeout, "timed-out", "no answer within 3 s"),
        (Behaviour::WrongId, "timed-out", "no answer within 3 s"),
        (Behaviour::TruncatedNoTcp, "failed", ""),
        (Behaviour::CnameLoop, "no-answer", ""),
    ];
    for (behaviour, why, says) in unanswered {
        let name = format!("{behaviour:?}");
        server.set(ENDPOINT_HOST, Entry::failing(behaviour));
        let (report, code) = scene.audit(&["--resolver", &resolver, "--timeout", "3"]);
        let gap = report["gaps"].as_array().unwrap().iter().find(|gap| gap["what"] == file.as_str());
        let gap = gap.unwrap_or_else(|| panic!("{name}: {report:#}"));
        assert_eq!(gap["why"], why, "{name}: {gap}");
        assert!(gap["detail"].as_str().unwrap().contains(says), "{name}: {gap}");
        assert_eq!(code, 3, "{name}: what one vantage point did not answer is no pass");
    }
    let many: Vec<IpAddr> = (1..=200).map(|last| IpAddr::from([10, 9, 0, last])).collect();
    let with = |behaviour: Behaviour| Entry::addresses(enis.clone()).behaving(behaviour);
    let answered = [
        ("plain", Entry::addresses(enis.clone()), enis.clone()),
        ("truncated", with(Behaviour::Truncated), enis.clone()),
        ("aliases", with(Behaviour::CnameChain(3)), enis.clone()),
        ("AAAA only", Entry::addresses([v6]), vec![v6]),
        ("large", Entry::addresses(many.clone()), many),
    ];
    for (name, entry, addresses) in answered {
        server.set(ENDPOINT_HOST, entry);
        let (report, _) = scene.audit(&["--resolver", &resolver]);
        let answer = report["dns"].as_array().unwrap().iter().find(|dns| dns["vantage"] == resolver.as_str());
        let answer = answer.unwrap_or_else(|| panic!("{name}: {report:#}"));
        assert_eq!(answer["addresses"], json!(addresses), "{name}");
    }
}

#[test]
fn an_endpoint_that_is_cut_off_hangs() {
    let scene = scene(Access::Public);
    scene.dial(PUBLIC);
    let n1 = scene.lab.node(0);
    let (from, to) = (IpAddr::V4(n1.address()), IpAddr::V4(PUBLIC[0]));
    scene.lab.block(from, to).unwrap();
    n1.attempt("kubelet", (PUBLIC[0], 443)).unwrap();
    let (report, _) = scene.audit(&[]);
    scene.lab.unblock(from, to).unwrap();
    assert!(rules(&report).contains(&"endpoint-connection-hanging"), "{report:#}");
}

#[test]
fn an_interrupted_collect_keeps_what_it_had_and_leaves_nothing_running() {
    let scene = scene(Access::Public);
    scene.dial(PUBLIC);
    let out = scratch();
    let dir = out.path().join("evidence");
    let mut collect = scene.netcheck(&["collect", "--out", dir.to_str().unwrap(), "--ssh-user", "ec2-user"]);
    collect
        .args(["--node", "n1", "--node", "n2=hang@192.168.10.11"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let child = collect.spawn().unwrap();
    let began = Instant::now();
    while !dir.join("dns/n1.txt").exists() {
        assert!(began.elapsed() < Duration::from_secs(20), "n1 is read while n2 hangs");
        std::thread::sleep(Duration::from_millis(20));
    }
    let interrupted = Instant::now();
    let pid = child.id().to_string();
    assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    let output = child.wait_with_output().unwrap();
    assert!(interrupted.elapsed() < Duration::from_secs(2), "{:?}", interrupted.elapsed());
    assert_eq!(output.status.code(), Some(130), "{}", String::from_utf8_lossy(&output.stderr));
    let manifest: Value = serde_json::from_slice(&std::fs::read(dir.join("manifest.json")).unwrap()).unwrap();
    let n2 = manifest["gaps"].as_array().unwrap().iter().find(|gap| gap["what"] == "node n2").unwrap();
    assert_eq!(n2["why"], "interrupted");
    let left: Vec<_> = std::fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(left.iter().all(|name| !name.to_string_lossy().starts_with('.')), "{left:?}");
    let judged = scene.run(&["audit", "--evidence", dir.to_str().unwrap(), "--format", "json"]);
    let report: Value = serde_json::from_str(&judged.stdout).unwrap();
    assert_eq!(report["nodes"][0]["status"], "read");
    assert_eq!(report["nodes"][1]["status"], "unreachable");
    // What was run on a node has ended with what it printed.
    let left = scene.lab.node(0).run("pgrep -u ec2-user -a || true").unwrap();
    assert_eq!(String::from_utf8_lossy(&left.stdout), "");
}

#[test]
fn a_collect_that_found_nothing_is_not_in_its_own_way() {
    let scene = scene(Access::Public);
    let out = scratch();
    let dir = out.path().join("evidence");
    scene.aws.fault(Fault::always("DescribeCluster", FaultKind::Expired));
    scene.aws.fault(Fault::always("DescribeInstances", FaultKind::Expired));
    let collect = || scene.run(&["collect", "--out", dir.to_str().unwrap(), "--ssh-user", "ec2-user"]);
    let ran = collect();
    assert_eq!((ran.code, dir.exists()), (3, false), "{}", ran.stderr);
    scene.aws.clear_faults();
    let ran = collect();
    assert_eq!((ran.code, dir.join("cluster.json").exists()), (0, true), "{}", ran.stderr);
}

/// Session Manager knows instances by their ids.
#[test]
fn an_instance_can_be_reached_by_its_id() {
    let scene = scene(Access::Public);
    scene.dial(PUBLIC);
    let here = ["--ssh-option", "HostName=192.168.10.10", "--ssh-option", "HostKeyAlias=192.168.10.10"];
    let id = "i-00000000000000000";
    for which in [["--node", id], ["--node-address", "id"]] {
        let (report, _) = scene.audit(&[&here[..], &which].concat());
        let nodes = report["nodes"].as_array().unwrap();
        assert!(nodes.iter().all(|node| node["status"] == "read"), "{which:?}: {report:#}");
    }
    // The id is what ssh is given, and not an address that EC2 has for it.
    let ran = scene.run(&["audit", "--node", id, "--ssh-option", "HostName=id-%h.invalid"]);
    assert!(ran.stdout.contains(&format!("id-{id}.invalid")), "{}", ran.stdout);
}

#[test]
fn the_least_sudo_rule_is_enough() {
    let scene = scene(Access::Public);
    scene.dial(PUBLIC);
    let (report, gaps) = scene.n1_by("onlyss@192.168.10.10", &[]);
    assert_eq!(gaps, [] as [Value; 0], "{report:#}");
    assert_eq!(paths(&report, "n1").get("kubelet outbound public-endpoint"), Some(&1));
}

#[test]
fn a_jump_host_that_cannot_be_reached_is_told_at_once() {
    let scene = scene(Access::Public);
    let jump = format!("ProxyJump=ec2-user@{REFUSES}");
    let mut audit = scene.netcheck(&["audit", "-vv", "--node", "n1=192.168.10.10", "--ssh-option", &jump]);
    audit.args(["--format", "json"]);
    let ran = ran(audit);
    assert_eq!(ran.stderr.matches("ssh begins").count(), 1, "{}", ran.stderr);
    let report: Value = serde_json::from_str(&ran.stdout).unwrap();
    let gap = report["gaps"].as_array().unwrap().iter().find(|gap| gap["what"] == "node n1").unwrap();
    assert_eq!(gap["why"], "connection-refused");
    assert!(gap["detail"].as_str().unwrap().contains(&REFUSES.to_string()), "{gap}");
}

#[test]
fn few_open_files_cost_time_and_no_node() {
    let scene = scene(Access::Public);
    scene.dial(PUBLIC);
    let mut audit = scene.lab.operator("sh");
    audit.args(["-c", "ulimit -n 100; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_eks-netcheck")]);
    let nodes = (0..30).flat_map(|number| ["--node".to_owned(), format!("m{number}=192.168.10.10")]);
    audit.args(["audit", "--cluster", "myeks", "--concurrency", "30", "--format", "json"]).args(nodes);
    audit
        .args(["--ssh-user", "ec2-user"])
        .envs(scene.netcheck(&[]).get_envs().filter_map(|(key, value)| Some((key, value?))));
    let ran = ran(audit);
    let report: Value =
        serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{error}: {}", ran.stderr));
    let read = report["nodes"].as_array().unwrap().iter().filter(|node| node["status"] == "read").count();
    assert_eq!(read, 30, "{:#}", report["gaps"]);
}

#[test]
fn a_hosts_name_is_no_option() {
    let scene = scene(Access::Public);
    let marker = scratch();
    let file = marker.path().join("ran");
    for target in [
        format!("-oProxyCommand=touch {}", file.display()),
        format!("ec2-user@-oProxyCommand=touch${{IFS}}{}", file.display()),
        format!("$(touch {})", file.display()),
    ] {
        let ran = scene.run(&["audit", "--node", &format!("n1={target}")]);
        assert_eq!(ran.code, 2, "{target}");
        assert!(ran.stderr.contains("no ssh destination"), "{}", ran.stderr);
    }
    // Nor is one that AWS says.
    scene.aws.change(|account| {
        account.reservations[0]["Instances"][0]["PrivateDnsName"] = json!("-oProxyCommand=touch");
    });
    let (report, _) = scene.audit(&["--node-address", "name"]);
    assert!(!file.exists());
    assert!(report["gaps"].to_string().contains("no ssh destination"), "{report:#}");
}
