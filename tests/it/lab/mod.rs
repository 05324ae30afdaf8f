//! The built binary in the lab: real sshd, sudo, `ss` and name server, and sockets of
//! processes named kubelet, kube-proxy and aws-k8s-agent.

mod alone;
mod dns;
mod interruption;
mod node_probes;
mod paths;
mod peers;
mod ssh;
mod ssm;
mod switching;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::process::{Command, Stdio};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use eks_netcheck_lab::aws::{Account, Api};
use eks_netcheck_lab::sandbox::{
    ANONYMOUS, CLUSTER_IP, ENDPOINT_HOST, ENIS, Lab, LabConfig, OPERATOR, PUBLIC, View,
};
pub(crate) use eks_netcheck_lab::tls::CERTIFICATE_AUTHORITY;
use serde_json::{Value, json};

use crate::common::{Ran, story};
use crate::pty::DEFAULT_SIGNALS;

/// The lab and its fake AWS.
pub(crate) struct Testbed {
    pub(crate) lab: Lab,
    aws: Api,
}

/// The endpoint access mode of a cluster.
#[derive(Clone, Copy)]
pub(crate) enum Access {
    Public,
    PublicAndPrivate,
    Private,
}

/// The only testbed, locked for one test, in this access mode and without connections.
pub(crate) fn testbed(access: Access) -> MutexGuard<'static, Testbed> {
    static TESTBED: OnceLock<Mutex<Testbed>> = OnceLock::new();
    let testbed = TESTBED.get_or_init(|| {
        // A thread of its own: the lab should not end with the thread of one test.
        let up = std::thread::spawn(|| Lab::start(LabConfig::default())).join().unwrap();
        let lab =
            up.unwrap_or_else(|error| panic!("no lab here: {error:#}; leave it out with: -- --skip lab::"));
        let address = SocketAddr::from((OPERATOR, 4566));
        let aws = Api::serve_in(&lab.operator_netns(), address, Account::default()).unwrap();
        Mutex::new(Testbed { lab, aws })
    });
    let testbed = testbed.lock().unwrap_or_else(PoisonError::into_inner);
    testbed.set(access);
    testbed
}

impl Testbed {
    /// Resets the lab, AWS and DNS to an access mode.
    fn set(&self, access: Access) {
        self.lab.reset_connections().unwrap();
        self.aws.set_account(account(&self.lab, access));
        self.aws.clear_faults();
        self.lab.api_server().set_answers(ANONYMOUS);
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

    /// Connects kubelet and kube-proxy of every node to `to`, aws-k8s-agent to the
    /// `ClusterIP`.
    pub(crate) fn dial(&self, to: [Ipv4Addr; 2]) {
        for node in self.lab.nodes() {
            node.dial("kubelet", (to[0], 443)).unwrap();
            node.dial("kube-proxy", (to[1], 443)).unwrap();
            node.dial("aws-k8s-agent", (CLUSTER_IP, 443)).unwrap();
        }
    }

    /// Changes the AWS account, until the next test.
    pub(crate) fn change_account(&self, change: impl FnOnce(&mut Account)) {
        let mut account = account(&self.lab, Access::Public);
        change(&mut account);
        self.aws.set_account(account);
    }

    /// The URL of the fake AWS.
    pub(crate) fn aws_url(&self) -> String {
        self.aws.url()
    }

    /// A run on the operator's host, with credentials for the fake AWS.
    pub(crate) fn netcheck(&self, args: &[&str]) -> Command {
        let mut command = self.lab.operator_command("env");
        // What the probes of an audit find is the subject of tests of their own.
        let is_collection = matches!(args.first(), Some(&("audit" | "collect")));
        let probes = !is_collection || args.iter().any(|arg| ["--probe", "--evidence"].contains(arg));
        command
            .args([DEFAULT_SIGNALS, env!("CARGO_BIN_EXE_eks-netcheck")])
            .args(args)
            .args(if probes { &[][..] } else { &["--probe", "none"] })
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
        run_command(self.netcheck(args))
    }

    /// The report and exit code of a live audit.
    fn audit(&self, args: &[&str]) -> (Value, i32) {
        let ran = self.run(&[&["audit", "--ssh-user", "ec2-user", "--format", "json"], args].concat());
        let report =
            serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{error}: {}", ran.stderr));
        (report, ran.code)
    }

    /// An audit that reads n1 alone, by an ssh target; the report and the gaps about n1.
    fn audit_n1(&self, target: &str, args: &[&str]) -> (Value, Vec<Value>) {
        let node = format!("n1={target}");
        let (report, code) = self.audit(&[&["--node", &node], args].concat());
        let of_n1 = |gap: &&Value| gap["what"] == "node n1" || gap["what"] == "dns/n1.txt";
        let gaps = report["gaps"].as_array().unwrap().iter().filter(of_n1).cloned().collect();
        // The other node is not read, so the audit cannot pass.
        assert_ne!(code, 0, "{report:#}");
        (report, gaps)
    }
}

/// Runs a command to its end.
pub(crate) fn run_command(mut command: Command) -> Ran {
    let output = command.output().unwrap();
    Ran {
        code: output.status.code().expect("not ended by a signal"),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// The AWS account of a story, with the lab's endpoint name and nodes.
fn account(lab: &Lab, access: Access) -> Account {
    let (name, public, private) = match access {
        Access::Public => ("study-public", true, false),
        Access::PublicAndPrivate => ("private-only", true, true),
        Access::Private => ("private-only", false, true),
    };
    let mut account = Account::from_evidence(&story(name)).unwrap();
    let cluster = account.clusters.get_mut("myeks").unwrap();
    cluster["endpoint"] = json!(format!("https://{ENDPOINT_HOST}"));
    cluster["certificateAuthority"]["data"] = json!(CERTIFICATE_AUTHORITY);
    cluster["resourcesVpcConfig"]["endpointPublicAccess"] = json!(public);
    cluster["resourcesVpcConfig"]["endpointPrivateAccess"] = json!(private);
    cluster["resourcesVpcConfig"]["publicAccessCidrs"] =
        if public { json!(["203.0.113.0/24"]) } else { json!([]) };
    let original =
        account.reservations.iter().find(|reservation| reservation.to_string().contains("cluster/myeks"));
    let original = original.unwrap().clone();
    account.reservations = (0..lab.nodes().len()).map(|index| instance(&original, lab, index)).collect();
    account
}

/// A copy of a reservation for a node of the lab.
fn instance(original: &Value, lab: &Lab, index: usize) -> Value {
    let node = lab.node(index);
    let mut reservation = original.clone();
    let instance = &mut reservation["Instances"][0];
    instance["InstanceId"] = json!(format!("i-{index:017x}"));
    instance["PrivateDnsName"] = json!(node.name());
    instance["PrivateIpAddress"] = json!(node.address());
    instance["NetworkInterfaces"] = json!([]);
    reservation["Instances"] = json!([instance.clone()]);
    reservation
}

/// The number of a node's connections by process, direction and path.
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

/// Removes the commands of findings, which for nodes are for the way in which they were read.
fn remove_commands(findings: &mut Value) {
    for finding in findings.as_array_mut().unwrap() {
        finding.as_object_mut().unwrap().remove("remediation").unwrap();
        for step in finding["steps"].as_array_mut().unwrap() {
            step.as_object_mut().unwrap().remove("command").unwrap();
        }
    }
}
