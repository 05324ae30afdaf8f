//! The corridor: collect, classify, judge, report. The only room that knows
//! every other.

#[cfg_attr(feature = "live", path = "run/live.rs")]
#[cfg_attr(not(feature = "live"), path = "run/no_live.rs")]
mod live;

use std::fs::{OpenOptions, Permissions};
use std::io::{self, BufWriter, ErrorKind, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};
use tempfile::NamedTempFile;

use crate::classify::Classifier;
use crate::cli::{AuditArgs, Cli, Command, Format, WriteTo};
use crate::collect::aws::calls::iam_policy;
use crate::collect::evidence_dir::EvidenceDir;
use crate::collect::node::read_nodes;
use crate::exit::Exit;
use crate::model::facts::Facts;
use crate::model::node::Node;
use crate::model::verdict::Judgment;
use crate::policy::{Policy, judge};
use crate::report::table::Look;
use crate::report::{explain, json, table, text::escape};
use crate::rules;

/// Does what the command line says.
///
/// # Errors
/// If it cannot: usage, configuration, malformed evidence.
pub fn run(cli: Cli) -> Result<Exit> {
    match cli.command {
        Command::Audit(args) => audit(&args),
        Command::Collect(args) => live::collect(&args),
        Command::IamPolicy => {
            to_stdout(|out, _| json::write_pretty(&iam_policy(), out))?;
            Ok(Exit::Pass)
        }
        Command::Explain { rule } => explain(rule.as_deref()),
    }
}

fn audit(args: &AuditArgs) -> Result<Exit> {
    // Opened before the work: a report that cannot be written should not cost it.
    let evidence = args.evidence.as_deref();
    let files = args.write.iter().map(|to| Output::open(to, evidence)).collect::<Result<Vec<_>>>()?;
    let facts = match evidence {
        Some(dir) => classify_recorded(dir, &args.cluster)?,
        None => live::classify(args)?,
    };
    if args.talk.verbose > 0 {
        list_rejected(&facts.nodes);
    }
    let judgment = judge_facts(&facts, Policy { fail_on: args.fail_on.threshold() });
    for file in files {
        file.write(&facts, &judgment)?;
    }
    to_stdout(|out, look| write_report(args.format, &facts, &judgment, look, out))?;
    Ok(judgment.verdict.into())
}

/// The facts of a recorded cluster.
///
/// # Errors
/// If the evidence cannot be read.
pub fn classify_recorded(dir: &Path, cluster: &str) -> Result<Facts> {
    let dir = EvidenceDir::open(dir)?;
    let mut classifier = Classifier::new(dir.read(cluster)?);
    let nodes = read_nodes(&dir, |node, row| {
        classifier.add(node, row.socket, row.processes.map(|process| (process.comm, process.pid())));
    })?;
    Ok(classifier.finish(nodes))
}

/// What all rules say of the facts, under a policy.
#[must_use]
pub fn judge_facts(facts: &Facts, policy: Policy) -> Judgment {
    let outcomes = rules::ALL.iter().map(|rule| (*rule, (rule.check)(facts))).collect();
    judge(policy, outcomes, facts.evidence.unseen())
}

fn explain(id: Option<&str>) -> Result<Exit> {
    match id {
        None => to_stdout(|out, look| explain::write_list(&rules::ALL, look, out))?,
        Some(id) => {
            let rule = rules::ALL
                .iter()
                .find(|rule| rule.id == id)
                .ok_or_else(|| anyhow!("no rule is called {id:?}; `eks-netcheck explain` lists them"))?;
            to_stdout(|out, look| explain::write_rule(rule, look, out))?;
        }
    }
    Ok(Exit::Pass)
}

fn write_report(
    format: Format,
    facts: &Facts,
    judgment: &Judgment,
    look: Look,
    out: &mut impl Write,
) -> io::Result<()> {
    match format {
        Format::Table => table::write(facts, judgment, look, out),
        Format::Json => json::write(facts, judgment, out),
    }
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

/// A width for what is no terminal, such as the log of a CI job.
const WIDTH_OF_NO_TERMINAL: u16 = 100;
/// Below this, a table is no table.
const WIDTH_MIN: u16 = 60;

/// Writes to standard output, as wide and colourful as it takes. A reader that
/// went away is no error: the exit code still tells the verdict.
fn to_stdout(
    write: impl FnOnce(&mut BufWriter<io::StdoutLock<'static>>, Look) -> io::Result<()>,
) -> Result<()> {
    let stdout = io::stdout();
    let columns = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
    let width = terminal_size::terminal_size_of(&stdout).map(|(width, _)| width.0).or(columns);
    let look = Look {
        width: width.unwrap_or(WIDTH_OF_NO_TERMINAL).max(WIDTH_MIN),
        color: anstream::AutoStream::choice(&stdout) != anstream::ColorChoice::Never,
    };
    let mut out = BufWriter::new(stdout.lock());
    match write(&mut out, look).and_then(|()| out.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        result => result.context("cannot write to standard output"),
    }
}

/// A file that a report goes to.
struct Output {
    format: Format,
    path: PathBuf,
    target: Target,
}

enum Target {
    /// Written beside its place and moved there when it is whole.
    Whole(NamedTempFile),
    /// A pipe or device, which cannot be replaced.
    Stream(std::fs::File),
}

impl Output {
    fn open(to: &WriteTo, evidence: Option<&Path>) -> Result<Self> {
        // Behind a link, the file is replaced and not the link.
        let path = to.file.canonicalize().unwrap_or_else(|_| to.file.clone());
        let what = || format!("cannot write to {}", path.display());
        let is_special = path.metadata().is_ok_and(|meta| !meta.is_file());
        let target = if is_special {
            Target::Stream(OpenOptions::new().write(true).open(&path).with_context(what)?)
        } else {
            // Less what the umask takes, as for any file.
            let mode = Permissions::from_mode(0o666);
            let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
            let is_evidence = match (dir.canonicalize(), evidence.map(Path::canonicalize)) {
                (Ok(dir), Some(Ok(evidence))) => dir.starts_with(evidence),
                _ => false,
            };
            if is_evidence {
                bail!(
                    "{} is in the evidence directory, which a report would falsify; write it elsewhere",
                    path.display()
                );
            }
            Target::Whole(
                tempfile::Builder::new()
                    .prefix(".eks-netcheck-")
                    .permissions(mode)
                    .tempfile_in(dir)
                    .with_context(what)?,
            )
        };
        Ok(Self { format: to.format, path, target })
    }

    fn write(self, facts: &Facts, judgment: &Judgment) -> Result<()> {
        let what = || format!("cannot write to {}", self.path.display());
        let look = Look { width: WIDTH_OF_NO_TERMINAL, color: false };
        match self.target {
            Target::Stream(mut file) => {
                write_report(self.format, facts, judgment, look, &mut file).with_context(what)
            }
            Target::Whole(file) => {
                let mut out = BufWriter::new(file);
                write_report(self.format, facts, judgment, look, &mut out).with_context(what)?;
                let file = out.into_inner().map_err(io::IntoInnerError::into_error).with_context(what)?;
                file.persist(&self.path).map_err(|error| error.error).with_context(what)?;
                Ok(())
            }
        }
    }
}
