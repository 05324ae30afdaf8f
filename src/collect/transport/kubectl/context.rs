//! Which context of the kubeconfig is a cluster's: the one whose server is the cluster's
//! endpoint, or whose certificate authority is the cluster's. Another cluster would answer
//! as well, and with wrong nodes.

use std::io::Read;
use std::path::Path;

use serde::Deserialize;

use super::pem::{Certificates, decode_base64};
use crate::evidence::files::open_regular;
use crate::model::cluster::{ApiEndpoint, Cluster};

/// The most that is read of a file of certificates.
const PEM_MAX: u64 = 1 << 20;

/// What `kubectl config view --raw -o json` prints, without the users' secrets.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Kubeconfig {
    #[serde(default)]
    clusters: Option<Vec<NamedCluster>>,
    #[serde(default)]
    contexts: Option<Vec<NamedContext>>,
    #[serde(default, rename = "current-context")]
    current: Option<String>,
}

#[derive(Debug, Deserialize)]
struct NamedCluster {
    name: String,
    cluster: ClusterEntry,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct ClusterEntry {
    #[serde(default)]
    server: String,
    certificate_authority: Option<String>,
    certificate_authority_data: Option<String>,
}

#[derive(Debug, Deserialize)]
struct NamedContext {
    name: String,
    context: ContextEntry,
}

#[derive(Debug, Deserialize)]
struct ContextEntry {
    #[serde(default)]
    cluster: String,
}

/// How kubectl reaches the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Choice {
    /// By this context.
    Context(String),
    /// By the service account of the pod in which this program runs.
    ServiceAccount,
}

/// Why no context is used.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NoContext {
    /// The context that the user named is another cluster's.
    OtherCluster {
        /// The cluster of the context, as the kubeconfig names it, with its server.
        other: String,
    },
    /// There is no context of the name that the user gave.
    Unknown {
        /// Those that exist.
        known: Vec<String>,
    },
    /// None of the contexts is the cluster's.
    None {
        /// How many there are.
        count: usize,
    },
    /// EKS describes neither an endpoint nor a certificate authority.
    NoIdentity,
}

/// Chooses the context of a cluster: the one that the user named, or else the current one or
/// the first that is the cluster's. `service_account` is the certificate authority of the
/// service account, where this program runs in a pod.
pub(super) fn choose(
    config: &Kubeconfig,
    named: Option<&str>,
    cluster: &Cluster,
    service_account: Option<&[u8]>,
) -> Result<Choice, NoContext> {
    let identity = Identity::new(cluster).ok_or(NoContext::NoIdentity)?;
    let contexts = config.contexts.as_deref().unwrap_or_default();
    if let Some(name) = named {
        let Some(context) = contexts.iter().find(|context| context.name == name) else {
            let known = contexts.iter().map(|context| context.name.clone()).collect();
            return Err(NoContext::Unknown { known });
        };
        let entry = config.cluster(context);
        if entry.is_some_and(|entry| identity.is_of(&entry.cluster)) {
            return Ok(Choice::Context(name.to_owned()));
        }
        let server = entry.map(|entry| entry.cluster.server.as_str()).unwrap_or_default();
        let other = format!("{} ({server})", context.context.cluster);
        return Err(NoContext::OtherCluster { other });
    }
    let is_current = |context: &&&NamedContext| Some(&context.name) == config.current.as_ref();
    let matching: Vec<_> = contexts
        .iter()
        .filter(|context| config.cluster(context).is_some_and(|entry| identity.is_of(&entry.cluster)))
        .collect();
    let chosen = matching.iter().find(is_current).or(matching.first());
    if let Some(context) = chosen {
        return Ok(Choice::Context(context.name.clone()));
    }
    // kubectl uses the service account only if the kubeconfig is empty.
    if contexts.is_empty() && service_account.is_some_and(|ca| identity.has_authority(ca)) {
        return Ok(Choice::ServiceAccount);
    }
    Err(NoContext::None { count: contexts.len() })
}

impl Kubeconfig {
    fn cluster(&self, context: &NamedContext) -> Option<&NamedCluster> {
        self.clusters
            .as_deref()
            .unwrap_or_default()
            .iter()
            .find(|entry| entry.name == context.context.cluster)
    }
}

/// What tells a cluster from others.
struct Identity<'a> {
    endpoint: Option<&'a ApiEndpoint>,
    authority: Option<Certificates>,
}

impl<'a> Identity<'a> {
    fn new(cluster: &'a Cluster) -> Option<Self> {
        let endpoint = cluster.endpoint.as_ref();
        let authority = cluster.certificate_authority.as_deref().and_then(decode_base64);
        let authority = authority.and_then(|pem| Certificates::parse(&pem));
        (endpoint.is_some() || authority.is_some()).then_some(Self { endpoint, authority })
    }

    fn is_of(&self, entry: &ClusterEntry) -> bool {
        if self.endpoint.is_some_and(|endpoint| is_server(&entry.server, endpoint)) {
            return true;
        }
        if let Some(data) = &entry.certificate_authority_data {
            // The data takes precedence over the file.
            return decode_base64(data).is_some_and(|pem| self.has_authority(&pem));
        }
        let file = entry.certificate_authority.as_deref().map(Path::new);
        file.is_some_and(|file| {
            file.is_absolute() && read_pem(file).is_some_and(|pem| self.has_authority(&pem))
        })
    }

    fn has_authority(&self, pem: &[u8]) -> bool {
        self.authority.is_some() && self.authority == Certificates::parse(pem)
    }
}

/// Reads the certificates of a cluster: no pipe or device, which may not end.
fn read_pem(path: &Path) -> Option<Vec<u8>> {
    let mut pem = Vec::new();
    open_regular(path).ok()??.take(PEM_MAX).read_to_end(&mut pem).ok()?;
    Some(pem)
}

/// Whether a URL is the endpoint: the same host and port, over TLS.
fn is_server(url: &str, endpoint: &ApiEndpoint) -> bool {
    let Some((scheme, rest)) = url.split_once("://") else { return false };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => (host, port.parse().ok()),
        _ => (authority, Some(443)),
    };
    scheme.eq_ignore_ascii_case("https")
        && host.trim_end_matches('.').eq_ignore_ascii_case(endpoint.host.trim_end_matches('.'))
        && port == Some(endpoint.port)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CA: &str = "LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0tCk1JSUIKLS0tLS1FTkQgQ0VSVElGSUNBVEUtLS0tLQo=";
    const PEM: &[u8] = b"-----BEGIN CERTIFICATE-----\r\nMI\r\nIB\r\n-----END CERTIFICATE-----";

    fn cluster() -> Cluster {
        let endpoint = ApiEndpoint {
            url: "https://ABC.gr7.eu-west-1.eks.amazonaws.com".to_owned(),
            host: "ABC.gr7.eu-west-1.eks.amazonaws.com".to_owned(),
            port: 443,
        };
        Cluster { endpoint: Some(endpoint), certificate_authority: Some(CA.to_owned()), ..Cluster::unknown() }
    }

    /// Contexts named like their clusters.
    fn config(entries: &[(&str, &str, Option<&str>)], current: &str) -> Kubeconfig {
        let clusters: Vec<_> = entries
            .iter()
            .map(|(name, server, ca)| {
                serde_json::json!({"name": name, "cluster": {"server": server, "certificate-authority-data": ca}})
            })
            .collect();
        let contexts: Vec<_> = entries
            .iter()
            .map(|(name, ..)| serde_json::json!({"name": name, "context": {"cluster": name, "user": "u"}}))
            .collect();
        let json = serde_json::json!({"kind": "Config", "clusters": clusters, "contexts": contexts, "users": [{"name": "u", "user": {"token": "secret"}}], "current-context": current});
        serde_json::from_value(json).expect("a kubeconfig")
    }

    const OTHER: (&str, &str, Option<&str>) =
        ("other", "https://DEF.gr7.eu-west-1.eks.amazonaws.com", Some("QUJD"));
    const BY_SERVER: (&str, &str, Option<&str>) =
        ("server", "https://abc.gr7.eu-west-1.eks.amazonaws.com:443/", None);
    const BY_CA: (&str, &str, Option<&str>) = ("tunnel", "https://127.0.0.1:8443", Some(CA));

    #[test]
    fn the_context_is_the_clusters() {
        let chosen = |entries: &[_], current: &str| choose(&config(entries, current), None, &cluster(), None);
        let context = |name: &str| Ok(Choice::Context(name.to_owned()));
        assert_eq!(chosen(&[OTHER, BY_SERVER], "other"), context("server"));
        assert_eq!(chosen(&[OTHER, BY_CA], "other"), context("tunnel"));
        assert_eq!(chosen(&[BY_SERVER, BY_CA], "tunnel"), context("tunnel"), "the current one is preferred");
        assert_eq!(chosen(&[BY_SERVER, BY_CA], "gone"), context("server"));
        assert_eq!(chosen(&[OTHER], "other"), Err(NoContext::None { count: 1 }));
        assert_eq!(chosen(&[], ""), Err(NoContext::None { count: 0 }));
        let nothing = choose(&config(&[BY_CA], ""), None, &Cluster::unknown(), None);
        assert_eq!(nothing, Err(NoContext::NoIdentity));
    }

    #[test]
    fn a_context_that_is_named_is_checked() {
        let config = config(&[OTHER, BY_SERVER], "server");
        assert_eq!(
            choose(&config, Some("server"), &cluster(), None),
            Ok(Choice::Context("server".to_owned()))
        );
        assert_eq!(
            choose(&config, Some("other"), &cluster(), None),
            Err(NoContext::OtherCluster {
                other: "other (https://DEF.gr7.eu-west-1.eks.amazonaws.com)".to_owned()
            })
        );
        let known = vec!["other".to_owned(), "server".to_owned()];
        assert_eq!(choose(&config, Some("gone"), &cluster(), None), Err(NoContext::Unknown { known }));
    }

    #[test]
    fn neither_a_plain_connection_nor_another_port_is_the_endpoint() {
        for server in [
            "http://ABC.gr7.eu-west-1.eks.amazonaws.com:443",
            "https://ABC.gr7.eu-west-1.eks.amazonaws.com:8443",
            "https://ABC.gr7.eu-west-1.eks.amazonaws.com.example",
            "https://x.example/ABC.gr7.eu-west-1.eks.amazonaws.com",
            "ABC.gr7.eu-west-1.eks.amazonaws.com",
            "",
        ] {
            let config = config(&[("one", server, None)], "one");
            assert_eq!(
                choose(&config, None, &cluster(), None),
                Err(NoContext::None { count: 1 }),
                "{server}"
            );
        }
    }

    #[test]
    fn a_service_account_is_of_the_cluster_whose_authority_it_has() {
        let empty = Kubeconfig::default();
        assert_eq!(choose(&empty, None, &cluster(), Some(PEM)), Ok(Choice::ServiceAccount));
        let other = b"-----BEGIN CERTIFICATE-----\nMIIC\n-----END CERTIFICATE-----\n";
        assert_eq!(choose(&empty, None, &cluster(), Some(other)), Err(NoContext::None { count: 0 }));
        assert_eq!(
            choose(&config(&[OTHER], ""), None, &cluster(), Some(PEM)),
            Err(NoContext::None { count: 1 }),
            "kubectl does not use it then"
        );
    }
}
