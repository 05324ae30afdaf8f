//! From options to the commands that are printed: how the tools of the user reach the cluster.

use crate::cli::options::{CollectionOptions, TransportOptions};
use crate::collect::transport::kubectl::{DEFAULT_IMAGE, DEFAULT_NAMESPACE};
use crate::model::kubernetes::ReadingPods;
use crate::model::name::SSM_DOCUMENT;
use crate::model::net::NodeAddress;
use crate::model::tools::Tools;

/// What the options say about it. `roles` are those that are assumed; of several, each is of other
/// clusters.
pub(super) fn tools(profile: Option<&str>, roles: &[String], collection: &CollectionOptions) -> Tools {
    let mut own = Own(Vec::new());
    if let [role] = roles {
        own.option("--role-arn", role);
    }
    // Where no node was read, the commands of steps read them in the default way.
    let transports = collection.nodes.as_ref().map_or(&[][..], |nodes| &nodes.transports);
    if !matches!(transports, [] | [TransportOptions::Ssh { .. }]) {
        let names: Vec<_> = transports.iter().map(name).collect();
        own.option("--nodes", &names.join(","));
    }
    for transport in transports {
        own.transport(transport);
    }
    Tools { profile: profile.map(ToOwned::to_owned), own: own.0, ..Tools::default() }
}

/// The value of `--nodes`.
fn name(transport: &TransportOptions) -> &'static str {
    match transport {
        TransportOptions::Ssh { .. } => "ssh",
        TransportOptions::Ssm { .. } => "ssm",
        TransportOptions::Kubectl { pods: ReadingPods::Any, .. } => "kubectl",
        TransportOptions::Kubectl { pods: ReadingPods::OfAgent, .. } => "kubectl-agent",
        TransportOptions::Kubectl { pods: ReadingPods::OfJobs, .. } => "kubectl-jobs",
    }
}

/// Words of a command of this program.
struct Own(Vec<String>);

impl Own {
    fn option(&mut self, name: &str, value: &str) {
        self.0.extend([name.to_owned(), value.to_owned()]);
    }

    /// Adds the options of a transport that are not the default ones.
    fn transport(&mut self, transport: &TransportOptions) {
        match transport {
            TransportOptions::Ssh { address, user, options } => {
                match address {
                    NodeAddress::Private => {}
                    NodeAddress::Public => self.option("--node-address", "public"),
                    NodeAddress::Name => self.option("--node-address", "name"),
                    NodeAddress::Id => self.option("--node-address", "id"),
                }
                if let Some(user) = user {
                    self.option("--ssh-user", user);
                }
                for option in options {
                    self.option("--ssh-option", option);
                }
            }
            TransportOptions::Ssm { document, output } => {
                if document != SSM_DOCUMENT {
                    self.option("--ssm-document", document);
                }
                if let Some((bucket, prefix)) = output {
                    let prefix = prefix.as_ref().map(|prefix| format!("/{prefix}")).unwrap_or_default();
                    self.option("--ssm-output", &format!("s3://{bucket}{prefix}"));
                }
            }
            TransportOptions::Kubectl { context, kubeconfig, namespace, image, .. } => {
                if let Some(context) = context {
                    self.option("--context", context);
                }
                if let Some(kubeconfig) = kubeconfig {
                    self.option("--kubeconfig", &kubeconfig.to_string_lossy());
                }
                if namespace != DEFAULT_NAMESPACE {
                    self.option("--namespace", namespace);
                }
                if image != DEFAULT_IMAGE {
                    self.option("--image", image);
                }
            }
        }
    }
}
