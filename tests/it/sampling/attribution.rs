//! Which changes are those of the command, and which are beside it.

use super::{NO_CHANGE, changes, phases, scripted_node, table};

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
