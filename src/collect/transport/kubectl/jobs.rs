//! The Jobs that are created: one for each node, whose pod only sleeps while the tool reads
//! the node through it. Each carries what removes it if nobody does: a deadline, and a time
//! to live after its end.

use std::time::Duration;

use serde_json::{Value, json};

use crate::model::kubernetes::KubernetesNode;

/// The label that all Jobs and pods of this program have, and its value.
pub(super) const LABEL: (&str, &str) = ("app.kubernetes.io/name", "eks-netcheck");
/// The label whose value is the run that created a Job.
pub(super) const RUN_LABEL: &str = "eks-netcheck/run";
/// The annotation of a Job that names the process which created it.
pub(super) const PROCESS_ANNOTATION: &str = "eks-netcheck/process";
/// The container in each pod.
pub(super) const CONTAINER: &str = "sockets";
/// How long a Job remains after its end.
const TIME_TO_LIVE: u32 = 60;
/// The share of a Job's lifetime that does not depend on the number of nodes.
const SPARE: Duration = Duration::from_mins(1);
/// The beginning of the `osImage` of hosts that let no other container look at processes:
/// `SELinux` is enforced there.
const NEEDS_PRIVILEGED: &str = "Bottlerocket";
/// The beginnings of the `osImage` of hosts on which the container runtime's `AppArmor` profile
/// forbids the same.
const HAS_APPARMOR: [&str; 2] = ["Ubuntu", "Debian"];

/// What the Jobs of a run have in common.
#[derive(Debug)]
pub(super) struct JobSettings<'a> {
    pub(super) namespace: &'a str,
    pub(super) image: &'a str,
    /// The run, as part of names and as the value of a label.
    pub(super) run: &'a str,
    /// The process that creates them, if it can be named.
    pub(super) process: Option<&'a str>,
    /// How long they may run.
    pub(super) lifetime: Duration,
}

/// How long a Job may run: its pod starts, and it is read after those before it.
pub(super) fn lifetime(timeout: Duration, extra: Duration, nodes: usize, concurrency: usize) -> Duration {
    let turns = u32::try_from(nodes.div_ceil(concurrency.max(1))).unwrap_or(u32::MAX);
    let reading = timeout.saturating_mul(turns.saturating_add(1));
    reading.saturating_add(SPARE).saturating_add(extra).min(Duration::from_hours(24))
}

/// The name of a run's Job.
pub(super) fn job_name(run: &str, number: usize) -> String {
    format!("eks-netcheck-{run}-{number}")
}

/// Whether a node is read by a privileged pod.
fn needs_privileged(node: &KubernetesNode) -> bool {
    node.os_image.as_deref().is_some_and(|image| image.starts_with(NEEDS_PRIVILEGED))
}

/// The Jobs of some nodes, as one list.
pub(super) fn list<'n>(
    settings: &JobSettings<'_>,
    nodes: impl IntoIterator<Item = &'n KubernetesNode>,
) -> Value {
    let jobs: Vec<_> =
        nodes.into_iter().enumerate().map(|(number, node)| job(settings, number, node)).collect();
    json!({"apiVersion": "v1", "kind": "List", "items": jobs})
}

/// The Job of a node. Its pod shares the host's process ids, through which the sockets of the
/// host and their owners can be read in /proc; it has neither the host's network nor its
/// files mounted.
fn job(settings: &JobSettings<'_>, number: usize, node: &KubernetesNode) -> Value {
    let labels = json!({LABEL.0: LABEL.1, RUN_LABEL: settings.run});
    let mut annotations = json!({"eks-netcheck/node": node.name});
    if let Some(process) = settings.process {
        annotations[PROCESS_ANNOTATION] = json!(process);
    }
    let seconds = settings.lifetime.as_secs();
    let is_node = json!([{"key": "metadata.name", "operator": "In", "values": [node.name]}]);
    json!({
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": job_name(settings.run, number),
            "namespace": settings.namespace,
            "labels": labels,
            "annotations": annotations,
        },
        "spec": {
            "backoffLimit": 0,
            "activeDeadlineSeconds": seconds,
            "ttlSecondsAfterFinished": TIME_TO_LIVE,
            "template": {
                "metadata": {"labels": labels},
                "spec": {
                    "restartPolicy": "Never",
                    "hostPID": true,
                    "automountServiceAccountToken": false,
                    "enableServiceLinks": false,
                    "terminationGracePeriodSeconds": 1,
                    "affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {
                        "nodeSelectorTerms": [{"matchFields": is_node}],
                    }}},
                    "tolerations": [{"operator": "Exists"}],
                    "containers": [{
                        "name": CONTAINER,
                        "image": settings.image,
                        "imagePullPolicy": "IfNotPresent",
                        "command": ["sleep", seconds.to_string()],
                        "resources": {
                            "requests": {"cpu": "10m", "memory": "16Mi"},
                            "limits": {"memory": "128Mi"},
                        },
                        "securityContext": security_context(node),
                    }],
                },
            },
        },
    })
}

/// The rights of a container. `SYS_PTRACE` shows which process has a socket, and
/// `DAC_READ_SEARCH` does so for processes that are not root's. `SYS_CHROOT` runs the host's
/// own `getent`, with the host's configuration of name resolution.
fn security_context(node: &KubernetesNode) -> Value {
    if needs_privileged(node) {
        return json!({"privileged": true, "runAsUser": 0, "readOnlyRootFilesystem": true});
    }
    let mut context = json!({
        "runAsUser": 0,
        "runAsNonRoot": false,
        "allowPrivilegeEscalation": false,
        "readOnlyRootFilesystem": true,
        "capabilities": {"drop": ["ALL"], "add": ["SYS_PTRACE", "DAC_READ_SEARCH", "SYS_CHROOT"]},
        "seccompProfile": {"type": "RuntimeDefault"},
    });
    let image = node.os_image.as_deref().unwrap_or_default();
    if HAS_APPARMOR.iter().any(|name| image.starts_with(name)) {
        context["appArmorProfile"] = json!({"type": "Unconfined"});
    }
    context
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(os_image: &str) -> KubernetesNode {
        KubernetesNode {
            name: "ip-10-0-0-1.ec2.internal".to_owned(),
            addresses: Vec::new(),
            provider_id: None,
            compute_type: None,
            os_image: Some(os_image.to_owned()),
            is_windows: false,
            pod_cidrs: Vec::new(),
        }
    }

    fn settings() -> JobSettings<'static> {
        JobSettings {
            namespace: "kube-system",
            image: "busybox:1.37.0",
            run: "0f1e2d3c4b",
            process: Some("boot 1 2 3"),
            lifetime: lifetime(Duration::from_secs(30), Duration::ZERO, 2, 32),
        }
    }

    #[test]
    fn a_job_removes_itself_and_has_few_rights() {
        let list = list(&settings(), &[node("Amazon Linux 2023")]);
        insta::assert_snapshot!(serde_json::to_string_pretty(&list).expect("JSON"));
    }

    #[test]
    fn only_hosts_that_need_it_get_a_privileged_pod() {
        let context = |image: &str| security_context(&node(image));
        assert_eq!(context("Bottlerocket (EKS Auto, Standard) 2026.1.1")["privileged"], true);
        assert!(context("Amazon Linux 2023.9").get("privileged").is_none());
        assert_eq!(context("Ubuntu 24.04.1 LTS")["appArmorProfile"]["type"], "Unconfined");
        assert!(context("Amazon Linux 2").get("appArmorProfile").is_none());
    }

    #[test]
    fn the_lifetime_is_that_of_reading_all_nodes() {
        let of = |nodes, extra| lifetime(Duration::from_secs(30), Duration::from_secs(extra), nodes, 32);
        assert_eq!(of(1, 0), Duration::from_mins(2));
        assert_eq!(of(32, 0), Duration::from_mins(2));
        assert_eq!(of(33, 0), Duration::from_secs(150));
        assert_eq!(of(1, 3600), Duration::from_mins(62));
        assert_eq!(of(usize::MAX, 3600), Duration::from_hours(24));
    }
}
