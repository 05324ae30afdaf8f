//! The endpoint access of the lab's cluster, enforced as EKS does: by the answers of the name
//! servers, and by a firewall before the public endpoint.

use std::fmt::Write as _;
use std::net::IpAddr;

use anyhow::Result;

use super::{ENDPOINT_HOST, ENIS, Lab, Node, OPERATOR, PUBLIC, View};

/// The access to an endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointAccess {
    /// The blocks that reach the public endpoint; `None` if public access is off.
    pub public: Option<Vec<String>>,
    /// Whether private access is on.
    pub private: bool,
}

/// The access of a lab, in force until this value is dropped.
#[derive(Debug)]
pub struct Enforced<'a>(&'a Lab);

impl Lab {
    /// Enforces the access to the endpoint:
    ///
    /// - In the VPC the name resolves to the EKS-owned ENIs while private access is on, and
    ///   outside to the public addresses while public access is on.
    /// - Packets to the public endpoint from elsewhere than the listed blocks are dropped, and
    ///   all of them while public access is off. Connections that were made before hang.
    /// - Nodes reach the public endpoint with their public addresses, as by an internet gateway.
    /// - The security group of the ENIs does not admit the operator, who is outside the VPC.
    ///
    /// # Errors
    ///
    /// If the resolver or the packet filter rejects the change.
    pub fn enforce(&self, access: &EndpointAccess) -> Result<Enforced<'_>> {
        let vpc = if access.private { ENIS } else { PUBLIC };
        let elsewhere = if access.public.is_some() { PUBLIC } else { ENIS };
        self.set_dns(View::Vpc, &vpc.map(IpAddr::V4))?;
        self.set_dns(View::Operator, &elsewhere.map(IpAddr::V4))?;
        let enforced = Enforced(self);
        self.filter(&endpoint_filter(access), &self.router_filter())?;
        Ok(enforced)
    }

    /// Connects from the operator's host to the endpoint, by its name there; the addresses
    /// that answered.
    ///
    /// # Errors
    ///
    /// If the command cannot be started.
    pub fn connect_as_operator(&self) -> Result<Vec<IpAddr>> {
        let script = format!(
            "for address in $(getent ahostsv4 {ENDPOINT_HOST} | cut -d ' ' -f 1 | sort -u); do \
             timeout 1 bash -c \"exec 3<>/dev/tcp/$address/443\" 2>/dev/null && echo $address & done; wait"
        );
        let output = self.operator_command("bash").args(["-c", &script]).output()?;
        Ok(addresses(&output.stdout))
    }

    /// The rules of the router.
    fn router_filter(&self) -> String {
        let mut rules = String::from("*filter\n");
        for eni in ENIS {
            _ = writeln!(rules, "-A FORWARD -s {OPERATOR} -d {eni} -p tcp --dport 443 -j DROP");
        }
        rules += "COMMIT\n*nat\n";
        for node in self.nodes() {
            let (private, public) = (node.address(), node.public_address());
            for to in PUBLIC {
                _ = writeln!(rules, "-A POSTROUTING -s {private} -d {to} -j SNAT --to-source {public}");
            }
        }
        rules + "COMMIT\n"
    }

    /// Replaces the rules of the packet filters of the control plane and of the router.
    fn filter(&self, control: &str, router: &str) -> Result<()> {
        let restore = |command: &str, rules: &str| format!("{command} <<'END'\n{rules}END\n");
        let control = restore("ip netns exec control iptables-restore", control);
        self.run_checked(&format!("set -e\n{control}{}", restore("iptables-restore", router)))
    }
}

impl Node {
    /// The addresses that the endpoint's name has on the node.
    ///
    /// # Errors
    ///
    /// If the command cannot be started.
    pub fn resolve_endpoint(&self) -> Result<Vec<IpAddr>> {
        let output = self.run(&format!("getent ahostsv4 {ENDPOINT_HOST} | cut -d ' ' -f 1 | sort -u"))?;
        Ok(addresses(&output.stdout))
    }
}

/// The addresses in a text, one in a line.
fn addresses(text: &[u8]) -> Vec<IpAddr> {
    let mut addresses: Vec<IpAddr> =
        String::from_utf8_lossy(text).lines().filter_map(|line| line.parse().ok()).collect();
    addresses.sort_unstable();
    addresses
}

/// The rules of the control plane.
fn endpoint_filter(access: &EndpointAccess) -> String {
    let mut rules = String::from("*filter\n:endpoint - [0:0]\n");
    for address in PUBLIC {
        _ = writeln!(rules, "-A INPUT -d {address} -p tcp --dport 443 -j endpoint");
    }
    for block in access.public.iter().flatten() {
        _ = writeln!(rules, "-A endpoint -s {block} -j ACCEPT");
    }
    rules + "-A endpoint -j DROP\nCOMMIT\n"
}

impl Drop for Enforced<'_> {
    fn drop(&mut self) {
        _ = self.0.filter("*filter\nCOMMIT\n", "*filter\nCOMMIT\n*nat\nCOMMIT\n");
    }
}
