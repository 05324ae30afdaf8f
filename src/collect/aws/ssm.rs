//! The requests to Systems Manager that run a command on nodes.
//!
//! <https://docs.aws.amazon.com/systems-manager/latest/userguide/run-command.html>

use std::collections::HashMap;
use std::time::Instant;

use aws_sdk_ssm::types::{
    CommandInvocationStatus, InstanceInformationStringFilter, PingStatus, PlatformType,
};

use super::answer::PAGES_MAX;
use super::client::Client;
use super::failure::Failure;
use super::paging::{Attempts, log};
use crate::evidence::aws::ssm::{
    CANCEL_COMMAND, DESCRIBE_INSTANCE_INFORMATION, EXECUTION_TIMEOUT, GET_COMMAND_INVOCATION,
    LIST_COMMAND_INVOCATIONS, RUN_SHELL_SCRIPT, SCRIPT, SEND_COMMAND,
};

/// The most nodes that one command names, and the most results of a page.
pub(crate) const NODES_MAX: usize = 50;
const PAGE: i32 = 50;
/// The shortest time limit of a delivery that Systems Manager accepts, in seconds.
const DELIVERY_MIN: u64 = 30;

/// The agent of a node.
#[derive(Debug, Clone)]
pub(crate) struct Agent {
    /// Whether it is connected to Systems Manager.
    pub(crate) is_online: bool,
    /// The state of its connection, as Systems Manager names it.
    pub(crate) ping: String,
    /// The operating system, such as `Amazon Linux`.
    pub(crate) platform: String,
    /// Whether it runs on Linux.
    pub(crate) is_linux: bool,
}

/// What a command runs, and where its output goes.
#[derive(Debug, Clone)]
pub(crate) struct Command {
    /// The document.
    pub(crate) document: String,
    /// How many nodes run it at a time.
    pub(crate) concurrency: usize,
    /// A bucket for the whole output, and the prefix of its keys.
    pub(crate) output: Option<(String, Option<String>)>,
}

/// The result of a command on one node.
#[derive(Debug, Clone)]
pub(crate) struct Invocation {
    /// The node.
    pub(crate) node: String,
    pub(crate) state: State,
    /// The state in more words.
    pub(crate) details: String,
    /// The beginning of its output.
    pub(crate) output: String,
    /// The beginning of its errors, where they are apart from its output.
    pub(crate) error: String,
}

/// The state of a command on one node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// It has not ended.
    Running,
    /// It ended, with any exit code.
    Ended,
    /// It did not end by itself.
    Stopped,
}

impl Client {
    /// The agents of these nodes, by the nodes' ids. A node without an agent is not in it.
    pub(crate) async fn agents(&self, nodes: &[String]) -> Result<HashMap<String, Agent>, Failure> {
        let began = Instant::now();
        let mut agents = HashMap::new();
        let mut listed = Ok(());
        for nodes in nodes.chunks(NODES_MAX) {
            listed = self.agents_of(nodes, &mut agents).await;
            if listed.is_err() {
                break;
            }
        }
        log(DESCRIBE_INSTANCE_INFORMATION, began, &listed);
        listed.map(|()| agents)
    }

    async fn agents_of(&self, nodes: &[String], agents: &mut HashMap<String, Agent>) -> Result<(), Failure> {
        let filter = InstanceInformationStringFilter::builder().key("InstanceIds");
        let filter = filter.set_values(Some(nodes.to_vec())).build();
        let filter = filter.map_err(|_| Failure::malformed("no filter can be made of the nodes' ids"))?;
        let request = self.ssm.describe_instance_information().filters(filter).max_results(PAGE);
        let mut token: Option<String> = None;
        for _ in 0..PAGES_MAX {
            let attempts = Attempts::in_region(&self.region);
            let page = request.clone().set_next_token(token.clone()).customize();
            let page = page.interceptor(attempts.clone()).send().await;
            let page = page.map_err(|error| attempts.failure(&error, self.timeout))?;
            let list = page.instance_information_list;
            let list = list.ok_or_else(|| Failure::no_list("instance_information_list"))?;
            for agent in list {
                let Some(id) = agent.instance_id else { continue };
                let ping = agent.ping_status;
                let known = Agent {
                    is_online: ping == Some(PingStatus::Online),
                    ping: ping.map(|ping| ping.as_str().to_owned()).unwrap_or_default(),
                    platform: agent.platform_name.unwrap_or_default(),
                    is_linux: agent.platform_type.is_none_or(|platform| platform == PlatformType::Linux),
                };
                agents.insert(id, known);
            }
            let next = page.next_token.filter(|next| !next.is_empty());
            if next.is_none() {
                return Ok(());
            }
            if next == token {
                break;
            }
            token = next;
        }
        Err(Failure::malformed("its pages do not end"))
    }

    /// Runs a command on at most [`NODES_MAX`] nodes. Returns its id.
    pub(crate) async fn send_command(
        &self,
        command: &Command,
        nodes: Vec<String>,
    ) -> Result<String, Failure> {
        let began = Instant::now();
        let attempts = Attempts::in_region(&self.region);
        let delivery = self.timeout.as_secs().max(DELIVERY_MIN);
        let mut request = self
            .ssm
            .send_command()
            .document_name(&command.document)
            .comment("eks-netcheck: the sockets of nodes")
            .timeout_seconds(i32::try_from(delivery).unwrap_or(i32::MAX))
            .max_concurrency(command.concurrency.clamp(1, NODES_MAX).to_string())
            // By default, the first node that fails ends the command for the rest.
            .max_errors("100%")
            .set_instance_ids(Some(nodes));
        if command.document == RUN_SHELL_SCRIPT {
            let lines = SCRIPT.lines().map(ToOwned::to_owned).collect();
            request = request.parameters("commands", lines);
            request = request.parameters("executionTimeout", vec![EXECUTION_TIMEOUT.to_owned()]);
        }
        if let Some((bucket, prefix)) = &command.output {
            request = request.output_s3_bucket_name(bucket).set_output_s3_key_prefix(prefix.clone());
        }
        let answer = request.customize().interceptor(attempts.clone()).send().await;
        let answer = answer.map_err(|error| attempts.failure(&error, self.timeout));
        log(SEND_COMMAND, began, &answer);
        let id = answer?.command.and_then(|command| command.command_id).filter(|id| !id.is_empty());
        id.ok_or_else(|| Failure::malformed("the answer names no command"))
    }

    /// The results of a command on its nodes, as far as they are known. The output of each is
    /// cut after 2,500 characters.
    pub(crate) async fn invocations(&self, command: &str) -> Result<Vec<Invocation>, Failure> {
        let began = Instant::now();
        let listed = self.all_invocations(command).await;
        log(LIST_COMMAND_INVOCATIONS, began, &listed);
        listed
    }

    async fn all_invocations(&self, command: &str) -> Result<Vec<Invocation>, Failure> {
        let request = self.ssm.list_command_invocations().command_id(command).details(true).max_results(PAGE);
        let mut invocations = Vec::new();
        let mut token: Option<String> = None;
        // A command has at most as many nodes as a page; pages may be smaller.
        for _ in 0..=NODES_MAX {
            let attempts = Attempts::in_region(&self.region);
            let page = request.clone().set_next_token(token.clone()).customize();
            let page = page.interceptor(attempts.clone()).send().await;
            let page = page.map_err(|error| attempts.failure(&error, self.timeout))?;
            let list = page.command_invocations.ok_or_else(|| Failure::no_list("command_invocations"))?;
            invocations.extend(list.into_iter().filter_map(|invocation| {
                let plugins = invocation.command_plugins.unwrap_or_default();
                Some(Invocation {
                    node: invocation.instance_id?,
                    state: state(invocation.status.as_ref(), invocation.status_details.as_deref()),
                    details: invocation.status_details.unwrap_or_default(),
                    output: plugins.into_iter().filter_map(|plugin| plugin.output).collect(),
                    error: String::new(),
                })
            }));
            let next = page.next_token.filter(|next| !next.is_empty());
            if next.is_none() {
                return Ok(invocations);
            }
            token = next;
        }
        Err(Failure::malformed("its pages do not end"))
    }

    /// The result of a command on one node. Its output is cut after 24,000 characters.
    pub(crate) async fn invocation(&self, command: &str, node: &str) -> Result<Invocation, Failure> {
        let began = Instant::now();
        let attempts = Attempts::in_region(&self.region);
        let request = self.ssm.get_command_invocation().command_id(command).instance_id(node).customize();
        let answer = request.interceptor(attempts.clone()).send().await;
        let answer = answer.map_err(|error| attempts.failure(&error, self.timeout));
        log(GET_COMMAND_INVOCATION, began, &answer);
        let answer = answer?;
        Ok(Invocation {
            node: node.to_owned(),
            state: state(answer.status.as_ref(), answer.status_details.as_deref()),
            details: answer.status_details.unwrap_or_default(),
            output: answer.standard_output_content.unwrap_or_default(),
            error: answer.standard_error_content.unwrap_or_default(),
        })
    }

    /// Cancels a command where it has not ended.
    pub(crate) async fn cancel_command(&self, command: &str) -> Result<(), Failure> {
        let began = Instant::now();
        let attempts = Attempts::in_region(&self.region);
        let request = self.ssm.cancel_command().command_id(command).customize();
        let answer = request.interceptor(attempts.clone()).send().await;
        let answer = answer.map(drop).map_err(|error| attempts.failure(&error, self.timeout));
        log(CANCEL_COMMAND, began, &answer);
        answer
    }
}

fn state(status: Option<&CommandInvocationStatus>, details: Option<&str>) -> State {
    use CommandInvocationStatus::{Cancelled, Failed, Success, TimedOut};
    match status {
        // What did not run has failed too.
        Some(Failed) if !matches!(details, None | Some("Failed")) => State::Stopped,
        Some(Success | Failed) => State::Ended,
        Some(Cancelled | TimedOut) => State::Stopped,
        Some(status) if status.as_str() == "Undeliverable" => State::Stopped,
        // Also a status that is not known: the time limit ends it.
        _ => State::Running,
    }
}
