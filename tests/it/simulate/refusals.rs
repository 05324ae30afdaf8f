//! Changes and clients that are refused.

use serde_json::{Value, json};

use super::{client, json, run};
use crate::common::{copy_of, edit_json, story};

#[test]
fn lists_that_eks_refuses_are_refused() {
    let many: Vec<_> = (0..41).map(|number| format!("203.0.113.{number}/32")).collect();
    let many = many.join(",");
    for (args, message) in [
        (&["--public-cidrs", "10.0.0.0/16"][..], "EKS refuses private and reserved blocks"),
        (&["--public-cidrs", "203.0.113.0/24,192.168.7.7/32"], "EKS refuses private"),
        (&["--public-cidrs", "100.64.0.0/24"], "100.64.0.0/10"),
        (&["--public-cidrs", "fd00::/16"], "fc00::/7"),
        (&["--public-cidrs", "203.0.113.7/24"], "write 203.0.113.0/24"),
        (&["--public-cidrs", "203.0.113.7"], "write 203.0.113.7/32"),
        (&["--public-cidrs", "052.78.10.20/32"], "without leading zeros"),
        (&["--public-cidrs", "52.78.10.20/032"], "expected a CIDR block"),
        (&["--public-cidrs", "52.78.10.20/0"], "did you mean 52.78.10.20/32"),
        (&["--access", "private", "--client", "ci=052.78.10.20/32"], "without leading zeros"),
        (&["--access", "private", "--client", "ci\u{1b}[1m=198.51.100.7"], "control characters"),
        (&["--public-cidrs", "203.0.113.0/33"], "expected a CIDR block"),
        (&["--public-cidrs", ""], "expected a CIDR block"),
        (&["--public-cidrs", &many], "at most 40"),
        (&["--access", "private", "--public-cidrs", "203.0.113.0/24"], "has no effect"),
        (&["--client", "ci=198.51.100.0/24"], "--access"),
        (&["--access", "private", "--client", "=198.51.100.0/24"], "a name has"),
        (&["--access", "private", "--client", "ci=198.51.100.7/24"], "write 198.51.100.0/24"),
    ] {
        let ran = run(&story("study-public"), args);
        assert_eq!(ran.code, 2, "{args:?}: {}", ran.stdout);
        assert!(ran.stderr.contains(message), "{args:?}: {}", ran.stderr);
        assert!(ran.stdout.is_empty(), "{args:?}");
    }
    let ran = run(&story("private-only"), &["--public-cidrs", "203.0.113.0/24"]);
    assert!(ran.code == 2 && ran.stderr.contains("the public endpoint is off"), "{}", ran.stderr);
}

/// A report would not say which of two clients of one name it is about.
#[test]
fn clients_have_names_of_their_own() {
    for (clients, message) in [
        (&["here=198.51.100.7", "here=198.51.100.8"][..], "--client: here is given twice"),
        (&["n1=198.51.100.7"], "--client n1: this is the name of a node"),
        (&["n1 kubelet=198.51.100.7"], "--client n1 kubelet: this is the name"),
        (&["pods=198.51.100.7"], "--client pods: this is the name"),
        (&["ci=198.51.100.7", " n2 =198.51.100.7"], "--client n2: this is the name"),
        (&["ci=198.51.100.7", "vpn=198.51.100.8", "ci=198.51.100.9"], "--client: ci is given twice"),
        (&["ci=198.51.100.7", "ci=198.51.100.7"], "--client: ci is given twice"),
        (&["ci=198.51.100.7,"], "expected a CIDR block"),
    ] {
        let args = clients.iter().flat_map(|client| ["--client", client]);
        let args: Vec<_> = ["--access", "private"].into_iter().chain(args).collect();
        let ran = run(&story("study-public"), &args);
        assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{clients:?}: {}", ran.stderr);
        assert!(ran.stderr.contains(message), "{clients:?}: {}", ran.stderr);
    }
    // Ids, DNS names and Name tags of nodes are names of theirs too.
    let instances = std::fs::read_to_string(story("study-public").join("instances.json")).unwrap();
    let instances: Value = serde_json::from_str(&instances).unwrap();
    let reservations = instances["Reservations"].as_array().unwrap().iter();
    let mut listed = reservations.flat_map(|one| one["Instances"].as_array().unwrap());
    let node = listed.find(|instance| instance["Tags"].to_string().contains("eks:cluster-name")).unwrap();
    for name in [&node["InstanceId"], &node["PrivateDnsName"]] {
        let client = format!("{}=198.51.100.7", name.as_str().unwrap());
        let ran = run(&story("study-public"), &["--access", "private", "--client", &client]);
        assert_eq!(ran.code, 2, "{client}: {}", ran.stdout);
    }
    // One client has several blocks.
    let (report, _) = json(
        &story("study-public"),
        &["--access", "private", "--client", "ci=198.51.100.7, 2001:db8::/32", "--client", "n=192.168.11.10"],
    );
    for name in ["ci (198.51.100.7/32)", "ci (2001:db8::/32)"] {
        assert_eq!(client(&report, name)["reaches"], "no");
    }
    assert_eq!(client(&report, "n")["kind"], "client");
}

#[test]
fn a_cluster_without_an_endpoint_of_eks_is_refused() {
    let dir = copy_of("study-public");
    edit_json(dir.path(), "cluster.json", |json| {
        json["cluster"]["connectorConfig"] = json!({"provider": "OTHER"});
        json["cluster"].as_object_mut().unwrap().remove("endpoint");
    });
    let ran = run(dir.path(), &["--access", "private"]);
    assert_eq!(ran.code, 2, "{}", ran.stdout);
    assert!(ran.stderr.contains("EKS Connector"), "{}", ran.stderr);
}
