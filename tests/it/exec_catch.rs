//! `trace` in the lab: which short connections it detects, by the rights that the user
//! has on the node, and what is left on a node that the tool no longer reaches.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use eks_netcheck_lab::sandbox::{ENIS, Node, PUBLIC};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::common::scratch;
use crate::lab::{Access, Testbed, testbed};

/// How many short connections there are at the beginning of the command, and 5 s into it.
const EXECS: u32 = 20;
/// Accounts with different rights on the first node: root, any command by sudo, `ss -tnp`
/// by sudo, and no sudo.
const ACCOUNTS: [(&str, &str); 4] = [("r", "root"), ("e", "ec2-user"), ("s", "onlyss"), ("p", "nosudo")];

/// A trace that is running, and the directory of its report.
struct Running {
    child: Child,
    dir: tempfile::TempDir,
}

impl Running {
    /// Starts a trace of a shell script, which has begun when this returns.
    fn start(testbed: &Testbed, args: &[&str], script: &str) -> Self {
        let dir = scratch();
        let write = format!("json={}", dir.path().join("trace.json").display());
        let script = format!("touch {}; {script}", dir.path().join("begun").display());
        let mut trace = testbed.netcheck(&["trace", "-q", "--settle", "500ms", "--write", &write]);
        trace.args(args).args(["--", "sh", "-c", &script]);
        let child =
            trace.current_dir(dir.path()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let running = Self { child, dir };
        wait_for(&running.dir.path().join("begun"));
        running
    }

    fn report(self) -> Value {
        let ended = self.child.wait_with_output().unwrap();
        let file = std::fs::read(self.dir.path().join("trace.json"));
        let file = file.unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&ended.stderr)));
        serde_json::from_slice(&file).unwrap()
    }
}

pub(crate) fn wait_for(file: &Path) {
    let began = Instant::now();
    while !file.exists() {
        assert!(began.elapsed() < Duration::from_secs(30), "the command does not begin");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Connections of 40 to 100 ms, as of `kubectl exec ... -- true`; their peers.
pub(crate) fn short_execs(node: &Node, number: u32) -> Vec<SocketAddr> {
    let exec = |number: u32| {
        let exec = node.exec_from(ENIS[0]).unwrap();
        std::thread::sleep(Duration::from_millis(u64::from(40 + number * 37 % 61)));
        exec.peer()
    };
    (0..number).map(exec).collect()
}

#[test]
fn short_execs_are_detected_with_any_rights() {
    let testbed = testbed(Access::Public);
    testbed.dial(PUBLIC);
    let node = testbed.lab.node(0);
    let targets = ACCOUNTS.map(|(name, user)| format!("{name}={user}@192.168.10.10"));
    let targets: Vec<_> = targets.iter().flat_map(|target| ["--node", target]).collect();
    let trace = Running::start(&testbed, &targets, "sleep 9");
    let began = Instant::now();
    let mut peers = short_execs(node, EXECS);
    std::thread::sleep(Duration::from_secs(5).saturating_sub(began.elapsed()));
    peers.extend(short_execs(node, EXECS));
    assert!(began.elapsed() < Duration::from_secs(9), "the machine is too slow for this test");
    let report = trace.report();
    crate::docs::is_valid_trace(&report);
    for (name, _) in ACCOUNTS {
        let is_detected = |peer: &&SocketAddr| {
            report["changes"].as_array().unwrap().iter().any(|change| {
                change["node"] == name
                    && change["peer"] == peer.to_string()
                    && (&change["process"], &change["change"]) == (&"kubelet".into(), &"transient".into())
                    && (&change["direction"], &change["background"]) == (&"inbound".into(), &false.into())
            })
        };
        let missed: Vec<_> = peers.iter().filter(|peer| !is_detected(peer)).collect();
        // 99 of 100.
        assert!(missed.is_empty(), "{name}: {} of {} were missed", missed.len(), peers.len());
        let nodes = report["nodes"].as_array().unwrap();
        let node = nodes.iter().find(|node| node["name"] == name).unwrap();
        // A connection that opens at the time of the baseline may be counted.
        assert!(node["unseen_inbound"].as_u64().unwrap() <= 2, "{node}");
        assert_eq!(node["tells_ends"], true, "{node}");
    }
}

/// At most 7 % of a core at the default interval. The CPU time is measured in units of
/// 10 ms, so that each account has some seconds.
#[test]
fn a_trace_takes_little_cpu_time_on_a_node() {
    let testbed = testbed(Access::Public);
    testbed.dial(PUBLIC);
    let node = testbed.lab.node(0);
    for (_, user) in ACCOUNTS {
        let target = format!("n1={user}@192.168.10.10");
        let trace = Running::start(&testbed, &["--node", &target], "sleep 6");
        let (began, before) = (Instant::now(), node.login_cpu_time().unwrap());
        std::thread::sleep(Duration::from_secs(5));
        let used = node.login_cpu_time().unwrap().saturating_sub(before);
        let share = used.as_secs_f64() / began.elapsed().as_secs_f64();
        let report = trace.report();
        assert!(report["nodes"][0]["samples"].as_u64().unwrap() > 20, "{user}: {report:#}");
        assert!(share < 0.07, "{user}: {share}");
    }
}

/// Where the node has no `stdbuf`, the connections between two samples are not seen, but
/// counted.
#[test]
fn connections_that_are_not_seen_are_counted() {
    let testbed = testbed(Access::Public);
    testbed.dial(PUBLIC);
    let node = testbed.lab.node(0);
    // The login of this user finds only what is linked here.
    node.run("for p in head grep date; do ln -sf $(command -v $p) /home/nosudobin/bin/; done").unwrap();
    let trace =
        Running::start(&testbed, &["--node", "n1=nosudobin@192.168.10.10", "--interval", "2s"], "sleep 4");
    let peers: Vec<_> = (0..EXECS).map(|_| node.exec_from(ENIS[0]).unwrap().peer()).collect();
    let report = trace.report();
    let seen = report["changes"].as_array().unwrap().iter();
    let seen = seen.filter(|change| peers.iter().any(|peer| change["peer"] == peer.to_string())).count();
    let unseen = report["nodes"][0]["unseen_inbound"].as_u64().unwrap();
    assert!(unseen >= u64::from(EXECS) - seen as u64 && unseen > 0, "{seen}, {unseen}");
    assert_eq!(report["nodes"][0]["tells_ends"], false);
}

/// More sockets are closed than `ss -E` can read.
#[test]
fn lost_reports_of_closed_sockets_are_reported() {
    let testbed = testbed(Access::Public);
    testbed.dial(PUBLIC);
    let node = testbed.lab.node(0);
    let until_done = "until [ -e done ]; do sleep 0.1; done";
    let trace =
        Running::start(&testbed, &["--node", "n1=onlyss@192.168.10.10", "--interval", "2s"], until_done);
    node.run("pkill -STOP -f '^ss -E'").unwrap();
    let opens = "import socket
to = ('127.0.0.1', 38671)
for _ in range(2000): socket.create_connection(to).close()";
    let has_lost = || {
        let opened = node.run(&format!("python3 -c \"{opens}\"")).unwrap();
        assert!(opened.status.success(), "{}", String::from_utf8_lossy(&opened.stderr));
        // The number of messages that the subscriber's buffer did not hold.
        let lost = node.run("awk '$2 == 4 && $9 > 0' /proc/net/netlink | grep -q .").unwrap();
        lost.status.success()
    };
    assert!((0..10).any(|_| has_lost()), "no report was lost");
    node.run("pkill -CONT -f '^ss -E'").unwrap();
    std::thread::sleep(Duration::from_millis(2500));
    // It runs again.
    let peers = short_execs(node, 2);
    std::fs::write(trace.dir.path().join("done"), "").unwrap();
    let report = trace.report();
    let traced = &report["nodes"][0];
    assert_eq!(traced["tells_ends"], false, "{traced}");
    assert!(traced["unseen_inbound"].as_u64().unwrap() > 100, "{traced}");
    let is_seen = |peer: &SocketAddr| {
        report["changes"].as_array().unwrap().iter().any(|change| change["peer"] == peer.to_string())
    };
    assert!(peers.iter().all(is_seen), "{report:#}");
}

/// The processes of traces on a node.
fn processes(node: &Node) -> String {
    let list = "ps -eo stat=,user=,args= | grep -v '^Z' | grep -E '[l]oop (root|sudo|none)|[s]s -E|[s]leep 30'; true";
    String::from_utf8(node.run(list).unwrap().stdout).unwrap()
}

/// The network fails in both directions, and the tool is stopped, as by Ctrl-Z: both for
/// longer than a node continues by itself.
#[test]
fn a_node_that_hears_nothing_ends_its_processes() {
    let testbed = testbed(Access::Public);
    testbed.dial(PUBLIC);
    let (n1, n2) = (testbed.lab.node(0), testbed.lab.node(1));
    let users = ["r=root@192.168.10.10", "e=ec2-user@192.168.10.10", "s=onlyss@192.168.10.10"];
    let users: Vec<_> = users.iter().flat_map(|target| ["--node", target]).collect();
    let cut = Running::start(&testbed, &users, "sleep 60");
    let stopped = Running::start(&testbed, &["--node", "n2=ec2-user@192.168.10.11"], "sleep 44");
    let all = || [processes(n1), processes(n2)];
    assert!(all().iter().all(|list| list.contains("ss -E")), "{:?}", all());
    n1.run("ip link set eth0 down").unwrap();
    let pid = Pid::from_child(&stopped.child);
    kill_process(pid, Signal::STOP).unwrap();
    let began = Instant::now();
    while all() != ["", ""] && began.elapsed() < Duration::from_secs(40) {
        std::thread::sleep(Duration::from_millis(500));
    }
    let (left, took) = (all(), began.elapsed());
    // The network first: other tests use it.
    n1.run("ip link set eth0 up; grep -v 'addr add' /run/lab/nodes/n1/network | ip -force -batch -").unwrap();
    kill_process(pid, Signal::CONT).unwrap();
    assert_eq!(left, ["", ""]);
    assert!(took > Duration::from_secs(20), "{took:?}: the nodes did not wait");
    let mut child = cut.child;
    child.kill().unwrap();
    child.wait().unwrap();
    let report = stopped.report();
    let gap = &report["gaps"][0];
    assert_eq!((&gap["what"], &gap["why"]), (&"node n2".into(), &"interrupted".into()), "{report:#}");
    assert!(gap["detail"].as_str().unwrap().contains("was stopped for "), "{gap}");
}
