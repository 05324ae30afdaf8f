//! `trace` with a scripted node: `ssh` is a script that answers with the samples a
//! test needs at the time it needs them, which a real node cannot do reliably.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use eks_netcheck_lab::aws::{Account, Api};
use serde_json::Value;

use crate::common::{scratch, story};
use crate::pty::Pty;

/// The first part of the script: reads what the tool sends before it requests samples,
/// and defines helpers. `sample` returns the rows of a sample and the exit status of
/// `ss`, `after` runs when the sample is sent; a test can redefine both. Files in the
/// script's directory mark how far the command is.
const SSH: &str = r#"#!/usr/bin/env python3
import os, sys, time

dir = os.path.dirname(os.path.abspath(__file__))
mark = sys.stdin.readline().strip()
# The sampling loop, which this script replaces, and the mark that the loop reads.
sys.stdin.readline(), sys.stdin.readline()
ALWAYS = [
    'LISTEN 0 0 *:10250 *:* users:(("kubelet",pid=7,fd=3))',
    'ESTAB 0 0 192.168.1.20:10250 192.168.1.55:43210 users:(("kubelet",pid=7,fd=2))',
]
EXEC = 'ESTAB 0 0 192.168.1.20:10250 192.168.1.55:49956 users:(("kubelet",pid=7,fd=9))'
CLOSE_EVENTS = ""

def send(text):
    print(text, end="", flush=True)

def has(file):
    return os.path.exists(f"{dir}/{file}")

def touch(file):
    open(f"{dir}/{file}", "w").close()

def seconds_since(file):
    return time.time() - os.stat(f"{dir}/{file}").st_mtime if has(file) else -1

def wait_for(file):
    for _ in range(1000):
        if has(file):
            return
        time.sleep(0.01)

def sample(number):
    return ALWAYS, 0

def after(number):
    pass

"#;

/// The last part of the script: answers each request for a sample.
const ANSWER: &str = r#"
def frame(number, rows, status):
    send(f"{mark} sample {100 + number}\n" + "".join(f"{row}\n" for row in rows) + f"{mark} end {status}\n")

send(f"{mark} login\n{mark} rights sudo {CLOSE_EVENTS}\n{mark} clock {time.time()} 100\n")
requests = (line for line in sys.stdin if line != "keep\n")
for number, _ in enumerate(requests, 1):
    rows, status = sample(number)
    frame(number, rows, status)
    touch("sampled")
    after(number)
"#;

/// A node that answers every request for a sample.
pub(crate) fn sampled_node() -> String {
    [SSH, ANSWER].concat()
}

/// A fake AWS with a cluster, and a directory with the script that answers as its node.
pub(crate) struct ScriptedNode {
    aws: Api,
    dir: tempfile::TempDir,
}

pub(crate) fn scripted_node(script: &str) -> ScriptedNode {
    let aws = Api::serve(Account::from_evidence(&story("study-public")).unwrap()).unwrap();
    let dir = scratch();
    let ssh = dir.path().join("ssh");
    std::fs::write(&ssh, [SSH, script, ANSWER].concat()).unwrap();
    std::fs::set_permissions(&ssh, Permissions::from_mode(0o755)).unwrap();
    ScriptedNode { aws, dir }
}

impl ScriptedNode {
    fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The directory of the markers and reports.
    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    fn has(&self, name: &str) -> bool {
        self.file(name).exists()
    }

    /// A trace of a shell script, which runs in the directory of the marker files.
    pub(crate) fn trace(&self, args: &[&str], script: &str) -> Command {
        let mut path = std::ffi::OsString::from(self.dir.path());
        path.push(":");
        path.push(std::env::var_os("PATH").unwrap());
        let mut trace = Command::new(env!("CARGO_BIN_EXE_eks-netcheck"));
        trace
            .env_clear()
            .env("PATH", path)
            .env("AWS_ENDPOINT_URL", self.aws.url())
            .env("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
            .env("AWS_SECRET_ACCESS_KEY", "not-a-secret")
            .env("AWS_REGION", "ap-northeast-2")
            .current_dir(self.dir.path())
            .stdin(Stdio::null())
            .args(["trace", "--cluster", "myeks", "--node", "n1=192.168.1.20"])
            .args((!args.contains(&"-v")).then_some("-q"))
            .args(["--write", "json=trace.json"])
            .args(args)
            .args(["--", "sh", "-c", script]);
        trace
    }

    /// Runs such a trace; its report.
    fn run(&self, args: &[&str], script: &str) -> Value {
        let output: Output = self.trace(args, script).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        self.report()
    }

    fn report(&self) -> Value {
        serde_json::from_slice(&std::fs::read(self.file("trace.json")).unwrap()).unwrap()
    }
}

/// All changes, as `direction change`; those in the background in parentheses.
fn changes(report: &Value) -> Vec<String> {
    let line = |change: &Value| {
        let text =
            format!("{} {}", change["direction"].as_str().unwrap(), change["change"].as_str().unwrap());
        if change["background"] == true { format!("({text})") } else { text }
    };
    report["changes"].as_array().unwrap().iter().map(line).collect()
}

/// The table in 100 columns, its lines joined.
fn table(node: &ScriptedNode, args: &[&str], script: &str) -> String {
    let output = node.trace(args, script).env("COLUMNS", "100").output().unwrap();
    let stdout = String::from_utf8(output.stdout).unwrap();
    stdout.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The fields `before`, `during` and `after` of lists of phases.
fn phases(list: &Value) -> Vec<&str> {
    list.as_array().unwrap().iter().map(|phase| phase.as_str().unwrap()).collect()
}

const NO_CHANGE: &str = "no change was seen between the API server and the nodes (1 node compared)";

/// What follows the last sample of a node is not known: neither of a socket that was there
/// nor of one that was opened later.
#[test]
fn a_node_that_is_lost_is_not_compared_and_its_rows_are_not_known() {
    // Lost during the command, before it, and with a socket of the command open.
    let lost = |script: &str| {
        let node = scripted_node(script);
        let table = table(&node, &["--settle", "400ms"], "touch begun; sleep 1.2");
        (node.report(), table)
    };
    let during = "
def after(number):
    if has('begun') and seconds_since('begun') > 0.3:
        sys.exit(255)
";
    let (report, text) = lost(during);
    crate::docs::is_valid_trace(&report);
    assert_eq!(phases(&report["nodes"][0]["unknown"]), ["during", "after"], "{report:#}");
    assert_eq!((&report["unchanged"], &report["undetermined"]), (&0.into(), &1.into()), "{report:#}");
    let headline = text.split("Node Process").next().unwrap();
    assert!(headline.contains("no node could be compared."), "{text}");
    assert!(headline.contains("1 node not seen completely; see below."), "{text}");
    assert!(text.contains("192.168.1.55:43210 + + ?") && text.contains("not known"), "{text}");
    assert!(!text.contains("node compared") && text.contains("? the node was not seen"), "{text}");
    let before = "
def after(number):
    if number == 2:
        sys.exit(255)
";
    let (report, text) = lost(before);
    assert_eq!(phases(&report["nodes"][0]["unknown"]), ["during", "after"], "{report:#}");
    assert!(text.contains("192.168.1.55:43210 + ? ?"), "{text}");
    // The first part of the command was seen: the connection of an exec, and the end of another.
    let (report, text) = lost(&format!(
        "{during}
def sample(number):
    if not has('begun'):
        return [*ALWAYS, EXEC.replace('49956', '40001')], 0
    return [*ALWAYS, EXEC], 0
"
    ));
    let all: Vec<_> = report["changes"].as_array().unwrap().iter().collect();
    let change = |port: &str| {
        let of_port = |change: &&&Value| change["peer"].as_str().unwrap().ends_with(port);
        let change = all.iter().find(of_port).unwrap();
        (change["change"].as_str().unwrap(), phases(&change["there"]), phases(&change["unknown"]))
    };
    assert_eq!(change("49956"), ("appeared", vec!["during"], vec!["after"]), "{report:#}");
    // The command's first sample may have been taken before the script creates the file.
    let (gone, there, unknown) = change("40001");
    assert_eq!((gone, there[0], unknown.contains(&"after")), ("gone", "before", false), "{report:#}");
    assert!(text.contains("appeared (whether it stayed is not known)."), "{text}");
    assert!(text.contains("192.168.1.55:49956 - + ?"), "{text}");
    // The close of a socket of the last sample was reported before the node was lost.
    let (report, text) = lost(
        "
CLOSE_EVENTS = 'events'
def after(number):
    if has('begun') and seconds_since('begun') > 0.3:
        # After the tool has read the sample.
        time.sleep(0.2)
        print('UNCONN 0 0 192.168.1.20:10250 192.168.1.55:43210', file=sys.stderr, flush=True)
        time.sleep(0.2)
        sys.exit(255)
",
    );
    assert_eq!(changes(&report), ["(inbound gone)"], "{report:#}");
    assert!(!text.contains("43210 + + +"), "{text}");
}

/// Sockets that such samples lack may still exist, or exist no longer.
#[test]
fn a_node_whose_last_samples_are_incomplete_is_not_compared() {
    let broken = "[ALWAYS[0], ALWAYS[1][:30]], 0";
    let trace_with = |condition: &str, result: &str| {
        let node = scripted_node(&format!(
            "
def sample(number):
    if {condition}:
        return {result}
    return ALWAYS, 0
"
        ));
        let table = table(&node, &["--settle", "400ms"], "touch begun; sleep 0.4; touch ended");
        (node.report(), table)
    };
    let (report, text) = trace_with("has('ended')", broken);
    assert_eq!(phases(&report["nodes"][0]["unknown"]), ["during", "after"], "{report:#}");
    assert_eq!(report["undetermined"], 1, "{report:#}");
    assert!(text.contains("no node could be compared.") && text.contains("+ + ?"), "{text}");
    // Those after the command failed altogether.
    let (report, text) = trace_with("has('ended')", "[], 1");
    assert_eq!(phases(&report["nodes"][0]["unknown"]), ["during", "after"], "{report:#}");
    assert!(!text.contains("compared)"), "{text}");
    // Only the first samples: what existed before the command is not known.
    let (report, text) = trace_with("not has('begun')", broken);
    assert_eq!(phases(&report["nodes"][0]["unknown"]), ["before"], "{report:#}");
    assert_eq!(changes(&report), Vec::<String>::new(), "{report:#}");
    assert!(text.contains("no node could be compared.") && text.contains("43210 ? + +"), "{text}");
    // Some in the middle, which show the exec nevertheless.
    let (report, text) =
        trace_with("has('begun') and seconds_since('begun') < 0.2", "[ALWAYS[0], ALWAYS[1][:30], EXEC], 0");
    assert_eq!(phases(&report["nodes"][0]["unknown"]), Vec::<&str>::new(), "{report:#}");
    assert_eq!(changes(&report), ["inbound transient"], "{report:#}");
    assert!(text.contains("1 node not seen completely"), "{text}");
}

/// What was seen until the last good sample remains.
#[test]
fn a_node_whose_last_sample_failed_is_not_compared() {
    let node = scripted_node(
        "
def sample(number):
    if has('ended'):
        print('ss: cannot open netlink socket', file=sys.stderr, flush=True)
        return [], 1
    return ALWAYS, 0
",
    );
    let text = table(&node, &["--settle", "400ms"], "sleep 0.5; touch ended");
    let report = node.report();
    assert_eq!(phases(&report["nodes"][0]["unknown"]), ["during", "after"], "{report:#}");
    assert_eq!((&report["unchanged"], &report["undetermined"]), (&0.into(), &1.into()), "{report:#}");
    let gap = "node n1: ss failed in the last sample; it printed \"ss: cannot open netlink socket\"";
    assert!(text.contains(gap), "{text}");
}

/// The lines that keep the loop on the node running arrive together after the network was
/// slow: the loop neither ends nor leaves a process.
#[test]
fn a_node_that_hears_nothing_for_a_while_is_sampled_to_the_end() {
    let node = scripted_node("");
    let relay = r#"#!/usr/bin/env python3
import os, subprocess, sys, time
script = sys.argv[-1].removeprefix("sh -c '").removesuffix("'")
node = subprocess.Popen(["sh", "-c", script], stdin=subprocess.PIPE)
began = time.time()
while data := os.read(0, 65536):
    # From the first sample on.
    if 3 < time.time() - began < 20:
        time.sleep(20 - (time.time() - began))
        data += os.read(0, 65536)
    node.stdin.write(data)
    node.stdin.flush()
node.stdin.close()
sys.exit(node.wait())
"#;
    std::fs::write(node.file("ssh"), relay).unwrap();
    let report = node.run(&["--settle", "0s", "--interval", "1s"], "sleep 56");
    let gaps = report["gaps"].as_array().unwrap().iter();
    let of_nodes: Vec<_> = gaps.filter(|gap| gap["what"].as_str().unwrap().starts_with("node ")).collect();
    assert!(of_nodes.is_empty(), "{report:#}");
    assert_eq!(report["nodes"][0]["unknown"].as_array().map(Vec::len), Some(0), "{report:#}");
}

/// A signal from another process leaves the samplers 450 ms.
#[test]
fn a_node_without_its_final_sample_is_not_compared_after_a_signal() {
    let node = scripted_node(
        "
def sample(number):
    if has('ended'):
        time.sleep(5)
    return ALWAYS, 0
",
    );
    let mut child = node
        .trace(&[], "touch begun; sleep 0.5; touch ended; sleep 20")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let began = Instant::now();
    while !node.has("ended") {
        assert!(began.elapsed() < Duration::from_secs(20));
        std::thread::sleep(Duration::from_millis(10));
    }
    std::thread::sleep(Duration::from_millis(300));
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(143));
    let report = node.report();
    assert_eq!(report["nodes"][0]["name"], "n1", "{report:#}");
    assert_eq!(phases(&report["nodes"][0]["unknown"]), ["during", "after"], "{report:#}");
    assert_eq!((&report["unchanged"], &report["undetermined"]), (&0.into(), &1.into()), "{report:#}");
}

/// The samples after the command have what the command need not be the reason for.
#[test]
fn a_connection_that_is_opened_and_closed_after_the_command_is_listed() {
    let close = "
CLOSE_EVENTS = 'events'
def after(number):
    if AT < seconds_since('ended') and not has('sent'):
        touch('sent')
        print('UNCONN 0 0 192.168.1.20:10250 192.168.1.55:49956', file=sys.stderr, flush=True)
";
    // Right after the first sample, it is a late report of one of the command.
    for (at, there, role) in [("0.8", "after", "other"), ("-1 if has('ended') else 9", "during", "inbound")] {
        let node = scripted_node(&close.replace("AT", &format!("({at})")));
        let text = table(&node, &["--settle", "2s"], "sleep 0.4; touch ended");
        let report = node.report();
        let change = &report["changes"][0];
        assert_eq!((&change["change"], &change["role"]), (&"transient".into(), &role.into()), "{report:#}");
        assert_eq!(phases(&change["there"]), [there], "{report:#}");
        assert_eq!(text.contains("1 transient"), role == "other", "{text}");
    }
}

/// The report says what was seen until then.
#[test]
fn a_signal_ends_a_trace_whose_command_does_not_end_and_the_report_is_written() {
    for trap in ["trap '' TERM", "trap 'sleep 0.1; exit 9' TERM"] {
        let node = scripted_node("");
        let mut child = node
            .trace(&["--settle", "0s"], &format!("{trap}; touch begun; while :; do sleep 0.05; done"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let began = Instant::now();
        while !node.has("begun") {
            assert!(began.elapsed() < Duration::from_secs(20));
            std::thread::sleep(Duration::from_millis(10));
        }
        let signaled = Instant::now();
        let pid = rustix::process::Pid::from_child(&child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(143));
        assert!(signaled.elapsed() < Duration::from_secs(1), "{:?}", signaled.elapsed());
        let exit_code = if trap.contains("exit 9") { 9 } else { 137 };
        assert_eq!(node.report()["exit_code"], exit_code, "{trap}");
    }
}

/// Even where no sample shows a change, one may have been missed.
#[test]
fn a_report_without_changes_says_what_the_samples_may_have_missed() {
    let node = scripted_node("");
    let text = table(&node, &["--settle", "400ms"], "sleep 0.3");
    let missed = "; a connection that was opened and closed within ";
    assert!(text.contains(NO_CHANGE) && text.contains(missed), "{text}");
    assert!(text.contains(" s, between two samples, may have been missed"), "{text}");
    assert!(node.report()["nodes"][0]["longest_gap"].as_f64().unwrap() > 0.0, "{:#}", node.report());
    // The kernel reports them.
    let node = scripted_node("\nCLOSE_EVENTS = 'events'\n");
    let text = table(&node, &["--settle", "400ms"], "sleep 0.3");
    assert!(text.contains(NO_CHANGE) && !text.contains(missed), "{text}");
    assert!(text.contains("the kernel also reported what closed between two samples"), "{text}");
}

/// The API server closes idle connections after 90 seconds, whatever the command is.
#[test]
fn an_idle_connection_that_the_api_server_closes_is_background() {
    let node = scripted_node(
        "
def sample(number):
    return (ALWAYS[:1] if has('begun') else ALWAYS), 0
",
    );
    let text = table(&node, &["--settle", "400ms"], "touch begun; sleep 0.3");
    let report = node.report();
    assert_eq!(changes(&report), ["(inbound gone)"], "{report:#}");
    assert_eq!(report["changes"][0]["role"], "pool", "{report:#}");
    assert!(
        text.contains("no connection from the API server to a kubelet appeared (1 node compared)"),
        "{text}"
    );
    let (_, below) = text.split_once("the API server closes idle ones").unwrap();
    assert!(below.contains("192.168.1.55 1 gone"), "{text}");
    // Also beside the connection of an exec, which the headline names.
    let node = scripted_node(
        "
def sample(number):
    return ([ALWAYS[0], EXEC] if has('begun') and seconds_since('begun') < 0.3 else ALWAYS if not has('begun') else ALWAYS[:1]), 0
",
    );
    let text = table(&node, &["--settle", "400ms"], "touch begun; sleep 0.5");
    assert_eq!(changes(&node.report()), ["(inbound gone)", "inbound transient"], "{text}");
    let (headline, _) = text.split_once("Node Process").unwrap();
    assert!(headline.contains("n1: 1 connection to kubelet from 192.168.1.55"), "{text}");
    assert!(headline.contains("appeared and disappeared.") && !headline.contains("gone"), "{text}");
}

/// A request of `kubectl logs` that reuses a connection opens none.
#[test]
fn connections_that_requests_may_have_reused_are_named() {
    let text = table(&scripted_node(""), &["--settle", "400ms"], "true");
    let pooled = "1 connection from the API server to kubelet (n1) existed before: logs, proxy and metrics may have used it, which samples do not show.";
    assert!(text.contains(pooled), "{text}");
    // There is none.
    let node = scripted_node("\ndef sample(number):\n    return ALWAYS[:1], 0\n");
    let text = table(&node, &["--settle", "400ms"], "true");
    assert!(!text.contains("may have used"), "{text}");
    assert_eq!(node.report()["pooled"], 0);
}

/// The rows of the processes of a node, beside the connection of an exec.
const PROCESSES: &str = "
def row(local, peer, name, pid):
    return f'ESTAB 0 0 192.168.1.20:{local} {peer} users:((\"{name}\",pid={pid},fd=5))'
API, SERVICE = '192.168.2.66:443', '10.100.0.1:443'
OLD = [row(5001, API, 'kubelet', 7), row(5002, API, 'kube-proxy', 8), row(5003, SERVICE, 'aws-k8s-agent', 9)]
";

#[test]
fn outbound_changes_stand_below_the_connection_of_the_exec() {
    let node = scripted_node(&format!(
        "{PROCESSES}
CURL = [row(6001, API, 'curl', 100), row(6002, SERVICE, 'curl', 101)]
def sample(number):
    return ALWAYS + OLD + ([*CURL, EXEC] if has('begun') and seconds_since('begun') < 0.3 else []), 0
"
    ));
    let text = table(&node, &["--settle", "400ms"], "touch begun; sleep 0.5");
    let (headline, rows) = text.split_once("Node Process").unwrap();
    assert!(headline.contains("n1: 1 connection to kubelet from 192.168.1.55"), "{text}");
    assert!(
        !headline.contains("curl") && headline.contains("2 outbound connections changed as well."),
        "{text}"
    );
    assert!(rows.find("192.168.1.55:49956").unwrap() < rows.find("curl").unwrap(), "{text}");
    assert!(rows.contains("the command need not be the reason"), "{text}");
    // Without the exec it is no connection from the API server.
    let node = scripted_node(&format!(
        "{PROCESSES}
def sample(number):
    return ALWAYS + OLD + ([row(6001, API, 'curl', 100)] if has('begun') else []), 0
"
    ));
    let text = table(&node, &["--settle", "400ms"], "touch begun; sleep 0.3");
    assert!(
        text.contains("no change was seen of connections from the API server (1 node compared)"),
        "{text}"
    );
    assert!(
        text.contains("n1: 1 connection from curl to 192.168.2.66:443 (the EKS-owned ENI eni-082b1aa87f38e2a2d) appeared"),
        "{text}"
    );
}

#[test]
fn restarts_have_a_title_of_their_own() {
    for (name, old, new) in [
        (
            "kubelet",
            "row(5001, API, 'kubelet', 7)",
            "[row(5101, API, 'kubelet', 70), row(5102, API, 'kubelet', 70)]",
        ),
        ("kube-proxy", "row(5002, API, 'kube-proxy', 8)", "[row(5101, API, 'kube-proxy', 80)]"),
        (
            "aws-k8s-agent",
            "row(5003, SERVICE, 'aws-k8s-agent', 9)",
            "[row(5101, SERVICE, 'aws-k8s-agent', 90)]",
        ),
    ] {
        // A restart of kubelet ends the connections from the API server too.
        let node = scripted_node(&format!(
            "{PROCESSES}
ALWAYS.pop() if '{name}' == 'kubelet' else None
def sample(number):
    if not has('begun'):
        return ALWAYS + OLD, 0
    rest = [line for line in OLD if line != {old}]
    return ALWAYS + rest + {new} + ([EXEC] if seconds_since('begun') < 0.3 else []), 0
"
        ));
        let text = table(&node, &["--settle", "400ms"], "touch begun; sleep 0.5");
        let report = node.report();
        let foreground: Vec<_> =
            changes(&report).into_iter().filter(|change| !change.starts_with('(')).collect();
        assert_eq!(foreground, ["inbound transient"], "{report:#}");
        let (headline, rows) = text.split_once("Node Process").unwrap();
        assert!(headline.contains("n1: 1 connection to kubelet from 192.168.1.55"), "{text}");
        assert!(headline.contains(&format!("Restarted: {name} on n1.")), "{text}");
        let (above, below) = rows.split_once("Restarts of processes").unwrap();
        assert!(above.contains("49956") && !above.contains(" gone"), "{text}");
        assert!(below.contains(&format!("n1 {name} outbound")) && below.contains(" pid "), "{text}");
        assert!(below.contains("1 gone"), "{text}");
    }
    // A process that keeps a connection was not restarted, nor one with another name.
    for new in ["row(5001, API, 'kubelet', 7), row(5101, API, 'kubelet', 70)", "row(5101, API, 'other', 70)"]
    {
        let node = scripted_node(&format!(
            "{PROCESSES}
def sample(number):
    return ALWAYS + (OLD if not has('begun') else OLD[1:] + [{new}]), 0
"
        ));
        let text = table(&node, &["--settle", "400ms"], "touch begun; sleep 0.5");
        assert!(!text.contains("estart") && text.contains("appeared"), "{text}");
    }
}

/// A socket that such a sample lacks is not reported as gone.
#[test]
fn a_failed_or_truncated_sample_is_discarded() {
    let trace_with = |result: &str| {
        let script = format!(
            "
def sample(number):
    if has('begun'):
        return {result}
    return ALWAYS, 0
"
        );
        scripted_node(&script).run(&["--settle", "300ms"], "touch begun; sleep 0.5")
    };
    assert_eq!(changes(&trace_with("ALWAYS[:1], 0")), ["(inbound gone)"]);
    for failed in ["[], 1", "ALWAYS[:1], 1", "['Killed'], 137"] {
        let report = trace_with(failed);
        assert_eq!(changes(&report), Vec::<String>::new(), "{failed}: {report:#}");
        assert!(report["missed"].as_u64().unwrap() >= 2, "{failed}: {report:#}");
    }
    let report = trace_with("[ALWAYS[0], ALWAYS[1][:30]], 0");
    assert_eq!(changes(&report), Vec::<String>::new(), "{report:#}");
    let gaps = report["gaps"].as_array().unwrap();
    assert!(gaps.iter().any(|gap| gap["what"] == "node n1" && gap["why"] == "incomplete"), "{report:#}");
}

#[test]
fn rejected_lines_of_samples_are_listed_on_request() {
    let node = scripted_node(
        "
def sample(number):
    return ALWAYS + (['neither a socket'] if number == 1 else [ALWAYS[1][:30]]), 0
",
    );
    let trace = |args: &[&str]| {
        let output = node.trace(args, "sleep 0.5").output().unwrap();
        String::from_utf8(output.stderr).unwrap()
    };
    assert!(!trace(&[]).contains("node n1, line"));
    let stderr = trace(&["-v"]);
    assert!(stderr.contains("node n1, line 3: ") && stderr.contains(": neither a socket"), "{stderr}");
    assert!(stderr.contains(": ESTAB 0 0 192.168.1.20:10250 1"), "{stderr}");
}

#[test]
fn a_sample_that_arrives_after_the_command_began_counts_as_during() {
    let node = scripted_node(
        "
def sample(number):
    if number == 2:
        wait_for('begun')
        return [*ALWAYS, EXEC], 0
    return ALWAYS, 0
",
    );
    let report = node.run(&[], "touch begun; sleep 1");
    assert_eq!(changes(&report), ["inbound transient"], "{report:#}");
}

#[test]
fn a_socket_only_in_the_first_sample_after_the_command_is_transient() {
    let node = scripted_node(
        "
sent = False
def sample(number):
    global sent
    if has('begun') and not sent:
        time.sleep(0.3)
        sent = True
        return [*ALWAYS, EXEC], 0
    return ALWAYS, 0
",
    );
    // The command ends while this sample is being taken.
    let report = node.run(&[], "touch begun");
    assert_eq!(changes(&report), ["inbound transient"], "{report:#}");
}

#[test]
fn sockets_opened_long_after_the_command_are_background() {
    let node = scripted_node(
        "
def sample(number):
    return ([*ALWAYS, EXEC] if seconds_since('begun') > 1 else ALWAYS), 0
",
    );
    let report = node.run(&["--settle", "2s"], "touch begun");
    assert!(changes(&report).iter().all(|change| change.starts_with('(')), "{report:#}");
}

#[test]
fn an_unrequested_sample_is_ignored() {
    let node = scripted_node(
        "
def after(number):
    if number == 1:
        frame(number, [*ALWAYS, EXEC], 0)
",
    );
    let report = node.run(&["--settle", "500ms"], "sleep 0.5");
    assert_eq!(changes(&report), Vec::<String>::new(), "{report:#}");
}

#[test]
fn losing_socket_close_events_is_reported() {
    let script = |after| format!("\nCLOSE_EVENTS = 'events'\ndef after(number):\n    {after}\n");
    for (after, has_close_events) in
        [("pass", true), (r#"send(f"{mark} events-lost\n") if number == 2 else None"#, false)]
    {
        let node = scripted_node(&script(after));
        let output = node.trace(&["--settle", "500ms"], "sleep 0.5").output().unwrap();
        let report = node.report();
        assert_eq!(report["nodes"][0]["tells_ends"], has_close_events, "{report:#}");
        let stdout = String::from_utf8(output.stdout).unwrap();
        let unseen = "what appeared and disappeared between two samples was not seen";
        assert_eq!(
            stdout.split_whitespace().collect::<Vec<_>>().join(" ").contains(unseen),
            !has_close_events
        );
    }
}

#[test]
fn ctrl_c_before_the_command_begins_ends_the_run() {
    let node = scripted_node("");
    let began = Instant::now();
    let mut pty = Pty::run(&node.trace(&["--settle", "60s"], "touch begun"));
    while !node.has("sampled") {
        assert!(began.elapsed() < Duration::from_secs(20), "{}", pty.screen());
        std::thread::sleep(Duration::from_millis(10));
    }
    pty.type_in("\x03");
    let (code, screen) = pty.end();
    assert_eq!(code, 130, "{screen}");
    assert!(!node.has("begun"), "{screen}");
    assert!(began.elapsed() < Duration::from_secs(30), "{screen}");
}

/// A shell with job control stops a background job that changes the terminal's
/// settings.
#[test]
fn a_background_job_does_not_touch_the_terminal() {
    let node = scripted_node("");
    let trace = node.trace(&["--settle", "0s"], "touch begun");
    let mut shell = Command::new("bash");
    // The trace's program and arguments become the shell's positional parameters.
    shell.args(["-c", "set -m; \"$@\" >table.txt & wait $!; echo \"ended with $?\"", "bash"]);
    shell.arg(trace.get_program()).args(trace.get_args()).current_dir(node.dir.path());
    shell.envs(trace.get_envs().filter_map(|(key, value)| Some((key, value?))));
    let (code, screen) = Pty::run(&shell).end();
    assert_eq!(code, 0, "{screen}");
    assert!(screen.contains("ended with 0"), "{screen}");
    assert!(node.has("begun"), "{screen}");
}

#[test]
fn the_terminal_is_restored_where_standard_input_is_no_terminal() {
    let node = scripted_node("");
    let trace = node.trace(&["--settle", "0s"], "stty -echo raw </dev/tty; kill -KILL $$");
    let mut shell = Command::new("bash");
    shell.args(["-c", "\"$@\" </dev/null", "bash"]);
    shell.arg(trace.get_program()).args(trace.get_args()).current_dir(node.dir.path());
    shell.envs(trace.get_envs().filter_map(|(key, value)| Some((key, value?))));
    // `Pty::end` compares the terminal's settings.
    let (code, screen) = Pty::run(&shell).end();
    assert_eq!(code, 128 + 9, "{screen}");
}
