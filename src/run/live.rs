//! From what was typed to what is asked, and from there to evidence.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::Permissions;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use futures_util::future::join_all;
use futures_util::{StreamExt, stream};
use jiff::Timestamp;
use tempfile::TempDir;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use super::judge::classify_evidence;
use super::policy::read_settings;
use crate::cli::{Ask, AuditArgs, Aws, CollectArgs, NodeAddress, Nodes, Talk, role_arn};
use crate::collect::error::{CollectError, Undescribed};
use crate::collect::fleet::{self, FleetRequest, Regions};
use crate::collect::live::{self, AwsRequest, Batch, Client, Request};
use crate::collect::next_step::next_step;
use crate::collect::nodes::{NodesRequest, nodes_left_out};
use crate::collect::progress::Progress;
use crate::collect::signals;
use crate::collect::transport::Transport;
use crate::collect::transport::ssh::{self, Ssh};
use crate::evidence::directory::EvidenceDir;
use crate::evidence::write::EvidenceWriter;
use crate::model::audit::Unjudged;
use crate::model::facts::Facts;
use crate::model::file::File;
use crate::model::gap::{Gap, GapReason};
use crate::report::text::escape;
use crate::run::exit::{EndsWith, Exit};

/// Threads that what AWS answers is parsed in.
const THREADS: usize = 2;

/// Asks, records into what does not stay, classifies that, and hands
/// each cluster's facts on. What could not be judged at all is given back.
pub(super) fn classify(args: &AuditArgs, mut each: impl FnMut(Facts)) -> Result<Vec<Unjudged>> {
    let roles = roles(args)?;
    let is_many = is_many(args);
    if is_many && !args.ask.node.is_empty() {
        bail!("--node is for one cluster; the nodes of several are those that EC2 lists");
    }
    if args.talk.verbose > 1 {
        log_to_stderr();
    }
    let usual = Aws { region: None, profile: args.fleet.profile.clone(), role_arn: None };
    let clusters = if is_many { args.ask.concurrency.into() } else { 1 };
    let template = request("", &usual, &args.ask, clusters)?;
    let fleet = FleetRequest {
        aws: template.aws.clone(),
        regions: match args.fleet.region.as_slice() {
            [] => Regions::Usual,
            regions if regions.iter().any(|region| region == "all") => Regions::All,
            regions => Regions::Named(regions.iter().cloned().collect()),
        },
        roles,
        clusters: (!args.all_clusters).then(|| {
            let names: BTreeSet<_> = args.cluster.iter().cloned().collect();
            names.into_iter().collect()
        }),
        concurrency: args.ask.concurrency.into(),
    };
    let dir = scratch()?;
    let progress = Progress::new(args.talk.quiet || args.talk.verbose > 1);
    if is_many {
        progress.say("accounts and regions");
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(THREADS).enable_all().build()?;
    let asked = runtime.block_on(async {
        tokio::select! {
            asked = all(&fleet, &template, dir.path(), &progress, &mut each) => asked,
            interrupted = interruption() => Err(interrupted),
        }
    });
    runtime.shutdown_background();
    asked
}

/// Whether several clusters may be meant.
pub(super) fn is_many(args: &AuditArgs) -> bool {
    let fleet = &args.fleet;
    args.all_clusters
        || args.cluster.len() > 1
        || fleet.region.len() > 1
        || fleet.region.iter().any(|region| region == "all")
        || fleet.role_arn.len() > 1
        || fleet.accounts.is_some()
}

/// The roles of the command line and of the file of accounts, each once.
fn roles(args: &AuditArgs) -> Result<Vec<String>> {
    let mut roles = args.fleet.role_arn.clone();
    if let Some(path) = &args.fleet.accounts {
        let text =
            read_settings(path).with_context(|| format!("cannot read the accounts {}", path.display()))?;
        for (number, line) in text.lines().enumerate() {
            let line = line.split('#').next().unwrap_or_default().trim();
            if line.is_empty() {
                continue;
            }
            let role = role_arn(line)
                .map_err(|error| anyhow!("{}:{}: {line:?}: {error}", path.display(), number + 1))?;
            roles.push(role);
        }
        if roles.is_empty() {
            bail!("{} names no role; a line holds arn:aws:iam::ACCOUNT:role/NAME", path.display());
        }
    }
    let mut seen = BTreeSet::new();
    roles.retain(|role| seen.insert(role.clone()));
    Ok(roles)
}

/// Finds clusters and asks about each.
async fn all(
    fleet: &FleetRequest,
    template: &Request,
    dir: &Path,
    progress: &Progress,
    each: &mut impl FnMut(Facts),
) -> Result<Vec<Unjudged>> {
    let (found, mut unjudged) = fleet::find(fleet).await?;
    let mut places: HashMap<_, usize> = HashMap::new();
    for cluster in found.iter().flat_map(|place| &place.clusters) {
        *places.entry(cluster.clone()).or_default() += 1;
    }
    // Half of what may be asked at a time: one batch waits while another is parsed.
    let size = fleet.concurrency.div_ceil(2).min(fleet::BATCH_MAX);
    let is_many = found.iter().map(|place| place.clusters.len()).sum::<usize>() > 1;
    let batches = found.iter().flat_map(|place| place.clusters.chunks(size).map(move |names| (place, names)));
    // EKS and EC2 have limits of their own: some are described while others are
    // looked into.
    let (described, looked_into) = (Semaphore::new(fleet.concurrency), Semaphore::new(fleet.concurrency));
    let asked = batches.map(|(place, names)| {
        let (described, looked_into) = (&described, &looked_into);
        async move {
            let seats = u32::try_from(names.len()).unwrap_or(1);
            let batch = Batch::new(place.client.clone(), names.to_vec());
            // Of one alone, nothing waits for its description that does not need it.
            if is_many {
                let _seated = described.acquire_many(seats).await;
                batch.describe_clusters().await;
            }
            let seated = looked_into.acquire_many(seats).await;
            let each = names
                .iter()
                .map(async |name| (name.clone(), Box::pin(ask(name, &batch, template, dir, progress)).await));
            let asked = join_all(each).await;
            // Others are asked about meanwhile.
            drop(seated);
            let classified = spawn_blocking(|| {
                let each = asked.into_iter().map(|(name, asked)| {
                    let facts = asked.and_then(|writer| classify_asked(writer, &name));
                    (name, facts)
                });
                each.collect::<Vec<_>>()
            });
            let subject = |name: &str| format!("cluster {name} ({})", place.name);
            let classified = classified.await?.into_iter();
            anyhow::Ok(classified.map(|(name, facts)| (subject(&name), name, facts)).collect::<Vec<_>>())
        }
    });
    let mut absent: BTreeMap<String, Vec<Unjudged>> = BTreeMap::new();
    let mut asked = std::pin::pin!(stream::iter(asked).buffered(fleet.concurrency));
    while let Some(batch) = asked.next().await {
        for (subject, cluster, facts) in batch? {
            let undescribed = match facts {
                Ok(facts) => {
                    each(facts);
                    continue;
                }
                Err(CollectError::Undescribed(undescribed)) => undescribed,
                Err(error) => return Err(error.into()),
            };
            let Undescribed { gap, is_absent, .. } = *undescribed;
            let what = Unjudged { subject, gap };
            // A name that was given is looked for everywhere.
            if is_absent && fleet.clusters.is_some() {
                absent.entry(cluster).or_default().push(what);
            } else {
                unjudged.push(what);
            }
        }
    }
    for (cluster, mut all) in absent {
        let places = places.get(&cluster).copied().unwrap_or_default();
        if all.len() == places {
            let mut one = all.swap_remove(0);
            if places > 1 {
                one.subject = format!("cluster {cluster}");
                one.gap.detail = format!("there is none in any of {places} accounts and regions");
                one.gap.hint = "names are case-sensitive; --all-clusters finds those that there are".into();
            }
            unjudged.push(one);
        }
    }
    unjudged.sort();
    Ok(unjudged)
}

/// Asks about a cluster.
async fn ask(
    cluster: &str,
    batch: &Batch,
    template: &Request,
    dir: &Path,
    progress: &Progress,
) -> Result<EvidenceWriter, CollectError> {
    let request = Request { cluster: cluster.to_owned(), ..template.clone() };
    let writer = EvidenceWriter::in_memory(dir, next_step);
    if let Some(gap) = left_out(&request) {
        writer.gap(gap);
    }
    Box::pin(live::record(&request, batch, &writer, progress)).await?;
    writer.finish(env!("CARGO_PKG_VERSION"), format!("{:.0}", Timestamp::now()))?;
    Ok(writer)
}

/// What was asked about a cluster; one's odd answer is not the others' end.
fn classify_asked(writer: EvidenceWriter, cluster: &str) -> Result<Facts, CollectError> {
    let facts =
        writer.into_evidence().map_err(Into::into).and_then(|evidence| classify_evidence(&evidence, cluster));
    facts.map_err(|error| {
        let undescribed = Undescribed {
            message: format!("{error:#}"),
            gap: Gap {
                subject: File::CLUSTER.into(),
                why: GapReason::Malformed,
                detail: format!("what was asked cannot be read: {error:#}"),
                hint: "look at it with: eks-netcheck collect --cluster NAME --out DIR".to_owned(),
            },
            is_absent: false,
        };
        undescribed.into()
    })
}

fn scratch() -> Result<TempDir> {
    tempfile::Builder::new()
        .prefix("eks-netcheck-")
        .permissions(Permissions::from_mode(0o700))
        .tempdir()
        .context("cannot make a directory for what is asked; set TMPDIR to a place that can be written to")
}

/// Asks, records, and says what is missing.
pub(super) fn collect(args: &CollectArgs) -> Result<Exit> {
    let request = request(&args.cluster, &args.aws, &args.ask, 1)?;
    let recorded = record(&request, left_out(&request), &args.out, args.talk)?;
    // What is missing is no progress, which -q is for.
    if let Some(gaps) = recorded.gaps.filter(|gaps| !(args.talk.quiet && gaps.is_empty())) {
        let mut err = std::io::BufWriter::new(anstream::stderr());
        // Standard error may be closed; the files are written.
        let _ = say_what_is_missing(&args.out, &gaps, &mut err);
    }
    recorded.ended?;
    Ok(Exit::Pass)
}

fn say_what_is_missing(dir: &Path, gaps: &[Gap], err: &mut impl Write) -> std::io::Result<()> {
    let and = if gaps.is_empty() { "nothing is missing" } else { "missing, as manifest.json says too:" };
    writeln!(err, "recorded in {}; {and}", escape(&dir.to_string_lossy()))?;
    for gap in gaps {
        writeln!(err, "  {}", escape(&gap.to_string()))?;
    }
    err.flush()
}

/// A recording that ended.
struct Recorded {
    /// How it ended; an error if it is not complete.
    ended: Result<()>,
    /// What is missing; `None` if nothing was recorded, and the directory was removed.
    gaps: Option<Vec<Gap>>,
}

/// The gap that `--nodes none` leaves.
fn left_out(request: &Request) -> Option<Gap> {
    request.nodes.is_none().then(nodes_left_out)
}

/// Records into a directory, and writes the manifest even if the recording fails.
fn record(request: &Request, left_out: Option<Gap>, dir: &Path, talk: Talk) -> Result<Recorded> {
    let writer = EvidenceWriter::create(dir)?;
    if let Some(gap) = left_out {
        writer.gap(gap);
    }
    let ended = record_with(&writer, request, talk);
    // An empty directory would have to be removed before the next run.
    let finished = match &ended {
        Err(_) if writer.is_empty() => writer.discard().map(|()| None),
        _ => writer.finish(env!("CARGO_PKG_VERSION"), format!("{:.0}", Timestamp::now())).map(Some),
    };
    match (ended, finished) {
        (ended, Ok(gaps)) => Ok(Recorded { ended, gaps }),
        // The first error is the cause.
        (Err(error), Err(_)) => Err(error),
        (Ok(()), Err(error)) => Err(error.into()),
    }
}

/// Records a cluster without its nodes into memory.
pub(super) fn describe(request: &Request, talk: Talk) -> Result<EvidenceDir> {
    // Only the captures of nodes are files.
    let writer = EvidenceWriter::in_memory(Path::new(""), next_step);
    record_with(&writer, request, talk)?;
    writer.finish(env!("CARGO_PKG_VERSION"), format!("{:.0}", Timestamp::now()))?;
    Ok(writer.into_evidence()?)
}

fn record_with(writer: &EvidenceWriter, request: &Request, talk: Talk) -> Result<()> {
    if talk.verbose > 1 {
        log_to_stderr();
    }
    let progress = Progress::new(talk.quiet || talk.verbose > 1);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let ended = runtime.block_on(async {
        tokio::select! {
            ended = async {
                let client = Client::open(&request.aws).await?;
                let batch = Batch::new(client, vec![request.cluster.clone()]);
                Box::pin(live::record(request, &batch, writer, &progress)).await
            } => ended.map_err(exit_of),
            interrupted = interruption() => Err(interrupted),
        }
    });
    // The lookup of a name that the system still works on must not delay the end.
    runtime.shutdown_background();
    drop(progress);
    ended
}

/// The error with which a collection ends the run.
fn exit_of(error: CollectError) -> anyhow::Error {
    match error {
        CollectError::Undescribed(undescribed) => {
            let exit = if undescribed.is_absent { Exit::Nothing } else { Exit::Inconclusive };
            anyhow!(EndsWith(exit, undescribed.message))
        }
        error => error.into(),
    }
}

/// Waits for a signal that ends the run.
async fn interruption() -> anyhow::Error {
    match signals::interruption().await {
        Ok(number) => anyhow!(EndsWith(Exit::Signal(number), "interrupted".to_owned())),
        Err(error) => anyhow!(error).context("cannot listen for signals"),
    }
}

/// What is to be asked of a cluster, of which so many are asked at a time.
pub(super) fn request(cluster: &str, aws: &Aws, ask: &Ask, clusters: usize) -> Result<Request> {
    let timeout = Duration::from_secs(ask.timeout.into());
    let nodes = match ask.nodes {
        Nodes::None => None,
        Nodes::Ssh => Some(nodes(ask, timeout, clusters)?),
    };
    let request = Request {
        cluster: cluster.to_owned(),
        aws: AwsRequest {
            region: aws.region.clone(),
            profile: aws.profile.clone(),
            role_arn: aws.role_arn.clone(),
            ca_bundle: std::env::var_os("AWS_CA_BUNDLE").filter(|path| !path.is_empty()).map(Into::into),
            timeout,
        },
        nodes,
        resolvers: ask.resolver.iter().map(|resolver| resolver.0).collect(),
        timeout,
    };
    if let Some(name) = request.name_taken_twice() {
        bail!(
            "--node {name}: another --node, a --resolver or this machine has that name already; give it another with --node NAME=TARGET"
        );
    }
    Ok(request)
}

fn nodes(ask: &Ask, timeout: Duration, clusters: usize) -> Result<NodesRequest> {
    if let Some(user) = &ask.ssh_user
        && (user.starts_with('-')
            || user.chars().any(|char| char.is_control() || char.is_whitespace())
            || user.is_empty())
    {
        return Err(anyhow!("--ssh-user {user:?} is no user's name"));
    }
    if let Some(option) = ask.ssh_option.iter().find(|option| option.chars().any(char::is_control)) {
        return Err(anyhow!("--ssh-option {option:?} holds control characters"));
    }
    let address = match ask.node_address {
        NodeAddress::Private => ssh::NodeAddress::Private,
        NodeAddress::Public => ssh::NodeAddress::Public,
        NodeAddress::Name => ssh::NodeAddress::Name,
        NodeAddress::Id => ssh::NodeAddress::Id,
    };
    let ssh = Ssh::new(ask.ssh_user.as_deref(), &ask.ssh_option, address, timeout);
    let transport = Transport::Ssh(ssh);
    let named = ask.node.iter().map(|node| {
        let target = node.target.as_ref().map(|target| {
            transport
                .parse_target(target)
                .map_err(|error| anyhow!("--node {}={target:?}: {error}", node.name))
        });
        Ok((node.name.clone(), target.transpose()?))
    });
    let named = named.collect::<Result<_>>()?;
    Ok(NodesRequest::new(transport, named, timeout, ask.concurrency.into(), clusters))
}

/// Our own events alone: the SDK's may hold signatures and tokens.
fn log_to_stderr() {
    let layer = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(false);
    let ours = Targets::new().with_target("eks_netcheck", tracing::Level::DEBUG);
    // Already set only if a run is nested in another, which has its own log then.
    let _ = tracing_subscriber::registry().with(layer.with_filter(ours)).try_init();
}
