//! Systems Manager: Run Command. Commands run as processes; JSON 1.1.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::process::Output;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::call::{Call, PageToken};
use super::error::ApiError;
use super::s3::S3;
use super::select::paginate;
use crate::http::Response;
use crate::listen::lock;

/// The characters that `GetCommandInvocation` returns of an output, and of errors.
const OUTPUT_MAX: usize = 24_000;
const ERROR_MAX: usize = 8_000;
/// The characters that `ListCommandInvocations` returns of an output.
const LISTED_MAX: usize = 2_500;
/// The most nodes in a call, and items in a page.
const MAX: usize = 50;

/// Runs a shell script on a node, as root.
pub type Runner = Arc<dyn Fn(&str) -> io::Result<Output> + Send + Sync>;

/// A node with an agent.
#[derive(Clone)]
pub struct Agent {
    /// `Online` or `ConnectionLost`.
    pub ping: String,
    /// The name of its operating system.
    pub platform: String,
    /// How a command for it is delivered.
    pub delivery: Delivery,
    /// The time before a command begins on it.
    pub delay: Duration,
    /// Runs scripts.
    pub runner: Runner,
}

impl Agent {
    /// An agent that is connected and runs scripts at once.
    #[must_use]
    pub fn online(runner: Runner) -> Self {
        Self {
            ping: "Online".to_owned(),
            platform: "Amazon Linux".to_owned(),
            delivery: Delivery::Runs,
            delay: Duration::ZERO,
            runner,
        }
    }
}

impl fmt::Debug for Agent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Agent")
            .field("ping", &self.ping)
            .field("delivery", &self.delivery)
            .finish_non_exhaustive()
    }
}

/// How a command is delivered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// It runs.
    Runs,
    /// It stays pending.
    Never,
    /// It ends without having run, with this status and these details.
    Ends(String, String),
}

/// How the service answers.
#[derive(Clone, Debug, Default)]
pub struct Behaviour {
    /// The text that replaces the end of an output that is cut.
    pub marker: String,
    /// The time after `SendCommand` during which the command does not exist for other calls.
    pub appears_after: Duration,
    /// How many calls of `GetCommandInvocation` return an empty output first.
    pub late_outputs: usize,
    /// An upper limit on the page size.
    pub page_size: Option<usize>,
}

/// The service.
#[derive(Debug, Default)]
pub struct Ssm {
    agents: Mutex<BTreeMap<String, Agent>>,
    documents: Mutex<BTreeMap<String, Value>>,
    behaviour: Mutex<Behaviour>,
    commands: Mutex<BTreeMap<String, Arc<Command>>>,
    late_outputs: AtomicUsize,
    refused: Mutex<Vec<String>>,
    s3: Arc<S3>,
}

/// A command, and its result on each node.
#[derive(Debug)]
struct Command {
    sent: Instant,
    invocations: Mutex<BTreeMap<String, Invocation>>,
    output: Option<OutputLocation>,
}

/// Where the nodes write their outputs.
#[derive(Debug)]
struct OutputLocation {
    s3: Arc<S3>,
    bucket: String,
    /// The beginning of the key, before the id of the node.
    prefix: String,
    /// The name of the document's step.
    step: String,
}

/// The result of a command on a node.
#[derive(Clone, Debug)]
struct Invocation {
    status: String,
    details: String,
    code: i32,
    output: String,
    error: String,
}

impl Invocation {
    fn with_status(status: &str, details: &str) -> Self {
        let (status, details) = (status.to_owned(), details.to_owned());
        Self { status, details, code: -1, output: String::new(), error: String::new() }
    }

    fn has_ended(&self) -> bool {
        !matches!(self.status.as_str(), "Pending" | "InProgress")
    }
}

impl Ssm {
    /// Adds or replaces an agent.
    pub fn set_agent(&self, node: &str, agent: Agent) {
        lock(&self.agents).insert(node.to_owned(), agent);
    }

    /// Removes all agents, documents and commands, and restores the behaviour.
    pub fn reset(&self) {
        lock(&self.agents).clear();
        lock(&self.documents).clear();
        lock(&self.commands).clear();
        lock(&self.refused).clear();
        self.s3.reset();
        self.set_behaviour(Behaviour::default());
    }

    /// The buckets to which nodes write.
    pub(super) fn s3(&self) -> &S3 {
        &self.s3
    }

    /// Creates or replaces a command document.
    ///
    /// # Panics
    ///
    /// If it is not JSON.
    pub fn create_document(&self, name: &str, content: &str) {
        let content = serde_json::from_str(content).expect("a document is JSON");
        lock(&self.documents).insert(name.to_owned(), content);
    }

    /// Refuses commands that name this node.
    pub fn refuse(&self, node: &str) {
        lock(&self.refused).push(node.to_owned());
    }

    /// Sets how the service answers.
    pub fn set_behaviour(&self, behaviour: Behaviour) {
        self.late_outputs.store(behaviour.late_outputs, Ordering::SeqCst);
        *lock(&self.behaviour) = behaviour;
    }

    /// The statuses of all invocations of all commands.
    #[must_use]
    pub fn statuses(&self) -> Vec<String> {
        let commands = lock(&self.commands);
        let all = commands.values().flat_map(|command| {
            lock(&command.invocations).values().map(|one| one.status.clone()).collect::<Vec<_>>()
        });
        all.collect()
    }

    /// Responds to a call.
    pub(super) fn respond(&self, call: &Call) -> Result<Response, ApiError> {
        let body = match call.operation.as_str() {
            "DescribeInstanceInformation" => self.describe(call)?,
            "SendCommand" => self.send(call)?,
            "ListCommandInvocations" => self.list(call)?,
            "GetCommandInvocation" => self.get(call)?,
            "CancelCommand" => self.cancel(call)?,
            other => {
                return Err(ApiError::new(400, "UnknownOperationException", format!("no operation {other}")));
            }
        };
        let body = body.to_string();
        Ok(Response { status: 200, content_type: "application/x-amz-json-1.1", headers: Vec::new(), body })
    }

    fn page<'a, T>(&self, call: &Call, items: &'a [T]) -> Result<(&'a [T], Option<String>), ApiError> {
        let size =
            parameter(call, "MaxResults").as_u64().map_or(MAX, |size| usize::try_from(size).unwrap_or(0));
        if !(1..=MAX).contains(&size) {
            let message = "Value at 'maxResults' failed to satisfy constraint: between 1 and 50";
            return Err(ApiError::new(400, "ValidationException", message));
        }
        let size = size.min(lock(&self.behaviour).page_size.unwrap_or(MAX));
        let token = match call.parameter("NextToken").map(PageToken::parse) {
            Some(None) => {
                return Err(ApiError::new(400, "InvalidNextToken", "The specified token isn't valid."));
            }
            token => token.flatten(),
        };
        let (items, next) = paginate(items, size, token);
        Ok((items, next.map(PageToken::write)))
    }

    fn describe(&self, call: &Call) -> Result<Value, ApiError> {
        let filters = parameter(call, "Filters");
        let wanted = filters[0]["Values"].as_array().cloned();
        if wanted.as_ref().is_some_and(|values| filters[0]["Key"] != "InstanceIds" || values.len() > 100) {
            return Err(ApiError::new(
                400,
                "InvalidInstanceInformationFilterValue",
                "The filter isn't valid.",
            ));
        }
        let agents = lock(&self.agents).clone();
        let agents: Vec<_> = agents
            .into_iter()
            .filter(|(node, _)| wanted.as_ref().is_none_or(|wanted| wanted.contains(&json!(node))))
            .collect();
        let (agents, next) = self.page(call, &agents)?;
        let list: Vec<_> = agents
            .iter()
            .map(|(node, agent)| {
                let kind = if node.starts_with("mi-") { "ManagedInstance" } else { "EC2Instance" };
                let platform = if agent.platform.starts_with("Windows") { "Windows" } else { "Linux" };
                json!({
                    "InstanceId": node, "PingStatus": agent.ping, "PlatformType": platform,
                    "PlatformName": agent.platform, "ResourceType": kind, "AgentVersion": "3.3.1142.0",
                    "LastPingDateTime": 1_764_000_000.5,
                })
            })
            .collect();
        Ok(json!({ "InstanceInformationList": list, "NextToken": next }))
    }

    fn send(&self, call: &Call) -> Result<Value, ApiError> {
        let invalid = |code: &str, message: &str| ApiError::new(400, code, message);
        let name = call.parameter("DocumentName").unwrap_or_default();
        let script = self.script(name, &parameter(call, "Parameters"))?;
        let nodes = parameter(call, "InstanceIds");
        let nodes: Vec<_> = nodes.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        if nodes.is_empty() || nodes.len() > MAX {
            return Err(invalid("ValidationException", "Member must have length between 1 and 50"));
        }
        if !parameter(call, "TimeoutSeconds").as_u64().is_none_or(|time| (30..=2_592_000).contains(&time)) {
            return Err(invalid(
                "ValidationException",
                "Value at 'timeoutSeconds' failed to satisfy constraint",
            ));
        }
        let agents = lock(&self.agents).clone();
        let mut known: Vec<(String, Agent)> = Vec::new();
        for node in nodes {
            let is_new = known.iter().all(|(other, _)| other != node);
            let is_refused = lock(&self.refused).iter().any(|refused| refused == node);
            match agents.get(node).filter(|_| is_new && !is_refused) {
                Some(agent) => known.push((node.to_owned(), agent.clone())),
                None => {
                    return Err(invalid(
                        "InvalidInstanceId",
                        &format!("Instances [[{node}]] not in a valid state"),
                    ));
                }
            }
        }
        let number = |name: &str| call.parameter(name).unwrap_or_default().to_owned();
        let concurrency = number("MaxConcurrency").parse().unwrap_or(MAX);
        let stops_at_error = number("MaxErrors") != "100%";
        let pending =
            known.iter().map(|(node, _)| (node.clone(), Invocation::with_status("Pending", "Pending")));
        let invocations = Mutex::new(pending.collect());
        let (id, command) = {
            let mut commands = lock(&self.commands);
            let id = format!("00000000-0000-4000-8000-{:012}", commands.len());
            let output = self.output_location(call, &id);
            let command = Arc::new(Command { sent: Instant::now(), invocations, output });
            commands.insert(id.clone(), Arc::clone(&command));
            (id, command)
        };
        let queue = Arc::new(Mutex::new(known));
        for _ in 0..concurrency {
            let (queue, command, script) = (Arc::clone(&queue), Arc::clone(&command), script.clone());
            thread::spawn(move || {
                loop {
                    let next = lock(&queue).pop();
                    let Some((node, agent)) = next else { return };
                    command.run(&node, &agent, &script, stops_at_error);
                }
            });
        }
        Ok(
            json!({ "Command": { "CommandId": id, "DocumentName": name, "Status": "Pending", "StatusDetails": "Pending" } }),
        )
    }

    /// Where the nodes write the outputs of a command.
    fn output_location(&self, call: &Call, id: &str) -> Option<OutputLocation> {
        let bucket = call.parameter("OutputS3BucketName")?.to_owned();
        let prefix =
            call.parameter("OutputS3KeyPrefix").map(|prefix| format!("{prefix}/")).unwrap_or_default();
        let name = call.parameter("DocumentName").unwrap_or_default();
        let step = lock(&self.documents)
            .get(name)
            .and_then(|document| document["mainSteps"][0]["name"].as_str().map(ToOwned::to_owned));
        // The document of AWS is of an older schema, without names of steps.
        let step = step.unwrap_or_else(|| "0.awsrunShellScript".to_owned());
        Some(OutputLocation { s3: Arc::clone(&self.s3), bucket, prefix: format!("{prefix}{id}"), step })
    }

    /// The script of a document.
    fn script(&self, name: &str, parameters: &Value) -> Result<String, ApiError> {
        let invalid = |code: &str, message: &str| Err(ApiError::new(400, code, message));
        let lines = match lock(&self.documents).get(name) {
            Some(_) if !parameters.is_null() => {
                return invalid("InvalidParameters", "The document has no parameters");
            }
            Some(document) if document["schemaVersion"] == "2.2" => {
                document["mainSteps"][0]["inputs"]["runCommand"].clone()
            }
            None if name == "AWS-RunShellScript" => parameters["commands"].clone(),
            _ => return invalid("InvalidDocument", &format!("document with name {name} does not exist.")),
        };
        let lines = lines.as_array().into_iter().flatten().filter_map(Value::as_str);
        Ok(lines.flat_map(|line| [line, "\n"]).collect())
    }

    fn command(&self, call: &Call) -> Option<Arc<Command>> {
        let commands = lock(&self.commands);
        let command = commands.get(call.parameter("CommandId").unwrap_or_default())?;
        let has_appeared = command.sent.elapsed() >= lock(&self.behaviour).appears_after;
        has_appeared.then(|| Arc::clone(command))
    }

    fn list(&self, call: &Call) -> Result<Value, ApiError> {
        let command = self.command(call);
        let all = command.map(|command| lock(&command.invocations).clone()).unwrap_or_default();
        let all: Vec<_> = all.into_iter().collect();
        let (invocations, next) = self.page(call, &all)?;
        let list: Vec<_> = invocations
            .iter()
            .map(|(node, one)| {
                let mut output = one.output.clone();
                if !one.error.is_empty() {
                    output.extend(["\n----------ERROR-------\n", &one.error]);
                }
                let plugin = json!({
                    "Name": "eksNetcheck", "Status": one.status, "StatusDetails": one.details,
                    "ResponseCode": one.code, "Output": self.cut(&output, LISTED_MAX),
                });
                let plugins = if one.status == "Pending" { json!([]) } else { json!([plugin]) };
                json!({
                    "CommandId": call.parameter("CommandId"), "InstanceId": node, "Status": one.status,
                    "StatusDetails": one.details, "CommandPlugins": plugins,
                })
            })
            .collect();
        Ok(json!({ "CommandInvocations": list, "NextToken": next }))
    }

    fn get(&self, call: &Call) -> Result<Value, ApiError> {
        let node = call.parameter("InstanceId").unwrap_or_default();
        let known = self.command(call).and_then(|command| lock(&command.invocations).get(node).cloned());
        let Some(one) = known else {
            return Err(ApiError::new(400, "InvocationDoesNotExist", ""));
        };
        let is_late = self
            .late_outputs
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1))
            .is_ok();
        let output = if is_late { String::new() } else { self.cut(&one.output, OUTPUT_MAX) };
        Ok(json!({
            "CommandId": call.parameter("CommandId"), "InstanceId": node, "Status": one.status,
            "StatusDetails": one.details, "ResponseCode": one.code, "StandardOutputContent": output,
            "StandardErrorContent": self.cut(&one.error, ERROR_MAX), "StandardOutputUrl": "",
        }))
    }

    fn cancel(&self, call: &Call) -> Result<Value, ApiError> {
        let Some(command) = self.command(call) else {
            return Err(ApiError::new(400, "InvalidCommandId", "The specified command ID isn't valid."));
        };
        for one in lock(&command.invocations).values_mut().filter(|one| !one.has_ended()) {
            *one = Invocation::with_status("Cancelled", "Cancelled");
        }
        Ok(json!({}))
    }

    fn cut(&self, text: &str, max: usize) -> String {
        if text.chars().count() <= max {
            return text.to_owned();
        }
        let marker = lock(&self.behaviour).marker.clone();
        text.chars().take(max - marker.chars().count()).collect::<String>() + &marker
    }
}

impl Command {
    fn run(&self, node: &str, agent: &Agent, script: &str, stops_at_error: bool) {
        let set = |invocation: Invocation| {
            if let Some(one) = lock(&self.invocations).get_mut(node).filter(|one| !one.has_ended()) {
                *one = invocation;
            }
        };
        let has_failed = || lock(&self.invocations).values().any(|one| one.status == "Failed");
        if stops_at_error && has_failed() {
            return set(Invocation::with_status("Failed", "Terminated"));
        }
        match &agent.delivery {
            Delivery::Never => return,
            Delivery::Ends(status, details) => {
                thread::sleep(agent.delay);
                return set(Invocation::with_status(status, details));
            }
            Delivery::Runs => {}
        }
        thread::sleep(agent.delay);
        set(Invocation::with_status("InProgress", "InProgress"));
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        match (agent.runner)(script) {
            Ok(output) => {
                if let Some(OutputLocation { s3, bucket, prefix, step }) = &self.output {
                    s3.put(
                        bucket,
                        &format!("{prefix}/{node}/awsrunShellScript/{step}/stdout"),
                        text(&output.stdout),
                    );
                }
                let status = if output.status.success() { "Success" } else { "Failed" };
                set(Invocation {
                    code: output.status.code().unwrap_or(-1),
                    output: text(&output.stdout),
                    error: text(&output.stderr),
                    ..Invocation::with_status(status, status)
                });
            }
            Err(error) => {
                set(Invocation { error: error.to_string(), ..Invocation::with_status("Failed", "Failed") });
            }
        }
    }
}

/// The value of a parameter; null if there is none.
fn parameter(call: &Call, name: &str) -> Value {
    call.parameter(name).and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()
}
