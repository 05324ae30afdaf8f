//! Which samples count, and as what.

use super::{changes, scripted_node};

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
