//! The Jobs of a run: created as one list, watched until their pods run, and removed at the
//! end, however the run ends.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use super::super::client::ClientError;
use super::super::diagnosis::Diagnosis;
use super::command::{ENV, Failure, KUBECTL, run, time_limit};
use super::config::KubectlConfig;
use super::failure::{are_refusals, diagnose, message, not_running, of_message};
use super::jobs::{RUN_LABEL, job_name};
use super::pods::{Event, List, Pod, PodState, Reason, creation_failures, parse};
use super::target::Placement;
use crate::cleanup::{self, Elsewhere};
use crate::model::gap::GapReason;
use crate::model::shell::shell_quoted;

/// The pauses between two requests for the pods, at first and later.
const PAUSE_MIN: Duration = Duration::from_millis(300);
const PAUSE_MAX: Duration = Duration::from_secs(2);
/// After what time the events of a Job without a pod are requested.
const EVENTS_AFTER: Duration = Duration::from_millis(1500);
/// How long the removal may take, and longer for each Job: kubectl deletes one after the other.
const REMOVAL_MAX: Duration = Duration::from_secs(15);
const REMOVAL_OF_JOB: Duration = Duration::from_millis(100);
/// How long one request of the removal may take.
const REMOVAL_REQUEST_MAX: Duration = Duration::from_secs(10);

/// The Jobs of a run, which are removed by [`remove`](Self::remove), or when the process ends.
#[derive(Debug)]
pub(crate) struct Jobs {
    watching: Watching,
    delete: Vec<OsString>,
    /// The command that removes them, as a user types it.
    by_hand: String,
    number: u32,
    registration: Elsewhere,
}

/// The task that watches the pods, until it is dropped.
#[derive(Debug)]
struct Watching(JoinHandle<()>);

impl Drop for Watching {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Jobs {
    /// Creates Jobs and watches their pods, whose placements are returned in order. The Jobs
    /// are `None` if none can exist: all were refused.
    ///
    /// # Errors
    /// If kubectl cannot be run, or the run is ending.
    pub(super) async fn create(
        args: &Arc<[OsString]>,
        config: &KubectlConfig,
        run_id: String,
        list: &Value,
        count: usize,
    ) -> Result<(Option<Self>, Vec<watch::Receiver<Placement>>), Diagnosis> {
        let delete = removal(args, &config.namespace, &run_id);
        let by_hand = by_hand(args, &config.namespace, &run_id);
        let in_background = delete.clone();
        let registered = cleanup::created_elsewhere(move || start_removal(&in_background));
        let registration = registered
            .map_err(|error| Diagnosis::new(GapReason::Interrupted, error.to_string(), "run it again"))?;
        let limit = config.timeout.saturating_add(
            Duration::from_millis(100).saturating_mul(u32::try_from(count).unwrap_or(u32::MAX)),
        );
        // The validation by the client would load the schema of all resources.
        let create = ["create", "--validate=false", "-o", "name", "-f", "-"].map(OsString::from);
        let create = args.iter().cloned().chain(create).collect();
        let answer = run(create, list.to_string().as_bytes(), limit).await;
        let names: Vec<_> = (0..count).map(|number| job_name(&run_id, number)).collect();
        let number = u32::try_from(names.len()).unwrap_or(u32::MAX);
        let mut none_exists = false;
        let refused = match answer {
            Ok(_) => BTreeMap::new(),
            Err(Failure::Failed { stdout, stderr }) => {
                let refused = refusals(&names, &stdout, &stderr);
                none_exists = refused.len() == names.len() && are_refusals(&stderr);
                refused
            }
            Err(Failure::Client(error @ ClientError::Start { .. })) => {
                registration.removed();
                return Err(error.into());
            }
            Err(failure) => {
                // Some may have been created.
                let diagnosis = diagnose(failure, "kubectl create jobs");
                names.iter().map(|name| (name.clone(), diagnosis.clone())).collect()
            }
        };
        let (senders, receivers): (Vec<_>, Vec<_>) = names
            .into_iter()
            .map(|name| {
                let placement = match refused.get(&name) {
                    Some(diagnosis) => Placement::Failed(diagnosis.clone()),
                    None => Placement::Starting,
                };
                let (sender, receiver) = watch::channel(placement);
                ((name, sender), receiver)
            })
            .unzip();
        let watcher = Watcher {
            args: Arc::clone(args),
            namespace: config.namespace.clone(),
            run_id,
            timeout: config.timeout,
            starting: senders.into_iter().filter(|(name, _)| !refused.contains_key(name)).collect(),
        };
        let watching = Watching(tokio::spawn(watcher.watch()));
        let jobs = Self { watching, delete, by_hand, number, registration };
        if none_exists {
            jobs.registration.removed();
            return Ok((None, receivers));
        }
        Ok((Some(jobs), receivers))
    }

    /// Removes them. Returns what is to be done by hand if that fails.
    pub(crate) async fn remove(self) -> Option<String> {
        let Self { watching, delete, by_hand, number, registration } = self;
        drop(watching);
        match run(delete, &[], REMOVAL_MAX + REMOVAL_OF_JOB * number).await {
            Ok(_) => {
                registration.removed();
                None
            }
            Err(failure) => {
                // The end of the process does not try again.
                registration.removed();
                let why = diagnose(failure, "kubectl delete jobs");
                let why = why.detail();
                Some(format!(
                    "Jobs may be left, which end at their deadline ({why}); remove them with: {by_hand}"
                ))
            }
        }
    }
}

/// The arguments that remove the Jobs of a run, with their pods.
fn removal(args: &[OsString], namespace: &str, run_id: &str) -> Vec<OsString> {
    let selector = format!("{RUN_LABEL}={run_id}");
    let rest = ["delete", "jobs", "-n", namespace, "-l", &selector, "--ignore-not-found", "--wait=false"];
    let rest = rest.iter().map(Into::into).chain(time_limit(args, REMOVAL_REQUEST_MAX));
    args.iter().cloned().chain(rest).collect()
}

/// The command that removes the Jobs of a run, for a POSIX shell.
fn by_hand(args: &[OsString], namespace: &str, run_id: &str) -> String {
    let selector = format!("{RUN_LABEL}={run_id}");
    let words = ["kubectl".into()].into_iter().chain(args.iter().map(|arg| arg.to_string_lossy()));
    let rest = ["delete", "jobs", "-n", namespace, "-l", &selector];
    let words = words.chain(rest.into_iter().map(Into::into));
    words.map(|word| shell_quoted(&word).into_owned()).collect::<Vec<_>>().join(" ")
}

/// Starts the removal as a process of its own, which does not end with this one: the server
/// may answer late.
fn start_removal(args: &[OsString]) -> std::io::Result<std::process::Child> {
    let mut command = Command::new(KUBECTL);
    command
        .args(args)
        .envs(ENV.iter().copied())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command.process_group(0).spawn()
}

/// Why each Job that was not created was refused. kubectl prints the names of the others, and
/// a line for each error, which names the Job only if the server does.
fn refusals(names: &[String], stdout: &[u8], stderr: &str) -> BTreeMap<String, Diagnosis> {
    let stdout = String::from_utf8_lossy(stdout);
    let created: BTreeSet<_> = stdout.lines().filter_map(|line| line.trim().rsplit('/').next()).collect();
    let refused = names.iter().filter(|name| !created.contains(name.as_str()));
    refused
        .map(|name| {
            let line = stderr.lines().find(|line| line.contains(&format!("\"{name}\"")));
            let line = line.map_or_else(|| message(stderr), str::trim);
            (name.clone(), of_message("kubectl create jobs", line))
        })
        .collect()
}

/// Requests the states of the pods until each runs or has failed.
struct Watcher {
    args: Arc<[OsString]>,
    namespace: String,
    run_id: String,
    timeout: Duration,
    /// The Jobs whose pods do not run yet.
    starting: BTreeMap<String, watch::Sender<Placement>>,
}

impl Watcher {
    async fn watch(mut self) {
        let began = Instant::now();
        let mut pause = PAUSE_MIN;
        let mut reasons: BTreeMap<String, Reason> = BTreeMap::new();
        let mut last_failure = None;
        while !self.starting.is_empty() {
            sleep(pause).await;
            pause = (pause * 3 / 2).min(PAUSE_MAX);
            match self.pods().await {
                Ok(pods) => {
                    last_failure = None;
                    let with_pod: BTreeSet<_> =
                        pods.iter().filter_map(|pod| pod.job().map(ToOwned::to_owned)).collect();
                    for pod in &pods {
                        self.settle(pod, &mut reasons);
                    }
                    let is_late = began.elapsed() >= EVENTS_AFTER;
                    if is_late && self.starting.keys().any(|name| !with_pod.contains(name)) {
                        self.settle_without_pod(&with_pod).await;
                    }
                }
                Err(failure) => last_failure = Some(diagnose(failure, "kubectl get pods")),
            }
            if began.elapsed() >= self.timeout {
                break;
            }
        }
        for (name, placement) in std::mem::take(&mut self.starting) {
            let seconds = self.timeout.as_secs();
            let diagnosis = match (&last_failure, reasons.get(&name)) {
                (Some(failure), _) => failure.clone(),
                (None, Some(reason)) => not_running(reason),
                (None, None) => Diagnosis::new(
                    GapReason::TimedOut,
                    format!("its pod did not run within {seconds} s"),
                    "see whether the node is Ready with: kubectl describe node NODE; or pass a longer --timeout",
                ),
            };
            placement.send_replace(Placement::Failed(diagnosis));
        }
    }

    fn settle(&mut self, pod: &Pod, reasons: &mut BTreeMap<String, Reason>) {
        let Some(job) = pod.job().filter(|job| self.starting.contains_key(*job)) else { return };
        let placement = match pod.state() {
            PodState::Running => Placement::Running(pod.name().into()),
            PodState::Failed(reason) => Placement::Failed(not_running(&reason)),
            PodState::Waiting(reason) => {
                if let Some(reason) = reason {
                    reasons.insert(job.to_owned(), reason);
                }
                return;
            }
        };
        if let Some(sender) = self.starting.remove(job) {
            sender.send_replace(placement);
        }
    }

    /// Settles the Jobs whose pods cannot be created.
    async fn settle_without_pod(&mut self, with_pod: &BTreeSet<String>) {
        let get = [
            "get",
            "events",
            "-n",
            &self.namespace,
            "--field-selector",
            "involvedObject.kind=Job,reason=FailedCreate",
            "-o",
            "json",
        ];
        let Ok(json) = self.get(&get).await else { return };
        let Ok(events) = parse::<List<Event>>(&json, "events") else { return };
        for (job, reason) in creation_failures(events) {
            if !with_pod.contains(&job)
                && let Some(sender) = self.starting.remove(&job)
            {
                sender.send_replace(Placement::Failed(not_running(&reason)));
            }
        }
    }

    async fn pods(&self) -> Result<Vec<Pod>, Failure> {
        let selector = format!("{RUN_LABEL}={}", self.run_id);
        let json = self.get(&["get", "pods", "-n", &self.namespace, "-l", &selector, "-o", "json"]).await?;
        Ok(parse::<List<Pod>>(&json, "pods")?.items)
    }

    async fn get(&self, rest: &[&str]) -> Result<Vec<u8>, Failure> {
        let args = self.args.iter().cloned().chain(rest.iter().map(Into::into)).collect();
        run(args, &[], self.timeout).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_that_removes_jobs_selects_the_cluster() {
        let args = ["--kubeconfig", "/home/a b/config", "--context", "it's"].map(OsString::from);
        assert_eq!(
            by_hand(&args, "kube-system", "0f"),
            r"kubectl --kubeconfig '/home/a b/config' --context 'it'\''s' delete jobs -n kube-system -l eks-netcheck/run=0f"
        );
    }
}
