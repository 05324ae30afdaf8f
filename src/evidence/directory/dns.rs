//! The DNS answers in an evidence directory, and those that bundles show.

use super::super::bundle::Contents;
use super::super::dns::parse_answer;
use super::super::error::EvidenceError;
use super::super::files::vantage_files;
use super::{EvidenceDir, Source};
use crate::model::cluster::Cluster;
use crate::model::evidence::Vantage;
use crate::model::gap::{Gap, GapReason, Observed, Subject};
use crate::model::name::vantage_name;

/// The size limit of a DNS answer.
const DNS_MAX: u64 = 1 << 20;

impl EvidenceDir {
    /// The DNS answers for the endpoint's name, and the gaps for record types whose query
    /// failed.
    pub(super) fn dns(
        &self,
        cluster: &Cluster,
        host: Option<&str>,
    ) -> Result<(Vec<Vantage>, Vec<Gap>), EvidenceError> {
        let mut vantages = Vec::new();
        let mut failed = Vec::new();
        for name in self.vantage_points()? {
            if let Some(bytes) = self.bytes(&format!("dns/{name}.txt"), DNS_MAX)? {
                let (mut vantage, mut gaps) = parse_answer(name.as_str(), host, &bytes);
                if let Source::Memory(_) = self.source {
                    // The hints of the parser are about files that are written by hand.
                    let unseen = match &mut vantage.answer {
                        Observed::Unseen(gap) => Some(gap),
                        Observed::Seen(_) => None,
                    };
                    for gap in gaps.iter_mut().chain(unseen) {
                        gap.hint = (self.next_step)(cluster, &gap.subject, gap.why);
                    }
                }
                vantages.push(vantage);
                failed.extend(gaps);
            }
        }
        for bundle in self.bundles()? {
            let is_recorded = vantages.iter().any(|vantage| vantage.name == bundle.name.as_str());
            if let (Ok(contents), false) = (&bundle.contents, is_recorded) {
                let (vantage, gaps) = self.answer_of_bundle(cluster, bundle.name.as_str(), contents, host);
                vantages.push(vantage);
                failed.extend(gaps);
            }
        }
        for gap in &self.manifest.gaps {
            let Subject::Vantage(name) = &gap.subject else { continue };
            if vantages.iter().all(|vantage| vantage.name != *name) {
                vantages.push(Vantage { name: name.clone(), answer: Observed::Unseen(gap.clone()) });
            }
        }
        vantages.sort_by(|a, b| a.name.cmp(&b.name));
        Ok((vantages, failed))
    }

    /// The answer for the endpoint's name on a node, as curl used it there.
    fn answer_of_bundle(
        &self,
        cluster: &Cluster,
        name: &str,
        contents: &Contents,
        host: Option<&str>,
    ) -> (Vantage, Vec<Gap>) {
        if let Some(answer) = &contents.answer {
            let (mut vantage, gaps) = parse_answer(name, host, answer);
            if let Observed::Unseen(gap) = &mut vantage.answer {
                "curl did not get an address of the endpoint when the bundle was made"
                    .clone_into(&mut gap.detail);
                gap.hint = (self.next_step)(cluster, &gap.subject, gap.why);
            }
            return (vantage, gaps);
        }
        let servers = match contents.name_servers.as_slice() {
            [] => String::new(),
            servers => format!("; the node's name servers are {}", servers.join(", ")),
        };
        let detail = format!("the bundle does not show what the endpoint's name resolves to{servers}");
        let gap = self.gap(cluster, Subject::Vantage(name.to_owned()), GapReason::NotRecorded, &detail);
        (Vantage { name: name.to_owned(), answer: Observed::Unseen(gap) }, Vec::new())
    }

    /// The names of the vantage points with a DNS answer, sorted.
    fn vantage_points(&self) -> Result<Vec<String>, EvidenceError> {
        match &self.source {
            Source::Directory(root) => {
                Ok(vantage_files(root, "dns", "txt")?.into_iter().map(|(name, _)| name).collect())
            }
            Source::Memory(memory) => {
                let names = memory.files.keys().filter_map(|file| {
                    let name = file.strip_prefix("dns/")?.strip_suffix(".txt")?;
                    Some(vantage_name(name).map_err(|error| {
                        EvidenceError::Unusable(format!("{file} is not named after a node: {error}"))
                    }))
                });
                names.collect()
            }
        }
    }
}
