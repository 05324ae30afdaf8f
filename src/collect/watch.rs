//! The nodes, looked at again and again while something happens.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::live::{NodesRequest, is_called, no_nodes, targets};
use super::next_step::next_step;
use super::transport::sampling::{Pace, Told, sample};
pub use super::transport::sampling::{Sampled, Stage};
use super::transport::ssh;
use crate::capture::line::Row;
use crate::capture::reading::CaptureSummary;
use crate::evidence::nodes::node;
use crate::model::gap::{Gap, GapReason};
use crate::model::name::NodeName;
use crate::model::net::Instance;
use crate::model::node::Node;
use crate::model::trace::{Moment, Phase};

/// How many nodes are named where one is not among them.
const NAMES_SAID: usize = 10;

/// Nodes that are looked at. They end when this is dropped.
#[derive(Debug)]
pub struct Watch {
    stage: watch::Sender<Stage>,
    told: mpsc::Receiver<(NodeName, Told)>,
    nodes: JoinSet<Sampled>,
    /// Nodes without a first look yet.
    unseen: BTreeSet<NodeName>,
    /// Nodes with looks on their way, since [`Stage::Hold`].
    busy: HashSet<NodeName>,
    /// Nodes that are looked at.
    seen: HashSet<NodeName>,
    /// Where to ask a node for processes.
    wants_processes: HashMap<NodeName, Arc<AtomicBool>>,
    /// What cannot be looked at.
    pub gaps: Vec<Gap>,
}

/// What happens.
#[derive(Debug)]
pub enum Event {
    /// A node was looked at.
    Look(Look),
    /// Sockets of a node ended.
    Ended(Look),
    /// A node has nothing on its way.
    Idle,
    /// A node is looked at no more.
    Left(Sampled),
}

/// What `ss` printed on a node.
#[derive(Debug)]
pub struct Look {
    /// The node.
    pub name: NodeName,
    /// The part of the trace that it belongs to.
    pub phase: Phase,
    /// When it came.
    pub moment: Moment,
    bytes: Vec<u8>,
}

impl Look {
    /// Hands each row to `sink`.
    pub fn rows(&self, sink: impl FnMut(Row<'_>)) -> Node {
        // Reading from memory does not fail.
        let reading = CaptureSummary::read(&self.name, self.bytes.as_slice(), sink).unwrap_or_default();
        node(self.name.clone(), reading, next_step)
    }
}

impl Watch {
    /// Logs in to the nodes and begins to look: those that the user named, or
    /// those that EC2 lists; of these `only` some, if any is given.
    #[must_use]
    pub fn begin(
        request: &NodesRequest,
        instances: Option<&[Instance]>,
        only: &[NodeName],
        interval: Duration,
        began: std::time::Instant,
    ) -> Self {
        let (stage, stages) = watch::channel(Stage::Before);
        let (tell, told) = mpsc::channel(64);
        let listed = instances.unwrap_or_default();
        let all = targets(request, listed);
        let mut gaps = Vec::new();
        if all.is_empty() {
            gaps.push(no_nodes(instances.is_some()));
        }
        let is_name = |name: &NodeName, by: &NodeName| {
            name == by || name.as_str().split('.').next() == Some(by.as_str())
        };
        let wanted = |name: &NodeName, by: &NodeName| {
            // A node group gives all its instances one Name tag: a node's own name
            // goes first.
            if all.iter().any(|(name, _)| is_name(name, by)) {
                return is_name(name, by);
            }
            listed
                .iter()
                .any(|instance| is_called(instance, name.as_str()) && is_called(instance, by.as_str()))
        };
        let names: Vec<_> = all.iter().take(NAMES_SAID).map(|(name, _)| name.as_str()).collect();
        let more = if all.len() > NAMES_SAID { ", ..." } else { "" };
        for by in only.iter().filter(|by| !all.iter().any(|(name, _)| wanted(name, by))) {
            gaps.push(Gap {
                subject: by.clone().into(),
                why: GapReason::NotRecorded,
                detail: "no node is called so".to_owned(),
                hint: format!(
                    "there are {}{more}; others are named with --node NAME=TARGET",
                    names.join(", ")
                ),
            });
        }
        let seats = Arc::clone(&request.seats);
        let mut watch = Self {
            stage,
            told,
            nodes: JoinSet::new(),
            unseen: BTreeSet::new(),
            busy: HashSet::new(),
            seen: HashSet::new(),
            wants_processes: HashMap::new(),
            gaps,
        };
        let room = ssh::sessions_max(1);
        let is_wanted = |name: &NodeName| only.is_empty() || only.iter().any(|by| wanted(name, by));
        let chosen: Vec<_> = all.iter().filter(|(name, _)| is_wanted(name)).cloned().collect();
        for (name, target) in chosen {
            let to = match target {
                Ok(to) => to,
                Err(gap) => {
                    watch.gaps.push(gap);
                    continue;
                }
            };
            if watch.nodes.len() >= room {
                watch.gaps.push(Gap {
                    subject: name.clone().into(),
                    why: GapReason::Failed,
                    detail: format!("{room} nodes are looked at already, and no more files may be open"),
                    hint: "raise the limit (ulimit -n), or name fewer with --only".to_owned(),
                });
                continue;
            }
            let pace = Pace {
                ssh: request.ssh.clone(),
                interval,
                began: Instant::from_std(began),
                stage: stages.clone(),
                wants_processes: Arc::default(),
            };
            watch.wants_processes.insert(name.clone(), Arc::clone(&pace.wants_processes));
            watch.unseen.insert(name.clone());
            let (seats, tell) = (Arc::clone(&seats), tell.clone());
            watch.nodes.spawn(async move {
                let seat = seats.acquire_owned().await.ok();
                sample(pace, name, to, seat, tell).await
            });
        }
        watch
    }

    /// Has the nodes do something else.
    pub fn go_on(&mut self, stage: Stage) {
        if stage == Stage::Hold {
            self.busy.clone_from(&self.seen);
        }
        self.stage.send_replace(stage);
    }

    /// Has a node's next look tell processes too: there are new sockets.
    pub fn want_processes(&self, name: &NodeName) {
        if let Some(wants) = self.wants_processes.get(name) {
            wants.store(true, Ordering::Relaxed);
        }
    }

    /// The nodes whose first look is waited for.
    pub fn unseen(&self) -> impl Iterator<Item = &NodeName> {
        self.unseen.iter()
    }

    /// Whether nothing is on its way.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.busy.is_empty()
    }

    /// How many nodes are looked at.
    #[must_use]
    pub fn looked_at(&self) -> usize {
        self.seen.len()
    }

    /// What happens next; `None` when no node is left. May be dropped and asked
    /// again.
    pub async fn next(&mut self) -> Option<Event> {
        tokio::select! {
            // What a node told goes before that it left.
            biased;
            Some((name, told)) = self.told.recv() => Some(match told {
                Told::Look { phase, moment, bytes } => {
                    self.unseen.remove(&name);
                    self.seen.insert(name.clone());
                    Event::Look(Look { name, phase, moment, bytes })
                }
                Told::Ended { phase, moment, bytes } => Event::Ended(Look { name, phase, moment, bytes }),
                Told::Idle => {
                    self.busy.remove(&name);
                    Event::Idle
                }
            }),
            left = self.nodes.join_next() => {
                let sampled = left?.ok()?;
                self.unseen.remove(&sampled.name);
                self.busy.remove(&sampled.name);
                self.seen.remove(&sampled.name);
                Some(Event::Left(sampled))
            }
        }
    }
}
