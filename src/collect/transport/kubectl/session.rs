//! A cluster as kubectl reaches it: its context, its nodes, and the pods in which they are
//! read.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::super::diagnosis::{CAPTURE_ELSEWHERE, Diagnosis};
use super::super::framing::random;
use super::command::{Failure, run, time_limit};
use super::config::KubectlConfig;
use super::context::{Choice, Kubeconfig, choose};
use super::failure::{Refusal, diagnose, no_context, of_agent, without_agent};
use super::jobs::{CONTAINER, JobSettings, LABEL, PROCESS_ANNOTATION, lifetime, list};
use super::placement::Jobs;
use super::pods::{List, Object, Pod, parse};
use super::process::{has_ended, this_process};
use super::target::{CHROOT, KubectlTarget, Placement, PodKind};
use crate::evidence::kubernetes::parse_nodes;
use crate::model::cluster::Cluster;
use crate::model::gap::{Gap, GapReason};
use crate::model::kubernetes::{ENDPOINT_SLICES, KubernetesNode};
use crate::model::name::NodeName;
use crate::model::tools::Kubectl;

/// The namespace of the node monitoring agent, its label and its container.
const AGENT_NAMESPACE: &str = "kube-system";
const AGENT: &str = "eks-node-monitoring-agent";
const AGENT_SELECTOR: &str = "app.kubernetes.io/name=eks-node-monitoring-agent";
/// The certificate authority of a service account, in a pod.
const SERVICE_ACCOUNT_CA: &str = "/var/run/secrets/kubernetes.io/serviceaccount/ca.crt";
/// How long kubectl may take to print the kubeconfig.
const CONFIG_TIMEOUT: Duration = Duration::from_secs(10);

/// The node monitoring agent's pod on each node, by the names of the nodes.
type Agents = BTreeMap<String, String>;

/// A cluster that kubectl reaches.
#[derive(Debug)]
pub(crate) struct Session {
    config: KubectlConfig,
    /// The arguments that select the cluster.
    args: Arc<[OsString]>,
    /// Its nodes.
    pub(crate) nodes: Vec<KubernetesNode>,
    /// `kubectl get nodes`, as it was printed.
    pub(crate) nodes_json: Vec<u8>,
    /// `kubectl get endpointslices`, or why there is none.
    pub(crate) slices_json: Result<Vec<u8>, Gap>,
    /// The node monitoring agent's pod on each node, or why they are not known.
    agents: Result<Agents, Diagnosis>,
}

/// The nodes with their targets, and the Jobs that were created for them.
#[derive(Debug)]
pub(crate) struct Placed {
    /// The target of each node, in the order in which they were given.
    pub(crate) targets: Vec<Result<KubectlTarget, Diagnosis>>,
    /// The Jobs, which have to be removed.
    pub(crate) jobs: Option<Jobs>,
}

/// The program and what it may take: the configuration, without the cluster.
fn request(args: &[OsString], config: &KubectlConfig, rest: &[&str]) -> Vec<OsString> {
    let limit = time_limit(args, config.timeout);
    args.iter().cloned().chain(rest.iter().map(Into::into)).chain(limit).collect()
}

impl Session {
    /// Finds the context of a cluster and lists its nodes.
    ///
    /// # Errors
    /// If no context is the cluster's, or the nodes cannot be listed.
    pub(crate) async fn open(config: &KubectlConfig, cluster: &Cluster) -> Result<Self, Refusal> {
        let args = select(config, cluster).await?;
        let get = |rest: &'static [&'static str]| run(request(&args, config, rest), &[], config.timeout);
        let nodes = get(&["get", "nodes", "-o", "json"]);
        let slices = get(&[
            "get",
            "endpointslices",
            "-n",
            "default",
            "-l",
            "kubernetes.io/service-name=kubernetes",
            "-o",
            "json",
        ]);
        let agents = async {
            if !config.pods.uses_agent() {
                return Ok::<_, Failure>(Vec::new());
            }
            let json =
                get(&["get", "pods", "-n", AGENT_NAMESPACE, "-l", AGENT_SELECTOR, "-o", "json"]).await?;
            Ok(parse::<List<Pod>>(&json, "pods")?.items)
        };
        let (nodes_json, slices, agents) = tokio::join!(nodes, slices, agents);
        let nodes_json =
            nodes_json.map_err(|failure| Refusal::Gap(diagnose(failure, "kubectl get nodes")))?;
        let nodes = parse_nodes(&nodes_json).map_err(|error| {
            Refusal::Gap(diagnose(Failure::Malformed(error.to_string()), "kubectl get nodes"))
        })?;
        let slices_json =
            slices.map_err(|failure| diagnose(failure, "kubectl get endpointslices").gap(ENDPOINT_SLICES));
        let agents = agents
            .map(|pods| {
                let ready = pods.iter().filter(|pod| pod.is_of_host() && pod.is_ready());
                ready.filter_map(|pod| Some((pod.node()?.to_owned(), pod.name().to_owned()))).collect()
            })
            .map_err(|failure| diagnose(failure, "kubectl get pods"));
        Ok(Self { config: config.clone(), agents, args: args.into(), nodes, nodes_json, slices_json })
    }

    /// How kubectl reached the cluster, for commands that are printed.
    pub(crate) fn kubectl(&self) -> Kubectl {
        let options = self.args.iter().map(|word| word.to_string_lossy().into_owned());
        Kubectl { options: options.collect(), image: self.config.image.clone() }
    }

    /// The node of an instance or a name.
    pub(crate) fn node(&self, name: &NodeName, instance: Option<&str>) -> Option<&KubernetesNode> {
        find_node(&self.nodes, name, instance)
    }

    /// The nodes of names and instances, each once, or why one has none.
    pub(crate) fn find_all<'a>(
        &self,
        wanted: impl IntoIterator<Item = (&'a NodeName, Option<&'a str>)>,
    ) -> Vec<Result<&KubernetesNode, Diagnosis>> {
        let mut found = BTreeMap::new();
        let nodes = wanted.into_iter().map(|(name, instance)| {
            let node = self.node(name, instance).ok_or_else(not_listed)?;
            match found.insert(&node.name, name) {
                None => Ok(node),
                Some(other) => {
                    let detail = format!("{other} is the same node {}", node.name);
                    Err(Diagnosis::new(GapReason::NotSupported, detail, "name it once"))
                }
            }
        });
        nodes.collect()
    }

    /// Finds or creates the pod of each node. Jobs that an earlier run left are removed.
    pub(crate) async fn place(&self, nodes: Vec<Result<&KubernetesNode, Diagnosis>>) -> Placed {
        let (agents, ()) = tokio::join!(self.usable_agents(), self.remove_left_over());
        let target = |node: &Result<&KubernetesNode, Diagnosis>| match node {
            Ok(node) => self.agent_target(node, &agents),
            Err(diagnosis) => Err(diagnosis.clone()),
        };
        let mut targets: Vec<_> = nodes.iter().map(target).collect();
        let without: Vec<_> = { nodes.iter().zip(&targets) }
            .filter(|(_, target)| matches!(target, Ok(None)))
            .filter_map(|(node, _)| node.as_ref().ok().copied())
            .collect();
        let mut jobs = None;
        let mut created = Vec::new();
        if !without.is_empty() {
            let run = format!("{:010x}", random() & 0xff_ffff_ffff);
            let process = this_process();
            let list = self.jobs(&run, process.as_deref(), &without);
            let placed = Jobs::create(&self.args, &self.config, run, &list, without.len()).await;
            match placed {
                Ok((all, placements)) => {
                    jobs = all;
                    created = placements.into_iter().map(Ok).collect();
                }
                Err(diagnosis) => created = vec![Err(diagnosis); without.len()],
            }
        }
        let mut created = created.into_iter();
        let targets = targets.drain(..).map(|target| match target {
            Ok(Some(target)) => Ok(target),
            Ok(None) => {
                let placement = created.next().unwrap_or_else(|| unreachable!("one for each"))?;
                Ok(self.target(&self.config.namespace, CONTAINER, PodKind::Job, placement))
            }
            Err(diagnosis) => Err(diagnosis),
        });
        Placed { targets: targets.collect(), jobs }
    }

    /// The Jobs that [`place`](Self::place) creates for these nodes, and how many nodes need
    /// none.
    pub(crate) async fn plan(&self, nodes: &[&KubernetesNode]) -> (serde_json::Value, usize) {
        let agents = self.usable_agents().await;
        let needs_job = |node: &&KubernetesNode| matches!(self.agent_target(node, &agents), Ok(None));
        let without: Vec<_> = nodes.iter().copied().filter(needs_job).collect();
        (self.jobs("dry-run", None, &without), nodes.len() - without.len())
    }

    fn jobs(&self, run: &str, process: Option<&str>, nodes: &[&KubernetesNode]) -> serde_json::Value {
        let KubectlConfig { timeout, extra_lifetime, concurrency, .. } = self.config;
        let settings = JobSettings {
            namespace: &self.config.namespace,
            image: &self.config.image,
            run,
            process,
            lifetime: lifetime(timeout, extra_lifetime, nodes.len(), concurrency),
        };
        list(&settings, nodes.iter().copied())
    }

    /// The target of a node in the agent's pod, `None` if a Job is created for it, or why no pod
    /// can read it.
    fn agent_target(
        &self,
        node: &KubernetesNode,
        agents: &Result<Agents, Diagnosis>,
    ) -> Result<Option<KubectlTarget>, Diagnosis> {
        if node.is_fargate() {
            return Err(Diagnosis::new(
                GapReason::NotSupported,
                "it runs on Fargate, whose host belongs to AWS",
                "no transport reaches it",
            ));
        }
        if node.is_windows {
            return Err(Diagnosis::new(
                GapReason::NotSupported,
                "it runs Windows, whose sockets are not read",
                CAPTURE_ELSEWHERE,
            ));
        }
        match agents.as_ref().map(|agents| agents.get(&node.name)) {
            Ok(Some(pod)) => {
                // The sender may end: the placement does not change.
                let (_, placement) = watch::channel(Placement::Running(pod.as_str().into()));
                Ok(Some(self.target(AGENT_NAMESPACE, AGENT, PodKind::Agent, placement)))
            }
            _ if self.config.pods.creates_jobs() => Ok(None),
            Ok(None) => Err(without_agent()),
            Err(why) => Err(why.clone()),
        }
    }

    fn target(
        &self,
        namespace: &str,
        container: &str,
        kind: PodKind,
        placement: watch::Receiver<Placement>,
    ) -> KubectlTarget {
        let args = Arc::clone(&self.args);
        KubectlTarget { args, namespace: namespace.into(), container: container.into(), kind, placement }
    }

    /// The agent's pods, if the host's programs run in them: all have the same version.
    async fn usable_agents(&self) -> Result<Agents, Diagnosis> {
        let agents = self.agents.clone()?;
        let Some(pod) = agents.values().next() else { return Ok(agents) };
        let mut args = self.args.to_vec();
        args.extend(["exec", "-n", AGENT_NAMESPACE, pod, "-c", AGENT, "--"].map(Into::into));
        args.extend(CHROOT.map(Into::into));
        args.push("true".into());
        match run(args, &[], self.config.timeout).await {
            Ok(_) => Ok(agents),
            Err(failure) => Err(of_agent(failure, &format!("{AGENT_NAMESPACE}/{pod}"))),
        }
    }

    /// Removes the Jobs of this user's runs on this machine that ended without removing them.
    /// A failure is ignored: they remove themselves.
    async fn remove_left_over(&self) {
        if !self.config.pods.creates_jobs() {
            return;
        }
        let namespace = self.config.namespace.as_str();
        let selector = format!("{}={}", LABEL.0, LABEL.1);
        let get = ["get", "jobs", "-n", namespace, "-l", &selector, "-o", "json"];
        let Ok(json) = run(request(&self.args, &self.config, &get), &[], self.config.timeout).await else {
            return;
        };
        let jobs = parse::<List<Object>>(&json, "jobs").map(|list| list.items).unwrap_or_default();
        let is_left = |job: &&Object| job.metadata.annotation(PROCESS_ANNOTATION).is_some_and(has_ended);
        let left: Vec<_> = jobs.iter().filter(is_left).map(|job| job.metadata.name.as_str()).collect();
        if left.is_empty() {
            return;
        }
        let delete = ["delete", "jobs", "-n", namespace, "--ignore-not-found", "--wait=false"];
        let delete = [&delete[..], &left].concat();
        let _ = run(request(&self.args, &self.config, &delete), &[], self.config.timeout).await;
    }
}

/// The node of an instance, or else the one with this name, unless that is another instance.
fn find_node<'n>(
    nodes: &'n [KubernetesNode],
    name: &NodeName,
    instance: Option<&str>,
) -> Option<&'n KubernetesNode> {
    // Without the list of EC2, the name may be the id.
    let id = instance.unwrap_or(name.as_str());
    let of_instance = nodes.iter().find(|node| node.instance_id() == Some(id));
    let is_other = |node: &KubernetesNode| instance.is_some() && node.instance_id().is_some();
    of_instance.or_else(|| nodes.iter().find(|node| node.name == name.as_str() && !is_other(node)))
}

fn not_listed() -> Diagnosis {
    Diagnosis::new(
        GapReason::NotFound,
        "kubectl get nodes does not list it: it has not joined the cluster, or has left it",
        "check its kubelet, and that its role has an access entry of the cluster",
    )
}

/// The arguments that select the cluster.
async fn select(config: &KubectlConfig, cluster: &Cluster) -> Result<Vec<OsString>, Refusal> {
    let mut args = config.args();
    let view = args.iter().cloned().chain(["config", "view", "--raw", "-o", "json"].map(Into::into));
    let json = run(view.collect(), &[], CONFIG_TIMEOUT).await;
    let json = json.map_err(|failure| Refusal::Gap(diagnose(failure, "kubectl config view")))?;
    let kubeconfig: Kubeconfig = parse(&json, "the kubeconfig")
        .map_err(|failure| Refusal::Gap(diagnose(failure, "kubectl config view")))?;
    let service_account = std::fs::read(SERVICE_ACCOUNT_CA).ok();
    let named = config.context.as_deref();
    match choose(&kubeconfig, named, cluster, service_account.as_deref()) {
        Ok(Choice::Context(name)) => args.extend(["--context".into(), name.into()]),
        Ok(Choice::ServiceAccount) => {}
        Err(reason) => return Err(no_context(&reason, named, cluster)),
    }
    Ok(args)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(name: &str, id: Option<&str>) -> KubernetesNode {
        KubernetesNode {
            name: name.to_owned(),
            addresses: Vec::new(),
            provider_id: id.map(|id| format!("aws:///eu-west-1a/{id}")),
            compute_type: None,
            os_image: None,
            is_windows: false,
            pod_cidrs: Vec::new(),
        }
    }

    #[test]
    fn a_node_is_found_by_its_instance_before_its_name() {
        let nodes = [node("a", Some("i-1")), node("b", Some("i-2")), node("hybrid", None)];
        let found = |name: &str, instance| {
            let name: NodeName = name.parse().expect("a name");
            find_node(&nodes, &name, instance).map(|node| node.name.as_str())
        };
        assert_eq!(found("a", Some("i-1")), Some("a"));
        // A tag Name of one instance is the name of another's node.
        assert_eq!(found("a", Some("i-2")), Some("b"));
        assert_eq!(found("a", Some("i-3")), None, "a node of another instance");
        assert_eq!(found("a", None), Some("a"));
        assert_eq!(found("i-2", None), Some("b"));
        assert_eq!(found("hybrid", Some("i-3")), Some("hybrid"));
        assert_eq!(found("c", None), None);
    }
}
