//! Run Command of Systems Manager: one command reads many nodes, and their outputs are asked
//! for until all have ended.

mod failure;
mod output;
mod running;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::{join, join_all};
use futures_util::stream;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout_at};

use self::failure::{
    OTHER_TRANSPORT, START_AGENT, answer, create, of_another_cluster, stopped, without_agent,
};
use self::output::{BEGIN, Capture, Output, parse};
use self::running::Running;
use super::diagnosis::{Diagnosis, excerpt};
use crate::collect::aws::cause::Cause;
use crate::collect::aws::client::Client;
use crate::collect::aws::failure::Failure;
use crate::collect::aws::s3::Object;
use crate::collect::aws::ssm::{Command, Invocation, NODES_MAX, State};
use crate::evidence::aws::ssm::{
    DESCRIBE_INSTANCE_INFORMATION, GET_COMMAND_INVOCATION, GET_OBJECT, LIST_COMMAND_INVOCATIONS,
    SEND_COMMAND, output_path,
};
use crate::model::gap::{Gap, GapReason};
use crate::model::name::NodeName;
use crate::model::net::Instance;
use crate::model::shell::{saved, shell_word};

/// The time before the results of a command are first asked for, and between two times.
const PAUSE: Duration = Duration::from_millis(250);
const PAUSE_MAX: Duration = Duration::from_secs(3);
/// How often the output of a command that ended is asked for: it may be there only later.
const OUTPUTS_MAX: u32 = 4;
/// How many outputs are asked for at a time.
const OUTPUTS: usize = 8;

const TOO_LONG: &str =
    "its sockets do not fit into the 24,000 characters that Systems Manager keeps of an output";

/// Run Command, as the user configured it.
#[derive(Debug, Clone)]
pub struct Ssm {
    command: Arc<Command>,
    running: Arc<Running>,
}

/// A node to read.
#[derive(Debug, Clone)]
pub(crate) struct SsmNode {
    /// Its number among all.
    pub(crate) number: usize,
    pub(crate) name: NodeName,
    /// Its id: of an instance, `i-...`, or of a node outside of EC2, `mi-...`.
    pub(crate) id: String,
    /// Whether EC2 lists it as an instance of the cluster. If not, its kubelet must connect to
    /// the cluster's endpoint.
    pub(crate) is_listed: bool,
}

/// What was read of a node.
#[derive(Debug)]
pub(crate) struct SsmRead {
    pub(crate) number: usize,
    pub(crate) name: NodeName,
    /// Its sockets, filtered on the node.
    pub(crate) capture: Option<Vec<u8>>,
    /// The answer of its resolver.
    pub(crate) answer: Option<Result<Vec<u8>, Gap>>,
    pub(crate) gap: Option<Gap>,
}

/// The reading of nodes of one cluster.
struct Reading<'a> {
    ssm: &'a Ssm,
    client: &'a Client,
    timeout: Duration,
    /// The host name of the cluster's endpoint, once it is known.
    host: watch::Receiver<Option<String>>,
    sender: UnboundedSender<SsmRead>,
}

/// A node whose output was cut, and is whole in a bucket.
struct InBucket {
    node: SsmNode,
    command: String,
    /// Until when the object may appear.
    until: Instant,
}

impl Ssm {
    /// Run Command with a document, on `concurrency` nodes at a time. `output` is a bucket for
    /// the whole outputs, and the prefix of their keys.
    #[must_use]
    pub fn new(document: &str, output: Option<(String, Option<String>)>, concurrency: usize) -> Self {
        let command = Command { document: document.to_owned(), concurrency, output };
        Self { command: Arc::new(command), running: Arc::default() }
    }

    /// The id of a node in Systems Manager, or why it has none; `instance` is the one that EC2
    /// lists under its name.
    pub(crate) fn id(name: &NodeName, instance: Option<&Instance>) -> Result<String, Diagnosis> {
        match instance {
            Some(instance) if instance.auto_mode => Err(Diagnosis::new(
                GapReason::NotSupported,
                "EKS Auto Mode runs it, and its nodes have no agent of Systems Manager",
                OTHER_TRANSPORT,
            )),
            Some(instance) => Ok(instance.id.clone()),
            None if is_id(name.as_str()) => Ok(name.to_string()),
            None => Err(Diagnosis::new(
                GapReason::NotFound,
                "EC2 lists no instance of this name, so its id in Systems Manager is not known",
                "name it by its id: --node i-... or, outside of EC2, --node mi-...",
            )),
        }
    }

    /// Reads nodes, and sends what was read of each, once.
    pub(crate) async fn read(
        &self,
        client: &Client,
        nodes: Vec<SsmNode>,
        timeout: Duration,
        host: watch::Receiver<Option<String>>,
        sender: UnboundedSender<SsmRead>,
    ) {
        let reading = Reading { ssm: self, client, timeout, host, sender };
        let nodes = reading.with_agent(nodes).await;
        let groups = nodes.chunks(NODES_MAX).map(|group| reading.read_group(group.to_vec()));
        join_all(groups).await;
    }

    /// Cancels the commands that are running, because the run ends.
    pub(crate) async fn cancel(&self) {
        self.running.cancel_all().await;
    }
}

/// Whether a name is an id of Systems Manager.
fn is_id(name: &str) -> bool {
    let rest = name.strip_prefix("mi-").or_else(|| name.strip_prefix("i-"));
    rest.is_some_and(|rest| rest.len() >= 8 && rest.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

impl Reading<'_> {
    /// The nodes whose agent is connected. Of the others, sends the reason.
    async fn with_agent(&self, nodes: Vec<SsmNode>) -> Vec<SsmNode> {
        let ids: Vec<_> = nodes.iter().map(|node| node.id.clone()).collect();
        let agents = match self.client.agents(&ids).await {
            Ok(agents) => agents,
            Err(failure) => {
                self.all_failed(nodes, &failure, DESCRIBE_INSTANCE_INFORMATION);
                return Vec::new();
            }
        };
        let mut online: Vec<SsmNode> = Vec::new();
        for node in nodes {
            if let Some(other) = online.iter().find(|other| other.id == node.id) {
                let detail = format!("{} has the same id {}", other.name, node.id);
                self.failed(&node, Diagnosis::new(GapReason::NotSupported, detail, "name it once"));
                continue;
            }
            match without_agent(agents.get(&node.id)) {
                None => online.push(node),
                Some(diagnosis) => self.failed(&node, diagnosis),
            }
        }
        online
    }

    /// Reads at most [`NODES_MAX`] nodes by one command, or by several if Systems Manager
    /// refuses one of the nodes.
    async fn read_group(&self, nodes: Vec<SsmNode>) {
        let mut groups = vec![nodes];
        let mut sent = Vec::new();
        while let Some(mut group) = groups.pop() {
            let ids = group.iter().map(|node| node.id.clone()).collect();
            let command = self.ssm.running.send(self.client, &self.ssm.command, ids).await;
            match command {
                Ok(command) => sent.push((command, group)),
                Err(failure) if failure.cause == Cause::InvalidInstance && group.len() > 1 => {
                    let half = group.split_off(group.len() / 2);
                    groups.extend([group, half]);
                }
                Err(failure) => self.all_failed(group, &failure, SEND_COMMAND),
            }
        }
        let (in_bucket, mut objects) = unbounded_channel();
        let results = async move {
            let waiting = sent.into_iter().map(|(command, nodes)| self.wait(command, nodes, &in_bucket));
            join_all(waiting).await;
        };
        // The results of other nodes do not wait for objects.
        let objects = stream::poll_fn(|context| objects.poll_recv(context));
        let objects = objects.map(|cut| self.read_object(cut)).buffer_unordered(NODES_MAX);
        join(results, objects.collect::<()>()).await;
    }

    /// Waits for the results of a command. Nodes whose outputs are to be read from a bucket
    /// are passed on.
    async fn wait(&self, command: String, nodes: Vec<SsmNode>, in_bucket: &UnboundedSender<InBucket>) {
        let turns = nodes.len().div_ceil(self.ssm.command.concurrency.clamp(1, NODES_MAX));
        let limit = self.timeout * u32::try_from(turns).unwrap_or(u32::MAX);
        let until = Instant::now() + limit;
        let mut pending: BTreeMap<String, SsmNode> =
            nodes.into_iter().map(|node| (node.id.clone(), node)).collect();
        let mut states: HashMap<String, String> = HashMap::new();
        let mut last_failure = None;
        let mut pause = PAUSE;
        while !pending.is_empty() && Instant::now() < until {
            sleep(pause.min(until.saturating_duration_since(Instant::now()))).await;
            pause = (pause * 3 / 2).min(PAUSE_MAX);
            match timeout_at(until, self.client.invocations(&command)).await {
                Err(_) => break,
                Ok(Ok(invocations)) => {
                    last_failure = None;
                    let mut ended = Vec::new();
                    for invocation in invocations {
                        if invocation.state == State::Running {
                            states.insert(invocation.node, invocation.details);
                        } else if let Some(node) = pending.remove(&invocation.node) {
                            ended.push((node, invocation));
                        }
                    }
                    let ended = ended.into_iter();
                    let ended = ended
                        .map(|(node, invocation)| self.ended(&command, node, invocation, until, in_bucket));
                    stream::iter(ended).buffer_unordered(OUTPUTS).collect::<()>().await;
                }
                Ok(Err(failure)) if is_final(&failure) => {
                    let nodes = std::mem::take(&mut pending).into_values().collect();
                    self.all_failed(nodes, &failure, LIST_COMMAND_INVOCATIONS);
                    return self.ssm.running.cancel(self.client, &command).await;
                }
                Ok(Err(failure)) => last_failure = Some(failure),
            }
        }
        if pending.is_empty() {
            return self.ssm.running.ended(&command);
        }
        if let Some(failure) = last_failure {
            self.all_failed(pending.into_values().collect(), &failure, LIST_COMMAND_INVOCATIONS);
        } else {
            for (id, node) in pending {
                let state = states.get(&id).filter(|state| !state.is_empty());
                let state = state.map_or("it has no result".to_owned(), |state| format!("it is {state}"));
                let detail = format!("the command did not end within {} s: {state}", limit.as_secs());
                let hint =
                    "pass a longer --timeout, or check the node's agent: systemctl status amazon-ssm-agent";
                self.failed(&node, Diagnosis::new(GapReason::TimedOut, detail, hint));
            }
        }
        self.ssm.running.cancel(self.client, &command).await;
    }

    /// Sends what a command that ended on a node printed, or passes the node on.
    async fn ended(
        &self,
        command: &str,
        node: SsmNode,
        invocation: Invocation,
        until: Instant,
        in_bucket: &UnboundedSender<InBucket>,
    ) {
        if invocation.state == State::Stopped {
            return self.failed(&node, stopped(&invocation.details));
        }
        let mut invocation = invocation;
        let mut output = parse(&invocation.output);
        for attempt in 1..=OUTPUTS_MAX {
            // Lists contain the beginnings of outputs, of which most are whole.
            if matches!(output, Output::Whole(_) | Output::Missing(_) | Output::OtherVersion(_)) {
                break;
            }
            if attempt > 1 {
                sleep(PAUSE * attempt).await;
            }
            match timeout_at(until, self.client.invocation(command, &node.id)).await {
                Ok(Ok(known)) => {
                    output = parse(&known.output);
                    invocation = known;
                    // One that is empty may be there later.
                    if !invocation.output.is_empty() {
                        break;
                    }
                }
                Ok(Err(failure)) if failure.cause == Cause::NoInvocationYet && attempt < OUTPUTS_MAX => {}
                Ok(Err(failure)) => {
                    return self.all_failed(vec![node], &failure, GET_COMMAND_INVOCATION);
                }
                Err(_) => break,
            }
        }
        match output {
            Output::Whole(capture) => self.whole(node, capture).await,
            Output::Cut if self.ssm.command.output.is_some() && invocation.output.contains(BEGIN) => {
                // The receiver is there as long as results are waited for.
                let _ = in_bucket.send(InBucket {
                    node,
                    command: command.to_owned(),
                    until: Instant::now() + self.timeout,
                });
            }
            other => self.failed(&node, self.not_whole(other, &invocation, command, &node)),
        }
    }

    /// Reads an output that was cut from the bucket that the node writes it to.
    async fn read_object(&self, InBucket { node, command, until }: InBucket) {
        let Command { document, output, .. } = &*self.ssm.command;
        let Some((bucket, prefix)) = output else { return };
        let prefix = prefix.as_ref().map(|prefix| format!("{prefix}/")).unwrap_or_default();
        let key = prefix + &output_path(document, &command, &node.id);
        let object = Object { bucket, key: &key };
        let copy = format!("aws s3 cp s3://{bucket}/{key} -");
        let content = match self.client.object(object, until).await {
            Ok(content) => content,
            Err(failure) => {
                let detail =
                    format!("{TOO_LONG}, and {GET_OBJECT} of s3://{bucket}/{key}: {}", failure.detail);
                let hint = format!(
                    "{}; or add the output to a directory that `eks-netcheck collect` wrote: {}",
                    failure.hint(GET_OBJECT),
                    saved(
                        &format!("{copy} | sed '/^eks-netcheck/d' | base64 -d | gunzip"),
                        &format!("DIR/nodes/{}.txt", node.name)
                    )
                );
                return self.failed(&node, Diagnosis::new(failure.why, detail, hint));
            }
        };
        let output = std::str::from_utf8(content.bytes()).map_or(Output::Cut, parse);
        drop(content);
        let problem = match output {
            Output::Whole(capture) => return self.whole(node, capture).await,
            Output::Damaged(problem) => problem,
            _ => "the document did not print it, or it is cut".to_owned(),
        };
        let detail = format!("s3://{bucket}/{key} is not the whole output: {problem}");
        self.failed(&node, Diagnosis::new(GapReason::Malformed, detail, format!("see it with: {copy}")));
    }

    /// Sends a whole capture, with the answer of the node's resolver.
    async fn whole(&self, node: SsmNode, capture: Capture) {
        let mut host = self.host.clone();
        let host = host.wait_for(Option::is_some).await.ok().and_then(|host| host.clone());
        let host = host.filter(|host| !host.is_empty());
        if !node.is_listed
            && let Some(diagnosis) = of_another_cluster(host.as_deref(), capture.server.as_deref())
        {
            return self.failed(&node, diagnosis);
        }
        let answer = host.map(|host| answer(&node.name, &host, capture.server.as_deref(), capture.answer));
        let gap = capture.is_nameless.then(|| {
            let detail = "ss named no process, so the agent does not run as root";
            Diagnosis::new(GapReason::NoProcessNames, detail, OTHER_TRANSPORT).gap(node.name.clone())
        });
        self.send(SsmRead {
            number: node.number,
            name: node.name,
            capture: Some(capture.bytes),
            answer,
            gap,
        });
    }

    /// Why an output contains no whole capture.
    fn not_whole(&self, output: Output, invocation: &Invocation, command: &str, node: &SsmNode) -> Diagnosis {
        let document = &self.ssm.command.document;
        let failed = |detail: String| {
            let line = invocation.error.lines().map(str::trim).rfind(|line| !line.is_empty());
            let line = line.map(|line| format!("; it printed {:?}", excerpt(line))).unwrap_or_default();
            let hint = format!(
                "see aws ssm get-command-invocation --command-id {command} --instance-id {}",
                node.id
            );
            Diagnosis::new(GapReason::Failed, format!("{detail}{line}"), hint)
        };
        match output {
            Output::Missing(programs) => Diagnosis::new(
                GapReason::NotSupported,
                format!("not installed on it: {}", excerpt(&programs)),
                "install them, or read it by another of --nodes",
            ),
            Output::OtherVersion(version) => Diagnosis::new(
                GapReason::NotSupported,
                format!("the document {document} is of another version: {:?}", excerpt(&version)),
                format!(
                    "update it: eks-netcheck ssm-document > eks-netcheck.json; aws ssm update-document --name {name} --document-version '$LATEST' --content file://eks-netcheck.json; then aws ssm update-document-default-version --name {name} --document-version with the number that it prints",
                    name = shell_word(document, "NAME")
                ),
            ),
            Output::Damaged(problem) => failed(problem),
            Output::Cut if !invocation.output.contains(BEGIN) => {
                let details = excerpt(&invocation.details);
                failed(format!("the document {document} did not print the sockets ({details})"))
            }
            Output::Cut | Output::Whole(_) => Diagnosis::new(
                GapReason::TooMuchOutput,
                TOO_LONG,
                "pass --ssm-output s3://BUCKET/PREFIX to keep the whole output, or read it by another of --nodes",
            ),
        }
    }

    fn all_failed(&self, nodes: Vec<SsmNode>, failure: &Failure, action: &str) {
        let document = &self.ssm.command.document;
        for node in nodes {
            let hint = match (failure.cause, failure.why) {
                (Cause::InvalidDocument, _) => {
                    format!("{}, or pass the name of another with --ssm-document", create(document))
                }
                (Cause::InvalidInstance, _) => START_AGENT.to_owned(),
                (_, GapReason::AccessDenied) => {
                    format!("allow {action}; `eks-netcheck iam-policy --nodes ssm` prints what this needs")
                }
                _ => failure.hint(action),
            };
            let detail = format!("{action}: {}", failure.detail);
            self.failed(&node, Diagnosis::new(failure.why, detail, hint));
        }
    }

    fn failed(&self, node: &SsmNode, diagnosis: Diagnosis) {
        let gap = Some(diagnosis.gap(node.name.clone()));
        self.send(SsmRead { number: node.number, name: node.name.clone(), capture: None, answer: None, gap });
    }

    fn send(&self, read: SsmRead) {
        // Fails if the run is ending.
        let _ = self.sender.send(read);
    }
}

/// Whether asking again cannot help.
fn is_final(failure: &Failure) -> bool {
    matches!(failure.why, GapReason::AccessDenied | GapReason::NoCredentials)
        || failure.cause == Cause::Configuration
}
