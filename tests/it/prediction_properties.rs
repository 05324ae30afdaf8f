//! What holds for every simulation, whatever the evidence lacks and however the cluster is
//! set up.

use std::fs;
use std::path::Path;

use proptest::prelude::*;
use proptest::sample::subsequence;
use serde_json::{Value, json};

use crate::common::{Netcheck, copy, edit_json, fixtures, scratch};

/// The addresses of the endpoint and of the ENIs in `fixtures/access`.
const PUBLIC: [&str; 2] = ["3.39.55.189", "3.37.178.179"];
const ENIS: [&str; 2] = ["192.168.1.55", "192.168.2.66"];

/// Blocks: an office, the NAT gateways, a hosted CI, everybody. EKS takes no IPv6 block for a
/// cluster of IPv4.
const BLOCKS: [&str; 5] =
    ["203.0.113.0/24", "52.78.10.20/32", "13.125.30.40/32", "198.51.100.64/27", "0.0.0.0/0"];

/// Clients, in the VPC and outside.
const CLIENTS: [&str; 6] = [
    "office=203.0.113.0/25",
    "ci=198.51.100.64/27",
    "bastion=192.168.11.10/32",
    "vpn=10.50.0.0/16",
    "six=2001:db8:77::/64",
    "wide=0.0.0.0/0",
];

/// Files without which a simulation has to do.
const FILES: [&str; 10] = [
    "network-acls.json",
    "security-groups.json",
    "route-tables.json",
    "nat-gateways.json",
    "dhcp-options.json",
    "network-interfaces.json",
    "instances.json",
    "vpc.json",
    "dns/n1.txt",
    "nodes/n2.txt",
];

/// How n1's kubelet and kube-proxy are connected.
#[derive(Debug, Clone, Copy)]
enum Connected {
    Public,
    Private,
    Mixed,
    Hanging,
    Not,
}

/// What is set up so that it may cut clients off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// The VPC has name servers of its own.
    OwnDns,
    NoDnsHostnames,
    /// No security group admits anything.
    Groups,
    /// The network ACLs deny all.
    Acls,
    /// The routes to the NAT gateways are black holes.
    Routes,
    /// Block Public Access, for inbound connections.
    BlockIngress,
    /// Block Public Access, in both directions.
    BlockBoth,
}

const FAULTS: [Fault; 7] = [
    Fault::OwnDns,
    Fault::NoDnsHostnames,
    Fault::Groups,
    Fault::Acls,
    Fault::Routes,
    Fault::BlockIngress,
    Fault::BlockBoth,
];

/// A cluster and what is recorded of it.
#[derive(Debug, Clone)]
struct Setup {
    mode: &'static str,
    blocks: Vec<&'static str>,
    missing: Vec<&'static str>,
    connected: Connected,
    /// Where the operator's name server sends them, if it is recorded.
    here: Option<[&'static str; 2]>,
    faults: Vec<Fault>,
    clients: Vec<&'static str>,
}

fn setups() -> impl Strategy<Value = Setup> {
    let connected = prop_oneof![
        Just(Connected::Public),
        Just(Connected::Private),
        Just(Connected::Mixed),
        Just(Connected::Hanging),
        Just(Connected::Not),
    ];
    (
        prop_oneof![Just("public"), Just("public-and-private"), Just("private")],
        subsequence(BLOCKS.to_vec(), 1..4),
        subsequence(FILES.to_vec(), 0..4),
        connected,
        prop_oneof![Just(None), Just(Some(PUBLIC)), Just(Some(ENIS))],
        subsequence(FAULTS.to_vec(), 0..4),
        subsequence(CLIENTS.to_vec(), 0..4),
    )
        .prop_map(|(mode, blocks, missing, connected, here, faults, clients)| Setup {
            mode,
            blocks,
            missing,
            connected,
            here,
            faults,
            clients,
        })
}

impl Fault {
    fn write(self, dir: &Path) {
        match self {
            Self::OwnDns => edit_json(dir, "dhcp-options.json", |options| {
                options["DhcpOptions"][0]["DhcpConfigurations"][1]["Values"] =
                    json!([{ "Value": "10.20.0.10" }]);
            }),
            Self::NoDnsHostnames => edit_json(dir, "vpc.json", |vpc| {
                vpc["EnableDnsHostnames"]["Value"] = json!(false);
            }),
            Self::Groups => edit_json(dir, "security-groups.json", |groups| {
                for group in groups["SecurityGroups"].as_array_mut().unwrap() {
                    group["IpPermissions"] = json!([]);
                }
            }),
            Self::Acls => edit_json(dir, "network-acls.json", |acls| {
                let entries = acls["NetworkAcls"][0]["Entries"].as_array_mut().unwrap();
                entries.retain(|entry| entry["RuleAction"] == "deny");
            }),
            Self::Routes => edit_json(dir, "route-tables.json", |tables| {
                for table in tables["RouteTables"].as_array_mut().unwrap() {
                    let routes = table["Routes"].as_array_mut().unwrap().iter_mut();
                    for route in routes.filter(|route| route["NatGatewayId"].is_string()) {
                        route["State"] = json!("blackhole");
                    }
                }
            }),
            Self::BlockIngress => block_public_access(dir, "block-ingress"),
            Self::BlockBoth => block_public_access(dir, "block-bidirectional"),
        }
    }
}

fn block_public_access(dir: &Path, mode: &str) {
    edit_json(dir, "vpc.json", |vpc| {
        vpc["Vpcs"][0]["BlockPublicAccessStates"]["InternetGatewayBlockMode"] = json!(mode);
    });
    edit_json(dir, "subnets.json", |subnets| {
        for subnet in subnets["Subnets"].as_array_mut().unwrap() {
            subnet["BlockPublicAccessStates"]["InternetGatewayBlockMode"] = json!(mode);
        }
    });
}

impl Setup {
    /// Writes it as an evidence directory.
    fn write(&self, dir: &Path) {
        copy(&fixtures().join("access").join(self.mode), dir);
        let is_public = self.mode != "private";
        edit_json(dir, "cluster.json", |cluster| {
            let blocks = if is_public { json!(self.blocks) } else { json!([]) };
            cluster["cluster"]["resourcesVpcConfig"]["publicAccessCidrs"] = blocks;
        });
        for fault in &self.faults {
            fault.write(dir);
        }
        self.write_sockets(dir);
        if let Some(here) = self.here {
            fs::write(dir.join("dns/here.txt"), here.join("\n") + "\n").unwrap();
        }
        for file in &self.missing {
            fs::remove_file(dir.join(file)).unwrap();
        }
    }

    fn write_sockets(&self, dir: &Path) {
        let (state, peers) = match self.connected {
            Connected::Public => ("ESTAB", PUBLIC),
            Connected::Private => ("ESTAB", ENIS),
            Connected::Mixed => ("ESTAB", [PUBLIC[0], ENIS[0]]),
            Connected::Hanging => ("SYN-SENT", PUBLIC),
            Connected::Not => ("TIME-WAIT", PUBLIC),
        };
        let rows = format!(
            "State Recv-Q Send-Q Local Address:Port Peer Address:Port Process\n\
             {state} 0 0 192.168.1.20:52010 {}:443 users:((\"kubelet\",pid=2950,fd=22))\n\
             {state} 0 0 192.168.1.20:52366 {}:443 users:((\"kube-proxy\",pid=3277,fd=9))\n\
             ESTAB 0 0 127.0.0.1:55018 127.0.0.1:41763 users:((\"kubelet\",pid=2950,fd=26))\n",
            peers[0], peers[1]
        );
        fs::write(dir.join("nodes/n1.txt"), rows).unwrap();
    }

    /// The report of a change to a mode and a list, and the exit code.
    fn simulate(&self, dir: &Path, mode: &str, blocks: Option<&[&str]>) -> (Value, i32) {
        let mut netcheck = Netcheck::new(["simulate", "--cluster", "myeks", "--evidence"]).arg(dir);
        netcheck = netcheck.args(&["--access", mode]);
        if let Some(blocks) = blocks {
            netcheck = netcheck.args(&["--public-cidrs", &blocks.join(",")]);
        }
        for client in &self.clients {
            netcheck = netcheck.args(&["--client", client]);
        }
        netcheck.json()
    }
}

/// The clients whose path changes, or that no longer reach the endpoint.
fn changed(report: &Value) -> Vec<&Value> {
    let clients = report["clients"].as_array().unwrap().iter();
    clients.filter(|client| client["today"] != client["after"]).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_access_that_the_cluster_has_is_safe(setup in setups()) {
        let dir = scratch();
        setup.write(dir.path());
        let blocks = (setup.mode != "private").then_some(setup.blocks.as_slice());
        let (report, code) = setup.simulate(dir.path(), setup.mode, blocks);
        prop_assert_eq!(code, 0, "{:#}", report);
        prop_assert_eq!(changed(&report), Vec::<&Value>::new());
        prop_assert_eq!(&report["from"], &report["to"]);
    }

    #[test]
    fn more_blocks_never_break_a_client(setup in setups(), more in subsequence(BLOCKS.to_vec(), 1..4)) {
        let setup = Setup { mode: if setup.mode == "private" { "public" } else { setup.mode }, ..setup };
        let dir = scratch();
        setup.write(dir.path());
        let blocks = [setup.blocks.clone(), more].concat();
        let (report, code) = setup.simulate(dir.path(), setup.mode, Some(&blocks));
        prop_assert_ne!(code, 1, "{:#}", report);
    }

    /// All is recorded, and every node is on the private path; the rest may be as it will.
    #[test]
    fn closing_what_no_client_uses_is_safe(setup in setups()) {
        let setup = Setup {
            mode: "public-and-private",
            missing: Vec::new(),
            connected: Connected::Private,
            here: None,
            clients: Vec::new(),
            ..setup
        };
        let dir = scratch();
        setup.write(dir.path());
        let (report, code) = setup.simulate(dir.path(), "private", None);
        prop_assert_eq!(code, 0, "{:#}", report);
    }

    /// What was recorded less makes nothing safe that breaks.
    #[test]
    fn what_breaks_is_never_safe_with_less_evidence(
        setup in setups(),
        mode in prop_oneof![Just("public"), Just("public-and-private"), Just("private")],
        file in prop::sample::select(FILES.to_vec()),
    ) {
        let complete = Setup { missing: Vec::new(), ..setup };
        let less = Setup { missing: vec![file], ..complete.clone() };
        let blocks = (mode != "private").then_some(&BLOCKS[..1]);
        let run = |setup: &Setup| {
            let dir = scratch();
            setup.write(dir.path());
            setup.simulate(dir.path(), mode, blocks)
        };
        let (report, code) = run(&complete);
        if code == 1 {
            let (with_less, code) = run(&less);
            prop_assert_ne!(code, 0, "without {}: {:#}\n{:#}", file, with_less, report);
        }
    }
}
