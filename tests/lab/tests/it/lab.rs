//! The sandbox itself: that a scene is what a test ordered.

use std::net::{IpAddr, Ipv4Addr, TcpListener};
use std::process::Output;

use anyhow::Result;
use eks_netcheck_lab::sandbox::{
    CLOSES, CUTS, ENDPOINT_HOST, ENIS, Lab, OPERATOR, PUBLIC, Plan, SILENT, View,
};

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn ssh(lab: &Lab, user: &str, host: impl std::fmt::Display, command: &str) -> Result<Output> {
    let options = ["-oBatchMode=yes", "-oConnectTimeout=2"];
    Ok(lab.operator("ssh").args(options).arg(format!("{user}@{host}")).arg(command).output()?)
}

#[test]
fn connections_and_names_are_as_ordered() -> Result<()> {
    let lab = Lab::up(Plan { nodes: 2 })?;
    let (node, other) = (lab.node(0), lab.node(1));
    let sockets = || node.run("ss -Htnp").map(|output| text(&output.stdout));

    assert_eq!(sockets()?, "");
    node.dial("kubelet", (PUBLIC[0], 443))?;
    node.dial("kubelet", (ENIS[1], 443))?;
    node.dial("ssm-agent-worke", (PUBLIC[1], 443))?;
    node.dial("a\",pid=1 (é", (PUBLIC[1], 443))?;
    node.attempt("kube-proxy", (SILENT, 443))?;
    let exec = node.exec_from(ENIS[0])?;
    let seen = sockets()?;
    assert_eq!(seen.lines().count(), 6, "{seen}");
    assert_eq!(seen.matches("\"kubelet\"").count(), 3, "{seen}");
    assert!(seen.contains("users:((\"ssm-agent-worke\",pid="), "{seen}");
    assert!(seen.contains("users:((\"a\",pid=1 (é\",pid="), "{seen}");
    assert!(seen.contains("SYN-SENT"), "{seen}");
    let inbound = seen.lines().find(|line| line.contains(":10250")).unwrap_or_default();
    assert!(inbound.contains("[::ffff:192.168.10.10]:10250"), "{seen}");
    assert!(inbound.contains(&format!("[::ffff:{}]:{}", ENIS[0], exec.peer().port())), "{seen}");
    drop(exec);
    assert!(!sockets()?.contains(":10250"));
    node.reset()?;
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
    let look_up = format!("getent ahosts {ENDPOINT_HOST}");
    let of_node = node.run(&look_up).map(|output| text(&output.stdout));
    assert!(of_node.as_ref().is_ok_and(|text| text.contains("192.168.2.66")), "{of_node:?}");
    let of_operator = || lab.operator("getent").args(["ahosts", ENDPOINT_HOST]).output();
    assert!(text(&of_operator()?.stdout).contains("203.0.113.11"));
    lab.set_dns(View::Operator, &[])?;
    assert_eq!(of_operator()?.status.code(), Some(2));
    Ok(())
}

#[test]
fn logins_go_wrong_as_ordered() -> Result<()> {
    let lab = Lab::up(Plan { nodes: 2 })?;
    let node = lab.node(0);
    let ran = |user: &str, host: Ipv4Addr| -> Result<(Option<i32>, String)> {
        let output = ssh(&lab, user, host, "sudo -n ss -Htnp")?;
        Ok((output.status.code(), text(&output.stderr)))
    };
    let fails = |user: &str, host, code, says: &str| -> Result<()> {
        let (got, stderr) = ran(user, host)?;
        assert!(got == Some(code) && stderr.contains(says), "{user}@{host}: {got:?}: {stderr}");
        Ok(())
    };
    let at = node.address();

    assert_eq!(ran("ec2-user", at)?, (Some(0), String::new()));
    assert_eq!(ran("ec2-user", node.public_address())?, (Some(0), String::new()));
    assert_eq!(ssh(&lab, "root", node.name(), "ss -tnp")?.status.code(), Some(0));
    fails("nosudo", at, 1, "sudo: a password is required")?;
    fails("askpass", at, 1, "sudo: a password is required")?;
    fails("requiretty", at, 1, "you must have a tty")?;
    fails("noss", at, 1, "sudo: ss: command not found")?;
    fails("nosudobin", at, 127, "sudo: command not found")?;
    fails("nologin", at, 1, "")?;
    fails("otherkey", at, 255, "Permission denied (publickey)")?;
    fails("noisy", at, 0, "ALERT")?;
    fails("cut", at, 255, "closed by remote host")?;
    fails("flood", CUTS, 255, "closed by remote host")?;
    fails("ec2-user", SILENT, 255, "Connection timed out")?;
    fails("ec2-user", CLOSES, 255, "kex_exchange_identification: Connection closed by remote host")?;

    node.change_host_key()?;
    fails("ec2-user", at, 255, "REMOTE HOST IDENTIFICATION HAS CHANGED")?;
    node.forget_host_key()?;
    fails("ec2-user", at, 255, "Host key verification failed")?;
    node.trust_host_key()?;
    assert_eq!(ran("ec2-user", at)?.0, Some(0));

    let burst = |directive: &str| -> Result<usize> {
        lab.node(1).set_sshd(directive)?;
        let ended = std::thread::scope(|scope| {
            let logins: Vec<_> =
                (0..30).map(|_| scope.spawn(|| ssh(&lab, "root", lab.node(1).address(), "true"))).collect();
            logins.into_iter().map(std::thread::ScopedJoinHandle::join).collect::<Vec<_>>()
        });
        Ok(ended.into_iter().flatten().flatten().filter(|output| output.status.code() == Some(255)).count())
    };
    assert_eq!(burst("MaxStartups 500")?, 0);
    assert!(burst("MaxStartups 2")? > 0);

    node.set_sshd("PubkeyAuthentication no")?;
    fails("ec2-user", at, 255, "Permission denied")?;
    assert_eq!(ran("ec2-user", lab.node(1).address())?.0, Some(0), "another node's sshd is its own");
    Ok(())
}

#[test]
fn the_operator_is_where_a_test_can_serve() -> Result<()> {
    let lab = Lab::up(Plan { nodes: 0 })?;
    let aws = lab.serve_aws()?;
    let ask = format!("exec 3<>/dev/tcp/{}/{}", aws.address().ip(), aws.address().port());
    assert!(lab.operator("bash").args(["-c", &ask]).status()?.success());
    // That address is nowhere but in the lab.
    assert!(TcpListener::bind((OPERATOR, 0)).is_err());

    let output = lab.operator("pwd").current_dir("/usr/share").output()?;
    assert_eq!(text(&output.stdout), "/usr/share\n");
    let mut child = lab.operator("sleep").arg("60").spawn()?;
    child.kill()?;
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&child.wait()?), Some(9));
    Ok(())
}
