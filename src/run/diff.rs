//! Two recordings, compared.

use std::collections::HashMap;
use std::io::Write;
use std::path::Path;

use anyhow::{Result, bail};

use super::output::{Output, to_stdout};
use crate::classify::Classifier;
use crate::classify::changes::connections;
use crate::cli::{DiffArgs, TraceFormat};
use crate::collect::evidence_dir::EvidenceDir;
use crate::collect::node::line::Row;
use crate::collect::node::{read_file, read_nodes};
use crate::exit::Exit;
use crate::history::History;
use crate::model::evidence::Evidence;
use crate::model::node::{Node, NodeName};
use crate::model::socket::Socket;
use crate::model::trace::{Phase, Trace, TracedNode};
use crate::model::verdict::{Gap, GapReason};
use crate::report::{json, table};

/// Compares two recordings and reports what changed.
pub(super) fn diff(args: &DiffArgs) -> Result<Exit> {
    let recordings = [args.before.as_path(), args.after.as_path()];
    let files = Output::open_all(&args.write, &recordings)?;
    let (trace, is_compared) = compare(&args.before, &args.after)?;
    let report = |format, look, mut out: &mut dyn Write| match format {
        TraceFormat::Table => table::trace::write(&trace, None, look, &mut out),
        TraceFormat::Json => json::trace::write(&trace, None, &mut out),
    };
    for file in files {
        file.write(report)?;
    }
    to_stdout(|out, look| report(args.format, look, out))?;
    Ok(if is_compared { Exit::Pass } else { Exit::Inconclusive })
}

/// What changed, and whether anything could be compared.
fn compare(before: &Path, after: &Path) -> Result<(Trace, bool)> {
    let mut history = History::default();
    let old = Side::read(before, "before", Phase::Before, &mut history)?;
    let new = Side::read(after, "after", Phase::After, &mut history)?;
    let cluster = match (old.cluster(), new.cluster()) {
        (Some(old), Some(new)) if old != new => {
            bail!(
                "{} is of the cluster {old:?} and {} of {new:?}; compare recordings of one cluster",
                before.display(),
                after.display()
            );
        }
        (old, new) => old.or(new).map(ToOwned::to_owned),
    };
    let mut gaps = one_sided(&history, &old, &new);
    gaps.extend(old.gaps());
    gaps.extend(new.gaps());
    let names = history.nodes().filter(|name| history.is_comparable(name));
    let nodes: Vec<_> = names
        .map(|name| TracedNode { name: name.clone(), samples: 2, missed: 0, tells_ends: false })
        .collect();
    let is_compared = !nodes.is_empty();
    let connections = connections(&history, &old.classifier, &new.classifier);
    Ok((Trace { cluster, command: None, began: None, nodes, connections, gaps }, is_compared))
}

/// One of the two.
struct Side {
    /// How it is called.
    word: &'static str,
    classifier: Classifier,
    nodes: Vec<Node>,
}

impl Side {
    fn read(path: &Path, word: &'static str, phase: Phase, history: &mut History) -> Result<Self> {
        let mut rows: HashMap<NodeName, Vec<KeptRow>> = HashMap::new();
        let keep = |node: &NodeName, row: Row<'_>| {
            let processes = row.processes.map(|process| (process.comm.to_vec(), process.pid())).collect();
            let row = KeptRow { socket: row.socket, processes };
            match rows.get_mut(node) {
                Some(kept) => kept.push(row),
                None => {
                    rows.insert(node.clone(), vec![row]);
                }
            }
        };
        let (evidence, nodes) = if path.is_dir() {
            let dir = EvidenceDir::open(path)?;
            (dir.read_any()?, read_nodes(&dir, keep)?)
        } else {
            (Evidence::none(no_cluster()), read_file(path, keep)?)
        };
        // A node that was read and has no socket was looked at too.
        for node in nodes.iter().filter(|node| is_read(node)) {
            let mut look = history.look(&node.name, phase, None);
            for row in rows.remove(&node.name).unwrap_or_default() {
                look.row(row.socket, row.processes.iter().map(|(comm, pid)| (comm.as_slice(), *pid)));
            }
        }
        Ok(Self { word, classifier: Classifier::new(evidence), nodes })
    }

    fn cluster(&self) -> Option<&str> {
        Some(self.classifier.evidence().cluster.name.as_str()).filter(|name| !name.is_empty())
    }

    /// What was not seen and would tell a path, or a socket.
    fn gaps(&self) -> Vec<Gap> {
        let mut gaps = self.classifier.evidence().unseen_of_paths();
        gaps.extend(self.nodes.iter().flat_map(|node| node.gaps.iter().cloned()));
        for gap in &mut gaps {
            gap.what = format!("{} ({})", gap.what, self.word);
        }
        gaps
    }

    fn has(&self, name: &NodeName) -> bool {
        self.nodes.iter().any(|node| node.name == *name && is_read(node))
    }
}

/// A row that is looked at when all of its node's are known.
struct KeptRow {
    socket: Socket,
    processes: Vec<(Vec<u8>, Option<u32>)>,
}

fn is_read(node: &Node) -> bool {
    node.tally.rows > 0 || node.has_head
}

fn no_cluster() -> Gap {
    Gap {
        what: "cluster.json".to_owned(),
        why: GapReason::NotRecorded,
        detail: "a file of sockets says nothing of the cluster, so no path to the API server is known"
            .to_owned(),
        hint: "compare two evidence directories: eks-netcheck collect --cluster NAME --out DIR".to_owned(),
    }
}

/// The nodes that cannot be compared.
fn one_sided(history: &History, old: &Side, new: &Side) -> Vec<Gap> {
    let unread = history.nodes().filter(|name| !history.is_comparable(name)).map(|name| {
        let (has, lacks) = if old.has(name) { (old.word, new.word) } else { (new.word, old.word) };
        Gap {
            what: format!("node {name}"),
            why: GapReason::NotRecorded,
            detail: format!("its sockets are in {has} only, so what changed on it is not known"),
            hint: format!("record it for {lacks} too; a node is compared with the one of the same name"),
        }
    });
    unread.collect()
}
