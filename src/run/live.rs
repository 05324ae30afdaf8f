//! From options to requests: what a live command collects.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};

use super::exit::{Ending, Exit};
use super::files::read_settings;
use super::judge::classify_evidence;
use super::tools::tools;
use crate::cli::options::{
    ClusterOptions, Clusters, CollectionOptions, FleetOptions, NodeOptions, Regions, TransportOptions,
    Verbosity, role_arn,
};
use crate::collect::cluster::{AwsRequest, Request, Variables};
use crate::collect::clusters::collect_clusters;
use crate::collect::error::{CollectError, Undescribed};
use crate::collect::fleet::{self, FleetRequest};
use crate::collect::log::log_to_stderr;
use crate::collect::nodes::NodesRequest;
use crate::collect::probe::ProbeRequest;
use crate::collect::probe::peers::{PEER_PORT, UnexplainedPeers};
use crate::collect::reader::Reader;
use crate::collect::recording::describe;
use crate::collect::transport::Transport;
use crate::collect::transport::kubectl::KubectlConfig;
use crate::collect::transport::ssh::Ssh;
use crate::collect::transport::ssm::Ssm;
use crate::evidence::files::open_regular;
use crate::model::audit::Unjudged;
use crate::model::evidence::Evidence;
use crate::model::facts::Facts;
use crate::model::gap::GapReason;
use crate::model::seen_from::HERE;
use crate::model::socket::SocketAddress;
use crate::model::tools::Tools;
use crate::signals::under_way;

/// What is done with the evidence of a cluster: it is classified, and peers that nothing explains
/// are probed.
pub(super) const READER: Reader<Facts> =
    Reader { read: |dir, name| classify_evidence(dir, Some(name)), unexplained: unexplained_peers };

/// The peers of nodes that nothing explains, if the endpoint was probed.
fn unexplained_peers(facts: &Facts) -> Option<UnexplainedPeers> {
    let evidence = &facts.evidence;
    let probe = evidence.probe(HERE)?;
    let sockets = facts.unexplained().map(|connection| &connection.socket.peer);
    let addresses: BTreeSet<_> =
        sockets.filter(|peer| peer.is_port(PEER_PORT)).filter_map(SocketAddress::ip).collect();
    (!addresses.is_empty()).then(|| UnexplainedPeers {
        cluster: evidence.cluster.clone(),
        blocks: evidence.network.vpc.seen().map(|vpc| vpc.cidrs.clone()).unwrap_or_default(),
        addresses,
        probe: probe.clone(),
    })
}

/// Collects and classifies the evidence of all clusters, and passes each cluster's facts
/// to `each`. Returns what could not be judged.
pub(super) fn audit_clusters(
    options: &FleetOptions,
    verbosity: Verbosity,
    each: impl FnMut(Facts),
) -> Result<ControlFlow<Ending, Vec<Unjudged>>> {
    collect_each(options, verbosity, false, each)
}

/// Collects and classifies the evidence of one cluster, with network ACLs. Only the nodes that
/// the options name are read.
pub(super) fn collect_one(
    options: &ClusterOptions,
    verbosity: Verbosity,
) -> Result<ControlFlow<Ending, Facts>> {
    let regions = options.region.iter().cloned().collect::<BTreeSet<_>>();
    let fleet = FleetOptions {
        clusters: Clusters::Named([options.name.clone()].into()),
        regions: if regions.is_empty() { Regions::Configured } else { Regions::Named(regions) },
        profile: options.profile.clone(),
        roles: options.role.iter().cloned().collect(),
        accounts: None,
        bundles: Vec::new(),
        collection: options.collection.clone(),
    };
    let mut collected = None;
    let unjudged = match collect_each(&fleet, verbosity, true, |facts| collected = Some(facts))? {
        ControlFlow::Continue(unjudged) => unjudged,
        ControlFlow::Break(ending) => return Ok(ControlFlow::Break(ending)),
    };
    if let Some(facts) = collected {
        return Ok(ControlFlow::Continue(facts));
    }
    let is_absent = |unjudged: &Unjudged| unjudged.gap.why == GapReason::NotFound;
    let exit = if unjudged.iter().all(is_absent) { Exit::Nothing } else { Exit::Inconclusive };
    let all: Vec<_> = unjudged.iter().map(ToString::to_string).collect();
    Ok(ControlFlow::Break(Ending::with_message(exit, format!("cannot describe the {}", all.join("; ")))))
}

fn collect_each(
    options: &FleetOptions,
    verbosity: Verbosity,
    network_acls: bool,
    each: impl FnMut(Facts),
) -> Result<ControlFlow<Ending, Vec<Unjudged>>> {
    let _collecting = under_way("collecting evidence; no report was written");
    if verbosity == Verbosity::Requests {
        log_to_stderr();
    }
    let concurrency = options.collection.concurrency;
    let clusters = if options.is_many() { concurrency } else { 1 };
    let aws = aws_request(None, options.profile.as_deref(), None, &options.collection);
    let mut template = request("", aws.clone(), &options.collection, clusters)?;
    let roles = roles(options)?;
    template.tools = tools(options.profile.as_deref(), &roles, &options.collection);
    template.bundles.clone_from(&options.bundles);
    template.network_acls = network_acls;
    template.nodes = template.nodes.map(NodesRequest::for_audit);
    let fleet = FleetRequest {
        aws,
        regions: match &options.regions {
            Regions::Configured => fleet::Regions::Configured,
            Regions::Named(names) => fleet::Regions::Named(names.clone()),
            Regions::All => fleet::Regions::All,
        },
        roles,
        clusters: match &options.clusters {
            Clusters::All => None,
            Clusters::Named(names) => Some(names.iter().cloned().collect()),
        },
        concurrency,
    };
    let hides_progress = !verbosity.shows_progress();
    match collect_clusters(&fleet, &template, hides_progress, READER, each) {
        Ok(unjudged) => Ok(ControlFlow::Continue(unjudged)),
        Err(error) => ending(error).map(without_report).map(ControlFlow::Break),
    }
}

/// Describes a cluster, and reads what AWS answered about it.
pub(super) fn describe_cluster(
    request: &Request,
    verbosity: Verbosity,
) -> Result<ControlFlow<Ending, Evidence>> {
    let described = match describe(request, !verbosity.shows_progress()) {
        Ok(described) => described,
        Err(error) => return ending(error).map(ControlFlow::Break),
    };
    Ok(match described.read(request.cluster.as_str()) {
        Ok(evidence) => ControlFlow::Continue(evidence),
        Err(error) => {
            let message = format!("cannot read the answers of AWS: {:#}", anyhow!(error));
            ControlFlow::Break(Ending::with_message(Exit::Inconclusive, message))
        }
    })
}

/// The same with what became of the reports, if a signal interrupted the run.
fn without_report(ending: Ending) -> Ending {
    let is_interrupted = matches!(ending.exit, Exit::Signal(_));
    let message =
        ending.message.map(|text| if is_interrupted { text + "; no report was written" } else { text });
    Ending { message, ..ending }
}

/// The end of a run whose collection failed.
pub(super) fn ending(error: CollectError) -> Result<Ending> {
    match error {
        CollectError::Undescribed(undescribed) => {
            let exit = match *undescribed {
                Undescribed { is_configuration: true, .. } => Exit::Usage,
                Undescribed { is_absent: true, .. } => Exit::Nothing,
                _ => Exit::Inconclusive,
            };
            Ok(Ending::with_message(exit, undescribed.message))
        }
        CollectError::Interrupted { signal, .. } => {
            Ok(Ending::with_message(Exit::Signal(signal), error.to_string()))
        }
        error => Err(error.into()),
    }
}

/// What to collect of one cluster.
pub(super) fn cluster_request(options: &ClusterOptions) -> Result<Request> {
    let ClusterOptions { name, region, profile, role, collection } = options;
    let aws = aws_request(region.as_deref(), profile.as_deref(), role.as_deref(), collection);
    let tools = tools(profile.as_deref(), role.as_slice(), collection);
    Ok(Request { tools, ..request(name, aws, collection, 1)? })
}

fn aws_request(
    region: Option<&str>,
    profile: Option<&str>,
    role: Option<&str>,
    collection: &CollectionOptions,
) -> AwsRequest {
    let variable = |key| std::env::var(key).ok().filter(|value| !value.is_empty());
    AwsRequest {
        region: region.map(ToOwned::to_owned),
        profile: profile.map(ToOwned::to_owned),
        role_arn: role.map(ToOwned::to_owned),
        variables: Variables {
            profile: variable("AWS_PROFILE"),
            has_keys: variable("AWS_ACCESS_KEY_ID").is_some() && variable("AWS_SECRET_ACCESS_KEY").is_some(),
            container: variable("AWS_CONTAINER_CREDENTIALS_FULL_URI"),
            // An empty list of directories names none; an empty name of a file is that of no file.
            roots: ["SSL_CERT_FILE", "SSL_CERT_DIR"].into_iter().find(|name| {
                std::env::var_os(name).is_some_and(|value| *name == "SSL_CERT_FILE" || !value.is_empty())
            }),
            files: [
                "AWS_CONFIG_FILE",
                "AWS_SHARED_CREDENTIALS_FILE",
                "AWS_WEB_IDENTITY_TOKEN_FILE",
                "SSL_CERT_FILE",
            ]
            .into_iter()
            .filter_map(|name| Some((name, std::env::var_os(name)?.into())))
            .collect(),
        },
        ca_bundle: std::env::var_os("AWS_CA_BUNDLE").filter(|path| !path.is_empty()).map(Into::into),
        timeout: collection.timeout,
    }
}

/// What to collect of a cluster, while `clusters` are collected at a time.
fn request(
    cluster: &str,
    aws: AwsRequest,
    collection: &CollectionOptions,
    clusters: usize,
) -> Result<Request> {
    let nodes = collection.nodes.as_ref().map(|nodes| nodes_request(nodes, collection, clusters));
    let nodes = nodes.transpose()?;
    let request = Request {
        cluster: cluster.to_owned(),
        aws,
        nodes: if collection.probes_from_nodes { nodes.map(NodesRequest::with_probes) } else { nodes },
        bundles: Vec::new(),
        resolvers: collection.resolvers.clone(),
        timeout: collection.timeout,
        network_acls: false,
        probe: collection.probes.then(|| ProbeRequest::new(collection.timeout)),
        tools: Tools::default(),
    };
    if let Some(name) = request.duplicate_name() {
        bail!(
            "--node {name}: another --node, a --resolver or this machine has the same name; choose another with --node NAME=TARGET"
        );
    }
    Ok(request)
}

fn nodes_request(
    nodes: &NodeOptions,
    collection: &CollectionOptions,
    clusters: usize,
) -> Result<NodesRequest> {
    let CollectionOptions { timeout, concurrency, .. } = collection;
    let transport = |options: &TransportOptions| match options {
        TransportOptions::Ssh { address, user, options } => {
            Ok(Transport::Ssh(Ssh::new(user.as_deref(), options, *address, *timeout)))
        }
        TransportOptions::Ssm { document, output } => {
            Ok(Transport::Ssm(Ssm::new(document, output.clone(), *concurrency)))
        }
        TransportOptions::Kubectl { pods, context, kubeconfig, namespace, image } => {
            if let Some(path) = kubeconfig {
                // kubectl would wait for the other end of a pipe, once for each of its runs.
                let opened = open_regular(path).map_err(anyhow::Error::from);
                opened
                    .and_then(|file| file.context("it is not a regular file"))
                    .with_context(|| format!("cannot read the kubeconfig {}", path.display()))?;
            }
            Ok(Transport::Kubectl(KubectlConfig {
                pods: *pods,
                context: context.clone(),
                kubeconfig: kubeconfig.clone(),
                namespace: namespace.clone(),
                image: image.clone(),
                timeout: *timeout,
                extra_lifetime: Duration::ZERO,
                concurrency: *concurrency,
            }))
        }
    };
    let transports = nodes.transports.iter().map(transport).collect::<Result<Vec<_>>>()?;
    let named = nodes.named.iter().map(|(name, target)| {
        let target = target.as_ref().map(|target| {
            let parsed = transports.iter().find_map(|transport| transport.parse_target(target));
            let parsed = parsed.ok_or_else(|| {
                anyhow!("--node {name}={target:?}: only ssh has targets; add it to --nodes")
            })?;
            parsed.map_err(|error| anyhow!("--node {name}={target:?}: {error}"))
        });
        Ok((name.clone(), target.transpose()?))
    });
    let named = named.collect::<Result<_>>()?;
    Ok(NodesRequest::new(transports, named, *timeout, *concurrency, clusters))
}

/// The roles of the command line and of the file of accounts, each once.
fn roles(options: &FleetOptions) -> Result<Vec<String>> {
    let mut roles = options.roles.clone();
    if let Some(path) = &options.accounts {
        let text =
            read_settings(path).with_context(|| format!("cannot read the accounts {}", path.display()))?;
        let before = roles.len();
        for (number, line) in text.lines().enumerate() {
            let line = line.split('#').next().unwrap_or_default().trim();
            if line.is_empty() {
                continue;
            }
            let role = role_arn(line)
                .map_err(|error| anyhow!("{}:{}: {line:?}: {error}", path.display(), number + 1))?;
            roles.push(role);
        }
        if roles.len() == before && before == 0 {
            bail!("{} names no role; write arn:aws:iam::ACCOUNT:role/NAME on a line", path.display());
        }
    }
    let mut seen = BTreeSet::new();
    roles.retain(|role| seen.insert(role.clone()));
    Ok(roles)
}
