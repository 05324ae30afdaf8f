//! Nothing stays in the cluster, however a run ends.

use std::process::Stdio;

use eks_netcheck_lab::kube::Faults;
use rustix::process::{Pid, Signal, kill_process};

use super::*;

/// A run whose pods take some time to start, ended by a signal after some time. Returns whether
/// it was still running then.
fn interrupted(kube: &Kube, signal: Signal, after: Duration) -> bool {
    let mut command = kube.netcheck(&["audit", "--nodes", "kubectl"]);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    sleep(after);
    let is_running = child.try_wait().unwrap().is_none();
    if is_running {
        kill_process(Pid::from_child(&child), signal).unwrap();
    }
    let sent = Instant::now();
    child.wait().unwrap();
    assert!(sent.elapsed() < Duration::from_millis(1500), "it ended {:?} after the signal", sent.elapsed());
    is_running
}

fn milliseconds_after(seed: &mut u64, max: u64) -> Duration {
    // https://en.wikipedia.org/wiki/Xorshift
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    Duration::from_millis(*seed % max)
}

/// Where the random times begin: the environment variable `SEED`, or any.
fn seed() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let seed = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok());
    seed.unwrap_or(u64::from(now.subsec_nanos()) | 1)
}

#[test]
fn jobs_are_removed_after_a_signal_at_any_moment() {
    let kube = kube(Access::Public);
    kube.api.set_faults(Faults { start: Duration::from_millis(600), ..Faults::default() });
    let first = seed();
    let mut seed = first;
    for signal in [Signal::INT, Signal::TERM, Signal::HUP, Signal::INT, Signal::TERM] {
        let after = milliseconds_after(&mut seed, 1200);
        interrupted(&kube, signal, after);
        kube.assert_clean(&format!("{signal:?} after {after:?}, SEED={first}"));
        assert_eq!(kube.api.pods(), [""; 0]);
    }
}

#[test]
fn after_a_kill_the_next_run_removes_the_jobs() {
    let kube = kube(Access::Public);
    let slow = Faults { start: Duration::from_millis(600), ..Faults::default() };
    kube.api.set_faults(slow.clone());
    let first = seed();
    let mut seed = first;
    let mut with_jobs = 0;
    for _ in 0..10 {
        let after = milliseconds_after(&mut seed, 1200);
        interrupted(&kube, Signal::KILL, after);
        // The kubectl that it started may still be creating Jobs.
        sleep(Duration::from_millis(300));
        let left = kube.api.jobs();
        with_jobs += usize::from(!left.is_empty());
        for job in &left {
            assert!(job["spec"]["activeDeadlineSeconds"].as_u64().unwrap() <= 120, "{job:#}");
            assert_eq!(job["spec"]["ttlSecondsAfterFinished"], 60, "{job:#}");
        }
        if seed.is_multiple_of(2) {
            kube.api.set_faults(Faults::default());
            kube.audit(&["--nodes", "kubectl"]);
            kube.api.set_faults(slow.clone());
        } else {
            // The deadline ends them, and a minute later they are removed.
            kube.api.advance(Duration::from_mins(2));
            assert_eq!(kube.api.pods(), [""; 0], "after the deadline");
            kube.api.advance(Duration::from_secs(61));
        }
        assert_eq!(kube.api.jobs(), [Value::Null; 0], "killed after {after:?}, SEED={first}");
    }
    assert!(with_jobs > 0, "no kill left Jobs");
}

#[test]
fn the_jobs_of_a_run_that_is_going_on_are_left_alone() {
    let kube = kube(Access::Public);
    kube.api.set_faults(Faults { start: Duration::from_secs(2), ..Faults::default() });
    let mut command = kube.netcheck(&["audit", "--nodes", "kubectl", "--format", "json"]);
    let first = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    while kube.api.jobs().is_empty() {
        sleep(Duration::from_millis(20));
    }
    kube.audit(&["--nodes", "kubectl"]);
    let output = first.wait_with_output().unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(gaps(&report, "node n1").len(), 0, "{report:#}");
    kube.assert_clean("both ended");
}

/// The pod of a node disappears while the node is read, or before.
#[test]
fn a_pod_that_is_deleted_is_a_gap() {
    let kube = kube(Access::Public);
    kube.api.set_faults(Faults { start: Duration::from_secs(1), ..Faults::default() });
    let mut command = kube.netcheck(&["audit", "--nodes", "kubectl", "--format", "json", "--timeout", "5"]);
    let run = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    while kube.api.jobs().is_empty() {
        sleep(Duration::from_millis(10));
    }
    kube.api.reset();
    let output = run.wait_with_output().unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(gaps(&report, "node n1").len(), 1, "{report:#}");
    assert_eq!(report["nodes"][0]["status"], "unreachable", "{report:#}");
}
