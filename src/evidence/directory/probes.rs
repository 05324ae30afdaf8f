//! The answers to probes in an evidence directory.

use super::super::error::EvidenceError;
use super::super::files::vantage_files;
use super::super::hosts::eks_id;
use super::super::probe::{PROBE_MAX, parse_probe, probe_vantage};
use super::{EvidenceDir, Source};
use crate::model::cluster::Cluster;
use crate::model::probe::{AddressProbe, Probe, ProbeTarget};

impl EvidenceDir {
    /// The answers to probes, sorted by vantage point.
    ///
    /// # Errors
    /// If a file cannot be read, or is of another cluster's endpoint.
    pub(super) fn probes(&self, cluster: &Cluster) -> Result<Vec<Probe>, EvidenceError> {
        let names = match &self.source {
            Source::Directory(root) => {
                let files = vantage_files(root, "probe", "json")?;
                files.into_iter().map(|(name, _)| name).collect()
            }
            Source::Memory(memory) => {
                let names = memory.files.keys().filter_map(|file| probe_vantage(file));
                names.map(str::to_owned).collect::<Vec<_>>()
            }
        };
        let mut probes = Vec::new();
        for name in names {
            if let Some(probe) = self.replaced_probe.as_ref().filter(|probe| probe.vantage == name) {
                probes.push(probe.clone().sorted());
                continue;
            }
            let file = format!("probe/{name}.json");
            if let Some(bytes) = self.bytes(&file, PROBE_MAX)? {
                let probe = parse_probe(&name, &bytes).map_err(|error| self.malformed(&file, error))?;
                self.check_probe(cluster, &file, &probe)?;
                probes.push(probe);
            }
        }
        Ok(probes)
    }

    /// Checks that answers to probes are of the endpoint of this cluster: by the host that was
    /// sent as SNI, and the port of each address.
    fn check_probe(&self, cluster: &Cluster, file: &str, probe: &Probe) -> Result<(), EvidenceError> {
        let Some(endpoint) = &cluster.endpoint else { return Ok(()) };
        let unusable = |problem: String| {
            let path = self.path(file);
            EvidenceError::Unusable(format!("{} {problem}", path.display()))
        };
        let host = |host: &str| host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
        // One cluster may have names in several domains.
        let id = eks_id(&probe.host);
        let is_own =
            host(&probe.host) == host(&endpoint.host) || id.is_some() && id == eks_id(&endpoint.host);
        if !is_own {
            return Err(unusable(format!(
                "is of another endpoint: it was made for {:?}, and the endpoint of {} is {}; remove it, or pass the evidence of its cluster",
                probe.host, cluster.name, endpoint.host
            )));
        }
        let port = cluster.api_port();
        let is_of_other =
            |answer: &&AddressProbe| answer.target != ProbeTarget::Peer && answer.address.port() != port;
        if let Some(answer) = probe.answers.iter().find(is_of_other) {
            return Err(unusable(format!(
                "has an answer of {}, and the port of the endpoint of {} is {port}; remove it",
                answer.address, cluster.name
            )));
        }
        Ok(())
    }
}
