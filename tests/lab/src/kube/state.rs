//! The objects of the cluster, and the controllers that act on them: the Job controller with
//! deadline and time to live, the scheduler, and the kubelets that run the pods.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::pod::RunningPod;
use crate::sandbox::Kubelet;

/// What refuses the pods.
#[derive(Clone, Debug, Default)]
pub enum Admission {
    /// Nothing.
    #[default]
    Open,
    /// Pod Security admission: the Job is created with a warning, its pods are not.
    PodSecurity {
        /// `baseline` or `restricted`.
        level: &'static str,
    },
    /// A webhook that denies the Job itself, with this message.
    Webhook(String),
    /// A webhook that changes the pods: it removes their access to the host's processes.
    WithoutHostPid,
    /// A webhook that takes a capability away from the pods.
    WithoutCapability(&'static str),
}

/// How the pods start.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    /// What refuses them.
    pub admission: Admission,
    /// Whether no image can be pulled.
    pub no_image: bool,
    /// The nodes on which no pod can be scheduled.
    pub full: Vec<String>,
    /// The nodes whose kubelet does not start pods.
    pub not_ready: Vec<String>,
    /// How long a pod takes to start.
    pub start: Duration,
}

/// A Job.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) json: Value,
    created: Instant,
    /// Whether its pod was created, or refused.
    is_handled: bool,
    /// When it ended.
    ended: Option<Instant>,
}

/// A pod.
#[derive(Debug)]
pub(super) struct Pod {
    pub(super) json: Value,
    /// The Job that it belongs to.
    job: Option<String>,
    node: Option<String>,
    created: Instant,
    pub(super) process: Option<RunningPod>,
}

/// A node of the cluster.
#[derive(Debug)]
pub(super) struct ClusterNode {
    pub(super) json: Value,
    pub(super) kubelet: Kubelet,
}

/// All objects.
#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) nodes: BTreeMap<String, ClusterNode>,
    /// By namespace and name.
    pub(super) jobs: BTreeMap<(String, String), Job>,
    pub(super) pods: BTreeMap<(String, String), Pod>,
    pub(super) events: Vec<Value>,
    /// The objects of `kubectl apply --server-side`, by the path of their URL.
    pub(super) applied: BTreeMap<String, Value>,
    pub(super) faults: Faults,
    /// By how much the clock of the controllers is ahead.
    pub(super) ahead: Duration,
    created: u64,
}

impl State {
    fn now(&self) -> Instant {
        Instant::now() + self.ahead
    }

    fn number(&mut self) -> u64 {
        self.created += 1;
        self.created
    }

    /// Adds a node for a kubelet. The names of EC2 instances are those of the tests' account.
    pub(super) fn add_node(&mut self, index: usize, kubelet: Kubelet) {
        let name = kubelet.name().to_owned();
        let json = json!({
            "apiVersion": "v1", "kind": "Node",
            "metadata": {"name": name, "labels": {
                "kubernetes.io/hostname": name, "kubernetes.io/os": "linux",
            }},
            "spec": {"providerID": format!("aws:///ap-northeast-2a/i-{index:017x}")},
            "status": {
                "addresses": [{"type": "InternalIP", "address": kubelet.address().to_string()}],
                "nodeInfo": {"osImage": "Amazon Linux 2023.9.20251117", "operatingSystem": "linux"},
                "conditions": [{"type": "Ready", "status": "True"}],
            },
        });
        self.nodes.insert(name, ClusterNode { json, kubelet });
    }

    /// Creates a Job. Returns what the API server answers.
    pub(super) fn create_job(&mut self, namespace: &str, mut json: Value) -> Result<Value, (u16, Value)> {
        if let Admission::Webhook(message) = &self.faults.admission {
            return Err((
                403,
                json!({
                    "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "reason": "Forbidden",
                    "code": 403, "message": message,
                }),
            ));
        }
        let name = json["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        let key = (namespace.to_owned(), name.clone());
        if self.jobs.contains_key(&key) {
            return Err((
                409,
                json!({
                    "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "reason": "AlreadyExists",
                    "code": 409, "message": format!("jobs.batch \"{name}\" already exists"),
                }),
            ));
        }
        json["metadata"]["uid"] = json!(format!("uid-{}", self.number()));
        json["status"] = json!({});
        let job = Job { json: json.clone(), created: self.now(), is_handled: false, ended: None };
        self.jobs.insert(key, job);
        Ok(json)
    }

    /// Deletes a Job with its pods.
    pub(super) fn delete_job(&mut self, namespace: &str, name: &str) -> bool {
        self.pods.retain(|(of, _), pod| of != namespace || pod.job.as_deref() != Some(name));
        self.jobs.remove(&(namespace.to_owned(), name.to_owned())).is_some()
    }

    /// Adds a pod that runs already, such as a `DaemonSet`'s.
    pub(super) fn add_pod(&mut self, namespace: &str, node: &str, mut json: Value) -> Result<(), String> {
        json["spec"]["nodeName"] = json!(node);
        let number = self.number();
        let kubelet = self.nodes.get(node).ok_or("no such node")?.kubelet.clone();
        let process =
            RunningPod::start(&kubelet, number, &json["spec"]).map_err(|error| format!("{error:#}"))?;
        let name = json["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        let mut pod = Pod {
            json,
            job: None,
            node: Some(node.to_owned()),
            created: Instant::now(),
            process: Some(process),
        };
        pod.set_running();
        self.pods.insert((namespace.to_owned(), name), pod);
        Ok(())
    }

    /// Lets the controllers act.
    pub(super) fn tick(&mut self) {
        let now = self.now();
        let unhandled: Vec<_> =
            self.jobs.iter().filter(|(_, job)| !job.is_handled).map(|(key, _)| key.clone()).collect();
        for key in unhandled {
            self.create_pod(&key);
        }
        self.start_pods();
        for ((namespace, name), job) in &mut self.jobs {
            let deadline = job.json["spec"]["activeDeadlineSeconds"].as_u64();
            let is_over = deadline.is_some_and(|seconds| now >= job.created + Duration::from_secs(seconds));
            let of_job =
                |key: &(String, String), pod: &Pod| key.0 == *namespace && pod.job.as_ref() == Some(name);
            if job.ended.is_none() && is_over {
                job.ended = Some(now);
                job.json["status"] = json!({"failed": 1, "conditions": [
                    {"type": "Failed", "status": "True", "reason": "DeadlineExceeded"},
                ]});
                self.pods.retain(|key, pod| !of_job(key, pod));
            }
            let has_exited = self.pods.iter_mut().any(|(key, pod)| of_job(key, pod) && pod.has_exited());
            if job.ended.is_none() && has_exited {
                job.ended = Some(now);
            }
        }
        let is_old = |job: &Job| {
            let seconds = job.json["spec"]["ttlSecondsAfterFinished"].as_u64();
            let limit = seconds.zip(job.ended).map(|(seconds, ended)| ended + Duration::from_secs(seconds));
            limit.is_some_and(|limit| now >= limit)
        };
        let old: Vec<_> =
            self.jobs.iter().filter(|(_, job)| is_old(job)).map(|(key, _)| key.clone()).collect();
        for (namespace, name) in old {
            self.delete_job(&namespace, &name);
        }
    }

    /// The Job controller and the scheduler.
    fn create_pod(&mut self, key: &(String, String)) {
        let number = self.number();
        let (namespace, name) = key;
        let Some(job) = self.jobs.get_mut(key) else { return };
        job.is_handled = true;
        let template = &job.json["spec"]["template"];
        let pod_name = format!("{name}-{number:05x}");
        if let Admission::PodSecurity { level } = &self.faults.admission {
            let message = format!(
                "Error creating: pods \"{pod_name}\" is forbidden: violates PodSecurity \"{level}:latest\": host namespaces (hostPID=true), non-default capabilities (container \"sockets\" must not include \"SYS_PTRACE\" in securityContext.capabilities.add)"
            );
            self.events.push(json!({
                "apiVersion": "v1", "kind": "Event", "metadata": {"name": format!("{name}.{number}"), "namespace": namespace},
                "involvedObject": {"kind": "Job", "namespace": namespace, "name": name},
                "type": "Warning", "reason": "FailedCreate", "message": message,
            }));
            return;
        }
        let mut labels = template["metadata"]["labels"].clone();
        labels["batch.kubernetes.io/job-name"] = json!(name);
        labels["job-name"] = json!(name);
        let mut spec = template["spec"].clone();
        if matches!(self.faults.admission, Admission::WithoutHostPid) {
            spec["hostPID"] = json!(false);
        }
        if let Admission::WithoutCapability(name) = self.faults.admission
            && let Some(added) =
                spec["containers"][0]["securityContext"]["capabilities"]["add"].as_array_mut()
        {
            added.retain(|capability| capability != name);
        }
        let terms = &spec["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"];
        let field = &terms["nodeSelectorTerms"][0]["matchFields"][0];
        let wanted = field["values"][0].as_str().unwrap_or_default().to_owned();
        let can_run = field["key"] == "metadata.name"
            && self.nodes.contains_key(&wanted)
            && !self.faults.full.contains(&wanted);
        let mut status = json!({"phase": "Pending", "conditions": []});
        if can_run {
            spec["nodeName"] = json!(wanted);
            status["conditions"] = json!([{"type": "PodScheduled", "status": "True"}]);
        } else {
            status["conditions"] = json!([{
                "type": "PodScheduled", "status": "False", "reason": "Unschedulable",
                "message": format!("0/{} nodes are available: 1 Too many pods.", self.nodes.len()),
            }]);
        }
        let json = json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": pod_name, "namespace": namespace, "labels": labels},
            "spec": spec, "status": status,
        });
        let pod = Pod {
            json,
            job: Some(name.clone()),
            node: can_run.then_some(wanted),
            created: Instant::now(),
            process: None,
        };
        self.pods.insert((namespace.clone(), pod_name), pod);
    }

    /// The kubelets.
    fn start_pods(&mut self) {
        let faults = self.faults.clone();
        let mut number = self.created;
        let mut starting = Vec::new();
        for pod in self.pods.values_mut() {
            let Some(node) = pod.node.clone() else { continue };
            let is_pending = pod.process.is_none() && pod.json["status"]["phase"] == "Pending";
            if !is_pending || faults.not_ready.contains(&node) || pod.created.elapsed() < faults.start {
                continue;
            }
            if faults.no_image {
                let reason = if pod.created.elapsed() < Duration::from_secs(1) {
                    "ErrImagePull"
                } else {
                    "ImagePullBackOff"
                };
                let image = pod.json["spec"]["containers"][0]["image"].clone();
                pod.set_waiting(
                    reason,
                    &format!("failed to pull and unpack image {image}: dial tcp: i/o timeout"),
                );
                continue;
            }
            number += 1;
            starting.push((pod, number, &self.nodes[&node].kubelet));
        }
        self.created = number;
        // Each kubelet starts its own.
        std::thread::scope(|scope| {
            for (pod, number, kubelet) in starting {
                scope.spawn(move || match RunningPod::start(kubelet, number, &pod.json["spec"]) {
                    Ok(process) => {
                        pod.process = Some(process);
                        pod.set_running();
                    }
                    Err(error) => pod.set_failed("StartError", &format!("{error:#}")),
                });
            }
        });
    }
}

impl Pod {
    fn set_status(&mut self, phase: &str, state: &Value) {
        let name = self.json["spec"]["containers"][0]["name"].clone();
        self.json["status"]["phase"] = json!(phase);
        self.json["status"]["containerStatuses"] = json!([{
            "name": name, "ready": phase == "Running", "state": state,
        }]);
    }

    fn set_running(&mut self) {
        self.json["status"]["conditions"] = json!([{"type": "Ready", "status": "True"}]);
        self.set_status("Running", &json!({"running": {"startedAt": "2026-01-01T00:00:00Z"}}));
    }

    fn set_waiting(&mut self, reason: &str, message: &str) {
        self.set_status("Pending", &json!({"waiting": {"reason": reason, "message": message}}));
    }

    fn set_failed(&mut self, reason: &str, message: &str) {
        self.set_status(
            "Failed",
            &json!({"terminated": {"exitCode": 128, "reason": reason, "message": message}}),
        );
    }

    fn has_exited(&mut self) -> bool {
        let has_exited = self.process.as_mut().is_some_and(RunningPod::has_exited);
        if has_exited {
            self.process = None;
            self.set_status("Succeeded", &json!({"terminated": {"exitCode": 0, "reason": "Completed"}}));
        }
        has_exited
    }
}
