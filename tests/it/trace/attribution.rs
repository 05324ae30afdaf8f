//! Connections that the API server keeps, and those of others beside the command.

use std::time::Duration;

use eks_netcheck_lab::sandbox::{CLUSTER_IP, PUBLIC};
use serde_json::Value;

use super::{EXEC, NODE, changes, kube_testbed};
use crate::common::Ran;
use crate::lab::Access;

/// The API server keeps its connection after `logs`: it appears then, and is unchanged
/// in the next trace.
#[test]
fn a_pooled_connection_appears_once() {
    let kube = kube_testbed(Access::Public);
    let logs = ["logs", "aws-node-1", "-c", "aws-eks-nodeagent"];
    let (_, report) = kube.run_kubectl(&[], &logs);
    let inbound = format!("{NODE} kubelet inbound private-eni appeared");
    assert_eq!(changes(&report), [inbound], "{report:#}");
    let (ran, report) = kube.run(&[], &["true"]);
    assert_eq!(changes(&report), Vec::<String>::new(), "{report:#}");
    assert!(is_pool_named(&ran), "{}", ran.stdout);
    let headline = ran.stdout.split("\n\n").next().unwrap().split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(headline.contains("(2 nodes compared); by the kernel's count, "), "{headline}");
    kube.api.close_pooled_connections();
}

/// Whether the report says that requests may have used the connection that existed before.
fn is_pool_named(ran: &Ran) -> bool {
    let pooled = "1 connection from the API server to kubelet (n1) existed before: logs, proxy and metrics may have used it";
    ran.stdout.split_whitespace().collect::<Vec<_>>().join(" ").contains(pooled)
}

/// Such a request opens no connection, and no sample shows it.
#[test]
fn logs_over_a_pooled_connection_are_not_reported_as_nothing() {
    let kube = kube_testbed(Access::Public);
    let logs = ["logs", "aws-node-1", "-c", "aws-eks-nodeagent"];
    kube.run_kubectl(&[], &logs);
    let (ran, report) = kube.run_kubectl(&[], &logs);
    assert_eq!(changes(&report), Vec::<String>::new(), "{report:#}");
    assert_eq!(report["pooled"], 1, "{report:#}");
    assert!(is_pool_named(&ran) && !ran.stdout.contains("nothing changed"), "{}", ran.stdout);
    kube.api.close_pooled_connections();
}

/// The API server closes idle connections during whatever command runs then.
#[test]
fn the_end_of_a_pooled_connection_is_not_blamed_on_the_command() {
    let kube = kube_testbed(Access::Public);
    kube.run_kubectl(&[], &["logs", "aws-node-1", "-c", "aws-eks-nodeagent"]);
    for exec in ["true", "exec"] {
        let (ran, report) = std::thread::scope(|scope| {
            scope.spawn(|| {
                kube.wait_until_begun();
                kube.api.close_pooled_connections();
            });
            let exec = match exec {
                "exec" => kube.kubectl(&[&EXEC[..], &["--", "true"]].concat()).join(" "),
                other => other.to_owned(),
            };
            kube.run(&[], &["sh", "-c", &format!("{}; {exec}", kube.sleep_script(1))])
        });
        let inbound: Vec<_> = report["changes"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|change| change["change"] == "gone" && change["direction"] == "inbound")
            .collect();
        assert_eq!(inbound.len(), 1, "{report:#}");
        assert_eq!((&inbound[0]["background"], &inbound[0]["role"]), (&true.into(), &"pool".into()));
        let headline = ran.stdout.split("\n\n").next().unwrap();
        assert!(!headline.contains("disappeared") || headline.contains("appeared and"), "{headline}");
        assert_eq!(headline.contains("1 connection to kubelet"), exec == "exec", "{headline}");
        assert!(ran.stdout.contains("the API server closes idle ones"), "{}", ran.stdout);
        std::fs::remove_file(kube.begun_file()).unwrap();
        kube.run_kubectl(&[], &["logs", "aws-node-1", "-c", "aws-eks-nodeagent"]);
    }
    kube.api.close_pooled_connections();
}

/// The headline is that of the exec, whatever else happens on the node.
#[test]
fn curl_and_restarts_beside_an_exec_stand_below_it() {
    let kube = kube_testbed(Access::Public);
    let n1 = kube.testbed.lab.node(0);
    let exec = kube.kubectl(&[&EXEC[..], &["--", "true"]].concat()).join(" ");
    let (ran, report) = std::thread::scope(|scope| {
        scope.spawn(|| {
            kube.wait_until_begun();
            n1.dial("curl", (PUBLIC[0], 443)).unwrap();
            n1.dial("curl", (CLUSTER_IP, 443)).unwrap();
            for (process, peer) in
                [("kubelet", PUBLIC[1]), ("kube-proxy", PUBLIC[0]), ("aws-k8s-agent", CLUSTER_IP)]
            {
                n1.restart(process).unwrap();
                n1.dial(process, (peer, 443)).unwrap();
            }
            // Processes are named once a second.
            std::thread::sleep(Duration::from_millis(1500));
            n1.restart("curl").unwrap();
        });
        kube.run(&[], &["sh", "-c", &format!("{}; {exec}", kube.sleep_script(3))])
    });
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let (headline, rows) = ran.stdout.split_once("Node").unwrap();
    let headline = headline.split_whitespace().collect::<Vec<_>>().join(" ");
    let names = "appeared and disappeared. 2 outbound connections changed as well. Restarted: aws-k8s-agent on n1, kube-proxy on n1, kubelet on n1.";
    assert!(
        headline.contains("n1: 1 connection to kubelet from 192.168.1.55") && headline.ends_with(names),
        "{headline}"
    );
    let roles = |role: &str| {
        let all = report["changes"].as_array().unwrap().iter();
        all.filter(|change| change["role"] == role).count()
    };
    assert_eq!((roles("inbound"), roles("outbound"), roles("restart")), (1, 2, 6), "{report:#}");
    let (above, below) = rows.split_once("Restarts of processes").unwrap();
    assert!(above.find("192.168.1.55").unwrap() < above.find("curl").unwrap(), "{rows}");
    assert!(!above.contains("gone") && below.contains("gone") && below.contains("appeared"), "{rows}");
}

#[test]
fn connections_of_other_clients_are_background() {
    let kube = kube_testbed(Access::Public);
    let (n1, n2) = (kube.testbed.lab.node(0), kube.testbed.lab.node(1));
    let report = std::thread::scope(|scope| {
        scope.spawn(|| {
            kube.wait_until_begun();
            // Like metrics-server, which scrapes every kubelet.
            n2.dial("metrics-server", (n1.address(), 10250)).unwrap();
        });
        kube.run(&[], &["sh", "-c", &kube.sleep_script(2)]).1
    });
    assert_eq!(changes(&report), Vec::<String>::new(), "{report:#}");
    let inbound: Vec<_> = report["changes"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|change| change["process"] == "kubelet")
        .collect();
    assert_eq!(inbound.len(), 1, "{report:#}");
    assert_eq!(
        (&inbound[0]["change"], &inbound[0]["background"]),
        (&Value::from("appeared"), &Value::from(true))
    );
}
