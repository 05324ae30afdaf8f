//! Tests of the sandbox: connections, names and failures are as configured.

use std::net::{IpAddr, Ipv4Addr, TcpListener};
use std::process::Output;

use anyhow::Result;
use eks_netcheck_lab::sandbox::{
    CLOSING_HOST, DROPPING_HOST, ENDPOINT_HOST, ENIS, EndpointAccess, Lab, LabConfig, Node, OPERATOR, PUBLIC,
    TRUNCATING_HOST, View,
};

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn ssh(lab: &Lab, user: &str, host: impl std::fmt::Display, command: &str) -> Result<Output> {
    let options = ["-oBatchMode=yes", "-oConnectTimeout=2"];
    Ok(lab.operator_command("ssh").args(options).arg(format!("{user}@{host}")).arg(command).output()?)
}

#[test]
fn connections_and_names_are_as_configured() -> Result<()> {
    let lab = Lab::start(LabConfig { nodes: 2 })?;
    let (node, other) = (lab.node(0), lab.node(1));
    let sockets = || node.run("ss -Htnp").map(|output| text(&output.stdout));

    assert_eq!(sockets()?, "");
    node.dial("kubelet", (PUBLIC[0], 443))?;
    node.dial("kubelet", (ENIS[1], 443))?;
    node.dial("ssm-agent-worke", (PUBLIC[1], 443))?;
    node.dial("a\",pid=1 (é", (PUBLIC[1], 443))?;
    node.dial_nonblocking("kube-proxy", (DROPPING_HOST, 443))?;
    let exec = node.exec_from(ENIS[0])?;
    let table = sockets()?;
    assert_eq!(table.lines().count(), 6, "{table}");
    assert_eq!(table.matches("\"kubelet\"").count(), 3, "{table}");
    assert!(table.contains("users:((\"ssm-agent-worke\",pid="), "{table}");
    assert!(table.contains("users:((\"a\",pid=1 (é\",pid="), "{table}");
    assert!(table.contains("SYN-SENT"), "{table}");
    let inbound = table.lines().find(|line| line.contains(":10250")).unwrap_or_default();
    assert!(inbound.contains("[::ffff:192.168.10.10]:10250"), "{table}");
    assert!(inbound.contains(&format!("[::ffff:{}]:{}", ENIS[0], exec.peer().port())), "{table}");
    drop(exec);
    assert!(!sockets()?.contains(":10250"));
    node.reset_connections()?;
    assert_eq!(sockets()?, "");
    node.dial("kubelet", (PUBLIC[0], 443))?;
    assert_eq!(sockets()?.lines().count(), 1);

    lab.add_address(Ipv4Addr::new(192, 168, 2, 77))?;
    other.dial("kubelet", (Ipv4Addr::new(192, 168, 2, 77), 443))?;
    lab.block(other.address().into(), PUBLIC[0].into())?;
    assert!(other.dial("kubelet", (PUBLIC[0], 443)).is_err());
    lab.unblock(other.address().into(), PUBLIC[0].into())?;
    other.dial("kubelet", (PUBLIC[0], 443))?;

    lab.set_dns(View::Vpc, &ENIS.map(IpAddr::V4))?;
    let lookup = format!("getent ahosts {ENDPOINT_HOST}");
    let node_answer = node.run(&lookup).map(|output| text(&output.stdout));
    assert!(node_answer.as_ref().is_ok_and(|text| text.contains("192.168.2.66")), "{node_answer:?}");
    let operator_answer = || lab.operator_command("getent").args(["ahosts", ENDPOINT_HOST]).output();
    assert!(text(&operator_answer()?.stdout).contains("203.0.113.11"));
    lab.set_dns(View::Operator, &[])?;
    assert_eq!(operator_answer()?.status.code(), Some(2));
    Ok(())
}

#[test]
fn logins_fail_as_configured() -> Result<()> {
    let lab = Lab::start(LabConfig { nodes: 2 })?;
    let node = lab.node(0);
    let try_login = |user: &str, host: Ipv4Addr| -> Result<(Option<i32>, String)> {
        let output = ssh(&lab, user, host, "sudo -n ss -Htnp")?;
        Ok((output.status.code(), text(&output.stderr)))
    };
    let assert_login = |user: &str, host, code, message: &str| -> Result<()> {
        let (status, stderr) = try_login(user, host)?;
        assert!(status == Some(code) && stderr.contains(message), "{user}@{host}: {status:?}: {stderr}");
        Ok(())
    };
    let address = node.address();

    assert_eq!(try_login("ec2-user", address)?, (Some(0), String::new()));
    assert_eq!(try_login("ec2-user", node.public_address())?, (Some(0), String::new()));
    assert_eq!(ssh(&lab, "root", node.name(), "ss -tnp")?.status.code(), Some(0));
    assert_login("nosudo", address, 1, "sudo: a password is required")?;
    assert_login("askpass", address, 1, "sudo: a password is required")?;
    assert_login("requiretty", address, 1, "you must have a tty")?;
    assert_login("noss", address, 1, "sudo: ss: command not found")?;
    assert_login("nosudobin", address, 127, "sudo: command not found")?;
    assert_login("nologin", address, 1, "")?;
    assert_login("otherkey", address, 255, "Permission denied (publickey)")?;
    assert_login("noisy", address, 0, "ALERT")?;
    assert_login("cut", address, 255, "closed by remote host")?;
    assert_login("flood", TRUNCATING_HOST, 255, "closed by remote host")?;
    assert_login("ec2-user", DROPPING_HOST, 255, "Connection timed out")?;
    assert_login(
        "ec2-user",
        CLOSING_HOST,
        255,
        "kex_exchange_identification: Connection closed by remote host",
    )?;

    node.change_host_key()?;
    assert_login("ec2-user", address, 255, "REMOTE HOST IDENTIFICATION HAS CHANGED")?;
    node.forget_host_key()?;
    assert_login("ec2-user", address, 255, "Host key verification failed")?;
    node.trust_host_key()?;
    assert_eq!(try_login("ec2-user", address)?.0, Some(0));

    let count_failed_logins = |option: &str| -> Result<usize> {
        lab.node(1).set_sshd_option(option)?;
        let outputs = std::thread::scope(|scope| {
            let logins: Vec<_> =
                (0..30).map(|_| scope.spawn(|| ssh(&lab, "root", lab.node(1).address(), "true"))).collect();
            logins.into_iter().map(std::thread::ScopedJoinHandle::join).collect::<Vec<_>>()
        });
        Ok(outputs.into_iter().flatten().flatten().filter(|output| output.status.code() == Some(255)).count())
    };
    assert_eq!(count_failed_logins("MaxStartups 500")?, 0);
    assert!(count_failed_logins("MaxStartups 2")? > 0);

    node.set_sshd_option("PubkeyAuthentication no")?;
    assert_login("ec2-user", address, 255, "Permission denied")?;
    assert_eq!(
        try_login("ec2-user", lab.node(1).address())?.0,
        Some(0),
        "the other node's sshd is not affected"
    );
    Ok(())
}

#[test]
fn operator_programs_reach_servers_of_the_test() -> Result<()> {
    let lab = Lab::start(LabConfig { nodes: 0 })?;
    let aws = lab.serve_aws()?;
    let connect = format!("exec 3<>/dev/tcp/{}/{}", aws.address().ip(), aws.address().port());
    assert!(lab.operator_command("bash").args(["-c", &connect]).status()?.success());
    // The operator's address exists only in the lab.
    assert!(TcpListener::bind((OPERATOR, 0)).is_err());

    let output = lab.operator_command("pwd").current_dir("/usr/share").output()?;
    assert_eq!(text(&output.stdout), "/usr/share\n");
    let mut child = lab.operator_command("sleep").arg("60").spawn()?;
    child.kill()?;
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&child.wait()?), Some(9));
    Ok(())
}

/// Whether a connection from a node to an address is made within a second.
fn connects(node: &Node, address: Ipv4Addr) -> Result<bool> {
    let connect = format!("timeout 1 bash -c 'exec 3<>/dev/tcp/{address}/443'");
    Ok(node.run(&connect)?.status.success())
}

#[test]
fn access_is_enforced() -> Result<()> {
    let lab = Lab::start(LabConfig { nodes: 2 })?;
    let (node, other) = (lab.node(0), lab.node(1));
    let (public, enis) = (PUBLIC.map(IpAddr::V4), ENIS.map(IpAddr::V4));
    let access =
        |blocks: Option<&[String]>, private| EndpointAccess { public: blocks.map(<[_]>::to_vec), private };
    let of_operator = vec![format!("{OPERATOR}/32")];
    // The node's address outside the VPC.
    let of_node = vec![format!("{}/32", node.public_address())];

    // The list has the operator alone.
    let enforced = lab.enforce(&access(Some(&of_operator), false))?;
    assert_eq!(lab.connect_as_operator()?, public);
    assert_eq!(node.resolve_endpoint()?, public);
    assert!(!connects(node, PUBLIC[0])?, "the node is not in the list");
    drop(enforced);

    // The list has one node alone.
    let enforced = lab.enforce(&access(Some(&of_node), false))?;
    assert_eq!(lab.connect_as_operator()?, [] as [IpAddr; 0], "the operator is not in the list");
    node.dial("kubelet", (PUBLIC[0], 443))?;
    let table = node.run("ss -Htn").map(|output| text(&output.stdout))?;
    assert!(table.contains("192.168.10.10:"), "the node sees its private address: {table}");
    assert!(!connects(other, PUBLIC[0])?, "the other node is not in the list");
    drop(enforced);

    // With private access on, the list no longer matters to nodes, and does to the operator.
    let enforced = lab.enforce(&access(Some(&[]), true))?;
    assert_eq!(other.resolve_endpoint()?, enis);
    other.dial("kubelet", (ENIS[0], 443))?;
    assert_eq!(lab.connect_as_operator()?, [] as [IpAddr; 0]);
    drop(enforced);

    // The name of a private endpoint has private addresses everywhere.
    let enforced = lab.enforce(&access(None, true))?;
    let answer = lab.operator_command("getent").args(["ahostsv4", ENDPOINT_HOST]).output()?;
    assert!(text(&answer.stdout).contains("192.168.1.55"));
    assert_eq!(lab.connect_as_operator()?, [] as [IpAddr; 0], "the ENIs do not admit the operator");
    assert!(!connects(node, PUBLIC[1])?, "there is no public endpoint");
    node.dial("kubelet", (ENIS[1], 443))?;
    drop(enforced);

    node.dial("kubelet", (PUBLIC[1], 443))?;
    Ok(())
}
