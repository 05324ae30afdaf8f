//! The bundles of nodes' logs in an evidence directory, and those that were added to it.

use super::super::bundle::Bundle;
use super::super::error::EvidenceError;
use super::super::files::{BUNDLE, exists_inside, list, node_name};
use super::super::hosts::{are_different_endpoints, has_domain_of};
use super::{EvidenceDir, Source};
use crate::model::cluster::Cluster;

impl EvidenceDir {
    /// The bundles of nodes without a capture, sorted by name, with their small files.
    ///
    /// # Errors
    /// If `nodes/` cannot be listed, or it is not clear of which node a bundle is.
    pub(in crate::evidence) fn bundles(&self) -> Result<&[Bundle], EvidenceError> {
        if let Some(bundles) = self.bundles.get() {
            return Ok(bundles);
        }
        let mut bundles: Vec<Bundle> = Vec::new();
        if let Source::Directory(root) = &self.source {
            for path in list(root, "nodes")? {
                let Some(stem) = path.file_name().and_then(|name| name.to_str()?.strip_suffix(BUNDLE)) else {
                    continue;
                };
                exists_inside(root, &path)?;
                let name = node_name(stem, &path)?;
                if !root.join(format!("nodes/{name}.txt")).exists() {
                    bundles.push(Bundle::in_directory(name, root, path)?);
                }
            }
        }
        for path in &self.added_bundles {
            bundles.push(Bundle::of_file(path)?);
        }
        bundles.sort_by(|a, b| a.name.cmp(&b.name));
        if let Some([one, other]) = bundles.array_windows().find(|[one, other]| one.name == other.name) {
            return Err(EvidenceError::Unusable(format!(
                "{} and {} are both of node {}; keep one of them",
                one.path.display(),
                other.path.display(),
                one.name
            )));
        }
        Ok(self.bundles.get_or_init(|| bundles))
    }

    /// Checks that the bundles are of nodes of this cluster, by the server of their kubelets'
    /// configuration, as far as it is an endpoint of EKS.
    pub(super) fn check_bundles(&self, cluster: &Cluster) -> Result<(), EvidenceError> {
        let Some(endpoint) = &cluster.endpoint else { return Ok(()) };
        for bundle in self.bundles()? {
            let server = bundle.contents.as_ref().ok().and_then(|contents| contents.server.as_deref());
            let is_other = |server: &&str| {
                let is_own = server.eq_ignore_ascii_case(&endpoint.host);
                !is_own
                    && (has_domain_of(server, &endpoint.host)
                        || are_different_endpoints(server, &endpoint.host))
            };
            if let Some(server) = server.filter(is_other) {
                return Err(EvidenceError::Unusable(format!(
                    "{} is of a node of another cluster: its kubelet connects to {server}, and the endpoint of {} is {}; remove it, or pass the evidence of its cluster",
                    bundle.path.display(),
                    cluster.name,
                    endpoint.host
                )));
            }
        }
        Ok(())
    }
}
