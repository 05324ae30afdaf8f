//! The arguments of `audit`.

use std::path::PathBuf;

use clap::builder::NonEmptyStringValueParser;
use clap::{ArgGroup, Args};

use super::after;
use super::collection::CollectionArgs;
use super::fleet::FleetArgs;
use super::verbosity::VerbosityArgs;
use crate::cli::options::{AuditOptions, Clusters, JudgmentOptions, Source, WriteTo};
use crate::cli::rule_ids::RuleId;
use crate::cli::values::{FailOnArg, cluster_name, format_of, write_to};
use crate::model::rule::Rule;
use crate::model::selection::Selection;
use crate::report;
use crate::report::format::{AuditFormat, AuditWrite};

#[derive(Debug, Args)]
#[command(group(ArgGroup::new("which").args(["cluster", "all_clusters", "evidence"]).required(true).multiple(true)))]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub(super) struct AuditArgs {
    /// The cluster's name, case-sensitive; may be repeated, and left out with --evidence
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new(), help_heading = after::WHAT)]
    pub(super) cluster: Vec<String>,
    /// Audit all clusters
    #[arg(long, conflicts_with = "cluster", help_heading = after::WHAT)]
    all_clusters: bool,
    /// Judge the evidence recorded in this directory; AWS, DNS and nodes are not queried
    #[arg(long, value_name = "DIR", conflicts_with_all = ["FleetArgs", "CollectionArgs", "all_clusters"], help_heading = after::WHAT)]
    evidence: Option<PathBuf>,
    /// Read the sockets of nodes from bundles of their logs, such as those of eks-log-collector, instead of the nodes; may be repeated
    #[arg(long, value_name = "FILE", num_args = 1.., conflicts_with_all = ["nodes", "node", "all_clusters"], help_heading = after::WHAT)]
    bundle: Vec<PathBuf>,
    #[command(flatten)]
    pub(super) fleet: FleetArgs,
    #[command(flatten)]
    pub(super) collection: CollectionArgs,
    /// Exit with 1 on findings of this severity or a higher one; overrides the policy, and is high by default
    #[arg(long, value_name = "SEVERITY", value_enum, help_heading = after::JUDGING)]
    fail_on: Option<FailOnArg>,
    /// The policy file, or - for standard input; without it, eks-netcheck.toml in this directory or one above it
    #[arg(long, value_name = "FILE", help_heading = after::JUDGING)]
    policy: Option<PathBuf>,
    /// Judge this rule and no other, also if the policy switches it off; may be repeated, or a list with commas
    #[arg(long, value_name = "RULE", value_parser = RuleId, value_delimiter = ',', hide_possible_values = true, help_heading = after::JUDGING)]
    rule: Vec<&'static Rule>,
    /// Do not judge this rule; may be repeated, or a list with commas
    #[arg(long, value_name = "RULE", value_parser = RuleId, value_delimiter = ',', hide_possible_values = true, help_heading = after::JUDGING)]
    skip_rule: Vec<&'static Rule>,
    /// Fail on new findings only: those of this earlier JSON report are known, and do not count
    #[arg(long, value_name = "FILE", help_heading = after::JUDGING)]
    baseline: Option<PathBuf>,
    /// The format on standard output
    #[arg(long, value_name = "FORMAT", value_parser = format_of(&report::FORMATS), default_value = "table", help_heading = after::OUTPUT)]
    format: &'static AuditFormat,
    /// Write the report to a file as well, such as json=report.json; may be repeated
    #[arg(long, value_name = "FORMAT=FILE", value_parser = write_to(&report::FORMATS), help_heading = after::OUTPUT)]
    write: Vec<WriteTo<AuditWrite>>,
    /// Draw the paths of the cluster in tables and Markdown: expected, observed, and what differs
    #[arg(long, help_heading = after::OUTPUT)]
    explain_paths: bool,
    /// Show every row in tables: all interfaces, paths and nodes, also where nothing is wrong
    #[arg(long, help_heading = after::OUTPUT)]
    all: bool,
    /// The file at which SARIF, GitHub and GitLab show findings; without it, the policy file
    #[arg(long, value_name = "FILE", help_heading = after::OUTPUT, hide_short_help = true)]
    anchor: Option<PathBuf>,
    /// In GitHub Actions, write neither a step summary nor annotations
    #[arg(long, help_heading = after::OUTPUT, hide_short_help = true)]
    no_ci: bool,
    #[command(flatten)]
    pub(super) verbosity: VerbosityArgs,
}

impl AuditArgs {
    pub(super) fn into_options(self) -> Result<AuditOptions, String> {
        let is_stdin = |path: &Option<PathBuf>| path.as_ref().is_some_and(|path| path.as_os_str() == "-");
        let of_stdin = [&self.policy, &self.baseline, &self.fleet.accounts];
        if of_stdin.into_iter().filter(|path| is_stdin(path)).count() > 1 {
            return Err("standard input can be one of the policy, the baseline and the accounts".to_owned());
        }
        let source = match (self.evidence, self.cluster.as_slice()) {
            (Some(dir), [] | [_]) => {
                Source::Recorded { dir, cluster: self.cluster.into_iter().next(), bundles: self.bundle }
            }
            (Some(_), _) => {
                return Err("an evidence directory is of one cluster; pass --cluster once".to_owned());
            }
            (None, _) => {
                self.cluster.iter().try_for_each(|name| cluster_name(name))?;
                let clusters = if self.all_clusters {
                    Clusters::All
                } else {
                    Clusters::Named(self.cluster.into_iter().collect())
                };
                let mut fleet = self.fleet.into_options(clusters, self.collection)?;
                if !self.bundle.is_empty() {
                    if fleet.is_many() {
                        return Err("bundles are of the nodes of one cluster; pass --cluster once".to_owned());
                    }
                    fleet.collection.nodes = None;
                    fleet.bundles = self.bundle;
                }
                Source::Live(Box::new(fleet))
            }
        };
        Ok(AuditOptions {
            source,
            judgment: JudgmentOptions {
                fail_on: self.fail_on.map(FailOnArg::threshold),
                policy: self.policy,
                selection: Selection::new(self.rule, self.skip_rule),
            },
            baseline: self.baseline,
            format: self.format,
            write: self.write,
            anchor: self.anchor,
            explain_paths: self.explain_paths,
            all: self.all,
            ci: !self.no_ci,
            verbosity: self.verbosity.into(),
        })
    }
}
