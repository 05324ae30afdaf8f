//! From what was typed to what is asked, and from there to evidence.

use std::fs::Permissions;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use futures_util::future::select_all;
use jiff::Timestamp;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use super::classify_recorded;
use crate::cli::{Ask, AuditArgs, Aws, CollectArgs, NodeAddress, Nodes, Talk};
use crate::collect::evidence_dir::write::EvidenceWriter;
use crate::collect::live::{self, AwsRequest, NoCluster, NodesRequest, Request};
use crate::collect::node::ssh::Ssh;
use crate::collect::progress::Progress;
use crate::exit::{EndsWith, Exit};
use crate::model::facts::Facts;
use crate::model::verdict::Gap;
use crate::report::text::escape;

/// Asks, records into a directory that does not stay, and classifies that.
pub(super) fn classify(args: &AuditArgs) -> Result<Facts> {
    let request = request(&args.cluster, &args.aws, &args.ask)?;
    let dir = tempfile::Builder::new()
        .prefix("eks-netcheck-")
        .permissions(Permissions::from_mode(0o700))
        .tempdir()
        .context("cannot make a directory for what is asked; set TMPDIR to a place that can be written to")?;
    record(&request, left_out(&request), dir.path(), args.talk)?.ended?;
    classify_recorded(dir.path(), &args.cluster).map_err(|error| {
        error.context(EndsWith(Exit::Inconclusive, "what was asked cannot be read".to_owned()))
    })
}

/// Asks, records, and says what is missing.
pub(super) fn collect(args: &CollectArgs) -> Result<Exit> {
    let request = request(&args.cluster, &args.aws, &args.ask)?;
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
        let text = format!("{}: {}; {}", gap.what, gap.detail, gap.hint);
        writeln!(err, "  {}", escape(&text))?;
    }
    err.flush()
}

/// What a recording came to.
pub(super) struct Recorded {
    /// How it ended; an error where it did not come to its end.
    pub(super) ended: Result<()>,
    /// What is missing; `None` where nothing was recorded, and nothing is kept.
    gaps: Option<Vec<Gap>>,
}

/// What is missing because the user does not want it.
fn left_out(request: &Request) -> Option<Gap> {
    request.nodes.is_none().then(live::nodes_left_out)
}

/// Records, and writes the manifest however that ends.
pub(super) fn record(request: &Request, left_out: Option<Gap>, dir: &Path, talk: Talk) -> Result<Recorded> {
    if talk.verbose > 1 {
        log_to_stderr();
    }
    let writer = EvidenceWriter::create(dir)?;
    if let Some(gap) = left_out {
        writer.gap(gap);
    }
    let progress = Progress::new(talk.quiet || talk.verbose > 1);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let ended = runtime.block_on(async {
        tokio::select! {
            ended = live::record(request, &writer, &progress) => ended,
            interrupted = interruption() => Err(interrupted),
        }
    });
    // A look-up that the system still works on should not hold the end up.
    runtime.shutdown_background();
    drop(progress);
    let ended = ended.map_err(|error| match error.downcast::<NoCluster>() {
        Ok(NoCluster { message, is_absent }) => {
            let exit = if is_absent { Exit::Nothing } else { Exit::Inconclusive };
            anyhow!(EndsWith(exit, message))
        }
        Err(error) => error,
    });
    // A directory with nothing in it would only be in the next run's way.
    let finished = match &ended {
        Err(_) if writer.is_empty() => writer.discard().map(|()| None),
        _ => writer.finish(env!("CARGO_PKG_VERSION"), format!("{:.0}", Timestamp::now())).map(Some),
    };
    match (ended, finished) {
        (ended, Ok(gaps)) => Ok(Recorded { ended, gaps }),
        // What came first says more.
        (Err(error), Err(_)) | (Ok(()), Err(error)) => Err(error),
    }
}

/// Waits for somebody who wants the run to end.
async fn interruption() -> anyhow::Error {
    let mut signals = Vec::new();
    for kind in [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()] {
        // nohup, and shells for what runs in the background, have some ignored.
        if is_ignored(kind) {
            continue;
        }
        match signal(kind) {
            Ok(signal) => signals.push((kind, signal)),
            Err(error) => return anyhow!(error).context("cannot listen for signals"),
        }
    }
    if signals.is_empty() {
        return std::future::pending().await;
    }
    let waits = signals.iter_mut().map(|(kind, signal)| {
        Box::pin(async {
            signal.recv().await;
            *kind
        })
    });
    let (kind, ..) = select_all(waits).await;
    let number = u8::try_from(kind.as_raw_value()).unwrap_or_default();
    anyhow!(EndsWith(Exit::Signal(number), "interrupted".to_owned()))
}

/// Whether whoever started us has a signal ignored.
/// <https://man7.org/linux/man-pages/man5/proc_pid_status.5.html>
pub(super) fn is_ignored(kind: SignalKind) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or_default();
    mask & (1 << (kind.as_raw_value() - 1)) != 0
}

pub(super) fn request(cluster: &str, aws: &Aws, ask: &Ask) -> Result<Request> {
    let timeout = Duration::from_secs(ask.timeout.into());
    let nodes = match ask.nodes {
        Nodes::None => None,
        Nodes::Ssh => Some(nodes(ask, timeout)?),
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

fn nodes(ask: &Ask, timeout: Duration) -> Result<NodesRequest> {
    let named = ask.node.iter().map(|node| {
        let target = match &node.target {
            Some(target) => {
                Some(target.parse().map_err(|error| anyhow!("--node {}={target:?}: {error}", node.name))?)
            }
            None => None,
        };
        Ok((node.name.clone(), target))
    });
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
    Ok(NodesRequest {
        named: named.collect::<Result<_>>()?,
        address: match ask.node_address {
            NodeAddress::Private => live::NodeAddress::Private,
            NodeAddress::Public => live::NodeAddress::Public,
            NodeAddress::Name => live::NodeAddress::Name,
            NodeAddress::Id => live::NodeAddress::Id,
        },
        ssh: Ssh::new(ask.ssh_user.as_deref(), &ask.ssh_option, timeout),
        concurrency: ask.concurrency.into(),
    })
}

/// Our own events alone: the SDK's may hold signatures and tokens.
fn log_to_stderr() {
    let layer = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(false);
    let ours = Targets::new().with_target("eks_netcheck", tracing::Level::DEBUG);
    // Already set only if a run is nested in another, which has its own log then.
    let _ = tracing_subscriber::registry().with(layer.with_filter(ours)).try_init();
}
