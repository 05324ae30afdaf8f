//! The evidence of many clusters, collected in batches and passed on one cluster at a
//! time.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use futures_util::future::{join_all, try_join_all};
use futures_util::{StreamExt, stream};
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

use super::aws::batch::{self, Batch};
use super::cluster::{Request, record};
use super::error::{CollectError, Result, Undescribed};
use super::fleet::{FleetRequest, Place, find};
use super::probe::peers::{UnexplainedPeers, probe_peers};
use super::progress::Progress;
use super::reader::Reader;
use super::recording::{finish, scratch};
use super::runtime;
use super::signals::interruption;
use crate::evidence::directory::EvidenceDir;
use crate::evidence::error::EvidenceError;
use crate::evidence::write::EvidenceWriter;
use crate::model::audit::Unjudged;
use crate::model::file::File;
use crate::model::gap::{Gap, GapReason};

use super::next_step::next_step;

/// The threads that parse the answers of AWS.
const THREADS: usize = 2;

/// Collects the evidence of all clusters of a fleet. `reader` turns each cluster's evidence
/// into a value, which is passed to `each`; neither evidence nor value is kept. Peers that
/// nothing explains are probed, and the evidence is read again with the answers. Returns what
/// could not be judged, sorted.
///
/// # Errors
/// If the configuration cannot be used, or the run is interrupted.
pub fn collect_clusters<T: Send + 'static>(
    fleet: &FleetRequest,
    template: &Request,
    hides_progress: bool,
    reader: Reader<T>,
    mut each: impl FnMut(T),
) -> Result<Vec<Unjudged>> {
    let runtime = runtime::start(THREADS).map_err(CollectError::Runtime)?;
    let captures = scratch()?;
    let progress = Progress::new(hides_progress);
    let captures = captures.value.path();
    let collector = Collector { fleet, template, captures, progress: &progress, reader };
    let collected = runtime.block_on(async {
        tokio::select! {
            collected = collector.all(&mut each) => collected,
            signal = interruption() => {
                template.cancel().await;
                Err(progress.interrupted(signal))
            }
        }
    });
    // A name lookup that is still running in a system call must not delay the end.
    runtime.shutdown_background();
    collected
}

struct Collector<'a, T> {
    fleet: &'a FleetRequest,
    template: &'a Request,
    /// The directory of temporary captures.
    captures: &'a Path,
    progress: &'a Progress,
    reader: Reader<T>,
}

/// The outcome for a cluster.
enum Outcome<T> {
    Collected(T),
    /// AWS does not describe it.
    Undescribed(Undescribed),
    /// Its evidence cannot be read.
    Unreadable(EvidenceError),
}

impl<T: Send + 'static> Collector<'_, T> {
    /// Finds all clusters and collects their evidence.
    async fn all(&self, each: &mut impl FnMut(T)) -> Result<Vec<Unjudged>> {
        let concurrency = self.fleet.concurrency;
        let (places, mut unjudged) = find(self.fleet).await?;
        // Half of what may be in progress: one batch waits while another is parsed.
        let size = concurrency.div_ceil(2).min(batch::MAX);
        let is_many = places.iter().map(|place| place.clusters.len()).sum::<usize>() > 1;
        let batches =
            places.iter().flat_map(|place| place.clusters.chunks(size).map(move |names| (place, names)));
        // EKS and EC2 have limits of their own: some clusters are described while the
        // evidence of others is collected.
        let describing = Semaphore::new(if is_many { concurrency } else { Semaphore::MAX_PERMITS });
        let collecting = Semaphore::new(concurrency);
        let collected =
            batches.map(|(place, names)| self.batch(place, names, is_many, &describing, &collecting));
        let mut collected = std::pin::pin!(stream::iter(collected).buffered(concurrency));
        let mut absent = Absent::new(&places);
        // The message, if the configuration is why none of the clusters can be described.
        let mut configuration = unjudged.is_empty().then(String::new);
        while let Some(batch) = collected.next().await {
            for (place, name, outcome) in batch? {
                let subject = format!("cluster {name} ({place})");
                configuration = match (configuration, &outcome) {
                    (Some(first), Outcome::Undescribed(one)) if one.is_configuration => {
                        Some(if first.is_empty() { one.message.clone() } else { first })
                    }
                    _ => None,
                };
                match outcome {
                    Outcome::Collected(value) => each(value),
                    // A name that was given is searched for everywhere.
                    Outcome::Undescribed(Undescribed { gap, is_absent: true, .. })
                        if self.fleet.clusters.is_some() =>
                    {
                        absent.add(name, Unjudged { subject, gap });
                    }
                    Outcome::Undescribed(Undescribed { gap, .. }) => {
                        unjudged.push(Unjudged { subject, gap });
                    }
                    Outcome::Unreadable(error) => {
                        unjudged.push(Unjudged { subject, gap: unreadable(&error) });
                    }
                }
            }
        }
        if let Some(message) = configuration.filter(|message| !message.is_empty()) {
            return Err(CollectError::Configuration(message));
        }
        unjudged.extend(absent.everywhere());
        unjudged.sort();
        Ok(unjudged)
    }

    /// Collects the evidence of some clusters of one account and region.
    async fn batch<'p>(
        &self,
        place: &'p Place,
        names: &[String],
        is_many: bool,
        describing: &Semaphore,
        collecting: &Semaphore,
    ) -> Result<Vec<(&'p str, String, Outcome<T>)>> {
        let permits = u32::try_from(names.len()).unwrap_or(1);
        let batch = Batch::new(place.client.clone(), names.to_vec());
        // A single cluster is described while everything else is collected.
        if is_many {
            let _permit = describing.acquire_many(permits).await;
            batch.describe_clusters().await;
        }
        let permit = collecting.acquire_many(permits).await;
        let recorded =
            names.iter().map(async |name| (name.clone(), Box::pin(self.record(name, &batch)).await));
        let recorded = join_all(recorded).await;
        drop(batch);
        // Others are collected while these are read.
        drop(permit);
        let reader = self.reader;
        let probes_peers = self.template.probe.is_some();
        let bundles = self.template.bundles.clone();
        let outcomes = spawn_blocking(move || {
            let outcomes = recorded.into_iter().map(|(name, writer)| {
                let (outcome, unexplained) = outcome(writer, &name, &bundles, reader)?;
                Ok((name, outcome, unexplained.filter(|_| probes_peers)))
            });
            outcomes.collect::<Result<Vec<_>>>()
        });
        let outcomes = outcomes.await??.into_iter().map(async |(name, outcome, unexplained)| {
            let outcome = match unexplained {
                Some(unexplained) => self.with_peers(&name, outcome, unexplained).await?,
                None => outcome,
            };
            Ok((place.name.as_str(), name, outcome))
        });
        try_join_all(outcomes).await
    }

    /// Probes peers that nothing explains, and reads the evidence again with the answers.
    async fn with_peers(
        &self,
        name: &str,
        outcome: Outcome<T>,
        unexplained: Unexplained,
    ) -> Result<Outcome<T>> {
        let Unexplained { dir, peers } = unexplained;
        let Some(request) = &self.template.probe else { return Ok(outcome) };
        let Some(probe) = probe_peers(request, peers).await else { return Ok(outcome) };
        let (name, read) = (name.to_owned(), self.reader.read);
        let again = spawn_blocking(move || read(&dir.with_probe(probe), &name)).await?;
        Ok(again.map_or_else(Outcome::Unreadable, Outcome::Collected))
    }

    /// Records the evidence of one cluster in memory.
    async fn record(&self, name: &str, batch: &Batch) -> Result<EvidenceWriter> {
        let request = Request { cluster: name.to_owned(), ..self.template.clone() };
        let writer = EvidenceWriter::in_memory(self.captures, next_step);
        request.left_out().into_iter().for_each(|gap| writer.gap(gap));
        Box::pin(record(&request, batch, &writer, self.progress)).await?;
        finish(&writer)?;
        Ok(writer)
    }
}

/// Evidence with peers that nothing explains.
struct Unexplained {
    dir: EvidenceDir,
    peers: UnexplainedPeers,
}

fn outcome<T>(
    writer: Result<EvidenceWriter>,
    name: &str,
    bundles: &[PathBuf],
    reader: Reader<T>,
) -> Result<(Outcome<T>, Option<Unexplained>)> {
    let writer = match writer {
        Ok(writer) => writer,
        Err(CollectError::Undescribed(undescribed)) => return Ok((Outcome::Undescribed(*undescribed), None)),
        Err(error) => return Err(error),
    };
    let read = writer.into_evidence().and_then(|dir| {
        let dir = dir.with_bundles(bundles);
        let value = (reader.read)(&dir, name)?;
        let unexplained = (reader.unexplained)(&value).map(|peers| Unexplained { dir, peers });
        Ok((Outcome::Collected(value), unexplained))
    });
    match read {
        Ok(read) => Ok(read),
        // The user named them, for one cluster.
        Err(error @ EvidenceError::Unusable(_)) if !bundles.is_empty() => Err(error.into()),
        Err(error) => Ok((Outcome::Unreadable(error), None)),
    }
}

/// The gap for evidence that cannot be read, which is of one cluster only.
fn unreadable(error: &EvidenceError) -> Gap {
    let cause = std::error::Error::source(error).map(|source| format!(": {source}")).unwrap_or_default();
    Gap {
        subject: File::CLUSTER.into(),
        why: GapReason::Malformed,
        detail: format!("the answers cannot be read: {error}{cause}"),
        hint: "inspect them with: eks-netcheck collect --cluster NAME --out DIR".to_owned(),
    }
}

/// Clusters that do not exist in some of the places where they were searched for.
struct Absent {
    /// How many places each cluster is searched for in.
    places: HashMap<String, usize>,
    absent: BTreeMap<String, Vec<Unjudged>>,
}

impl Absent {
    fn new(places: &[Place]) -> Self {
        let mut counts: HashMap<_, usize> = HashMap::new();
        for name in places.iter().flat_map(|place| &place.clusters) {
            *counts.entry(name.clone()).or_default() += 1;
        }
        Self { places: counts, absent: BTreeMap::new() }
    }

    fn add(&mut self, name: String, unjudged: Unjudged) {
        self.absent.entry(name).or_default().push(unjudged);
    }

    /// The clusters that exist in none of the places.
    fn everywhere(self) -> impl Iterator<Item = Unjudged> {
        let places = self.places;
        self.absent.into_iter().filter_map(move |(name, mut all)| {
            let count = places.get(&name).copied().unwrap_or_default();
            if all.len() < count {
                return None;
            }
            let mut one = all.swap_remove(0);
            if count > 1 {
                one.subject = format!("cluster {name}");
                one.gap.detail = format!("it does not exist in any of {count} accounts and regions");
                one.gap.hint = "names are case-sensitive; --all-clusters audits those that exist".into();
            }
            Some(one)
        })
    }
}
