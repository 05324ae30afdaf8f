//! The states of the Jobs' pods, read from their status and from events.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::command::Failure;
use super::jobs::CONTAINER;

/// Parses what kubectl printed. The error does not repeat it.
pub(super) fn parse<T: DeserializeOwned>(bytes: &[u8], what: &str) -> Result<T, Failure> {
    serde_json::from_slice(bytes).map_err(|error| {
        Failure::Malformed(format!("{what}: line {}, column {}", error.line(), error.column()))
    })
}

/// `kubectl get -o json` of several objects.
#[derive(Debug, Deserialize)]
pub(super) struct List<T> {
    pub(super) items: Vec<T>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Meta {
    pub(super) name: String,
    #[serde(default)]
    labels: Option<BTreeMap<String, String>>,
    #[serde(default)]
    annotations: Option<BTreeMap<String, String>>,
    #[serde(default, rename = "deletionTimestamp")]
    deleted: Option<String>,
}

impl Meta {
    pub(super) fn annotation(&self, key: &str) -> Option<&str> {
        self.annotations.as_ref()?.get(key).map(String::as_str)
    }

    fn label(&self, key: &str) -> Option<&str> {
        self.labels.as_ref()?.get(key).map(String::as_str)
    }
}

/// An object of which only the metadata is read.
#[derive(Debug, Deserialize)]
pub(super) struct Object {
    pub(super) metadata: Meta,
}

#[derive(Debug, Deserialize)]
pub(super) struct Pod {
    metadata: Meta,
    spec: PodSpec,
    #[serde(default)]
    status: PodStatus,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct PodSpec {
    #[serde(default, rename = "hostPID")]
    host_pid: bool,
    #[serde(default)]
    host_network: bool,
    node_name: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct PodStatus {
    #[serde(default)]
    phase: String,
    reason: Option<String>,
    message: Option<String>,
    #[serde(default)]
    conditions: Option<Vec<Condition>>,
    #[serde(default)]
    container_statuses: Option<Vec<ContainerStatus>>,
}

#[derive(Debug, Deserialize)]
struct Condition {
    r#type: String,
    status: String,
    reason: Option<String>,
    message: Option<String>,
}

#[derive(Debug, Deserialize)]
struct ContainerStatus {
    #[serde(default)]
    name: String,
    #[serde(default)]
    ready: bool,
    #[serde(default)]
    state: ContainerState,
}

#[derive(Debug, Default, Deserialize)]
struct ContainerState {
    running: Option<serde::de::IgnoredAny>,
    waiting: Option<Why>,
    terminated: Option<Why>,
}

#[derive(Debug, Deserialize)]
struct Why {
    reason: Option<String>,
    message: Option<String>,
}

/// The state of a pod.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum PodState {
    /// It runs.
    Running,
    /// It does not run yet, for this reason if one is known.
    Waiting(Option<Reason>),
    /// It will not run.
    Failed(Reason),
}

/// Why a pod does not run: the word and the message of Kubernetes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reason {
    pub(super) word: String,
    pub(super) message: String,
}

impl Reason {
    fn new(word: Option<&String>, message: Option<&String>) -> Self {
        Self { word: word.cloned().unwrap_or_default(), message: message.cloned().unwrap_or_default() }
    }
}

/// The reasons for which a container never starts, or only after a change.
const LASTING: [&str; 6] = [
    "ImagePullBackOff",
    "InvalidImageName",
    "ErrImageNeverPull",
    "CreateContainerConfigError",
    "CreateContainerError",
    "RunContainerError",
];

impl Pod {
    pub(super) fn name(&self) -> &str {
        &self.metadata.name
    }

    /// The Job that it belongs to.
    pub(super) fn job(&self) -> Option<&str> {
        let of = |key| self.metadata.label(key);
        of("batch.kubernetes.io/job-name").or_else(|| of("job-name"))
    }

    /// The node on which it is.
    pub(super) fn node(&self) -> Option<&str> {
        self.spec.node_name.as_deref()
    }

    /// Whether it is in the host's network and sees its processes.
    pub(super) fn is_of_host(&self) -> bool {
        self.spec.host_pid && self.spec.host_network
    }

    /// Whether it serves: it is not being deleted, and its containers are ready.
    pub(super) fn is_ready(&self) -> bool {
        let statuses = self.status.container_statuses.as_deref().unwrap_or_default();
        self.metadata.deleted.is_none()
            && self.status.phase == "Running"
            && !statuses.is_empty()
            && statuses.iter().all(|status| status.ready)
    }

    /// The state of a Job's pod.
    pub(super) fn state(&self) -> PodState {
        let status = &self.status;
        // A webhook may add others.
        let mut containers = status.container_statuses.iter().flatten();
        let container = containers.find(|container| container.name == CONTAINER);
        let state = container.map(|container| &container.state);
        if let Some(why) = state.and_then(|state| state.terminated.as_ref()) {
            return PodState::Failed(Reason::new(why.reason.as_ref(), why.message.as_ref()));
        }
        if self.metadata.deleted.is_some() || matches!(status.phase.as_str(), "Failed" | "Succeeded") {
            return PodState::Failed(Reason::new(status.reason.as_ref(), status.message.as_ref()));
        }
        if status.phase == "Running" && state.is_some_and(|state| state.running.is_some()) {
            if !self.spec.host_pid {
                // It would show its own sockets as those of the host.
                let message = "an admission webhook changed the pod: it has no access to the host's processes (hostPID)";
                return PodState::Failed(Reason { word: String::new(), message: message.to_owned() });
            }
            return PodState::Running;
        }
        if let Some(why) = state.and_then(|state| state.waiting.as_ref()) {
            let reason = Reason::new(why.reason.as_ref(), why.message.as_ref());
            // ContainerCreating says nothing more.
            return match reason.word.as_str() {
                word if LASTING.contains(&word) => PodState::Failed(reason),
                "ContainerCreating" | "PodInitializing" => PodState::Waiting(None),
                _ => PodState::Waiting(Some(reason)),
            };
        }
        let conditions = status.conditions.as_deref().unwrap_or_default();
        let unscheduled = conditions.iter().find(|one| one.r#type == "PodScheduled" && one.status == "False");
        PodState::Waiting(unscheduled.map(|one| Reason::new(one.reason.as_ref(), one.message.as_ref())))
    }
}

/// An event about a Job whose pod could not be created.
#[derive(Debug, Deserialize)]
pub(super) struct Event {
    #[serde(rename = "involvedObject")]
    object: EventObject,
    reason: Option<String>,
    message: Option<String>,
}

#[derive(Debug, Deserialize)]
struct EventObject {
    name: Option<String>,
}

/// The reason of each Job whose pod could not be created.
pub(super) fn creation_failures(events: List<Event>) -> BTreeMap<String, Reason> {
    let events = events.items.into_iter();
    let of_jobs = events.filter_map(|event| {
        let reason = Reason::new(event.reason.as_ref(), event.message.as_ref());
        Some((event.object.name?, reason))
    });
    of_jobs.filter(|(_, reason)| reason.word == "FailedCreate").collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn state(status: &Value) -> PodState {
        let pod = json!({"metadata": {"name": "p"}, "spec": {"hostPID": true}, "status": status});
        serde_json::from_value::<Pod>(pod).expect("a pod").state()
    }

    fn reason(word: &str, message: &str) -> Reason {
        Reason { word: word.to_owned(), message: message.to_owned() }
    }

    #[test]
    fn the_state_of_a_pod_is_that_of_its_container() {
        let of = |phase: &str, container: Value| {
            state(&json!({"phase": phase, "containerStatuses": [{"name": CONTAINER, "state": container}]}))
        };
        assert_eq!(of("Running", json!({"running": {"startedAt": "x"}})), PodState::Running);
        let waiting = |word: &str| of("Pending", json!({"waiting": {"reason": word, "message": "m"}}));
        assert_eq!(waiting("ContainerCreating"), PodState::Waiting(None));
        assert_eq!(waiting("ErrImagePull"), PodState::Waiting(Some(reason("ErrImagePull", "m"))));
        assert_eq!(waiting("ImagePullBackOff"), PodState::Failed(reason("ImagePullBackOff", "m")));
        let ended = of("Failed", json!({"terminated": {"reason": "StartError", "message": "no sleep"}}));
        assert_eq!(ended, PodState::Failed(reason("StartError", "no sleep")));
        assert_eq!(state(&json!({})), PodState::Waiting(None));
        let evicted = state(&json!({"phase": "Failed", "reason": "Evicted", "message": "low on memory"}));
        assert_eq!(evicted, PodState::Failed(reason("Evicted", "low on memory")));
        let condition =
            json!({"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/2"});
        let pending = state(&json!({"phase": "Pending", "conditions": [condition]}));
        assert_eq!(pending, PodState::Waiting(Some(reason("Unschedulable", "0/2"))));
    }

    #[test]
    fn the_containers_that_a_webhook_adds_are_ignored() {
        let with = |added: Value, own: Value| {
            state(&json!({"phase": "Running", "containerStatuses": [
                {"name": "istio-proxy", "state": added}, {"name": CONTAINER, "state": own},
            ]}))
        };
        let (running, waiting) = (json!({"running": {}}), json!({"waiting": {"reason": "ErrImagePull"}}));
        assert_eq!(with(waiting.clone(), running.clone()), PodState::Running);
        let state = with(running.clone(), waiting);
        assert_eq!(state, PodState::Waiting(Some(reason("ErrImagePull", ""))));
        let ended = json!({"terminated": {"reason": "Completed"}});
        assert_eq!(with(ended, running), PodState::Running);
    }

    #[test]
    fn a_pod_without_the_processes_of_the_host_is_not_used() {
        let status =
            json!({"phase": "Running", "containerStatuses": [{"name": CONTAINER, "state": {"running": {}}}]});
        let pod = json!({"metadata": {"name": "p"}, "spec": {}, "status": status});
        let state = serde_json::from_value::<Pod>(pod).expect("a pod").state();
        assert!(matches!(state, PodState::Failed(reason) if reason.message.contains("hostPID")));
    }
}
