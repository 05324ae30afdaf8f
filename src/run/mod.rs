//! The corridor: collect, classify, judge, report. The only room that knows
//! every other.

mod diff;
pub mod exit;
#[cfg_attr(feature = "live", path = "live.rs")]
#[cfg_attr(not(feature = "live"), path = "no_live.rs")]
mod live;
mod output;
mod pipeline;
mod policy;
#[cfg_attr(not(feature = "live"), path = "no_trace.rs")]
mod trace;

use std::io::{BufWriter, Write};
use std::path::Path;

use anyhow::{Result, anyhow, bail};
use jiff::Timestamp;

use self::output::{Output, to_stdout};
use self::pipeline::Pipeline;
use crate::classify::Classifier;
use crate::cli::{AuditArgs, Cli, Command, FailOn as CliFailOn, Format};
use crate::evidence::aws::iam::iam_policy;
use crate::evidence::directory::EvidenceDir;
use crate::evidence::nodes::read_nodes;
use crate::model::audit::{Audit, Audited, PolicyUsed, Unjudged};
use crate::model::facts::Facts;
use crate::model::gap::GapReason;
use crate::model::judgment::Judgment;
use crate::model::node::Node;
use crate::policy::{FailOn, Policy};
use crate::report::{explain, github, gitlab, json, junit, markdown, ocsf, sarif, table, text::escape};
use crate::rules;
use crate::run::exit::{EndsWith, Exit};

/// Does what the command line says.
///
/// # Errors
/// If it cannot: usage, configuration, malformed evidence.
pub fn run(cli: Cli) -> Result<Exit> {
    match cli.command {
        Command::Audit(args) => audit(&args),
        Command::Collect(args) => live::collect(&args),
        Command::Trace(args) => trace::trace(&args),
        Command::Diff(args) => diff::diff(&args),
        Command::IamPolicy => {
            to_stdout(|mut out, _| json::write_pretty(&iam_policy(), &mut out))?;
            Ok(Exit::Pass)
        }
        Command::Explain { rule } => explain(rule.as_deref()),
        Command::Policy(command) => policy::run(&command),
    }
}

fn audit(args: &AuditArgs) -> Result<Exit> {
    // Opened before the work: a report that cannot be written should not cost it.
    let evidence = args.evidence.as_deref();
    let no_reports: Vec<_> = evidence.into_iter().collect();
    let files = Output::open_all(&args.write, &no_reports)?;
    let policy = policy::load(args.policy.as_deref())?;
    let anchor = policy::anchor(args.anchor.as_deref(), policy.path.as_deref())?;
    let pipeline = if args.no_ci { None } else { Pipeline::here(args) };
    let mut clusters = Vec::new();
    let mut judge = |facts: Facts| {
        if args.talk.verbose > 0 {
            list_rejected(&facts.nodes);
        }
        clusters.push(judged(facts, &policy.rules, args.fail_on.map(CliFailOn::threshold)));
    };
    let unjudged = match (evidence, args.cluster.as_slice()) {
        (Some(dir), [cluster]) => {
            judge(classify_recorded(dir, cluster)?);
            Vec::new()
        }
        (Some(_), _) => bail!("a directory of evidence is of one cluster; pass --cluster once"),
        (None, _) => live::classify(args, judge)?,
    };
    let used = policy.path.as_ref().map(|path| PolicyUsed {
        path: path.display().to_string(),
        place: policy::place(path),
        notes: policy.rules.notes(&clusters, unjudged.is_empty()),
    });
    let audit = Audit {
        clusters,
        unjudged,
        is_many: evidence.is_none() && live::is_many(args),
        rules: &rules::ALL,
        policy: used,
        anchor,
        time: Timestamp::now().as_millisecond(),
    };
    if audit.clusters.is_empty()
        && audit.unjudged.iter().all(|unjudged| unjudged.gap.why == GapReason::NotFound)
    {
        bail!(EndsWith(Exit::Nothing, nothing(&audit)));
    }
    let report = |format, look, mut out: &mut dyn Write| match format {
        Format::Table => table::write(&audit, look, &mut out),
        Format::Json => json::write(&audit, &mut out),
        Format::Sarif => sarif::write(&audit, &mut out),
        Format::Junit => junit::write(&audit, &mut out),
        Format::Markdown => markdown::write(&audit, &mut out),
        Format::Github => github::write(&audit, &mut out),
        Format::Gitlab => gitlab::write(&audit, &mut out),
        Format::Ocsf => ocsf::write(&audit, &mut out),
    };
    // What one reader cannot be told costs the others nothing.
    let mut told: Vec<_> = files.into_iter().map(|file| file.write(report)).collect();
    let alone = audit.unjudged.first().filter(|_| !audit.is_many);
    // The error says all that a table would.
    if alone.is_none() || args.format != Format::Table {
        told.push(to_stdout(|out, look| report(args.format, look, out)));
    }
    if let Some(pipeline) = pipeline {
        pipeline.tell(&audit);
    }
    let exit = Exit::from(audit.verdict());
    if let Some(Unjudged { subject, gap }) = alone {
        bail!(EndsWith(exit, format!("cannot describe the {subject}: {}; {}", gap.detail, gap.hint)));
    }
    told.into_iter().collect::<Result<()>>().map_err(|error| match exit {
        Exit::Pass => error,
        exit => error.context(EndsWith(exit, "not all reports could be written".to_owned())),
    })?;
    Ok(exit)
}

/// That there is no cluster to judge.
fn nothing(audit: &Audit) -> String {
    match audit.unjudged.as_slice() {
        [] => "there is no cluster in the accounts and regions asked; pass others with --region, --profile or --role-arn".to_owned(),
        all => {
            let all = all.iter().map(|one| format!("{}: {}; {}", one.subject, one.gap.detail, one.gap.hint));
            format!("there is no such cluster: {}", all.collect::<Vec<_>>().join("; "))
        }
    }
}

/// The facts of a recorded cluster.
///
/// # Errors
/// If the evidence cannot be read.
pub fn classify_recorded(dir: &Path, cluster: &str) -> Result<Facts> {
    classify_evidence(&EvidenceDir::open(dir)?, cluster)
}

fn classify_evidence(dir: &EvidenceDir, cluster: &str) -> Result<Facts> {
    let mut classifier = Classifier::new(dir.read(cluster)?);
    let nodes = read_nodes(dir, |node, row| {
        classifier.add(node, row.socket, row.processes.map(|process| (process.comm, process.pid())));
    })?;
    Ok(classifier.finish(nodes))
}

/// Facts, and what they come to by a policy.
fn judged(facts: Facts, policy: &Policy, fail_on: Option<FailOn>) -> Audited {
    let judgment = judge_facts(&facts, policy, fail_on);
    Audited { facts, judgment }
}

/// What all rules say of the facts, under a policy; `fail_on` goes before the
/// policy's own.
#[must_use]
pub fn judge_facts(facts: &Facts, policy: &Policy, fail_on: Option<FailOn>) -> Judgment {
    let expected = policy.expected(&facts.evidence.cluster);
    let outcomes = rules::ALL.iter().map(|rule| (*rule, (rule.check)(facts, &expected))).collect();
    policy.judge(&facts.evidence, fail_on, outcomes, facts.evidence.all_gaps())
}

fn explain(id: Option<&str>) -> Result<Exit> {
    match id {
        None => to_stdout(|mut out, look| explain::write_list(&rules::ALL, look, &mut out))?,
        Some(id) => {
            let rule = rules::ALL
                .iter()
                .find(|rule| rule.id == id)
                .ok_or_else(|| anyhow!("no rule is called {id:?}; `eks-netcheck explain` lists them"))?;
            to_stdout(|mut out, look| explain::write_rule(rule, look, &mut out))?;
        }
    }
    Ok(Exit::Pass)
}

/// Each line that was no socket, on standard error.
fn list_rejected(nodes: &[Node]) {
    let mut err = BufWriter::new(anstream::stderr());
    for node in nodes {
        for line in &node.rejected {
            // Standard error may be closed; the report matters more.
            let _ = writeln!(
                err,
                "node {}, line {}: {}: {}",
                node.name,
                line.number,
                line.reason.as_str(),
                escape(&line.text)
            );
        }
        let more = node.tally.rejected - node.rejected.len() as u64;
        if more > 0 {
            let _ = writeln!(err, "node {}: {more} more lines that are no sockets", node.name);
        }
    }
}
