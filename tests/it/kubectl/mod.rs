//! Nodes that are read by a real kubectl, through an API server whose pods are real processes
//! on the nodes of the lab.

mod collection;
mod contexts;
mod in_cluster;
mod leftovers;
mod refusals;
mod rights;
mod scripted;
mod tracing;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Command;
use std::sync::MutexGuard;
use std::thread::sleep;
use std::time::{Duration, Instant};

use eks_netcheck_lab::kube::ApiServer;
use eks_netcheck_lab::sandbox::{ENIS, Node, OPERATOR, PUBLIC};
use serde_json::{Value, json};

use crate::common::{Ran, scratch};
use crate::lab::{Access, CERTIFICATE_AUTHORITY, Testbed, run_command, testbed};

/// The testbed with an API server and a kubeconfig.
struct Kube {
    // Dropped before the testbed is free for another test.
    api: ApiServer,
    testbed: MutexGuard<'static, Testbed>,
    dir: tempfile::TempDir,
}

/// A cluster in this access mode, with connections on both paths.
fn kube(access: Access) -> Kube {
    let testbed = testbed(access);
    testbed.dial(match access {
        Access::Public => PUBLIC,
        // One node's kubelet is on the public path.
        Access::PublicAndPrivate => [PUBLIC[0], ENIS[1]],
        Access::Private => ENIS,
    });
    let kubelets: Vec<_> = testbed.lab.nodes().iter().map(Node::kubelet).collect();
    let api = ApiServer::serve_in(&testbed.lab.operator_netns(), (OPERATOR, 6443).into(), ENIS[0], kubelets);
    let kube = Kube { testbed, api: api.unwrap(), dir: scratch() };
    kube.write_kubeconfig(&[("lab", &kube.api.url(), Some(CERTIFICATE_AUTHORITY))], "");
    kube
}

impl Kube {
    fn kubeconfig(&self) -> PathBuf {
        self.dir.path().join("kubeconfig")
    }

    /// Writes contexts: the name, the server, and the certificate authority of each.
    fn write_kubeconfig(&self, contexts: &[(&str, &str, Option<&str>)], current: &str) {
        let clusters: Vec<_> = contexts
            .iter()
            .map(|(name, server, ca)| {
                let mut cluster = json!({"server": server});
                if let Some(ca) = ca {
                    cluster["certificate-authority-data"] = json!(ca);
                }
                json!({"name": format!("cluster-{name}"), "cluster": cluster})
            })
            .collect();
        let context = |name: &str| json!({"name": name, "context": {"cluster": format!("cluster-{name}"), "user": "user"}});
        let contexts: Vec<_> = contexts.iter().map(|(name, ..)| context(name)).collect();
        let config = json!({
            "apiVersion": "v1", "kind": "Config", "clusters": clusters, "contexts": contexts,
            "users": [{"name": "user", "user": {"token": "secret-token"}}], "current-context": current,
        });
        std::fs::write(self.kubeconfig(), config.to_string()).unwrap();
    }

    /// Changes the kubeconfig.
    fn change_kubeconfig(&self, change: impl FnOnce(&mut Value)) {
        let mut config = serde_json::from_slice(&std::fs::read(self.kubeconfig()).unwrap()).unwrap();
        change(&mut config);
        std::fs::write(self.kubeconfig(), config.to_string()).unwrap();
    }

    /// A run with `--nodes kubectl`.
    fn netcheck(&self, args: &[&str]) -> Command {
        let mut command = self.testbed.netcheck(args);
        command.env("KUBECONFIG", self.kubeconfig()).env("HOME", self.dir.path());
        if let Some(path) = std::env::var_os("PATH") {
            command.env("PATH", path);
        }
        command
    }

    fn run(&self, args: &[&str]) -> Ran {
        run_command(self.netcheck(args))
    }

    /// The report and the exit code of an audit.
    fn audit(&self, args: &[&str]) -> (Value, i32) {
        let ran = self.run(&[&["audit", "--format", "json"], args].concat());
        let report =
            serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{error}: {}", ran.stderr));
        (report, ran.code)
    }

    /// Nothing of a run is left in the cluster, a moment later.
    fn assert_clean(&self, what: &str) {
        let until = Instant::now() + Duration::from_secs(10);
        while !self.api.jobs().is_empty() && Instant::now() < until {
            sleep(Duration::from_millis(20));
        }
        assert_eq!(self.api.jobs(), [Value::Null; 0], "{what}");
    }
}

/// What two audits must agree on: the findings without ids of processes and ports, and which
/// paths the nodes use.
fn judgment(report: &Value) -> Value {
    let findings = report["findings"].as_array().unwrap().iter();
    let findings: BTreeSet<_> = findings
        .map(|finding| format!("{} {} {}", finding["rule"], finding["severity"], finding["subject"]))
        .collect();
    json!({"findings": findings, "node_traffic": report["node_traffic"], "verdict": report["verdict"]})
}

/// The gaps about a subject.
fn gaps<'r>(report: &'r Value, what: &str) -> Vec<&'r Value> {
    report["gaps"].as_array().unwrap().iter().filter(|gap| gap["what"] == what).collect()
}
